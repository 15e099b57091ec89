//! A run as one file that proves itself: its events with their chain, the part of the ledger that vouches for them, the seals,
//! what it went by, and its report. Whoever has the file alone can check it, on any machine.

mod check;
mod tar;
mod write;

#[cfg(test)]
mod tests;

pub use check::{Checked, OfReport, check};
pub use write::{Extra, WriteError, write};

use super::{RunRow, event::Record, state::RunState};
use crate::base::{Hash, RunId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The parts in the order in which they stand; `true`: no bundle is without it.
const PARTS: [(&str, bool); 7] = [
    (LEDGER, true),
    (EVENTS, true),
    (SEALS, true),
    (RUNBOOK, true),
    (INVENTORY, true),
    (SHOWN, false),
    (REPORT, false),
];
const MANIFEST: &str = "manifest.json";
const LEDGER: &str = "ledger.jsonl";
const EVENTS: &str = "events.jsonl";
const SEALS: &str = "seals.jsonl";
const RUNBOOK: &str = "runbook.json";
const INVENTORY: &str = "inventory.json";
const SHOWN: &str = "plan-shown.json";
/// The report's part.
pub const REPORT: &str = "report.html";
/// The hashes of the manifest and of all before it, as `sha256sum` writes them.
const SUMS: &str = "SHA256SUMS";
/// The form of a bundle.
const VERSION: u32 = 1;
/// A manifest, and a line of a part, are no longer.
const MOST_MANIFEST: u64 = 16 << 20;
const MOST_LINE: u64 = 16 << 20;

/// What a bundle says of itself; all of it is held against its parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// 1.
    pub svcops_bundle: u32,
    /// The run.
    pub run: RunId,
    /// Its project.
    pub project: String,
    /// The svcops that made the bundle.
    pub made_by: String,
    /// The time zone of the report.
    pub zone: String,
    /// The ticket that the run was told in, if one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// Debts of the run that later ones had paid when the bundle was made, by their keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paid: Vec<String>,
    /// The number of the run's last event.
    pub head: u64,
    /// Its hash.
    pub hash: Hash,
    /// The parts, in order.
    pub parts: Vec<Part>,
}

/// A part of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its hash.
    pub sha256: Hash,
}

/// An event's row, to the letter.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventRow {
    seq: i64,
    at: String,
    json: String,
    prev: String,
    hash: String,
}

/// An entry of the ledger.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerRow {
    seq: i64,
    run: String,
    head: i64,
    hash_of_head: String,
    prev: String,
    hash: String,
}

/// A seal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealRow {
    entry: String,
    at: String,
    statement: String,
    signature: Option<String>,
    why: Option<String>,
}

/// What is wrong with a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is none: refused before anything more of it was read.
    NoBundle(String),
    /// It ends too early.
    Short(String),
    /// A part's bytes are not those that the manifest names.
    Part(String),
    /// What stands around a part is not what svcops writes.
    Around(String),
    /// The manifest is not the one that was written.
    Manifest,
    /// The sum of all is another, or what follows it.
    Sum,
    /// Something of the chains, the seals or what belongs together; in words.
    Chain(String),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBundle(why) => write!(f, "this is no bundle that svcops wrote: {why}"),
            Self::Short(part) => write!(f, "it ends in `{part}`: the rest is missing"),
            Self::Part(part) => write!(f, "`{part}` was changed after the bundle was made"),
            Self::Around(part) => write!(f, "what stands around `{part}` was changed after the bundle was made"),
            Self::Manifest => write!(f, "`{MANIFEST}` was changed after the bundle was made"),
            Self::Sum => write!(f, "`{SUMS}`, or what follows it, was changed after the bundle was made"),
            Self::Chain(why) => f.write_str(why),
        }
    }
}

/// The row of a run, made of its events alone.
pub fn row_of(records: &[Record]) -> Option<RunRow> {
    let state = RunState::fold(records);
    let (header, last) = (state.header?, records.last()?);
    let ended = records.iter().rev().find(|r| matches!(r.event, super::event::Event::Finished(_)));
    Some(RunRow {
        run: last.run.clone(),
        project: header.project,
        runbook: header.runbook,
        operator: header.operator.name,
        machine: header.operator.machine,
        began: state.began?,
        ended: state.end.as_ref().and(ended).map(|r| r.at),
        outcome: state.end.as_ref().map(|end| end.outcome),
        exit_code: state.end.as_ref().map(|end| end.exit_code),
        changed: state.end.as_ref().map_or(0, |end| end.changed),
        owed: state.end.as_ref().map_or(0, |end| end.owed),
        head: last.seq,
    })
}

/// The last part: the hash of the manifest, and that of all before this part.
fn sums(manifest: &Hash, all: &Hash) -> String {
    format!("{manifest}  {MANIFEST}\n{all}  -\n")
}
