//! A journal of 100,000 runs: what looks at it, and the start of one more. Aim: nothing that a person or a run waits for
//! grows with the number of runs.

use super::shared::{
    figure::{line, median, note, timed},
    memory,
};
use jiff::Timestamp;
use std::{
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use svcops::{
    base::{Hash, Lock, Span, TaskId, Way},
    journal::{
        Journal as _, SqliteJournal,
        event::{Began, End, Event, Header, How, Operator, Summary},
        locks::Locks,
        outside::Outside,
        prune::Wish,
        search::{Filter, Stand},
    },
};

pub fn bench() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let (took, events) = timed(|| fill(state));
    let bytes = std::fs::metadata(state.join("journal.db")).unwrap().len();
    note("history: runs", &RUNS.to_string());
    note("history: events", &events.to_string());
    note("history: size", &format!("{} MB", bytes / 1_000_000));
    note("history: written in", &format!("{:.0} s", took.as_secs_f64()));
    lists(state);
    start(state);
    verify(state);
    prune(state);
}

/// Lists, each beside the bare query of the same rows.
fn lists(state: &Path) {
    let (journal, bare) = (SqliteJournal::read(state).unwrap(), reader(state));
    let named = |text: &str| Some(text.to_owned());
    let since = Timestamp::from_second(BEGAN + i64::from(RUNS) * 60 - 86_400).unwrap();
    let filters = [
        ("newest 50", Filter::default()),
        ("one host", Filter { host: named("web-77"), ..Filter::default() }),
        ("one app", Filter { app: named("app7"), ..Filter::default() }),
        ("one day", Filter { since: Some(since), ..Filter::default() }),
        ("a rare operator", Filter { operator: named("rare"), ..Filter::default() }),
        ("failed", Filter { stands: vec![Stand::Ended(End::Failed)], ..Filter::default() }),
        ("open", Filter { stands: vec![Stand::Open], ..Filter::default() }),
        ("nothing", Filter { runbook: named("no such"), ..Filter::default() }),
    ];
    for (what, filter) in filters {
        let rows = journal.list(&filter, None, 50).unwrap();
        let took = median(TRIES, || assert_eq!(journal.list(&filter, None, 50).unwrap().len(), rows.len()));
        let ids: Vec<String> = rows.iter().map(|row| row.run.to_string()).collect();
        let floor = median(TRIES, || same_rows(&bare, &ids));
        line(&format!("history: list, {what} ({} rows)", ids.len()), took, floor, "these rows by their ids");
    }
    let took = median(TRIES, || drop(journal.troubled().unwrap()));
    let floor = median(TRIES, || same_rows(&bare, &["x".to_owned()]));
    line("history: what is open or owes", took, floor, "one row by its id");
    let took = median(TRIES, || drop(journal.newest_of("other").unwrap()));
    line("history: the newest run of a project", took, floor, "one row by its id");
    let run = journal.runs(1).unwrap().remove(0);
    let took = median(TRIES, || drop(journal.records(&run).unwrap()));
    line("history: the events of a run", took, floor, "one row by its id");
}

/// What a run waits for before its first act: what is open, what is in doubt, what is owed, and its first event.
fn start(state: &Path) {
    let (journal, locks) = (SqliteJournal::open(state).unwrap(), Locks::open(state).unwrap());
    let empty = tempfile::tempdir().unwrap();
    let (none, no_locks) = (SqliteJournal::open(empty.path()).unwrap(), Locks::open(empty.path()).unwrap());
    let one = |journal: &SqliteJournal, locks: &Locks| {
        let wanted = [Lock("web-1/unit/app1.service".into())];
        let run = journal.begin(Timestamp::from_second(BEGAN).unwrap(), header(3)).unwrap().run;
        svcops::journal::doubt::in_doubt(journal, locks, &run, &wanted, &[]).unwrap();
        svcops::engine::owing::owed(journal, "crm").unwrap();
    };
    let took = median(TRIES, || one(&journal, &locks));
    let floor = median(TRIES, || one(&none, &no_locks));
    line("history: the start of one more run", took, floor, "the same in an empty journal");
}

fn verify(state: &Path) {
    let bare = reader(state);
    let read_all = || {
        let mut rows = bare.prepare("SELECT run, seq, at, json, prev, hash FROM events").unwrap();
        let mut rows = rows.query([]).unwrap();
        let mut sum = 0;
        while let Some(row) = rows.next().unwrap() {
            sum += row.get_ref(3).unwrap().as_str().unwrap().len();
        }
        assert!(sum > 0);
    };
    let floor = median(1, read_all);
    let mut command = Command::new(super::shared::figure::SVCOPS);
    command.args(["history", "verify", "--state"]).arg(state).current_dir("/");
    let ([peak], took) =
        memory::peak([std::process::id()], || median(1, || super::shared::figure::run(&mut command, 0)));
    line("history: verify", took, floor, "reading all events");
    note("history: verify, peak memory", &format!("{} MiB", peak / 1024));
}

