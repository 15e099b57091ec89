//! What ticket systems are to be told. A row is written in the transaction of its event, so neither is ever there without
//! the other; it waits until a ticket system has it, whatever was killed in between.

use super::{
    Journal, JournalError,
    chain::Anchor,
    event::{Event, Record, Scope},
};
use crate::base::RunId;
use jiff::Timestamp;

impl Event {
    /// Whether a ticket is told of it. A phase speaks for its hosts, and the end for the way back: a run over 500 hosts
    /// must not fill a ticket.
    pub const fn is_told(&self) -> bool {
        match self {
            Self::Started(_)
            | Self::Refused { .. }
            | Self::Resumed { .. }
            | Self::Phase { .. }
            | Self::Resolved { .. }
            | Self::Waived { .. }
            | Self::Paid { .. }
            | Self::Finished(_) => true,
            Self::RollingBack { scope, .. } => !matches!(scope, Scope::Host(_)),
            Self::Locked { .. }
            | Self::Skipped { .. }
            | Self::Began(_)
            | Self::UndoBegan { .. }
            | Self::Announced { .. }
            | Self::Carried { .. }
            | Self::Retried { .. }
            | Self::InDoubt { .. }
            | Self::Ended { .. }
            | Self::RolledBack { .. }
            | Self::Stopping { .. } => false,
        }
    }
}

/// A journal that keeps what is to be told.
///
/// Contract: a row is there as soon as its event is, and stays until it was marked as delivered. Marks need no more than to
/// be durable some time: who delivers again finds what it has delivered.
pub trait Outbox: Journal {
    /// Rows that wait, those of `first` before all others, else the oldest first; at most `most`.
    ///
    /// # Errors
    /// The store cannot be read.
    fn waiting(&self, first: Option<&RunId>, most: usize) -> Result<Vec<Waiting>, JournalError>;
    /// The events of a run after the `after`-th.
    ///
    /// # Errors
    /// The store cannot be read, or a row does not parse.
    fn records_after(&self, run: &RunId, after: u64) -> Result<Vec<Record>, JournalError>;
    /// A ticket system has these rows.
    ///
    /// # Errors
    /// The store cannot be written.
    fn delivered(&self, rows: &[i64], at: Timestamp) -> Result<(), JournalError>;
    /// A row was not delivered, and why.
    ///
    /// # Errors
    /// The store cannot be written.
    fn not_delivered(&self, row: i64, why: &str) -> Result<(), JournalError>;
    /// What waits, in all.
    ///
    /// # Errors
    /// The store cannot be read.
    fn undelivered(&self) -> Result<Undelivered, JournalError>;
    /// A run's ticket, once it is known.
    ///
    /// # Errors
    /// The store cannot be read.
    fn ticket_of(&self, run: &RunId) -> Result<Option<TicketOf>, JournalError>;
    /// Keeps a run's ticket.
    ///
    /// # Errors
    /// The store cannot be written.
    fn set_ticket(&self, run: &RunId, ticket: &TicketOf) -> Result<(), JournalError>;
    /// The ledger's entry of a run's event, so that a ticket can hold it; none where it has none.
    ///
    /// # Errors
    /// The store cannot be read.
    fn anchor_of(&self, run: &RunId, seq: u64) -> Result<Option<Anchor>, JournalError>;
    /// Whether another run of that ticket is under way, was left half done, or owes something.
    ///
    /// # Errors
    /// The store cannot be read.
    fn others_unsettled(&self, ticket: &TicketOf, run: &RunId) -> Result<bool, JournalError>;
}

/// An event that a ticket system does not have yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The row, counted on over all runs.
    pub row: i64,
    /// The run.
    pub run: RunId,
    /// The event's number in it.
    pub seq: u64,
    /// How often it was tried.
    pub tries: u32,
    /// Why the last try was in vain.
    pub failed: Option<String>,
}

/// How much waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undelivered {
    /// So many events.
    pub rows: usize,
    /// Of so many runs.
    pub runs: usize,
    /// Why the last try was in vain, if one was made.
    pub why: Option<String>,
}

/// Where a run is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketOf {
    /// The ticket system, by a name that no other one has.
    pub system: String,
    /// The ticket's id there.
    pub ticket: String,
}
