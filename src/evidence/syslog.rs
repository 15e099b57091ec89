//! The audit stream: a line of syslog for each event of consequence, as it happens. A run never waits for it and never fails for
//! it; what was lost is counted.

use crate::{
    base::{Redactor, RunId, Way},
    journal::{
        Journal as _, SqliteJournal,
        event::{Event, Notice, Operator, Record, Watcher},
        state::RunState,
    },
    ui::lines,
};
use jiff::{Timestamp, tz::TimeZone};
use std::{
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// A line is no longer, in bytes: what every syslog takes.
pub const MOST: usize = 1024;
/// A longer label is its hash.
const MOST_LABEL: usize = 300;
/// Where such lines are expected: `authpriv`.
const FACILITY: u8 = 10;

/// What a journal is called on its machine and beyond: `MACHINE:DIRECTORY`.
pub fn label(state: &Path) -> String {
    let state = std::fs::canonicalize(state).unwrap_or_else(|_| state.to_owned());
    let label = escaped(&format!("{}:{}", Operator::here().machine, state.display()));
    if label.len() > MOST_LABEL { crate::base::Hash::of(label.as_bytes()).0 } else { label }
}

/// Whoever watches a run, and the audit stream beside it.
pub struct Audit {
    watcher: Arc<dyn Watcher>,
    stream: Stream,
    journal: Arc<SqliteJournal>,
    runs: Mutex<Option<(RunId, RunState)>>,
}

impl Audit {
    /// A stream beside a watcher.
    pub fn new(watcher: Arc<dyn Watcher>, journal: Arc<SqliteJournal>, stream: Stream) -> Self {
        Self { watcher, stream, journal, runs: Mutex::default() }
    }

    /// How many lines were lost, and why the last of them was.
    pub fn lost(&self) -> Option<(usize, String)> {
        self.stream.lost()
    }

    /// What is told of an event.
    fn told(&self, record: &Record) -> Option<String> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let known = runs.take().filter(|(run, _)| *run == record.run).map(|(_, state)| state);
        let mut state = known.unwrap_or_else(|| {
            let records = self.journal.records(&record.run).unwrap_or_default();
            RunState::fold(records.iter().filter(|earlier| earlier.seq < record.seq))
        });
        state.apply(record);
        let text = words(record, &state);
        *runs = Some((record.run.clone(), state));
        text
    }
}

impl Watcher for Audit {
    fn record(&self, record: &Record) {
        if let Some(text) = self.told(record) {
            // an entry of the ledger is an anchor, wherever the line is kept
            let anchor = self.journal.entry_of(&record.run, record.seq).ok().flatten();
            let anchor = anchor.map(|anchor| anchor.to_string());
            self.stream.tell(record.at, grave(&record.event), anchor.as_deref(), &format!("run {} {text}", record.run));
        }
        self.watcher.record(record);
    }
    fn notice(&self, notice: &Notice) {
        self.watcher.notice(notice);
    }
}

fn words(record: &Record, state: &RunState) -> Option<String> {
    Some(match &record.event {
        Event::Started(header) => {
            let by = &header.operator;
            let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let mut said =
                format!("begins: `{}` of project {}, by {} on {}", header.runbook, header.project, by.name, by.machine);
            said += header.ticket.as_ref().map(|t| format!(", ticket {}", text(t))).unwrap_or_default().as_str();
            said += header.plan.as_ref().map(|p| format!(", plan {p}")).unwrap_or_default().as_str();
            said + &header.reason.as_ref().map(|r| format!(", reason: {r}")).unwrap_or_default()
        }
        Event::Finished(end) => {
            let why = end.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            format!(
                "ends: {} (exit code {}), {} changed, {} owed{why}",
                end.outcome.word(),
                end.exit_code,
                end.changed,
                end.owed
            )
        }
        Event::Refused { .. }
        | Event::Resumed { .. }
        | Event::Announced { .. }
        | Event::Carried { .. }
        | Event::InDoubt { .. }
        | Event::Resolved { .. }
        | Event::Waived { .. }
        | Event::RollingBack { .. }
        | Event::RolledBack { .. }
        | Event::Ended { way: Way::Undo, .. }
        | Event::Stopping { .. } => format!("· {}", lines::of(record, state)?.1),
        _ => return None,
    })
}

