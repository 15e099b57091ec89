//! The steps of a switch, part by part.

use super::{
    super::app::{balancer, step},
    Way,
};
use crate::{
    base::HostName,
    inventory::{App, Host, Inventory, Part, Selector, Service},
};
use serde_json::{Value, json};

/// What the steps are composed of.
pub(super) struct Steps<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) service: &'a Service,
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) way: Way,
}

/// A step on one host.
pub(super) fn on(host: &Host, name: &str, action: &str, args: Value) -> Value {
    aimed(step(name, action, args), host.name.as_str())
}

fn aimed(mut step: Value, targets: &str) -> Value {
    if let Some(map) = step.as_object_mut() {
        map.insert("targets".into(), targets.into());
    }
    step
}

/// Those of a selector at a site.
fn at(hosts: &Selector, site: &str) -> String {
    format!("{}, site={site}", hosts.text)
}

/// So long sessions of people may take to end; those with a database are ended at once: their outage has begun.
const SESSIONS: &str = "5s";

/// While clients wait, a host that is silent is waited for no longer than this: the way back is open to most of them, and a
/// person is to know where it is not.
const PATIENCE: &str = "15s";

/// In the end a client is asked once more. Where nobody knows what became of an act, something could not be taken back, or
/// nothing was touched, there is nothing to wait for; and before all goes back on Ctrl-C clients must not wait for a client.
const IN_THE_END: &str = "{{ '1s' if run.outcome == 'stopped' else '1m' if run.touched and \
     run.outcome not in ['unknown', 'failed'] else '5s' }}";

/// Steps within the outage, before the point of no return.
pub(super) fn hurried(steps: impl IntoIterator<Item = Value>) -> impl Iterator<Item = Value> {
    steps.into_iter().map(|mut step| {
        if let Some(map) = step.as_object_mut() {
            map.insert("patience".into(), json!(PATIENCE));
        }
        step
    })
}

impl<'a> Steps<'a> {
    /// A client looks, all the while.
    pub(super) fn watch(&self) -> Option<Value> {
        self.service.probe.as_ref()?;
        let mut args = json!({"service": self.service.name});
        if let Some(map) = args.as_object_mut().filter(|_| self.way == Way::Rest) {
            // what was left half done need not be up
            map.insert("down".into(), json!(true));
        }
        Some(step(&format!("A client looks at {}", self.service.name), "service.watch", args))
    }

    /// A client sees it, and how long it did not is known. At the end it is asked whatever happened.
    pub(super) fn verify(&self, name: &str, always: bool) -> Option<Value> {
        self.service.probe.as_ref()?;
        let mut verify = step(name, "service.verify", json!({"service": self.service.name}));
        if let Some(map) = verify.as_object_mut().filter(|_| always) {
            map.insert("always".into(), json!(true));
            if let Some(args) = map.get_mut("service.verify").and_then(Value::as_object_mut) {
                args.insert("within".into(), json!(IN_THE_END));
            }
        }
        Some(verify)
    }

    /// Apps that run at both sites run at the target, and are well.
    pub(super) fn well(&self) -> Vec<Value> {
        let apps = self.apps().filter(|(_, both)| *both);
        let well = |app: &App| {
            let name = format!("{} runs at {}, and is well", app.name, self.to);
            aimed(step(&name, "app.start", json!({"app": app.name})), &at(&app.hosts, self.to))
        };
        apps.map(|(app, _)| well(app)).collect()
    }

    pub(super) fn jobs_stop(&self) -> Vec<Value> {
        self.jobs("jobs.stop", &format!("Jobs leave {}", self.from), self.from)
    }

    pub(super) fn jobs_start(&self) -> Vec<Value> {
        self.jobs("jobs.start", &format!("Jobs arrive at {}", self.to), self.to)
            .into_iter()
            .map(|s| self.again(s))
            .collect()
    }

