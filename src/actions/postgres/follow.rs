//! `postgres.follow`: a former primary becomes a standby of the new one. Rewound only where its log went on past the place
//! that the new one left it at; what is thrown away then is the loss, and is told.

use super::{
    Action, Next, Refusal, Target, Traits, Turn, address, change, cluster_on, did, find_own, other_host, over,
    strangers, two_primaries,
};
use crate::{
    base::{Lsn, PgChange, PgDepth, PgFacts, PgState, PgUpstream, Span},
    inventory::Database,
    resources::{Cluster, Handover, HandoverFacts, Resource, postgres::role},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// What `postgres.follow` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::actions) struct FollowArgs {
    /// The database, by its name in svcops.yaml
    database: String,
    /// The host of the new primary
    primary: String,
    /// How long it may take to stream from there once it was started; 60s unless given
    #[schemars(extend("default" = "60s"))]
    within: Option<Span>,
}

const WITHIN: Span = Span::secs(60);
const EVERY: Duration = Duration::from_millis(200);

/// `postgres.follow`.
#[derive(Serialize, Deserialize)]
pub(in crate::actions) struct Follow {
    on: Handover,
    /// Where it is to stream from.
    upstream: PgUpstream,
    /// What its own standbys' slots are called that it may still have: those of the database's other hosts.
    stale: Vec<String>,
    /// What it may call the new primary's host.
    sources: Vec<String>,
    within: Span,
}

impl Action for Follow {
    const NAME: &'static str = "postgres.follow";
    const ABOUT: &'static str =
        "Makes a former primary a standby of the new one (pg_rewind only where its log went another way); no way back";
    const EXAMPLE: &'static str = "- name: The old primary follows
  postgres.follow: {database: crm-db, primary: dc2-db1}";
    const TRAITS: Traits = Traits { undoes: false, ..Traits::CHANGES };
    type Args = FollowArgs;
    type On = Handover;
    fn bind(args: FollowArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        let database = find_own(&args.database, target)?;
        let primary = other_host("primary", &args.primary, database, target)?;
        let whole = |host| cluster_on(database, host, PgDepth::Whole, target);
        let hosts = target.inventory.select(&database.hosts);
        let others = hosts.iter().filter(|host| host.name != target.host.name);
        let replication = &database.replication;
        Ok(Self {
            on: Handover { own: whole(&target.host.name), other: Some(whole(&primary.name)), peer: None, loose: false },
            upstream: PgUpstream {
                host: address(primary),
                port: database.spot.port,
                user: replication.user.clone(),
                passfile: database.passfile(),
                slot: replication.slots.then(|| Database::slot(&target.host.name)),
            },
            stale: others.map(|host| Database::slot(&host.name)).collect(),
            sources: vec![address(primary), primary.name.as_str().to_owned()],
            within: args.within.unwrap_or(WITHIN),
        })
    }
    fn on(&self) -> &Handover {
        &self.on
    }
    fn next(&self, turn: &Turn<HandoverFacts>) -> Next {
        let seen = &turn.seen;
        if let Some(why) = two_primaries(&self.on, seen).or_else(|| strangers(&self.on, seen)) {
            return Next::GiveUp(why);
        }
        let (Some(primary), Some(there)) = (&seen.other, &self.on.other) else {
            return Next::GiveUp("the new primary was not looked at".to_owned());
        };
        if !primary.is_primary() {
            let why = format!("{} {}: there is no primary to follow", there.title(), role(primary));
            return if primary.running && primary.sql.is_none() { self.wait(turn, why) } else { Next::GiveUp(why) };
        }
        let own = &seen.own;
        if let Err(why) = left(own, primary) {
            return Next::GiveUp(format!("{} {why}", self.on.own.title()));
        }
        if own.is_standby() && self.is_set(own) && self.streams(own) {
            return self.tidy(turn);
        }
        if let Some(slot) = self.upstream.slot.as_ref()
            && !primary.sql.iter().flat_map(|sql| &sql.slots).any(|one| one.name == *slot)
        {
            return once(turn, PgChange::MakeSlot(slot.clone()), there);
        }
        if own.running { self.running(turn, primary) } else { self.stopped(turn, primary) }
    }
    fn undo(&self, turn: &Turn<HandoverFacts>) -> Next {
        let lasting = |facts: &HandoverFacts| Handover::lasting(facts.clone());
        if lasting(&turn.seen) == lasting(&turn.before) {
            return Next::done();
        }
        let own = self.on.own.title();
        Next::GiveUp(format!("{own} was made to follow `{}`: that is not taken back", self.upstream.host))
    }
}

impl Follow {
    /// It streams: what is left over of its time as a primary is done away with.
    fn tidy(&self, turn: &Turn<HandoverFacts>) -> Next {
        let own = &turn.seen.own;
        if own.masked {
            return once(turn, PgChange::Unmask, &self.on.own);
        }
        let slots = own.sql.iter().flat_map(|sql| &sql.slots);
        // a slot that nobody reads holds the log for ever
        let stale = slots.filter(|slot| !slot.active && self.stale.contains(&slot.name));
        if let Some(slot) = stale.into_iter().next() {
            return once(turn, PgChange::DropSlot(slot.name.clone()), &self.on.own);
        }
        Next::Done { outputs: self.outputs(turn) }
    }

