//! The end of a run: what failed, where, what was undone, what stands, what is owed, and how to go on.

use super::{
    lines,
    message::{Kind, Message},
    outage::{self, Outage},
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
    let kind = if summary.exit_code == 0 { Kind::Done } else { kind(summary.outcome) };
    let mut message = Message::new(kind, title(state, summary));
    if summary.outcome != End::Done {
        for line in summary.why.iter().flat_map(|w| w.lines().skip(1)).filter(|l| !l.trim().is_empty()) {
            message = message.because(line.trim());
        }
        message = failed(message, state);
    }
    let undone = by_host(state, |t| t.undo.as_deref().is_some_and(Leg::done));
    message = rows(message, "undone", undone);
    message = stands(message, state, summary);
    let owed: BTreeSet<String> = state.debts.iter().map(|o| format!("{} on {}", o.debt.name, o.debt.host)).collect();
    message = rows(message, "owed", owed.into_iter().collect());
    for seen in state.outages() {
        let named = format!("`{}`: {}", seen.service, outage::headline(&seen));
        message = rows(message, "outage", std::iter::once(named).chain(outage::table(&seen)).collect());
    }
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
        "drill": state.drilled(),
        "outages": state.outages().iter().map(Outage::json).collect::<Vec<_>>(),
        "failed": state.troubled().map(|t| &t.began.task).collect::<Vec<_>>(),
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
        End::Done if state.drilled() => {
            let done = state.tasks.iter().filter(|t| t.acted() && !t.began.in_rollback).count();
            let done = words::count("task", done);
            format!("`{name}`: a good drill: {done} carried out and taken back{}", took.unwrap_or_default())
        }
        // a restart and a message leave nothing that lasts, and were carried out all the same
        End::Done if summary.changed == 0 && state.tasks.iter().any(TaskState::acted) => {
            let done = state.tasks.iter().filter(|t| t.acted()).count();
            format!("`{name}`: {} carried out{}", words::count("task", done), took.unwrap_or_default())
        }
        End::Done if summary.changed == 0 => format!("`{name}`: nothing to do, everything is as it should be"),
        End::Done => {
            let hosts: BTreeSet<_> = state.tasks.iter().filter(|t| t.forward.changed).map(|t| &t.began.host).collect();
            let tasks = words::count("task", summary.changed);
            format!("`{name}`: {tasks} changed on {}{}", words::count("host", hosts.len()), took.unwrap_or_default())
        }
        End::Stopped => format!("`{name}`{}", why.map_or_else(String::new, |w| format!(": {w}"))),
        _ => why.map_or_else(|| format!("`{name}` failed"), ToOwned::to_owned),
    }
}

/// The step that failed first, and all hosts that something failed on.
fn failed(message: Message, state: &RunState) -> Message {
    let Some(first) = state.troubled().next() else { return message };
    let began = &first.began;
    let file = if began.place.is_empty() { String::new() } else { format!(", {}", began.place) };
    let message =
        message.row("step", format!("{} ({}), {} on {}{file}", began.name, began.step, began.action, began.host));
    let hosts: BTreeSet<&HostName> = state.troubled().map(|t| &t.began.host).collect();
    if hosts.len() > 1 {
        let hosts: Vec<_> = hosts.into_iter().collect();
        return message.row("failed", words::list(&hosts, 10));
    }
    message
}

fn stands(message: Message, state: &RunState, summary: &Summary) -> Message {
    match summary.outcome {
        End::Done | End::NotNow | End::NotAllowed => message,
        _ if !summary.stands.is_empty() => rows(message, "stands", alike(state, &summary.stands)),
        End::RolledBack => message.row("stands", "nothing"),
        _ => {
            let lines = by_host(state, TaskState::stands);
            rows(message, "stands", if lines.is_empty() { vec!["nothing".to_owned()] } else { lines })
        }
    }
}

/// Sentences that are equal but for a host are one, with all of its hosts.
fn alike(state: &RunState, lines: &[String]) -> Vec<String> {
    let known: BTreeSet<&str> = state.tasks.iter().map(|t| t.began.host.as_str()).collect();
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for line in lines {
        let host = line.split('`').skip(1).step_by(2).find(|name| known.contains(name)).unwrap_or_default();
        let key = if host.is_empty() { line.clone() } else { line.replace(&format!("`{host}`"), HOSTS) };
        match groups.iter_mut().find(|(k, _)| *k == key) {
            Some((_, hosts)) => hosts.push(host),
            None => groups.push((key, vec![host])),
        }
    }
    groups.into_iter().map(|(line, hosts)| line.replace(HOSTS, &words::list(&hosts, NAMED))).collect()
}

