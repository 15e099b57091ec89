//! The schemas of the two files that a user writes.

use crate::actions::Entry;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

fn text(about: &str) -> Value {
    json!({"type": "string", "description": about})
}

fn span(about: &str) -> Value {
    json!({"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$", "description": format!("{about}: 30s, 5m, 1h30m")})
}

fn share(about: &str) -> Value {
    let description = format!("{about}: a number, or a share such as 50%");
    json!({"oneOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[0-9]+%?$"}], "description": description})
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties})
}

fn map_of(about: &str, value: Value) -> Value {
    json!({"type": "object", "description": about, "additionalProperties": value})
}

fn head(title: &str, mut schema: Value) -> Value {
    if let Some(map) = schema.as_object_mut() {
        map.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
        map.insert("title".into(), json!(title));
    }
    schema
}

/// Of `svcops.yaml`.
pub(super) fn project() -> Value {
    let ssh = object(
        &[],
        json!({
            "user": text("The login user"),
            "port": {"type": "integer", "minimum": 1, "maximum": 65535},
            "config": text("A file instead of ~/.ssh/config"),
            "become": text("Who acts: sudo (root), none (the login user), or a user"),
        }),
    );
    let strings = json!({"type": "array", "items": {"type": "string"}});
    let host = object(
        &[],
        json!({
            "site": text("Its site; a range advances with the name's"),
            "address": text("Overrides ssh_config's HostName; a range advances with the name's"),
            "labels": map_of("What selectors see", json!({"type": "string"})),
            "local": {"type": "boolean", "description": "Acted on without ssh"},
            "ssh": ssh,
        }),
    );
    let command = object(
        &["start", "stop", "status"],
        json!({"start": text("Starts it"), "stop": text("Stops it"), "status": text("Exits 0 while it runs"), "reload": text("Makes it read its configuration again")}),
    );
    let app = object(
        &["hosts", "manager"],
        json!({
            "title": text("For people"),
            "hosts": text("A selector: role=app"),
            "manager": {"oneOf": [
                object(&["systemd"], json!({"systemd": text("A unit with its suffix")})),
                object(&["command"], json!({"command": command})),
            ]},
            "health": object(&[], json!({
                "http": text("A URL; may hold {{ host.… }} and {{ app.… }}"),
                "status": {"type": "integer", "minimum": 100, "maximum": 599},
                "ca": text("A PEM file to trust"),
                "tcp": text("HOST:PORT"),
                "command": text("A command on the host that exits 0"),
                "within": span("How long after a start it may take"),
                "from": {"enum": ["here", "host"]},
            })),
            "config": strings,
            "balancer": object(&["name", "backend"], json!({
                "name": text("The balancer"),
                "backend": text("The backend"),
                "server": text("The server; the host's name unless given"),
            })),
            "rolling": object(&[], json!({"batch": share("Hosts at a time"), "min_healthy": {"type": "integer", "minimum": 0}})),
            "requires": strings,
        }),
    );
    let secret = json!({"oneOf": [
        object(&["env"], json!({"env": text("An environment variable")})),
        object(&["file"], json!({"file": text("A file")})),
        object(&["command"], json!({"command": strings})),
        object(&["credential"], json!({"credential": text("A credential of systemd")})),
    ]});
    let haproxy = json!({"oneOf": [
        object(&["host", "socket"], json!({"host": text("The host that its socket is on"), "socket": text("The runtime API's socket")})),
        object(&["tcp"], json!({"tcp": text("ADDRESS:PORT")})),
    ]});
    head(
        "svcops.yaml",
        object(
            &["project"],
            json!({
                "project": text("The project's name"),
                "timezone": text("For windows, schedules and reports: Europe/Moscow"),
                "store": {"const": "sqlite"},
                "tickets": object(&[], json!({
                    "system": {"const": "desk"},
                    "language": {"enum": ["en", "ru"], "description": "The language of the texts; default: en"},
                    "templates": text("A folder with the project's own texts: subject.txt, opened.txt, phase.txt, ended.txt …"),
                    "required": {"type": "boolean", "description": "A run begins only where its ticket can be opened"},
                })),
                "mail": object(&["smtp", "from"], json!({
                    "smtp": text("HOST:PORT"),
                    "from": text("The sender: an address, or Name <ADDRESS>"),
                    "tls": {"enum": ["none", "starttls", "tls"], "description": "Unless said: tls on port 465, none on the way to this machine, else starttls; never only if the server can"},
                    "user": text("Whom the server lets in"),
                    "password": text("The name of the secret that lets them in"),
                    "ca": text("A PEM file to trust instead of the system's roots"),
                    "timeout": span("How long a mail may take: 1m unless said"),
                })),
                "secrets": map_of("Where secrets come from, by name", secret),
                "ssh": ssh,
                "sites": map_of("The sites", object(&[], json!({"title": text("For people")}))),
                "hosts": map_of("The hosts; a name may be a range: web[001-250]", host),
                "apps": map_of("The apps", app),
                "balancers": map_of("The balancers", object(&["haproxy"], json!({"haproxy": haproxy}))),
                "include": strings,
            }),
        ),
    )
}

