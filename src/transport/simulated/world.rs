//! The state of the simulated world, and how an act is carried out in it.

use super::{
    Fault,
    links::{Key, Links, ServerKey},
    rebooted, silent,
};
use crate::{
    base::{
        Act, Answer, At, Change, FileFacts, Hash, HostName, Outcome, Place, Read, Receipt, ServerFacts, ServerState,
        Source, UnitFacts, UnitState,
    },
    transport::Lost,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::Instant;

/// Where a file is.
pub(super) type Spot = (HostName, String);

/// The state of the world.
#[derive(Clone)]
pub(super) struct World {
    pub(super) links: Links,
    pub(super) processes: BTreeMap<Key, Process>,
    pub(super) files: BTreeMap<Spot, Option<FileFacts>>,
    pub(super) servers: BTreeMap<ServerKey, Server>,
    /// What was seen of things without a model, and the words of health checks.
    pub(super) learnt: Vec<(At<Read>, Answer)>,
    pub(super) opened: Vec<Opened>,
    /// Hosts on which something has changed.
    pub(super) touched: BTreeSet<HostName>,
    /// What was written, and where its bytes are; none: it was taken away.
    pub(super) written: BTreeMap<Spot, Option<Source>>,
    /// The undo folders.
    pub(super) kept: BTreeSet<(HostName, Hash)>,
    pub(super) breaking: BTreeSet<Hash>,
    pub(super) sickening: BTreeSet<Hash>,
    pub(super) faults: BTreeMap<usize, Fault>,
    pub(super) silent_for: Duration,
    pub(super) silent: BTreeMap<Option<HostName>, Option<Instant>>,
    pub(super) boots: BTreeMap<HostName, u32>,
    pub(super) receipts: BTreeMap<Act, (Option<HostName>, Receipt)>,
    pub(super) acts: usize,
    pub(super) done: Vec<At<Change>>,
    pub(super) harm: Vec<String>,
    pub(super) promised: bool,
    /// Numbers processes and state changes.
    pub(super) count: u32,
}

/// Something that runs, or does not.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) unit: UnitFacts,
    /// What it read at its start.
    pub(super) config: BTreeMap<String, Option<Hash>>,
    /// It never becomes healthy.
    pub(super) sick: bool,
    /// When it is healthy; none: since long.
    pub(super) ready: Option<Instant>,
    /// An act has started or stopped it.
    pub(super) changed: bool,
}

/// A server of a backend.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) facts: ServerFacts,
    /// When it was set.
    pub(super) since: Option<Instant>,
    /// Its sessions do not end by themselves.
    pub(super) holds: bool,
}

/// What lies behind something opaque.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Opened {
    Host(HostName),
    Process(Key),
    File(Spot),
}

/// How long a start takes until it is healthy, where it may take that long.
pub(super) const START: Duration = Duration::from_secs(3);
/// How long sessions last once no new ones come.
pub(super) const DRAIN: Duration = Duration::from_secs(2);

impl World {
    pub(super) fn new(links: Links) -> Self {
        Self {
            links,
            processes: BTreeMap::new(),
            files: BTreeMap::new(),
            servers: BTreeMap::new(),
            learnt: vec![],
            opened: vec![],
            touched: BTreeSet::new(),
            written: BTreeMap::new(),
            kept: BTreeSet::new(),
            breaking: BTreeSet::new(),
            sickening: BTreeSet::new(),
            faults: BTreeMap::new(),
            silent_for: Duration::from_secs(20),
            silent: BTreeMap::new(),
            boots: BTreeMap::new(),
            receipts: BTreeMap::new(),
            acts: 0,
            done: vec![],
            harm: vec![],
            promised: false,
            count: 0,
        }
    }

    pub(super) fn reach(&self, host: Option<&HostName>) -> Result<(), Lost> {
        match self.silent.get(&host.cloned()) {
            Some(None) => Err(silent(host)),
            Some(Some(until)) if Instant::now() < *until => Err(silent(host)),
            _ => Ok(()),
        }
    }
    pub(super) fn boot(&self, host: Option<&HostName>) -> String {
        host.map_or_else(|| "here".into(), |h| format!("boot-{}", self.boots.get(h).copied().unwrap_or(0)))
    }
    pub(super) fn reboot(&mut self, host: &HostName) {
        *self.boots.entry(host.clone()).or_default() += 1;
        self.receipts.retain(|_, (at, _)| at.as_ref() != Some(host));
        self.silent.remove(&Some(host.clone()));
    }
    pub(super) fn hold_sessions(&mut self, backend: &str, server: &str) {
        for (key, state) in &mut self.servers {
            state.holds |= key.2 == backend && key.3 == server;
        }
    }

