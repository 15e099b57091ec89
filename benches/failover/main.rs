//! How long clients are without their database while a service moves: `cargo bench --bench failover`, with the lab up
//! (`SVCOPS_LAB`, as the lab tests); `-- 5` for so many switches of each kind instead of ten there and ten back.
//!
//! A client writes through HAProxy all the while, and its longest wait between two commits is the outage. The floor is a
//! switch by hand as fast as a hand can be, on the same hosts in the same run. Where Patroni is installed (`lab install
//! patroni` before `lab up`) it is put over the same databases afterwards: `patronictl switchover` with HAProxy's checks as
//! they usually are and tuned, and svcops driving Patroni.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a bench that cannot go on says so")]
#![expect(clippy::indexing_slicing, clippy::print_stdout, reason = "JSON is indexed by its keys, figures are printed")]
#![expect(unreachable_pub, dead_code, reason = "the modules are shared with the lab's tests")]

#[path = "../../tests/lab/byhand.rs"]
mod byhand;
#[path = "../../tests/lab/hosts.rs"]
mod hosts;
#[path = "../../tests/lab/pair.rs"]
mod pair;
#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../../tests/lab/writer.rs"]
mod writer;

use byhand::ByHand;
use pair::{DATABASE, Pair, SERVICE};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    process::Command,
    time::{Duration, Instant},
};
use support::Project;
use writer::{DATABASES, FRONT, Writer, try_sql};

/// So many there and so many back, where nobody says how many.
const TRIES: usize = 10;

fn main() {
    let words = std::env::args().skip(1).find(|word| word != "--bench");
    let tries = words.map_or(TRIES, |word| word.parse().expect("how many switches"));
    let Some(pair) = Pair::take("the bench of failovers") else { return };
    println!("{:<44} {:>8} {:>8} {:>8} {:>8}", "outage as a client sees it, ms", "min", "median", "max", "failed");

    let mut hand = ByHand::ready(&pair);
    let floor = figure("by hand, tuned: the floor", tries * 2, |n| hand.switch(n % 2));
    drop(hand);

    let crm = pair.crm();
    figure("svcops; HAProxy by its socket, over ssh", tries, |n| drop(moved(&crm, n)));
    // as by hand
    let inventory = std::fs::read_to_string(crm.root().join("svcops.yaml")).unwrap();
    crm.file(
        "svcops.yaml",
        &inventory.replace("{host: lb, socket: /run/haproxy/admin.sock}", "{tcp: '10.77.0.5:9999'}"),
    );
    let mut phases = BTreeMap::new();
    let svcops = figure("svcops; HAProxy by TCP", tries * 2, |n| {
        take_in(&mut phases, &moved(&crm, n + tries % 2));
    });
    ratio("svcops to the floor", svcops, floor);
    for (phase, mut all) in phases {
        all.sort_unstable();
        println!(
            "  {phase:<72} {:>5} ms, {:>4} ms of it svcops's own",
            middle(&all, |of| of.0),
            middle(&all, |of| of.1)
        );
    }

    if !std::path::Path::new("/usr/bin/patroni").exists() {
        println!("Patroni is not installed: `tests/lab/lab install patroni` before `lab up`");
        return;
    }
    let mut usual = svcops;
    for (checks, name) in [("usual", "HAProxy asks every 1 s, fall 3"), ("tuned", "every 200 ms, fall 1")] {
        let patroni = Patroni::over(&pair, checks);
        let took = figure(&format!("patronictl switchover; {name}"), tries, |n| patronictl(&pair, n));
        if checks == "usual" {
            usual = took;
        } else {
            let crm = by_patroni(&pair);
            let driven =
                figure(&format!("svcops driving Patroni; {name}"), tries, |n| drop(moved(&crm, n + tries % 2)));
            ratio("svcops driving Patroni to patronictl", driven, took);
            ratio("patronictl, tuned, to svcops on PostgreSQL", took, svcops);
        }
        drop(patroni);
    }
    ratio("patronictl, as usual, to svcops on PostgreSQL", usual, svcops);
}

/// Patroni over the two databases, until it is dropped.
struct Patroni<'p>(&'p Pair);

impl<'p> Patroni<'p> {
    fn over(pair: &'p Pair, checks: &str) -> Self {
        let patroni = Self(pair);
        pair.lab(&["patroni", "up", checks]);
        // HAProxy has yet to see whom it calls the leader
        let until = Instant::now() + Duration::from_secs(20);
        while try_sql(FRONT, RECOVERS).is_err() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(100));
        }
        pair::make_table();
        patroni
    }
}

