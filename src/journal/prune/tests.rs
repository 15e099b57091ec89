//! What is taken out with a record is pruned; what is taken out without one, or with a false one, is found.

use super::*;
use crate::journal::{
    Journal as _,
    conformance::{at, finished, header, locked},
    event::{End, Event, Summary},
    outbox::Outbox as _,
    outside::{Mark, Outside},
    search::Filter,
};
use rusqlite::Connection;

/// A journal of runs that ended: ten, a minute apart.
struct Old {
    folder: tempfile::TempDir,
    journal: SqliteJournal,
    runs: Vec<RunId>,
}

impl Old {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = SqliteJournal::open(folder.path()).unwrap();
        let mut runs = Vec::new();
        for n in 0..10 {
            let mut header = header("restart");
            header.runbook_hash = journal.put(format!("runbook {n}").as_bytes()).unwrap();
            header.inventory_hash = journal.put(b"inventory").unwrap();
            let run = journal.begin(at(n * 60), header).unwrap().run;
            journal.append(&run, at(n * 60), locked(&["web1/unit/a", "app/a"])).await.unwrap();
            let end = Summary { outcome: End::Done, exit_code: 0, why: None, changed: 1, owed: 0, stands: vec![] };
            journal.append(&run, at(n * 60 + 1), Event::Finished(end)).await.unwrap();
            runs.push(run);
        }
        let old = Self { folder, journal, runs };
        old.tell_all();
        old
    }
    fn tell_all(&self) {
        let rows: Vec<i64> = self.journal.waiting(None, 999).unwrap().iter().map(|w| w.row).collect();
        self.journal.delivered(&rows, at(0)).unwrap();
    }
    fn wish(minutes: i64, keep: usize) -> Wish {
        Wish { before: at(minutes * 60 - 1), keep, project: Some("crm".into()) }
    }
    fn prune(&self, minutes: i64, keep: usize) -> Done {
        let wish = Self::wish(minutes, keep);
        let runs = self.journal.prunable(&wish, |_| Ok(false)).unwrap().runs;
        let by = (&header("x").operator, "год прошёл", at(9_000));
        self.journal.prune(&runs, &wish, by, |_| {}).unwrap()
    }
    fn faults(&self) -> Vec<String> {
        let verdict = self.journal.verify(None, &Outside::default()).unwrap();
        verdict.faults.iter().map(ToString::to_string).collect()
    }
    fn edit(&self, sql: &str) {
        Connection::open(self.journal.path()).unwrap().execute_batch(sql).unwrap();
    }
    fn count(&self, what: &str) -> i64 {
        let read = Connection::open(self.journal.path()).unwrap();
        read.query_row(&format!("SELECT count(*) FROM {what}"), [], |r| r.get(0)).unwrap()
    }
}

#[tokio::test]
async fn old_runs_go_and_what_is_left_is_proven_as_before() {
    let old = Old::new().await;
    // contents that nobody has wanted for long
    old.edit("UPDATE contents SET wanted = '2026-01-01'");
    let done = old.prune(6, 0);
    assert_eq!((done.runs, done.events, done.contents, done.unsound.len()), (6, 18, 6, 0));
    let verdict = old.journal.verify(None, &Outside::default()).unwrap();
    assert_eq!((verdict.faults, verdict.runs, verdict.pruned), (vec![], 4, 6));
    assert_eq!(old.journal.list(&Filter::default(), None, 99).unwrap().len(), 4);
    assert!(matches!(old.journal.records(&old.runs[0]), Err(JournalError::NoRun(_))));
    for (table, rows) in [("outbox", 8), ("concerns", 4), ("contents", 5), ("ledger", 21)] {
        assert_eq!(old.count(table), rows, "{table}");
    }
    old.journal.get(&Hash::of(b"inventory")).unwrap();
    let told = old.journal.prunings(5).unwrap();
    assert_eq!((told.len(), told[0].runs, told[0].operator.as_str()), (1, 6, "мария"));
    assert_eq!(old.journal.pruned(&old.runs[5]).unwrap().as_ref(), told.first());
    assert_eq!(old.journal.pruned(&old.runs[6]).unwrap(), None);

    // once more: the chain of prunings goes on, and a pruned id is never given again
    assert_eq!(old.prune(6, 0).runs, 0);
    assert_eq!(old.prune(8, 0).runs, 2);
    assert_eq!(old.journal.verify(None, &Outside::default()).unwrap().pruned, 8);
    old.journal.put(b"runbook").unwrap();
    assert_ne!(old.journal.begin(at(0), header("x")).unwrap().run, old.runs[0]);
    let (before, _) = old.journal.size().unwrap();
    old.journal.shrink().unwrap();
    assert!(old.journal.size().unwrap().0 <= before);
    assert_eq!(old.faults(), [""; 0]);
}

