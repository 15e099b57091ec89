use super::*;
use crate::{
    actions::{CATALOG, Refusal},
    base::{Content, Hash, Redactor, Source, Text, WallClock},
    engine::{Store, plan::Plan},
    inventory::Inventory,
    journal::{
        event::{Notice, Operator, Watcher},
        memory::MemoryJournal,
    },
    runbook::project::Project,
    transport::Transport,
    verbs::app::{Verb, compose},
};
use std::{collections::BTreeMap, path::Path, sync::Arc};

struct Quiet;
impl Watcher for Quiet {
    fn record(&self, _: &Record) {}
    fn notice(&self, _: &Notice) {}
}

/// Contents whose bytes are their own text.
struct Texts;
impl Store for Texts {
    fn file(&self, path: &str) -> Result<Content, Refusal> {
        self.text(&Text(format!("content of {path}")))
    }
    fn read(&self, path: &str) -> Result<String, Refusal> {
        Ok(format!("content of {path}"))
    }
    fn text(&self, text: &Text) -> Result<Content, Refusal> {
        Ok(Content { hash: Hash::of(text.0.as_bytes()), size: text.0.len() as u64, from: Source::Text(text.clone()) })
    }
    fn show(&self, _: &Content) -> Option<Vec<u8>> {
        None
    }
}

/// Rehearses on a world that nobody looked at.
fn rehearsed(folder: &str, text: &str, wish: Wish, pairs: bool) -> Rehearsal {
    rehearsed_with(CATALOG, folder, text, wish, pairs)
}

fn rehearsed_with(catalog: &'static [Entry], folder: &str, text: &str, wish: Wish, pairs: bool) -> Rehearsal {
    played(catalog, &opened(catalog, folder), text, wish, pairs)
}

/// Rehearses in a world of another inventory than the example's.
pub(super) fn rehearsed_in(catalog: &'static [Entry], inventory: Inventory, text: &str) -> Rehearsal {
    let mut project = opened(catalog, "tests/data/example");
    project.inventory = inventory;
    played(catalog, &project, text, Wish::Healthy, false)
}

/// Rehearses in such a world.
pub(super) fn rehearsed_on(transport: Arc<dyn Transport>, inventory: Inventory, text: &str) -> Rehearsal {
    let mut project = opened(CATALOG, "tests/data/example");
    project.inventory = inventory;
    played_on(CATALOG, &project, text, transport, false)
}

fn opened(catalog: &'static [Entry], folder: &str) -> Project {
    let names: Vec<&'static str> = catalog.iter().map(|e| e.name).collect();
    Project::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &names).unwrap()
}

fn played(catalog: &'static [Entry], project: &Project, text: &str, wish: Wish, pairs: bool) -> Rehearsal {
    played_on(catalog, project, text, Arc::new(Assumed::wished(&project.inventory, wish)), pairs)
}

fn played_on(
    catalog: &'static [Entry],
    project: &Project,
    text: &str,
    transport: Arc<dyn Transport>,
    pairs: bool,
) -> Rehearsal {
    let (stage, order) = set(catalog, project, text, transport);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (planned, known) = runtime.block_on(observe(&stage, &order)).unwrap();
    rehearse(&stage, &order, &planned, &known, Extent { pairs, all: false }, (&|_, _| {}, &|| false)).unwrap().unwrap()
}

/// The plan alone, in a world of another inventory.
pub(super) fn planned_in(inventory: Inventory, text: &str) -> Plan {
    let mut project = opened(CATALOG, "tests/data/example");
    project.inventory = inventory;
    let transport = Arc::new(Assumed::wished(&project.inventory, Wish::Healthy));
    let (stage, order) = set(CATALOG, &project, text, transport);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(observe(&stage, &order)).unwrap().0.plan
}

