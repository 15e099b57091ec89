//! `svcops rehearse`: every fault at every act, on a simulated copy of what was observed. Nothing is changed.

mod draw;

use super::{
    Face,
    args::{Output, Params},
    exit::ExitCode,
    plan,
    words::Failure,
};
use crate::{
    base::words::count,
    engine::{
        Planned, Stage,
        rehearse::{self, Assumed, Extent, Known, Rehearsal, Sealed, Wish},
    },
    ui::{
        looking::Looking,
        message::{Kind, Message},
    },
};
use clap::{Args, ValueEnum};
use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

/// `rehearse`.
#[derive(Debug, Args)]
pub struct RehearseArgs {
    /// A runbook: its name, or its file
    pub runbook: String,
    /// Its parameters.
    #[command(flatten)]
    pub params: Params,
    /// Ask no host: take the world for `healthy`, `stopped`, or as this file of facts says
    #[arg(long, value_name = "healthy|stopped|FILE")]
    pub assume: Option<String>,
    /// Keep what was observed in this file, for --assume
    #[arg(long, value_name = "FILE")]
    pub save_facts: Option<PathBuf>,
    /// A second fault soon after the first, too
    #[arg(long)]
    pub pairs: bool,
    /// Every act, also where many hosts do the same (else three of them, from 100 acts on)
    #[arg(long)]
    pub all: bool,
    /// Exit 1 unless every single fault ends well
    #[arg(long, value_enum, value_name = "WHAT")]
    pub require: Option<Require>,
}

/// What a rehearsal must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Require {
    /// Every single fault ends as before, as planned, or forward after the point of no return
    Clean,
}

/// Shown below the help.
pub const EXAMPLES: &str = "Examples:
  svcops rehearse rolling-restart -p site=dc1
  svcops rehearse rolling-restart --pairs              two faults in one run
  svcops rehearse rolling-restart --save-facts f.json  keeps what was observed
  svcops rehearse rolling-restart --assume f.json      and asks no host again
  svcops rehearse rolling-restart --assume healthy --require clean   in CI

At each act: it is refused, has no effect, fails before or after its effect, does
not end, starts what never becomes healthy; contact is lost for a while or for
good; svcops is killed, and the run resumed or rolled back; the undo fails too.
Time jumps over every wait. What a `command` does to the world is not known: it
is taken to leave all else as it is.

`--require clean` takes a fault that ends as before, as planned, or forward after
the point of no return; and one that no runbook can do more about than name what
is left: a host lost for good, an undo that fails too, a message that is not
sent, a command after which nothing comes.

Exit code: 0; 1 with --require where that is not so, or where a host could not
be observed; 2 wrong usage or file.";

impl Face {
    pub(super) fn rehearse(&self, args: &RehearseArgs) -> Result<ExitCode, Failure> {
        self.no_stream()?;
        let project = self.project()?;
        let runbook = self.runbook(&project, &args.runbook)?;
        let name = runbook.name.clone();
        let world = args.assume.as_deref().map(|from| assumed(&project.inventory, from)).transpose()?;
        let opened = self.open(&project.inventory.project)?;
        let order = self.order(&project.inventory, runbook, &args.params, &opened)?;
        let rehearsal = self.runtime()?.block_on(async {
            let set = self.set(project.root.clone(), project.inventory.clone(), opened)?;
            let mut stage: Stage = set.stage.clone();
            if let Some(world) = world {
                stage.transport = Arc::new(world);
                stage.store = Arc::new(Sealed::over(stage.store));
            }
            set.progress.doing("observing");
            let observed = set.unless_stopped(rehearse::observe(&stage, &order)).await;
            set.end().await;
            let (planned, known) = observed??;
            if let Some(why) = unseen(&planned) {
                return Err(why);
            }
            if let Some(path) = &args.save_facts {
                let text = known.text(&stage.redactor).map_err(|e| Failure::file("write", path, &e.into()))?;
                plan::keep(path, text.as_bytes()).map_err(|e| Failure::file("write", path, &e))?;
                self.kept(&format!("{} facts in `{}`", known.facts.len(), path.display()));
            }
            let looking = Arc::new(Looking::new(&self.screen, self.global.quiet, "rehearsing"));
            let extent = Extent { pairs: args.pairs, all: args.all };
            let (told, stop) = (Arc::clone(&looking), set.stop.clone());
            let work = tokio::task::spawn_blocking(move || {
                let (tell, stopped) = (|done, of| told.told(done, of), || *stop.borrow() > 0);
                rehearse::rehearse(&stage, &order, &planned, &known, extent, (&tell, &stopped))
            });
            let done = looking.during(work).await;
            let done =
                done.map_err(|e| Failure::wrong(Message::error("the rehearsal broke off").because(e.to_string())));
            done??
                .ok_or_else(|| Failure::new(ExitCode::Interrupted, Message::error("interrupted; nothing was touched")))
        })?;
        Ok(self.rehearsed(&name, args, &rehearsal))
    }

    fn rehearsed(&self, name: &str, args: &RehearseArgs, rehearsal: &Rehearsal) -> ExitCode {
        let clean = rehearsal.is_clean();
        if self.global.output == Output::Json {
            self.screen.json(&draw::json(name, args.assume.as_deref(), rehearsal));
        } else {
            self.screen.data(&draw::text(&self.screen, name, rehearsal));
        }
        if args.require == Some(Require::Clean) && !clean { ExitCode::AsBefore } else { ExitCode::Done }
    }

    fn kept(&self, what: &str) {
        if !self.global.quiet {
            self.screen.tell(&Message::new(Kind::Done, what.to_owned()));
        }
    }
}

/// What nobody has seen cannot be rehearsed.
fn unseen(planned: &Planned) -> Option<Failure> {
    let unseen = rehearse::unseen(planned);
    if unseen.is_empty() {
        return None;
    }
    let message = format!("{} could not be observed, and cannot be rehearsed", count("host", unseen.len()));
    let mut message = Message::error(message);
    for (host, why) in unseen.iter().take(10) {
        message = message.row("", format!("{host}: {why}"));
    }
    if unseen.len() > 10 {
        message = message.row("", format!("and {} more", unseen.len() - 10));
    }
    let hint = "`--assume healthy` asks no host; `-l SELECTOR` leaves hosts out";
    Some(Failure::new(ExitCode::AsBefore, message.hint(hint)))
}

/// Facts of a thousand hosts have some 10 MB.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if read as u64 > MOST_BYTES {
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "it is larger than 64 MiB"));
    }
    Ok(bytes)
}

/// The world that `--assume` names.
fn assumed(inventory: &crate::inventory::Inventory, from: &str) -> Result<Assumed, Failure> {
    Ok(match from {
        "healthy" => Assumed::wished(inventory, Wish::Healthy),
        "stopped" => Assumed::wished(inventory, Wish::Stopped),
        file => {
            let path = Path::new(file);
            let text = read(path).map_err(|e| {
                let failure = Failure::file("read", path, &e);
                let hint = "`--assume` takes `healthy`, `stopped`, or a file that `svcops rehearse --save-facts` wrote";
                Failure::new(failure.code, failure.message.hint(hint))
            })?;
            let known = Known::read(&text).map_err(|e| Failure::wrong(Message::of(&e).row("file", file)))?;
            Assumed::told(known)
        }
    })
}
