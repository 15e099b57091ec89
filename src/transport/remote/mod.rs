//! A host behind its shells: the same for ssh and for this machine. Reads are one script; an act is carried out under
//! receipts that outlive svcops and the connection.
//!
//! Receipts are in `/tmp/svcops-UID/RUN/ACT.*`, 0700 and checked to be so. Not in `/run/user/UID`, which logind removes
//! with the user's last session, nor in `/dev/shm`, which it empties then (`RemoveIPC=`): losing contact would lose them.
//!
//! The act itself makes its claim there before it does anything, in its own process group; who recovers makes a tombstone
//! of that name instead. A file is made once (`O_EXCL`), so an act begins once or never.

pub(crate) mod act;
pub(crate) mod pair;
pub(crate) mod pg;
pub(crate) mod probe;
mod proof;

use super::{
    Look, Lost, LostKind, Settled, Terms, http,
    shell::{self, Frames, Link, Shells, brief, nonce, quote},
    vault::{Bytes, Vault},
};
use crate::base::{
    Act, Answer, At, Change, Hash, HostName, HttpAsk, HttpFacts, Invocation, Outcome, Place, ProofBy, Read, Receipt,
    Redactor, RunFacts, RunId, TcpFacts,
};
use act::{Reading, Ready};
use futures_util::future::join_all;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

/// A host.
pub(crate) struct Remote {
    shells: Shells,
    vault: Arc<Vault>,
    redactor: Redactor,
    opened: Mutex<BTreeSet<RunId>>,
    /// Tells runs of different stores apart that began in the same millisecond, and so have one id.
    store: String,
}

/// The folder and the terms of an act on its host.
struct Errand<'a> {
    folder: String,
    boot: &'a str,
    user: &'a str,
    within: u64,
    interruptible: bool,
    /// It changes nothing, and ends with whoever asked for it.
    reads: bool,
}

impl Errand<'_> {
    /// The folder is told to the session, under its own base.
    fn head(&self) -> String {
        let (run, act) = self.folder.split_once('/').unwrap_or((&self.folder, "act"));
        format!(
            "S_dir=$S_base/{run}\nS_act=$S_dir/{}\nS_user={}\n[ \"$S_user\" != \"$S_login\" ] || S_user=\ns_here {}\n",
            quote(act),
            quote(self.user),
            quote(run),
            run = quote(run),
        )
    }
    fn wait(&self) -> String {
        let wait = if self.reads { "s_attend" } else { "s_await" };
        format!("{wait} {} {} \"$S_user\"\n", self.within, u8::from(self.interruptible))
    }
    /// Nothing was sent before.
    const EMPTY: &'static str = "S_in=/dev/null S_script=/dev/null\n";
    /// Starts what was made ready, unless it was started already, and waits for its end. `sent` names what was sent.
    fn begin(&self, ready: &Ready, sent: &str) -> Zeroizing<String> {
        Zeroizing::new(format!(
            "{sent}S_cwd={}\nS_env={}\ns_plan {}\n[ -e \"$S_act.claim\" ] || s_start\n{}s_report\n",
            quote(&ready.cwd),
            *Zeroizing::new(quote(&ready.env)),
            quote(&ready.argv),
            self.wait(),
        ))
    }
}

impl Remote {
    /// The longest that a host may say nothing while an act is under way: it gives a pulse every second.
    const SILENCE: Duration = Duration::from_secs(20);
    /// The longest that a probe may take.
    const PROBE: Duration = Duration::from_secs(40);
    /// The longest that the end of a run waits for a host only to tidy it, a connection included.
    const FORGET: Duration = Duration::from_secs(10);

    pub(crate) fn new(host: Option<HostName>, link: Arc<dyn Link>, vault: Arc<Vault>, redactor: Redactor) -> Self {
        Self { shells: Shells::new(host, link), vault, redactor, opened: Mutex::default(), store: String::new() }
    }

    /// With a word for the store that the runs are recorded in.
    pub(crate) fn of_store(self, store: &str) -> Self {
        Self { store: store.to_owned(), ..self }
    }
    /// The folder of a run, below the receipts.
    fn run_folder(&self, run: &RunId) -> String {
        format!("{run}{}", self.store)
    }
    fn errand<'a>(&self, act: &'a Act, at: &'a Place, terms: Terms) -> Errand<'a> {
        let errand = errand(act, at, terms);
        let (_, within) = errand.folder.split_once('/').unwrap_or_default();
        Errand { folder: format!("{}/{within}", self.run_folder(&act.run)), ..errand }
    }

