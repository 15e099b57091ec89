//! Old runs are taken out of the journal, and what was taken out stays proven: the ledger keeps its entries, and a chain of
//! its own records who took which runs away, up to which last event, when and why. A run that is gone without such a record
//! is missing, and found.

use super::{
    JournalError, SqliteJournal, chain,
    event::{Header, Operator},
    schema,
    sqlite::limit,
    untold,
};
use crate::base::{Hash, RunId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// What the chain of prunings is called where a run's id stands. No run bears it.
pub const CHAIN: &str = "prune";
/// The kind of its events.
const KIND: &str = "pruned";
/// So many runs are taken out in one transaction: others write between two of them.
const AT_ONCE: usize = 100;
/// Others have as long as a transaction took, and no less than this.
const GAP: Duration = Duration::from_millis(5);

/// An event of the chain of prunings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Pruned {
    /// `pruned`.
    pub(super) event: String,
    /// Who.
    pub(super) operator: Operator,
    /// Why.
    pub(super) reason: String,
    /// When the command began: its events share this.
    pub(super) begun: Timestamp,
    /// All of them ended before then.
    pub(super) before: Timestamp,
    /// So many runs.
    pub(super) count: usize,
    /// The runs: id, number of the last event, its hash.
    pub(super) runs: Vec<(RunId, u64, Hash)>,
    /// Those that were left, for their events are not what was written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) unsound: Vec<RunId>,
}

/// What is to be taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Runs that ended before then.
    pub before: Timestamp,
    /// But for the newest so many.
    pub keep: usize,
    /// Of this project; none: of all.
    pub project: Option<String>,
}

/// What would be taken out, and what would not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// The runs, oldest first.
    pub runs: Vec<RunId>,
    /// Their events.
    pub events: u64,
    /// Old enough, but without a good or a bad end.
    pub open: usize,
    /// Old enough, but they owe something.
    pub owing: usize,
    /// Old enough, but their ticket does not have all of it yet.
    pub untold: usize,
    /// Old enough, but among the newest that are kept.
    pub kept: usize,
}

/// A pruning that was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pruning {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub operator: String,
    /// On which machine.
    pub machine: String,
    /// Why.
    pub reason: String,
    /// The runs had ended before then.
    pub before: Timestamp,
    /// So many runs.
    pub runs: usize,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Runs that were taken out.
    pub runs: usize,
    /// Their events.
    pub events: usize,
    /// Contents that no run refers to any more.
    pub contents: usize,
    /// Runs that were left where they are: their events are not what was written.
    pub unsound: Vec<RunId>,
}

/// What keeps an old run: it is not at its end, or somebody has still to be told of it.
const OPEN: &str = "(r.ended IS NULL OR r.outcome IN ('unknown', 'stopped'))";
const UNTOLD: &str = "EXISTS (SELECT 1 FROM outbox o WHERE o.run = r.run AND o.delivered IS NULL)";
/// The same where the machine's log is told, too.
const UNTOLD_ANYWHERE: &str = "(EXISTS (SELECT 1 FROM outbox o WHERE o.run = r.run AND o.delivered IS NULL)
    OR EXISTS (SELECT 1 FROM untold u WHERE u.run = r.run))";

