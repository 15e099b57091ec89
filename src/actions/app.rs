//! `app.*`: stop, start, restart, reload. Decided from what is seen of the app; a receipt is no proof.

use super::{Action, Next, Refusal, Target, Turn, args};
use crate::{
    base::UnitState,
    inventory,
    resources::{App, AppFacts, unit},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// What all of them take.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AppArgs {
    /// The app, by its name in svcops.yaml
    app: String,
}

const EVERY: Duration = Duration::from_secs(1);

/// `app.stop`.
#[derive(Serialize, Deserialize)]
pub(super) struct Stop {
    app: App,
}

impl Action for Stop {
    const NAME: &'static str = "app.stop";
    const ABOUT: &'static str = "Stops an app, unless it is stopped";
    const EXAMPLE: &'static str = "- name: Stop billing
  app.stop: {app: billing}";
    type Args = AppArgs;
    type On = App;
    fn bind(args: AppArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        Ok(Self { app: find(&args.app, target)? })
    }
    fn on(&self) -> &App {
        &self.app
    }
    fn next(&self, turn: &Turn<AppFacts>) -> Next {
        stopped(&self.app, turn)
    }
    fn undo(&self, turn: &Turn<AppFacts>) -> Next {
        back(&self.app, turn)
    }
}

/// `app.start`.
#[derive(Serialize, Deserialize)]
pub(super) struct Start {
    app: App,
}

impl Action for Start {
    const NAME: &'static str = "app.start";
    const ABOUT: &'static str = "Starts an app, unless it runs, and waits for its health";
    const EXAMPLE: &'static str = "- name: Start billing
  app.start: {app: billing}";
    type Args = AppArgs;
    type On = App;
    fn bind(args: AppArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        Ok(Self { app: find(&args.app, target)? })
    }
    fn on(&self) -> &App {
        &self.app
    }
    fn next(&self, turn: &Turn<AppFacts>) -> Next {
        running(&self.app, true, turn)
    }
    fn undo(&self, turn: &Turn<AppFacts>) -> Next {
        back(&self.app, turn)
    }
}

/// `app.restart`.
#[derive(Serialize, Deserialize)]
pub(super) struct Restart {
    app: App,
}

impl Action for Restart {
    const NAME: &'static str = "app.restart";
    const ABOUT: &'static str = "Restarts an app (starts it if it is stopped), and waits for its health";
    const EXAMPLE: &'static str = "- name: Restart billing, node by node
  rolling: {batch: 1, pause: 5s}
  steps:
    - app.restart: {app: billing}";
    type Args = AppArgs;
    type On = App;
    fn bind(args: AppArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        Ok(Self { app: find(&args.app, target)? })
    }
    fn on(&self) -> &App {
        &self.app
    }
    fn next(&self, turn: &Turn<AppFacts>) -> Next {
        if !turn.seen.unit.loaded {
            return unknown_unit(&self.app);
        }
        if let Some(next) = restart(&self.app, turn) {
            return next;
        }
        if same_process(&turn.before, &turn.seen) {
            return until(&self.app, turn, "the old process is still there");
        }
        running(&self.app, true, turn)
    }
    fn undo(&self, turn: &Turn<AppFacts>) -> Next {
        back(&self.app, turn)
    }
}

/// `app.reload`.
#[derive(Serialize, Deserialize)]
pub(super) struct Reload {
    app: App,
}

impl Action for Reload {
    const NAME: &'static str = "app.reload";
    const ABOUT: &'static str = "Makes a running app read its configuration again, and waits for its health";
    const EXAMPLE: &'static str = "- name: Let billing read its configuration
  app.reload: {app: billing}";
    type Args = AppArgs;
    type On = App;
    fn bind(args: AppArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        let app = find(&args.app, target)?;
        if app.reload().is_none() {
            return Err(Refusal::of("app", format!("the manager of app `{}` has no `reload` command", app.name)));
        }
        Ok(Self { app })
    }
    fn on(&self) -> &App {
        &self.app
    }
    fn next(&self, turn: &Turn<AppFacts>) -> Next {
        if turn.did.is_empty() {
            if !turn.seen.running {
                return Next::GiveUp(format!("a reload needs a running app, {} is stopped", self.app.title()));
            }
            let expect = json!({"running": true, "health": {"healthy": true}});
            return self.app.reload().map_or_else(Next::done, |change| Next::act(change, expect));
        }
        settled(&self.app, true, turn)
    }
    fn undo(&self, turn: &Turn<AppFacts>) -> Next {
        back(&self.app, turn)
    }
}

/// Waits until a reload (or a restart) that was carried out shows, and the app is healthy.
pub(super) fn settled(app: &App, reload: bool, turn: &Turn<AppFacts>) -> Next {
    let of_unit = turn.seen.unit.since > 0;
    if reload && of_unit && turn.seen.unit.since == turn.before.unit.since {
        return until(app, turn, "the reload does not show yet");
    }
    if !reload && same_process(&turn.before, &turn.seen) {
        return until(app, turn, "the old process is still there");
    }
    running(app, true, turn)
}

/// The app of that name on the target's host.
pub(super) fn find(name: &str, target: &Target<'_>) -> Result<App, Refusal> {
    let app = declared(name, target.inventory)?;
    if !target.inventory.hosts_of(app).any(|h| h.name == target.host.name) {
        let hosts = &app.hosts.text;
        return Err(Refusal::of(
            "app",
            format!("app `{name}` is not on `{}`: its hosts are {hosts}", target.host.name),
        ));
    }
    on_host(app, target.host, target)
}

