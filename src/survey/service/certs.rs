//! The certificates that a service would serve with at a site: one that is at its end there is found before the switch, and
//! not by the first client after it.

use super::hosts_at;
use crate::{
    base::HostName,
    inventory::{Certificate, Inventory, Part, Service},
    survey::pair::{Standing, look, places},
    transport::Transport,
};
use jiff::{SignedDuration, Timestamp};

/// What ends sooner is told of.
const SOON: SignedDuration = SignedDuration::from_hours(24);

/// A certificate that is at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Its name in `svcops.yaml`.
    pub certificate: String,
    /// Where it lies.
    pub host: HostName,
    /// Last second of its life.
    pub not_after: Timestamp,
    /// That lies behind.
    pub expired: bool,
}

impl Ending {
    /// In words: ``the certificate `billing` on `dc2-app1` expired at 2026-11-20 12:00 UTC``.
    pub fn words(&self) -> String {
        let verb = if self.expired { "expired" } else { "expires" };
        let at = self.not_after.strftime("%Y-%m-%d %H:%M UTC");
        format!("the certificate `{}` on `{}` {verb} at {at}", self.certificate, self.host)
    }
}

/// Looks at the certificates on the hosts that a service has at a site, its balancers among them, and tells those that have
/// expired or will within a day. What cannot be seen is not told of here.
pub async fn ending(
    transport: &dyn Transport,
    inventory: &Inventory,
    service: &Service,
    site: &str,
    now: Timestamp,
) -> Vec<Ending> {
    let mut standings = of(inventory, service, site, now);
    let count = standings.len();
    look(transport, &mut standings, count).await;
    standings.iter().filter_map(|standing| judged(standing, now)).collect()
}

fn of(inventory: &Inventory, service: &Service, site: &str, now: Timestamp) -> Vec<Standing> {
    let balancers = service.parts.iter().filter_map(|part| match part {
        Part::Balancer { name, .. } => inventory.balancers.get(name)?.host.clone(),
        _ => None,
    });
    let hosts: Vec<HostName> =
        hosts_at(inventory, service, site).into_iter().map(|host| host.name.clone()).chain(balancers).collect();
    let all: Vec<&Certificate> = inventory.certificates.values().collect();
    places(inventory, &all, (Some(site), Some(&hosts)), now)
}

fn judged(standing: &Standing, now: Timestamp) -> Option<Ending> {
    let not_after = standing.facts.as_ref().ok()?.installed.as_ref()?.not_after;
    (not_after < now.saturating_add(SOON).unwrap_or(Timestamp::MAX)).then(|| Ending {
        certificate: standing.certificate.clone(),
        host: standing.host.clone(),
        not_after,
        expired: not_after < now,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{Algorithm, Hash, Keystore, Leaf, PairFacts},
        inventory::{By, CertPlace, Due, sample_services::moving, select},
    };

    fn with_certificate(hosts: &str) -> Inventory {
        let mut inventory = moving();
        let place = CertPlace {
            hosts: Some(select::parse(hosts).unwrap()),
            store: Some(Keystore::Pem("/etc/billing/tls.pem".into())),
            mode: None,
            owner: None,
            group: None,
            app: None,
            by: By::Reload,
            served: Vec::new(),
        };
        let certificate = Certificate {
            name: "billing".into(),
            title: None,
            names: vec!["crm.lab.test".into()],
            issuer: None,
            shared: false,
            algorithm: Algorithm::default(),
            renew: Due::Days(30),
            warn: None,
            crit: None,
            trust: None,
            places: vec![place],
        };
        inventory.certificates = [(certificate.name.clone(), certificate)].into();
        inventory
    }

    #[test]
    fn what_lies_at_the_target_is_asked_for_and_nothing_else() {
        let hosts = |selector: &str, site: &str| {
            let inventory = with_certificate(selector);
            let found = of(&inventory, &inventory.services["crm"], site, Timestamp::UNIX_EPOCH);
            found.into_iter().map(|one| one.host.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(hosts("role=db", "dc2"), ["dc2-db1"]);
        assert_eq!(hosts("role=db", "dc1"), ["dc1-db1"]);
        let all = hosts("all", "dc2");
        assert!(all.len() > 1 && all.iter().all(|host| host.starts_with("dc2-")), "{all:?}");
    }

    #[test]
    fn a_certificate_that_has_expired_or_will_within_a_day_is_told() {
        let inventory = with_certificate("role=db");
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let of_life = |until: &str| {
            let mut standing = of(&inventory, &inventory.services["crm"], "dc2", now).remove(0);
            let installed = Leaf {
                serial: "1".into(),
                fingerprint: String::new(),
                spki: String::new(),
                issuer: "CN=House CA".into(),
                names: Vec::new(),
                not_before: Timestamp::UNIX_EPOCH,
                not_after: until.parse().unwrap(),
                pem: Hash::of(b""),
            };
            standing.facts = Ok(PairFacts { installed: Some(installed), ..PairFacts::default() });
            judged(&standing, now).map(|ending| (ending.expired, ending.words()))
        };
        assert_eq!(of_life("2026-11-24T12:00:00Z"), None);
        let soon = "the certificate `billing` on `dc2-db1` expires at 2026-11-24 11:59 UTC";
        assert_eq!(of_life("2026-11-24T11:59:59Z"), Some((false, soon.to_owned())));
        let gone = "the certificate `billing` on `dc2-db1` expired at 2026-11-23 11:59 UTC";
        assert_eq!(of_life("2026-11-23T11:59:59Z"), Some((true, gone.to_owned())));
        let mut unseen = of(&inventory, &inventory.services["crm"], "dc2", now).remove(0);
        unseen.facts = Err("no route to host".into());
        assert_eq!(judged(&unseen, now), None);
    }
}
