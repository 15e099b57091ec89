//! The doors of the engine: run, resume, rollback, resolve, cancel.

use super::{
    Order, Stage, Stop,
    finish::{sum_up, unmade},
    guard::{self, Refused},
    owing::{earlier, is_paid, owed},
    plan::Plan,
    project::Planned,
    script::{self, Script, ScriptError},
    walk::{Engine, Halt, Off},
};
use crate::{
    base::{HostName, RunId, TaskId, Way, id::NotARunId},
    inventory::Inventory,
    journal::{
        Journal, JournalError,
        event::{End, Event, Header, Operator, Scope, Summary},
        locks::{Held, LockError, Owned},
        state::{RunState, TaskState},
    },
    runbook::{FailureAct, FailureScope, Runbook, template},
};
use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// A run that came to an end, or to a stop.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The run.
    pub run: RunId,
    /// What it came to.
    pub summary: Summary,
}

/// Why the engine could not do what it was asked for; nothing was touched, but for [`EngineError::Journal`].
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal failed: no event, no act.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The runbook cannot be spread out over the hosts.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// Locks are held by somebody else, or the run is under way.
    #[error(transparent)]
    Locks(LockError),
    /// Not a run id.
    #[error(transparent)]
    NotARunId(#[from] NotARunId),
    /// There is no run yet.
    #[error("no run is recorded in this state directory")]
    NoRuns,
    /// There is no run of this project yet.
    #[error("no run of project `{0}` is recorded in this state directory")]
    NoRunsOf(String),
    /// Several projects share the state directory.
    #[error("run {run} belongs to project `{of}`, this is `{here}`")]
    Foreign {
        /// The run.
        run: RunId,
        /// Its project.
        of: String,
        /// The project of this folder.
        here: String,
        /// The folder of its project.
        root: String,
    },
    /// The run is over.
    #[error("run {run} cannot be {what}: {why}")]
    NotSo {
        /// The run.
        run: RunId,
        /// `resumed`, `rolled back`, `resolved`, `cancelled`.
        what: &'static str,
        /// The rule and the fact.
        why: String,
    },
    /// Past the point of no return.
    #[error("run {run} is past its point of no return (`{task}`): it only goes forward")]
    NoReturn {
        /// The run.
        run: RunId,
        /// The task that crossed it.
        task: TaskId,
    },
    /// What was recorded cannot be read by this version.
    #[error("the {what} recorded for run {run} cannot be read")]
    Recorded {
        /// The run.
        run: RunId,
        /// Runbook or inventory.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        why: serde_json::Error,
    },
    /// A plan could not be made.
    #[error("could not plan: {0}")]
    Plan(String),
}

impl From<LockError> for EngineError {
    fn from(e: LockError) -> Self {
        match e {
            LockError::Files(e) => Self::Journal(e),
            other => Self::Locks(other),
        }
    }
}

impl From<Halt> for EngineError {
    fn from(halt: Halt) -> Self {
        let Halt::Journal(e) = halt;
        Self::Journal(e)
    }
}

/// What a run's own records hold: a resume needs neither the runbook's file nor `svcops.yaml`.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// How it began.
    pub header: Header,
    /// Its runbook.
    pub runbook: Runbook,
    /// Its inventory.
    pub inventory: Inventory,
    /// How far it came.
    pub state: RunState,
}

/// Reads what a run recorded.
///
/// # Errors
/// No such run, or records of a shape that this version does not know.
pub fn recorded(journal: &dyn Journal, run: &RunId) -> Result<Recorded, EngineError> {
    let state = journal.state(run)?;
    let header = state.header.clone().ok_or_else(|| JournalError::NoRun(run.clone()))?;
    let unread = |what| move |why| EngineError::Recorded { run: run.clone(), what, why };
    let runbook = serde_json::from_slice(&journal.get(&header.runbook_hash)?).map_err(unread("runbook"))?;
    let inventory = serde_json::from_slice(&journal.get(&header.inventory_hash)?).map_err(unread("inventory"))?;
    Ok(Recorded { header, runbook, inventory, state })
}

