//! What a run stands on: a world in memory in which all is well where nobody has said anything else, a journal in memory
//! that can be killed, a clock that jumps.

use std::{
    collections::BTreeSet,
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
    pub fn stage(&self, ear: Arc<Ear>) -> Stage {
        let seeded = Seeded {
            world: Arc::clone(&self.world),
            wished: Arc::clone(&self.wished),
            ear: Arc::clone(&ear),
            under_way: Mutex::default(),
        };
        Stage {
            root: PathBuf::from("/srv/random"),
            inventory: Arc::clone(&self.inventory),
            catalog: CATALOG,
            transport: Arc::new(seeded),
            journal: self.journal.clone(),
            locks: None,
            clock: Arc::new(RuntimeClock::starting("2026-11-23T00:00:00Z".parse().unwrap())),
            watcher: ear,
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

/// Folds what it hears, and makes things happen at a moment of the run.
pub struct Ear {
    pub state: Mutex<RunState>,
    heard: Mutex<usize>,
    cues: Vec<Cue>,
    call: watch::Sender<u8>,
}

/// What happens once so many events were heard.
pub struct Cue {
    pub after: usize,
    pub what: Happens,
}

pub enum Happens {
    /// Somebody asks it to stop: 1 once, 2 twice.
    Stop(u8),
    /// Something befalls the world.
    Befalls(Box<dyn Fn() + Send + Sync>),
}

impl Ear {
    pub fn new(state: RunState, cues: Vec<Cue>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(state), heard: Mutex::new(0), cues, call: watch::channel(0).0 })
    }
    /// One that only listens.
    pub fn quiet() -> Arc<Self> {
        Self::new(RunState::default(), vec![])
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
        for cue in self.cues.iter().filter(|cue| cue.after == *heard) {
            match &cue.what {
                Happens::Stop(level) => drop(self.call.send_replace(*level)),
                Happens::Befalls(what) => what(),
            }
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

/// The world, which learns what nobody has looked at yet from one in which all is well; and which minds that no act comes
/// before its announcement is kept, nor twice at once.
struct Seeded {
    world: Arc<Simulated>,
    wished: Arc<Assumed>,
    ear: Arc<Ear>,
    under_way: Mutex<BTreeSet<Act>>,
}

impl Seeded {
    /// The ear hears what is kept, and nothing else.
    fn announced(&self, act: &Act, change: &At<Change>) {
        let state = self.ear.state.lock().unwrap();
        let leg = state.task(&act.task).and_then(|task| task.leg(act.way));
        let next = leg.filter(|leg| leg.number == act.number).and_then(|leg| leg.queue.front());
        assert!(next == Some(change), "an act that was not announced, or not as the next one: {act:?}: {change:?}");
    }
}

/// An act while it is carried, also where nobody waits for its end any more.
struct UnderWay<'a>(&'a Mutex<BTreeSet<Act>>, &'a Act);

impl<'a> UnderWay<'a> {
    fn begin(acts: &'a Mutex<BTreeSet<Act>>, act: &'a Act) -> Self {
        assert!(acts.lock().unwrap().insert(act.clone()), "carried twice at once: {act:?}");
        Self(acts, act)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap().remove(self.1);
    }
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
        self.announced(act, change);
        Box::pin(async move {
            let _under_way = UnderWay::begin(&self.under_way, act);
            self.world.carry(act, change, terms).await
        })
    }
    fn settle<'a>(&'a self, act: &'a Act, change: &'a At<Change>, terms: Terms) -> Fut<'a, Result<Settled, Lost>> {
        self.announced(act, change);
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
