//! A plan as it was shown before its run, kept beside the run's events: what was announced can be held against what was
//! done, and the diffs of files outlive the files. Each diff is kept once, however many hosts share it.

use crate::base::{Hash, TaskId};
use serde::{Deserialize, Serialize};

/// The plan of a run, folded: tasks with an equal outlook share one entry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// 1.
    pub schema_version: u32,
    /// What each task would do, in the order of the plan.
    pub steps: Vec<Outlook>,
    /// The diffs of files.
    pub diffs: Vec<ShownDiff>,
}

/// What a step would do to some of its hosts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    /// The step's number path.
    pub number: String,
    /// Its name.
    pub name: String,
    /// Its action.
    pub action: String,
    /// `exact`, `conditional` or `opaque`.
    pub certainty: String,
    /// It would not apply, or pays a debt: words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// It would fail or be refused, or could not be observed: words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// The changes in words: what, before, after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<(String, String, String)>,
    /// The tasks of which all this holds; `HOST` stands for the host's name in the words.
    pub tasks: Vec<TaskId>,
}

/// How the content of a file would differ, wherever it is: the two hashes say all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownDiff {
    /// The content that was there; none: no file was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Hash>,
    /// The content that would be there; none: it would be removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Hash>,
    /// A unified diff without the names of files, redacted; a sentence where it is no text or too large.
    pub diff: String,
}

impl Shown {
    /// More than so many bytes of diffs are not kept with a run.
    pub const MOST_DIFFS: usize = 4 * 1024 * 1024;

    /// The diff between two contents.
    pub fn diff(&self, from: Option<&str>, to: Option<&str>) -> Option<&str> {
        let is = |one: &Option<Hash>, other: Option<&str>| one.as_ref().map(|h| h.0.as_str()) == other;
        let found = self.diffs.iter().find(|d| is(&d.from, from) && is(&d.to, to));
        found.map(|d| d.diff.as_str())
    }
}
