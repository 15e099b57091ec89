//! Databases, and the business services that move between sites, as `svcops.yaml` declares them.

use super::{Host, Inventory, NotFilled, Selector, app_on};
pub use crate::base::ProbeKind;
use crate::base::{HostName, Lsn, PgSpot, RecordType, Span};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// A PostgreSQL database: one primary and its standbys (streaming replication).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its name in `svcops.yaml`.
    pub name: String,
    /// For people.
    pub title: Option<String>,
    /// Its hosts.
    pub hosts: Selector,
    /// Where the cluster lies; the same on all hosts.
    pub spot: PgSpot,
    /// Who a standby streams as.
    pub replication: Replication,
    /// Who manages it, where svcops does not.
    pub patroni: Option<Patroni>,
}

/// How a standby reaches its primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replication {
    /// The role with `REPLICATION`.
    pub user: String,
    /// The secret that holds its password; none: the servers ask for none, or know one.
    pub password: Option<String>,
    /// Standbys have slots, each named as its host with `_` for what a slot's name cannot hold.
    pub slots: bool,
    /// Commits wait for a standby: a switch refuses where none is in step.
    pub sync: bool,
}

/// The REST API of Patroni.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patroni {
    /// Its URL; a template of `host`.
    pub url: String,
    /// The user of its basic authentication.
    pub user: Option<String>,
    /// The secret that holds their password.
    pub password: Option<String>,
    /// A PEM file on this machine to trust; none: the system's store.
    pub ca: Option<String>,
}

/// What users call by one name, and what moves as one from site to site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name in `svcops.yaml`.
    pub name: String,
    /// For people.
    pub title: Option<String>,
    /// The two sites.
    pub sites: Vec<String>,
    /// The most that may be lost.
    pub rpo: Rpo,
    /// The longest that it may be out; none: nobody promised.
    pub rto: Option<Span>,
    /// How a client sees it; none: outages are not measured.
    pub probe: Option<Probe>,
    /// Ways to prove that a site that is out of reach is dead.
    pub fence: Vec<Fence>,
    /// What it is made of, in the order of the switch; at most one database.
    pub parts: Vec<Part>,
}

/// The most that may be lost (recovery point objective).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rpo {
    /// So many bytes of the write-ahead log.
    Bytes(u64),
    /// The transactions of so long.
    Time(Span),
}

/// Why a text is no RPO.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither bytes nor a span of time, such as 0B, 16MB or 5s")]
pub struct NotAnRpo(String);

impl Rpo {
    const UNITS: [(&'static str, u64); 4] = [("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10), ("B", 1)];

    /// Whether so much loss lies within it.
    pub fn allows(self, bytes: u64, time: Option<Span>) -> bool {
        match self {
            Self::Bytes(most) => bytes <= most,
            Self::Time(most) => bytes == 0 || time.is_some_and(|time| time <= most),
        }
    }
    /// A position in the log that is at most so far behind lies within it, as far as bytes tell.
    pub fn covers(self, ahead: Lsn, behind: Lsn, time: Option<Span>) -> bool {
        self.allows(ahead.past(behind), time)
    }
}

impl FromStr for Rpo {
    type Err = NotAnRpo;
    fn from_str(text: &str) -> Result<Self, NotAnRpo> {
        let wrong = || NotAnRpo(text.to_owned());
        for (unit, size) in Self::UNITS {
            if let Some(number) = text.strip_suffix(unit) {
                let number: u64 = number.trim_end().parse().map_err(|_| wrong())?;
                return number.checked_mul(size).map(Self::Bytes).ok_or_else(wrong);
            }
        }
        text.parse().map(Self::Time).map_err(|_| wrong())
    }
}

impl fmt::Display for Rpo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(span) => span.fmt(f),
            Self::Bytes(bytes) => {
                let (unit, size) =
                    Self::UNITS.into_iter().find(|(_, size)| *bytes > 0 && bytes % size == 0).unwrap_or(("B", 1));
                write!(f, "{}{unit}", bytes / size)
            }
        }
    }
}

