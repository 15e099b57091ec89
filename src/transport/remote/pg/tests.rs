//! What hosts say of clusters, well meant and not.

use super::*;
use crate::base::{HostName, Place};

fn spot() -> PgSpot {
    PgSpot {
        database: "crm-db".into(),
        unit: "postgresql@15-main.service".into(),
        data: "/var/lib/postgresql/15/main".into(),
        config: Some("/etc/postgresql/15/main".into()),
        bin: "/usr/lib/postgresql/15/bin".into(),
        port: 5432,
        user: "postgres".into(),
    }
}

fn ask(depth: PgDepth) -> PgAsk {
    PgAsk { spot: spot(), depth, peer: None }
}

const CONTROL: &str = "pg_control version number:            1300
Database system identifier:           7711454889576367034
Database cluster state:               shut down
Latest checkpoint location:           0/800060
Latest checkpoint's TimeLineID:       1
Minimum recovery ending location:     0/0
Bytes per WAL segment:                1048576
";

#[test]
fn a_cluster_that_ended_is_read_from_its_files() {
    let tail = "last rmgr: XLOG        len (rec/tot):    114/   114, tx:          0, lsn: 0/00800060, prev 0/00800028, desc: \
                CHECKPOINT_SHUTDOWN redo 0/800060; tli 1\ncommit rmgr: Transaction len (rec/tot):     34/    34, tx:        \
                735, lsn: 0/00800028, prev 0/007FFFF0, desc: COMMIT 2026-11-23 20:22:58.687123 UTC\n";
    let text = format!(
        "sudo: unable to resolve host dc1-db1\n@version 15\n@running 0\n@masked\n@fence\n@control 0\n{CONTROL}@free\n\
         Filesystem     1024-blocks  Used Available Capacity Mounted on\n/dev/my disk 100 40 50 45% /a b\n@history\n\
         1\t0/8000D8\tno recovery target specified\n\n@tail\n{tail}@passfile\n@settings\nwork_mem = '5MB'\n\
         primary_conninfo = 'host=nowhere'\nPrimary_Conninfo = 'host=''10.77.0.23'' port=5433 user=r passfile=''/a \\\\''b'' \
         application_name=''x'''\nprimary_slot_name='dc1_db1'\n"
    );
    let facts = facts(&ask(PgDepth::Whole), &text).unwrap();
    assert_eq!(
        (facts.version, facts.running, facts.masked, facts.boot_fence, facts.standby),
        (15, false, true, true, false)
    );
    assert_eq!(facts.ended_at(), Some(Lsn(0x80_0060)));
    assert_eq!((facts.free, facts.passfile), (Some(50 * 1024), true));
    assert_eq!(facts.history, [PgBranch { timeline: 1, left: Lsn(0x80_00D8) }]);
    let tail = facts.tail.unwrap();
    assert_eq!((tail.end, tail.last.unwrap().to_string().as_str()), (Lsn(0x80_00D8), "2026-11-23T20:22:58.687123Z"));
    let upstream = facts.upstream.unwrap();
    assert_eq!((upstream.host.as_str(), upstream.port, upstream.user.as_str()), ("10.77.0.23", 5433, "r"));
    assert_eq!((upstream.passfile.as_deref(), upstream.slot.as_deref()), (Some("/a 'b"), Some("dc1_db1")));
}

