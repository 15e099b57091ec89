//! Random runs on the simulated world: `RANDOM_RUNS` (a number) of them from `RANDOM_FROM` on, or `RANDOM_RUN`, the one of
//! that number, on `RANDOM_THREADS`. The gate plays 20,000; `cargo bench --bench runs` a million.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]
#![expect(unreachable_pub, reason = "the harness is shared with a bench, and says what is whose as a library does")]

mod harness;

use std::io::Write as _;

/// Enough that a slip of the engine shows, and few enough for every `cargo test`.
const RUNS: u64 = 320;

fn number(name: &str) -> Option<u64> {
    let word = std::env::var(name).ok()?;
    Some(word.parse().unwrap_or_else(|_| panic!("{name} is no number: `{word}`")))
}

#[test]
fn every_host_ends_as_before_or_as_after_or_is_named_whatever_goes_wrong() {
    let (from, runs) = match number("RANDOM_RUN") {
        Some(one) => (one, 1),
        None => (number("RANDOM_FROM").unwrap_or(0), number("RANDOM_RUNS").unwrap_or(RUNS)),
    };
    let threads = number("RANDOM_THREADS").map_or_else(harness::cores, |n| usize::try_from(n).unwrap().max(1));
    let (began, tally) = (std::time::Instant::now(), harness::Tally::default());
    harness::play(from..from + runs, threads, &tally);
    // past the test harness, which keeps for itself what a test that passes prints
    let took = began.elapsed().as_secs_f64();
    writeln!(std::io::stderr(), "random runs {from} to {}: {tally}; {took:.1} s", from + runs - 1).unwrap();
    let broken = tally.broken.lock().unwrap();
    let told: Vec<String> = broken.iter().map(ToString::to_string).collect();
    assert!(broken.is_empty(), "{} of {} runs are broken\n\n{}", broken.len(), runs, told.join("\n\n"));
}
