//! Where a play ended: what the engine says of it, held against the world.

use super::stand::Played;
use crate::{
    actions::Entry,
    base::{HostName, TaskId},
    journal::{
        event::{End, Summary},
        state::{RunState, TaskState},
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// What stands, by the names of locks.
pub(super) type Standing = BTreeMap<String, String>;

/// The world before a run.
pub(super) struct Start {
    pub(super) standing: Standing,
    /// What runs with an earlier file than the one on its disk.
    pub(super) stale: BTreeSet<String>,
    /// Servers that take no traffic though their apps are healthy.
    pub(super) idle: BTreeSet<String>,
}

/// Where a fault leads, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// This fault cannot come to pass here.
    Nothing,
    /// It was overcome: all is as the run wanted it.
    Done,
    /// All is as it was before.
    Before,
    /// It came after the point of no return, and the run went forward; what is left is named.
    Forward,
    /// Something is left that only a person can put right, and it is named.
    Person,
    /// It does harm, or leaves what nobody is told of.
    Wrong,
}

/// Where a point ends.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Where it leads.
    pub verdict: Verdict,
    /// How the run ended, in the engine's word; none: it never began.
    pub outcome: Option<End>,
    /// Why it is wrong, or needs a person; empty where neither is so.
    pub why: Vec<String>,
    /// What is left, as the engine names it.
    pub stands: Vec<String>,
    /// The one task that is all that is left.
    pub only: Option<TaskId>,
    /// The world is as before or as after, and all that went wrong is a message.
    pub only_messages: bool,
}

impl Ending {
    pub(super) const fn nothing() -> Self {
        Self {
            verdict: Verdict::Nothing,
            outcome: None,
            why: Vec::new(),
            stands: Vec::new(),
            only: None,
            only_messages: false,
        }
    }
    pub(super) fn wrong(why: String) -> Self {
        Self { verdict: Verdict::Wrong, why: vec![why], ..Self::nothing() }
    }
}

/// The run without a fault.
pub(super) fn unbroken(whole: &Played, begun: &Start) -> Ending {
    let end = whole.end.as_ref();
    let mut why: Vec<String> = whole.harm.iter().map(|harm| format!("on the way: {harm}")).collect();
    match end {
        Some(end) if end.outcome == End::Done => {
            why.extend(whole.stale.difference(&begun.stale).map(|s| format!("a consequence is forgotten: {s}")));
            why.extend(whole.idle.difference(&begun.idle).map(|s| format!("left so: {s}")));
        }
        Some(end) => {
            let said = end.why.clone().unwrap_or_else(|| end.outcome.word().to_owned());
            why.push(format!("it fails without a fault: {said}"));
        }
        None => why.push("it does not begin".to_owned()),
    }
    let verdict = if why.is_empty() { Verdict::Done } else { Verdict::Wrong };
    let stands = end.map(|e| e.stands.clone()).unwrap_or_default();
    Ending { verdict, outcome: end.map(|e| e.outcome), why, stands, ..Ending::nothing() }
}

/// A run with a fault; `whole` is the one without.
pub(super) fn judge(played: &Played, begun: &Start, goal: &Standing, whole: &Played) -> Ending {
    let state = played.state();
    // what the runbook does anyway is told of once, or is what its author means
    let harm = played.harm.iter().filter(|harm| !whole.harm.contains(harm));
    let rough = played.rough.iter().filter(|rough| !whole.rough.contains(rough));
    let mut wrong: Vec<String> = harm.chain(rough).map(|harm| format!("on the way: {harm}")).collect();
    wrong.dedup();
    let Some(end) = &played.end else {
        wrong.extend(differences(&played.standing, &begun.standing));
        let verdict = if wrong.is_empty() { Verdict::Before } else { Verdict::Wrong };
        return Ending { verdict, why: wrong, ..Ending::nothing() };
    };
    let crossed = state.no_return().is_some();
    // what always runs stays, however the run ends
    let always = always(played, &state);
    let differences = |now, should| differences_but(now, should, &always);
    let verdict = match end.outcome {
        End::Done => {
            wrong.extend(differences(&played.standing, goal));
            if crossed { Verdict::Forward } else { Verdict::Done }
        }
        End::RolledBack => {
            wrong.extend(differences(&played.standing, &begun.standing));
            wrong.extend(left(played, begun));
            Verdict::Before
        }
        End::Failed | End::Unknown => {
            wrong.extend(unnamed(played, begun, goal, end, &state));
            if crossed && end.outcome == End::Failed { Verdict::Forward } else { Verdict::Person }
        }
        End::Stopped | End::NotNow | End::NotAllowed => {
            wrong.push(format!("it ended `{}`", end.outcome.word()));
            Verdict::Wrong
        }
    };
    let stands = end.stands.iter().cloned().chain(owed(&state)).collect();
    let (only, only_messages) = (only(&state), only_messages(played, begun, goal, &state));
    let why = match verdict {
        _ if !wrong.is_empty() => wrong.clone(),
        Verdict::Person | Verdict::Forward => end.why.iter().cloned().collect(),
        _ => Vec::new(),
    };
    let verdict = if wrong.is_empty() { verdict } else { Verdict::Wrong };
    Ending { verdict, outcome: Some(end.outcome), why, stands, only, only_messages }
}

