//! `svcops ticket`: what runs and people have said in the ticket system, for whoever did not watch.

mod draw;
mod sync;

use super::{
    Face,
    args::{Output, at_least_one},
    exit::ExitCode,
    history::zone,
    opened::Opened,
    words::Failure,
};
use crate::{
    base::{Clock as _, WallClock},
    engine::{self, EngineError},
    journal::{event::Operator, outbox::Outbox as _},
    ticket::{Desk, Draft, Filter, Stamp, State, TicketId, TicketSystem},
    ui::message::Message,
};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use std::{
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};
use tokio::runtime::Runtime;

/// `ticket`.
#[derive(Debug, Subcommand)]
pub enum Ticket {
    /// The tickets that are not done, newest first
    #[command(after_help = "Examples:
  svcops ticket list
  svcops ticket list --all
  svcops ticket list waiting done
  svcops ticket list -o json")]
    List(List),
    /// One ticket: all that was said in it, its files and links
    #[command(after_help = "Examples:
  svcops ticket show SV-000012
  svcops ticket show 12
  svcops ticket show last        the ticket of the newest run")]
    Show {
        /// The ticket, or a run whose ticket it is
        id: String,
    },
    /// Open a ticket; its id is all that is printed
    #[command(after_help = "Examples:
  svcops ticket new 'Kernel update' --text 'asked for by security'
  svcops ticket new 'Обновление ядра' --text - < request.txt

For a run of its own: `svcops run RUNBOOK --ticket $(svcops ticket new 'Kernel update')`.")]
    New(New),
    /// Say something in a ticket, or bring it into a state
    #[command(after_help = "Examples:
  svcops ticket comment SV-000012 'disk replaced'
  svcops ticket comment SV-000012 'all is well' --done
  svcops ticket comment SV-000012 --waiting
  svcops ticket comment SV-000012 - < notes.txt")]
    Comment(Comment),
    /// Save a file that is attached to a ticket, such as a run's report
    #[command(after_help = "Examples:
  svcops ticket attachment SV-000012
  svcops ticket attachment last --to report.html
  svcops ticket attachment SV-000012 notes.txt --to -  to stdout")]
    Attachment(Saved),
    /// Tell the ticket system what it has not been told yet
    #[command(after_help = "Examples:
  svcops ticket sync
  svcops ticket sync -o json

A run tells its ticket itself, and goes on where that cannot be told now. What was told is never told twice.

Exit code: 0 all of it is delivered; 75 something is left, and why stands there.")]
    Sync,
}

/// `ticket list`.
#[derive(Debug, Args)]
pub struct List {
    /// Only those in one of these states
    #[arg(value_enum, value_name = "STATE")]
    pub states: Vec<StateWord>,
    /// Those that are done, too
    #[arg(long, conflicts_with = "states")]
    pub all: bool,
    /// At most so many
    #[arg(long, value_name = "N", default_value = "50", value_parser = at_least_one)]
    pub most: usize,
}

/// `ticket new`.
#[derive(Debug, Args)]
pub struct New {
    /// What it is about, in one line
    pub subject: String,
    /// What is to be said; `-` reads it from stdin
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
}

/// `ticket comment`.
#[derive(Debug, Args)]
pub struct Comment {
    /// The ticket, or a run whose ticket it is
    pub id: String,
    /// What to say; `-` reads it from stdin
    #[arg(required_unless_present = "stands")]
    pub text: Option<String>,
    /// How it stands from now on
    #[command(flatten)]
    pub stands: Stands,
}

/// How a ticket stands from now on; nothing said, nothing changed.
#[derive(Clone, Copy, Debug, Args)]
#[group(id = "stands", multiple = false)]
pub struct Stands {
    /// It is over
    #[arg(long)]
    pub done: bool,
    /// It waits for somebody
    #[arg(long)]
    pub waiting: bool,
    /// Somebody works on it, or has to look
    #[arg(long)]
    pub open: bool,
}

impl Stands {
    const fn state(self) -> Option<State> {
        match self {
            Self { done: true, .. } => Some(State::Done),
            Self { waiting: true, .. } => Some(State::Waiting),
            Self { open: true, .. } => Some(State::Open),
            Self { .. } => None,
        }
    }
}

/// `ticket attachment`.
#[derive(Debug, Args)]
pub struct Saved {
    /// The ticket, or a run whose ticket it is
    pub id: String,
    /// The file's name; not needed where there is one only
    pub name: Option<String>,
    /// Where to put it: a file, a folder, or `-` for stdout; else here, under its own name
    #[arg(long, value_name = "PATH")]
    pub to: Option<PathBuf>,
}

/// A state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StateWord {
    /// Nobody has begun
    New,
    /// Somebody works on it, or has to look
    Open,
    /// It waits for somebody
    Waiting,
    /// Over
    Done,
}

