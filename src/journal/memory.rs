//! A journal that is gone with its process: for plans, rehearsals and tests. It can be told to die before or after an
//! event, as a process does.

use super::{
    Journal, JournalError, OpenRun,
    event::{Event, Header, Record},
    open_among,
    outbox::{Outbox, TicketOf, Undelivered, Waiting},
};
use crate::base::{Hash, RunId};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A journal in memory.
#[derive(Debug, Default)]
pub struct MemoryJournal(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    runs: BTreeMap<RunId, Vec<Record>>,
    contents: BTreeMap<Hash, Vec<u8>>,
    /// In order; the row's number is its place.
    outbox: Vec<Told>,
    tickets: BTreeMap<RunId, TicketOf>,
    /// Events taken so far, of all runs.
    taken: usize,
    /// Events are numbered, and only the first is kept.
    passing: bool,
    /// The event that is not taken any more, and whether it is still kept.
    kill: Option<(usize, bool)>,
    killed: bool,
    /// Events are not held against their text.
    #[cfg(test)]
    trusting: bool,
}

/// A row of the outbox.
#[derive(Debug)]
struct Told {
    waiting: Waiting,
    delivered: Option<Timestamp>,
}

impl MemoryJournal {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
    /// An empty one that hands out events as they are told: rehearsals take thousands. In tests any other holds each event
    /// against what a store would give back.
    pub fn trusting() -> Self {
        let journal = Self::default();
        #[cfg(test)]
        {
            journal.kept().trusting = true;
        }
        journal
    }
    /// An empty one for one run that keeps only how it began: for who hears its events as they come.
    pub fn passing() -> Self {
        let journal = Self::default();
        journal.kept().passing = true;
        journal
    }
    /// The `n`-th event from now (from 1) is not kept, and nothing after it.
    pub fn kill_before(&self, n: usize) {
        let mut kept = self.kept();
        kept.kill = Some((kept.taken + n, false));
    }
    /// The `n`-th event from now (from 1) is kept, but nobody hears of it, and nothing after it is.
    pub fn kill_after(&self, n: usize) {
        let mut kept = self.kept();
        kept.kill = Some((kept.taken + n, true));
    }
    /// Takes events again, as a new process would.
    pub fn revive(&self) {
        let mut kept = self.kept();
        kept.kill = None;
        kept.killed = false;
    }
    /// How many events were kept so far.
    pub fn taken(&self) -> usize {
        self.kept().taken
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn alive(&self) -> Result<(), JournalError> {
        if self.killed { Err(killed()) } else { Ok(()) }
    }

    fn take(&mut self, run: &RunId, at: Timestamp, event: Event) -> Result<Record, JournalError> {
        self.alive()?;
        let fatal = self.kill.filter(|(n, _)| *n == self.taken + 1);
        self.killed = fatal.is_some();
        if let Some((_, false)) = fatal {
            return Err(killed());
        }
        let records = self.runs.get_mut(run).ok_or_else(|| JournalError::NoRun(run.clone()))?;
        let before = if self.passing { self.taken } else { records.len() };
        let record = Record { run: run.clone(), seq: before as u64 + 1, at, event };
        #[cfg(test)]
        let record: Record = if self.trusting {
            record
        } else {
            // what a store would give back must be what was told
            let text = serde_json::to_string(&record).unwrap();
            let read = serde_json::from_str(&text).unwrap();
            assert_eq!(record, read, "{text}");
            read
        };
        if !self.passing || records.is_empty() {
            records.push(record.clone());
        }
        if record.event.is_told() && !self.passing {
            let row = i64::try_from(self.outbox.len()).unwrap_or(i64::MAX);
            let waiting = Waiting { row, run: run.clone(), seq: record.seq, tries: 0, failed: None };
            self.outbox.push(Told { waiting, delivered: None });
        }
        self.taken += 1;
        self.alive().map(|()| record)
    }
}

fn killed() -> JournalError {
    JournalError::Closed("killed".into())
}

impl Journal for MemoryJournal {
    fn begin(&self, at: Timestamp, header: Header) -> Result<Record, JournalError> {
        let mut kept = self.kept();
        kept.alive()?;
        let mut millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
        while kept.runs.contains_key(&RunId::at_millis(millis)) {
            millis += 1;
        }
        let run = RunId::at_millis(millis);
        kept.runs.insert(run.clone(), Vec::new());
        let record = kept.take(&run, at, Event::Started(Box::new(header)));
        if record.is_err() && kept.runs.get(&run).is_some_and(Vec::is_empty) {
            kept.runs.remove(&run);
        }
        record
    }
    fn append<'a>(
        &'a self,
        run: &'a RunId,
        at: Timestamp,
        event: Event,
    ) -> Pin<Box<dyn Future<Output = Result<Record, JournalError>> + Send + 'a>> {
        let record = self.kept().take(run, at, event);
        Box::pin(std::future::ready(record))
    }
    fn records(&self, run: &RunId) -> Result<Vec<Record>, JournalError> {
        self.kept().runs.get(run).cloned().ok_or_else(|| JournalError::NoRun(run.clone()))
    }
    fn runs(&self, most: usize) -> Result<Vec<RunId>, JournalError> {
        Ok(self.kept().runs.keys().rev().take(most).cloned().collect())
    }
    fn troubled(&self) -> Result<Vec<RunId>, JournalError> {
        let kept = self.kept();
        let all = || kept.runs.values().flatten();
        let paid: BTreeSet<(&RunId, &str)> = all()
            .filter_map(|r| match &r.event {
                Event::Paid { run_owing, debt } if *run_owing != r.run => Some((run_owing, debt.as_str())),
                _ => None,
            })
            .collect();
        let troubled = |run: &RunId, records: &[Record]| {
            let last = records.iter().rev().find_map(|r| match &r.event {
                Event::Finished(end) => Some(Some(end)),
                Event::Resumed { .. } => Some(None),
                _ => None,
            });
            let paid = paid.iter().filter(|(owing, _)| *owing == run).count();
            last.flatten().is_none_or(|end| end.outcome.resumable() || end.owed > paid)
        };
        Ok(kept.runs.iter().filter(|(run, records)| troubled(run, records)).map(|(run, _)| run.clone()).collect())
    }
    fn paid_of(&self, run: &RunId) -> Result<Vec<String>, JournalError> {
        let kept = self.kept();
        let paid = kept.runs.values().flatten().filter_map(|record| match &record.event {
            Event::Paid { run_owing, debt } if run_owing == run => Some(debt.clone()),
            _ => None,
        });
        Ok(paid.collect())
    }
    fn put(&self, bytes: &[u8]) -> Result<Hash, JournalError> {
        let hash = Hash::of(bytes);
        let mut kept = self.kept();
        kept.alive()?;
        kept.contents.insert(hash.clone(), bytes.to_vec());
        Ok(hash)
    }
    fn get(&self, hash: &Hash) -> Result<Vec<u8>, JournalError> {
        self.kept().contents.get(hash).cloned().ok_or_else(|| JournalError::NoContent(hash.clone()))
    }
    fn open_runs(&self) -> Result<Vec<OpenRun>, JournalError> {
        Ok(self.kept().runs.values().filter_map(|records| open_among(records)).collect())
    }
}

