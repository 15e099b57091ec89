//! Seals: heads that somebody has signed, or should have.

use super::chain::Anchor;
use crate::base::{Hash, RunId};
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
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
    /// Runs whose signature could not be made, and why.
    pub missing: Vec<(RunId, String)>,
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
