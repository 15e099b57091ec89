//! What only asks leaves nothing running when whoever asked is gone.

use crate::{
    aftermath::{Aftermath, nothing_runs_here},
    hosts::Lab,
};
use std::process::{Command, Stdio};

const RUNBOOK: &str = "svcops: 1
name: asks
targets: dc2-app2
steps:
  - {name: Ask, check.command: {run: 'sleep 303'}, timeout: 60s}
";

const HOST: &str = "dc2-app2";

#[test]
fn a_plan_or_a_status_that_is_broken_off_leaves_no_command_on_its_hosts() {
    let Some(lab) = Lab::take("a_plan_or_a_status_that_is_broken_off_leaves_no_command_on_its_hosts") else { return };
    let slow = "apps:\n  slow:\n    hosts: dc2-app2\n    manager: {command: {start: 'true', stop: 'true', status: 'sleep 303'}}\n";
    for client in ["openssh", "native"] {
        let crm = lab.impatient(client);
        crm.file("runbooks/asks.yaml", RUNBOOK);
        let inventory = std::fs::read_to_string(crm.root().join("svcops.yaml")).unwrap();
        crm.file("svcops.yaml", &inventory.replacen("apps:\n", slow, 1));
        let aftermath = Aftermath::of(&lab, &[HOST]);
        let kinds = [&["plan", "runbooks/asks.yaml"][..], &["app", "status", "slow"], &["status"]];
        for signal in ["INT", "KILL"] {
            for words in kinds {
                let mut asking = crm.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
                lab.on(HOST, "until pgrep -f 'sleep 30[3]' > /dev/null; do sleep 0.02; done");
                let pid = asking.id().to_string();
                assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
                let ended = asking.wait().unwrap();
                assert_eq!(ended.code(), (signal == "INT").then_some(130), "{words:?}");
                lab.on(HOST, "timeout 20 sh -c 'while pgrep -f \"sleep 30[3]\" > /dev/null; do sleep 0.05; done'");
            }
            // a connection that nobody could close ends by its idle time
            if signal == "INT" {
                nothing_runs_here(&crm);
            }
        }
        aftermath.hosts_are_clean();
    }
}
