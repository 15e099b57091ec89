//! One ticket a run and each comment once, wherever the process is killed between an event and its ticket; and a desk that
//! cannot be used stops no run.

use crate::support::Project;
use rusqlite::Connection;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Kills its process before or after the n-th flush of a database, with `KILL_WRITES` the n-th write or flush: `KILL_AT=n`,
/// `KILL_AFTER=1`. Which database, `KILL_FILE` says: a part of its path. Children are left alone.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static long at, after, writes, count;
static const char *part;
__attribute__((constructor)) static void begin(void) {
  at = getenv("KILL_AT") ? atol(getenv("KILL_AT")) : 0;
  after = getenv("KILL_AFTER") != 0;
  writes = getenv("KILL_WRITES") != 0;
  part = getenv("KILL_FILE");
  unsetenv("LD_PRELOAD");
}
static int counts(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  if (n < 0 || !part) return 0;
  path[n] = 0;
  if (!strstr(path, part)) return 0;
  return __sync_add_and_fetch(&count, 1) == at;
}
static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }
ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t offset) {
  static ssize_t (*real)(int, const void *, size_t, off64_t);
  if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
  int now = writes && counts(fd);
  if (now && !after) die();
  ssize_t done = real(fd, bytes, n, offset);
  if (now) die();
  return done;
}
int fdatasync(int fd) {
  static int (*real)(int);
  if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
  int now = counts(fd);
  if (now && !after) die();
  int done = real(fd);
  if (now) die();
  return done;
}
int fsync(int fd) { return fdatasync(fd); }
"#;

/// The shim, compiled once; none where there is no C compiler.
fn shim() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (source, shim) = (folder.join("kill.c"), folder.join(format!("kill-{}.so", std::process::id())));
        std::fs::write(&source, SHIM).unwrap();
        let done =
            Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(&source).arg("-ldl").status();
        done.is_ok_and(|status| status.success()).then_some(shim)
    });
    built.as_deref()
}

fn world() -> Project {
    let project = Project::new("project: marks\nhosts:\n  here: {local: true}\n");
    project.file("runbooks/marks.yaml", &runbook(&project, "marks", "true"));
    project.file("runbooks/fails.yaml", &runbook(&project, "fails", "exit 3"));
    project
}

/// A step that leaves a mark and takes it back, and one that may fail.
fn runbook(project: &Project, name: &str, last: &str) -> String {
    let marks = project.root().join("marks");
    let marks = marks.display();
    let step = |n: usize| {
        format!(
            "  - name: Отметка {n}\n    command: {{run: \"echo {n} >> '{marks}'\"}}\n    undo: [{{command: \"sed -i '/^{n}$/d' '{marks}'\"}}]\n"
        )
    };
    let last = format!("  - {{name: Проверка, command: {{run: \"{last}\"}}, undo: [{{command: 'true'}}]}}\n");
    format!("svcops: 1\nname: {name}\ntargets: here\nsteps:\n{}{last}", step(1))
}

/// What the desk holds.
struct Held(Connection);

impl Held {
    fn of(project: &Project) -> Self {
        Self(Connection::open(project.state().join("desk.db")).unwrap())
    }
    /// The ticket, its run and its state, oldest first.
    fn tickets(&self) -> Vec<(i64, String, String)> {
        let mut ask = self.0.prepare("SELECT id, run, state FROM tickets ORDER BY id").unwrap();
        ask.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).unwrap().collect::<Result<_, _>>().unwrap()
    }
    fn comments(&self, ticket: i64) -> Vec<String> {
        let mut ask =
            self.0.prepare("SELECT text FROM entries WHERE ticket = ? AND what = 'comment' ORDER BY id").unwrap();
        ask.query_map([ticket], |r| r.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }
    fn reports(&self, ticket: i64) -> usize {
        let ask = "SELECT count(*) FROM attachments WHERE ticket = ?";
        let reports: u32 = self.0.query_row(ask, [ticket], |r| r.get(0)).unwrap();
        reports as usize
    }
}

fn sync(world: &Project) {
    world.svcops(&["ticket", "sync"]).exits(0);
    world.svcops(&["ticket", "sync"]).exits(0).says("nothing");
}

