//! The way to a host by ssh: one master a host and run, made when it is first needed and again when it was lost.
//!
//! OpenSSH itself does the talking, so whatever works for `ssh HOST` works here: keys, agents, jump hosts, GSSAPI. Only a
//! few options stand before the user's own, in a file of the run that includes them.

use super::{
    Fut, Lost, LostKind,
    fleet::Options,
    master::{Master, Wish},
    shell::{Link, OpenError, Pipe, nonce},
    vault::home,
};
use crate::{base::HostName, inventory::Host};
use openssh::{Error, ForwardType, Socket, Stdio};
use std::{
    collections::BTreeMap,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex as Lock},
    time::Duration,
};
use tokio::{
    sync::{Mutex, Semaphore},
    time::timeout,
};

/// What all connections of a run share: their folder, and how many are made at once.
pub(crate) struct Gate {
    pub(super) options: Options,
    pub(super) connects: Semaphore,
    folder: Lock<Option<PathBuf>>,
}

impl Gate {
    /// The path of a socket is folder + `/mXXXXXXXXXXXX/master.` + 16 letters that ssh adds while it binds, and must stay
    /// below 108 bytes, with some to spare.
    const LONGEST: usize = 61;

    pub(crate) fn new(options: Options) -> Self {
        let connects = Semaphore::new(options.connects.max(1));
        Self { options, connects, folder: Lock::new(None) }
    }

    /// The folder of the run's connections: 0700 and nobody else's.
    pub(super) fn folder(&self) -> Result<PathBuf, String> {
        let mut held = self.folder.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(folder) = &*held {
            return Ok(folder.clone());
        }
        let folder = self.prepare()?;
        *held = Some(folder.clone());
        Ok(folder)
    }

    fn prepare(&self) -> Result<PathBuf, String> {
        let uid = rustix::process::getuid().as_raw();
        let own = |path: &Path| -> Result<(), String> {
            let failed = |e: std::io::Error| format!("the folder `{}` could not be made: {e}", path.display());
            match std::fs::DirBuilder::new().mode(0o700).create(path) {
                Ok(()) => {}
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(failed(e)),
            }
            let found = std::fs::symlink_metadata(path).map_err(failed)?;
            if !found.is_dir() || found.uid() != uid || found.mode() & 0o077 != 0 {
                return Err(format!("`{}` cannot be trusted: a folder of mode 0700 was expected", path.display()));
            }
            Ok(())
        };
        let folder = if let Some(control) = &self.options.control {
            if let Some(parent) = control.parent() {
                std::fs::create_dir_all(parent).map_err(|e| format!("`{}`: {e}", parent.display()))?;
            }
            control.clone()
        } else {
            let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|p| p.is_dir());
            let base = runtime.map_or_else(|| PathBuf::from(format!("/tmp/svcops-{uid}")), |p| p.join("svcops"));
            own(&base)?;
            let word = nonce();
            sweep(&base);
            base.join(format!("ssh-{}", word.get(1..13).unwrap_or(&word)))
        };
        let length = folder.as_os_str().len();
        if length > Self::LONGEST {
            return Err(format!(
                "`{}` has {length} bytes, a folder for sockets may have {} at most",
                folder.display(),
                Self::LONGEST
            ));
        }
        own(&folder)?;
        Ok(folder)
    }

    /// Takes the folder away, unless it was given: the connections are gone by then.
    pub(crate) fn close(&self) {
        let folder = self.folder.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let (Some(folder), None) = (folder, &self.options.control) {
            // what may be left in it holds no secret
            let _removed = std::fs::remove_dir_all(folder).is_ok();
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.close();
    }
}

/// A host by ssh.
pub(crate) struct Ssh {
    // before the target: its folder must be there while a master ends
    master: Mutex<Option<Arc<Master>>>,
    target: Arc<Target>,
    tunnels: Lock<BTreeMap<(String, u16), PathBuf>>,
}

/// All that is needed to connect.
pub(super) struct Target {
    host: HostName,
    pub(super) address: Option<String>,
    pub(super) ssh: crate::inventory::Ssh,
    pub(super) gate: Arc<Gate>,
}

