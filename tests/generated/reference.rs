//! docs/: the tables of keys, actions and events, drawn from the schemas that `svcops schema` prints and from the catalog.

use crate::{hold, root};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fmt::Write as _};
use svcops::{
    actions::{CATALOG, Traits},
    cli::schema::{Kind, schema},
};

const GENERATED: &str = "<!-- Drawn from the code. To change it, change the code; `SVCOPS_BLESS=1 cargo test --test generated` writes it. -->";

#[test]
fn the_reference_in_the_repository_is_that_of_the_code() {
    let pages =
        [("actions.md", actions()), ("project.md", project()), ("runbook.md", runbook()), ("events.md", events())];
    hold("docs", &pages.into_iter().map(|(name, text)| (name.to_owned(), text)).collect::<BTreeMap<_, _>>());
}

#[test]
fn every_key_says_what_it_is() {
    let mut silent = Vec::new();
    let mut look = |page: &str, rows: Vec<Row>| {
        silent.extend(rows.into_iter().filter(|r| r.about.is_empty()).map(|r| format!("{page}: {}", r.key)));
    };
    look("project", rows(&schema(Kind::Project, CATALOG)));
    let whole = schema(Kind::Runbook, CATALOG);
    look("runbook", rows(&whole));
    look("step", rows(&step(&whole)));
    for action in CATALOG {
        look(action.name, arguments(&whole, action.name));
    }
    assert_eq!(silent, [""; 0]);
}

/// A key of a file, as a row of a table.
struct Row {
    key: String,
    kind: String,
    /// The word `required`, or that it is one of several, or what it is unless given.
    default: String,
    about: String,
}

fn project() -> String {
    let mut text = format!(
        "{GENERATED}\n\n# svcops.yaml\n\nIts keys, in the order in which one meets them. `NAME` stands for a name of one's own. \
                            language.md has the whole in one example and says how its parts play together; \
                            `svcops schema project` prints the schema for editors.\n\n"
    );
    text += &table(&rows(&schema(Kind::Project, CATALOG)));
    text
}

fn runbook() -> String {
    let whole = schema(Kind::Runbook, CATALOG);
    let mut text = format!(
        "{GENERATED}\n\n# A runbook\n\nIts keys. language.md has an example, and says how targets, expressions and rollback work; \
                            actions.md has the actions; `svcops schema runbook` prints the schema for editors.\n\n"
    );
    text += &table(&rows(&whole));
    text += "\n# A step\n\nOne action (actions.md), or a group (`steps`), or `include`; and any of these:\n\n";
    text += &table(&rows(&step(&whole)));
    text
}

fn actions() -> String {
    let whole = schema(Kind::Runbook, CATALOG);
    let mut text = format!(
        "{GENERATED}\n\n# Actions\n\nWhat a step can do. A template may stand for any value. A planned change is *exact* where the plan \
                            can say what it will be, *conditional* where that hangs on an earlier step, *opaque* where there is no model of it.\n\n"
    );
    text += "| action | what it does | it is undone by | locks |\n| --- | --- | --- | --- |\n";
    for action in CATALOG {
        let link = action.name.replace('.', "");
        let locks = if action.traits.changes && !action.traits.once { "yes" } else { "none" };
        writeln!(text, "| [`{}`](#{link}) | {} | {} | {locks} |", action.name, action.about, undone(action.traits))
            .unwrap();
    }
    for action in CATALOG {
        write!(text, "\n## `{}`\n\n{}. {}\n", action.name, action.about, traits(action.traits)).unwrap();
        let all = arguments(&whole, action.name);
        let short = schema_of(&whole, action.name);
        if let Some(forms) = short.get("anyOf").or_else(|| short.get("oneOf")).and_then(Value::as_array) {
            text += "\nOne of these forms:\n\n";
            for form in forms.iter().map(|form| resolve(&whole, form)) {
                writeln!(text, "- {}: {}", kind(&form), about(&form)).unwrap();
            }
        }
        if !all.is_empty() {
            write!(text, "\n{}", table(&all)).unwrap();
        }
        write!(text, "\n```yaml\n{}\n```\n", action.example).unwrap();
    }
    text
}

