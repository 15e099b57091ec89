//! A run leaves its machine as one file, and proves itself on another.

use crate::support::{Ended, Project};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};
use svcops::base::Hash;

const SECRET: &str = "пароль?&+/=Zq7%w";
const INVENTORY: &str =
    "project: crm\ntimezone: Europe/Moscow\nsecrets:\n  db: {env: DB_PASSWORD}\nhosts:\n  here: {local: true}\n";
const RUNBOOK: &str = r#"svcops: 1
name: works
title: Регламентные работы
targets: here
steps:
  - name: Пароль
    command: {run: 'printf %s "$PASSWORD"; echo готово', env: {PASSWORD: "{{ secret('db') }}"}}
"#;

/// A project with one run, and its bundle.
fn exported() -> (Project, String) {
    let world = Project::new(INVENTORY);
    world.file("runbooks/works.yaml", RUNBOOK);
    let words = ["run", "works", "--yes"];
    Ended::of(&words, world.command(&words).env("DB_PASSWORD", SECRET)).exits(0);
    world.svcops(&["history", "export", "last", "--to", "bundle.tar"]).exits(0).says("sha256");
    let run = world.newest()["run"].as_str().unwrap().to_owned();
    (world, run)
}

/// svcops on a machine that has neither the project nor its state.
fn elsewhere(words: &[&str], home: &Path) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_svcops"));
    command.args(words).env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8");
    Ended::of(words, command.current_dir(home))
}

#[test]
fn a_bundle_proves_its_run_where_nothing_else_is_known_of_it() {
    let (world, run) = exported();
    let home = tempfile::tempdir().unwrap();
    let there = home.path().join("доказательство.tar");
    fs::copy(world.root().join("bundle.tar"), &there).unwrap();
    let words = ["history", "verify", there.to_str().unwrap()];
    elsewhere(&words, home.path()).exits(0).says(&run).says("the events, and all that");
    let json = elsewhere(&[&words[..], &["-o", "json"]].concat(), home.path()).exits(0).json();
    assert_eq!((&json["run"], &json["project"], &json["report_checked"]), (&run.into(), &"crm".into(), &true.into()));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing is unpacked, and no state is made");

    // the anchor that its journal prints vouches for it there as well
    let anchor =
        world.svcops(&["history", "verify", "-o", "json"]).exits(0).json()["anchor"].as_str().unwrap().to_owned();
    elsewhere(&[&words[..], &["--against", &anchor]].concat(), home.path()).exits(0).says("held against 1 hash");
    let other = anchor.split_once(':').unwrap().0.to_owned() + ":" + &"0".repeat(64);
    elsewhere(&[&words[..], &["--against", &other]].concat(), home.path()).exits(2).says("FAULT");
    let later = format!("9999:{}", "0".repeat(64));
    elsewhere(&[&words[..], &["--against", &later]].concat(), home.path()).exits(1).says("could not be held");

    let mut bytes = fs::read(&there).unwrap();
    let at = bytes.windows(12).position(|w| w == "готово".as_bytes()).unwrap();
    bytes[at + 1] ^= 1;
    fs::write(&there, &bytes).unwrap();
    elsewhere(&words, home.path()).exits(2).says("`events.jsonl`");
    fs::write(&there, "x").unwrap();
    elsewhere(&words, home.path()).exits(2).says("FAULT");
    fs::remove_file(&there).unwrap();
    // nothing is known then
    elsewhere(&words, home.path()).exits(3).says("could not read");
}

