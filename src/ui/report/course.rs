//! The course of a run host by host: each leg of each task as a stretch of time with its fate.

use crate::{
    base::{HostName, TaskId, Way},
    journal::event::{Batch, Event, How, Record, Scope},
};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What a host went through.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// The host.
    pub host: HostName,
    /// The first batch that it was part of.
    pub batch: Option<Batch>,
    /// Its legs in the order in which they began.
    pub legs: Vec<Stretch>,
}

/// One way of one task, in time.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// The task.
    pub task: TaskId,
    /// The step's number path.
    pub step: String,
    /// The step's name.
    pub name: String,
    /// The action's name.
    pub action: String,
    /// There, or back.
    pub way: Way,
    /// From when to when; more than one where the run was interrupted meanwhile.
    pub spans: Vec<(Timestamp, Timestamp)>,
    /// A consequence that was carried out because the run went back.
    pub in_rollback: bool,
    /// What came of it.
    pub fate: Fate,
    /// Why, where it did not end well.
    pub why: Option<String>,
    /// The attempt that it ended with, from 1.
    pub attempt: u32,
    acts: usize,
    open: bool,
}

/// What came of a leg, the harmless first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It went well, and nothing was done for it.
    Same,
    /// Something was done, and seen to be.
    Done,
    /// A person took it out of the run.
    Waived,
    /// What was done was taken back.
    Undone,
    /// It has not ended.
    Open,
    /// It failed, or was refused.
    Failed,
    /// What was done could not be taken back.
    NotUndone,
    /// Nobody knows.
    Unknown,
}

impl Fate {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Same, Self::Done, Self::Waived, Self::Undone, Self::Open, Self::Failed, Self::NotUndone, Self::Unknown];

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Same => "ok, nothing changed",
            Self::Done => "done",
            Self::Waived => "left out by a person",
            Self::Undone => "taken back",
            Self::Open => "not ended",
            Self::Failed => "failed",
            Self::NotUndone => "could not be taken back",
            Self::Unknown => "outcome unknown",
        }
    }
    /// A sign that says it without colour.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Same => "=",
            Self::Done => "✓",
            Self::Waived => "–",
            Self::Undone => "↩",
            Self::Open => "…",
            Self::Failed => "✕",
            Self::NotUndone => "‼",
            Self::Unknown => "?",
        }
    }
    /// The name of its class in the page's style.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Done => "done",
            Self::Waived => "waived",
            Self::Undone => "undone",
            Self::Open => "open",
            Self::Failed => "failed",
            Self::NotUndone => "stuck",
            Self::Unknown => "unknown",
        }
    }
    /// A person should look at it.
    pub const fn troubled(self) -> bool {
        matches!(self, Self::Open | Self::Failed | Self::NotUndone | Self::Unknown)
    }
}

impl Course {
    /// The worst of its legs, what was taken back counting as such.
    pub fn fate(&self) -> Fate {
        self.legs.iter().map(|leg| leg.fate).max().unwrap_or(Fate::Same)
    }
    /// In words: the worst, and whether the host went back.
    pub fn words(&self) -> String {
        let back = self.legs.iter().any(|leg| leg.fate == Fate::Undone);
        match self.fate() {
            Fate::Failed if back => "failed, taken back".to_owned(),
            fate => fate.words().to_owned(),
        }
    }
    /// When its first leg began.
    pub fn since(&self) -> Option<Timestamp> {
        self.legs.iter().filter_map(Stretch::from).min()
    }
    /// When its last leg ended.
    pub fn until(&self) -> Option<Timestamp> {
        self.legs.iter().filter_map(Stretch::to).max()
    }
    /// Equal for hosts that went through the same.
    pub fn pattern(&self) -> String {
        self.legs.iter().map(|leg| format!("{}{:?}{:?};", leg.step, leg.way, leg.fate)).collect()
    }
}

impl Stretch {
    /// It belongs to the way back.
    pub fn is_back(&self) -> bool {
        self.way == Way::Undo || self.in_rollback
    }
    /// When it began.
    pub fn from(&self) -> Option<Timestamp> {
        self.spans.first().map(|span| span.0)
    }
    /// When it ended.
    pub fn to(&self) -> Option<Timestamp> {
        self.spans.last().map(|span| span.1)
    }
    /// How long it was under way, in milliseconds.
    pub fn millis(&self) -> u64 {
        let sum: i64 = self.spans.iter().map(|(from, to)| to.as_millisecond() - from.as_millisecond()).sum();
        u64::try_from(sum).unwrap_or(0)
    }