    fn jobs(&self, action: &str, name: &str, site: &str) -> Vec<Value> {
        let job = |part: &Part| match part {
            Part::Jobs { hosts, timers, cron } => {
                let mut args = json!({});
                if let Some(map) = args.as_object_mut() {
                    let lists = [("timers", timers), ("cron", cron)].into_iter().filter(|(_, list)| !list.is_empty());
                    map.extend(lists.map(|(key, list)| (key.to_owned(), json!(list))));
                }
                let what = part.title().1;
                Some(aimed(step(&format!("{name}: {what}"), action, args), &at(hosts, site)))
            }
            _ => None,
        };
        self.service.parts.iter().filter_map(job).collect()
    }

    /// Whether something between the first checkpoint and the database's stop takes its time, and is written meanwhile.
    pub(super) fn is_slow_to_leave(&self) -> bool {
        let slow = |part: &Part| matches!(part, Part::App { both: false, .. } | Part::Command { .. });
        self.service.parts.iter().any(slow)
    }

    /// Traffic, apps and commands leave the source, in their order.
    pub(super) fn leave(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for part in &self.service.parts {
            match part {
                Part::Balancer { name, backend, servers } => {
                    let within = if self.is_of_database(part) { "0s" } else { SESSIONS };
                    let args = json!({"balancer": name, "backend": backend, "within": within, "then": "kill"});
                    let title = format!("Take {backend} at {} out of {name}", self.from);
                    all.push(aimed(step(&title, "haproxy.drain", args), &at(servers, self.from)));
                }
                Part::App { name, both: false } => {
                    let Some(app) = self.inventory.apps.get(name) else { continue };
                    let targets = at(&app.hosts, self.from);
                    let own =
                        balancer(app, &format!("Take {name} at {} out of its balancer", self.from), "haproxy.drain");
                    if let Some(mut drain) = own.filter(|_| !self.is_part(app)) {
                        if let Some(args) = drain.pointer_mut("/haproxy.drain").and_then(Value::as_object_mut) {
                            args.extend([("within".to_owned(), json!(SESSIONS)), ("then".to_owned(), json!("kill"))]);
                        }
                        all.push(aimed(drain, &targets));
                    }
                    let stop = step(&format!("Stop {name} at {}", self.from), "app.stop", json!({"app": name}));
                    all.push(aimed(stop, &targets));
                }
                Part::Command { name, hosts, stop, start, status } => {
                    // only where it says in so many words that it is not there, there is nothing to leave
                    let unless = format!("{status}; test $? -eq 1");
                    let title = format!("{name} leaves {}", self.from);
                    all.push(aimed(command(&title, stop, &unless, start), &at(hosts, self.from)));
                }
                Part::App { both: true, .. } | Part::Jobs { .. } | Part::Database(_) | Part::Record { .. } => {}
            }
        }
        all
    }

    /// Traffic, apps, names and commands arrive at the target: in their order, but what serves comes before its traffic.
    pub(super) fn arrive(&self) -> Vec<Value> {
        let parts = &self.service.parts;
        let mut all: Vec<Value> = Vec::new();
        all.extend(parts.iter().filter(|part| self.is_of_database(part)).filter_map(|part| self.enable(part)));
        for part in parts {
            match part {
                Part::Balancer { .. } if self.is_of_database(part) || self.moves_behind(part) => {}
                Part::Balancer { .. } => all.extend(self.enable(part)),
                Part::App { name, both: false } => {
                    let Some(app) = self.inventory.apps.get(name) else { continue };
                    let targets = at(&app.hosts, self.to);
                    let start = step(&format!("Start {name} at {}", self.to), "app.start", json!({"app": name}));
                    all.push(self.again(aimed(start, &targets)));
                    let behind = parts.iter().filter(|part| is_before(part, app));
                    all.extend(behind.filter_map(|part| self.enable(part)));
                    let own =
                        balancer(app, &format!("Bring {name} at {} into its balancer", self.to), "haproxy.enable");
                    all.extend(own.filter(|_| !self.is_part(app)).map(|enable| self.again(aimed(enable, &targets))));
                }
                Part::Record { zone, name, kind, values, ttl } => {
                    let mut args = json!({"zone": zone, "name": name, "type": kind.name(), "values": values.get(self.to), "state": "only"});
                    if let (Some(map), Some(ttl)) = (args.as_object_mut(), ttl) {
                        map.insert("ttl".into(), json!(ttl.to_string()));
                    }
                    let title = format!("Point {} to {}", part.title().1, self.to);
                    let record = step(&title, "dns.update", args);
                    all.push(self.again(self.somewhere(record)));
                }
                Part::Command { name, hosts, stop, start, status } => {
                    let title = format!("{name} arrives at {}", self.to);
                    all.push(aimed(command(&title, start, status, stop), &at(hosts, self.to)));
                }
                Part::App { both: true, .. } | Part::Jobs { .. } | Part::Database(_) => {}
            }
        }
        all
    }

