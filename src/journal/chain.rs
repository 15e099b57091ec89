//! The chains: each event carries the hash of the one before it in its run, each entry of the ledger that of the entry
//! before it; and how a journal is checked against them.

pub use super::fault::Fault;

use super::{
    contents::Contents,
    listed::{self, Beside, Found, Listed},
    outside::{Mark, Outside},
    prune::{CHAIN, Pruned},
    seal::{self, Seal, Unsigned},
};
use crate::base::{Hash, RunId};
use rusqlite::{Connection, Row, params, types::ValueRef};
use serde_json::Value;
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
    /// Contents that were checked: runbooks, inventories, plans as they were shown.
    pub contents: usize,
    /// It knows tickets that runs were told in, and no event says which.
    pub tickets: bool,
    /// Runs that were taken out, with a record of it that the ledger bears out.
    pub pruned: usize,
    /// What is wrong; empty: every row is what was written.
    pub faults: Vec<Fault>,
    /// The ledger's last entry: keep it elsewhere, and a later check can be held against it.
    pub anchor: Option<Anchor>,
    /// Runs that should be signed and are not.
    pub unsigned: Vec<Unsigned>,
    /// It was held against an entry or an event that is known outside. Without one, a tail that was cut off together with
    /// its entries goes unseen.
    pub anchored: bool,
    /// So many anchors and events that are known outside were looked for.
    pub against: usize,
}

impl Verdict {
    /// Nothing is recorded: neither run nor entry.
    pub fn is_empty(&self) -> bool {
        self.entries == 0 && self.runs == 0
    }
}

/// The end of a run's chain; none: no such run.
pub(super) fn head(read: &Connection, run: &RunId) -> rusqlite::Result<Option<Head>> {
    use rusqlite::OptionalExtension;
    let Some((seq, hash)) = row_of(read, run.as_str())? else { return Ok(None) };
    let entry = read
        .prepare_cached("SELECT seq, hash FROM ledger WHERE run = ? ORDER BY seq DESC LIMIT 1")?
        .query_row([run.as_str()], |r| Ok((r.get::<_, i64>(0)?, r.get(1)?)))
        .optional()?;
    let entry = entry.map(|(seq, hash)| Anchor { seq: number(seq), hash: Hash(hash) });
    Ok(Some(Head { seq: number(seq), hash: Hash(hash), entry }))
}

/// The ledger's entry of a run's event, if it has one.
pub(super) fn entry_of(read: &Connection, run: &RunId, seq: u64) -> rusqlite::Result<Option<Anchor>> {
    use rusqlite::OptionalExtension;
    let head = i64::try_from(seq).unwrap_or(i64::MAX);
    read.prepare_cached("SELECT seq, hash FROM ledger WHERE run = ? AND head = ?")?
        .query_row(params![run.as_str(), head], |r| Ok(Anchor { seq: number(r.get(0)?), hash: Hash(r.get(1)?) }))
        .optional()
}

fn number(seq: i64) -> u64 {
    u64::try_from(seq).unwrap_or(0)
}

