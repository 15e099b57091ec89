//! The point of no return: what crosses it, what is done while nobody knows, and how long a silent host is waited for.

use super::*;

#[tokio::test(start_paused = true)]
async fn past_the_point_of_no_return_a_run_only_goes_forward() {
    let rig = Rig::new();
    let text = "
targets: dc1-app1
steps:
  - {file.copy: {content: x, dest: /etc/x.conf}}
  - {name: Cross, no_return: true, file.copy: {content: y, dest: /etc/y.conf}}
  - {name: Fails, require: [\"1 == 2\"], app.stop: {app: billing}}
";
    let end = rig.run(text).await;
    assert_eq!(end.outcome, End::Failed);
    assert_eq!(rig.done().len(), 2, "nothing was taken back: {:?}", rig.done());
    assert!(matches!(rig.rollback().await, Err(EngineError::NoReturn { .. })));
    let rig = Rig::new();
    rig.world.fault(1, crate::transport::Fault::FailedBefore);
    assert_eq!(
        rig.run(text).await.outcome,
        End::RolledBack,
        "it was not crossed: the crossing failed without an effect"
    );
}

#[tokio::test(start_paused = true)]
async fn past_the_point_of_no_return_a_call_to_stop_is_told_what_is_left() {
    #[derive(Default)]
    struct Listens(std::sync::Mutex<Vec<String>>);
    impl Watcher for Listens {
        fn record(&self, _: &Record) {}
        fn notice(&self, notice: &Notice) {
            if let Notice::Warning(why) = notice {
                self.0.lock().unwrap().push(why.clone());
            }
        }
    }
    let rig = Rig::new();
    let text = "
targets: dc1-app1
steps:
  - {name: Cross, no_return: true, file.copy: {content: y, dest: /etc/y.conf}}
  - {name: Wait, pause: {for: 5s}}
  - {name: Stop, app.stop: {app: billing}}
";
    let listens = Arc::new(Listens::default());
    let (ask, stop) = watch::channel(0);
    let stage = Stage { watcher: listens.clone(), ..rig.stage() };
    let order = rig.order(text);
    let planned = plan(&stage, &order).await.unwrap();
    let asked = async {
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        ask.send_replace(1);
    };
    let (end, ()) = tokio::join!(run(&stage, &order, &planned, None, stop), asked);
    assert_eq!(end.unwrap().summary.outcome, End::Done);
    assert_eq!(
        *listens.0.lock().unwrap(),
        ["the run is past its point of no return (`1@dc1-app1`) and goes on; left to do: `Stop`"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_seen_of_the_point_of_no_return_counts_and_not_what_its_act_said() {
    let rig = Rig::new();
    let text = "
targets: dc1-app1
steps:
  - {name: Cross, id: cross, no_return: true, file.copy: {content: y, dest: /etc/y.conf}}
  - {name: After, file.copy: {content: z, dest: /etc/z.conf}}
";
    rig.world.fault(0, crate::transport::Fault::FailedAfter);
    assert_eq!(rig.run(text).await.outcome, End::Done);
    assert_eq!(rig.done().len(), 2, "what comes after it on its host is not left out: {:?}", rig.done());
    let state = rig.state();
    let said = &state.outputs["cross"][&HostName::new("dc1-app1")]["said"];
    assert!(said.as_str().is_some_and(|said| !said.is_empty()), "{said}");
}

#[tokio::test(start_paused = true)]
async fn while_it_is_unknown_whether_the_point_of_no_return_is_crossed_nothing_more_begins() {
    let rig = Rig::new();
    let text = "
targets: dc1-app1, dc1-app2
steps:
  - {name: Before, targets: dc1-app1, file.copy: {content: x, dest: /etc/x.conf}}
  - {name: Cross, targets: dc1-app1, no_return: true, file.copy: {content: y, dest: /etc/y.conf}}
  - {name: Elsewhere, targets: dc1-app2, file.copy: {content: z, dest: /etc/z.conf}}
";
    let text = &text.replace("targets: dc1-app1, dc1-app2", "targets: \"role=app, site=dc1\"");
    rig.world.fault(1, crate::transport::Fault::LostAfter);
    rig.world.silent_for(std::time::Duration::from_secs(4000));
    let end = rig.run(text).await;
    assert_eq!((end.outcome, end.exit_code), (End::Unknown, 4));
    assert_eq!(rig.done().len(), 2, "nothing was done elsewhere: {:?}", rig.done());
    assert!(!rig.state().goes_back());
    rig.world.heal();
    assert_eq!(rig.resume().await.unwrap().outcome, End::Done);
    assert_eq!(rig.done().len(), 3, "{:?}", rig.done());
}

/// After how many seconds a host that falls silent at the second act is given up, if it is.
async fn given_up(rig: &Rig, text: &str, silent: u64) -> Option<i64> {
    rig.world.fault(1, crate::transport::Fault::LostBefore);
    rig.world.silent_for(std::time::Duration::from_secs(silent));
    drop(rig.run(text).await);
    let records = rig.records();
    let begun = records.iter().rfind(|r| matches!(r.event, Event::Announced { .. })).map(|r| r.at);
    let lost = records.iter().find(|r| matches!(r.event, Event::InDoubt { .. })).map(|r| r.at);
    Some(lost?.duration_since(begun?).as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_step_may_have_less_patience_with_a_silent_host_but_not_past_the_point_of_no_return() {
    let text = |first: &str, second: &str| {
        format!(
            "targets: dc1-app1
steps:
  - {{{first}file.copy: {{content: x, dest: /etc/x.conf}}}}
  - {{{second}file.copy: {{content: y, dest: /etc/y.conf}}}}
"
        )
    };
    let plain = text("", "");
    assert_eq!(given_up(&Rig::new(), &plain, 40).await, None, "a minute is waited for it");
    let hasty = text("", "patience: 15s, ");
    assert_eq!(given_up(&Rig::new(), &hasty, 40).await, Some(15));
    assert_eq!(given_up(&Rig::new(), &hasty, 10).await, None, "it came back in time");
    let crossed = text("no_return: true, ", "patience: 15s, ");
    assert_eq!(given_up(&Rig::new(), &crossed, 40).await, None, "there is nothing to turn back for");
    let group = "targets: dc1-app1
steps:
  - patience: 15s
    steps:
      - {file.copy: {content: x, dest: /etc/x.conf}}
      - {file.copy: {content: y, dest: /etc/y.conf}}
";
    assert_eq!(given_up(&Rig::new(), group, 40).await, Some(15), "a group says it for its steps");
}

#[tokio::test(start_paused = true)]
async fn an_always_step_that_could_not_be_done_is_tried_again_at_the_end_of_a_resume() {
    let rig = Rig::new();
    let text = "targets: dc1-app1
steps:
  - {name: Copy, no_return: true, file.copy: {content: x, dest: /etc/x.conf}}
  - {name: Note, always: true, targets: dc1-app2, file.copy: {content: y, dest: /etc/y.conf}}
";
    rig.world.fault(0, crate::transport::Fault::LostAfter);
    rig.world.fault(1, crate::transport::Fault::FailedBefore);
    rig.world.silent_for(std::time::Duration::from_secs(4000));
    assert_eq!(rig.run(text).await.outcome, End::Unknown);
    assert_eq!(rig.done().len(), 1, "{:?}", rig.done());
    rig.world.heal();
    assert_eq!(rig.resume().await.unwrap().outcome, End::Done);
    assert_eq!(rig.done().len(), 2, "{:?}", rig.done());
}
