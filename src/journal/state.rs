//! The state of a run: a fold over its events, and nothing else holds any.

use super::event::{Began, Debt, Event, Header, How, Operator, Record, Scope, Summary};
use super::outage::{Outage, Watches};
use crate::base::{At, Change, HostName, Lock, Outcome, Packed, Receipt, RunId, TaskId, Way};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A run as its events tell it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunState {
    /// How it began.
    pub header: Option<Header>,
    /// When.
    pub began: Option<Timestamp>,
    /// When the last event came.
    pub last: Option<Timestamp>,
    /// The tasks in the order in which they began.
    pub tasks: Vec<TaskState>,
    /// Tasks that did not apply, and why.
    pub skipped: BTreeMap<TaskId, String>,
    /// What is owed, in the order in which it came to be.
    pub debts: Vec<Owed>,
    /// Debts of earlier runs that this one has paid.
    pub paid: Vec<(RunId, String)>,
    /// Scopes that go back: why, and whether that is done.
    pub back: BTreeMap<Scope, Back>,
    /// How many ways back of the whole run have begun.
    pub rounds: usize,
    /// Outputs of steps that have an id: by step, then by host.
    pub outputs: BTreeMap<String, BTreeMap<HostName, Value>>,
    /// Exclusive locks.
    pub exclusive: Vec<Lock>,
    /// Shared locks.
    pub shared: Vec<Lock>,
    /// Somebody asked it to stop.
    pub stopping: Option<String>,
    /// Who drives it now.
    pub operator: Option<Operator>,
    /// How it ended.
    pub end: Option<Summary>,
    /// What clients saw meanwhile.
    watches: Watches,
    index: BTreeMap<TaskId, usize>,
}

/// A scope that goes back.
#[derive(Clone, Debug, PartialEq)]
pub struct Back {
    /// Why.
    pub why: String,
    /// As far as it goes, it is back.
    pub done: bool,
    /// It was to turn back there.
    pub drill: bool,
}

/// A debt and who made it.
#[derive(Clone, Debug, PartialEq)]
pub struct Owed {
    /// What.
    pub debt: Debt,
    /// The task that made it.
    pub by: TaskId,
    /// Made there, or back.
    pub way: Way,
    /// The earlier run that it was taken over from.
    pub from: Option<RunId>,
}

/// A task as its events tell it.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskState {
    /// As it began.
    pub began: Began,
    /// Seen at the end of the way there.
    pub after: Option<Packed>,
    /// The way there.
    pub forward: Leg,
    /// The way back, once it began.
    pub undo: Option<Box<Leg>>,
    /// A person took it out of the rest of the run.
    pub waived: Option<String>,
    /// It crossed the point of no return.
    pub no_return: bool,
    /// So many ways back of the whole run had begun before it.
    pub round: usize,
}

/// One way of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Leg {
    /// Its deadline counts from here; a resume sets it anew.
    pub since: Timestamp,
    /// Nothing was done since then: the last receipt, or the begin; a resume sets it anew.
    pub rested: Timestamp,
    /// Acts announced so far: the next one's number.
    pub announced: usize,
    /// What came of this attempt's acts, with each act's change.
    pub did: Vec<(At<Change>, Receipt)>,
    /// Announced, and nothing is known of it yet.
    pub queue: VecDeque<At<Change>>,
    /// The number of the first in the queue.
    pub number: usize,
    /// The boot that they were announced under.
    pub boot: String,
    /// What must hold at the end.
    pub expect: Option<Value>,
    /// The attempt, from 1.
    pub attempt: u32,
    /// An act of an earlier attempt was carried out, however it ended.
    pub tried: bool,
    /// Nobody knows what became of an act.
    pub doubt: Option<String>,
    /// How it ended.
    pub how: Option<How>,
    /// What lasts is another than before; known once it ended.
    pub changed: bool,
}

impl Leg {
    fn starting(at: Timestamp) -> Self {
        Self {
            since: at,
            rested: at,
            announced: 0,
            did: Vec::new(),
            queue: VecDeque::new(),
            number: 0,
            boot: String::new(),
            expect: None,
            attempt: 1,
            tried: false,
            doubt: None,
            how: None,
            changed: false,
        }
    }
    /// An act was carried out, in this attempt or an earlier one: it may have had an effect, however it ended.
    pub fn ran(&self) -> bool {
        self.tried || self.did.iter().any(|(_, receipt)| !matches!(receipt.outcome, Outcome::Refused(_)))
    }
    /// It ended well.
    pub fn done(&self) -> bool {
        matches!(self.how, Some(How::Done { .. } | How::Conditional))
    }
    /// Why it ended badly.
    pub fn why(&self) -> Option<&str> {
        match &self.how {
            Some(How::Refused(why) | How::Failed(why)) => Some(why),
            _ => None,
        }
    }
}

