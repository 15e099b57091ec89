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

/// What is wrong with an app on a host; empty if it is in service there.
pub fn trouble(host: &HostStatus) -> String {
    if let Some(why) = &host.trouble {
        return why.clone();
    }
    let mut wrong = Vec::new();
    wrong.extend(host.state.filter(|s| *s != UnitState::Active).map(|s| state(s).to_owned()));
    wrong.extend((host.healthy == Some(false)).then(|| format!("sick: {}", host.said)));
    if let Some(balancer) = host.balancer.as_ref().filter(|b| b.state != ServerState::Ready || !b.up) {
        let how = if balancer.state == ServerState::Ready { "down" } else { server(balancer.state) };
        wrong.push(format!("{how} on its balancer"));
    }
    wrong.join("; ")
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
        let state = server(b.state);
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

const fn server(state: ServerState) -> &'static str {
    match state {
        ServerState::Ready => "ready",
        ServerState::Drain => "draining",
        ServerState::Maint => "maintenance",
    }
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

/// The word of a level.
pub const fn word(level: Level) -> &'static str {
    match level {
        Level::Ok => "OK",
        Level::Warning => "WARNING",
        Level::Critical => "CRITICAL",
        Level::Unknown => "UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::HostName, survey::app::BalancerStatus};

    #[test]
    fn a_row_says_what_is_seen_and_marks_what_is_not() {
        let host = |name: &str, state, healthy, said: &str, up, trouble: Option<&str>| HostStatus {
            host: HostName::new(name),
            site: Some("dc1".into()),
            state,
            pid: Some(7).filter(|_| healthy == Some(true)),
            healthy,
            said: said.into(),
            balancer: Option::map(up, |up| BalancerStatus { state: ServerState::Ready, up, sessions: 1 }),
            trouble: trouble.map(str::to_owned),
        };
        let status = AppStatus {
            schema_version: 1,
            app: "billing".into(),
            title: None,
            min_healthy: 1,
            hosts: vec![
                host("dc1-app1", Some(UnitState::Active), Some(true), "200", Some(true), None),
                host("dc1-app2", Some(UnitState::Failed), Some(false), "no answer", Some(false), None),
                host("dc1-app3", None, None, "", None, Some("could not reach `dc1-app3`")),
            ],
        };
        let rows = rows(&status);
        assert_eq!(rows[0], ["dc1-app1", "dc1", "active", "7", "healthy", "ready, up, 1 session"]);
        assert_eq!(rows[1], ["dc1-app2", "dc1", "failed", "-", "sick: no answer", "ready, down, 1 session"]);
        assert_eq!(rows[2], ["dc1-app3", "dc1", "?", "-", "?", "?"]);
        assert!(rows.iter().all(|r| r.len() == HEAD.len()));
        assert_eq!(
            lines(&status),
            ["UNKNOWN: app `billing` is in service on 1 of 3 hosts", "`dc1-app3`: could not reach `dc1-app3`"]
        );
        let json = json(&status);
        assert_eq!((&json["status"], &json["exit_code"]), (&"UNKNOWN".into(), &3.into()));
    }
}
