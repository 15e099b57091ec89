//! `svcops.yaml` as types: what exists. Checked when it was read; nothing here does I/O.

mod app_on;
pub mod certs;
pub mod range;
pub mod read;
pub(crate) mod read_apps;
mod read_certs;
mod read_mail;
mod read_services;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod sample_certs;
#[cfg(test)]
mod sample_databases;
#[cfg(test)]
pub(crate) mod sample_services;
pub mod select;
pub mod services;

pub use app_on::{AppOn, Behind, NotFilled};
pub use certs::{Acme, By, CertPlace, Certificate, Challenge, Due, Eab, Issuer, IssuerKind, Profile};
pub use read::parse;
pub use services::{Database, Fence, Part, Patroni, Probe, ProbeKind, Replication, Rpo, Service};

use crate::base::{HaproxyApi, HostName, Smtp, Span, Zone};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The verbs of `svcops failover`, where a service's name may stand as well.
pub const SERVICE_VERBS: &[&str] = &["drill", "history", "prepare", "rejoin", "status", "switch"];

/// The verbs of the command line: no service, app or runbook may be named like one.
pub const VERBS: &[&str] = &[
    "access",
    "app",
    "approvals",
    "approve",
    "cancel",
    "cert",
    "completions",
    "demo",
    "doctor",
    "failover",
    "help",
    "history",
    "init",
    "inventory",
    "lint",
    "man",
    "owed",
    "plan",
    "rehearse",
    "reject",
    "report",
    "resolve",
    "resume",
    "rollback",
    "run",
    "scale",
    "schedule",
    "schema",
    "status",
    "store",
    "ticket",
];

/// All that `svcops.yaml` declares, ranges unfolded, defaults filled in. Journaled whole, so that a resume does not depend
/// on the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// The project's name.
    pub project: String,
    /// For reports and schedules; none: the machine's.
    pub timezone: Option<String>,
    /// `tickets:` as written; acted on by the ticket room.
    pub tickets: Option<serde_json::Value>,
    /// `mail:`.
    pub mail: Option<Mail>,
    /// `evidence:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// `audit:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
    /// How many connections at once.
    #[serde(default, skip_serializing_if = "Pace::is_default")]
    pub pace: Pace,
    /// Where secrets come from, by name.
    pub secrets: BTreeMap<String, SecretSource>,
    /// The sites, with their titles.
    pub sites: BTreeMap<String, Site>,
    /// The hosts, in order of their names (natural: `web9` before `web10`).
    pub hosts: Vec<Host>,
    /// The apps by name.
    pub apps: BTreeMap<String, App>,
    /// The balancers by name.
    pub balancers: BTreeMap<String, Balancer>,
    /// The zones by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub zones: BTreeMap<String, Zone>,
    /// Who issues certificates, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub issuers: BTreeMap<String, Issuer>,
    /// The certificates by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub certificates: BTreeMap<String, Certificate>,
    /// The databases by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub databases: BTreeMap<String, Database>,
    /// The services by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, Service>,
}

impl Inventory {
    /// The host of that name.
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.iter().find(|h| h.name.as_str() == name)
    }
}

/// Who signs runs, and whose signatures count. Paths as written: below the project's folder, or with `~`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The key that signs each run's end: a private key's file, or a public one's that an agent has.
    pub sign: Option<String>,
    /// A file of allowed signers, as ssh-keygen(1) has it.
    pub signers: Option<String>,
    /// A file of keys whose signatures count no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
}

/// Where the audit stream goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// The socket of a syslog.
    pub syslog: String,
}

/// Where mail goes out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// The server.
    pub smtp: Smtp,
    /// The sender: an address, or `Name <ADDRESS>`.
    pub from: String,
}

/// Where a secret comes from: never a value in a file of the project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file; `~` is the home folder. One newline at its end is dropped.
    File(String),
    /// What a command prints (argv; one newline at its end is dropped).
    Command(Vec<String>),
    /// A credential that systemd passed: a file in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

/// A data centre.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// For people.
    pub title: Option<String>,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Its name.
    pub name: HostName,
    /// Its site.
    pub site: Option<String>,
    /// Overrides `ssh_config`'s HostName; also `host.address`.
    pub address: Option<String>,
    /// Labels, as selectors see them; `site` counts as one there.
    pub labels: BTreeMap<String, String>,
    /// Acted on without ssh.
    pub local: bool,
    /// How to log in: the project's defaults with the host's own over them.
    pub ssh: Ssh,
}

/// How to log in. What is none is ssh's own business (`ssh_config`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ssh {
    /// The login user.
    pub user: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// A file instead of `~/.ssh/config`; `~` is the home folder.
    pub config: Option<String>,
    /// What speaks the protocol.
    #[serde(default, skip_serializing_if = "Client::is_openssh")]
    pub client: Client,
    /// The user that acts are carried out as, by sudo (`become: sudo` is root).
    pub become_user: Option<String>,
}

/// How many ssh connections at once; what is none is the transport's own choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// That are open.
    pub connections: Option<usize>,
    /// That are being made.
    pub handshakes: Option<usize>,
}

