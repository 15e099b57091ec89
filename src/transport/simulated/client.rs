//! How a client sees a service in the simulated world: as was seen, until an act has touched what it depends on.

use super::{links::ServerKey, world::World};
use crate::{
    base::{Answer, ClientAsk, ClientFacts, HostName, Read, ServerState},
    inventory::{Database, Inventory, Part, Service},
};

/// What stands between a service and its clients.
#[derive(Clone, Debug, Default)]
pub(super) struct Front {
    /// By balancer: its servers, and the host behind each.
    balancers: Vec<Vec<(ServerKey, HostName)>>,
    /// Its database, and the hosts of that.
    database: Option<(String, Vec<HostName>)>,
}

/// Who accepts writes.
enum Primary<'a> {
    On(&'a HostName),
    /// Nobody, or more than one.
    No,
    Unknown,
}

impl Front {
    pub(super) fn of(inventory: &Inventory, service: &Service) -> Self {
        let hosts =
            |database: &Database| inventory.select(&database.hosts).into_iter().map(|host| host.name.clone()).collect();
        let database = service.database(inventory).map(|database| (database.name.clone(), hosts(database)));
        let mut front = Self { balancers: Vec::new(), database };
        for part in &service.parts {
            let Part::Balancer { name, backend, servers } = part else { continue };
            let Some(balancer) = inventory.balancers.get(name) else { continue };
            let key = |server: &HostName| {
                (balancer.host.clone(), balancer.api.clone(), backend.clone(), server.as_str().to_owned())
            };
            let hosts = inventory.select(servers).into_iter().map(|host| host.name.clone());
            front.balancers.push(hosts.map(|host| (key(&host), host)).collect());
        }
        front
    }
}

impl World {
    /// What was seen first of how that service answers its client.
    fn met_client(&self, ask: &ClientAsk) -> Option<&Answer> {
        self.learnt.iter().find_map(|(read, answer)| match &read.what {
            Read::Client(other) if other.service == ask.service => Some(answer),
            _ => None,
        })
    }

    pub(super) fn lacks_client(&self, ask: &ClientAsk) -> bool {
        self.met_client(ask).is_none()
    }

    /// Time stands still while the real one is looked at: what was seen counts as seen for long enough.
    pub(super) fn client(&self, ask: &ClientAsk) -> Answer {
        match self.met_client(ask) {
            Some(Answer::Client(seen)) => {
                let now = if self.done.is_empty() { Some(seen.up) } else { self.serves(ask) };
                // what was down, and what was done since then may have brought back
                let Some(up) = now.or(seen.up.then_some(true)) else { return Answer::Open };
                let why = (!up).then(|| seen.why.clone().unwrap_or_else(|| "connection refused".to_owned()));
                Answer::Client(Box::new(ClientFacts { why, ..ClientFacts::steadily(up) }))
            }
            Some(other) => other.clone(),
            None => Answer::Open,
        }
    }

    /// Whether a client comes through to something that serves; none: nobody has looked at what is on the way.
    fn serves(&self, ask: &ClientAsk) -> Option<bool> {
        let front = self.links.front_of(&ask.service)?;
        let known = front.database.as_ref().map_or(Primary::Unknown, |(name, hosts)| self.primary_of(name, hosts));
        let primary = match known {
            Primary::No => return Some(false),
            Primary::On(host) => Some(host),
            Primary::Unknown => None,
        };
        // a server that is named as no host of the database stands before something else
        let leads = |host: &HostName| match (&front.database, primary) {
            (Some((_, hosts)), Some(primary)) => host == primary || !hosts.contains(host),
            _ => true,
        };
        let through = |servers: &Vec<(ServerKey, HostName)>| {
            let known: Vec<_> = servers.iter().filter(|(key, _)| self.servers.contains_key(key)).collect();
            (!known.is_empty()).then(|| known.iter().any(|(key, host)| leads(host) && self.takes(key)))
        };
        let all: Vec<bool> = front.balancers.iter().filter_map(through).collect();
        (primary.is_some() || !all.is_empty()).then(|| all.iter().all(|open| *open))
    }

