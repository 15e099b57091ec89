//! Whoever would see two databases that accept writes: both are asked all the time, each past HAProxy.

use super::writer::{Commit, DATABASES, Until, Writer, Written, alone, say, within};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio_postgres::SimpleQueryMessage;

/// A writer straight at each database, and each asked every twenty milliseconds whether it is in recovery.
pub struct Watch {
    over: Until,
    writers: Vec<Writer>,
    samplers: Vec<JoinHandle<Vec<Moment>>>,
}

/// What was seen of both.
pub struct Watched {
    /// What the writers at each database had acknowledged.
    pub written: Vec<Written>,
    /// When a database accepted a write.
    pub accepted: Vec<Moment>,
    /// When a database said that it is not in recovery.
    pub primary: Vec<Moment>,
}

/// Something was true of one of the two, at some time between two moments.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    side: usize,
    accepts: bool,
    began: Instant,
    ended: Instant,
}

impl Watch {
    /// Begins.
    pub fn start() -> Self {
        can_tell();
        let over = Arc::new(AtomicBool::new(false));
        let sampler = |side| {
            let until = Arc::clone(&over);
            std::thread::spawn(move || alone(sample(&until, side)))
        };
        let writers = DATABASES.map(|(host, address)| Writer::start(host, address));
        Self { samplers: [0, 1].map(sampler).into(), writers: writers.into(), over: Until(over) }
    }
    /// Ends, and tells.
    pub fn stop(self) -> Watched {
        self.over.end();
        let seen: Vec<Moment> = self.samplers.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        let written: Vec<Written> = self.writers.into_iter().map(Writer::stop).collect();
        let (mut accepted, primary): (Vec<_>, Vec<_>) = seen.into_iter().partition(|moment| moment.accepts);
        for (side, by) in written.iter().enumerate() {
            let moment = |c: &Commit| Moment { side, accepts: true, began: c.began, ended: c.acked };
            accepted.extend(by.commits.iter().map(moment));
        }
        Watched { written, accepted, primary }
    }
}

impl Watched {
    /// Holds that it went from one database to the other so many times, and that there never were two.
    #[track_caller]
    pub fn never_two(&self, switches: usize) {
        let (accepted, primary) = (turns(&self.accepted), turns(&self.primary));
        assert_eq!((accepted, primary), (switches, switches), "changes of who accepted writes, of who was primary");
    }
    /// How often it changed, at the least, which database accepted writes.
    pub fn changes(&self) -> usize {
        turns(&self.accepted)
    }
}

async fn sample(over: &AtomicBool, side: usize) -> Vec<Moment> {
    let (_, address) = DATABASES[side];
    let (mut session, mut seen, mut row) = (None, Vec::new(), 0);
    while !over.load(Ordering::Relaxed) {
        let tick = Instant::now();
        match within(say(&mut session, address, "SELECT pg_is_in_recovery()")).await {
            Ok(said) if said.iter().any(|m| matches!(m, SimpleQueryMessage::Row(row) if row.get(0) == Some("f"))) => {
                seen.push(Moment { side, accepts: false, began: tick, ended: Instant::now() });
            }
            Ok(_) => {}
            Err(_) => session = None,
        }
        row += 1;
        let began = Instant::now();
        let text = format!("INSERT INTO lab_rows VALUES ('sampler {side}', {row})");
        match within(say(&mut session, address, &text)).await {
            Ok(_) => seen.push(Moment { side, accepts: true, began, ended: Instant::now() }),
            Err(_) => session = None,
        }
        tokio::time::sleep(EVERY.saturating_sub(tick.elapsed())).await;
    }
    seen
}

/// How often it must have changed of which side something was true, at the least: each moment is a point somewhere between
/// its ends, and what could have been in either order counts for nothing. One switch is one change; two primaries at once
/// are many.
fn turns(moments: &[Moment]) -> usize {
    [0, 1].map(|first| blocks(moments, first)).into_iter().min().unwrap_or_default().saturating_sub(1)
}

/// The fewest stretches of one side each, the first being of that side (it may be empty).
fn blocks(moments: &[Moment], first: usize) -> usize {
    let mut left: [Vec<Moment>; 2] = [0, 1].map(|side| moments.iter().filter(|m| m.side == side).copied().collect());
    let (mut side, mut count) = (first, 0);
    while left.iter().any(|of| !of.is_empty()) {
        // this stretch lasts at the most until something that is left of the other side must have been
        let end = left[1 - side].iter().map(|m| m.ended).min();
        let before = left[side].len();
        left[side].retain(|m| end.is_some_and(|end| m.began > end));
        count += usize::from(count > 0 || left[side].len() < before);
        side = 1 - side;
    }
    count
}

const EVERY: Duration = Duration::from_millis(20);

/// A watch that could not tell two primaries from one would hold whatever happens: each shows first that it can.
fn can_tell() {
    let zero = Instant::now();
    let at = |ms| zero + Duration::from_millis(ms);
    let moment = |&(side, from, to): &(usize, u64, u64)| Moment { side, accepts: true, began: at(from), ended: at(to) };
    let seen = |all: &[(usize, u64, u64)]| turns(&all.iter().map(moment).collect::<Vec<_>>());
    assert_eq!(seen(&[]), 0);
    assert_eq!(seen(&[(1, 0, 1), (1, 2, 3)]), 0);
    assert_eq!(seen(&[(0, 0, 1), (1, 2, 3), (1, 4, 5)]), 1);
    assert_eq!(seen(&[(0, 0, 1), (0, 2, 9), (1, 3, 9), (1, 10, 11)]), 1, "either order is possible");
    assert_eq!(seen(&[(0, 0, 1), (1, 2, 3), (0, 4, 5)]), 2, "there and back, or two");
    assert_eq!(seen(&[(0, 0, 1), (1, 2, 3), (0, 4, 5), (1, 6, 7), (0, 8, 9)]), 4);
}
