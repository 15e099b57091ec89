//! How declared certificates stand, each with all of its places.

use super::Found;
use crate::{
    cert::{Severity, Wrong},
    inventory::{Certificate as Declared, Inventory},
};
use jiff::Timestamp;

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
        let due = |declared: &Declared| {
            let from = |place: &Found| {
                let cert = place.cert.as_ref()?;
                let other = place.judgement.faults.iter().any(|f| matches!(f.what, Wrong::NameMismatch { .. }));
                Some(if other { at } else { declared.renew.of(cert.not_before, cert.not_after) })
            };
            standing.places.iter().filter_map(from).min()
        };
        standing.due = renewed.and_then(due);
    }
    standings
}
