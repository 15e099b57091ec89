//! What is known of the world before a rehearsal: every question that a plan asked, and its answer.

use crate::{
    base::{Act, Answer, At, Change, HostName, Place, Read, Receipt, Redactor, RunId},
    transport::{Fut, Look, Lost, Settled, Simulated, Terms, Transport},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};

/// What is known of the world. Written as JSON it is what `--save-facts` keeps and `--assume` takes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// 1.
    pub schema_version: u32,
    /// Nobody has seen it: it is as one would have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub assumed: bool,
    /// Questions and answers, in the order in which they were asked first.
    pub facts: Vec<Fact>,
}

/// A question and its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// What was asked, and where.
    pub read: At<Read>,
    /// What was seen.
    pub answer: Answer,
}

/// Why a text holds no facts.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// It is of another shape.
    #[error("these are no facts as `svcops rehearse --save-facts` writes them")]
    Shape(#[source] serde_json::Error),
    /// A later svcops wrote it.
    #[error("these facts have version {0}, this svcops knows version 1")]
    Version(u32),
}

impl Known {
    /// Reads facts.
    ///
    /// # Errors
    /// They are of another shape or version.
    pub fn read(text: &[u8]) -> Result<Self, FactsError> {
        let known: Self = serde_json::from_slice(text).map_err(FactsError::Shape)?;
        if known.schema_version == 1 { Ok(known) } else { Err(FactsError::Version(known.schema_version)) }
    }
    /// The facts as JSON, without the secrets that the redactor knows.
    ///
    /// # Errors
    /// They cannot be written as JSON.
    pub fn text(&self, redactor: &Redactor) -> Result<String, serde_json::Error> {
        let mut value = serde_json::to_value(self)?;
        clean(&mut value, redactor);
        serde_json::to_string_pretty(&value).map(|text| text + "\n")
    }
    /// What was seen when this was asked first.
    pub(super) fn answer(&self, read: &At<Read>) -> Answer {
        self.facts.iter().find(|fact| fact.read == *read).map_or(Answer::Open, |fact| fact.answer.clone())
    }
    /// What stands there, for the simulated world.
    pub(super) fn teach(&self, world: &Simulated) {
        for Fact { read, answer } in &self.facts {
            world.learn(read, answer);
        }
    }
}

fn clean(value: &mut Value, redactor: &Redactor) {
    match value {
        Value::String(text) => *text = redactor.clean(text).0,
        Value::Array(values) => values.iter_mut().for_each(|v| clean(v, redactor)),
        Value::Object(map) => map.values_mut().for_each(|v| clean(v, redactor)),
        _ => {}
    }
}

/// Looks at the world through another transport, and remembers what it saw.
pub(super) struct Recorder {
    real: Arc<dyn Transport>,
    seen: Mutex<Vec<Fact>>,
}

impl Recorder {
    pub(super) fn new(real: Arc<dyn Transport>) -> Self {
        Self { real, seen: Mutex::default() }
    }
    pub(super) fn known(&self) -> Known {
        let facts = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Known { schema_version: 1, assumed: self.real.supposes(), facts }
    }
}

impl Transport for Recorder {
    fn look<'a>(&'a self, host: Option<&'a HostName>, reads: &'a [At<Read>]) -> Fut<'a, Result<Look, Lost>> {
        Box::pin(async move {
            let look = self.real.look(host, reads).await?;
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            for (read, answer) in reads.iter().zip(&look.answers) {
                seen.push(Fact { read: read.clone(), answer: answer.clone() });
            }
            drop(seen);
            Ok(look)
        })
    }
    fn open<'a>(&'a self, run: &'a RunId, at: &'a Place) -> Fut<'a, Result<String, Lost>> {
        self.real.open(run, at)
    }
    fn carry<'a>(&'a self, act: &'a Act, change: &'a At<Change>, terms: Terms) -> Fut<'a, Result<Receipt, Lost>> {
        self.real.carry(act, change, terms)
    }
    fn settle<'a>(&'a self, act: &'a Act, change: &'a At<Change>, terms: Terms) -> Fut<'a, Result<Settled, Lost>> {
        self.real.settle(act, change, terms)
    }
    fn cancel<'a>(&'a self, act: &'a Act, at: &'a Place) -> Fut<'a, Result<bool, Lost>> {
        self.real.cancel(act, at)
    }
    fn fetch<'a>(&'a self, at: &'a Place, path: &'a str, cap: usize) -> Fut<'a, Result<Option<Vec<u8>>, Lost>> {
        self.real.fetch(at, path, cap)
    }
    fn close(&self) -> Fut<'_, ()> {
        self.real.close()
    }
}
