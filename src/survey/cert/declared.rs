//! What `svcops.yaml` declares, as places to look at.

use super::{Ask, OnHost, Own, Target};
use crate::{
    base::{HostName, Keystore, words},
    cert::{BadTrust, Crl, Trust, dial::Endpoint, pem},
    inventory::{CertPlace, Certificate, Host, Inventory, IssuerKind, NotFilled},
    transport::orders::below,
};
use std::path::Path;

/// Why what is declared cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum NotAsked {
    /// A template names what its host does not have.
    #[error(transparent)]
    Template(#[from] NotFilled),
    /// A place is no endpoint.
    #[error("certificate `{certificate}`: {why}")]
    Endpoint {
        /// The certificate.
        certificate: String,
        /// Why.
        why: crate::cert::dial::BadEndpoint,
    },
}

/// The places of a certificate, in their order; of places on hosts those that `chosen` takes.
///
/// # Errors
/// A template that does not fill, or fills to no endpoint.
pub fn places(
    inventory: &Inventory,
    certificate: &Certificate,
    chosen: &dyn Fn(&HostName) -> bool,
) -> Result<Vec<Ask>, NotAsked> {
    let mut asks = Vec::new();
    for place in &certificate.places {
        if place.hosts.is_none() {
            let names = certificate.names.clone();
            for text in &place.served {
                asks.push(served(certificate, text, &names, None)?);
            }
            continue;
        }
        for host in inventory.hosts_at(place).into_iter().filter(|host| chosen(&host.name)) {
            asks.extend(on(certificate, place, host)?);
        }
    }
    // places that share an address, a balancer's, are one
    let mut known = std::collections::HashSet::new();
    asks.retain(|ask: &Ask| known.insert((ask.target.clone(), ask.names.clone())));
    Ok(asks)
}

/// A place on one of its hosts: its file, then where it is served.
fn on(certificate: &Certificate, place: &CertPlace, host: &Host) -> Result<Vec<Ask>, NotAsked> {
    let names = certificate.names_on(host)?;
    let mut asks = Vec::new();
    let mut pair = None;
    if let Some(store) = &place.store {
        let (key, password) = match store {
            Keystore::Files { key, .. } => (Some(key.clone()), None),
            Keystore::Pem(_) => (None, None),
            Keystore::Pkcs12 { password, .. } => (None, Some(password.clone())),
        };
        let become_user = host.ssh.become_user.clone();
        let on = OnHost { host: host.name.clone(), become_user, path: store.path().to_owned() };
        pair = Some(on.clone());
        let (target, of, names) = (Target::OnHost(on), Some(certificate.name.clone()), names.clone());
        asks.push(Ask { target, key, password, of, names, installed: None });
    }
    for text in certificate.served_on(place, host)? {
        asks.push(served(certificate, &text, &names, pair.clone())?);
    }
    Ok(asks)
}

fn served(certificate: &Certificate, text: &str, names: &[String], installed: Option<OnHost>) -> Result<Ask, NotAsked> {
    let bad = |why| NotAsked::Endpoint { certificate: certificate.name.clone(), why };
    let target = Target::Endpoint(text.parse::<Endpoint>().map_err(bad)?);
    let of = Some(certificate.name.clone());
    Ok(Ask { target, key: None, password: None, of, names: names.to_vec(), installed })
}

/// What a certificate is held against: its own thresholds, whom it, or else its issuer, names to be trusted, and what an own
/// authority took back. Where a file does not read nobody is trusted, and its name says why: one certificate must not keep
/// the others from being looked at.
pub fn own(inventory: &Inventory, root: &Path, certificate: &Certificate) -> Own {
    let issuer = certificate.issuer.as_ref().and_then(|name| inventory.issuers.get(name));
    let named = certificate.trust.as_ref().or_else(|| issuer.and_then(|issuer| issuer.trust.as_ref()));
    let file = named.map(|text| below(root, text)).or_else(|| match &issuer?.kind {
        // every root of it that is not retired
        IssuerKind::Ca { folder, .. } => Some(below(root, folder).join("trust.pem")),
        IssuerKind::Acme(_) | IssuerKind::Csr { .. } => None,
    });
    let nobody = |why: BadTrust| Trust::of(format!("a store that cannot be had ({why})"), Vec::new());
    let trust = file.map(|file| Trust::file(&file).unwrap_or_else(nobody));
    let (crls, unlisted) = match issuer.map(|issuer| &issuer.kind) {
        Some(IssuerKind::Ca { folder, .. }) => match lists(&below(root, folder).join("crl.pem")) {
            Ok(crls) => (crls, None),
            Err(why) => (Vec::new(), Some(why)),
        },
        _ => (Vec::new(), None),
    };
    Own { warn: certificate.warn, crit: certificate.crit, trust, crls, unlisted }
}

/// The lists of an own authority: there are none until it takes something back. An error: why they do not read.
fn lists(file: &Path) -> Result<Vec<Crl>, String> {
    let name = file.display().to_string();
    let bytes = match pem::read(file) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(format!("`{name}` cannot be read: {}", words::io(&e))),
    };
    let said = |why: String| format!("`{name}`: {why}");
    let pieces = pem::Pieces::read(&bytes).map_err(|e| said(e.to_string()))?;
    if pieces.crls.is_empty() {
        return Err(said("there is no revocation list in it".to_owned()));
    }
    pieces.crls.iter().map(|der| Crl::from_der(name.clone(), der).map_err(|e| said(e.to_string()))).collect()
}
