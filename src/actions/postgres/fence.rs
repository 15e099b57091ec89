//! `postgres.mask` and `postgres.stop`: the old primary writes no more, and nothing starts it. Both go back only where the
//! other side is seen not to have been promoted: what is not known never unfences.

use super::{Action, Next, Refusal, Target, Turn, change, cluster_on, did, find_own, other_host};
use crate::{
    base::{PgChange, PgDepth, PgState},
    inventory::Database,
    resources::{
        Handover, HandoverFacts,
        postgres::{may_write, role, stands_by},
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What `postgres.mask` and `postgres.stop` take.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::actions) struct FenceArgs {
    /// The database, by its name in svcops.yaml
    database: String,
    /// The host that is to take over: the way back is open only while its cluster is seen to be a standby. The database's
    /// other host unless given
    peer: Option<String>,
}

impl FenceArgs {
    fn resolve(self, target: &Target<'_>) -> Result<Handover, Refusal> {
        let database: &Database = find_own(&self.database, target)?;
        let peer = if let Some(peer) = self.peer {
            Some(other_host("peer", &peer, database, target)?)
        } else {
            let hosts = target.inventory.select(&database.hosts);
            let others: Vec<_> = hosts.into_iter().filter(|host| host.name != target.host.name).collect();
            if others.len() > 1 {
                // which of them was not promoted is not for this to guess
                let why = format!("database `{}` has several other hosts: one of them expected", database.name);
                return Err(Refusal::of("peer", why));
            }
            others.into_iter().next()
        };
        // files tell all that these decide from, in a few milliseconds
        let on = |host| cluster_on(database, host, PgDepth::Files, target);
        Ok(Handover { own: on(&target.host.name), other: peer.map(|peer| on(&peer.name)), peer: None, loose: false })
    }
}

/// `postgres.mask`.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::actions) struct Mask {
    on: Handover,
}

impl Action for Mask {
    const NAME: &'static str = "postgres.mask";
    const ABOUT: &'static str =
        "Masks the unit of a PostgreSQL cluster: it runs on, but nothing starts it again, no boot either";
    const EXAMPLE: &'static str = "- name: Nothing starts it again
  postgres.mask: {database: crm-db, peer: dc2-db1}";
    type Args = FenceArgs;
    type On = Handover;
    fn bind(args: FenceArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        args.resolve(target).map(|on| Self { on })
    }
    fn on(&self) -> &Handover {
        &self.on
    }
    fn next(&self, turn: &Turn<HandoverFacts>) -> Next {
        self.towards(true, turn)
    }
    fn undo(&self, turn: &Turn<HandoverFacts>) -> Next {
        let seen = &turn.seen;
        if seen.own.masked == turn.before.own.masked {
            return Next::done();
        }
        // what runs as a primary is no fence any more, and a standby never was one
        let open = may_write(&seen.own) || stands_by(&seen.own);
        if !turn.before.own.masked
            && !open
            && let Some(why) = closed(&self.on, seen)
        {
            return Next::GiveUp(format!("the unit of {} stays masked: {why}", self.on.own.title()));
        }
        self.towards(turn.before.own.masked, turn)
    }
}

impl Mask {
    fn towards(&self, masked: bool, turn: &Turn<HandoverFacts>) -> Next {
        let own = &self.on.own;
        if turn.seen.own.masked == masked {
            return Next::done();
        }
        if !turn.did.is_empty() {
            let is = if masked { "not masked" } else { "still masked" };
            return Next::GiveUp(format!("the unit of {} is {is}", own.title()));
        }
        let what = if masked { PgChange::Mask } else { PgChange::Unmask };
        Next::act(change(own, what), json!({"own": {"masked": masked}}))
    }
}

/// `postgres.stop`.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::actions) struct Stop {
    on: Handover,
}

impl Action for Stop {
    const NAME: &'static str = "postgres.stop";
    const ABOUT: &'static str = "Stops a PostgreSQL cluster fast, and holds it for stopped only where its control file says that it ended cleanly";
    const EXAMPLE: &'static str = "- name: The old primary writes no more (masked before, so that it stays down)
  postgres.stop: {database: crm-db, peer: dc2-db1}";
    type Args = FenceArgs;
    type On = Handover;
    fn bind(args: FenceArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        args.resolve(target).map(|on| Self { on })
    }
    fn on(&self) -> &Handover {
        &self.on
    }
    fn next(&self, turn: &Turn<HandoverFacts>) -> Next {
        let (own, title) = (&turn.seen.own, self.on.own.title());
        if own.running {
            if !turn.did.is_empty() {
                return Next::GiveUp(format!("{title} still runs after its stop"));
            }
            return Next::act(change(&self.on.own, PgChange::Stop), json!({"own": {"running": false}}));
        }
        match own.control.as_ref() {
            Some(control) if matches!(control.state, PgState::ShutDown | PgState::ShutDownInRecovery) => {
                Next::Done { outputs: json!({"end": control.checkpoint, "timeline": control.timeline}) }
            }
            _ => Next::GiveUp(format!("{title} {}: started, it recovers, and can be stopped then", role(own))),
        }
    }
    fn undo(&self, turn: &Turn<HandoverFacts>) -> Next {
        let (before, seen, own) = (&turn.before.own, &turn.seen.own, &self.on.own);
        if !before.running {
            return Next::done();
        }
        if seen.running {
            // it had to be unmasked for its start
            if before.masked && !seen.masked {
                return Next::act(change(own, PgChange::Mask), json!({"own": {"masked": true}}));
            }
            return Next::done();
        }
        if did(turn, &PgChange::Start) {
            return Next::GiveUp(format!("{} did not start", own.title()));
        }
        if let Some(why) = closed(&self.on, &turn.seen) {
            return Next::GiveUp(format!("{} stays stopped: {why}", own.title()));
        }
        let unmask = seen.masked.then(|| change(own, PgChange::Unmask));
        let changes = unmask.into_iter().chain([change(own, PgChange::Start)]).collect();
        Next::Do { changes, expect: json!({"own": {"running": true}}) }
    }
}

/// Why the old primary must not write again, if so.
fn closed(on: &Handover, seen: &HandoverFacts) -> Option<String> {
    let other = on.other.as_ref()?;
    match &seen.other {
        Some(facts) if stands_by(facts) => None,
        Some(facts)
            if facts.is_primary() || facts.control.as_ref().is_some_and(|c| c.state == PgState::InProduction) =>
        {
            Some(format!("{} was promoted", other.title()))
        }
        Some(facts) => Some(format!("it is not known whether {} was promoted, which {}", other.title(), role(facts))),
        None => Some(format!("it is not known whether {} was promoted", other.title())),
    }
}
