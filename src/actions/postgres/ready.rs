//! `postgres.ready`: whether a standby could take over now. Every reason against it is told at once.

use super::{
    Action, Next, Refusal, Target, Traits, Turn, address, bytes, cluster_on, find, other_host, over, strangers,
};
use crate::{
    actions::args,
    base::{Lsn, PgDepth, PgFacts, PgSql, PgStandby, Place, Span},
    inventory::{Database, Host, Rpo},
    resources::{Cluster, Handover, HandoverFacts, postgres::role},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// What `postgres.ready` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::actions) struct ReadyArgs {
    /// The database, by its name in svcops.yaml
    database: String,
    /// The host of the present primary
    from: String,
    /// How far it may be behind: bytes of the log such as 16MB, or a span of time such as 5s; 0B unless given. What is in
    /// flight at this moment is not behind
    #[schemars(extend("default" = "0B"))]
    rpo: Option<String>,
    /// The present primary is out of reach: it is not asked, and what is known of the log is told
    #[serde(default)]
    lost: bool,
    /// How long what can pass by itself may take to, such as a lag; 10s unless given
    #[schemars(extend("default" = "10s"))]
    within: Option<Span>,
}

const WITHIN: Span = Span::secs(10);
const EVERY: Duration = Duration::from_millis(250);
/// What was written before the first look has arrived within this time, or there is a lag.
const FLIGHT: Duration = Duration::from_secs(2);
/// Less free room than this is too little to go on as a primary: sixteen segments of the log.
const ROOM: u64 = 256 << 20;

/// `postgres.ready`.
#[derive(Serialize, Deserialize)]
pub(in crate::actions) struct Ready {
    on: Handover,
    /// The primary's host.
    from: String,
    /// What a standby may call the primary's host.
    sources: Vec<String>,
    /// What the primary may call the standby.
    names: Vec<String>,
    rpo: Rpo,
    /// The slot that the standby needs on the primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slot: Option<String>,
    /// Commits wait for a standby.
    #[serde(default)]
    sync: bool,
    /// A standby asks for a password.
    #[serde(default)]
    password: bool,
    within: Span,
}

impl Action for Ready {
    const NAME: &'static str = "postgres.ready";
    const ABOUT: &'static str = "Checks that a standby can take over: it streams from that very primary, lags no more than is allowed, has room";
    const EXAMPLE: &'static str = "- name: Can it take over?
  postgres.ready: {database: crm-db, from: dc1-db1, rpo: 0B}";
    const TRAITS: Traits = Traits::LOOKS;
    type Args = ReadyArgs;
    type On = Handover;
    fn bind(args: ReadyArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        let database = find(&args.database, target)?;
        let from = other_host("from", &args.from, database, target)?;
        let rpo = args.rpo.map(|rpo| args::plain("rpo", rpo)).transpose()?;
        let rpo = rpo.map_or(Ok(Rpo::Bytes(0)), |rpo| rpo.parse()).map_err(|e| Refusal::of("rpo", format!("{e}")))?;
        let own = cluster_on(database, &target.host.name, PgDepth::Whole, target);
        let other = (!args.lost).then(|| cluster_on(database, &from.name, PgDepth::Whole, target));
        let on = Handover { own, other, peer: Some((address(from), database.spot.port)), loose: false };
        Ok(Self { within: args.within.unwrap_or(WITHIN), ..Self::of(database, on, from, target.host, rpo) })
    }
    fn on(&self) -> &Handover {
        &self.on
    }
    fn next(&self, turn: &Turn<HandoverFacts>) -> Next {
        let mut against = Against::default();
        self.judge(turn, &mut against);
        if against.all.is_empty() {
            return Next::Done { outputs: outputs(&turn.seen) };
        }
        let title = format!("{} cannot take over from `{}`", self.on.own.title(), self.from);
        let why = match against.all.as_slice() {
            [one] => format!("{title}: {one}"),
            many => format!("{title}:\n  - {}", many.join("\n  - ")),
        };
        if against.lasts || over(turn.elapsed, self.within, turn.late) {
            return Next::GiveUp(why);
        }
        Next::wait(against.all.first().cloned().unwrap_or(why), EVERY)
    }
    fn undo(&self, _: &Turn<HandoverFacts>) -> Next {
        Next::done()
    }
}

/// What speaks against it.
#[derive(Default)]
struct Against {
    all: Vec<String>,
    /// Some of it does not pass by itself.
    lasts: bool,
}

impl Against {
    fn passes(&mut self, why: impl Into<String>) {
        self.all.push(why.into());
    }
    fn lasts(&mut self, why: impl Into<String>) {
        self.lasts = true;
        self.all.push(why.into());
    }
}

/// What speaks against a switch of a database from one host to another, by what was seen of both a moment ago: the words of
/// `postgres.ready`, for who only looks. None: it would pass.
pub fn against(database: &Database, from: (&Host, &PgFacts), to: (&Host, &PgFacts), rpo: Rpo) -> Vec<String> {
    let cluster =
        |host: &Host| Cluster { at: Place::on(&host.name), spot: database.spot.clone(), depth: PgDepth::Whole };
    let on = Handover { own: cluster(to.0), other: Some(cluster(from.0)), peer: None, loose: false };
    let seen = HandoverFacts { own: to.1.clone(), other: Some(from.1.clone()), ..HandoverFacts::default() };
    let turn = Turn {
        before: seen.clone(),
        seen,
        after: None,
        did: Vec::new(),
        last: None,
        elapsed: Duration::ZERO,
        rested: Duration::ZERO,
        late: true,
    };
    let mut against = Against::default();
    Ready::of(database, on, from.0, to.0, rpo).judge(&turn, &mut against);
    against.all
}

