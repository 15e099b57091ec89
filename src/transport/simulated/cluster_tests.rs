//! Clusters: what a switch makes of two, and what must never be.

use super::{tests::on, *};
use crate::base::{
    Lsn, Outcome, PgAsk, PgChange, PgControl, PgDepth, PgFacts, PgPeer, PgSlot, PgSpot, PgSql, PgState, PgUpstream,
    UnitFacts, UnitState,
};
use crate::inventory::sample::sample;

const END: Lsn = Lsn(0x500_0000);

fn spot() -> PgSpot {
    PgSpot {
        database: "crm-db".into(),
        unit: "postgresql@15-main.service".into(),
        data: "/var/lib/postgresql/15/main".into(),
        config: None,
        bin: "/usr/lib/postgresql/15/bin".into(),
        port: 5432,
        user: "postgres".into(),
    }
}

fn asks(host: &str, depth: PgDepth, peer: Option<&str>) -> At<Read> {
    on(host).at(Read::Postgres(PgAsk { spot: spot(), depth, peer: peer.map(|peer| (peer.to_owned(), 5432)) }))
}

fn see(world: &Simulated, host: &str, depth: PgDepth) -> PgFacts {
    match world.answer(&asks(host, depth, None)) {
        Answer::Postgres(facts) => *facts,
        other => panic!("{other:?}"),
    }
}

fn peer(world: &Simulated, from: &str, to: &str) -> Option<PgPeer> {
    match world.answer(&asks(from, PgDepth::Log, Some(to))) {
        Answer::Postgres(facts) => facts.peer,
        other => panic!("{other:?}"),
    }
}

fn upstream(host: &str, slot: &str) -> PgUpstream {
    PgUpstream { host: host.into(), port: 5432, user: "replicator".into(), passfile: None, slot: Some(slot.into()) }
}

fn facts(primary: bool) -> PgFacts {
    let control = PgControl {
        system: "7".into(),
        state: if primary { PgState::InProduction } else { PgState::InArchiveRecovery },
        timeline: 1,
        checkpoint: Lsn(END.0 - 4096),
        recovered: Lsn(0),
    };
    let sql = PgSql {
        recovery: !primary,
        written: primary.then_some(END),
        // it lags a little, at that moment
        received: (!primary).then_some(Lsn(END.0 - 8)),
        replayed: (!primary).then_some(Lsn(END.0 - 8)),
        streams_from: (!primary).then(|| "10.77.0.13".to_owned()),
        slots: if primary { vec![PgSlot { name: "dc2_db1".into(), active: true }] } else { vec![] },
        ..PgSql::default()
    };
    PgFacts {
        running: true,
        standby: !primary,
        control: Some(control),
        sql: Some(sql),
        upstream: (!primary).then(|| upstream("10.77.0.13", "dc2_db1")),
        version: 15,
        free: Some(1 << 30),
        ..PgFacts::default()
    }
}

fn two() -> Simulated {
    let world = Simulated::new(Links::of(&sample()));
    for (host, primary) in [("dc1-db1", true), ("dc2-db1", false)] {
        world.learn(&asks(host, PgDepth::Whole, None), &Answer::Postgres(Box::new(facts(primary))));
        let unit = UnitFacts {
            loaded: true,
            state: UnitState::Active,
            enabled: false,
            pid: 7,
            invocation: "old".into(),
            since: 5,
        };
        world.learn(&on(host).at(Read::Unit { name: spot().unit }), &Answer::Unit(unit));
    }
    world
}

fn change(world: &Simulated, host: &str, change: PgChange) -> Result<(), String> {
    world.meddle(&on(host).at(Change::Postgres { spot: spot(), change }))
}

#[test]
fn what_was_seen_of_a_cluster_is_answered_at_each_depth() {
    let world = two();
    assert_eq!(see(&world, "dc1-db1", PgDepth::Whole), facts(true));
    let brief = see(&world, "dc1-db1", PgDepth::Log);
    assert!(brief.is_primary() && brief.sql.as_ref().unwrap().slots.is_empty() && brief.free.is_none());
    assert_eq!(see(&world, "dc1-db1", PgDepth::Files).sql, None);
    assert!(!world.lacks(&asks("dc1-db1", PgDepth::Log, None)));
    assert_eq!(peer(&world, "dc2-db1", "10.77.0.13"), Some(PgPeer::Accepts));
    // looked at by its files, there is more to be known
    let world = Simulated::new(Links::of(&sample()));
    let brief = facts(true).at_depth(PgDepth::Files);
    world.learn(&asks("dc1-db1", PgDepth::Files, None), &Answer::Postgres(Box::new(brief.clone())));
    assert!(world.lacks(&asks("dc1-db1", PgDepth::Log, None)));
    assert_eq!(world.answer(&asks("dc1-db1", PgDepth::Log, None)), Answer::Open);
    change(&world, "dc1-db1", PgChange::Mask).unwrap();
    world.learn(&asks("dc1-db1", PgDepth::Whole, None), &Answer::Postgres(Box::new(facts(true))));
    let whole = see(&world, "dc1-db1", PgDepth::Whole);
    assert!(whole.masked && whole.sql.as_ref().unwrap().slots.len() == 1 && whole.free.is_some(), "{whole:?}");
}

