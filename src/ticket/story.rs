//! A run as a ticket tells it: a fold over its events that says what there is to tell after each of them. It is a pure
//! function of the run's records, so a row that is delivered anew says the same.

use super::{
    Fingerprint, State,
    facts::{Asked, Ended, Outage, Phase, Run, Trouble},
    fingerprint,
    texts::Name,
};
use crate::{
    base::{HostName, RunId, TaskId, Way},
    journal::{
        event::{Batch, Began, End, Event, How, Record, Scope, Summary},
        state::{Leg, RunState, TaskState},
    },
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What the recorded runbook adds to the header.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Runbook {
    /// For people.
    pub title: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// The selector of its hosts.
    #[serde(default)]
    pub targets: String,
}

/// What there is to tell after an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Telling {
    /// The event's number.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// Who drove the run.
    pub author: String,
    /// What is said, in order.
    pub said: Vec<Said>,
    /// The state that the ticket comes into.
    pub state: Option<State>,
    /// The report goes with it.
    pub report: bool,
    /// The failure that it tells of.
    pub failure: Option<Fingerprint>,
    /// A debt of another run that was paid: what is said goes there.
    pub paid: Option<(RunId, String)>,
}

/// One comment.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// Its text.
    pub name: Name,
    /// What the text can name.
    pub facts: Value,
}

/// A run, told as far as its events were taken.
#[derive(Clone, Debug)]
pub struct Story {
    /// The run's state.
    pub state: RunState,
    /// The number of the last event that was taken.
    pub seq: u64,
    run: RunId,
    runbook: Runbook,
    part: Option<Part>,
    refused: bool,
    /// The last event was a resume that begins no way back by itself: nothing had failed, the run was over, or it waited
    /// for a person.
    fresh: bool,
    /// Somebody asked for everything to be taken back: that stays so however often it is gone on with.
    asked_back: bool,
}

impl Story {
    /// Begins before the first event.
    pub fn new(run: RunId, runbook: Runbook) -> Self {
        Self {
            state: RunState::default(),
            seq: 0,
            run,
            runbook,
            part: None,
            refused: false,
            fresh: false,
            asked_back: false,
        }
    }

    /// Takes an event, and says what there is to tell of it: nothing for one that the outbox does not keep.
    pub fn take(&mut self, record: &Record) -> Option<Telling> {
        let before = matches!(record.event, Event::Resumed { .. }).then(|| (after(&self.state), self.calm()));
        self.state.apply(record);
        self.seq = record.seq;
        if !matches!(record.event, Event::RollingBack { .. } | Event::Waived { .. }) {
            self.fresh = false;
        }
        let mut telling = Telling {
            seq: record.seq,
            at: record.at,
            author: self.state.operator.as_ref().map_or_else(|| "svcops".to_owned(), |o| o.name.clone()),
            said: Vec::new(),
            state: None,
            report: false,
            failure: None,
            paid: None,
        };
        match &record.event {
            Event::Started(_) => {
                telling.said.push(self.say(Name::Opened, &Value::Null));
            }
            Event::Refused { code, why } => {
                self.refused = true;
                telling.said.push(self.say(Name::Refused, &json!({ "code": code, "why": why })));
                telling.state = Some(State::Done);
            }
            Event::Resumed { operator } => {
                let (after, calm) = before.unwrap_or_default();
                self.fresh = calm;
                let facts = json!({ "operator": operator.name, "machine": operator.machine, "after": after });
                telling.said.push(self.say(Name::Resumed, &facts));
                telling.state = Some(State::Open);
            }
            Event::Phase { step, name, batch, hosts } => {
                // a ticket that was there before is open from here on: the run was not refused
                telling.state = self.part.is_none().then_some(State::Open);
                let top = step.split('.').next().unwrap_or(step);
                if self.part.as_ref().is_none_or(|p| p.step != top || p.batch != *batch) {
                    telling.said.extend(self.over(record.at));
                    self.part = Some(Part::new(top, *batch, record.at));
                }
                if let Some(part) = &mut self.part {
                    part.enter(name, hosts);
                }
            }
            Event::RollingBack { scope, why, drill } => {
                if let Scope::Host(_) = scope {
                    return None;
                }
                self.asked_back |= self.fresh && *scope == Scope::Run && !drill;
                telling.said.extend(self.over(record.at));
                let hosts = if let Scope::Batch(hosts) = scope { hosts.as_slice() } else { &[] };
                let facts = json!({ "all": *scope == Scope::Run, "hosts": hosts, "why": why, "drill": drill });
                telling.said.push(self.say(Name::Back, &facts));
            }
            Event::Resolved { task, way, done, reason, operator } => {
                telling.author.clone_from(&operator.name);
                let back = *way == Way::Undo;
                let facts =
                    json!({ "task": task, "done": done, "back": back, "reason": reason, "operator": operator.name });
                telling.said.push(self.say(Name::Resolved, &facts));
            }
            Event::Waived { task, reason, operator } => {
                telling.author.clone_from(&operator.name);
                let facts = json!({ "task": task, "reason": reason, "operator": operator.name });
                telling.said.push(self.say(Name::Waived, &facts));
            }
            Event::Paid { run_owing, debt } => {
                if *run_owing != self.run {
                    telling.paid = Some((run_owing.clone(), debt.clone()));
                }
            }
            Event::Finished(end) => self.finished(&mut telling, end),
            other => {
                if let Some(part) = &mut self.part {
                    part.watch(other, &self.state);
                }
                if let Event::Ended { task, .. } = other {
                    self.state.let_go(task);
                }
                return None;
            }
        }
        Some(telling)
    }

