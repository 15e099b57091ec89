//! A systemd unit.

use super::{Answers, ReadError, Resource, host_lock};
use crate::base::{Answer, At, Lock, Place, Read, UnitFacts, UnitState};
use serde::{Deserialize, Serialize};

/// A systemd unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    /// Its host.
    pub at: Place,
    /// Its name with its suffix.
    pub name: String,
}

/// Runs, or is about to: what an undo brings back.
pub const fn runs(state: UnitState) -> bool {
    matches!(state, UnitState::Active | UnitState::Reloading | UnitState::Activating)
}

/// Has come to rest without running.
pub const fn rests(state: UnitState) -> bool {
    matches!(state, UnitState::Inactive | UnitState::Failed | UnitState::Maintenance)
}

impl Resource for Unit {
    type Facts = UnitFacts;
    fn lock(&self) -> Lock {
        Lock(format!("{}/unit/{}", self.at, self.name))
    }
    fn parents(&self) -> Vec<Lock> {
        vec![host_lock(&self.at)]
    }
    fn reads(&self) -> Vec<At<Read>> {
        vec![self.at.at(Read::Unit { name: self.name.clone() })]
    }
    fn facts(&self, answers: &mut Answers) -> Result<UnitFacts, ReadError> {
        answers.take(|a| if let Answer::Unit(facts) = a { Some(facts) } else { None })
    }
    fn lasting(facts: UnitFacts) -> UnitFacts {
        let state = if runs(facts.state) { UnitState::Active } else { UnitState::Inactive };
        UnitFacts { loaded: facts.loaded, state, ..UnitFacts::default() }
    }
}
