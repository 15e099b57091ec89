//! `svcops failover SERVICE --to SITE`: a look at who is active, and a runbook that is composed of it and run like any other.

use super::{
    forced::Lost,
    look::{self, Active},
};
use crate::{
    cli::{
        Face,
        args::Params,
        confirm::Word,
        exit::ExitCode,
        run::{self, Terms},
        words::{self, Failure},
    },
    runbook::Project,
    ui::message::Message,
    verbs::failover::{self, Way, compose, find},
};

/// `failover switch`.
#[derive(Debug, clap::Args)]
pub struct Switch {
    /// The service
    pub service: String,
    /// How.
    #[command(flatten)]
    pub how: How,
}

/// How to switch.
#[derive(Debug, clap::Args)]
pub struct How {
    /// The site that it is to run at
    #[arg(long, value_name = "SITE", required = true)]
    pub to: Option<String>,
    /// Answer the question for the site's name; `--yes` does not
    #[arg(long, value_name = "SITE")]
    pub confirm: Option<String>,
    /// Print the runbook instead of running it
    #[arg(long)]
    pub show: bool,
    /// What is said of a site that is lost.
    #[command(flatten)]
    pub lost: Lost,
}

/// For its help.
pub(super) const EXAMPLES: &str = "Examples:
  svcops failover switch crm --to dc2
  svcops failover switch crm --to dc2 --show > runbooks/crm-to-dc2.yaml
  svcops failover switch crm --to dc2 --confirm dc2 --reason 'power works'
  svcops failover switch crm --to dc2 --forced     what would be lost, no more
  svcops failover switch crm --to dc2 --forced --accept-loss --confirm dc2

It looks who is active, plans, and asks for the site's name to be typed.
Before the point of no return whatever fails is undone, Ctrl-C undoes too, and
the service is at its old site again. After it the run only goes forward: what
could not be done then is done by the same command once more.";

impl Face {
    pub(super) fn failover_switch(&self, service: &str, how: &How) -> Result<ExitCode, Failure> {
        let project = self.project()?;
        let inventory = &project.inventory;
        let service = find(inventory, service).map_err(|e| Failure::wrong(Message::of(&e)))?;
        let to = how.to.as_deref().unwrap_or_default();
        let from = failover::from(service, to).map_err(|e| Failure::wrong(Message::of(&e)))?;
        let word = Word { word: to.to_owned(), given: how.confirm.clone() };
        if how.lost.forced {
            return self.failover_forced(&project, service, how, word);
        }
        // before hosts are asked: a slip of the hand is found at once; what is only shown is not asked about
        if !how.show {
            word.fits()?;
            self.nobody_moves(&project, service, to)?;
        }
        let seen = self.look_at_service(&project, service)?;
        let way = match look::active(service, &seen) {
            Ok(Active::At(site)) if site == to => Way::Rest,
            Ok(Active::At(_) | Active::Stateless) => Way::Whole,
            Err(why) => return Err(self.unclear(&project, service, (from, to), (&seen, &why))),
        };
        let switch = failover::Switch { service, to, way };
        let text = compose(inventory, &switch).map_err(|e| Failure::wrong(Message::of(&e)))?;
        if how.show {
            self.no_stream()?;
            self.screen.data(&text);
            return Ok(ExitCode::Done);
        }
        if way == Way::Whole {
            self.look_before(&project, service, to)?;
        }
        let idle = format!("`{}` is at `{to}` already: nothing to do", service.name);
        let terms = Terms { word: Some(word), idle: Some(idle), goes_back: true, ..Terms::default() };
        self.carry_over(&project, (&format!("failover-{}-to-{to}", service.name), &text), &terms)
    }

    /// Runs what was composed.
    pub(super) fn carry_over(
        &self,
        project: &Project,
        (name, text): (&str, &str),
        terms: &Terms,
    ) -> Result<ExitCode, Failure> {
        let mut runbook = project
            .runbook_text("", text)
            .map_err(|found| words::faults(&project.root, &found, self.screen.paint.on()))?;
        name.clone_into(&mut runbook.name);
        runbook.file = None;
        let opened = self.open(&project.inventory.project)?;
        let order = self.order(&project.inventory, runbook, &Params::default(), &opened)?;
        run::carry_out(self, project, opened, &order, terms)
    }
}