/// Checks what is there in one snapshot, a run at a time; `told` hears how many of how many are done. Of one run alone, only
/// the part of the ledger from its first entry on is checked.
pub(super) fn verify(
    read: &Connection,
    only: Option<&RunId>,
    against: &Outside,
    told: &mut dyn FnMut(usize, usize),
) -> rusqlite::Result<Verdict> {
    let snapshot = read.unchecked_transaction()?;
    let mut marks: BTreeMap<&str, Vec<&Mark>> = BTreeMap::new();
    for mark in against.marks.iter().filter(|m| only.is_none_or(|run| *run == m.run)) {
        marks.entry(mark.run.as_str()).or_default().push(mark);
    }
    let held = against.anchors.len() + marks.values().map(Vec::len).sum::<usize>();
    let mut verdict = Verdict { anchored: held > 0, against: held, ..Verdict::default() };
    ledger(&snapshot, (only, &against.anchors), &mut verdict)?;
    seals(&snapshot, only, &mut verdict)?;
    verdict.unsigned = seal::unsigned(&snapshot, only)?;
    let runs = match only {
        Some(run) => vec![run.as_str().to_owned()],
        None => every_run(&snapshot)?,
    };
    let gone = if only.is_none() { pruned(&snapshot, &mut verdict)? } else { BTreeSet::new() };
    verdict.tickets =
        snapshot.prepare("SELECT 1 FROM tickets WHERE ?1 IS NULL OR run = ?1")?.exists([only.map(RunId::as_str)])?;
    let found = if only.is_none() { Some(Found::of(&snapshot)?) } else { None };
    let mut contents = Contents::default();
    for (done, run) in runs.iter().enumerate() {
        told(done, runs.len());
        let marks = marks.remove(run.as_str()).unwrap_or_default();
        let heads = heads_of(&snapshot, run)?;
        if run.parse().is_ok_and(|run: RunId| gone.contains(&run.millis())) {
            taken_out(run, (&heads, &marks), &mut verdict);
            continue;
        }
        if heads.is_empty() {
            verdict.faults.push(Fault::Stranger { run: run.clone() });
        }
        let before = verdict.faults.len();
        let beside = events(&snapshot, run, (&heads, &marks), &mut verdict)?;
        // what events say that are not what was written proves nothing
        if verdict.faults.len() == before && run != CHAIN {
            if let Some(found) = &found {
                verdict.faults.extend(found.check(&snapshot, run, &beside)?);
            }
            verdict.faults.extend(contents.check(&snapshot, run, &beside)?);
        }
        verdict.runs += usize::from(run != CHAIN);
    }
    if only.is_none() {
        verdict.faults.extend(listed::payments(&snapshot, &gone)?);
    }
    verdict.contents = contents.checked();
    for (run, marks) in marks {
        let seq = marks.iter().map(|m| m.seq).max().unwrap_or(0);
        verdict.faults.push(Fault::Gone { run: run.to_owned(), seq });
    }
    snapshot.finish()?;
    Ok(verdict)
}

/// Whether the events of a run are what was written, as far as the run and the ledger's entries for it can tell.
pub(super) fn is_sound(read: &Connection, run: &str) -> rusqlite::Result<bool> {
    let mut verdict = Verdict::default();
    let _beside = events(read, run, (&heads_of(read, run)?, &[]), &mut verdict)?;
    Ok(verdict.faults.is_empty())
}

/// Adds an entry to the ledger: a run's head.
pub(super) fn enter(write: &Connection, run: &str, head: i64, hash: &str) -> rusqlite::Result<()> {
    use rusqlite::OptionalExtension;
    let last = write
        .prepare_cached("SELECT seq, hash FROM ledger ORDER BY seq DESC LIMIT 1")?
        .query_row([], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, String>(1)?)))
        .optional()?;
    let (seq, prev) = last.unwrap_or_default();
    let entry = Entry { seq: seq + 1, run, head, hash_of_head: hash, prev: &prev };
    write
        .prepare_cached("INSERT INTO ledger (seq, run, head, hash_of_head, prev, hash) VALUES (?, ?, ?, ?, ?, ?)")?
        .execute(params![entry.seq, run, head, hash, prev, entry.hash().0])
        .map(drop)
}

/// The runs that any table knows.
fn every_run(read: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT run FROM ledger UNION SELECT run FROM runs UNION SELECT run FROM events ORDER BY 1";
    read.prepare(sql)?.query_map([], |r| text(r, 0))?.collect()
}

/// What the ledger knows of a run: by event, its hash.
fn heads_of(read: &Connection, run: &str) -> rusqlite::Result<Vec<(i64, String)>> {
    read.prepare_cached("SELECT head, hash_of_head FROM ledger WHERE run = ? ORDER BY seq")?
        .query_map([run], |r| Ok((r.get(0)?, text(r, 1)?)))?
        .collect()
}

