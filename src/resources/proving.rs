//! How the names of an order are proven to a server of ACME: where, and what is there.

use super::{Answers, ReadError, Record, Resource as _, SetFacts};
use crate::base::{
    AddressAsk, Answer, At, ChallengeKind, Change, HostName, OrderChallenge, Place, ProofBy, ProofChange, ProofFacts,
    ProofSpot, Read, RecordUpdate,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// Where names are proven.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proving {
    /// By TXT records, one name each: `_acme-challenge.NAME`.
    Dns(Vec<Record>),
    /// By files that are served.
    Http {
        /// Who serves them, the same on each host.
        by: ProofBy,
        /// The hosts that the names may lead to.
        hosts: Vec<Server>,
        /// The names.
        names: Vec<AddressAsk>,
    },
}

/// A host that a name may lead to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// The host, and who acts there.
    pub at: Place,
    /// Its address, or the name that leads to it.
    pub address: String,
}

/// What is there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProvingFacts {
    /// The records, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub records: BTreeMap<String, SetFacts>,
    /// What hosts serve.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<HostName, ProofFacts>,
    /// Where names lead.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub leads: BTreeMap<String, BTreeSet<IpAddr>>,
}

/// One thing that proves a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Proof {
    /// The host that serves it; none: it is a record.
    pub host: Option<HostName>,
    /// The record's name, or the token.
    pub place: String,
    /// What stands there.
    pub value: String,
}

/// What a record lives for that is there for some seconds.
const TTL: u32 = 30;

impl Proving {
    /// What kind of challenges it meets.
    pub const fn kind(&self) -> ChallengeKind {
        match self {
            Self::Dns(_) => ChallengeKind::Dns,
            Self::Http { .. } => ChallengeKind::Http,
        }
    }

    /// What shows it.
    pub fn reads(&self) -> Vec<At<Read>> {
        match self {
            Self::Dns(records) => records.iter().flat_map(super::Resource::reads).collect(),
            Self::Http { by, hosts, names } => {
                let served = hosts.iter().map(|host| host.at.at(Read::Proof(by.clone())));
                let far = hosts.iter().filter(|host| host.address.parse::<IpAddr>().is_err());
                let far = far.map(|host| AddressAsk { zone: None, name: host.address.clone() });
                let leads = names.iter().cloned().chain(far).map(|ask| Place::HERE.at(Read::Addresses(ask)));
                served.chain(leads).collect()
            }
        }
    }

    /// What the answers to [`reads`](Self::reads) show.
    ///
    /// # Errors
    /// As [`Resource::facts`](super::Resource::facts).
    pub fn facts(&self, answers: &mut Answers) -> Result<ProvingFacts, ReadError> {
        let mut facts = ProvingFacts::default();
        match self {
            Self::Dns(records) => {
                for record in records {
                    facts.records.insert(record.name.clone(), record.facts(answers)?);
                }
            }
            Self::Http { hosts, names, .. } => {
                for host in hosts {
                    let served = answers.take(|a| if let Answer::Proof(facts) = a { Some(facts) } else { None })?;
                    facts.hosts.extend(host.at.host.clone().map(|name| (name, served)));
                }
                let far = hosts.iter().map(|host| &host.address).filter(|address| address.parse::<IpAddr>().is_err());
                for name in names.iter().map(|ask| &ask.name).chain(far) {
                    let leads = answers.take(|a| if let Answer::Addresses(found) = a { Some(found) } else { None })?;
                    facts.leads.insert(name.clone(), leads);
                }
            }
        }
        Ok(facts)
    }