#[tokio::test]
async fn what_is_open_owes_or_is_not_told_yet_stays_and_so_do_the_newest() {
    let old = Old::new().await;
    let one = |n: usize, end: Event| old.journal.append(&old.runs[n], at(600), end);
    one(0, Event::Resumed { operator: header("x").operator }).await.unwrap();
    old.tell_all();
    one(1, finished(End::Unknown)).await.unwrap();
    old.tell_all();
    one(2, finished(End::Failed)).await.unwrap();
    old.tell_all();
    one(3, finished(End::RolledBack)).await.unwrap();
    old.edit(&format!("UPDATE runs SET ended = '2026-11-18T11:06:41Z', owed = 0 WHERE run = '{}'", old.runs[3]));
    // as long ago as the others
    old.edit("UPDATE runs SET ended = began WHERE ended IS NOT NULL");
    let preview = |keep, settled| old.journal.prunable(&Old::wish(9, keep), |_| Ok(settled)).unwrap();
    let found = preview(0, false);
    assert_eq!((found.open, found.owing, found.untold, found.kept), (2, 1, 1, 0));
    assert_eq!(found.runs, old.runs[4..9]);
    assert_eq!(preview(0, true).runs, [&old.runs[2..3], &old.runs[4..9]].concat(), "a person has settled it");
    let found = preview(4, false);
    assert_eq!((found.runs.as_slice(), found.kept), (&old.runs[4..6], 3));
    assert_eq!(preview(99, false).runs, []);
    let others = Wish { project: Some("other".into()), ..Old::wish(9, 0) };
    assert_eq!(old.journal.prunable(&others, |_| Ok(true)).unwrap(), Preview::default());
}

#[tokio::test]
async fn a_run_that_went_on_after_it_was_chosen_is_left() {
    let old = Old::new().await;
    let runs = old.journal.prunable(&Old::wish(9, 0), |_| Ok(false)).unwrap().runs;
    let again = Event::Resumed { operator: header("x").operator };
    old.journal.append(&runs[2], at(600), again).await.unwrap();
    let by = (&header("x").operator, "old", at(9_000));
    let done = old.journal.prune(&runs, &Old::wish(9, 0), by, |_| {}).unwrap();
    assert_eq!(done.runs, runs.len() - 1);
    old.journal.records(&runs[2]).unwrap();
    assert_eq!(old.faults(), [""; 0]);
}

#[tokio::test]
async fn a_run_that_was_changed_is_not_taken_out_with_its_traces() {
    let old = Old::new().await;
    old.edit(&format!(
        "UPDATE events SET json = replace(json, 'web1', 'web2') WHERE run = '{}' AND seq = 2",
        old.runs[1]
    ));
    let done = old.prune(6, 0);
    assert_eq!((done.runs, done.unsound), (5, vec![old.runs[1].clone()]));
    assert_eq!(old.faults(), [format!("event 2 of run {} was changed after it was written", old.runs[1])]);
}

#[tokio::test]
async fn a_run_that_is_gone_without_a_record_is_missing() {
    let old = Old::new().await;
    old.prune(3, 0);
    let run = &old.runs[5];
    old.edit(&format!("DELETE FROM events WHERE run = '{run}'; DELETE FROM runs WHERE run = '{run}'"));
    assert_eq!(old.faults(), [format!("events 1 to 3 of run {run} are missing")]);
}

