//! The lab as an inventory, for tests.

use super::{
    App, AppBalancer, AppRolling, Balancer, Health, HealthCheck, Host, Inventory, Mail, Manager, Selector, Share, Site,
    Ssh, Term,
};
use crate::base::{HaproxyApi, HostName, Smtp, Span, Tls, TsigHash, TsigKey, Zone};
use std::collections::BTreeMap;

/// Four app hosts at two sites, a balancer; `billing` is a unit behind it, `batch` is managed by commands and requires
/// `billing`, `lonely` is a unit without a health check on one host.
pub(crate) fn sample() -> Inventory {
    let host = |name: &str, site: Option<&str>, address: &str, role: &str| Host {
        name: HostName::new(name),
        site: site.map(str::to_owned),
        address: Some(address.into()),
        labels: BTreeMap::from([("role".into(), role.into())]),
        local: false,
        ssh: Ssh { user: Some("ops".into()), become_user: Some("root".into()), ..Ssh::default() },
    };
    let role =
        |role: &str| Selector { text: format!("role={role}"), terms: vec![Term::In("role".into(), vec![role.into()])] };
    let app = |name: &str, manager: Manager| App {
        name: name.into(),
        title: None,
        hosts: role("app"),
        manager,
        health: None,
        config: vec![],
        balancer: None,
        rolling: AppRolling { batch: Share::Number(1), min_healthy: 0 },
        requires: vec![],
    };
    let billing = App {
        title: Some("Биллинг".into()),
        health: Some(Health {
            check: HealthCheck::Http { url: "http://{{ host.address }}:8080/health".into(), status: 200, ca: None },
            within: Span::secs(30),
            from_host: false,
        }),
        config: vec!["/etc/billing/billing.conf".into()],
        balancer: Some(AppBalancer { name: "front".into(), backend: "billing".into(), server: None }),
        rolling: AppRolling { batch: Share::Number(1), min_healthy: 1 },
        ..app("billing", Manager::Systemd("billing.service".into()))
    };
    let batch = App {
        requires: vec!["billing".into()],
        ..app(
            "batch",
            Manager::Command {
                start: "/opt/batch start".into(),
                stop: "/opt/batch stop".into(),
                status: "/opt/batch status".into(),
                reload: None,
            },
        )
    };
    let lonely = App { hosts: role("lb"), ..app("lonely", Manager::Systemd("lonely.service".into())) };
    let front = Balancer {
        name: "front".into(),
        host: Some(HostName::new("lb")),
        api: HaproxyApi::Socket("/run/haproxy/admin.sock".into()),
    };
    Inventory {
        project: "crm".into(),
        mail: Some(Mail {
            smtp: Smtp {
                server: "127.0.0.1:1025".into(),
                tls: Tls::None,
                login: None,
                ca: None,
                within: Span::secs(60),
            },
            from: "svcops@lab.test".into(),
        }),
        sites: BTreeMap::from([("dc1".into(), Site::default()), ("dc2".into(), Site::default())]),
        hosts: vec![
            host("dc1-app1", Some("dc1"), "10.77.0.11", "app"),
            host("dc1-app2", Some("dc1"), "10.77.0.12", "app"),
            host("dc2-app1", Some("dc2"), "10.77.0.21", "app"),
            host("dc2-app2", Some("dc2"), "10.77.0.22", "app"),
            host("dc1-db1", Some("dc1"), "10.77.0.13", "db"),
            host("dc2-db1", Some("dc2"), "10.77.0.23", "db"),
            host("lb", None, "10.77.0.5", "lb"),
        ],
        apps: [billing, batch, lonely].into_iter().map(|a| (a.name.clone(), a)).collect(),
        balancers: BTreeMap::from([("front".into(), front)]),
        zones: BTreeMap::from([("lab.test".into(), zone())]),
        issuers: super::sample_certs::issuers(),
        certificates: super::sample_certs::certificates(),
        databases: super::sample_databases::databases(),
        services: super::sample_services::services(),
        ..Inventory::default()
    }
}

/// The lab's own zone, with two servers.
fn zone() -> Zone {
    let server = "10.77.0.5:53".to_owned();
    let key = TsigKey { name: "svcops-lab".into(), algorithm: TsigHash::HmacSha256, secret: "tsig".into() };
    Zone { name: "lab.test".into(), servers: vec![server.clone(), "10.77.0.6:53".into()], server, key: Some(key) }
}
