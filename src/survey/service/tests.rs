use super::*;
use crate::{
    base::{
        HttpFacts, Lsn, PgControl, PgSlot, PgSql, PgStandby, RecordFacts, RecordSet, RunFacts, ServerFacts,
        ServerState, UnitFacts, UnitState,
    },
    inventory,
    transport::{Links, Simulated},
};
use std::collections::{BTreeMap, BTreeSet};

/// A CRM at two sites with a part of every kind.
const CRM: &str = r#"
project: crm
sites: {dc1: {}, dc2: {}}
ssh: {user: ops, become: sudo}
secrets: {tsig: {env: TSIG}}
hosts:
  dc1-app1: {site: dc1, address: 10.77.0.11, labels: {role: app}}
  dc1-app2: {site: dc1, address: 10.77.0.12, labels: {role: app}}
  dc1-db1: {site: dc1, address: 10.77.0.13, labels: {role: db}}
  dc2-app1: {site: dc2, address: 10.77.0.21, labels: {role: app}}
  dc2-app2: {site: dc2, address: 10.77.0.22, labels: {role: app}}
  dc2-db1: {site: dc2, address: 10.77.0.23, labels: {role: db}}
  lb: {address: 10.77.0.5}
balancers:
  front: {haproxy: {socket: /run/haproxy/admin.sock, host: lb}}
zones:
  lab.test: {server: "10.77.0.5:53", servers: ["10.77.0.5:53", "10.77.0.6:53"], key: {name: k, algorithm: hmac-sha256, secret: tsig}}
apps:
  billing:
    title: Биллинг
    hosts: role=app
    manager: {systemd: billing.service}
    health: {http: "http://{{ host.address }}:8080/health"}
  portal: {hosts: role=app, manager: {systemd: portal.service}}
databases:
  crm-db:
    hosts: role=db
    postgres: {cluster: 15/main}
    replication: {user: replicator}
services:
  crm:
    title: Учёт клиентов
    sites: [dc1, dc2]
    rpo: 16MB
    rto: 30s
    parts:
      - balancer: {name: front, backend: crm-db, servers: role=db}
      - app: billing
      - app: {name: portal, runs: both}
      - jobs: {hosts: role=app, timers: [settle.timer], cron: [settle]}
      - database: crm-db
      - record: {zone: lab.test, name: crm, type: A, values: {dc1: 10.77.0.13, dc2: 10.77.0.23}, ttl: 5s}
      - command: {name: licence, hosts: role=app, stop: "licence off", start: "licence on", status: "licence status"}
  web:
    sites: [dc1, dc2]
    rpo: 0B
    parts:
      - record: {zone: lab.test, name: web, type: A, values: {dc1: 10.77.0.11, dc2: 10.77.0.21}}
      - app: {name: portal, runs: both}
"#;

/// Its inventory.
pub(crate) fn crm() -> Inventory {
    let (inventory, faults) =
        inventory::parse("svcops.yaml", &BTreeMap::from([("svcops.yaml".to_owned(), CRM.to_owned())]));
    assert_eq!(faults.0, []);
    inventory.unwrap()
}

/// A world in which a service is active at dc1; tests change what they are about.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) silent: BTreeMap<&'static str, &'static str>,
    pub(crate) pg: BTreeMap<&'static str, Result<PgFacts, &'static str>>,
    /// The servers that take traffic.
    pub(crate) servers: BTreeSet<&'static str>,
    /// `HOST UNIT` that runs, `HOST /etc/cron.d/X` that is there, `HOST` for the licence.
    pub(crate) on: BTreeSet<String>,
    pub(crate) sick: BTreeSet<&'static str>,
    pub(crate) record: RecordFacts,
}

