//! What a check of a bundle found.

use super::{
    history::{self, Signed},
    paint::plain_line,
    wrap,
};
use crate::{
    base::words,
    journal::bundle::{Checked, OfReport, REPORT},
};
use serde_json::{Value, json};

/// The verdict in words.
pub fn verdict(checked: &Checked, signed: &Signed, width: usize) -> String {
    let mut text = String::new();
    let mut say =
        |label: &str, words: &str| text += &(wrap::hanging(&format!("{label:<7}"), &plain_line(words), width) + "\n");
    for flaw in &checked.flaws {
        say("FAULT", &flaw.to_string());
    }
    let Some(manifest) = &checked.manifest else { return text };
    say("run", &format!("{} of project `{}`", manifest.run, manifest.project));
    let found = match checked.flaws.len() {
        0 => "the events, and all that they name, are whole".to_owned(),
        n => words::count("fault", n),
    };
    say(
        "check",
        &format!(
            "{}, {} and {} of the ledger: {found}",
            words::count("part", manifest.parts.len()),
            words::count("event", checked.events),
            words::count("entry", checked.entries)
        ),
    );
    if checked.against > 0 {
        say("anchor", &format!("held against {} known elsewhere", words::count("hash", checked.against)));
    }
    if checked.beyond > 0 {
        let beyond = words::count("hash", checked.beyond);
        say(
            "note",
            &format!(
                "{beyond} known elsewhere could not be held against it: of another run, or of a time before or after this bundle"
            ),
        );
    }
    let vouched = matches!(signed, Signed::Checked(found) if !found.by.is_empty());
    if checked.against == 0 && !vouched && checked.flaws.is_empty() {
        say(
            "note",
            "without an anchor or a signature, a bundle that was written anew as a whole goes unseen; `--against ANCHOR` sees that too",
        );
    }
    match checked.report {
        _ if !checked.flaws.is_empty() => {}
        OfReport::Same => say("report", &format!("`{REPORT}` says what the events say")),
        OfReport::Missing => say(
            "WARN",
            &format!(
                "`{REPORT}` is missing: svcops puts one into each bundle, so somebody took it out; read the events"
            ),
        ),
        OfReport::Unchecked => say(
            "WARN",
            &format!(
                "`{REPORT}` could not be checked: this svcops {} draws another one of these events, or they are too many \
                 (the bundle says that svcops {} made it); read the events",
                env!("CARGO_PKG_VERSION"),
                manifest.made_by
            ),
        ),
    }
    if checked.flaws.is_empty() && (manifest.ticket.is_some() || !manifest.paid.is_empty()) {
        let ticket = manifest.ticket.as_ref().map(|ticket| format!("that the run was told in ticket `{ticket}`"));
        let paid = (!manifest.paid.is_empty())
            .then(|| format!("that later runs paid {} of it", words::count("debt", manifest.paid.len())));
        let said: Vec<String> = ticket.into_iter().chain(paid).collect();
        say(
            "note",
            &format!("{} is the word of who made the bundle: the run's events do not say it", said.join(" and ")),
        );
    }
    text + &history::signatures(signed, width) + &history::unsigned(&checked.unsigned, width)
}

/// The same as JSON: an interface.
pub fn verdict_json(checked: &Checked, signed: &Signed, exit_code: u8) -> Value {
    let outcome = match exit_code {
        0 => "ok",
        1 => "warning",
        _ => "critical",
    };
    json!({
        "schema_version": 1,
        "outcome": outcome,
        "exit_code": exit_code,
        "run": checked.manifest.as_ref().map(|m| &m.run),
        "project": checked.manifest.as_ref().map(|m| &m.project),
        "parts": checked.manifest.as_ref().map(|m| &m.parts),
        "events": checked.events,
        "entries": checked.entries,
        "faults": checked.flaws.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "anchor": checked.anchor.as_ref().map(ToString::to_string),
        "anchored": checked.against > 0,
        "beyond": checked.beyond,
        "report_checked": checked.report == OfReport::Same,
        "report": match checked.report {
            OfReport::Missing => "missing",
            OfReport::Unchecked => "unchecked",
            OfReport::Same => "same",
        },
        "unsigned": checked.unsigned,
        "signatures": history::signatures_json(signed),
        "sha256": checked.hash,
    })
}
