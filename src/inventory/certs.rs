//! Certificates and who issues them, as `svcops.yaml` declares them.

use super::{Host, Inventory, NotFilled, Selector, app_on};
use crate::base::{Algorithm, Keystore};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A certificate: what it is for, who issues it, where it lies and is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its name in `svcops.yaml`.
    pub name: String,
    /// For people.
    pub title: Option<String>,
    /// The DNS names and addresses that it is for, the common name first; templates of `host`. Empty only where nobody issues it.
    pub names: Vec<String>,
    /// Who issues it: a name under `issuers:`; none: it is only watched.
    pub issuer: Option<String>,
    /// Each host has a key of its own (none), or all have the first host's.
    pub shared: bool,
    /// What kind of key.
    pub algorithm: Algorithm,
    /// When it is due.
    pub renew: Due,
    /// Whole days left at or below which a check warns; none: what the check says.
    pub warn: Option<i64>,
    /// Whole days left at or below which a check calls it critical; none: what the check says.
    pub crit: Option<i64>,
    /// A PEM file on this machine with whom to trust in checks; none: the issuer's, else the system's store.
    pub trust: Option<String>,
    /// Where it lies and is served, in order; at least one.
    pub places: Vec<CertPlace>,
}

/// When a certificate is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// So many days before its end.
    Days(i64),
    /// With so many hundredths of its life left.
    Share(u8),
}

impl Due {
    /// From when on a certificate of that life is due.
    #[must_use]
    pub fn of(self, not_before: Timestamp, not_after: Timestamp) -> Timestamp {
        let (from, until) = (not_before.as_second(), not_after.as_second());
        let left = match self {
            Self::Days(days) => days.saturating_mul(24 * 60 * 60),
            Self::Share(percent) => until.saturating_sub(from).max(0) / 100 * i64::from(percent),
        };
        Timestamp::from_second(until.saturating_sub(left)).unwrap_or(Timestamp::MIN)
    }
}

/// A place of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertPlace {
    /// The hosts that it lies on; none: it is only served.
    pub hosts: Option<Selector>,
    /// How it lies there; none: it is only served.
    pub store: Option<Keystore>,
    /// The permission bits of what holds the key; none: as they are, else 0o600.
    pub mode: Option<u32>,
    /// The owner of its files; none: as it is, else who acts.
    pub owner: Option<String>,
    /// The group of its files; none: as it is, else who acts.
    pub group: Option<String>,
    /// The app that serves it.
    pub app: Option<String>,
    /// What makes the app read it again.
    pub by: By,
    /// Endpoints, as `cert check` takes them; templates of `host` where there are hosts.
    pub served: Vec<String>,
}

/// What makes an app read its certificate again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of `svcops app`")]
pub enum By {
    #[default]
    Reload,
    Restart,
}

/// Who issues certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuer {
    /// Its name in `svcops.yaml`.
    pub name: String,
    /// What it is.
    pub kind: IssuerKind,
    /// A PEM file on this machine with the roots that its chains end at; none: the `ca`'s own, else the system's store.
    pub trust: Option<String>,
}

/// The kinds of issuers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssuerKind {
    /// An authority of one's own, whose key lies encrypted on this machine.
    Ca {
        /// Its folder: relative to the project's, or with `~`.
        folder: String,
        /// The secret that opens its key.
        password: String,
        /// How long its certificates are good, in days.
        days: u16,
        /// What they are for.
        profile: Profile,
        /// Where the list of what it revoked can be fetched: its certificates say it; none: they say nothing.
        crl: Option<String>,
    },
    /// A server of ACME (RFC 8555).
    Acme(Acme),
    /// People: the request goes into the ticket, and `svcops cert import` takes their answer.
    Csr {
        /// What to do with the request.
        note: Option<String>,
    },
}

/// A server of ACME, and how names are proven to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acme {
    /// The URL of its directory.
    pub directory: String,
    /// A PEM file on this machine to trust when speaking to it; none: the system's store.
    pub ca: Option<String>,
    /// `mailto:` addresses for the account.
    pub contact: Vec<String>,
    /// Binds the account to one that exists elsewhere (RFC 8555, 7.3.4).
    pub eab: Option<Eab>,
    /// How names are proven.
    pub challenge: Challenge,
}

/// An external account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eab {
    /// The key's identifier.
    pub kid: String,
    /// The secret that holds the MAC key, in base64url.
    pub key: String,
}

/// How a name is proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Challenge {
    /// A TXT record in the zone of `zones:` that the name is in (RFC 8555, 8.4).
    Dns,
    /// A file below a web server's root, on those of the hosts that the name resolves to (8.3).
    Webroot {
        /// The hosts.
        hosts: Selector,
        /// The root: an absolute path.
        root: String,
    },
    /// A process that svcops starts on those of the hosts that the name resolves to, and that is gone afterwards (8.3).
    Responder {
        /// The hosts.
        hosts: Selector,
        /// Where it listens; an authority asks at port 80.
        port: u16,
    },
}

/// What certificates are for (RFC 5280, 4.2.1.12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Servers.
    #[default]
    Server,
    /// Clients.
    Client,
    /// Both.
    Both,
}

impl Inventory {
    /// The hosts of a place, in the inventory's order.
    pub fn hosts_at<'a>(&'a self, place: &CertPlace) -> Vec<&'a Host> {
        place.hosts.as_ref().map(|hosts| self.select(hosts)).unwrap_or_default()
    }
}

impl Certificate {
    /// Its names on a host, each once.
    ///
    /// # Errors
    /// A text that names what the host does not have.
    pub fn names_on(&self, host: &Host) -> Result<Vec<String>, NotFilled> {
        let mut names = Vec::new();
        for text in &self.names {
            let name = app_on::fill_for(text, &format!("certificate `{}`", self.name), host)?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Where a place of it is served for a host.
    ///
    /// # Errors
    /// A text that names what the host does not have.
    pub fn served_on(&self, place: &CertPlace, host: &Host) -> Result<Vec<String>, NotFilled> {
        let whose = format!("certificate `{}`", self.name);
        place.served.iter().map(|text| app_on::fill_for(text, &whose, host)).collect()
    }
}