fn set(catalog: &'static [Entry], project: &Project, text: &str, transport: Arc<dyn Transport>) -> (Stage, Order) {
    let text = if text.contains("svcops: 1") { text.to_owned() } else { format!("svcops: 1\nname: test\n{text}") };
    let runbook = project.runbook_text("runbooks/test.yaml", &text).unwrap_or_else(|f| panic!("{f:?}"));
    let params: BTreeMap<_, _> =
        runbook.params.iter().filter_map(|p| p.default.clone().map(|d| (p.name.clone(), d))).collect();
    let stage = Stage {
        root: project.root.clone(),
        inventory: Arc::new(project.inventory.clone()),
        catalog,
        transport,
        journal: Arc::new(MemoryJournal::new()),
        locks: None,
        clock: Arc::new(WallClock),
        watcher: Arc::new(Quiet),
        store: Arc::new(Texts),
        redactor: Redactor::default(),
    };
    let operator = Operator { name: "ops".into(), uid: 1000, login: true, machine: "desk".into(), pid: 1 };
    let order =
        Order { runbook, params, limit: None, limited_by: None, parallel: 8, operator, reason: None, ticket: None };
    (stage, order)
}

fn example(text: &str) -> Rehearsal {
    rehearsed("tests/data/example", text, Wish::Healthy, false)
}

/// Why it is wrong without a fault, and each kind of point that is: its act, its fault, and why.
pub(super) fn wrong(rehearsal: &Rehearsal) -> Vec<String> {
    let mut told: Vec<String> = rehearsal.unbroken.why.clone();
    for point in rehearsal.points.iter().filter(|p| p.ending.verdict == Verdict::Wrong) {
        let deed = &rehearsal.deeds[point.deed];
        told.push(format!("{} {}: {}", deed.task, point.trouble.words(), point.ending.why.join("; ")));
    }
    told
}

const DRAIN: &str =
    "{name: Drain, haproxy.drain: {balancer: front, backend: billing, server: \"{{ host.name }}\", within: 30s}}";
const ENABLE: &str = "{name: Enable, haproxy.enable: {balancer: front, backend: billing, server: \"{{ host.name }}\"}}";

fn rolling(steps: &[&str]) -> String {
    let steps: String = steps.iter().map(|step| format!("      - {step}\n")).collect();
    format!(
        "targets: role=app, site=dc1\nsteps:\n  - name: Node by node\n    rolling: {{batch: 1}}\n    steps:\n{steps}"
    )
}

#[test]
fn the_rolling_restart_is_rehearsed_at_every_act_with_every_fault_and_is_clean() {
    let rehearsal = example(&rolling(&[DRAIN, "{name: Restart, app.restart: {app: billing}}", ENABLE]));
    assert_eq!(rehearsal.deeds.len(), 6, "three acts on each of two hosts");
    assert_eq!(rehearsal.points.len(), 6 * Trouble::ALL.len());
    assert_eq!(wrong(&rehearsal), [] as [String; 0]);
    assert!(rehearsal.is_clean(), "{:#?}", rehearsal.unclean());
    let of = |trouble| rehearsal.points.iter().filter(move |p| p.trouble == trouble).map(|p| p.ending.verdict);
    assert!(of(Trouble::KilledResumed).all(|v| v == Verdict::Done));
    assert!(of(Trouble::KilledBack).all(|v| v == Verdict::Before));
    assert!(of(Trouble::LostForGood).all(|v| v == Verdict::Person));
    // only what starts something can start it badly
    assert_eq!(of(Trouble::Act(Fault::Sick)).filter(|v| *v == Verdict::Nothing).count(), 4);
}

