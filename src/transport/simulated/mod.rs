//! A world in memory: one effect a kind of change, one answer a kind of read. It knows no action. A plan is a run on it;
//! a rehearsal is that run with a fault at every act.
//!
//! It supposes that all goes well: what is started becomes healthy, sessions end, a validation holds. What it cannot know
//! it answers with [`Answer::Open`]: what nobody looked at, what an opaque command touched, and answers of a host on which
//! something has changed that are linked to nothing.

mod answer;
#[cfg(test)]
mod differential;
mod effect;
mod links;
#[cfg(test)]
mod tests;
mod world;

pub use links::Links;

use super::{Fut, Look, Lost, LostKind, Settled, Terms, Transport};
use crate::base::{Act, Answer, At, Change, Hash, HostName, Outcome, Place, Read, Receipt, RunId};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use world::World;

/// The world in memory, shared by concurrent tasks. Its time is the runtime's own.
pub struct Simulated(Mutex<World>);

/// What goes wrong with an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It is refused; nothing happens.
    Refused,
    /// It fails before it has an effect.
    FailedBefore,
    /// It fails after its effect.
    FailedAfter,
    /// Contact is lost before it begins.
    LostBefore,
    /// Contact is lost after it was done.
    LostAfter,
    /// It says that it went well, and had no effect.
    NoEffect,
    /// What it starts never becomes healthy.
    Sick,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Refused,
        Self::FailedBefore,
        Self::FailedAfter,
        Self::LostBefore,
        Self::LostAfter,
        Self::NoEffect,
        Self::Sick,
    ];
}

impl Clone for Simulated {
    /// A second world in the same state, for another rehearsal.
    fn clone(&self) -> Self {
        Self(Mutex::new(self.world().clone()))
    }
}

impl Simulated {
    /// A world in which nothing was looked at yet.
    pub fn new(links: Links) -> Self {
        Self(Mutex::new(World::new(links)))
    }
    /// Takes over what was seen elsewhere, unless it is known already: this is where a plan starts.
    pub fn learn(&self, read: &At<Read>, answer: &Answer) {
        self.world().learn(read, answer);
    }
    /// Whether a look at the real world could tell what this one does not know.
    pub fn lacks(&self, read: &At<Read>) -> bool {
        self.world().lacks(read)
    }
    /// What it answers now.
    pub fn answer(&self, read: &At<Read>) -> Answer {
        self.world().answer(read)
    }
    /// Whether a file was written or taken away here.
    pub fn has_written(&self, at: &Place, path: &str) -> bool {
        at.host.as_ref().is_some_and(|host| self.world().written.contains_key(&(host.clone(), path.to_owned())))
    }
    /// From now on the `act`-th act (from 0) goes wrong so.
    pub fn fault(&self, act: usize, fault: Fault) {
        self.world().faults.insert(act, fault);
    }
    /// How long a host is silent after [`Fault::LostBefore`] and [`Fault::LostAfter`]; 20 s unless said.
    pub fn silent_for(&self, time: Duration) {
        self.world().silent_for = time;
    }
    /// All hosts can be spoken to again.
    pub fn heal(&self) {
        self.world().silent.clear();
    }
    /// A host cannot be spoken to until [`heal`](Self::heal).
    pub fn cut(&self, host: &HostName) {
        self.world().silent.insert(Some(host.clone()), None);
    }
    /// A host starts anew: its receipts are gone, its units run as before.
    pub fn reboot(&self, host: &HostName) {
        self.world().reboot(host);
    }
    /// An app that reads this content at its start does not start.
    pub fn breaks(&self, content: &Hash) {
        self.world().breaking.insert(content.clone());
    }
    /// An app that reads this content at its start never becomes healthy.
    pub fn sickens(&self, content: &Hash) {
        self.world().sickening.insert(content.clone());
    }
    /// The sessions of this server do not end by themselves.
    pub fn holds_sessions(&self, backend: &str, server: &str) {
        self.world().hold_sessions(backend, server);
    }
    /// From now on fewer healthy hosts at a site than `rolling.min_healthy` says count as harm.
    pub fn promise_quorum(&self) {
        self.world().promised = true;
    }
    /// Somebody else's change: it has its effect, and is no act of the run.
    pub fn meddle(&self, change: &At<Change>) -> Result<(), String> {
        self.world().effect(change).map(|_| ())
    }
    /// How many acts were carried out.
    pub fn acts(&self) -> usize {
        self.world().acts
    }
    /// The changes that had an effect, in order.
    pub fn done(&self) -> Vec<At<Change>> {
        self.world().done.clone()
    }
    /// What must not happen, not even on the way, and did.
    pub fn harm(&self) -> Vec<String> {
        self.world().harm.clone()
    }
    /// What lasts, for comparing ends: no process ids, no times, no sessions; but what each unit has really loaded.
    pub fn standing(&self) -> BTreeMap<String, String> {
        self.world().standing()
    }
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for Simulated {
    fn look<'a>(&'a self, host: Option<&'a HostName>, reads: &'a [At<Read>]) -> Fut<'a, Result<Look, Lost>> {
        Box::pin(async move {
            let world = self.world();
            world.reach(host)?;
            Ok(Look { boot: world.boot(host), answers: reads.iter().map(|r| world.answer(r)).collect() })
        })
    }
    fn open<'a>(&'a self, _: &'a RunId, at: &'a Place) -> Fut<'a, Result<String, Lost>> {
        Box::pin(async move {
            let world = self.world();
            world.reach(at.host.as_ref())?;
            Ok(world.boot(at.host.as_ref()))
        })
    }
    fn carry<'a>(&'a self, act: &'a Act, change: &'a At<Change>, _: Terms) -> Fut<'a, Result<Receipt, Lost>> {
        Box::pin(async move { self.world().carry(act, change) })
    }
    fn settle<'a>(&'a self, act: &'a Act, change: &'a At<Change>, _: Terms) -> Fut<'a, Result<Settled, Lost>> {
        Box::pin(async move {
            let mut world = self.world();
            let host = change.at.host.as_ref();
            world.reach(host)?;
            if let Some((_, receipt)) = world.receipts.get(act) {
                return Ok(Settled::Was(receipt.clone()));
            }
            if act.boot != world.boot(host) {
                return Ok(Settled::Was(Receipt::of(rebooted())));
            }
            let never = Receipt::of(Outcome::Refused("it was seen to that it never begins".into()));
            world.receipts.insert(act.clone(), (host.cloned(), never));
            Ok(Settled::Never)
        })
    }
    fn cancel<'a>(&'a self, _: &'a Act, at: &'a Place) -> Fut<'a, Result<bool, Lost>> {
        Box::pin(async move { self.world().reach(at.host.as_ref()).map(|()| true) })
    }
    fn fetch<'a>(&'a self, at: &'a Place, path: &'a str, cap: usize) -> Fut<'a, Result<Option<Vec<u8>>, Lost>> {
        Box::pin(async move {
            let world = self.world();
            world.reach(at.host.as_ref())?;
            Ok(world.bytes(at, path).map(|mut bytes| {
                bytes.truncate(cap);
                bytes
            }))
        })
    }
    fn close(&self) -> Fut<'_, ()> {
        Box::pin(async {})
    }
}

fn rebooted() -> Outcome {
    Outcome::Unknown("the host has started anew since".into())
}

fn silent(host: Option<&HostName>) -> Lost {
    Lost { host: host.cloned(), why: "it does not answer".into(), kind: LostKind::Unreachable }
}