/// Stands for the host in a sentence; no sentence has it.
const HOSTS: &str = "\u{0}";
/// Hosts that are named one by one in a line.
const NAMED: usize = 10;
/// Lines of one fact; `history show` has the others.
const LINES: usize = 12;

/// A fact of several lines: only the first bears the label.
fn rows(message: Message, label: &'static str, mut lines: Vec<String>) -> Message {
    if lines.len() > LINES + 1 {
        let more = lines.len() - LINES;
        lines.truncate(LINES);
        lines.push(format!("and {more} more; `svcops history show` has them"));
    }
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
    lists.into_iter().map(|(names, hosts)| format!("{}: {}", some(&hosts), names.join(", "))).collect()
}

/// Names, of which the last are only counted where there are many.
fn some(hosts: &[&str]) -> String {
    let (named, more) = hosts.split_at(hosts.len().min(NAMED));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    named.join(", ") + &more
}

fn hints(message: Message, run: &RunId, state: &RunState, summary: &Summary) -> Message {
    let message = match summary.outcome {
        End::Done | End::NotAllowed => message,
        End::NotNow => return in_the_way(message, run, summary),
        End::Stopped if state.goes_back() => {
            return message.hint(format!("`svcops resume {run}` finishes taking it back"));
        }
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
            if summary.exit_code == 0 {
                return message;
            }
            let message = message.hint(format!("`svcops history show {run}` has the output"));
            if summary.owed == 0 && state.troubled().next().is_some() {
                return message.hint(format!("`svcops run … --failed-from {run}` tries the failed hosts again"));
            }
            message
        }
        End::Failed => message.hint(format!("`svcops history show {run}` has the output")),
    };
    if summary.owed > 0 { message.hint("`svcops owed` lists what is still to be done") } else { message }
}

