use super::*;
use crate::inventory::read::parse;
use std::collections::BTreeMap;

/// The lab's own pair, with all that a service can have.
pub(in crate::verbs) fn lab() -> Inventory {
    let text = r#"
project: crm
secrets: {replication: {env: REPLICATION}, billing-db: {env: BILLING}}
sites: {dc1: {}, dc2: {}}
hosts:
  dc1-app1: {site: dc1, address: 10.77.0.11, labels: {role: app}}
  dc2-app1: {site: dc2, address: 10.77.0.21, labels: {role: app}}
  dc1-db1: {site: dc1, address: 10.77.0.13, labels: {role: db}}
  dc2-db1: {site: dc2, address: 10.77.0.23, labels: {role: db}}
  lb: {address: 10.77.0.5, labels: {role: lb}}
apps: {billing: {hosts: role=app, manager: {systemd: billing.service}}}
balancers: {front: {haproxy: {host: lb, socket: /run/haproxy/admin.sock}}}
zones: {lab.test: {server: "10.77.0.5:53"}}
databases:
  crm-db:
    hosts: role=db
    postgres: {cluster: 15/main, port: 5432, user: postgres}
    replication: {user: "repl:icator", password: replication}
services:
  crm:
    title: CRM
    sites: [dc1, dc2]
    rpo: 0B
    probe: {postgres: {address: "10.77.0.5:5432", database: billing, user: billing, password: billing-db}}
    fence: [{name: power, at: lb, run: "power-off {{ site }}"}, {name: switch, at: dc2-app1, site: dc1, run: unplug}]
    parts:
      - balancer: {name: front, backend: crm-db, servers: role=db}
      - app: billing
      - jobs: {hosts: role=app, timers: [settle.timer]}
      - database: crm-db
      - record: {zone: lab.test, name: crm, type: A, values: {dc1: 10.77.0.13, dc2: 10.77.0.23}, ttl: 5s}
      - command: {name: licence, hosts: role=app, stop: leave, start: arrive, status: here}
"#;
    let files = BTreeMap::from([("svcops.yaml".to_owned(), text.to_owned())]);
    let (inventory, faults) = parse("svcops.yaml", &files);
    assert!(faults.0.is_empty(), "{faults:?}");
    inventory.unwrap()
}

