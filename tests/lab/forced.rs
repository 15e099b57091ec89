//! A site loses its power, the other one is forced, and the old primary comes back.

use crate::{
    pair::{DATABASE, Pair, SERVICE},
    writer::{DATABASES, FRONT, Writer, sql, try_sql},
};
use serde_json::Value;
use std::time::Duration;

const OLD: &str = "dc1-db1";
const JOURNAL: &str = "sudo journalctl -b -u postgresql@15-main --no-pager -o cat";

#[test]
fn a_primary_that_comes_back_after_a_forced_failover_refuses_to_serve_and_rejoins() {
    let name = "a_primary_that_comes_back_after_a_forced_failover_refuses_to_serve_and_rejoins";
    let Some(pair) = Pair::take(name) else { return };
    let crm = pair.with(DATABASE, SERVICE);
    crm.svcops(&["failover", "prepare", "crm", "--yes"]).exits(0);
    crm.svcops(&["failover", "prepare", "crm", "--yes"]).exits(0).says("nothing to do");
    let doctor = crm.svcops(&["doctor", "-l", "role=db", "-o", "json"]).json();
    let is_ready = |one: &&Value| one["says"].as_str().unwrap().ends_with("also a forced one");
    assert_eq!(doctor["findings"].as_array().unwrap().iter().filter(is_ready).count(), 2, "{doctor:#}");
    let status = crm.svcops(&["status", "-o", "json"]).json();
    let services = status["sections"].as_array().unwrap().iter().find(|part| part["section"] == "services").unwrap();
    assert_eq!(services["items"][0]["active"]["at"], "dc1", "{services:#}");
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
    let moves = crm.svcops(&["failover", "history", "crm", "-o", "json"]).exits(0).json();
    let forced = moves["moves"].as_array().unwrap().iter().find(|one| one["stated"].is_object());
    let number =
        |of: &str, key: &str| forced.and_then(|one| one[of][key].as_u64()).unwrap_or_else(|| panic!("{moves}"));
    let (least, most) = (number("stated", "least_bytes"), number("stated", "most_bytes"));
    let lost = number("found", "lost_bytes");
    assert!((least..=most).contains(&lost), "{moves:#}");
    assert_eq!(forced.unwrap()["found"]["within_stated_bytes"], true, "{moves:#}");
    println!("lost: {lost} bytes, {least} to {most} were stated");
    // home again, in the usual way
    crm.svcops(&["failover", "crm", "--to", "dc1", "--confirm", "dc1"]).exits(0);
    pair.serves_from(OLD);
}
