//! What proves a run to somebody who does not trust who holds the journal: anchors in tickets and in syslog, signatures; and
//! every way of changing a journal, found.

use crate::support::Project;
use rusqlite::{Connection, params};
use std::{
    io::Read as _,
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};
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

#[test]
fn every_way_of_changing_a_signed_journal_is_found() {
    type Change = fn(&Project);
    let ways: [(&str, Change, &str); 5] = [
        (
            "a flipped byte",
            |world| {
                Attacker::of(world)
                    .does("UPDATE events SET json = replace(json, 'Отметка 1', 'Отметка 3') WHERE seq = 4");
            },
            "event 4 of run RUN was changed after it was written",
        ),
        (
            "a deleted row",
            |world| {
                Attacker::of(world).does("DELETE FROM events WHERE seq = 5 AND run = (SELECT max(run) FROM runs)");
            },
            "event 5 of run RUN is missing",
        ),
        (
            "swapped events",
            |world| {
                let newest = "run = (SELECT max(run) FROM runs)";
                Attacker::of(world).does(&format!(
                    "UPDATE events SET seq = 1000 WHERE seq = 5 AND {newest}; UPDATE events SET seq = 5 WHERE seq = 6 AND {newest};
                     UPDATE events SET seq = 6 WHERE seq = 1000;"
                ));
            },
            "event 5 of run RUN was written as event 6",
        ),
        (
            "all hashes made again",
            |world| {
                Attacker::of(world)
                    .does("UPDATE events SET json = replace(json, 'Отметка 1', 'Отметка 7')")
                    .covers_up();
            },
            "is missing or another than the one that was sealed for run RUN",
        ),
        ("a tail cut off with its signature", cut_tail, "is missing or another than the anchor's"),
    ];
    for (what, change, found) in ways {
        let world = signing();
        run(&world);
        let newest = run(&world);
        std::fs::write(world.root().join("ticket.txt"), world.svcops(&["ticket", "show", "SV-2"]).exits(0).stdout)
            .unwrap();
        let verify = ["history", "verify", "--against", "ticket.txt"];
        world.svcops(&verify).exits(0).says("signed by mkr@example.org: 2 heads, the last one entry 4 of the ledger");
        change(&world);
        let text = world.svcops(&verify).exits(2).stdout.replace(&newest, "RUN");
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(found), "{what}: {text}");
    }
}

/// A project whose runs are signed with a key of its own.
fn signing() -> Project {
    let world = world("evidence: {sign: ../home/key, signers: allowed_signers}\n");
    let public = key(&world, "key", "");
    world.file("allowed_signers", &format!("mkr@example.org namespaces=\"svcops\" {public}"));
    world
}

/// Makes a key in the home folder; its public part.
fn key(world: &Project, name: &str, phrase: &str) -> String {
    let path = world.home().join(name);
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-C", "", "-N", phrase, "-f"]).arg(&path).status();
    assert!(made.unwrap().success());
    std::fs::read_to_string(path.with_extension("pub")).unwrap()
}

#[test]
fn who_signed_is_told_and_a_signature_of_a_stranger_is_none() {
    let world = signing();
    run(&world);
    let text = world.svcops(&["history", "verify"]).exits(0).stdout;
    let hash = text.lines().find_map(|line| line.strip_prefix("anchor 2:")).unwrap().to_owned();
    insta::assert_snapshot!(text.replace(&hash, "HASH"), @r"
    13 events of 1 run and 2 entries of the ledger checked: nothing was changed, moved or taken out
    anchor 2:HASH
    signed by mkr@example.org: 1 head, the last one entry 2 of the ledger
    note   without an anchor, a tail that was cut off together with its entries in the ledger goes
           unseen; keep the anchor above elsewhere, and `svcops history verify --against ANCHOR` sees
           that too
    ");
    let stranger = key(&world, "stranger", "");
    world.file("strangers", &format!("eve@example.org {stranger}"));
    let text = world.svcops(&["history", "verify", "--allowed-signers", "strangers"]).exits(2).stdout;
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("(entry 2 of the ledger) is not good: no allowed signer has this key"), "{text}");
    world.svcops(&["history", "verify", "--allowed-signers", "nowhere"]).exits(3).says("nowhere");
    Attacker::of(&world).does("UPDATE seals SET signature = replace(signature, 'A', 'B')");
    world.svcops(&["history", "verify"]).exits(2).says("is not good");
}

#[test]
fn a_bundle_is_checked_for_its_signatures_on_another_machine() {
    let world = signing();
    run(&world);
    world.svcops(&["history", "export", "last", "--to", "run.tar"]).exits(0);
    let elsewhere = Project::new("");
    for file in ["run.tar", "allowed_signers"] {
        std::fs::copy(world.root().join(file), elsewhere.root().join(file)).unwrap();
    }
    elsewhere.svcops(&["history", "verify", "run.tar"]).exits(0).says("1 signature not checked");
    let verify = ["history", "verify", "run.tar", "--allowed-signers", "allowed_signers"];
    elsewhere.svcops(&verify).exits(0).says("signed by mkr@example.org: 1 head");
    elsewhere.file("allowed_signers", &format!("eve@example.org {}", key(&elsewhere, "stranger", "")));
    elsewhere.svcops(&verify).exits(2).says("no allowed signer has");
}

