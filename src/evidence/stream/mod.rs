//! The audit stream: a line of syslog for each event of consequence, as it happens, with the event's hash. A thread of its own
//! tells them, so a run never waits for it. The journal keeps how far it came: what a killed process, or a log that was dead or
//! full, left untold is told by the next run there. So a line may come twice (its `event` says so), and none is lost.

use super::syslog::{Line, Syslog};
use crate::{
    base::{RunId, Way, words::count},
    journal::{
        Journal as _, JournalError, SqliteJournal,
        event::{Event, Notice, Record, Watcher},
        locks::Locks,
        outside::Mark,
        state::RunState,
        untold::{PrunedRow, Row},
    },
    ui::lines,
};
use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::{Duration, Instant},
};

/// While nobody calls, it looks so often: an event that no act waits for is durable a little after it is told of.
const PULSE: Duration = Duration::from_millis(100);
/// What comes within this is told together.
const GATHER: Duration = Duration::from_millis(2);
/// A queue that is full is tried again after so long.
const FULL: Duration = Duration::from_millis(5);
/// How far it came is kept so often: a process that is killed leaves so many lines to come twice.
const KEEP: Duration = Duration::from_secs(1);
/// At the end, so long for what is left.
const LAST: Duration = Duration::from_secs(2);
/// So many events are read at once.
const PORTION: usize = 256;

/// Whoever watches a run, and the audit stream beside it.
pub struct Audit {
    watcher: Arc<dyn Watcher>,
    calls: Sender<Call>,
}

/// A stream at work. Dropping it ends it; what it has not told waits for the next run.
pub struct Stream {
    calls: Sender<Call>,
    came: Receiver<Came>,
}

enum Call {
    /// An event is durable, or will be before long.
    Event(RunId, u64),
    /// It is the last call.
    End,
}

/// What was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Came {
    /// So many lines.
    pub told: usize,
    /// So many events wait.
    pub left: usize,
    /// Why, if they do.
    pub why: Option<String>,
}

impl Stream {
    /// Begins to tell.
    ///
    /// # Errors
    /// The machine has no thread left; then the next run tells.
    pub fn start(journal: Arc<SqliteJournal>, locks: Arc<Locks>, log: Syslog) -> io::Result<Self> {
        let (calls, called) = channel();
        let (tell, came) = channel();
        std::thread::Builder::new().name("audit".into()).spawn(move || {
            let came = Teller::new(&journal, &locks, &log).serve(&called);
            // whoever asked may have stopped waiting
            drop(tell.send(came));
        })?;
        Ok(Self { calls, came })
    }

    /// This stream beside a watcher.
    pub fn beside(&self, watcher: Arc<dyn Watcher>) -> Audit {
        Audit { watcher, calls: self.calls.clone() }
    }

    /// Tells what is left, waits for that, but not for long, and ends.
    pub fn finish(&self) -> Option<Came> {
        self.calls.send(Call::End).ok()?;
        self.came.recv_timeout(LAST + LAST).ok()
    }
}

impl Watcher for Audit {
    fn record(&self, record: &Record) {
        // a stream that is gone has left its lines to the next run
        drop(self.calls.send(Call::Event(record.run.clone(), record.seq)));
        self.watcher.record(record);
    }
    fn notice(&self, notice: &Notice) {
        self.watcher.notice(notice);
    }
}

/// Who tells the log.
pub struct Teller<'a> {
    journal: &'a SqliteJournal,
    locks: &'a Locks,
    log: &'a Syslog,
    /// The runs of this process.
    own: BTreeMap<RunId, Told>,
    told: usize,
    kept: Instant,
}

/// How far a run is told.
struct Told {
    /// Up to this event.
    upto: u64,
    /// The journal knows of so much of it.
    kept: u64,
    /// The state as of the last event that was looked at.
    state: RunState,
    /// That one, and its line, which the log has not taken yet.
    waits: Option<(u64, Line)>,
}

/// Why not all is told.
enum Stuck {
    /// Nobody listens, or the time is over.
    Log(String),
    /// The journal cannot be read.
    Journal(JournalError),
}

impl From<JournalError> for Stuck {
    fn from(why: JournalError) -> Self {
        Self::Journal(why)
    }
}