/// How a client sees a service, from here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What is asked.
    pub ask: ProbeKind,
    /// How often, while an operation runs.
    pub every: Span,
    /// How long an answer may take.
    pub within: Span,
}

/// A way to prove that a site that is out of reach serves no more: its exit code 0 is the proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// For people: `power`.
    pub name: String,
    /// The host that it runs on, at another site than the one that it fences.
    pub at: HostName,
    /// The site that it fences; none: each, as `{{ site }}` in its text says.
    pub site: Option<String>,
    /// A text for `/bin/sh -c`; `{{ site }}` is the site that is fenced.
    pub run: String,
}

/// What a service is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// A database of `databases:`.
    Database(String),
    /// An app of `apps:`.
    App {
        /// Its name.
        name: String,
        /// It runs at both sites all the time, and only its traffic moves.
        both: bool,
    },
    /// Servers of a backend: those of the active site take traffic, the others none.
    Balancer {
        /// A balancer of `balancers:`.
        name: String,
        /// The backend.
        backend: String,
        /// The hosts that its servers are named after; each belongs to a site.
        servers: Selector,
    },
    /// Records of a name that point to the active site.
    Record {
        /// A zone of `zones:`.
        zone: String,
        /// The name, below the zone or in full.
        name: String,
        /// Its type.
        kind: RecordType,
        /// The values by site.
        values: BTreeMap<String, Vec<String>>,
        /// How long others may keep it; none: as it is.
        ttl: Option<Span>,
    },
    /// What runs by the clock at the active site only.
    Jobs {
        /// The hosts.
        hosts: Selector,
        /// systemd timers, with their suffix.
        timers: Vec<String>,
        /// Files of `/etc/cron.d`, by their names.
        cron: Vec<String>,
    },
    /// What else leaves one site and arrives at the other.
    Command {
        /// For people.
        name: String,
        /// The hosts; those of a site are told when it is left, or arrived at.
        hosts: Selector,
        /// A text for `/bin/sh -c`: leaves the site. Its undo is `start`.
        stop: String,
        /// A text for `/bin/sh -c`: arrives there. Its undo is `stop`.
        start: String,
        /// Exits with 0 where the host's site is the active one, with 1 where it is not.
        status: String,
    },
}

impl Part {
    /// What it is, in a word, and its name.
    pub fn title(&self) -> (&'static str, String) {
        match self {
            Self::Database(name) => ("database", name.clone()),
            Self::App { name, .. } => ("app", name.clone()),
            Self::Balancer { name, backend, .. } => ("balancer", format!("{name}/{backend}")),
            Self::Record { zone, name, .. } => {
                ("record", if name == "@" { zone.clone() } else { format!("{name}.{zone}") })
            }
            Self::Jobs { timers, cron, .. } => {
                ("jobs", timers.iter().chain(cron).cloned().collect::<Vec<_>>().join(", "))
            }
            Self::Command { name, .. } => ("command", name.clone()),
        }
    }
    /// Of a command: what asks a host whether its site is the active one, filled in as a switch fills it in.
    ///
    /// # Errors
    /// It names what the host does not have.
    pub fn status_on(&self, host: &Host) -> Result<Option<String>, NotFilled> {
        let Self::Command { name, status, .. } = self else { return Ok(None) };
        app_on::fill_for(status, &format!("command `{name}`"), host).map(Some)
    }
    /// The hosts that it is on, or that its servers are named after, of either site.
    pub fn hosts<'a>(&self, inventory: &'a Inventory) -> Vec<&'a Host> {
        match self {
            Self::Database(name) => {
                inventory.databases.get(name).map(|d| inventory.select(&d.hosts)).unwrap_or_default()
            }
            Self::App { name, .. } => inventory.apps.get(name).map(|a| inventory.select(&a.hosts)).unwrap_or_default(),
            Self::Balancer { servers: hosts, .. } | Self::Jobs { hosts, .. } | Self::Command { hosts, .. } => {
                inventory.select(hosts)
            }
            Self::Record { .. } => Vec::new(),
        }
    }
}

