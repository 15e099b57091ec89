//! PostgreSQL clusters: one, and one beside the other that it hands over to or takes over from.

use super::{Answers, ReadError, Resource, host_lock};
use crate::base::{Answer, At, HostName, Lock, PgAsk, PgDepth, PgFacts, PgPeer, PgSpot, PgState, Place, Read};
use serde::{Deserialize, Serialize};

/// A PostgreSQL cluster on a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// Its host, and who acts there.
    pub at: Place,
    /// Where it lies there.
    pub spot: PgSpot,
    /// How much of it is looked at.
    pub depth: PgDepth,
}

impl Cluster {
    /// What it is called in sentences.
    pub fn title(&self) -> String {
        format!("`{}` on `{}`", self.spot.database, self.at)
    }
    fn asks(&self, peer: Option<(String, u16)>) -> At<Read> {
        self.at.at(Read::Postgres(PgAsk { spot: self.spot.clone(), depth: self.depth, peer }))
    }
}

fn seen(answers: &mut Answers) -> Result<PgFacts, ReadError> {
    answers.take(|a| if let Answer::Postgres(facts) = a { Some(*facts) } else { None })
}

impl Resource for Cluster {
    type Facts = PgFacts;
    fn lock(&self) -> Lock {
        Lock(format!("{}/postgres/{}", self.at, self.spot.database))
    }
    fn parents(&self) -> Vec<Lock> {
        vec![host_lock(&self.at)]
    }
    fn reads(&self) -> Vec<At<Read>> {
        vec![self.asks(None)]
    }
    fn facts(&self, answers: &mut Answers) -> Result<PgFacts, ReadError> {
        seen(answers)
    }
    /// What an undo can bring back: positions in the log, slots and lag go their own way.
    fn lasting(facts: PgFacts) -> PgFacts {
        PgFacts {
            running: facts.running,
            masked: facts.masked,
            standby: facts.standby,
            upstream: facts.upstream,
            ..PgFacts::default()
        }
    }
}

/// A cluster that is changed, and the one at the other site that says whether that is right. Both are seen by one look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Handover {
    /// The one that is changed.
    pub own: Cluster,
    /// The other one; none: it is not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<Cluster>,
    /// The address and the port of the other one, where it is to be seen from the host of the first one as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<(String, u16)>,
    /// The other host may be out of reach: what was done counts without it.
    #[serde(default)]
    pub loose: bool,
}

/// What is seen of both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HandoverFacts {
    /// The one that is changed.
    pub own: PgFacts,
    /// The other one; none: it was not asked, or not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<PgFacts>,
    /// Why it was not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<String>,
}

impl HandoverFacts {
    /// The port of the other one refuses, as seen from the host of the first one.
    pub fn is_refused(&self) -> bool {
        self.own.peer == Some(PgPeer::Silent)
    }
}

impl Resource for Handover {
    type Facts = HandoverFacts;
    fn lock(&self) -> Lock {
        self.own.lock()
    }
    fn parents(&self) -> Vec<Lock> {
        let other = self.other.as_ref().map(|other| [other.lock(), host_lock(&other.at)]);
        self.own.parents().into_iter().chain(other.into_iter().flatten()).collect()
    }
    fn reads(&self) -> Vec<At<Read>> {
        std::iter::once(self.own.asks(self.peer.clone()))
            .chain(self.other.iter().map(|other| other.asks(None)))
            .collect()
    }
    fn facts(&self, answers: &mut Answers) -> Result<HandoverFacts, ReadError> {
        let own = seen(answers)?;
        let (other, unseen) = match self.other.as_ref().map(|_| seen(answers)) {
            None => (None, None),
            Some(Ok(facts)) => (Some(facts), None),
            Some(Err(ReadError::Bad(why))) if self.loose => (None, Some(why)),
            Some(Err(error)) => return Err(error),
        };
        Ok(HandoverFacts { own, other, unseen })
    }
    /// What the other one is, is its own business.
    fn lasting(facts: HandoverFacts) -> HandoverFacts {
        HandoverFacts { own: Cluster::lasting(facts.own), other: None, unseen: None }
    }
    fn spares(&self) -> Option<&HostName> {
        self.other.as_ref().filter(|_| self.loose).and_then(|other| other.at.host.as_ref())
    }
}

