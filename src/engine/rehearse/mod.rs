//! A rehearsal: the same engine on a simulated copy of what was observed, once for every act with each fault at it. It
//! tells where each of them ends, by comparing the world with what it was, and not by the engine's own word.
//!
//! It knows no action: what an action would do, and undo, is learnt from the changes that it asks for, so an action that is
//! added later takes part without code of its own.

mod assumed;
mod facts;
#[cfg(test)]
mod failover;
mod judge;
mod stand;
#[cfg(test)]
mod tests;

pub use assumed::{Assumed, Sealed, Wish};
pub use facts::{FactsError, Known};
pub use judge::{Ending, Verdict};

use super::{EngineError, Order, Planned, Stage, plan};
use crate::{
    actions::Entry,
    base::{HostName, TaskId},
    engine::plan::Certainty,
    journal::{
        event::{End, Event, How, Record},
        state::RunState,
    },
    transport::Fault,
    ui::{changes, facts::masked},
};
use futures_util::{StreamExt as _, stream};
use stand::{Act, Pause, Set, Stand};
use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// What goes wrong at an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// The act itself goes wrong.
    Act(Fault),
    /// Contact is lost before or after it, and the host never comes back.
    LostForGood,
    /// svcops is killed before, in and after it, and the run is resumed.
    KilledResumed,
    /// svcops is killed before, in and after it, and the run is rolled back.
    KilledBack,
    /// It fails after its effect, and so does what takes it back.
    UndoFails,
}

impl Trouble {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 12] = [
        Self::Act(Fault::Refused),
        Self::Act(Fault::NoEffect),
        Self::Act(Fault::FailedBefore),
        Self::Act(Fault::FailedAfter),
        Self::Act(Fault::Sick),
        Self::Act(Fault::TimedOut),
        Self::Act(Fault::LostBefore),
        Self::Act(Fault::LostAfter),
        Self::LostForGood,
        Self::KilledResumed,
        Self::KilledBack,
        Self::UndoFails,
    ];
    /// In a word, for machines: `failed_after`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Act(Fault::Refused) => "refused",
            Self::Act(Fault::NoEffect) => "no_effect",
            Self::Act(Fault::FailedBefore) => "failed_before",
            Self::Act(Fault::FailedAfter) => "failed_after",
            Self::Act(Fault::Sick) => "never_healthy",
            Self::Act(Fault::TimedOut) => "timed_out",
            Self::Act(Fault::LostBefore) => "lost_before",
            Self::Act(Fault::LostAfter) => "lost_after",
            Self::LostForGood => "lost_for_good",
            Self::KilledResumed => "killed_resumed",
            Self::KilledBack => "killed_rolled_back",
            Self::UndoFails => "undo_fails",
        }
    }
    /// In words, for people: `fails after its effect`.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Act(Fault::Refused) => "is refused",
            Self::Act(Fault::NoEffect) => "says that it went well, and has no effect",
            Self::Act(Fault::FailedBefore) => "fails before its effect",
            Self::Act(Fault::FailedAfter) => "fails after its effect",
            Self::Act(Fault::Sick) => "starts what never becomes healthy",
            Self::Act(Fault::TimedOut) => "does not end in time",
            Self::Act(Fault::LostBefore) => "contact is lost before it",
            Self::Act(Fault::LostAfter) => "contact is lost after it",
            Self::LostForGood => "its host is lost for good",
            Self::KilledResumed => "svcops is killed, and the run resumed",
            Self::KilledBack => "svcops is killed, and the run rolled back",
            Self::UndoFails => "fails after its effect, and so does its undo",
        }
    }
    /// Nobody can ask more of a runbook than that what is left is named right.
    pub const fn need_only_be_named(self) -> bool {
        matches!(self, Self::LostForGood | Self::UndoFails)
    }
}

/// An act of the unbroken run.
#[derive(Clone, Debug)]
pub struct Deed {
    /// Its task.
    pub task: TaskId,
    /// The step's name.
    pub step: String,
    /// The host of the task.
    pub host: HostName,
    /// What it changes, in words.
    pub what: String,
    /// It has no model, and nothing takes it back.
    pub bare: bool,
    /// What a rollback passes over: a message.
    pub leaves_nothing: bool,
    /// Its faults were played; not so where many hosts do the same, and this is one of the many.
    pub tried: bool,
}

