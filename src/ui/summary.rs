//! The end of a run: what failed, where, what was undone, what stands, what is owed, and how to go on.

use super::{
    lines,
    message::{Kind, Message},
};
use crate::{
    base::{HostName, RunId, words},
    journal::{
        event::{End, Summary},
        state::{Leg, RunState, TaskState},
    },
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The end in words.
pub fn message(run: &RunId, state: &RunState, summary: &Summary) -> Message {
    let mut message = Message::new(kind(summary.outcome), title(state, summary));
    if summary.outcome != End::Done {
        for line in summary.why.iter().flat_map(|w| w.lines().skip(1)).filter(|l| !l.trim().is_empty()) {
            message = message.because(line.trim());
        }
        message = failed(message, state);
    }
    let undone = by_host(state, |t| t.undo.as_ref().is_some_and(Leg::done));
    message = rows(message, "undone", undone);
    message = stands(message, state, summary);
    let owed: BTreeSet<String> = state.debts.iter().map(|o| format!("{} on {}", o.debt.name, o.debt.host)).collect();
    message = rows(message, "owed", owed.into_iter().collect());
    hints(message.row("run", run.as_str()), run, state, summary)
}

/// The end as JSON: an interface.
pub fn json(run: &RunId, state: &RunState, summary: &Summary) -> Value {
    let took = state.began.zip(state.last).map(|(from, to)| lines::between(from, to).as_millis());
    json!({
        "schema_version": 1,
        "run": run,
        "runbook": state.header.as_ref().map(|h| &h.runbook),
        "started": state.began,
        "ended": state.last,
        "duration_ms": took.and_then(|t| u64::try_from(t).ok()),
        "outcome": summary.outcome,
        "exit_code": summary.exit_code,
        "changed": summary.changed,
        "owed": summary.owed,
        "why": summary.why,
        "stands": summary.stands,
        "failed": troubled(state).map(|t| &t.began.task).collect::<Vec<_>>(),
    })
}

const fn kind(end: End) -> Kind {
    match end {
        End::Done => Kind::Done,
        End::Stopped => Kind::Stopped,
        End::RolledBack | End::Failed | End::Unknown | End::NotNow | End::NotAllowed => Kind::Error,
    }
}

fn title(state: &RunState, summary: &Summary) -> String {
    let name = state.header.as_ref().map_or("run", |h| h.runbook.as_str());
    let why = summary.why.as_deref().and_then(|w| w.lines().next());
    let took = state.began.zip(state.last).map(|(from, to)| format!(" in {}", lines::span(lines::between(from, to))));
    match summary.outcome {
        End::Done if summary.changed == 0 => format!("`{name}` had nothing to change"),
        End::Done => {
            let hosts: BTreeSet<_> = state.tasks.iter().filter(|t| t.forward.changed).map(|t| &t.began.host).collect();
            let tasks = words::count("task", summary.changed);
            format!("`{name}`: {tasks} changed on {}{}", words::count("host", hosts.len()), took.unwrap_or_default())
        }
        End::Stopped => format!("`{name}`{}", why.map_or_else(String::new, |w| format!(": {w}"))),
        _ => why.map_or_else(|| format!("`{name}` failed"), ToOwned::to_owned),
    }
}

/// Tasks that failed or are in doubt, in the order in which they began.
fn troubled(state: &RunState) -> impl Iterator<Item = &TaskState> {
    state.tasks.iter().filter(|t| {
        t.forward.why().is_some() || t.doubt().is_some() || t.undo.as_ref().is_some_and(|u| u.why().is_some())
    })
}

/// The step that failed first, and all hosts that something failed on.
fn failed(message: Message, state: &RunState) -> Message {
    let Some(first) = troubled(state).next() else { return message };
    let file = state.header.as_ref().and_then(|h| h.file.as_ref()).map_or_else(String::new, |f| format!(", {f}"));
    let began = &first.began;
    let message =
        message.row("step", format!("{} ({}), {} on {}{file}", began.name, began.step, began.action, began.host));
    let hosts: BTreeSet<&HostName> = troubled(state).map(|t| &t.began.host).collect();
    if hosts.len() > 1 {
        let hosts: Vec<_> = hosts.into_iter().collect();
        return message.row("failed", words::list(&hosts, 10));
    }
    message
}

fn stands(message: Message, state: &RunState, summary: &Summary) -> Message {
    match summary.outcome {
        End::Done | End::NotNow | End::NotAllowed => message,
        _ if !summary.stands.is_empty() => rows(message, "stands", summary.stands.clone()),
        End::RolledBack => message.row("stands", "nothing"),
        _ => {
            let lines = by_host(state, TaskState::stands);
            rows(message, "stands", if lines.is_empty() { vec!["nothing".to_owned()] } else { lines })
        }
    }
}

/// A fact of several lines: only the first bears the label.
fn rows(message: Message, label: &'static str, lines: Vec<String>) -> Message {
    lines.into_iter().enumerate().fold(message, |m, (index, line)| m.row(if index == 0 { label } else { "" }, line))
}

/// The names of the tasks that `pick` takes, by host; hosts with equal lists share a line.
fn by_host(state: &RunState, pick: impl Fn(&TaskState) -> bool) -> Vec<String> {
    let mut of: BTreeMap<&HostName, Vec<&str>> = BTreeMap::new();
    for task in state.tasks.iter().filter(|t| pick(t)) {
        of.entry(&task.began.host).or_default().push(&task.began.name);
    }
    let mut lists: Vec<(Vec<&str>, Vec<&str>)> = Vec::new();
    for (host, names) in of {
        match lists.iter_mut().find(|(n, _)| *n == names) {
            Some((_, hosts)) => hosts.push(host.as_str()),
            None => lists.push((names, vec![host.as_str()])),
        }
    }
    lists.into_iter().map(|(names, hosts)| format!("{}: {}", hosts.join(", "), names.join(", "))).collect()
}

fn hints(message: Message, run: &RunId, state: &RunState, summary: &Summary) -> Message {
    let message = match summary.outcome {
        End::Done | End::NotAllowed => message,
        End::NotNow => return message.hint(format!("`svcops history show {run}` shows what stood in the way")),
        End::Stopped => {
            return message.hint(format!("`svcops resume {run}` goes on; `svcops rollback {run}` brings all back"));
        }
        End::Unknown => {
            let task = state.doubts().next().map_or("TASK", |(t, _, _)| t.began.task.as_str());
            return message
                .hint(format!("`svcops resume {run}` asks the host again, once it can be reached"))
                .hint(format!("`svcops resolve {run} {task} done|not-done --reason …` records what a person saw"));
        }
        End::RolledBack => {
            let message = message.hint(format!("`svcops history show {run}` has the output"));
            if summary.owed == 0 && troubled(state).next().is_some() {
                return message.hint(format!("`svcops run … --failed-from {run}` tries the failed hosts again"));
            }
            message
        }
        End::Failed => message.hint(format!("`svcops history show {run}` has the output")),
    };
    if summary.owed > 0 { message.hint("`svcops owed` lists what is still to be done") } else { message }
}
