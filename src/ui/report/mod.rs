//! The report of a run: a model made of its events, and the three forms of it: a page, a note for a ticket, JUnit's XML.

mod blocks;
mod changed;
mod course;
mod drawing;
pub(crate) mod escape;
mod events;
mod html;
mod junit;
mod markdown;
mod outage;
mod outputs;
mod scale;
#[cfg(test)]
mod tests;

pub use changed::{Changed, Now, What};
pub use course::{Course, Fate, Mark, Stretch};
pub use events::Events;
pub(crate) use html::sheet;
pub use outputs::{Outputs, Stream, Written};

use super::{facts, history::Listed, lines, outage::Outage, summary};
use crate::{
    base::{HostName, RunId, TaskId, words},
    journal::{
        chain::Head,
        event::{Event, Header, Operator, Record},
        shown::Shown,
        state::{Owed, RunState, TaskState},
    },
};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What a report is made of.
#[derive(Debug)]
pub struct Source<'a> {
    /// The run as lists have it.
    pub run: &'a Listed,
    /// Its events.
    pub records: &'a [Record],
    /// The plan as it was shown before the run; none where it was not kept.
    pub shown: Option<&'a Shown>,
    /// The runbook's title.
    pub title: Option<String>,
    /// The ticket that it is recorded in, as the ticket system calls it.
    pub ticket: Option<String>,
    /// What it owes, and whether a later run has paid that.
    pub owed: Vec<(Owed, bool)>,
    /// Where its chain ends.
    pub chain: Option<Chain>,
    /// The project's time zone.
    pub zone: TimeZone,
    /// Now.
    pub made: Timestamp,
}

/// What proves that the events are those that were written.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// The run's last event, and the ledger's entry.
    pub head: Head,
    /// What a check of the run found when the report was made; empty: nothing was changed, moved or taken out.
    pub faults: Vec<String>,
}

/// A run as a report tells it.
#[derive(Debug)]
pub struct Report {
    /// The run.
    pub run: RunId,
    /// The runbook's title, else its name.
    pub title: String,
    /// How it began.
    pub header: Option<Header>,
    /// The word for its outcome, as lists have it.
    pub outcome: &'static str,
    /// Its exit code, once it has one.
    pub exit_code: Option<u8>,
    /// The ticket that it is recorded in, as the ticket system calls it.
    pub recorded_in: Option<String>,
    /// It came to where it was to turn back, and did.
    pub drill: bool,
    /// The outcome in words.
    pub headline: &'static str,
    /// What that means for the targets.
    pub meaning: &'static str,
    /// What happened, in a sentence.
    pub sentence: String,
    /// What it was caused by, the nearest cause first.
    pub causes: Vec<String>,
    /// When it began.
    pub began: Timestamp,
    /// When it ended, or its last event came.
    pub until: Timestamp,
    /// Who went on with it, settled something or left something out: when, who, what.
    pub people: Vec<(Timestamp, Operator, String)>,
    /// Its tasks, counted.
    pub counts: Counts,
    /// What was changed.
    pub changed: Vec<Changed>,
    /// So many more changes are not listed.
    pub more_changed: usize,
    /// What is not as it was and not as it should be.
    pub stands: Vec<String>,
    /// What is owed, and whether a later run has paid it.
    pub owed: Vec<(String, bool)>,
    /// What to do next.
    pub next: Vec<String>,
    /// Planned and never begun, by step: its number, its name, its hosts.
    pub not_begun: Vec<(String, String, Vec<String>)>,
    /// What each host went through.
    pub courses: Vec<Course>,
    /// What happened to the run as a whole.
    pub marks: Vec<Mark>,
    /// Tasks that did not apply, and why.
    pub skipped: Vec<(TaskId, String)>,
    /// How long clients did not see the services that were watched.
    pub outages: Vec<Outage>,
    /// What was written.
    pub outputs: Outputs,
    /// Its events in words.
    pub events: Events,
    /// What proves it.
    pub chain: Option<Chain>,
    /// The project's time zone.
    pub zone: TimeZone,
    /// When this was made.
    pub made: Timestamp,
}

/// Tasks by what became of them; each counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Hosts that came to their turn.
    pub hosts: usize,
    /// Something was done, and stays.
    pub done: usize,
    /// It went well, and nothing was done for it.
    pub same: usize,
    /// It failed or was refused, whether or not it was taken back.
    pub failed: usize,
    /// It was done and taken back.
    pub undone: usize,
    /// It was done and could not be taken back.
    pub stuck: usize,
    /// Nobody knows.
    pub unknown: usize,
    /// It has not ended.
    pub open: usize,
    /// It did not apply, or a person left it out.
    pub skipped: usize,
    /// Planned, and never begun.
    pub not_begun: usize,
}

