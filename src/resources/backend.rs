//! A server of an HAProxy backend.

use super::{Answers, ReadError, Resource};
use crate::base::{Answer, At, HaproxyApi, Lock, Place, Read, ServerFacts};
use serde::{Deserialize, Serialize};

/// A server of an HAProxy backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackendServer {
    /// The host of the socket; here for TCP.
    pub at: Place,
    /// The balancer's name in `svcops.yaml`.
    pub balancer: String,
    /// The way to it.
    pub api: HaproxyApi,
    /// The backend.
    pub backend: String,
    /// The server in it.
    pub server: String,
}

impl BackendServer {
    /// What its locks begin with: the balancer's host, or its address.
    fn home(&self) -> String {
        match (&self.at.host, &self.api) {
            (Some(host), _) => host.to_string(),
            (None, HaproxyApi::Tcp(address) | HaproxyApi::Socket(address)) => address.clone(),
        }
    }
}

impl Resource for BackendServer {
    type Facts = ServerFacts;
    fn lock(&self) -> Lock {
        Lock(format!("{}/backend/{}/{}", self.home(), self.backend, self.server))
    }
    fn parents(&self) -> Vec<Lock> {
        vec![Lock(self.home()), Lock(format!("{}/backend/{}", self.home(), self.backend))]
    }
    fn reads(&self) -> Vec<At<Read>> {
        vec![self.at.at(Read::Server {
            api: self.api.clone(),
            backend: self.backend.clone(),
            server: self.server.clone(),
        })]
    }
    fn facts(&self, answers: &mut Answers) -> Result<ServerFacts, ReadError> {
        answers.take(|a| if let Answer::Server(facts) = a { Some(facts) } else { None })
    }
    fn lasting(facts: ServerFacts) -> ServerFacts {
        ServerFacts { sessions: 0, up: false, ..facts }
    }
}