impl From<StateWord> for State {
    fn from(word: StateWord) -> Self {
        match word {
            StateWord::New => Self::New,
            StateWord::Open => Self::Open,
            StateWord::Waiting => Self::Waiting,
            StateWord::Done => Self::Done,
        }
    }
}

/// The tickets of a project.
struct Room<'a> {
    face: &'a Face,
    opened: Opened,
    system: Box<dyn TicketSystem>,
    runtime: Runtime,
    zone: jiff::tz::TimeZone,
}

/// Does what the command line says.
pub(super) fn ticket(face: &Face, of: &Ticket) -> Result<ExitCode, Failure> {
    face.no_stream()?;
    let (opened, project) = face.open_past()?;
    let zone = zone(project.and_then(|p| p.inventory.timezone).as_deref());
    if matches!(of, Ticket::Sync) {
        return sync::sync(face, opened, zone);
    }
    let system = Box::new(Desk::of(&opened.state));
    let room = Room { face, opened, system, runtime: face.runtime()?, zone };
    match of {
        Ticket::List(args) => room.list(args),
        Ticket::Show { id } => room.show(id),
        Ticket::New(args) => room.open(args),
        Ticket::Comment(args) => room.comment(args),
        Ticket::Attachment(args) => room.save(args),
        Ticket::Sync => Ok(()),
    }?;
    Ok(ExitCode::Done)
}

impl Room<'_> {
    fn list(&self, args: &List) -> Result<(), Failure> {
        let states = match (args.states.as_slice(), args.all) {
            ([], true) => vec![],
            ([], false) => vec![State::New, State::Open, State::Waiting],
            (words, _) => words.iter().map(|word| State::from(*word)).collect(),
        };
        let rows = self.runtime.block_on(self.system.list(&Filter { states, most: args.most }))?;
        if self.json() {
            self.face.screen.json(&json!({"schema_version": 1, "tickets": rows}));
        } else if rows.is_empty() {
            let none = match (args.states.is_empty(), args.all) {
                (true, true) => "no tickets yet",
                (true, false) => "no open tickets; `svcops ticket list --all` lists those that are done, too",
                (false, _) => "no tickets in that state",
            };
            self.face.screen.data(&format!("{none}\n"));
        } else {
            self.face.screen.data(&draw::list(&self.face.screen, &rows, &self.zone));
        }
        self.warn_of_what_waits()
    }

    fn show(&self, text: &str) -> Result<(), Failure> {
        let id = self.id(text)?;
        let ticket = self.runtime.block_on(self.system.show(&id))?;
        if self.json() {
            self.face.screen.json(&json!({"schema_version": 1, "ticket": ticket}));
        } else {
            self.face.screen.data(&draw::show(&ticket, &self.zone, self.face.screen.width));
        }
        self.warn_of_what_waits()
    }

    fn open(&self, args: &New) -> Result<(), Failure> {
        let subject = said("the subject", &args.subject)?;
        if subject.contains('\n') {
            return Err(Failure::wrong(
                Message::error("the subject of a ticket is one line").hint("`--text` has many"),
            ));
        }
        let text = args.text.as_deref().map(|text| said("the text", &written(text)?)).transpose()?;
        let draft = Draft {
            stamp: stamp(),
            subject,
            text: text.unwrap_or_default(),
            state: State::New,
            kind: None,
            queue: None,
            run: None,
        };
        let id = self.runtime.block_on(self.system.create(&draft))?;
        self.answer(&id, &id.to_string())
    }

    fn comment(&self, args: &Comment) -> Result<(), Failure> {
        let id = self.id(&args.id)?;
        let text = args.text.as_deref().map(|text| said("the comment", &written(text)?)).transpose()?;
        let mut did = vec![];
        if let Some(text) = &text {
            self.runtime.block_on(self.system.comment(&id, &stamp(), text))?;
            did.push("commented".to_owned());
        }
        if let Some(state) = args.stands.state() {
            let brought = self.runtime.block_on(self.system.state(&id, &stamp(), state));
            brought.map_err(|error| {
                let said = text.map(|_| format!("the comment is in {id}, its state is as it was"));
                said.into_iter().fold(Failure::from(error), Failure::hint)
            })?;
            did.push(format!("now {}", state.word()));
        }
        self.answer(&id, &format!("{id}: {}", did.join(", ")))
    }

    fn save(&self, args: &Saved) -> Result<(), Failure> {
        let id = self.id(&args.id)?;
        let names: Vec<String> = {
            let ticket = self.runtime.block_on(self.system.show(&id))?;
            let mut names: Vec<String> = ticket.attachments.into_iter().map(|file| file.name).collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        let name = match (&args.name, names.as_slice()) {
            (Some(name), _) => name,
            (None, [only]) => only,
            (None, []) => return Err(Failure::wrong(Message::error(format!("ticket `{id}` has no files")))),
            (None, several) => {
                let list = crate::base::words::list(several, 9);
                return Err(Failure::wrong(
                    Message::error(format!("ticket `{id}` has {} files: which one?", several.len())).hint(list),
                ));
            }
        };
        let bytes = self.runtime.block_on(self.system.content(&id, name))?;
        if args.to.as_deref() == Some(Path::new("-")) {
            // Who wanted it has gone if this fails: nobody is left to tell.
            drop(std::io::stdout().lock().write_all(&bytes));
            return Ok(());
        }
        let path = place(args.to.as_deref(), name)?;
        // under its own name nothing is overwritten: nobody has named that file
        let mut open = std::fs::File::options();
        open.write(true);
        let open = if args.to.is_some() { open.create(true).truncate(true) } else { open.create_new(true) };
        let written = open.open(&path).and_then(|mut file| file.write_all(&bytes));
        written.map_err(|why| Failure::file("write", &path, &why).hint("`--to PATH` names another place"))?;
        if self.json() {
            let (path, size) = (path.to_string_lossy(), bytes.len());
            self.face
                .screen
                .json(&json!({"schema_version": 1, "ticket": id, "attachment": name, "path": path, "bytes": size}));
        } else {
            self.face.screen.data(&format!("{}\n", path.display()));
        }
        Ok(())
    }

    /// The ticket of that id, or of the run of that name.
    fn id(&self, text: &str) -> Result<TicketId, Failure> {
        let error = match self.system.id(text) {
            Ok(id) => return Ok(id),
            Err(error) => error,
        };
        let run = match engine::find_run(&self.opened.journal, self.opened.project.as_deref(), text) {
            Ok(run) => self.opened.journal.row(&run)?.run,
            Err(none @ (EngineError::NoRuns | EngineError::NoRunsOf(_))) => return Err(none.into()),
            Err(_) => return Err(error.into()),
        };
        match self.opened.journal.ticket_of(&run)? {
            Some(of) => Ok(self.system.id(&of.ticket)?),
            None => Err(Failure::wrong(
                Message::error(format!("run {run} has no ticket yet"))
                    .hint("`svcops ticket sync` delivers what ticket systems are to be told"),
            )),
        }
    }

    /// What was done: one line, or the ticket as it is now.
    fn answer(&self, id: &TicketId, line: &str) -> Result<(), Failure> {
        if self.json() {
            let ticket = self.runtime.block_on(self.system.show(id))?;
            self.face.screen.json(&json!({"schema_version": 1, "ticket": ticket}));
        } else {
            self.face.screen.data(&format!("{line}\n"));
        }
        Ok(())
    }

    /// Tickets may lag behind: whoever reads one is told.
    fn warn_of_what_waits(&self) -> Result<(), Failure> {
        let waits = self.opened.journal.undelivered()?;
        if waits.rows > 0 && !self.face.global.quiet {
            self.face.screen.tell(&draw::lag(&waits));
        }
        Ok(())
    }

    fn json(&self) -> bool {
        self.face.global.output != Output::Table
    }
}

