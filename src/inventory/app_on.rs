//! An app on one of its hosts: what `svcops.yaml` says of it, with the texts filled in for that host.

use super::{App, Health, HealthCheck, Host, Inventory, Manager};
use crate::base::{HaproxyApi, HostName};
use minijinja::{Environment, UndefinedBehavior, Value, context};

/// An app on a host.
#[derive(Clone, Debug, PartialEq)]
pub struct AppOn<'a> {
    /// The app.
    pub app: &'a App,
    /// The host.
    pub host: &'a Host,
    /// What starts and stops it there.
    pub manager: Manager,
    /// How its health shows there.
    pub health: Option<Health>,
    /// Its place behind a balancer.
    pub behind: Option<Behind>,
}

/// A server of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The balancer's name.
    pub balancer: String,
    /// The host of its socket; none for TCP.
    pub host: Option<HostName>,
    /// The way to it.
    pub api: HaproxyApi,
    /// The backend.
    pub backend: String,
    /// The server in it.
    pub server: String,
}

/// A text of `svcops.yaml` that cannot be filled in for a host.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` of {whose} cannot be filled in for `{host}`")]
pub struct NotFilled {
    /// The text.
    pub text: String,
    /// What it is of: "app `billing`".
    pub whose: String,
    /// The host.
    pub host: HostName,
    /// The template engine's words.
    #[source]
    pub why: minijinja::Error,
}

impl Inventory {
    /// The hosts of an app, in the inventory's order.
    pub fn hosts_of<'a>(&'a self, app: &'a App) -> impl Iterator<Item = &'a Host> {
        self.select(&app.hosts).into_iter()
    }

    /// An app on a host, texts filled in.
    ///
    /// # Errors
    /// A text that names what the host does not have.
    pub fn app_on<'a>(&'a self, app: &'a App, host: &'a Host) -> Result<AppOn<'a>, NotFilled> {
        let fill = |text: &str| fill(text, app, host);
        let manager = match &app.manager {
            Manager::Systemd(unit) => Manager::Systemd(fill(unit)?),
            Manager::Command { start, stop, status, reload } => Manager::Command {
                start: fill(start)?,
                stop: fill(stop)?,
                status: fill(status)?,
                reload: reload.as_deref().map(fill).transpose()?,
            },
        };
        let health = match &app.health {
            None => None,
            Some(health) => {
                let check = match &health.check {
                    HealthCheck::Http { url, status, ca } => {
                        HealthCheck::Http { url: fill(url)?, status: *status, ca: ca.clone() }
                    }
                    HealthCheck::Tcp(port) => HealthCheck::Tcp(fill(port)?),
                    HealthCheck::Command(text) => HealthCheck::Command(fill(text)?),
                };
                Some(Health { check, ..health.clone() })
            }
        };
        let behind = match &app.balancer {
            Some(place) => match self.balancers.get(&place.name) {
                Some(balancer) => Some(Behind {
                    balancer: balancer.name.clone(),
                    host: balancer.host.clone(),
                    api: balancer.api.clone(),
                    backend: place.backend.clone(),
                    server: match &place.server {
                        Some(text) => fill(text)?,
                        None => host.name.as_str().to_owned(),
                    },
                }),
                None => None,
            },
            None => None,
        };
        Ok(AppOn { app, host, manager, health, behind })
    }
}

fn fill(text: &str, app: &App, host: &Host) -> Result<String, NotFilled> {
    let more = context! { app => context! { name => &app.name, title => &app.title } };
    filled(text, || format!("app `{}`", app.name), host, more)
}

/// A text that may name what its host has.
pub(super) fn fill_for(text: &str, whose: &str, host: &Host) -> Result<String, NotFilled> {
    filled(text, || whose.to_owned(), host, context! {})
}

fn filled(text: &str, whose: impl Fn() -> String, host: &Host, more: Value) -> Result<String, NotFilled> {
    if !text.contains("{{") {
        return Ok(text.to_owned());
    }
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    let scope = context! {
        host => context! {
            name => host.name.as_str(),
            address => host.address.as_deref().unwrap_or(host.name.as_str()),
            site => &host.site,
            labels => &host.labels,
        },
        // as in a step, which carries the same texts out
        site => host.site.as_ref().map(|site| context! { name => site }),
        ..more
    };
    templates.render_str(text, scope).map_err(|why| NotFilled {
        text: text.to_owned(),
        whose: whose(),
        host: host.name.clone(),
        why,
    })
}
