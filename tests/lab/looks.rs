//! Certificates of hosts, looked at where they lie and where they are served. Nothing is changed there.

use crate::hosts::Lab;
use serde_json::Value;
use std::collections::BTreeMap;

const DECLARED: &str = "certificates:
  billing-tls:
    names: [billing.lab.test, \"{{ host.name }}.lab.test\"]
    trust: lab-ca.pem
    warn: 5d
    crit: 1d
    places:
      - {hosts: role=app, cert: /etc/billing/tls.crt, key: /etc/billing/tls.key, served: \"{{ host.address }}:8443\"}
";

#[test]
fn what_is_declared_is_read_on_its_hosts_and_where_it_is_served() {
    let Some(lab) = Lab::take("what_is_declared_is_read_on_its_hosts_and_where_it_is_served") else { return };
    for client in ["openssh", "native"] {
        let crm = lab.impatient(client);
        let inventory = std::fs::read_to_string(crm.root().join("svcops.yaml")).unwrap();
        crm.file("svcops.yaml", &(inventory + DECLARED));
        crm.file("lab-ca.pem", &lab.on("dc1-app1", "cat /etc/billing/ca.crt"));
        let check = crm.svcops(&["cert", "check", "-o", "json"]).exits(0);
        assert!(!check.to_string().contains("PRIVATE"), "{check}");
        let json = check.json();
        let serials: BTreeMap<&str, &Value> = json["places"]
            .as_array()
            .unwrap()
            .iter()
            .map(|place| (place["target"].as_str().unwrap(), &place["chain"][0]["serial"]))
            .collect();
        assert_eq!(serials.len(), 8, "{json}");
        for (host, address) in [("dc1-app1", "11"), ("dc1-app2", "12"), ("dc2-app1", "21"), ("dc2-app2", "22")]
            .map(|(h, a)| (h, format!("10.77.0.{a}:8443")))
        {
            let said = lab.on(host, "openssl x509 -in /etc/billing/tls.crt -noout -serial");
            let serial = said.trim().trim_start_matches("serial=").to_lowercase();
            assert_eq!(serials[format!("{host}:/etc/billing/tls.crt").as_str()], serial.as_str(), "{host}");
            assert_eq!(serials[address.as_str()], serial.as_str(), "{host}");
        }
        crm.svcops(&["cert", "check", "-l", "dc1-app1"]).exits(0).says("at 2 places");
        crm.svcops(&["cert", "check", "dc1-app1:/etc/billing/", "--ca", "lab-ca.pem", "--warn", "5d"])
            .exits(0)
            .says("2 certificates at 2 places");
        crm.svcops(&["cert", "check", "dc1-app1:/etc/billing/tls.key"]).exits(3).says("no certificate in it");
        if client == "openssh" {
            continue;
        }
        // one that is silent is told, and the others are looked at all the same
        lab.cut("dc2-app2");
        let silent = crm.svcops(&["cert", "check", "--timeout", "3s", "-o", "json"]).exits(3).json();
        lab.heal("dc2-app2");
        let of = |status: &str| silent["places"].as_array().unwrap().iter().filter(|p| p["status"] == status).count();
        assert_eq!((of("OK"), of("UNKNOWN")), (6, 2), "{silent}");
    }
}
