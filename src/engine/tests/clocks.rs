//! A wall clock that is set back and forward while a run is under way: what the engine waits for is counted by the time
//! that has passed.

use super::*;
use crate::{base::clock::Clock, transport::Fault, ui};
use jiff::{SignedDuration, Timestamp};
use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// Follows the runtime's time, and jumps at each look at it after the `calm`-th: by turns hours ahead and days back.
struct Jumping {
    steady: RuntimeClock,
    looks: AtomicUsize,
    calm: usize,
    by: fn(usize) -> SignedDuration,
}

impl Jumping {
    fn after(calm: usize, by: fn(usize) -> SignedDuration) -> Arc<Self> {
        let steady = RuntimeClock::starting("2026-11-23T00:00:00Z".parse().unwrap());
        Arc::new(Self { steady, looks: AtomicUsize::new(0), calm, by })
    }
}

impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        let look = self.looks.fetch_add(1, Ordering::SeqCst);
        let by = if look < self.calm { SignedDuration::ZERO } else { (self.by)(look - self.calm) };
        self.steady.now().checked_add(by).unwrap()
    }
    fn passed(&self) -> Duration {
        self.steady.passed()
    }
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.steady.sleep(time)
    }
}

/// What a clock does to those who trust it.
const JUMPS: [(&str, fn(usize) -> SignedDuration); 4] = [
    ("ahead, once", |_| SignedDuration::from_hours(3)),
    ("back, once", |_| SignedDuration::from_hours(-72)),
    ("ahead and back", |look| SignedDuration::from_hours(if look % 2 == 0 { 5 } else { -48 })),
    ("ever further back", |look| SignedDuration::from_mins(-(i64::try_from(look).unwrap_or(0)))),
];

/// Runs it on that clock; what came of it, and how long it took by the time that passed.
async fn on(clock: Option<Arc<Jumping>>, text: &str, set: impl Fn(&Rig)) -> (Rig, Summary, Duration) {
    let rig = Rig::new();
    set(&rig);
    let begun = tokio::time::Instant::now();
    let order = rig.order(text);
    let mut stage = rig.stage();
    if let Some(clock) = clock {
        stage.clock = clock;
    }
    let planned = plan(&stage, &order).await.unwrap();
    let ended = run(&stage, &order, &planned, None, never()).await.unwrap();
    (rig, ended.summary, begun.elapsed())
}

fn in_order(rig: &Rig, case: &str) {
    let records = rig.records();
    let numbers: Vec<u64> = records.iter().map(|r| r.seq).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{case}: {numbers:?}");
    let mut state = RunState::default();
    for record in &records {
        state.apply(record);
        drop(ui::lines::of(record, &state));
    }
    assert!(state.end.is_some(), "{case}");
    let mut timeline = ui::history::Timeline::new(jiff::tz::TimeZone::UTC, 100);
    let drawn: String = records.iter().map(|record| timeline.draw(record)).collect();
    assert!(!drawn.contains(" -"), "{case}: no time is below nothing\n{drawn}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_changes_neither_the_end_of_a_run_nor_how_long_it_waits() {
    let sick: fn(&Rig) = |rig| rig.world.breaks(&Hash::of(b"new"));
    let lost: fn(&Rig) = |rig| {
        rig.world.fault(1, Fault::LostAfter);
        rig.world.silent_for(Duration::from_secs(20));
    };
    for (name, text, set) in [
        ("restart", RESTART, (|_| {}) as fn(&Rig)),
        ("never healthy", COPY_THEN, sick),
        ("lost", STOP_COPY_START, lost),
    ] {
        let (rig, end, took) = on(None, text, set).await;
        let (events, acts, standing) = (rig.records().len(), rig.world.done(), rig.world.standing());
        for (jump, by) in JUMPS {
            for calm in (0..events + 8).step_by(3) {
                let case = format!("{name}, {jump} after {calm}");
                let (rig, now, time) = on(Some(Jumping::after(calm, by)), text, set).await;
                assert_eq!(now.outcome, end.outcome, "{case}: {now:#?}");
                assert_eq!(rig.world.done(), acts, "{case}");
                assert_eq!(rig.world.standing(), standing, "{case}");
                assert_eq!(time, took, "{case}");
                in_order(&rig, &case);
            }
        }
    }
}
