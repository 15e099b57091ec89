//! The real world behind the trait: each host by its own way, and this process for what belongs to no host.

use super::{
    Fut, Look, Lost, LostKind, Settled, Terms, Transport,
    berths::{Berth, Berths, Close, Stay},
    here::Here,
    local::Local,
    native::{Native, Yard},
    orders::{Grounds, Orders},
    remote::Remote,
    shell::Link,
    ssh::{Gate, Ssh},
    vault::Vault,
};
use crate::{
    base::{
        Act, Answer, At, Change, HaproxyApi, Hash, HostName, Outcome, Place, Read, Receipt, Redactor, RunId, Source,
    },
    inventory::{Client, Host, Inventory},
};
use futures_util::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use zeroize::Zeroizing;

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
    /// So many connections are open at once, each to a host of its own; the one that was not used for longest is closed
    /// where another host waits. Jump hosts are not counted.
    pub connections: usize,
    /// So many connections are made at once: a jump host, or a host of several names, sees no more of them that have not
    /// logged in yet (`MaxStartups` of sshd refuses more than 10).
    pub connects: usize,
    /// How long a connection may take to be made.
    pub patience: Duration,
    /// Names the store that runs are recorded in, in letters and digits: it becomes part of the name of their receipts.
    pub store: String,
    /// Where files of issuers are.
    pub grounds: Grounds,
}

impl Options {
    /// No more connections than this are open unless more are asked for, whatever the memory.
    const MOST: usize = 1024;
    /// So many are always allowed.
    const LEAST: usize = 64;
    /// What one is taken to need, in KiB: a process of `ssh` (measured: 1.3 MB), or a native connection (0.1 MB).
    const PROCESS: usize = 1400;
    const NATIVE: usize = 150;

    /// As the inventory has it; else as many connections as a quarter of the free memory holds.
    pub fn of(inventory: &Inventory) -> Self {
        let mut remote = inventory.hosts.iter().filter(|host| !host.local);
        let native = remote.all(|host| host.ssh.client == Client::Native);
        let each = if native { Self::NATIVE } else { Self::PROCESS };
        let fit = free().map_or(Self::MOST, |kib| kib / 4 / each).clamp(Self::LEAST, Self::MOST);
        let own = Self::default();
        Self {
            connections: inventory.pace.connections.unwrap_or(fit),
            connects: inventory.pace.handshakes.unwrap_or(own.connects),
            ..own
        }
    }
}

/// Memory that is free, in KiB, where the system says.
fn free() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse().ok()
}

impl Default for Options {
    fn default() -> Self {
        Self {
            control: None,
            connections: Self::MOST,
            connects: 8,
            patience: Duration::from_secs(10),
            store: String::new(),
            grounds: Grounds::default(),
        }
    }
}

/// All hosts of an inventory, each connected to when it is first needed.
pub struct Fleet {
    hosts: BTreeMap<HostName, Arc<Berth<Remote>>>,
    berths: Arc<Berths<Remote>>,
    here: Here,
    vault: Arc<Vault>,
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
        let connections = options.connections;
        let orders = Orders::new(inventory, options.grounds.clone(), Arc::clone(&vault));
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
            let remote = Remote::new(Some(host.name.clone()), link, Arc::clone(&vault), redactor.clone());
            Arc::new(Berth::new(host.name.clone(), host.local, remote.of_store(&store)))
        };
        let far = inventory.hosts.iter().filter(|host| !host.local).count();
        allow_files(connections.min(far));
        let berths = Berths::new(connections);
        let hosts = inventory.hosts.iter().map(|host| (host.name.clone(), remote(host))).collect();
        let here = Here::new(Arc::clone(&vault), redactor.clone(), prompter, store, orders);
        Self { hosts, berths, here, vault, gate, yard }
    }

    /// A host, as soon as there is a place for its connection.
    async fn host(&self, name: &HostName) -> Result<Stay<Remote>, Lost> {
        let host = self.hosts.get(name).ok_or_else(|| Lost {
            host: Some(name.clone()),
            why: "the inventory has no such host".to_owned(),
            kind: LostKind::Unreachable,
        })?;
        Ok(self.berths.enter(host).await)
    }

    /// Fetches what a change takes from another host, and names it.
    async fn bring(&self, change: &Change) -> Result<Option<Hash>, String> {
        let Change::WriteFile { content, .. } = change else { return Ok(None) };
        let Source::Host { at, path } = &content.from else { return Ok(None) };
        let host = at.host.as_ref().ok_or_else(|| format!("`{path}` is named without its host"))?;
        let cap = usize::try_from(content.size).unwrap_or(usize::MAX).saturating_add(1);
        let host = self.host(host).await.map_err(|e| e.to_string())?;
        let bytes = host.fetch(at, path, cap).await.map_err(|e| e.to_string())?;
        let bytes = Zeroizing::new(bytes.ok_or_else(|| format!("`{path}` is not there on `{at}`"))?);
        if Hash::of(&bytes) != content.hash {
            return Err(format!("`{path}` on `{at}` is another one by now"));
        }
        self.vault.pass(bytes);
        Ok(Some(content.hash.clone()))
    }

    /// The host that a change is carried out on; none: it is from here, whatever its place.
    async fn way(&self, change: &At<Change>) -> Result<Option<Stay<Remote>>, Lost> {
        let from_here = matches!(
            &change.what,
            Change::Tell(_)
                | Change::Mail(_)
                | Change::Order(_)
                | Change::Ask { .. }
                | Change::UpdateRecord(_)
                | Change::Switchover(_)
                | Change::SetServer { api: HaproxyApi::Tcp(_), .. }
                | Change::EndSessions { api: HaproxyApi::Tcp(_), .. }
        );
        match &change.at.host {
            Some(host) if !from_here => self.host(host).await.map(Some),
            _ => Ok(None),
        }
    }
}

