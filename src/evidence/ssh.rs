//! Signatures by `ssh-keygen -Y`, with whatever key it can use: a file, an agent's, one in hardware. Never a question: there is
//! no terminal for it, and a time limit.

use crate::journal::{
    SqliteJournal,
    chain::{Anchor, Fault},
    seal::{Seal, Signatures},
};
use jiff::{Timestamp, tz::TimeZone};
use std::{
    ffi::OsStr,
    fs::OpenOptions,
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// What a signature is for: one that was made for anything else is none here.
const NAMESPACE: &str = "svcops";
/// Longer than somebody needs to touch a hardware key, and no longer.
const WITHIN: Duration = Duration::from_secs(10);
/// How often its end is looked for.
const POLL: Duration = Duration::from_millis(5);
/// More is not kept of what it says.
const MOST: u64 = 64 << 10;

/// Signs a statement, armoured. A public key's file means the agent.
///
/// # Errors
/// Why there is no signature, in words.
pub fn sign(key: &Path, statement: &str) -> Result<String, String> {
    let text = std::fs::read(key).map_err(|why| format!("could not read the key `{}`: {why}", key.display()))?;
    let private = text.starts_with(b"-----BEGIN ");
    if !private && std::env::var_os("SSH_AUTH_SOCK").is_none_or(|socket| socket.is_empty()) {
        return Err(format!("`{}` is a public key, and there is no ssh-agent to sign with it", key.display()));
    }
    let mut words: Vec<&OsStr> = ["-Y", "sign", "-q", "-n", NAMESPACE, "-f"].map(OsStr::new).to_vec();
    words.push(key.as_os_str());
    if !private {
        words.push(OsStr::new("-U"));
    }
    let signature = keygen(&words, statement)?;
    if signature.starts_with("-----BEGIN SSH SIGNATURE-----") { Ok(signature) } else { Err("no signature came".into()) }
}

/// Signs the newest entry that the ledger has of a run, and keeps the seal; where that fails the seal says why.
///
/// # Errors
/// Why there is no signature, or why it could not be kept, in words.
pub fn seal(journal: &SqliteJournal, run: &crate::base::RunId, key: &Path, at: Timestamp) -> Result<(), String> {
    let words = |why: crate::journal::JournalError| why.to_string();
    let head = journal.head(run).map_err(words)?;
    let project = journal.row(run).map_err(words)?.project;
    let Some(entry) = head.entry else { return Err("the ledger has no entry of the run".to_owned()) };
    if journal.seals(Some(run)).map_err(words)?.iter().any(|seal| seal.entry == entry && seal.signature.is_ok()) {
        return Ok(());
    }
    let statement = Seal::statement(&project, run, head.seq, &entry, at);
    let signature = sign(key, &statement);
    let seal = Seal { run: run.clone(), entry, at, statement, signature: signature.clone() };
    journal.keep_seal(&seal).map_err(words)?;
    signature.map(drop)
}

/// Whose signatures the seals bear, by a file of allowed signers. Each bad one is a fault.
///
/// # Errors
/// The file cannot be read.
pub fn check(seals: &[Seal], allowed: &Path) -> io::Result<(Signatures, Vec<Fault>)> {
    std::fs::metadata(allowed)?;
    let (mut found, mut faults) = (Signatures::default(), Vec::new());
    for seal in seals {
        match &seal.signature {
            Ok(signature) => match signer(seal, signature, allowed) {
                Ok(who) => found.signed(&who, seal),
                Err(why) => faults.push(Fault::BadSignature { run: seal.run.to_string(), seq: seal.entry.seq, why }),
            },
            Err(why) => found.missing.push((seal.run.clone(), why.clone())),
        }
    }
    // what was signed in the end needs no signature that failed before
    let signed: Vec<&Anchor> = seals.iter().filter(|s| s.signature.is_ok()).map(|s| &s.entry).collect();
    let late = |run: &crate::base::RunId| {
        seals.iter().any(|s| s.run == *run && s.signature.is_err() && !signed.contains(&&s.entry))
    };
    found.missing.retain(|(run, _)| late(run));
    Ok((found, faults))
}

/// Who signed a statement: the first principal to whom the key belongs, at the time that the statement names.
fn signer(seal: &Seal, signature: &str, allowed: &Path) -> Result<String, String> {
    let kept = Kept::new(signature).map_err(|why| format!("it could not be checked: {why}"))?;
    let time = seal.at.to_zoned(TimeZone::UTC).strftime("verify-time=%Y%m%d%H%M%S").to_string();
    let words = |verb: &'static str| {
        let mut words: Vec<&OsStr> = ["-Y", verb, "-O", &time, "-f"].map(OsStr::new).to_vec();
        words.extend([allowed.as_os_str(), OsStr::new("-s"), kept.0.as_os_str()]);
        words
    };
    let known = keygen(&words("find-principals"), "").map_err(|why| match why.as_str() {
        "" | "No principal matched." => "no allowed signer has this key".to_owned(),
        _ => why,
    })?;
    let Some(who) = known.lines().next().filter(|who| !who.is_empty()) else {
        return Err("no allowed signer has this key".to_owned());
    };
    let mut verify = words("verify");
    verify.extend(["-I", who, "-n", NAMESPACE].map(OsStr::new));
    keygen(&verify, &seal.statement).map(|_| who.to_owned())
}

/// A signature in a file of its own: ssh-keygen takes it in no other way.
struct Kept(PathBuf);

impl Kept {
    fn new(text: &str) -> io::Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("svcops-{}-{number}.sig", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(mut file) => {
                    let kept = Self(path);
                    file.write_all(text.as_bytes())?;
                    return Ok(kept);
                }
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
                Err(why) => return Err(why),
            }
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// What ssh-keygen answers.
fn keygen(words: &[&OsStr], input: &str) -> Result<String, String> {
    let begin = |program: &str, first: &[&str]| {
        Command::new(program)
            .args(first)
            .args(words)
            .env("SSH_ASKPASS_REQUIRE", "never")
            .env("LC_ALL", "C")
            // times without a zone are its own zone's
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    };
    // in a session of its own it has no terminal to ask at
    let child = match begin("setsid", &["ssh-keygen"]) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => begin("ssh-keygen", &[]),
        child => child,
    };
    let mut child = child.map_err(|why| format!("could not start ssh-keygen: {why}"))?;
    if let Some(mut way) = child.stdin.take() {
        // it may have ended without reading; its own word says why
        drop(way.write_all(input.as_bytes()));
    }
    let until = Instant::now() + WITHIN;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < until => std::thread::sleep(POLL),
            Ok(None) => {
                ended(&mut child);
                return Err(format!("ssh-keygen gave no answer within {} s", WITHIN.as_secs()));
            }
            Err(why) => return Err(format!("ssh-keygen was lost: {why}")),
        }
    };
    let read = |from: Option<&mut dyn io::Read>| {
        let mut bytes = Vec::new();
        if let Some(from) = from {
            drop(from.take(MOST).read_to_end(&mut bytes));
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let said = read(child.stdout.as_mut().map(|out| out as &mut dyn io::Read));
    if status.success() {
        return Ok(said);
    }
    let why = read(child.stderr.as_mut().map(|err| err as &mut dyn io::Read));
    let last = why.lines().chain(said.lines()).map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    Err(last.chars().filter(|c| !c.is_control()).take(200).collect())
}

fn ended(child: &mut Child) {
    drop(child.kill());
    drop(child.wait());
}
