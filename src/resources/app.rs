//! An app on a host: what manages it, and how its health shows.

use super::{Answers, ReadError, Resource, host_lock, unit};
use crate::{
    base::{
        Answer, At, Change, HostName, HttpAsk, Invocation, Lock, Place, Read, RunFacts, Span, UnitFacts, UnitState,
    },
    inventory::{AppOn, HealthCheck, Manager},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An app on a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct App {
    /// Its name in `svcops.yaml`.
    pub name: String,
    /// Its host, and who acts there.
    pub at: Place,
    /// What starts and stops it.
    pub manager: Manager,
    /// How its health shows; none: running is all that can be asked of it.
    pub health: Option<Probe>,
    /// How long after a start its health may take.
    pub within: Span,
    /// The deadline of one command of its manager.
    pub timeout: Span,
}

/// One look at an app's health.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// What to read.
    pub read: At<Read>,
    /// The HTTP status that is healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// What is seen of an app on a host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AppFacts {
    /// It runs, or is about to.
    pub running: bool,
    /// Its unit; for a manager of commands only `loaded` and `state` say something.
    pub unit: UnitFacts,
    /// Its health.
    pub health: HealthFacts,
}

/// What is seen of an app's health.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HealthFacts {
    /// As `svcops.yaml` wants it; true where it wants nothing and the app runs.
    pub healthy: bool,
    /// What it said: `503`, `connection refused`; empty where nothing was asked.
    #[serde(default)]
    pub said: String,
}

/// How long an app without `health` may take to start.
const WITHIN: Span = Span::secs(30);
/// How long one try may take.
const TRY: Span = Span::secs(5);

impl App {
    /// The app where `at` says, one command of its manager taking no longer than `timeout`.
    ///
    /// # Errors
    /// A health check that is no `HOST:PORT`, in words.
    pub fn of(app: &AppOn<'_>, at: Place, timeout: Span) -> Result<Self, String> {
        let probe = |health: &crate::inventory::Health| {
            let from = if health.from_host { at.clone() } else { Place::HERE };
            Ok::<_, String>(match &health.check {
                HealthCheck::Http { url, status, ca } => Probe {
                    read: from.at(Read::Http(HttpAsk {
                        url: url.clone(),
                        method: "GET".into(),
                        headers: BTreeMap::new(),
                        body: None,
                        ca: ca.clone(),
                        within: TRY,
                    })),
                    status: Some(*status),
                },
                HealthCheck::Tcp(text) => {
                    let (host, port) = host_and_port(text)
                        .ok_or_else(|| format!("health of app `{}`: HOST:PORT expected, got `{text}`", app.app.name))?;
                    Probe { read: from.at(Read::Tcp { host, port, within: TRY }), status: None }
                }
                HealthCheck::Command(text) => {
                    Probe { read: at.at(Read::Run(Invocation::shell(text.clone(), Span::secs(10)))), status: None }
                }
            })
        };
        Ok(Self {
            name: app.app.name.clone(),
            manager: app.manager.clone(),
            health: app.health.as_ref().map(probe).transpose()?,
            within: app.health.as_ref().map_or(WITHIN, |h| h.within),
            timeout,
            at,
        })
    }
    /// Its host.
    pub fn host(&self) -> HostName {
        self.at.host.clone().unwrap_or_else(|| HostName::new("here"))
    }
    /// What it is called in sentences: by its unit, else by its name.
    pub fn title(&self) -> String {
        match &self.manager {
            Manager::Systemd(unit) => format!("`{unit}` on `{}`", self.at),
            Manager::Command { .. } => format!("app `{}` on `{}`", self.name, self.at),
        }
    }
    /// What starts it.
    pub fn start(&self) -> At<Change> {
        self.at.at(match &self.manager {
            Manager::Systemd(unit) => Change::StartUnit(unit.clone()),
            Manager::Command { start, .. } => self.run(start),
        })
    }
    /// What stops it.
    pub fn stop(&self) -> At<Change> {
        self.at.at(match &self.manager {
            Manager::Systemd(unit) => Change::StopUnit(unit.clone()),
            Manager::Command { stop, .. } => self.run(stop),
        })
    }
    /// What restarts it, where one change does; commands stop it, and then start it.
    pub fn restart(&self) -> Option<At<Change>> {
        match &self.manager {
            Manager::Systemd(unit) => Some(self.at.at(Change::RestartUnit(unit.clone()))),
            Manager::Command { .. } => None,
        }
    }
    /// What makes it read its configuration again, if something does.
    pub fn reload(&self) -> Option<At<Change>> {
        Some(self.at.at(match &self.manager {
            Manager::Systemd(unit) => Change::ReloadUnit(unit.clone()),
            Manager::Command { reload, .. } => self.run(reload.as_ref()?),
        }))
    }
    fn run(&self, text: &str) -> Change {
        Change::Run(Invocation { touches: vec![format!("app:{}", self.name)], ..Invocation::shell(text, self.timeout) })
    }
}

