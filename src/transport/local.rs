//! This machine as a host: the same shells and receipts, without ssh.

use super::{
    Fut, Lost, LostKind,
    shell::{Link, OpenError, Pipe},
};
use crate::base::HostName;
use std::{path::PathBuf, process::Stdio};

/// Starts commands here.
pub(crate) struct Local {
    pub(crate) host: HostName,
}

impl Link for Local {
    fn open<'a>(&'a self, command: &'a str) -> Fut<'a, Result<Pipe, OpenError>> {
        Box::pin(async move {
            let lost =
                |why: String| OpenError::Lost(Lost { host: Some(self.host.clone()), why, kind: LostKind::Unreachable });
            // of a group of its own, so that Ctrl-C at the terminal is for svcops alone
            let mut child = tokio::process::Command::new("/bin/sh")
                .args(["-c", command])
                .env_clear()
                .envs(std::env::vars_os().filter(|(name, _)| of_a_login(&name.to_string_lossy())))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .process_group(0)
                .kill_on_drop(true)
                .spawn()
                .map_err(|e| lost(format!("`/bin/sh` could not be run: {e}")))?;
            let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
                return Err(lost("`/bin/sh` has no input or output".to_owned()));
            };
            Ok(Pipe { input: Box::new(input), output: Box::new(output), child: Box::new(child) })
        })
    }

    fn tunnel<'a>(&'a self, _host: &'a str, _port: u16) -> Fut<'a, Result<Option<PathBuf>, String>> {
        Box::pin(async { Ok(None) })
    }

    fn close(&self) -> Fut<'_, ()> {
        Box::pin(async {})
    }
}

/// Whether a variable is one that a login brings. The others are this process's own, and secrets may be among them.
fn of_a_login(name: &str) -> bool {
    matches!(
        name,
        "HOME" | "USER" | "LOGNAME" | "SHELL" | "PATH" | "LANG" | "LANGUAGE" | "TZ" | "DBUS_SESSION_BUS_ADDRESS"
    ) || name.starts_with("LC_")
        || name.starts_with("XDG_")
}