#[test]
fn a_signature_that_cannot_be_made_is_missing_and_fails_no_run() {
    let world = signing();
    key(&world, "locked", "secret");
    let (settings, hosts) =
        ("project: marks\nevidence: {sign: ", ", signers: allowed_signers}\nhosts:\n  here: {local: true}\n");
    for (key, why) in [
        ("~/none", "could not read the key"),
        ("~/locked", "incorrect passphrase"),
        ("~/locked.pub", "there is no ssh-agent"),
        ("svcops.yaml", "there is no ssh-agent"),
    ] {
        world.file("svcops.yaml", &format!("{settings}{key}{hosts}"));
        world.svcops(&["run", "marks", "--yes", "-q"]).exits(0).says("is not signed").says(why);
    }
    let text = world.svcops(&["history", "verify"]).exits(1).says("no head is signed by anybody").stdout;
    assert_eq!(text.matches("is not signed, as its").count(), 4, "{text}");
}

/// An ssh-agent, ended by its own number.
struct Agent(Child, PathBuf);

impl Agent {
    fn with(world: &Project, key: &str) -> Self {
        let socket = world.home().join("agent");
        let agent = Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).stdout(Stdio::piped()).spawn().unwrap();
        let mut agent = Self(agent, socket);
        // it says where it is once it is there
        agent.0.stdout.as_mut().unwrap().read_exact(&mut [0; 10]).unwrap();
        let added =
            Command::new("ssh-add").arg("-q").arg(world.home().join(key)).env("SSH_AUTH_SOCK", &agent.1).status();
        assert!(added.unwrap().success());
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn an_agent_signs_with_a_key_that_is_not_on_this_machine() {
    let world = signing();
    let agent = Agent::with(&world, "key");
    std::fs::remove_file(world.home().join("key")).unwrap();
    let settings = std::fs::read_to_string(world.root().join("svcops.yaml")).unwrap();
    world.file("svcops.yaml", &settings.replace("home/key", "home/key.pub"));
    let mut command = world.command(&["run", "marks", "--yes", "-q"]);
    crate::support::Ended::of(&[], command.env("SSH_AUTH_SOCK", &agent.1)).exits(0);
    world.svcops(&["history", "verify"]).exits(0).says("signed by mkr@example.org: 1 head");
}

/// A syslog that keeps what it is told.
fn syslog(world: &Project) -> UnixDatagram {
    let socket = UnixDatagram::bind(world.home().join("log")).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket
}

fn lines(socket: &UnixDatagram) -> Vec<String> {
    let mut line = [0; 4096];
    std::iter::from_fn(|| {
        let length = socket.recv(&mut line).ok()?;
        assert!(length <= 1024);
        Some(String::from_utf8(line[..length].to_vec()).unwrap())
    })
    .collect()
}

#[test]
fn the_audit_stream_tells_each_act_and_its_lines_hold_a_journal_that_was_rewritten_or_cut() {
    let world = world("");
    let settings = format!(
        "project: marks\naudit: {{syslog: {}}}\nhosts:\n  here: {{local: true}}\n",
        world.home().join("log").display()
    );
    world.file("svcops.yaml", &settings);
    let socket = syslog(&world);
    let run = run(&world);
    let lines = lines(&socket);
    let text: String = lines.iter().map(|line| line.split_once("] ").unwrap().1.replace(&run, "RUN") + "\n").collect();
    insta::with_settings!({filters => vec![("by [^ ]+ on [^ ,]+", "by WHO on MACHINE"), ("[0-9a-f]{64}", "HASH"), ("[A-Z]{2}-[0-9]+", "TICKET")]}, {
        insta::assert_snapshot!(text, @r"
        run RUN begins: `marks` of project marks, by WHO on MACHINE, plan HASH
        run RUN · here: Отметка 1: run `true`
        run RUN · here: Отметка 1: carried out
        run RUN · here: Отметка 2: run `true`
        run RUN · here: Отметка 2: carried out
        run RUN ends: done (exit code 0), 2 changed, 0 owed
        ");
    });
    // a log has the lines of other journals, too
    let others = lines.join("\n").replace("store=\"", "store=\"other:").replace("anchor=\"2:", "anchor=\"1:");
    world.file("auth.log", &(lines.join("\n") + "\n" + &others));
    let verify = ["history", "verify", "--against", "auth.log"];
    let said = world.svcops(&verify).exits(0).stdout;
    assert!(!said.contains("goes unseen"), "{said}");
    Attacker::of(&world).does("UPDATE events SET json = replace(json, 'Отметка 1', 'Отметка 7')").covers_up();
    world.svcops(&["history", "verify"]).exits(0);
    world.svcops(&verify).exits(2).says("another than the anchor's");
}

#[test]
fn a_syslog_that_does_not_listen_holds_up_no_run_and_the_lost_lines_are_counted() {
    let world = world("");
    let settings = format!(
        "project: marks\naudit: {{syslog: {}}}\nhosts:\n  here: {{local: true}}\n",
        world.home().join("log").display()
    );
    world.file("svcops.yaml", &settings);
    world.svcops(&["run", "marks", "--yes", "-q"]).exits(0).says("the machine's log is not told of");
    // one that takes nothing out of its socket
    let _full = syslog(&world);
    for _ in 0..4 {
        world.svcops(&["run", "marks", "--yes", "-q"]).exits(0);
    }
}
