//! Random runbooks, random faults, random kills and calls to stop: what must hold of every run. `PROPERTY_CASES` and
//! `PROPERTY_SEED` (numbers) ask for more cases, and for others.

use super::*;
use crate::{
    engine::script::{Node, spread},
    journal::state::TaskState,
    transport::Fault,
};
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};
use std::{collections::BTreeSet, fmt, sync::Mutex, time::Duration};

/// A runbook, and what goes wrong with it.
#[derive(Clone)]
struct Case {
    targets: &'static str,
    policy: &'static str,
    parts: Vec<Part>,
    always: bool,
    faults: Vec<(usize, Fault)>,
    long: bool,
    /// After so many more events the process dies; true: the last of them is not kept.
    kills: Vec<(usize, bool)>,
    /// A run that died is taken back, not resumed.
    rollback: bool,
    /// After so many events it is asked to stop: 1 once, 2 twice.
    stop: Option<(usize, u8)>,
}

#[derive(Clone, Debug)]
enum Part {
    One(Piece),
    Rolling { batch: usize, max_failed: usize, drained: bool, pieces: Vec<Piece> },
    Parallel(Vec<Piece>),
}

#[derive(Clone, Debug)]
struct Piece {
    deed: Deed,
    policy: Option<&'static str>,
    targets: Option<&'static str>,
    retry: bool,
}

