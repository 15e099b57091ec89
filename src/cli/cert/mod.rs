//! `svcops cert`: certificates where they are served and where they lie.

mod ca;
mod check;
mod draw;
mod forms;
mod inspect;
mod list;
mod renew;
mod renewals;
mod secrets;
mod targets;

use super::{Face, exit::ExitCode, words::Failure};
use ca::Ca;
use check::Check;
use inspect::Inspect;
use list::List;
use renew::{Import, Renew};

/// `cert …`.
#[derive(Debug, clap::Subcommand)]
pub enum Cert {
    /// Look at certificates where they are served, or at files of them, and say what is wrong
    #[command(after_help = check::EXAMPLES)]
    Check(Check),
    /// Tell all that a certificate, a chain, a request or a revocation list says
    #[command(after_help = inspect::EXAMPLES)]
    Inspect(Inspect),
    /// What is declared, where it is, until when it lasts, and when it was renewed last
    #[command(after_help = list::EXAMPLES)]
    List(List),
    /// Renew what is due: new keys and certificates on their hosts, switched node by node, and seen to be served
    #[command(after_help = renew::RENEW)]
    Renew(Renew),
    /// Take what people answered to a request, check it, and put it in place
    #[command(after_help = renew::IMPORT)]
    Import(Import),
    /// Own authorities: make one, see what it gave, take back, change its root
    #[command(
        subcommand,
        disable_help_subcommand = true,
        after_help = "Examples:
  svcops cert ca create house
  svcops cert ca show house"
    )]
    Ca(Ca),
}

impl Face {
    pub(super) fn cert(&self, of: &Cert) -> Result<ExitCode, Failure> {
        match of {
            Cert::Check(args) => self.cert_check(args),
            Cert::Inspect(args) => self.cert_inspect(args),
            Cert::List(args) => self.cert_list(args),
            Cert::Renew(args) => self.cert_renew(args),
            Cert::Import(args) => self.cert_import(args),
            Cert::Ca(of) => self.cert_ca(of),
        }
    }
}