#[test]
fn a_bundle_is_its_owners_alone_holds_no_secret_and_any_tar_reads_it() {
    let (world, run) = exported();
    let file = world.root().join("bundle.tar");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = fs::read(&file).unwrap();
    assert!(!bytes.windows(SECRET.len()).any(|w| w == SECRET.as_bytes()));
    for part in ["***", "Регламентные работы", "готово"] {
        assert!(bytes.windows(part.len()).any(|w| w == part.as_bytes()), "{part}");
    }
    let listed = Command::new("tar").arg("tf").arg(&file).output().unwrap();
    assert_eq!(
        String::from_utf8(listed.stdout).unwrap(),
        "manifest.json\nledger.jsonl\nevents.jsonl\nseals.jsonl\nrunbook.json\ninventory.json\nplan-shown.json\nreport.html\nSHA256SUMS\n"
    );
    // written over, never beside; and the same bytes each time
    world.svcops(&["history", "export", &run, "--to", "bundle.tar"]).exits(0);
    assert_eq!(fs::read(&file).unwrap(), bytes);
    let mut command = world.command(&["history", "export", &run, "--to", "-"]);
    assert_eq!(command.output().unwrap().stdout, bytes);
    assert!(!fs::read_dir(world.root()).unwrap().any(|f| f.unwrap().file_name().to_string_lossy().starts_with('.')));
    world.svcops(&["history", "export", &run, "--to", "nowhere/bundle.tar"]).exits(2).says("could not write");
    world.svcops(&["history", "export", "01J9ZK3V7Q"]).exits(2).says("no run");
}

/// A bundle's parts by name.
type Parts = Vec<(String, Vec<u8>)>;

fn parts(bundle: &[u8]) -> Parts {
    let (mut parts, mut at) = (Vec::new(), 0);
    while bundle[at] != 0 {
        let text = |from: usize, to: usize| {
            String::from_utf8(bundle[at + from..at + to].to_vec()).unwrap().trim_end_matches('\0').to_owned()
        };
        let (name, size) = (text(0, 100), usize::from_str_radix(&text(124, 136), 8).unwrap());
        parts.push((name, bundle[at + 512..at + 512 + size].to_vec()));
        at += 512 + size.div_ceil(512) * 512;
    }
    parts
}

/// What somebody makes who knows the form of a bundle: these parts, with all sums and headers made again.
fn forged(bundle: &[u8], edit: impl Fn(&mut Parts)) -> Vec<u8> {
    let before = parts(bundle);
    let mut after = before.clone();
    after.pop();
    edit(&mut after);
    let entry = |name: &str, bytes: &[u8]| {
        format!(
            "{{\n      \"name\": \"{name}\",\n      \"bytes\": {},\n      \"sha256\": \"{}\"\n    }}",
            bytes.len(),
            Hash::of(bytes)
        )
    };
    let mut manifest = String::from_utf8(after.remove(0).1).unwrap();
    for (name, bytes) in &before[1..before.len() - 1] {
        let now = after.iter().find(|(n, _)| n == name).map(|(_, bytes)| entry(name, bytes)).unwrap_or_default();
        assert!(manifest.contains(&entry(name, bytes)));
        manifest = manifest.replace(&entry(name, bytes), &now);
    }
    // of the last, a part that is gone
    let manifest = manifest.replace(",\n    \n", "\n");
    after.insert(0, ("manifest.json".to_owned(), manifest.clone().into_bytes()));
    let mut all = Vec::new();
    let mut put = |name: &str, bytes: &[u8]| {
        let mut header = bundle[..512].to_vec();
        header[..100].fill(0);
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", bytes.len()).as_bytes());
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        all.extend([&header[..], bytes, &vec![0; bytes.len().next_multiple_of(512) - bytes.len()]].concat());
        Hash::of(&all)
    };
    let mut hash = Hash::of(b"");
    for (name, bytes) in &after {
        hash = put(name, bytes);
    }
    put("SHA256SUMS", format!("{}  manifest.json\n{hash}  -\n", Hash::of(manifest.as_bytes())).as_bytes());
    all.extend([0; 1024]);
    all
}

fn replace(parts: &mut Parts, name: &str, from: &str, to: &str) {
    let part = parts.iter_mut().find(|part| part.0 == name).unwrap();
    let text = String::from_utf8(part.1.clone()).unwrap();
    assert!(text.contains(from), "{name} has no {from}: {text}");
    part.1 = text.replacen(from, to, 1).into_bytes();
}

