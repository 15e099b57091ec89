//! `svcops demo`: the whole product in half a minute, on this machine. Each act says what happens, shows the very command
//! that a user would type, and calls the real binary; nothing is drawn by hand. It ends with 0 only if every act ended as it
//! should, so it is a test of an installation as well.

mod acts;
mod client;
pub mod node;
mod play;
mod world;

use super::{Face, env, exit::ExitCode, words::Failure};
use crate::ui::{message::Message, wrap};
use clap::Args;
use play::{Cut, Play};
use std::path::PathBuf;
use world::{Cleaned, World};

/// `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Remove what earlier demos have left, instead of showing one
    #[arg(long)]
    pub clean: bool,
}

/// Shows the product, or cleans up after that.
///
/// # Errors
/// There is no place for it, or no process can be started.
pub fn demo(face: &Face, args: &Demo) -> Result<ExitCode, Failure> {
    let temp = env::value(env::TMPDIR).map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    if args.clean {
        return Ok(clean(face, &temp));
    }
    let svcops = std::env::current_exe()
        .map_err(|e| Failure::wrong(Message::error("could not find svcops itself").because(e.to_string())))?;
    let world = World::make(&temp, &svcops)?;
    let folder = world.folder.clone();
    face.runtime()?.block_on(async {
        let mut play = Play::new(face, world, svcops)?;
        let done = acts::all(&mut play).await;
        let stay = play.world.stop_nodes();
        let there = |message: Message| message.row("folder", folder.display().to_string());
        let clean = "`svcops demo --clean` removes the folder";
        if !stay.is_empty() {
            let message = Message::error(format!("could not stop `{}`", stay.join("`, `")));
            return Err(Failure::new(ExitCode::AsBefore, there(message)));
        }
        match done {
            Ok(()) => {
                acts::ending(&play);
                Ok(ExitCode::Done)
            }
            Err(Cut::Signal) => {
                let message = Message::new(crate::ui::message::Kind::Stopped, "the demo; its nodes are stopped");
                Err(Failure::new(ExitCode::Interrupted, there(message).hint(clean)))
            }
            Err(Cut::Differs { act, why }) => {
                let message = Message::error(format!("act {act} of the demo did not end as it should: {why}"));
                Err(Failure::new(ExitCode::AsBefore, there(message).hint(clean)))
            }
        }
    })
}

fn clean(face: &Face, temp: &std::path::Path) -> ExitCode {
    let found = world::clean(temp);
    if found.is_empty() {
        face.screen.data(&format!("nothing to remove: no folder of a demo is in {}\n", temp.display()));
    }
    let mut code = ExitCode::Done;
    for (folder, cleaned) in found {
        let folder = folder.display();
        let text = match cleaned {
            Cleaned::Gone => format!("removed {folder}"),
            Cleaned::InUse => format!("left {folder}: a demo runs in it"),
            Cleaned::Stays(why) => {
                code = ExitCode::AsBefore;
                format!("could not remove {folder}: {why}")
            }
        };
        face.screen.data(&(wrap::hanging("", &text, face.screen.width) + "\n"));
    }
    code
}