#[test]
fn a_standby_that_runs_is_read_from_its_own_words() {
    let row = r#"{"recovery" : true, "written" : null, "received" : "0/800060", "replayed" : "0/800000", "delay" : 1234.5678, "last" : 1795463006123456, "paused" : true, "streams_from" : "10.77.0.13", "standbys" : null, "slots" : [{"name" : "a", "active" : false}], "conninfo" : "user=r password='a b'  host = 10.77.0.13", "slot" : null}"#;
    let text = format!(
        "@version 15\n@running 1\n@standby\n@control 0\n{}@sql 0\nWARNING:  something\n{row}\n@peer 0\n",
        CONTROL.replace("shut down", "in archive recovery")
    );
    let seen = facts(&ask(PgDepth::Whole), &text).unwrap();
    assert!(seen.is_standby() && seen.peer == Some(PgPeer::Accepts), "{seen:?}");
    let sql = seen.sql.as_ref().unwrap();
    assert_eq!((sql.received, sql.replayed, sql.paused), (Some(Lsn(0x80_0060)), Some(Lsn(0x80_0000)), true));
    assert_eq!(sql.delay.unwrap().0.as_millis(), 1235);
    assert_eq!(sql.last.unwrap().as_microsecond(), 1_795_463_006_123_456);
    assert_eq!(seen.upstream.as_ref().unwrap().host, "10.77.0.13");
    assert!(!format!("{seen:?}").contains("a b"), "a password stays where it is: {seen:?}");
    // one that does not answer says why
    let silent = "psql: error: connection to server on socket \"/run/postgresql/.s.PGSQL.5432\" failed: FATAL:  the database \
                  system is starting up";
    let text = format!("@version 15\n@running 1\n@control 0\n{CONTROL}@sql 2\n{silent}\n");
    let seen = facts(&ask(PgDepth::Log), &text).unwrap();
    assert_eq!((seen.sql.is_none(), seen.silent.as_deref()), (true, Some("the database system is starting up")));
}

#[test]
fn what_no_cluster_says_is_told_and_breaks_nothing() {
    let wrong = |text: &str| facts(&ask(PgDepth::Whole), text).unwrap_err();
    assert_eq!(wrong("sudo: a password is required\n"), "sudo: a password is required");
    assert_eq!(wrong("@bad `/x` cannot be read: permission denied"), "`/x` cannot be read: permission denied");
    assert_eq!(
        wrong("@control 1\npg_controldata: error: could not open file\n"),
        "its control file does not read: could not open file"
    );
    let bad = |from: &str, to: &str| wrong(&format!("@control 0\n{}", CONTROL.replace(from, to)));
    assert_eq!(bad("shut down", "on holiday"), "its control file says `on holiday`");
    assert!(bad("0/800060", "8/GG").contains("no position"));
    assert!(bad("7711454889576367034", "\u{1b}[2J").contains("is no system identifier"));
    assert!(bad("TimeLineID:       1", "TimeLineID:       -1").contains("is no timeline"));
    assert!(wrong("@history\nrm -rf /\n").contains("rm -rf"));
    assert!(wrong("@peer 127\n").contains("exit code 127"));
    assert_eq!(facts(&ask(PgDepth::Whole), ""), Ok(PgFacts::default()));
    for row in ["", "x", "{", "{\"recovery\": 1}", "{\"recovery\": true, \"received\": \"0/0/0\"}"] {
        let seen = facts(&ask(PgDepth::Log), &format!("@running 1\n@control 0\n{CONTROL}@sql 0\n{row}\n")).unwrap();
        assert!(seen.sql.is_none() && seen.silent.is_some(), "{row}");
    }
    let row = "{\"recovery\": true, \"delay\": 1e300, \"last\": 9223372036854775807}";
    let said = said(row).unwrap().sql;
    assert_eq!((said.delay, said.last), (None, None));
    for (conninfo, good) in
        [("host=a", true), ("host='a", false), ("host", false), ("a b=c", false), ("host=a\\", true), ("=", false)]
    {
        assert_eq!(keywords(conninfo).is_some(), good, "{conninfo}");
    }
    assert_eq!(free("/dev/x 1 2 18446744073709551615 4% /\n"), None);
    assert_eq!((lsn_of("lsn: "), length_of("len (rec/tot): 1"), time_of("COMMIT x-y")), (None, None, None));
}

