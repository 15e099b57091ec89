//! What runs owe to the world: debts of all runs of a project, who pays them, and what a later run makes void.

use super::{
    EngineError,
    finish::{undo_key, unmade},
    walk::{Engine, Halt},
};
use crate::{
    base::RunId,
    journal::{
        Journal, JournalError,
        event::{Debt, Event, Inherited},
        state::{Owed, TaskState},
    },
};
use std::collections::BTreeMap;

/// What other runs of the project owe, by debt.
pub(super) fn earlier(
    journal: &dyn Journal,
    project: &str,
    but: &RunId,
) -> Result<BTreeMap<String, Vec<Inherited>>, EngineError> {
    let mut all: BTreeMap<String, Vec<Inherited>> = BTreeMap::new();
    for (run, debt) in owed(journal, project)? {
        if run != *but {
            all.entry(debt.key.clone()).or_default().push(Inherited { run, debt });
        }
    }
    Ok(all)
}

/// All debts of all runs of a project that nobody has paid yet, oldest run first. A debt that several runs share is there
/// with each of them: a payment settles it for all.
///
/// # Errors
/// The journal cannot be read.
pub fn owed(journal: &dyn Journal, project: &str) -> Result<Vec<(RunId, Debt)>, EngineError> {
    let mut debts = Vec::new();
    for run in journal.troubled()? {
        if journal.header(&run)?.project != project {
            continue;
        }
        let state = journal.state(&run)?;
        for owed in state.owing() {
            if !is_paid(journal, &run, owed)? {
                debts.push((run.clone(), owed.debt.clone()));
            }
        }
    }
    Ok(debts)
}

/// Whether a later run has paid it. What was only taken over is paid with what it was taken over from, too.
///
/// # Errors
/// The journal cannot be read.
pub fn is_paid(journal: &dyn Journal, run: &RunId, owed: &Owed) -> Result<bool, JournalError> {
    let paid = |run: &RunId| Ok::<_, JournalError>(journal.paid_of(run)?.contains(&owed.debt.key));
    Ok(paid(run)? || owed.from.as_ref().map(paid).transpose()?.unwrap_or(false))
}

impl Engine<'_> {
    /// What an earlier run could not take back is no longer owed once a later one has brought the same thing where it
    /// should be.
    pub(super) async fn supersede(&self) -> Result<(), Halt> {
        let lock = |task: &TaskState| self.recall(&task.began).ok().map(|t| t.locks().0);
        let mut paid = Vec::new();
        for run in self.stage.journal.troubled()?.into_iter().filter(|run| *run != self.run) {
            if self.stage.journal.header(&run)?.project != self.stage.inventory.project {
                continue;
            }
            let state = self.stage.journal.state(&run)?;
            let known = self.stage.journal.paid_of(&run)?;
            let brought: Vec<_> = self.with(|s| {
                let well =
                    |t: &&TaskState| t.forward.done() && t.undo.is_none() && !t.began.leaves_nothing && !t.began.opaque;
                s.tasks.iter().filter(well).filter_map(lock).collect()
            });
            let over = unmade(&state).filter(|t| lock(t).is_some_and(|l| brought.contains(&l)));
            let keys = over.map(|t| undo_key(&t.began.task)).filter(|k| !known.contains(k));
            paid.extend(keys.map(|debt| (run.clone(), debt)));
        }
        for (run_owing, debt) in paid {
            self.say(Event::Paid { run_owing, debt }).await?;
        }
        Ok(())
    }
}
