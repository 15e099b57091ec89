//! Typed access to a tree that notes what is wrong and goes on.

use super::{Key, Kind, Mark, Node, Notes, traps::Trap};
use crate::base::{Span, words};
use std::str::FromStr;

impl Node {
    /// A text.
    pub fn text(&self, notes: &mut Notes) -> Option<String> {
        match &self.kind {
            Kind::Text(text) => Some(text.clone()),
            Kind::Number(_) | Kind::Bool(_) => {
                let shown = self.json();
                notes.hinted(self.mark, format!("a text expected, not {}", self.words()), format!("write \"{shown}\""));
                None
            }
            _ => self.wrong(notes, "a text"),
        }
    }
    /// A text that is a word of [`str`]'s parse.
    pub fn parsed<T: FromStr<Err: std::fmt::Display>>(&self, notes: &mut Notes) -> Option<T> {
        let text = self.text(notes)?;
        text.parse().map_err(|e: T::Err| notes.error(self.mark, e.to_string())).ok()
    }
    /// A span of time.
    pub fn span(&self, notes: &mut Notes) -> Option<Span> {
        if let Kind::Number(n) = &self.kind {
            let hint = format!("write {n}s for seconds");
            notes.hinted(self.mark, format!("a span of time expected, not {}", self.words()), hint);
            return None;
        }
        self.parsed(notes)
    }
    /// One of some words.
    pub fn word(&self, words: &[&str], notes: &mut Notes) -> Option<String> {
        let text = self.text(notes)?;
        if words.contains(&text.as_str()) {
            return Some(text);
        }
        let message = format!("`{text}` is none of {}", words::list(words, 12));
        match words::nearest(&text, words.iter().copied()) {
            Some(near) => notes.hinted(self.mark, message, format!("did you mean `{near}`?")),
            None => notes.error(self.mark, message),
        }
        None
    }
    /// `true` or `false`.
    pub fn flag(&self, notes: &mut Notes) -> Option<bool> {
        match (&self.kind, self.trap) {
            (Kind::Bool(b), _) => Some(*b),
            (Kind::Text(text), Some(Trap::Word(b))) => {
                notes.hinted(self.mark, format!("true or false expected, not `{text}`"), format!("write {b}"));
                None
            }
            _ => self.wrong(notes, "true or false"),
        }
    }
    /// A whole number from `least` on.
    pub fn whole(&self, least: u64, notes: &mut Notes) -> Option<u64> {
        match &self.kind {
            Kind::Number(n) if n.as_u64().is_some_and(|n| n >= least) => n.as_u64(),
            Kind::Number(n) => {
                notes.error(self.mark, format!("a whole number from {least} on expected, not {n}"));
                None
            }
            _ => self.wrong(notes, "a whole number"),
        }
    }
    /// A list.
    pub fn list(&self, notes: &mut Notes) -> Option<&[Self]> {
        match &self.kind {
            Kind::List(items) => Some(items),
            _ => self.wrong(notes, "a list"),
        }
    }
    /// A list of texts.
    pub fn texts(&self, notes: &mut Notes) -> Option<Vec<String>> {
        Some(self.list(notes)?.iter().filter_map(|item| item.text(notes)).collect())
    }
    /// A mapping whose keys are names.
    pub fn map(&self, notes: &mut Notes) -> Option<&[(Key, Self)]> {
        match &self.kind {
            Kind::Map(entries) => Some(entries),
            _ => self.wrong(notes, "a mapping"),
        }
    }
    fn wrong<T>(&self, notes: &mut Notes, wanted: &str) -> Option<T> {
        notes.error(self.mark, format!("{wanted} expected, not {}", self.words()));
        None
    }
}