impl Ssh {
    pub(crate) fn new(host: &Host, gate: Arc<Gate>) -> Self {
        Self { target: Arc::new(Target::new(host, gate)), master: Mutex::new(None), tunnels: Lock::default() }
    }

    async fn master(&self) -> Result<Arc<Master>, Lost> {
        let mut held = self.master.lock().await;
        if let Some(master) = &*held {
            return Ok(Arc::clone(master));
        }
        // Of a task of its own, which comes to its end whoever gave up waiting for it: the next one finds it made.
        let target = Arc::clone(&self.target);
        let connecting = tokio::spawn(async move { target.connect().await });
        let master = connecting.await.map_err(|e| self.target.lost(e.to_string(), LostKind::Cancelled))??;
        let master = Arc::new(master);
        *held = Some(Arc::clone(&master));
        Ok(master)
    }

    /// Forgets a connection that is no more, so that the next command makes another.
    async fn forget(&self, dead: &Arc<Master>) {
        let mut held = self.master.lock().await;
        if held.as_ref().is_some_and(|master| Arc::ptr_eq(master, dead)) {
            *held = None;
            if let Ok(mut tunnels) = self.tunnels.lock() {
                tunnels.clear();
            }
        }
    }
}

impl Link for Ssh {
    fn open<'a>(&'a self, command: &'a str) -> Fut<'a, Result<Pipe, OpenError>> {
        Box::pin(async move {
            let mut again = true;
            loop {
                let master = self.master().await.map_err(OpenError::Lost)?;
                let mut asked = master.session().arc_raw_command(command);
                asked.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
                let said = match timeout(OPENING, asked.spawn()).await {
                    Ok(Ok(mut child)) => {
                        let (Some(input), Some(output)) = (child.stdin().take(), child.stdout().take()) else {
                            return Err(OpenError::Lost(
                                self.target.lost("a session has no input or output".into(), LostKind::Unreachable),
                            ));
                        };
                        let child = Box::new((child, master));
                        return Ok(Pipe { input: Box::new(input), output: Box::new(output), child });
                    }
                    Ok(Err(error)) => chain(&error),
                    Err(_) => format!("no session within {} s", OPENING.as_secs()),
                };
                if said.to_lowercase().contains("session open refused") {
                    return Err(OpenError::Full);
                }
                self.forget(&master).await;
                if !std::mem::take(&mut again) {
                    return Err(OpenError::Lost(self.target.lost(said, LostKind::Unreachable)));
                }
            }
        })
    }

    fn tunnel<'a>(&'a self, host: &'a str, port: u16) -> Fut<'a, Result<Option<PathBuf>, String>> {
        Box::pin(async move {
            let master = self.master().await.map_err(|lost| lost.why)?;
            let key = (host.to_owned(), port);
            let known = self.tunnels.lock().ok().and_then(|tunnels| tunnels.get(&key).cloned());
            if let Some(socket) = known {
                return Ok(Some(socket));
            }
            let word = nonce();
            let socket = self.target.gate.folder()?.join(word.get(1..17).unwrap_or(&word));
            master
                .session()
                .request_port_forward(ForwardType::Local, Socket::from(socket.as_path()), Socket::new(host, port))
                .await
                .map_err(|error| format!("no way through the host: {}", chain(&error)))?;
            if let Ok(mut tunnels) = self.tunnels.lock() {
                tunnels.insert(key, socket.clone());
            }
            Ok(Some(socket))
        })
    }

    fn close(&self) -> Fut<'_, ()> {
        Box::pin(async move {
            let Some(master) = self.master.lock().await.take() else { return };
            // a master that is gone already, or hangs, ends by its idle time
            let _ended = timeout(Duration::from_secs(2), master.end()).await.is_ok();
            let sockets = self.tunnels.lock().map(|mut tunnels| std::mem::take(&mut *tunnels)).unwrap_or_default();
            for socket in sockets.into_values() {
                let _removed = std::fs::remove_file(socket).is_ok();
            }
        })
    }
}

