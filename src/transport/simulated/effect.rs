//! One effect a kind of change, and what must not happen on the way.

use super::{
    links::{Key, ServerKey, Verb},
    standing::title,
    world::{Opened, Process, Server, World},
};
use crate::base::{At, Change, Content, FileFacts, HostName, Invocation, ServerState, Source, UnitState};
use tokio::time::Instant;

impl World {
    /// Has the effect; the exit code, where there is one that can be known.
    pub(super) fn effect(&mut self, change: &At<Change>) -> Result<Option<i32>, String> {
        self.done.push(change.clone());
        // counting who serves takes as long as the project is large
        let takes_away = matches!(
            change.what,
            Change::StartUnit(_)
                | Change::StopUnit(_)
                | Change::RestartUnit(_)
                | Change::ReloadUnit(_)
                | Change::EnableUnit(_)
                | Change::DisableUnit(_)
                | Change::Run(_)
                | Change::SetServer { .. }
        );
        let serving = (self.promised && takes_away).then(|| self.serving());
        let end = self.affect(change);
        if let Some(before) = serving {
            self.hold_promises(&before);
        }
        end
    }

    fn affect(&mut self, change: &At<Change>) -> Result<Option<i32>, String> {
        let host = change.at.host.clone();
        if let Some(host) = &host {
            self.touched.insert(host.clone());
        }
        let unit = |name: &String| host.clone().map(|h| Key::Unit(h, name.clone())).ok_or("a unit needs a host");
        match &change.what {
            Change::StartUnit(name) => self.start(&unit(name)?)?,
            Change::StopUnit(name) => self.stop(&unit(name)?)?,
            Change::RestartUnit(name) => self.launch(&unit(name)?)?,
            Change::ReloadUnit(name) => self.reload(&unit(name)?)?,
            Change::EnableUnit(name) => {
                let key = unit(name)?;
                self.start(&key)?;
                self.known(&key)?.unit.enabled = true;
            }
            Change::DisableUnit(name) => {
                let key = unit(name)?;
                self.stop(&key)?;
                self.known(&key)?.unit.enabled = false;
            }
            Change::MoveFile { from, to } => {
                let host = host.clone().ok_or("a file needs a host")?;
                if self.files.get(&(host.clone(), to.clone())).is_some_and(Option::is_some) {
                    return Err(format!("something is at `{to}` already"));
                }
                let file = self.files.insert((host.clone(), from.clone()), None).flatten();
                let file = file.ok_or_else(|| format!("there is no file at `{from}`"))?;
                self.files.insert((host, to.clone()), Some(file));
            }
            Change::WriteFile { path, content, mode, owner, group, .. } => {
                let host = host.clone().ok_or("a file needs a host")?;
                let actor = change.at.become_user.clone().unwrap_or_else(|| self.links.user(&host).to_owned());
                let old = self.files.get(&(host.clone(), path.clone())).cloned().flatten();
                let or =
                    |said: &Option<String>, is: Option<String>| said.clone().or(is).unwrap_or_else(|| actor.clone());
                let file = FileFacts {
                    hash: content.hash.clone(),
                    size: content.size,
                    mode: mode.or(old.as_ref().map(|o| o.mode)).unwrap_or(0o644),
                    owner: or(owner, old.as_ref().map(|o| o.owner.clone())),
                    group: or(group, old.as_ref().map(|o| o.group.clone())),
                    link: old.as_ref().and_then(|o| o.link.clone()),
                };
                self.write(&host, path, content, file)?;
            }
            Change::RemoveFile(path) => {
                let host = host.clone().ok_or("a file needs a host")?;
                self.keep(&host, path);
                self.written.insert((host.clone(), path.clone()), None);
                self.wrote_staged(&host, path, None);
                self.files.insert((host, path.clone()), None);
            }
            Change::Pair { spot, change: deed } => {
                let host = host.clone().ok_or("a certificate needs a host")?;
                let actor = change.at.become_user.clone().unwrap_or_else(|| self.links.user(&host).to_owned());
                self.change_pair(&host, spot, deed, &actor)?;
            }
            Change::Run(run) => return self.run(host.as_ref(), run),
            Change::SetServer { api, backend, server, state } => {
                self.set_server(&(host.clone(), api.clone(), backend.clone(), server.clone()), *state)?;
            }
            Change::EndSessions { api, backend, server } => {
                let key = (host.clone(), api.clone(), backend.clone(), server.clone());
                let server = self.servers.get_mut(&key).ok_or("no such server")?;
                server.facts.sessions = 0;
                server.holds = false;
            }
            Change::Proof { spot, change } => {
                let host = host.clone().ok_or("a file needs a host")?;
                self.change_proof(&host, spot, change);
            }
            Change::Postgres { spot, change } => {
                let host = host.clone().ok_or("a cluster needs a host")?;
                self.change_cluster(&host, spot, change)?;
            }
            Change::UpdateRecord(update) => {
                self.update_records(update);
                return Ok(None);
            }
            Change::Switchover(to) => {
                self.switch_over(to)?;
                return Ok(None);
            }
            Change::Order(step) => self.step_order(step)?,
            // Somebody is told or asked: nothing here changes, and what they say cannot be known.
            Change::Tell(_) | Change::Mail(_) | Change::Ask { .. } => return Ok(None),
        }
        Ok(Some(0))
    }

