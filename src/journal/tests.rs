//! What a journal must withstand: a killed writer, two writers, a forger.

use super::{
    Journal, SqliteJournal,
    chain::{Anchor, Fault},
    conformance::{at, finished, header, opened},
    event::{End, Event, Operator},
    locks::{LockError, Locks},
    outside::Outside,
    seal::Seal,
    state::RunState,
};
use crate::base::{Lock, RunId};
use rusqlite::Connection;
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

const STATE: &str = "SVCOPS_TEST_STATE";
const EVENTS: &str = "SVCOPS_TEST_EVENTS";

fn note(n: usize) -> Event {
    Event::Stopping { why: format!("событие {n}"), now: false }
}

/// Another process that writes so many events into a run of its own.
fn writer(state: &Path, events: usize) -> Child {
    process("writes_for_another_test", state, events)
}

/// One of the tests below, as a process of its own.
fn process(test: &str, state: &Path, events: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("journal::tests::{test}"), "--ignored", "--nocapture"])
        .env(STATE, state)
        .env(EVENTS, events.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "run by other tests as a process of its own"]
fn writes_for_another_test() {
    let Ok(state) = std::env::var(STATE) else { return };
    let events: usize = std::env::var(EVENTS).unwrap().parse().unwrap();
    let journal = opened(Path::new(&state));
    let run = journal.begin(at(0), header("child")).unwrap().run;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for n in 0..events {
        runtime.block_on(journal.append(&run, at(1), note(n))).unwrap();
    }
}

#[test]
#[ignore = "run by other tests as a process of its own"]
fn holds_locks_for_another_test() {
    let Ok(state) = std::env::var(STATE) else { return };
    let locks = Locks::open(Path::new(&state)).unwrap();
    let run = RunId::at_millis(1);
    let who = Operator { name: "мария".into(), ..Operator::here() };
    let _held = locks.take(&run, &who, "restart", &[Lock("a".into())], &[Lock("web1".into())]).unwrap();
    // Last: who sees that the run is alive may rely on the locks.
    let _owned = locks.own(&run).unwrap();
    loop {
        std::thread::park();
    }
}

#[tokio::test]
async fn a_note_that_nothing_follows_is_written_too() {
    let folder = tempfile::tempdir().unwrap();
    let journal = opened(folder.path());
    let run = journal.begin(at(0), header("alone")).unwrap().run;
    journal.note(&run, at(1), note(1)).await.unwrap();
    // nobody asks for anything: it must come by itself
    let reader = SqliteJournal::read(folder.path()).unwrap();
    while reader.records(&run).unwrap().len() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    journal.note(&run, at(2), note(2)).await.unwrap();
    drop(journal);
    assert_eq!(reader.records(&run).unwrap().len(), 3);
}

#[test]
fn locks_end_with_their_process_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let locks = Locks::open(folder.path()).unwrap();
    let (one, other, who) = (RunId::at_millis(1), RunId::at_millis(2), Operator::here());
    let take = || locks.take(&other, &who, "stop", &[Lock("a".into())], &[]);
    let mut child = process("holds_locks_for_another_test", folder.path(), 0);
    while !locks.alive(&one) {
        assert!(child.try_wait().unwrap().is_none(), "the holder ended by itself");
        std::thread::yield_now();
    }
    let Err(LockError::Busy(busy)) = take() else { panic!("taken twice") };
    assert_eq!((busy.run, busy.operator.as_str(), busy.reason.as_str()), (one.clone(), "мария", "restart"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!locks.alive(&one));
    drop(take().unwrap());
}

#[test]
fn a_writer_that_is_killed_leaves_a_chain_that_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let journal = opened(folder.path());
    let mut child = writer(folder.path(), usize::MAX);
    let run = RunId::at_millis(1_795_000_000_000);
    while journal.row(&run).map_or(0, |row| row.head) < 20 {
        assert!(child.try_wait().unwrap().is_none(), "the writer ended by itself");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    drop(journal);
    let journal = opened(folder.path());
    let verdict = journal.verify(None, &Outside::default()).unwrap();
    assert_eq!(verdict.faults, []);
    assert_eq!(journal.records(&run).unwrap().len(), verdict.events);
    assert!(verdict.events >= 20);
    assert_eq!(journal.row(&run).unwrap().outcome, None);
}

