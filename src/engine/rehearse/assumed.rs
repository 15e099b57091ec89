//! A world that nobody looked at, as `svcops.yaml` would have it: for rehearsals where there are no hosts.

use super::{super::Store, Known};
use crate::{
    actions::Refusal,
    base::{
        Act, Answer, At, Change, ClientFacts, Content, FileFacts, Hash, HostName, HttpFacts, Leaf, Lsn, PairFacts,
        PairSpot, PgControl, PgFacts, PgPeer, PgSlot, PgSpot, PgSql, PgStandby, PgState, PgTail, PgUpstream, Place,
        Program, ProofFacts, Read, Receipt, RecordFacts, RunFacts, RunId, ServedFacts, ServerFacts, ServerState,
        Source, Span, TcpFacts, Text, UnitFacts, UnitState,
    },
    inventory::{Database, Host, Inventory, Manager},
    resources::{App, Resource as _},
    transport::{Fut, Look, Lost, LostKind, Settled, Terms, Transport},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// How its apps are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// All of them run and are healthy, and their servers take traffic.
    Healthy,
    /// None of them runs, and their servers are in maintenance.
    Stopped,
}

/// A transport that answers from what it is told, and carries nothing out.
pub struct Assumed(Told);

enum Told {
    /// By facts that were seen once.
    Facts(Known),
    /// By what one would have.
    Wish(Wished),
}

struct Wished {
    wish: Wish,
    probes: Vec<(At<Read>, Option<u16>)>,
    /// Commands that tell whether an app runs.
    status: BTreeSet<String>,
    /// Files that apps read at their start.
    config: BTreeSet<String>,
    clusters: Vec<(HostName, PgSpot, PgFacts)>,
}

impl Assumed {
    /// The world as it was seen.
    pub const fn told(known: Known) -> Self {
        Self(Told::Facts(known))
    }
    /// The world of an inventory as one would have it.
    pub fn wished(inventory: &Inventory, wish: Wish) -> Self {
        let (mut status, mut config) = (BTreeSet::new(), BTreeSet::new());
        for app in inventory.apps.values() {
            config.extend(app.config.iter().cloned());
            for host in inventory.hosts_of(app) {
                if let Ok(on) = inventory.app_on(app, host)
                    && let Manager::Command { status: text, .. } = &on.manager
                {
                    status.insert(text.clone());
                }
            }
        }
        Self(Told::Wish(Wished {
            wish,
            probes: probes(inventory),
            status,
            config,
            clusters: clusters(inventory, wish),
        }))
    }
    fn answer(&self, read: &At<Read>) -> Answer {
        match &self.0 {
            Told::Facts(known) => known.answer(read),
            Told::Wish(wished) => wished.answer(read),
        }
    }
}

