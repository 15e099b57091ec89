//! What lists say of a run is kept beside its events; a check makes it anew of them.

use super::chain::Fault;
use crate::base::RunId;
use rusqlite::{Connection, Row, params, types::ValueRef};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

/// A text, or none.
fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    if row.get_ref(column)? == ValueRef::Null { Ok(None) } else { super::chain::text(row, column).map(Some) }
}

/// What lists say of a run, which its events must say as well.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    project: Option<String>,
    runbook: Option<String>,
    operator: Option<String>,
    machine: Option<String>,
    began: Option<String>,
    ended: Option<String>,
    outcome: Option<String>,
    exit_code: Option<i64>,
    changed: i64,
    locked: Option<i64>,
}

impl Listed {
    pub(super) fn of_row(read: &Connection, run: &str) -> rusqlite::Result<Option<Self>> {
        use rusqlite::OptionalExtension;
        let sql = "SELECT project, runbook, operator, machine, began, ended, outcome, exit_code, changed,
                   locked FROM runs
                   WHERE run = ?";
        read.prepare_cached(sql)?
            .query_row([run], |r| {
                Ok(Self {
                    project: text(r, 0)?,
                    runbook: text(r, 1)?,
                    operator: text(r, 2)?,
                    machine: text(r, 3)?,
                    began: text(r, 4)?,
                    ended: text(r, 5)?,
                    outcome: text(r, 6)?,
                    exit_code: r.get(7)?,
                    changed: r.get(8)?,
                    locked: r.get(9)?,
                })
            })
            .optional()
    }

    /// Takes an event in, as the writer of the row did.
    pub(super) fn apply(&mut self, kind: &str, (seq, at): (i64, &str), told: Option<&Value>) {
        let text = |path: &str| told.and_then(|t| t.pointer(path)).and_then(Value::as_str).map(str::to_owned);
        let number = |path: &str| told.and_then(|t| t.pointer(path)).and_then(Value::as_i64);
        match kind {
            "started" => {
                self.project = text("/project");
                self.runbook = text("/runbook");
                self.operator = text("/operator/name");
                self.machine = text("/operator/machine");
                self.began = Some(at.to_owned());
            }
            "locked" => self.locked = Some(seq),
            "resumed" => (self.ended, self.outcome, self.exit_code) = (None, None, None),
            "finished" => {
                self.ended = Some(at.to_owned());
                self.outcome = text("/outcome");
                self.exit_code = number("/exit_code");
                self.changed = number("/changed").unwrap_or(0);
            }
            _ => {}
        }
    }
}

