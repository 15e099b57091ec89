//! How a service stands: where it is active *as seen*, and every part of it at each of its sites. One probe a host, all hosts
//! side by side; a host that is out of reach is named, and what it would have shown is unknown.

pub mod certs;
mod judged;
pub mod lag;
pub mod names;
mod parts;
#[cfg(test)]
pub(crate) mod tests;

pub use lag::Lag;

use super::app::Level;
use crate::{
    base::{Answer, At, HostName, PgAsk, PgDepth, PgFacts, PgState, Place, Read},
    inventory::{Host, Inventory, Part, Service},
    resources::Answers,
    transport::Transport,
};
use futures_util::future::join_all;
use serde::Serialize;
use std::{collections::BTreeMap, fmt, time::Duration};

/// A service as seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Seen {
    /// Its name.
    pub service: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Where it is active.
    pub active: Active,
    /// Its two sites, as `svcops.yaml` has them.
    pub sites: Vec<SiteSeen>,
    /// Its parts, in their order.
    pub parts: Vec<PartSeen>,
    /// Its database, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseSeen>,
    /// What is not as it should be, the worst first.
    pub problems: Vec<Problem>,
}

/// Where a service is active: where its database is primary; without a database where its traffic goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Active {
    /// At this site, with all of it that was seen.
    At(String),
    /// At this site by what counts, and these parts are at the other one.
    Split {
        /// The site.
        at: String,
        /// The parts that are elsewhere, in words.
        elsewhere: Vec<String>,
    },
    /// At both: two primaries, or traffic to both.
    Both,
    /// At neither.
    Nowhere,
    /// It could not be seen, and why.
    Unknown(String),
}

impl Active {
    /// The one site that it is active at, by what counts.
    pub fn site(&self) -> Option<&str> {
        match self {
            Self::At(site) | Self::Split { at: site, .. } => Some(site),
            Self::Both | Self::Nowhere | Self::Unknown(_) => None,
        }
    }
}

/// A site as seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SiteSeen {
    /// Its name.
    pub site: String,
    /// So many of the service's hosts are there.
    pub hosts: usize,
    /// Those that could not be seen, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub silent: BTreeMap<HostName, String>,
}

/// A part as seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartSeen {
    /// What it is: `database`, `app`, `balancer`, `record`, `jobs`, `command`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// It is at one site at a time; false: it runs at both, always.
    pub moves: bool,
    /// How it stands at each site.
    pub at: BTreeMap<String, Standing>,
    /// What is to be said of it at no site: servers of a zone that are behind, a balancer that does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How a part stands at a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Whether it lives there.
    pub lives: Lives,
    /// That in a few words: `primary`, `2 of 2 run`.
    pub says: String,
}

/// Whether a part lives at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lives {
    /// All of it.
    Yes,
    /// Some of it.
    Partly,
    /// Nothing of it.
    No,
    /// It could not be seen.
    Unknown,
}

/// A database as seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DatabaseSeen {
    /// Its name.
    pub name: String,
    /// Each of its hosts.
    pub nodes: Vec<Node>,
    /// How far the standby is behind; none: one of the two was not seen, or there is no primary or no standby.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<Lag>,
}

/// A database's host.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// Its name.
    pub host: HostName,
    /// Its site.
    pub site: Option<String>,
    /// What the cluster there is.
    pub role: Role,
    /// All that was seen; none: it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facts: Option<Box<PgFacts>>,
    /// Why nothing was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unseen: Option<String>,
}

/// What a cluster is, as far as it can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It accepts writes.
    Primary,
    /// It is a standby that streams.
    Standby,
    /// It is a standby that does not stream.
    Cut,
    /// It does not run.
    Down,
    /// It runs, does not answer, and its control file is a primary's.
    MutePrimary,
    /// It runs and does not answer.
    Mute,
    /// There is no cluster.
    Absent,
    /// It was not seen.
    Unseen,
}

