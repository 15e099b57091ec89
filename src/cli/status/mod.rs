//! `svcops status`: one look at all of it. Gathers what the sections judge, and prints what they say.

mod certs;
pub mod draw;
pub mod sections;
mod services;

use super::{
    Face,
    args::Output,
    exit::ExitCode,
    failover::{open, status::Judged},
    history::Past,
    owed, stage,
    words::Failure,
};
use crate::{
    base::{Clock as _, HostName, WallClock, Way},
    cert::Trust,
    inventory::{App, Host, Inventory},
    journal::{
        Journal as _, JournalError, RunRow,
        event::{Event, Record},
        locks::Locks,
        outbox::Outbox as _,
        search::Filter,
        state::{RunState, TaskState},
    },
    runbook::Project,
    survey::{self, app::Level, cert},
    ui::{history::Listed, looking::Looking, message::Message},
};
use certs::Certs;
use futures_util::future::join_all;
use sections::{Apps, Left, Seen, UnderWay};
use services::Services;
use std::{collections::BTreeSet, sync::Arc};

/// `status`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {
    /// Ask no host: what this machine knows by itself
    #[arg(long)]
    pub no_hosts: bool,
}

/// For its help.
pub const EXAMPLES: &str = "Examples:
  svcops status
  svcops status --no-hosts       at once, from the journal alone
  svcops status -l site=dc1      only the apps of these hosts
  svcops status -q               the verdict, and what is not as it should be

Exit code: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (also wrong usage).";

/// So many of the newest runs are shown.
const LAST: usize = 3;

impl Face {
    pub(super) fn status(&self, args: Args) -> Result<ExitCode, Failure> {
        self.no_stream()?;
        // without a project nothing is known of its apps, and a monitor must not take that for all being well
        let project = self.project()?;
        let opened = self.open_to_read(&project.inventory.project)?;
        let past = self.past(&opened, Some(&project));
        let (apps, services) = self.surveyed(&project, &past, args.no_hosts)?;
        // read after the hosts were looked at, which may take a while: what is printed is as new as it can be
        let certs = self.certs(&project, args.no_hosts)?;
        let seen = seen(&past, &opened.locks, (apps, services, certs), &project.inventory.project)?;
        let sections = sections::sections(&seen);
        let name = &project.inventory.project;
        if self.global.output == Output::Table {
            let (paint, width) = (self.screen.data_paint, self.screen.width);
            self.screen.data(&draw::text(name, &sections, self.global.quiet, paint, width));
        } else {
            self.screen.json(&draw::json(name, seen.now, &sections));
        }
        Ok(match draw::level(&sections) {
            Level::Ok => ExitCode::Done,
            Level::Warning => ExitCode::AsBefore,
            Level::Critical => ExitCode::Wrong,
            Level::Unknown => ExitCode::Stands,
        })
    }

    fn certs(&self, project: &Project, no_hosts: bool) -> Result<Certs, Failure> {
        let inventory = &project.inventory;
        let chosen = self.hosts(inventory)?.map(BTreeSet::from_iter);
        let mut asks = Vec::new();
        for certificate in inventory.certificates.values() {
            let takes =
                |host: &HostName| chosen.as_ref().is_none_or(|chosen: &BTreeSet<HostName>| chosen.contains(host));
            let places = cert::declared::places(inventory, certificate, &takes);
            asks.extend(places.map_err(|e| Failure::wrong(Message::of(&e)))?);
        }
        if no_hosts || asks.is_empty() {
            return Ok(Certs::NotAsked(if no_hosts { inventory.certificates.len() } else { 0 }));
        }
        let own = inventory.certificates.values();
        let own = own.map(|c| (c.name.clone(), cert::declared::own(inventory, &project.root, c))).collect();
        let now = WallClock.now();
        let hosts = Some(self.fleet(&project.root, inventory, None).transport);
        let wish = Arc::new(cert::Wish { own, hosts, ..cert::Wish::plain(now, Trust::system()) });
        let looking = Looking::new(&self.screen, self.global.quiet, "looking at certificates");
        let found = self.runtime()?.block_on(async {
            let told = |done, of| looking.told(done, of);
            let found = stage::unless_interrupted(looking.during(cert::look(asks, &wish, &told))).await;
            if let Some(hosts) = &wish.hosts {
                hosts.close().await;
            }
            found
        })?;
        Ok(Certs::Seen(cert::standings(inventory, found, now)))
    }

