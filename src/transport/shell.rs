//! The shells of a host: a few that stay, each asked by scripts through its standard input. So a question costs a round
//! trip and no login, and nothing but a constant ever stands in an argv.
//!
//! The command given to the login shell is `COMMAND`, which means the same to sh, bash, csh, tcsh and fish. A script is sent
//! as one group: no shell runs anything of a group before it has read all of it, so half a script does nothing. Answers
//! are lines that begin with the script's nonce, some with bytes behind them up to a line that is the nonce; whatever else
//! is printed (by a login's own files) is passed over.

use super::{Fut, Lost, LostKind};
use crate::base::HostName;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    sync::Semaphore,
    time::timeout,
};
use zeroize::Zeroizing;

/// A word for `sh` that stands for exactly this text. NUL bytes, which no word can hold, are left out.
pub fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with(['-', '=']) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\0', "").replace('\'', r"'\''"))
}

/// Words for `sh`, one after the other.
pub fn words<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    texts.into_iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// What the login shell is told to run: a shell that reads from its standard input what to do.
pub(crate) const COMMAND: &str = "exec sh";
/// Stores standard input in a file below the receipts. A constant but for hexadecimal digits, so that it, too, means the
/// same to every login's shell.
pub(crate) fn store(name: &str) -> String {
    format!(
        "exec sh -c 'umask 077; F=/tmp/svcops-$(id -u)/{name}; mkdir -p \"${{F%/*}}\" && cat >\"$F\" && echo stored'"
    )
}

/// What every session is taught first.
const SESSION: &str = include_str!("remote/session.sh");
/// What every act begins with.
const RUNNER: &str = include_str!("remote/runner.sh");

static LESSON: LazyLock<String> = LazyLock::new(|| {
    format!("{}S_runner={}\n{}\n", bare(SESSION), quote(&bare(RUNNER)), super::remote::probe::lesson())
});

/// What a session is taught when a script first calls it: a word of the script, and the lesson. Most sessions never need
/// them, and together they are longer than the rest.
static MORE: LazyLock<[(&str, String); 2]> =
    LazyLock::new(|| [("s_pair ", super::remote::pair::lesson()), ("s_pg ", super::remote::pg::lesson())]);

/// The beginning of what a host says of itself: it is shown, and kept for ever, and no host has a right to more.
pub(crate) fn brief(text: &str) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(500) {
        None => text.into(),
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()).into(),
    }
}

/// Without comments and indentation: some shells read their input byte by byte.
pub(crate) fn bare(script: &str) -> String {
    let lines = script.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// A command's two ends; it is let go when this is dropped.
pub(crate) struct Pipe {
    pub(crate) input: Box<dyn AsyncWrite + Send + Unpin>,
    pub(crate) output: Box<dyn AsyncRead + Send + Unpin>,
    /// What must live as long as the pipe.
    pub(crate) child: Box<dyn Send>,
}

/// A way to start commands on a host.
pub(crate) trait Link: Send + Sync {
    /// Starts a command; a text for the login's shell.
    fn open<'a>(&'a self, command: &'a str) -> Fut<'a, Result<Pipe, OpenError>>;
    /// A socket on this machine that leads to a port as the host sees it; none where that is the same.
    /// Why there is none, in words.
    fn tunnel<'a>(&'a self, host: &'a str, port: u16) -> Fut<'a, Result<Option<std::path::PathBuf>, String>>;
    /// Ends the way.
    fn close(&self) -> Fut<'_, ()>;
}

/// Why a command could not be started.
pub(crate) enum OpenError {
    /// The host allows no more sessions now; nothing was started.
    Full,
    /// There is no way to it.
    Lost(Lost),
}

/// The answers to a script: by name, in order.
#[derive(Debug, Default)]
pub(crate) struct Frames(BTreeMap<String, Vec<u8>>);

impl Frames {
    /// The bytes under a name.
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }
    /// The text under a name, without space around it; empty if there is none.
    pub(crate) fn text(&self, name: &str) -> String {
        self.bytes(name).map(|b| String::from_utf8_lossy(b).trim().to_owned()).unwrap_or_default()
    }
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn with(mut self, name: &str, bytes: &[u8]) -> Self {
        self.0.insert(name.to_owned(), bytes.to_vec());
        self
    }
}