/// A session on a connection that is up is there within this, or the connection is not.
pub(super) const OPENING: Duration = Duration::from_secs(20);

impl Target {
    /// How long a master stays after the last session: long enough between two steps, short for one left behind by a
    /// svcops that was killed.
    const IDLE: Duration = Duration::from_secs(120);

    pub(super) fn new(host: &Host, gate: Arc<Gate>) -> Self {
        Self { host: host.name.clone(), address: host.address.clone(), ssh: host.ssh.clone(), gate }
    }

    /// What ssh is called with.
    pub(super) fn host(&self) -> &str {
        self.host.as_str()
    }

    async fn connect(&self) -> Result<Master, Lost> {
        let gate = &self.gate;
        let _permit = gate.connects.acquire().await.map_err(|e| self.lost(e.to_string(), LostKind::Cancelled))?;
        let mine = |why: String| self.lost(why, LostKind::Unreachable);
        let folder = gate.folder().map_err(mine)?;
        let config = self.config(&folder).map_err(mine)?;
        let wish = Wish {
            host: self.host.as_str(),
            user: self.ssh.user.as_deref(),
            port: self.ssh.port,
            config: &config,
            idle: Self::IDLE,
        };
        // ssh's own limit ends with the server's greeting; what hangs after that ends here
        let whole = gate.options.patience + Duration::from_secs(10);
        match timeout(whole, Master::begin(&folder, wish)).await {
            Ok(Ok(master)) => Ok(master),
            Ok(Err(said)) => {
                let said = short(&said);
                let kind = kind(&said);
                Err(self.lost(said, kind))
            }
            Err(_) => Err(self.lost(format!("no answer within {} s", whole.as_secs()), LostKind::Unreachable)),
        }
    }

    /// The user's own options.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        match &self.ssh.config {
            Some(path) => vec![home(path)],
            None => vec![home("~/.ssh/config"), PathBuf::from("/etc/ssh/ssh_config")],
        }
    }

    /// A file of options around the user's own: the first that is said of an option counts.
    pub(super) fn config(&self, folder: &Path) -> Result<PathBuf, String> {
        let mut text = String::new();
        if let Some(address) = &self.address {
            text.push_str(&format!("Host {}\n  HostName {address}\n", self.host));
        }
        text.push_str("Match all\n  PermitLocalCommand no\n  EscapeChar none\n");
        if let Some(path) = &self.ssh.config {
            let path = home(path);
            std::fs::metadata(&path).map_err(|e| format!("could not read `{}`: {e}", path.display()))?;
        }
        for path in self.files() {
            text.push_str(&format!("Match all\n  Include \"{}\"\n", path.display()));
        }
        // unless they say otherwise: 15 s of silence end a connection
        let within = self.gate.options.patience.as_secs().max(1);
        text.push_str(&format!(
            "Match all\n  ConnectTimeout {within}\n  ServerAliveInterval 5\n  ServerAliveCountMax 3\n"
        ));
        let path = folder.join(format!("{}.conf", nonce()));
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| format!("`{}` could not be made: {e}", path.display()))?;
        std::io::Write::write_all(&mut file, text.as_bytes())
            .map_err(|e| format!("`{}` could not be written: {e}", path.display()))?;
        Ok(path)
    }

    pub(super) fn lost(&self, why: String, kind: LostKind) -> Lost {
        Lost { host: Some(self.host.clone()), why, kind }
    }
}

/// Takes away what runs of a month ago left that were killed.
fn sweep(base: &Path) {
    const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
    let Ok(entries) = std::fs::read_dir(base) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("ssh-")) {
        let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age > MONTH) {
            let _removed = std::fs::remove_dir_all(entry.path()).is_ok();
        }
    }
}

pub(super) const CHANGED: &str = "its host key is another than the known one";

/// ssh's own text decides: nothing else tells these apart.
fn kind(said: &str) -> LostKind {
    let lower = said.to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    if has(&[
        "host key verification failed",
        CHANGED,
        "remote host identification has changed",
        "host key is known for",
    ]) {
        LostKind::HostKey
    } else if has(&["permission denied (", "too many authentication failures", "no supported authentication methods"]) {
        LostKind::Denied
    } else {
        LostKind::Unreachable
    }
}

