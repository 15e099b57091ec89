//! What there is to show of a run under way: how far each step is, who is at what, what is being waited for. A model
//! without a terminal: events go in; `ui::frame` draws it, `ui::progress` tells it line by line.

use crate::{
    base::{HostName, TaskId, Way},
    journal::{
        event::{Batch, Event, How, Notice, Record, Scope},
        state::RunState,
    },
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A run under way.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// Work that has no events of its own, and since when: planning, connecting, delivering.
    pub doing: Option<(String, Timestamp)>,
    /// How far that is, where it can be counted.
    pub looked: Option<(usize, usize)>,
    /// When the run began, or went on.
    pub began: Option<Timestamp>,
    /// Tasks ahead and done, as far as they were planned; none: nobody knows.
    pub total: Option<usize>,
    /// Tasks that are over.
    pub over: usize,
    /// The steps in the order in which they began.
    pub steps: Vec<Step>,
    /// The tasks under way.
    pub at: BTreeMap<TaskId, Turn>,
    /// What goes back: which tasks are to be undone, and how many are.
    pub back: Option<Back>,
    /// Somebody asked to stop; true: what runs on hosts is ended, too.
    pub stopping: Option<bool>,
    /// Hosts that do not answer, and why.
    pub silent: BTreeMap<HostName, (String, Timestamp)>,
    /// When each batch of the group under way began.
    batches: Vec<(String, Batch, Timestamp)>,
}

/// A step, as far as it is.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its number path.
    pub number: String,
    /// Its name.
    pub name: String,
    /// The batch that is under way, in a rolling group.
    pub batch: Option<Batch>,
    /// Hosts that it came to so far, all batches together.
    pub of: usize,
    /// How many of them did what.
    pub tally: Tally,
    /// The same, for the batch under way.
    pub now: Tally,
    /// Hosts of the batch under way.
    pub hosts: usize,
    /// When it began, or its batch under way did.
    pub since: Timestamp,
    /// Over, or given up.
    pub closed: bool,
    took: Duration,
}

/// How tasks ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Done with nothing to do.
    pub same: usize,
    /// Done.
    pub done: usize,
    /// Refused or failed.
    pub failed: usize,
    /// Did not apply.
    pub skipped: usize,
    /// Taken back.
    pub undone: usize,
}

impl Tally {
    /// Those whose way there is over.
    pub const fn over(self) -> usize {
        self.same + self.done + self.failed + self.skipped
    }
}

/// A task under way.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Its host.
    pub host: HostName,
    /// Its step's number.
    pub step: String,
    /// Its step's name.
    pub name: String,
    /// What it is at, in words; empty: it is looked at.
    pub what: String,
    /// Since when.
    pub since: Timestamp,
    /// It waits for something.
    pub waits: bool,
}

/// A way back.
#[derive(Clone, Debug)]
pub struct Back {
    /// Since when.
    pub since: Timestamp,
    /// Tasks to be undone.
    pub of: BTreeSet<TaskId>,
    /// Tasks that are.
    pub done: usize,
}

/// What the time that is left was reckoned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The batches of the rolling group under way.
    Batches,
    /// The step under way.
    Step,
}

/// From so many hosts on, a step is told as one, and single hosts only where something is wrong or slow.
pub const MANY: usize = 16;

impl Board {
    /// What an earlier process of the run has done.
    pub fn recall(&mut self, state: &RunState) {
        let ended = state.tasks.iter().filter(|t| t.forward.how.is_some()).count();
        self.over = ended + state.skipped.len();
    }

