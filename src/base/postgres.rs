//! PostgreSQL clusters on hosts, in the words of the seam: where one lies, what is seen of it, what is changed.

use super::Span;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de};
use std::{fmt, str::FromStr};

/// A position in the write-ahead log, in bytes from its beginning; written `1A/2B3C4D` (PostgreSQL's `pg_lsn`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// How many bytes this one is ahead of another; 0 where it is behind.
    #[must_use]
    pub const fn past(self, other: Self) -> u64 {
        self.0.saturating_sub(other.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// Why a text is no position in the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no position in the write-ahead log, such as 1A/2B3C4D")]
pub struct NotAnLsn(String);

impl FromStr for Lsn {
    type Err = NotAnLsn;
    fn from_str(text: &str) -> Result<Self, NotAnLsn> {
        let half = |text: &str| {
            let right = (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
            right.then(|| u64::from_str_radix(text, 16).ok()).flatten()
        };
        let halves = text.split_once('/').and_then(|(high, low)| Some((half(high)?, half(low)?)));
        halves.map(|(high, low)| Self(high << 32 | low)).ok_or_else(|| NotAnLsn(text.to_owned()))
    }
}

impl Serialize for Lsn {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// Where a cluster lies on its host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PgSpot {
    /// The database's name in `svcops.yaml`.
    pub database: String,
    /// Its systemd unit: `postgresql@15-main.service`.
    pub unit: String,
    /// Its data directory, absolute.
    pub data: String,
    /// The folder of `postgresql.conf`, absolute; none: the data directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// The folder of `pg_controldata`, `psql`, `pg_rewind`, absolute.
    pub bin: String,
    /// Its port.
    pub port: u16,
    /// The system's user that it runs as.
    pub user: String,
}

impl PgSpot {
    /// Where the password of replication lies for libpq (`passfile`), beside the data directory.
    pub fn passfile(&self) -> String {
        let folder = self.data.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{folder}/.svcops-{}.pgpass", self.database)
    }
}

/// What is asked of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PgAsk {
    /// The cluster.
    pub spot: PgSpot,
    /// How much of it.
    pub depth: PgDepth,
    /// Whether another server is to be seen from its host: `(ADDRESS, PORT)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<(String, u16)>,
}

/// How much is asked: within an outage every millisecond counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PgDepth {
    /// The process, the control file and the files of its folder: nothing is connected to. [`PgFacts::sql`] is none.
    Files,
    /// Also what a standby says of its own recovery and log, by one connection: [`PgSql::slots`] and [`PgSql::standbys`] are
    /// empty. Of a server past recovery only that: by its control file, nothing is connected to.
    Log,
    /// Also slots, standbys and the roles of replication, settings, the free room on its disk, the boot fence, the history of its timeline, the end of
    /// its log where it does not run.
    Whole,
}

/// `Database cluster state` of pg_controldata(1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words of pg_controldata")]
pub enum PgState {
    #[default]
    StartingUp,
    ShutDown,
    ShutDownInRecovery,
    ShuttingDown,
    InCrashRecovery,
    InArchiveRecovery,
    InProduction,
}

/// What the control file says; it is written by the server and outlives it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PgControl {
    /// `Database system identifier`: the same on both sides of a replication.
    pub system: String,
    /// In what state it is, or ended.
    pub state: PgState,
    /// `Latest checkpoint's TimeLineID`.
    pub timeline: u32,
    /// `Latest checkpoint location`: of a clean shutdown's, all that was ever written lies before it.
    pub checkpoint: Lsn,
    /// `Minimum recovery ending location`; 0/0 where it is no standby.
    #[serde(default)]
    pub recovered: Lsn,
}

/// What a running cluster says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PgSql {
    /// `pg_is_in_recovery()`: it is a standby and accepts no writes.
    pub recovery: bool,
    /// `pg_current_wal_lsn()` of a primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<Lsn>,
    /// `pg_last_wal_receive_lsn()` of a standby, or what it has replayed where that is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Lsn>,
    /// `pg_last_wal_replay_lsn()` of a standby.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed: Option<Lsn>,
    /// How old the last transaction is that a standby has replayed, where it has not replayed all that it received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
    /// When the last transaction was committed that a standby has replayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// Replay was paused by somebody (`pg_is_wal_replay_paused()`): a promotion would wait for them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// The host that a standby's receiver streams from now; none: it does not stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams_from: Option<String>,
    /// Who streams from it (`pg_stat_replication`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standbys: Vec<PgStandby>,
    /// Its physical replication slots.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<PgSlot>,
    /// The roles that a standby may stream as, by their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicators: Vec<PgReplicator>,
    /// `wal_log_hints` or data checksums are on: without either pg_rewind(1) changes nothing of this cluster. None: not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hints: Option<bool>,
}

/// A standby, as its primary sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PgStandby {
    /// `application_name`.
    pub name: String,
    /// `client_addr`; empty for a local socket.
    pub address: String,
    /// `state`: `streaming`, `catchup` …
    pub state: String,
    /// `sync_state` is `sync` or `quorum`: a commit waits for it.
    pub sync: bool,
    /// `flush_lsn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flushed: Option<Lsn>,
    /// `replay_lsn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed: Option<Lsn>,
}

/// A physical replication slot: it holds the log until its standby has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PgSlot {
    /// Its name.
    pub name: String,
    /// A standby uses it now.
    pub active: bool,
}

/// A role with `LOGIN` and `REPLICATION`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PgReplicator {
    /// Its name.
    pub name: String,
    /// pg_rewind(1) may read this cluster as it: it may execute the functions that read files, or is a superuser.
    pub rewinds: bool,
}

