//! The journal as an SQLite database: one thread writes, readers have connections of their own, and several processes
//! may use the same file at once.

use super::{
    Journal, JournalError, OpenRun, RunRow,
    chain::{self, Anchor, Head, Verdict},
    event::{End, Event, Header, Record},
    outbox::{Outbox, TicketOf, Undelivered, Waiting},
    outside::Outside,
    schema,
    seal::{self, Seal},
    state::RunState,
    writer::{Answer, Ask, Mark, Writer},
};
use crate::base::{Hash, RunId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::{
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// The file's name in a state directory.
pub const FILE: &str = "journal.db";

/// The journal of a state directory.
pub struct SqliteJournal {
    path: PathBuf,
    reader: Mutex<Connection>,
    writer: Option<Writer>,
    /// Runs that begin are to be told to the machine's log.
    audits: AtomicBool,
}

impl SqliteJournal {
    /// Opens the journal of a state directory, and makes it where there is none yet.
    ///
    /// # Errors
    /// It cannot be written, or a later svcops wrote it.
    pub fn open(state: &Path) -> Result<Self, JournalError> {
        let path = state.join(FILE);
        let writer = Writer::start(schema::prepare(&path)?, &path)?;
        Ok(Self {
            reader: Mutex::new(schema::reader(&path)?),
            writer: Some(writer),
            path,
            audits: AtomicBool::default(),
        })
    }

    /// Opens a journal that is there, for reading only.
    ///
    /// # Errors
    /// It is not there, cannot be read, or a later svcops wrote it.
    pub fn read(state: &Path) -> Result<Self, JournalError> {
        let path = state.join(FILE);
        Ok(Self { reader: Mutex::new(schema::reader(&path)?), writer: None, path, audits: AtomicBool::default() })
    }

    /// From here on, runs that begin are to be told to the machine's log, and what is pruned.
    pub fn audit(&self) {
        self.audits.store(true, Ordering::Relaxed);
    }

    pub(super) fn audits(&self) -> bool {
        self.audits.load(Ordering::Relaxed)
    }

    /// Whether a journal is there that this process may read and not write: its folder or its disk allows no more.
    pub fn is_only_read(state: &Path) -> bool {
        use rustix::fs::{Access, access};
        let path = state.join(FILE);
        let may = |path: &Path, what| access(path, what).is_ok();
        may(&path, Access::READ_OK) && !(may(&path, Access::WRITE_OK) && may(state, Access::WRITE_OK | Access::EXEC_OK))
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The row of one run.
    ///
    /// # Errors
    /// No such run, or the store cannot be read.
    pub fn row(&self, run: &RunId) -> Result<RunRow, JournalError> {
        let read = self.connection();
        read.prepare_cached(&format!("SELECT {ROW} FROM runs r WHERE run = ?"))
            .and_then(|mut q| q.query_row([run.as_str()], row).optional())
            .map_err(schema::failed(&self.path))?
            .ok_or_else(|| JournalError::NoRun(run.clone()))
    }

    /// The events of a run after the `after`-th, for who follows it.
    ///
    /// # Errors
    /// The store cannot be read, or a row does not parse.
    pub fn records_after(&self, run: &RunId, after: u64) -> Result<Vec<Record>, JournalError> {
        let mut records = Vec::new();
        self.each_after(run, after, |record| records.push(record))?;
        Ok(records)
    }

    /// Hands over the events of a run after the `after`-th, one by one.
    fn each_after(&self, run: &RunId, after: u64, mut take: impl FnMut(Record)) -> Result<(), JournalError> {
        let (read, store) = (self.connection(), schema::failed(&self.path));
        let mut query = read
            .prepare_cached("SELECT seq, at, json FROM events WHERE run = ? AND seq > ? ORDER BY seq")
            .map_err(&store)?;
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let mut rows = query.query(params![run.as_str(), after]).map_err(&store)?;
        while let Some(row) = rows.next().map_err(&store)? {
            let text = |at| row.get_ref(at).and_then(|text| Ok(text.as_str()?)).map_err(&store);
            take(record(run, row.get(0).map_err(&store)?, text(1)?, text(2)?)?);
        }
        Ok(())
    }

    /// Checks the chain of one run, or of all, and the ledger, and the seals; against what was kept of it elsewhere.
    ///
    /// # Errors
    /// No such run, or the store cannot be read.
    pub fn verify(&self, run: Option<&RunId>, against: &Outside) -> Result<Verdict, JournalError> {
        self.verify_slowly(run, against, &mut |_, _| {})
    }

    /// As [`verify`](Self::verify); `told` hears how many of how many runs are checked.
    ///
    /// # Errors
    /// As there.
    pub fn verify_slowly(
        &self,
        run: Option<&RunId>,
        against: &Outside,
        told: &mut dyn FnMut(usize, usize),
    ) -> Result<Verdict, JournalError> {
        let read = schema::reader(&self.path)?;
        if let Some(run) = run {
            self.row(run)?;
        }
        chain::verify(&read, run, against, told).map_err(schema::failed(&self.path))
    }

    /// Where a run's chain ends.
    ///
    /// # Errors
    /// No such run, or the store cannot be read.
    pub fn head(&self, run: &RunId) -> Result<Head, JournalError> {
        let head = chain::head(&self.connection(), run).map_err(schema::failed(&self.path))?;
        head.ok_or_else(|| JournalError::NoRun(run.clone()))
    }

    /// The entry that the ledger has of a run's event; none where it took no note of it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn entry_of(&self, run: &RunId, seq: u64) -> Result<Option<Anchor>, JournalError> {
        chain::entry_of(&self.connection(), run, seq).map_err(schema::failed(&self.path))
    }

    /// The seals of a run, or of all, in the order in which they were made.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn seals(&self, run: Option<&RunId>) -> Result<Vec<Seal>, JournalError> {
        seal::all(&self.connection(), run).map_err(schema::failed(&self.path))
    }

    /// Keeps a seal.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn keep_seal(&self, seal: &Seal) -> Result<(), JournalError> {
        self.ask_and_wait(Ask::Mark(Mark::Seal(Box::new(seal.clone())))).map(drop)
    }

    /// Whether its pages are sound and it can be written: a write that is taken back.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), JournalError> {
        let store = schema::failed(&self.path);
        let write = Connection::open(&self.path).map_err(&store)?;
        write.busy_timeout(std::time::Duration::from_secs(5)).map_err(&store)?;
        write
            .execute_batch("BEGIN IMMEDIATE; INSERT INTO contents (hash, bytes) VALUES ('', x''); ROLLBACK")
            .map_err(&store)?;
        let said: String = write.query_row("PRAGMA quick_check(1)", [], |r| r.get(0)).map_err(&store)?;
        if said == "ok" { Ok(()) } else { Err(JournalError::Closed(format!("a page is broken: {said}"))) }
    }

    pub(super) fn connection(&self) -> MutexGuard<'_, Connection> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, ask: Ask, answer: Answer) {
        match &self.writer {
            Some(writer) => writer.ask(ask, answer),
            None => answer(Err(JournalError::Closed("it was opened for reading only".into()))),
        }
    }

    /// Handed in now, not at the first poll: so events keep the order of the calls.
    fn hand_in(&self, ask: Ask) -> Pin<Box<dyn Future<Output = Result<Record, JournalError>> + Send + '_>> {
        let (tell, told) = tokio::sync::oneshot::channel();
        self.ask(ask, Box::new(move |result| drop(tell.send(result))));
        Box::pin(async move { told.await.unwrap_or_else(|_| Err(gone()))?.ok_or_else(gone) })
    }

    pub(super) fn ask_and_wait(&self, ask: Ask) -> Result<Option<Record>, JournalError> {
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        self.ask(ask, Box::new(move |result| drop(tell.send(result))));
        told.recv().unwrap_or_else(|_| Err(gone()))
    }
}

