//! `svcops lint [PATH…]`: every fault at once.

use crate::{
    actions::Entry,
    engine::lint,
    runbook::Project,
    ui::faults,
    yaml::{Faults, Folder},
};
use std::path::{Path, PathBuf};

/// How faults are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// With excerpts, in colours or without.
    Pretty {
        /// Colours.
        color: bool,
    },
    /// One line a fault.
    Plain,
    /// One JSON object.
    Json,
}

/// What to print to stdout, and the exit code: 0, or 2 for any error (with `strict` for any warning too).
pub fn lint(dir: &Path, paths: &[PathBuf], strict: bool, format: Format, catalog: &[Entry]) -> (String, u8) {
    let found = lint::lint(dir, paths, catalog);
    let code = if found.errors() > 0 || (strict && !found.is_empty()) { 2 } else { 0 };
    (show(&found, dir, format), code)
}

/// Faults as text, for every verb that reads the project's files.
pub fn show(found: &Faults, dir: &Path, format: Format) -> String {
    match format {
        Format::Pretty { color } => {
            let root = Project::find(dir).unwrap_or_else(|| dir.to_path_buf());
            faults::pretty(found, &Folder(root), color) + "\n"
        }
        Format::Plain => faults::plain(found),
        Format::Json => format!("{:#}\n", faults::json(found)),
    }
}
