//! The chains: each event carries the hash of the one before it in its run, each entry of the ledger that of the entry
//! before it; and how a journal is checked against them.

use crate::base::{Hash, RunId};
use rusqlite::{Connection, params};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

/// What an event's hash covers.
pub(super) struct Link<'a> {
    pub(super) run: &'a str,
    pub(super) seq: i64,
    pub(super) at: &'a str,
    pub(super) json: &'a str,
    pub(super) prev: &'a str,
}

impl Link<'_> {
    pub(super) fn hash(&self) -> Hash {
        digest("svcops event 1", &[self.run, &self.seq.to_string(), self.at, self.json, self.prev])
    }
}

/// What an entry's hash covers.
pub(super) struct Entry<'a> {
    pub(super) seq: i64,
    pub(super) run: &'a str,
    pub(super) head: i64,
    pub(super) hash_of_head: &'a str,
    pub(super) prev: &'a str,
}

impl Entry<'_> {
    pub(super) fn hash(&self) -> Hash {
        let (seq, head) = (self.seq.to_string(), self.head.to_string());
        digest("svcops ledger 1", &[&seq, self.run, &head, self.hash_of_head, self.prev])
    }
}

/// Each field behind its length in bytes, so that no two lists of fields have the same encoding.
fn digest(domain: &str, fields: &[&str]) -> Hash {
    let mut text = Vec::with_capacity(64 + fields.iter().map(|f| f.len() + 8).sum::<usize>());
    for field in std::iter::once(&domain).chain(fields) {
        text.extend_from_slice(&(field.len() as u64).to_be_bytes());
        text.extend_from_slice(field.as_bytes());
    }
    Hash::of(&text)
}

/// An entry of the ledger, kept where who could change the journal cannot change it: on paper, in a ticket.
/// Written `SEQ:HASH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The entry's number.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

/// Why a text is no anchor.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an anchor: NUMBER:HASH expected, as `svcops history verify` prints it")]
pub struct NotAnAnchor(pub String);

impl FromStr for Anchor {
    type Err = NotAnAnchor;
    fn from_str(text: &str) -> Result<Self, NotAnAnchor> {
        let wrong = || NotAnAnchor(text.to_owned());
        let (seq, hash) = text.trim().split_once(':').ok_or_else(wrong)?;
        let right = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        let seq = seq.parse().map_err(|_| wrong())?;
        right.then(|| Self { seq, hash: Hash(hash.to_ascii_lowercase()) }).ok_or_else(wrong)
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

/// Where a run's chain ends, and what the ledger last noted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of the run's last event.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
    /// The ledger's last entry for this run.
    pub entry: Option<Anchor>,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Runs that were checked.
    pub runs: usize,
    /// Events that were checked.
    pub events: usize,
    /// Entries of the ledger that were checked.
    pub entries: usize,
    /// What is wrong; empty: every row is what was written.
    pub faults: Vec<Fault>,
    /// The ledger's last entry: keep it elsewhere, and a later check can be held against it.
    pub anchor: Option<Anchor>,
    /// It was held against an anchor. Without one, a tail that was cut off together with its entries goes unseen.
    pub anchored: bool,
}

/// Something that nobody wrote so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An event's row was changed.
    Edited {
        /// The run.
        run: String,
        /// The event.
        seq: i64,
    },
    /// An event stands in another's place.
    Moved {
        /// The run.
        run: String,
        /// Where it stands.
        seq: i64,
        /// Where it was written.
        was: i64,
    },
    /// Events are missing.
    Missing {
        /// The run.
        run: String,
        /// The first.
        from: i64,
        /// The last.
        to: i64,
    },
    /// An event does not follow the one before it: that one was written anew.
    Unlinked {
        /// The run.
        run: String,
        /// The event.
        seq: i64,
    },
    /// The ledger knows another hash of this event: the run was written anew.
    OtherHead {
        /// The run.
        run: String,
        /// The event.
        seq: i64,
    },
    /// What lists say of a run is not what its events say.
    OtherRow {
        /// The run.
        run: String,
    },
    /// A run that the ledger has never heard of.
    Stranger {
        /// The run.
        run: String,
    },
    /// An entry of the ledger was changed.
    EntryEdited {
        /// The entry.
        seq: i64,
    },
    /// Entries of the ledger are missing, or do not follow each other.
    EntryUnlinked {
        /// The entry after the gap.
        seq: i64,
    },
    /// The ledger does not have the anchor's entry, or has another in its place.
    OffAnchor {
        /// The entry.
        seq: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edited { run, seq } => write!(f, "event {seq} of run {run} was changed after it was written"),
            Self::Moved { run, seq, was } => write!(f, "event {seq} of run {run} was written as event {was}"),
            Self::Missing { run, from, to } if from == to => write!(f, "event {from} of run {run} is missing"),
            Self::Missing { run, from, to } => write!(f, "events {from} to {to} of run {run} are missing"),
            Self::Unlinked { run, seq } => {
                write!(f, "event {seq} of run {run} does not follow the event before it: that one was written anew")
            }
            Self::OtherHead { run, seq } => {
                write!(f, "event {seq} of run {run} is not the one that the ledger knows: the run was written anew")
            }
            Self::OtherRow { run } => write!(f, "the list of runs says something else of run {run} than its events"),
            Self::Stranger { run } => write!(f, "run {run} is not in the ledger"),
            Self::EntryEdited { seq } => write!(f, "entry {seq} of the ledger was changed after it was written"),
            Self::EntryUnlinked { seq } => write!(f, "entry {seq} of the ledger does not follow the entry before it"),
            Self::OffAnchor { seq } => write!(f, "entry {seq} of the ledger is missing or another than the anchor's"),
        }
    }
}

