//! What the contract promises of certificates and their keys.

use super::*;
use crate::base::{Algorithm, Keystore, Leaf, PairChange, PairFacts, PairSpot};
use std::{os::unix::fs::PermissionsExt, path::Path};

fn openssl(folder: &Path, args: &[&str]) -> String {
    let out = std::process::Command::new("openssl").args(args).current_dir(folder).output().unwrap();
    assert!(out.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// An issuer in a folder of its own.
struct House(tempfile::TempDir);

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = ["-subj", "/CN=House", "-keyout", "ca.key", "-out", "ca.crt", "-days", "9"];
        let kind = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        openssl(folder.path(), &[&kind[..], &own[..]].concat());
        Self(folder)
    }
    /// The chain that answers a request.
    fn sign(&self, request: &str) -> String {
        let at = self.0.path();
        std::fs::write(at.join("asked.csr"), request).unwrap();
        let serial = openssl(at, &["rand", "-hex", "8"]);
        let (serial, by) = (format!("0x1{}", serial.trim()), ["-CA", "ca.crt", "-CAkey", "ca.key", "-days", "5"]);
        let what = ["x509", "-req", "-in", "asked.csr", "-copy_extensions", "copy", "-set_serial", &serial];
        openssl(at, &[&what[..], &by[..]].concat()) + &std::fs::read_to_string(at.join("ca.crt")).unwrap()
    }
}

struct Site<'a> {
    stage: &'a Stage,
    spot: PairSpot,
    house: House,
}

impl Site<'_> {
    async fn facts(&self) -> PairFacts {
        let answers = self.stage.look(vec![Read::Pair(self.spot.clone())]).await;
        let [Answer::Pair(facts)] = answers.as_slice() else { panic!("{answers:?}") };
        (**facts).clone()
    }
    async fn change(&self, change: PairChange) -> Outcome {
        self.stage.do_once(Change::Pair { spot: self.spot.clone(), change }).await.outcome
    }
    async fn make(&self, algorithm: Algorithm, names: &[&str]) -> Outcome {
        let names = names.iter().map(|n| (*n).to_owned()).collect();
        self.change(PairChange::MakeKey { algorithm, names }).await
    }
    /// Makes a key, has it signed, and stages the chain.
    async fn stage(&self, names: &[&str]) -> Leaf {
        assert_eq!(self.make(Algorithm::P256, names).await, Outcome::Ok);
        let request = self.facts().await.staged.asked().unwrap().clone();
        assert_eq!(request.names, names);
        let chain = self.house.sign(&request.pem);
        let put = self.stage.do_once(self.stage.write(&self.spot.staged_chain(), &chain)).await;
        assert_eq!(put.outcome, Outcome::Ok);
        self.facts().await.staged.complete().unwrap().clone()
    }
    async fn switch(&self, leaf: &Leaf) -> Outcome {
        let (spki, pem) = (leaf.spki.clone(), leaf.pem.clone());
        self.change(PairChange::Switch { spki, pem, mode: None, owner: None, group: None }).await
    }
}

fn mode(path: &str) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

