//! The audit stream: what the machine's log is told, that nothing of it is lost, and what is found with it.

use crate::{
    evidence::{Attacker, run, world},
    support::Project,
};
use std::{os::unix::net::UnixDatagram, time::Duration};

/// A project that has the log of its home folder told.
fn audited() -> Project {
    let world = world("");
    let settings = format!(
        "project: marks\naudit: {{syslog: {}}}\nhosts:\n  here: {{local: true}}\n",
        world.home().join("log").display()
    );
    world.file("svcops.yaml", &settings);
    world
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
    let world = audited();
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
    let world = audited();
    world.svcops(&["run", "marks", "--yes", "-q"]).exits(0).says("the machine's log is not told of");
    // one that takes nothing out of its socket
    let _full = syslog(&world);
    for _ in 0..4 {
        world.svcops(&["run", "marks", "--yes", "-q"]).exits(0);
    }
}

/// The marks `RUN/SEQ` of lines.
fn marks(lines: &[String]) -> Vec<String> {
    let mark = |line: &String| Some(line.split_once("event=\"")?.1.split_once(':')?.0.to_owned());
    lines.iter().filter_map(mark).collect()
}

#[test]
fn what_a_killed_run_did_not_tell_the_log_is_told_by_the_next_run_whatever_that_is() {
    let world = audited();
    world.file(
        "runbooks/long.yaml",
        "svcops: 1\nname: long\ntargets: here\nsteps:\n  - {name: Долго, command: {run: sleep 100}, undo: [{command: 'true'}]}\n",
    );
    // nobody listens, so that no line gets out before the kill
    let mut running = world.stream(&["run", "long", "--yes"]);
    let announced = running.until(|event| crate::support::is(event, "announced")).unwrap();
    running.kill();
    let killed = world.newest()["run"].as_str().unwrap().to_owned();
    let socket = syslog(&world);
    // it is refused, and tells the log all the same
    world.svcops(&["run", "marks", "--yes", "-q"]).exits(75);
    let next = world.newest()["run"].as_str().unwrap().to_owned();
    let told = lines(&socket);
    let seen = marks(&told);
    assert!(
        seen.contains(&format!("{killed}/1")) && seen.contains(&format!("{killed}/{}", announced["seq"])),
        "{told:?}"
    );
    assert!(seen.contains(&format!("{next}/1")), "{told:?}");
    // each once, and the journal is what they say
    assert_eq!(seen.len(), seen.iter().collect::<std::collections::BTreeSet<_>>().len(), "{seen:?}");
    world.file("log.txt", &told.join("\n"));
    world.svcops(&["history", "verify", "--against", "log.txt"]).exits(0);
    // what then becomes of it is told as well
    world.svcops(&["rollback", &killed, "--yes", "-q"]).exits(0);
    let told = lines(&socket);
    assert!(told.iter().any(|line| line.contains(&killed) && line.contains("ends: ")), "{told:?}");
}

#[test]
fn the_log_alone_finds_each_change_though_all_hashes_were_made_again() {
    let swap = "UPDATE events SET seq = 1000 WHERE seq = 5; UPDATE events SET seq = 5 WHERE seq = 6;
                UPDATE events SET seq = 6 WHERE seq = 1000;";
    for (what, sql) in [
        (
            "an edit of an event that is told",
            "UPDATE events SET json = replace(json, '1@here', '3@here') WHERE kind = 'announced'",
        ),
        ("an edit of one that is not", "UPDATE events SET json = replace(json, 'here', 'hare') WHERE kind = 'locked'"),
        (
            "a deletion",
            "DELETE FROM events WHERE seq = 5; UPDATE events SET seq = seq - 1 WHERE seq > 5; UPDATE ledger SET head = head - 1 WHERE head > 5",
        ),
        ("another order", swap),
    ] {
        let world = audited();
        let socket = syslog(&world);
        run(&world);
        // only the lines that are no anchors: what is left of a log when the rest of it was lost
        let kept: Vec<String> = lines(&socket).into_iter().filter(|line| !line.contains("anchor=")).collect();
        assert!(kept.len() >= 4, "{kept:?}");
        world.file("log.txt", &kept.join("\n"));
        let verify = ["history", "verify", "--against", "log.txt"];
        world.svcops(&verify).exits(0).says("held   against 4 anchors known outside");
        Attacker::of(&world).does(sql).covers_up();
        let text = world.svcops(&verify).exits(2).stdout;
        assert!(text.contains("known outside"), "{what}: {text}");
    }
}