/// Heads that somebody knows: by run and event, their hash.
type Heads = BTreeMap<(String, i64), String>;

/// The end of a run's chain; none: no such run.
pub(super) fn head(read: &Connection, run: &RunId) -> rusqlite::Result<Option<Head>> {
    use rusqlite::OptionalExtension;
    let Some((seq, hash, _)) = row_of(read, run.as_str())? else { return Ok(None) };
    let entry = read
        .prepare_cached("SELECT seq, hash FROM ledger WHERE run = ? ORDER BY seq DESC LIMIT 1")?
        .query_row([run.as_str()], |r| Ok((r.get::<_, i64>(0)?, r.get(1)?)))
        .optional()?;
    let number = |seq: i64| u64::try_from(seq).unwrap_or(0);
    let entry = entry.map(|(seq, hash)| Anchor { seq: number(seq), hash: Hash(hash) });
    Ok(Some(Head { seq: number(seq), hash: Hash(hash), entry }))
}

/// Checks what is there in one snapshot.
pub(super) fn verify(read: &Connection, only: Option<&RunId>, against: Option<&Anchor>) -> rusqlite::Result<Verdict> {
    let snapshot = read.unchecked_transaction()?;
    let mut verdict = Verdict { anchored: against.is_some(), ..Verdict::default() };
    let heads = ledger(&snapshot, against, &mut verdict)?;
    let mut known: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
    for ((run, seq), hash) in heads {
        known.entry(run).or_default().push((seq, hash));
    }
    let runs = match only {
        Some(run) => BTreeSet::from([run.as_str().to_owned()]),
        None => every_run(&snapshot, &known)?,
    };
    for run in runs {
        let heads = known.remove(&run);
        if heads.is_none() {
            verdict.faults.push(Fault::Stranger { run: run.clone() });
        }
        events(&snapshot, &run, &heads.unwrap_or_default(), &mut verdict)?;
        verdict.runs += 1;
    }
    snapshot.finish()?;
    Ok(verdict)
}

/// The runs that any table knows.
fn every_run(read: &Connection, known: &BTreeMap<String, Vec<(i64, String)>>) -> rusqlite::Result<BTreeSet<String>> {
    let mut runs: BTreeSet<String> = known.keys().cloned().collect();
    for table in ["runs", "events"] {
        let mut names = read.prepare(&format!("SELECT DISTINCT run FROM {table}"))?;
        for run in names.query_map([], |r| r.get::<_, String>(0))? {
            runs.insert(run?);
        }
    }
    Ok(runs)
}

