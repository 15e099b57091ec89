//! `kill -9` at every event: nothing is done twice, nothing is done unannounced, and the run can be ended both ways.

use crate::support::{Project, is};
use serde_json::Value;

/// How many steps, each leaving its own mark. Five events a step.
const STEPS: usize = 7;

#[test]
fn a_run_that_is_killed_at_any_event_is_resumed_and_repeats_nothing() {
    let killed = at_every_event(|world, run| {
        let ended = world.svcops(&["resume", run, "--yes"]).exits(0);
        assert_eq!(marks(world), expected(), "every mark once, in order\n{ended}");
        assert_eq!(world.outcome(run), "done");
    });
    assert!(killed >= 30, "the run has only {killed} events");
}

#[test]
fn a_run_that_is_killed_at_any_event_is_rolled_back_and_leaves_nothing() {
    let killed = at_every_event(|world, run| {
        let ended = world.svcops(&["rollback", run, "--yes"]).exits(0);
        assert_eq!(marks(world), Vec::<String>::new(), "every mark gone\n{ended}");
        assert_eq!(world.outcome(run), "rolled_back");
    });
    assert!(killed >= 30, "the run has only {killed} events");
}

/// Kills a run at its first event, another at its second, and so on; answers how many there were.
fn at_every_event(then: impl Fn(&Project, &str)) -> usize {
    let mut at = 0;
    loop {
        at += 1;
        let world = world();
        let mut running = world.stream(&["run", "runbooks/marks.yaml", "--yes"]);
        let seen = std::iter::from_fn(|| running.event()).take(at).collect::<Vec<_>>();
        if seen.len() < at || is(seen.last().unwrap(), "finished") {
            running.finish().exits(0);
            return at - 1;
        }
        running.kill();
        let newest = world.newest();
        let run = newest["run"].as_str().unwrap();
        if world.events(run).last().is_some_and(|e| is(e, "finished")) {
            // Its last event was durable before the signal came.
            assert_eq!(newest["outcome"], "done", "killed at event {at}: {newest}");
            return at - 1;
        }
        assert_eq!(newest["outcome"], "interrupted", "killed at event {at}: {newest}");
        every_mark_was_announced(&world, run);
        others_are_refused(&world, &seen);
        if !seen.iter().any(|e| is(e, "locked")) && !world.events(run).iter().any(|e| is(e, "locked")) {
            // Before it held its locks nothing can have been touched, and there is nothing to go on with.
            world.svcops(&["resume", run, "--yes"]).exits(2).says("before it began");
            assert_eq!(marks(&world), Vec::<String>::new());
            continue;
        }
        then(&world, run);
    }
}

fn world() -> Project {
    let project = Project::new("project: marks\nhosts:\n  here: {local: true, labels: {роль: отметки}}\n");
    let marks = project.root().join("marks");
    let step = |n: usize| {
        format!(
            "  - name: Отметка {n}\n    command: {{run: \"echo {n} >> '{marks}'\"}}\n    undo: [{{command: \"sed -i '/^{n}$/d' '{marks}'\"}}]\n",
            marks = marks.display()
        )
    };
    let steps = (1..=STEPS).map(step).collect::<String>();
    project.file("runbooks/marks.yaml", &format!("svcops: 1\nname: marks\ntargets: here\nsteps:\n{steps}"));
    project
}

fn marks(world: &Project) -> Vec<String> {
    let text = std::fs::read_to_string(world.root().join("marks")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn expected() -> Vec<String> {
    (1..=STEPS).map(|n| n.to_string()).collect()
}

fn every_mark_was_announced(world: &Project, run: &str) {
    let marks = marks(world);
    let events = world.events(run);
    let announced = |mark: &str| {
        let task = format!("{mark}@here");
        events.iter().any(|e| is(e, "announced") && e["task"] == task.as_str())
    };
    for mark in marks {
        assert!(announced(&mark), "mark {mark} has no announcement: {events:#?}");
    }
}

/// From the moment that it holds its locks, nobody else may touch what an interrupted run has touched.
fn others_are_refused(world: &Project, seen: &[Value]) {
    if seen.iter().any(|e| is(e, "announced")) {
        let refused = world.svcops(&["run", "runbooks/marks.yaml", "--yes"]).exits(75);
        refused.says("here");
    }
}
