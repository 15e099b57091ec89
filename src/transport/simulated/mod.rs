//! A world in memory: one effect a kind of change, one answer a kind of read. It knows no action. A plan is a run on it;
//! a rehearsal is that run with a fault at every act.
//!
//! It supposes that all goes well: what is started becomes healthy, sessions end, a validation holds. What it cannot know
//! it answers with [`Answer::Open`]: what nobody looked at, what an opaque command touched, and answers of a host on which
//! something has changed that are linked to nothing.

mod answer;
pub mod certs;
mod client;
#[cfg(test)]
mod cluster_tests;
#[cfg(test)]
mod differential;
mod effect;
mod fault;
mod links;
mod orders;
mod patroni;
mod postgres;
mod proofs;
mod records;
mod standing;
#[cfg(test)]
mod tests;
mod world;

pub use fault::Fault;
pub use links::Links;
/// An app, a site, and how many of its hosts there serve.
pub type Serving = (String, Option<String>, usize);

use super::{Fut, Look, Lost, LostKind, Settled, Terms, Transport};
use crate::base::{Act, Answer, At, Change, Hash, HostName, Place, Read, Receipt, RunId, TaskId, Way};
use fault::When;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use world::{Begun, World};

/// The world in memory, shared by concurrent tasks. Its time is the runtime's own.
pub struct Simulated(Mutex<World>);

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
        self.world().faults.push((When::Act(act), fault));
    }
    /// The next act that takes this task back goes wrong so: one of its own, or one of the steps of its `undo:`.
    pub fn fault_undo(&self, task: &TaskId, fault: Fault) {
        self.world().faults.push((When::UndoOf(task.clone()), fault));
    }
    /// How many of the faults have had their effect: what starts nothing cannot start badly.
    pub fn bitten(&self) -> usize {
        self.world().bitten
    }
    /// From here on it is taken for the world of a rehearsal: what has no model leaves all that has one as it is, and the
    /// answers to `probes` (what the apps themselves are asked for their health) tell no more than that health. `assumed`:
    /// nobody has seen it, and what else an app would say is not known either.
    pub fn suppose(&self, probes: Vec<At<Read>>, assumed: bool) {
        let mut world = self.world();
        world.supposing = true;
        world.assumed = assumed;
        world.probes = probes;
    }
    /// What the world looked like when it was learnt is now: call it in the runtime that goes on with it.
    pub fn begin(&self) {
        self.world().begin();
    }
    /// This process begins anew: of what it did from here it knows nothing any more.
    pub fn restart_here(&self) {
        self.world().restart_here();
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
    /// As [`promise_quorum`](Self::promise_quorum), but no more than serve in this state: who means to stop a whole site
    /// does no harm by that.
    pub fn promise_no_more_than_serve(&self) {
        self.world().promise_no_more();
    }
    /// Nor than served in another state of it: where the run means to lead.
    pub fn promise_no_more_than(&self, serving: Vec<Serving>) {
        self.world().lower_promises(serving);
    }
    /// How many hosts of each app at each site serve at this moment, by the clock of the runtime that this is called in.
    pub fn serving(&self) -> Vec<Serving> {
        self.world().serving()
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
    /// How often each act had its effect, by task, way and number, whatever was heard of it.
    pub fn effects(&self) -> BTreeMap<(TaskId, Way, usize), usize> {
        self.world().effects.clone()
    }
    /// Whether a database accepts writes on a host; none: nobody has looked at it there.
    pub fn writes(&self, host: &HostName, database: &str) -> Option<bool> {
        self.world().writes(host, database)
    }
    /// What must not happen, not even on the way, and did.
    pub fn harm(&self) -> Vec<String> {
        self.world().harm.clone()
    }
    /// What harms unless it is meant, and was done: an app taken away while its server takes traffic.
    pub fn rough(&self) -> Vec<String> {
        self.world().rough.clone()
    }
    /// What lasts, for comparing ends, by the names of locks: no process ids, no times, no sessions; but what each unit has
    /// really loaded, and what commands without a model have done that was not taken back.
    pub fn standing(&self) -> BTreeMap<String, String> {
        self.world().standing()
    }
    /// The hosts that a thing of [`standing`](Self::standing) belongs to; of a server of a backend its app's and its
    /// balancer's.
    pub fn hosts_of(&self, thing: &str) -> Vec<HostName> {
        self.world().hosts_of(thing)
    }
    /// What runs with another content than the file that it reads at its start has now, in words.
    pub fn stale(&self) -> BTreeSet<String> {
        self.world().stale()
    }
    /// Servers that take no traffic though what stands behind them was started or stopped here and is healthy, in words.
    pub fn idle(&self) -> BTreeSet<String> {
        self.world().idle()
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
    fn carry<'a>(&'a self, act: &'a Act, change: &'a At<Change>, terms: Terms) -> Fut<'a, Result<Receipt, Lost>> {
        Box::pin(async move {
            let fault = match self.world().take_up(act, change)? {
                Begun::Was(receipt) => return Ok(receipt),
                Begun::Goes(fault) => fault,
            };
            if fault == Some(Fault::TimedOut) {
                tokio::time::sleep(terms.within).await;
            }
            self.world().carry(act, change, fault, terms)
        })
    }
    fn settle<'a>(&'a self, act: &'a Act, change: &'a At<Change>, _: Terms) -> Fut<'a, Result<Settled, Lost>> {
        Box::pin(async move { self.world().settle(act, change) })
    }
    fn supposes(&self) -> bool {
        self.world().supposing
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

fn silent(host: Option<&HostName>) -> Lost {
    Lost { host: host.cloned(), why: "it does not answer".into(), kind: LostKind::Unreachable }
}
