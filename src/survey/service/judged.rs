//! Where a service is active, by what was seen of its parts, and what is not as it should be. Pure.

use super::{Active, DatabaseSeen, Lives, Node, PartSeen, Problem, Role, Seen, lag::lag};
use crate::{
    base::{HostName, PgFacts, words},
    inventory::{Database, Inventory, Rpo, Service},
    survey::app::Level,
};
use std::collections::BTreeMap;

/// Completes what was seen by what it says.
///
/// `before` is what was seen a moment earlier, where it was looked at twice.
pub(super) fn judge(inventory: &Inventory, service: &Service, mut seen: Seen, before: Option<&Seen>) -> Seen {
    if let Some(database) = &mut seen.database {
        database.lag = behind(inventory, database, before);
    }
    seen.active = active(service, &seen);
    seen.problems = problems(inventory, service, &seen);
    seen
}

fn behind(inventory: &Inventory, database: &DatabaseSeen, before: Option<&Seen>) -> Option<super::Lag> {
    let one = |is: fn(Role) -> bool| {
        let mut nodes = database.nodes.iter().filter(|node| is(node.role) && node.site.is_some());
        nodes.next().filter(|_| nodes.next().is_none())
    };
    let primary = one(|role| role == Role::Primary)?;
    let standby = one(|role| matches!(role, Role::Standby | Role::Cut))?;
    let host = inventory.host(standby.host.as_str())?;
    let earlier = before.and_then(Seen::primary).filter(|node| node.host == primary.host);
    let written = earlier.and_then(|node| node.facts.as_ref()?.sql.as_ref()?.written);
    lag(primary.facts.as_deref()?, standby.facts.as_deref()?, host, written)
}

/// What a service's place is decided by where it has no database, the first of them that it has.
const DECIDE: [&str; 5] = ["balancer", "record", "app", "jobs", "command"];

fn active(service: &Service, seen: &Seen) -> Active {
    let (site, decides) = match &seen.database {
        Some(database) => (by_database(service, database), "database"),
        None => by_traffic(service, seen),
    };
    let Active::At(site) = site else { return site };
    let Some(other) = service.other(&site) else { return Active::At(site) };
    // what lives at the other site alone: a part of which some is at both is a problem of its own
    let is_elsewhere = |part: &&PartSeen| {
        part.moves
            && part.kind != decides
            && part.at.get(other).is_some_and(|s| matches!(s.lives, Lives::Yes | Lives::Partly))
            && part.at.get(&site).is_some_and(|s| s.lives == Lives::No)
    };
    let elsewhere: Vec<String> = seen.parts.iter().filter(is_elsewhere).map(named).collect();
    if elsewhere.is_empty() { Active::At(site) } else { Active::Split { at: site, elsewhere } }
}

fn by_database(service: &Service, database: &DatabaseSeen) -> Active {
    let primaries: Vec<&Node> = database.nodes.iter().filter(|node| node.role == Role::Primary).collect();
    match primaries.as_slice() {
        [] => {
            let dark: Vec<&Node> = database.nodes.iter().filter(|node| node.role.may_write()).collect();
            if dark.is_empty() { Active::Nowhere } else { Active::Unknown(dark_words(&dark)) }
        }
        [one] => match one.site.as_ref().filter(|site| service.sites.contains(site)) {
            Some(site) => Active::At(site.clone()),
            None => Active::Unknown(format!("the primary is `{}`, at neither site of the service", one.host)),
        },
        _ => Active::Both,
    }
}

fn dark_words(dark: &[&Node]) -> String {
    let word = |node: &&Node| {
        let why = node.unseen.clone().or_else(|| node.facts.as_ref()?.silent.clone());
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        match node.role {
            Role::Unseen => format!("`{}` could not be seen{why}", node.host),
            _ => format!("the database on `{}` runs and does not answer{why}", node.host),
        }
    };
    format!("no primary was seen, and {}", dark.iter().map(word).collect::<Vec<_>>().join("; "))
}

fn by_traffic(service: &Service, seen: &Seen) -> (Active, &'static str) {
    for kind in DECIDE {
        let parts: Vec<&PartSeen> = seen.parts.iter().filter(|part| part.kind == kind && part.moves).collect();
        if parts.is_empty() {
            continue;
        }
        let lives = |site: &str, how: &[Lives]| {
            parts.iter().any(|part| part.at.get(site).is_some_and(|standing| how.contains(&standing.lives)))
        };
        let here: Vec<&String> =
            service.sites.iter().filter(|site| lives(site, &[Lives::Yes, Lives::Partly])).collect();
        let unknown: Vec<&String> = service.sites.iter().filter(|site| lives(site, &[Lives::Unknown])).collect();
        let active = match (here.as_slice(), unknown.as_slice()) {
            ([one], _) => Active::At((*one).clone()),
            ([], []) => Active::Nowhere,
            ([], _) => {
                let notes: Vec<String> = parts.iter().filter_map(|part| part.note.clone()).collect();
                let why = if notes.is_empty() { String::new() } else { format!(": {}", notes.join("; ")) };
                Active::Unknown(format!("{} could not be seen{why}", listed(&parts)))
            }
            _ => Active::Both,
        };
        return (active, kind);
    }
    (Active::Unknown("none of its parts is at one site at a time".into()), "")
}