impl Service {
    /// Its other site.
    pub fn other(&self, site: &str) -> Option<&str> {
        self.sites.iter().find(|s| *s != site).map(String::as_str)
    }
    /// The hosts of its parts, in the order of the inventory.
    pub fn hosts<'a>(&self, inventory: &'a Inventory) -> Vec<&'a Host> {
        let of_parts: Vec<&Host> = self.parts.iter().flat_map(|part| part.hosts(inventory)).collect();
        inventory.hosts.iter().filter(|host| of_parts.iter().any(|part| part.name == host.name)).collect()
    }
    /// The database among its parts.
    pub fn database<'a>(&self, inventory: &'a Inventory) -> Option<&'a Database> {
        self.parts.iter().find_map(|part| match part {
            Part::Database(name) => inventory.databases.get(name),
            _ => None,
        })
    }
}

impl Database {
    /// Its host at a site: there is one.
    pub fn at<'a>(&self, inventory: &'a Inventory, site: &str) -> Option<&'a Host> {
        inventory.select(&self.hosts).into_iter().find(|host| host.site.as_deref() == Some(site))
    }
    /// The slot of a standby: its host's name in what a slot's name can hold (lower case letters, digits and `_`).
    pub fn slot(host: &HostName) -> String {
        let fit = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        host.as_str().chars().map(fit).take(63).collect()
    }
    /// Where the password of replication lies on its hosts, for libpq (`passfile`); none: there is none.
    pub fn passfile(&self) -> Option<String> {
        self.replication.password.as_ref().map(|_| self.spot.passfile())
    }
    /// Patroni's URL on a host.
    ///
    /// # Errors
    /// It names what the host does not have.
    pub fn patroni_on(&self, host: &Host) -> Result<Option<String>, NotFilled> {
        let Some(patroni) = &self.patroni else { return Ok(None) };
        app_on::fill_for(&patroni.url, &format!("database `{}`", self.name), host).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rpo_is_bytes_of_the_log_or_a_span_of_time() {
        for (text, rpo) in [
            ("0B", Rpo::Bytes(0)),
            ("16MB", Rpo::Bytes(16 << 20)),
            ("3kB", Rpo::Bytes(3 << 10)),
            ("5s", Rpo::Time(Span::secs(5))),
        ] {
            assert_eq!(text.parse(), Ok(rpo), "{text}");
            assert_eq!(rpo.to_string(), text);
        }
        for wrong in ["", "0", "-1B", "16 apples", "99999999999GB"] {
            assert!(wrong.parse::<Rpo>().is_err(), "{wrong}");
        }
        let time = Rpo::Time(Span::secs(5));
        assert!(time.allows(7, Some(Span::secs(5))) && time.allows(0, None));
        assert!(!time.allows(7, None) && !time.allows(7, Some(Span::secs(6))));
        assert!(Rpo::Bytes(7).allows(7, None) && !Rpo::Bytes(7).allows(8, None));
    }

    #[test]
    fn a_database_has_one_host_at_each_site_of_its_service() {
        let inventory = crate::inventory::sample_services::moving();
        let service = &inventory.services["crm"];
        let database = service.database(&inventory).unwrap();
        let at = |site| database.at(&inventory, site).map(|host| host.name.as_str());
        assert_eq!([at("dc1"), at("dc2"), at("dc3")], [Some("dc1-db1"), Some("dc2-db1"), None]);
    }

    #[test]
    fn a_slot_is_named_after_its_host_in_letters_that_a_slot_can_have() {
        assert_eq!(Database::slot(&HostName::new("dc2-DB1.lab.test")), "dc2_db1_lab_test");
    }
}
