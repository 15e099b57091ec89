//! What shows a part of a service at each site, and what that shows.

use super::{DatabaseSeen, Lives, PartSeen, Role, Standing, Told, place};
use crate::{
    base::{Answer, At, Invocation, Place, Read, ServerState, Span, words},
    inventory::{Host, Inventory, Part, Selector, Service},
    issue::dns::{PATIENCE, values},
    resources::{self, BackendServer, File, Record, Resource as _, SetFacts, Unit, unit},
};
use std::collections::{BTreeMap, BTreeSet};

/// How long a command that says how something is may take.
const TRY: Span = Span::secs(10);

/// A part with all that is to be read of it.
pub(super) struct Watch<'a> {
    part: &'a Part,
    sites: &'a [String],
    /// What is looked at, by site.
    at: Vec<(&'a str, Thing)>,
    /// Why it cannot be looked at.
    unfit: Option<String>,
    reads: Vec<At<Read>>,
}

/// One thing that shows something of a part.
enum Thing {
    App(Box<resources::App>),
    Server(BackendServer),
    Record(Record, BTreeSet<String>),
    Timer(Unit),
    Cron(File),
    Command(At<Read>),
    /// It could not even be asked for.
    Unfit(String),
}

/// What is to be read of a part.
pub(super) fn watch<'a>(inventory: &'a Inventory, service: &'a Service, part: &'a Part) -> Watch<'a> {
    let mut at: Vec<(&'a str, Thing)> = Vec::new();
    let mut unfit = None;
    let on = |hosts: &Selector, site: &str| -> Vec<&'a Host> {
        inventory.select(hosts).into_iter().filter(|host| host.site.as_deref() == Some(site)).collect()
    };
    for site in &service.sites {
        match part {
            Part::Database(_) => {}
            Part::App { name, .. } => {
                let Some(app) = inventory.apps.get(name) else { continue };
                for host in on(&app.hosts, site) {
                    let bound = inventory.app_on(app, host).map_err(|e| e.to_string());
                    let bound = bound.and_then(|on| resources::App::of(&on, place(host), TRY));
                    at.push((site, bound.map_or_else(Thing::Unfit, |app| Thing::App(Box::new(app)))));
                }
            }
            Part::Balancer { name, backend, servers } => {
                let Some(balancer) = inventory.balancers.get(name) else { continue };
                let front = balancer.host.as_ref().and_then(|host| inventory.host(host.as_str()));
                for host in on(servers, site) {
                    at.push((
                        site,
                        Thing::Server(BackendServer {
                            at: front.map_or(Place::HERE, place),
                            balancer: name.clone(),
                            api: balancer.api.clone(),
                            backend: backend.clone(),
                            server: host.name.as_str().to_owned(),
                        }),
                    ));
                }
            }
            Part::Record { zone, name, kind, values: by_site, .. } => {
                let Some(zone) = inventory.zones.get(zone) else { continue };
                let wanted = by_site.get(site).into_iter().flatten();
                let wanted = wanted.map(|text| values::value(*kind, text)).collect::<Result<BTreeSet<_>, _>>();
                match values::name_in(&zone.name, name).and_then(|name| Ok((name, wanted?))) {
                    Ok((name, wanted)) => {
                        let record = Record { at: zone.clone(), name, kind: *kind, only: None, within: PATIENCE };
                        at.push((site, Thing::Record(record, wanted)));
                    }
                    Err(why) => unfit = Some(why),
                }
            }
            Part::Jobs { hosts, timers, cron } => {
                for host in on(hosts, site) {
                    let unit = |name: &String| Thing::Timer(Unit { at: place(host), name: name.clone() });
                    let file =
                        |name: &String| Thing::Cron(File { at: place(host), path: format!("/etc/cron.d/{name}") });
                    at.extend(timers.iter().map(unit).chain(cron.iter().map(file)).map(|thing| (site.as_str(), thing)));
                }
            }
            Part::Command { hosts, status, .. } => {
                for host in on(hosts, site) {
                    let thing = match part.status_on(host) {
                        Ok(asks) => {
                            let asks = asks.unwrap_or_else(|| status.clone());
                            Thing::Command(place(host).at(Read::Run(Invocation::shell(asks, TRY))))
                        }
                        Err(why) => Thing::Unfit(why.to_string()),
                    };
                    at.push((site, thing));
                }
            }
        }
    }
    let reads = at.iter().flat_map(|(_, thing)| thing.reads()).collect();
    Watch { part, sites: &service.sites, at, unfit, reads }
}

