//! What sshd lets svcops do, and as whom it shows itself, in the middle of a run.

use crate::{
    aftermath::{Aftermath, no_event_is_lost},
    cut::connected,
    hosts::Lab,
    support::is,
};
use std::time::Duration;

const RUNBOOK: &str = "svcops: 1
name: slow-mark
targets: dc2-app1
on_failure: continue
steps:
  - name: Mark
    command: {run: 'sleep 3; echo done >> /var/tmp/svcops-marks'}
    undo: [{command: 'rm -f /var/tmp/svcops-marks'}]
    timeout: 30s
";

const HOST: &str = "dc2-app1";

#[test]
fn a_host_whose_key_changes_during_a_run_is_not_spoken_to_again_until_it_is_the_known_one() {
    let name = "a_host_whose_key_changes_during_a_run_is_not_spoken_to_again_until_it_is_the_known_one";
    let Some(lab) = Lab::take(name) else { return };
    for client in ["openssh", "native"] {
        let crm = lab.impatient(client);
        crm.file("runbooks/mark.yaml", RUNBOOK);
        let aftermath = Aftermath::of(&lab, &[HOST]);
        let known = std::fs::read_to_string(lab.ssh_config().with_file_name("known_hosts")).unwrap();
        let place = crm.home().join(".ssh/known_hosts");
        std::fs::write(&place, &known).unwrap();
        Lab::ssh_says(&crm, &format!("UserKnownHostsFile {}\n", place.display()));

        let mut running = crm.stream(&["run", "runbooks/mark.yaml", "--yes"]);
        running.until(|event| is(event, "announced")).expect("it is announced");
        lab.on(HOST, "until pgrep -x sleep > /dev/null; do :; done");
        // what is known of it is another host's key by now: the same as if it showed another one
        let others = known.lines().find_map(|line| line.strip_prefix("dc1-app1 ")).unwrap();
        std::fs::write(&place, format!("{HOST} {others}\n")).unwrap();
        // the connection is given up while the host is away, and another one must be made
        lab.cut(HOST);
        while connected("10.77.0.21") {
            std::thread::sleep(Duration::from_millis(50));
        }
        lab.heal(HOST);
        let ended = running.finish().exits(4).says(HOST).says("host key").says(&place.display().to_string());

        let run = crm.newest()["run"].as_str().unwrap().to_owned();
        crm.svcops(&["resume", &run, "--yes"]).exits(4).says("host key");
        assert_eq!(lab.on(HOST, "cat /var/tmp/svcops-marks"), "done\n", "the act came to its end\n{ended}");

        std::fs::write(&place, &known).unwrap();
        crm.svcops(&["resume", &run, "--yes"]).exits(0);
        assert_eq!(lab.on(HOST, "sudo cat /var/tmp/svcops-marks"), "done\n", "and is done once\n{ended}");
        lab.on(HOST, "sudo rm /var/tmp/svcops-marks");
        no_event_is_lost(&crm, &ended);
        aftermath.is_clean(&crm);
    }
}

#[test]
fn a_host_with_one_session_at_a_time_is_worked_on_one_thing_after_the_other() {
    let Some(lab) = Lab::take("a_host_with_one_session_at_a_time_is_worked_on_one_thing_after_the_other") else {
        return;
    };
    let _one = Single::new(&lab);
    for client in ["openssh", "native"] {
        let crm = lab.impatient(client);
        crm.file("runbooks/all.yaml", ALL);
        let before = lab.seen_on(HOST);
        let aftermath = Aftermath::of(&lab, &[HOST]);

        let ran = crm.svcops(&["run", "runbooks/all.yaml", "--yes"]).exits(0);
        assert_eq!(lab.on(HOST, "cat /etc/billing/billing.conf /var/tmp/svcops-marks"), "workers = 8\ndone\n", "{ran}");
        crm.svcops(&["app", "status", "billing", "-l", HOST]).exits(0);
        let run = crm.newest()["run"].as_str().unwrap().to_owned();
        crm.svcops(&["rollback", &run, "--yes"]).exits(0);
        assert_eq!(lab.seen_on(HOST).files, before.files, "{ran}");
        aftermath.is_clean(&crm);
    }
}

/// A look, a file that is sent, a script that is sent, a service, and a page that is asked for through the host.
const ALL: &str = "svcops: 1
name: all-kinds
targets: dc2-app1
on_failure: continue
steps:
  - name: New configuration
    file.copy: {content: \"workers = 8\\n\", dest: /etc/billing/billing.conf}
    then: [{app.restart: {app: billing}}]
  - name: Two at once
    for_each: [1, 2, 3]
    check.command: {run: 'sleep 0.1'}
  - {name: Page, check.http: {url: 'http://127.0.0.1:8080/health', from: host}, timeout: 20s}
  - name: Script
    script: {inline: \"#!/bin/sh\\necho done >> /var/tmp/svcops-marks\\n\"}
    undo: [{command: 'rm -f /var/tmp/svcops-marks'}]
";

/// sshd with `MaxSessions 1`, taken back afterwards.
struct Single<'l>(&'l Lab);

impl<'l> Single<'l> {
    fn new(lab: &'l Lab) -> Self {
        let this = Self(lab);
        lab.on(HOST, "sudo sed -i '1i MaxSessions 1' /etc/ssh/sshd_config && sudo systemctl reload ssh");
        this.listens();
        let told = lab.on(HOST, "sudo sshd -T");
        assert!(told.lines().any(|line| line == "maxsessions 1"), "{told}");
        this
    }

    /// sshd begins anew for a reload, and refuses connections meanwhile.
    fn listens(&self) {
        while !self.0.ssh(HOST).arg("true").output().is_ok_and(|said| said.status.success()) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Single<'_> {
    fn drop(&mut self) {
        let text = "sudo sed -i '1{/^MaxSessions 1$/d}' /etc/ssh/sshd_config && sudo systemctl reload ssh";
        let _back = self.0.ssh(HOST).arg(text).status().is_ok();
        self.listens();
    }
}
