//! What a command costs, told apart: the CPU time of its own process, of those that came from it, of the hosts.
//!
//! A bench calls itself again to stand between itself and what it measures: that process adopts whatever is left behind
//! (`PR_SET_CHILD_SUBREAPER`), so nothing that was started is missed, however short its life.

use super::memory;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, set_child_subreaper, waitid, waitpid,
};
use serde::{Deserialize, Serialize};
use std::{
    ffi::OsString,
    fs,
    io::Read as _,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// What one run of a command cost on this side.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Until it ended.
    pub wall: Duration,
    /// CPU time of its own process.
    pub own: Duration,
    /// CPU time of all others that came from it.
    pub others: Duration,
    /// The most that its own process had resident, in KiB.
    pub resident: u64,
}

/// The words by which a bench calls itself to stand between.
const MEASURES: &str = "--measures";
const HOLDS: &str = "--holds";

/// Where a bench begins: true where this process was one that stands between, and is over.
pub fn between() -> bool {
    let mut words = std::env::args_os().skip(1);
    let work: fn(&mut dyn Iterator<Item = OsString>) = match words.next() {
        Some(word) if word == MEASURES => measure,
        Some(word) if word == HOLDS => hold,
        _ => return false,
    };
    set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    work(&mut words);
    true
}

/// Runs a command, and prints what it cost when all that came from it has ended.
fn measure(words: &mut dyn Iterator<Item = OsString>) {
    let began = Instant::now();
    let child = Command::new(words.next().unwrap()).args(words).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let pid = child.unwrap().id();
    let over = AtomicBool::new(false);
    let cost = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = memory::resident(pid).max(most);
                std::thread::sleep(Duration::from_millis(20));
            }
            most
        });
        // it has ended, and its figures are still there
        waitid(WaitId::Pid(named(pid)), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        let wall = began.elapsed();
        over.store(true, Ordering::Relaxed);
        let own = times(pid).0;
        let code =
            waitpid(Some(named(pid)), WaitOptions::empty()).unwrap().and_then(|(_, status)| status.exit_status());
        assert_eq!(code, Some(0), "the command that was to be measured failed");
        while rustix::process::wait(WaitOptions::empty()).is_ok() {}
        let others = times(std::process::id()).1.saturating_sub(own);
        Cost { wall, own, others, resident: watch.join().unwrap() }
    });
    println!("{}", serde_json::to_string(&cost).unwrap());
}

/// Holds a server until its standard input ends, and waits for whatever came from it.
fn hold(words: &mut dyn Iterator<Item = OsString>) {
    let child = Command::new(words.next().unwrap()).args(words).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let pid = child.unwrap().id();
    std::thread::spawn(move || {
        drop(std::io::stdin().read_to_end(&mut Vec::new()));
        kill_process(named(pid), Signal::TERM).unwrap();
    });
    while rustix::process::wait(WaitOptions::empty()).is_ok() {}
}

fn named(pid: u32) -> Pid {
    Pid::from_raw(pid.try_into().unwrap()).unwrap()
}

fn start(word: &str, command: &Command) -> Command {
    let mut between = Command::new(std::env::current_exe().unwrap());
    between.arg(word).arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        between.current_dir(folder);
    }
    between
}

/// Starts a server that ends when the standard input of this child is dropped. What comes from it stays below this
/// child.
pub fn held(server: &Command) -> std::io::Result<Child> {
    start(HOLDS, server).stdin(Stdio::piped()).stderr(Stdio::null()).spawn()
}

/// Runs a command to its end. `meanwhile` is called with the number of the process that stands between, and with what
/// waits for the end.
pub fn of<T>(command: &Command, meanwhile: impl FnOnce(u32, &mut dyn FnMut() -> Cost) -> T) -> T {
    let child = start(MEASURES, command).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let (process, mut child) = (child.id(), Some(child));
    let mut end = || {
        let output = child.take().unwrap().wait_with_output().unwrap();
        assert!(output.status.success(), "{command:?} failed");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    meanwhile(process, &mut end)
}

/// The CPU time of a process, and of those of its children that it has waited for, with theirs.
pub fn times(process: u32) -> (Duration, Duration) {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<u64> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().skip(11).take(4).filter_map(|ticks| ticks.parse().ok()).collect())
        .unwrap_or_default();
    // a tick is 10 ms wherever Linux runs (USER_HZ)
    let time = |ticks: &[u64]| Duration::from_millis(ticks.iter().sum::<u64>() * 10);
    let (own, children) = fields.split_at(fields.len().min(2));
    (time(own), time(children))
}
