//! The host lives on and its sshd does not.

use crate::{
    aftermath::{Aftermath, no_event_is_lost},
    hosts::Lab,
    support::is,
};

const RUNBOOK: &str = "svcops: 1
name: slow-mark
targets: dc2-app1
steps:
  - name: Mark
    command: {run: 'sleep 3; echo done >> /var/tmp/svcops-marks'}
    undo: [{command: 'rm -f /var/tmp/svcops-marks'}]
    timeout: 30s
";

const HOST: &str = "dc2-app1";

#[test]
fn an_act_outlives_the_sshd_that_began_it_and_is_done_once() {
    let Some(lab) = Lab::take("an_act_outlives_the_sshd_that_began_it_and_is_done_once") else { return };
    let crm = lab.crm();
    crm.file("runbooks/mark.yaml", RUNBOOK);
    let aftermath = Aftermath::of(&lab, &[HOST]);

    let sshd = || lab.on(HOST, "systemctl show -p MainPID --value ssh");
    let before = sshd();
    let mut running = crm.stream(&["run", "runbooks/mark.yaml", "--yes"]);
    running.until(|event| is(event, "announced")).expect("it is announced");
    lab.on(HOST, KILL_SSHD);
    let ended = running.finish().exits(0);

    assert_ne!(sshd(), before, "it was killed");
    assert_eq!(lab.on(HOST, "cat /var/tmp/svcops-marks"), "done\n", "{ended}");
    no_event_is_lost(&crm, &ended);
    aftermath.is_clean(&crm);
}

#[test]
fn a_host_whose_key_changed_between_plan_and_run_is_not_spoken_to() {
    let Some(lab) = Lab::take("a_host_whose_key_changed_between_plan_and_run_is_not_spoken_to") else { return };
    let crm = lab.crm();
    crm.file("runbooks/mark.yaml", RUNBOOK);
    let aftermath = Aftermath::of(&lab, &[HOST]);
    crm.svcops(&["plan", "runbooks/mark.yaml", "--save", "plan.json"]).exits(0);

    // what is known of it is another host's key: the same as if it showed another one
    let known = std::fs::read_to_string(lab.ssh_config().with_file_name("known_hosts")).unwrap();
    let others = known.lines().find_map(|line| line.strip_prefix("dc1-app1 ")).unwrap();
    let place = crm.home().join(".ssh/known_hosts");
    std::fs::write(&place, format!("{HOST} {others}\n")).unwrap();
    let config = std::fs::read_to_string(lab.ssh_config()).unwrap();
    let line = config.lines().find(|line| line.trim_start().starts_with("UserKnownHostsFile")).unwrap();
    let mine = config.replace(line, &format!("  UserKnownHostsFile {}", place.display()));
    std::fs::write(crm.home().join(".ssh/config"), mine).unwrap();

    let ended = crm.svcops(&["run", "runbooks/mark.yaml", "--yes"]).exits(1).says(HOST).says("host key");
    let ended = ended.says(&place.display().to_string()).says("nothing was touched");
    assert_eq!(lab.on(HOST, "cat /var/tmp/svcops-marks 2> /dev/null || true"), "", "{ended}");
    aftermath.is_clean(&crm);
}

#[test]
fn a_login_shell_that_is_no_sh_changes_nothing() {
    let Some(lab) = Lab::take("a_login_shell_that_is_no_sh_changes_nothing") else { return };
    let crm = lab.crm();
    crm.file("runbooks/mark.yaml", &RUNBOOK.replace("sleep 3; ", "sleep 0.1; "));
    let aftermath = Aftermath::of(&lab, &[HOST]);
    for shell in ["/usr/bin/fish", "/usr/bin/tcsh"] {
        lab.on(HOST, &format!("sudo usermod -s {shell} ops"));
        let ran = crm.svcops(&["run", "runbooks/mark.yaml", "--yes"]);
        let marks = lab.on(HOST, "cat /var/tmp/svcops-marks");
        let back = crm.svcops(&["rollback", "--yes", crm.newest()["run"].as_str().unwrap()]);
        lab.on(HOST, "sudo usermod -s /bin/bash ops");
        assert_eq!(marks, "done\n", "{shell}\n{ran}");
        ran.exits(0);
        back.exits(0);
    }
    aftermath.is_clean(&crm);
}

/// The listener and all of its children, as the kernel would when memory is short; systemd starts it again. The killing
/// is a unit of its own, since what was begun by ssh is in sshd's.
const KILL_SSHD: &str = "until pgrep -x sleep > /dev/null; do :; done
    main=$(systemctl show -p MainPID --value ssh)
    sudo systemd-run --quiet --collect sh -c \"sleep 0.2; kill -KILL $main \\$(ps -o pid= --ppid $main); sleep 1; systemctl restart ssh\"";
