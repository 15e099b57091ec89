//! What one step's failure, doubt or kill does to others: siblings in a parallel group, earlier tries, batches that stay.

use super::*;
use crate::{base::Way, journal::event::Scope, transport::Fault};
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
    let mut end = End::Unknown;
    for _ in 0..2 {
        rig.world.heal();
        end = rig.resume().await.map_or(end, |summary| summary.outcome);
    }
    assert_eq!(end, End::Failed, "{}", told(&rig));
}