#[test]
fn a_fence_is_put_in_place_file_by_file_and_tried_at_the_end() {
    let text = compose(&lab(), "crm").unwrap();
    let (before, rest) = text.split_once("    content: |\n      #!/bin/sh\n").unwrap();
    let (settings, rest) = rest.split_once("\n\n").unwrap();
    let (_, after) = rest.split_once("    dest: /usr/local").unwrap();
    insta::assert_snapshot!(before, @r#"
    svcops: 1
    name: failover-prepare-crm
    title: "Prepare CRM for a failover: the boot fence of crm-db"
    targets: role=db
    steps:
    - name: The password of replication, for libpq
      file.copy:
        content: |
          *:5432:*:repl\:icator:{{ secret('replication', 'pgpass') }}
        dest: /var/lib/postgresql/15/.svcops-crm-db.pgpass
        mode: "0600"
        owner: postgres
    - name: The folder of the boot fence
      command:
        run:
        - mkdir
        - -p
        - /usr/local/lib/svcops
        unless:
        - test
        - -d
        - /usr/local/lib/svcops
      touches:
      - file:/usr/local/lib/svcops
      undo:
      - name: The folder of the boot fence, where it is empty
        command:
        - rmdir
        - --ignore-fail-on-non-empty
        - /usr/local/lib/svcops
        touches:
        - file:/usr/local/lib/svcops
    - name: The boot fence
      file.copy:
    "#);
    insta::assert_snapshot!(settings, @r"
    me='{{ host.name }}'
    hosts='dc1-db1 10.77.0.13
    dc2-db1 10.77.0.23'
    service=crm
    database=crm-db
    unit=postgresql@15-main.service
    data=/var/lib/postgresql/15/main
    bin=/usr/lib/postgresql/15/bin
    port=5432
    owner=postgres
    user=repl:icator
    passfile=/var/lib/postgresql/15/.svcops-crm-db.pgpass
    run_dir=/run/svcops
    self=/usr/local/lib/svcops/boot-fence-crm-db
    ");
    insta::assert_snapshot!(after, @r#"
    /lib/svcops/boot-fence-crm-db
        mode: "0755"
        owner: root
        group: root
        validate: /bin/sh -n %s
    - name: The folder of drop-ins of postgresql@15-main.service
      command:
        run:
        - mkdir
        - -p
        - /etc/systemd/system/postgresql@15-main.service.d
        unless:
        - test
        - -d
        - /etc/systemd/system/postgresql@15-main.service.d
      touches:
      - file:/etc/systemd/system/postgresql@15-main.service.d
      undo:
      - name: The folder of drop-ins of postgresql@15-main.service, where it is empty
        command:
        - rmdir
        - --ignore-fail-on-non-empty
        - /etc/systemd/system/postgresql@15-main.service.d
        touches:
        - file:/etc/systemd/system/postgresql@15-main.service.d
    - name: The unit asks the boot fence before it starts
      file.copy:
        content: |
          # svcops put this here: `svcops failover prepare`
          [Unit]
          After=network-online.target
          [Service]
          ExecStartPre=+/bin/sh /usr/local/lib/svcops/boot-fence-crm-db check
          ExecStartPost=+/bin/sh /usr/local/lib/svcops/boot-fence-crm-db after
        dest: /etc/systemd/system/postgresql@15-main.service.d/svcops-boot-fence.conf
        mode: "0644"
        owner: root
        group: root
      then:
      - name: systemd reads its units again
        command:
        - systemctl
        - daemon-reload
        touches:
        - unit:postgresql@15-main.service
    - name: Can it ask the others?
      check.command:
        run:
        - /bin/sh
        - /usr/local/lib/svcops/boot-fence-crm-db
        - ask
    "#);
}

#[test]
fn what_has_no_fence_is_told_why() {
    let said = |inventory: &Inventory, name: &str| compose(inventory, name).unwrap_err().to_string();
    let mut inventory = lab();
    assert_eq!(said(&inventory, "crn"), "svcops.yaml has no service `crn`; did you mean `crm`?");
    inventory.databases.get_mut("crm-db").unwrap().patroni =
        Some(crate::inventory::services::Patroni { url: "http://x".into(), user: None, password: None, ca: None });
    assert_eq!(
        said(&inventory, "crm"),
        "database `crm-db` is managed by Patroni, which starts no primary without its lease"
    );
    inventory.services.get_mut("crm").unwrap().parts.clear();
    assert_eq!(said(&inventory, "crm"), "service `crm` has no database among its parts");
}

#[test]
fn what_lies_on_a_host_afterwards_is_known_without_a_look() {
    let inventory = lab();
    let (service, database) = find(&inventory, "crm").unwrap();
    let runbook: Value = serde_yaml::from_str(&compose(&inventory, "crm").unwrap()).unwrap();
    let copied = |dest: &str| {
        let mut copies = runbook["steps"].as_array().unwrap().iter().map(|step| &step["file.copy"]);
        let text = copies.find(|copy| copy["dest"] == dest).unwrap()["content"].as_str().unwrap().to_owned();
        assert_eq!(text.matches("{{").count(), text.matches(OWN_NAME).count(), "{text}");
        text.replace(OWN_NAME, "dc2-db1")
    };
    let [fence, drop_in] = places(database);
    let host = inventory.host("dc2-db1").unwrap();
    assert_eq!(texts(&inventory, service, database, host), [copied(&fence), copied(&drop_in)]);
    assert!(copied(&fence).contains("me='dc2-db1'\n"));
}
