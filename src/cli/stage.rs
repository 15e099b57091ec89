//! What runs stand on: the way to hosts, the vault, the clock, and who watches.

use super::{Face, args::Output, exit::ExitCode, opened::Opened, signals, words::Failure};
use crate::{
    actions::{CATALOG, Refusal},
    base::{Content, Hash, Redactor, RunId, Source, Text, WallClock, words},
    engine::{Stage, Stop, Store},
    evidence::{
        stream::{Came, Stream},
        syslog::{self, Syslog},
    },
    inventory::Inventory,
    journal::SqliteJournal,
    ticket::beside::Beside,
    transport::{
        Transport,
        fleet::{Fleet, Options, Prompter},
        mail::Pen,
        orders::Grounds,
        vault::Vault,
    },
    ui::{
        message::Message,
        progress::{Mode, Progress},
        prompt,
    },
    yaml::sources,
};
use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::watch;

/// A stage, and who watches what happens on it.
pub struct Set {
    /// The stage.
    pub stage: Stage,
    /// Who watches.
    pub progress: Arc<Progress>,
    /// 1 after the first signal, 2 after the second.
    pub stop: Stop,
    /// Something may be touched from here on.
    begun: Arc<AtomicBool>,
    /// The stage's journal, with its outbox.
    pub journal: Arc<SqliteJournal>,
    /// The audit stream, while there is one.
    audit: Option<Stream>,
    /// The state directory.
    pub state: PathBuf,
    /// Who delivers to ticket systems, while somebody does.
    pub courier: Mutex<Option<Beside>>,
}

impl Face {
    /// The way to the hosts of an inventory; connects to none yet.
    pub fn fleet(&self, root: &Path, inventory: &Inventory, store: Option<&Path>) -> Ways {
        let mode = match (self.global.output, self.global.quiet) {
            (Output::Jsonl, _) => Mode::Stream,
            (_, true) => Mode::Quiet,
            _ => Mode::Follow,
        };
        let progress = Arc::new(Progress::new(self.screen, mode, self.global.verbose));
        let redactor = Redactor::default();
        let vault = Arc::new(Vault::new(inventory.secrets.clone(), root.to_owned(), redactor.clone()));
        let shelf = Shelf { vault: Arc::clone(&vault), root: root.to_owned(), redactor: redactor.clone() };
        let asks = Arc::new(Asks { progress: Arc::clone(&progress) });
        // Reads and acts over HTTPS need one; it is set here, so that `--help` does not pay for it.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        // the same store has the same word for a resume, whatever way led to it
        let grounds = Grounds { project: root.to_owned(), state: store.map(Path::to_owned) };
        let store = store.map(|dir| std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned()));
        let store = store.map(|dir| format!("-{}", Hash::of(dir.as_os_str().as_encoded_bytes()).short()));
        let options = Options { store: store.unwrap_or_default(), grounds, ..Options::of(inventory) };
        let fleet = Fleet::new(inventory, vault, redactor.clone(), options, asks);
        Ways { transport: Arc::new(fleet), shelf: Arc::new(shelf), progress, redactor }
    }

    /// Sets the stage. Call it inside the runtime: from here on a signal does not end this process by itself.
    ///
    /// # Errors
    /// Signals cannot be caught.
    pub fn set(&self, root: PathBuf, inventory: Inventory, opened: Opened) -> Result<Set, Failure> {
        let Ways { transport, shelf, progress, redactor } = self.fleet(&root, &inventory, Some(&opened.state));
        let journal = Arc::new(opened.journal);
        let stage = Stage {
            root,
            inventory: Arc::new(inventory),
            catalog: CATALOG,
            transport,
            journal: journal.clone(),
            locks: Some(Arc::new(opened.locks)),
            clock: Arc::new(WallClock),
            watcher: progress.clone(),
            store: shelf,
            redactor,
        };
        let (ask, stop) = watch::channel(0);
        let told = Arc::clone(&progress);
        let begun = Arc::new(AtomicBool::new(false));
        let under_way = Arc::clone(&begun);
        let heard = move |name: &'static str, again: bool| {
            ask.send_replace(if again { 2 } else { 1 });
            if !under_way.load(Ordering::SeqCst) {
                // nothing is to be finished; the command says itself that it was interrupted
                return;
            }
            let what = if again {
                "ending what is under way, on the hosts too"
            } else {
                "finishing what is under way; once more ends it, on the hosts too"
            };
            told.stopping(again);
            told.tell(&Message::warning(format!("{name}: {what}")));
        };
        signals::watch(heard)
            .map_err(|e| Failure::wrong(Message::error("could not prepare for signals").because(e.to_string())))?;
        Ok(Set { stage, progress, stop, begun, journal, state: opened.state, audit: None, courier: Mutex::default() })
    }
}