    /// Takes an event in; `state` has taken it in already.
    pub fn record(&mut self, record: &Record, state: &RunState) {
        let at = record.at;
        match &record.event {
            Event::Started(_) | Event::Resumed { .. } => {
                self.began = Some(at);
                (self.doing, self.looked) = (None, None);
            }
            Event::Phase { step, name, batch, hosts } => self.phase((step, name), *batch, hosts.len(), at),
            Event::Began(began) => {
                self.silent.remove(&began.host);
                if self.step(&began.step).is_none() {
                    self.phase((&began.step, &began.name), None, 0, at);
                }
                self.turn(&began.task, state, (String::new(), false), at);
            }
            Event::UndoBegan { task } => self.turn(task, state, ("back".to_owned(), false), at),
            Event::Announced { task, changes, .. } => {
                let what: Vec<String> = changes.iter().map(|c| super::changes::words(&c.what)).collect();
                self.turn(task, state, (what.join(", "), false), at);
            }
            Event::Skipped { task, .. } => {
                self.over += 1;
                let number = task.as_str().split('@').next().unwrap_or_default().to_owned();
                self.tally(&number, |tally| tally.skipped += 1);
            }
            Event::Ended { task, way, how, changed, .. } => self.ended(task, (*way, how, *changed), state, at),
            Event::RollingBack { scope, .. } => self.back(scope, state, at),
            Event::Stopping { now, .. } => self.stopping = Some(*now),
            Event::Finished(_) => self.at.clear(),
            _ => {}
        }
    }

    /// Takes a notice in.
    pub fn notice(&mut self, notice: &Notice, state: &RunState, now: Timestamp) {
        match notice {
            Notice::Ahead { tasks } => self.total = Some(*tasks),
            Notice::Observed { done, of } => self.looked = Some((*done, *of)),
            Notice::Waiting { task, why, elapsed } => {
                if let Some(t) = state.task(task) {
                    self.silent.remove(&t.began.host);
                    let since = now.checked_sub(*elapsed).unwrap_or(now);
                    self.turn(task, state, (format!("waits: {why}"), true), since);
                }
            }
            Notice::Silent { host, why } => {
                self.silent.entry(host.clone()).or_insert((String::new(), now)).0.clone_from(why);
            }
            Notice::Warning(_) => {}
        }
    }

    /// The step of that number.
    pub fn step(&self, number: &str) -> Option<&Step> {
        self.steps.iter().find(|s| s.number == number)
    }

    /// Too many hosts for a line each: of the step (a consequence counts with the step that it follows from), or of what
    /// goes back.
    pub fn many(&self, task: &TaskId, way: Way) -> bool {
        let number = task.as_str().split('@').next().unwrap_or_default();
        let number = number.split(".then").next().unwrap_or_default();
        let back = self.back.as_ref().is_some_and(|b| b.of.len() > MANY);
        (way == Way::Undo && back) || self.step(number).is_some_and(|s| s.hosts > MANY)
    }

    /// Under way in a step.
    pub fn under_way<'b>(&'b self, number: &'b str) -> impl Iterator<Item = &'b Turn> {
        self.at.values().filter(move |turn| turn.step == number)
    }

    /// What is left of the batches or of the step under way, where enough of it was seen to say so, and of which.
    pub fn left(&self, now: Timestamp) -> Option<(Duration, Left)> {
        let since = |at: Timestamp| Duration::try_from(now.duration_since(at)).unwrap_or_default();
        if self.back.is_some() || self.stopping.is_some() {
            return None;
        }
        if let (Some((_, _, first)), Some((_, batch, last))) = (self.batches.first(), self.batches.last())
            && batch.of > 1
        {
            // the batches that are over say how long one takes
            let over = u32::try_from(batch.number.checked_sub(1)?).ok().filter(|over| *over > 0)?;
            let each = Duration::try_from(last.duration_since(*first)).ok()? / over;
            let ahead = u32::try_from(batch.of.checked_sub(batch.number)? + 1).ok()?;
            return Some(((each * ahead).saturating_sub(since(*last)), Left::Batches));
        }
        let step = self.steps.iter().rev().find(|s| !s.closed && s.hosts > 1)?;
        let (over, spent) = (step.now.over(), since(step.since));
        if over < 5 || over * 5 < step.hosts || spent < Duration::from_secs(5) {
            return None;
        }
        let share = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Some((spent / share(over) * share(step.hosts.saturating_sub(over)), Left::Step))
    }