fn listed(parts: &[&PartSeen]) -> String {
    parts.iter().map(|part| named(part)).collect::<Vec<_>>().join(", ")
}

fn named(part: &PartSeen) -> String {
    format!("{} `{}`", part.kind, part.name)
}

fn problem(level: Level, says: impl Into<String>) -> Problem {
    Problem { level, says: says.into(), hint: None }
}

fn problems(inventory: &Inventory, service: &Service, seen: &Seen) -> Vec<Problem> {
    let mut found = place(service, seen);
    found.extend(unreached(seen));
    if let Some(site) = seen.active.site() {
        found.extend(seen.parts.iter().filter_map(|part| astray(service, part, site)));
    }
    found.extend(seen.parts.iter().filter_map(|part| {
        let level = if part.at.values().any(|s| s.lives == Lives::Unknown) { Level::Unknown } else { Level::Warning };
        part.note.as_ref().map(|note| problem(level, format!("{}: {note}", named(part))))
    }));
    if let (Some(database), Some(declared)) = (&seen.database, service.database(inventory)) {
        found.extend(replication(inventory, service, seen, database, declared));
    }
    let rank =
        |p: &Problem| [Level::Critical, Level::Unknown, Level::Warning, Level::Ok].iter().position(|l| *l == p.level);
    found.sort_by_key(rank);
    found
}

/// What is wrong with where it is: the first thing to be told.
fn place(service: &Service, seen: &Seen) -> Vec<Problem> {
    let primaries: Vec<&Node> =
        seen.database.iter().flat_map(|d| &d.nodes).filter(|n| n.role == Role::Primary).collect();
    let mute = seen.database.iter().flat_map(|d| &d.nodes).find(|n| n.role == Role::MutePrimary);
    let mut found = Vec::new();
    match &seen.active {
        Active::Both if primaries.len() > 1 => {
            let hosts: Vec<&HostName> = primaries.iter().map(|node| &node.host).collect();
            let says = format!(
                "TWO PRIMARIES: {} accept writes, and each has what the other one lacks",
                words::list(&hosts, 9)
            );
            let hint = "stop the one that clients do not use, at once; `svcops failover rejoin` makes it a standby, and tells what it had";
            found.push(Problem { hint: Some(hint.into()), ..problem(Level::Critical, says) });
        }
        Active::Both => found.push(problem(Level::Critical, "its traffic goes to both sites")),
        Active::Nowhere if seen.database.is_some() => {
            found.push(problem(Level::Critical, "NO PRIMARY: its database accepts writes at neither site"));
        }
        Active::Nowhere => found.push(problem(Level::Critical, "it is active at neither site")),
        Active::Unknown(why) => found.push(problem(Level::Unknown, format!("where it is active is not known: {why}"))),
        Active::Split { at, elsewhere } => {
            let other = service.other(at).unwrap_or_default();
            let says = format!("SPLIT: it is active at `{at}`, and {} at `{other}`", elsewhere.join(", "));
            found.push(problem(Level::Critical, says));
        }
        Active::At(_) => {}
    }
    if let (Some(mute), [_, ..]) = (mute, primaries.as_slice()) {
        let says = format!(
            "`{}` may be a second primary: it runs, does not answer, and its control file says `in production`",
            mute.host
        );
        found.push(problem(Level::Critical, says));
    }
    found
}

/// The hosts that could not be seen, those with one reason together.
fn unreached(seen: &Seen) -> Vec<Problem> {
    let mut by_why: BTreeMap<(&str, &str), Vec<&HostName>> = BTreeMap::new();
    for site in &seen.sites {
        for (host, why) in &site.silent {
            by_why.entry((&site.site, why)).or_default().push(host);
        }
    }
    let all = |site: &str, n: usize| seen.sites.iter().any(|s| s.site == site && s.hosts == n);
    let words = |((site, why), hosts): (&(&str, &str), &Vec<&HostName>)| {
        let who = words::list(hosts, 3);
        let whole = if all(site, hosts.len()) { format!("site `{site}` is out of reach: ") } else { String::new() };
        problem(Level::Unknown, format!("{whole}{who} could not be reached: {why}"))
    };
    by_why.iter().map(words).collect()
}

