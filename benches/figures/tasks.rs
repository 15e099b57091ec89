//! 10,000 tasks that do nothing, through the engine and the journal: each announced durably before it, each ended durably.
//! Aim: 2,000 tasks a second.
//!
//! The hosts answer at once, without a process or a connection: what is left is svcops itself. The floor is what the
//! directory of the journal allows: a durable write for every 32 announcements and one for every 32 endings, which is what
//! 32 tasks at once can share at best.

use super::shared::figure::{line, note, timed};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::Path,
    sync::Arc,
    time::Duration,
};
use svcops::{
    actions::{CATALOG, Refusal},
    base::{
        Act, Answer, At, Change, Content, HostName, Outcome, Place, Read, Receipt, Redactor, RunFacts, RunId, Text,
        WallClock,
    },
    engine::{self, Order, Stage, Store},
    journal::{
        event::{Notice, Operator, Record, Watcher},
        sqlite::SqliteJournal,
    },
    runbook::project::Project,
    transport::{Fut, Look, Lost, Settled, Terms, Transport},
};

pub fn bench() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (stage, order) = stage(folder.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (planning, planned) = timed(|| runtime.block_on(engine::plan(&stage, &order)).unwrap());
    let tasks = planned.plan.tasks.len();
    let (took, ended) =
        timed(|| runtime.block_on(engine::run(&stage, &order, &planned, None, engine::never())).unwrap());
    assert_eq!(ended.summary.exit_code, 0, "{:?}", ended.summary);

    let floor = fsyncs(folder.path(), 2 * tasks / AT_ONCE);
    line(&format!("{tasks} tasks, {AT_ONCE} at once"), took, floor, "a durable write for every 32 events");
    note("tasks a second", &format!("{:.0}", f64::from(u32::try_from(tasks).unwrap()) / took.as_secs_f64()));
    note("their plan, before", &format!("{} ms", planning.as_millis()));
}

/// So many durable writes of a page, one after the other.
fn fsyncs(folder: &Path, times: usize) -> Duration {
    let mut file = File::create(folder.join("floor")).unwrap();
    let (took, ()) = timed(|| {
        for _ in 0..times {
            file.write_all(&[b'x'; 4096]).unwrap();
            file.sync_data().unwrap();
        }
    });
    took
}

fn stage(folder: &Path) -> (Stage, Order) {
    let steps: String = (1..=TASKS / AT_ONCE).map(|n| format!("  - {{name: Шаг {n}, command: 'true'}}\n")).collect();
    fs::create_dir(folder.join("runbooks")).unwrap();
    fs::write(folder.join("svcops.yaml"), format!("project: bench\nhosts:\n  h[01-{AT_ONCE}]: {{local: true}}\n"))
        .unwrap();
    fs::write(
        folder.join("runbooks/many.yaml"),
        format!("svcops: 1\nname: many\ntargets: all\non_failure: stop\nsteps:\n{steps}"),
    )
    .unwrap();
    let names: Vec<&'static str> = CATALOG.iter().map(|entry| entry.name).collect();
    let project = Project::open(folder, &names).unwrap();
    let order = Order {
        runbook: project.runbook("many").unwrap(),
        params: BTreeMap::new(),
        limit: None,
        limited_by: None,
        parallel: AT_ONCE,
        operator: Operator::here(),
        reason: None,
        ticket: None,
    };
    let stage = Stage {
        root: folder.to_path_buf(),
        inventory: Arc::new(project.inventory),
        catalog: CATALOG,
        transport: Arc::new(Nothing),
        journal: Arc::new(SqliteJournal::open(folder).unwrap()),
        locks: None,
        clock: Arc::new(WallClock),
        watcher: Arc::new(Nothing),
        store: Arc::new(Nothing),
        redactor: Redactor::default(),
    };
    (stage, order)
}

/// Hosts on which everything is done at once, a screen that shows nothing, a folder without files.
struct Nothing;

impl Transport for Nothing {
    fn look<'a>(&'a self, _: Option<&'a HostName>, reads: &'a [At<Read>]) -> Fut<'a, Result<Look, Lost>> {
        let answer = |_: &At<Read>| Answer::Run(RunFacts { code: Some(0), ..RunFacts::default() });
        Box::pin(async move { Ok(Look { boot: BOOT.to_owned(), answers: reads.iter().map(answer).collect() }) })
    }
    fn open<'a>(&'a self, _: &'a RunId, _: &'a Place) -> Fut<'a, Result<String, Lost>> {
        Box::pin(async { Ok(BOOT.to_owned()) })
    }
    fn carry<'a>(&'a self, _: &'a Act, _: &'a At<Change>, _: Terms) -> Fut<'a, Result<Receipt, Lost>> {
        Box::pin(async { Ok(Receipt { code: Some(0), ..Receipt::of(Outcome::Ok) }) })
    }
    fn settle<'a>(&'a self, _: &'a Act, _: &'a At<Change>, _: Terms) -> Fut<'a, Result<Settled, Lost>> {
        Box::pin(async { Ok(Settled::Never) })
    }
    fn cancel<'a>(&'a self, _: &'a Act, _: &'a Place) -> Fut<'a, Result<bool, Lost>> {
        Box::pin(async { Ok(true) })
    }
    fn fetch<'a>(&'a self, _: &'a Place, _: &'a str, _: usize) -> Fut<'a, Result<Option<Vec<u8>>, Lost>> {
        Box::pin(async { Ok(None) })
    }
    fn close(&self) -> Fut<'_, ()> {
        Box::pin(async {})
    }
}

impl Watcher for Nothing {
    fn record(&self, _: &Record) {}
    fn notice(&self, _: &Notice) {}
}

impl Store for Nothing {
    fn file(&self, path: &str) -> Result<Content, Refusal> {
        Err(Refusal::new(format!("`{path}` is not there")))
    }
    fn read(&self, path: &str) -> Result<String, Refusal> {
        Err(Refusal::new(format!("`{path}` is not there")))
    }
    fn text(&self, _: &Text) -> Result<Content, Refusal> {
        Err(Refusal::new("there are no texts"))
    }
    fn show(&self, _: &Content) -> Option<Vec<u8>> {
        None
    }
}

const TASKS: usize = 10_000;
const AT_ONCE: usize = 32;
const BOOT: &str = "1";
