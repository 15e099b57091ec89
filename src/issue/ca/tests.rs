//! A CA is made, gives, takes back and changes its root; what it makes is held against OpenSSL and against our own verifier.

use super::*;
use crate::{
    base::Secret,
    cert::{Crl, Terms, Wrong, judge},
};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output},
};

/// 2026-10-01 00:00 UTC.
const NOW: i64 = 1_790_812_800;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}
fn later(days: u32) -> Timestamp {
    now().saturating_add(rotate::days(days)).unwrap()
}
fn password() -> Secret {
    Secret::new("correct horse".into())
}
fn wish() -> Wish {
    Wish { name: "House CA".into(), algorithm: Algorithm::P256, days: 3650, intermediate: false }
}
fn house(home: &Path, wish: &Wish) -> Ca {
    Ca::create(&home.join("ca"), wish, &password(), now()).unwrap()
}
fn order(request: String, names: &[&str]) -> Order {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Order { request, names, profile: Profile::Server, days: 90, crl: None }
}

/// A request that OpenSSL makes.
fn request(home: &Path, name: &str, key: &[&str], names: &str) -> String {
    let (key_file, csr) = (home.join(format!("{name}.key")), home.join(format!("{name}.csr")));
    let mut gen_key = Command::new("openssl");
    gen_key.arg("genpkey").args(key).arg("-out").arg(&key_file);
    ok(gen_key.output().unwrap());
    request_of(&key_file, &csr, names)
}
fn request_of(key: &Path, csr: &Path, names: &str) -> String {
    let mut req = Command::new("openssl");
    req.args(["req", "-new", "-subj", "/CN=whoever", "-key"]).arg(key).arg("-out").arg(csr);
    if !names.is_empty() {
        req.args(["-addext", &format!("subjectAltName={names}")]);
    }
    ok(req.output().unwrap());
    fs::read_to_string(csr).unwrap()
}
const P256: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];

