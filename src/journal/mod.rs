//! A run is its events, and its state a fold over them. Events are durable before the act that they announce, and
//! chained: each row carries the hash of the one before it, and a ledger chains the heads of runs.

pub mod event;
pub mod state;

use crate::base::{Hash, RunId};
use event::{Event, Header, Record};
use jiff::Timestamp;
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
    /// All events of a run, in order.
    ///
    /// # Errors
    /// No such run, or a row that cannot be read.
    fn records(&self, run: &RunId) -> Result<Vec<Record>, JournalError>;
    /// The ids of runs, newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    fn runs(&self, most: usize) -> Result<Vec<RunId>, JournalError>;
    /// The ids of runs that are not over, in doubt, or owe something, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    fn troubled(&self) -> Result<Vec<RunId>, JournalError>;
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
