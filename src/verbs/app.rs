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
    /// No such certificate.
    #[error("svcops.yaml has no certificate `{certificate}`{}", near.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    NoCertificate {
        /// The word.
        certificate: String,
        /// The nearest one that there is.
        near: Option<String>,
    },
    /// It has no issuer.
    #[error("nobody issues certificate `{certificate}`: it is only watched")]
    Watched {
        /// The certificate.
        certificate: String,
    },
    /// It is on no host.
    #[error("certificate `{certificate}` lies nowhere{}", site.as_ref().map(|s| format!(" at site `{s}`")).unwrap_or_default())]
    Nowhere {
        /// The certificate.
        certificate: String,
        /// The site.
        site: Option<String>,
    },
    /// One site alone would leave the others with another key.
    #[error("all hosts of certificate `{certificate}` share one key: it is renewed at all sites or at none")]
    Shared {
        /// The certificate.
        certificate: String,
    },
    /// No such service.
    #[error("svcops.yaml has no service `{service}`{}", near.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    NoService {
        /// The word.
        service: String,
        /// The nearest one that there is.
        near: Option<String>,
    },
    /// It does not move there.
    #[error("service `{service}` does not run at `{site}`: its sites are {}", words::list(sites, 2))]
    NotItsSite {
        /// The service.
        service: String,
        /// The word.
        site: String,
        /// Its sites.
        sites: Vec<String>,
    },
    /// There is nothing to promote.
    #[error("database `{database}` has no host at site `{site}`")]
    NoDatabaseHost {
        /// The database.
        database: String,
        /// The site.
        site: String,
    },
    /// Requirements that need each other.
    #[error("the apps that `{app}` requires or is required by go round in a circle at `{again}`")]
    Circle {
        /// Where it began.
        app: String,
        /// Where it came back to.
        again: String,
    },
    /// YAML cannot say it: a fault of svcops.
    #[error("internal error: the runbook cannot be written: {0}")]
    Unwritable(String),
}

/// The runbook of a verb, as YAML text: the same parser reads it.
///
/// # Errors
/// An app or a site that is not there, requirements in a circle.
pub fn compose(inventory: &Inventory, verb: Verb, app: &str, site: Option<&str>) -> Result<String, NoRunbook> {
    let app = find(inventory, app)?;
    some_hosts(inventory, app, site)?;
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

/// The app of that name.
///
/// # Errors
/// There is none.
pub fn find<'a>(inventory: &'a Inventory, name: &str) -> Result<&'a App, NoRunbook> {
    inventory.apps.get(name).ok_or_else(|| NoRunbook::NoApp {
        app: name.to_owned(),
        near: words::nearest(name, inventory.apps.keys().map(String::as_str)).map(str::to_owned),
    })
}

/// The hosts of an app at a site, or at all: at least one.
///
/// # Errors
/// There is no such site, or no host of it there.
pub fn some_hosts<'a>(inventory: &'a Inventory, app: &'a App, site: Option<&str>) -> Result<Vec<&'a Host>, NoRunbook> {
    if let Some(site) = site.filter(|s| !inventory.sites.contains_key(*s)) {
        let near = words::nearest(site, inventory.sites.keys().map(String::as_str)).map(str::to_owned);
        return Err(NoRunbook::NoSite { site: site.to_owned(), near });
    }
    let hosts = hosts(inventory, app, site);
    if hosts.is_empty() {
        return Err(NoRunbook::NoHost { app: app.name.clone(), site: site.map(str::to_owned) });
    }
    Ok(hosts)
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
    steps.extend(quorum(inventory, app, site));
    steps.extend(balancer(app, "Take it out of the balancer", "haproxy.drain"));
    steps.push(step(&capital(verb.word()), &format!("app.{}", verb.word()), json!({"app": app.name})));
    steps.extend(balancer(app, "Bring it in again", "haproxy.enable"));
    json!({"name": format!("{} {}, batch by batch", capital(verb.word()), app.name), "rolling": {"batch": batch}, "steps": steps})
}

/// Counts the others at each site, except where a host is alone: there nothing could ever be enough.
pub(super) fn quorum(inventory: &Inventory, app: &App, site: Option<&str>) -> Option<Value> {
    let min = app.rolling.min_healthy;
    let accompanied = |host: &&Host| inventory.hosts_of(app).filter(|h| h.site == host.site).count() > 1;
    let (some, alone): (Vec<_>, Vec<_>) = hosts(inventory, app, site).into_iter().partition(accompanied);
    if min == 0 || some.is_empty() {
        return None;
    }
    let mut step = step("Are enough others healthy?", "check.app", json!({"app": app.name, "min_healthy": min}));
    if let Some(map) = step.as_object_mut().filter(|_| !alone.is_empty()) {
        let alone: Vec<_> = alone.iter().map(|h| h.name.as_str()).collect();
        map.insert("when".into(), format!("host.name not in {}", json!(alone)).into());
    }
    Some(step)
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

pub(super) fn balancer(app: &App, name: &str, action: &str) -> Option<Value> {
    let place = app.balancer.as_ref()?;
    let server =
        place.server.clone().unwrap_or_else(|| "{{ host.name }}".into()).replace("app.name", &quoted(&app.name));
    Some(step(name, action, json!({"balancer": place.name, "backend": place.backend, "server": server})))
}

/// A step has no `app` unless it says so: its name stands for it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', ""))
}

