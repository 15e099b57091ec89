//! Old runs leave the journal, and the journal still proves all that it says.

use crate::support::{Project, is};

const WORKS: &str = "svcops: 1
name: works
targets: here
steps:
  - {name: Работа, command: {run: 'echo готово'}, undo: [{command: 'true'}]}
";
const OWES: &str = "svcops: 1
name: owes
targets: here
steps:
  - {name: Mark, command: {run: 'true'}, undo: [{command: 'exit 4'}]}
  - {name: Break, command: {run: 'exit 3'}, undo: [{command: 'true'}]}
";

fn world() -> Project {
    let world = Project::new("project: crm\nhosts:\n  here: {local: true}\n");
    world.file("runbooks/works.yaml", WORKS).file("runbooks/owes.yaml", OWES);
    for words in ["works", "owes", "works", "works"] {
        world.svcops(&["run", words, "--yes", "-q"]);
    }
    world
}

fn runs(world: &Project) -> Vec<String> {
    let list = world.svcops(&["history", "list", "-o", "json"]).exits(0).json();
    list["runs"].as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn old_runs_are_taken_out_with_a_record_and_the_rest_is_proven() {
    let world = world();
    let all = runs(&world);
    world.svcops(&["history", "export", &all[3], "--to", "kept.tar"]).exits(0);
    let anchor =
        world.svcops(&["history", "verify", "-o", "json"]).exits(0).json()["anchor"].as_str().unwrap().to_owned();

    world.svcops(&["history", "prune", "--before", "1d", "--yes"]).exits(0).says("nothing would be taken out");
    world.svcops(&["history", "prune", "--before", "0s", "--yes"]).exits(2).says("needs `--reason TEXT`");
    world.svcops(&["history", "prune", "--before", "0s", "--reason", "old"]).exits(2).says("nobody can be asked");
    world.svcops(&["history", "prune", "--before", "2099-01-01", "--yes"]).exits(2).says("is not in the past");
    let shown = world.svcops(&["history", "prune", "--before", "0s", "--keep", "1", "--dry-run"]).exits(0);
    assert!(shown.stdout.starts_with("2 runs of "), "{shown}");
    assert!(shown.stdout.ends_with("stays: 1 run with something owed\nstays: 1 run among the newest\n"), "{shown}");
    assert_eq!(runs(&world), all, "nothing was taken out so far");

    let words = ["history", "prune", "--before", "0s", "--keep", "1", "--yes", "--reason", "срок хранения вышел"];
    world.svcops(&words).exits(0).says("2 runs and");
    assert_eq!(runs(&world), [all[0].clone(), all[2].clone()]);
    world.svcops(&["history", "list"]).exits(0).says("pruned 2 runs that ended before").says("срок хранения вышел");
    let checked = world.svcops(&["history", "verify", "--against", &anchor]).exits(0);
    assert!(checked.stdout.contains("that the ledger knows to be pruned"), "{checked}");
    assert!(checked.stdout.contains("срок хранения вышел"), "{checked}");
    world.svcops(&["history", "show", &all[3]]).exits(2).says("was taken out of the journal by").says("срок хранения");
    world.svcops(&["history", "verify", "kept.tar", "--against", &anchor]).exits(0).says("held against 1 hash");
    world.svcops(&["owed"]).exits(0).says("undo of Mark");
    world.svcops(&["report", &all[0]]).exits(0);

    // what works on the journal goes on working
    let ended = world.svcops(&["run", "works", "--yes", "-o", "jsonl"]).exits(0).lines();
    assert!(ended.iter().any(|event| is(event, "finished")));
    world.svcops(&["rollback", "last", "--yes", "-q"]).exits(0);
    assert_eq!(world.svcops(&["history", "verify", "-o", "json"]).exits(0).json()["pruned"], 2);
    let nothing = world.svcops(&["history", "prune", "--before", "1d", "--dry-run", "-o", "json"]).exits(0).json();
    assert_eq!((&nothing["runs"], &nothing["stay"]["owing"]), (&serde_json::json!([]), &0.into()));
}

#[test]
fn a_run_that_disappears_beside_a_pruning_is_missing() {
    let world = world();
    let all = runs(&world);
    let journal = rusqlite::Connection::open(world.state().join("journal.db")).unwrap();
    for table in ["events", "runs", "outbox", "tickets"] {
        journal.execute(&format!("DELETE FROM {table} WHERE run = ?"), [&all[1]]).unwrap();
    }
    let words = ["history", "prune", "--before", "0s", "--yes", "--reason", "old", "-q"];
    world.svcops(&words).exits(0);
    world.svcops(&["history", "verify"]).exits(2).says(&format!("of run {} are missing", all[1]));
}
