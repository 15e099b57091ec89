//! `svcops failover status [SERVICE]`: where a service is active as seen, and whether it could be moved now.

mod draw;
#[cfg(test)]
mod tests;

use super::{
    moves::{Kind, Move, recent},
    open::{self, Open},
};
use crate::{
    actions::postgres,
    base::{Clock as _, HostName, WallClock},
    cli::{Face, args::Output, exit::ExitCode, history::Past, stage, words::Failure},
    inventory::{Inventory, Rpo, Service},
    runbook::Project,
    survey::{
        app::Level,
        service::{
            Active, Node, Problem, Role, Seen,
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
switch would fail, a boot fence is missing. UNKNOWN: a host was not seen.
While a run moves it, it is WARNING and the run is named; only two primaries
are CRITICAL then, too. A run that was left half done is named with what goes on.";

/// A service as seen, and whether it could be moved.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Judged {
    /// With what speaks against a switch among its problems.
    pub seen: Seen,
    rpo: Rpo,
    checks: Checks,
    fence: Fence,
    open: Option<Open>,
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
        // what is seen is told, whatever became of the journal
        let opened = self.open_to_read(&inventory.project).map_err(|failure| failure.message.title.clone());
        let past = opened.as_ref().map(|opened| self.past(opened, Some(&project))).map_err(Clone::clone);
        // a run that ends while hosts are asked is the reason of what they say
        let ways: Vec<Option<Open>> = services.iter().map(|service| under_way(&past, inventory, service)).collect();
        let seen = self.look_at(&project, &services)?;
        let told: Vec<Told> = services
            .into_iter()
            .zip(seen)
            .zip(ways)
            .map(|((service, (seen, ending)), open)| {
                let open = open.or_else(|| under_way(&past, inventory, service));
                let moves = past
                    .as_ref()
                    .map_err(Clone::clone)
                    .and_then(|past| recent(past, inventory, service).map_err(|failure| failure.message.title.clone()));
                Told::of(inventory, service, (seen, &ending), open, moves)
            })
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
}

fn under_way(past: &Result<Past<'_>, String>, inventory: &Inventory, service: &Service) -> Option<Open> {
    open::open(past.as_ref().ok()?, inventory, service).ok().flatten()
}

impl Judged {
    /// By what was seen, by the certificates of the site it would go to that end soon, and by the run that is not over.
    pub(in crate::cli) fn of(
        inventory: &Inventory,
        service: &Service,
        (mut seen, ending): (Seen, &[Ending]),
        open: Option<Open>,
    ) -> Self {
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
        if let Some(open) = &open {
            checks.pass = Some(false);
            checks.against = vec![open.says()];
            doing(&mut seen, open);
        } else if let (Some(false), Some(to)) = (checks.pass, &checks.to) {
            let says = format!("a switch to `{to}` would be refused now: {}", checks.against.join("; "));
            let worse = |p: &Problem| matches!(p.level, Level::Critical | Level::Unknown);
            let at = seen.problems.iter().take_while(|p| worse(p)).count();
            seen.problems.insert(at, Problem { level: Level::Warning, says, hint: None });
        }
        Self { seen, rpo: service.rpo, checks, fence, open }
    }
    /// Where it is, in words; and what moves it.
    pub(in crate::cli) fn place(&self) -> String {
        let Some(open) = self.open.as_ref().filter(|open| open.run.alive) else { return draw::place(&self.seen) };
        let run = &open.run.row.run;
        match &self.seen.active {
            Active::Nowhere | Active::Split { .. } => {
                format!("`{}` is between its sites: run {run} is under way", self.seen.service)
            }
            _ => format!("{}, and run {run} is under way", draw::place(&self.seen)),
        }
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
            map.insert("run".into(), json!(self.open.as_ref().map(Open::json)));
            map.insert("forced".into(), json!({"ready": self.fence.ready(), "boot_fence": hosts}));
        }
        value
    }
}

/// What is seen while a run moves the service is that run's doing, and nobody else's to mend; but two primaries are never
/// meant. What a run has left so, it is to be gone on with.
fn doing(seen: &mut Seen, open: &Open) {
    let writes = |node: &&Node| matches!(node.role, Role::Primary | Role::MutePrimary);
    let two = seen.database.iter().flat_map(|database| &database.nodes).filter(writes).count() > 1;
    let critical = |problem: &Problem| problem.level == Level::Critical;
    if open.run.alive && !two {
        for problem in seen.problems.iter_mut().filter(|problem| critical(problem)) {
            problem.level = Level::Warning;
        }
    }
    let level = if seen.problems.iter().any(critical) { Level::Critical } else { Level::Warning };
    let first = Problem { level, says: open.says(), hint: Some(open.hint()) };
    // what must be stopped at once comes before
    seen.problems.insert(usize::from(two && !seen.problems.is_empty()), first);
}

/// A site that was left by force, and has not come back: what is to be done there once it does.
fn yet_to_rejoin(seen: &Seen, moves: &[Move]) -> Option<Problem> {
    let last = moves.iter().find(|one| one.moved || one.came_back())?;
    let site = last.from.as_deref().filter(|_| last.kind == Kind::Forced && last.found.is_none())?;
    let node = seen.node(site).filter(|node| !matches!(node.role, Role::Primary | Role::Standby))?;
    let says = format!("`{site}` was left by force, by run {}, and `{}` has not rejoined", last.run.row.run, node.host);
    let hint = format!("`svcops failover rejoin {}` makes it a standby, once that host is back", seen.service);
    Some(Problem { level: Level::Warning, says, hint: Some(hint) })
}

impl Told {
    fn of(
        inventory: &Inventory,
        service: &Service,
        seen: (Seen, &[Ending]),
        open: Option<Open>,
        past: Result<Vec<Move>, String>,
    ) -> Self {
        let mut now = Judged::of(inventory, service, seen, open);
        let rejoin = past.as_ref().ok().and_then(|moves| yet_to_rejoin(&now.seen, moves));
        // where its host is seen, what is said of it there names the same command
        let is_told = |p: &Problem| p.hint.as_ref().is_some_and(|hint| hint.contains("failover rejoin"));
        now.seen.problems.extend(rejoin.filter(|_| !now.seen.problems.iter().any(is_told)));
        Self { now, past }
    }
    fn level(&self) -> Level {
        self.now.level()
    }
    fn moves(&self) -> &[Move] {
        self.past.as_deref().unwrap_or_default()
    }
    /// The last one that moved the service.
    fn last_switch(&self) -> Option<&Move> {
        self.moves().iter().find(|one| one.moved)
    }
    fn last_drill(&self) -> Option<&Move> {
        self.moves().iter().find(|one| one.is_drill())
    }
    /// The last one since then that was to move it and did not.
    fn tried_since(&self) -> Option<&Move> {
        let since = self.moves().iter().take_while(|one| !one.moved);
        since.filter(|one| matches!(one.kind, Kind::Switch | Kind::Forced)).find(|one| !one.run.alive)
    }
    /// As JSON: an interface.
    fn json(&self) -> Value {
        let mut value = self.now.json();
        if let Some(map) = value.as_object_mut() {
            map.insert("last_switch".into(), json!(self.last_switch().map(Move::json)));
            map.insert("tried_since".into(), json!(self.tried_since().map(Move::json)));
            map.insert("last_drill".into(), json!(self.last_drill().map(Move::json)));
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
            let boot = |node: &Node| node.facts.as_ref().map(|facts| facts.boot_fence);
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
