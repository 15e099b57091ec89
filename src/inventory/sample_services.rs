//! A service of the lab that moves between its sites, for tests.

use super::{Fence, Inventory, Part, Probe, ProbeKind, Rpo, SecretSource, Selector, Service, Term, sample::sample};
use crate::base::{HostName, PgTls, RecordType, Span};
use std::collections::BTreeMap;

/// The sample with a `crm` that has a part of every kind.
pub(crate) fn moving() -> Inventory {
    let role =
        |role: &str| Selector { text: format!("role={role}"), terms: vec![Term::In("role".into(), vec![role.into()])] };
    let mut inventory = sample();
    for secret in ["replication", "billing-db"] {
        inventory.secrets.insert(secret.into(), SecretSource::Env(secret.to_uppercase().replace('-', "_")));
    }
    let ask = ProbeKind::Postgres {
        address: "10.77.0.5:5432".into(),
        database: "billing".into(),
        user: "billing".into(),
        password: Some("billing-db".into()),
        tls: PgTls::default(),
        ca: None,
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

/// `crm`, that clients see as a database at the balancer; `silent` has no probe.
pub(super) fn services() -> BTreeMap<String, Service> {
    let ask = ProbeKind::Postgres {
        address: "10.77.0.5:5432".into(),
        database: "billing".into(),
        user: "billing".into(),
        password: Some("billing-db".into()),
        tls: PgTls::default(),
        ca: None,
        query: None,
    };
    let crm = Service {
        name: "crm".into(),
        title: Some("CRM".into()),
        sites: vec!["dc1".into(), "dc2".into()],
        rpo: Rpo::Bytes(0),
        rto: Some(Span::secs(30)),
        probe: Some(Probe { ask, every: Span(std::time::Duration::from_millis(10)), within: Span::secs(1) }),
        fence: vec![],
        parts: vec![
            Part::Balancer {
                name: "front".into(),
                backend: "billing".into(),
                servers: Selector { text: "role=app".into(), terms: vec![Term::In("role".into(), vec!["app".into()])] },
            },
            Part::App { name: "billing".into(), both: false },
        ],
    };
    let silent = Service { name: "silent".into(), title: None, rto: None, probe: None, ..crm.clone() };
    [crm, silent].into_iter().map(|service| (service.name.clone(), service)).collect()
}
