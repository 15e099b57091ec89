//! Random runs: a scene (an inventory and a runbook), and on it runs with faults, kills and calls to stop. What must hold of
//! every one of them: each host ends as it was before, or as it should be after, or is named; no harm is done on the way;
//! what is recorded is legal, and the state is its fold.
//!
//! A run is known by its number alone: `play(n)` is the same run on every machine. `RUNS_EACH` runs share a scene.

mod check;
mod dice;
mod draw;
mod rig;
mod scene;

use scene::Scene;
use std::{
    fmt,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

/// So many runs, with other faults each, share a scene, its plan and its run without a fault.
pub const RUNS_EACH: u64 = 16;

/// A run of which something does not hold.
#[derive(Debug)]
pub struct Broken {
    /// Its number.
    pub run: u64,
    /// What does not hold, and all that one needs to see why.
    pub why: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "again by: RANDOM_RUN={} cargo test --test simulated\n{}", self.run, self.why)
    }
}

/// How many runs came to which end.
#[derive(Debug, Default)]
pub struct Tally {
    /// Runs.
    pub runs: AtomicU64,
    /// Done, rolled back, failed, and those that ended before they touched anything.
    pub ends: [AtomicUsize; 4],
    /// Faults that had their effect, kills, calls to stop.
    pub faults: AtomicUsize,
    /// What did not hold, by the number of the run.
    pub broken: Mutex<Vec<Broken>>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = |at: &AtomicUsize| at.load(Ordering::Relaxed);
        let [done, back, failed, none] = &self.ends;
        write!(
            f,
            "{} runs: {} done, {} rolled back, {} failed and named, {} before anything was touched; {} faults took effect",
            self.runs.load(Ordering::Relaxed),
            n(done),
            n(back),
            n(failed),
            n(none),
            n(&self.faults)
        )
    }
}

/// Plays these runs on so many threads, and counts them as they end; stops after twenty that are broken.
pub fn play(runs: Range<u64>, threads: usize, tally: &Tally) {
    // what does not hold is said once, at the end
    std::panic::set_hook(Box::new(|_| {}));
    let next = AtomicU64::new(runs.start / RUNS_EACH);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let first = (number * RUNS_EACH).max(runs.start);
                    let last = ((number + 1) * RUNS_EACH).min(runs.end);
                    if first >= last || tally.broken.lock().unwrap().len() >= 20 {
                        return;
                    }
                    play_scene(number, first..last, tally);
                }
            });
        }
    });
    drop(std::panic::take_hook());
    tally.broken.lock().unwrap().sort_by_key(|b| b.run);
}

/// As many threads as there are cores.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn play_scene(number: u64, runs: Range<u64>, tally: &Tally) {
    let broken = |run: u64, why: String| tally.broken.lock().unwrap().push(Broken { run, why });
    let scene = match guarded(|| Scene::new(number)) {
        Ok(scene) => scene,
        Err(why) => return broken(runs.start, format!("its scene: {why}")),
    };
    for run in runs {
        tally.runs.fetch_add(1, Ordering::Relaxed);
        match guarded(|| scene.play(run)) {
            Ok(told) => {
                tally.ends[told.end].fetch_add(1, Ordering::Relaxed);
                tally.faults.fetch_add(told.faults, Ordering::Relaxed);
            }
            Err(why) => broken(run, format!("{why}\n{}", scene.tell(run))),
        }
    }
}

fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_else(|| "a panic".to_owned())
    })
}