impl TaskState {
    /// The leg of that way.
    pub fn leg(&self, way: Way) -> Option<&Leg> {
        match way {
            Way::Forward => Some(&self.forward),
            Way::Undo => self.undo.as_deref(),
        }
    }
    /// It has announced an act that may stand: a rollback must see to it.
    pub fn acted(&self) -> bool {
        self.forward.announced > 0
    }
    /// What it did may stand: it acted, it is not seen to be as before, and it is nothing that a rollback passes over.
    pub fn stands(&self) -> bool {
        let back = self.undo.as_deref().is_some_and(Leg::done);
        // an undo that failed leaves something even where what lasts is as before: an app that is not healthy
        let undone_badly = self.undo.as_ref().is_some_and(|u| u.why().is_some());
        let nothing = self.forward.how.is_some() && !self.forward.changed && !undone_badly;
        let taken_back = !self.began.leaves_nothing && !self.began.always && self.began.pays.is_none();
        self.acted() && !back && !nothing && taken_back
    }
    /// In doubt, there or back.
    pub fn doubt(&self) -> Option<(Way, &str)> {
        let of = |way| self.leg(way).and_then(|l| l.doubt.as_deref()).map(|why| (way, why));
        of(Way::Undo).or_else(|| of(Way::Forward))
    }
}