    fn running(&self, turn: &Turn<HandoverFacts>, primary: &PgFacts) -> Next {
        let (own, title) = (&turn.seen.own, self.on.own.title());
        if own.is_standby() {
            let far = own.control.as_ref().map(|control| control.recovered);
            let strays = left(own, primary).ok().flatten().is_some_and(|left| far.is_some_and(|far| far > left));
            let tried = over(turn.rested, self.within, turn.late) && !did(turn, &PgChange::Start);
            if !self.is_set(own) || (strays && tried) {
                return once(turn, PgChange::Stop, &self.on.own);
            }
            let source = own.sql.as_ref().and_then(|sql| sql.streams_from.as_deref());
            let why = source.map_or_else(|| "does not stream".to_owned(), |from| format!("streams from `{from}`"));
            return self.wait(turn, format!("{title} {why}, instead of from `{}`", self.upstream.host));
        }
        let why = own.silent.as_deref().unwrap_or("it gave no reason");
        self.wait(turn, format!("{title} {}, and does not answer: {why}", role(own)))
    }

    fn stopped(&self, turn: &Turn<HandoverFacts>, primary: &PgFacts) -> Next {
        let (own, cluster) = (&turn.seen.own, &self.on.own);
        if own.control.is_none() {
            let why = "there is no cluster that could follow: it is to be made anew from a base backup";
            return Next::GiveUp(format!("{}: {why}", cluster.title()));
        }
        if diverged(own, primary) {
            let lags = timeline(primary) <= timeline(own);
            return match &self.on.other {
                // pg_rewind goes by the control file, which shows a new timeline only from a checkpoint on
                Some(there) if lags => once(turn, PgChange::Checkpoint, there),
                _ => once(turn, PgChange::Rewind(self.upstream.clone()), cluster),
            };
        }
        if !own.standby || !self.is_set(own) {
            return once(turn, PgChange::Follow(self.upstream.clone()), cluster);
        }
        if did(turn, &PgChange::Start) {
            let why = own.silent.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            return Next::GiveUp(format!("{} did not start as a standby{why}", cluster.title()));
        }
        let unmask = own.masked.then(|| change(cluster, PgChange::Unmask));
        let changes = unmask.into_iter().chain([change(cluster, PgChange::Start)]).collect();
        Next::Do { changes, expect: Value::Null }
    }

    fn wait(&self, turn: &Turn<HandoverFacts>, why: String) -> Next {
        if over(turn.rested, self.within, turn.late) {
            return Next::GiveUp(format!("{why}, {} later", self.within));
        }
        Next::wait(why, EVERY)
    }

    /// It is set to stream from there.
    fn is_set(&self, own: &PgFacts) -> bool {
        let want = &self.upstream;
        own.upstream.as_ref().is_some_and(|is| {
            self.sources.contains(&is.host) && is.port == want.port && (want.slot.is_none() || is.slot == want.slot)
        })
    }

    fn streams(&self, own: &PgFacts) -> bool {
        own.sql.as_ref().and_then(|sql| sql.streams_from.as_ref()).is_some_and(|from| self.sources.contains(from))
    }

    /// What was thrown away, by what was seen before anything was done.
    fn outputs(&self, turn: &Turn<HandoverFacts>) -> Value {
        let (own, primary) = (&turn.before.own, turn.before.other.as_ref());
        let rewound = primary.is_some_and(|primary| diverged(own, primary));
        let left = primary.and_then(|primary| left(own, primary).ok().flatten());
        let lost = match (rewound, own.tail.as_ref(), left) {
            (false, ..) => Some(0),
            (true, Some(tail), Some(left)) => Some(tail.end.past(left)),
            (true, ..) => None,
        };
        json!({
            "changed": !turn.did.is_empty(),
            "rewound": rewound,
            "left": left,
            "lost_bytes": lost,
            "last": own.tail.as_ref().filter(|_| rewound).and_then(|tail| tail.last),
            "slot": self.upstream.slot,
        })
    }
}

/// One change, which must show.
fn once(turn: &Turn<HandoverFacts>, what: PgChange, of: &Cluster) -> Next {
    if did(turn, &what) {
        return Next::GiveUp(format!("{}: {} had no effect", of.title(), word(&what)));
    }
    Next::act(change(of, what), Value::Null)
}

/// Where the new primary left the timeline that this one is on; none: it is on it still.
fn left(own: &PgFacts, primary: &PgFacts) -> Result<Option<Lsn>, String> {
    let mine = timeline(own);
    if let Some(branch) = primary.history.iter().find(|branch| branch.timeline == mine) {
        return Ok(Some(branch.left));
    }
    let newest = primary.history.last().map_or(0, |branch| branch.timeline + 1).max(timeline(primary));
    if mine > newest {
        return Err(format!(
            "is on timeline {mine}, which the new primary on {newest} knows nothing of: it was promoted itself, and is to be made anew from a base backup"
        ));
    }
    Ok(None)
}

/// It has log that the new primary does not have: as a standby it would not start with that.
fn diverged(own: &PgFacts, primary: &PgFacts) -> bool {
    let Ok(Some(left)) = left(own, primary) else { return false };
    let Some(control) = &own.control else { return false };
    match (&own.tail, control.state) {
        (Some(tail), _) => tail.end > left,
        (None, PgState::ShutDown) => control.checkpoint >= left,
        // a crash leaves more than its control file knows of; what a standby has, its own log tells once it is stopped
        (None, _) => !own.running && !own.standby,
    }
}

fn timeline(facts: &PgFacts) -> u32 {
    facts.control.as_ref().map_or(0, |control| control.timeline)
}

const fn word(change: &PgChange) -> &'static str {
    match change {
        PgChange::Checkpoint => "a checkpoint",
        PgChange::Mask => "masking its unit",
        PgChange::Unmask => "unmasking its unit",
        PgChange::Stop => "its stop",
        PgChange::Start => "its start",
        PgChange::Promote { .. } => "its promotion",
        PgChange::Follow(_) => "making it a standby",
        PgChange::Rewind(_) => "rewinding it",
        PgChange::MakeSlot(_) => "making its slot",
        PgChange::DropSlot(_) => "dropping its stale slot",
    }
}
