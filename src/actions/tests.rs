//! Cases as data, and what holds for all actions.

use super::*;
use crate::{
    base::{
        Act, FileFacts, Hash, Outcome, Output, RecordFacts, RecordSet, RunId, ServerFacts, ServerState, Source, TaskId,
        UnitFacts, UnitState,
    },
    inventory::sample::sample,
    transport::{Links, Simulated, Terms, Transport},
};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;
use std::{collections::BTreeMap, path::Path};

struct Shelf;
impl Contents for Shelf {
    fn file(&self, path: &str) -> Result<Content, Refusal> {
        if path.contains("missing") {
            return Err(Refusal::of("src", format!("no file `{path}`")));
        }
        let (hash, size) = (Hash::of(path.as_bytes()), path.len() as u64);
        Ok(Content { hash, size, from: Source::File(format!("/project/{path}")) })
    }
    fn template(&self, path: &str) -> Result<String, Refusal> {
        self.file(path).map(|_| format!("of {path}"))
    }
    fn text(&self, text: &Text) -> Result<Content, Refusal> {
        let (hash, size) = (Hash::of(text.0.as_bytes()), text.0.len() as u64);
        Ok(Content { hash, size, from: Source::Text(text.clone()) })
    }
    fn render(&self, template: &str) -> Result<Text, Refusal> {
        Ok(Text(format!("filled {template}")))
    }
}

pub(in crate::actions) fn bind(
    action: &str,
    args: Value,
    host: &str,
    inventory: &Inventory,
    more: (&[HostName], &[String]),
) -> Result<Box<dyn Task>, Refusal> {
    let target = Target {
        host: inventory.host(host).expect("a host of the sample"),
        inventory,
        contents: &Shelf,
        become_user: Some("root".into()),
        under_way: more.0,
        timeout: Duration::from_secs(300),
        touches: more.1,
        now: "2026-11-23T12:00:00Z".parse().unwrap(),
    };
    Entry::find(CATALOG, action).unwrap_or_else(|| panic!("no action {action}")).bind(args, &target)
}

/// One situation. `seen` is `before` unless given, `after` nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    args: Value,
    #[serde(default = "first_host")]
    host: String,
    #[serde(default)]
    under_way: Vec<HostName>,
    #[serde(default)]
    touches: Vec<String>,
    #[serde(default)]
    without_mail: bool,
    #[serde(default)]
    undo: bool,
    #[serde(default, deserialize_with = "given")]
    before: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    seen: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    after: Option<Value>,
    #[serde(default)]
    did: Vec<Did>,
    /// The last change of those.
    last: Option<Change>,
    #[serde(default)]
    elapsed: Span,
    #[serde(default)]
    rested: Span,
    #[serde(default)]
    late: bool,
    want: Want,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Did {
    code: Option<i32>,
    #[serde(default)]
    stdout: String,
    #[serde(default)]
    redacted: bool,
}

/// Texts are parts of what is said; changes are parts of what is changed, in order.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Want {
    Changes(Vec<Value>),
    Wait(String),
    Done(Value),
    GivesUp(String),
    Refused(String),
}

/// A `null` that is written is a fact: no file.
fn given<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(d).map(Some)
}

fn first_host() -> String {
    "dc1-app1".into()
}

/// `HASH:TEXT` stands for the hash of a text.
fn hashed(value: Value) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix("HASH:") {
            Some(of) => json!(Hash::of(of.as_bytes())),
            None => Value::String(text),
        },
        Value::Array(list) => list.into_iter().map(hashed).collect(),
        Value::Object(map) => Value::Object(map.into_iter().map(|(k, v)| (k, hashed(v))).collect()),
        other => other,
    }
}