impl RunState {
    /// The state that these events make.
    pub fn fold<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut state = Self::default();
        for record in records {
            state.apply(record);
        }
        state
    }
    /// The task of that id.
    pub fn task(&self, id: &TaskId) -> Option<&TaskState> {
        self.index.get(id).and_then(|i| self.tasks.get(*i))
    }
    /// The point of no return is crossed: by the task named.
    pub fn no_return(&self) -> Option<&TaskId> {
        let crossed = |t: &&TaskState| t.no_return && (t.forward.changed || t.forward.why().is_none());
        self.tasks.iter().find(crossed).map(|t| &t.began.task)
    }
    /// It was on its way back: to go on with it is to take back the rest.
    pub fn goes_back(&self) -> bool {
        self.back.keys().any(|scope| !matches!(scope, Scope::Host(_)))
    }
    /// It has come to where it was to turn back, and is back as far as it goes: a drill. Whether that went well, its end says.
    pub fn drilled(&self) -> bool {
        self.back.get(&Scope::Run).is_some_and(|back| back.drill && back.done)
    }
    /// Tasks of which nobody knows what an act did.
    pub fn doubts(&self) -> impl Iterator<Item = (&TaskState, Way, &str)> {
        self.tasks.iter().filter_map(|t| t.doubt().map(|(way, why)| (t, way, why)))
    }
    /// Tasks that failed on either way or are in doubt, in the order in which they began.
    pub fn troubled(&self) -> impl Iterator<Item = &TaskState> {
        let failed = |t: &&TaskState| {
            t.forward.why().is_some() || t.doubt().is_some() || t.undo.as_ref().is_some_and(|u| u.why().is_some())
        };
        self.tasks.iter().filter(failed)
    }
    /// How long clients did not see the services that were watched, in the order in which that was begun.
    pub fn outages(&self) -> Vec<Outage> {
        self.watches.outages()
    }
    /// What a host owes still, each debt once.
    pub fn owes(&self, host: &HostName) -> Vec<&Owed> {
        let mut seen = BTreeSet::new();
        self.debts.iter().filter(|o| o.debt.host == *host && seen.insert(&o.debt.key)).collect()
    }
    /// The keys of the debts of a run that is over, by the task that owes them or by the one that would pay them: what a
    /// person's word about that task settles.
    pub fn settled_by(&self, task: &TaskId) -> BTreeSet<String> {
        if self.end.as_ref().is_none_or(|end| end.outcome.resumable()) {
            return BTreeSet::new();
        }
        let pays = |o: &Owed| TaskId::new(&o.debt.step, &o.debt.host) == *task;
        self.debts.iter().filter(|o| o.by == *task || pays(o)).map(|o| o.debt.key.clone()).collect()
    }
    /// What is owed, each debt once: where the run owes by itself what it also took over, that is the one.
    pub fn owing(&self) -> Vec<&Owed> {
        let mut seen = BTreeSet::new();
        let own = self.debts.iter().filter(|o| o.from.is_none());
        let taken = self.debts.iter().filter(|o| o.from.is_some());
        own.chain(taken).filter(|o| seen.insert(&o.debt.key)).collect()
    }
    /// Takes one event in.
    pub fn apply(&mut self, record: &Record) {
        let at = record.at;
        self.last = Some(at);
        self.watches.take(record);
        match &record.event {
            Event::Started(header) => {
                self.operator = Some(header.operator.clone());
                self.header = Some(*header.clone());
                self.began = Some(at);
            }
            Event::Locked { exclusive, shared } => {
                self.exclusive.clone_from(exclusive);
                self.shared.clone_from(shared);
            }
            Event::Resumed { operator } => self.resumed(at, operator),
            Event::Skipped { task, why } => {
                self.skipped.insert(task.clone(), why.clone());
            }
            Event::Began(began) => self.begin(at, began),
            Event::UndoBegan { task } => {
                if let Some(task) = self.task_mut(task) {
                    // acts are numbered on where an undo is tried again
                    let announced = task.undo.as_ref().map_or(0, |u| u.announced);
                    task.undo = Some(Box::new(Leg { announced, ..Leg::starting(at) }));
                }
            }
            Event::Announced { task, way, number, changes, expect, boot, no_return } => {
                self.owe(task, *way);
                if let Some(task) = self.task_mut(task) {
                    task.no_return |= no_return;
                    let leg = task.leg_mut(*way, at);
                    leg.queue = changes.iter().cloned().collect();
                    leg.number = *number;
                    leg.announced = number + changes.len();
                    leg.expect = Some(expect.clone());
                    leg.boot.clone_from(boot);
                }
            }
            Event::Carried { task, way, receipt, .. } => {
                if let Some(leg) = self.task_mut(task).map(|t| t.leg_mut(*way, at)) {
                    leg.rested = at;
                    leg.carried(receipt.clone());
                }
            }
            Event::Retried { task, attempt, .. } => {
                if let Some(leg) = self.task_mut(task).map(|t| t.leg_mut(Way::Forward, at)) {
                    let (announced, tried) = (leg.announced, leg.ran());
                    *leg = Leg { announced, tried, attempt: *attempt, ..Leg::starting(at) };
                }
            }
            Event::InDoubt { task, way, why } => {
                if let Some(leg) = self.task_mut(task).map(|t| t.leg_mut(*way, at)) {
                    leg.doubt = Some(why.clone());
                }
            }
            Event::Resolved { task, way, done, .. } => {
                let settled = if *done && *way == Way::Forward { self.settled_by(task) } else { BTreeSet::new() };
                if !settled.is_empty() {
                    self.debts.retain(|o| !settled.contains(&o.debt.key));
                } else if let Some(leg) = self.task_mut(task).map(|t| t.leg_mut(*way, at)) {
                    leg.resolved(*done);
                }
            }
            Event::Waived { task, reason, .. } => {
                if let Some(task) = self.task_mut(task) {
                    task.waived = Some(reason.clone());
                } else {
                    self.skipped.insert(task.clone(), reason.clone());
                }
            }
            Event::Ended { task, way, how, seen, changed } => {
                if *way == Way::Forward
                    && let Some(task) = self.task_mut(task)
                {
                    task.after = seen.as_ref().map(Packed::from);
                }
                self.ended(at, task, *way, how, *changed);
            }
            Event::RollingBack { scope, why, drill } => {
                self.rounds += usize::from(*scope == Scope::Run);
                self.back.insert(scope.clone(), Back { why: why.clone(), done: false, drill: *drill });
            }
            Event::RolledBack { scope } => {
                if let Some(back) = self.back.get_mut(scope) {
                    back.done = true;
                }
            }
            Event::Stopping { why, .. } => self.stopping = Some(why.clone()),
            Event::Paid { run_owing, debt } => self.paid.push((run_owing.clone(), debt.clone())),
            Event::Finished(summary) => self.end = Some(summary.clone()),
            Event::Refused { .. } | Event::Phase { .. } => {}
        }
    }

    /// Lets go of what only who drives a task needs, once it has ended: what it came from, what was seen, what its acts
    /// said. For who tells of a run: thousands of tasks are kept to its end.
    pub fn let_go(&mut self, id: &TaskId) {
        let Some(task) = self.task_mut(id) else { return };
        (task.began.value, task.began.before, task.after) = (Packed::default(), None, None);
        task.began.undo = Vec::new();
        for leg in [Some(&mut task.forward), task.undo.as_deref_mut()].into_iter().flatten() {
            if leg.how.is_some() {
                leg.tried = leg.ran();
                (leg.did, leg.queue, leg.expect) = (Vec::new(), VecDeque::new(), None);
            }
            if let Some(How::Done { outputs }) = &mut leg.how {
                *outputs = Value::Null;
            }
        }
    }

    fn resumed(&mut self, at: Timestamp, operator: &Operator) {
        self.operator = Some(operator.clone());
        self.end = None;
        self.stopping = None;
        for task in &mut self.tasks {
            for leg in [Some(&mut task.forward), task.undo.as_deref_mut()].into_iter().flatten() {
                (leg.since, leg.rested) = (at, at);
            }
        }
    }
    fn begin(&mut self, at: Timestamp, began: &Began) {
        for inherited in &began.inherits {
            self.debts.push(Owed {
                debt: inherited.debt.clone(),
                by: began.task.clone(),
                way: Way::Forward,
                from: Some(inherited.run.clone()),
            });
        }
        self.index.insert(began.task.clone(), self.tasks.len());
        self.tasks.push(TaskState {
            began: began.clone(),
            after: None,
            forward: Leg::starting(at),
            undo: None,
            waived: None,
            no_return: false,
            round: self.rounds,
        });
    }
    /// What a task announces, it owes the consequences of, until a payment or until it is seen that nothing changed.
    fn owe(&mut self, id: &TaskId, way: Way) {
        let then = self.task(id).map(|t| t.began.then.clone()).unwrap_or_default();
        for debt in then {
            // what it took over from an earlier run is that run's: this one owes it by itself as well
            let known = |o: &Owed| o.by == *id && o.way == way && o.debt.key == debt.key && o.from.is_none();
            if !self.debts.iter().any(known) {
                self.debts.push(Owed { debt, by: id.clone(), way, from: None });
            }
        }
    }
    fn ended(&mut self, at: Timestamp, id: &TaskId, way: Way, how: &How, changed: bool) {
        let Some(task) = self.task_mut(id) else { return };
        let leg = task.leg_mut(way, at);
        leg.how = Some(how.clone());
        leg.changed = changed;
        leg.doubt = None;
        let began = task.began.clone();
        if way == Way::Forward && !changed {
            self.debts.retain(|o| o.by != *id || o.way != Way::Forward || o.from.is_some());
        }
        if way == Way::Forward
            && matches!(how, How::Done { .. } | How::Conditional)
            && let Some(paid) = &began.pays
        {
            self.debts.retain(|o| o.debt.key != *paid);
        }
        if let How::Done { outputs } = how
            && way == Way::Forward
            && let Some(step) = &began.id
        {
            self.outputs.entry(step.clone()).or_default().insert(began.host.clone(), outputs.clone());
        }
    }
    fn task_mut(&mut self, id: &TaskId) -> Option<&mut TaskState> {
        self.index.get(id).and_then(|i| self.tasks.get_mut(*i))
    }
}