    /// What a text can name: the run, and what it is about.
    pub fn say(&self, name: Name, about: &Value) -> Said {
        let run = self.about();
        let facts = if about.is_null() { json!({ "run": run }) } else { json!({ "run": run, name.word(): about }) };
        Said { name, facts }
    }

    /// What the run's debt of that key is called.
    pub fn debt(&self, key: &str) -> String {
        let debts = self.state.debts.iter().map(|o| &o.debt);
        let owed = debts.chain(self.state.tasks.iter().flat_map(|t| &t.began.then)).find(|d| d.key == key);
        match (owed, key.strip_prefix("undo ")) {
            (Some(debt), _) => format!("{} on {}", debt.name, debt.host),
            (None, Some(task)) => match self.state.task(&TaskId::from(task)) {
                Some(task) => format!("the undo of {} on {}", task.began.name, task.began.host),
                None => key.to_owned(),
            },
            (None, None) => key.to_owned(),
        }
    }

    /// The run was refused: it touched nothing.
    pub fn was_refused(&self) -> bool {
        self.refused
    }

    fn finished(&mut self, telling: &mut Telling, end: &Summary) {
        telling.said.extend(self.over(telling.at));
        telling.report = !self.refused;
        let good = match end.outcome {
            End::Done | End::NotNow | End::NotAllowed => true,
            End::RolledBack => self.asked_back,
            End::Failed | End::Unknown | End::Stopped => false,
        };
        telling.state = Some(match end.outcome {
            _ if good => State::Done,
            End::Stopped => State::Waiting,
            _ => State::Open,
        });
        if self.refused {
            return;
        }
        if !good && end.outcome != End::Stopped {
            telling.failure = Some(self.failure(end));
        }
        let facts = json!(self.ended(end));
        telling.said.push(self.say(Name::Ended, &facts));
    }

    fn ended(&self, end: &Summary) -> Ended {
        let acted: Vec<&TaskState> = self
            .state
            .tasks
            .iter()
            .filter(|t| t.forward.announced > 0 && t.forward.done() && !t.began.in_rollback)
            .collect();
        let hosts: BTreeSet<&HostName> = acted.iter().map(|t| &t.began.host).collect();
        let undone = self.state.tasks.iter().filter(|t| t.undo.as_deref().is_some_and(Leg::done));
        let undone: BTreeSet<&HostName> = undone.map(|t| &t.began.host).collect();
        let debts: BTreeSet<String> =
            self.state.debts.iter().map(|o| format!("{} on {}", o.debt.name, o.debt.host)).collect();
        Ended {
            outcome: end.outcome.word().to_owned(),
            exit_code: end.exit_code,
            asked_back: self.asked_back,
            drill: self.state.drilled(),
            why: self.left_by_the_way_back().or_else(|| end.why.clone()),
            acted: acted.len(),
            hosts: hosts.len(),
            changed: end.changed,
            owed: end.owed,
            debts: debts.into_iter().collect(),
            stands: end.stands.clone(),
            undone: undone.into_iter().map(ToString::to_string).collect(),
            took: self.state.began.zip(self.state.last).map_or(0, |(from, to)| millis(from, to)),
            outages: self.state.outages().iter().map(Outage::of).collect(),
            next: self.next(end),
            // the journal's, not the events' own
            anchor: None,
        }
    }

    /// What came in the way of going back as somebody asked: who asked, and why, is no failure.
    fn left_by_the_way_back(&self) -> Option<String> {
        let task = self.state.tasks.iter().find_map(|t| {
            let undo = || t.undo.as_deref().and_then(Leg::why);
            t.doubt().map(|(_, why)| why).or_else(undo).map(|why| (&t.began, why))
        });
        let (began, why) = task.filter(|_| self.asked_back)?;
        Some(format!("`{}` on `{}`: {why}", began.name, began.host))
    }