impl Probe {
    /// What an answer to it says.
    ///
    /// # Errors
    /// As [`Resource::facts`].
    fn facts(&self, answers: &mut Answers) -> Result<HealthFacts, ReadError> {
        answers.take(|answer| match answer {
            Answer::Http(http) => Some(HealthFacts {
                healthy: http.status.is_some() && http.status == self.status,
                said: http.status.map_or_else(|| http.error.unwrap_or_else(|| "no answer".into()), |s| s.to_string()),
            }),
            Answer::Tcp(tcp) => Some(HealthFacts {
                healthy: tcp.open,
                said: if tcp.open { "open".into() } else { tcp.error.unwrap_or_else(|| "closed".into()) },
            }),
            Answer::Run(run) => Some(HealthFacts { healthy: run.code == Some(0), said: ended(&run) }),
            _ => None,
        })
    }
}

impl AppFacts {
    /// Whether it serves: it runs, and is as healthy as was asked for.
    pub const fn serves(&self) -> bool {
        self.running && self.health.healthy
    }
}

impl Resource for App {
    type Facts = AppFacts;
    fn lock(&self) -> Lock {
        Lock(match &self.manager {
            Manager::Systemd(unit) => format!("{}/unit/{unit}", self.at),
            Manager::Command { .. } => format!("{}/app/{}", self.at, self.name),
        })
    }
    fn parents(&self) -> Vec<Lock> {
        vec![host_lock(&self.at), Lock(format!("app/{}", self.name))]
    }
    fn reads(&self) -> Vec<At<Read>> {
        let state = match &self.manager {
            Manager::Systemd(unit) => Read::Unit { name: unit.clone() },
            Manager::Command { status, .. } => Read::Run(Invocation::shell(status.clone(), self.timeout)),
        };
        std::iter::once(self.at.at(state)).chain(self.health.as_ref().map(|h| h.read.clone())).collect()
    }
    fn facts(&self, answers: &mut Answers) -> Result<AppFacts, ReadError> {
        let unit = match &self.manager {
            Manager::Systemd(_) => answers.take(|a| if let Answer::Unit(facts) = a { Some(facts) } else { None })?,
            Manager::Command { .. } => {
                let run = answers.take(|a| if let Answer::Run(facts) = a { Some(facts) } else { None })?;
                let state = match run.code {
                    Some(0) => UnitState::Active,
                    Some(_) => UnitState::Inactive,
                    None => return Err(ReadError::Bad(format!("the status of {} ran out of time", self.title()))),
                };
                UnitFacts { loaded: true, state, ..UnitFacts::default() }
            }
        };
        let running = unit::runs(unit.state);
        let health = match &self.health {
            Some(probe) => probe.facts(answers)?,
            None => HealthFacts { healthy: running, said: String::new() },
        };
        Ok(AppFacts { running, unit, health })
    }
    /// Whether it runs is all that lasts: a process, its health and its times are never the same again.
    fn lasting(facts: AppFacts) -> AppFacts {
        AppFacts { running: facts.running, ..AppFacts::default() }
    }
}

/// `HOST:PORT`; an IPv6 address in brackets.
pub fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some((host.to_owned(), port.parse().ok()?)).filter(|(h, _)| !h.is_empty())
}

/// How a command ended, in words.
pub fn ended(run: &RunFacts) -> String {
    run.code.map_or_else(|| "ran out of time".into(), |code| format!("exit {code}"))
}