impl<'a> Teller<'a> {
    /// Who tells that log of that journal's runs.
    pub fn new(journal: &'a SqliteJournal, locks: &'a Locks, log: &'a Syslog) -> Self {
        Self { journal, locks, log, own: BTreeMap::new(), told: 0, kept: Instant::now() }
    }

    /// Tells what nobody else does: of runs whose process is gone, and of prunings. Waits for a log that is full, but not long.
    pub fn catch_up(&mut self) -> Came {
        let done = self.left_behind(Instant::now() + LAST);
        self.came(done)
    }

    fn serve(mut self, calls: &Receiver<Call>) -> Came {
        // what cannot be told now is tried at the end again
        drop(self.left_behind(Instant::now() + PULSE));
        loop {
            let first = match calls.recv_timeout(PULSE) {
                Ok(call) => Some(call),
                Err(RecvTimeoutError::Timeout) => None,
                // nobody waits, and all that is not told is kept
                Err(RecvTimeoutError::Disconnected) => return Came::default(),
            };
            if let Some(Call::Event(..)) = first {
                std::thread::sleep(GATHER);
            }
            let mut over = false;
            for call in first.into_iter().chain(calls.try_iter()) {
                match call {
                    Call::End => over = true,
                    Call::Event(run, seq) => self.knows(&run, seq),
                }
            }
            let until = Instant::now() + if over { LAST } else { PULSE };
            let keep = over || self.kept.elapsed() >= KEEP;
            let done = self.own_runs(until, keep);
            if over {
                let done = done.and_then(|()| self.left_behind(until));
                return self.came(done);
            }
            if done.is_err() {
                // a dead log is no reason to be busy
                std::thread::sleep(PULSE);
            }
        }
    }

    fn knows(&mut self, run: &RunId, seq: u64) {
        if self.own.contains_key(run) {
            return;
        }
        let told = self.journal.told_of(run).ok().flatten().unwrap_or(seq.saturating_sub(1));
        if let Ok(begun) = self.begun(run, told) {
            self.own.insert(run.clone(), begun);
        }
    }

    fn begun(&self, run: &RunId, told: u64) -> Result<Told, JournalError> {
        let records = self.journal.records(run)?;
        let state = RunState::fold(records.iter().take_while(|record| record.seq <= told));
        Ok(Told { upto: told, kept: told, state, waits: None })
    }

    fn own_runs(&mut self, until: Instant, keep: bool) -> Result<(), Stuck> {
        let mut own = std::mem::take(&mut self.own);
        let mut done = Ok(());
        for (run, told) in &mut own {
            done = done.and_then(|()| self.run(run, told, until));
            if keep && told.upto > told.kept {
                done = done.and_then(|()| Ok(self.journal.told(run, told.upto)?));
                told.kept = told.upto;
                self.kept = Instant::now();
            }
        }
        self.own = own;
        done
    }

    /// Runs whose process is gone, and prunings.
    fn left_behind(&mut self, until: Instant) -> Result<(), Stuck> {
        for (run, told) in self.journal.untold()? {
            if self.own.contains_key(&run) || self.locks.alive(&run) {
                continue;
            }
            // what somebody has cut out of the journal cannot be told, and `history verify` finds it
            let mut begun = match self.begun(&run, told) {
                Err(JournalError::NoRun(_)) => continue,
                begun => begun?,
            };
            let done = self.run(&run, &mut begun, until);
            // also where nothing came: a run that is over and told leaves the list
            self.journal.told(&run, begun.upto)?;
            done?;
        }
        for row in self.journal.untold_prunings()? {
            self.send(&pruned(&row), until)?;
            self.journal.told_prunings(row.seq)?;
        }
        Ok(())
    }

    fn run(&mut self, run: &RunId, told: &mut Told, until: Instant) -> Result<(), Stuck> {
        if let Some((seq, line)) = told.waits.take() {
            if let Err(stuck) = self.send(&line, until) {
                told.waits = Some((seq, line));
                return Err(stuck);
            }
            told.upto = seq;
        }
        loop {
            let rows = self.journal.rows_after(run, told.upto, PORTION)?;
            for row in &rows {
                told.state.apply(&row.record);
                if let Some(line) = line(row, &told.state)
                    && let Err(stuck) = self.send(&line, until)
                {
                    told.waits = Some((row.record.seq, line));
                    return Err(stuck);
                }
                told.upto = row.record.seq;
            }
            if rows.len() < PORTION {
                return Ok(());
            }
        }
    }

