//! `svcops failover SERVICE --to SITE --forced`, for a source that is lost, and `svcops failover rejoin`, once it is back.
//!
//! Nothing proves by itself that a host which does not answer serves nobody: it may be alive behind a cut. So there is a
//! proof by another way (a `fence:`, or the source's own host that shows its cluster stopped), or a person's words; and
//! what stays without a proof is named in the plan, before anybody confirms it.

mod loss;

pub use loss::{Found, Loss, Pace, Stated};

use super::{
    Moved, Way, from,
    steps::{Steps, on},
};
use crate::{
    base::HostName,
    inventory::{Database, Fence, Host, Inventory, Part, Service},
    verbs::{
        app::{NoRunbook, step},
        prepare::{Unable, written},
    },
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What to force.
#[derive(Clone, Debug)]
pub struct Forced<'a> {
    /// The service.
    pub service: &'a Service,
    /// The site that it is to run at.
    pub to: &'a str,
    /// The hosts at the other site that answer.
    pub reached: BTreeSet<HostName>,
    /// The host of the old primary shows its cluster stopped: its unit is masked, and that is the fence.
    pub stopped: bool,
    /// The target accepts writes already, as was seen: the rest comes after.
    pub promoted: bool,
    /// Why it may be done without a proof: a person's words.
    pub unfenced: Option<&'a str>,
    /// What may be lost.
    pub loss: &'a Loss,
}

/// The ways to prove that a site serves nobody, each with its text.
pub fn fences<'a>(service: &'a Service, site: &str) -> Vec<(&'a Fence, String)> {
    let fences = service.fence.iter().filter(|fence| fence.site.as_deref().is_none_or(|fenced| fenced == site));
    fences.map(|fence| (fence, fence.run.replace("{{ site }}", site).replace("{{site}}", site))).collect()
}

/// What may go on at the source, and nobody could stop or fence, in words.
///
/// # Errors
/// A site that is none of the service's.
pub fn unproven(inventory: &Inventory, forced: &Forced<'_>) -> Result<Vec<String>, NoRunbook> {
    let Forced { service, to, .. } = forced;
    let from = from(service, to)?;
    if forced.unfenced.is_none() && !forced.stopped && !fences(service, from).is_empty() {
        return Ok(vec![]);
    }
    let mut all = Vec::new();
    for part in &service.parts {
        let (kind, name) = part.title();
        for host in hosts_of(inventory, part, from) {
            let known = match part {
                Part::Database(_) => forced.stopped,
                _ => forced.reached.contains(&host.name),
            };
            if !known && !matches!(part, Part::Balancer { .. } | Part::Record { .. } | Part::App { both: true, .. }) {
                all.push(format!("{kind} `{name}` on `{}`", host.name));
            }
        }
    }
    Ok(all)
}

/// `a, b and c`, as they stand.
pub fn joined(names: &[String]) -> String {
    match names {
        [some @ .., last] if !some.is_empty() => format!("{} and {last}", some.join(", ")),
        names => names.concat(),
    }
}

/// The hosts of a part at a site.
pub fn hosts_of<'a>(inventory: &'a Inventory, part: &Part, site: &str) -> Vec<&'a Host> {
    let hosts = match part {
        Part::Database(name) => inventory.databases.get(name).map(|database| &database.hosts),
        Part::App { name, .. } => inventory.apps.get(name).map(|app| &app.hosts),
        Part::Balancer { servers: hosts, .. } | Part::Jobs { hosts, .. } | Part::Command { hosts, .. } => Some(hosts),
        Part::Record { .. } => None,
    };
    let hosts = hosts.map(|hosts| inventory.select(hosts)).unwrap_or_default();
    hosts.into_iter().filter(|host| host.site.as_deref() == Some(site)).collect()
}

/// The runbook of a forced failover, as YAML text.
///
/// # Errors
/// A site that is none of the service's; a database without a host there; neither a proof nor words.
pub fn compose(inventory: &Inventory, forced: &Forced<'_>) -> Result<String, Unable> {
    let Forced { service, to, loss, .. } = forced;
    let source = from(service, to)?;
    let none = || Unable::NoDatabase { service: service.name.clone() };
    let moved = Moved::of(inventory, service, source, to)?.ok_or_else(none)?;
    let Moved { database, old, new } = &moved;
    let steps = Steps { inventory, service, from: source, to, way: Way::Whole };
    let mut all = Vec::new();
    if service.probe.is_some() {
        let args = json!({"service": service.name, "down": true});
        all.push(step(&format!("A client looks at {}", service.name), "service.watch", args));
    }
    if forced.promoted {
        // the point of no return lies behind it
        all.extend(leave(inventory, forced, source, new));
        all.extend(arrival(&steps));
        return finished(forced, source, new, (json!({}), all));
    }
    let title = format!("Is {} on {} able to take over? Lost then: {}", database.name, new.name, loss.words());
    all.push(on(new, &title, "postgres.ready", json!({"database": database.name, "from": old.name, "lost": true})));
    all.extend(steps.well());
    let without = unproven(inventory, forced)?;
    let mut proofs: Vec<String> = forced.unfenced.map(str::to_owned).into_iter().collect();
    if forced.stopped {
        let title = format!("Nothing starts {} on {} again", database.name, old.name);
        all.push(on(old, &title, "postgres.mask", json!({"database": database.name, "peer": new.name})));
        proofs.push(format!("`{}` on `{}` is stopped and masked", database.name, old.name));
    } else if forced.unfenced.is_none() {
        for (fence, run) in fences(service, source) {
            let mut prove = step(&format!("Fence {source}: {}", fence.name), "command", json!(run));
            if let Some(map) = prove.as_object_mut() {
                map.insert("targets".into(), json!(fence.at));
                // what it changes lies at the other site, and nothing of its own host
                map.insert("touches".into(), json!([format!("file:/run/svcops/fence-{source}")]));
            }
            all.push(prove);
            proofs.push(format!("fenced by `{}` on `{}`", fence.name, fence.at));
        }
    }
    if proofs.is_empty() {
        return Err(Unable::Unproven { what: without });
    }
    all.extend(leave(inventory, forced, source, new));
    let rest = if without.is_empty() { String::new() } else { format!("; not fenced: {}", joined(&without)) };
    let mut promote = on(
        new,
        &format!("Promote {} on {} without {}{rest}", database.name, new.name, old.name),
        "postgres.promote",
        json!({"database": database.name, "from": old.name, "unfenced": format!("{}{rest}", proofs.join("; "))}),
    );
    if let Some(map) = promote.as_object_mut() {
        map.insert("no_return".into(), json!(true));
    }
    all.push(promote);
    all.extend(arrival(&steps));
    finished(forced, source, new, (loss.stated(), all))
}

