//! How a figure is taken and printed.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// The binary that is measured.
pub const SVCOPS: &str = env!("CARGO_BIN_EXE_svcops");

/// The table's head.
pub fn head() {
    println!("{:<44} {:>12} {:>12} {:>8}  what the floor is", "figure", "svcops", "floor", "ratio");
}

/// One line of the table.
pub fn line(what: &str, took: Duration, floor: Duration, floor_is: &str) {
    let ratio = took.as_secs_f64() / floor.as_secs_f64();
    println!("{what:<44} {:>12} {:>12} {ratio:>8.2}  {floor_is}", shown(took), shown(floor));
}

/// A line that is no ratio.
pub fn note(what: &str, value: &str) {
    println!("{what:<44} {value:>12}");
}

/// How long something takes.
pub fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let began = Instant::now();
    let result = work();
    (began.elapsed(), result)
}

/// The median of so many tries.
pub fn median(tries: usize, mut work: impl FnMut()) -> Duration {
    let mut all: Vec<Duration> = (0..tries).map(|_| timed(&mut work).0).collect();
    all.sort();
    all.into_iter().nth(tries / 2).unwrap_or_default()
}

/// Runs a command quietly to its end; another exit code than expected ends the bench with what was said.
pub fn run(command: &mut Command, code: i32) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    if output.status.code() != Some(code) {
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        panic!("{command:?} ended with {:?}:\n{}\n{}", output.status.code(), said[0], said[1]);
    }
}

fn shown(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}