/// Reads the chain of prunings, whose own links are checked with those of the runs: what each record says of a run must be
/// what the ledger said of it last, and nothing of the run may be left. Answers with the runs that are gone rightly.
fn pruned(read: &Connection, verdict: &mut Verdict) -> rusqlite::Result<BTreeSet<u64>> {
    let mut gone = BTreeSet::new();
    let mut last = read.prepare(
        "SELECT head, hash_of_head, seq < (SELECT seq FROM ledger WHERE run = ?2 AND head = ?3) FROM ledger
         WHERE run = ?1 ORDER BY seq DESC LIMIT 1",
    )?;
    let mut left =
        read.prepare("SELECT 1 FROM runs WHERE run = ?1 UNION ALL SELECT 1 FROM events WHERE run = ?1 LIMIT 1")?;
    let mut rows = read.prepare("SELECT seq, json FROM events WHERE run = ? ORDER BY seq")?;
    let mut rows = rows.query([CHAIN])?;
    while let Some(row) = rows.next()? {
        let (seq, json): (i64, String) = (row.get(0)?, text(row, 1)?);
        // a record that cannot be read vouches for nothing: what it took out is missing
        let Ok(record) = serde_json::from_str::<Pruned>(&json) else { continue };
        for (run, head, hash) in record.runs {
            let mut said = last.query(params![run.as_str(), CHAIN, seq])?;
            let told = match said.next()? {
                Some(r) => {
                    let (known, known_hash, before): (i64, String, Option<bool>) = (r.get(0)?, text(r, 1)?, r.get(2)?);
                    (number(known), known_hash) == (head, hash.0) && before == Some(true)
                }
                None => false,
            };
            if !told {
                verdict.faults.push(Fault::OffPruning { run: run.to_string(), seq });
            } else if left.exists([run.as_str()])? {
                verdict.faults.push(Fault::NotPruned { run: run.to_string(), seq });
            } else if gone.insert(run.millis()) {
                verdict.pruned += 1;
            }
        }
    }
    Ok(gone)
}

/// Of a run that was taken out, what is known elsewhere can be held against what the ledger has kept of it.
fn taken_out(run: &str, (heads, marks): (&[(i64, String)], &[&Mark]), verdict: &mut Verdict) {
    for mark in marks {
        let kept = heads.iter().find(|(seq, _)| number(*seq) == mark.seq);
        if kept.is_some_and(|(_, hash)| *hash != mark.hash.0) {
            verdict.faults.push(Fault::OffMark { run: run.to_owned(), seq: mark.seq });
        }
    }
}

/// Checks the ledger itself: all of it, or from the first entry that concerns one run or an anchor.
fn ledger(
    read: &Connection,
    (only, against): (Option<&RunId>, &[Anchor]),
    verdict: &mut Verdict,
) -> rusqlite::Result<()> {
    // an entry may be known with two hashes: then one of them is not met
    let mut sought: BTreeMap<i64, Vec<&Hash>> = BTreeMap::new();
    for anchor in against {
        sought.entry(i64::try_from(anchor.seq).unwrap_or(i64::MAX)).or_default().push(&anchor.hash);
    }
    let first: Option<i64> = match only {
        None => None,
        Some(run) => read
            .prepare_cached("SELECT min(seq) FROM ledger WHERE run = ?")?
            .query_row([run.as_str()], |r| r.get::<_, Option<i64>>(0))?,
    };
    let from = first.map_or(1, |first| sought.keys().next().map_or(first, |anchor| first.min(*anchor)));
    let before = read
        .prepare_cached("SELECT seq, hash FROM ledger WHERE seq < ? ORDER BY seq DESC LIMIT 1")?
        .query_row([from], |r| Ok((r.get(0)?, r.get(1)?)));
    let (mut last, mut prev): (i64, String) = match before {
        Err(rusqlite::Error::QueryReturnedNoRows) => (0, String::new()),
        other => other?,
    };
    let mut rows =
        read.prepare("SELECT seq, run, head, hash_of_head, prev, hash FROM ledger WHERE seq >= ? ORDER BY seq")?;
    let mut rows = rows.query([from])?;
    while let Some(row) = rows.next()? {
        let (seq, head): (i64, i64) = (row.get(0)?, row.get(2)?);
        let (run, hash_of_head, before, hash) = (text(row, 1)?, text(row, 3)?, text(row, 4)?, text(row, 5)?);
        if (Entry { seq, run: &run, head, hash_of_head: &hash_of_head, prev: &before }).hash().0 != hash {
            verdict.faults.push(Fault::EntryEdited { seq });
        } else if seq != last + 1 || before != prev {
            verdict.faults.push(Fault::EntryUnlinked { seq });
        }
        if let Some(known) = sought.get_mut(&seq) {
            known.retain(|known| known.0 != hash);
        }
        verdict.entries += 1;
        (last, prev) = (seq, hash);
    }
    sought.retain(|_, known| !known.is_empty());
    verdict.faults.extend(sought.into_keys().map(|seq| Fault::OffAnchor { seq: number(seq) }));
    verdict.anchor = u64::try_from(last).ok().filter(|seq| *seq > 0).map(|seq| Anchor { seq, hash: Hash(prev) });
    Ok(())
}