    pub(crate) async fn look(&self, reads: &[At<Read>]) -> Result<Look, Lost> {
        let mut script = Zeroizing::new("s_say boot \"$S_boot\"\n".to_owned());
        let mut unread = Vec::new();
        for (number, read) in reads.iter().enumerate() {
            match &read.what {
                Read::Pair(_) => match pair::script(number, read, &self.vault) {
                    Ok(part) => script.push_str(&part),
                    Err(why) => unread.push((number, Answer::Bad(self.said(&why)))),
                },
                _ => script.push_str(&probe::script(number, read).unwrap_or_default()),
            }
        }
        let others = join_all(reads.iter().map(|read| self.other(read)));
        let (frames, others) = tokio::join!(self.shells.ask(&script, Self::PROBE), others);
        let frames = frames?;
        let mut answers = Vec::with_capacity(reads.len());
        for (number, (read, other)) in reads.iter().zip(others).enumerate() {
            answers.push(match other {
                Some(answer) => answer?,
                None if unread.first().is_some_and(|(at, _)| *at == number) => unread.remove(0).1,
                None => self.clean(probe::answer(number, &read.what, &frames)),
            });
        }
        Ok(Look { boot: word(frames.text("boot")), answers })
    }

    /// Makes the run's folder of receipts, and names the boot together with it.
    pub(crate) async fn open(&self, id: &RunId) -> Result<String, Lost> {
        let run = quote(&self.run_folder(id));
        let script = format!(
            "[ -d \"$S_base/\"{run} ] || mkdir -p \"$S_base/\"{run}\n\
             [ -e \"$S_base/\"{run}/id ] || ! s_make \"$S_base/\"{run}/id || echo \"$K\" >\"$S_base/\"{run}/id\n\
             s_here {run}\ns_say wrong \"$S_wrong\"\ns_say boot \"$S_here\"\n"
        );
        let frames = self.shells.ask(&script, Self::SILENCE).await?;
        let wrong = frames.text("wrong");
        if !wrong.is_empty() {
            return Err(self.shells.lost(&brief(&wrong)));
        }
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        Ok(word(frames.text("boot")))
    }

    /// Whether there may be receipts of a run here.
    pub(crate) fn is_to_forget(&self, run: &RunId, acted: bool) -> bool {
        acted || self.opened.lock().unwrap_or_else(PoisonError::into_inner).contains(run)
    }

