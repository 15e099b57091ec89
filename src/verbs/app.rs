//! `svcops app stop|start|restart|reload`.

use crate::{
    base::words,
    inventory::{App, Host, Inventory, Share},
};
use serde_json::{Map, Value, json};

/// What to do with an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Dependents first, drained before.
    Stop,
    /// What it requires first, enabled after.
    Start,
    /// Batch by batch, with a quorum.
    Restart,
    /// Batch by batch, with a quorum.
    Reload,
}

impl Verb {
    /// As on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Restart => "restart",
            Self::Reload => "reload",
        }
    }
}

/// Why nothing can be composed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoRunbook {
    /// No such app.
    #[error("svcops.yaml has no app `{app}`{}", near.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    NoApp {
        /// The word.
        app: String,
        /// The nearest one that there is.
        near: Option<String>,
    },
    /// No such site.
    #[error("svcops.yaml has no site `{site}`{}", near.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    NoSite {
        /// The word.
        site: String,
        /// The nearest one that there is.
        near: Option<String>,
    },
    /// It is nowhere there.
    #[error("app `{app}` has no host{}", site.as_ref().map(|s| format!(" at site `{s}`")).unwrap_or_default())]
    NoHost {
        /// The app.
        app: String,
        /// The site.
        site: Option<String>,
    },
    /// Requirements that need each other.
    #[error("the apps that `{app}` requires or is required by go round in a circle at `{again}`")]
    Circle {
        /// Where it began.
        app: String,
        /// Where it came back to.
        again: String,
    },
    /// It is already in YAML's way; a fault of svcops.
    #[error("internal error: the runbook cannot be written: {0}")]
    Unwritable(String),
}

/// The runbook of a verb, as YAML text: the same parser reads it.
///
/// # Errors
/// An app or a site that is not there, requirements in a circle.
pub fn compose(inventory: &Inventory, verb: Verb, app: &str, site: Option<&str>) -> Result<String, NoRunbook> {
    let app = find(inventory, app)?;
    if let Some(site) = site.filter(|s| !inventory.sites.contains_key(*s)) {
        let near = words::nearest(site, inventory.sites.keys().map(String::as_str)).map(str::to_owned);
        return Err(NoRunbook::NoSite { site: site.to_owned(), near });
    }
    if hosts(inventory, app, site).is_empty() {
        return Err(NoRunbook::NoHost { app: app.name.clone(), site: site.map(str::to_owned) });
    }
    let mut steps = vec![];
    match verb {
        Verb::Restart | Verb::Reload => steps.push(rolling(inventory, verb, app, site)),
        Verb::Start => {
            for one in in_order(app, |a| before(inventory, a))? {
                steps.extend(start(inventory, one, app, site));
            }
        }
        Verb::Stop => {
            for one in in_order(app, |a| after(inventory, a))? {
                steps.extend(stop(inventory, one, app, site));
            }
        }
    }
    let place = site.map(|s| format!(" at {s}")).unwrap_or_default();
    let runbook = json!({
        "svcops": 1,
        "name": format!("app-{}-{}", verb.word(), app.name),
        "title": format!("{} {}{place}", capital(verb.word()), app.title.as_ref().unwrap_or(&app.name)),
        "targets": targets(app, site),
        "steps": steps,
    });
    let text = serde_yaml::to_string(&runbook).map_err(|e| NoRunbook::Unwritable(e.to_string()))?;
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}

fn find<'a>(inventory: &'a Inventory, name: &str) -> Result<&'a App, NoRunbook> {
    inventory.apps.get(name).ok_or_else(|| NoRunbook::NoApp {
        app: name.to_owned(),
        near: words::nearest(name, inventory.apps.keys().map(String::as_str)).map(str::to_owned),
    })
}

fn hosts<'a>(inventory: &'a Inventory, app: &'a App, site: Option<&str>) -> Vec<&'a Host> {
    inventory.hosts_of(app).filter(|h| site.is_none() || h.site.as_deref() == site).collect()
}

fn targets(app: &App, site: Option<&str>) -> String {
    site.map_or_else(|| app.hosts.text.clone(), |site| format!("{}, site={site}", app.hosts.text))
}

fn before<'a>(inventory: &'a Inventory, app: &'a App) -> Vec<&'a App> {
    app.requires.iter().filter_map(|name| inventory.apps.get(name)).collect()
}

fn after<'a>(inventory: &'a Inventory, app: &App) -> Vec<&'a App> {
    inventory.apps.values().filter(|a| a.requires.contains(&app.name)).collect()
}

