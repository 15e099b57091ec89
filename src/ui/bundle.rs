//! What a check of a bundle found.

use super::{
    history::{self, Signed},
    paint::plain,
    wrap,
};
use crate::{
    base::words,
    journal::bundle::{Checked, REPORT},
};
use serde_json::{Value, json};

/// The verdict in words.
pub fn verdict(checked: &Checked, signed: &Signed, width: usize) -> String {
    let mut text = String::new();
    let mut say =
        |label: &str, words: &str| text += &(wrap::hanging(&format!("{label:<7}"), &plain(words), width) + "\n");
    for flaw in &checked.flaws {
        say("FAULT", &flaw.to_string());
    }
    let Some(manifest) = &checked.manifest else { return text };
    say("run", &format!("{} of project `{}`", manifest.run, manifest.project));
    let found = match checked.flaws.len() {
        0 => "each byte is what was written".to_owned(),
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
    if checked.flaws.is_empty() && !checked.redrawn && manifest.parts.iter().any(|part| part.name == REPORT) {
        say(
            "note",
            &format!(
                "`{REPORT}` was made by svcops {}; only that version can tell whether it says what the events say",
                manifest.made_by
            ),
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
        "report_checked": checked.redrawn,
        "unsigned": checked.unsigned,
        "signatures": history::signatures_json(signed),
        "sha256": checked.hash,
    })
}
