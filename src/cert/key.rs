//! Public keys: what kind, and whether it is strong enough.

use super::pem::KeyPiece;
use aws_lc_rs::{
    rsa::KeyPair as RsaKeyPair,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING,
        ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    },
};
use serde::Serialize;
use std::fmt;
use x509_parser::{public_key::PublicKey, x509::SubjectPublicKeyInfo};

/// A public key's kind and size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum KeyKind {
    /// RSA, with the bits of its modulus.
    Rsa {
        /// Of the modulus.
        bits: usize,
        /// The public exponent, where it fits.
        exponent: Option<u64>,
    },
    /// On an elliptic curve: `P-256`, or an object identifier.
    Ec {
        /// Its name.
        curve: String,
        /// Of the field.
        bits: usize,
    },
    /// Ed25519 or Ed448.
    Edwards {
        /// Its name.
        curve: &'static str,
    },
    /// DSA: no client of TLS 1.3 speaks it.
    Dsa,
    /// Any other, by its object identifier.
    Other {
        /// The identifier.
        oid: String,
    },
}

impl KeyKind {
    pub(super) fn of(spki: &SubjectPublicKeyInfo<'_>) -> Self {
        let oid = spki.algorithm.algorithm.to_id_string();
        match oid.as_str() {
            "1.3.101.112" => return Self::Edwards { curve: "Ed25519" },
            "1.3.101.113" => return Self::Edwards { curve: "Ed448" },
            _ => {}
        }
        match spki.parsed() {
            Ok(PublicKey::RSA(rsa)) => Self::Rsa { bits: bits(rsa.modulus), exponent: rsa.try_exponent().ok() },
            Ok(PublicKey::EC(point)) => {
                let curve = spki.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
                let curve = curve.map_or_else(|| "unnamed".to_owned(), |oid| oid.to_id_string());
                match CURVES.iter().find(|(id, ..)| *id == curve) {
                    Some((_, name, bits)) => Self::Ec { curve: (*name).to_owned(), bits: *bits },
                    None => Self::Ec { curve, bits: point.key_size() },
                }
            }
            Ok(PublicKey::DSA(_)) => Self::Dsa,
            _ => Self::Other { oid },
        }
    }

    /// Why it is too weak for today, if it is: below 112 bits of security (NIST SP 800-57, part 1), or an exponent of one.
    #[must_use]
    pub fn weakness(&self) -> Option<String> {
        match self {
            Self::Rsa { bits, .. } if *bits < 2048 => Some(format!("RSA of {bits} bits, below 2048")),
            Self::Rsa { exponent: Some(exponent @ (0..=2)), .. } => Some(format!("RSA with the exponent {exponent}")),
            Self::Ec { curve, bits } if *bits < 224 => Some(format!("{curve} of {bits} bits, below 224")),
            Self::Dsa => Some("DSA, which no browser takes".to_owned()),
            _ => None,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits, .. } => write!(f, "RSA {bits}"),
            Self::Ec { curve, .. } => write!(f, "EC {curve}"),
            Self::Edwards { curve } => f.write_str(curve),
            Self::Dsa => f.write_str("DSA"),
            Self::Other { oid } => write!(f, "key {oid}"),
        }
    }
}

fn bits(modulus: &[u8]) -> usize {
    let start = modulus.iter().position(|byte| *byte != 0).unwrap_or(modulus.len());
    let rest = modulus.get(start..).unwrap_or_default();
    let lead = rest.first().map_or(0, |byte| byte.leading_zeros() as usize);
    rest.len() * 8 - lead
}

/// Named curves: object identifier, name, bits of the field (RFC 5480, SEC 2, RFC 5639).
const CURVES: [(&str, &str, usize); 9] = [
    ("1.2.840.10045.3.1.1", "P-192", 192),
    ("1.3.132.0.33", "P-224", 224),
    ("1.2.840.10045.3.1.7", "P-256", 256),
    ("1.3.132.0.34", "P-384", 384),
    ("1.3.132.0.35", "P-521", 521),
    ("1.3.132.0.10", "secp256k1", 256),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1", 256),
    ("1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1", 384),
    ("1.3.36.3.3.2.8.1.1.13", "brainpoolP512r1", 512),
];

/// Why a private key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// It needs a password.
    #[error("the key is encrypted, and no password was given")]
    Encrypted,
    /// It does not read, or is of a kind that is not known here.
    #[error("not a private key of RSA, an elliptic curve or Ed25519")]
    Unreadable,
}

/// The public half of a private key: the bits of its `subjectPublicKey`.
///
/// # Errors
/// It is encrypted, broken or of a kind that is not known.
pub fn public_half(key: &KeyPiece) -> Result<Vec<u8>, BadKey> {
    if key.encrypted {
        return Err(BadKey::Encrypted);
    }
    let der = key.der.as_slice();
    if let Ok(pair) = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der)) {
        return Ok(pair.public_key().as_ref().to_vec());
    }
    for curve in [
        &ECDSA_P256_SHA256_ASN1_SIGNING,
        &ECDSA_P384_SHA384_ASN1_SIGNING,
        &ECDSA_P521_SHA512_ASN1_SIGNING,
        &ECDSA_P256K1_SHA256_ASN1_SIGNING,
    ] {
        if let Ok(pair) = EcdsaKeyPair::from_private_key_der(curve, der) {
            return Ok(pair.public_key().as_ref().to_vec());
        }
    }
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
        .map(|pair| pair.public_key().as_ref().to_vec())
        .map_err(|_| BadKey::Unreadable)
}
