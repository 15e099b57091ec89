use super::{super::history::tests::Stored, draw, sections::Section, *};
use crate::{
    base::{ServerState, UnitState},
    journal::event::{End, Operator, Summary},
    survey::{
        app::{AppStatus, BalancerStatus, HostStatus},
        service::tests::{World, crm},
    },
    ui::paint::Paint,
};
use unicode_width::UnicodeWidthStr as _;

fn host(name: &str, said: Result<Option<&str>, &str>) -> HostStatus {
    let seen = said.is_ok();
    let sick = said.ok().flatten();
    HostStatus {
        host: HostName::new(name),
        site: None,
        state: seen.then_some(if sick.is_some() { UnitState::Failed } else { UnitState::Active }),
        pid: None,
        healthy: seen.then_some(sick.is_none()),
        said: sick.unwrap_or("200").into(),
        balancer: seen.then_some(BalancerStatus { state: ServerState::Ready, up: true, sessions: 3 }),
        trouble: said.err().map(str::to_owned),
    }
}

fn app(name: &str, hosts: Vec<HostStatus>) -> AppStatus {
    AppStatus { schema_version: 1, app: name.into(), title: None, min_healthy: 1, hosts }
}

fn well(name: &str, n: usize) -> AppStatus {
    app(name, (1..=n).map(|i| host(&format!("web-{i}"), Ok(None))).collect())
}

/// What the sections say of the stored journal and these apps.
fn say(stored: &Stored, apps: Apps) -> Vec<Section> {
    say_all(stored, apps, Services::NotAsked(0))
}

fn say_all(stored: &Stored, apps: Apps, services: Services) -> Vec<Section> {
    let past = stored.past(Output::Table);
    let seen = seen(&past, &stored.locks, (apps, services, Certs::NotAsked(0)), "crm").unwrap();
    sections::sections(&seen)
}

fn draw(sections: &[Section]) -> String {
    let text = draw::text("crm", sections, false, Paint::new(false), 80);
    assert!(text.lines().all(|l| l.width() <= 80), "{text}");
    text
}

fn named<'a>(sections: &'a [Section], name: &str) -> &'a Section {
    sections.iter().find(|s| s.name == name).unwrap()
}

