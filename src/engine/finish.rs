//! What a run came to, from the fold of its events.

use crate::{
    base::{TaskId, Way},
    journal::{
        event::{End, How, Summary},
        state::{RunState, TaskState},
    },
};

/// Sums a run up. `stopped`: it was asked to stop and something is left to do.
pub fn sum_up(state: &RunState, stopped: bool) -> Summary {
    let why = first_failure(state);
    let stands: Vec<String> = state.tasks.iter().filter_map(standing).collect();
    let unmade = unmade(state).count();
    let keys: std::collections::BTreeSet<_> = state.debts.iter().map(|o| &o.debt.key).collect();
    let owed = keys.len() + unmade;
    let doubt = state.doubts().next().is_some();
    let outcome = if doubt {
        End::Unknown
    } else if why.is_none() && owed == 0 && !stopped {
        End::Done
    } else if stopped {
        End::Stopped
    } else if stands.is_empty() && owed == 0 {
        End::RolledBack
    } else {
        End::Failed
    };
    let changed = state.tasks.iter().filter(|t| t.stands()).count();
    let stands = if outcome == End::Done { Vec::new() } else { stands };
    Summary { outcome, exit_code: outcome.code(), why, changed, owed, stands }
}

/// Tasks that the run meant to take back and has not.
pub fn unmade(state: &RunState) -> impl Iterator<Item = &TaskState> {
    state.tasks.iter().filter(|t| t.stands() && went_back(state, t))
}

/// What an undo that was not made is called among debts.
pub fn undo_key(task: &TaskId) -> String {
    format!("undo {task}")
}

/// What failed first: a step and why, in words.
pub fn first_failure(state: &RunState) -> Option<String> {
    let bad = |t: &&TaskState| t.forward.why().is_some() && t.waived.is_none();
    let words =
        |t: &TaskState| format!("`{}` on `{}`: {}", t.began.name, t.began.host, t.forward.why().unwrap_or_default());
    let first = |also: fn(&TaskState) -> bool| state.tasks.iter().find(|t| bad(t) && also(t)).map(words);
    // a drill is to go back: that it does is no failure, but that it cannot is one, and what comes last only shows it
    let drill = state.back.values().any(|b| b.drill);
    first(|t| !t.began.in_rollback && !t.began.always)
        .or_else(|| if drill { not_undone(state) } else { None })
        .or_else(|| first(|t| !t.began.in_rollback))
        .or_else(|| first(|_| true))
        .or_else(|| state.back.values().find(|b| !b.drill).map(|b| b.why.clone()))
}

/// The first undo that failed, in words.
fn not_undone(state: &RunState) -> Option<String> {
    let why = |t: &TaskState| Some((t.began.clone(), t.undo.as_ref()?.why()?.to_owned()));
    let (began, why) = state.tasks.iter().find_map(why)?;
    Some(format!("the undo of `{}` on `{}`: {why}", began.name, began.host))
}

/// The run meant to take this back.
fn went_back(state: &RunState, task: &TaskState) -> bool {
    use crate::journal::event::Scope;
    state.back.keys().any(|scope| match scope {
        Scope::Run => true,
        Scope::Batch(hosts) => hosts.contains(&task.began.host),
        Scope::Host(host) => *host == task.began.host,
    })
}

/// What a task left, in words.
fn standing(task: &TaskState) -> Option<String> {
    let on = format!("`{}` on `{}`", task.began.name, task.began.host);
    if let Some((way, why)) = task.doubt() {
        let leg = if way == Way::Undo { "the undo of " } else { "" };
        return Some(format!("nobody knows what became of {leg}{on}: {why}"));
    }
    if !task.stands() {
        return None;
    }
    Some(match task.undo.as_ref().and_then(|u| u.how.as_ref()) {
        Some(How::Failed(why) | How::Refused(why)) => format!("{on} was not undone: {why}"),
        _ => match task.forward.why() {
            Some(why) => format!("{on} failed: {why}"),
            None => format!("{on} stands"),
        },
    })
}