    fn start(&mut self, key: &Key) -> Result<(), String> {
        if self.known(key)?.unit.state == UnitState::Active { Ok(()) } else { self.launch(key) }
    }

    /// Users are there while it goes away.
    fn takes_away(&mut self, key: &Key) {
        let serves = self.processes.get(key).is_some_and(Self::healthy);
        let taking = |(server, state): (&ServerKey, &Server)| {
            state.facts.state == ServerState::Ready && self.links.server(server) == Some(key)
        };
        if serves && self.servers.iter().any(taking) {
            self.rough.push(format!("{} goes away while its server takes traffic", title(key)));
        }
    }

    fn stop(&mut self, key: &Key) -> Result<(), String> {
        self.takes_away(key);
        self.unit_moves(key, false)?;
        let tick = self.tick();
        let process = self.known(key)?;
        if process.unit.state != UnitState::Inactive {
            process.unit.since = process.unit.since.saturating_add(tick);
        }
        process.unit.state = UnitState::Inactive;
        process.unit.pid = 0;
        process.changed = true;
        Ok(())
    }

    fn launch(&mut self, key: &Key) -> Result<(), String> {
        self.takes_away(key);
        let config = self.config_now(key);
        let broken = config.values().flatten().any(|hash| self.breaking.contains(hash)) || self.has_half_a_pair(key);
        let sick = config.values().flatten().any(|hash| self.sickening.contains(hash));
        let shows = self.shows_now(key);
        let tick = self.tick();
        let (count, start) = (self.count, self.links.start(key));
        if !broken {
            self.unit_moves(key, true)?;
        }
        let process = self.known(key)?;
        process.unit.since = process.unit.since.saturating_add(tick);
        process.unit.invocation = if matches!(key, Key::Unit(..)) { format!("{count:032x}") } else { String::new() };
        process.unit.state = if broken { UnitState::Failed } else { UnitState::Active };
        process.unit.pid = if broken || matches!(key, Key::App(..)) { 0 } else { 100_000 + count };
        process.config = config;
        process.shows.extend(shows);
        process.sick = sick;
        process.ready = Instant::now().checked_add(start);
        process.changed = true;
        if broken { Err("exit 1".into()) } else { Ok(()) }
    }

    fn reload(&mut self, key: &Key) -> Result<(), String> {
        let config = self.config_now(key);
        let sick = config.values().flatten().any(|hash| self.sickening.contains(hash));
        let broken = config.values().flatten().any(|hash| self.breaking.contains(hash)) || self.has_half_a_pair(key);
        let shows = self.shows_now(key);
        let tick = self.tick();
        let loaded = self.processes.get(key).map(|process| process.config.clone()).unwrap_or_default();
        let by_config = loaded.values().flatten().any(|hash| self.sickening.contains(hash));
        let process = self.known(key)?;
        if process.unit.state != UnitState::Active {
            return Err("it is not active, and cannot be reloaded".into());
        }
        process.unit.since = process.unit.since.saturating_add(tick);
        if broken {
            return Err("exit 1".into());
        }
        process.config = config;
        process.shows.extend(shows);
        // what only its configuration made ill is well again with another one
        process.sick = sick || (process.sick && !by_config);
        process.changed = true;
        Ok(())
    }

    fn known(&mut self, key: &Key) -> Result<&mut Process, String> {
        match self.processes.get_mut(key) {
            Some(process) if process.unit.loaded => Ok(process),
            _ => Err(format!("{key} not found")),
        }
    }

    fn write(&mut self, host: &HostName, path: &str, content: &Content, file: FileFacts) -> Result<(), String> {
        if content.from == Source::Undo && !self.kept.contains(&(host.clone(), content.hash.clone())) {
            return Err(format!("the undo folder has no content {}", content.hash.short()));
        }
        if key_file(path) && file.mode & 0o004 != 0 {
            self.harm.push(format!("`{path}` on `{host}` holds a key and others can read it ({:04o})", file.mode));
        }
        self.keep(host, path);
        let spot = (host.clone(), path.to_owned());
        self.written.insert(spot.clone(), Some(content.from.clone()));
        self.files.insert(spot, Some(file));
        self.wrote_staged(host, path, Some(content));
        Ok(())
    }

