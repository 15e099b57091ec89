//! What a check can find wrong with a journal, in words.

use std::fmt;

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
    /// What a run is found by is not what its events say.
    OtherConcerns {
        /// The run.
        run: String,
    },
    /// What the list of payments says of a run is not what its events say.
    OtherPayment {
        /// The run that pays.
        run: String,
    },
    /// What a run went by is not what was recorded.
    OtherContent {
        /// The run.
        run: String,
        /// What: `runbook`, `inventory`, `shown plan`.
        what: &'static str,
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
    /// A record of a pruning names another end of a run than the ledger has.
    OffPruning {
        /// The run.
        run: String,
        /// The record.
        seq: i64,
    },
    /// A run was taken out by a pruning, and something of it is there.
    NotPruned {
        /// The run.
        run: String,
        /// The record.
        seq: i64,
    },
    /// The ledger does not have the anchor's entry, or has another in its place.
    OffAnchor {
        /// The entry.
        seq: u64,
    },
    /// An event is not the one that is known outside.
    OffMark {
        /// The run.
        run: String,
        /// The event.
        seq: u64,
    },
    /// A run that is known outside is not there.
    Gone {
        /// The run.
        run: String,
        /// Its last event that is known.
        seq: u64,
    },
    /// The ledger does not have the entry that a seal vouches for, or has another in its place.
    OffSeal {
        /// The run that was sealed.
        run: String,
        /// The entry.
        seq: u64,
    },
    /// A seal's signature is none of an allowed signer's.
    BadSignature {
        /// The run that was sealed.
        run: String,
        /// The entry.
        seq: u64,
        /// Why.
        why: String,
    },
    /// A seal vouches for something else than its row says.
    SealEdited {
        /// The run that its row names.
        run: String,
        /// The entry that its row names.
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
            Self::OtherConcerns { run } => {
                write!(f, "the hosts and apps that run {run} is found by are not those of its events")
            }
            Self::OtherPayment { run } => {
                write!(f, "the list of paid debts says something else of run {run} than its events")
            }
            Self::OtherContent { run, what } => {
                write!(f, "the {what} of run {run} is missing or was changed after it was recorded")
            }
            Self::Stranger { run } => write!(f, "run {run} is not in the ledger"),
            Self::EntryEdited { seq } => write!(f, "entry {seq} of the ledger was changed after it was written"),
            Self::EntryUnlinked { seq } => write!(f, "entry {seq} of the ledger does not follow the entry before it"),
            Self::OffAnchor { seq } => write!(f, "entry {seq} of the ledger is missing or another than the anchor's"),
            Self::OffMark { run, seq } => {
                write!(f, "event {seq} of run {run} is missing or another than the one that is known outside")
            }
            Self::Gone { run, seq } => {
                write!(f, "run {run} is missing: its events up to {seq} are known outside")
            }
            Self::OffPruning { run, seq } => {
                write!(f, "pruning {seq} names another end of run {run} than the ledger has: it vouches for nothing")
            }
            Self::NotPruned { run, seq } => {
                write!(f, "run {run} was taken out by pruning {seq}, and something of it is there again")
            }
            Self::OffSeal { run, seq } => {
                write!(f, "entry {seq} of the ledger is missing or another than the one that was sealed for run {run}")
            }
            Self::BadSignature { run, seq, why } => {
                write!(f, "the signature of run {run} (entry {seq} of the ledger) is not good: {why}")
            }
            Self::SealEdited { run, seq } => {
                write!(f, "the seal of run {run} (entry {seq}) was changed after it was written")
            }
        }
    }
}