pub(super) async fn a_pair_is_switched_and_brought_back_and_no_key_stays_elsewhere(stage: &Stage) {
    let folder = stage.path("tls д'1");
    std::fs::create_dir(&folder).unwrap();
    let at = |name: &str| format!("{folder}/{name}");
    for store in [
        Keystore::Files { cert: at("a.crt"), key: at("a.key") },
        Keystore::Pem(at("b.pem")),
        Keystore::Pkcs12 { path: at("c.p12"), password: "pw".into() },
    ] {
        let site = Site { stage, spot: PairSpot { name: "billing".into(), store }, house: House::new() };
        let none = site.facts().await;
        assert_eq!(
            (&none.installed, none.key_fits, none.staged.is_empty(), &none.obstacle),
            (&None, false, true, &None)
        );
        // the first time there is nothing to keep
        let first = site.stage(&["billing.lab.test", "*.pay.lab.test", "10.0.0.1", "::1"]).await;
        assert_eq!(mode(&site.spot.staged_key()), 0o600);
        assert_eq!(site.switch(&first).await, Outcome::Ok);
        let one = site.facts().await;
        assert!(one.key_fits && one.staged.is_empty(), "{one:?}");
        assert_eq!(one.installed.as_ref().unwrap().serial, first.serial);
        assert_eq!(mode(site.spot.key_file()), 0o600);
        std::fs::set_permissions(site.spot.key_file(), std::fs::Permissions::from_mode(0o640)).unwrap();
        let one = site.facts().await;
        // the second time
        let second = site.stage(&["billing.lab.test"]).await;
        assert_eq!(site.switch(&first).await, Outcome::Refused("the staged key is another one by now".into()));
        assert_eq!(site.switch(&second).await, Outcome::Ok);
        let two = site.facts().await;
        assert_eq!((&two.installed.as_ref().unwrap().serial, mode(site.spot.key_file())), (&second.serial, 0o640));
        assert!(two.key_fits && two.staged.is_empty());
        // back; what was taken back waits again
        let back = PairChange::Restore { files: one.files.clone(), spki: second.spki.clone() };
        assert_eq!(site.change(back).await, Outcome::Ok);
        let back = site.facts().await;
        assert_eq!((&back.installed, &back.files, back.key_fits), (&one.installed, &one.files, true));
        let waits = back.staged.complete().unwrap();
        assert_eq!((&waits.serial, mode(&site.spot.staged_key())), (&second.serial, 0o600));
        // it can be put in place again
        assert_eq!(site.switch(waits).await, Outcome::Ok);
        assert_eq!(site.facts().await.installed.unwrap().serial, second.serial);
        // back to nothing at all
        let before = none.files.clone();
        assert_eq!(site.change(PairChange::Restore { files: before, spki: second.spki }).await, Outcome::Ok);
        assert!(site.facts().await.installed.is_none());
        assert!(site.facts().await.staged.complete().is_some());
        assert_eq!(site.change(PairChange::Drop).await, Outcome::Ok);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "{:?}", site.spot);
    }
}

pub(super) async fn keys_of_every_kind_are_made(stage: &Stage) {
    let folder = stage.path("kinds");
    std::fs::create_dir(&folder).unwrap();
    for (algorithm, kind) in [
        (Algorithm::P256, "EC P-256"),
        (Algorithm::P384, "EC P-384"),
        (Algorithm::Rsa2048, "RSA 2048"),
        (Algorithm::Ed25519, "Ed25519"),
    ] {
        let store = Keystore::Files { cert: format!("{folder}/x.crt"), key: format!("{folder}/x.key") };
        let site = Site { stage, spot: PairSpot { name: "x".into(), store }, house: House::new() };
        let long = format!("{}.{}.lab.test", "a".repeat(40), "b".repeat(40));
        assert_eq!(site.make(algorithm, &[&long]).await, Outcome::Ok, "{algorithm:?}");
        let asked = site.facts().await.staged.asked().unwrap().clone();
        let der = crate::cert::pem::Pieces::read(asked.pem.as_bytes()).unwrap().requests.remove(0);
        let request = crate::cert::Request::from_der(&der).unwrap();
        assert_eq!(
            (request.key.to_string(), request.proven, request.subject.as_str()),
            (kind.to_owned(), Some(true), "")
        );
        assert_eq!(asked.names, [long]);
    }
    let store = Keystore::Pem(format!("{folder}/y.pem"));
    let site = Site { stage, spot: PairSpot { name: "y".into(), store }, house: House::new() };
    for bad in ["a.test\nDNS.9 = b.test", "a$HOME.test", "-x", "a.test, DNS:b.test", "*.*.test", ""] {
        let made = site.make(Algorithm::P256, &[bad]).await;
        assert!(matches!(&made, Outcome::Refused(why) if why.contains("neither a host name")), "{bad}: {made:?}");
    }
    assert_eq!(site.change(PairChange::Drop).await, Outcome::Ok);
}

