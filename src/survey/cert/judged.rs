//! What was found at a place, and what came of judging it.

use super::{Ask, OnHost, Own, Target, Wish};
use crate::cert::{Certificate, Fault, Judgement, Name, Severity, Terms, Wanted, Wrong, judge};
use jiff::Timestamp;
use std::collections::HashMap;

/// What was found at one place.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where.
    pub target: Target,
    /// The declared certificate that it is.
    pub of: Option<String>,
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
    /// As [`Ask`] has it.
    pub installed: Option<OnHost>,
    /// The name of whom it was held against.
    pub trust: String,
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

    pub(super) fn failed(ask: &Ask, target: Target, why: String) -> Self {
        let judgement = Judgement { faults: Vec::new(), path: Vec::new(), whole: false };
        let of = ask.of.clone();
        let (installed, trust) = (ask.installed.clone(), String::new());
        let failed = Some(why);
        Self { target, of, cert: None, judgement, failed, version: None, outdated: None, installed, trust }
    }
}

/// Tells of each endpoint that serves another certificate than lies where it should have it from: nobody made it read that
/// again.
pub(super) fn compare(all: &mut [Found]) {
    let lie: HashMap<OnHost, Certificate> = all
        .iter()
        .filter_map(|found| match (&found.target, &found.cert) {
            (Target::OnHost(on), Some(cert)) => Some((on.clone(), cert.clone())),
            _ => None,
        })
        .collect();
    for found in all.iter_mut() {
        let Some(at) = &found.installed else { continue };
        if let (Some(is), Some(lies)) = (&found.cert, lie.get(at))
            && is.fingerprint != lies.fingerprint
        {
            let place = Target::OnHost(at.clone()).to_string();
            let what = Wrong::NotInstalled { place, serial: lies.serial.clone(), until: lies.not_after };
            found.judgement.faults.push(Fault { what, element: Some(0), severity: Severity::Warning });
        }
    }
}

/// What lies in a file, without what is secret of it.
#[derive(Default)]
pub(super) struct Lying {
    pub(super) certificates: Vec<Certificate>,
    pub(super) key: Beside,
}

/// The private key of a certificate that lies in a file.
#[derive(Clone, Default)]
pub(super) enum Beside {
    /// There is none.
    #[default]
    None,
    /// Its public half, the bits of its `subjectPublicKey`.
    Half(Vec<u8>),
    /// It was held against the certificate where it lies.
    Fits(bool),
    /// It needs a password that nobody gave.
    Encrypted,
    /// Whether it fits cannot be told, and why.
    Unread(String),
}

/// The declared names that a client can ask for.
pub(super) fn named(ask: &Ask) -> impl Iterator<Item = Wanted> {
    ask.names.iter().filter_map(|name| name.parse().ok())
}

/// The declared names that stand for many.
pub(super) fn patterns(ask: &Ask, leaf: &Certificate, judgement: &mut Judgement) {
    for pattern in ask.names.iter().filter(|name| name.starts_with("*.")) {
        let is = |name: &Name| matches!(name, Name::Dns(dns) if dns.eq_ignore_ascii_case(pattern));
        if !leaf.names.iter().any(is) {
            let names = leaf.names.iter().map(ToString::to_string).collect();
            let what = Wrong::NameMismatch { wanted: pattern.clone(), names, common_name: false };
            judgement.faults.insert(0, Fault { what, element: Some(0), severity: Severity::Critical });
        }
    }
}

pub(super) fn own<'a>(ask: &Ask, wish: &'a Wish) -> Option<&'a Own> {
    ask.of.as_ref().and_then(|name| wish.own.get(name))
}

/// Judges what lies in a file.
pub(super) fn lying(ask: &Ask, target: Target, wish: &Wish, what: Lying) -> Found {
    let Some(first) = what.certificates.first().cloned() else {
        return Found::failed(ask, target, "there is no certificate in it".into());
    };
    let own = own(ask, wish);
    let names = wish.name.iter().cloned().chain(named(ask)).collect();
    let trusted = wish.own_trust || own.is_some_and(|own| own.trust.is_some());
    // a file of CAs is no chain of any of them
    let chain = !first.ca && (trusted || what.certificates.len() > 1);
    let half = if let Beside::Half(half) = &what.key { Some(half.as_slice()) } else { None };
    let terms = terms(wish, own, names, half, false, chain);
    let mut judgement = judge(&what.certificates, &terms);
    let of_key = match what.key {
        Beside::Fits(false) => Some((Wrong::KeyMismatch, Severity::Critical)),
        // whoever uses it has its password: that is told, and is no fault
        Beside::Encrypted => Some((Wrong::KeyEncrypted, Severity::Ok)),
        Beside::Unread(ref why) => Some((Wrong::KeyUnread { why: why.clone() }, Severity::Unknown)),
        Beside::None | Beside::Half(_) | Beside::Fits(true) => None,
    };
    judgement.faults.splice(0..0, of_key.map(|(what, severity)| Fault { what, element: Some(0), severity }));
    patterns(ask, &first, &mut judgement);
    unlisted(own, &mut judgement);
    Found {
        trust: terms.trust.name.clone(),
        cert: Some(first),
        judgement,
        failed: None,
        ..Found::failed(ask, target, String::new())
    }
}

/// Lists of its authority that are there and do not read: nobody knows whether it was taken back.
pub(super) fn unlisted(own: Option<&Own>, judgement: &mut Judgement) {
    let why = own.and_then(|own| own.unlisted.clone());
    let what = why.map(|why| Wrong::RevocationUnknown { why });
    judgement.faults.extend(what.map(|what| Fault { what, element: Some(0), severity: Severity::Unknown }));
}

pub(super) fn terms<'a>(
    wish: &'a Wish,
    own: Option<&'a Own>,
    names: Vec<Wanted>,
    key: Option<&'a [u8]>,
    unstapled: bool,
    chain: bool,
) -> Terms<'a> {
    let Wish { at, share, .. } = wish;
    let crls = own.map(|own| &own.crls).filter(|own| !own.is_empty()).unwrap_or(&wish.crls);
    let warn = own.and_then(|own| own.warn).unwrap_or(wish.warn);
    let crit = own.and_then(|own| own.crit).unwrap_or(wish.crit);
    let trust = own.and_then(|own| own.trust.as_ref()).unwrap_or(&wish.trust);
    Terms { at: *at, names, warn, crit, share: *share, trust, crls, key, unstapled, stapled: None, chain }
}