/// The older half goes, while another run writes: what it waits for at most is what matters.
fn prune(state: &Path) {
    let delivered = "UPDATE outbox SET delivered = 'then'";
    reader(state).execute_batch(delivered).unwrap();
    let journal = SqliteJournal::open(state).unwrap();
    let before = Timestamp::from_second(BEGAN + i64::from(RUNS) * 30).unwrap();
    let wish = Wish { before, keep: 0, project: None };
    let (took, preview) = timed(|| journal.prunable(&wish, |_| Ok(false)).unwrap());
    note("history: prune, preview", &format!("{} ms", took.as_millis()));
    let over = AtomicBool::new(false);
    let (took, longest) = std::thread::scope(|scope| {
        let beside = scope.spawn(|| {
            let other = SqliteJournal::open(state).unwrap();
            let mut longest = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                let now = Timestamp::from_second(BEGAN + i64::from(RUNS) * 61).unwrap();
                longest = longest.max(timed(|| other.begin(now, header(1)).unwrap()).0);
                std::thread::sleep(Duration::from_millis(20));
            }
            longest
        });
        let by = header(1).operator;
        let (took, done) = timed(|| journal.prune(&preview.runs, &wish, (&by, "old", before), |_| {}).unwrap());
        over.store(true, Ordering::Relaxed);
        assert_eq!(done.runs, preview.runs.len());
        (took, beside.join().unwrap())
    });
    note(&format!("history: prune of {} runs", preview.runs.len()), &format!("{:.1} s", took.as_secs_f64()));
    note("history: a run beside it waited at most", &format!("{} ms", longest.as_millis()));
    let (took, ()) = timed(|| journal.shrink().unwrap());
    note("history: giving back the room", &format!("{:.1} s", took.as_secs_f64()));
    assert_eq!(journal.verify(None, &Outside::default()).unwrap().pruned, preview.runs.len());
}

fn reader(state: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(state.join("journal.db")).unwrap()
}

fn same_rows(bare: &rusqlite::Connection, ids: &[String]) {
    let mut one = bare.prepare_cached("SELECT * FROM runs WHERE run = ?").unwrap();
    for id in ids {
        one.exists([id]).unwrap();
    }
}

/// Writes the runs through the journal itself, so that every chain is right; side by side, so that they share flushes.
fn fill(state: &Path) -> usize {
    let journal = SqliteJournal::open(state).unwrap();
    for content in [&b"runbook"[..], b"inventory"] {
        journal.put(content).unwrap();
    }
    std::thread::scope(|scope| {
        let journal = &journal;
        let side =
            |first| scope.spawn(move || (first..RUNS).step_by(SIDE_BY_SIDE).map(|n| one(journal, n)).sum::<usize>());
        let sides: Vec<_> = (0..RUNS).take(SIDE_BY_SIDE).map(side).collect();
        sides.into_iter().map(|side| side.join().unwrap()).sum()
    })
}

/// Writes one run; answers with its events.
fn one(journal: &SqliteJournal, n: u32) -> usize {
    let at = Timestamp::from_second(BEGAN + i64::from(n) * 60).unwrap();
    let run = journal.begin(at, header(n)).unwrap().run;
    // handed in one after the other, and waited for by what reads the journal later
    let handed: Vec<_> = events_of(n).into_iter().map(|event| drop(journal.note(&run, at, event))).collect();
    handed.len() + 1
}

fn header(n: u32) -> Header {
    let name = match n {
        5 => "rare",
        n if n.is_multiple_of(3) => "мария",
        _ => "ivan",
    };
    Header {
        project: "crm".into(),
        runbook: format!("work-{}", n % 50),
        file: None,
        runbook_hash: Hash::of(b"runbook"),
        inventory_hash: Hash::of(b"inventory"),
        params: std::collections::BTreeMap::new(),
        limit: None,
        limited_by: None,
        parallel: 32,
        plan: None,
        shown: None,
        operator: Operator { name: name.into(), uid: 1000, login: true, machine: "ops-1".into(), pid: 1 },
        reason: None,
        ticket: None,
        root: "/srv/crm".into(),
        version: "0.1.0".into(),
    }
}

/// A step on two hosts; one run in a thousand fails, one in twenty thousand has no end.
fn events_of(n: u32) -> Vec<Event> {
    let app = n % 20;
    let hosts: Vec<_> = [n % 200, (n + 1) % 200].iter().map(|h| format!("web-{h}").as_str().into()).collect();
    let exclusive = hosts.iter().map(|h| Lock(format!("{h}/unit/app{app}.service"))).collect();
    let mut all = vec![
        Event::Locked { exclusive, shared: vec![Lock(format!("app/app{app}"))] },
        Event::Phase { step: "1".into(), name: "Перезапуск".into(), batch: None, hosts: hosts.clone() },
    ];
    for host in hosts {
        let task = TaskId::new("1", &host);
        all.push(Event::Began(Box::new(began(task.clone(), host, app))));
        let how = How::Done { outputs: serde_json::Value::Null };
        all.push(Event::Ended { task, way: Way::Forward, how, seen: None, changed: true });
    }
    let outcome = if n % 1000 == 7 { End::Failed } else { End::Done };
    if n % 20_000 != 11 {
        let end = Summary { outcome, exit_code: outcome.code(), why: None, changed: 2, owed: 0, stands: Vec::new() };
        all.push(Event::Finished(end));
    }
    all
}

fn began(task: TaskId, host: svcops::base::HostName, app: u32) -> Began {
    Began {
        task,
        step: "1".into(),
        place: "runbooks/work.yaml:9".into(),
        id: None,
        name: "Перезапуск".into(),
        host,
        action: "app.restart".into(),
        value: serde_json::json!({"unit": format!("app{app}.service"), "within": "30s"}).into(),
        before: Some(
            serde_json::json!({"running": true, "unit": {"loaded": true, "state": "active", "pid": 7}}).into(),
        ),
        then: Vec::new(),
        undo: Vec::new(),
        inherits: Vec::new(),
        pays: None,
        within: Span(Duration::from_secs(300)),
        patience: None,
        in_rollback: false,
        leaves_nothing: false,
        opaque: false,
        always: false,
    }
}

const RUNS: u32 = 100_000;
const SIDE_BY_SIDE: usize = 32;
const TRIES: usize = 21;
/// The first run's begin, in seconds; one a minute follows.
const BEGAN: i64 = 1_760_000_000;
