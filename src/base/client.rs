//! A service as its client sees it: what is asked again and again while a run is under way, and what was seen so far.

use super::Span;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// So many good answers in a row end an outage; it ended with the first of them.
pub const SETTLED: u32 = 5;

/// How a session with PostgreSQL is encrypted: the words of libpq's `sslmode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PgTls {
    /// Not at all.
    Disable,
    /// Where the server can.
    #[default]
    Prefer,
    /// Always; whoever answers is trusted.
    Require,
    /// Always, and only with a certificate for its name from whom we trust.
    VerifyFull,
}

impl PgTls {
    /// All of them, each with its word.
    pub const ALL: [(&str, Self); 4] = [
        ("disable", Self::Disable),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
        ("verify-full", Self::VerifyFull),
    ];
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    /// A session with the database, as an application has one: it is up while that session, or a new one, may write.
    Postgres {
        /// `HOST:PORT`, as clients have it.
        address: String,
        /// The database in the cluster.
        database: String,
        /// The user.
        user: String,
        /// The secret that holds the password; none: the server asks for none.
        password: Option<String>,
        /// Whether the session is encrypted, and whom it trusts.
        #[serde(default)]
        tls: PgTls,
        /// A PEM file on this machine with whom to trust, for [`PgTls::VerifyFull`]; none: the system's store.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca: Option<String>,
        /// What is asked; it is up where the first column of the first row is true. None: whether it may write.
        query: Option<String>,
    },
    /// An HTTP request: it is up where the answer has that status.
    Http {
        /// `http://` or `https://`.
        url: String,
        /// The status.
        status: u16,
        /// A PEM file on this machine to trust; none: the system's store.
        ca: Option<String>,
    },
    /// A TCP connection: it is up where it is accepted, and not closed at once.
    Tcp(String),
}

/// How a service has answered its client. The first such read of a process begins to ask, and that goes on beside whatever
/// else is done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClientAsk {
    /// The service's name in `svcops.yaml`.
    pub service: String,
    /// What is asked.
    pub ask: ProbeKind,
    /// How often.
    pub every: Span,
    /// How long an answer may take.
    pub within: Span,
    /// What was seen before is forgotten: the watch begins with this look.
    #[serde(default)]
    pub anew: bool,
}

/// What a client has seen since the watch began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientFacts {
    /// The last answer was a good one.
    pub up: bool,
    /// A watch began in this process; else it knows nothing of what was before [`first`](Self::first).
    pub watched: bool,
    /// Answers, and what took too long to be one.
    pub tries: u64,
    /// Those of them that were not good.
    pub failed: u64,
    /// Good answers since the last that was not.
    pub in_a_row: u32,
    /// When it was asked first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    /// When the last good answer came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_up: Option<Timestamp>,
    /// The stretches without a good answer, the latest last. Of more than twenty the longest and the latest are here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outages: Vec<ClientOutage>,
    /// What was wrong with the last answer that was not good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A stretch of time without a good answer. Less than [`SETTLED`] good answers in a row do not end it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientOutage {
    /// The last good answer before it; none: there was none since the watch began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// The first good answer after it; none: it is out still. `from` and what a clock that nobody can set has measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// How long it has lasted, in microseconds; of one without `from` since the first answer that was not good.
    pub micros: u64,
    /// Answers in it that were not good, and tries without one.
    pub failed: u64,
}

impl ClientFacts {
    /// The outage that lasted longest.
    pub fn longest(&self) -> Option<&ClientOutage> {
        self.outages.iter().max_by_key(|outage| outage.micros)
    }
    /// Seen as it is now for long enough, and without an outage.
    pub fn steadily(up: bool) -> Self {
        let good = if up { SETTLED } else { 0 };
        Self {
            up,
            watched: true,
            tries: u64::from(SETTLED),
            failed: u64::from(SETTLED - good),
            in_a_row: good,
            why: (!up).then(|| "connection refused".to_owned()),
            ..Self::default()
        }
    }
    /// It is up, and so many good answers came in a row.
    pub const fn steady(&self, in_a_row: u32) -> bool {
        self.up && self.in_a_row >= in_a_row
    }
}
