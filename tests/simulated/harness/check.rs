//! What must hold.

use super::{
    rig::Rig,
    scene::{Scene, Standing, standing},
};
use std::collections::BTreeSet;
use svcops::{
    base::TaskId,
    engine::script::{Node, Script},
    journal::{
        Journal, SqliteJournal,
        event::{End, Event, Record, Summary},
        outside::Outside,
        state::{RunState, TaskState},
    },
};

/// What must hold of every list of events.
pub fn trace(records: &[Record]) {
    let mut state = RunState::default();
    for record in records {
        if state.end.is_some() {
            assert!(
                matches!(record.event, Event::Resumed { .. } | Event::Resolved { .. }),
                "an event after the end: {:?}",
                record.event
            );
        }
        let task = |id: &TaskId| state.task(id).unwrap_or_else(|| panic!("`{id}` has not begun"));
        match &record.event {
            Event::Began(began) => assert!(state.task(&began.task).is_none(), "`{}` begins again", began.task),
            Event::Announced { task: id, way, number, changes, .. } => {
                let leg = task(id).leg(*way).expect("the leg has begun");
                assert!(leg.how.is_none() && leg.queue.is_empty(), "`{id}` announces out of turn");
                assert_eq!(*number, leg.announced, "`{id}`: a number is used twice");
                for change in changes {
                    assert!(leg.did.iter().all(|(d, _)| d != change), "`{id}` does the same twice");
                }
            }
            Event::Carried { task: id, way, number, .. } => {
                let leg = task(id).leg(*way).expect("the leg has begun");
                assert!(leg.how.is_none() && !leg.queue.is_empty(), "`{id}` carried what was not announced");
                assert_eq!(*number, leg.number, "`{id}`");
            }
            Event::Ended { task: id, way, .. } => {
                let leg = task(id).leg(*way).expect("the leg has begun");
                assert!(leg.how.is_none(), "`{id}` ends twice");
            }
            _ => {}
        }
        if let Event::Phase { step, batch: Some(batch), .. } = &record.event
            && batch.number > 1
        {
            // a host that was in doubt and left the run comes back with a resume
            let doubted = records.iter().any(|r| matches!(r.event, Event::InDoubt { .. }));
            let group = step.rsplit_once('.').map_or("", |(group, _)| group);
            let earlier = |t: &&TaskState| {
                t.began.step.rsplit_once('.').is_some_and(|(g, _)| g == group) && t.forward.how.is_none()
            };
            for open in state.tasks.iter().filter(earlier) {
                let mine = matches!(&record.event, Event::Phase { hosts, .. } if hosts.contains(&open.began.host));
                assert!(doubted || mine, "batch {} begins before `{}` has ended", batch.number, open.began.task);
            }
        }
        state.apply(record);
    }
}

/// Batches cover every host of their group once, and are never larger than the runbook says.
pub fn batches(script: &Script, text: &str) {
    let sizes = text.split("rolling: {batch: ").skip(1).map(|rest| rest.split(',').next().unwrap().parse().unwrap());
    let groups = script.nodes.iter().filter_map(|node| match node {
        Node::Rolling(batches, _) => Some(batches),
        _ => None,
    });
    for (size, batches) in sizes.zip(groups) {
        let size: usize = size;
        let mut covered = Vec::new();
        for batch in batches {
            // a step may have targets of its own: the hosts of a batch are those of all its steps
            let mut hosts = BTreeSet::new();
            for node in batch {
                if let Node::Station(station) = node {
                    hosts.extend(&station.hosts);
                }
            }
            assert!(hosts.len() <= size, "a batch of {} hosts, of {size}", hosts.len());
            covered.extend(hosts);
        }
        let once: BTreeSet<_> = covered.iter().collect();
        assert_eq!(once.len(), covered.len(), "a host stands in two batches: {covered:?}");
    }
}

