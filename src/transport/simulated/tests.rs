use super::*;
use crate::base::Outcome;
use crate::{
    base::{
        Content, FileFacts, HaproxyApi, HttpAsk, HttpFacts, Invocation, RunFacts, RunId, ServerFacts, ServerState,
        Source, Span, TaskId, Text, UnitFacts, UnitState, Way,
    },
    inventory::sample::sample,
};

pub(super) fn on(host: &str) -> Place {
    Place::on(&HostName::new(host))
}

fn unit(host: &str) -> At<Read> {
    on(host).at(Read::Unit { name: "billing.service".into() })
}

fn http(url: &str) -> At<Read> {
    let (method, headers) = ("GET".into(), BTreeMap::new());
    Place::HERE.at(Read::Http(HttpAsk {
        url: url.into(),
        method,
        headers,
        body: None,
        ca: None,
        within: Span::secs(5),
    }))
}

fn health(address: &str) -> At<Read> {
    http(&format!("http://{address}:8080/health"))
}

fn server(host: &str) -> At<Read> {
    on("lb").at(Read::Server { api: api(), backend: "billing".into(), server: host.into() })
}

fn api() -> HaproxyApi {
    HaproxyApi::Socket("/run/haproxy/admin.sock".into())
}

fn set(host: &str, state: ServerState) -> At<Change> {
    on("lb").at(Change::SetServer { api: api(), backend: "billing".into(), server: host.into(), state })
}

fn write(path: &str, text: &str, mode: Option<u32>) -> At<Change> {
    let content =
        Content { hash: Hash::of(text.as_bytes()), size: text.len() as u64, from: Source::Text(Text::from(text)) };
    let path = path.into();
    on("dc1-app1").at(Change::WriteFile { path, content, mode, owner: None, group: None, validate: None })
}

/// Both hosts of a site run `billing`, healthy and ready.
fn world() -> Simulated {
    let world = Simulated::new(Links::of(&sample()));
    let up = UnitFacts {
        loaded: true,
        state: UnitState::Active,
        enabled: false,
        pid: 7,
        invocation: "old".into(),
        since: 5,
    };
    for (host, address) in [("dc1-app1", "10.77.0.11"), ("dc1-app2", "10.77.0.12")] {
        world.learn(&unit(host), &Answer::Unit(up.clone()));
        let ok = HttpFacts { status: Some(200), body: "ok".into(), error: None };
        world.learn(&health(address), &Answer::Http(ok));
        let ready = ServerFacts { state: ServerState::Ready, sessions: 4, up: true };
        world.learn(&server(host), &Answer::Server(ready));
    }
    let file = FileFacts {
        hash: Hash::of(b"old"),
        size: 3,
        mode: 0o640,
        owner: "root".into(),
        group: "root".into(),
        link: None,
    };
    world.learn(&conf(), &Answer::File(Some(file)));
    world
}

fn conf() -> At<Read> {
    on("dc1-app1").at(Read::File { path: "/etc/billing/billing.conf".into() })
}

fn act(number: usize) -> Act {
    let (run, task) = (RunId::at_millis(1), TaskId::from("1@dc1-app1"));
    Act { run, task, way: Way::Forward, number, boot: "boot-0".into() }
}

const TERMS: Terms = Terms { within: Duration::from_secs(9), interruptible: true };

fn stop() -> At<Change> {
    on("dc1-app1").at(Change::StopUnit("billing.service".into()))
}

fn restart() -> At<Change> {
    on("dc1-app1").at(Change::RestartUnit("billing.service".into()))
}

fn status(answer: &Answer) -> Option<u16> {
    let Answer::Http(http) = answer else { panic!("{answer:?}") };
    http.status
}

#[tokio::test(start_paused = true)]
async fn an_app_follows_its_unit_and_takes_a_while() {
    let world = world();
    world.meddle(&stop()).unwrap();
    assert_eq!(status(&world.answer(&health("10.77.0.11"))), None);
    assert_eq!(status(&world.answer(&health("10.77.0.12"))), Some(200));
    world.meddle(&on("dc1-app1").at(Change::StartUnit("billing.service".into()))).unwrap();
    assert_eq!(status(&world.answer(&health("10.77.0.11"))), Some(503));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(status(&world.answer(&health("10.77.0.11"))), Some(200));
    let Answer::Unit(unit) = world.answer(&unit("dc1-app1")) else { panic!() };
    assert!(unit.invocation != "old" && unit.since > 5, "{unit:?}");
}

#[tokio::test(start_paused = true)]
async fn a_page_that_was_seen_once_is_known_to_whoever_asks_for_it() {
    let world = world();
    world.meddle(&restart()).unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let At { what: Read::Http(ask), at } = health("10.77.0.11") else { panic!() };
    let Answer::Http(seen) = world.answer(&at.at(Read::Http(HttpAsk { within: Span::secs(10), ..ask }))) else {
        panic!()
    };
    assert_eq!((seen.status, seen.body.as_str()), (Some(200), "ok"));
}

