//! Binds the steps of a runbook to the hosts that they select, with what is known before a run.

use super::names::Known;
use crate::{
    actions::{Contents, Entry, Refusal, Target},
    base::{Content, Hash, HostName, Redactor, Source, Spot, Text, words},
    inventory::{App, Host, Inventory, select},
    runbook::{
        Expr, Param, Project, Runbook, Step, What,
        template::{self, Filling, Scope},
    },
    transport::vault::{Vault, VaultError},
    yaml::{self, Fault, Faults, Kind, Mark, Notes, Sources, sources},
};
use serde_json::{Value, json};
use std::{
    borrow::Cow,
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::Path,
    sync::Mutex,
    time::Duration,
};

/// How many sentences about one place are shown.
const SHOWN: usize = 3;
/// The deadline of an act that states none.
const TIMEOUT: Duration = Duration::from_secs(300);

type Files = Mutex<HashMap<String, Result<Content, Refusal>>>;

/// What all runbooks share.
pub(super) struct Bench<'b> {
    pub(super) project: &'b Project,
    pub(super) catalog: &'b [Entry],
    /// A scope for each host of the inventory, without params.
    scopes: BTreeMap<&'b str, Scope>,
    files: Files,
    /// What was bound without a fault: see `Room::sameness`.
    right: Mutex<HashSet<Hash>>,
}

/// What the steps of one runbook share.
struct Room<'r> {
    bench: &'r Bench<'r>,
    known: Known,
    params: Scope,
    /// `params` as values.
    values: Value,
    scopes: BTreeMap<&'r str, OnceCell<Scope>>,
    /// By place and sentence: on which hosts.
    found: BTreeMap<(Spot, String), BTreeSet<HostName>>,
    faults: Faults,
    /// The hosts of the rolling group around, where they are known.
    rolling: Option<Vec<HostName>>,
}

impl<'b> Bench<'b> {
    pub(super) fn new(project: &'b Project, catalog: &'b [Entry]) -> Self {
        let inventory = &project.inventory;
        let scope = |host: &'b Host| (host.name.as_str(), Scope::of_host(inventory, &BTreeMap::new(), host));
        Self {
            project,
            catalog,
            scopes: inventory.hosts.iter().map(scope).collect(),
            files: Mutex::default(),
            right: Mutex::default(),
        }
    }

    /// All that is wrong with a runbook on the hosts that it selects.
    pub(super) fn runbook(&self, runbook: &Runbook) -> Faults {
        let (values, open) = placeholders(&runbook.params);
        let known =
            Known { params: runbook.params.iter().map(|p| p.name.clone()).collect(), open, ids: BTreeSet::new() };
        self.within(runbook, values, known, None)
    }

    /// Where the value of a key of a whole file stands; the file is read again only when a fault asks.
    fn key_spot(&self, file: &str, key: &'static str) -> impl Fn() -> Spot + use<> {
        let (file, sources) = (file.to_owned(), self.project.sources());
        move || {
            let mut notes = Notes::on(file.clone());
            let tree = sources.read(&file).ok().and_then(|text| yaml::parse(&mut notes, &text));
            let mark = tree.and_then(|tree| match tree.kind {
                Kind::Map(entries) => entries.into_iter().find(|(k, _)| k.text == key).map(|(_, node)| node.mark),
                _ => None,
            });
            notes.spot(mark.unwrap_or(Mark { line: 1, column: 1, length: 0 }))
        }
    }

    fn within(
        &self,
        runbook: &Runbook,
        values: BTreeMap<String, Value>,
        known: Known,
        outer: Option<&[&Host]>,
    ) -> Faults {
        let mut params = Scope::new(self.project.inventory.secrets.keys().map(String::as_str));
        params.set("params", &json!(values));
        params.set("run", &run_placeholder());
        let values = json!(values);
        let mut room = Room {
            bench: self,
            known,
            params,
            values,
            scopes: self.scopes.keys().map(|name| (*name, OnceCell::new())).collect(),
            found: BTreeMap::new(),
            faults: Faults::default(),
            rolling: None,
        };
        let spot = self.key_spot(runbook.file.as_deref().unwrap_or_default(), "targets");
        let mut hosts = room.selected(&runbook.targets, runbook.allow_empty, &spot);
        if let (Some(outer), Some(hosts)) = (outer, &mut hosts) {
            hosts.retain(|h| outer.iter().any(|o| o.name == h.name));
        }
        for expression in &runbook.require {
            room.expression(expression, None);
        }
        room.steps(&runbook.steps, hosts.as_deref());
        room.finish()
    }
}