#[test]
fn processes_write_one_journal_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let children: Vec<_> = (0..3).map(|_| writer(folder.path(), 40)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let journal = opened(folder.path());
    let verdict = journal.verify(None, &Outside::default()).unwrap();
    assert_eq!((verdict.runs, verdict.events, verdict.entries), (3, 3 * 41, 3));
    assert_eq!(verdict.faults, []);
}

/// A journal of two runs of five events, in which somebody then changed something by hand.
async fn forged(sql: &str) -> Vec<Fault> {
    let folder = tempfile::tempdir().unwrap();
    let journal = opened(folder.path());
    written(&journal).await;
    assert_eq!(journal.verify(None, &Outside::default()).unwrap().faults, []);
    Connection::open(journal.path()).unwrap().execute_batch(sql).unwrap();
    journal.verify(None, &Outside::default()).unwrap().faults
}

async fn written(journal: &SqliteJournal) -> [String; 2] {
    let mut runs = [String::new(), String::new()];
    for (second, name) in runs.iter_mut().enumerate() {
        let run = journal.begin(at(i64::try_from(second).unwrap()), header("restart")).unwrap().run;
        for n in 0..3 {
            journal.append(&run, at(3), note(n)).await.unwrap();
        }
        journal.append(&run, at(4), finished(End::Done)).await.unwrap();
        *name = run.to_string();
    }
    runs
}

const FIRST: &str = "run = (SELECT min(run) FROM runs)";

fn first() -> String {
    RunId::at_millis(1_795_000_000_000).to_string()
}

#[tokio::test]
async fn a_changed_event_is_found() {
    for change in [
        "json = replace(json, 'событие 1', 'событие 7')",
        "at = '2026-01-01T00:00:00Z'",
        "hash = replace(hash, substr(hash, 1, 1), 'f') || ''",
        "kind = 'finished'",
    ] {
        let faults = forged(&format!("UPDATE events SET {change} WHERE {FIRST} AND seq = 3")).await;
        assert!(faults.contains(&Fault::Edited { run: first(), seq: 3 }), "{change}: {faults:?}");
    }
}

#[tokio::test]
async fn a_deleted_event_is_found_in_the_middle_and_at_the_end() {
    let faults = forged(&format!("DELETE FROM events WHERE {FIRST} AND seq IN (2, 3)")).await;
    assert_eq!(faults, [Fault::Missing { run: first(), from: 2, to: 3 }]);
    let faults = forged(&format!("DELETE FROM events WHERE {FIRST} AND seq = 5; UPDATE runs SET head = 4")).await;
    assert!(faults.contains(&Fault::Missing { run: first(), from: 5, to: 5 }), "{faults:?}");
    let faults = forged(&format!("DELETE FROM events WHERE {FIRST}; DELETE FROM runs WHERE {FIRST}")).await;
    assert!(faults.contains(&Fault::Missing { run: first(), from: 1, to: 5 }), "{faults:?}");
}

#[tokio::test]
async fn swapped_events_are_found() {
    let swap = format!(
        "UPDATE events SET seq = 99 WHERE {FIRST} AND seq = 2; UPDATE events SET seq = 2 WHERE {FIRST} AND seq = 3;
         UPDATE events SET seq = 3 WHERE {FIRST} AND seq = 99"
    );
    let moved = |seq, was| Fault::Moved { run: first(), seq, was };
    assert_eq!(forged(&swap).await, [moved(2, 3), moved(3, 2)]);
}

#[tokio::test]
async fn a_run_that_was_written_anew_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let journal = opened(folder.path());
    written(&journal).await;
    // the forger takes the last event away, and has svcops write another one in its place
    let forger = Connection::open(journal.path()).unwrap();
    forger
        .execute_batch(&format!(
            "DELETE FROM events WHERE {FIRST} AND seq = 5;
             UPDATE runs SET head = 4, hash = (SELECT hash FROM events e WHERE e.run = runs.run AND seq = 4) WHERE {FIRST}"
        ))
        .unwrap();
    journal.append(&first().parse().unwrap(), at(9), note(9)).await.unwrap();
    let faults = journal.verify(None, &Outside::default()).unwrap().faults;
    assert!(faults.contains(&Fault::OtherHead { run: first(), seq: 5 }), "{faults:?}");
}

