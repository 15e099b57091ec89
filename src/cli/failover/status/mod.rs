//! `svcops failover status [SERVICE]`: where a service is active as seen, and whether it could be moved now.

mod draw;
#[cfg(test)]
mod tests;

pub(in crate::cli) use draw::place;

use super::moves::{Move, moves};
use crate::{
    actions::postgres,
    base::{Clock as _, HostName, WallClock},
    cli::{Face, args::Output, exit::ExitCode, stage, words::Failure},
    inventory::{Inventory, Rpo, Service},
    runbook::Project,
    survey::{
        app::Level,
        service::{
            Active, Problem, Seen,
            certs::{self, Ending},
            look,
        },
    },
    ui::message::Message,
    verbs::failover::find,
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// `failover status`.
#[derive(Debug, clap::Args)]
pub struct Status {
    /// The service; all of them unless given
    pub service: Option<String>,
}

/// For its help.
pub(super) const EXAMPLES: &str = "Examples:
  svcops failover status crm
  svcops failover status -o json

It looks at both sites and changes nothing. CRITICAL: where clients are served
something is wrong, such as two primaries, none, or parts at both sites.
WARNING: it could not be moved as promised: the standby lags, a check before a
switch would fail, a boot fence is missing. UNKNOWN: a host was not seen.";

/// A service as seen, and whether it could be moved.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Judged {
    /// With what speaks against a switch among its problems.
    pub seen: Seen,
    rpo: Rpo,
    checks: Checks,
    fence: Fence,
}

/// All that is told of a service.
struct Told {
    now: Judged,
    past: Result<Vec<Move>, String>,
}

/// Whether the checks before a switch would pass now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Checks {
    /// To that site.
    to: Option<String>,
    /// None: nobody can say.
    pass: Option<bool>,
    /// What speaks against it, or why nobody can say.
    against: Vec<String>,
}

/// Whether a former primary would ask its peer before it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fence {
    /// There is no database.
    NoDatabase,
    /// Patroni sees to that.
    Patroni,
    /// On each of its hosts; none: not seen.
    Boot(BTreeMap<HostName, Option<bool>>),
}

impl Face {
    pub(super) fn failover_status(&self, args: &Status) -> Result<ExitCode, Failure> {
        self.no_stream()?;
        let project = self.project()?;
        let inventory = &project.inventory;
        let services: Vec<&Service> = match &args.service {
            Some(name) => vec![find(inventory, name).map_err(|e| Failure::wrong(Message::of(&e)))?],
            None => inventory.services.values().collect(),
        };
        if services.is_empty() {
            // of nothing that was looked at a monitor must not hear that it is well
            let message = Message::error("`svcops.yaml` declares no services");
            return Err(Failure::wrong(message.hint("`services:` says what moves from site to site as one")));
        }
        let seen = self.look_at(&project, &services)?;
        let told: Vec<Told> = services
            .into_iter()
            .zip(seen)
            .map(|(service, (seen, ending))| self.told(&project, service, seen, &ending))
            .collect();
        let level = Level::worst(told.iter().map(Told::level));
        if self.global.output == Output::Table {
            let zone = crate::cli::history::zone(inventory.timezone.as_deref());
            let texts: Vec<String> = told.iter().map(|one| draw::draw(&self.screen, one, &zone)).collect();
            self.screen.data(&texts.join("\n"));
        } else {
            self.screen.json(&json!({
                "schema_version": 1,
                "services": told.iter().map(Told::json).collect::<Vec<_>>(),
                "status": level,
                "exit_code": level.code(),
            }));
        }
        Ok(match level {
            Level::Ok => ExitCode::Done,
            Level::Warning => ExitCode::AsBefore,
            Level::Critical => ExitCode::Wrong,
            Level::Unknown => ExitCode::Stands,
        })
    }

    fn look_at(&self, project: &Project, services: &[&Service]) -> Result<Vec<(Seen, Vec<Ending>)>, Failure> {
        self.runtime()?.block_on(async {
            let ways = self.fleet(&project.root, &project.inventory, None);
            let names: Vec<String> = services.iter().map(|service| format!("`{}`", service.name)).collect();
            ways.progress.doing(&format!("looking at {}", names.join(", ")));
            let (transport, inventory) = (&*ways.transport, &project.inventory);
            let looks = services.iter().map(|service| async {
                let seen = look(transport, inventory, service).await;
                let ending = match seen.active.site().and_then(|site| service.other(site)) {
                    Some(to) => certs::ending(transport, inventory, service, to, WallClock.now()).await,
                    None => Vec::new(),
                };
                (seen, ending)
            });
            let seen = stage::unless_interrupted(join_all(looks)).await;
            ways.progress.rest();
            ways.transport.close().await;
            seen
        })
    }

    fn told(&self, project: &Project, service: &Service, seen: Seen, ending: &[Ending]) -> Told {
        let inventory = &project.inventory;
        // what is seen is told, whatever became of the journal
        let past = self.open_to_read(&inventory.project).and_then(|opened| {
            let past = self.past(&opened, Some(project));
            moves(&past, inventory, service, MOST)
        });
        Told::of(inventory, service, (seen, ending), past.map_err(|failure| failure.message.title.clone()))
    }
}

/// The last switch and the last drill are sought among so many of each.
const MOST: usize = 20;

