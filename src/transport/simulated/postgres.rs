//! PostgreSQL clusters in the simulated world: who is primary of what, whose log goes how far, who streams from whom. A
//! standby that can stream has all that its primary has. Two that accept writes under one system identifier are harm.

use super::{
    links::Key,
    world::{Opened, World},
};
use crate::base::{
    Answer, HostName, Lsn, PgAsk, PgBranch, PgChange, PgControl, PgDepth, PgFacts, PgPeer, PgSlot, PgSpot, PgSql,
    PgStandby, PgState, PgTail, PgUpstream, UnitState,
};
use std::collections::{BTreeMap, BTreeSet};

/// Where a cluster is.
pub(super) type PgKey = (HostName, PgSpot);

/// How long the record of a shutdown is, in bytes: a standby that has all of the log has it too.
const SHUTDOWN: u64 = 120;

/// A cluster.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    /// As it was seen, at that depth.
    seen: PgFacts,
    depth: PgDepth,
    /// An act has changed it, or one of its own kin: what was seen is not how it is.
    changed: bool,
    running: bool,
    masked: bool,
    /// It is set to be a standby.
    signal: bool,
    fence: bool,
    state: PgState,
    system: String,
    /// The one that it is on; the control file's lags behind until a checkpoint.
    timeline: u32,
    in_file: u32,
    checkpoint: Lsn,
    /// How far its log goes.
    end: Lsn,
    history: Vec<PgBranch>,
    upstream: Option<PgUpstream>,
    /// Whom it was seen to stream from, where its settings were not looked at.
    source: Option<String>,
    slots: BTreeSet<String>,
    /// It runs and never answers.
    sick: bool,
}

impl Cluster {
    fn new(seen: &PgFacts, depth: PgDepth) -> Self {
        let control = seen.control.clone().unwrap_or_default();
        let sql = seen.sql.clone().unwrap_or_default();
        // looked at by its files alone, its control file tells what it is
        let recovers = if seen.sql.is_some() { sql.recovery } else { control.state == PgState::InArchiveRecovery };
        let newest = seen.history.last().map_or(0, |branch| branch.timeline.saturating_add(1));
        let known = [sql.written, sql.received, seen.tail.as_ref().map(|tail| tail.end)];
        let end = known.into_iter().flatten().max().unwrap_or(control.checkpoint.max(control.recovered));
        Self {
            running: seen.running,
            masked: seen.masked,
            signal: seen.standby || (seen.running && recovers),
            fence: seen.boot_fence,
            state: control.state,
            system: control.system,
            timeline: newest.max(control.timeline),
            in_file: control.timeline,
            checkpoint: control.checkpoint,
            end,
            history: seen.history.clone(),
            upstream: seen.upstream.clone(),
            source: sql.streams_from,
            slots: sql.slots.into_iter().map(|slot| slot.name).collect(),
            sick: seen.silent.is_some(),
            seen: seen.clone(),
            depth,
            changed: false,
        }
    }

    /// It is there at all.
    fn is_there(&self) -> bool {
        self.seen.control.is_some()
    }
    fn recovers(&self) -> bool {
        self.state == PgState::InArchiveRecovery
    }
    /// It accepts writes.
    fn writes(&self) -> bool {
        self.running && !self.recovers() && !self.sick
    }
    /// Whether its log is the beginning of another's, or all of it.
    fn leads_to(&self, other: &Self) -> bool {
        if self.system != other.system {
            return false;
        }
        match other.history.iter().find(|branch| branch.timeline == self.timeline) {
            Some(branch) => self.end <= branch.left,
            None => self.timeline == other.timeline,
        }
    }
    /// What a server writes into its control file at its end.
    fn end_cleanly(&mut self) {
        if self.recovers() || self.state == PgState::ShutDownInRecovery {
            self.state = PgState::ShutDownInRecovery;
        } else {
            (self.state, self.checkpoint) = (PgState::ShutDown, self.end);
            self.in_file = self.timeline;
            self.end = Lsn(self.end.0.saturating_add(SHUTDOWN));
        }
        self.running = false;
        self.sick = false;
    }
    fn begin(&mut self) {
        self.running = true;
        self.state = if self.signal { PgState::InArchiveRecovery } else { PgState::InProduction };
    }
}

