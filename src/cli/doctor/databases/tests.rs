use super::*;
use crate::{
    base::{PgReplicator, RunFacts},
    survey::service::tests::{crm, primary, standby},
};

/// The CRM of the survey's tests, with a password of replication.
fn inventory() -> Inventory {
    let mut inventory = crm();
    inventory.databases.get_mut("crm-db").unwrap().replication.password = Some("replication".into());
    inventory
}

/// What a host answers that has all that is needed.
struct World {
    facts: Result<PgFacts, String>,
    programs: String,
    fence: [File; 2],
    passfile: File,
}

impl World {
    fn well(ask: &Ask<'_>) -> Self {
        let facts = if ask.host.name.as_str() == "dc1-db1" { primary() } else { standby() };
        let roles = [("postgres", true), ("replicator", true)]
            .map(|(name, rewinds)| PgReplicator { name: name.into(), rewinds });
        let sql = PgSql { replicators: roles.to_vec(), hints: Some(true), ..facts.sql.clone().unwrap() };
        let file = |hash: &Hash, mode, owner: &str| {
            Ok(Some(FileFacts {
                hash: hash.clone(),
                size: 1,
                mode,
                owner: owner.into(),
                group: owner.into(),
                link: None,
            }))
        };
        let [fence, drop_in] = &ask.services[0].1;
        Self {
            facts: Ok(PgFacts { sql: Some(sql), passfile: true, ..facts }),
            programs: format!("drop-ins {}\n", ask.fence[1]),
            fence: [file(fence, 0o755, "root"), file(drop_in, 0o644, "root")],
            passfile: file(&Hash::of(b"secret"), 0o600, "postgres"),
        }
    }
    fn facts(&mut self) -> &mut PgFacts {
        self.facts.as_mut().unwrap()
    }
    fn sql(&mut self) -> &mut PgSql {
        self.facts().sql.as_mut().unwrap()
    }
    fn answers(self) -> Vec<Answer> {
        let file = |file: File| file.map_or_else(Answer::Bad, Answer::File);
        let [fence, drop_in] = self.fence;
        let run = RunFacts { code: Some(0), stdout: self.programs, stderr: String::new() };
        vec![
            self.facts.map_or_else(Answer::Bad, |facts| Answer::Postgres(Box::new(facts))),
            Answer::Run(run),
            file(fence),
            file(drop_in),
            file(self.passfile),
        ]
    }
}

/// The findings, where `dc1-db1` is as `change` says and all else is well.
fn said(inventory: &Inventory, change: impl Fn(&mut World)) -> String {
    let database = &inventory.databases["crm-db"];
    let one = |host: &'static str| {
        let ask = Ask::of(inventory, database, inventory.host(host).unwrap());
        let mut world = World::well(&ask);
        if host == "dc1-db1" {
            change(&mut world);
        }
        (ask, Seen::of(world.answers()))
    };
    told(&findings(&[one("dc1-db1"), one("dc2-db1")]))
}

fn told(findings: &[Finding]) -> String {
    super::super::report(findings, &crate::ui::screen::Screen::plain(100), crate::cli::args::Output::Table).0
}