impl<'r> Room<'r> {
    fn inventory(&self) -> &'r Inventory {
        &self.bench.project.inventory
    }

    /// None: the selection depends on what only a run knows.
    fn selected(&mut self, text: &str, allow_empty: bool, spot: &dyn Fn() -> Spot) -> Option<Vec<&'r Host>> {
        let names = template::names_of_text(text);
        for why in self.known.wrong(&names, false) {
            self.faults.0.push(Fault::error(spot(), format!("in `targets`: {why}")));
        }
        if self.known.depends(&names) {
            return None;
        }
        let filled = match template::text(text, &self.params) {
            Ok(filled) => filled,
            Err(error) => {
                self.faults.0.push(Fault::error(spot(), format!("in `targets`: {error}")));
                return None;
            }
        };
        let selector = match select::parse(&filled) {
            Ok(selector) => selector,
            Err(error) => {
                self.faults.0.push(Fault::error(spot(), format!("in `targets`: {error}")));
                return None;
            }
        };
        let hosts = self.inventory().select(&selector);
        if hosts.is_empty() && !allow_empty {
            let message = format!("the selection `{filled}` matches no host");
            let hint =
                "`svcops inventory hosts` shows names and labels; a comma means *and*; `allow_empty: true` permits it";
            self.faults.0.push(Fault::error(spot(), message).hint(hint));
        }
        Some(hosts)
    }

    fn steps(&mut self, steps: &[Step], hosts: Option<&[&'r Host]>) {
        for step in steps {
            self.step(step, hosts);
        }
    }

    fn step(&mut self, step: &Step, hosts: Option<&[&'r Host]>) {
        let own = step.targets.as_ref().map(|text| self.selected(text, step.allow_empty, &|| step.spot.clone()));
        if let (Some(Some(own)), Some(group)) = (&own, &self.rolling) {
            self.faults.0.extend(outside(step, own, group, self.bench.catalog));
        }
        let hosts = own.as_ref().map_or(hosts, |own| own.as_deref());
        for text in &step.touches {
            if let Some(app) = text.strip_prefix("app:")
                && !self.inventory().apps.contains_key(app)
            {
                self.faults.0.push(no_app(&step.spot, app, self.inventory()));
            }
        }
        for expression in step.require.iter().chain(&step.when) {
            self.expression(expression, hosts);
        }
        match &step.what {
            What::Group { steps, rolling: Some(_), .. } => {
                let group = hosts.map(|hosts| hosts.iter().map(|h| h.name.clone()).collect());
                let around = std::mem::replace(&mut self.rolling, group);
                self.steps(steps, hosts);
                self.rolling = around;
            }
            What::Group { steps, .. } => self.steps(steps, hosts),
            What::Include { runbook, with } => {
                self.include(step, runbook, with, hosts.filter(|_| step.targets.is_some()));
            }
            What::Action { action, args, spots } => self.action(step, action, args, spots, hosts),
        }
        self.steps(&step.then, hosts);
        self.known.ids.extend(step.id.clone());
        self.steps(&step.undo, hosts);
    }

    fn include(&mut self, step: &Step, runbook: &Runbook, with: &BTreeMap<String, Value>, outer: Option<&[&Host]>) {
        let (mut values, mut open) = placeholders(&runbook.params);
        for (name, value) in with {
            let names = template::names(value);
            for why in self.known.wrong(&names, false) {
                self.faults.0.push(Fault::error(step.spot.clone(), format!("in `with`: {why}")));
            }
            open.remove(name);
            match template::fill(value, &self.params) {
                Ok(value) => drop(values.insert(name.clone(), value)),
                Err(_) => drop(open.insert(name.clone())),
            }
        }
        let params = runbook.params.iter().map(|p| p.name.clone()).collect();
        let known = Known { params, open, ids: self.known.ids.clone() };
        self.faults.add(self.bench.within(runbook, values, known, outer));
    }

    /// Judges the names of an expression, and tries it where all of them have values.
    fn expression(&mut self, expression: &Expr, hosts: Option<&[&'r Host]>) {
        let names = template::names_of_expression(&expression.text);
        let wrong = self.known.wrong(&names, false);
        let judged = wrong.is_empty() && !self.known.depends(&names) && !uses(&names, &["item", "app", "run"]);
        for why in wrong {
            self.faults.0.push(Fault::error(expression.spot.clone(), why));
        }
        for host in hosts.unwrap_or_default().iter().filter(|_| judged) {
            if let Err(error) = template::test(&expression.text, self.scope(host)) {
                self.note(expression.spot.clone(), error.what, host);
            }
        }
    }

    fn action(
        &mut self,
        step: &Step,
        name: &str,
        args: &Value,
        spots: &BTreeMap<String, Spot>,
        hosts: Option<&[&'r Host]>,
    ) {
        let whole = spots.get("").unwrap_or(&step.spot);
        for path in template::misplaced_secrets(args) {
            let spot = spots.get(&path).unwrap_or(whole).clone();
            let message = "a secret cannot stand here: it would be seen in a process list, a log or a plan";
            let hint = "pass it in `env`, `stdin`, `headers`, `content` or a template file";
            self.faults.0.push(Fault::error(spot, message).hint(hint));
        }
        let names = template::names(args);
        let each = step.for_each.as_ref().map(template::names).unwrap_or_default();
        let mut wrong = self.known.wrong(&names, true);
        wrong.extend(self.known.wrong(&each, false));
        let judged = wrong.is_empty() && !self.known.depends(&names) && !self.known.depends(&each);
        for why in wrong {
            let says = |value: &Value| self.known.wrong(&template::names(value), true).contains(&why);
            let spot = place_of(says, args, spots, whole);
            self.faults.0.push(Fault::error(spot, why));
        }
        let Some(entry) = Entry::find(self.bench.catalog, name).filter(|_| judged) else { return };
        let Ok(filling) = Filling::of(args) else { return };
        let each = step.for_each.as_ref().map(Filling::of).transpose().ok().flatten();
        let hosts = hosts.unwrap_or_default();
        let once = if entry.traits.once { 1 } else { hosts.len() };
        let app = if uses(&names, &["app"]) { args.get("app").and_then(Value::as_str) } else { None };
        let app = app.and_then(|app| self.inventory().apps.get(app));
        let names: Vec<HostName> = hosts.iter().map(|h| h.name.clone()).collect();
        let key = self.sameness(step, name, args, &names);
        if self.bench.right.lock().is_ok_and(|right| right.contains(&key)) {
            return;
        }
        let bound =
            Bound { step, entry, args, filling: &filling, each: each.as_ref(), app, spots, whole, hosts: &names };
        let mut wrong = Vec::new();
        for host in hosts.iter().take(once) {
            let mut found = Vec::new();
            self.on_host(&bound, host, &mut found);
            wrong.extend(found.into_iter().map(|(spot, what)| (spot, what, *host)));
        }
        if wrong.is_empty()
            && let Ok(mut right) = self.bench.right.lock()
        {
            right.insert(key);
        }
        for (spot, what, host) in wrong {
            self.note(spot, what, host);
        }
    }

    /// All that binding a step depends on: what was right once is right wherever it stands again.
    fn sameness(&self, step: &Step, action: &str, args: &Value, hosts: &[HostName]) -> Hash {
        let own = (&step.when, &step.for_each, &step.become_user, &step.timeout, &step.touches);
        let when = own.0.as_ref().map(|w| w.text.as_str());
        let text = json!([action, args, when, own.1, own.2, own.3, own.4, hosts, self.values]).to_string();
        Hash::of(text.as_bytes())
    }

    fn on_host(&self, bound: &Bound<'_>, host: &'r Host, wrong: &mut Vec<(Spot, String)>) {
        let base = self.scope(host);
        if let Some(when) = &bound.step.when
            && template::test(&when.text, base).is_ok_and(|holds| !holds)
        {
            return;
        }
        let items = match bound.each.map(|each| each.fill(base)) {
            None => vec![None],
            Some(Ok(Value::Array(items))) => items.into_iter().map(Some).collect(),
            Some(Ok(other)) => {
                return wrong.push((bound.whole.clone(), format!("`for_each` needs a list, not {other}")));
            }
            Some(Err(error)) => return wrong.push((bound.whole.clone(), format!("in `for_each`: {error}"))),
        };
        for item in items {
            let mut scope = Cow::Borrowed(base);
            if let Some(item) = &item {
                scope.to_mut().set("item", item);
            }
            if let Some(app) = bound.app {
                scope.to_mut().set_app(app);
            }
            let filled = match bound.filling.fill(&scope) {
                Ok(filled) => filled,
                Err(error) => {
                    let fails = |value: &Value| template::fill(value, &scope).is_err();
                    wrong.push((place_of(fails, bound.args, bound.spots, bound.whole), error.what));
                    continue;
                }
            };
            let contents = Judged { root: &self.bench.project.root, files: &self.bench.files, scope: &scope };
            let become_user = bound.step.become_user.clone().unwrap_or_else(|| host.ssh.become_user.clone());
            let target = Target {
                host,
                inventory: self.inventory(),
                contents: &contents,
                become_user,
                under_way: bound.hosts,
                timeout: bound.step.timeout.map_or(TIMEOUT, |t| t.0),
                touches: &bound.step.touches,
                // what is due is asked when it runs
                now: jiff::Timestamp::UNIX_EPOCH,
            };
            if let Err(refusal) = bound.entry.bind(filled, &target) {
                let (key, why) = unwrapped(refusal);
                wrong.push((key.and_then(|key| bound.spots.get(&key)).unwrap_or(bound.whole).clone(), why));
            }
        }
    }

    fn scope(&self, host: &Host) -> &Scope {
        let name = host.name.as_str();
        match (self.scopes.get(name), self.bench.scopes.get(name)) {
            (Some(cell), Some(base)) => cell.get_or_init(|| base.with(&["params", "run"], &self.params)),
            _ => &self.params,
        }
    }

    fn note(&mut self, spot: Spot, what: String, host: &Host) {
        self.found.entry((spot, what)).or_default().insert(host.name.clone());
    }

    fn finish(mut self) -> Faults {
        let mut places: BTreeMap<Spot, Vec<(String, BTreeSet<HostName>)>> = BTreeMap::new();
        for ((spot, what), hosts) in self.found {
            places.entry(spot).or_default().push((what, hosts));
        }
        for (spot, found) in places {
            let more = found.len().saturating_sub(SHOWN);
            for (index, (what, hosts)) in found.into_iter().take(SHOWN).enumerate() {
                let names: Vec<HostName> = hosts.into_iter().collect();
                let on = match names.len() {
                    1 => format!("on {}", words::list(&names, 1)),
                    n => format!("on {}: {}", words::count("host", n), words::list(&names, 4)),
                };
                let fault = Fault::error(spot.clone(), format!("{what} ({on})"));
                let last = more > 0 && index + 1 == SHOWN;
                self.faults.0.push(if last {
                    fault.hint(format!("{} like it here", words::count("more fault", more)))
                } else {
                    fault
                });
            }
        }
        self.faults
    }
}

/// A step's action while it is bound to hosts.
struct Bound<'s> {
    step: &'s Step,
    entry: &'s Entry,
    args: &'s Value,
    filling: &'s Filling<'s>,
    each: Option<&'s Filling<'s>>,
    app: Option<&'s App>,
    spots: &'s BTreeMap<String, Spot>,
    whole: &'s Spot,
    hosts: &'s [HostName],
}

/// The innermost argument that something holds for.
fn place_of(holds: impl Fn(&Value) -> bool, args: &Value, spots: &BTreeMap<String, Spot>, whole: &Spot) -> Spot {
    let (mut path, mut here) = (String::new(), args);
    while let Some((key, value)) = children(here).into_iter().find(|(_, value)| holds(value)) {
        path = if path.is_empty() { key } else { format!("{path}.{key}") };
        here = value;
    }
    spots.get(&path).unwrap_or(whole).clone()
}

fn children(value: &Value) -> Vec<(String, &Value)> {
    match value {
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), v)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect(),
        _ => Vec::new(),
    }
}

