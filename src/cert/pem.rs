//! Files of certificates, keys, requests and revocation lists: PEM, or DER of one.

use super::facts::{BadCertificate, Certificate};
use std::{collections::BTreeSet, fmt, io::Read as _, path::Path};
use x509_parser::{pem::Pem, prelude::FromDer as _};
use zeroize::Zeroizing;

/// What a file holds, in its order.
#[derive(Default)]
pub struct Pieces {
    /// Certificates.
    pub certificates: Vec<Certificate>,
    /// Private keys.
    pub keys: Vec<KeyPiece>,
    /// Certificate signing requests, DER.
    pub requests: Vec<Vec<u8>>,
    /// Revocation lists, DER.
    pub crls: Vec<Vec<u8>>,
    /// Labels of what else is in it: `DH PARAMETERS`.
    pub others: Vec<String>,
}

/// A private key as it lies in a file.
pub struct KeyPiece {
    /// `PRIVATE KEY` (PKCS#8), `RSA PRIVATE KEY` (PKCS#1), `EC PRIVATE KEY` (SEC 1), `ENCRYPTED PRIVATE KEY`.
    pub label: String,
    /// Its bytes.
    pub der: Zeroizing<Vec<u8>>,
    /// Whether it needs a password.
    pub encrypted: bool,
}

impl fmt::Debug for KeyPiece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPiece({})", self.label)
    }
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces")
            .field("certificates", &self.certificates)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// Why a file is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPem {
    /// A piece does not read; the number counts from 1.
    #[error("piece {0}: {1}")]
    Piece(usize, BadCertificate),
    /// The armour is broken.
    #[error("piece {0}: broken PEM: {1}")]
    Armour(usize, String),
    /// Nothing that is known.
    #[error("neither PEM nor a certificate, a request or a revocation list in DER")]
    Nothing,
    /// More pieces than any bundle has.
    #[error("more than {MOST_PIECES} pieces")]
    TooMany,
}

/// A distribution's whole trust store has some 150.
const MOST_PIECES: usize = 10_000;
/// And some 250 kB.
const MOST_BYTES: u64 = 32 * 1024 * 1024;

/// Reads a file of at most 32 MiB.
///
/// # Errors
/// It cannot be read, is larger, or is no file: one would wait for the other end of a pipe for ever.
pub fn read(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no file"));
    }
    let read = std::fs::File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if read as u64 > MOST_BYTES {
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "larger than 32 MiB"));
    }
    Ok(bytes)
}

impl Pieces {
    /// Reads PEM, with any text between the pieces, or the DER of one piece.
    ///
    /// # Errors
    /// A piece is broken, or there is none.
    pub fn read(bytes: &[u8]) -> Result<Self, BadPem> {
        let mut pieces = Self::default();
        if !bytes.windows(BEGIN.len()).any(|window| window == BEGIN) {
            return pieces.der(bytes).map(|()| pieces);
        }
        let (plain, encrypted) = without_headers(bytes);
        for (at, pem) in Pem::iter_from_buffer(&plain).enumerate() {
            let number = at + 1;
            if number > MOST_PIECES {
                return Err(BadPem::TooMany);
            }
            let pem = pem.map_err(|e| BadPem::Armour(number, e.to_string()))?;
            pieces.piece(number, pem, encrypted.contains(&at))?;
        }
        Ok(pieces)
    }

    fn piece(&mut self, number: usize, pem: Pem, encrypted: bool) -> Result<(), BadPem> {
        match pem.label.as_str() {
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                // OpenSSL's TRUSTED form has its own words behind the certificate
                let der = if pem.label.starts_with("TRUSTED") { first(&pem.contents) } else { &pem.contents };
                self.certificates.push(Certificate::from_der(der).map_err(|e| BadPem::Piece(number, e))?);
            }
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => self.requests.push(pem.contents),
            "X509 CRL" => self.crls.push(pem.contents),
            label if label.ends_with("PRIVATE KEY") => {
                let encrypted = encrypted || label.starts_with("ENCRYPTED");
                let label = label.to_owned();
                self.keys.push(KeyPiece { label, der: Zeroizing::new(pem.contents), encrypted });
            }
            other => self.others.push(other.to_owned()),
        }
        Ok(())
    }

    fn der(&mut self, bytes: &[u8]) -> Result<(), BadPem> {
        if let Ok(cert) = Certificate::from_der(bytes) {
            self.certificates.push(cert);
        } else if x509_parser::revocation_list::CertificateRevocationList::from_der(bytes).is_ok() {
            self.crls.push(bytes.to_vec());
        } else if x509_parser::certification_request::X509CertificationRequest::from_der(bytes).is_ok() {
            self.requests.push(bytes.to_vec());
        } else {
            return Err(BadPem::Nothing);
        }
        Ok(())
    }
}

/// Without the headers of RFC 1421 (`Proc-Type: 4,ENCRYPTED`), by which keys of PKCS#1 and SEC 1 say that they need a
/// password and which the parser does not know; and which pieces say so, counted from 0.
fn without_headers(bytes: &[u8]) -> (Zeroizing<Vec<u8>>, BTreeSet<usize>) {
    let (mut plain, mut encrypted) = (Zeroizing::new(Vec::with_capacity(bytes.len())), BTreeSet::new());
    let (mut begun, mut inside) = (0_usize, false);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(BEGIN) {
            (begun, inside) = (begun + 1, true);
        } else if line.starts_with(b"-----END ") {
            inside = false;
        } else if inside && line.contains(&b':') {
            if line.starts_with(b"Proc-Type:") && line.windows(9).any(|word| word == b"ENCRYPTED") {
                encrypted.insert(begun - 1);
            }
            continue;
        }
        plain.extend_from_slice(line);
    }
    (plain, encrypted)
}

fn first(der: &[u8]) -> &[u8] {
    let rest = x509_parser::certificate::X509Certificate::from_der(der).map_or(0, |(rest, _)| rest.len());
    der.get(..der.len() - rest).unwrap_or(der)
}

const BEGIN: &[u8] = b"-----BEGIN ";

/// DER in the armour of RFC 7468.
#[must_use]
pub fn armour(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    // 48 bytes are a line of 64 digits
    for line in der.chunks(48) {
        for three in line.chunks(3) {
            let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
                let digit = DIGITS.get((bits >> shift & 63) as usize).copied().unwrap_or(b'=');
                text.push(if at <= three.len() { char::from(digit) } else { '=' });
            }
        }
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}
