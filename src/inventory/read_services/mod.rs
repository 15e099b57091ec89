//! Reads `databases:` and `services:`, and holds them against the rest.

use super::{
    Inventory, Selector, read,
    read_apps::{host_port, selector},
    services::{Database, Fence, Part, Patroni, Probe, ProbeKind, Replication, Rpo, Service},
};
use crate::{
    base::{HostName, PgSpot, PgTls, RecordType, Span, Spot},
    yaml::{Fault, Faults, Fields, Key, Kind, Node, Notes},
};
use std::collections::{BTreeMap, BTreeSet};

/// How often a client's view is taken unless said: an outage is known to that.
const EVERY: Span = Span(std::time::Duration::from_millis(10));
/// How long a probe's answer may take unless said.
const WITHIN: Span = Span::secs(1);

/// What was read, with the names in it that must be declared elsewhere.
#[derive(Default)]
pub(super) struct Drafts {
    databases: Vec<(Database, Spot)>,
    services: Vec<(Service, Spot)>,
    named: Vec<(&'static str, String, Spot)>,
    hosts: Vec<(Selector, Spot)>,
}

impl Drafts {
    fn name(&mut self, kind: &'static str, node: &Node, notes: &mut Notes) -> Option<String> {
        let name = node.text(notes)?;
        self.named.push((kind, name.clone(), notes.spot(node.mark)));
        Some(name)
    }

    fn selector(&mut self, node: &Node, notes: &mut Notes) -> Option<Selector> {
        let selector = selector(node, notes)?;
        self.hosts.push((selector.clone(), notes.spot(node.mark)));
        Some(selector)
    }

    pub(super) fn database(&mut self, key: &Key, node: &Node, notes: &mut Notes) {
        let Some(mut fields) = Fields::of(node, "a database", notes) else { return };
        let title = fields.text("title", notes);
        let hosts = fields.need("hosts", notes).and_then(|n| self.selector(n, notes));
        let spot = fields.need("postgres", notes).and_then(|n| cluster(&key.text, n, notes));
        let replication = fields.need("replication", notes).and_then(|n| self.replication(n, notes));
        let patroni = fields.take("patroni", notes).map(|n| self.patroni(n, notes));
        fields.end(notes);
        if let (Some(hosts), Some(spot), Some(replication)) = (hosts, spot, replication) {
            let database =
                Database { name: key.text.clone(), title, hosts, spot, replication, patroni: patroni.flatten() };
            self.databases.push((database, notes.spot(key.mark)));
        }
    }

    fn replication(&mut self, node: &Node, notes: &mut Notes) -> Option<Replication> {
        let mut fields = Fields::of(node, "`replication:`", notes)?;
        let user = fields.need("user", notes).and_then(|n| n.text(notes));
        let password = fields.take("password", notes).and_then(|n| self.name("secret", n, notes));
        let slots = fields.take("slots", notes).and_then(|n| n.flag(notes)).unwrap_or(true);
        let mode = fields.take("mode", notes).and_then(|n| n.word(&["async", "sync"], notes));
        fields.end(notes);
        Some(Replication { user: user?, password, slots, sync: mode.as_deref() == Some("sync") })
    }

    fn patroni(&mut self, node: &Node, notes: &mut Notes) -> Option<Patroni> {
        let mut fields = Fields::of(node, "`patroni:`", notes)?;
        let url = fields.need("url", notes).and_then(|n| url(n, notes));
        let user = fields.text("user", notes);
        let password = fields.take("password", notes).and_then(|n| self.name("secret", n, notes));
        let ca = fields.text("ca", notes);
        let mark = fields.mark;
        fields.end(notes);
        if user.is_some() != password.is_some() {
            notes.error(mark, "`user` and `password` come together");
        }
        Some(Patroni { url: url?, user, password, ca })
    }

