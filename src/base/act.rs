//! An act: one change, carried out at most once; and what is known of it afterwards.

use super::{RunId, TaskId};
use serde::{Deserialize, Serialize};

/// Names one change of one run for ever. Carrying the same act twice does it once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Act {
    /// The run.
    pub run: RunId,
    /// The step on its host.
    pub task: TaskId,
    /// There, or back.
    pub way: Way,
    /// Counts the acts of this task and way from 0.
    pub number: usize,
    /// The boot of its host that the act was announced under; another boot by then means that nobody knows.
    pub boot: String,
}

/// There, or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// What the runbook wants.
    Forward,
    /// What was before.
    Undo,
}

/// What is known of an act.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// How it ended.
    pub outcome: Outcome,
    /// The exit code, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// How long it was under way, in microseconds, as seen from here: the way to its host and back is part of it. Of one
    /// that was found again it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micros: Option<u64>,
    /// What it wrote.
    #[serde(default, skip_serializing_if = "Output::is_empty")]
    pub stdout: Output,
    /// What it complained of.
    #[serde(default, skip_serializing_if = "Output::is_empty")]
    pub stderr: Output,
}

impl Receipt {
    /// A receipt without outputs.
    pub fn of(outcome: Outcome) -> Self {
        Self { outcome, code: None, micros: None, stdout: Output::default(), stderr: Output::default() }
    }
}

/// How an act ended. None of them is proof of its effect: the next look is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It ended well by its own word.
    Ok,
    /// It never began: not allowed, no such program, the staged file did not validate. Nothing changed.
    Refused(String),
    /// It began and ended badly.
    Failed(String),
    /// Nobody knows whether it was done.
    Unknown(String),
}

/// What a command wrote, as it is kept: text, redacted, no more than [`Output::CAP`] bytes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The beginning and, where it was longer, the end; bytes that are no UTF-8 are replaced.
    pub text: String,
    /// All that was written, in bytes.
    #[serde(default)]
    pub bytes: u64,
    /// A secret stood in it: `***` stands for it now, and no expression may use this output.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redacted: bool,
}

impl Output {
    /// How much of an output is kept, in bytes.
    pub const CAP: usize = 64 * 1024;

    /// Nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0 && self.text.is_empty()
    }
}
