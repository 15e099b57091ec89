//! A courier beside a run: on a thread of its own, so that a ticket system that is slow or gone neither slows the run nor
//! stops it.

use super::courier::{Bounds, Courier, Delivery, Post};
use crate::base::RunId;
use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    time::{Duration, Instant},
};

/// A courier at work. Dropping it lets it go: what it has not delivered waits in the outbox.
pub struct Beside {
    finish: Sender<Last>,
    came_to: Receiver<Delivery>,
}

/// The last thing that it is asked for.
struct Last {
    run: Option<RunId>,
}

/// It looks so often whether something waits.
const PULSE: Duration = Duration::from_millis(500);
/// A system that could not be used is tried again after so long at most.
const REST: Duration = Duration::from_secs(30);
/// In one look, so many events.
const PORTION: usize = 64;
/// At the end, so long for what the run itself has to tell …
const OWN: Duration = Duration::from_secs(10);
/// … and so long, from the same moment, for what earlier runs left.
const EARLIER: Duration = Duration::from_secs(2);
/// How long to wait for another process that delivers.
const TURN: Duration = Duration::from_millis(50);

impl Beside {
    /// Begins to deliver what waits. None where the machine has no thread left: then `svcops ticket sync` delivers.
    pub fn start(post: Post) -> Option<Self> {
        let (finish, asked) = channel();
        let (tell, came_to) = channel();
        let work = move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            let delivery = runtime.block_on(serve(post, &asked));
            // whoever asked may have stopped waiting
            drop(tell.send(delivery));
        };
        std::thread::Builder::new().name("courier".into()).spawn(work).ok()?;
        Some(Self { finish, came_to })
    }

    /// Delivers what is left, the events of `run` first, and ends; `slow` is called once where that takes over a second.
    /// Nothing at all is answered where it takes too long.
    pub fn finish(self, run: Option<&RunId>, slow: impl FnOnce()) -> Option<Delivery> {
        self.finish.send(Last { run: run.cloned() }).ok()?;
        match self.came_to.recv_timeout(Duration::from_secs(1)) {
            Err(RecvTimeoutError::Timeout) => {
                slow();
                self.came_to.recv_timeout(OWN + EARLIER).ok()
            }
            done => done.ok(),
        }
    }
}

async fn serve(post: Post, asked: &Receiver<Last>) -> Delivery {
    let outbox = post.outbox.clone();
    let mut courier = Courier::new(post);
    let mut pause = PULSE;
    loop {
        match asked.recv_timeout(pause) {
            Ok(last) => return end(&mut courier, &last).await,
            Err(RecvTimeoutError::Disconnected) => return Delivery::default(),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if !outbox.waiting(None, 1).is_ok_and(|rows| !rows.is_empty()) {
            pause = PULSE;
            continue;
        }
        let round = courier.round(&Bounds { first: None, most: PORTION, until: None }).await;
        pause = if round.is_ok_and(|done| done.why.is_empty()) { PULSE } else { (pause * 2).min(REST) };
    }
}

/// What the run itself has to tell, and some of what others left.
async fn end(courier: &mut Courier, last: &Last) -> Delivery {
    let began = Instant::now();
    let mut came_to = Delivery::default();
    if let Some(run) = &last.run {
        let bounds = |most| Bounds { first: Some(run.clone()), most, until: Some(began + OWN) };
        let own = courier.waiting_of(run);
        came_to = turn(courier, &bounds(own), began + OWN).await;
        if courier.waiting_of(run) == 0 {
            // another process may have been faster
            came_to.busy = false;
        }
        if came_to.busy || !came_to.why.is_empty() {
            return came_to;
        }
    }
    let rest = Bounds { first: None, most: usize::MAX, until: Some(began + EARLIER) };
    let rest = turn(courier, &rest, began).await;
    if rest.busy {
        // somebody sees to it
        return Delivery { left: 0, ..came_to };
    }
    Delivery { delivered: came_to.delivered + rest.delivered, notes: [came_to.notes, rest.notes].concat(), ..rest }
}

/// A round, once no other process delivers.
async fn turn(courier: &mut Courier, bounds: &Bounds, until: Instant) -> Delivery {
    loop {
        match courier.round(bounds).await {
            Ok(done) if done.busy && Instant::now() < until && !told(courier, bounds) => {
                tokio::time::sleep(TURN).await;
            }
            Ok(done) => return done,
            Err(why) => return Delivery { why: vec![super::courier::chain(&why)], ..Delivery::default() },
        }
    }
}

/// Nothing of the run that comes first waits any more.
fn told(courier: &Courier, bounds: &Bounds) -> bool {
    bounds.first.as_ref().is_some_and(|run| courier.waiting_of(run) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::outbox::Outbox as _;
    use crate::ticket::tests::{Told, in_memory};
    use std::sync::Arc;

    #[tokio::test]
    async fn a_courier_beside_a_run_has_delivered_all_of_it_when_it_is_finished() {
        let (mut told, folder) = (Told::new(), in_memory());
        told.failing(&serde_json::Value::Null, "web3").await;
        let run = told.failing(&serde_json::Value::Null, "web7").await;
        let beside = Beside::start(told.with_desk(folder.path())).unwrap();
        let last = run.clone();
        let delivery = tokio::task::spawn_blocking(move || beside.finish(Some(&last), || {})).await.unwrap().unwrap();
        assert!(delivery.delivered >= 10 && delivery.why.is_empty(), "{delivery:?}");
        // what an earlier run left may wait for the next command, its own may not
        let waits = told.journal.waiting(Some(&run), 1).unwrap();
        assert!(waits.iter().all(|w| w.run != run), "{waits:?}");
    }

    #[tokio::test]
    async fn while_another_process_delivers_nobody_is_told_twice_and_nobody_waits_for_ever() {
        let (mut told, folder) = (Told::new(), in_memory());
        let run = told.begin(None, &serde_json::Value::Null);
        let locks = Arc::new(crate::journal::locks::Locks::open(folder.path()).unwrap());
        let other = locks.courier().unwrap().unwrap();
        let post = Post { locks: Some(locks.clone()), ..told.with_desk(folder.path()) };
        let mut courier = Courier::new(post);
        let over = Instant::now();
        let bounds = Bounds { first: Some(run), most: 9, until: None };
        let busy = turn(&mut courier, &bounds, over).await;
        assert_eq!((busy.busy, busy.left, busy.delivered), (true, 1, 0));
        drop(other);
        assert_eq!(turn(&mut courier, &bounds, over).await.left, 0);
    }
}
