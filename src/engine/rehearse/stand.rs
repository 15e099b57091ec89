//! Where a run is played: the engine itself, on a copy of the world as it was observed, with a journal in memory and time
//! that jumps over every wait.

use super::{
    super::{EngineError, Order, Planned, Stage, never, resume, rollback, run},
    Known, assumed, is_over,
    judge::{Standing, Start},
};
use crate::{
    actions::Entry,
    base::{self, At, Change, HostName, Place, Read, Receipt, RunId, TaskId, Way, clock::RuntimeClock},
    journal::{
        Journal as _,
        event::{End, Event, Notice, Record, Summary, Watcher},
        memory::MemoryJournal,
        state::RunState,
    },
    transport::{Fault, Fut, Links, Look, Lost, Projected, Serving, Settled, Simulated, Terms, Transport},
};
use jiff::Timestamp;
use std::{
    collections::BTreeSet,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

/// What all plays of a rehearsal share.
pub(super) struct Stand<'a> {
    stage: &'a Stage,
    order: &'a Order,
    planned: &'a Planned,
    world: Simulated,
    /// Whether somebody wants no more of it.
    stopped: Stopped<'a>,
    /// All plays begin at the same moment: a run's name is made of it, and may stand in a file.
    start: Timestamp,
}

/// An act as it was carried out first.
#[derive(Clone, Debug)]
pub(super) struct Act {
    pub(super) task: TaskId,
    pub(super) way: Way,
    pub(super) number: usize,
    pub(super) change: At<Change>,
}

/// What is to go wrong in a play.
#[derive(Clone, Debug)]
pub(super) enum Set {
    /// The act of that number, from 0.
    Act(usize, Fault),
    /// What takes this task back.
    Undo(TaskId, Fault),
    /// A host that falls silent stays so longer than any deadline, until somebody asks for it again.
    Long,
    /// A host that falls silent is never heard of again.
    ForGood,
}

/// Where svcops dies: at the n-th event (from 1), which is kept or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    event: usize,
    kept: bool,
}

impl Pause {
    /// On both sides of an act: announced and not begun, begun and not told, told.
    pub(super) fn around(records: &[Record], act: &Act) -> Vec<Self> {
        let at = |what: &dyn Fn(&Event) -> bool| records.iter().position(|r| what(&r.event)).map(|at| at + 1);
        let told = at(&|event| {
            matches!(event, Event::Carried { task, way, number, .. }
                if *task == act.task && *way == act.way && *number == act.number)
        });
        let announced = at(&|event| {
            matches!(event, Event::Announced { task, way, number, changes, .. }
                if *task == act.task && *way == act.way && (*number..number + changes.len()).contains(&act.number))
        });
        let before = announced.into_iter().flat_map(|event| [(event, false), (event, true)]);
        let after = told.into_iter().flat_map(|event| [(event, false), (event, true)]);
        before.chain(after).map(|(event, kept)| Self { event, kept }).collect()
    }
}

/// How a play went.
pub(super) struct Played {
    /// What the engine said at its end; none: it ended before it touched anything.
    pub(super) end: Option<Summary>,
    pub(super) records: Vec<Record>,
    pub(super) acts: Vec<Act>,
    pub(super) standing: Standing,
    pub(super) harm: Vec<String>,
    /// Harm that may be meant: an app is stopped while its server takes traffic.
    pub(super) rough: Vec<String>,
    /// As [`Start`] has them.
    pub(super) stale: BTreeSet<String>,
    pub(super) idle: BTreeSet<String>,
    pub(super) bitten: usize,
    /// Who serves at its end.
    pub(super) serving: Vec<Serving>,
    pub(super) world: Arc<Simulated>,
    pub(super) catalog: &'static [Entry],
}

impl Played {
    pub(super) fn state(&self) -> RunState {
        RunState::fold(&self.records)
    }
}

impl<'a> Stand<'a> {
    pub(super) fn new(
        stage: &'a Stage,
        order: &'a Order,
        planned: &'a Planned,
        known: &Known,
        stopped: Stopped<'a>,
    ) -> Self {
        let world = Simulated::new(Links::of(&stage.inventory));
        known.teach(&world);
        let probes = assumed::probes(&stage.inventory).into_iter().map(|(read, _)| read).collect();
        world.suppose(probes, known.assumed);
        Self { stage, order, planned, world, stopped, start: stage.clock.now() }
    }

    /// From here on it is harm where fewer serve than the apps promise; but who means to stop a whole site does none by
    /// that: no more is promised than serve before it, and where it leads to.
    pub(super) fn promise(&self, goal: Played) {
        self.world.promise_no_more_than_serve();
        self.world.promise_no_more_than(goal.serving);
    }

