//! `patroni.switchover`: another member leads. Patroni stops, promotes and makes the former leader follow, and sees to it
//! that there are never two.

use super::{
    Action, Next, Refusal, Target, Traits, Turn, args,
    postgres::{address, find, other_host, over},
};
use crate::{
    base::{Change, HttpAsk, Place, Span, Switchover},
    inventory::{Database, Host},
    resources::{PatroniCluster, patroni::PatroniFacts},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// What `patroni.switchover` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SwitchoverArgs {
    /// The database, by its name in svcops.yaml
    database: String,
    /// The host of the present leader; the step is for the one that is to lead
    from: String,
    /// Also wait until the former leader is a running standby. It takes longer than an outage should
    #[serde(default)]
    follows: bool,
    /// How long it may take; 60s unless given
    #[schemars(extend("default" = "60s"))]
    within: Option<Span>,
}

const WITHIN: Span = Span::secs(60);
/// How long one question may take.
const ASK: Span = Span::secs(5);

/// `patroni.switchover`.
#[derive(Serialize, Deserialize)]
pub(super) struct PatroniSwitchover {
    on: PatroniCluster,
    /// What Patroni may call the one that is to lead, and what the present one.
    to: Vec<String>,
    from: Vec<String>,
    /// Their APIs.
    to_url: String,
    from_url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    follows: bool,
    within: Span,
}

impl Action for PatroniSwitchover {
    const NAME: &'static str = "patroni.switchover";
    const ABOUT: &'static str =
        "Has Patroni make another member the leader, and waits until that one accepts writes; no way back";
    const EXAMPLE: &'static str = "- name: The other site leads
  patroni.switchover: {database: orders-db, from: dc1-db1}
  no_return: true";
    const TRAITS: Traits = Traits { undoes: false, ..Traits::CHANGES };
    type Args = SwitchoverArgs;
    type On = PatroniCluster;
    fn bind(args: SwitchoverArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        let database = find(&args.database, target)?;
        let from = other_host("from", &args.from, database, target)?;
        let patroni = database.patroni.clone().ok_or_else(|| {
            let why = format!("database `{}` has no `patroni:`: svcops itself moves it", database.name);
            Refusal::of("database", why)
        })?;
        let (to_url, from_url) = (url(database, target.host)?, url(database, from)?);
        let ask = |path: &str| HttpAsk {
            url: format!("{to_url}/{path}"),
            method: "GET".to_owned(),
            headers: BTreeMap::new(),
            body: None,
            ca: patroni.ca.clone(),
            within: Span(ASK.0.min(args::one_try(target).0)),
        };
        let on = PatroniCluster { database: database.name.clone(), cluster: ask("cluster"), own: ask("patroni") };
        let names = |host: &Host| vec![address(host), host.name.as_str().to_owned()];
        Ok(Self {
            on,
            to: names(target.host),
            from: names(from),
            to_url,
            from_url,
            user: patroni.user,
            password: patroni.password,
            follows: args.follows,
            within: args.within.unwrap_or(WITHIN),
        })
    }
    fn on(&self) -> &PatroniCluster {
        &self.on
    }
    fn next(&self, turn: &Turn<PatroniFacts>) -> Next {
        let (seen, name) = (&turn.seen, &self.on.database);
        let wait = |why: String, every: u64| {
            if over(turn.rested, self.within, turn.late) {
                Next::GiveUp(why)
            } else {
                Next::wait(why, Duration::from_millis(every))
            }
        };
        if let Some(why) = &seen.silent {
            let why = format!("Patroni of `{name}` at {} did not answer: {why}", self.to_url);
            return if turn.did.is_empty() { Next::GiveUp(why) } else { wait(why, 200) };
        }
        let known = || crate::base::words::list(&seen.members.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), 5);
        let missing = |names: &[String]| {
            let host = names.last().map_or("", String::as_str);
            Next::GiveUp(format!("Patroni of `{name}` has no member on `{host}`, it has {}", known()))
        };
        let Some(to) = seen.member(&self.to) else { return missing(&self.to) };
        let Some(from) = seen.member(&self.from) else { return missing(&self.from) };
        if to.leads() {
            if !seen.writable {
                return wait(format!("`{}` leads and does not accept writes yet", to.name), 20);
            }
            if self.follows && (from.leads() || !from.runs()) {
                return wait(format!("the former leader `{}` is {}", from.name, from.state), 500);
            }
            return Next::Done { outputs: json!({"changed": !turn.did.is_empty(), "leader": to.name}) };
        }
        if !turn.did.is_empty() {
            let leads =
                seen.leader.as_ref().map_or_else(|| "nobody leads".to_owned(), |name| format!("`{name}` leads"));
            return wait(format!("{leads}, and `{}` does not yet", to.name), 20);
        }
        if !from.leads() {
            let leads =
                seen.leader.as_ref().map_or_else(|| "nobody leads".to_owned(), |name| format!("`{name}` leads"));
            return Next::GiveUp(format!("{leads} `{name}`, not `{}`", from.name));
        }
        if seen.paused {
            return Next::GiveUp(format!("Patroni of `{name}` is paused: `patronictl resume` ends that"));
        }
        if !to.runs() {
            return Next::GiveUp(format!("`{}` cannot lead `{name}`: it is {}", to.name, to.state));
        }
        let change = Change::Switchover(Switchover {
            database: name.clone(),
            url: self.from_url.clone(),
            to: self.to_url.clone(),
            leader: from.name.clone(),
            candidate: to.name.clone(),
            user: self.user.clone(),
            password: self.password.clone(),
            ca: self.on.cluster.ca.clone(),
            within: self.within,
        });
        Next::act(Place::HERE.at(change), Value::Null)
    }
    fn undo(&self, turn: &Turn<PatroniFacts>) -> Next {
        if turn.seen.silent.is_none() && turn.seen.leader == turn.before.leader {
            return Next::done();
        }
        let leader = turn.seen.leader.as_deref().unwrap_or("nobody");
        Next::GiveUp(format!("a switchover is not taken back: `{leader}` leads `{}`", self.on.database))
    }
}

fn url(database: &Database, host: &Host) -> Result<String, Refusal> {
    let filled = database.patroni_on(host).map_err(|e| Refusal::of("database", format!("{e}: {}", e.why)))?;
    let url = filled.ok_or_else(|| Refusal::of("database", "it has no `patroni:`"))?;
    Ok(args::url(url)?.trim_end_matches('/').to_owned())
}
