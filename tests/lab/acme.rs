//! Certificates from a server of ACME (Pebble), their names proven by BIND, by a web server and by a process of svcops' own;
//! and svcops killed at each event of that.

use crate::{
    hosts::Lab,
    support::{Project, is},
};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

const HOST: &str = "dc1-app1";
/// Where pairs lie.
const FOLDER: &str = "/var/tmp/svcops-acme";

/// What a certificate is called, its issuer, and the names in it.
const CERTIFICATES: [(&str, &str, &[&str]); 3] = [
    ("by-dns", "acme", &["dc1-app1.lab.test", "*.dc1-app1.lab.test", "dc1-app1-too.lab.test"]),
    ("by-file", "webroot", &["billing.lab.test", "lb.lab.test"]),
    ("by-process", "responder", &["dc1-app1.lab.test"]),
];

/// A project whose certificates Pebble issues, and requests for all of them on the host.
struct Scene<'a> {
    lab: &'a Lab,
    crm: Project,
    root: PathBuf,
}

impl<'a> Scene<'a> {
    fn new(lab: &'a Lab) -> Self {
        // it answers for its names once `lb` is up, and stays for the next test
        lab.lab(&["service", "start", "pebble"]);
        let state = std::env::var("SVCOPS_LAB").unwrap();
        let crm = lab.crm();
        let key = fs::read_to_string(format!("{state}/tsig.key")).unwrap();
        crm.file("../home/.config/svcops/tsig", key.split('"').nth(3).unwrap());
        let issuer = |name: &str, challenge: &str| {
            format!(
                "  {name}: {{acme: {{directory: 'https://127.0.0.1:14000/dir', ca: {state}/ca/ca.crt, \
                 contact: ['mailto:ops@lab.test'], challenge: {challenge}}}, trust: {state}/svc/pebble/issuer-root.pem}}\n"
            )
        };
        let mut more = String::from(
            "zones:\n  lab.test: {server: '10.77.0.5:53', key: {name: svcops-lab, secret: tsig}}\nissuers:\n",
        );
        more += &issuer("acme", "{dns: true}");
        more += &issuer("webroot", "{http: {hosts: role=lb, webroot: /srv/acme}}");
        more += &issuer("responder", "{http: {hosts: role=app, port: 5002}}");
        more += "certificates:\n";
        for (name, issuer, names) in CERTIFICATES {
            let place = format!("{{hosts: {HOST}, cert: {FOLDER}/{name}.crt, key: {FOLDER}/{name}.key}}");
            more += &format!("  {name}: {{names: {names:?}, issuer: {issuer}, places: [{place}]}}\n");
        }
        let inventory = include_str!("../data/crm/svcops.yaml");
        crm.file("svcops.yaml", &format!("{inventory}{more}"));
        let scene = Self { lab, crm, root: format!("{state}/svc/pebble/issuer-root.pem").into() };
        scene.ask();
        scene
    }

    /// A key and a request for each, as they are staged.
    fn ask(&self) {
        let mut text = format!("sudo rm -rf {FOLDER}; sudo mkdir -p {FOLDER}; cd {FOLDER}; umask 077\n");
        for (name, _, names) in CERTIFICATES {
            let names: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
            text += &format!(
                "sudo openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj / -addext \
                 subjectAltName={} -keyout .svcops-{name}.key -out .svcops-{name}.csr 2> /dev/null\n",
                names.join(",")
            );
        }
        self.lab.on(HOST, &text);
    }

    fn runbook(&self, name: &str, rest: &str) {
        let text = format!(
            "svcops: 1\nname: order-{name}\ntargets: {HOST}\nsteps:\n  - {{name: Order, cert.order: {{certificate: {name}}}}}\n{rest}"
        );
        self.crm.file(&format!("runbooks/{name}.yaml"), &text);
    }

    /// The chain that is staged; empty: none is.
    fn staged(&self, name: &str) -> String {
        self.lab.on(HOST, &format!("sudo cat {FOLDER}/.svcops-{name}.pem 2> /dev/null || true"))
    }

    /// What was staged holds, for the key that lies beside it.
    fn holds(&self, name: &str) {
        let chain = self.staged(name);
        let file = self.crm.root().join("chain.pem");
        fs::write(&file, &chain).unwrap();
        let mut verify = Command::new("openssl");
        verify.args(["verify", "-CAfile"]).arg(&self.root).arg("-untrusted").arg(&file).arg(&file);
        let verified = verify.output().unwrap();
        assert!(verified.status.success(), "{name}: {}", String::from_utf8_lossy(&verified.stderr));
        let keys = format!(
            "cd {FOLDER}; for f in x509:pem req:csr; do sudo openssl ${{f%:*}} -noout -pubkey -in .svcops-{name}.${{f#*:}} | sha256sum; done"
        );
        let keys = self.lab.on(HOST, &keys);
        let mut keys = keys.lines();
        assert_eq!(keys.next(), keys.next(), "{name}");
    }

