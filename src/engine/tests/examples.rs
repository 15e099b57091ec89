//! The runbooks that come with svcops (`runbooks/examples`), on the simulated world; `tests/lab/examples.rs` has them on hosts.

use super::{faults::rehearse, *};
use crate::engine::{lint, plan::Certainty};
use std::collections::BTreeMap;

/// The step of site-stop.yaml that asks through the balancer.
const WHAT_USERS_SEE: &str = "Пользователей обслуживает другая площадка";

fn rig() -> Rig {
    Rig::of("runbooks/examples")
}

/// Each of them by its name.
fn examples() -> BTreeMap<String, String> {
    let folder = rig().project.root.join("runbooks");
    let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let all: BTreeMap<_, _> = paths.map(|path| (name(&path), std::fs::read_to_string(path).unwrap())).collect();
    assert!(all.len() > 5, "{:?}", all.keys());
    all
}

#[test]
fn the_examples_have_no_fault_and_no_warning_and_say_what_they_are_for() {
    let faults = lint::lint_project(&rig().project, &[], CATALOG);
    assert!(faults.is_empty(), "{faults:#?}");
    for (name, text) in examples() {
        assert!(text.contains(&format!("\nname: {name}\n")), "{name}: is called otherwise than its file");
        let head: String = text.lines().take_while(|line| line.starts_with('#')).collect();
        for word in ["#   when  ", "#   changes  ", "#   back  ", &format!("svcops run {name}")] {
            assert!(
                head.contains(word) || name == "readiness" && word.contains("back"),
                "{name}: no `{word}` in its head"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_example_is_planned_without_trouble() {
    for (name, text) in examples() {
        let planned = rig().plan(&text).await;
        assert!(planned.plan.tasks.iter().all(|t| t.trouble.is_none()), "{name}: {:#?}", planned.plan.tasks);
        let known = |t: &plan::PlannedTask| t.certainty == Certainty::Exact || t.step == WHAT_USERS_SEE;
        assert!(planned.plan.tasks.iter().all(known), "{name}: {:#?}", planned.plan.tasks);
    }
}

#[tokio::test(start_paused = true)]
async fn an_example_ends_where_it_says_whatever_fails() {
    let mut count = 0;
    for name in ["app-stop", "configuration"] {
        count += rehearse(rig, name, &examples()[name], false).await;
    }
    assert!(count > 50, "{count}");
}
