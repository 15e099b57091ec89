//! What can be changed in the world. A change is plain data: it is announced in the journal before it is carried out.

use super::{HaproxyApi, Hash, HttpAsk, Letter, OrderStep, PairChange, PairSpot, Place, Span, Text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One change. Each kind has one effect on the simulated world and one way through each transport.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// `systemctl start`.
    StartUnit(String),
    /// `systemctl stop`.
    StopUnit(String),
    /// `systemctl restart`.
    RestartUnit(String),
    /// `systemctl reload`.
    ReloadUnit(String),
    /// `systemctl enable --now`: a boot starts it, too.
    EnableUnit(String),
    /// `systemctl disable --now`: no boot starts it again.
    DisableUnit(String),
    /// Gives a file another name; nothing may be there.
    MoveFile {
        /// Absolute.
        from: String,
        /// Absolute, in the same folder.
        to: String,
    },
    /// Puts a content at a path: staged beside it, validated, renamed. What stood there before is kept in the undo
    /// folder of that host under its hash.
    WriteFile {
        /// Absolute; through a symbolic link the file behind it.
        path: String,
        /// What to write.
        content: Content,
        /// The permission bits; none: as they are, else 0o644.
        mode: Option<u32>,
        /// The owner; none: as it is, else who acts.
        owner: Option<String>,
        /// The group; none: as it is, else who acts.
        group: Option<String>,
        /// A command in which `%s` stands for the staged file; it must exit 0 before the rename.
        validate: Option<String>,
    },
    /// Takes a file away; it is kept in the undo folder.
    RemoveFile(String),
    /// Something with a certificate and its key.
    Pair {
        /// Where they lie.
        spot: PairSpot,
        /// What is done.
        change: PairChange,
    },
    /// Something with a PostgreSQL cluster.
    Postgres {
        /// Where it lies.
        spot: super::PgSpot,
        /// What is done.
        change: super::PgChange,
    },
    /// Has another member of a Patroni cluster lead it.
    Switchover(super::Switchover),
    /// Runs a command: opaque, but for what it `touches`.
    Run(Invocation),
    /// Sets the state of a server of an HAProxy backend.
    SetServer {
        /// The way to the runtime API.
        api: HaproxyApi,
        /// The backend.
        backend: String,
        /// The server in it.
        server: String,
        /// What to set.
        state: ServerState,
    },
    /// Ends the sessions that a server of an HAProxy backend still has.
    EndSessions {
        /// The way to the runtime API.
        api: HaproxyApi,
        /// The backend.
        backend: String,
        /// The server in it.
        server: String,
    },
    /// Adds and removes single records of a name.
    UpdateRecord(super::RecordUpdate),
    /// Serves a file that proves a name over HTTP, or no longer.
    Proof {
        /// Which.
        spot: super::ProofSpot,
        /// What is done.
        change: super::ProofChange,
    },
    /// Sends an HTTP request that tells somebody something.
    Tell(HttpAsk),
    /// Sends a mail.
    Mail(Letter),
    /// A move of an order for a certificate.
    Order(OrderStep),
    /// Asks the person at the terminal; the answer is the receipt's stdout.
    Ask {
        /// What to ask.
        question: String,
        /// A written answer is wanted, not only a yes.
        evidence: bool,
    },
}

impl Change {
    /// Doing it a second time does no more than doing it once, and a look tells whether it was done: where this process
    /// ended before it had an answer, nobody has to be asked what became of it.
    pub const fn is_told_by_a_look(&self) -> bool {
        matches!(self, Self::UpdateRecord(_) | Self::Order(_) | Self::Switchover(_))
    }
    /// It is never broken off: half of it is worse than its end is late.
    pub const fn is_left_to_end(&self) -> bool {
        matches!(self, Self::Postgres { change: super::PgChange::Rewind(_), .. })
    }
}

/// What an operator set a server of a backend to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerState {
    /// Takes traffic.
    Ready,
    /// Takes no new sessions.
    Drain,
    /// Maintenance: takes none at all.
    Maint,
}

/// A content by its hash: its bytes are found when they are sent, and never stand in a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Of the bytes.
    pub hash: Hash,
    /// In bytes.
    pub size: u64,
    /// Who has them.
    pub from: Source,
}

/// Where the bytes of a content are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A file on this machine, absolute; refused if it is another one by then.
    File(String),
    /// A text; secrets in it are named, and filled in when it is sent.
    Text(Text),
    /// The undo folder of the run on the host itself.
    Undo,
    /// A file on another host, through the memory of this process: for a key that several hosts share.
    Host {
        /// The host, and who reads there.
        at: Place,
        /// Absolute.
        path: String,
    },
}

/// A command to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// What to run.
    pub program: Program,
    /// What it reads; nothing if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<Text>,
    /// Its environment, beside what a login brings; travels by stdin, never in an argv.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Text>,
    /// Where it runs; the home folder if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// When it is ended.
    pub within: Span,
    /// The exit codes that count as well; 0 alone if none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<i32>,
    /// What it changes: `app:NAME`, `unit:NAME`, `file:PATH`; everything on its host if none. Only plans look at it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub touches: Vec<String>,
}

impl Invocation {
    /// A text for `/bin/sh -c`, with nothing else.
    pub fn shell(text: impl Into<String>, within: Span) -> Self {
        Self::of(Program::Shell(text.into()), within)
    }
    /// A program, with nothing else.
    pub fn of(program: Program, within: Span) -> Self {
        Self { program, stdin: None, env: BTreeMap::new(), cwd: None, within, codes: vec![], touches: vec![] }
    }
    /// Whether it ended well with this code.
    pub fn accepts(&self, code: i32) -> bool {
        if self.codes.is_empty() { code == 0 } else { self.codes.contains(&code) }
    }
}

/// The three ways to name a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// A text for `/bin/sh -c`.
    Shell(String),
    /// A program and its arguments, without a shell.
    Argv(Vec<String>),
    /// A file that is sent, and run with an interpreter (`/bin/sh` unless its first line says more) and arguments.
    Script {
        /// The script.
        content: Content,
        /// What runs it; none: its own first line.
        interpreter: Option<String>,
        /// Its arguments.
        args: Vec<String>,
    },
}
