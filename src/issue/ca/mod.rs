//! An own certificate authority: a folder with a root or several, whose keys lie in encrypted files.
//!
//! ```text
//! ca.json                 its generations, what was taken back            0600
//! root-1.pem root-1.key   a root and its key, the latter encrypted        0644, 0600
//! intermediate-1.*        what signs instead of the root, where asked for
//! cross-2.pem             the second root, signed by the first
//! trust.pem               whom to trust: every root that is not retired
//! crl.pem                 what was taken back, a list a signer
//! issued/SPKI-SERIAL.pem  each certificate that was given
//! orders/….json           for whom the last of them was
//! ```
//!
//! A change is what `ca.json` says: everything else is written before it. So whoever is killed leaves a CA as it was, or as it
//! was to be. All of it takes a moment to half a second (RSA some seconds) and does I/O: call it where blocking is allowed.

mod give;
mod key;
mod lists;
mod orders;
mod register;
mod rotate;
#[cfg(test)]
mod tests;

pub use give::{Given, Order, Profile};
pub use key::Algorithm;
pub use lists::Reason;
pub use register::Generation;
pub use rotate::Wish;

use crate::{
    base::Secret,
    cert::{Certificate, Trust, pem},
    issue::safe,
};
use jiff::Timestamp;
use rcgen::{Issuer, KeyPair};
use register::{Register, file};
use std::{
    io,
    path::{Path, PathBuf},
};

/// A CA that is there.
#[derive(Debug)]
pub struct Ca {
    folder: PathBuf,
    register: Register,
}

/// A certificate that a CA gave, as it remembers it.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub cert: Certificate,
    /// Under which root.
    pub generation: Option<u32>,
    /// Since when it is taken back, and why.
    pub revoked: Option<(Timestamp, Reason)>,
}

