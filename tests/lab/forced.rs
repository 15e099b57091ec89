//! A site loses its power, the other one is forced, and the old primary comes back.

use crate::{
    pair::{DATABASE, Pair, SERVICE},
    support::Project,
    writer::{DATABASES, FRONT, Writer, sql, try_sql},
};
use serde_json::Value;
use std::time::Duration;

const OLD: &str = "dc1-db1";
const JOURNAL: &str = "sudo journalctl -b -u postgresql@15-main --no-pager -o cat";

/// The only run of that runbook, with all its events.
fn run_of(crm: &Project, runbook: &str) -> Value {
    let listed = crm.svcops(&["history", "list", "-o", "json"]).exits(0).json();
    let runs = listed["runs"].as_array().unwrap();
    let found: Vec<_> = runs.iter().filter(|run| run["runbook"] == runbook).collect();
    assert_eq!(found.len(), 1, "{runbook}: {listed:#}");
    crm.svcops(&["history", "show", found[0]["run"].as_str().unwrap(), "-o", "json"]).exits(0).json()
}

/// The first value that stands under this key, however deep.
fn deep<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(key).or_else(|| map.values().find_map(|value| deep(value, key))),
        Value::Array(list) => list.iter().find_map(|value| deep(value, key)),
        _ => None,
    }
}

#[test]
fn a_primary_that_comes_back_after_a_forced_failover_refuses_to_serve_and_rejoins() {
    let name = "a_primary_that_comes_back_after_a_forced_failover_refuses_to_serve_and_rejoins";
    let Some(pair) = Pair::take(name) else { return };
    let crm = pair.with(DATABASE, SERVICE);
    crm.svcops(&["failover", "prepare", "crm", "--yes"]).exits(0);
    crm.svcops(&["failover", "prepare", "crm", "--yes"]).exits(0).says("nothing to do");
    // nobody here waits half a minute for a host that was cut off
    pair.on(OLD, "sudo sed -i s/^patience=30/patience=3/ /usr/local/lib/svcops/boot-fence-crm-db");
    crm.svcops(&["failover", "crm", "--to", "dc2", "--forced", "--accept-loss", "--confirm", "dc2"])
        .exits(2)
        .says("`dc1` is not lost, its primary answers");

    let writer = Writer::start("client", FRONT);
    std::thread::sleep(Duration::from_millis(500));
    pair.loses_power("dc1-*");
    let force = |more: &[&str]| crm.svcops(&[&["failover", "crm", "--to", "dc2", "--forced"], more].concat());
    let words = ["--unfenced", "mkr: dc1 has no power"];
    force(&["--accept-loss", "--confirm", "dc2"]).exits(2).says("nothing proves that").says("serve nobody");
    force(&words).exits(2).says("at least 0 B and 0s, at most about").says("database `crm-db` on `dc1-db1`");
    force(&[&words[..], &["--accept-loss", "--confirm", "dc2"]].concat()).exits(0);
    drop(writer.stop());
    sql(DATABASES[1].1, "INSERT INTO lab_rows VALUES ('after', 1)");

    // back, while nobody can say who is the primary
    pair.cut("dc2-db1");
    assert!(!pair.tries(&["up", OLD]), "all its units run");
    let said = pair.on(OLD, JOURNAL);
    assert!(said.contains("boot fence: not started: `dc2-db1` (10.77.0.23:5432) does not answer"), "{said}");
    assert!(try_sql(DATABASES[0].1, "SELECT 1").is_err());
    // and while the other one can be asked
    pair.heal("dc2-db1");
    let started =
        pair.on(OLD, "sudo systemctl start postgresql@15-main 2>&1; sudo systemctl status postgresql@15-main; :");
    let reason = "boot fence: not started: `dc2-db1` (10.77.0.23:5432) is the primary now, on timeline 2";
    assert!(started.contains(reason), "{started}");
    assert!(try_sql(DATABASES[0].1, "SELECT 1").is_err());

    pair.lab(&["up", "dc1-app1", "dc1-app2"]);
    crm.svcops(&["failover", "rejoin", "crm", "--yes"]).exits(0).says("within what was stated");
    pair.serves_from("dc2-db1");
    crm.svcops(&["failover", "rejoin", "crm", "--yes"]).exits(0).says("nothing to do");
    let (forced, rejoined) = (run_of(&crm, "failover-crm-to-dc2"), run_of(&crm, "failover-rejoin-crm"));
    let lost = deep(&rejoined, "lost_bytes").unwrap().as_u64().unwrap();
    let bound = |key| deep(&forced, key).unwrap().as_u64().unwrap();
    assert!((bound("lost_at_least_bytes")..=bound("lost_at_most_bytes")).contains(&lost), "{lost}\n{forced:#}");
    println!("lost: {lost} bytes, at most {} were stated", bound("lost_at_most_bytes"));
    // home again, in the usual way
    crm.svcops(&["failover", "crm", "--to", "dc1", "--confirm", "dc1"]).exits(0);
    pair.serves_from(OLD);
}