/// One rehearsed fault, or two.
#[derive(Clone, Debug)]
pub struct Point {
    /// The act, by its place among [`Rehearsal::deeds`].
    pub deed: usize,
    /// What goes wrong.
    pub trouble: Trouble,
    /// What goes wrong after it: so many acts later.
    pub second: Option<(usize, Fault)>,
    /// Where it ends.
    pub ending: Ending,
}

/// What a rehearsal came to.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// The acts of the unbroken run.
    pub deeds: Vec<Deed>,
    /// How the run ends without a fault.
    pub unbroken: Ending,
    /// Every fault at every act, act by act.
    pub points: Vec<Point>,
    /// Pairs, where they were asked for.
    pub pairs: Vec<Point>,
    /// Steps without a model, by number and name: what they do to the world is not known here.
    pub opaque: Vec<String>,
    /// Steps that change something and could not be rehearsed, by number and name: what they would do is known only after
    /// a step without a model, or nobody has seen what they look at.
    pub untried: Vec<String>,
    /// Steps that only look, by number and name, and are taken to hold: nobody knows what they would see.
    pub supposed: Vec<String>,
    /// What stands from the point of no return on can only go forward.
    pub no_return: Option<TaskId>,
    /// What is rough on the way without any fault, and may be meant: an app is stopped while its server takes traffic.
    pub rough: Vec<String>,
}

impl Rehearsal {
    /// Whether every single fault ends as before, or forward after the point of no return; of what could not be rehearsed
    /// nobody can say that.
    pub fn is_clean(&self) -> bool {
        self.unclean().is_empty() && self.unbroken.verdict == Verdict::Done && self.untried.is_empty()
    }
    /// The single faults that do not end as `--require clean` wants it.
    pub fn unclean(&self) -> Vec<&Point> {
        self.points.iter().filter(|p| !self.is_fine(p)).collect()
    }
    /// Whether `--require clean` takes a point: all is as before, as planned, or forward after the point of no return; or no
    /// runbook could do better, and what is left is named: its host is lost for good, its undo fails too, a message is not
    /// sent, a command that nothing comes after fails.
    pub fn is_fine(&self, point: &Point) -> bool {
        let deed = self.deeds.get(point.deed);
        match point.ending.verdict {
            Verdict::Nothing | Verdict::Done | Verdict::Before | Verdict::Forward => true,
            Verdict::Person => {
                // the last thing done, alone: nothing fails after it, and the journal names it
                let own = deed.is_some_and(|d| d.bare && point.ending.only == Some(d.task.clone()));
                let message = deed.is_some_and(|d| d.leaves_nothing) && point.ending.only_messages;
                point.trouble.need_only_be_named() || own || message
            }
            Verdict::Wrong => false,
        }
    }
}

/// How far a rehearsal has come: fault points that are done, and all there are.
pub type Told<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// Rehearses an order on what is known of the world. Call it outside of a runtime whose threads must not be blocked: it
/// computes on all processors until it is done, or until `stopped` says so (none then).
///
/// # Errors
/// The runbook cannot be planned.
pub fn rehearse(
    stage: &Stage,
    order: &Order,
    planned: &Planned,
    known: &Known,
    extent: Extent,
    (told, stopped): (Told<'_>, &(dyn Fn() -> bool + Sync)),
) -> Result<Option<Rehearsal>, EngineError> {
    let stand = Stand::new(stage, order, planned, known, stopped);
    let begun = stand.begun();
    let plain = |played: Result<stand::Played, EngineError>| match played {
        Err(_) if stopped() => Ok(None),
        other => other.map(Some),
    };
    let Some(goal) = plain(stand.play(&[], None))? else { return Ok(None) };
    stand.promise(goal);
    let Some(whole) = plain(stand.play(&[], None))? else { return Ok(None) };
    let mut deeds: Vec<Deed> = whole.acts.iter().map(|act| deed(&whole.records, act)).collect();
    if !extent.all && deeds.len() > MOST_DEEDS {
        sample(&mut deeds);
    }
    let goal = whole.standing.clone();
    let unbroken = judge::unbroken(&whole, &begun);
    let no_return = RunState::fold(&whole.records).no_return().cloned();

    let mut work: Vec<(usize, Trouble, Option<(usize, Fault)>)> = Vec::new();
    for at in (0..deeds.len()).filter(|at| deeds.get(*at).is_some_and(|deed| deed.tried)) {
        work.extend(Trouble::ALL.map(|trouble| (at, trouble, None)));
        if extent.pairs {
            for first in Fault::ALL {
                for gap in 1..=GAPS {
                    work.extend(SECOND.map(|second| (at, Trouble::Act(first), Some((gap, second)))));
                }
            }
        }
    }
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((at, trouble, second)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if stopped() {
                        return;
                    }
                    let ending = one(&stand, &whole, &begun, &goal, (*at, *trouble, *second));
                    // what was broken off says nothing
                    if stopped() {
                        return;
                    }
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.push(Point { deed: *at, trouble: *trouble, second: *second, ending });
                    told(done.len(), work.len());
                }
            });
        }
    });
    let mut points = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    if points.len() < work.len() {
        return Ok(None);
    }
    let place = |trouble| Trouble::ALL.iter().position(|t| *t == trouble);
    points.sort_by_key(|p| (p.deed, place(p.trouble), p.second));
    let (points, pairs) = points.into_iter().partition(|p: &Point| p.second.is_none());
    Ok(Some(Rehearsal {
        deeds,
        unbroken,
        points,
        pairs,
        opaque: opaque(planned, &whole.records),
        untried: open(stage, &whole.records, true),
        supposed: open(stage, &whole.records, false),
        no_return,
        rough: whole.rough,
    }))
}