impl Drop for Patroni<'_> {
    fn drop(&mut self) {
        self.0.lab(&["patroni", "down"]);
    }
}

/// The service where Patroni sees to its database, and tells HAProxy who takes clients.
fn by_patroni(pair: &Pair) -> Project {
    let patroni = "    patroni: {url: 'http://{{ host.address }}:8008'}\n";
    let front = "      - balancer: {name: front, backend: crm-db, servers: role=db}\n";
    pair.with(&format!("{DATABASE}{patroni}"), &SERVICE.replace(front, ""))
}

/// So many switches under a client that writes; answers with the median outage.
fn figure(what: &str, tries: usize, mut switch: impl FnMut(usize)) -> Duration {
    let writer = Writer::start(what, FRONT);
    std::thread::sleep(Duration::from_millis(500));
    let mut spans = Vec::new();
    for n in 0..tries {
        let began = Instant::now();
        switch(n);
        std::thread::sleep(Duration::from_millis(300));
        spans.push((began, Instant::now()));
        while !(streams() && patroni_knows()) {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    let written = writer.stop();
    let address = usize::from(try_sql(DATABASES[0].1, RECOVERS).is_ok_and(|said| said == ["t"]));
    let lost = written.lost(DATABASES[address].1);
    assert!(lost.is_empty(), "{what}: acknowledged rows are lost: {lost:?}");
    let mut outages: Vec<Duration> = spans.iter().map(|(from, until)| written.outage(*from, *until)).collect();
    outages.sort_unstable();
    let ms = |at: usize| outages[at].as_millis();
    let failed = spans.iter().map(|(from, until)| written.failed(*from, *until)).sum::<usize>() / tries;
    println!("{what:<44} {:>8} {:>8} {:>8} {failed:>8}", ms(0), ms(tries / 2), ms(tries - 1));
    outages[tries / 2]
}

/// Moves the service to the site where it is not, and answers with what svcops says of it.
fn moved(crm: &Project, n: usize) -> Value {
    let to = if n.is_multiple_of(2) { "dc2" } else { "dc1" };
    crm.svcops(&["failover", "crm", "--to", to, "--confirm", to, "-o", "json"]).exits(0).json()
}

fn take_in(phases: &mut BTreeMap<String, Vec<(u64, u64)>>, told: &Value) {
    for phase in told["outages"][0]["phases"].as_array().unwrap() {
        let action = phase["action"].as_str().or(phase["phase"].as_str()).unwrap();
        let name = format!("{} {action}", phase["step"].as_str().unwrap_or_default());
        let of = |key: &str| phase[key].as_u64().unwrap_or_default();
        phases.entry(name).or_default().push((of("ms"), of("own_ms")));
    }
}

fn middle(all: &[(u64, u64)], of: impl Fn(&(u64, u64)) -> u64) -> u64 {
    let mut all: Vec<u64> = all.iter().map(of).collect();
    all.sort_unstable();
    all[all.len() / 2]
}

fn patronictl(pair: &Pair, n: usize) {
    let [(from, _), (to, _)] = if n.is_multiple_of(2) { DATABASES } else { [DATABASES[1], DATABASES[0]] };
    let order = "sudo -u postgres patronictl -c /etc/patroni/15-main.yml switchover crm --force";
    pair.on("dc1-db1", &format!("{order} --leader {from} --candidate {to}"));
}

/// One of the two is a standby and streams.
fn streams() -> bool {
    DATABASES.iter().any(|(_, address)| {
        try_sql(address, "SELECT status FROM pg_stat_wal_receiver").is_ok_and(|said| said == ["streaming"])
    })
}

/// Patroni, where it is there, has seen both by now: it tells of the old leader some seconds late.
fn patroni_knows() -> bool {
    let said = Command::new("curl").args(["-s", "-m", "1", "http://10.77.0.13:8008/cluster"]).output().unwrap();
    let cluster: Value = serde_json::from_slice(&said.stdout).unwrap_or_default();
    let well = |member: &Value| ["running", "streaming"].contains(&member["state"].as_str().unwrap_or_default());
    cluster["members"].as_array().is_none_or(|members| members.len() == 2 && members.iter().all(well))
}

fn ratio(what: &str, took: Duration, floor: Duration) {
    println!("{what:<44} {:>8.2}", took.as_secs_f64() / floor.as_secs_f64());
}

const RECOVERS: &str = "SELECT pg_is_in_recovery()";
