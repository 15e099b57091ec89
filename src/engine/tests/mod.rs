//! The engine on the simulated world: every fault at every act, a kill on both sides of every event.

mod clocks;
mod crossing;
mod debts;
mod examples;
mod faults;
mod flow;
mod kills;
mod properties;
mod siblings;

use super::*;
use crate::{
    actions::CATALOG,
    base::{
        Act, Answer, At, Change, FileFacts, Hash, HttpFacts, Place, Read, Receipt, RunFacts, ServerFacts, ServerState,
        Source, TaskId, TcpFacts, UnitFacts, UnitState, clock::RuntimeClock,
    },
    journal::{
        event::{End, Event, Notice, Record, Summary},
        memory::MemoryJournal,
        state::RunState,
    },
    runbook::project::Project,
    transport::{Fut, Links, Look, Lost, Settled, Simulated, Terms},
};
use std::path::Path;

/// A project on a simulated world.
struct Rig {
    project: Project,
    world: Arc<Simulated>,
    journal: Arc<MemoryJournal>,
}

impl Rig {
    fn new() -> Self {
        Self::of("tests/data/example")
    }
    /// Another project, by its folder in this repository.
    fn of(folder: &str) -> Self {
        let names: Vec<&'static str> = CATALOG.iter().map(|e| e.name).collect();
        let project = Project::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &names).unwrap();
        let world = Arc::new(Simulated::new(Links::of(&project.inventory)));
        Self { project, world, journal: Arc::new(MemoryJournal::new()) }
    }
    fn stage(&self) -> Stage {
        Stage {
            root: self.project.root.clone(),
            inventory: Arc::new(self.project.inventory.clone()),
            catalog: CATALOG,
            transport: Arc::new(Seeded(Arc::clone(&self.world))),
            journal: self.journal.clone(),
            locks: None,
            clock: Arc::new(RuntimeClock::starting("2026-11-23T00:00:00Z".parse().unwrap())),
            watcher: Arc::new(Nobody),
            store: Arc::new(Texts),
            redactor: Redactor::default(),
        }
    }
    fn order(&self, runbook: &str) -> Order {
        let whole = runbook.contains("svcops: 1\n");
        let text = if whole { runbook.to_owned() } else { format!("svcops: 1\nname: test\n{runbook}") };
        let runbook = self.project.runbook_text("runbooks/test.yaml", &text).unwrap_or_else(|f| panic!("{f:?}"));
        let params = runbook.params.iter().filter_map(|p| p.default.clone().map(|d| (p.name.clone(), d))).collect();
        Order {
            runbook,
            params,
            limit: None,
            limited_by: None,
            parallel: 8,
            operator: me(),
            reason: None,
            ticket: None,
        }
    }
    async fn plan(&self, runbook: &str) -> Planned {
        plan(&self.stage(), &self.order(runbook)).await.unwrap()
    }
    async fn try_run(&self, runbook: &str) -> Result<Ended, EngineError> {
        let (stage, order) = (self.stage(), self.order(runbook));
        let planned = plan(&stage, &order).await?;
        run(&stage, &order, &planned, None, never()).await
    }
    async fn run(&self, runbook: &str) -> Summary {
        self.try_run(runbook).await.unwrap().summary
    }
    async fn resume(&self) -> Result<Summary, EngineError> {
        let run = self.journal.runs(1)?.remove(0);
        resume(&self.stage(), &run, &me(), &[], never()).await.map(|e| e.summary)
    }
    async fn rollback(&self) -> Result<Summary, EngineError> {
        let run = self.journal.runs(1)?.remove(0);
        rollback(&self.stage(), &run, &me(), "the operator wants it", never()).await.map(|e| e.summary)
    }
    fn records(&self) -> Vec<Record> {
        let run = self.journal.runs(1).unwrap().remove(0);
        self.journal.records(&run).unwrap()
    }
    fn state(&self) -> RunState {
        RunState::fold(&self.records())
    }
    /// What had an effect, as words: `dc1-app1: restart `billing.service``.
    fn done(&self) -> Vec<String> {
        self.world.done().iter().map(|c| format!("{}: {}", c.at, crate::ui::changes::words(&c.what))).collect()
    }
}

fn me() -> Operator {
    Operator { name: "ops".into(), uid: 1000, login: true, machine: "desk".into(), pid: 1 }
}

fn words(planned: &Planned) -> Vec<String> {
    planned.plan.tasks.iter().flat_map(|t| t.changes.iter().map(|c| format!("{}: {}", t.host, c.what))).collect()
}

struct Nobody;
impl Watcher for Nobody {
    fn record(&self, _: &Record) {}
    fn notice(&self, _: &Notice) {}
}