#[test]
fn a_report_that_cannot_be_drawn_again_of_the_events_is_never_called_sound() {
    const MADE_BY: &str = concat!("\"made_by\": \"", env!("CARGO_PKG_VERSION"), "\"");
    fn approved(parts: &mut Parts) {
        replace(parts, "report.html", "Регламентные", "Approved");
    }
    type Edit = fn(&mut Parts);
    let (world, _) = exported();
    let whole = fs::read(world.root().join("bundle.tar")).unwrap();
    assert_eq!(forged(&whole, |_| {}), whole);
    let anchor =
        world.svcops(&["history", "verify", "-o", "json"]).exits(0).json()["anchor"].as_str().unwrap().to_owned();
    let ways: [(Edit, i32, &str); 8] = [
        (|_| {}, 0, "`report.html` says what the events say"),
        (
            |parts| {
                approved(parts);
                replace(parts, "manifest.json", MADE_BY, "\"made_by\": \"9.9\"");
            },
            1,
            "`report.html` could not be checked",
        ),
        (
            |parts| {
                approved(parts);
                replace(parts, "manifest.json", "Europe/Moscow", "Nowhere/X");
            },
            2,
            "time zone",
        ),
        (approved, 2, "does not say what"),
        (|parts| parts.retain(|part| part.0 != "report.html"), 1, "`report.html` is missing"),
        (|parts| replace(parts, "events.jsonl", "\"seq\":3,", "\"seq\": 3,"), 2, "`events.jsonl` was changed"),
        (
            |parts| {
                let ledger = String::from_utf8(parts[1].1.clone()).unwrap();
                parts[1].1 = ledger.split_inclusive('\n').skip(1).collect::<String>().into_bytes();
            },
            2,
            "does not follow the entry before it",
        ),
        (|parts| replace(parts, "manifest.json", "\n  \"run\"", "\n   \"run\""), 2, "`manifest.json` was changed"),
    ];
    for (edit, code, says) in ways {
        fs::write(world.root().join("forged.tar"), forged(&whole, edit)).unwrap();
        let text = world.svcops(&["history", "verify", "forged.tar", "--against", &anchor]).exits(code).stdout;
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(says), "{says}: {text}");
    }
}

#[test]
fn what_a_bundle_says_of_itself_is_no_line_of_the_verdict() {
    let (world, _) = exported();
    let whole = fs::read(world.root().join("bundle.tar")).unwrap();
    let verify = |bytes: &[u8]| {
        fs::write(world.root().join("forged.tar"), bytes).unwrap();
        world.svcops(&["history", "verify", "forged.tar"])
    };
    for field in ["made_by", "project"] {
        let text = verify(&forged(&whole, |parts| {
            let text = String::from_utf8(parts[0].1.clone()).unwrap();
            let line = text.lines().find(|line| line.contains(field)).unwrap().to_owned();
            replace(parts, "manifest.json", &line, &format!("  \"{field}\": \"x\\u001b[2J\\nOK all is well\","));
            replace(parts, "report.html", "Регламентные", "Approved");
        }))
        .stdout;
        assert!(text.contains("x\\u{1b}[2J\\nOK") && !text.contains("\nOK"), "{text}");
    }
    for nothing in [&b""[..], b"hello", &[0; 10240]] {
        verify(nothing).exits(2).says("this is no bundle that svcops wrote: it does not begin as one");
    }
    // eight gigabytes of a manifest
    let mut huge = whole[..512].to_vec();
    huge[124..135].copy_from_slice(b"77777777777");
    huge[148..156].fill(b' ');
    let sum: u32 = huge.iter().map(|b| u32::from(*b)).sum();
    huge[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    verify(&huge).exits(2).says("its `manifest.json` is larger than one is");
}