impl SqliteJournal {
    /// What a wish would take out. `settled` says whether a run that had debts at its end owes nothing by now.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn prunable(
        &self,
        wish: &Wish,
        settled: impl Fn(&RunId) -> Result<bool, JournalError>,
    ) -> Result<Preview, JournalError> {
        let store = schema::failed(self.path());
        let project = wish.project.as_deref();
        let read = schema::reader(self.path())?;
        let newest: Option<String> = read
            .query_row(
                "SELECT run FROM runs WHERE ?1 IS NULL OR project = ?1 ORDER BY run DESC LIMIT 1 OFFSET ?2",
                params![project, limit(wish.keep).saturating_sub(1).max(0)],
                |r| r.get(0),
            )
            .optional()
            .map_err(&store)?;
        let kept = |run: &str| wish.keep > 0 && newest.as_deref().is_none_or(|newest| run >= newest);
        let sql = format!(
            "SELECT r.run, r.head, {OPEN}, r.owed, {}, r.ended FROM runs r
             WHERE r.run < ?1 AND (?2 IS NULL OR r.project = ?2) ORDER BY r.run",
            self.holds()
        );
        let mut rows = read.prepare(&sql).map_err(&store)?;
        let mut rows = rows.query(params![id_at(wish.before), project]).map_err(&store)?;
        let (mut preview, mut owing) = (Preview::default(), Vec::new());
        while let Some(row) = rows.next().map_err(&store)? {
            let found: rusqlite::Result<(String, i64, bool, i64, bool, Option<String>)> =
                (|| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?)))();
            let (run, head, open, owed, untold, ended) = found.map_err(&store)?;
            let Ok(id) = run.parse::<RunId>() else { continue };
            // begun before, and gone on with after it
            let lately = ended.and_then(|at| at.parse::<Timestamp>().ok()).is_some_and(|at| at >= wish.before);
            match () {
                () if open => preview.open += 1,
                () if untold => preview.untold += 1,
                () if kept(&run) => preview.kept += 1,
                () if lately => {}
                () if owed > 0 => owing.push((id, head)),
                () => {
                    preview.events += u64::try_from(head).unwrap_or(0);
                    preview.runs.push(id);
                }
            }
        }
        for (run, head) in owing {
            if settled(&run)? {
                preview.events += u64::try_from(head).unwrap_or(0);
                preview.runs.push(run);
            } else {
                preview.owing += 1;
            }
        }
        preview.runs.sort();
        Ok(preview)
    }

    /// Takes runs out. Each step is whole in itself: who is killed between two of them has pruned fewer runs. `told` hears how
    /// many are done.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn prune(
        &self,
        runs: &[RunId],
        wish: &Wish,
        (operator, reason, now): (&Operator, &str, Timestamp),
        told: impl Fn(usize),
    ) -> Result<Done, JournalError> {
        let store = schema::failed(self.path());
        let mut write = schema::prepare(self.path())?;
        let mut done = Done::default();
        for some in runs.chunks(AT_ONCE) {
            let began = Instant::now();
            let turn = write.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&store)?;
            let record = Pruned {
                event: KIND.to_owned(),
                operator: operator.clone(),
                reason: reason.to_owned(),
                begun: now,
                before: wish.before,
                count: 0,
                runs: Vec::new(),
                unsound: Vec::new(),
            };
            if self.audits() {
                untold::audited(&turn, CHAIN).map_err(&store)?;
            }
            let (record, events) = take_out(&turn, (some, self.holds()), record, now).map_err(&store)?;
            turn.commit().map_err(&store)?;
            done.runs += record.count;
            done.events += events;
            done.unsound.extend(record.unsound);
            told(done.runs);
            std::thread::sleep(began.elapsed().max(GAP));
        }
        self.sweep(&mut write, &mut done)?;
        Ok(done)
    }

    /// What holds an old run that somebody has still to be told of.
    fn holds(&self) -> &'static str {
        if self.audits() { UNTOLD_ANYWHERE } else { UNTOLD }
    }

    /// Takes away what stood beside the runs: what they are found by, and contents that no run refers to.
    fn sweep(&self, write: &mut Connection, done: &mut Done) -> Result<(), JournalError> {
        let store = schema::failed(self.path());
        let names: Vec<(String, String)> = write
            .prepare("SELECT DISTINCT what, name FROM concerns")
            .and_then(|mut q| q.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect())
            .map_err(&store)?;
        for (what, name) in names {
            write
                .execute(
                    "DELETE FROM concerns WHERE what = ? AND name = ? AND NOT EXISTS
                     (SELECT 1 FROM runs r WHERE r.run = concerns.run)",
                    [what, name],
                )
                .map_err(&store)?;
        }
        // a header that cannot be read may refer to anything: then nothing is left over
        let Some(wanted) = contents_in_use(write).map_err(&store)? else { return Ok(()) };
        let old: Vec<String> = write
            .prepare("SELECT hash FROM contents WHERE wanted < date('now', '-1 day')")
            .and_then(|mut q| q.query_map([], |r| r.get(0))?.collect())
            .map_err(&store)?;
        for hash in old.into_iter().filter(|hash| !wanted.contains(hash)) {
            // asked again: a run that begins now may want it since
            done.contents += write
                .execute("DELETE FROM contents WHERE hash = ? AND wanted < date('now', '-1 day')", [hash])
                .map_err(&store)?;
        }
        Ok(())
    }

    /// Gives the room of what was taken out back to the file system.
    ///
    /// # Errors
    /// There is no room for the copy that this needs, or another process writes.
    pub fn shrink(&self) -> Result<(), JournalError> {
        let write = schema::prepare(self.path())?;
        write.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);").map_err(schema::failed(self.path()))
    }

    /// The bytes of the file, with what is written beside it, and how many of them are free.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn size(&self) -> Result<(u64, u64), JournalError> {
        let of = |ending: &str| {
            let mut path = self.path().as_os_str().to_owned();
            path.push(ending);
            std::fs::metadata(path).map_or(0, |found| found.len())
        };
        let read = self.connection();
        let value = |name: &str| read.pragma_query_value(None, name, |r| r.get::<_, i64>(0));
        let free = value("freelist_count").and_then(|pages| Ok(pages * value("page_size")?));
        let free = free.map_err(schema::failed(self.path()))?;
        Ok((of("") + of("-wal"), u64::try_from(free).unwrap_or(0)))
    }

    /// The newest prunings, newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn prunings(&self, most: usize) -> Result<Vec<Pruning>, JournalError> {
        let read = self.connection();
        let sql = "SELECT j ->> '$.begun', j ->> '$.operator.name', j ->> '$.operator.machine', j ->> '$.reason',
                   j ->> '$.before', sum(j ->> '$.count') FROM
                   (SELECT seq, json AS j FROM events WHERE run = ? AND json_valid(json))
                   GROUP BY 1, 2, 3, 4, 5 ORDER BY max(seq) DESC LIMIT ?";
        read.prepare_cached(sql)
            .and_then(|mut q| {
                q.query_map(params![CHAIN, limit(most)], |r| {
                    Ok(Pruning {
                        at: super::sqlite::parsed(r, 0)?,
                        operator: r.get(1)?,
                        machine: r.get(2)?,
                        reason: r.get(3)?,
                        before: super::sqlite::parsed(r, 4)?,
                        runs: usize::try_from(r.get::<_, i64>(5)?).unwrap_or(0),
                    })
                })?
                .collect()
            })
            .map_err(schema::failed(self.path()))
    }

    /// The pruning that took a run out, if one did.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn pruned(&self, run: &RunId) -> Result<Option<Pruning>, JournalError> {
        let read = self.connection();
        let found: Option<String> = read
            .prepare_cached("SELECT json FROM events WHERE run = ? AND instr(json, ?) > 0 ORDER BY seq DESC LIMIT 1")
            .and_then(|mut q| q.query_row(params![CHAIN, format!("[\"{run}\",")], |r| r.get(0)).optional())
            .map_err(schema::failed(self.path()))?;
        let record = found.and_then(|json| serde_json::from_str::<Pruned>(&json).ok());
        Ok(record.map(|record| Pruning {
            at: record.begun,
            operator: record.operator.name,
            machine: record.operator.machine,
            reason: record.reason,
            before: record.before,
            runs: record.count,
        }))
    }
}