    fn send(&mut self, line: &Line, until: Instant) -> Result<(), Stuck> {
        loop {
            match self.log.tell(line) {
                Ok(()) => {
                    self.told += 1;
                    return Ok(());
                }
                Err(why) if why.kind() == io::ErrorKind::WouldBlock && Instant::now() < until => {
                    std::thread::sleep(FULL);
                }
                Err(why) => return Err(Stuck::Log(format!("{}: {why}", self.log.path().display()))),
            }
        }
    }

    fn came(&self, done: Result<(), Stuck>) -> Came {
        let why = match done {
            Ok(()) => return Came { told: self.told, ..Came::default() },
            Err(Stuck::Log(why)) => why,
            Err(Stuck::Journal(why)) => why.to_string(),
        };
        Came { told: self.told, left: self.left(), why: Some(why) }
    }

    /// Events that this process would have told.
    fn left(&self) -> usize {
        let mut left = 0;
        for (run, told) in self.journal.untold().unwrap_or_default() {
            let told = self.own.get(&run).map_or(told, |own| own.upto);
            let head = self.journal.row(&run).map_or(told, |row| row.head);
            if self.own.contains_key(&run) || !self.locks.alive(&run) {
                left += usize::try_from(head.saturating_sub(told)).unwrap_or(usize::MAX);
            }
        }
        left + self.journal.untold_prunings().map_or(0, |rows| rows.len())
    }
}

/// The line of an event; none: others say the same.
fn line(row: &Row, state: &RunState) -> Option<Line> {
    let Row { record, hash, anchor } = row;
    let mark = Mark { run: record.run.clone(), seq: record.seq, hash: hash.clone() };
    let mut fields = vec![("event", mark.to_string())];
    // an entry of the ledger is an anchor, wherever the line is kept
    fields.extend(anchor.iter().map(|anchor| ("anchor", anchor.to_string())));
    let text = format!("run {} {}", record.run, words(record, state)?);
    Some(Line { at: record.at, grave: grave(&record.event), fields, text })
}

/// The line of a pruning's record.
fn pruned(row: &PrunedRow) -> Line {
    let (runs, first, last) = &row.runs;
    let from = match (first, last) {
        (Some(first), Some(last)) if first != last => format!(" ({first} to {last})"),
        (Some(run), _) => format!(" ({run})"),
        _ => String::new(),
    };
    let (who, machine) = &row.by;
    let runs = count("run", *runs);
    let text = format!("pruned: {runs}{from} taken out of the journal by {who} on {machine}, reason: {}", row.reason);
    let fields = row.anchor.iter().map(|anchor| ("anchor", anchor.to_string())).collect();
    Line { at: row.at, grave: false, fields, text }
}

fn words(record: &Record, state: &RunState) -> Option<String> {
    Some(match &record.event {
        Event::Started(header) => {
            let by = &header.operator;
            let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let mut said =
                format!("begins: `{}` of project {}, by {} on {}", header.runbook, header.project, by.name, by.machine);
            said += header.ticket.as_ref().map(|t| format!(", ticket {}", text(t))).unwrap_or_default().as_str();
            said += header.plan.as_ref().map(|p| format!(", plan {p}")).unwrap_or_default().as_str();
            said + &header.reason.as_ref().map(|r| format!(", reason: {r}")).unwrap_or_default()
        }
        Event::Finished(end) => {
            let why = end.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            format!(
                "ends: {} (exit code {}), {} changed, {} owed{why}",
                end.outcome.word(),
                end.exit_code,
                end.changed,
                end.owed
            )
        }
        Event::Refused { .. }
        | Event::Resumed { .. }
        | Event::Announced { .. }
        | Event::Carried { .. }
        | Event::InDoubt { .. }
        | Event::Resolved { .. }
        | Event::Waived { .. }
        | Event::RollingBack { .. }
        | Event::RolledBack { .. }
        | Event::Ended { way: Way::Undo, .. }
        | Event::Stopping { .. } => format!("· {}", lines::of(record, state)?.1),
        _ => return None,
    })
}

/// Somebody should look.
fn grave(event: &Event) -> bool {
    match event {
        Event::Refused { .. } | Event::InDoubt { .. } | Event::RollingBack { drill: false, .. } => true,
        Event::Finished(end) => end.exit_code != 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