/// The shells of one host.
pub(crate) struct Shells {
    // before the link: shells hold on to its connection
    idle: Mutex<Vec<Shell>>,
    host: Option<HostName>,
    link: Arc<dyn Link>,
    permits: Semaphore,
    tidied: AtomicBool,
}

impl Shells {
    /// At most this many at once: below sshd's own limit (MaxSessions 10), which counts some that have ended.
    const MOST: usize = 6;
    /// How long a new session may take to answer.
    const GREETING: Duration = Duration::from_secs(20);

    pub(crate) fn new(host: Option<HostName>, link: Arc<dyn Link>) -> Self {
        Self { host, link, permits: Semaphore::new(Self::MOST), idle: Mutex::default(), tidied: AtomicBool::new(false) }
    }

    /// Runs a script and brings its answers. `silence` is how long the host may say nothing, not even a pulse.
    ///
    /// A shell that stayed may have died in between: then the script is sent once more, to a new one. So a script must
    /// bear to be run twice.
    pub(crate) async fn ask(&self, script: &str, silence: Duration) -> Result<Frames, Lost> {
        let _permit = self.permits.acquire().await.map_err(|_| self.lost("the connection was closed"))?;
        let mut stayed = self.pop();
        loop {
            let again = stayed.is_some();
            let mut shell = match stayed.take() {
                Some(shell) => shell,
                None => self.open().await?,
            };
            match shell.ask(script, silence).await {
                Ok(frames) => {
                    self.push(shell);
                    return Ok(frames);
                }
                Err(Broken::Ended) if again => {}
                Err(Broken::Ended) => return Err(self.lost("the connection ended before the answer came")),
                Err(Broken::Silent) => return Err(self.silent(silence)),
                Err(Broken::Endless) => return Err(self.lost(ENDLESS)),
            }
        }
    }

    /// Starts a command with a session of its own.
    pub(crate) async fn start(&self, command: &str) -> Result<Pipe, Lost> {
        let mut turn = Turn::default();
        loop {
            match self.link.open(command).await {
                Ok(pipe) => return Ok(pipe),
                Err(OpenError::Lost(lost)) => return Err(lost),
                // nothing was started: an idle shell gives its place up, or another task's command ends some time
                Err(OpenError::Full) => drop(self.pop()),
            }
            self.wait(&mut turn).await?;
        }
    }

    /// Waits before a session is asked for again. A host that refuses while others of this run have theirs is full; one
    /// that refuses the only one is asked a few times, for it counts some that have just ended.
    async fn wait(&self, turn: &mut Turn) -> Result<(), Lost> {
        if self.permits.available_permits() + 1 >= Self::MOST {
            turn.alone += 1;
        }
        if turn.alone > 12 {
            return Err(self.lost("the host allows no session: session open refused by peer"));
        }
        turn.pause = (turn.pause * 2).clamp(Duration::from_millis(20), Duration::from_secs(1));
        tokio::time::sleep(turn.pause).await;
        Ok(())
    }

