//! A drill goes as far as it is to and turns back there: that is done well, and whatever else turns it back is not.

use super::*;
use crate::{actions::Entry, inventory::sample_services, journal::event::Scope};

const DRILL: &str = "
targets: \"role=app, site=dc1\"
steps:
  - {name: Drain, targets: dc1-app1, haproxy.drain: {balancer: front, backend: billing, server: \"{{ host.name }}\", within: 30s}}
  - {name: Stop, targets: dc1-app1, app.stop: {app: billing}}
  - {name: Back, drill.end: {service: crm}}
  - {name: Never, targets: dc1-app1, app.start: {app: billing}}
  - {name: In the end, targets: dc1-app2, always: true, check.app: {app: billing, min_healthy: 1}}
";

fn rig() -> Rig {
    let mut rig = Rig::new();
    let crm = sample_services::moving().services["crm"].clone();
    rig.project.inventory.services.insert("crm".into(), crm);
    rig
}

/// Why it went back, and whether it was to.
fn turned(rig: &Rig) -> Vec<(String, bool)> {
    let back = |record: Record| match record.event {
        Event::RollingBack { scope: Scope::Run, why, drill } => Some((why, drill)),
        _ => None,
    };
    rig.records().into_iter().filter_map(back).collect()
}

#[tokio::test(start_paused = true)]
async fn a_drill_that_comes_to_its_end_is_done_and_leaves_all_as_it_was() {
    let rig = rig();
    rig.plan(DRILL).await;
    let before = rig.world.standing();
    let end = rig.run(DRILL).await;
    assert_eq!((end.outcome, end.exit_code, end.why, end.changed), (End::Done, 0, None, 0));
    assert_eq!((rig.world.standing(), rig.world.harm()), (before, vec![]));
    assert_eq!(turned(&rig), [("the drill has come to its end".to_owned(), true)]);
    let state = rig.state();
    assert!(state.drilled() && state.troubled().next().is_none(), "{:?}", state.troubled().collect::<Vec<_>>());
    assert!(state.tasks.iter().all(|task| task.began.name != "Never"));
    let again = rig.rollback().await.unwrap_err().to_string();
    assert!(again.contains("it was a drill, and all of it is taken back"), "{again}");
}

#[tokio::test(start_paused = true)]
async fn a_drill_that_failed_on_its_way_does_not_look_good() {
    let rig = rig();
    rig.world.fault(1, crate::transport::Fault::FailedBefore);
    let end = rig.run(DRILL).await;
    assert_eq!((end.outcome, end.exit_code), (End::RolledBack, 1), "{end:?}");
    assert!(!rig.state().drilled() && turned(&rig).iter().all(|(_, drill)| !drill));
}

#[tokio::test(start_paused = true)]
async fn a_drill_that_cannot_be_undone_or_leaves_its_service_ill_does_not_look_good() {
    // the third act is the first undo
    let rig = rig();
    rig.world.fault(2, crate::transport::Fault::FailedBefore);
    let end = rig.run(DRILL).await;
    assert_eq!((end.outcome, end.exit_code), (End::Failed, 3), "{end:?}");
    assert!(end.why.as_ref().is_some_and(|why| why.starts_with("the undo of `Stop` on `dc1-app1`: ")), "{end:?}");
    let ill = DRILL.replace("min_healthy: 1", "min_healthy: 9");
    let rig = self::rig();
    let end = rig.run(&ill).await;
    assert_eq!((end.outcome, end.exit_code), (End::RolledBack, 1), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn a_drill_is_resumed_from_any_event_to_its_end_and_is_good_all_the_same() {
    let whole = rig();
    whole.run(DRILL).await;
    let events = whole.journal.taken();
    let begun = whole.records().iter().position(|r| matches!(r.event, Event::Locked { .. })).unwrap() + 1;
    for at in begun..events {
        let rig = rig();
        rig.plan(DRILL).await;
        let before = rig.world.standing();
        rig.journal.kill_after(at);
        assert!(rig.try_run(DRILL).await.is_err(), "the kill at {at} was not felt");
        rig.journal.revive();
        let end = rig.resume().await.unwrap();
        assert_eq!((end.outcome, end.exit_code), (End::Done, 0), "killed at {at}: {end:?}");
        assert_eq!(rig.world.standing(), before, "killed at {at}");
        assert!(turned(&rig).iter().all(|(_, drill)| *drill), "killed at {at}: {:?}", turned(&rig));
    }
}

#[tokio::test(start_paused = true)]
async fn a_drill_that_somebody_takes_back_is_no_good_drill() {
    let rig = rig();
    rig.plan(DRILL).await;
    // a kill on its way back
    let whole = self::rig();
    whole.run(DRILL).await;
    let back = whole.records().iter().position(|r| matches!(r.event, Event::RollingBack { .. })).unwrap();
    rig.journal.kill_after(back + 1);
    assert!(rig.try_run(DRILL).await.is_err());
    rig.journal.revive();
    let end = rig.rollback().await.unwrap();
    assert_eq!((end.outcome, end.exit_code), (End::RolledBack, 1), "{end:?}");
    assert!(!rig.state().drilled());
}

#[tokio::test(start_paused = true)]
async fn the_plan_of_a_drill_is_not_in_trouble_over_what_it_will_not_do() {
    let planned = rig().plan(DRILL).await;
    let trouble: Vec<_> = planned.plan.tasks.iter().filter_map(|task| task.trouble.as_ref()).collect();
    assert_eq!(trouble, Vec::<&String>::new());
    assert_eq!(words(&planned).len(), 2, "{:?}", words(&planned));
    let end = Entry::find(CATALOG, "drill.end").unwrap();
    assert!(end.traits.turns_back && planned.plan.tasks.iter().any(|task| task.action == "drill.end"));
}

#[tokio::test(start_paused = true)]
async fn nothing_turns_back_past_the_point_of_no_return_and_where_it_does_not_apply() {
    let crossed = DRILL.replace("{name: Stop, targets", "{name: Stop, no_return: true, targets");
    let rig = rig();
    let end = rig.run(&crossed).await;
    assert_eq!((end.outcome, end.exit_code), (End::Failed, 3), "{end:?}");
    assert!(end.why.as_ref().is_some_and(|why| why.contains("nothing goes back from here")), "{end:?}");
    assert_eq!(turned(&rig), []);
    let rig = self::rig();
    let end = rig.run(&DRILL.replace("{name: Back, drill", "{name: Back, when: \"1 == 2\", drill")).await;
    assert_eq!((end.outcome, turned(&rig)), (End::Done, vec![]), "{end:?}");
}
