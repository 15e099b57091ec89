//! Plans, guards, carries out, rolls back. It appends events and looks at the world through a transport; what it decides
//! follows from the fold of those events, so a kill between any two of them changes nothing.
//!
//! Read in this order: [`script`] (runbook × inventory → who does what, in which order), [`walk`] (the way there),
//! [`drive`] (one task: observe, decide, do, observe), [`debts`] (consequences), [`back`] (the way back), [`finish`] (what
//! it came to), [`run`] (the doors: run, resume, rollback, resolve).

mod back;
mod debts;
mod drive;
pub mod finish;
pub mod guard;
pub mod lint;
pub mod owing;
pub mod plan;
mod project;
pub mod rehearse;
pub mod run;
pub mod script;
mod task;
#[cfg(test)]
mod tests;
mod unfinished;
mod walk;

pub use project::{Planned, plan};
pub use run::{Ended, EngineError, cancel, resolve, resume, rollback, run};
pub use unfinished::unfinished;

use crate::{
    actions::{Entry, Refusal},
    base::{Clock, Content, HostName, Redactor, RunId, Text},
    inventory::Inventory,
    journal::{
        Journal,
        event::{Operator, Watcher},
        locks::Locks,
    },
    runbook::Runbook,
    transport::Transport,
};
use serde_json::Value;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};
use tokio::sync::watch;

/// All that a run stands on.
#[derive(Clone)]
pub struct Stage {
    /// The project's folder.
    pub root: PathBuf,
    /// What exists.
    pub inventory: Arc<Inventory>,
    /// The actions there are.
    pub catalog: &'static [Entry],
    /// The way to hosts.
    pub transport: Arc<dyn Transport>,
    /// Where events go.
    pub journal: Arc<dyn Journal>,
    /// The operating system's locks; none where nothing real is touched.
    pub locks: Option<Arc<Locks>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who watches.
    pub watcher: Arc<dyn Watcher>,
    /// Contents of files and texts.
    pub store: Arc<dyn Store>,
    /// Knows the secrets that were read.
    pub redactor: Redactor,
}

/// Contents for actions: files of the project, and texts with secrets. The vault is one.
pub trait Store: Send + Sync {
    /// A file's content; `path` is relative to the project's folder, or absolute.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    fn file(&self, path: &str) -> Result<Content, Refusal>;
    /// A file's text.
    ///
    /// # Errors
    /// It is not there, cannot be read, or is no UTF-8.
    fn read(&self, path: &str) -> Result<String, Refusal>;
    /// A text's content; its secrets are read for the hash.
    ///
    /// # Errors
    /// A secret cannot be had.
    fn text(&self, text: &Text) -> Result<Content, Refusal>;
    /// The bytes of a content that this machine has, for diffs; none where it has not, or where they hold a secret.
    fn show(&self, content: &Content) -> Option<Vec<u8>>;
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Order {
    /// The runbook, with its includes.
    pub runbook: Runbook,
    /// Params as resolved: every one has a value of its type.
    pub params: BTreeMap<String, Value>,
    /// Only these hosts, where `-l`, `--limit` or `--failed-from` were used.
    pub limit: Option<Vec<HostName>>,
    /// Those options, as they were written.
    pub limited_by: Option<String>,
    /// At most so many hosts side by side.
    pub parallel: usize,
    /// Who.
    pub operator: Operator,
    /// Why.
    pub reason: Option<String>,
    /// The ticket.
    pub ticket: Option<Value>,
}

/// How urgently a run is to stop: 0 not at all, 1 finish what is under way, 2 now, and on the hosts too.
pub type Stop = watch::Receiver<u8>;

/// A stop that never comes, for plans and tests.
pub fn never() -> Stop {
    watch::channel(0).1
}

/// The run of that name; `last` is the newest one of this project, or of all where there is no project.
///
/// # Errors
/// There is none, or it is no name of a run.
pub fn find_run(journal: &dyn Journal, project: Option<&str>, name: &str) -> Result<RunId, EngineError> {
    if name != "last" {
        return Ok(name.parse::<RunId>()?);
    }
    let newest = journal.runs(1)?.into_iter().next().ok_or(EngineError::NoRuns)?;
    match project {
        Some(here) => journal.newest_of(here)?.ok_or_else(|| EngineError::NoRunsOf(here.to_owned())),
        None => Ok(newest),
    }
}

/// Refuses a run of another project: what is done with it would be done to that project's hosts.
///
/// # Errors
/// It is one, or there is no such run.
pub fn belongs(journal: &dyn Journal, project: &str, run: &RunId) -> Result<(), EngineError> {
    let header = journal.header(run)?;
    if header.project == project {
        return Ok(());
    }
    let (run, of, here) = (run.clone(), header.project, project.to_owned());
    Err(EngineError::Foreign { run, of, here, root: header.root })
}
