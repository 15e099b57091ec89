//! What the simulated world learns, and what it answers.

use super::{
    links::{Key, ServerKey, Verb},
    world::{Opened, Process, Server, World},
};
use crate::base::{
    Answer, At, Hash, HttpAsk, HttpFacts, Read, RunFacts, ServerFacts, ServerState, TcpFacts, UnitFacts, UnitState,
};
use std::collections::BTreeMap;
use tokio::time::Instant;

impl World {
    pub(super) fn learn(&mut self, read: &At<Read>, answer: &Answer) {
        if matches!(answer, Answer::Open) || self.seen(read).is_some() {
            return;
        }
        if self.learn_patroni(read, answer) {
            return;
        }
        match (&read.what, answer, &read.at.host) {
            (Read::Postgres(ask), Answer::Postgres(facts), Some(host)) => return self.learn_cluster(host, ask, facts),
            (Read::Proof(by), Answer::Proof(facts), Some(host)) => {
                self.learn_proofs(host, by, facts);
                return;
            }
            (Read::Record(ask), Answer::Record(facts), _) => {
                self.learn_records(ask, facts);
                return;
            }
            (Read::Unit { name }, Answer::Unit(unit), Some(host)) => {
                self.meet(Key::Unit(host.clone(), name.clone()), unit.clone());
            }
            (Read::Run(run), Answer::Run(ended), host) => {
                if let Some((key, Verb::Status)) = self.links.command(host.as_ref(), run) {
                    let state = if ended.code == Some(0) { UnitState::Active } else { UnitState::Inactive };
                    self.meet(key.clone(), UnitFacts { loaded: true, state, ..UnitFacts::default() });
                }
            }
            (Read::File { path }, Answer::File(file), Some(host)) => {
                let spot = (host.clone(), path.clone());
                if self.files.contains_key(&spot) {
                    return;
                }
                for (key, process) in &mut self.processes {
                    if key.host() == host && !process.changed && self.links.config(key).contains(path) {
                        process.config.insert(path.clone(), file.as_ref().map(|f| f.hash.clone()));
                    }
                }
                self.files.insert(spot, file.clone());
                return;
            }
            (Read::Pair(spot), Answer::Pair(facts), Some(host)) => return self.learn_pair(host, spot, facts),
            (Read::Served(ask), Answer::Served(facts), _) => self.learn_served(ask, facts),
            (Read::Server { .. }, Answer::Server(facts), _) => {
                if let Some(key) = server_key(read) {
                    let since = (facts.state != ServerState::Ready).then(Instant::now);
                    let server = Server { facts: facts.clone(), since, holds: false };
                    self.servers.entry(key).or_insert(server);
                }
                return;
            }
            (Read::Order(ask), Answer::Order(facts), _) => {
                self.orders.entry(ask.clone()).or_insert_with(|| (**facts).clone());
                return;
            }
            _ => {}
        }
        self.learnt.push((read.clone(), answer.clone()));
        self.diagnose(read);
    }

    /// Takes over a process.
    fn meet(&mut self, key: Key, unit: UnitFacts) {
        if self.processes.contains_key(&key) {
            return;
        }
        let (config, shows) = (self.config_now(&key), self.shown_before(&key));
        self.processes.insert(key.clone(), Process { unit, config, shows, sick: false, ready: None, changed: false });
        let checks: Vec<At<Read>> = self.learnt.iter().map(|(r, _)| r.clone()).collect();
        for read in checks.iter().filter(|r| self.links.health(r).is_some_and(|(k, _)| *k == key)).collect::<Vec<_>>() {
            self.diagnose(read);
        }
    }

    /// What a health check that was seen says of what it looks at.
    fn diagnose(&mut self, read: &At<Read>) {
        let Some((key, status)) = self.links.health(read).map(|(k, s)| (k.clone(), s)) else { return };
        let Some(healthy) = self.seen(read).and_then(|a| well(a, status)) else { return };
        if let Some(process) = self.processes.get_mut(&key).filter(|p| !p.changed) {
            process.sick = process.unit.state == UnitState::Active && !healthy;
        }
    }

    /// The files that it would read if it started now, as far as somebody has looked at them.
    pub(super) fn config_now(&self, key: &Key) -> BTreeMap<String, Option<Hash>> {
        let known = |path: &String| {
            let file = self.files.get(&(key.host().clone(), path.clone()))?;
            Some((path.clone(), file.as_ref().map(|f| f.hash.clone())))
        };
        self.links.config(key).iter().filter_map(known).collect()
    }

