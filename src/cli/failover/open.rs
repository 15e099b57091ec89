//! A run that moves a service and is not over: under way, or left half done. What is seen of the service is its doing, and
//! no other run may move it before that one is over.

use super::{history::when, moves};
use crate::{
    cli::{exit::ExitCode, history::Past, words::Failure},
    inventory::{Inventory, Service},
    journal::{
        Journal as _, JournalError,
        event::{End, Operator},
        state::{RunState, TaskState},
    },
    ui::{history::Listed, message::Message},
};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

/// A run that is not over.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Open {
    /// The run.
    pub run: Listed,
    /// Who drives it, or did last.
    pub operator: Option<Operator>,
    /// It is past its point of no return.
    pub crossed: bool,
    /// It was on its way back.
    pub goes_back: bool,
    /// In which times are shown.
    pub zone: TimeZone,
}

/// The run of a service that is not over: the one under way, else the newest that was left so.
///
/// # Errors
/// The journal cannot be read.
pub(in crate::cli) fn open(
    past: &Past<'_>,
    inventory: &Inventory,
    service: &Service,
) -> Result<Option<Open>, JournalError> {
    let names = moves::names(service);
    let mut left = None;
    for run in past.journal.open_runs()?.into_iter().rev().map(|open| open.run) {
        let row = past.journal.row(&run)?;
        if row.project != inventory.project || !names.contains(&row.runbook) {
            continue;
        }
        let state = RunState::fold(&past.journal.records(&run)?);
        // it may have ended since it was asked for
        if state.end.as_ref().is_some_and(|end| !end.outcome.resumable()) {
            continue;
        }
        let run = past.listed(row);
        let touched = state.tasks.iter().any(TaskState::acted);
        let alive = run.alive;
        let open = Open {
            crossed: state.no_return().is_some(),
            goes_back: state.goes_back(),
            operator: state.operator,
            zone: past.zone.clone(),
            run,
        };
        if alive {
            return Ok(Some(open));
        }
        // one that announced nothing has touched nothing, and stands in nobody's way
        left = left.or_else(|| touched.then_some(open));
    }
    Ok(left)
}

impl Open {
    /// Which, since when, by whom.
    pub(in crate::cli) fn says(&self) -> String {
        let row = &self.run.row;
        let (name, machine) = self
            .operator
            .as_ref()
            .map_or((row.operator.as_str(), row.machine.as_str()), |who| (who.name.as_str(), who.machine.as_str()));
        let (run, began) = (format!("run {} (`{}`)", row.run, row.runbook), when(row.began, &self.zone));
        let by = format!("by {name} on {machine}");
        match row.outcome {
            None if self.run.alive => format!("{run} is under way since {began}, {by}"),
            None => format!("{run} was interrupted, begun {began} {by}"),
            Some(End::Stopped) => format!("{run} was stopped and not resumed, begun {began} {by}"),
            Some(_) => format!("{run} does not know what became of an act, begun {began} {by}"),
        }
    }
    /// What goes on from here.
    pub(in crate::cli) fn hint(&self) -> String {
        let run = &self.run.row.run;
        match self.run.row.outcome {
            None if self.run.alive => format!("`svcops history show {run} --follow` shows it as it goes"),
            _ if self.crossed => format!("`svcops resume {run}` goes on: it is past its point of no return"),
            Some(End::Unknown) => {
                format!("`svcops resume {run}` asks the hosts again; `svcops rollback {run}` brings all back")
            }
            _ if self.goes_back => format!("`svcops resume {run}` finishes taking it back"),
            _ => format!("`svcops resume {run}` goes on; `svcops rollback {run}` brings all back"),
        }
    }
    /// Why nothing else moves the service now.
    pub(super) fn refusal(&self, service: &str, to: &str, seen: impl IntoIterator<Item = String>) -> Failure {
        let title = format!("failover of `{service}` to `{to}` refused: {}", self.says());
        let message = seen.into_iter().fold(Message::error(title), Message::because);
        Failure::new(ExitCode::NotNow, message.hint(self.hint()))
    }
    /// As JSON: an interface.
    pub(in crate::cli) fn json(&self) -> Value {
        let row = &self.run.row;
        json!({
            "run": row.run,
            "runbook": row.runbook,
            "outcome": self.run.outcome(),
            "started": row.began,
            "operator": self.operator.as_ref().map_or(row.operator.as_str(), |who| &who.name),
            "machine": self.operator.as_ref().map_or(row.machine.as_str(), |who| &who.machine),
            "no_return": self.crossed,
            "goes_back": self.goes_back,
        })
    }
}
