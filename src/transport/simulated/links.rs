//! What hangs together, as far as `svcops.yaml` says it: which unit stands behind a URL, which files it reads at its
//! start, which server of a backend it is.

use super::{certs::PairKey, client::Front, world::START};
use crate::{
    base::{At, HaproxyApi, HostName, Invocation, PairSpot, Program, Read},
    inventory::{AppOn, CertPlace, Certificate, HealthCheck, Inventory, Manager},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What hangs together, drawn from the inventory.
#[derive(Clone, Debug, Default)]
pub struct Links {
    /// Health checks, and what status is healthy.
    health: Vec<(Asked, Key, Option<u16>)>,
    /// Commands of managers.
    commands: Vec<(HostName, String, Key, Verb)>,
    config: BTreeMap<Key, Vec<String>>,
    /// How long a start may take until it is healthy.
    within: BTreeMap<Key, Duration>,
    servers: BTreeMap<ServerKey, Key>,
    pub(super) members: Vec<Member>,
    /// Names and addresses of hosts.
    addresses: BTreeMap<String, HostName>,
    /// The hosts whose apps a balancer's host answers for.
    behind: BTreeMap<HostName, BTreeSet<HostName>>,
    users: BTreeMap<HostName, String>,
    /// Who serves which certificates.
    pub(super) consumers: Vec<Consumer>,
    /// What `rolling.min_healthy` says of each app.
    pub(super) min_healthy: BTreeMap<String, usize>,
    /// What stands between a service and its clients.
    fronts: BTreeMap<String, Front>,
}

/// Something that runs on a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// A systemd unit.
    Unit(HostName, String),
    /// An app that commands manage.
    App(HostName, String),
}

impl Key {
    pub(super) const fn host(&self) -> &HostName {
        match self {
            Self::Unit(host, _) | Self::App(host, _) => host,
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unit(host, name) => write!(f, "{host}/unit/{name}"),
            Self::App(host, name) => write!(f, "{host}/app/{name}"),
        }
    }
}

/// A server of a backend, as reads name it.
pub(super) type ServerKey = (Option<HostName>, HaproxyApi, String, String);

/// What a command of a manager does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Start,
    Stop,
    Status,
    Reload,
}

/// An app on a host, as promises see it.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) app: String,
    pub(super) site: Option<String>,
    pub(super) key: Key,
    pub(super) server: Option<ServerKey>,
}

/// Who serves a certificate that lies on a host.
#[derive(Clone, Debug)]
pub(super) struct Consumer {
    pub(super) pair: PairKey,
    /// None: it takes a new one by itself.
    pub(super) app: Option<Key>,
    endpoints: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Asked {
    Http(String),
    Tcp(String, u16),
    Run(HostName, String),
}

impl Links {
    /// Draws them; an app whose texts cannot be filled in for a host has none there.
    pub fn of(inventory: &Inventory) -> Self {
        let mut links = Self::default();
        for host in &inventory.hosts {
            links.addresses.insert(host.name.as_str().to_owned(), host.name.clone());
            if let Some(address) = &host.address {
                links.addresses.insert(address.clone(), host.name.clone());
            }
            if let Some(user) = &host.ssh.user {
                links.users.insert(host.name.clone(), user.clone());
            }
        }
        for app in inventory.apps.values() {
            links.min_healthy.insert(app.name.clone(), app.rolling.min_healthy);
            for host in inventory.hosts_of(app) {
                if let Ok(on) = inventory.app_on(app, host) {
                    links.add(&on);
                }
            }
        }
        for service in inventory.services.values() {
            links.fronts.insert(service.name.clone(), Front::of(inventory, service));
        }
        for certificate in inventory.certificates.values() {
            for place in &certificate.places {
                links.serve(inventory, certificate, place);
            }
        }
        links
    }

    fn serve(&mut self, inventory: &Inventory, certificate: &Certificate, place: &CertPlace) {
        let Some(store) = &place.store else { return };
        for host in inventory.hosts_at(place) {
            let spot = PairSpot { name: certificate.name.clone(), store: store.clone() };
            let app = place.app.as_ref().and_then(|name| self.app(&host.name, name)).cloned();
            let endpoints = certificate.served_on(place, host).unwrap_or_default();
            self.consumers.push(Consumer { pair: (host.name.clone(), spot), app, endpoints });
        }
    }
    /// Who answers at an endpoint.
    pub(super) fn consumer(&self, endpoint: &str) -> Option<&Consumer> {
        self.consumers.iter().find(|consumer| consumer.endpoints.iter().any(|one| one == endpoint))
    }

