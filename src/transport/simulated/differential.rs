//! The same change on a real host and on the simulated one, and the same reads afterwards: what is not volatile is equal.

use super::*;
use crate::base::{
    Algorithm, FileFacts, Keystore, Leaf, Outcome, PairChange, PairSpot, PgAsk, PgChange, PgDepth, PgFacts, PgSpot,
    Staged,
};
use crate::{
    base::{Content, HaproxyApi, HttpAsk, Redactor, RunId, ServerState, Source, Span, TaskId, Text, UnitState, Way},
    inventory::{Inventory, sample::sample},
    transport::{
        fleet::{Fleet, Options, Prompter},
        vault::Vault,
    },
};
use std::{collections::BTreeMap, sync::Arc};

const HOST: &str = "dc1-app2";
const FILE: &str = "/etc/billing/svcops-differential.conf";

struct Nobody;
impl Prompter for Nobody {
    fn ask(&self, _: &str, _: bool) -> Result<String, String> {
        Err("nobody is there".into())
    }
}

/// The lab's hosts, taken for this test alone; none where there is no lab.
fn lab() -> Option<(Inventory, std::fs::File)> {
    let Ok(state) = std::env::var("SVCOPS_LAB") else {
        println!("skipped: it needs the lab: SVCOPS_LAB is not set (tests/lab/README.md)");
        return None;
    };
    let lock = std::fs::File::create(format!("{}.test.lock", state.trim_end_matches('/'))).unwrap();
    lock.lock().unwrap();
    let mut inventory = sample();
    for host in &mut inventory.hosts {
        host.ssh.config = Some(format!("{state}/ssh_config"));
    }
    Some((inventory, lock))
}

fn host() -> Place {
    Place::on(&HostName::new(HOST)).becoming(Some("root".into()))
}

fn front() -> Place {
    Place::on(&HostName::new("lb"))
}

fn api() -> HaproxyApi {
    HaproxyApi::Socket("/run/haproxy/admin.sock".into())
}

fn set(state: ServerState) -> At<Change> {
    front().at(Change::SetServer { api: api(), backend: "billing".into(), server: HOST.into(), state })
}

fn write(text: &str, from: Source, mode: Option<u32>) -> At<Change> {
    let content = Content { hash: Hash::of(text.as_bytes()), size: text.len() as u64, from };
    let (owner, group) = (None, None);
    host().at(Change::WriteFile { path: FILE.into(), content, mode, owner, group, validate: None })
}

fn reads() -> Vec<At<Read>> {
    let ask = HttpAsk {
        url: "http://10.77.0.12:8080/health".into(),
        method: "GET".into(),
        headers: BTreeMap::new(),
        body: None,
        ca: None,
        within: Span::secs(5),
    };
    vec![
        host().at(Read::Unit { name: "billing.service".into() }),
        host().at(Read::Unit { name: "billing-tls.service".into() }),
        host().at(Read::File { path: FILE.into() }),
        front().at(Read::Server { api: api(), backend: "billing".into(), server: HOST.into() }),
        Place::HERE.at(Read::Http(ask)),
    ]
}

async fn look(world: &dyn Transport) -> Vec<Answer> {
    let mut answers = vec![];
    for read in reads() {
        answers.extend(world.look(read.at.host.as_ref(), std::slice::from_ref(&read)).await.unwrap().answers);
    }
    answers
}