    /// Takes the run's folder of receipts away, if this process has opened it or the run is known to have acted here: a
    /// run that was interrupted opened it by another process.
    pub(crate) async fn forget(&self, run: &RunId, acted: bool) {
        if !self.is_to_forget(run, acted) {
            return;
        }
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).remove(run);
        let script = format!("rm -rf -- \"$S_base/\"{}\n", quote(&self.run_folder(run)));
        // one that is silent keeps its receipts: they are tidied away by their age
        let asked = self.shells.ask(&script, Self::SILENCE);
        let _gone = tokio::time::timeout(Self::FORGET, asked).await.is_ok_and(|gone| gone.is_ok());
    }

    pub(crate) async fn carry(&self, act: &Act, change: &At<Change>, terms: Terms) -> Result<Receipt, Lost> {
        let errand = self.errand(act, &change.at, terms);
        let reading = reading(&change.what);
        // what was carried once needs no bytes any more: they may be gone by now
        let ready = Ready::new(act, &change.what, terms, &self.vault);
        let (begin, known) = match &ready {
            // nothing to send before: all in one round trip
            Ok(ready) if ready.input.is_none() && ready.script.is_none() => (errand.begin(ready, Errand::EMPTY), true),
            _ => (Zeroizing::new("s_say state new\n".to_owned()), false),
        };
        let script = Zeroizing::new(format!(
            "{}if [ -n \"$S_wrong\" ]; then s_say state wrong; s_say why \"$S_wrong\"\n\
             elif [ -e \"$S_act.claim\" ]; then {}s_report\n\
             elif s_other {}; then s_say state \"$S_other\"\n\
             elif s_folder; then\n{}\
             else s_say state wrong; s_say why \"no receipt can be kept in \\`$S_dir\\`\"; fi\n",
            errand.head(),
            errand.wait(),
            quote(errand.boot),
            *begin,
        ));
        let frames = self.shells.ask(&script, Self::SILENCE).await?;
        if known || frames.text("state") != "new" {
            return Ok(self.receipt(&frames, reading, &errand));
        }
        let ready = match ready {
            Ok(ready) => ready,
            Err(why) => return Ok(Receipt::of(Outcome::Refused(self.redactor.clean(&why).0))),
        };
        let frames = self.begin(&errand, ready).await?;
        Ok(self.receipt(&frames, reading, &errand))
    }

    pub(crate) async fn settle(&self, act: &Act, change: &At<Change>, terms: Terms) -> Result<Settled, Lost> {
        let errand = self.errand(act, &change.at, terms);
        // under another boot a missing claim says nothing: it may have been lost with the boot
        let script = format!(
            "{}if [ -n \"$S_wrong\" ]; then s_say state unknown; else\n\
             if [ ! -e \"$S_act.claim\" ] && s_other {}; then s_say state \"$S_other\"\n\
             elif s_tomb; then s_say state never\nelse {}s_report\nfi; fi\n",
            errand.head(),
            quote(errand.boot),
            errand.wait()
        );
        let frames = self.shells.ask(&script, Self::SILENCE).await?;
        Ok(match act::receipt(&frames, reading(&change.what), errand.within, &self.redactor) {
            None => Settled::Never,
            Some(receipt) => Settled::Was(self.tidy(receipt)),
        })
    }

    pub(crate) async fn cancel(&self, act: &Act, at: &Place) -> Result<bool, Lost> {
        let terms = Terms { within: Duration::ZERO, interruptible: true };
        let errand = self.errand(act, at, terms);
        let script = format!(
            "{}if [ ! -e \"$S_act.claim\" ] && s_other {}; then s_say gone yes\n\
             elif s_tomb || s_ended; then s_say gone yes\nelse\n\
             if ! s_claimed; then s_say gone no\n\
             elif [ \"$S_pid\" = never ] || [ \"$S_under\" != \"$S_boot\" ]; then s_say gone yes\n\
             elif s_finish \"$S_pid\" \"$S_user\"; then s_close cancelled; s_say gone yes\n\
             else s_say gone no; fi; fi\n",
            errand.head(),
            quote(errand.boot)
        );
        Ok(self.shells.ask(&script, Self::SILENCE).await?.text("gone") == "yes")
    }

    pub(crate) async fn fetch(&self, at: &Place, path: &str, cap: usize) -> Result<Option<Vec<u8>>, Lost> {
        let user = quote(at.become_user.as_deref().unwrap_or_default());
        let path = quote(path);
        // digits, since a shell's variable holds no NUL; without a file of its own, since it may be a secret one
        let script = format!(
            "S_user={user}\n[ ! -r {path} ] || S_user=\n\
             if S_text=$(LC_ALL=C s_as \"$S_user\" head -c {cap} -- {path} 2>&1 >/dev/null); then\n\
             s_text hex \"$(s_as \"$S_user\" head -c {cap} -- {path} | od -An -v -tx1)\"\n\
             else s_text why \"$S_text\"; fi\n"
        );
        let frames = self.shells.ask(&script, Self::PROBE).await?;
        if let Some(hex) = frames.bytes("hex") {
            let mut bytes = unhex(hex);
            bytes.truncate(cap);
            return Ok(Some(bytes));
        }
        let why = frames.text("why");
        if why.contains("No such file") || why.contains("Not a directory") {
            return Ok(None);
        }
        Err(Lost { kind: LostKind::Denied, ..self.shells.lost(&self.said(&why)) })
    }

    pub(crate) async fn close(&self) {
        self.shells.close().await;
    }

    /// A read that does not travel by the probe's script.
    async fn other(&self, read: &At<Read>) -> Option<Result<Answer, Lost>> {
        match &read.what {
            Read::Run(invocation) => Some(self.run(invocation, &read.at).await),
            Read::Proof(by) => Some(self.proof(by, &read.at).await),
            Read::Http(ask) => Some(Ok(self.http(ask).await)),
            Read::Tcp { host, port, within } => {
                let ready = Ready {
                    argv: probe::port(host, *port),
                    input: None,
                    script: None,
                    env: Zeroizing::default(),
                    cwd: String::new(),
                };
                let frames = match self.once(ready, &Place::HERE, within.0).await {
                    Ok(frames) => frames,
                    Err(lost) => return Some(Err(lost)),
                };
                let code = frames.text("end").parse::<i32>().ok();
                let error = match code {
                    Some(0) => None,
                    None => Some(format!("no answer within {within}")),
                    Some(_) => {
                        let said = frames.text("err");
                        let last = said.lines().next().unwrap_or("refused").rsplit(": ").next().unwrap_or("refused");
                        Some(brief(&self.redactor.clean(last).0).to_lowercase())
                    }
                };
                Some(Ok(Answer::Tcp(TcpFacts { open: code == Some(0), error })))
            }
            _ => None,
        }
    }

    async fn run(&self, invocation: &Invocation, at: &Place) -> Result<Answer, Lost> {
        let ready = match Ready::run(invocation, &self.vault) {
            Ok(ready) => ready,
            Err(why) => return Ok(self.clean(Answer::Bad(why))),
        };
        let frames = self.once(ready, at, invocation.within.0).await?;
        if frames.bytes("refused").is_some() || frames.text("state") != "ended" {
            let why = act::receipt(&frames, Reading::Code, invocation.within.0.as_secs(), &self.redactor);
            let why = match why.map(|r| r.outcome) {
                Some(Outcome::Refused(why) | Outcome::Unknown(why) | Outcome::Failed(why)) => why,
                _ => "it did not begin".to_owned(),
            };
            return Ok(self.clean(Answer::Bad(why)));
        }
        Ok(Answer::Run(RunFacts {
            code: frames.text("end").parse().ok(),
            stdout: act::output(&frames, "out", &self.redactor).text,
            stderr: act::output(&frames, "err", &self.redactor).text,
        }))
    }

    async fn proof(&self, by: &ProofBy, at: &Place) -> Result<Answer, Lost> {
        let look = match proof::look(by) {
            Ok(look) => self.run(&look, at).await?,
            Err(why) => Answer::Bad(why),
        };
        Ok(match look {
            Answer::Run(ended) => proof::facts(&ended).map_or_else(Answer::Bad, Answer::Proof),
            other => other,
        })
    }

    /// From the host's own network, by a way through its connection.
    async fn http(&self, ask: &HttpAsk) -> Answer {
        let (host, port) = match http::target(&ask.url) {
            Err(why) => return Answer::Bad(why),
            Ok(target) => target,
        };
        match self.shells.link().tunnel(&host, port).await {
            Err(error) => Answer::Http(HttpFacts { error: Some(error), ..HttpFacts::default() }),
            Ok(socket) => match http::look(ask, socket.as_deref(), &self.vault, &self.redactor).await {
                Ok(facts) => Answer::Http(facts),
                Err(why) => self.clean(Answer::Bad(why)),
            },
        }
    }

    /// Runs something that leaves no receipt.
    async fn once(&self, ready: Ready, at: &Place, within: Duration) -> Result<Frames, Lost> {
        let errand = Errand {
            // no folder of its own, so nothing is left when its files are gone
            folder: format!("./read-{}", nonce()),
            boot: "",
            user: at.become_user.as_deref().unwrap_or_default(),
            within: seconds(within),
            interruptible: true,
            reads: true,
        };
        let frames = self.begin(&errand, ready).await;
        let tidy = format!("{}rm -rf -- \"$S_act\".*\n", errand.head());
        // what it leaves behind if this fails is tidied away by its age
        let _tidied = self.shells.ask(&tidy, Self::SILENCE).await.is_ok();
        frames
    }

    /// Sends what must be sent, starts, and waits for the end.
    async fn begin(&self, errand: &Errand<'_>, mut ready: Ready) -> Result<Frames, Lost> {
        let mut sent = Errand::EMPTY.to_owned();
        for (bytes, variable) in [(ready.input.take(), "S_in"), (ready.script.take(), "S_script")] {
            let Some(bytes) = bytes else { continue };
            let name = format!("{variable}.{}", nonce());
            self.upload(&format!("{}.{name}", errand.folder), bytes).await?;
            sent.push_str(&format!("{variable}=$S_act.{name}\n"));
        }
        let script = Zeroizing::new(format!(
            "{}if [ -n \"$S_wrong\" ]; then s_say state wrong; s_say why \"$S_wrong\"; else\n\
             s_folder\n{}fi\n",
            errand.head(),
            *errand.begin(&ready, &sent),
        ));
        self.shells.ask(&script, Self::SILENCE).await
    }

    /// Streams bytes into a file below the receipts, 0600 from the first byte, by a session of its own.
    async fn upload(&self, name: &str, mut bytes: Bytes) -> Result<(), Lost> {
        let _permit = self.shells.permit().await?;
        let command = shell::store(name);
        let mut pipe = self.shells.start(&command).await?;
        let send = async {
            loop {
                let (part, back) = tokio::task::spawn_blocking(move || {
                    let part = act::part(&mut bytes, 256 * 1024);
                    (part, bytes)
                })
                .await
                .map_err(|e| self.shells.lost(&e.to_string()))?;
                bytes = back;
                let part = part.map_err(|e| self.shells.lost(&format!("the file to send could not be read: {e}")))?;
                if part.is_empty() {
                    return Ok::<_, Lost>(());
                }
                match tokio::time::timeout(Self::SILENCE, pipe.input.write_all(&part)).await {
                    // the host's own words come by its answer
                    Ok(Err(_)) => return Ok(()),
                    Ok(Ok(())) => {}
                    Err(_) => return Err(self.shells.lost("no answer within 20 s while a file was sent")),
                }
            }
        };
        send.await?;
        drop(pipe.input);
        let mut said = Vec::new();
        let mut answer = pipe.output.take(64 * 1024);
        match tokio::time::timeout(Self::SILENCE, answer.read_to_end(&mut said)).await {
            Ok(Ok(_)) if said.windows(6).any(|w| w == b"stored") => Ok(()),
            Ok(_) => Err(self.shells.lost("a file could not be stored below `/tmp`: is there space?")),
            Err(_) => Err(self.shells.lost("no answer within 20 s after a file was sent")),
        }
    }

    fn receipt(&self, frames: &Frames, reading: Reading<'_>, errand: &Errand<'_>) -> Receipt {
        let receipt = act::receipt(frames, reading, errand.within, &self.redactor);
        self.tidy(
            receipt.unwrap_or_else(|| Receipt::of(Outcome::Refused("it was settled that it never begins".to_owned()))),
        )
    }

    /// A receipt as it may be kept.
    fn tidy(&self, receipt: Receipt) -> Receipt {
        let outcome = match receipt.outcome {
            Outcome::Ok => Outcome::Ok,
            Outcome::Refused(why) => Outcome::Refused(self.said(&why)),
            Outcome::Failed(why) => Outcome::Failed(self.said(&why)),
            Outcome::Unknown(why) => Outcome::Unknown(self.said(&why)),
        };
        Receipt { outcome, ..receipt }
    }

    /// What a host says, as it may be shown and kept.
    fn said(&self, why: &str) -> String {
        let why = self.redactor.clean(why).0;
        if why.trim().is_empty() { "the host does not say why".to_owned() } else { brief(&why).into_owned() }
    }

    fn clean(&self, answer: Answer) -> Answer {
        match answer {
            Answer::Bad(why) => Answer::Bad(self.said(&why)),
            other => other,
        }
    }
}