impl Ready {
    /// For a standby on `host` and a primary on `from`.
    fn of(database: &Database, on: Handover, from: &Host, host: &Host, rpo: Rpo) -> Self {
        let (replication, slot) = (&database.replication, Database::slot(&host.name));
        Self {
            on,
            from: from.name.as_str().to_owned(),
            sources: vec![address(from), from.name.as_str().to_owned()],
            names: vec![address(host), host.name.as_str().to_owned(), slot.clone()],
            rpo,
            // Patroni sees to its slots itself
            slot: (replication.slots && database.patroni.is_none()).then_some(slot),
            sync: replication.sync,
            password: replication.password.is_some() && database.patroni.is_none(),
            within: WITHIN,
        }
    }
    fn judge(&self, turn: &Turn<HandoverFacts>, against: &mut Against) {
        let own = &turn.seen.own;
        if !own.running {
            return against.lasts(format!("it {}", role(own)));
        }
        if own.masked {
            against.lasts("its unit is masked: nothing would start it after a boot");
        }
        if let Some(free) = own.free.filter(|free| *free < ROOM) {
            let (has, needs) = (free >> 20, ROOM >> 20);
            against.lasts(format!("its disk has {has} MiB of room, a primary needs {needs} MiB to go on"));
        }
        let Some(sql) = &own.sql else {
            let why = own.silent.as_deref().unwrap_or("it gave no reason");
            return against.passes(format!("it does not answer: {why}"));
        };
        if !sql.recovery {
            return against.lasts("it is no standby: it accepts writes itself");
        }
        if sql.paused {
            against
                .lasts("its replay is paused, and a promotion would wait: `SELECT pg_wal_replay_resume()` ends that");
        }
        if let Some(other) = &turn.seen.other {
            self.judge_both(turn, (own, sql), other, against);
        }
    }

    fn judge_both(
        &self,
        turn: &Turn<HandoverFacts>,
        (own, sql): (&PgFacts, &PgSql),
        other: &PgFacts,
        against: &mut Against,
    ) {
        let from = &self.from;
        if let Some(why) = strangers(&self.on, &turn.seen) {
            return against.lasts(why);
        }
        if own.version != other.version {
            against.lasts(format!("it is PostgreSQL {}, and `{from}` has {}", own.version, other.version));
        }
        let Some(primary) = other.sql.as_ref().filter(|_| other.running) else {
            let why = other.silent.as_ref().map(|why| format!(", and does not answer: {why}")).unwrap_or_default();
            let why = format!("`{from}` {}{why}", role(other));
            return if other.running { against.passes(why) } else { against.lasts(why) };
        };
        if primary.recovery {
            return against.lasts(format!("`{from}` is a standby itself"));
        }
        if self.password && !other.passfile {
            against.lasts(format!(
                "`{from}` could not follow it later, for the file with the password of replication is not there: `svcops failover prepare` puts it there"
            ));
        }
        if let Some(slot) = self.slot.as_ref().filter(|slot| !primary.slots.iter().any(|one| one.name == **slot)) {
            against.lasts(format!("`{from}` has no slot `{slot}` for it, and may drop log that it still needs"));
        }
        let seen_as = primary.standbys.iter().find(|standby| self.is_it(standby));
        match &sql.streams_from {
            None => return against.passes(format!("it does not stream from `{from}`")),
            Some(source) if !self.sources.contains(source) && seen_as.is_none() => {
                return against.lasts(format!("it streams from `{source}`, not from `{from}`"));
            }
            Some(_) => {}
        }
        if self.sync && !primary.standbys.iter().any(|one| self.is_it(one) && one.sync && one.state == "streaming") {
            against.passes(format!("commits on `{from}` do not wait for it, and they are declared to"));
        }
        let lag = lag(primary, sql);
        if !self.rpo.allows(lag, sql.delay) && !in_flight(turn, sql) {
            let time = sql.delay.map(|delay| format!(" ({delay})")).unwrap_or_default();
            against.passes(format!("it is {}{time} behind, and {} is allowed", bytes(lag), self.rpo));
        }
    }

    fn is_it(&self, standby: &PgStandby) -> bool {
        self.names.contains(&standby.address) || self.names.contains(&standby.name)
    }
}

fn outputs(seen: &HandoverFacts) -> Value {
    let sql = seen.own.sql.as_ref();
    let primary = seen.other.as_ref().and_then(|other| other.sql.as_ref());
    json!({
        "lag_bytes": primary.zip(sql).map(|(primary, sql)| lag(primary, sql)),
        "received": sql.and_then(|sql| sql.received),
        "replayed": sql.and_then(|sql| sql.replayed),
        "unplayed_bytes": sql.map(|sql| sql.received.unwrap_or_default().past(sql.replayed.unwrap_or_default())),
        "delay": sql.and_then(|sql| sql.delay),
        "last": sql.and_then(|sql| sql.last),
        "timeline": seen.own.control.as_ref().map(|control| control.timeline),
        "peer": seen.own.peer,
    })
}

/// How much the primary has written that the standby has not received.
fn lag(primary: &PgSql, standby: &PgSql) -> u64 {
    primary.written.unwrap_or_default().past(standby.received.unwrap_or_default())
}

/// All that the primary had written at the first look has arrived since: who is busy always has some bytes under way.
fn in_flight(turn: &Turn<HandoverFacts>, sql: &PgSql) -> bool {
    let written = |facts: &HandoverFacts| -> Option<Lsn> { facts.other.as_ref()?.sql.as_ref()?.written };
    turn.elapsed <= FLIGHT
        && turn.elapsed > Duration::ZERO
        && written(&turn.before).is_some_and(|first| sql.received.is_some_and(|received| received >= first))
}
