//! A configuration with which the service does not start: found out at the first node, and taken back.

use crate::{
    client::Client,
    hosts::{APP_HOSTS, Lab, all_ready},
};

const BAD: &str = "svcops: 1
name: bad-configuration
title: Новая настройка, с которой служба не запустится
targets: dc1-app2
steps:
  - name: Node by node
    rolling: {batch: 1}
    steps:
      - {name: Drain, haproxy.drain: {balancer: front, backend: billing, server: '{{ host.name }}', within: 30s}}
      - name: New configuration
        file.copy: {content: 'плохо', dest: /etc/billing/fail-start}
        then: [{app.restart: {app: billing}}]
      - {name: Enable, haproxy.enable: {balancer: front, backend: billing, server: '{{ host.name }}'}}
";

#[test]
fn a_configuration_that_does_not_start_is_taken_back() {
    let Some(lab) = Lab::take("a_configuration_that_does_not_start_is_taken_back") else { return };
    let crm = lab.crm();
    crm.file("runbooks/bad.yaml", BAD);
    let before = lab.seen();

    let client = Client::start();
    let ended = crm.svcops(&["run", "runbooks/bad.yaml", "--yes"]).exits(1).says("dc1-app2");
    client.stop().none_failed();

    let after = lab.seen();
    for host in APP_HOSTS {
        assert_eq!(before[host].files, after[host].files, "{host}\n{ended}");
        assert!(after[host].unit.matches("ActiveState=active").count() == 2, "{host}: {}\n{ended}", after[host].unit);
    }
    assert_eq!(before["dc1-app1"], after["dc1-app1"], "the other node was never touched");
    assert_ne!(before["dc1-app2"].unit, after["dc1-app2"].unit, "it was started again");
    assert_eq!(Lab::balanced(), all_ready());
    assert_eq!(crm.newest()["outcome"], "rolled_back");
    crm.svcops(&["owed"]).exits(0).says("nothing");
}

#[test]
fn a_node_that_cannot_come_back_stays_drained_and_is_owed() {
    let Some(lab) = Lab::take("a_node_that_cannot_come_back_stays_drained_and_is_owed") else { return };
    let crm = lab.crm();
    lab.on("dc1-app2", "sudo touch /etc/billing/fail-start");

    let client = Client::start();
    let ended = crm.svcops(&["app", "restart", "billing", "--site", "dc1", "--yes"]).exits(3).says("dc1-app2");
    let answers = client.stop();

    answers.none_failed();
    let balanced = Lab::balanced();
    assert_ne!(balanced["dc1-app2"], "ready", "a dead node is never enabled\n{ended}");
    assert_eq!(balanced["dc1-app1"], "ready", "{ended}");
    assert_eq!(answers.hosts.last().map(String::as_str), Some("dc1-app1"), "it serves at the end");
    assert_eq!(crm.newest()["outcome"], "failed");
    crm.svcops(&["owed"]).says("dc1-app2");

    // Somebody repairs the node and does what is owed.
    lab.on("dc1-app2", "sudo rm /etc/billing/fail-start");
    crm.svcops(&["app", "restart", "billing", "-l", "dc1-app2", "--yes"]).exits(0);
    crm.svcops(&["owed"]).exits(0).says("nothing");
}
