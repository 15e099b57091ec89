//! Time, as something that can be handed in.

use jiff::Timestamp;
use std::{
    future::Future,
    pin::Pin,
    sync::OnceLock,
    time::{Duration, Instant},
};

/// Where time comes from. The engine and the journal take one; nothing else looks at a watch.
pub trait Clock: Send + Sync {
    /// Now, to the microsecond.
    fn now(&self) -> Timestamp;
    /// How long ago something arbitrary was. Nobody sets it back or forward, and a machine that sleeps does not count: what
    /// is waited for is measured with it, and never with two answers of [`now`](Self::now).
    fn passed(&self) -> Duration;
    /// Returns after `time` has passed on this clock.
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
    fn passed(&self) -> Duration {
        static BEGINNING: OnceLock<Instant> = OnceLock::new();
        BEGINNING.get_or_init(Instant::now).elapsed()
    }
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// A clock that starts at a given instant and follows the runtime's own time: in a runtime whose time is paused, an hour
/// of waiting costs nothing. Plans and rehearsals run on it.
#[derive(Clone, Copy, Debug)]
pub struct RuntimeClock {
    start: Timestamp,
    since: tokio::time::Instant,
}

impl RuntimeClock {
    /// Begins at `start`; call it inside the runtime.
    pub fn starting(start: Timestamp) -> Self {
        Self { start, since: tokio::time::Instant::now() }
    }
}

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        self.start.saturating_add(self.since.elapsed()).unwrap_or(self.start)
    }
    fn passed(&self) -> Duration {
        self.since.elapsed()
    }
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(time))
    }
}
