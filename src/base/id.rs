//! Names that stay: hosts, runs, tasks.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A host's name as `svcops.yaml` has it; what ssh is called with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostName(String);

impl HostName {
    /// Wraps a name that the inventory has checked.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }
    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for HostName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// A run's id: ten Crockford base-32 digits of the millisecond at which it began (the first half of a ULID),
/// so ids sort by time and can be read out over a telephone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

/// Why a text is no run id.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a run id: ten digits or letters such as 01J9ZK3V7Q expected")]
pub struct NotARunId(pub String);

impl RunId {
    /// The id of a run that begins `millis` after the Unix epoch (48 bits are kept).
    pub fn at_millis(millis: u64) -> Self {
        let digit = |place: u32| CROCKFORD.get((millis >> (place * 5) & 31) as usize).copied().unwrap_or(b'0');
        Self((0..10).rev().map(|place| char::from(digit(place))).collect())
    }
    /// The millisecond that the id names.
    pub fn millis(&self) -> u64 {
        self.0.bytes().fold(0, |sum, b| sum << 5 | CROCKFORD.iter().position(|c| *c == b).unwrap_or(0) as u64)
    }
    /// The id itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RunId {
    type Err = NotARunId;
    fn from_str(text: &str) -> Result<Self, NotARunId> {
        let upper = text.to_ascii_uppercase().replace('O', "0").replace(['I', 'L'], "1");
        let right = upper.len() == 10 && upper.bytes().all(|b| CROCKFORD.contains(&b));
        right.then_some(Self(upper)).ok_or_else(|| NotARunId(text.to_owned()))
    }
}

impl TryFrom<String> for RunId {
    type Error = NotARunId;
    fn try_from(text: String) -> Result<Self, NotARunId> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A step on a host: `STEP@HOST`, `STEP` being the step's id or its number path (`2.1`). A turn of a `for_each` adds
/// `[N]`, a consequence `.then1`, a step of `undo:` `.undo1`; a consequence owed again by an undo ends in `~`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(String);

impl TaskId {
    /// The id of `step` on `host`.
    pub fn new(step: &str, host: &HostName) -> Self {
        Self(format!("{step}@{host}"))
    }
    /// The id itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for TaskId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_keeps_its_millisecond_and_sorts_by_it() {
        let (early, late) = (RunId::at_millis(1_795_000_000_000), RunId::at_millis(1_795_000_000_001));
        assert!(early < late);
        assert_eq!(early.millis(), 1_795_000_000_000);
        assert_eq!(late.as_str().len(), 10);
    }

    #[test]
    fn a_run_id_is_read_in_any_case_and_nothing_else_is() {
        let id = RunId::at_millis(1_795_000_000_000);
        assert_eq!(id.as_str().to_ascii_lowercase().parse::<RunId>().unwrap(), id);
        assert!("01J9".parse::<RunId>().is_err());
        assert!("01J9ZK3V7U".parse::<RunId>().is_err());
    }
}
