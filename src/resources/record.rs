//! Records of a name in the DNS.

use super::{Answers, ReadError, Resource};
use crate::base::{Answer, At, Lock, Place, Read, RecordAsk, RecordFacts, RecordType, Span, Zone};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Records of one name and type: some of them, or all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Who has them.
    pub at: Zone,
    /// In full: `www.lab.test`.
    pub name: String,
    /// Their type.
    pub kind: RecordType,
    /// These alone are meant, others of the same name and type are nobody's business here; none: all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<BTreeSet<String>>,
    /// How long a server may take to answer.
    pub within: Span,
}

/// What is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetFacts {
    /// Those that are meant and there, at the server that takes updates.
    pub values: BTreeSet<String>,
    /// What others may keep them for, in seconds; none: there are none, not of others either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// Those of the same name and type that are not meant.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub beside: BTreeSet<String>,
    /// Servers that answer otherwise or not at all, and what they do.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub behind: BTreeMap<String, String>,
}

impl Record {
    /// What the servers' answers say of those that are meant.
    pub fn seen(&self, facts: RecordFacts) -> SetFacts {
        let meant = |values: &BTreeSet<String>| -> (BTreeSet<String>, BTreeSet<String>) {
            let is_meant = |value: &String| self.only.as_ref().is_none_or(|only| only.contains(value));
            values.iter().cloned().partition(is_meant)
        };
        let (values, beside) = meant(&facts.primary.values);
        let mut behind = facts.silent;
        for (server, set) in facts.others {
            let (theirs, _) = meant(&set.values);
            let is_late = theirs != values || (set.ttl != facts.primary.ttl && !values.is_empty());
            if is_late {
                let has = if theirs.is_empty() {
                    "none".to_owned()
                } else {
                    crate::base::words::list(&Vec::from_iter(theirs), 3)
                };
                behind.insert(server, format!("has {has}"));
            }
        }
        SetFacts { values, ttl: facts.primary.ttl, beside, behind }
    }
}

impl Resource for Record {
    type Facts = SetFacts;
    fn lock(&self) -> Lock {
        Lock(format!("{}/record/{}/{}", self.at.server, self.name, self.kind))
    }
    fn parents(&self) -> Vec<Lock> {
        vec![Lock(format!("{}/record/{}", self.at.server, self.name))]
    }
    fn reads(&self) -> Vec<At<Read>> {
        let (at, name) = (self.at.clone(), self.name.clone());
        vec![Place::HERE.at(Read::Record(RecordAsk {
            at,
            name,
            kind: self.kind,
            within: self.within,
            may_change: false,
        }))]
    }
    fn facts(&self, answers: &mut Answers) -> Result<SetFacts, ReadError> {
        answers.take(|answer| if let Answer::Record(facts) = answer { Some(self.seen(facts)) } else { None })
    }
    /// Servers catch up by themselves; how long records live that are not there is nothing.
    fn lasting(facts: SetFacts) -> SetFacts {
        let ttl = facts.ttl.filter(|_| !facts.values.is_empty());
        SetFacts { values: facts.values, ttl, ..SetFacts::default() }
    }
}
