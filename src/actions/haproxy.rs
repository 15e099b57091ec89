//! `haproxy.*`: take a server out of a backend, and bring it in again.

use super::{Action, Next, Refusal, Target, Turn, args};
use crate::{
    base::{At, Change, Place, ServerFacts, ServerState, Span},
    resources::BackendServer,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// What `haproxy.drain` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DrainArgs {
    /// The balancer, by its name in svcops.yaml
    balancer: String,
    /// The backend
    backend: String,
    /// The server in it; the host's name unless given
    server: Option<String>,
    /// How long its sessions may take to end; 30s unless given
    #[schemars(extend("default" = "30s"))]
    within: Option<Span>,
    /// What to do about sessions that are left then: fail (default), or kill them
    #[serde(default)]
    then: Then,
}

/// What `haproxy.enable` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EnableArgs {
    /// The balancer, by its name in svcops.yaml
    balancer: String,
    /// The backend
    backend: String,
    /// The server in it; the host's name unless given
    server: Option<String>,
    /// How long HAProxy may take to hold it for up; 30s unless given
    #[schemars(extend("default" = "30s"))]
    within: Option<Span>,
}

/// What to do about sessions that do not end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Then {
    /// Fail: they are left alone.
    #[default]
    Fail,
    /// End them.
    Kill,
}

const WITHIN: Span = Span::secs(30);
/// How long sessions that were ended may still show.
const KILLED: Duration = Duration::from_secs(5);
const EVERY: Duration = Duration::from_millis(500);

/// `haproxy.drain`.
#[derive(Serialize, Deserialize)]
pub(super) struct Drain {
    server: BackendServer,
    within: Span,
    then: Then,
}

impl Action for Drain {
    const NAME: &'static str = "haproxy.drain";
    const ABOUT: &'static str = "Takes a server out of an HAProxy backend and waits until its sessions have ended";
    const EXAMPLE: &'static str = r#"- name: Out of service
  haproxy.drain: {balancer: front, backend: billing, server: "{{ host.name }}", within: 30s, then: kill}"#;
    type Args = DrainArgs;
    type On = BackendServer;
    fn bind(args: DrainArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        Ok(Self {
            server: find(&args.balancer, args.backend, args.server, target)?,
            within: args.within.unwrap_or(WITHIN),
            then: args.then,
        })
    }
    fn on(&self) -> &BackendServer {
        &self.server
    }
    fn next(&self, turn: &Turn<ServerFacts>) -> Next {
        let to_set = usize::from(turn.before.state == ServerState::Ready);
        if turn.seen.state == ServerState::Ready {
            if !turn.did.is_empty() {
                return Next::GiveUp(format!("{} takes traffic again", title(&self.server)));
            }
            return Next::act(set(&self.server, ServerState::Drain), json!({"state": "drain", "sessions": 0}));
        }
        let left = crate::base::words::count("session", usize::try_from(turn.seen.sessions).unwrap_or(usize::MAX));
        let killed = turn.did.len() > to_set;
        match turn.seen.sessions {
            0 => Next::done(),
            _ if killed && (turn.rested >= KILLED || turn.late) => {
                Next::GiveUp(format!("{} still has {left} after they were ended", title(&self.server)))
            }
            _ if !killed && self.then == Then::Kill && (turn.rested >= self.within.0 || turn.late) => {
                let server = &self.server;
                let change = Change::EndSessions {
                    api: server.api.clone(),
                    backend: server.backend.clone(),
                    server: server.server.clone(),
                };
                Next::act(server.at.at(change), json!({"sessions": 0}))
            }
            _ if !killed && (turn.rested >= self.within.0 || turn.late) => {
                Next::GiveUp(format!("{} still has {left} after {}", title(&self.server), self.within))
            }
            _ => Next::wait(format!("{left} left on {}", title(&self.server)), EVERY),
        }
    }
    fn undo(&self, turn: &Turn<ServerFacts>) -> Next {
        back(&self.server, self.within, turn)
    }
}

/// `haproxy.enable`.
#[derive(Serialize, Deserialize)]
pub(super) struct Enable {
    server: BackendServer,
    within: Span,
}

