//! How many connections are open at once. A host keeps its own between two steps; where all places are taken, the one
//! that nobody has used for longest is closed for a host that waits.

use super::Fut;
use crate::base::HostName;
use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{OwnedRwLockReadGuard, OwnedSemaphorePermit, RwLock, Semaphore};

/// What can be closed, and is connected again when it is next used.
pub(crate) trait Close: Send + Sync + 'static {
    /// Ends its connection.
    fn close(&self) -> Fut<'_, ()>;
}

/// A host with its connection, if it has one now.
pub(crate) struct Berth<T> {
    name: HostName,
    /// It has no connection at all, and so needs no place.
    free: bool,
    at: T,
    /// Read by who uses it, written by who closes it: nobody connects to what is about to be closed.
    use_of: Arc<RwLock<()>>,
}

impl<T> Berth<T> {
    pub(crate) fn new(name: HostName, free: bool, at: T) -> Self {
        Self { name, free, at, use_of: Arc::default() }
    }
    /// It, whether it has a place or not: only to close it.
    pub(crate) fn at(&self) -> &T {
        &self.at
    }
}

/// The places for connections.
pub(crate) struct Berths<T> {
    places: Arc<Semaphore>,
    held: Mutex<Held<T>>,
}

struct Held<T> {
    taken: BTreeMap<HostName, Taken<T>>,
    /// Counts uses: tells which was the longest ago.
    uses: u64,
    /// Who waits for a place, and how many places are about to be free.
    waiting: usize,
    leaving: usize,
}

struct Taken<T> {
    berth: Arc<Berth<T>>,
    place: OwnedSemaphorePermit,
    users: usize,
    last: u64,
}

impl<T: Close> Berths<T> {
    /// So many at once; one at least.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        let held = Held { taken: BTreeMap::new(), uses: 0, waiting: 0, leaving: 0 };
        Arc::new(Self { places: Arc::new(Semaphore::new(most)), held: Mutex::new(held) })
    }

    fn held(&self) -> MutexGuard<'_, Held<T>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place, and keeps it while what is returned lives.
    pub(crate) async fn enter(self: &Arc<Self>, berth: &Arc<Berth<T>>) -> Stay<T> {
        let counted = if berth.free {
            None
        } else {
            if !self.join(berth) {
                let place = self.place().await;
                self.take(berth, place);
            }
            Some(Counted { berths: Arc::clone(self), name: berth.name.clone() })
        };
        let using = Arc::clone(&berth.use_of).read_owned().await;
        Stay { berth: Arc::clone(berth), _using: using, _counted: counted }
    }

    /// Counts one more user of a host that has a place.
    fn join(&self, berth: &Berth<T>) -> bool {
        let mut held = self.held();
        let taken = held.taken.get_mut(&berth.name);
        taken.map(|taken| taken.users += 1).is_some()
    }

    async fn place(self: &Arc<Self>) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        let _waiting = Waiting::new(self);
        self.make_room();
        // it is never closed
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    fn take(&self, berth: &Arc<Berth<T>>, place: Option<OwnedSemaphorePermit>) {
        let mut held = self.held();
        // another task may have brought it in meanwhile: then this place is given back
        if let Some(taken) = held.taken.get_mut(&berth.name) {
            taken.users += 1;
        } else if let Some(place) = place {
            let taken = Taken { berth: Arc::clone(berth), place, users: 1, last: 0 };
            held.taken.insert(berth.name.clone(), taken);
        }
    }

    /// One use less.
    fn leave(self: &Arc<Self>, name: &HostName) {
        let mut held = self.held();
        held.uses += 1;
        let now = held.uses;
        if let Some(taken) = held.taken.get_mut(name) {
            taken.users = taken.users.saturating_sub(1);
            taken.last = now;
        }
        drop(held);
        self.make_room();
    }

    /// Closes what nobody uses, as far as others wait for it.
    fn make_room(self: &Arc<Self>) {
        loop {
            let mut held = self.held();
            if held.waiting <= held.leaving {
                return;
            }
            let unused = held.taken.iter().filter(|(_, taken)| taken.users == 0);
            let Some(name) = unused.min_by_key(|(_, taken)| taken.last).map(|(name, _)| name.clone()) else { return };
            let Some(Taken { berth, place, .. }) = held.taken.remove(&name) else { return };
            held.leaving += 1;
            // before anybody can come in again
            let closing = Arc::clone(&berth.use_of).try_write_owned();
            drop(held);
            let left = Left { berths: Arc::clone(self), _place: place };
            let close = async move {
                let closing = match closing {
                    Ok(closing) => closing,
                    // its last user is just about to let it go
                    Err(_) => Arc::clone(&berth.use_of).write_owned().await,
                };
                berth.at.close().await;
                drop(closing);
                drop(left);
            };
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(close);
            }
        }
    }

    /// Gives all places back that nobody uses: what had them is closed.
    pub(crate) fn clear(&self) {
        self.held().taken.retain(|_, taken| taken.users > 0);
    }
}

