//! Certificates of real servers, renewed from an own authority.

use crate::{
    hosts::{APP_HOSTS, Lab},
    support::Project,
};
use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
};

/// What the language's own example has for the certificate that the lab's servers show.
const CERTIFICATES: &str = r#"
issuers:
  house: {ca: {folder: ca, password: ca-key}}
certificates:
  billing-tls:
    names: ["{{ host.name }}.lab.test", billing.lab.test, "{{ host.address }}"]
    issuer: house
    renew: 30d
    places:
      - hosts: role=app
        cert: /etc/billing/tls.crt
        key: /etc/billing/tls.key
        app: billing-tls
        served: "{{ host.address }}:8443"
"#;

/// The lab's project with an authority of its own; what the hosts have is kept, and brought back when the lab is let go.
fn house(lab: &Lab) -> Project {
    by(lab, CERTIFICATES)
}

/// The same with other certificates.
fn by(lab: &Lab, certificates: &str) -> Project {
    let crm = lab.crm();
    let project =
        include_str!("../data/crm/svcops.yaml").replace("  tsig: ", "  ca-key: {file: ca.password}\n  tsig: ");
    crm.file("svcops.yaml", &(project + certificates));
    crm.file("ca.password", "a password of the lab alone\n");
    crm.svcops(&["cert", "ca", "create", "house"]).exits(0);
    std::thread::scope(|scope| {
        for host in APP_HOSTS {
            let keep = "sudo mkdir -m 700 /var/tmp/svcops-tls && sudo cp -p /etc/billing/tls.* /var/tmp/svcops-tls";
            scope.spawn(move || lab.on(host, keep));
        }
    });
    crm
}

const ADDRESSES: [(&str, &str); 4] =
    [("dc1-app1", "10.77.0.11"), ("dc1-app2", "10.77.0.12"), ("dc2-app1", "10.77.0.21"), ("dc2-app2", "10.77.0.22")];

