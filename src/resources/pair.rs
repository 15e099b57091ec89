//! A certificate and its key on a host, with what is staged beside them.

use super::{Answers, ReadError, Resource, host_lock};
use crate::base::{Answer, At, Lock, PairFacts, PairSpot, Place, Read, Staged};
use serde::{Deserialize, Serialize};

/// A pair in its place; what lasts of it is what a server would read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Its host, and who acts there.
    pub at: Place,
    /// Where it lies there.
    pub spot: PairSpot,
}

impl Pair {
    /// What it is called in sentences: by the file that its key is in.
    pub fn title(&self) -> String {
        format!("`{}` on `{}`", self.spot.key_file(), self.at)
    }
}

impl Resource for Pair {
    type Facts = PairFacts;
    fn lock(&self) -> Lock {
        Lock(format!("{}/pair{}", self.at, self.spot.key_file()))
    }
    fn parents(&self) -> Vec<Lock> {
        vec![host_lock(&self.at)]
    }
    fn reads(&self) -> Vec<At<Read>> {
        vec![self.at.at(Read::Pair(self.spot.clone()))]
    }
    fn facts(&self, answers: &mut Answers) -> Result<PairFacts, ReadError> {
        answers.take(|a| if let Answer::Pair(facts) = a { Some(*facts) } else { None })
    }
    fn lasting(facts: PairFacts) -> PairFacts {
        PairFacts { staged: Staged::default(), ..facts }
    }
}

/// The same, by what is staged beside it: that is what lasts of it, and what stands in its place is another's business.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Staging(pub Pair);

impl Resource for Staging {
    type Facts = PairFacts;
    fn lock(&self) -> Lock {
        self.0.lock()
    }
    fn parents(&self) -> Vec<Lock> {
        self.0.parents()
    }
    fn reads(&self) -> Vec<At<Read>> {
        self.0.reads()
    }
    fn facts(&self, answers: &mut Answers) -> Result<PairFacts, ReadError> {
        self.0.facts(answers)
    }
    fn lasting(facts: PairFacts) -> PairFacts {
        PairFacts { staged: facts.staged, ..PairFacts::default() }
    }
}