/// Checks the seals against the ledger: whose signatures they are is another question.
fn seals(read: &Connection, only: Option<&RunId>, verdict: &mut Verdict) -> rusqlite::Result<()> {
    let mut entry = read.prepare_cached("SELECT 1 FROM ledger WHERE seq = ? AND hash = ?")?;
    for seal in seal::all(read, only)? {
        let (run, seq) = (seal.run.to_string(), seal.entry.seq);
        let stated = Seal::stated(&seal.statement);
        if stated.is_none_or(|stated| stated != (seal.run, seal.entry.clone(), seal.at)) {
            verdict.faults.push(Fault::SealEdited { run: run.clone(), seq });
        }
        if !entry.exists(params![i64::try_from(seq).unwrap_or(i64::MAX), seal.entry.hash.0])? {
            verdict.faults.push(Fault::OffSeal { run, seq });
        }
    }
    Ok(())
}

/// Checks the events of one run, against themselves, the ledger's heads, what is known outside and the run's row.
fn events(
    read: &Connection,
    run: &str,
    (heads, marks): (&[(i64, String)], &[&Mark]),
    verdict: &mut Verdict,
) -> rusqlite::Result<Beside> {
    let mut wrong: Vec<(i64, String, String, String, String)> = Vec::new();
    let mut hashes: BTreeMap<i64, String> = BTreeMap::new();
    let (mut last, mut prev) = (0, String::new());
    let (mut listed, mut beside) = (Listed::default(), Beside::default());
    let mut rows =
        read.prepare_cached("SELECT seq, at, json, prev, hash, kind FROM events WHERE run = ? ORDER BY seq")?;
    let mut rows = rows.query([run])?;
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        let (at, json, before, hash) = (text(row, 1)?, text(row, 2)?, text(row, 3)?, text(row, 4)?);
        let kind = text(row, 5)?;
        if seq != last + 1 {
            verdict.faults.push(Fault::Missing { run: run.to_owned(), from: last + 1, to: seq - 1 });
        }
        let told = serde_json::from_str::<Value>(&json).ok();
        listed.apply(&kind, (seq, &at), told.as_ref());
        beside.apply(&kind, told.as_ref());
        let word = told.as_ref().and_then(|t| t.get("event")).and_then(|e| e.as_str());
        if (Link { run, seq, at: &at, json: &json, prev: &before }).hash().0 != hash || word != Some(&kind) {
            wrong.push((seq, at, json, before, hash.clone()));
        } else if seq == last + 1 && before != prev && wrong.last().is_none_or(|w| w.0 != last) {
            verdict.faults.push(Fault::Unlinked { run: run.to_owned(), seq });
        }
        verdict.events += 1;
        if heads.iter().any(|(head, _)| *head == seq) || marks.iter().any(|mark| number(seq) == mark.seq) {
            hashes.insert(seq, hash.clone());
        }
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
    for mark in marks {
        let there = i64::try_from(mark.seq).ok().and_then(|seq| hashes.get(&seq));
        if there.is_none_or(|hash| *hash != mark.hash.0) {
            verdict.faults.push(Fault::OffMark { run: run.to_owned(), seq: mark.seq });
        }
    }
    let same = match row {
        Some((head, hash)) => {
            head == last && hash == prev && Listed::of_row(read, run)? == Some(listed) && beside.owes(read, run)?
        }
        None => run == CHAIN,
    };
    if !same && reach <= last && wrong.is_empty() {
        verdict.faults.push(Fault::OtherRow { run: run.to_owned() });
    }
    Ok(beside)
}

/// The end of a run by its row: its last event, that one's hash.
fn row_of(read: &Connection, run: &str) -> rusqlite::Result<Option<(i64, String)>> {
    use rusqlite::OptionalExtension;
    read.prepare_cached("SELECT head, hash FROM runs WHERE run = ?")?
        .query_row([run], |r| Ok((r.get(0)?, text(r, 1)?)))
        .optional()
}

/// A column as far as it is text: a byte that was flipped must be a fault of its row, not the end of the check.
pub(super) fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
    })
}
