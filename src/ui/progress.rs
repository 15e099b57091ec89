//! A run while it runs: bars on a terminal, plain lines in a pipe, the events themselves as JSON lines, or nothing but
//! what is wrong. All of it on stderr, but the JSON lines.

use super::{
    lines::{self, Weight},
    message::Message,
    screen::Screen,
    wrap,
};
use crate::{
    base::{HostName, TaskId, Way},
    journal::{
        event::{Event, Notice, Record, Watcher},
        state::{RunState, TaskState},
    },
};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
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
    inner: Mutex<Inner>,
}

struct Inner {
    state: RunState,
    bars: Option<Bars>,
    /// What a waiting task said last, and how long it had waited then.
    said: BTreeMap<TaskId, (String, Duration)>,
}

impl Progress {
    /// Begins to watch; `verbose` shows details too.
    pub fn new(screen: Screen, mode: Mode, verbose: bool) -> Self {
        let least = match (mode, verbose) {
            (Mode::Quiet | Mode::Stream, _) => Weight::Wrong,
            (Mode::Follow, true) => Weight::Detail,
            (Mode::Follow, false) => Weight::Begins,
        };
        let bars = (mode == Mode::Follow && screen.live).then(|| Bars::new(&screen));
        Self {
            screen,
            mode,
            least,
            inner: Mutex::new(Inner { state: RunState::default(), bars, said: BTreeMap::new() }),
        }
    }

    /// What a run that goes on has done so far: its tasks have names then, and its debts are known.
    pub fn recall(&self, state: RunState) {
        self.inner().state = state;
    }

    /// Takes the bars away; the next event brings them back.
    pub fn rest(&self) {
        if let Some(bars) = self.inner().bars.take() {
            bars.clear();
        }
    }