impl Role {
    /// The role that these facts show.
    pub fn of(facts: &PgFacts) -> Self {
        let state = facts.control.as_ref().map(|control| control.state);
        match &facts.sql {
            _ if !facts.running && facts.control.is_none() => Self::Absent,
            _ if !facts.running => Self::Down,
            Some(sql) if !sql.recovery => Self::Primary,
            Some(sql) if sql.streams_from.is_some() => Self::Standby,
            Some(_) => Self::Cut,
            None if state == Some(PgState::InProduction) => Self::MutePrimary,
            None => Self::Mute,
        }
    }
    /// Whether it may accept writes, for all that is known.
    pub const fn may_write(self) -> bool {
        matches!(self, Self::Primary | Self::MutePrimary | Self::Mute | Self::Unseen)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::Standby => "standby",
            Self::Cut => "standby, cut off",
            Self::Down => "down",
            Self::MutePrimary => "primary, mute",
            Self::Mute => "mute",
            Self::Absent => "no cluster",
            Self::Unseen => "not seen",
        })
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub level: Level,
    /// What it is.
    pub says: String,
    /// What helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Seen {
    /// How the database stands at a site.
    pub fn node(&self, site: &str) -> Option<&Node> {
        self.database.as_ref()?.nodes.iter().find(|node| node.site.as_deref() == Some(site))
    }
    /// The database's host that is known to accept writes; none where it is none, or several.
    pub fn primary(&self) -> Option<&Node> {
        let mut primaries = self.database.iter().flat_map(|d| &d.nodes).filter(|node| node.role == Role::Primary);
        primaries.next().filter(|_| primaries.next().is_none())
    }
    /// The worst of its problems.
    pub fn level(&self) -> Level {
        Level::worst(self.problems.iter().map(|problem| problem.level))
    }
    /// The hosts that could not be seen, of either site.
    pub fn silent(&self) -> impl Iterator<Item = (&HostName, &str)> {
        self.sites.iter().flat_map(|site| &site.silent).map(|(host, why)| (host, why.as_str()))
    }
}

/// Looks at a service. Changes nothing.
pub async fn look(transport: &dyn Transport, inventory: &Inventory, service: &Service) -> Seen {
    let asked = Asked::of(inventory, service);
    let seen = asked.seen(&ask(transport, asked.reads()).await, None);
    let lags = seen.database.as_ref().and_then(|database| database.lag.as_ref()).filter(|lag| !lag.within(service.rpo));
    if lags.is_none() {
        return seen;
    }
    // whether that is a lag, or only what is under way, a second look tells
    tokio::time::sleep(FLIGHT).await;
    asked.seen(&ask(transport, asked.reads()).await, Some(&seen))
}

/// All that is to be read of a service.
struct Asked<'a> {
    inventory: &'a Inventory,
    service: &'a Service,
    parts: Vec<parts::Watch<'a>>,
    nodes: Vec<(&'a Host, At<Read>)>,
}

impl<'a> Asked<'a> {
    fn of(inventory: &'a Inventory, service: &'a Service) -> Self {
        let mut nodes = Vec::new();
        if let Some(database) = service.database(inventory) {
            for host in inventory.select(&database.hosts) {
                let ask = PgAsk { spot: database.spot.clone(), depth: PgDepth::Whole, peer: None };
                nodes.push((host, place(host).at(Read::Postgres(ask))));
            }
        }
        let parts = service.parts.iter().map(|part| parts::watch(inventory, service, part)).collect();
        Self { inventory, service, parts, nodes }
    }
    fn reads(&self) -> impl Iterator<Item = &At<Read>> {
        self.parts.iter().flat_map(parts::Watch::reads).chain(self.nodes.iter().map(|(_, read)| read))
    }
    fn seen(&self, told: &Told, before: Option<&Seen>) -> Seen {
        let (inventory, service) = (self.inventory, self.service);
        let nodes = self.nodes.iter().map(|(host, read)| node(host, told.of(read))).collect();
        let database = service.database(inventory).map(|d| DatabaseSeen { name: d.name.clone(), nodes, lag: None });
        let parts = self.parts.iter().map(|watch| watch.seen(told, database.as_ref())).collect();
        let seen = Seen {
            service: service.name.clone(),
            title: service.title.clone(),
            active: Active::Nowhere,
            sites: service.sites.iter().map(|site| told.site(inventory, service, site)).collect(),
            parts,
            database,
            problems: Vec::new(),
        };
        judged::judge(inventory, service, seen, before)
    }
}