    pub(super) fn service(&mut self, key: &Key, node: &Node, notes: &mut Notes) {
        let Some(mut fields) = Fields::of(node, "a service", notes) else { return };
        let title = fields.text("title", notes);
        let mut sites = Vec::new();
        if let Some(node) = fields.need("sites", notes) {
            for item in node.list(notes).unwrap_or_default() {
                sites.extend(self.name("site", item, notes));
            }
            if sites.len() != 2 || sites.first() == sites.last() {
                notes.error(node.mark, "a service moves between two sites");
            }
        }
        let rpo = fields.need("rpo", notes).and_then(|n| n.parsed::<Rpo>(notes));
        let rto = fields.span("rto", notes);
        let probe = fields.take("probe", notes).and_then(|n| self.probe(n, notes));
        let mut fence = Vec::new();
        for item in fields.take("fence", notes).and_then(|n| n.list(notes)).unwrap_or_default() {
            fence.extend(self.fence(item, notes));
        }
        let mut parts = Vec::new();
        if let Some(node) = fields.need("parts", notes) {
            let listed = node.list(notes).unwrap_or_default();
            for item in listed {
                parts.extend(self.part(item, &sites, notes));
            }
            if listed.is_empty() {
                notes.error(node.mark, "a service has at least one part");
            }
            if parts.iter().filter(|part| matches!(part, Part::Database(_))).count() > 1 {
                notes.error(node.mark, "a service has one database; what has two is two services");
            }
        }
        fields.end(notes);
        if let Some(rpo) = rpo {
            let service = Service { name: key.text.clone(), title, sites, rpo, rto, probe, fence, parts };
            self.services.push((service, notes.spot(key.mark)));
        }
    }

    fn probe(&mut self, node: &Node, notes: &mut Notes) -> Option<Probe> {
        let mut fields = Fields::of(node, "`probe:`", notes)?;
        let postgres = fields.take("postgres", notes).map(|n| self.probe_postgres(n, notes));
        let http = fields.take("http", notes).map(|n| url(n, notes));
        let tcp = fields.take("tcp", notes).map(|n| host_port(n, notes).map(ProbeKind::Tcp));
        let status = fields.take("status", notes).and_then(|n| n.whole(100, notes));
        let ca = fields.text("ca", notes);
        let every = fields.take("every", notes).and_then(|n| some_time(n, notes));
        let within = fields.take("within", notes).and_then(|n| some_time(n, notes));
        let mark = fields.mark;
        fields.end(notes);
        if http.is_none() && (status.is_some() || ca.is_some()) {
            notes.error(mark, "`status` and `ca` go with `http`");
        }
        let status = status.and_then(|s| u16::try_from(s).ok()).unwrap_or(200);
        let http = http.map(|url| url.map(|url| ProbeKind::Http { url, status, ca }));
        let mut kinds: Vec<_> = [postgres, http, tcp].into_iter().flatten().collect();
        if kinds.len() != 1 {
            notes.error(mark, "a probe has one of `postgres`, `http`, `tcp`");
            return None;
        }
        let ask = kinds.pop().flatten()?;
        Some(Probe { ask, every: every.unwrap_or(EVERY), within: within.unwrap_or(WITHIN) })
    }

    fn probe_postgres(&mut self, node: &Node, notes: &mut Notes) -> Option<ProbeKind> {
        let mut fields = Fields::of(node, "`postgres:`", notes)?;
        let address = fields.need("address", notes).and_then(|n| host_port(n, notes));
        let database = fields.need("database", notes).and_then(|n| n.text(notes));
        let user = fields.need("user", notes).and_then(|n| n.text(notes));
        let password = fields.take("password", notes).and_then(|n| self.name("secret", n, notes));
        let query = fields.text("query", notes);
        let tls = fields.take("tls", notes).and_then(|n| n.word(&PgTls::ALL.map(|(word, _)| word), notes));
        let tls = PgTls::ALL
            .into_iter()
            .find(|(word, _)| tls.as_deref() == Some(*word))
            .map(|(_, tls)| tls)
            .unwrap_or_default();
        let ca = fields.text("ca", notes);
        let mark = fields.mark;
        fields.end(notes);
        if ca.is_some() && tls != PgTls::VerifyFull {
            notes.error(mark, "`ca` goes with `tls: verify-full`: nothing else looks who answers");
        }
        Some(ProbeKind::Postgres { address: address?, database: database?, user: user?, password, tls, ca, query })
    }