fn ok(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Whether OpenSSL takes a chain at a time, trusting the certificates of one file.
fn openssl_takes(home: &Path, chain: &str, trust: &Path, more: &[&str]) -> Result<String, String> {
    let (leaf, rest) = chain.split_once("-----END CERTIFICATE-----\n").unwrap();
    let (leaf_file, rest_file) = (home.join("leaf.pem"), home.join("rest.pem"));
    fs::write(&leaf_file, format!("{leaf}-----END CERTIFICATE-----\n")).unwrap();
    fs::write(&rest_file, rest).unwrap();
    let mut verify = Command::new("openssl");
    verify.args(["verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-attime"]).arg((NOW + 3600).to_string());
    verify.arg("-CAfile").arg(trust).args(more);
    if !rest.is_empty() {
        verify.arg("-untrusted").arg(&rest_file);
    }
    let output = verify.arg(&leaf_file).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(text) } else { Err(text) }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_ca_gives_what_openssl_and_rustls_take() {
    let home = tempfile::tempdir().unwrap();
    let mut ca = house(home.path(), &wish());
    let csr = request(home.path(), "web", P256, "DNS:web.lab.test,IP:10.0.0.7");
    let given = ca.give(&order(csr, &["web.lab.test", "10.0.0.7", "*.web.lab.test"]), &password(), now()).unwrap();
    openssl_takes(home.path(), &given.chain, &ca.trust_file(), &["-purpose", "sslserver"]).unwrap();
    openssl_takes(home.path(), &given.chain, &ca.trust_file(), &["-verify_hostname", "a.web.lab.test"]).unwrap();
    openssl_takes(home.path(), &given.chain, &ca.trust_file(), &["-verify_ip", "10.0.0.7"]).unwrap();
    openssl_takes(home.path(), &given.chain, &ca.trust_file(), &["-verify_hostname", "db.lab.test"]).unwrap_err();
    assert_eq!(given.cert.serial.len(), 40);
    assert_eq!(given.cert.subject, "CN=web.lab.test");
    assert_eq!(given.cert.purposes, ["server authentication"]);
    assert_eq!(given.cert.days_left(now()), 90);
    assert!(given.cert.key_id.is_some() && !given.cert.ca);
    let root = ca.certificate("root", 1).unwrap();
    assert_eq!(given.cert.issuer_key_id, root.key_id);
    assert_eq!((root.may_sign, root.path_len, root.subject.as_str()), (Some(true), None, "CN=House CA"));
}

#[test]
fn the_key_lies_encrypted_and_private_and_openssl_opens_it_with_the_password_alone() {
    let home = tempfile::tempdir().unwrap();
    for algorithm in [Algorithm::P256, Algorithm::P384, Algorithm::Ed25519, Algorithm::Rsa3072] {
        let folder = home.path().join(algorithm.to_string());
        let made = Ca::create(&folder, &Wish { algorithm, ..wish() }, &password(), now()).unwrap();
        let key = folder.join("root-1.key");
        assert_eq!((mode(&folder), mode(&key), mode(&folder.join("ca.json"))), (0o700, 0o600, 0o600));
        assert!(fs::read_to_string(&key).unwrap().starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
        let open = |password: &str| {
            let mut pkey = Command::new("openssl");
            pkey.args(["pkey", "-pubout", "-passin", &format!("pass:{password}"), "-in"]).arg(&key).output().unwrap()
        };
        let public = ok(open("correct horse"));
        assert!(!open("wrong horse!").status.success());
        let mut x509 = Command::new("openssl");
        x509.args(["x509", "-pubkey", "-noout", "-in"]).arg(folder.join("root-1.pem"));
        assert_eq!(public, ok(x509.output().unwrap()));
        let csr = request(home.path(), "one", P256, "");
        let wrong = Ca::open(&folder).unwrap().give(
            &order(csr.clone(), &["a.test"]),
            &Secret::new("wrong horse!".into()),
            now(),
        );
        assert!(matches!(wrong, Err(CaError::Password(_))), "{wrong:?}");
        Ca::open(&folder).unwrap().give(&order(csr, &["a.test"]), &password(), now()).unwrap();
        drop(made);
    }
}

#[test]
fn a_key_as_costly_as_it_is_outside_of_tests_is_still_openssls() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("root.key");
    let made = key::make(Algorithm::P256).unwrap();
    key::write_with(&path, &made, &password(), key::LOG_N).unwrap();
    let mut pkey = Command::new("openssl");
    ok(pkey.args(["pkey", "-noout", "-passin", "pass:correct horse", "-in"]).arg(&path).output().unwrap());
    assert_eq!(key::read(&path, &password()).unwrap().serialized_der(), made.serialized_der());
}

#[test]
fn who_was_killed_after_it_was_given_finds_it_by_its_subject() {
    let home = tempfile::tempdir().unwrap();
    let mut ca = house(home.path(), &wish());
    let order = order(request(home.path(), "web", P256, ""), &["web.lab.test"]);
    let subject = "billing-tls@узел-1/etc/tls.key";
    assert_eq!(ca.ordered(subject).unwrap(), None);
    let given = ca.give(&order, &password(), now()).unwrap();
    assert_eq!(ca.ordered(subject).unwrap(), None);
    assert_eq!(ca.give_for(subject, &order, &password(), now()).unwrap(), given);
    assert_eq!(Ca::open(ca.folder()).unwrap().ordered(subject).unwrap(), Some(given.clone()));
    ca.revoke(&given.cert.serial, Reason::KeyCompromise, &password(), now()).unwrap();
    assert_eq!(ca.ordered(subject).unwrap(), None);
}

#[test]
fn a_password_that_anybody_guesses_is_refused_and_nothing_is_made() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("ca");
    let made = Ca::create(&folder, &wish(), &Secret::new("пароль".into()), now());
    assert_eq!(made.unwrap_err().to_string(), "the password has 6 characters, a key of a CA needs 8");
    assert!(!folder.exists());
}

#[test]
fn there_is_one_ca_in_a_folder() {
    let home = tempfile::tempdir().unwrap();
    let ca = house(home.path(), &wish());
    let key = fs::read(ca.folder().join("root-1.key")).unwrap();
    let again = Ca::create(ca.folder(), &wish(), &password(), now());
    assert!(matches!(again, Err(CaError::Exists(_))), "{again:?}");
    assert_eq!(fs::read(ca.folder().join("root-1.key")).unwrap(), key);
}

