//! `svcops inventory services|databases`: what moves from site to site, and what it stands on.

use crate::{
    base::{HostName, ProbeKind},
    inventory::{Database, Host, Inventory, Service, select},
};
use serde::Serialize;

/// A service's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceRow {
    /// Its name.
    pub service: String,
    /// For people.
    pub title: Option<String>,
    /// Its two sites.
    pub sites: Vec<String>,
    /// The most that may be lost: `0B`, `5s`.
    pub rpo: String,
    /// The longest that it may be out: `30s`.
    pub rto: Option<String>,
    /// How a client sees it: `postgres 10.77.0.5:5432/billing`, `http URL`, `tcp HOST:PORT`.
    pub probe: Option<String>,
    /// Its parts, in the order of a switch.
    pub parts: Vec<PartRow>,
    /// The database among them.
    pub database: Option<String>,
    /// The names of the ways to prove that a site is dead.
    pub fences: Vec<String>,
    /// The hosts of its parts that the selector chose.
    pub hosts: Vec<HostName>,
}

/// A part of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartRow {
    /// What it is: `database`, `app`, `balancer`, `record`, `jobs`, `command`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
}

/// A database's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatabaseRow {
    /// Its name.
    pub database: String,
    /// For people.
    pub title: Option<String>,
    /// Its hosts that the selector chose.
    pub hosts: Vec<HostName>,
    /// Its unit.
    pub unit: String,
    /// Its data directory.
    pub data: String,
    /// The folder of its programs.
    pub bin: String,
    /// Its port.
    pub port: u16,
    /// The system's user that it runs as.
    pub user: String,
    /// How a standby follows.
    pub replication: ReplicationRow,
    /// The template of Patroni's URL, where Patroni manages it.
    pub patroni: Option<String>,
    /// The services that it is a part of.
    pub services: Vec<String>,
}

/// How a standby follows its primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplicationRow {
    /// The role.
    pub user: String,
    /// The name of the secret that holds its password.
    pub password: Option<String>,
    /// `async` or `sync`.
    pub mode: &'static str,
    /// Standbys have slots.
    pub slots: bool,
}

/// The heads of [`service_cells`].
pub const SERVICE_HEADS: [&str; 7] = ["SERVICE", "TITLE", "SITES", "RPO", "RTO", "PROBE", "PARTS"];
/// The heads of [`database_cells`].
pub const DATABASE_HEADS: [&str; 6] = ["DATABASE", "TITLE", "HOSTS", "CLUSTER", "REPLICATION", "SERVICES"];

/// The hosts that a selector chooses; none: there is no selector.
fn chosen<'a>(inventory: &'a Inventory, selector: Option<&str>) -> Result<Option<Vec<&'a Host>>, select::NotASelector> {
    selector.map(|text| Ok(inventory.select(&select::parse(text)?))).transpose()
}

/// Those of the hosts that are chosen; none: none of them is, and some had to be.
fn those(hosts: Vec<&Host>, chosen: Option<&Vec<&Host>>) -> Option<Vec<HostName>> {
    let takes = |host: &&Host| chosen.is_none_or(|chosen| chosen.iter().any(|c| c.name == host.name));
    let names: Vec<HostName> = hosts.into_iter().filter(takes).map(|host| host.name.clone()).collect();
    (chosen.is_none() || !names.is_empty()).then_some(names)
}

/// The services with a part on a host that a selector chooses; all without one.
///
/// # Errors
/// The selector is none.
pub fn services(inventory: &Inventory, selector: Option<&str>) -> Result<Vec<ServiceRow>, select::NotASelector> {
    let chosen = chosen(inventory, selector)?;
    let row = |service: &Service| {
        let hosts = those(service.hosts(inventory), chosen.as_ref())?;
        let part = |(kind, name)| PartRow { kind, name };
        Some(ServiceRow {
            service: service.name.clone(),
            title: service.title.clone(),
            sites: service.sites.clone(),
            rpo: service.rpo.to_string(),
            rto: service.rto.map(|rto| rto.to_string()),
            probe: service.probe.as_ref().map(|probe| asked(&probe.ask)),
            parts: service.parts.iter().map(|p| part(p.title())).collect(),
            database: service.database(inventory).map(|database| database.name.clone()),
            fences: service.fence.iter().map(|fence| fence.name.clone()).collect(),
            hosts,
        })
    };
    Ok(inventory.services.values().filter_map(row).collect())
}

/// The databases with a host that a selector chooses; all without one.
///
/// # Errors
/// The selector is none.
pub fn databases(inventory: &Inventory, selector: Option<&str>) -> Result<Vec<DatabaseRow>, select::NotASelector> {
    let chosen = chosen(inventory, selector)?;
    let row = |database: &Database| {
        let hosts = those(inventory.select(&database.hosts), chosen.as_ref())?;
        let Database { name, title, spot, replication, patroni, .. } = database;
        let has = |service: &&Service| service.database(inventory).is_some_and(|own| own.name == *name);
        Some(DatabaseRow {
            database: name.clone(),
            title: title.clone(),
            hosts,
            unit: spot.unit.clone(),
            data: spot.data.clone(),
            bin: spot.bin.clone(),
            port: spot.port,
            user: spot.user.clone(),
            replication: ReplicationRow {
                user: replication.user.clone(),
                password: replication.password.clone(),
                mode: if replication.sync { "sync" } else { "async" },
                slots: replication.slots,
            },
            patroni: patroni.as_ref().map(|patroni| patroni.url.clone()),
            services: inventory.services.values().filter(has).map(|service| service.name.clone()).collect(),
        })
    };
    Ok(inventory.databases.values().filter_map(row).collect())
}