    fn fence(&mut self, node: &Node, notes: &mut Notes) -> Option<Fence> {
        let mut fields = Fields::of(node, "a fence", notes)?;
        let name = fields.need("name", notes).and_then(|n| n.text(notes));
        let at = fields.need("at", notes).and_then(|n| self.name("host", n, notes));
        let site = fields.take("site", notes).and_then(|n| self.name("site", n, notes));
        let run = fields.need("run", notes).and_then(|n| n.text(notes));
        fields.end(notes);
        Some(Fence { name: name?, at: HostName::new(at?), site, run: run? })
    }

    fn part(&mut self, node: &Node, sites: &[String], notes: &mut Notes) -> Option<Part> {
        let mut fields = Fields::of(node, "a part of a service", notes)?;
        let database = fields.take("database", notes).map(|n| self.name("database", n, notes).map(Part::Database));
        let app = fields.take("app", notes).map(|n| self.part_app(n, notes));
        let balancer = fields.take("balancer", notes).map(|n| self.part_balancer(n, notes));
        let record = fields.take("record", notes).map(|n| self.part_record(n, sites, notes));
        let jobs = fields.take("jobs", notes).map(|n| self.part_jobs(n, notes));
        let command = fields.take("command", notes).map(|n| self.part_command(n, notes));
        let mark = fields.mark;
        fields.end(notes);
        let mut kinds: Vec<_> = [database, app, balancer, record, jobs, command].into_iter().flatten().collect();
        if kinds.len() != 1 {
            notes.error(mark, "a part is one of `database`, `app`, `balancer`, `record`, `jobs`, `command`");
            return None;
        }
        kinds.pop().flatten()
    }

    fn part_app(&mut self, node: &Node, notes: &mut Notes) -> Option<Part> {
        if let Kind::Map(_) = node.kind {
            let mut fields = Fields::of(node, "`app:`", notes)?;
            let name = fields.need("name", notes).and_then(|n| self.name("app", n, notes));
            let runs = fields.take("runs", notes).and_then(|n| n.word(&["active", "both"], notes));
            fields.end(notes);
            return Some(Part::App { name: name?, both: runs.as_deref() == Some("both") });
        }
        self.name("app", node, notes).map(|name| Part::App { name, both: false })
    }

    fn part_balancer(&mut self, node: &Node, notes: &mut Notes) -> Option<Part> {
        let mut fields = Fields::of(node, "`balancer:`", notes)?;
        let name = fields.need("name", notes).and_then(|n| self.name("balancer", n, notes));
        let backend = fields.need("backend", notes).and_then(|n| n.text(notes));
        let servers = fields.need("servers", notes).and_then(|n| self.selector(n, notes));
        fields.end(notes);
        Some(Part::Balancer { name: name?, backend: backend?, servers: servers? })
    }

    fn part_record(&mut self, node: &Node, sites: &[String], notes: &mut Notes) -> Option<Part> {
        let mut fields = Fields::of(node, "`record:`", notes)?;
        let zone = fields.need("zone", notes).and_then(|n| self.name("zone", n, notes));
        let name = fields.need("name", notes).and_then(|n| n.text(notes));
        let known: Vec<&str> = RecordType::ALL.iter().map(|(word, _)| *word).collect();
        let kind = fields.need("type", notes).and_then(|n| n.word(&known, notes));
        let mut values = BTreeMap::new();
        if let Some(node) = fields.need("values", notes) {
            for (key, value) in node.map(notes).unwrap_or_default() {
                if !sites.contains(&key.text) {
                    notes.error(key.mark, format!("`{}` is no site of this service", key.text));
                }
                let texts = if let Kind::List(_) = value.kind {
                    value.texts(notes)
                } else {
                    value.text(notes).map(|text| vec![text])
                };
                values.insert(key.text.clone(), texts.unwrap_or_default());
            }
            if let Some(site) = sites.iter().find(|site| values.get(*site).is_none_or(Vec::is_empty)) {
                notes.error(node.mark, format!("there is no value for site `{site}`"));
            }
        }
        let ttl = fields.span("ttl", notes);
        fields.end(notes);
        let kind = RecordType::ALL.iter().find(|(word, _)| Some(*word) == kind.as_deref()).map(|(_, kind)| *kind);
        Some(Part::Record { zone: zone?, name: name?, kind: kind?, values, ttl })
    }

