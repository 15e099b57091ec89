//! A service that moves between two sites of this machine: the question, the answers to it, and the ways back.

use crate::{support::Project, terminal::Terminal};
use std::path::Path;

const SERVICE: &str = r#"project: crm
sites: {dc1: {}, dc2: {}}
hosts:
  a1: {local: true, site: dc1, labels: {role: x}}
  b1: {local: true, site: dc2, labels: {role: x}}
services:
  crm:
    sites: [dc1, dc2]
    rpo: 0B
    parts:
      - command:
          name: лицензия
          hosts: role=x
          stop: "rm 'ROOT/at-{{ site.name }}'; while [ -e 'ROOT/hold' ]; do sleep 0.02; done"
          start: "touch 'ROOT/at-{{ site.name }}'"
          status: "test -e 'ROOT/at-{{ site.name }}'"
"#;
const TERMINAL: &str = "LANG=C.UTF-8 TERM=xterm";

/// A service at `dc1`.
fn world() -> Project {
    let project = Project::new("");
    let root = project.root().to_string_lossy().into_owned();
    project.file("svcops.yaml", &SERVICE.replace("ROOT", &root));
    project.file("at-dc1", "");
    project
}

/// The sites that it is at.
fn at(project: &Project) -> Vec<&'static str> {
    ["dc1", "dc2"].into_iter().filter(|site| Path::new(&project.root()).join(format!("at-{site}")).exists()).collect()
}

fn runs(project: &Project) -> usize {
    let list = project.svcops(&["history", "list", "-o", "json"]).exits(0).json();
    list["runs"].as_array().unwrap().len()
}

#[test]
fn a_service_moves_and_once_it_is_there_nothing_is_done() {
    let project = world();
    project.svcops(&["failover", "crm", "--to", "dc2", "--confirm", "dc2", "--reason", "works"]).exits(0);
    assert_eq!(at(&project), ["dc2"]);
    assert_eq!(project.newest()["runbook"], "failover-crm-to-dc2");
    let again = project.svcops(&["failover", "crm", "--to", "dc2", "--confirm", "dc2", "--reason", "works"]);
    again.exits(0).says("`crm` is at `dc2` already: nothing to do");
    assert_eq!((at(&project), runs(&project)), (vec!["dc2"], 1));
}

#[test]
fn another_word_than_the_site_moves_nothing() {
    let project = world();
    let wrong = project.svcops(&["failover", "crm", "--to", "dc2", "--confirm", "dc1", "--reason", "works"]);
    wrong.exits(2).says("`--confirm dc1` does not confirm `dc2`; nothing was touched");
    let silent = project.svcops(&["failover", "crm", "--to", "dc2", "--reason", "works"]);
    silent.exits(2).says("nobody can be asked for the site's name").says("`--yes` does not");
    let terminal = Terminal::of(&project, TERMINAL, "failover crm --to dc2 --reason works", 100, 40);
    terminal.until("Type `dc2` to go on");
    terminal.press("dc1\r");
    terminal.until("not confirmed; nothing was touched");
    let (code, shown) = terminal.ends();
    assert_eq!(code, 2, "{shown}");
    assert_eq!((at(&project), runs(&project)), (vec!["dc1"], 0));
}

#[test]
fn ctrl_c_at_the_question_moves_nothing_and_after_it_takes_all_back() {
    let project = world();
    let terminal = Terminal::of(&project, TERMINAL, "failover crm --to dc2 --reason works", 100, 40);
    terminal.until("Type `dc2` to go on");
    terminal.press("\u{3}");
    terminal.until("interrupted; nothing was touched");
    let (code, shown) = terminal.ends();
    assert_eq!((code, at(&project), runs(&project)), (130, vec!["dc1"], 0), "{shown}");

    project.file("hold", "");
    let terminal = Terminal::of(&project, TERMINAL, "failover crm --to dc2 --reason works", 100, 40);
    terminal.until("Type `dc2` to go on");
    terminal.press("dc2\r");
    terminal.until("leaves dc1  1 under way");
    // it is said before the command itself has begun
    let begun = (0..500).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        at(&project).is_empty()
    });
    assert!(begun);
    terminal.press("\u{3}");
    terminal.until("SIGINT: finishing what is under way");
    std::fs::remove_file(project.root().join("hold")).unwrap();
    let (code, shown) = terminal.ends();
    assert_eq!(at(&project), ["dc1"], "{shown}");
    assert_eq!((code, project.newest()["outcome"].as_str()), (1, Some("rolled_back")), "{shown}");
}

#[test]
fn a_drill_ends_where_it_began_and_a_round_trip_is_there_in_between() {
    let project = world();
    project.svcops(&["failover", "drill", "crm", "--yes", "--reason", "test"]).exits(2).says("`--to SITE` says");
    project.svcops(&["failover", "drill", "crm", "--to", "dc2", "--yes", "--reason", "test"]).exits(0);
    assert_eq!(at(&project), ["dc1"]);
    let drill = project.newest();
    assert_eq!(drill["runbook"], "failover-drill-crm", "{drill}");
    let round = ["failover", "drill", "crm", "--to", "dc2", "--round-trip", "--confirm", "dc2", "--reason", "test"];
    project.svcops(&round).exits(0);
    assert_eq!((at(&project), runs(&project)), (vec!["dc1"], 3));
}
