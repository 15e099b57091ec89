//! The one thread that writes. What waits for it is written in one transaction and answered together: thirty-two
//! events cost one flush to the disk.

use super::{
    JournalError, chain,
    event::{Event, Header, Record},
    schema,
    seal::{self, Seal},
    untold,
};
use crate::base::{Hash, RunId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// What is to be written.
pub(super) enum Ask {
    /// A run.
    Begin { at: Timestamp, header: Box<Header>, audited: bool },
    /// An event of a run.
    Append { run: RunId, at: Timestamp, event: Box<Event> },
    /// An event of a run that no act waits for: it may be answered before it is durable.
    Note { run: RunId, at: Timestamp, event: Box<Event> },
    /// A content.
    Put { hash: Hash, bytes: Vec<u8> },
    /// What became of something outside: a delivery, a signature.
    Mark(Mark),
}

/// What is kept beside the events. None of it is one: these rows may be written anew, the journal never.
pub(super) enum Mark {
    /// These rows are delivered.
    Delivered { rows: Vec<i64>, at: Timestamp },
    /// This one is not, and why.
    Failed { row: i64, why: String },
    /// A run's ticket.
    Ticket { run: RunId, system: String, ticket: String },
    /// A head that was signed, or should have been.
    Seal(Box<Seal>),
    /// From its next event on, a run is to be told to the machine's log.
    Audited(RunId),
    /// It was, up to this event.
    Told(String, u64),
}

/// Called once, when it is durable (a note: when it has its place) or can never be. A content has no record.
pub(super) type Answer = Box<dyn FnOnce(Result<Option<Record>, JournalError>) + Send>;

/// The way to the thread; it ends, and is waited for, when this is dropped.
pub(super) struct Writer {
    ask: Option<Sender<(Ask, Answer)>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread on a connection that may write.
    pub(super) fn start(connection: Connection, path: &Path) -> Result<Self, JournalError> {
        let (ask, asked) = channel();
        let desk = Desk { connection, path: path.to_owned(), closed: None, open: None };
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || desk.serve(&asked))
            .map_err(|why| JournalError::File { act: "start the writer of", path: path.to_owned(), why })?;
        Ok(Self { ask: Some(ask), thread: Some(thread) })
    }

    /// Hands something in. What one thread hands in is written in that order.
    pub(super) fn ask(&self, ask: Ask, answer: Answer) {
        let gone = match &self.ask {
            Some(way) => way.send((ask, answer)).err().map(|back| back.0.1),
            None => Some(answer),
        };
        if let Some(answer) = gone {
            answer(Err(JournalError::Closed("its writer has ended".into())));
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the journal's writer ended in a panic");
        }
    }
}

/// At most so many requests share a transaction.
const GROUP: usize = 512;
/// What many tasks hand in side by side comes with such gaps at most: after a transaction that several shared, so long is
/// waited for one more. A request that is alone waits for nobody.
const GAP: Duration = Duration::from_micros(200);
/// Notes wait so long for something that must be durable.
const HOLD: Duration = Duration::from_millis(5);

struct Desk {
    connection: Connection,
    path: PathBuf,
    closed: Option<String>,
    /// A transaction that holds notes only, and until when it may wait.
    open: Option<(Heads, Instant)>,
}

/// The heads of the runs that a transaction adds to: their last event and its hash.
type Heads = BTreeMap<RunId, (i64, String)>;

impl Desk {
    fn serve(mut self, asked: &Receiver<(Ask, Answer)>) {
        let mut shared = false;
        loop {
            let first = match &self.open {
                None => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some((_, until)) => asked.recv_timeout(until.saturating_duration_since(Instant::now())),
            };
            let mut group = match first {
                Ok(first) => vec![first],
                Err(end) => {
                    self.settle(Vec::new());
                    if end == RecvTimeoutError::Disconnected {
                        return;
                    }
                    continue;
                }
            };
            let gap = if shared { GAP } else { Duration::ZERO };
            while group.len() < GROUP
                && let Ok(next) = asked.recv_timeout(gap)
            {
                group.push(next);
            }
            shared = group.len() > 1;
            self.settle(group);
        }
    }

