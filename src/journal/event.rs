//! What can happen in a run. These are the journal's rows, the lines of `-o jsonl`, and all that the state of a run is
//! made from.

use crate::base::{At, Change, Hash, HostName, Lock, Packed, Receipt, RunId, Span, TaskId, Way};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// An event with its place in the run's chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The run.
    pub run: RunId,
    /// Counts from 1 within the run.
    pub seq: u64,
    /// When, in UTC.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run begins; nothing was touched yet.
    Started(Box<Header>),
    /// The run was refused before anything was touched.
    Refused {
        /// 75 or 77.
        code: u8,
        /// The rule and the fact.
        why: String,
    },
    /// All locks are held.
    Locked {
        /// Exclusive.
        exclusive: Vec<Lock>,
        /// Shared.
        shared: Vec<Lock>,
    },
    /// Somebody goes on with an interrupted run. Deadlines begin anew.
    Resumed {
        /// Who.
        operator: Operator,
    },
    /// The hosts of a step in one batch come to their turn.
    Phase {
        /// The step's number path.
        step: String,
        /// The step's name.
        name: String,
        /// Which batch of the group, from 1; none outside `rolling`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        batch: Option<Batch>,
        /// Its hosts.
        hosts: Vec<HostName>,
    },
    /// A step on a host did not apply: `when` was false, or there is nothing to do for it.
    Skipped {
        /// The task.
        task: TaskId,
        /// Why.
        why: String,
    },
    /// A step on a host was looked at for the first time.
    Began(Box<Began>),
    /// The way back of a task begins.
    UndoBegan {
        /// The task.
        task: TaskId,
    },
    /// These changes will be carried out next. Durable before the first of them.
    Announced {
        /// The task.
        task: TaskId,
        /// There, or back.
        way: Way,
        /// The act number of the first change.
        number: usize,
        /// The changes, in order.
        changes: Vec<At<Change>>,
        /// What the facts must show in the end.
        expect: Value,
        /// The boot of the first change's host.
        boot: String,
        /// The first act of a step with `no_return` on the way there: the point of no return is crossed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        no_return: bool,
    },
    /// What became of one change.
    Carried {
        /// The task.
        task: TaskId,
        /// There, or back.
        way: Way,
        /// The act's number.
        number: usize,
        /// What is known.
        receipt: Receipt,
    },
    /// The engine tries again from the start, by the step's `retry`.
    Retried {
        /// The task.
        task: TaskId,
        /// The attempt that begins, from 2.
        attempt: u32,
        /// What was wrong with the last one.
        why: String,
    },
    /// Nobody knows what became of an act.
    InDoubt {
        /// The task.
        task: TaskId,
        /// There, or back.
        way: Way,
        /// Why.
        why: String,
    },
    /// A person saw what became of it.
    Resolved {
        /// The task.
        task: TaskId,
        /// There, or back.
        way: Way,
        /// It was done.
        done: bool,
        /// How the person knows.
        reason: String,
        /// Who.
        operator: Operator,
    },
    /// A person takes a task out of the rest of the run (`resume --skip`).
    Waived {
        /// The task.
        task: TaskId,
        /// Why.
        reason: String,
        /// Who.
        operator: Operator,
    },
    /// A leg of a task ended.
    Ended {
        /// The task.
        task: TaskId,
        /// There, or back.
        way: Way,
        /// How.
        how: How,
        /// Seen last.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "even_null")]
        seen: Option<Value>,
        /// What lasts is another than before.
        changed: bool,
    },
    /// From here on the run goes back.
    RollingBack {
        /// How much of it.
        scope: Scope,
        /// Why.
        why: String,
        /// It was to turn back here: what it has done so far was a drill. What goes back for another reason is none.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        drill: bool,
    },
    /// The scope's way back is done, as far as it goes.
    RolledBack {
        /// How much of it.
        scope: Scope,
    },
    /// A signal or `svcops cancel` asks the run to stop.
    Stopping {
        /// What asked.
        why: String,
        /// The second time: what runs on hosts is ended too.
        now: bool,
    },
    /// A debt of this or an earlier run was paid.
    Paid {
        /// The run that owed it.
        run_owing: RunId,
        /// The debt.
        debt: String,
    },
    /// The run is over.
    Finished(Summary),
}

