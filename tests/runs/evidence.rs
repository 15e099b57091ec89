//! What proves a run to somebody who does not trust who holds the journal: anchors in tickets and in syslog, signatures; and
//! every way of changing a journal, found.

use crate::support::Project;
use rusqlite::{Connection, params};
use std::{
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
};
use svcops::base::Hash;

pub fn world(more: &str) -> Project {
    let project = Project::new(&format!("project: marks\n{more}hosts:\n  here: {{local: true}}\n"));
    let step = |n: usize| format!("  - {{name: Отметка {n}, command: {{run: 'true'}}, undo: [{{command: 'true'}}]}}\n");
    let runbook = format!("svcops: 1\nname: marks\ntargets: here\nsteps:\n{}{}", step(1), step(2));
    project.file("runbooks/marks.yaml", &runbook);
    project
}

pub fn run(world: &Project) -> String {
    world.svcops(&["run", "marks", "--yes", "-q"]).exits(0);
    world.newest()["run"].as_str().unwrap().to_owned()
}

/// What somebody does who can write the journal's file.
pub struct Attacker(Connection);

impl Attacker {
    pub fn of(world: &Project) -> Self {
        Self(Connection::open(world.state().join("journal.db")).unwrap())
    }
    pub fn does(&self, sql: &str) -> &Self {
        self.0.execute_batch(sql).unwrap();
        self
    }
    /// Makes all hashes again, as svcops itself would have written them.
    pub fn covers_up(&self) {
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
    world.svcops(&["history", "verify"]).exits(1).says("the journal is empty");
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
    let ways: [(&str, Change, &str); 6] = [
        (
            "a byte that makes it no text any more",
            |world| {
                Attacker::of(world).does(
                    "UPDATE events SET json = CAST(replace(CAST(json AS BLOB), x'd09e', x'd0ff') AS TEXT) WHERE seq = 4",
                );
            },
            "event 4 of run RUN was changed after it was written",
        ),
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
    with   3 contents that runs went by, and what lists say of runs
    anchor 2:HASH
    signed by mkr@example.org: 1 head, the last one entry 2 of the ledger
    note   which ticket a run was told in, and what of it waits, is kept beside the chain: no event says
           it, and no check covers it
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

#[test]
fn a_run_whose_signature_was_cut_is_named_and_so_is_its_bundle() {
    let world = signing();
    let (first, second) = (run(&world), run(&world));
    world.svcops(&["history", "verify"]).exits(0);
    // of an older one, and of the newest
    Attacker::of(&world).does(&format!("DELETE FROM seals WHERE run = '{first}'"));
    let text = world.svcops(&["history", "verify"]).exits(1).stdout;
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let says = "is not signed, as its project asks for: and nothing says why";
    assert!(flat.contains(&format!("WARN the end of run {first} {says}")) && !flat.contains(&second), "{text}");
    Attacker::of(&world).does("DELETE FROM seals");
    // whoever takes it out of svcops.yaml as well changes nothing: the run went by what was recorded
    world.file("svcops.yaml", "project: marks\nhosts:\n  here: {local: true}\n");
    let json = world.svcops(&["history", "verify", "-o", "json"]).exits(1).json();
    assert_eq!((&json["outcome"], json["unsigned"].as_array().unwrap().len()), (&"warning".into(), 2), "{json}");
    assert_eq!(json["unsigned"][1], serde_json::json!({"run": second, "why": null}));
    world.svcops(&["history", "export", "last", "--to", "run.tar"]).exits(0);
    world.svcops(&["history", "verify", "run.tar"]).exits(1).says("WARN").says(&second);
    // runs that nobody asked to sign are not missed
    run(&world);
    let json = world.svcops(&["history", "verify", "-o", "json"]).exits(1).json();
    assert_eq!(json["unsigned"].as_array().unwrap().len(), 2, "{json}");
}

#[test]
fn a_key_counts_as_long_as_its_owner_had_it_and_never_once_it_is_revoked() {
    let world = signing();
    run(&world);
    let public = std::fs::read_to_string(world.home().join("key.pub")).unwrap();
    let verify = ["history", "verify"];
    let signers = |options: &str| {
        world.file("allowed_signers", &format!("mkr@example.org {options}namespaces=\"svcops\" {public}"));
        world.svcops(&verify)
    };
    signers("valid-before=\"20990101\",").exits(0).says("signed by mkr@example.org");
    signers("valid-after=\"20200101\",").exits(0);
    signers("valid-before=\"20200101\",").exits(2).says("or had it then");
    signers("valid-after=\"20990101\",").exits(2);
    world.file("allowed_signers", &format!("mkr@example.org namespaces=\"git\" {public}"));
    world.svcops(&verify).exits(2).says("is not good");
    signers("").exits(0);
    world.file("revoked", &public);
    world.svcops(&["history", "verify", "--revoked-keys", "revoked"]).exits(2).says("mkr@example.org is revoked");
    world.svcops(&["history", "export", "last", "--to", "run.tar"]).exits(0);
    let bundle = ["history", "verify", "run.tar", "--allowed-signers", "allowed_signers", "--revoked-keys", "revoked"];
    world.svcops(&bundle).exits(2).says("is revoked");
    let settings = std::fs::read_to_string(world.root().join("svcops.yaml")).unwrap();
    world.file("svcops.yaml", &settings.replace("{sign", "{revoked: revoked, sign"));
    world.svcops(&verify).exits(2).says("is revoked");
    world.file("revoked", &key(&world, "other", ""));
    world.svcops(&verify).exits(0);
}

/// A key in hardware that is not there: OpenSSH's own form of its two files.
fn hardware_key(world: &Project) {
    let text = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let kind = text(b"sk-ssh-ed25519@openssh.com");
    let public = [kind.clone(), text(&[7; 32]), text(b"ssh:")].concat();
    let mut private = [&[0, 0, 0, 7, 0, 0, 0, 7], &public[..], &[1], &text(&[9; 64]), &text(b""), &text(b"c")].concat();
    private.extend((1..=u8::MAX).take((8 - private.len() % 8) % 8));
    let none = text(b"none");
    let parts = [&b"openssh-key-v1\0"[..], &none, &none, &text(b""), &[0, 0, 0, 1], &text(&public), &text(&private)];
    let armoured = format!(
        "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n",
        base64(&parts.concat())
    );
    let path = world.home().join("hardware");
    std::fs::write(&path, armoured).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(path.with_extension("pub"), format!("sk-ssh-ed25519@openssh.com {} c\n", base64(&public))).unwrap();
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = three.iter().fold(0_usize, |n, b| n << 8 | usize::from(*b)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = char::from(LETTERS[number >> (18 - 6 * place) & 63]);
            text.push(if place > three.len() { '=' } else { letter });
        }
    }
    text
}

#[test]
fn a_key_in_hardware_is_asked_to_be_touched_and_says_so_if_it_is_not_there() {
    let world = signing();
    hardware_key(&world);
    let settings = std::fs::read_to_string(world.root().join("svcops.yaml")).unwrap();
    let with = |key: &str| world.file("svcops.yaml", &settings.replace("home/key", key));
    with("home/hardware");
    let asked = "touch the hardware key of `";
    world.svcops(&["run", "marks", "--yes", "-q"]).exits(0).says(asked).says("is not plugged in");
    with("home/hardware.pub");
    world.svcops(&["run", "marks", "--yes", "-q"]).exits(0).says(asked).says("is a public key, and there is no");
    let agent = Agent::with(&world, "key");
    let run = |socket: &std::path::Path| {
        let mut command = world.command(&["run", "marks", "--yes", "-q"]);
        crate::support::Ended::of(&[], command.env("SSH_AUTH_SOCK", socket)).exits(0)
    };
    run(&agent.1).says("the ssh-agent does not have `");
    run(&world.home().join("none")).says("there is no ssh-agent at SSH_AUTH_SOCK");
}

#[test]
fn a_whole_run_that_was_taken_out_is_missed_wherever_it_stood() {
    for which in ["oldest", "newest"] {
        let world = world("");
        let runs = [run(&world), run(&world), run(&world)];
        let tickets: String =
            (1..=3).map(|n| world.svcops(&["ticket", "show", &format!("SV-{n}")]).exits(0).stdout).collect();
        world.file("tickets.txt", &tickets);
        let rows = ["ledger", "events", "outbox", "concerns", "tickets", "runs"];
        let gone = if which == "oldest" { &runs[0] } else { &runs[2] };
        let sql: String = rows.iter().map(|table| format!("DELETE FROM {table} WHERE run = '{gone}';")).collect();
        Attacker::of(&world).does(&sql);
        world.svcops(&["history", "verify", "--against", "tickets.txt"]).exits(2);
        if which == "oldest" {
            world.svcops(&["history", "verify"]).exits(2).says("does not follow the entry before it");
        }
    }
}

#[test]
fn what_stands_beside_the_chain_is_held_against_the_events() {
    let world = world("");
    let (older, newest) = (run(&world), run(&world));
    let state = world.state().join("journal.db");
    let whole = std::fs::read(&state).unwrap();
    let verify = || world.svcops(&["history", "verify"]);
    verify().exits(0).says("3 contents").says("no check covers it");
    let another = format!("run = '{newest}'");
    for (sql, found) in [
        (
            "UPDATE contents SET bytes = CAST(replace(CAST(bytes AS TEXT), 'Отметка 1', 'Отметка 7') AS BLOB)",
            "the runbook of run RUN is missing or was changed",
        ),
        ("DELETE FROM contents", "the inventory of run RUN is missing or was changed"),
        (
            "UPDATE contents SET bytes = x'7b7d' WHERE hash = (SELECT json ->> '$.shown' FROM events WHERE kind = 'started'
             ORDER BY run DESC LIMIT 1)",
            "the shown plan of run RUN is missing or was changed",
        ),
        ("DELETE FROM concerns", "the hosts and apps that run RUN is found by"),
        ("UPDATE concerns SET name = 'there'", "the hosts and apps that run RUN is found by"),
        (
            &format!("INSERT INTO concerns VALUES ('app', 'billing', '{newest}')"),
            "the hosts and apps that run RUN is found by",
        ),
        (
            &format!("INSERT INTO payments VALUES ('{older}', 'x', '{newest}')"),
            "the list of paid debts says something else of run RUN",
        ),
        (&format!("UPDATE runs SET locked = 1 WHERE {another}"), "the list of runs says something else of run RUN"),
        (&format!("UPDATE runs SET owed = 1 WHERE {another}"), "the list of runs says something else of run RUN"),
    ] {
        Attacker::of(&world).does(sql);
        let text = verify().exits(2).stdout.replace(&newest, "RUN");
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(found), "{sql}: {text}");
        std::fs::write(&state, &whole).unwrap();
        verify().exits(0);
    }
}

