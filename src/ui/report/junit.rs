//! The report as JUnit's XML, as CI servers read it: a test case a task. What failed or stays unknown fails the build; a run
//! that was refused as a whole fails it with a case of its own.

use super::{
    Report,
    course::{Fate, Stretch},
    escape::text,
    outputs::Written,
};
use crate::base::{HostName, TaskId};
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};

/// A task: its way there, and its newest way back.
struct Case<'a> {
    host: &'a HostName,
    there: &'a Stretch,
    back: Option<&'a Stretch>,
}

/// The suite.
pub(super) fn suite(report: &Report) -> String {
    let mut cases: Vec<Case<'_>> = Vec::new();
    let mut places: BTreeMap<&TaskId, usize> = BTreeMap::new();
    for (host, leg) in report.courses.iter().flat_map(|course| course.legs.iter().map(|leg| (&course.host, leg))) {
        if let Some(case) = places.get(&leg.task).and_then(|at| cases.get_mut(*at)) {
            case.back = Some(leg);
        } else {
            places.insert(&leg.task, cases.len());
            cases.push(Case { host, there: leg, back: None });
        }
    }
    let class = report.header.as_ref().map_or("svcops", |h| h.runbook.as_str());
    let (mut body, mut failures, mut errors, mut skipped, mut tests) = (String::new(), 0, 0, 0, 0);
    let mut names: BTreeSet<String> = BTreeSet::new();
    for case in &cases {
        let (inner, kind) = case.verdict();
        failures += usize::from(kind == Some("failure"));
        errors += usize::from(kind == Some("error"));
        skipped += usize::from(kind == Some("skipped"));
        tests += 1;
        let written = output(&report.outputs.written, case);
        // a name that is taken (a second turn, a restart on the way back) bears its task's own
        let name = format!("{}@{}", case.there.name, case.host);
        let name = if names.contains(&name) { format!("{} {}", case.there.name, case.there.task) } else { name };
        body += &element(class, &name, case.millis(), &format!("{inner}{written}"));
        names.insert(name);
    }
    let left = report.skipped.iter().map(|(task, why)| (task.to_string(), why.clone()));
    let late = report.not_begun.iter().flat_map(|(_, name, hosts)| {
        hosts.iter().map(move |host| (format!("{name}@{host}"), "planned and not begun".to_owned()))
    });
    for (name, why) in left.chain(late) {
        (skipped, tests) = (skipped + 1, tests + 1);
        body += &element(class, &name, 0, &format!("      <skipped message=\"{}\"/>\n", text(&why)));
    }
    let bad = report.exit_code.map_or(report.outcome == "interrupted", |code| code != 0);
    if bad && failures + errors == 0 {
        (errors, tests) = (errors + 1, tests + 1);
        let why = format!("      <error message=\"{}\" type=\"{}\"/>\n", text(&report.sentence), report.outcome);
        body += &element(class, "the run as a whole", 0, &why);
    }
    let seconds = seconds(u64::try_from(report.took().as_millis()).unwrap_or(0));
    let began = report.began.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S");
    let machine = report.header.as_ref().map_or("", |h| h.operator.machine.as_str());
    let sums = format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\"");
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"svcops\" {sums} time=\"{seconds}\">\n  \
         <testsuite name=\"{}\" {sums} skipped=\"{skipped}\" time=\"{seconds}\" timestamp=\"{began}\" hostname=\"{}\">\n{}{body}  </testsuite>\n</testsuites>\n",
        text(class),
        text(machine),
        properties(report),
    )
}

fn properties(report: &Report) -> String {
    let mut pairs = vec![("run", report.run.to_string()), ("outcome", report.outcome.to_owned())];
    pairs.extend(report.exit_code.map(|code| ("exit_code", code.to_string())));
    if let Some(header) = &report.header {
        pairs.push(("project", header.project.clone()));
        pairs.push(("operator", header.operator.name.clone()));
        pairs.extend(header.reason.clone().map(|reason| ("reason", reason)));
        pairs.extend(header.plan.as_ref().map(|plan| ("plan", plan.0.clone())));
    }
    pairs.extend(report.chain.as_ref().map(|chain| ("head", chain.head.hash.0.clone())));
    let pairs: String = pairs
        .iter()
        .map(|(name, value)| format!("      <property name=\"{name}\" value=\"{}\"/>\n", text(value)))
        .collect();
    format!("    <properties>\n{pairs}    </properties>\n")
}

impl Case<'_> {
    /// What stands inside the case, and which kind of element that is.
    fn verdict(&self) -> (String, Option<&'static str>) {
        let worst = self.back.filter(|back| back.fate.troubled()).unwrap_or(self.there);
        let why = worst.why.as_deref().unwrap_or(worst.fate.words());
        let back = self.back.is_some_and(|back| back.fate == Fate::Undone);
        let and = if back { "; taken back" } else { "" };
        let first = why.lines().next().unwrap_or_default();
        let fault = |kind: &'static str, typ: &str| {
            let line = format!(
                "      <{kind} message=\"{}{and}\" type=\"{typ}\">{}</{kind}>\n",
                text(first),
                text(&format!("step {}, {}: {why}{and}", worst.step, worst.action))
            );
            (line, Some(kind))
        };
        match worst.fate {
            Fate::Failed => fault("failure", "failed"),
            Fate::NotUndone => fault("failure", "not_undone"),
            Fate::Unknown => fault("error", "unknown"),
            Fate::Open => fault("error", "not_ended"),
            Fate::Waived => ("      <skipped message=\"left out by a person\"/>\n".to_owned(), Some("skipped")),
            Fate::Same | Fate::Done | Fate::Undone => (String::new(), None),
        }
    }
    fn millis(&self) -> u64 {
        self.there.millis() + self.back.map_or(0, Stretch::millis)
    }
}

/// What the task wrote, as far as the report shows it.
fn output(written: &[Written], case: &Case<'_>) -> String {
    let own: Vec<&Written> =
        written.iter().filter(|w| w.step == case.there.step && w.hosts.contains(case.host)).collect();
    ["stdout", "stderr"]
        .into_iter()
        .zip(["system-out", "system-err"])
        .map(|(name, element)| {
            let streams = own.iter().flat_map(|w| w.streams.iter().map(move |s| (w, s)));
            let joined: String = streams
                .filter(|(_, stream)| stream.name == name)
                .map(|(w, stream)| w.text(stream, case.host.as_str()).into_owned())
                .collect();
            if joined.is_empty() {
                return String::new();
            }
            format!("      <{element}>{}</{element}>\n", text(&joined))
        })
        .collect()
}

fn element(class: &str, name: &str, millis: u64, inner: &str) -> String {
    let (class, name, time) = (text(class), text(name), seconds(millis));
    let head = format!("    <testcase classname=\"{class}\" name=\"{name}\" time=\"{time}\"");
    if inner.is_empty() { format!("{head}/>\n") } else { format!("{head}>\n{inner}    </testcase>\n") }
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}
