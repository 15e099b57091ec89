//! A run while it runs: bars on a terminal, plain lines in a pipe, the events themselves as JSON lines, or nothing but
//! what is wrong. All of it on stderr, but the JSON lines.

use super::{
    board::Board,
    canvas::Canvas,
    frame::{Easel, frame},
    lines::{self, Weight},
    message::Message,
    screen::Screen,
    signs::{self, Signs},
    tell::{self, EVERY, Told},
};
use crate::{
    base::{Clock as _, HostName, TaskId, WallClock},
    journal::{
        event::{Event, Notice, Record, Watcher},
        state::RunState,
    },
};
use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

/// How a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Bars on a terminal, else lines.
    Follow,
    /// Every event as a JSON line on stdout.
    Stream,
    /// Only what is wrong.
    Quiet,
}

/// Watches one run.
pub struct Progress {
    screen: Screen,
    mode: Mode,
    least: Weight,
    shared: Arc<Shared>,
}

struct Shared {
    inner: Mutex<Inner>,
    /// Wakes the drawing thread, so that it sees that nobody watches any more.
    wake: Condvar,
}

struct Inner {
    screen: Screen,
    state: RunState,
    board: Board,
    told: Told,
    /// The frame on the terminal.
    canvas: Canvas,
    /// Something runs that is worth a frame.
    up: bool,
    /// A question stands on the terminal: lines wait until it is answered.
    asking: bool,
    held: String,
    beat: usize,
    /// What a waiting task said last, and how long it had waited then.
    said: BTreeMap<TaskId, (String, Duration)>,
    /// When a silent host was told of last.
    silent: BTreeMap<HostName, Timestamp>,
}

impl Progress {
    /// Begins to watch; `verbose` shows details too.
    pub fn new(screen: Screen, mode: Mode, verbose: bool) -> Self {
        let least = match (mode, verbose) {
            (Mode::Quiet | Mode::Stream, _) => Weight::Wrong,
            (Mode::Follow, true) => Weight::Detail,
            (Mode::Follow, false) => Weight::Begins,
        };
        let inner = Inner {
            screen,
            state: RunState::default(),
            board: Board::default(),
            told: Told::default(),
            canvas: Canvas::default(),
            up: false,
            asking: false,
            held: String::new(),
            beat: 0,
            said: BTreeMap::new(),
            silent: BTreeMap::new(),
        };
        let shared = Arc::new(Shared { inner: Mutex::new(inner), wake: Condvar::new() });
        if mode == Mode::Follow && screen.live {
            let weak = Arc::downgrade(&shared);
            // without this thread the frame stands still, and lines come all the same
            drop(std::thread::Builder::new().name("progress".to_owned()).spawn(move || keep_drawing(&weak)));
        }
        Self { screen, mode, least, shared }
    }

    /// What a run that goes on has done so far: its tasks have names then, and its debts are known.
    pub fn recall(&self, state: RunState) {
        let mut inner = self.inner();
        inner.board.recall(&state);
        inner.state = state;
    }

    /// Shows that something is under way that has no events, such as planning or connecting, until a run's events come
    /// or [`Self::rest`] is called.
    pub fn doing(&self, what: &str) {
        let mut inner = self.inner();
        (inner.board.doing, inner.board.looked) = (Some((what.to_owned(), WallClock.now())), None);
        inner.up = true;
    }

    /// Takes the bars away; the next event brings them back.
    pub fn rest(&self) {
        let mut inner = self.inner();
        (inner.board.doing, inner.board.looked) = (None, None);
        inner.board.silent.clear();
        inner.up = false;
        inner.wipe();
    }

    /// Takes the bars away while `ask` runs: a question and a bar cannot share a screen. The run goes on meanwhile; what
    /// it has to say is said afterwards.
    pub fn aside<T>(&self, ask: impl FnOnce() -> T) -> T {
        {
            let mut inner = self.inner();
            inner.asking = true;
            inner.wipe();
        }
        let answer = ask();
        let mut inner = self.inner();
        inner.asking = false;
        let held = std::mem::take(&mut inner.held);
        inner.out(&held);
        answer
    }

    /// Somebody asked to stop; `now`: for the second time.
    pub fn stopping(&self, now: bool) {
        self.inner().board.stopping = Some(now);
    }