/// What is not volatile; of a unit also whether its process and its last state change are new.
fn lasting(now: &[Answer], before: &[Answer]) -> Vec<String> {
    let one = |(now, before): (&Answer, &Answer)| match (now, before) {
        (Answer::Unit(n), Answer::Unit(b)) => {
            let new = (n.state == UnitState::Active && n.invocation != b.invocation, n.since != b.since, n.pid == 0);
            format!("{} {:?} {new:?}", n.loaded, n.state)
        }
        (Answer::Server(n), _) => format!("{:?} up: {}", n.state, n.up),
        (Answer::Http(n), _) => format!("{:?}", n.status),
        (now, _) => format!("{now:?}"),
    };
    now.iter().zip(before).map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_has_the_same_effect_on_a_real_host() {
    let Some((inventory, _lock)) = lab() else { return };
    let redactor = Redactor::default();
    let vault = Arc::new(Vault::new(BTreeMap::new(), std::env::temp_dir(), redactor.clone()));
    let real = Fleet::new(&inventory, vault, redactor, Options::default(), Arc::new(Nobody));
    let simulated = Simulated::new(Links::of(&inventory));
    for (read, answer) in reads().iter().zip(look(&real).await) {
        simulated.learn(read, &answer);
    }
    assert_eq!(look(&simulated).await, look(&real).await, "what was learnt");
    let unit = |change: fn(String) -> Change| host().at(change("billing.service".into()));
    let text = |text: &str| Source::Text(Text::from(text));
    let changes = [
        set(ServerState::Drain),
        unit(Change::StopUnit),
        unit(Change::StopUnit),
        unit(Change::StartUnit),
        unit(Change::StartUnit),
        unit(Change::RestartUnit),
        unit(Change::DisableUnit),
        unit(Change::EnableUnit),
        host().at(Change::ReloadUnit("billing-tls.service".into())),
        set(ServerState::Maint),
        set(ServerState::Ready),
        write("one", text("one"), None),
        write("two", text("two"), Some(0o640)),
        write("one", Source::Undo, Some(0o600)),
        host().at(Change::MoveFile { from: FILE.into(), to: format!("{FILE}.off") }),
        host().at(Change::MoveFile { from: format!("{FILE}.off"), to: FILE.into() }),
        host().at(Change::RemoveFile(FILE.into())),
    ];
    let run = RunId::at_millis(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap());
    let terms = Terms { within: Duration::from_secs(60), interruptible: true };
    let mut differ = vec![];
    for (number, change) in changes.iter().enumerate() {
        let before = (look(&real).await, look(&simulated).await);
        for world in [&real as &dyn Transport, &simulated] {
            let boot = world.open(&run, &change.at).await.unwrap();
            let act = Act { run: run.clone(), task: TaskId::from("1@x"), way: Way::Forward, number, boot };
            let receipt = world.carry(&act, change, terms).await.unwrap();
            if receipt.outcome != Outcome::Ok {
                differ.push(format!("{change:?}: {:?}", receipt.outcome));
            }
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        let after = (look(&real).await, look(&simulated).await);
        let (is, modelled) = (lasting(&after.0, &before.0), lasting(&after.1, &before.1));
        if is != modelled {
            differ.push(format!("{:?}:\n  real      {is:?}\n  simulated {modelled:?}", change.what));
        }
    }
    real.close().await;
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// What there is of a pair, whatever its keys are.
fn shape(answer: &Answer) -> String {
    let Answer::Pair(facts) = answer else { return format!("{answer:?}") };
    let file = |(path, file): (&String, &Option<FileFacts>)| {
        let facts = file.as_ref().map(|f| format!("{:o} {} {}", f.mode, f.owner, f.group));
        format!("{path}: {facts:?}")
    };
    let files: Vec<String> = facts.files.iter().map(file).collect();
    let Staged { key, request, chain } = &facts.staged;
    let staged = (key.is_some(), request.is_some(), chain.is_some());
    format!("{} {} {:?} {staged:?} {}", facts.installed.is_some(), facts.key_fits, facts.obstacle, files.join(", "))
}

fn signed(request: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("r.csr"), request).unwrap();
    let script = "openssl req -x509 -newkey ed25519 -nodes -subj /CN=X -keyout k -out c 2>/dev/null
        openssl x509 -req -in r.csr -CA c -CAkey k -days 3 2>/dev/null";
    let out = std::process::Command::new("sh").args(["-euc", script]).current_dir(dir.path()).output().unwrap();
    assert!(out.status.success(), "{out:?}");
    String::from_utf8(out.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_changes_in_the_same_way_on_a_real_host() {
    let Some((inventory, _lock)) = lab() else { return };
    let redactor = Redactor::default();
    let vault = Arc::new(Vault::new(BTreeMap::new(), std::env::temp_dir(), redactor.clone()));
    let real = Fleet::new(&inventory, vault, redactor, Options::default(), Arc::new(Nobody));
    let simulated = Simulated::new(Links::of(&inventory));
    let at = |name: &str| format!("/etc/billing/svcops-differential.{name}");
    let spot = PairSpot { name: "differential".into(), store: Keystore::Files { cert: at("crt"), key: at("key") } };
    let read = host().at(Read::Pair(spot.clone()));
    let see = async |world: &dyn Transport| {
        let mut answers = world.look(read.at.host.as_ref(), std::slice::from_ref(&read)).await.unwrap().answers;
        answers.remove(0)
    };
    simulated.learn(&read, &see(&real).await);
    let run = RunId::at_millis(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap());
    let before = see(&real).await;
    let Answer::Pair(before) = before else { panic!("{before:?}") };
    let mut differ = vec![];
    for (number, deed) in ["make", "stage", "switch", "make", "stage", "switch", "restore", "drop", "restore", "drop"]
        .into_iter()
        .enumerate()
    {
        for world in [&real as &dyn Transport, &simulated] {
            let Answer::Pair(now) = see(world).await else { panic!("no pair") };
            let pair = |change: PairChange| Change::Pair { spot: spot.clone(), change };
            let spki = now.key.clone().unwrap_or_default();
            let what = match deed {
                "make" => pair(PairChange::MakeKey { algorithm: Algorithm::P256, names: vec!["d.lab.test".into()] }),
                "stage" => {
                    let asked = now.staged.asked().unwrap();
                    let leaf = certs::leaf_of(&certs::chain_text(&Leaf {
                        serial: "1".into(),
                        fingerprint: asked.spki.clone(),
                        spki: asked.spki.clone(),
                        issuer: "CN=X".into(),
                        names: asked.names.clone(),
                        not_before: jiff::Timestamp::MIN,
                        not_after: jiff::Timestamp::MAX,
                        pem: Hash::of(b""),
                    }));
                    let real = asked.pem.starts_with("-----BEGIN");
                    let text = if real { signed(&asked.pem) } else { certs::chain_text(&leaf.unwrap()) };
                    let (hash, size) = (Hash::of(text.as_bytes()), text.len() as u64);
                    let content = Content { hash, size, from: Source::Text(Text(text)) };
                    let (owner, group, validate) = (None, None, None);
                    Change::WriteFile { path: spot.staged_chain(), content, mode: None, owner, group, validate }
                }
                "switch" => {
                    let leaf = now.staged.complete().unwrap();
                    let (spki, pem, mode) = (leaf.spki.clone(), leaf.pem.clone(), None);
                    pair(PairChange::Switch { spki, pem, mode, owner: None, group: None })
                }
                "restore" => pair(PairChange::Restore { files: before.files.clone(), spki }),
                _ => pair(PairChange::Drop),
            };
            let change = host().at(what);
            let boot = world.open(&run, &change.at).await.unwrap();
            let act = Act { run: run.clone(), task: TaskId::from("1@x"), way: Way::Forward, number, boot };
            let terms = Terms { within: Duration::from_secs(60), interruptible: true };
            let receipt = world.carry(&act, &change, terms).await.unwrap();
            if receipt.outcome != Outcome::Ok {
                differ.push(format!("{deed}: {:?}", receipt.outcome));
            }
        }
        let (is, modelled) = (shape(&see(&real).await), shape(&see(&simulated).await));
        if is != modelled {
            differ.push(format!("{deed}:\n  real      {is}\n  simulated {modelled}"));
        }
    }
    real.close().await;
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// The database of the lab.
fn crm_db() -> PgSpot {
    PgSpot {
        database: "crm-db".into(),
        unit: "postgresql@15-main.service".into(),
        data: "/var/lib/postgresql/15/main".into(),
        config: Some("/etc/postgresql/15/main".into()),
        bin: "/usr/lib/postgresql/15/bin".into(),
        port: 5432,
        user: "postgres".into(),
    }
}

/// What there is of a cluster, without positions in its log.
fn outline(facts: &PgFacts) -> String {
    let PgFacts { running, masked, standby, upstream, peer, version, .. } = facts;
    let control = facts.control.as_ref().map(|control| (control.system.clone(), control.state));
    let sql = facts.sql.as_ref().map(|sql| {
        let standbys: Vec<_> = sql.standbys.iter().map(|s| (&s.name, &s.address, &s.state, s.sync)).collect();
        format!("{} {:?} {standbys:?} {:?}", sql.recovery, sql.streams_from, sql.slots)
    });
    let history: Vec<u32> = facts.history.iter().map(|branch| branch.timeline).collect();
    let more = (facts.tail.is_some(), facts.ended_at().is_some(), version, history);
    format!("{running} {masked} {standby} {control:?} {sql:?} {upstream:?} {peer:?} {more:?}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_changes_in_the_same_way_on_a_real_host() {
    let Some((inventory, _lock)) = lab() else { return };
    let redactor = Redactor::default();
    let vault = Arc::new(Vault::new(BTreeMap::new(), std::env::temp_dir(), redactor.clone()));
    let real = Fleet::new(&inventory, vault, redactor, Options::default(), Arc::new(Nobody));
    let simulated = Simulated::new(Links::of(&inventory));
    let place = |host: &str| Place::on(&HostName::new(host)).becoming(Some("root".into()));
    let addresses = [("dc1-db1", "10.77.0.23"), ("dc2-db1", "10.77.0.13")];
    let reads = addresses.map(|(host, other)| {
        let ask = PgAsk { spot: crm_db(), depth: PgDepth::Whole, peer: Some((other.to_owned(), 5432)) };
        place(host).at(Read::Postgres(ask))
    });
    let see = async |world: &dyn Transport| {
        let mut seen = Vec::new();
        for read in &reads {
            match world.look(read.at.host.as_ref(), std::slice::from_ref(read)).await.unwrap().answers.remove(0) {
                Answer::Postgres(facts) => seen.push(*facts),
                other => panic!("{other:?}"),
            }
        }
        seen
    };
    let outlines = |seen: &[PgFacts]| seen.iter().map(outline).collect::<Vec<_>>();
    let before = see(&real).await;
    let Some(at) = before.iter().position(PgFacts::is_primary) else { panic!("nobody is primary: {before:?}") };
    assert!(before.iter().any(|one| one.sql.as_ref().is_some_and(|sql| sql.streams_from.is_some())), "{before:?}");
    for (read, facts) in reads.iter().zip(&before) {
        simulated.learn(read, &Answer::Postgres(Box::new(facts.clone())));
    }
    let slot = || "svcops_differential".to_owned();
    let changes = [
        PgChange::Checkpoint,
        PgChange::MakeSlot(slot()),
        PgChange::MakeSlot(slot()),
        PgChange::DropSlot(slot()),
        PgChange::DropSlot(slot()),
        PgChange::Mask,
        PgChange::Promote { past: None },
        PgChange::Stop,
        PgChange::Stop,
        PgChange::Start,
        PgChange::Unmask,
        PgChange::Start,
        PgChange::Start,
    ];
    let run = RunId::at_millis(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap());
    let mut differ = vec![];
    for (number, change) in changes.into_iter().enumerate() {
        let change = reads[at].at.at(Change::Postgres { spot: crm_db(), change });
        let mut went = vec![];
        for world in [&real as &dyn Transport, &simulated] {
            let boot = world.open(&run, &change.at).await.unwrap();
            let act = Act { run: run.clone(), task: TaskId::from("1@x"), way: Way::Forward, number, boot };
            let terms = Terms { within: Duration::from_secs(30), interruptible: true };
            went.push(world.carry(&act, &change, terms).await.unwrap().outcome);
        }
        if (went[0] == Outcome::Ok) != (went[1] == Outcome::Ok) {
            differ.push(format!("{change:?}: {went:?}"));
        }
        // a standby tries again every five seconds
        let (mut is, mut modelled) = (vec![], vec![]);
        for _ in 0..if differ.is_empty() { 30 } else { 1 } {
            (is, modelled) = (outlines(&see(&real).await), outlines(&see(&simulated).await));
            if is == modelled {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        if is != modelled {
            differ.push(format!("{:?}:\n  real      {is:#?}\n  simulated {modelled:#?}", change.what));
        }
    }
    real.close().await;
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}
