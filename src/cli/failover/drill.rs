//! `svcops failover drill`: as far as can be undone, and back; or there and back.

use super::look::{self, Active};
use crate::{
    cli::{Face, confirm::Word, exit::ExitCode, run::Terms, words::Failure},
    inventory::Service,
    runbook::Project,
    ui::message::Message,
    verbs::failover::{self, Way, compose, find},
};

/// `failover drill`.
#[derive(Debug, clap::Args)]
pub struct Drill {
    /// The service
    pub service: String,
    /// The site to try; the one where it is not active unless given
    #[arg(long, value_name = "SITE")]
    pub to: Option<String>,
    /// Go there for real, and back: two runs, both outages measured
    #[arg(long)]
    pub round_trip: bool,
    /// With --round-trip, answer the question for the site's name
    #[arg(long, value_name = "SITE", requires = "round_trip")]
    pub confirm: Option<String>,
    /// Print the runbook instead of running it (of a round trip, the one there)
    #[arg(long)]
    pub show: bool,
}

/// For its help.
pub(super) const EXAMPLES: &str = "Examples:
  svcops failover drill crm                 as far as can be undone, and back
  svcops failover drill crm --yes           from cron, in a window
  svcops failover drill crm --round-trip    there and back, for real

Clients notice it: the service is out from its first step to its way back, and
that is measured. Without --round-trip nothing is promoted.";

impl Face {
    pub(super) fn failover_drill(&self, args: &Drill) -> Result<ExitCode, Failure> {
        let project = self.project()?;
        let service = find(&project.inventory, &args.service).map_err(|e| Failure::wrong(Message::of(&e)))?;
        if let Some(to) = &args.to {
            failover::from(service, to).map_err(|e| Failure::wrong(Message::of(&e)))?;
        }
        if !args.show {
            self.nobody_moves(&project, service, args.to.as_deref().unwrap_or("its other site"))?;
        }
        let (from, to) = self.drilled_sites(&project, service, args.to.as_deref())?;
        let text = |to: &str, way: Way| {
            let switch = failover::Switch { service, to, way };
            compose(&project.inventory, &switch).map_err(|e| Failure::wrong(Message::of(&e)))
        };
        let way = if args.round_trip { Way::Whole } else { Way::Drill };
        let there = text(&to, way)?;
        if args.show {
            self.no_stream()?;
            self.screen.data(&there);
            return Ok(ExitCode::Done);
        }
        let name = format!("failover-drill-{}", service.name);
        if !args.round_trip {
            let terms = Terms { goes_back: true, ..Terms::default() };
            return self.carry_over(&project, (&name, &there), &terms);
        }
        let terms = |site: &str, given: Option<String>| Terms {
            word: Some(Word { word: site.to_owned(), given }),
            goes_back: true,
            ..Terms::default()
        };
        self.look_before(&project, service, &to)?;
        let code = self.carry_over(&project, (&name, &there), &terms(&to, args.confirm.clone()))?;
        if code != ExitCode::Done {
            return Ok(code);
        }
        // what is to be done now is decided by what is there now
        let (_, back) = self.drilled_sites(&project, service, None).or_else(|failure| match service.other(&to) {
            Some(back) if service.database(&project.inventory).is_none() => Ok((to.clone(), back.to_owned())),
            _ => Err(failure),
        })?;
        if back != from {
            let message =
                format!("`{}` is not at `{to}` after the way there: there is no way back to go", service.name);
            return Err(Failure::new(ExitCode::Stands, Message::error(message)));
        }
        // who has said yes to a round trip has said it to the way back
        self.carry_over(&project, (&name, &text(&back, Way::Whole)?), &terms(&back, Some(back.clone())))
    }

    /// Where it is, and where a drill goes.
    fn drilled_sites(
        &self,
        project: &Project,
        service: &Service,
        to: Option<&str>,
    ) -> Result<(String, String), Failure> {
        let seen = self.look_at_service(project, service)?;
        let other = |site: &str| service.other(site).unwrap_or_default().to_owned();
        match (look::active(service, &seen), to) {
            (Ok(Active::At(at)), Some(to)) if at == to => {
                let message = format!("`{}` is at `{to}` already: a drill goes to the other site", service.name);
                Err(Failure::wrong(Message::error(message)))
            }
            (Ok(Active::At(at)), _) => Ok((at.clone(), other(&at))),
            (Ok(Active::Stateless), Some(to)) => Ok((other(to), to.to_owned())),
            (Ok(Active::Stateless), None) => {
                let message = format!("service `{}` has no database that would say where it is", service.name);
                Err(Failure::wrong(Message::error(message).hint("`--to SITE` says where the drill goes")))
            }
            (Err(why), _) => {
                let to = to.map_or_else(|| service.sites.last().cloned().unwrap_or_default(), ToOwned::to_owned);
                Err(self.unclear(project, service, (&other(&to), &to), (&seen, &why)))
            }
        }
    }
}
