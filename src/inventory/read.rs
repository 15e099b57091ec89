//! Reads `svcops.yaml` and the files that it includes.

use super::{
    Audit, Balancer, Client, Evidence, Host, Inventory, Pace, SecretSource, Selector, Site, Ssh,
    range::{Pattern, natural},
    read_apps::{self, DraftApp},
    read_certs::Drafts as DraftCerts,
    read_mail::{self, DraftMail},
    read_services::Drafts as DraftServices,
};
use crate::{
    base::{HaproxyApi, HostName, Spot, words},
    yaml::{self, Fault, Faults, Fields, Key, Kind, Mark, Node, Notes, Sources},
};
use std::collections::{BTreeMap, BTreeSet};

/// Sections of `svcops.yaml` that later versions act on.
pub const LATER: &[&str] =
    &["clusters", "people", "windows", "freezes", "roles", "approvals", "schedules", "schedule", "groups"];

/// No project has more hosts than this.
const MOST_HOSTS: usize = 100_000;

/// Reads the inventory. None where there is too little of it to go on with; warnings alone leave it whole.
pub fn parse(file: &str, sources: &dyn Sources) -> (Option<Inventory>, Faults) {
    let mut draft = Draft::default();
    let mut notes = Notes::on(file);
    match sources.read(file) {
        Err(why) => notes.faults.add(Faults::bare(format!("`{file}` cannot be read: {why}"))),
        Ok(text) => draft.file(&mut notes, &text, Some(sources)),
    }
    draft.faults.add(notes.faults);
    let inventory = draft.finish();
    let faults = draft.faults.settled();
    ((faults.errors() == 0).then_some(inventory), faults)
}