#[tokio::test]
async fn a_changed_ledger_and_a_changed_list_are_found() {
    assert_eq!(forged("UPDATE ledger SET head = 4 WHERE seq = 2").await[0], Fault::EntryEdited { seq: 2 });
    assert_eq!(forged("DELETE FROM ledger WHERE seq = 2").await[0], Fault::EntryUnlinked { seq: 3 });
    for column in ["operator", "machine", "project", "runbook", "began", "ended", "exit_code", "changed"] {
        let faults = forged(&format!("UPDATE runs SET {column} = 7 WHERE {FIRST}")).await;
        assert_eq!(faults, [Fault::OtherRow { run: first() }], "{column}");
    }
    let faults = forged(&format!("UPDATE runs SET outcome = 'failed' WHERE {FIRST}")).await;
    assert_eq!(faults, [Fault::OtherRow { run: first() }]);
}

#[tokio::test]
async fn only_an_anchor_sees_a_cut_tail() {
    let folder = tempfile::tempdir().unwrap();
    let journal = opened(folder.path());
    let runs = written(&journal).await;
    let anchor: Anchor =
        journal.verify(None, &Outside::default()).unwrap().anchor.unwrap().to_string().parse().unwrap();
    assert_eq!(journal.verify(None, &anchor.clone().into()).unwrap().faults, []);
    let cut = |table| format!("DELETE FROM {table} WHERE run = '{}';", runs[1]);
    let forger = Connection::open(journal.path()).unwrap();
    forger.execute_batch(&["events", "runs", "ledger"].map(cut).join("\n")).unwrap();
    assert_eq!(journal.verify(None, &Outside::default()).unwrap().faults, []);
    assert_eq!(journal.verify(None, &anchor.clone().into()).unwrap().faults, [Fault::OffAnchor { seq: anchor.seq }]);
}

/// What somebody outside was told of each event, as the audit stream tells it.
fn told(journal: &SqliteJournal) -> Outside {
    let read = Connection::open(journal.path()).unwrap();
    let mut rows = read.prepare("SELECT run || '/' || seq || ':' || hash FROM events").unwrap();
    let lines: Vec<String> = rows.query_map([], |r| r.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    Outside::scan(&lines.join("\n"), "")
}

/// Seals the newest entry, without a real signature: the chain does not look at it.
fn sealed(journal: &SqliteJournal, run: &str) {
    let (run, at) = (run.parse::<RunId>().unwrap(), at(5));
    let head = journal.head(&run).unwrap();
    let entry = head.entry.unwrap();
    let statement = Seal::statement("биллинг", &run, head.seq, &entry, at);
    journal.keep_seal(&Seal { run, entry, at, statement, signature: Ok("…".into()) }).unwrap();
}

#[tokio::test]
async fn a_tail_that_was_cut_off_under_its_seal_is_found_and_with_its_seal_by_an_anchor_alone() {
    let folder = tempfile::tempdir().unwrap();
    let journal = opened(folder.path());
    let runs = written(&journal).await;
    sealed(&journal, &runs[0]);
    sealed(&journal, &runs[1]);
    let verdict = journal.verify(None, &Outside::default()).unwrap();
    assert_eq!((verdict.faults, verdict.anchored), (vec![], false));
    let anchor = verdict.anchor.unwrap();
    assert_eq!(journal.seals(Some(&runs[1].parse().unwrap())).unwrap()[0].entry, anchor);
    let cut = |table| format!("DELETE FROM {table} WHERE run = '{}';", runs[1]);
    let forger = Connection::open(journal.path()).unwrap();
    forger.execute_batch(&["events", "runs", "ledger"].map(cut).join("\n")).unwrap();
    let faults = journal.verify(None, &Outside::default()).unwrap().faults;
    assert_eq!(faults, [Fault::OffSeal { run: runs[1].clone(), seq: anchor.seq }]);
    forger.execute_batch(&cut("seals")).unwrap();
    assert_eq!(journal.verify(None, &Outside::default()).unwrap().faults, []);
    let verdict = journal.verify(None, &anchor.clone().into()).unwrap();
    assert_eq!((verdict.faults, verdict.against), (vec![Fault::OffAnchor { seq: anchor.seq }], 1));
}

#[tokio::test]
async fn a_seal_that_was_changed_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let journal = opened(folder.path());
    let runs = written(&journal).await;
    sealed(&journal, &runs[1]);
    for change in
        ["statement = replace(statement, 'head 5', 'head 5x\nat 2026-01-01T00:00:00Z')", "at = '2026-01-01T00:00:00Z'"]
    {
        Connection::open(journal.path()).unwrap().execute(&format!("UPDATE seals SET {change}"), []).unwrap();
        let faults = journal.verify(None, &Outside::default()).unwrap().faults;
        assert_eq!(faults, [Fault::SealEdited { run: runs[1].clone(), seq: 4 }], "{change}");
    }
}