/// Carries a plan out. A refusal ends the run with 75 or 77, and is recorded.
///
/// # Errors
/// As [`EngineError`].
pub async fn run(
    stage: &Stage,
    order: &Order,
    planned: &Planned,
    pinned: Option<&Plan>,
    stop: Stop,
) -> Result<Ended, EngineError> {
    let json = |value: serde_json::Result<Vec<u8>>| value.map_err(|e| EngineError::Plan(e.to_string()));
    let header = Header {
        project: stage.inventory.project.clone(),
        runbook: order.runbook.name.clone(),
        file: order.runbook.file.clone(),
        runbook_hash: stage.journal.put(&json(serde_json::to_vec(&order.runbook))?)?,
        inventory_hash: stage.journal.put(&json(serde_json::to_vec(&*stage.inventory))?)?,
        params: order.params.clone(),
        limit: order.limit.clone(),
        limited_by: order.limited_by.clone(),
        parallel: order.parallel,
        plan: Some(planned.plan.hash.clone()),
        shown: Some(stage.journal.put(&json(serde_json::to_vec(&planned.plan.shown()))?)?),
        operator: order.operator.clone(),
        reason: order.reason.clone(),
        ticket: order.ticket.clone(),
        root: stage.root.to_string_lossy().into_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let first = stage.journal.begin(stage.clock.now(), header)?;
    let run = first.run.clone();
    let _owned = own(stage, &run)?;
    stage.watcher.record(&first);
    let state = RunState::fold([&first]);
    let engine = engine(stage, &planned.script, &run, state, (order.parallel, stop))?;
    let guarded = guard::limits(stage, order, &planned.plan)
        .and_then(|()| guard::own_store(stage, &planned.plan))
        .and_then(|()| pinned.map_or(Ok(()), |pinned| guard::drift(pinned, &planned.plan)))
        .and_then(|()| engine.required());
    if let Err(why) = guarded {
        return Ok(Ended { summary: engine.refused(why).await?, run });
    }
    let _held = match guard::locks(stage, &run, order, planned)? {
        Ok(held) => held,
        Err(why) => return Ok(Ended { summary: engine.refused(why).await?, run }),
    };
    engine.say(Event::Locked { exclusive: planned.exclusive.clone(), shared: planned.shared.clone() }).await?;
    stage.watcher.notice(&crate::journal::event::Notice::Ahead { tasks: planned.plan.tasks.len() });
    if let Some(why) = guard::silent(planned) {
        engine.say(Event::RollingBack { scope: Scope::Run, why, drill: false }).await?;
        engine.say(Event::RolledBack { scope: Scope::Run }).await?;
        return Ok(Ended { summary: engine.close(false).await?, run });
    }
    let summary = engine.go().await?;
    Ok(Ended { run, summary })
}

/// Goes on with a run that was interrupted or stopped, or of which an act is unknown. `stage.inventory` is the recorded one.
///
/// # Errors
/// As [`EngineError`].
pub async fn resume(
    stage: &Stage,
    run: &RunId,
    operator: &Operator,
    skip: &[(TaskId, String)],
    stop: Stop,
) -> Result<Ended, EngineError> {
    let recorded = recorded(&*stage.journal, run)?;
    may_resume(run, &recorded.state)?;
    let again = Again::open(stage, run, &recorded, operator)?;
    let engine = again.engine(stage, run, recorded.state.clone(), stop)?;
    engine.say(Event::Resumed { operator: operator.clone() }).await?;
    for (task, reason) in skip {
        let waived = Event::Waived { task: task.clone(), reason: reason.clone(), operator: operator.clone() };
        engine.say(waived).await?;
    }
    engine.close_again().await?;
    let summary = engine.go().await?;
    Ok(Ended { run: run.clone(), summary })
}

/// Whether a run can be resumed at all, so that nobody is asked in vain.
///
/// # Errors
/// [`EngineError::NotSo`]
pub fn may_resume(run: &RunId, state: &RunState) -> Result<(), EngineError> {
    let not_so = |why| Err(EngineError::NotSo { run: run.clone(), what: "resumed", why });
    match &state.end {
        Some(end) if !end.outcome.resumable() => {
            not_so(format!("it is over, with the outcome `{}`", end.outcome.word()))
        }
        _ if untouched(state) => not_so("it was interrupted before it began; run it again".to_owned()),
        _ => Ok(()),
    }
}

/// Whether a run can be rolled back at all, so that nobody is asked in vain.
///
/// # Errors
/// [`EngineError::NoReturn`], [`EngineError::NotSo`]
pub fn may_roll_back(run: &RunId, state: &RunState) -> Result<(), EngineError> {
    if let Some(task) = state.no_return() {
        return Err(EngineError::NoReturn { run: run.clone(), task: task.clone() });
    }
    if state.drilled() && state.end.as_ref().is_some_and(|end| end.outcome == End::Done) {
        let why = "it was a drill, and all of it is taken back".to_owned();
        return Err(EngineError::NotSo { run: run.clone(), what: "rolled back", why });
    }
    if untouched(state) {
        let why = "it touched nothing".to_owned();
        return Err(EngineError::NotSo { run: run.clone(), what: "rolled back", why });
    }
    Ok(())
}

/// The hosts that keep receipts of a run.
fn acted_on(state: &RunState) -> BTreeSet<HostName> {
    let legs = state.tasks.iter().flat_map(|t| [t.leg(Way::Forward), t.leg(Way::Undo)]).flatten();
    legs.flat_map(|leg| leg.did.iter().map(|(change, _)| change).chain(&leg.queue))
        .filter_map(|change| change.at.host.clone())
        .collect()
}

/// It was refused, or interrupted before it had its locks.
fn untouched(state: &RunState) -> bool {
    state.exclusive.is_empty() && state.shared.is_empty() && state.tasks.is_empty()
}

/// Takes back all that a run did.
///
/// # Errors
/// As [`EngineError`].
pub async fn rollback(
    stage: &Stage,
    run: &RunId,
    operator: &Operator,
    reason: &str,
    stop: Stop,
) -> Result<Ended, EngineError> {
    let recorded = recorded(&*stage.journal, run)?;
    may_roll_back(run, &recorded.state)?;
    let again = Again::open(stage, run, &recorded, operator)?;
    let engine = again.engine(stage, run, recorded.state.clone(), stop)?;
    engine.say(Event::Resumed { operator: operator.clone() }).await?;
    let failed: Vec<TaskId> = engine.with(|s| {
        let again = |t: &&TaskState| t.undo.as_ref().is_some_and(|u| u.why().is_some());
        s.tasks.iter().filter(again).map(|t| t.began.task.clone()).collect()
    });
    engine.say(Event::RollingBack { scope: Scope::Run, why: reason.to_owned(), drill: false }).await?;
    for task in failed {
        // what could not be undone is tried again
        engine.say(Event::UndoBegan { task }).await?;
    }
    engine.close_again().await?;
    engine.back_with_the_rest(&Scope::Run, reason).await?;
    let summary = engine.close(false).await?;
    Ok(Ended { run: run.clone(), summary })
}

/// Records what a person saw of an act that nobody knows of, or that what could not be undone has been put right. The run is then resumed or rolled back as ever.
///
/// # Errors
/// As [`EngineError`].
pub async fn resolve(
    stage: &Stage,
    run: &RunId,
    task: &TaskId,
    done: bool,
    by: (&Operator, &str),
) -> Result<(), EngineError> {
    let recorded = recorded(&*stage.journal, run)?;
    let not_so = |why: String| EngineError::NotSo { run: run.clone(), what: "resolved", why };
    let _owned = own(stage, run)?;
    let mut settles = BTreeSet::new();
    for owed in recorded.state.owing() {
        if recorded.state.settled_by(task).contains(&owed.debt.key) && !is_paid(&*stage.journal, run, owed)? {
            settles.insert(owed.debt.key.clone());
        }
    }
    let state = recorded.state.task(task);
    if state.is_none() && settles.is_empty() {
        return Err(not_so(format!("it has no task `{task}`")));
    }
    let leg = |way| state.and_then(|s| s.leg(way));
    let open = |way| leg(way).is_some_and(|l| l.how.is_none() && (l.doubt.is_some() || !l.queue.is_empty()));
    let over = recorded.state.end.as_ref().is_some_and(|e| !e.outcome.resumable());
    let way = match (open(Way::Undo), open(Way::Forward)) {
        (true, _) => Way::Undo,
        (false, true) => Way::Forward,
        // what could not be taken back, and a person has put right by hand
        (false, false) if done && over && unmade(&recorded.state).any(|t| t.began.task == *task) => Way::Undo,
        // what it still owes, and a person has done by hand
        (false, false) if done && !settles.is_empty() => Way::Forward,
        (false, false) => return Err(not_so(format!("what became of `{task}` is known"))),
    };
    let (operator, reason) = (by.0.clone(), by.1.to_owned());
    let mut events = vec![Event::Resolved { task: task.clone(), way, done, reason, operator }];
    if way == Way::Forward && over && done {
        let shared = owed(&*stage.journal, &recorded.header.project)?.into_iter();
        let shared = shared.filter(|(other, debt)| other != run && settles.contains(&debt.key));
        events.extend(shared.map(|(run_owing, debt)| Event::Paid { run_owing, debt: debt.key }));
    }
    for event in events {
        let record = stage.journal.append(run, stage.clock.now(), event).await?;
        stage.watcher.record(&record);
    }
    Ok(())
}

/// What a call to stop a run reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// Its process was told; it finishes what is under way and stops.
    Told,
    /// Nobody drives it: what it had left running on hosts was ended, this many acts.
    Ended(usize),
}

