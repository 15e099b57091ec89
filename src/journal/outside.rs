//! What was kept of the chains outside the journal, and how it is found in whatever text holds it: what `svcops history
//! verify` printed, JSON, a ticket's comment, lines of syslog.

use super::chain::Anchor;
use crate::base::{Hash, RunId};
use serde_json::Value;
use std::{collections::BTreeMap, fmt, str::FromStr};

/// An event as somebody outside was told of it. Written `RUN/SEQ:HASH`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The run.
    pub run: RunId,
    /// The event's number in it.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.run, self.seq, self.hash)
    }
}

/// All that is known outside of one journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// Entries of its ledger.
    pub anchors: Vec<Anchor>,
    /// Events of its runs.
    pub marks: Vec<Mark>,
    /// Lines about other journals that were passed over: how many, by the journal's label.
    pub others: BTreeMap<String, usize>,
}

impl Outside {
    /// Finds what a text holds. A line that bears a label (`store="…"`) counts only if it is `store`, for a log of a machine
    /// tells of all its journals; where nothing is labelled, all of it is about this one. Who does not know what the journal
    /// is called (`store` is empty) takes the events of every line, and the anchors of none that bears a label.
    pub fn scan(text: &str, store: &str) -> Self {
        let mut found = Self::default();
        // `journalctl -o json-seq` begins each of them so
        let text = text.replace('\u{1e}', "");
        // one document or many, on one line each or not
        let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(&text).into_iter().collect();
        match values {
            Ok(values) => values.iter().for_each(|value| found.value(value, store)),
            Err(_) => text.lines().for_each(|line| match serde_json::from_str::<Value>(line) {
                Ok(value @ Value::Object(_)) => found.value(&value, store),
                _ => found.line(line, store),
            }),
        }
        found
    }

    /// Adds what another text held.
    pub fn add(&mut self, other: Self) {
        self.anchors.extend(other.anchors);
        self.marks.extend(other.marks);
        for (label, lines) in other.others {
            *self.others.entry(label).or_default() += lines;
        }
    }

    /// Nothing was found.
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty() && self.marks.is_empty()
    }

    fn value(&mut self, value: &Value, store: &str) {
        match value {
            Value::String(text) => text.lines().for_each(|line| self.line(line, store)),
            Value::Array(values) => {
                // what journald finds unprintable comes as bytes
                let bytes = values.iter().map(|value| value.as_u64().and_then(|byte| u8::try_from(byte).ok()));
                match bytes.collect::<Option<Vec<u8>>>() {
                    Some(bytes) => String::from_utf8_lossy(&bytes).lines().for_each(|line| self.line(line, store)),
                    None => values.iter().for_each(|value| self.value(value, store)),
                }
            }
            Value::Object(map) => map.values().for_each(|value| self.value(value, store)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn line(&mut self, line: &str, store: &str) {
        let mut found = Self::default();
        for word in line.split(|c: char| !(c.is_ascii_alphanumeric() || c == ':' || c == '/')) {
            if let Some(mark) = mark(word) {
                found.marks.push(mark);
            } else if let Ok(anchor) = word.parse() {
                found.anchors.push(anchor);
            }
        }
        match label(line) {
            Some(_) if store.is_empty() => self.marks.append(&mut found.marks),
            Some(other) if other != store => {
                if !found.is_empty() {
                    *self.others.entry(other).or_default() += 1;
                }
            }
            _ => self.add(found),
        }
    }
}

impl From<Anchor> for Outside {
    fn from(anchor: Anchor) -> Self {
        Self { anchors: vec![anchor], ..Self::default() }
    }
}

fn mark(word: &str) -> Option<Mark> {
    let (run, event) = word.split_once('/')?;
    let Anchor { seq, hash } = event.parse().ok()?;
    Some(Mark { run: RunId::from_str(run).ok()?, seq, hash })
}

/// The journal that a line says it is about.
fn label(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("store=\"")?;
    let (mut label, mut escaped) = (String::new(), false);
    for c in rest.chars() {
        match c {
            _ if escaped => {
                label.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Some(label),
            c => label.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const OURS: &str = "ops-1:/var/lib/svcops/projects/crm";

    fn scan(text: &str) -> (Vec<String>, Vec<String>) {
        let found = Outside::scan(text, OURS);
        (found.anchors.iter().map(ToString::to_string).collect(), found.marks.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_anchor_is_found_in_whatever_holds_it() {
        let anchor = format!("7:{HASH}");
        for text in [
            anchor.clone(),
            format!("anchor {anchor}\n"),
            format!("{{\n  \"schema_version\": 1,\n  \"anchor\": \"{anchor}\"\n}}\n"),
            format!("{{\"entries\": [{{\"text\": \"Done\\n\\nanchor    `{anchor}`\"}}]}}"),
            format!("опора     {anchor}\nзапуск    01M7Q5FS50 (код возврата 0)"),
            format!("Nov 23 10:00:00 ops-1 svcops[7]: [svcops store=\"{OURS}\" anchor=\"{anchor}\"] готово"),
            format!(
                "{{\"MESSAGE\": \"[svcops store=\\\"{OURS}\\\" anchor=\\\"{anchor}\\\"] done\", \"_PID\": \"7\"}}\n{{}}\n"
            ),
        ] {
            assert_eq!(scan(&text), (vec![anchor.clone()], vec![]), "{text}");
        }
    }

    #[test]
    fn an_event_is_known_by_its_run_and_number() {
        let mark = format!("01M7Q5FS50/12:{HASH}");
        assert_eq!(scan(&format!("[svcops store=\"{OURS}\" event=\"{mark}\"] x")), (vec![], vec![mark]));
        assert_eq!(scan(&format!("no-run/12:{HASH} 12:abcdef x:{HASH}")), (vec![], vec![]));
    }

    #[test]
    fn lines_about_other_journals_are_counted_and_passed_over() {
        let line = |store: &str| format!("[svcops store=\"{store}\" anchor=\"7:{HASH}\"] x\n");
        let text = line("ops-1:/home/a \\\"b\\\"") + &line(OURS) + "[svcops store=\"x:/y\"] nothing to see\n";
        let found = Outside::scan(&text, OURS);
        assert_eq!(found.anchors.len(), 1);
        assert_eq!(found.others, BTreeMap::from([("ops-1:/home/a \"b\"".to_owned(), 1)]));
    }
}