/// How much of it is played.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extent {
    /// Two faults in one run, too.
    pub pairs: bool,
    /// Every act, however many hosts do the same.
    pub all: bool,
}

/// Of more acts than this, only some of those that are alike are tried: each fault of each is a run of all of them.
const MOST_DEEDS: usize = 100;

/// Of acts that do the same on different hosts the first, the second and the last: what is the first of many, one of many
/// and the last of many.
fn sample(deeds: &mut [Deed]) {
    let mut alike: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
    for (at, deed) in deeds.iter().enumerate() {
        let label = deed.task.as_str().rsplit_once('@').map_or(deed.task.as_str(), |(label, _)| label).to_owned();
        alike.entry((label, masked(&deed.what, deed.host.as_str()))).or_default().push(at);
    }
    for group in alike.into_values().filter(|group| group.len() > 3) {
        for at in group.get(2..group.len() - 1).unwrap_or_default() {
            if let Some(deed) = deeds.get_mut(*at) {
                deed.tried = false;
            }
        }
    }
}

/// A second fault comes at most so many acts after the first.
const GAPS: usize = 4;
/// What may come second.
const SECOND: [Fault; 4] = [Fault::Refused, Fault::FailedBefore, Fault::FailedAfter, Fault::LostAfter];

/// One point, in as many plays as it takes; the worst ending counts.
fn one(
    stand: &Stand<'_>,
    whole: &stand::Played,
    begun: &judge::Start,
    goal: &judge::Standing,
    (at, trouble, second): (usize, Trouble, Option<(usize, Fault)>),
) -> Ending {
    let Some(act) = whole.acts.get(at) else { return Ending::nothing() };
    let mut faults = match trouble {
        Trouble::Act(fault) => vec![Set::Act(at, fault)],
        Trouble::LostForGood => vec![Set::Act(at, Fault::LostAfter), Set::ForGood],
        Trouble::UndoFails => {
            vec![Set::Act(at, Fault::FailedAfter), Set::Undo(act.task.clone(), Fault::FailedBefore)]
        }
        Trouble::KilledResumed | Trouble::KilledBack => Vec::new(),
    };
    faults.extend(second.map(|(gap, fault)| Set::Act(at + gap, fault)));
    let needed = faults.iter().filter(|f| !matches!(f, Set::ForGood)).count();
    let killed = |back| Pause::around(&whole.records, act).into_iter().map(|p| (Vec::new(), Some((p, back)))).collect();
    let plays: Vec<(Vec<Set>, Option<(Pause, bool)>)> = match trouble {
        Trouble::KilledResumed => killed(false),
        Trouble::KilledBack => killed(true),
        // the host is there again soon, or only when somebody asks for it once more
        Trouble::Act(Fault::LostBefore | Fault::LostAfter) if second.is_none() => {
            let long = faults.iter().cloned().chain([Set::Long]).collect();
            vec![(faults, None), (long, None)]
        }
        // before it and after it
        Trouble::LostForGood => {
            let before = vec![Set::Act(at, Fault::LostBefore), Set::ForGood];
            vec![(before, None), (faults, None)]
        }
        _ => vec![(faults, None)],
    };
    let endings = plays.into_iter().map(|(faults, pause)| match stand.play(&faults, pause) {
        Err(why) => Ending::wrong(format!("the engine gave up: {why}")),
        // what starts nothing cannot start badly; what is not taken back cannot be taken back badly
        Ok(played) if played.bitten < needed && second.is_none() => Ending::nothing(),
        Ok(played) => judge::judge(&played, begun, goal, whole),
    });
    endings.max_by_key(|e| e.verdict).unwrap_or_else(Ending::nothing)
}