impl World {
    pub(super) fn learn_cluster(&mut self, host: &HostName, ask: &PgAsk, facts: &PgFacts) {
        if let (Some(peer), Some(seen)) = (&ask.peer, facts.peer) {
            self.peers.entry((host.clone(), peer.clone())).or_insert(seen);
        }
        let facts = PgFacts { peer: None, ..facts.clone() };
        let key = (host.clone(), ask.spot.clone());
        match self.clusters.get_mut(&key) {
            None => {
                self.clusters.insert(key, Cluster::new(&facts, ask.depth));
            }
            Some(known) if known.depth >= ask.depth => {}
            Some(known) if !known.changed => *known = Cluster::new(&facts, ask.depth),
            // of one that was changed here, what no act has touched
            Some(known) => {
                let whole = Cluster::new(&facts, ask.depth);
                known.upstream = known.upstream.take().or(whole.upstream);
                known.source = known.source.take().or(whole.source);
                known.slots.extend(whole.slots);
                if known.history.is_empty() {
                    known.history = whole.history;
                }
                (known.seen, known.depth) = (facts, ask.depth);
            }
        }
    }

    pub(super) fn lacks_cluster(&self, host: &HostName, ask: &PgAsk) -> bool {
        let known = self.clusters.get(&(host.clone(), ask.spot.clone()));
        known.is_none_or(|known| known.depth < ask.depth)
            || ask.peer.as_ref().is_some_and(|peer| self.peer(host, peer).is_none())
    }

    pub(super) fn cluster(&self, host: &HostName, ask: &PgAsk) -> Answer {
        let unit = Key::Unit(host.clone(), ask.spot.unit.clone());
        let key = (host.clone(), ask.spot.clone());
        let Some(known) = self.clusters.get(&key).filter(|known| known.depth >= ask.depth) else {
            return Answer::Open;
        };
        if self.is_open(&Opened::Process(unit)) {
            return Answer::Open;
        }
        let mut facts = if known.changed { self.now(&key, known) } else { known.seen.clone() };
        let put = |path: &str, seen| self.files.get(&(host.clone(), path.to_owned())).map_or(seen, Option::is_some);
        facts.passfile = put(&ask.spot.passfile(), facts.passfile);
        facts.boot_fence = put(&fence(&ask.spot), facts.boot_fence);
        let peer = ask.peer.as_ref().and_then(|peer| self.peer(host, peer));
        Answer::Postgres(Box::new(facts.at_depth(ask.depth).seeing(peer)))
    }

    /// Whether a cluster of this database accepts writes there; none: nobody has looked at it.
    pub(super) fn writes(&self, host: &HostName, database: &str) -> Option<bool> {
        let known = self.clusters.iter().find(|((at, spot), _)| at == host && spot.database == database);
        known.map(|(_, cluster)| cluster.writes())
    }

    /// How it is after what was done here.
    fn now(&self, key: &PgKey, known: &Cluster) -> PgFacts {
        let control = PgControl {
            system: known.system.clone(),
            state: known.state,
            timeline: known.in_file,
            checkpoint: known.checkpoint,
            recovered: if known.signal { known.end } else { Lsn::default() },
        };
        let sql = (known.running && !known.sick).then(|| self.says(key, known));
        let tail = PgTail { end: known.end, last: known.seen.tail.as_ref().and_then(|tail| tail.last) };
        PgFacts {
            running: known.running,
            masked: known.masked,
            standby: known.signal,
            silent: (known.running && known.sick).then(|| "the database system is starting up".to_owned()),
            control: known.is_there().then_some(control),
            sql,
            upstream: known.upstream.clone(),
            history: known.history.clone(),
            tail: (!known.running && known.is_there()).then_some(tail),
            ..known.seen.clone()
        }
    }