pub(super) async fn half_a_pair_is_seen_and_repaired(stage: &Stage) {
    let folder = stage.path("half");
    std::fs::create_dir(&folder).unwrap();
    let at = |name: &str| format!("{folder}/{name}");
    let store = Keystore::Files { cert: at("t.crt"), key: at("t.key") };
    let site = Site { stage, spot: PairSpot { name: "t".into(), store }, house: House::new() };
    let first = site.stage(&["t.lab.test"]).await;
    assert_eq!(site.switch(&first).await, Outcome::Ok);
    let one = site.facts().await;
    let (old_key, second) = (std::fs::read(at("t.key")).unwrap(), site.stage(&["t.lab.test"]).await);
    // power is lost between the two names: the key is new, the certificate is not, and all that is staged is there still
    let staged: Vec<(String, Vec<u8>)> =
        [site.spot.staged_key(), site.spot.staged_chain()].map(|p| (p.clone(), std::fs::read(p).unwrap())).into();
    assert_eq!(site.switch(&second).await, Outcome::Ok);
    std::fs::write(at("t.crt"), site.house.sign(&openssl_request(&folder, &old_key))).unwrap();
    for (path, bytes) in &staged {
        std::fs::write(path, bytes).unwrap();
    }
    std::fs::write(at(".svcops-t.put-t.crt"), "half a cert").unwrap();
    std::fs::write(at(".svcops-t.new-key"), "half a key").unwrap();
    let half = site.facts().await;
    assert!(!half.key_fits && half.staged.complete().is_some(), "{half:?}");
    // forwards
    assert_eq!(site.switch(&second).await, Outcome::Ok);
    let whole = site.facts().await;
    assert_eq!((whole.installed.as_ref().unwrap().serial.as_str(), whole.key_fits), (second.serial.as_str(), true));
    // backwards, from the same half
    std::fs::write(at("t.key"), &old_key).unwrap();
    assert!(!site.facts().await.key_fits);
    let back = PairChange::Restore { files: one.files.clone(), spki: second.spki };
    assert_eq!(site.change(back).await, Outcome::Ok);
    assert_eq!(site.facts().await.files, one.files);
    assert!(site.facts().await.key_fits);
    assert_eq!(site.change(PairChange::Drop).await, Outcome::Ok);
    let mut left: Vec<String> =
        std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    left.sort();
    assert_eq!(left, ["t.crt", "t.key"]);
}

fn openssl_request(folder: &str, key: &[u8]) -> String {
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("k"), key).unwrap();
    let _ = folder;
    openssl(other.path(), &["req", "-new", "-key", "k", "-subj", "/CN=t"])
}

