//! A run leaves its machine as one file, and proves itself on another.

use crate::support::{Ended, Project};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

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
    elsewhere(&words, home.path()).exits(0).says(&run).says("each byte is what was written");
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
