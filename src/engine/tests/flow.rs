use super::*;
use crate::{
    engine::{finish::sum_up, plan::Certainty},
    journal::state::{Leg, TaskState},
};

#[tokio::test(start_paused = true)]
async fn stop_copy_start_is_planned_as_three_acts_and_touches_nothing() {
    let rig = Rig::new();
    let planned = rig.plan(STOP_COPY_START).await;
    assert_eq!(
        words(&planned),
        [
            "dc1-app1: set `billing/dc1-app1` to drain",
            "dc1-app1: stop `billing.service`",
            "dc1-app1: write `/etc/billing/billing.conf`",
            "dc1-app1: start `billing.service`",
            "dc1-app1: set `billing/dc1-app1` to ready",
        ]
    );
    assert!(rig.world.done().is_empty());
    assert!(planned.plan.tasks.iter().all(|t| t.certainty == Certainty::Exact), "{:#?}", planned.plan.tasks);
    assert_eq!(planned.plan.hash, rig.plan(STOP_COPY_START).await.plan.hash);
}

#[tokio::test(start_paused = true)]
async fn a_rolling_restart_goes_node_by_node_and_leaves_nothing_owed() {
    let rig = Rig::new();
    let end = rig.run(RESTART).await;
    assert_eq!((end.outcome, end.owed, end.why), (End::Done, 0, None));
    let node = |n: u8| {
        [
            format!("lb: set `billing/dc1-app{n}` to drain"),
            format!("dc1-app{n}: restart `billing.service`"),
            format!("lb: set `billing/dc1-app{n}` to ready"),
        ]
    };
    assert_eq!(rig.done(), [node(1), node(2)].concat());
    assert!(rig.world.harm().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_done_already_is_not_done_again() {
    let rig = Rig::new();
    let end = rig.run("targets: role=app\nsteps:\n  - {app.start: {app: billing}}\n").await;
    assert_eq!((end.outcome, end.changed), (End::Done, 0));
    assert!(rig.world.done().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_consequence_is_paid_once_before_what_follows_and_again_after_the_undo() {
    let rig = Rig::new();
    assert_eq!(rig.run(COPY_THEN).await.outcome, End::Done);
    assert_eq!(
        rig.done()[..4],
        [
            "lb: set `billing/dc1-app1` to drain",
            "dc1-app1: write `/etc/billing/billing.conf`",
            "dc1-app1: restart `billing.service`",
            "lb: set `billing/dc1-app1` to ready",
        ]
    );
    let rig = Rig::new();
    rig.world.breaks(&Hash::of(b"new"));
    let end = rig.run(COPY_THEN).await;
    assert_eq!((end.outcome, end.owed), (End::RolledBack, 0), "{:#?}", end.stands);
    assert_eq!(
        rig.done(),
        [
            "lb: set `billing/dc1-app1` to drain",
            "dc1-app1: write `/etc/billing/billing.conf`",
            "dc1-app1: restart `billing.service`",
            "dc1-app1: write `/etc/billing/billing.conf`",
            "dc1-app1: restart `billing.service`",
            "lb: set `billing/dc1-app1` to ready",
        ]
    );
    assert!(rig.world.harm().is_empty(), "{:?}", rig.world.harm());
}

#[tokio::test(start_paused = true)]
async fn a_state_that_lets_go_of_what_has_ended_tells_the_same() {
    let rig = Rig::new();
    rig.world.breaks(&Hash::of(b"new"));
    rig.run(COPY_THEN).await;
    let (whole, mut light) = (rig.state(), RunState::default());
    for record in rig.records() {
        light.apply(&record);
        if let Event::Ended { task, .. } = &record.event {
            light.let_go(task);
        }
    }
    let told = |state: &RunState| {
        let legs =
            |t: &TaskState| (t.forward.announced, t.forward.done(), t.undo.as_deref().map(Leg::done), t.stands());
        (sum_up(state, false), state.tasks.iter().map(legs).collect::<Vec<_>>())
    };
    assert_eq!(told(&light), told(&whole));
    let kept = |t: &TaskState| !t.forward.did.is_empty() || t.began.before.is_some() || t.after.is_some();
    assert!(whole.tasks.iter().any(kept) && !light.tasks.iter().any(kept));
}

#[tokio::test(start_paused = true)]
async fn two_debtors_owe_one_restart() {
    let rig = Rig::new();
    let end = rig
        .run(
            "
targets: dc1-app1
steps:
  - {file.copy: {content: one, dest: /etc/billing/billing.conf}, then: [{app.restart: {app: billing}}]}
  - {file.copy: {content: two, dest: /etc/billing/other.conf}, then: [{app.restart: {app: billing}}]}
  - {file.copy: {content: three, dest: /etc/billing/third}}
",
        )
        .await;
    assert_eq!(end.outcome, End::Done);
    let done = rig.done();
    assert_eq!(done.len(), 4);
    assert_eq!(done[2], "dc1-app1: restart `billing.service`");
}

#[tokio::test(start_paused = true)]
async fn a_failed_restart_as_a_plain_step_is_undone_after_the_file_before_it() {
    let rig = Rig::new();
    rig.world.breaks(&Hash::of(b"bad"));
    let end = rig
        .run(
            "
targets: dc1-app1
steps:
  - {haproxy.drain: {balancer: front, backend: billing, server: dc1-app1, within: 30s}}
  - {file.copy: {content: bad, dest: /etc/billing/billing.conf}}
  - {app.restart: {app: billing}}
  - {haproxy.enable: {balancer: front, backend: billing, server: dc1-app1}}
",
        )
        .await;
    assert_eq!(end.outcome, End::RolledBack, "{end:#?}");
    assert_eq!(
        rig.done()[3..],
        [
            "dc1-app1: write `/etc/billing/billing.conf`",
            "dc1-app1: start `billing.service`",
            "lb: set `billing/dc1-app1` to ready",
        ]
    );
    assert!(rig.world.harm().is_empty(), "{:?}", rig.world.harm());
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_things_are_as_before_is_not_drained_to_be_undone() {
    let rig = Rig::new();
    // the second node's restart fails, and so does its start: the first node served well and goes on serving
    let bad = Hash::of(b"old");
    rig.plan(RESTART).await;
    let conf = || Read::File { path: "/etc/billing/billing.conf".into() };
    rig.world.learn(&Place::on(&HostName::new("dc1-app2")).at(conf()), &usual(&conf()));
    rig.world.breaks(&bad);
    let end = rig.run(RESTART).await;
    assert_eq!(end.outcome, End::Failed, "{end:#?}");
    assert!(end.owed > 0 && end.stands.iter().any(|s| s.contains("dc1-app2")), "{:?}", end.stands);
    let done = rig.done();
    assert_eq!(done.iter().filter(|d| d.contains("billing/dc1-app1")).count(), 2, "{done:?}");
    assert_eq!(done.iter().filter(|d| d.contains("billing/dc1-app2` to ready")).count(), 0, "{done:?}");
}

#[tokio::test(start_paused = true)]
async fn expressions_see_outputs_items_and_hosts() {
    let rig = Rig::new();
    let end = rig
        .run(
            "
targets: role=app, site=dc1
steps:
  - {id: look, check.http: {url: \"http://{{ host.address }}:8080/health\", status: 200}}
  - {name: Never, when: \"steps.look.at[host.name].status == 500\", app.stop: {app: billing}}
  - name: Each
    for_each: [a, b]
    file.copy: {content: \"{{ item }} of {{ host.name }}\", dest: \"/etc/{{ item }}\"}
  - {name: Required, require: [\"steps.look.at[host.name].status == 200\"], app.reload: {app: billing-tls}}
",
        )
        .await;
    assert_eq!(end.outcome, End::Done, "{end:#?}");
    let state = rig.state();
    assert_eq!(state.skipped.len(), 2);
    assert!(rig.done().contains(&"dc1-app2: write `/etc/b`".to_owned()), "{:?}", rig.done());
}

#[tokio::test(start_paused = true)]
async fn a_requirement_that_does_not_hold_refuses_and_everything_goes_back() {
    let rig = Rig::new();
    let before = "
targets: dc1-app1
steps:
  - {file.copy: {content: x, dest: /etc/x.conf}}
  - {name: Gate, require: [\"1 == 2\"], app.stop: {app: billing}}
";
    let end = rig.run(before).await;
    assert_eq!(end.outcome, End::RolledBack);
    assert!(end.why.unwrap().contains("`require: 1 == 2` does not hold"));
    assert_eq!(rig.done().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn on_failure_continue_leaves_one_host_and_goes_on_with_the_others() {
    let rig = Rig::new();
    rig.world.fault(0, crate::transport::Fault::FailedBefore);
    let end = rig
        .run("targets: role=app\non_failure: continue\nsteps:\n  - {file.copy: {content: x, dest: /etc/x.conf}}\n  - {file.copy: {content: y, dest: /etc/y.conf}}\n")
        .await;
    assert_eq!(end.outcome, End::Failed);
    assert_eq!(rig.done().len(), 6, "{:?}", rig.done());
}

#[tokio::test(start_paused = true)]
async fn an_app_that_is_left_sick_stands_and_is_named() {
    let rig = Rig::new();
    rig.world.fault(0, crate::transport::Fault::Sick);
    let end = rig.run("targets: dc1-app1\non_failure: stop\nsteps:\n  - {app.restart: {app: billing}}\n").await;
    assert_eq!((end.outcome, end.exit_code), (End::Failed, 3), "{end:#?}");
    assert!(end.stands[0].contains("did not become healthy"), "{:?}", end.stands);
}

#[tokio::test(start_paused = true)]
async fn scope_host_takes_one_host_back_and_leaves_the_others_done() {
    let rig = Rig::new();
    rig.world.fault(4, crate::transport::Fault::FailedBefore);
    let end = rig
        .run("targets: role=app\non_failure: {do: rollback, scope: host}\nsteps:\n  - {file.copy: {content: x, dest: /etc/x.conf}}\n  - {file.copy: {content: y, dest: /etc/y.conf}}\n")
        .await;
    assert_eq!(end.outcome, End::Failed);
    let done = rig.done();
    assert_eq!(done.len(), 4 + 3 + 1, "{done:?}");
}

#[tokio::test(start_paused = true)]
async fn a_later_run_pays_what_an_earlier_one_owes() {
    let rig = Rig::new();
    let text = "targets: dc1-app1\non_failure: stop\nsteps:\n  - {file.copy: {content: new, dest: /etc/billing/billing.conf}, then: [{app.restart: {app: billing}}]}\n";
    rig.world.fault(1, crate::transport::Fault::Refused);
    let end = rig.run(text).await;
    assert_eq!((end.outcome, end.owed), (End::Failed, 1));
    assert_eq!(owing::owed(&*rig.journal, &rig.project.inventory.project).unwrap().len(), 1);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let end = rig.run(text).await;
    assert_eq!((end.outcome, end.owed), (End::Done, 0));
    assert_eq!(rig.done(), ["dc1-app1: write `/etc/billing/billing.conf`", "dc1-app1: restart `billing.service`"]);
    assert_eq!(owing::owed(&*rig.journal, &rig.project.inventory.project).unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_was_not_made_is_owed_until_a_later_run_brings_the_thing_where_it_should_be() {
    let rig = Rig::new();
    // the restart fails, and so does the start that would undo it
    rig.world.fault(1, crate::transport::Fault::Sick);
    rig.world.fault(2, crate::transport::Fault::FailedBefore);
    let one = RESTART.replace("role=app, site=dc1", "dc1-app2");
    let end = rig.run(&one).await;
    assert_eq!((end.outcome, end.owed > 0), (End::Failed, true), "{end:#?}");
    let owing = rig.journal.runs(1).unwrap().remove(0);
    let named: Vec<TaskId> = finish::unmade(&rig.state()).map(|t| t.began.task.clone()).collect();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(rig.run(&one).await.outcome, End::Done);
    let paid: Vec<String> = rig
        .records()
        .into_iter()
        .filter_map(|r| match r.event {
            Event::Paid { debt, .. } => Some(debt),
            _ => None,
        })
        .collect();
    assert_eq!(paid, ["undo 1.1@dc1-app2", "undo 1.2@dc1-app2"]);
    // or until a person says that it was put right
    for task in named {
        resolve(&rig.stage(), &owing, &task, true, (&me(), "by hand")).await.unwrap();
        assert!(resolve(&rig.stage(), &owing, &task, true, (&me(), "again")).await.is_err());
    }
    let state = RunState::fold(&rig.journal.records(&owing).unwrap());
    assert_eq!(finish::unmade(&state).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_opaque_command_makes_what_it_touches_conditional() {
    let rig = Rig::new();
    let planned = rig
        .plan(
            "
targets: dc1-app1
steps:
  - {id: cmd, command: /bin/x, touches: [\"app:billing\"], undo: [{command: /bin/y}]}
  - {app.start: {app: billing}}
  - {file.copy: {content: x, dest: /etc/x.conf}}
  - {when: \"steps.cmd.one.stdout == 'x'\", app.stop: {app: billing-tls}}
",
        )
        .await;
    let certain: Vec<_> = planned.plan.tasks.iter().map(|t| (t.certainty, t.known_after.as_deref())).collect();
    assert_eq!(
        certain,
        [
            (Certainty::Opaque, None),
            (Certainty::Conditional, Some("1")),
            (Certainty::Exact, None),
            (Certainty::Conditional, Some("1")),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_host_that_does_not_answer_the_plan_stops_a_run_before_it_touches_anything() {
    let text = |policy: &str| {
        format!(
            "targets: role=app, site=dc1\non_failure: {policy}\nsteps:\n  - {{file.copy: {{content: x, dest: /etc/x}}}}\n"
        )
    };
    let rig = Rig::new();
    rig.world.cut(&HostName::new("dc1-app2"));
    let end = rig.run(&text("rollback")).await;
    assert_eq!((end.outcome, end.exit_code, rig.done().len()), (End::RolledBack, 1, 0), "{end:#?}");
    assert!(end.why.unwrap().ends_with("nothing was touched"));
    let rig = Rig::new();
    rig.world.cut(&HostName::new("dc1-app2"));
    let end = rig.run(&text("continue")).await;
    assert_eq!((end.outcome, rig.done().len()), (End::Failed, 1), "the other host goes on: {end:#?}");
}

#[tokio::test(start_paused = true)]
async fn an_always_command_does_not_stand_in_the_way_of_a_clean_end() {
    let rig = Rig::new();
    let end = rig
        .run("targets: dc1-app1\nsteps:\n  - {require: [\"false\"], app.stop: {app: billing}}\n  - {name: Always, always: true, command: /bin/tell}\n")
        .await;
    assert_eq!((end.outcome, end.stands.len()), (End::RolledBack, 0), "{end:#?}");
    assert_eq!(rig.done().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn limits_refuse_a_plan_that_would_touch_more() {
    let rig = Rig::new();
    let end = rig.run("targets: role=app\nlimits: {sites: 1}\nsteps:\n  - {app.restart: {app: billing}}\n").await;
    assert_eq!((end.outcome, end.exit_code), (End::NotAllowed, 77));
    assert!(rig.done().is_empty());
}

#[tokio::test(start_paused = true)]
async fn always_steps_run_once_after_a_failure_too() {
    let rig = Rig::new();
    let end = rig
        .run("targets: dc1-app1\nsteps:\n  - {require: [\"false\"], app.stop: {app: billing}}\n  - {name: Tell, always: true, notify.webhook: {url: \"http://127.0.0.1:9/x\", body: \"{{ run.outcome }}\"}}\n")
        .await;
    assert_eq!(end.outcome, End::RolledBack, "{end:#?}");
    assert_eq!(rig.done().len(), 1, "{:?}", rig.done());
    let told = rig.world.done();
    assert!(
        matches!(&told[0].what, Change::Tell(ask) if ask.body.as_ref().unwrap().0.contains("rolled_back")),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_group_says_holds_for_all_its_steps() {
    let rig = Rig::new();
    let text = "
targets: dc1-app1
steps:
  - name: Not here
    when: \"host.name == 'dc1-app2'\"
    steps: [{app.stop: {app: billing}}]
  - name: Not now
    require: [\"1 == 2\"]
    steps: [{app.stop: {app: billing}}]
";
    let end = rig.run(text).await;
    assert_eq!(end.outcome, End::RolledBack);
    assert!(end.why.unwrap().contains("`require: 1 == 2` does not hold"));
    assert_eq!(rig.state().skipped.len(), 1);
    assert!(rig.done().is_empty(), "{:?}", rig.done());
}

#[tokio::test(start_paused = true)]
async fn what_a_runbook_requires_is_asked_before_anything_is_touched() {
    let rig = Rig::new();
    let text = "targets: dc1-app1\nparams: {n: {type: int, default: 1}}\nrequire: [params.n > 1]\nsteps:\n  - {app.stop: {app: billing}}\n";
    let end = rig.run(text).await;
    assert_eq!((end.outcome, end.why.as_deref()), (End::NotAllowed, Some("`require: params.n > 1` does not hold")));
    assert!(rig.done().is_empty());
    assert!(rig.rollback().await.is_err(), "there is nothing to take back");
}

#[tokio::test(start_paused = true)]
async fn a_consequence_has_a_deadline_and_a_condition_of_its_own() {
    let rig = Rig::new();
    let text = "
targets: role=app, site=dc1
steps:
  - file.copy: {content: x, dest: /etc/x.conf}
    timeout: 1m
    then:
      - {app.restart: {app: billing}, timeout: 7s, when: \"host.name == 'dc1-app1'\"}
";
    assert_eq!(rig.run(text).await.outcome, End::Done);
    let state = rig.state();
    let paid: Vec<_> = state.tasks.iter().filter(|t| t.began.pays.is_some()).collect();
    assert_eq!(paid.len(), 1);
    assert_eq!((paid[0].began.host.as_str(), paid[0].began.within), ("dc1-app1", crate::base::Span::secs(7)));
}

#[tokio::test(start_paused = true)]
async fn what_undo_steps_bring_back_owes_the_consequence_again() {
    let rig = Rig::new();
    let text = "
targets: dc1-app1
steps:
  - command: /bin/new
    touches: [\"file:/opt/billing\"]
    undo: [{command: /bin/old, touches: [\"file:/opt/billing\"]}]
    then: [{app.restart: {app: billing}}]
  - {require: [\"false\"], command: /bin/x, undo: [{command: /bin/y}]}
";
    let end = rig.run(text).await;
    assert_eq!((end.outcome, end.owed), (End::RolledBack, 0), "{end:#?}");
    assert_eq!(
        rig.done(),
        [
            "dc1-app1: run `/bin/new`",
            "dc1-app1: restart `billing.service`",
            "dc1-app1: run `/bin/old`",
            "dc1-app1: restart `billing.service`",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_inherited_debt_is_paid_under_this_runs_own_number() {
    let rig = Rig::new();
    let one = "targets: dc1-app1\non_failure: stop\nsteps:\n  - {file.copy: {content: new, dest: /etc/billing/billing.conf}, then: [{app.restart: {app: billing}}]}\n";
    rig.world.fault(1, crate::transport::Fault::Refused);
    assert_eq!(rig.run(one).await.owed, 1);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let other = "
targets: dc1-app1
steps:
  - {file.copy: {content: new, dest: /etc/tls.conf}, then: [{app.restart: {app: billing-tls}}]}
  - {file.copy: {content: new, dest: /etc/billing/billing.conf}, then: [{app.restart: {app: billing}}]}
";
    assert_eq!(rig.run(other).await.outcome, End::Done);
    assert_eq!(owing::owed(&*rig.journal, &rig.project.inventory.project).unwrap().len(), 0);
}

/// Cuts the host off when its first task has ended.
struct Cut(Arc<Simulated>);
impl Watcher for Cut {
    fn record(&self, record: &Record) {
        if matches!(record.event, Event::Ended { .. }) {
            self.0.cut(&HostName::new("dc1-app1"));
        }
    }
    fn notice(&self, _: &Notice) {}
}

#[tokio::test(start_paused = true)]
async fn a_payment_that_cannot_begin_is_a_failure_and_stays_owed() {
    let rig = Rig::new();
    let text = "targets: dc1-app1\non_failure: continue\nsteps:\n  - {file.copy: {content: new, dest: /etc/x.conf}, then: [{app.restart: {app: billing-tls}}]}\n";
    let stage = Stage { watcher: Arc::new(Cut(Arc::clone(&rig.world))), ..rig.stage() };
    let order = rig.order(text);
    let planned = plan(&rig.stage(), &order).await.unwrap();
    let end = run(&stage, &order, &planned, None, never()).await.unwrap().summary;
    assert_eq!((end.outcome, end.owed), (End::Failed, 1), "{end:#?}");
}

#[tokio::test(start_paused = true)]
async fn an_app_left_sick_by_a_failed_restart_is_not_as_before() {
    let rig = Rig::new();
    rig.world.fault(0, crate::transport::Fault::Sick);
    let end = rig.run("targets: dc1-app1\nsteps:\n  - {app.restart: {app: billing}}\n").await;
    assert_eq!(end.outcome, End::RolledBack, "{end:#?}");
    assert!(!rig.world.standing().values().any(|is| is.contains("sick")), "{:?}", rig.world.standing());
}

#[tokio::test(start_paused = true)]
async fn one_always_step_that_fails_does_not_hold_the_others() {
    let rig = Rig::new();
    let tell = |name: &str| {
        format!("{{name: {name}, always: true, notify.webhook: {{url: \"http://127.0.0.1:9/{name}\", body: x}}}}")
    };
    let text = format!(
        "targets: dc1-app1\non_failure: continue\nsteps:\n  - {{require: [\"false\"], app.stop: {{app: billing}}}}\n  - {}\n  - {}\n  - {{name: Note, always: true, file.copy: {{content: x, dest: /etc/x}}}}\n",
        tell("one"),
        tell("two")
    );
    rig.world.fault(0, crate::transport::Fault::FailedBefore);
    rig.run(&text).await;
    assert_eq!(rig.world.acts(), 3, "{:?}", rig.done());
}

#[tokio::test]
async fn a_run_keeps_the_plan_that_was_shown_and_each_diff_once() {
    let rig = Rig::new();
    assert_eq!(rig.run(COPY_THEN).await.outcome, End::Done);
    let header = rig.state().header.unwrap();
    let bytes = rig.journal.get(&header.shown.unwrap()).unwrap();
    let shown: crate::journal::shown::Shown = serde_json::from_slice(&bytes).unwrap();
    let copy = shown.steps.iter().find(|s| s.number == "1.2").unwrap();
    let tasks: Vec<&str> = copy.tasks.iter().map(TaskId::as_str).collect();
    assert_eq!((tasks, copy.certainty.as_str()), (vec!["1.2@dc1-app1", "1.2@dc1-app2"], "exact"));
    assert_eq!(shown.diffs.len(), 1, "{:?}", shown.diffs);
    let (old, new) = (Hash::of(b"old"), Hash::of(b"new"));
    let diff = shown.diff(Some(&old.0), Some(&new.0)).unwrap();
    assert!(diff.starts_with("@@") && diff.contains("\n-old") && diff.contains("\n+new"), "{diff}");
    assert_eq!(shown.diff(Some(&new.0), Some(&old.0)), None);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_stopped_before_its_first_task_can_be_rolled_back_and_is_over_then() {
    let rig = Rig::new();
    let (stage, order) = (rig.stage(), rig.order(STOP_COPY_START));
    let planned = plan(&stage, &order).await.unwrap();
    let (_ask, stop) = watch::channel(1);
    let ended = run(&stage, &order, &planned, None, stop).await.unwrap();
    assert_eq!((ended.summary.outcome, rig.state().tasks.len()), (End::Stopped, 0));
    let back = rig.rollback().await.unwrap();
    assert_eq!((back.outcome, back.stands.len(), rig.done().len()), (End::RolledBack, 0, 0));
    assert!(matches!(rig.resume().await, Err(EngineError::NotSo { what: "resumed", .. })));
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_own_way_back_failed_is_not_put_into_service_by_that_of_the_run() {
    const LATE: &str = "
targets: role=app, site=dc1
on_failure: rollback
steps:
  - {name: Configure, file.copy: {content: sick, dest: /etc/billing/billing.conf}, then: [{app.restart: {app: billing}}]}
  - name: Rolling
    rolling: {batch: 2, max_failed: 1}
    steps:
      - {name: Drain, haproxy.drain: {balancer: front, backend: billing, server: '{{ host.name }}', within: 30s}}
      - {name: Again, file.copy: {content: new, dest: /etc/billing/billing.conf}, then: [{app.restart: {app: billing}}]}
      - {name: Enable, haproxy.enable: {balancer: front, backend: billing, server: '{{ host.name }}'}}
";
    let rig = Rig::new();
    rig.world.sickens(&Hash::of(b"sick"));
    rig.world.fault_undo(&TaskId::new("1", &"dc1-app1".into()), crate::transport::Fault::NoEffect);
    let end = rig.run(LATE).await;
    assert_eq!((end.outcome, rig.world.harm()), (End::Failed, vec![]), "{end:?}");
}
