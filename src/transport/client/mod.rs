//! A client of a service, beside the run: it asks every few milliseconds, as an application would, and keeps what it saw.
//!
//! It has a thread and a runtime of its own, so neither a busy run nor one that waits for its disk delays an answer or
//! seems to be an outage. It keeps its session as a pool does. Where that hangs (a server that lost its power sends no
//! FIN) it tries new connections beside it, few at a time, so that it sees at once when the service is back.

mod log;
#[cfg(test)]
mod tests;
mod tls;
mod tries;

use super::vault::Vault;
use crate::base::{Answer, ClientAsk, Clock as _, Redactor, Span, WallClock};
use log::{Log, Moment};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    select,
    sync::Notify,
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep_until, timeout},
};
use tries::{Asker, Session};

/// At most so many tries are under way.
const TRIES: usize = 4;
/// A try hangs after no less than this.
const HANGS: Duration = Duration::from_millis(50);
/// A password is had after no more than this.
const PASSWORD: Duration = Duration::from_secs(60);
/// This thread itself did not come to its turn for so long: that says nothing of the service.
const STALLED: Duration = Duration::from_millis(25);

/// A client at work. It ends with its value.
pub(super) struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    log: Mutex<Log>,
    /// Why it cannot ask at all.
    broken: Mutex<Option<String>>,
    /// It has what it needs, and asks.
    asks: AtomicBool,
    began: Instant,
    told: Notify,
    stop: Notify,
}

impl Shared {
    fn now(&self) -> Moment {
        Moment { wall: WallClock.now(), passed: self.began.elapsed() }
    }
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn broken(&self) -> Option<String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    fn breaks(&self, why: String) {
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        self.told.notify_waiters();
    }
}

impl Client {
    /// Begins to ask.
    pub(super) fn begin(ask: &ClientAsk, vault: Arc<Vault>, redactor: Redactor) -> Self {
        let shared = Arc::new(Shared {
            log: Mutex::default(),
            broken: Mutex::default(),
            asks: AtomicBool::new(false),
            began: Instant::now(),
            told: Notify::new(),
            stop: Notify::new(),
        });
        let (mine, ask) = (Arc::clone(&shared), ask.clone());
        let work = move || {
            let asker = Asker::new(&ask.ask, ask.within, &vault, redactor);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match (asker, runtime) {
                (Ok(asker), Ok(runtime)) => {
                    mine.asks.store(true, Ordering::Release);
                    mine.told.notify_waiters();
                    runtime.block_on(Course::new(asker, &ask, &mine).go());
                }
                (Err(why), _) => mine.breaks(why),
                (_, Err(error)) => mine.breaks(error.to_string()),
            }
        };
        if let Err(error) = std::thread::Builder::new().name("probe".to_owned()).spawn(work) {
            shared.breaks(format!("no probe can be begun: {error}"));
        }
        Self { shared }
    }

    /// What it saw so far; the first look waits for the first answer.
    pub(super) async fn look(&self, anew: bool, within: Span) -> Answer {
        // who keeps the password may have to be asked for it
        self.wait(PASSWORD, |shared| shared.asks.load(Ordering::Acquire)).await;
        // a first answer that hangs is told of at the latest when its time is up
        self.wait(within.0, |shared| shared.log().knows()).await;
        if let Some(why) = self.shared.broken() {
            return Answer::Bad(why);
        }
        let now = self.shared.now();
        let mut log = self.shared.log();
        if anew {
            log.forget();
        }
        Answer::Client(Box::new(log.facts(now)))
    }

    /// Waits until it is so, or cannot come to be, or its time is up.
    async fn wait(&self, within: Duration, is_so: impl Fn(&Shared) -> bool) {
        let so = async {
            loop {
                let told = self.shared.told.notified();
                if self.shared.broken().is_some() || is_so(&self.shared) {
                    return;
                }
                told.await;
            }
        };
        drop(timeout(within, so).await);
    }

    /// Asks no more.
    pub(super) fn close(&self) {
        self.shared.stop.notify_one();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.close();
    }
}

/// A try under way.
struct Try {
    number: u64,
    began: Instant,
    abort: AbortHandle,
}

/// What came of it.
type Landed = (u64, Result<Option<Session>, String>);

struct Course<'a> {
    asker: Arc<Asker>,
    shared: &'a Shared,
    every: Duration,
    within: Duration,
    /// The session, while nothing is asked by it.
    session: Option<Session>,
    /// The oldest first.
    tries: Vec<Try>,
    flying: JoinSet<Landed>,
    numbers: u64,
    /// How long a good answer by a new connection takes, as of late.
    usual: Duration,
    /// The last answer was not good, or one hangs.
    down: bool,
    due: Instant,
    stalled: bool,
}

