//! How apps stand, on all their hosts side by side.

use super::reach::Reach;
use crate::{
    base::{At, HostName, Place, Read, ServerState, Span, UnitState},
    inventory::{App, Host, Inventory},
    resources::{self, AppFacts, BackendServer, Resource},
    transport::Transport,
};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use std::collections::BTreeMap;

/// How an app stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AppStatus {
    /// 1.
    pub schema_version: u32,
    /// Its name.
    pub app: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// So many of its hosts at a site should be healthy.
    pub min_healthy: usize,
    /// One a host, in the inventory's order.
    pub hosts: Vec<HostStatus>,
}

/// How it stands on a host.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HostStatus {
    /// The host.
    pub host: HostName,
    /// Its site.
    pub site: Option<String>,
    /// systemd's word, or `active` and `inactive` by the manager's `status`; none: unknown.
    pub state: Option<UnitState>,
    /// The main process; none where there is none, or where commands manage the app.
    pub pid: Option<u32>,
    /// Its health; none where nothing says how it shows, or where it is unknown.
    pub healthy: Option<bool>,
    /// What the health check said.
    pub said: String,
    /// What the balancer says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balancer: Option<BalancerStatus>,
    /// Why something is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// What the balancer says of a server.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BalancerStatus {
    /// What an operator set.
    pub state: ServerState,
    /// HAProxy holds it for up.
    pub up: bool,
    /// Current sessions.
    pub sessions: u64,
}

/// The four words for how something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// All is as it should be.
    Ok,
    /// Less than it should be, and it serves.
    Warning,
    /// It does not serve as it should.
    Critical,
    /// It could not be seen.
    Unknown,
}

impl Level {
    /// The exit code of a command that checks.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }
    /// The worst of several: critical before unknown before a warning; of none, all is well.
    pub fn worst(levels: impl IntoIterator<Item = Self>) -> Self {
        let rank =
            |level: &Self| [Self::Ok, Self::Warning, Self::Unknown, Self::Critical].iter().position(|l| l == level);
        levels.into_iter().max_by_key(rank).unwrap_or(Self::Ok)
    }
}

impl HostStatus {
    /// It runs, and is as healthy as can be asked.
    pub fn serves(&self) -> bool {
        self.state.is_some_and(resources::unit::runs) && self.healthy != Some(false)
    }
    /// It serves, and the balancer sends it requests, where there is one.
    pub fn in_service(&self) -> bool {
        self.serves() && self.balancer.as_ref().is_none_or(|b| b.state == ServerState::Ready && b.up)
    }
}

impl AppStatus {
    fn of(app: &App, hosts: Vec<HostStatus>) -> Self {
        let (title, min_healthy) = (app.title.clone(), app.rolling.min_healthy);
        Self { schema_version: 1, app: app.name.clone(), title, min_healthy, hosts }
    }
    /// The worst of it: fewer in service at a site than its promise is critical (at least one where it promises none),
    /// any other host that is not in service a warning; critical comes before unknown, unknown before a warning.
    pub fn level(&self) -> Level {
        let mut sites: BTreeMap<Option<&String>, (usize, usize)> = BTreeMap::new();
        for host in &self.hosts {
            let (able, all) = sites.entry(host.site.as_ref()).or_default();
            *able += usize::from(host.in_service() || host.trouble.is_some());
            *all += 1;
        }
        let short = |(able, all): &(usize, usize)| *able < self.min_healthy.max(1).min(*all);
        if sites.values().any(short) {
            Level::Critical
        } else if self.hosts.iter().any(|h| h.trouble.is_some()) {
            Level::Unknown
        } else if self.hosts.iter().any(|h| !h.in_service()) {
            Level::Warning
        } else {
            Level::Ok
        }
    }
}

/// Looks at an app on these of its hosts, `parallel` side by side; what cannot be seen is a row with its reason.
pub async fn look(
    inventory: &Inventory,
    app: &App,
    hosts: Vec<&Host>,
    transport: &dyn Transport,
    parallel: usize,
) -> AppStatus {
    let looks = all(inventory, vec![(app, hosts)], transport, parallel, |_, _| {}).await;
    looks.into_iter().next().unwrap_or_else(|| AppStatus::of(app, Vec::new()))
}

/// Looks at many apps, each on the hosts named beside it, `parallel` side by side. A host that is silent is waited for once,
/// however many apps are on it or behind it. `told` hears how many looks are done, and of how many.
pub async fn all(
    inventory: &Inventory,
    apps: Vec<(&App, Vec<&Host>)>,
    transport: &dyn Transport,
    parallel: usize,
    told: impl Fn(usize, usize),
) -> Vec<AppStatus> {
    let reach = &Reach::new(transport, inventory);
    let pairs: Vec<(&App, &Host)> = apps.iter().flat_map(|(app, hosts)| hosts.iter().map(|h| (*app, *h))).collect();
    let of = pairs.len();
    told(0, of);
    // as they come: in their order, one that is slow would keep others from their turn
    let looks = pairs.into_iter().enumerate().map(async |(n, (app, host))| (n, one(inventory, app, host, reach).await));
    let mut looks = stream::iter(looks).buffer_unordered(parallel.max(1));
    let mut rows = BTreeMap::new();
    while let Some((n, row)) = looks.next().await {
        rows.insert(n, row);
        told(rows.len(), of);
    }
    let mut rows = rows.into_values();
    apps.into_iter().map(|(app, hosts)| AppStatus::of(app, rows.by_ref().take(hosts.len()).collect())).collect()
}