/// The parts arrive at the target, and a client sees it.
fn arrival(steps: &Steps<'_>) -> Vec<Value> {
    let mut all = steps.arrive();
    all.extend(steps.jobs_start());
    all.extend(steps.verify("A client sees it", false));
    all.extend(steps.verify("What a client saw in the end", true));
    all
}

fn finished(
    forced: &Forced<'_>,
    source: &str,
    new: &Host,
    (params, steps): (Value, Vec<Value>),
) -> Result<String, Unable> {
    let Forced { service, to, promoted, .. } = forced;
    let title = service.title.as_ref().unwrap_or(&service.name);
    let mut runbook = json!({
        "svcops": 1,
        "name": format!("failover-{}-to-{to}", service.name),
        "title": format!("Force {title} to {to}, without {source}"),
        "params": params,
        "targets": new.name,
        "steps": steps,
    });
    if let Some(map) = runbook.as_object_mut().filter(|_| *promoted) {
        map.remove("params");
        map.insert("on_failure".into(), json!("continue"));
    }
    written(&runbook)
}

/// What still answers at the source stops, and its servers are out of the balancers at once: where no end of a session
/// comes, clients would hang. All of it from the target, but what is stopped.
fn leave(inventory: &Inventory, forced: &Forced<'_>, source: &str, new: &Host) -> Vec<Value> {
    let mut all = Vec::new();
    for part in &forced.service.parts {
        let hosts = hosts_of(inventory, part, source);
        let answer = hosts.iter().filter(|host| forced.reached.contains(&host.name));
        match part {
            Part::Balancer { name, backend, .. } => all.extend(hosts.iter().map(|host| {
                let args =
                    json!({"balancer": name, "backend": backend, "server": host.name, "within": "0s", "then": "kill"});
                on(new, &format!("Take {} out of {backend} of {name}", host.name), "haproxy.drain", args)
            })),
            Part::App { name, both: false } => all.extend(
                answer.map(|host| on(host, &format!("Stop {name} on {}", host.name), "app.stop", json!({"app": name}))),
            ),
            Part::Jobs { timers, cron, .. } => all.extend(answer.map(|host| {
                let lists = [("timers", timers), ("cron", cron)].into_iter().filter(|(_, list)| !list.is_empty());
                let args: Value = lists.map(|(key, list)| (key.to_owned(), json!(list))).collect();
                on(host, &format!("Jobs leave {}", host.name), "jobs.stop", args)
            })),
            Part::Command { name, stop, start, status, .. } => all.extend(answer.map(|host| {
                let args = json!({"run": stop, "unless": format!("{status}; test $? -eq 1")});
                let mut leave = on(host, &format!("{name} leaves {}", host.name), "command", args);
                if let Some(map) = leave.as_object_mut() {
                    map.insert("undo".into(), json!([{"command": start}]));
                }
                leave
            })),
            Part::App { both: true, .. } | Part::Database(_) | Part::Record { .. } => {}
        }
    }
    all
}

/// The runbook that makes a former primary a standby of the present one, as YAML text.
///
/// # Errors
/// YAML cannot say it.
pub fn rejoin(
    service: &Service,
    database: &Database,
    (old, primary): (&Host, &Host),
    stated: Option<&Stated>,
) -> Result<String, Unable> {
    let name = &database.name;
    let title = format!("{name} on {} follows {}", old.name, primary.name);
    let mut follow = on(old, &title, "postgres.follow", json!({"database": name, "primary": primary.name}));
    if let Some(map) = follow.as_object_mut() {
        // a rewind reads all that has changed, and is never broken off
        map.insert("timeout".into(), json!("6h"));
        map.insert("no_return".into(), json!(true));
    }
    let title = service.title.as_ref().unwrap_or(&service.name);
    let mut runbook = json!({
        "svcops": 1,
        "name": format!("failover-rejoin-{}", service.name),
        "title": format!("Rejoin {} of {title} as a standby of {}", old.name, primary.name),
        "targets": old.name,
        "steps": [follow],
    });
    if let (Some(map), Some(stated)) = (runbook.as_object_mut(), stated) {
        map.insert("params".into(), stated.params());
    }
    written(&runbook)
}

#[cfg(test)]
mod tests;
