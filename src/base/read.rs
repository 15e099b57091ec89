//! What can be read of the world, and the answers. Reads are data: those of one host travel as one probe.

use super::{Hash, Invocation, OrderAsk, OrderFacts, PairFacts, PairSpot, ServedAsk, ServedFacts, Span, Text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One question to the world. Asking changes nothing (for [`Read::Run`] the runbook's author promises that).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Read {
    /// The state of a systemd unit: `systemctl show`.
    Unit {
        /// With its suffix: `billing.service`.
        name: String,
    },
    /// What stands at a path.
    File {
        /// Absolute.
        path: String,
    },
    /// What a command says: the `status` of a manager, `check.command`, `unless`.
    Run(Invocation),
    /// What an HTTP server answers.
    Http(HttpAsk),
    /// Whether a TCP port accepts.
    Tcp {
        /// A name or an address.
        host: String,
        /// The port.
        port: u16,
        /// How long to try.
        within: Span,
    },
    /// A server of an HAProxy backend.
    Server {
        /// The way to the runtime API.
        api: HaproxyApi,
        /// The backend.
        backend: String,
        /// The server in it.
        server: String,
    },
    /// The records of a name, at every server that answers for its zone.
    Record(super::RecordAsk),
    /// The files that prove names over HTTP.
    Proof(super::ProofBy),
    /// The addresses of a name, as the system or its zone's servers say.
    Addresses(super::AddressAsk),
    /// How far an order for a certificate is.
    Order(OrderAsk),
    /// A certificate and its key, with what is staged beside them. No byte of a key comes with the answer.
    Pair(PairSpot),
    /// The certificate that a server shows.
    Served(ServedAsk),
    /// A PostgreSQL cluster.
    Postgres(super::PgAsk),
    /// How a service has answered its client since that was asked for first.
    Client(super::ClientAsk),
}

/// One HTTP request that only asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpAsk {
    /// `http://` or `https://`.
    pub url: String,
    /// GET unless said.
    pub method: String,
    /// May name secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Text>,
    /// Sent with the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Text>,
    /// A PEM file on this machine to trust instead of the system's roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// How long one try may take.
    pub within: Span,
}

/// The way to an HAProxy's runtime API (management guide, 9.3 "Unix Socket commands").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HaproxyApi {
    /// A socket on the place's host.
    Socket(String),
    /// `ADDRESS:PORT`, reached from here.
    Tcp(String),
}

/// What came back. A read that failed by itself is [`Answer::Bad`]; the rest of its probe stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Read::Unit`].
    Unit(UnitFacts),
    /// To [`Read::File`]; none: nothing is there.
    File(Option<FileFacts>),
    /// To [`Read::Run`].
    Run(RunFacts),
    /// To [`Read::Http`].
    Http(HttpFacts),
    /// To [`Read::Tcp`].
    Tcp(TcpFacts),
    /// To [`Read::Server`].
    Server(ServerFacts),
    /// To [`Read::Record`].
    Record(super::RecordFacts),
    /// To [`Read::Proof`].
    Proof(super::ProofFacts),
    /// To [`Read::Addresses`]; sorted.
    Addresses(std::collections::BTreeSet<std::net::IpAddr>),
    /// To [`Read::Order`].
    Order(Box<OrderFacts>),
    /// To [`Read::Pair`].
    Pair(Box<PairFacts>),
    /// To [`Read::Served`].
    Served(ServedFacts),
    /// To [`Read::Postgres`].
    Postgres(Box<super::PgFacts>),
    /// To [`Read::Client`].
    Client(Box<super::ClientFacts>),
    /// It lies behind something that has no model: no plan can know it.
    Open,
    /// It could not be read, and why.
    Bad(String),
}

/// What systemd calls a unit's `ActiveState`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "systemd's own words: org.freedesktop.systemd1(5)")]
pub enum UnitState {
    Active,
    Reloading,
    #[default]
    Inactive,
    Failed,
    Activating,
    Deactivating,
    Maintenance,
}

/// A systemd unit as seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitFacts {
    /// `LoadState=loaded`; false: systemd knows no such unit.
    pub loaded: bool,
    /// `ActiveState`.
    pub state: UnitState,
    /// `UnitFileState=enabled`: a boot starts it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub enabled: bool,
    /// `MainPID`, 0 for none.
    #[serde(default)]
    pub pid: u32,
    /// `InvocationID`: another one after each start.
    #[serde(default)]
    pub invocation: String,
    /// `StateChangeTimestampMonotonic` in microseconds: moves with every reload, too.
    #[serde(default)]
    pub since: u64,
}

/// A file as seen, through a symbolic link where there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Of its content.
    pub hash: Hash,
    /// In bytes.
    pub size: u64,
    /// The permission bits: 0o644.
    pub mode: u32,
    /// The owner's name (or number).
    pub owner: String,
    /// The group's name (or number).
    pub group: String,
    /// Where the path leads if it is a symbolic link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// How a command ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFacts {
    /// Its exit code; none: it ran out of time and was ended.
    pub code: Option<i32>,
    /// Capped and redacted.
    #[serde(default)]
    pub stdout: String,
    /// Capped and redacted.
    #[serde(default)]
    pub stderr: String,
}

/// What an HTTP server said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpFacts {
    /// The status code; none: no answer.
    pub status: Option<u16>,
    /// Capped and redacted.
    #[serde(default)]
    pub body: String,
    /// Why there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Whether a port accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpFacts {
    /// It accepted a connection.
    pub open: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A server of a backend as HAProxy shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFacts {
    /// What an operator set (`srv_admin_state`).
    pub state: super::ServerState,
    /// Current sessions and queued requests (`scur` + `qcur`).
    pub sessions: u64,
    /// Whether HAProxy itself holds it for up (`srv_op_state` is 2), or no check is configured.
    pub up: bool,
}
