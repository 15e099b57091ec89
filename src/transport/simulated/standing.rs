//! What stands in the simulated world: for comparing where a run ended with where it began, and for saying it.

use super::{links::Key, world::World};
use crate::base::{Act, At, Change, FileFacts, HaproxyApi, Hash, HostName, ServerState, TaskId, UnitState, Way};
use std::collections::{BTreeMap, BTreeSet};

impl World {
    /// By the names of locks.
    pub(super) fn standing(&self) -> BTreeMap<String, String> {
        let mut standing = BTreeMap::new();
        for (key, process) in &self.processes {
            let mut is = if process.unit.state == UnitState::Active { "running" } else { "stopped" }.to_owned();
            if process.unit.state == UnitState::Active {
                if process.sick {
                    is += ", sick";
                }
                for ((_, spot), shown) in &process.shows {
                    let serial = shown.serial.as_deref().unwrap_or("nothing");
                    is += &format!(", showing `{}` {serial}", spot.name);
                }
                for (path, hash) in &process.config {
                    is += &format!(", with `{path}` {}", content(hash.as_ref()));
                }
            }
            if process.unit.enabled {
                is += ", enabled";
            }
            standing.insert(key.to_string(), is);
        }
        for ((host, path), file) in &self.files {
            if let Some(FileFacts { hash, mode, owner, group, .. }) = file {
                standing.insert(format!("{host}/file{path}"), format!("{} {mode:04o} {owner}:{group}", hash.short()));
            }
        }
        for ((host, spot), facts) in &self.pairs {
            standing.insert(format!("{host}/pair{}", spot.key_file()), super::certs::stands(facts));
        }
        for ((host, api, backend, server), state) in &self.servers {
            let home = match (host, api) {
                (Some(host), _) => host.as_str(),
                (None, HaproxyApi::Tcp(address) | HaproxyApi::Socket(address)) => address,
            };
            let is = match state.facts.state {
                ServerState::Ready => "ready",
                ServerState::Drain => "draining",
                ServerState::Maint => "in maintenance",
            };
            standing.insert(format!("{home}/backend/{backend}/{server}"), is.to_owned());
        }
        standing.extend(self.standing_records());
        standing.extend(self.standing_proofs());
        standing.extend(self.standing_patronis());
        standing.extend(self.standing_clusters());
        for ((host, step), touched) in &self.marks {
            let what: Vec<&str> = touched.iter().map(String::as_str).collect();
            standing.insert(format!("{host}/step/{step}"), format!("done, and touches {}", what.join(", ")));
        }
        standing
    }

    pub(super) fn hosts_of(&self, thing: &str) -> Vec<HostName> {
        if let Some(hosts) = self.hands.get(thing) {
            return hosts.iter().cloned().collect();
        }
        let server = self.servers.keys().find(|(host, api, backend, server)| {
            let home = match (host, api) {
                (Some(host), _) => host.as_str(),
                (None, HaproxyApi::Tcp(address) | HaproxyApi::Socket(address)) => address,
            };
            thing == format!("{home}/backend/{backend}/{server}")
        });
        match server {
            Some(key) => {
                let app = self.links.server(key).map(|app| app.host().clone());
                // without an app behind it, it is named as its host
                app.into_iter().chain(self.links.front(key)).chain([HostName::new(&key.3)]).collect()
            }
            None => thing.split('/').next().map(HostName::new).into_iter().collect(),
        }
    }

    pub(super) fn stale(&self) -> BTreeSet<String> {
        let mut stale = BTreeSet::new();
        for (key, process) in self.processes.iter().filter(|(_, p)| p.unit.state == UnitState::Active) {
            let now = self.config_now(key);
            for (path, loaded) in &process.config {
                if now.get(path).is_some_and(|on_disk| on_disk != loaded) {
                    stale.insert(format!("{} runs with an earlier `{path}` than the one on its disk", title(key)));
                }
            }
            for (pair, shown) in self.shows_now(key) {
                let loaded = process.shows.get(&pair);
                if loaded.is_some_and(|loaded| loaded.fingerprint != shown.fingerprint) {
                    let path = pair.1.key_file();
                    stale.insert(format!("{} shows another certificate than the one beside `{path}`", title(key)));
                }
            }
        }
        stale
    }

