//! The way back: stations in reverse, so the last batch first; on each host its steps in reverse, every undo verified.

use super::{
    debts::group,
    drive::Drove,
    script::Station,
    task::{Turned, refusal},
    walk::{Engine, Halt},
};
use crate::{
    actions::Entry,
    base::{HostName, Packed, TaskId, Way},
    journal::{
        event::{Debt, Event, How, Scope},
        state::{Owed, RunState, TaskState},
    },
};
use futures_util::{StreamExt as _, stream};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

/// What the way back of a scope knows beside the journal; a resume finds it anew.
struct Return {
    hosts: BTreeSet<HostName>,
    /// Its way back ends here: an undo failed, or nobody knows what an act did.
    stuck: Mutex<BTreeSet<HostName>>,
    /// Undos of failed starts that wait for the undos before them.
    waiting: Mutex<BTreeMap<HostName, Vec<TaskId>>>,
}

impl Return {
    fn stick(&self, host: &HostName) {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner).insert(host.clone());
    }
    fn is_stuck(&self, host: &HostName) -> bool {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner).contains(host)
    }
    fn waiting(&self, host: &HostName) -> Vec<TaskId> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(host).unwrap_or_default()
    }
}

impl Engine<'_> {
    /// Takes all back, as the run was to.
    pub(super) async fn turn_back(&self, why: &str) -> Result<(), Halt> {
        if self.with(|s| !s.back.contains_key(&Scope::Run)) {
            self.say(Event::RollingBack { scope: Scope::Run, why: why.to_owned(), drill: true }).await?;
        }
        self.back(&Scope::Run, why).await
    }

    /// Goes on with the way back of a run or a batch, and with what is left beside it: ways back of hosts by themselves that
    /// have not come to their end, and hosts outside the batch that were in doubt. The way there is over for all of them.
    pub(super) async fn back_with_the_rest(&self, scope: &Scope, why: &str) -> Result<(), Halt> {
        self.back(scope, why).await?;
        let within = self.hosts_of(scope);
        let rest: BTreeSet<HostName> = self.with(|s| {
            let own = s.back.iter().filter(|(_, back)| !back.done).filter_map(|(scope, _)| match scope {
                Scope::Host(host) => Some(host),
                Scope::Run | Scope::Batch(_) => None,
            });
            let doubted = s.doubts().map(|(t, _, _)| &t.began.host).filter(|host| !within.contains(*host));
            own.chain(doubted).cloned().collect()
        });
        if rest.is_empty() {
            return Ok(());
        }
        for host in rest {
            self.back(&Scope::Host(host), why).await?;
        }
        self.back(scope, why).await
    }

    /// Takes a scope back, or goes on with that. Without the way there: what never began never will.
    pub(super) async fn back(&self, scope: &Scope, why: &str) -> Result<(), Halt> {
        match self.with(|s| s.back.get(scope).map(|b| b.done)) {
            Some(true) => return Ok(()),
            Some(false) => {}
            None => self.say(Event::RollingBack { scope: scope.clone(), why: why.to_owned(), drill: false }).await?,
        }
        let back = Return { hosts: self.hosts_of(scope), stuck: Mutex::default(), waiting: Mutex::default() };
        let mut stations: Vec<Arc<Station>> = self.script.stations().into_iter().cloned().collect();
        stations.reverse();
        self.stay_stuck(scope, &back);
        self.settle_all(&back).await?;
        self.pass_over_what_is_as_before(&back).await?;
        let mut kept = BTreeSet::new();
        for station in &stations {
            if held(station, &stations, &back) {
                self.leave_none_in_doubt(station, &back).await?;
                // what was done there before stays under what stays: its undo would come out of turn
                kept.extend(self.still_to_return(station, &back));
                continue;
            }
            let goes = |host: &&HostName| back.hosts.contains(*host) && !kept.contains(*host);
            let hosts: Vec<HostName> = station.hosts.iter().filter(goes).cloned().collect();
            self.side_by_side(&hosts, |host| self.station_back(station, host, &back)).await?;
        }
        if let Some(first) = stations.last() {
            let hosts: Vec<HostName> = back.hosts.iter().cloned().collect();
            self.side_by_side(&hosts, |host| self.waited(first, host, &back)).await?;
        }
        let open = self.with(|s| {
            let doubt = |t: &TaskState| t.doubt().is_some() && t.waived.is_none();
            s.tasks.iter().any(|t| doubt(t) && back.hosts.contains(&t.began.host))
        });
        // what was called off goes on with a resume
        if !open && self.stop_level() < 2 {
            self.say(Event::RolledBack { scope: scope.clone() }).await?;
        }
        Ok(())
    }

    /// The hosts on which a station has something to take back.
    fn still_to_return(&self, station: &Station, back: &Return) -> Vec<HostName> {
        let open = |t: &&TaskState| {
            t.began.step == station.number
                && back.hosts.contains(&t.began.host)
                && station.hosts.contains(&t.began.host)
                && returns(t)
                && t.undo.as_ref().is_none_or(|undo| undo.how.is_none())
        };
        self.with(|s| s.tasks.iter().filter(open).map(|t| t.began.host.clone()).collect())
    }

    /// What has told a host something comes to its end, also where the rest stays as it is: nobody would ever know what
    /// became of it. What has told it nothing never will.
    async fn leave_none_in_doubt(&self, station: &Station, back: &Return) -> Result<(), Halt> {
        let open: Vec<TaskState> = self.with(|s| {
            let open = |t: &&TaskState| {
                t.began.step == station.number
                    && station.hosts.contains(&t.began.host)
                    && returns(t)
                    && t.undo.as_ref().is_some_and(|undo| undo.how.is_none())
            };
            s.tasks.iter().filter(open).cloned().collect()
        });
        for task in open.iter().filter(|t| back.hosts.contains(&t.began.host)) {
            let (id, host) = (&task.began.task, &task.began.host);
            if self.told_back(task) {
                self.one_back(id, station, host, back).await?;
            } else if task.doubt().is_some() && !self.goes_back_itself(host) {
                let why = "hosts of a later batch did not come back, so this one stays as it is".to_owned();
                self.end(id, Way::Undo, How::Refused(why), None, true).await?;
            }
        }
        for host in station.hosts.iter().filter(|host| back.hosts.contains(*host) && !back.is_stuck(host)) {
            self.pay_what_undone_owes(station, host, back).await?;
        }
        Ok(())
    }

    /// Its undo has told its host something.
    fn told_back(&self, task: &TaskState) -> bool {
        let step = |debt: &Debt| {
            self.with(|s| s.tasks.iter().any(|t| t.began.step == debt.step && t.began.host == debt.host && t.acted()))
        };
        task.undo.as_ref().is_some_and(|undo| undo.announced > 0) || task.began.undo.iter().any(step)
    }

    /// The host has a way back of its own that is not at its end.
    fn goes_back_itself(&self, host: &HostName) -> bool {
        self.with(|s| s.back.get(&Scope::Host(host.clone())).is_some_and(|back| !back.done))
    }

    /// Where an undo failed on the way back of a narrower scope, this one goes no further either: what waited there for that
    /// undo, such as putting a server into service again, still has to.
    fn stay_stuck(&self, scope: &Scope, back: &Return) {
        let hosts: BTreeSet<HostName> = self.with(|s| {
            let narrower = |host: &HostName| {
                s.back.keys().filter(|other| *other != scope).any(|other| match other {
                    Scope::Run => false,
                    Scope::Batch(hosts) => hosts.contains(host),
                    Scope::Host(one) => one == host,
                })
            };
            let mine = |t: &&TaskState| back.hosts.contains(&t.began.host) && returns(t);
            let failed = |t: &&TaskState| mine(t) && t.undo.as_ref().is_some_and(|u| u.why().is_some());
            s.tasks.iter().filter(failed).map(|t| t.began.host.clone()).filter(narrower).collect()
        });
        for host in &hosts {
            back.stick(host);
        }
    }

    async fn side_by_side<'f, F>(&self, hosts: &'f [HostName], work: impl Fn(&'f HostName) -> F) -> Result<(), Halt>
    where
        F: Future<Output = Result<(), Halt>>,
    {
        let all = stream::iter(hosts.iter().map(work)).buffer_unordered(self.parallel.max(1));
        all.collect::<Vec<_>>().await.into_iter().collect()
    }

    /// Learns what became of every leg that a kill or a loss of contact left open.
    async fn settle_all(&self, back: &Return) -> Result<(), Halt> {
        let open: Vec<(TaskId, HostName)> = self.with(|s| {
            let open = |t: &&TaskState| {
                back.hosts.contains(&t.began.host)
                    && t.forward.how.is_none()
                    && t.waived.is_none()
                    && !t.began.in_rollback
                    && !t.began.always
            };
            s.tasks.iter().filter(open).map(|t| (t.began.task.clone(), t.began.host.clone())).collect()
        });
        let settled = stream::iter(open.iter().map(|(id, host)| async move {
            let Some(state) = self.snapshot(id) else { return Ok(()) };
            if let Some(why) = refusal(&state.began) {
                self.end(id, Way::Forward, How::Refused(why), None, false).await?;
                return Ok(());
            }
            let known = match self.recall(&state.began) {
                Ok(task) => self.settle(id, &*task).await?,
                Err(why) => Err(why),
            };
            if known.is_err() {
                back.stick(host);
            }
            Ok(())
        }));
        let all = settled.buffer_unordered(self.parallel.max(1)).collect::<Vec<Result<(), Halt>>>().await;
        all.into_iter().collect()
    }

    /// A host on which every resource is as it was before the first act on it needs no way back: taking a healthy server
    /// out of a balancer to put it in again would only harm.
    async fn pass_over_what_is_as_before(&self, back: &Return) -> Result<(), Halt> {
        for host in &back.hosts {
            let mine: Vec<TaskState> =
                self.with(|s| s.tasks.iter().filter(|t| t.began.host == *host && returns(t)).cloned().collect());
            let begun = mine.iter().any(acts_back);
            let owes = self.with(|s| !s.owes(host).is_empty());
            // what lasts does not tell the health of what was started: its undo asks for that
            let open = mine.iter().any(left_open);
            let asks = mine.is_empty() || begun || owes || open || back.is_stuck(host);
            if asks || !self.all_as_before(&mine).await? {
                continue;
            }
            for task in mine.iter().rev() {
                let id = task.began.task.clone();
                // a kill may have come in between
                match &task.undo {
                    Some(undo) if undo.how.is_some() => continue,
                    Some(_) => {}
                    None => self.say(Event::UndoBegan { task: id.clone() }).await?,
                }
                let outputs = serde_json::json!({ "as_before": true });
                self.end(&id, Way::Undo, How::Done { outputs }, task.began.before.as_ref().map(Packed::open), false)
                    .await?;
            }
        }
        Ok(())
    }

    async fn all_as_before(&self, mine: &[TaskState]) -> Result<bool, Halt> {
        let mut seen = BTreeSet::new();
        for state in mine {
            let traits = Entry::find(self.stage.catalog, &state.began.action).map(|e| e.traits);
            let (Some(traits), Ok(task), Some(before)) = (traits, self.recall(&state.began), &state.began.before)
            else {
                return Ok(false);
            };
            if traits.opaque || !state.began.then.is_empty() {
                return Ok(false);
            }
            // the first task on a resource tells what was before
            if !seen.insert(task.locks().0) {
                continue;
            }
            match self.look(&*task, self.patience(&state.began)).await {
                Ok(Ok(now)) if task.same(&before.open(), &now).unwrap_or(false) => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// A station's way back on one host: its turns in reverse.
    async fn station_back(&self, station: &Station, host: &HostName, back: &Return) -> Result<(), Halt> {
        let mut mine: Vec<TaskId> = self.with(|s| {
            let of = |t: &&TaskState| t.began.step == station.number && t.began.host == *host && returns(t);
            s.tasks.iter().filter(of).map(|t| t.began.task.clone()).collect()
        });
        mine.reverse();
        for id in mine {
            let Some(state) = self.snapshot(&id) else { continue };
            if back.is_stuck(host) {
                return Ok(());
            }
            if state.undo.is_none() {
                // a resume comes past what waited for the undos before it: what went wrong with those, or was cut off, is
                // still in between
                if self.failed_back(host) {
                    continue;
                }
                self.pay_what_undone_owes(station, host, back).await?;
                if back.is_stuck(host) {
                    return Ok(());
                }
            }
            let started_badly = state.forward.why().is_some() && state.undo.is_none() && !self.feeds(&state);
            let waits = started_badly && state.began.action.starts_with("app.");
            if waits || (!self.feeds(&state) && state.undo.is_none() && self.owes_later(host)) {
                // it would fail again before what it reads at its start is back; and what a restart is still owed for
                // must not be put into service
                back.waiting.lock().unwrap_or_else(PoisonError::into_inner).entry(host.clone()).or_default().push(id);
                continue;
            }
            if !self.feeds(&state) {
                self.waited(station, host, back).await?;
            }
            self.one_back(&id, station, host, back).await?;
        }
        Ok(())
    }

    /// What it changes may be read by an app at its start: files, and all that has no model.
    fn feeds(&self, state: &TaskState) -> bool {
        let opaque = Entry::find(self.stage.catalog, &state.began.action).is_some_and(|e| e.traits.opaque);
        opaque || state.began.action.starts_with("file.")
    }

    /// The host owes what an undo still to come will owe again.
    fn owes_later(&self, host: &HostName) -> bool {
        self.with(|s| s.owes(host).into_iter().any(|o| again(s, o)))
    }

    /// An undo failed there: nothing new begins.
    fn failed_back(&self, host: &HostName) -> bool {
        let failed = |t: &TaskState| t.waived.is_none() && t.undo.as_ref().is_some_and(|undo| undo.why().is_some());
        self.with(|s| s.tasks.iter().any(|t| t.began.host == *host && failed(t)))
    }

    /// Pays what undos that are done owe, if anything: it comes before any other undo.
    async fn pay_what_undone_owes(&self, station: &Station, host: &HostName, back: &Return) -> Result<(), Halt> {
        let due = self.with(|s| {
            let on_the_way_back = |o: &Owed| o.way == Way::Undo || s.task(&o.by).is_some_and(|t| t.began.in_rollback);
            s.debts.iter().any(|o| o.debt.host == *host && on_the_way_back(o) && !again(s, o))
        });
        if due { self.pay_back(station, host, back).await } else { Ok(()) }
    }

    /// The undos that waited for the ones before them.
    async fn waited(&self, station: &Station, host: &HostName, back: &Return) -> Result<(), Halt> {
        for id in back.waiting(host) {
            self.one_back(&id, station, host, back).await?;
        }
        Ok(())
    }

    async fn one_back(&self, id: &TaskId, station: &Station, host: &HostName, back: &Return) -> Result<(), Halt> {
        if back.is_stuck(host) || self.stop_level() > 1 {
            back.stick(host);
            return Ok(());
        }
        let Some(state) = self.snapshot(id) else { return Ok(()) };
        let well = if state.began.undo.is_empty() {
            match self.recall(&state.began) {
                Ok(task) => matches!(self.drive(id, &*task, Way::Undo, None, None).await?, Drove::Well),
                Err(_) => false,
            }
        } else {
            self.undone_by_steps(&state, station).await?
        };
        if !well {
            back.stick(host);
            return Ok(());
        }
        self.pay_back(station, host, back).await
    }

    /// Undoes by the steps of `undo:`, in their order; each is a task of its own.
    async fn undone_by_steps(&self, state: &TaskState, station: &Station) -> Result<bool, Halt> {
        let id = &state.began.task;
        if let Some(how) = state.undo.as_ref().and_then(|u| u.how.clone()) {
            return Ok(matches!(how, How::Done { .. }));
        }
        if state.undo.is_none() {
            self.say(Event::UndoBegan { task: id.clone() }).await?;
        }
        for step in &state.began.undo {
            // what it brings back has the consequences that the way there had
            let then = state.began.then.as_slice();
            let first = TaskId::new(&step.step, &step.host);
            match self.pay(&self.attempt(first), step, station, Some(then)).await? {
                Turned::Well => {}
                Turned::Bad(why) => {
                    self.end(id, Way::Undo, How::Failed(why), None, true).await?;
                    return Ok(false);
                }
                Turned::Doubt(_) | Turned::NotBegun | Turned::Halted => return Ok(false),
            }
        }
        self.end(id, Way::Undo, How::Done { outputs: serde_json::Value::Null }, None, false).await?;
        Ok(true)
    }

    /// What a task of the way back is called: one that failed is a new task when the run is taken back once more.
    fn attempt(&self, first: TaskId) -> TaskId {
        let mut id = first;
        while self.with(|s| s.task(&id).is_some_and(|t| t.forward.why().is_some() && t.round < s.rounds)) {
            id = TaskId::from(format!("{id}~").as_str());
        }
        id
    }

    /// Pays each debt of this host that no undo still to come will owe again.
    async fn pay_back(&self, station: &Station, host: &HostName, back: &Return) -> Result<(), Halt> {
        loop {
            let due: Option<Debt> =
                self.with(|s| s.owes(host).into_iter().find(|o| !again(s, o)).map(|o| o.debt.clone()));
            let Some(debt) = due else { return Ok(()) };
            let id = TaskId::new(&debt.step, host);
            let id = self.attempt(TaskId::from(format!("{id}~").as_str()));
            if self.pay(&id, &debt, station, Some(&[])).await? != Turned::Well || self.still_owes(&debt) {
                back.stick(host);
                return Ok(());
            }
        }
    }
}

/// A task that the way back must see to.
fn returns(task: &TaskState) -> bool {
    let b = &task.began;
    task.acted()
        && !b.leaves_nothing
        && !b.in_rollback
        && !b.always
        && b.pays.is_none()
        && task.waived.is_none()
        && (task.forward.how.is_none() || task.forward.changed || task.undo.is_some() || left_open(task))
}

/// Its undo has done something, or failed to.
fn acts_back(task: &TaskState) -> bool {
    task.undo.as_ref().is_some_and(|undo| undo.announced > 0 || undo.why().is_some() || !task.began.undo.is_empty())
}

/// An undo still to come, of a step in the same group, will owe this again: there one payment settled both.
fn again(state: &RunState, owed: &Owed) -> bool {
    let Some(by) = state.task(&owed.by).map(|t| group(&t.began.step)) else { return false };
    state.tasks.iter().any(|t| {
        t.began.host == owed.debt.host
            && returns(t)
            && t.undo.as_ref().is_none_or(|u| u.how.is_none())
            && group(&t.began.step) == by
            && t.began.then.iter().any(|d| d.key == owed.debt.key)
    })
}

/// A later batch of the same group did not come back: to take hosts of this one out of service as well would leave fewer
/// than the group promises, so they stay as they are.
fn held(station: &Station, all: &[Arc<Station>], back: &Return) -> bool {
    let (Some(group), Some(batch)) = (&station.rolling, station.batch) else { return false };
    let later =
        |s: &&Arc<Station>| s.rolling.as_ref() == Some(group) && s.batch.is_some_and(|b| b.number > batch.number);
    all.iter().filter(later).any(|s| s.hosts.iter().any(|h| back.is_stuck(h)))
}

/// It did not end well and can undo itself: what lasts may be as before, but not what must be waited for.
fn left_open(task: &TaskState) -> bool {
    task.forward.why().is_some() && task.began.undo.is_empty() && !task.began.opaque
}
