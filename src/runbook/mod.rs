//! A runbook as types: what to do. Read and checked by this room; a selector is text here, resolved by `engine::plan`.

pub mod params;
pub mod project;
pub mod read;
mod read_steps;
pub mod template;

pub use project::{FILE, Project};
pub use read::{parse, parse_text};

use crate::base::Span;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

pub use crate::base::Spot;

/// A runbook with its includes read. Journaled whole: a resume uses this one, not the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Runbook {
    /// Its name.
    pub name: String,
    /// For people.
    pub title: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// The file, relative to the project's folder; none for a verb's.
    pub file: Option<String>,
    /// What can be handed in, in order.
    pub params: Vec<Param>,
    /// Which hosts: a selector with templates.
    pub targets: String,
    /// A selection may be empty.
    pub allow_empty: bool,
    /// `ticket:` as written.
    pub ticket: Option<Value>,
    /// What a failure does.
    pub on_failure: OnFailure,
    /// The blast radius.
    pub limits: Limits,
    /// Conditions for the run as a whole: expressions.
    pub require: Vec<Expr>,
    /// The steps.
    pub steps: Vec<Step>,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: ParamKind,
    /// The values that it may have.
    pub one_of: Option<Vec<Value>>,
    /// What it is if nothing is handed in; none: it must be.
    pub default: Option<Value>,
    /// For people.
    pub help: Option<String>,
}

/// The types of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words of the language itself")]
pub enum ParamKind {
    String,
    Int,
    Number,
    Bool,
    Duration,
    Host,
    List,
}

/// An expression (minijinja's syntax, without the braces), and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expr {
    /// The text.
    pub text: String,
    /// Its place.
    pub spot: Spot,
}

/// What a failure does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnFailure {
    /// What.
    pub act: FailureAct,
    /// To how much.
    pub scope: FailureScope,
}

/// What a failure does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureAct {
    /// Everything in the scope goes back.
    #[default]
    Rollback,
    /// Everything in the scope stays as it is.
    Stop,
    /// The failed host stays as it is and leaves the run; the others go on.
    Continue,
}

/// How much a failure concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureScope {
    /// The run.
    #[default]
    Run,
    /// The hosts of the batch; the run then ends with what earlier batches did.
    Batch,
    /// The host that failed; the others go on.
    Host,
}

/// The blast radius: a plan that would touch more is refused (77).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Of all hosts in `svcops.yaml`.
    pub hosts: Option<crate::inventory::Share>,
    /// Sites.
    pub sites: Option<usize>,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its number path: `2.1`; a consequence `2.1.then1`, a step of `undo:` `2.1.undo1`.
    pub number: String,
    /// What expressions and tasks call it.
    pub id: Option<String>,
    /// For people; the action's name unless given.
    pub name: String,
    /// Where it stands.
    pub spot: Spot,
    /// What it does.
    pub what: What,
    /// It applies where this holds.
    pub when: Option<Expr>,
    /// Other hosts than the runbook's: a selector with templates.
    pub targets: Option<String>,
    /// Its selection may be empty.
    pub allow_empty: bool,
    /// One turn an element: a list, or a template of one.
    pub for_each: Option<Value>,
    /// An act's deadline.
    pub timeout: Option<Span>,
    /// How long a host that falls silent is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<Span>,
    /// Trying again.
    pub retry: Option<Retry>,
    /// Who acts: none as the host says, `Some(None)` the login user, else that user.
    pub become_user: Option<Option<String>>,
    /// Consequences of a change.
    pub then: Vec<Self>,
    /// Conditions at its turn.
    pub require: Vec<Expr>,
    /// What a failure in it does.
    pub on_failure: Option<OnFailure>,
    /// What undoes it, where it cannot undo itself.
    pub undo: Vec<Self>,
    /// What a command changes: texts such as `app:billing`, `file:/etc/x`, `unit:x.service`.
    pub touches: Vec<String>,
    /// It runs at the end, whatever happened.
    pub always: bool,
    /// The point of no return.
    pub no_return: bool,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// One action with its arguments as written (templates not yet rendered), and where each argument stands.
    Action {
        /// The action's name.
        action: String,
        /// As written.
        args: Value,
        /// The places of the arguments, by key; `` for the whole.
        spots: BTreeMap<String, Spot>,
    },
    /// A group.
    Group {
        /// Its steps.
        steps: Vec<Step>,
        /// All its steps for one batch of hosts, then the next.
        rolling: Option<Rolling>,
        /// Its steps side by side.
        parallel: bool,
    },
    /// Another runbook's steps, with parameters of their own.
    Include {
        /// The other runbook.
        runbook: Box<Runbook>,
        /// Its parameters: templates of this one's scope.
        with: BTreeMap<String, Value>,
    },
}

