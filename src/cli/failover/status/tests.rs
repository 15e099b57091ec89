use super::*;
use crate::{
    base::RunId,
    cli::failover::moves::Kind,
    journal::{RunRow, event::End},
    survey::service::tests::{World, crm},
    ui::{history::Listed, screen::Screen},
};
use jiff::tz::TimeZone;

fn told(world: &World) -> Told {
    let inventory = crm();
    let seen = world.seen(&inventory, "crm");
    Told::of(&inventory, &inventory.services["crm"], (seen, &[]), None, Ok(vec![switched()]))
}

fn ending(expired: bool) -> Ending {
    let not_after = "2026-11-23T12:00:00Z".parse().unwrap();
    Ending { certificate: "billing".into(), host: "dc2-app1".into(), not_after, expired }
}

#[test]
fn a_certificate_at_its_end_speaks_against_a_switch_or_is_warned_of() {
    let (inventory, world) = (crm(), World::well());
    let of = |ending: &[Ending]| {
        let seen = world.seen(&inventory, "crm");
        Told::of(&inventory, &inventory.services["crm"], (seen, ending), None, Ok(vec![switched()]))
    };
    let expired = of(&[ending(true)]);
    let says = "the certificate `billing` on `dc2-app1` expired at 2026-11-23 12:00 UTC";
    assert_eq!((expired.now.checks.pass, expired.now.checks.against.as_slice()), (Some(false), &[says.to_owned()][..]));
    assert_eq!(expired.level(), Level::Warning);
    let soon = of(&[ending(false)]);
    assert_eq!((soon.now.checks.pass, soon.level()), (Some(true), Level::Warning));
    assert!(soon.now.seen.problems.iter().any(|p| p.says.contains("expires at")), "{:?}", soon.now.seen.problems);
    let told = |expired: &[bool]| {
        let ending: Vec<Ending> = expired.iter().map(|expired| ending(*expired)).collect();
        super::super::look::certificates("crm", "dc2", &ending)
    };
    assert!(told(&[false]).is_ok_and(|warning| warning.is_some()));
    let refused = told(&[false, true]).err().unwrap().message;
    assert!(refused.title.contains("refused"), "{}", refused.title);
}

fn drawn(world: &World) -> String {
    let text = draw::draw(&Screen::plain(80), &told(world), &TimeZone::UTC);
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "wider than 80: {line}");
    }
    text
}

fn switched() -> Move {
    let at = |second: i64| jiff::Timestamp::from_second(1_795_000_000 + second).unwrap();
    let row = RunRow {
        run: RunId::at_millis(1_795_000_000_000),
        project: "crm".into(),
        runbook: "failover-crm-to-dc1".into(),
        operator: "мария".into(),
        machine: "ops-1".into(),
        began: at(0),
        ended: Some(at(7)),
        outcome: Some(End::Done),
        exit_code: Some(0),
        changed: 9,
        owed: 0,
        head: 80,
    };
    Move {
        run: Listed { row, alive: false },
        kind: Kind::Switch,
        from: Some("dc2".into()),
        to: Some("dc1".into()),
        outage: None,
        accepted: None,
        lost: None,
        stated: None,
        found: None,
        through: true,
        touched: true,
        moved: true,
    }
}