pub(super) async fn what_cannot_be_replaced_is_told_before(stage: &Stage) {
    let folder = stage.path("odd");
    std::fs::create_dir(&folder).unwrap();
    let at = |name: &str| format!("{folder}/{name}");
    let of =
        |name: &str, store: Keystore| Site { stage, spot: PairSpot { name: name.into(), store }, house: House::new() };
    let files = |cert: &str, key: &str| Keystore::Files { cert: at(cert), key: at(key) };
    // a key with a password
    let dir = Path::new(&folder);
    openssl(dir, &["genpkey", "-algorithm", "ED25519", "-aes128", "-pass", "pass:x", "-out", "locked.key"]);
    let locked = of("l", files("none.crt", "locked.key")).facts().await;
    assert!(locked.obstacle.as_ref().unwrap().contains("encrypted"), "{locked:?}");
    assert_eq!((locked.key, locked.installed), (None, None));
    // a certificate that is none, and one in DER
    std::fs::write(at("odd.crt"), "nothing\n").unwrap();
    let odd = of("o", files("odd.crt", "none.key")).facts().await;
    assert_eq!(odd.obstacle.as_deref(), Some("there is no certificate in PEM in it"));
    // another password than the store's
    openssl(
        dir,
        &["req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=s", "-keyout", "s.key", "-out", "s.crt"],
    );
    let export = ["pkcs12", "-export", "-inkey", "s.key", "-in", "s.crt", "-out", "s.p12", "-passout"];
    openssl(dir, &[&export[..], &["pass:other"]].concat());
    let password = || "pw".to_owned();
    let store = of("p", Keystore::Pkcs12 { path: at("s.p12"), password: password() });
    assert_eq!(store.facts().await.obstacle.as_deref(), Some("it cannot be opened with its password"));
    // one of old algorithms, and with a name of its own that stays
    let old = ["-legacy", "-name", "tomcat", "-passout", "pass:tres-secret-4711"];
    openssl(dir, &[&export[..8], &old[..]].concat());
    let seen = store.facts().await;
    assert_eq!((seen.obstacle.as_deref(), seen.key_fits), (None, true), "{seen:?}");
    let leaf = store.stage(&["s.lab.test"]).await;
    assert_eq!(store.switch(&leaf).await, Outcome::Ok);
    let entries = openssl(dir, &["pkcs12", "-in", "s.p12", "-nokeys", "-passin", "pass:tres-secret-4711"]);
    assert!(entries.contains("friendlyName: tomcat"), "{entries}");
    // parameters in a combined file stay, and the file behind a link is written
    let parameters = "-----BEGIN DH PARAMETERS-----\nMAYCAQcCAQI=\n-----END DH PARAMETERS-----\n";
    let pem = std::fs::read_to_string(at("s.crt")).unwrap() + &std::fs::read_to_string(at("s.key")).unwrap();
    std::fs::write(at("real.pem"), pem + parameters).unwrap();
    std::os::unix::fs::symlink("real.pem", at("link.pem")).unwrap();
    let linked = of("k", Keystore::Pem(at("link.pem")));
    let leaf = linked.stage(&["k.lab.test"]).await;
    assert_eq!(linked.switch(&leaf).await, Outcome::Ok);
    assert!(std::fs::read_to_string(at("real.pem")).unwrap().ends_with(parameters));
    assert!(std::fs::symlink_metadata(at("link.pem")).unwrap().is_symlink());
    assert_eq!(linked.facts().await.installed.unwrap().serial, leaf.serial);
    // no folder
    let nowhere = of("n", Keystore::Pem(at("no/such.pem")));
    assert!(nowhere.facts().await.obstacle.unwrap().contains("is not there"));
    let made = nowhere.make(Algorithm::P256, &["n.test"]).await;
    assert!(matches!(&made, Outcome::Refused(why) if why.contains("is not there")), "{made:?}");
    for kept in ["k", "p"] {
        assert_eq!(of(kept, Keystore::Pem(at("x.pem"))).change(PairChange::Drop).await, Outcome::Ok);
    }
}

pub(super) async fn a_key_goes_from_one_host_to_another_and_stands_nowhere_between(stage: &Stage) {
    std::fs::write(stage.path("shared.key"), "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIKsomewhere\n").unwrap();
    let bytes = std::fs::read(stage.path("shared.key")).unwrap();
    let from = Source::Host { at: Place::on(&HostName::new("other")), path: stage.path("shared.key") };
    let content = |hash: Hash| Content { hash, size: bytes.len() as u64, from: from.clone() };
    let put = |hash: Hash| Change::WriteFile {
        path: stage.path("copy.key"),
        content: content(hash),
        mode: Some(0o600),
        owner: None,
        group: None,
        validate: None,
    };
    assert_eq!(stage.do_once(put(Hash::of(&bytes))).await.outcome, Outcome::Ok);
    assert_eq!(std::fs::read(stage.path("copy.key")).unwrap(), bytes);
    let other = stage.do_once(put(Hash::of(b"another"))).await.outcome;
    assert!(matches!(&other, Outcome::Refused(why) if why.contains("another one by now")), "{other:?}");
    let said = stage.do_once(sh(&format!("cat {}", shell_word(&stage.path("copy.key"))))).await;
    assert!(said.stdout.redacted && !said.stdout.text.contains("MC4CAQ"), "{said:?}");
}

fn shell_word(text: &str) -> String {
    super::super::shell::quote(text)
}
