//! `svcops failover SERVICE --to SITE`, and its drill.
//!
//! What happens in which order, and why:
//! 1. All that can be known is known before anybody notices: a client's probe runs, the target's database is a standby of
//!    that very primary with all that may not be lost, apps that run at both sites are well at the target.
//! 2. What nobody waits for comes first: jobs end (one that runs may take its time), both clusters write out what they
//!    hold, and the source's unit is masked: from then on nothing starts it a second time.
//! 3. Then the outage: the other parts leave the source in their order in `parts:`, the database last.
//! 4. The promotion is the point of no return, and the only one: it waits for the proof that the source has ended.
//! 5. The parts arrive at the target in the same order, but that a balancer's servers come after what they serve: those on
//!    the database's hosts at once, those of an app that moves after that app. Jobs are last: nobody waits for them.
//! 6. A client sees it, and then the old primary follows the new one.

pub mod forced;
mod steps;

use super::app::NoRunbook;
use crate::{
    base::words,
    inventory::{Database, Host, Inventory, Service},
};
use serde_json::{Value, json};
use steps::{Steps, hurried};

/// What to move, and where to.
#[derive(Clone, Copy, Debug)]
pub struct Switch<'a> {
    /// The service.
    pub service: &'a Service,
    /// The site that it is to run at.
    pub to: &'a str,
    /// How much of it.
    pub way: Way,
}

/// How much of a switch there is to compose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// All of it.
    Whole,
    /// The database is at the target already, as was seen: the rest comes after, and what is left of its old primary
    /// follows.
    Rest,
    /// All before the point of no return, and back again.
    Drill,
}

/// The service of that name.
///
/// # Errors
/// There is none.
pub fn find<'a>(inventory: &'a Inventory, name: &str) -> Result<&'a Service, NoRunbook> {
    inventory.services.get(name).ok_or_else(|| NoRunbook::NoService {
        service: name.to_owned(),
        near: words::nearest(name, inventory.services.keys().map(String::as_str)).map(str::to_owned),
    })
}

/// The site that a service leaves where it moves to this one.
///
/// # Errors
/// It is none of the service's.
pub fn from<'a>(service: &'a Service, to: &str) -> Result<&'a str, NoRunbook> {
    let known = service.sites.iter().any(|site| site == to);
    known.then(|| service.other(to)).flatten().ok_or_else(|| NoRunbook::NotItsSite {
        service: service.name.clone(),
        site: to.to_owned(),
        sites: service.sites.clone(),
    })
}

/// The runbook of a switch, as YAML text: the same parser reads it.
///
/// # Errors
/// A site that is none of the service's; a database without a host there.
pub fn compose(inventory: &Inventory, switch: &Switch<'_>) -> Result<String, NoRunbook> {
    let Switch { service, to, way } = *switch;
    let from = from(service, to)?;
    let moved = Moved::of(inventory, service, from, to)?;
    let steps = Steps { inventory, service, from, to, way };
    let mut all = Vec::new();
    all.extend(steps.watch());
    if let Some(moved) = &moved {
        all.extend(before(&steps, moved));
        let outage = steps.leave().into_iter().chain(hand_over(&steps, moved));
        if way == Way::Rest {
            // the point of no return lies behind it: there is nothing to turn back for
            all.extend(outage);
        } else {
            all.extend(hurried(outage));
        }
    } else {
        all.extend(steps.well());
        all.extend(steps.jobs_stop());
        all.extend(hurried(steps.leave()));
    }
    if way == Way::Drill && moved.is_some() {
        all.push(steps.turn_back());
    } else {
        all.extend(steps.arrive());
        all.extend(steps.jobs_start());
        if way == Way::Drill {
            all.push(steps.turn_back());
        } else {
            all.extend(steps.verify("A client sees it", false));
            all.extend(moved.as_ref().map(|moved| follow(&steps, moved)));
        }
    }
    all.extend(steps.verify("What a client saw in the end", true));
    let title = service.title.as_ref().unwrap_or(&service.name);
    let (name, title) = match way {
        Way::Drill => (
            format!("failover-drill-{}", service.name),
            format!("Try to move {title} from {from} to {to}, and go back"),
        ),
        Way::Whole | Way::Rest => {
            (format!("failover-{}-to-{to}", service.name), format!("Move {title} from {from} to {to}"))
        }
    };
    let targets = format!("site in ({from},{to})");
    let mut runbook = json!({"svcops": 1, "name": name, "title": title, "targets": targets, "steps": all});
    if let Some(map) = runbook.as_object_mut().filter(|_| way == Way::Rest) {
        // the point of no return lies behind it: there is only forward
        map.insert("on_failure".into(), json!("continue"));
    }
    let text = serde_yaml::to_string(&runbook).map_err(|e| NoRunbook::Unwritable(e.to_string()))?;
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}