    fn part_jobs(&mut self, node: &Node, notes: &mut Notes) -> Option<Part> {
        let mut fields = Fields::of(node, "`jobs:`", notes)?;
        let hosts = fields.need("hosts", notes).and_then(|n| self.selector(n, notes));
        let (mut timers, mut cron) = (Vec::new(), Vec::new());
        for item in fields.take("timers", notes).and_then(|n| n.list(notes)).unwrap_or_default() {
            let Some(text) = item.text(notes) else { continue };
            if text.strip_suffix(".timer").is_none() || text.contains('/') {
                notes.error(item.mark, format!("`{text}` is no timer: its name ends in `.timer`"));
            }
            timers.push(text);
        }
        for item in fields.take("cron", notes).and_then(|n| n.list(notes)).unwrap_or_default() {
            let Some(text) = item.text(notes) else { continue };
            // cron(8) passes over files whose names hold anything else
            if text.is_empty() || !text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
                notes.error(item.mark, format!("`{text}` is no name that cron reads in /etc/cron.d"));
            }
            cron.push(text);
        }
        let mark = fields.mark;
        fields.end(notes);
        if timers.is_empty() && cron.is_empty() {
            notes.error(mark, "`jobs:` has `timers`, `cron`, or both");
        }
        Some(Part::Jobs { hosts: hosts?, timers, cron })
    }

    fn part_command(&mut self, node: &Node, notes: &mut Notes) -> Option<Part> {
        let mut fields = Fields::of(node, "`command:`", notes)?;
        let mut text = |key, fields: &mut Fields<'_>| fields.need(key, notes).and_then(|n| n.text(notes));
        let name = text("name", &mut fields);
        let (stop, start, status) =
            (text("stop", &mut fields), text("start", &mut fields), text("status", &mut fields));
        let hosts = fields.need("hosts", notes).and_then(|n| self.selector(n, notes));
        fields.end(notes);
        Some(Part::Command { name: name?, hosts: hosts?, stop: stop?, start: start?, status: status? })
    }

