//! `svcops owed`: what runs have left to be done, until it is done.

use super::{
    args::Output,
    history::{Past, pretty},
    words::Failure,
};
use crate::{
    base::{RunId, Way},
    engine::finish::{undo_key, unmade},
    journal::{
        Journal, JournalError,
        event::Debt,
        state::{Owed, RunState, TaskState},
    },
    ui::history::{self, Unpaid},
};
use std::collections::BTreeSet;

/// What is owed, oldest run first, as text.
///
/// # Errors
/// The journal cannot be read.
pub fn owed(past: &Past<'_>) -> Result<String, Failure> {
    let unpaid = unpaid(past)?;
    Ok(match past.output {
        Output::Table => history::owed(past.screen, &unpaid, &past.zone),
        _ => pretty(&history::owed_json(&unpaid)),
    })
}

/// The debts of runs that are over or interrupted. A run that is under way may still pay its own; what a run took over
/// from another stands with that other.
pub(super) fn unpaid(past: &Past<'_>) -> Result<Vec<Unpaid>, JournalError> {
    let mut unpaid = Vec::new();
    for run in past.journal.troubled()? {
        let listed = past.listed(past.journal.row(&run)?);
        if listed.alive {
            continue;
        }
        unpaid.extend(left(past.journal, &run)?.into_iter().map(|owed| Unpaid { run: listed.row.clone(), owed }));
    }
    Ok(unpaid)
}

/// What a run owes by now: its own debts but for those that later runs have paid and a person has put right.
pub(super) fn left(journal: &dyn Journal, run: &RunId) -> Result<Vec<Owed>, JournalError> {
    let paid: BTreeSet<String> = journal.paid_of(run)?.into_iter().collect();
    let state = RunState::fold(&journal.records(run)?);
    Ok(of(&state).into_iter().filter(|owed| !paid.contains(&owed.debt.key)).collect())
}

/// What a run owes by its own events, each debt once: ways back that were not gone, then consequences.
pub(super) fn of(state: &RunState) -> Vec<Owed> {
    let mut seen = BTreeSet::new();
    let own = state.debts.iter().filter(|owed| owed.from.is_none() && seen.insert(&owed.debt.key));
    unmade(state).map(undo_of).chain(own.cloned()).collect()
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
        value: began.value.clone(),
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
        let table = owed(&stored.past(Output::Table)).unwrap();
        assert!(table.contains("app.restart") && table.contains(owing.as_str()), "{table}");
        let json: serde_json::Value = serde_json::from_str(&owed(&stored.past(Output::Json)).unwrap()).unwrap();
        assert_eq!((&json["owed"][0]["key"], &json["owed"][0]["task"]), (&"k1".into(), &"2.1@dc1-app1".into()));

        let Event::Started(header) = stored.journal.records(&owing).unwrap().remove(0).event else { panic!() };
        let payer = stored.journal.begin(WallClock.now(), *header).unwrap().run;
        let paid = Event::Paid { run_owing: owing.clone(), debt: "k1".into() };
        stored.journal.append(&payer, WallClock.now(), paid).await.unwrap();
        let end = Summary { outcome: End::Done, exit_code: 0, why: None, changed: 1, owed: 0, stands: vec![] };
        stored.journal.append(&payer, WallClock.now(), Event::Finished(end)).await.unwrap();
        assert_eq!(owed(&stored.past(Output::Table)).unwrap(), "nothing is owed\n");
        assert_eq!(stored.journal.row(&owing).unwrap().owed, 0);
    }

    #[tokio::test]
    async fn a_run_under_way_owes_nothing_yet_and_an_interrupted_one_does() {
        let stored = Stored::new();
        let run = stored.newest();
        let operator = crate::journal::event::Operator::here();
        stored.journal.append(&run, WallClock.now(), Event::Resumed { operator }).await.unwrap();
        let owned = stored.locks.own(&run).unwrap();
        assert_eq!(owed(&stored.past(Output::Table)).unwrap(), "nothing is owed\n");
        drop(owned);
        assert!(owed(&stored.past(Output::Table)).unwrap().contains(run.as_str()));
    }
}