impl Wished {
    fn answer(&self, read: &At<Read>) -> Answer {
        let healthy = self.wish == Wish::Healthy;
        let probe = self.probes.iter().find(|(p, _)| asks_the_same(&p.what, &read.what));
        match &read.what {
            Read::Unit { .. } => {
                let state = if healthy { UnitState::Active } else { UnitState::Inactive };
                let invocation = if healthy { "as it is" } else { "" }.to_owned();
                Answer::Unit(UnitFacts {
                    loaded: true,
                    state,
                    enabled: healthy,
                    pid: u32::from(healthy),
                    invocation,
                    since: 1,
                })
            }
            Read::File { path } if self.config.contains(path) => Answer::File(Some(file(0o644))),
            Read::File { .. } => Answer::File(None),
            Read::Server { .. } => {
                let state = if healthy { ServerState::Ready } else { ServerState::Maint };
                Answer::Server(ServerFacts { state, sessions: 0, up: healthy })
            }
            Read::Http(_) if probe.is_some() => {
                let status = probe.and_then(|(_, status)| *status).filter(|_| healthy);
                let error = (!healthy).then(|| "connection refused".to_owned());
                Answer::Http(HttpFacts { status, error, ..HttpFacts::default() })
            }
            Read::Tcp { .. } => {
                let error = (!healthy).then(|| "connection refused".to_owned());
                Answer::Tcp(TcpFacts { open: healthy, error })
            }
            Read::Run(run)
                if probe.is_some() || matches!(&run.program, Program::Shell(t) if self.status.contains(t)) =>
            {
                Answer::Run(RunFacts { code: Some(if healthy { 0 } else { 3 }), ..RunFacts::default() })
            }
            Read::Record(_) => Answer::Record(RecordFacts::default()),
            Read::Proof(_) => Answer::Proof(ProofFacts { folders: 2, ..ProofFacts::default() }),
            Read::Order(_) => Answer::Order(Box::default()),
            Read::Postgres(ask) => {
                let there =
                    self.clusters.iter().find(|(h, spot, _)| Some(h) == read.at.host.as_ref() && *spot == ask.spot);
                let accepts = if healthy { PgPeer::Accepts } else { PgPeer::Silent };
                let facts = |facts: &PgFacts| facts.at_depth(ask.depth).seeing(ask.peer.as_ref().map(|_| accepts));
                there.map_or(Answer::Open, |(.., known)| Answer::Postgres(Box::new(facts(known))))
            }
            Read::Client(_) => Answer::Client(Box::new(ClientFacts::steadily(healthy))),
            Read::Pair(spot) => Answer::Pair(Box::new(pair(spot))),
            Read::Served(_) if !healthy => {
                let error = Some("connection refused".to_owned());
                Answer::Served(ServedFacts { error, ..ServedFacts::default() })
            }
            Read::Served(_) => {
                let leaf = leaf();
                let (serial, fingerprint) = (Some(leaf.serial), Some(leaf.fingerprint));
                Answer::Served(ServedFacts { serial, fingerprint, not_after: Some(leaf.not_after), error: None })
            }
            // what else they would say, nobody knows
            Read::Addresses(_) | Read::Http(_) | Read::Run(_) => Answer::Open,
        }
    }
}

/// The clusters of its databases: on the first host of each the primary, on the others its standbys.
fn clusters(inventory: &Inventory, wish: Wish) -> Vec<(HostName, PgSpot, PgFacts)> {
    const END: Lsn = Lsn(0x300_0000);
    let runs = wish == Wish::Healthy;
    let mut all = Vec::new();
    for (number, database) in inventory.databases.values().enumerate() {
        let hosts = inventory.select(&database.hosts);
        let slot = |host: &Host| database.replication.slots.then(|| Database::slot(&host.name));
        let address = |host: &Host| host.address.clone().unwrap_or_else(|| host.name.as_str().to_owned());
        for (at, host) in hosts.iter().enumerate() {
            let primary = hosts.first().filter(|_| at > 0);
            let state = match (primary, runs) {
                (None, true) => PgState::InProduction,
                (None, false) => PgState::ShutDown,
                (Some(_), true) => PgState::InArchiveRecovery,
                (Some(_), false) => PgState::ShutDownInRecovery,
            };
            let others = hosts.iter().skip(1).filter(|_| primary.is_none());
            let standby = |host: &&&Host| PgStandby {
                name: slot(host).unwrap_or_else(|| "walreceiver".to_owned()),
                address: address(host),
                state: "streaming".to_owned(),
                sync: database.replication.sync,
                flushed: Some(END),
                replayed: Some(END),
            };
            let recovers = primary.map(|_| END);
            let sql = PgSql {
                recovery: primary.is_some(),
                written: primary.is_none().then_some(END),
                received: recovers,
                replayed: recovers,
                streams_from: primary.map(|primary| address(primary)),
                standbys: others.clone().map(|host| standby(&host)).collect(),
                slots: others.filter_map(|host| Some(PgSlot { name: slot(host)?, active: true })).collect(),
                ..PgSql::default()
            };
            let upstream = primary.map(|primary| PgUpstream {
                host: address(primary),
                port: database.spot.port,
                user: database.replication.user.clone(),
                passfile: database.passfile(),
                slot: slot(host),
            });
            let facts = PgFacts {
                running: runs,
                standby: primary.is_some(),
                control: Some(PgControl {
                    system: (number + 1).to_string(),
                    state,
                    timeline: 1,
                    checkpoint: END,
                    recovered: recovers.unwrap_or_default(),
                }),
                sql: runs.then_some(sql),
                upstream,
                version: major(&database.spot.bin),
                free: Some(1 << 40),
                boot_fence: true,
                tail: (!runs).then_some(PgTail { end: END, last: None }),
                passfile: true,
                ..PgFacts::default()
            };
            all.push((host.name.clone(), database.spot.clone(), facts));
        }
    }
    all
}

