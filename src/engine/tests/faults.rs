use super::*;
use crate::transport::Fault;
use std::time::Duration;

/// Every fault at every act, alone and with a second one after it: the run ends where it says it ends, and does no harm on
/// the way. A run that is in doubt is resumed once contact is back.
pub(super) async fn rehearse(fresh: fn() -> Rig, name: &str, text: &str, pairs: bool) -> usize {
    let goal = fresh();
    assert_eq!(goal.run(text).await.outcome, End::Done);
    let (acts, goal) = (goal.world.acts(), goal.world.standing());
    let begun = {
        let rig = fresh();
        let stage = rig.stage();
        let planned = plan(&stage, &rig.order(text)).await.unwrap();
        drop(planned);
        rig.world.standing()
    };
    let mut seconds = vec![None];
    if pairs {
        seconds.extend((1..5).flat_map(|gap| {
            [Fault::Refused, Fault::FailedBefore, Fault::FailedAfter, Fault::LostAfter].map(|fault| Some((gap, fault)))
        }));
    }
    let mut count = 0;
    for act in 0..acts {
        for fault in Fault::ALL {
            for second in &seconds {
                let rig = fresh();
                rig.plan(text).await;
                rig.world.promise_quorum();
                rig.world.fault(act, fault);
                if let Some((gap, fault)) = second {
                    rig.world.fault(act + gap, *fault);
                }
                rig.world.silent_for(Duration::from_secs(if act % 2 == 0 { 20 } else { 4000 }));
                let mut end = rig.run(text).await;
                for _ in 0..3 {
                    if end.outcome == End::Unknown {
                        rig.world.heal();
                        end = rig.resume().await.unwrap();
                    }
                }
                let told = || {
                    rig.records()
                        .iter()
                        .map(|r| serde_json::to_string(&r.event).unwrap())
                        .collect::<Vec<_>>()
                        .join("\n")
                };
                let case = format!("{name}: {fault:?} at act {act}, then {second:?} → {end:?}");
                assert!(rig.world.harm().is_empty(), "{case}: {:?}\n{}", rig.world.harm(), told());
                let standing = rig.world.standing();
                let want = match end.outcome {
                    End::Done => &goal,
                    End::RolledBack => &begun,
                    End::Failed => {
                        assert!(!end.stands.is_empty() || end.owed > 0, "{case}: nothing is named\n{}", told());
                        assert!(second.is_some() || fault == Fault::Sick, "{case}\n{}", told());
                        &standing
                    }
                    other => panic!("{case}: {other:?}\n{}", told()),
                };
                for (what, is) in want {
                    if let Some(now) = standing.get(what) {
                        assert_eq!(now, is, "{case}: {what}\n{}", told());
                    }
                }
                count += 1;
            }
        }
    }
    count
}

#[tokio::test(start_paused = true)]
async fn every_fault_at_every_act_ends_where_it_says() {
    let mut count = 0;
    count += rehearse(Rig::new, "restart", RESTART, false).await;
    count += rehearse(Rig::new, "stop, copy, start", STOP_COPY_START, false).await;
    count += rehearse(Rig::new, "consequence", COPY_THEN, false).await;
    assert!(count > 100, "{count}");
}

#[tokio::test(start_paused = true)]
async fn every_pair_of_faults_ends_where_it_says() {
    assert!(rehearse(Rig::new, "stop, copy, start", STOP_COPY_START, true).await > 400);
}