/// A use of a host: it keeps its place, and is not closed meanwhile.
pub(crate) struct Stay<T: Close> {
    berth: Arc<Berth<T>>,
    // let go before the count: who closes it then waits for nobody
    _using: OwnedRwLockReadGuard<()>,
    _counted: Option<Counted<T>>,
}

impl<T: Close> Deref for Stay<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.berth.at
    }
}

struct Counted<T: Close> {
    berths: Arc<Berths<T>>,
    name: HostName,
}

impl<T: Close> Drop for Counted<T> {
    fn drop(&mut self) {
        self.berths.leave(&self.name);
    }
}

struct Waiting<'a, T: Close>(&'a Arc<Berths<T>>);

impl<'a, T: Close> Waiting<'a, T> {
    fn new(berths: &'a Arc<Berths<T>>) -> Self {
        berths.held().waiting += 1;
        Self(berths)
    }
}

impl<T: Close> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        self.0.held().waiting -= 1;
    }
}

/// A place that is about to be free.
struct Left<T: Close> {
    berths: Arc<Berths<T>>,
    _place: OwnedSemaphorePermit,
}

impl<T: Close> Drop for Left<T> {
    fn drop(&mut self) {
        self.berths.held().leaving -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Connects when it is used, and counts what is open.
    struct Line {
        open: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
        mine: Mutex<bool>,
        made: AtomicUsize,
    }

    impl Line {
        async fn use_it(&self) {
            if !std::mem::replace(&mut *self.mine.lock().unwrap(), true) {
                let now = self.open.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(now, Ordering::SeqCst);
                self.made.fetch_add(1, Ordering::SeqCst);
            }
            tokio::task::yield_now().await;
            assert!(*self.mine.lock().unwrap(), "closed while it was used");
        }
    }

    impl Close for Line {
        fn close(&self) -> Fut<'_, ()> {
            Box::pin(async {
                tokio::task::yield_now().await;
                if std::mem::take(&mut *self.mine.lock().unwrap()) {
                    self.open.fetch_sub(1, Ordering::SeqCst);
                }
            })
        }
    }

    fn lines(count: usize) -> (Vec<Arc<Berth<Line>>>, Arc<AtomicUsize>) {
        let (open, most) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
        let line = |_| Line {
            open: Arc::clone(&open),
            most: Arc::clone(&most),
            mine: Mutex::new(false),
            made: AtomicUsize::new(0),
        };
        let berth = |n| Arc::new(Berth::new(HostName::new(format!("h{n}")), false, line(n)));
        ((0..count).map(berth).collect(), most)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_more_are_open_than_may_be_and_all_have_their_turn() {
        let (lines, most) = lines(50);
        let berths = Berths::new(4);
        let using = (0..400).map(|n| {
            let (berths, line) = (Arc::clone(&berths), Arc::clone(&lines[n * 7 % 50]));
            tokio::spawn(async move { berths.enter(&line).await.use_it().await })
        });
        for used in join_all(using).await {
            used.unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn a_connection_is_made_once_where_there_is_place_for_all() {
        let (lines, _) = lines(5);
        let berths = Berths::new(5);
        for line in lines.iter().chain(&lines) {
            berths.enter(line).await.use_it().await;
        }
        assert!(lines.iter().all(|line| line.at().made.load(Ordering::SeqCst) == 1));
    }

    #[tokio::test]
    async fn what_was_used_the_longest_ago_gives_its_place_up() {
        let (lines, _) = lines(3);
        let berths = Berths::new(2);
        for line in [0, 1, 0, 2, 0] {
            berths.enter(&lines[line]).await.use_it().await;
        }
        let made: Vec<usize> = lines.iter().map(|line| line.at().made.load(Ordering::SeqCst)).collect();
        assert_eq!(made, [1, 1, 1]);
    }

    #[tokio::test]
    async fn who_waits_and_gives_up_takes_nothing_with_it() {
        let (lines, most) = lines(2);
        let berths = Berths::new(1);
        let first = berths.enter(&lines[0]).await;
        first.use_it().await;
        let mut second = Box::pin(berths.enter(&lines[1]));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(second);
        drop(first);
        berths.enter(&lines[0]).await.use_it().await;
        assert_eq!(lines[0].at().made.load(Ordering::SeqCst), 1);
        berths.enter(&lines[1]).await.use_it().await;
        assert_eq!(most.load(Ordering::SeqCst), 1);
    }
}