#[test]
fn a_debt_that_a_later_run_paid_or_a_person_settled_is_no_fault_and_one_that_was_hidden_is() {
    let world = world("");
    let fails = |code: &str| {
        let runbook = format!(
            "svcops: 1\nname: owes\ntargets: here\nsteps:\n  - name: Начало\n    command: {{run: 'true'}}\n    undo: [{{command: 'exit {code}'}}]\n  \
             - name: Беда\n    command: {{run: 'exit {code}'}}\n"
        );
        world.file("runbooks/owes.yaml", &runbook);
        world.svcops(&["run", "owes", "--yes", "-q"])
    };
    fails("1").exits(3);
    let owing = world.newest();
    assert!(owing["owed"].as_u64().unwrap() > 0, "{owing}");
    world.svcops(&["history", "verify"]).exits(0);
    let whole = std::fs::read(world.state().join("journal.db")).unwrap();
    Attacker::of(&world).does("UPDATE runs SET owed = 0");
    world.svcops(&["history", "verify"]).exits(2).says("the list of runs says something else of run");
    std::fs::write(world.state().join("journal.db"), whole).unwrap();
    fails("0").exits(0);
    world.svcops(&["history", "verify"]).exits(0);
    let run = owing["run"].as_str().unwrap();
    world.svcops(&["rollback", run, "--yes"]);
    world.svcops(&["history", "verify"]).exits(0);
}

