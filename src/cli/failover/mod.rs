//! `svcops failover`: a service moves from one site to the other.

mod drill;
mod forced;
mod history;
mod look;
mod moves;
pub(super) mod open;
mod plot;
mod prepare;
mod rejoin;
pub(super) mod status;
mod switch;

use super::{Face, exit::ExitCode, words::Failure};
use crate::ui::message::Message;
use drill::Drill;
use history::History;
use prepare::Prepare;
use rejoin::Rejoin;
use status::Status;
use switch::{How, Switch};

/// `failover`: without a verb it is a switch.
#[derive(Debug, clap::Args)]
#[command(subcommand_negates_reqs = true)]
pub struct Args {
    /// The service
    #[arg(required = true)]
    pub service: Option<String>,
    /// How.
    #[command(flatten)]
    pub how: How,
    /// What to do, where it is not a switch.
    #[command(subcommand)]
    pub verb: Option<Failover>,
}

/// `failover …`.
#[derive(Debug, clap::Subcommand)]
pub enum Failover {
    /// Move a service to its other site
    #[command(after_help = switch::EXAMPLES)]
    Switch(Switch),
    /// Go as far as can be undone, and back; or there and back
    #[command(after_help = drill::EXAMPLES)]
    Drill(Drill),
    /// Put the boot fence before its databases, and what replication needs
    #[command(after_help = prepare::EXAMPLES)]
    Prepare(Prepare),
    /// Make a former primary that is back a standby of the present one, and tell what was lost
    #[command(after_help = rejoin::EXAMPLES)]
    Rejoin(Rejoin),
    /// Where a service is active as seen, and whether it could be moved now
    #[command(after_help = status::EXAMPLES)]
    Status(Status),
    /// Its switches and drills, with their outages drawn
    #[command(after_help = history::EXAMPLES)]
    History(History),
}

/// For its help.
pub(super) const EXAMPLES: &str = "Examples:
  svcops failover crm --to dc2           what it would do, and asks
  svcops failover crm --to dc2 --show > runbooks/crm-to-dc2.yaml
  svcops failover crm --to dc2 --confirm dc2 --ticket OPS-4412
  svcops failover drill crm              all that can be undone, and undone
  svcops failover status                 where services are active, as seen
  svcops failover history crm            outages of its switches and drills";

impl Face {
    pub(super) fn failover(&self, args: &Args) -> Result<ExitCode, Failure> {
        match (&args.verb, &args.service) {
            (Some(_), Some(word)) => {
                let message = format!("`svcops failover` has no use for `{word}` before its verb");
                Err(Failure::wrong(Message::error(message).hint("`svcops failover --help` has examples")))
            }
            (Some(Failover::Switch(args)), None) => self.failover_switch(&args.service, &args.how),
            (Some(Failover::Drill(args)), None) => self.failover_drill(args),
            (Some(Failover::Prepare(args)), None) => self.failover_prepare(args),
            (Some(Failover::Rejoin(args)), None) => self.failover_rejoin(args),
            (Some(Failover::Status(args)), None) => self.failover_status(args),
            (Some(Failover::History(args)), None) => self.failover_history(args),
            (None, service) => self.failover_switch(service.as_deref().unwrap_or_default(), &args.how),
        }
    }
}