    fn add(&mut self, on: &AppOn<'_>) {
        let host = on.host.name.clone();
        let key = match &on.manager {
            Manager::Systemd(unit) => Key::Unit(host.clone(), unit.clone()),
            Manager::Command { start, stop, status, reload } => {
                let key = Key::App(host.clone(), on.app.name.clone());
                let texts = [(Some(start), Verb::Start), (Some(stop), Verb::Stop), (Some(status), Verb::Status)];
                for (text, verb) in texts.into_iter().chain([(reload.as_ref(), Verb::Reload)]) {
                    self.commands.extend(text.map(|t| (host.clone(), t.clone(), key.clone(), verb)));
                }
                key
            }
        };
        if let Some(health) = &on.health {
            let (asked, status) = match &health.check {
                HealthCheck::Http { url, status, .. } => (Some(Asked::Http(url.clone())), Some(*status)),
                HealthCheck::Tcp(text) => {
                    let port = text.rsplit_once(':').and_then(|(h, p)| Some((h.to_owned(), p.parse().ok()?)));
                    (port.map(|(h, p)| Asked::Tcp(h, p)), None)
                }
                HealthCheck::Command(text) => (Some(Asked::Run(host.clone(), text.clone())), None),
            };
            self.health.extend(asked.map(|a| (a, key.clone(), status)));
            self.within.insert(key.clone(), health.within.0);
        }
        if !on.app.config.is_empty() {
            self.config.entry(key.clone()).or_default().extend(on.app.config.iter().cloned());
        }
        let server = on.behind.as_ref().map(|b| (b.host.clone(), b.api.clone(), b.backend.clone(), b.server.clone()));
        if let Some(server) = &server {
            self.servers.insert(server.clone(), key.clone());
            if let Some(front) = self.front(server) {
                self.behind.entry(front).or_default().insert(host);
            }
        }
        let (app, site) = (on.app.name.clone(), on.host.site.clone());
        self.members.push(Member { app, site, key, server });
    }

    /// What stands between a service and its clients.
    pub(super) fn front_of(&self, service: &str) -> Option<&Front> {
        self.fronts.get(service)
    }
    /// The host of a balancer.
    pub(super) fn front(&self, server: &ServerKey) -> Option<HostName> {
        match (&server.0, &server.1) {
            (Some(host), _) => Some(host.clone()),
            (None, HaproxyApi::Tcp(address)) => self.addresses.get(address.rsplit_once(':')?.0).cloned(),
            (None, HaproxyApi::Socket(_)) => None,
        }
    }
    /// What a health check looks at, and the HTTP status that is healthy.
    pub(super) fn health(&self, read: &At<Read>) -> Option<(&Key, Option<u16>)> {
        let asked = match &read.what {
            Read::Http(ask) => Asked::Http(ask.url.clone()),
            Read::Tcp { host, port, .. } => Asked::Tcp(host.clone(), *port),
            Read::Run(Invocation { program: Program::Shell(text), .. }) => {
                Asked::Run(read.at.host.clone()?, text.clone())
            }
            _ => return None,
        };
        self.health.iter().find(|(a, ..)| *a == asked).map(|(_, key, status)| (key, *status))
    }
    /// What a command of a manager does to which app.
    pub(super) fn command(&self, host: Option<&HostName>, run: &Invocation) -> Option<(&Key, Verb)> {
        let Program::Shell(text) = &run.program else { return None };
        let found = self.commands.iter().find(|(h, t, ..)| Some(h) == host && t == text)?;
        Some((&found.2, found.3))
    }
    /// The files that it reads at its start.
    pub(super) fn config(&self, key: &Key) -> &[String] {
        self.config.get(key).map_or(&[], Vec::as_slice)
    }
    /// How long its start takes here: no longer than it may, for a plan assumes that all goes well.
    pub(super) fn start(&self, key: &Key) -> Duration {
        self.within.get(key).map_or(START, |within| START.min(*within / 2))
    }
    /// What stands behind a server of a backend.
    pub(super) fn server(&self, server: &ServerKey) -> Option<&Key> {
        self.servers.get(server)
    }
    /// An app on a host.
    pub(super) fn app(&self, host: &HostName, name: &str) -> Option<&Key> {
        self.members.iter().find(|m| m.app == name && m.key.host() == host).map(|m| &m.key)
    }
    /// The host of that name or address.
    pub(super) fn named(&self, name: &str) -> Option<&HostName> {
        self.addresses.get(name)
    }
    /// Its address, where it has one.
    pub(super) fn address(&self, host: &HostName) -> Option<String> {
        let other = |(name, one): &(&String, &HostName)| *one == host && name.as_str() != host.as_str();
        self.addresses.iter().find(other).map(|(name, _)| name.clone())
    }
    /// Who acts on a host where nobody is become.
    pub(super) fn user(&self, host: &HostName) -> &str {
        self.users.get(host).map_or("login", String::as_str)
    }
    /// The hosts that an answer comes from: where it is read, and the host that a URL or a port names, with all that
    /// stands behind a balancer there.
    pub(super) fn sources(&self, read: &At<Read>) -> BTreeSet<HostName> {
        let mut hosts: BTreeSet<HostName> = read.at.host.iter().cloned().collect();
        let named = match &read.what {
            Read::Http(ask) => url_host(&ask.url),
            Read::Tcp { host, .. } => Some(host.as_str()),
            Read::Served(ask) => ask.endpoint.rsplit_once(':').map(|(host, _)| host.rsplit('/').next().unwrap_or(host)),
            _ => None,
        };
        if let Some(host) = named.and_then(|n| self.addresses.get(n)) {
            hosts.insert(host.clone());
            hosts.extend(self.behind.get(host).into_iter().flatten().cloned());
        }
        hosts
    }
}

fn url_host(url: &str) -> Option<&str> {
    let rest = url.split_once("://")?.1;
    let host = rest.split(['/', '?', '#']).next()?;
    let host = host.rsplit_once('@').map_or(host, |(_, h)| h);
    Some(match host.strip_prefix('[') {
        Some(six) => six.split(']').next()?,
        None => host.split(':').next()?,
    })
}
