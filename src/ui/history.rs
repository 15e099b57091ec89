//! Runs that were: as a list, as a timeline, as a verdict on the journal.

use super::{
    changes, lines, outage,
    paint::{plain, plain_line},
    screen::Screen,
    table, wrap,
};
use crate::{
    base::{Outcome, Output, Receipt, TaskId, Way, words},
    journal::{
        RunRow,
        chain::Verdict,
        event::{Event, How, Record, Scope},
        prune::Pruning,
        seal::{Signatures, Unsigned},
        state::{Leg, RunState, TaskState},
    },
};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A run of a list, and whether some process owns it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What the journal says.
    pub row: RunRow,
    /// Its owner lives.
    pub alive: bool,
}

impl Listed {
    /// How it stands: the word of its end, else `running` or, where its owner is gone, `interrupted`.
    pub fn outcome(&self) -> &'static str {
        match self.row.outcome {
            Some(end) => end.word(),
            None if self.alive => "running",
            None => "interrupted",
        }
    }
    /// How long it took, in milliseconds, or has taken until `now`; none where nobody saw its end.
    pub fn millis(&self, now: Timestamp) -> Option<u64> {
        let end = self.row.ended.or_else(|| self.alive.then_some(now))?;
        u64::try_from(lines::between(self.row.began, end).as_millis()).ok()
    }
}

/// The list as a table; `all`: nothing in particular was asked for. The projects are named where there are several.
pub fn list(screen: &Screen, runs: &[Listed], zone: &TimeZone, now: Timestamp, all: bool) -> String {
    if runs.is_empty() {
        return if all { "no runs yet\n" } else { "no run is as asked for\n" }.into();
    }
    let mut projects = runs.iter().map(|run| &run.row.project);
    let first = projects.next();
    let several = projects.any(|project| Some(project) != first);
    let rows: Vec<Vec<String>> = runs
        .iter()
        .map(|run| {
            let row = &run.row;
            let mut cells = vec![
                row.run.to_string(),
                when(row.began, zone),
                row.runbook.clone(),
                row.operator.clone(),
                run.outcome().replace('_', " "),
                run.millis(now).map(|m| lines::span(std::time::Duration::from_millis(m))).unwrap_or_default(),
                row.changed.to_string(),
                row.owed.to_string(),
            ];
            if several {
                cells.insert(2, row.project.clone());
            }
            cells
        })
        .collect();
    let mut head = vec!["run", "started", "runbook", "operator", "outcome", "took", "changed", "owed"];
    if several {
        head.insert(2, "project");
    }
    table::table(screen, &head, &rows)
}

/// The list as JSON: an interface.
pub fn list_json(runs: &[Listed], prunings: &[Pruning], now: Timestamp) -> Value {
    let runs: Vec<Value> = runs
        .iter()
        .map(|run| {
            let row = &run.row;
            json!({
                "run": row.run,
                "project": row.project,
                "runbook": row.runbook,
                "operator": row.operator,
                "machine": row.machine,
                "started": row.began,
                "ended": row.ended,
                "duration_ms": run.millis(now),
                "outcome": run.outcome(),
                "exit_code": row.exit_code,
                "changed": row.changed,
                "owed": row.owed,
            })
        })
        .collect();
    json!({ "schema_version": 1, "runs": runs, "prunings": prunings })
}

/// What was taken out of the journal, a line each.
pub fn prunings(prunings: &[Pruning], zone: &TimeZone, width: usize) -> String {
    let line = |p: &Pruning| {
        let (n, before) = (words::count("run", p.runs), when(p.before, zone));
        let said = format!(
            "{n} that ended before {before} taken out {} by {} on {}: {}",
            when(p.at, zone),
            p.operator,
            p.machine,
            p.reason
        );
        wrap::hanging("pruned ", &plain_line(&said), width) + "\n"
    };
    prunings.iter().map(line).collect()
}