impl World {
    pub(crate) fn well() -> Self {
        let mut on = BTreeSet::new();
        for host in ["dc1-app1", "dc1-app2"] {
            for what in ["billing.service", "settle.timer", "/etc/cron.d/settle", "licence"] {
                on.insert(format!("{host} {what}"));
            }
        }
        for host in ["dc1-app1", "dc1-app2", "dc2-app1", "dc2-app2"] {
            on.insert(format!("{host} portal.service"));
        }
        Self {
            silent: BTreeMap::new(),
            pg: BTreeMap::from([("dc1-db1", Ok(primary())), ("dc2-db1", Ok(standby()))]),
            servers: BTreeSet::from(["dc1-db1"]),
            on,
            sick: BTreeSet::new(),
            record: RecordFacts { primary: values(&["10.77.0.13"], 5), ..RecordFacts::default() },
        }
    }
    pub(crate) fn pg(&mut self, host: &'static str) -> &mut PgFacts {
        self.pg.get_mut(host).unwrap().as_mut().unwrap()
    }
    fn answer(&self, read: &At<Read>) -> Answer {
        let host = read.at.host.as_ref().map_or("here", HostName::as_str);
        let is_on = |what: &str| self.on.contains(&format!("{host} {what}"));
        match &read.what {
            Read::Postgres(_) => match &self.pg[host] {
                Ok(facts) => Answer::Postgres(Box::new(facts.clone())),
                Err(why) => Answer::Bad((*why).to_owned()),
            },
            Read::Unit { name } => {
                let state = if is_on(name) { UnitState::Active } else { UnitState::Inactive };
                Answer::Unit(UnitFacts { loaded: true, state, ..UnitFacts::default() })
            }
            Read::File { path } => Answer::File(is_on(path).then(|| crate::base::FileFacts {
                hash: crate::base::Hash::of(b""),
                size: 0,
                mode: 0o644,
                owner: "root".into(),
                group: "root".into(),
                link: None,
            })),
            Read::Run(_) => {
                let code = Some(i32::from(!is_on("licence")));
                Answer::Run(RunFacts { code, ..RunFacts::default() })
            }
            Read::Http(ask) => {
                let sick = self.sick.iter().any(|address| ask.url.contains(address));
                Answer::Http(HttpFacts { status: Some(if sick { 503 } else { 200 }), ..HttpFacts::default() })
            }
            Read::Server { server, .. } => {
                let takes = self.servers.contains(server.as_str());
                let state = if takes { ServerState::Ready } else { ServerState::Maint };
                Answer::Server(ServerFacts { state, sessions: 0, up: takes })
            }
            Read::Record(_) => Answer::Record(self.record.clone()),
            other => Answer::Bad(format!("nobody asks this: {other:?}")),
        }
    }
    /// A service of it as seen.
    pub(crate) fn seen(&self, inventory: &Inventory, service: &str) -> Seen {
        let asked = Asked::of(inventory, &inventory.services[service]);
        let silent = self.silent.iter().map(|(host, why)| (HostName::new(*host), (*why).to_owned())).collect();
        let answers = asked.reads().map(|read| (read.clone(), self.answer(read))).collect();
        asked.seen(&Told { answers, silent }, None)
    }
}

pub(crate) fn values(values: &[&str], ttl: u32) -> RecordSet {
    RecordSet { values: values.iter().map(|v| (*v).to_owned()).collect(), ttl: Some(ttl) }
}

pub(crate) fn primary() -> PgFacts {
    PgFacts {
        running: true,
        control: Some(PgControl {
            system: "7300000000000000001".into(),
            state: PgState::InProduction,
            timeline: 3,
            checkpoint: Lsn(0x300_0028),
            recovered: Lsn(0),
        }),
        sql: Some(PgSql {
            written: Some(Lsn(0x310_0000)),
            standbys: vec![PgStandby {
                name: "dc2_db1".into(),
                address: "10.77.0.23".into(),
                state: "streaming".into(),
                flushed: Some(Lsn(0x310_0000)),
                replayed: Some(Lsn(0x310_0000)),
                ..PgStandby::default()
            }],
            slots: vec![PgSlot { name: "dc2_db1".into(), active: true }],
            ..PgSql::default()
        }),
        version: 15,
        free: Some(40 << 30),
        boot_fence: true,
        ..PgFacts::default()
    }
}