/// The last cause, which is ssh's own text or the system's: what stands before it says only that it failed.
fn chain(error: &Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(next) = deepest.source() {
        deepest = next;
    }
    let said = short(&deepest.to_string());
    if said.is_empty() { error.to_string() } else { said }
}

/// What ssh said on one line. Its page about a changed host key becomes the two facts in it: the key, and where the
/// other one stands.
fn short(said: &str) -> String {
    let lines: Vec<&str> =
        said.lines().map(|line| line.trim().trim_end_matches('.')).filter(|line| !line.is_empty()).collect();
    if !said.contains("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        return lines.join("; ");
    }
    let mut text = CHANGED.to_owned();
    if let Some(key) = lines.iter().find(|line| line.starts_with("SHA256:") || line.starts_with("MD5:")) {
        text += &format!("; it shows {key}");
    }
    if let Some((_, place)) = lines.iter().find_map(|line| line.strip_prefix("Offending ")?.split_once(" key in ")) {
        text += &format!(", the known one stands in {place}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_says_tells_a_wrong_key_from_a_wrong_user_from_no_way() {
        for (said, wanted) in [
            ("No ED25519 host key is known for a and you have requested strict checking.", LostKind::HostKey),
            ("Host key verification failed.", LostKind::HostKey),
            ("ops@a: Permission denied (publickey).", LostKind::Denied),
            ("connect to host a port 22: Connection refused", LostKind::Unreachable),
            ("connect to host a port 22: Permission denied", LostKind::Unreachable),
        ] {
            assert_eq!(kind(said), wanted, "{said}");
        }
    }

    #[test]
    fn a_changed_host_key_is_two_facts_and_no_page_of_at_signs() {
        let page = "@@@@@@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n@@@@@@@@\nThe fingerprint for the ED25519 \
                    key sent by the remote host is\nSHA256:fIZn.\nAdd correct host key in /k to get rid of this \
                    message.\nOffending ED25519 key in /k:4\nHost key verification failed.\n";
        let said = short(page);
        assert_eq!(
            said,
            "its host key is another than the known one; it shows SHA256:fIZn, the known one stands in /k:4"
        );
        assert_eq!(kind(&said), LostKind::HostKey);
        assert_eq!(short("a.\n\nb\n"), "a; b");
    }

    #[test]
    fn an_address_comes_before_the_users_options_and_leaves_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let user = dir.path().join("user config");
        std::fs::write(&user, "Host a\n  HostName wrong\n  HostKeyAlias alias\nHost *\n  User ops\n").unwrap();
        let gate = Arc::new(Gate::new(Options::default()));
        let ssh = crate::inventory::Ssh { config: Some(user.to_string_lossy().into_owned()), ..Default::default() };
        let target = Target { host: "a".into(), address: Some("10.0.0.9".into()), ssh, gate };
        let config = target.config(dir.path()).unwrap();
        let Ok(out) = std::process::Command::new("ssh").arg("-G").arg("-F").arg(config).arg("a").output() else {
            return;
        };
        let said = String::from_utf8_lossy(&out.stdout);
        for line in ["hostname 10.0.0.9", "hostkeyalias alias", "user ops"] {
            assert!(said.lines().any(|l| l == line), "{line}: {said}{}", String::from_utf8_lossy(&out.stderr));
        }
    }

    #[test]
    fn a_folder_too_long_for_a_socket_is_refused_before_ssh_is_called() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { control: Some(dir.path().join("x".repeat(70))), ..Options::default() };
        assert!(Gate::new(options).folder().unwrap_err().contains("61 at most"));
    }

    #[test]
    fn a_folder_of_others_is_not_used_for_sockets() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("open");
        std::fs::DirBuilder::new().mode(0o755).create(&open).unwrap();
        let options = Options { control: Some(open), ..Options::default() };
        assert!(Gate::new(options).folder().unwrap_err().contains("0700"));
    }
}