    /// The world before the run.
    pub(super) fn begun(&self) -> Start {
        Start { standing: self.world.standing(), stale: self.world.stale(), idle: self.world.idle() }
    }

    /// Plays the run once, to an end that nobody can go on from without a person.
    pub(super) fn play(&self, faults: &[Set], pause: Option<(Pause, bool)>) -> Result<Played, EngineError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(|e| EngineError::Plan(e.to_string()))?;
        runtime.block_on(async {
            let world = Arc::new(self.world.clone());
            world.begin();
            let for_good = faults.iter().any(|f| matches!(f, Set::ForGood));
            for fault in faults {
                match fault {
                    Set::Act(act, fault) => world.fault(*act, *fault),
                    Set::Undo(task, fault) => world.fault_undo(task, *fault),
                    Set::Long => world.silent_for(LONG),
                    Set::ForGood => world.silent_for(FOR_GOOD),
                }
            }
            let journal = Arc::new(MemoryJournal::trusting());
            let log = Arc::new(Log { world: Arc::clone(&world), acts: Mutex::default() });
            let stage = Stage {
                transport: log.clone(),
                journal: journal.clone(),
                locks: None,
                clock: Arc::new(RuntimeClock::starting(self.start)),
                watcher: Arc::new(Nobody),
                ..self.stage.clone()
            };
            if let Some((Pause { event, kept }, _)) = pause {
                if kept { journal.kill_after(event) } else { journal.kill_before(event) }
            }
            let live = self.live(&stage, &journal, &world, pause.map(|(_, back)| back), for_good);
            let end = in_time(Box::pin(live), self.stopped).await?;
            let acts = std::mem::take(&mut *log.acts.lock().unwrap_or_else(PoisonError::into_inner));
            let records = match journal.runs(1)?.first() {
                Some(run) => journal.records(run)?,
                None => Vec::new(),
            };
            // what is healthy by now depends on the time of this runtime
            let (stale, idle, serving) = (world.stale(), world.idle(), world.serving());
            let (standing, harm, bitten) = (world.standing(), world.harm(), world.bitten());
            let rough = world.rough();
            Ok(Played {
                end,
                records,
                acts,
                standing,
                harm,
                rough,
                stale,
                idle,
                bitten,
                serving,
                world,
                catalog: self.stage.catalog,
            })
        })
    }

    async fn live(
        &self,
        stage: &Stage,
        journal: &MemoryJournal,
        world: &Simulated,
        mut back: Option<bool>,
        for_good: bool,
    ) -> Result<Option<Summary>, EngineError> {
        let by = &self.order.operator;
        let mut end = run(stage, self.order, self.planned, None, never()).await.map(|e| e.summary);
        for _ in 0..TRIES {
            end = match end {
                Err(EngineError::Journal(_)) if back.is_some() => {
                    journal.revive();
                    world.restart_here();
                    let Some(run) = journal.runs(1)?.into_iter().next() else { return Ok(None) };
                    match journal.state(&run)?.end {
                        Some(over) => Ok(over),
                        None if back == Some(true) => {
                            back = Some(false);
                            rollback(stage, &run, by, "svcops was killed", never()).await.map(|e| e.summary)
                        }
                        None => resume(stage, &run, by, &[], never()).await.map(|e| e.summary),
                    }
                }
                // past the point of no return it only goes forward
                Err(EngineError::NoReturn { run, .. }) => {
                    resume(stage, &run, by, &[], never()).await.map(|e| e.summary)
                }
                // it was killed before it touched anything
                Err(EngineError::NotSo { .. }) => return Ok(None),
                Ok(end) if end.outcome == End::Unknown && !for_good => {
                    // who looks again finds the host there again
                    world.heal();
                    let Some(run) = journal.runs(1)?.into_iter().next() else { return Ok(None) };
                    resume(stage, &run, by, &[], never()).await.map(|e| e.summary)
                }
                Ok(end) if is_over(end.outcome) || for_good => return Ok(Some(end)),
                other => return other.map(Some),
            };
        }
        end.map(Some)
    }
}

/// So often a run is taken up again.
const TRIES: usize = 5;
/// Longer than a step's deadline.
const LONG: Duration = Duration::from_secs(4000);
/// Longer than anything waits.
const FOR_GOOD: Duration = Duration::from_secs(400 * 24 * 3600);
/// In the time of the world: a run that takes longer hangs.
const AT_MOST: Duration = Duration::from_secs(300 * 24 * 3600);

/// Whether somebody wants no more of it.
pub(super) type Stopped<'a> = &'a (dyn Fn() -> bool + Sync);

