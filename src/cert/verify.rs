//! Whether a signature over bytes was made with a key.
//!
//! The parser's own check knows no P-521 and no PSS with other hashes; the library below it does.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::{
    signature_algorithm::RsaSsaPssParams,
    x509::{AlgorithmIdentifier, SubjectPublicKeyInfo},
};

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// The key made it.
    Right,
    /// The key did not.
    Wrong,
    /// Nobody here can tell: an algorithm that is not known.
    Unknown,
}

/// Checks a signature (the bits of its BIT STRING) over `message`.
pub(super) fn check(
    algorithm: &AlgorithmIdentifier<'_>,
    key: &SubjectPublicKeyInfo<'_>,
    message: &[u8],
    bits: &[u8],
) -> Checked {
    let Some(how) = how(algorithm, key) else { return Checked::Unknown };
    let key = UnparsedPublicKey::new(how, key.subject_public_key.data.as_ref());
    if key.verify(message, bits).is_ok() { Checked::Right } else { Checked::Wrong }
}

/// By which rules; none where they are not known, or the key is of another kind.
fn how(
    algorithm: &AlgorithmIdentifier<'_>,
    key: &SubjectPublicKeyInfo<'_>,
) -> Option<&'static dyn VerificationAlgorithm> {
    let (by, of) = (algorithm.algorithm.to_id_string(), key.algorithm.algorithm.to_id_string());
    let curve = || key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok()).map(|oid| oid.to_id_string());
    match (by.as_str(), of.as_str()) {
        ("1.2.840.113549.1.1.5" | "1.3.14.3.2.29", RSA) => {
            Some(&signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY)
        }
        ("1.2.840.113549.1.1.11", RSA) => Some(&signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY),
        ("1.2.840.113549.1.1.12", RSA) => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        ("1.2.840.113549.1.1.13", RSA) => Some(&signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY),
        ("1.2.840.113549.1.1.10", RSA | RSA_PSS) => match pss_hash(algorithm)? {
            "SHA-256" => Some(&signature::RSA_PSS_2048_8192_SHA256),
            "SHA-384" => Some(&signature::RSA_PSS_2048_8192_SHA384),
            "SHA-512" => Some(&signature::RSA_PSS_2048_8192_SHA512),
            _ => None,
        },
        ("1.3.101.112", "1.3.101.112") => Some(&signature::ED25519),
        (ecdsa, EC) => match (ecdsa, curve()?.as_str()) {
            ("1.2.840.10045.4.3.2", P256) => Some(&signature::ECDSA_P256_SHA256_ASN1),
            ("1.2.840.10045.4.3.3", P256) => Some(&signature::ECDSA_P256_SHA384_ASN1),
            ("1.2.840.10045.4.3.4", P256) => Some(&signature::ECDSA_P256_SHA512_ASN1),
            ("1.2.840.10045.4.3.2", P384) => Some(&signature::ECDSA_P384_SHA256_ASN1),
            ("1.2.840.10045.4.3.3", P384) => Some(&signature::ECDSA_P384_SHA384_ASN1),
            ("1.2.840.10045.4.3.4", P384) => Some(&signature::ECDSA_P384_SHA512_ASN1),
            ("1.2.840.10045.4.3.2", P521) => Some(&signature::ECDSA_P521_SHA256_ASN1),
            ("1.2.840.10045.4.3.3", P521) => Some(&signature::ECDSA_P521_SHA384_ASN1),
            ("1.2.840.10045.4.3.4", P521) => Some(&signature::ECDSA_P521_SHA512_ASN1),
            _ => None,
        },
        _ => None,
    }
}

const RSA: &str = "1.2.840.113549.1.1.1";
const RSA_PSS: &str = "1.2.840.113549.1.1.10";
const EC: &str = "1.2.840.10045.2.1";
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";
const P521: &str = "1.3.132.0.35";

/// The hash of an RSA-PSS signature (RFC 4055); SHA-1 where it is left out.
pub(super) fn pss_hash(algorithm: &AlgorithmIdentifier<'_>) -> Option<&'static str> {
    let params = RsaSsaPssParams::try_from(algorithm.parameters.as_ref()?).ok()?;
    match params.hash_algorithm_oid().to_id_string().as_str() {
        "1.3.14.3.2.26" => Some("SHA-1"),
        "2.16.840.1.101.3.4.2.1" => Some("SHA-256"),
        "2.16.840.1.101.3.4.2.2" => Some("SHA-384"),
        "2.16.840.1.101.3.4.2.3" => Some("SHA-512"),
        _ => None,
    }
}