impl Counts {
    /// All tasks.
    pub const fn tasks(&self) -> usize {
        self.done
            + self.same
            + self.failed
            + self.undone
            + self.stuck
            + self.unknown
            + self.open
            + self.skipped
            + self.not_begun
    }
}

/// How many kinds of changes are listed.
const MOST_CHANGED: usize = 150;
/// So many bytes of outputs are shown.
const OUTPUTS: usize = 256 * 1024;
/// So many bytes of events are shown.
const EVENTS: usize = 384 * 1024;

impl Report {
    /// The report that these events make.
    pub fn of(source: &Source<'_>) -> Self {
        let records = source.records;
        let state = RunState::fold(records);
        let row = &source.run.row;
        let outcome = source.run.outcome();
        let last = records.last().map_or(row.began, |record| record.at);
        let until = row.ended.unwrap_or(if outcome == "running" { source.made.max(last) } else { last });
        let (headline, meaning) = told(outcome, state.drilled(), row.changed, row.exit_code);
        let (courses, marks) = course::courses(records, until);
        let not_begun = if outcome == "done" { Vec::new() } else { not_begun(source.shown, &state) };
        let (changed, more_changed) = changed::changed(&state, source.shown, MOST_CHANGED);
        let (sentence, causes, next) = words(&row.run, &state, outcome);
        let troubled: BTreeSet<&HostName> =
            courses.iter().filter(|course| course.fate().troubled()).map(|course| &course.host).collect();
        let events = events::events(records, &source.zone, &troubled, EVENTS);
        Self {
            run: row.run.clone(),
            title: source.title.clone().unwrap_or_else(|| row.runbook.clone()),
            outcome,
            exit_code: row.exit_code,
            recorded_in: source.ticket.clone(),
            drill: state.drilled(),
            headline,
            meaning,
            sentence,
            causes,
            began: row.began,
            until,
            people: people(records),
            counts: counts(&courses, &state, &not_begun),
            changed,
            more_changed,
            stands: stands(&state, outcome),
            owed: owed(&source.owed),
            next,
            not_begun,
            skipped: state.skipped.iter().map(|(task, why)| (task.clone(), why.clone())).collect(),
            outages: state.outages(),
            outputs: outputs::outputs(records, &state, OUTPUTS),
            events,
            courses,
            marks,
            header: state.header,
            chain: source.chain.clone(),
            zone: source.zone.clone(),
            made: source.made,
        }
    }