/// What stands above a timeline.
pub fn head(run: &Listed, state: &RunState, zone: &TimeZone, now: Timestamp, width: usize) -> String {
    let row = &run.row;
    let mut facts = vec![("run", row.run.to_string()), ("runbook", row.runbook.clone())];
    if let Some(header) = &state.header {
        if !header.params.is_empty() {
            let params: Vec<String> = header.params.iter().map(|(k, v)| format!("{k}={}", text_of(v))).collect();
            facts.push(("params", params.join(" ")));
        }
        let who = &header.operator;
        let real = if who.login { "" } else { ", by its real uid: no login is recorded" };
        facts.push(("operator", format!("{} on {}{real}", who.name, who.machine)));
        facts.extend(header.reason.clone().map(|reason| ("reason", reason)));
        facts.extend(header.ticket.as_ref().map(|ticket| ("ticket", text_of(ticket))));
    }
    let took = run.millis(now).map(|m| lines::span(std::time::Duration::from_millis(m)));
    let took = took.map_or_else(String::new, |took| format!(", took {took}"));
    facts.push(("started", format!("{} {}{took}", when(row.began, zone), zone.iana_name().unwrap_or(""))));
    let code = row.exit_code.map_or_else(String::new, |code| format!(" (exit code {code})"));
    facts.push(("outcome", format!("{}{code}", run.outcome().replace('_', " "))));
    if state.drilled() {
        facts.push(("drill", "it turned back at its end, as it was to".to_owned()));
    }
    facts.extend(state.end.as_ref().and_then(|end| end.why.clone()).map(|why| ("why", why)));
    for (at, seen) in state.outages().iter().enumerate() {
        let label = if at == 0 { "outage" } else { "" };
        facts.push((label, format!("`{}`: {}", seen.service, outage::headline(seen))));
        facts.extend(outage::table(seen).into_iter().map(|line| ("", line)));
    }
    facts.iter().map(|(label, text)| wrap::hanging(&format!("{label:<10}"), &plain(text), width) + "\n").collect()
}

/// A run as JSON: an interface.
pub fn show_json(run: &Listed, state: &RunState, now: Timestamp) -> Value {
    let row = &run.row;
    let header = state.header.as_ref();
    json!({
        "schema_version": 1,
        "run": row.run,
        "runbook": row.runbook,
        "params": header.map(|h| &h.params),
        "operator": header.map(|h| &h.operator),
        "reason": header.and_then(|h| h.reason.as_ref()),
        "ticket": header.and_then(|h| h.ticket.as_ref()),
        "started": row.began,
        "ended": row.ended,
        "duration_ms": run.millis(now),
        "outcome": run.outcome(),
        "exit_code": row.exit_code,
        "drill": state.drilled(),
        "why": state.end.as_ref().and_then(|end| end.why.as_ref()),
        "stands": state.end.as_ref().map_or(&[][..], |end| &end.stands),
        "changed": row.changed,
        "owed": row.owed,
        "outages": state.outages().iter().map(outage::Outage::json).collect::<Vec<_>>(),
        "tasks": state.tasks.iter().map(task_json).collect::<Vec<_>>(),
        "skipped": state.skipped.iter().map(|(task, why)| json!({ "task": task, "why": why })).collect::<Vec<_>>(),
    })
}

fn task_json(task: &TaskState) -> Value {
    let acts = |way: Way| {
        let did = task.leg(way).map(|leg| leg.did.as_slice()).unwrap_or_default();
        did.iter().map(move |(change, receipt)| {
            json!({ "way": way, "what": changes::words(&change.what), "change": change, "receipt": receipt })
        })
    };
    json!({
        "task": task.began.task,
        "step": task.began.step,
        "name": task.began.name,
        "host": task.began.host,
        "action": task.began.action,
        "outcome": task_word(task),
        "changed": task.undo.as_ref().map_or(task.forward.changed, |undo| undo.changed),
        "why": task.undo.as_deref().and_then(Leg::why).or_else(|| task.forward.why()),
        "acts": acts(Way::Forward).chain(acts(Way::Undo)).collect::<Vec<_>>(),
    })
}

fn task_word(task: &TaskState) -> &'static str {
    if task.doubt().is_some() {
        return "unknown";
    }
    match (&task.undo, &task.forward.how) {
        (Some(undo), _) if undo.done() => "undone",
        (Some(undo), _) if undo.how.is_some() => "not_undone",
        (Some(_), _) => "undoing",
        (None, Some(How::Done { .. } | How::Conditional)) => "done",
        (None, Some(How::Refused(_))) => "refused",
        (None, Some(How::Failed(_))) => "failed",
        (None, None) if task.waived.is_some() => "waived",
        (None, None) => "under_way",
    }
}

/// Draws events one by one, so that a run can be followed.
#[derive(Debug)]
pub struct Timeline {
    zone: TimeZone,
    width: usize,
    day: Option<Date>,
    since: BTreeMap<(TaskId, Way), Timestamp>,
}