/// What `always` steps leave, by the names of locks.
fn always(played: &Played, state: &RunState) -> BTreeSet<String> {
    let of = |task: &TaskState| {
        let lock = Entry::find(played.catalog, &task.began.action)?.recall(task.began.value.open()).ok()?.locks().0;
        let mark = task.began.task.as_str().rsplit_once('@').map(|(step, host)| format!("{host}/step/{step}"));
        Some([Some(lock.0), mark])
    };
    state.tasks.iter().filter(|t| t.began.always).filter_map(of).flatten().flatten().collect()
}

fn differences(now: &Standing, should: &Standing) -> Vec<String> {
    differences_but(now, should, &BTreeSet::new())
}

/// What is not as it should be: ``dc1-app1/unit/billing.service is stopped, and was running``.
fn differences_but(now: &Standing, should: &Standing, but: &BTreeSet<String>) -> Vec<String> {
    let keys: BTreeSet<&String> = now.keys().chain(should.keys()).filter(|key| !but.contains(*key)).collect();
    let word = |at: Option<&String>| at.map_or_else(|| "absent".to_owned(), Clone::clone);
    let differs = keys.into_iter().filter(|key| now.get(*key) != should.get(*key));
    differs.map(|key| format!("{key} is {}, where {} was to be", word(now.get(key)), word(should.get(key)))).collect()
}

/// What a way back has left though all that it looks at is as before.
fn left(played: &Played, begun: &Start) -> Vec<String> {
    let stale = played.stale.difference(&begun.stale).map(|s| format!("a consequence is forgotten: {s}"));
    let idle = played.idle.difference(&begun.idle).map(|s| format!("left so: {s}"));
    stale.chain(idle).collect()
}

/// What is neither as before nor as after, and that nobody is told of.
fn unnamed(played: &Played, begun: &Start, goal: &Standing, end: &Summary, state: &RunState) -> Vec<String> {
    if end.stands.is_empty() && end.owed == 0 && end.outcome == End::Failed {
        return vec!["it says that something stands, and names nothing".to_owned()];
    }
    let (now, before) = (&played.standing, &begun.standing);
    let keys: BTreeSet<&String> = now.keys().chain(before.keys()).collect();
    let mut unnamed = Vec::new();
    for key in keys {
        let is = now.get(key);
        if is == before.get(key) || is == goal.get(key) {
            continue;
        }
        let named = |host: &HostName| {
            state.debts.iter().any(|owed| owed.debt.host == *host)
                || end.stands.iter().any(|line| line.contains(&format!("`{host}`")))
        };
        if !played.world.hosts_of(key).iter().any(named) {
            let is = is.map_or("absent", String::as_str);
            unnamed.push(format!("{key} is {is}, neither as before nor as after, and nothing names it"));
        }
    }
    unnamed
}

fn owed(state: &RunState) -> impl Iterator<Item = String> {
    let lines: BTreeSet<String> =
        state.debts.iter().map(|o| format!("`{}` on `{}` is owed", o.debt.name, o.debt.host)).collect();
    lines.into_iter()
}

/// The one task that is all that is left.
fn only(state: &RunState) -> Option<TaskId> {
    let mut left = state.tasks.iter().filter(|t| t.stands() || t.doubt().is_some());
    let first = left.next()?;
    (left.next().is_none() && state.debts.is_empty()).then(|| first.began.task.clone())
}

fn only_messages(played: &Played, begun: &Start, goal: &Standing, state: &RunState) -> bool {
    let settled = played.standing == begun.standing || played.standing == *goal;
    settled && state.debts.is_empty() && state.troubled().all(|t| t.began.leaves_nothing)
}
