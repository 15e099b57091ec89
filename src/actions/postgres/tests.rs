//! A handover from end to end on the simulated world, and its way back.

use crate::{
    actions::{
        Task,
        tests::{bind, drive, see},
    },
    base::{
        Answer, At, HostName, Lsn, PgAsk, PgControl, PgDepth, PgFacts, PgPeer, PgSlot, PgSql, PgStandby, PgState,
        Place, Read, Way,
    },
    inventory::sample::sample,
    transport::{Links, Simulated},
};
use serde_json::{Value, json};

fn primary() -> PgFacts {
    PgFacts {
        running: true,
        control: Some(PgControl {
            system: "7311".into(),
            state: PgState::InProduction,
            timeline: 1,
            checkpoint: Lsn(0x400_0000),
            recovered: Lsn(0),
        }),
        sql: Some(PgSql {
            written: Some(Lsn(0x500_0060)),
            standbys: vec![PgStandby {
                name: "dc2_db1".into(),
                address: "10.77.0.23".into(),
                state: "streaming".into(),
                ..PgStandby::default()
            }],
            slots: vec![PgSlot { name: "dc2_db1".into(), active: true }],
            ..PgSql::default()
        }),
        version: 15,
        free: Some(1 << 40),
        passfile: true,
        ..PgFacts::default()
    }
}

fn standby() -> PgFacts {
    let control =
        primary().control.map(|c| PgControl { state: PgState::InArchiveRecovery, recovered: Lsn(0x500_0060), ..c });
    PgFacts {
        standby: true,
        control,
        sql: Some(PgSql {
            recovery: true,
            received: Some(Lsn(0x500_0060)),
            replayed: Some(Lsn(0x500_0060)),
            streams_from: Some("10.77.0.13".into()),
            ..PgSql::default()
        }),
        ..primary()
    }
}

fn world() -> Simulated {
    let inventory = sample();
    let world = Simulated::new(Links::of(&inventory));
    let spot = inventory.databases["crm-db"].spot.clone();
    let pair = [("dc1-db1", primary(), "10.77.0.23"), ("dc2-db1", standby(), "10.77.0.13")];
    for (host, facts, peer) in pair {
        let ask = PgAsk { spot: spot.clone(), depth: PgDepth::Whole, peer: Some((peer.to_owned(), 5432)) };
        let at = Place::on(&HostName::new(host)).becoming(Some("root".into()));
        let read: At<Read> = at.at(Read::Postgres(ask));
        world.learn(&read, &Answer::Postgres(Box::new(PgFacts { peer: Some(PgPeer::Accepts), ..facts })));
    }
    world
}

fn task(action: &str, args: Value, host: &str) -> Box<dyn Task> {
    bind(action, args, host, &sample(), (&[], &[])).unwrap()
}

/// There, from what is seen now; what was seen before and after.
async fn goes(task: &dyn Task, world: &Simulated) -> (Value, Value, Result<usize, String>) {
    let before = see(task, world).await.unwrap();
    let end = drive(task, Way::Forward, world, &before, None).await;
    (before, see(task, world).await.unwrap(), end)
}

fn fence(action: &str) -> Box<dyn Task> {
    task(action, json!({"database": "crm-db", "peer": "dc2-db1"}), "dc1-db1")
}

fn promotion() -> Box<dyn Task> {
    task("postgres.promote", json!({"database": "crm-db", "from": "dc1-db1"}), "dc2-db1")
}

#[tokio::test(start_paused = true)]
async fn a_stopped_and_masked_primary_comes_back_as_long_as_the_other_is_a_standby() {
    let world = world();
    let ready = task("postgres.ready", json!({"database": "crm-db", "from": "dc1-db1"}), "dc2-db1");
    assert_eq!(goes(&*ready, &world).await.2, Ok(0));
    let begun = world.standing();
    let (mask, stop) = (fence("postgres.mask"), fence("postgres.stop"));
    let (unmasked, masked, end) = goes(&*mask, &world).await;
    assert_eq!(end, Ok(1));
    let (running, stopped, end) = goes(&*stop, &world).await;
    assert_eq!(end, Ok(1));
    assert_eq!(goes(&*ready, &world).await.2.unwrap_err().lines().count(), 1, "a primary that is down is no source");
    // unmask, start, mask; and then the mask's own way back
    assert_eq!(drive(&*stop, Way::Undo, &world, &running, Some(&stopped)).await, Ok(3));
    assert_eq!(drive(&*mask, Way::Undo, &world, &unmasked, Some(&masked)).await, Ok(1));
    assert_eq!(world.standing(), begun);
    assert!(world.harm().is_empty(), "{:?}", world.harm());
}

#[tokio::test(start_paused = true)]
async fn after_the_promotion_the_old_primary_stays_fenced_and_then_follows() {
    let world = world();
    let (mask, stop, promote) = (fence("postgres.mask"), fence("postgres.stop"), promotion());
    let (unmasked, masked, _) = goes(&*mask, &world).await;
    let (running, stopped, _) = goes(&*stop, &world).await;
    let (was, is, end) = goes(&*promote, &world).await;
    assert_eq!(end, Ok(1));
    assert_eq!(goes(&*promote, &world).await.2, Ok(0), "the second time");
    for (task, before, after) in [(&stop, &running, &stopped), (&mask, &unmasked, &masked), (&promote, &was, &is)] {
        let why = drive(&**task, Way::Undo, &world, before, Some(after)).await.unwrap_err();
        assert!(why.contains("was promoted") || why.contains("not taken back"), "{why}");
    }
    let follow = task("postgres.follow", json!({"database": "crm-db", "primary": "dc2-db1"}), "dc1-db1");
    // its slot, the settings of a standby, unmasked, started, and its former standby's slot dropped
    assert_eq!(goes(&*follow, &world).await.2, Ok(5));
    assert_eq!(goes(&*follow, &world).await.2, Ok(0), "the second time");
    let back = task("postgres.ready", json!({"database": "crm-db", "from": "dc2-db1"}), "dc1-db1");
    assert_eq!(goes(&*back, &world).await.2, Ok(0), "it could take over again");
    assert!(world.harm().is_empty(), "{:?}", world.harm());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_promoted_beside_one_that_runs_or_is_out_of_reach() {
    let (world, promote) = (world(), promotion());
    let why = goes(&*promote, &world).await.2.unwrap_err();
    assert!(why.contains("is not fenced: it runs"), "{why}");
    let lost = json!({"database": "crm-db", "from": "dc1-db1", "unfenced": "ops: dc1 is dark"});
    let why = goes(&*task("postgres.promote", lost, "dc2-db1"), &world).await.2.unwrap_err();
    assert!(why.contains("is not lost: it accepts connections"), "{why}");
    assert!(world.harm().is_empty() && world.acts() == 0, "{:?}", world.harm());
}
