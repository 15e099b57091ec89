//! Text to a tree that keeps every place, so that any later fault can point at file:line:column. YAML 1.2, read strictly;
//! faults are collected, not thrown: who reads a file wants to hear of all of them at once.

pub mod fields;
pub mod sources;
pub mod traps;
pub mod tree;

pub use fields::Fields;
pub use sources::{Folder, Sources};
pub use tree::{Key, Kind, Node, parse};

use crate::base::Spot;
use serde::Serialize;
use std::cmp::Ordering;

/// How bad a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is run with it.
    Error,
    /// Probably not what was meant.
    Warning,
}

/// Something wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where; an empty file's name: nowhere in particular.
    pub spot: Spot,
    /// How bad.
    pub severity: Severity,
    /// What, in one sentence without a final stop.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// How many characters from the spot on are meant; 0: the word that stands there.
    pub length: usize,
}

impl Fault {
    /// An error.
    pub fn error(spot: Spot, message: impl Into<String>) -> Self {
        Self { spot, severity: Severity::Error, message: message.into(), hint: None, length: 0 }
    }
    /// A warning.
    pub fn warning(spot: Spot, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(spot, message) }
    }
    /// The same with a hint.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// All that is wrong, in the order of files and lines once [`Faults::settled`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// One error that stands in no file.
    pub fn bare(message: impl Into<String>) -> Self {
        Self(vec![Fault::error(Spot::default(), message)])
    }
    /// Nothing is wrong at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.0.iter().filter(|f| f.severity == Severity::Error).count()
    }
    /// How many warnings there are.
    pub fn warnings(&self) -> usize {
        self.0.len() - self.errors()
    }
    /// Takes others in.
    pub fn add(&mut self, others: Self) {
        self.0.extend(others.0);
    }
    /// Sorted by place, each once; a warning gives way to an error at its place.
    #[must_use]
    pub fn settled(mut self) -> Self {
        self.0.sort_by(|a, b| {
            (&a.spot, a.severity, &a.message, a.length == 0).cmp(&(&b.spot, b.severity, &b.message, b.length == 0))
        });
        self.0.dedup_by(|b, a| {
            b.spot == a.spot
                && !a.spot.file.is_empty()
                && (b.message == a.message || (a.severity == Severity::Error && b.severity == Severity::Warning))
        });
        self
    }
}

/// Where a node stands in its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// In characters, on that line.
    pub length: u32,
}

/// Collects the faults of one file while it is read.
#[derive(Debug, Default)]
pub struct Notes {
    /// The file, relative to the project's folder.
    pub file: String,
    /// What was found so far.
    pub faults: Faults,
    /// How many errors and warnings were noted.
    noted: [usize; 2],
}

/// So many errors of one file are told, and so many warnings: nobody reads more, and a file may hold a million.
const TOLD: usize = 1000;

impl Notes {
    /// Begins with a file.
    pub fn on(file: impl Into<String>) -> Self {
        Self { file: file.into(), ..Self::default() }
    }
    /// The spot of a mark in this file.
    pub fn spot(&self, mark: Mark) -> Spot {
        Spot { file: self.file.clone(), line: mark.line as usize, column: mark.column as usize }
    }
    /// Notes an error.
    pub fn error(&mut self, mark: Mark, message: impl Into<String>) {
        self.note(Fault { length: mark.length as usize, ..Fault::error(self.spot(mark), message) });
    }
    /// Notes an error with a hint.
    pub fn hinted(&mut self, mark: Mark, message: impl Into<String>, hint: impl Into<String>) {
        self.note(Fault { length: mark.length as usize, ..Fault::error(self.spot(mark), message) }.hint(hint));
    }
    /// Notes a warning with a hint.
    pub fn warning(&mut self, mark: Mark, message: impl Into<String>, hint: impl Into<String>) {
        self.note(Fault { length: mark.length as usize, ..Fault::warning(self.spot(mark), message) }.hint(hint));
    }
    /// Notes a fault, unless enough of its kind were noted.
    pub fn note(&mut self, mut fault: Fault) {
        let [errors, warnings] = &mut self.noted;
        let (noted, kind) = match fault.severity {
            Severity::Error => (errors, "error"),
            Severity::Warning => (warnings, "warning"),
        };
        *noted += 1;
        match (*noted).cmp(&TOLD) {
            Ordering::Greater => return,
            Ordering::Equal => fault.message = format!("the {TOLD}th {kind} of this file: no more of them are told"),
            Ordering::Less => {}
        }
        self.faults.0.push(fault);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_warnings_hides_no_error() {
        let mut notes = Notes::on("f");
        for _ in 0..5000 {
            notes.warning(Mark::default(), "odd", "write it otherwise");
        }
        notes.error(Mark::default(), "wrong");
        assert_eq!((notes.faults.warnings(), notes.faults.errors()), (1000, 1));
        let last = notes.faults.0.iter().rfind(|f| f.severity == Severity::Warning).unwrap();
        assert_eq!(last.message, "the 1000th warning of this file: no more of them are told");
    }
}
