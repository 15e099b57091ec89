//! Orders for certificates, in the words of the seam: what is asked of an issuer, how far it is, what is done about it.
//!
//! An issuer is spoken to from here. It has one order a subject (a certificate's place on a host); another request for the
//! same subject takes the earlier one's place. All moves are idempotent by subject and key: carried out again, they find what
//! is there.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Which order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OrderAsk {
    /// The issuer's name in `svcops.yaml`.
    pub issuer: String,
    /// What it is for: `billing-tls@dc1-app1/etc/billing/tls.key`.
    pub subject: String,
}

/// An order as its issuer knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderFacts {
    /// SHA-256 of the public key of the request that it was made with, hexadecimal; none: there is no order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spki: Option<String>,
    /// How far it is.
    pub state: OrderState,
    /// What the issuer wants to see before it gives anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub challenges: Vec<OrderChallenge>,
    /// What it gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<OrderChain>,
    /// The issuer does not answer now, and why; the rest is what is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<String>,
    /// The issuer wants to be left alone for so many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<u64>,
}

/// How far an order is (RFC 8555, 7.1.6).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// There is none.
    #[default]
    None,
    /// The issuer waits for challenges.
    Pending,
    /// All are met: it may be finalized.
    Ready,
    /// The issuer is at it.
    Processing,
    /// The certificate is there.
    Valid,
    /// It will never be, and why.
    Invalid(String),
}

/// How control over a name is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChallengeKind {
    /// A TXT record (RFC 8555, 8.4).
    Dns,
    /// A file that is served (RFC 8555, 8.3).
    Http,
}

/// One challenge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderChallenge {
    /// The name that is to be proven, without `*.`.
    pub name: String,
    /// How.
    pub kind: ChallengeKind,
    /// The record's name, or the token that the file is named by.
    pub place: String,
    /// What is to stand there: public, and worth nothing to anybody else.
    pub value: String,
    /// It was met before.
    pub met: bool,
}

/// What an issuer gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderChain {
    /// The certificate and what links it to a root, as PEM.
    pub pem: String,
    /// Its serial number, hexadecimal, lower case.
    pub serial: String,
    /// SHA-256 of its public key, hexadecimal.
    pub spki: String,
    /// The names and addresses it is for.
    pub names: Vec<String>,
    /// Its last second.
    pub not_after: Timestamp,
    /// Why it must not be put anywhere, if so: held against whom the issuer's certificates are trusted by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrong: Option<String>,
}

/// A move of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderStep {
    /// Which order.
    pub order: OrderAsk,
    /// With which request: PKCS#10 as PEM.
    pub request: String,
    /// SHA-256 of the request's public key, hexadecimal.
    pub spki: String,
    /// The names and addresses that the certificate is to be for, the common name first.
    pub names: Vec<String>,
    /// What is done.
    pub kind: OrderMove,
    /// How its names are proven; none: its issuer believes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<ChallengeKind>,
}

/// The moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderMove {
    /// An own CA signs the request.
    Sign,
    /// An order is made with a server of ACME.
    New,
    /// The server is told that its challenges can be looked at.
    Answer,
    /// The request is handed in.
    Finalize,
}

impl OrderChain {
    /// Whether it answers a request: its key, and just these names.
    pub fn answers(&self, spki: &str, names: &[String]) -> bool {
        let alike = |one: &String, other: &String| one.eq_ignore_ascii_case(other);
        let within = |some: &[String], all: &[String]| some.iter().all(|one| all.iter().any(|other| alike(one, other)));
        self.spki == spki && within(&self.names, names) && within(names, &self.names)
    }
}