    fn says(&self, key: &PgKey, known: &Cluster) -> PgSql {
        let recovery = known.recovers();
        let position = recovery.then_some(known.end);
        let streamers: Vec<(&PgKey, &Cluster)> =
            self.clusters.iter().filter(|(k, c)| self.source_of(k, c) == Some(key)).collect();
        // as whom it was seen to stream once, unless it was set anew since
        let seen = |address: &str| {
            let mut all = known.seen.sql.iter().flat_map(|sql| &sql.standbys);
            all.find(|standby| standby.address == address).map(|standby| standby.name.clone())
        };
        let standby = |(at, cluster): &(&PgKey, &Cluster)| {
            let address = self.links.address(&at.0).unwrap_or_default();
            let set = || slot_of(cluster).unwrap_or_else(|| at.0.as_str().to_owned());
            PgStandby {
                name: seen(&address).unwrap_or_else(set),
                address,
                state: "streaming".to_owned(),
                sync: self.in_step(&cluster.system),
                flushed: Some(cluster.end),
                replayed: Some(cluster.end),
            }
        };
        let used: BTreeSet<String> = streamers.iter().filter_map(|(_, cluster)| slot_of(cluster)).collect();
        let slot = |name: &String| PgSlot { name: name.clone(), active: used.contains(name) };
        let before = known.seen.sql.as_ref();
        PgSql {
            recovery,
            written: (!recovery).then_some(known.end),
            received: position,
            replayed: position,
            delay: None,
            last: before.and_then(|sql| sql.last).filter(|_| recovery),
            paused: recovery && before.is_some_and(|sql| sql.paused),
            streams_from: self.source_of(key, known).map(|_| host_of(known)),
            standbys: streamers.iter().map(standby).collect(),
            slots: known.slots.iter().map(slot).collect(),
            replicators: before.map(|sql| sql.replicators.clone()).unwrap_or_default(),
            hints: before.and_then(|sql| sql.hints),
        }
    }

    /// Commits of this database were seen to wait for a standby.
    fn in_step(&self, system: &str) -> bool {
        let kin = self.clusters.values().filter(|one| one.system == system);
        kin.filter_map(|one| one.seen.sql.as_ref()).flat_map(|sql| &sql.standbys).any(|standby| standby.sync)
    }

    /// Whom a standby streams from now.
    fn source_of(&self, key: &PgKey, cluster: &Cluster) -> Option<&PgKey> {
        if !cluster.running || cluster.sick || !cluster.recovers() {
            return None;
        }
        let set = cluster.upstream.as_ref();
        let named = set.map(|set| &set.host).or(cluster.source.as_ref());
        let serves = |(at, other): &(&PgKey, &Cluster)| {
            let here = match named {
                Some(named) => self.links.named(named) == Some(&at.0) && set.is_none_or(|set| set.port == at.1.port),
                // nobody has looked whom: its primary then
                None => !other.recovers(),
            };
            let slot = slot_of(cluster).is_none_or(|slot| other.depth < PgDepth::Whole || other.slots.contains(&slot));
            *at != key && here && other.running && !other.sick && slot && cluster.leads_to(other)
        };
        self.clusters.iter().find(serves).map(|(at, _)| at)
    }

    /// What pg_isready(1) says of an address there; none: nobody knows.
    fn peer(&self, host: &HostName, peer: &(String, u16)) -> Option<PgPeer> {
        let at = self.links.named(&peer.0);
        let one = self.clusters.iter().find(|((on, spot), _)| Some(on) == at && spot.port == peer.1);
        match one {
            Some((_, one)) if one.running && one.sick => Some(PgPeer::Rejects),
            Some((_, one)) if one.running => Some(PgPeer::Accepts),
            Some((_, one)) if one.changed => Some(PgPeer::Silent),
            _ => self.peers.get(&(host.clone(), peer.clone())).copied().or_else(|| one.map(|_| PgPeer::Silent)),
        }
    }

