//! What the contract promises of PostgreSQL clusters, on real ones of this machine.

use super::*;
use crate::base::{Lsn, PgAsk, PgChange, PgDepth, PgFacts, PgPeer, PgSpot, PgState, PgUpstream};
use std::{os::unix::fs::PermissionsExt, path::Path, process::Command};

const BIN: &str = "/usr/lib/postgresql/15/bin";

/// Two clusters in a folder of their own, which their user may enter.
struct Two<'a> {
    stage: &'a Stage,
    folder: tempfile::TempDir,
    ports: [u16; 2],
}

/// A program as the clusters' user.
fn run(args: &[&str]) -> String {
    tried(args).unwrap_or_else(|why| panic!("{why}"))
}

fn tried(args: &[&str]) -> Result<String, String> {
    let out = Command::new("setpriv")
        .args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"])
        .args(args)
        .current_dir("/")
        .output()
        .unwrap();
    if !out.status.success() {
        return Err(format!("{args:?}: {}", String::from_utf8_lossy(&out.stderr)));
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

impl<'a> Two<'a> {
    /// None, and says so, where there can be none.
    fn new(stage: &'a Stage) -> Option<Self> {
        if !Path::new(BIN).join("initdb").exists() || !rustix::process::getuid().is_root() {
            eprintln!("skipped: it needs PostgreSQL 15 in `{BIN}`, and root");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let id = |what: &str| run(&["id", what]).parse::<u32>().unwrap();
        std::os::unix::fs::chown(folder.path(), Some(id("-u")), Some(id("-g"))).unwrap();
        let ports = [0, 1].map(|_| crate::base::ports::free("127.0.0.1"));
        let two = Self { stage, folder, ports };
        let data = two.data(0);
        let how = ["--no-sync", "-E", "UTF8", "--locale=C.UTF-8", "--wal-segsize=1", "-k"];
        run(&[&["/usr/lib/postgresql/15/bin/initdb", "-D", &data], &how[..]].concat());
        let text = format!(
            "unix_socket_directories = '{}'\nlisten_addresses = '127.0.0.1'\nfsync = off\nmax_wal_senders = 5\n\
             wal_keep_size = 64MB\nport = {}\n",
            two.folder.path().display(),
            two.ports[0]
        );
        two.append(0, "postgresql.conf", &text);
        let rules = "local all,replication all peer\nhost all,replication replicator 127.0.0.1/32 scram-sha-256\n";
        std::fs::write(format!("{data}/pg_hba.conf"), rules).unwrap();
        two.up(0);
        two.sql(0, "CREATE ROLE replicator REPLICATION LOGIN SUPERUSER PASSWORD 'tres-secret-4711'");
        two.sql(0, "CREATE ROLE streams REPLICATION LOGIN; CREATE ROLE nobody LOGIN");
        two.sql(0, "CREATE TABLE rows (n int)");
        let passfile = two.passfile();
        std::fs::write(&passfile, "*:*:*:replicator:tres-secret-4711\n").unwrap();
        std::fs::set_permissions(&passfile, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(&passfile, Some(id("-u")), Some(id("-g"))).unwrap();
        Some(two)
    }
    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }
    fn passfile(&self) -> String {
        self.at("the \\pass'file")
    }
    fn data(&self, which: usize) -> String {
        self.at(["a д'1", "b"][which])
    }
    fn append(&self, which: usize, file: &str, text: &str) {
        let path = format!("{}/{file}", self.data(which));
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + text).unwrap();
    }
    fn replace(&self, which: usize, file: &str, from: &str, to: &str) {
        let path = format!("{}/{file}", self.data(which));
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replace(from, to)).unwrap();
    }
    /// As its unit would start it.
    fn up(&self, which: usize) {
        let log = self.at("log");
        let told = tried(&[&format!("{BIN}/pg_ctl"), "-s", "-w", "-D", &self.data(which), "-l", &log, "start"]);
        told.unwrap_or_else(|why| panic!("{why}{}", std::fs::read_to_string(&log).unwrap_or_default()));
    }
    fn sql(&self, which: usize, query: &str) -> String {
        let (folder, port) = (self.at(""), self.ports[which].to_string());
        run(&[&format!("{BIN}/psql"), "-XqAtw", "-h", &folder, "-p", &port, "-d", "postgres", "-c", query])
    }
    fn spot(&self, which: usize) -> PgSpot {
        PgSpot {
            database: "crm-db".into(),
            unit: "svcops-no-such-unit.service".into(),
            data: self.data(which),
            config: None,
            bin: BIN.into(),
            port: self.ports[which],
            user: "postgres".into(),
        }
    }
    fn upstream(&self, which: usize, slot: &str) -> PgUpstream {
        PgUpstream {
            host: "127.0.0.1".into(),
            port: self.ports[which],
            user: "replicator".into(),
            passfile: Some(self.passfile()),
            slot: Some(slot.into()),
        }
    }
    async fn see(&self, which: usize, depth: PgDepth, peer: Option<usize>) -> PgFacts {
        let peer = peer.map(|peer| ("127.0.0.1".to_owned(), self.ports[peer]));
        let answers = self.stage.look(vec![Read::Postgres(PgAsk { spot: self.spot(which), depth, peer })]).await;
        let [Answer::Postgres(facts)] = answers.as_slice() else { panic!("{answers:?}") };
        (**facts).clone()
    }
    async fn change(&self, which: usize, change: PgChange) -> Outcome {
        self.stage.do_once(Change::Postgres { spot: self.spot(which), change }).await.outcome
    }
    async fn done(&self, which: usize, change: PgChange) {
        let what = format!("{change:?}");
        assert_eq!(self.change(which, change).await, Outcome::Ok, "{what}\n{}", self.log());
    }
    async fn refused(&self, which: usize, change: PgChange) -> String {
        match self.change(which, change).await {
            Outcome::Refused(why) => why,
            other => panic!("{other:?}"),
        }
    }
    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
    async fn streams(&self, which: usize) -> PgFacts {
        for _ in 0..500 {
            let facts = self.see(which, PgDepth::Whole, None).await;
            if facts.sql.as_ref().is_some_and(|sql| sql.streams_from.is_some()) {
                return facts;
            }
        }
        panic!("it never streams: {}", self.log());
    }
    fn rows(&self, which: usize) -> String {
        self.sql(which, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM rows")
    }
    /// Ends a server as the loss of its power does.
    fn kill(&self, which: usize) {
        let pids = std::fs::read_to_string(format!("{}/postmaster.pid", self.data(which))).unwrap();
        let pid = pids.lines().next().unwrap().to_owned();
        assert!(Command::new("kill").args(["-s", "KILL", &pid]).status().unwrap().success());
    }
}

impl Drop for Two<'_> {
    fn drop(&mut self) {
        for which in [0, 1] {
            let ended = Command::new("setpriv")
                .args(["--reuid=postgres", "--regid=postgres", "--init-groups", &format!("{BIN}/pg_ctl"), "-s", "-D"])
                .args([&self.data(which), "-m", "immediate", "stop"])
                .current_dir("/")
                .output();
            drop(ended);
        }
    }
}

async fn a_standby_is_made_and_takes_over_and_the_old_primary_follows(two: &Two<'_>) {
    let (one, other) = (PgDepth::Whole, PgDepth::Log);
    let first = two.see(0, one, None).await;
    assert!(first.is_primary() && !first.masked && !first.standby && !first.boot_fence, "{first:?}");
    assert_eq!((first.version, first.upstream.as_ref(), first.history.as_slice()), (15, None, &[][..]));
    assert!(first.free.is_some_and(|free| free > 0));
    assert_eq!(first.control.as_ref().unwrap().state, PgState::InProduction);
    // a slot is made once
    two.done(0, PgChange::MakeSlot("b".into())).await;
    two.done(0, PgChange::MakeSlot("b".into())).await;
    assert!(two.refused(0, PgChange::MakeSlot("B'; DROP".into())).await.contains("cannot be the name of a slot"));
    let backup = format!("{BIN}/pg_basebackup");
    let from = format!("host='{}' port={} user=postgres", two.at(""), two.ports[0]);
    run(&[&backup, "-d", &from, "-D", &two.data(1), "-X", "stream", "--no-sync", "-c", "fast"]);
    two.replace(1, "postgresql.conf", &format!("port = {}\n", two.ports[0]), &format!("port = {}\n", two.ports[1]));
    let earlier = r"primary_conninfo = 'sslmode=disable'
Primary_Conninfo = 'host=nowhere hostaddr=10.0.0.1 password=tres passfile=/none sslmode = prefer application_name=x  options=''-c work_mem=6MB\\ '' sslcert=''/a \\''b\\\\/c'' keepalives_idle=7' # last
work_mem = '5MB'
";
    two.append(1, "postgresql.auto.conf", earlier);
    two.done(1, PgChange::Follow(two.upstream(0, "b"))).await;
    let set = std::fs::metadata(format!("{}/postgresql.auto.conf", two.data(1))).unwrap();
    assert_eq!(set.permissions().mode() & 0o7777, 0o600);
    // what else the last one said stays as it is
    let set = std::fs::read_to_string(format!("{}/postgresql.auto.conf", two.data(1))).unwrap();
    let line = set.lines().find(|line| line.starts_with("primary_conninfo")).unwrap();
    let kept = r"application_name=''b'' sslmode=''prefer'' options=''-c work_mem=6MB '' sslcert=''/a \\''b\\\\/c'' keepalives_idle=''7'''";
    assert!(line.ends_with(kept), "{line}");
    assert_eq!((set.to_lowercase().matches("primary_conninfo").count(), set.contains("tres")), (1, false), "{set}");
    let still = two.see(1, one, None).await;
    assert_eq!((still.running, still.standby, still.upstream), (false, true, Some(two.upstream(0, "b"))));
    two.up(1);
    let standby = two.streams(1).await;
    assert!(standby.is_standby() && standby.standby, "{standby:?}");
    assert_eq!(standby.upstream, Some(two.upstream(0, "b")));
    assert_eq!(two.sql(1, "SHOW work_mem"), "5MB");
    assert_eq!(standby.sql.as_ref().unwrap().streams_from.as_deref(), Some("127.0.0.1"));
    assert_eq!(two.see(1, other, Some(0)).await.peer, Some(PgPeer::Accepts));
    let primary = two.see(0, one, Some(1)).await;
    assert_eq!(primary.control.as_ref().unwrap().system, standby.control.as_ref().unwrap().system);
    let sql = primary.sql.unwrap();
    assert_eq!(sql.slots.iter().map(|slot| (slot.name.as_str(), slot.active)).collect::<Vec<_>>(), [("b", true)]);
    assert_eq!((sql.standbys[0].name.as_str(), sql.standbys[0].state.as_str()), ("b", "streaming"));
    let roles = |facts: &PgFacts| -> Vec<(String, bool)> {
        let sql = facts.sql.as_ref().unwrap();
        sql.replicators.iter().map(|role| (role.name.clone(), role.rewinds)).collect()
    };
    let known =
        [("postgres", true), ("replicator", true), ("streams", false)].map(|(name, may)| (name.to_owned(), may));
    assert_eq!((roles(&standby), sql.hints), (known.to_vec(), Some(true)));
    for function in ["pg_ls_dir(text, boolean, boolean)", "pg_stat_file(text, boolean)", "pg_read_binary_file(text)"] {
        two.sql(0, &format!("GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO streams"));
        assert!(!roles(&two.see(0, one, None).await).contains(&("streams".to_owned(), true)), "{function}");
    }
    two.sql(0, "GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean) TO streams");
    assert_eq!(roles(&two.see(0, one, None).await)[2], ("streams".to_owned(), true));
    assert!(two.refused(0, PgChange::DropSlot("b".into())).await.contains("in use"));
    // nothing is promoted that has not all, and nothing else than a standby
    two.sql(0, "INSERT INTO rows SELECT generate_series(1, 3)");
    let why = two.refused(1, PgChange::Promote { past: Some(Lsn(u64::MAX)) }).await;
    assert!(
        why.starts_with("`crm-db` has received the log up to 0/") && why.ends_with("FFFFFFFF/FFFFFFFF is needed"),
        "{why}"
    );
    assert!(two.see(1, other, None).await.is_standby());
    assert!(two.refused(0, PgChange::Promote { past: None }).await.contains("no standby"));
    assert!(two.refused(0, PgChange::Follow(two.upstream(1, "a"))).await.contains("runs, as process"));
    assert!(two.refused(0, PgChange::Rewind(two.upstream(1, "a"))).await.contains("runs, as process"));
    for which in [0, 1] {
        two.done(which, PgChange::Checkpoint).await;
    }
    // the switch
    two.done(0, PgChange::Stop).await;
    two.done(0, PgChange::Stop).await;
    let ended = two.see(0, one, None).await;
    let end = ended.ended_at().unwrap();
    let standby = two.see(1, other, Some(0)).await;
    assert_eq!(standby.peer, Some(PgPeer::Silent));
    let received = standby.sql.unwrap().received.unwrap();
    assert!(received >= end, "{received} {end}");
    assert_eq!(ended.tail.unwrap().end, received, "the record of the shutdown is the last one");
    two.done(1, PgChange::Promote { past: Some(end) }).await;
    let new = two.see(1, one, None).await;
    assert!(new.is_primary() && !new.standby, "{new:?}");
    assert_eq!(new.history.iter().map(|b| (b.timeline, b.left)).collect::<Vec<_>>(), [(1, received)]);
    assert_eq!(two.rows(1), "1 2 3");
    // the old one follows
    let nowhere = PgUpstream { passfile: Some(two.at("none")), ..two.upstream(1, "a") };
    assert!(two.refused(0, PgChange::Follow(nowhere)).await.contains("is not there"));
    assert!(!Path::new(&format!("{}/standby.signal", two.data(0))).exists());
    two.done(1, PgChange::MakeSlot("a".into())).await;
    two.done(0, PgChange::Follow(two.upstream(1, "a"))).await;
    two.up(0);
    let old = two.streams(0).await;
    assert!(old.is_standby() && old.sql.unwrap().slots.iter().any(|slot| slot.name == "b"));
    two.done(0, PgChange::DropSlot("b".into())).await;
    two.done(0, PgChange::DropSlot("b".into())).await;
    assert!(two.see(0, one, None).await.sql.unwrap().slots.is_empty());
    assert!(!std::fs::read_to_string(format!("{}/postgresql.auto.conf", two.data(0))).unwrap().contains("tres"));
}

async fn a_log_that_went_another_way_is_rewound(two: &Two<'_>) {
    // the standby is promoted while the other one still writes, and the other one loses its power
    two.done(0, PgChange::Promote { past: None }).await;
    assert!(two.see(0, PgDepth::Log, None).await.is_primary());
    let left = two.see(0, PgDepth::Whole, None).await.history.last().unwrap().clone();
    two.sql(1, "INSERT INTO rows VALUES (4)");
    two.sql(0, "INSERT INTO rows VALUES (5)");
    two.kill(1);
    until("it is gone", || {
        let state = std::fs::read_to_string(format!("{}/postmaster.pid", two.data(1))).unwrap_or_default();
        !alive(state.lines().next().unwrap_or_default())
    })
    .await;
    // where nobody reaps it, a server that starts takes it for one that runs
    std::fs::remove_file(format!("{}/postmaster.pid", two.data(1))).unwrap();
    std::fs::remove_file(two.at(&format!(".s.PGSQL.{}.lock", two.ports[1]))).unwrap();
    let lost = two.see(1, PgDepth::Whole, None).await;
    assert!(!lost.running && lost.ended_at().is_none(), "{lost:?}");
    assert_eq!(lost.control.as_ref().unwrap().state, PgState::InProduction);
    let tail = lost.tail.unwrap();
    assert!(left.timeline == 2 && tail.end > left.left && tail.last.is_some(), "{left:?} {tail:?}");
    let why = two.refused(1, PgChange::Stop).await;
    assert!(why.ends_with("did not end cleanly: its control file says `in production`"), "{why}");
    assert!(two.refused(1, PgChange::Promote { past: None }).await.contains("does not run"));
    // pg_rewind goes by the control file of the new primary
    two.done(0, PgChange::Checkpoint).await;
    // a password stays where there is no file of them, and no argv has it
    two.append(1, "postgresql.auto.conf", "primary_conninfo = 'host=x password=tres-secret-4711 connect_timeout=9'\n");
    let wrong = PgUpstream { user: "nobody-there".into(), ..two.upstream(0, "b") };
    let Outcome::Failed(why) = two.change(1, PgChange::Rewind(wrong)).await else { panic!("it rewound") };
    assert!(why.starts_with("`crm-db` could not be rewound: ") && !why.contains("tres"), "{why}");
    let settings = std::fs::read_to_string(format!("{}/postgresql.conf", two.data(1))).unwrap();
    two.done(1, PgChange::Rewind(two.upstream(0, "b"))).await;
    // what lies in its folder is the new primary's now, its settings too
    std::fs::write(format!("{}/postgresql.conf", two.data(1)), settings).unwrap();
    two.done(0, PgChange::MakeSlot("b".into())).await;
    two.done(1, PgChange::Follow(PgUpstream { passfile: None, ..two.upstream(0, "b") })).await;
    let set = std::fs::read_to_string(format!("{}/postgresql.auto.conf", two.data(1))).unwrap();
    assert!(set.contains(" password=''tres-secret-4711'' connect_timeout=''9''"), "{set}");
    two.up(1);
    two.streams(1).await;
    let all = || two.rows(1) == "1 2 3 5";
    until("it has what the new primary has, and no more", all).await;
}

async fn what_is_no_cluster_is_told(two: &Two<'_>) {
    let look = |spot: PgSpot| async move {
        let ask = PgAsk { spot, depth: PgDepth::Whole, peer: None };
        two.stage.look(vec![Read::Postgres(ask)]).await.remove(0)
    };
    let none = look(PgSpot { data: two.at("none"), ..two.spot(0) }).await;
    assert_eq!(none, Answer::Postgres(Box::default()));
    let Answer::Bad(why) = look(PgSpot { bin: two.at("bin"), ..two.spot(0) }).await else { panic!("it was seen") };
    assert!(why.contains("pg_controldata` was not found"), "{why}");
    std::fs::create_dir(two.at("half")).unwrap();
    std::fs::write(two.at("half/PG_VERSION"), "15\n").unwrap();
    let Answer::Bad(why) = look(PgSpot { data: two.at("half"), ..two.spot(0) }).await else { panic!("it was seen") };
    assert!(why.contains("its control file does not read"), "{why}");
    let spot = PgSpot { data: two.at("none"), ..two.spot(0) };
    let stop = two.stage.do_once(Change::Postgres { spot, change: PgChange::Stop }).await;
    assert!(matches!(&stop.outcome, Outcome::Refused(why) if why.starts_with("there is no cluster")), "{stop:?}");
    // somebody else's shell stays for the looks that follow, and where there can be none the host says why
    let as_other = |user: &'static str| async move {
        let ask = PgAsk { spot: PgSpot { data: two.at("none"), ..two.spot(0) }, depth: PgDepth::Log, peer: None };
        let read = two.stage.place().becoming(Some(user.to_owned())).at(Read::Postgres(ask));
        two.stage.fleet.look(Some(&two.stage.host), &[read.clone(), read]).await.unwrap().answers
    };
    if Command::new("sudo").args(["-n", "-u", "postgres", "true"]).status().is_ok_and(|status| status.success()) {
        for _ in 0..2 {
            assert_eq!(
                as_other("postgres").await,
                [Answer::Postgres(Box::default()), Answer::Postgres(Box::default())]
            );
        }
        let answers = as_other("no-such-user-4711").await;
        assert!(answers.iter().all(|answer| matches!(answer, Answer::Bad(why) if why.contains("4711"))), "{answers:?}");
        assert_eq!(as_other("postgres").await[0], Answer::Postgres(Box::default()));
    }
    // one that hangs holds no look up
    let pids = std::fs::read_to_string(format!("{}/postmaster.pid", two.data(1))).unwrap();
    let signal = |name: &str| {
        let pid = pids.lines().next().unwrap();
        assert!(Command::new("kill").args(["-s", name, pid]).status().unwrap().success());
    };
    signal("STOP");
    let hangs = two.see(1, PgDepth::Log, Some(1)).await;
    signal("CONT");
    assert!(hangs.running && hangs.sql.is_none() && hangs.silent.is_some(), "{hangs:?}");
    assert_eq!(hangs.peer, Some(PgPeer::Silent));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_seen_and_changed_as_the_contract_says() {
    let stage = Stage::here();
    let Some(two) = Two::new(&stage) else { return };
    a_standby_is_made_and_takes_over_and_the_old_primary_follows(&two).await;
    a_log_that_went_another_way_is_rewound(&two).await;
    what_is_no_cluster_is_told(&two).await;
    stage.fleet.close().await;
}