/// Between two flushes of a database it holds what it held, or all of the transaction: so before and after each flush is
/// wherever a kill can make a difference.
#[test]
fn a_run_that_is_killed_at_any_flush_of_the_desk_has_one_ticket_and_each_comment_once() {
    at_every("desk.db", "marks", false);
}

#[test]
fn a_run_that_is_killed_at_any_flush_of_the_journal_has_one_ticket_and_each_comment_once() {
    at_every("journal.db", "fails", false);
}

#[test]
#[ignore = "thorough: some minutes"]
fn a_run_that_is_killed_at_any_write_at_all_has_one_ticket_and_each_comment_once() {
    at_every("desk.db", "fails", true);
    at_every("journal.db", "marks", true);
}

/// Kills a run before its first flush of a database, another after it, and so on.
#[expect(clippy::print_stderr, reason = "a test that was skipped says so")]
fn at_every(file: &str, runbook: &str, writes: bool) {
    let Some(shim) = shim() else {
        eprintln!("skipped: there is no C compiler `cc`");
        return;
    };
    let (next, killed, over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    if turn > over.load(Ordering::Relaxed) {
                        return;
                    }
                    let world = world();
                    let mut command = world.command(&["run", &format!("runbooks/{runbook}.yaml"), "--yes"]);
                    command.env("LD_PRELOAD", shim).env("KILL_FILE", file).env("KILL_AT", (turn / 2 + 1).to_string());
                    if turn % 2 == 1 {
                        command.env("KILL_AFTER", "1");
                    }
                    if writes {
                        command.env("KILL_WRITES", "1");
                    }
                    if command.output().unwrap().status.code().is_some() {
                        over.fetch_min(turn, Ordering::Relaxed);
                        return;
                    }
                    killed.fetch_add(1, Ordering::Relaxed);
                    goes_on(&world, turn);
                }
            });
        }
    });
    let killed = killed.into_inner();
    assert!(killed > 20, "only {killed} kills at {file}");
}

/// After a kill: a run that is not over is resumed, or rolled back; then its ticket is looked at.
fn goes_on(world: &Project, turn: usize) {
    let said = Said::of(world);
    let Some(run) = &said.run else {
        assert!(!world.state().join("desk.db").exists(), "a ticket without a run");
        return;
    };
    if !said.over && said.count("locked") > 0 {
        let verb = if turn.is_multiple_of(3) { "rollback" } else { "resume" };
        let ended = world.svcops(&[verb, run, "--yes"]);
        assert!(matches!(ended.code, Some(0 | 1)), "turn {turn}: {ended}");
    } else {
        world.svcops(&["ticket", "sync"]).exits(0);
    }
    let said = Said::of(world);
    assert_eq!(said.left, 0, "turn {turn}");
    let held = Held::of(world);
    let tickets = held.tickets();
    assert_eq!(tickets.len(), 1, "turn {turn}: {tickets:?}");
    let (ticket, of, state) = &tickets[0];
    assert_eq!(of, run);
    let comments = held.comments(*ticket);
    let once: BTreeSet<&String> = comments.iter().collect();
    assert_eq!(once.len(), comments.len(), "turn {turn}: {comments:#?}");
    let told = |mark: &str| comments.iter().filter(|c| c.starts_with(mark)).count();
    assert_eq!(told("`"), 1 + said.count("resumed"), "turn {turn}: {comments:#?}");
    assert_eq!(told("The run goes back"), said.count("rolling_back"), "turn {turn}: {comments:#?}");
    let ends = told("Done") + told("Failed") + told("Undone");
    let finished = said.count("finished");
    assert_eq!((ends, held.reports(*ticket)), (finished, finished), "turn {turn}: {comments:#?}");
    if ends > 0 {
        for step in &said.steps {
            assert!(told(&format!("Step {step}:")) >= 1, "turn {turn}: {comments:#?}");
        }
        let good = told("Done") + told("Undone") > 0;
        assert_eq!(state, if good { "done" } else { "open" }, "turn {turn}: {comments:#?}");
    }
}

