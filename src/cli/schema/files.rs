//! The schemas of the two files that a user writes.

use crate::actions::Entry;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

pub(super) fn text(about: &str) -> Value {
    json!({"type": "string", "description": about})
}

pub(super) fn span(about: &str) -> Value {
    json!({"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$", "description": format!("{about}: 30s, 5m, 1h30m")})
}

fn share(about: &str) -> Value {
    let description = format!("{about}: a number, or a share such as 50%");
    json!({"oneOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[0-9]+%?$"}], "description": description})
}

/// A value with what it is, and what it is unless given.
pub(super) fn such(about: &str, default: Value, mut schema: Value) -> Value {
    if let Some(map) = schema.as_object_mut() {
        map.insert("description".into(), json!(about));
        if !default.is_null() {
            map.insert("default".into(), default);
        }
    }
    schema
}

pub(super) fn flag(about: &str) -> Value {
    such(about, json!(false), json!({"type": "boolean"}))
}

pub(super) fn texts(about: &str) -> Value {
    such(about, json!([]), json!({"type": "array", "items": {"type": "string"}}))
}

pub(super) fn object(required: &[&str], properties: Value) -> Value {
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
            "user": text("The login user; ssh_config's unless given"),
            "port": such("The port; ssh_config's unless given", json!(null), json!({"type": "integer", "minimum": 1, "maximum": 65535})),
            "config": text("A file instead of ~/.ssh/config"),
            "client": such("What speaks ssh: openssh (the machine's own; the default) or native (svcops itself, for large fleets: docs/native-ssh.md)", json!(null), json!({"type": "string", "enum": ["openssh", "native"]})),
            "become": text("Who acts: sudo (root), none (the login user; the default), or a user"),
        }),
    );
    let mut all = ssh.clone();
    if let Some(keys) = all.pointer_mut("/properties").and_then(Value::as_object_mut) {
        let count = |about: &str, default: Value| such(about, default, json!({"type": "integer", "minimum": 1}));
        let open = "Connections open at once; the one unused for longest is closed where a host waits. unless given, as many as a quarter of the free memory holds, 1024 at most";
        keys.insert("connections".into(), count(open, json!(null)));
        let made = "Connections made at once: fewer than sshd's MaxStartups on a jump host";
        keys.insert("handshakes".into(), count(made, json!(8)));
    }
    let host = object(
        &[],
        json!({
            "site": text("Its site; a range advances with the name's"),
            "address": text("Overrides ssh_config's HostName; a range advances with the name's"),
            "labels": map_of("What selectors see", json!({"type": "string"})),
            "local": flag("Acted on without ssh"),
            "ssh": such("How this host is reached, where it differs", json!(null), ssh.clone()),
        }),
    );
    let command = object(
        &["start", "stop", "status"],
        json!({"start": text("Starts it"), "stop": text("Stops it"), "status": text("Exits 0 while it runs; anything else means that it is stopped"), "reload": text("Makes it read its configuration again")}),
    );
    let app = object(
        &["hosts", "manager"],
        json!({
            "title": text("For people"),
            "hosts": text("A selector: role=app"),
            "manager": such("What starts and stops it", json!(null), json!({"oneOf": [
                object(&["systemd"], json!({"systemd": text("A unit with its suffix")})),
                object(&["command"], json!({"command": such("Commands of one's own, for /bin/sh", json!(null), command)})),
            ]})),
            "health": such("How its health shows: http, tcp, or command; without it, that it runs is all that is asked", json!(null), object(&[], json!({
                "http": text("A URL; may hold {{ host.… }} and {{ app.… }}"),
                "status": such("The status that is right", json!(200), json!({"type": "integer", "minimum": 100, "maximum": 599})),
                "ca": text("A PEM file to trust"),
                "tcp": text("HOST:PORT"),
                "command": text("A command on the host that exits 0"),
                "within": such("How long after a start it may take", json!("1m"), span("How long after a start it may take")),
                "from": such("Who asks: this machine, or the host itself", json!("here"), json!({"enum": ["here", "host"]})),
            }))),
            "config": texts("The files that it reads at its start: changing one calls for a restart"),
            "balancer": such("Its verbs drain it there before, and enable it after", json!(null), object(&["name", "backend"], json!({
                "name": text("The balancer"),
                "backend": text("The backend"),
                "server": text("The server; the host's name unless given"),
            }))),
            "rolling": such("How its verbs go about it", json!(null), object(&[], json!({
                "batch": such("Hosts at a time: a number, or a share such as 50%", json!(1), share("Hosts at a time")),
                "min_healthy": such(
                    "So many of its hosts at the same site stay healthy, not counting those under way",
                    json!(0),
                    json!({"type": "integer", "minimum": 0}),
                ),
            }))),
            "requires": texts("Apps that must run before it; stopped, it goes before them"),
        }),
    );
    let secret = json!({"oneOf": [
        object(&["env"], json!({"env": text("An environment variable")})),
        object(&["file"], json!({"file": text("A file")})),
        object(&["command"], json!({"command": texts("A program with its arguments: its output is the secret")})),
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
                "store": such("Where the journal is", json!("sqlite"), json!({"const": "sqlite"})),
                "tickets": such("Where runs are told of", json!(null), object(&[], json!({
                    "system": such("The ticket system; desk is the embedded one", json!("desk"), json!({"const": "desk"})),
                    "language": such("The language of the texts", json!("en"), json!({"enum": ["en", "ru"]})),
                    "templates": text("A folder with the project's own texts: subject.txt, opened.txt, phase.txt, ended.txt …"),
                    "required": flag("A run begins only where its ticket can be opened"),
                }))),
                "mail": such("Who carries mail out", json!(null), object(&["smtp", "from"], json!({
                    "smtp": text("HOST:PORT"),
                    "from": text("The sender: an address, or Name <ADDRESS>"),
                    "tls": such("Unless said: tls on port 465, none on the way to this machine, else starttls; never only if the server can", json!(null), json!({"enum": ["none", "starttls", "tls"]})),
                    "user": text("Whom the server lets in"),
                    "password": text("The name of the secret that lets them in"),
                    "ca": text("A PEM file to trust instead of the system's roots"),
                    "timeout": such("How long a mail may take", json!("1m"), span("How long a mail may take")),
                }))),
                "evidence": such("Signatures of runs, by ssh-keygen", json!(null), object(&[], json!({
                    "sign": text("The key that signs the end of each run: a private key's file, or a .pub that the ssh-agent has"),
                    "signers": text("A file of allowed signers (ssh-keygen(1)), for history verify"),
                    "revoked": text("A file of public keys, or a KRL: their signatures count no more, whenever they were made"),
                }))),
                "audit": such("Where each act is told of as it happens: syslog, or {syslog: SOCKET}", json!(null), json!({"oneOf": [
                    {"const": "syslog"},
                    object(&["syslog"], json!({"syslog": text("The socket's absolute path")})),
                ]})),
                "secrets": map_of("Where secrets come from, by name", secret),
                "ssh": such("How hosts are reached unless they say otherwise", json!(null), all),
                "sites": map_of("The sites", object(&[], json!({"title": text("For people")}))),
                "hosts": map_of("The hosts; a name may be a range: web[001-250]", host),
                "apps": map_of("The apps", app),
                "balancers": map_of("The balancers", object(&["haproxy"], json!({"haproxy": such("Its runtime API: a socket on a host, or an address", json!(null), haproxy)}))),
                "zones": map_of("DNS zones that take dynamic updates", super::certs::zone()),
                "issuers": map_of("Who issues certificates", super::certs::issuer()),
                "certificates": map_of("Certificates: what they are for, where they lie and are served", super::certs::certificate()),
                "databases": map_of("PostgreSQL databases: one primary and its standbys", super::services::database()),
                "services": map_of("Business services that move as one from site to site", super::services::service()),
                "include": texts("More files with the same keys, relative to the project's folder; `*` stands for any name"),
            }),
        ),
    )
}