/// The app of that name in `svcops.yaml`.
pub(super) fn declared<'a>(name: &str, inventory: &'a inventory::Inventory) -> Result<&'a inventory::App, Refusal> {
    inventory.apps.get(name).ok_or_else(|| args::unknown("app", "app", name, inventory.apps.keys().map(String::as_str)))
}

/// An app on any host.
pub(super) fn on_host(app: &inventory::App, host: &inventory::Host, target: &Target<'_>) -> Result<App, Refusal> {
    let on = target.inventory.app_on(app, host).map_err(|e| Refusal::of("app", format!("{e}: {}", e.why)))?;
    App::of(&on, target.place_on(&host.name), target.span()).map_err(|why| Refusal::of("app", why))
}

/// One move towards a running app; `healthy`: and its health.
fn running(app: &App, healthy: bool, turn: &Turn<AppFacts>) -> Next {
    let seen = &turn.seen;
    if !seen.unit.loaded {
        return unknown_unit(app);
    }
    if !seen.running {
        if turn.did.is_empty() {
            let expect =
                if healthy { json!({"running": true, "health": {"healthy": true}}) } else { json!({"running": true}) };
            return Next::act(app.start(), expect);
        }
        if seen.unit.state == UnitState::Failed {
            return Next::GiveUp(format!("{} failed after it was started", app.title()));
        }
    }
    if !matches!(seen.unit.state, UnitState::Active) {
        return until(app, turn, &format!("it is {}", word(seen.unit.state)));
    }
    if healthy && !seen.health.healthy {
        return until(app, turn, &format!("its health says: {}", seen.health.said));
    }
    Next::done()
}

/// One move towards a stopped app.
fn stopped(app: &App, turn: &Turn<AppFacts>) -> Next {
    let seen = &turn.seen;
    if !seen.unit.loaded && turn.did.is_empty() {
        return unknown_unit(app);
    }
    if unit::rests(seen.unit.state) {
        return Next::done();
    }
    if turn.did.is_empty() && seen.unit.state != UnitState::Deactivating {
        return Next::act(app.stop(), json!({"running": false}));
    }
    until(app, turn, &format!("it is {}", word(seen.unit.state)))
}

/// One move back: running as it was, with the health that it had and no more.
pub(super) fn back(app: &App, turn: &Turn<AppFacts>) -> Next {
    if !turn.before.running {
        return stopped(app, turn);
    }
    let healthy = turn.before.health.healthy;
    let sick = healthy && turn.seen.unit.state == UnitState::Active && !turn.seen.health.healthy;
    // It runs, but what it runs with made it sick: a start would change nothing.
    let given_up = turn.after.as_ref().is_some_and(|after| after.running && !after.health.healthy);
    if sick && turn.did.is_empty() && (given_up || turn.rested >= app.within.0) {
        return restart(app, turn).unwrap_or_else(Next::done);
    }
    if !turn.did.is_empty()
        && let Some(next) = restart(app, turn)
    {
        return next;
    }
    running(app, healthy, turn)
}

/// The next move of a restart; none: it was made. A manager of commands shows no process that could be told from the one before,
/// so its stop has to be seen before its start: one that had no effect would leave the old process, and no start would mind.
fn restart(app: &App, turn: &Turn<AppFacts>) -> Option<Next> {
    let up = json!({"running": true, "health": {"healthy": true}});
    match app.restart() {
        Some(change) => turn.did.is_empty().then(|| Next::act(change, up)),
        None if turn.did.is_empty() && turn.seen.running => Some(Next::act(app.stop(), json!({"running": false}))),
        None if turn.did.is_empty() => Some(Next::act(app.start(), up)),
        None if turn.last.as_ref() != Some(&app.stop()) => None,
        None if turn.seen.running => Some(until(app, turn, "it still runs after its stop")),
        None => Some(Next::act(app.start(), up)),
    }
}

/// Waits for as long as the app's health may take, counted from the last act.
fn until(app: &App, turn: &Turn<AppFacts>, why: &str) -> Next {
    if turn.rested >= app.within.0 || turn.late {
        let want = if turn.seen.running && turn.seen.unit.state == UnitState::Active {
            "become healthy"
        } else {
            "come to rest"
        };
        return Next::GiveUp(format!("{} did not {want} within {}: {why}", app.title(), app.within));
    }
    Next::wait(why, EVERY)
}

/// A restart makes another process; where nothing shows one (a manager of commands) there is nothing to compare.
fn same_process(before: &AppFacts, seen: &AppFacts) -> bool {
    let (old, new) = (&before.unit, &seen.unit);
    if !old.invocation.is_empty() && !new.invocation.is_empty() {
        return old.invocation == new.invocation;
    }
    old.pid != 0 && old.pid == new.pid
}

fn unknown_unit(app: &App) -> Next {
    Next::GiveUp(format!("systemd knows no unit {}", app.title()))
}

const fn word(state: UnitState) -> &'static str {
    match state {
        UnitState::Active => "active",
        UnitState::Reloading => "reloading",
        UnitState::Inactive => "inactive",
        UnitState::Failed => "failed",
        UnitState::Activating => "activating",
        UnitState::Deactivating => "deactivating",
        UnitState::Maintenance => "in maintenance",
    }
}