/// What to do about the run that holds a lock, or that left a resource in doubt; the refusal names it.
fn in_the_way(message: Message, run: &RunId, summary: &Summary) -> Message {
    let why = summary.why.as_deref().unwrap_or_default();
    let words = why.split(|c: char| !c.is_ascii_alphanumeric());
    match words.filter_map(|word| word.parse::<RunId>().ok()).find(|other| other != run) {
        Some(other) if why.contains("in doubt") => {
            message.hint(format!("`svcops resume {other}` goes on with it; `svcops rollback {other}` brings all back"))
        }
        Some(other) => message.hint(format!("`svcops history show {other} --follow` shows when it ends")),
        None => message.hint(format!("`svcops history show {run}` shows what stood in the way")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{Span, TaskId, Way},
        journal::event::{Began, Debt, Event, How, Record, Scope},
        ui::paint::Paint,
    };
    use serde_json::Value;

    fn began(step: &str, name: &str, host: &str, then: Vec<Debt>) -> Event {
        Event::Began(Box::new(Began {
            task: TaskId::new(step, &host.into()),
            step: step.into(),
            id: None,
            name: name.into(),
            host: host.into(),
            action: "app.restart".into(),
            value: Value::Null.into(),
            before: None,
            then,
            undo: Vec::new(),
            inherits: Vec::new(),
            within: Span::secs(300),
            patience: None,
            pays: None,
            in_rollback: false,
            leaves_nothing: false,
            place: "runbooks/billing-restart.yaml:20".into(),
            opaque: false,
            always: false,
        }))
    }

    fn announced(step: &str, host: &str) -> Event {
        Event::Announced {
            task: TaskId::new(step, &host.into()),
            way: Way::Forward,
            number: 0,
            changes: vec![
                crate::base::Place::on(&host.into()).at(crate::base::Change::RestartUnit("b.service".into())),
            ],
            expect: Value::Null,
            boot: "b".into(),
            no_return: false,
        }
    }

    fn ended(step: &str, host: &str, way: Way, how: How, changed: bool) -> Event {
        Event::Ended { task: TaskId::new(step, &host.into()), way, how, seen: None, changed }
    }

    fn done() -> How {
        How::Done { outputs: Value::Null }
    }

    fn shown(events: Vec<Event>, summary: &Summary) -> String {
        let run = RunId::at_millis(1_795_000_000_000);
        let second = |n: usize| jiff::Timestamp::from_second(1_795_000_000 + i64::try_from(n).unwrap()).unwrap();
        let records: Vec<Record> = (1u64..)
            .zip(events)
            .map(|(seq, event)| Record { run: run.clone(), seq, at: second(usize::try_from(seq).unwrap()), event })
            .collect();
        message(&run, &RunState::fold(&records), summary).text(Paint::default(), 100)
    }

    #[test]
    fn a_run_that_went_back_says_what_failed_and_what_was_undone() {
        let summary = Summary {
            outcome: End::RolledBack,
            exit_code: 1,
            why: Some("`billing.service` on `dc1-app2` did not become healthy within 30s\nHTTP 503, 31 tries".into()),
            changed: 0,
            owed: 0,
            stands: Vec::new(),
        };
        let why = summary.why.clone().unwrap();
        let events = vec![
            began("2.1", "New configuration", "dc1-app1", Vec::new()),
            announced("2.1", "dc1-app1"),
            ended("2.1", "dc1-app1", Way::Forward, done(), true),
            began("2.2", "Перезапуск", "dc1-app2", Vec::new()),
            announced("2.2", "dc1-app2"),
            ended("2.2", "dc1-app2", Way::Forward, How::Failed(why), true),
            Event::RollingBack { scope: Scope::Run, why: "a step failed".into(), drill: false },
            ended("2.2", "dc1-app2", Way::Undo, done(), false),
            ended("2.1", "dc1-app1", Way::Undo, done(), false),
        ];
        insta::assert_snapshot!(shown(events, &summary), @r"
        error: `billing.service` on `dc1-app2` did not become healthy within 30s
          caused by: HTTP 503, 31 tries
          step    Перезапуск (2.2), app.restart on dc1-app2, runbooks/billing-restart.yaml:20
          undone  dc1-app1: New configuration
                  dc1-app2: Перезапуск
          stands  nothing
          run     01M7Q5CQG0
        hint: `svcops history show 01M7Q5CQG0` has the output
        hint: `svcops run … --failed-from 01M7Q5CQG0` tries the failed hosts again
        ");
    }

    #[test]
    fn a_run_that_left_something_names_what_stands_and_what_is_owed() {
        let summary = Summary {
            outcome: End::Failed,
            exit_code: 3,
            why: Some("`web-1` refused the restart".into()),
            changed: 1,
            owed: 1,
            stands: vec!["New configuration on web-1".into()],
        };
        let debt = Debt {
            key: "web-1 app.restart billing".into(),
            step: "1.then1".into(),
            name: "Restart".into(),
            host: "web-1".into(),
            action: "app.restart".into(),
            value: Value::Null,
            within: None,
        };
        let events = vec![
            began("1", "New configuration", "web-1", vec![debt]),
            announced("1", "web-1"),
            ended("1", "web-1", Way::Forward, How::Failed("no".into()), true),
        ];
        insta::assert_snapshot!(shown(events, &summary), @r"
        error: `web-1` refused the restart
          step    New configuration (1), app.restart on web-1, runbooks/billing-restart.yaml:20
          stands  New configuration on web-1
          owed    Restart on web-1
          run     01M7Q5CQG0
        hint: `svcops history show 01M7Q5CQG0` has the output
        hint: `svcops owed` lists what is still to be done
        ");
    }

    #[test]
    fn an_outage_is_told_with_its_phases() {
        let at = |millis: i64| jiff::Timestamp::from_millisecond(1_795_000_000_000 + millis).unwrap();
        let outage =
            crate::base::ClientOutage { from: Some(at(5_400)), until: Some(at(7_250)), micros: 1_850_000, failed: 180 };
        let seen = crate::base::ClientFacts {
            tries: 700,
            failed: 180,
            outages: vec![outage],
            ..crate::base::ClientFacts::steadily(true)
        };
        let look = |number: &str, action: &str, value: Value| {
            let Event::Began(mut begun) = began(number, "As a client sees it", "lb", Vec::new()) else { panic!() };
            (begun.action, begun.value) = (action.into(), value.into());
            Event::Began(begun)
        };
        let promise = json!({"sight": {"service": "crm"}, "promise": {"rto": "1s", "rpo": "0B"}});
        let verified = Event::Ended {
            task: TaskId::new("3", &"lb".into()),
            way: Way::Forward,
            how: done(),
            seen: Some(json!(seen)),
            changed: false,
        };
        let events = vec![
            look("1", "service.watch", promise.clone()),
            ended("1", "lb", Way::Forward, done(), false),
            began("2", "Переключить базу", "dc2-db1", Vec::new()),
            announced("2", "dc2-db1"),
            Event::Carried {
                task: TaskId::new("2", &"dc2-db1".into()),
                way: Way::Forward,
                number: 0,
                receipt: crate::base::Receipt {
                    micros: Some(700_000),
                    ..crate::base::Receipt::of(crate::base::Outcome::Ok)
                },
            },
            ended("2", "dc2-db1", Way::Forward, done(), true),
            look("3", "service.verify", promise),
            verified,
        ];
        let summary = Summary { outcome: End::Done, exit_code: 0, why: None, changed: 1, owed: 0, stands: Vec::new() };
        insta::assert_snapshot!(shown(events, &summary), @r"
        done: `run`: 1 task changed on 1 host
          outage  `crm`: 1850 ms (RTO 1s: missed), 180 of 700 requests failed
                  600 ms   █████▊        2 Переключить базу: svcops
                  1250 ms  ████████████  until clients were back
          run     01M7Q5CQG0
        ");
    }

    #[test]
    fn hundreds_of_hosts_are_a_few_lines() {
        let hosts: Vec<String> = (1..=500).map(|n| format!("web-{n:03}")).collect();
        let begin = |host: &String| [began("1", "Restart", host, Vec::new()), announced("1", host)];
        let fail = |host: &String| ended("1", host, Way::Forward, How::Failed("no".into()), true);
        let events = hosts.iter().flat_map(begin).chain(hosts.iter().map(fail)).collect();
        let stands = hosts.iter().map(|host| format!("`Restart` on `{host}` was not undone: it needs `undo:`"));
        let summary = Summary {
            outcome: End::Failed,
            exit_code: 3,
            why: Some("`Restart` failed".into()),
            changed: 500,
            owed: 0,
            stands: stands.chain(["`web-001` is out of `front`".to_owned()]).collect(),
        };
        insta::assert_snapshot!(shown(events, &summary), @r"
        error: `Restart` failed
          step    Restart (1), app.restart on web-001, runbooks/billing-restart.yaml:20
          failed  `web-001`, `web-002`, `web-003`, `web-004`, `web-005`, `web-006`, `web-007`, `web-008`,
                  `web-009`, `web-010` and 490 more
          stands  `Restart` on `web-001`, `web-002`, `web-003`, `web-004`, `web-005`, `web-006`, `web-007`,
                  `web-008`, `web-009`, `web-010` and 490 more was not undone: it needs `undo:`
                  `web-001` is out of `front`
          run     01M7Q5CQG0
        hint: `svcops history show 01M7Q5CQG0` has the output
        ");
    }

    #[test]
    fn an_unknown_outcome_says_how_a_person_settles_it() {
        let summary = Summary {
            outcome: End::Unknown,
            exit_code: 4,
            why: Some("nobody knows what became of `Restart` on `web-1`".into()),
            changed: 0,
            owed: 0,
            stands: Vec::new(),
        };
        let events = vec![
            began("1", "Restart", "web-1", Vec::new()),
            announced("1", "web-1"),
            Event::InDoubt { task: TaskId::new("1", &"web-1".into()), way: Way::Forward, why: "contact lost".into() },
        ];
        insta::assert_snapshot!(shown(events, &summary), @r"
        error: nobody knows what became of `Restart` on `web-1`
          step    Restart (1), app.restart on web-1, runbooks/billing-restart.yaml:20
          stands  web-1: Restart
          run     01M7Q5CQG0
        hint: `svcops resume 01M7Q5CQG0` asks the host again, once it can be reached
        hint: `svcops resolve 01M7Q5CQG0 1@web-1 done|not-done --reason …` records what a person saw
        ");
    }

    #[test]
    fn a_run_that_was_refused_says_what_to_do_about_the_run_in_its_way() {
        let refused = |why: &str| {
            let summary = Summary {
                outcome: End::NotNow,
                exit_code: 75,
                why: Some(why.into()),
                changed: 0,
                owed: 0,
                stands: Vec::new(),
            };
            shown(Vec::new(), &summary)
        };
        insta::assert_snapshot!(refused("`a` is in doubt: run 01M83BB55P was interrupted"), @r"
        error: `a` is in doubt: run 01M83BB55P was interrupted
          run     01M7Q5CQG0
        hint: `svcops resume 01M83BB55P` goes on with it; `svcops rollback 01M83BB55P` brings all back
        ");
        insta::assert_snapshot!(refused("`a` is held by run 01M83BB55P since 10:42"), @r"
        error: `a` is held by run 01M83BB55P since 10:42
          run     01M7Q5CQG0
        hint: `svcops history show 01M83BB55P --follow` shows when it ends
        ");
    }

    #[test]
    fn a_restart_that_went_well_was_carried_out_though_nothing_differs() {
        let summary = Summary { outcome: End::Done, exit_code: 0, why: None, changed: 0, owed: 0, stands: Vec::new() };
        let done = || How::Done { outputs: Value::Null };
        let events = vec![
            began("1", "Restart", "web1", Vec::new()),
            announced("1", "web1"),
            ended("1", "web1", Way::Forward, done(), false),
        ];
        insta::assert_snapshot!(shown(events, &summary), @r"
        done: `run`: 1 task carried out
          run     01M7Q5CQG0
        ");
    }

    #[test]
    fn a_run_with_nothing_to_do_says_so() {
        let summary = Summary { outcome: End::Done, exit_code: 0, why: None, changed: 0, owed: 0, stands: Vec::new() };
        insta::assert_snapshot!(shown(Vec::new(), &summary), @r"
        done: `run`: nothing to do, everything is as it should be
          run     01M7Q5CQG0
        ");
    }
}
