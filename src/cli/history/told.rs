//! What the verbs of history tell the machine's log: what somebody took out of the journal, and that it is not what was written.

use super::Past;
use crate::{
    base::{Redactor, words::count},
    evidence::{
        stream::Teller,
        syslog::{self, Line, Syslog},
    },
    journal::{SqliteJournal, chain::Verdict, event::Operator, locks::Locks},
    runbook::Project,
    ui::{message::Message, screen::Screen},
};
use std::path::Path;

/// The log that the project has told.
pub fn log(project: Option<&Project>, state: &Path) -> Option<Syslog> {
    let audit = project?.inventory.audit.as_ref()?;
    Some(Syslog::to(&audit.syslog, syslog::label(state), Redactor::default()))
}

/// Tells what nobody has told yet: of runs that were killed, of prunings.
pub fn catch_up(journal: &SqliteJournal, locks: &Locks, log: &Syslog, screen: &Screen) {
    if let Some(why) = Teller::new(journal, locks, log).catch_up().why {
        let message = Message::warning("the machine's log is not told of all yet").because(why);
        screen.tell(&message.hint("the journal has all of it, and the next run here tells it"));
    }
}

/// Tells that the journal is not what was written, or not signed as it should be. Nothing of it is an anchor.
pub(super) fn not_sound(past: &Past<'_>, log: &Syslog, verdict: &Verdict) {
    let by = Operator::here();
    let found = match verdict.faults.first() {
        Some(first) => {
            let faults = count("fault", verdict.faults.len());
            format!("the journal is not what was written: {faults}, the first: {first}")
        }
        None if verdict.is_empty() => "the journal is empty".to_owned(),
        None => format!("{} not signed", count("run", verdict.unsigned.len())),
    };
    let text = format!("history verify by {} on {}: {found}", by.name, by.machine);
    if let Err(why) = log.tell(&Line { at: past.clock.now(), grave: true, fields: Vec::new(), text }) {
        let message = Message::warning("the machine's log was not told of this");
        past.screen.tell(&message.because(format!("{}: {why}", log.path().display())));
    }
}
