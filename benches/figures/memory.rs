//! The peak memory of all processes that a command line started, those that left its family among them.

use std::{
    collections::BTreeSet,
    fs,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread::ScopedJoinHandle,
    time::Duration,
};

/// Runs `work` and answers with the largest sum, in KiB, of the proportional set sizes of processes whose command line
/// holds one of `marks` (a path that only they know).
pub fn peak<T>(marks: &[&str], work: impl FnOnce() -> T) -> (u64, T) {
    let (over, most) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let watch: ScopedJoinHandle<'_, ()> = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let now: u64 = theirs(marks).iter().map(|process| proportional(process)).sum();
                most.fetch_max(now, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(25));
            }
        });
        let result = work();
        over.store(true, Ordering::Relaxed);
        watch.join().unwrap();
        (most.load(Ordering::Relaxed), result)
    })
}

fn theirs(marks: &[&str]) -> BTreeSet<String> {
    let own = std::process::id().to_string();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|b| b.is_ascii_digit()) && *name != own)
        .filter(|process| {
            let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            marks.iter().any(|mark| line.contains(mark))
        })
        .collect()
}

fn proportional(process: &str) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find(|line| line.starts_with("Pss:"));
    line.and_then(|line| line.split_whitespace().nth(1)).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}
