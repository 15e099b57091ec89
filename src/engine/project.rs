//! Makes a plan: the same engine runs on a simulated world that learns from the real one what it is asked for, in a
//! runtime whose time is paused. Nothing real is changed.

use super::{
    EngineError, Order, Stage,
    plan::{Certainty, Plan, PlannedChange, PlannedTask},
    run::engine,
    script::{self, Script, here},
    task::refusal,
    walk::Off,
};
use crate::{
    actions::Entry,
    base::{At, Change, Clock as _, Hash, HostName, Lock, Packed, TaskId, Way, clock::RuntimeClock},
    journal::{
        event::{Event, Header, How, Notice, Record, Watcher},
        memory::MemoryJournal,
        state::{RunState, TaskState},
    },
    transport::{
        projected::Projected,
        simulated::{Links, Simulated},
    },
    ui::{changes, facts},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A plan with what carrying it out needs.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// Who does what, in which order.
    pub script: Script,
    /// Locks to take exclusively.
    pub exclusive: Vec<Lock>,
    /// Locks to take shared.
    pub shared: Vec<Lock>,
}

/// No larger file is shown as a diff, in bytes.
const DIFF_CAP: u64 = 256 * 1024;

/// Observes, and projects what the order would change.
///
/// # Errors
/// The runbook cannot be spread out. What could not be observed is in the plan, not an error.
pub async fn plan(stage: &Stage, order: &Order) -> Result<Planned, EngineError> {
    let limit = order.limit.as_deref();
    let script = script::spread(&order.runbook, &order.params, &stage.inventory, limit, stage.catalog)?;
    let of = script.stations().iter().map(|s| s.hosts.len()).sum();
    let world = Simulated::new(Links::of(&stage.inventory));
    let projected = Projected::new(Arc::clone(&stage.transport), tokio::runtime::Handle::current(), world);
    // who stops waiting for the plan hears no more of it, though the thread below may still look
    let told = Arc::new(Arc::clone(&stage.watcher));
    let heard =
        Arc::new(Heard { of, done: AtomicUsize::new(0), watcher: Arc::downgrade(&told), course: Mutex::default() });
    // thousands of hosts have many events: a plan takes from each what it is made of, and nobody keeps them
    let double = Stage {
        transport: Arc::new(projected),
        journal: Arc::new(MemoryJournal::passing()),
        locks: None,
        watcher: heard.clone(),
        ..stage.clone()
    };
    let start = stage.clock.now();
    let header = blank(order, stage);
    let parallel = order.parallel;
    let outcome = tokio::task::spawn_blocking(move || -> Result<_, EngineError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(|e| EngineError::Plan(e.to_string()))?;
        runtime
            .block_on(async {
                let clock = Arc::new(RuntimeClock::starting(start));
                let stage = Stage { clock: clock.clone(), ..double };
                let first = stage.journal.begin(clock.now(), header)?;
                let state = RunState::fold([&first]);
                let mut engine = engine(&stage, &script, &first.run, state, (parallel, super::never()))?;
                engine.planning = true;
                if let Err(Off::Turned { why }) = engine.forward().await? {
                    // what always comes last sees the world as it is then
                    Box::pin(engine.turn_back(&why)).await?;
                }
                engine.last().await?;
                Ok(engine.state.into_inner().unwrap_or_else(PoisonError::into_inner))
            })
            .map(|state| (state, script))
    });
    let (state, script) = outcome.await.map_err(|e| EngineError::Plan(e.to_string()))??;
    let mut tasks = tasks(stage, heard.course(), &state, &script);
    in_order(stage, &mut tasks);
    diffs(stage, &state, &mut tasks).await;
    let (exclusive, shared) = locks(stage, &state);
    let plan = assemble(stage, order, &script, &state, tasks);
    Ok(Planned { plan, script, exclusive, shared })
}

fn blank(order: &Order, stage: &Stage) -> Header {
    let nothing = || Hash::of(b"");
    Header {
        project: stage.inventory.project.clone(),
        runbook: order.runbook.name.clone(),
        file: None,
        runbook_hash: nothing(),
        inventory_hash: nothing(),
        params: order.params.clone(),
        limit: None,
        limited_by: None,
        parallel: order.parallel,
        plan: None,
        shown: None,
        operator: order.operator.clone(),
        reason: None,
        ticket: None,
        root: String::new(),
        version: String::new(),
    }
}