pub(crate) fn standby() -> PgFacts {
    PgFacts {
        running: true,
        standby: true,
        control: Some(PgControl {
            state: PgState::InArchiveRecovery,
            recovered: Lsn(0x30F_0000),
            ..primary().control.unwrap()
        }),
        sql: Some(PgSql {
            recovery: true,
            received: Some(Lsn(0x310_0000)),
            replayed: Some(Lsn(0x310_0000)),
            streams_from: Some("10.77.0.13".into()),
            ..PgSql::default()
        }),
        version: 15,
        free: Some(40 << 30),
        boot_fence: true,
        ..PgFacts::default()
    }
}

/// Its place, its level, and its problems.
fn said(world: &World, service: &str) -> (Active, Level, Vec<String>) {
    let seen = world.seen(&crm(), service);
    let problems = seen.problems.iter().map(|p| p.says.clone()).collect();
    (seen.active.clone(), seen.level(), problems)
}

fn dc1() -> Active {
    Active::At("dc1".into())
}

#[test]
fn a_service_that_is_well_is_at_the_site_of_its_primary_with_all_its_parts() {
    let world = World::well();
    assert_eq!(said(&world, "crm"), (dc1(), Level::Ok, vec![]));
    let seen = world.seen(&crm(), "crm");
    let parts: Vec<String> = seen
        .parts
        .iter()
        .map(|part| format!("{} {}: {} | {}", part.kind, part.name, part.at["dc1"].says, part.at["dc2"].says))
        .collect();
    assert_eq!(
        parts,
        [
            "balancer front/crm-db: takes traffic | none: maintenance",
            "app billing: 2 of 2 run | none of 2 runs",
            "app portal: 2 of 2 run | 2 of 2 run",
            "jobs settle.timer, settle: 4 of 4 on | none of 4 on",
            "database crm-db: primary | standby",
            "record crm.lab.test: points here, TTL 5s | -",
            "command licence: 2 of 2 active | none of 2 active",
        ]
    );
    assert_eq!(seen.primary().map(|node| node.host.as_str()), Some("dc1-db1"));
    assert_eq!(
        seen.database.unwrap().lag,
        Some(Lag { bytes: 0, time: Some(crate::base::Span::secs(0)), in_flight: false })
    );
}

#[test]
fn two_primaries_are_told_first_and_no_place_is_named() {
    let mut world = World::well();
    world.pg("dc2-db1").sql = primary().sql;
    world.sick.insert("10.77.0.11");
    let (active, level, problems) = said(&world, "crm");
    assert_eq!((active, level), (Active::Both, Level::Critical));
    assert!(problems[0].starts_with("TWO PRIMARIES: `dc1-db1`, `dc2-db1` accept writes"), "{problems:?}");
    assert!(world.seen(&crm(), "crm").primary().is_none());
}

#[test]
fn a_primary_that_does_not_answer_may_be_a_second_one() {
    let mut world = World::well();
    *world.pg("dc2-db1") = PgFacts { sql: None, silent: Some("timed out".into()), ..primary() };
    let (active, level, problems) = said(&world, "crm");
    assert_eq!((active, level), (dc1(), Level::Critical));
    assert!(problems[0].starts_with("`dc2-db1` may be a second primary"), "{problems:?}");
}

