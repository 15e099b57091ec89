//! What one step's failure, doubt or kill does to others: siblings in a parallel group, earlier tries, batches that stay.

use super::*;
use crate::{
    base::Way,
    journal::event::{How, Scope},
    transport::Fault,
};
use std::{collections::BTreeSet, time::Duration};

const LEAVES: &str = "
targets: role=app, site=dc1
on_failure: {do: rollback, scope: host}
steps:
  - name: Side by side
    parallel: true
    steps:
      - {name: Slow, file.copy: {content: one, dest: /etc/slow}}
      - {name: Gate, require: [\"1 == 2\"], file.copy: {content: no, dest: /etc/gate}}
";

/// Cuts a host off at an event.
struct Cut {
    world: Arc<Simulated>,
    host: HostName,
    at: fn(&Event) -> bool,
}

impl Watcher for Cut {
    fn record(&self, record: &Record) {
        if (self.at)(&record.event) {
            self.world.cut(&self.host);
        }
    }
    fn notice(&self, _: &Notice) {}
}

/// Runs it, and cuts the first host off at an event.
async fn run_cut(rig: &Rig, text: &str, at: fn(&Event) -> bool) -> Summary {
    let order = rig.order(text);
    let planned = rig.plan(text).await;
    let watcher = Cut { world: Arc::clone(&rig.world), host: HostName::new("dc1-app1"), at };
    let stage = Stage { watcher: Arc::new(watcher), ..rig.stage() };
    run(&stage, &order, &planned, None, never()).await.unwrap().summary
}

/// Resumes until nobody is asked for anything more.
async fn heal(rig: &Rig) -> End {
    let mut end = End::Unknown;
    for _ in 0..3 {
        rig.world.heal();
        end = rig.resume().await.map_or(end, |summary| summary.outcome);
    }
    end
}

fn told(rig: &Rig) -> String {
    rig.records().iter().map(|r| serde_json::to_string(&r.event).unwrap()).collect::<Vec<_>>().join("\n")
}

#[tokio::test(start_paused = true)]
async fn a_host_goes_back_by_itself_once_none_of_a_parallel_group_is_under_way_on_it() {
    for parallel in [1, 8] {
        let rig = Rig::new();
        let stage = rig.stage();
        let order = Order { parallel, ..rig.order(LEAVES) };
        let planned = plan(&stage, &order).await.unwrap();
        rig.world.fault(0, Fault::TimedOut);
        run(&stage, &order, &planned, None, never()).await.unwrap();
        let (mut ended, mut left) = (BTreeSet::new(), BTreeSet::new());
        for record in rig.records() {
            let host = |task: &TaskId| task.as_str().rsplit_once('@').unwrap().1.to_owned();
            match record.event {
                Event::Began(began) => assert!(!left.contains(&host(&began.task)), "{}", told(&rig)),
                Event::Carried { task, way: Way::Forward, .. } => {
                    assert!(!ended.contains(&task) && !left.contains(&host(&task)), "{}", told(&rig));
                }
                Event::Ended { task, way: Way::Forward, .. } => assert!(ended.insert(task), "{}", told(&rig)),
                Event::RollingBack { scope: Scope::Host(host), .. } => drop(left.insert(host.as_str().to_owned())),
                _ => {}
            }
        }
        assert_eq!(left.len(), 2, "{}", told(&rig));
        let stands: Vec<_> = rig.world.standing().into_iter().filter(|(what, _)| what.contains("/etc/slow")).collect();
        assert!(stands.iter().all(|(_, is)| is == "None"), "{stands:?}\n{}", told(&rig));
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_failed_and_was_refused_at_its_second_try_is_named_for_what_the_first_may_have_done() {
    let rig = Rig::new();
    rig.world.fault(0, Fault::FailedAfter);
    rig.world.fault(1, Fault::Refused);
    let marks = "
targets: dc1-app1
on_failure: {do: stop, scope: host}
steps:
  - {name: Mark, command: touch /m, undo: [{command: rm /m}], retry: {attempts: 2, delay: 1s}}
";
    let end = rig.run(marks).await;
    assert_eq!((end.outcome, end.changed), (End::Failed, 1), "{}", told(&rig));
    assert!(end.stands.iter().any(|stands| stands.contains("`Mark` on `dc1-app1`")), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn what_became_of_a_step_is_found_out_though_its_sibling_ends_the_way_there() {
    // the sibling comes first, and fails while the other one is under way
    const ENDS: &str = "
targets: dc1-app1
steps:
  - name: Side by side
    parallel: true
    steps:
      - {name: Ends, check.app: {app: billing, min_healthy: 9}, retry: {attempts: 2, delay: 1s}}
      - {name: Slow, file.copy: {content: one, dest: /etc/slow}}
";
    for failure in ["stop", "continue", "{do: stop, scope: host}", "rollback", "{do: rollback, scope: host}"] {
        for fault in [Fault::LostBefore, Fault::LostAfter] {
            let rig = Rig::new();
            rig.world.fault(0, fault);
            rig.world.silent_for(Duration::from_secs(4000));
            let text = format!("{ENDS}on_failure: {failure}\n");
            assert_eq!(rig.run(&text).await.outcome, End::Unknown, "{failure}, {fault:?}\n{}", told(&rig));
            rig.world.heal();
            let end = rig.resume().await.unwrap();
            assert_ne!(end.outcome, End::Unknown, "{failure}, {fault:?}\n{}", told(&rig));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_was_told_is_found_out_though_its_batch_stays_as_it_is() {
    let rig = Rig::new();
    rig.world.fault_undo(&TaskId::from("1.1@dc1-app1"), Fault::LostAfter);
    rig.world.fault_undo(&TaskId::from("1.1@dc1-app2"), Fault::FailedBefore);
    rig.world.silent_for(Duration::from_secs(4000));
    let text = "
targets: role=app, site=dc1
on_failure: rollback
steps:
  - name: First
    rolling: {batch: 1}
    steps:
      - {name: Drain, haproxy.drain: {balancer: front, backend: billing, server: \"{{ host.name }}\", within: 30s}}
      - {name: Copy, file.copy: {content: new, dest: /etc/first}}
      - {name: Enable, haproxy.enable: {balancer: front, backend: billing, server: \"{{ host.name }}\"}}
  - name: Second
    rolling: {batch: 1, max_failed: 1}
    steps:
      - {name: Gate, require: [\"1 == 2\"], file.copy: {content: no, dest: /etc/gate}}
";
    assert_eq!(rig.run(text).await.outcome, End::Unknown, "{}", told(&rig));
    assert_eq!(heal(&rig).await, End::Failed, "{}", told(&rig));
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_has_told_its_host_nothing_is_called_off_where_its_batch_stays_as_it_is() {
    let rig = Rig::new();
    // the second host's undo waits for the last, so it fails once the first host is in doubt
    rig.world.fault(5, Fault::FailedAfter);
    rig.world.fault_undo(&TaskId::from("2.2@dc1-app2"), Fault::FailedBefore);
    let text = "
targets: role=app, site=dc1
steps:
  - {name: Stop, app.stop: {app: billing}}
  - name: Node by node
    rolling: {batch: 1}
    steps:
      - {name: Copy, file.copy: {content: new, dest: /etc/first}}
      - {name: Start, app.start: {app: billing}}
";
    let end = run_cut(&rig, text, |event| matches!(event, Event::RollingBack { .. })).await;
    assert_eq!(end.outcome, End::Unknown, "{}", told(&rig));
    assert_eq!(heal(&rig).await, End::Failed, "{}", told(&rig));
    let state = rig.state();
    let undo = state.task(&TaskId::from("2.2@dc1-app1")).unwrap().undo.clone().unwrap();
    assert!(matches!(undo.how, Some(How::Refused(why)) if why.contains("later batch")), "{}", told(&rig));
    assert_eq!(undo.announced, 0);
}

#[tokio::test(start_paused = true)]
async fn the_way_back_of_a_host_comes_to_its_end_though_the_run_goes_back_after_it_and_a_later_batch_stays() {
    // nobody undoes the mark of the second host, so nothing else of it goes back, and the first host's batch stays
    const STAYS: &str = "
targets: role=app, site=dc1
on_failure: rollback
steps:
  - name: Node by node
    rolling: {batch: 1, max_failed: 1}
    steps:
      - {name: Drain, haproxy.drain: {balancer: front, backend: billing, server: \"{{ host.name }}\", within: 30s}}
      - {name: Mark, command: touch /m, targets: dc1-app2}
      - {name: Extra, file.copy: {content: one, dest: /etc/extra}}
      - {name: Copy, file.copy: {content: new, dest: /etc/billing/billing.conf}, then: [{app.restart: {app: billing}}]}
      - {name: Enable, haproxy.enable: {balancer: front, backend: billing, server: \"{{ host.name }}\"}}
";
    let whole = |rig: &Rig| {
        let standing = rig.world.standing();
        let (server, extra) = (standing.get("haproxy/backend/billing/dc1-app1"), standing.get("dc1-app1/etc/extra"));
        assert!(extra.is_none_or(|is| is == "None"), "{standing:#?}");
        assert!(server.is_none_or(|is| !is.contains("drain")), "{standing:#?}");
    };
    // lost with a payment on its way back
    let rig = Rig::new();
    rig.world.breaks(&Hash::of(b"new"));
    rig.world.fault(5, Fault::LostAfter);
    rig.world.silent_for(Duration::from_secs(4000));
    assert_eq!(rig.run(STAYS).await.outcome, End::Unknown, "{}", told(&rig));
    assert_eq!(heal(&rig).await, End::Failed, "{}", told(&rig));
    whole(&rig);
    // lost before its next undo was told anything
    let rig = Rig::new();
    rig.world.breaks(&Hash::of(b"new"));
    let paid = |event: &Event| matches!(event, Event::Ended { task, .. } if task.as_str() == "1.4.then1@dc1-app1~");
    assert_eq!(run_cut(&rig, STAYS, paid).await.outcome, End::Unknown, "{}", told(&rig));
    assert_eq!(heal(&rig).await, End::Failed, "{}", told(&rig));
    whole(&rig);
}

#[tokio::test(start_paused = true)]
async fn a_resume_does_not_say_the_phase_again_of_a_step_that_failed_at_its_first_item() {
    let rig = Rig::new();
    rig.world.fault(0, Fault::Refused);
    let text = "
targets: role=app, site=dc1
steps:
  - name: Each
    for_each: [x, y]
    file.copy: {content: \"{{ item }}\", dest: \"/etc/{{ item }}\"}
    targets: dc1-app1
    on_failure: {do: stop, scope: host}
  - {name: Last, file.copy: {content: one, dest: /etc/last}}
";
    let whole = Rig::new();
    whole.world.fault(0, Fault::Refused);
    whole.run(text).await;
    let events = whole.journal.taken();
    rig.journal.kill_before(events);
    assert!(rig.try_run(text).await.is_err(), "the kill was not felt");
    rig.journal.revive();
    rig.resume().await.unwrap();
    let phases = |rig: &Rig| rig.records().iter().filter(|r| matches!(r.event, Event::Phase { .. })).count();
    assert_eq!(phases(&rig), phases(&whole), "{}", told(&rig));
}