/// The hashes that headers refer to; none: a header cannot be read.
fn contents_in_use(read: &Connection) -> rusqlite::Result<Option<BTreeSet<String>>> {
    let mut wanted = BTreeSet::new();
    let mut rows = read.prepare("SELECT e.json FROM runs r LEFT JOIN events e ON e.run = r.run AND e.seq = 1")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let json: Option<String> = row.get(0)?;
        let Some(header) = json.and_then(|json| serde_json::from_str::<Header>(&json).ok()) else { return Ok(None) };
        let all = [Some(header.runbook_hash), Some(header.inventory_hash), header.shown, header.plan];
        wanted.extend(all.into_iter().flatten().map(|hash| hash.0));
    }
    Ok(Some(wanted))
}

/// Takes some runs out in one transaction, with the record of it: those that are still as they were when they were chosen.
fn take_out(
    turn: &Transaction<'_>,
    (runs, untold): (&[RunId], &str),
    mut record: Pruned,
    now: Timestamp,
) -> rusqlite::Result<(Pruned, usize)> {
    let mut events = 0;
    let sql =
        format!("SELECT r.head, r.hash FROM runs r WHERE r.run = ? AND r.ended < ? AND NOT {OPEN} AND NOT {untold}");
    for run in runs {
        let found: Option<(i64, String)> = turn
            .prepare_cached(&sql)?
            .query_row(params![run.as_str(), record.before.to_string()], |r| Ok((r.get(0)?, r.get(1)?)))
            .optional()?;
        let Some((head, hash)) = found else { continue };
        // what was changed must not be taken out: then nobody would ever find it
        if !chain::is_sound(turn, run.as_str())? {
            record.unsound.push(run.clone());
            continue;
        }
        // the ledger vouches for the very last event: only then can anybody tell what was taken out
        let known: Option<i64> = turn
            .prepare_cached("SELECT max(head) FROM ledger WHERE run = ?")?
            .query_row([run.as_str()], |r| r.get(0))?;
        if known != Some(head) {
            chain::enter(turn, run.as_str(), head, &hash)?;
        }
        events += turn.prepare_cached("DELETE FROM events WHERE run = ?")?.execute([run.as_str()])?;
        for table in ["outbox", "tickets", "untold", "runs"] {
            turn.prepare_cached(&format!("DELETE FROM {table} WHERE run = ?"))?.execute([run.as_str()])?;
        }
        record.runs.push((run.clone(), u64::try_from(head).unwrap_or(0), Hash(hash)));
    }
    record.count = record.runs.len();
    if record.count > 0 {
        append(turn, &record, now)?;
    }
    Ok((record, events))
}

/// Records it in the chain of prunings, and in the ledger.
fn append(turn: &Transaction<'_>, record: &Pruned, now: Timestamp) -> rusqlite::Result<()> {
    let last: Option<(i64, String)> = turn
        .prepare_cached("SELECT seq, hash FROM events WHERE run = ? ORDER BY seq DESC LIMIT 1")?
        .query_row([CHAIN], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()?;
    let (seq, prev) = last.unwrap_or_default();
    let json = serde_json::to_string(record).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
    let link = chain::Link { run: CHAIN, seq: seq + 1, at: &now.to_string(), json: &json, prev: &prev };
    let hash = link.hash().0;
    turn.prepare_cached("INSERT INTO events (run, seq, at, kind, json, prev, hash) VALUES (?, ?, ?, ?, ?, ?, ?)")?
        .execute(params![CHAIN, link.seq, link.at, KIND, link.json, link.prev, hash])?;
    chain::enter(turn, CHAIN, link.seq, &hash)
}

/// The id of a run that begins then.
fn id_at(at: Timestamp) -> String {
    RunId::at_millis(u64::try_from(at.as_millisecond()).unwrap_or(0)).to_string()
}

#[cfg(test)]
mod tests;