#[tokio::test]
async fn a_journal_that_was_written_anew_as_a_whole_is_found_by_what_is_known_outside() {
    let real = tempfile::tempdir().unwrap();
    let journal = opened(real.path());
    let runs = written(&journal).await;
    let (anchor, told) = (journal.verify(None, &Outside::default()).unwrap().anchor.unwrap(), told(&journal));
    assert_eq!(told.marks.len(), 10);
    assert_eq!(journal.verify(None, &told).unwrap().faults, []);
    drop(journal);
    // the same runs with the same times, but for one word; every hash is right
    let forged = tempfile::tempdir().unwrap();
    let journal = opened(forged.path());
    for second in 0..2 {
        let run = journal.begin(at(second), header("restart")).unwrap().run;
        for n in 0..3 {
            let event = if second == 0 && n == 2 { note(7) } else { note(n) };
            journal.append(&run, at(3), event).await.unwrap();
        }
        journal.append(&run, at(4), finished(End::Done)).await.unwrap();
    }
    let verdict = journal.verify(None, &Outside::default()).unwrap();
    assert_eq!((verdict.faults, verdict.runs, verdict.events), (vec![], 2, 10));
    assert_eq!(journal.verify(None, &anchor.into()).unwrap().faults, [Fault::OffAnchor { seq: 4 }]);
    let off = |seq| Fault::OffMark { run: runs[0].clone(), seq };
    assert_eq!(journal.verify(None, &told).unwrap().faults, [off(4), off(5)]);
    // and one that forgets a run
    let forgetful = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(forgetful.path()).unwrap();
    let faults = journal.verify(None, &told).unwrap().faults;
    assert_eq!(faults, runs.map(|run| Fault::Gone { run, seq: 5 }));
}

#[tokio::test]
async fn what_a_person_saw_after_the_end_is_in_the_ledger_too() {
    let folder = tempfile::tempdir().unwrap();
    let journal = opened(folder.path());
    let run: RunId = written(&journal).await[1].parse().unwrap();
    let event = Event::Resolved {
        task: "1@web1".into(),
        way: crate::base::Way::Undo,
        done: true,
        reason: "видел сам".into(),
        operator: Operator::here(),
    };
    assert_eq!(journal.append(&run, at(9), event).await.unwrap().seq, 6);
    let entry = journal.entry_of(&run, 6).unwrap().unwrap();
    assert_eq!((entry.seq, journal.entry_of(&run, 3).unwrap()), (5, None));
    let forger = Connection::open(journal.path()).unwrap();
    forger
        .execute_batch(
            "DELETE FROM events WHERE seq = 6; DELETE FROM ledger WHERE seq = 5;
             UPDATE runs SET head = 5, owed = 1,
             hash = (SELECT hash FROM events e WHERE e.run = runs.run AND seq = 5)",
        )
        .unwrap();
    assert_eq!(journal.verify(None, &Outside::default()).unwrap().faults, []);
    assert_eq!(journal.verify(None, &entry.into()).unwrap().faults, [Fault::OffAnchor { seq: 5 }]);
}