    /// # Errors
    /// It is refused, or fails, in words.
    pub(super) fn change_cluster(&mut self, host: &HostName, spot: &PgSpot, deed: &PgChange) -> Result<(), String> {
        let key = (host.clone(), spot.clone());
        let before = self.both_write();
        self.do_to_cluster(&key, deed)?;
        self.stir(&key);
        self.hold_one_primary(&before);
        Ok(())
    }

    fn do_to_cluster(&mut self, key: &PgKey, deed: &PgChange) -> Result<(), String> {
        let name = key.1.database.clone();
        let used = self.clusters.get(key).map(|one| self.says(key, one).slots).unwrap_or_default();
        let upstream = match deed {
            PgChange::Rewind(upstream) => self.at(upstream).cloned(),
            _ => None,
        };
        let no_passfile = match deed {
            PgChange::Follow(up) | PgChange::Rewind(up) => up
                .passfile
                .as_ref()
                .is_some_and(|path| self.files.get(&(key.0.clone(), path.clone())).is_some_and(Option::is_none)),
            _ => false,
        };
        let unit = Key::Unit(key.0.clone(), key.1.unit.clone());
        let Some(one) = self.clusters.get_mut(key).filter(|one| one.is_there()) else {
            return Err(format!("there is no cluster in `{}`", key.1.data));
        };
        let runs = |one: &Cluster| {
            if one.running && !one.sick { Ok(()) } else { Err(format!("`{name}` does not run")) }
        };
        let rests = |one: &Cluster| if one.running { Err(format!("`{name}` runs")) } else { Ok(()) };
        match deed {
            PgChange::Checkpoint => {
                runs(one)?;
                if !one.recovers() {
                    (one.checkpoint, one.in_file) = (one.end, one.timeline);
                }
            }
            PgChange::Mask | PgChange::Unmask => {
                one.masked = *deed == PgChange::Mask;
                if let Some(process) = self.processes.get_mut(&unit) {
                    process.unit.loaded = !matches!(deed, PgChange::Mask);
                }
            }
            PgChange::Stop if !one.running && !matches!(one.state, PgState::ShutDown | PgState::ShutDownInRecovery) => {
                return Err(format!("`{name}` does not run and did not end cleanly"));
            }
            PgChange::Stop if !one.running => {}
            PgChange::Stop => {
                // its standbys have all of its log before it ends
                let followers: Vec<PgKey> = self.followers(key);
                self.end_cluster(key, &followers);
                self.tell_unit(&unit, false);
            }
            PgChange::Start if one.running => {}
            PgChange::Start if one.masked => return Err(format!("`{}` is masked", key.1.unit)),
            PgChange::Start => {
                one.begin();
                self.tell_unit(&unit, true);
            }
            PgChange::Promote { past } => {
                runs(one)?;
                if !one.recovers() {
                    return Err(format!("`{name}` is no standby"));
                }
                if let Some(past) = past.filter(|past| one.end < *past) {
                    return Err(format!("`{name}` has received the log up to {}, and {past} is needed", one.end));
                }
                one.history.push(PgBranch { timeline: one.timeline, left: one.end });
                one.timeline = one.timeline.saturating_add(1);
                (one.signal, one.state) = (false, PgState::InProduction);
            }
            PgChange::Follow(upstream) => {
                rests(one)?;
                if no_passfile {
                    return Err("the password file is not there".to_owned());
                }
                (one.signal, one.upstream) = (true, Some(upstream.clone()));
            }
            PgChange::Rewind(_) => {
                rests(one)?;
                let Some(new) = upstream.filter(|new| new.running && !new.sick && new.system == one.system) else {
                    return Err(format!("`{name}` could not be rewound: its new primary does not answer"));
                };
                if !one.leads_to(&new) {
                    (one.timeline, one.in_file, one.end) = (new.timeline, new.in_file, new.end);
                    (one.history, one.checkpoint) = (new.history, new.checkpoint);
                    // its own files of settings are the new primary's now
                    (one.upstream, one.signal, one.state) = (new.upstream, false, PgState::InArchiveRecovery);
                }
            }
            PgChange::MakeSlot(slot) => {
                runs(one)?;
                one.slots.insert(slot.clone());
            }
            PgChange::DropSlot(slot) => {
                runs(one)?;
                if used.iter().any(|used| used.name == *slot && used.active) {
                    return Err(format!("the slot `{slot}` is in use"));
                }
                one.slots.remove(slot);
            }
        }
        Ok(())
    }