impl Timeline {
    /// Nothing drawn yet; times in `zone`, lines of at most `width` columns.
    pub fn new(zone: TimeZone, width: usize) -> Self {
        Self { zone, width, day: None, since: BTreeMap::new() }
    }

    /// The lines of one event.
    pub fn draw(&mut self, record: &Record) -> String {
        let at = record.at.to_zoned(self.zone.clone());
        let mut text = String::new();
        if self.day.replace(at.date()) != Some(at.date()) {
            text += &format!("\n{}\n", at.date());
        }
        let (line, outputs) = self.words(record);
        let indent = " ".repeat(10);
        text += &wrap::hanging(&format!("{}  ", at.strftime("%H:%M:%S")), &plain(&line), self.width);
        text.push('\n');
        for (label, output) in outputs {
            text += &shown(&label, &output, &indent);
        }
        text
    }

    fn words(&mut self, record: &Record) -> (String, Vec<(String, String)>) {
        let mut outputs = Vec::new();
        let line = match &record.event {
            Event::Started(header) => format!("begins, svcops {}", header.version),
            Event::Refused { code, why } => format!("refused (exit code {code}): {why}"),
            Event::Locked { exclusive, shared } => {
                format!("holds {}, {} shared", words::count("lock", exclusive.len()), shared.len())
            }
            Event::Resumed { operator } => format!("goes on, by {} on {}", operator.name, operator.machine),
            Event::Phase { step, name, batch, hosts } => {
                let batch = batch.map_or_else(String::new, |b| format!(", batch {} of {}", b.number, b.of));
                format!("step {step} {name}{batch}: {}", words::list(hosts, 8))
            }
            Event::Skipped { task, why } => format!("{task}  skipped: {why}"),
            Event::Began(began) => {
                self.since.insert((began.task.clone(), Way::Forward), record.at);
                format!("{}  {} begins: {}", began.task, began.action, began.name)
            }
            Event::UndoBegan { task } => {
                self.since.insert((task.clone(), Way::Undo), record.at);
                format!("{task}  goes back")
            }
            Event::Announced { task, changes, no_return, .. } => {
                let what: Vec<String> = changes.iter().map(|c| changes::words(&c.what)).collect();
                let point = if *no_return { " (the point of no return)" } else { "" };
                format!("{task}  {}{point}", what.join(", then "))
            }
            Event::Carried { task, receipt, .. } => {
                outputs = written(receipt);
                format!("{task}  {}", ended_act(receipt))
            }
            Event::Retried { task, attempt, why } => format!("{task}  attempt {attempt} begins; the one before: {why}"),
            Event::InDoubt { task, why, .. } => format!("{task}  outcome unknown: {why}"),
            Event::Resolved { task, done, reason, operator, .. } => {
                let saw = if *done { "done" } else { "not done" };
                format!("{task}  {} saw that it was {saw}: {reason}", operator.name)
            }
            Event::Waived { task, reason, operator } => format!("{task}  left out by {}: {reason}", operator.name),
            Event::Ended { task, way, how, changed, .. } => {
                let since = self.since.remove(&(task.clone(), *way));
                let took =
                    since.map_or_else(String::new, |s| format!(" in {}", lines::span(lines::between(s, record.at))));
                format!("{task}  {}", ended(*way, how, *changed, &took))
            }
            Event::RollingBack { why, drill: true, .. } => format!("{why}: all goes back"),
            Event::RollingBack { scope, why, drill: false } => format!("rolls {} back: {why}", scope_words(scope)),
            Event::RolledBack { scope } => format!("{} is rolled back as far as it goes", scope_words(scope)),
            Event::Stopping { why, now: false } => format!("stops after what is under way: {why}"),
            Event::Stopping { why, now: true } => format!("ends what is under way on the hosts: {why}"),
            Event::Paid { run_owing, debt } => format!("no longer owed by run {run_owing}: {debt}"),
            Event::Finished(end) => {
                outputs.extend(end.stands.iter().map(|s| ("stands".to_owned(), s.clone())));
                let why = end.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
                format!(
                    "{} (exit code {}), {} changed, {} owed{why}",
                    end.outcome.word().replace('_', " "),
                    end.exit_code,
                    end.changed,
                    end.owed
                )
            }
        };
        (line, outputs)
    }
}

