//! A project on disk: the folder with `svcops.yaml`, its inventory and its runbooks.

use super::{Runbook, read};
use crate::{
    base::words,
    inventory::{self, Inventory},
    yaml::{Faults, Folder, Sources},
};
use std::path::{Path, PathBuf};

/// The inventory's file.
pub const FILE: &str = "svcops.yaml";
/// The runbooks' folder.
pub const RUNBOOKS: &str = "runbooks";

/// A project whose inventory has no errors.
#[derive(Clone, Debug)]
pub struct Project {
    /// The project's folder, absolute.
    pub root: PathBuf,
    /// What exists.
    pub inventory: Inventory,
    /// What is questionable in `svcops.yaml`.
    pub warnings: Faults,
    /// The actions that a step may use.
    actions: Vec<&'static str>,
}

impl Project {
    /// Finds `svcops.yaml` in `dir` or above it, and reads it.
    ///
    /// # Errors
    /// There is none, or what is wrong with it.
    pub fn open(dir: &Path, actions: &[&'static str]) -> Result<Self, Faults> {
        let Some(root) = Self::find(dir) else {
            return Err(Faults::bare(format!(
                "there is no {FILE} in `{}` or above it; `-C DIR` names its folder, `svcops init` makes one",
                dir.display()
            )));
        };
        let (inventory, faults) = inventory::parse(FILE, &Folder(root.clone()));
        match inventory {
            Some(inventory) => Ok(Self { root, inventory, warnings: faults, actions: actions.to_vec() }),
            None => Err(faults),
        }
    }
    /// A project whose inventory was had in another way (a demonstration, a test).
    pub fn of(root: PathBuf, inventory: Inventory, actions: &[&'static str]) -> Self {
        Self { root, inventory, warnings: Faults::default(), actions: actions.to_vec() }
    }
    /// The folder with `svcops.yaml`: `dir` or one above it, absolute.
    pub fn find(dir: &Path) -> Option<PathBuf> {
        let dir = std::path::absolute(dir).ok()?;
        dir.ancestors().find(|d| d.join(FILE).is_file()).map(Path::to_path_buf)
    }
    /// Its files.
    pub fn sources(&self) -> Folder {
        Folder(self.root.clone())
    }
    /// The actions that a step may use.
    pub fn actions(&self) -> &[&'static str] {
        &self.actions
    }
    /// The runbook of a name (`runbooks/NAME.yaml`) or a path.
    ///
    /// # Errors
    /// There is none, or what is wrong with it.
    pub fn runbook(&self, name_or_path: &str) -> Result<Runbook, Faults> {
        let file = self.file(name_or_path);
        if !self.root.join(&file).is_file() {
            let files = self.runbooks();
            let names: Vec<&str> = files.iter().map(|f| stem(f)).collect();
            let hint = words::nearest(name_or_path, names.iter().copied());
            let hint = hint.map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
            return Err(Faults::bare(format!("there is no runbook `{name_or_path}`: no file `{file}`{hint}")));
        }
        let (runbook, faults) = read::parse(&file, &self.sources(), &self.actions);
        runbook.ok_or(faults)
    }
    /// A runbook as text (a verb's `--show`, a test's): read as if it stood in `file`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn runbook_text(&self, file: &str, text: &str) -> Result<Runbook, Faults> {
        let (runbook, faults) = read::parse_text(file, text, &self.sources(), &self.actions);
        runbook.ok_or(faults)
    }
    /// The files of all runbooks, `runbooks/**/*.yaml`, relative to the project's folder, sorted.
    pub fn runbooks(&self) -> Vec<String> {
        let (sources, mut found, mut folder) = (self.sources(), Vec::new(), RUNBOOKS.to_owned());
        for _ in 0..8 {
            found.extend(sources.matching(&format!("{folder}/*.yaml")));
            folder += "/*";
        }
        found.sort();
        found
    }
    /// A name or path, as a path relative to the project's folder where it lies in it.
    pub fn file(&self, name_or_path: &str) -> String {
        let path = Path::new(name_or_path);
        let as_path = std::path::absolute(path).ok().filter(|p| p.is_file());
        match as_path.as_deref().and_then(|p| p.strip_prefix(&self.root).ok()) {
            Some(inside) if looks_like_path(name_or_path) => inside.display().to_string(),
            _ => file_of(name_or_path),
        }
    }
}

/// The file of a runbook's name; a path stays one.
pub(super) fn file_of(name: &str) -> String {
    if looks_like_path(name) { name.to_owned() } else { format!("{RUNBOOKS}/{name}.yaml") }
}

fn looks_like_path(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e == "yaml" || e == "yml")
}

fn stem(file: &str) -> &str {
    let inner = file.strip_prefix("runbooks/").unwrap_or(file);
    inner.strip_suffix(".yaml").unwrap_or(inner)
}
