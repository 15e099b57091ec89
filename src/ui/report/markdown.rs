//! The report as a note for a ticket: short, in Markdown that every ticket system shows well.

use super::Report;
use crate::{
    base::{Text, words},
    ui::{
        lines,
        outage::{self, Outage},
        paint::plain,
    },
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
    note += &report.outages.iter().map(outage).collect::<String>();
    note += &changes(report);
    let list = |title: &str, items: Vec<String>| {
        if items.is_empty() {
            return String::new();
        }
        let items: String = items.iter().map(|text| format!("- {}\n", item(text))).collect();
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

fn outage(seen: &Outage) -> String {
    let mut note = format!("\n### Outage of {}: {}\n", safe(&seen.service), safe(&outage::headline(seen)));
    if !seen.phases.is_empty() {
        note += "\n| Phase | Time | Of it |\n| --- | ---: | --- |\n";
    }
    for phase in &seen.phases {
        let shares = outage::shares(phase).unwrap_or_default();
        note += &format!("| {} | {} | {shares} |\n", safe(&outage::what(phase)), outage::time(phase.ms));
    }
    note
}

fn changes(report: &Report) -> String {
    if report.changed.is_empty() {
        return "\nNo change was carried out.\n".to_owned();
    }
    let mut table = "\n| Step | Hosts | Change | Before → after | Now |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for changed in report.changed.iter().take(CHANGES) {
        let what: Vec<String> = changed.what.iter().map(|w| cell(&w.words)).collect();
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
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            c => safe.push(c),
        }
    }
    safe
}

/// The same for a sentence: what stands in backticks stays code.
fn sentence(text: &str) -> String {
    marked(text, "|")
}

/// A sentence in a cell of a table, which a bar would end even in code.
fn cell(text: &str) -> String {
    marked(text, "\\|")
}

/// A sentence that is an item of a list: its first letters begin no list and no rule of their own.
fn item(text: &str) -> String {
    let mut item = sentence(text);
    let digits = item.bytes().take_while(u8::is_ascii_digit).count();
    let numbered = digits > 0 && item.get(digits..).is_some_and(|rest| rest.starts_with(['.', ')']));
    if numbered || item.starts_with(['-', '+', '=']) {
        item.insert(if numbered { digits } else { 0 }, '\\');
    }
    item
}

/// Backticks mark code where they are single and every one of them has its other: where readers of Markdown could pair
/// them otherwise, they are letters as all the rest is.
fn marked(text: &str, bar: &str) -> String {
    let line = one_line(text);
    let parts: Vec<&str> = line.split('`').collect();
    let codes = || parts.iter().skip(1).step_by(2);
    let between = parts.get(1..parts.len() - 1).unwrap_or_default();
    let run_of_two = between.iter().any(|part| part.is_empty());
    if parts.len().is_multiple_of(2) || run_of_two || codes().any(|code| code.trim().is_empty()) {
        return escaped(&line);
    }
    let part = |(index, part): (usize, &&str)| if index % 2 == 1 { fenced(part.trim(), bar) } else { escaped(part) };
    parts.iter().enumerate().map(part).collect()
}

/// Code in a line.
fn code(text: &str) -> String {
    let line = one_line(text);
    if line.is_empty() { line } else { fenced(&line, "|") }
}

/// Code that is not empty, between more backticks than stand together in it.
fn fenced(code: &str, bar: &str) -> String {
    let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let space = if code.starts_with('`') || code.ends_with('`') { " " } else { "" };
    format!("{fence}{space}{}{space}{fence}", code.replace('|', bar))
}

fn one_line(text: &str) -> String {
    plain(&Text(text.to_owned()).shown()).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn bare(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a line of Markdown shows, without backticks; an error where anything in it is more than letters and code.
    fn shown(line: &str) -> Result<String, String> {
        let chars: Vec<char> = line.chars().collect();
        let run = |from: usize| chars[from..].iter().take_while(|c| **c == '`').count();
        let (mut shown, mut at) = (String::new(), 0);
        while at < chars.len() {
            match chars[at] {
                '\\' if chars.get(at + 1).is_some_and(char::is_ascii_punctuation) => {
                    shown.push(chars[at + 1]);
                    at += 2;
                }
                '`' => {
                    let fence = run(at);
                    let mut end = at + fence;
                    while end < chars.len() && run(end) != fence {
                        end += run(end).max(1);
                    }
                    if end >= chars.len() {
                        return Err(format!("backticks without an end in {line:?}"));
                    }
                    shown.extend(&chars[at + fence..end]);
                    at = end + fence;
                }
                '<' | '>' | '[' | ']' | '*' | '_' | '!' | '|' | '\n' => {
                    return Err(format!("{:?} in {line:?}", chars[at]));
                }
                c => {
                    shown.push(c);
                    at += 1;
                }
            }
        }
        let letters = [("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"), ("`", "")];
        Ok(letters.iter().fold(shown, |text, (from, to)| text.replace(from, to)))
    }

    fn is_inert(text: &str) {
        let wanted = one_line(text).replace('`', "");
        let squeezed = |text: &str| text.split_whitespace().collect::<String>();
        for line in [safe(text), sentence(text), item(text), code(text)] {
            let line = shown(&line).unwrap_or_else(|why| panic!("{text:?}: {why}"));
            assert_eq!(squeezed(&line), squeezed(&wanted), "{text:?}");
        }
        // a table takes the backslash of a bar away before anything else is read
        let bare = cell(text).replace("\\|", "");
        assert!(!bare.contains('|'), "{text:?}: {bare}");
    }

    #[test]
    fn no_text_becomes_a_link_an_image_or_a_tag_whatever_its_backticks() {
        for text in [
            "```[click](javascript:alert(1))` x ```",
            "```<img src=x onerror=alert(1)> ```",
            "`` ` `<b>` ``",
            "a `b` ``<i>`` c` `",
            "![x](y) `\\` <http://a> **b** | c",
        ] {
            is_inert(text);
        }
        let alphabet = ['`', '[', ']', '<', '\\', 'x', ' ', '\n'];
        for length in 1..=5_u32 {
            for mut number in 0..alphabet.len().pow(length) {
                let mut text = String::new();
                for _ in 0..length {
                    text.push(alphabet[number % alphabet.len()]);
                    number /= alphabet.len();
                }
                is_inert(&text);
            }
        }
    }

    #[test]
    fn single_pairs_of_backticks_stay_code() {
        assert_eq!(sentence("run `a<b|c` on `web1`!"), "run `a<b|c` on `web1`\\!");
        assert_eq!(cell("run `a|b` | c"), "run `a\\|b` \\| c");
        assert_eq!(code("a ``b`"), "``` a ``b` ```");
        assert_eq!(sentence("a `` b"), "a \\`\\` b");
    }

    #[test]
    fn an_item_begins_nothing_of_its_own() {
        assert_eq!(
            ["- a", "+ a", "> a", "# a", "12. a", "2) a", "2.1 a"].map(item),
            ["\\- a", "\\+ a", "&gt; a", "\\# a", "12\\. a", "2\\) a", "2\\.1 a"]
        );
    }
}
