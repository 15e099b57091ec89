//! What the texts of tickets can name: each has `run`, and the one thing that it is about.

use super::texts::Name;
use crate::journal::{event::Batch, outage};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The run, as every text knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// The runbook's name, or the verb's words.
    pub runbook: String,
    /// The runbook's title; its name where it has none.
    pub title: String,
    /// Who answers for the runbook.
    pub owner: Option<String>,
    /// Its file.
    pub file: Option<String>,
    /// The project.
    pub project: String,
    /// The runbook's selector, with its params filled in.
    pub targets: String,
    /// The hosts that options left; none: all.
    pub limit: Option<Vec<String>>,
    /// Its params.
    pub params: BTreeMap<String, Value>,
    /// Who began it.
    pub operator: String,
    /// The operator is the kernel's login uid.
    pub login: bool,
    /// Where.
    pub machine: String,
    /// `--reason`.
    pub reason: Option<String>,
    /// `--ticket`.
    pub ticket: Option<String>,
    /// When, in UTC.
    pub began: String,
    /// The version of svcops.
    pub version: String,
}

/// A step of the runbook, or one batch of a rolling group, that is over.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Phase {
    /// The step's number at the top of the runbook.
    pub step: String,
    /// Which batch; none outside `rolling`.
    pub batch: Option<Batch>,
    /// The names of its steps, in order.
    pub names: Vec<String>,
    /// Its hosts.
    pub hosts: Vec<String>,
    /// Hosts on which something was carried out.
    pub acted: usize,
    /// Hosts on which something changed.
    pub changed: usize,
    /// Hosts on which nothing was to be done.
    pub same: usize,
    /// Hosts that nothing was begun on.
    pub left: usize,
    /// What failed.
    pub failed: Vec<Trouble>,
    /// What nobody knows the outcome of.
    pub doubts: Vec<Trouble>,
    /// Hosts on which something was under way when the run was interrupted, and on which it has not ended since.
    pub cut: Vec<String>,
    /// Hosts that went back.
    pub undone: Vec<String>,
    /// Requests for certificates that people are to answer.
    pub requests: Vec<Asked>,
    /// In milliseconds.
    pub took: u64,
}

/// A request for a certificate that people are to answer; it is public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// The host that it waits on.
    pub host: String,
    /// The certificate, by its name in svcops.yaml.
    pub certificate: Option<String>,
    /// The names and addresses that it is for.
    pub names: Vec<String>,
    /// What its issuer has to say to those who answer.
    pub note: Option<String>,
    /// In PEM; none: it is too long to be shown.
    pub pem: Option<String>,
}

/// Something that failed, or that nobody knows of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// The task.
    pub task: String,
    /// Its step's name.
    pub name: String,
    /// The host.
    pub host: String,
    /// Why.
    pub why: String,
}

/// The end of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Ended {
    /// `done`, `rolled_back`, `failed`, `unknown`, `stopped`.
    pub outcome: String,
    /// By the table of exit codes.
    pub exit_code: u8,
    /// Somebody asked for everything to be taken back.
    pub asked_back: bool,
    /// It was a drill, which went as far as it was to and back.
    pub drill: bool,
    /// What failed first.
    pub why: Option<String>,
    /// Tasks that carried something out.
    pub acted: usize,
    /// On so many hosts.
    pub hosts: usize,
    /// Tasks that changed something that still stands.
    pub changed: usize,
    /// Debts that are left, and undos that could not be made.
    pub owed: usize,
    /// The debts, a line each.
    pub debts: Vec<String>,
    /// What is not as it was and not as it should be, a line each.
    pub stands: Vec<String>,
    /// Hosts on which something was taken back.
    pub undone: Vec<String>,
    /// How long clients did not see the services that were watched.
    pub outages: Vec<Outage>,
    /// From the begin of the run, in milliseconds.
    pub took: u64,
    /// Commands that go on from here.
    pub next: Vec<String>,
    /// The end's entry in the journal's ledger, `SEQ:HASH`: what `svcops history verify --against` takes.
    pub anchor: Option<String>,
}

/// How long clients did not see a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outage {
    /// The service.
    pub service: String,
    /// It was seen again.
    pub over: bool,
    /// It was watched all the while; else it was out for at least so long.
    pub whole: bool,
    /// The longest outage, in milliseconds; 0: there was none.
    pub ms: u64,
    /// How many there were.
    pub count: usize,
    /// Requests while it was watched.
    pub tries: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// What was promised: `30s`.
    pub rto: Option<String>,
    /// It was met; none: nothing was promised, or nobody knows.
    pub rto_met: Option<bool>,
    /// What may be lost: `0B`.
    pub rpo: Option<String>,
    /// It was met; none: nobody knows.
    pub rpo_met: Option<bool>,
    /// Bytes of the write-ahead log that were lost at most; none: nobody knows.
    pub lost: Option<u64>,
    /// What the run did in the longest; their times add up to it.
    pub phases: Vec<OutagePhase>,
}

