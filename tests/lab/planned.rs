//! A plan looks and touches nothing.

use crate::hosts::Lab;
use serde_json::Value;

const THREE: &str = "svcops: 1
name: three-acts
targets: dc1-app2
steps:
  - {name: Stop, app.stop: {app: billing}}
  - {name: Copy, file.copy: {content: \"workers = 8\\n\", dest: /etc/billing/billing.conf}}
  - {name: Start, app.start: {app: billing}}
";

#[test]
fn a_plan_changes_nothing() {
    let Some(lab) = Lab::take("a_plan_changes_nothing") else { return };
    let crm = lab.crm();
    crm.file("runbooks/three-acts.yaml", THREE);
    let (before, balanced) = (lab.seen(), Lab::balanced());

    let plan = crm.svcops(&["plan", "runbooks/billing-restart.yaml"]).exits(0).says("/etc/billing/billing.conf");
    crm.svcops(&["plan", "runbooks/billing-restart.yaml", "--detailed-exitcode"]).exits(10);
    crm.svcops(&["plan", "runbooks/three-acts.yaml"]).exits(0);

    assert_eq!(lab.seen(), before, "{plan}");
    assert_eq!(Lab::balanced(), balanced, "{plan}");
}

#[test]
fn stop_copy_start_is_planned_as_three_acts() {
    let Some(lab) = Lab::take("stop_copy_start_is_planned_as_three_acts") else { return };
    let crm = lab.crm();
    crm.file("runbooks/three-acts.yaml", THREE);

    let plan = crm.svcops(&["plan", "runbooks/three-acts.yaml", "-o", "json"]).exits(0).json();

    let tasks = plan["tasks"].as_array().unwrap();
    let steps: Vec<&str> = tasks.iter().map(|task| task["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["Stop", "Copy", "Start"]);
    for task in tasks {
        assert_eq!(task["changes"].as_array().map(Vec::len), Some(1), "{plan:#}");
        assert_eq!(task["certainty"], Value::from("exact"), "{plan:#}");
        assert_eq!(task["host"], "dc1-app2");
    }
}

#[test]
fn a_saved_plan_is_carried_out_and_refused_after_drift() {
    let Some(lab) = Lab::take("a_saved_plan_is_carried_out_and_refused_after_drift") else { return };
    let crm = lab.crm();
    crm.file("runbooks/three-acts.yaml", THREE);
    crm.svcops(&["plan", "runbooks/three-acts.yaml", "--save", "plan.json"]).exits(0);
    let before = lab.seen();

    // Somebody has copied that file meanwhile: what was looked at and agreed to no longer holds.
    lab.on("dc1-app2", "printf 'workers = 8\\n' | sudo tee /etc/billing/billing.conf");
    let drifted = lab.seen();
    crm.svcops(&["run", "--plan", "plan.json", "--yes"]).exits(77).says("no longer holds");
    assert_eq!(lab.seen(), drifted, "a refused run touches nothing");

    lab.on("dc1-app2", "sudo rm /etc/billing/billing.conf");
    crm.svcops(&["run", "--plan", "plan.json", "--yes"]).exits(0);
    assert_eq!(lab.on("dc1-app2", "cat /etc/billing/billing.conf"), "workers = 8\n");
    assert_ne!(lab.seen_on("dc1-app2").unit, before["dc1-app2"].unit);
}
