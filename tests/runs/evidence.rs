//! What proves a run to somebody who does not trust who holds the journal: anchors in tickets and in syslog, signatures; and
//! every way of changing a journal, found.

use crate::support::Project;
use rusqlite::{Connection, params};
use std::path::PathBuf;
use svcops::base::Hash;

fn world(more: &str) -> Project {
    let project = Project::new(&format!("project: marks\n{more}hosts:\n  here: {{local: true}}\n"));
    let step = |n: usize| format!("  - {{name: Отметка {n}, command: {{run: 'true'}}, undo: [{{command: 'true'}}]}}\n");
    let runbook = format!("svcops: 1\nname: marks\ntargets: here\nsteps:\n{}{}", step(1), step(2));
    project.file("runbooks/marks.yaml", &runbook);
    project
}

fn run(world: &Project) -> String {
    world.svcops(&["run", "marks", "--yes", "-q"]).exits(0);
    world.newest()["run"].as_str().unwrap().to_owned()
}

/// What somebody does who can write the journal's file.
struct Attacker(Connection);

impl Attacker {
    fn of(world: &Project) -> Self {
        Self(Connection::open(world.state().join("journal.db")).unwrap())
    }
    fn does(&self, sql: &str) -> &Self {
        self.0.execute_batch(sql).unwrap();
        self
    }
    /// Makes all hashes again, as svcops itself would have written them.
    fn covers_up(&self) {
        let rows = |sql: &str| {
            let mut ask = self.0.prepare(sql).unwrap();
            let rows = ask.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))).unwrap();
            rows.collect::<Result<Vec<(String, i64, String, String)>, _>>().unwrap()
        };
        let mut last = (String::new(), String::new());
        for (run, seq, at, json) in rows("SELECT run, seq, at, json FROM events ORDER BY run, seq") {
            let prev = if last.0 == run { last.1 } else { String::new() };
            let hash = digest("svcops event 1", &[&run, &seq.to_string(), &at, &json, &prev]);
            self.0
                .execute(
                    "UPDATE events SET prev = ?, hash = ? WHERE run = ? AND seq = ?",
                    params![prev, hash, run, seq],
                )
                .unwrap();
            self.0.execute("UPDATE runs SET head = ?, hash = ? WHERE run = ?", params![seq, hash, run]).unwrap();
            last = (run, hash);
        }
        let mut prev = String::new();
        for (run, seq, head, of_head) in rows(
            "SELECT l.run, l.seq, CAST(l.head AS TEXT), e.hash FROM ledger l
             JOIN events e ON e.run = l.run AND e.seq = l.head ORDER BY l.seq",
        ) {
            let hash = digest("svcops ledger 1", &[&seq.to_string(), &run, &head, &of_head, &prev]);
            self.0
                .execute(
                    "UPDATE ledger SET hash_of_head = ?, prev = ?, hash = ? WHERE seq = ?",
                    params![of_head, prev, hash, seq],
                )
                .unwrap();
            prev = hash;
        }
    }
}

fn digest(domain: &str, fields: &[&str]) -> String {
    let mut text = Vec::new();
    for field in std::iter::once(&domain).chain(fields) {
        text.extend_from_slice(&(field.len() as u64).to_be_bytes());
        text.extend_from_slice(field.as_bytes());
    }
    Hash::of(&text).0
}

/// The ticket of the newest run, as it is shown, in a file.
fn ticket(world: &Project) -> PathBuf {
    let path = world.root().join("ticket.txt");
    let shown = world.svcops(&["ticket", "show", "SV-1"]).exits(0).stdout;
    std::fs::write(&path, shown).unwrap();
    path
}

#[test]
fn the_ticket_of_a_run_holds_an_anchor_that_the_journal_is_held_against() {
    for more in ["", "tickets: {language: ru}\n", "tickets: {templates: texts}\n"] {
        let world = world("");
        world.file("texts/ended.txt", "The end.\n");
        world.file("svcops.yaml", &format!("project: marks\n{more}hosts:\n  here: {{local: true}}\n"));
        run(&world);
        let ticket = ticket(&world);
        let words = ["history", "verify", "--against", ticket.to_str().unwrap()];
        let text = world.svcops(&words).exits(0).stdout;
        assert!(!text.contains("goes unseen"), "{text}");
    }
}

#[test]
fn a_journal_that_was_rewritten_as_a_whole_is_found_by_the_ticket() {
    let world = world("");
    run(&world);
    let ticket = ticket(&world);
    Attacker::of(&world).does("UPDATE events SET json = replace(json, 'Отметка 1', 'Отметка 7')").covers_up();
    world.svcops(&["history", "verify"]).exits(0);
    world
        .svcops(&["history", "verify", "--against", ticket.to_str().unwrap()])
        .exits(2)
        .says("another than the anchor's");
}

#[test]
fn a_tail_that_was_cut_off_with_its_entries_is_found_by_the_ticket() {
    let world = world("");
    run(&world);
    let ticket = ticket(&world);
    cut_tail(&world);
    world.svcops(&["history", "verify"]).exits(0);
    world
        .svcops(&["history", "verify", "--against", ticket.to_str().unwrap()])
        .exits(2)
        .says("another than the anchor's");
}

/// The newest run never happened.
fn cut_tail(world: &Project) {
    let newest = "(SELECT max(run) FROM runs)";
    let rows = ["seals", "ledger", "events", "outbox", "concerns", "tickets", "untold"];
    let sql: String = rows.iter().map(|table| format!("DELETE FROM {table} WHERE run = {newest};\n")).collect();
    Attacker::of(world).does(&(sql + &format!("DELETE FROM runs WHERE run = {newest};")));
}
