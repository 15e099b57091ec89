//! Carries reads and changes out, and nothing else does. `ssh`, `local` and `simulated` stand behind one trait and pass
//! one conformance suite.

mod berths;
mod client;
pub mod fleet;
pub(crate) mod haproxy;
mod here;
mod http;
mod local;
pub(crate) mod mail;
mod master;
mod native;
pub mod orders;
mod patroni;
pub mod projected;
pub(crate) mod remote;
pub mod shell;
pub mod simulated;
mod ssh;
pub mod vault;

#[cfg(test)]
mod conformance;

use crate::base::{Act, Answer, At, Change, HostName, Place, Read, Receipt, RunId};
pub use projected::Projected;
pub use simulated::{Fault, Links, Serving, Simulated};
use std::{collections::BTreeSet, future::Future, pin::Pin, time::Duration};

/// A future that may be sent, in a box: what a trait object can answer with.
pub type Fut<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The way to hosts, and to this process itself (a place without a host).
///
/// Contract: a read changes nothing. A change is carried out **at most once per act**: carrying the same act again answers
/// with the receipt of the first time, waits for its end if it is still running, and never does it a second time. An act
/// that was announced under another boot of its host is [`Outcome::Unknown`](crate::base::Outcome::Unknown).
/// [`Lost`] means that the host cannot be spoken to now; it says nothing of what an act did.
pub trait Transport: Send + Sync {
    /// Answers all reads of one host by one probe, in their order, with the boot of that host.
    fn look<'a>(&'a self, host: Option<&'a HostName>, reads: &'a [At<Read>]) -> Fut<'a, Result<Look, Lost>>;

    /// Makes a place ready to keep the receipts of a run, and names its boot and the folder of receipts in one word. Called
    /// before the first act there is announced under that word. An act announced under another word (a reboot, a folder
    /// that was taken away and made anew) is unknown, and never done again. From here (a place without a host) the word
    /// names this process.
    fn open<'a>(&'a self, run: &'a RunId, at: &'a Place) -> Fut<'a, Result<String, Lost>>;

    /// Carries a change out, or answers what became of it.
    fn carry<'a>(&'a self, act: &'a Act, change: &'a At<Change>, terms: Terms) -> Fut<'a, Result<Receipt, Lost>>;

    /// What became of an act, without doing it: where it never began it is seen to that it never will.
    fn settle<'a>(&'a self, act: &'a Act, change: &'a At<Change>, terms: Terms) -> Fut<'a, Result<Settled, Lost>>;

    /// Ends what an act left running, with its whole process group. True when it was seen to be gone.
    fn cancel<'a>(&'a self, act: &'a Act, at: &'a Place) -> Fut<'a, Result<bool, Lost>>;

    /// The first `cap` bytes of a file; none: it is not there. For diffs.
    fn fetch<'a>(&'a self, at: &'a Place, path: &'a str, cap: usize) -> Fut<'a, Result<Option<Vec<u8>>, Lost>>;

    /// Takes the receipts of a run away that is over, from the hosts that it acted on and wherever this process has opened
    /// them: what commands wrote lies beside them, unredacted. A host that is silent now keeps them until they are a month
    /// old.
    fn forget<'a>(&'a self, run: &'a RunId, acted_on: &'a BTreeSet<HostName>) -> Fut<'a, ()> {
        let _ = (run, acted_on);
        Box::pin(async {})
    }

    /// It is the simulated world of a rehearsal: what no plan can know is taken to be well.
    fn supposes(&self) -> bool {
        false
    }

    /// Ends all connections.
    fn close(&self) -> Fut<'_, ()>;
}

/// What a probe brought back.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// Names the boot of the host: another one after each reboot.
    pub boot: String,
    /// One a read, in the same order.
    pub answers: Vec<Answer>,
}

/// How long, and what then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The act's deadline from its start on the host.
    pub within: Duration,
    /// Past the deadline it may be ended (and seen to be gone); else it is left alone and called unknown.
    pub interruptible: bool,
}

/// What [`Transport::settle`] found.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    /// It never began, and never will.
    Never,
    /// It was carried out, well or not, or nobody knows.
    Was(Receipt),
}

/// A host that cannot be spoken to now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not reach {}: {why}", host.as_ref().map_or_else(|| "this machine".to_owned(), |h| format!("`{h}`")))]
pub struct Lost {
    /// The host.
    pub host: Option<HostName>,
    /// What the way there said: ssh's own text, the system's error.
    pub why: String,
    /// What kind of loss it is.
    pub kind: LostKind,
}

impl Lost {
    /// Whether something there said no at once, instead of being silent: ssh's own words.
    pub fn is_refused(&self) -> bool {
        self.why.to_lowercase().contains("connection refused")
    }
}

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostKind {
    /// No answer, refused, reset, timed out: it may come back.
    Unreachable,
    /// The host's key is unknown or another one: nothing was said to it.
    HostKey,
    /// It does not let this user in.
    Denied,
    /// svcops was told to stop.
    Cancelled,
}