impl Journal for SqliteJournal {
    fn begin(&self, at: Timestamp, header: Header) -> Result<Record, JournalError> {
        self.ask_and_wait(Ask::Begin { at, header: Box::new(header), audited: self.audits() })?.ok_or_else(gone)
    }
    fn append<'a>(
        &'a self,
        run: &'a RunId,
        at: Timestamp,
        event: Event,
    ) -> Pin<Box<dyn Future<Output = Result<Record, JournalError>> + Send + 'a>> {
        self.hand_in(Ask::Append { run: run.clone(), at, event: Box::new(event) })
    }
    fn note<'a>(
        &'a self,
        run: &'a RunId,
        at: Timestamp,
        event: Event,
    ) -> Pin<Box<dyn Future<Output = Result<Record, JournalError>> + Send + 'a>> {
        self.hand_in(Ask::Note { run: run.clone(), at, event: Box::new(event) })
    }
    fn records(&self, run: &RunId) -> Result<Vec<Record>, JournalError> {
        let records = self.records_after(run, 0)?;
        if records.is_empty() { Err(JournalError::NoRun(run.clone())) } else { Ok(records) }
    }
    fn state(&self, run: &RunId) -> Result<RunState, JournalError> {
        let mut state = RunState::default();
        self.each_after(run, 0, |record| state.apply(&record))?;
        if state.last.is_none() { Err(JournalError::NoRun(run.clone())) } else { Ok(state) }
    }
    fn runs(&self, most: usize) -> Result<Vec<RunId>, JournalError> {
        let read = self.connection();
        read.prepare_cached("SELECT run FROM runs ORDER BY run DESC LIMIT ?")
            .and_then(|mut q| q.query_map([limit(most)], |r| id(r, 0))?.collect())
            .map_err(schema::failed(&self.path))
    }
    fn newest_of(&self, project: &str) -> Result<Option<RunId>, JournalError> {
        let read = self.connection();
        read.prepare_cached("SELECT run FROM runs WHERE project = ? ORDER BY run DESC LIMIT 1")
            .and_then(|mut q| q.query_row([project], |r| id(r, 0)).optional())
            .map_err(schema::failed(&self.path))
    }
    fn troubled(&self) -> Result<Vec<RunId>, JournalError> {
        let read = self.connection();
        read.prepare_cached(
            "SELECT run FROM runs WHERE ended IS NULL OR outcome IN ('unknown', 'stopped')
             UNION SELECT run FROM runs WHERE owed > 0 ORDER BY 1",
        )
        .and_then(|mut q| q.query_map([], |r| id(r, 0))?.collect())
        .map_err(schema::failed(&self.path))
    }
    fn paid_of(&self, run: &RunId) -> Result<Vec<String>, JournalError> {
        let read = self.connection();
        read.prepare_cached("SELECT debt FROM payments WHERE owing = ? ORDER BY debt")
            .and_then(|mut q| q.query_map([run.as_str()], |r| r.get(0))?.collect())
            .map_err(schema::failed(&self.path))
    }
    fn put(&self, bytes: &[u8]) -> Result<Hash, JournalError> {
        let hash = Hash::of(bytes);
        self.ask_and_wait(Ask::Put { hash: hash.clone(), bytes: bytes.to_vec() })?;
        Ok(hash)
    }
    fn get(&self, hash: &Hash) -> Result<Vec<u8>, JournalError> {
        let read = self.connection();
        let bytes: Vec<u8> = read
            .prepare_cached("SELECT bytes FROM contents WHERE hash = ?")
            .and_then(|mut q| q.query_row([&hash.0], |r| r.get(0)).optional())
            .map_err(schema::failed(&self.path))?
            .ok_or_else(|| JournalError::NoContent(hash.clone()))?;
        if Hash::of(&bytes) == *hash { Ok(bytes) } else { Err(JournalError::BadContent(hash.clone())) }
    }
    fn open_runs(&self) -> Result<Vec<OpenRun>, JournalError> {
        let read = self.connection();
        let rows: Vec<(RunId, Option<String>, i64, String, String)> = read
            .prepare_cached(
                "SELECT r.run, r.outcome, e.seq, e.at, e.json FROM runs r
                 JOIN events e ON e.run = r.run AND e.seq = r.locked
                 WHERE r.ended IS NULL OR r.outcome IN ('unknown', 'stopped') ORDER BY r.run",
            )
            .and_then(|mut q| {
                q.query_map([], |r| Ok((id(r, 0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?)))?.collect()
            })
            .map_err(schema::failed(&self.path))?;
        let mut open = Vec::with_capacity(rows.len());
        for (run, outcome, seq, at, json) in rows {
            if let Event::Locked { exclusive, shared } = record(&run, seq, &at, &json)?.event {
                open.push(OpenRun { run, outcome: outcome.as_deref().and_then(End::of_word), exclusive, shared });
            }
        }
        Ok(open)
    }
}

