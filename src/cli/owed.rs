//! `svcops owed`: what runs have left to be done, until it is done.

use super::{
    args::Output,
    history::{Past, pretty},
    words::Failure,
};
use crate::{
    base::{RunId, Way},
    engine::{
        finish::{undo_key, unmade},
        owing::is_paid,
    },
    journal::{
        Journal, JournalError,
        event::Debt,
        state::{Owed, RunState, TaskState},
    },
    ui::owed::{self, Unpaid},
};
use std::collections::BTreeSet;

/// What is owed, oldest run first, as text; by runs of one project if it is named.
///
/// # Errors
/// The journal cannot be read.
pub fn owed(past: &Past<'_>, project: Option<&str>) -> Result<String, Failure> {
    let unpaid = unpaid(past, project)?;
    Ok(match past.output {
        Output::Table => owed::text(past.screen, &unpaid, &past.zone),
        _ => pretty(&owed::json(&unpaid)),
    })
}

/// The debts of runs that are over or interrupted. A run that is under way may still pay its own; what several runs owe
/// stands once, with the oldest of them: one payment settles it for all.
pub(super) fn unpaid(past: &Past<'_>, project: Option<&str>) -> Result<Vec<Unpaid>, JournalError> {
    let (mut unpaid, mut shared) = (Vec::new(), BTreeSet::new());
    for run in past.journal.troubled()? {
        let listed = past.listed(past.journal.row(&run)?);
        if listed.alive || project.is_some_and(|project| project != listed.row.project) {
            continue;
        }
        let mut left = left(past.journal, &run)?;
        // an undo is its own run's: two of them may bear one name
        left.retain(|o| o.way == Way::Undo || shared.insert((listed.row.project.clone(), o.debt.key.clone())));
        unpaid.extend(left.into_iter().map(|owed| Unpaid { run: listed.row.clone(), owed }));
    }
    Ok(unpaid)
}

/// What a run owes by now: its debts but for those that later runs have paid and a person has put right.
pub(super) fn left(journal: &dyn Journal, run: &RunId) -> Result<Vec<Owed>, JournalError> {
    let state = journal.state(run)?;
    let mut left = Vec::new();
    for owed in of(&state) {
        if !is_paid(journal, run, &owed)? {
            left.push(owed);
        }
    }
    Ok(left)
}

/// What a run owes by its own events, each debt once: ways back that were not gone, then consequences.
pub(super) fn of(state: &RunState) -> Vec<Owed> {
    unmade(state).map(undo_of).chain(state.owing().into_iter().cloned()).collect()
}

/// A way back that was not gone to its end is owed like any other consequence.
fn undo_of(task: &TaskState) -> Owed {
    let began = &task.began;
    let debt = Debt {
        key: undo_key(&began.task),
        step: began.step.clone(),
        name: format!("undo of {}", began.name),
        host: began.host.clone(),
        action: began.action.clone(),
        value: began.value.open(),
        within: Some(began.within),
    };
    Owed { debt, by: began.task.clone(), way: Way::Undo, from: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{Clock as _, WallClock},
        cli::history::tests::Stored,
        journal::event::{End, Event, Summary},
    };

    #[tokio::test]
    async fn a_debt_is_listed_until_a_later_run_has_paid_it() {
        let stored = Stored::new();
        let owing = stored.newest();
        let table = owed(&stored.past(Output::Table), None).unwrap();
        assert!(table.contains("app.restart") && table.contains(owing.as_str()), "{table}");
        let json: serde_json::Value = serde_json::from_str(&owed(&stored.past(Output::Json), None).unwrap()).unwrap();
        assert_eq!((&json["owed"][0]["key"], &json["owed"][0]["task"]), (&"k1".into(), &"2.1@dc1-app1".into()));

        let Event::Started(header) = stored.journal.records(&owing).unwrap().remove(0).event else { panic!() };
        let payer = stored.journal.begin(WallClock.now(), *header).unwrap().run;
        let paid = Event::Paid { run_owing: owing.clone(), debt: "k1".into() };
        stored.journal.append(&payer, WallClock.now(), paid).await.unwrap();
        let end = Summary { outcome: End::Done, exit_code: 0, why: None, changed: 1, owed: 0, stands: vec![] };
        stored.journal.append(&payer, WallClock.now(), Event::Finished(end)).await.unwrap();
        assert_eq!(owed(&stored.past(Output::Table), None).unwrap(), "nothing is owed\n");
        assert_eq!(stored.journal.row(&owing).unwrap().owed, 0);
    }

    #[tokio::test]
    async fn a_run_under_way_owes_nothing_yet_and_an_interrupted_one_does() {
        let stored = Stored::new();
        let run = stored.newest();
        let operator = crate::journal::event::Operator::here();
        stored.journal.append(&run, WallClock.now(), Event::Resumed { operator }).await.unwrap();
        let owned = stored.locks.own(&run).unwrap();
        assert_eq!(owed(&stored.past(Output::Table), None).unwrap(), "nothing is owed\n");
        drop(owned);
        assert!(owed(&stored.past(Output::Table), None).unwrap().contains(run.as_str()));
    }
}
