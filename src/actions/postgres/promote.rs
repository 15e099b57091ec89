//! `postgres.promote`: a standby becomes the primary, once it is proven that the old one writes no more and that all it
//! ever wrote has arrived. It is one step, for an outage runs.

use super::{
    Action, Next, Refusal, Target, Traits, Turn, address, bytes, change, cluster_on, find_own, other_host, over,
    strangers, two_primaries,
};
use crate::{
    actions::args,
    base::{Lsn, PgChange, PgDepth, PgFacts, PgPeer, PgState, Span},
    resources::{
        Handover, HandoverFacts, Resource,
        postgres::{role, stands_by},
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// What `postgres.promote` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::actions) struct PromoteArgs {
    /// The database, by its name in svcops.yaml
    database: String,
    /// The host of the old primary
    from: String,
    /// How long the old primary may take to be proven fenced, and the standby to have received all of its log; 10s unless
    /// given
    #[schemars(extend("default" = "10s"))]
    within: Option<Span>,
    /// Promote without a look at the old primary, for it is lost: who says so, and what proves that it writes no more. What
    /// has not arrived is lost
    unfenced: Option<String>,
}

const WITHIN: Span = Span::secs(10);

/// `postgres.promote`.
#[derive(Serialize, Deserialize)]
pub(in crate::actions) struct Promote {
    on: Handover,
    /// The old primary, in words.
    from: String,
    within: Span,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unfenced: Option<String>,
}

impl Action for Promote {
    const NAME: &'static str = "postgres.promote";
    const ABOUT: &'static str = "Promotes a standby once its primary is stopped, masked and refused, and all of its log has arrived; no way back";
    const EXAMPLE: &'static str = "- name: The new primary
  postgres.promote: {database: crm-db, from: dc1-db1}
  no_return: true";
    const TRAITS: Traits = Traits { undoes: false, ..Traits::CHANGES };
    type Args = PromoteArgs;
    type On = Handover;
    fn bind(args: PromoteArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        let database = find_own(&args.database, target)?;
        let from = other_host("from", &args.from, database, target)?;
        let unfenced = args.unfenced.map(|words| args::plain("unfenced", words)).transpose()?;
        if unfenced.as_ref().is_some_and(|words| words.trim().is_empty()) {
            return Err(Refusal::of("unfenced", "words expected: who says that it is lost, and what proves it"));
        }
        let other = unfenced.is_none().then(|| cluster_on(database, &from.name, PgDepth::Files, target));
        Ok(Self {
            on: Handover {
                own: cluster_on(database, &target.host.name, PgDepth::Log, target),
                other,
                peer: Some((address(from), database.spot.port)),
                loose: true,
            },
            from: format!("`{}` on `{}`", database.name, from.name),
            within: args.within.unwrap_or(WITHIN),
            unfenced,
        })
    }
    fn on(&self) -> &Handover {
        &self.on
    }
    fn next(&self, turn: &Turn<HandoverFacts>) -> Next {
        let (own, title) = (&turn.seen.own, self.on.own.title());
        if let Some(why) = two_primaries(&self.on, &turn.seen).or_else(|| strangers(&self.on, &turn.seen)) {
            return Next::GiveUp(why);
        }
        if own.is_primary() {
            return Next::Done { outputs: self.outputs(turn) };
        }
        if !own.running {
            return Next::GiveUp(format!("{title} {}: only a running standby can be promoted", role(own)));
        }
        if !turn.did.is_empty() {
            let why = format!("{title} was promoted and does not accept writes yet");
            return if over(turn.rested, self.within, turn.late) {
                Next::GiveUp(why)
            } else {
                Next::wait(why, every(turn))
            };
        }
        match self.ready(&turn.seen) {
            Ok(past) => Next::act(
                change(&self.on.own, PgChange::Promote { past }),
                json!({"own": {"sql": {"recovery": false}}}),
            ),
            Err(Not::Ever(why)) => Next::GiveUp(why),
            Err(Not::Yet(why)) if over(turn.elapsed, self.within, turn.late) => Next::GiveUp(why),
            Err(Not::Yet(why)) => Next::wait(why, every(turn)),
        }
    }
    fn undo(&self, turn: &Turn<HandoverFacts>) -> Next {
        // also where a promotion was told and had no effect yet
        let lasting = |facts: &HandoverFacts| Handover::lasting(facts.clone());
        let is_as_before =
            turn.seen.own.is_primary() == turn.before.own.is_primary() && lasting(&turn.seen) == lasting(&turn.before);
        if is_as_before {
            return Next::done();
        }
        let title = self.on.own.title();
        Next::GiveUp(format!("a promotion is not taken back: {title} {}", role(&turn.seen.own)))
    }
}

/// Why it is not promoted.
enum Not {
    /// Waiting may help.
    Yet(String),
    /// Waiting does not help.
    Ever(String),
}

impl Promote {
    /// Whether it may be promoted now, and past which position of the log.
    fn ready(&self, seen: &HandoverFacts) -> Result<Option<Lsn>, Not> {
        let (own, title, from) = (&seen.own, self.on.own.title(), &self.from);
        let Some(sql) = &own.sql else {
            let why = own.silent.as_deref().unwrap_or("it gave no reason");
            return Err(Not::Yet(format!("{title} does not answer: {why}")));
        };
        if self.unfenced.is_some() {
            // whatever was said of it: two that accept writes are never made knowingly
            return match own.peer {
                Some(PgPeer::Accepts) => Err(Not::Ever(format!(
                    "{from} is not lost: it accepts connections, as seen from `{}`",
                    self.on.own.at
                ))),
                _ => Ok(None),
            };
        }
        let Some(other) = &seen.other else {
            let why = seen.unseen.as_deref().unwrap_or("it was not seen");
            return Err(Not::Yet(format!("it is not known whether {from} is stopped: {why}")));
        };
        let end = fenced(other).map_err(|not| match not {
            Not::Ever(why) => Not::Ever(format!("{from} {why}")),
            Not::Yet(why) => Not::Yet(format!("{from} {why}")),
        })?;
        if !seen.is_refused() {
            let why = match own.peer {
                Some(PgPeer::Accepts) => "something accepts connections at its address",
                Some(PgPeer::Rejects) => "something at its address still says that it is starting up or shutting down",
                _ => "it is not known what answers at its address",
            };
            return Err(Not::Yet(format!("{from} is stopped, but {why}, as seen from `{}`", self.on.own.at)));
        }
        let received = sql.received.unwrap_or_default();
        // at that position the record of the shutdown begins: all that anybody ever committed lies before it
        if received < end {
            let left = bytes(end.past(received));
            return Err(Not::Yet(format!(
                "{title} has not received the last {left} of the log of {from}, up to {end}"
            )));
        }
        // a query that holds up the replay would hold up the promotion as well, and nothing takes that back: it would come
        // to pass after the source was started again
        let replayed = sql.replayed.unwrap_or_default();
        if replayed < end {
            let left = bytes(end.past(replayed));
            return Err(Not::Yet(format!(
                "{title} has received the log of {from} and not replayed the last {left} of it: a query there may hold that up"
            )));
        }
        Ok(Some(end))
    }

    fn outputs(&self, turn: &Turn<HandoverFacts>) -> serde_json::Value {
        let (before, seen) = (&turn.before, &turn.seen);
        let sql = before.own.sql.as_ref().filter(|sql| sql.recovery);
        let end = seen.other.as_ref().or(before.other.as_ref()).and_then(PgFacts::ended_at);
        let lost = if self.unfenced.is_some() { None } else { end.map(|_| 0) };
        json!({
            "promoted": !turn.did.is_empty(),
            "end": end,
            "lost_bytes": lost,
            "received": sql.and_then(|sql| sql.received),
            "replayed": sql.and_then(|sql| sql.replayed),
            "last": sql.and_then(|sql| sql.last),
            "timeline": seen.own.control.as_ref().map(|control| control.timeline),
            "unfenced": self.unfenced,
        })
    }
}

/// Where the old primary ended for good.
fn fenced(other: &PgFacts) -> Result<Lsn, Not> {
    let state = other.control.as_ref().map(|control| control.state);
    match other.ended_at() {
        Some(_) if !other.masked => {
            Err(Not::Ever("is stopped, but its unit is not masked: a boot would start it again".to_owned()))
        }
        Some(end) => Ok(end),
        None if other.running && state == Some(PgState::ShuttingDown) => Err(Not::Yet("is shutting down".to_owned())),
        None if other.running && stands_by(other) => {
            Err(Not::Ever("is a standby itself: it is not where the last primary was".to_owned()))
        }
        None if other.running => Err(Not::Ever("is not fenced: it runs; it is to be stopped first".to_owned())),
        None if state == Some(PgState::ShutDownInRecovery) => {
            Err(Not::Ever("was a standby when it was stopped: it is not where the last primary was".to_owned()))
        }
        None => Err(Not::Ever(format!("is not fenced: it {}", role(other)))),
    }
}

/// An outage runs: at first a look follows at once.
fn every(turn: &Turn<HandoverFacts>) -> Duration {
    Duration::from_millis(if turn.elapsed < Duration::from_secs(1) { 5 } else { 50 })
}