fn check(action: &str, case: Case) -> Result<(), String> {
    let mut inventory = sample();
    if case.without_mail {
        inventory.mail = None;
    }
    let bound = bind(action, case.args, &case.host, &inventory, (&case.under_way, &case.touches));
    let task = match (bound, &case.want) {
        (Err(refusal), Want::Refused(part)) if refusal.why.contains(part) => return Ok(()),
        (Err(refusal), want) => return Err(format!("refused: {}, wanted {want:?}", refusal.why)),
        (Ok(_), Want::Refused(part)) => return Err(format!("bound, should be refused: {part}")),
        (Ok(task), _) => task,
    };
    let recalled = Entry::find(CATALOG, action).unwrap().recall(task.value()).map_err(|e| e.to_string())?;
    if recalled.value() != task.value() {
        return Err("another value comes back from the journal".into());
    }
    let before = hashed(case.before.or_else(|| case.seen.clone()).unwrap_or(json!({})));
    let seen = case.seen.map_or_else(|| before.clone(), hashed);
    let after = case.after.map(hashed);
    let receipt = |did: Did| Receipt {
        code: did.code,
        stdout: Output { bytes: did.stdout.len() as u64, text: did.stdout, redacted: did.redacted },
        ..Receipt::of(Outcome::Ok)
    };
    let turn = Turn {
        before: &before,
        seen: &seen,
        after: after.as_ref(),
        did: case.did.into_iter().map(receipt).collect(),
        last: case.last.map(|change| Place::HERE.at(change)),
        elapsed: case.elapsed.0,
        rested: case.rested.0,
        late: case.late,
    };
    let way = if case.undo { Way::Undo } else { Way::Forward };
    let next = recalled.next(way, turn).map_err(|e| e.to_string())?;
    let right = match (&next, &case.want) {
        (Next::Do { changes, .. }, Want::Changes(want)) => {
            changes.len() == want.len()
                && changes
                    .iter()
                    .zip(want)
                    .all(|(c, w)| holds(&hashed(w.clone()), &serde_json::to_value(&c.what).unwrap()))
        }
        (Next::Wait { why, .. }, Want::Wait(part)) | (Next::GiveUp(why), Want::GivesUp(part)) => why.contains(part),
        (Next::Done { outputs }, Want::Done(want)) => holds(want, outputs),
        _ => false,
    };
    right.then_some(()).ok_or_else(|| format!("{next:?}, wanted {:?}", case.want))
}

