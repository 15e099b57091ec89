use super::*;
use crate::transport::Fault;

const UNDO_BY_STEPS: &str = "
targets: role=app, site=dc1
steps:
  - {name: Mark, command: \"touch /m\", undo: [{command: \"rm /m\"}]}
  - {name: Copy, file.copy: {content: x, dest: /etc/x.conf}}
  - {name: Stop, app.stop: {app: billing}}
";

/// The first host is as before when the second one turns the run back.
const TURNS_BACK: &str = "
targets: role=app, site=dc1
steps:
  - name: Node by node
    rolling: {batch: 1}
    steps:
      - {name: Drain, haproxy.drain: {balancer: front, backend: billing, server: \"{{ host.name }}\", within: 30s}}
      - {name: Enable, haproxy.enable: {balancer: front, backend: billing, server: \"{{ host.name }}\"}}
      - {name: Gate, require: [\"host.name != 'dc1-app2'\"], file.copy: {content: new, dest: /etc/billing/new.conf}}
";

/// What the first step owes is due once the server is drained, and fails there: on the way back it is paid before the server
/// is enabled.
const OWED_WHERE_DRAINED: &str = "
targets: dc1-app1
steps:
  - {name: Copy, file.copy: {content: new, dest: /etc/billing/billing.conf}, then: [{app.restart: {app: billing}}]}
  - name: Node by node
    rolling: {batch: 1}
    steps:
      - {name: Drain, haproxy.drain: {balancer: front, backend: billing, server: \"{{ host.name }}\", within: 30s}}
      - {name: Again, file.copy: {content: newer, dest: /etc/billing/billing.conf}, then: [{app.restart: {app: billing}}]}
      - {name: Enable, haproxy.enable: {balancer: front, backend: billing, server: \"{{ host.name }}\"}}
";

/// Kills the engine on both sides of every event; after a resume the end, the acts and the state of the world are those of
/// an unbroken run.
async fn hold(name: &str, text: &str, set: impl Fn(&Rig)) {
    let whole = Rig::new();
    set(&whole);
    let end = whole.run(text).await.outcome;
    let (events, acts, standing) = (whole.journal.taken(), whole.world.done(), whole.world.standing());
    let begun = whole.records().iter().position(|r| matches!(r.event, Event::Locked { .. })).unwrap() + 1;
    for at in begun + 1..=events {
        for before in [true, false] {
            let rig = Rig::new();
            set(&rig);
            if before {
                rig.journal.kill_before(at);
            } else {
                rig.journal.kill_after(at);
            }
            assert!(rig.try_run(text).await.is_err(), "{name}: the kill at {at} was not felt");
            rig.journal.revive();
            if let Some(over) = rig.state().end {
                assert_eq!(over.outcome, end, "{name}, killed at {at}");
                continue;
            }
            let resumed =
                rig.resume().await.unwrap_or_else(|e| panic!("{name}, killed at {at}, before: {before}: {e}"));
            let told = || {
                rig.records().iter().map(|r| serde_json::to_string(&r.event).unwrap()).collect::<Vec<_>>().join("\n")
            };
            assert_eq!(resumed.outcome, end, "{name}, killed at {at}, before: {before}\n{}", told());
            assert_eq!(
                sorted(rig.world.done()),
                sorted(acts.clone()),
                "{name}, killed at {at}: an act was doubled or lost\n{}",
                told()
            );
            assert_eq!(rig.world.standing(), standing, "{name}, killed at {at}");
            assert_eq!(rig.world.harm(), whole.world.harm(), "{name}, killed at {at}\n{}", told());
        }
    }
}

/// Hosts go side by side, so only the order on one host is the same.
fn sorted(mut acts: Vec<At<Change>>) -> Vec<At<Change>> {
    acts.sort_by_key(|c| c.at.host.clone());
    acts
}

#[tokio::test(start_paused = true)]
async fn a_kill_at_any_event_changes_nothing() {
    hold("restart", RESTART, |_| {}).await;
    hold("stop, copy, start", STOP_COPY_START, |_| {}).await;
    hold("consequence", COPY_THEN, |_| {}).await;
    hold("undo by steps", UNDO_BY_STEPS, |_| {}).await;
}

#[tokio::test(start_paused = true)]
async fn a_kill_at_any_event_of_a_rollback_changes_nothing() {
    hold("served all the while", TURNS_BACK, |_| {}).await;
    hold("bad configuration", COPY_THEN, |r| r.world.breaks(&Hash::of(b"new"))).await;
    hold("failed after", STOP_COPY_START, |r| r.world.fault(3, Fault::FailedAfter)).await;
    hold("lost", STOP_COPY_START, |r| r.world.fault(2, Fault::LostAfter)).await;
    hold("twice", STOP_COPY_START, |r| {
        r.world.fault(3, Fault::FailedBefore);
        r.world.fault(4, Fault::FailedAfter);
    })
    .await;
    hold("undo by steps", UNDO_BY_STEPS, |r| r.world.fault(4, Fault::FailedBefore)).await;
    hold("owed where it is drained", OWED_WHERE_DRAINED, |r| r.world.breaks(&Hash::of(b"new"))).await;
}

#[tokio::test(start_paused = true)]
async fn a_payment_of_the_way_back_that_failed_stays_in_the_way_of_what_waited_for_it_though_a_kill_came() {
    let set = |r: &Rig| {
        r.world.breaks(&Hash::of(b"new"));
        r.world.fault(4, Fault::FailedBefore);
    };
    let rig = Rig::new();
    set(&rig);
    let end = rig.run(OWED_WHERE_DRAINED).await;
    let stands: Vec<&String> = end.stands.iter().filter(|stands| stands.contains("Drain")).collect();
    assert_eq!((end.outcome, stands.len()), (End::Failed, 1), "the drained server stays so: {end:#?}");
    hold("not paid", OWED_WHERE_DRAINED, set).await;
}

#[tokio::test(start_paused = true)]
async fn a_rollback_instead_of_a_resume_brings_all_back_from_any_event() {
    for text in [RESTART, STOP_COPY_START, COPY_THEN, UNDO_BY_STEPS] {
        let whole = Rig::new();
        whole.run(text).await;
        let events = whole.journal.taken();
        let begun = whole.records().iter().position(|r| matches!(r.event, Event::Locked { .. })).unwrap() + 1;
        for at in begun..events {
            let rig = Rig::new();
            rig.plan(text).await;
            rig.journal.kill_after(at);
            assert!(rig.try_run(text).await.is_err(), "the kill at {at} was not felt");
            rig.journal.revive();
            let end = rig.rollback().await.unwrap();
            let told = || {
                rig.records().iter().map(|r| serde_json::to_string(&r.event).unwrap()).collect::<Vec<_>>().join("\n")
            };
            assert_eq!((end.outcome, end.owed), (End::RolledBack, 0), "{:?}\n{}", end.stands, told());
            let standing = rig.world.standing();
            let off = standing.iter().filter(|(k, v)| {
                v.contains("drain")
                    || v.contains("inactive")
                    || (k.contains("billing.conf") && !v.contains(Hash::of(b"old").short()))
            });
            assert_eq!(off.collect::<Vec<_>>(), [], "killed at {at}\n{}", told());
            assert!(rig.world.harm().is_empty(), "{:?}", rig.world.harm());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reboot_in_the_gap_is_unknown_until_a_person_says() {
    let rig = Rig::new();
    rig.world.fault(2, Fault::LostAfter);
    rig.world.silent_for(std::time::Duration::from_secs(3600));
    let end = rig.run(STOP_COPY_START).await;
    assert_eq!((end.outcome, end.exit_code), (End::Unknown, 4));
    rig.world.heal();
    rig.world.reboot(&HostName::new("dc1-app1"));
    assert_eq!(rig.resume().await.unwrap().outcome, End::Unknown);
    let run = rig.journal.runs(1).unwrap().remove(0);
    let task = rig.state().doubts().next().unwrap().0.began.task.clone();
    resolve(&rig.stage(), &run, &task, true, (&me(), "looked")).await.unwrap();
    assert!(resolve(&rig.stage(), &run, &task, true, (&me(), "again")).await.is_err());
    let end = rig.resume().await.unwrap();
    // what turned the run back was that nobody knew: it goes back, and nothing is left
    assert_eq!(end.outcome, End::RolledBack, "{end:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_host_cut_off_is_unknown_and_a_resume_reads_its_receipt() {
    let text = |policy: &str| {
        format!(
            "targets: role=app, site=dc1\non_failure: {policy}\nsteps:\n  - {{file.copy: {{content: x, dest: /etc/x}}}}\n  - {{file.copy: {{content: y, dest: /etc/y}}}}\n"
        )
    };
    let rig = Rig::new();
    rig.world.fault(0, Fault::LostAfter);
    rig.world.silent_for(std::time::Duration::from_secs(3600));
    let end = rig.run(&text("continue")).await;
    assert_eq!(end.outcome, End::Unknown, "{end:#?}");
    assert_eq!(rig.done().len(), 3, "the other host went on: {:?}", rig.done());
    rig.world.heal();
    assert_eq!(rig.resume().await.unwrap().outcome, End::Done);
    assert_eq!(rig.done().len(), 4);

    let rig = Rig::new();
    rig.world.fault(0, Fault::LostAfter);
    rig.world.silent_for(std::time::Duration::from_secs(3600));
    assert_eq!(rig.run(&text("rollback")).await.outcome, End::Unknown);
    rig.world.heal();
    let end = rig.resume().await.unwrap();
    assert_eq!(end.outcome, End::RolledBack, "{end:#?}");
    assert!(rig.world.standing().iter().all(|(k, _)| !k.ends_with("/etc/x")), "{:?}", rig.world.standing());
}

#[tokio::test(start_paused = true)]
async fn a_way_back_that_failed_is_tried_again_with_its_payments_and_steps() {
    for text in [COPY_THEN, UNDO_BY_STEPS] {
        let acts = {
            let rig = Rig::new();
            rig.run(text).await;
            rig.rollback().await.unwrap();
            rig.world.acts()
        };
        let first = {
            let rig = Rig::new();
            rig.run(text).await;
            rig.world.acts()
        };
        for act in first..acts {
            let rig = Rig::new();
            rig.world.fault(act, Fault::FailedBefore);
            rig.run(text).await;
            let end = rig.rollback().await.unwrap();
            assert_eq!(end.outcome, End::Failed, "act {act}: {end:#?}");
            let end = rig.rollback().await.unwrap();
            assert_eq!((end.outcome, end.owed), (End::RolledBack, 0), "act {act}: {end:#?}");
            assert!(rig.world.harm().is_empty(), "{:?}", rig.world.harm());
        }
    }
}