fn undone(traits: Traits) -> &'static str {
    match traits {
        Traits { leaves_nothing: true, changes: true, .. } => "nothing: what is said is said",
        Traits { leaves_nothing: true, .. } => "nothing: it changes nothing",
        Traits { undoes: true, .. } => "itself",
        _ => "the step's `undo:`",
    }
}

fn traits(traits: Traits) -> String {
    let mut told = Vec::new();
    told.push(match traits {
        Traits { changes: false, .. } => "It changes nothing, takes no locks, and a rollback passes over it.",
        Traits { leaves_nothing: true, .. } => "A rollback passes over it.",
        Traits { undoes: true, .. } => "A rollback brings back what was seen before it.",
        _ => "It cannot undo itself: the step's `undo:` says how.",
    });
    if traits.once {
        told.push("It runs once for the whole step, from here, whatever the targets.");
    }
    if traits.opaque {
        told.push("It is opaque: a plan cannot know what it changes, `touches:` says so.");
    }
    told.join(" ")
}

fn events() -> String {
    let schema = schema(Kind::Events, CATALOG);
    let mut text = format!(
        "{GENERATED}\n\n# Events\n\nWhat the journal keeps of a run, and the lines of `-o jsonl`: one JSON object each, with `run`, \
                            `seq` (from 1 within the run), `at` (RFC 3339, UTC), `event` and the fields of that event. \
                            More fields may come with a later version; those that are here stay. `svcops schema events` prints the schema.\n\n"
    );
    text += "| event | what happened | fields; in brackets those that may be missing |\n| --- | --- | --- |\n";
    for event in schema["oneOf"].as_array().unwrap() {
        let required: Vec<&str> = event["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let fields = event["properties"].as_object().unwrap();
        let name = fields["event"]["const"].as_str().unwrap();
        let field =
            |name: &String| if required.contains(&name.as_str()) { format!("`{name}`") } else { format!("[`{name}`]") };
        let fields: Vec<String> = fields.keys().filter(|name| *name != "event").map(field).collect();
        writeln!(text, "| `{name}` | {} | {} |", said(name), fields.join(" ")).unwrap();
    }
    text
}

/// The first line of what the code says of an event.
fn said(event: &str) -> String {
    let source = std::fs::read_to_string(root().join("src/journal/event.rs")).unwrap();
    let body = source.split("pub enum Event {").nth(1).unwrap().split("\n}\n").next().unwrap();
    let variant: String = event.split('_').map(|part| part[..1].to_uppercase() + &part[1..]).collect();
    let lines: Vec<&str> = body.lines().collect();
    let at = lines.iter().position(|line| line.trim_start().split(['(', ' ', ',']).next() == Some(&variant)).unwrap();
    let doc = lines[..at].iter().rev().take_while(|line| line.trim_start().starts_with("///"));
    let first = doc.last().unwrap_or_else(|| panic!("`{event}` has no doc comment"));
    first.trim().trim_start_matches("/// ").trim_end_matches('.').to_owned()
}

fn table(rows: &[Row]) -> String {
    let mut text = "| key | type | default | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for row in rows {
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        writeln!(text, "| `{}` | {} | {} | {} |", row.key, cell(&row.kind), cell(&row.default), cell(&row.about))
            .unwrap();
    }
    text
}

/// The keys of the steps that are no actions.
fn step(whole: &Value) -> Value {
    let mut step = whole["$defs"]["step"].clone();
    let keys = step["properties"].as_object_mut().unwrap();
    keys.retain(|key, _| CATALOG.iter().all(|action| action.name != key));
    step["$defs"] = whole["$defs"].clone();
    step
}

fn schema_of(whole: &Value, action: &str) -> Value {
    let entry = &whole["$defs"]["step"]["properties"][action];
    resolve(whole, &entry["anyOf"][0])
}

fn arguments(whole: &Value, action: &str) -> Vec<Row> {
    let mut schema = schema_of(whole, action);
    if let Some(map) = schema.as_object_mut() {
        map.insert("$defs".into(), whole["$defs"].clone());
    }
    rows(&schema)
}

