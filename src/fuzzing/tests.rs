//! The corpus on stable: every sample as it is, then changed. `FUZZ_ROUNDS` and `FUZZ_SEED` (numbers) ask for more inputs
//! and for others, `FUZZ_TARGET` for one check only, `FUZZ_TRACE` (a file) keeps the input at hand.

use super::{CHECKS, Check, mutate::Mutator};
use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::Instant,
};

fn number(name: &str, or: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(or)
}

/// The samples of a check: its folder of the corpus, and what lies elsewhere in this repository.
fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let own = format!("tests/fuzz/corpus/{name}");
    let others: &[&str] = match name {
        "language" => {
            &["tests/faults", "tests/data/crm/runbooks", "tests/data/example/runbooks", "runbooks/examples/runbooks"]
        }
        "inventory" => &["tests/faults", "tests/data/crm", "tests/data/example", "runbooks/examples"],
        "certificates" => &["tests/data/chains"],
        "expressions" => &["tests/data/example/files", "tests/data/crm/files", "runbooks/examples/files"],
        _ => &[],
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in std::iter::once(own.as_str()).chain(others.iter().copied()) {
        let within: Vec<PathBuf> = fs::read_dir(root.join(folder)).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(!within.is_empty(), "{folder} is empty");
        files.extend(within.into_iter().filter(|p| p.is_file() && p.extension().is_none_or(|e| e != "expected")));
    }
    files.sort();
    files.into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

fn try_out((name, check): Check, what: &str, bytes: &[u8]) {
    // an abort leaves no word: what it was about lies here
    if let Ok(file) = std::env::var("FUZZ_TRACE") {
        fs::write(file, bytes).unwrap();
    }
    if catch_unwind(AssertUnwindSafe(|| check(bytes))).is_err() {
        let found = std::env::temp_dir().join(format!("{name}.found"));
        let kept = fs::write(&found, bytes).is_ok();
        let kept = if kept { format!("; it is kept in {}", found.display()) } else { String::new() };
        panic!("`{name}`, {what}{kept}:\n{}", bytes[..bytes.len().min(4000)].escape_ascii());
    }
}

/// The check on all of its corpus, and on so many inputs made of it.
fn replay(name: &str) {
    if std::env::var("FUZZ_TARGET").is_ok_and(|only| only != name) {
        return;
    }
    let check = *CHECKS.iter().find(|(known, _)| *known == name).unwrap();
    let (rounds, seed) = (number("FUZZ_ROUNDS", 1000), number("FUZZ_SEED", 1));
    let corpus = corpus(name);
    for (file, bytes) in &corpus {
        try_out(check, &file.display().to_string(), bytes);
    }
    let mut mutator = Mutator::new(seed, corpus.into_iter().map(|(_, bytes)| bytes).collect());
    let (mut slowest, mut of) = (std::time::Duration::ZERO, 0);
    for round in 0..rounds {
        let bytes = mutator.next();
        let began = Instant::now();
        try_out(check, &format!("FUZZ_SEED={seed}, round {round}"), &bytes);
        if began.elapsed() > slowest {
            (slowest, of) = (began.elapsed(), round);
            if slowest.as_millis() > 500 {
                fs::write(std::env::temp_dir().join(format!("{name}.slow")), &bytes).unwrap();
            }
        }
    }
    println!("{name}: {rounds} inputs, the slowest took {slowest:?} (round {of})");
}

macro_rules! replayed {
    ($($test:ident: $name:literal;)*) => {
        $(#[test]
        fn $test() {
            replay($name);
        })*
        #[test]
        fn every_check_is_replayed() {
            assert_eq!(CHECKS.map(|(name, _)| name).as_slice(), [$($name),*].as_slice());
        }
    };
}

replayed! {
    any_text_is_a_runbook_or_has_faults_at_places_inside_it: "language";
    any_text_is_an_inventory_or_has_faults_at_places_inside_it: "inventory";
    any_expression_ends_and_makes_no_secret: "expressions";
    any_selector_means_the_same_when_written_again: "selectors";
    any_rows_of_a_journal_have_a_state: "events";
    any_answer_of_haproxy_is_facts_or_a_complaint: "haproxy";
    any_answer_of_systemd_is_facts_or_a_complaint: "systemd";
    any_host_that_answers_anything_is_read_within_bounds: "session";
    any_bytes_are_certificates_or_refused_and_nothing_is_sound_that_nobody_trusts: "certificates";
}
