//! The peak memory of all that came from a process.

use std::{
    collections::BTreeMap,
    fs,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// Runs `work` and answers with the largest sum, in KiB, of the proportional set sizes of the processes below each root.
/// A look at thousands of processes takes its time, so looks are rare where it does: no figure of time is to be taken
/// meanwhile.
pub fn peak<T, const N: usize>(roots: [u32; N], work: impl FnOnce() -> T) -> ([u64; N], T) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = [0; N];
            while !over.load(Ordering::Relaxed) {
                let began = Instant::now();
                for (root, most) in roots.iter().zip(&mut most) {
                    *most = below(*root).into_iter().map(proportional).sum::<u64>().max(*most);
                }
                std::thread::sleep(began.elapsed().clamp(Duration::from_millis(25), Duration::from_secs(1)));
            }
            most
        });
        let result = work();
        over.store(true, Ordering::Relaxed);
        (watch.join().unwrap(), result)
    })
}

/// The processes that came from one, itself left out.
pub fn below(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    for process in entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        if let Some(parent) = parent(process) {
            children.entry(parent).or_default().push(process);
        }
    }
    let (mut found, mut open) = (Vec::new(), vec![root]);
    while let Some(process) = open.pop() {
        let mine = children.remove(&process).unwrap_or_default();
        found.extend(&mine);
        open.extend(mine);
    }
    found
}

fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn proportional(process: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    field(&rollup, "Pss:")
}

/// The most that a process has had resident until now, in KiB.
pub fn resident(process: u32) -> u64 {
    field(&fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default(), "VmHWM:")
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}