#[tokio::test(start_paused = true)]
async fn an_act_is_carried_out_once_and_another_boot_is_unknown() {
    let world = world();
    let first = world.carry(&act(0), &restart(), TERMS).await.unwrap();
    assert_eq!(world.carry(&act(0), &restart(), TERMS).await.unwrap(), first);
    assert_eq!((world.acts(), world.done().len()), (1, 1));
    assert_eq!(world.settle(&act(0), &restart(), TERMS).await.unwrap(), Settled::Was(first));
    assert_eq!(world.settle(&act(1), &restart(), TERMS).await.unwrap(), Settled::Never);
    let late = world.carry(&act(1), &restart(), TERMS).await.unwrap();
    assert!(matches!(late.outcome, Outcome::Refused(_)), "{late:?}");
    world.reboot(&HostName::new("dc1-app1"));
    let after = world.carry(&act(0), &restart(), TERMS).await.unwrap();
    assert!(matches!(after.outcome, Outcome::Unknown(_)), "{after:?}");
    assert_eq!(world.done().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_fault_is_what_it_says() {
    for fault in Fault::ALL {
        let world = world();
        world.fault(0, fault);
        let receipt = world.carry(&act(0), &restart(), TERMS).await;
        let host = HostName::new("dc1-app1");
        let silent = world.look(Some(&host), &[]).await.is_err();
        tokio::time::sleep(Duration::from_secs(20)).await;
        let healthy = status(&world.answer(&health("10.77.0.11"))) == Some(200);
        let word = match receipt.as_ref().map(|r| &r.outcome) {
            Ok(Outcome::Ok) => "ok",
            Ok(Outcome::Refused(_)) => "refused",
            Ok(Outcome::Failed(_)) => "failed",
            Ok(Outcome::Unknown(_)) => "unknown",
            Err(_) => "lost",
        };
        let found = (word, silent, world.done().len(), healthy);
        let wanted = match fault {
            Fault::Refused => ("refused", false, 0, true),
            Fault::FailedBefore => ("failed", false, 0, true),
            Fault::FailedAfter | Fault::TimedOut => ("failed", false, 1, true),
            Fault::LostBefore => ("lost", true, 0, true),
            Fault::LostAfter => ("lost", true, 1, true),
            Fault::NoEffect => ("ok", false, 0, true),
            Fault::Sick => ("ok", false, 1, false),
        };
        assert_eq!(found, wanted, "{fault:?}");
        assert!(world.look(Some(&host), &[]).await.is_ok(), "{fault:?}: contact comes back");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_behind_something_opaque_is_open_and_nothing_else_is() {
    let run = |touches: &[&str]| {
        let touches = touches.iter().map(|t| (*t).to_owned()).collect();
        on("dc1-app1").at(Change::Run(Invocation { touches, ..Invocation::shell("x", Span::secs(1)) }))
    };
    let all = [unit("dc1-app1"), health("10.77.0.11"), server("dc1-app1"), conf()];
    let open = |world: &Simulated| all.iter().map(|r| world.answer(r) == Answer::Open).collect::<Vec<_>>();
    for (touches, wanted) in [
        (&[][..], [true, true, true, true]),
        (&["host"], [true, true, true, true]),
        (&["app:billing"], [true, true, true, false]),
        (&["unit:billing.service"], [true, true, true, false]),
        (&["file:/etc/billing/billing.conf"], [false, false, false, true]),
        (&["file:/etc/other"], [false, false, false, false]),
    ] {
        let world = world();
        world.meddle(&run(touches)).unwrap();
        assert_eq!(open(&world), wanted, "{touches:?}");
        assert_ne!(world.answer(&unit("dc1-app2")), Answer::Open);
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_takes_no_longer_than_the_apps_health_may() {
    let mut inventory = sample();
    let billing = inventory.apps.get_mut("billing").unwrap();
    billing.health.as_mut().unwrap().within = Span::secs(2);
    let world = Simulated::new(Links::of(&inventory));
    let up = UnitFacts {
        loaded: true,
        state: UnitState::Active,
        enabled: false,
        pid: 7,
        invocation: "old".into(),
        since: 5,
    };
    world.learn(&unit("dc1-app1"), &Answer::Unit(up));
    world.meddle(&restart()).unwrap();
    assert_eq!(status(&world.answer(&health("10.77.0.11"))), Some(503));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(status(&world.answer(&health("10.77.0.11"))), Some(200));
}

#[tokio::test(start_paused = true)]
async fn what_a_manager_says_of_its_app_can_be_asked_until_the_app_itself_was_changed() {
    let world = world();
    let run = |text: &str| Invocation::shell(text, Span::secs(5));
    let (status, other) = ["/opt/batch status", "uptime"].map(|text| on("dc1-app1").at(Read::Run(run(text)))).into();
    world.meddle(&write("/etc/motd", "x", None)).unwrap();
    assert!(world.lacks(&status), "a file on its host says nothing of the app");
    assert!(!world.lacks(&other));
    world.learn(&status, &Answer::Run(RunFacts { code: Some(0), ..RunFacts::default() }));
    world.meddle(&on("dc1-app1").at(Change::Run(run("/opt/batch stop")))).unwrap();
    assert!(!world.lacks(&status), "it was stopped here, and the real one runs on");
    assert!(matches!(world.answer(&status), Answer::Run(r) if r.code == Some(3)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_linked_to_nothing_is_open_once_something_moved_under_it() {
    let world = world();
    let seen = Answer::Http(HttpFacts { status: Some(200), ..HttpFacts::default() });
    let urls = ["http://10.77.0.11:9000/", "http://10.77.0.5/", "http://10.77.0.21:9000/", "https://example.org/"];
    for url in urls {
        world.learn(&http(url), &seen);
    }
    world.meddle(&stop()).unwrap();
    let answers = urls.map(|url| world.answer(&http(url)));
    // On the host itself; behind the balancer; on another host; somewhere else.
    assert_eq!(answers, [Answer::Open, Answer::Open, seen.clone(), seen]);
    assert_eq!(world.answer(&http("https://nobody.looked.here/")), Answer::Open);
}

#[tokio::test(start_paused = true)]
async fn harm_on_the_way_is_seen() {
    let world = world();
    world.promise_quorum();
    world.meddle(&set("dc1-app1", ServerState::Drain)).unwrap();
    world.meddle(&restart()).unwrap();
    assert_eq!(world.harm(), Vec::<String>::new(), "a drained host may be restarted");
    world.meddle(&set("dc1-app1", ServerState::Ready)).unwrap();
    assert_eq!(world.harm(), ["`billing/dc1-app1` enabled while its app is dead"]);
    world.meddle(&set("dc1-app2", ServerState::Drain)).unwrap();
    assert_eq!(world.harm().last().unwrap(), "app `billing` at `dc1` has 0 healthy hosts, 1 are promised");
    world.meddle(&write("/etc/billing/tls.key", "k", Some(0o640))).unwrap();
    assert_eq!(world.harm().len(), 2);
    world.meddle(&write("/etc/billing/other.key", "k", None)).unwrap();
    assert!(world.harm().last().unwrap().contains("others can read it (0644)"));
}

#[tokio::test(start_paused = true)]
async fn sessions_end_in_a_drained_server_unless_they_are_held() {
    for held in [false, true] {
        let world = world();
        if held {
            world.holds_sessions("billing", "dc1-app1");
        }
        world.meddle(&set("dc1-app1", ServerState::Drain)).unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let Answer::Server(facts) = world.answer(&server("dc1-app1")) else { panic!() };
        assert_eq!(facts.sessions, if held { 4 } else { 0 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_file_shows_at_the_next_start_and_can_be_taken_back() {
    let (world, path) = (world(), "/etc/billing/billing.conf");
    let begun = world.standing();
    world.breaks(&Hash::of(b"broken"));
    world.meddle(&write(path, "broken", None)).unwrap();
    assert_eq!(status(&world.answer(&health("10.77.0.11"))), Some(200), "it has not read it yet");
    world.meddle(&restart()).unwrap_err();
    let Answer::Unit(facts) = world.answer(&unit("dc1-app1")) else { panic!() };
    assert_eq!(facts.state, UnitState::Failed);
    let content = |text: &str| Content { hash: Hash::of(text.as_bytes()), size: 3, from: Source::Undo };
    let back = |text: &str| {
        let (mode, content) = (Some(0o640), content(text));
        on("dc1-app1").at(Change::WriteFile {
            path: path.into(),
            content,
            mode,
            owner: None,
            group: None,
            validate: None,
        })
    };
    assert!(world.meddle(&back("never kept")).unwrap_err().contains("undo folder"));
    world.meddle(&back("old")).unwrap();
    world.meddle(&restart()).unwrap();
    assert_eq!(world.standing(), begun);
}

#[tokio::test(start_paused = true)]
async fn commands_of_a_manager_have_a_model() {
    let world = Simulated::new(Links::of(&sample()));
    let run = |verb: &str| Invocation::shell(format!("/opt/batch {verb}"), Span::secs(300));
    let status = on("dc1-app1").at(Read::Run(run("status")));
    world.learn(&status, &Answer::Run(RunFacts { code: Some(0), ..RunFacts::default() }));
    let code = |world: &Simulated| match world.answer(&status) {
        Answer::Run(run) => run.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(&world), Some(0));
    world.meddle(&on("dc1-app1").at(Change::Run(run("stop")))).unwrap();
    assert_eq!(code(&world), Some(3));
    world.meddle(&on("dc1-app1").at(Change::Run(run("start")))).unwrap();
    assert_eq!(code(&world), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_reload_shows_in_the_health_of_its_app_and_another_one_heals_it() {
    let (world, path) = (world(), "/etc/billing/billing.conf");
    let reload = || on("dc1-app1").at(Change::ReloadUnit("billing.service".into()));
    world.sickens(&Hash::of(b"ill"));
    world.meddle(&write(path, "ill", None)).unwrap();
    world.meddle(&reload()).unwrap();
    assert_eq!(status(&world.answer(&health("10.77.0.11"))), Some(503));
    world.meddle(&write(path, "well", None)).unwrap();
    world.meddle(&reload()).unwrap();
    assert_eq!(status(&world.answer(&health("10.77.0.11"))), Some(200));
}
