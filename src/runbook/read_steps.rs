//! Reads the steps of a runbook.

use super::{
    Retry, Rolling, Spot, Step, What,
    params::is_word,
    read::{self, Reader},
    template,
};
use crate::{
    base::{Span, words},
    inventory::{Share, read::become_of, read_apps::share, select},
    yaml::{Fault, Fields, Key, Kind, Mark, Node, Notes, fields},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// What begins the names of actions of later versions.
const LATER: &[&str] = &["cert.", "postgres.", "dns.", "kubernetes.", "scale.", "access."];
/// How deep groups and includes may lie in each other.
const DEPTH: usize = 16;

impl Reader<'_> {
    pub(super) fn steps(&mut self, node: &Node, prefix: &str, notes: &mut Notes) -> Vec<Step> {
        let items = node.list(notes).unwrap_or_default();
        if items.is_empty() && matches!(node.kind, Kind::List(_)) {
            notes.error(node.mark, "at least one step is needed here");
        }
        let numbered = items.iter().enumerate();
        numbered.filter_map(|(i, item)| self.step(item, format!("{prefix}{}", i + 1), notes)).collect()
    }

    fn step(&mut self, node: &Node, number: String, notes: &mut Notes) -> Option<Step> {
        let mut f = Fields::of(node, "a step", notes)?;
        f.later(read::LATER, notes);
        let name = f.text("name", notes);
        let id = f.take("id", notes).and_then(|n| {
            let id = n.text(notes)?;
            if !is_word(&id) {
                notes.hinted(
                    n.mark,
                    format!("the id `{id}` cannot be said in expressions"),
                    "letters, digits and `_`, a letter first",
                );
                return None;
            }
            Some(id)
        });
        let when = f.take("when", notes).and_then(|n| read::expression(n, notes));
        let own_targets = f.take("targets", notes).and_then(|n| targets(n, notes));
        let allow_empty = f.flag("allow_empty", notes);
        let for_each = f.take("for_each", notes).and_then(|n| match &n.kind {
            Kind::List(_) => Some(n.json()),
            Kind::Text(text) if text.trim_start().starts_with("{{") => Some(n.json()),
            _ => {
                notes.error(n.mark, format!("a list, or an expression for one, expected, not {}", n.words()));
                None
            }
        });
        let timeout = f.span("timeout", notes);
        let patience = f.span("patience", notes);
        let retry = f.take("retry", notes).and_then(|n| retry(n, notes));
        let become_user = f.take("become", notes).and_then(|n| become_of(n, notes));
        let require = f.take("require", notes).map(|n| read::expressions(n, notes)).unwrap_or_default();
        let on_failure = f.take("on_failure", notes).and_then(|n| read::on_failure(n, notes));
        let touches = f.take("touches", notes).and_then(|n| touches(n, notes)).unwrap_or_default();
        let always = f.flag("always", notes);
        let no_return = f.flag("no_return", notes);
        let then =
            f.entry("then", notes).map(|(_, n)| self.steps(n, &format!("{number}.then"), notes)).unwrap_or_default();
        let undo =
            f.entry("undo", notes).map(|(_, n)| self.steps(n, &format!("{number}.undo"), notes)).unwrap_or_default();
        let mark = f.mark;
        let what = self.what(&mut f, &number, notes);
        f.end(notes);
        let what = what?;
        if always && no_return {
            notes.error(mark, "`always` and `no_return` exclude each other");
        }
        let own = !then.is_empty() || !undo.is_empty() || !touches.is_empty();
        if own && !matches!(what, What::Action { .. }) {
            notes.error(mark, "`then`, `undo` and `touches` belong to a single action, not to a group");
        }
        let single = for_each.is_some() || retry.is_some() || no_return;
        if single && !matches!(what, What::Action { .. }) {
            notes.error(mark, "`for_each`, `retry` and `no_return` belong to a single action, not to a group");
        }
        for step in then.iter().chain(&undo) {
            let plain = matches!(step.what, What::Action { .. })
                && step.id.is_none()
                && step.targets.is_none()
                && step.for_each.is_none()
                && step.retry.is_none()
                && step.patience.is_none()
                && step.then.is_empty()
                && step.undo.is_empty()
                && step.require.is_empty()
                && step.on_failure.is_none()
                && !step.always
                && !step.no_return;
            if !plain {
                let what =
                    "a step of `then` or `undo` is one action with `name`, `when`, `timeout`, `become` and `touches`";
                notes.note(Fault::error(step.spot.clone(), what));
            }
        }
        let shown = match &what {
            What::Action { action, .. } => action.clone(),
            What::Group { .. } => "group".to_owned(),
            What::Include { runbook, .. } => runbook.title.clone().unwrap_or_else(|| runbook.name.clone()),
        };
        Some(Step {
            number,
            id,
            name: name.unwrap_or(shown),
            spot: notes.spot(mark),
            what,
            when,
            targets: own_targets,
            allow_empty,
            for_each,
            timeout,
            patience,
            retry,
            become_user,
            then,
            require,
            on_failure,
            undo,
            touches,
            always,
            no_return,
        })
    }

    fn what(&mut self, f: &mut Fields<'_>, number: &str, notes: &mut Notes) -> Option<What> {
        let mark = f.mark;
        let group = f.take("steps", notes).map(|n| self.steps(n, &format!("{number}."), notes));
        let rolling = f.entry("rolling", notes).map(|(k, n)| (k.mark, rolling(n, notes)));
        let parallel = f.flag("parallel", notes);
        let include = f.take("include", notes);
        let included = include.is_some();
        let include = include.and_then(|n| self.include(n, number, notes));
        let with = f.entry("with", notes);
        let mut whats: Vec<(Mark, What)> = Vec::new();
        if let Some((key, _)) = with
            && !included
        {
            notes.error(key.mark, "`with` belongs to `include`");
        }
        if let Some(runbook) = include {
            let with = with.map(|(_, n)| with_params(n, &runbook, notes)).unwrap_or_default();
            whats.push((mark, What::Include { runbook: Box::new(runbook), with }));
        }
        match group {
            Some(steps) => {
                if rolling.is_some() && parallel {
                    notes.error(mark, "a group is `rolling` or `parallel`, not both");
                }
                whats.push((mark, What::Group { steps, rolling: rolling.and_then(|(_, r)| r), parallel }));
            }
            None => {
                if let Some((mark, _)) = rolling {
                    notes.error(mark, "`rolling` belongs to a group: it needs `steps`");
                } else if parallel {
                    notes.error(mark, "`parallel` belongs to a group: it needs `steps`");
                }
            }
        }
        let mut wrong = false;
        let known: Vec<(Key, Node)> = f
            .rest()
            .filter(|(k, _)| {
                let meant = || f.near(&k.text, self.actions).is_some_and(|near| self.actions.contains(&near));
                k.text.contains('.') || self.actions.contains(&k.text.as_str()) || meant()
            })
            .cloned()
            .collect();
        for (key, node) in known {
            f.drop_key(&key.text);
            if self.actions.contains(&key.text.as_str()) {
                whats.push((key.mark, action(&key, &node, notes)));
            } else {
                wrong = true;
                unknown_action(&key, self.actions, notes);
            }
        }
        let leftover = f.rest().next().is_some();
        if whats.len() > 1
            && let Some((mark, _)) = whats.get(1)
        {
            notes.error(*mark, "a step does one thing: one action, or `steps`, or `include`");
        }
        if whats.is_empty() && !wrong && !leftover && !included {
            notes.hinted(mark, "this step does nothing", "it needs an action, `steps` or `include`");
        }
        whats.into_iter().next().map(|(_, what)| what)
    }

    fn include(&mut self, node: &Node, number: &str, notes: &mut Notes) -> Option<super::Runbook> {
        let name = node.text(notes)?;
        let file = super::project::file_of(&name);
        if self.open.contains(&file) {
            let way: Vec<&str> = self.open.iter().map(String::as_str).chain([file.as_str()]).collect();
            notes.error(node.mark, format!("includes run in a circle: {}", way.join(" → ")));
            return None;
        }
        if self.open.len() >= DEPTH {
            notes.error(node.mark, format!("includes lie more than {DEPTH} deep in each other"));
            return None;
        }
        match self.sources.read(&file) {
            Ok(text) => self.file(&file, &text, &format!("{number}.")),
            Err(why) => {
                notes.error(node.mark, format!("`{file}` cannot be read: {why}"));
                None
            }
        }
    }
}