#[test]
fn a_journal_that_is_not_there_is_not_made_and_an_empty_one_proves_nothing() {
    let world = world("");
    let files = || {
        let found = Command::new("find").arg(world.home()).arg(world.root()).output().unwrap();
        String::from_utf8(found.stdout).unwrap()
    };
    let before = files();
    world.svcops(&["history", "verify", "--state", "nowhere"]).exits(3).says("there is no journal in `nowhere`");
    world.svcops(&["history", "verify"]).exits(3).says("there is no journal in `");
    world.svcops(&["history", "verify", "-o", "json"]).exits(3);
    assert_eq!(files(), before);
    run(&world);
    let anchor = world.svcops(&["history", "verify", "-o", "json"]).exits(0).json()["anchor"].clone();
    let tables = ["ledger", "events", "outbox", "concerns", "tickets", "seals", "contents", "runs"];
    Attacker::of(&world).does(&tables.map(|table| format!("DELETE FROM {table};")).concat());
    world.svcops(&["history", "verify"]).exits(1).says("there is nothing to prove").says("the journal is empty");
    assert_eq!(world.svcops(&["history", "verify", "-o", "json"]).exits(1).json()["outcome"], "warning");
    world
        .svcops(&["history", "verify", "--against", anchor.as_str().unwrap()])
        .exits(2)
        .says("entry 2 of the ledger is missing");
}
