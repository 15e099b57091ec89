//! One plain line an event that matters: what a pipe, a mail from cron and a CI log show.

use super::{changes, paint::plain};
use crate::{
    base::{HostName, Outcome, Span, TaskId, Way, words},
    journal::{
        event::{Event, How, Notice, Record, Scope},
        state::RunState,
    },
};
use jiff::Timestamp;
use std::time::Duration;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Only with `-v`.
    Detail,
    /// Something begins: a screen that shows what runs need not print it.
    Begins,
    /// Something ended.
    Ends,
    /// Something is wrong.
    Wrong,
}

/// The line of an event, without its time; `state` has taken it in already.
pub fn of(record: &Record, state: &RunState) -> Option<(Weight, String)> {
    let name = |task: &TaskId| label(state, task);
    let line = match &record.event {
        Event::Started(header) => {
            (Weight::Begins, format!("run {}: {}, by {}", record.run, header.runbook, header.operator.name))
        }
        Event::Refused { why, .. } => (Weight::Wrong, format!("refused: {why}")),
        Event::Locked { exclusive, .. } => (Weight::Detail, format!("holds {}", words::count("lock", exclusive.len()))),
        Event::Resumed { operator } => (Weight::Begins, format!("run {} goes on, by {}", record.run, operator.name)),
        Event::Phase { step, name, batch, hosts } => {
            let batch = batch.map_or_else(String::new, |b| format!(", batch {} of {}", b.number, b.of));
            (Weight::Begins, format!("step {step} {name}{batch}: {}", some_hosts(hosts)))
        }
        Event::Skipped { task, why } => (Weight::Detail, format!("{}: skipped, {why}", name(task))),
        Event::Began(began) => (Weight::Detail, format!("{}: {} begins", name(&began.task), began.action)),
        Event::UndoBegan { task } => (Weight::Begins, format!("{}: going back", name(task))),
        Event::Announced { task, changes, .. } => {
            let what: Vec<String> = changes.iter().map(|c| changes::words(&c.what)).collect();
            (Weight::Begins, format!("{}: {}", name(task), what.join(", ")))
        }
        Event::Carried { task, receipt, .. } => match &receipt.outcome {
            Outcome::Ok => (Weight::Detail, format!("{}: carried out", name(task))),
            Outcome::Refused(why) => (Weight::Detail, format!("{}: refused, {why}", name(task))),
            Outcome::Failed(why) => (Weight::Detail, format!("{}: failed, {why}", name(task))),
            Outcome::Unknown(why) => (Weight::Wrong, format!("{}: outcome unknown, {why}", name(task))),
        },
        Event::Retried { task, attempt, why } => {
            (Weight::Wrong, format!("{}: attempt {attempt} begins; the one before: {why}", name(task)))
        }
        Event::InDoubt { task, why, .. } => (Weight::Wrong, format!("{}: in doubt, {why}", name(task))),
        Event::Resolved { task, done, operator, reason, .. } => {
            let saw = if *done { "done" } else { "not done" };
            (Weight::Ends, format!("{}: {} saw that it was {saw}: {reason}", name(task), operator.name))
        }
        Event::Waived { task, reason, operator } => {
            (Weight::Ends, format!("{}: left out by {}: {reason}", name(task), operator.name))
        }
        Event::Ended { task, way, how, changed, .. } => ended(state, task, *way, how, *changed, record.at),
        Event::RollingBack { why, drill: true, .. } => (Weight::Ends, format!("{why}: all goes back")),
        Event::RollingBack { scope, why, drill: false } => {
            (Weight::Wrong, format!("rolling back {}: {why}", scope_words(scope)))
        }
        Event::RolledBack { scope } => (Weight::Ends, format!("rolled back {}", scope_words(scope))),
        Event::Stopping { why, now: false } => {
            (Weight::Wrong, format!("stopping after what is under way: {why}; once more ends it on the hosts too"))
        }
        Event::Stopping { why, now: true } => (Weight::Wrong, format!("ending what is under way on the hosts: {why}")),
        Event::Paid { debt, .. } => (Weight::Detail, format!("no longer owed: {debt}")),
        Event::Finished(_) => return None,
    };
    Some((line.0, one_line(&line.1)))
}

