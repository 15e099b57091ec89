//! Facts in words: what a look saw, as short as a line of a plan or of a report has room for.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What differs between two states of a thing, in words; what moves by itself is left out.
pub fn differ(before: Option<&Value>, after: Option<&Value>) -> (String, String) {
    // of a certificate its serial and its end say enough
    const MOVES: [&str; 27] = [
        "pid",
        "invocation",
        "since",
        "sessions",
        "body",
        "size",
        "stdout",
        "stderr",
        "error",
        "fingerprint",
        "spki",
        "pem",
        "not_before",
        "names",
        // of a cluster: positions in its log, and what comes and goes with the hour
        "written",
        "received",
        "replayed",
        "flushed",
        "checkpoint",
        "recovered",
        "delay",
        "last",
        "end",
        "free",
        "left",
        "silent",
        "streams_from",
    ];
    let leaves = |value: Option<&Value>| {
        let mut all = BTreeMap::new();
        flatten("", value.unwrap_or(&Value::Null), &mut all);
        all
    };
    let (one, other) = (leaves(before), leaves(after));
    let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let (mut was, mut is) = (Vec::new(), Vec::new());
    for key in keys {
        let name = key.rsplit('.').next().unwrap_or(key);
        if one.get(key) == other.get(key) || MOVES.contains(&name) {
            continue;
        }
        let word = |leaf: Option<&String>| leaf.map_or_else(|| "none".to_owned(), |l| shorten(name, l));
        let label = if name.is_empty() { String::new() } else { format!("{name} ") };
        was.push(format!("{label}{}", word(one.get(key))));
        is.push(format!("{label}{}", word(other.get(key))));
    }
    if before.is_some_and(Value::is_null) && after.is_some_and(|a| !a.is_null()) {
        return ("absent".into(), is.join(", "));
    }
    if after.is_some_and(Value::is_null) {
        return (was.join(", "), "absent".into());
    }
    (was.join(", "), is.join(", "))
}

fn shorten(name: &str, leaf: &str) -> String {
    match name {
        "hash" | "key" => leaf.chars().take(12).collect(),
        "mode" => leaf.parse::<u32>().map_or_else(|_| leaf.to_owned(), |mode| format!("{mode:04o}")),
        _ => leaf.chars().take(40).collect(),
    }
}

fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, into);
            }
        }
        Value::Null => {}
        Value::String(text) => {
            into.insert(path.to_owned(), text.clone());
        }
        other => {
            into.insert(path.to_owned(), other.to_string());
        }
    }
}

/// The text with [`HOST`] where `host` stands as a word of its own.
pub fn masked(text: &str, host: &str) -> String {
    renamed(text, host, HOST)
}

/// The text with `name` where `host` stands as a word of its own.
pub fn renamed(text: &str, host: &str, name: &str) -> String {
    if host.is_empty() {
        return text.to_owned();
    }
    let joins = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let (mut renamed, mut last) = (String::new(), None);
    for (index, part) in text.split(host).enumerate() {
        if index > 0 {
            renamed += if joins(last) || joins(part.chars().next()) { host } else { name };
        }
        renamed += part;
        last = part.chars().next_back();
    }
    renamed
}

/// Stands for a host's name where several hosts share a block.
pub const HOST: &str = "HOST";