    /// Apps and services, by one look at each host or two side by side.
    fn surveyed(&self, project: &Project, past: &Past<'_>, no_hosts: bool) -> Result<(Apps, Services), Failure> {
        let inventory = &project.inventory;
        let chosen = self.hosts(inventory)?.map(BTreeSet::from_iter);
        let apps = of_hosts(inventory, chosen.as_ref());
        let (services, halves) = services::chosen(inventory, chosen.as_ref());
        let declared = !inventory.apps.is_empty() || halves > 0;
        if chosen.is_some() && apps.is_empty() && services.is_empty() && declared {
            // of nothing that was looked at a monitor must not hear that it is well
            let message = match halves {
                0 => Message::error("no app is on a selected host").hint("`svcops inventory apps` lists the apps"),
                _ => Message::error("no app is on a selected host, and no service has all of its hosts selected")
                    .hint("`svcops inventory services -o json` has the hosts of each"),
            };
            return Err(Failure::wrong(message));
        }
        if no_hosts {
            return Ok((Apps::NotAsked(apps.len()), Services::NotAsked(services.len() + halves)));
        }
        if apps.is_empty() && services.is_empty() {
            return Ok((Apps::Seen(Vec::new()), Services::Seen { all: Vec::new(), halves }));
        }
        // a run that ends while hosts are asked is the reason of what they say
        let ways: Result<Vec<_>, _> = services.iter().map(|service| open::open(past, inventory, service)).collect();
        let ways = ways?;
        let looking = Looking::new(&self.screen, self.global.quiet, "looking at hosts");
        let (mut apps, seen) = self.runtime()?.block_on(async {
            let ways = self.fleet(&project.root, inventory, None);
            let told = |done, of| looking.told(done, of);
            let apps = survey::app::all(inventory, apps, &*ways.transport, self.global.parallel, told);
            let looks = services.iter().map(|service| survey::service::look(&*ways.transport, inventory, service));
            let both = async { tokio::join!(apps, join_all(looks)) };
            let seen = stage::unless_interrupted(looking.during(both)).await;
            ways.transport.close().await;
            seen
        })?;
        let mut all = Vec::new();
        for ((service, seen), open) in services.into_iter().zip(seen).zip(ways) {
            let open = match open {
                Some(open) => Some(open),
                None => open::open(past, inventory, service)?,
            };
            all.push(Judged::of(inventory, service, (seen, &[]), open));
        }
        services::without_those_that_rest(&mut apps, inventory, &all);
        Ok((Apps::Seen(apps), Services::Seen { all, halves }))
    }
}

/// The apps with those of their hosts that are chosen; without a choice all, else only those that have one.
fn of_hosts<'a>(inventory: &'a Inventory, chosen: Option<&BTreeSet<HostName>>) -> Vec<(&'a App, Vec<&'a Host>)> {
    let mut apps = Vec::new();
    for app in inventory.apps.values() {
        let hosts: Vec<&Host> =
            inventory.hosts_of(app).filter(|h| chosen.is_none_or(|c| c.contains(&h.name))).collect();
        if chosen.is_none() || !hosts.is_empty() {
            apps.push((app, hosts));
        }
    }
    apps
}

/// The state directory may hold runs of other projects: they are not this one's to tell.
fn seen(
    past: &Past<'_>,
    locks: &Locks,
    (apps, services, certs): (Apps, Services, Certs),
    project: &str,
) -> Result<Seen, JournalError> {
    let (mut under_way, mut left) = (Vec::new(), Vec::new());
    for run in past.journal.troubled()? {
        let Listed { row, alive } = past.listed(past.journal.row(&run)?);
        if row.project != project || row.outcome.is_some_and(|end| !end.resumable()) {
            continue;
        }
        let records = past.journal.records(&run)?;
        if alive {
            under_way.push(in_progress(row, &records));
        } else {
            let open =
                RunState::fold(&records).tasks.iter().filter(|t| is_open(t)).map(|t| t.began.task.clone()).collect();
            left.push(Left { row, doubts: open });
        }
    }
    let own = Filter { project: Some(project.to_owned()), ..Filter::default() };
    let newest = past.journal.list(&own, None, LAST + under_way.len() + left.len())?;
    let ended = newest.into_iter().filter(|r| r.ended.is_some());
    Ok(Seen {
        apps,
        services,
        certs,
        owed: owed::unpaid(past, Some(project))?,
        undelivered: past.journal.undelivered()?,
        held: locks.held(),
        last: ended.take(LAST).map(|row| past.listed(row)).collect(),
        now: WallClock.now(),
        zone: past.zone.clone(),
        under_way,
        left,
    })
}

fn in_progress(row: RunRow, records: &[Record]) -> UnderWay {
    let state = RunState::fold(records);
    let step = records.iter().rev().find_map(|record| match &record.event {
        Event::Phase { step, name, batch, .. } => Some((step.clone(), name.clone(), *batch)),
        _ => None,
    });
    let back = state.back.values().find(|back| !back.done).map(|back| format!("goes back: {}", back.why));
    let turned = state.stopping.as_ref().map(|why| format!("stops: {why}")).or(back);
    let operator = state.operator.map_or_else(|| row.operator.clone(), |o| o.name);
    UnderWay { row, operator, step, turned }
}

/// It began and did not end, or nobody knows what it did.
fn is_open(task: &TaskState) -> bool {
    let leg = |way| task.leg(way).is_some_and(|leg| leg.how.is_none());
    task.waived.is_none() && (task.doubt().is_some() || leg(Way::Undo) || leg(Way::Forward))
}

#[cfg(test)]
mod tests;
