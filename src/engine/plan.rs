//! What a run would change: a rehearsal without a fault, starting from what was observed.

use crate::{
    base::{At, Change, Hash, HostName, TaskId},
    journal::{
        event::Batch,
        shown::{Outlook, Shown, ShownDiff},
    },
    ui::facts,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a run would do. Its hash covers the resolved runbook, the contents of files, the selected inventory, the params,
/// the targets in order and each task's changes with their certainty; no process ids, no times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// 1.
    pub schema_version: u32,
    /// Names the plan.
    pub hash: Hash,
    /// The project.
    pub project: String,
    /// The runbook's name, or the verb's words.
    pub runbook: String,
    /// The params as resolved.
    pub params: BTreeMap<String, Value>,
    /// The options that left only some of its hosts, as they were written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<String>,
    /// The hosts that would be touched, in order.
    pub hosts: Vec<HostName>,
    /// The sites that would be touched.
    pub sites: Vec<String>,
    /// All hosts of `svcops.yaml`.
    pub of_hosts: usize,
    /// The tasks in order.
    pub tasks: Vec<PlannedTask>,
    /// The parts of the hash, for saying what differs when a saved plan no longer holds.
    pub pinned: BTreeMap<String, Hash>,
}

/// A step on a host as planned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedTask {
    /// The step's name.
    pub step: String,
    /// Its number path.
    pub number: String,
    /// The task's id.
    pub task: TaskId,
    /// The host.
    pub host: HostName,
    /// The action.
    pub action: String,
    /// The batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// How sure this is.
    pub certainty: Certainty,
    /// What is known only after another step: that step's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_after: Option<String>,
    /// Its step is the point of no return: once it acts, the run only goes forward.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_return: bool,
    /// What would change; empty: nothing to do.
    pub changes: Vec<PlannedChange>,
    /// It would not apply (`when` is false), or pays a debt, or cannot be done: words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// It would fail or be refused, or could not be observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// How sure a planned task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// Observed or projected.
    Exact,
    /// Known only after an earlier step.
    Conditional,
    /// It has no model.
    Opaque,
}

/// One change as planned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedChange {
    /// In words: ``stop `billing.service` ``.
    pub what: String,
    /// The change itself.
    pub change: At<Change>,
    /// What is there now, in words: `active`.
    pub before: String,
    /// What would be: `inactive`.
    pub after: String,
    /// For a file: a unified diff, redacted; a word where it is no text or too large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// The earlier content that the diff begins with; none: no file was there.
    #[serde(skip)]
    pub from: Option<Hash>,
}

impl Plan {
    /// The plan as the journal keeps it beside the run: for people, without what only carrying it out needs.
    pub fn shown(&self) -> Shown {
        let mut shown = Shown { schema_version: 1, ..Shown::default() };
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut room = Shown::MOST_DIFFS;
        for task in &self.tasks {
            let outlook = task.outlook();
            let same = serde_json::to_string(&Outlook { tasks: Vec::new(), ..outlook.clone() }).unwrap_or_default();
            if let Some(known) = places.get(&same).and_then(|at| shown.steps.get_mut(*at)) {
                known.tasks.extend(outlook.tasks);
            } else {
                places.insert(same, shown.steps.len());
                shown.steps.push(outlook);
            }
            for diff in task.changes.iter().filter_map(PlannedChange::shown) {
                let fits = room >= diff.diff.len();
                if fits && !shown.diffs.contains(&diff) {
                    room -= diff.diff.len();
                    shown.diffs.push(diff);
                }
            }
        }
        shown
    }
}

impl PlannedTask {
    fn outlook(&self) -> Outlook {
        let certainty = match self.certainty {
            Certainty::Exact => "exact",
            Certainty::Conditional => "conditional",
            Certainty::Opaque => "opaque",
        };
        let word = |text: &String| facts::masked(text, self.host.as_str());
        let words = |change: &PlannedChange| (word(&change.what), word(&change.before), word(&change.after));
        Outlook {
            number: self.number.clone(),
            name: self.step.clone(),
            action: self.action.clone(),
            certainty: certainty.to_owned(),
            note: self.note.as_ref().map(word),
            trouble: self.trouble.as_ref().map(word),
            changes: self.changes.iter().map(words).collect(),
            tasks: vec![self.task.clone()],
        }
    }
}

impl PlannedChange {
    fn shown(&self) -> Option<ShownDiff> {
        let diff = self.diff.as_ref()?;
        let to = match &self.change.what {
            Change::WriteFile { content, .. } => Some(content.hash.clone()),
            Change::RemoveFile(_) => None,
            _ => return None,
        };
        let body = diff.find("\n@@").filter(|_| diff.starts_with("--- ")).and_then(|at| diff.get(at + 1..));
        Some(ShownDiff { from: self.from.clone(), to, diff: body.unwrap_or(diff).to_owned() })
    }
}