    /// A permit for a session beside the shells.
    pub(crate) async fn permit(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Lost> {
        self.permits.acquire().await.map_err(|_| self.lost("the connection was closed"))
    }

    pub(crate) fn link(&self) -> &dyn Link {
        &*self.link
    }

    /// Ends all that idle, and then the way itself.
    pub(crate) async fn close(&self) {
        while let Some(shell) = self.pop() {
            drop(shell);
        }
        self.link.close().await;
    }

    pub(crate) fn lost(&self, why: &str) -> Lost {
        Lost { host: self.host.clone(), why: why.to_owned(), kind: LostKind::Unreachable }
    }

    fn silent(&self, silence: Duration) -> Lost {
        self.lost(&format!("no answer within {} s", silence.as_secs().max(1)))
    }

    async fn open(&self) -> Result<Shell, Lost> {
        let mut turn = Turn::default();
        let mut shell = loop {
            match self.link.open(COMMAND).await {
                Ok(pipe) => break Shell::new(pipe),
                Err(OpenError::Lost(lost)) => return Err(lost),
                Err(OpenError::Full) => {}
            }
            self.wait(&mut turn).await?;
            if let Some(shell) = self.pop() {
                return Ok(shell);
            }
        };
        let mut lesson = LESSON.clone();
        if !self.tidied.swap(true, Ordering::Relaxed) {
            lesson.push_str("s_tidy\n");
        }
        // in all: a login that chatters for ever says something all the time
        let greeted = timeout(Self::GREETING, shell.learn(&lesson, Self::GREETING)).await;
        match greeted.unwrap_or(Err(Broken::Silent)) {
            Ok(_) => Ok(shell),
            Err(Broken::Silent) => Err(self.silent(Self::GREETING)),
            Err(Broken::Endless) => Err(self.lost(ENDLESS)),
            Err(Broken::Ended) => {
                Err(self.lost("the login's shell ended at once: is `sh` there, and a shell allowed?"))
            }
        }
    }

    fn pop(&self) -> Option<Shell> {
        self.idle.lock().ok()?.pop()
    }

    fn push(&self, shell: Shell) {
        if let Ok(mut idle) = self.idle.lock() {
            idle.push(shell);
        }
    }
}

const ENDLESS: &str = "the host says more than it was asked for, and does not end";

/// How often a session was refused.
#[derive(Default)]
struct Turn {
    alone: u32,
    pause: Duration,
}

enum Broken {
    Silent,
    Ended,
    /// It says more than anybody asked for.
    Endless,
}

/// One shell that stays. Dropped in the middle of a script, it is never asked again.
struct Shell {
    input: Box<dyn AsyncWrite + Send + Unpin>,
    output: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    /// What it was taught of [`MORE`].
    taught: BTreeSet<&'static str>,
    _child: Box<dyn Send>,
}

impl Shell {
    /// More than this in one answer is nobody's answer, in bytes.
    const MOST: u64 = 16 << 20;
    /// And so is more than this beside the answer: a login's own words, a pulse of two bytes a second.
    const BESIDE: u64 = 1 << 20;
    /// What an answer costs beside its bytes.
    const EACH: u64 = 256;

    fn new(pipe: Pipe) -> Self {
        Self { input: pipe.input, output: BufReader::new(pipe.output), taught: BTreeSet::new(), _child: pipe.child }
    }

    /// What every session is taught first. bash reads its script byte by byte, which for so many costs more than a program
    /// that takes them at once, and leaves what follows.
    async fn learn(&mut self, lesson: &str, silence: Duration) -> Result<Frames, Broken> {
        let nonce = nonce();
        let group = format!("{{\n{lesson}\n}} </dev/null\n");
        let text = format!(
            "K={nonce}\n[ -z \"${{BASH_VERSION-}}\" ] || eval \"$(head -c {})\"\n{group}printf '%s end\\n' \"$K\"\n",
            group.len(),
        );
        self.converse(&nonce, &text, silence).await
    }

    async fn ask(&mut self, script: &str, silence: Duration) -> Result<Frames, Broken> {
        let nonce = nonce();
        // one that fails at a script is never asked again, so it counts as taught from here on
        let new = MORE.iter().filter(|(word, _)| script.contains(word) && self.taught.insert(word));
        let lessons: String = new.map(|(_, lesson)| lesson.as_str()).collect();
        let text =
            Zeroizing::new(format!("{{\nK={nonce}\n{lessons}{script}\nprintf '%s end\\n' \"$K\"\n}} </dev/null\n"));
        self.converse(&nonce, &text, silence).await
    }

