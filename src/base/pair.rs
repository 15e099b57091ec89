//! Certificates and their keys on hosts, in the words of the seam: where a pair lies, what is seen of it, what is changed.
//!
//! A private key is made on its host and stays there. What is staged for a pair lies beside it under names that begin with a
//! dot, so that no program that loads a folder takes it: `.svcops-NAME.key`, `.svcops-NAME.csr`, `.svcops-NAME.pem`.

use super::{Algorithm, FileFacts, Hash, HostName, Keystore, Span};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a certificate and its key lie on a host, and under which name what is to come is staged beside them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PairSpot {
    /// The certificate's name in `svcops.yaml`.
    pub name: String,
    /// How they lie there.
    pub store: Keystore,
}

impl PairSpot {
    /// The files that a server reads, the key's first where it has one of its own.
    pub fn files(&self) -> Vec<&str> {
        match &self.store {
            Keystore::Files { cert, key } => vec![key, cert],
            Keystore::Pem(path) | Keystore::Pkcs12 { path, .. } => vec![path],
        }
    }
    /// The file that holds the key: what is staged lies in its folder.
    pub fn key_file(&self) -> &str {
        match &self.store {
            Keystore::Files { key: path, .. } | Keystore::Pem(path) | Keystore::Pkcs12 { path, .. } => path,
        }
    }
    /// Under which name an issuer's orders for it are kept.
    pub fn subject(&self, host: &HostName) -> String {
        format!("{}@{host}{}", self.name, self.key_file())
    }
    /// Where the new key waits.
    pub fn staged_key(&self) -> String {
        self.staged("key")
    }
    /// Where the request for the new certificate lies.
    pub fn staged_request(&self) -> String {
        self.staged("csr")
    }
    /// Where the new certificate waits, with what links it to a root.
    pub fn staged_chain(&self) -> String {
        self.staged("pem")
    }
    fn staged(&self, what: &str) -> String {
        let folder = self.key_file().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{folder}/.svcops-{}.{what}", self.name)
    }
}

/// A certificate as the seam knows it: enough to tell it from others, to say whether it is due, and to find it served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// Hexadecimal, lower case.
    pub serial: String,
    /// SHA-256 of the whole, hexadecimal.
    pub fingerprint: String,
    /// SHA-256 of its public key (`SubjectPublicKeyInfo`), hexadecimal.
    pub spki: String,
    /// Who gave it: `CN=House CA`.
    pub issuer: String,
    /// The names and addresses it is for.
    pub names: Vec<String>,
    /// First second of its life.
    pub not_before: Timestamp,
    /// Last second of its life.
    pub not_after: Timestamp,
    /// Of the text that it was read from, the rest of its chain included.
    pub pem: Hash,
}

/// What is seen of a pair on its host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairFacts {
    /// The certificate in its place; none: nothing is there, or nothing that reads as one.
    #[serde(default)]
    pub installed: Option<Leaf>,
    /// Whether the key in its place is this certificate's.
    #[serde(default)]
    pub key_fits: bool,
    /// Why svcops puts no other pair in its place, in words: what lies there is not what it would write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<String>,
    /// SHA-256 of the public half of the key in its place, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its files by path; none: not there.
    #[serde(default)]
    pub files: BTreeMap<String, Option<FileFacts>>,
    /// What is to come.
    #[serde(default)]
    pub staged: Staged,
}

/// What lies staged beside a pair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// A new key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<StagedKey>,
    /// The request made with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<StagedRequest>,
    /// The certificate that answers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<Leaf>,
}

/// A new key as far as anybody may know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedKey {
    /// SHA-256 of its public half, hexadecimal.
    pub spki: String,
    /// Of the file.
    pub hash: Hash,
    /// Of the file, in bytes.
    pub size: u64,
}

/// A request for a certificate (PKCS#10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedRequest {
    /// Its text.
    pub pem: String,
    /// SHA-256 of the public key that it is made with, hexadecimal.
    pub spki: String,
    /// The names and addresses that it asks for.
    pub names: Vec<String>,
}

impl Staged {
    /// The certificate to install: the chain that is staged, if it is the staged key's.
    pub fn complete(&self) -> Option<&Leaf> {
        self.chain.as_ref().filter(|chain| self.key.as_ref().is_some_and(|key| key.spki == chain.spki))
    }
    /// The request, if it was made with the staged key.
    pub fn asked(&self) -> Option<&StagedRequest> {
        self.request.as_ref().filter(|request| self.key.as_ref().is_some_and(|key| key.spki == request.spki))
    }
    /// Nothing is staged.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One handshake from here, which looks at what is shown and trusts nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedAsk {
    /// `HOST:PORT`, or with the protocol that goes before TLS: `smtp://HOST:PORT`.
    pub endpoint: String,
    /// The name to ask for, where it is not the endpoint's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How long it may take.
    pub within: Span,
}

/// What an endpoint showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedFacts {
    /// Of the first certificate; none: none was shown.
    pub serial: Option<String>,
    /// SHA-256 of it, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Its last second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// Why none was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What changes of a pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PairChange {
    /// Makes a key and a request beside the pair: the key 0600 from its first byte.
    MakeKey {
        /// Its kind.
        algorithm: Algorithm,
        /// The names and addresses to ask for; the first is the common name.
        names: Vec<String>,
    },
    /// Puts the staged key and chain in the place of the pair, the earlier files kept in the undo folder; nothing stays
    /// staged.
    Switch {
        /// The staged key's [`StagedKey::spki`], which must be the chain's.
        spki: String,
        /// The staged chain's [`Leaf::pem`].
        pem: Hash,
        /// The permission bits of the file with the key; none: as they are, else 0600.
        mode: Option<u32>,
        /// The owner of the files; none: as it is, else who acts.
        owner: Option<String>,
        /// Their group; none: as it is, else who acts.
        group: Option<String>,
    },
    /// Brings the earlier files back from the undo folder. The pair that was there until then is staged again: its
    /// certificate may have been hard to get.
    Restore {
        /// What stood there; none: nothing did.
        files: BTreeMap<String, Option<FileFacts>>,
        /// The key of the one that is taken back.
        spki: String,
    },
    /// Takes away all that is staged. Keys are not kept.
    Drop,
}
