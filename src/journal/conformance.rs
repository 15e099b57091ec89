//! What every journal must do; run for each of them.

use super::{
    Journal, JournalError, MemoryJournal, SqliteJournal,
    event::{End, Event, Header, Operator, Scope, Summary},
    outbox::{Outbox, TicketOf, Undelivered},
    state::RunState,
};
use crate::base::{Hash, Lock, RunId};
use jiff::Timestamp;
use std::{collections::BTreeMap, sync::Arc};

pub(super) fn header(runbook: &str) -> Header {
    Header {
        project: "crm".into(),
        runbook: runbook.into(),
        file: None,
        runbook_hash: Hash::of(b"runbook"),
        inventory_hash: Hash::of(b"inventory"),
        params: BTreeMap::new(),
        limit: None,
        limited_by: None,
        parallel: 32,
        shown: None,
        plan: None,
        operator: Operator { name: "мария".into(), uid: 1000, login: true, machine: "ops-1".into(), pid: 1 },
        reason: None,
        ticket: None,
        root: "/srv/crm".into(),
        version: "0.1.0".into(),
    }
}

/// A journal with what [`header`] names.
pub(super) fn opened(folder: &std::path::Path) -> SqliteJournal {
    let journal = SqliteJournal::open(folder).unwrap();
    for content in [&b"runbook"[..], b"inventory"] {
        journal.put(content).unwrap();
    }
    journal
}

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).unwrap()
}

pub(super) fn locked(names: &[&str]) -> Event {
    Event::Locked { exclusive: names.iter().map(|n| Lock((*n).into())).collect(), shared: vec![Lock("web1".into())] }
}

pub(super) fn finished(outcome: End) -> Event {
    Event::Finished(Summary { outcome, exit_code: outcome.code(), why: None, changed: 2, owed: 1, stands: vec![] })
}

fn stopping(n: usize) -> Event {
    Event::Stopping { why: format!("№ {n}"), now: false }
}

async fn conforms<J: Outbox + 'static>(journal: Arc<J>) {
    tells_each_event_until_it_is_delivered(&*journal).await;
    numbers_without_a_gap(&*journal).await;
    notes_have_their_place(&*journal).await;
    ids_are_free(&*journal);
    appends_side_by_side(journal.clone()).await;
    keeps_contents(&*journal);
    knows_open_runs(&*journal).await;
}

/// Run on an empty journal.
async fn tells_each_event_until_it_is_delivered(journal: &dyn Outbox) {
    let seqs = |run: &RunId| -> Vec<u64> {
        let rows = journal.waiting(None, 99).unwrap();
        assert!(rows.windows(2).all(|w| w[0].row < w[1].row));
        rows.into_iter().filter(|w| w.run == *run).map(|w| w.seq).collect()
    };
    let [one, other] = [1, 2].map(|n| journal.begin(at(n), header("told")).unwrap().run);
    let host = "web1".into();
    journal.append(&one, at(3), locked(&["web1"])).await.unwrap();
    let back = |scope| Event::RollingBack { scope, why: "sick".into(), drill: false };
    journal.append(&one, at(3), back(Scope::Host(host))).await.unwrap();
    journal.append(&one, at(3), back(Scope::Run)).await.unwrap();
    // what no act waits for is told as well
    let phase = Event::Phase { step: "1".into(), name: "Restart".into(), batch: None, hosts: vec![] };
    journal.note(&one, at(3), phase).await.unwrap();
    journal.append(&one, at(3), finished(End::Failed)).await.unwrap();
    assert_eq!((seqs(&one), seqs(&other)), (vec![1, 4, 5, 6], vec![1]));
    let first = journal.waiting(Some(&other), 1).unwrap();
    assert_eq!((&first[0].run, first.len()), (&other, 1));

    let rows = journal.waiting(Some(&one), 2).unwrap();
    journal.delivered(&rows.iter().map(|w| w.row).collect::<Vec<_>>(), at(4)).unwrap();
    let left = journal.waiting(Some(&one), 1).unwrap().remove(0);
    for why in ["the desk is locked", "стол занят"] {
        journal.not_delivered(left.row, why).unwrap();
    }
    journal.not_delivered(rows[0].row, "it is delivered").unwrap();
    assert_eq!((seqs(&one), seqs(&other)), (vec![5, 6], vec![1]));
    let left = journal.waiting(Some(&one), 1).unwrap().remove(0);
    assert_eq!((left.tries, left.failed.as_deref()), (2, Some("стол занят")));
    assert_eq!(journal.undelivered().unwrap(), Undelivered { rows: 3, runs: 2, why: Some("стол занят".into()) });

    assert_eq!(journal.ticket_of(&one).unwrap(), None);
    for ticket in ["SV-000001", "SV-000002"] {
        let ticket = TicketOf { system: "desk".into(), ticket: ticket.into() };
        journal.set_ticket(&one, &ticket).unwrap();
        assert_eq!(journal.ticket_of(&one).unwrap(), Some(ticket));
    }
}

async fn numbers_without_a_gap(journal: &dyn Journal) {
    let first = journal.begin(at(0), header("restart")).unwrap();
    assert_eq!((first.seq, first.run.millis()), (1, 1_795_000_000_000));
    let handed_in: Vec<_> = (0..20).map(|n| journal.append(&first.run, at(1), stopping(n))).collect();
    for (n, answer) in handed_in.into_iter().enumerate() {
        let record = answer.await.unwrap();
        assert_eq!((record.seq, &record.event), (n as u64 + 2, &stopping(n)));
    }
    let records = journal.records(&first.run).unwrap();
    assert_eq!(records.first(), Some(&first));
    assert!(records.iter().enumerate().all(|(i, r)| r.seq == i as u64 + 1));
    let stranger = RunId::at_millis(1);
    assert!(matches!(journal.records(&stranger), Err(JournalError::NoRun(_))));
    assert_eq!(journal.state(&first.run).unwrap(), RunState::fold(&records));
    assert!(matches!(journal.state(&stranger), Err(JournalError::NoRun(_))));
    assert!(matches!(journal.append(&stranger, at(2), stopping(0)).await, Err(JournalError::NoRun(_))));
    // an event that had no place does not close the journal for others
    assert_eq!(journal.append(&first.run, at(2), stopping(9)).await.unwrap().seq, 22);
}