#[test]
fn what_is_not_seen_is_never_guessed() {
    let mut world = World::well();
    world.silent.insert("dc1-db1", "connection timed out");
    let (active, level, problems) = said(&world, "crm");
    let Active::Unknown(why) = active else { panic!("{active:?}") };
    assert_eq!(why, "no primary was seen, and `dc1-db1` could not be seen: connection timed out");
    assert_eq!(level, Level::Unknown);
    assert!(problems.iter().any(|p| p == "`dc1-db1` could not be reached: connection timed out"), "{problems:?}");

    // the standby out of reach: the primary is seen all the same
    let mut world = World::well();
    world.silent.insert("dc2-db1", "no route to host");
    let (active, level, problems) = said(&world, "crm");
    assert_eq!((active, level, problems.len()), (dc1(), Level::Unknown, 1), "{problems:?}");

    // it could be asked, and did not answer
    let mut world = World::well();
    *world.pg("dc1-db1") = PgFacts { sql: None, silent: Some("sudo: a password is required".into()), ..standby() };
    let (active, ..) = said(&world, "crm");
    let Active::Unknown(why) = active else { panic!("{active:?}") };
    assert!(why.contains("`dc1-db1` runs and does not answer: sudo: a password is required"), "{why}");
    world.pg.insert("dc1-db1", Err("pg_controldata: not found"));
    assert!(matches!(said(&world, "crm").0, Active::Unknown(_)));
}

#[test]
fn without_a_primary_anywhere_a_service_is_active_nowhere() {
    let mut world = World::well();
    *world.pg("dc1-db1") = PgFacts { running: false, masked: true, sql: None, ..primary() };
    let (active, level, problems) = said(&world, "crm");
    assert_eq!((active, level), (Active::Nowhere, Level::Critical));
    assert!(problems[0].starts_with("NO PRIMARY"), "{problems:?}");
    let seen = world.seen(&crm(), "crm");
    let database = seen.parts.iter().find(|p| p.kind == "database").unwrap();
    assert_eq!((&*database.at["dc1"].says, database.at["dc1"].lives), ("down, masked", Lives::No));
}

#[test]
fn a_part_at_the_other_site_alone_splits_the_service_and_one_at_both_is_named() {
    let mut world = World::well();
    world.servers = BTreeSet::from(["dc2-db1"]);
    world.record.primary = values(&["10.77.0.23"], 5);
    let (active, level, problems) = said(&world, "crm");
    let elsewhere = vec!["balancer `front/crm-db`".to_owned(), "record `crm.lab.test`".to_owned()];
    assert_eq!((active, level), (Active::Split { at: "dc1".into(), elsewhere }, Level::Critical));
    assert_eq!(problems, ["SPLIT: it is active at `dc1`, and balancer `front/crm-db`, record `crm.lab.test` at `dc2`"]);

    let mut world = World::well();
    world.on.insert("dc2-app1 settle.timer".into());
    world.on.insert("dc2-app1 billing.service".into());
    let (active, level, problems) = said(&world, "crm");
    assert_eq!((active, level), (dc1(), Level::Critical));
    assert_eq!(
        problems,
        [
            "jobs `settle.timer, settle` is at both sites: at `dc1` 4 of 4 on, at `dc2` 1 of 4 on",
            "app `billing` is at both sites: at `dc1` 2 of 2 run, at `dc2` 1 of 2 runs",
        ]
    );
}

#[test]
fn lag_is_held_against_the_rpo_and_known_by_whoever_knows_more() {
    let mut world = World::well();
    world.pg("dc2-db1").sql.as_mut().unwrap().received = Some(Lsn(0x300_0000));
    // the primary was told of more than the standby said a moment before
    assert_eq!(said(&world, "crm").1, Level::Ok);
    let sql = world.pg("dc1-db1").sql.as_mut().unwrap();
    sql.written = Some(Lsn(0x510_0000));
    sql.standbys[0].flushed = Some(Lsn(0x30F_0000));
    let (_, level, problems) = said(&world, "crm");
    assert_eq!(level, Level::Warning);
    assert_eq!(problems, ["the standby is 32.0 MiB behind, RPO 16MB"]);
    world.pg("dc1-db1").sql.as_mut().unwrap().written = Some(Lsn(0x310_0000));
    assert_eq!(said(&world, "crm").1, Level::Ok, "within the RPO");
}

