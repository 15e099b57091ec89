//! How certificates lie on their hosts: what is installed, what is staged, what is due.

use crate::{
    base::{HostName, PairFacts, PairSpot, Place},
    inventory::{Certificate, Inventory},
    resources::{Answers, Pair, Resource as _, Staging, pair::due_from},
    transport::Transport,
};
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// A certificate at one of its places on a host.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The certificate's name.
    pub certificate: String,
    /// Which of its places, counted from 1.
    pub place: usize,
    /// The host.
    pub host: HostName,
    /// What it is to be there.
    pub wanted: Staging,
    /// What is seen; else why nothing is.
    pub facts: Result<PairFacts, String>,
}

impl Standing {
    /// Why a new one is due, if it is.
    pub fn due(&self) -> Option<String> {
        self.facts.as_ref().ok().and_then(|facts| self.wanted.due(facts))
    }
    /// From when on one is.
    pub fn from(&self) -> Option<Timestamp> {
        let leaf = self.facts.as_ref().ok()?.installed.as_ref()?;
        Some(due_from(leaf, self.wanted.renew))
    }
}

/// Whose names, and where they lie. What is at a site, where one is named, and on these hosts, where there are some.
pub fn places(
    inventory: &Inventory,
    certificates: &[&Certificate],
    (site, hosts): (Option<&str>, Option<&[HostName]>),
    now: Timestamp,
) -> Vec<Standing> {
    let mut all = Vec::new();
    for certificate in certificates {
        for (at, place) in certificate.places.iter().enumerate() {
            let Some(store) = &place.store else { continue };
            for host in inventory.hosts_at(place) {
                let elsewhere = site.is_some_and(|site| host.site.as_deref() != Some(site))
                    || hosts.is_some_and(|hosts| !hosts.contains(&host.name));
                if elsewhere {
                    continue;
                }
                let spot = PairSpot { name: certificate.name.clone(), store: store.clone() };
                let pair = Pair { at: Place::on(&host.name).becoming(host.ssh.become_user.clone()), spot };
                let names = certificate.names_on(host);
                let (names, facts) = match names {
                    Ok(names) => (names, Err("nobody has looked".to_owned())),
                    Err(why) => (vec![], Err(format!("{why}: {}", why.why))),
                };
                all.push(Standing {
                    certificate: certificate.name.clone(),
                    place: at + 1,
                    host: host.name.clone(),
                    wanted: Staging { pair, names, renew: certificate.renew, now, origin: None },
                    facts,
                });
            }
        }
    }
    all
}

/// Looks at all of them, so many hosts at once, each host by one probe.
pub async fn look(transport: &dyn Transport, standings: &mut [Standing], parallel: usize) {
    let mut by_host: BTreeMap<HostName, Vec<&mut Standing>> = BTreeMap::new();
    for standing in standings {
        by_host.entry(standing.host.clone()).or_default().push(standing);
    }
    let looks = by_host.into_iter().map(|(host, standings)| async move {
        let reads: Vec<_> = standings.iter().flat_map(|standing| standing.wanted.pair.reads()).collect();
        let look = transport.look(Some(&host), &reads).await;
        let mut answers = look.map(|look| Answers::new(look.answers)).map_err(|lost| lost.to_string());
        for standing in standings {
            standing.facts = match &mut answers {
                Ok(answers) => standing.wanted.pair.facts(answers).map_err(|e| e.to_string()),
                Err(lost) => Err(lost.clone()),
            };
        }
    });
    stream::iter(looks).buffer_unordered(parallel.max(1)).collect::<Vec<()>>().await;
}
