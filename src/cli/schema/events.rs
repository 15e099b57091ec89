//! The schema of the journal's events, the lines of `-o jsonl`.

use serde_json::{Map, Value, json};

/// Each event's name and its fields; a `?` ends the name of one that may be missing.
const EVENTS: &[(&str, &str)] = &[
    (
        "started",
        "project:s runbook:s file?:s runbook_hash:s inventory_hash:s params:o limit?:l limited_by?:s parallel:n plan?:s shown?:s operator:o reason?:s ticket?:a root:s version:s",
    ),
    ("refused", "code:n why:s"),
    ("locked", "exclusive:l shared:l"),
    ("resumed", "operator:o"),
    ("phase", "step:s name:s batch?:o hosts:l"),
    ("skipped", "task:s why:s"),
    (
        "began",
        "task:s step:s id?:s name:s host:s action:s value:a before?:a then?:l undo?:l pays?:s in_rollback?:b leaves_nothing?:b always?:b",
    ),
    ("undo_began", "task:s"),
    ("announced", "task:s way:w number:n changes:l expect:a boot:s no_return?:b"),
    ("carried", "task:s way:w number:n receipt:o"),
    ("retried", "task:s attempt:n why:s"),
    ("in_doubt", "task:s way:w why:s"),
    ("resolved", "task:s way:w done:b reason:s operator:o"),
    ("waived", "task:s reason:s operator:o"),
    ("ended", "task:s way:w how:a seen?:a changed:b"),
    ("rolling_back", "scope:a why:s drill?:b"),
    ("rolled_back", "scope:a"),
    ("stopping", "why:s now:b"),
    ("paid", "run_owing:s debt:s"),
    ("finished", "outcome:s exit_code:n why?:s changed?:n owed?:n stands?:l"),
];

/// The schema of one line.
pub(super) fn events() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An event of a run of svcops",
        "type": "object",
        "required": ["run", "seq", "at", "event"],
        "properties": {
            "run": {"type": "string", "pattern": "^[0-9A-HJKMNP-TV-Z]{10}$"},
            "seq": {"type": "integer", "minimum": 1},
            "at": {"type": "string", "format": "date-time"},
        },
        "oneOf": EVENTS.iter().map(|(name, fields)| event(name, fields)).collect::<Vec<_>>(),
    })
}

fn event(name: &str, fields: &str) -> Value {
    let (mut properties, mut required) = (Map::new(), vec!["event".to_owned()]);
    properties.insert("event".to_owned(), json!({"const": name}));
    for field in fields.split(' ') {
        let Some((key, kind)) = field.split_once(':') else { continue };
        let optional = key.ends_with('?');
        let key = key.trim_end_matches('?');
        let mut schema = match kind {
            "s" => json!({"type": "string"}),
            "n" => json!({"type": "integer", "minimum": 0}),
            "b" => json!({"type": "boolean"}),
            "o" => json!({"type": "object"}),
            "l" => json!({"type": "array"}),
            "w" => json!({"enum": ["forward", "undo"]}),
            _ => json!({}),
        };
        if !optional {
            required.push(key.to_owned());
        } else if let Some(kind) = schema.get("type").cloned() {
            schema = json!({"type": [kind, "null"]});
        }
        properties.insert(key.to_owned(), schema);
    }
    json!({"properties": properties, "required": required})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_and_every_field_of_the_journal_is_in_the_schema() {
        let source = include_str!("../../journal/event.rs");
        let body = source.split("pub enum Event {").nth(1).unwrap().split("\n}\n").next().unwrap();
        let mut variant = String::new();
        let mut seen = Vec::new();
        for line in body.lines().filter(|l| !l.trim_start().starts_with("//") && !l.trim_start().starts_with('#')) {
            let word = line.trim().trim_end_matches(',');
            if line.starts_with("    ") && !line.starts_with("     ") && word.starts_with(char::is_uppercase) {
                let name = word.split(['(', ' ']).next().unwrap();
                variant = name
                    .chars()
                    .flat_map(|c| if c.is_uppercase() { vec!['_', c.to_ascii_lowercase()] } else { vec![c] })
                    .skip(1)
                    .collect();
                assert!(EVENTS.iter().any(|(n, _)| *n == variant), "no schema for `{variant}`");
                seen.push(variant.clone());
            } else if let Some((field, _)) = word.split_once(": ") {
                let fields = EVENTS.iter().find(|(n, _)| *n == variant).unwrap().1;
                let has = fields.split(' ').any(|f| f.split(':').next().unwrap().trim_end_matches('?') == field);
                assert!(has, "the schema of `{variant}` lacks `{field}`");
            }
        }
        assert_eq!(seen.len(), EVENTS.len());
    }
}