/// Who says it, and when.
fn stamp() -> Stamp {
    Stamp { key: None, author: Operator::here().name, at: WallClock.now() }
}

/// A text as it is meant: `-` is what stdin holds.
fn written(text: &str) -> Result<String, Failure> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(MOST).read_to_end(&mut bytes);
    read.map_err(|e| Failure::wrong(Message::error("could not read stdin").because(e.to_string())))?;
    if bytes.len() as u64 == MOST {
        return Err(Failure::wrong(Message::error("stdin holds more than 1 MiB: too much for a comment")));
    }
    String::from_utf8(bytes).map_err(|_| Failure::wrong(Message::error("stdin holds no UTF-8 text")))
}

/// No comment is longer, in bytes.
const MOST: u64 = 1 << 20;

fn said(what: &str, text: &str) -> Result<String, Failure> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Failure::wrong(Message::error(format!("{what} is empty"))));
    }
    Ok(text.to_owned())
}

/// Where a file goes. A name from a ticket names no folder, whatever it says.
fn place(to: Option<&Path>, name: &str) -> Result<PathBuf, Failure> {
    let folder = to.filter(|to| to.is_dir());
    if let (Some(to), None) = (to, folder) {
        return Ok(to.to_owned());
    }
    match Path::new(name).file_name().filter(|own| *own == name) {
        Some(own) => Ok(folder.unwrap_or_else(|| Path::new("")).join(own)),
        None => Err(Failure::wrong(
            Message::error(format!("`{name}` is no name for a file here")).hint("`--to FILE` gives it another"),
        )),
    }
}
