//! Records of the DNS in the simulated world: what a server was seen to have, and what updates make of it.

use super::world::World;
use crate::base::{Answer, RecordAsk, RecordFacts, RecordSet, RecordType, RecordUpdate, Zone};
use std::collections::BTreeMap;

/// Where records are: the server that takes updates, the name, the type.
pub(super) type Entry = (String, String, RecordType);

/// The records of the servers that were looked at.
pub(super) type Records = BTreeMap<Entry, RecordFacts>;

impl World {
    /// What was seen once; servers that lag behind are taken to catch up, silent ones stay silent.
    pub(super) fn learn_records(&mut self, ask: &RecordAsk, facts: &RecordFacts) {
        let seen = RecordFacts { others: BTreeMap::new(), ..facts.clone() };
        self.records.entry(entry(&ask.at, &ask.name, ask.kind)).or_insert(seen);
    }
    /// What is there now.
    pub(super) fn records(&self, ask: &RecordAsk) -> Answer {
        let known = self.records.get(&entry(&ask.at, &ask.name, ask.kind));
        known.map_or(Answer::Open, |facts| Answer::Record(facts.clone()))
    }
    pub(super) fn lacks_records(&self, ask: &RecordAsk) -> bool {
        !self.records.contains_key(&entry(&ask.at, &ask.name, ask.kind))
    }
    /// As RFC 2136 has it (3.4.2): all records of a set live equally long, and an alias is alone.
    pub(super) fn update_records(&mut self, update: &RecordUpdate) {
        let facts = self.records.entry(entry(&update.at, &update.name, update.kind)).or_default();
        let mut values = std::mem::take(&mut facts.primary.values);
        values.retain(|value| !update.remove.contains(value));
        if update.kind == RecordType::Cname && !update.add.is_empty() {
            values.clear();
        }
        values.extend(update.add.iter().cloned());
        let ttl = if update.add.is_empty() { facts.primary.ttl } else { Some(update.ttl) };
        facts.primary = RecordSet { ttl: ttl.filter(|_| !values.is_empty()), values };
    }
    /// Whether a name has this text.
    pub(super) fn has_text(&self, name: &str, text: &str) -> bool {
        let mut texts = self.records.iter().filter(|((_, on, kind), _)| on == name && *kind == RecordType::Txt);
        texts.any(|(_, facts)| facts.primary.values.contains(text))
    }
    /// Each set that is there, under the name of its lock.
    pub(super) fn standing_records(&self) -> impl Iterator<Item = (String, String)> {
        let there = self.records.iter().filter(|(_, facts)| !facts.primary.values.is_empty());
        there.map(|((server, name, kind), RecordFacts { primary, .. })| {
            let values: Vec<&str> = primary.values.iter().map(String::as_str).collect();
            let ttl = primary.ttl.unwrap_or_default();
            (place(server, name, *kind), format!("{} for {ttl} s", values.join(", ")))
        })
    }
}

/// What the set of an update is called there.
pub(super) fn title(update: &RecordUpdate) -> String {
    place(&update.at.server, &update.name, update.kind)
}

fn place(server: &str, name: &str, kind: RecordType) -> String {
    format!("{server}/record/{name}/{kind}")
}

fn entry(at: &Zone, name: &str, kind: RecordType) -> Entry {
    (at.server.clone(), name.to_owned(), kind)
}