    /// Nothing proves a name any more, and no key is where none belongs.
    #[track_caller]
    fn is_clean(&self, when: &str) {
        for (_, _, names) in CERTIFICATES {
            for name in names {
                let record = format!("_acme-challenge.{}", name.trim_start_matches("*."));
                let asked = Command::new("dig").args(["+short", "@10.77.0.5", &record, "TXT"]).output().unwrap();
                assert_eq!(String::from_utf8_lossy(&asked.stdout), "", "{when}: {record}");
            }
        }
        assert_eq!(self.lab.on("lb", "find /srv/acme -mindepth 1"), "", "{when}");
        for host in [HOST, "lb"] {
            let left = self.lab.on(host, "ps -eo args | grep '[s]vcops-responder' || true");
            assert_eq!(left, "", "{when}: {host}");
        }
        let keys = "sudo grep -rlsI 'PRIVATE KEY' /tmp /var/tmp /home /root /run /etc/billing | grep -v '/etc/billing/tls.key' || true";
        for key in self.lab.on(HOST, keys).lines() {
            assert!(key.starts_with(&format!("{FOLDER}/.svcops-")), "{when}: {key}");
        }
        for (path, text) in files(&self.crm.state()).chain(files(&self.crm.home().join(".local"))) {
            assert!(!text.contains("PRIVATE KEY"), "{when}: {}", path.display());
        }
    }

    /// The account's key stands in its own file, which only its owner reads, and nowhere else.
    fn keeps_its_accounts(&self) {
        let mut accounts = 0;
        for (path, text) in files(&self.crm.state()) {
            if path.ends_with("account.json") {
                accounts += 1;
                assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
                let account: serde_json::Value = serde_json::from_str(&text).unwrap();
                let key = account["key_pkcs8"].as_str().unwrap().to_owned();
                for (other, text) in files(&self.crm.state()) {
                    assert!(other == path || !text.contains(&key), "{}", other.display());
                }
            }
        }
        assert!(accounts > 0, "an account is kept");
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        self.lab.on(HOST, &format!("sudo rm -rf {FOLDER}"));
    }
}

fn files(folder: &Path) -> impl Iterator<Item = (PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
                found.push((path, text));
            }
        }
    }
    found.into_iter()
}

#[test]
fn a_certificate_comes_from_an_acme_server_by_each_way_to_prove_its_names() {
    let Some(lab) = Lab::take("a_certificate_comes_from_an_acme_server_by_each_way_to_prove_its_names") else { return };
    let scene = Scene::new(&lab);
    for (name, ..) in CERTIFICATES {
        scene.runbook(name, "");
        let file = format!("runbooks/{name}.yaml");
        scene.crm.svcops(&["plan", &file]).exits(0);
        assert_eq!(scene.staged(name), "", "a plan does nothing");
        scene.crm.svcops(&["run", &file, "--yes"]).exits(0);
        scene.holds(name);
        scene.is_clean(name);
        let first = scene.staged(name);
        scene.crm.svcops(&["run", &file, "--yes"]).exits(0);
        assert_eq!(scene.staged(name), first, "a second time is nothing");
    }
    scene.keeps_its_accounts();

    // what comes after it fails: it is taken back, and comes again at once from what the server has
    scene.ask();
    scene.runbook(
        "by-dns",
        "  - {name: Fail, command: 'false', undo: [{command: 'true'}]}\non_failure: {do: rollback, scope: run}\n",
    );
    scene.crm.svcops(&["run", "runbooks/by-dns.yaml", "--yes"]).exits(1);
    assert_eq!(scene.staged("by-dns"), "");
    scene.is_clean("rolled back");
}

#[test]
fn an_order_that_is_killed_at_any_event_is_gone_on_with_or_taken_back_and_leaves_nothing() {
    let Some(lab) = Lab::take("an_order_that_is_killed_at_any_event_is_gone_on_with_or_taken_back_and_leaves_nothing")
    else {
        return;
    };
    let scene = Scene::new(&lab);
    let mut events = 0;
    for (number, name) in ["by-dns", "by-file", "by-process"].into_iter().enumerate() {
        scene.runbook(name, "");
        // what the ways have in common is met by the first
        for kill in (1..).step_by(if number == 0 { 1 } else { 4 }) {
            scene.ask();
            let file = format!("runbooks/{name}.yaml");
            let mut running = scene.crm.stream(&["run", &file, "--yes"]);
            let seen: Vec<_> = std::iter::from_fn(|| running.event()).take(kill).collect();
            if seen.iter().any(|event| is(event, "finished")) {
                running.finish();
                break;
            }
            running.kill();
            events += 1;
            let newest = scene.crm.newest();
            let run = newest["run"].as_str().unwrap().to_owned();
            if newest["outcome"] != "interrupted" {
                continue;
            }
            let when = format!("{name}, killed after event {kill}: {}", seen.last().unwrap());
            // what touched nothing is neither gone on with nor taken back
            if !seen.iter().any(|event| is(event, "announced")) {
                scene.is_clean(&when);
                continue;
            }
            if (kill + kill / 4) % 2 == 0 {
                scene.crm.svcops(&["resume", &run, "--yes"]).exits(0);
                scene.holds(name);
            } else {
                scene.crm.svcops(&["rollback", &run, "--yes"]).exits(0);
                assert_eq!(scene.staged(name), "", "{when}");
            }
            scene.is_clean(&when);
        }
    }
    assert!(events > 15, "{events} events were met");
    scene.keeps_its_accounts();
}
