//! Against a server of the test's own that says no, and against Pebble and BIND where the lab is up.

use super::*;
use crate::{
    base::{RecordType, RecordUpdate, TsigHash, TsigKey, Zone},
    issue::dns,
};
use std::{os::unix::fs::PermissionsExt as _, path::Path};

const SUBJECT: &str = "billing-tls@dc1-app1/etc/billing/tls.key";

fn server(directory: &str, ca: Option<PathBuf>, folder: &Path) -> Server {
    Server {
        name: "acme".into(),
        directory: directory.into(),
        ca,
        contact: vec!["mailto:ops@lab.test".into()],
        eab: None,
        folder: folder.join("issuers/acme"),
    }
}

/// The lab's name server and its key.
fn zone(state: &str) -> (Zone, Secret) {
    let text = fs::read_to_string(format!("{state}/tsig.key")).unwrap();
    let server = "10.77.0.5:53".to_owned();
    let key = TsigKey { name: "svcops-lab".into(), algorithm: TsigHash::HmacSha256, secret: "tsig".into() };
    let zone = Zone { name: "lab.test".into(), servers: vec![server.clone()], server, key: Some(key) };
    (zone, Secret::new(text.split('"').nth(3).unwrap().to_owned()))
}

/// A key and its request, by openssl.
fn request(folder: &Path, names: &[&str]) -> Vec<u8> {
    let names: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/",
            "-addext",
        ])
        .arg(format!("subjectAltName={}", names.join(",")))
        .args(["-keyout", "/dev/null", "-outform", "DER", "-out"])
        .arg(folder.join("csr"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::read(folder.join("csr")).unwrap()
}

async fn until(server: &Server, subject: &str, wanted: impl Fn(&Status) -> bool) -> Progress {
    for _ in 0..100 {
        let seen = server.look(subject).await.unwrap().unwrap();
        if wanted(&seen.status) || matches!(seen.status, Status::Invalid(_)) {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it takes for ever")
}

#[tokio::test]
async fn an_order_is_proven_by_a_record_and_gone_on_with_by_another_process() {
    let Ok(state) = std::env::var("SVCOPS_LAB") else {
        println!("skipped: it needs the lab: SVCOPS_LAB is not set (tests/lab/README.md)");
        return;
    };
    let lock = fs::File::create(format!("{}.test.lock", state.trim_end_matches('/'))).unwrap();
    lock.lock().unwrap();
    // it stays up for the next test
    let lab = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/lab");
    let mut starts = std::process::Command::new(lab);
    starts.args(["service", "start", "pebble"]).env("SVCOPS_LAB_DIR", &state).stdout(std::process::Stdio::null());
    assert!(starts.status().unwrap().success(), "the ACME server of the lab does not start");
    let home = tempfile::tempdir().unwrap();
    let at = |directory: &str| server(directory, Some(format!("{state}/ca/ca.crt").into()), home.path());
    let server = at("https://127.0.0.1:14000/dir");
    let now = u64::try_from(Timestamp::now().as_second()).unwrap();
    let (zone, secret) = zone(&state);
    let names = ["acme-test.lab.test".to_owned(), "acme-test2.lab.test".to_owned()];
    let orders = || {
        let files = fs::read_dir(home.path().join("issuers/acme/orders")).unwrap();
        files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect::<Vec<_>>()
    };
    let record = |proof: &Proof, add: bool| {
        let value: std::collections::BTreeSet<String> = [proof.record.clone().unwrap()].into();
        let (add, remove) = if add { (value, [].into()) } else { ([].into(), value) };
        let (at, name) = (zone.clone(), format!("_acme-challenge.{}", proof.name));
        RecordUpdate { at, name, kind: RecordType::Txt, remove, add, ttl: 1 }
    };

    assert_eq!(server.look(SUBJECT).await.unwrap(), None);
    server.begin(SUBJECT, "0a", &names).await.unwrap();
    let account = home.path().join("issuers/acme/account.json");
    assert_eq!(fs::metadata(&account).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(home.path().join("issuers/acme")).unwrap().permissions().mode() & 0o777, 0o700);
    let kept = fs::read(&account).unwrap();
    // again is the same order, by another process and with the same account
    let again = at("https://127.0.0.1:14000/dir");
    let first = orders();
    again.begin(SUBJECT, "0a", &names).await.unwrap();
    assert_eq!(orders(), first);

    let pending = again.look(SUBJECT).await.unwrap().unwrap();
    assert_eq!((&pending.status, pending.proofs.len(), pending.spki.as_str()), (&Status::Pending, 2, "0a"));
    assert!(pending.proofs.iter().all(|p| p.token.is_some() && p.answer.is_some() && !p.met));
    for proof in &pending.proofs {
        dns::update(&record(proof, true), Some(&secret), now).await.unwrap();
    }
    server.answer(SUBJECT, Kind::Dns).await.unwrap();
    let ready = until(&server, SUBJECT, |status| *status == Status::Ready).await;
    for proof in &pending.proofs {
        dns::update(&record(proof, false), Some(&secret), now).await.unwrap();
    }
    assert_eq!((ready.status, &ready.proofs), (Status::Ready, &pending.proofs));
    let csr = request(home.path(), &["acme-test.lab.test", "acme-test2.lab.test"]);
    server.finalize(SUBJECT, &csr).await.unwrap();
    let chain = until(&server, SUBJECT, |status| *status == Status::Valid).await.chain.unwrap();
    assert!(chain.starts_with("-----BEGIN CERTIFICATE-----"), "{chain}");
    server.finalize(SUBJECT, &csr).await.unwrap();
    assert_eq!(fs::read(&account).unwrap(), kept, "one account for all");

    // what was given is remembered by the server's name for it, and the next order comes after it; a server that does not say
    // when to renew changes nothing
    let leaf = crate::cert::pem::Pieces::read(chain.as_bytes()).unwrap().certificates.remove(0);
    let replaced = server.replaced(SUBJECT).unwrap();
    assert_eq!(Some(replaced.to_string()), identity(leaf.der()).map(|id| id.to_string()));
    if let Some(window) = server.window(SUBJECT, &leaf.serial).await.unwrap() {
        assert!(window.from <= window.at && window.at < window.to, "{window:?}");
    }
    assert_eq!(server.window(SUBJECT, "0a").await.unwrap(), None, "it gave no such certificate");
    assert_eq!(server.window("other", &leaf.serial).await.unwrap(), None);
    server.begin(SUBJECT, "0b", &names[..1]).await.unwrap();
    let next = server.look(SUBJECT).await.unwrap().unwrap();
    assert_eq!((next.spki.as_str(), next.proofs.len(), orders().len()), ("0b", 1, 1));

    // a server that finds nothing says so in its own words
    let nowhere = ["nowhere.lab.test".to_owned()];
    server.begin("other", "0a", &nowhere).await.unwrap();
    server.answer("other", Kind::Dns).await.unwrap();
    let Status::Invalid(why) = until(&server, "other", |_| false).await.status else { panic!() };
    assert!(why.starts_with("of `nowhere.lab.test` `acme` says no ("), "{why}");
    // and what came to nothing is ordered anew
    server.begin("other", "0a", &nowhere).await.unwrap();
    assert_eq!(server.look("other").await.unwrap().unwrap().status, Status::Pending);
    let why = server.begin("bad", "0a", &["not a name".to_owned()]).await.unwrap_err();
    assert!(why.to_string().starts_with("`acme` says no ("), "{why}");
    let elsewhere = at("https://127.0.0.1:14000/none").begin("x", "0a", &names).await.unwrap_err().to_string();
    assert!(elsewhere.contains("is not ACME"), "{elsewhere}");
    assert_eq!(fs::read(&account).unwrap(), kept, "what failed makes no account");
}

/// A server of this test's own, gone with it.
struct Pebble(std::process::Child);

impl Drop for Pebble {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Wants accounts that exist elsewhere; none: it is not installed.
fn strict_pebble(folder: &Path, kid: &str, key: &str) -> Option<(Pebble, String)> {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    fs::write(folder.join("tls.crt"), own.cert.pem()).unwrap();
    fs::write(folder.join("tls.key"), own.signing_key.serialize_pem()).unwrap();
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = serde_json::json!({"pebble": {
        "listenAddress": address.to_string(), "certificate": folder.join("tls.crt"), "privateKey": folder.join("tls.key"),
        "httpPort": 5002, "tlsPort": 5001, "ocspResponderURL": "",
        "externalAccountBindingRequired": true, "externalAccountMACKeys": {kid: key},
    }});
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let log = fs::File::create(folder.join("pebble.log")).unwrap();
    let started = std::process::Command::new("pebble")
        .arg("-config")
        .arg(folder.join("config.json"))
        .env("PEBBLE_WFE_NONCEREJECT", "0")
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn();
    let pebble = Pebble(started.ok()?);
    for _ in 0..200 {
        if std::net::TcpStream::connect(address).is_ok() {
            return Some((pebble, format!("https://{address}/dir")));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("pebble does not listen: {}", fs::read_to_string(folder.join("pebble.log")).unwrap())
}

#[tokio::test]
async fn an_account_that_exists_elsewhere_is_bound_and_its_key_stands_nowhere() {
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    const WRONG: &str = "d3JvbmcgYnV0IGxvbmcgZW5vdWdoIHRvIGJlIGEga2V5IG9mIEhNQUMuLi4u";
    let (around, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some((_pebble, directory)) = strict_pebble(around.path(), "kid-1", KEY) else {
        println!("skipped: it needs the program `pebble`");
        return;
    };
    let with = |eab: Option<(&str, &str)>| Server {
        eab: eab.map(|(kid, key)| (kid.to_owned(), Secret::new(key.to_owned()))),
        ..server(&directory, Some(around.path().join("tls.crt")), home.path())
    };
    let names = ["a.lab.test".to_owned()];
    let mut said = Vec::new();
    for eab in [None, Some(("kid-1", WRONG)), Some(("kid-2", KEY)), Some(("kid-1", "no base64!"))] {
        let why = with(eab).begin(SUBJECT, "0a", &names).await.unwrap_err();
        said.push(why.to_string());
        assert!(matches!(why, AcmeError::Refused(_)), "{why:?}");
        assert!(!home.path().join("issuers/acme/account.json").exists(), "what was refused makes no account");
    }
    let all = said.join("\n");
    assert!(!all.contains(KEY) && !all.contains(WRONG) && !all.contains("no base64!"), "{all}");
    insta::assert_snapshot!(all, @r"
    `acme` says no (externalAccountRequired): ACME server policy requires newAccount requests must include a value for the 'externalAccountBinding' field; it wants an account that exists elsewhere: `eab` of the issuer
    `acme` makes no account with `eab` of the issuer: external account binding JWS verification error: square/go-jose: error in cryptographic primitive; kid `kid-1` and its key must be as it shows them
    `acme` makes no account with `eab` of the issuer: the field 'kid' references a key that is not known to the ACME server; kid `kid-2` and its key must be as it shows them
    the key `kid-1` of `eab` is no base64: it is used as the authority shows it
    ");

    let right = with(Some(("kid-1", KEY)));
    right.begin(SUBJECT, "0a", &names).await.unwrap();
    assert_eq!(right.look(SUBJECT).await.unwrap().unwrap().status, Status::Pending);
    // the account stands for itself from then on
    with(None).begin("other", "0a", &names).await.unwrap();
    let text = format!("{right:?}");
    assert!(!text.contains(KEY), "{text}");
    let found =
        std::process::Command::new("grep").args(["-rlF", "-e", KEY, "-e", WRONG]).arg(home.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    let log = fs::read_to_string(around.path().join("pebble.log")).unwrap();
    assert!(!log.contains(KEY) && !log.contains(WRONG), "it is never sent");
}

#[tokio::test]
async fn what_is_to_be_taken_away_is_known_while_the_server_is_silent() {
    let home = tempfile::tempdir().unwrap();
    let silent = server("https://127.0.0.1:1/dir", None, home.path());
    let proof = Proof {
        name: "a.test".into(),
        token: Some("t".into()),
        answer: Some("t.x".into()),
        record: Some("r".into()),
        met: false,
    };
    let (url, directory) = ("https://127.0.0.1:1/order".to_owned(), silent.directory.clone());
    silent.keep(SUBJECT, &Kept { url, directory, spki: "0a".into(), proofs: vec![proof.clone()], made: 0 }).unwrap();
    let (_, pkcs8) = instant_acme::Key::generate_pkcs8().unwrap();
    let key = crate::issue::base64url(pkcs8.secret_pkcs8_der());
    let account = format!(r#"{{"id": "x", "key_pkcs8": "{key}", "directory": "https://127.0.0.1:1/dir"}}"#);
    safe::write(&silent.folder.join("account.json"), account.as_bytes(), safe::PRIVATE).unwrap();
    let seen = silent.look(SUBJECT).await.unwrap().unwrap();
    assert_eq!(seen.proofs, [proof]);
    let Status::Silent(why) = seen.status else { panic!("{:?}", seen.status) };
    assert_eq!(why, "could not ask `acme` at https://127.0.0.1:1/dir: connection refused");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_or_trusted_is_named_with_its_reason() {
    let home = tempfile::tempdir().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let at = format!("https://{closed}/dir");
    let why = server(&at, None, home.path()).begin(SUBJECT, "0a", &[]).await.unwrap_err();
    assert_eq!(why, AcmeError::Silent(format!("could not ask `acme` at {at}: connection refused")));
    let none = home.path().join("none.pem");
    let why = server(&at, Some(none.clone()), home.path()).begin(SUBJECT, "0a", &[]).await.unwrap_err().to_string();
    assert!(why.starts_with(&format!("could not read `{}`", none.display())), "{why}");
}

#[tokio::test]
async fn an_account_that_cannot_be_read_is_named_and_none_of_it_is_shown() {
    let home = tempfile::tempdir().unwrap();
    let server = server("https://127.0.0.1:1/dir", None, home.path());
    safe::private_folder(&server.folder).unwrap();
    let path = server.folder.join("account.json");
    let text = r#"{"id": "x", "key_pkcs8": "c2VjcmV0LWtleQ", "directory": "https://127.0.0.1:1/dir"}"#;
    for broken in [text.get(..40).unwrap(), text, r#"["c2VjcmV0LWtleQ"]"#] {
        fs::write(&path, broken).unwrap();
        let why = server.begin(SUBJECT, "0a", &[]).await.unwrap_err().to_string();
        assert!(!why.contains("c2Vj") && !why.contains("secret-key"), "{why}");
        assert!(why.contains("account.json") || why.contains("could not ask") || why.contains("account with"), "{why}");
        assert_eq!(fs::read_to_string(&path).unwrap(), broken, "it is left as it is");
    }
}

#[test]
fn what_a_server_says_is_told_with_what_to_do_about_it() {
    let told = |text: &str| told::refusal(&serde_json::from_str(text).unwrap(), &client::Patience::default());
    let of = |kind: &str| {
        told(&format!(r#"{{"type": "urn:ietf:params:acme:error:{kind}", "detail": "too\nmuch \u001b[2J"}}"#))
    };
    let all: Vec<String> = ["rateLimited", "caa", "dns", "unauthorized", "connection", "badNonce"].map(of).into();
    insta::assert_snapshot!(all.join("\n"), @r"
    says no (rateLimited): too much [2J; it takes orders again later
    says no (caa): too much [2J; a CAA record of the name, or of one above it, must allow this authority
    says no (dns): too much [2J; the name must be in the DNS that the authority asks, and no server of its zone may fail
    says no (unauthorized): too much [2J; what the authority found there is not what it was to find: another server answers for the name, or an old answer is still kept
    says no (connection): too much [2J; the authority must reach the name's addresses: port 80 for http, and name servers for dns
    says no (badNonce): too much [2J
    ");
    let parts = r#"{"type": "urn:ietf:params:acme:error:rejectedIdentifier", "subproblems": [
        {"identifier": {"type": "dns", "value": "a.test"}, "detail": "not ours"}]}"#;
    insta::assert_snapshot!(told(parts), @"says no (rejectedIdentifier): a.test: not ours; it does not issue for this name");
}