/// Why a CA did not do something.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// There is none.
    #[error("there is no CA in `{}`", .0.display())]
    Missing(PathBuf),
    /// There is one already.
    #[error("there is a CA in `{}` already", .0.display())]
    Exists(PathBuf),
    /// A file cannot be read or written.
    #[error("could not {act} `{}`", path.display())]
    Io {
        /// What was tried: read, write.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else changes it, and does not come to an end.
    #[error("another process changes the CA in `{}`", .0.display())]
    Busy(PathBuf),
    /// What it remembers does not read.
    #[error("`{}` is not what a CA remembers: {why}", path.display())]
    Register {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A certificate of its own does not read.
    #[error("`{}` is no certificate of a CA: {why}", path.display())]
    Root {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A key does not read.
    #[error("`{}` is no key that is encrypted as PKCS#8: {why}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The password is not the key's.
    #[error("the password does not open `{}`", .0.display())]
    Password(PathBuf),
    /// Too short to protect anything.
    #[error("the password has {0} characters, a key of a CA needs {SHORTEST}")]
    Short(usize),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// What signs has expired, or does so too soon.
    #[error("the CA's own certificate `{subject}` ends on {}", until.strftime("%Y-%m-%d"))]
    Ending {
        /// Its subject.
        subject: String,
        /// Its last second.
        until: Timestamp,
    },
    /// A request that no certificate is given for.
    #[error("the request is refused: {0}")]
    Request(String),
    /// No certificate has such a serial number.
    #[error("the CA gave no certificate with the serial number `{0}`")]
    Unknown(String),
    /// It is taken back already.
    #[error("the certificate `{serial}` is revoked since {}", at.strftime("%Y-%m-%d %H:%M UTC"))]
    Revoked {
        /// Its serial number.
        serial: String,
        /// Since when.
        at: Timestamp,
    },
    /// There is but one root.
    #[error("there is no older root to retire")]
    Alone,
    /// Certificates of the old root are still out there, and nothing replaces them.
    #[error("{} certificates of the old root are valid and not replaced: {}", .0.len(), .0.join(", "))]
    Needed(Vec<String>),
    /// What was made does not hold, which is a fault of this program.
    #[error("the certificate that was made does not hold: {0}")]
    Unsound(String),
    /// The library refuses.
    #[error("the certificate could not be made: {0}")]
    Library(#[from] rcgen::Error),
}

impl CaError {
    fn io(act: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { act, path: path.to_owned(), source }
    }
}

impl Ca {
    /// Opens the one in a folder. Needs no password.
    ///
    /// # Errors
    /// There is none, or it does not read.
    pub fn open(folder: &Path) -> Result<Self, CaError> {
        Ok(Self { folder: folder.to_owned(), register: Register::read(folder)? })
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The common name of its first root.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.register.name
    }

    /// All of its roots, the retired ones too, oldest first.
    #[must_use]
    pub fn generations(&self) -> &[Generation] {
        &self.register.generations
    }

    /// The roots that are trusted now.
    ///
    /// # Errors
    /// One of them does not read.
    pub fn trust(&self) -> Result<Trust, CaError> {
        let roots = self.trusted().map(|of| self.certificate("root", of.number)).collect::<Result<Vec<_>, _>>()?;
        Ok(Trust::of(self.folder.join(TRUST).display().to_string(), roots))
    }

    /// A certificate of its own: `root`, `intermediate`, `cross`.
    ///
    /// # Errors
    /// It does not read.
    pub fn certificate(&self, what: &str, generation: u32) -> Result<Certificate, CaError> {
        let path = file(&self.folder, what, generation, "pem");
        let bytes = pem::read(&path).map_err(|why| CaError::io("read", &path, why))?;
        let root = |why: String| CaError::Root { path: path.clone(), why };
        let pieces = pem::Pieces::read(&bytes).map_err(|e| root(e.to_string()))?;
        pieces.certificates.into_iter().next().ok_or_else(|| root("it is empty".to_owned()))
    }

    /// What it has given, the newest last.
    ///
    /// # Errors
    /// The folder or a certificate in it does not read.
    pub fn issued(&self) -> Result<Vec<Issued>, CaError> {
        let mut signers = Vec::new();
        for of in &self.register.generations {
            signers.push((of.number, self.certificate(signer(of), of.number)?.key_id.clone()));
        }
        let mut issued = Vec::new();
        for path in self.given_files()? {
            let cert = read_given(&path)?;
            let by = signers.iter().find(|(_, key)| key.is_some() && *key == cert.issuer_key_id);
            let revoked = self.register.revoked.iter().find(|r| r.serial == cert.serial).map(|r| (r.at, r.reason));
            issued.push(Issued { generation: by.map(|(number, _)| *number), revoked, cert });
        }
        issued.sort_by(|a, b| (a.cert.not_before, &a.cert.serial).cmp(&(b.cert.not_before, &b.cert.serial)));
        Ok(issued)
    }

    fn given_files(&self) -> Result<Vec<PathBuf>, CaError> {
        let folder = self.folder.join(ISSUED);
        let failed = |why| CaError::io("read", &folder, why);
        let entries = match std::fs::read_dir(&folder) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            entries => entries.map_err(failed)?,
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if !name.starts_with('.') && name.ends_with(".pem") {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    fn trusted(&self) -> impl Iterator<Item = &Generation> {
        self.register.generations.iter().filter(|of| of.retired.is_none())
    }

    /// The one that signs.
    fn newest(&self) -> Result<&Generation, CaError> {
        self.register.generations.last().ok_or_else(|| CaError::Missing(self.folder.clone()))
    }

    /// What signs certificates and lists under a root.
    fn issuer(&self, of: &Generation, what: &str, password: &Secret) -> Result<Issuer<'static, KeyPair>, CaError> {
        let key = key::read(&file(&self.folder, what, of.number, "key"), password)?;
        let cert = self.certificate(what, of.number)?;
        Ok(Issuer::from_ca_cert_der(&cert.der().into(), key)?)
    }

    /// Changes what it remembers, alone; what another one did meanwhile counts.
    fn locked<T>(&mut self, change: impl FnOnce(&mut Self) -> Result<T, CaError>) -> Result<T, CaError> {
        let _lock = register::lock(&self.folder)?;
        self.register = Register::read(&self.folder)?;
        let before = self.register.clone();
        let done = change(self);
        if done.is_err() {
            self.register = before;
        }
        done
    }

    /// Writes whom to trust.
    fn write_trust(&self) -> Result<(), CaError> {
        let text: String = self.trust()?.anchors().iter().map(|root| armour(root.der(), "CERTIFICATE")).collect();
        let path = self.folder.join(TRUST);
        safe::write(&path, text.as_bytes(), safe::PUBLIC).map_err(|why| CaError::io("write", &path, why))
    }
}

/// Which of its two certificates gives others.
fn signer(of: &Generation) -> &'static str {
    if of.intermediate { "intermediate" } else { "root" }
}

fn read_given(path: &Path) -> Result<Certificate, CaError> {
    let bytes = pem::read(path).map_err(|why| CaError::io("read", path, why))?;
    let root = |why: String| CaError::Root { path: path.to_owned(), why };
    let pieces = pem::Pieces::read(&bytes).map_err(|e| root(e.to_string()))?;
    pieces.certificates.into_iter().next().ok_or_else(|| root("it is empty".to_owned()))
}

/// DER as PEM.
fn armour(der: &[u8], label: &str) -> String {
    use pkcs8::der::pem::{LineEnding, encode_string};
    encode_string(label, LineEnding::LF, der).unwrap_or_default()
}

fn long_enough(password: &Secret) -> Result<(), CaError> {
    let count = password.reveal().chars().count();
    if count < SHORTEST { Err(CaError::Short(count)) } else { Ok(()) }
}

const TRUST: &str = "trust.pem";
const ISSUED: &str = "issued";
/// NIST SP 800-63B: what a person may choose at the least.
const SHORTEST: usize = 8;