    pub(super) fn idle(&self) -> BTreeSet<String> {
        let mut idle = BTreeSet::new();
        for (key, _) in self.servers.iter().filter(|(_, s)| s.facts.state != ServerState::Ready) {
            let app = self.links.server(key).and_then(|app| Some((app, self.processes.get(app)?)));
            if let Some((app, _)) = app.filter(|(_, p)| p.changed && Self::healthy(p)) {
                idle.insert(format!("`{}/{}` takes no traffic, though {} is healthy", key.2, key.3, title(app)));
            }
        }
        idle
    }

    /// Remembers what a command without a model has done, until one takes it back: by its author's word, but on what both
    /// say that they touch.
    pub(super) fn mark(&mut self, act: &Act, change: &At<Change>) {
        let thing = match &change.what {
            Change::UpdateRecord(update) => Some(super::records::title(update)),
            Change::Proof { spot, .. } => change.at.host.as_ref().map(|host| super::proofs::title(host, &spot.by)),
            _ => None,
        };
        if let (Some(thing), Some((_, host))) = (thing, act.task.as_str().rsplit_once('@')) {
            self.hands.entry(thing).or_default().insert(HostName::new(host.trim_end_matches('~')));
        }
        let Some(host) = &change.at.host else { return };
        let opaque = match &change.what {
            Change::Run(run) if self.links.command(Some(host), run).is_none() => Some(&run.touches),
            _ => None,
        };
        let of = undone(&act.task).or_else(|| (act.way == Way::Undo).then(|| act.task.clone()));
        if let Some(task) = of {
            let Some((step, _)) = task.as_str().rsplit_once('@') else { return };
            let Some(mark) = self.marks.get_mut(&(host.clone(), step.to_owned())) else { return };
            let covers = |what: &String| match (opaque, touched(change)) {
                (Some(touches), _) => touches.is_empty() || touches.contains(what),
                (None, Some(thing)) => thing == *what,
                (None, None) => true,
            };
            mark.retain(|what| what != HOST && !covers(what));
            if mark.is_empty() {
                self.marks.remove(&(host.clone(), step.to_owned()));
            }
            return;
        }
        let (Some(touches), Some((step, _))) = (opaque, act.task.as_str().rsplit_once('@')) else { return };
        // a consequence has no way back of its own
        if !step.contains(".then") {
            let mark = self.marks.entry((host.clone(), step.to_owned())).or_default();
            mark.extend(touches.iter().cloned());
            if touches.is_empty() {
                mark.insert(HOST.to_owned());
            }
        }
    }
}

/// The task that a step of `undo:` takes back.
pub(super) fn undone(task: &TaskId) -> Option<TaskId> {
    let (step, host) = task.as_str().rsplit_once('@')?;
    let (of, _) = step.split_once(".undo")?;
    Some(TaskId::new(of, &HostName::new(host.trim_end_matches('~'))))
}

/// What a command may touch where it says nothing.
const HOST: &str = "its host";

/// What a change with a model touches, as `touches:` names it.
fn touched(change: &At<Change>) -> Option<String> {
    match &change.what {
        Change::StartUnit(name)
        | Change::StopUnit(name)
        | Change::RestartUnit(name)
        | Change::ReloadUnit(name)
        | Change::EnableUnit(name)
        | Change::DisableUnit(name) => Some(format!("unit:{name}")),
        Change::WriteFile { path, .. } | Change::RemoveFile(path) | Change::MoveFile { from: path, .. } => {
            Some(format!("file:{path}"))
        }
        Change::Pair { spot, .. } => Some(format!("file:{}", spot.key_file())),
        _ => None,
    }
}

pub(super) fn title(key: &Key) -> String {
    match key {
        Key::Unit(host, name) => format!("`{name}` on `{host}`"),
        Key::App(host, name) => format!("app `{name}` on `{host}`"),
    }
}

fn content(hash: Option<&Hash>) -> String {
    hash.map_or_else(|| "absent".to_owned(), |hash| hash.short().to_owned())
}
