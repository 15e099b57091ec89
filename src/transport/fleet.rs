//! The real world behind the trait: each host by its own way, and this process for what belongs to no host.

use super::{
    Fut, Look, Lost, LostKind, Settled, Terms, Transport,
    here::Here,
    local::Local,
    native::{Native, Yard},
    remote::Remote,
    shell::Link,
    ssh::{Gate, Ssh},
    vault::Vault,
};
use crate::{
    base::{Act, Answer, At, Change, HaproxyApi, HostName, Place, Read, Receipt, Redactor, RunId},
    inventory::{Client, Host, Inventory},
};
use futures_util::future::join_all;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

/// Asks the person at the terminal.
pub trait Prompter: Send + Sync {
    /// The answer; a written one if `evidence` is wanted, else a yes. May block.
    ///
    /// # Errors
    /// Why there is none, in words: nobody is there, or the person said no.
    fn ask(&self, question: &str, evidence: bool) -> Result<String, String>;
}

/// How to connect.
#[derive(Clone, Debug)]
pub struct Options {
    /// A folder for this run's connections, made 0700 if it is not there; none: below `$XDG_RUNTIME_DIR` or `/tmp`.
    /// Sockets have short names (108 bytes), so it may have 61 bytes at most.
    pub control: Option<PathBuf>,
    /// So many connections are made at once: sshd refuses more (`MaxStartups`).
    pub connects: usize,
    /// How long a connection may take to be made.
    pub patience: Duration,
    /// Names the store that runs are recorded in, in letters and digits: it becomes part of the name of their receipts.
    pub store: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { control: None, connects: 8, patience: Duration::from_secs(10), store: String::new() }
    }
}

/// All hosts of an inventory, each connected to when it is first needed.
pub struct Fleet {
    hosts: BTreeMap<HostName, Remote>,
    here: Here,
    gate: Arc<Gate>,
    yard: Arc<Yard>,
}

impl Fleet {
    /// Connects to nothing yet.
    pub fn new(
        inventory: &Inventory,
        vault: Arc<Vault>,
        redactor: Redactor,
        options: Options,
        prompter: Arc<dyn Prompter>,
    ) -> Self {
        let store = options.store.clone();
        let gate = Arc::new(Gate::new(options));
        let yard = Arc::new(Yard::new(Arc::clone(&gate)));
        let remote = |host: &Host| {
            let link: Arc<dyn Link> = if host.local {
                Arc::new(Local { host: host.name.clone() })
            } else {
                match host.ssh.client {
                    Client::OpenSsh => Arc::new(Ssh::new(host, Arc::clone(&gate))),
                    Client::Native => Arc::new(Native::new(host, Arc::clone(&gate), Arc::clone(&yard))),
                }
            };
            Remote::new(Some(host.name.clone()), link, Arc::clone(&vault), redactor.clone()).of_store(&store)
        };
        let hosts = inventory.hosts.iter().map(|host| (host.name.clone(), remote(host))).collect();
        Self { hosts, here: Here::new(Arc::clone(&vault), redactor.clone(), prompter, store), gate, yard }
    }

    fn host(&self, name: &HostName) -> Result<&Remote, Lost> {
        self.hosts.get(name).ok_or_else(|| Lost {
            host: Some(name.clone()),
            why: "the inventory has no such host".to_owned(),
            kind: LostKind::Unreachable,
        })
    }

    /// The host that a change is carried out on; none: it is from here, whatever its place.
    fn way(&self, change: &At<Change>) -> Result<Option<&Remote>, Lost> {
        let from_here = matches!(
            &change.what,
            Change::Tell(_)
                | Change::Mail(_)
                | Change::Ask { .. }
                | Change::SetServer { api: HaproxyApi::Tcp(_), .. }
                | Change::EndSessions { api: HaproxyApi::Tcp(_), .. }
        );
        match &change.at.host {
            Some(host) if !from_here => self.host(host).map(Some),
            _ => Ok(None),
        }
    }
}

impl Transport for Fleet {
    fn look<'a>(&'a self, host: Option<&'a HostName>, reads: &'a [At<Read>]) -> Fut<'a, Result<Look, Lost>> {
        Box::pin(async move {
            let Some(host) = host else { return Ok(self.here.look(reads).await) };
            let from_here = |read: &At<Read>| matches!(&read.what, Read::Server { api: HaproxyApi::Tcp(_), .. });
            let (ours, theirs): (Vec<_>, Vec<_>) = reads.iter().cloned().partition(from_here);
            let ours = join_all(ours.iter().map(|read| self.here.read(&read.what)));
            let (ours, theirs) = tokio::join!(ours, self.host(host)?.look(&theirs));
            let Look { boot, answers } = theirs?;
            let (mut ours, mut theirs) = (ours.into_iter(), answers.into_iter());
            let missing = || Answer::Bad("there was no answer to this read".to_owned());
            let answers = reads
                .iter()
                .map(|read| if from_here(read) { ours.next() } else { theirs.next() }.unwrap_or_else(missing))
                .collect();
            Ok(Look { boot, answers })
        })
    }

    fn open<'a>(&'a self, run: &'a RunId, at: &'a Place) -> Fut<'a, Result<String, Lost>> {
        Box::pin(async move {
            match &at.host {
                Some(host) => self.host(host)?.open(run).await,
                None => Ok(self.here.look(&[]).await.boot),
            }
        })
    }

    fn carry<'a>(&'a self, act: &'a Act, change: &'a At<Change>, terms: Terms) -> Fut<'a, Result<Receipt, Lost>> {
        Box::pin(async move {
            match self.way(change)? {
                Some(host) => host.carry(act, change, terms).await,
                None => Ok(self.here.carry(act, &change.what, terms).await),
            }
        })
    }

    fn settle<'a>(&'a self, act: &'a Act, change: &'a At<Change>, terms: Terms) -> Fut<'a, Result<Settled, Lost>> {
        Box::pin(async move {
            match self.way(change)? {
                Some(host) => host.settle(act, change, terms).await,
                None => Ok(self.here.settle(act, &change.what).await),
            }
        })
    }

    fn cancel<'a>(&'a self, act: &'a Act, at: &'a Place) -> Fut<'a, Result<bool, Lost>> {
        Box::pin(async move {
            match &at.host {
                Some(host) => self.host(host)?.cancel(act, at).await,
                None => Ok(self.here.cancel(act)),
            }
        })
    }

    fn fetch<'a>(&'a self, at: &'a Place, path: &'a str, cap: usize) -> Fut<'a, Result<Option<Vec<u8>>, Lost>> {
        Box::pin(async move {
            match &at.host {
                Some(host) => self.host(host)?.fetch(at, path, cap).await,
                None => Err(Lost {
                    host: None,
                    why: "this needs a host to be read on".to_owned(),
                    kind: LostKind::Unreachable,
                }),
            }
        })
    }

    fn forget<'a>(&'a self, run: &'a RunId, acted_on: &'a BTreeSet<HostName>) -> Fut<'a, ()> {
        Box::pin(async move {
            join_all(self.hosts.iter().map(|(name, host)| host.forget(run, acted_on.contains(name)))).await;
        })
    }

    fn close(&self) -> Fut<'_, ()> {
        Box::pin(async move {
            join_all(self.hosts.values().map(Remote::close)).await;
            self.yard.close().await;
            self.gate.close();
        })
    }
}