/// All that was read so far, with the places that later checks point at.
#[derive(Default)]
pub(super) struct Draft {
    faults: Faults,
    project: Option<String>,
    timezone: Option<String>,
    tickets: Option<serde_json::Value>,
    mail: Option<DraftMail>,
    evidence: Option<Evidence>,
    audit: Option<Audit>,
    secrets: BTreeMap<String, SecretSource>,
    ssh: SshWords,
    pace: Pace,
    sites: BTreeMap<String, Site>,
    hosts: Vec<DraftHost>,
    apps: Vec<DraftApp>,
    balancers: Vec<(Balancer, Spot)>,
    certs: DraftCerts,
    moving: DraftServices,
    places: BTreeMap<(&'static str, String), Spot>,
}

struct DraftHost {
    host: Host,
    ssh: SshWords,
    site: Spot,
}

/// `ssh:` as written: what is none says nothing.
#[derive(Clone, Default)]
#[expect(clippy::option_option, reason = "says nothing, says nobody, says a user")]
struct SshWords {
    user: Option<String>,
    port: Option<u16>,
    config: Option<String>,
    client: Option<Client>,
    become_user: Option<Option<String>>,
}

impl Draft {
    fn file(&mut self, notes: &mut Notes, text: &str, sources: Option<&dyn Sources>) {
        let Some(tree) = yaml::parse(notes, text) else { return };
        let first = sources.is_some();
        let what = if first { "svcops.yaml" } else { "an included file" };
        let Some(mut top) = Fields::of(&tree, what, notes) else { return };
        top.later(LATER, notes);
        if first {
            self.project = top.need("project", notes).and_then(|n| name(n, notes));
            self.timezone = top.take("timezone", notes).and_then(|n| timezone(n, notes));
            if let Some(node) = top.take("store", notes)
                && let Some(store) = node.text(notes)
                && store != "sqlite"
            {
                let later = store.starts_with("postgres");
                let message =
                    if later { yaml::fields::later("store: postgres") } else { format!("unknown store `{store}`") };
                notes.hinted(node.mark, message, "write `store: sqlite`, or drop the key");
            }
            self.tickets = top.take("tickets", notes).and_then(|n| tickets(n, notes, sources));
            self.mail = top.take("mail", notes).and_then(|n| read_mail::mail(n, notes));
            self.evidence = top.take("evidence", notes).and_then(|n| evidence(n, notes));
            self.audit = top.take("audit", notes).and_then(|n| audit(n, notes));
            if let Some(node) = top.take("ssh", notes) {
                self.ssh = ssh(node, Some(&mut self.pace), notes);
            }
        }
        for (key, node) in section(&mut top, "secrets", notes) {
            if let Some(source) = secret(node, notes)
                && self.first("secret", key, notes)
            {
                self.secrets.insert(key.text.clone(), source);
            }
        }
        for (key, node) in section(&mut top, "sites", notes) {
            let title = Fields::of(node, "a site", notes).and_then(|mut f| {
                let title = f.text("title", notes);
                f.end(notes);
                title
            });
            if self.first("site", key, notes) {
                self.sites.insert(key.text.clone(), Site { title });
            }
        }
        for (key, node) in section(&mut top, "hosts", notes) {
            self.host(key, node, notes);
        }
        for (key, node) in section(&mut top, "balancers", notes) {
            if self.first("balancer", key, notes)
                && let Some((api, host, spot)) = balancer(node, notes)
            {
                self.balancers.push((Balancer { name: key.text.clone(), host, api }, spot));
            }
        }
        for (key, node) in section(&mut top, "apps", notes) {
            if self.first("app", key, notes)
                && let Some(app) = read_apps::app(key, node, notes)
            {
                self.apps.push(app);
            }
        }
        for (key, node) in section(&mut top, "zones", notes) {
            if self.first("zone", key, notes) {
                self.certs.zone(key, node, notes);
            }
        }
        for (key, node) in section(&mut top, "issuers", notes) {
            if self.first("issuer", key, notes) {
                self.certs.issuer(key, node, notes);
            }
        }
        for (key, node) in section(&mut top, "certificates", notes) {
            if self.first("certificate", key, notes) {
                self.certs.certificate(key, node, notes);
            }
        }
        for (key, node) in section(&mut top, "databases", notes) {
            if self.first("database", key, notes) {
                self.moving.database(key, node, notes);
            }
        }
        for (key, node) in section(&mut top, "services", notes) {
            if self.first("service", key, notes) {
                self.moving.service(key, node, notes);
            }
        }
        match (top.entry("include", notes), sources) {
            (Some((_, node)), Some(sources)) => self.include(node, notes, sources),
            (Some((key, _)), None) => notes.error(key.mark, "only svcops.yaml itself includes files"),
            (None, _) => {}
        }
        top.end(notes);
    }

    fn include(&mut self, node: &Node, notes: &mut Notes, sources: &dyn Sources) {
        for item in node.list(notes).unwrap_or_default() {
            let Some(pattern) = item.text(notes) else { continue };
            if pattern.starts_with('/') || pattern.split('/').any(|part| part == "..") {
                notes.error(item.mark, "an include stays within the project's folder");
                continue;
            }
            let mut files = sources.matching(&pattern);
            if files.is_empty() {
                notes.error(item.mark, format!("no file fits `{pattern}`"));
            }
            files.retain(|f| *f != notes.file);
            for file in files {
                let mut inner = Notes::on(file.clone());
                match sources.read(&file) {
                    Ok(text) => self.file(&mut inner, &text, None),
                    Err(why) => notes.error(item.mark, format!("`{file}` cannot be read: {why}")),
                }
                self.faults.add(inner.faults);
            }
        }
    }

    /// Whether the name is new in its kind and fit to be one.
    fn first(&mut self, kind: &'static str, key: &Key, notes: &mut Notes) -> bool {
        if let Err(why) = check_name(&key.text) {
            notes.error(key.mark, why);
            return false;
        }
        if ["app", "service"].contains(&kind) && super::VERBS.contains(&key.text.as_str()) {
            let article = if kind == "app" { "an" } else { "a" };
            notes.hinted(
                key.mark,
                format!("{article} {kind} cannot be named `{}`: svcops has a verb of that name", key.text),
                "choose another name",
            );
        } else if kind == "service" && super::SERVICE_VERBS.contains(&key.text.as_str()) {
            let message =
                format!("a service cannot be named `{}`: `svcops failover` has a verb of that name", key.text);
            notes.hinted(key.mark, message, "choose another name");
        }
        let spot = notes.spot(key.mark);
        match self.places.get(&(kind, key.text.clone())) {
            Some(there) if there.file != spot.file => {
                notes.error(key.mark, format!("the {kind} `{}` is declared already at {there}", key.text));
                false
            }
            Some(_) => false,
            None => {
                self.places.insert((kind, key.text.clone()), spot);
                true
            }
        }
    }