/// The major version that a folder of programs is named after, as Debian's and the PGDG's are.
fn major(bin: &str) -> u32 {
    let number = |part: &str| part.trim_start_matches("pgsql-").parse().ok();
    bin.split('/').find_map(number).unwrap_or(15)
}

fn file(mode: u32) -> FileFacts {
    let root = || "root".to_owned();
    FileFacts { hash: Hash::of(b"as it is"), size: 8, mode, owner: root(), group: root(), link: None }
}

/// A certificate that is due whatever the day: the step that renews it is what a rehearsal is to try.
fn leaf() -> Leaf {
    Leaf {
        serial: "00".into(),
        fingerprint: Hash::of(b"as it is").0,
        spki: Hash::of(b"as it is").0,
        issuer: "CN=as it is".into(),
        names: vec![],
        not_before: jiff::Timestamp::UNIX_EPOCH,
        not_after: jiff::Timestamp::UNIX_EPOCH,
        pem: Hash::of(b"as it is"),
    }
}

fn pair(spot: &PairSpot) -> PairFacts {
    let mode = |path: &str| if path == spot.key_file() { 0o600 } else { 0o644 };
    let (leaf, files) = (leaf(), spot.files());
    PairFacts {
        key: Some(leaf.spki.clone()),
        key_fits: true,
        installed: Some(leaf),
        files: files.into_iter().map(|path| (path.to_owned(), Some(file(mode(path))))).collect(),
        ..PairFacts::default()
    }
}

/// Contents for a rehearsal without hosts: secrets are named and never read, for where there are no hosts there are no
/// secrets either.
pub struct Sealed(Arc<dyn Store>);

impl Sealed {
    /// Whatever names no secret comes from `store`.
    pub fn over(store: Arc<dyn Store>) -> Self {
        Self(store)
    }
}

impl Store for Sealed {
    fn file(&self, path: &str) -> Result<Content, Refusal> {
        self.0.file(path)
    }
    fn read(&self, path: &str) -> Result<String, Refusal> {
        self.0.read(path)
    }
    fn text(&self, text: &Text) -> Result<Content, Refusal> {
        if text.names().is_empty() {
            return self.0.text(text);
        }
        let (hash, size) = (Hash::of(text.0.as_bytes()), text.0.len() as u64);
        Ok(Content { hash, size, from: Source::Text(text.clone()) })
    }
    fn show(&self, content: &Content) -> Option<Vec<u8>> {
        self.0.show(content)
    }
}

/// What the apps of an inventory are asked for their health, and the HTTP status that is healthy.
pub(super) fn probes(inventory: &Inventory) -> Vec<(At<Read>, Option<u16>)> {
    let mut probes = Vec::new();
    for app in inventory.apps.values() {
        for host in inventory.hosts_of(app) {
            let place = Place::on(&host.name).becoming(host.ssh.become_user.clone());
            let on = inventory.app_on(app, host).ok().and_then(|on| App::of(&on, place, Span::secs(10)).ok());
            probes.extend(on.and_then(|on| on.health).map(|probe| (probe.read, probe.status)));
        }
    }
    probes
}