    pub(super) fn lacks(&self, read: &At<Read>) -> bool {
        if let Read::Run(run) = &read.what
            && let Some((key, Verb::Status)) = self.links.command(read.at.host.as_ref(), run)
        {
            // what a manager says of its app depends on the app, whatever else has changed on that host
            return self.seen(read).is_none() && !self.processes.contains_key(key);
        }
        if self.patroni(read).is_some() {
            return false;
        }
        match (&read.what, &read.at.host) {
            (Read::Unit { .. }, _) if self.seen(read).is_some() => false,
            (Read::Unit { name }, Some(host)) => !self.processes.contains_key(&Key::Unit(host.clone(), name.clone())),
            (Read::Record(ask), _) => self.seen(read).is_none() && self.lacks_records(ask),
            (Read::Proof(by), Some(host)) => !self.proofs.contains_key(&(host.clone(), by.clone())),
            (Read::Postgres(ask), Some(host)) => self.seen(read).is_none() && self.lacks_cluster(host, ask),
            (Read::Addresses(_), _) => self.seen(read).is_none(),
            (Read::File { path }, Some(host)) => !self.files.contains_key(&(host.clone(), path.clone())),
            (Read::Client(ask), _) => self.lacks_client(ask),
            (Read::Order(ask), _) => self.seen(read).is_none() && !self.orders.contains_key(ask),
            (Read::Pair(spot), Some(host)) => {
                self.seen(read).is_none() && !self.pairs.contains_key(&(host.clone(), spot.clone()))
            }
            (Read::Served(ask), _) => self.seen(read).is_none() && self.served(ask).is_none(),
            (Read::Server { .. }, _) => {
                self.seen(read).is_none() && server_key(read).is_some_and(|k| !self.servers.contains_key(&k))
            }
            _ => match self.links.health(read) {
                // it depends on its process, whatever else has changed on that host
                Some((key, _)) => self.seen(read).is_none() && !self.processes.get(key).is_some_and(|p| p.changed),
                None => self.seen(read).is_none() && !self.moved(read),
            },
        }
    }

    pub(super) fn answer(&self, read: &At<Read>) -> Answer {
        if let Some(Answer::Bad(why)) = self.seen(read) {
            return Answer::Bad(why.clone());
        }
        if let Some(said) = self.patroni(read) {
            return said;
        }
        match (&read.what, &read.at.host) {
            (Read::Client(ask), _) => self.client(ask),
            (Read::Unit { name }, Some(host)) => {
                let key = Key::Unit(host.clone(), name.clone());
                self.process(&key).map_or(Answer::Open, |p| Answer::Unit(p.unit.clone()))
            }
            (Read::File { path }, Some(host)) => {
                let spot = (host.clone(), path.clone());
                if self.is_open(&Opened::File(spot.clone())) {
                    return Answer::Open;
                }
                self.files.get(&spot).map_or(Answer::Open, |f| Answer::File(f.clone()))
            }
            (Read::Order(ask), _) => self.order(ask),
            (Read::Pair(spot), Some(host)) => self.pair(host, spot),
            (Read::Served(ask), _) => self.served(ask).unwrap_or_else(|| self.checked(read)),
            (Read::Server { .. }, _) => server_key(read).map_or(Answer::Open, |k| self.server(&k)),
            (Read::Record(ask), _) => self.records(ask),
            (Read::Proof(by), Some(host)) => self.proofs(host, by),
            (Read::Postgres(ask), Some(host)) => self.cluster(host, ask),
            // names lead where they led
            (Read::Addresses(_), _) => self.seen(read).cloned().unwrap_or(Answer::Open),
            (Read::Run(run), host) => match self.links.command(host.as_ref(), run) {
                Some((key, Verb::Status)) => self.process(key).map_or(Answer::Open, |p| {
                    let code = Some(if p.unit.state == UnitState::Active { 0 } else { 3 });
                    Answer::Run(RunFacts { code, ..RunFacts::default() })
                }),
                _ => self.checked(read),
            },
            _ => self.checked(read),
        }
    }

    /// A process whose state is known.
    fn process(&self, key: &Key) -> Option<&Process> {
        self.processes.get(key).filter(|_| !self.is_open(&Opened::Process(key.clone())))
    }

