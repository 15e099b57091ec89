//! An answer of a responder (RFC 6960), as a server staples it: what its CA says of its certificate now.

use super::{
    crl::reason,
    facts::Certificate,
    verify::{self, Checked},
};
use aws_lc_rs::digest::{self, digest};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use x509_parser::{
    prelude::FromDer as _,
    x509::{AlgorithmIdentifier, ReasonCode},
};

/// What a CA says of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is not revoked.
    Good,
    /// It was taken back.
    Revoked {
        /// Since when.
        at: Timestamp,
        /// In words.
        reason: Option<String>,
    },
}

/// Holds a stapled answer against the certificate that it should be of, and against who gave that.
///
/// # Errors
/// Why it cannot be believed, or says nothing.
pub(super) fn read(der: &[u8], leaf: &Certificate, issuer: &Certificate, at: Timestamp) -> Result<Standing, String> {
    if der.len() > MOST_BYTES {
        return Err("the stapled answer is longer than any".into());
    }
    let basic = Basic::read(der)?;
    basic.trusted(issuer, at)?;
    let single = basic.of(leaf, issuer)?.ok_or("the stapled answer is of another certificate")?;
    let minute = |t: Timestamp| t.strftime("%Y-%m-%d %H:%M UTC").to_string();
    // clocks of responders are not all right
    if single.from > at + jiff::SignedDuration::from_mins(5) {
        return Err(format!("the stapled answer is of the future: {}", minute(single.from)));
    }
    if let Some(until) = single.until.filter(|until| *until < at) {
        return Err(format!("the stapled answer is out of date since {}", minute(until)));
    }
    single.standing.ok_or_else(|| "its CA says in the stapled answer that it does not know it".into())
}

/// A response of the one kind that there is, 4.2.1.
struct Basic<'a> {
    signed: &'a [u8],
    algorithm: AlgorithmIdentifier<'a>,
    signature: &'a [u8],
    responder: Responder<'a>,
    singles: Vec<Single<'a>>,
    certificates: Vec<Certificate>,
}

enum Responder<'a> {
    Name(&'a [u8]),
    Key(&'a [u8]),
}

struct Single<'a> {
    hash: String,
    issuer_name: &'a [u8],
    issuer_key: &'a [u8],
    serial: &'a [u8],
    standing: Option<Standing>,
    from: Timestamp,
    until: Option<Timestamp>,
}

impl<'a> Basic<'a> {
    fn read(der: &'a [u8]) -> Result<Self, String> {
        let mut outer = Der(Der(der).take(SEQUENCE)?);
        match outer.take(ENUMERATED)? {
            [0] => {}
            [status] => {
                let said = STATUS.iter().find(|(code, _)| code == status).map_or("an unknown error", |(_, said)| said);
                return Err(format!("the stapled answer is an error: {said}"));
            }
            _ => return Err(BROKEN.into()),
        }
        let mut bytes = Der(Der(outer.take(context(0))?).take(SEQUENCE)?);
        if bytes.take(OID)? != BASIC {
            return Err("the stapled answer is of an unknown kind".into());
        }
        let mut basic = Der(Der(bytes.take(OCTETS)?).take(SEQUENCE)?);
        let (signed, data) = basic.whole(SEQUENCE)?;
        let (algorithm, _) = basic.whole(SEQUENCE)?;
        let (_, algorithm) = AlgorithmIdentifier::from_der(algorithm).map_err(|_| BROKEN)?;
        // a signature has whole bytes
        let Some((0, signature)) = basic.take(BITS)?.split_first() else { return Err(BROKEN.into()) };
        let mut certificates = Vec::new();
        if let Some(list) = basic.maybe(context(0))? {
            let mut list = Der(Der(list).take(SEQUENCE)?);
            while !list.0.is_empty() && certificates.len() < MOST_CERTIFICATES {
                let (cert, _) = list.whole(SEQUENCE)?;
                certificates.extend(Certificate::from_der(cert).ok());
            }
        }
        let mut data = Der(data);
        data.maybe(context(0))?;
        let responder = match data.maybe(context(1))? {
            Some(name) => Responder::Name(name),
            None => Responder::Key(Der(data.take(context(2))?).take(OCTETS)?),
        };
        data.take(TIME)?;
        let mut list = Der(data.take(SEQUENCE)?);
        let mut singles = Vec::new();
        while !list.0.is_empty() && singles.len() < MOST_ANSWERS {
            singles.push(Single::read(list.take(SEQUENCE)?)?);
        }
        Ok(Self { signed, algorithm, signature, responder, singles, certificates })
    }

    /// Signed by who gave the certificate, or by whom that one named for it (4.2.2.2).
    fn trusted(&self, issuer: &Certificate, at: Timestamp) -> Result<(), String> {
        if self.is_by(issuer) {
            return self.signed_by(issuer);
        }
        let Some(other) = self.certificates.iter().find(|cert| self.is_by(cert)) else {
            return Err("the stapled answer is signed by nobody that is known".into());
        };
        let who = &other.subject;
        if super::path::link(other, issuer) != super::path::Link::Signed {
            return Err(format!("the stapled answer is signed by `{who}`, whom its CA did not name for that"));
        }
        if !other.purposes.iter().any(|purpose| purpose == "OCSP answers") {
            return Err(format!("the stapled answer is signed by `{who}`, who is not for that"));
        }
        if other.not_before > at || other.not_after < at {
            return Err(format!("the stapled answer is signed by `{who}`, whose time is over or has not come"));
        }
        self.signed_by(other)
    }

