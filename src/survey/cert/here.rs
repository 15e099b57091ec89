//! What is served, and what lies on this machine.

use super::{
    Ask, Found, Target, Wish,
    judged::{self, Beside, Lying},
};
use crate::{
    base::words,
    cert::{Fault, Severity, Terms, Wrong, dial::Endpoint, judge, pem, pkcs12, public_half},
};
use std::path::Path;

pub(super) async fn look(ask: &Ask, wish: &Wish) -> Found {
    let found = match &ask.target {
        Target::Endpoint(endpoint) => served(ask, endpoint, wish).await,
        Target::File(path) => {
            let lying = read(path, wish).await;
            lying.map(|lying| judged::lying(ask, ask.target.clone(), wish, lying))
        }
        Target::OnHost(_) => Err("it is on a host".to_owned()),
    };
    found.unwrap_or_else(|why| Found::failed(ask, ask.target.clone(), why))
}

async fn served(ask: &Ask, endpoint: &Endpoint, wish: &Wish) -> Result<Found, String> {
    let mut endpoint = endpoint.clone();
    let declared = judged::named(ask).next();
    endpoint.name = wish.name.clone().or(declared).or(endpoint.name);
    let seen = wish.dial.look(&endpoint).await.map_err(|e| e.to_string())?;
    let names = match &wish.name {
        None if !ask.names.is_empty() => judged::named(ask).collect(),
        _ => endpoint.wanted().into_iter().collect(),
    };
    let own = judged::own(ask, wish);
    let terms = judged::terms(wish, own, names, None, seen.stapled.is_none(), true);
    let terms = Terms { stapled: seen.stapled.as_deref(), ..terms };
    let mut judgement = judge(&seen.chain, &terms);
    let unreadable = seen.unreadable.into_iter().map(|(element, why)| Fault {
        what: Wrong::Unreadable { why },
        element: Some(element),
        severity: Severity::Critical,
    });
    let refused = seen.refused.map(|why| Fault {
        what: Wrong::ClientRefused { why },
        element: None,
        severity: Severity::Critical,
    });
    judgement.faults.splice(0..0, refused.into_iter().chain(unreadable));
    if let (Some(leaf), None) = (seen.chain.first(), &wish.name) {
        judged::patterns(ask, leaf, &mut judgement);
    }
    if !seen.chain.is_empty() {
        judged::unlisted(own, &mut judgement);
    }
    let target = Target::Endpoint(Endpoint { name: None, ..endpoint });
    Ok(Found {
        cert: seen.chain.into_iter().next(),
        judgement,
        failed: None,
        version: Some(seen.version),
        outdated: seen.outdated,
        trust: terms.trust.name.clone(),
        ..Found::failed(ask, target, String::new())
    })
}

async fn read(path: &Path, wish: &Wish) -> Result<Lying, String> {
    let (path, password) = (path.to_owned(), wish.password.as_ref().map(|password| password.value.clone()));
    let read = tokio::task::spawn_blocking(move || {
        let bytes = pem::read(&path).map_err(|e| words::io(&e))?;
        let mut pieces = match pem::Pieces::read(&bytes) {
            Err(pem::BadPem::Nothing) if pkcs12::looks_like(&bytes) => {
                pkcs12::read(&path, password.as_ref()).map_err(|e| e.to_string())?
            }
            read => read.map_err(|e| e.to_string())?,
        };
        let key = match pieces.keys.first() {
            None => Beside::None,
            Some(key) if key.encrypted => Beside::Encrypted,
            Some(key) => match public_half(key) {
                Ok(half) => Beside::Half(half),
                Err(why) => Beside::Unread(why.to_string()),
            },
        };
        Ok(Lying { certificates: std::mem::take(&mut pieces.certificates), key })
    });
    read.await.unwrap_or_else(|_| Err("the look at it was ended".to_owned()))
}
