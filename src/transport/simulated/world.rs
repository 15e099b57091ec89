//! The state of the simulated world, and how an act is carried out in it.

use super::{
    Settled, Terms,
    certs::PairKey,
    fault::{Fault, When},
    links::{Key, Links, ServerKey},
    patroni::Patronis,
    postgres::{Cluster, PgKey},
    proofs::Proofs,
    records::Records,
    silent,
};
use crate::{
    base::{
        Act, Answer, At, Change, FileFacts, Hash, HostName, OrderAsk, OrderFacts, Outcome, PairFacts, PgPeer, Place,
        Read, Receipt, ServedFacts, ServerFacts, ServerState, Source, TaskId, UnitFacts, UnitState, Way,
    },
    transport::Lost,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// Where a file is.
pub(super) type Spot = (HostName, String);

/// The state of the world.
#[derive(Clone)]
pub(super) struct World {
    pub(super) links: Arc<Links>,
    pub(super) processes: BTreeMap<Key, Process>,
    pub(super) files: BTreeMap<Spot, Option<FileFacts>>,
    pub(super) servers: BTreeMap<ServerKey, Server>,
    pub(super) proofs: Proofs,
    /// PostgreSQL clusters.
    pub(super) clusters: BTreeMap<PgKey, Cluster>,
    /// What was seen of other servers from a host: by their address and port.
    pub(super) peers: BTreeMap<(HostName, (String, u16)), PgPeer>,
    pub(super) records: Records,
    pub(super) patronis: Patronis,
    /// For which hosts something was changed that belongs to none, or to another: by the names of [`standing`](World::standing).
    pub(super) hands: BTreeMap<String, BTreeSet<HostName>>,
    /// What issuers know.
    pub(super) orders: BTreeMap<OrderAsk, OrderFacts>,
    /// What was seen of things without a model, and the words of health checks.
    pub(super) learnt: Vec<(At<Read>, Answer)>,
    pub(super) opened: Vec<Opened>,
    /// Hosts on which something has changed.
    pub(super) touched: BTreeSet<HostName>,
    /// What was written, and where its bytes are; none: it was taken away.
    pub(super) written: BTreeMap<Spot, Option<Source>>,
    /// Certificates with their keys, by host and place.
    pub(super) pairs: BTreeMap<PairKey, PairFacts>,
    /// How many keys were made for each.
    pub(super) keys_made: BTreeMap<PairKey, u32>,
    /// What stood in their places before.
    pub(super) former: Vec<(PairKey, PairFacts)>,
    /// The undo folders.
    pub(super) kept: BTreeSet<(HostName, Hash)>,
    pub(super) breaking: BTreeSet<Hash>,
    pub(super) sickening: BTreeSet<Hash>,
    pub(super) faults: Vec<(When, Fault)>,
    /// So many of them had their effect.
    pub(super) bitten: usize,
    pub(super) silent_for: Duration,
    pub(super) silent: BTreeMap<Option<HostName>, Option<Instant>>,
    pub(super) boots: BTreeMap<HostName, u32>,
    pub(super) receipts: BTreeMap<Act, (Option<HostName>, Receipt)>,
    pub(super) acts: usize,
    pub(super) done: Vec<At<Change>>,
    /// How often each act had its effect.
    pub(super) effects: BTreeMap<(TaskId, Way, usize), usize>,
    pub(super) harm: Vec<String>,
    /// As [`harm`](Self::harm), but for who means it.
    pub(super) rough: Vec<String>,
    pub(super) promised: bool,
    /// No more than so many serving hosts are promised, by app and site.
    pub(super) floors: BTreeMap<(String, Option<String>), usize>,
    /// It is a rehearsal's: what has no model leaves the rest as it is.
    pub(super) supposing: bool,
    /// What nobody has seen is as one would have it.
    pub(super) assumed: bool,
    /// What the apps themselves are asked for their health.
    pub(super) probes: Vec<At<Read>>,
    /// What a command without a model has touched and nobody has taken back: by host and step.
    pub(super) marks: BTreeMap<(HostName, String), BTreeSet<String>>,
    /// So often this process has begun anew.
    pub(super) here: u32,
    /// Numbers processes and state changes.
    pub(super) count: u32,
}

/// Something that runs, or does not.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) unit: UnitFacts,
    /// What it read at its start.
    pub(super) config: BTreeMap<String, Option<Hash>>,
    /// The certificates that it read at its start, as it shows them.
    pub(super) shows: BTreeMap<PairKey, ServedFacts>,
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

/// How an act begins.
pub(super) enum Begun {
    /// It was carried out before, or nobody knows.
    Was(Receipt),
    /// It is carried out now.
    Goes(Option<Fault>),
}

/// How long a start takes until it is healthy, where it may take that long.
pub(super) const START: Duration = Duration::from_secs(3);
/// How long sessions last once no new ones come.
pub(super) const DRAIN: Duration = Duration::from_secs(2);

impl World {
    pub(super) fn new(links: Links) -> Self {
        Self {
            links: Arc::new(links),
            processes: BTreeMap::new(),
            files: BTreeMap::new(),
            servers: BTreeMap::new(),
            proofs: Proofs::new(),
            clusters: BTreeMap::new(),
            peers: BTreeMap::new(),
            records: Records::new(),
            patronis: Patronis::new(),
            hands: BTreeMap::new(),
            orders: BTreeMap::new(),
            learnt: vec![],
            opened: vec![],
            touched: BTreeSet::new(),
            written: BTreeMap::new(),
            pairs: BTreeMap::new(),
            former: vec![],
            keys_made: BTreeMap::new(),
            kept: BTreeSet::new(),
            breaking: BTreeSet::new(),
            sickening: BTreeSet::new(),
            faults: vec![],
            bitten: 0,
            silent_for: Duration::from_secs(20),
            silent: BTreeMap::new(),
            boots: BTreeMap::new(),
            receipts: BTreeMap::new(),
            acts: 0,
            done: vec![],
            effects: BTreeMap::new(),
            harm: vec![],
            rough: vec![],
            promised: false,
            floors: BTreeMap::new(),
            supposing: false,
            assumed: false,
            probes: vec![],
            marks: BTreeMap::new(),
            here: 0,
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
        host.map_or_else(
            || format!("here-{}", self.here),
            |h| format!("boot-{}", self.boots.get(h).copied().unwrap_or(0)),
        )
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

    /// Learnt states are as old as this moment.
    pub(super) fn begin(&mut self) {
        for server in self.servers.values_mut().filter(|s| s.since.is_some()) {
            server.since = Some(Instant::now());
        }
    }
    pub(super) fn restart_here(&mut self) {
        self.here += 1;
        self.receipts.retain(|_, (at, _)| at.is_some());
    }

    /// At most once an act: what became of it, or that it begins now and what goes wrong with it.
    pub(super) fn take_up(&mut self, act: &Act, change: &At<Change>) -> Result<Begun, Lost> {
        let host = change.at.host.as_ref();
        self.reach(host)?;
        if let Some((_, receipt)) = self.receipts.get(act) {
            return Ok(Begun::Was(receipt.clone()));
        }
        if act.boot != self.boot(host) {
            match &change.what {
                _ if host.is_some() => return Ok(Begun::Was(Receipt::of(rebooted()))),
                Change::Tell(_) | Change::Mail(_) => {
                    let why = "it was announced by another process, which may have sent it";
                    return Ok(Begun::Was(Receipt::of(Outcome::Unknown(why.into()))));
                }
                _ => {}
            }
        }
        let fault = self.fault_of(act);
        self.acts += 1;
        if fault == Some(Fault::LostBefore) {
            self.bitten += 1;
            if host.is_some() {
                return self.lose(host);
            }
        }
        Ok(Begun::Goes(fault))
    }

    /// Carries it out.
    pub(super) fn carry(
        &mut self,
        act: &Act,
        change: &At<Change>,
        fault: Option<Fault>,
        terms: Terms,
    ) -> Result<Receipt, Lost> {
        let host = change.at.host.as_ref();
        let receipt = self.carried(act, change, fault, terms);
        self.receipts.insert(act.clone(), (host.cloned(), receipt.clone()));
        if fault == Some(Fault::LostAfter) && host.is_some() {
            return self.lose(host);
        }
        Ok(receipt)
    }

    fn lose<T>(&mut self, host: Option<&HostName>) -> Result<T, Lost> {
        self.silent.insert(host.cloned(), Instant::now().checked_add(self.silent_for));
        Err(silent(host))
    }

    /// What became of an act that is not carried out any more.
    pub(super) fn settle(&mut self, act: &Act, change: &At<Change>) -> Result<Settled, Lost> {
        let host = change.at.host.as_ref();
        self.reach(host)?;
        if let Some((_, receipt)) = self.receipts.get(act) {
            return Ok(Settled::Was(receipt.clone()));
        }
        if act.boot != self.boot(host) && host.is_none() && change.what.is_told_by_a_look() {
            return Ok(Settled::Was(Receipt::of(Outcome::Failed("it was interrupted".into()))));
        }
        if act.boot != self.boot(host) && !matches!(change.what, Change::Ask { .. }) {
            let gone = || Outcome::Unknown("it was announced by another process, and its receipt is gone".into());
            return Ok(Settled::Was(Receipt::of(if host.is_some() { rebooted() } else { gone() })));
        }
        let never = Receipt::of(Outcome::Refused("it was seen to that it never begins".into()));
        self.receipts.insert(act.clone(), (host.cloned(), never));
        Ok(Settled::Never)
    }

    /// What was started a moment ago.
    pub(super) fn young(&self) -> impl Iterator<Item = &Key> {
        let now = Instant::now();
        self.processes.iter().filter(move |(_, p)| p.ready.is_some_and(|r| r > now)).map(|(k, _)| k)
    }

    /// The bytes of a file that was written here, where they are at hand.
    pub(super) fn bytes(&self, at: &Place, path: &str) -> Option<Vec<u8>> {
        match self.written.get(&(at.host.clone()?, path.to_owned()))?.as_ref()? {
            Source::Text(text) => Some(text.shown().into_bytes()),
            Source::File(file) => std::fs::read(file).ok(),
            Source::Undo | Source::Host { .. } => None,
        }
    }

    /// Whether a plan cannot know something, for it lies behind an opaque command. A rehearsal takes it as it was.
    pub(super) fn is_open(&self, what: &Opened) -> bool {
        !self.supposing && self.lies_behind(what)
    }
    /// Whether an opaque command has touched it.
    pub(super) fn lies_behind(&self, what: &Opened) -> bool {
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

fn rebooted() -> Outcome {
    Outcome::Unknown("the host has started anew since".into())
}