    /// At most once an act.
    pub(super) fn carry(&mut self, act: &Act, change: &At<Change>) -> Result<Receipt, Lost> {
        let host = change.at.host.as_ref();
        self.reach(host)?;
        if let Some((_, receipt)) = self.receipts.get(act) {
            return Ok(receipt.clone());
        }
        if act.boot != self.boot(host) {
            return Ok(Receipt::of(rebooted()));
        }
        let fault = self.faults.get(&self.acts).copied();
        self.acts += 1;
        let lose = |world: &mut Self| {
            world.silent.insert(host.cloned(), Instant::now().checked_add(world.silent_for));
            Err(silent(host))
        };
        if fault == Some(Fault::LostBefore) {
            return lose(self);
        }
        let receipt = match fault {
            Some(Fault::Refused) => Receipt::of(Outcome::Refused("sudo: not allowed".into())),
            Some(Fault::FailedBefore) => failed("exit 1"),
            Some(Fault::NoEffect) => Receipt { code: Some(0), ..Receipt::of(Outcome::Ok) },
            _ => {
                let running: Vec<Key> = self.young().cloned().collect();
                match self.effect(change) {
                    Err(why) => failed(&why),
                    Ok(_) if fault == Some(Fault::FailedAfter) => failed("exit 1"),
                    Ok(code) => {
                        if fault == Some(Fault::Sick) {
                            let new: Vec<Key> = self.young().filter(|k| !running.contains(k)).cloned().collect();
                            for key in new {
                                if let Some(process) = self.processes.get_mut(&key) {
                                    process.sick = true;
                                }
                            }
                        }
                        Receipt { code, ..Receipt::of(Outcome::Ok) }
                    }
                }
            }
        };
        self.receipts.insert(act.clone(), (host.cloned(), receipt.clone()));
        if fault == Some(Fault::LostAfter) {
            return lose(self);
        }
        Ok(receipt)
    }

    /// What was started a moment ago.
    fn young(&self) -> impl Iterator<Item = &Key> {
        let now = Instant::now();
        self.processes.iter().filter(move |(_, p)| p.ready.is_some_and(|r| r > now)).map(|(k, _)| k)
    }

    pub(super) fn standing(&self) -> BTreeMap<String, String> {
        let mut standing = BTreeMap::new();
        for (key, process) in &self.processes {
            let running = process.unit.state == UnitState::Active;
            let loaded = if running { format!(" {:?}", process.config) } else { String::new() };
            let sick = if running && process.sick { ", sick" } else { "" };
            standing.insert(key.to_string(), format!("{}{sick}{loaded}", if running { "running" } else { "stopped" }));
        }
        for ((host, path), file) in &self.files {
            if let Some(file) = file {
                let said = format!("{} {:o} {}:{}", file.hash, file.mode, file.owner, file.group);
                standing.insert(format!("{host}/file{path}"), said);
            }
        }
        for ((host, _, backend, server), state) in &self.servers {
            let home = host.as_ref().map_or("", HostName::as_str);
            standing.insert(format!("{home}/backend/{backend}/{server}"), format!("{:?}", state.facts.state));
        }
        standing
    }

    /// The bytes of a file that was written here, where they are at hand.
    pub(super) fn bytes(&self, at: &Place, path: &str) -> Option<Vec<u8>> {
        match self.written.get(&(at.host.clone()?, path.to_owned()))?.as_ref()? {
            Source::Text(text) => Some(text.shown().into_bytes()),
            Source::File(file) => std::fs::read(file).ok(),
            Source::Undo => None,
        }
    }

    /// Whether something lies behind an opaque command.
    pub(super) fn is_open(&self, what: &Opened) -> bool {
        let host = match what {
            Opened::Host(host) | Opened::File((host, _)) => host,
            Opened::Process(key) => key.host(),
        };
        self.opened.contains(what) || self.opened.contains(&Opened::Host(host.clone()))
    }
    pub(super) fn healthy(process: &Process) -> bool {
        process.unit.state == UnitState::Active && !process.sick && process.ready.is_none_or(|r| r <= Instant::now())
    }
    pub(super) fn sessions(server: &Server) -> u64 {
        let ended = server.since.is_some_and(|since| since.elapsed() >= DRAIN);
        if server.facts.state != ServerState::Ready && ended && !server.holds { 0 } else { server.facts.sessions }
    }
}

fn failed(why: &str) -> Receipt {
    Receipt { code: Some(1), ..Receipt::of(Outcome::Failed(why.into())) }
}