/// Contents whose bytes are their own text.
struct Texts;
impl Store for Texts {
    fn file(&self, path: &str) -> Result<Content, Refusal> {
        let text = Text(format!("content of {path}"));
        self.text(&text)
    }
    fn read(&self, path: &str) -> Result<String, Refusal> {
        Ok(format!("content of {path}"))
    }
    fn text(&self, text: &Text) -> Result<Content, Refusal> {
        Ok(Content { hash: Hash::of(text.0.as_bytes()), size: text.0.len() as u64, from: Source::Text(text.clone()) })
    }
    fn show(&self, content: &Content) -> Option<Vec<u8>> {
        match &content.from {
            Source::Text(text) => Some(text.0.clone().into_bytes()),
            Source::File(_) | Source::Undo | Source::Host { .. } => None,
        }
    }
}

/// The simulated world, which takes a healthy site over where nobody has said anything else.
struct Seeded(Arc<Simulated>);

fn usual(read: &Read) -> Answer {
    match read {
        Read::Unit { .. } => Answer::Unit(UnitFacts {
            loaded: true,
            state: UnitState::Active,
            enabled: true,
            pid: 7,
            invocation: "a".into(),
            since: 1,
        }),
        Read::File { path } if path.contains(".conf") => Answer::File(Some(FileFacts {
            hash: Hash::of(b"old"),
            size: 3,
            mode: 0o644,
            owner: "root".into(),
            group: "root".into(),
            link: None,
        })),
        Read::File { .. } => Answer::File(None),
        Read::Run(_) => Answer::Run(RunFacts { code: Some(0), stdout: "running".into(), ..RunFacts::default() }),
        Read::Http(_) => {
            let body = r#"{"version": "2.0", "status": "ok"}"#.into();
            Answer::Http(HttpFacts { status: Some(200), body, ..HttpFacts::default() })
        }
        Read::Order(_) => Answer::Order(Box::default()),
        Read::Tcp { .. } => Answer::Tcp(TcpFacts { open: true, error: None }),
        Read::Server { .. } => Answer::Server(ServerFacts { state: ServerState::Ready, sessions: 2, up: true }),
        Read::Record(_) => Answer::Record(crate::base::RecordFacts::default()),
        Read::Pair(_) | Read::Postgres(_) | Read::Client(_) | Read::Served(_) | Read::Addresses(_) | Read::Proof(_) => {
            Answer::Open
        }
    }
}

impl Transport for Seeded {
    fn look<'a>(&'a self, host: Option<&'a HostName>, reads: &'a [At<Read>]) -> Fut<'a, Result<Look, Lost>> {
        for read in reads {
            if self.0.lacks(read) {
                self.0.learn(read, &usual(&read.what));
            }
        }
        self.0.look(host, reads)
    }
    fn open<'a>(&'a self, run: &'a RunId, at: &'a Place) -> Fut<'a, Result<String, Lost>> {
        self.0.open(run, at)
    }
    fn carry<'a>(&'a self, act: &'a Act, change: &'a At<Change>, terms: Terms) -> Fut<'a, Result<Receipt, Lost>> {
        self.0.carry(act, change, terms)
    }
    fn settle<'a>(&'a self, act: &'a Act, change: &'a At<Change>, terms: Terms) -> Fut<'a, Result<Settled, Lost>> {
        self.0.settle(act, change, terms)
    }
    fn cancel<'a>(&'a self, act: &'a Act, at: &'a Place) -> Fut<'a, Result<bool, Lost>> {
        self.0.cancel(act, at)
    }
    fn fetch<'a>(&'a self, at: &'a Place, path: &'a str, cap: usize) -> Fut<'a, Result<Option<Vec<u8>>, Lost>> {
        Box::pin(async move {
            let _ = (at, path, cap);
            Ok(Some(b"old".to_vec()))
        })
    }
    fn close(&self) -> Fut<'_, ()> {
        Box::pin(async {})
    }
}

const RESTART: &str = "
targets: role=app, site=dc1
steps:
  - name: Node by node
    rolling: {batch: 1}
    steps:
      - {name: Drain, haproxy.drain: {balancer: front, backend: billing, server: \"{{ host.name }}\", within: 30s}}
      - {name: Restart, app.restart: {app: billing}}
      - {name: Enable, haproxy.enable: {balancer: front, backend: billing, server: \"{{ host.name }}\"}}
";
const STOP_COPY_START: &str = "
targets: dc1-app1
steps:
  - {name: Drain, haproxy.drain: {balancer: front, backend: billing, server: \"{{ host.name }}\", within: 30s}}
  - {name: Stop, app.stop: {app: billing}}
  - {name: Copy, file.copy: {content: new, dest: /etc/billing/billing.conf}}
  - {name: Start, app.start: {app: billing}}
  - {name: Enable, haproxy.enable: {balancer: front, backend: billing, server: \"{{ host.name }}\"}}
";
const COPY_THEN: &str = "
targets: role=app, site=dc1
steps:
  - name: Node by node
    rolling: {batch: 1}
    steps:
      - {name: Drain, haproxy.drain: {balancer: front, backend: billing, server: \"{{ host.name }}\", within: 30s}}
      - name: Copy
        file.copy: {content: new, dest: /etc/billing/billing.conf}
        then: [{app.restart: {app: billing}}]
      - {name: Enable, haproxy.enable: {balancer: front, backend: billing, server: \"{{ host.name }}\"}}
";