impl TaskState {
    fn leg_mut(&mut self, way: Way, at: Timestamp) -> &mut Leg {
        match way {
            Way::Forward => &mut self.forward,
            Way::Undo => self.undo.get_or_insert_with(|| Box::new(Leg::starting(at))),
        }
    }
}

impl Leg {
    fn carried(&mut self, receipt: Receipt) {
        let well = receipt.outcome == Outcome::Ok;
        self.doubt = None;
        if let Some(change) = self.queue.pop_front() {
            self.number += 1;
            // most tasks do one thing, and thousands of them are kept
            self.did.reserve_exact(1);
            self.did.push((change, receipt));
        }
        if !well {
            self.queue.clear();
        }
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }
    /// A person's word stands for the receipt that is not to be had, or for the undo that could not be made.
    fn resolved(&mut self, done: bool) {
        let outcome =
            if done { Outcome::Ok } else { Outcome::Failed("it was not done: a person saw to that".to_owned()) };
        self.doubt = None;
        if self.why().is_some() || (self.did.is_empty() && self.queue.is_empty()) {
            // nothing is in doubt: somebody has put right what could not be undone
            self.how = Some(How::Done { outputs: Value::Null });
            self.changed = false;
            return;
        }
        match self.did.last_mut() {
            Some((_, receipt)) if matches!(receipt.outcome, Outcome::Unknown(_)) => receipt.outcome = outcome,
            _ => self.carried(Receipt::of(outcome)),
        }
    }
}