    fn close(&mut self, at: Timestamp, fate: Fate) {
        if self.open
            && let Some(span) = self.spans.last_mut()
        {
            span.1 = at;
        }
        self.open = false;
        self.fate = fate;
    }
}

/// Something that happened to the run as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at: Timestamp,
    /// In a few words.
    pub words: &'static str,
}

/// The courses of all hosts in the order in which they came to their turn, and what happened to the run meanwhile. What
/// has no end by `until` is drawn up to there.
pub(super) fn courses(records: &[Record], until: Timestamp) -> (Vec<Course>, Vec<Mark>) {
    let mut fold = Fold::default();
    for record in records {
        fold.take(record);
        fold.last = Some(record.at);
    }
    for leg in fold.legs.iter_mut().map(|(_, leg)| leg).filter(|leg| leg.open) {
        leg.close(until, Fate::Open);
    }
    let mut courses: Vec<Course> = Vec::new();
    let mut places: BTreeMap<HostName, usize> = BTreeMap::new();
    for (host, leg) in fold.legs {
        let at = *places.entry(host.clone()).or_insert(courses.len());
        if at == courses.len() {
            courses.push(Course { batch: fold.batches.get(&host).copied(), host, legs: Vec::new() });
        }
        if let Some(course) = courses.get_mut(at) {
            course.legs.push(leg);
        }
    }
    // a batch stays together; a host that no batch holds (this machine, where it sends a message) comes last
    courses.sort_by(|a, b| {
        let batch = |c: &Course| (c.batch.is_none(), c.batch.map(|b| b.number));
        batch(a).cmp(&batch(b)).then_with(|| natural(a.host.as_str(), b.host.as_str()))
    });
    (courses, fold.marks)
}

/// Names in the order of people: `web-2` before `web-10`.
pub(super) fn natural(one: &str, other: &str) -> std::cmp::Ordering {
    let parts = |name: &str| {
        let mut parts: Vec<(String, u64)> = vec![(String::new(), 0)];
        for c in name.chars() {
            let Some(last) = parts.last_mut() else { break };
            match c.to_digit(10) {
                Some(digit) => last.1 = last.1.saturating_mul(10).saturating_add(u64::from(digit)),
                None if last.1 > 0 => parts.push((c.to_string(), 0)),
                None => last.0.push(c),
            }
        }
        parts
    };
    parts(one).cmp(&parts(other)).then_with(|| one.cmp(other))
}

#[derive(Default)]
struct Fold {
    legs: Vec<(HostName, Stretch)>,
    newest: BTreeMap<(TaskId, Way), usize>,
    batches: BTreeMap<HostName, Batch>,
    marks: Vec<Mark>,
    last: Option<Timestamp>,
}