#[derive(Clone, Debug)]
enum Deed {
    Copy(usize, &'static str),
    CopyThen(&'static str),
    Restart,
    Each,
    Command,
    Check,
    Never,
    Refused,
    RefusedOnOne,
    NoReturn,
}

const POLICIES: [&str; 6] = [
    "rollback",
    "stop",
    "continue",
    "{do: rollback, scope: host}",
    "{do: rollback, scope: batch}",
    "{do: stop, scope: host}",
];
const PATHS: [&str; 7] =
    ["/etc/a.conf", "/etc/b", "/etc/billing/billing.conf", "/etc/each-x", "/etc/each-y", "/etc/never", "/etc/gate"];

impl Case {
    fn text(&self) -> String {
        let mut text = format!("targets: {}\non_failure: {}\nsteps:\n", self.targets, self.policy);
        for (at, part) in self.parts.iter().enumerate() {
            match part {
                Part::One(piece) => text.push_str(&format!("  - {}\n", piece.text(&format!("S{at}"), None))),
                Part::Rolling { batch, max_failed, drained, pieces } => {
                    text.push_str(&format!(
                        "  - name: R{at}\n    rolling: {{batch: {batch}, max_failed: {max_failed}, pause: 2s}}\n    steps:\n"
                    ));
                    let server = "balancer: front, backend: billing, server: \"{{ host.name }}\"";
                    if *drained {
                        text.push_str(&format!(
                            "      - {{name: Drain{at}, haproxy.drain: {{{server}, within: 30s}}}}\n"
                        ));
                    }
                    for (n, piece) in pieces.iter().enumerate() {
                        text.push_str(&format!("      - {}\n", piece.text(&format!("R{at}x{n}"), None)));
                    }
                    if *drained {
                        text.push_str(&format!("      - {{name: Enable{at}, haproxy.enable: {{{server}}}}}\n"));
                    }
                }
                Part::Parallel(pieces) => {
                    text.push_str(&format!("  - name: P{at}\n    parallel: true\n    steps:\n"));
                    for (n, piece) in pieces.iter().enumerate() {
                        text.push_str(&format!("      - {}\n", piece.text(&format!("P{at}x{n}"), Some(n))));
                    }
                }
            }
        }
        if self.always {
            text.push_str(
                "  - {name: Tell, always: true, notify.webhook: {url: \"http://127.0.0.1:9/x\", body: \"{{ run.outcome }}\"}}\n",
            );
        }
        text
    }
}

impl Piece {
    fn text(&self, name: &str, own: Option<usize>) -> String {
        let dest = |n: usize| own.map_or_else(|| PATHS[n].to_owned(), |n| format!("/etc/own-{n}"));
        let deed = match &self.deed {
            Deed::Copy(path, content) => format!("file.copy: {{content: {content}, dest: {}}}", dest(*path)),
            Deed::CopyThen(content) => {
                format!(
                    "file.copy: {{content: {content}, dest: {}}}, then: [{{app.restart: {{app: billing}}}}]",
                    dest(2)
                )
            }
            Deed::Restart => "app.restart: {app: billing}".to_owned(),
            Deed::Each => "for_each: [x, y], file.copy: {content: \"{{ item }}\", dest: \"/etc/each-{{ item }}\"}".to_owned(),
            Deed::Command => {
                "command: \"touch /m\", touches: [\"unit:none.service\"], undo: [{command: \"rm /m\", touches: [\"unit:none.service\"]}]"
                    .to_owned()
            }
            Deed::Check => "check.http: {url: \"http://{{ host.address }}:8080/health\", status: 200}".to_owned(),
            Deed::Never => "when: \"1 == 2\", file.copy: {content: no, dest: /etc/never}".to_owned(),
            Deed::Refused => "require: [\"1 == 2\"], file.copy: {content: no, dest: /etc/gate}".to_owned(),
            Deed::RefusedOnOne => {
                format!(
                    "require: [\"host.name != 'dc1-app2'\"], file.copy: {{content: gate, dest: {}}}",
                    own.map_or_else(|| "/etc/gate".to_owned(), |n| format!("/etc/own-{n}"))
                )
            }
            Deed::NoReturn => format!("no_return: true, file.copy: {{content: crossed, dest: {}}}", dest(1)),
        };
        let policy = self.policy.map(|p| format!(", on_failure: {p}")).unwrap_or_default();
        let targets = self.targets.map(|t| format!(", targets: {t}")).unwrap_or_default();
        let retry = if self.retry { ", retry: {attempts: 2, delay: 1s}" } else { "" };
        format!("{{name: {name}, {deed}{policy}{targets}{retry}}}")
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { faults, long, kills, rollback, stop, .. } = self;
        writeln!(f, "{faults:?}, silent long: {long}, kills {kills:?}, then rollback: {rollback}, stop {stop:?}")?;
        f.write_str(&self.text())
    }
}

fn piece() -> impl Strategy<Value = Piece> {
    let content = || prop::sample::select(vec!["one", "two", "bad"]);
    let deed = prop_oneof![
        6 => (0usize..3, content()).prop_map(|(path, content)| Deed::Copy(path, content)),
        4 => content().prop_map(Deed::CopyThen),
        3 => Just(Deed::Restart),
        2 => Just(Deed::Each),
        2 => Just(Deed::Command),
        2 => Just(Deed::Check),
        1 => Just(Deed::Never),
        1 => Just(Deed::Refused),
        1 => Just(Deed::RefusedOnOne),
        1 => Just(Deed::NoReturn),
    ];
    let policy = prop::option::weighted(0.15, prop::sample::select(POLICIES.to_vec()));
    let targets = prop::option::weighted(0.1, Just("dc1-app1"));
    (deed, policy, targets, prop::bool::weighted(0.1)).prop_map(|(deed, policy, targets, retry)| Piece {
        deed,
        policy,
        targets,
        retry,
    })
}

fn case() -> impl Strategy<Value = Case> {
    let pieces = || prop::collection::vec(piece(), 1..3);
    let part = prop_oneof![
        3 => piece().prop_map(Part::One),
        4 => (1usize..4, 0usize..2, prop::bool::weighted(0.8), pieces()).prop_map(
            |(batch, max_failed, drained, pieces)| Part::Rolling { batch, max_failed, drained, pieces }
        ),
        1 => pieces().prop_map(Part::Parallel),
    ];
    let targets = prop::sample::select(vec!["dc1-app1", "role=app, site=dc1", "role=app"]);
    let world = (
        prop::collection::vec((0usize..20, prop::sample::select(Fault::ALL.to_vec())), 0..3),
        any::<bool>(),
        prop::collection::vec((1usize..50, any::<bool>()), 0..3),
        prop::bool::weighted(0.3),
        prop::option::weighted(0.25, (1usize..60, 1u8..3)),
    );
    (
        targets,
        prop::sample::select(POLICIES.to_vec()),
        prop::collection::vec(part, 1..4),
        prop::bool::weighted(0.3),
        world,
    )
        .prop_map(|(targets, policy, parts, always, (faults, long, kills, rollback, stop))| Case {
            targets,
            policy,
            parts,
            always,
            faults,
            long,
            kills,
            rollback,
            stop,
        })
}

/// Folds what it hears, and calls to stop.
struct Ear {
    state: Mutex<RunState>,
    heard: Mutex<usize>,
    stop: Option<(usize, u8)>,
    call: watch::Sender<u8>,
}

impl Ear {
    fn new(state: RunState, stop: Option<(usize, u8)>) -> Arc<Self> {
        let (call, _) = watch::channel(0);
        Arc::new(Self { state: Mutex::new(state), heard: Mutex::new(0), stop, call })
    }
}

impl Watcher for Ear {
    fn record(&self, record: &Record) {
        self.state.lock().unwrap().apply(record);
        let mut heard = self.heard.lock().unwrap();
        *heard += 1;
        if let Some((_, level)) = self.stop.filter(|(n, _)| n == &*heard) {
            self.call.send_replace(level);
        }
    }
    fn notice(&self, _: &Notice) {}
}

enum Way {
    Run,
    Resume,
    Back,
}

impl Rig {
    async fn go(&self, text: &str, way: &Way, stop: Option<(usize, u8)>) -> Result<Summary, EngineError> {
        let before = if matches!(way, Way::Run) { RunState::default() } else { self.state() };
        let ear = Ear::new(before, stop);
        let stage = Stage { watcher: ear.clone(), ..self.stage() };
        let stop = ear.call.subscribe();
        let order = self.order(text);
        let ended = match way {
            Way::Run => {
                let planned = plan(&self.stage(), &order).await?;
                run(&stage, &order, &planned, None, stop).await
            }
            Way::Resume => resume(&stage, &self.journal.runs(1)?[0], &me(), &[], stop).await,
            Way::Back => rollback(&stage, &self.journal.runs(1)?[0], &me(), "asked for", stop).await,
        }?;
        assert_eq!(*ear.state.lock().unwrap(), self.state(), "what was lived is what is folded");
        Ok(ended.summary)
    }

    /// What stands, but for what an app has loaded: a plain restart that went well is not taken back.
    fn standing(&self) -> BTreeMap<String, String> {
        let short = |is: String| is.split(" {").next().unwrap_or_default().to_owned();
        self.world.standing().into_iter().map(|(what, is)| (what, short(is))).collect()
    }

    /// Looks at all that a case can touch, so that the world's state before is known whole.
    async fn look_around(&self) {
        for host in ["dc1-app1", "dc1-app2", "dc2-app1", "dc2-app2"] {
            let host = HostName::new(host);
            let own = ["/etc/own-0", "/etc/own-1", "/etc/own-2"];
            let mut reads: Vec<_> = PATHS
                .iter()
                .chain(&own)
                .map(|path| Place::on(&host).at(Read::File { path: (*path).to_owned() }))
                .collect();
            reads.push(Place::on(&host).at(Read::Unit { name: "billing.service".into() }));
            self.stage().transport.look(Some(&host), &reads).await.unwrap();
            let lb = HostName::new("lb");
            let server = Read::Server {
                api: crate::base::HaproxyApi::Socket("/run/haproxy/admin.sock".into()),
                backend: "billing".into(),
                server: host.as_str().to_owned(),
            };
            self.stage().transport.look(Some(&lb), &[Place::on(&lb).at(server)]).await.unwrap();
        }
    }
}

/// Runs a case to an end that nobody can go on from without a person.
async fn live(case: &Case, rig: &Rig) -> Option<Summary> {
    let text = case.text();
    rig.look_around().await;
    for (act, fault) in &case.faults {
        rig.world.fault(*act, *fault);
    }
    rig.world.breaks(&Hash::of(b"bad"));
    rig.world.silent_for(Duration::from_secs(if case.long { 4000 } else { 20 }));
    let mut kills = case.kills.iter();
    let mut kill = || match kills.next() {
        Some((n, true)) => rig.journal.kill_before(*n),
        Some((n, false)) => rig.journal.kill_after(*n),
        None => {}
    };
    kill();
    let mut end = rig.go(&text, &Way::Run, case.stop).await;
    for turn in 0..8 {
        rig.world.heal();
        end = match end {
            Ok(end) if matches!(end.outcome, End::Unknown | End::Stopped) && turn < 7 => {
                rig.go(&text, &Way::Resume, None).await
            }
            Ok(end) => return Some(end),
            Err(EngineError::Journal(_)) => {
                rig.journal.revive();
                if rig.journal.runs(1).unwrap().is_empty() {
                    return None;
                }
                if let Some(over) = rig.state().end {
                    Ok(over)
                } else {
                    kill();
                    let way = if case.rollback && turn == 0 { Way::Back } else { Way::Resume };
                    rig.go(&text, &way, None).await
                }
            }
            Err(EngineError::NoReturn { .. }) => rig.go(&text, &Way::Resume, None).await,
            Err(EngineError::NotSo { why, .. })
                if why.contains("before it began") || why.contains("touched nothing") =>
            {
                return None;
            }
            Err(other) => panic!("{other:?}"),
        };
    }
    panic!("it comes to no end: {end:?}")
}

/// What must hold of every list of events.
fn check_trace(records: &[Record]) {
    let mut state = RunState::default();
    for record in records {
        if state.end.is_some() {
            assert!(
                matches!(record.event, Event::Resumed { .. } | Event::Resolved { .. }),
                "an event after the end: {:?}",
                record.event
            );
        }
        let task = |id: &TaskId| state.task(id).unwrap_or_else(|| panic!("`{id}` has not begun"));
        match &record.event {
            Event::Began(began) => assert!(state.task(&began.task).is_none(), "`{}` begins again", began.task),
            Event::Announced { task: id, way, number, changes, .. } => {
                let leg = task(id).leg(*way).expect("the leg has begun");
                assert!(leg.how.is_none() && leg.queue.is_empty(), "`{id}` announces out of turn");
                assert_eq!(*number, leg.announced, "`{id}`: a number is used twice");
                for change in changes {
                    assert!(leg.did.iter().all(|(d, _)| d != change), "`{id}` does the same twice");
                }
            }
            Event::Carried { task: id, way, number, .. } => {
                let leg = task(id).leg(*way).expect("the leg has begun");
                assert!(leg.how.is_none() && !leg.queue.is_empty(), "`{id}` carried what was not announced");
                assert_eq!(*number, leg.number, "`{id}`");
            }
            Event::Ended { task: id, way, .. } => {
                let leg = task(id).leg(*way).expect("the leg has begun");
                assert!(leg.how.is_none(), "`{id}` ends twice");
            }
            _ => {}
        }
        if let Event::Phase { step, batch: Some(batch), .. } = &record.event
            && batch.number > 1
        {
            // a host that was in doubt and left the run comes back with a resume
            let doubted = records.iter().any(|r| matches!(r.event, Event::InDoubt { .. }));
            let group = step.rsplit_once('.').map_or("", |(group, _)| group);
            let earlier = |t: &&TaskState| {
                t.began.step.rsplit_once('.').is_some_and(|(g, _)| g == group) && t.forward.how.is_none()
            };
            for open in state.tasks.iter().filter(earlier) {
                let mine = matches!(&record.event, Event::Phase { hosts, .. } if hosts.contains(&open.began.host));
                assert!(doubted || mine, "batch {} begins before `{}` has ended", batch.number, open.began.task);
            }
        }
        state.apply(record);
    }
}

/// Batches cover every host once, in order, and are never larger than they may be.
fn check_batches(case: &Case, rig: &Rig) {
    let order = rig.order(&case.text());
    let script = spread(&order.runbook, &order.params, &rig.project.inventory, None, CATALOG).unwrap();
    let rolls = case.parts.iter().zip(&script.nodes).filter_map(|pair| match pair {
        (Part::Rolling { batch, drained: true, .. }, Node::Rolling(batches, _)) => Some((*batch, batches)),
        _ => None,
    });
    for (size, batches) in rolls {
        let mut covered = Vec::new();
        for batch in batches {
            let Some(Node::Station(first)) = batch.first() else { panic!("a batch without a step") };
            assert!((1..=size).contains(&first.hosts.len()), "a batch of {} hosts, of {size}", first.hosts.len());
            covered.extend(first.hosts.clone());
        }
        let once: BTreeSet<_> = covered.iter().collect();
        let selector = crate::inventory::select::parse(case.targets).unwrap();
        let all: Vec<_> = rig.project.inventory.select(&selector).iter().map(|h| h.name.clone()).collect();
        assert_eq!((once.len(), &covered), (covered.len(), &all), "every host once");
    }
}

/// What stands is what the summary says.
fn check_end(end: &Summary, rig: &Rig, begun: &BTreeMap<String, String>, goal: Option<&BTreeMap<String, String>>) {
    let (state, standing) = (rig.state(), rig.standing());
    assert_eq!(end.exit_code, end.outcome.code());
    match end.outcome {
        End::Done => {
            assert_eq!((end.owed, &end.why), (0, &None));
            if let Some(goal) = goal {
                let differs = differ(&standing, goal);
                assert!(differs.is_empty(), "it is done, and what stands is something else: {differs:#?}");
            }
        }
        End::RolledBack => {
            assert!(end.stands.is_empty() && end.owed == 0);
            let differs = differ(&standing, begun);
            assert!(differs.is_empty(), "it is rolled back, and something stands: {differs:#?}");
        }
        End::Failed => assert!(!end.stands.is_empty() || end.owed > 0, "nothing is named"),
        other => panic!("{other:?}"),
    }
    let keys: BTreeSet<&String> = begun.keys().chain(standing.keys()).collect();
    for key in keys {
        let (now, before) = (standing.get(key), begun.get(key));
        if now == before || end.outcome == End::Done || goal.is_some_and(|g| g.get(key) == now) {
            continue;
        }
        let host = match key.rsplit_once("/backend/billing/") {
            Some((_, server)) => server,
            None => key.split('/').next().unwrap(),
        };
        let owed = state.debts.iter().any(|o| o.debt.host.as_str() == host);
        let named = end.stands.iter().any(|s| s.contains(&format!("`{host}`")));
        assert!(owed || named, "`{key}` is {now:?}, was {before:?}, and nothing names `{host}`: {end:#?}");
    }
}

fn differ(one: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> Vec<String> {
    let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let differs = keys.into_iter().filter(|k| one.get(*k) != other.get(*k));
    differs.map(|k| format!("{k}: {:?}, not {:?}", one.get(k), other.get(k))).collect()
}

async fn hold(case: &Case) {
    let begun = {
        let rig = Rig::new();
        rig.look_around().await;
        rig.standing()
    };
    let whole = Rig::new();
    let still = Case { faults: vec![], kills: vec![], stop: None, ..case.clone() };
    let unbroken = live(&still, &whole).await.expect("nothing stops it");
    let goal = (unbroken.outcome == End::Done).then(|| whole.standing());
    check_trace(&whole.records());
    check_end(&unbroken, &whole, &begun, goal.as_ref());
    check_batches(case, &whole);
    let rig = Rig::new();
    let end = live(case, &rig).await;
    if rig.journal.runs(1).unwrap().is_empty() {
        return;
    }
    let story = || {
        let line = |r: Record| {
            let mut event = serde_json::to_value(&r.event).unwrap();
            let map = event.as_object_mut().unwrap();
            map.entry("changes")
                .and_modify(|c| *c = c[0]["what"].as_object().unwrap().keys().next().unwrap().as_str().into());
            for key in
                ["value", "before", "then", "seen", "expect", "boot", "pays", "undo", "operator", "within", "params"]
            {
                map.remove(key);
            }
            event.to_string()
        };
        rig.records().into_iter().skip(2).map(line).collect::<Vec<_>>().join("\n")
    };
    let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        check_trace(&rig.records());
        assert_eq!(rig.world.harm(), Vec::<String>::new(), "harm on the way");
        let Some(end) = end else { return };
        check_end(&end, &rig, &begun, goal.as_ref());
        if case.faults.is_empty() && case.stop.is_none() && !case.rollback {
            assert_eq!(end.outcome, unbroken.outcome, "a resumed run ends like an unbroken one");
            assert_eq!(differ(&rig.standing(), &whole.standing()), [] as [String; 0]);
            let acts = |rig: &Rig| {
                let mut acts: Vec<String> = rig.done();
                acts.sort();
                acts
            };
            // Where a step of a parallel group fails, how far its siblings had come is a matter of time, and with it what is
            // taken back: a restart under way is restarted again, one that was over is not.
            let race = end.outcome != End::Done && case.parts.iter().any(|p| matches!(p, Part::Parallel(_)));
            assert!(
                race || acts(&rig) == acts(&whole),
                "an act was lost or doubled: {:?}, not {:?}",
                acts(&rig),
                acts(&whole)
            );
        }
    }));
    assert!(checked.is_ok(), "{}\n", story());
}

fn number(name: &str, or: u32) -> u32 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(or)
}

/// So many runs, each seed on a thread of its own; what fails is shrunk, and told with all that it takes to play it again.
#[test]
fn random_runbooks_end_where_they_say_whatever_goes_wrong() {
    let (cases, first) = (number("PROPERTY_CASES", 32), number("PROPERTY_SEED", 1));
    let threads = number("PROPERTY_THREADS", 1).max(1);
    let share = cases.div_ceil(threads);
    let failed: Vec<String> = std::thread::scope(|scope| {
        let work: Vec<_> = (first..first + threads).map(|seed| scope.spawn(move || some(share, seed))).collect();
        work.into_iter().filter_map(|seed| seed.join().unwrap()).collect()
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// What failed among the cases of a seed.
fn some(cases: u32, seed: u32) -> Option<String> {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 600, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let tried = runner.run(&case(), |case| {
        if let Ok(file) = std::env::var("PROPERTY_TRACE") {
            std::fs::write(file, format!("{case:?}")).unwrap();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(hold(&case));
        Ok(())
    });
    let Err(TestError::Fail(why, case)) = tried else { return None };
    Some(format!("PROPERTY_SEED={seed} PROPERTY_CASES={cases}: {why}\n{case:?}"))
}
