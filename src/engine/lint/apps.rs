//! The templates of apps in `svcops.yaml`, tried on each of their hosts.

use crate::{
    base::{HostName, words},
    inventory::{App, HealthCheck},
    runbook::{
        Project,
        project::FILE,
        template::{self, Scope},
    },
    yaml::{self, Faults, Kind, Mark, Node, Notes, Sources},
};
use std::collections::BTreeMap;

/// What is wrong with the templates of apps.
pub(super) fn lint(project: &Project) -> Faults {
    let mut faults = Faults::default();
    for app in project.inventory.apps.values() {
        for text in templates(app) {
            let mut found: BTreeMap<String, Vec<HostName>> = BTreeMap::new();
            for host in project.inventory.select(&app.hosts) {
                let mut scope = Scope::of_host(&project.inventory, &BTreeMap::new(), host);
                scope.set_app(app);
                if let Err(error) = template::text(text, &scope) {
                    found.entry(error.what).or_default().push(host.name.clone());
                }
            }
            for (what, hosts) in found {
                let (mut notes, mark) = place(project, text);
                notes.error(mark, format!("{what} (on {})", words::list(&hosts, 4)));
                faults.add(notes.faults);
            }
        }
    }
    faults
}

fn templates(app: &App) -> Vec<&str> {
    let check = app.health.as_ref().map(|h| match &h.check {
        HealthCheck::Http { url, .. } => url.as_str(),
        HealthCheck::Tcp(text) | HealthCheck::Command(text) => text.as_str(),
    });
    let server = app.balancer.as_ref().and_then(|b| b.server.as_deref());
    check.into_iter().chain(server).filter(|text| text.contains("{{")).collect()
}

/// The file and place that hold a text: `svcops.yaml`, or one that it includes.
fn place(project: &Project, text: &str) -> (Notes, Mark) {
    let sources = project.sources();
    let mut files = vec![FILE.to_owned()];
    let mut index = 0;
    while let Some(file) = files.get(index).cloned() {
        let mut notes = Notes::on(file.clone());
        if let Some(tree) = sources.read(&file).ok().and_then(|content| yaml::parse(&mut notes, &content)) {
            if let Some(mark) = find(&tree, text) {
                return (Notes::on(file), mark);
            }
            let include = tree.json().get("include").and_then(|i| i.as_array().cloned()).unwrap_or_default();
            files.extend(include.iter().filter_map(|p| p.as_str()).flat_map(|p| sources.matching(p)));
            files.truncate(1_000);
        }
        index += 1;
    }
    (Notes::on(FILE), Mark { line: 1, column: 1, length: 0 })
}

fn find(node: &Node, text: &str) -> Option<Mark> {
    match &node.kind {
        Kind::Text(here) if here == text => Some(node.mark),
        Kind::List(items) => items.iter().find_map(|n| find(n, text)),
        Kind::Map(entries) => entries.iter().find_map(|(_, n)| find(n, text)),
        _ => None,
    }
}
