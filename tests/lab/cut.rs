//! A host falls silent before an act, in the middle of it, and after its effect.

use crate::{
    aftermath::{Aftermath, no_event_is_lost},
    hosts::Lab,
    support::{Ended, Project, Running, is},
};
use std::{process::Command, time::Duration};

const RUNBOOK: &str = "svcops: 1
name: slow-mark
title: Долгая команда на двух узлах
targets: 'dc[1-2]-app1'
on_failure: POLICY
steps:
  - name: Mark
    command: {run: 'sleep 2; echo done >> /var/tmp/svcops-marks'}
    undo: [{command: 'rm -f /var/tmp/svcops-marks'}]
    timeout: 4s
";

#[test]
fn a_host_cut_off_is_unknown_and_resume_reads_its_receipt() {
    let Some(lab) = Lab::take("a_host_cut_off_is_unknown_and_resume_reads_its_receipt") else { return };
    let crm = lab.impatient("openssh");
    let aftermath = Aftermath::of(&lab, &HOSTS);

    let cut = cut_in_the_middle(&lab, &crm, "continue").exits(4).says("dc1-app1");
    assert_eq!(marks(&lab, "dc2-app1"), "done\n", "the other goes on\n{cut}");

    let run = run(&crm);
    let resumed = crm.svcops(&["resume", &run, "--yes"]).exits(0);
    for host in HOSTS {
        assert_eq!(marks(&lab, host), "done\n", "{host}: done once\n{resumed}");
    }
    assert_eq!(crm.newest()["outcome"], "done");
    no_event_is_lost(&crm, &cut);
    aftermath.is_clean(&crm);
}

#[test]
fn a_host_cut_off_is_taken_back_once_it_can_be_reached() {
    let Some(lab) = Lab::take("a_host_cut_off_is_taken_back_once_it_can_be_reached") else { return };
    let crm = lab.impatient("openssh");
    let aftermath = Aftermath::of(&lab, &HOSTS);

    let cut = cut_in_the_middle(&lab, &crm, "rollback").exits(4).says("dc1-app1");
    assert_eq!(marks(&lab, "dc2-app1"), "", "the other went back\n{cut}");

    let run = run(&crm);
    let resumed = crm.svcops(&["resume", &run, "--yes"]).exits(1);
    for host in HOSTS {
        assert_eq!(marks(&lab, host), "", "{host}\n{resumed}");
    }
    assert_eq!(crm.newest()["outcome"], "rolled_back");
    no_event_is_lost(&crm, &cut);
    aftermath.is_clean(&crm);
}

#[test]
fn without_a_receipt_nobody_knows_until_a_person_says_so() {
    let Some(lab) = Lab::take("without_a_receipt_nobody_knows_until_a_person_says_so") else { return };
    let crm = lab.impatient("openssh");
    let aftermath = Aftermath::of(&lab, &HOSTS);

    cut_in_the_middle(&lab, &crm, "continue").exits(4);
    lab.on("dc1-app1", FORGET_RECEIPTS);
    let run = run(&crm);
    crm.svcops(&["resume", &run, "--yes"]).exits(4).says("1@dc1-app1");
    crm.svcops(&["run", "runbooks/mark.yaml", "--yes"]).exits(75).says(&run);

    crm.svcops(&["resolve", &run, "1@dc1-app1", "done", "--reason", "отметка стоит"]).exits(0);
    crm.svcops(&["resume", &run, "--yes"]).exits(0);
    assert_eq!(marks(&lab, "dc1-app1"), "done\n", "what a person saw is not done again");
    crm.svcops(&["run", "runbooks/mark.yaml", "--yes"]).exits(0);
    aftermath.is_clean(&crm);
}

#[test]
fn a_host_cut_off_between_plan_and_act_is_not_acted_on_and_the_others_go_back() {
    let Some(lab) = Lab::take("a_host_cut_off_between_plan_and_act_is_not_acted_on_and_the_others_go_back") else {
        return;
    };
    for client in CLIENTS {
        let crm = lab.impatient(client);
        crm.file("runbooks/two.yaml", TWO);
        let aftermath = Aftermath::of(&lab, &HOSTS);

        let mut running = crm.stream(&["run", "runbooks/two.yaml", "--yes"]);
        running.until(|event| is(event, "announced")).expect("the first act is announced");
        lab.on("dc2-app1", "until [ -e /var/tmp/svcops-marks ]; do :; done");
        lab.cut("dc1-app1");
        lab.on("dc2-app1", "sudo rm -f /var/tmp/svcops-wait");
        let ended = running.finish();
        lab.heal("dc1-app1");

        let ended = ended.exits(1).says("dc1-app1").says("no contact");
        for host in HOSTS {
            assert_eq!(marks(&lab, host), "", "{host}\n{ended}");
        }
        assert_eq!(crm.newest()["outcome"], "rolled_back");
        let acted = ended.lines().into_iter().any(|event| is(&event, "announced") && event["task"] == "2@dc1-app1");
        assert!(!acted, "nothing is announced where nobody answers\n{ended}");
        crm.svcops(&["owed"]).exits(0).says("nothing");
        no_event_is_lost(&crm, &ended);
        // A last packet may reach a host that is back: then a folder without any receipt in it stays for a month. It is
        // sent again until the host takes it, and the shell there ends after it.
        while talking("10.77.0.11") {
            std::thread::sleep(Duration::from_millis(50));
        }
        let only_this = "until [ $(pgrep -c -u ops sshd) -le 1 ]; do sleep 0.1; done";
        lab.on(
            "dc1-app1",
            &format!("{only_this}; rm -f /tmp/svcops-2000/*/id; rmdir /tmp/svcops-2000/*/ 2> /dev/null || true"),
        );
        aftermath.is_clean(&crm);
    }
}