pub(super) fn step(name: &str, action: &str, args: Value) -> Value {
    Value::Object(Map::from_iter([("name".to_owned(), json!(name)), (action.to_owned(), args)]))
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::sample::sample;

    /// The steps' actions in order, groups unfolded, with the step's targets where it has its own.
    fn outline(text: &str) -> Vec<String> {
        fn walk(steps: &Value, out: &mut Vec<String>) {
            for step in steps.as_array().into_iter().flatten() {
                if let Some(inner) = step.get("steps") {
                    walk(inner, out);
                    continue;
                }
                let (action, args) = step.as_object().unwrap().iter().find(|(k, _)| k.contains('.')).unwrap();
                let on = step.get("targets").map(|t| format!(" on {}", t.as_str().unwrap())).unwrap_or_default();
                let app = args.get("app").and_then(Value::as_str).unwrap_or_default();
                out.push(format!("{action} {app}{on}").replace("  ", " ").trim().to_owned());
            }
        }
        let value: Value = serde_yaml::from_str(text).unwrap();
        let mut out = vec![];
        walk(&value["steps"], &mut out);
        out
    }

    #[test]
    fn a_restart_goes_batch_by_batch_behind_its_balancer() {
        let text = compose(&sample(), Verb::Restart, "billing", Some("dc1")).unwrap();
        assert_eq!(outline(&text), ["check.app billing", "haproxy.drain", "app.restart billing", "haproxy.enable"]);
        let value: Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(value["targets"], "role=app, site=dc1");
        assert_eq!(value["steps"][0]["rolling"], json!({"batch": 1}));
        assert_eq!(value["steps"][0]["steps"][1]["haproxy.drain"]["server"], "{{ host.name }}");
        assert_eq!(value["title"], "Restart Биллинг at dc1");
    }

    #[test]
    fn what_is_required_starts_first_and_what_requires_stops_first() {
        let inventory = sample();
        let start = compose(&inventory, Verb::Start, "batch", None).unwrap();
        assert_eq!(outline(&start), ["app.start billing", "haproxy.enable", "app.start batch"]);
        let stop = compose(&inventory, Verb::Stop, "billing", None).unwrap();
        assert_eq!(outline(&stop), ["app.stop batch", "haproxy.drain", "app.stop billing"]);
        let start = compose(&inventory, Verb::Start, "billing", None).unwrap();
        assert_eq!(outline(&start), ["app.start billing", "haproxy.enable"]);
    }

    #[test]
    fn an_app_on_one_host_has_no_quorum_to_keep() {
        let mut inventory = sample();
        inventory.apps.get_mut("lonely").unwrap().rolling.min_healthy = 1;
        let text = compose(&inventory, Verb::Reload, "lonely", None).unwrap();
        assert_eq!(outline(&text), ["app.reload lonely"]);
        inventory.hosts.retain(|h| h.name.as_str() != "dc2-app2");
        let text = compose(&inventory, Verb::Restart, "billing", None).unwrap();
        assert!(text.contains(r#"host.name not in ["dc2-app1"]"#), "{text}");
    }

    #[test]
    fn another_app_is_sought_on_its_own_hosts() {
        let mut inventory = sample();
        inventory.apps.get_mut("billing").unwrap().requires = vec!["lonely".into()];
        let text = compose(&inventory, Verb::Start, "billing", None).unwrap();
        assert_eq!(outline(&text), ["app.start lonely on role=lb", "app.start billing", "haproxy.enable"]);
        // It has no host at that site.
        let text = compose(&inventory, Verb::Start, "billing", Some("dc1")).unwrap();
        assert_eq!(outline(&text), ["app.start billing", "haproxy.enable"]);
    }

    #[test]
    fn what_is_not_there_is_said() {
        let mut inventory = sample();
        let said = |inventory: &Inventory, app: &str, site| {
            compose(inventory, Verb::Start, app, site).unwrap_err().to_string()
        };
        assert_eq!(said(&inventory, "biling", None), "svcops.yaml has no app `biling`; did you mean `billing`?");
        assert_eq!(said(&inventory, "billing", Some("dc3")), "svcops.yaml has no site `dc3`; did you mean `dc1`?");
        assert_eq!(said(&inventory, "lonely", Some("dc1")), "app `lonely` has no host at site `dc1`");
        inventory.apps.get_mut("billing").unwrap().requires = vec!["batch".into()];
        assert!(said(&inventory, "billing", None).contains("circle"));
    }
}