impl Judged {
    /// By what was seen, and by the certificates of the site it would go to that end soon.
    pub(in crate::cli) fn of(inventory: &Inventory, service: &Service, (mut seen, ending): (Seen, &[Ending])) -> Self {
        let (mut checks, fence) = (checks(inventory, service, &seen), fence(inventory, service, &seen));
        let (expired, soon): (Vec<&Ending>, Vec<_>) = ending.iter().partition(|one| one.expired);
        if !expired.is_empty() {
            checks.to = checks.to.or_else(|| service.other(seen.active.site()?).map(str::to_owned));
            checks.pass = Some(false);
            checks.against.extend(expired.into_iter().map(Ending::words));
        }
        seen.problems.extend(soon.into_iter().map(|one| Problem {
            level: Level::Warning,
            says: one.words(),
            hint: Some(format!("`svcops cert renew {}` puts a new one there", one.certificate)),
        }));
        if let (Some(false), Some(to)) = (checks.pass, &checks.to) {
            let says = format!("a switch to `{to}` would be refused now: {}", checks.against.join("; "));
            let worse = |p: &Problem| matches!(p.level, Level::Critical | Level::Unknown);
            let at = seen.problems.iter().take_while(|p| worse(p)).count();
            seen.problems.insert(at, Problem { level: Level::Warning, says, hint: None });
        }
        Self { seen, rpo: service.rpo, checks, fence }
    }
    /// How it stands.
    pub(in crate::cli) fn level(&self) -> Level {
        self.seen.level()
    }
    /// As JSON: an interface, of two verbs.
    pub(in crate::cli) fn json(&self) -> Value {
        let mut value = serde_json::to_value(&self.seen).unwrap_or(Value::Null);
        let level = self.level();
        if let Some(map) = value.as_object_mut() {
            let Checks { to, pass, against } = &self.checks;
            let hosts = match &self.fence {
                Fence::Boot(hosts) => Some(hosts),
                Fence::NoDatabase | Fence::Patroni => None,
            };
            map.insert("status".into(), json!(level));
            map.insert("exit_code".into(), json!(level.code()));
            map.insert("rpo".into(), json!(self.rpo.to_string()));
            map.insert("prechecks".into(), json!({"to": to, "pass": pass, "against": against}));
            map.insert("forced".into(), json!({"ready": self.fence.ready(), "boot_fence": hosts}));
        }
        value
    }
}

impl Told {
    fn of(inventory: &Inventory, service: &Service, seen: (Seen, &[Ending]), past: Result<Vec<Move>, String>) -> Self {
        Self { now: Judged::of(inventory, service, seen), past }
    }
    fn level(&self) -> Level {
        self.now.level()
    }
    /// The last one that came to its end, for practice or not.
    fn last(&self, drill: bool) -> Option<&Move> {
        let moves = self.past.as_ref().ok()?;
        moves.iter().find(|one| one.kind.is_drill() == drill && one.kind != super::moves::Kind::Rejoin)
    }
    /// As JSON: an interface.
    fn json(&self) -> Value {
        let mut value = self.now.json();
        if let Some(map) = value.as_object_mut() {
            map.insert("last_switch".into(), json!(self.last(false).map(Move::json)));
            map.insert("last_drill".into(), json!(self.last(true).map(Move::json)));
        }
        value
    }
}

impl Fence {
    /// Whether a former primary that comes back would refuse to serve; none: not known, or not asked.
    fn ready(&self) -> Option<bool> {
        let Self::Boot(hosts) = self else { return None };
        if hosts.values().any(|fence| *fence == Some(false)) {
            return Some(false);
        }
        hosts.values().all(|fence| *fence == Some(true)).then_some(true)
    }
}

fn fence(inventory: &Inventory, service: &Service, seen: &Seen) -> Fence {
    match (service.database(inventory), &seen.database) {
        (Some(declared), _) if declared.patroni.is_some() => Fence::Patroni,
        (Some(_), Some(database)) => {
            let boot = |node: &crate::survey::service::Node| node.facts.as_ref().map(|facts| facts.boot_fence);
            Fence::Boot(database.nodes.iter().map(|node| (node.host.clone(), boot(node))).collect())
        }
        _ => Fence::NoDatabase,
    }
}

/// The checks of `postgres.ready` by what was seen.
fn checks(inventory: &Inventory, service: &Service, seen: &Seen) -> Checks {
    let Some(declared) = service.database(inventory) else { return Checks::default() };
    let refused = |why: &str| Checks { to: None, pass: Some(false), against: vec![why.to_owned()] };
    let site = match &seen.active {
        Active::Both => return refused("two primaries accept writes"),
        Active::Nowhere => return refused("no primary is seen"),
        Active::Unknown(why) => return Checks { to: None, pass: None, against: vec![why.clone()] },
        Active::At(site) | Active::Split { at: site, .. } => site,
    };
    let Some(to) = service.other(site) else { return Checks::default() };
    let dark =
        |host: &str| Checks { to: Some(to.to_owned()), pass: None, against: vec![format!("`{host}` was not seen")] };
    let side = |site: &str| {
        let host = declared.at(inventory, site)?;
        Some((host, seen.node(site).filter(|node| node.host == host.name).and_then(|node| node.facts.as_deref())))
    };
    let (Some((from_host, from)), Some((to_host, target))) = (side(site), side(to)) else { return Checks::default() };
    let Some(from) = from else { return dark(from_host.name.as_str()) };
    let Some(target) = target else { return dark(to_host.name.as_str()) };
    // the lag was judged by more than these two looks
    let lag = seen.database.as_ref().and_then(|database| database.lag.as_ref());
    let rpo = if lag.is_some_and(|lag| lag.within(service.rpo)) { Rpo::Bytes(u64::MAX) } else { service.rpo };
    let against = postgres::against(declared, (from_host, from), (to_host, target), rpo);
    Checks { to: Some(to.to_owned()), pass: Some(against.is_empty()), against }
}