fn asked(ask: &ProbeKind) -> String {
    match ask {
        ProbeKind::Postgres { address, database, .. } => format!("postgres {address}/{database}"),
        ProbeKind::Http { url, .. } => format!("http {url}"),
        ProbeKind::Tcp(address) => format!("tcp {address}"),
    }
}

fn or_dash(text: Option<&String>) -> String {
    text.cloned().unwrap_or_else(|| "–".to_owned())
}

/// A row as cells, in the order of [`SERVICE_HEADS`].
pub fn service_cells(row: &ServiceRow) -> Vec<String> {
    let parts: Vec<String> = row.parts.iter().map(|part| format!("{} {}", part.kind, part.name)).collect();
    vec![
        row.service.clone(),
        or_dash(row.title.as_ref()),
        row.sites.join(" "),
        row.rpo.clone(),
        or_dash(row.rto.as_ref()),
        or_dash(row.probe.as_ref()),
        parts.join(", "),
    ]
}

/// A row as cells, in the order of [`DATABASE_HEADS`].
pub fn database_cells(row: &DatabaseRow) -> Vec<String> {
    let hosts: Vec<&str> = row.hosts.iter().map(HostName::as_str).collect();
    let ReplicationRow { user, mode, slots, .. } = &row.replication;
    let slots = if *slots { "slots" } else { "no slots" };
    let replication = match &row.patroni {
        Some(_) => format!("{mode}, by Patroni"),
        None => format!("{mode}, {slots}, as {user}"),
    };
    vec![
        row.database.clone(),
        or_dash(row.title.as_ref()),
        hosts.join(" "),
        format!("{}, port {}", row.unit, row.port),
        replication,
        if row.services.is_empty() { "–".to_owned() } else { row.services.join(" ") },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        inventory::sample_services::moving,
        ui::{screen::Screen, table::table},
    };

    #[test]
    fn a_service_is_shown_with_its_parts_in_their_order() {
        let rows = services(&moving(), None).unwrap();
        let cells: Vec<_> = rows.iter().map(service_cells).collect();
        insta::assert_snapshot!(table(&Screen::plain(100), &SERVICE_HEADS, &cells), @r"
        SERVICE  TITLE  SITES    RPO  RTO  PROBE                   PARTS
        crm      CRM    dc1 dc2  0B   30s  postgres                balancer front/crm-db, app billing, jobs
                                           10.77.0.5:5432/billing  settle.timer, settle, database crm-db,
                                                                   record crm.lab.test, command licence
        silent   –      dc1 dc2  0B   –    –                       balancer front/billing, app billing
        ");
        insta::assert_snapshot!(table(&Screen::plain(40), &SERVICE_HEADS, &cells[..1]), @r"
        crm
          TITLE  CRM
          SITES  dc1 dc2
          RPO    0B
          RTO    30s
          PROBE  postgres 10.77.0.5:5432/billing
          PARTS  balancer front/crm-db, app
                 billing, jobs settle.timer,
                 settle, database crm-db, record
                 crm.lab.test, command licence
        ");
    }

    #[test]
    fn a_database_is_shown_with_what_stands_on_it() {
        let rows = databases(&moving(), None).unwrap();
        let cells: Vec<_> = rows.iter().map(database_cells).collect();
        insta::assert_snapshot!(table(&Screen::plain(100), &DATABASE_HEADS, &cells), @r"
        DATABASE  TITLE     HOSTS            CLUSTER                      REPLICATION        SERVICES
        crm-db    База CRM  dc1-db1 dc2-db1  postgresql@15-main.service,  async, slots, as   crm
                                             port 5432                    replicator
        led-db    –         dc1-db1 dc2-db1  postgresql@15-led.service,   async, by Patroni  –
                                             port 5433
        ");
    }

    #[test]
    fn a_selector_chooses_by_the_hosts_that_a_row_is_on() {
        let inventory = moving();
        let of = |selector| -> Vec<(String, Vec<HostName>)> {
            let rows = services(&inventory, Some(selector)).unwrap();
            rows.into_iter().map(|row| (row.service, row.hosts)).collect()
        };
        assert_eq!(of("dc1-db1"), [("crm".to_owned(), vec![HostName::new("dc1-db1")])]);
        // servers of a balancer are hosts of the service, too
        assert_eq!(of("dc1-app1").len(), 2);
        assert_eq!(of("lb"), []);
        let rows = databases(&inventory, Some("site=dc2")).unwrap();
        assert!(rows.iter().all(|row| row.hosts == [HostName::new("dc2-db1")]), "{rows:?}");
        assert_eq!(databases(&inventory, Some("role=app")).unwrap(), []);
        assert!(services(&inventory, Some("a b")).is_err() && databases(&inventory, Some("a b")).is_err());
    }
}
