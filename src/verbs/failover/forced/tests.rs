use super::*;
use crate::{
    base::{Lsn, PgTail, RunId, Span},
    inventory::Rpo,
    verbs::prepare::tests::lab,
};
use jiff::Timestamp;
use std::collections::BTreeMap;

fn loss() -> Loss {
    let at: Timestamp = "2026-11-23T20:14:45Z".parse().unwrap();
    Loss {
        at,
        received: Some(Lsn(0x300_0148)),
        replayed: Some(Lsn(0x300_0148)),
        last: Some("2026-11-23T20:14:03.2Z".parse().unwrap()),
        pace: Some(Pace { fastest: 30_000, segment: 1 << 20 }),
        end: None,
    }
}

/// What is composed, its steps in a line each.
fn outline(inventory: &Inventory, change: impl FnOnce(&mut Forced<'_>)) -> Result<String, String> {
    let loss = loss();
    let mut forced = Forced {
        service: &inventory.services["crm"],
        to: "dc2",
        reached: BTreeSet::new(),
        stopped: false,
        promoted: false,
        unfenced: None,
        loss: &loss,
    };
    change(&mut forced);
    let text = compose(inventory, &forced).map_err(|e| e.to_string())?;
    let value: Value = serde_yaml::from_str(&text).unwrap();
    let line = |step: &Value| {
        let step = step.as_object().unwrap();
        let (action, args) = step.iter().find(|(key, _)| key.contains('.') || *key == "command").unwrap();
        let on = step.get("targets").map_or("", |targets| targets.as_str().unwrap());
        format!("{action} {args} on {on}\n  {}\n", step["name"].as_str().unwrap()).replace(" \n", "\n")
    };
    Ok(value["steps"].as_array().unwrap().iter().map(line).collect())
}

#[test]
fn what_a_fence_proves_dead_is_left_out_and_promoted_without() {
    let inventory = lab();
    insta::assert_snapshot!(outline(&inventory, |_| ()).unwrap(), @r#"
    service.watch {"service":"crm","down":true} on
      A client looks at crm
    postgres.ready {"database":"crm-db","from":"dc1-db1","lost":true} on dc2-db1
      Is crm-db on dc2-db1 able to take over? Lost then: at least 0 B and 0s, at most about 1.3 MB and 42s
    command "power-off dc1" on lb
      Fence dc1: power
    command "unplug" on dc2-app1
      Fence dc1: switch
    haproxy.drain {"balancer":"front","backend":"crm-db","server":"dc1-db1","within":"0s","then":"kill"} on dc2-db1
      Take dc1-db1 out of crm-db of front
    postgres.promote {"database":"crm-db","from":"dc1-db1","unfenced":"fenced by `power` on `lb`; fenced by `switch` on `dc2-app1`"} on dc2-db1
      Promote crm-db on dc2-db1 without dc1-db1
    haproxy.enable {"balancer":"front","backend":"crm-db"} on role=db, site=dc2
      Bring crm-db at dc2 into front
    app.start {"app":"billing"} on role=app, site=dc2
      Start billing at dc2
    dns.update {"zone":"lab.test","name":"crm","type":"A","values":["10.77.0.23"],"state":"only","ttl":"5s"} on lb
      Point crm.lab.test to dc2
    command {"run":"arrive","unless":"here"} on role=app, site=dc2
      licence arrives at dc2
    jobs.start {"timers":["settle.timer"]} on role=app, site=dc2
      Jobs arrive at dc2: settle.timer
    service.verify {"service":"crm"} on
      A client sees it
    service.verify {"service":"crm","within":"{{ '1s' if run.outcome == 'stopped' else '1m' if run.touched and run.outcome not in ['unknown', 'failed'] else '5s' }}"} on
      What a client saw in the end
    "#);
}

#[test]
fn what_nobody_proves_is_named_in_the_plan_and_needs_words() {
    let mut inventory = lab();
    inventory.services.get_mut("crm").unwrap().fence.clear();
    assert_eq!(
        outline(&inventory, |_| ()).unwrap_err(),
        "nothing proves that app `billing` on `dc1-app1`, jobs `settle.timer` on `dc1-app1`, database `crm-db` on `dc1-db1` and command `licence` on `dc1-app1` serve nobody"
    );
    let said = outline(&inventory, |forced| forced.unfenced = Some("mkr: dc1 burns")).unwrap();
    assert!(
        said.contains("Promote crm-db on dc2-db1 without dc1-db1; not fenced: app `billing` on `dc1-app1`, "),
        "{said}"
    );
    assert!(said.contains(r#""unfenced":"mkr: dc1 burns; not fenced: app `billing`"#), "{said}");
    assert!(!said.contains("Fence dc1"), "{said}");
}

#[test]
fn what_still_answers_at_the_source_is_stopped_and_a_stopped_cluster_is_masked() {
    let inventory = lab();
    let said = outline(&inventory, |forced| {
        forced.reached = ["dc1-app1", "dc1-db1"].map(HostName::new).into();
        forced.stopped = true;
    })
    .unwrap();
    for step in [
        r#"postgres.mask {"database":"crm-db","peer":"dc2-db1"} on dc1-db1"#,
        r#"app.stop {"app":"billing"} on dc1-app1"#,
        r#"jobs.stop {"timers":["settle.timer"]} on dc1-app1"#,
        r#"command {"run":"leave","unless":"here; test $? -eq 1"} on dc1-app1"#,
        r#""unfenced":"`crm-db` on `dc1-db1` is stopped and masked"}"#,
    ] {
        assert!(said.contains(step), "{step}\n{said}");
    }
    assert!(!said.contains("not fenced"), "{said}");
}

#[test]
fn a_loss_is_stated_with_its_bounds_and_how_sure_they_are() {
    let loss = loss();
    assert_eq!(loss.words(), "at least 0 B and 0s, at most about 1.3 MB and 42s");
    insta::assert_snapshot!(loss.grounds("dc1-db1").join("\n"), @r"
    at least nothing: nothing here shows that more was written than has arrived
    at most 42s: all that was committed until 2026-11-23T20:14:03.2Z has arrived; sure, where the clock of `dc1-db1` is right, and it serves nobody any more
    at most about 1.3 MB: at the fastest pace that the log here shows, 30 kB a second; an estimate, for nothing here bounds what was written there
    ");
    assert!(loss.may_exceed(Rpo::Bytes(0)) && !loss.may_exceed(Rpo::Bytes(16 << 20)));
    assert!(loss.may_exceed(Rpo::Time(Span::secs(41))) && !loss.may_exceed(Rpo::Time(Span::secs(42))));
    // who does not know says so
    let unknown = Loss { last: None, pace: None, ..loss.clone() };
    assert_eq!(unknown.words(), "at least 0 B and 0s, at most unknown bytes and an unknown time");
    insta::assert_snapshot!(unknown.grounds("dc1-db1").join("\n"), @r"
    at least nothing: nothing here shows that more was written than has arrived
    for how long: no commit has been replayed since the standby started, so nobody knows
    how much: nothing here tells how fast the log grew, and no number is made up
    ");
    assert!(unknown.may_exceed(Rpo::Bytes(u64::MAX)) && unknown.may_exceed(Rpo::Time(Span::secs(9999))));
    // a primary that shows the end of its log leaves no doubt
    let end = PgTail { end: Lsn(0x300_0348), last: Some("2026-11-23T20:14:03.9Z".parse().unwrap()) };
    let half = Loss { end: Some(end.clone()), replayed: Some(Lsn(0x300_0128)), ..loss.clone() };
    assert_eq!(half.words(), "at least 512 B, at most 544 B and 1s", "the half of a record is thrown away");
    let known = Loss { end: Some(end), ..loss };
    assert_eq!(known.words(), "512 B and at most 1s");
    assert_eq!((known.least_bytes(), known.most_bytes()), (512, Some(512)));
    insta::assert_snapshot!(known.grounds("dc1-db1").join("\n"), @r"the log on `dc1-db1` ends at 0/3000348, and 0/3000148 has arrived: that is sure");
}

#[test]
fn a_rejoin_is_one_step_that_nobody_breaks_off() {
    let inventory = lab();
    let host = |name: &str| inventory.host(name).unwrap();
    let (service, database) = (&inventory.services["crm"], &inventory.databases["crm-db"]);
    insta::assert_snapshot!(rejoin(service, database, (host("dc1-db1"), host("dc2-db1")), None).unwrap(), @r"
    svcops: 1
    name: failover-rejoin-crm
    title: Rejoin dc1-db1 of CRM as a standby of dc2-db1
    targets: dc1-db1
    steps:
    - name: crm-db on dc1-db1 follows dc2-db1
      postgres.follow:
        database: crm-db
        primary: dc2-db1
      targets: dc1-db1
      timeout: 6h
      no_return: true
    ");
}

#[test]
fn forced_again_after_its_promotion_it_only_brings_the_rest() {
    let inventory = lab();
    let said = outline(&inventory, |forced| forced.promoted = true).unwrap();
    let actions: Vec<&str> =
        said.lines().filter(|line| !line.starts_with(' ')).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(
        actions,
        [
            "service.watch",
            "haproxy.drain",
            "haproxy.enable",
            "app.start",
            "dns.update",
            "command",
            "jobs.start",
            "service.verify",
            "service.verify"
        ]
    );
}

#[test]
fn a_pace_is_read_from_the_files_of_a_log_and_not_from_those_kept_for_later() {
    // a segment in 10 s, then two within 4 s; the present one, and one that was written long ago and is to be used again
    let lines = "1000 16777216 000000010000000000000003
1010 16777216 000000010000000000000004
1013 16777216 000000010000000000000005
1014 16777216 000000010000000000000006
1020 16777216 000000010000000000000007
0990 16777216 000000010000000000000008
1030 42 00000002.history
";
    assert_eq!(Pace::of(lines), Some(Pace { fastest: 16 << 20, segment: 16 << 20 }));
    // over the bound of a file of 4 GB
    let lines = "10 16777216 0000000100000000000000FE
20 16777216 000000010000000100000000
21 16777216 000000010000000100000001";
    assert_eq!(Pace::of(lines).unwrap().fastest, (32 << 20) / 10);
    for none in ["", "1 16777216 000000010000000000000003", "one two three"] {
        assert_eq!(Pace::of(none), None, "{none}");
    }
    let since = Pace::since_checkpoint("9000 30 1048576\n");
    assert_eq!(since, Some(Pace { fastest: 300, segment: 1 << 20 }));
    for none in ["9000  16777216\n", "9000 30", ""] {
        assert_eq!(Pace::since_checkpoint(none), None, "{none}");
    }
}

/// The parameters of a composed runbook, as a run keeps them.
fn params(text: &str) -> BTreeMap<String, Value> {
    let value: Value = serde_yaml::from_str(text).unwrap();
    let all = value["params"].as_object().unwrap();
    all.iter().map(|(name, param)| (name.clone(), param["default"].clone())).collect()
}

#[test]
fn what_was_stated_is_kept_with_the_run_and_held_against_what_is_found() {
    let inventory = lab();
    let (loss, run) = (loss(), RunId::at_millis(1_764_000_000_000));
    let forced = Forced {
        service: &inventory.services["crm"],
        to: "dc2",
        reached: BTreeSet::new(),
        stopped: false,
        promoted: false,
        unfenced: None,
        loss: &loss,
    };
    let kept = params(&compose(&inventory, &forced).unwrap());
    let stated = Stated::of(&run, &kept).unwrap();
    assert_eq!(stated.words(), "at least 0 B, at most 1.3 MB and 42s");
    assert_eq!(stated.kept_until, loss.last);
    assert_eq!(Stated::of(&run, &BTreeMap::new()), None, "a planned switch states nothing");
    // the run that finds out keeps it too
    let host = |name: &str| inventory.host(name).unwrap();
    let text = rejoin(
        &inventory.services["crm"],
        &inventory.databases["crm-db"],
        (host("dc1-db1"), host("dc2-db1")),
        Some(&stated),
    );
    let again = params(&text.unwrap());
    assert_eq!(Stated::of(&run, &again).as_ref(), Some(&stated));
    assert_eq!((Stated::found_by(&again), Stated::found_by(&kept)), (Some(run.clone()), None));

    let found = |outputs: Value| Found::of(&outputs);
    let nothing = found(json!({"lost_bytes": 0, "last": null}));
    assert_eq!(nothing.words("crm-db"), "nothing of `crm-db` was lost: all that was written has arrived");
    assert_eq!(nothing.against(&stated), "0 B and 0s: within what was stated");
    let some = found(json!({"lost_bytes": 5000, "last": "2026-11-23T20:14:10Z"}));
    assert_eq!(
        some.words("crm-db"),
        "4.9 kB of the log of `crm-db` were lost, with commits until 2026-11-23T20:14:10Z"
    );
    assert_eq!(some.against(&stated), "4.9 kB and 7s: within what was stated");
    let more = found(json!({"lost_bytes": 2 << 20, "last": "2026-11-23T20:14:10Z"}));
    assert_eq!(more.against(&stated), "2.0 MB: OUTSIDE what was stated; 7s: within what was stated");
    let unknown = found(json!({"lost_bytes": null, "last": null}));
    assert_eq!(unknown.within(&stated), (None, None));
    assert_eq!(unknown.against(&stated), "an unknown number of bytes and commits of unknown time: nobody can tell");
}