    /// Sends a script, and takes the answers under its nonce.
    async fn converse(&mut self, nonce: &str, text: &str, silence: Duration) -> Result<Frames, Broken> {
        let Self { input, output, .. } = self;
        // A script of some size fills the pipe while the shell already prints: both ways at once.
        let send = async {
            input.write_all(text.as_bytes()).await.map_err(|_| Broken::Ended)?;
            input.flush().await.map_err(|_| Broken::Ended)
        };
        let receive = async {
            let (mut frames, mut room, mut beside) = (Frames::default(), Self::MOST, Self::BESIDE);
            loop {
                let mut line = Vec::new();
                let mut within = (&mut *output).take(Self::BESIDE);
                match timeout(silence, within.read_until(b'\n', &mut line)).await {
                    Err(_) => return Err(Broken::Silent),
                    Ok(Err(_) | Ok(0)) => return Err(Broken::Ended),
                    Ok(Ok(_)) => {}
                }
                let spent = line.len() as u64;
                let line = String::from_utf8_lossy(&line);
                let Some(rest) = line.trim_end_matches('\n').strip_prefix(nonce) else {
                    beside = beside.checked_sub(spent).ok_or(Broken::Endless)?;
                    continue;
                };
                room = room.checked_sub(spent + Self::EACH).ok_or(Broken::Endless)?;
                let rest = rest.trim_start();
                let Some((name, value)) = rest.split_once(' ') else { return Ok(frames) };
                let bytes = match value.trim_end() {
                    "<" => {
                        let mut bytes = Vec::new();
                        loop {
                            let begun = bytes.len();
                            let mut rest = (&mut *output).take(room);
                            match timeout(silence, rest.read_until(b'\n', &mut bytes)).await {
                                Err(_) => return Err(Broken::Silent),
                                Ok(Err(_) | Ok(0)) => {
                                    return Err(if room == 0 { Broken::Endless } else { Broken::Ended });
                                }
                                Ok(Ok(size)) => room = room.saturating_sub(size as u64),
                            }
                            if bytes.get(begun..).and_then(|line| line.strip_suffix(b"\n")) == Some(nonce.as_bytes()) {
                                // with the end of the line before it, which is no part of what was sent
                                bytes.truncate(begun.saturating_sub(1));
                                break bytes;
                            }
                        }
                    }
                    _ => value.strip_prefix('=').ok_or(Broken::Ended)?.as_bytes().to_vec(),
                };
                frames.0.insert(name.to_owned(), bytes);
            }
        };
        let (sent, frames) = tokio::join!(send, receive);
        let frames = frames?;
        sent?;
        Ok(frames)
    }
}

/// A word that stands in no text by chance: of this process, counted.
pub(crate) fn nonce() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut random = [0u8; 12];
    // without randomness the count and the process id still tell two nonces apart
    let _filled = aws_lc_rs::rand::fill(&mut random).is_ok();
    let word: String = random.iter().map(|b| format!("{b:02x}")).collect();
    format!("S{word}{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };

    fn through(shell: &str, text: &str) -> Option<String> {
        let script = format!("printf '%s' {}", quote(text));
        let out = Command::new(shell).args(["-c", &script]).output().ok()?;
        Some(String::from_utf8(out.stdout).unwrap())
    }

    #[test]
    fn every_login_shell_takes_the_two_commands_as_they_are() {
        for login in ["sh", "dash", "bash", "fish", "tcsh", "csh", "zsh", "ksh", "mksh"] {
            let ask = |command: &str, input: &str| {
                let mut shell = Command::new(login)
                    .args(["-c", command])
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()
                    .ok()?;
                shell.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
                Some(String::from_utf8(shell.wait_with_output().unwrap().stdout).unwrap())
            };
            let name = format!("{}/part", nonce());
            let Some(said) = ask(COMMAND, "echo \"it's $((6 * 7))!\"\n") else { continue };
            assert_eq!(said, "it's 42!\n", "{login}");
            assert_eq!(ask(&store(&name), "привет").unwrap(), "stored\n", "{login}");
            let file = format!("/tmp/svcops-{}/{name}", rustix::process::getuid().as_raw());
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "привет", "{login}");
            std::fs::remove_dir_all(std::path::Path::new(&file).parent().unwrap()).unwrap();
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn a_quoted_word_comes_out_of_a_shell_as_it_was(text in "[^\0]{0,40}") {
            for shell in ["sh", "dash", "bash"] {
                if let Some(out) = through(shell, &text) {
                    prop_assert_eq!(&out, &text);
                }
            }
        }
    }

    #[test]
    fn words_that_mean_something_to_a_shell_are_quoted() {
        for text in ["", "it's", "a b", "$HOME", "`id`", "-rf", "~", "*", "a\nb", "пароль", "!x", "#", "=x", "{a,b}"]
        {
            assert_eq!(through("sh", text).unwrap(), text);
        }
        assert_eq!(words(["a", "b c"]), "a 'b c'");
    }

    #[test]
    fn half_a_script_does_nothing() {
        for shell in ["sh", "dash", "bash"] {
            let dir = tempfile::tempdir().unwrap();
            let mark = dir.path().join("mark");
            let child = Command::new(shell).stdin(Stdio::piped()).stderr(Stdio::null()).spawn();
            let Ok(mut child) = child else { continue };
            let half = format!("{{\n: >{}\n:\n", quote(&mark.to_string_lossy()));
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), half.as_bytes()).unwrap();
            assert!(!child.wait().unwrap().success() && !mark.exists(), "{shell}");
        }
    }

    #[tokio::test]
    async fn an_answer_comes_as_it_is_whatever_bytes_are_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        let link = super::super::local::Local { host: "here".into() };
        let shells = Shells::new(None, Arc::new(link));
        let script = format!(
            "s_text empty ''\ns_text lines 'a\n\n'\ns_text two 'ж'\ns_say word x=y\ns_send file {0}\n: >{0}\ns_send none {0}\n",
            quote(&file.to_string_lossy())
        );
        for _ in 0..2 {
            std::fs::write(&file, b"\0\n\xff\n\nS12 =x").unwrap();
            let frames = shells.ask(&script, Duration::from_secs(20)).await.ok().unwrap();
            for (name, bytes) in [
                ("empty", &b""[..]),
                ("lines", b"a\n\n"),
                ("two", "ж".as_bytes()),
                ("word", b"x=y"),
                ("file", b"\0\n\xff\n\nS12 =x"),
                ("none", b""),
            ] {
                assert_eq!(frames.bytes(name), Some(bytes), "{name}");
            }
        }
    }

    #[test]
    fn an_act_has_its_two_pipes_wherever_a_shell_keeps_its_texts() {
        for shell in ["sh", "dash", "bash"] {
            for (named, runner) in [(false, bare(RUNNER)), (true, bare(RUNNER).replace("/proc/self/fd/", "/nowhere/"))]
            {
                let dir = tempfile::tempdir().unwrap();
                let others = "3<&- 4<&- 5>&- 6>&-";
                let script = format!(
                    "cd {}\nS_act=$PWD/act\n{runner}\ns_pipes || exit\n(cat >out) <&3 {others} &\n(cat >err) <&4 {others} &\n\
                     (printf 'a\\0b'; echo c >&2) >&5 2>&6 {others}\nexec {others}\nwait\n",
                    quote(&dir.path().to_string_lossy())
                );
                let ended = Command::new("timeout").args(["20", shell, "-c", &script]).status();
                if Command::new(shell).args(["-c", ":"]).status().is_err() {
                    continue;
                }
                assert!(ended.unwrap().success(), "{shell}");
                assert_eq!(std::fs::read(dir.path().join("out")).unwrap(), b"a\0b", "{shell}");
                assert_eq!(std::fs::read(dir.path().join("err")).unwrap(), b"c\n", "{shell}");
                assert_eq!(dir.path().join("act.out.pipe").exists(), named, "{shell}");
            }
        }
    }

    #[test]
    fn what_a_month_old_run_left_goes_when_a_session_takes_the_trouble() {
        let base = format!("/tmp/svcops-{}", rustix::process::getuid().as_raw());
        let (old, new) = (format!("{base}/{}", nonce()), format!("{base}/{}", nonce()));
        let run = |word: &str| {
            let script = format!("K={word}\n{}s_tidy\n", bare(SESSION).replace("/dev/null 2>&1 &)", "/dev/null 2>&1)"));
            assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
        };
        run("S1");
        for folder in [&old, &new] {
            std::fs::create_dir(folder).unwrap();
        }
        let aged = Command::new("touch").args(["-d", "40 days ago", &old]).status();
        assert!(aged.unwrap().success());
        run("S1");
        assert!(std::fs::exists(&old).unwrap());
        run("S0");
        assert!(!std::fs::exists(&old).unwrap() && std::fs::exists(&new).unwrap());
        std::fs::remove_dir(new).unwrap();
    }

    #[test]
    fn what_a_session_is_taught_means_the_same_without_its_comments() {
        assert_eq!(bare("# a\nf() {\n  # b\n  g '#'\n\n}\n"), "f() {\ng '#'\n}\n");
    }
}
