//! A real sshd for a test.

use std::{path::Path, time::Duration};

/// A throw-away sshd on a loopback port, with keys of its own.
pub(super) struct Sshd {
    pub(super) folder: tempfile::TempDir,
    pub(super) child: std::process::Child,
    port: u16,
}

impl Sshd {
    /// None, and says so, where there can be none; unless `SVCOPS_TEST_SSHD=require`.
    pub(super) fn start(more: &str) -> Option<Self> {
        let skipped = |why: &str| {
            assert!(std::env::var("SVCOPS_TEST_SSHD").as_deref() != Ok("require"), "no sshd: {why}");
            eprintln!("skipped: {why}");
            None
        };
        if !Path::new("/usr/sbin/sshd").exists() {
            return skipped("`/usr/sbin/sshd` is not there");
        }
        if !rustix::process::getuid().is_root() {
            return skipped("an sshd that logs in needs root");
        }
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        for key in ["host", "user"] {
            let made = std::process::Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f", &at(key)])
                .status();
            if !made.is_ok_and(|s| s.success()) {
                return skipped("`ssh-keygen` does not work");
            }
        }
        std::fs::create_dir_all("/run/sshd").unwrap();
        std::fs::copy(at("user.pub"), at("authorized")).unwrap();
        // the port is free now and most likely still in a moment
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host_key = std::fs::read_to_string(at("host.pub")).unwrap();
        std::fs::write(at("known"), format!("[127.0.0.1]:{port} {host_key}")).unwrap();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
             PermitRootLogin yes\nPasswordAuthentication no\nStrictModes no\n{more}\n",
            at("host"),
            at("authorized")
        );
        std::fs::write(at("sshd_config"), config).unwrap();
        let config = format!(
            "Host target\n  HostName 127.0.0.1\n  Port {port}\nHost *\n  User root\n  IdentityFile {}\n  IdentitiesOnly yes\n  \
             UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n",
            at("user"),
            at("known")
        );
        std::fs::write(at("config"), config).unwrap();
        let child = run(folder.path());
        let sshd = Self { folder, child, port };
        sshd.listens();
        Some(sshd)
    }

    /// Ends it: the port is nobody's then.
    pub(super) fn stop(&mut self) {
        let _killed = self.child.kill().is_ok();
        let _reaped = self.child.wait().is_ok();
    }

    /// Starts it anew, by what its files say now.
    pub(super) fn restart(&mut self) {
        self.stop();
        self.child = run(self.folder.path());
        self.listens();
    }

    /// How many are open.
    pub(super) fn connections(&self) -> usize {
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.child.id()));
        children.unwrap_or_default().split_whitespace().count()
    }

    /// Cuts all connections, and goes on listening.
    pub(super) fn hang_up(&self) {
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.child.id())).unwrap();
        assert!(!children.trim().is_empty());
        let killed = std::process::Command::new("kill").arg("-KILL").args(children.split_whitespace()).status();
        assert!(killed.unwrap().success());
    }

    /// How often somebody was let in.
    pub(super) fn logins(&self) -> usize {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        log.lines().filter(|line| line.contains("Accepted publickey")).count()
    }

    fn listens(&self) {
        for _ in 0..500 {
            if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("sshd never listened: {}", std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default())
    }
}

fn run(folder: &Path) -> std::process::Child {
    std::process::Command::new("/usr/sbin/sshd")
        .args(["-D", "-e", "-f"])
        .arg(folder.join("sshd_config"))
        .stderr(std::fs::File::create(folder.join("log")).unwrap())
        .spawn()
        .unwrap()
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _killed = self.child.kill().is_ok();
        let _reaped = self.child.wait().is_ok();
    }
}