/// Stops a run of this machine: tells its process, or ends what a dead one left running on hosts.
///
/// # Errors
/// As [`EngineError`].
pub async fn cancel(stage: &Stage, run: &RunId) -> Result<Cancelled, EngineError> {
    let state = stage.journal.state(run)?;
    let not_so = |why: String| EngineError::NotSo { run: run.clone(), what: "cancelled", why };
    if state.end.as_ref().is_some_and(|e| !e.outcome.resumable()) {
        return Err(not_so("it is over".to_owned()));
    }
    if stage.locks.as_ref().is_some_and(|l| l.alive(run)) {
        let operator = state.operator.ok_or_else(|| JournalError::NoRun(run.clone()))?;
        let here = Operator::here();
        if operator.machine != here.machine {
            return Err(not_so(format!("it runs on `{}`", operator.machine)));
        }
        let told = i32::try_from(operator.pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw)
            .map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM));
        return match told {
            Some(Ok(())) => Ok(Cancelled::Told),
            Some(Err(e)) => Err(not_so(format!("process {} could not be told: {e}", operator.pid))),
            None => Err(not_so(format!("process {} is none", operator.pid))),
        };
    }
    let _owned = own(stage, run)?;
    let mut ended = 0;
    for task in &state.tasks {
        for way in [Way::Forward, Way::Undo] {
            let Some(leg) = task.leg(way).filter(|l| l.how.is_none()) else { continue };
            let Some(change) = leg.queue.front() else { continue };
            let act = crate::base::Act {
                run: run.clone(),
                task: task.began.task.clone(),
                way,
                number: leg.number,
                boot: leg.boot.clone(),
            };
            match stage.transport.cancel(&act, &change.at).await {
                Ok(true) => ended += 1,
                Ok(false) => return Err(not_so(format!("`{}` was not seen to end", act.task))),
                Err(lost) => return Err(not_so(lost.to_string())),
            }
        }
    }
    Ok(Cancelled::Ended(ended))
}