    /// All that meets these challenges; where it cannot be put, why.
    ///
    /// # Errors
    /// A name leads to no host that it can be proven on, in words.
    pub fn wanted(&self, challenges: &[OrderChallenge], facts: &ProvingFacts) -> Result<BTreeSet<Proof>, String> {
        let mut wanted = BTreeSet::new();
        for OrderChallenge { name, place, value, .. } in challenges.iter().filter(|challenge| !challenge.met) {
            let proof = |host: Option<HostName>| Proof { host, place: place.clone(), value: value.clone() };
            match self {
                Self::Dns(_) => {
                    wanted.insert(proof(None));
                }
                Self::Http { hosts, .. } => {
                    let leads = facts.leads.get(name).cloned().unwrap_or_default();
                    let mut missed = leads.clone();
                    for host in hosts {
                        let own: BTreeSet<IpAddr> = match host.address.parse() {
                            Ok(address) => [address].into(),
                            Err(_) => facts.leads.get(&host.address).cloned().unwrap_or_default(),
                        };
                        if own.iter().any(|address| leads.contains(address)) {
                            missed.retain(|address| !own.contains(address));
                            wanted.insert(proof(host.at.host.clone()));
                        }
                    }
                    if leads.is_empty() {
                        return Err(format!("`{name}` leads to no address"));
                    }
                    if let Some(address) = missed.first() {
                        return Err(format!(
                            "`{name}` leads to {address}, which is none of the hosts of the issuer's `challenge`: the server may ask there"
                        ));
                    }
                }
            }
        }
        Ok(wanted)
    }

    /// Those of an order that are there.
    pub fn ours(&self, challenges: &[OrderChallenge], facts: &ProvingFacts) -> BTreeSet<Proof> {
        let mut ours = BTreeSet::new();
        for OrderChallenge { place, value, .. } in challenges {
            let proof =
                |host: Option<&HostName>| Proof { host: host.cloned(), place: place.clone(), value: value.clone() };
            if facts.records.get(place).is_some_and(|set| set.values.contains(value)) {
                ours.insert(proof(None));
            }
            let serves = |(_, facts): &(&HostName, &ProofFacts)| facts.served.get(place) == Some(value);
            ours.extend(facts.hosts.iter().filter(serves).map(|(host, _)| proof(Some(host))));
        }
        ours
    }

    /// Who does not answer yet as the first server of a zone does, and what it does.
    pub fn behind(&self, facts: &ProvingFacts) -> Option<String> {
        facts.records.iter().find_map(|(name, set)| {
            let (server, why) = set.behind.first_key_value()?;
            Some(format!("`{server}` {why} for `{name}`"))
        })
    }

    /// The changes that bring some and take others away, at one place: an act has one. Folders are left as they were
    /// `before`. None: nothing is to be done.
    pub fn changes(
        &self,
        put: &BTreeSet<Proof>,
        drop: &BTreeSet<Proof>,
        views: (&ProvingFacts, &ProvingFacts),
    ) -> Vec<At<Change>> {
        let mut changes = self.all_changes(put, drop, views);
        if let Some(at) = changes.first().map(|change| change.at.clone()) {
            changes.retain(|change| change.at == at);
        }
        changes
    }

    fn all_changes(
        &self,
        put: &BTreeSet<Proof>,
        drop: &BTreeSet<Proof>,
        (before, seen): (&ProvingFacts, &ProvingFacts),
    ) -> Vec<At<Change>> {
        let served = |proof: &Proof, change: ProofChange| {
            let Self::Http { by, hosts, .. } = self else { return None };
            let host = hosts.iter().find(|host| host.at.host == proof.host)?;
            let spot = ProofSpot { by: by.clone(), token: proof.place.clone() };
            Some(host.at.at(Change::Proof { spot, change }))
        };
        if let Self::Dns(records) = self {
            let of = |proofs: &BTreeSet<Proof>, name: &str| -> BTreeSet<String> {
                proofs.iter().filter(|proof| proof.place == name).map(|proof| proof.value.clone()).collect()
            };
            let update = |record: &Record| {
                let (add, remove) = (of(put, &record.name), of(drop, &record.name));
                let ttl = seen.records.get(&record.name).and_then(|set| set.ttl).unwrap_or(TTL);
                let (at, name, kind) = (record.at.clone(), record.name.clone(), record.kind);
                let idle = add.is_empty() && remove.is_empty();
                (!idle).then(|| Place::HERE.at(Change::UpdateRecord(RecordUpdate { at, name, kind, remove, add, ttl })))
            };
            return records.iter().filter_map(update).collect();
        }
        let folders = |proof: &Proof| {
            let host = proof.host.as_ref().and_then(|host| before.hosts.get(host));
            host.map_or(2, |facts| facts.folders)
        };
        let gone = drop.iter().filter_map(|proof| served(proof, ProofChange::Drop { folders: folders(proof) }));
        let come = put.iter().filter_map(|proof| served(proof, ProofChange::Put(proof.value.clone())));
        gone.chain(come).collect()
    }
}
