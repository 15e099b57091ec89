//! X.509: what certificates say, how they are served, whether a chain holds. Knows no host and no runbook.

mod crl;
pub mod dial;
mod facts;
mod fault;
mod judge;
mod key;
mod leaf;
mod names;
mod ocsp;
mod path;
pub mod pem;
pub mod pkcs12;
mod request;
#[cfg(test)]
mod tests;
mod trust;
mod verify;

pub use crl::{BadCrl, Crl, Revoked};
pub use facts::{BadCertificate, Certificate, Facts, Name, Signature};
pub use fault::{Fault, Severity, Wrong};
pub use judge::{Judgement, Terms, judge};
pub use key::{BadKey, KeyKind, public_half};
pub use names::{BadName, Wanted};
pub use request::{BadRequest, Request};
pub use trust::{BadTrust, Trust};