impl Pace {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What speaks ssh to a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Client {
    /// The machine's own `ssh`: one process a host, and all that it can.
    #[default]
    OpenSsh,
    /// svcops itself: no process, far less memory and CPU, and less that it can (`docs/native-ssh.md`).
    Native,
}

impl Client {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_openssh(&self) -> bool {
        *self == Self::OpenSsh
    }
}

/// An application: something that is started and stopped on hosts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct App {
    /// Its name.
    pub name: String,
    /// For people.
    pub title: Option<String>,
    /// Its hosts.
    pub hosts: Selector,
    /// What starts and stops it.
    pub manager: Manager,
    /// How its health shows.
    pub health: Option<Health>,
    /// Files that it reads at its start, absolute paths.
    pub config: Vec<String>,
    /// The balancer in front of it.
    pub balancer: Option<AppBalancer>,
    /// How its verbs go about it.
    pub rolling: AppRolling,
    /// Apps that must run before it.
    pub requires: Vec<String>,
}

/// What starts and stops an app. Commands are texts for `/bin/sh -c`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Manager {
    /// A systemd unit, with its suffix.
    Systemd(String),
    /// Commands.
    Command {
        /// Starts it.
        start: String,
        /// Stops it.
        stop: String,
        /// Exits 0 while it runs, anything else while it does not.
        status: String,
        /// Makes it read its configuration again.
        reload: Option<String>,
    },
}

/// A health check. Texts may hold `{{ host.… }}` and `{{ app.… }}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The kind.
    pub check: HealthCheck,
    /// How long after a start it may take.
    pub within: Span,
    /// Through the host's own network instead of from here.
    pub from_host: bool,
}

/// The kinds of health checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthCheck {
    /// An HTTP request and the status that is healthy.
    Http {
        /// A template.
        url: String,
        /// 200 unless said.
        status: u16,
        /// A PEM file to trust.
        ca: Option<String>,
    },
    /// A port that accepts: `HOST:PORT`, a template.
    Tcp(String),
    /// A command on the host that exits 0.
    Command(String),
}

/// An app's place behind a balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppBalancer {
    /// The balancer.
    pub name: String,
    /// The backend.
    pub backend: String,
    /// The server, a template; the host's name unless given.
    pub server: Option<String>,
}

/// How an app's verbs go about many hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRolling {
    /// So many hosts at a time.
    pub batch: Share,
    /// So many of the app's hosts at the same site must be healthy, without those under way.
    pub min_healthy: usize,
}

/// A number, or a share of all in hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Share {
    /// So many.
    Number(usize),
    /// `50%`.
    Percent(u8),
}

impl Share {
    /// Reads `3` or `50%`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no number and no share such as 50%");
        match text.strip_suffix('%') {
            Some(share) => {
                let share = share.trim().parse::<u8>().map_err(|_| wrong())?;
                if share > 100 { Err(format!("`{text}` is more than all")) } else { Ok(Self::Percent(share)) }
            }
            None => text.parse().map(Self::Number).map_err(|_| wrong()),
        }
    }
    /// How many of `all` that is: a share is rounded down, but is never nothing of something.
    pub fn of(self, all: usize) -> usize {
        match self {
            Self::Number(n) => n,
            Self::Percent(p) => (all * usize::from(p) / 100).max(usize::from(p > 0 && all > 0)),
        }
    }
}

/// A balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balancer {
    /// Its name.
    pub name: String,
    /// The host that its socket is on; none for TCP.
    pub host: Option<HostName>,
    /// The way to it.
    pub api: HaproxyApi,
}

/// Which hosts: terms joined by *and*.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    /// As written.
    pub text: String,
    /// Its terms.
    pub terms: Vec<Term>,
}

/// One term of a selector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Term {
    /// `all`.
    All,
    /// Names: a bare word, or a range unfolded.
    Names(Vec<String>),
    /// `k=v`, `k in (a,b)`.
    In(String, Vec<String>),
    /// `k!=v`.
    Not(String, String),
    /// `has:k`.
    Has(String),
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The inventory of LANGUAGE's example.
    pub(crate) fn inventory() -> Inventory {
        let text = include_str!("../../tests/data/example/svcops.yaml").to_owned();
        let (inventory, faults) = parse("svcops.yaml", &BTreeMap::from([("svcops.yaml".to_owned(), text)]));
        assert_eq!(faults.0, []);
        inventory.unwrap()
    }

    #[test]
    fn the_example_is_read_whole() {
        let inventory = inventory();
        assert_eq!(inventory.project, "crm");
        let host = inventory.host("dc2-app2").unwrap();
        assert_eq!(host.address.as_deref(), Some("10.77.0.22"));
        assert_eq!(host.site.as_deref(), Some("dc2"));
        assert_eq!(host.ssh.user.as_deref(), Some("ops"));
        assert_eq!(host.ssh.become_user.as_deref(), Some("root"));
        let names: Vec<_> = inventory.hosts.iter().map(|h| h.name.as_str()).collect();
        assert_eq!(names, ["dc1-app1", "dc1-app2", "dc1-db1", "dc2-app1", "dc2-app2", "dc2-db1", "lb"]);
        let app = &inventory.apps["billing"];
        assert_eq!(app.manager, Manager::Systemd("billing.service".into()));
        assert_eq!(app.health.as_ref().unwrap().within, Span::secs(30));
        assert_eq!(app.rolling, AppRolling { batch: Share::Number(1), min_healthy: 1 });
        assert_eq!(inventory.balancers["front"].host.as_ref().unwrap().as_str(), "lb");
    }
}
