//! What a run changed: per resource before → after, hosts folded where the same happened to them.

use super::course::natural;
use crate::{
    base::{At, Change, HostName, Outcome, Packed, Program, Receipt},
    journal::{
        shown::Shown,
        state::{Leg, RunState, TaskState},
    },
    ui::{
        changes,
        facts::{differ, masked},
    },
};
use serde_json::Value;
use std::collections::BTreeMap;

/// What happened in equal measure to one or more hosts.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// The step's number path.
    pub step: String,
    /// Its name.
    pub name: String,
    /// The action's name.
    pub action: String,
    /// The hosts. Where there are several, `HOST` stands for their names in the texts.
    pub hosts: Vec<HostName>,
    /// The changes in words, in order; equal ones once.
    pub what: Vec<What>,
    /// The facts before, in words; empty: they tell no difference.
    pub before: String,
    /// The facts after.
    pub after: String,
    /// Diffs of files: the path, and a unified diff or a sentence.
    pub diffs: Vec<(String, String)>,
    /// It was carried out because the run went back.
    pub back: bool,
    /// How it stands.
    pub now: Now,
}

/// A change in words.
#[derive(Clone, Debug, PartialEq)]
pub struct What {
    /// Short: ``restart `billing.service` ``.
    pub words: String,
    /// The whole command, where the words had to cut it.
    pub command: Option<String>,
}

/// How a change stands at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Now {
    /// As the step left it.
    Stands,
    /// Done; nothing that lasts is another than before: a restart, a message.
    Passed,
    /// It was taken back.
    AsBefore,
    /// It failed, and nothing that lasts is known to be another than before.
    Failed,
    /// It has not ended.
    Open,
    /// Neither as it was nor as it should be, for certain or perhaps.
    Left,
    /// Nobody knows.
    Unknown,
}

impl Now {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Stands => "stands",
            Self::Passed => "done, leaves nothing",
            Self::AsBefore => "as before",
            Self::Failed => "failed",
            Self::Open => "not ended",
            Self::Left => "not as it should be",
            Self::Unknown => "unknown",
        }
    }
    /// A sign that says it without colour.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Stands | Self::Passed => "✓",
            Self::AsBefore => "↩",
            Self::Left | Self::Failed => "✕",
            Self::Open => "…",
            Self::Unknown => "?",
        }
    }
    /// The name of its class in the page's style.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Stands | Self::Passed => "done",
            Self::AsBefore => "undone",
            Self::Left | Self::Failed => "failed",
            Self::Open => "open",
            Self::Unknown => "unknown",
        }
    }
}

/// All that was changed, in the order of the steps, and how many more there are than `most`.
pub(super) fn changed(state: &RunState, shown: Option<&Shown>, most: usize) -> (Vec<Changed>, usize) {
    let mut groups: Vec<(Changed, HostName)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for task in state.tasks.iter().filter(|task| task.acted()) {
        let one = of(task, shown);
        let key = key(&one, task.began.host.as_str());
        if let Some((group, _)) = places.get(&key).and_then(|at| groups.get_mut(*at)) {
            if !group.hosts.contains(&task.began.host) {
                group.hosts.push(task.began.host.clone());
            }
        } else {
            places.insert(key, groups.len());
            groups.push((one, task.began.host.clone()));
        }
    }
    groups.sort_by_cached_key(|(group, _)| (group.back, order(&group.step)));
    for (group, _) in &mut groups {
        group.hosts.sort_by(|a, b| natural(a.as_str(), b.as_str()));
    }
    let more = groups.len().saturating_sub(most);
    let groups = groups.into_iter().take(most);
    let several = |(group, host): (Changed, HostName)| {
        if group.hosts.len() > 1 { group.with(|text| masked(text, host.as_str())) } else { group }
    };
    (groups.map(several).collect(), more)
}

/// `2.10` comes after `2.9`.
pub(super) fn order(step: &str) -> Vec<(u64, String)> {
    step.split('.').map(|part| (part.parse().unwrap_or(u64::MAX), part.to_owned())).collect()
}

fn of(task: &TaskState, shown: Option<&Shown>) -> Changed {
    let began = &task.began;
    let did: Vec<&At<Change>> = carried(&task.forward).collect();
    let (was, is) = (began.before.as_ref().map(Packed::open), task.after.as_ref().map(Packed::open));
    let (before, after) = differ(was.as_ref(), is.as_ref().or(was.as_ref()));
    let mut what: Vec<What> = Vec::new();
    let mut diffs: Vec<(String, String)> = Vec::new();
    for change in did {
        let one = What { words: changes::words(&change.what), command: command(&change.what) };
        if !what.contains(&one) {
            what.push(one);
        }
        if let Some(diff) = diff(&change.what, was.as_ref(), shown)
            && !diffs.contains(&diff)
        {
            diffs.push(diff);
        }
    }
    Changed {
        step: began.step.clone(),
        name: began.name.clone(),
        action: began.action.clone(),
        hosts: vec![began.host.clone()],
        what,
        before,
        after,
        diffs,
        back: began.in_rollback,
        now: now(task),
    }
}

/// The changes of a leg that were carried out or may have been: what never began is left out.
fn carried(leg: &Leg) -> impl Iterator<Item = &At<Change>> {
    let began = |(_, receipt): &&(At<Change>, Receipt)| !matches!(receipt.outcome, Outcome::Refused(_));
    leg.did.iter().filter(began).map(|(change, _)| change).chain(leg.queue.front())
}

fn diff(change: &Change, before: Option<&Value>, shown: Option<&Shown>) -> Option<(String, String)> {
    let from = before.and_then(|b| b.get("hash")).and_then(Value::as_str);
    let (path, to) = match change {
        Change::WriteFile { path, content, .. } => (path, Some(content.hash.0.as_str())),
        Change::RemoveFile(path) => (path, None),
        _ => return None,
    };
    Some((path.clone(), shown?.diff(from, to)?.to_owned()))
}

/// The whole command, if there is more of it than the words show.
fn command(change: &Change) -> Option<String> {
    let Change::Run(invocation) = change else { return None };
    let text = match &invocation.program {
        Program::Shell(text) => text.clone(),
        Program::Argv(argv) => argv.join(" "),
        Program::Script { args, .. } => args.join(" "),
    };
    (!changes::words(change).contains(text.trim())).then_some(text)
}

fn now(task: &TaskState) -> Now {
    if task.doubt().is_some() {
        return Now::Unknown;
    }
    if task.undo.as_deref().is_some_and(Leg::done) {
        return Now::AsBefore;
    }
    let stuck = task.undo.as_ref().is_some_and(|undo| undo.why().is_some());
    match (&task.forward.how, task.stands()) {
        (None, _) => Now::Open,
        (Some(_), true) if stuck || !task.forward.done() => Now::Left,
        (Some(_), true) => Now::Stands,
        (Some(_), false) if task.forward.done() => Now::Passed,
        (Some(_), false) => Now::Failed,
    }
}

fn key(one: &Changed, host: &str) -> String {
    let one = Changed { hosts: Vec::new(), ..one.clone() };
    format!("{:?}", one.with(|text| masked(text, host)))
}

impl Changed {
    /// With each of its texts changed so.
    fn with(self, change: impl Fn(&str) -> String) -> Self {
        Self {
            what: self
                .what
                .iter()
                .map(|w| What { words: change(&w.words), command: w.command.as_deref().map(&change) })
                .collect(),
            before: change(&self.before),
            after: change(&self.after),
            diffs: self.diffs.iter().map(|(path, diff)| (change(path), change(diff))).collect(),
            ..self
        }
    }
}
