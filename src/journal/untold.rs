//! How far runs were told to the machine's log. A row is there from the transaction in which a run begins until the run is over
//! and all of it was told: so a process that is killed in between leaves something to go by.

use super::{
    JournalError, SqliteJournal,
    chain::Anchor,
    event::Record,
    prune::CHAIN,
    schema,
    sqlite::{limit, record},
    writer::{Ask, Mark},
};
use crate::base::{Hash, RunId};
use rusqlite::{Connection, params};

/// An event as the machine's log is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The event.
    pub record: Record,
    /// Its hash.
    pub hash: Hash,
    /// The ledger's entry of it, if there is one.
    pub anchor: Option<Anchor>,
}

/// A record of a pruning as the machine's log is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct PrunedRow {
    /// Its number in the chain of prunings.
    pub seq: u64,
    /// When.
    pub at: jiff::Timestamp,
    /// The ledger's entry of it.
    pub anchor: Option<Anchor>,
    /// Who, on which machine.
    pub by: (String, String),
    /// Why.
    pub reason: String,
    /// The runs: so many, the first, the last.
    pub runs: (usize, Option<RunId>, Option<RunId>),
}

impl SqliteJournal {
    /// From its next event on, a run is to be told to the machine's log.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn audit_run(&self, run: &RunId) -> Result<(), JournalError> {
        self.ask_and_wait(Ask::Mark(Mark::Audited(run.clone()))).map(drop)
    }

    /// The last event of a run that was told; none: it is not to be told, or all of it was.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn told_of(&self, run: &RunId) -> Result<Option<u64>, JournalError> {
        Ok(self.untold()?.into_iter().find(|(untold, _)| untold == run).map(|(_, told)| told))
    }

    /// Runs that are to be told, each with the last event that was.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn untold(&self) -> Result<Vec<(RunId, u64)>, JournalError> {
        let read = self.connection();
        read.prepare_cached("SELECT run, told FROM untold WHERE run <> ? ORDER BY run")
            .and_then(|mut q| {
                q.query_map([CHAIN], |r| Ok((super::sqlite::parsed(r, 0)?, number(r.get(1)?))))?.collect()
            })
            .map_err(schema::failed(self.path()))
    }

    /// A run was told up to this event.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn told(&self, run: &RunId, seq: u64) -> Result<(), JournalError> {
        self.ask_and_wait(Ask::Mark(Mark::Told(run.to_string(), seq))).map(drop)
    }

    /// At most so many events of a run after the `after`-th.
    ///
    /// # Errors
    /// The store cannot be read, or a row does not parse.
    pub fn rows_after(&self, run: &RunId, after: u64, most: usize) -> Result<Vec<Row>, JournalError> {
        type Found = (i64, String, String, String, Option<i64>, Option<String>);
        let rows: Vec<Found> = {
            let read = self.connection();
            read.prepare_cached(
                "SELECT e.seq, e.at, e.json, e.hash, l.seq, l.hash FROM events e
                 LEFT JOIN ledger l ON l.run = e.run AND l.head = e.seq
                 WHERE e.run = ? AND e.seq > ? ORDER BY e.seq LIMIT ?",
            )
            .and_then(|mut q| {
                let (after, most) = (i64::try_from(after).unwrap_or(i64::MAX), limit(most));
                q.query_map(params![run.as_str(), after, most], |r| {
                    Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?))
                })?
                .collect()
            })
            .map_err(schema::failed(self.path()))?
        };
        rows.into_iter()
            .map(|(seq, at, json, hash, entry, known)| {
                let record = record(run, seq, &at, &json)?;
                Ok(Row { record, hash: Hash(hash), anchor: anchor(entry, known) })
            })
            .collect()
    }

    /// Records of prunings that are to be told.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn untold_prunings(&self) -> Result<Vec<PrunedRow>, JournalError> {
        let read = self.connection();
        read.prepare_cached(
            "SELECT e.seq, e.at, l.seq, l.hash, e.json ->> '$.operator.name', e.json ->> '$.operator.machine',
             e.json ->> '$.reason', e.json ->> '$.count', e.json ->> '$.runs[0][0]', e.json ->> '$.runs[#-1][0]'
             FROM untold u JOIN events e ON e.run = u.run AND e.seq > u.told AND json_valid(e.json)
             LEFT JOIN ledger l ON l.run = e.run AND l.head = e.seq WHERE u.run = ? ORDER BY e.seq",
        )
        .and_then(|mut q| {
            let text = |r: &rusqlite::Row<'_>, at| r.get::<_, Option<String>>(at).map(Option::unwrap_or_default);
            q.query_map([CHAIN], |r| {
                let run = |at| text(r, at).map(|run| run.parse::<RunId>().ok());
                let count: Option<i64> = r.get(7)?;
                Ok(PrunedRow {
                    seq: number(r.get(0)?),
                    at: super::sqlite::parsed(r, 1)?,
                    anchor: anchor(r.get(2)?, r.get(3)?),
                    by: (text(r, 4)?, text(r, 5)?),
                    reason: text(r, 6)?,
                    runs: (usize::try_from(count.unwrap_or(0)).unwrap_or(0), run(8)?, run(9)?),
                })
            })?
            .collect()
        })
        .map_err(schema::failed(self.path()))
    }

    /// Prunings were told up to this record.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn told_prunings(&self, seq: u64) -> Result<(), JournalError> {
        self.ask_and_wait(Ask::Mark(Mark::Told(CHAIN.to_owned(), seq))).map(drop)
    }

    /// So many events are still to be told.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn untold_events(&self) -> Result<usize, JournalError> {
        let read = self.connection();
        let sum = "SELECT coalesce(sum((SELECT max(seq) FROM events e WHERE e.run = u.run) - told), 0) FROM untold u";
        read.prepare_cached(sum)
            .and_then(|mut q| q.query_row([], |r| Ok(usize::try_from(r.get::<_, i64>(0)?).unwrap_or(0))))
            .map_err(schema::failed(self.path()))
    }
}

/// A run is to be told from its next event on, if it is not to be already.
pub(super) fn audited(write: &Connection, run: &str) -> rusqlite::Result<()> {
    write
        .prepare_cached(
            "INSERT INTO untold (run, told) SELECT ?1, coalesce(max(seq), 0) FROM events WHERE run = ?1
             ON CONFLICT (run) DO NOTHING",
        )?
        .execute([run])
        .map(drop)
}

/// A run was told up to an event. Another process may have told more.
pub(super) fn told(write: &Connection, run: &str, seq: u64) -> rusqlite::Result<()> {
    let seq = i64::try_from(seq).unwrap_or(i64::MAX);
    write.prepare_cached("UPDATE untold SET told = max(told, ?) WHERE run = ?")?.execute(params![seq, run])?;
    write
        .prepare_cached(
            "DELETE FROM untold WHERE run = ?1 AND told >= (SELECT coalesce(max(seq), 0) FROM events WHERE run = ?1)
             AND NOT EXISTS (SELECT 1 FROM runs WHERE run = ?1 AND ended IS NULL)",
        )?
        .execute([run])
        .map(drop)
}

fn anchor(entry: Option<i64>, hash: Option<String>) -> Option<Anchor> {
    Some(Anchor { seq: number(entry?), hash: Hash(hash?) })
}

fn number(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
