//! The way there: stations in their order, batch after batch, hosts side by side; and what a failure does to the rest.

use super::{
    Stage, Stop,
    script::{Node, Script, Station},
    task::Turned,
};
use crate::{
    base::{Change, HostName, RunId, TaskId, Way},
    journal::{
        JournalError,
        event::{Event, How, Inherited, Scope},
        state::{Back, RunState, TaskState},
    },
    runbook::{FailureAct, FailureScope, OnFailure, Rolling},
};
use futures_util::{StreamExt as _, future::LocalBoxFuture, stream};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// One run under way. What it decides follows from `state`; the rest is re-made by a resume.
pub(super) struct Engine<'a> {
    pub(super) stage: &'a Stage,
    pub(super) script: &'a Script,
    pub(super) run: RunId,
    pub(super) state: Mutex<RunState>,
    pub(super) stop: Stop,
    /// On the simulated world: what cannot be known is conditional, and a failure stops its host only.
    pub(super) planning: bool,
    pub(super) parallel: usize,
    /// Debts of earlier runs, by key.
    pub(super) earlier: BTreeMap<String, Vec<Inherited>>,
    /// Hosts that have left the run, and why.
    pub(super) gone: Mutex<BTreeMap<HostName, String>>,
    /// Hosts that have answered this process.
    pub(super) met: Mutex<BTreeSet<HostName>>,
    /// Who pays what a host owes: one step at a time, though its siblings run side by side with it.
    pub(super) paying: Mutex<BTreeMap<HostName, Arc<tokio::sync::Mutex<()>>>>,
    /// The way there ends: nothing more begins.
    pub(super) halting: AtomicBool,
    /// `always` steps run: only the second call to stop holds them.
    pub(super) closing: AtomicBool,
    /// The operator was told that the run goes on in spite of a call to stop.
    pub(super) told: AtomicBool,
    /// How it came out, for `always` steps.
    pub(super) came_to: Mutex<&'static str>,
}

/// Why the engine itself cannot go on: nothing to do with a task.
#[derive(Debug)]
pub(super) enum Halt {
    /// No event can be made durable, so no act may follow.
    Journal(JournalError),
}

impl From<JournalError> for Halt {
    fn from(e: JournalError) -> Self {
        Self::Journal(e)
    }
}

/// How the way there ended before its end.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Off {
    /// A failure, what it does, and (for its scope) the hosts of the batch.
    Failed { policy: OnFailure, why: String, batch: Vec<HostName> },
    /// The run was asked to stop.
    Stopped,
    /// It has come to where it was to turn back.
    Turned { why: String },
}

/// What the stations of a group share on the way there.
#[derive(Clone, Copy, Default)]
struct Course<'c> {
    /// Of a rolling group: so many hosts may still fail.
    tolerance: Option<&'c Mutex<usize>>,
    /// Of a parallel group: hosts that go back by themselves, and why, once none of its steps is under way on them.
    leaving: Option<&'c Mutex<Vec<(HostName, String)>>>,
}

type Walked = Result<Result<(), Off>, Halt>;