fn with_params(node: &Node, runbook: &super::Runbook, notes: &mut Notes) -> BTreeMap<String, Value> {
    let mut with = BTreeMap::new();
    for (key, value) in node.map(notes).unwrap_or_default() {
        if runbook.params.iter().any(|p| p.name == key.text) {
            with.insert(key.text.clone(), value.json());
        } else {
            let near = words::nearest(&key.text, read::names(&runbook.params));
            let fault = Fault::error(notes.spot(key.mark), format!("`{}` has no param `{}`", runbook.name, key.text));
            notes.note(match near {
                Some(near) => fault.hint(format!("did you mean `{near}`?")),
                None => fault,
            });
        }
    }
    for param in runbook.params.iter().filter(|p| p.default.is_none() && !with.contains_key(&p.name)) {
        notes.error(node.mark, format!("`{}` needs the param `{}`", runbook.name, param.name));
    }
    with
}

fn action(key: &Key, node: &Node, notes: &mut Notes) -> What {
    let whole = if matches!(node.kind, Kind::Map(_)) { key.mark } else { node.mark };
    let mut spots = BTreeMap::from([(String::new(), notes.spot(whole))]);
    places(node, "", &mut spots, notes);
    let args = node.json();
    if let Err((text, error)) = template::check(&args) {
        let spot = find(node, &text).map_or(node.mark, |n| n.mark);
        notes.error(spot, error.to_string());
    }
    What::Action { action: key.text.clone(), args, spots }
}

