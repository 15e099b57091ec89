//! What runs owe, and how that is settled.

use super::{history::when, screen::Screen, table, wrap};
use crate::journal::{RunRow, state::Owed};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

/// A debt that nobody has paid.
#[derive(Clone, Debug, PartialEq)]
pub struct Unpaid {
    /// The run that owes it.
    pub run: RunRow,
    /// The debt, and the task that made it.
    pub owed: Owed,
}

/// What is owed, as a table.
pub fn text(screen: &Screen, unpaid: &[Unpaid], zone: &TimeZone) -> String {
    if unpaid.is_empty() {
        return "nothing is owed\n".into();
    }
    let row = |u: &Unpaid| {
        let debt = &u.owed.debt;
        vec![
            debt.host.to_string(),
            debt.name.clone(),
            debt.action.clone(),
            u.owed.by.to_string(),
            u.run.run.to_string(),
            u.run.runbook.clone(),
            when(u.run.began, zone),
        ]
    };
    let rows: Vec<Vec<String>> = unpaid.iter().map(row).collect();
    let mut text = table::table(screen, &["host", "owes", "action", "because of", "run", "runbook", "started"], &rows);
    text += &(wrap::hanging("note   ", &settled_by(unpaid), screen.width) + "\n");
    text
}

/// How debts are settled.
fn settled_by(unpaid: &[Unpaid]) -> String {
    let mut runs: Vec<&str> = unpaid.iter().map(|u| u.run.run.as_str()).collect();
    runs.dedup();
    let run = if let [one] = runs.as_slice() { *one } else { "RUN" };
    let both =
        format!("settled by a later run that does the same there, or by `svcops rollback {run}`, which tries again");
    let by_hand = match unpaid {
        [one] => format!("`svcops resolve {} {} done --reason …`", one.run.run, one.owed.by),
        _ => format!("`svcops resolve {run} TASK done --reason …`, with the TASK below `because of`"),
    };
    format!("{both}; where it was put right by hand, {by_hand}")
}

/// The same as JSON: an interface.
pub fn json(unpaid: &[Unpaid]) -> Value {
    let debt = |u: &Unpaid| {
        json!({
            "run": u.run.run,
            "runbook": u.run.runbook,
            "started": u.run.began,
            "task": u.owed.by,
            "step": u.owed.debt.step,
            "name": u.owed.debt.name,
            "host": u.owed.debt.host,
            "action": u.owed.debt.action,
            "key": u.owed.debt.key,
        })
    };
    json!({ "schema_version": 1, "owed": unpaid.iter().map(debt).collect::<Vec<_>>() })
}
