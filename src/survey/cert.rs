//! Looks at certificates where they are served and where they lie, and judges them.

use crate::cert::{
    Certificate, Crl, Judgement, Severity, Terms, Trust, Wanted,
    dial::{Dial, Endpoint},
    judge, pem, public_half,
};
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Where a certificate is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Served.
    Endpoint(Endpoint),
    /// In a file of this machine.
    File(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(at) => at.fmt(f),
            Self::File(path) => path.display().fmt(f),
        }
    }
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
    /// How to connect.
    pub dial: Dial,
    /// At most so many endpoints at once.
    pub at_once: usize,
}

/// What was found at one place.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where.
    pub target: Target,
    /// The first certificate; none: nothing was shown.
    pub cert: Option<Certificate>,
    /// What came of judging it.
    pub judgement: Judgement,
    /// Why nothing was shown.
    pub failed: Option<String>,
    /// `TLS 1.3`, and what clients of today do not speak.
    pub version: Option<String>,
    /// As [`Seen`](crate::cert::dial::Seen) has it.
    pub outdated: Option<String>,
}

impl Found {
    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        if self.failed.is_some() { Severity::Unknown } else { self.judgement.severity().max(self.of_tls()) }
    }

    fn of_tls(&self) -> Severity {
        if self.outdated.is_some() { Severity::Warning } else { Severity::Ok }
    }

    /// Whole days until the first of its chain expires.
    #[must_use]
    pub fn days(&self, at: Timestamp) -> Option<i64> {
        self.judgement.path.iter().map(|cert| cert.days_left(at)).min()
    }

    fn failed(target: Target, why: String) -> Self {
        let judgement = Judgement { faults: Vec::new(), path: Vec::new(), whole: false };
        Self { target, cert: None, judgement, failed: Some(why), version: None, outdated: None }
    }
}

/// Looks at all of them, so many at once, and tells after each how many are done. The answers come in the order of the
/// targets.
pub async fn look(targets: Vec<Target>, wish: &Wish, told: &(dyn Fn(usize, usize) + Sync)) -> Vec<Found> {
    let (total, known) = (targets.len(), Known::default());
    let (known, mut done) = (&known, 0);
    let looks = targets.into_iter().enumerate().map(|(at, target)| async move {
        let found = match &target {
            Target::Endpoint(endpoint) => served(endpoint, wish).await,
            Target::File(path) => lying(path, wish),
        };
        (at, known.share(found.unwrap_or_else(|why| Found::failed(target, why))))
    });
    let mut looks = stream::iter(looks).buffer_unordered(wish.at_once.max(1));
    let mut all: Vec<(usize, Found)> = Vec::with_capacity(total);
    while let Some(found) = looks.next().await {
        done += 1;
        told(done, total);
        all.push(found);
    }
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, found)| found).collect()
}

async fn served(endpoint: &Endpoint, wish: &Wish) -> Result<Found, String> {
    let mut endpoint = endpoint.clone();
    if wish.name.is_some() {
        endpoint.name.clone_from(&wish.name);
    }
    let seen = wish.dial.look(&endpoint).await.map_err(|e| e.to_string())?;
    let names = endpoint.wanted().into_iter().collect();
    let mut judgement = judge(&seen.chain, &terms(wish, names, None, seen.stapled.is_none(), true));
    let unreadable = seen.unreadable.into_iter().map(|(element, why)| crate::cert::Fault {
        what: crate::cert::Wrong::Unreadable { why },
        element: Some(element),
        severity: Severity::Critical,
    });
    judgement.faults.splice(0..0, unreadable);
    Ok(Found {
        target: Target::Endpoint(Endpoint { name: None, ..endpoint }),
        cert: seen.chain.into_iter().next(),
        judgement,
        failed: None,
        version: Some(seen.version),
        outdated: seen.outdated,
    })
}

fn lying(path: &Path, wish: &Wish) -> Result<Found, String> {
    let bytes = pem::read(path).map_err(|e| e.to_string())?;
    let pieces = pem::Pieces::read(&bytes).map_err(|e| e.to_string())?;
    let Some(first) = pieces.certificates.first().cloned() else { return Err("there is no certificate in it".into()) };
    let key = match pieces.keys.first().filter(|key| !key.encrypted) {
        Some(key) => Some(public_half(key).map_err(|e| e.to_string())?),
        None => None,
    };
    let names = wish.name.iter().cloned().collect();
    // a file of CAs is no chain of any of them
    let chain = !first.ca && (wish.own_trust || pieces.certificates.len() > 1);
    let judgement = judge(&pieces.certificates, &terms(wish, names, key.as_deref(), false, chain));
    let target = Target::File(path.to_owned());
    Ok(Found { target, cert: Some(first), judgement, failed: None, version: None, outdated: None })
}

fn terms<'a>(wish: &'a Wish, names: Vec<Wanted>, key: Option<&'a [u8]>, unstapled: bool, chain: bool) -> Terms<'a> {
    let Wish { at, warn, crit, share, trust, crls, .. } = wish;
    Terms { at: *at, names, warn: *warn, crit: *crit, share: *share, trust, crls, key, unstapled, chain }
}

/// Certificates that were seen before: one that thousands serve is kept once.
#[derive(Default)]
struct Known(Mutex<HashMap<String, Certificate>>);

impl Known {
    fn share(&self, mut found: Found) -> Found {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for cert in found.cert.iter_mut().chain(&mut found.judgement.path) {
            *cert = known.entry(cert.fingerprint.clone()).or_insert_with(|| cert.clone()).clone();
        }
        found
    }
}