impl Outbox for SqliteJournal {
    fn waiting(&self, first: Option<&RunId>, most: usize) -> Result<Vec<Waiting>, JournalError> {
        let read = self.connection();
        read.prepare_cached(
            "SELECT id, run, seq, tries, failed FROM outbox WHERE delivered IS NULL ORDER BY run = ? DESC, id LIMIT ?",
        )
        .and_then(|mut q| {
            let first = first.map_or("", RunId::as_str);
            q.query_map(params![first, limit(most)], |r| {
                let seq = u64::try_from(r.get::<_, i64>(2)?).unwrap_or(0);
                Ok(Waiting { row: r.get(0)?, run: id(r, 1)?, seq, tries: r.get(3)?, failed: r.get(4)? })
            })?
            .collect()
        })
        .map_err(schema::failed(&self.path))
    }
    fn records_after(&self, run: &RunId, after: u64) -> Result<Vec<Record>, JournalError> {
        Self::records_after(self, run, after)
    }
    fn delivered(&self, rows: &[i64], at: Timestamp) -> Result<(), JournalError> {
        self.ask_and_wait(Ask::Mark(Mark::Delivered { rows: rows.to_vec(), at })).map(drop)
    }
    fn not_delivered(&self, row: i64, why: &str) -> Result<(), JournalError> {
        self.ask_and_wait(Ask::Mark(Mark::Failed { row, why: why.to_owned() })).map(drop)
    }
    fn undelivered(&self) -> Result<Undelivered, JournalError> {
        let read = self.connection();
        let count = |n: i64| usize::try_from(n).unwrap_or(0);
        read.prepare_cached(
            "SELECT count(*), count(DISTINCT run), (SELECT failed FROM outbox WHERE delivered IS NULL AND failed IS NOT NULL
             ORDER BY id LIMIT 1) FROM outbox WHERE delivered IS NULL",
        )
        .and_then(|mut q| {
            q.query_row([], |r| Ok(Undelivered { rows: count(r.get(0)?), runs: count(r.get(1)?), why: r.get(2)? }))
        })
        .map_err(schema::failed(&self.path))
    }
    fn ticket_of(&self, run: &RunId) -> Result<Option<TicketOf>, JournalError> {
        let read = self.connection();
        read.prepare_cached("SELECT system, ticket FROM tickets WHERE run = ?")
            .and_then(|mut q| {
                q.query_row([run.as_str()], |r| Ok(TicketOf { system: r.get(0)?, ticket: r.get(1)? })).optional()
            })
            .map_err(schema::failed(&self.path))
    }
    fn set_ticket(&self, run: &RunId, ticket: &TicketOf) -> Result<(), JournalError> {
        let TicketOf { system, ticket } = ticket.clone();
        self.ask_and_wait(Ask::Mark(Mark::Ticket { run: run.clone(), system, ticket })).map(drop)
    }
    fn anchor_of(&self, run: &RunId, seq: u64) -> Result<Option<Anchor>, JournalError> {
        self.entry_of(run, seq)
    }
    fn others_unsettled(&self, ticket: &TicketOf, run: &RunId) -> Result<bool, JournalError> {
        let read = self.connection();
        read.prepare_cached(
            "SELECT 1 FROM tickets t JOIN runs r ON r.run = t.run WHERE t.ticket = ? AND t.system = ? AND t.run <> ?
             AND (r.ended IS NULL OR r.outcome IN ('unknown', 'stopped') OR r.owed > 0)",
        )
        .and_then(|mut q| q.exists([&ticket.ticket, &ticket.system, run.as_str()]))
        .map_err(schema::failed(&self.path))
    }
}