#[test]
fn a_record_ends_behind_the_headers_of_the_pages_it_goes_over() {
    let end = |at: u64, length: u64| past(Lsn(at), length, 1 << 20).unwrap().0;
    assert_eq!(end(0x80_0060, 114), 0x80_00D8);
    assert_eq!(end(8192 - 32, 32), 8192);
    assert_eq!(end(8192 - 32, 40), 8192 + 24 + 8);
    assert_eq!(end((1 << 20) - 32, 40), (1 << 20) + 40 + 8);
    assert_eq!(end(8192 - 8, 8192 + 8), 8192 * 2 + 24 + 24);
    assert_eq!((past(Lsn(u64::MAX - 8), 100, 0), past(Lsn(0), u64::MAX, 0)), (None, None));
}

#[test]
fn settings_are_quoted_for_libpq() {
    let upstream = PgUpstream {
        host: "10.77.0.23".into(),
        port: 5432,
        user: "o'brien\\".into(),
        passfile: Some("/a b/c".into()),
        slot: Some("dc1_db1".into()),
    };
    assert_eq!(
        conninfo(&upstream).unwrap(),
        r"host='10.77.0.23' port=5432 user='o\'brien\\' passfile='/a b/c' application_name='dc1_db1'"
    );
    let none = PgUpstream { passfile: None, slot: None, ..upstream.clone() };
    let [_, (_, text), (_, ours)] = streaming(&none).unwrap();
    assert!(!text.contains("passfile") && !ours.contains("pass"), "{text} {ours}");
    for wrong in [
        PgUpstream { host: "a,b".into(), ..none.clone() },
        PgUpstream { host: String::new(), ..none.clone() },
        PgUpstream { user: "a\nb".into(), ..none.clone() },
    ] {
        assert!(streaming(&wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_place_that_is_none_is_neither_looked_at_nor_changed() {
    let at = Place::on(&HostName::new("dc1-db1"));
    for wrong in [
        PgSpot { unit: "../x".into(), ..spot() },
        PgSpot { unit: "--now".into(), ..spot() },
        PgSpot { data: "relative".into(), ..spot() },
        PgSpot { database: "a/b".into(), ..spot() },
        PgSpot { user: "a\nb".into(), ..spot() },
    ] {
        assert!(ready(&wrong, &PgChange::Stop, None).is_err(), "{wrong:?}");
        let read = at.at(Read::Postgres(PgAsk { spot: wrong, depth: PgDepth::Log, peer: None }));
        assert_eq!(script(0, &read), None);
    }
    let peer = Some(("a b'c".to_owned(), 5432));
    let read = at.at(Read::Postgres(PgAsk { peer, ..ask(PgDepth::Log) }));
    assert!(script(0, &read).unwrap().ends_with("log /var/lib/postgresql/15/.svcops-crm-db.pgpass 'a b'\\''c' 5432\n"));
}

#[test]
fn what_lies_in_a_folder_that_is_shut_is_not_taken_for_absent() {
    use std::{os::unix::fs::PermissionsExt as _, process::Command};
    if !rustix::process::getuid().is_root() {
        eprintln!("skipped: it needs root, who becomes nobody");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let open = |path: &str, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    std::fs::create_dir_all(at("shut/main")).unwrap();
    open(&at(""), 0o755);
    open(&at("shut"), 0o700);
    let look = |data: &str| {
        let script = format!("P_data={data} P_depth=files P_peer=\n{SHARED}\n{LOOK}\np_look\n");
        let nobody = ["--reuid=nobody", "--regid=nogroup", "--clear-groups", "sh", "-c", &script];
        let said = Command::new("setpriv").args(nobody).current_dir("/").output().unwrap();
        (said.status.code(), String::from_utf8(said.stdout).unwrap())
    };
    let shut = format!("@bad `{}` cannot be read: permission denied\n", at("shut/main"));
    assert_eq!(look(&at("shut/main")), (Some(3), shut));
    assert_eq!(look(&at("nowhere/main")), (Some(3), String::new()));
    assert_eq!(look("/"), (Some(3), String::new()));
}
