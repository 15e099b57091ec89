//! Kinds of things in the world: which reads show one, as what facts. One file a kind.

pub mod app;
pub mod backend;
pub mod client;
pub mod command;
pub mod consumer;
pub mod endpoint;
pub mod file;
pub mod group;
pub mod jobs;
pub mod pair;
pub mod patroni;
pub mod postgres;
pub mod proving;
pub mod record;
pub mod unit;

pub use app::{App, AppFacts, HealthFacts};
pub use backend::BackendServer;
pub use client::Sight;
pub use command::{NoFacts, Nothing, Saying, WorkFacts, Workplace};
pub use consumer::{Consumer, ConsumerFacts};
pub use endpoint::{Endpoint, Port};
pub use file::File;
pub use group::{Group, GroupFacts, Member};
pub use jobs::{Jobs, JobsFacts};
pub use pair::{Pair, Staging, StagingFacts};
pub use patroni::{PatroniCluster, PatroniFacts};
pub use postgres::{Cluster, Handover, HandoverFacts};
pub use proving::{Proof, Proving, ProvingFacts};
pub use record::{Record, SetFacts};
pub use unit::Unit;

use crate::base::{Answer, At, HostName, Lock, Place, Read};
use serde::{Serialize, de::DeserializeOwned};

/// A thing in the world: a unit, a file, an endpoint, a server of a backend.
pub trait Resource {
    /// Its state. Facts are journaled: those seen before the first act are what an undo goes back to.
    type Facts: Clone + PartialEq + Serialize + DeserializeOwned;

    /// Its own name, locked exclusively by who changes it.
    fn lock(&self) -> Lock;
    /// What it is part of (backend, app, host), locked shared.
    fn parents(&self) -> Vec<Lock>;
    /// What shows its state; batched with others into one probe a host.
    fn reads(&self) -> Vec<At<Read>>;
    /// The facts that the answers to [`reads`](Self::reads) show, in the same order.
    ///
    /// # Errors
    /// [`ReadError::Open`] where no plan can know an answer, [`ReadError::Bad`] where one could not be had.
    fn facts(&self, answers: &mut Answers) -> Result<Self::Facts, ReadError>;
    /// A host that may be out of reach: there is no waiting for it, and its reads are then answered with
    /// [`Answer::Bad`].
    fn spares(&self) -> Option<&HostName> {
        None
    }
    /// The facts without what no undo can bring back: process ids, sessions, health.
    #[must_use]
    fn lasting(facts: Self::Facts) -> Self::Facts {
        facts
    }
}

/// Answers in the order of their reads. A resource made of others hands it on.
pub struct Answers(std::vec::IntoIter<Answer>);

impl Answers {
    /// Starts at the first answer.
    pub fn new(answers: Vec<Answer>) -> Self {
        Self(answers.into_iter())
    }
    /// The next answer, if it is of the kind that `pick` takes.
    ///
    /// # Errors
    /// As [`Resource::facts`].
    pub fn take<T>(&mut self, pick: impl FnOnce(Answer) -> Option<T>) -> Result<T, ReadError> {
        match self.0.next() {
            Some(Answer::Open) => Err(ReadError::Open),
            Some(Answer::Bad(why)) => Err(ReadError::Bad(why)),
            answer => answer.and_then(pick).ok_or_else(|| ReadError::Bad("an answer of another kind came back".into())),
        }
    }
}

/// The name of a place's host, as a lock.
pub fn host_lock(at: &Place) -> Lock {
    Lock(at.to_string())
}

/// Why there are no facts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It lies behind something that has no model: what depends on it is conditional.
    #[error("not known before the run")]
    Open,
    /// It could not be read.
    #[error("{0}")]
    Bad(String),
}
