//! What goes wrong while a service moves, done for real: how it ends, in which words, and that there never are two primaries.

use crate::{
    cut::connected,
    failover::switch,
    pair::{DATABASE, Pair, SERVICE},
    sampler::Watch,
    support::{Ended, Project, Running, is},
    writer::{DATABASES, FRONT, Writer, Written, sql},
};
use serde_json::Value;
use std::time::Duration;

const SOURCE: &str = "dc1-db1";
const TARGET: &str = "dc2-db1";
const SWITCH: [&str; 6] = ["failover", "crm", "--to", "dc2", "--confirm", "dc2"];

/// Clients, and those who would see two primaries, from before a fault until all is settled.
struct Scene {
    pair: Pair,
    crm: Project,
    writer: Writer,
    watch: Watch,
}

impl Scene {
    fn set(test: &str) -> Option<Self> {
        Self::with(test, DATABASE, SERVICE)
    }
    fn with(test: &str, database: &str, service: &str) -> Option<Self> {
        let pair = Pair::take(test)?;
        let crm = pair.with(database, service);
        let (writer, watch) = (Writer::start("client", FRONT), Watch::start());
        Some(Self { pair, crm, writer, watch })
    }
    /// A switch is under way, and has come to the announcement of a change.
    fn until_announced(&self, change: &str) -> Running {
        let mut running = self.crm.stream(&SWITCH);
        let found = running.until(|event| announces(event, change));
        assert!(found.is_some(), "no `{change}` was announced: {}", running.finish());
        running
    }
    /// The target is cut off until it is held for lost, and is back.
    fn away(&self) {
        self.pair.cut(TARGET);
        // somebody else may have a connection of his own there: not for ever
        for _ in 0..160 {
            if !connected(DATABASES[1].1) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.pair.heal(TARGET);
    }
    fn run(&self) -> String {
        self.crm.newest()["run"].as_str().unwrap().to_owned()
    }
    fn outcome(&self) -> Value {
        self.crm.newest()["outcome"].clone()
    }
    fn resume(&self) -> Ended {
        self.crm.svcops(&["resume", &self.run(), "--yes"])
    }
    /// The service is where it was, or moved; it went from one to the other so many times, and nobody lost a row.
    #[track_caller]
    fn ends_at(self, host: &str, switches: usize) {
        self.pair.serves_from(host);
        std::thread::sleep(Duration::from_millis(100));
        let (written, seen) = (self.writer.stop(), self.watch.stop());
        seen.never_two(switches);
        let address = DATABASES.iter().find(|(name, _)| *name == host).unwrap().1;
        for by in seen.written.iter().chain([&written]) {
            assert_eq!(by.lost(address), Vec::<u64>::new(), "{}", by.name);
        }
        serves_again(&written);
    }
}

/// The client's last try was answered.
#[track_caller]
fn serves_again(written: &Written) {
    let (last, failed) = (written.commits.last().unwrap().began, written.failed.last().map(|(at, _)| *at));
    assert!(failed.is_none_or(|failed| failed < last), "{:?}", written.failed.last());
}

fn announces(event: &Value, change: &str) -> bool {
    is(event, "announced") && event["way"] != "undo" && event["changes"].to_string().contains(&format!("\"{change}\""))
}

#[test]
fn a_target_that_cannot_promote_leaves_the_service_where_it_was() {
    let Some(scene) = Scene::set("a_target_that_cannot_promote_leaves_the_service_where_it_was") else { return };
    // where the server would leave itself the word
    scene.pair.on(TARGET, "sudo chmod 500 /var/lib/postgresql/15/main");
    switch(&scene.crm, "dc2").exits(1).says(TARGET).says("promote");
    assert_eq!(scene.outcome(), "rolled_back");
    scene.ends_at(SOURCE, 0);
}

#[test]
fn a_target_that_lags_beyond_the_rpo_is_refused_and_nothing_is_touched() {
    let name = "a_target_that_lags_beyond_the_rpo_is_refused_and_nothing_is_touched";
    let Some(scene) = Scene::set(name) else { return };
    scene.pair.on(TARGET, "sudo pkill -STOP -u postgres -f walreceiver");
    let ended = switch(&scene.crm, "dc2");
    scene.pair.on(TARGET, "sudo pkill -CONT -u postgres -f walreceiver");
    ended.exits(1).says(TARGET).says("and 0B is allowed").says("stands  nothing");
    scene.ends_at(SOURCE, 0);
}

#[test]
fn a_key_that_the_name_server_does_not_take_is_found_before_anything_is_touched() {
    let name = "a_key_that_the_name_server_does_not_take_is_found_before_anything_is_touched";
    let Some(scene) = Scene::set(name) else { return };
    scene.crm.file("../home/.config/svcops/tsig", "AAAA");
    switch(&scene.crm, "dc2").exits(2).says("its names could not follow").says("BADSIG");
    assert_eq!(scene.crm.svcops(&["history", "list", "-o", "json"]).exits(0).json()["runs"], serde_json::json!([]));
    scene.ends_at(SOURCE, 0);
}

#[test]
fn a_target_cut_off_before_the_point_of_no_return_is_waited_for_and_never_guessed_about() {
    let name = "a_target_cut_off_before_the_point_of_no_return_is_waited_for_and_never_guessed_about";
    let Some(scene) = Scene::set(name) else { return };
    let running = scene.until_announced("stop");
    scene.away();
    let ended = running.finish();
    // whichever way it went, it went all of it
    let moved = match ended.code {
        Some(0) => true,
        Some(1) => false,
        _ => panic!("{ended}"),
    };
    scene.ends_at(if moved { TARGET } else { SOURCE }, usize::from(moved));
}

#[test]
fn a_target_cut_off_while_it_is_promoted_is_found_out_once_it_is_back() {
    let Some(scene) = Scene::set("a_target_cut_off_while_it_is_promoted_is_found_out_once_it_is_back") else { return };
    let running = scene.until_announced("promote");
    scene.away();
    running.finish().exits(0);
    scene.ends_at(TARGET, 1);
}

/// The promotion's own program waits before, or after, it has told the server, for as long as a file is there.
fn held(test: &str, when: &str) -> Option<Scene> {
    // nobody waits a minute for clients that cannot be back yet
    let probe = SERVICE.lines().find(|line| line.contains("probe:")).unwrap();
    let database = DATABASE.replace("15/main}", "15/main, bin: /opt/held}");
    let scene = Scene::with(test, &database, &SERVICE.replace(&format!("{probe}\n"), ""))?;
    for host in [SOURCE, TARGET] {
        scene.pair.on(
            host,
            &format!("sudo sh -c '{HELD}'; sudo chmod 755 /opt/held/psql; sudo -u postgres touch /var/tmp/hold-{when}"),
        );
    }
    Some(scene)
}

/// A switch whose promotion is held.
fn until_held(scene: &Scene) -> Running {
    let running = scene.until_announced("promote");
    scene.pair.on(TARGET, "until [ -e /var/tmp/held ]; do sleep 0.01; done");
    running
}

const HELD: &str = r#"mkdir -p /opt/held; rm -f /var/tmp/held /var/tmp/hold-*; ln -sf /usr/lib/postgresql/15/bin/* /opt/held; rm /opt/held/psql
cat > /opt/held/psql << "EOF"
#!/bin/sh
hold() { if [ -e /var/tmp/hold-$1 ]; then : > /var/tmp/held; while [ -e /var/tmp/hold-$1 ]; do sleep 0.01; done; fi; }
case "$*" in *pg_promote*) ;; *) exec /usr/lib/postgresql/15/bin/psql "$@" ;; esac
hold before
/usr/lib/postgresql/15/bin/psql "$@"; code=$?
hold after
exit $code
EOF"#;
/// The promotion, as a run without a probe numbers it.
const PROMOTION: &str = "7@dc2-db1";
/// Whoever carries out the promotion is killed, with all that came from it.
const KILL: &str = "sudo pkill -KILL -s $(ps -o sid= -p $(pgrep -of /opt/held/psql)); sudo rm -f /var/tmp/hold-*";