/// Of runbooks.
pub(super) fn runbook(catalog: &[Entry]) -> Value {
    let mut generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    let expression = text("An expression without braces");
    let on_failure = json!({"oneOf": [
        {"enum": ["rollback", "stop", "continue"]},
        object(&["do"], json!({"do": {"enum": ["rollback", "stop", "continue"]}, "scope": {"enum": ["run", "batch", "host"]}})),
    ]});
    let steps = json!({"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/step"}});
    let require = json!({"oneOf": [expression, {"type": "array", "items": expression}]});
    let mut step = Map::new();
    for (key, value) in [
        ("name", text("For people")),
        (
            "id",
            json!({"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "description": "What expressions and tasks call it"}),
        ),
        ("when", json!({"type": ["string", "boolean"], "description": "It applies where this holds"})),
        ("targets", text("Other hosts than the runbook's: a selector with templates")),
        ("allow_empty", json!({"type": "boolean"})),
        (
            "for_each",
            json!({"type": ["array", "string"], "description": "One turn an element: a list, or an expression for one"}),
        ),
        ("timeout", span("An act's deadline")),
        (
            "retry",
            object(
                &["attempts"],
                json!({"attempts": {"type": "integer", "minimum": 1}, "delay": span("Before the second"), "backoff": {"type": "number", "minimum": 1}}),
            ),
        ),
        ("become", text("Who acts: sudo, none, or a user")),
        ("then", steps.clone()),
        ("require", require.clone()),
        ("on_failure", on_failure.clone()),
        ("undo", steps.clone()),
        ("touches", json!({"type": "array", "items": {"type": "string"}})),
        ("always", json!({"type": "boolean", "description": "It runs at the end, whatever happened"})),
        ("no_return", json!({"type": "boolean", "description": "The point of no return"})),
        ("steps", steps.clone()),
        (
            "rolling",
            object(
                &[],
                json!({"batch": share("Hosts at a time"), "pause": span("Between two batches"), "max_failed": {"type": "integer", "minimum": 0}}),
            ),
        ),
        ("parallel", json!({"type": "boolean", "description": "Its steps side by side"})),
        ("include", text("Another runbook: its name or its file")),
        ("with", map_of("Its params", json!(true))),
    ] {
        step.insert(key.to_owned(), value);
    }
    for entry in catalog {
        let args = serde_json::to_value(entry.schema(&mut generator)).unwrap_or(json!(true));
        // A template may stand for any value, so a text is right everywhere.
        let any = json!({"anyOf": [args, {"type": "string", "pattern": "\\{\\{"}], "description": entry.about});
        step.insert(entry.name.to_owned(), any);
    }
    let mut definitions = generator.take_definitions(true);
    definitions.insert("step".to_owned(), json!({"type": "object", "additionalProperties": false, "properties": step}));
    let param = object(
        &[],
        json!({
            "type": {"enum": ["string", "int", "number", "bool", "duration", "host", "list"]},
            "enum": {"type": "array"},
            "default": true,
            "help": text("For people"),
        }),
    );
    let mut schema = object(
        &["svcops", "name", "targets", "steps"],
        json!({
            "svcops": {"const": 1, "description": "The format's version"},
            "name": text("Its name"),
            "title": text("For people"),
            "owner": text("Who answers for it"),
            "params": map_of("What can be handed in", param),
            "targets": text("Which hosts: a selector with templates"),
            "allow_empty": {"type": "boolean"},
            "ticket": object(&[], json!({"kind": text("Its kind: change"), "queue": text("Its queue")})),
            "on_failure": on_failure,
            "limits": object(&[], json!({"hosts": share("Of all hosts in svcops.yaml"), "sites": {"type": "integer", "minimum": 1}})),
            "require": require,
            "steps": steps,
        }),
    );
    if let Some(map) = schema.as_object_mut() {
        map.insert("$defs".into(), Value::Object(definitions));
    }
    head("A runbook of svcops", schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys that the readers know are those of the schema.
    #[test]
    fn the_schemas_know_the_keys_of_the_readers() {
        let source = include_str!("../../runbook/read_steps.rs").to_owned() + include_str!("../../runbook/read.rs");
        let schema = runbook(&[]);
        let keys = |schema: &Value| schema["properties"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        for key in keys(&schema).into_iter().chain(keys(&schema["$defs"]["step"])) {
            assert!(source.contains(&format!("(\"{key}\", notes)")), "no reader takes `{key}`");
        }
        let source = include_str!("../../inventory/read.rs");
        for key in keys(&project()) {
            assert!(source.contains(&format!("\"{key}\", notes)")), "no reader takes `{key}`");
        }
    }
}
