//! A million random runs on the simulated world: `cargo bench --bench runs`, or `cargo bench --bench runs -- 50000` for fewer,
//! `-- 50000 1000000` for fewer from that number on.
//!
//! They are the runs of `tests/simulated`, by the same numbers: run 4711 is the same here, in the gate, and on every
//! machine. What holds of every run is said there. The count goes on with the cores and needs no more memory for more runs;
//! a run that is broken is told with the command that plays it alone, and the bench ends with 1.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench that cannot go on says so"
)]
#![expect(unreachable_pub, reason = "the harness is shared with a test, and says what is whose as a library does")]

#[path = "../../tests/simulated/harness/mod.rs"]
mod harness;

use std::{
    process::ExitCode,
    sync::{atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

/// So many, where nobody says how many.
const RUNS: u64 = 1_000_000;
/// How often it says how far it is.
const TOLD: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let words = std::env::args().skip(1).filter(|word| word != "--bench");
    let numbers: Vec<u64> =
        words.map(|word| word.parse().expect("how many runs, and the first one's number")).collect();
    let (runs, from) = match numbers.as_slice() {
        [] => (RUNS, 0),
        [runs] => (*runs, 0),
        [runs, from] => (*runs, *from),
        _ => panic!("how many runs, and the first one's number"),
    };
    let (began, tally, threads) = (Instant::now(), harness::Tally::default(), harness::cores());
    let (over, end) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let (tally, began) = (&tally, &began);
        scope.spawn(move || {
            while end.recv_timeout(TOLD) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("{}", pace(tally.runs.load(Ordering::Relaxed), runs, began.elapsed()));
            }
        });
        harness::play(from..from + runs, threads, tally);
        drop(over);
    });
    let (took, played) = (began.elapsed(), tally.runs.load(Ordering::Relaxed));
    println!("random runs {from} to {}, {threads} at once: {tally}", from + played.max(1) - 1);
    println!("{}; {} MiB at most", pace(played, runs, took), peak() / 1024);
    let broken = tally.broken.lock().unwrap();
    for run in broken.iter() {
        println!("\nbroken; {run}");
    }
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn pace(played: u64, of: u64, took: Duration) -> String {
    let (seconds, n) = (took.as_secs_f64(), f64::from(u32::try_from(played).unwrap_or(u32::MAX)));
    format!("{played} of {of} runs in {seconds:.0} s, {:.0} a second", n / seconds)
}

/// The most memory that this process had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