#[test]
fn a_switch_leaves_one_primary_and_a_standby_that_has_all() {
    let world = two();
    let (one, other) = ("dc1-db1", "dc2-db1");
    change(&world, one, PgChange::Mask).unwrap();
    change(&world, one, PgChange::Stop).unwrap();
    let ended = see(&world, one, PgDepth::Whole);
    assert!(ended.masked && !ended.running && ended.ended_at() >= Some(END), "{ended:?}");
    let Answer::Unit(unit) = world.answer(&on(one).at(Read::Unit { name: spot().unit })) else { panic!() };
    assert_eq!((unit.state, unit.loaded), (UnitState::Inactive, false));
    assert_eq!(peer(&world, other, "10.77.0.13"), Some(PgPeer::Silent));
    let past = ended.ended_at();
    let ahead = Some(Lsn(past.unwrap().0 + (1 << 20)));
    assert!(change(&world, other, PgChange::Promote { past: ahead }).unwrap_err().contains("is needed"));
    let standby = see(&world, other, PgDepth::Log).sql.unwrap();
    assert!(standby.received >= past && standby.streams_from.is_none(), "{standby:?}");
    change(&world, other, PgChange::Promote { past }).unwrap();
    let new = see(&world, other, PgDepth::Whole);
    assert!(new.is_primary() && !new.standby && new.history.len() == 1, "{new:?}");
    assert!(change(&world, other, PgChange::Promote { past: None }).is_err());
    // the old one follows: no rewind is needed, but the slot is
    change(&world, one, PgChange::Follow(upstream("10.77.0.23", "dc1_db1"))).unwrap();
    assert!(change(&world, one, PgChange::Start).unwrap_err().contains("masked"));
    change(&world, one, PgChange::Unmask).unwrap();
    change(&world, one, PgChange::Start).unwrap();
    assert!(see(&world, one, PgDepth::Log).sql.unwrap().streams_from.is_none());
    change(&world, other, PgChange::MakeSlot("dc1_db1".into())).unwrap();
    let old = see(&world, one, PgDepth::Whole);
    let sql = old.sql.as_ref().unwrap();
    assert!(old.is_standby() && sql.streams_from.as_deref() == Some("10.77.0.23"), "{old:?}");
    let primary = see(&world, other, PgDepth::Whole).sql.unwrap();
    assert_eq!(primary.slots, [PgSlot { name: "dc1_db1".into(), active: true }]);
    assert_eq!((primary.standbys[0].name.as_str(), primary.standbys[0].address.as_str()), ("dc1_db1", "10.77.0.13"));
    assert!(change(&world, other, PgChange::DropSlot("dc1_db1".into())).unwrap_err().contains("in use"));
    change(&world, one, PgChange::DropSlot("dc2_db1".into())).unwrap();
    assert!(see(&world, one, PgDepth::Whole).sql.unwrap().slots.is_empty());
    assert_eq!(
        (world.writes(&HostName::new(one), "crm-db"), world.writes(&HostName::new(other), "crm-db")),
        (Some(false), Some(true))
    );
    assert!(world.harm().is_empty(), "{:?}", world.harm());
    let standing = world.standing();
    assert_eq!(standing["dc1-db1/postgres/crm-db"], "running as a standby of `10.77.0.23` on timeline 2");
    assert_eq!(standing["dc2-db1/postgres/crm-db"], "running as a primary on timeline 2, slot `dc1_db1`");
}

#[test]
fn two_that_accept_writes_are_harm_however_they_came_to_be() {
    let harm = ["`crm-db` accepts writes on `dc1-db1` and `dc2-db1`".to_owned()];
    // promoted before the other one was stopped
    let world = two();
    change(&world, "dc2-db1", PgChange::Promote { past: None }).unwrap();
    assert_eq!(world.harm(), harm);
    change(&world, "dc1-db1", PgChange::Checkpoint).unwrap();
    assert_eq!(world.harm(), harm, "it is said once");
    // stopped, and started again by somebody
    for start in [
        Change::Postgres { spot: spot(), change: PgChange::Start },
        Change::StartUnit(spot().unit),
        Change::RestartUnit(spot().unit),
    ] {
        let world = two();
        change(&world, "dc1-db1", PgChange::Stop).unwrap();
        change(&world, "dc2-db1", PgChange::Promote { past: None }).unwrap();
        assert!(world.harm().is_empty());
        world.meddle(&on("dc1-db1").at(start)).unwrap();
        assert_eq!(world.harm(), harm);
    }
    // masked, nothing starts it
    let world = two();
    change(&world, "dc1-db1", PgChange::Mask).unwrap();
    change(&world, "dc1-db1", PgChange::Stop).unwrap();
    change(&world, "dc2-db1", PgChange::Promote { past: None }).unwrap();
    assert!(world.meddle(&on("dc1-db1").at(Change::StartUnit(spot().unit))).is_err());
    assert!(world.harm().is_empty() && !see(&world, "dc1-db1", PgDepth::Files).running);
}