/// Checks the ledger itself; answers with the heads that it knows.
fn ledger(read: &Connection, against: Option<&Anchor>, verdict: &mut Verdict) -> rusqlite::Result<Heads> {
    let mut heads = Heads::new();
    let (mut last, mut prev) = (0, String::new());
    let mut met = false;
    let mut rows = read.prepare("SELECT seq, run, head, hash_of_head, prev, hash FROM ledger ORDER BY seq")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let (seq, head): (i64, i64) = (row.get(0)?, row.get(2)?);
        let (run, hash_of_head, before): (String, String, String) = (row.get(1)?, row.get(3)?, row.get(4)?);
        let hash: String = row.get(5)?;
        if (Entry { seq, run: &run, head, hash_of_head: &hash_of_head, prev: &before }).hash().0 != hash {
            verdict.faults.push(Fault::EntryEdited { seq });
        } else if seq != last + 1 || before != prev {
            verdict.faults.push(Fault::EntryUnlinked { seq });
        }
        met |= against.is_some_and(|a| i64::try_from(a.seq) == Ok(seq) && a.hash.0 == hash);
        heads.insert((run, head), hash_of_head);
        verdict.entries += 1;
        (last, prev) = (seq, hash);
    }
    if let Some(anchor) = against.filter(|_| !met) {
        verdict.faults.push(Fault::OffAnchor { seq: anchor.seq });
    }
    verdict.anchor = u64::try_from(last).ok().filter(|seq| *seq > 0).map(|seq| Anchor { seq, hash: Hash(prev) });
    Ok(heads)
}

/// Checks the events of one run, against themselves, the ledger's heads and the run's row.
fn events(read: &Connection, run: &str, heads: &[(i64, String)], verdict: &mut Verdict) -> rusqlite::Result<()> {
    let mut wrong: Vec<(i64, String, String, String, String)> = Vec::new();
    let mut hashes: BTreeMap<i64, String> = BTreeMap::new();
    let (mut last, mut prev) = (0, String::new());
    let mut end = None;
    let mut rows =
        read.prepare_cached("SELECT seq, at, json, prev, hash, kind FROM events WHERE run = ? ORDER BY seq")?;
    let mut rows = rows.query([run])?;
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        let (at, json, before, hash): (String, String, String, String) =
            (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
        let kind: String = row.get(5)?;
        if seq != last + 1 {
            verdict.faults.push(Fault::Missing { run: run.to_owned(), from: last + 1, to: seq - 1 });
        }
        let told = serde_json::from_str::<serde_json::Value>(&json).ok();
        let word = told.as_ref().and_then(|t| t.get("event")).and_then(|e| e.as_str());
        if (Link { run, seq, at: &at, json: &json, prev: &before }).hash().0 != hash || word != Some(&kind) {
            wrong.push((seq, at, json, before, hash.clone()));
        } else if seq == last + 1 && before != prev && wrong.last().is_none_or(|w| w.0 != last) {
            verdict.faults.push(Fault::Unlinked { run: run.to_owned(), seq });
        }
        match kind.as_str() {
            "resumed" => end = None,
            "finished" => end = told.and_then(|t| Some(t.get("outcome")?.as_str()?.to_owned())),
            _ => {}
        }
        verdict.events += 1;
        hashes.insert(seq, hash.clone());
        (last, prev) = (seq, hash);
    }
    for (seq, at, json, before, hash) in &wrong {
        let written_as = |s: &&i64| Link { run, seq: **s, at, json, prev: before }.hash().0 == *hash;
        let was = wrong.iter().map(|w| &w.0).find(written_as).copied().filter(|was| was != seq);
        verdict.faults.push(match was {
            Some(was) => Fault::Moved { run: run.to_owned(), seq: *seq, was },
            None => Fault::Edited { run: run.to_owned(), seq: *seq },
        });
    }
    let reach = heads.iter().map(|(seq, _)| *seq).max().unwrap_or(0);
    let row = row_of(read, run)?;
    let reach = row.as_ref().map_or(reach, |r| reach.max(r.0));
    if reach > last {
        verdict.faults.push(Fault::Missing { run: run.to_owned(), from: last + 1, to: reach });
    }
    for (seq, hash) in heads {
        if hashes.get(seq).is_some_and(|h| h != hash) && !wrong.iter().any(|w| w.0 == *seq) {
            verdict.faults.push(Fault::OtherHead { run: run.to_owned(), seq: *seq });
        }
    }
    let same = row.is_some_and(|(head, hash, outcome)| head == last && hash == prev && outcome == end);
    if !same && reach <= last && wrong.is_empty() {
        verdict.faults.push(Fault::OtherRow { run: run.to_owned() });
    }
    Ok(())
}

fn row_of(read: &Connection, run: &str) -> rusqlite::Result<Option<(i64, String, Option<String>)>> {
    use rusqlite::OptionalExtension;
    read.prepare_cached("SELECT head, hash, outcome FROM runs WHERE run = ?")?
        .query_row(params![run], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
        .optional()
}
