//! Files that prove names over HTTP in the simulated world: there, or not.

use super::world::World;
use crate::base::{Answer, HostName, ProofBy, ProofChange, ProofFacts, ProofSpot};
use std::collections::BTreeMap;

/// What is served by whom.
pub(super) type Proofs = BTreeMap<(HostName, ProofBy), ProofFacts>;

impl World {
    pub(super) fn learn_proofs(&mut self, host: &HostName, by: &ProofBy, facts: &ProofFacts) {
        self.proofs.entry((host.clone(), by.clone())).or_insert_with(|| facts.clone());
    }
    pub(super) fn proofs(&self, host: &HostName, by: &ProofBy) -> Answer {
        let known = self.proofs.get(&(host.clone(), by.clone()));
        known.map_or(Answer::Open, |facts| Answer::Proof(facts.clone()))
    }
    pub(super) fn change_proof(&mut self, host: &HostName, spot: &ProofSpot, change: &ProofChange) {
        let facts = self.proofs.entry((host.clone(), spot.by.clone())).or_default();
        match change {
            ProofChange::Put(text) => {
                facts.served.insert(spot.token.clone(), text.clone());
                facts.folders = 2;
            }
            ProofChange::Drop { folders } => {
                facts.served.remove(&spot.token);
                // what others put there keeps its folder
                if facts.served.is_empty() {
                    facts.folders = *folders;
                }
            }
        }
    }
    /// Whether some host serves this text under that name.
    pub(super) fn proves(&self, token: &str, text: &str) -> bool {
        self.proofs.values().any(|facts| facts.served.get(token).is_some_and(|served| served == text))
    }
    /// Each that is there, and the folders that were made for it.
    pub(super) fn standing_proofs(&self) -> impl Iterator<Item = (String, String)> {
        let there = self.proofs.iter().filter(|(_, facts)| !facts.served.is_empty() || facts.folders < 2);
        there.map(|((host, by), facts)| {
            let names: Vec<&str> = facts.served.keys().map(String::as_str).collect();
            (title(host, by), format!("{} in {} folders", names.join(", "), facts.folders))
        })
    }
}

/// What all that is served by it is called.
pub(super) fn title(host: &HostName, by: &ProofBy) -> String {
    match by {
        ProofBy::Webroot(root) => format!("{host}/proofs{root}"),
        ProofBy::Responder(port) => format!("{host}/proofs/{port}"),
    }
}