fn rows(schema: &Value) -> Vec<Row> {
    let mut rows = Vec::new();
    keys(schema, schema, ("", false), &mut rows);
    rows
}

/// Goes down into what a schema allows, below a path; `choice`: it is one of several. `whole` has the definitions.
fn keys(whole: &Value, schema: &Value, (path, choice): (&str, bool), rows: &mut Vec<Row>) {
    for form in ["oneOf", "anyOf"] {
        let forms = schema.get(form).and_then(Value::as_array).into_iter().flatten().map(|one| resolve(whole, one));
        let forms: Vec<Value> = forms.filter(|one| one.get("properties").is_some()).collect();
        for one in &forms {
            keys(whole, one, (path, forms.len() > 1), rows);
        }
    }
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (key, value) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let value = &resolve(whole, value);
        let key_path = format!("{path}{key}");
        let default = value.get("default").filter(|d| !d.is_null()).map_or_else(String::new, code);
        let default = match default.as_str() {
            _ if required.contains(&key.as_str()) => if choice { "one of these" } else { "required" }.to_owned(),
            "`[]`" | "`{}`" | "`\"\"`" | "``" => String::new(),
            _ => default,
        };
        if rows.iter().all(|row| row.key != key_path) {
            rows.push(Row { kind: kind(value), default, about: about(value), key: key_path.clone() });
        }
        if let Some(item) = value.get("items").map(|items| resolve(whole, items)).filter(|i| has_keys(whole, i)) {
            keys(whole, &item, (&format!("{key_path}[]."), false), rows);
        }
        let inner = value.get("additionalProperties").filter(|a| a.is_object()).map(|a| resolve(whole, a));
        match inner {
            Some(inner) if has_keys(whole, &inner) => keys(whole, &inner, (&format!("{key_path}.NAME."), false), rows),
            _ => keys(whole, value, (&format!("{key_path}."), false), rows),
        }
    }
}

fn has_keys(whole: &Value, schema: &Value) -> bool {
    let forms = ["oneOf", "anyOf"].iter().filter_map(|form| schema.get(form)?.as_array()).flatten();
    schema.get("properties").is_some()
        || forms.map(|one| resolve(whole, one)).any(|one| one.get("properties").is_some())
}

/// A schema without its detours: a reference, or something that may also be null. A step is not gone into: it is a page.
fn resolve(whole: &Value, schema: &Value) -> Value {
    let own: Map<String, Value> = schema.as_object().cloned().unwrap_or_default();
    let target =
        own.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix("#/$defs/")).filter(|n| *n != "step");
    let mut found = match target {
        Some(name) => resolve(whole, &whole["$defs"][name]),
        None => schema.clone(),
    };
    let some: Option<Vec<Value>> = found
        .get("anyOf")
        .and_then(Value::as_array)
        .map(|all| all.iter().filter(|one| one["type"] != "null").cloned().collect());
    if let Some([one]) = some.as_deref() {
        let inner = resolve(whole, one);
        let outer = found.as_object().cloned().unwrap_or_default();
        found = inner;
        for (key, value) in outer.into_iter().filter(|(key, _)| key != "anyOf") {
            found[key] = value;
        }
    }
    for (key, value) in own.into_iter().filter(|(key, _)| matches!(key.as_str(), "description" | "default")) {
        found[key] = value;
    }
    found
}

fn about(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().trim_end_matches('.').replace('\n', " ")
}