    /// All goes back from here.
    pub(super) fn turn_back(&self) -> Value {
        step("This was a drill: all goes back", "drill.end", json!({"service": self.service.name}))
    }

    /// After the point of no return there is only forward: what failed is tried again. Before it a failure goes back at
    /// once, for a client waits.
    pub(super) fn again(&self, mut step: Value) -> Value {
        let crossed = self.way != Way::Drill && self.service.database(self.inventory).is_some();
        if let Some(map) = step.as_object_mut().filter(|_| crossed) {
            map.insert("retry".into(), json!({"attempts": 3, "delay": "1s"}));
        }
        step
    }

    fn enable(&self, part: &Part) -> Option<Value> {
        let Part::Balancer { name, backend, servers } = part else { return None };
        let title = format!("Bring {backend} at {} into {name}", self.to);
        let enable = step(&title, "haproxy.enable", json!({"balancer": name, "backend": backend}));
        Some(self.again(aimed(enable, &at(servers, self.to))))
    }

    fn apps(&self) -> impl Iterator<Item = (&'a App, bool)> {
        let app = |part: &'a Part| match part {
            Part::App { name, both } => Some((self.inventory.apps.get(name)?, *both)),
            _ => None,
        };
        self.service.parts.iter().filter_map(app)
    }

    /// A balancer whose servers are the database's hosts: they are ready as soon as one of those is promoted.
    fn is_of_database(&self, part: &Part) -> bool {
        let Part::Balancer { servers, .. } = part else { return false };
        let Some(database) = self.service.database(self.inventory) else { return false };
        let hosts = self.inventory.select(&database.hosts);
        self.inventory.select(servers).iter().all(|server| hosts.iter().any(|host| host.name == server.name))
    }

    /// A balancer in front of an app that moves.
    fn moves_behind(&self, part: &Part) -> bool {
        self.apps().any(|(app, both)| !both && is_before(part, app))
    }

    /// An app whose balancer is a part of its own.
    fn is_part(&self, app: &App) -> bool {
        self.service.parts.iter().any(|part| is_before(part, app))
    }

    /// A step that acts from here has a host all the same: one of which nothing else is asked, so that no trouble there
    /// keeps a name from moving.
    fn somewhere(&self, step: Value) -> Value {
        let balancers = self.service.parts.iter().filter_map(|part| match part {
            Part::Balancer { name, .. } => self.inventory.balancers.get(name)?.host.as_ref(),
            _ => None,
        });
        let mut there = self.inventory.hosts.iter().filter(|host| host.site.as_deref() == Some(self.to));
        match balancers.map(HostName::as_str).next().or_else(|| there.next().map(|host| host.name.as_str())) {
            Some(host) => aimed(step, host),
            None => step,
        }
    }
}

/// The part is the balancer of that app.
fn is_before(part: &Part, app: &App) -> bool {
    let Part::Balancer { name, backend, .. } = part else { return false };
    app.balancer.as_ref().is_some_and(|place| place.name == *name && place.backend == *backend)
}

fn command(title: &str, run: &str, unless: &str, undo: &str) -> Value {
    let mut one = step(title, "command", json!({"run": run, "unless": unless}));
    if let Some(map) = one.as_object_mut() {
        map.insert("undo".into(), json!([{"command": undo}]));
    }
    one
}