fn uses(names: &BTreeSet<String>, roots: &[&str]) -> bool {
    names.iter().any(|n| roots.contains(&n.split('.').next().unwrap_or_default()))
}

/// Serde names the key of an unknown argument in its sentence; the fault then points there.
fn unwrapped(refusal: Refusal) -> (Option<String>, String) {
    if refusal.key.is_some() {
        return (refusal.key, refusal.why);
    }
    let Some(rest) = refusal.why.strip_prefix("unknown field `") else { return (None, refusal.why) };
    let Some((key, tail)) = rest.split_once('`') else { return (None, refusal.why) };
    let known: Vec<&str> = tail.split('`').skip(1).step_by(2).collect();
    let near =
        words::nearest(key, known.iter().copied()).map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
    let list = if known.is_empty() { String::new() } else { format!("; there are {}", words::list(&known, 20)) };
    (Some(key.to_owned()), format!("unknown argument `{key}`{near}{list}"))
}

/// A batch takes of a step's own `targets` only the hosts that are in it: where none ever is, the step never runs.
fn outside(step: &Step, own: &[&Host], group: &[HostName], catalog: &[Entry]) -> Option<Fault> {
    let once = match &step.what {
        What::Action { action, .. } => Entry::find(catalog, action).is_some_and(|e| e.traits.once),
        _ => false,
    };
    if once || own.is_empty() || own.iter().any(|host| group.contains(&host.name)) {
        return None;
    }
    let message = format!("`{}` never runs: none of its `targets` is a host of the rolling group around it", step.name);
    let hint = "put it before or after the group; inside, `targets` only narrows a batch";
    Some(Fault::warning(step.spot.clone(), message).hint(hint))
}