/// What a check of the journal found.
pub fn verdict(verdict: &Verdict, pruned: &[Pruning], signed: &Signed, zone: &TimeZone, width: usize) -> String {
    let mut text = String::new();
    for fault in verdict.faults.iter().take(MOST_FAULTS) {
        text += &(wrap::hanging("FAULT  ", &plain_line(&fault.to_string()), width) + "\n");
    }
    if verdict.faults.len() > MOST_FAULTS {
        text += &format!("       and {} more; `-o json` has them all\n", verdict.faults.len() - MOST_FAULTS);
    }
    let checked = format!(
        "{} of {} and {} of the ledger checked: {}",
        words::count("event", verdict.events),
        words::count("run", verdict.runs),
        words::count("entry", verdict.entries),
        if verdict.is_empty() && verdict.faults.is_empty() {
            "there is nothing to prove".to_owned()
        } else if verdict.faults.is_empty() {
            match verdict.pruned {
                0 => "nothing was changed, moved or taken out".to_owned(),
                n => format!(
                    "nothing was changed, moved or taken out but {} that the ledger knows to be pruned",
                    words::count("run", n)
                ),
            }
        } else {
            words::count("fault", verdict.faults.len())
        }
    );
    text += &(wrap::hanging("", &checked, width) + "\n");
    if verdict.contents > 0 {
        let beside = words::count("content", verdict.contents);
        let beside = format!("{beside} that runs went by, and what lists say of runs");
        text += &(wrap::hanging("with   ", &beside, width) + "\n");
    }
    if verdict.is_empty() {
        let empty = "the journal is empty; whoever takes out all of it with its ledger leaves nothing that tells: if runs were \
                     recorded here, a ticket or a log has an anchor for `--against`";
        text += &(wrap::hanging("WARN   ", empty, width) + "\n");
    }
    text += &prunings(pruned, zone, width);
    if let Some(anchor) = &verdict.anchor {
        text += &format!("anchor {anchor}\n");
    }
    text += &signatures(signed, width);
    text += &unsigned(&verdict.unsigned, width);
    if verdict.anchored && verdict.faults.is_empty() {
        let held =
            format!("against {} known outside: each is there as it was", words::count("anchor", verdict.against));
        text += &(wrap::hanging("held   ", &held, width) + "\n");
    }
    if verdict.tickets {
        let beside = "which ticket a run was told in, and what of it waits, is kept beside the chain: no event says it, and no \
                      check covers it";
        text += &(wrap::hanging("note   ", beside, width) + "\n");
    }
    if !verdict.anchored && !verdict.is_empty() {
        let blind = "without an anchor, a tail that was cut off together with its entries in the ledger goes unseen; \
                     keep the anchor above elsewhere, and `svcops history verify --against ANCHOR` sees that too";
        text += &(wrap::hanging("note   ", blind, width) + "\n");
    }
    text
}

/// The same as JSON: an interface.
pub fn verdict_json(verdict: &Verdict, prunings: &[Pruning], signed: &Signed, exit_code: u8) -> Value {
    json!({
        "schema_version": 1,
        "outcome": match exit_code { 0 => "ok", 1 => "warning", _ => "critical" },
        "exit_code": exit_code,
        "runs": verdict.runs,
        "events": verdict.events,
        "entries": verdict.entries,
        "contents": verdict.contents,
        "uncovered": ["tickets", "outbox"],
        "pruned": verdict.pruned,
        "prunings": prunings,
        "faults": verdict.faults.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "anchor": verdict.anchor.as_ref().map(ToString::to_string),
        "anchored": verdict.anchored,
        "against": verdict.against,
        "unsigned": verdict.unsigned,
        "signatures": signatures_json(signed),
    })
}

/// What is known of signatures.
#[derive(Clone, Debug)]
pub enum Signed {
    /// Nobody looked at so many.
    Unchecked(usize),
    /// Whose they are.
    Checked(Signatures),
}

/// Who signed what, and what nobody signed.
pub fn signatures(signed: &Signed, width: usize) -> String {
    let mut text = String::new();
    let mut say = |label: &str, words: &str| text += &(wrap::hanging(label, &plain_line(words), width) + "\n");
    match signed {
        Signed::Unchecked(0) => {}
        Signed::Unchecked(n) => {
            let seals = words::count("signature", *n);
            say("note   ", &format!("{seals} not checked: `--allowed-signers FILE` says whose signatures count"));
        }
        Signed::Checked(found) => {
            for (who, (heads, last)) in &found.by {
                let heads = words::count("head", *heads);
                say("signed ", &format!("by {who}: {heads}, the last one entry {} of the ledger", last.seq));
            }
            if found.by.is_empty() {
                say("note   ", "no head is signed by anybody");
            }
            if found.passed_over > 0 {
                let older = words::count("older signature", found.passed_over);
                say("note   ", &format!("{older} not looked at: the ledger leads from the later ones to them"));
            }
        }
    }
    text
}

