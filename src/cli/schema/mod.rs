//! `svcops schema project|runbook|events`: JSON Schemas (2020-12), so that an editor completes the two files and a program
//! reads the third.

mod certs;
mod events;
mod files;
mod services;

use crate::actions::Entry;
use serde_json::Value;

/// The schemas that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of `svcops.yaml`.
    Project,
    /// Of runbooks.
    Runbook,
    /// Of the lines of `-o jsonl`, the journal's events.
    Events,
}

/// A schema; that of runbooks is drawn from the catalog.
pub fn schema(kind: Kind, catalog: &[Entry]) -> Value {
    match kind {
        Kind::Project => files::project(),
        Kind::Runbook => files::runbook(catalog),
        Kind::Events => events::events(),
    }
}
