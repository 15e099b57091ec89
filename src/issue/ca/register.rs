//! What a CA remembers: its generations, and what it took back. One file, which is the truth: a key or a certificate that it
//! does not name was left by somebody who was killed.

use super::{CaError, Reason};
use crate::issue::safe;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// `ca.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Register {
    pub(super) schema_version: u32,
    /// The common name of the first root.
    pub(super) name: String,
    /// Oldest first; the last signs.
    pub(super) generations: Vec<Generation>,
    /// What was taken back and has not expired.
    #[serde(default)]
    pub(super) revoked: Vec<Revocation>,
    /// The number of the last list.
    #[serde(default)]
    pub(super) crl_number: u64,
}

/// A root, and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Counts from 1.
    pub number: u32,
    /// When it was made.
    pub made: Timestamp,
    /// Whether certificates are signed by an intermediate, and not by the root.
    pub intermediate: bool,
    /// Since when nobody is to trust it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<Timestamp>,
}

/// A certificate that was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revocation {
    pub(super) serial: String,
    /// Whose it is.
    pub(super) generation: u32,
    pub(super) at: Timestamp,
    pub(super) reason: Reason,
    /// From then on it need not be listed.
    pub(super) until: Timestamp,
}

impl Register {
    pub(super) fn new(name: String) -> Self {
        Self { schema_version: VERSION, name, generations: vec![], revoked: vec![], crl_number: 0 }
    }

    pub(super) fn read(folder: &Path) -> Result<Self, CaError> {
        let path = folder.join(FILE);
        let bytes = match std::fs::read(&path) {
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => {
                return Err(CaError::Missing(folder.to_owned()));
            }
            read => read.map_err(|why| CaError::io("read", &path, why))?,
        };
        let broken = |why: String| CaError::Register { path: path.clone(), why };
        let register: Self = serde_json::from_slice(&bytes).map_err(|e| broken(e.to_string()))?;
        if register.schema_version != VERSION {
            return Err(broken(format!("version {} is not known here, {VERSION} is", register.schema_version)));
        }
        if register.generations.is_empty() {
            return Err(broken("it names no root".to_owned()));
        }
        Ok(register)
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), CaError> {
        let path = folder.join(FILE);
        let broken = |e: serde_json::Error| CaError::Register { path: path.clone(), why: e.to_string() };
        let mut bytes = serde_json::to_vec_pretty(self).map_err(broken)?;
        bytes.push(b'\n');
        safe::write(&path, &bytes, safe::PRIVATE).map_err(|why| CaError::io("write", &path, why))
    }
}

/// One process at a time changes a CA; the lock dies with it.
pub(super) fn lock(folder: &Path) -> Result<File, CaError> {
    let path = folder.join(LOCK);
    let open = OpenOptions::new().create(true).truncate(false).write(true).mode(safe::PRIVATE).open(&path);
    let file = open.map_err(|why| CaError::io("open", &path, why))?;
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            Err(TryLockError::Error(why)) => return Err(CaError::io("lock", &path, why)),
        }
    }
    Err(CaError::Busy(folder.to_owned()))
}

/// Where a generation's files are.
pub(super) fn file(folder: &Path, what: &str, generation: u32, ending: &str) -> PathBuf {
    folder.join(format!("{what}-{generation}.{ending}"))
}

const FILE: &str = "ca.json";
const LOCK: &str = ".lock";
const VERSION: u32 = 1;
/// A signature takes milliseconds, opening the key a quarter of a second: twenty seconds are a queue of many.
const TRIES: u32 = 400;
const PAUSE: Duration = Duration::from_millis(50);
