//! Which certificates their servers of ACME would like to be renewed before they are due by what is declared (ARI, RFC 9773).
//! A courtesy: a server that does not say, or does not answer soon, changes nothing.

use super::pair::Standing;
use crate::{
    base::HostName,
    inventory::{Inventory, IssuerKind},
    issue::acme::Window,
    transport::orders,
};
use futures_util::{StreamExt as _, stream};
use std::{path::Path, time::Duration};

/// A certificate on a host whose instant has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Early {
    /// The certificate's name.
    pub certificate: String,
    /// Which of its places, counted from 1.
    pub place: usize,
    /// The host.
    pub host: HostName,
    /// Who asks for it.
    pub issuer: String,
    /// When that would like it.
    pub window: Window,
}

/// Asks for all that nothing is staged for and that are not due, so many at once, each of them so long.
pub async fn early(
    inventory: &Inventory,
    (project, state): (&Path, &Path),
    standings: &[Standing],
    (parallel, within): (usize, Duration),
) -> Vec<Early> {
    let asked = standings.iter().map(|one| async move {
        let facts = one.facts.as_ref().ok().filter(|facts| facts.staged.is_empty() && one.due().is_none())?;
        let leaf = facts.installed.as_ref()?;
        let issuer = inventory.certificates.get(&one.certificate)?.issuer.as_ref()?;
        let IssuerKind::Acme(settings) = &inventory.issuers.get(issuer)?.kind else { return None };
        let server = orders::server(issuer, settings, project, state);
        let subject = one.wanted.pair.spot.subject(&one.host);
        let window = tokio::time::timeout(within, server.window(&subject, &leaf.serial)).await.ok()?.ok()??;
        (window.at <= one.wanted.now).then(|| Early {
            certificate: one.certificate.clone(),
            place: one.place,
            host: one.host.clone(),
            issuer: issuer.clone(),
            window,
        })
    });
    let asked = stream::iter(asked).buffered(parallel.max(1)).collect::<Vec<_>>().await;
    asked.into_iter().flatten().collect()
}