/// The app last, and whatever comes before it before it, each once.
fn in_order<'a>(app: &'a App, first: impl Fn(&'a App) -> Vec<&'a App>) -> Result<Vec<&'a App>, NoRunbook> {
    fn visit<'a>(
        app: &'a App,
        first: &impl Fn(&'a App) -> Vec<&'a App>,
        path: &mut Vec<&'a str>,
        order: &mut Vec<&'a App>,
    ) -> Result<(), NoRunbook> {
        if path.contains(&app.name.as_str()) {
            let start = path.first().copied().unwrap_or(&app.name).to_owned();
            return Err(NoRunbook::Circle { app: start, again: app.name.clone() });
        }
        if order.iter().any(|done| done.name == app.name) {
            return Ok(());
        }
        path.push(&app.name);
        for one in first(app) {
            visit(one, first, path, order)?;
        }
        path.pop();
        order.push(app);
        Ok(())
    }
    let mut order = vec![];
    visit(app, &first, &mut vec![], &mut order)?;
    Ok(order)
}

/// Batch by batch: enough left? drain, act, enable.
fn rolling(inventory: &Inventory, verb: Verb, app: &App, site: Option<&str>) -> Value {
    let batch = match app.rolling.batch {
        Share::Number(n) => json!(n),
        Share::Percent(p) => json!(format!("{p}%")),
    };
    let mut steps = vec![];
    if app.rolling.min_healthy > 0 && leaves_others(inventory, app, site) {
        let min = app.rolling.min_healthy;
        steps.push(step("Are enough others healthy?", "check.app", json!({"app": app.name, "min_healthy": min})));
    }
    steps.extend(balancer(app, "Take it out of the balancer", "haproxy.drain"));
    steps.push(step(&capital(verb.word()), &format!("app.{}", verb.word()), json!({"app": app.name})));
    steps.extend(balancer(app, "Bring it in again", "haproxy.enable"));
    json!({"name": format!("{} {}, batch by batch", capital(verb.word()), app.name), "rolling": {"batch": batch}, "steps": steps})
}

/// Some site of the selection has hosts beside a batch: with one host alone there is nothing that a quorum could count.
fn leaves_others(inventory: &Inventory, app: &App, site: Option<&str>) -> bool {
    hosts(inventory, app, site).iter().any(|host| {
        let there = inventory.hosts_of(app).filter(|h| h.site == host.site).count();
        there > app.rolling.batch.of(there)
    })
}

fn start(inventory: &Inventory, one: &App, asked: &App, site: Option<&str>) -> Vec<Value> {
    let begin = step(&format!("Start {}", one.name), "app.start", json!({"app": one.name}));
    let enable = balancer(one, &format!("Bring {} into the balancer", one.name), "haproxy.enable");
    aimed(inventory, std::iter::once(begin).chain(enable), one, asked, site)
}

fn stop(inventory: &Inventory, one: &App, asked: &App, site: Option<&str>) -> Vec<Value> {
    let end = step(&format!("Stop {}", one.name), "app.stop", json!({"app": one.name}));
    let drain = balancer(one, &format!("Take {} out of the balancer", one.name), "haproxy.drain");
    aimed(inventory, drain.into_iter().chain([end]), one, asked, site)
}

/// Steps for another app run on its own hosts; where it has none at the site, there is nothing to do for it.
fn aimed(
    inventory: &Inventory,
    steps: impl Iterator<Item = Value>,
    one: &App,
    asked: &App,
    site: Option<&str>,
) -> Vec<Value> {
    if hosts(inventory, one, site).is_empty() {
        return vec![];
    }
    let other = targets(one, site) != targets(asked, site);
    let aim = |mut step: Value| {
        if let Some(map) = step.as_object_mut().filter(|_| other) {
            map.insert("targets".into(), targets(one, site).into());
        }
        step
    };
    steps.map(aim).collect()
}

fn balancer(app: &App, name: &str, action: &str) -> Option<Value> {
    let place = app.balancer.as_ref()?;
    let server =
        place.server.clone().unwrap_or_else(|| "{{ host.name }}".into()).replace("app.name", &quoted(&app.name));
    Some(step(name, action, json!({"balancer": place.name, "backend": place.backend, "server": server})))
}

/// A step has no `app` unless it says so: its name stands for it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', ""))
}

fn step(name: &str, action: &str, args: Value) -> Value {
    Value::Object(Map::from_iter([("name".to_owned(), json!(name)), (action.to_owned(), args)]))
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
