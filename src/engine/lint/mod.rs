//! Every fault of every file at once: reads all runbooks and binds each step to each host that it selects, so that a typo
//! is found without a connection.

mod apps;
mod bind;
mod names;
mod order;
mod tickets;

use crate::{
    actions::Entry,
    inventory,
    runbook::{self, Project, Runbook, project},
    yaml::{Faults, Folder},
};
use std::{
    path::{Path, PathBuf},
    thread,
};

/// The names of the actions of a catalog, as [`Project::open`] takes them.
pub fn names(catalog: &[Entry]) -> Vec<&'static str> {
    catalog.iter().map(|e| e.name).collect()
}

/// Lints the project that `dir` lies in: `svcops.yaml` and all runbooks, or those at `paths`. Where `svcops.yaml` itself is
/// wrong, the runbooks are still read, but bound to nothing.
pub fn lint(dir: &Path, paths: &[PathBuf], catalog: &[Entry]) -> Faults {
    let actions = names(catalog);
    match Project::open(dir, &actions) {
        Ok(project) => lint_project(&project, paths, catalog),
        Err(mut faults) => {
            if let Some(root) = Project::find(dir) {
                let sources = Folder(root.clone());
                for file in files(&root, paths).into_iter().filter(|f| f != project::FILE) {
                    faults.add(runbook::parse(&file, &sources, &actions).1);
                }
            }
            faults.settled()
        }
    }
}

/// Lints runbooks (all of the project where `paths` is empty) against an inventory that is right.
pub fn lint_project(project: &Project, paths: &[PathBuf], catalog: &[Entry]) -> Faults {
    let mut faults = project.warnings.clone();
    faults.add(apps::lint(project));
    faults.add(tickets::lint(project));
    let files = files(&project.root, paths);
    let bench = bind::Bench::new(project, catalog);
    let share = files.len().div_ceil(thread::available_parallelism().map_or(1, usize::from)).max(8);
    let parts = thread::scope(|scope| {
        let bench = &bench;
        let work: Vec<_> = files
            .chunks(share)
            .map(|files| scope.spawn(move || files.iter().map(|file| one(bench, file)).collect::<Vec<_>>()))
            .collect();
        let done = work.into_iter().map(|w| w.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        done.flatten().collect::<Vec<_>>()
    });
    for part in parts {
        faults.add(part);
    }
    faults.settled()
}

/// Lints one runbook that was read already, against an inventory that is right: what a run must know before it begins.
pub fn lint_runbook(project: &Project, runbook: &Runbook, catalog: &[Entry]) -> Faults {
    let mut faults = bind::Bench::new(project, catalog).runbook(runbook);
    faults.add(order::lint(runbook, catalog));
    faults.settled()
}

fn one(bench: &bind::Bench<'_>, file: &str) -> Faults {
    if file == project::FILE {
        return inventory::parse(file, &bench.project.sources()).1;
    }
    let (runbook, mut faults) = runbook::parse(file, &bench.project.sources(), bench.project.actions());
    if let Some(runbook) = runbook {
        faults.add(bench.runbook(&runbook));
        faults.add(order::lint(&runbook, bench.catalog));
    }
    faults
}

/// The files to lint, relative to the project's folder where they lie in it; folders are searched.
fn files(root: &Path, paths: &[PathBuf]) -> Vec<String> {
    let mut found = Vec::new();
    if paths.is_empty() {
        walk(root, &root.join(project::RUNBOOKS), 8, &mut found);
    }
    for path in paths {
        let here = std::path::absolute(path).ok().filter(|p| p.exists()).unwrap_or_else(|| root.join(path));
        if here.is_dir() {
            walk(root, &here, 8, &mut found);
        } else {
            found.push(relative(root, &here));
        }
    }
    found.sort();
    found.dedup();
    found
}

fn walk(root: &Path, folder: &Path, depth: usize, found: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() && depth > 0 {
            walk(root, &path, depth - 1, found);
        } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            found.push(relative(root, &path));
        }
    }
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests;
