//! What a step can do. An action is a pure state machine over facts: it looks at nothing and touches nothing, it says
//! what comes next. One file a family; [`CATALOG`] names them all, and the schema of runbooks is drawn from it.

mod app;
mod args;
mod cert;
mod check;
mod command;
mod dns;
mod drill;
mod file;
mod haproxy;
mod jobs;
mod notify;
mod order;
mod patroni;
pub mod postgres;
mod prove;
mod service;
#[cfg(test)]
mod tests;
mod wait;

use crate::{
    base::{Answer, At, Change, Content, HostName, Lock, Place, Read, Receipt, Span, Text, Way},
    inventory::{Host, Inventory},
    resources::{Answers, ReadError, Resource},
};
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::time::Duration;

/// Every action there is.
pub const CATALOG: &[Entry] = &[
    Entry::of::<app::Stop>(),
    Entry::of::<app::Start>(),
    Entry::of::<app::Restart>(),
    Entry::of::<app::Reload>(),
    Entry::of::<command::Command>(),
    Entry::of::<command::Script>(),
    Entry::of::<file::Copy>(),
    Entry::of::<file::Template>(),
    Entry::of::<file::Absent>(),
    Entry::of::<check::CheckHttp>(),
    Entry::of::<check::CheckTcp>(),
    Entry::of::<check::CheckCommand>(),
    Entry::of::<check::Quorum>(),
    Entry::of::<wait::WaitFor>(),
    Entry::of::<wait::Pause>(),
    Entry::of::<haproxy::Drain>(),
    Entry::of::<haproxy::Enable>(),
    Entry::of::<cert::Request>(),
    Entry::of::<order::Order>(),
    Entry::of::<cert::Install>(),
    Entry::of::<cert::Serve>(),
    Entry::of::<dns::Update>(),
    Entry::of::<postgres::Ready>(),
    Entry::of::<postgres::Checkpoint>(),
    Entry::of::<postgres::Mask>(),
    Entry::of::<postgres::Stop>(),
    Entry::of::<postgres::Promote>(),
    Entry::of::<postgres::Follow>(),
    Entry::of::<patroni::PatroniSwitchover>(),
    Entry::of::<service::Watch>(),
    Entry::of::<service::Verify>(),
    Entry::of::<drill::End>(),
    Entry::of::<jobs::Stop>(),
    Entry::of::<jobs::Start>(),
    Entry::of::<notify::Email>(),
    Entry::of::<notify::Webhook>(),
];

/// Something a step can do. The value is *resolved* (host, unit, hash of the content), and journaled whole: an undo needs
/// neither the inventory nor the runbook.
pub trait Action: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The key in a step: `app.restart`.
    const NAME: &'static str;
    /// What it is good for, in one line.
    const ABOUT: &'static str;
    /// A step that uses it, as one writes it in a runbook: for the reference. A test lints it.
    const EXAMPLE: &'static str = "";
    /// What it can do without: see [`Traits`].
    const TRAITS: Traits = Traits::CHANGES;
    /// What the user writes. Unknown keys are refused by it.
    type Args: DeserializeOwned + JsonSchema;
    /// What it acts on.
    type On: Resource;

    /// Resolves what was written for one host.
    ///
    /// # Errors
    /// What is wrong with it, in words for who wrote it.
    fn bind(args: Self::Args, target: &Target<'_>) -> Result<Self, Refusal>;
    /// What it acts on.
    fn on(&self) -> &Self::On;
    /// What comes next on the way there. Pure; decides from `turn.seen`, for a receipt is no proof.
    fn next(&self, turn: &Turn<Facts<Self>>) -> Next;
    /// What comes next on the way back to `turn.before`. The same loop, verified by a look like any act.
    fn undo(&self, turn: &Turn<Facts<Self>>) -> Next;
}

/// The facts that an action decides from.
pub type Facts<A> = <<A as Action>::On as Resource>::Facts;

/// What the engine and lint must know of an action before it is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// It changes things, and so needs locks; a check or a wait does not.
    pub changes: bool,
    /// It runs once for the whole step, from here, whatever the targets.
    pub once: bool,
    /// It brings back what was before by itself; else a step needs `undo:` for that.
    pub undoes: bool,
    /// A rollback passes over it: what it did is said and cannot be unsaid (a message), or changed nothing (a check).
    pub leaves_nothing: bool,
    /// Opaque: a plan cannot know what it changes.
    pub opaque: bool,
    /// Where it is done, the whole run turns back, as it was to: a drill.
    pub turns_back: bool,
}

impl Traits {
    /// Changes things and can undo them.
    pub const CHANGES: Self =
        Self { changes: true, once: false, undoes: true, leaves_nothing: false, opaque: false, turns_back: false };
    /// Only looks.
    pub const LOOKS: Self = Self { changes: false, undoes: true, leaves_nothing: true, ..Self::CHANGES };
    /// Tells somebody something, once.
    pub const TELLS: Self = Self { once: true, leaves_nothing: true, ..Self::CHANGES };
    /// Runs what has no model.
    pub const OPAQUE: Self = Self { undoes: false, opaque: true, ..Self::CHANGES };
}

