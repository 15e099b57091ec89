//! A real socket: dead, full, or read.

use super::*;
use crate::{
    base::{Hash, Redactor},
    evidence::syslog::MOST,
    journal::{
        event::{End, Header, Operator, Summary},
        outside::Outside,
        prune::Wish,
    },
};
use std::{os::unix::net::UnixDatagram, path::Path};

const STORE: &str = "ops-1:/srv/биллинг";

fn operator() -> Operator {
    Operator { name: "мария".into(), uid: 1000, login: true, machine: "ops-1".into(), pid: 7 }
}

fn header() -> Header {
    let hash = Hash::of(b"");
    Header {
        project: "crm".into(),
        runbook: "перезапуск".into(),
        file: None,
        runbook_hash: hash.clone(),
        inventory_hash: hash.clone(),
        params: BTreeMap::new(),
        limit: None,
        limited_by: None,
        parallel: 1,
        plan: Some(hash),
        shown: None,
        operator: operator(),
        reason: Some("плановые\nработы".into()),
        ticket: Some("SV-000007".into()),
        root: "/".into(),
        version: "0".into(),
    }
}

fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_795_000_000 + second).unwrap()
}

/// A state directory whose runs are to be told.
struct Here {
    journal: Arc<SqliteJournal>,
    locks: Arc<Locks>,
}

impl Here {
    fn new(state: &Path) -> Self {
        let journal = SqliteJournal::open(state).unwrap();
        journal.put(b"").unwrap();
        journal.audit();
        Self { journal: Arc::new(journal), locks: Arc::new(Locks::open(state).unwrap()) }
    }

    fn append(&self, run: &RunId, event: Event) -> Record {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.journal.append(run, at(1), event)).unwrap()
    }

    /// A run of so many events between its beginning and its end.
    fn run(&self, events: usize) -> RunId {
        let run = self.journal.begin(at(0), header()).unwrap().run;
        for n in 0..events {
            self.append(&run, Event::Stopping { why: format!("событие {n}"), now: false });
        }
        let end = Summary { outcome: End::Done, exit_code: 0, why: None, changed: 1, owed: 0, stands: Vec::new() };
        self.append(&run, Event::Finished(end));
        run
    }

    fn catch_up(&self, socket: &Path) -> Came {
        Teller::new(&self.journal, &self.locks, &log(socket)).catch_up()
    }
}

fn log(socket: &Path) -> Syslog {
    Syslog::to(socket.to_str().unwrap(), STORE.into(), Redactor::default())
}

fn lines(log: &UnixDatagram) -> Vec<String> {
    log.set_nonblocking(true).unwrap();
    let mut bytes = [0; 2 * MOST];
    std::iter::from_fn(|| {
        let read = log.recv(&mut bytes).ok()?;
        assert!(read <= MOST);
        Some(String::from_utf8(bytes[..read].to_vec()).unwrap())
    })
    .collect()
}

fn told(lines: &[String]) -> Vec<u64> {
    Outside::scan(&lines.join("\n"), STORE).marks.into_iter().map(|mark| mark.seq).collect()
}

#[test]
fn each_line_names_its_event_by_its_hash_and_the_journal_is_held_against_them() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("log");
    let log = UnixDatagram::bind(&socket).unwrap();
    let here = Here::new(folder.path());
    here.run(1);
    assert_eq!(here.catch_up(&socket), Came { told: 3, left: 0, why: None });
    let lines = lines(&log);
    let text: String = lines.iter().map(|line| line.split_once("]: ").unwrap().1.to_owned() + "\n").collect();
    insta::with_settings!({filters => vec![("[0-9a-f]{64}", "HASH")]}, {
        insta::assert_snapshot!(text, @r#"
        [svcops store="ops-1:/srv/биллинг" event="01M7Q5CQG0/1:HASH" anchor="1:HASH"] run 01M7Q5CQG0 begins: `перезапуск` of project crm, by мария on ops-1, ticket SV-000007, plan HASH, reason: плановые\nработы
        [svcops store="ops-1:/srv/биллинг" event="01M7Q5CQG0/2:HASH"] run 01M7Q5CQG0 · stopping after what is under way: событие 0; once more ends it on the hosts too
        [svcops store="ops-1:/srv/биллинг" event="01M7Q5CQG0/3:HASH" anchor="2:HASH"] run 01M7Q5CQG0 ends: done (exit code 0), 1 changed, 0 owed
        "#);
    });
    let known = Outside::scan(&lines.join("\n"), STORE);
    let verdict = here.journal.verify(None, &known).unwrap();
    assert_eq!((verdict.faults, verdict.against), (vec![], 5));
    // told once
    assert_eq!(here.catch_up(&socket), Came::default());
    rusqlite::Connection::open(here.journal.path())
        .unwrap()
        .execute_batch("DELETE FROM events; DELETE FROM ledger; DELETE FROM runs")
        .unwrap();
    assert!(!here.journal.verify(None, &known).unwrap().faults.is_empty());
}