impl Engine<'_> {
    /// The way there, from wherever it stands.
    pub(super) async fn forward(&self) -> Walked {
        self.leave().await?;
        let walked = self.nodes(&self.script.nodes, Course::default()).await?;
        match (walked, self.script.stations().last()) {
            (Ok(()), Some(last)) => self.swept(last, Course::default()).await,
            (walked, _) => Ok(walked),
        }
    }

    /// Hosts that went back by themselves have left the run, whatever their tasks say: a resume sees to that first.
    async fn leave(&self) -> Result<(), Halt> {
        let hosts: Vec<(HostName, String)> = self.with(|s| {
            let host = |(scope, back): (&Scope, &Back)| match scope {
                Scope::Host(host) => Some((host.clone(), back.why.clone())),
                Scope::Run | Scope::Batch(_) => None,
            };
            s.back.iter().filter_map(host).collect()
        });
        for (host, why) in hosts {
            self.gone().insert(host.clone(), why.clone());
            self.back(&Scope::Host(host), &why).await?;
        }
        Ok(())
    }

    async fn swept(&self, station: &Station, course: Course<'_>) -> Walked {
        let turns = self.sweep(station).await?;
        self.judge(station, turns, course).await
    }

    /// `always` steps: each goes its way whatever the others do.
    pub(super) async fn last(&self) -> Result<(), Halt> {
        self.halting.store(false, Ordering::Relaxed);
        let gone = std::mem::take(&mut *self.gone());
        for node in &self.script.always {
            drop(self.node(node, Course::default()).await?);
            self.gone().clear();
        }
        *self.gone() = gone;
        Ok(())
    }

    fn nodes<'e>(&'e self, nodes: &'e [Node], course: Course<'e>) -> LocalBoxFuture<'e, Walked> {
        Box::pin(async move {
            for node in nodes {
                if let Err(off) = self.node(node, course).await? {
                    return Ok(Err(off));
                }
            }
            Ok(Ok(()))
        })
    }

    fn node<'e>(&'e self, node: &'e Node, course: Course<'e>) -> LocalBoxFuture<'e, Walked> {
        Box::pin(async move {
            match node {
                Node::Station(station) => self.station(station, course).await,
                Node::Seq(nodes) => self.nodes(nodes, course).await,
                Node::Par(nodes) => {
                    let own = Mutex::default();
                    let within = Course { leaving: course.leaving.or(Some(&own)), ..course };
                    let all = nodes.iter().map(|n| self.node(n, within)).collect::<Vec<_>>();
                    let ends = futures_util::future::join_all(all).await;
                    let ends = ends.into_iter().collect::<Result<Vec<_>, Halt>>()?;
                    for (host, why) in own.into_inner().unwrap_or_else(PoisonError::into_inner) {
                        self.back(&Scope::Host(host), &why).await?;
                    }
                    let mut stations = Vec::new();
                    super::script::collect(nodes, &mut stations);
                    match (ends.into_iter().find(Result::is_err), stations.last()) {
                        (Some(off), _) => Ok(off),
                        (None, Some(last)) => self.swept(last, course).await,
                        (None, None) => Ok(Ok(())),
                    }
                }
                Node::Rolling(batches, rolling) => self.rolling(batches, *rolling, course).await,
            }
        })
    }

    async fn rolling(&self, batches: &[Vec<Node>], rolling: Rolling, around: Course<'_>) -> Walked {
        let tolerance = Mutex::new(rolling.max_failed.saturating_sub(self.tolerated(batches)));
        let course = Course { tolerance: Some(&tolerance), ..around };
        for (at, batch) in batches.iter().enumerate() {
            let events = self.with(|s| s.tasks.len());
            if let Err(off) = self.nodes(batch, course).await? {
                return Ok(Err(off));
            }
            let moved = self.with(|s| s.tasks.len()) > events;
            if moved && at + 1 < batches.len() && !rolling.pause.0.is_zero() && !self.must_stop() {
                let mut stop = self.stop.clone();
                tokio::select! {
                    () = self.stage.clock.sleep(rolling.pause.0) => {}
                    () = soft(&mut stop) => {}
                }
            }
        }
        Ok(Ok(()))
    }

    /// How many hosts a group has lost already, of those that it may lose: a resume finds them gone.
    fn tolerated(&self, batches: &[Vec<Node>]) -> usize {
        let mut stations = Vec::new();
        for batch in batches {
            super::script::collect(batch, &mut stations);
        }
        let steps: BTreeSet<&str> = stations
            .iter()
            .filter(|s| s.on_failure.scope != FailureScope::Host && s.on_failure.act != FailureAct::Continue)
            .map(|s| s.number.as_str())
            .collect();
        let left = |host: &&HostName| {
            self.with(|s| {
                s.back.contains_key(&Scope::Host((*host).clone()))
                    && s.tasks.iter().any(|t| t.began.host == **host && steps.contains(t.began.step.as_str()))
            })
        };
        self.gone().keys().filter(left).count()
    }

    async fn station(&self, station: &Station, course: Course<'_>) -> Walked {
        let mut hosts: Vec<&HostName> =
            station.hosts.iter().filter(|h| !self.is_gone(h) || self.is_under_way(station, h)).collect();
        if self.must_stop() && !self.all_ended(station, &hosts) {
            if !self.halting.load(Ordering::Relaxed) {
                return Ok(Err(Off::Stopped));
            }
            hosts.retain(|h| self.is_under_way(station, h));
        }
        if hosts.is_empty() {
            return Ok(Ok(()));
        }
        if !self.planning && !self.all_ended(station, &hosts) {
            let hosts = hosts.iter().map(|h| (*h).clone()).collect();
            let (step, name) = (station.number.clone(), station.step.name.clone());
            self.say(Event::Phase { step, name, batch: station.batch, hosts }).await?;
        }
        let turns = stream::iter(hosts.iter().map(|host| async move {
            let turned = match self.turn(station, host).await? {
                Turned::Well => self.pay_due(station, host).await?,
                other => other,
            };
            Ok::<_, Halt>(((*host).clone(), turned))
        }))
        .buffer_unordered(self.parallel.max(1))
        .collect::<Vec<_>>()
        .await;
        let mut turns = turns.into_iter().collect::<Result<Vec<_>, Halt>>()?;
        turns.sort_by(|a, b| a.0.cmp(&b.0));
        self.judge(station, turns, course).await
    }

    /// What the failures of a station do.
    async fn judge(&self, station: &Station, turns: Vec<(HostName, Turned)>, course: Course<'_>) -> Walked {
        let (mut off, mut stopped) = (None, false);
        for (host, turned) in turns {
            let (why, doubt) = match turned {
                Turned::Well => continue,
                Turned::NotBegun | Turned::Halted => {
                    stopped = true;
                    continue;
                }
                Turned::Bad(why) => (why, false),
                Turned::Doubt(why) => (why, true),
            };
            let mut policy = station.on_failure;
            let last = self.closing.load(Ordering::Relaxed);
            if doubt && station.step.no_return && !self.planning {
                // whether the point of no return is behind it is not known: nothing that builds on it begins until it is
                self.halting.store(true, Ordering::Relaxed);
                off = off.or(Some(Off::Failed { policy: OnFailure::UNKNOWN, why, batch: Vec::new() }));
                continue;
            }
            if self.planning || last || self.with(|s| s.no_return().is_some()) {
                policy = OnFailure::FORWARD;
            }
            if policy.scope != FailureScope::Host
                && policy.act != FailureAct::Continue
                && let Some(left) = course.tolerance
            {
                let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
                if *left > 0 {
                    *left -= 1;
                    policy.scope = FailureScope::Host;
                }
            }
            match (policy.act, policy.scope) {
                (FailureAct::Rollback, FailureScope::Host) => {
                    self.gone().insert(host.clone(), why.clone());
                    match course.leaving {
                        _ if doubt => {}
                        Some(leaving) => leaving.lock().unwrap_or_else(PoisonError::into_inner).push((host, why)),
                        None => self.back(&Scope::Host(host), &why).await?,
                    }
                }
                (FailureAct::Continue, _) | (FailureAct::Stop, FailureScope::Host) => {
                    self.gone().insert(host, why);
                }
                _ if off.is_none() => {
                    self.halting.store(true, Ordering::Relaxed);
                    off = Some(Off::Failed {
                        policy,
                        why: format!("`{}` on `{host}`: {why}", station.step.name),
                        batch: station.under_way.clone(),
                    });
                }
                _ => {}
            }
        }
        Ok(match off {
            Some(off) => Err(off),
            None if stopped && !self.halting.load(Ordering::Relaxed) => Err(Off::Stopped),
            None if self.turns_back(station) => {
                self.halting.store(true, Ordering::Relaxed);
                Err(Off::Turned { why: "the drill has come to its end".to_owned() })
            }
            None => Ok(()),
        })
    }

    /// The step was done from where the run is to turn back; one that did not apply turns nothing back.
    fn turns_back(&self, station: &Station) -> bool {
        let done = |t: &TaskState| t.began.step == station.number && t.forward.done();
        station.traits.turns_back && self.with(|s| s.tasks.iter().any(done))
    }

    /// Every turn of a step on these hosts has ended; after one that failed the others of its `for_each` never begin.
    fn all_ended(&self, station: &Station, hosts: &[&HostName]) -> bool {
        hosts.iter().all(|host| {
            let ids = self.turns(station, host);
            self.with(|s| {
                for id in &ids {
                    match s.task(id) {
                        None if s.skipped.contains_key(id) => {}
                        Some(task) if task.waived.is_some() => {}
                        Some(task) if task.forward.why().is_some() => break,
                        Some(task) if task.forward.how.is_some() => {}
                        _ => return false,
                    }
                }
                true
            })
        })
    }

    /// It was begun on that host and has no end yet. A resume finds that of a step whose sibling in a parallel group has
    /// failed meanwhile: it comes to its end, as it would have then.
    fn is_under_way(&self, station: &Station, host: &HostName) -> bool {
        let ids = self.turns(station, host);
        self.with(|s| {
            let open = |id: &TaskId| s.task(id).is_some_and(|t| t.forward.how.is_none() && t.waived.is_none());
            !s.back.contains_key(&Scope::Host(host.clone())) && ids.iter().any(open)
        })
    }

    /// Records an event, then takes it into the state. It is durable by then, unless a resume finds it again.
    pub(super) async fn say(&self, event: Event) -> Result<(), Halt> {
        let (journal, now) = (&self.stage.journal, self.stage.clock.now());
        let said = if self.is_found_again(&event) {
            journal.note(&self.run, now, event)
        } else {
            journal.append(&self.run, now, event)
        };
        let record = said.await?;
        self.with_mut(|s| s.apply(&record));
        self.stage.watcher.record(&record);
        Ok(())
    }

    /// What was looked at can be looked at again, and a receipt that a host keeps can be read again.
    fn is_found_again(&self, event: &Event) -> bool {
        match event {
            Event::Phase { .. } | Event::Began(_) | Event::Skipped { .. } => true,
            Event::Carried { task, way, .. } => self.with(|s| {
                let change = s.task(task).and_then(|t| t.leg(*way)).and_then(|leg| leg.queue.front());
                change.is_some_and(|c| c.at.host.is_some() && matches!(c.what, Change::Run(_)))
            }),
            _ => false,
        }
    }

    pub(super) async fn end(
        &self,
        id: &TaskId,
        way: Way,
        how: How,
        seen: Option<Value>,
        changed: bool,
    ) -> Result<(), Halt> {
        let clean = |why: String| self.stage.redactor.clean(&why).0;
        let how = match how {
            How::Refused(why) => How::Refused(clean(why)),
            How::Failed(why) => How::Failed(clean(why)),
            other => other,
        };
        self.say(Event::Ended { task: id.clone(), way, how, seen, changed }).await
    }

    /// What cannot be known is conditional, not a failure: this is a plan, or a rehearsal.
    pub(super) fn supposes(&self) -> bool {
        self.planning || self.stage.transport.supposes()
    }
    pub(super) fn with<T>(&self, look: impl FnOnce(&RunState) -> T) -> T {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
    fn with_mut<T>(&self, act: impl FnOnce(&mut RunState) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
    pub(super) fn snapshot(&self, id: &TaskId) -> Option<TaskState> {
        self.with(|s| s.task(id).cloned())
    }
    pub(super) fn gone(&self) -> std::sync::MutexGuard<'_, BTreeMap<HostName, String>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(super) fn met(&self) -> std::sync::MutexGuard<'_, BTreeSet<HostName>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(super) fn is_gone(&self, host: &HostName) -> bool {
        self.gone().contains_key(host)
    }
    pub(super) fn stop_level(&self) -> u8 {
        *self.stop.borrow()
    }
    /// Nothing new may begin. Past the point of no return a first call to stop is not heeded.
    pub(super) fn must_stop(&self) -> bool {
        let asked = match self.stop_level() {
            0 => false,
            1 if self.closing.load(Ordering::Relaxed) => false,
            1 => match self.with(|s| s.no_return().cloned()) {
                None => true,
                Some(crossed) => {
                    self.goes_on(&crossed);
                    false
                }
            },
            _ => true,
        };
        asked || self.halting.load(Ordering::Relaxed)
    }
    /// Says, once, why a run that was asked to stop goes on, and what is left of it.
    fn goes_on(&self, crossed: &TaskId) {
        if self.told.swap(true, Ordering::Relaxed) {
            return;
        }
        let hosts = |station: &Station| station.hosts.iter().filter(|h| !self.is_gone(h)).cloned().collect::<Vec<_>>();
        let left = |station: &&Arc<Station>| {
            let hosts = hosts(station);
            !hosts.is_empty() && !self.all_ended(station, &hosts.iter().collect::<Vec<_>>())
        };
        let left: Vec<String> = self.script.stations().into_iter().filter(left).map(|s| s.step.name.clone()).collect();
        let left = if left.is_empty() { "nothing".to_owned() } else { crate::base::words::list(&left, 10) };
        let why = format!("the run is past its point of no return (`{crossed}`) and goes on; left to do: {left}");
        self.stage.watcher.notice(&crate::journal::event::Notice::Warning(why));
    }
    pub(super) fn outcome(&self) -> &'static str {
        *self.came_to.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(super) fn crosses(&self, state: &TaskState) -> bool {
        !state.began.in_rollback
            && state.began.pays.is_none()
            && self.script.stations().iter().any(|s| s.number == state.began.step && s.step.no_return)
    }
    /// The hosts that the run has for a scope.
    pub(super) fn hosts_of(&self, scope: &Scope) -> BTreeSet<HostName> {
        match scope {
            Scope::Run => self.script.hosts().into_iter().chain([super::script::here()]).collect(),
            Scope::Batch(hosts) => hosts.iter().cloned().collect(),
            Scope::Host(host) => [host.clone()].into(),
        }
    }
}

/// Ends when the run is to stop now.
pub(super) async fn urgent(stop: &mut Stop) {
    if stop.wait_for(|level| *level > 1).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Ends when the run is to stop at all.
async fn soft(stop: &mut Stop) {
    if stop.wait_for(|level| *level > 0).await.is_err() {
        std::future::pending::<()>().await;
    }
}