/// What the journal holds.
struct Said {
    run: Option<String>,
    over: bool,
    kinds: Vec<String>,
    steps: BTreeSet<String>,
    /// Events that no ticket was told of.
    left: u32,
}

impl Said {
    fn of(project: &Project) -> Self {
        let mut said = Self { run: None, over: false, kinds: vec![], steps: BTreeSet::new(), left: 0 };
        let Ok(journal) = Connection::open(project.state().join("journal.db")) else { return said };
        let row = "SELECT run, ended IS NOT NULL FROM runs";
        let Ok((run, over)) = journal.query_row(row, [], |r| Ok((r.get(0)?, r.get(1)?))) else { return said };
        (said.run, said.over) = (Some(run), over);
        let mut events = journal.prepare("SELECT kind, json FROM events ORDER BY seq").unwrap();
        for event in events.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap() {
            let (kind, json): (String, String) = event.unwrap();
            let event: serde_json::Value = serde_json::from_str(&json).unwrap();
            if kind == "phase" {
                said.steps.insert(event["step"].as_str().unwrap().to_owned());
            }
            said.kinds.push(kind);
        }
        let waits = "SELECT count(*) FROM outbox WHERE delivered IS NULL";
        said.left = journal.query_row(waits, [], |r| r.get(0)).unwrap();
        said
    }
    fn count(&self, kind: &str) -> usize {
        self.kinds.iter().filter(|k| *k == kind).count()
    }
}

#[test]
fn a_desk_that_another_process_locks_stops_no_run_and_is_told_later() {
    let world = world();
    world.svcops(&["run", "runbooks/marks.yaml", "--yes"]).exits(0).says("SV-000001");
    let holder = Connection::open(world.state().join("desk.db")).unwrap();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let ended = world.svcops(&["run", "runbooks/marks.yaml", "--yes"]).exits(0);
    let ended = ended.says("events for tickets wait to be delivered").says("database is locked");
    let ended = ended.says("hint: `svcops ticket sync` delivers them");
    assert!(!ended.stderr.contains("SV-000002"), "{ended}");
    let json = world.svcops(&["run", "runbooks/marks.yaml", "--yes", "-o", "json"]).exits(0).json();
    assert_eq!((&json["ticket"], &json["outcome"]), (&serde_json::Value::Null, &"done".into()));
    drop(holder);
    sync(&world);
    let states: Vec<_> = Held::of(&world).tickets().into_iter().map(|(id, _, state)| (id, state)).collect();
    assert_eq!(states, [1, 2, 3].map(|id| (id, "done".to_owned())));
}

#[test]
fn a_desk_that_cannot_be_read_stops_no_run_and_is_told_once_it_is_mended() {
    let world = world();
    std::fs::create_dir_all(world.state()).unwrap();
    std::fs::write(world.state().join("desk.db"), "no database at all, whatever it is called. ".repeat(99)).unwrap();
    let ended = world.svcops(&["run", "runbooks/fails.yaml", "--yes"]).exits(1);
    ended.says("events for tickets wait").says("file is not a database").says("stands  nothing");
    std::fs::remove_file(world.state().join("desk.db")).unwrap();
    // the next command that acts tells what was left
    world.svcops(&["run", "runbooks/marks.yaml", "--yes"]).exits(0).says("SV-00000");
    sync(&world);
    let mut states: Vec<_> = Held::of(&world).tickets().into_iter().map(|(_, _, state)| state).collect();
    states.sort();
    assert_eq!(states, ["done", "open"]);
}