impl Event {
    /// The word in its `event` field.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Started(_) => "started",
            Self::Refused { .. } => "refused",
            Self::Locked { .. } => "locked",
            Self::Resumed { .. } => "resumed",
            Self::Phase { .. } => "phase",
            Self::Skipped { .. } => "skipped",
            Self::Began(_) => "began",
            Self::UndoBegan { .. } => "undo_began",
            Self::Announced { .. } => "announced",
            Self::Carried { .. } => "carried",
            Self::Retried { .. } => "retried",
            Self::InDoubt { .. } => "in_doubt",
            Self::Resolved { .. } => "resolved",
            Self::Waived { .. } => "waived",
            Self::Ended { .. } => "ended",
            Self::RollingBack { .. } => "rolling_back",
            Self::RolledBack { .. } => "rolled_back",
            Self::Stopping { .. } => "stopping",
            Self::Paid { .. } => "paid",
            Self::Finished(_) => "finished",
        }
    }
}

/// How a run begins: all that a resume needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The project's name.
    pub project: String,
    /// The runbook's name, or the verb's words: `app restart billing`.
    pub runbook: String,
    /// Where it was read from; none for a verb's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The runbook with its includes, as JSON, in the content store.
    pub runbook_hash: Hash,
    /// The inventory, as JSON, in the content store.
    pub inventory_hash: Hash,
    /// The parameters as resolved.
    pub params: BTreeMap<String, Value>,
    /// The hosts that `--limit` and its like left, if they were used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Vec<HostName>>,
    /// Those options, as they were written; of `--failed-from last` the run that it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<String>,
    /// At most so many hosts side by side.
    pub parallel: usize,
    /// The plan's hash.
    pub plan: Option<Hash>,
    /// The plan as it was shown before the run, with its diffs, as JSON of [`Shown`](super::shown::Shown) in the content
    /// store; none in runs that were recorded before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<Hash>,
    /// Who.
    pub operator: Operator,
    /// `--reason`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `--ticket`, or what the runbook asks for (`ticket:`), as it stands there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Value>,
    /// The project's folder, absolute: files are found from it.
    pub root: String,
    /// The version of svcops.
    pub version: String,
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// The user's name.
    pub name: String,
    /// The user's number.
    pub uid: u32,
    /// True where it is the kernel's login uid, which survives sudo; false: the real uid, which never counts as a second
    /// person.
    pub login: bool,
    /// The machine.
    pub machine: String,
    /// The process.
    pub pid: u32,
}

/// A batch of a rolling group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// From 1.
    pub number: usize,
    /// Of so many.
    pub of: usize,
}

/// A task as it is when it begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Began {
    /// The task.
    pub task: TaskId,
    /// The step's number path.
    pub step: String,
    /// Where the step stands: `runbooks/x.yaml:20`; empty for a verb's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// The step's id, for `steps.ID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The step's name.
    pub name: String,
    /// The host it runs for.
    pub host: HostName,
    /// The action's name.
    pub action: String,
    /// The resolved action: with it and the facts, an undo needs nothing else.
    pub value: Packed,
    /// The facts before the first act; none: no plan can know them.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "even_null")]
    pub before: Option<Packed>,
    /// What it will owe once it announces a change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<Debt>,
    /// The steps that undo it, resolved, where it cannot undo itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undo: Vec<Debt>,
    /// Debts of earlier runs that this task takes over, with the run that owes each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inherits: Vec<Inherited>,
    /// The debt it pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pays: Option<String>,
    /// The deadline of a leg.
    pub within: Span,
    /// How long a host that falls silent is waited for, where its step says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<Span>,
    /// A consequence or an `undo:` step on the way back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_rollback: bool,
    /// A rollback passes over it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaves_nothing: bool,
    /// It has no model: whether it changed something cannot be seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub opaque: bool,
    /// It belongs to an `always` step.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub always: bool,
}

