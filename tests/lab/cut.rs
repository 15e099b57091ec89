//! A host falls silent in the middle of a command.

use crate::{
    aftermath::{Aftermath, no_event_is_lost},
    hosts::Lab,
    support::{Ended, Project, is},
};

const RUNBOOK: &str = "svcops: 1
name: slow-mark
title: Долгая команда на двух узлах
targets: 'dc[1-2]-app1'
on_failure: POLICY
steps:
  - name: Mark
    command: {run: 'sleep 2; echo done >> /var/tmp/svcops-marks'}
    undo: [{command: 'rm -f /var/tmp/svcops-marks'}]
    timeout: 10s
";

#[test]
fn a_host_cut_off_is_unknown_and_resume_reads_its_receipt() {
    let Some(lab) = Lab::take("a_host_cut_off_is_unknown_and_resume_reads_its_receipt") else { return };
    let crm = lab.crm();
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
    let crm = lab.crm();
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
    let crm = lab.crm();
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

fn run(crm: &Project) -> String {
    let newest = crm.newest();
    assert_eq!(newest["outcome"], "unknown", "{newest}");
    newest["run"].as_str().unwrap().to_owned()
}

fn marks(lab: &Lab, host: &str) -> String {
    lab.on(host, "cat /var/tmp/svcops-marks 2> /dev/null || true")
}

const HOSTS: [&str; 2] = ["dc1-app1", "dc2-app1"];

/// As a reboot would.
const FORGET_RECEIPTS: &str = "sudo rm -r /tmp/svcops-*/";
