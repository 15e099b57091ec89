//! Files that prove a name over HTTP (RFC 8555, 8.3), on the hosts that the name leads to.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where such a file is served, and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProofSpot {
    /// Who serves it.
    pub by: ProofBy,
    /// Its name below `/.well-known/acme-challenge/`: letters, digits, `-` and `_`.
    pub token: String,
}

/// Who serves it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProofBy {
    /// A web server that is there; its root, an absolute path.
    Webroot(String),
    /// A process that svcops starts for it, at this port. It ends by itself after a quarter of an hour.
    Responder(u16),
}

/// What is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofFacts {
    /// What is served, by the names of the files: the newest hundred.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub served: BTreeMap<String, String>,
    /// So many of the two folders below the root are there; 2 for a process.
    pub folders: u8,
}

/// What is done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProofChange {
    /// This text is served; folders that are not there are made.
    Put(String),
    /// Nothing is served any more, the process is gone; so many folders stay, the others go if nothing else is in them.
    Drop {
        /// As [`ProofFacts::folders`] was before.
        folders: u8,
    },
}
