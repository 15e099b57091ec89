//! Who serves a certificate: the pair on the disk, the app that reads it, and what it shows to whoever asks.

use super::{Answers, App, AppFacts, Pair, ReadError, Resource};
use crate::base::{Answer, At, Leaf, Lock, Place, Read, ServedAsk, ServedFacts};
use serde::{Deserialize, Serialize};

/// An app that serves a pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Consumer {
    /// The pair.
    pub pair: Pair,
    /// What serves it; none: something that takes a new one by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<App>,
    /// Where it is served, asked from here.
    pub served: Vec<ServedAsk>,
}

/// What is seen of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConsumerFacts {
    /// The certificate that is installed.
    #[serde(default)]
    pub installed: Option<Leaf>,
    /// Whether its key is beside it.
    #[serde(default)]
    pub key_fits: bool,
    /// The app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppFacts>,
    /// What each endpoint shows.
    #[serde(default)]
    pub served: Vec<ServedFacts>,
}

impl ConsumerFacts {
    /// The first endpoint that shows another certificate than the one that is installed, by its number, with what it shows.
    pub fn other(&self) -> Option<(usize, String)> {
        let wanted = self.installed.as_ref()?;
        let shows = |seen: &ServedFacts| match (&seen.fingerprint, &seen.serial) {
            (Some(is), _) if *is == wanted.fingerprint => None,
            (_, Some(serial)) => Some(format!("shows serial {serial}, and {} is installed", wanted.serial)),
            _ => Some(seen.error.clone().unwrap_or_else(|| "shows nothing".to_owned())),
        };
        self.served.iter().enumerate().find_map(|(at, seen)| Some((at, shows(seen)?)))
    }
}

impl Resource for Consumer {
    type Facts = ConsumerFacts;
    fn lock(&self) -> Lock {
        self.app.as_ref().map_or_else(|| self.pair.lock(), Resource::lock)
    }
    fn parents(&self) -> Vec<Lock> {
        self.app.as_ref().map_or_else(|| self.pair.parents(), Resource::parents)
    }
    fn reads(&self) -> Vec<At<Read>> {
        let served = self.served.iter().map(|ask| Place::HERE.at(Read::Served(ask.clone())));
        self.pair.reads().into_iter().chain(self.app.iter().flat_map(Resource::reads)).chain(served).collect()
    }
    fn facts(&self, answers: &mut Answers) -> Result<ConsumerFacts, ReadError> {
        let pair = self.pair.facts(answers)?;
        let app = self.app.as_ref().map(|app| app.facts(answers)).transpose()?;
        let take = |answers: &mut Answers| answers.take(|a| if let Answer::Served(f) = a { Some(f) } else { None });
        let served = self.served.iter().map(|_| take(answers)).collect::<Result<_, _>>()?;
        Ok(ConsumerFacts { installed: pair.installed, key_fits: pair.key_fits, app, served })
    }
    /// As of any app: whether it runs.
    fn lasting(facts: ConsumerFacts) -> ConsumerFacts {
        ConsumerFacts { app: facts.app.map(App::lasting), ..ConsumerFacts::default() }
    }
}
