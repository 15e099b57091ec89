//! A service of the lab that moves between its sites, for tests.

use super::{
    Database, Fence, Host, Inventory, Part, Probe, ProbeKind, Replication, Rpo, SecretSource, Selector, Service, Ssh,
    Term, sample::sample,
};
use crate::base::{HostName, PgSpot, RecordType, Span};
use std::collections::BTreeMap;

/// The sample with a database host at each site, `crm-db` on them, and `crm`, which has a part of every kind.
pub(crate) fn moving() -> Inventory {
    let role =
        |role: &str| Selector { text: format!("role={role}"), terms: vec![Term::In("role".into(), vec![role.into()])] };
    let host = |name: &str, site: &str, address: &str| Host {
        name: HostName::new(name),
        site: Some(site.into()),
        address: Some(address.into()),
        labels: BTreeMap::from([("role".into(), "db".into())]),
        local: false,
        ssh: Ssh { user: Some("ops".into()), become_user: Some("root".into()), ..Ssh::default() },
    };
    let mut inventory = sample();
    inventory.hosts.push(host("dc1-db1", "dc1", "10.77.0.13"));
    inventory.hosts.push(host("dc2-db1", "dc2", "10.77.0.23"));
    for secret in ["replication", "billing-db"] {
        inventory.secrets.insert(secret.into(), SecretSource::Env(secret.to_uppercase().replace('-', "_")));
    }
    let spot = PgSpot {
        database: "crm-db".into(),
        unit: "postgresql@15-main.service".into(),
        data: "/var/lib/postgresql/15/main".into(),
        config: Some("/etc/postgresql/15/main".into()),
        bin: "/usr/lib/postgresql/15/bin".into(),
        port: 5432,
        user: "postgres".into(),
    };
    let replication =
        Replication { user: "replicator".into(), password: Some("replication".into()), slots: true, sync: false };
    let database = Database { name: "crm-db".into(), title: None, hosts: role("db"), spot, replication, patroni: None };
    inventory.databases.insert(database.name.clone(), database);
    let ask = ProbeKind::Postgres {
        address: "10.77.0.5:5432".into(),
        database: "billing".into(),
        user: "billing".into(),
        password: Some("billing-db".into()),
        query: None,
    };
    let values = [("dc1", "10.77.0.13"), ("dc2", "10.77.0.23")];
    let values = values.map(|(site, value)| (site.to_owned(), vec![value.to_owned()]));
    let parts = vec![
        Part::Balancer { name: "front".into(), backend: "crm-db".into(), servers: role("db") },
        Part::App { name: "billing".into(), both: false },
        Part::Jobs { hosts: role("app"), timers: vec!["settle.timer".into()], cron: vec!["settle".into()] },
        Part::Database("crm-db".into()),
        Part::Record {
            zone: "lab.test".into(),
            name: "crm".into(),
            kind: RecordType::A,
            values: BTreeMap::from(values),
            ttl: Some(Span::secs(5)),
        },
        Part::Command {
            name: "licence".into(),
            hosts: role("app"),
            stop: "licence release".into(),
            start: "licence take".into(),
            status: "licence status".into(),
        },
    ];
    let service = Service {
        name: "crm".into(),
        title: Some("CRM".into()),
        sites: vec!["dc1".into(), "dc2".into()],
        rpo: Rpo::Bytes(0),
        rto: Some(Span::secs(30)),
        probe: Some(Probe { ask, every: Span(std::time::Duration::from_millis(10)), within: Span::secs(1) }),
        fence: vec![Fence {
            name: "power".into(),
            at: HostName::new("lb"),
            site: None,
            run: "power-off {{ site }}".into(),
        }],
        parts,
    };
    inventory.services.insert(service.name.clone(), service);
    inventory
}
