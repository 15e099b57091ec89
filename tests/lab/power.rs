//! A host loses its power before, in the middle of and after an act, and comes back.

use crate::{
    aftermath::{Aftermath, no_event_is_lost},
    hosts::Lab,
    support::{Ended, Project, is},
};

const RUNBOOK: &str = "svcops: 1
name: slow-mark
targets: dc1-app2
on_failure: continue
steps:
  - name: Mark
    command: {run: 'sleep 2; echo done >> /var/tmp/svcops-marks'}
    undo: [{command: 'rm -f /var/tmp/svcops-marks'}]
    timeout: 10s
";

const HOST: &str = "dc1-app2";

#[test]
fn a_host_without_power_is_named_before_anything_is_touched() {
    let Some(lab) = Lab::take("a_host_without_power_is_named_before_anything_is_touched") else { return };
    let crm = lab.crm();
    crm.file("runbooks/mark.yaml", &RUNBOOK.replace("continue", "rollback"));
    let aftermath = Aftermath::of(&lab, &[HOST]);
    lab.power_off(HOST);

    let ended = crm.svcops(&["run", "runbooks/mark.yaml", "--yes"]);

    lab.power_on(HOST);
    let ended = ended.exits(1).says(HOST).says("nothing was touched");
    assert_eq!(marks(&lab), "", "{ended}");
    aftermath.is_clean(&crm);
}

#[test]
fn power_lost_in_the_middle_of_an_act_leaves_it_unknown_until_a_person_has_looked() {
    let name = "power_lost_in_the_middle_of_an_act_leaves_it_unknown_until_a_person_has_looked";
    let Some(lab) = Lab::take(name) else { return };
    let crm = lab.crm();
    crm.file("runbooks/mark.yaml", RUNBOOK);
    let aftermath = Aftermath::of(&lab, &[HOST]);

    let mut running = crm.stream(&["run", "runbooks/mark.yaml", "--yes"]);
    running.until(|event| is(event, "announced")).expect("it is announced");
    lab.on(HOST, "until pgrep -x sleep > /dev/null; do :; done");
    lab.power_off(HOST);
    let ended = running.finish();
    lab.power_on(HOST);
    let ended = ended.exits(4).says(HOST);

    let run = unknown(&crm);
    crm.svcops(&["resume", &run, "--yes"]).exits(4).says("rebooted");
    assert_eq!(marks(&lab), "", "it is never done again unasked\n{ended}");
    crm.svcops(&["resolve", &run, &format!("1@{HOST}"), "not-done", "--reason", "отметки нет"]).exits(0);
    crm.svcops(&["resume", &run, "--yes"]);
    no_event_is_lost(&crm, &ended);
    aftermath.is_clean(&crm);
}

#[test]
fn power_lost_after_an_act_does_not_undo_what_was_proven() {
    let Some(lab) = Lab::take("power_lost_after_an_act_does_not_undo_what_was_proven") else { return };
    let crm = lab.crm();
    crm.file("runbooks/mark.yaml", RUNBOOK);
    let aftermath = Aftermath::of(&lab, &[HOST]);
    let ended = streamed(&crm).exits(0);

    lab.power_off(HOST);
    lab.power_on(HOST);

    let run = crm.newest()["run"].as_str().unwrap().to_owned();
    crm.svcops(&["rollback", &run, "--yes"]).exits(0);
    assert_eq!(marks(&lab), "", "{ended}");
    no_event_is_lost(&crm, &ended);
    aftermath.is_clean(&crm);
}

fn streamed(crm: &Project) -> Ended {
    crm.stream(&["run", "runbooks/mark.yaml", "--yes"]).finish()
}

fn unknown(crm: &Project) -> String {
    let newest = crm.newest();
    assert_eq!(newest["outcome"], "unknown", "{newest}");
    newest["run"].as_str().unwrap().to_owned()
}

fn marks(lab: &Lab) -> String {
    lab.on(HOST, "cat /var/tmp/svcops-marks 2> /dev/null || true")
}