/// It accepts writes, or may: it runs, and does not say that it is a standby.
pub fn may_write(facts: &PgFacts) -> bool {
    facts.running && !stands_by(facts)
}

/// It is a standby that nobody has promoted, running or not. By its files alone where it was not asked: a promotion takes
/// the signal away before it ends the recovery, and both before the first write.
pub fn stands_by(facts: &PgFacts) -> bool {
    let recovers = |control: &crate::base::PgControl| {
        matches!(control.state, PgState::InArchiveRecovery | PgState::ShutDownInRecovery)
    };
    match &facts.sql {
        Some(sql) if facts.running => sql.recovery,
        _ => facts.standby && facts.control.as_ref().is_some_and(recovers),
    }
}

/// What it is, in words.
pub fn role(facts: &PgFacts) -> &'static str {
    let state = facts.control.as_ref().map(|control| control.state);
    match (facts.running, state) {
        (true, Some(PgState::ShuttingDown)) => "is shutting down",
        (true, _) if stands_by(facts) => "is a standby",
        (true, _) if facts.is_primary() || state == Some(PgState::InProduction) => "is a primary",
        (true, _) => "runs, and does not say as what",
        (false, Some(PgState::ShutDown | PgState::ShutDownInRecovery)) => "is shut down",
        (false, Some(_)) => "does not run, and did not end cleanly",
        (false, None) => "is not there",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{PgControl, PgSql};

    fn facts(running: bool, standby: bool, state: PgState, recovery: Option<bool>) -> PgFacts {
        PgFacts {
            running,
            standby,
            control: Some(PgControl { state, ..PgControl::default() }),
            sql: recovery.map(|recovery| PgSql { recovery, ..PgSql::default() }),
            ..PgFacts::default()
        }
    }

    #[test]
    fn a_standby_is_known_by_its_word_or_else_by_its_files() {
        use PgState::{InArchiveRecovery, InProduction, ShutDown, ShutDownInRecovery, StartingUp};
        for (facts, stands) in [
            (facts(true, true, InArchiveRecovery, Some(true)), true),
            (facts(true, true, InArchiveRecovery, None), true),
            (facts(false, true, ShutDownInRecovery, None), true),
            // promoted a moment ago: its word counts
            (facts(true, true, InArchiveRecovery, Some(false)), false),
            (facts(true, false, InProduction, None), false),
            (facts(true, false, InArchiveRecovery, None), false),
            (facts(true, true, StartingUp, None), false),
            (facts(false, false, ShutDown, None), false),
            (PgFacts::default(), false),
        ] {
            assert_eq!(stands_by(&facts), stands, "{facts:?}");
            assert_eq!(may_write(&facts), facts.running && !stands, "{facts:?}");
        }
        assert_eq!(role(&facts(false, false, InProduction, None)), "does not run, and did not end cleanly");
    }

    #[test]
    fn the_other_one_may_be_out_of_reach_only_where_that_was_allowed() {
        let spot = PgSpot {
            database: "crm-db".into(),
            unit: "postgresql@15-main.service".into(),
            data: "/var/lib/postgresql/15/main".into(),
            config: None,
            bin: "/usr/lib/postgresql/15/bin".into(),
            port: 5432,
            user: "postgres".into(),
        };
        let at = |name: &str| Place::on(&HostName::new(name));
        let cluster = |name: &str| Cluster { at: at(name), spot: spot.clone(), depth: PgDepth::Files };
        let tied = Handover { own: cluster("a"), other: Some(cluster("b")), peer: None, loose: false };
        let answers = || Answers::new(vec![Answer::Postgres(Box::default()), Answer::Bad("cut".into())]);
        assert_eq!(tied.facts(&mut answers()), Err(ReadError::Bad("cut".into())));
        assert_eq!(tied.spares(), None);
        let loose = Handover { loose: true, ..tied };
        assert_eq!(loose.facts(&mut answers()).unwrap().unseen.as_deref(), Some("cut"));
        assert_eq!(loose.spares(), Some(&HostName::new("b")));
        let locks: Vec<String> = loose.parents().into_iter().map(|lock| lock.0).collect();
        assert_eq!(locks, ["a", "b/postgres/crm-db", "b"]);
    }
}