#[test]
fn a_check_that_fails_and_what_is_pruned_are_told() {
    let world = audited();
    let socket = syslog(&world);
    let first = run(&world);
    drop(lines(&socket));
    let now = jiff::Timestamp::now().to_string();
    let before = ["history", "prune", "--before", &now];
    world.svcops(&[&before[..], &["--dry-run"]].concat()).exits(0);
    assert_eq!(lines(&socket), [""; 0]);
    world.svcops(&[&before[..], &["--yes", "--reason", "место"]].concat()).exits(0);
    let told = lines(&socket).join("\n");
    assert!(told.contains(&format!("pruned: 1 run ({first}) taken out of the journal by ")), "{told}");
    assert!(told.contains("reason: место") && told.contains("anchor=\""), "{told}");
    world.file("log.txt", &told);
    world.svcops(&["history", "verify", "--against", "log.txt"]).exits(0);
    assert_eq!(lines(&socket), [""; 0]);
    Attacker::of(&world).does("DELETE FROM events");
    world.svcops(&["history", "verify"]).exits(2);
    let told = lines(&socket).join("\n");
    assert!(told.starts_with("<84>") && told.contains("history verify by "), "{told}");
    assert!(told.contains("the journal is not what was written: ") && !told.contains("anchor=\""), "{told}");
}

#[test]
fn a_log_comes_in_every_form_that_journalctl_gives_and_by_a_pipe() {
    let world = audited();
    let socket = syslog(&world);
    run(&world);
    let told: Vec<String> = lines(&socket).iter().map(|line| line.split_once("]: ").unwrap().1.to_owned()).collect();
    let fields = |text: &String| serde_json::json!({"MESSAGE": text, "_PID": "7", "SYSLOG_IDENTIFIER": "svcops"});
    let each = |form: &dyn Fn(&String) -> String| told.iter().map(form).collect::<String>();
    let bytes = |text: &String| serde_json::json!({"MESSAGE": text.as_bytes(), "_PID": "7"}).to_string() + "\n";
    for (form, text) in [
        ("short", each(&|text| format!("Nov 23 13:00:00 ops-1 svcops[7]: {text}\n"))),
        ("short-iso", each(&|text| format!("2026-11-23T13:00:00+0000 ops-1 svcops[7]: {text}\n"))),
        ("cat", each(&|text| format!("{text}\n"))),
        ("json", each(&|text| format!("{}\n", fields(text)))),
        ("json, as bytes", each(&bytes)),
        ("json-pretty", each(&|text| format!("{:#}\n", fields(text)))),
        ("json-seq", each(&|text| format!("\u{1e}{}\n", fields(text)))),
        ("export", each(&|text| format!("__CURSOR=x\nMESSAGE={text}\n_PID=7\n\n"))),
        ("verbose", each(&|text| format!("Mon 2026-11-23 [s=1]\n    MESSAGE={text}\n    _PID=7\n"))),
    ] {
        let read = |text: &str| {
            world.file("log.txt", text);
            let mut command = world.command(&["history", "verify", "--against", "-"]);
            command.stdin(std::fs::File::open(world.root().join("log.txt")).unwrap());
            crate::support::Ended::of(&["history", "verify", form], &mut command)
        };
        read(&text).exits(0).says("held   against 8 anchors known outside");
        // of another journal, it says nothing of this one
        let other = text.replace("store=\"", "store=\"other-").replace("store=\\\"", "store=\\\"other-");
        if other != text {
            read(&other).exits(3);
        }
    }
    // a bundle does not know what its journal is called: its events are found all the same
    world.svcops(&["history", "export", "last", "--to", "run.tar"]).exits(0);
    world.file("log.txt", &each(&|text| format!("Nov 23 13:00:00 ops-1 svcops[7]: {text}\n")));
    world.svcops(&["history", "verify", "run.tar", "--against", "log.txt"]).exits(0).says("held against 6");
}