/// Hears a run that is tried: counts the tasks that were looked at, and keeps what their plan is made of.
struct Heard {
    of: usize,
    done: AtomicUsize,
    watcher: Weak<Arc<dyn Watcher>>,
    course: Mutex<Vec<Turn>>,
}

/// An event that a plan tells of.
enum Turn {
    Began(TaskId),
    Announced(TaskId, Vec<At<Change>>),
    Skipped(TaskId, String),
}

impl Heard {
    fn course(&self) -> Vec<Turn> {
        std::mem::take(&mut self.course.lock().unwrap_or_else(PoisonError::into_inner))
    }
    fn tell(&self, notice: &Notice) {
        if let Some(watcher) = self.watcher.upgrade() {
            watcher.notice(notice);
        }
    }
}

impl Watcher for Heard {
    fn record(&self, record: &Record) {
        let turn = match &record.event {
            Event::Began(began) => Turn::Began(began.task.clone()),
            Event::Skipped { task, why } => Turn::Skipped(task.clone(), why.clone()),
            Event::Announced { task, way: Way::Forward, changes, .. } => Turn::Announced(task.clone(), changes.clone()),
            _ => return,
        };
        let looked = !matches!(turn, Turn::Announced(..));
        self.course.lock().unwrap_or_else(PoisonError::into_inner).push(turn);
        if looked {
            let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
            self.tell(&Notice::Observed { done, of: self.of.max(done) });
        }
    }
    fn notice(&self, notice: &Notice) {
        if matches!(notice, Notice::Silent { .. } | Notice::Warning(_)) {
            self.tell(notice);
        }
    }
}

fn tasks(stage: &Stage, course: Vec<Turn>, state: &RunState, script: &Script) -> Vec<PlannedTask> {
    let mut planned: Vec<PlannedTask> = Vec::new();
    let mut places: BTreeMap<TaskId, usize> = BTreeMap::new();
    let mut opaque: BTreeMap<HostName, String> = BTreeMap::new();
    for turn in course {
        match turn {
            Turn::Began(id) => {
                let Some(task) = state.task(&id).filter(|t| !t.began.in_rollback) else { continue };
                let began = &task.began;
                let traits = Entry::find(stage.catalog, &began.action).map(|e| e.traits);
                let is_opaque = traits.is_some_and(|t| t.opaque) && task.acted();
                let certainty = match (&task.forward.how, is_opaque) {
                    (_, true) => Certainty::Opaque,
                    (Some(How::Conditional), _) => Certainty::Conditional,
                    _ => Certainty::Exact,
                };
                let named = began.before.is_none().then(|| began.value.open());
                let named = named.as_ref().and_then(|value| value.get("known_after")?.as_str());
                let number = named.and_then(|id| {
                    script.stations().into_iter().find(|s| s.step.id.as_deref() == Some(id)).map(|s| s.number.clone())
                });
                let behind = || opaque.get(&began.host).cloned();
                let known_after = (certainty == Certainty::Conditional).then(|| number.or_else(behind)).flatten();
                if is_opaque {
                    opaque.insert(began.host.clone(), began.step.clone());
                }
                places.insert(id, planned.len());
                planned.push(PlannedTask {
                    step: began.name.clone(),
                    number: began.step.clone(),
                    task: began.task.clone(),
                    host: began.host.clone(),
                    action: began.action.clone(),
                    batch: batch_of(script, task),
                    certainty,
                    known_after,
                    no_return: is_no_return(script, task),
                    changes: Vec::new(),
                    note: began.pays.is_some().then(|| "a consequence of what changed before it".to_owned()),
                    trouble: task.forward.why().map(str::to_owned),
                });
            }
            Turn::Announced(id, changes) => {
                let place = places.get(&id).and_then(|at| planned.get_mut(*at));
                let (Some(task), Some(place)) = (state.task(&id), place) else { continue };
                let of = |facts: Option<&Packed>| facts.map(Packed::open);
                let (before, after) =
                    facts::differ(of(task.began.before.as_ref()).as_ref(), of(task.after.as_ref()).as_ref());
                place.changes.reserve_exact(changes.len());
                place.changes.extend(changes.into_iter().map(|change| PlannedChange {
                    what: changes::words(&change.what),
                    change,
                    before: before.clone(),
                    after: after.clone(),
                    diff: None,
                    from: None,
                }));
            }
            Turn::Skipped(id, why) => planned.extend(skipped(script, &id, &why)),
        }
    }
    planned
}