    /// Takes the bars away while `ask` runs: a question and a bar cannot share a line.
    pub fn aside<T>(&self, ask: impl FnOnce() -> T) -> T {
        let inner = self.inner();
        match &inner.bars {
            Some(bars) => bars.all.suspend(ask),
            None => ask(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bars show what begins by themselves; `-v` prints it all the same.
    fn print(&self, inner: &Inner, weight: Weight, at: Option<jiff::Timestamp>, line: &str) {
        let least = if inner.bars.is_some() && self.least != Weight::Detail { Weight::Ends } else { self.least };
        if weight < least {
            return;
        }
        let paint = self.screen.paint;
        let time = at.map_or_else(String::new, |at| paint.dim(&at.strftime("%H:%M:%SZ ").to_string()));
        let line = if weight == Weight::Wrong { paint.red(line) } else { line.to_owned() };
        self.out(inner, &format!("{time}{line}\n"));
    }

    /// Bars, where there is a terminal for them.
    fn raise(&self, inner: &mut Inner) {
        if inner.bars.is_none() && self.mode == Mode::Follow && self.screen.live {
            inner.bars = Some(Bars::new(&self.screen));
        }
    }

    fn out(&self, inner: &Inner, text: &str) {
        match &inner.bars {
            Some(bars) => bars.all.suspend(|| self.screen.note(text)),
            None => self.screen.note(text),
        }
    }
}

impl Watcher for Progress {
    fn record(&self, record: &Record) {
        let mut inner = self.inner();
        inner.state.apply(record);
        if self.mode == Mode::Stream {
            if let Ok(line) = serde_json::to_string(record) {
                self.screen.data(&(line + "\n"));
            }
            return;
        }
        if let Event::Ended { task, .. } = &record.event {
            inner.said.remove(task);
        }
        if let Some((weight, line)) = lines::of(record, &inner.state) {
            self.print(&inner, weight, Some(record.at), &line);
        }
        if matches!(record.event, Event::Finished(_)) {
            return;
        }
        self.raise(&mut inner);
        let Inner { state, bars, .. } = &mut *inner;
        if let Some(bars) = bars {
            bars.follow(record, state);
        }
    }

    fn notice(&self, notice: &Notice) {
        let mut inner = self.inner();
        if let Notice::Warning(why) = notice {
            let text = Message::warning(why.clone()).text(self.screen.paint, self.screen.width);
            return self.out(&inner, &text);
        }
        self.raise(&mut inner);
        let Inner { state, bars, said } = &mut *inner;
        if let Some(bars) = bars {
            bars.notice(notice, state);
        }
        if let Notice::Waiting { task, why, elapsed } = notice {
            let old = said.get(task);
            let due = old.is_none_or(|(w, at)| *elapsed >= *at + EVERY || (w != why && *elapsed >= *at + SOONEST));
            if !due || elapsed.is_zero() {
                return;
            }
            said.insert(task.clone(), (why.clone(), *elapsed));
        }
        if let Some((weight, line)) = lines::notice(notice, &inner.state) {
            self.print(&inner, weight, None, &line);
        }
    }
}

/// A wait says so again after this long, or after the shorter one if it waits for something else by then.
const EVERY: Duration = Duration::from_secs(15);
const SOONEST: Duration = Duration::from_secs(3);

/// One bar for the whole, and a line for each host under way as long as there is room.
struct Bars {
    all: MultiProgress,
    total: ProgressBar,
    hosts: BTreeMap<HostName, ProgressBar>,
    room: usize,
    width: usize,
    style: ProgressStyle,
}

impl Bars {
    fn new(screen: &Screen) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        let total = all.add(ProgressBar::new(0));
        let plain = ProgressStyle::default_bar();
        let style = |template: &str| ProgressStyle::with_template(template).unwrap_or_else(|_| plain.clone());
        total.set_style(style("{bar:24} {pos}/{len} tasks  {elapsed}  {msg}"));
        total.enable_steady_tick(Duration::from_millis(500));
        let style = style("  {spinner} {prefix}: {wide_msg} {elapsed}");
        let room = screen.rows.saturating_sub(4).max(1);
        Self { all, total, hosts: BTreeMap::new(), room, width: screen.width, style }
    }

    fn follow(&mut self, record: &Record, state: &RunState) {
        match &record.event {
            Event::Began(began) => self.say(&began.host, &began.name),
            Event::UndoBegan { task } => {
                if let Some(t) = state.task(task) {
                    self.say(&t.began.host, &format!("{}, back", t.began.name));
                }
            }
            Event::Announced { task, changes, .. } => {
                if let Some(t) = state.task(task) {
                    let what: Vec<String> = changes.iter().map(|c| super::changes::words(&c.what)).collect();
                    self.say(&t.began.host, &format!("{}: {}", t.began.name, what.join(", ")));
                }
            }
            Event::Ended { task, .. } => {
                if let Some(t) = state.task(task)
                    && !state.tasks.iter().any(|o| o.began.host == t.began.host && under_way(o))
                    && let Some(bar) = self.hosts.remove(&t.began.host)
                {
                    bar.finish_and_clear();
                    self.all.remove(&bar);
                }
            }
            Event::RollingBack { .. } => self.total.set_message("rolling back"),
            Event::Stopping { now, .. } => self.total.set_message(if *now { "ending" } else { "stopping" }),
            Event::Phase { name, batch, .. } => {
                let batch = batch.map_or_else(String::new, |b| format!(" ({}/{})", b.number, b.of));
                self.total.set_message(wrap::cut(&format!("{name}{batch}"), self.width / 3));
            }
            _ => {}
        }
        let there = matches!(record.event, Event::Ended { way: Way::Forward, .. } | Event::Skipped { .. });
        let over = self.total.position() + u64::from(there);
        self.total.set_length(self.total.length().unwrap_or(0).max(over));
        self.total.set_position(over);
    }

    fn notice(&mut self, notice: &Notice, state: &RunState) {
        match notice {
            Notice::Ahead { tasks } => self.total.set_length(u64::try_from(*tasks).unwrap_or(u64::MAX)),
            Notice::Observed { done, of } => {
                let message = if done < of { format!("looking at hosts: {done} of {of}") } else { String::new() };
                self.total.set_message(message);
            }
            Notice::Waiting { task, why, elapsed } => {
                if let Some(t) = state.task(task) {
                    self.say(&t.began.host, &format!("{}: waits for {}: {why}", t.began.name, lines::span(*elapsed)));
                }
            }
            Notice::Silent { host, why } => self.say(host, &format!("cannot be reached, trying again: {why}")),
            Notice::Warning(_) => {}
        }
    }

    fn say(&mut self, host: &HostName, what: &str) {
        let bar = match self.hosts.get(host) {
            Some(bar) => bar,
            None if self.hosts.len() < self.room => {
                let bar = self.all.add(ProgressBar::new_spinner().with_style(self.style.clone()));
                bar.set_prefix(host.to_string());
                bar.enable_steady_tick(Duration::from_millis(500));
                self.hosts.entry(host.clone()).or_insert(bar)
            }
            None => return,
        };
        bar.set_message(super::paint::plain(what).replace('\n', " "));
    }

    fn clear(self) {
        for bar in self.hosts.values() {
            bar.finish_and_clear();
        }
        self.total.finish_and_clear();
        drop(self.all.clear());
    }
}

/// One of its legs has begun and not ended.
fn under_way(task: &TaskState) -> bool {
    task.undo.as_ref().unwrap_or(&task.forward).how.is_none()
}
