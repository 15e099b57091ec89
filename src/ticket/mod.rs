//! Tickets: what people who did not watch a run read about it. Ticket systems behind one trait, the embedded desk among
//! them, and the courier that brings them what the journal's outbox keeps.

pub mod beside;
pub mod courier;
pub mod desk;
pub mod facts;
pub mod fingerprint;
pub mod settings;
pub mod story;
pub mod texts;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;

pub use desk::Desk;

use crate::base::{Hash, RunId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, future::Future, pin::Pin};

/// What a ticket system answers with.
pub type Fut<'a, T> = Pin<Box<dyn Future<Output = Result<T, TicketError>> + Send + 'a>>;

/// A system that keeps tickets.
///
/// Contract: what was asked for under a [`Stamp`] with a key is done once, however often it is asked for; what has no key
/// is done each time. An answer means that it outlives a loss of power on the other side. Whoever is not sure that a ticket
/// was created looks for it by its key before creating it again. Nothing here waits for long: a system that does not answer
/// within some seconds is unavailable.
pub trait TicketSystem: Send + Sync {
    /// A name that no other ticket system has, not even one of the same kind.
    fn name(&self) -> Fut<'_, String>;
    /// It would take something in at this moment.
    fn ready(&self) -> Fut<'_, ()>;
    /// What it can do.
    fn capabilities(&self) -> Capabilities;
    /// The id that a person has written, in the system's own form. Whether there is such a ticket is another question.
    ///
    /// # Errors
    /// [`TicketError::NotAnId`].
    fn id(&self, text: &str) -> Result<TicketId, TicketError>;
    /// The ticket that was created under that key.
    fn find<'a>(&'a self, key: &'a Key) -> Fut<'a, Option<TicketId>>;
    /// Opens a ticket; where there is one of that key, answers with it.
    fn create<'a>(&'a self, draft: &'a Draft) -> Fut<'a, TicketId>;
    /// Says something in a ticket.
    fn comment<'a>(&'a self, id: &'a TicketId, stamp: &'a Stamp, text: &'a str) -> Fut<'a, ()>;
    /// Brings a ticket into a state.
    fn state<'a>(&'a self, id: &'a TicketId, stamp: &'a Stamp, target: State) -> Fut<'a, ()>;
    /// Attaches a file.
    fn attach<'a>(&'a self, id: &'a TicketId, stamp: &'a Stamp, file: &'a Attachment) -> Fut<'a, ()>;
    /// Links two tickets; a link that is there stays one.
    fn link<'a>(&'a self, id: &'a TicketId, stamp: &'a Stamp, other: &'a TicketId) -> Fut<'a, ()>;
    /// Notes that a ticket tells of this failure.
    fn mark<'a>(&'a self, id: &'a TicketId, stamp: &'a Stamp, failure: &'a Fingerprint) -> Fut<'a, ()>;
    /// Where this failure was told of, oldest first.
    fn alike<'a>(&'a self, failure: &'a Fingerprint) -> Fut<'a, Vec<Alike>>;
    /// A ticket with all that was said in it.
    fn show<'a>(&'a self, id: &'a TicketId) -> Fut<'a, Ticket>;
    /// Tickets, newest first.
    fn list<'a>(&'a self, filter: &'a Filter) -> Fut<'a, Vec<Row>>;
    /// The content of the newest attachment of that name.
    fn content<'a>(&'a self, id: &'a TicketId, name: &'a str) -> Fut<'a, Vec<u8>>;
}

/// What a ticket system can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Files of at most so many bytes can be attached; none: no files.
    pub attach: Option<usize>,
    /// Tickets can be linked.
    pub link: bool,
    /// It finds failures that are alike.
    pub alike: bool,
}