/// A part of an outage.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct OutagePhase {
    /// `before` the first act, a `step`, or `after` the last act.
    pub kind: &'static str,
    /// The step's number and name; empty where it is none.
    pub name: String,
    /// The step was taken back.
    pub back: bool,
    /// In milliseconds.
    pub ms: u64,
    /// For so long of it an act was under way.
    pub acts: u64,
    /// So long svcops itself took.
    pub own: u64,
}

impl Outage {
    /// As a run's events tell it.
    pub fn of(seen: &outage::Outage) -> Self {
        let phase = |phase: &outage::Phase| {
            let (kind, name, back) = match &phase.what {
                outage::What::Before => ("before", String::new(), false),
                outage::What::Step { step, name, back, .. } => ("step", format!("{step} {name}"), *back),
                outage::What::After => ("after", String::new(), false),
            };
            OutagePhase { kind, name, back, ms: phase.ms, acts: phase.acts_ms, own: phase.own_ms() }
        };
        Self {
            service: seen.service.clone(),
            over: seen.over,
            whole: seen.whole,
            ms: seen.ms,
            count: seen.count,
            tries: seen.tries,
            failed: seen.failed,
            rto: seen.rto.map(|rto| rto.to_string()),
            rto_met: seen.rto_met(),
            rpo: seen.rpo.clone(),
            rpo_met: seen.rpo_met(),
            lost: seen.lost_bytes,
            phases: seen.phases.iter().map(phase).collect(),
        }
    }
}

/// An example of what a text can name, with something in every field.
pub fn example(name: Name) -> Value {
    let some = || Some("text".to_owned());
    let trouble = || Trouble { task: "2@web1".into(), name: "Restart".into(), host: "web1".into(), why: "sick".into() };
    let run = Run {
        owner: some(),
        file: some(),
        limit: Some(vec!["web1".into()]),
        params: BTreeMap::from([("site".to_owned(), json!("dc1"))]),
        reason: some(),
        ticket: some(),
        ..Run::default()
    };
    let about = match name {
        Name::Subject | Name::Opened => return json!({ "run": run }),
        Name::Phase => json!(Phase {
            batch: Some(Batch { number: 1, of: 2 }),
            names: vec!["Restart".into()],
            hosts: vec!["web1".into()],
            acted: 1,
            changed: 1,
            same: 1,
            left: 1,
            failed: vec![trouble()],
            doubts: vec![trouble()],
            cut: vec!["web1".into()],
            undone: vec!["web1".into()],
            requests: vec![Asked {
                host: "web1".into(),
                certificate: some(),
                names: vec!["web1".into()],
                note: some(),
                pem: some(),
            }],
            ..Phase::default()
        }),
        Name::Back => json!({ "all": false, "hosts": ["web1"], "why": "sick" }),
        Name::Resumed => json!({ "operator": "mkr", "machine": "ops-1", "after": "interrupted" }),
        Name::Resolved => {
            json!({ "task": "2@web1", "done": true, "back": false, "reason": "seen", "operator": "mkr" })
        }
        Name::Waived => json!({ "task": "2@web1", "reason": "known", "operator": "mkr" }),
        Name::Refused => json!({ "code": 75, "why": "held" }),
        Name::Ended => json!(Ended {
            outcome: "failed".into(),
            why: some(),
            debts: vec!["Restart on web1".into()],
            stands: vec!["text".into()],
            undone: vec!["web1".into()],
            outages: vec![Outage {
                service: "crm".into(),
                over: true,
                whole: true,
                ms: 143,
                count: 1,
                tries: 700,
                failed: 14,
                rto: some(),
                rto_met: Some(true),
                rpo: some(),
                rpo_met: Some(true),
                lost: Some(0),
                phases: vec![OutagePhase { kind: "step", name: "1 Drain".into(), ms: 143, ..OutagePhase::default() }],
            }],
            next: vec!["svcops owed".into()],
            anchor: some(),
            ..Ended::default()
        }),
        Name::Alike => {
            json!({ "times": 2, "last": "SV-000001", "at": "2026-11-23 06:00 UTC", "tickets": ["SV-000001"] })
        }
        Name::Paid => json!({ "debt": "Restart on web1", "run": "01J9ZK3V7Q" }),
    };
    json!({ "run": run, name.word(): about })
}
