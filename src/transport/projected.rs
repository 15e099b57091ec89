//! The real world as a plan sees it: looked at once, and changed only in memory.

use super::{Fut, Look, Lost, LostKind, Settled, Simulated, Terms, Transport};
use crate::base::{Act, At, Change, HostName, Place, Read, Receipt, RunId};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{runtime::Handle, sync::oneshot, task};

/// A simulated world that asks the real one for what it does not know yet. Changes go to the simulated one only.
///
/// It is made for a runtime whose time is paused: real work is done on another runtime, behind a blocking task, for as
/// long as one is under way paused time stands still.
pub struct Projected {
    real: Arc<dyn Transport>,
    runtime: Handle,
    simulated: Simulated,
    /// Hosts that could not be spoken to: asked once, not at every try.
    lost: Mutex<BTreeMap<Option<HostName>, Lost>>,
    /// Hosts that have answered.
    met: Mutex<BTreeSet<HostName>>,
}

impl Projected {
    /// Looks through `real`, which does its work on `runtime`.
    pub fn new(real: Arc<dyn Transport>, runtime: Handle, simulated: Simulated) -> Self {
        Self { real, runtime, simulated, lost: Mutex::default(), met: Mutex::default() }
    }
    /// The world in memory.
    pub const fn simulated(&self) -> &Simulated {
        &self.simulated
    }

    /// Asks the real world for what is not known, by one probe.
    async fn observe(&self, host: Option<&HostName>, reads: &[At<Read>]) -> Result<(), Lost> {
        let lacking: Vec<At<Read>> = reads.iter().filter(|r| self.simulated.lacks(r)).cloned().collect();
        // a look at nothing asks whether the host is there
        let met = || host.is_none_or(|host| self.met.lock().unwrap_or_else(PoisonError::into_inner).contains(host));
        if lacking.is_empty() && (!reads.is_empty() || met()) {
            return Ok(());
        }
        let host = host.cloned();
        if let Some(lost) = self.lost.lock().unwrap_or_else(PoisonError::into_inner).get(&host) {
            return Err(lost.clone());
        }
        let (real, asked, at) = (Arc::clone(&self.real), lacking.clone(), host.clone());
        match self.outside(host.as_ref(), async move { real.look(at.as_ref(), &asked).await }).await {
            Ok(look) => {
                for (read, answer) in lacking.iter().zip(&look.answers) {
                    self.simulated.learn(read, answer);
                }
                self.met.lock().unwrap_or_else(PoisonError::into_inner).extend(host);
                Ok(())
            }
            Err(lost) => {
                self.lost.lock().unwrap_or_else(PoisonError::into_inner).insert(host, lost.clone());
                Err(lost)
            }
        }
    }

    /// Does real work where time is real. It is handed over and waited for: where that runtime ends before the work does
    /// (somebody stopped the planning), the work is dropped, and this is told.
    async fn outside<T: Send + 'static>(
        &self,
        host: Option<&HostName>,
        work: impl Future<Output = Result<T, Lost>> + Send + 'static,
    ) -> Result<T, Lost> {
        let (tell, told) = oneshot::channel();
        self.runtime.spawn(async move { drop(tell.send(work.await)) });
        let lost = |why: String| {
            Err(Lost { host: host.cloned(), why: format!("the look did not end: {why}"), kind: LostKind::Cancelled })
        };
        match task::spawn_blocking(move || told.blocking_recv()).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => lost("it was stopped".to_owned()),
            Err(e) => lost(e.to_string()),
        }
    }
}