/// One look, and all that led to it.
#[derive(Clone, Debug)]
pub struct Turn<F> {
    /// Seen before the first act of the task.
    pub before: F,
    /// Seen now.
    pub seen: F,
    /// On the way back: seen at the end of the way there, if that end was seen.
    pub after: Option<F>,
    /// What this leg (there, or back) has done so far. Good for *not a second time*, no proof of anything.
    pub did: Vec<Receipt>,
    /// The last change that this leg has carried out.
    pub last: Option<At<Change>>,
    /// How long this leg has run; a resume begins anew.
    pub elapsed: Duration,
    /// How long nothing was done: since this leg's last change was carried out, or since it began; a resume begins anew.
    pub rested: Duration,
    /// The leg's deadline has passed: finish or give up, a wait will be a failure.
    pub late: bool,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Carry these out, in order, then look again.
    Do {
        /// The changes.
        changes: Vec<At<Change>>,
        /// Fields that the facts must show at [`Next::Done`]; what is not named is open.
        expect: Value,
    },
    /// Look again after a while.
    Wait {
        /// What is waited for, in words: `3 sessions left`.
        why: String,
        /// How long until the next look.
        every: Duration,
    },
    /// Nothing is left to do.
    Done {
        /// What later steps may use.
        outputs: Value,
    },
    /// Refused, where nothing was announced yet; else failed.
    GiveUp(String),
}

impl Next {
    /// One change.
    pub fn act(change: At<Change>, expect: Value) -> Self {
        Self::Do { changes: vec![change], expect }
    }
    /// A wait of a second, or less where things move fast.
    pub fn wait(why: impl Into<String>, every: Duration) -> Self {
        Self::Wait { why: why.into(), every }
    }
    /// Done, with nothing for later steps.
    pub const fn done() -> Self {
        Self::Done { outputs: Value::Null }
    }
}

/// Why an action cannot be bound: words for who wrote the step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refusal {
    /// The argument that is wrong, if it is one.
    pub key: Option<String>,
    /// What is wrong with it.
    pub why: String,
}

impl Refusal {
    /// Something is wrong with the step as a whole.
    pub fn new(why: impl Into<String>) -> Self {
        Self { key: None, why: why.into() }
    }
    /// Something is wrong with one argument.
    pub fn of(key: &str, why: impl Into<String>) -> Self {
        Self { key: Some(key.to_owned()), why: why.into() }
    }
}

/// What [`Action::bind`] may look at.
pub struct Target<'a> {
    /// The host that the step runs for.
    pub host: &'a Host,
    /// All that `svcops.yaml` declares.
    pub inventory: &'a Inventory,
    /// The contents of files and texts.
    pub contents: &'a dyn Contents,
    /// Who acts on hosts: the step's `become`, else the host's.
    pub become_user: Option<String>,
    /// The hosts of the batch under way, this one among them.
    pub under_way: &'a [HostName],
    /// The step's deadline for an act.
    pub timeout: Duration,
    /// The step's `touches:`.
    pub touches: &'a [String],
    /// When that is: what is due is judged by it, and by no watch.
    pub now: Timestamp,
}

impl Target<'_> {
    /// The host, as who acts there.
    pub fn place(&self) -> Place {
        self.place_on(&self.host.name)
    }
    /// Another host (a balancer's), as who acts there.
    pub fn place_on(&self, host: &HostName) -> Place {
        Place::on(host).becoming(self.become_user.clone())
    }
    /// The deadline as a span.
    pub fn span(&self) -> Span {
        Span(self.timeout)
    }
}

/// Finds contents and hashes them; the bytes stay with it until they are sent.
pub trait Contents: Send + Sync {
    /// A file, relative to the project's folder.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    fn file(&self, path: &str) -> Result<Content, Refusal>;
    /// The text of a file, relative to the project's folder, as a template that is yet to be rendered.
    ///
    /// # Errors
    /// It is not there, cannot be read, or is no UTF-8.
    fn template(&self, path: &str) -> Result<String, Refusal>;
    /// A text; secrets that it names are read for the hash.
    ///
    /// # Errors
    /// A secret that it names cannot be had.
    fn text(&self, text: &Text) -> Result<Content, Refusal>;
    /// Renders a template with what the step's own expressions see.
    ///
    /// # Errors
    /// What is wrong with it, with its line.
    fn render(&self, template: &str) -> Result<Text, Refusal>;
}

