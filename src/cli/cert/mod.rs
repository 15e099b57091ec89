//! `svcops cert`: certificates where they are served and where they lie.

mod check;
mod draw;

use super::{Face, exit::ExitCode, words::Failure};
use check::Check;

/// `cert …`.
#[derive(Debug, clap::Subcommand)]
pub enum Cert {
    /// Look at certificates where they are served, or at files of them, and say what is wrong
    #[command(after_help = check::EXAMPLES)]
    Check(Check),
}

impl Face {
    pub(super) fn cert(&self, of: &Cert) -> Result<ExitCode, Failure> {
        match of {
            Cert::Check(args) => self.cert_check(args),
        }
    }
}