#[test]
fn a_service_that_is_well_shows_its_parts_its_lag_and_that_it_could_be_moved() {
    insta::assert_snapshot!(drawn(&World::well()), @r"
    OK: `crm` is active at `dc1` (Учёт клиентов)

    PART                       DC1                  DC2
    balancer front/crm-db      takes traffic        none: maintenance
    app billing                2 of 2 run           none of 2 runs
    app portal                 2 of 2 run           2 of 2 run
    jobs settle.timer, settle  4 of 4 on            none of 4 on
    database crm-db            primary              standby
    record crm.lab.test        points here, TTL 5s  -
    command licence            2 of 2 active        none of 2 active

    replication  `dc1-db1` → `dc2-db1`: in step; RPO 16MB: met
    switch       to `dc2`: its checks would pass now
    --forced     ready: boot fence on `dc1-db1`, `dc2-db1`
    last switch  2026-11-18 11:06 switch dc2 → dc1, done; outage not measured; by
                 мария, run 01M7Q5CQG0
    last drill   never: `svcops failover drill crm` goes as far as can be undone
    ");
    let told = told(&World::well());
    assert_eq!(told.level(), Level::Ok);
    let json = told.json();
    assert_eq!(json["prechecks"], serde_json::json!({"to": "dc2", "pass": true, "against": []}));
    assert_eq!(json["forced"]["ready"], true);
    assert_eq!((&json["status"], &json["exit_code"]), (&"OK".into(), &0.into()));
    assert_eq!((&json["last_switch"]["to"], &json["last_drill"]), (&"dc1".into(), &Value::Null));
}

#[test]
fn two_primaries_are_the_first_thing_that_is_said() {
    let mut world = World::well();
    let sql = world.pg("dc1-db1").sql.clone();
    world.pg("dc2-db1").sql = sql;
    let text = drawn(&world);
    assert!(text.starts_with("CRITICAL: `crm` has TWO PRIMARIES (Учёт клиентов)\nCRITICAL  TWO PRIMARIES: "), "{text}");
    let told = told(&world);
    assert_eq!((told.level(), told.now.checks.pass), (Level::Critical, Some(false)));
    assert!(text.contains("would be refused now: two primaries accept writes"), "{text}");
}

#[test]
fn what_would_stop_a_switch_is_a_warning_in_the_words_of_its_checks() {
    let mut world = World::well();
    world.pg("dc2-db1").boot_fence = false;
    world.pg("dc2-db1").free = Some(1 << 20);
    world.pg("dc2-db1").sql.as_mut().unwrap().paused = true;
    let told = told(&world);
    assert_eq!(
        (told.level(), told.now.checks.pass, told.now.fence.ready()),
        (Level::Warning, Some(false), Some(false))
    );
    insta::assert_snapshot!(drawn(&world), @r"
    WARNING: `crm` is active at `dc1` (Учёт клиентов)
    WARNING  a switch to `dc2` would be refused now: its disk has 1 MiB of room, a
             primary needs 256 MiB to go on; its replay is paused, and a promotion
             would wait: `SELECT pg_wal_replay_resume()` ends that
    WARNING  not ready for --forced: no boot fence on `dc2-db1`
             `svcops failover prepare crm` puts it there

    PART                       DC1                  DC2
    balancer front/crm-db      takes traffic        none: maintenance
    app billing                2 of 2 run           none of 2 runs
    app portal                 2 of 2 run           2 of 2 run
    jobs settle.timer, settle  4 of 4 on            none of 4 on
    database crm-db            primary              standby
    record crm.lab.test        points here, TTL 5s  -
    command licence            2 of 2 active        none of 2 active

    replication  `dc1-db1` → `dc2-db1`: in step; RPO 16MB: met
    switch       to `dc2`: would be refused now, for 2 reasons above
    --forced     not ready: no boot fence on `dc2-db1`; `svcops failover prepare
                 crm` puts it there
    last switch  2026-11-18 11:06 switch dc2 → dc1, done; outage not measured; by
                 мария, run 01M7Q5CQG0
    last drill   never: `svcops failover drill crm` goes as far as can be undone
    ");
}

#[test]
fn what_a_busy_primary_has_under_way_stops_no_switch() {
    let mut world = World::well();
    // the checks' own two looks would say that it lags
    world.pg("dc2-db1").sql.as_mut().unwrap().received = Some(crate::base::Lsn(0x0F0_0000));
    let told = told(&world);
    assert_eq!((told.level(), told.now.checks.pass), (Level::Ok, Some(true)), "{:?}", told.now.checks);
}

#[test]
fn a_site_that_is_not_seen_makes_it_unknown_and_nothing_is_guessed() {
    for (host, to) in [("dc2-db1", Some("dc2")), ("dc1-db1", None)] {
        let mut world = World::well();
        world.silent.insert(host, "connection timed out");
        let told = told(&world);
        assert_eq!(
            (told.level(), told.now.checks.pass, told.now.fence.ready()),
            (Level::Unknown, None, None),
            "{host}"
        );
        assert_eq!(told.now.checks.to.as_deref(), to);
        let text = drawn(&world);
        assert!(text.contains(&format!("not known: `{host}` was not seen")), "{text}");
    }
}

fn open(alive: bool, outcome: Option<End>) -> Open {
    let mut run = switched().run;
    (run.row.ended, run.row.outcome, run.row.exit_code, run.alive) = (None, outcome, None, alive);
    Open { run, operator: None, crossed: false, goes_back: false, zone: TimeZone::UTC }
}

fn moving(world: &World, open: Open) -> Told {
    let inventory = crm();
    let seen = world.seen(&inventory, "crm");
    Told::of(&inventory, &inventory.services["crm"], (seen, &[]), Some(open), Ok(vec![switched()]))
}

/// On its way from one site to the other: the old primary has ended.
fn between() -> World {
    let mut world = World::well();
    let old = world.pg("dc1-db1");
    (old.running, old.sql) = (false, None);
    world
}

#[test]
fn what_a_run_that_is_under_way_does_is_said_to_be_its_doing() {
    let told = moving(&between(), open(true, None));
    assert_eq!((told.level(), told.now.checks.pass), (Level::Warning, Some(false)));
    insta::assert_snapshot!(draw::draw(&Screen::plain(80), &told, &TimeZone::UTC), @r"
    WARNING: `crm` is between its sites: run 01M7Q5CQG0 is under way (Учёт клиентов)
    WARNING  run 01M7Q5CQG0 (`failover-crm-to-dc1`) is under way since 2026-11-18
             11:06, by мария on ops-1
             `svcops history show 01M7Q5CQG0 --follow` shows it as it goes
    WARNING  NO PRIMARY: its database accepts writes at neither site

    PART                       DC1                  DC2
    balancer front/crm-db      takes traffic        none: maintenance
    app billing                2 of 2 run           none of 2 runs
    app portal                 2 of 2 run           2 of 2 run
    jobs settle.timer, settle  4 of 4 on            none of 4 on
    database crm-db            down                 standby
    record crm.lab.test        points here, TTL 5s  -
    command licence            2 of 2 active        none of 2 active

    replication  `dc1-db1` down, `dc2-db1` standby; RPO 16MB
    switch       would be refused now: run 01M7Q5CQG0 (`failover-crm-to-dc1`) is
                 under way since 2026-11-18 11:06, by мария on ops-1
    --forced     ready: boot fence on `dc1-db1`, `dc2-db1`
    last switch  2026-11-18 11:06 switch dc2 → dc1, done; outage not measured; by
                 мария, run 01M7Q5CQG0
    last drill   never: `svcops failover drill crm` goes as far as can be undone
    ");
    let json = told.json();
    assert_eq!((&json["run"]["outcome"], &json["exit_code"]), (&"running".into(), &1.into()));
    assert_eq!(json["run"]["run"], "01M7Q5CQG0");
}

#[test]
fn two_primaries_are_critical_whoever_is_at_work() {
    let mut world = World::well();
    let sql = world.pg("dc1-db1").sql.clone();
    world.pg("dc2-db1").sql = sql;
    let told = moving(&world, open(true, None));
    assert_eq!(told.level(), Level::Critical);
    let says: Vec<&str> = told.now.seen.problems.iter().map(|problem| problem.says.as_str()).collect();
    assert!(says[0].starts_with("TWO PRIMARIES") && says[1].contains("is under way since"), "{says:?}");
}

#[test]
fn what_a_run_has_left_half_done_is_named_with_what_goes_on() {
    let told = moving(&between(), open(false, None));
    assert_eq!(told.level(), Level::Critical);
    let text = draw::draw(&Screen::plain(80), &told, &TimeZone::UTC);
    let top: Vec<&str> = text.lines().take(5).collect();
    insta::assert_snapshot!(top.join("\n"), @r"
    CRITICAL: `crm` is active NOWHERE (Учёт клиентов)
    CRITICAL  run 01M7Q5CQG0 (`failover-crm-to-dc1`) was interrupted, begun
              2026-11-18 11:06 by мария on ops-1
              `svcops resume 01M7Q5CQG0` goes on; `svcops rollback 01M7Q5CQG0`
              brings all back
    ");
    let hint = |open: Open| moving(&World::well(), open).now.seen.problems[0].hint.clone().unwrap();
    let crossed = Open { crossed: true, ..open(false, None) };
    assert_eq!(hint(crossed), "`svcops resume 01M7Q5CQG0` goes on: it is past its point of no return");
    let back = Open { goes_back: true, ..open(false, None) };
    assert_eq!(hint(back), "`svcops resume 01M7Q5CQG0` finishes taking it back");
    assert!(hint(open(false, Some(End::Unknown))).contains("asks the hosts again"));
    assert_eq!(moving(&World::well(), open(false, Some(End::Stopped))).level(), Level::Warning);
}

#[test]
fn attempts_that_were_refused_are_told_apart_from_the_last_switch() {
    let inventory = crm();
    let mut refused = switched();
    refused.run.row.outcome = Some(End::RolledBack);
    (refused.moved, refused.touched, refused.through) = (false, false, false);
    let mut drill = refused.clone();
    drill.kind = Kind::Drill;
    let told = |moves: Vec<Move>| {
        let seen = World::well().seen(&inventory, "crm");
        let told = Told::of(&inventory, &inventory.services["crm"], (seen, &[]), None, Ok(moves));
        let text = draw::draw(&Screen::plain(100), &told, &TimeZone::UTC);
        text.lines().skip_while(|line| !line.starts_with("last switch")).map(str::to_owned).collect::<Vec<_>>()
    };
    insta::assert_snapshot!(told(vec![refused.clone(), drill.clone(), switched()]).join("\n"), @r"
    last switch  2026-11-18 11:06 switch dc2 → dc1, done; outage not measured; by мария, run 01M7Q5CQG0
    tried since  2026-11-18 11:06 switch dc2 → dc1, refused; nothing was touched; by мария, run
                 01M7Q5CQG0
    last drill   never: `svcops failover drill crm` goes as far as can be undone
    ");
    insta::assert_snapshot!(told(vec![drill, refused]).join("\n"), @r"
    last switch  never
    tried since  2026-11-18 11:06 switch dc2 → dc1, refused; nothing was touched; by мария, run
                 01M7Q5CQG0
    last drill   never: `svcops failover drill crm` goes as far as can be undone
    ");
}

#[test]
fn a_site_that_was_left_by_force_is_named_until_it_has_rejoined() {
    let inventory = crm();
    let mut forced = switched();
    forced.kind = Kind::Forced;
    (forced.from, forced.to) = (Some("dc2".into()), Some("dc1".into()));
    let rejoin = |one: &Move| {
        let mut rejoin = one.clone();
        (rejoin.kind, rejoin.moved, rejoin.from, rejoin.to) = (Kind::Rejoin, false, None, Some("dc2".into()));
        rejoin
    };
    let hints = |world: &World, moves: Vec<Move>| -> Vec<String> {
        let seen = world.seen(&inventory, "crm");
        let told = Told::of(&inventory, &inventory.services["crm"], (seen, &[]), None, Ok(moves));
        let all = told.now.seen.problems.iter().filter_map(|problem| problem.hint.clone());
        all.filter(|hint| hint.contains("failover rejoin")).collect()
    };
    let mut silent = World::well();
    silent.silent.insert("dc2-db1", "no route to host");
    let once = ["`svcops failover rejoin crm` makes it a standby, once that host is back"];
    assert_eq!(hints(&silent, vec![forced.clone()]), once);
    let mut refuses = World::well();
    let old = refuses.pg("dc2-db1");
    (old.running, old.sql) = (false, None);
    let now = ["`svcops failover rejoin crm` makes it one that follows `dc1`"];
    assert_eq!(hints(&refuses, vec![forced.clone()]), now);
    assert_eq!(hints(&World::well(), vec![forced.clone()]), Vec::<String>::new());
    assert_eq!(hints(&silent, vec![rejoin(&forced), forced.clone()]), Vec::<String>::new());
    assert_eq!(hints(&silent, vec![switched(), forced]), Vec::<String>::new());
}
