//! The key of a CA: made here, and never on a disk but encrypted.

use super::CaError;
use crate::{base::Secret, issue::safe};
use aws_lc_rs::rand;
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, SecretDocument, pkcs5::pbes2};
use rcgen::{KeyPair, RsaKeySize};
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::{fmt, path::Path, str::FromStr};

/// What key a CA signs with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    #[default]
    P384,
    /// RSA of 3072 bits.
    Rsa3072,
    /// RSA of 4096 bits.
    Rsa4096,
    /// Ed25519: no browser takes it.
    Ed25519,
}

impl Algorithm {
    /// Each, as it is written.
    pub const ALL: [(&'static str, Self); 5] = [
        ("p256", Self::P256),
        ("p384", Self::P384),
        ("rsa3072", Self::Rsa3072),
        ("rsa4096", Self::Rsa4096),
        ("ed25519", Self::Ed25519),
    ];
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, of)| of == self).map_or("", |(word, _)| word))
    }
}

impl FromStr for Algorithm {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        let known = Self::ALL.map(|(known, _)| format!("`{known}`")).join(", ");
        let found = Self::ALL.iter().find(|(known, _)| *known == word).map(|(_, algorithm)| *algorithm);
        found.ok_or_else(|| format!("unknown algorithm `{word}`, expected one of {known}"))
    }
}

/// Makes a key. RSA takes seconds.
pub(super) fn make(algorithm: Algorithm) -> Result<KeyPair, CaError> {
    let made = match algorithm {
        Algorithm::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
        Algorithm::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
        Algorithm::Rsa3072 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_3072),
        Algorithm::Rsa4096 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_4096),
        Algorithm::Ed25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519),
    };
    Ok(made?)
}

/// Puts a key on the disk: PKCS#8 under PBES2, scrypt and AES-256-CBC, which OpenSSL reads.
pub(super) fn write(path: &Path, key: &KeyPair, password: &Secret) -> Result<(), CaError> {
    // a hundred of them are made in tests
    write_with(path, key, password, if cfg!(test) { 10 } else { LOG_N })
}

pub(super) fn write_with(path: &Path, key: &KeyPair, password: &Secret, log_n: u8) -> Result<(), CaError> {
    let [mut salt, mut iv] = [[0_u8; 16]; 2];
    rand::fill(&mut salt).map_err(|_| CaError::Random)?;
    rand::fill(&mut iv).map_err(|_| CaError::Random)?;
    let broken = |why: &dyn fmt::Display| CaError::Key { path: path.to_owned(), why: why.to_string() };
    let effort = scrypt::Params::new(log_n, BLOCK, TIMES).map_err(|e| broken(&e))?;
    let how = pbes2::Parameters::generate_scrypt_aes256cbc(effort, &salt, iv).map_err(|e| broken(&e))?;
    let mut plain = PrivateKeyInfoRef::try_from(key.serialized_der()).map_err(|e| broken(&e))?;
    // the form with the public half (RFC 5958) is none that OpenSSL 3.0 reads
    plain.public_key = None;
    let locked = plain.encrypt_with_params(how, password.reveal()).map_err(|e| broken(&e))?;
    let pem = locked.to_pem(LABEL, LineEnding::LF).map_err(|e| broken(&e))?;
    safe::write(path, pem.as_bytes(), safe::PRIVATE).map_err(|why| CaError::io("write", path, why))
}

/// Reads a key back. It takes as long as guessing a password once: a quarter of a second.
pub(super) fn read(path: &Path, password: &Secret) -> Result<KeyPair, CaError> {
    let bytes = crate::cert::pem::read(path).map_err(|why| CaError::io("read", path, why))?;
    let broken = |why: &dyn fmt::Display| CaError::Key { path: path.to_owned(), why: why.to_string() };
    let text = std::str::from_utf8(&bytes).map_err(|e| broken(&e))?;
    let (label, locked) = SecretDocument::from_pem(text).map_err(|e| broken(&e))?;
    if label != LABEL {
        return Err(broken(&format!("`{LABEL}` was expected, and it is `{label}`")));
    }
    let locked = EncryptedPrivateKeyInfoRef::try_from(locked.as_bytes()).map_err(|e| broken(&e))?;
    if too_costly(&locked) {
        return Err(broken(&"opening it would take more memory than any sound key file asks for"));
    }
    let plain = locked.decrypt(password.reveal()).map_err(|_| CaError::Password(path.to_owned()))?;
    let der = PrivatePkcs8KeyDer::from(plain.as_bytes());
    Ok(KeyPair::try_from(&der)?)
}

/// A file that somebody made may ask for gigabytes and hours.
fn too_costly(locked: &EncryptedPrivateKeyInfoRef<'_>) -> bool {
    let Some(how) = locked.encryption_algorithm.pbes2() else { return true };
    match &how.kdf {
        pbes2::Kdf::Scrypt(s) => {
            s.cost_parameter.saturating_mul(u64::from(s.block_size)) > MOST_SCRYPT || s.parallelization > 64
        }
        pbes2::Kdf::Pbkdf2(p) => p.iteration_count > MOST_ROUNDS,
        _ => true,
    }
}

const LABEL: &str = "ENCRYPTED PRIVATE KEY";
/// OWASP's cheat sheet on storing passwords: as good as N of 2^17 with one pass, within the 32 MiB that OpenSSL grants.
pub(super) const LOG_N: u8 = 14;
const BLOCK: u32 = 8;
const TIMES: u32 = 5;
/// N of 2^20 with blocks of 8: 1 GiB.
const MOST_SCRYPT: u64 = 1 << 23;
const MOST_ROUNDS: u32 = 20_000_000;
