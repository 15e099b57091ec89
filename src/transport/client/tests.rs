//! A client against servers that are real: PostgreSQL where it is installed, and such as misbehave.

use super::*;
use crate::{
    base::{ClientFacts, PgTls, ProbeKind, SETTLED},
    inventory::SecretSource,
};
use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::AtomicUsize,
};

const BIN: &str = "/usr/lib/postgresql/15/bin";

fn ask(kind: ProbeKind) -> ClientAsk {
    ClientAsk {
        service: "crm".into(),
        ask: kind,
        every: Span(Duration::from_millis(10)),
        within: Span::secs(1),
        anew: false,
    }
}

fn begin(kind: ProbeKind, secrets: BTreeMap<String, SecretSource>) -> Client {
    let redactor = Redactor::default();
    let vault = Arc::new(Vault::new(secrets, std::env::temp_dir(), redactor.clone()));
    Client::begin(&ask(kind), vault, redactor)
}

async fn facts(client: &Client) -> ClientFacts {
    match client.look(false, Span::secs(1)).await {
        Answer::Client(facts) => *facts,
        other => panic!("{other:?}"),
    }
}

/// Looks until it is so; fails with the last facts.
async fn until(client: &Client, what: &str, is_so: impl Fn(&ClientFacts) -> bool) -> ClientFacts {
    let mut last = ClientFacts::default();
    for _ in 0..2000 {
        last = facts(client).await;
        if is_so(&last) {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not seen: {what}; {last:?}")
}

/// A cluster in a folder of its own, that asks for a password.
struct Cluster {
    folder: tempfile::TempDir,
    port: u16,
}

impl Cluster {
    const PASSWORD: &str = "gh3im-wort";

    fn new() -> Option<Self> {
        if !Path::new(BIN).join("initdb").exists() {
            println!("skipped: {BIN} has no PostgreSQL");
            return None;
        }
        let port = crate::base::ports::free("127.0.0.1");
        let cluster = Self { folder: tempfile::tempdir_in("/tmp").unwrap(), port };
        if rustix::process::getuid().is_root() {
            assert!(Command::new("chown").arg("postgres").arg(cluster.folder.path()).status().unwrap().success());
        }
        std::fs::write(cluster.folder.path().join("word"), Self::PASSWORD).unwrap();
        std::fs::write(cluster.folder.path().join("secret"), Self::PASSWORD).unwrap();
        let (word, data) = (cluster.folder.path().join("word"), cluster.data());
        Self::run(
            "initdb",
            &["-N", "-U", "postgres", "-A", "scram-sha-256", "--pwfile", word.to_str().unwrap(), &data],
        );
        let conf = format!(
            "port = {port}\nunix_socket_directories = '{}'\nfsync = off\nshared_buffers = 1MB\n",
            cluster.folder.path().display()
        );
        let path = PathBuf::from(&data).join("postgresql.auto.conf");
        std::fs::write(path, conf).unwrap();
        Some(cluster)
    }
    fn data(&self) -> String {
        self.folder.path().join("data").to_str().unwrap().to_owned()
    }
    fn run(program: &str, args: &[&str]) {
        let path = Path::new(BIN).join(program);
        let mut command = if rustix::process::getuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        let out = command.args(args).env("LC_ALL", "C").current_dir("/").output().unwrap();
        assert!(
            out.status.success(),
            "{program}: {}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
    }
    fn start(&self) {
        let log = self.folder.path().join("log");
        Self::run("pg_ctl", &["start", "-w", "-s", "-D", &self.data(), "-l", log.to_str().unwrap()]);
    }
    fn stop(&self, mode: &str) {
        Self::run("pg_ctl", &["stop", "-w", "-s", "-m", mode, "-D", &self.data()]);
    }
    fn kind(port: u16, query: Option<&str>) -> ProbeKind {
        ProbeKind::Postgres {
            address: format!("127.0.0.1:{port}"),
            database: "postgres".into(),
            user: "postgres".into(),
            password: Some("billing-db".into()),
            tls: PgTls::default(),
            ca: None,
            query: query.map(str::to_owned),
        }
    }
    fn secrets(&self) -> BTreeMap<String, SecretSource> {
        let path = self.folder.path().join("secret").to_str().unwrap().to_owned();
        BTreeMap::from([("billing-db".into(), SecretSource::File(path))])
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if Path::new(&self.data()).join("postmaster.pid").exists() {
            self.stop("immediate");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_sees_its_database_stop_and_start() {
    let Some(cluster) = Cluster::new() else { return };
    cluster.start();
    let client = begin(Cluster::kind(cluster.port, None), cluster.secrets());
    let seen = until(&client, "up", |f| f.steady(SETTLED)).await;
    assert_eq!((seen.failed, seen.outages.len(), seen.watched), (0, 0, false), "{seen:?}");
    client.look(true, Span::secs(1)).await;

    let stopping = Timestamp::now();
    cluster.stop("fast");
    let stopped = Timestamp::now();
    let down = until(&client, "down", |f| !f.up && f.failed > 2).await;
    assert!(down.watched && down.outages.len() == 1 && down.outages[0].until.is_none(), "{down:?}");
    let why = down.why.clone().unwrap();
    assert!(why == "connection refused" || why.contains("shutting down"), "{why}");
    let starting = Timestamp::now();
    cluster.start();
    let up = until(&client, "up again", |f| f.steady(SETTLED)).await;
    let outage = up.longest().unwrap().clone();
    assert_eq!(up.outages.len(), 1, "{up:?}");
    let (from, until) = (outage.from.unwrap(), outage.until.unwrap());
    assert!(from <= stopped && until > starting && until > stopped, "{outage:?}: {stopping} {stopped} {starting}");
    assert!(outage.failed >= 2 && outage.failed == up.failed && up.tries > up.failed, "{up:?}");
    assert_eq!(until.duration_since(from).as_micros(), i128::from(outage.micros));

    // a session that was closed on our side is closed on the server's
    client.close();
    let mut left = true;
    for _ in 0..400 {
        left = TcpStream::connect(("127.0.0.1", cluster.port)).is_err() || sessions(&cluster) > 0;
        if !left {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!left);
}

/// A certificate for this machine that nobody else signed, and its key.
fn own_certificate() -> (String, String) {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    (own.cert.pem(), own.signing_key.serialize_pem())
}

/// The same with TLS, and whom it trusts.
fn with_tls(kind: ProbeKind, mode: PgTls, root: Option<&str>) -> ProbeKind {
    match kind {
        ProbeKind::Postgres { address, database, user, password, query, .. } => {
            ProbeKind::Postgres { address, database, user, password, tls: mode, ca: root.map(str::to_owned), query }
        }
        other => other,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_encrypted_as_it_is_told_and_trusts_whom_it_is_told_to() {
    let Some(cluster) = Cluster::new() else { return };
    let (pem, key) = own_certificate();
    let of = |name: &str| PathBuf::from(cluster.data()).join(name);
    std::fs::write(of("server.crt"), &pem).unwrap();
    std::fs::write(of("server.key"), &key).unwrap();
    std::fs::set_permissions(of("server.key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    if rustix::process::getuid().is_root() {
        assert!(Command::new("chown").arg("postgres").arg(of("server.key")).status().unwrap().success());
    }
    let root = cluster.folder.path().join("root.crt");
    std::fs::write(&root, &pem).unwrap();
    let encrypted = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    let of_mode = |mode, root: Option<&Path>| {
        let kind = with_tls(Cluster::kind(cluster.port, Some(encrypted)), mode, root.and_then(Path::to_str));
        begin(kind, cluster.secrets())
    };
    // a server without TLS
    cluster.start();
    let plain = until(&of_mode(PgTls::Prefer, None), "an answer", |f| f.tries > 0).await;
    assert!(plain.why.clone().unwrap().contains("answered `f`"), "{plain:?}");
    let none = until(&of_mode(PgTls::Require, None), "no TLS", |f| f.failed > 1).await;
    assert!(none.why.clone().unwrap().contains("TLS"), "{none:?}");
    cluster.stop("fast");
    // and with it
    let conf = PathBuf::from(cluster.data()).join("postgresql.auto.conf");
    std::fs::write(&conf, std::fs::read_to_string(&conf).unwrap() + "ssl = on\n").unwrap();
    cluster.start();
    for (mode, root) in [(PgTls::Prefer, None), (PgTls::Require, None), (PgTls::VerifyFull, Some(root.as_path()))] {
        until(&of_mode(mode, root), "encrypted", |f| f.steady(3)).await;
    }
    let bare = until(&of_mode(PgTls::Disable, None), "an answer", |f| f.tries > 0).await;
    assert!(bare.why.clone().unwrap().contains("answered `f`"), "{bare:?}");
    let (other, _) = own_certificate();
    let stranger = cluster.folder.path().join("other.crt");
    std::fs::write(&stranger, other).unwrap();
    let refused = until(&of_mode(PgTls::VerifyFull, Some(&stranger)), "a stranger", |f| f.failed > 1).await;
    assert!(refused.why.clone().unwrap().contains("certificate"), "{refused:?}");
}

/// Sessions of probes, as the server's processes say it.
fn sessions(cluster: &Cluster) -> usize {
    let pid = std::fs::read_to_string(Path::new(&cluster.data()).join("postmaster.pid")).unwrap();
    let pid = pid.lines().next().unwrap();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let line = |child: &str| std::fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
    children.split_whitespace().filter(|child| line(child).contains("postgres postgres 127.0.0.1")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_may_not_be_written_is_down_and_no_error_shows_the_password() {
    let Some(cluster) = Cluster::new() else { return };
    let data = cluster.data();
    std::fs::write(Path::new(&data).join("standby.signal"), "").unwrap();
    let conf = Path::new(&data).join("postgresql.auto.conf");
    let mut file = std::fs::OpenOptions::new().append(true).open(conf).unwrap();
    writeln!(file, "hot_standby = on").unwrap();
    cluster.start();
    let standby = begin(Cluster::kind(cluster.port, None), cluster.secrets());
    let seen = until(&standby, "an answer", |f| f.failed > 3).await;
    assert_eq!((seen.up, seen.why.as_deref()), (false, Some("it may not write")));
    assert_eq!(seen.outages[0].from, None);
    Cluster::run("pg_ctl", &["promote", "-w", "-s", "-D", &data]);
    until(&standby, "a primary", |f| f.steady(SETTLED)).await;

    std::fs::write(cluster.folder.path().join("secret"), "another-gh3im").unwrap();
    let wrong = begin(Cluster::kind(cluster.port, None), cluster.secrets());
    let why = until(&wrong, "a refusal", |f| f.failed > 0).await.why.unwrap();
    assert_eq!(why, "password authentication failed for user \"postgres\"");
    let none = begin(Cluster::kind(cluster.port, None), BTreeMap::new());
    let Answer::Bad(why) = none.look(false, Span::secs(1)).await else { panic!() };
    assert_eq!(why, "secret `billing-db` is not declared");
}

/// A way to a server that can be made to swallow everything: accepted, and never answered, as by a host that has lost its
/// power.
struct Way {
    address: SocketAddr,
    hole: Arc<AtomicBool>,
    /// Connections that were accepted while it swallowed.
    swallowed: Arc<AtomicUsize>,
}

impl Way {
    fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (hole, swallowed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (dark, count) = (Arc::clone(&hole), Arc::clone(&swallowed));
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for one in listener.incoming() {
                let Ok(one) = one else { return };
                if dark.load(Ordering::SeqCst) {
                    count.fetch_add(1, Ordering::SeqCst);
                    held.push(one);
                    continue;
                }
                let Ok(other) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                for (mut from, mut to) in [(one.try_clone().unwrap(), other.try_clone().unwrap()), (other, one)] {
                    let dark = Arc::clone(&dark);
                    std::thread::spawn(move || {
                        let mut part = [0; 4096];
                        while let Ok(count @ 1..) = from.read(&mut part) {
                            if dark.load(Ordering::SeqCst) {
                                // kept open, and silent for good
                                std::thread::park();
                            }
                            if to.write_all(&part[..count]).is_err() {
                                return;
                            }
                        }
                    });
                }
            }
        });
        Self { address, hole, swallowed }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_hangs_is_left_and_the_service_is_seen_by_a_new_one() {
    let Some(cluster) = Cluster::new() else { return };
    cluster.start();
    let way = Way::to(cluster.port);
    let client = begin(Cluster::kind(way.address.port(), None), cluster.secrets());
    until(&client, "up", |f| f.steady(SETTLED)).await;
    way.hole.store(true, Ordering::SeqCst);
    let down = until(&client, "down", |f| !f.up).await;
    assert_eq!((down.failed, down.outages.len()), (0, 1), "it hangs, and has not failed yet: {down:?}");
    until(&client, "several tries", |f| f.failed >= 5).await;
    let swallowed = way.swallowed.load(Ordering::SeqCst);
    assert!((4..200).contains(&swallowed), "{swallowed}");
    let healed = Timestamp::now();
    way.hole.store(false, Ordering::SeqCst);
    let up = until(&client, "up again", |f| f.steady(SETTLED)).await;
    let outage = up.longest().unwrap();
    assert!(outage.until.unwrap() > healed && outage.from.unwrap() < healed, "{outage:?}");
    assert_eq!(up.outages.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_accepts_and_says_nothing_is_tried_by_few_connections_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, peak) = (Arc::clone(&open), Arc::clone(&most));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let now = Arc::clone(&now);
            tokio::spawn(async move {
                let mut part = [0; 64];
                while let Ok(1..) = tokio::io::AsyncReadExt::read(&mut stream, &mut part).await {}
                now.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    let kind = ProbeKind::Postgres {
        address: format!("127.0.0.1:{port}"),
        database: "x".into(),
        user: "x".into(),
        password: None,
        tls: PgTls::default(),
        ca: None,
        query: None,
    };
    let client = begin(kind, BTreeMap::new());
    let seen = until(&client, "that nothing answers", |f| f.failed >= 12).await;
    assert!(!seen.up && seen.why.unwrap().starts_with("no answer"));
    // what was given up is still counted until its end is read here
    assert!(most.load(Ordering::SeqCst) <= TRIES + 2, "{most:?}");
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_is_up_while_it_holds_what_it_accepts() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let rude = Arc::new(AtomicBool::new(false));
    let closes = Arc::clone(&rude);
    let server = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            if !closes.load(Ordering::SeqCst) {
                held.push(stream);
            }
        }
    });
    let client = begin(ProbeKind::Tcp(address.to_string()), BTreeMap::new());
    until(&client, "up", |f| f.steady(SETTLED)).await;
    rude.store(true, Ordering::SeqCst);
    let seen = until(&client, "closed at once", |f| f.failed > 1).await;
    assert!(
        ["the connection was closed at once", "connection reset"].contains(&seen.why.as_deref().unwrap()),
        "{seen:?}"
    );
    rude.store(false, Ordering::SeqCst);
    until(&client, "up again", |f| f.steady(SETTLED)).await;
    server.abort();
    drop(server.await);
    let seen = until(&client, "refused", |f| !f.up && f.why.as_deref() == Some("connection refused")).await;
    assert_eq!(seen.outages.len(), 2, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_up_while_it_answers_with_its_status() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/health", listener.local_addr().unwrap());
    let status = Arc::new(AtomicUsize::new(200));
    let says = Arc::clone(&status);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut part = [0; 1024];
            drop(tokio::io::AsyncReadExt::read(&mut stream, &mut part).await);
            let answer = format!("HTTP/1.1 {} x\r\nContent-Length: 0\r\n\r\n", says.load(Ordering::SeqCst));
            drop(tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes()).await);
        }
    });
    let client = begin(ProbeKind::Http { url, status: 200, ca: None }, BTreeMap::new());
    until(&client, "up", |f| f.steady(SETTLED)).await;
    status.store(503, Ordering::SeqCst);
    let seen = until(&client, "an error", |f| f.failed > 2).await;
    assert_eq!((seen.up, seen.why.as_deref()), (false, Some("it answered 503")));
    status.store(200, Ordering::SeqCst);
    let up = until(&client, "up again", |f| f.steady(SETTLED)).await;
    assert_eq!(up.outages.len(), 1);
}