/// The node that holds a text.
fn find<'n>(node: &'n Node, text: &str) -> Option<&'n Node> {
    match &node.kind {
        Kind::Text(t) if t == text => Some(node),
        Kind::List(items) => items.iter().find_map(|n| find(n, text)),
        Kind::Map(entries) => entries.iter().find_map(|(_, n)| find(n, text)),
        _ => None,
    }
}

/// The place of each argument: `env` and, within it, `env.NAME`; elements by their index.
fn places(node: &Node, path: &str, spots: &mut BTreeMap<String, Spot>, notes: &Notes) {
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match &node.kind {
        Kind::Map(entries) => {
            for (key, value) in entries {
                let path = join(&key.text);
                let mark = if matches!(value.kind, Kind::Map(_) | Kind::List(_)) { key.mark } else { value.mark };
                spots.insert(path.clone(), notes.spot(mark));
                places(value, &path, spots, notes);
            }
        }
        Kind::List(items) => {
            for (i, item) in items.iter().enumerate() {
                let path = join(&i.to_string());
                spots.insert(path.clone(), notes.spot(item.mark));
                places(item, &path, spots, notes);
            }
        }
        _ => {}
    }
}

fn unknown_action(key: &Key, actions: &[&str], notes: &mut Notes) {
    if LATER.iter().any(|prefix| key.text.starts_with(prefix)) {
        return notes.hinted(key.mark, fields::later(&key.text), "take it out, or use a version that acts on it");
    }
    let message = format!("unknown action `{}`", key.text);
    match words::nearest(&key.text, actions.iter().copied()) {
        Some(near) => notes.hinted(key.mark, message, format!("did you mean `{near}`?")),
        None => notes.hinted(key.mark, message, format!("there are {}", words::list(actions, 40))),
    }
}

/// A selector with templates; one without is checked at once.
pub(super) fn targets(node: &Node, notes: &mut Notes) -> Option<String> {
    let text = node.text(notes)?;
    if text.contains("{{") || text.contains("{%") {
        if let Err((_, error)) = template::check(&Value::String(text.clone())) {
            notes.error(node.mark, error.to_string());
        }
    } else if let Err(error) = select::parse(&text) {
        notes.error(node.mark, error.to_string());
    }
    Some(text)
}

fn touches(node: &Node, notes: &mut Notes) -> Option<Vec<String>> {
    let mut touches = Vec::new();
    for item in node.list(notes)? {
        let Some(text) = item.text(notes) else { continue };
        let kinds = ["app", "unit", "file", "host"];
        let kind = text.split_once(':').filter(|(_, name)| !name.is_empty()).map(|(kind, _)| kind);
        if kind.is_some_and(|k| kinds.contains(&k)) || text == "host" {
            touches.push(text);
        } else {
            notes.hinted(
                item.mark,
                format!("`{text}` names no resource"),
                "write app:NAME, unit:NAME.service, file:/PATH, or host",
            );
        }
    }
    Some(touches)
}

fn rolling(node: &Node, notes: &mut Notes) -> Option<Rolling> {
    let mut fields = Fields::of(node, "`rolling:`", notes)?;
    let rolling = Rolling {
        batch: fields.take("batch", notes).and_then(|n| share(n, notes)).unwrap_or(Share::Number(1)),
        pause: fields.span("pause", notes).unwrap_or_default(),
        max_failed: fields
            .take("max_failed", notes)
            .and_then(|n| n.whole(0, notes))
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(0),
    };
    fields.end(notes);
    Some(rolling)
}

fn retry(node: &Node, notes: &mut Notes) -> Option<Retry> {
    let mut fields = Fields::of(node, "`retry:`", notes)?;
    let attempts = fields.need("attempts", notes).and_then(|n| n.whole(1, notes)).and_then(|n| u32::try_from(n).ok());
    let delay = fields.span("delay", notes).unwrap_or(Span::secs(1));
    let backoff = fields.take("backoff", notes).and_then(|n| match &n.kind {
        Kind::Number(b) if b.as_f64().is_some_and(|b| b >= 1.0) => b.as_f64(),
        _ => {
            notes.error(n.mark, format!("a number from 1 on expected, not {}", n.words()));
            None
        }
    });
    fields.end(notes);
    Some(Retry { attempts: attempts?, delay, backoff: backoff.unwrap_or(1.0) })
}

/// The ids that stand a second time, with the places of the later ones.
pub(super) fn double_ids(steps: &[Step]) -> Vec<(String, Spot)> {
    fn walk<'s>(steps: &'s [Step], seen: &mut Vec<&'s str>, doubles: &mut Vec<(String, Spot)>) {
        for step in steps {
            if let Some(id) = &step.id {
                if seen.contains(&id.as_str()) {
                    doubles.push((id.clone(), step.spot.clone()));
                }
                seen.push(id);
            }
            match &step.what {
                What::Group { steps, .. } => walk(steps, seen, doubles),
                What::Include { runbook, .. } => walk(&runbook.steps, seen, doubles),
                What::Action { .. } => {}
            }
            walk(&step.then, seen, doubles);
            walk(&step.undo, seen, doubles);
        }
    }
    let mut doubles = Vec::new();
    walk(steps, &mut Vec::new(), &mut doubles);
    doubles
}
