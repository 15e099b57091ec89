//! The demo, as a newcomer calls it: on a machine with nothing but the binary, a shell and coreutils.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// A place for a demo: its folder for temporary files has a blank in its name, and there is no home.
fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::Builder::new().prefix("svcops").tempdir().unwrap();
    let temp = folder.path().join("временные файлы");
    std::fs::create_dir(&temp).unwrap();
    (folder, temp)
}

fn demo(temp: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_svcops"));
    command.arg("demo").args(words).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent");
    command.env("TMPDIR", temp).env("SVCOPS_OUTPUT", "json").env("SVCOPS_DIR", "/nonexistent").stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// The processes whose command line names this folder.
fn left(temp: &Path) -> Vec<String> {
    let name = temp.to_str().unwrap();
    let lines = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = lines.filter_map(|e| std::fs::read(e.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(name)).collect()
}

fn folders(temp: &Path) -> usize {
    std::fs::read_dir(temp).unwrap().count()
}

#[test]
fn every_act_ends_as_it_should_and_nothing_is_left_but_the_folder() {
    let (_folder, temp) = place();
    let output = demo(&temp, &[]).output().unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(output.stderr, b"", "all of it is one stream");
    for words in [
        "$ svcops plan new-config",
        "+workers = 8",
        "$ svcops run new-config -p workers=160 --yes",
        "$ kill -9 ",
        "interrupted",
        "$ svcops resume last --yes",
        "nothing was changed, moved or taken out",
        "SV-000003",
        "report.html",
        "Try next:",
    ] {
        assert!(text.contains(words), "`{words}` is not in\n{text}");
    }
    assert_eq!(text.matches(", none failed (node1").count(), 3, "{text}");
    assert!(!text.contains("warning"), "{text}");
    assert_eq!((left(&temp), folders(&temp)), (vec![], 1));
    assert!(text.contains("svcops init 'my project'") && text.contains("# in a new shell: a project"), "{text}");
    what_it_says_to_try_next_works(&temp, &text);
    let cleaned = demo(&temp, &["--clean"]).output().unwrap();
    assert_eq!((cleaned.status.code(), folders(&temp)), (Some(0), 0), "{}", said(&cleaned));
    assert_eq!(left(&temp), [""; 0]);
}

/// The lines below `Try next:`, typed into a shell as they stand there.
fn what_it_says_to_try_next_works(temp: &Path, text: &str) {
    let (_, tries) = text.split_once("Try next:\n").unwrap();
    let script =
        format!("set -e\n{tries}").replace("workers=12", "workers=12 --yes").replace("start shop", "start shop --yes");
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &script]).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", temp).stdin(Stdio::null());
    let output = shell.output().unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{script}\n{text}");
    assert!(text.contains("done: `new-config`: ") && text.contains("Next:"), "{text}");
    assert!(!left(temp).is_empty(), "the nodes run again, until they are cleaned away");
}

#[test]
fn ctrl_c_in_the_middle_leaves_no_process() {
    let (_folder, temp) = place();
    let mut child = demo(&temp, &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until(&mut child, || !left(&temp).is_empty() && serves(&temp));
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains("svcops demo --clean"), "{text}");
    assert_eq!(left(&temp), [""; 0], "{text}");
}

#[test]
fn a_demo_that_was_killed_is_cleaned_away_with_its_nodes() {
    let (_folder, temp) = place();
    let mut child = demo(&temp, &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until(&mut child, || serves(&temp));
    let other = demo(&temp, &["--clean"]).output().unwrap();
    assert!(said(&other).contains("a demo runs in it"), "{}", said(&other));
    child.kill().unwrap();
    child.wait().unwrap();
    // what it had started goes on, and ends by itself
    let begun = Instant::now();
    while folders(&temp) > 0 && begun.elapsed() < Duration::from_secs(30) {
        demo(&temp, &["--clean"]).output().unwrap();
    }
    assert_eq!(folders(&temp), 0);
}

/// A node's page can be had.
fn serves(temp: &Path) -> bool {
    let folders = std::fs::read_dir(temp).unwrap().flatten();
    folders.filter(|folder| folder.path().join("node1/shop.pid").exists()).count() > 0
}

fn wait_until(child: &mut Child, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(
            begun.elapsed() < Duration::from_secs(30) && child.try_wait().unwrap().is_none(),
            "it never came so far"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}