/// The database of a service, and its two hosts.
struct Moved<'a> {
    database: &'a Database,
    old: &'a Host,
    new: &'a Host,
}

impl<'a> Moved<'a> {
    fn of(inventory: &'a Inventory, service: &Service, from: &str, to: &str) -> Result<Option<Self>, NoRunbook> {
        let Some(database) = service.database(inventory) else { return Ok(None) };
        let at = |site: &str| {
            database
                .at(inventory, site)
                .ok_or_else(|| NoRunbook::NoDatabaseHost { database: database.name.clone(), site: site.to_owned() })
        };
        Ok(Some(Self { database, old: at(from)?, new: at(to)? }))
    }
    fn by_patroni(&self) -> bool {
        self.database.patroni.is_some()
    }
}

/// All that is done before a client notices anything.
fn before(steps: &Steps<'_>, moved: &Moved<'_>) -> Vec<Value> {
    let Moved { database, old, new } = moved;
    let (name, rpo) = (&database.name, steps.service.rpo);
    let mut all = Vec::new();
    if steps.way != Way::Rest {
        let args = json!({"database": name, "from": old.name, "rpo": rpo.to_string()});
        all.push(steps::on(new, &format!("Is {name} on {} able to take over?", new.name), "postgres.ready", args));
    }
    all.extend(steps.well());
    all.extend(steps.jobs_stop());
    if steps.way != Way::Rest {
        for host in [new, old] {
            let title = format!("{name} on {} writes out what it holds in memory", host.name);
            all.push(steps::on(host, &title, "postgres.checkpoint", json!({"database": name})));
        }
        if !moved.by_patroni() {
            let args = json!({"database": name, "peer": new.name});
            all.push(steps::on(old, &format!("Nothing starts {name} on {} again", old.name), "postgres.mask", args));
        }
    }
    all
}

/// The source ends, and the target takes over.
fn hand_over(steps: &Steps<'_>, moved: &Moved<'_>) -> Vec<Value> {
    let Moved { database, old, new } = moved;
    let name = &database.name;
    let mut all = Vec::new();
    if steps.way == Way::Rest {
        return all;
    }
    if steps.is_slow_to_leave() {
        let title = format!("{name} on {} writes out what came meanwhile", old.name);
        all.push(steps::on(old, &title, "postgres.checkpoint", json!({"database": name})));
    }
    if !moved.by_patroni() {
        let args = json!({"database": name, "peer": new.name});
        all.push(steps::on(old, &format!("Stop {name} on {}", old.name), "postgres.stop", args));
    }
    if steps.way == Way::Drill {
        return all;
    }
    let args = json!({"database": name, "from": old.name});
    let mut promote = if moved.by_patroni() {
        steps::on(new, &format!("Patroni hands {name} over to {}", new.name), "patroni.switchover", args)
    } else {
        steps::on(new, &format!("Promote {name} on {}", new.name), "postgres.promote", args)
    };
    if let Some(map) = promote.as_object_mut() {
        map.insert("no_return".into(), json!(true));
    }
    all.push(promote);
    all
}

/// The old primary becomes a standby; Patroni sees to that itself, and is waited for.
fn follow(steps: &Steps<'_>, moved: &Moved<'_>) -> Value {
    let Moved { database, old, new } = moved;
    let (name, title) = (&database.name, format!("{} on {} follows {}", database.name, old.name, new.name));
    let follow = if moved.by_patroni() {
        let args = json!({"database": name, "from": old.name, "follows": true});
        steps::on(new, &title, "patroni.switchover", args)
    } else {
        steps::on(old, &title, "postgres.follow", json!({"database": name, "primary": new.name}))
    };
    steps.again(follow)
}

#[cfg(test)]
mod tests;