impl Watch<'_> {
    pub(super) fn reads(&self) -> &[At<Read>] {
        &self.reads
    }

    pub(super) fn seen(&self, told: &Told, database: Option<&DatabaseSeen>) -> PartSeen {
        let (kind, name) = self.part.title();
        let mut notes: BTreeSet<String> = self.unfit.iter().cloned().collect();
        let at: BTreeMap<String, Standing> = self
            .sites
            .iter()
            .map(|site| {
                let things: Vec<&Thing> = self.at.iter().filter(|(s, _)| *s == site.as_str()).map(|(_, t)| t).collect();
                let standing = match self.part {
                    Part::Database(_) => cluster(database, site),
                    Part::App { .. } => running(&things, told, &mut notes),
                    Part::Balancer { .. } => traffic(&things, told, &mut notes),
                    Part::Record { ttl, .. } => named(site, &self.at, told, *ttl, &mut notes),
                    Part::Jobs { .. } => jobs(&things, told),
                    Part::Command { .. } => holds(&things, told, &mut notes),
                };
                (site.clone(), standing)
            })
            .collect();
        let moves = !matches!(self.part, Part::App { both: true, .. });
        let note = (!notes.is_empty()).then(|| Vec::from_iter(notes).join("; "));
        PartSeen { kind, name, moves, at, note }
    }
}

impl Thing {
    fn reads(&self) -> Vec<At<Read>> {
        match self {
            Self::App(app) => app.reads(),
            Self::Server(server) => server.reads(),
            Self::Record(record, _) => record.reads(),
            Self::Timer(unit) => unit.reads(),
            Self::Cron(file) => file.reads(),
            Self::Command(read) => vec![read.clone()],
            Self::Unfit(_) => vec![],
        }
    }
}

impl Standing {
    fn of(lives: Lives, says: impl Into<String>) -> Self {
        Self { lives, says: says.into() }
    }
    fn unknown() -> Self {
        Self::of(Lives::Unknown, "not seen")
    }
}

fn cluster(database: Option<&DatabaseSeen>, site: &str) -> Standing {
    let node = database.and_then(|d| d.nodes.iter().find(|node| node.site.as_deref() == Some(site)));
    let Some(node) = node else { return Standing::of(Lives::No, "no host") };
    let lives = match node.role {
        Role::Primary => Lives::Yes,
        Role::Standby | Role::Cut | Role::Down | Role::Absent => Lives::No,
        Role::MutePrimary | Role::Mute | Role::Unseen => Lives::Unknown,
    };
    let masked = node.role == Role::Down && node.facts.as_ref().is_some_and(|facts| facts.masked);
    Standing::of(lives, if masked { "down, masked".to_owned() } else { node.role.to_string() })
}

/// So many of all are, so many could not be seen.
fn some(on: usize, unseen: usize, all: usize, word: [&str; 2]) -> Standing {
    let lives = match (on, unseen) {
        _ if all == 0 => Lives::No,
        (on, 0) if on == all => Lives::Yes,
        (0, 0) => Lives::No,
        (0, _) => Lives::Unknown,
        _ => Lives::Partly,
    };
    let [one, many] = word;
    let verb = if on == 1 { one } else { many };
    let says = match on {
        _ if unseen == all => return Standing::unknown(),
        // `on` and `active` are no verbs
        0 if all == 1 && one == many => format!("not {one}"),
        0 if all == 1 => format!("does not {many}"),
        0 => format!("none of {all} {one}"),
        _ => format!("{on} of {all} {verb}"),
    };
    Standing::of(lives, if unseen > 0 { format!("{says}, {unseen} not seen") } else { says })
}

fn running(things: &[&Thing], told: &Told, notes: &mut BTreeSet<String>) -> Standing {
    let (mut runs, mut sick, mut unseen) = (0, Vec::new(), 0);
    for thing in things {
        let app = match thing {
            Thing::App(app) => app,
            Thing::Unfit(why) => {
                notes.insert(why.clone());
                unseen += 1;
                continue;
            }
            _ => continue,
        };
        let facts = told.all(&app.reads()).and_then(|mut answers| app.facts(&mut answers).map_err(|e| e.to_string()));
        match facts {
            Ok(facts) if facts.serves() => runs += 1,
            Ok(facts) if facts.running => sick.push(facts.health.said),
            Ok(_) => {}
            Err(_) => unseen += 1,
        }
    }
    let mut standing = some(runs + sick.len(), unseen, things.len(), ["runs", "run"]);
    if let Some(said) = sick.first() {
        let more = if sick.len() > 1 { format!("{} ", sick.len()) } else { String::new() };
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        standing.says += &format!(", {more}sick{said}");
        standing.lives = Lives::Partly;
    }
    standing
}