    fn followers(&self, key: &PgKey) -> Vec<PgKey> {
        let streams = |(at, one): &(&PgKey, &Cluster)| self.source_of(at, one) == Some(key);
        self.clusters.iter().filter(streams).map(|(at, _)| at.clone()).collect()
    }

    fn end_cluster(&mut self, key: &PgKey, followers: &[PgKey]) {
        let Some(one) = self.clusters.get_mut(key) else { return };
        one.end_cleanly();
        let end = one.end;
        for at in followers {
            if let Some(standby) = self.clusters.get_mut(at) {
                standby.end = standby.end.max(end);
            }
        }
    }

    /// The cluster that a standby is set to stream from.
    fn at(&self, upstream: &PgUpstream) -> Option<&Cluster> {
        let host = self.links.named(&upstream.host);
        let there = |(at, _): &(&PgKey, &Cluster)| Some(&at.0) == host && at.1.port == upstream.port;
        self.clusters.iter().find(there).map(|(_, one)| one)
    }

    /// Its kin are as they are now, and no longer as they were seen; who can stream has caught up.
    fn stir(&mut self, key: &PgKey) {
        let Some(system) = self.clusters.get(key).map(|one| one.system.clone()) else { return };
        for one in self.clusters.values_mut().filter(|one| one.system == system) {
            one.changed = true;
        }
        let caught_up: BTreeMap<PgKey, (Lsn, u32, Vec<PgBranch>)> = self
            .clusters
            .iter()
            .filter_map(|(at, one)| {
                let source = self.clusters.get(self.source_of(at, one)?)?;
                Some((at.clone(), (one.end.max(source.end), source.timeline, source.history.clone())))
            })
            .collect();
        for (at, (end, timeline, history)) in caught_up {
            if let Some(one) = self.clusters.get_mut(&at) {
                (one.end, one.timeline, one.history) = (end, timeline, history);
            }
        }
    }

    /// Pairs that both accept writes, in words.
    fn both_write(&self) -> BTreeSet<String> {
        let writing: Vec<(&PgKey, &Cluster)> = self.clusters.iter().filter(|(_, one)| one.writes()).collect();
        let mut pairs = BTreeSet::new();
        for (number, (one, cluster)) in writing.iter().enumerate() {
            for (other, _) in writing.iter().skip(number + 1).filter(|(_, other)| other.system == cluster.system) {
                pairs.insert(format!("`{}` accepts writes on `{}` and `{}`", one.1.database, one.0, other.0));
            }
        }
        pairs
    }
    fn hold_one_primary(&mut self, before: &BTreeSet<String>) {
        for pair in self.both_write() {
            if !before.contains(&pair) && !self.harm.contains(&pair) {
                self.harm.push(pair);
            }
        }
    }