    /// Writes a group and answers it. After a write that failed nothing more is taken: what the disk then holds is known
    /// only to who opens the journal anew.
    fn settle(&mut self, group: Vec<(Ask, Answer)>) {
        if let Some(why) = &self.closed {
            for (_, answer) in group {
                answer(Err(JournalError::Closed(why.clone())));
            }
            return;
        }
        let mut waiting = Vec::new();
        if let Err(error) = self.write(group, &mut waiting) {
            let why = reason(&error);
            self.closed = Some(why.clone());
            let mut error = Some(error);
            for (answer, _) in waiting {
                answer(Err(error.take().unwrap_or_else(|| JournalError::Closed(why.clone()))));
            }
        } else {
            for (answer, result) in waiting {
                answer(result);
            }
        }
    }

    /// Writes a group, notes together with the next that must be durable. Who waits for it is put into `waiting`.
    fn write(
        &mut self,
        group: Vec<(Ask, Answer)>,
        waiting: &mut Vec<(Answer, Result<Option<Record>, JournalError>)>,
    ) -> Result<(), JournalError> {
        let late = group.is_empty();
        let (mut heads, until) = match self.open.take() {
            Some(open) => open,
            None if late => return Ok(()),
            None => {
                if let Err(why) = self.connection.execute_batch("BEGIN IMMEDIATE") {
                    waiting.extend(group.into_iter().map(|(_, answer)| (answer, Ok(None))));
                    return Err(JournalError::Store { why, path: self.path.clone() });
                }
                (Heads::new(), Instant::now() + HOLD)
            }
        };
        let mut failed = None;
        let (mut durable, mut noted) = (late, Vec::new());
        for (ask, answer) in group {
            let note = matches!(ask, Ask::Note { .. });
            durable |= !note;
            let result = if failed.is_none() { self.one(ask, &mut heads) } else { Ok(None) };
            match result {
                Err(JournalError::Store { why, path }) => {
                    failed = Some((why, path));
                    waiting.push((answer, Ok(None)));
                }
                result if note && failed.is_none() => noted.push((answer, result)),
                result => waiting.push((answer, result)),
            }
        }
        if failed.is_none() && !durable {
            for (answer, result) in noted {
                answer(result);
            }
            self.open = Some((heads, until));
            return Ok(());
        }
        waiting.splice(0..0, noted);
        if let Some((why, path)) = failed {
            return Err(self.given_up(why, path));
        }
        if let Err(why) = self.set(&heads).and_then(|()| self.connection.execute_batch("COMMIT")) {
            return Err(self.given_up(why, self.path.clone()));
        }
        Ok(())
    }