/// The columns that [`row`] reads, of `runs` under the name `r`.
pub(super) const ROW: &str = "r.run, r.runbook, r.operator, r.machine, r.began, r.ended, r.outcome, r.exit_code, \
                              r.changed, r.owed, r.head, r.project";

pub(super) fn row(r: &Row<'_>) -> rusqlite::Result<RunRow> {
    Ok(RunRow {
        run: id(r, 0)?,
        runbook: r.get(1)?,
        operator: r.get(2)?,
        machine: r.get(3)?,
        began: time(r, 4)?,
        ended: if r.get_ref(5)? == rusqlite::types::ValueRef::Null { None } else { Some(time(r, 5)?) },
        outcome: r.get::<_, Option<String>>(6)?.as_deref().and_then(End::of_word),
        exit_code: r.get(7)?,
        changed: usize::try_from(r.get::<_, i64>(8)?).unwrap_or(0),
        owed: usize::try_from(r.get::<_, i64>(9)?).unwrap_or(0),
        head: u64::try_from(r.get::<_, i64>(10)?).unwrap_or(0),
        project: r.get(11)?,
    })
}

fn id(r: &Row<'_>, column: usize) -> rusqlite::Result<RunId> {
    parsed(r, column)
}

fn time(r: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    parsed(r, column)
}

pub(super) fn parsed<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    r: &Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    r.get::<_, String>(column)?
        .parse()
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(e)))
}

pub(super) fn record(run: &RunId, seq: i64, at: &str, json: &str) -> Result<Record, JournalError> {
    let seq = u64::try_from(seq).unwrap_or(0);
    let bad = |why| JournalError::BadRow { run: run.clone(), seq, why };
    let at = at.parse().map_err(|e: jiff::Error| bad(serde::de::Error::custom(e)))?;
    Ok(Record { run: run.clone(), seq, at, event: serde_json::from_str(json).map_err(bad)? })
}

pub(super) fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

fn gone() -> JournalError {
    JournalError::Closed("its writer has ended".into())
}
