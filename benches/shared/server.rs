//! One sshd of our own, answering on as many loopback addresses as there are hosts, and a project whose hosts they are.

use super::{
    cost,
    figure::{self, SVCOPS},
};
use futures_util::StreamExt as _;
use std::{
    fmt::Write as _,
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// An sshd with keys of its own, and a project.
pub struct Server {
    folder: TempDir,
    /// What holds the sshd: all connections come from below it.
    pub sshd: Child,
    hosts: usize,
}

impl Server {
    /// None: no sshd can be started here.
    pub fn start(hosts: usize, port: u16, client: &str) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("svcops-bench").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for key in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            let made = keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(at(key)).stdin(Stdio::null()).status();
            made.ok().filter(std::process::ExitStatus::success)?;
        }
        let text = |name: &str| fs::read_to_string(at(name)).unwrap();
        fs::write(at("authorized"), text("user.pub")).unwrap();
        fs::write(at("known"), format!("[127.0.*]:{port} {}", text("host.pub"))).unwrap();
        fs::write(at("sshd_config"), sshd_config(folder.path(), port)).unwrap();
        fs::write(at("ssh_config"), ssh_config(folder.path(), port)).unwrap();

        fs::create_dir(at("project")).unwrap();
        fs::create_dir(at("project/runbooks")).unwrap();
        let mut inventory =
            format!("project: bench\nssh: {{client: {client}, config: {}}}\nhosts:\n", at("ssh_config").display());
        for host in 1..=hosts {
            writeln!(inventory, "  n{host:04}: {{address: {}}}", address(host)).unwrap();
        }
        fs::write(at("project/svcops.yaml"), inventory).unwrap();

        if fs::create_dir_all("/run/sshd").is_err() {
            return None;
        }
        let mut sshd = Command::new("/usr/sbin/sshd");
        sshd.args(["-D", "-e", "-f"]).arg(at("sshd_config"));
        let server = Self { sshd: cost::held(&sshd).ok()?, folder, hosts };
        let up = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            TcpStream::connect((address(1), port)).is_ok()
        });
        up.then_some(server)
    }
    /// A file of its folder.
    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    /// Writes a runbook of so many steps that do nothing, on so many hosts.
    pub fn runbook(&self, name: &str, hosts: usize, steps: usize) {
        let targets = if hosts == self.hosts { "all".to_owned() } else { format!("n[0001-{hosts:04}]") };
        let mut text = format!("svcops: 1\nname: {name}\ntargets: '{targets}'\nsteps:\n");
        for step in 1..=steps {
            writeln!(text, "  - {{name: Step {step}, command: 'true'}}").unwrap();
        }
        fs::write(self.at(&format!("project/runbooks/{name}.yaml")), text).unwrap();
    }
    /// The run of that runbook.
    pub fn svcops(&self, runbook: &str, at_once: usize) -> Command {
        let mut command = Command::new(SVCOPS);
        command.arg("--state").arg(self.at("state")).args(["run", runbook, "--yes", "--quiet", "--parallel"]);
        command.arg(at_once.to_string()).current_dir(self.at("project"));
        command
    }
    /// That run, to its end.
    pub fn run(&self, runbook: &str, at_once: usize) {
        figure::run(&mut self.svcops(runbook, at_once), 0);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // its standard input ends, and the server with it
        drop(self.sshd.stdin.take());
        if let Err(e) = self.sshd.wait() {
            println!("the bench's sshd could not be ended: {e}");
        }
    }
}

/// The address of a host, from 1.
pub fn address(host: usize) -> String {
    let at = host - 1;
    format!("127.0.{}.{}", 7 + at / 250, 1 + at % 250)
}

/// Connects to a host as svcops does, by the same library.
pub async fn connect(config: &Path, host: usize) -> openssh::Session {
    let mut builder = openssh::SessionBuilder::default();
    builder.config_file(config).known_hosts_check(openssh::KnownHosts::Strict);
    builder.connect_mux(address(host)).await.unwrap()
}

/// So many bare handshakes, so many of them at once: the floor of whatever goes by ssh.
pub async fn handshakes(config: &Path, hosts: usize, at_once: usize) {
    let all = futures_util::stream::iter(1..=hosts).map(|host| async move {
        connect(config, host).await.close().await.unwrap();
    });
    all.buffer_unordered(at_once).collect::<Vec<()>>().await;
}

/// The same key exchange for all: the default one costs 70 ms of client CPU a connection and would hide the rest. SHLVL
/// keeps bash from reading the login user's `.bashrc` for every command.
fn sshd_config(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "Port {port}\nListenAddress 0.0.0.0\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n\
         PermitRootLogin yes\nPasswordAuthentication no\nStrictModes no\nUsePAM no\nUseDNS no\nPidFile none\n\
         MaxStartups 2000\nMaxSessions 100\nSetEnv SHLVL=5\nKexAlgorithms {KEX}\nLogLevel ERROR\n"
    )
}

fn ssh_config(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "Host *\n  Port {port}\n  IdentityFile {folder}/user\n  IdentitiesOnly yes\n  UserKnownHostsFile {folder}/known\n  \
         GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  KexAlgorithms {KEX}\n  LogLevel ERROR\n"
    )
}

const KEX: &str = "curve25519-sha256";
