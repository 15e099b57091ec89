//! The reader's shell.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};
use tempfile::TempDir;

/// One bash from the first command to the last, so that `cd` and `$?` mean what a reader expects; no terminal.
pub struct Shell {
    folder: TempDir,
    child: Child,
    into: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    number: usize,
}

impl Shell {
    /// In a home that holds nothing, with svcops on its `PATH`. It ends after ten minutes, whatever happens.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("readme").tempdir().unwrap();
        let (home, bin) = (folder.path().join("home"), folder.path().join("bin"));
        fs::create_dir(&home).unwrap();
        fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_svcops"), bin.join("svcops")).unwrap();
        // ssh looks for its configuration in the home of the account, whatever HOME says; the reader's home is this one
        tool(&bin, "ssh", &format!("exec /usr/bin/ssh -F {}/.ssh/config \"$@\"", home.display()));
        tool(&bin, "cargo", &cargo(&home));
        let mut child = Command::new("timeout")
            .args(["600", "bash", "--norc", "--noprofile"])
            .current_dir(&home)
            .env_clear()
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", bin.display()))
            .env("HOME", &home)
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .env("COLUMNS", "100")
            .env("NO_COLOR", "1")
            .env("TMPDIR", folder.path())
            // as root it would be the one that this machine's projects share
            .env("SVCOPS_STATE", folder.path().join("state"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (into, from) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { folder, child, into, from, number: 0 }
    }
    /// `~`.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }
    /// Where it stands.
    pub fn folder(&mut self) -> PathBuf {
        PathBuf::from(self.say("pwd").1.trim_end())
    }
    /// Runs a command; answers its exit code, and what it said on both outputs.
    #[track_caller]
    pub fn say(&mut self, text: &str) -> (i32, String) {
        self.number += 1;
        let end = format!("--- end of command {} ", self.number);
        // What a command leaves behind must not hold the shell's own output open: it writes to a file.
        let out = self.folder.path().join("out");
        let out = out.display();
        let into = self.into.as_mut().unwrap();
        write!(
            into,
            "{{ {text}\n}} > {out} 2>&1 < /dev/null; __code=$?; cat {out}; echo; echo '{end}'$__code; (exit $__code)\n"
        )
        .unwrap();
        let mut said = String::new();
        loop {
            let mut line = String::new();
            let read = self.from.read_line(&mut line).unwrap();
            assert!(read > 0, "`{text}` did not end in time, or ended the shell; it said: {said}");
            if let Some(code) = line.strip_prefix(&end) {
                said.pop();
                return (code.trim_end().parse().unwrap(), said);
            }
            said += &line;
        }
    }
}

/// A tool of the reader's, in front of this machine's own.
fn tool(bin: &Path, name: &str, text: &str) {
    fs::write(bin.join(name), format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
}

/// The cargo that runs this test, for the reader's home; it takes what was built already instead of building a release.
fn cargo(home: &Path) -> String {
    let var = |name: &str, below: &str| {
        std::env::var(name).unwrap_or_else(|_| format!("{}/{below}", std::env::var("HOME").unwrap_or_default()))
    };
    let built = Path::new(env!("CARGO_BIN_EXE_svcops")).parent().unwrap();
    let profile = if built.ends_with("debug") { "--debug" } else { "" };
    let cargo = var("CARGO", ".cargo/bin/cargo");
    // rustc lies beside it
    let tools = Path::new(&cargo).parent().unwrap().display();
    format!(
        "export PATH='{tools}':$PATH CARGO_HOME='{}' RUSTUP_HOME='{}' CARGO_INSTALL_ROOT='{}/.cargo'\nexec '{cargo}' \"$@\" {profile} --offline --target-dir '{}'",
        var("CARGO_HOME", ".cargo"),
        var("RUSTUP_HOME", ".rustup"),
        home.display(),
        built.parent().unwrap().display(),
    )
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.into.take());
        let _reaped = self.child.wait().is_ok();
    }
}

#[test]
fn a_shell_keeps_its_folder_and_the_last_exit_code() {
    let mut shell = Shell::start();
    assert_eq!(shell.say("cd / && pwd"), (0, "/\n".to_owned()));
    assert_eq!(shell.say("pwd >&2; false").0, 1);
    assert_eq!(shell.say("echo $?"), (0, "1\n".to_owned()));
    assert_eq!(shell.say("printf x"), (0, "x".to_owned()));
    assert!(shell.say("svcops --version").1.starts_with("svcops "));
}