/// A recorded run, opened again: its script, and its locks.
struct Again {
    script: Script,
    parallel: usize,
    _owned: Option<Owned>,
    _held: Option<Held>,
}

impl Again {
    fn open(stage: &Stage, run: &RunId, recorded: &Recorded, operator: &Operator) -> Result<Self, EngineError> {
        let owned = own(stage, run)?;
        let held = match &stage.locks {
            Some(locks) => {
                let what = format!("`{}`", recorded.header.runbook);
                Some(locks.take(run, operator, &what, &recorded.state.exclusive, &recorded.state.shared)?)
            }
            None => None,
        };
        let limit = recorded.header.limit.as_deref();
        let script =
            script::spread(&recorded.runbook, &recorded.header.params, &recorded.inventory, limit, stage.catalog)?;
        Ok(Self { script, parallel: recorded.header.parallel, _owned: owned, _held: held })
    }
    fn engine<'a>(
        &'a self,
        stage: &'a Stage,
        run: &RunId,
        state: RunState,
        stop: Stop,
    ) -> Result<Engine<'a>, EngineError> {
        engine(stage, &self.script, run, state, (self.parallel, stop))
    }
}

fn own(stage: &Stage, run: &RunId) -> Result<Option<Owned>, EngineError> {
    Ok(stage.locks.as_ref().map(|l| l.own(run)).transpose()?)
}