fn errand<'a>(act: &'a Act, at: &'a Place, terms: Terms) -> Errand<'a> {
    Errand {
        folder: act::folder(act),
        boot: &act.boot,
        user: at.become_user.as_deref().unwrap_or_default(),
        within: seconds(terms.within),
        interruptible: terms.interruptible,
        reads: false,
    }
}

fn reading(change: &Change) -> Reading<'_> {
    match change {
        Change::Run(invocation) => Reading::Command(invocation),
        Change::WriteFile { .. }
        | Change::RemoveFile(_)
        | Change::MoveFile { .. }
        | Change::Pair { .. }
        | Change::Proof { .. } => Reading::Place,
        Change::Postgres { .. } => Reading::Cluster,
        Change::SetServer { .. } | Change::EndSessions { .. } => Reading::Haproxy,
        Change::StartUnit(_)
        | Change::StopUnit(_)
        | Change::RestartUnit(_)
        | Change::ReloadUnit(_)
        | Change::EnableUnit(_)
        | Change::DisableUnit(_) => Reading::Unit,
        _ => Reading::Code,
    }
}

/// Whole seconds, rounded up: the host's clock counts no less.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// The name of a boot. A name that is none names another boot, under which nothing was announced.
fn word(boot: String) -> String {
    let plain = boot.len() <= 200 && !boot.contains(char::is_whitespace);
    if plain { boot } else { Hash::of(boot.as_bytes()).to_string() }
}

fn unhex(digits: &[u8]) -> Vec<u8> {
    let digits = String::from_utf8_lossy(digits);
    digits.split_ascii_whitespace().filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect()
}
