//! The corpus of chains: every one is judged as its line in `cases` says.

use super::*;
use jiff::Timestamp;
use std::{collections::BTreeSet, path::PathBuf};

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/chains")
}

fn pieces(name: &str) -> pem::Pieces {
    let path = corpus().join(name);
    pem::Pieces::read(&std::fs::read(&path).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn noon() -> Timestamp {
    "2026-06-15T12:00:00Z".parse().unwrap()
}

#[test]
fn every_chain_of_the_corpus_is_judged_as_what_it_is() {
    let cases = std::fs::read_to_string(corpus().join("cases")).unwrap();
    let mut wrong = String::new();
    let mut count = 0;
    for line in cases.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let [chain, store, name, beside] = std::array::from_fn(|_| words.next().unwrap());
        let expected: BTreeSet<String> = words.map(str::to_owned).collect();
        let shown = pieces(&format!("{chain}.pem")).certificates;
        let trust = Trust::of(store.to_owned(), pieces(&format!("{store}.pem")).certificates);
        let key = beside.contains(".key").then(|| public_half(&pieces(beside).keys[0]).unwrap());
        let crls: Vec<Crl> = if beside.contains(".crl") {
            pieces(beside).crls.iter().map(|der| Crl::from_der(beside.to_owned(), der).unwrap()).collect()
        } else {
            Vec::new()
        };
        let stapled = beside.contains(".ocsp").then(|| std::fs::read(corpus().join(beside)).unwrap());
        let terms = Terms {
            at: noon(),
            names: if name == "-" { Vec::new() } else { vec![name.parse().unwrap()] },
            warn: 30,
            crit: 7,
            share: None,
            trust: &trust,
            crls: &crls,
            key: key.as_deref(),
            unstapled: stapled.is_none(),
            stapled: stapled.as_deref(),
            chain: true,
        };
        let judgement = judge(&shown, &terms);
        let found: BTreeSet<String> = judgement.faults.iter().map(said).collect();
        if found != expected {
            let told: Vec<String> = judgement.faults.iter().map(|f| f.what.to_string()).collect();
            wrong += &format!("{line}\n  found {found:?}\n  {told:?}\n");
        }
        wrong += if (judgement.severity() == Severity::Ok) == expected.is_empty() { "" } else { "severity\n" };
        count += 1;
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count > 80, "{count}");
}

fn said(fault: &Fault) -> String {
    let tag = serde_json::to_value(&fault.what).unwrap()["fault"].as_str().unwrap().to_owned();
    fault.element.map_or(tag.clone(), |element| format!("{tag}({element})"))
}

#[test]
fn the_share_of_its_life_counts_only_where_it_is_asked_for() {
    let trust = Trust::of("store".to_owned(), pieces("store.pem").certificates);
    let told = |chain: &str, share| {
        let (at, crls) = (noon(), []);
        let terms = Terms {
            at,
            names: Vec::new(),
            warn: 1,
            crit: 1,
            share,
            trust: &trust,
            crls: &crls,
            key: None,
            unstapled: false,
            stapled: None,
            chain: true,
        };
        let faults = judge(&pieces(&format!("{chain}.pem")).certificates, &terms).faults;
        faults.iter().map(|fault| fault.what.to_string()).collect::<Vec<_>>()
    };
    // 60 days of 90, and 6 of 89; the CA above them has 5 years of 7
    assert_eq!(told("sound", None), [] as [&str; 0]);
    assert_eq!(told("sound", Some(33)), [] as [&str; 0]);
    assert_eq!(told("sound", Some(66)), ["66 % of its life left, at most 66 % wanted"]);
    assert_eq!(told("near-critical", None), [] as [&str; 0]);
    assert_eq!(told("near-critical", Some(33)), ["6 % of its life left, at most 33 % wanted"]);
}
