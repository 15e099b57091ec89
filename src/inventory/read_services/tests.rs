use super::{super::parse, *};

const HOUSE: &str = r#"project: p
secrets: {tsig: {env: TSIG}, replication: {env: REP}, billing-db: {env: DB}}
sites: {dc1: {}, dc2: {}}
hosts:
  dc1-app[1-2]: {site: dc1, labels: {role: app}}
  dc2-app[1-2]: {site: dc2, labels: {role: app}}
  dc1-db1: {site: dc1, address: 10.77.0.13, labels: {role: db}}
  dc2-db1: {site: dc2, address: 10.77.0.23, labels: {role: db}}
  lb: {labels: {role: lb}}
apps: {billing: {hosts: role=app, manager: {systemd: billing.service}}}
balancers: {front: {haproxy: {host: lb, socket: /run/haproxy/admin.sock}}}
zones: {lab.test: {server: "10.77.0.5:53", key: {name: svcops, secret: tsig}}}
"#;

const DATABASE: &str = "databases:
  crm-db:
    hosts: role=db
    postgres: {cluster: 15/main}
    replication: {user: replicator}
";

fn read(more: &str) -> (Option<Inventory>, Vec<String>) {
    let text = format!("{HOUSE}{more}");
    let (inventory, faults) = parse("svcops.yaml", &BTreeMap::from([("svcops.yaml".to_owned(), text)]));
    let line = |f: &Fault| f.spot.line.cast_signed() - HOUSE.lines().count().cast_signed();
    (inventory, faults.0.iter().map(|f| format!("{}:{} {}", line(f), f.spot.column, f.message)).collect())
}

#[test]
fn a_database_and_a_service_are_read_with_all_that_they_say() {
    let (inventory, faults) = read(
        r#"databases:
  crm-db:
    hosts: role=db
    postgres: {cluster: 15/main, port: 5433, user: postgres}
    replication: {user: replicator, password: replication, slots: true, mode: async}
    patroni: {url: "http://{{ host.address }}:8008"}
services:
  crm:
    title: CRM
    sites: [dc1, dc2]
    rpo: 0B
    rto: 30s
    probe: {postgres: {address: "10.77.0.5:5432", database: billing, user: billing, password: billing-db}, every: 20ms}
    fence: [{name: power, at: lb, run: "power-off {{ site }}"}]
    parts:
      - balancer: {name: front, backend: crm-db, servers: role=db}
      - app: billing
      - app: {name: billing, runs: both}
      - jobs: {hosts: role=app, timers: [settle.timer], cron: [settle]}
      - database: crm-db
      - record: {zone: lab.test, name: crm, type: A, values: {dc1: 10.77.0.13, dc2: [10.77.0.23]}, ttl: 5s}
      - command: {name: licence, hosts: role=app, stop: "a", start: "b", status: "c"}
"#,
    );
    assert_eq!(faults, Vec::<String>::new());
    let inventory = inventory.unwrap();
    let database = &inventory.databases["crm-db"];
    assert_eq!(
        (database.spot.unit.as_str(), database.spot.data.as_str(), database.spot.port),
        ("postgresql@15-main.service", "/var/lib/postgresql/15/main", 5433)
    );
    assert_eq!(database.spot.config.as_deref(), Some("/etc/postgresql/15/main"));
    assert_eq!(database.spot.bin, "/usr/lib/postgresql/15/bin");
    assert_eq!(database.passfile().as_deref(), Some("/var/lib/postgresql/15/.svcops-crm-db.pgpass"));
    let host = database.at(&inventory, "dc2").unwrap();
    assert_eq!(database.patroni_on(host).unwrap().as_deref(), Some("http://10.77.0.23:8008"));
    let service = &inventory.services["crm"];
    assert_eq!((service.rpo, service.rto, service.other("dc1")), (Rpo::Bytes(0), Some(Span::secs(30)), Some("dc2")));
    assert_eq!(service.database(&inventory), Some(database));
    let probe = service.probe.as_ref().unwrap();
    assert_eq!((probe.every.to_string(), probe.within), ("20ms".to_owned(), Span::secs(1)));
    let titles: Vec<String> =
        service.parts.iter().map(Part::title).map(|(kind, name)| format!("{kind} {name}")).collect();
    assert_eq!(
        titles,
        [
            "balancer front/crm-db",
            "app billing",
            "app billing",
            "jobs settle.timer, settle",
            "database crm-db",
            "record crm.lab.test",
            "command licence",
        ]
    );
    assert!(matches!(service.parts[2], Part::App { both: true, .. }));
}

#[test]
fn a_cluster_that_is_not_laid_out_as_debian_does_says_each_place() {
    let (inventory, faults) = read(
        "databases:
  own:
    hosts: role=db
    postgres: {unit: pg, data: /srv/pg/, bin: /opt/pg/bin/}
    replication: {user: r, mode: sync, slots: false}
",
    );
    assert_eq!(faults, Vec::<String>::new());
    let own = &inventory.unwrap().databases["own"];
    assert_eq!((own.spot.unit.as_str(), own.spot.data.as_str()), ("pg.service", "/srv/pg"));
    assert_eq!((own.spot.bin.as_str(), own.spot.config.as_deref()), ("/opt/pg/bin", None));
    assert_eq!((own.replication.sync, own.replication.slots, own.passfile()), (true, false, None));
}

