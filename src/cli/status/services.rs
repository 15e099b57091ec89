//! The services of `svcops status`: where each is active as seen, judged as `svcops failover status` judges it.

use super::{
    super::{app, failover::status::Judged},
    sections::{Item, MOST, Section, Seen},
};
use crate::{
    base::{HostName, words},
    inventory::{Inventory, Part, Service},
    survey::{
        app::{AppStatus, Level},
        service::Active,
    },
};
use std::collections::BTreeSet;

/// How services stand.
#[derive(Clone, Debug)]
pub(in crate::cli) enum Services {
    /// As seen at both of their sites.
    Seen {
        /// These were looked at.
        all: Vec<Judged>,
        /// So many were not, for only some of their hosts are chosen: half a service says nothing.
        halves: usize,
    },
    /// So many are declared, and none was looked at.
    NotAsked(usize),
}

/// The services to be looked at: without a choice of hosts all, else those whose hosts are all chosen, and how many others
/// have only some that are.
pub(super) fn chosen<'a>(inventory: &'a Inventory, chosen: Option<&BTreeSet<HostName>>) -> (Vec<&'a Service>, usize) {
    let Some(chosen) = chosen else { return (inventory.services.values().collect(), 0) };
    let (mut whole, mut halves) = (Vec::new(), 0);
    for service in inventory.services.values() {
        let hosts = service.hosts(inventory);
        let some = hosts.iter().filter(|host| chosen.contains(&host.name)).count();
        if some > 0 && some == hosts.len() {
            whole.push(service);
        } else if some > 0 {
            halves += 1;
        }
    }
    (whole, halves)
}

/// Leaves those hosts out of the rows of apps on which an app that moves with a service rests: at the site where the service
/// is not. Whether it rests there is told with the service.
pub(super) fn without_those_that_rest(apps: &mut [AppStatus], inventory: &Inventory, services: &[Judged]) {
    for app in apps {
        let (mut active, mut idle) = (BTreeSet::new(), BTreeSet::new());
        for one in services {
            let Some(service) = inventory.services.get(&one.seen.service) else { continue };
            let moves = |part: &Part| matches!(part, Part::App { name, both: false } if *name == app.app);
            if service.parts.iter().any(moves) {
                // where it is not known, all of its sites count
                let at = |site: &&String| one.seen.active.site().is_none_or(|at| at == site.as_str());
                let (here, there): (Vec<&String>, Vec<&String>) = service.sites.iter().partition(at);
                active.extend(here);
                idle.extend(there);
            }
        }
        let rests = |site: &String| idle.contains(site) && !active.contains(site);
        app.hosts.retain(|host| !host.site.as_ref().is_some_and(rests));
    }
}

/// Services; without one it says nothing.
pub(super) fn services(seen: &Seen) -> Section {
    let part = Section::new("services", Level::Ok);
    let (all, halves) = match &seen.services {
        Services::NotAsked(0) => return part,
        Services::NotAsked(n) => return part.says(format!("{}, none was looked at", words::count("service", *n))),
        Services::Seen { all, halves } => (all, *halves),
    };
    let apart = (halves > 0).then(|| {
        let hosts = if halves == 1 { "its" } else { "their" };
        format!("{} not looked at: not all of {hosts} hosts are selected", words::count("service", halves))
    });
    if all.is_empty() {
        return part.says(apart.unwrap_or_default());
    }
    let (good, mut bad): (Vec<&Judged>, Vec<&Judged>) = all.iter().partition(|one| one.level() == Level::Ok);
    // the worst first: few are told of
    bad.sort_by_key(|one| {
        [Level::Critical, Level::Unknown].iter().position(|level| *level == one.level()).unwrap_or(2)
    });
    let (says, mut items) = match (bad.as_slice(), all.as_slice()) {
        ([], [one]) => (format!("service {}", one.place()), Vec::new()),
        ([], many) => (format!("{} where they should be", words::count("service", many.len())), Vec::new()),
        ([one], _) => alone(one),
        (many, _) => (
            format!("{} of {} not as they should be", many.len(), words::count("service", all.len())),
            many.iter().take(MOST).map(|one| among(one)).collect(),
        ),
    };
    if bad.len() > MOST {
        items.push(Item::of(format!("and {}", words::count("more service", bad.len() - MOST))));
    }
    if all.len() > 1 && good.len() <= MOST {
        items.extend(good.iter().map(|one| Item::of(one.place())));
    } else if all.len() > 1 {
        let other = if bad.is_empty() { "service" } else { "other service" };
        items.push(Item::of(format!("{} each at one site", words::count(other, good.len()))));
    }
    items.extend(apart.map(Item::of));
    let hint = match bad.as_slice() {
        [one] if items.is_empty() => one.seen.problems.first().and_then(|problem| problem.hint.clone()),
        _ => None,
    };
    let every = |one: &&Judged| format!("`svcops failover status {}` has every part", one.seen.service);
    let hint = hint.or_else(|| bad.first().map(every));
    let json = all.iter().map(Judged::json).collect();
    Section { level: Level::worst(all.iter().map(Judged::level)), items, hint, json, ..part.says(says) }
}

/// The only one in trouble: the worst of it is in the verdict.
fn alone(one: &Judged) -> (String, Vec<Item>) {
    let problem = |problem: &crate::survey::service::Problem| Item {
        text: format!("{} {}", app::word(problem.level), problem.says),
        under: Vec::new(),
        hint: problem.hint.clone(),
    };
    let mut problems: Vec<Item> = one.seen.problems.iter().take(MOST).map(problem).collect();
    if one.seen.problems.len() > MOST {
        problems.push(Item::of(format!("and {} more", one.seen.problems.len() - MOST)));
    }
    let says = match (&one.seen.active, one.seen.problems.as_slice()) {
        (Active::At(site), [worst, rest @ ..]) => {
            // alone it is told in the verdict, and its hint is the section's
            if rest.is_empty() {
                problems.clear();
            }
            format!("service `{}` at `{site}`: {}", one.seen.service, worst.says)
        }
        (Active::Unknown(_), _) => one.place(),
        _ => format!("service {}", one.place()),
    };
    (says, problems)
}

/// One of several.
fn among(one: &Judged) -> Item {
    let problems = &one.seen.problems;
    let mut under: Vec<String> = problems.iter().take(MOST).map(|problem| problem.says.clone()).collect();
    if problems.len() > MOST {
        under.push(format!("and {} more", problems.len() - MOST));
    }
    Item { text: format!("{} {}", app::word(one.level()), one.place()), under, hint: None }
}
