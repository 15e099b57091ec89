//! Debts that outlive their run.

use super::*;
use std::collections::BTreeSet;

/// Two runs, each of which changes a file and fails to restart the app for it: two of them owe one restart.
async fn two_that_owe_one_restart(rig: &Rig) -> [RunId; 2] {
    let text = |content: &str| RELOADS.replace("CONTENT", content);
    for (n, content) in [(1, "new"), (3, "newer")] {
        rig.world.fault(n, crate::transport::Fault::Refused);
        let end = rig.run(&text(content)).await;
        assert_eq!((end.outcome, end.owed), (End::Failed, 1), "{end:#?}");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    let runs = rig.journal.runs(2).unwrap();
    [runs[1].clone(), runs[0].clone()]
}

const RELOADS: &str = "targets: dc1-app1\non_failure: stop\nsteps:\n  - {file.copy: {content: CONTENT, dest: /etc/billing/billing.conf}, then: [{app.restart: {app: billing}}]}\n";

#[tokio::test(start_paused = true)]
async fn a_debt_that_two_runs_share_is_paid_for_both() {
    let rig = Rig::new();
    let [first, second] = two_that_owe_one_restart(&rig).await;
    let owed = || owing::owed(&*rig.journal, &rig.project.inventory.project).unwrap();
    assert_eq!(owed().into_iter().map(|(run, _)| run).collect::<Vec<_>>(), [first.clone(), second.clone()]);
    assert_eq!(rig.run(&RELOADS.replace("CONTENT", "newer")).await.outcome, End::Done);
    assert_eq!(owed(), []);
    for run in [first, second] {
        assert_eq!(rig.journal.paid_of(&run).unwrap().len(), 1, "{run}");
        assert!(!rig.journal.troubled().unwrap().contains(&run));
    }
}

#[tokio::test(start_paused = true)]
async fn a_consequence_that_a_person_saw_to_is_owed_by_no_run_any_more() {
    let rig = Rig::new();
    let [first, second] = two_that_owe_one_restart(&rig).await;
    let by = (&me(), "restarted by hand");
    for wrong in ["2@dc1-app1", "1@dc1-app2"] {
        assert!(resolve(&rig.stage(), &first, &TaskId::from(wrong), true, by).await.is_err(), "{wrong}");
    }
    let owes = TaskId::from("1@dc1-app1");
    assert!(resolve(&rig.stage(), &first, &owes, false, by).await.is_err(), "what was not done is owed still");
    resolve(&rig.stage(), &first, &owes, true, by).await.unwrap();
    assert_eq!(owing::owed(&*rig.journal, &rig.project.inventory.project).unwrap(), []);
    let state = RunState::fold(&rig.journal.records(&first).unwrap());
    assert!(state.tasks[0].forward.done() && state.debts.is_empty(), "{state:#?}");
    assert!(resolve(&rig.stage(), &first, &owes, true, by).await.is_err());
    assert!(resolve(&rig.stage(), &second, &TaskId::from("1.then1@dc1-app1"), true, by).await.is_err(), "it is paid");
}

#[tokio::test(start_paused = true)]
async fn what_another_project_owes_is_not_taken_over() {
    let mut rig = Rig::new();
    let [first, _] = two_that_owe_one_restart(&rig).await;
    "other".clone_into(&mut rig.project.inventory.project);
    let done = rig.done().len();
    assert_eq!(rig.run(&RELOADS.replace("CONTENT", "newer")).await.outcome, End::Done);
    assert_eq!(rig.done().len(), done, "nothing is changed, and nothing of its own is owed");
    assert_eq!(rig.journal.paid_of(&first).unwrap(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_debt_of_one_step_is_not_paid_by_its_siblings_too() {
    const SIDE_BY_SIDE: &str = "
targets: dc1-app1
steps:
  - name: Side by side
    parallel: true
    steps:
      - {name: A, file.copy: {content: new, dest: /etc/billing/billing.conf}, then: [{app.restart: {app: billing}}]}
      - {name: B, file.copy: {content: b, dest: /etc/b}}
      - {name: C, file.copy: {content: c, dest: /etc/c}}
";
    for act in 0..4 {
        let rig = Rig::new();
        rig.world.fault(act, crate::transport::Fault::TimedOut);
        assert_eq!(rig.run(SIDE_BY_SIDE).await.outcome, End::RolledBack, "act {act}");
        let mut carried = BTreeSet::new();
        for record in rig.records() {
            if let Event::Carried { task, way, number, .. } = record.event {
                assert!(carried.insert((task.clone(), way, number)), "act {act}: `{task}` was carried twice");
            }
        }
    }
}
