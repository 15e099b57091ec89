//! What a run stands on: a world in memory in which all is well where nobody has said anything else, a journal in memory
//! that can be killed, a clock that jumps.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};
use svcops::{
    actions::{CATALOG, Refusal},
    base::{
        Act, At, Change, Content, Hash, HostName, Place, Read, Receipt, Redactor, RunId, Source, Text,
        clock::RuntimeClock,
    },
    engine::{Stage, Store, rehearse::Assumed},
    inventory::Inventory,
    journal::{
        Journal as _, MemoryJournal,
        event::{Notice, Operator, Record, Watcher},
        state::RunState,
    },
    transport::{Fut, Look, Lost, Settled, Simulated, Terms, Transport},
};
use tokio::sync::watch;

/// What one run stands on.
pub struct Rig {
    pub inventory: Arc<Inventory>,
    pub world: Arc<Simulated>,
    pub wished: Arc<Assumed>,
    pub journal: Arc<MemoryJournal>,
}

impl Rig {
    pub fn stage(&self, watcher: Arc<dyn Watcher>) -> Stage {
        Stage {
            root: PathBuf::from("/srv/random"),
            inventory: Arc::clone(&self.inventory),
            catalog: CATALOG,
            transport: Arc::new(Seeded { world: Arc::clone(&self.world), wished: Arc::clone(&self.wished) }),
            journal: self.journal.clone(),
            locks: None,
            clock: Arc::new(RuntimeClock::starting("2026-11-23T00:00:00Z".parse().unwrap())),
            watcher,
            store: Arc::new(Texts),
            redactor: Redactor::default(),
        }
    }
    /// The run, once it has begun.
    pub fn run(&self) -> Option<RunId> {
        self.journal.runs(1).unwrap().into_iter().next()
    }
    pub fn records(&self) -> Vec<Record> {
        self.run().map(|run| self.journal.records(&run).unwrap()).unwrap_or_default()
    }
    pub fn state(&self) -> RunState {
        RunState::fold(&self.records())
    }
}

pub fn operator() -> Operator {
    Operator { name: "ops".into(), uid: 1000, login: true, machine: "desk".into(), pid: 1 }
}

/// Folds what it hears, and calls to stop.
pub struct Ear {
    pub state: Mutex<RunState>,
    heard: Mutex<usize>,
    stop: Option<(usize, u8)>,
    call: watch::Sender<u8>,
}

impl Ear {
    pub fn new(state: RunState, stop: Option<(usize, u8)>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(state), heard: Mutex::new(0), stop, call: watch::channel(0).0 })
    }
    pub fn call(&self) -> watch::Receiver<u8> {
        self.call.subscribe()
    }
}

impl Watcher for Ear {
    fn record(&self, record: &Record) {
        self.state.lock().unwrap().apply(record);
        let mut heard = self.heard.lock().unwrap();
        *heard += 1;
        if let Some((_, level)) = self.stop.filter(|(n, _)| n == &*heard) {
            self.call.send_replace(level);
        }
    }
    fn notice(&self, _: &Notice) {}
}

/// Contents whose bytes are their own text.
struct Texts;

impl Store for Texts {
    fn file(&self, path: &str) -> Result<Content, Refusal> {
        self.text(&Text(format!("content of {path}")))
    }
    fn read(&self, path: &str) -> Result<String, Refusal> {
        Ok(format!("{path} for {{{{ host.name }}}}"))
    }
    fn text(&self, text: &Text) -> Result<Content, Refusal> {
        Ok(Content { hash: Hash::of(text.0.as_bytes()), size: text.0.len() as u64, from: Source::Text(text.clone()) })
    }
    fn show(&self, _: &Content) -> Option<Vec<u8>> {
        // no diffs: nobody looks at them here
        None
    }
}

/// The world, which learns what nobody has looked at yet from one in which all is well.
struct Seeded {
    world: Arc<Simulated>,
    wished: Arc<Assumed>,
}

impl Transport for Seeded {
    fn look<'a>(&'a self, host: Option<&'a HostName>, reads: &'a [At<Read>]) -> Fut<'a, Result<Look, Lost>> {
        Box::pin(async move {
            let unknown: Vec<At<Read>> = reads.iter().filter(|read| self.world.lacks(read)).cloned().collect();
            if !unknown.is_empty() {
                let seen = self.wished.look(host, &unknown).await?;
                for (read, answer) in unknown.iter().zip(&seen.answers) {
                    self.world.learn(read, answer);
                }
            }
            self.world.look(host, reads).await
        })
    }
    fn open<'a>(&'a self, run: &'a RunId, at: &'a Place) -> Fut<'a, Result<String, Lost>> {
        self.world.open(run, at)
    }
    fn carry<'a>(&'a self, act: &'a Act, change: &'a At<Change>, terms: Terms) -> Fut<'a, Result<Receipt, Lost>> {
        self.world.carry(act, change, terms)
    }
    fn settle<'a>(&'a self, act: &'a Act, change: &'a At<Change>, terms: Terms) -> Fut<'a, Result<Settled, Lost>> {
        self.world.settle(act, change, terms)
    }
    fn cancel<'a>(&'a self, act: &'a Act, at: &'a Place) -> Fut<'a, Result<bool, Lost>> {
        self.world.cancel(act, at)
    }
    fn fetch<'a>(&'a self, at: &'a Place, path: &'a str, cap: usize) -> Fut<'a, Result<Option<Vec<u8>>, Lost>> {
        self.world.fetch(at, path, cap)
    }
    fn close(&self) -> Fut<'_, ()> {
        Box::pin(async {})
    }
}
