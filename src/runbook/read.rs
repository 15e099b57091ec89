//! Reads a runbook with its includes.

use super::{Expr, FailureAct, FailureScope, Limits, OnFailure, Param, Runbook, params, read_steps};
use crate::{
    inventory::{VERBS, read_apps::share},
    yaml::{self, Fault, Faults, Fields, Kind, Node, Notes, Sources},
};

/// Keys of runbooks that later versions act on.
pub const LATER: &[&str] =
    &["window", "windows", "approvals", "approval", "schedule", "schedules", "freeze", "freezes", "roles"];

/// Reads a runbook of the project; `actions` are the names that a step may use. None where it has errors.
pub fn parse(file: &str, sources: &dyn Sources, actions: &[&str]) -> (Option<Runbook>, Faults) {
    let mut reader = Reader { sources, actions, open: Vec::new(), faults: Faults::default() };
    let runbook = match sources.read(file) {
        Ok(text) => reader.file(file, &text, ""),
        Err(why) => {
            reader.faults.add(Faults::bare(format!("`{file}` cannot be read: {why}")));
            None
        }
    };
    let faults = reader.faults.settled();
    (runbook.filter(|_| faults.errors() == 0), faults)
}

/// Reads a runbook from a text that no file of the project holds yet (a verb's, or one just written).
pub fn parse_text(file: &str, text: &str, sources: &dyn Sources, actions: &[&str]) -> (Option<Runbook>, Faults) {
    let mut reader = Reader { sources, actions, open: Vec::new(), faults: Faults::default() };
    let runbook = reader.file(file, text, "");
    let faults = reader.faults.settled();
    (runbook.filter(|_| faults.errors() == 0), faults)
}

pub(super) struct Reader<'r> {
    pub(super) sources: &'r dyn Sources,
    pub(super) actions: &'r [&'r str],
    /// The files that are being read, the outermost first.
    pub(super) open: Vec<String>,
    pub(super) faults: Faults,
}

impl Reader<'_> {
    /// Reads one file; the numbers of its steps begin with `prefix`.
    pub(super) fn file(&mut self, file: &str, text: &str, prefix: &str) -> Option<Runbook> {
        let mut notes = Notes::on(file);
        self.open.push(file.to_owned());
        let runbook = yaml::parse(&mut notes, text).and_then(|tree| self.runbook(&tree, prefix, &mut notes));
        self.open.pop();
        self.faults.add(notes.faults);
        runbook
    }

    fn runbook(&mut self, tree: &Node, prefix: &str, notes: &mut Notes) -> Option<Runbook> {
        let mut top = Fields::of(tree, "a runbook", notes)?;
        top.later(LATER, notes);
        if let Some(node) = top.need("svcops", notes)
            && node.whole(1, notes).is_some_and(|v| v != 1)
        {
            notes.error(node.mark, "this version reads runbooks of format 1");
        }
        let name = top.need("name", notes).and_then(|n| {
            let name = n.text(notes)?;
            let good = |c: char| c.is_alphanumeric() || "-_.".contains(c);
            if name.is_empty() || !name.chars().all(good) {
                notes.error(n.mark, format!("the name `{name}` may hold letters, digits, `-`, `_` and `.` only"));
            } else if VERBS.contains(&name.as_str()) {
                let message = format!("a runbook cannot be named `{name}`: svcops has a verb of that name");
                notes.hinted(n.mark, message, "choose another name");
            }
            Some(name)
        });
        let title = top.text("title", notes);
        let owner = top.text("owner", notes);
        let params = top.take("params", notes).map(|n| params::read(n, notes)).unwrap_or_default();
        let targets = top.need("targets", notes).and_then(|n| read_steps::targets(n, notes));
        let allow_empty = top.flag("allow_empty", notes);
        let ticket = top.take("ticket", notes).and_then(|n| ticket(n, notes));
        let on_failure = top.take("on_failure", notes).and_then(|n| on_failure(n, notes));
        let limits = top.take("limits", notes).map(|n| limits(n, notes)).unwrap_or_default();
        let require = top.take("require", notes).map(|n| expressions(n, notes)).unwrap_or_default();
        let steps = top.need("steps", notes).map(|n| self.steps(n, prefix, notes));
        if prefix.is_empty() {
            for (step, spot) in read_steps::double_ids(steps.as_deref().unwrap_or_default()) {
                notes.note(Fault::error(spot, format!("a step with the id `{step}` stands above already")));
            }
        }
        top.end(notes);
        Some(Runbook {
            name: name?,
            title,
            owner,
            file: Some(notes.file.clone()),
            params,
            targets: targets?,
            allow_empty,
            ticket,
            on_failure: on_failure.unwrap_or(OnFailure { act: FailureAct::default(), scope: FailureScope::default() }),
            limits,
            require,
            steps: steps?,
        })
    }
}

