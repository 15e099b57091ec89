//! What lists say of a run is kept beside its events; a check makes it anew of them.

use rusqlite::{Connection, Row, types::ValueRef};
use serde_json::Value;

/// A text, or none.
fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    if row.get_ref(column)? == ValueRef::Null { Ok(None) } else { super::chain::text(row, column).map(Some) }
}

/// What lists say of a run, which its events must say as well.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    project: Option<String>,
    runbook: Option<String>,
    operator: Option<String>,
    machine: Option<String>,
    began: Option<String>,
    ended: Option<String>,
    outcome: Option<String>,
    exit_code: Option<i64>,
    changed: i64,
}

impl Listed {
    pub(super) fn of_row(read: &Connection, run: &str) -> rusqlite::Result<Option<Self>> {
        use rusqlite::OptionalExtension;
        let sql = "SELECT project, runbook, operator, machine, began, ended, outcome, exit_code, changed FROM runs
                   WHERE run = ?";
        read.prepare_cached(sql)?
            .query_row([run], |r| {
                Ok(Self {
                    project: text(r, 0)?,
                    runbook: text(r, 1)?,
                    operator: text(r, 2)?,
                    machine: text(r, 3)?,
                    began: text(r, 4)?,
                    ended: text(r, 5)?,
                    outcome: text(r, 6)?,
                    exit_code: r.get(7)?,
                    changed: r.get(8)?,
                })
            })
            .optional()
    }

    /// Takes an event in, as the writer of the row did.
    pub(super) fn apply(&mut self, kind: &str, at: &str, told: Option<&Value>) {
        let text = |path: &str| told.and_then(|t| t.pointer(path)).and_then(Value::as_str).map(str::to_owned);
        let number = |path: &str| told.and_then(|t| t.pointer(path)).and_then(Value::as_i64);
        match kind {
            "started" => {
                self.project = text("/project");
                self.runbook = text("/runbook");
                self.operator = text("/operator/name");
                self.machine = text("/operator/machine");
                self.began = Some(at.to_owned());
            }
            "resumed" => (self.ended, self.outcome, self.exit_code) = (None, None, None),
            "finished" => {
                self.ended = Some(at.to_owned());
                self.outcome = text("/outcome");
                self.exit_code = number("/exit_code");
                self.changed = number("/changed").unwrap_or(0);
            }
            _ => {}
        }
    }
}