fn code(value: &Value) -> String {
    format!("`{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// What may stand there, in words.
fn kind(schema: &Value) -> String {
    if let Some(one) = schema.get("const") {
        return code(one);
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return words.iter().map(code).collect::<Vec<_>>().join(" ");
    }
    if schema["$ref"] == "#/$defs/step" {
        return "step".into();
    }
    for form in ["oneOf", "anyOf"] {
        if let Some(all) = schema.get(form).and_then(Value::as_array) {
            let mut kinds: Vec<String> = all.iter().filter(|one| one["type"] != "null").map(kind).collect();
            kinds.dedup();
            return kinds.join(", or ");
        }
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().filter_map(Value::as_str).filter(|one| *one != "null").collect(),
        _ => Vec::new(),
    };
    let word = |name: &&str| match *name {
        "string" if schema["pattern"].as_str().is_some_and(|p| p.contains("ms|s|m|h|d")) => "duration".to_owned(),
        "string" if schema["pattern"].as_str().is_some_and(|p| p.contains('%')) => "share".to_owned(),
        "string" => "text".to_owned(),
        "integer" => "whole number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => schema
            .get("items")
            .filter(|i| i.is_object())
            .map_or_else(|| "list".to_owned(), |items| format!("list of {}", plural(&kind(items)))),
        "object" => "mapping".to_owned(),
        other => other.to_owned(),
    };
    let words: Vec<String> = types.iter().map(word).collect();
    if words.is_empty() { "any".to_owned() } else { words.join(", or ") }
}

fn plural(kind: &str) -> String {
    if kind.ends_with(|c: char| c.is_ascii_lowercase()) { format!("{kind}s") } else { kind.to_owned() }
}

/// What examples of certificates are about.
const CERTIFICATES: &str = "issuers:
  house: {ca: {folder: ca, password: ca-key}}
certificates:
  billing-tls:
    names: [\"{{ host.name }}.lab.test\"]
    issuer: house
    places: [{hosts: role=app, cert: /etc/billing/tls.crt, key: /etc/billing/tls.key, app: billing}]
";

/// What examples name beyond the project of the other tests.
const ZONES: &str = r#"
zones:
  lab.test: {server: "10.77.0.5:53", key: {name: svcops-lab, secret: tsig}}
"#;

/// And a service.
const SERVICES: &str = r#"
services:
  crm: {sites: [dc1, dc2], rpo: 0B, probe: {tcp: "10.77.0.5:8080"}, parts: [{app: billing}]}
"#;

/// And databases.
const DATABASES: &str = r#"
databases:
  crm-db: {hosts: role=db, postgres: {cluster: 15/main}, replication: {user: replicator}}
  orders-db:
    hosts: role=db
    postgres: {cluster: 15/orders, port: 5433}
    replication: {user: replicator}
    patroni: {url: "http://{{ host.address }}:8008"}
"#;

#[test]
fn every_action_has_an_example_and_every_example_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    for sub in ["runbooks", "files"] {
        std::fs::create_dir(place(sub)).unwrap();
    }
    std::fs::copy(root().join("tests/data/crm/files/billing.conf"), place("files/billing.conf")).unwrap();
    let project = std::fs::read_to_string(root().join("tests/data/crm/svcops.yaml")).unwrap();
    let project =
        project.replace("  tsig: ", "  ca-key: {env: CA_KEY}\n  tsig: ") + CERTIFICATES + ZONES + SERVICES + DATABASES;
    std::fs::write(place("svcops.yaml"), project).unwrap();
    std::fs::write(place("files/limits.conf.tmpl"), "workers = {{ 2 * 4 }}\n").unwrap();
    for action in CATALOG {
        assert!(action.example.contains(&format!("{}:", action.name)), "`{}` has no example", action.name);
        let steps: String = action.example.lines().map(|line| format!("  {line}\n")).collect();
        let name = action.name.replace('.', "-");
        let databases = ["postgres.", "patroni."].iter().any(|family| action.name.starts_with(family));
        let targets = match (databases, action.example.contains("from: dc1-db1")) {
            (false, _) => "role=app",
            (true, true) => "dc2-db1",
            (true, false) => "dc1-db1",
        };
        let text = format!("svcops: 1\nname: {name}\ntitle: Example\ntargets: {targets}\nsteps:\n{steps}");
        std::fs::write(place(&format!("runbooks/{name}.yaml")), text).unwrap();
    }
    let found = svcops::engine::lint::lint(folder.path(), &[], CATALOG);
    let told: Vec<String> = found.0.iter().map(|fault| format!("{fault:?}")).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
    let text = std::fs::read_to_string(place("runbooks/app-stop.yaml")).unwrap().replace("app: billing", "app: biling");
    std::fs::write(place("runbooks/app-stop.yaml"), text).unwrap();
    assert!(!svcops::engine::lint::lint(folder.path(), &[], CATALOG).0.is_empty(), "a wrong one would be found");
}
