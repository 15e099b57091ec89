//! A secret that is handed to a command on a host.

use crate::{hosts::Lab, support::is};

const RUNBOOK: &str = "svcops: 1
name: secret
targets: dc1-app1
steps:
  - name: Mark
    command: {run: 'sleep 2; printf %s \"$TOKEN\" | sha256sum >> /var/tmp/svcops-marks', env: {TOKEN: \"{{ secret('tsig') }}\"}}
    undo: [{command: 'rm -f /var/tmp/svcops-marks'}]
";
const SECRET: &str = "Zq7-tsig-key-Xw4";

#[test]
fn no_process_here_or_there_shows_a_secret() {
    let Some(lab) = Lab::take("no_process_here_or_there_shows_a_secret") else { return };
    let crm = lab.crm();
    crm.file("runbooks/secret.yaml", RUNBOOK);
    crm.file("../home/.config/svcops/tsig", SECRET);

    let mut running = crm.stream(&["run", "runbooks/secret.yaml", "--yes"]);
    running.until(|event| is(event, "announced")).expect("it is announced");
    lab.on("dc1-app1", "until pgrep -x sleep > /dev/null; do :; done");
    let there =
        lab.on("dc1-app1", "ps -eo args; sudo find / -xdev -type f -newer /proc/1 -path '*svcops*' -exec cat {} +");
    let here = std::process::Command::new("ps").args(["-eo", "args"]).output().unwrap();
    let ended = running.finish().exits(0);

    assert!(there.contains("sleep 2"), "the command was seen at work");
    for (place, text) in
        [("there", there.as_str()), ("here", &String::from_utf8_lossy(&here.stdout)), ("said", &ended.to_string())]
    {
        assert!(!text.contains(SECRET), "{place}: {text}");
    }
    let mark = lab.on("dc1-app1", "cat /var/tmp/svcops-marks; printf %s Zq7-tsig-key-Xw4 | sha256sum");
    let sums: Vec<&str> = mark.lines().collect();
    assert_eq!(sums[0], sums[1], "the command had it");
}