    fn is_by(&self, cert: &Certificate) -> bool {
        let Some(parsed) = cert.parsed() else { return false };
        match self.responder {
            Responder::Name(name) => parsed.subject().as_raw() == name,
            // always SHA-1, 4.2.1
            Responder::Key(key) => {
                sum(SHA1, parsed.public_key().subject_public_key.data.as_ref()).as_deref() == Some(key)
            }
        }
    }

    fn signed_by(&self, cert: &Certificate) -> Result<(), String> {
        let parsed = cert.parsed().ok_or(BROKEN)?;
        match verify::check(&self.algorithm, parsed.public_key(), self.signed, self.signature) {
            Checked::Right => Ok(()),
            Checked::Wrong => Err(format!("the stapled answer was not signed by `{}`", cert.subject)),
            Checked::Unknown => Err("the stapled answer is signed in a way that is not known here".into()),
        }
    }

    /// The part that is of a certificate.
    fn of(self, leaf: &Certificate, issuer: &Certificate) -> Result<Option<Single<'a>>, String> {
        let (leaf, issuer) = (leaf.parsed().ok_or(BROKEN)?, issuer.parsed().ok_or(BROKEN)?);
        let (name, key) = (issuer.subject().as_raw(), issuer.public_key().subject_public_key.data.as_ref());
        Ok(self.singles.into_iter().find(|single| {
            single.serial == leaf.raw_serial()
                && sum(&single.hash, name).as_deref() == Some(single.issuer_name)
                && sum(&single.hash, key).as_deref() == Some(single.issuer_key)
        }))
    }
}

impl<'a> Single<'a> {
    fn read(der: &'a [u8]) -> Result<Self, String> {
        let mut single = Der(der);
        let mut id = Der(single.take(SEQUENCE)?);
        let (algorithm, _) = id.whole(SEQUENCE)?;
        let (_, algorithm) = AlgorithmIdentifier::from_der(algorithm).map_err(|_| BROKEN)?;
        let (issuer_name, issuer_key, serial) = (id.take(OCTETS)?, id.take(OCTETS)?, id.take(INTEGER)?);
        let standing = if single.maybe(PLAIN)?.is_some() {
            Some(Standing::Good)
        } else if let Some(revoked) = single.maybe(context(1))? {
            let mut revoked = Der(revoked);
            let at = moment(revoked.take(TIME)?)?;
            let code = revoked.maybe(context(0))?.map(|code| Der(code).take(ENUMERATED)).transpose()?;
            let reason = code.and_then(|code| code.first()).map(|code| reason(ReasonCode(*code)));
            Some(Standing::Revoked { at, reason })
        } else {
            single.take(PLAIN + 2)?;
            None
        };
        let from = moment(single.take(TIME)?)?;
        let until = single.maybe(context(0))?.map(|time| moment(Der(time).take(TIME)?)).transpose()?;
        let hash = algorithm.algorithm.to_id_string();
        Ok(Self { hash, issuer_name, issuer_key, serial, standing, from, until })
    }
}

/// By the object identifier of a hash.
fn sum(hash: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let algorithm = match hash {
        SHA1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        "2.16.840.1.101.3.4.2.1" => &digest::SHA256,
        "2.16.840.1.101.3.4.2.2" => &digest::SHA384,
        "2.16.840.1.101.3.4.2.3" => &digest::SHA512,
        _ => return None,
    };
    Some(digest(algorithm, bytes).as_ref().to_vec())
}

/// `GeneralizedTime` as DER has it: `20260615120000Z`.
fn moment(bytes: &[u8]) -> Result<Timestamp, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| BROKEN)?;
    let civil = DateTime::strptime("%Y%m%d%H%M%SZ", text).map_err(|_| BROKEN)?;
    civil.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp()).map_err(|_| BROKEN.to_owned())
}

/// Values of DER (X.690), one after the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next value, of that kind: with its head, and without.
    fn whole(&mut self, tag: u8) -> Result<(&'a [u8], &'a [u8]), String> {
        let [is, first, rest @ ..] = self.0 else { return Err(BROKEN.into()) };
        if *is != tag {
            return Err(BROKEN.into());
        }
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f)).ok_or(BROKEN)?;
                (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
            }
            _ => return Err(BROKEN.into()),
        };
        let (value, after) = rest.split_at_checked(length).ok_or(BROKEN)?;
        let whole = self.0.get(..self.0.len() - after.len()).ok_or(BROKEN)?;
        self.0 = after;
        Ok((whole, value))
    }

    fn take(&mut self, tag: u8) -> Result<&'a [u8], String> {
        self.whole(tag).map(|(_, value)| value)
    }

    fn maybe(&mut self, tag: u8) -> Result<Option<&'a [u8]>, String> {
        if self.0.first() == Some(&tag) { self.take(tag).map(Some) } else { Ok(None) }
    }
}

const fn context(number: u8) -> u8 {
    0xa0 | number
}

const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const ENUMERATED: u8 = 0x0a;
const TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// `[0] IMPLICIT NULL`: good; two more are unknown.
const PLAIN: u8 = 0x80;
/// `id-pkix-ocsp-basic`, 1.3.6.1.5.5.7.48.1.1.
const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
const SHA1: &str = "1.3.14.3.2.26";
const BROKEN: &str = "the stapled answer does not read";
const STATUS: [(u8, &str); 5] = [
    (1, "it was asked in a wrong way"),
    (2, "the responder failed"),
    (3, "try again later"),
    (5, "the question is to be signed"),
    (6, "the responder may not say"),
];
/// One for a single certificate has some 2 kB, with who signed it.
const MOST_BYTES: usize = 64 * 1024;
const MOST_CERTIFICATES: usize = 8;
const MOST_ANSWERS: usize = 64;
