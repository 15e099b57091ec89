//! A PostgreSQL database that Patroni manages, as its REST API shows it.

use super::{Answers, ReadError, Resource};
use crate::base::{Answer, At, HttpAsk, HttpFacts, Lock, Place, Read};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A database of Patroni's, and the member that is to lead it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PatroniCluster {
    /// Its name in `svcops.yaml`.
    pub database: String,
    /// What the members are: `GET /cluster`.
    pub cluster: HttpAsk,
    /// What the one that is to lead says of itself: `GET /patroni`. The leader's lock moves before a promotion ends.
    pub own: HttpAsk,
}

/// What is seen of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PatroniFacts {
    /// Who leads, as Patroni names them; none: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// The one that is to lead says that it accepts writes.
    #[serde(default)]
    pub writable: bool,
    /// Patroni is told to leave the cluster alone.
    #[serde(default)]
    pub paused: bool,
    /// The members.
    #[serde(default)]
    pub members: Vec<PatroniMember>,
    /// Why nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<String>,
}

/// A member.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PatroniMember {
    /// Its name.
    pub name: String,
    /// The address of its PostgreSQL.
    #[serde(default)]
    pub host: String,
    /// `leader`, `replica`, `sync_standby` …
    #[serde(default)]
    pub role: String,
    /// `running`, `streaming`, `stopped` …
    #[serde(default)]
    pub state: String,
    /// How far it is behind, in bytes; none: not known.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
}

/// What `GET /cluster` answers.
#[derive(Deserialize)]
struct Whole {
    members: Vec<PatroniMember>,
    #[serde(default)]
    pause: bool,
}

/// Patroni writes `unknown` where it does not know.
fn number<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    Ok(Value::deserialize(from)?.as_u64())
}

impl PatroniMember {
    /// It runs; a standby in step says `streaming` since Patroni 3.
    pub fn runs(&self) -> bool {
        matches!(self.state.as_str(), "running" | "streaming")
    }
    /// It leads.
    pub fn leads(&self) -> bool {
        matches!(self.role.as_str(), "leader" | "master" | "primary")
    }
}

impl PatroniFacts {
    /// The member on a host, by its address or its name.
    pub fn member(&self, names: &[String]) -> Option<&PatroniMember> {
        let on = |member: &&PatroniMember| names.contains(&member.host) || names.contains(&member.name);
        self.members.iter().find(on)
    }
    fn of(cluster: &HttpFacts, own: &HttpFacts) -> Self {
        let silent = |why: String| Self { silent: Some(why), ..Self::default() };
        if cluster.status != Some(200) {
            let said = cluster.status.map(|status| format!("it answered {status}"));
            return silent(said.or_else(|| cluster.error.clone()).unwrap_or_else(|| "it gave no reason".to_owned()));
        }
        let whole: Whole = match serde_json::from_str(&cluster.body) {
            Ok(whole) => whole,
            Err(e) => return silent(format!("its answer is not that of a Patroni: {e}")),
        };
        let own: Value = serde_json::from_str(&own.body).unwrap_or_default();
        let is = |key: &str, words: &[&str]| own.get(key).and_then(Value::as_str).is_some_and(|it| words.contains(&it));
        Self {
            leader: whole.members.iter().find(|member| member.leads()).map(|member| member.name.clone()),
            writable: is("role", &["master", "primary"]) && is("state", &["running"]),
            paused: whole.pause,
            members: whole.members,
            silent: None,
        }
    }
}

impl Resource for PatroniCluster {
    type Facts = PatroniFacts;
    fn lock(&self) -> Lock {
        Lock(format!("patroni/{}", self.database))
    }
    fn parents(&self) -> Vec<Lock> {
        vec![]
    }
    fn reads(&self) -> Vec<At<Read>> {
        [&self.cluster, &self.own].into_iter().map(|ask| Place::HERE.at(Read::Http(ask.clone()))).collect()
    }
    fn facts(&self, answers: &mut Answers) -> Result<PatroniFacts, ReadError> {
        let mut http = || answers.take(|a| if let Answer::Http(facts) = a { Some(facts) } else { None });
        let cluster = http()?;
        Ok(PatroniFacts::of(&cluster, &http()?))
    }
    /// What an undo could bring back: who leads.
    fn lasting(facts: PatroniFacts) -> PatroniFacts {
        PatroniFacts { leader: facts.leader, ..PatroniFacts::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_patroni_says_is_read_in_all_its_versions() {
        let said = |body: &str| HttpFacts { status: Some(200), body: body.into(), error: None };
        let cluster = said(
            r#"{"members": [
                {"name": "one", "role": "leader", "state": "running", "api_url": "http://10.77.0.14:8008/patroni",
                 "host": "10.77.0.14", "port": 5432, "timeline": 3},
                {"name": "two", "role": "replica", "state": "streaming", "host": "10.77.0.24", "timeline": 3, "lag": 7},
                {"name": "три", "role": "replica", "state": "start failed", "host": "10.77.0.34", "lag": "unknown"}],
                "pause": true, "scope": "crm"}"#,
        );
        let facts = PatroniFacts::of(&cluster, &said(r#"{"state": "running", "role": "replica"}"#));
        assert_eq!((facts.leader.as_deref(), facts.writable, facts.paused), (Some("one"), false, true));
        let lags: Vec<Option<u64>> = facts.members.iter().map(|member| member.lag).collect();
        assert_eq!(lags, [None, Some(7), None]);
        assert_eq!(facts.member(&["10.77.0.24".into()]).map(|m| (m.runs(), m.leads())), Some((true, false)));
        assert_eq!(facts.member(&["три".into()]).map(PatroniMember::runs), Some(false));
        assert!(PatroniFacts::of(&cluster, &said(r#"{"state": "running", "role": "master"}"#)).writable);
        let other = PatroniFacts::of(&said("<html>"), &said(""));
        assert!(other.silent.is_some_and(|why| why.contains("not that of a Patroni")));
        let error = HttpFacts { error: Some("connection refused".into()), ..HttpFacts::default() };
        assert_eq!(PatroniFacts::of(&error, &error).silent.as_deref(), Some("connection refused"));
    }
}
