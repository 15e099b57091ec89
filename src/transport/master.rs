//! A connection of OpenSSH's that many commands share: its master, begun, asked and ended by svcops itself.

use super::shell::nonce;
use openssh::{Session, Stdio};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    io::{Read as _, Write as _},
    os::unix::{fs::DirBuilderExt, net::UnixStream},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{io::AsyncWriteExt, process::Command};

/// A master that is up. Dropped, it ends.
#[derive(Debug)]
pub(super) struct Master {
    session: Arc<Session>,
    folder: PathBuf,
}

/// What a master is asked for, beside what its file of options says.
pub(super) struct Wish<'a> {
    /// As ssh knows it.
    pub(super) host: &'a str,
    pub(super) user: Option<&'a str>,
    pub(super) port: Option<u16>,
    /// The file of options.
    pub(super) config: &'a Path,
    /// Stays so long after the last session.
    pub(super) idle: Duration,
}

impl Master {
    /// Logs in, with a socket in a folder of its own below `base`. Given up in the middle, ssh and whatever it began are
    /// ended: by itself it would wait for a slow host for ever.
    ///
    /// # Errors
    /// What ssh said.
    pub(super) async fn begin(base: &Path, wish: Wish<'_>) -> Result<Self, String> {
        let word = nonce();
        let folder = base.join(format!("m{}", word.get(1..13).unwrap_or(&word)));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|e| format!("the folder `{}` could not be made: {e}", folder.display()))?;
        let socket = folder.join("master");
        // from here on the folder is taken away, whatever happens
        let master = Self { session: Arc::new(Session::resume_mux(socket.clone().into_boxed_path(), None)), folder };
        let log = master.folder.join("log");
        let mut ssh = Command::new("ssh");
        ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        ssh.arg("-E").arg(&log).arg("-S").arg(&socket).args(["-M", "-f", "-N"]);
        ssh.args(["-o", &format!("ControlPersist={}s", wish.idle.as_secs())]);
        ssh.args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]);
        if let Some(user) = wish.user {
            ssh.args(["-l", user]);
        }
        if let Some(port) = wish.port {
            ssh.args(["-p", &port.to_string()]);
        }
        ssh.arg("-F").arg(wish.config).args(["--", wish.host]);
        // its own group, so that what it began for a jump host ends with it
        let mut child = ssh.process_group(0).spawn().map_err(|e| format!("`ssh` could not be run: {e}"))?;
        let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
        // it leaves a child that goes on, and ends, once it is logged in
        let ended = child.wait().await.map_err(|e| format!("`ssh` could not be waited for: {e}"))?;
        std::mem::forget(group);
        if ended.success() {
            return Ok(master);
        }
        let said = std::fs::read(&log).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let said = said.trim();
        let said = said.strip_prefix("ssh: ").unwrap_or(said);
        Err(if said.is_empty() { format!("`ssh` ended with {ended}") } else { said.to_owned() })
    }

    /// Where commands are asked for.
    pub(super) fn session(&self) -> Arc<Session> {
        Arc::clone(&self.session)
    }

    /// Ends it at once, as `ssh -O exit` does (PROTOCOL.mux of OpenSSH); a polite close would leave it until the last
    /// session ends by itself.
    pub(super) async fn end(&self) -> std::io::Result<()> {
        let mut master = tokio::net::UnixStream::connect(self.session.control_socket()).await?;
        master.write_all(&farewell()).await?;
        // it closes its end when it is gone
        tokio::io::copy(&mut master, &mut tokio::io::sink()).await.map(drop)
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let bye = || -> std::io::Result<()> {
            let mut master = UnixStream::connect(self.session.control_socket())?;
            master.set_write_timeout(Some(MOMENT))?;
            master.set_read_timeout(Some(MOMENT))?;
            master.write_all(&farewell())?;
            master.read_to_end(&mut Vec::new()).map(drop)
        };
        // mostly it is gone already
        let _ended = bye().is_ok();
        let _removed = std::fs::remove_dir_all(&self.folder).is_ok();
    }
}

/// A master on this machine answers within this, or not at all.
const MOMENT: Duration = Duration::from_millis(500);

fn farewell() -> Vec<u8> {
    const HELLO: [u32; 2] = [1, 4];
    const TERMINATE: [u32; 2] = [0x1000_0005, 0];
    let mut packets = Vec::new();
    for word in [8].into_iter().chain(HELLO).chain([8]).chain(TERMINATE) {
        packets.extend(word.to_be_bytes());
    }
    packets
}

/// Processes that end when this is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // one that has ended needs no end
            let _ended = kill_process_group(group, Signal::KILL).is_ok();
        }
    }
}
