//! When certificates were renewed last, from the journal: the newest run whose `cert.install` changed a pair, and still
//! stands.

use crate::{
    base::{HostName, RunId, Way},
    inventory::{Certificate, Inventory},
    journal::{
        Journal as _, JournalError, SqliteJournal, event::How, outbox::Outbox as _, search::Filter, state::TaskState,
    },
};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Renewal {
    /// By this run.
    pub(super) run: RunId,
    /// When that began.
    pub(super) at: Timestamp,
    /// Where it was told of.
    pub(super) ticket: Option<String>,
}

/// The journal, each of its runs read once.
pub(super) struct Renewals<'a> {
    journal: &'a SqliteJournal,
    project: &'a str,
    /// What each run installed: on which host, and the resolved action.
    runs: BTreeMap<RunId, Vec<(HostName, Value)>>,
}

/// A certificate that was renewed before so many other runs came to its host is not looked for.
const MOST: usize = 200;

impl<'a> Renewals<'a> {
    pub(super) fn new(journal: &'a SqliteJournal, project: &'a str) -> Self {
        Self { journal, project, runs: BTreeMap::new() }
    }

    /// The newest of a certificate.
    pub(super) fn last(
        &mut self,
        inventory: &Inventory,
        certificate: &Certificate,
    ) -> Result<Option<Renewal>, JournalError> {
        let mut pairs: BTreeMap<HostName, BTreeSet<String>> = BTreeMap::new();
        for place in &certificate.places {
            let files = place.store.iter().flat_map(|store| store.files()).map(str::to_owned);
            for host in inventory.hosts_at(place) {
                pairs.entry(host.name.clone()).or_default().extend(files.clone());
            }
        }
        let mut newest: Option<Renewal> = None;
        for (host, files) in &pairs {
            let filter =
                Filter { project: Some(self.project.to_owned()), host: Some(host.to_string()), ..Filter::default() };
            for row in self.journal.list(&filter, None, MOST)? {
                if newest.as_ref().is_some_and(|known| known.run >= row.run) {
                    break;
                }
                let installed = self.installed(&row.run)?;
                if installed.iter().any(|(at, value)| at == host && names(value, files)) {
                    let ticket = self.journal.ticket_of(&row.run)?.map(|told| told.ticket);
                    newest = Some(Renewal { run: row.run, at: row.began, ticket });
                    break;
                }
            }
        }
        Ok(newest)
    }

    fn installed(&mut self, run: &RunId) -> Result<&[(HostName, Value)], JournalError> {
        if !self.runs.contains_key(run) {
            let state = self.journal.state(run)?;
            let tasks = state.tasks.iter().filter(|task| task.began.action == "cert.install" && stands(task));
            let installed = tasks.map(|task| (task.began.host.clone(), task.began.value.open())).collect();
            self.runs.insert(run.clone(), installed);
        }
        Ok(self.runs.get(run).map(Vec::as_slice).unwrap_or_default())
    }
}

/// It changed something, which was not taken back.
fn stands(task: &TaskState) -> bool {
    let done = |way| task.leg(way).is_some_and(|leg| matches!(leg.how, Some(How::Done { .. })));
    task.forward.changed && done(Way::Forward) && !done(Way::Undo)
}

/// Whether a resolved action is about one of these files.
fn names(value: &Value, files: &BTreeSet<String>) -> bool {
    match value {
        Value::String(text) => files.contains(text),
        Value::Array(list) => list.iter().any(|value| names(value, files)),
        Value::Object(map) => map.values().any(|value| names(value, files)),
        _ => false,
    }
}
