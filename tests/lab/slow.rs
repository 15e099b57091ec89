//! Hosts that are there and do not answer: they accept and say nothing, drip, or log in to a shell that is none.

use crate::{
    aftermath::{Aftermath, nothing_runs_here},
    hosts::Lab,
    support::Project,
};
use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    time::Duration,
};

const RUNBOOK: &str = "svcops: 1
name: mark
targets: all
on_failure: continue
steps:
  - name: Mark
    command: {run: 'echo done >> /var/tmp/svcops-marks'}
    timeout: 2s
";

/// Each by both clients, all side by side: so the whole takes as long as the slowest, and a good host is among them.
#[test]
fn hosts_that_answer_slowly_for_ever_are_each_left_and_named_and_the_others_go_on() {
    let name = "hosts_that_answer_slowly_for_ever_are_each_left_and_named_and_the_others_go_on";
    let Some(lab) = Lab::take(name) else { return };
    let aftermath = Aftermath::of(&lab, &["dc1-app1", "dc1-app2", "dc2-app1"]);
    let (mute, drip) = (served(mute), served(drip));
    let crm = lab.crm();
    let mut inventory = "project: crm\nssh: {user: ops}\nhosts:\n  dc2-app1: {address: 10.77.0.21}\n".to_owned();
    for client in ["openssh", "native"] {
        for (kind, ssh) in [
            ("mute", format!("127.0.0.1, ssh: {{port: {mute}, ")),
            ("drip", format!("127.0.0.1, ssh: {{port: {drip}, ")),
            ("swallow", "10.77.0.11, ssh: {".to_owned()),
            ("chatter", "10.77.0.12, ssh: {".to_owned()),
        ] {
            inventory += &format!("  {kind}-{client}: {{address: {ssh}client: {client}}}}}\n");
        }
    }
    crm.file("svcops.yaml", &inventory);
    crm.file("runbooks/mark.yaml", RUNBOOK);
    Lab::ssh_says(&crm, "Host swallow-*\n  HostKeyAlias dc1-app1\nHost chatter-*\n  HostKeyAlias dc1-app2\nHost *\n");
    let shells = [("dc1-app1", "cat > /dev/null"), ("dc1-app2", "while echo; do sleep 1; done")];
    let odd = shells.map(|(host, does)| Shell::new(&lab, host, does));

    let ended = crm.svcops(&["run", "runbooks/mark.yaml", "--yes"]);

    let ended = ended.exits(3);
    for kind in ["mute", "drip", "swallow", "chatter"] {
        for client in ["openssh", "native"] {
            assert!(ended.stderr.contains(&format!("{kind}-{client}")), "{kind}-{client} is not named\n{ended}");
        }
    }
    assert_eq!(lab.on("dc2-app1", "cat /var/tmp/svcops-marks"), "done\n", "{ended}");
    nothing_runs_here(&crm);
    drop(odd);
    aftermath.is_clean(&crm);
    alike(&crm);
}

/// Why each was left, in words.
fn alike(crm: &Project) {
    let run = crm.newest()["run"].as_str().unwrap().to_owned();
    for event in crm.events(&run).iter().filter(|event| event["event"] == "ended") {
        let (task, how) = (event["task"].as_str().unwrap(), event["how"].to_string());
        assert!(task.contains("dc2-app1") || how.contains("no contact"), "{task}: {how}");
        assert!(!how.contains("os error"), "{task}: {how}");
    }
}

/// A login shell that does something of its own instead of what svcops asks for; for anybody else it is bash.
struct Shell<'l>(&'l Lab, &'static str);

impl<'l> Shell<'l> {
    fn new(lab: &'l Lab, host: &'static str, does: &str) -> Self {
        let text = format!("#!/bin/bash\n[ \"$2\" != 'exec sh' ] || {{ {does}; exit; }}\nexec /bin/bash \"$@\"\n");
        let this = Self(lab, host);
        lab.on(host, &format!("printf %s '{}' | sudo install -m 755 /dev/stdin {FILE}", text.replace('\'', "'\\''")));
        lab.on(host, &format!("sudo usermod -s {FILE} ops"));
        this
    }
}

impl Drop for Shell<'_> {
    fn drop(&mut self) {
        let _back =
            self.0.ssh(self.1).arg(format!("sudo usermod -s /bin/bash ops; sudo rm -f {FILE}")).status().is_ok();
    }
}

const FILE: &str = "/opt/svcops-test-shell";

/// A port of this machine at which everybody is served so, as long as the test's process lives.
fn served(how: fn(TcpStream)) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || how(stream));
        }
    });
    port
}

/// Accepts, and never says a word.
fn mute(mut stream: TcpStream) {
    while stream.read(&mut [0; 1024]).is_ok_and(|size| size > 0) {}
}

/// The greeting at once, and then a byte a second of what a real sshd says: the login never comes to its end.
fn drip(mut stream: TcpStream) {
    let Ok(mut host) = TcpStream::connect("10.77.0.21:22") else { return };
    let (mut from, mut to) = (stream.try_clone().unwrap(), host.try_clone().unwrap());
    std::thread::spawn(move || std::io::copy(&mut from, &mut to).is_ok());
    let mut byte = [0];
    let mut greeted = false;
    while host.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {
        if greeted {
            std::thread::sleep(Duration::from_secs(1));
        }
        greeted |= byte == *b"\n";
    }
}
