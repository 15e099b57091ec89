//! What a command acts on: nothing of its own, but what says that it need not run.

use super::{Answers, ReadError, Resource, host_lock};
use crate::base::{Answer, At, Invocation, Lock, Place, Read, RunFacts};
use serde::{Deserialize, Serialize};

/// Where a command runs, and what says that it need not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workplace {
    /// Its host, and who runs it.
    pub at: Place,
    /// What it changes, where that is one thing; else its whole host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub touches: Option<Lock>,
    /// A file that stands there once it has run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creates: Option<String>,
    /// A command that exits 0 where it need not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<Invocation>,
}

/// What is seen before a command runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkFacts {
    /// Whether the file of `creates` is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<bool>,
    /// How `unless` ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<RunFacts>,
}

impl Resource for Workplace {
    type Facts = WorkFacts;
    fn lock(&self) -> Lock {
        self.touches.clone().unwrap_or_else(|| host_lock(&self.at))
    }
    fn parents(&self) -> Vec<Lock> {
        self.touches.iter().map(|_| host_lock(&self.at)).collect()
    }
    fn reads(&self) -> Vec<At<Read>> {
        let file = self.creates.iter().map(|path| Read::File { path: path.clone() });
        let run = self.unless.iter().map(|run| Read::Run(run.clone()));
        file.chain(run).map(|read| self.at.at(read)).collect()
    }
    fn facts(&self, answers: &mut Answers) -> Result<WorkFacts, ReadError> {
        let mut facts = WorkFacts::default();
        if self.creates.is_some() {
            facts.created = Some(answers.take(|a| if let Answer::File(f) = a { Some(f.is_some()) } else { None })?);
        }
        if self.unless.is_some() {
            facts.unless = Some(answers.take(|a| if let Answer::Run(f) = a { Some(f) } else { None })?);
        }
        Ok(facts)
    }
    /// What `unless` says may change with any look; the file lasts.
    fn lasting(facts: WorkFacts) -> WorkFacts {
        WorkFacts { unless: None, ..facts }
    }
}

/// Something that a command says; it changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saying {
    /// Its host, and who runs it.
    pub at: Place,
    /// The command.
    pub run: Invocation,
}

impl Resource for Saying {
    type Facts = RunFacts;
    fn lock(&self) -> Lock {
        host_lock(&self.at)
    }
    fn parents(&self) -> Vec<Lock> {
        vec![]
    }
    fn reads(&self) -> Vec<At<Read>> {
        vec![self.at.at(Read::Run(self.run.clone()))]
    }
    fn facts(&self, answers: &mut Answers) -> Result<RunFacts, ReadError> {
        answers.take(|a| if let Answer::Run(facts) = a { Some(facts) } else { None })
    }
    fn lasting(_: RunFacts) -> RunFacts {
        RunFacts::default()
    }
}

/// For what looks at nothing: a message, a pause.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Nothing {}

/// Nothing seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NoFacts {}

impl Resource for Nothing {
    type Facts = NoFacts;
    fn lock(&self) -> Lock {
        Lock("here".into())
    }
    fn parents(&self) -> Vec<Lock> {
        vec![]
    }
    fn reads(&self) -> Vec<At<Read>> {
        vec![]
    }
    fn facts(&self, _: &mut Answers) -> Result<NoFacts, ReadError> {
        Ok(NoFacts {})
    }
}