/// A note is there with what is appended next.
async fn notes_have_their_place(journal: &dyn Journal) {
    let run = journal.begin(at(3), header("restart")).unwrap().run;
    assert_eq!(journal.note(&run, at(3), stopping(1)).await.unwrap().seq, 2);
    assert_eq!(journal.note(&run, at(3), stopping(2)).await.unwrap().seq, 3);
    assert_eq!(journal.append(&run, at(3), stopping(3)).await.unwrap().seq, 4);
    assert!(journal.records(&run).unwrap().iter().map(|r| r.seq).eq(1..=4));
    let stranger = RunId::at_millis(1);
    assert!(matches!(journal.note(&stranger, at(3), stopping(0)).await, Err(JournalError::NoRun(_))));
}

fn ids_are_free(journal: &dyn Journal) {
    let (one, other) = (journal.begin(at(5), header("a")).unwrap(), journal.begin(at(5), header("b")).unwrap());
    assert_eq!(other.run.millis(), one.run.millis() + 1);
    assert_eq!(journal.runs(1).unwrap(), [other.run]);
}

async fn appends_side_by_side(journal: Arc<dyn Journal>) {
    let runs = [journal.begin(at(10), header("x")).unwrap().run, journal.begin(at(11), header("y")).unwrap().run];
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let (journal, run) = (journal.clone(), runs[n % 2].clone());
            tokio::spawn(async move {
                for _ in 0..10 {
                    journal.append(&run, at(12), stopping(n)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for run in &runs {
        let seqs: Vec<_> = journal.records(run).unwrap().iter().map(|r| r.seq).collect();
        assert_eq!(seqs, (1..=41).collect::<Vec<_>>());
    }
}

fn keeps_contents(journal: &dyn Journal) {
    let hash = journal.put("резерв".as_bytes()).unwrap();
    assert_eq!(journal.put("резерв".as_bytes()).unwrap(), hash);
    assert_eq!(journal.get(&hash).unwrap(), "резерв".as_bytes());
    assert!(matches!(journal.get(&Hash::of(b"nothing")), Err(JournalError::NoContent(_))));
}

async fn knows_open_runs(journal: &dyn Journal) {
    let run = journal.begin(at(20), header("open")).unwrap().run;
    let of = |journal: &dyn Journal| journal.open_runs().unwrap().into_iter().find(|o| o.run == run);
    assert_eq!(of(journal), None);
    journal.append(&run, at(21), locked(&["web1/unit/a.service"])).await.unwrap();
    assert_eq!(of(journal).unwrap().exclusive, [Lock("web1/unit/a.service".into())]);
    journal.append(&run, at(22), finished(End::Stopped)).await.unwrap();
    assert_eq!(of(journal).unwrap().outcome, Some(End::Stopped));
    let operator = header("").operator;
    journal.append(&run, at(23), Event::Resumed { operator }).await.unwrap();
    assert_eq!(of(journal).unwrap().outcome, None);
    journal.append(&run, at(24), finished(End::Failed)).await.unwrap();
    assert_eq!(of(journal), None);
    // it owes one debt still, until another run pays it
    assert!(journal.troubled().unwrap().contains(&run));
    let payer = journal.begin(at(30), header("pay")).unwrap().run;
    assert!(journal.troubled().unwrap().contains(&payer));
    for _ in 0..2 {
        let paid = Event::Paid { run_owing: run.clone(), debt: "restart".into() };
        journal.append(&payer, at(31), paid).await.unwrap();
    }
    journal.append(&payer, at(32), finished(End::Stopped)).await.unwrap();
    let troubled = journal.troubled().unwrap();
    assert!(!troubled.contains(&run) && troubled.contains(&payer));
}

#[tokio::test]
async fn the_journal_in_memory_conforms() {
    conforms(Arc::new(MemoryJournal::new())).await;
}

#[tokio::test]
async fn the_journal_in_a_database_conforms_and_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Arc::new(opened(folder.path()));
    conforms(journal.clone()).await;
    let verdict = journal.verify(None, &super::outside::Outside::default()).unwrap();
    assert_eq!(verdict.faults, []);
    assert!(verdict.runs >= 5 && verdict.events > 80 && !verdict.anchored);
}

#[tokio::test]
async fn a_killed_journal_keeps_what_a_killed_process_would_have_kept() {
    let journal = MemoryJournal::new();
    let run = journal.begin(at(0), header("a")).unwrap().run;
    journal.kill_before(2);
    journal.append(&run, at(1), stopping(1)).await.unwrap();
    assert!(matches!(journal.append(&run, at(1), stopping(2)).await, Err(JournalError::Closed(_))));
    assert!(journal.append(&run, at(1), stopping(3)).await.is_err());
    assert_eq!(journal.records(&run).unwrap().len(), 2);
    journal.revive();
    journal.kill_after(1);
    assert!(journal.append(&run, at(1), stopping(4)).await.is_err());
    assert!(journal.append(&run, at(1), stopping(5)).await.is_err());
    assert_eq!(journal.records(&run).unwrap().len(), 3);
}
