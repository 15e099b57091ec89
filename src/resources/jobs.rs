//! What runs by the clock on a host: systemd timers, and files of `/etc/cron.d`.

use super::{Answers, ReadError, Resource, host_lock, unit::rests};
use crate::base::{Answer, At, Lock, Place, Read, UnitFacts};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Jobs of a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Jobs {
    /// Its host, and who acts there.
    pub at: Place,
    /// systemd timers, with their suffix.
    pub timers: Vec<String>,
    /// Files of `/etc/cron.d`, by their names.
    pub cron: Vec<String>,
}

/// What is seen of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JobsFacts {
    /// By the timer's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub timers: BTreeMap<String, TimerFacts>,
    /// By the file's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cron: BTreeMap<String, CronFacts>,
}

/// A timer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TimerFacts {
    /// systemd knows it.
    pub loaded: bool,
    /// A boot starts it.
    pub enabled: bool,
    /// It waits for its time.
    pub active: bool,
    /// What it starts runs at this moment.
    #[serde(default)]
    pub busy: bool,
}

/// A file of `/etc/cron.d`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CronFacts {
    /// It is there under its own name: cron runs it.
    pub on: bool,
    /// It is there under the name that cron passes over.
    pub off: bool,
}

/// The path of a cron file.
pub fn cron_path(name: &str) -> String {
    format!("/etc/cron.d/{name}")
}

/// The path of a cron file that does not run: cron passes over names with a dot.
pub fn cron_path_off(name: &str) -> String {
    format!("/etc/cron.d/{name}.svcops-off")
}

/// What a timer starts: the service of its name.
pub fn service_of(timer: &str) -> String {
    format!("{}.service", timer.strip_suffix(".timer").unwrap_or(timer))
}

impl Resource for Jobs {
    type Facts = JobsFacts;
    fn lock(&self) -> Lock {
        Lock(format!("{}/jobs", self.at))
    }
    fn parents(&self) -> Vec<Lock> {
        vec![host_lock(&self.at)]
    }
    fn reads(&self) -> Vec<At<Read>> {
        let units = self.timers.iter().flat_map(|timer| [timer.clone(), service_of(timer)]);
        let files = self.cron.iter().flat_map(|name| [cron_path(name), cron_path_off(name)]);
        let reads = units.map(|name| Read::Unit { name }).chain(files.map(|path| Read::File { path }));
        reads.map(|read| self.at.at(read)).collect()
    }
    fn facts(&self, answers: &mut Answers) -> Result<JobsFacts, ReadError> {
        let mut facts = JobsFacts::default();
        for timer in &self.timers {
            let mut unit = || answers.take(|a| if let Answer::Unit(facts) = a { Some(facts) } else { None });
            let (UnitFacts { loaded, enabled, state, .. }, service) = (unit()?, unit()?);
            let busy = service.loaded && !rests(service.state);
            facts.timers.insert(timer.clone(), TimerFacts { loaded, enabled, active: !rests(state), busy });
        }
        for name in &self.cron {
            let mut there = || answers.take(|a| if let Answer::File(file) = a { Some(file.is_some()) } else { None });
            facts.cron.insert(name.clone(), CronFacts { on: there()?, off: there()? });
        }
        Ok(facts)
    }
    fn lasting(mut facts: JobsFacts) -> JobsFacts {
        for timer in facts.timers.values_mut() {
            timer.busy = false;
        }
        facts
    }
}
