//! How a client sees a service in the simulated world: as was seen, until an act has touched what it depends on.

use super::{links::ServerKey, world::World};
use crate::{
    base::{Answer, ClientAsk, ClientFacts, HostName, Read, ServerState},
    inventory::{Inventory, Part, Service},
};

/// What stands between a service and its clients.
#[derive(Clone, Debug, Default)]
pub(super) struct Front {
    /// By balancer: its servers, and the host behind each.
    balancers: Vec<Vec<(ServerKey, HostName)>>,
}

impl Front {
    pub(super) fn of(inventory: &Inventory, service: &Service) -> Self {
        let mut front = Self::default();
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
                let up = if self.done.is_empty() { seen.up } else { self.serves(ask).unwrap_or(seen.up) };
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
        let through = |servers: &Vec<(ServerKey, HostName)>| {
            let known: Vec<_> = servers.iter().filter(|(key, _)| self.servers.contains_key(key)).collect();
            (!known.is_empty()).then(|| known.iter().any(|(key, host)| self.takes(key, host)))
        };
        let all: Vec<bool> = front.balancers.iter().filter_map(through).collect();
        (!all.is_empty()).then(|| all.iter().all(|open| *open))
    }

    /// A server that takes traffic, and serves it.
    fn takes(&self, key: &ServerKey, _host: &HostName) -> bool {
        let ready = self.servers.get(key).is_some_and(|server| server.facts.state == ServerState::Ready);
        let behind = self.links.server(key).and_then(|app| self.processes.get(app));
        ready && behind.is_none_or(|process| !process.changed || Self::healthy(process))
    }
}