/// What stands is what the summary says.
pub fn end(end: &Summary, scene: &Scene, rig: &Rig, unbroken: bool) {
    let (state, now) = (rig.state(), standing(&rig.world));
    let goal = if unbroken { (end.outcome == End::Done).then_some(&now) } else { scene.goal() };
    assert_eq!(end.exit_code, end.outcome.code());
    match end.outcome {
        End::Done => {
            assert_eq!((end.owed, &end.why), (0, &None));
            if let Some(goal) = goal {
                let differs = differ(&now, goal);
                assert!(differs.is_empty(), "it is done, and what stands is something else: {differs:#?}");
            }
        }
        End::RolledBack => {
            assert!(end.stands.is_empty() && end.owed == 0, "{end:?}");
            let differs = differ(&now, &scene.begun);
            assert!(differs.is_empty(), "it is rolled back, and something stands: {differs:#?}");
        }
        End::Failed => assert!(!end.stands.is_empty() || end.owed > 0, "nothing is named"),
        other => panic!("{other:?}"),
    }
    let named = |host: &str| {
        let owed = state.debts.iter().any(|o| o.debt.host.as_str() == host);
        owed || end.stands.iter().any(|s| s.contains(&format!("`{host}`")))
    };
    if !unbroken {
        stale(end, scene, rig, &named);
    }
    let keys: BTreeSet<&String> = scene.begun.keys().chain(now.keys()).collect();
    for key in keys {
        let (is, before) = (now.get(key), scene.begun.get(key));
        if is == before || end.outcome == End::Done || goal.is_some_and(|g| g.get(key) == is) {
            continue;
        }
        let host = match key.rsplit_once("/backend/") {
            Some((_, server)) => server.rsplit('/').next().unwrap(),
            None => key.split('/').next().unwrap(),
        };
        assert!(named(host), "`{key}` is {is:?}, was {before:?}, and nothing names `{host}`: {end:#?}");
    }
}

/// What runs with another content than the one on its disk does so by the runbook's own doing, or its host is named: nobody has
/// forgotten a consequence.
fn stale(end: &Summary, scene: &Scene, rig: &Rig, named: &dyn Fn(&str) -> bool) {
    for what in rig.world.stale() {
        if scene.cannot_see_reloads_of(&what) {
            continue;
        }
        let host = scene.hosts().find(|host| what.contains(&format!("`{host}`")));
        let host = host.unwrap_or_else(|| panic!("no host in {what:?}"));
        let meant = scene.stale.contains(&what) && end.outcome != End::RolledBack;
        let told = end.outcome == End::Failed && named(host);
        assert!(meant || told, "{what}: {end:#?}");
    }
}

/// A journal on the disk keeps these events as they are, with what they name, and its chain holds.
pub fn chain(records: &[Record], from: &dyn Journal) {
    let [Record { run, at, event: Event::Started(header), .. }, rest @ ..] = records else { return };
    let home = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(home.path()).unwrap();
    for hash in [Some(&header.runbook_hash), Some(&header.inventory_hash), header.shown.as_ref()].into_iter().flatten()
    {
        assert_eq!(journal.put(&from.get(hash).unwrap()).unwrap(), *hash);
    }
    assert_eq!(journal.begin(*at, *header.clone()).unwrap().run, *run);
    let kept = rest.iter().map(|record| journal.append(run, record.at, record.event.clone()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(futures_util::future::try_join_all(kept)).unwrap();
    assert_eq!(journal.records(run).unwrap(), records, "what is kept is what was told");
    let verdict = journal.verify(None, &Outside::default()).unwrap();
    assert!(verdict.faults.is_empty() && verdict.events == records.len(), "{verdict:?}");
}

pub fn differ(one: &Standing, other: &Standing) -> Vec<String> {
    let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let differs = keys.into_iter().filter(|k| one.get(*k) != other.get(*k));
    differs.map(|k| format!("{k}: {:?}, not {:?}", one.get(k), other.get(k))).collect()
}

/// The events of a run, one a line, without what is long.
pub fn story(records: &[Record]) -> String {
    let line = |record: &Record| {
        let mut event = serde_json::to_value(&record.event).unwrap();
        let map = event.as_object_mut().unwrap();
        map.entry("changes")
            .and_modify(|c| *c = c[0]["what"].as_object().unwrap().keys().next().unwrap().as_str().into());
        for key in ["value", "before", "then", "seen", "expect", "boot", "pays", "undo", "operator", "within", "params"]
        {
            map.remove(key);
        }
        if std::env::var("AT").is_ok() { format!("{} {event}", record.at) } else { event.to_string() }
    };
    records.iter().skip(2).map(line).collect::<Vec<_>>().join("\n")
}
