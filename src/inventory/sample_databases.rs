//! The databases of the sample.

use super::{Database, Patroni, Replication, Selector, Term};
use crate::base::PgSpot;
use std::collections::BTreeMap;

/// `crm-db` at both sites, on the hosts `dc1-db1` and `dc2-db1`; `led-db` beside it is Patroni's.
pub(super) fn databases() -> BTreeMap<String, Database> {
    let spot = |name: &str, cluster: &str, port: u16| PgSpot {
        database: name.into(),
        unit: format!("postgresql@15-{cluster}.service"),
        data: format!("/var/lib/postgresql/15/{cluster}"),
        config: Some(format!("/etc/postgresql/15/{cluster}")),
        bin: "/usr/lib/postgresql/15/bin".into(),
        port,
        user: "postgres".into(),
    };
    let crm = Database {
        name: "crm-db".into(),
        title: Some("База CRM".into()),
        hosts: Selector { text: "role=db".into(), terms: vec![Term::In("role".into(), vec!["db".into()])] },
        spot: spot("crm-db", "main", 5432),
        replication: Replication {
            user: "replicator".into(),
            password: Some("replication".into()),
            slots: true,
            sync: false,
        },
        patroni: None,
    };
    let led = Database {
        name: "led-db".into(),
        title: None,
        spot: spot("led-db", "led", 5433),
        patroni: Some(Patroni {
            url: "http://{{ host.address }}:8008".into(),
            user: Some("patroni".into()),
            password: Some("patroni-api".into()),
            ca: None,
        }),
        ..crm.clone()
    };
    [crm, led].into_iter().map(|database| (database.name.clone(), database)).collect()
}