/// One line of [`CATALOG`]: an action with its types erased.
#[derive(Clone, Copy)]
pub struct Entry {
    /// As [`Action::NAME`].
    pub name: &'static str,
    /// As [`Action::ABOUT`].
    pub about: &'static str,
    /// As [`Action::EXAMPLE`].
    pub example: &'static str,
    /// As [`Action::TRAITS`].
    pub traits: Traits,
    schema: fn(&mut SchemaGenerator) -> Schema,
    bind: fn(Value, &Target<'_>) -> Result<Box<dyn Task>, Refusal>,
    recall: fn(Value) -> Result<Box<dyn Task>, Refusal>,
}

impl Entry {
    /// Erases the types of `A`.
    pub const fn of<A: Action>() -> Self {
        Self {
            name: A::NAME,
            about: A::ABOUT,
            example: A::EXAMPLE,
            traits: A::TRAITS,
            schema: |generator| generator.subschema_for::<A::Args>(),
            bind: |args, target| {
                let args = serde_json::from_value(args).map_err(|e| Refusal::new(args::wrong_type(&e.to_string())))?;
                Ok(Box::new(Bound(A::bind(args, target)?)))
            },
            recall: |value| {
                let action = serde_json::from_value::<A>(value)
                    .map_err(|e| Refusal::new(format!("the journal's `{}` cannot be read: {e}", A::NAME)))?;
                Ok(Box::new(Bound(action)))
            },
        }
    }
    /// The entry of that name.
    pub fn find<'a>(catalog: &'a [Self], name: &str) -> Option<&'a Self> {
        catalog.iter().find(|e| e.name == name)
    }
    /// The schema of what the user writes.
    pub fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        (self.schema)(generator)
    }
    /// As [`Action::bind`].
    ///
    /// # Errors
    /// As there.
    pub fn bind(&self, args: Value, target: &Target<'_>) -> Result<Box<dyn Task>, Refusal> {
        (self.bind)(args, target)
    }
    /// The action that [`Task::value`] gave once.
    ///
    /// # Errors
    /// The value is of another shape.
    pub fn recall(&self, value: Value) -> Result<Box<dyn Task>, Refusal> {
        (self.recall)(value)
    }
}

/// An action with its types erased: facts are JSON on this side.
pub trait Task: Send + Sync {
    /// The resolved action, for the journal.
    fn value(&self) -> Value;
    /// As [`Traits::opaque`].
    fn is_opaque(&self) -> bool;
    /// Its resource, and what that is part of.
    fn locks(&self) -> (Lock, Vec<Lock>);
    /// What to look at.
    fn reads(&self) -> Vec<At<Read>>;
    /// As [`Resource::spares`].
    fn spares(&self) -> Option<&HostName>;
    /// The facts that the answers show.
    ///
    /// # Errors
    /// As [`Resource::facts`].
    fn facts(&self, answers: Vec<Answer>) -> Result<Value, ReadError>;
    /// As [`Action::next`] and [`Action::undo`].
    ///
    /// # Errors
    /// Facts of another shape, from a journal of another version.
    fn next(&self, way: Way, turn: Turn<&Value>) -> Result<Next, ReadError>;
    /// Whether the two are equal in what lasts.
    ///
    /// # Errors
    /// As [`Task::next`].
    fn same(&self, one: &Value, other: &Value) -> Result<bool, ReadError>;
}

struct Bound<A>(A);

impl<A: Action> Task for Bound<A> {
    fn value(&self) -> Value {
        serde_json::to_value(&self.0).unwrap_or(Value::Null)
    }
    fn is_opaque(&self) -> bool {
        A::TRAITS.opaque
    }
    fn locks(&self) -> (Lock, Vec<Lock>) {
        (self.0.on().lock(), self.0.on().parents())
    }
    fn reads(&self) -> Vec<At<Read>> {
        self.0.on().reads()
    }
    fn spares(&self) -> Option<&HostName> {
        self.0.on().spares()
    }
    fn facts(&self, answers: Vec<Answer>) -> Result<Value, ReadError> {
        serde_json::to_value(self.0.on().facts(&mut Answers::new(answers))?).map_err(unread)
    }
    fn next(&self, way: Way, turn: Turn<&Value>) -> Result<Next, ReadError> {
        let turn = Turn {
            before: typed::<A>(turn.before)?,
            seen: typed::<A>(turn.seen)?,
            after: turn.after.map(typed::<A>).transpose()?,
            did: turn.did,
            last: turn.last,
            elapsed: turn.elapsed,
            rested: turn.rested,
            late: turn.late,
        };
        Ok(match way {
            Way::Forward => self.0.next(&turn),
            Way::Undo => self.0.undo(&turn),
        })
    }
    fn same(&self, one: &Value, other: &Value) -> Result<bool, ReadError> {
        Ok(A::On::lasting(typed::<A>(one)?) == A::On::lasting(typed::<A>(other)?))
    }
}

fn typed<A: Action>(value: &Value) -> Result<Facts<A>, ReadError> {
    serde_json::from_value(value.clone()).map_err(unread)
}

fn unread(e: serde_json::Error) -> ReadError {
    ReadError::Bad(e.to_string())
}

/// Whether `seen` shows every field that `expect` names.
pub fn holds(expect: &Value, seen: &Value) -> bool {
    match (expect, seen) {
        (Value::Null, _) => true,
        (Value::Object(e), Value::Object(s)) => e.iter().all(|(k, v)| s.get(k).is_some_and(|s| holds(v, s))),
        (e, s) => e == s,
    }
}