    /// The commands that go on from an end.
    fn next(&self, end: &Summary) -> Vec<String> {
        let run = &self.run;
        let mut next = match end.outcome {
            End::Stopped => vec![format!("svcops resume {run}"), format!("svcops rollback {run}")],
            End::Unknown => {
                let task = self.state.doubts().next().map_or("TASK", |(t, _, _)| t.began.task.as_str());
                vec![format!("svcops resume {run}"), format!("svcops resolve {run} {task} done|not-done --reason …")]
            }
            End::RolledBack if !self.asked_back => vec![format!("svcops history show {run}")],
            End::Failed => vec![format!("svcops history show {run}")],
            End::RolledBack | End::Done | End::NotNow | End::NotAllowed => Vec::new(),
        };
        if end.owed > 0 {
            next.push("svcops owed".to_owned());
        }
        next
    }

    fn failure(&self, end: &Summary) -> Fingerprint {
        let bad = |t: &&TaskState| t.forward.why().is_some() && t.waived.is_none() && !t.began.in_rollback;
        let tasks = &self.state.tasks;
        let first = tasks.iter().find(bad).map(|t| (t, t.forward.why().unwrap_or_default()));
        let doubt = || self.state.doubts().next().map(|(t, _, why)| (t, why));
        let any =
            || self.state.troubled().next().map(|t| (t, t.undo.as_deref().and_then(Leg::why).unwrap_or_default()));
        let (step, why) = match first.or_else(doubt).or_else(any) {
            Some((task, why)) => (task.began.name.as_str(), why),
            None => ("", end.why.as_deref().unwrap_or_default()),
        };
        let hosts: BTreeSet<&str> = tasks.iter().map(|t| t.began.host.as_str()).collect();
        let runbook = self.state.header.as_ref().map_or("", |h| h.runbook.as_str());
        fingerprint::of(runbook, step, why, hosts)
    }

    /// Nothing had failed so far, all was over, or a person had to look at what nobody knows: what goes back now was
    /// asked for.
    fn calm(&self) -> bool {
        let over = self.state.end.as_ref().is_some_and(|end| !end.outcome.resumable());
        let waits = self.state.troubled().next().is_none() || self.state.doubts().next().is_some();
        over || waits && self.state.back.is_empty()
    }

    /// What the part that is under way came to.
    fn over(&mut self, at: Timestamp) -> Option<Said> {
        let facts = json!(self.part.take()?.came_to(at));
        Some(self.say(Name::Phase, &facts))
    }

    fn about(&self) -> Run {
        let Some(header) = &self.state.header else { return Run::default() };
        let runbook = &self.runbook;
        Run {
            id: self.run.to_string(),
            runbook: header.runbook.clone(),
            title: runbook.title.clone().unwrap_or_else(|| header.runbook.clone()),
            owner: runbook.owner.clone(),
            file: header.file.clone(),
            project: header.project.clone(),
            targets: filled(&runbook.targets, &header.params),
            limit: header.limit.as_ref().map(|hosts| hosts.iter().map(ToString::to_string).collect()),
            params: header.params.clone(),
            operator: header.operator.name.clone(),
            login: header.operator.login,
            machine: header.operator.machine.clone(),
            reason: header.reason.clone(),
            ticket: header.ticket.as_ref().and_then(Value::as_str).map(str::to_owned),
            began: self.state.began.map(shown).unwrap_or_default(),
            version: header.version.clone(),
        }
    }
}

/// An instant for people, in UTC.
pub fn shown(at: Timestamp) -> String {
    at.strftime("%F %H:%M:%S UTC").to_string()
}

/// How the run stood before somebody went on with it.
fn after(state: &RunState) -> &'static str {
    match state.end.as_ref().map(|end| end.outcome) {
        None => "interrupted",
        Some(End::Stopped) => "stopped",
        Some(End::Unknown) => "unknown",
        Some(_) => "over",
    }
}

/// The selector with its params; as it stands where it needs more than those.
fn filled(targets: &str, params: &BTreeMap<String, Value>) -> String {
    let env = minijinja::Environment::new();
    let values = minijinja::Value::from(minijinja::value::Serde(json!({ "params": params })));
    env.render_str(targets, values).unwrap_or_else(|_| targets.to_owned())
}

fn millis(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
}

/// A step at the top of the runbook, or one batch of it, while it is under way.
#[derive(Clone, Debug)]
struct Part {
    step: String,
    batch: Option<Batch>,
    since: Timestamp,
    names: Vec<String>,
    hosts: Vec<HostName>,
    known: BTreeSet<HostName>,
    begun: BTreeSet<HostName>,
    acted: BTreeSet<HostName>,
    changed: BTreeSet<HostName>,
    undone: BTreeSet<HostName>,
    /// Begun, and not ended on either way.
    open: BTreeMap<TaskId, HostName>,
    failed: Vec<Trouble>,
    doubts: Vec<Trouble>,
    requests: Vec<Asked>,
}

