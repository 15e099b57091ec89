//! A file on a host.

use super::{Answers, ReadError, Resource, host_lock};
use crate::base::{Answer, At, FileFacts, Lock, Place, Read};
use serde::{Deserialize, Serialize};

/// A file on a host; its facts are none where nothing stands at the path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct File {
    /// Its host.
    pub at: Place,
    /// Absolute.
    pub path: String,
}

impl Resource for File {
    type Facts = Option<FileFacts>;
    fn lock(&self) -> Lock {
        Lock(format!("{}/file{}", self.at, self.path))
    }
    fn parents(&self) -> Vec<Lock> {
        vec![host_lock(&self.at)]
    }
    fn reads(&self) -> Vec<At<Read>> {
        vec![self.at.at(Read::File { path: self.path.clone() })]
    }
    fn facts(&self, answers: &mut Answers) -> Result<Option<FileFacts>, ReadError> {
        answers.take(|a| if let Answer::File(facts) = a { Some(facts) } else { None })
    }
}