impl Action for Enable {
    const NAME: &'static str = "haproxy.enable";
    const ABOUT: &'static str = "Brings a server into an HAProxy backend again and waits until HAProxy holds it for up";
    const EXAMPLE: &'static str = r#"- name: Back in service
  haproxy.enable: {balancer: front, backend: billing, server: "{{ host.name }}"}"#;
    type Args = EnableArgs;
    type On = BackendServer;
    fn bind(args: EnableArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        Ok(Self {
            server: find(&args.balancer, args.backend, args.server, target)?,
            within: args.within.unwrap_or(WITHIN),
        })
    }
    fn on(&self) -> &BackendServer {
        &self.server
    }
    fn next(&self, turn: &Turn<ServerFacts>) -> Next {
        enabled(&self.server, self.within, turn)
    }
    fn undo(&self, turn: &Turn<ServerFacts>) -> Next {
        back(&self.server, self.within, turn)
    }
}

fn enabled(server: &BackendServer, within: Span, turn: &Turn<ServerFacts>) -> Next {
    if turn.seen.state != ServerState::Ready {
        if !turn.did.is_empty() {
            return Next::GiveUp(format!("{} takes no traffic, though it was enabled", title(server)));
        }
        return Next::act(set(server, ServerState::Ready), json!({"state": "ready", "up": true}));
    }
    if turn.seen.up {
        return Next::done();
    }
    if turn.rested >= within.0 || turn.late {
        return Next::GiveUp(format!("HAProxy did not hold {} for up within {within}", title(server)));
    }
    Next::wait(format!("HAProxy holds {} for down", title(server)), EVERY)
}

/// One move back to the state before. Where that takes no traffic, sessions are given time to end, for what comes next on
/// the way back may stop the app under them; they cannot hold the way back up.
fn back(server: &BackendServer, within: Span, turn: &Turn<ServerFacts>) -> Next {
    let want = turn.before.state;
    if turn.seen.state != want {
        if !turn.did.is_empty() {
            return Next::GiveUp(format!("{} is not {} again", title(server), word(want)));
        }
        return Next::act(set(server, want), json!({"state": want}));
    }
    if want == ServerState::Ready {
        return if turn.before.up { enabled(server, within, turn) } else { Next::done() };
    }
    if turn.seen.sessions == 0 || turn.rested >= within.0 || turn.late {
        return Next::done();
    }
    Next::wait(format!("sessions are left on {}", title(server)), EVERY)
}

fn set(server: &BackendServer, state: ServerState) -> At<Change> {
    server.at.at(Change::SetServer {
        api: server.api.clone(),
        backend: server.backend.clone(),
        server: server.server.clone(),
        state,
    })
}

fn find(
    balancer: &str,
    backend: String,
    server: Option<String>,
    target: &Target<'_>,
) -> Result<BackendServer, Refusal> {
    let balancers = &target.inventory.balancers;
    let found = balancers
        .get(balancer)
        .ok_or_else(|| args::unknown("balancer", "balancer", balancer, balancers.keys().map(String::as_str)))?;
    let word = |key: &str, text: String| {
        let text = args::plain(key, text)?;
        let right = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:".contains(c));
        right.then_some(text.clone()).ok_or_else(|| {
            Refusal::of(key, format!("letters, digits and any of `-_.:` expected, as in haproxy.cfg, got `{text}`"))
        })
    };
    Ok(BackendServer {
        at: found.host.as_ref().map_or(Place::HERE, |host| target.place_on(host)),
        balancer: found.name.clone(),
        api: found.api.clone(),
        backend: word("backend", backend)?,
        server: word("server", server.unwrap_or_else(|| target.host.name.as_str().to_owned()))?,
    })
}

fn title(server: &BackendServer) -> String {
    format!("`{}/{}` of `{}`", server.backend, server.server, server.balancer)
}

const fn word(state: ServerState) -> &'static str {
    match state {
        ServerState::Ready => "ready",
        ServerState::Drain => "draining",
        ServerState::Maint => "in maintenance",
    }
}
