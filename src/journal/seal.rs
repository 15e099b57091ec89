//! Seals: heads that somebody has signed, or should have.

use super::chain::Anchor;
use crate::base::{Hash, RunId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;
use std::collections::BTreeMap;

/// An entry of the ledger that was to be signed. The statement is what was signed to the letter, so that a seal can be
/// checked without the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The run whose head the entry is.
    pub run: RunId,
    /// The entry.
    pub entry: Anchor,
    /// When it was signed.
    pub at: Timestamp,
    /// What was signed.
    pub statement: String,
    /// The armoured signature, or why there is none.
    pub signature: Result<String, String>,
}

/// Whose signatures seals bear, as far as they are good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signatures {
    /// By signer: how many heads, and the last of them.
    pub by: BTreeMap<String, (usize, Anchor)>,
    /// So many older ones were not looked at.
    pub passed_over: usize,
}

impl Signatures {
    /// One more good signature.
    pub fn signed(&mut self, who: &str, seal: &Seal) {
        let (heads, last) = self.by.entry(who.to_owned()).or_insert_with(|| (0, seal.entry.clone()));
        *heads += 1;
        if seal.entry.seq > last.seq {
            *last = seal.entry.clone();
        }
    }
}

/// A run that is over and bears no signature though its project asked for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unsigned {
    /// The run.
    pub run: RunId,
    /// Why, as far as svcops said so then; none: it was ended before it signed, or somebody took the signature away.
    pub why: Option<String>,
}

/// Whether an inventory as it was recorded asks for signatures.
pub(super) fn asked(inventory: &[u8]) -> bool {
    let value: Option<serde_json::Value> = serde_json::from_slice(inventory).ok();
    value.is_some_and(|value| value.pointer("/evidence/sign").is_some_and(|sign| !sign.is_null()))
}

/// Runs that are over without a signature of their last entry, though the inventory that they went by asked for one.
pub(super) fn unsigned(read: &Connection, only: Option<&RunId>) -> rusqlite::Result<Vec<Unsigned>> {
    let mut asks: BTreeMap<String, bool> = BTreeMap::new();
    let mut content = read.prepare_cached("SELECT bytes FROM contents WHERE hash = ?")?;
    let mut rows = read.prepare_cached(
        "SELECT r.run, e.json ->> '$.inventory_hash',
           (SELECT why FROM seals s WHERE s.run = r.run ORDER BY id DESC LIMIT 1)
         FROM runs r JOIN events e ON e.run = r.run AND e.seq = 1 AND json_valid(e.json)
         WHERE r.ended IS NOT NULL AND (?1 IS NULL OR r.run = ?1) AND NOT EXISTS (
           SELECT 1 FROM seals s WHERE s.run = r.run AND s.signature IS NOT NULL
           AND s.entry = (SELECT max(l.seq) FROM ledger l WHERE l.run = r.run)) ORDER BY r.run",
    )?;
    let mut rows = rows.query([only.map(RunId::as_str)])?;
    let mut unsigned = Vec::new();
    while let Some(row) = rows.next()? {
        let inventory: String = row.get::<_, Option<String>>(1)?.unwrap_or_default();
        if !asks.contains_key(&inventory) {
            let bytes: Option<Vec<u8>> = content.query_row([&inventory], |r| r.get(0)).optional()?;
            asks.insert(inventory.clone(), bytes.is_some_and(|bytes| asked(&bytes)));
        }
        if asks.get(&inventory) == Some(&true) {
            // a row whose id cannot be read is a fault of the list
            let Ok(run) = row.get::<_, String>(0)?.parse() else { continue };
            unsigned.push(Unsigned { run, why: row.get(2)? });
        }
    }
    Ok(unsigned)
}

/// The first line of every statement.
const TITLE: &str = "svcops seal 1";

impl Seal {
    /// What is signed of a run's head: enough to know what it is about without the journal.
    pub fn statement(project: &str, run: &RunId, head: u64, entry: &Anchor, at: Timestamp) -> String {
        // one line a field, whatever a project is called
        let project: String = project.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("{TITLE}\nproject {project}\nrun {run}\nhead {head}\nentry {entry}\nat {at}\n")
    }

    /// The entry and the time that a statement names; none: it is no statement.
    pub fn stated(statement: &str) -> Option<(RunId, Anchor, Timestamp)> {
        let mut lines = statement.lines();
        let title = lines.next();
        let mut field = |name| lines.next().and_then(|line: &str| line.strip_prefix(name)?.strip_prefix(' '));
        let (_project, run, head) = (field("project")?, field("run")?, field("head")?);
        let (entry, at) = (field("entry")?, field("at")?);
        head.parse::<u64>().ok()?;
        let whole = title == Some(TITLE) && lines.next().is_none();
        if whole { Some((run.parse().ok()?, entry.parse().ok()?, at.parse().ok()?)) } else { None }
    }
}

/// The seals of a run, or of all, in the order in which they were made.
pub(super) fn all(read: &Connection, run: Option<&RunId>) -> rusqlite::Result<Vec<Seal>> {
    let filter = if run.is_some() { "WHERE run = ?1" } else { "WHERE ?1 IS NULL" };
    let sql = format!("SELECT run, entry, hash, at, statement, signature, why FROM seals {filter} ORDER BY id");
    read.prepare_cached(&sql)?.query_map(params![run.map(RunId::as_str)], seal)?.collect()
}

fn seal(r: &Row<'_>) -> rusqlite::Result<Seal> {
    let (signature, why): (Option<String>, Option<String>) = (r.get(5)?, r.get(6)?);
    Ok(Seal {
        run: super::sqlite::parsed(r, 0)?,
        entry: Anchor { seq: u64::try_from(r.get::<_, i64>(1)?).unwrap_or(0), hash: Hash(r.get(2)?) },
        at: super::sqlite::parsed(r, 3)?,
        statement: r.get(4)?,
        signature: signature.ok_or_else(|| why.unwrap_or_default()),
    })
}

/// Keeps a seal.
pub(super) fn keep(write: &Connection, seal: &Seal) -> rusqlite::Result<()> {
    let (signature, why) = match &seal.signature {
        Ok(signature) => (Some(signature), None),
        Err(why) => (None, Some(why)),
    };
    let entry = i64::try_from(seal.entry.seq).unwrap_or(i64::MAX);
    write
        .prepare_cached(
            "INSERT INTO seals (run, entry, hash, at, statement, signature, why) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            seal.run.as_str(),
            entry,
            seal.entry.hash.0,
            seal.at.to_string(),
            seal.statement,
            signature,
            why
        ])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_says_what_it_vouches_for() {
        let (run, at) = (RunId::at_millis(1_795_000_000_000), Timestamp::UNIX_EPOCH);
        let entry = Anchor { seq: 7, hash: Hash::of(b"x") };
        let text = Seal::statement("биллинг\nentry 9", &run, 12, &entry, at);
        assert_eq!(Seal::stated(&text), Some((run, entry, at)));
        assert_eq!(Seal::stated("svcops seal 2\n"), None);
        assert_eq!(Seal::stated(&text.replace("run ", "ran ")), None);
        assert_eq!(Seal::stated(&(text + "entry 9\n")), None);
    }
}
