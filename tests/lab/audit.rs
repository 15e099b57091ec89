//! The audit stream in a real journald: a run on a host itself, and what that host's log then says of its journal.

use crate::hosts::Lab;
use std::{fs::File, path::Path, process::Stdio};

#[test]
fn the_journald_of_a_host_finds_a_run_that_was_edited_and_a_journal_that_was_thrown_away() {
    let Some(lab) = Lab::take("the_journald_of_a_host_finds_a_run_that_was_edited_and_a_journal_that_was_thrown_away")
    else {
        return;
    };
    let host = "dc2-app1";
    // a journal is known by its place: journald still has what earlier ones there have told
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let folder = format!("/tmp/svcops-audit-{}", now.as_millis());
    let put = |text: &str, from: Stdio| assert!(lab.ssh(host).arg(text).stdin(from).status().unwrap().success());
    let binary = Path::new(env!("CARGO_BIN_EXE_svcops"));
    put(
        &format!("mkdir -p {folder}/runbooks && cat > {folder}/svcops && chmod 700 {folder}/svcops"),
        File::open(binary).unwrap().into(),
    );
    let there = |text: &str| {
        lab.on(host, &format!("cd {folder}; export HOME={folder}; journalctl() {{ sudo -n journalctl -q \"$@\"; }}; {{ {text}; }} 2>&1"))
    };
    there(
        "printf 'project: crm\\naudit: syslog\\nhosts:\\n  here: {local: true}\\n' > svcops.yaml
         printf 'svcops: 1\\nname: works\\ntitle: Работы\\ntargets: here\\nsteps:\\n  - {name: Step-one, command: {run: \"echo готово\"}}\\n' > runbooks/works.yaml",
    );
    let run = there("./svcops run works --yes -q --state s --reason 'ночные работы'; echo exit $?");
    // journald has a line once it has read its socket
    let forms = there(
        "for n in 1 2 3 4 5 6 7 8 9; do journalctl -t svcops -o cat | grep -q 'ends: done' && break; sleep 0.2; done
         for form in cat short short-iso short-precise with-unit verbose json json-pretty json-seq export; do
           journalctl -t svcops -o $form > log.$form; ./svcops history verify --state s --against log.$form > said.$form
           echo $form $? $(grep -c '^held' said.$form)
         done; journalctl -t svcops -o cat",
    );
    let edited = there(
        "LC_ALL=C sed -i s/Step-one/Step-two/g s/journal.db
         journalctl -t svcops -o short-iso | ./svcops history verify --state s --against -; echo exit $?
         rm -rf s; ./svcops run works --yes -q --state s >/dev/null
         journalctl -t svcops -o short-iso | ./svcops history verify --state s --against -; echo exit $?",
    );
    let after = there("sleep 0.3; journalctl -t svcops -p warning -o cat");
    lab.on(host, &format!("rm -rf {folder}"));
    assert!(run.contains("exit 0"), "{run}");
    let read = [
        "cat",
        "short",
        "short-iso",
        "short-precise",
        "with-unit",
        "verbose",
        "json",
        "json-pretty",
        "json-seq",
        "export",
    ];
    for form in read {
        assert!(forms.contains(&format!("{form} 0 1\n")), "{form}: {forms}");
    }
    assert!(forms.contains("reason: ночные работы") && forms.contains("event=\""), "{forms}");
    assert_eq!(edited.matches("exit 2").count(), 2, "{edited}");
    assert!(edited.contains("FAULT") && edited.contains("is missing: its events up to"), "{edited}");
    assert!(after.contains("the journal is not what was written"), "{after}");
}
