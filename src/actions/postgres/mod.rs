//! `postgres.*`: whether a standby can take over, and the moves of a handover. Each looks at both sides: what is not known
//! of the other one is never taken for granted.

mod fence;
mod follow;
mod promote;
mod ready;
mod tend;
#[cfg(test)]
mod tests;

pub(super) use fence::{Mask, Stop};
pub(super) use follow::Follow;
pub(super) use promote::Promote;
pub(super) use ready::Ready;
pub use ready::against;
pub(super) use tend::Checkpoint;

use super::{Action, Next, Refusal, Target, Traits, Turn, args};
use crate::{
    base::{At, Change, HostName, PgChange, PgDepth, PgFacts, Span},
    inventory::{Database, Host},
    resources::{Cluster, Handover, HandoverFacts},
};

/// A change of a cluster.
fn change(of: &Cluster, change: PgChange) -> At<Change> {
    of.at.at(Change::Postgres { spot: of.spot.clone(), change })
}

/// This leg did it already.
fn did(turn: &Turn<HandoverFacts>, what: &PgChange) -> bool {
    matches!(&turn.last, Some(At { what: Change::Postgres { change, .. }, .. }) if change == what)
}

/// A database that is declared, with the target's host among its own.
pub(super) fn find<'a>(name: &str, target: &Target<'a>) -> Result<&'a Database, Refusal> {
    let known = &target.inventory.databases;
    let database =
        known.get(name).ok_or_else(|| args::unknown("database", "database", name, known.keys().map(String::as_str)))?;
    lies_on(database, target.host, target)
        .then_some(database)
        .ok_or_else(|| Refusal::of("database", format!("database `{name}` does not lie on `{}`", target.host.name)))
}

/// As [`find`], where svcops itself stops, promotes and makes it follow.
fn find_own<'a>(name: &str, target: &Target<'a>) -> Result<&'a Database, Refusal> {
    let database = find(name, target)?;
    if database.patroni.is_some() {
        let why = format!("Patroni manages database `{name}` and would undo this: use `patroni.switchover`");
        return Err(Refusal::of("database", why));
    }
    Ok(database)
}

/// Another host of a database.
pub(super) fn other_host<'a>(
    key: &str,
    name: &str,
    database: &Database,
    target: &Target<'a>,
) -> Result<&'a Host, Refusal> {
    let name = args::plain(key, name.to_owned())?;
    let host = target
        .inventory
        .host(&name)
        .filter(|host| lies_on(database, host, target))
        .ok_or_else(|| Refusal::of(key, format!("database `{}` does not lie on `{name}`", database.name)))?;
    if host.name == target.host.name {
        return Err(Refusal::of(key, format!("another host expected than `{name}`, which the step is for")));
    }
    Ok(host)
}

fn lies_on(database: &Database, host: &Host, target: &Target<'_>) -> bool {
    target.inventory.select(&database.hosts).iter().any(|one| one.name == host.name)
}

fn cluster_on(database: &Database, host: &HostName, depth: PgDepth, target: &Target<'_>) -> Cluster {
    Cluster { at: target.place_on(host), spot: database.spot.clone(), depth }
}

/// How others reach a host.
pub(super) fn address(host: &Host) -> String {
    host.address.clone().unwrap_or_else(|| host.name.as_str().to_owned())
}

/// The two have another system identifier: they never were one database.
fn strangers(handover: &Handover, seen: &HandoverFacts) -> Option<String> {
    let other = handover.other.as_ref()?;
    let system = |facts: &PgFacts| facts.control.as_ref().map(|control| control.system.clone());
    let (one, two) = (system(&seen.own)?, system(seen.other.as_ref()?)?);
    (one != two).then(|| {
        format!(
            "{} and {} are two databases: their system identifiers are {one} and {two}",
            handover.own.title(),
            other.title()
        )
    })
}

/// Both accept writes.
fn two_primaries(handover: &Handover, seen: &HandoverFacts) -> Option<String> {
    let (other, facts) = (handover.other.as_ref()?, seen.other.as_ref()?);
    (seen.own.is_primary() && facts.is_primary()).then(|| {
        format!(
            "TWO PRIMARIES: {} and {} both accept writes; stop the one that clients do not use, at once",
            handover.own.title(),
            other.title()
        )
    })
}

/// So many bytes of the log.
fn bytes(count: u64) -> String {
    crate::base::words::count("byte", usize::try_from(count).unwrap_or(usize::MAX))
}

/// Until its deadline, or the step's.
pub(super) fn over(elapsed: std::time::Duration, within: Span, late: bool) -> bool {
    late || elapsed >= within.0
}
