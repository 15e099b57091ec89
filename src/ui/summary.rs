//! The end of a run: what failed, where, what was undone, what stands, what is owed, and how to go on.

use super::{
    lines,
    message::{Kind, Message},
    tally::{State, Tally, Task},
};
use crate::{
    base::{HostName, words},
    journal::event::{End, Summary},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The end in words.
pub fn message(tally: &Tally, summary: &Summary) -> Message {
    let mut message = Message::new(kind(summary.outcome), title(tally, summary));
    let why = summary.why.as_deref().or(tally.failed.as_ref().map(|(_, why)| why.as_str()));
    if let Some(why) = why.filter(|_| summary.outcome != End::Done) {
        for line in why.lines().skip(1).filter(|l| !l.trim().is_empty()) {
            message = message.because(line.trim());
        }
    }
    if summary.outcome != End::Done
        && let Some((id, _)) = &tally.failed
        && let Some(task) = tally.tasks.get(id)
    {
        let file = tally.header.as_ref().and_then(|h| h.file.as_ref()).map_or_else(String::new, |f| format!(", {f}"));
        message = message.row("step", format!("{} ({}), {} on {}{file}", task.name, task.step, task.action, task.host));
        if tally.failed_hosts.len() > 1 {
            let hosts: Vec<&HostName> = tally.failed_hosts.iter().collect();
            message = message.row("failed", words::list(&hosts, 10));
        }
    }
    for (index, undone) in by_host(tally, |t| t.state == State::Undone).into_iter().enumerate() {
        message = message.row(if index == 0 { "undone" } else { "" }, undone);
    }
    message = stands(message, tally, summary);
    for (index, debt) in tally.debts.values().enumerate() {
        message = message.row(if index == 0 { "owed" } else { "" }, format!("{} on {}", debt.name, debt.host));
    }
    let Some(run) = &tally.run else { return message };
    hints(message.row("run", run.as_str()), summary, tally, run.as_str())
}

/// The end as JSON: an interface.
pub fn json(tally: &Tally, summary: &Summary) -> Value {
    let took = tally.began.zip(tally.last).map(|(from, to)| lines::between(from, to).as_millis());
    json!({
        "schema_version": 1,
        "run": tally.run,
        "runbook": tally.header.as_ref().map(|h| &h.runbook),
        "started": tally.began,
        "ended": tally.last,
        "duration_ms": took.and_then(|t| u64::try_from(t).ok()),
        "outcome": summary.outcome,
        "exit_code": summary.exit_code,
        "changed": summary.changed,
        "owed": summary.owed,
        "why": summary.why,
        "stands": summary.stands,
        "failed": tally.failed.as_ref().map(|(task, _)| task),
        "failed_hosts": tally.failed_hosts,
    })
}

const fn kind(end: End) -> Kind {
    match end {
        End::Done => Kind::Done,
        End::Stopped => Kind::Stopped,
        End::RolledBack | End::Failed | End::Unknown | End::NotNow | End::NotAllowed => Kind::Error,
    }
}

fn title(tally: &Tally, summary: &Summary) -> String {
    let name = tally.header.as_ref().map_or("run", |h| h.runbook.as_str());
    let why = summary.why.as_deref().and_then(|w| w.lines().next());
    let took = tally.began.zip(tally.last).map(|(from, to)| format!(" in {}", lines::span(lines::between(from, to))));
    match summary.outcome {
        End::Done if summary.changed == 0 => format!("`{name}` had nothing to change"),
        End::Done => {
            let hosts = tally.tasks.values().filter(|t| t.changed).map(|t| &t.host);
            let hosts = hosts.collect::<std::collections::BTreeSet<_>>().len();
            let tasks = words::count("task", summary.changed);
            format!("`{name}`: {tasks} changed on {}{}", words::count("host", hosts), took.unwrap_or_default())
        }
        End::Stopped => format!("`{name}` was stopped{}", why.map_or_else(String::new, |w| format!(": {w}"))),
        _ => why.map_or_else(|| format!("`{name}` failed"), ToOwned::to_owned),
    }
}

fn stands(mut message: Message, tally: &Tally, summary: &Summary) -> Message {
    if summary.outcome == End::Done {
        return message;
    }
    for (index, line) in summary.stands.iter().enumerate() {
        message = message.row(if index == 0 { "stands" } else { "" }, line);
    }
    if !summary.stands.is_empty() {
        return message;
    }
    match summary.outcome {
        End::RolledBack => message.row("stands", "nothing"),
        End::NotNow | End::NotAllowed => message,
        _ => {
            let lines = by_host(tally, |t| t.changed && t.state != State::Undone);
            for (index, line) in lines.into_iter().enumerate() {
                message = message.row(if index == 0 { "stands" } else { "" }, line);
            }
            message
        }
    }
}

/// The names of the tasks that `pick` takes, by host; hosts with equal lists share a line.
fn by_host(tally: &Tally, pick: impl Fn(&Task) -> bool) -> Vec<String> {
    let mut of: BTreeMap<&HostName, Vec<&str>> = BTreeMap::new();
    for task in tally.order.iter().filter_map(|id| tally.tasks.get(id)).filter(|t| pick(t)) {
        of.entry(&task.host).or_default().push(&task.name);
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

fn hints(message: Message, summary: &Summary, tally: &Tally, run: &str) -> Message {
    match summary.outcome {
        End::Done if summary.owed > 0 => message.hint("`svcops owed` lists what is still to be done"),
        End::Done | End::NotAllowed => message,
        End::Stopped => message.hint(format!("`svcops resume {run}` goes on; `svcops rollback {run}` brings all back")),
        End::Unknown => {
            let task = tally.doubts.keys().next().map_or("TASK", |t| t.as_str());
            message
                .hint(format!("`svcops resume {run}` asks the host again, once it can be reached"))
                .hint(format!("`svcops resolve {run} {task} done|not-done --reason …` records what a person saw"))
        }
        End::NotNow => message.hint(format!("`svcops history show {run}` shows what stood in the way")),
        End::RolledBack | End::Failed => {
            let message = message.hint(format!("`svcops history show {run}` has the output"));
            if summary.owed > 0 {
                message.hint("`svcops owed` lists what is still to be done")
            } else if summary.outcome == End::RolledBack && !tally.failed_hosts.is_empty() {
                message.hint(format!("`svcops run … --failed-from {run}` tries the failed hosts again"))
            } else {
                message
            }
        }
    }
}
