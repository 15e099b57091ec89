//! The schemas of databases, and of the services that move between sites.

use super::files::{object, span, such, text, texts};
use crate::base::{PgTls, RecordType};
use serde_json::{Value, json};

fn port(about: &str, default: Value) -> Value {
    such(about, default, json!({"type": "integer", "minimum": 1, "maximum": 65535}))
}

pub(super) fn database() -> Value {
    let postgres = object(
        &[],
        json!({
            "cluster": text("As pg_lsclusters names it, 15/main: all else follows from it, as Debian lays it out"),
            "unit": text("Its systemd unit"),
            "data": text("Its data directory: an absolute path"),
            "config": text("The folder of postgresql.conf, where that is not the data directory"),
            "bin": text("The folder of pg_controldata and pg_rewind: an absolute path"),
            "port": port("Its port", json!(5432)),
            "user": such("The system's user that it runs as", json!("postgres"), json!({"type": "string"})),
        }),
    );
    let replication = object(
        &["user"],
        json!({
            "user": text("The role that standbys stream as"),
            "password": text("The name of the secret that holds its password"),
            "slots": such("Each standby has a slot, named as its host", json!(true), json!({"type": "boolean"})),
            "mode": such("Whether commits wait for a standby", json!("async"), json!({"enum": ["async", "sync"]})),
        }),
    );
    let patroni = object(
        &["url"],
        json!({
            "url": text("Its REST API; may hold {{ host.… }}"),
            "user": text("The user of its basic authentication"),
            "password": text("The name of the secret that holds their password"),
            "ca": text("A PEM file to trust"),
        }),
    );
    object(
        &["hosts", "postgres", "replication"],
        json!({
            "title": text("For people"),
            "hosts": text("Its hosts: a selector"),
            "postgres": such("Where the cluster lies, the same on all of them", json!(null), postgres),
            "replication": such("How a standby reaches its primary", json!(null), replication),
            "patroni": such("Patroni, where that manages it", json!(null), patroni),
        }),
    )
}

pub(super) fn service() -> Value {
    let fence = object(
        &["name", "at", "run"],
        json!({
            "name": text("For people"),
            "at": text("The host that it runs on, at another site than the one that it fences"),
            "site": text("The site that it fences; each, unless given"),
            "run": text("For /bin/sh: exit code 0 proves that {{ site }} is dead"),
        }),
    );
    object(
        &["sites", "rpo", "parts"],
        json!({
            "title": text("For people"),
            "sites": such("The two that it moves between", json!(null), json!({"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "string"}})),
            "rpo": such("The most that may be lost: 0B, 16MB, or 5s", json!(null), json!({"type": "string", "pattern": "^([0-9]+ *(B|kB|MB|GB)|([0-9]+(ms|s|m|h|d))+)$"})),
            "rto": span("The longest that it may be out"),
            "probe": such("How a client sees it; without it, outages are not measured", json!(null), probe()),
            "fence": such("Ways to prove that a site that is out of reach is dead", json!([]), json!({"type": "array", "items": fence})),
            "parts": such("What it is made of, in the order of the switch", json!(null), json!({"type": "array", "minItems": 1, "items": part()})),
        }),
    )
}

fn probe() -> Value {
    let postgres = object(
        &["address", "database", "user"],
        json!({
            "address": text("HOST:PORT, as clients have it"),
            "database": text("The database in the cluster"),
            "user": text("The user"),
            "password": text("The name of the secret that holds the password"),
            "tls": such(
                "Whether its session is encrypted, as libpq's sslmode says it",
                json!("prefer"),
                json!({"enum": PgTls::ALL.map(|(word, _)| word)}),
            ),
            "ca": text("A PEM file to trust, with tls: verify-full; the system's store unless given"),
            "query": text("It is up where the first column of the first row is true; unless given, where it may write"),
        }),
    );
    object(
        &[],
        json!({
            "postgres": such("A session with the database", json!(null), postgres),
            "http": text("Or a URL"),
            "status": such("The status of the URL's answer", json!(200), json!({"type": "integer", "minimum": 100, "maximum": 599})),
            "ca": text("A PEM file to trust"),
            "tcp": text("Or HOST:PORT"),
            "every": such("How often it is asked while an operation runs", json!("10ms"), span("How often it is asked")),
            "within": such("How long an answer may take", json!("1s"), span("How long an answer may take")),
        }),
    )
}

fn part() -> Value {
    let kinds: Vec<&str> = RecordType::ALL.iter().map(|(word, _)| *word).collect();
    let values = json!({"oneOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"type": "string"}}]});
    let app = object(
        &["name"],
        json!({
            "name": text("The app"),
            "runs": such("At the active site only, or at both: then only its traffic moves", json!("active"), json!({"enum": ["active", "both"]})),
        }),
    );
    let balancer = object(
        &["name", "backend", "servers"],
        json!({
            "name": text("The balancer"),
            "backend": text("The backend"),
            "servers": text("The hosts that its servers are named after: a selector"),
        }),
    );
    let record = object(
        &["zone", "name", "type", "values"],
        json!({
            "zone": text("A zone of zones:"),
            "name": text("The name, below the zone or in full"),
            "type": json!({"enum": kinds, "description": "Its type"}),
            "values": such("What it is, by site", json!(null), json!({"type": "object", "additionalProperties": values})),
            "ttl": span("How long others may keep it; as it is unless given"),
        }),
    );
    let jobs = object(
        &["hosts"],
        json!({
            "hosts": text("The hosts: a selector"),
            "timers": texts("systemd timers, with their suffix"),
            "cron": texts("Files of /etc/cron.d, by their names"),
        }),
    );
    let command = object(
        &["name", "hosts", "stop", "start", "status"],
        json!({
            "name": text("For people"),
            "hosts": text("The hosts: a selector; those of a site are told when it is left, or arrived at"),
            "stop": text("For /bin/sh: leaves the site"),
            "start": text("For /bin/sh: arrives there"),
            "status": text("For /bin/sh: exits 0 where the host's site is the active one, with 1 where it is not"),
        }),
    );
    let one = |key: &str, about: &str, schema: Value| object(&[key], json!({key: such(about, json!(null), schema)}));
    json!({"oneOf": [
        one("database", "A database of databases:", json!({"type": "string"})),
        one("app", "An app of apps:", json!({"oneOf": [{"type": "string"}, app]})),
        one("balancer", "Servers of a backend: those of the active site take traffic", balancer),
        one("record", "A name that points to the active site", record),
        one("jobs", "What runs by the clock at the active site only", jobs),
        one("command", "What else leaves one site and arrives at the other", command),
    ]})
}