#[test]
fn what_a_dead_log_or_a_killed_process_left_is_told_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("log");
    let dead = Here::new(folder.path());
    let run = dead.run(2);
    let came = dead.catch_up(&socket);
    assert_eq!((came.told, came.left), (0, 4));
    assert!(came.why.unwrap().contains("log"));
    drop(dead);
    let log = UnixDatagram::bind(&socket).unwrap();
    let next = Here::new(folder.path());
    assert_eq!(next.catch_up(&socket), Came { told: 4, left: 0, why: None });
    assert_eq!(told(&lines(&log)), [1, 2, 3, 4]);
    // what comes after its end is told as well, once somebody says so
    next.journal.audit_run(&run).unwrap();
    next.append(&run, Event::Stopping { why: "late".into(), now: false });
    assert_eq!(next.catch_up(&socket).told, 1);
    assert_eq!(told(&lines(&log)), [5]);
}

#[test]
fn a_run_of_a_living_process_is_its_own_to_tell() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("log");
    let _log = UnixDatagram::bind(&socket).unwrap();
    let first = Here::new(folder.path());
    let run = first.run(1);
    let owned = first.locks.own(&run).unwrap();
    let second = Here::new(folder.path());
    assert_eq!(second.catch_up(&socket), Came::default());
    drop(owned);
    assert_eq!(second.catch_up(&socket).told, 3);
}

#[test]
fn a_log_that_takes_a_few_lines_at_a_time_gets_all_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("log");
    let log = UnixDatagram::bind(&socket).unwrap();
    let here = Here::new(folder.path());
    here.run(600);
    let reader = std::thread::spawn(move || {
        log.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut bytes = [0; 2 * MOST];
        let mut seen = Vec::new();
        while seen.last() != Some(&602) {
            let read = log.recv(&mut bytes).unwrap();
            seen.extend(told(&[String::from_utf8(bytes[..read].to_vec()).unwrap()]));
        }
        seen
    });
    let mut rounds = 0;
    while here.catch_up(&socket).why.is_some() {
        rounds += 1;
        assert!(rounds < 100);
    }
    assert_eq!(reader.join().unwrap(), (1..=602).collect::<Vec<_>>());
}

/// Hears nothing.
struct Nobody;

impl Watcher for Nobody {
    fn record(&self, _: &Record) {}
    fn notice(&self, _: &Notice) {}
}

#[test]
fn a_stream_tells_what_it_is_called_for_and_a_run_that_is_told_is_off_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("log");
    let taken = UnixDatagram::bind(&socket).unwrap();
    let here = Here::new(folder.path());
    let stream = Stream::start(here.journal.clone(), here.locks.clone(), log(&socket)).unwrap();
    let watcher = stream.beside(Arc::new(Nobody));
    let run = here.run(3);
    let _owned = here.locks.own(&run).unwrap();
    for record in here.journal.records(&run).unwrap() {
        watcher.record(&record);
    }
    let came = stream.finish().unwrap();
    assert_eq!((came.left, came.why), (0, None));
    assert_eq!(told(&lines(&taken)), [1, 2, 3, 4, 5]);
    assert_eq!(here.journal.untold().unwrap(), []);
}

#[test]
fn what_is_pruned_is_told_with_its_anchor_and_what_is_not_told_stays() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("log");
    let here = Here::new(folder.path());
    let (first, second) = (here.run(0), here.run(0));
    rusqlite::Connection::open(here.journal.path()).unwrap().execute("UPDATE outbox SET delivered = 'x'", []).unwrap();
    let wish = Wish { before: at(1000), keep: 0, project: None };
    let old = |here: &Here| here.journal.prunable(&wish, |_| Ok(true)).unwrap();
    assert_eq!((old(&here).runs, old(&here).untold), (vec![], 2));
    let log = UnixDatagram::bind(&socket).unwrap();
    here.catch_up(&socket);
    drop(lines(&log));
    assert_eq!(old(&here).runs, [first.clone(), second.clone()]);
    here.journal.prune(&old(&here).runs, &wish, (&operator(), "старые", at(2000)), |_| {}).unwrap();
    // the process that pruned is gone
    let next = Here::new(folder.path());
    assert_eq!(next.catch_up(&socket).told, 1);
    let text = lines(&log).join("\n");
    assert!(
        text.contains(&format!("pruned: 2 runs ({first} to {second}) taken out of the journal by мария")),
        "{text}"
    );
    assert!(text.contains("reason: старые"), "{text}");
    let known = Outside::scan(&text, STORE);
    assert_eq!((known.anchors.len(), next.journal.verify(None, &known).unwrap().faults), (1, vec![]));
    assert_eq!(next.catch_up(&socket), Came::default());
}