#[tokio::test]
async fn a_changed_content_is_not_handed_out() {
    let folder = tempfile::tempdir().unwrap();
    let journal = opened(folder.path());
    let hash = journal.put(b"content").unwrap();
    Connection::open(journal.path()).unwrap().execute("UPDATE contents SET bytes = x'00'", []).unwrap();
    assert!(matches!(journal.get(&hash), Err(super::JournalError::BadContent(_))));
}

#[tokio::test]
async fn after_a_failed_write_nothing_more_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let journal = opened(folder.path());
    let run = journal.begin(at(0), header("a")).unwrap().run;
    Connection::open(journal.path())
        .unwrap()
        .execute_batch("CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
        .unwrap();
    let error = journal.append(&run, at(1), note(1)).await.unwrap_err();
    assert!(matches!(&error, super::JournalError::Store { path, .. } if path == journal.path()), "{error}");
    Connection::open(journal.path()).unwrap().execute_batch("DROP TRIGGER full").unwrap();
    let error = journal.append(&run, at(2), note(2)).await.unwrap_err();
    assert!(matches!(&error, super::JournalError::Closed(why) if why.contains("disk is full")), "{error}");
    drop(journal);
    let journal = opened(folder.path());
    assert_eq!(journal.append(&run, at(3), note(3)).await.unwrap().seq, 2);
}

#[tokio::test]
async fn a_journal_of_a_later_svcops_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = opened(folder.path()).path().to_owned();
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    for opened in [SqliteJournal::open(folder.path()), SqliteJournal::read(folder.path())] {
        assert!(matches!(opened.err(), Some(super::JournalError::TooNew { version: 99, .. })));
    }
}

#[tokio::test]
async fn the_journal_of_version_1_opens_and_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let old = Connection::open(folder.path().join(super::sqlite::FILE)).unwrap();
    old.execute_batch(include_str!("../../tests/data/journal-v1.sql")).unwrap();
    drop(old);
    let journal = opened(folder.path());
    assert_eq!(journal.verify(None, &Outside::default()).unwrap().faults, []);
    let runs = journal.list(&super::search::Filter::default(), None, 10).unwrap();
    assert_eq!(runs.iter().map(|r| r.outcome).collect::<Vec<_>>(), [Some(End::Failed), Some(End::Done)]);
    for row in runs {
        let records = journal.records(&row.run).unwrap();
        assert_eq!(records.len() as u64, row.head);
        let Some(Event::Started(header)) = records.first().map(|r| &r.event) else { panic!("no beginning") };
        assert_eq!(header.operator.name, row.operator);
        journal.get(&header.inventory_hash).unwrap();
        let state = RunState::fold(&records);
        assert_eq!((state.debts.len(), state.tasks.len()), (row.owed, 1));
    }
}

#[test]
fn an_old_journal_with_a_row_that_is_no_json_opens_and_the_row_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let old = Connection::open(folder.path().join(super::sqlite::FILE)).unwrap();
    old.execute_batch(include_str!("../../tests/data/journal-v1.sql")).unwrap();
    old.execute_batch("UPDATE events SET json = '{' WHERE seq IN (1, 2, 3, 5) AND run = '01M7Q5CQG0'").unwrap();
    drop(old);
    let journal = opened(folder.path());
    assert!(journal.verify(None, &Outside::default()).unwrap().faults.len() >= 4);
    assert_eq!(journal.list(&super::search::Filter::default(), None, 10).unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: events a second with 32 side by side"]
async fn measures_group_commit() {
    let folder = tempfile::tempdir_in(".").unwrap();
    let journal = Arc::new(opened(folder.path()));
    let run = journal.begin(at(0), header("bench")).unwrap().run;
    for side_by_side in [1, 32] {
        let (start, each) = (std::time::Instant::now(), 6400 / 32);
        let tasks: Vec<_> = (0..side_by_side)
            .map(|_| {
                let (journal, run) = (journal.clone(), run.clone());
                tokio::spawn(async move {
                    for n in 0..each {
                        journal.append(&run, at(1), note(n)).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let (count, time) = (u32::try_from(side_by_side * each).unwrap(), start.elapsed());
        println!("{side_by_side} side by side: {:.0} events/s", f64::from(count) / time.as_secs_f64());
    }
}
