//! Takes certificates back, and tells it in lists (RFC 5280, 5).

use super::{
    Ca, CaError, armour,
    register::Revocation,
    rotate::{days, moment},
    signer,
};
use crate::{base::Secret, issue::safe};
use jiff::Timestamp;
use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevocationReason, RevokedCertParams, SerialNumber};
use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf, str::FromStr};

/// Why a certificate is taken back (RFC 5280, 5.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Nobody says.
    #[default]
    Unspecified,
    /// Its key was stolen.
    KeyCompromise,
    /// What it says is no longer so.
    AffiliationChanged,
    /// Another one took its place.
    Superseded,
    /// It is no longer needed.
    CessationOfOperation,
}

impl Reason {
    /// Each, as it is written.
    pub const ALL: [(&'static str, Self); 5] = [
        ("unspecified", Self::Unspecified),
        ("key-compromise", Self::KeyCompromise),
        ("affiliation-changed", Self::AffiliationChanged),
        ("superseded", Self::Superseded),
        ("cessation-of-operation", Self::CessationOfOperation),
    ];

    fn code(self) -> RevocationReason {
        match self {
            Self::Unspecified => RevocationReason::Unspecified,
            Self::KeyCompromise => RevocationReason::KeyCompromise,
            Self::AffiliationChanged => RevocationReason::AffiliationChanged,
            Self::Superseded => RevocationReason::Superseded,
            Self::CessationOfOperation => RevocationReason::CessationOfOperation,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, of)| of == self).map_or("", |(word, _)| word))
    }
}

impl FromStr for Reason {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        let known = Self::ALL.map(|(known, _)| format!("`{known}`")).join(", ");
        let found = Self::ALL.iter().find(|(known, _)| *known == word).map(|(_, reason)| *reason);
        found.ok_or_else(|| format!("unknown reason `{word}`, expected one of {known}"))
    }
}

impl Ca {
    /// Takes a certificate back that it gave, and writes the lists anew.
    ///
    /// # Errors
    /// It gave none with that serial number (hexadecimal), it is taken back already, the password is wrong, or something
    /// cannot be written.
    pub fn revoke(&mut self, serial: &str, reason: Reason, password: &Secret, at: Timestamp) -> Result<(), CaError> {
        let serial = plain(serial);
        self.locked(|ca| {
            let one = ca.issued()?.into_iter().find(|one| one.cert.serial == serial);
            let one = one.ok_or_else(|| CaError::Unknown(serial.clone()))?;
            if let Some((at, _)) = one.revoked {
                return Err(CaError::Revoked { serial: serial.clone(), at });
            }
            let generation = one.generation.ok_or_else(|| CaError::Unknown(serial.clone()))?;
            ca.register.revoked.push(Revocation { serial, generation, at, reason, until: one.cert.not_after });
            // opens the keys, so a wrong password is found before anything is remembered
            let text = ca.lists(password, at, DAYS)?;
            ca.register.write(&ca.folder)?;
            ca.put_lists(&text)
        })
    }

    /// Writes the lists anew: each must be younger than its `next update`. Answers with their file.
    ///
    /// # Errors
    /// The password is wrong, or something cannot be written.
    pub fn crl(&mut self, lasting: u32, password: &Secret, at: Timestamp) -> Result<PathBuf, CaError> {
        self.locked(|ca| ca.list(password, at, lasting))
    }

    /// The file with the lists.
    #[must_use]
    pub fn crl_file(&self) -> PathBuf {
        self.folder.join(LISTS)
    }

    pub(super) fn list(&mut self, password: &Secret, at: Timestamp, lasting: u32) -> Result<PathBuf, CaError> {
        let text = self.lists(password, at, lasting)?;
        self.register.write(&self.folder)?;
        self.put_lists(&text)?;
        Ok(self.crl_file())
    }

    fn put_lists(&self, text: &str) -> Result<(), CaError> {
        let path = self.crl_file();
        safe::write(&path, text.as_bytes(), safe::PUBLIC).map_err(|why| CaError::io("write", &path, why))
    }

    /// A list of each key that signs under a root that is trusted, as PEM; an intermediate's root has one as well.
    fn lists(&mut self, password: &Secret, at: Timestamp, lasting: u32) -> Result<String, CaError> {
        self.register.crl_number += 1;
        // who has expired need not be told of any more (RFC 5280, 3.3)
        self.register.revoked.retain(|r| r.until > at);
        let mut text = String::new();
        for of in self.trusted() {
            let mut by = vec![signer(of)];
            by.extend(of.intermediate.then_some("root"));
            for what in by {
                let own = self.register.revoked.iter().filter(|r| r.generation == of.number && what == signer(of));
                let params = CertificateRevocationListParams {
                    this_update: moment(at),
                    next_update: moment(at.saturating_add(days(lasting)).unwrap_or(at)),
                    crl_number: SerialNumber::from(self.register.crl_number),
                    issuing_distribution_point: None,
                    revoked_certs: own.map(entry).collect(),
                    key_identifier_method: KeyIdMethod::Sha256,
                };
                text += &armour(params.signed_by(&self.issuer(of, what, password)?)?.der(), "X509 CRL");
            }
        }
        Ok(text)
    }
}

fn entry(of: &Revocation) -> RevokedCertParams {
    let bytes: Vec<u8> = of
        .serial
        .as_bytes()
        .chunks(2)
        .filter_map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect();
    RevokedCertParams {
        serial_number: SerialNumber::from(bytes),
        revocation_time: moment(of.at),
        // RFC 5280, 5.3.1: "unspecified" is told by telling nothing
        reason_code: (of.reason != Reason::Unspecified).then(|| of.reason.code()),
        invalidity_date: None,
    }
}

/// A serial number as people paste it: with colons, in capitals.
fn plain(serial: &str) -> String {
    serial.chars().filter(|c| *c != ':' && !c.is_whitespace()).flat_map(char::to_lowercase).collect()
}

const LISTS: &str = "crl.pem";
/// How long a list counts.
pub(super) const DAYS: u32 = 30;