async fn in_time<T>(
    work: impl Future<Output = Result<T, EngineError>>,
    stopped: Stopped<'_>,
) -> Result<T, EngineError> {
    // a play of thousands of acts takes seconds: it is asked whenever anything in it goes on
    let stop = std::future::poll_fn(|_| if stopped() { Poll::Ready(()) } else { Poll::Pending });
    tokio::select! {
        biased;
        () = stop => Err(EngineError::Plan("it was stopped".into())),
        done = tokio::time::timeout(AT_MOST, work) => {
            done.map_err(|_| EngineError::Plan("the run comes to no end".into()))?
        }
    }
}

/// Goes there and back on a copy of the world that asks the real one for what it does not know.
pub(super) async fn explore(stage: &Stage, order: &Order, planned: &Planned) -> Result<(), EngineError> {
    let world = Simulated::new(Links::of(&stage.inventory));
    let projected = Projected::new(Arc::clone(&stage.transport), tokio::runtime::Handle::current(), world);
    let journal = Arc::new(MemoryJournal::new());
    let double = Stage {
        transport: Arc::new(projected),
        journal: journal.clone(),
        locks: None,
        watcher: Arc::new(Nobody),
        ..stage.clone()
    };
    let (start, order, planned) = (stage.clock.now(), order.clone(), planned.clone());
    // who drops this has no use for it any more: a thread does not end by being dropped
    let dropped = Arc::new(AtomicBool::new(false));
    let _guard = Dropped(Arc::clone(&dropped));
    let explored = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(|e| EngineError::Plan(e.to_string()))?;
        runtime.block_on(async {
            let stage = Stage { clock: Arc::new(RuntimeClock::starting(start)), ..double };
            // how it goes says nothing: what it looked at is what counts
            let work = async {
                let ended = run(&stage, &order, &planned, None, never()).await?;
                rollback(&stage, &ended.run, &order.operator, "to see what a way back looks at", never()).await
            };
            match Box::pin(in_time(work, &|| dropped.load(Ordering::Relaxed))).await {
                Ok(_) | Err(EngineError::NotSo { .. } | EngineError::NoReturn { .. } | EngineError::Plan(_)) => Ok(()),
                Err(other) => Err(other),
            }
        })
    });
    explored.await.map_err(|e| EngineError::Plan(e.to_string()))?
}

/// Says that it was dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Nobody;

impl Watcher for Nobody {
    fn record(&self, _: &Record) {}
    fn notice(&self, _: &Notice) {}
}

/// The simulated world, and the acts in the order in which they were carried out first.
struct Log {
    world: Arc<Simulated>,
    acts: Mutex<Vec<Act>>,
}

impl Transport for Log {
    fn look<'a>(&'a self, host: Option<&'a HostName>, reads: &'a [At<Read>]) -> Fut<'a, Result<Look, Lost>> {
        self.world.look(host, reads)
    }
    fn open<'a>(&'a self, run: &'a RunId, at: &'a Place) -> Fut<'a, Result<String, Lost>> {
        self.world.open(run, at)
    }
    fn carry<'a>(&'a self, act: &'a base::Act, change: &'a At<Change>, terms: Terms) -> Fut<'a, Result<Receipt, Lost>> {
        Box::pin(async move {
            let first = self.world.acts();
            let done = self.world.carry(act, change, terms);
            let new = Act { task: act.task.clone(), way: act.way, number: act.number, change: change.clone() };
            let mut done = done;
            // polled once it is counted, if it is a new one
            let early = futures_util::poll!(&mut done);
            if self.world.acts() > first {
                self.acts.lock().unwrap_or_else(PoisonError::into_inner).push(new);
            }
            match early {
                Poll::Ready(done) => done,
                Poll::Pending => done.await,
            }
        })
    }
    fn settle<'a>(
        &'a self,
        act: &'a base::Act,
        change: &'a At<Change>,
        terms: Terms,
    ) -> Fut<'a, Result<Settled, Lost>> {
        self.world.settle(act, change, terms)
    }
    fn cancel<'a>(&'a self, act: &'a base::Act, at: &'a Place) -> Fut<'a, Result<bool, Lost>> {
        self.world.cancel(act, at)
    }
    fn fetch<'a>(&'a self, at: &'a Place, path: &'a str, cap: usize) -> Fut<'a, Result<Option<Vec<u8>>, Lost>> {
        self.world.fetch(at, path, cap)
    }
    fn supposes(&self) -> bool {
        self.world.supposes()
    }
    fn close(&self) -> Fut<'_, ()> {
        self.world.close()
    }
}
