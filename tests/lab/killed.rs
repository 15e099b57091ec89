//! `kill -9` of svcops between any two moments of a run on real hosts.

use crate::{
    hosts::{Lab, all_ready},
    support::{Project, is},
};

const RUNBOOK: &str = "svcops: 1
name: new-configuration
title: Новая настройка, узел за узлом
targets: role=app, site=dc1
steps:
  - name: Node by node
    rolling: {batch: 1}
    steps:
      - {name: Drain, haproxy.drain: {balancer: front, backend: billing, server: '{{ host.name }}', within: 30s}}
      - name: New configuration
        file.copy: {src: files/billing.conf, dest: /etc/billing/billing.conf}
        then: [{app.restart: {app: billing}}]
      - {name: Enable, haproxy.enable: {balancer: front, backend: billing, server: '{{ host.name }}'}}
";

#[test]
fn a_run_that_is_killed_is_resumed_and_repeats_nothing() {
    let Some(lab) = Lab::take("a_run_that_is_killed_is_resumed_and_repeats_nothing") else { return };
    for part in 1..=5 {
        lab.reset();
        let crm = lab.crm();
        let starts = starts(&lab);
        let run = killed_in_part(&crm, part);

        let ended = crm.svcops(&["resume", &run, "--yes"]).exits(0);

        for (host, before, after) in both(&starts, &self::starts(&lab)) {
            assert_eq!(after, before + 1, "{host} was restarted once, killed in part {part}\n{ended}");
            assert!(lab.on(host, "cat /etc/billing/billing.conf").contains("workers = 4"), "{host}");
        }
        assert_eq!(Lab::balanced(), all_ready(), "killed in part {part}\n{ended}");
        assert_eq!(crm.outcome(&run), "done");
    }
}

#[test]
fn a_run_that_is_killed_is_rolled_back_to_what_was() {
    let Some(lab) = Lab::take("a_run_that_is_killed_is_rolled_back_to_what_was") else { return };
    for part in 1..=5 {
        lab.reset();
        let crm = lab.crm();
        let before = lab.seen();
        let run = killed_in_part(&crm, part);

        let ended = crm.svcops(&["rollback", &run, "--yes"]).exits(0);

        for (host, seen) in lab.seen() {
            assert_eq!(seen.files, before[&host].files, "{host}, killed in part {part}\n{ended}");
            assert_eq!(seen.unit.matches("ActiveState=active").count(), 2, "{host}\n{ended}");
        }
        assert_eq!(Lab::balanced(), all_ready(), "killed in part {part}\n{ended}");
        assert_eq!(crm.outcome(&run), "rolled_back");
    }
}

/// Kills a run in the middle of one of its five parts (the parts are equal in their number of events), and holds what is
/// true of every interrupted run.
fn killed_in_part(crm: &Project, part: usize) -> String {
    crm.file("runbooks/new.yaml", RUNBOOK);
    let mut running = crm.stream(&["run", "runbooks/new.yaml", "--yes"]);
    let seen: Vec<_> = std::iter::from_fn(|| running.event()).take(part * EVENTS / 5 - EVENTS / 10).collect();
    assert!(!seen.iter().any(|event| is(event, "finished")), "the run is shorter than {EVENTS} events");
    running.kill();

    let newest = crm.newest();
    assert_eq!(newest["outcome"], "interrupted", "{newest}");
    if seen.iter().any(|event| is(event, "announced")) {
        crm.svcops(&["run", "runbooks/new.yaml", "--yes"]).exits(75);
    }
    newest["run"].as_str().unwrap().to_owned()
}

/// The events of that run, about.
const EVENTS: usize = 35;

fn starts(lab: &Lab) -> [(&'static str, usize); 2] {
    ["dc1-app1", "dc1-app2"].map(|host| {
        let told = lab.on(host, "sudo journalctl -q -u billing -o cat | grep -c 'listening on' || true");
        (host, told.trim().parse().unwrap())
    })
}

fn both<'a>(
    before: &'a [(&'static str, usize)],
    after: &'a [(&'static str, usize)],
) -> impl Iterator<Item = (&'static str, usize, usize)> + 'a {
    before.iter().zip(after).map(|((host, before), (_, after))| (*host, *before, *after))
}
