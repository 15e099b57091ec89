//! Resources that run out on the operator's machine, and commands that waste them.

use crate::support::{Ended, Project, is};
use std::{
    fs,
    io::{Read as _, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

const STEPS: usize = 7;

/// Seven marks, each step writing as much output as is kept.
fn world() -> Project {
    let world = Project::new("project: marks\nhosts:\n  here: {local: true}\n");
    let marks = world.root().join("marks");
    let step = |n: usize| {
        format!(
            "  - name: Отметка {n}\n    command: {{run: \"echo {n} >> '{marks}'; head -c 40000 /dev/urandom | base64\"}}\n    undo: [{{command: \"sed -i '/^{n}$/d' '{marks}'\"}}]\n",
            marks = marks.display()
        )
    };
    let steps = (1..=STEPS).map(step).collect::<String>();
    world.file("runbooks/marks.yaml", &format!("svcops: 1\nname: marks\ntargets: here\nsteps:\n{steps}"));
    fs::create_dir_all(world.state()).unwrap();
    world
}

fn one_step(step: &str) -> Project {
    let world = Project::new("project: one\nhosts:\n  here: {local: true}\n");
    let text = step.replace("ROOT", &world.root().display().to_string());
    world.file("runbooks/one.yaml", &format!("svcops: 1\nname: one\ntargets: here\nsteps:\n  - {text}\n"));
    world
}

fn marks(world: &Project) -> Vec<String> {
    let text = fs::read_to_string(world.root().join("marks")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn all_marks() -> Vec<String> {
    (1..=STEPS).map(|n| n.to_string()).collect()
}

/// A mount namespace in which the state directory is something else. It ends with this test, however that ends.
struct Mounted<'a> {
    world: &'a Project,
    holder: Child,
}

impl<'a> Mounted<'a> {
    /// None, and says so, where no namespace can be made.
    fn new(world: &'a Project, mount: &str) -> Option<Self> {
        let text = format!("{mount} && echo ready && exec cat");
        let holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &text, "sh"])
            .arg(world.state())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut holder = holder.ok()?;
        let mut said = [0; 6];
        if holder.stdout.take().unwrap().read_exact(&mut said).is_err() {
            holder.wait().unwrap();
            std::io::stderr().write_all(b"skipped: no mount namespace can be made here\n").unwrap();
            return None;
        }
        Some(Self { world, holder })
    }
    fn inside(&self, words: &[&str]) -> Ended {
        let pid = self.holder.id().to_string();
        let mut command = self.world.command(&[]);
        let mut inside = Command::new("nsenter");
        inside.args(["--mount", "--target", &pid, "--"]).args(words).stdin(Stdio::null()).env_clear();
        for (name, value) in command.stdin(Stdio::null()).get_envs() {
            inside.env(name, value.unwrap());
        }
        Ended::of(words, &mut inside)
    }
    fn svcops(&self, words: &[&str]) -> Ended {
        let root = self.world.root().display().to_string();
        self.inside(&[&[env!("CARGO_BIN_EXE_svcops"), "-C", &root], words].concat())
    }
    fn sized(&self, size: &str) {
        let state = self.world.state().display().to_string();
        self.inside(&["mount", "-o", &format!("remount,size={size}"), &state]).exits(0);
    }
    fn newest(&self) -> String {
        let list = self.svcops(&["history", "list", "-o", "json"]).exits(0).json();
        list["runs"][0]["run"].as_str().unwrap().to_owned()
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _gone = self.holder.wait().is_ok();
    }
}

#[test]
fn on_a_full_disk_under_the_journal_nothing_begins() {
    let world = world();
    let full = "mount -t tmpfs -o size=64k tmpfs \"$1\" && { head -c 1M /dev/zero > \"$1/fill\" 2> /dev/null; true; }";
    let Some(disk) = Mounted::new(&world, full) else { return };

    let refused = disk.svcops(&["run", "runbooks/marks.yaml", "--yes"]).exits(2);
    refused.clone().says("full").says("journal.db").says("svcops doctor");
    assert_eq!(marks(&world), Vec::<String>::new(), "nothing was touched\n{refused}");

    disk.sized("8m");
    disk.svcops(&["run", "runbooks/marks.yaml", "--yes"]).exits(0);
    assert_eq!(marks(&world), all_marks());
    disk.svcops(&["history", "verify"]).exits(0);
}

#[test]
fn a_disk_that_fills_under_the_journal_stops_the_run_and_no_event_and_no_act_is_lost_or_doubled() {
    for back in [false, true] {
        let world = world();
        let Some(disk) = Mounted::new(&world, "mount -t tmpfs -o size=600k tmpfs \"$1\"") else { return };

        let stopped = disk.svcops(&["run", "runbooks/marks.yaml", "--yes"]).exits(3);
        stopped.clone().says("full").says("svcops resume RUN");
        let done = marks(&world).len();
        assert!((1..STEPS).contains(&done), "it stops in the middle: {done}\n{stopped}");
        let run = disk.newest();
        disk.svcops(&["history", "verify"]).exits(0);
        disk.svcops(&["run", "runbooks/marks.yaml", "--yes"]).says("full");
        assert_eq!(marks(&world).len(), done, "nobody else goes on in its place");

        disk.sized("16m");
        let ended = disk.svcops(&[if back { "rollback" } else { "resume" }, &run, "--yes"]).exits(0);
        let expected = if back { vec![] } else { all_marks() };
        assert_eq!(marks(&world), expected, "{ended}");
        disk.svcops(&["history", "verify"]).exits(0);
        let list = disk.svcops(&["history", "list", "-o", "json"]).exits(0).json();
        let row = list["runs"].as_array().unwrap().iter().find(|row| row["run"] == run.as_str()).unwrap();
        assert_eq!(row["outcome"], if back { "rolled_back" } else { "done" });
    }
}

#[test]
fn on_a_journal_that_can_only_be_read_nothing_begins_and_what_it_holds_stays_whole() {
    let world = world();
    world.svcops(&["run", "runbooks/marks.yaml", "--yes"]).exits(0);
    fs::remove_file(world.root().join("marks")).unwrap();
    {
        let only = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\"";
        let Some(disk) = Mounted::new(&world, only) else { return };
        for words in [&["run", "runbooks/marks.yaml", "--yes"], &["rollback", "last", "--yes"]] {
            let refused = disk.svcops(words).exits(2);
            refused.clone().says("Read-only file system").says("journal.db").says("svcops doctor");
            assert_eq!(marks(&world), Vec::<String>::new(), "nothing was touched\n{refused}");
        }
        let list = disk.svcops(&["history", "list", "-o", "json"]).exits(0).json();
        let run = list["runs"][0]["run"].as_str().unwrap().to_owned();
        for words in [
            &["history", "show", "last"][..],
            &["history", "verify"],
            &["history", "export", &run, "--to", "run.tar"],
            &["history", "verify", "run.tar"],
            &["report", &run, "--markdown"],
            &["owed"],
            &["status"],
        ] {
            let ended = disk.svcops(words).exits(0);
            assert_eq!(ended.stderr.lines().find(|line| line.contains("Read-only")), None, "{ended}");
        }
    }
    world.svcops(&["history", "verify"]).exits(0);
    world.svcops(&["run", "runbooks/marks.yaml", "--yes"]).exits(0);
    assert_eq!(marks(&world), all_marks());
}

#[test]
fn a_command_that_writes_a_gigabyte_costs_neither_memory_nor_disk() {
    let world = one_step("{name: Поток, command: 'echo first; head -c 1G /dev/zero; echo last'}");
    let mut child = world.command(&["run", "runbooks/one.yaml", "--yes"]).stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let (mut memory, mut disk, mut run) = (0, 0, None);
    let code = loop {
        let peak = fs::read_to_string(&status).unwrap_or_default();
        let peak = peak.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        memory = memory.max(peak.unwrap_or(0));
        run = run.or_else(|| world.state().join("journal.db").exists().then(|| world.newest()["run"].clone()));
        if let Some(run) = run.as_ref().and_then(|run| run.as_str()) {
            disk = disk.max(receipts(run));
        }
        if let Some(ended) = child.try_wait().unwrap() {
            break ended.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(code, Some(0));
    assert!(memory > 0 && memory < 200 * 1024, "{memory} kB of memory");
    assert!(disk < 1024 * 1024, "{disk} bytes of receipts");

    let run = world.newest()["run"].as_str().unwrap().to_owned();
    let events = world.events(&run);
    let carried = events.iter().find(|event| is(event, "carried")).unwrap();
    let out = &carried["receipt"]["stdout"];
    let bytes = out["bytes"].as_u64().unwrap();
    assert!(bytes.abs_diff(1024 * 1024 * 1024) < 8192, "{bytes} were counted");
    let text = out["text"].as_str().unwrap();
    assert!(text.starts_with("first\n") && text.ends_with("last\n"), "both ends are kept");
    assert_eq!(receipts(&run), 0, "nothing is left of it");
    world.svcops(&["history", "verify"]).exits(0);
}

/// The bytes that lie below the receipts of a run.
fn receipts(run: &str) -> u64 {
    fn below(folder: &Path) -> u64 {
        let Ok(entries) = fs::read_dir(folder) else { return 0 };
        let size =
            |path: &Path| fs::symlink_metadata(path).map_or(0, |file| if file.is_file() { file.len() } else { 0 });
        entries.flatten().map(|entry| size(&entry.path()) + below(&entry.path())).sum()
    }
    use std::os::unix::fs::MetadataExt as _;
    let user = fs::metadata("/proc/self").unwrap().uid();
    let Ok(runs) = fs::read_dir(format!("/tmp/svcops-{user}")) else { return 0 };
    let its = runs.flatten().filter(|folder| folder.file_name().to_string_lossy().starts_with(run));
    its.map(|folder| below(&folder.path())).sum()
}

/// A title for the window, the clipboard, a jump, a bell, C1's own CSI, bytes that are no text, a line that is written over,
/// and an arrow that turns the reading around.
const HOSTILE: &str =
    r"\033]0;owned\007\033]52;c;ZXZpbA==\007\033[2J\033[1;31mred\0\377\376\303\050 \302\2331m\r\342\200\256back\n";

#[test]
fn bytes_that_are_no_text_and_orders_to_the_terminal_are_shown_and_never_sent() {
    let world = one_step("{name: Шум, command: {run: 'sh ROOT/noise'}}");
    world.file("noise", &format!("printf '{HOSTILE}'; printf '{HOSTILE}' >&2; exit 3\n"));
    harmless(&world, &["run", "runbooks/one.yaml", "--yes"], 3, "exit code 3");
    let run = world.newest()["run"].as_str().unwrap().to_owned();
    harmless(&world, &["history", "show", &run], 0, "owned");
    harmless(&world, &["report", &run, "--markdown"], 0, "owned");
    harmless(&world, &["report", &run, "--junit"], 0, "Шум");
    harmless(&world, &["report", &run, "--html", "page.html"], 0, "page.html");
    let page = fs::read_to_string(world.root().join("page.html")).unwrap();
    assert!(!page.contains(commands), "the page holds an order to a terminal");
    let list = world.svcops(&["ticket", "list", "-o", "json"]).exits(0).json();
    let ticket = list["tickets"][0]["id"].as_str().unwrap_or_else(|| panic!("{list}")).to_owned();
    harmless(&world, &["ticket", "show", &ticket], 0, &ticket);
    let events = world.svcops(&["history", "show", &run, "-o", "jsonl"]).exits(0);
    assert!(!events.lines().is_empty(), "each event is JSON");
    assert!(!events.stdout.contains(|c: char| c < ' ' && c != '\n'), "JSON escapes what begins an order");
    world.svcops(&["history", "verify"]).exits(0);
}

/// Runs it, and holds that both outputs are text without any order to a terminal in it.
#[track_caller]
fn harmless(world: &Project, words: &[&str], code: i32, says: &str) {
    let output = world.command(words).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap_or_else(|e| panic!("{words:?}: no text: {e}"));
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(code), "{words:?}\n{out}\n{err}");
    assert!(out.contains(says) || err.contains(says), "{words:?} does not say `{says}`\n{out}\n{err}");
    for text in [out, err] {
        assert!(!text.contains(commands), "{words:?}: {text:?}");
    }
}

/// What a terminal would take for more than text.
fn commands(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t')) || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[test]
fn a_child_that_a_good_command_leaves_behind_lives_on_and_holds_no_run_up() {
    let world = one_step("{name: Служба, command: 'sleep 300 & echo $! > ROOT/child'}");
    world.svcops(&["run", "runbooks/one.yaml", "--yes"]).exits(0);
    let child = fs::read_to_string(world.root().join("child")).unwrap();
    assert!(alive(&child), "what a command started on purpose is not ended");
    assert!(Command::new("kill").arg(child.trim()).status().unwrap().success());
}

#[test]
fn out_of_time_a_command_is_ended_with_its_children_and_what_it_did_is_named() {
    let world =
        one_step("{name: Долго, command: '(trap \"\" TERM; sleep 300) & echo $! > ROOT/child; wait', timeout: 1s}");
    let ended = world.svcops(&["run", "runbooks/one.yaml", "--yes"]).exits(3).says("ran out of time after 1 s");
    let child = fs::read_to_string(world.root().join("child")).unwrap();
    assert!(!alive(&child), "{child} is still there\n{ended}");
    world.svcops(&["history", "verify"]).exits(0);
}

/// A daemon, as far as anybody can know: it left its command on purpose, whatever became of that.
#[test]
fn a_child_that_took_a_session_of_its_own_is_left_alone_and_holds_no_run_up() {
    for (step, code) in [
        (
            "{name: Служба, command: 'setsid sh -c \"echo \\$\\$ > ROOT/child; exec sleep 300\" & until [ -s ROOT/child ]; do :; done'}",
            0,
        ),
        (
            "{name: Служба, command: 'setsid sh -c \"echo \\$\\$ > ROOT/child; exec sleep 300\" & sleep 300', timeout: 1s}",
            3,
        ),
    ] {
        let world = one_step(step);
        let ended = world.svcops(&["run", "runbooks/one.yaml", "--yes"]).exits(code);
        let child = fs::read_to_string(world.root().join("child")).unwrap();
        assert!(alive(&child), "{ended}");
        assert!(Command::new("kill").arg(child.trim()).status().unwrap().success());
        world.svcops(&["history", "verify"]).exits(0);
    }
}

fn alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}
