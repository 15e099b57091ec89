//! Certificates of the lab, for tests.

use super::{Acme, By, CertPlace, Certificate, Challenge, Due, Issuer, IssuerKind, Profile, Selector, Term};
use crate::base::{Algorithm, Keystore};
use std::collections::BTreeMap;

/// An own CA, people, and servers of ACME by each way to prove a name.
pub(super) fn issuers() -> BTreeMap<String, Issuer> {
    let house = IssuerKind::Ca {
        folder: "ca".into(),
        password: "ca-key".into(),
        days: 90,
        profile: Profile::Server,
        crl: None,
    };
    let corp = IssuerKind::Csr { note: Some("Send it to the PKI desk".into()) };
    let acme = |name: &str, challenge: Challenge| {
        let directory = "https://127.0.0.1:14000/dir".to_owned();
        (name.to_owned(), IssuerKind::Acme(Acme { directory, ca: None, contact: vec![], eab: None, challenge }))
    };
    let lb = || Selector { text: "role=lb".into(), terms: vec![Term::In("role".into(), vec!["lb".into()])] };
    let by_acme = [
        acme("acme", Challenge::Dns),
        acme("acme-root", Challenge::Webroot { hosts: lb(), root: "/srv/acme".into() }),
        acme("acme-port", Challenge::Responder { hosts: lb(), port: 5002 }),
    ];
    let by_acme = by_acme.map(|(name, kind)| (name.clone(), Issuer { name, kind, trust: None }));
    let issuer = |(name, kind): (&str, IssuerKind)| (name.to_owned(), Issuer { name: name.into(), kind, trust: None });
    [("house", house), ("corp", corp)].into_iter().map(issuer).chain(by_acme).collect()
}

/// `billing-tls` on the app hosts by `house`, `corp-tls` on two places of the balancer by `corp`, `front-tls` which an app
/// there reads at its start, `pair` whose key all hosts share, one by each way of ACME, `shop` and `watched` which nobody issues.
pub(super) fn certificates() -> BTreeMap<String, Certificate> {
    let place = |role: &str, store: Option<Keystore>, app: Option<&str>| CertPlace {
        hosts: store.is_some().then(|| Selector {
            text: format!("role={role}"),
            terms: vec![Term::In("role".into(), vec![role.into()])],
        }),
        store,
        mode: None,
        owner: None,
        group: None,
        app: app.map(str::to_owned),
        by: By::Reload,
        served: vec![],
    };
    let certificate = |name: &str, names: &[&str], issuer: Option<&str>, places: Vec<CertPlace>| Certificate {
        name: name.into(),
        title: None,
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        issuer: issuer.map(str::to_owned),
        shared: false,
        algorithm: Algorithm::P256,
        renew: Due::Share(33),
        warn: None,
        crit: None,
        trust: None,
        places,
    };
    let files =
        |folder: &str| Some(Keystore::Files { cert: format!("{folder}/tls.crt"), key: format!("{folder}/tls.key") });
    let served = |at: &str, place: CertPlace| CertPlace { served: vec![at.into()], ..place };
    let on_apps = vec![served("{{ host.address }}:8443", place("app", files("/etc/billing"), Some("billing")))];
    let front = Some(Keystore::Pem("/etc/haproxy/front.pem".into()));
    let front = CertPlace { by: By::Restart, mode: Some(0o640), ..place("lb", front, Some("lonely")) };
    let everywhere = [("app", "/etc/pair"), ("lb", "/etc/pair"), ("lb", "/etc/second")];
    let everywhere = everywhere.map(|(role, folder)| place(role, files(folder), None)).to_vec();
    let shared = certificate("pair", &["billing.lab.test"], Some("house"), everywhere);
    let watched = vec![served("shop.lab.test:443", place("app", files("/etc/shop"), None))];
    let on_lb = vec![
        place("lb", Some(Keystore::Pem("/etc/haproxy/certs/corp.pem".into())), None),
        place("lb", files("/etc/corp"), None),
    ];
    [
        certificate("billing-tls", &["{{ host.name }}.lab.test", "billing.lab.test"], Some("house"), on_apps),
        certificate("corp-tls", &["corp.lab.test"], Some("corp"), on_lb),
        certificate("front-tls", &["front.lab.test"], Some("house"), vec![front]),
        Certificate { shared: true, ..shared },
        certificate(
            "dns-tls",
            &["{{ host.name }}.lab.test"],
            Some("acme"),
            vec![place("app", files("/etc/acme"), None)],
        ),
        certificate("root-tls", &["web.lab.test"], Some("acme-root"), vec![place("app", files("/etc/root"), None)]),
        certificate("port-tls", &["web.lab.test"], Some("acme-port"), vec![place("app", files("/etc/port"), None)]),
        certificate("shop", &[], None, vec![served("shop.example.org:443", place("", None, None))]),
        certificate("watched", &[], None, watched),
    ]
    .into_iter()
    .map(|certificate| (certificate.name.clone(), certificate))
    .collect()
}
