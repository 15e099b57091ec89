//! What `svcops app` shows. Pure: who prints it, and where, is said elsewhere.

use crate::{
    base::{ServerState, UnitState, words},
    survey::app::{AppStatus, HostStatus, Level},
};
use serde_json::{Value, json};

/// The head of the table of `app status`.
pub const HEAD: [&str; 6] = ["HOST", "SITE", "STATE", "PID", "HEALTH", "BALANCER"];

/// The rows of `app status`, one a host; what is unknown is a question mark.
pub fn rows(status: &AppStatus) -> Vec<Vec<String>> {
    status.hosts.iter().map(row).collect()
}

/// What stands below the table: the verdict, and why something could not be seen.
pub fn lines(status: &AppStatus) -> Vec<String> {
    let able = status.hosts.iter().filter(|h| h.in_service()).count();
    let all = words::count("host", status.hosts.len());
    let mut lines = vec![format!("{}: app `{}` is in service on {able} of {all}", word(status.level()), status.app)];
    let troubles = status.hosts.iter().filter_map(|h| Some(format!("`{}`: {}", h.host, h.trouble.as_ref()?)));
    lines.extend(troubles);
    lines
}

/// `app status -o json`.
pub fn json(status: &AppStatus) -> Value {
    let mut value = serde_json::to_value(status).unwrap_or(Value::Null);
    if let Some(map) = value.as_object_mut() {
        map.insert("status".into(), json!(status.level()));
        map.insert("exit_code".into(), json!(status.level().code()));
    }
    value
}

fn row(host: &HostStatus) -> Vec<String> {
    let unknown = || "?".to_owned();
    let nothing = || "-".to_owned();
    let health = match (host.healthy, host.state) {
        (Some(true), _) => "healthy".into(),
        (Some(false), _) => format!("sick: {}", host.said),
        (None, Some(_)) => nothing(),
        (None, None) => unknown(),
    };
    let balancer = host.balancer.as_ref().map(|b| {
        let state = match b.state {
            ServerState::Ready => "ready",
            ServerState::Drain => "draining",
            ServerState::Maint => "maintenance",
        };
        format!("{state}, {}, {}", if b.up { "up" } else { "down" }, words::count("session", to_usize(b.sessions)))
    });
    vec![
        host.host.to_string(),
        host.site.clone().unwrap_or_else(nothing),
        host.state.map_or_else(unknown, |s| state(s).to_owned()),
        host.pid.map_or_else(nothing, |pid| pid.to_string()),
        health,
        balancer.unwrap_or_else(|| if host.trouble.is_some() { unknown() } else { nothing() }),
    ]
}

fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

const fn state(state: UnitState) -> &'static str {
    match state {
        UnitState::Active => "active",
        UnitState::Reloading => "reloading",
        UnitState::Inactive => "inactive",
        UnitState::Failed => "failed",
        UnitState::Activating => "activating",
        UnitState::Deactivating => "deactivating",
        UnitState::Maintenance => "maintenance",
    }
}

const fn word(level: Level) -> &'static str {
    match level {
        Level::Ok => "OK",
        Level::Warning => "WARNING",
        Level::Critical => "CRITICAL",
        Level::Unknown => "UNKNOWN",
    }
}