    fn host(&mut self, key: &Key, node: &Node, notes: &mut Notes) {
        let names = match Pattern::of(&key.text) {
            Ok(names) => names,
            Err(why) => return notes.error(key.mark, why),
        };
        let Some(mut fields) = Fields::of(node, "a host", notes) else { return };
        let site = fields.take("site", notes).and_then(|n| Some((n.mark, n.text(notes)?)));
        let address = fields.take("address", notes).and_then(|n| Some((n.mark, n.text(notes)?)));
        let local = fields.flag("local", notes);
        let own = fields.take("ssh", notes).map(|n| ssh(n, None, notes)).unwrap_or_default();
        let mut labels: Vec<(String, Mark, String)> = Vec::new();
        for (key, value) in section(&mut fields, "labels", notes) {
            if key.text == "site" {
                notes.hinted(key.mark, "`site` is a key of the host, not a label", "write `site:` beside `labels:`");
            } else if let Some(text) = value.text(notes) {
                labels.push((key.text.clone(), value.mark, text));
            }
        }
        fields.end(notes);
        if local && address.is_some() {
            notes.error(key.mark, "a local host has no address: it is this machine");
        }
        if self.hosts.len() + names.len() > MOST_HOSTS {
            return notes.error(key.mark, format!("more than {MOST_HOSTS} hosts are declared"));
        }
        // taken apart once, and not for each of its hosts
        let pattern = |(mark, text): (Mark, String)| (mark, Pattern::of(&text));
        let (site, address) = (site.map(pattern), address.map(pattern));
        let labels: Vec<_> = labels.into_iter().map(|(label, mark, text)| (label, pattern((mark, text)))).collect();
        let mut unfolded = |(mark, pattern): &(Mark, Result<Pattern, String>), index: usize| match pattern
            .as_ref()
            .map_err(String::clone)
            .and_then(|p| p.beside(&names, index))
        {
            Ok(text) => Some(text),
            Err(why) => {
                if index == 0 {
                    notes.error(*mark, why);
                }
                None
            }
        };
        let mut hosts = Vec::new();
        for (index, name) in names.all().into_iter().enumerate() {
            let host = Host {
                name: HostName::new(name),
                site: site.as_ref().and_then(|pattern| unfolded(pattern, index)),
                address: address.as_ref().and_then(|pattern| unfolded(pattern, index)),
                labels: labels.iter().filter_map(|(k, v)| Some((k.clone(), unfolded(v, index)?))).collect(),
                local,
                ssh: Ssh::default(),
            };
            hosts.push(host);
        }
        let spot = notes.spot(site.as_ref().map_or(key.mark, |(mark, _)| *mark));
        let mut doubled = false;
        for host in hosts {
            let name = host.name.as_str().to_owned();
            if let Err(why) = check_name(&name) {
                return notes.error(key.mark, why);
            }
            if name == "all" {
                return notes.error(key.mark, "a host cannot be named `all`: selectors mean every host by it");
            }
            let here = notes.spot(key.mark);
            if let Some(there) = self.places.get(&("host", name.clone())) {
                if *there != here && !std::mem::replace(&mut doubled, true) {
                    notes.error(key.mark, format!("the host `{name}` is declared already at {there}"));
                }
                continue;
            }
            self.places.insert(("host", name), here);
            self.hosts.push(DraftHost { host, ssh: own.clone(), site: spot.clone() });
        }
    }