/// Runs that should be signed and are not, the newest first.
pub fn unsigned<'a>(
    runs: impl IntoIterator<Item = &'a Unsigned, IntoIter: DoubleEndedIterator + ExactSizeIterator>,
    width: usize,
) -> String {
    let runs = runs.into_iter().rev();
    let more = runs.len().saturating_sub(MOST_LINES);
    let mut text = String::new();
    for Unsigned { run, why } in runs.take(MOST_LINES) {
        let why = why
            .as_deref()
            .unwrap_or("and nothing says why; svcops was ended before it signed, or somebody took the signature away");
        let words = format!("the end of run {run} is not signed, as its project asks for: {why}");
        text += &(wrap::hanging("WARN   ", &plain_line(&words), width) + "\n");
    }
    if more > 0 {
        text += &format!("       and {more} more; `-o json` has them all\n");
    }
    text
}

/// The same as JSON.
pub fn signatures_json(signed: &Signed) -> Value {
    match signed {
        Signed::Unchecked(n) => json!({"checked": false, "seals": n}),
        Signed::Checked(found) => json!({
            "checked": true,
            "by": found.by.iter().map(|(who, (heads, last))| json!({"signer": who, "heads": heads, "last": last.to_string()}))
                .collect::<Vec<_>>(),
            "passed_over": found.passed_over,
        }),
    }
}

const MOST_FAULTS: usize = 50;
/// So many lines of an output are shown.
const MOST_LINES: usize = 40;

pub(super) fn when(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn ended_act(receipt: &Receipt) -> String {
    let (word, why) = match &receipt.outcome {
        Outcome::Ok => ("carried out", None),
        Outcome::Refused(why) => ("never began", Some(why)),
        Outcome::Failed(why) => ("ended badly", Some(why)),
        Outcome::Unknown(why) => ("outcome unknown", Some(why)),
    };
    let code = receipt.code.filter(|code| *code != 0 && why.is_none_or(|why| !why.contains(&code.to_string())));
    let code = code.map_or_else(String::new, |code| format!(" (exit code {code})"));
    why.map_or_else(|| format!("{word}{code}"), |why| format!("{word}: {why}{code}"))
}

fn ended(way: Way, how: &How, changed: bool, took: &str) -> String {
    match (way, how) {
        (Way::Forward, How::Done { .. }) if changed => format!("done{took}"),
        (Way::Forward, How::Done { .. }) => format!("ok{took}, nothing changed"),
        (Way::Undo, How::Done { .. }) => format!("undone{took}"),
        (_, How::Conditional) => "not known before the run".into(),
        (Way::Forward, How::Refused(why)) => format!("refused{took}: {why}"),
        (Way::Forward, How::Failed(why)) => format!("failed{took}: {why}"),
        (Way::Undo, How::Refused(why) | How::Failed(why)) => format!("not undone{took}: {why}"),
    }
}

fn scope_words(scope: &Scope) -> String {
    match scope {
        Scope::Run => "the run".into(),
        Scope::Batch(hosts) => format!("the batch of {}", words::list(hosts, 5)),
        Scope::Host(host) => format!("`{host}`"),
    }
}

fn written(receipt: &Receipt) -> Vec<(String, String)> {
    let of = |label: &str, output: &Output| {
        let note = if output.redacted { " (redacted)" } else { "" };
        (!output.is_empty()).then(|| (format!("{label}{note}"), output.text.clone()))
    };
    of("stdout", &receipt.stdout).into_iter().chain(of("stderr", &receipt.stderr)).collect()
}

/// An output under its label, to the letter but for what could move the cursor.
fn shown(label: &str, output: &str, indent: &str) -> String {
    let clean = plain(output);
    let mut text = String::new();
    for (number, line) in clean.lines().take(MOST_LINES).enumerate() {
        let label = if number == 0 { label } else { "" };
        text += format!("{indent}{label:<8}| {line}").trim_end();
        text.push('\n');
    }
    let left = clean.lines().count().saturating_sub(MOST_LINES);
    if left > 0 {
        text += &format!("{indent}        | … {} more; `-o jsonl` has them\n", words::count("line", left));
    }
    text
}
