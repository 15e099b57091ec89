//! How declared certificates stand, each with all of its places.

use super::Found;
use crate::{
    cert::{Certificate, Severity},
    inventory::{Due, Inventory},
};
use jiff::{SignedDuration, Timestamp};

/// A declared certificate.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its name in `svcops.yaml`.
    pub name: String,
    /// For people.
    pub title: Option<String>,
    /// Who issues it; none: it is only watched.
    pub issuer: Option<String>,
    /// The worst of its places.
    pub severity: Severity,
    /// Whole days until the first of it ends, its chain included.
    pub days: Option<i64>,
    /// When the first of it is due; none: nobody issues it here, or none was seen.
    pub due: Option<Timestamp>,
    /// What was found at each place.
    pub places: Vec<Found>,
}

/// Those of which a place was looked at, in the inventory's order.
#[must_use]
pub fn standings(inventory: &Inventory, found: Vec<Found>, at: Timestamp) -> Vec<Standing> {
    let mut standings: Vec<Standing> = inventory
        .certificates
        .values()
        .map(|declared| Standing {
            name: declared.name.clone(),
            title: declared.title.clone(),
            issuer: declared.issuer.clone(),
            severity: Severity::Ok,
            days: None,
            due: None,
            places: Vec::new(),
        })
        .collect();
    for one in found {
        if let Some(standing) = standings.iter_mut().find(|s| one.of.as_ref() == Some(&s.name)) {
            standing.places.push(one);
        }
    }
    standings.retain(|standing| !standing.places.is_empty());
    for standing in &mut standings {
        standing.severity = standing.places.iter().map(Found::severity).max().unwrap_or(Severity::Ok);
        standing.days = standing.places.iter().filter_map(|place| place.days(at)).min();
        let renewed = inventory.certificates.get(&standing.name).filter(|declared| declared.issuer.is_some());
        let certs = standing.places.iter().filter_map(|place| place.cert.as_ref());
        standing.due = renewed.and_then(|declared| certs.map(|cert| due(cert, declared.renew)).min());
    }
    standings
}

/// When a certificate is to be renewed.
fn due(cert: &Certificate, renew: Due) -> Timestamp {
    let life = cert.not_after.duration_since(cert.not_before);
    let before = match renew {
        Due::Days(days) => SignedDuration::from_hours(days.saturating_mul(24)),
        Due::Share(share) => life * i32::from(share) / 100,
    };
    cert.not_after.checked_sub(before).unwrap_or(Timestamp::MIN)
}
