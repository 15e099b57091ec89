//! Looks at certificates where they are served and where they lie, and judges them.

mod crowd;
pub mod declared;
mod here;
mod hosts;
mod judged;
mod standing;

pub use judged::Found;
pub use standing::{Standing, standings};

use crate::{
    base::{HostName, Secret, Text},
    cert::{
        Crl, Trust, Wanted,
        dial::{Dial, Endpoint},
    },
    transport::Transport,
};
use jiff::Timestamp;
use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

/// Where a certificate is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Served.
    Endpoint(Endpoint),
    /// In a file of this machine.
    File(PathBuf),
    /// In a file, or the files of a folder, of a host.
    OnHost(OnHost),
}

/// A file or a folder of a host: `dc1-app1:/etc/billing/tls.crt`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OnHost {
    /// The host, by its name in `svcops.yaml`.
    pub host: HostName,
    /// Who may read it there; none: the login user.
    pub become_user: Option<String>,
    /// Absolute.
    pub path: String,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(at) => at.fmt(f),
            Self::File(path) => path.display().fmt(f),
            Self::OnHost(OnHost { host, path, .. }) => write!(f, "{host}:{path}"),
        }
    }
}

/// One place to look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    /// Where.
    pub target: Target,
    /// Where its private key lies, if not in the same file; on the same machine.
    pub key: Option<String>,
    /// The secret that opens it, by its name in `svcops.yaml`; of PKCS#12 only.
    pub password: Option<String>,
    /// The declared certificate that it is, by its name in `svcops.yaml`.
    pub of: Option<String>,
    /// The names that it is declared to be for, there; the first is asked for.
    pub names: Vec<String>,
    /// Of an endpoint: where the certificate lies that it should serve.
    pub installed: Option<OnHost>,
}

impl From<Target> for Ask {
    fn from(target: Target) -> Self {
        Self { target, key: None, password: None, of: None, names: Vec::new(), installed: None }
    }
}

/// What a declared certificate is held against beside what all are.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// Days of its own.
    pub warn: Option<i64>,
    /// Days of its own.
    pub crit: Option<i64>,
    /// Whose word counts for it.
    pub trust: Option<Trust>,
    /// What its own authority took back; none: what [`Wish::crls`] say counts.
    pub crls: Vec<Crl>,
    /// Why those lists, which are there, cannot be had.
    pub unlisted: Option<String>,
}

/// What all targets are held against.
#[derive(Clone)]
pub struct Wish {
    /// When.
    pub at: Timestamp,
    /// The name to ask for and to be for, instead of the endpoint's own.
    pub name: Option<Wanted>,
    /// Days at or below which it is told as a warning.
    pub warn: i64,
    /// Days at or below which it is critical.
    pub crit: i64,
    /// Percent of its life left at or below which it is a warning.
    pub share: Option<u8>,
    /// Whom to trust.
    pub trust: Trust,
    /// The user named that trust: a file's single certificate is held against it too.
    pub own_trust: bool,
    /// Lists of what was revoked.
    pub crls: Vec<Crl>,
    /// What declared certificates are held against, by their names.
    pub own: BTreeMap<String, Own>,
    /// How to connect.
    pub dial: Dial,
    /// How many at once.
    pub pace: Pace,
    /// What opens PKCS#12 for which nothing else is said.
    pub password: Option<Password>,
    /// The way to hosts, where there are any.
    pub hosts: Option<Arc<dyn Transport>>,
}

impl Wish {
    /// Nothing special: thirty days and seven, ten seconds an endpoint.
    #[must_use]
    pub const fn plain(at: Timestamp, trust: Trust) -> Self {
        Self {
            at,
            name: None,
            warn: 30,
            crit: 7,
            share: None,
            trust,
            own_trust: false,
            crls: Vec::new(),
            own: BTreeMap::new(),
            dial: Dial { within: std::time::Duration::from_secs(10), client: None },
            pace: Pace::USUAL,
            password: None,
            hosts: None,
        }
    }
}

/// How many places are looked at at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// So many that are at work.
    pub busy: usize,
    /// So many in all: one that has not answered for a moment gives its place among the busy ones to the next.
    pub waiting: usize,
}

impl Pace {
    /// Enough for two cores, and for hundreds that are silent.
    pub const USUAL: Self = Self { busy: 64, waiting: 1024 };

    /// Never more than these.
    #[must_use]
    pub const fn strict(at_once: usize) -> Self {
        Self { busy: at_once, waiting: at_once }
    }
}

/// What opens a PKCS#12 file.
#[derive(Clone, Debug)]
pub struct Password {
    /// As it travels to hosts: a secret by its name.
    pub text: Text,
    /// As it is used here.
    pub value: Secret,
}

/// Looks at all of them, and tells after each how many are done. The answers come in the order of what was asked; a folder
/// of a host has one for each of its files.
pub async fn look(asks: Vec<Ask>, wish: &Arc<Wish>, told: &(dyn Fn(usize, usize) + Sync)) -> Vec<Found> {
    crowd::look(asks, wish, told).await
}
