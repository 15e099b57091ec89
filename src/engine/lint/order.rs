//! What the order of steps gives away without looking at any host.

use crate::{
    actions::Entry,
    runbook::{FailureAct, Runbook, Step, What},
    yaml::{Fault, Faults},
};

/// Lints the order of a runbook's steps.
pub(super) fn lint(runbook: &Runbook, catalog: &[Entry]) -> Faults {
    let mut faults = Faults::default();
    consequences(&runbook.steps, &mut faults);
    if runbook.on_failure.act == FailureAct::Rollback {
        let mut flat = Vec::new();
        flatten(&runbook.steps, &mut flat);
        undone(&flat, catalog, &mut faults);
    }
    faults
}

fn action(step: &Step) -> Option<&str> {
    match &step.what {
        What::Action { action, .. } => Some(action),
        _ => None,
    }
}

/// A plain restart after a file is restarted even where the file did not change, and in a rollback comes too early.
fn consequences(steps: &[Step], faults: &mut Faults) {
    let mut file: Option<&Step> = None;
    for step in steps {
        match (&step.what, action(step)) {
            (What::Group { steps, .. }, _) => {
                consequences(steps, faults);
                file = None;
            }
            (_, Some(name)) if name.starts_with("file.") => file = Some(step),
            (_, Some(name @ ("app.restart" | "app.reload"))) => {
                if let Some(before) = file.filter(|f| f.then.is_empty() && f.targets == step.targets) {
                    let message = format!("`{name}` here runs whether or not `{}` changes something", before.name);
                    let hint =
                        format!("write it as `then: [{name}: …]` of that step: it is then also right in a rollback");
                    faults.0.push(Fault::warning(step.spot.clone(), message).hint(hint));
                }
                file = None;
            }
            _ => {}
        }
    }
}

fn flatten<'s>(steps: &'s [Step], flat: &mut Vec<&'s Step>) {
    for step in steps {
        match &step.what {
            What::Group { steps, .. } => flatten(steps, flat),
            What::Include { runbook, .. } => flatten(&runbook.steps, flat),
            What::Action { .. } => flat.push(step),
        }
    }
}

/// A command that nothing undoes, before something that may fail.
fn undone(flat: &[&Step], catalog: &[Entry], faults: &mut Faults) {
    let traits = |step: &Step| action(step).and_then(|name| Entry::find(catalog, name)).map(|e| e.traits);
    for (index, step) in flat.iter().enumerate() {
        if step.no_return {
            return;
        }
        let stays = traits(step).is_some_and(|t| t.changes && !t.undoes && !t.leaves_nothing);
        let kept = step.on_failure.is_some_and(|f| f.act != FailureAct::Rollback);
        if !stays || kept || !step.undo.is_empty() || step.always {
            continue;
        }
        let later = flat.iter().skip(index + 1).any(|s| !s.always && s.spot != step.spot);
        if later {
            let message = format!("nothing undoes `{}` when a later step fails", step.name);
            let hint = "give it `undo: [step…]`, or `on_failure: stop`";
            faults.0.push(Fault::warning(step.spot.clone(), message).hint(hint));
        }
    }
}
