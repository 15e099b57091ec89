//! Patroni in the simulated world: what its REST API was seen to say, and what a switchover makes of that.

use super::world::World;
use crate::base::{Answer, At, HttpFacts, Read, Switchover};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What was answered, by the URL that was asked.
pub(super) type Patronis = BTreeMap<String, HttpFacts>;

impl World {
    /// Whether this is an answer of a Patroni; it is kept then.
    pub(super) fn learn_patroni(&mut self, read: &At<Read>, answer: &Answer) -> bool {
        let (Read::Http(ask), Answer::Http(facts)) = (&read.what, answer) else { return false };
        let said: Value = serde_json::from_str(&facts.body).unwrap_or_default();
        let is = (ask.url.ends_with("/cluster") && said.get("members").is_some_and(Value::is_array))
            || (ask.url.ends_with("/patroni") && said.get("role").is_some());
        if is {
            self.patronis.entry(ask.url.clone()).or_insert_with(|| facts.clone());
        }
        is
    }
    /// What it answers now; none: nobody has asked it.
    pub(super) fn patroni(&self, read: &At<Read>) -> Option<Answer> {
        let Read::Http(ask) = &read.what else { return None };
        self.patronis.get(&ask.url).map(|facts| Answer::Http(facts.clone()))
    }
    /// The candidate leads, and the one that led is a standby.
    pub(super) fn switch_over(&mut self, to: &Switchover) -> Result<(), String> {
        let mut known = false;
        for (url, facts) in &mut self.patronis {
            let mut said: Value = serde_json::from_str(&facts.body).unwrap_or_default();
            if *url == format!("{}/patroni", to.to) || *url == format!("{}/patroni", to.url) {
                set(&mut said, "role", if url.starts_with(&to.to) { "master" } else { "replica" });
            }
            if let Some(members) = said.get_mut("members").and_then(Value::as_array_mut) {
                let role = |name: &str, members: &[Value]| {
                    let member = members.iter().find(|member| member.get("name") == Some(&json!(name)))?;
                    member.get("role").and_then(Value::as_str).map(str::to_owned)
                };
                let (Some(led), Some(_)) = (role(&to.leader, members), role(&to.candidate, members)) else { continue };
                if led != "leader" {
                    return Err("Patroni answered 412: leader name does not match".to_owned());
                }
                known = true;
                for member in members {
                    let leads = member.get("name") == Some(&json!(to.candidate));
                    let led = member.get("name") == Some(&json!(to.leader));
                    if leads || led {
                        set(member, "role", if leads { "leader" } else { "replica" });
                        set(member, "state", "running");
                    }
                }
            }
            facts.body = said.to_string();
        }
        known.then_some(()).ok_or_else(|| "Patroni answered 412: no such member".to_owned())
    }
    /// Who leads, by the URL that says so.
    pub(super) fn standing_patronis(&self) -> impl Iterator<Item = (String, String)> {
        self.patronis.iter().filter_map(|(url, facts)| {
            let said: Value = serde_json::from_str(&facts.body).ok()?;
            let leads = |member: &&Value| member.get("role") == Some(&json!("leader"));
            let leader = said.get("members")?.as_array()?.iter().find(leads)?.get("name")?.as_str()?.to_owned();
            Some((format!("patroni/{url}"), format!("led by `{leader}`")))
        })
    }
}

fn set(object: &mut Value, key: &str, word: &str) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), json!(word));
    }
}