    fn primary_of<'a>(&self, database: &str, hosts: &'a [HostName]) -> Primary<'a> {
        let known: Vec<_> = hosts.iter().map(|host| (host, self.writes(host, database))).collect();
        let mut writing = known.iter().filter(|(_, writes)| *writes == Some(true)).map(|(host, _)| *host);
        match (writing.next(), writing.next()) {
            (Some(one), None) => Primary::On(one),
            (None, _) if known.iter().any(|(_, writes)| writes.is_none()) => Primary::Unknown,
            _ => Primary::No,
        }
    }

    /// A server that takes traffic, and serves it.
    fn takes(&self, key: &ServerKey) -> bool {
        let ready = self.servers.get(key).is_some_and(|server| server.facts.state == ServerState::Ready);
        let behind = self.links.server(key).and_then(|app| self.processes.get(app));
        ready && behind.is_none_or(|process| !process.changed || Self::healthy(process))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Links, Simulated};
    use crate::{
        base::{
            Answer, At, Change, ClientAsk, ClientFacts, HaproxyApi, HostName, PgAsk, PgChange, PgControl, PgDepth,
            PgFacts, PgSpot, PgSql, PgState, Place, ProbeKind, Read, ServerFacts, ServerState, Span,
        },
        inventory::{Inventory, Part, sample::sample},
    };

    fn ask() -> At<Read> {
        let (service, ask) = ("crm".into(), ProbeKind::Tcp("10.77.0.5:5432".into()));
        Place::HERE.at(Read::Client(ClientAsk {
            service,
            ask,
            every: Span::secs(1),
            within: Span::secs(1),
            anew: true,
        }))
    }
    fn server(name: &str, backend: &str) -> At<Read> {
        let api = HaproxyApi::Socket("/run/haproxy/admin.sock".into());
        Place::on(&"lb".into()).at(Read::Server { api, backend: backend.into(), server: name.into() })
    }
    fn set(world: &Simulated, name: &str, backend: &str, state: ServerState) {
        let api = HaproxyApi::Socket("/run/haproxy/admin.sock".into());
        let change = Change::SetServer { api, backend: backend.into(), server: name.into(), state };
        world.meddle(&Place::on(&"lb".into()).at(change)).unwrap();
    }
    /// What a client sees; none: nobody knows.
    fn up(world: &Simulated) -> Option<bool> {
        match world.answer(&ask()) {
            Answer::Client(facts) => {
                assert_eq!((facts.steady(5), facts.why.is_none()), (facts.up, facts.up), "{facts:?}");
                Some(facts.up)
            }
            _ => None,
        }
    }
    fn learn(world: &Simulated, name: &str, backend: &str, state: ServerState) {
        let facts = ServerFacts { state, sessions: 0, up: state == ServerState::Ready };
        world.learn(&server(name, backend), &Answer::Server(facts));
    }

    #[test]
    fn a_client_sees_what_takes_its_traffic() {
        let world = Simulated::new(Links::of(&sample()));
        assert!(world.lacks(&ask()) && up(&world).is_none());
        world.learn(
            &ask(),
            &Answer::Client(Box::new(ClientFacts { up: true, tries: 1, in_a_row: 1, ..ClientFacts::default() })),
        );
        assert!(!world.lacks(&ask()));
        assert_eq!(up(&world), Some(true), "what was seen once is steady: time stands still in a plan");
        for name in ["dc1-app1", "dc1-app2"] {
            learn(&world, name, "billing", ServerState::Ready);
        }
        set(&world, "dc1-app1", "billing", ServerState::Maint);
        assert_eq!(up(&world), Some(true));
        set(&world, "dc1-app2", "billing", ServerState::Maint);
        assert_eq!(up(&world), Some(false));
        set(&world, "dc1-app1", "billing", ServerState::Ready);
        assert_eq!(up(&world), Some(true));
    }

    fn pg(world: &Simulated, host: &str, spot: &PgSpot, recovery: bool) {
        let state = if recovery { PgState::InArchiveRecovery } else { PgState::InProduction };
        let control = PgControl { system: "7".into(), state, timeline: 1, ..PgControl::default() };
        let sql = PgSql { recovery, ..PgSql::default() };
        let facts = PgFacts {
            running: true,
            standby: recovery,
            control: Some(control),
            sql: Some(sql),
            version: 15,
            ..PgFacts::default()
        };
        let ask = PgAsk { spot: spot.clone(), depth: PgDepth::Whole, peer: None };
        world.learn(&Place::on(&host.into()).at(Read::Postgres(ask)), &Answer::Postgres(Box::new(facts)));
    }

    #[test]
    fn a_client_of_a_database_sees_its_one_primary_where_the_balancer_leads_there() {
        let mut inventory: Inventory = sample();
        let spot = inventory.databases["crm-db"].spot.clone();
        let servers = inventory.databases["crm-db"].hosts.clone();
        let parts = vec![
            Part::Balancer { name: "front".into(), backend: "crm-db".into(), servers },
            Part::Database("crm-db".into()),
        ];
        inventory.services.get_mut("crm").unwrap().parts = parts;
        let world = Simulated::new(Links::of(&inventory));
        world.learn(&ask(), &Answer::Client(Box::new(ClientFacts::steadily(true))));
        learn(&world, "dc1-db1", "crm-db", ServerState::Ready);
        learn(&world, "dc2-db1", "crm-db", ServerState::Maint);
        pg(&world, "dc1-db1", &spot, false);
        pg(&world, "dc2-db1", &spot, true);
        let host = |name: &str| Place::on(&HostName::new(name));
        let change = |name: &str, change| {
            world.meddle(&host(name).at(Change::Postgres { spot: spot.clone(), change })).unwrap();
        };
        change("dc1-db1", PgChange::Checkpoint);
        assert_eq!(up(&world), Some(true));
        change("dc1-db1", PgChange::Stop);
        assert_eq!(up(&world), Some(false));
        change("dc2-db1", PgChange::Promote { past: None });
        assert_eq!(up(&world), Some(false), "the balancer leads to the one that is stopped");
        set(&world, "dc2-db1", "crm-db", ServerState::Ready);
        assert_eq!(up(&world), Some(true));
        set(&world, "dc1-db1", "crm-db", ServerState::Maint);
        assert_eq!(up(&world), Some(true));
    }
}