impl Transport for Projected {
    fn look<'a>(&'a self, host: Option<&'a HostName>, reads: &'a [At<Read>]) -> Fut<'a, Result<Look, Lost>> {
        Box::pin(async move {
            self.observe(host, reads).await?;
            self.simulated.look(host, reads).await
        })
    }
    fn open<'a>(&'a self, run: &'a RunId, at: &'a Place) -> Fut<'a, Result<String, Lost>> {
        self.simulated.open(run, at)
    }
    fn carry<'a>(&'a self, act: &'a Act, change: &'a At<Change>, terms: Terms) -> Fut<'a, Result<Receipt, Lost>> {
        self.simulated.carry(act, change, terms)
    }
    fn settle<'a>(&'a self, act: &'a Act, change: &'a At<Change>, terms: Terms) -> Fut<'a, Result<Settled, Lost>> {
        self.simulated.settle(act, change, terms)
    }
    fn cancel<'a>(&'a self, act: &'a Act, at: &'a Place) -> Fut<'a, Result<bool, Lost>> {
        self.simulated.cancel(act, at)
    }
    fn fetch<'a>(&'a self, at: &'a Place, path: &'a str, cap: usize) -> Fut<'a, Result<Option<Vec<u8>>, Lost>> {
        Box::pin(async move {
            if self.simulated.has_written(at, path) {
                return self.simulated.fetch(at, path, cap).await;
            }
            let (real, place, file) = (Arc::clone(&self.real), at.clone(), path.to_owned());
            self.outside(at.host.as_ref(), async move { real.fetch(&place, &file, cap).await }).await
        })
    }
    fn close(&self) -> Fut<'_, ()> {
        Box::pin(async move {
            let real = Arc::clone(&self.real);
            let closing = async move {
                real.close().await;
                Ok(())
            };
            // There is nothing left to lose.
            drop(self.outside(None, closing).await);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::simulated::Links, *};
    use crate::base::{Answer, Outcome, TaskId, UnitFacts, UnitState, Way};
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    /// A real world that counts how often it is asked, takes its time, and must not be changed.
    #[derive(Default)]
    struct Real(AtomicUsize);
    impl Transport for Real {
        fn look<'a>(&'a self, _: Option<&'a HostName>, reads: &'a [At<Read>]) -> Fut<'a, Result<Look, Lost>> {
            Box::pin(async move {
                self.0.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(20)).await;
                let unit = UnitFacts { loaded: true, state: UnitState::Active, pid: 7, ..UnitFacts::default() };
                Ok(Look { boot: "b".into(), answers: reads.iter().map(|_| Answer::Unit(unit.clone())).collect() })
            })
        }
        fn open<'a>(&'a self, _: &'a RunId, _: &'a Place) -> Fut<'a, Result<String, Lost>> {
            panic!("nothing is announced for real")
        }
        fn carry<'a>(&'a self, _: &'a Act, change: &'a At<Change>, _: Terms) -> Fut<'a, Result<Receipt, Lost>> {
            panic!("a plan changed the world: {change:?}")
        }
        fn settle<'a>(&'a self, _: &'a Act, _: &'a At<Change>, _: Terms) -> Fut<'a, Result<Settled, Lost>> {
            panic!("nothing was announced for real")
        }
        fn cancel<'a>(&'a self, _: &'a Act, _: &'a Place) -> Fut<'a, Result<bool, Lost>> {
            panic!("nothing was announced for real")
        }
        fn fetch<'a>(&'a self, _: &'a Place, _: &'a str, _: usize) -> Fut<'a, Result<Option<Vec<u8>>, Lost>> {
            Box::pin(async { Ok(Some(b"real".to_vec())) })
        }
        fn close(&self) -> Fut<'_, ()> {
            Box::pin(async {})
        }
    }

    #[test]
    fn the_real_world_is_asked_once_and_never_changed_while_paused_time_stands_still() {
        let outer = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let inner = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let real = Arc::new(Real::default());
        let shared: Arc<dyn Transport> = Arc::clone(&real) as _;
        let projected = Projected::new(shared, outer.handle().clone(), Simulated::new(Links::default()));
        inner.block_on(async {
            let host = HostName::new("dc1-app1");
            let reads = [Place::on(&host).at(Read::Unit { name: "billing.service".into() })];
            let began = tokio::time::Instant::now();
            let look = tokio::time::timeout(Duration::from_secs(3600), projected.look(Some(&host), &reads)).await;
            let look = look.expect("an hour of paused time passed while the real world was asked").unwrap();
            assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
            assert!(matches!(&look.answers[..], [Answer::Unit(u)] if u.pid == 7));
            let change = Place::on(&host).at(Change::StopUnit("billing.service".into()));
            let (run, task) = (RunId::at_millis(1), TaskId::new("1", &host));
            let act = Act { run, task, way: Way::Forward, number: 0, boot: look.boot };
            let terms = Terms { within: Duration::from_secs(1), interruptible: true };
            assert_eq!(projected.carry(&act, &change, terms).await.unwrap().outcome, Outcome::Ok);
            let look = projected.look(Some(&host), &reads).await.unwrap();
            assert!(matches!(&look.answers[..], [Answer::Unit(u)] if u.state == UnitState::Inactive));
            assert_eq!(projected.fetch(&Place::on(&host), "/etc/x", 9).await.unwrap(), Some(b"real".to_vec()));
        });
        assert_eq!(real.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_look_that_is_under_way_when_its_runtime_ends_is_stopped_without_a_panic() {
        let outer = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let inner = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let real = Arc::new(Real::default());
        let shared: Arc<dyn Transport> = Arc::clone(&real) as _;
        let projected = Projected::new(shared, outer.handle().clone(), Simulated::new(Links::default()));
        let ends = std::thread::spawn(move || {
            while real.0.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            drop(outer);
        });
        let host = HostName::new("dc1-app1");
        let reads = [Place::on(&host).at(Read::Unit { name: "billing.service".into() })];
        let lost = inner.block_on(projected.look(Some(&host), &reads)).unwrap_err();
        ends.join().unwrap();
        assert_eq!((lost.kind, lost.why.as_str()), (LostKind::Cancelled, "the look did not end: it was stopped"));
    }
}
