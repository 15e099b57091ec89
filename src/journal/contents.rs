//! What runs went by (runbook, inventory, the plan as it was shown) is kept under its hash, which the first event of each run
//! names: a check hashes it anew, one content at a time and each once.

use super::{chain::Fault, listed::Beside};
use crate::base::Hash;
use rusqlite::{Connection, OptionalExtension as _, types::ValueRef};
use std::collections::HashMap;

/// Contents that were looked at.
#[derive(Debug, Default)]
pub(super) struct Contents(HashMap<String, bool>);

impl Contents {
    /// Those of one run that are not what it names.
    pub(super) fn check(&mut self, read: &Connection, run: &str, beside: &Beside) -> rusqlite::Result<Vec<Fault>> {
        let mut faults = Vec::new();
        for (what, hash) in &beside.went_by {
            let good = if let Some(good) = self.0.get(hash) {
                *good
            } else {
                let good = is_whole(read, hash)?;
                self.0.insert(hash.clone(), good);
                good
            };
            if !good {
                faults.push(Fault::OtherContent { run: run.to_owned(), what });
            }
        }
        Ok(faults)
    }

    /// How many.
    pub(super) fn checked(&self) -> usize {
        self.0.len()
    }
}

fn is_whole(read: &Connection, hash: &str) -> rusqlite::Result<bool> {
    let hash_of = |value: ValueRef<'_>| match value {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => Hash::of(bytes).0 == hash,
        _ => false,
    };
    let found = read
        .prepare_cached("SELECT bytes FROM contents WHERE hash = ?")?
        .query_row([hash], |r| r.get_ref(0).map(hash_of))
        .optional()?;
    Ok(found.unwrap_or(false))
}