fn batch_of(script: &Script, task: &TaskState) -> Option<crate::journal::event::Batch> {
    let mut stations = script.stations().into_iter().filter(|s| s.number == task.began.step);
    stations.find(|s| s.hosts.contains(&task.began.host)).and_then(|s| s.batch)
}

fn is_no_return(script: &Script, task: &TaskState) -> bool {
    // a consequence of the step is none
    let own = |s: &&&Arc<script::Station>| s.number == task.began.step && task.began.pays.is_none();
    script.stations().iter().find(own).is_some_and(|s| s.step.no_return)
}

fn skipped(script: &Script, id: &TaskId, why: &str) -> Option<PlannedTask> {
    let (label, host) = id.as_str().rsplit_once('@')?;
    let label = label.split('[').next().unwrap_or(label);
    let stations = script.stations();
    let station = stations.into_iter().chain(script.last_stations()).find(|s| s.label() == label)?;
    Some(PlannedTask {
        step: station.step.name.clone(),
        number: station.number.clone(),
        task: id.clone(),
        host: HostName::new(host),
        action: station.action.clone(),
        batch: station.batch,
        certainty: Certainty::Exact,
        known_after: None,
        no_return: station.step.no_return,
        changes: Vec::new(),
        note: Some(format!("does not apply: {why}")),
        trouble: None,
    })
}

/// Adds diffs of files. A content that holds a secret, or is no text, or is large, is told by a word.
async fn diffs(stage: &Stage, state: &RunState, tasks: &mut [PlannedTask]) {
    let mut known: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
    for planned in tasks {
        let Some(before) = state.task(&planned.task).and_then(|t| t.began.before.as_ref()) else { continue };
        let hash = before.open().get("hash").and_then(Value::as_str).map(str::to_owned);
        for change in &mut planned.changes {
            change.from = hash.clone().map(Hash);
            let (path, new) = match &change.change.what {
                Change::WriteFile { path, content, .. } => {
                    if content.size > DIFF_CAP {
                        change.diff = Some("too large to show".into());
                        continue;
                    }
                    let Some(new) = stage.store.show(content) else {
                        change.diff = Some("its content is not shown".into());
                        continue;
                    };
                    known.insert(content.hash.0.clone(), Some(new.clone()));
                    (path, new)
                }
                Change::RemoveFile(path) => (path, Vec::new()),
                _ => continue,
            };
            let old = match &hash {
                None => Some(Vec::new()),
                Some(hash) => {
                    if !known.contains_key(hash) {
                        let cap = usize::try_from(DIFF_CAP).unwrap_or(usize::MAX);
                        let fetched = stage.transport.fetch(&change.change.at, path, cap).await.ok().flatten();
                        known.insert(hash.clone(), fetched);
                    }
                    known.get(hash).cloned().flatten()
                }
            };
            change.diff = Some(match old {
                None => "the earlier content could not be read".into(),
                Some(old) => diff(stage, path, &old, &new),
            });
        }
    }
}

fn diff(stage: &Stage, path: &str, old: &[u8], new: &[u8]) -> String {
    let (Ok(old), Ok(new)) = (str::from_utf8(old), str::from_utf8(new)) else { return "no text".into() };
    let (old, new) = (stage.redactor.clean(old).0, stage.redactor.clean(new).0);
    let diff = similar::TextDiff::from_lines(&old, &new);
    diff.unified_diff().context_radius(3).header(path, path).to_string()
}

