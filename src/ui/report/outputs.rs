//! What commands wrote: equal outputs once, long ones cut with a note of how much, those of troubled tasks first.

use super::escape;
use crate::{
    base::{HostName, Output, TaskId, Way},
    journal::{
        event::{Event, How, Record},
        state::RunState,
    },
    ui::facts::{masked, renamed},
};
use serde_json::Value;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

/// The outputs that a report shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outputs {
    /// In the order of their steps, those of troubled tasks first.
    pub written: Vec<Written>,
    /// So many more were written.
    pub left_out: usize,
    /// So many bytes of them are in the journal.
    pub left_bytes: u64,
}

/// What one act wrote on one or more hosts.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The step's number path.
    pub step: String,
    /// Its name.
    pub name: String,
    /// The hosts that wrote the same.
    pub hosts: Vec<HostName>,
    /// Written on the way back.
    pub back: bool,
    /// The exit code, where there is one.
    pub code: Option<i32>,
    /// Something is wrong with the task.
    pub troubled: bool,
    /// `stdout` and `stderr`, where they are not empty.
    pub streams: Vec<Stream>,
}

/// A stream as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// `stdout` or `stderr`.
    pub name: &'static str,
    /// Its beginning and, where it is longer, its end, as the first of the hosts wrote it.
    pub text: String,
    /// All that was written, in bytes.
    pub bytes: u64,
    /// So many of them are not shown.
    pub cut: u64,
    /// A secret stood in it.
    pub redacted: bool,
}

/// So much of a stream is shown: this many bytes of its beginning, and half of that of its end.
const BEGINNING: usize = 4 * 1024;

/// The outputs of a run, at most about `room` bytes of them as a page has them.
pub(super) fn outputs(records: &[Record], state: &RunState, room: usize) -> Outputs {
    let mut groups: Vec<Written> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut acted: BTreeSet<&TaskId> = BTreeSet::new();
    for record in records {
        let (id, way, code, streams) = match &record.event {
            Event::Carried { task, way, receipt, .. } => {
                acted.insert(task);
                let streams = [stream("stdout", &receipt.stdout), stream("stderr", &receipt.stderr)];
                (task, *way, receipt.code, streams)
            }
            // a check does nothing: what it read is its output, however it ended
            Event::Ended { task, way, how, seen, .. } if !acted.contains(task) => {
                let facts = match how {
                    How::Done { outputs } if outputs.get("stdout").is_some() => Some(outputs),
                    _ => seen.as_ref(),
                };
                let fact = |name: &str| facts.and_then(|f| f.get(name));
                let read = |name: &'static str| {
                    let text = fact(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                    let bytes = text.len() as u64;
                    stream(name, &Output { text, bytes, redacted: false })
                };
                let code = fact("code").and_then(Value::as_i64).and_then(|code| i32::try_from(code).ok());
                (task, *way, code, [read("stdout"), read("stderr")])
            }
            _ => continue,
        };
        let Some(task) = state.task(id) else { continue };
        let streams: Vec<Stream> = streams.into_iter().flatten().collect();
        if streams.is_empty() {
            continue;
        }
        let began = &task.began;
        let troubled = task.forward.why().is_some() || task.doubt().is_some();
        let written = Written {
            step: began.step.clone(),
            name: began.name.clone(),
            hosts: vec![began.host.clone()],
            back: way == Way::Undo,
            code,
            troubled,
            streams,
        };
        let key = written.key();
        match places.get(&key).and_then(|at| groups.get_mut(*at)) {
            Some(group) if group.hosts.contains(&began.host) => {}
            Some(group) => group.hosts.push(began.host.clone()),
            None => {
                places.insert(key, groups.len());
                groups.push(written);
            }
        }
    }
    groups.sort_by_key(|w| !w.troubled);
    fit(groups, room)
}

/// As many as there is room for; one that is too long makes no place for those after it, so that none seems to be missing
/// in the middle.
fn fit(groups: Vec<Written>, room: usize) -> Outputs {
    let mut outputs = Outputs::default();
    let mut left = Some(room);
    for written in groups {
        let size: usize = written.streams.iter().map(|s| escape::text(&s.text).len() + 300).sum();
        left = left.and_then(|left| left.checked_sub(size));
        if left.is_some() {
            outputs.written.push(written);
        } else {
            outputs.left_out += written.hosts.len();
            outputs.left_bytes += written.streams.iter().map(|s| s.bytes).sum::<u64>() * written.hosts.len() as u64;
        }
    }
    outputs
}

fn stream(name: &'static str, output: &Output) -> Option<Stream> {
    if output.text.trim().is_empty() && output.bytes <= Output::CAP as u64 {
        return None;
    }
    let text = beginning_and_end(&output.text);
    let shown = text.as_ref().map_or(output.text.len(), |(_, shown)| *shown);
    Some(Stream {
        name,
        bytes: output.bytes,
        cut: output.bytes.saturating_sub(shown as u64),
        redacted: output.redacted,
        text: text.map_or_else(|| output.text.clone(), |(text, _)| text),
    })
}

/// Whole lines of the beginning and of the end, and how many bytes they are; none: it is short enough.
fn beginning_and_end(text: &str) -> Option<(String, usize)> {
    if text.len() <= BEGINNING + BEGINNING / 2 {
        return None;
    }
    let head = text.get(..floor(text, BEGINNING)).unwrap_or_default();
    let head = head.rfind('\n').filter(|at| *at > BEGINNING / 2).and_then(|at| head.get(..=at)).unwrap_or(head);
    let tail = text.get(floor(text, text.len() - BEGINNING / 2)..).unwrap_or_default();
    let tail = tail.find('\n').filter(|at| *at < BEGINNING / 4).and_then(|at| tail.get(at + 1..)).unwrap_or(tail);
    let end = if head.ends_with('\n') { "" } else { "\n" };
    Some((format!("{head}{end}[…]\n{tail}"), head.len() + tail.len()))
}

/// The nearest boundary of a character at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

impl Written {
    fn key(&self) -> String {
        let host = self.hosts.first().map(HostName::as_str).unwrap_or_default();
        let texts: Vec<String> = self.streams.iter().map(|s| format!("{}:{}", s.name, masked(&s.text, host))).collect();
        format!("{}|{}|{}|{:?}|{}|{texts:?}", self.step, self.name, self.back, self.code, self.troubled)
    }
    /// What a stream says of `name`, one of its hosts; of all of them, `HOST`.
    pub fn text<'a>(&self, stream: &'a Stream, name: &str) -> Cow<'a, str> {
        match self.hosts.first() {
            Some(first) if first.as_str() != name && self.hosts.len() > 1 => {
                renamed(&stream.text, first.as_str(), name).into()
            }
            _ => Cow::Borrowed(&stream.text),
        }
    }
}