/// The line of a notice.
pub fn notice(notice: &Notice, state: &RunState) -> Option<(Weight, String)> {
    let line = match notice {
        Notice::Ahead { tasks } => (Weight::Detail, format!("{} ahead", words::count("task", *tasks))),
        Notice::Observed { done, of } => (Weight::Detail, format!("looked at {done} of {}", words::count("task", *of))),
        Notice::Waiting { task, why, elapsed } => {
            (Weight::Begins, format!("{}: waits for {}: {why}", label(state, task), span(*elapsed)))
        }
        Notice::Silent { host, why } => (Weight::Wrong, format!("`{host}` cannot be reached, trying again: {why}")),
        Notice::Warning(_) => return None,
    };
    Some((line.0, one_line(&line.1)))
}

/// A span for people: whole seconds from ten on, tenths below.
pub fn span(time: Duration) -> String {
    if time >= Duration::from_secs(10) {
        Span::secs(time.as_secs()).to_string()
    } else {
        format!("{:.1}s", time.as_secs_f64())
    }
}

/// The time between two instants of a run.
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// `HOST: STEP`, as lines begin.
pub fn label(state: &RunState, task: &TaskId) -> String {
    state.task(task).map_or_else(
        || match task.as_str().split_once('@') {
            Some((step, host)) => format!("{host}: step {step}"),
            None => task.to_string(),
        },
        |t| format!("{}: {}", t.began.host, t.began.name),
    )
}

fn ended(state: &RunState, id: &TaskId, way: Way, how: &How, changed: bool, at: Timestamp) -> (Weight, String) {
    let name = label(state, id);
    let leg = state.task(id).and_then(|t| t.leg(way));
    let took = leg.map(|l| span(between(l.since, at))).unwrap_or_default();
    match (way, how) {
        // a restart leaves what lasts as it was, and is done all the same
        (Way::Forward, How::Done { .. }) if changed || leg.is_some_and(|l| l.announced > 0) => {
            (Weight::Ends, format!("{name}: done in {took}"))
        }
        (Way::Forward, How::Done { .. }) => (Weight::Ends, format!("{name}: ok, nothing changed")),
        (Way::Undo, How::Done { .. }) => (Weight::Ends, format!("{name}: undone in {took}")),
        (_, How::Conditional) => (Weight::Detail, format!("{name}: not known before the run")),
        (Way::Forward, How::Refused(why)) => (Weight::Wrong, format!("{name}: refused: {why}")),
        (Way::Forward, How::Failed(why)) => (Weight::Wrong, format!("{name}: failed: {why}")),
        (Way::Undo, How::Refused(why) | How::Failed(why)) => (Weight::Wrong, format!("{name}: not undone: {why}")),
    }
}

fn scope_words(scope: &Scope) -> String {
    match scope {
        Scope::Run => "the run".to_owned(),
        Scope::Batch(hosts) => format!("the batch: {}", some_hosts(hosts)),
        Scope::Host(host) => format!("`{host}`"),
    }
}

fn some_hosts(hosts: &[HostName]) -> String {
    words::list(hosts, 5)
}

fn one_line(text: &str) -> String {
    plain(text).split('\n').map(str::trim_end).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::RunId;

    #[test]
    fn an_attempt_never_reads_as_the_last_one() {
        let event = Event::Retried { task: "1@web1".into(), attempt: 2, why: "exit code 7".into() };
        let record = Record { run: RunId::at_millis(0), seq: 1, at: Timestamp::UNIX_EPOCH, event };
        let (_, line) = of(&record, &RunState::default()).unwrap();
        assert!(line.ends_with("attempt 2 begins; the one before: exit code 7"), "{line}");
    }
}
