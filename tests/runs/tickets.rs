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

/// Kills its process before or after the n-th write (or flush) of a database: `KILL_AT=n`, `KILL_AFTER=1`. Which database,
/// `KILL_FILE` says: a part of its path. Children are left alone.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static long at, after, count;
static const char *part;
__attribute__((constructor)) static void begin(void) {
  at = getenv("KILL_AT") ? atol(getenv("KILL_AT")) : 0;
  after = getenv("KILL_AFTER") != 0;
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
  int now = counts(fd);
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

/// Two steps that leave a mark each and take it back, and one that may fail.
fn runbook(project: &Project, name: &str, last: &str) -> String {
    let marks = project.root().join("marks");
    let marks = marks.display();
    let step = |n: usize| {
        format!(
            "  - name: Отметка {n}\n    command: {{run: \"echo {n} >> '{marks}'\"}}\n    undo: [{{command: \"sed -i '/^{n}$/d' '{marks}'\"}}]\n"
        )
    };
    let last = format!("  - {{name: Проверка, command: {{run: \"{last}\"}}, undo: [{{command: 'true'}}]}}\n");
    format!("svcops: 1\nname: {name}\ntargets: here\nsteps:\n{}{}{last}", step(1), step(2))
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
        let count =
            self.0.query_row("SELECT count(*) FROM attachments WHERE ticket = ?", [ticket], |r| r.get::<_, i64>(0));
        usize::try_from(count.unwrap()).unwrap()
    }
}

fn sync(world: &Project) {
    world.svcops(&["ticket", "sync"]).exits(0);
    world.svcops(&["ticket", "sync"]).exits(0).says("nothing");
}

#[test]
fn a_run_that_is_killed_at_any_write_of_the_desk_has_one_ticket_and_each_comment_once() {
    at_every_write("desk.db", "marks");
}

#[test]
fn a_run_that_is_killed_at_any_write_of_the_journal_has_one_ticket_and_each_comment_once() {
    at_every_write("journal.db", "fails");
}

/// Kills a run at its first write of a database, another at its second, and so on, each before or after the write.
fn at_every_write(file: &str, runbook: &str) {
    let Some(shim) = shim() else {
        eprintln!("skipped: there is no C compiler `cc`");
        return;
    };
    let (next, killed, over) = (AtomicUsize::new(1), AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at > over.load(Ordering::Relaxed) {
                        return;
                    }
                    let world = world();
                    let mut command = world.command(&["run", &format!("runbooks/{runbook}.yaml"), "--yes"]);
                    command.env("LD_PRELOAD", shim).env("KILL_FILE", file).env("KILL_AT", at.to_string());
                    if at % 2 == 0 {
                        command.env("KILL_AFTER", "1");
                    }
                    let ended = command.output().unwrap();
                    if ended.status.code().is_some() {
                        over.fetch_min(at, Ordering::Relaxed);
                        return;
                    }
                    killed.fetch_add(1, Ordering::Relaxed);
                    goes_on(&world, at);
                }
            });
        }
    });
    let killed = killed.into_inner();
    assert!(killed > 20, "only {killed} writes of {file}");
}

/// After a kill: a run that is not over is resumed, or rolled back; then its ticket is looked at.
fn goes_on(world: &Project, at: usize) {
    let list = world.svcops(&["history", "list", "-o", "json"]).exits(0).json();
    let Some(row) = list["runs"].get(0) else {
        assert_eq!(world.svcops(&["ticket", "list", "-o", "json"]).exits(0).json()["tickets"], serde_json::json!([]));
        return;
    };
    let run = row["run"].as_str().unwrap();
    let locked = world.events(run).iter().any(|e| e["event"] == "locked");
    if row["outcome"] == "interrupted" && locked {
        let verb = if at % 3 == 0 { "rollback" } else { "resume" };
        let ended = world.svcops(&[verb, run, "--yes"]);
        assert!(matches!(ended.code, Some(0 | 1)), "killed at {at}: {ended}");
    }
    sync(world);
    let held = Held::of(world);
    let tickets = held.tickets();
    assert_eq!(tickets.len(), 1, "killed at {at}: {tickets:?}");
    let (ticket, of, state) = &tickets[0];
    assert_eq!(of, run);
    let comments = held.comments(*ticket);
    let once: BTreeSet<&String> = comments.iter().collect();
    assert_eq!(once.len(), comments.len(), "killed at {at}: {comments:#?}");
    let events = world.events(run);
    let count = |kind: &str| events.iter().filter(|e| e["event"] == kind).count();
    let said = |mark: &str| comments.iter().filter(|c| c.starts_with(mark)).count();
    assert_eq!(said("`"), 1 + count("resumed"), "killed at {at}: {comments:#?}");
    assert_eq!(said("The run goes back"), count("rolling_back"), "killed at {at}: {comments:#?}");
    let ends = said("Done") + said("Failed") + said("Undone");
    assert_eq!((ends, held.reports(*ticket)), (count("finished"), count("finished")), "killed at {at}: {comments:#?}");
    let steps: BTreeSet<&str> =
        events.iter().filter(|e| e["event"] == "phase").map(|e| e["step"].as_str().unwrap()).collect();
    if ends > 0 {
        for step in &steps {
            assert!(said(&format!("Step {step}:")) >= 1, "killed at {at}: {comments:#?}");
        }
        let good = said("Done") + said("Undone") > 0;
        assert_eq!(state, if good { "done" } else { "open" }, "killed at {at}: {comments:#?}");
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
        let text = format!(
            "svcops: 1\nname: side{n}\ntargets: here\nsteps:\n  - {{name: S, command: {{run: 'true', touches: [file/x{n}]}}}}\n"
        );
        let text = text.replace(&format!(", touches: [file/x{n}]"), "");
        world.file(&format!("runbooks/side{n}.yaml"), &text);
    }
    let running: Vec<_> =
        (1..=4).map(|n| world.command(&["run", &format!("runbooks/side{n}.yaml"), "--yes"]).spawn().unwrap()).collect();
    for mut child in running {
        child.wait().unwrap();
    }
    sync(&world);
    let held = Held::of(&world);
    let tickets = held.tickets();
    let runs: BTreeSet<&String> = tickets.iter().map(|(_, run, _)| run).collect();
    assert_eq!((tickets.len(), runs.len()), (4, 4), "{tickets:?}");
    // each is done, or was refused because of another's lock
    assert!(tickets.iter().all(|(_, _, state)| state == "done"), "{tickets:?}");
}
