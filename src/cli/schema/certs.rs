//! The schemas of certificates, of who issues them, and of the zones that prove names.

use super::files::{flag, object, such, text, texts};
use crate::base::{Algorithm, TsigHash};
use serde_json::{Value, json};

fn days(about: &str) -> Value {
    json!({"type": "string", "pattern": "^[0-9]+d$", "description": format!("{about}: 30d")})
}

pub(super) fn zone() -> Value {
    let hashes: Vec<&str> = TsigHash::ALL.iter().map(|(word, _)| *word).collect();
    object(
        &["server"],
        json!({
            "server": text("The primary, which takes updates: ADDRESS:PORT"),
            "servers": texts("All that answer for the zone, where there are more than the primary"),
            "key": such("What updates are signed with (TSIG)", json!(null), object(&["name", "secret"], json!({
                "name": text("The key's name, as the server knows it"),
                "algorithm": such("The hash", json!("hmac-sha256"), json!({"enum": hashes})),
                "secret": text("The name of the secret that holds it, in base64"),
            }))),
        }),
    )
}

pub(super) fn issuer() -> Value {
    let trust = text("A PEM file with the roots that its chains end at");
    let ca = object(
        &["folder", "password"],
        json!({
            "folder": text("Where it is kept: relative to the project's folder, or with ~"),
            "password": text("The name of the secret that opens its key"),
            "days": such("How long its certificates are good", json!(90), json!({"type": "integer", "minimum": 1, "maximum": 3650})),
            "profile": such("What its certificates are for", json!("server"), json!({"enum": ["server", "client", "both"]})),
            "crl": text("Where the list of what it revoked is fetched from, an http:// address: its certificates name it"),
        }),
    );
    let http = object(
        &["hosts"],
        json!({
            "hosts": text("A selector: those of them that the name resolves to answer"),
            "webroot": text("The root of a web server there: an absolute path"),
            "port": such("Or where svcops listens there itself for a moment", json!(null), json!({"type": "integer", "minimum": 1, "maximum": 65535})),
        }),
    );
    let acme = object(
        &["directory", "challenge"],
        json!({
            "directory": text("The URL of its directory"),
            "ca": text("A PEM file to trust when speaking to it"),
            "contact": texts("For the account: mailto:ops@example.org"),
            "eab": such("Binds the account to one elsewhere", json!(null), object(&["kid", "key"], json!({
                "kid": text("The key's identifier"),
                "key": text("The name of the secret that holds the MAC key, in base64url"),
            }))),
            "challenge": such("How names are proven: by a record in a zone of zones:, or by a file that hosts serve", json!(null), object(&[], json!({
                "dns": flag("By a TXT record"),
                "http": such("By a file that is served", json!(null), http),
            }))),
        }),
    );
    let csr = object(&[], json!({"note": text("What to do with the request; it goes into the ticket")}));
    json!({"oneOf": [
        object(&["ca"], json!({"ca": such("An authority of one's own", json!(null), ca), "trust": trust})),
        object(&["acme"], json!({"acme": such("A server of ACME (RFC 8555)", json!(null), acme), "trust": trust})),
        object(&["csr"], json!({"csr": such("People: svcops cert import takes their answer", json!(null), csr), "trust": trust})),
    ]})
}

pub(super) fn certificate() -> Value {
    let kinds: Vec<&str> = Algorithm::ALL.iter().map(|(word, _)| *word).collect();
    let served = json!({"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]});
    let place = object(
        &[],
        json!({
            "hosts": text("The hosts that it lies on: a selector"),
            "cert": text("The chain's file there, the leaf first"),
            "key": text("The key's file"),
            "pem": text("Or one file with both, as HAProxy reads it"),
            "pkcs12": text("Or a PKCS#12 file"),
            "password": text("The name of the secret that opens the PKCS#12 file"),
            "mode": text("The permission bits of what holds the key, such as \"0640\"; as they are unless given"),
            "owner": text("The owner; as it is unless given"),
            "group": text("The group; as it is unless given"),
            "app": text("The app that serves it"),
            "by": such("What makes the app read it again", json!("reload"), json!({"enum": ["reload", "restart"]})),
            "served": such("Where it is served: HOST:PORT, smtp://HOST; may hold {{ host.… }}", json!(null), served),
        }),
    );
    object(
        &["places"],
        json!({
            "title": text("For people"),
            "names": texts("What it is for, the common name first; may hold {{ host.… }}"),
            "issuer": text("Who issues it; without one it is only watched"),
            "key": such("A key for each host, made there; or one for all, made on the first", json!("per-host"), json!({"enum": ["per-host", "shared"]})),
            "algorithm": such("What kind of key", json!("p256"), json!({"enum": kinds})),
            "renew": such("When it is due: so long before its end, or with so much of its life left", json!("33%"), json!({"type": "string", "pattern": "^([0-9]+d|[0-9]{1,2}%)$"})),
            "warn": days("With so many days left or fewer a check warns"),
            "crit": days("With so many days left or fewer a check calls it critical"),
            "trust": text("A PEM file with whom to trust; the issuer's roots unless given"),
            "places": such("Where it lies and is served", json!(null), json!({"type": "array", "minItems": 1, "items": place})),
        }),
    )
}