#[test]
fn hosts_that_have_all_say_so_and_what_for() {
    insta::assert_snapshot!(said(&inventory(), |_| {}), @r"
    ok        dc1-db1: `crm-db` is a primary, and has what a switch of `crm` needs, also a forced one
    ok        dc2-db1: `crm-db` is a standby, and has what a switch of `crm` needs, also a forced one
    ");
}

#[test]
fn a_service_without_its_boot_fence_is_not_ready_to_be_forced() {
    let inventory = inventory();
    insta::assert_snapshot!(said(&inventory, |world| world.fence[1] = Ok(None)), @r"
    WARNING   dc1-db1: `crm` is not ready for --forced: no boot fence before `crm-db`
              → `svcops failover prepare crm` puts it there
    ok        dc2-db1: `crm-db` is a standby, and has what a switch of `crm` needs, also a forced one
    ");
    let edited = |file: &mut File| file.as_mut().unwrap().as_mut().unwrap().hash = Hash::of(b"edited");
    insta::assert_snapshot!(said(&inventory, |world| edited(&mut world.fence[0])), @r"
    WARNING   dc1-db1: `crm` is not ready for --forced: its boot fence is not what svcops.yaml and this
              svcops make of it: /usr/local/lib/svcops/boot-fence-crm-db differs
              → `svcops failover prepare crm` puts it there
    ok        dc2-db1: `crm-db` is a standby, and has what a switch of `crm` needs, also a forced one
    ");
    assert!(said(&inventory, |world| edited(&mut world.fence[1])).contains("svcops-boot-fence.conf"));
    insta::assert_snapshot!(said(&inventory, |world| world.programs = "drop-ins /etc/x.conf\n".into()), @r"
    WARNING   dc1-db1: `crm` is not ready for --forced: systemd has not read
              `postgresql@15-main.service` again since its boot fence came
              → `systemctl daemon-reload` as root there
    ok        dc2-db1: `crm-db` is a standby, and has what a switch of `crm` needs, also a forced one
    ");
    // the fence is current, and is asked itself
    let asked = |code, stdout: &str, stderr: &str| {
        let database = &inventory.databases["crm-db"];
        let ask = Ask::of(&inventory, database, inventory.host("dc1-db1").unwrap());
        let mut seen = Seen::of(World::well(&ask).answers());
        assert!(is_current(&ask, &seen));
        seen.asked = Some(Answer::Run(RunFacts { code, stdout: stdout.into(), stderr: stderr.into() }));
        told(&findings(&[(ask, seen)]))
    };
    let silent = "`dc2-db1` (10.77.0.23:5432) does not answer\n";
    insta::assert_snapshot!(asked(Some(1), silent, ""), @r"
    WARNING   dc1-db1: `crm-db` could not start as a primary now: its boot fence asked the others, and
              `dc2-db1` (10.77.0.23:5432) does not answer
              → `svcops failover status crm` shows the others, `replication:` in svcops.yaml as whom it
                asks
    ");
    let flat = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat(asked(Some(1), "", "boot fence: no\n")).contains("others, and no →"));
    assert!(flat(asked(None, "", "")).contains("and it gave no answer in time →"));
    assert!(asked(Some(0), "`dc2-db1` is a standby\n", "").starts_with("ok "));
    // a masked unit has no drop-ins, and systemd may not be asked at all
    let masked = said(&inventory, |world| {
        world.programs = "drop-ins \n".into();
        world.facts().masked = true;
    });
    assert_eq!(
        (masked, said(&inventory, |world| world.programs = String::new())),
        (said(&inventory, |_| {}), said(&inventory, |_| {}))
    );
    insta::assert_snapshot!(said(&inventory, |world| world.fence[0] = Err("permission denied".into())), @r"
    UNKNOWN   dc1-db1: `crm-db` has a boot fence, or not: it could not be read: permission denied
    ok        dc2-db1: `crm-db` is a standby, and has what a switch of `crm` needs, also a forced one
    ");
}

#[test]
fn what_a_switch_or_a_rejoin_would_fail_by_is_named_with_what_to_do() {
    let inventory = inventory();
    insta::assert_snapshot!(said(&inventory, |world| {
        world.programs += "missing pg_rewind\nmissing setpriv\n";
        world.passfile = Ok(None);
        world.sql().replicators.pop();
        world.sql().hints = Some(false);
    }), @r#"
    CRITICAL  dc1-db1: `crm-db` needs `pg_rewind`, `setpriv`: not found there, neither in
              /usr/lib/postgresql/15/bin nor in the PATH
              → `bin:` of database `crm-db` in svcops.yaml names the folder of PostgreSQL's programs
    CRITICAL  dc1-db1: `crm-db` lacks /var/lib/postgresql/15/.svcops-crm-db.pgpass, the password of
              replication: it could follow nobody
              → `svcops failover prepare crm` puts it there
    CRITICAL  dc1-db1: `crm-db` has no role `replicator` with LOGIN and REPLICATION: nobody can stream
              from it as that
              → `CREATE ROLE "replicator" LOGIN REPLICATION`, or `user:` below `replication:` in
                svcops.yaml
    WARNING   dc1-db1: `crm-db` has neither wal_log_hints nor data checksums: pg_rewind would refuse it,
              and an old primary whose log went on could only be made anew
              → `wal_log_hints = on` in its postgresql.conf, and a restart
    ok        dc2-db1: `crm-db` is a standby, and has what a switch of `crm` needs, also a forced one
    "#);
    insta::assert_snapshot!(said(&inventory, |world| {
        world.passfile.as_mut().unwrap().as_mut().unwrap().mode = 0o644;
        world.sql().replicators[1].rewinds = false;
    }), @r#"
    CRITICAL  dc1-db1: `crm-db` could follow nobody: libpq passes
              /var/lib/postgresql/15/.svcops-crm-db.pgpass over, for its mode is 0644 and not 0600
              → `svcops failover prepare crm` puts it there
    WARNING   dc1-db1: `crm-db` does not let `replicator` run pg_rewind: an old primary whose log went
              on could not rejoin
              → in its database `postgres`: GRANT EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean),
                pg_stat_file(text, boolean), pg_read_binary_file(text), pg_read_binary_file(text,
                bigint, bigint, boolean) TO "replicator"
    ok        dc2-db1: `crm-db` is a standby, and has what a switch of `crm` needs, also a forced one
    "#);
    let foreign = said(&inventory, |world| world.passfile.as_mut().unwrap().as_mut().unwrap().owner = "root".into());
    assert!(foreign.contains("`root`'s"), "{foreign}");
    // what may not be read is known to be there, or is not
    let dark = |there: bool| {
        said(&inventory, move |world| {
            world.passfile = Err("permission denied".into());
            world.facts().passfile = there;
        })
    };
    assert_eq!(dark(true), said(&inventory, |_| {}));
    assert!(dark(false).contains("UNKNOWN") && dark(false).contains("permission denied"), "{}", dark(false));
}

#[test]
fn a_cluster_that_is_not_there_or_does_not_answer_is_told() {
    let inventory = inventory();
    insta::assert_snapshot!(said(&inventory, |world| *world.facts() = PgFacts { boot_fence: true, ..PgFacts::default() }), @r"
    CRITICAL  dc1-db1: `crm-db` is not there: no cluster lies in /var/lib/postgresql/15/main
              → `postgres:` of database `crm-db` in svcops.yaml says where it lies, and `ssh:` as whom
                it is looked at
    ok        dc2-db1: `crm-db` is a standby, and has what a switch of `crm` needs, also a forced one
    ");
    insta::assert_snapshot!(said(&inventory, |world| {
        world.facts().sql = None;
        world.facts().silent = Some("Peer authentication failed for user \"postgres\"".into());
    }), @r#"
    UNKNOWN   dc1-db1: `crm-db` runs and does not answer: Peer authentication failed for user "postgres"
              → svcops asks as `postgres` over the Unix socket: `psql -p 5432` there shows the same
    ok        dc2-db1: `crm-db` is a standby, and has what a switch of `crm` needs, also a forced one
    "#);
    insta::assert_snapshot!(said(&inventory, |world| world.facts().running = false), @r"
    WARNING   dc1-db1: `crm-db` does not run, and did not end cleanly: what its server would say was not
              seen
              → where the other site serves, `svcops failover rejoin crm` makes it a standby; `svcops
                failover status crm` tells
    ok        dc2-db1: `crm-db` is a standby, and has what a switch of `crm` needs, also a forced one
    ");
    insta::assert_snapshot!(said(&inventory, |world| world.facts = Err("sudo: a password is required".into())), @r"
    CRITICAL  dc1-db1: `crm-db` was not seen: sudo: a password is required
              → `postgres:` of database `crm-db` in svcops.yaml says where it lies, and `ssh:` as whom
                it is looked at
    ok        dc2-db1: `crm-db` is a standby, and has what a switch of `crm` needs, also a forced one
    ");
}

#[test]
fn the_rights_of_a_role_are_told_once_and_also_by_a_standby() {
    let inventory = inventory();
    let database = &inventory.databases["crm-db"];
    let seen = |host: &'static str| {
        let ask = Ask::of(&inventory, database, inventory.host(host).unwrap());
        let mut world = World::well(&ask);
        world.sql().replicators.pop();
        (ask, Seen::of(world.answers()))
    };
    let both = told(&findings(&[seen("dc2-db1"), seen("dc1-db1")]));
    assert_eq!(both.matches("CREATE ROLE").count(), 1, "{both}");
    assert!(both.contains("CRITICAL  dc1-db1: `crm-db` has no role"), "{both}");
    assert!(told(&findings(&[seen("dc2-db1")])).contains("CRITICAL  dc2-db1: `crm-db` has no role"));
}

#[test]
fn what_patroni_manages_is_asked_for_no_fence_and_no_password() {
    let mut inventory = inventory();
    let database = inventory.databases.get_mut("crm-db").unwrap();
    database.patroni =
        Some(crate::inventory::Patroni { url: "http://x:8008".into(), user: None, password: None, ca: None });
    let database = &inventory.databases["crm-db"];
    let ask = Ask::of(&inventory, database, inventory.host("dc1-db1").unwrap());
    let nothing =
        [Answer::Postgres(Box::new(primary())), Answer::Run(RunFacts { code: Some(0), ..RunFacts::default() })];
    let answers = nothing.into_iter().chain([Answer::File(None), Answer::File(None), Answer::File(None)]);
    let seen = Seen::of(answers.collect());
    insta::assert_snapshot!(told(&findings(&[(ask, seen)])), @r"ok        dc1-db1: `crm-db` is a primary, managed by Patroni");
}

#[tokio::test]
async fn a_host_that_is_out_of_reach_keeps_nobody_from_seeing_the_others() {
    use crate::transport::{Links, Simulated};
    let inventory = inventory();
    let world = Simulated::new(Links::of(&inventory));
    let hosts: Vec<&Host> = inventory.hosts.iter().filter(|host| host.name.as_str().ends_with("db1")).collect();
    let database = &inventory.databases["crm-db"];
    let ask = Ask::of(&inventory, database, hosts[1]);
    let answers = World::well(&ask).answers();
    for (read, answer) in ask.reads().iter().zip(&answers) {
        world.learn(read, answer);
    }
    let found = databases(&world, &inventory, &hosts, 4).await;
    let levels: Vec<(&str, Level)> = found.iter().map(|one| (one.what.as_str(), one.level)).collect();
    assert_eq!(levels, [("dc1-db1", Level::Unknown), ("dc2-db1", Level::Ok)], "{found:?}");
    assert_eq!(databases(&world, &inventory, &hosts[..0], 4).await, []);
}

/// The programs are sought by a real shell.
#[test]
fn programs_that_are_not_there_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut inventory = inventory();
    let database = inventory.databases.get_mut("crm-db").unwrap();
    database.spot.bin = folder.path().join("it's a bin").display().to_string();
    std::fs::create_dir(&database.spot.bin).unwrap();
    let psql = format!("{}/psql", database.spot.bin);
    std::fs::write(&psql, "").unwrap();
    std::process::Command::new("chmod").args(["755", &psql]).status().unwrap();
    let said = std::process::Command::new("sh").args(["-c", &programs(database)]).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let missing: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("missing ")).collect();
    assert_eq!(missing[..4], ["pg_controldata", "pg_isready", "pg_rewind", "pg_waldump"], "{said}");
    assert!(!missing.contains(&"psql") && !missing.contains(&"timeout"), "{said}");
}

/// What would be asked as pg_rewind(1) is asked by a real shell, of a program that answers as psql(1) does.
#[test]
fn a_server_that_refuses_who_would_rewind_from_it_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut inventory = inventory();
    let database = inventory.databases.get_mut("crm-db").unwrap();
    database.spot.bin = folder.path().display().to_string();
    database.spot.user = "nobody".into();
    database.replication.user = "it's \"one\"".into();
    let psql = folder.path().join("psql");
    let asked = |said: &str| {
        std::fs::write(&psql, format!("#!/bin/sh\n{said}\n")).unwrap();
        std::fs::set_permissions(&psql, std::fs::Permissions::from_mode(0o755)).unwrap();
        let ask = Ask::of(&inventory, &inventory.databases["crm-db"], inventory.host("dc1-db1").unwrap());
        let run = std::process::Command::new("sh").args(["-c", &sources(&ask)]).output().unwrap();
        let stdout = String::from_utf8(run.stdout).unwrap();
        let mut seen = Seen::of(World::well(&ask).answers());
        seen.sources = Some(Answer::Run(RunFacts { code: run.status.code(), stdout, stderr: String::new() }));
        told(&refusals(&ask, &seen))
    };
    let no_rule = r#"echo "psql: error: connection to server failed: FATAL:  no pg_hba.conf entry for user \"$7\", $PGPASSFILE" >&2; exit 2"#;
    insta::assert_snapshot!(asked(no_rule), @r#"
    WARNING   dc1-db1: `crm-db` could not be rewound from `dc2-db1`, which refuses `it's "one"` its
              database `postgres`: no pg_hba.conf entry for user "it's "one"",
              /var/lib/postgresql/15/.svcops-crm-db.pgpass
              → pg_hba.conf on `dc2-db1` must let `it's "one"` in from here, to `replication` and to
                `postgres`, with this password
    "#);
    assert_eq!(asked("echo 1"), "");
    assert_eq!(asked("echo 'psql: error: connection to server failed: Connection refused' >&2; exit 2"), "");
}
