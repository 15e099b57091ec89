//! A secret is found nowhere but where it was meant to go.

use crate::support::{Ended, Project};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

/// With characters that base64 and URLs write otherwise, and a Russian one.
const SECRET: &str = "пароль?&+/=Zq7%w";

const RUNBOOK: &str = r#"svcops: 1
name: secrets
targets: here
on_failure: continue
steps:
  - name: In the environment
    command: {run: 'printf %s "$PASSWORD" > DIR/from-env; printf %s "$PASSWORD"; printf %s "$PASSWORD" | base64; sleep 0.3', env: {PASSWORD: "{{ secret('db') }}"}}
  - name: On stdin
    command: {run: 'cat > DIR/from-stdin; cat DIR/from-stdin >&2; sleep 0.3', stdin: "{{ secret('db') }}"}
  - name: In a template
    file.template: {src: files/app.conf, dest: DIR/from-template, mode: "0600"}
  - name: In a failure
    command: {run: 'echo "cannot log in with $PASSWORD" >&2; exit 7', env: {PASSWORD: "{{ secret('db') }}"}}
"#;

#[test]
fn a_secret_is_found_nowhere_but_where_it_was_meant_to_go() {
    let world = Project::new("project: crm\nsecrets:\n  db: {env: DB_PASSWORD}\nhosts:\n  here: {local: true}\n");
    let target = world.root().join("target");
    fs::create_dir(&target).unwrap();
    world.file("runbooks/secrets.yaml", &RUNBOOK.replace("DIR", target.to_str().unwrap()));
    world.file("files/app.conf", "password = {{ secret('db') }}\n");

    let mut said = Vec::new();
    let listing = watch_processes(|| {
        for words in [
            &["plan", "runbooks/secrets.yaml"][..],
            &["run", "runbooks/secrets.yaml", "--yes", "-o", "jsonl"],
            &["run", "runbooks/secrets.yaml", "--yes", "-v"],
            &["history", "list", "-o", "json"],
            &["owed"],
        ] {
            let mut command = world.command(words);
            command.env("DB_PASSWORD", SECRET).env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1");
            said.push(Ended::of(words, &mut command));
        }
        let run = world.newest()["run"].as_str().unwrap().to_owned();
        for words in [&["history", "show", &run][..], &["history", "show", &run, "-o", "jsonl", "-v"]] {
            said.push(world.svcops(words));
        }
    });

    // It went where it was meant to go …
    assert_eq!(fs::read_to_string(target.join("from-env")).unwrap(), SECRET, "{}", said[1]);
    assert_eq!(fs::read_to_string(target.join("from-stdin")).unwrap(), SECRET);
    assert_eq!(fs::read_to_string(target.join("from-template")).unwrap(), format!("password = {SECRET}\n"));
    // … and nowhere else.
    for ended in &said {
        holds_no_secret(&format!("svcops's output\n{ended}"), ended.to_string().as_bytes());
    }
    holds_no_secret("a process's arguments", listing.as_bytes());
    assert!(walk(&world.state(), &|path, bytes| holds_no_secret(&path.display().to_string(), bytes)) > 0);
    assert!(said[1].stdout.contains("***"), "what was taken out is marked\n{}", said[1]);
}

#[test]
fn a_secret_in_the_text_of_a_command_is_refused() {
    let world = Project::new("project: crm\nsecrets:\n  db: {env: DB_PASSWORD}\nhosts:\n  here: {local: true}\n");
    world.file(
        "runbooks/r.yaml",
        "svcops: 1\nname: r\ntargets: here\nsteps:\n  - {name: s, command: \"mysql -p{{ secret('db') }}\"}\n",
    );
    world.svcops(&["lint"]).exits(2).says("runbooks/r.yaml:5");
}

/// Every command line that was seen on this machine while `work` was done.
fn watch_processes(work: impl FnOnce()) -> String {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut seen = std::collections::BTreeSet::new();
            while !over.load(Ordering::Relaxed) {
                for process in fs::read_dir("/proc").unwrap().flatten() {
                    if let Ok(line) = fs::read(process.path().join("cmdline")) {
                        seen.insert(String::from_utf8_lossy(&line).replace('\0', " "));
                    }
                }
            }
            seen.into_iter().collect::<Vec<_>>().join("\n")
        });
        work();
        over.store(true, Ordering::Relaxed);
        watch.join().unwrap()
    })
}

#[track_caller]
fn holds_no_secret(what: &str, bytes: &[u8]) {
    for form in forms() {
        let found = bytes.windows(form.len()).any(|window| window == form);
        assert!(!found, "the secret stands as `{}` in {what}", String::from_utf8_lossy(&form));
    }
}

/// The secret as it is, in base64 (whatever stands before it), and as URLs and JSON write it.
fn forms() -> Vec<Vec<u8>> {
    let bytes = SECRET.as_bytes();
    let url: String = bytes
        .iter()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(*b).to_string() } else { format!("%{b:02X}") })
        .collect();
    let json: String =
        SECRET.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", c as u32) }).collect();
    let mut forms = vec![bytes.to_vec(), url.to_ascii_lowercase().into_bytes(), url.into_bytes(), json.into_bytes()];
    for before in 0..3 {
        // Only the middle of a base64 text is the same whatever its neighbours are.
        let padded = [&b"xxx"[..before], bytes].concat();
        let text = base64(&padded);
        forms.push(text.as_bytes()[4..text.len() - 4].to_vec());
    }
    forms
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |n: u32| char::from(DIGITS[(n & 63) as usize]);
    let three = |chunk: &[u8]| chunk.iter().fold(0, |sum, b| sum << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
    bytes.chunks(3).map(three).flat_map(|n| [digit(n >> 18), digit(n >> 12), digit(n >> 6), digit(n)]).collect()
}

/// Shows every file below a folder, and answers how many there were.
fn walk(folder: &Path, show: &dyn Fn(&Path, &[u8])) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files += walk(&path, show);
        } else if path.is_file() {
            show(&path, &fs::read(&path).unwrap());
            files += 1;
        }
    }
    files
}