#[test]
fn a_desk_on_a_full_disk_stops_no_run() {
    let world = world();
    world.svcops(&["run", "runbooks/marks.yaml", "--yes"]).exits(0);
    let Some(small) = Small::mount(&world) else { return };
    let desk = world.state().join("desk.db");
    std::fs::rename(&desk, small.0.join("moved")).unwrap_or_else(|_| {
        std::fs::copy(&desk, small.0.join("desk.db")).unwrap();
        std::fs::remove_file(&desk).unwrap();
    });
    for rest in ["desk.db-wal", "desk.db-shm"] {
        drop(std::fs::remove_file(world.state().join(rest)));
    }
    std::os::unix::fs::symlink(small.0.join("desk.db"), &desk).unwrap();
    let filler = small.0.join("filler");
    let full = std::fs::write(&filler, vec![0; 64 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let ended = world.svcops(&["run", "runbooks/marks.yaml", "--yes"]).exits(0);
    ended.says("events for tickets wait").says("`svcops ticket sync` delivers them");
    std::fs::remove_file(&filler).unwrap();
    sync(&world);
    assert_eq!(Held::of(&world).tickets().len(), 2);
}

/// A file system of 1 MiB, as long as this lives.
struct Small(PathBuf);

impl Small {
    #[expect(clippy::print_stderr, reason = "a test that was skipped says so")]
    fn mount(world: &Project) -> Option<Self> {
        let folder = world.home().join("small");
        std::fs::create_dir_all(&folder).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "svcops-test"]).arg(&folder).output();
        if mount.is_ok_and(|done| done.status.success()) {
            return Some(Self(folder));
        }
        eprintln!("skipped: no file system can be mounted here (this needs root)");
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).output());
    }
}

#[test]
fn a_ticket_that_is_named_must_be_there() {
    let world = world();
    for (id, says) in [("SV-77", "there is no ticket `SV-000077`"), ("OPS-1", "`OPS-1` is no ticket")] {
        world.svcops(&["run", "runbooks/marks.yaml", "--yes", "--ticket", id]).exits(2).says(says);
    }
    assert_eq!(world.svcops(&["history", "list", "-o", "json"]).exits(0).json()["runs"], serde_json::json!([]));
    world.svcops(&["run", "runbooks/fails.yaml", "--yes"]).exits(1).says("SV-000001");
    let json = world.svcops(&["run", "runbooks/marks.yaml", "--yes", "--ticket", "sv-1", "-o", "json"]).exits(0).json();
    assert_eq!(json["ticket"], "SV-000001");
    assert_eq!(Held::of(&world).tickets().len(), 1);
    // where the desk cannot be asked, the run goes on, and says so
    let holder = world.state().join("desk.db");
    std::fs::write(&holder, "broken ".repeat(999)).unwrap();
    let ended = world.svcops(&["run", "runbooks/marks.yaml", "--yes", "--ticket", "1"]).exits(0);
    ended.says("warning: the desk").says("the run goes on");
}

#[test]
fn a_project_can_say_that_no_run_begins_without_its_ticket() {
    let world = world();
    world.file("svcops.yaml", "project: marks\ntickets: {required: true}\nhosts:\n  here: {local: true}\n");
    std::fs::create_dir_all(world.state()).unwrap();
    std::fs::write(world.state().join("desk.db"), "broken ".repeat(999)).unwrap();
    world.svcops(&["run", "runbooks/marks.yaml", "--yes"]).exits(75).says("nothing was touched");
    assert_eq!(world.svcops(&["history", "list", "-o", "json"]).exits(0).json()["runs"], serde_json::json!([]));
    std::fs::remove_file(world.state().join("desk.db")).unwrap();
    world.svcops(&["run", "runbooks/marks.yaml", "--yes"]).exits(0).says("SV-000001");
}

#[test]
fn runs_side_by_side_have_a_ticket_each() {
    let world = world();
    for n in 1..=4 {
        let text = format!("svcops: 1\nname: side{n}\ntargets: here\nsteps:\n  - {{name: S, command: 'true'}}\n");
        world.file(&format!("runbooks/side{n}.yaml"), &text);
    }
    std::thread::scope(|scope| {
        for n in 1..=4 {
            let world = &world;
            scope.spawn(move || world.svcops(&["run", &format!("runbooks/side{n}.yaml"), "--yes"]));
        }
    });
    sync(&world);
    let held = Held::of(&world);
    let tickets = held.tickets();
    let runs: BTreeSet<&String> = tickets.iter().map(|(_, run, _)| run).collect();
    assert_eq!((tickets.len(), runs.len()), (4, 4), "{tickets:?}");
    // each is done, or was refused because of another's lock
    assert!(tickets.iter().all(|(_, _, state)| state == "done"), "{tickets:?}");
}
