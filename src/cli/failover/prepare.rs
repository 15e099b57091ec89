//! `svcops failover prepare`: the boot fence, and what replication needs on both sides.

use crate::{
    cli::{Face, exit::ExitCode, run::Terms, words::Failure},
    ui::message::Message,
    verbs::prepare::compose,
};

/// `failover prepare`.
#[derive(Debug, clap::Args)]
pub struct Prepare {
    /// The service
    pub service: String,
    /// Print the runbook instead of running it
    #[arg(long)]
    pub show: bool,
}

/// For its help.
pub(super) const EXAMPLES: &str = "Examples:
  svcops failover prepare crm
  svcops failover prepare crm --show > runbooks/crm-prepare.yaml

From then on a database host that was the primary when it went down starts its
database only beside a standby that answers, or when a person on it says so:
docs/failover.md has why, and how. A second time there is nothing to do.";

impl Face {
    pub(super) fn failover_prepare(&self, args: &Prepare) -> Result<ExitCode, Failure> {
        let project = self.project()?;
        let text = compose(&project.inventory, &args.service).map_err(|e| Failure::wrong(Message::of(&e)))?;
        if args.show {
            self.no_stream()?;
            self.screen.data(&text);
            return Ok(ExitCode::Done);
        }
        let idle = Some(format!("`{}` is prepared: nothing to do", args.service));
        let name = format!("failover-prepare-{}", args.service);
        self.carry_over(&project, (&name, &text), &Terms { idle, ..Terms::default() })
    }
}