#[test]
fn all_that_is_wrong_with_databases_is_said_with_its_place() {
    let (_, faults) = read("databases:
  a: {hosts: role=db, postgres: {cluster: main}, replication: {user: r, mode: semi}}
  b: {hosts: role=none, postgres: {unit: pg}, replication: {password: nope}}
  c: {hosts: role=db, postgres: {cluster: 15/main, data: pg, port: 70000}, replication: {user: r}, patroni: {url: \"host:8008\", user: u}}
  d: {hosts: role=db, postgres: {cluster: 15/main, prot: 1}, replication: {user: r}, patroni: {url: \"http://{{ host.adress }}:8008\"}}
");
    insta::assert_snapshot!(faults.join("\n"), @r"
    2:34 `postgres:` has `cluster`, or `unit`, `data` and `bin`
    2:43 `main` is no cluster
    2:79 `semi` is none of `async`, `sync`
    3:14 `role=none` matches no host
    3:36 `postgres:` has `cluster`, or `unit`, `data` and `bin`
    3:61 `user` is missing: `replication:` needs it
    3:71 there is no secret `nope`
    4:58 `pg` is no absolute path
    4:68 70000 is no port
    4:110 `user` and `password` come together
    4:115 `host:8008` is no http:// or https:// address
    5:3 `http://{{ host.adress }}:8008` of database `d` cannot be filled in for `dc1-db1`: undefined value: `host.adress` is undefined (in <string>:1)
    5:52 unknown key `prot`
    ");
}

#[test]
fn all_that_is_wrong_with_services_is_said_with_its_place() {
    let (_, faults) = read(&format!("{DATABASE}services:
  a: {{sites: [dc1], rpo: none, parts: []}}
  b: {{sites: [dc1, dc3], rpo: 0B, probe: {{tcp: \"x:1\", http: \"http://x\"}}, parts: [{{app: biling}}, {{database: db}}, {{balancer: {{name: back, backend: x, servers: role=db}}}}]}}
  c:
    sites: [dc1, dc2]
    rpo: 0B
    probe: {{tcp: \"x:1\", status: 200, every: 0s}}
    fence: [{{name: power, at: dc1-db1, run: x}}]
    parts:
      - {{app: billing, database: crm-db}}
      - record: {{zone: lab.tst, name: crm, type: B, values: {{dc1: 10.0.0.1, dc4: 10.0.0.2}}}}
      - jobs: {{hosts: role=app, timers: [settle], cron: [settle.sh]}}
      - jobs: {{hosts: role=app}}
      - command: {{name: licence, hosts: role=nobody, stop: x, start: y}}
      - database: crm-db
      - database: crm-db
  d: {{sites: [dc1, dc2], rpo: 0B, parts: [{{balancer: {{name: front, backend: x, servers: role=lb}}}}]}}
  e: {{sites: [dc1, dc2], rpo: 0B, fence: [{{name: power, at: dc1-db1, run: x}}], parts: [{{database: crm-db}}]}}
  status: {{sites: [dc1, dc2], rpo: 0B, parts: [{{database: crm-db}}]}}
  app: {{sites: [dc1, dc2], rpo: 0B, parts: [{{database: crm-db}}]}}
"));
    insta::assert_snapshot!(faults.join("\n"), @r"
    7:14 a service moves between two sites
    7:26 `none` is neither bytes nor a span of time, such as 0B, 16MB or 5s
    7:39 a service has at least one part
    8:3 balancer `back/x` has no host at site `dc3`
    8:20 there is no site `dc3`
    8:43 a probe has one of `postgres`, `http`, `tcp`
    8:88 there is no app `biling`
    8:108 there is no database `db`
    8:131 there is no balancer `back`
    9:3 fence `power` runs at the site that it fences: on `dc1-db1`
    12:13 `status` and `ca` go with `http`
    12:45 no time at all
    15:7 a service has one database; what has two is two services
    15:10 a part is one of `database`, `app`, `balancer`, `record`, `jobs`, `command`
    16:24 there is no zone `lab.tst`
    16:50 `B` is none of `A`, `AAAA`, `CNAME`, `TXT`, `MX`, `SRV`, `PTR`
    16:61 there is no value for site `dc2`
    16:77 `dc4` is no site of this service
    17:42 `settle` is no timer: its name ends in `.timer`
    17:58 `settle.sh` is no name that cron reads in /etc/cron.d
    18:16 `jobs:` has `timers`, `cron`, or both
    19:19 `status` is missing: `command:` needs it
    19:41 `role=nobody` matches no host
    22:3 balancer `front/x` has no host at site `dc1`
    23:3 fence `power` runs at the site that it fences: on `dc1-db1`
    24:3 a service cannot be named `status`: svcops has a verb of that name
    25:3 a service cannot be named `app`: svcops has a verb of that name
    ");
}

#[test]
fn a_site_with_two_hosts_of_a_database_names_none_to_switch_to() {
    let more = "databases:
  wide: {hosts: \"role in (db,app)\", postgres: {cluster: 15/main}, replication: {user: r}}
services:
  s: {sites: [dc1, dc2], rpo: 0B, parts: [{database: wide}]}
";
    assert_eq!(read(more).1, ["4:3 database `wide` has several hosts at site `dc1`: one is switched to"]);
}
