//! A project in a folder of its own, and svcops run in it as a user would: with a home, a state directory and an
//! environment that hold nothing of this machine's.

use serde_json::Value;
use std::{
    fmt,
    io::{BufRead as _, BufReader, Read as _},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
};
use tempfile::TempDir;

/// A project folder, with a home and a state directory beside it.
pub struct Project {
    folder: TempDir,
}

impl Project {
    /// A project with that `svcops.yaml`.
    pub fn new(inventory: &str) -> Self {
        let project = Self { folder: tempfile::Builder::new().prefix("svcops").tempdir().unwrap() };
        std::fs::create_dir_all(project.home()).unwrap();
        project.file("svcops.yaml", inventory);
        project
    }
    /// Writes a file of the project.
    pub fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }
    /// The folder with `svcops.yaml`.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("project")
    }
    /// What `~` is.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }
    /// Where the journal is.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }
    /// svcops with these words, not yet started.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_svcops"));
        command
            .args(words)
            .current_dir(self.root())
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.home())
            .env("SVCOPS_STATE", self.state())
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .env("COLUMNS", "100")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }
    /// svcops with these words, to its end.
    pub fn svcops(&self, words: &[&str]) -> Ended {
        Ended::of(words, &mut self.command(words))
    }
    /// svcops with these words and `-o jsonl`, its events to be read one by one.
    pub fn stream(&self, words: &[&str]) -> Running {
        let words = [words, &["-o", "jsonl"]].concat();
        let mut child = self.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Running { words: words.join(" "), child, lines, text: String::new() }
    }
    /// The newest run as `history list` shows it.
    pub fn newest(&self) -> Value {
        let list = self.svcops(&["history", "list", "-o", "json"]).exits(0).json();
        list["runs"][0].clone()
    }
    /// The word for how a run ended.
    pub fn outcome(&self, run: &str) -> String {
        let list = self.svcops(&["history", "list", "-o", "json"]).exits(0).json();
        let row = list["runs"].as_array().unwrap().iter().find(|row| row["run"] == run).unwrap();
        row["outcome"].as_str().unwrap().to_owned()
    }
    /// All events of a run, as `history show` has them.
    pub fn events(&self, run: &str) -> Vec<Value> {
        self.svcops(&["history", "show", run, "-o", "jsonl"]).exits(0).lines()
    }
}

/// How svcops ended.
#[derive(Clone)]
pub struct Ended {
    words: String,
    /// The exit code; none: a signal.
    pub code: Option<i32>,
    /// Data.
    pub stdout: String,
    /// Progress and messages.
    pub stderr: String,
}

impl Ended {
    /// A prepared command, to its end.
    pub fn of(words: &[&str], command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self {
            words: words.join(" "),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
    /// Holds the exit code against what is expected, and shows all that was said where it is another.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert!(self.code == Some(code), "expected exit code {code}\n{self}");
        self
    }
    /// Holds that one of the two outputs has this text.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text) || self.stderr.contains(text), "expected it to say `{text}`\n{self}");
        self
    }
    /// stdout as one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("stdout is no JSON: {e}\n{self}"))
    }
    /// stdout as one JSON value a line.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let read =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("`{line}` is no JSON: {e}\n{self}"));
        self.stdout.lines().map(read).collect()
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ svcops {}\nexit code: {:?}", self.words, self.code)?;
        writeln!(f, "--- stdout\n{}--- stderr\n{}", self.stdout, self.stderr)
    }
}

/// svcops while it runs.
pub struct Running {
    words: String,
    child: Child,
    lines: BufReader<ChildStdout>,
    text: String,
}

impl Running {
    /// The next event; none: it has ended.
    pub fn event(&mut self) -> Option<Value> {
        let mut line = String::new();
        (self.lines.read_line(&mut line).unwrap() > 0).then(|| {
            self.text += &line;
            serde_json::from_str(&line).unwrap()
        })
    }
    /// Reads on to the first event for which this holds; none: it ended before.
    pub fn until(&mut self, holds: impl Fn(&Value) -> bool) -> Option<Value> {
        std::iter::from_fn(|| self.event()).find(|event| holds(event))
    }
    /// `kill -9`, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
    /// To its end.
    pub fn finish(mut self) -> Ended {
        let mut stderr = String::new();
        while self.event().is_some() {}
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let code = self.child.wait().unwrap().code();
        Ended { words: self.words, code, stdout: self.text, stderr }
    }
}

/// Whether an event is of that kind.
pub fn is(event: &Value, kind: &str) -> bool {
    event["event"] == kind
}