    fn finish(&mut self) -> Inventory {
        let project = self.project.take();
        let mut hosts = Vec::new();
        for draft in std::mem::take(&mut self.hosts) {
            if let Some(site) = &draft.host.site
                && !self.sites.contains_key(site)
            {
                let near = words::nearest(site, self.sites.keys().map(String::as_str));
                let fault = Fault::error(draft.site, format!("there is no site `{site}`"));
                self.faults.0.push(suggest(fault, near, "declare it under `sites:`"));
            }
            let (own, all) = (draft.ssh, &self.ssh);
            let ssh = Ssh {
                user: own.user.or_else(|| all.user.clone()),
                port: own.port.or(all.port),
                config: own.config.or_else(|| all.config.clone()),
                client: own.client.or(all.client).unwrap_or_default(),
                become_user: own.become_user.or_else(|| all.become_user.clone()).flatten(),
            };
            hosts.push(Host { ssh, ..draft.host });
        }
        hosts.sort_by(|a, b| natural(a.name.as_str(), b.name.as_str()));
        let names: BTreeSet<&str> = hosts.iter().map(|h| h.name.as_str()).collect();
        for (balancer, spot) in &self.balancers {
            if let Some(host) = &balancer.host
                && !names.contains(host.as_str())
            {
                let near = words::nearest(host.as_str(), names.iter().copied());
                let fault = Fault::error(spot.clone(), format!("there is no host `{host}`"));
                self.faults.0.push(suggest(fault, near, "declare it under `hosts:`"));
            }
        }
        let mut inventory = Inventory {
            project: project.unwrap_or_default(),
            timezone: self.timezone.take(),
            tickets: self.tickets.take(),
            mail: self.mail.take().map(|draft| draft.held(&self.secrets, &mut self.faults)),
            evidence: self.evidence.take(),
            audit: self.audit.take(),
            pace: self.pace,
            secrets: std::mem::take(&mut self.secrets),
            sites: std::mem::take(&mut self.sites),
            hosts,
            apps: BTreeMap::new(),
            balancers: std::mem::take(&mut self.balancers).into_iter().map(|(b, _)| (b.name.clone(), b)).collect(),
            zones: BTreeMap::new(),
            issuers: BTreeMap::new(),
            certificates: BTreeMap::new(),
            databases: BTreeMap::new(),
            services: BTreeMap::new(),
        };
        let declared = self.places.keys().map(|(kind, name)| (*kind, name.as_str())).collect();
        read_apps::check(&mut inventory, std::mem::take(&mut self.apps), &declared, &mut self.faults);
        std::mem::take(&mut self.certs).check(&mut inventory, &declared, &mut self.faults);
        std::mem::take(&mut self.moving).check(&mut inventory, &declared, &mut self.faults);
        inventory
    }
}

/// A fault with the nearest known word, or else what to do.
pub(super) fn suggest(fault: Fault, near: Option<&str>, otherwise: &str) -> Fault {
    match near {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault.hint(otherwise),
    }
}

/// What is named must be declared.
pub(super) fn declared<'a>(
    named: impl Iterator<Item = (&'static str, &'a str, &'a Spot)>,
    declared: &BTreeSet<(&'static str, &str)>,
    faults: &mut Faults,
) {
    for (kind, name, spot) in named.filter(|(kind, name, _)| !declared.contains(&(*kind, *name))) {
        let names = declared.iter().filter(|(k, _)| *k == kind).map(|(_, name)| *name);
        let near = words::nearest(name, names);
        let fault = Fault::error(spot.clone(), format!("there is no {kind} `{name}`"));
        faults.0.push(suggest(fault, near, &format!("declare it under `{kind}s:`")));
    }
}

/// What selects must select something.
pub(super) fn matched(hosts: &[(Selector, Spot)], inventory: &Inventory, faults: &mut Faults) {
    for (selector, spot) in hosts.iter().filter(|(selector, _)| inventory.select(selector).is_empty()) {
        let message = format!("`{}` matches no host", selector.text);
        let hint = "`svcops inventory hosts` shows names and labels";
        faults.0.push(Fault::error(spot.clone(), message).hint(hint));
    }
}

/// The entries of a section that is a mapping from names.
pub(super) fn section<'n>(fields: &mut Fields<'n>, key: &'static str, notes: &mut Notes) -> &'n [(Key, Node)] {
    fields.take(key, notes).and_then(|n| n.map(notes)).unwrap_or_default()
}

/// Letters and digits of any language, `-`, `_` and `.`; the first is a letter or digit.
fn check_name(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    match name.chars().find(|c| !good(*c)) {
        Some(c) => Err(format!("`{c}` cannot stand in the name `{name}`: letters, digits, `-`, `_` and `.` can")),
        None if name.chars().next().is_none_or(|c| !c.is_alphanumeric()) => {
            Err(format!("the name `{name}` must begin with a letter or a digit"))
        }
        None => Ok(()),
    }
}

fn name(node: &Node, notes: &mut Notes) -> Option<String> {
    let name = node.text(notes)?;
    check_name(&name).map_err(|why| notes.error(node.mark, why)).ok().map(|()| name)
}

fn timezone(node: &Node, notes: &mut Notes) -> Option<String> {
    let zone = node.text(notes)?;
    if jiff::tz::TimeZone::get(&zone).is_err() {
        notes.hinted(node.mark, format!("there is no time zone `{zone}`"), "names look like Europe/Moscow");
        return None;
    }
    Some(zone)
}

fn tickets(node: &Node, notes: &mut Notes, sources: Option<&dyn Sources>) -> Option<serde_json::Value> {
    let mut fields = Fields::of(node, "`tickets:`", notes)?;
    if let Some(node) = fields.take("system", notes)
        && let Some(system) = node.text(notes)
        && system != "desk"
    {
        let known = ["rt", "redmine", "jira", "gitlab", "zammad", "servicenow"];
        let message = if known.contains(&system.as_str()) {
            yaml::fields::later(&system)
        } else {
            format!("unknown ticket system `{system}`")
        };
        notes.hinted(node.mark, message, "`desk` is the one there is");
    }
    if let Some(node) = fields.take("language", notes) {
        node.word(&["en", "ru"], notes);
    }
    if let Some(node) = fields.take("templates", notes)
        && let Some(folder) = node.text(notes)
        && sources.is_some_and(|s| s.matching(&format!("{}/*.txt", folder.trim_end_matches('/'))).is_empty())
    {
        let message = format!("there is no ticket text in the folder `{folder}`: no file `{folder}/*.txt`");
        notes.hinted(node.mark, message, "its files are called subject.txt, opened.txt, phase.txt, ended.txt, …");
    }
    fields.flag("required", notes);
    fields.end(notes);
    Some(node.json())
}

fn evidence(node: &Node, notes: &mut Notes) -> Option<Evidence> {
    let mut fields = Fields::of(node, "`evidence:`", notes)?;
    let evidence = Evidence {
        sign: fields.text("sign", notes),
        signers: fields.text("signers", notes),
        revoked: fields.text("revoked", notes),
    };
    fields.end(notes);
    Some(evidence)
}

/// `syslog`, or `{syslog: PATH}`.
fn audit(node: &Node, notes: &mut Notes) -> Option<Audit> {
    if let Kind::Map(_) = node.kind {
        let mut fields = Fields::of(node, "`audit:`", notes)?;
        let socket = fields.need("syslog", notes).and_then(|n| Some((n.mark, n.text(notes)?)));
        fields.end(notes);
        let (mark, syslog) = socket?;
        if !syslog.starts_with('/') {
            notes.hinted(mark, format!("`{syslog}` is no absolute path of a socket"), "write /dev/log");
        }
        return Some(Audit { syslog });
    }
    node.word(&["syslog"], notes).map(|_| Audit { syslog: "/dev/log".to_owned() })
}

fn secret(node: &Node, notes: &mut Notes) -> Option<SecretSource> {
    let mut fields = Fields::of(node, "a secret", notes)?;
    let mut found = Vec::new();
    found.extend(fields.text("env", notes).map(SecretSource::Env));
    found.extend(fields.text("file", notes).map(SecretSource::File));
    if let Some(node) = fields.take("command", notes) {
        match node.kind {
            Kind::List(_) => found.extend(node.texts(notes).map(SecretSource::Command)),
            _ => notes.hinted(
                node.mark,
                "a secret's command is a list: program and arguments",
                "write [pass, show, NAME]",
            ),
        }
    }
    found.extend(fields.text("credential", notes).map(SecretSource::Credential));
    if let Some(node) = fields.take("value", notes) {
        notes.hinted(
            node.mark,
            "a secret's value never stands in a file of the project",
            "say where it comes from: env, file, command or credential",
        );
    } else if found.len() != 1 {
        notes.error(fields.mark, "a secret has one of `env`, `file`, `command`, `credential`");
    }
    fields.end(notes);
    found.pop()
}

/// Of the project or of a host, which has no pace of its own.
fn ssh(node: &Node, pace: Option<&mut Pace>, notes: &mut Notes) -> SshWords {
    let Some(mut fields) = Fields::of(node, "`ssh:`", notes) else { return SshWords::default() };
    let words = SshWords {
        user: fields.text("user", notes),
        port: fields.take("port", notes).and_then(|n| {
            let port = n.whole(1, notes)?;
            u16::try_from(port).map_err(|_| notes.error(n.mark, format!("{port} is no port"))).ok()
        }),
        config: fields.text("config", notes),
        client: fields.take("client", notes).and_then(|n| client_of(n, notes)),
        become_user: fields.take("become", notes).and_then(|n| become_of(n, notes)),
    };
    if let Some(pace) = pace {
        pace.connections = fields.take("connections", notes).and_then(|n| count(n, notes));
        pace.handshakes = fields.take("handshakes", notes).and_then(|n| count(n, notes));
    }
    fields.end(notes);
    words
}

fn count(node: &Node, notes: &mut Notes) -> Option<usize> {
    usize::try_from(node.whole(1, notes)?).ok()
}

fn client_of(node: &Node, notes: &mut Notes) -> Option<Client> {
    match node.text(notes)?.as_str() {
        "openssh" => Some(Client::OpenSsh),
        "native" => Some(Client::Native),
        other => {
            notes.hinted(node.mark, format!("`{other}` is no ssh client"), "write openssh or native");
            None
        }
    }
}

/// `sudo` is root, `none` the login user, else that user.
pub fn become_of(node: &Node, notes: &mut Notes) -> Option<Option<String>> {
    let user = node.text(notes)?;
    let good = |c: char| c.is_alphanumeric() || "-_.$@".contains(c);
    match user.as_str() {
        "sudo" => Some(Some("root".to_owned())),
        "none" => Some(None),
        name if !name.is_empty() && !name.starts_with('-') && name.chars().all(good) => Some(Some(user)),
        _ => {
            notes.hinted(node.mark, format!("`{user}` is no user"), "write sudo, none, or a user's name");
            None
        }
    }
}

fn balancer(node: &Node, notes: &mut Notes) -> Option<(HaproxyApi, Option<HostName>, Spot)> {
    let mut fields = Fields::of(node, "a balancer", notes)?;
    let haproxy = fields.need("haproxy", notes);
    fields.end(notes);
    let mut fields = Fields::of(haproxy?, "`haproxy:`", notes)?;
    let host = fields.take("host", notes).and_then(|n| Some((n.mark, n.text(notes)?)));
    let socket = fields.text("socket", notes);
    let tcp = fields.take("tcp", notes).and_then(|n| read_apps::host_port(n, notes));
    let mark = fields.mark;
    fields.end(notes);
    match (host, socket, tcp) {
        (Some((mark, host)), Some(socket), None) => {
            Some((HaproxyApi::Socket(socket), Some(HostName::new(host)), notes.spot(mark)))
        }
        (None, None, Some(tcp)) => Some((HaproxyApi::Tcp(tcp), None, notes.spot(mark))),
        _ => {
            notes.error(mark, "`haproxy:` has `host` and `socket`, or `tcp` alone");
            None
        }
    }
}