/// A part that is not where the service is active, or is elsewhere too.
fn astray(service: &Service, part: &PartSeen, site: &str) -> Option<Problem> {
    let here = part.at.get(site)?;
    let other = service.other(site)?;
    let there = part.at.get(other)?;
    let name = named(part);
    if !part.moves {
        let short: Vec<String> = [(site, here), (other, there)]
            .into_iter()
            .filter(|(_, s)| matches!(s.lives, Lives::No | Lives::Partly))
            .map(|(at, s)| format!("at `{at}` {}", s.says))
            .collect();
        let level = if here.lives == Lives::No { Level::Critical } else { Level::Warning };
        return (!short.is_empty()).then(|| problem(level, format!("{name}: {}", short.join(", "))));
    }
    if part.kind == "database" {
        return None;
    }
    let clash = matches!(part.kind, "balancer" | "record" | "jobs");
    match (here.lives, there.lives) {
        (_, Lives::Yes | Lives::Partly) if matches!(here.lives, Lives::Yes | Lives::Partly) => {
            let level = if clash { Level::Critical } else { Level::Warning };
            Some(problem(
                level,
                format!("{name} is at both sites: at `{site}` {}, at `{other}` {}", here.says, there.says),
            ))
        }
        // what is at the other site alone was told with the split
        (Lives::No, Lives::No | Lives::Unknown) => {
            Some(problem(Level::Critical, format!("{name} at `{site}`: {}", here.says)))
        }
        (Lives::Partly, _) => Some(problem(Level::Warning, format!("{name} at `{site}`: {}", here.says))),
        (Lives::Yes | Lives::No | Lives::Unknown, _) => None,
    }
}

/// The standby, its lag and its slot; the boot fence. Clients see the service all the same: none of it is critical.
fn replication(
    inventory: &Inventory,
    service: &Service,
    seen: &Seen,
    database: &DatabaseSeen,
    declared: &Database,
) -> Vec<Problem> {
    let mut found = Vec::new();
    let Some(site) = seen.active.site() else { return found };
    let primary = database.nodes.iter().find(|node| node.site.as_deref() == Some(site));
    let standby = service.other(site).and_then(|other| seen.node(other));
    if let Some(node) = standby {
        match node.role {
            Role::Cut => found.push(problem(
                Level::Warning,
                format!("the standby `{}` does not stream: what is committed now is at `{site}` alone", node.host),
            )),
            Role::Down | Role::Absent => {
                let says = format!("there is no standby: the database on `{}` is {}", node.host, node.role);
                let rejoin = || format!("`svcops failover rejoin {}` makes it one that follows `{site}`", service.name);
                let hint = (node.role == Role::Down && declared.patroni.is_none()).then(rejoin);
                found.push(Problem { hint, ..problem(Level::Warning, says) });
            }
            Role::Mute => found.push(problem(
                Level::Unknown,
                format!("the database on `{}` runs and does not answer{}", node.host, why(node)),
            )),
            Role::Unseen | Role::Primary | Role::Standby | Role::MutePrimary => {}
        }
        if node.role == Role::Unseen && !seen.silent().any(|(host, _)| *host == node.host) {
            let says = format!("the database on `{}` could not be seen{}", node.host, why(node));
            found.push(problem(Level::Unknown, says));
        }
    }
    if let Some(lag) = &database.lag
        && !lag.within(service.rpo)
    {
        let says = format!("the standby is {} behind, RPO {}", lag_words(lag, service.rpo), service.rpo);
        found.push(problem(Level::Warning, says));
    }
    if let (Some(facts), Some(standby)) = (primary.and_then(|node| node.facts.as_deref()), standby)
        && declared.patroni.is_none()
        && declared.replication.slots
    {
        found.extend(slot(facts, inventory, standby));
    }
    let unfenced: Vec<&HostName> = database
        .nodes
        .iter()
        .filter(|node| node.facts.as_ref().is_some_and(|facts| !facts.boot_fence))
        .map(|n| &n.host)
        .collect();
    if !unfenced.is_empty() && declared.patroni.is_none() {
        let says = format!("not ready for --forced: no boot fence on {}", words::list(&unfenced, 9));
        let hint = format!("`svcops failover prepare {}` puts it there", service.name);
        found.push(Problem { hint: Some(hint), ..problem(Level::Warning, says) });
    }
    found
}

fn why(node: &Node) -> String {
    let why = node.unseen.clone().or_else(|| node.facts.as_ref()?.silent.clone());
    why.map_or_else(String::new, |why| format!(": {why}"))
}

/// So far behind, in what the RPO is in.
pub(super) fn lag_words(lag: &super::Lag, rpo: Rpo) -> String {
    let bytes = words::bytes(lag.bytes);
    match (rpo, lag.time) {
        (_, Some(time)) if time.0.as_millis() > 0 => format!("{bytes} ({time})"),
        (Rpo::Time(_), None) => format!("{bytes}, nobody knows how long,"),
        _ => bytes,
    }
}

/// What is wrong with the slot that holds the log for a standby.
fn slot(primary: &PgFacts, inventory: &Inventory, standby: &Node) -> Option<Problem> {
    let name = inventory.host(standby.host.as_str()).map(|host| Database::slot(&host.name))?;
    let sql = primary.sql.as_ref()?;
    match sql.slots.iter().find(|slot| slot.name == name) {
        None => {
            let says =
                format!("the primary has no slot `{name}`: what `{}` misses for long is lost to it", standby.host);
            Some(problem(Level::Warning, says))
        }
        Some(slot) if !slot.active && standby.role == Role::Standby => {
            Some(problem(Level::Warning, format!("`{}` streams without its slot `{name}`", standby.host)))
        }
        Some(_) => None,
    }
}