fn deed(records: &[Record], act: &Act) -> Deed {
    let began = records.iter().find_map(|r| match &r.event {
        Event::Began(began) if began.task == act.task => Some(began),
        _ => None,
    });
    let host = act.task.as_str().rsplit_once('@').map_or("", |(_, host)| host);
    Deed {
        task: act.task.clone(),
        step: began.map_or_else(String::new, |b| b.name.clone()),
        host: HostName::new(host),
        what: changes::words(&act.change.what),
        bare: began.is_some_and(|b| b.opaque && b.undo.is_empty()),
        leaves_nothing: began.is_some_and(|b| b.leaves_nothing),
        tried: true,
    }
}

/// Steps without a model: by the plan, and those that were carried out though the plan could not tell whether they would.
fn opaque(planned: &Planned, records: &[Record]) -> Vec<String> {
    let steps = planned.plan.tasks.iter().filter(|t| t.certainty == Certainty::Opaque);
    let steps = steps.map(|t| (t.number.clone(), t.step.clone()));
    let carried: BTreeSet<&TaskId> = records
        .iter()
        .filter_map(|r| if let Event::Carried { task, .. } = &r.event { Some(task) } else { None })
        .collect();
    let begun = records.iter().filter_map(|r| match &r.event {
        Event::Began(b) if b.opaque && carried.contains(&b.task) => Some((b.step.clone(), b.name.clone())),
        _ => None,
    });
    let mut seen = BTreeSet::new();
    let all = steps.chain(begun).filter(|(number, _)| seen.insert(number.clone()));
    all.map(|(number, name)| format!("{number} {name}")).collect()
}

/// What the unbroken run came to and could not know even here: steps that change something, or that only look.
fn open(stage: &Stage, records: &[Record], changing: bool) -> Vec<String> {
    let state = RunState::fold(records);
    let of = |action: &str| {
        Entry::find(stage.catalog, action).is_some_and(|e| e.traits.changes == changing && !e.traits.opaque)
    };
    let open = state.tasks.iter().filter(|t| t.forward.how == Some(How::Conditional) && of(&t.began.action));
    let mut seen = BTreeSet::new();
    let steps = open.filter(|t| seen.insert(t.began.step.clone()));
    steps.map(|t| format!("{} {}", t.began.step, t.began.name)).collect()
}

/// Hosts of which a plan saw nothing, each with why: nothing can be rehearsed there.
pub fn unseen(planned: &Planned) -> Vec<(HostName, String)> {
    let mut unseen: Vec<(HostName, String)> = Vec::new();
    for task in &planned.plan.tasks {
        if let Some(why) = task.trouble.as_deref().filter(|why| why.starts_with("no contact"))
            && unseen.iter().all(|(host, _)| *host != task.host)
        {
            unseen.push((task.host.clone(), why.to_owned()));
        }
    }
    unseen
}

/// Observes: the plan of an order, and all that was seen for it; and the apps of its hosts, for a rehearsal must see when
/// one of them is left with an earlier configuration or without traffic. A second pass goes forward and back on a copy, so that
/// what only a way back looks at is known too.
///
/// # Errors
/// As [`plan`].
pub async fn observe(stage: &Stage, order: &Order) -> Result<(Planned, Known), EngineError> {
    let recorder = facts::Recorder::new(std::sync::Arc::clone(&stage.transport));
    let recorder = std::sync::Arc::new(recorder);
    let stage = Stage { transport: recorder.clone(), ..stage.clone() };
    let planned = plan(&stage, order).await?;
    let around = assumed::around(&stage.inventory, &planned.plan.hosts);
    let look = |(host, reads): (Option<HostName>, Vec<_>)| {
        let transport = &stage.transport;
        async move { transport.look(host.as_ref(), &reads).await }
    };
    // what cannot be seen was not asked for by the runbook: it stays unknown
    drop(stream::iter(around).map(look).buffer_unordered(order.parallel.max(1)).collect::<Vec<_>>().await);
    stand::explore(&stage, order, &planned).await?;
    Ok((planned, recorder.known()))
}

/// Whether a run came to an end that needs nobody.
pub(super) const fn is_over(end: End) -> bool {
    !end.resumable()
}