    /// What a health check says; and what was seen of other things, as long as nothing moved under them.
    fn checked(&self, read: &At<Read>) -> Answer {
        if let Some((key, status)) = self.links.health(read) {
            if self.is_open(&Opened::Process(key.clone())) {
                return Answer::Open;
            }
            if let Some(process) = self.processes.get(key) {
                if self.is_supposed(read, key, process) {
                    return Answer::Open;
                }
                let seen = self.seen(read);
                return match seen {
                    Some(seen) if !process.changed => seen.clone(),
                    _ => self.health(read, process, status),
                };
            }
            return self.seen(read).cloned().unwrap_or(Answer::Open);
        }
        if self.moved(read) {
            return Answer::Open;
        }
        self.seen(read).cloned().unwrap_or(Answer::Open)
    }

    /// In a rehearsal: more than its health is asked of a healthy app, and what it would say was not seen, or lies behind
    /// something without a model.
    fn is_supposed(&self, read: &At<Read>, key: &Key, process: &Process) -> bool {
        let foreign = self.supposing && !self.probes.contains(read) && Self::healthy(process);
        foreign && (self.lies_behind(&Opened::Process(key.clone())) || (self.assumed && self.seen(read).is_none()))
    }

    /// What a health check says of a process that was started or stopped here. A body is as it was seen once.
    fn health(&self, read: &At<Read>, process: &Process, status: Option<u16>) -> Answer {
        let (running, healthy) = (process.unit.state == UnitState::Active, Self::healthy(process));
        let refused = (!running).then(|| "connection refused".to_owned());
        match &read.what {
            Read::Http(_) if !running => Answer::Http(HttpFacts { error: refused, ..HttpFacts::default() }),
            Read::Http(_) if !healthy => Answer::Http(HttpFacts { status: Some(503), ..HttpFacts::default() }),
            Read::Http(ask) => {
                let page = self.page(ask, status).cloned();
                Answer::Http(page.unwrap_or_else(|| HttpFacts { status, ..HttpFacts::default() }))
            }
            Read::Tcp { .. } => Answer::Tcp(TcpFacts { open: healthy, error: refused }),
            _ => Answer::Run(RunFacts { code: Some(i32::from(!healthy)), ..RunFacts::default() }),
        }
    }

    /// What that URL showed while it was well, whoever asked: a step's own check is another question than the app's health.
    fn page(&self, ask: &HttpAsk, status: Option<u16>) -> Option<&HttpFacts> {
        self.learnt.iter().find_map(|(read, answer)| match (&read.what, answer) {
            (Read::Http(other), Answer::Http(facts))
                if (&other.url, &other.method) == (&ask.url, &ask.method) && facts.status == status =>
            {
                Some(facts)
            }
            _ => None,
        })
    }

    fn server(&self, key: &ServerKey) -> Answer {
        let Some(server) = self.servers.get(key) else { return Answer::Open };
        let mut facts = ServerFacts { sessions: Self::sessions(server), ..server.facts.clone() };
        if let Some(app) = self.links.server(key) {
            if self.is_open(&Opened::Process(app.clone())) {
                return Answer::Open;
            }
            if let Some(process) = self.processes.get(app).filter(|p| p.changed) {
                facts.up = Self::healthy(process);
            }
        }
        if self.links.front(key).is_some_and(|h| self.is_open(&Opened::Host(h))) {
            return Answer::Open;
        }
        if facts.state == ServerState::Maint {
            facts.up = false;
        }
        Answer::Server(facts)
    }

    fn seen(&self, read: &At<Read>) -> Option<&Answer> {
        self.learnt.iter().find(|(r, _)| r == read).map(|(_, a)| a)
    }
    /// Something has changed where the answer comes from.
    fn moved(&self, read: &At<Read>) -> bool {
        self.links.sources(read).iter().any(|h| self.touched.contains(h))
    }
}

/// What a read of a server names.
pub(super) fn server_key(read: &At<Read>) -> Option<ServerKey> {
    let Read::Server { api, backend, server } = &read.what else { return None };
    Some((read.at.host.clone(), api.clone(), backend.clone(), server.clone()))
}

/// Whether an answer to a health check is a healthy one; none where it is no such answer.
fn well(answer: &Answer, status: Option<u16>) -> Option<bool> {
    match answer {
        Answer::Http(http) => Some(http.status.is_some() && http.status == status),
        Answer::Tcp(tcp) => Some(tcp.open),
        Answer::Run(run) => Some(run.code == Some(0)),
        _ => None,
    }
}
