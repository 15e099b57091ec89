//! `kill -9` of svcops in each phase of a switch, and its resumption.

use crate::{
    pair::Pair,
    sampler::Watch,
    support::is,
    writer::{DATABASES, FRONT, Writer},
};

/// When it is killed: a change is announced, or carried out.
const PHASES: [(&str, &str); 5] = [
    ("announced", "\"set_server\""),
    ("announced", "\"stop\""),
    ("announced", "\"promote\""),
    ("carried", "\"promote\""),
    ("announced", "\"follow\""),
];

#[test]
fn a_switch_that_is_killed_in_any_phase_is_resumed_to_its_end() {
    let name = "a_switch_that_is_killed_in_any_phase_is_resumed_to_its_end";
    let Some(pair) = Pair::take(name) else { return };
    let (writer, watch) = (Writer::start("client", FRONT), Watch::start());
    for (n, (kind, word)) in PHASES.into_iter().enumerate() {
        let crm = pair.crm();
        let to = if n.is_multiple_of(2) { "dc2" } else { "dc1" };
        let mut running = crm.stream(&["failover", "crm", "--to", to, "--confirm", to]);
        let announced = running.until(|event| is(event, "announced") && event["changes"].to_string().contains(word));
        let reached = announced.and_then(|begun| match kind {
            "carried" => running.until(|event| is(event, kind) && event["task"] == begun["task"]),
            _ => Some(begun),
        });
        assert!(reached.is_some(), "{kind} {word}: {}", running.finish());
        running.kill();
        let run = crm.newest()["run"].as_str().unwrap().to_owned();
        crm.svcops(&["resume", &run, "--yes"]).exits(0);
        assert_eq!(crm.outcome(&run), "done", "killed at {kind} {word}");
        pair.serves_from(&format!("{to}-db1"));
    }
    let (written, seen) = (writer.stop(), watch.stop());
    seen.never_two(PHASES.len());
    for by in seen.written.iter().chain([&written]) {
        assert_eq!(by.lost(DATABASES[1].1), Vec::<u64>::new(), "{}", by.name);
    }
}