    fn phase(&mut self, (number, name): (&str, &str), batch: Option<Batch>, hosts: usize, at: Timestamp) {
        // a consequence belongs to the step that it follows from: that one goes on
        let follows = number.contains(".then");
        for step in self.steps.iter_mut().filter(|s| !follows && s.number != number) {
            step.closed = true;
        }
        if let Some(batch) = batch {
            let group = number.rsplit_once('.').map_or(number, |(group, _)| group);
            if self.batches.first().is_some_and(|(of, b, _)| of != group || b.of != batch.of) {
                self.batches.clear();
            }
            if self.batches.last().is_none_or(|(_, b, _)| b.number != batch.number) {
                self.batches.push((group.to_owned(), batch, at));
            }
        } else if !follows {
            self.batches.clear();
        }
        let now = Tally::default();
        match self.steps.iter_mut().find(|s| s.number == number) {
            Some(step) => {
                // shown last, as what is under way
                (step.batch, step.now, step.hosts, step.since, step.closed) = (batch, now, hosts, at, false);
                step.of += hosts;
                self.steps.sort_by_key(|s| s.number == number);
            }
            None => self.steps.push(Step {
                number: number.to_owned(),
                name: name.to_owned(),
                batch,
                of: hosts,
                tally: now,
                now,
                hosts,
                since: at,
                closed: false,
                took: Duration::ZERO,
            }),
        }
    }

    fn turn(&mut self, task: &TaskId, state: &RunState, (what, waits): (String, bool), since: Timestamp) {
        let Some(t) = state.task(task) else { return };
        let (host, step) = (t.began.host.clone(), t.began.step.clone());
        let line = |text: &str| super::paint::plain(text).replace('\n', " ");
        let (name, what) = (line(&t.began.name), line(&what));
        let known = self.at.get(task).filter(|turn| turn.waits == waits && waits).map(|turn| turn.since);
        let since = known.unwrap_or(since).min(since);
        self.at.insert(task.clone(), Turn { host, step, name, what, since, waits });
    }

    fn ended(&mut self, task: &TaskId, (way, how, changed): (Way, &How, bool), state: &RunState, at: Timestamp) {
        self.at.remove(task);
        let Some(t) = state.task(task) else { return };
        self.silent.remove(&t.began.host);
        let number = t.began.step.clone();
        if way == Way::Undo {
            if let Some(back) = &mut self.back {
                back.done += 1;
            }
            if matches!(how, How::Done { .. }) {
                self.tally(&number, |tally| tally.undone += 1);
            }
            return;
        }
        self.over += 1;
        let acted = changed || t.forward.announced > 0;
        self.tally(&number, |tally| match how {
            How::Done { .. } if acted => tally.done += 1,
            How::Done { .. } => tally.same += 1,
            How::Conditional => tally.skipped += 1,
            How::Refused(_) | How::Failed(_) => tally.failed += 1,
        });
        if let Some(step) = self.steps.iter_mut().find(|s| s.number == number) {
            step.took += Duration::try_from(at.duration_since(t.forward.since)).unwrap_or_default();
        }
    }

    fn tally(&mut self, number: &str, count: impl Fn(&mut Tally)) {
        if let Some(step) = self.steps.iter_mut().find(|s| s.number == number) {
            count(&mut step.tally);
            count(&mut step.now);
        }
    }

    fn back(&mut self, scope: &Scope, state: &RunState, at: Timestamp) {
        let within = |host: &HostName| match scope {
            Scope::Run => true,
            Scope::Batch(hosts) => hosts.contains(host),
            Scope::Host(only) => only == host,
        };
        let of = state.tasks.iter().filter(|t| t.stands() && within(&t.began.host)).map(|t| t.began.task.clone());
        let of: Vec<TaskId> = of.collect();
        self.back.get_or_insert_with(|| Back { since: at, of: BTreeSet::new(), done: 0 }).of.extend(of);
    }
}

impl Step {
    /// How long a host took so far, on the whole.
    pub fn each(&self) -> Option<Duration> {
        let over = u32::try_from(self.tally.same + self.tally.done + self.tally.failed).ok()?;
        self.took.checked_div(over)
    }
    /// Ended, in the batch under way, on every host.
    pub fn over(&self) -> bool {
        self.now.over() >= self.hosts
    }
    /// How its hosts are, in words: `997 ok · 3 changed · 12 under way`.
    pub fn words(&self, tally: Tally, under_way: usize) -> Vec<(usize, &'static str)> {
        let all = [
            (tally.same, "ok"),
            (tally.done, "done"),
            (tally.failed, "failed"),
            (tally.skipped, "skipped"),
            (tally.undone, "undone"),
            (under_way, "under way"),
        ];
        all.into_iter().filter(|(n, _)| *n > 0).collect()
    }
}