#[test]
fn what_is_well_is_said_in_a_line_and_what_is_owed_by_its_step() {
    let stored = Stored::new();
    let sections = say(&stored, Apps::Seen(vec![well("billing", 6), well("биллинг-tls", 4)]));
    insta::assert_snapshot!(draw(&sections), @r"
    WARNING: crm: 1 debt is owed

    OK        2 apps in service
              `billing` is in service on 6 of 6 hosts
              `биллинг-tls` is in service on 4 of 4 hosts
    OK        no run is in progress
    OK        no run was left unfinished
    WARNING   1 debt is owed
              `dc1-app1`: Перезапуск (app.restart), from run 01M7Q5FS50
              `billing-restart` of 2026-11-18 14:08
              → `svcops owed` lists what is still to be done
    OK        tickets were told of all runs
    OK        nothing is locked
    OK        the last run began 2026-11-18 14:08: failed
              01M7Q5FS50 failed       2026-11-18 14:08 `billing-restart` by мария
              01M7Q5CQG0 done         2026-11-18 14:06 `billing-restart` by мария
    ");
}

#[test]
fn hosts_with_one_trouble_stand_together_and_the_well_ones_are_counted() {
    let lost = "could not reach `lb`: connection timed out";
    let mut apps: Vec<AppStatus> = (1..=20).map(|n| well(&format!("app-{n}"), 3)).collect();
    let silent = (1..=40).map(|i| host(&format!("web-{i}"), Err(lost))).collect();
    apps.insert(3, app("shop", silent));
    apps.insert(9, app("billing", vec![host("b1", Ok(Some("HTTP 503"))), host("b2", Ok(None))]));
    let sections = say(&Stored::new(), Apps::Seen(apps));
    let apps = named(&sections, "apps");
    assert_eq!(apps.level, Level::Unknown);
    insta::assert_snapshot!(draw(std::slice::from_ref(apps)), @r"
    UNKNOWN: crm: 2 of 22 apps not in service as they should be

    UNKNOWN   2 of 22 apps not in service as they should be
              UNKNOWN `shop` is in service on 0 of 40 hosts
                `web-1`, `web-2`, `web-3` and 37 more: could not reach `lb`:
                connection timed out
              WARNING `billing` is in service on 1 of 2 hosts
                `b1`: failed; sick: HTTP 503
              20 other apps in service on all of their hosts
              → `svcops app status shop` has every host
    ");
    assert_eq!(apps.json.as_array().unwrap().len(), 22, "a program sees all of them");
}

#[tokio::test]
async fn a_run_without_its_owner_is_left_unfinished_until_somebody_goes_on() {
    let stored = Stored::new();
    let run = stored.newest();
    let append = async |event| stored.journal.append(&run, WallClock.now(), event).await.unwrap();
    append(Event::Resumed { operator: Operator::here() }).await;
    let sections = say(&stored, Apps::NotAsked(0));
    let part = named(&sections, "unfinished");
    assert_eq!((part.level, part.says.as_str()), (Level::Critical, "1 run was left unfinished"));
    assert!(part.items[0].text.contains("was interrupted"), "{part:?}");
    assert!(part.items[0].hint.as_ref().unwrap().contains(&format!("svcops resume {run}")), "{part:?}");

    let owned = stored.locks.own(&run).unwrap();
    let sections = say(&stored, Apps::NotAsked(0));
    assert_eq!(named(&sections, "unfinished").level, Level::Ok);
    let part = named(&sections, "runs");
    assert!(part.items[0].text.contains("at step 2.1 Перезапуск, batch 1 of 2"), "{part:?}");
    assert_eq!((&part.json[0]["step"], &part.json[0]["batch"]), (&"2.1".into(), &1.into()));
    drop(owned);

    let summary = |outcome| Summary { outcome, exit_code: 130, why: None, changed: 0, owed: 0, stands: vec![] };
    append(Event::Finished(summary(End::Stopped))).await;
    assert_eq!(named(&say(&stored, Apps::NotAsked(0)), "unfinished").level, Level::Warning);
    append(Event::InDoubt { task: "2.1@dc1-app1".into(), way: Way::Forward, why: "reboot".into() }).await;
    append(Event::Finished(summary(End::Unknown))).await;
    let sections = say(&stored, Apps::NotAsked(0));
    let part = named(&sections, "unfinished");
    assert_eq!(part.level, Level::Critical);
    let hint = part.items[0].hint.as_ref().unwrap();
    assert!(hint.contains(&format!("svcops resolve {run} 2.1@dc1-app1 done|not-done")), "{hint}");
}

#[test]
fn what_is_held_is_listed_with_its_holder() {
    let stored = Stored::new();
    let names = |names: &[&str]| names.iter().map(|n| crate::base::Lock((*n).into())).collect::<Vec<_>>();
    let run = stored.newest();
    let who = Operator { name: "мария".into(), ..Operator::here() };
    let held = stored.locks.take(&run, &who, "x", &names(&["web1/unit/a.service"]), &names(&["web1"])).unwrap();
    let sections = say(&stored, Apps::NotAsked(2));
    let part = named(&sections, "locks");
    assert_eq!(part.says, "1 lock held by 1 run");
    assert_eq!(part.items[0].text, format!("run {run} holds `web1/unit/a.service`, 1 shared, by мария"));
    drop(held);
    assert_eq!(named(&say(&stored, Apps::NotAsked(2)), "locks").says, "nothing is locked");
    assert_eq!(named(&sections, "apps").says, "2 apps, no host was asked");
}

#[tokio::test]
async fn what_tickets_were_not_told_is_a_warning_unless_a_run_is_telling_it() {
    let stored = Stored::new();
    assert_eq!(named(&say(&stored, Apps::NotAsked(0)), "tickets").level, Level::Ok);
    let run = stored.newest();
    let operator = Operator::here();
    stored.journal.append(&run, WallClock.now(), Event::Resumed { operator }).await.unwrap();
    let sections = say(&stored, Apps::NotAsked(0));
    let part = named(&sections, "tickets");
    assert_eq!((part.level, part.says.as_str()), (Level::Warning, "1 event of 1 run not told to tickets yet"));
    assert!(part.hint.as_ref().unwrap().contains("svcops ticket sync"), "{part:?}");
    let owned = stored.locks.own(&run).unwrap();
    assert_eq!(named(&say(&stored, Apps::NotAsked(0)), "tickets").level, Level::Ok);
    let waits = stored.journal.waiting(None, 1).unwrap();
    stored.journal.not_delivered(waits[0].row, "the desk is locked").unwrap();
    let sections = say(&stored, Apps::NotAsked(0));
    let part = named(&sections, "tickets");
    assert_eq!((part.level, part.items[0].text.as_str()), (Level::Warning, "the last try: the desk is locked"));
    drop(owned);
}

#[test]
fn the_first_line_is_the_verdict_and_quiet_leaves_what_is_well_out() {
    let part = |name, level| Section::new(name, level).says(format!("{name} is so"));
    let sections =
        [part("a", Level::Ok), part("b", Level::Warning), part("c", Level::Critical), part("d", Level::Unknown)];
    let text = draw::text("crm", &sections, true, Paint::new(false), 80);
    assert_eq!(text.lines().next().unwrap(), "CRITICAL: crm: b is so; c is so; d is so");
    assert!(!text.contains("a is so") && text.contains("WARNING   b is so"), "{text}");
    let json = draw::json("crm", jiff::Timestamp::UNIX_EPOCH, &sections);
    assert_eq!((&json["status"], &json["exit_code"]), (&"CRITICAL".into(), &2.into()));
    assert_eq!(json["sections"][1]["status"], "WARNING");
    for (levels, code) in [(&[][..], 0), (&[Level::Ok], 0), (&[Level::Warning, Level::Unknown], 3)] {
        let sections: Vec<Section> = levels.iter().map(|l| part("x", *l)).collect();
        assert_eq!(draw::level(&sections).code(), code);
    }
}

/// What the section says of services that were seen so.
fn of_services(worlds: &[(&str, World)], halves: usize) -> Section {
    let inventory = crm();
    let judged = |(name, world): &(&str, World)| {
        Judged::of(&inventory, &inventory.services[*name], (world.seen(&inventory, name), &[]), None)
    };
    let services = Services::Seen { all: worlds.iter().map(judged).collect(), halves };
    let sections = say_all(&Stored::new(), Apps::Seen(Vec::new()), services);
    named(&sections, "services").clone()
}

#[test]
fn services_are_told_with_their_place_and_the_worst_of_them_in_the_verdict() {
    let drawn = |worlds: &[(&str, World)], halves| draw(&[of_services(worlds, halves)]);
    insta::assert_snapshot!(drawn(&[("crm", World::well())], 0), @r"
    OK: crm: all is as it should be

    OK        service `crm` is active at `dc1`
    ");
    insta::assert_snapshot!(drawn(&[("crm", World::well()), ("crm", World::well())], 0), @r"
    OK: crm: all is as it should be

    OK        2 services where they should be
              `crm` is active at `dc1`
              `crm` is active at `dc1`
    ");
    insta::assert_snapshot!(drawn(&[("crm", World::well()), ("web", World::well())], 1), @r"
    CRITICAL: crm: service `web` is active NOWHERE

    CRITICAL  service `web` is active NOWHERE
              CRITICAL it is active at neither site
              WARNING record `web.lab.test`: it has `10.77.0.13`, of neither site
              `crm` is active at `dc1`
              1 service not looked at: not all of its hosts are selected
              → `svcops failover status web` has every part
    ");
    let mut unfenced = World::well();
    unfenced.pg("dc2-db1").boot_fence = false;
    insta::assert_snapshot!(drawn(&[("crm", unfenced)], 0), @r"
    WARNING: crm: service `crm` at `dc1`: not ready for --forced: no boot fence on
             `dc2-db1`

    WARNING   service `crm` at `dc1`: not ready for --forced: no boot fence on
              `dc2-db1`
              → `svcops failover prepare crm` puts it there
    ");
    let mut two = World::well();
    let sql = two.pg("dc1-db1").sql.clone();
    two.pg("dc2-db1").sql = sql;
    insta::assert_snapshot!(drawn(&[("crm", two), ("web", World::well())], 0), @r"
    CRITICAL: crm: 2 of 2 services not as they should be

    CRITICAL  2 of 2 services not as they should be
              CRITICAL `crm` has TWO PRIMARIES
                TWO PRIMARIES: `dc1-db1`, `dc2-db1` accept writes, and each has what
                the other one lacks
              CRITICAL `web` is active NOWHERE
                it is active at neither site
                record `web.lab.test`: it has `10.77.0.13`, of neither site
              → `svcops failover status crm` has every part
    ");
    let mut dark = World::well();
    dark.silent.insert("dc1-db1", "connection timed out");
    let said = of_services(&[("crm", dark.clone())], 0).says;
    assert_eq!(said, "nobody can say where `crm` is active");
    let mut stale = World::well();
    stale.pg("dc2-db1").free = Some(1 << 20);
    insta::assert_snapshot!(drawn(&[("crm", dark), ("crm", stale)], 0), @r"
    UNKNOWN: crm: 2 of 2 services not as they should be

    UNKNOWN   2 of 2 services not as they should be
              UNKNOWN nobody can say where `crm` is active
                where it is active is not known: no primary was seen, and `dc1-db1`
                could not be seen: connection timed out
                `dc1-db1` could not be reached: connection timed out
              WARNING `crm` is active at `dc1`
                a switch to `dc2` would be refused now: its disk has 1 MiB of room,
                a primary needs 256 MiB to go on
              → `svcops failover status crm` has every part
    ");
}

#[test]
fn an_app_that_rests_with_its_service_at_the_other_site_is_no_trouble() {
    let inventory = crm();
    let of = |world: World| {
        let sites = [("dc1-app1", "dc1"), ("dc2-app1", "dc2"), ("lb", "")];
        let hosts = |idle: &str| {
            let one = |(name, site): (&str, &str)| HostStatus {
                site: (!site.is_empty()).then(|| site.to_owned()),
                ..host(name, Ok((site == idle).then_some("it rests")))
            };
            sites.map(one).to_vec()
        };
        let mut apps = vec![app("billing", hosts("dc2")), app("portal", hosts("dc2"))];
        let judged = Judged::of(&inventory, &inventory.services["crm"], (world.seen(&inventory, "crm"), &[]), None);
        services::without_those_that_rest(&mut apps, &inventory, &[judged]);
        apps.iter().map(|app| (app.hosts.len(), app.level())).collect::<Vec<_>>()
    };
    // `portal` runs at both
    assert_eq!(of(World::well()), [(2, Level::Ok), (3, Level::Critical)]);
    let mut dark = World::well();
    dark.silent.insert("dc1-db1", "connection timed out");
    assert_eq!(of(dark), [(3, Level::Critical), (3, Level::Critical)]);
}

#[test]
fn a_program_sees_a_service_as_failover_status_shows_it() {
    let section = of_services(&[("crm", World::well())], 0);
    let json = draw::json("crm", jiff::Timestamp::UNIX_EPOCH, &[section]);
    let one = &json["sections"][0]["items"][0];
    assert_eq!(
        (&json["sections"][0]["section"], &one["service"], &one["active"]),
        (&"services".into(), &"crm".into(), &serde_json::json!({"at": "dc1"}))
    );
    assert_eq!(
        (&one["status"], &one["prechecks"]["pass"], &one["forced"]["ready"]),
        (&"OK".into(), &true.into(), &true.into())
    );
}

#[test]
fn services_that_nobody_declared_or_looked_at_make_no_noise() {
    let sections = say(&Stored::new(), Apps::NotAsked(0));
    assert!(sections.iter().all(|section| section.name != "services"), "{sections:?}");
    let said = |services| named(&say_all(&Stored::new(), Apps::NotAsked(0), services), "services").says.clone();
    assert_eq!(said(Services::NotAsked(2)), "2 services, none was looked at");
    let inventory = crm();
    let names = |selector: &str| {
        let hosts = inventory.select(&crate::inventory::select::parse(selector).unwrap());
        let (whole, halves) = services::chosen(&inventory, Some(&hosts.iter().map(|h| h.name.clone()).collect()));
        (whole.iter().map(|service| service.name.clone()).collect::<Vec<_>>(), halves)
    };
    assert_eq!(names("all"), (vec!["crm".to_owned(), "web".to_owned()], 0));
    assert_eq!((names("site=dc1"), names("lb")), ((vec![], 2), (vec![], 0)));
    let halved = Services::Seen { all: Vec::new(), halves: 1 };
    assert_eq!(said(halved), "1 service not looked at: not all of its hosts are selected");
}
