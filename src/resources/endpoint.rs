//! What answers over HTTP, and what accepts on a TCP port.

use super::{Answers, ReadError, Resource};
use crate::base::{Answer, At, HttpAsk, HttpFacts, Lock, Place, Read, Span, TcpFacts};
use serde::{Deserialize, Serialize};

/// An HTTP endpoint, asked in one way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Who asks.
    pub from: Place,
    /// The request.
    pub ask: HttpAsk,
}

impl Resource for Endpoint {
    type Facts = HttpFacts;
    fn lock(&self) -> Lock {
        Lock(self.ask.url.clone())
    }
    fn parents(&self) -> Vec<Lock> {
        vec![]
    }
    fn reads(&self) -> Vec<At<Read>> {
        vec![self.from.at(Read::Http(self.ask.clone()))]
    }
    fn facts(&self, answers: &mut Answers) -> Result<HttpFacts, ReadError> {
        answers.take(|a| if let Answer::Http(facts) = a { Some(facts) } else { None })
    }
    /// Nothing can bring an answer back but what caused it.
    fn lasting(_: HttpFacts) -> HttpFacts {
        HttpFacts::default()
    }
}

/// A TCP port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// Who asks.
    pub from: Place,
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How long one try may take.
    pub within: Span,
}

impl Resource for Port {
    type Facts = TcpFacts;
    fn lock(&self) -> Lock {
        Lock(format!("{}:{}", self.host, self.port))
    }
    fn parents(&self) -> Vec<Lock> {
        vec![]
    }
    fn reads(&self) -> Vec<At<Read>> {
        vec![self.from.at(Read::Tcp { host: self.host.clone(), port: self.port, within: self.within })]
    }
    fn facts(&self, answers: &mut Answers) -> Result<TcpFacts, ReadError> {
        answers.take(|a| if let Answer::Tcp(facts) = a { Some(facts) } else { None })
    }
    fn lasting(_: TcpFacts) -> TcpFacts {
        TcpFacts::default()
    }
}
