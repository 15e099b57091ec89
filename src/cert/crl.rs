//! Revocation lists (RFC 5280, 5).

use super::{
    facts::{self, Certificate},
    verify::{self, Checked},
};
use jiff::Timestamp;
use std::collections::HashMap;
use x509_parser::{
    extensions::ParsedExtension, prelude::FromDer as _, revocation_list::CertificateRevocationList, x509::ReasonCode,
};

/// A list of what one issuer took back.
#[derive(Clone, Debug)]
pub struct Crl {
    /// As it is shown: where it came from.
    pub name: String,
    /// Whose it is.
    pub issuer: String,
    /// When it was made.
    pub this_update: Timestamp,
    /// When the next is due.
    pub next_update: Option<Timestamp>,
    /// By serial number.
    revoked: HashMap<String, Revoked>,
    /// Whether it is of all that its issuer gave, and by itself.
    whole: bool,
    der: Vec<u8>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Since when.
    pub at: Timestamp,
    /// In words.
    pub reason: Option<String>,
}

/// Why bytes are no revocation list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a revocation list: {0}")]
pub struct BadCrl(String);

/// A busy CA's list has a million entries of some 40 bytes.
const MOST_BYTES: usize = 64 * 1024 * 1024;

impl Crl {
    /// Reads DER.
    ///
    /// # Errors
    /// The bytes are none.
    pub fn from_der(name: String, der: &[u8]) -> Result<Self, BadCrl> {
        let bad = |why: String| BadCrl(why);
        if der.len() > MOST_BYTES {
            return Err(bad("longer than 64 MiB".into()));
        }
        let (rest, list) = CertificateRevocationList::from_der(der).map_err(|e| bad(e.to_string()))?;
        if !rest.is_empty() {
            return Err(bad(format!("{} bytes follow it", rest.len())));
        }
        let time = |t: x509_parser::time::ASN1Time| {
            Timestamp::from_second(t.timestamp()).map_err(|_| bad(format!("the date {t} cannot be read")))
        };
        let mut revoked = HashMap::new();
        for entry in list.iter_revoked_certificates() {
            let reason = entry.reason_code().map(|(_, code)| reason(code));
            revoked.insert(facts::serial(entry.raw_serial()), Revoked { at: time(entry.revocation_date)?, reason });
        }
        let mut whole = true;
        for extension in list.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::AuthorityKeyIdentifier(_) | ParsedExtension::CRLNumber(_) => {}
                // parts of a list, changes since another, lists of other issuers
                _ if extension.critical => whole = false,
                _ => {}
            }
        }
        Ok(Self {
            name,
            issuer: facts::words(list.issuer()),
            this_update: time(list.last_update())?,
            next_update: list.next_update().map(time).transpose()?,
            revoked,
            whole,
            der: der.to_vec(),
        })
    }

    /// How many it takes back.
    #[must_use]
    pub fn count(&self) -> usize {
        self.revoked.len()
    }

    /// Why it cannot be believed at a time, if it cannot.
    pub(super) fn doubt(&self, at: Timestamp) -> Option<String> {
        let name = &self.name;
        let day = |t: Timestamp| t.strftime("%Y-%m-%d %H:%M UTC").to_string();
        if let Some(next) = self.next_update.filter(|next| *next < at) {
            return Some(format!("{name} is out of date since {}", day(next)));
        }
        if self.this_update > at {
            return Some(format!("{name} is of the future: {}", day(self.this_update)));
        }
        if !self.whole {
            return Some(format!("{name} has parts that are not understood here"));
        }
        None
    }

    /// Why nothing of it counts, if so: another one signed it.
    pub(super) fn forged(&self, issuer: &Certificate) -> Option<String> {
        let name = &self.name;
        match self.signed_by(issuer) {
            Checked::Right => None,
            Checked::Wrong => Some(format!("{name} was not signed by `{}`", issuer.subject)),
            Checked::Unknown => Some(format!("{name} is signed in a way that is not known here")),
        }
    }

    fn signed_by(&self, issuer: &Certificate) -> Checked {
        let Some(parsed) = issuer.parsed() else { return Checked::Unknown };
        let Ok((_, list)) = CertificateRevocationList::from_der(&self.der) else { return Checked::Unknown };
        let (message, bits) = (list.tbs_cert_list.as_ref(), list.signature_value.data.as_ref());
        verify::check(&list.signature_algorithm, parsed.public_key(), message, bits)
    }

    /// What it says of a certificate of its issuer.
    pub(super) fn revoked(&self, cert: &Certificate) -> Option<&Revoked> {
        self.revoked.get(&cert.serial)
    }
}

pub(super) fn reason(code: ReasonCode) -> String {
    match code.0 {
        1 => "its key was stolen".into(),
        2 => "the key of its CA was stolen".into(),
        3 => "what it says is no longer so".into(),
        4 => "another one took its place".into(),
        5 => "it is no longer needed".into(),
        6 => "on hold".into(),
        9 => "its rights were withdrawn".into(),
        10 => "the key of who vouches for attributes was stolen".into(),
        other => format!("reason {other}"),
    }
}