#[test]
fn every_case_is_decided_as_it_says_and_every_action_has_cases() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut wrong = vec![];
    for entry in CATALOG {
        let mut files: Vec<_> = match std::fs::read_dir(root.join(entry.name)) {
            Ok(files) => files.map(|f| f.unwrap().path()).collect(),
            Err(_) => vec![],
        };
        files.sort();
        if files.is_empty() {
            wrong.push(format!("{}: no cases", entry.name));
        }
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let name = format!("{}/{}", entry.name, file.file_stem().unwrap().to_string_lossy());
            match serde_yaml::from_str::<Case>(&text) {
                Ok(case) => wrong.extend(check(entry.name, case).err().map(|why| format!("{name}: {why}"))),
                Err(e) => wrong.push(format!("{name}: {e}")),
            }
        }
    }
    for folder in std::fs::read_dir(&root).unwrap() {
        let name = folder.unwrap().file_name().to_string_lossy().into_owned();
        if Entry::find(CATALOG, &name).is_none() {
            wrong.push(format!("{name}: cases without an action"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_argument_is_explained() {
    for entry in CATALOG {
        let mut generator = SchemaGenerator::default();
        let schema = entry.schema(&mut generator);
        let text = serde_json::to_string(&(schema.as_value(), generator.definitions())).unwrap();
        assert!(text.contains("description"), "{}: {text}", entry.name);
        assert!(entry.about.chars().next().is_some_and(char::is_uppercase), "{}", entry.about);
    }
}

/// One leg of a task, as the engine drives it; the acts that it took.
pub(in crate::actions) async fn drive(
    task: &dyn Task,
    way: Way,
    world: &Simulated,
    before: &Value,
    after: Option<&Value>,
) -> Result<usize, String> {
    let began = tokio::time::Instant::now();
    let (mut did, mut last, mut rested) = (vec![], None, began);
    let at = Duration::from_secs(300);
    loop {
        let seen = see(task, world).await.map_err(|e| e.to_string())?;
        let turn = Turn {
            before,
            seen: &seen,
            after,
            did: did.clone(),
            last: last.clone(),
            elapsed: began.elapsed(),
            rested: rested.elapsed(),
            late: began.elapsed() > at,
        };
        match task.next(way, turn).map_err(|e| e.to_string())? {
            Next::Do { changes, .. } => {
                for change in changes {
                    let host = change.at.host.as_ref();
                    let boot = world.look(host, &[]).await.unwrap().boot;
                    let (run, name) = (RunId::at_millis(world.acts() as u64 + 1), HostName::new("x"));
                    let act = Act { run, task: TaskId::new("1", &name), way, number: did.len(), boot };
                    let terms = Terms { within: at, interruptible: true };
                    let receipt = world.carry(&act, &change, terms).await.unwrap();
                    if receipt.outcome != Outcome::Ok {
                        return Err(format!("{:?}", receipt.outcome));
                    }
                    did.push(receipt);
                    last = Some(change);
                }
                rested = tokio::time::Instant::now();
            }
            Next::Wait { every, .. } => tokio::time::sleep(every).await,
            Next::Done { .. } if way == Way::Undo && !task.same(before, &seen).unwrap() => {
                return Err(format!("says undone, but {seen} is not {before}"));
            }
            Next::Done { .. } => return Ok(did.len()),
            Next::GiveUp(why) => return Err(why),
        }
    }
}

pub(in crate::actions) async fn see(task: &dyn Task, world: &Simulated) -> Result<Value, ReadError> {
    let mut answers = vec![];
    for read in task.reads() {
        answers.extend(world.look(read.at.host.as_ref(), std::slice::from_ref(&read)).await.unwrap().answers);
    }
    task.facts(answers)
}

fn learn_all(world: &Simulated, task: &dyn Task, start: &Start) {
    for read in task.reads() {
        let answer = match &read.what {
            // what a timer starts runs for a moment only
            Read::Unit { name } if name == "settle.service" => {
                Answer::Unit(UnitFacts { loaded: true, ..UnitFacts::default() })
            }
            Read::Unit { .. } => Answer::Unit(UnitFacts {
                loaded: true,
                state: start.state,
                enabled: start.healthy,
                pid: u32::from(start.state == UnitState::Active) * 7,
                invocation: "old".into(),
                since: 5,
            }),
            Read::File { .. } => Answer::File(start.file.clone()),
            Read::Http(_) => {
                let status = (start.state == UnitState::Active).then_some(if start.healthy { 200 } else { 503 });
                Answer::Http(crate::base::HttpFacts { status, ..Default::default() })
            }
            Read::Server { .. } => Answer::Server(start.server.clone()),
            Read::Run(_) => {
                let code = Some(if start.state == UnitState::Active { 0 } else { 3 });
                Answer::Run(crate::base::RunFacts { code, ..Default::default() })
            }
            Read::Record(_) => Answer::Record(RecordFacts { primary: start.records.clone(), ..RecordFacts::default() }),
            Read::Order(_) => Answer::Order(Box::default()),
            Read::Tcp { .. }
            | Read::Pair(_)
            | Read::Served(_)
            | Read::Addresses(_)
            | Read::Postgres(_)
            | Read::Client(_) => Answer::Open,
            Read::Proof(_) => Answer::Proof(crate::base::ProofFacts::default()),
        };
        world.learn(&read, &answer);
    }
}

#[derive(Clone, Debug)]
struct Start {
    state: UnitState,
    healthy: bool,
    file: Option<FileFacts>,
    server: ServerFacts,
    records: RecordSet,
}

fn starts() -> impl Strategy<Value = Start> {
    let state = prop_oneof![Just(UnitState::Active), Just(UnitState::Inactive), Just(UnitState::Failed)];
    let file = proptest::option::of(("[ab]", 0o400u32..0o777).prop_map(|(text, mode)| FileFacts {
        hash: Hash::of(text.as_bytes()),
        size: 1,
        mode,
        owner: "root".into(),
        group: "adm".into(),
        link: None,
    }));
    let set = prop_oneof![Just(ServerState::Ready), Just(ServerState::Drain), Just(ServerState::Maint)];
    let server =
        (set, 0u64..9).prop_map(|(state, sessions)| ServerFacts { state, sessions, up: state != ServerState::Maint });
    let records = proptest::collection::btree_set("10\\.0\\.0\\.[1-4]", 0..4).prop_map(|values| {
        let ttl = (!values.is_empty()).then_some(300);
        RecordSet { values, ttl }
    });
    (state, any::<bool>(), file, server, records).prop_map(|(state, healthy, file, server, records)| Start {
        state,
        healthy,
        file,
        server,
        records,
    })
}

fn record(state: &str, values: &[&str], ttl: Option<&str>) -> Value {
    json!({"zone": "lab.test", "name": "www", "type": "A", "values": values, "ttl": ttl, "state": state})
}

fn actions() -> impl Strategy<Value = (&'static str, Value)> {
    let server = json!({"balancer": "front", "backend": "billing"});
    prop_oneof![
        Just(("app.stop", json!({"app": "billing"}))),
        Just(("app.start", json!({"app": "billing"}))),
        Just(("app.stop", json!({"app": "batch"}))),
        Just(("app.start", json!({"app": "batch"}))),
        Just(("app.restart", json!({"app": "billing"}))),
        Just(("app.restart", json!({"app": "batch"}))),
        Just(("file.copy", json!({"content": "b", "dest": "/etc/x", "mode": "0640"}))),
        Just(("file.copy", json!({"content": "a", "dest": "/etc/x", "owner": "ops"}))),
        Just(("file.template", json!({"src": "t", "dest": "/etc/x"}))),
        Just(("file.absent", json!({"dest": "/etc/x"}))),
        Just(("jobs.stop", json!({"timers": ["settle.timer"], "within": "1s"}))),
        Just(("jobs.start", json!({"timers": ["settle.timer"]}))),
        Just(("haproxy.drain", server.clone())),
        Just(("haproxy.enable", server)),
        Just(("dns.update", record("present", &["10.0.0.1"], None))),
        Just(("dns.update", record("present", &["10.0.0.1", "10.0.0.2"], Some("1m")))),
        Just(("dns.update", record("only", &["10.0.0.3"], Some("1m")))),
        Just(("dns.update", record("absent", &["10.0.0.1"], None))),
        Just(("dns.update", record("absent", &[], None))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_is_done_is_not_done_again_and_can_be_undone(start in starts(), (name, args) in actions()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let inventory = sample();
            let world = Simulated::new(Links::of(&inventory));
            let task = bind(name, args, "dc1-app1", &inventory, (&[], &[])).unwrap();
            learn_all(&world, &*task, &start);
            let before = see(&*task, &world).await.unwrap();
            let begun = world.standing();
            let sick_for_good = name == "app.start" && start.state == UnitState::Active && !start.healthy && before["health"]["healthy"] == false;
            let ahead = drive(&*task, Way::Forward, &world, &before, None).await;
            if sick_for_good {
                prop_assert!(ahead.unwrap_err().contains("did not become healthy"));
                return Ok(());
            }
            let acts = ahead.map_err(TestCaseError::fail)?;
            let after = see(&*task, &world).await.unwrap();
            if name != "app.restart" {
                prop_assert_eq!(drive(&*task, Way::Forward, &world, &after, None).await, Ok(0), "the second time");
            }
            let back = drive(&*task, Way::Undo, &world, &before, Some(&after)).await;
            prop_assert!(back.is_ok(), "{:?} after {} acts", back, acts);
            let lasting = |standing: BTreeMap<String, String>| -> BTreeMap<String, String> {
                standing.into_iter().map(|(k, v)| (k, v.replace(", sick", ""))).collect()
            };
            prop_assert_eq!(lasting(world.standing()), lasting(begun));
            Ok(())
        })?;
    }
}

#[tokio::test(start_paused = true)]
async fn an_app_of_commands_is_started_again_only_once_its_stop_shows() {
    let inventory = sample();
    let world = Simulated::new(Links::of(&inventory));
    let task = bind("app.restart", json!({"app": "batch"}), "dc1-app1", &inventory, (&[], &[])).unwrap();
    let server = ServerFacts { state: ServerState::Ready, sessions: 0, up: true };
    learn_all(
        &world,
        &*task,
        &Start { state: UnitState::Active, healthy: true, file: None, server, records: RecordSet::default() },
    );
    let before = see(&*task, &world).await.unwrap();
    // a start would find the old process, and call it a restart
    world.fault(0, crate::transport::Fault::NoEffect);
    let why = drive(&*task, Way::Forward, &world, &before, None).await.unwrap_err();
    assert!(why.contains("it still runs after its stop"), "{why}");
    assert_eq!(drive(&*task, Way::Forward, &world, &before, None).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_switchover_of_patroni_moves_the_leader_and_is_not_told_twice() {
    let inventory = sample();
    let world = Simulated::new(Links::of(&inventory));
    let args = json!({"database": "led-db", "from": "dc1-db1", "follows": true});
    let task = bind("patroni.switchover", args, "dc2-db1", &inventory, (&[], &[])).unwrap();
    let cluster = r#"{"members": [{"name": "one", "host": "10.77.0.13", "role": "leader", "state": "running"},
        {"name": "two", "host": "10.77.0.23", "role": "replica", "state": "streaming"}]}"#;
    for (read, body) in task.reads().iter().zip([cluster, r#"{"state": "running", "role": "replica"}"#]) {
        let facts = crate::base::HttpFacts { status: Some(200), body: body.into(), error: None };
        world.learn(read, &Answer::Http(facts));
    }
    let before = see(&*task, &world).await.unwrap();
    assert_eq!(drive(&*task, Way::Forward, &world, &before, None).await, Ok(1));
    let after = see(&*task, &world).await.unwrap();
    assert_eq!((&after["leader"], &after["writable"]), (&json!("two"), &json!(true)));
    assert_eq!(drive(&*task, Way::Forward, &world, &after, None).await, Ok(0));
    let back = drive(&*task, Way::Undo, &world, &before, Some(&after)).await;
    assert!(back.unwrap_err().contains("not taken back"));
}
