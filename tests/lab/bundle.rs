//! A bundle on another machine: one that has svcops, and nothing else of the run.

use crate::{hosts::Lab, support::Project};
use std::{fs::File, process::Stdio};

#[test]
fn a_bundle_is_checked_on_another_host() {
    let Some(lab) = Lab::take("a_bundle_is_checked_on_another_host") else { return };
    let project = Project::new("project: crm\nhosts:\n  here: {local: true}\n");
    project.file("runbooks/x.yaml", "svcops: 1\nname: x\ntargets: here\nsteps:\n  - command: {run: 'echo готово'}\n");
    project.svcops(&["run", "x", "--yes", "-q"]).exits(0);
    project.svcops(&["history", "export", "last", "--to", "x.tar"]).exits(0);
    let host = "dc2-app1";
    let folder = "/tmp/svcops-bundle";
    let put = |from: &std::path::Path, name: &str| {
        let text = format!("mkdir -p {folder} && cat > {folder}/{name} && chmod 700 {folder}/{name}");
        let mut copy = lab.ssh(host);
        assert!(copy.arg(text).stdin(Stdio::from(File::open(from).unwrap())).status().unwrap().success());
    };
    put(std::path::Path::new(env!("CARGO_BIN_EXE_svcops")), "svcops");
    put(&project.root().join("x.tar"), "x.tar");
    let there = |text: &str| {
        lab.on(host, &format!("cd {folder}; HOME={folder}/none ./svcops history verify x.tar 2>&1; {text}"))
    };
    let whole = there("echo exit $?");
    let edit = "printf X | dd of=x.tar bs=1 seek=9000 conv=notrunc 2>/dev/null";
    let edited =
        lab.on(host, &format!("cd {folder}; {edit}; HOME={folder}/none ./svcops history verify x.tar; echo exit $?"));
    lab.on(host, &format!("rm -rf {folder}"));
    assert!(whole.contains("the events, and all") && whole.contains("exit 0"), "{whole}");
    assert!(edited.contains("FAULT") && edited.contains("exit 2"), "{edited}");
}