impl Fold {
    fn take(&mut self, record: &Record) {
        let at = record.at;
        match &record.event {
            Event::Phase { batch: Some(batch), hosts, .. } => {
                for host in hosts {
                    self.batches.entry(host.clone()).or_insert(*batch);
                }
            }
            Event::Began(began) => {
                let leg = Stretch {
                    task: began.task.clone(),
                    step: began.step.clone(),
                    name: began.name.clone(),
                    action: began.action.clone(),
                    way: Way::Forward,
                    spans: vec![(at, at)],
                    in_rollback: began.in_rollback,
                    fate: Fate::Open,
                    why: None,
                    attempt: 1,
                    acts: 0,
                    open: true,
                };
                self.push(began.host.clone(), leg);
            }
            Event::UndoBegan { task } => self.back(task, at),
            Event::Announced { task, way, changes, .. } => {
                if let Some(leg) = self.leg(task, *way, at) {
                    leg.acts += changes.len();
                }
            }
            Event::Retried { task, attempt, .. } => {
                if let Some(leg) = self.leg(task, Way::Forward, at) {
                    leg.attempt = *attempt;
                }
            }
            Event::InDoubt { task, way, why } => {
                if let Some(leg) = self.find(task, *way, at) {
                    leg.why = Some(why.clone());
                    leg.close(at, Fate::Unknown);
                }
            }
            Event::Resolved { task, way, done, .. } => {
                if let Some(leg) = self.find(task, *way, at) {
                    leg.fate = match (way, done) {
                        (Way::Forward, true) => Fate::Done,
                        (Way::Forward, false) => Fate::Failed,
                        (Way::Undo, true) => Fate::Undone,
                        (Way::Undo, false) => Fate::NotUndone,
                    };
                }
            }
            Event::Waived { task, .. } => {
                if let Some(leg) = self.newest.get(&(task.clone(), Way::Forward)).and_then(|i| self.legs.get_mut(*i)) {
                    leg.1.close(at, Fate::Waived);
                }
            }
            Event::Ended { task, way, how, changed, .. } => {
                if let Some(leg) = self.leg(task, *way, at) {
                    leg.why = match how {
                        How::Refused(why) | How::Failed(why) => Some(why.clone()),
                        How::Done { .. } | How::Conditional => None,
                    };
                    let fate = fate(*way, how, *changed || leg.acts > 0);
                    leg.close(at, fate);
                }
            }
            Event::Resumed { .. } => {
                self.resumed(at);
                self.marks.push(Mark { at, words: "goes on" });
            }
            Event::RollingBack { scope, drill, .. } => {
                let words = match scope {
                    _ if *drill => "the drill turns back",
                    Scope::Run => "rolls back",
                    Scope::Batch(_) | Scope::Host(_) => "a batch goes back",
                };
                if self.marks.last().is_none_or(|mark| mark.words != words) {
                    self.marks.push(Mark { at, words });
                }
            }
            Event::Stopping { .. } => self.marks.push(Mark { at, words: "asked to stop" }),
            _ => {}
        }
    }
    fn push(&mut self, host: HostName, leg: Stretch) {
        self.newest.insert((leg.task.clone(), leg.way), self.legs.len());
        self.legs.push((host, leg));
    }
    fn back(&mut self, task: &TaskId, at: Timestamp) {
        let Some((host, there)) = self.newest.get(&(task.clone(), Way::Forward)).and_then(|i| self.legs.get(*i)) else {
            return;
        };
        let leg = Stretch {
            way: Way::Undo,
            spans: vec![(at, at)],
            fate: Fate::Open,
            why: None,
            attempt: 1,
            acts: 0,
            open: true,
            ..there.clone()
        };
        self.push(host.clone(), leg);
    }
    /// The newest leg of that way; an undo that no event began begins with what is told of it.
    fn find(&mut self, task: &TaskId, way: Way, at: Timestamp) -> Option<&mut Stretch> {
        if way == Way::Undo && !self.newest.contains_key(&(task.clone(), way)) {
            self.back(task, at);
        }
        let index = self.newest.get(&(task.clone(), way))?;
        self.legs.get_mut(*index).map(|(_, leg)| leg)
    }
    /// The same; what was unknown is asked for again.
    fn leg(&mut self, task: &TaskId, way: Way, at: Timestamp) -> Option<&mut Stretch> {
        let leg = self.find(task, way, at)?;
        if !leg.open && leg.fate == Fate::Unknown {
            leg.open = true;
            leg.spans.push((at, at));
        }
        Some(leg)
    }
    /// What was open stood still from the last event to this one.
    fn resumed(&mut self, at: Timestamp) {
        let stopped = self.last.unwrap_or(at);
        for (_, leg) in self.legs.iter_mut().filter(|(_, leg)| leg.open) {
            if let Some(span) = leg.spans.last_mut() {
                span.1 = stopped;
            }
            leg.spans.push((at, at));
        }
    }
}

const fn fate(way: Way, how: &How, acted: bool) -> Fate {
    match (way, how) {
        (Way::Forward, How::Done { .. }) if acted => Fate::Done,
        (Way::Forward, How::Done { .. } | How::Conditional) => Fate::Same,
        (Way::Forward, How::Refused(_) | How::Failed(_)) => Fate::Failed,
        (Way::Undo, How::Done { .. } | How::Conditional) => Fate::Undone,
        (Way::Undo, How::Refused(_) | How::Failed(_)) => Fate::NotUndone,
    }
}