#[test]
fn a_host_cut_off_after_its_effect_is_unknown_until_its_receipt_is_read() {
    let Some(lab) = Lab::take("a_host_cut_off_after_its_effect_is_unknown_until_its_receipt_is_read") else { return };
    for client in CLIENTS {
        let crm = lab.impatient(client);
        let aftermath = Aftermath::of(&lab, &HOSTS);

        let running = cut_after_the_effect(&lab, &crm, "5s");
        let cut = running.finish();
        lab.heal("dc1-app1");
        let cut = cut.exits(4).says("dc1-app1");
        assert_eq!(marks(&lab, "dc1-app1"), "done\n", "the effect is there\n{cut}");

        let run = run(&crm);
        let resumed = crm.svcops(&["resume", &run, "--yes"]).exits(0);
        assert_eq!(marks(&lab, "dc1-app1"), "done\n", "and is not done again\n{resumed}");
        assert_eq!(crm.newest()["outcome"], "done");
        no_event_is_lost(&crm, &cut);
        lab.on("dc1-app1", "sudo rm /var/tmp/svcops-marks");
        aftermath.is_clean(&crm);
    }
}

#[test]
fn a_host_that_is_back_within_the_deadline_needs_nobody() {
    let Some(lab) = Lab::take("a_host_that_is_back_within_the_deadline_needs_nobody") else { return };
    for client in CLIENTS {
        let crm = lab.impatient(client);
        let aftermath = Aftermath::of(&lab, &HOSTS);

        let mut running = cut_after_the_effect(&lab, &crm, "40s");
        // the connection is given up while the host is away, and another one must be made
        while connected("10.77.0.11") {
            std::thread::sleep(Duration::from_millis(50));
        }
        lab.heal("dc1-app1");
        running.until(|event| is(event, "carried")).expect("its receipt is read");
        let ended = running.finish().exits(0);
        assert_eq!(marks(&lab, "dc1-app1"), "done\n", "{ended}");
        no_event_is_lost(&crm, &ended);
        lab.on("dc1-app1", "sudo rm /var/tmp/svcops-marks");
        aftermath.is_clean(&crm);
    }
}

/// Runs the slow mark on two hosts, cuts one off while it is at it, and heals it when the run has ended.
fn cut_in_the_middle(lab: &Lab, crm: &Project, policy: &str) -> Ended {
    crm.file("runbooks/mark.yaml", &RUNBOOK.replace("POLICY", policy));
    let mut running = crm.stream(&["run", "runbooks/mark.yaml", "--yes"]);
    running.until(|event| is(event, "announced") && event["task"] == "1@dc1-app1").expect("it is announced");
    lab.on("dc1-app1", "until pgrep -x sleep > /dev/null; do :; done");
    lab.cut("dc1-app1");
    let ended = running.finish();
    lab.heal("dc1-app1");
    ended
}

/// Runs the mark on one host, which is cut off once the mark is there and before the command has ended.
fn cut_after_the_effect(lab: &Lab, crm: &Project, deadline: &str) -> Running {
    let text = RUNBOOK.replace("POLICY", "continue").replace("dc[1-2]-app1", "dc1-app1");
    let first = "sleep 2; echo done >> /var/tmp/svcops-marks";
    let after = text.replace(first, "echo done >> /var/tmp/svcops-marks; sleep 0.5").replace("4s", deadline);
    assert_ne!(after, text);
    crm.file("runbooks/mark.yaml", &after);
    let mut running = crm.stream(&["run", "runbooks/mark.yaml", "--yes"]);
    running.until(|event| is(event, "announced")).expect("it is announced");
    lab.on("dc1-app1", "until [ -e /var/tmp/svcops-marks ]; do :; done");
    lab.cut("dc1-app1");
    running
}

/// Whether anything is still to be said to that address's sshd, or heard of it.
fn talking(address: &str) -> bool {
    let states = ["-Htn", "state", "connected", "exclude", "time-wait", "dst", address, "dport", "=", ":22"];
    !Command::new("ss").args(states).output().unwrap().stdout.is_empty()
}

/// Whether anybody here has a connection to that address's sshd.
pub fn connected(address: &str) -> bool {
    let asked = Command::new("ss").args(["-Htn", "state", "established", "dst", address, "dport", "=", ":22"]).output();
    !asked.unwrap().stdout.is_empty()
}

fn run(crm: &Project) -> String {
    let newest = crm.newest();
    assert_eq!(newest["outcome"], "unknown", "{newest}");
    newest["run"].as_str().unwrap().to_owned()
}

fn marks(lab: &Lab, host: &str) -> String {
    lab.on(host, "cat /var/tmp/svcops-marks 2> /dev/null || true")
}

const CLIENTS: [&str; 2] = ["openssh", "native"];

/// The second step's host is cut off while the first one's is at work.
const TWO: &str = "svcops: 1
name: two-marks
targets: 'dc[1-2]-app1'
steps:
  - name: Wait
    when: host.name == 'dc2-app1'
    command: {run: 'touch /var/tmp/svcops-wait; echo done >> /var/tmp/svcops-marks; while [ -e /var/tmp/svcops-wait ]; do sleep 0.05; done'}
    undo: [{command: 'rm -f /var/tmp/svcops-marks'}]
    timeout: 30s
  - name: Mark
    when: host.name == 'dc1-app1'
    command: {run: 'echo done >> /var/tmp/svcops-marks'}
    undo: [{command: 'rm -f /var/tmp/svcops-marks'}]
    timeout: 3s
";

const HOSTS: [&str; 2] = ["dc1-app1", "dc2-app1"];

/// As a reboot would.
const FORGET_RECEIPTS: &str = "sudo rm -r /tmp/svcops-*/";