pub(super) fn engine<'a>(
    stage: &'a Stage,
    script: &'a Script,
    run: &RunId,
    state: RunState,
    (parallel, stop): (usize, Stop),
) -> Result<Engine<'a>, EngineError> {
    Ok(Engine {
        stage,
        script,
        run: run.clone(),
        state: Mutex::new(state),
        stop,
        planning: false,
        parallel,
        earlier: earlier(&*stage.journal, &stage.inventory.project, run)?,
        gone: Mutex::default(),
        met: Mutex::default(),
        paying: Mutex::default(),
        halting: AtomicBool::new(false),
        closing: AtomicBool::new(false),
        told: AtomicBool::new(false),
        came_to: Mutex::new("running"),
    })
}

impl Engine<'_> {
    /// From wherever it stands to the end.
    pub(super) async fn go(&self) -> Result<Summary, Halt> {
        let back = self.with(|s| {
            let wide = |scope: &&Scope| !matches!(scope, Scope::Host(_));
            s.back.iter().find(|(scope, _)| wide(scope)).map(|(scope, back)| (scope.clone(), back.why.clone()))
        });
        let stopped = match back {
            Some((scope, why)) => {
                self.back_with_the_rest(&scope, &why).await?;
                false
            }
            None => match self.forward().await? {
                Ok(()) => false,
                Err(Off::Stopped) => true,
                Err(Off::Turned { why }) => {
                    Box::pin(self.turn_back(&why)).await?;
                    false
                }
                Err(Off::Failed { policy, why, batch }) => {
                    if policy.act == FailureAct::Rollback {
                        let scope = if policy.scope == FailureScope::Batch { Scope::Batch(batch) } else { Scope::Run };
                        self.back(&scope, &why).await?;
                    }
                    false
                }
            },
        };
        self.close(stopped).await
    }

    /// What the runbook as a whole requires, asked before anything is touched.
    fn required(&self) -> Result<(), Refused> {
        let scope = self.scope_with(&self.script.params, &script::here(), None);
        for require in &self.script.require {
            let why = match template::test(&require.text, &scope) {
                Ok(true) => continue,
                Ok(false) => format!("`require: {}` does not hold", require.text),
                Err(e) => format!("`require: {}`: {e}", require.text),
            };
            return Err(Refused { code: 77, why });
        }
        Ok(())
    }

    async fn refused(&self, Refused { code, why }: Refused) -> Result<Summary, Halt> {
        self.say(Event::Refused { code, why: why.clone() }).await?;
        let outcome = if code == 75 { End::NotNow } else { End::NotAllowed };
        let summary = Summary { outcome, exit_code: code, why: Some(why), changed: 0, owed: 0, stands: Vec::new() };
        self.say(Event::Finished(summary.clone())).await?;
        Ok(summary)
    }

    /// The run had come to an end that was none: what its `always` steps could not do there, they try again at the next one.
    async fn close_again(&self) -> Result<(), Halt> {
        let failed: Vec<(TaskId, u32, String)> = self.with(|s| {
            let bad = s.tasks.iter().filter(|t| t.began.always && t.began.before.is_some() && t.waived.is_none());
            bad.filter_map(|t| Some((t.began.task.clone(), t.forward.attempt + 1, t.forward.why()?.to_owned())))
                .collect()
        });
        for (task, attempt, why) in failed {
            self.say(Event::Retried { task, attempt, why }).await?;
        }
        Ok(())
    }

    /// `always` steps, and the summary.
    pub(super) async fn close(&self, stopped: bool) -> Result<Summary, Halt> {
        if stopped || self.stop_level() > 1 {
            let now = self.stop_level() > 1;
            self.say(Event::Stopping { why: "the run was asked to stop".into(), now }).await?;
        }
        let under_way = |t: &TaskState| t.forward.how.is_none() || t.undo.as_ref().is_some_and(|u| u.how.is_none());
        let left = self.with(|s| s.back.values().any(|b| !b.done) || s.tasks.iter().any(under_way));
        let stopped = stopped || (self.stop_level() > 1 && left);
        let before = self.with(|s| sum_up(s, stopped));
        *self.came_to.lock().unwrap_or_else(PoisonError::into_inner) = before.outcome.word();
        if self.stop_level() < 2 {
            self.closing.store(true, Ordering::Relaxed);
            self.last().await?;
        }
        let summary = self.with(|s| sum_up(s, stopped));
        if summary.outcome == End::Done {
            self.supersede().await?;
        }
        self.say(Event::Finished(summary.clone())).await?;
        if !summary.outcome.resumable() {
            self.stage.transport.forget(&self.run, &self.with(acted_on)).await;
        }
        Ok(summary)
    }
}