async fn one(inventory: &Inventory, app: &App, host: &Host, reach: &Reach<'_>) -> HostStatus {
    let mut row = HostStatus {
        host: host.name.clone(),
        site: host.site.clone(),
        state: None,
        pid: None,
        healthy: None,
        said: String::new(),
        balancer: None,
        trouble: None,
    };
    let user = |host: &Host| host.ssh.become_user.clone();
    let bound = inventory.app_on(app, host).map_err(|e| e.to_string()).and_then(|on| {
        let place = Place::on(&host.name).becoming(user(host));
        Ok((resources::App::of(&on, place, Span::secs(10))?, on.behind))
    });
    let (on, behind) = match bound {
        Ok(bound) => bound,
        Err(why) => return HostStatus { trouble: Some(why), ..row },
    };
    match facts(&on, reach).await {
        Ok(AppFacts { unit, health, .. }) => {
            row.state = Some(unit.state);
            row.pid = Some(unit.pid).filter(|pid| *pid > 0);
            row.healthy = on.health.as_ref().map(|_| health.healthy);
            row.said = health.said;
            if !unit.loaded {
                row.trouble = Some(format!("systemd knows no unit {}", on.title()));
            }
        }
        Err(why) => row.trouble = Some(why),
    }
    if let Some(behind) = behind {
        let at = behind
            .host
            .as_ref()
            .map_or(Place::HERE, |front| Place::on(front).becoming(inventory.host(front.as_str()).and_then(user)));
        let (balancer, api, backend, server) = (behind.balancer, behind.api, behind.backend, behind.server);
        match facts(&BackendServer { at, balancer, api, backend, server }, reach).await {
            Ok(seen) => {
                row.balancer = Some(BalancerStatus { state: seen.state, up: seen.up, sessions: seen.sessions });
            }
            Err(why) => row.trouble = row.trouble.or(Some(why)),
        }
    }
    row
}

/// Looks at a resource, one place after another.
async fn facts<R: Resource>(on: &R, reach: &Reach<'_>) -> Result<R::Facts, String> {
    let mut answers = vec![];
    for read in on.reads() {
        let reads: [At<Read>; 1] = [read];
        let look = reach.look(reads.iter().find_map(|r| r.at.host.as_ref()), &reads).await;
        answers.extend(look.map_err(|lost| lost.to_string())?.answers);
    }
    on.facts(&mut resources::Answers::new(answers)).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{Answer, HaproxyApi, HttpAsk, HttpFacts, ServerFacts, UnitFacts},
        inventory::sample::sample,
        transport::{Links, Simulated},
    };

    /// `billing` on the hosts of dc1 as said; nothing is known of dc2.
    async fn status(site: Option<&str>, up: [bool; 2], drained: [bool; 2]) -> AppStatus {
        let inventory = sample();
        let world = Simulated::new(Links::of(&inventory));
        for (i, (host, address)) in [("dc1-app1", "10.77.0.11"), ("dc1-app2", "10.77.0.12")].into_iter().enumerate() {
            let (up, drained) = (up[i], drained[i]);
            let place = Place::on(&HostName::new(host)).becoming(Some("root".into()));
            let state = if up { UnitState::Active } else { UnitState::Failed };
            let unit = UnitFacts { loaded: true, state, ..UnitFacts::default() };
            world.learn(&place.at(Read::Unit { name: "billing.service".into() }), &Answer::Unit(unit));
            let ask = HttpAsk {
                url: format!("http://{address}:8080/health"),
                method: "GET".into(),
                headers: BTreeMap::new(),
                body: None,
                ca: None,
                within: Span::secs(5),
            };
            let said = HttpFacts { status: up.then_some(200), ..HttpFacts::default() };
            world.learn(&Place::HERE.at(Read::Http(ask)), &Answer::Http(said));
            let front = Place::on(&HostName::new("lb")).becoming(Some("root".into()));
            let state = if drained { ServerState::Drain } else { ServerState::Ready };
            let (api, backend) = (HaproxyApi::Socket("/run/haproxy/admin.sock".into()), "billing".into());
            let read = front.at(Read::Server { api, backend, server: host.into() });
            world.learn(&read, &Answer::Server(ServerFacts { state, sessions: 1, up }));
        }
        let app = &inventory.apps["billing"];
        let hosts = inventory.hosts_of(app).filter(|h| site.is_none() || h.site.as_deref() == site).collect();
        look(&inventory, app, hosts, &world, 4).await
    }

    #[tokio::test]
    async fn the_worst_host_decides_unless_the_promise_is_broken() {
        let at = Some("dc1");
        for (up, drained, level) in [
            ([true, true], [false, false], Level::Ok),
            ([true, false], [false, false], Level::Warning),
            ([true, true], [false, true], Level::Warning),
            ([false, false], [false, false], Level::Critical),
            ([true, true], [true, true], Level::Critical),
        ] {
            assert_eq!(status(at, up, drained).await.level(), level, "{up:?} {drained:?}");
        }
        assert_eq!(status(None, [true, true], [false, false]).await.level(), Level::Unknown);
    }

    #[tokio::test]
    async fn hosts_stand_in_their_order_and_say_why_something_is_unknown() {
        let status = status(None, [true, false], [false, false]).await;
        let hosts: Vec<_> = status.hosts.iter().map(|h| h.host.as_str()).collect();
        assert_eq!(hosts, ["dc1-app1", "dc1-app2", "dc2-app1", "dc2-app2"]);
        assert_eq!(status.hosts.iter().filter(|h| h.in_service()).count(), 1);
        assert!(status.hosts.iter().skip(2).all(|h| h.trouble.is_some() && h.state.is_none()), "{status:?}");
    }
}