fn ticket(node: &Node, notes: &mut Notes) -> Option<serde_json::Value> {
    let mut fields = Fields::of(node, "`ticket:`", notes)?;
    fields.text("kind", notes);
    fields.text("queue", notes);
    fields.end(notes);
    Some(node.json())
}

fn limits(node: &Node, notes: &mut Notes) -> Limits {
    let Some(mut fields) = Fields::of(node, "`limits:`", notes) else { return Limits::default() };
    let limits = Limits {
        hosts: fields.take("hosts", notes).and_then(|n| share(n, notes)),
        sites: fields.take("sites", notes).and_then(|n| n.whole(1, notes)).and_then(|n| usize::try_from(n).ok()),
    };
    fields.end(notes);
    limits
}

/// `rollback`, or `{do: rollback, scope: batch}`.
pub(super) fn on_failure(node: &Node, notes: &mut Notes) -> Option<OnFailure> {
    let act = |n: &Node, notes: &mut Notes| {
        n.word(&["rollback", "stop", "continue"], notes).map(|word| match word.as_str() {
            "stop" => FailureAct::Stop,
            "continue" => FailureAct::Continue,
            _ => FailureAct::Rollback,
        })
    };
    let Kind::Map(_) = node.kind else {
        return Some(OnFailure { act: act(node, notes)?, scope: FailureScope::default() });
    };
    let mut fields = Fields::of(node, "`on_failure:`", notes)?;
    let what = fields.need("do", notes).and_then(|n| act(n, notes));
    let scope = fields.take("scope", notes).and_then(|n| n.word(&["run", "batch", "host"], notes));
    fields.end(notes);
    let scope = match scope.as_deref() {
        Some("batch") => FailureScope::Batch,
        Some("host") => FailureScope::Host,
        _ => FailureScope::Run,
    };
    Some(OnFailure { act: what?, scope })
}

/// A list of expressions; one alone needs no list.
pub(super) fn expressions(node: &Node, notes: &mut Notes) -> Vec<Expr> {
    match &node.kind {
        Kind::List(items) => items.iter().filter_map(|item| expression(item, notes)).collect(),
        _ => expression(node, notes).into_iter().collect(),
    }
}

/// An expression without braces.
pub(super) fn expression(node: &Node, notes: &mut Notes) -> Option<Expr> {
    let text = match &node.kind {
        Kind::Bool(b) => b.to_string(),
        _ => node.text(notes)?,
    };
    if text.trim_start().starts_with("{{") {
        notes.hinted(node.mark, "an expression stands here without braces", "take the `{{` and `}}` away");
        return None;
    }
    if let Err(error) = super::template::check_expression(&text) {
        notes.error(node.mark, error.to_string());
        return None;
    }
    Some(Expr { text, spot: notes.spot(node.mark) })
}

/// The names of parameters, for faults about unknown ones.
pub(super) fn names(params: &[Param]) -> impl Iterator<Item = &str> {
    params.iter().map(|p| p.name.as_str())
}
