//! PKCS#12 (RFC 7292): certificates and a key in one file, under a password. The program `openssl` reads it; no parser of
//! ours does.

use super::{
    pem::{BadPem, Pieces},
    public_half,
};
use crate::base::Secret;
use std::{
    io::{self, Read as _, Write as _},
    path::Path,
    process::{Command, Stdio},
};
use zeroize::Zeroizing;

/// Why a PKCS#12 file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BadStore {
    /// The program is not there.
    #[error("it is PKCS#12, which the program `openssl` reads, and there is none here")]
    NoProgram,
    /// The program does not run.
    #[error("it is PKCS#12, and `openssl` did not run: {0}")]
    Program(io::Error),
    /// Nobody gave a password, and it needs one.
    #[error("it is PKCS#12 and needs a password: `--password`")]
    NoPassword,
    /// The password is another one.
    #[error("it is PKCS#12, and the password is another one, or it was changed")]
    Password,
    /// It does not read.
    #[error("it looks like PKCS#12 and does not read: {0}")]
    Unreadable(String),
    /// What is in it does not read.
    #[error(transparent)]
    Inside(BadPem),
}

/// Whether bytes begin like one: a sequence that begins with the version 3.
#[must_use]
pub fn looks_like(bytes: &[u8]) -> bool {
    let after = match bytes {
        // its length: in one byte, in none that counts, or in those that follow
        [0x30, 0..=0x80, rest @ ..] => rest,
        [0x30, n @ 0x81..=0x84, rest @ ..] => rest.get(usize::from(n & 0x7f)..).unwrap_or_default(),
        _ => &[],
    };
    after.starts_with(&[2, 1, 3])
}

/// Reads one; the certificate whose key lies in it comes first. Without a password an empty one is tried.
///
/// # Errors
/// There is no `openssl`, the password is another one, or it does not read.
pub fn read(path: &Path, password: Option<&Secret>) -> Result<Pieces, BadStore> {
    let pem = match run(path, password, false)? {
        Ok(pem) => pem,
        // RC2 and its like, which OpenSSL 3 keeps apart
        Err(said) if said.contains("nsupported") => run(path, password, true)?.map_err(|said| why(&said, password))?,
        Err(said) => return Err(why(&said, password)),
    };
    if !pem.windows(5).any(|window| window == b"-----") {
        return Ok(Pieces::default());
    }
    let mut pieces = Pieces::read(&pem).map_err(BadStore::Inside)?;
    if let Some(half) = pieces.keys.first().and_then(|key| public_half(key).ok()) {
        // stable: what links it to its root keeps its order
        pieces.certificates.sort_by_key(|cert| !cert.is_of_key(&half));
    }
    Ok(pieces)
}

fn why(said: &str, password: Option<&Secret>) -> BadStore {
    let wrong = ["mac verify", "invalid password", "bad decrypt"].iter().any(|word| said.to_lowercase().contains(word));
    match (wrong, password) {
        (true, None) => BadStore::NoPassword,
        (true, Some(_)) => BadStore::Password,
        (false, _) => {
            let line = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("`openssl` said nothing");
            BadStore::Unreadable(line.chars().filter(|c| !c.is_control()).take(200).collect())
        }
    }
}

/// What the program wrote, or what it complained of.
fn run(path: &Path, password: Option<&Secret>, legacy: bool) -> Result<Result<Zeroizing<Vec<u8>>, String>, BadStore> {
    let mut openssl = Command::new("openssl");
    openssl.args(["pkcs12", "-nodes", "-passin", "stdin"]).args(legacy.then_some("-legacy")).arg("-in").arg(path);
    openssl.env("LC_ALL", "C").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = openssl.spawn().map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => BadStore::NoProgram,
        _ => BadStore::Program(e),
    })?;
    // both go by pipes: the password there, and the key that comes back
    if let Some(mut stdin) = child.stdin.take() {
        let line = Zeroizing::new(format!("{}\n", password.map_or("", Secret::reveal)));
        // it may have ended before it asked: then it says why
        let _asked = stdin.write_all(line.as_bytes()).is_ok();
    }
    let (mut pem, mut said) = (Zeroizing::new(Vec::new()), Vec::new());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let read = std::thread::scope(|scope| {
        let complaint = scope.spawn(|| err.map_or(Ok(0), |err| err.take(MOST_BYTES).read_to_end(&mut said)));
        let read = out.map_or(Ok(0), |out| out.take(MOST_BYTES).read_to_end(&mut pem));
        read.and(complaint.join().unwrap_or(Ok(0)))
    });
    let ended = read.and_then(|_| child.wait()).map_err(BadStore::Program)?;
    Ok(if ended.success() { Ok(pem) } else { Err(String::from_utf8_lossy(&said).into_owned()) })
}

/// A trust store of Java has some 200 kB.
const MOST_BYTES: u64 = 16 * 1024 * 1024;
