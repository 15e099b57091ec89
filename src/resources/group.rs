//! The hosts of an app at one site, as a quorum sees them.

use super::{Answers, App, ReadError, Resource};
use crate::base::{At, HostName, Lock, Read};
use serde::{Deserialize, Serialize};

/// An app on several hosts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The app's name.
    pub name: String,
    /// It on each of them.
    pub apps: Vec<App>,
}

/// What is seen of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupFacts {
    /// One a host.
    pub members: Vec<Member>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Its host.
    pub host: HostName,
    /// It runs and is healthy.
    pub healthy: bool,
}

impl GroupFacts {
    /// So many are healthy.
    pub fn healthy(&self) -> usize {
        self.members.iter().filter(|m| m.healthy).count()
    }
}

impl Resource for Group {
    type Facts = GroupFacts;
    fn lock(&self) -> Lock {
        Lock(format!("app/{}", self.name))
    }
    fn parents(&self) -> Vec<Lock> {
        vec![]
    }
    fn reads(&self) -> Vec<At<Read>> {
        self.apps.iter().flat_map(Resource::reads).collect()
    }
    fn facts(&self, answers: &mut Answers) -> Result<GroupFacts, ReadError> {
        let member = |app: &App| Ok(Member { host: app.host(), healthy: app.facts(answers)?.serves() });
        Ok(GroupFacts { members: self.apps.iter().map(member).collect::<Result<_, _>>()? })
    }
    fn lasting(_: GroupFacts) -> GroupFacts {
        GroupFacts::default()
    }
}