/// Where a standby is set to stream from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PgUpstream {
    /// `host` of `primary_conninfo`.
    pub host: String,
    /// `port` of it.
    pub port: u16,
    /// `user` of it.
    pub user: String,
    /// `passfile` of it: the password never stands in a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passfile: Option<String>,
    /// `primary_slot_name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
}

/// What is seen of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PgFacts {
    /// Its postmaster is alive.
    pub running: bool,
    /// Its unit is masked: nothing starts it.
    pub masked: bool,
    /// `standby.signal` is there: it starts as a standby.
    pub standby: bool,
    /// The control file; none: there is no cluster. One that cannot be read makes a bad answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<PgControl>,
    /// What it says; none: it was not asked, or does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<PgSql>,
    /// Why it did not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<String>,
    /// Where it streams from as a standby, by its settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<PgUpstream>,
    /// Its major version.
    #[serde(default)]
    pub version: u32,
    /// Free room on the disk of its data directory, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<u64>,
    /// The boot fence is there: as a former primary it starts only when its peer is in recovery, or a person says so.
    #[serde(default)]
    pub boot_fence: bool,
    /// The timelines that it descends from, the oldest first: the newest `*.history` of its `pg_wal`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<PgBranch>,
    /// How its log ends; only where it does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<PgTail>,
    /// The file that its password of replication lies in is there: [`PgSpot::passfile`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub passfile: bool,
    /// Whether [`PgAsk::peer`] accepts connections, as seen from its host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<PgPeer>,
}

/// A timeline that was left for another one: a line of a timeline's history file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PgBranch {
    /// The timeline that was left.
    pub timeline: u32,
    /// Where it was left: what was written on it past there is no part of what came after.
    pub left: Lsn,
}

/// The end of a log that nobody writes any more (pg_waldump(1) from the latest checkpoint on).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PgTail {
    /// Past its last whole record.
    pub end: Lsn,
    /// When the last transaction was committed in it; none: none is in what was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
}

/// What pg_isready(1) finds at another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PgPeer {
    /// It accepts connections.
    Accepts,
    /// It is there and rejects them: starting up, or shutting down.
    Rejects,
    /// Nothing answers.
    Silent,
}

impl PgFacts {
    /// No more of it than is asked for at that depth.
    #[must_use]
    pub fn at_depth(&self, depth: PgDepth) -> Self {
        let brief = |sql: &PgSql| PgSql {
            written: None,
            standbys: vec![],
            slots: vec![],
            replicators: vec![],
            hints: None,
            ..sql.clone()
        };
        match depth {
            PgDepth::Whole => self.clone(),
            PgDepth::Log => Self {
                sql: self.sql.as_ref().map(brief),
                upstream: None,
                free: None,
                history: vec![],
                tail: None,
                passfile: false,
                ..self.clone()
            },
            PgDepth::Files => Self { sql: None, silent: None, ..self.at_depth(PgDepth::Log) },
        }
    }
    /// With what is seen of another server.
    #[must_use]
    pub fn seeing(self, peer: Option<PgPeer>) -> Self {
        Self { peer, ..self }
    }
    /// It is known to accept writes.
    pub fn is_primary(&self) -> bool {
        self.running && self.sql.as_ref().is_some_and(|sql| !sql.recovery)
    }
    /// It is known to be a standby that runs.
    pub fn is_standby(&self) -> bool {
        self.running && self.sql.as_ref().is_some_and(|sql| sql.recovery)
    }
    /// It is known to be a former primary that ended cleanly, and where: the fence that a switch is built on.
    pub fn ended_at(&self) -> Option<Lsn> {
        let control = self.control.as_ref().filter(|control| control.state == PgState::ShutDown)?;
        (!self.running).then_some(control.checkpoint)
    }
}

/// What changes of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PgChange {
    /// `CHECKPOINT`: what a stop or a promotion has to write later is little then.
    Checkpoint,
    /// Masks its unit: nothing starts it any more, no boot either. What runs goes on.
    Mask,
    /// Unmasks its unit.
    Unmask,
    /// A fast shutdown, and waits for its end.
    Stop,
    /// Starts its unit, and waits until it answers.
    Start,
    /// Promotes a standby, and waits until it accepts writes.
    Promote {
        /// Refused where it has not received the log up to there, by its own word at that moment; none: not asked.
        past: Option<Lsn>,
    },
    /// Makes it a standby: `standby.signal`, `primary_conninfo`, `primary_slot_name`. Only while it does not run.
    Follow(PgUpstream),
    /// Brings its log back to where it left its new primary's (pg_rewind(1)). Only while it does not run; never interrupted.
    Rewind(PgUpstream),
    /// Makes a physical slot that holds the log from now on.
    MakeSlot(String),
    /// Drops a slot.
    DropSlot(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_in_the_log_reads_and_writes_as_postgresql_writes_it() {
        for (text, bytes) in [("0/0", 0), ("0/3000148", 0x300_0148), ("1A/2B3C4D", 0x1A_002B_3C4D)] {
            assert_eq!(text.parse(), Ok(Lsn(bytes)), "{text}");
            assert_eq!(Lsn(bytes).to_string(), text);
        }
        assert_eq!("FFFFFFFF/FFFFFFFF".parse(), Ok(Lsn(u64::MAX)));
        for wrong in ["", "/", "0", "0/", "0/G", "0/123456789", "+1/0", "0/0/0"] {
            assert!(wrong.parse::<Lsn>().is_err(), "{wrong}");
        }
        assert_eq!((Lsn(5).past(Lsn(3)), Lsn(3).past(Lsn(5))), (2, 0));
    }
}