    /// Holds all of it against the rest, and takes it in.
    pub(super) fn check(
        self,
        inventory: &mut Inventory,
        declared: &BTreeSet<(&'static str, &str)>,
        faults: &mut Faults,
    ) {
        let named = self.named.iter().map(|(kind, name, spot)| (*kind, name.as_str(), spot));
        read::declared(named, declared, faults);
        read::matched(&self.hosts, inventory, faults);
        let mut wrong = Vec::new();
        for (database, spot) in self.databases {
            for host in inventory.select(&database.hosts) {
                if let Err(why) = database.patroni_on(host) {
                    wrong.push(Fault::error(spot.clone(), format!("{why}: {}", why.why)));
                    break;
                }
            }
            inventory.databases.insert(database.name.clone(), database);
        }
        for (service, spot) in self.services {
            wrong.extend(unfit(&service, inventory).map(|why| Fault::error(spot.clone(), why)));
            inventory.services.insert(service.name.clone(), service);
        }
        faults.0.extend(wrong);
    }
}

/// Why a service cannot move between its sites; none: nothing speaks against it.
fn unfit(service: &Service, inventory: &Inventory) -> Option<String> {
    let at = |hosts: &Selector, site: &str| {
        inventory.select(hosts).into_iter().filter(|host| host.site.as_deref() == Some(site)).count()
    };
    for site in &service.sites {
        for part in &service.parts {
            let hosts = match part {
                Part::Database(name) => {
                    let Some(database) = inventory.databases.get(name) else { continue };
                    if at(&database.hosts, site) > 1 {
                        return Some(format!(
                            "database `{name}` has several hosts at site `{site}`: one is switched to"
                        ));
                    }
                    &database.hosts
                }
                Part::App { name, .. } => {
                    let Some(app) = inventory.apps.get(name) else { continue };
                    &app.hosts
                }
                Part::Balancer { servers: hosts, .. } | Part::Jobs { hosts, .. } | Part::Command { hosts, .. } => hosts,
                Part::Record { .. } => continue,
            };
            if at(hosts, site) == 0 {
                let (kind, name) = part.title();
                return Some(format!("{kind} `{name}` has no host at site `{site}`"));
            }
        }
    }
    for fence in &service.fence {
        let site = inventory.host(fence.at.as_str()).and_then(|host| host.site.as_deref());
        if site.is_some() && fence.site.as_deref().is_none_or(|fenced| site == Some(fenced)) {
            return Some(format!("fence `{}` runs at the site that it fences: on `{}`", fence.name, fence.at));
        }
    }
    None
}

/// `cluster: 15/main` as Debian lays it out, or each place by itself.
fn cluster(database: &str, node: &Node, notes: &mut Notes) -> Option<PgSpot> {
    let mut fields = Fields::of(node, "`postgres:`", notes)?;
    let cluster = fields.take("cluster", notes).and_then(|n| {
        let text = n.text(notes)?;
        let name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let parts = text.split_once('/').filter(|(version, cluster)| {
            version.parse::<u32>().is_ok() && !cluster.is_empty() && cluster.chars().all(name)
        });
        if parts.is_none() {
            notes.hinted(n.mark, format!("`{text}` is no cluster"), "as pg_lsclusters names it: 15/main");
        }
        parts.map(|(version, cluster)| (version.to_owned(), cluster.to_owned()))
    });
    let unit = fields.text("unit", notes);
    let data = fields.take("data", notes).and_then(|n| absolute(n, notes));
    let config = fields.take("config", notes).and_then(|n| absolute(n, notes));
    let bin = fields.take("bin", notes).and_then(|n| absolute(n, notes));
    let port = fields.take("port", notes).and_then(|n| {
        let port = n.whole(1, notes)?;
        u16::try_from(port).ok().or_else(|| {
            notes.error(n.mark, format!("{port} is no port"));
            None
        })
    });
    let user = fields.text("user", notes);
    let mark = fields.mark;
    fields.end(notes);
    let debian = |folder: &str| cluster.as_ref().map(|(version, name)| format!("{folder}/{version}/{name}"));
    let config = config.or_else(|| debian("/etc/postgresql"));
    let data = data.or_else(|| debian("/var/lib/postgresql"));
    let bin = bin.or_else(|| cluster.as_ref().map(|(version, _)| format!("/usr/lib/postgresql/{version}/bin")));
    let unit = unit.or_else(|| cluster.as_ref().map(|(version, name)| format!("postgresql@{version}-{name}.service")));
    let (Some(unit), Some(data), Some(bin)) = (unit, data, bin) else {
        notes.error(mark, "`postgres:` has `cluster`, or `unit`, `data` and `bin`");
        return None;
    };
    let unit = if unit.contains('.') { unit } else { format!("{unit}.service") };
    Some(PgSpot {
        database: database.to_owned(),
        unit,
        data: data.trim_end_matches('/').to_owned(),
        config,
        bin: bin.trim_end_matches('/').to_owned(),
        port: port.unwrap_or(5432),
        user: user.unwrap_or_else(|| "postgres".to_owned()),
    })
}

fn absolute(node: &Node, notes: &mut Notes) -> Option<String> {
    let path = node.text(notes)?;
    if !path.starts_with('/') {
        notes.error(node.mark, format!("`{path}` is no absolute path"));
        return None;
    }
    Some(path)
}

fn url(node: &Node, notes: &mut Notes) -> Option<String> {
    let url = node.text(notes)?;
    if !url.starts_with("http://") && !url.starts_with("https://") {
        notes.error(node.mark, format!("`{url}` is no http:// or https:// address"));
        return None;
    }
    Some(url)
}

fn some_time(node: &Node, notes: &mut Notes) -> Option<Span> {
    let span = node.span(notes)?;
    if span.0.is_zero() {
        notes.error(node.mark, "no time at all");
        return None;
    }
    Some(span)
}

#[cfg(test)]
mod tests;
