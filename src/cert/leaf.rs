//! A certificate in the words of the seam.

use super::facts::{Certificate, hex};
use crate::base::{Hash, Leaf};
use aws_lc_rs::digest::{SHA256, digest};

impl Certificate {
    /// SHA-256 of its public key (`SubjectPublicKeyInfo`), hexadecimal: what a key, a request and a certificate share.
    #[must_use]
    pub fn key_fingerprint(&self) -> String {
        self.parsed().map(|c| hex(digest(&SHA256, c.public_key().raw).as_ref())).unwrap_or_default()
    }

    /// As the seam knows it; `pem` is the hash of the text that it was read from.
    #[must_use]
    pub fn leaf(&self, pem: Hash) -> Leaf {
        Leaf {
            serial: self.serial.clone(),
            fingerprint: self.fingerprint.clone(),
            spki: self.key_fingerprint(),
            issuer: self.issuer.clone(),
            names: self.names.iter().map(ToString::to_string).collect(),
            not_before: self.not_before,
            not_after: self.not_after,
            pem,
        }
    }
}