fn traffic(things: &[&Thing], told: &Told, notes: &mut BTreeSet<String>) -> Standing {
    let (mut takes, mut others, mut unseen) = (0, BTreeSet::new(), 0);
    for thing in things {
        let Thing::Server(server) = thing else { continue };
        let front = server.at.host.as_ref().and_then(|host| told.silent.get(host));
        let answers = told.all(&server.reads());
        match answers.and_then(|mut answers| server.facts(&mut answers).map_err(|e| e.to_string())) {
            Ok(facts) if facts.state == ServerState::Ready && facts.up => takes += 1,
            Ok(facts) => {
                let lingering = words::count("session", usize::try_from(facts.sessions).unwrap_or(usize::MAX));
                let state = match facts.state {
                    ServerState::Ready => "held for down",
                    ServerState::Drain => "drained",
                    ServerState::Maint => "maintenance",
                };
                others.insert(if facts.sessions > 0 { format!("{state}, {lingering}") } else { state.to_owned() });
            }
            Err(why) => {
                unseen += 1;
                let whose = match (&server.at.host, front) {
                    (Some(host), Some(_)) => format!("`{host}`: {why}"),
                    _ => why,
                };
                notes.insert(whose);
            }
        }
    }
    let all = things.len();
    let mut standing = some(takes, unseen, all, ["takes traffic", "take traffic"]);
    if takes == all && all == 1 {
        standing.says = "takes traffic".into();
    }
    if takes == 0 && unseen == 0 {
        standing.says = format!("none: {}", Vec::from_iter(others).join("; "));
    }
    standing
}

/// A record at a site; `all` has its values at either.
fn named(site: &str, all: &[(&str, Thing)], told: &Told, ttl: Option<Span>, notes: &mut BTreeSet<String>) -> Standing {
    let wanted_at = |at: &(&str, Thing)| match &at.1 {
        Thing::Record(_, wanted) => Some(wanted.clone()),
        _ => None,
    };
    let own = all.iter().find(|(at, _)| *at == site).map(|(_, thing)| thing);
    let Some(Thing::Record(record, wanted)) = own else { return Standing::unknown() };
    let answers = told.all(&record.reads());
    let facts = match answers.and_then(|mut answers| record.facts(&mut answers).map_err(|e| e.to_string())) {
        Ok(facts) => facts,
        Err(why) => {
            notes.insert(why);
            return Standing::unknown();
        }
    };
    let SetFacts { values, ttl: lives_for, behind, .. } = facts;
    notes.extend(behind.iter().map(|(server, why)| format!("`{server}` {why}")));
    let of_sites: BTreeSet<String> = all.iter().filter_map(wanted_at).flatten().collect();
    let strangers: Vec<String> = values.difference(&of_sites).cloned().collect();
    if !strangers.is_empty() {
        notes.insert(format!("it has {}, of neither site", words::list(&strangers, 3)));
    }
    let here = values.intersection(wanted).count();
    if here == 0 {
        return Standing::of(Lives::No, if values.is_empty() { "no record" } else { "-" });
    }
    let time = lives_for.map(|seconds| Span::secs(u64::from(seconds)));
    if let (Some(wanted), Some(time)) = (ttl, time)
        && time > wanted
    {
        notes.insert(format!("clients may keep it for {time}, {wanted} is declared"));
    }
    let says = time.map_or_else(|| "points here".to_owned(), |time| format!("points here, TTL {time}"));
    let whole = here == wanted.len() && strangers.is_empty();
    Standing::of(if whole { Lives::Yes } else { Lives::Partly }, says)
}

fn jobs(things: &[&Thing], told: &Told) -> Standing {
    let (mut on, mut unseen) = (0, 0);
    for thing in things {
        let is_on = match thing {
            Thing::Timer(timer) => told
                .all(&timer.reads())
                .and_then(|mut answers| timer.facts(&mut answers).map_err(|e| e.to_string()))
                .map(|facts| unit::runs(facts.state)),
            Thing::Cron(file) => told
                .all(&file.reads())
                .and_then(|mut answers| file.facts(&mut answers).map_err(|e| e.to_string()))
                .map(|facts| facts.is_some()),
            _ => continue,
        };
        match is_on {
            Ok(true) => on += 1,
            Ok(false) => {}
            Err(_) => unseen += 1,
        }
    }
    some(on, unseen, things.len(), ["on", "on"])
}

fn holds(things: &[&Thing], told: &Told, notes: &mut BTreeSet<String>) -> Standing {
    let (mut on, mut unseen, mut odd) = (0, 0, BTreeSet::new());
    for thing in things {
        let read = match thing {
            Thing::Command(read) => read,
            Thing::Unfit(why) => {
                notes.insert(why.clone());
                unseen += 1;
                continue;
            }
            _ => continue,
        };
        match told.of(read) {
            Ok(Answer::Run(run)) if run.code == Some(0) => on += 1,
            Ok(Answer::Run(run)) if run.code == Some(1) => {}
            Ok(Answer::Run(run)) => {
                unseen += 1;
                odd.insert(resources::app::ended(&run));
            }
            _ => unseen += 1,
        }
    }
    let mut standing = some(on, unseen, things.len(), ["active", "active"]);
    if let Some(how) = odd.first() {
        standing.says = format!("status: {how}");
    }
    standing
}
