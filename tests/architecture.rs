//! Tests about the code base itself: what ARCHITECTURE.md and CONTRIBUTING.md promise is held here.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

#[test]
fn a_room_imports_only_rooms_below_it() {
    let floors = floors();
    let mut faults = Vec::new();
    for (path, text) in sources("src") {
        let Some(room) = room_of(&path) else { continue };
        let Some(own) = floors.get(&room) else {
            faults.push(format!("{}: the room `{room}` is not in ARCHITECTURE.md's table", path.display()));
            continue;
        };
        for (line, other) in imports(before_tests(&text)) {
            let below = other == room || floors.get(&other).is_some_and(|floor| floor < own);
            if !below && floors.contains_key(&other) {
                faults.push(format!("{}:{line}: `{room}` (floor {own}) imports `{other}`", path.display()));
            }
        }
    }
    none(faults);
}

#[test]
fn no_file_is_longer_than_one_can_read() {
    let long = sources("src").into_iter().filter_map(|(path, text)| {
        let lines = before_tests(&text).lines().count();
        let is_tests = path.file_name().is_some_and(|name| name == "tests.rs");
        (lines > 600 && !is_tests).then(|| format!("{}: {lines} lines, at most 600", path.display()))
    });
    none(long.collect());
}

#[test]
fn every_test_file_belongs_to_a_target() {
    let all = sources("tests");
    let everything: String = all.iter().map(|(_, text)| text.as_str()).collect();
    let forgotten = all.iter().filter_map(|(path, _)| {
        let name = path.file_stem()?.to_str()?;
        let folder = path.parent()?;
        let is_target = folder == root().join("tests") || name == "main";
        let by_path = name == "mod" && everything.contains(&format!("/{}/mod.rs\"", folder.file_name()?.to_str()?));
        // a folder's `mod.rs` is declared one folder up, by the folder's name
        let (home, module) =
            if name == "mod" { (folder.parent()?, folder.file_name()?.to_str()?) } else { (folder, name) };
        let declared = ["main.rs", "mod.rs"].iter().any(|parent| {
            fs::read_to_string(home.join(parent)).is_ok_and(|text| text.contains(&format!("mod {module};")))
        });
        // targets for cargo-fuzz, named by a Cargo.toml of their own
        let elsewhere = fs::read_to_string(folder.join("../Cargo.toml"))
            .is_ok_and(|text| text.contains(&format!("path = \"targets/{name}.rs\"")));
        (!is_target && !by_path && !declared && !elsewhere).then(|| path.display().to_string())
    });
    none(forgotten.collect());
}

#[test]
fn nothing_is_left_to_do_and_nothing_names_a_machine() {
    // In two halves, so that this file does not accuse itself.
    let marks = [["to", "do!("], ["TO", "DO"], ["FIX", "ME"], ["unimple", "mented!("]].map(|halves| halves.concat());
    let places = [["/wo", "rk/"], ["/tmp", "/h/"], ["/ro", "ot/"], ["/home/", "user"]].map(|halves| halves.concat());
    let mut faults = Vec::new();
    for (path, text) in files(&root(), &["rs", "md", "toml", "yaml", "sh"]).into_iter().chain(script()) {
        for (number, line) in text.lines().enumerate() {
            for word in marks.iter().chain(&places).filter(|word| line.contains(word.as_str())) {
                faults.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    none(faults);
}

#[test]
fn the_languages_example_is_the_one_that_is_tested() {
    let paper = fs::read_to_string(root().join("docs/language.md")).unwrap();
    for file in ["tests/data/crm/svcops.yaml", "tests/data/crm/runbooks/billing-restart.yaml"] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        assert!(paper.contains(&format!("```yaml\n{text}```")), "docs/language.md does not hold {file} word for word");
    }
}

#[test]
fn every_action_has_cases() {
    let name = |action: &svcops::actions::Entry| action.name;
    let bare = svcops::actions::CATALOG
        .iter()
        .map(name)
        .filter(|name| files(&root().join("tests/cases").join(name), &["yaml"]).is_empty());
    none(bare.map(|name| format!("`{name}` has no case below tests/cases/{name}/")).collect());
}

#[test]
fn every_exit_code_is_in_the_help_and_in_the_readme() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_svcops")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let ends = |text: &str, mark: &str, code: u8| {
        text.lines().any(|line| line.trim_start().starts_with(&format!("{mark}{code} ")))
    };
    let missing =
        [0, 1, 2, 3, 4, 75, 77, 130].into_iter().filter(|code| !ends(&help, "", *code) || !ends(&readme, "| ", *code));
    none(missing.map(|code| format!("exit code {code}")).collect());
}

/// The floors of the house: `room` → number, read from ARCHITECTURE.md's table.
fn floors() -> BTreeMap<String, u32> {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let floor = words.next()?.parse().ok()?;
        let room = words.next()?.strip_suffix('/')?;
        Some((room.to_owned(), floor))
    };
    let floors: BTreeMap<_, _> = map.lines().filter_map(row).collect();
    assert!(floors.len() > 5, "ARCHITECTURE.md has lost its table of rooms");
    floors
}

/// `src/engine/plan.rs` is in `engine`; `lib.rs` and `main.rs` are in no room.
fn room_of(path: &Path) -> Option<String> {
    let below = path.strip_prefix(root().join("src")).ok()?;
    let mut parts = below.iter();
    let first = parts.next()?.to_str()?;
    parts.next().map(|_| first.to_owned())
}

/// Which rooms a text names, with the line: `crate::engine::…`, `use crate::{base::…, engine::…}`.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let line = text.get(..at).unwrap_or_default().lines().count().max(1);
        let is_doc = text.get(..at).and_then(|t| t.lines().last()).is_some_and(|l| l.trim_start().starts_with("//"));
        let rest = text.get(at + "crate::".len()..).unwrap_or_default();
        match rest.strip_prefix('{') {
            _ if is_doc => {}
            Some(group) => found.extend(heads(group).into_iter().map(|room| (line, room))),
            None => found.push((line, word(rest))),
        }
    }
    found
}

/// The first words of a group's members: `base::{A, B}, engine}` → `base`, `engine`.
fn heads(group: &str) -> Vec<String> {
    let (mut heads, mut depth, mut fresh) = (Vec::new(), 0, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && !c.is_whitespace() => {
                heads.push(word(group.get(at..).unwrap_or_default()));
                fresh = false;
            }
            _ => {}
        }
    }
    heads
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// A file without its tests: they may look from above.
fn before_tests(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod tests").and_then(|at| text.get(..at)).unwrap_or(text)
}

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    files(&root().join(folder), &["rs"])
}

/// The scripts that have no extension.
fn script() -> Vec<(PathBuf, String)> {
    let of = |path: &str| (root().join(path), fs::read_to_string(root().join(path)).unwrap());
    [".ci/run", "tests/lab/lab"].map(of).into()
}

/// All files with one of these extensions, but what cargo and git keep.
fn files(folder: &Path, extensions: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            let kept = ["target", ".git"].iter().any(|skipped| name == *skipped);
            found.extend(if kept { Vec::new() } else { files(&path, extensions) });
        } else if path.extension().is_some_and(|e| extensions.iter().any(|known| e == *known)) {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

#[track_caller]
fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "{} found:\n{}", faults.len(), faults.join("\n"));
}
