//! Lines for the machine's own syslog: journald, rsyslog or syslog-ng, at its socket.

use crate::{base::Redactor, journal::event::Operator};
use jiff::{Timestamp, tz::TimeZone};
use std::{
    io,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
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

/// What is said.
#[derive(Clone, Debug)]
pub struct Line {
    /// When it happened.
    pub at: Timestamp,
    /// Somebody should look.
    pub grave: bool,
    /// For machines: what the words are about.
    pub fields: Vec<(&'static str, String)>,
    /// For people.
    pub text: String,
}

/// The way to a syslog.
#[derive(Debug)]
pub struct Syslog {
    socket: Option<UnixDatagram>,
    path: PathBuf,
    label: String,
    redactor: Redactor,
}

impl Syslog {
    /// To that socket; `label` is the journal's.
    pub fn to(path: &str, label: String, redactor: Redactor) -> Self {
        let socket = UnixDatagram::unbound().and_then(|s| s.set_nonblocking(true).map(|()| s));
        Self { socket: socket.ok(), path: PathBuf::from(path), label, redactor }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says one line, and does not wait.
    ///
    /// # Errors
    /// Nobody listens, or its queue is full ([`io::ErrorKind::WouldBlock`]).
    pub fn tell(&self, line: &Line) -> io::Result<()> {
        let text = self.line(line);
        match &self.socket {
            // named each time: a syslog that was restarted has a new socket
            Some(socket) => socket.send_to(text.as_bytes(), &self.path).map(drop),
            None => Err(io::Error::other("no socket could be made")),
        }
    }

    /// The form that a machine's own syslog takes on its socket (RFC 3164), what is for machines as RFC 5424 has it.
    fn line(&self, line: &Line) -> String {
        let priority = FACILITY * 8 + if line.grave { 4 } else { 6 };
        let time = line.at.to_zoned(TimeZone::system()).strftime("%b %e %H:%M:%S");
        let label = quoted(&self.label);
        let mut text = format!("<{priority}>{time} svcops[{}]: [svcops store=\"{label}\"", std::process::id());
        for (name, value) in &line.fields {
            text += &format!(" {name}=\"{}\"", quoted(&escaped(value)));
        }
        text += "] ";
        let (clean, _) = self.redactor.clean(&line.text);
        for c in escaped(&clean).chars() {
            if text.len() + c.len_utf8() > MOST - '…'.len_utf8() {
                text.push('…');
                break;
            }
            text.push(c);
        }
        text
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

    #[test]
    fn a_line_has_room_for_its_hashes_and_never_a_secret_or_a_second_line() {
        let redactor = Redactor::default();
        redactor.hide(&Secret::new("hunter22".into()));
        let anchor = format!("7:{}", "a".repeat(64));
        let text = "сервис\n<86>forged hunter22 ".to_owned() + &"ж".repeat(2000);
        let fields = vec![("event", format!("01M7Q5FS50/7:{}", "b".repeat(64))), ("anchor", anchor.clone())];
        let line = Line { at: Timestamp::UNIX_EPOCH, grave: true, fields, text };
        let line = Syslog::to("/nowhere/log", "ops-1:/state".into(), redactor).line(&line);
        assert!(line.len() <= MOST && line.ends_with('…'), "{line}");
        assert!(line.starts_with("<84>") && line.contains(&anchor), "{line}");
        assert!(line.contains(r"сервис\n<86>forged ***"), "{line}");
        assert!(!line.contains('\n'));
    }
}
