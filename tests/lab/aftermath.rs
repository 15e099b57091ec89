//! What must be true after every fault that was seen to its end: no event lost, and nothing left on a host or here.

use crate::{
    hosts::Lab,
    support::{Ended, Project},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What a few hosts had of svcops before a test's fault.
pub struct Aftermath<'l> {
    lab: &'l Lab,
    before: BTreeMap<&'static str, BTreeSet<String>>,
}

impl<'l> Aftermath<'l> {
    /// Looks at the hosts before anything happens to them.
    pub fn of(lab: &'l Lab, hosts: &[&'static str]) -> Self {
        Self { lab, before: hosts.iter().map(|host| (*host, traces(lab, host))).collect() }
    }

    /// Holds all that must be true once the faults are over and every run has come to its end: the journal is whole, the
    /// hosts have no process and no file of svcops that they did not have before (what an undo would need stays), and no
    /// connection of the project is left on this machine.
    #[track_caller]
    pub fn is_clean(&self, project: &Project) {
        journal_is_whole(project);
        nothing_runs_here(project);
        self.hosts_are_clean();
    }

    /// As [`Aftermath::is_clean`], but for this machine: where svcops itself was killed its connections stay for as long
    /// as an idle one may.
    #[track_caller]
    pub fn hosts_are_clean(&self) {
        for (host, before) in &self.before {
            let left = || traces(self.lab, host).into_iter().filter(|t| !before.contains(t));
            // what was told to end may need a moment for it
            let left = until_empty(|| left().collect());
            assert!(left.is_empty(), "left on {host}: {left:#?}");
        }
    }
}

/// Holds that the journal's chain is whole and that each run in it tells what became of every act that it announced.
#[track_caller]
pub fn journal_is_whole(project: &Project) {
    project.svcops(&["history", "verify"]).exits(0);
    for row in runs(project) {
        let run = row["run"].as_str().unwrap();
        let events = project.events(run);
        let numbers: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
        assert!(numbers.windows(2).all(|two| two[0] + 1 == two[1]), "{run}: {numbers:?}");
        if ["unknown", "interrupted", "stopped"].contains(&row["outcome"].as_str().unwrap()) {
            continue;
        }
        let of = |kind: &str| -> Vec<(Value, Value)> {
            let mine = events.iter().filter(|event| event["event"] == kind);
            mine.map(|event| (event["task"].clone(), event["way"].clone())).collect()
        };
        let known: Vec<_> = ["carried", "resolved", "ended"].into_iter().flat_map(of).collect();
        for announced in of("announced") {
            assert!(known.contains(&announced), "{run}: what became of {announced:?} is not told");
        }
    }
}

/// Holds that every event that svcops streamed (`-o jsonl`) is in the journal, as it was told.
#[track_caller]
pub fn no_event_is_lost(project: &Project, streamed: &Ended) {
    for event in streamed.lines() {
        let Some(seq) = event["seq"].as_u64() else { continue };
        let run = event["run"].as_str().unwrap();
        let kept = project.events(run).into_iter().find(|kept| kept["seq"] == seq);
        assert_eq!(kept.as_ref(), Some(&event), "{run}");
    }
}

/// Holds that no process of this machine belongs to svcops in that project any more.
#[track_caller]
pub fn nothing_runs_here(project: &Project) {
    let mark = format!("HOME={}", project.home().display());
    let found = || {
        let all = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        all.filter(|path| {
            let environment = std::fs::read(path.join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|word| word == mark.as_bytes())
        })
        .map(|path| {
            let words = std::fs::read(path.join("cmdline")).unwrap_or_default();
            format!("{}: {}", path.display(), String::from_utf8_lossy(&words).replace('\0', " "))
        })
        .collect()
    };
    let left = until_empty(found);
    assert!(left.is_empty(), "left on this machine: {left:#?}");
}

fn runs(project: &Project) -> Vec<Value> {
    let list = project.svcops(&["history", "list", "-o", "json"]).exits(0).json();
    list["runs"].as_array().unwrap().clone()
}

/// Asks again, for ten seconds at most, until nothing is left.
fn until_empty(mut left: impl FnMut() -> BTreeSet<String>) -> BTreeSet<String> {
    for _ in 0..50 {
        if left().is_empty() {
            return BTreeSet::new();
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    left()
}

/// What a host has of svcops, and of anything that was started through ssh (but for this look itself).
fn traces(lab: &Lab, host: &str) -> BTreeSet<String> {
    lab.on(host, TRACES).lines().map(str::to_owned).collect()
}

/// A host's `/var/lib/svcops` shows this machine's own below it, and what an undo needs stays there: only half-written
/// files count. Without pam_systemd whatever was begun by ssh stays in sshd's own control group, whoever is its parent by now.
const TRACES: &str = r#"own=$(ps -o sid= -p $$)
ps -eo sid=,stat=,cgroup:200=,args= | while read -r sid stat cgroup args; do
    case $cgroup in *ssh.service*) ;; *) continue ;; esac
    case $stat:$sid:$args in Z* | *:$((own)):* | *:"sshd: "*) continue ;; esac
    echo "process $args"
done
sudo find /tmp/svcops-* -mindepth 1 -printf 'file %p\n' 2> /dev/null
sudo find /var/lib/svcops/undo -path '*/undo/*/.*' -printf 'file %p\n' 2> /dev/null
sudo find /etc /opt /srv /var/tmp -xdev -name '.*.svcops-*' -printf 'file %p\n' 2> /dev/null
true"#;