/// Why a ticket system did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// It cannot be asked now; later it may.
    #[error("{system} cannot be used now")]
    Unavailable {
        /// Which.
        system: String,
        /// Why.
        #[source]
        why: Box<dyn std::error::Error + Send + Sync>,
        /// It may have been done all the same: look before asking again.
        doubtful: bool,
    },
    /// It does not want this, now or later.
    #[error("{system} refused: {why}")]
    Refused {
        /// Which.
        system: String,
        /// Its own words.
        why: String,
    },
    /// There is no such ticket, or no longer.
    #[error("there is no ticket `{0}`")]
    Gone(TicketId),
    /// There is no such attachment.
    #[error("ticket `{ticket}` has no attachment `{name}`")]
    NoAttachment {
        /// The ticket.
        ticket: TicketId,
        /// The name.
        name: String,
    },
    /// The text is no id of this system.
    #[error("`{text}` is no ticket: {expected} expected")]
    NotAnId {
        /// What was written.
        text: String,
        /// What an id looks like.
        expected: &'static str,
    },
}

/// A ticket's id, as people write it: `SV-000123`, `OPS-4412`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TicketId(pub String);

impl fmt::Display for TicketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What makes a request the same one when it comes again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub String);

/// Who says something, when, and under which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Done once under it; none: each time.
    pub key: Option<Key>,
    /// Who.
    pub author: String,
    /// When it happened, which is not when it is delivered.
    pub at: Timestamp,
}

/// A ticket to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Who opens it, and the key that it is found by.
    pub stamp: Stamp,
    /// In one line.
    pub subject: String,
    /// What it is about.
    pub text: String,
    /// Its state from the beginning.
    pub state: State,
    /// The runbook's `ticket: {kind: …}`.
    pub kind: Option<String>,
    /// The runbook's `ticket: {queue: …}`.
    pub queue: Option<String>,
    /// The run that it is opened for.
    pub run: Option<RunId>,
}

/// A file for a ticket.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its name, without folders.
    pub name: String,
    /// Its media type: `text/html; charset=utf-8`.
    pub media: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attachment({}, {}, {} bytes)", self.name, self.media, self.bytes.len())
    }
}

/// How a ticket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody has begun.
    New,
    /// Work is under way, or somebody has to look.
    Open,
    /// It waits for somebody to go on.
    Waiting,
    /// Over.
    Done,
}

impl State {
    /// All, in the order of a ticket's life.
    pub const ALL: [Self; 4] = [Self::New, Self::Open, Self::Waiting, Self::Done];
    /// The word in lists and in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Open => "open",
            Self::Waiting => "waiting",
            Self::Done => "done",
        }
    }
    /// The state of that word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// What a failure is known by: equal for the same step of the same runbook and the same error, whatever the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub Hash);

/// A failure that was told of before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alike {
    /// Where.
    pub ticket: TicketId,
    /// When it happened.
    pub at: Timestamp,
}

/// A ticket with all that was said in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ticket {
    /// What a list shows of it.
    #[serde(flatten)]
    pub row: Row,
    /// What was said and done in it, oldest first.
    pub entries: Vec<Entry>,
    /// Its files, oldest first.
    pub attachments: Vec<Attached>,
    /// Tickets that it is linked with.
    pub links: Vec<TicketId>,
}

/// What a list shows of a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its id.
    pub id: TicketId,
    /// In one line.
    pub subject: String,
    /// How it stands.
    pub state: State,
    /// Its kind.
    pub kind: Option<String>,
    /// Its queue.
    pub queue: Option<String>,
    /// Who opened it.
    pub author: String,
    /// The run that it was opened for.
    pub run: Option<RunId>,
    /// When it was opened.
    pub opened: Timestamp,
    /// When something was last said or done in it.
    pub changed: Timestamp,
}

/// Something said or done in a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub author: String,
    /// What.
    pub what: What,
    /// The comment; else the state's word, the file's name, the other ticket's id.
    pub text: String,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Somebody said something.
    Comment,
    /// It came into a state.
    State,
    /// A file was attached.
    Attached,
    /// It was linked.
    Linked,
}

impl What {
    /// The word in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Comment => "comment",
            Self::State => "state",
            Self::Attached => "attached",
            Self::Linked => "linked",
        }
    }
}

/// A file of a ticket, without its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attached {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media: String,
    /// Its size in bytes.
    pub bytes: usize,
    /// When.
    pub at: Timestamp,
}

/// Which tickets a list shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// In one of these states; none: in any.
    pub states: Vec<State>,
    /// At most so many.
    pub most: usize,
}
