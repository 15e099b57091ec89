//! Signatures by `ssh-keygen -Y`, with whatever key it can use: a file, an agent's, one in hardware. Never a question: there is
//! no terminal for it, and a time limit.

use crate::journal::{
    SqliteJournal,
    chain::Fault,
    seal::{Seal, Signatures},
};
use jiff::{Timestamp, tz::TimeZone};
use russh::keys::ssh_key::{Algorithm, PrivateKey, PublicKey};
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
/// An agent answers within this.
const WITHIN: Duration = Duration::from_secs(10);
/// Who must touch a key has so long to find it.
const TOUCHED_WITHIN: Duration = Duration::from_secs(30);
/// How often its end is looked for.
const POLL: Duration = Duration::from_millis(1);
/// So many of the newest signatures are looked at, two processes each: the ledger's chain covers what is older.
const MOST_SIGNATURES: usize = 500;
/// So many of them side by side.
const AT_ONCE: usize = 8;
/// More is not kept of what it says.
const MOST: u64 = 64 << 10;

/// Whose signatures count, as files of ssh-keygen(1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signers {
    /// ALLOWED SIGNERS.
    pub allowed: PathBuf,
    /// Keys that count no more, whenever they signed: one public key a line, or a KRL.
    pub revoked: Option<PathBuf>,
}

/// Whether a key is one in hardware, which somebody may have to touch: by its file, private or public.
pub fn is_touched(key: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(key) else { return false };
    // what kind of key it is stands in clear, whether there is a passphrase or not
    let kind = match PrivateKey::from_openssh(text.as_bytes()) {
        Ok(key) => Some(key.algorithm()),
        Err(_) => PublicKey::from_openssh(&text).ok().map(|key| key.algorithm()),
    };
    matches!(kind, Some(Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256))
}

/// Signs a statement, armoured. A public key's file means the agent.
///
/// # Errors
/// Why there is no signature, in words.
pub fn sign(key: &Path, statement: &str) -> Result<String, String> {
    let touched = is_touched(key);
    let within = if touched { TOUCHED_WITHIN } else { WITHIN };
    signed(key, statement, within).map_err(|why| {
        let name = key.display();
        match () {
            () if why.contains("device not found") => format!("the hardware key of `{name}` is not plugged in"),
            () if why.contains("find key in agent") => format!("the ssh-agent does not have `{name}`"),
            () if why.contains("get agent socket") => "there is no ssh-agent at SSH_AUTH_SOCK".to_owned(),
            () if touched && why.contains("no answer") => {
                format!("the hardware key of `{name}` was not touched within {} s", within.as_secs())
            }
            () => why,
        }
    })
}

fn signed(key: &Path, statement: &str, within: Duration) -> Result<String, String> {
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
    let signature = keygen(&words, statement, Some(within))?;
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

/// Whose signatures the seals bear. Each bad one is a fault; `told` hears how many of how many are done.
///
/// # Errors
/// Which file of the signers cannot be read.
pub fn check(
    seals: &[Seal],
    signers: &Signers,
    told: &mut dyn FnMut(usize, usize),
) -> Result<(Signatures, Vec<Fault>), (PathBuf, io::Error)> {
    for file in std::iter::once(&signers.allowed).chain(&signers.revoked) {
        // a folder can be looked at and not read
        drop(std::fs::read(file).map_err(|why| (file.clone(), why))?);
    }
    let signed: Vec<(&Seal, &str)> =
        seals.iter().filter_map(|seal| Some((seal, seal.signature.as_deref().ok()?))).collect();
    let passed_over = signed.len().saturating_sub(MOST_SIGNATURES);
    let newest = signed.get(passed_over..).unwrap_or_default();
    let (mut found, mut faults) = (Signatures { passed_over, ..Signatures::default() }, Vec::new());
    for (done, some) in newest.chunks(AT_ONCE).enumerate() {
        told(done * AT_ONCE, newest.len());
        let whose: Vec<Result<String, String>> = std::thread::scope(|scope| {
            let asked: Vec<_> =
                some.iter().map(|(seal, signature)| scope.spawn(|| signer(seal, signature, signers))).collect();
            let lost = |_| Err("the check of it was lost".to_owned());
            asked.into_iter().map(|asked| asked.join().unwrap_or_else(lost)).collect()
        });
        for ((seal, _), whose) in some.iter().zip(whose) {
            match whose {
                Ok(who) => found.signed(&who, seal),
                Err(why) => faults.push(Fault::BadSignature { run: seal.run.to_string(), seq: seal.entry.seq, why }),
            }
        }
    }
    Ok((found, faults))
}

/// Who signed a statement: the first principal to whom the key belongs, at the time that the statement names.
fn signer(seal: &Seal, signature: &str, signers: &Signers) -> Result<String, String> {
    let kept = Kept::new(signature).map_err(|why| format!("it could not be checked: {why}"))?;
    let time = seal.at.to_zoned(TimeZone::UTC).strftime("verify-time=%Y%m%d%H%M%S").to_string();
    let words = |verb: &'static str| {
        let mut words: Vec<&OsStr> = ["-Y", verb, "-O", &time, "-f"].map(OsStr::new).to_vec();
        words.extend([signers.allowed.as_os_str(), OsStr::new("-s"), kept.0.as_os_str()]);
        words
    };
    let known = keygen(&words("find-principals"), "", None).map_err(|why| match why.as_str() {
        "" | "No principal matched." => NOBODY.to_owned(),
        _ => why,
    })?;
    let Some(who) = known.lines().next().filter(|who| !who.is_empty()) else { return Err(NOBODY.to_owned()) };
    let mut verify = words("verify");
    verify.extend(["-I", who, "-n", NAMESPACE].map(OsStr::new));
    if let Some(revoked) = &signers.revoked {
        verify.extend([OsStr::new("-r"), revoked.as_os_str()]);
    }
    keygen(&verify, &seal.statement, None)
        .map(|_| who.to_owned())
        .map_err(|why| if why.contains("revoked") { format!("the key of {who} is revoked") } else { why })
}

/// Not in the file, or not at that time.
const NOBODY: &str = "no allowed signer has this key, or had it then";

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

/// What ssh-keygen answers; `asking`: it may want something of a person, and has so long.
fn keygen(words: &[&OsStr], input: &str, asking: Option<Duration>) -> Result<String, String> {
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
    let child = match asking.map(|_| begin("setsid", &["ssh-keygen"])) {
        None => begin("ssh-keygen", &[]),
        Some(Err(why)) if why.kind() == io::ErrorKind::NotFound => begin("ssh-keygen", &[]),
        Some(child) => child,
    };
    let mut child = child.map_err(|why| format!("could not start ssh-keygen: {why}"))?;
    if let Some(mut way) = child.stdin.take() {
        // it may have ended without reading; its own word says why
        drop(way.write_all(input.as_bytes()));
    }
    let within = asking.unwrap_or(WITHIN);
    let until = Instant::now() + within;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < until => std::thread::sleep(POLL),
            Ok(None) => {
                ended(&mut child);
                return Err(format!("ssh-keygen gave no answer within {} s", within.as_secs()));
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
