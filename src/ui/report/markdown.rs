//! The report as a note for a ticket: short, in Markdown that every ticket system shows well.

use super::Report;
use crate::{
    base::{Text, words},
    ui::{lines, paint::plain},
};

/// So many kinds of changes are named.
const CHANGES: usize = 12;

/// The note.
pub(super) fn note(report: &Report) -> String {
    let (_, sign) = super::html::tone(report.outcome);
    let mut note = format!("## {sign} {}: {}\n\n", report.headline, safe(&report.title));
    note += &format!("{}. {}\n\n", sentence(&report.sentence), report.meaning);
    for cause in &report.causes {
        note += &format!("- caused by: {}\n", sentence(cause));
    }
    if !report.causes.is_empty() {
        note.push('\n');
    }
    for (label, value) in facts(report) {
        note += &format!("- **{label}:** {value}\n");
    }
    note += &changes(report);
    let list = |title: &str, items: Vec<String>| {
        if items.is_empty() {
            return String::new();
        }
        let items: String = items.iter().map(|item| format!("- {}\n", sentence(item))).collect();
        format!("\n### {title}\n\n{items}")
    };
    note += &list("Stands", report.stands.clone());
    note += &list("Owed", report.owed.iter().filter(|(_, paid)| !paid).map(|(what, _)| what.clone()).collect());
    let steps =
        report.not_begun.iter().map(|(number, name, hosts)| format!("{number} {name}: {}", words::list(hosts, 8)));
    note += &list("Not begun", steps.collect());
    note += &list("Next", report.next.clone());
    if let Some(chain) = &report.chain {
        let entry = chain.head.entry.as_ref().map_or_else(String::new, |entry| format!(", ledger entry `{entry}`"));
        let faults = if chain.faults.is_empty() {
            String::new()
        } else {
            format!(" **The journal was tampered with:** {}", safe(&chain.faults.join("; ")))
        };
        note += &format!("\nProof: event {} has the hash `{}`{entry}.{faults}\n", chain.head.seq, chain.head.hash.0);
    }
    note
}

fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let counts = &report.counts;
    let mut facts = vec![("Run", format!("`{}`", report.run))];
    if let Some(header) = &report.header {
        let params: Vec<String> = header.params.iter().map(|(k, v)| format!("{k}={}", bare(v))).collect();
        let params = if params.is_empty() { String::new() } else { format!(" with {}", code(&params.join(" "))) };
        facts.push(("Runbook", format!("{}{params}", code(&header.runbook))));
        facts.push(("Who", format!("{} on {}", safe(&header.operator.name), safe(&header.operator.machine))));
        facts.extend(header.reason.as_ref().map(|reason| ("Why", safe(reason))));
        facts.extend(report.ticket().map(|ticket| ("Ticket", safe(&ticket))));
    }
    let when = format!(
        "{} {} ({}), {}",
        report.when(report.began),
        report.zone_name(),
        report.utc(report.began),
        lines::span(report.took())
    );
    facts.push(("When", when));
    let parts = [
        (counts.done, "done"),
        (counts.same, "ok with nothing changed"),
        (counts.failed, "failed"),
        (counts.undone, "taken back"),
        (counts.stuck, "not taken back"),
        (counts.unknown, "unknown"),
        (counts.open, "not ended"),
        (counts.skipped, "left out"),
        (counts.not_begun, "not begun"),
    ];
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let parts = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    let (tasks, hosts) = (words::count("task", counts.tasks()), words::count("host", report.hosts()));
    facts.push(("What", format!("{tasks} on {hosts}{parts}")));
    facts
}

fn changes(report: &Report) -> String {
    if report.changed.is_empty() {
        return "\nNo change was carried out.\n".to_owned();
    }
    let mut table = "\n| Step | Hosts | Change | Before → after | Now |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for changed in report.changed.iter().take(CHANGES) {
        let what: Vec<String> = changed.what.iter().map(|w| sentence(&w.words)).collect();
        let turn = match (changed.before.as_str(), changed.after.as_str()) {
            ("", "") => String::new(),
            (before, after) => format!("{} → {}", safe(before), safe(after)),
        };
        let hosts = match changed.hosts.as_slice() {
            [only] => safe(only.as_str()),
            hosts => words::count("host", hosts.len()),
        };
        table += &format!(
            "| {} {} | {hosts} | {} | {turn} | {} {} |\n",
            safe(&changed.step),
            safe(&changed.name),
            what.join("; "),
            changed.now.sign(),
            changed.now.words()
        );
    }
    if report.changed.iter().take(CHANGES).any(|changed| changed.hosts.len() > 1) {
        table += "\n`HOST` stands for the name of each host.\n";
    }
    let more = report.changed.len().saturating_sub(CHANGES) + report.more_changed;
    if more > 0 {
        table += &format!("\n{more} more kinds of changes: `svcops history show {}`\n", report.run);
    }
    table
}

/// A text in one line that no Markdown and no HTML is made of.
fn safe(text: &str) -> String {
    escaped(&one_line(text))
}

fn escaped(line: &str) -> String {
    let mut safe = String::with_capacity(line.len());
    for c in line.chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!') {
            safe.push('\\');
        }
        match c {
            '<' => safe.push_str("&lt;"),
            '&' => safe.push_str("&amp;"),
            c => safe.push(c),
        }
    }
    safe
}

/// The same for a sentence: what stands in backticks stays code.
fn sentence(text: &str) -> String {
    let line = one_line(text);
    let parts: Vec<&str> = line.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return escaped(&line);
    }
    let part = |(index, part): (usize, &&str)| if index % 2 == 1 { code(part) } else { escaped(part) };
    parts.iter().enumerate().map(part).collect()
}

/// Code in a line, in a table too.
fn code(text: &str) -> String {
    format!("`{}`", one_line(text).replace('`', "'").replace('|', "\\|"))
}

fn one_line(text: &str) -> String {
    plain(&Text(text.to_owned()).shown()).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn bare(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