    /// A message that cannot wait, above the bars; also while a question stands.
    pub fn tell(&self, message: &Message) {
        let mut inner = self.inner();
        let text = message.text(self.screen.paint, self.screen.width);
        if inner.asking {
            // the question's line is not ended yet
            self.screen.note(&format!("\n{text}"));
        } else {
            inner.out(&text);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.shared.lock()
    }

    /// Bars show what begins by themselves; `-v` prints it all the same.
    fn print(&self, inner: &mut Inner, weight: Weight, at: Timestamp, line: &str) {
        let bars = self.mode == Mode::Follow && self.screen.live;
        let least = if bars && self.least != Weight::Detail { Weight::Ends } else { self.least };
        if weight < least {
            return;
        }
        let paint = self.screen.paint;
        let time = paint.dim(&at.strftime("%H:%M:%SZ ").to_string());
        let line = if weight == Weight::Wrong { paint.red(line) } else { line.to_owned() };
        inner.out(&format!("{time}{line}\n"));
    }

    /// Lines that stand for many.
    fn print_due(&self, inner: &mut Inner, now: Timestamp) {
        let Inner { told, board, .. } = &mut *inner;
        for (weight, line) in told.due(board, now) {
            self.print(inner, weight, now, &line);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.rest();
        self.shared.wake.notify_all();
    }
}

impl Watcher for Progress {
    fn record(&self, record: &Record) {
        let mut inner = self.inner();
        let Inner { state, board, .. } = &mut *inner;
        state.apply(record);
        board.record(record, state);
        if let Event::Ended { task, .. } = &record.event {
            inner.state.let_go(task);
            inner.said.remove(task);
        }
        if self.mode == Mode::Stream {
            if let Ok(line) = serde_json::to_string(record) {
                self.screen.data(&(line + "\n"));
            }
            return;
        }
        inner.up = !matches!(record.event, Event::Finished(_));
        if let Some((weight, line)) = lines::of(record, &inner.state) {
            let folded = tell::task_of(&record.event).is_some_and(|(task, way)| inner.board.many(task, way));
            let weight = if folded && weight < Weight::Wrong { Weight::Detail } else { weight };
            self.print(&mut inner, weight, record.at, &line);
        }
        self.print_due(&mut inner, record.at);
    }

    fn notice(&self, notice: &Notice) {
        let now = WallClock.now();
        let mut inner = self.inner();
        if let Notice::Warning(why) = notice {
            let text = Message::warning(why.clone()).text(self.screen.paint, self.screen.width);
            return inner.out(&text);
        }
        let Inner { state, board, .. } = &mut *inner;
        board.notice(notice, state, now);
        inner.up = true;
        if inner.due(notice, now)
            && let Some((weight, line)) = lines::notice(notice, &inner.state)
        {
            let many = |task| inner.board.many(task, crate::base::Way::Forward);
            let folded = matches!(notice, Notice::Waiting { task, .. } if many(task));
            self.print(&mut inner, if folded { Weight::Detail } else { weight }, now, &line);
        }
        if self.mode != Mode::Stream {
            self.print_due(&mut inner, now);
        }
    }
}

impl Inner {
    /// Whether a notice says something that was not just said.
    fn due(&mut self, notice: &Notice, now: Timestamp) -> bool {
        match notice {
            Notice::Waiting { task, why, elapsed } => {
                let due = self
                    .said
                    .get(task)
                    .is_none_or(|(w, at)| *elapsed >= *at + EVERY || (w != why && *elapsed >= *at + SOONEST));
                if !due || elapsed.is_zero() {
                    return false;
                }
                self.said.insert(task.clone(), (why.clone(), *elapsed));
                true
            }
            Notice::Silent { host, .. } => {
                let due = self.silent.get(host).is_none_or(|at| lines::between(*at, now) >= EVERY);
                if due {
                    self.silent.insert(host.clone(), now);
                }
                due
            }
            Notice::Ahead { .. } | Notice::Observed { .. } | Notice::Warning(_) => true,
        }
    }

    /// A text above the frame.
    fn out(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.asking {
            self.held += text;
            return;
        }
        self.canvas.above(&self.screen, self.screen.size().0, text);
    }

    /// Draws the frame for the size that the terminal has now.
    fn draw(&mut self, now: Timestamp) {
        if !self.up || self.asking {
            return;
        }
        let (width, rows) = self.screen.size();
        self.beat += 1;
        let signs = Signs::of(self.screen.unicode);
        let easel = Easel { width, rows, paint: self.screen.paint, signs, beat: self.beat };
        let mut lines = frame(&self.board, now, &easel);
        if !self.screen.unicode {
            lines = lines.iter().map(|line| signs::ascii(line)).collect();
        }
        if lines.is_empty() {
            self.canvas.clear(&self.screen, width);
        } else {
            self.canvas.show(&self.screen, width, lines);
        }
    }

    fn wipe(&mut self) {
        self.canvas.clear(&self.screen, self.screen.size().0);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A wait that is for something else by now says so again after this long.
const SOONEST: Duration = Duration::from_secs(3);
/// Between two frames.
const BEAT: Duration = Duration::from_millis(120);

/// Draws until nobody watches.
fn keep_drawing(shared: &Weak<Shared>) {
    while let Some(shared) = shared.upgrade() {
        let mut inner = shared.lock();
        inner.draw(WallClock.now());
        drop(shared.wake.wait_timeout(inner, BEAT));
    }
}
