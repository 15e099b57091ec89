//! svcops as its users meet it: words in; stdout, stderr and an exit code out. One file a subcommand.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should say so at once")]

mod completions;
mod help;
mod init;
mod looks;
mod plan;
mod rehearse;
mod report;
mod run;
mod status;
mod ticket;
mod usage;

use insta::internals::SettingsBindDropGuard;
use std::{
    fmt,
    path::PathBuf,
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// A world of its own: a project of local hosts, a home, a state directory, and nothing of this machine's environment.
pub(crate) struct Site {
    folder: TempDir,
    hosts: Vec<String>,
    more: String,
    _filters: SettingsBindDropGuard,
}

impl Site {
    /// A project without a host.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("svcops-cli").tempdir_in("/tmp").unwrap();
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(r"\b01[0-9A-HJKMNP-TV-Z]{8}\b", "[RUN]");
        settings.add_filter(r"\b\d\d:\d\d:\d\dZ", "[TIME]");
        settings.add_filter(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?", "[WHEN]");
        settings.add_filter(r"\b\d+\.\d+s\b", "[SECS]");
        settings.add_filter(r"plan [0-9a-f]{12}\b", "plan [HASH]");
        settings.add_filter(r"marks, by \S+", "marks, by [USER]");
        settings.add_filter(r"(`\w+`) by \S+", "$1 by [USER]");
        settings.add_filter(r"same, by \S+", "same, by [USER]");
        settings.add_filter(&regex_of(folder.path().to_str().unwrap()), "[SITE]");
        let site = Self { folder, hosts: Vec::new(), more: String::new(), _filters: settings.bind_to_scope() };
        for folder in [site.root(), site.home(), site.path("state")] {
            std::fs::create_dir_all(folder).unwrap();
        }
        site.write();
        site
    }
    /// With one more host, acted on without ssh.
    pub(crate) fn host(mut self, name: &str) -> Self {
        self.hosts.push(format!("  {name}: {{local: true, labels: {{role: web}}}}\n"));
        self.write();
        self
    }
    /// With more of `svcops.yaml`.
    pub(crate) fn yaml(mut self, text: &str) -> Self {
        self.more += text;
        self.more.push('\n');
        self.write();
        self
    }
    /// With a runbook; it is kept under the name that stands in it.
    pub(crate) fn runbook(self, text: &str) -> Self {
        let name = text.lines().find_map(|l| l.trim().strip_prefix("name: ")).unwrap().to_owned();
        let indent =
            text.lines().filter(|l| !l.trim().is_empty()).map(|l| l.len() - l.trim_start().len()).min().unwrap();
        let text: String = text.lines().map(|l| l.get(indent..).unwrap_or("").to_owned() + "\n").collect();
        self.file(&format!("runbooks/{name}.yaml"), &text)
    }
    /// With a file of the project.
    pub(crate) fn file(self, path: &str, text: &str) -> Self {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }
    /// The folder with `svcops.yaml`.
    pub(crate) fn root(&self) -> PathBuf {
        self.path("project")
    }
    /// What `~` is.
    pub(crate) fn home(&self) -> PathBuf {
        self.path("home")
    }
    /// A path beside the project.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    /// A text in which `SITE` is the folder of this world.
    pub(crate) fn fill(&self, text: &str) -> String {
        text.replace("SITE", self.folder.path().to_str().unwrap())
    }
    /// svcops with these words (quotes as in a shell), to its end.
    pub(crate) fn svcops(&self, words: &str) -> Output {
        let output = self.command(words).output().unwrap();
        Output {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
    /// The same, not yet started.
    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_svcops"));
        command
            .args(split(words))
            .current_dir(self.root())
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.home())
            .env("SVCOPS_STATE", self.path("state"))
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .env("COLUMNS", "100")
            .env("NO_COLOR", "1")
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null());
        command
    }

    fn write(&self) {
        let mut text = "project: test\n".to_owned();
        if !self.hosts.is_empty() {
            text += &format!("hosts:\n{}", self.hosts.concat());
        }
        std::fs::write(self.root().join("svcops.yaml"), text + &self.more).unwrap();
    }
}

/// How svcops ended.
pub(crate) struct Output {
    /// Its exit code; none: a signal.
    pub(crate) code: Option<i32>,
    /// Data.
    pub(crate) stdout: String,
    /// Everything else.
    pub(crate) stderr: String,
}

impl Output {
    /// It must have ended so.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }
    /// Its data as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self}"))
    }
    /// Its data as JSON lines.
    pub(crate) fn lines(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or_else(|| "a signal".to_owned(), |c| c.to_string());
        writeln!(f, "exit: {code}")?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                writeln!(f, "--- {name}\n{}", text.trim_end())?;
            }
        }
        Ok(())
    }
}

fn split(words: &str) -> Vec<String> {
    let (mut all, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    for c in words.chars() {
        match (c, quote) {
            (c, Some(q)) if c == q => quote = None,
            ('\'' | '"', None) => (quote, begun) = (Some(c), true),
            (' ', None) => {
                if begun || !word.is_empty() {
                    all.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            (c, _) => word.push(c),
        }
    }
    if begun || !word.is_empty() {
        all.push(word);
    }
    all
}

fn regex_of(text: &str) -> String {
    text.chars().map(|c| if c.is_alphanumeric() || c == '/' { c.to_string() } else { format!("\\{c}") }).collect()
}
