//! A service moves from one data centre to the other under clients that write, and back.

use crate::{
    pair::Pair,
    sampler::Watch,
    support::{Ended, Project},
    writer::{DATABASES, FRONT, Writer},
};
use serde_json::Value;
use std::{
    io::Write as _,
    time::{Duration, Instant},
};

/// Asks for the switch, as a person does who types the site's name.
pub fn switch(crm: &Project, to: &str) -> Ended {
    crm.svcops(&["failover", "crm", "--to", to, "--confirm", to])
}

#[test]
fn a_service_moves_there_and_back_three_times_and_no_acknowledged_row_is_lost() {
    let name = "a_service_moves_there_and_back_three_times_and_no_acknowledged_row_is_lost";
    let Some(pair) = Pair::take(name) else { return };
    let crm = pair.crm();
    let (writer, watch) = (Writer::start("client", FRONT), Watch::start());
    let mut moves = Vec::new();
    for to in ["dc2", "dc1"].repeat(3) {
        std::thread::sleep(Duration::from_millis(300));
        let began = Instant::now();
        let ended = crm.svcops(&["failover", "crm", "--to", to, "--confirm", to, "-o", "json"]).exits(0);
        moves.push((began, Instant::now(), ended.json()));
        pair.serves_from(&format!("{to}-db1"));
    }
    let (written, seen) = (writer.stop(), watch.stop());

    seen.never_two(moves.len());
    for by in seen.written.iter().chain([&written]) {
        assert_eq!(by.lost(DATABASES[0].1), Vec::<u64>::new(), "{}", by.name);
    }
    let mut outages = Vec::new();
    for (began, until, told) in &moves {
        let outage = i64::try_from(written.outage(*began, *until).as_millis()).unwrap();
        outages.push(outage);
        let said = &told["outages"][0];
        let of = |value: &Value| value.as_i64().unwrap();
        let phases: i64 = said["phases"].as_array().unwrap().iter().map(|phase| of(&phase["ms"])).sum();
        for told in [of(&said["outage_ms"]), phases] {
            assert!((told - outage).abs() <= 50, "the client was without it for {outage} ms\n{said:#}");
        }
        assert_eq!((&said["rto_met"], &said["rpo_met"]), (&true.into(), &true.into()), "{said:#}");
        let run = told["run"].as_str().unwrap();
        crm.svcops(&["report", run]).exits(0).says("Outage").says("Promote crm-db");
        let ticket = crm.svcops(&["history", "show", run, "-o", "json"]).exits(0).json()["ticket"].clone();
        let said = crm.svcops(&["ticket", "show", ticket.as_str().unwrap()]).exits(0);
        said.says(&format!("outage    `crm`: {} ms", told["outages"][0]["outage_ms"])).says("Promote crm-db");
    }
    outages.sort_unstable();
    // past the capture of test output: a run of all tests shows it
    let line = format!("outages of six switches, ms: {outages:?}, median {}\n", outages[3]);
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}