/// What a run must lock: each resource that a task or a consequence may change, and what it is part of. What cannot be
/// known yet takes its whole host.
fn locks(stage: &Stage, state: &RunState) -> (Vec<Lock>, Vec<Lock>) {
    let (mut exclusive, mut shared) = (BTreeSet::new(), BTreeSet::new());
    let mut take = |action: &str, value: &Value, host: &HostName| {
        let Some(entry) = Entry::find(stage.catalog, action) else { return };
        if !entry.traits.changes || *host == here() {
            return;
        }
        if let Ok(task) = entry.recall(value.clone()) {
            let (own, parents) = task.locks();
            exclusive.insert(own);
            shared.extend(parents);
        } else {
            exclusive.insert(Lock(host.as_str().to_owned()));
        }
    };
    for task in &state.tasks {
        let began = &task.began;
        if refusal(began).is_none() {
            take(&began.action, &began.value.open(), &began.host);
        }
        for debt in began.then.iter().chain(&began.undo) {
            take(&debt.action, &debt.value, &debt.host);
        }
    }
    shared.retain(|lock| !exclusive.contains(lock));
    (exclusive.into_iter().collect(), shared.into_iter().collect())
}

/// Puts the hosts of a step in a batch into the inventory's order: which of them answered first is no part of a plan.
fn in_order(stage: &Stage, tasks: &mut [PlannedTask]) {
    let mut steps: BTreeMap<(String, usize), usize> = BTreeMap::new();
    let step = |task: &PlannedTask| (task.number.clone(), task.batch.map_or(0, |b| b.number));
    for task in &*tasks {
        let next = steps.len();
        steps.entry(step(task)).or_insert(next);
    }
    let hosts: BTreeMap<&HostName, usize> =
        stage.inventory.hosts.iter().enumerate().map(|(at, h)| (&h.name, at)).collect();
    tasks.sort_by_key(|task| (steps.get(&step(task)).copied(), hosts.get(&task.host).copied()));
}

/// The hash of something's JSON.
fn part(what: &impl serde::Serialize) -> Hash {
    // what has no JSON could not have been read from a file, nor be written into the journal
    Hash::of(&serde_json::to_vec(what).unwrap_or_default())
}

fn assemble(stage: &Stage, order: &Order, script: &Script, state: &RunState, tasks: Vec<PlannedTask>) -> Plan {
    let touches = |t: &&PlannedTask| {
        let changes = Entry::find(stage.catalog, &t.action).is_some_and(|e| e.traits.changes);
        t.host != here() && (!t.changes.is_empty() || (changes && t.certainty != Certainty::Exact))
    };
    let touched: BTreeSet<&HostName> = tasks.iter().filter(touches).map(|t| &t.host).collect();
    // in the inventory's order; a balancer's host counts where it is a target itself
    let hosts: Vec<HostName> =
        stage.inventory.hosts.iter().map(|h| &h.name).filter(|h| touched.contains(h)).cloned().collect();
    let sites: BTreeSet<String> =
        stage.inventory.hosts.iter().filter(|h| touched.contains(&h.name)).filter_map(|h| h.site.clone()).collect();
    let selected = script.hosts();
    let declared: Vec<_> = stage.inventory.hosts.iter().filter(|h| selected.contains(&h.name)).collect();
    let mut by_task: Vec<&PlannedTask> = tasks.iter().collect();
    by_task.sort_by_key(|t| &t.task);
    let acts: Vec<_> = by_task
        .into_iter()
        .map(|t| (&t.task, &t.certainty, t.changes.iter().map(|c| &c.change).collect::<Vec<_>>()))
        .collect();
    let mut begun: Vec<_> = state.tasks.iter().map(|t| &t.began).collect();
    begun.sort_by_key(|began| &began.task);
    let contents: Vec<&Packed> = begun.into_iter().map(|began| &began.value).collect();
    let pinned: BTreeMap<String, Hash> = [
        ("runbook", part(&order.runbook)),
        ("inventory", part(&(declared, &stage.inventory.apps, &stage.inventory.balancers))),
        ("params", part(&order.params)),
        ("targets", part(&selected)),
        ("contents", part(&contents)),
        ("changes", part(&acts)),
    ]
    .into_iter()
    .map(|(name, hash)| (name.to_owned(), hash))
    .collect();
    Plan {
        schema_version: 1,
        hash: part(&pinned),
        project: stage.inventory.project.clone(),
        runbook: order.runbook.name.clone(),
        params: order.params.clone(),
        limited_by: order.limited_by.clone(),
        hosts,
        sites: sites.into_iter().collect(),
        of_hosts: stage.inventory.hosts.len(),
        tasks,
        pinned,
    }
}