    /// Ends a transaction that failed. That has often happened already; the first error is the one to tell.
    fn given_up(&self, why: rusqlite::Error, path: PathBuf) -> JournalError {
        if !self.connection.is_autocommit()
            && let Err(second) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::warn!("could not end a transaction of {}: {second}", path.display());
        }
        JournalError::Store { why, path }
    }

    fn head(&self, run: &RunId) -> rusqlite::Result<Option<(i64, String)>> {
        self.connection
            .prepare_cached("SELECT head, hash FROM runs WHERE run = ?")?
            .query_row([run.as_str()], |r| Ok((r.get(0)?, r.get(1)?)))
            .optional()
    }

    fn set(&self, heads: &Heads) -> rusqlite::Result<()> {
        for (run, (head, hash)) in heads {
            self.connection.prepare_cached("UPDATE runs SET head = ?, hash = ? WHERE run = ?")?.execute(params![
                head,
                hash,
                run.as_str()
            ])?;
        }
        Ok(())
    }

    fn one(&self, ask: Ask, heads: &mut Heads) -> Result<Option<Record>, JournalError> {
        let store = schema::failed(&self.path);
        match ask {
            Ask::Begin { at, header, audited } => {
                let run = self.free_id(at).map_err(&store)?;
                self.connection
                    .prepare_cached(
                        "INSERT INTO runs (run, head, hash, runbook, operator, machine, began, project)
                         VALUES (?, 0, '', ?, ?, ?, ?, ?)",
                    )
                    .and_then(|mut insert| {
                        let who = &header.operator;
                        let (at, project) = (at.to_string(), &header.project);
                        insert.execute(params![run.as_str(), header.runbook, who.name, who.machine, at, project])
                    })
                    .map_err(&store)?;
                if audited {
                    untold::audited(&self.connection, run.as_str()).map_err(&store)?;
                }
                self.event(run, at, Event::Started(header), heads).map(Some)
            }
            Ask::Append { run, at, event } | Ask::Note { run, at, event } => {
                self.event(run, at, *event, heads).map(Some)
            }
            Ask::Put { hash, bytes } => {
                self.connection
                    .prepare_cached(
                        "INSERT INTO contents (hash, bytes, wanted) VALUES (?, ?, date('now'))
                         ON CONFLICT (hash) DO UPDATE SET wanted = excluded.wanted WHERE wanted < excluded.wanted",
                    )
                    .and_then(|mut insert| insert.execute(params![hash.0, bytes]))
                    .map_err(&store)?;
                Ok(None)
            }
            Ask::Mark(mark) => self.mark(&mark).map_err(&store).map(|()| None),
        }
    }

    fn mark(&self, mark: &Mark) -> rusqlite::Result<()> {
        match mark {
            Mark::Delivered { rows, at } => {
                let mut set =
                    self.connection.prepare_cached("UPDATE outbox SET delivered = ?, failed = NULL WHERE id = ?")?;
                rows.iter().try_for_each(|row| set.execute(params![at.to_string(), row]).map(drop))
            }
            Mark::Failed { row, why } => self
                .connection
                .prepare_cached("UPDATE outbox SET tries = tries + 1, failed = ? WHERE id = ? AND delivered IS NULL")?
                .execute(params![why, row])
                .map(drop),
            Mark::Ticket { run, system, ticket } => self
                .connection
                .prepare_cached(
                    "INSERT INTO tickets (run, system, ticket) VALUES (?, ?, ?)
                     ON CONFLICT (run) DO UPDATE SET system = excluded.system, ticket = excluded.ticket",
                )?
                .execute(params![run.as_str(), system, ticket])
                .map(drop),
            Mark::Seal(seal) => seal::keep(&self.connection, seal),
            Mark::Audited(run) => untold::audited(&self.connection, run.as_str()),
            Mark::Told(run, seq) => untold::told(&self.connection, run, *seq),
        }
    }

    fn free_id(&self, at: Timestamp) -> rusqlite::Result<RunId> {
        let mut millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
        let mut taken = self
            .connection
            // a run that was pruned keeps its id: the ledger knows it
            .prepare_cached("SELECT 1 FROM runs WHERE run = ?1 UNION ALL SELECT 1 FROM ledger WHERE run = ?1")?;
        while taken.exists([RunId::at_millis(millis).as_str()])? {
            millis += 1;
        }
        Ok(RunId::at_millis(millis))
    }

    fn event(&self, run: RunId, at: Timestamp, event: Event, heads: &mut Heads) -> Result<Record, JournalError> {
        let store = schema::failed(&self.path);
        let json =
            serde_json::to_string(&event).map_err(|why| JournalError::BadRow { run: run.clone(), seq: 0, why })?;
        let head = match heads.get(&run) {
            Some(head) => Some(head.clone()),
            None => self.head(&run).map_err(&store)?,
        };
        let Some((head, prev)) = head else { return Err(JournalError::NoRun(run)) };
        let link = chain::Link { run: run.as_str(), seq: head + 1, at: &at.to_string(), json: &json, prev: &prev };
        let hash = self.insert(&link, &event).map_err(&store)?;
        heads.insert(run.clone(), (link.seq, hash));
        let seq = u64::try_from(link.seq).unwrap_or(0);
        Ok(Record { run, seq, at, event })
    }

    fn insert(&self, link: &chain::Link<'_>, event: &Event) -> rusqlite::Result<String> {
        let hash = link.hash().0;
        self.connection
            .prepare_cached("INSERT INTO events (run, seq, at, kind, json, prev, hash) VALUES (?, ?, ?, ?, ?, ?, ?)")?
            .execute(params![link.run, link.seq, link.at, event.kind(), link.json, link.prev, hash])?;
        if event.is_told() {
            self.connection
                .prepare_cached("INSERT INTO outbox (run, seq) VALUES (?, ?)")?
                .execute(params![link.run, link.seq])?;
        }
        self.denormalise(link, event)?;
        // what a person saw may be recorded after the end: it is the run's new head
        if matches!(event, Event::Started(_) | Event::Resumed { .. } | Event::Resolved { .. } | Event::Finished(_)) {
            chain::enter(&self.connection, link.run, link.seq, &hash)?;
        }
        Ok(hash)
    }

    /// What lists of runs show, taken from the event.
    fn denormalise(&self, link: &chain::Link<'_>, event: &Event) -> rusqlite::Result<()> {
        match event {
            Event::Locked { exclusive, shared } => {
                let apps = exclusive.iter().chain(shared).filter_map(|lock| lock.0.strip_prefix("app/"));
                for app in apps.filter(|app| !app.contains('/')) {
                    self.concerns("app", app, link.run)?;
                }
                self.connection
                    .prepare_cached("UPDATE runs SET locked = ? WHERE run = ?")?
                    .execute(params![link.seq, link.run])?
            }
            // what a person has put right after its end is not looked for any more
            Event::Resolved { done: true, .. } => self
                .connection
                .prepare_cached(
                    "UPDATE runs SET owed = owed - 1 WHERE run = ? AND owed > 0 AND ended IS NOT NULL
                     AND outcome NOT IN ('unknown', 'stopped')",
                )?
                .execute([link.run])?,
            Event::Began(began) => self.concerns("host", began.host.as_str(), link.run)?,
            Event::Phase { hosts, .. } => {
                for host in hosts {
                    self.concerns("host", host.as_str(), link.run)?;
                }
                0
            }
            Event::Resumed { .. } => self
                .connection
                .prepare_cached("UPDATE runs SET ended = NULL, outcome = NULL, exit_code = NULL WHERE run = ?")?
                .execute([link.run])?,
            Event::Finished(end) => self
                .connection
                .prepare_cached(
                    "UPDATE runs SET ended = ?, outcome = ?, exit_code = ?, changed = ?, owed = ? WHERE run = ?",
                )?
                .execute(params![
                    link.at,
                    end.outcome.word(),
                    end.exit_code,
                    i64::try_from(end.changed).unwrap_or(i64::MAX),
                    i64::try_from(end.owed).unwrap_or(i64::MAX),
                    link.run
                ])?,
            Event::Paid { run_owing, debt } => {
                let paid = self
                    .connection
                    .prepare_cached(
                        "INSERT INTO payments (owing, debt, run) VALUES (?, ?, ?) ON CONFLICT (owing, debt) DO NOTHING",
                    )?
                    .execute([run_owing.as_str(), debt, link.run])?;
                // The end of a run counts what it owes itself; what others pay later is taken off here.
                if paid == 1 && run_owing.as_str() != link.run {
                    self.connection
                        .prepare_cached("UPDATE runs SET owed = owed - 1 WHERE run = ? AND owed > 0")?
                        .execute([run_owing.as_str()])?;
                }
                paid
            }
            _ => 0,
        };
        Ok(())
    }

    /// What the run is found by.
    fn concerns(&self, what: &str, name: &str, run: &str) -> rusqlite::Result<usize> {
        self.connection
            .prepare_cached("INSERT INTO concerns (what, name, run) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")?
            .execute([what, name, run])
    }
}

/// An error and its sources in one line.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}
