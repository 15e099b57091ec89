//! A bundle is written in two passes over one snapshot: the first measures the parts for the manifest, the second writes
//! them. So neither a large run nor a large ledger is ever held in memory.

use super::{
    EVENTS, EventRow, INVENTORY, LEDGER, LedgerRow, MANIFEST, Manifest, PARTS, Part, REPORT, RUNBOOK, SEALS, SHOWN,
    SUMS, SealRow, VERSION, tar::Archive,
};
use crate::{
    base::{Hash, RunId, hash::Hasher},
    journal::{
        Journal as _, JournalError, SqliteJournal,
        event::Header,
        schema,
        seal::{self, Seal},
    },
};
use rusqlite::{Connection, params};
use serde::Serialize;
use std::io::{self, Write};

/// What the journal alone does not know.
#[derive(Clone, Debug)]
pub struct Extra {
    /// The time zone of the report.
    pub zone: String,
    /// The run's ticket.
    pub ticket: Option<String>,
    /// Debts that later runs have paid.
    pub paid: Vec<String>,
    /// The report, made of the run's events up to this one.
    pub report: (Vec<u8>, u64),
}

/// Why a bundle could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Where it was to be written.
    #[error(transparent)]
    Place(#[from] io::Error),
    /// The run has other events than its report.
    #[error("run {0} went on while its bundle was made")]
    WentOn(RunId),
}

/// Writes the bundle of a run; answers with its hash.
///
/// # Errors
/// No such run, the journal cannot be read, the bundle cannot be written, or the run went on meanwhile.
pub fn write(journal: &SqliteJournal, run: &RunId, extra: &Extra, to: impl Write) -> Result<Hash, WriteError> {
    let read = schema::reader(journal.path())?;
    let store = schema::failed(journal.path());
    let snapshot = read.unchecked_transaction().map_err(&store)?;
    let source = Source { read: &snapshot, journal, run, header: journal.header(run)?, report: &extra.report.0 };
    let (head, hash): (i64, String) = snapshot
        .query_row("SELECT head, hash FROM runs WHERE run = ?", [run.as_str()], |r| Ok((r.get(0)?, r.get(1)?)))
        .map_err(&store)?;
    let head = u64::try_from(head).unwrap_or(0);
    if head != extra.report.1 {
        return Err(WriteError::WentOn(run.clone()));
    }
    let mut parts = Vec::new();
    for (name, _) in PARTS {
        let mut meter = Meter::default();
        if source.write(name, &mut meter)? {
            parts.push(Part { name: name.to_owned(), bytes: meter.bytes, sha256: meter.all.hash() });
        }
    }
    let manifest = Manifest {
        svcops_bundle: VERSION,
        run: run.clone(),
        project: source.header.project.clone(),
        made_by: env!("CARGO_PKG_VERSION").to_owned(),
        zone: extra.zone.clone(),
        ticket: extra.ticket.clone(),
        paid: extra.paid.clone(),
        head,
        hash: Hash(hash),
        parts,
    };
    let text = serde_json::to_vec_pretty(&manifest).map_err(io::Error::from)?;
    let mut archive = Archive::new(to);
    archive.part(MANIFEST, text.len() as u64, |to| to.write_all(&text).map_err(WriteError::from))?;
    for part in &manifest.parts {
        archive.part(&part.name, part.bytes, |to| source.write(&part.name, to).map(drop))?;
    }
    let sums = super::sums(&Hash::of(&text), &archive.hash());
    archive.part(SUMS, sums.len() as u64, |to| to.write_all(sums.as_bytes()).map_err(WriteError::from))?;
    let hash = archive.hash();
    archive.end()?.flush()?;
    Ok(hash)
}

struct Source<'a> {
    read: &'a Connection,
    journal: &'a SqliteJournal,
    run: &'a RunId,
    header: Header,
    report: &'a [u8],
}

impl Source<'_> {
    /// Writes a part; false: the run has none of it.
    fn write(&self, name: &str, to: &mut dyn Write) -> Result<bool, WriteError> {
        match name {
            LEDGER => self.ledger(to)?,
            EVENTS => self.events(to)?,
            SEALS => self.seals(to)?,
            RUNBOOK => to.write_all(&self.journal.get(&self.header.runbook_hash)?)?,
            INVENTORY => to.write_all(&self.journal.get(&self.header.inventory_hash)?)?,
            SHOWN => match &self.header.shown {
                Some(hash) => to.write_all(&self.journal.get(hash)?)?,
                None => return Ok(false),
            },
            REPORT => to.write_all(self.report)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// From the run's first entry to the last of all: so the run can be held against any anchor that is younger than it.
    fn ledger(&self, to: &mut dyn Write) -> Result<(), WriteError> {
        let sql = "SELECT seq, run, head, hash_of_head, prev, hash FROM ledger
                   WHERE seq >= (SELECT min(seq) FROM ledger WHERE run = ?) ORDER BY seq";
        self.lines(sql, to, |r| {
            Ok(LedgerRow {
                seq: r.get(0)?,
                run: r.get(1)?,
                head: r.get(2)?,
                hash_of_head: r.get(3)?,
                prev: r.get(4)?,
                hash: r.get(5)?,
            })
        })
    }

    fn events(&self, to: &mut dyn Write) -> Result<(), WriteError> {
        self.lines("SELECT seq, at, json, prev, hash FROM events WHERE run = ? ORDER BY seq", to, |r| {
            Ok(EventRow { seq: r.get(0)?, at: r.get(1)?, json: r.get(2)?, prev: r.get(3)?, hash: r.get(4)? })
        })
    }

    fn seals(&self, to: &mut dyn Write) -> Result<(), WriteError> {
        let all = seal::all(self.read, Some(self.run)).map_err(schema::failed(self.journal.path()))?;
        for Seal { entry, at, statement, signature, .. } in all {
            let (signature, why) = match signature {
                Ok(signature) => (Some(signature), None),
                Err(why) => (None, Some(why)),
            };
            line(to, &SealRow { entry: entry.to_string(), at: at.to_string(), statement, signature, why })?;
        }
        Ok(())
    }

    fn lines<T: Serialize>(
        &self,
        sql: &str,
        to: &mut dyn Write,
        row: impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<(), WriteError> {
        let store = schema::failed(self.journal.path());
        let mut rows = self.read.prepare_cached(sql).map_err(&store)?;
        let mut rows = rows.query(params![self.run.as_str()]).map_err(&store)?;
        while let Some(found) = rows.next().map_err(&store)? {
            line(to, &row(found).map_err(&store)?)?;
        }
        Ok(())
    }
}

fn line(to: &mut dyn Write, row: &impl Serialize) -> Result<(), io::Error> {
    let mut text = serde_json::to_vec(row)?;
    text.push(b'\n');
    to.write_all(&text)
}

/// Counts and hashes what would be written.
#[derive(Default)]
struct Meter {
    bytes: u64,
    all: Hasher,
}

impl Write for Meter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len() as u64;
        self.all.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
