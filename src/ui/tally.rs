//! What has happened in a run so far, as far as its face needs it: a small fold over the events.

use crate::{
    base::{HostName, Lock, RunId, TaskId, Way},
    journal::event::{Began, Debt, Event, Header, How, Operator, Record, Scope, Summary},
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// The fold.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// The run.
    pub run: Option<RunId>,
    /// Its header, as it began.
    pub header: Option<Box<Header>>,
    /// When it began.
    pub began: Option<Timestamp>,
    /// When the last event was.
    pub last: Option<Timestamp>,
    /// Its tasks.
    pub tasks: BTreeMap<TaskId, Task>,
    /// The tasks in the order in which they began.
    pub order: Vec<TaskId>,
    /// Tasks that ended, well or not, or were skipped.
    pub over: usize,
    /// The task whose leg failed first, and why.
    pub failed: Option<(TaskId, String)>,
    /// All hosts with a failed or unknown task.
    pub failed_hosts: BTreeSet<HostName>,
    /// Debts that stand, by key, with the task that owes them.
    pub debts: BTreeMap<String, Debt>,
    /// Acts of which nobody knows.
    pub doubts: BTreeMap<TaskId, String>,
    /// Rolling back now.
    pub rolling_back: bool,
    /// The locks that are held.
    pub locks: Vec<Lock>,
    /// Who went on with it last.
    pub resumed_by: Option<Operator>,
    /// How it ended; none: it goes on, or was cut off.
    pub summary: Option<Summary>,
    /// Why it was refused.
    pub refused: Option<(u8, String)>,
    /// Steps that the runbook has come to, by number path, with their names.
    pub steps: BTreeMap<String, String>,
}

/// A task.
#[derive(Clone, Debug)]
pub struct Task {
    /// The number path of its step.
    pub step: String,
    /// The step's name.
    pub name: String,
    /// Its host.
    pub host: HostName,
    /// Its action.
    pub action: String,
    /// When its leg began.
    pub since: Timestamp,
    /// Where it is.
    pub state: State,
    /// It changed something that lasts, and was not undone.
    pub changed: bool,
    /// What it owes once it changes something.
    pub then: Vec<Debt>,
}

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// On the way there.
    Running,
    /// There.
    Done,
    /// Failed or refused on the way there.
    Failed,
    /// On the way back.
    Undoing,
    /// Back.
    Undone,
    /// Failed on the way back.
    UndoFailed,
}

impl Tally {
    /// Takes one event in.
    pub fn take(&mut self, record: &Record) {
        self.run.get_or_insert_with(|| record.run.clone());
        self.last = Some(record.at);
        match &record.event {
            Event::Started(header) => {
                self.began = Some(record.at);
                self.header = Some(header.clone());
            }
            Event::Refused { code, why } => self.refused = Some((*code, why.clone())),
            Event::Locked { exclusive, .. } => self.locks.clone_from(exclusive),
            Event::Resumed { operator } => {
                self.resumed_by = Some(operator.clone());
                self.summary = None;
            }
            Event::Phase { step, name, .. } => {
                self.steps.insert(step.clone(), name.clone());
            }
            Event::Skipped { .. } | Event::Waived { .. } => self.over += 1,
            Event::Began(began) => self.began(began, record.at),
            Event::UndoBegan { task } => self.turn(task, State::Undoing, record.at),
            Event::Announced { task, way, .. } => self.announced(task, *way),
            Event::InDoubt { task, why, .. } => {
                self.doubts.insert(task.clone(), why.clone());
                self.note_failure(task, why);
            }
            Event::Resolved { task, .. } => {
                self.doubts.remove(task);
            }
            Event::Ended { task, way, how, changed, .. } => self.ended(task, *way, how, *changed),
            Event::RollingBack { .. } => self.rolling_back = true,
            Event::RolledBack { scope } => self.rolling_back = self.rolling_back && *scope != Scope::Run,
            Event::Paid { debt, .. } => {
                self.debts.remove(debt);
            }
            Event::Finished(summary) => self.summary = Some(summary.clone()),
            Event::Carried { .. } | Event::Retried { .. } | Event::Stopping { .. } => {}
        }
    }

    /// The fold of these.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut tally = Self::default();
        for record in records {
            tally.take(record);
        }
        tally
    }

    /// The hosts that tasks ran for.
    pub fn hosts(&self) -> BTreeSet<&HostName> {
        self.tasks.values().map(|t| &t.host).collect()
    }

    /// Tasks that are under way.
    pub fn running(&self) -> impl Iterator<Item = (&TaskId, &Task)> {
        self.tasks.iter().filter(|(_, t)| matches!(t.state, State::Running | State::Undoing))
    }

    fn began(&mut self, began: &Began, at: Timestamp) {
        let task = Task {
            step: began.step.clone(),
            name: began.name.clone(),
            host: began.host.clone(),
            action: began.action.clone(),
            since: at,
            state: State::Running,
            changed: false,
            then: began.then.clone(),
        };
        if self.tasks.insert(began.task.clone(), task).is_none() {
            self.order.push(began.task.clone());
        }
    }

    fn turn(&mut self, task: &TaskId, state: State, at: Timestamp) {
        if let Some(task) = self.tasks.get_mut(task) {
            task.state = state;
            task.since = at;
        }
    }

    fn announced(&mut self, task: &TaskId, way: Way) {
        if way == Way::Forward
            && let Some(task) = self.tasks.get(task)
        {
            self.debts.extend(task.then.iter().map(|d| (d.key.clone(), d.clone())));
        }
    }

    fn ended(&mut self, id: &TaskId, way: Way, how: &How, changed: bool) {
        self.doubts.remove(id);
        self.over += usize::from(way == Way::Forward);
        if let How::Refused(why) | How::Failed(why) = how {
            self.note_failure(id, why);
        }
        let Some(task) = self.tasks.get_mut(id) else { return };
        let well = matches!(how, How::Done { .. } | How::Conditional);
        task.state = match (way, well) {
            (Way::Forward, true) => State::Done,
            (Way::Forward, false) => State::Failed,
            (Way::Undo, true) => State::Undone,
            (Way::Undo, false) => State::UndoFailed,
        };
        task.changed = changed;
    }

    fn note_failure(&mut self, id: &TaskId, why: &str) {
        if let Some(task) = self.tasks.get(id) {
            self.failed_hosts.insert(task.host.clone());
        }
        if self.failed.is_none() {
            self.failed = Some((id.clone(), why.to_owned()));
        }
    }
}