/// Each connection needs some files of this process, and many systems begin with 1,024 of them in all. What may be had
/// more is taken only if it is needed: commands on this machine inherit it.
pub(crate) fn allow_files(connections: usize) {
    const EACH: u64 = 8;
    const BESIDE: u64 = 256;
    let wanted = EACH * connections as u64 + BESIDE;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|now| now < wanted) {
        let current = Some(limit.maximum.map_or(wanted, |most| most.min(wanted)));
        // where it may not be raised, connections fail by name
        let _raised = setrlimit(Resource::Nofile, Rlimit { current, ..limit }).is_ok();
    }
}

impl Close for Remote {
    fn close(&self) -> Fut<'_, ()> {
        Box::pin(Self::close(self))
    }
}

impl Transport for Fleet {
    fn look<'a>(&'a self, host: Option<&'a HostName>, reads: &'a [At<Read>]) -> Fut<'a, Result<Look, Lost>> {
        Box::pin(async move {
            let Some(host) = host else { return Ok(self.here.look(reads).await) };
            let from_here = |read: &At<Read>| {
                matches!(&read.what, Read::Server { api: HaproxyApi::Tcp(_), .. } | Read::Served(_) | Read::Client(_))
            };
            let (ours, theirs): (Vec<_>, Vec<_>) = reads.iter().cloned().partition(from_here);
            let ours = join_all(ours.iter().map(|read| self.here.read(&read.what)));
            let theirs = async { self.host(host).await?.look(&theirs).await };
            let (ours, theirs) = tokio::join!(ours, theirs);
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
                Some(host) => self.host(host).await?.open(run).await,
                None => Ok(self.here.look(&[]).await.boot),
            }
        })
    }

    fn carry<'a>(&'a self, act: &'a Act, change: &'a At<Change>, terms: Terms) -> Fut<'a, Result<Receipt, Lost>> {
        Box::pin(async move {
            let fetched = match self.bring(&change.what).await {
                Ok(fetched) => fetched,
                Err(why) => return Ok(Receipt::of(Outcome::Refused(why))),
            };
            let carried = match self.way(change).await? {
                Some(host) => host.carry(act, change, terms).await,
                None => Ok(self.here.carry(act, &change.what, terms).await),
            };
            if let Some(hash) = fetched {
                self.vault.passed(&hash);
            }
            carried
        })
    }

    fn settle<'a>(&'a self, act: &'a Act, change: &'a At<Change>, terms: Terms) -> Fut<'a, Result<Settled, Lost>> {
        Box::pin(async move {
            match self.way(change).await? {
                Some(host) => host.settle(act, change, terms).await,
                None => Ok(self.here.settle(act, &change.what).await),
            }
        })
    }

    fn cancel<'a>(&'a self, act: &'a Act, at: &'a Place) -> Fut<'a, Result<bool, Lost>> {
        Box::pin(async move {
            match &at.host {
                Some(host) => self.host(host).await?.cancel(act, at).await,
                None => Ok(self.here.cancel(act)),
            }
        })
    }

    fn fetch<'a>(&'a self, at: &'a Place, path: &'a str, cap: usize) -> Fut<'a, Result<Option<Vec<u8>>, Lost>> {
        Box::pin(async move {
            match &at.host {
                Some(host) => self.host(host).await?.fetch(at, path, cap).await,
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
            join_all(self.hosts.iter().map(|(name, host)| async move {
                let acted = acted_on.contains(name);
                // most hosts of an inventory have nothing to do with a run
                if host.at().is_to_forget(run, acted) {
                    self.berths.enter(host).await.forget(run, acted).await;
                }
            }))
            .await;
        })
    }

    fn close(&self) -> Fut<'_, ()> {
        Box::pin(async move {
            self.here.close();
            join_all(self.hosts.values().map(|host| host.at().close())).await;
            self.berths.clear();
            self.yard.close().await;
            self.gate.close();
        })
    }
}