#[test]
fn a_standby_that_is_cut_off_its_slot_and_the_boot_fence_are_told_of() {
    let mut world = World::well();
    world.pg("dc2-db1").sql.as_mut().unwrap().streams_from = None;
    world.pg("dc2-db1").boot_fence = false;
    world.pg("dc1-db1").sql.as_mut().unwrap().slots.clear();
    let (active, level, problems) = said(&world, "crm");
    assert_eq!((active, level), (dc1(), Level::Warning));
    assert_eq!(
        problems,
        [
            "the standby `dc2-db1` does not stream: what is committed now is at `dc1` alone",
            "the primary has no slot `dc2_db1`: what `dc2-db1` misses for long is lost to it",
            "not ready for --forced: no boot fence on `dc2-db1`",
        ]
    );
}

#[test]
fn servers_of_a_zone_that_are_behind_are_named_with_what_they_answer() {
    let mut world = World::well();
    world.record.primary = values(&["10.77.0.13", "10.9.9.9"], 60);
    world.record.others = BTreeMap::from([("10.77.0.6:53".into(), values(&["10.77.0.23"], 5))]);
    let (_, level, problems) = said(&world, "crm");
    assert_eq!(level, Level::Warning);
    assert_eq!(
        problems,
        [
            "record `crm.lab.test` at `dc1`: points here, TTL 1m",
            "record `crm.lab.test`: `10.77.0.6:53` has `10.77.0.23`; clients may keep it for 1m, 5s is declared; it has `10.9.9.9`, of neither site",
        ]
    );
}

#[test]
fn without_a_database_a_service_is_where_its_name_points_to() {
    let mut world = World::well();
    world.record.primary = values(&["10.77.0.21"], 60);
    assert_eq!(said(&world, "web"), (Active::At("dc2".into()), Level::Ok, vec![]));
    world.record.primary = RecordSet::default();
    assert_eq!(said(&world, "web").0, Active::Nowhere);
    world.record.primary = values(&["10.77.0.21", "10.77.0.11"], 60);
    assert_eq!(said(&world, "web").0, Active::Both);
    world.record.primary = values(&["10.77.0.21"], 60);
    world.on.remove("dc1-app1 portal.service");
    assert_eq!(said(&world, "web").2, ["app `portal`: at `dc1` 1 of 2 runs"]);
}

#[test]
fn a_site_that_is_dead_is_told_in_one_line() {
    let mut world = World::well();
    for host in ["dc1-app1", "dc1-app2", "dc1-db1"] {
        world.silent.insert(host, "no route to host");
    }
    let (active, level, problems) = said(&world, "crm");
    assert!(matches!(active, Active::Unknown(_)));
    assert_eq!(level, Level::Unknown);
    let line = "site `dc1` is out of reach: `dc1-app1`, `dc1-app2`, `dc1-db1` could not be reached: no route to host";
    assert!(problems.iter().any(|p| p == line), "{problems:?}");
}

#[tokio::test]
async fn a_host_that_is_silent_keeps_nobody_from_seeing_the_others() {
    let (inventory, world) = (crm(), World::well());
    let simulated = Simulated::new(Links::of(&inventory));
    let service = &inventory.services["crm"];
    for read in Asked::of(&inventory, service).reads() {
        simulated.learn(read, &world.answer(read));
    }
    simulated.cut(&HostName::new("lb"));
    simulated.cut(&HostName::new("dc2-app1"));
    let seen = look(&simulated, &inventory, service).await;
    assert_eq!(
        seen.silent().map(|(host, why)| format!("{host}: {why}")).collect::<Vec<_>>(),
        ["dc2-app1: it does not answer"]
    );
    let front = seen.parts.iter().find(|part| part.kind == "balancer").unwrap();
    assert_eq!((front.at["dc1"].lives, front.note.as_deref()), (Lives::Unknown, Some("`lb`: it does not answer")));
}
