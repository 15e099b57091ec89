//! Runs by what is asked for: a page of rows at a time, whatever the journal's size.

use super::{
    JournalError, RunRow, SqliteJournal,
    event::End,
    schema,
    sqlite::{ROW, limit, row},
};
use crate::base::RunId;
use jiff::Timestamp;
use rusqlite::types::Value;

/// Which runs are asked for; all that is said must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this project.
    pub project: Option<String>,
    /// Begun then or later.
    pub since: Option<Timestamp>,
    /// Begun before then.
    pub until: Option<Timestamp>,
    /// Of this runbook, or of these words of a verb.
    pub runbook: Option<String>,
    /// That acted on this app.
    pub app: Option<String>,
    /// That came to this host.
    pub host: Option<String>,
    /// Begun by this user.
    pub operator: Option<String>,
    /// Told of in this ticket.
    pub ticket: Option<String>,
    /// That stand in one of these ways; empty: in any.
    pub stands: Vec<Stand>,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// It ended so.
    Ended(End),
    /// It has no end: it runs, or was interrupted, which only the locks know.
    Open,
    /// It may owe something: it was left owing at its end, or has none.
    Owing,
}

impl SqliteJournal {
    /// The newest `most` runs that a filter leaves, all of them older than `before` if that is given.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn list(&self, filter: &Filter, before: Option<&RunId>, most: usize) -> Result<Vec<RunRow>, JournalError> {
        let Asked { sql, values } = asked(filter, before, most);
        let read = self.connection();
        read.prepare_cached(&sql)
            .and_then(|mut q| q.query_map(rusqlite::params_from_iter(values), row)?.collect())
            .map_err(schema::failed(self.path()))
    }
}

/// A question to the database.
struct Asked {
    sql: String,
    values: Vec<Value>,
}

impl Asked {
    fn and(&mut self, what: &str, value: impl Into<Value>) {
        self.values.push(value.into());
        self.sql += &format!(" AND {}", what.replace('?', &format!("?{}", self.values.len())));
    }
}

/// The newest come first by the order of an index, so that a page costs no more than its rows; where a host or an app is
/// asked for, that index is the one of what runs were about.
fn asked(filter: &Filter, before: Option<&RunId>, most: usize) -> Asked {
    let about = [("host", &filter.host), ("app", &filter.app)];
    let mut about = about.into_iter().filter_map(|(what, name)| Some((what, name.clone()?)));
    let mut asked = match about.next() {
        None => Asked { sql: format!("SELECT {ROW} FROM runs r WHERE TRUE"), values: Vec::new() },
        Some((what, name)) => {
            let from = "concerns c CROSS JOIN runs r ON r.run = c.run";
            let sql = format!("SELECT {ROW} FROM {from} WHERE c.what = '{what}' AND c.name = ?1");
            Asked { sql, values: vec![name.into()] }
        }
    };
    let by = if asked.values.is_empty() { "r.run" } else { "c.run" };
    for (what, name) in about {
        asked.and(
            &format!("EXISTS (SELECT 1 FROM concerns x WHERE x.what = '{what}' AND x.name = ? AND x.run = r.run)"),
            name,
        );
    }
    let id = |at: Timestamp| RunId::at_millis(u64::try_from(at.as_millisecond()).unwrap_or(0)).to_string();
    let edges =
        [(">= ?", filter.since.map(id)), ("< ?", filter.until.map(id)), ("< ?", before.map(ToString::to_string))];
    for (edge, value) in edges {
        if let Some(value) = value {
            asked.and(&format!("{by} {edge}"), value);
        }
    }
    let equals = [
        ("r.project = ?", &filter.project),
        ("r.runbook = ?", &filter.runbook),
        ("r.operator = ?", &filter.operator),
        ("EXISTS (SELECT 1 FROM tickets t WHERE t.run = r.run AND t.ticket = ?)", &filter.ticket),
    ];
    for (what, value) in equals {
        if let Some(value) = value {
            asked.and(what, value.clone());
        }
    }
    if !filter.stands.is_empty() {
        let any: Vec<String> = filter
            .stands
            .iter()
            .map(|stand| match stand {
                Stand::Ended(end) => format!("r.outcome = '{}'", end.word()),
                Stand::Open => "r.ended IS NULL".to_owned(),
                Stand::Owing => "r.owed > 0 OR r.ended IS NULL".to_owned(),
            })
            .collect();
        asked.sql += &format!(" AND ({})", any.join(" OR "));
    }
    asked.values.push(limit(most).into());
    asked.sql += &format!(" ORDER BY {by} DESC LIMIT ?{}", asked.values.len());
    asked
}