/// All that tells how the apps of some hosts are: what manages them, what they read at their start, their health, their
/// servers; by the host that is asked.
pub(super) fn around(inventory: &Inventory, hosts: &[HostName]) -> Vec<(Option<HostName>, Vec<At<Read>>)> {
    let mut all: BTreeMap<Option<HostName>, Vec<At<Read>>> = BTreeMap::new();
    for app in inventory.apps.values() {
        for host in inventory.hosts_of(app).filter(|h| hosts.contains(&h.name)) {
            let user = |host: &Host| host.ssh.become_user.clone();
            let place = Place::on(&host.name).becoming(user(host));
            let Ok(on) = inventory.app_on(app, host) else { continue };
            let config = app.config.iter().map(|path| place.at(Read::File { path: path.clone() }));
            let mut reads: Vec<At<Read>> = config.collect();
            if let Ok(app) = App::of(&on, place, Span::secs(10)) {
                reads.extend(app.reads());
            }
            if let Some(behind) = &on.behind {
                let front = behind.host.as_ref().and_then(|name| inventory.host(name.as_str()));
                let place = front.map_or(Place::HERE, |host| Place::on(&host.name).becoming(user(host)));
                let (api, backend, server) = (behind.api.clone(), behind.backend.clone(), behind.server.clone());
                reads.push(place.at(Read::Server { api, backend, server }));
            }
            for read in reads {
                all.entry(read.at.host.clone()).or_default().push(read);
            }
        }
    }
    all.into_iter().collect()
}

/// Whoever asks it, and however long they would wait.
fn asks_the_same(one: &Read, other: &Read) -> bool {
    match (one, other) {
        (Read::Http(one), Read::Http(other)) => one.url == other.url,
        (Read::Tcp { host, port, .. }, Read::Tcp { host: h, port: p, .. }) => (host, port) == (h, p),
        (Read::Run(one), Read::Run(other)) => one.program == other.program,
        _ => false,
    }
}

fn nowhere(host: Option<&HostName>) -> Lost {
    Lost { host: host.cloned(), why: "there is no such host: the world is assumed".into(), kind: LostKind::Unreachable }
}

impl Transport for Assumed {
    fn look<'a>(&'a self, _: Option<&'a HostName>, reads: &'a [At<Read>]) -> Fut<'a, Result<Look, Lost>> {
        Box::pin(
            async move { Ok(Look { boot: "assumed".into(), answers: reads.iter().map(|r| self.answer(r)).collect() }) },
        )
    }
    fn open<'a>(&'a self, _: &'a RunId, at: &'a Place) -> Fut<'a, Result<String, Lost>> {
        Box::pin(async move { Err(nowhere(at.host.as_ref())) })
    }
    fn carry<'a>(&'a self, _: &'a Act, change: &'a At<Change>, _: Terms) -> Fut<'a, Result<Receipt, Lost>> {
        Box::pin(async move { Err(nowhere(change.at.host.as_ref())) })
    }
    fn settle<'a>(&'a self, _: &'a Act, change: &'a At<Change>, _: Terms) -> Fut<'a, Result<Settled, Lost>> {
        Box::pin(async move { Err(nowhere(change.at.host.as_ref())) })
    }
    fn cancel<'a>(&'a self, _: &'a Act, at: &'a Place) -> Fut<'a, Result<bool, Lost>> {
        Box::pin(async move { Err(nowhere(at.host.as_ref())) })
    }
    fn fetch<'a>(&'a self, _: &'a Place, _: &'a str, _: usize) -> Fut<'a, Result<Option<Vec<u8>>, Lost>> {
        Box::pin(async { Ok(None) })
    }
    fn supposes(&self) -> bool {
        match &self.0 {
            Told::Facts(known) => known.assumed,
            Told::Wish(_) => true,
        }
    }
    fn close(&self) -> Fut<'_, ()> {
        Box::pin(async {})
    }
}