/// What each of them shows to OpenSSL: serial and issuer.
fn served() -> BTreeMap<&'static str, String> {
    let one = |address: &str| {
        let mut client = Command::new("openssl")
            .args(["s_client", "-connect", &format!("{address}:8443"), "-servername", "billing.lab.test"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let shown = client.stdout.take().unwrap();
        let said =
            Command::new("openssl").args(["x509", "-noout", "-serial", "-issuer"]).stdin(shown).output().unwrap();
        client.wait().unwrap();
        assert!(said.status.success(), "{address} shows nothing");
        String::from_utf8_lossy(&said.stdout).into_owned()
    };
    ADDRESSES.into_iter().map(|(host, address)| (host, one(address))).collect()
}

/// From now on no reload of the server of certificates comes to a good end there.
fn break_reload(lab: &Lab, host: &str) {
    let unit = "/etc/systemd/system/billing-tls.service.d";
    let text = "[Service]\\nExecReload=\\nExecReload=/bin/false\\n";
    lab.on(
        host,
        &format!("sudo mkdir {unit} && printf '{text}' | sudo tee {unit}/broken.conf && sudo systemctl daemon-reload"),
    );
}

/// No key and nothing else of a renewal lies where it does not belong.
fn nothing_is_left(lab: &Lab) {
    for host in APP_HOSTS {
        let left = lab.on(host, "sudo find /etc/billing -name '.*svcops*'; sudo stat -c %a /etc/billing/tls.key");
        assert_eq!(left, "600\n", "{host}");
    }
}

#[test]
fn a_certificate_is_renewed_node_by_node_and_twice_does_nothing() {
    let Some(lab) = Lab::take("a_certificate_is_renewed_node_by_node_and_twice_does_nothing") else { return };
    let crm = house(&lab);
    let before = served();

    crm.svcops(&["cert", "renew", "billing-tls", "--yes"]).exits(0).says("reload `billing-tls.service`");

    let after = served();
    for host in APP_HOSTS {
        assert_ne!(before[host], after[host], "{host}");
        assert!(after[host].contains("CN = crm house"), "{host}: {}", after[host]);
    }
    assert_eq!(after.values().collect::<std::collections::BTreeSet<_>>().len(), 4, "each has its own: {after:?}");
    nothing_is_left(&lab);

    let seen = lab.seen();
    crm.svcops(&["cert", "renew", "--yes"]).exits(0).says("nothing is due; next is `billing-tls` on `dc");
    // a saved one in cron does nothing either
    let saved = crm.svcops(&["cert", "renew", "--show"]).exits(0).stdout;
    crm.file("runbooks/certificates.yaml", &saved);
    crm.svcops(&["run", "runbooks/certificates.yaml", "--yes"]).exits(0).says("nothing to do");
    assert_eq!(lab.seen(), seen);
    assert_eq!(served(), after);
}

#[test]
fn a_key_that_all_nodes_share_is_one_and_lies_in_its_place_alone() {
    let Some(lab) = Lab::take("a_key_that_all_nodes_share_is_one_and_lies_in_its_place_alone") else { return };
    let shared = "names: [billing.lab.test]\n    key: shared";
    let names = r#"names: ["{{ host.name }}.lab.test", billing.lab.test, "{{ host.address }}"]"#;
    let crm = by(&lab, &CERTIFICATES.replace(names, shared));

    crm.svcops(&["cert", "renew", "billing-tls", "--force", "--yes"]).exits(0);

    let after = served();
    assert_eq!(after.values().collect::<std::collections::BTreeSet<_>>().len(), 1, "all show one: {after:?}");
    assert!(after["dc2-app2"].contains("CN = crm house"), "{after:?}");
    nothing_is_left(&lab);
    crm.svcops(&["cert", "renew", "--yes"]).exits(0).says("nothing is due");
}

#[test]
fn an_acme_server_gives_each_node_its_own_by_the_dns_and_over_http() {
    let Some(lab) = Lab::take("an_acme_server_gives_each_node_its_own_by_the_dns_and_over_http") else { return };
    lab.lab(&["service", "start", "pebble"]);
    let state = std::env::var("SVCOPS_LAB").unwrap();
    let issuer = |name: &str, challenge: &str| {
        format!(
            "  {name}: {{acme: {{directory: 'https://127.0.0.1:14000/dir', ca: {state}/ca/ca.crt, challenge: \
             {challenge}}}, trust: {state}/svc/pebble/issuer-root.pem}}\n"
        )
    };
    let issuers = format!(
        "\nzones:\n  lab.test: {{server: '10.77.0.5:53', key: {{name: svcops-lab, secret: tsig}}}}\nissuers:\n{}{}",
        issuer("dns", "{dns: true}"),
        issuer("http", "{http: {hosts: role=app, port: 5002}}")
    );
    let own = CERTIFICATES.replace(r#", billing.lab.test, "{{ host.address }}""#, "");
    let crm = by(&lab, &own.replace("\nissuers:\n", &issuers));
    let key = std::fs::read_to_string(format!("{state}/tsig.key")).unwrap();
    crm.file("../home/.config/svcops/tsig", key.split('"').nth(3).unwrap());
    let text = std::fs::read_to_string(crm.root().join("svcops.yaml")).unwrap();
    for way in ["dns", "http"] {
        let before = served();
        crm.file("svcops.yaml", &text.replace("issuer: house", &format!("issuer: {way}")));

        crm.svcops(&["cert", "renew", "billing-tls", "--force", "--yes"]).exits(0).says("reload `billing-tls.service`");

        let after = served();
        for host in APP_HOSTS {
            assert_ne!(before[host], after[host], "{way}: {host}");
            assert!(after[host].contains("Pebble"), "{way}: {host}: {}", after[host]);
        }
        assert_eq!(after.values().collect::<std::collections::BTreeSet<_>>().len(), 4, "each has its own: {after:?}");
        nothing_is_left(&lab);
        crm.svcops(&["cert", "check", "billing-tls"]).exits(0);
    }
}

#[test]
fn a_node_that_cannot_reload_serves_its_old_certificate_again_and_the_others_by_the_scope() {
    let name = "a_node_that_cannot_reload_serves_its_old_certificate_again_and_the_others_by_the_scope";
    let Some(lab) = Lab::take(name) else { return };
    let crm = house(&lab);
    let (before, files) = (served(), lab.seen());
    break_reload(&lab, "dc2-app1");

    // the whole run goes back
    crm.svcops(&["cert", "renew", "billing-tls", "--yes"]).exits(1);
    assert_eq!(served(), before);
    // but for the time of their last change
    let content = |seen: &str| -> Vec<String> {
        let fields = |line: &str| {
            line.split(' ').enumerate().filter(|(at, _)| *at != 4).map(|(_, f)| f).collect::<Vec<_>>().join(" ")
        };
        let mut lines: Vec<String> = seen.lines().map(fields).collect();
        lines.sort();
        lines
    };
    for host in APP_HOSTS {
        assert_eq!(content(&lab.seen_on(host).files), content(&files[host].files), "{host}");
    }
    nothing_is_left(&lab);

    // only that node does
    let saved = crm.svcops(&["cert", "renew", "--show"]).exits(0).stdout;
    crm.file("runbooks/certificates.yaml", &format!("{saved}on_failure: {{do: rollback, scope: host}}\n"));
    crm.svcops(&["run", "runbooks/certificates.yaml", "--yes"]).exits(3);
    let after = served();
    for host in APP_HOSTS {
        assert_eq!(after[host] == before[host], host == "dc2-app1", "{host}: {after:?}");
    }
    nothing_is_left(&lab);
}
