//! A service as its client sees it.

use super::{Answers, ReadError, Resource};
use crate::base::{Answer, At, ClientAsk, ClientFacts, Lock, Place, Read};
use serde::{Deserialize, Serialize};

/// A service, asked from here as its clients ask it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sight(pub ClientAsk);

impl Resource for Sight {
    type Facts = ClientFacts;
    fn lock(&self) -> Lock {
        Lock(format!("client of {}", self.0.service))
    }
    fn parents(&self) -> Vec<Lock> {
        vec![]
    }
    fn reads(&self) -> Vec<At<Read>> {
        vec![Place::HERE.at(Read::Client(self.0.clone()))]
    }
    fn facts(&self, answers: &mut Answers) -> Result<ClientFacts, ReadError> {
        answers.take(|a| if let Answer::Client(facts) = a { Some(*facts) } else { None })
    }
    /// What was seen stays seen.
    fn lasting(_: ClientFacts) -> ClientFacts {
        ClientFacts::default()
    }
}