impl Outbox for MemoryJournal {
    fn waiting(&self, first: Option<&RunId>, most: usize) -> Result<Vec<Waiting>, JournalError> {
        let kept = self.kept();
        let mut rows: Vec<Waiting> =
            kept.outbox.iter().filter(|t| t.delivered.is_none()).map(|t| t.waiting.clone()).collect();
        rows.sort_by_key(|w| (Some(&w.run) != first, w.row));
        rows.truncate(most);
        Ok(rows)
    }
    fn records_after(&self, run: &RunId, after: u64) -> Result<Vec<Record>, JournalError> {
        let mut records = self.kept().runs.get(run).cloned().unwrap_or_default();
        records.retain(|r| r.seq > after);
        Ok(records)
    }
    fn delivered(&self, rows: &[i64], at: Timestamp) -> Result<(), JournalError> {
        let mut kept = self.kept();
        kept.alive()?;
        for told in kept.outbox.iter_mut().filter(|t| rows.contains(&t.waiting.row)) {
            told.delivered = Some(at);
            told.waiting.failed = None;
        }
        Ok(())
    }
    fn not_delivered(&self, row: i64, why: &str) -> Result<(), JournalError> {
        let mut kept = self.kept();
        kept.alive()?;
        if let Some(told) = kept.outbox.iter_mut().find(|t| t.waiting.row == row && t.delivered.is_none()) {
            told.waiting.tries += 1;
            told.waiting.failed = Some(why.to_owned());
        }
        Ok(())
    }
    fn undelivered(&self) -> Result<Undelivered, JournalError> {
        let waiting = self.waiting(None, usize::MAX)?;
        let runs: BTreeSet<&RunId> = waiting.iter().map(|w| &w.run).collect();
        let why = waiting.iter().find_map(|w| w.failed.clone());
        Ok(Undelivered { rows: waiting.len(), runs: runs.len(), why })
    }
    fn ticket_of(&self, run: &RunId) -> Result<Option<TicketOf>, JournalError> {
        Ok(self.kept().tickets.get(run).cloned())
    }
    fn set_ticket(&self, run: &RunId, ticket: &TicketOf) -> Result<(), JournalError> {
        let mut kept = self.kept();
        kept.alive()?;
        kept.tickets.insert(run.clone(), ticket.clone());
        Ok(())
    }
    fn anchor_of(&self, _: &RunId, _: u64) -> Result<Option<super::chain::Anchor>, JournalError> {
        // it has no ledger
        Ok(None)
    }
    fn others_unsettled(&self, ticket: &TicketOf, run: &RunId) -> Result<bool, JournalError> {
        let others: Vec<RunId> =
            self.kept().tickets.iter().filter(|(of, t)| *of != run && *t == ticket).map(|(of, _)| of.clone()).collect();
        for other in others {
            let end = self.state(&other)?.end;
            if end.is_none_or(|end| end.outcome.resumable() || end.owed > self.paid_of(&other).map_or(0, |p| p.len())) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
