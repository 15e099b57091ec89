//! The way to hosts, on which nobody waits twice for one that is silent.

use crate::{
    base::{At, HostName, Read},
    inventory::Inventory,
    transport::{Look, Lost, Transport},
};
use std::collections::BTreeMap;
use tokio::sync::OnceCell;

/// Hosts that many look at side by side. The first to come to one finds out whether it answers; if it does not, all who
/// come later know it at once, instead of each waiting for the same silence.
pub struct Reach<'a> {
    transport: &'a dyn Transport,
    met: BTreeMap<&'a HostName, OnceCell<Option<Lost>>>,
}

impl<'a> Reach<'a> {
    /// Has met nobody yet.
    pub fn new(transport: &'a dyn Transport, inventory: &'a Inventory) -> Self {
        Self { transport, met: inventory.hosts.iter().map(|h| (&h.name, OnceCell::new())).collect() }
    }

    /// As [`Transport::look`].
    ///
    /// # Errors
    /// As there.
    pub async fn look(&self, host: Option<&HostName>, reads: &[At<Read>]) -> Result<Look, Lost> {
        if let Some(met) = host.and_then(|name| self.met.get(name)) {
            let silent = met.get_or_init(async || self.transport.look(host, &[]).await.err()).await;
            if let Some(lost) = silent {
                return Err(lost.clone());
            }
        }
        self.transport.look(host, reads).await
    }
}
