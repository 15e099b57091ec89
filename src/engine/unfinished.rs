//! The hosts that a run did not bring to the end of its runbook: what `--failed-from` tries again.

use super::{
    EngineError,
    run::Recorded,
    script::{self, Script, Station, here},
};
use crate::{
    actions::Entry,
    base::{HostName, TaskId},
    journal::{
        event::End,
        state::{RunState, TaskState},
    },
};

/// The hosts of a run on which something failed, is unknown, was taken back, or was never reached; in their order.
///
/// # Errors
/// What was recorded cannot be spread out by this version.
pub fn unfinished(recorded: &Recorded, catalog: &[Entry]) -> Result<Vec<HostName>, EngineError> {
    let state = &recorded.state;
    if state.end.as_ref().is_some_and(|end| end.outcome == End::Done && !troubled(state)) {
        return Ok(Vec::new());
    }
    let (header, inventory) = (&recorded.header, &recorded.inventory);
    let script = script::spread(&recorded.runbook, &header.params, inventory, header.limit.as_deref(), catalog)?;
    let hosts = script.hosts();
    let mut tasks: std::collections::BTreeMap<&HostName, Vec<&TaskState>> = std::collections::BTreeMap::new();
    for task in &state.tasks {
        tasks.entry(&task.began.host).or_default().push(task);
    }
    let mut left = Vec::new();
    for host in hosts {
        let tasks = tasks.get(&host).map(Vec::as_slice).unwrap_or_default();
        if !tasks.iter().all(|task| well(task)) || !reached(&script, state, &host, tasks) {
            left.push(host);
        }
    }
    Ok(left)
}

/// A run that is done may have lost hosts on its way (`on_failure: continue`).
fn troubled(state: &RunState) -> bool {
    state.troubled().any(|task| task.began.host != here())
}

/// It was done, and stands.
fn well(task: &TaskState) -> bool {
    let waived = task.waived.is_some();
    (waived || task.forward.done()) && task.undo.is_none() && task.doubt().is_none()
}

/// Each step of the way there came to that host.
fn reached(script: &Script, state: &RunState, host: &HostName, tasks: &[&TaskState]) -> bool {
    let begun = |station: &Station| {
        state.skipped.contains_key(&TaskId::new(station.label(), host))
            || tasks.iter().any(|task| task.began.step == station.number)
    };
    let mut behind = false;
    // from the last one: a `for_each` over nothing leaves no trace but in what comes after it
    for station in script.stations().into_iter().rev().filter(|station| station.hosts.contains(host)) {
        if begun(station) {
            behind = true;
        } else if !behind || station.step.for_each.is_none() {
            return false;
        }
    }
    true
}