/// A mapping with known keys. Every key that is asked for counts as known; the rest are faults when it [ends](Fields::end).
pub struct Fields<'n> {
    /// Where faults of the whole point.
    pub mark: Mark,
    what: &'static str,
    entries: &'n [(Key, Node)],
    taken: Vec<bool>,
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// Begins with a mapping; `what` it is stands in the fault about an unknown key: `a host`.
    pub fn of(node: &'n Node, what: &'static str, notes: &mut Notes) -> Option<Self> {
        let Kind::Map(entries) = &node.kind else {
            notes.error(node.mark, format!("{what} is a mapping, not {}", node.words()));
            return None;
        };
        let mark = entries.first().map_or(node.mark, |(key, _)| key.mark);
        Some(Self { mark, what, entries, taken: vec![false; entries.len()], known: Vec::new() })
    }
    /// The value of a key; an empty value is a fault.
    pub fn take(&mut self, key: &'static str, notes: &mut Notes) -> Option<&'n Node> {
        self.entry(key, notes).map(|(_, node)| node)
    }
    /// The same with the key.
    pub fn entry(&mut self, key: &'static str, notes: &mut Notes) -> Option<&'n (Key, Node)> {
        self.known.push(key);
        let index = self.entries.iter().position(|(k, _)| k.text == key)?;
        self.seen(index);
        let entry = self.entries.get(index)?;
        if entry.1.kind == Kind::Null {
            notes.hinted(entry.0.mark, format!("`{key}` has no value"), "give it one, or drop the key");
            return None;
        }
        Some(entry)
    }
    /// The value of a key that must be there.
    pub fn need(&mut self, key: &'static str, notes: &mut Notes) -> Option<&'n Node> {
        if !self.entries.iter().any(|(k, _)| k.text == key) {
            notes.error(self.mark, format!("`{key}` is missing: {} needs it", self.what));
        }
        self.take(key, notes)
    }
    /// A text, if the key is there.
    pub fn text(&mut self, key: &'static str, notes: &mut Notes) -> Option<String> {
        self.take(key, notes)?.text(notes)
    }
    /// True or false; false where the key is not there.
    pub fn flag(&mut self, key: &'static str, notes: &mut Notes) -> bool {
        self.take(key, notes).and_then(|n| n.flag(notes)).unwrap_or(false)
    }
    /// A span of time, if the key is there.
    pub fn span(&mut self, key: &'static str, notes: &mut Notes) -> Option<Span> {
        self.take(key, notes)?.span(notes)
    }
    /// Refuses keys that a later version acts on.
    pub fn later(&mut self, keys: &[&str], notes: &mut Notes) {
        for (index, (key, _)) in self.entries.iter().enumerate() {
            if keys.contains(&key.text.as_str()) {
                notes.hinted(key.mark, later(&key.text), "take it out, or use a version that acts on it");
                self.seen(index);
            }
        }
    }
    /// Keys that nobody has asked for so far.
    pub fn rest(&self) -> impl Iterator<Item = &'n (Key, Node)> {
        self.entries.iter().zip(&self.taken).filter(|(_, taken)| !**taken).map(|(entry, _)| entry)
    }
    /// The known key that this one may have been meant for, among those asked for so far and `others`.
    pub fn near<'k>(&self, key: &str, others: &[&'k str]) -> Option<&'k str>
    where
        'static: 'k,
    {
        words::nearest(key, self.known.iter().copied().chain(others.iter().copied()))
    }
    /// Takes a key that only the data knows.
    pub fn drop_key(&mut self, key: &str) {
        if let Some(index) = self.entries.iter().position(|(k, _)| k.text == key) {
            self.seen(index);
        }
    }
    /// Everything else is unknown.
    pub fn end(self, notes: &mut Notes) {
        for (key, _) in self.rest() {
            unknown(key, self.what, &self.known, notes);
        }
    }
    fn seen(&mut self, index: usize) {
        // A key that stands twice was named as such when the file was read.
        let Some(text) = self.entries.get(index).map(|(key, _)| key.text.as_str()) else { return };
        for ((key, _), taken) in self.entries.iter().zip(&mut self.taken) {
            *taken |= key.text == text;
        }
    }
}

/// The sentence about what this version does not act on yet.
pub fn later(key: &str) -> String {
    format!("this version does not act on `{key}` yet, and ignores nothing")
}

/// Notes a key that is not known.
pub fn unknown(key: &Key, what: &str, known: &[&str], notes: &mut Notes) {
    let list = format!("{what} knows {}", words::list(known, 40));
    let hint = match words::nearest(&key.text, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? {list}"),
        None => list,
    };
    notes.hinted(key.mark, format!("unknown key `{}`", key.text), hint);
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn all_faults_of_a_mapping_are_noted_at_once() {
        let mut notes = Notes::on("f");
        let node = parse(&mut notes, "name: 7\nalways: yes\ntimeout: 30\nrety: {}\nwhen:\n").unwrap();
        let mut fields = Fields::of(&node, "a step", &mut notes).unwrap();
        assert_eq!(fields.text("name", &mut notes), None);
        assert!(!fields.flag("always", &mut notes));
        assert_eq!(fields.span("timeout", &mut notes), None);
        assert!(fields.take("retry", &mut notes).is_none());
        assert!(fields.text("when", &mut notes).is_none());
        fields.end(&mut notes);
        let faults = notes.faults.settled();
        let lines: Vec<_> = faults.0.iter().map(|f| (f.spot.line, f.message.as_str())).collect();
        assert_eq!(
            lines,
            [
                (1, "a text expected, not the number 7"),
                (2, "true or false expected, not `yes`"),
                (3, "a span of time expected, not the number 30"),
                (4, "unknown key `rety`"),
                (5, "`when` has no value"),
            ]
        );
        assert!(faults.0[3].hint.as_deref().unwrap().starts_with("did you mean `retry`?"));
    }
}
