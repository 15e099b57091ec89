//! What the project of a line knows: each question is answered from its files and its journal, as far as they can be read.

use super::{Line, Offer, folder};
use crate::{
    actions::CATALOG,
    base::RunId,
    cli::{env, history},
    journal::{
        Journal as _, SqliteJournal,
        event::End,
        locks::Locks,
        place::{State, Wish},
        search,
    },
    runbook::{Param, ParamKind, Project},
    ticket::{self, Desk, Filter, TicketSystem as _},
    ui::history::Listed,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// The project of a line; none of it is read before it is asked for.
pub(super) struct Known {
    dir: PathBuf,
    state: Option<PathBuf>,
}

/// So many runs are offered.
const RUNS: usize = 15;

impl Known {
    pub(super) fn new(line: &Line) -> Self {
        let dir = folder(line, "dir", env::DIR).unwrap_or_else(|| ".".into());
        Self { dir, state: folder(line, "state", env::STATE) }
    }

    pub(super) fn runbooks(&self) -> Vec<Offer> {
        let Some(project) = self.project() else { return Vec::new() };
        let name = |file: &String| file.strip_prefix("runbooks/")?.strip_suffix(".yaml").map(str::to_owned);
        let offer = |file: String| Some(Offer::new(name(&file)?, title(&project.root.join(&file))));
        project.runbooks().into_iter().filter_map(offer).collect()
    }

    pub(super) fn apps(&self) -> Vec<Offer> {
        let Some(project) = self.project() else { return Vec::new() };
        project.inventory.apps.values().map(|a| Offer::new(&a.name, a.title.clone().unwrap_or_default())).collect()
    }

    pub(super) fn sites(&self) -> Vec<Offer> {
        let Some(project) = self.project() else { return Vec::new() };
        project
            .inventory
            .sites
            .iter()
            .map(|(name, site)| Offer::new(name, site.title.clone().unwrap_or_default()))
            .collect()
    }

    pub(super) fn certificates(&self) -> Vec<Offer> {
        let Some(project) = self.project() else { return Vec::new() };
        let declared = project.inventory.certificates.values();
        declared.map(|c| Offer::new(&c.name, c.title.clone().unwrap_or_default())).collect()
    }

    pub(super) fn services(&self) -> Vec<Offer> {
        let Some(project) = self.project() else { return Vec::new() };
        let declared = project.inventory.services.values();
        declared.map(|s| Offer::new(&s.name, s.title.clone().unwrap_or_default())).collect()
    }

    pub(super) fn issuers(&self) -> Vec<Offer> {
        let Some(project) = self.project() else { return Vec::new() };
        project.inventory.issuers.keys().map(|name| Offer::new(name, String::new())).collect()
    }

    /// Secrets by their names; none is read.
    pub(super) fn secrets(&self) -> Vec<Offer> {
        let Some(project) = self.project() else { return Vec::new() };
        project.inventory.secrets.keys().map(|name| Offer::new(name, String::new())).collect()
    }

    /// Terms of a selector; what stands before the last comma stays.
    pub(super) fn selectors(&self, word: &str) -> Vec<Offer> {
        let Some(project) = self.project() else { return Vec::new() };
        let hosts = &project.inventory.hosts;
        let kept = word.rfind(',').and_then(|at| word.get(..=at)).unwrap_or_default();
        let mut labels: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for host in hosts {
            let site = host.site.iter().map(|site| ("site", site.as_str()));
            for (key, value) in host.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).chain(site) {
                *labels.entry(key).or_default().entry(value).or_default() += 1;
            }
        }
        let count = |n: usize| crate::base::words::count("host", n);
        let mut offers = Vec::new();
        for (key, values) in &labels {
            offers.extend(values.iter().map(|(value, n)| Offer::new(format!("{key}={value}"), count(*n))));
        }
        offers.extend(labels.iter().map(|(key, v)| Offer::new(format!("has:{key}"), count(v.values().sum()))));
        offers.extend(hosts.iter().map(|h| Offer::new(h.name.as_str(), h.site.clone().unwrap_or_default())));
        offers.push(Offer::new("all", count(hosts.len())));
        offers.into_iter().map(|o| Offer { value: format!("{kept}{}", o.value), ..o }).collect()
    }

    /// `K=` for the params of the runbook that are not given yet, then what they may be.
    pub(super) fn params(&self, line: &Line) -> Vec<Offer> {
        let Some(project) = self.project() else { return Vec::new() };
        let name = line.given.get("runbook").and_then(|all| all.first());
        let Some(runbook) = name.and_then(|name| project.runbook(name).ok()) else { return Vec::new() };
        let given = line.given.get("params").into_iter().flatten();
        let given: BTreeSet<&str> = given.filter_map(|p| p.split_once('=').map(|(key, _)| key)).collect();
        let Some((key, _)) = line.word.split_once('=') else {
            let left = runbook.params.iter().filter(|p| !given.contains(p.name.as_str()));
            return left.map(|p| Offer::new(format!("{}=", p.name), about(p))).collect();
        };
        let Some(param) = runbook.params.iter().find(|p| p.name == key) else { return Vec::new() };
        let values: Vec<String> = match (&param.one_of, param.kind) {
            (Some(values), _) => values.iter().map(text).collect(),
            (None, ParamKind::Bool) => vec!["true".into(), "false".into()],
            (None, ParamKind::Host) => project.inventory.hosts.iter().map(|h| h.name.to_string()).collect(),
            _ => param.default.iter().map(text).collect(),
        };
        let is_default = |value: &str| param.default.as_ref().is_some_and(|d| text(d) == value);
        let offer = |v: String| Offer::new(format!("{key}={v}"), if is_default(&v) { "default" } else { "" });
        values.into_iter().map(offer).collect()
    }

    /// The newest runs that this verb can do something with, after `last`.
    pub(super) fn runs(&self, verb: &[String]) -> Vec<Offer> {
        let verb: Vec<&str> = verb.iter().map(String::as_str).collect();
        let fits = |run: &Listed| match (verb.as_slice(), run.row.outcome) {
            (["resume" | "resolve"], end) => !run.alive && end.is_none_or(|end| end.resumable() || end == End::Failed),
            (["cancel"], end) => end.is_none(),
            (["rollback"], end) => !run.alive && end != Some(End::RolledBack),
            _ => true,
        };
        let Some((project, journal, locks)) = self.past() else { return Vec::new() };
        let alive = |run: &RunId| locks.as_ref().is_some_and(|l: &Locks| l.alive(run));
        let zone = history::zone(project.as_ref().and_then(|p| p.inventory.timezone.as_deref()));
        let listed = |row: crate::journal::RunRow| Listed { alive: row.outcome.is_none() && alive(&row.run), row };
        let own = project.as_ref().map(|p| p.inventory.project.clone());
        let own = search::Filter { project: own, ..search::Filter::default() };
        let rows = journal.list(&own, None, 100).unwrap_or_default();
        let runs: Vec<Listed> = rows.into_iter().map(listed).collect();
        let offer = |run: &Listed, value: &str| {
            let (row, outcome) = (&run.row, run.outcome().replace('_', " "));
            let when = row.began.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
            Offer::new(value, format!("{}, {outcome}, {when}, {}", row.runbook, row.operator))
        };
        let here = project.as_ref().map(|p| p.inventory.project.as_str());
        let last = crate::engine::find_run(&journal, here, "last").ok();
        let newest = runs.iter().find(|run| last.as_ref() == Some(&run.row.run)).filter(|run| fits(run));
        let newest = newest.map(|run| offer(run, "last"));
        let others = runs.iter().filter(|run| fits(run)).take(RUNS).map(|run| offer(run, run.row.run.as_str()));
        newest.into_iter().chain(others).collect()
    }

    /// The tasks of the run that are not at their end.
    pub(super) fn tasks(&self, line: &Line) -> Vec<Offer> {
        let Some((project, journal, _)) = self.past() else { return Vec::new() };
        let here = project.as_ref().map(|p| p.inventory.project.as_str());
        let name = line.given.get("run").and_then(|all| all.first());
        let run = name.and_then(|name| crate::engine::find_run(&journal, here, name).ok());
        let Some(run) = run else { return Vec::new() };
        let state = journal.state(&run).unwrap_or_default();
        let open =
            state.tasks.iter().filter(|t| t.doubt().is_some() || t.forward.how.is_none() || t.forward.why().is_some());
        open.map(|t| Offer::new(t.began.task.as_str(), format!("{}: {}", t.began.action, t.began.name))).collect()
    }

    /// The newest tickets of the desk: all of them to look at, else those that are not done.
    pub(super) fn tickets(&self, verb: &[String]) -> Vec<Offer> {
        let desk = self.state_dir(self.project().as_ref()).map(|dir| Desk::of(&dir));
        let Some(desk) = desk.filter(|desk| desk.path().is_file()) else { return Vec::new() };
        let looks = verb.first().is_some_and(|v| v == "ticket") && verb.last().is_none_or(|v| v != "comment");
        let states = ticket::State::ALL.into_iter().filter(|state| looks || *state != ticket::State::Done);
        let open = Filter { states: states.collect(), most: 30 };
        let rows = tokio::runtime::Builder::new_current_thread().build().ok().map(|r| r.block_on(desk.list(&open)));
        let rows = rows.and_then(Result::ok).unwrap_or_default();
        rows.into_iter().map(|row| Offer::new(row.id.0, row.subject)).collect()
    }

    fn project(&self) -> Option<Project> {
        let actions: Vec<&'static str> = CATALOG.iter().map(|e| e.name).collect();
        Project::open(&self.dir, &actions).ok()
    }

    /// The journal and the locks, as they are: what is not there is not made.
    fn past(&self) -> Option<(Option<Project>, SqliteJournal, Option<Locks>)> {
        let project = self.project();
        let path = |name| env::value(name).map(PathBuf::from);
        let wish = Wish { given: self.state.clone(), xdg_state_home: path(env::XDG_STATE_HOME), home: path(env::HOME) };
        let dir = State::there(project.as_ref().map_or("", |p| &p.inventory.project), &wish)?;
        Some((project, SqliteJournal::read(&dir).ok()?, Locks::there(&dir)))
    }
}

impl Known {
    fn state_dir(&self, project: Option<&Project>) -> Option<PathBuf> {
        let path = |name| env::value(name).map(PathBuf::from);
        let wish = Wish { given: self.state.clone(), xdg_state_home: path(env::XDG_STATE_HOME), home: path(env::HOME) };
        State::there(project.map_or("", |p| &p.inventory.project), &wish)
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn about(param: &Param) -> String {
    let help = param.help.clone().unwrap_or_default();
    match &param.default {
        Some(default) => format!("{help} (default: {})", text(default)).trim_start().to_owned(),
        None => help,
    }
}

/// The title of a runbook's file, without reading all of it as YAML: there may be hundreds.
fn title(file: &std::path::Path) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("title:")).unwrap_or_default();
    line.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned()
}
