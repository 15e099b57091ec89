//! X.509: inspect, scan, issue. Knows no host and no runbook.

mod facts;
mod key;
mod verify;

pub use facts::{BadCertificate, Certificate, Facts, Name, Signature};
pub use key::{BadKey, KeyKind, public_half};
mod fault;
mod names;
mod path;
pub mod pem;
mod trust;
pub use fault::{Fault, Severity, Wrong};
pub use names::{BadName, Wanted};
pub use trust::{BadTrust, Trust};
mod crl;
pub mod dial;
mod judge;
pub use crl::{BadCrl, Crl, Revoked};
pub use judge::{Judgement, Terms, judge};
#[cfg(test)]
mod tests;
