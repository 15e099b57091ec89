//! What must hold of whatever comes from outside: files that people write, rows that a journal gives back, bytes that a
//! host sends. Each check takes any bytes and fails by a panic. `tests/fuzz/` has the corpus and the targets for
//! cargo-fuzz; a test here replays the corpus and changes it a little, on stable. In the shipped binary there is none of it.

#![expect(clippy::panic, reason = "a check fails by a panic")]

mod certs;
mod files;
mod hosts;
#[cfg(test)]
mod mutate;
mod rows;
#[cfg(test)]
mod tests;

pub use certs::check_certificates;
pub use files::{check_expressions, check_inventory, check_language, check_selectors};
pub use hosts::{check_haproxy, check_session, check_systemd};
pub use rows::check_events;

/// A check by the name of its folder in the corpus.
pub type Check = (&'static str, fn(&[u8]));

/// All of them.
pub const CHECKS: [Check; 9] = [
    ("language", check_language),
    ("inventory", check_inventory),
    ("expressions", check_expressions),
    ("selectors", check_selectors),
    ("events", check_events),
    ("haproxy", check_haproxy),
    ("systemd", check_systemd),
    ("session", check_session),
    ("certificates", check_certificates),
];

/// A sentence for a person: there is one, and it is no novel.
#[track_caller]
fn sentence(text: &str, most: usize) {
    assert!(!text.trim().is_empty(), "nothing is said");
    assert!(text.len() <= most, "{} bytes are said, at most {most}: {}", text.len(), short(text));
}

fn short(text: &str) -> String {
    text.chars().take(200).collect()
}
