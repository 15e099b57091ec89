//! A host whose port is nobody's.

use crate::support::Project;

/// Port 1 of this machine: nobody listens there, and it says so at once.
const INVENTORY: &str = "project: crm
hosts:
  here: {local: true}
  shut: {address: 127.0.0.1, ssh: {port: 1}}
";

fn runbook(policy: &str) -> String {
    format!(
        "svcops: 1\nname: mark\ntargets: 'all'\non_failure: {policy}\nsteps:\n  - {{name: Mark, command: 'echo done >> marks'}}\n"
    )
}

fn project(policy: &str) -> Project {
    let project = Project::new(INVENTORY);
    let text = runbook(policy).replace("marks", &project.root().join("marks").display().to_string());
    project.file("runbooks/mark.yaml", &text);
    project
}

#[test]
fn a_host_that_refuses_is_named_by_the_plan_though_the_step_looks_at_nothing() {
    let project = project("rollback");
    project.svcops(&["plan", "runbooks/mark.yaml"]).exits(1).says("shut").says("refused");
    let ended = project.svcops(&["run", "runbooks/mark.yaml", "--yes"]).exits(1).says("shut");
    assert!(!project.root().join("marks").exists(), "nothing is touched where one of all does not answer\n{ended}");
    project.svcops(&["history", "verify"]).exits(0);
}

#[test]
fn a_host_that_refuses_holds_the_others_up_for_seconds_and_is_a_plain_failure() {
    let project = project("continue");
    let ended = project.svcops(&["run", "runbooks/mark.yaml", "--yes"]).exits(3).says("shut").says("refused");
    let marks = std::fs::read_to_string(project.root().join("marks")).unwrap();
    assert_eq!(marks, "done\n", "the other goes its way\n{ended}");
    project.svcops(&["history", "verify"]).exits(0);
}