/// Somebody should look.
fn grave(event: &Event) -> bool {
    match event {
        Event::Refused { .. } | Event::InDoubt { .. } | Event::RollingBack { .. } => true,
        Event::Finished(end) => end.exit_code != 0,
        _ => false,
    }
}

/// The way to a syslog.
pub struct Stream {
    socket: Option<UnixDatagram>,
    path: PathBuf,
    label: String,
    redactor: Redactor,
    lost: Mutex<(usize, String)>,
}

impl Stream {
    /// To that socket; `label` is the journal's.
    pub fn to(path: &str, label: String, redactor: Redactor) -> Self {
        let socket = UnixDatagram::unbound().and_then(|s| s.set_nonblocking(true).map(|()| s));
        Self { socket: socket.ok(), path: PathBuf::from(path), label, redactor, lost: Mutex::default() }
    }

    /// Says one line, and does not wait.
    pub fn tell(&self, at: Timestamp, grave: bool, anchor: Option<&str>, text: &str) {
        let line = self.line(at, grave, anchor, text);
        let sent = match &self.socket {
            // named each time: a syslog that was restarted has a new socket
            Some(socket) => socket.send_to(line.as_bytes(), &self.path).map(drop),
            None => Err(std::io::Error::other("no socket could be made")),
        };
        if let Err(why) = sent {
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            *lost = (lost.0 + 1, format!("{}: {why}", self.path.display()));
        }
    }

    /// How many lines were lost, and why the last of them was.
    pub fn lost(&self) -> Option<(usize, String)> {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        (lost.0 > 0).then(|| lost.clone())
    }

    /// The form that a machine's own syslog takes on its socket (RFC 3164), what is for machines as RFC 5424 has it.
    fn line(&self, at: Timestamp, grave: bool, anchor: Option<&str>, text: &str) -> String {
        let priority = FACILITY * 8 + if grave { 4 } else { 6 };
        let time = at.to_zoned(TimeZone::system()).strftime("%b %e %H:%M:%S");
        let anchor = anchor.map(|anchor| format!(" anchor=\"{anchor}\"")).unwrap_or_default();
        let mut line = format!(
            "<{priority}>{time} svcops[{}]: [svcops store=\"{}\"{anchor}] ",
            std::process::id(),
            quoted(&self.label)
        );
        let (clean, _) = self.redactor.clean(text);
        for c in escaped(&clean).chars() {
            if line.len() + c.len_utf8() > MOST - '…'.len_utf8() {
                line.push('…');
                break;
            }
            line.push(c);
        }
        line
    }
}

/// Within the quotes of RFC 5424.
fn quoted(text: &str) -> String {
    text.chars().fold(String::new(), |mut quoted, c| {
        if matches!(c, '"' | '\\' | ']') {
            quoted.push('\\');
        }
        quoted.push(c);
        quoted
    })
}

/// No line can pretend to be two.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut line, c| {
        if c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
        line
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Secret;

    fn stream(redactor: Redactor) -> Stream {
        Stream::to("/nowhere/log", "ops-1:/state".into(), redactor)
    }

    #[test]
    fn a_line_has_room_for_its_anchor_and_never_a_secret_or_a_second_line() {
        let redactor = Redactor::default();
        redactor.hide(&Secret::new("hunter22".into()));
        let anchor = format!("7:{}", "a".repeat(64));
        let text = "сервис\n<86>forged hunter22 ".to_owned() + &"ж".repeat(2000);
        let line = stream(redactor).line(Timestamp::UNIX_EPOCH, true, Some(&anchor), &text);
        assert!(line.len() <= MOST && line.ends_with('…'), "{line}");
        assert!(line.starts_with("<84>") && line.contains(&anchor), "{line}");
        assert!(line.contains(r"сервис\n<86>forged ***"), "{line}");
        assert!(!line.contains('\n'));
    }

    #[test]
    fn what_nobody_takes_is_counted() {
        let stream = stream(Redactor::default());
        assert_eq!(stream.lost(), None);
        stream.tell(Timestamp::UNIX_EPOCH, false, None, "x");
        stream.tell(Timestamp::UNIX_EPOCH, false, None, "y");
        assert_eq!(stream.lost().map(|(lines, _)| lines), Some(2));
    }
}
