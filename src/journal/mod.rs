//! A run is its events, and its state a fold over them. Events are durable before the act that they announce, and
//! chained: each row carries the hash of the one before it, and a ledger chains the heads of runs.

pub mod bundle;
pub mod chain;
mod contents;
pub mod doubt;
pub mod event;
mod fault;
mod listed;
pub mod locks;
pub mod memory;
pub mod operator;
pub mod outage;
pub mod outbox;
pub mod outside;
pub mod place;
pub mod prune;
mod schema;
pub mod seal;
pub mod search;
pub mod shown;
pub mod sqlite;
pub mod state;
pub mod untold;
mod writer;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;

pub use memory::MemoryJournal;
pub(crate) use schema::{create, mode_in};
pub use sqlite::SqliteJournal;

use crate::base::{Hash, Lock, RunId};
use event::{End, Event, Header, Record};
use jiff::Timestamp;
use state::RunState;
use std::{future::Future, path::PathBuf, pin::Pin};

/// Where events are kept.
///
/// Contract: when [`begin`](Self::begin) or [`append`](Self::append) has answered, the event outlives a loss of power.
/// Events of one run are numbered without a gap in the order in which they were handed in.
pub trait Journal: Send + Sync {
    /// Opens a run: gives it an id, and records its [`Event::Started`].
    ///
    /// # Errors
    /// The store cannot be written.
    fn begin(&self, at: Timestamp, header: Header) -> Result<Record, JournalError>;
    /// Records one event; durable when the future has ended.
    fn append<'a>(
        &'a self,
        run: &'a RunId,
        at: Timestamp,
        event: Event,
    ) -> Pin<Box<dyn Future<Output = Result<Record, JournalError>> + Send + 'a>>;
    /// Records an event that no act waits for. It has its place when the future has ended, and is durable no later than what
    /// is appended next; a loss of power before that is a loss of power before the event.
    fn note<'a>(
        &'a self,
        run: &'a RunId,
        at: Timestamp,
        event: Event,
    ) -> Pin<Box<dyn Future<Output = Result<Record, JournalError>> + Send + 'a>> {
        self.append(run, at, event)
    }
    /// All events of a run, in order.
    ///
    /// # Errors
    /// No such run, or a row that cannot be read.
    fn records(&self, run: &RunId) -> Result<Vec<Record>, JournalError>;
    /// The state that a run's events make.
    ///
    /// # Errors
    /// No such run, or a row that cannot be read.
    fn state(&self, run: &RunId) -> Result<RunState, JournalError> {
        Ok(RunState::fold(&self.records(run)?))
    }
    /// The ids of runs, newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    fn runs(&self, most: usize) -> Result<Vec<RunId>, JournalError>;
    /// The newest run of that project.
    ///
    /// # Errors
    /// The store cannot be read.
    fn newest_of(&self, project: &str) -> Result<Option<RunId>, JournalError> {
        for run in self.runs(usize::MAX)? {
            if self.header(&run)?.project == project {
                return Ok(Some(run));
            }
        }
        Ok(None)
    }
    /// How a run began.
    ///
    /// # Errors
    /// No such run, or a row that cannot be read.
    fn header(&self, run: &RunId) -> Result<Header, JournalError> {
        let first = self.records(run)?.into_iter().next().map(|record| record.event);
        match first {
            Some(Event::Started(header)) => Ok(*header),
            _ => Err(JournalError::NoRun(run.clone())),
        }
    }
    /// The ids of runs that are not over, in doubt, or owe something, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    fn troubled(&self) -> Result<Vec<RunId>, JournalError>;
    /// What later runs have paid of this one's debts, by their keys.
    ///
    /// # Errors
    /// The store cannot be read.
    fn paid_of(&self, run: &RunId) -> Result<Vec<String>, JournalError>;
    /// Keeps a content under its hash.
    ///
    /// # Errors
    /// The store cannot be written.
    fn put(&self, bytes: &[u8]) -> Result<Hash, JournalError>;
    /// A content that was kept.
    ///
    /// # Errors
    /// It is not there, or the store cannot be read.
    fn get(&self, hash: &Hash) -> Result<Vec<u8>, JournalError>;
    /// The runs that took locks and have not come to a good end, oldest first: whether one of them still runs, only the
    /// locks know.
    ///
    /// # Errors
    /// The store cannot be read.
    fn open_runs(&self) -> Result<Vec<OpenRun>, JournalError> {
        let mut open = Vec::new();
        for run in self.runs(usize::MAX)?.iter().rev() {
            open.extend(open_among(&self.records(run)?));
        }
        Ok(open)
    }
}

/// A run that took locks and is under way, interrupted, stopped or unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRun {
    /// The run.
    pub run: RunId,
    /// How it ended, if it did: [`End::Stopped`] or [`End::Unknown`].
    pub outcome: Option<End>,
    /// What it took exclusively.
    pub exclusive: Vec<Lock>,
    /// What it took shared.
    pub shared: Vec<Lock>,
}

/// What a list shows of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// The run.
    pub run: RunId,
    /// The project: one state directory may hold runs of several.
    pub project: String,
    /// The runbook's name, or the verb's words.
    pub runbook: String,
    /// Who began it.
    pub operator: String,
    /// Where.
    pub machine: String,
    /// When it began.
    pub began: Timestamp,
    /// When it ended; none: it runs, or was interrupted.
    pub ended: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<End>,
    /// By the table of exit codes.
    pub exit_code: Option<u8>,
    /// Tasks that changed something that still stands.
    pub changed: usize,
    /// Debts that were left at its end.
    pub owed: usize,
    /// The number of its last event.
    pub head: u64,
}

/// The run as an open one, if it is one.
fn open_among(records: &[Record]) -> Option<OpenRun> {
    let (mut outcome, mut locks) = (None, None);
    for record in records {
        match &record.event {
            Event::Locked { exclusive, shared } => locks = Some((exclusive, shared)),
            Event::Resumed { .. } => outcome = None,
            Event::Finished(end) => outcome = Some(end.outcome),
            _ => {}
        }
    }
    let (exclusive, shared) = locks.filter(|_| outcome.is_none_or(End::resumable))?;
    let run = records.first()?.run.clone();
    Some(OpenRun { run, outcome, exclusive: exclusive.clone(), shared: shared.clone() })
}

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// No run of that id.
    #[error("no run `{0}` in this state directory")]
    NoRun(RunId),
    /// No content of that hash.
    #[error("the journal has no content `{0}`")]
    NoContent(Hash),
    /// A content is not what its hash says.
    #[error("the journal's content `{0}` was changed after it was written")]
    BadContent(Hash),
    /// A later svcops wrote it.
    #[error("the journal {path} has version {version}, this svcops knows up to {known}")]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: i64,
        /// The last one known.
        known: usize,
    },
    /// A row does not parse.
    #[error("event {seq} of run {run} cannot be read")]
    BadRow {
        /// The run.
        run: RunId,
        /// The event.
        seq: u64,
        /// What is wrong with it.
        #[source]
        why: serde_json::Error,
    },
    /// The database.
    #[error("the journal {path} failed")]
    Store {
        /// The file.
        path: PathBuf,
        /// SQLite's own words.
        #[source]
        why: rusqlite::Error,
    },
    /// The file system.
    #[error("could not {act} {path}")]
    File {
        /// What was tried.
        act: &'static str,
        /// With what.
        path: PathBuf,
        /// The system's own words.
        #[source]
        why: std::io::Error,
    },
    /// Its writer is gone: an earlier write failed.
    #[error("the journal takes no more events: {0}")]
    Closed(String),
}