#[tokio::test]
async fn a_record_that_was_changed_added_or_taken_away_is_found() {
    let (gone, there) = (2, 5);
    for (what, sql, says) in [
        (
            "another reason",
            "UPDATE events SET json = replace(json, 'год', 'век') WHERE run = 'prune'",
            "event 1 of run prune was changed",
        ),
        (
            "one more run",
            "UPDATE events SET json = replace(json, '\"runs\":[', '\"runs\":[[\"THERE\",3,\"HASH\"],') WHERE run = 'prune'",
            "event 1 of run prune was changed",
        ),
        ("no record", "DELETE FROM events WHERE run = 'prune'", "event 1 of run prune is missing"),
        (
            "no record and no entry",
            "DELETE FROM events WHERE run = 'prune'; DELETE FROM ledger WHERE run = 'prune'",
            "of run GONE are missing",
        ),
        (
            "a run that is back",
            "INSERT INTO events SELECT 'GONE', seq, at, kind, json, prev, hash FROM events WHERE run = 'THERE'",
            "something of it is there again",
        ),
    ] {
        let old = Old::new().await;
        old.prune(4, 0);
        let sql = sql.replace("THERE", old.runs[there].as_str()).replace("GONE", old.runs[gone].as_str());
        old.edit(&sql);
        let says = says.replace("GONE", old.runs[gone].as_str());
        let found = old.faults();
        assert!(found.iter().any(|fault| fault.contains(&says)), "{what}: {found:#?}");
    }
}

#[tokio::test]
async fn a_false_record_with_a_chain_of_its_own_is_found_by_the_ledger_and_by_an_anchor() {
    let old = Old::new().await;
    let anchor = old.journal.verify(None, &Outside::default()).unwrap().anchor.unwrap();
    let run = old.runs[7].clone();
    let forged = |hash: &Hash| {
        let mut write = Connection::open(old.journal.path()).unwrap();
        let turn = write.transaction().unwrap();
        let runs = vec![(run.clone(), 3, hash.clone())];
        let operator = header("x").operator;
        let (begun, before) = (at(9_000), at(9_000));
        let record =
            Pruned { event: KIND.into(), operator, reason: "?".into(), begun, before, count: 1, runs, unsound: vec![] };
        append(&turn, &record, at(9_000)).unwrap();
        turn.execute("DELETE FROM events WHERE run = ?", [run.as_str()]).unwrap();
        turn.execute("DELETE FROM runs WHERE run = ?", [run.as_str()]).unwrap();
        turn.commit().unwrap();
    };
    forged(&Hash::of(b"another end"));
    let found = old.faults();
    assert!(found[0].contains("pruning 1 names another end of run"), "{found:#?}");
    assert!(found.iter().any(|fault| fault.contains("are missing")), "{found:#?}");
    // the ledger written anew to fit: an anchor knows better
    old.edit(&format!("DELETE FROM ledger WHERE run IN ('prune', '{run}')"));
    assert!(old.journal.verify(None, &anchor.into()).unwrap().faults.len() > 1);
}

#[tokio::test]
async fn what_was_kept_elsewhere_of_a_pruned_run_is_held_against_the_ledger() {
    let old = Old::new().await;
    let run = old.runs[0].clone();
    let head = old.journal.head(&run).unwrap();
    old.prune(4, 0);
    let hold = |seq, hash: &Hash| {
        let marks = vec![Mark { run: run.clone(), seq, hash: hash.clone() }];
        old.journal.verify(None, &Outside { marks, ..Outside::default() }).unwrap().faults.len()
    };
    assert_eq!(hold(head.seq, &head.hash), 0);
    assert_eq!(hold(head.seq, &Hash::of(b"x")), 1);
    assert_eq!(hold(2, &Hash::of(b"x")), 0, "the ledger never knew it");
    drop(old.folder);
}
