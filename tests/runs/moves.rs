//! A service that moves between two sites of this machine: the question, the answers to it, and the ways back.

use crate::{
    support::{Project, is},
    terminal::Terminal,
};
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
    let (runbook, outcome, code) = (&drill["runbook"], &drill["outcome"], &drill["exit_code"]);
    assert_eq!((runbook, outcome, code), (&"failover-drill-crm".into(), &"done".into(), &0.into()), "{drill}");
    let round = ["failover", "drill", "crm", "--to", "dc2", "--round-trip", "--confirm", "dc2", "--reason", "test"];
    project.svcops(&round).exits(0);
    assert_eq!((at(&project), runs(&project)), (vec!["dc1"], 3));
}

#[test]
fn a_good_drill_is_told_as_one_wherever_it_is_told() {
    let project = world();
    let drill = ["failover", "drill", "crm", "--to", "dc2", "--yes", "--reason", "test"];
    let ended = project.svcops(&drill).exits(0).says("`failover-drill-crm`: a good drill: ");
    ended.says("  ---- a drill: all of it goes back from here\n").says("the drill has come to its end: all goes back");
    let told = project.svcops(&[&drill[..], &["-o", "json"]].concat()).exits(0).json();
    let (outcome, good) = (told["outcome"].clone(), told["drill"].clone());
    assert_eq!((outcome, good, told["exit_code"].clone()), ("done".into(), true.into(), 0.into()), "{told}");
    let run = project.newest()["run"].as_str().unwrap().to_owned();
    project.svcops(&["history", "show", &run]).exits(0).says("outcome   done (exit code 0)\ndrill     it turned back");
    project.svcops(&["report", &run, "--markdown"]).exits(0).says("A good drill, and all of it taken back");
    let history = project.svcops(&["failover", "history", "crm", "-o", "json"]).exits(0).json();
    let newest = &history["moves"][0];
    assert_eq!((&newest["what"], &newest["outcome"]), (&"drill".into(), &"done".into()), "{newest}");
    assert_eq!((&newest["touched"], &newest["moved"]), (&true.into(), &false.into()), "{newest}");
    assert_eq!((&newest["from"], &newest["to"]), (&"dc1".into(), &"dc2".into()), "{newest}");
    let tickets = project.svcops(&["ticket", "list", "--all", "-o", "json"]).exits(0).json();
    let states: Vec<_> = tickets["tickets"].as_array().unwrap().iter().map(|ticket| ticket["state"].clone()).collect();
    assert_eq!(states, ["done", "done"], "{tickets}");
    project.svcops(&["history", "verify"]).exits(0);
    project.svcops(&["rollback", &run, "--yes"]).exits(2).says("it was a drill, and all of it is taken back");
    assert_eq!(at(&project), ["dc1"]);
}

#[test]
fn a_drill_that_failed_is_none_that_was_good() {
    let project = world();
    // what starts it at the other site fails
    std::fs::create_dir(project.root().join("at-dc2")).unwrap();
    project.file("svcops.yaml", &read(&project).replace("test -e", "test -f").replace("\"touch", "\"exit 7; touch"));
    let drill = ["failover", "drill", "crm", "--to", "dc2", "--yes", "--reason", "test"];
    let ended = project.svcops(&drill);
    assert_ne!(ended.code, Some(0), "{ended}");
    let run = project.newest();
    assert!(run["outcome"] != "done" && run["exit_code"] != 0, "{run}");
    let shown = project.svcops(&["history", "show", run["run"].as_str().unwrap()]).exits(0);
    assert!(!shown.stdout.contains("\ndrill "), "{shown}");
}

fn read(project: &Project) -> String {
    std::fs::read_to_string(project.root().join("svcops.yaml")).unwrap()
}

#[test]
fn while_a_run_moves_it_and_after_that_was_killed_the_run_is_named() {
    let project = world();
    let moves = ["failover", "crm", "--to", "dc2", "--confirm", "dc2", "--reason", "works"];
    project.file("hold", "");
    let mut running = project.stream(&moves);
    let begun = running.until(|event| is(event, "announced")).unwrap();
    let run = begun["run"].as_str().unwrap().to_owned();
    let gone = || !project.root().join("at-dc1").exists();
    while !gone() {
        std::thread::yield_now();
    }
    let status = |code: i32| project.svcops(&["failover", "status", "crm", "-o", "json"]).exits(code).json();
    let seen = status(1);
    let (of, level) = (&seen["services"][0]["run"], &seen["status"]);
    assert_eq!((&of["run"], &of["outcome"], level), (&run.clone().into(), &"running".into(), &"WARNING".into()));
    let text = project.svcops(&["failover", "status", "crm"]).exits(1);
    text.says(&format!("WARNING: `crm` is between its sites: run {run} is under way"));
    let overall = project.svcops(&["status"]);
    assert!(overall.stdout.contains(&format!("run {run} is under way")), "{overall}");
    let refused = project.svcops(&moves).exits(75).says("is under way since");
    refused.says(&format!("`svcops history show {run} --follow`"));
    running.kill();
    std::fs::remove_file(project.root().join("hold")).unwrap();
    let seen = status(2);
    assert_eq!(seen["services"][0]["run"]["outcome"], "interrupted");
    let text = project.svcops(&["failover", "status", "crm"]).exits(2);
    text.says("was interrupted").says(&format!("`svcops resume {run}`"));
    project.svcops(&moves).exits(75).says(&run).says(&format!("`svcops rollback {run}`"));
    project.svcops(&["rollback", &run, "--yes"]).exits(0);
    assert_eq!(at(&project), ["dc1"]);
    let seen = status(0);
    assert_eq!((&seen["services"][0]["run"], &seen["services"][0]["last_switch"]), (&().into(), &().into()));
    let tried = &seen["services"][0]["tried_since"];
    assert_eq!((&tried["outcome"], &tried["touched"]), (&"not_now".into(), &false.into()), "{tried}");
}
