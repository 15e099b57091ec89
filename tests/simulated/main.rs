//! Random runs on the simulated world: `RANDOM_RUNS` (a number) of them from `RANDOM_FROM`, or `RANDOM_RUN`, the one of that
//! number. The gate plays 20,000; `cargo bench --bench runs` a million.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]
#![expect(unreachable_pub, reason = "the harness is shared with a bench, and says what is whose as a library does")]

mod harness;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|n| n.parse().ok())
}

#[test]
fn every_host_ends_as_before_or_as_after_or_is_named_whatever_goes_wrong() {
    let from = number("RANDOM_RUN").or_else(|| number("RANDOM_FROM")).unwrap_or(0);
    let runs = if number("RANDOM_RUN").is_some() { 1 } else { number("RANDOM_RUNS").unwrap_or(320) };
    let began = std::time::Instant::now();
    let tally = harness::play(from..from + runs);
    println!("{tally}, in {:.1} s", began.elapsed().as_secs_f64());
    let broken = tally.broken.lock().unwrap();
    let told: Vec<String> = broken.iter().map(ToString::to_string).collect();
    assert!(broken.is_empty(), "{} of {} runs are broken:\n{}", broken.len(), runs, told.join("\n\n"));
}