/// Something to be done on a host as a consequence: resolved, so that a later run can pay it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Debt {
    /// Equal for debts that one payment settles: host, action and what it resolves to.
    pub key: String,
    /// The number path of its step: `2.1.then1`.
    pub step: String,
    /// Its step's name.
    pub name: String,
    /// The host.
    pub host: HostName,
    /// The action's name.
    pub action: String,
    /// The resolved action.
    pub value: Value,
    /// Its step's own deadline, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
}

/// A debt of an earlier run that a task takes over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inherited {
    /// The run that owes it.
    pub run: RunId,
    /// The debt.
    pub debt: Debt,
}

/// How a leg ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Done, and seen to be.
    Done {
        /// For later steps.
        outputs: Value,
    },
    /// Nothing was announced.
    Refused(String),
    /// Something was.
    Failed(String),
    /// In a plan: what it will do cannot be known yet.
    Conditional,
}

/// How much of a run goes back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All of it.
    Run,
    /// The hosts of one batch.
    Batch(Vec<HostName>),
    /// One host.
    Host(HostName),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The word for it.
    pub outcome: End,
    /// By the table of exit codes.
    pub exit_code: u8,
    /// What failed first, if something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Tasks that changed something that still stands.
    #[serde(default)]
    pub changed: usize,
    /// Debts that are left.
    #[serde(default)]
    pub owed: usize,
    /// What is not as it was and not as it should be, in words, one a line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stands: Vec<String>,
}

/// The words for how a run can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Done and verified, or nothing to do: 0.
    Done,
    /// Failed; every target is as before: 1.
    RolledBack,
    /// Failed; something stands or is owed: 3.
    Failed,
    /// Nobody knows what became of an act: 4.
    Unknown,
    /// Stopped by a signal or by `svcops cancel`; can be resumed: 130.
    Stopped,
    /// Not now: 75.
    NotNow,
    /// Not allowed: 77.
    NotAllowed,
}

impl End {
    /// The exit code of a command that acts.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::RolledBack => 1,
            Self::Failed => 3,
            Self::Unknown => 4,
            Self::NotNow => 75,
            Self::NotAllowed => 77,
            Self::Stopped => 130,
        }
    }
    /// The word in JSON and in lists.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Stopped => "stopped",
            Self::NotNow => "not_now",
            Self::NotAllowed => "not_allowed",
        }
    }
    /// The end of that word.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Done, Self::RolledBack, Self::Failed, Self::Unknown, Self::Stopped, Self::NotNow, Self::NotAllowed]
            .into_iter()
            .find(|end| end.word() == word)
    }
    /// A run that ended so may be gone on with.
    pub const fn resumable(self) -> bool {
        matches!(self, Self::Unknown | Self::Stopped)
    }
}

/// A value that is there is there, even if it is null: that no file was there is a fact, and the absence of facts is not.
fn even_null<'de, D: serde::Deserializer<'de>, V: Deserialize<'de>>(from: D) -> Result<Option<V>, D::Error> {
    V::deserialize(from).map(Some)
}

/// Who watches a run: a screen, a stream of JSON lines.
pub trait Watcher: Send + Sync {
    /// An event is durable.
    fn record(&self, record: &Record);
    /// Something that is worth telling and is not kept.
    fn notice(&self, notice: &Notice);
}

/// What is told and not kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// So many tasks are ahead, as far as can be known.
    Ahead {
        /// Tasks.
        tasks: usize,
    },
    /// A look at so many of the hosts is done.
    Observed {
        /// Done.
        done: usize,
        /// Of all.
        of: usize,
    },
    /// A task waits.
    Waiting {
        /// The task.
        task: TaskId,
        /// What for.
        why: String,
        /// For how long so far.
        elapsed: std::time::Duration,
    },
    /// A host cannot be spoken to; it is tried again.
    Silent {
        /// The host.
        host: HostName,
        /// Why.
        why: String,
    },
    /// Something that the operator should know, such as that the recorded runbook differs from the file.
    Warning(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_nothing_was_there_is_read_back_as_a_fact() {
        for seen in [None, Some(Value::Null), Some(serde_json::json!({"size": 3}))] {
            let how = How::Done { outputs: Value::Null };
            let event = Event::Ended { task: "1@a".into(), way: Way::Forward, how, seen, changed: false };
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
        }
    }
}