    /// The page: one file, without a request to anywhere and without a script.
    pub fn html(&self) -> String {
        html::page(self)
    }
    /// A note for a ticket.
    pub fn markdown(&self) -> String {
        markdown::note(self)
    }
    /// JUnit's XML: a test case a task.
    pub fn junit(&self) -> String {
        junit::suite(self)
    }
    /// As JSON: an interface.
    pub fn json(&self) -> Value {
        let header = self.header.as_ref();
        let counts = &self.counts;
        json!({
            "schema_version": 1,
            "run": self.run,
            "runbook": header.map(|h| &h.runbook),
            "title": self.title,
            "params": header.map(|h| &h.params),
            "operator": header.map(|h| &h.operator),
            "reason": header.and_then(|h| h.reason.as_ref()),
            "ticket": self.ticket(),
            "started": self.began,
            "ended": self.until,
            "duration_ms": u64::try_from(self.took().as_millis()).unwrap_or(u64::MAX),
            "outcome": self.outcome,
            "exit_code": self.exit_code,
            "drill": self.drill,
            "headline": self.headline,
            "meaning": self.meaning,
            "sentence": self.sentence,
            "causes": self.causes,
            "tasks": {
                "done": counts.done, "same": counts.same, "failed": counts.failed, "undone": counts.undone,
                "not_undone": counts.stuck, "unknown": counts.unknown, "open": counts.open,
                "skipped": counts.skipped, "not_begun": counts.not_begun,
            },
            "changed": self.changed.iter().map(|c| json!({
                "step": c.step, "name": c.name, "action": c.action, "hosts": c.hosts,
                "what": c.what.iter().map(|w| &w.words).collect::<Vec<_>>(),
                "before": c.before, "after": c.after, "now": c.now.words(),
                "diffs": c.diffs.iter().map(|(path, diff)| json!({"path": path, "diff": diff})).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "stands": self.stands,
            "outages": self.outages.iter().map(Outage::json).collect::<Vec<_>>(),
            "owed": self.owed.iter().map(|(what, paid)| json!({"what": what, "paid": paid})).collect::<Vec<_>>(),
            "next": self.next,
            "head": self.chain.as_ref().map(|c| json!({"seq": c.head.seq, "hash": c.head.hash})),
            "anchor": self.chain.as_ref().and_then(|c| c.head.entry.as_ref()).map(ToString::to_string),
        })
    }

    /// The ticket that it is recorded in, else the one that was asked for, if that has a name.
    pub fn ticket(&self) -> Option<String> {
        let asked = || Some(self.header.as_ref()?.ticket.as_ref()?.as_str()?.to_owned());
        self.recorded_in.clone().or_else(asked)
    }
    /// From its first event to its end.
    pub fn took(&self) -> Duration {
        lines::between(self.began, self.until)
    }
    /// A time in the project's zone.
    fn when(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }
    /// The name of the project's zone, else its distance from UTC.
    fn zone_name(&self) -> String {
        let offset = || self.began.to_zoned(self.zone.clone()).strftime("UTC%:z").to_string();
        self.zone.iana_name().map_or_else(offset, str::to_owned)
    }
    /// A time in UTC; the date only where the zone's is another.
    fn utc(&self, at: Timestamp) -> String {
        let (here, utc) = (at.to_zoned(self.zone.clone()), at.to_zoned(TimeZone::UTC));
        let form = if here.date() == utc.date() { "%H:%M:%S UTC" } else { "%Y-%m-%d %H:%M:%S UTC" };
        utc.strftime(form).to_string()
    }
    /// All hosts in the order of the courses.
    fn hosts(&self) -> usize {
        let late = self.not_begun.iter().flat_map(|(_, _, hosts)| hosts.iter().map(String::as_str));
        self.courses.iter().map(|c| c.host.as_str()).chain(late).collect::<BTreeSet<_>>().len()
    }
}

/// The outcome in words, and what it means.
fn told(outcome: &str, drill: bool, changed: usize, code: Option<u8>) -> (&'static str, &'static str) {
    match (outcome, code) {
        ("done", _) if drill => (
            "A good drill, and all of it taken back",
            "Every step up to where the drill turns back was carried out as it should, and undone: every target is as it was before.",
        ),
        ("done", _) if changed == 0 => (
            "Done, nothing that lasts was changed",
            "Every step was carried out or had nothing to do, and ended as it should.",
        ),
        ("done", _) => ("Done", "Every step was carried out or had nothing to do, and ended as it should."),
        ("rolled_back", Some(0)) => ("Taken back", "What the run had changed is as it was before it."),
        ("rolled_back", _) => ("Failed and taken back", "Every target is as it was before the run."),
        ("failed", _) => (
            "Failed, and something is left",
            "Not everything could be finished or taken back. What stands and what is owed is named below.",
        ),
        ("unknown", _) => (
            "Outcome unknown",
            "Nobody knows what became of at least one act. A person must look; nothing is tried again by itself.",
        ),
        ("stopped", _) => {
            ("Stopped before its end", "It was asked to stop. What it did stands, and it can be resumed.")
        }
        ("not_now", _) => ("Not carried out: not now", "Something was in the way. Nothing was touched."),
        ("not_allowed", _) => ("Not carried out: not allowed", "A rule refused it. Nothing was touched."),
        ("running", _) => ("Under way", "This report shows the run as far as it had come."),
        _ => (
            "Interrupted",
            "The process that drove it is gone. What it touched is in doubt until it is resumed or rolled back.",
        ),
    }
}

/// What happened, why, and what to do next.
fn words(run: &RunId, state: &RunState, outcome: &str) -> (String, Vec<String>, Vec<String>) {
    if let Some(end) = &state.end {
        let message = summary::message(run, state, end);
        return (message.title, message.causes, message.hints);
    }
    let next = if outcome == "running" {
        vec![format!("`svcops history show {run} --follow` shows what comes")]
    } else {
        vec![format!("`svcops resume {run}` goes on"), format!("`svcops rollback {run}` brings all back")]
    };
    let name = state.header.as_ref().map_or("the run", |h| h.runbook.as_str());
    let sentence = if outcome == "running" { "is under way" } else { "was interrupted" };
    (format!("`{name}` {sentence}"), Vec::new(), next)
}

fn people(records: &[Record]) -> Vec<(Timestamp, Operator, String)> {
    let acts = records.iter().filter_map(|record| {
        let (who, what) = match &record.event {
            Event::Resumed { operator } => (operator, "went on with the run".to_owned()),
            Event::Resolved { task, done, reason, operator, .. } => {
                let saw = if *done { "done" } else { "not done" };
                (operator, format!("saw that `{task}` was {saw}: {reason}"))
            }
            Event::Waived { task, reason, operator } => (operator, format!("left `{task}` out: {reason}")),
            _ => return None,
        };
        Some((record.at, who.clone(), what))
    });
    acts.collect()
}

fn counts(courses: &[Course], state: &RunState, not_begun: &[(String, String, Vec<String>)]) -> Counts {
    let mut counts = Counts { hosts: courses.len(), skipped: state.skipped.len(), ..Counts::default() };
    counts.not_begun = not_begun.iter().map(|(_, _, hosts)| hosts.len()).sum();
    let mut fates: BTreeMap<&TaskId, Fate> = BTreeMap::new();
    for leg in courses.iter().flat_map(|course| &course.legs) {
        // what failed stays failed, whatever was done about it
        let fate = fates.entry(&leg.task).or_insert(leg.fate);
        let settled = *fate == Fate::Failed && leg.fate == Fate::Undone;
        if !settled {
            *fate = leg.fate;
        }
    }
    for fate in fates.into_values() {
        match fate {
            Fate::Same => counts.same += 1,
            Fate::Done => counts.done += 1,
            Fate::Waived => counts.skipped += 1,
            Fate::Undone => counts.undone += 1,
            Fate::Open => counts.open += 1,
            Fate::Failed => counts.failed += 1,
            Fate::NotUndone => counts.stuck += 1,
            Fate::Unknown => counts.unknown += 1,
        }
    }
    counts
}

fn stands(state: &RunState, outcome: &str) -> Vec<String> {
    let told = folded(state.end.as_ref().map(|end| end.stands.as_slice()).unwrap_or_default());
    if !told.is_empty() || matches!(outcome, "done" | "rolled_back" | "not_now" | "not_allowed" | "running") {
        return told;
    }
    let mut names: Vec<(&str, Vec<&HostName>)> = Vec::new();
    for task in state.tasks.iter().filter(|task| TaskState::stands(task)) {
        match names.iter_mut().find(|(name, _)| *name == task.began.name) {
            Some((_, hosts)) => hosts.push(&task.began.host),
            None => names.push((&task.began.name, vec![&task.began.host])),
        }
    }
    names.into_iter().map(|(name, hosts)| format!("{name}: {}", words::list(&hosts, 20))).collect()
}

/// Lines that say the same of several hosts, as one.
fn folded(lines: &[String]) -> Vec<String> {
    let mut groups: Vec<(String, &String, Vec<&str>)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for line in lines {
        let host = line.split_once(" on `").and_then(|(_, rest)| rest.split_once('`')).map_or("", |(host, _)| host);
        let key = if host.is_empty() { line.clone() } else { facts::masked(line, host) };
        if let Some((_, _, hosts)) = places.get(&key).and_then(|at| groups.get_mut(*at)) {
            hosts.push(host);
        } else {
            places.insert(key.clone(), groups.len());
            groups.push((key, line, vec![host]));
        }
    }
    let one = |(key, line, mut hosts): (String, &String, Vec<&str>)| {
        hosts.sort_by(|a, b| course::natural(a, b));
        if hosts.len() == 1 {
            line.clone()
        } else {
            key.replace(&format!("`{}`", facts::HOST), &words::list(&hosts, 20))
        }
    };
    groups.into_iter().map(one).collect()
}

/// The debts in words; equal ones of several hosts share a line.
fn owed(debts: &[(Owed, bool)]) -> Vec<(String, bool)> {
    let mut lines: Vec<(&str, bool, Vec<&HostName>)> = Vec::new();
    for (owed, paid) in debts {
        match lines.iter_mut().find(|(name, was, _)| *name == owed.debt.name && was == paid) {
            Some((_, _, hosts)) => hosts.push(&owed.debt.host),
            None => lines.push((&owed.debt.name, *paid, vec![&owed.debt.host])),
        }
    }
    lines.into_iter().map(|(name, paid, hosts)| (format!("{name} on {}", words::list(&hosts, 20)), paid)).collect()
}

/// What the plan had, and the run has not. A consequence is planned for the case that something changes: it is not missed.
fn not_begun(shown: Option<&Shown>, state: &RunState) -> Vec<(String, String, Vec<String>)> {
    let mut steps: Vec<(String, String, Vec<String>)> = Vec::new();
    let own = |number: &str| !number.contains(".then") && !number.contains(".undo");
    for outlook in shown.iter().flat_map(|s| &s.steps).filter(|o| own(&o.number)) {
        let missing = outlook.tasks.iter().filter(|t| state.task(t).is_none() && !state.skipped.contains_key(t));
        let hosts: Vec<String> =
            missing.filter_map(|task| Some(task.as_str().rsplit_once('@')?.1.to_owned())).collect();
        if hosts.is_empty() {
            continue;
        }
        match steps.iter_mut().find(|(number, ..)| *number == outlook.number) {
            Some((_, _, known)) => known.extend(hosts),
            None => steps.push((outlook.number.clone(), outlook.name.clone(), hosts)),
        }
    }
    steps.sort_by_cached_key(|(number, ..)| changed::order(number));
    steps
}
