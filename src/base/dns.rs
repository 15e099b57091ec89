//! Records in the DNS: what is asked, what is there, what is changed.

use super::{Span, Zone};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Which records are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names of the DNS itself")]
pub enum RecordType {
    A,
    Aaaa,
    Cname,
    Txt,
    Mx,
    Srv,
    Ptr,
}

impl RecordType {
    /// All of them, as they are written.
    pub const ALL: [(&'static str, Self); 7] = [
        ("A", Self::A),
        ("AAAA", Self::Aaaa),
        ("CNAME", Self::Cname),
        ("TXT", Self::Txt),
        ("MX", Self::Mx),
        ("SRV", Self::Srv),
        ("PTR", Self::Ptr),
    ];
    /// As it is written.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

impl std::fmt::Display for RecordType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Which records of a name, asked of every server that answers for its zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordAsk {
    /// Whom to ask.
    pub at: Zone,
    /// In full, without a dot at its end, in ASCII: `_acme-challenge.billing.lab.test`.
    pub name: String,
    /// Which of its records.
    pub kind: RecordType,
    /// How long a server may take.
    pub within: Span,
    /// Whether its server takes updates with the zone's key is asked first, with one that changes nothing (RFC 2136, 3.4).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_change: bool,
}

/// Whose addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressAsk {
    /// The zone that the name is in, whose servers are asked; none: the system is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
    /// In full, without a dot at its end.
    pub name: String,
}

/// The records of one name and type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordSet {
    /// In the form that [`RecordAsk`]'s type is written in, sorted; empty: there are none.
    pub values: BTreeSet<String>,
    /// Seconds that others may keep them for; none without records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
}

/// What the servers of a zone answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordFacts {
    /// What the primary has.
    pub primary: RecordSet,
    /// What others have that answer something else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<String, RecordSet>,
    /// Who did not answer, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub silent: BTreeMap<String, String>,
}

/// Single records that come and go, in one step of the server; others of the same name and type stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordUpdate {
    /// Whom to tell.
    pub at: Zone,
    /// As in [`RecordAsk`].
    pub name: String,
    /// Which kind of records.
    pub kind: RecordType,
    /// These go.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub remove: BTreeSet<String>,
    /// These come.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub add: BTreeSet<String>,
    /// Of those that come, and so of all that stand beside them.
    pub ttl: u32,
}
