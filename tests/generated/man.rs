use crate::{hold, names, root};
use std::{
    collections::BTreeMap,
    io::Write as _,
    process::{Command, Stdio},
};
use svcops::cli::{env, exit::ExitCode, man};

fn pages() -> BTreeMap<String, String> {
    man::pages().into_iter().map(|page| (page.file, page.text)).collect()
}

#[test]
fn the_manual_in_the_repository_is_that_of_the_code() {
    let pages = pages();
    let folder = root().join("man");
    if std::env::var_os("SVCOPS_BLESS").is_some() && folder.is_dir() {
        for name in names(&folder).iter().filter(|name| !pages.contains_key(*name)) {
            std::fs::remove_file(folder.join(name)).unwrap();
        }
    }
    hold("man", &pages);
    assert_eq!(names(&folder), pages.keys().cloned().collect::<Vec<_>>(), "a page of a verb that is no more");
}

#[test]
fn every_page_has_its_sections_and_the_first_one_codes_files_and_variables() {
    let pages = pages();
    assert!(pages.len() > 25, "{:?}", pages.keys());
    for (file, text) in &pages {
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES", "\"EXIT STATUS\"", "\"SEE ALSO\""] {
            assert!(text.contains(&format!(".SH {section}\n")), "{file} has no {section}");
        }
    }
    let first = &pages["svcops.1"];
    for code in ExitCode::ALL {
        assert!(first.contains(&format!("\\fB{}\\fR", code.number())), "{code:?}");
    }
    let plain = first.replace("\\-", "-");
    for (name, _) in env::OTHERS.iter().chain(&[(env::DIR, ""), (env::STATE, ""), (env::TICKET, "")]) {
        assert!(plain.contains(&format!("\\fB{name}\\fR")), "{name}");
    }
    assert!(plain.contains("svcops.yaml") && plain.contains("/var/lib/svcops/projects/PROJECT"));
}

#[test]
fn every_page_is_set_without_a_warning() {
    for (file, text) in pages() {
        let groff = Command::new("groff")
            .args(["-man", "-ww", "-Tutf8", "-rLL=80n"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut groff) = groff else { return say("skipped: groff is not installed") };
        groff.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = groff.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{file}");
        assert!(output.stdout.len() > 300, "{file}");
    }
}

#[expect(clippy::print_stderr, reason = "who reads the test's output should know that it proved nothing")]
fn say(text: &str) {
    eprintln!("{text}");
}