#[test]
fn a_pair_of_faults_may_need_a_person_and_leaves_nothing_unnamed() {
    let text = rolling(&[DRAIN, "{name: Restart, app.restart: {app: billing}}", ENABLE]);
    let rehearsal = rehearsed("tests/data/example", &text, Wish::Healthy, true);
    assert_eq!(rehearsal.pairs.len(), 6 * Fault::ALL.len() * GAPS * SECOND.len());
    let wrong: Vec<_> = rehearsal.pairs.iter().filter(|p| p.ending.verdict == Verdict::Wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_takes_all_hosts_of_an_app_at_once_is_found_without_a_fault() {
    let all_at_once = example("targets: role=app\nsteps:\n  - {name: Restart, app.restart: {app: billing}}\n");
    let why = &all_at_once.unbroken.why;
    assert!(why.iter().any(|w| w.contains("has 0 healthy hosts, 1 are promised")), "{why:?}");
    assert!(!all_at_once.is_clean());
    let all_drained = example(&format!(
        "targets: role=app\nsteps:\n  - {DRAIN}\n  - {{name: Restart, app.restart: {{app: billing}}}}\n  - {ENABLE}\n"
    ));
    assert!(!all_drained.is_clean());
    // who means to stop it all does no harm by that
    let stopped = example(&format!("targets: role=app\nsteps:\n  - {DRAIN}\n  - app.stop: {{app: billing}}\n"));
    assert_eq!(stopped.unbroken.why, [] as [String; 0]);
}

#[test]
fn what_many_hosts_do_alike_is_tried_on_three_of_them() {
    let mut deeds: Vec<Deed> = (1..=5)
        .flat_map(|n| ["1", "2"].map(|step| (step, n)))
        .map(|(step, n)| Deed {
            task: TaskId::new(step, &HostName::new(format!("web{n}"))),
            step: step.into(),
            host: HostName::new(format!("web{n}")),
            what: format!("start `web{n}.service`"),
            bare: false,
            leaves_nothing: false,
            tried: true,
        })
        .collect();
    deeds[4].what = "start `other.service`".into();
    sample(&mut deeds);
    let left: Vec<&str> = deeds.iter().filter(|d| !d.tried).map(|d| d.task.as_str()).collect();
    // of step 1 one host does something else, so four are alike
    assert_eq!(left, ["2@web3", "1@web4", "2@web4"]);
}

#[test]
fn a_host_that_is_left_drained_is_found() {
    let rehearsal = example(&rolling(&[DRAIN, "{name: Restart, app.restart: {app: billing}}"]));
    assert!(!rehearsal.is_clean());
    insta::assert_snapshot!(wrong(&rehearsal).join("\n"), @r"
    left so: `billing/dc1-app1` takes no traffic, though `billing.service` on `dc1-app1` is healthy
    left so: `billing/dc1-app2` takes no traffic, though `billing.service` on `dc1-app2` is healthy
    ");
}

#[test]
fn a_wrong_undo_is_found() {
    let switch = "{name: Switch, command: ln -sfn v2 /opt/app, touches: [\"file:/opt/app\"], \
                  undo: [{command: ln -sfn v1 /opt/ap, touches: [\"file:/opt/ap\"]}]}";
    let rehearsal = example(&format!("targets: dc1-app1\nsteps:\n  - {switch}\n  - {{app.stop: {{app: billing}}}}\n"));
    assert!(!rehearsal.is_clean());
    insta::assert_snapshot!(wrong(&rehearsal)[0], @r"1@dc1-app1 fails after its effect: dc1-app1/step/1 is done, and touches file:/opt/app, where absent was to be");
    let right = switch.replace("/opt/ap,", "/opt/app,").replace("file:/opt/ap\"", "file:/opt/app\"");
    let rehearsal = example(&format!("targets: dc1-app1\nsteps:\n  - {right}\n  - {{app.stop: {{app: billing}}}}\n"));
    assert!(rehearsal.is_clean(), "{:#?}", rehearsal.unclean());
    assert_eq!(rehearsal.opaque, ["1 Switch"]);
}

/// An action that takes a server out of its backend and forgets it there: its undo does nothing, and what it calls lasting
/// does not tell.
mod planted {
    use crate::{
        actions::{Action, Next, Refusal, Target, Turn},
        base::{At, Change, Lock, Read, ServerFacts, ServerState},
        resources::{Answers, BackendServer, ReadError, Resource},
    };
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    #[derive(Deserialize, JsonSchema)]
    pub(super) struct Args {}
    #[derive(Serialize, Deserialize)]
    pub(super) struct Careless(BackendServer);
    #[derive(Serialize, Deserialize)]
    pub(super) struct Forgets(Careless);

    impl Resource for Careless {
        type Facts = ServerFacts;
        fn lock(&self) -> Lock {
            self.0.lock()
        }
        fn parents(&self) -> Vec<Lock> {
            self.0.parents()
        }
        fn reads(&self) -> Vec<At<Read>> {
            self.0.reads()
        }
        fn facts(&self, answers: &mut Answers) -> Result<ServerFacts, ReadError> {
            self.0.facts(answers)
        }
        fn lasting(_: ServerFacts) -> ServerFacts {
            ServerFacts { state: ServerState::Ready, sessions: 0, up: false }
        }
    }

    impl Action for Forgets {
        const NAME: &'static str = "planted.forgets";
        const ABOUT: &'static str = "Leaves a server drained";
        type Args = Args;
        type On = Careless;
        fn bind(_: Args, target: &Target<'_>) -> Result<Self, Refusal> {
            let found = &target.inventory.balancers["front"];
            Ok(Self(Careless(BackendServer {
                at: target.place_on(found.host.as_ref().unwrap()),
                balancer: found.name.clone(),
                api: found.api.clone(),
                backend: "billing".into(),
                server: target.host.name.to_string(),
            })))
        }
        fn on(&self) -> &Careless {
            &self.0
        }
        fn next(&self, turn: &Turn<ServerFacts>) -> Next {
            if turn.seen.state == ServerState::Drain {
                return Next::done();
            }
            let BackendServer { at, api, backend, server, .. } = self.0.0.clone();
            Next::act(
                at.at(Change::SetServer { api, backend, server, state: ServerState::Drain }),
                serde_json::Value::Null,
            )
        }
        fn undo(&self, _: &Turn<ServerFacts>) -> Next {
            Next::done()
        }
    }
}

#[test]
fn an_action_that_does_not_take_back_what_it_did_is_found_though_the_engine_believes_it() {
    let planted: Vec<Entry> = CATALOG.iter().copied().chain([Entry::of::<planted::Forgets>()]).collect();
    let text =
        "targets: dc1-app1\nsteps:\n  - {name: Out, planted.forgets: {}}\n  - {name: Stop, app.stop: {app: billing}}\n";
    let rehearsal = rehearsed_with(planted.leak(), "tests/data/example", text, Wish::Healthy, false);
    assert!(!rehearsal.is_clean());
    let wrong = wrong(&rehearsal);
    insta::assert_snapshot!(wrong[0], @"1@dc1-app1 fails after its effect: lb/backend/billing/dc1-app1 is draining, where ready was to be");
    // at the act itself, and at the one after it
    assert_eq!(
        wrong.iter().filter(|line| line.contains("is draining, where ready was to be")).count(),
        12,
        "{wrong:#?}"
    );
}

#[test]
fn an_app_that_a_way_back_takes_from_its_users_is_found() {
    // the way there drains before it stops; the steps that take it back do not
    let text = format!(
        "targets: dc1-app1\nsteps:\n  - {DRAIN}\n  - {{name: Restart, app.restart: {{app: billing}}}}\n  - {ENABLE}\n  \
         - {{name: Note, command: note, undo: [{{app.restart: {{app: billing}}}}]}}\n  - {{app.reload: {{app: billing}}}}\n"
    );
    let rehearsal = example(&text);
    let told = "on the way: `billing.service` on `dc1-app1` goes away while its server takes traffic";
    assert!(wrong(&rehearsal).iter().any(|line| line.contains(told)), "{:#?}", wrong(&rehearsal));
}

#[test]
fn secrets_are_named_and_not_read_where_there_are_no_hosts() {
    struct NoSecrets;
    impl Store for NoSecrets {
        fn file(&self, path: &str) -> Result<Content, Refusal> {
            Texts.file(path)
        }
        fn read(&self, path: &str) -> Result<String, Refusal> {
            Texts.read(path)
        }
        fn text(&self, text: &Text) -> Result<Content, Refusal> {
            if text.names().is_empty() { Texts.text(text) } else { Err(Refusal::new("no such secret here")) }
        }
        fn show(&self, _: &Content) -> Option<Vec<u8>> {
            None
        }
    }
    let text = Text(format!("key = {}", Text::mark("tsig")));
    assert!(NoSecrets.text(&text).is_err());
    assert!(Sealed::over(Arc::new(NoSecrets)).text(&text).is_ok());
}

#[test]
fn a_forgotten_consequence_is_found() {
    let copy = "{name: Copy, file.copy: {content: new, dest: /etc/billing/billing.conf}}";
    let rehearsal = example(&format!("targets: dc1-app1\nsteps:\n  - {copy}\n"));
    assert!(!rehearsal.is_clean());
    insta::assert_snapshot!(wrong(&rehearsal).join("\n"), @r"a consequence is forgotten: `billing.service` on `dc1-app1` runs with an earlier `/etc/billing/billing.conf` than the one on its disk");
    let then = copy.replace("}}", "}, then: [{app.restart: {app: billing}}]}");
    assert!(example(&format!("targets: dc1-app1\nsteps:\n  - {then}\n")).is_clean());
}

#[test]
fn a_server_that_is_enabled_while_its_app_is_dead_is_found() {
    let rehearsal =
        example(&format!("targets: dc1-app1\nsteps:\n  - {DRAIN}\n  - {{app.stop: {{app: billing}}}}\n  - {ENABLE}\n"));
    assert!(!rehearsal.is_clean());
    insta::assert_snapshot!(wrong(&rehearsal).join("\n"), @r"
    on the way: `billing/dc1-app1` enabled while its app is dead
    it fails without a fault: `Enable` on `dc1-app1`: HAProxy did not hold `billing/dc1-app1` of `front` for up within 30s
    ");
}

#[test]
fn a_command_without_undo_is_clean_alone_and_past_the_point_of_no_return_and_nowhere_else() {
    let (bare, stop) = ("{name: Migrate, command: ./migrate}", "{name: Stop, app.stop: {app: billing}}");
    let rehearse = |steps: &[&str]| {
        let steps: String = steps.iter().map(|step| format!("  - {step}\n")).collect();
        example(&format!("targets: dc1-app1\nsteps:\n{steps}"))
    };
    let alone = rehearse(&[bare]);
    assert!(alone.is_clean(), "{:#?}", alone.unclean());
    for steps in [[bare, stop], [stop, bare]] {
        let rehearsal = rehearse(&steps);
        assert!(!rehearsal.is_clean());
        let named = |p: &&Point| p.ending.stands.iter().any(|s| s.contains("`Migrate` on `dc1-app1`"));
        assert!(rehearsal.unclean().iter().all(named), "{:#?}", rehearsal.unclean());
    }
    let forward = rehearse(&["{name: Migrate, command: ./migrate, no_return: true}", stop]);
    assert!(forward.points.iter().any(|p| p.ending.verdict == Verdict::Forward));
    assert!(forward.is_clean(), "{:#?}", forward.unclean());
}

#[test]
fn messages_pauses_and_good_restarts_are_clean() {
    let rehearsal = example(
        "targets: dc1-app1\nsteps:\n  - {name: Tell, notify.webhook: {url: \"http://127.0.0.1:9/x\"}}\n  \
         - {name: Wait, pause: {for: 5s}}\n  - {name: Restart, app.restart: {app: billing}}\n  \
         - {name: Told, always: true, notify.webhook: {url: \"http://127.0.0.1:9/y\"}}\n",
    );
    assert_eq!(wrong(&rehearsal), [] as [String; 0]);
    assert!(rehearsal.is_clean(), "{:#?}", rehearsal.unclean());
}

#[test]
fn what_always_runs_and_what_names_its_run_is_the_same_in_every_play() {
    let rehearsal = example(
        "targets: dc1-app1\nsteps:\n  - {name: Stop, app.stop: {app: billing}}\n  \
         - {name: Note, file.copy: {content: \"by {{ run.id }}\", dest: /etc/note}}\n  \
         - {name: Sweep, always: true, command: rm -rf /tmp/work}\n  \
         - {name: Last, always: true, file.copy: {content: over, dest: /etc/last}}\n",
    );
    assert_eq!(wrong(&rehearsal), [] as [String; 0]);
}

#[test]
fn what_could_not_be_rehearsed_is_named_and_is_not_clean() {
    let rehearsal = example(
        "targets: dc1-app1\nsteps:\n  - {name: Ask, id: ask, command: cat /etc/version, undo: [{command: \"true\"}]}\n  \
         - {name: Write, file.copy: {content: \"{{ steps.ask.one.stdout }}\", dest: /etc/seen}}\n",
    );
    assert_eq!(rehearsal.untried, ["2 Write"]);
    assert!(!rehearsal.is_clean());
}

#[test]
fn every_runbook_of_the_examples_is_clean() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks/examples/runbooks");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 9, "{files:?}");
    for file in files {
        let (name, text) = (file.file_stem().unwrap().to_str().unwrap(), std::fs::read_to_string(&file).unwrap());
        let wish = if name.ends_with("-start") { Wish::Stopped } else { Wish::Healthy };
        let rehearsal = rehearsed("runbooks/examples", &text, wish, false);
        assert_eq!(wrong(&rehearsal), [] as [String; 0], "{name}");
        assert!(rehearsal.is_clean(), "{name}: {:#?}", rehearsal.unclean());
        assert!(name == "readiness" || !rehearsal.deeds.is_empty(), "{name} does nothing");
    }
}

#[test]
fn every_verb_for_apps_is_clean() {
    let names: Vec<&'static str> = CATALOG.iter().map(|e| e.name).collect();
    let folder = "runbooks/examples";
    let project = Project::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &names).unwrap();
    for verb in [Verb::Stop, Verb::Start, Verb::Restart, Verb::Reload] {
        let text = compose(&project.inventory, verb, "billing", Some("dc1")).unwrap();
        let wish = if verb == Verb::Start { Wish::Stopped } else { Wish::Healthy };
        let rehearsal = rehearsed(folder, &text, wish, false);
        assert_eq!(wrong(&rehearsal), [] as [String; 0], "{}", verb.word());
        assert!(rehearsal.is_clean(), "{}: {:#?}", verb.word(), rehearsal.unclean());
        assert!(!rehearsal.deeds.is_empty(), "{} does nothing", verb.word());
    }
}

#[test]
fn facts_that_were_kept_are_read_again_and_others_are_refused() {
    let known = Known { schema_version: 1, assumed: true, facts: Vec::new() };
    let text = known.text(&Redactor::default()).unwrap();
    assert!(Known::read(text.as_bytes()).unwrap().assumed);
    assert!(matches!(Known::read(b"{}"), Err(FactsError::Shape(_))));
    assert!(matches!(Known::read(br#"{"schema_version": 2, "facts": []}"#), Err(FactsError::Version(2))));
}

fn renewal(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/certs");
    let names: Vec<&'static str> = CATALOG.iter().map(|e| e.name).collect();
    let project = Project::open(&path, &names).unwrap();
    let wish = crate::verbs::cert::Renewal { names: vec![name], ..Default::default() };
    crate::verbs::cert::compose(&project.inventory, &wish).unwrap()
}

#[test]
fn a_renewal_is_rehearsed_at_authority_host_and_consumer_and_is_clean() {
    let rehearsal = rehearsed("tests/data/certs", &renewal("billing-tls"), Wish::Healthy, false);
    let mut deeds: Vec<&str> = rehearsal.deeds.iter().map(|d| d.what.as_str()).collect();
    deeds.dedup();
    insta::assert_snapshot!(deeds.join("\n"), @r"
    make a key for `billing-tls` beside `/etc/billing/tls.key`
    have `house` sign a certificate for dc1-app1.lab.test, billing.lab.test
    write `/etc/billing/.svcops-billing-tls.pem`
    have `house` sign a certificate for dc1-app2.lab.test, billing.lab.test
    write `/etc/billing/.svcops-billing-tls.pem`
    put the new certificate of `billing-tls` in place: `/etc/billing/tls.key`, `/etc/billing/tls.crt`
    reload `billing.service`
    put the new certificate of `billing-tls` in place: `/etc/billing/tls.key`, `/etc/billing/tls.crt`
    reload `billing.service`
    ");
    assert_eq!(rehearsal.points.len(), rehearsal.deeds.len() * Trouble::ALL.len());
    assert_eq!(wrong(&rehearsal), [] as [String; 0]);
    assert!(rehearsal.is_clean(), "{:#?}", rehearsal.unclean());
    // whoever dies on the way can be gone on with, or taken back
    let of = |trouble| rehearsal.points.iter().filter(move |p| p.trouble == trouble).map(|p| p.ending.verdict);
    assert!(of(Trouble::KilledResumed).all(|v| v == Verdict::Done));
    assert!(of(Trouble::KilledBack).all(|v| v == Verdict::Before));
}

#[test]
fn a_request_for_people_is_rehearsed_and_waits_for_them() {
    let rehearsal = rehearsed("tests/data/certs", &renewal("corp-tls"), Wish::Healthy, false);
    assert_eq!(rehearsal.deeds.len(), 1, "{:?}", rehearsal.deeds);
    assert_eq!(wrong(&rehearsal), [] as [String; 0]);
    assert!(rehearsal.is_clean(), "{:#?}", rehearsal.unclean());
}