    /// What stands at a path goes into the undo folder.
    pub(super) fn keep(&mut self, host: &HostName, path: &str) {
        if let Some(Some(old)) = self.files.get(&(host.clone(), path.to_owned())) {
            self.kept.insert((host.clone(), old.hash.clone()));
        }
    }

    /// A command of a manager has a model; any other opens what it touches, by default its whole host.
    fn run(&mut self, host: Option<&HostName>, run: &Invocation) -> Result<Option<i32>, String> {
        if let Some((key, verb)) = self.links.command(host, run).map(|(k, v)| (k.clone(), v)) {
            match verb {
                Verb::Start => self.start(&key)?,
                Verb::Stop => self.stop(&key)?,
                Verb::Reload => self.reload(&key)?,
                Verb::Status => {}
            }
            return Ok(Some(0));
        }
        let Some(host) = host else { return Ok(None) };
        for touched in &run.touches {
            let opened = match touched.split_once(':') {
                Some(("app", name)) => self.links.app(host, name).cloned().map(Opened::Process),
                Some(("unit", name)) => Some(Opened::Process(Key::Unit(host.clone(), name.into()))),
                Some(("file", path)) => Some(Opened::File((host.clone(), path.into()))),
                _ => None,
            };
            self.opened.push(opened.unwrap_or_else(|| Opened::Host(host.clone())));
        }
        if run.touches.is_empty() {
            self.opened.push(Opened::Host(host.clone()));
        }
        Ok(None)
    }

    fn set_server(&mut self, key: &ServerKey, state: ServerState) -> Result<(), String> {
        if let Some(front) = self.links.front(key) {
            self.touched.insert(front);
        }
        let app = self.links.server(key).filter(|app| !self.is_open(&Opened::Process((*app).clone())));
        let dead = app.and_then(|app| self.processes.get(app)).is_some_and(|p| !Self::healthy(p));
        let server = self.servers.get_mut(key).ok_or("no such server")?;
        if dead && state == ServerState::Ready {
            self.harm.push(format!("`{}/{}` enabled while its app is dead", key.2, key.3));
        }
        if server.facts.state == ServerState::Ready || state == ServerState::Ready {
            server.since = Some(Instant::now());
        }
        if server.facts.state == ServerState::Maint && state != ServerState::Maint {
            server.facts.up = !dead;
        }
        server.facts.state = state;
        Ok(())
    }

    /// How many hosts of each app at each site serve; what nobody has looked at counts as serving.
    pub(super) fn serving(&self) -> Vec<(String, Option<String>, usize)> {
        let mut counts: Vec<(String, Option<String>, usize)> = vec![];
        for member in &self.links.members {
            let up = self.processes.get(&member.key).is_none_or(Self::healthy);
            let taking = member.server.as_ref().and_then(|s| self.servers.get(s));
            let serves = usize::from(up && taking.is_none_or(|s| s.facts.state == ServerState::Ready));
            match counts.iter_mut().find(|(app, site, _)| *app == member.app && *site == member.site) {
                Some((.., count)) => *count += serves,
                None => counts.push((member.app.clone(), member.site.clone(), serves)),
            }
        }
        counts
    }

    /// Promises no more than serve in this state.
    pub(super) fn promise_no_more(&mut self) {
        self.promised = true;
        let serving = self.serving();
        self.lower_promises(serving);
    }

    pub(super) fn lower_promises(&mut self, serving: Vec<(String, Option<String>, usize)>) {
        for (app, site, now) in serving {
            let floor = self.floors.entry((app, site)).or_insert(usize::MAX);
            *floor = now.min(*floor);
        }
    }

    fn hold_promises(&mut self, before: &[(String, Option<String>, usize)]) {
        for ((app, site, now), (.., then)) in self.serving().iter().zip(before) {
            let floor = self.floors.get(&(app.clone(), site.clone())).copied().unwrap_or(usize::MAX);
            let promised = self.links.min_healthy.get(app).copied().unwrap_or(0).min(floor);
            if now < then && *now < promised {
                let place = site.as_ref().map(|s| format!(" at `{s}`")).unwrap_or_default();
                self.harm.push(format!("app `{app}`{place} has {now} healthy hosts, {promised} are promised"));
            }
        }
    }

    pub(super) fn tick(&mut self) -> u64 {
        self.count += 1;
        1_000_000
    }
}

/// By its name it holds a private key.
fn key_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let ending = name.rsplit('.').next().unwrap_or_default();
    ending == "key" || (name.starts_with("id_") && ending != "pub") || name.contains("privkey")
}