fn no_app(spot: &Spot, app: &str, inventory: &Inventory) -> Fault {
    let fault = Fault::error(spot.clone(), format!("there is no app `{app}`"));
    match words::nearest(app, inventory.apps.keys().map(String::as_str)) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault,
    }
}

/// The params' defaults, else the first of their values; and those that have neither.
fn placeholders(params: &[Param]) -> (BTreeMap<String, Value>, BTreeSet<String>) {
    let (mut values, mut open) = (BTreeMap::new(), BTreeSet::new());
    for param in params {
        match param.default.as_ref().or_else(|| param.one_of.as_ref().and_then(|all| all.first())) {
            Some(value) => drop(values.insert(param.name.clone(), value.clone())),
            None => drop(open.insert(param.name.clone())),
        }
    }
    (values, open)
}

fn run_placeholder() -> Value {
    let run = template::RUN.iter().map(|name| ((*name).to_owned(), json!("-")));
    let mut run: serde_json::Map<String, Value> = run.collect();
    run.insert("failed".to_owned(), json!([]));
    Value::Object(run)
}

/// Contents that are looked for and hashed, with secrets as their marks.
struct Judged<'j> {
    root: &'j Path,
    files: &'j Files,
    scope: &'j Scope,
}

impl Judged<'_> {
    fn refused(path: &str, error: &std::io::Error) -> Refusal {
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file in the project's folder".to_owned(),
            _ => error.to_string(),
        };
        Refusal::of("src", format!("`{path}` cannot be read: {why}"))
    }
}

impl Contents for Judged<'_> {
    fn file(&self, path: &str) -> Result<Content, Refusal> {
        if let Some(known) = self.files.lock().ok().and_then(|files| files.get(path).cloned()) {
            return known;
        }
        // read in parts: what is copied may be larger than this machine's memory
        let vault = Vault::new(BTreeMap::new(), self.root.to_owned(), Redactor::default());
        let content = vault.file(path).map_err(|error| match error {
            VaultError::File { source, .. } => Self::refused(path, &source),
            other => Refusal::of("src", other.to_string()),
        });
        if let Ok(mut files) = self.files.lock() {
            files.insert(path.to_owned(), content.clone());
        }
        content
    }
    fn template(&self, path: &str) -> Result<String, Refusal> {
        sources::read_text(&self.root.join(path)).map_err(|error| Self::refused(path, &error))
    }
    fn text(&self, text: &Text) -> Result<Content, Refusal> {
        Ok(Content { hash: Hash::of(text.0.as_bytes()), size: text.0.len() as u64, from: Source::Text(text.clone()) })
    }
    fn render(&self, template: &str) -> Result<Text, Refusal> {
        template::text(template, self.scope).map(Text).map_err(|e| Refusal::of("src", e.what))
    }
}