#[test]
fn a_promotion_killed_before_it_took_effect_goes_on_once_a_person_has_looked() {
    let name = "a_promotion_killed_before_it_took_effect_goes_on_once_a_person_has_looked";
    let Some(scene) = held(name, "before") else { return };
    let running = until_held(&scene);
    scene.pair.on(TARGET, KILL);
    let ended = running.finish().exits(4).says(TARGET);
    assert_eq!(sql(DATABASES[1].1, "SELECT pg_is_in_recovery()"), ["t"], "{ended}");
    scene.crm.svcops(&["resolve", &scene.run(), PROMOTION, "not-done", "--reason", "она резервная"]).exits(0);
    let resumed = scene.resume();
    let moved = match resumed.code {
        Some(0) => true,
        Some(1) => false,
        _ => panic!("{ended}{resumed}"),
    };
    scene.ends_at(if moved { TARGET } else { SOURCE }, usize::from(moved));
}

#[test]
fn a_promotion_killed_after_it_took_effect_is_seen_and_the_service_moves() {
    let name = "a_promotion_killed_after_it_took_effect_is_seen_and_the_service_moves";
    let Some(scene) = held(name, "after") else { return };
    let running = until_held(&scene);
    scene.pair.on(TARGET, KILL);
    // nobody knows what the act said, and everybody can see what it did
    running.finish().exits(0);
    scene.ends_at(TARGET, 1);
}