/// Batches of hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rolling {
    /// So many at a time.
    pub batch: crate::inventory::Share,
    /// Between two batches.
    pub pause: Span,
    /// So many hosts may fail and leave the run before the group fails.
    pub max_failed: usize,
}

/// Trying again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Tries in all.
    pub attempts: u32,
    /// Before the second.
    pub delay: Span,
    /// The delay's factor from try to try.
    pub backoff: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIONS: &[&str] =
        &["check.http", "haproxy.drain", "haproxy.enable", "file.copy", "app.restart", "notify.email", "command"];

    fn faults(text: &str) -> Vec<String> {
        let inner = "svcops: 1\nname: inner\ntargets: all\nparams: {x: {}}\nsteps: [{include: outer}]\n";
        let files = BTreeMap::from([
            ("runbooks/outer.yaml".to_owned(), text.to_owned()),
            ("runbooks/inner.yaml".to_owned(), inner.to_owned()),
        ]);
        let (_, faults) = parse("runbooks/outer.yaml", &files, ACTIONS);
        faults.0.iter().map(|f| format!("{} {}", f.spot, f.message)).collect()
    }

    #[test]
    fn the_example_is_read_whole() {
        let text = include_str!("../../tests/data/example/runbooks/billing-restart.yaml").to_owned();
        let (runbook, faults) = parse("r.yaml", &BTreeMap::from([("r.yaml".to_owned(), text)]), ACTIONS);
        assert_eq!(faults.0, []);
        let runbook = runbook.unwrap();
        assert_eq!(runbook.steps.len(), 3);
        let What::Group { steps, rolling, .. } = &runbook.steps[1].what else { panic!() };
        assert_eq!(rolling.unwrap().pause, Span::secs(2));
        assert_eq!(steps[1].number, "2.2");
        assert_eq!(steps[1].then[0].number, "2.2.then1");
        let What::Action { spots, .. } = &steps[1].what else { panic!() };
        assert_eq!((spots[""].line, spots["mode"].line, spots["mode"].column), (19, 19, 85));
        assert!(runbook.steps[2].always);
    }

    #[test]
    fn includes_that_run_in_a_circle_are_named() {
        let text = "svcops: 1\nname: outer\ntargets: all\nsteps:\n  - include: inner\n    with: {y: 1}\n";
        let want = "runbooks/inner.yaml:5:19 includes run in a circle: runbooks/outer.yaml → runbooks/inner.yaml → runbooks/outer.yaml";
        assert_eq!(faults(text)[0], want);
    }

    #[test]
    fn every_fault_of_a_step_is_found_at_once() {
        let text = "svcops: 1\nname: run\ntargets: a b\nwindow: night\nsteps:\n  - file.cpoy: {}\n  - {comand: x}\n  - {command: x, app.restart: {}}\n  - {name: nothing}\n  - {command: '{{ host.name', retry: {}}\n  - {id: a-b, cert.renew: {}}\n";
        assert_eq!(
            faults(text),
            [
                "runbooks/outer.yaml:2:7 a runbook cannot be named `run`: svcops has a verb of that name",
                "runbooks/outer.yaml:3:10 `a b` is no selector: `a b` is no term; `k in (a,b)` is, and a comma means *and*",
                "runbooks/outer.yaml:4:1 this version does not act on `window` yet, and ignores nothing",
                "runbooks/outer.yaml:6:5 unknown action `file.cpoy`",
                "runbooks/outer.yaml:7:6 unknown action `comand`",
                "runbooks/outer.yaml:8:18 a step does one thing: one action, or `steps`, or `include`",
                "runbooks/outer.yaml:9:6 this step does nothing",
                "runbooks/outer.yaml:10:15 the expression cannot be read: unexpected end of input, expected end of variable block",
                "runbooks/outer.yaml:10:38 `attempts` is missing: `retry:` needs it",
                "runbooks/outer.yaml:11:10 the id `a-b` cannot be said in expressions",
                "runbooks/outer.yaml:11:15 this version does not act on `cert.renew` yet, and ignores nothing",
            ]
        );
    }
}
