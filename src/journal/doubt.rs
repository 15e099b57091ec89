//! What is in doubt: resources of a run that was interrupted, stopped, or does not know what it did.

use super::{Journal, JournalError, OpenRun, event::Event, locks::Locks};
use crate::base::{Lock, RunId};

/// A resource that another run left in doubt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{lock}` is in doubt: run {run} {why}")]
pub struct Doubt {
    /// The run.
    pub run: RunId,
    /// The first resource that is wanted and in doubt.
    pub lock: Lock,
    /// In words, after the run: `was interrupted`.
    pub why: &'static str,
}

/// Whether something of what is wanted is in doubt. Ask it when the locks are held: then no other run can begin there.
/// `own` is the run that asks, which does not stand in its own way.
///
/// # Errors
/// The journal cannot be read.
pub fn in_doubt(
    journal: &dyn Journal,
    locks: &Locks,
    own: &RunId,
    exclusive: &[Lock],
    shared: &[Lock],
) -> Result<Option<Doubt>, JournalError> {
    for open in journal.open_runs()?.into_iter().filter(|open| open.run != *own) {
        let Some(lock) = common(&open, exclusive, shared) else { continue };
        if announced_nothing(journal, &open.run)? {
            continue;
        }
        let why = match open.outcome {
            Some(super::event::End::Stopped) => "was stopped and not resumed",
            Some(_) => "does not know what became of an act",
            None if locks.alive(&open.run) => continue,
            None => "was interrupted",
        };
        return Ok(Some(Doubt { run: open.run, lock: lock.clone(), why }));
    }
    Ok(None)
}

/// No act without its announcement: a run that announced none has touched nothing, whatever became of it.
fn announced_nothing(journal: &dyn Journal, run: &RunId) -> Result<bool, JournalError> {
    Ok(!journal.records(run)?.iter().any(|r| matches!(r.event, Event::Announced { .. })))
}

/// The first lock that both could not have held at once.
fn common<'a>(open: &OpenRun, exclusive: &'a [Lock], shared: &'a [Lock]) -> Option<&'a Lock> {
    let alone = exclusive.iter().find(|l| open.exclusive.contains(l) || open.shared.contains(l));
    alone.or_else(|| shared.iter().find(|l| open.exclusive.contains(l)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{TaskId, Way},
        journal::{
            MemoryJournal,
            conformance::{at, finished, header, locked},
            event::End,
        },
    };

    fn announced() -> Event {
        Event::Announced {
            task: TaskId::new("1", &"web1".into()),
            way: Way::Forward,
            number: 0,
            changes: Vec::new(),
            expect: serde_json::Value::Null,
            boot: "b".into(),
            no_return: false,
        }
    }

    #[tokio::test]
    async fn a_run_whose_owner_is_gone_leaves_its_resources_in_doubt() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, locks) = (MemoryJournal::new(), Locks::open(folder.path()).unwrap());
        let run = journal.begin(at(0), header("a")).unwrap().run;
        journal.append(&run, at(1), locked(&["web1/unit/a"])).await.unwrap();
        let me = RunId::at_millis(7);
        let ask = |exclusive: &str, shared: &str| {
            let (exclusive, shared) = (Lock(exclusive.into()), Lock(shared.into()));
            in_doubt(&journal, &locks, &me, &[exclusive], &[shared]).unwrap().map(|d| (d.lock.0, d.why))
        };
        assert_eq!(ask("web1/unit/a", "web1"), None, "it has announced no act");
        journal.append(&run, at(1), finished(End::Stopped)).await.unwrap();
        assert_eq!(ask("web1/unit/a", "web1"), None, "nor before it was stopped");
        journal.append(&run, at(1), announced()).await.unwrap();
        assert_eq!(ask("web1/unit/a", "web1").unwrap().1, "was stopped and not resumed");
        journal.append(&run, at(1), finished(End::RolledBack)).await.unwrap();

        let run = journal.begin(at(0), header("a")).unwrap().run;
        journal.append(&run, at(1), locked(&["web1/unit/a"])).await.unwrap();
        journal.append(&run, at(1), announced()).await.unwrap();
        let owned = locks.own(&run).unwrap();
        assert_eq!(ask("web1/unit/a", "web1"), None);
        drop(owned);
        assert_eq!(ask("web1/unit/a", "web1"), Some(("web1/unit/a".into(), "was interrupted")));
        assert_eq!(ask("web1", "x"), Some(("web1".into(), "was interrupted")));
        assert_eq!(ask("web1/unit/b", "web1"), None);
        journal.append(&run, at(2), finished(End::Unknown)).await.unwrap();
        assert_eq!(ask("web1/unit/a", "web1").unwrap().1, "does not know what became of an act");
        assert_eq!(in_doubt(&journal, &locks, &run, &[Lock("web1/unit/a".into())], &[]).unwrap(), None);
        journal.append(&run, at(3), finished(End::RolledBack)).await.unwrap();
        assert_eq!(ask("web1/unit/a", "web1"), None);
    }
}