#[test]
fn an_intermediate_signs_and_is_sent_along() {
    let home = tempfile::tempdir().unwrap();
    let mut ca = house(home.path(), &Wish { intermediate: true, ..wish() });
    let csr = request(home.path(), "web", P256, "");
    let given = ca.give(&order(csr, &["web.lab.test"]), &password(), now()).unwrap();
    assert_eq!(given.chain.matches("BEGIN CERTIFICATE").count(), 2);
    assert_eq!(given.cert.issuer, "CN=House CA Intermediate");
    openssl_takes(home.path(), &given.chain, &ca.trust_file(), &["-purpose", "sslserver"]).unwrap();
    // once it is made the root's key may be taken away
    fs::remove_file(ca.folder().join("root-1.key")).unwrap();
    let csr = request(home.path(), "db", P256, "");
    ca.give(&order(csr, &["db.lab.test"]), &password(), now()).unwrap();
}

#[test]
fn each_kind_of_key_is_certified_whose_request_proves_it() {
    let home = tempfile::tempdir().unwrap();
    let mut ca = house(home.path(), &wish());
    let kinds: [(&str, &[&str]); 5] = [
        ("p384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
        ("p521", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"]),
        ("rsa2048", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
        ("rsa4096", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"]),
        ("ed25519", &["-algorithm", "ED25519"]),
    ];
    for (name, kind) in kinds {
        let csr = request(home.path(), name, kind, "DNS:web.lab.test");
        let given =
            ca.give(&order(csr, &["web.lab.test"]), &password(), now()).unwrap_or_else(|e| panic!("{name}: {e}"));
        openssl_takes(home.path(), &given.chain, &ca.trust_file(), &["-purpose", "sslserver"]).unwrap();
    }
    assert_eq!(ca.issued().unwrap().len(), kinds.len());
}

#[test]
fn a_request_that_nobody_should_sign_is_refused_and_leaves_no_trace() {
    let home = tempfile::tempdir().unwrap();
    let mut ca = house(home.path(), &wish());
    let mut refused = |request: String, names: &[&str]| match ca.give(&order(request, names), &password(), now()) {
        Err(CaError::Request(why)) => why,
        other => panic!("{other:?}"),
    };
    let csr = request(home.path(), "web", P256, "DNS:web.lab.test,DNS:bank.example");
    assert_eq!(refused(csr.clone(), &["web.lab.test"]), "it asks for `bank.example`, which is not wanted");
    assert_eq!(refused(csr.clone(), &[]), "no name is wanted");
    assert_eq!(refused(csr.clone(), &["веб.рф"]), "`веб.рф` is neither a host name nor an address");
    assert_eq!(refused(format!("{csr}{csr}"), &["web.lab.test"]), "there are 2 requests in it, and not one");
    assert_eq!(
        refused("nonsense".into(), &["a.test"]),
        "neither PEM nor a certificate, a request or a revocation list in DER"
    );
    // the last bytes of a request are its signature
    let der = pem::Pieces::read(csr.as_bytes()).unwrap().requests.remove(0);
    let mut forged = der.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(refused(armour(&forged, "CERTIFICATE REQUEST"), &["web.lab.test"]), "its signature is not by its key");
    let weak = request(home.path(), "weak", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], "");
    assert_eq!(refused(weak, &["web.lab.test"]), "its key is weak: RSA of 1024 bits, below 2048");
    let (key, out) = (home.path().join("web.key"), home.path().join("ca.csr"));
    let mut wants = Command::new("openssl");
    wants.args(["req", "-new", "-subj", "/CN=x", "-addext", "basicConstraints=critical,CA:TRUE", "-key"]).arg(&key);
    ok(wants.arg("-out").arg(&out).output().unwrap());
    assert_eq!(refused(fs::read_to_string(out).unwrap(), &["web.lab.test"]), "it asks to become a CA");
    assert!(ca.issued().unwrap().is_empty());
}

#[test]
fn who_asks_again_gets_the_same_certificate_and_a_changed_wish_another() {
    let home = tempfile::tempdir().unwrap();
    let mut ca = house(home.path(), &wish());
    let first = order(request(home.path(), "web", P256, ""), &["web.lab.test", "www.lab.test"]);
    assert_eq!(ca.given(&first, now()).unwrap(), None);
    let given = ca.give(&first, &password(), now()).unwrap();
    // a process that was killed asks anew, with another request of the same key, and needs no password for it
    let again = request_of(&home.path().join("web.key"), &home.path().join("again.csr"), "");
    assert_ne!(again, first.request);
    let again = Order { request: again, names: vec!["www.lab.test".into(), "WEB.lab.test".into()], ..first.clone() };
    assert_eq!(Ca::open(ca.folder()).unwrap().given(&again, later(20)).unwrap(), Some(given.clone()));
    assert_eq!(ca.give(&again, &Secret::new("no matter".into()), now()).unwrap(), given);
    // when a third of its life is over it is a renewal with the old key
    assert_eq!(ca.given(&first, later(31)).unwrap(), None);
    for other in [
        Order { names: vec!["web.lab.test".into()], ..first.clone() },
        Order { profile: Profile::Both, ..first.clone() },
        Order { profile: Profile::Client, ..first.clone() },
    ] {
        assert_ne!(ca.give(&other, &password(), now()).unwrap().cert, given.cert);
    }
    ca.revoke(&given.cert.serial, Reason::Superseded, &password(), now()).unwrap();
    assert_ne!(ca.give(&first, &password(), now()).unwrap().cert, given.cert);
    assert_eq!(ca.issued().unwrap().len(), 5);
}

#[test]
fn profiles_say_what_a_certificate_is_for() {
    let home = tempfile::tempdir().unwrap();
    let mut ca = house(home.path(), &wish());
    for (profile, server, client) in
        [(Profile::Server, true, false), (Profile::Client, false, true), (Profile::Both, true, true)]
    {
        let order = Order { profile, ..order(request(home.path(), "x", P256, ""), &["x.lab.test"]) };
        let given = ca.give(&order, &password(), now()).unwrap();
        let takes =
            |purpose| openssl_takes(home.path(), &given.chain, &ca.trust_file(), &["-purpose", purpose]).is_ok();
        assert_eq!((takes("sslserver"), takes("sslclient")), (server, client), "{profile}");
    }
}

#[test]
fn what_is_revoked_is_told_by_a_list_that_both_verifiers_believe() {
    let home = tempfile::tempdir().unwrap();
    for intermediate in [false, true] {
        let folder = home.path().join(intermediate.to_string());
        let mut ca = Ca::create(&folder, &Wish { intermediate, ..wish() }, &password(), now()).unwrap();
        let mut give = |name: &str| {
            let url = Some("http://pki.lab.test/crl.pem".to_owned());
            let order = Order { crl: url, ..order(request(home.path(), name, P256, ""), &[name]) };
            ca.give(&order, &password(), now()).unwrap()
        };
        let (bad, good) = (give("bad.lab.test"), give("good.lab.test"));
        assert_eq!(bad.cert.crls, ["http://pki.lab.test/crl.pem"]);
        let pasted: Vec<String> = bad
            .cert
            .serial
            .to_uppercase()
            .as_bytes()
            .chunks(2)
            .map(|c| String::from_utf8_lossy(c).into_owned())
            .collect();
        ca.revoke(&pasted.join(":"), Reason::KeyCompromise, &password(), now()).unwrap();
        let twice = ca.revoke(&bad.cert.serial, Reason::KeyCompromise, &password(), now());
        assert!(matches!(twice, Err(CaError::Revoked { .. })), "{twice:?}");
        let never = ca.revoke("00ff", Reason::KeyCompromise, &password(), now());
        assert!(matches!(never, Err(CaError::Unknown(_))), "{never:?}");
        let list = ca.crl_file();
        let more = ["-CRLfile", list.to_str().unwrap(), "-crl_check_all"];
        openssl_takes(home.path(), &good.chain, &ca.trust_file(), &more).unwrap();
        let refused = openssl_takes(home.path(), &bad.chain, &ca.trust_file(), &more).unwrap_err();
        assert!(refused.contains("certificate revoked"), "{refused}");
        let text = fs::read(&list).unwrap();
        let crls: Vec<Crl> = pem::Pieces::read(&text)
            .unwrap()
            .crls
            .iter()
            .map(|der| Crl::from_der("crl.pem".into(), der).unwrap())
            .collect();
        let trust = ca.trust().unwrap();
        let faults = |chain: &str| {
            let shown = pem::Pieces::read(chain.as_bytes()).unwrap().certificates;
            let terms = Terms {
                at: later(0),
                names: vec![],
                warn: 0,
                crit: 0,
                share: None,
                trust: &trust,
                crls: &crls,
                key: None,
                stapled: None,
                unstapled: false,
                chain: true,
            };
            judge(&shown, &terms).faults
        };
        assert_eq!(faults(&good.chain), []);
        assert!(
            matches!(faults(&bad.chain).as_slice(), [f] if matches!(&f.what, Wrong::Revoked { reason: Some(r), .. } if r == "its key was stolen")),
            "{:?}",
            faults(&bad.chain)
        );
        let numbers = |ca: &Ca| ca.register.crl_number;
        let before = numbers(&ca);
        ca.crl(7, &password(), later(100)).unwrap();
        assert_eq!(numbers(&ca), before + 1);
        assert!(ca.register.revoked.is_empty(), "what has expired is told of no more");
    }
}

#[test]
fn a_new_root_is_taken_by_who_trusts_the_old_one_until_that_is_retired() {
    let home = tempfile::tempdir().unwrap();
    for intermediate in [false, true] {
        let folder = home.path().join(intermediate.to_string());
        let wish = Wish { intermediate, ..wish() };
        let mut ca = Ca::create(&folder, &wish, &password(), now()).unwrap();
        let (old_root, new_root) = (folder.join("root-1.pem"), folder.join("root-2.pem"));
        let mut old_order = order(request(home.path(), "old", P256, ""), &["old.lab.test"]);
        let old = ca.give(&old_order, &password(), now()).unwrap();
        assert!(matches!(ca.retire(true, &password(), now()), Err(CaError::Alone)));
        assert_eq!(ca.rotate(&wish, &password(), now()).unwrap().number, 2);
        assert_eq!(ca.trust().unwrap().anchors().len(), 2);
        let new =
            ca.give(&order(request(home.path(), "new", P256, ""), &["new.lab.test"]), &password(), now()).unwrap();
        let takes = |chain: &str, trust: &Path| openssl_takes(home.path(), chain, trust, &["-purpose", "sslserver"]);
        takes(&old.chain, &old_root).unwrap();
        takes(&old.chain, &ca.trust_file()).unwrap();
        takes(&new.chain, &old_root).unwrap();
        takes(&new.chain, &new_root).unwrap();
        takes(&new.chain, &ca.trust_file()).unwrap();
        takes(&old.chain, &new_root).unwrap_err();
        // both sign lists, as both have certificates out there
        ca.revoke(&old.cert.serial, Reason::Superseded, &password(), now()).unwrap();
        let list = ca.crl_file();
        let more = ["-CRLfile", list.to_str().unwrap(), "-crl_check"];
        openssl_takes(home.path(), &new.chain, &new_root, &more).unwrap();
        openssl_takes(home.path(), &old.chain, &old_root, &more).unwrap_err();
        old_order.request = request(home.path(), "older", P256, "");
        old_order.names = vec!["kept.lab.test".into()];
        let mut first = Ca::open(&folder).unwrap();
        first.register.generations.truncate(1);
        let kept = first.give_by_the_first(&old_order);
        let needed = ca.retire(false, &password(), now()).unwrap_err();
        assert_eq!(needed.to_string(), "1 certificates of the old root are valid and not replaced: kept.lab.test");
        // it is renewed, under the new root
        old_order.request = request(home.path(), "renewed", P256, "");
        let renewed = ca.give(&old_order, &password(), now()).unwrap();
        assert_ne!(renewed.cert.issuer_key_id, kept.cert.issuer_key_id);
        assert_eq!(ca.retire(false, &password(), now()).unwrap(), [1]);
        assert!(!folder.join("root-1.key").exists() && !folder.join("intermediate-1.key").exists());
        assert_eq!(ca.trust().unwrap().anchors().len(), 1);
        takes(&kept.chain, &ca.trust_file()).unwrap_err();
        let again = ca.given(&old_order, now()).unwrap().unwrap();
        assert_eq!(again.cert, renewed.cert);
        assert_eq!(again.chain.matches("BEGIN").count(), if intermediate { 2 } else { 1 }, "no word of the old root");
        takes(&again.chain, &ca.trust_file()).unwrap();
        assert_eq!(ca.issued().unwrap().len(), 4);
    }
}

impl Ca {
    /// As a process that was there before the rotation, and holds what it read then.
    fn give_by_the_first(&self, order: &Order) -> Given {
        self.sign(&give::asked(order).unwrap(), order, &password(), now()).unwrap()
    }
}

#[test]
fn nothing_is_given_that_outlives_the_ca() {
    let home = tempfile::tempdir().unwrap();
    let mut ca = house(home.path(), &Wish { days: 60, ..wish() });
    let order = order(request(home.path(), "web", P256, ""), &["web.lab.test"]);
    let ending = ca.give(&order, &password(), now()).unwrap_err();
    assert_eq!(ending.to_string(), "the CA's own certificate `CN=House CA` ends on 2026-11-30");
    ca.give(&Order { days: 60, ..order }, &password(), now()).unwrap();
}

#[test]
fn what_a_killed_process_left_is_no_part_of_the_ca() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("ca");
    // killed before it was remembered: there is no CA, and making one goes well
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("root-1.key"), "half").unwrap();
    fs::write(folder.join(".root-1.pem.new"), "half").unwrap();
    assert!(matches!(Ca::open(&folder), Err(CaError::Missing(_))));
    let mut ca = house(home.path(), &wish());
    // the same of a rotation
    fs::write(folder.join("root-2.pem"), "half").unwrap();
    fs::create_dir_all(folder.join("issued")).unwrap();
    fs::write(folder.join("issued/.x.pem.new"), "half").unwrap();
    let csr = request(home.path(), "web", P256, "");
    ca.give(&order(csr, &["web.lab.test"]), &password(), now()).unwrap();
    assert_eq!(ca.rotate(&wish(), &password(), now()).unwrap().number, 2);
    assert_eq!(ca.issued().unwrap().len(), 1);
}

#[test]
fn two_at_once_give_one_certificate_for_one_order() {
    let home = tempfile::tempdir().unwrap();
    let ca = house(home.path(), &wish());
    let order = order(request(home.path(), "web", P256, ""), &["web.lab.test"]);
    let serials: Vec<String> = std::thread::scope(|scope| {
        let give = || Ca::open(ca.folder()).unwrap().give(&order, &password(), now()).unwrap().cert.serial.clone();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(give)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(serials.iter().all(|serial| *serial == serials[0]), "{serials:?}");
}

#[test]
fn a_key_file_that_would_cost_hours_to_open_is_refused_at_once() {
    let home = tempfile::tempdir().unwrap();
    let mut ca = house(home.path(), &wish());
    let path = ca.folder().join("root-1.key");
    let (_, sound) = pkcs8::SecretDocument::from_pem(&fs::read_to_string(&path).unwrap()).unwrap();
    // N = 2^14 as a DER integer; of the same length 2^15-1 is no power of two, so the number of passes is raised instead
    let der: Vec<u8> = sound.as_bytes().to_vec();
    let at = der.windows(3).position(|w| w == [2, 1, 5]).unwrap();
    let mut costly = der.clone();
    costly[at + 2] = 0x7f;
    fs::write(&path, armour(&costly, "ENCRYPTED PRIVATE KEY")).unwrap();
    let csr = request(home.path(), "web", P256, "");
    let refused = ca.give(&order(csr, &["web.lab.test"]), &password(), now()).unwrap_err();
    assert!(
        refused.to_string().ends_with("opening it would take more memory than any sound key file asks for"),
        "{refused}"
    );
}