#[test]
fn a_log_that_went_another_way_streams_only_when_it_was_rewound() {
    let world = two();
    let (one, other) = ("dc1-db1", "dc2-db1");
    // the standby does not have the end of it: its slot was dropped by somebody
    change(&world, other, PgChange::Stop).unwrap();
    change(&world, one, PgChange::DropSlot("dc2_db1".into())).unwrap();
    change(&world, other, PgChange::Start).unwrap();
    change(&world, one, PgChange::Stop).unwrap();
    let (ended, behind) = (see(&world, one, PgDepth::Whole), see(&world, other, PgDepth::Log).sql.unwrap());
    assert!(behind.received < ended.ended_at(), "{behind:?}");
    assert!(change(&world, other, PgChange::Promote { past: ended.ended_at() }).is_err());
    change(&world, other, PgChange::Promote { past: None }).unwrap();
    change(&world, other, PgChange::MakeSlot("dc1_db1".into())).unwrap();
    let left = see(&world, other, PgDepth::Whole).history[0].left;
    assert!(ended.tail.unwrap().end > left);
    let follow = || PgChange::Follow(upstream("10.77.0.23", "dc1_db1"));
    change(&world, one, follow()).unwrap();
    change(&world, one, PgChange::Start).unwrap();
    assert!(see(&world, one, PgDepth::Log).sql.unwrap().streams_from.is_none());
    assert!(change(&world, one, PgChange::Rewind(upstream("10.77.0.23", "dc1_db1"))).unwrap_err().contains("runs"));
    change(&world, one, PgChange::Stop).unwrap();
    change(&world, one, PgChange::Rewind(upstream("10.77.0.23", "dc1_db1"))).unwrap();
    assert!(!see(&world, one, PgDepth::Files).standby, "its settings are the new primary's now");
    change(&world, one, follow()).unwrap();
    change(&world, one, PgChange::Start).unwrap();
    assert_eq!(see(&world, one, PgDepth::Log).sql.unwrap().streams_from.as_deref(), Some("10.77.0.23"));
    assert!(world.harm().is_empty(), "{:?}", world.harm());
}

#[tokio::test(start_paused = true)]
async fn faults_bite_on_acts_on_clusters() {
    let terms = Terms { within: Duration::from_secs(5), interruptible: true };
    let stop = on("dc1-db1").at(Change::Postgres { spot: spot(), change: PgChange::Stop });
    for fault in Fault::ALL {
        let world = two();
        world.fault(0, fault);
        let boot = world.open(&RunId::at_millis(1), &stop.at).await.unwrap();
        let act = Act { run: RunId::at_millis(1), task: TaskId::from("1@dc1-db1"), way: Way::Forward, number: 0, boot };
        let outcome = world.carry(&act, &stop, terms).await.map(|receipt| receipt.outcome);
        let stopped = !see(&world, "dc1-db1", PgDepth::Files).running;
        let has_effect = !matches!(fault, Fault::Refused | Fault::FailedBefore | Fault::LostBefore | Fault::NoEffect);
        assert_eq!(stopped, has_effect, "{fault:?}: {outcome:?}");
        assert_eq!(world.bitten(), usize::from(fault != Fault::Sick), "{fault:?}");
    }
    // what is started and never answers
    let world = two();
    change(&world, "dc2-db1", PgChange::Stop).unwrap();
    world.fault(0, Fault::Sick);
    let start = on("dc2-db1").at(Change::Postgres { spot: spot(), change: PgChange::Start });
    let boot = world.open(&RunId::at_millis(1), &start.at).await.unwrap();
    let act = Act { run: RunId::at_millis(1), task: TaskId::from("1@dc2-db1"), way: Way::Forward, number: 0, boot };
    assert_eq!(world.carry(&act, &start, terms).await.unwrap().outcome, Outcome::Ok);
    let sick = see(&world, "dc2-db1", PgDepth::Log);
    assert!(sick.running && sick.sql.is_none() && sick.silent.is_some() && world.bitten() == 1, "{sick:?}");
    assert_eq!(peer(&world, "dc1-db1", "10.77.0.23"), Some(PgPeer::Rejects));
}