/// What else is kept beside a run's events, made anew of them.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// What it went by: what, its hash.
    pub(super) went_by: Vec<(&'static str, String)>,
    /// What it was about: `host` or `app`, its name.
    about: BTreeSet<(&'static str, String)>,
    /// Debts that it paid: of which run, their keys.
    paid: BTreeSet<(String, String)>,
    /// What it owed at its end.
    owed: i64,
    /// So many debts a person may have settled after it.
    settled: i64,
}

impl Beside {
    /// Takes an event in, as the writer did.
    pub(super) fn apply(&mut self, kind: &str, told: Option<&Value>) {
        let Some(told) = told else { return };
        let text = |name: &str| told.get(name).and_then(Value::as_str).map(str::to_owned);
        let all = |name: &str| told.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        match kind {
            "started" => {
                let named = [("runbook", "runbook_hash"), ("inventory", "inventory_hash"), ("shown plan", "shown")];
                self.went_by = named.into_iter().filter_map(|(what, field)| Some((what, text(field)?))).collect();
            }
            "began" => self.about.extend(text("host").map(|host| ("host", host))),
            "phase" => self.about.extend(all("hosts").map(|host| ("host", host.to_owned()))),
            "locked" => {
                let apps = all("exclusive").chain(all("shared")).filter_map(|lock| lock.strip_prefix("app/"));
                self.about.extend(apps.filter(|app| !app.contains('/')).map(|app| ("app", app.to_owned())));
            }
            "paid" => self.paid.extend(text("run_owing").zip(text("debt"))),
            "resolved" => self.settled += 1,
            "finished" => {
                self.owed = told.get("owed").and_then(Value::as_i64).unwrap_or(0);
                self.settled = 0;
            }
            _ => {}
        }
    }

    /// Whether what the list says that the run owes can be: others pay before its end, and after it.
    pub(super) fn owes(&self, read: &Connection, run: &str) -> rusqlite::Result<bool> {
        let (owed, by_others): (i64, i64) = read
            .prepare_cached(
                "SELECT owed, (SELECT count(*) FROM payments p WHERE p.owing = r.run AND p.run <> r.run)
                 FROM runs r WHERE r.run = ?",
            )?
            .query_row([run], |r| Ok((r.get(0)?, r.get(1)?)))?;
        Ok(((self.owed - self.settled - by_others).max(0)..=self.owed).contains(&owed))
    }
}

/// By what runs are found: how many hosts and apps each.
#[derive(Debug)]
pub(super) struct Found(HashMap<String, usize>);

impl Found {
    pub(super) fn of(read: &Connection) -> rusqlite::Result<Self> {
        let mut found = HashMap::new();
        let mut rows = read.prepare("SELECT run FROM concerns")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            *found.entry(super::chain::text(row, 0)?).or_default() += 1;
        }
        Ok(Self(found))
    }

    /// Whether a run is found by what its events name, and has the debts paid that they name.
    pub(super) fn check(&self, read: &Connection, run: &str, beside: &Beside) -> rusqlite::Result<Vec<Fault>> {
        let mut faults = Vec::new();
        let mut there = read.prepare_cached("SELECT 1 FROM concerns WHERE what = ? AND name = ? AND run = ?")?;
        let mut same = self.0.get(run).copied().unwrap_or(0) == beside.about.len();
        for (what, name) in &beside.about {
            same = same && there.exists([what, name.as_str(), run])?;
        }
        if !same {
            faults.push(Fault::OtherConcerns { run: run.to_owned() });
        }
        let mut there = read.prepare_cached("SELECT 1 FROM payments WHERE owing = ? AND debt = ?")?;
        for (owing, debt) in &beside.paid {
            if !there.exists([owing, debt])? {
                faults.push(Fault::OtherPayment { run: run.to_owned() });
                break;
            }
        }
        Ok(faults)
    }
}

/// Payments that no event of the run that is said to have paid tells of; what a run paid that is `gone` rightly, nobody can
/// tell any more.
pub(super) fn payments(read: &Connection, gone: &BTreeSet<u64>) -> rusqlite::Result<Vec<Fault>> {
    let mut faults = Vec::new();
    let mut said = read.prepare("SELECT json FROM events WHERE run = ? AND kind = 'paid' ORDER BY seq")?;
    let mut rows = read.prepare("SELECT owing, debt, run FROM payments ORDER BY run")?;
    let mut rows = rows.query([])?;
    let (mut payer, mut beside) = (None, Beside::default());
    while let Some(row) = rows.next()? {
        let text = |column| super::chain::text(row, column);
        let (debt, run) = ((text(0)?, text(1)?), text(2)?);
        if run.parse().is_ok_and(|run: RunId| gone.contains(&run.millis())) {
            continue;
        }
        if payer.as_ref() != Some(&run) {
            beside = Beside::default();
            let mut events = said.query(params![run])?;
            while let Some(event) = events.next()? {
                beside.apply("paid", serde_json::from_str(&super::chain::text(event, 0)?).ok().as_ref());
            }
            payer = Some(run.clone());
        }
        let fault = Fault::OtherPayment { run };
        if !beside.paid.contains(&debt) && faults.last() != Some(&fault) {
            faults.push(fault);
        }
    }
    Ok(faults)
}
