//! Steps over ssh: one sshd of our own, answering on as many loopback addresses as there are hosts. Aim: 1.3 × floor.
//!
//! The floor uses the same library, the same sshd and the same key exchange: one handshake and as many multiplexed round
//! trips as there are steps; and so many bare handshakes, as many at a time.

use super::{
    figure::{self, SVCOPS, line, median, note},
    memory,
};
use std::{
    fmt::Write as _,
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

pub fn bench() {
    let Some(server) = Server::start() else {
        return note("ssh", "left out: no /usr/sbin/sshd that can be started here");
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();

    server.runbook("twenty", "n01", 20);
    let floor = median(5, || runtime.block_on(round_trips(&server, 20)));
    let took = median(5, || server.svcops("twenty"));
    line("ssh: 20 steps on one host", took, floor, "one handshake, 20 multiplexed round trips");

    server.runbook("fifty", "all", 5);
    let floor = median(3, || runtime.block_on(handshakes(&server, HOSTS)));
    let mut kib = 0;
    let took = median(3, || kib = kib.max(memory::peak(&[&server.config_path()], || server.svcops("fifty")).0));
    line("ssh: 5 steps on 50 hosts, 32 at once", took, floor, "50 bare handshakes, 32 at once");
    note("ssh: peak memory of all processes, 50 hosts", &format!("{} MiB", kib / 1024));
}

/// An sshd with keys of its own, and a project whose hosts are its addresses.
struct Server {
    folder: TempDir,
    sshd: Child,
}

impl Server {
    fn start() -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("svcops-bench").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for key in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            let made = keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(at(key)).stdin(Stdio::null()).status();
            made.ok().filter(std::process::ExitStatus::success)?;
        }
        let text = |name: &str| fs::read_to_string(at(name)).unwrap();
        fs::write(at("authorized"), text("user.pub")).unwrap();
        let known: String = (1..=HOSTS).map(|n| format!("[127.0.7.{n}]:{PORT} {}", text("host.pub"))).collect();
        fs::write(at("known"), known).unwrap();
        fs::write(at("sshd_config"), sshd_config(folder.path())).unwrap();
        fs::write(at("ssh_config"), ssh_config(folder.path())).unwrap();

        fs::create_dir(at("project")).unwrap();
        fs::create_dir(at("project/runbooks")).unwrap();
        let mut inventory = format!("project: bench\nssh: {{config: {}}}\nhosts:\n", at("ssh_config").display());
        writeln!(inventory, "  n[01-{HOSTS}]: {{address: '127.0.7.[1-{HOSTS}]'}}").unwrap();
        fs::write(at("project/svcops.yaml"), inventory).unwrap();

        if fs::create_dir_all("/run/sshd").is_err() {
            return None;
        }
        let mut sshd = Command::new("/usr/sbin/sshd");
        sshd.args(["-D", "-e", "-f"]).arg(at("sshd_config")).stdin(Stdio::null()).stderr(Stdio::null());
        let server = Self { sshd: sshd.spawn().ok()?, folder };
        let up = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            TcpStream::connect(("127.0.7.1", PORT)).is_ok()
        });
        up.then_some(server)
    }
    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    fn config_path(&self) -> String {
        self.folder.path().display().to_string()
    }
    fn runbook(&self, name: &str, targets: &str, steps: usize) {
        let mut text = format!("svcops: 1\nname: {name}\ntargets: '{targets}'\nsteps:\n");
        for step in 1..=steps {
            writeln!(text, "  - {{name: Step {step}, command: 'true'}}").unwrap();
        }
        fs::write(self.at(&format!("project/runbooks/{name}.yaml")), text).unwrap();
    }
    fn svcops(&self, runbook: &str) {
        let mut command = Command::new(SVCOPS);
        command.arg("--state").arg(self.at("state")).args(["run", runbook, "--yes", "--quiet", "--parallel", "32"]);
        figure::run(command.current_dir(self.at("project")), 0);
    }
    async fn connect(&self, host: usize) -> openssh::Session {
        let mut builder = openssh::SessionBuilder::default();
        builder.config_file(self.at("ssh_config")).known_hosts_check(openssh::KnownHosts::Strict);
        builder.connect_mux(format!("127.0.7.{host}")).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(e) = self.sshd.kill().and_then(|()| self.sshd.wait()) {
            println!("the bench's sshd could not be ended: {e}");
        }
    }
}

async fn round_trips(server: &Server, trips: usize) {
    let session = server.connect(1).await;
    for _ in 0..trips {
        assert!(session.command("true").status().await.unwrap().success());
    }
    session.close().await.unwrap();
}

async fn handshakes(server: &Server, hosts: usize) {
    use futures_util::StreamExt as _;
    let all = futures_util::stream::iter(1..=hosts).map(|host| async move {
        server.connect(host).await.close().await.unwrap();
    });
    all.buffer_unordered(32).collect::<Vec<()>>().await;
}

/// The same key exchange for all: the default one costs 70 ms of client CPU a connection and would hide the rest. SHLVL
/// keeps bash from reading the login user's `.bashrc` for every command.
fn sshd_config(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "Port {PORT}\nListenAddress 0.0.0.0\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n\
         PermitRootLogin yes\nPasswordAuthentication no\nStrictModes no\nUsePAM no\nUseDNS no\nPidFile none\n\
         MaxStartups 500\nMaxSessions 100\nSetEnv SHLVL=5\nKexAlgorithms {KEX}\nLogLevel ERROR\n"
    )
}

fn ssh_config(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "Host *\n  Port {PORT}\n  IdentityFile {folder}/user\n  IdentitiesOnly yes\n  UserKnownHostsFile {folder}/known\n  \
         GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  KexAlgorithms {KEX}\n  LogLevel ERROR\n"
    )
}

const HOSTS: usize = 50;
const PORT: u16 = 22877;
const KEX: &str = "curve25519-sha256";