/// What a look comes to. Call it inside the runtime: a signal ends the look and not this process, which has connections to
/// close.
///
/// # Errors
/// A signal came.
pub async fn unless_interrupted<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let (ask, mut stop) = watch::channel(false);
    let heard = move |_: &'static str, _: bool| {
        ask.send_replace(true);
    };
    signals::watch(heard)
        .map_err(|e| Failure::wrong(Message::error("could not prepare for signals").because(e.to_string())))?;
    tokio::select! {
        done = work => Ok(done),
        _ = stop.wait_for(|asked| *asked) => {
            Err(Failure::new(ExitCode::Interrupted, Message::error("interrupted; nothing was touched")))
        }
    }
}

/// The way to hosts, and what goes with it.
pub struct Ways {
    /// The way.
    pub transport: Arc<dyn Transport>,
    shelf: Arc<Shelf>,
    /// Who watches.
    pub progress: Arc<Progress>,
    redactor: Redactor,
}

impl Ways {
    /// What it takes to speak to a mail server.
    pub(crate) fn pen(&self) -> Pen {
        Pen { vault: Arc::clone(&self.shelf.vault), redactor: self.redactor.clone() }
    }
}

impl Set {
    /// From here on something may be touched, and a signal lets what is under way end.
    pub fn begins(&self) {
        self.begun.store(true, Ordering::SeqCst);
    }
    /// The outcome of something that changes nothing, unless a signal asks to stop before.
    ///
    /// # Errors
    /// A signal came.
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        let mut stop = self.stop.clone();
        tokio::select! {
            done = work => Ok(done),
            _ = stop.wait_for(|s| *s > 0) => {
                Err(Failure::new(ExitCode::Interrupted, Message::error("interrupted; nothing was touched")))
            }
        }
    }
    /// Begins to tell the machine's log what happens, where the project asks for it: of `run`, and of all that begin.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn audit(&mut self, run: Option<&RunId>) -> Result<(), Failure> {
        let (Some(audit), Some(locks)) = (&self.stage.inventory.audit, &self.stage.locks) else { return Ok(()) };
        self.journal.audit();
        if let Some(run) = run {
            self.journal.audit_run(run)?;
        }
        let log = Syslog::to(&audit.syslog, syslog::label(&self.state), self.stage.redactor.clone());
        match Stream::start(self.journal.clone(), locks.clone(), log) {
            Ok(stream) => {
                self.stage.watcher = Arc::new(stream.beside(self.progress.clone()));
                self.audit = Some(stream);
            }
            Err(why) => self.untold(&Came { why: Some(why.to_string()), ..Came::default() }),
        }
        Ok(())
    }
    fn untold(&self, came: &Came) {
        let why = came.why.clone().unwrap_or_default();
        let lines = if came.left > 0 { words::count("event", came.left) } else { "what happens".to_owned() };
        let message = Message::warning(format!("the machine's log is not told of {lines} yet"));
        let hint = "the journal has all of it, and the next run here tells it";
        self.progress.tell(&message.because(why).hint(hint));
    }
    /// Ends connections and the audit stream, and says what that has not told.
    pub async fn end(&self) {
        self.progress.rest();
        if let Some(came) = self.audit.as_ref().and_then(Stream::finish).filter(|came| came.why.is_some()) {
            self.untold(&came);
        }
        self.stage.transport.close().await;
    }
}

/// Contents for actions.
struct Shelf {
    vault: Arc<Vault>,
    root: PathBuf,
    redactor: Redactor,
}

impl Store for Shelf {
    fn file(&self, path: &str) -> Result<Content, Refusal> {
        self.vault.file(path).map_err(refusal)
    }
    fn read(&self, path: &str) -> Result<String, Refusal> {
        sources::read_text(&self.root.join(path)).map_err(|e| Refusal::new(format!("could not read `{path}`: {e}")))
    }
    fn text(&self, text: &Text) -> Result<Content, Refusal> {
        self.vault.text(text).map_err(refusal)
    }
    fn show(&self, content: &Content) -> Option<Vec<u8>> {
        match &content.from {
            Source::Text(text) if !text.names().is_empty() => return None,
            Source::Undo | Source::Host { .. } => return None,
            Source::File(_) | Source::Text(_) => {}
        }
        let bytes = self.vault.bytes(content).ok()?;
        let secret = self.redactor.clean(&String::from_utf8_lossy(&bytes)).1;
        (!secret).then(|| bytes.to_vec())
    }
}

fn refusal(error: crate::transport::vault::VaultError) -> Refusal {
    let why = std::error::Error::source(&error).map_or_else(String::new, |s| format!(": {s}"));
    Refusal::new(format!("{error}{why}"))
}

/// Questions of a run to the person at the terminal.
struct Asks {
    progress: Arc<Progress>,
}

impl Prompter for Asks {
    fn ask(&self, question: &str, evidence: bool) -> Result<String, String> {
        self.progress.aside(|| {
            if evidence {
                return prompt::text(question).map_err(|e| e.to_string());
            }
            match prompt::yes(question) {
                Ok(true) => Ok("yes".to_owned()),
                Ok(false) => Err("the person at the terminal said no".to_owned()),
                Err(e) => Err(e.to_string()),
            }
        })
    }
}