impl<'a> Course<'a> {
    fn new(asker: Asker, ask: &ClientAsk, shared: &'a Shared) -> Self {
        Self {
            asker: Arc::new(asker),
            shared,
            every: ask.every.0.max(Duration::from_millis(1)),
            within: ask.within.0,
            session: None,
            tries: Vec::new(),
            flying: JoinSet::new(),
            numbers: 0,
            usual: Duration::ZERO,
            down: false,
            due: Instant::now(),
            stalled: false,
        }
    }

    async fn go(mut self) {
        loop {
            select! {
                biased;
                () = self.shared.stop.notified() => return,
                // one that was given up has nothing to say
                Some(landed) = self.flying.join_next(), if !self.flying.is_empty() => {
                    if let Ok(landed) = landed {
                        self.landed(landed);
                    }
                }
                () = sleep_until(self.due) => self.turn(),
            }
            self.shared.told.notify_waiters();
        }
    }

    /// A try hangs after this long.
    fn patience(&self) -> Duration {
        // nobody knows yet how long a login takes here
        let usual = if self.usual.is_zero() { HANGS * 2 } else { self.usual };
        HANGS.max(self.every * 5).max(usual * 4).min(self.within)
    }

    fn landed(&mut self, (number, result): Landed) {
        let Some(at) = self.tries.iter().position(|one| one.number == number) else { return };
        let one = self.tries.remove(at);
        let now = Instant::now();
        match result {
            Ok(session) => {
                self.give_up(now);
                self.shared.log().good(self.shared.now());
                self.usual =
                    if self.usual.is_zero() { now - one.began } else { (self.usual * 7 + (now - one.began)) / 8 };
                self.down = false;
                self.session = session;
            }
            Err(why) => self.bad(&why),
        }
        self.due = now.max(one.began + self.every);
    }

    /// Of what is still under way when a good answer came, what hangs has failed; the rest is as if it had never been tried.
    fn give_up(&mut self, now: Instant) {
        let patience = self.patience();
        for one in std::mem::take(&mut self.tries) {
            one.abort.abort();
            if now - one.began >= patience {
                self.bad("no answer");
            }
        }
    }

    fn bad(&mut self, why: &str) {
        self.down = true;
        self.shared.log().bad(self.shared.now(), why);
    }

    /// It is time to ask again, or to see what hangs.
    fn turn(&mut self) {
        let now = Instant::now();
        if now - self.due > STALLED && !self.tries.is_empty() && !self.stalled {
            // answers may lie here that nobody had the time to read
            self.stalled = true;
            self.due = now + Duration::from_millis(5);
            return;
        }
        self.stalled = false;
        self.due = now + self.every;
        let within = self.within;
        let late: Vec<Try> = self.tries.extract_if(.., |one| now - one.began >= within).collect();
        for one in late {
            one.abort.abort();
            self.bad(&format!("no answer within {}", Span(within)));
        }
        match (self.session.take(), self.tries.first().map(|one| one.began), self.tries.last().map(|one| one.began)) {
            (Some(session), ..) => self.begin(Some(session), now),
            (None, Some(oldest), Some(newest)) => self.beside(now, oldest, newest),
            (None, ..) => self.begin(None, now),
        }
    }

    /// Tries a new connection beside what has not answered yet.
    fn beside(&mut self, now: Instant, oldest: Instant, newest: Instant) {
        let patience = self.patience();
        if !self.down {
            if now - oldest < patience {
                return;
            }
            self.down = true;
            self.shared.log().hangs(self.shared.now(), "no answer");
        }
        let apart = if self.tries.len() < 2 { self.every } else { self.every.max(patience / 4) };
        if now - newest < apart {
            return;
        }
        // the oldest has all the time that an answer may take; the others make room
        if self.tries.len() >= TRIES && self.tries.get(1).is_some_and(|one| now - one.began >= patience) {
            self.tries.remove(1).abort.abort();
            self.bad("no answer");
        }
        if self.tries.len() < TRIES {
            self.begin(None, now);
        }
    }

    fn begin(&mut self, session: Option<Session>, now: Instant) {
        let (asker, number) = (Arc::clone(&self.asker), self.numbers);
        self.numbers += 1;
        let abort = self.flying.spawn(async move {
            let answer = match session {
                Some(session) => asker.again(session).await,
                None => asker.connect().await,
            };
            (number, answer)
        });
        self.tries.push(Try { number, began: now, abort });
    }
}