#[test]
fn a_promotion_whose_answer_is_lost_before_it_took_effect_is_found_out() {
    let name = "a_promotion_whose_answer_is_lost_before_it_took_effect_is_found_out";
    let Some(scene) = held(name, "before") else { return };
    let running = until_held(&scene);
    // it goes on there by itself, where nobody hears of it
    scene.pair.on(TARGET, "sudo setsid sh -c 'sleep 1; rm -f /var/tmp/hold-*' > /dev/null 2>&1 < /dev/null &");
    scene.away();
    running.finish().exits(0);
    scene.ends_at(TARGET, 1);
}

#[test]
fn a_promotion_whose_answer_is_lost_after_it_took_effect_is_found_out() {
    let name = "a_promotion_whose_answer_is_lost_after_it_took_effect_is_found_out";
    let Some(scene) = held(name, "after") else { return };
    let running = until_held(&scene);
    scene.pair.on(TARGET, "sudo setsid sh -c 'sleep 1; rm -f /var/tmp/hold-*' > /dev/null 2>&1 < /dev/null &");
    scene.away();
    running.finish().exits(0);
    scene.ends_at(TARGET, 1);
}

#[test]
fn a_source_that_loses_its_power_while_it_stops_is_left_only_with_proof_that_it_ended() {
    let name = "a_source_that_loses_its_power_while_it_stops_is_left_only_with_proof_that_it_ended";
    let Some(scene) = Scene::set(name) else { return };
    let running = scene.until_announced("stop");
    scene.pair.loses_power(SOURCE);
    scene.pair.power_on(SOURCE);
    let ended = running.finish();
    if ended.code == Some(0) {
        // it was quicker than the plug: its control file says that it ended cleanly
        return scene.ends_at(TARGET, 1);
    }
    let ended = ended.says(SOURCE);
    assert_eq!(sql(DATABASES[1].1, "SELECT pg_is_in_recovery()"), ["t"], "nobody promoted it\n{ended}");
    scene.watch.stop().never_two(0);
    drop(scene.writer.stop());
}

#[test]
fn without_its_name_server_the_service_moves_and_the_name_is_owed() {
    let name = "without_its_name_server_the_service_moves_and_the_name_is_owed";
    let Some(scene) = Scene::set(name) else { return };
    scene.pair.on("lb", "sudo systemctl stop named");
    let ended = switch(&scene.crm, "dc2");
    scene.pair.on("lb", "sudo systemctl start named");
    assert_ne!(ended.code, Some(0), "{ended}");
    let ended = ended.says("crm.lab.test");
    let again = scene.resume();
    let again = if again.code == Some(0) { again } else { switch(&scene.crm, "dc2") };
    assert_eq!(again.code, Some(0), "{ended}{again}");
    scene.ends_at(TARGET, 1);
}

#[test]
fn without_its_balancer_nothing_moves() {
    let Some(scene) = Scene::set("without_its_balancer_nothing_moves") else { return };
    scene.pair.on("lb", "sudo systemctl stop haproxy");
    let ended = switch(&scene.crm, "dc2");
    scene.pair.on("lb", "sudo systemctl start haproxy");
    assert!([Some(1), Some(3)].contains(&ended.code), "{ended}");
    ended.says("lb");
    scene.ends_at(SOURCE, 0);
}