    /// The unit of a cluster that was started or stopped, where somebody has looked at it.
    fn tell_unit(&mut self, unit: &Key, runs: bool) {
        let tick = self.tick();
        let count = self.count;
        let Some(process) = self.processes.get_mut(unit) else { return };
        process.unit.since = process.unit.since.saturating_add(tick);
        (process.unit.state, process.unit.pid) =
            if runs { (UnitState::Active, 100_000 + count) } else { (UnitState::Inactive, 0) };
        if runs {
            process.unit.invocation = format!("{count:032x}");
        }
        process.changed = true;
    }

    /// A unit was started or stopped by itself: so was the cluster behind it.
    ///
    /// # Errors
    /// It cannot be started, in words.
    pub(super) fn unit_moves(&mut self, unit: &Key, runs: bool) -> Result<(), String> {
        let behind = |(at, _): &(&PgKey, &Cluster)| *unit == Key::Unit(at.0.clone(), at.1.unit.clone());
        let Some((key, one)) = self.clusters.iter().find(behind).map(|(at, one)| (at.clone(), one)) else {
            return Ok(());
        };
        if one.running == runs {
            return Ok(());
        }
        let fence = self.files.get(&(key.0.clone(), fence(&key.1))).map_or(one.fence, Option::is_some);
        let fenced = fence && !one.signal && self.writes_elsewhere(&key);
        if runs && (one.masked || fenced) {
            return Err(format!(
                "`{}` {}",
                key.1.unit,
                if one.masked { "is masked" } else { "is held by its boot fence" }
            ));
        }
        let before = self.both_write();
        if runs {
            if let Some(one) = self.clusters.get_mut(&key) {
                one.begin();
            }
        } else {
            let followers = self.followers(&key);
            self.end_cluster(&key, &followers);
        }
        self.stir(&key);
        self.hold_one_primary(&before);
        Ok(())
    }
    fn writes_elsewhere(&self, key: &PgKey) -> bool {
        let Some(system) = self.clusters.get(key).map(|one| &one.system) else { return false };
        self.clusters.iter().any(|(at, one)| at != key && one.system == *system && one.writes())
    }

    /// What was started runs, and never answers. Whether there is such a thing.
    pub(super) fn sicken_cluster(&mut self, host: &HostName, spot: &PgSpot, deed: &PgChange) -> bool {
        let one = self.clusters.get_mut(&(host.clone(), spot.clone()));
        let one = one.filter(|one| one.running && *deed == PgChange::Start);
        one.map(|one| one.sick = true).is_some()
    }

    /// Each that is there, under the name of its lock.
    pub(super) fn standing_clusters(&self) -> impl Iterator<Item = (String, String)> {
        self.clusters.iter().filter(|(_, one)| one.is_there()).map(|((host, spot), one)| {
            let mut is = if one.running { "running" } else { "stopped" }.to_owned();
            if one.sick {
                is += ", silent";
            }
            match (one.signal, &one.upstream) {
                (false, _) => is += " as a primary",
                (true, None) => is += " as a standby",
                (true, Some(upstream)) => is += &format!(" as a standby of `{}`", upstream.host),
            }
            is += &format!(" on timeline {}", one.timeline);
            if one.masked {
                is += ", masked";
            }
            for slot in &one.slots {
                is += &format!(", slot `{slot}`");
            }
            (format!("{host}/postgres/{}", spot.database), is)
        })
    }
}

/// The slot that a standby streams by.
fn slot_of(cluster: &Cluster) -> Option<String> {
    cluster.upstream.as_ref().and_then(|upstream| upstream.slot.clone())
}

/// Whom it is set to stream from, as it says it.
fn host_of(cluster: &Cluster) -> String {
    let set = cluster.upstream.as_ref().map(|upstream| upstream.host.clone());
    set.or_else(|| cluster.source.clone()).unwrap_or_default()
}

/// The drop-in of the boot fence.
fn fence(spot: &PgSpot) -> String {
    format!("/etc/systemd/system/{}.d/svcops-boot-fence.conf", spot.unit)
}