/// What was written so long ago has arrived, or there is a lag.
const FLIGHT: Duration = Duration::from_millis(300);
/// So long a host may take to answer all that it is asked, connecting included.
const WITHIN: Duration = Duration::from_secs(30);

/// A host, as who acts there.
fn place(host: &Host) -> Place {
    Place::on(&host.name).becoming(host.ssh.become_user.clone())
}

fn node(host: &Host, answer: Result<Answer, String>) -> Node {
    let (facts, unseen) = match answer {
        Ok(Answer::Postgres(facts)) => (Some(facts), None),
        Ok(Answer::Bad(why)) | Err(why) => (None, Some(why)),
        Ok(Answer::Open) => (None, Some("nobody has looked".to_owned())),
        Ok(_) => (None, Some("an answer of another kind came back".to_owned())),
    };
    let role = facts.as_deref().map_or(Role::Unseen, Role::of);
    Node { host: host.name.clone(), site: host.site.clone(), role, facts, unseen }
}

/// The hosts of a service at a site, by their names.
fn hosts_at<'a>(inventory: &'a Inventory, service: &Service, site: &str) -> Vec<&'a Host> {
    let at = |host: &&Host| host.site.as_deref() == Some(site);
    let mut hosts: Vec<&Host> = Vec::new();
    for part in &service.parts {
        // the servers of a balancer are names there: nobody asks the hosts
        if !matches!(part, Part::Balancer { .. }) {
            hosts.extend(part.hosts(inventory).into_iter().filter(at));
        }
    }
    hosts.sort_by(|a, b| a.name.cmp(&b.name));
    hosts.dedup_by(|a, b| a.name == b.name);
    hosts
}

/// What all hosts answered.
struct Told {
    answers: Vec<(At<Read>, Answer)>,
    silent: BTreeMap<HostName, String>,
}

impl Told {
    /// The answer to a read; else why there is none.
    fn of(&self, read: &At<Read>) -> Result<Answer, String> {
        if let Some(why) = read.at.host.as_ref().and_then(|host| self.silent.get(host)) {
            return Err(why.clone());
        }
        let found = self.answers.iter().find(|(asked, _)| asked == read);
        found.map(|(_, answer)| answer.clone()).ok_or_else(|| "nobody has looked".to_owned())
    }
    /// The answers to all of these reads; else why there are none.
    fn all(&self, reads: &[At<Read>]) -> Result<Answers, String> {
        reads.iter().map(|read| self.of(read)).collect::<Result<Vec<_>, _>>().map(Answers::new)
    }
    fn site(&self, inventory: &Inventory, service: &Service, site: &str) -> SiteSeen {
        let hosts = hosts_at(inventory, service, site);
        let silent = |host: &&Host| Some((host.name.clone(), self.silent.get(&host.name)?.clone()));
        SiteSeen { site: site.to_owned(), hosts: hosts.len(), silent: hosts.iter().filter_map(silent).collect() }
    }
}

/// Asks every host once, all side by side.
async fn ask<'a>(transport: &dyn Transport, reads: impl Iterator<Item = &'a At<Read>>) -> Told {
    let mut by_host: BTreeMap<Option<HostName>, Vec<At<Read>>> = BTreeMap::new();
    for read in reads {
        let of_host = by_host.entry(read.at.host.clone()).or_default();
        if !of_host.contains(read) {
            of_host.push(read.clone());
        }
    }
    let looks = by_host.into_iter().map(|(host, reads)| async move {
        let look = tokio::time::timeout(WITHIN, transport.look(host.as_ref(), &reads)).await;
        let answers = match look {
            Ok(Ok(look)) => Ok(reads.into_iter().zip(look.answers).collect::<Vec<_>>()),
            Ok(Err(lost)) => Err(lost.why),
            Err(_) => Err(format!("no answer within {} s", WITHIN.as_secs())),
        };
        (host, answers)
    });
    let mut told = Told { answers: Vec::new(), silent: BTreeMap::new() };
    for (host, answers) in join_all(looks).await {
        match (host, answers) {
            (_, Ok(answers)) => told.answers.extend(answers),
            (Some(host), Err(why)) => drop(told.silent.insert(host, why)),
            // this process always answers itself, if not in time
            (None, Err(_)) => {}
        }
    }
    told
}