impl Part {
    fn new(step: &str, batch: Option<Batch>, since: Timestamp) -> Self {
        Self {
            step: step.to_owned(),
            batch,
            since,
            names: Vec::new(),
            hosts: Vec::new(),
            known: BTreeSet::new(),
            begun: BTreeSet::new(),
            acted: BTreeSet::new(),
            changed: BTreeSet::new(),
            undone: BTreeSet::new(),
            open: BTreeMap::new(),
            failed: Vec::new(),
            doubts: Vec::new(),
            requests: Vec::new(),
        }
    }

    fn enter(&mut self, name: &str, hosts: &[HostName]) {
        if !self.names.iter().any(|n| n == name) {
            self.names.push(name.to_owned());
        }
        for host in hosts {
            if self.known.insert(host.clone()) {
                self.hosts.push(host.clone());
            }
        }
    }

    fn watch(&mut self, event: &Event, state: &RunState) {
        match event {
            Event::Began(began) => {
                self.begun.insert(began.host.clone());
                self.open.insert(began.task.clone(), began.host.clone());
            }
            Event::Skipped { task, .. } => {
                if let Some((_, host)) = task.as_str().split_once('@') {
                    self.begun.insert(host.into());
                }
            }
            Event::InDoubt { task, why, .. } => {
                self.open.remove(task);
                self.doubts.retain(|d| d.task != task.as_str());
                self.doubts.extend(trouble(state, task, why));
            }
            Event::Ended { task, way, how, changed, .. } => {
                self.open.remove(task);
                self.doubts.retain(|d| d.task != task.as_str());
                let Some(told) = state.task(task) else { return };
                let host = &told.began.host;
                match (way, how) {
                    (Way::Forward, How::Refused(why) | How::Failed(why)) => {
                        self.failed.extend(trouble(state, task, why));
                    }
                    (Way::Forward, How::Done { .. } | How::Conditional) => {
                        if told.forward.announced > 0 {
                            self.acted.insert(host.clone());
                        }
                        if *changed {
                            self.changed.insert(host.clone());
                        }
                        self.requests.extend(asked(&told.began, how));
                    }
                    (Way::Undo, How::Done { .. }) => drop(self.undone.insert(host.clone())),
                    (Way::Undo, _) => {}
                }
            }
            _ => {}
        }
    }

    fn came_to(self, at: Timestamp) -> Phase {
        let bad: BTreeSet<&str> = self.failed.iter().chain(&self.doubts).map(|t| t.host.as_str()).collect();
        let begun = |host: &&HostName| self.begun.contains(*host);
        let cut: BTreeSet<&HostName> = self.open.values().collect();
        let touched = |host: &HostName| self.acted.contains(host) || self.undone.contains(host) || cut.contains(host);
        let same = |host: &&HostName| !touched(host) && !bad.contains(host.as_str());
        Phase {
            acted: self.acted.len(),
            changed: self.changed.len(),
            same: self.hosts.iter().filter(begun).filter(same).count(),
            left: self.hosts.iter().filter(|h| !begun(h)).count(),
            hosts: self.hosts.iter().map(ToString::to_string).collect(),
            cut: cut.iter().map(ToString::to_string).collect(),
            undone: self.undone.iter().map(ToString::to_string).collect(),
            took: millis(self.since, at),
            step: self.step,
            batch: self.batch,
            names: self.names,
            failed: self.failed,
            doubts: self.doubts,
            requests: self.requests,
        }
    }
}

fn trouble(state: &RunState, task: &TaskId, why: &str) -> Option<Trouble> {
    let began = &state.task(task)?.began;
    let why = why.lines().next().unwrap_or_default().to_owned();
    Some(Trouble { task: task.to_string(), name: began.name.clone(), host: began.host.to_string(), why })
}

/// A request that is longer is not shown: one for a hundred names takes a third of it.
const LONGEST: usize = 16 << 10;

/// The request that an order leaves for people to answer.
fn asked(began: &Began, how: &How) -> Option<Asked> {
    let How::Done { outputs } = how else { return None };
    let pem = outputs.get("request")?.as_str().filter(|_| began.action == "cert.order")?;
    let text = |key: &str| outputs.get(key).and_then(Value::as_str).map(str::to_owned);
    let names = outputs.get("names").and_then(Value::as_array);
    Some(Asked {
        host: began.host.to_string(),
        certificate: text("certificate"),
        names: names.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
        note: text("note"),
        pem: Some(pem.trim_end().to_owned()).filter(|pem| pem.len() <= LONGEST),
    })
}