/// Of runbooks.
pub(super) fn runbook(catalog: &[Entry]) -> Value {
    let mut generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    let expression = text("An expression without braces");
    let what = json!({"enum": ["rollback", "stop", "continue"]});
    let on_failure = such(
        "What a failure brings: all goes back, nothing more begins, or the other hosts go on",
        json!("rollback"),
        json!({"oneOf": [
            what.clone(),
            object(&["do"], json!({
                "do": such("What a failure brings", json!(null), what),
                "scope": such("How much of the run goes back", json!("run"), json!({"enum": ["run", "batch", "host"]})),
            })),
        ]}),
    );
    let steps = |about: &str| {
        such(about, json!(null), json!({"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/step"}}))
    };
    let require = such(
        "What must hold, or it is refused: expressions; may look at other hosts through `steps`",
        json!(null),
        json!({"oneOf": [expression, {"type": "array", "items": expression}]}),
    );
    let mut step = Map::new();
    for (key, value) in [
        ("name", text("For people")),
        (
            "id",
            json!({"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "description": "What expressions and tasks call it"}),
        ),
        ("when", json!({"type": ["string", "boolean"], "description": "It applies where this holds"})),
        ("targets", text("Other hosts than the runbook's: a selector with templates")),
        ("allow_empty", flag("That no host is selected is no error")),
        (
            "for_each",
            json!({"type": ["array", "string"], "description": "One turn an element: a list, or an expression for one"}),
        ),
        ("timeout", such("An act's deadline", json!("5m"), span("An act's deadline"))),
        (
            "patience",
            such(
                "How long a host that falls silent is waited for, before the point of no return; after it always 1m",
                json!("1m"),
                span(
                    "How long a host that falls silent is waited for, before the point of no return; after it always 1m",
                ),
            ),
        ),
        (
            "retry",
            such(
                "Tried again where it failed",
                json!(null),
                object(
                    &["attempts"],
                    json!({
                        "attempts": such("So often in all", json!(null), json!({"type": "integer", "minimum": 1})),
                        "delay": such("Before the second", json!("1s"), span("Before the second")),
                        "backoff": such("Each further delay is so many times the last", json!(1), json!({"type": "number", "minimum": 1})),
                    }),
                ),
            ),
        ),
        ("become", text("Who acts: sudo, none, or a user")),
        (
            "then",
            steps(
                "What a change calls for: once a host, right after the last step of the group that can owe it, and only if something changed",
            ),
        ),
        ("require", require.clone()),
        ("on_failure", on_failure.clone()),
        ("undo", steps("How it is undone, where the action cannot undo itself")),
        (
            "touches",
            texts(
                "What a command or script changes: app:billing, file:/etc/x, unit:x.service; for locks and for the plan. Without it, its host is locked as a whole",
            ),
        ),
        ("always", flag("It runs once, also after a failure, after the rollback and on the first Ctrl-C")),
        (
            "no_return",
            flag("The point of no return: before it a failure rolls back, after it the run only goes forward"),
        ),
        ("steps", steps("A group: its steps in order")),
        (
            "rolling",
            such(
                "On a group: all its steps for one batch of hosts, then the next",
                json!(null),
                object(
                    &[],
                    json!({
                        "batch": such("Hosts at a time: a number, or a share such as 50%", json!(1), share("Hosts at a time")),
                        "pause": span("Between two batches"),
                        "max_failed": such("So many hosts may fail before the next batch is not begun", json!(0), json!({"type": "integer", "minimum": 0})),
                    }),
                ),
            ),
        ),
        ("parallel", flag("On a group: its steps side by side")),
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
            "type": such("Its type", json!("string"), json!({"enum": ["string", "int", "number", "bool", "duration", "host", "list"]})),
            "enum": such("The values that it may have", json!(null), json!({"type": "array"})),
            "default": such("What it is if nothing is handed in; without one it must be", json!(null), json!({})),
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
            "allow_empty": flag("That no host is selected is no error"),
            "ticket": such("What its tickets say of it", json!(null), object(&[], json!({"kind": text("Its kind: change"), "queue": text("Its queue")}))),
            "on_failure": on_failure,
            "limits": such("The blast radius: a plan that would touch more is refused", json!(null), object(&[], json!({
                "hosts": share("Of all hosts in svcops.yaml"),
                "sites": such("So many sites", json!(null), json!({"type": "integer", "minimum": 1})),
            }))),
            "require": require,
            "steps": steps("What is done, in order"),
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
