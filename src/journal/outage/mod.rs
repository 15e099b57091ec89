//! How long the clients of a service did not see it, and what the run did meanwhile: what `service.watch` and
//! `service.verify` saw, cut at the events of the steps that lie in it. A pure fold, as all that is told of a run.

use super::event::{Began, Event, How, Record};
use crate::base::{ClientFacts, ClientOutage, Span, TaskId, Way};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How long clients did not see a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Outage {
    /// The service.
    pub service: String,
    /// It was watched all the while; else it was out for at least so long.
    pub whole: bool,
    /// It was seen again, steadily.
    pub over: bool,
    /// The last good answer before the longest outage; none: there was no outage, or nobody watched as it began.
    pub from: Option<Timestamp>,
    /// The first good answer after it; none: there was no outage, or it is out still.
    pub until: Option<Timestamp>,
    /// How long the longest outage was, in milliseconds; 0: there was none.
    pub ms: u64,
    /// Requests while the service was watched.
    pub tries: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// What was wrong with the last of those.
    pub why: Option<String>,
    /// How many outages there were.
    pub count: usize,
    /// The longest that was promised.
    pub rto: Option<Span>,
    /// The most that may be lost, as `svcops.yaml` has it.
    pub rpo: Option<String>,
    /// The same in bytes, where it is said so.
    pub rpo_bytes: Option<u64>,
    /// How many bytes of the write-ahead log were lost at most, where a step has found that out.
    pub lost_bytes: Option<u64>,
    /// What the run did in the longest outage; their sum is [`ms`](Self::ms).
    pub phases: Vec<Phase>,
}

/// A part of an outage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// What went on.
    pub what: What,
    /// How long, in milliseconds.
    pub ms: u64,
    /// For so long of it an act was under way, the way to its host and back among it.
    pub acts_ms: u64,
}

/// What goes on while a service is out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Nothing yet that the run would know of: the last good answer lies before the first act.
    Before,
    /// A step, from the end of what was before it.
    Step {
        /// Its number path.
        step: String,
        /// Its name.
        name: String,
        /// The action's name.
        action: String,
        /// It was taken back.
        back: bool,
    },
    /// All acts are done, and the clients have yet to come back.
    After,
}

impl Phase {
    /// What svcops itself took: looks, decisions, its journal.
    pub const fn own_ms(&self) -> u64 {
        self.ms.saturating_sub(self.acts_ms)
    }
}

impl Outage {
    /// Whether the RTO was met; none: nothing was promised, or it is not known to be over.
    pub fn rto_met(&self) -> Option<bool> {
        let met = self.rto.map(|rto| u128::from(self.ms) <= rto.0.as_millis())?;
        // what was longer than that is so whatever is not known
        (!met || (self.over && self.whole)).then_some(met)
    }
    /// Whether the RPO was met; none: nobody knows.
    pub fn rpo_met(&self) -> Option<bool> {
        match (self.lost_bytes?, self.rpo_bytes) {
            (0, _) => Some(true),
            (lost, Some(most)) => Some(lost <= most),
            (_, None) => None,
        }
    }
    /// As JSON: an interface.
    pub fn json(&self) -> Value {
        let phase = |phase: &Phase| {
            let (kind, step, name, action, back) = match &phase.what {
                What::Before => ("before", None, None, None, false),
                What::Step { step, name, action, back } => ("step", Some(step), Some(name), Some(action), *back),
                What::After => ("after", None, None, None, false),
            };
            json!({
                "phase": kind, "step": step, "name": name, "action": action, "back": back,
                "ms": phase.ms, "acts_ms": phase.acts_ms, "own_ms": phase.own_ms(),
            })
        };
        json!({
            "service": self.service,
            "outage_ms": self.ms,
            "measured": if self.whole { "whole" } else { "part" },
            "over": self.over,
            "from": self.from,
            "until": self.until,
            "outages": self.count,
            "tries": self.tries,
            "failed": self.failed,
            "why": self.why,
            "rto_ms": self.rto.and_then(|rto| u64::try_from(rto.0.as_millis()).ok()),
            "rto_met": self.rto_met(),
            "rpo": self.rpo,
            "rpo_met": self.rpo_met(),
            "lost_bytes": self.lost_bytes,
            "phases": self.phases.iter().map(phase).collect::<Vec<_>>(),
        })
    }
}

/// What is kept of a run for that, from the first watch on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Watches {
    all: Vec<Watch>,
    legs: Vec<Leg>,
    /// Which watch a task verifies.
    verifies: BTreeMap<TaskId, usize>,
}

/// A service under watch.
#[derive(Clone, Debug, PartialEq)]
struct Watch {
    service: String,
    promise: Promise,
    /// By the last `service.verify` that ended.
    seen: Option<ClientFacts>,
    lost: Option<u64>,
}

/// A leg of a task, in time.
#[derive(Clone, Debug, PartialEq)]
struct Leg {
    task: TaskId,
    way: Way,
    what: What,
    began: Timestamp,
    ended: Option<Timestamp>,
    /// Announced last, and not carried out yet.
    announced: Option<Timestamp>,
    acts: Vec<(Timestamp, Timestamp)>,
}

/// What the two actions have in the journal.
#[derive(Deserialize)]
struct Asked {
    sight: Sight,
    #[serde(default)]
    promise: Promise,
}
#[derive(Deserialize)]
struct Sight {
    service: String,
}
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
struct Promise {
    rto: Option<Span>,
    rpo: Option<String>,
    rpo_bytes: Option<u64>,
}

impl Watches {
    pub(super) fn take(&mut self, record: &Record) {
        let at = record.at;
        match &record.event {
            Event::Began(began) => self.began(at, began),
            _ if self.all.is_empty() => {}
            Event::UndoBegan { task } => {
                let there = self.legs.iter().rev().find(|leg| leg.task == *task);
                if let Some(Leg { what: What::Step { step, name, action, .. }, .. }) = there.cloned() {
                    let what = What::Step { step, name, action, back: true };
                    self.push(task, Way::Undo, what, at);
                }
            }
            Event::Announced { task, way, .. } => {
                if let Some(leg) = self.leg(task, *way) {
                    leg.announced = Some(at);
                }
            }
            Event::Carried { task, way, receipt, .. } => {
                if let Some(leg) = self.leg(task, *way) {
                    let took = receipt.micros.and_then(|n| i64::try_from(n).ok()).map(SignedDuration::from_micros);
                    let since = took.and_then(|took| at.checked_sub(took).ok()).or(leg.announced).unwrap_or(at);
                    leg.acts.push((since.max(leg.began), at));
                }
            }
            Event::Ended { task, way, how, seen, .. } => {
                if let Some(leg) = self.leg(task, *way) {
                    leg.ended = Some(at);
                }
                if let How::Done { outputs } = how
                    && let Some(lost) = outputs.get("lost_bytes").and_then(Value::as_u64)
                    && let Some(watch) = self.all.last_mut()
                {
                    watch.lost = Some(lost);
                }
                self.verified(task, seen.as_ref());
            }
            _ => {}
        }
    }

    fn began(&mut self, at: Timestamp, began: &Began) {
        let asked = || serde_json::from_value::<Asked>(began.value.open()).ok();
        match began.action.as_str() {
            "service.watch" => {
                if let Some(Asked { sight, promise }) = asked() {
                    self.all.push(Watch { service: sight.service, promise, seen: None, lost: None });
                }
            }
            "service.verify" => {
                if let Some(Asked { sight, promise }) = asked() {
                    let known = self.all.iter().rposition(|watch| watch.service == sight.service);
                    let at = known.unwrap_or(self.all.len());
                    match self.all.get_mut(at) {
                        Some(watch) => watch.promise = promise,
                        None => self.all.push(Watch { service: sight.service, promise, seen: None, lost: None }),
                    }
                    self.verifies.insert(began.task.clone(), at);
                }
            }
            _ if self.all.is_empty() => return,
            _ => {}
        }
        let (step, name, action) = (began.step.clone(), began.name.clone(), began.action.clone());
        let what = What::Step { step, name, action, back: began.in_rollback };
        self.push(&began.task, Way::Forward, what, at);
    }

    fn push(&mut self, task: &TaskId, way: Way, what: What, at: Timestamp) {
        let (task, acts) = (task.clone(), Vec::new());
        self.legs.push(Leg { task, way, what, began: at, ended: None, announced: None, acts });
    }

    fn leg(&mut self, task: &TaskId, way: Way) -> Option<&mut Leg> {
        self.legs.iter_mut().rev().find(|leg| leg.task == *task && leg.way == way)
    }

    /// However it ended: what it saw last is what was measured. A process that came later knows less.
    fn verified(&mut self, task: &TaskId, seen: Option<&Value>) {
        let watch = self.verifies.get(task).and_then(|at| self.all.get_mut(*at));
        let seen = seen.and_then(|seen| serde_json::from_value::<ClientFacts>(seen.clone()).ok());
        if let (Some(seen), Some(watch)) = (seen, watch)
            && (seen.watched || watch.seen.as_ref().is_none_or(|known| !known.watched))
        {
            watch.seen = Some(seen);
        }
    }

    pub(super) fn outages(&self) -> Vec<Outage> {
        self.all.iter().filter_map(|watch| Some(self.outage(watch, watch.seen.as_ref()?))).collect()
    }

    fn outage(&self, watch: &Watch, seen: &ClientFacts) -> Outage {
        let longest = seen.longest();
        let window = longest.and_then(window);
        Outage {
            service: watch.service.clone(),
            whole: seen.watched && longest.is_none_or(|outage| outage.from.is_some()),
            over: seen.steady(crate::base::SETTLED),
            from: longest.and_then(|outage| outage.from),
            until: longest.and_then(|outage| outage.until),
            ms: longest.map_or(0, |outage| millis(outage.micros)),
            tries: seen.tries,
            failed: seen.failed,
            why: seen.why.clone(),
            count: seen.outages.len(),
            rto: watch.promise.rto,
            rpo: watch.promise.rpo.clone(),
            rpo_bytes: watch.promise.rpo_bytes,
            lost_bytes: watch.lost,
            phases: window.map_or_else(Vec::new, |(from, micros)| phases(&self.legs, from, micros)),
        }
    }
}

/// When an outage began, as far as is known, and how long it was in microseconds.
fn window(outage: &ClientOutage) -> Option<(Timestamp, u64)> {
    let length = SignedDuration::from_micros(i64::try_from(outage.micros).ok()?);
    let from = outage.from.or_else(|| outage.until?.checked_sub(length).ok())?;
    (outage.micros > 0).then_some((from, outage.micros))
}

/// To the nearest millisecond.
const fn millis(micros: u64) -> u64 {
    micros.saturating_add(500) / 1000
}

/// Cuts a stretch of time at the events of the legs that lie in it.
fn phases(legs: &[Leg], from: Timestamp, length: u64) -> Vec<Phase> {
    let end = i64::try_from(length).unwrap_or(i64::MAX);
    let place = |at: Timestamp| i64::try_from(at.duration_since(from).as_micros()).unwrap_or(i64::MAX);
    let cut = Cut::new(legs, &place, end);
    let mut cuts: Vec<i64> = cut
        .legs
        .iter()
        .flat_map(|leg| [leg.began, leg.ended].into_iter().chain(leg.acts.iter().flat_map(|(a, b)| [*a, *b])))
        .chain([0, end])
        .filter(|at| (0..=end).contains(at))
        .collect();
    cuts.sort_unstable();
    cuts.dedup();
    let mut parts: Vec<(What, u64, u64)> = Vec::new();
    for (a, b) in cuts.iter().zip(cuts.iter().skip(1)) {
        let (what, acts) = cut.owner(*a, *b);
        let long = b.abs_diff(*a);
        let acts = if acts { long } else { 0 };
        match parts.iter_mut().find(|(known, ..)| *known == what) {
            Some((_, sum, under_way)) => (*sum, *under_way) = (*sum + long, *under_way + acts),
            None => parts.push((what, long, acts)),
        }
    }
    // rounded at their borders, so that the sum is that of the whole
    let mut sum = 0;
    let rounded = parts.into_iter().map(|(what, long, acts)| {
        let ms = millis(sum + long) - millis(sum);
        sum += long;
        Phase { what, ms, acts_ms: millis(acts).min(ms) }
    });
    rounded.filter(|phase| phase.ms > 0).collect()
}

/// The legs in microseconds since the begin of an outage.
struct Cut<'a> {
    legs: Vec<Placed<'a>>,
    /// Where the step begins that the first act belongs to.
    cause: i64,
    /// Where the last step ends that acted.
    last: i64,
}

struct Placed<'a> {
    what: &'a What,
    began: i64,
    ended: i64,
    acts: Vec<(i64, i64)>,
}

impl<'a> Cut<'a> {
    fn new(legs: &'a [Leg], place: &impl Fn(Timestamp) -> i64, end: i64) -> Self {
        let placed = |leg: &'a Leg| {
            let mut acts: Vec<_> = leg.acts.iter().map(|(a, b)| (place(*a), place(*b))).collect();
            // announced, and nobody has heard of it again
            let open = leg.announced.map(place).filter(|at| acts.last().is_none_or(|(_, b)| b < at));
            let ended = leg.ended.map_or(i64::MAX, place);
            acts.extend(open.map(|at| (at, ended)));
            Placed { what: &leg.what, began: place(leg.began), ended, acts }
        };
        let legs: Vec<_> = legs.iter().map(placed).filter(|leg| leg.ended > 0 && leg.began < end).collect();
        let acts = || legs.iter().flat_map(|leg| leg.acts.iter().map(move |act| (leg, act)));
        let first = acts().filter(|(_, act)| act.1 > 0 && act.0 < end).min_by_key(|(_, act)| act.0);
        let cause = first.map(|(leg, _)| leg.began).or_else(|| legs.iter().map(|leg| leg.began).min());
        let last = acts().filter(|(_, act)| act.0 < end).map(|(leg, _)| leg.ended).max();
        Self { cause: cause.unwrap_or(end), last: last.unwrap_or(i64::MAX), legs }
    }

    /// What a stretch that no event cuts belongs to, and whether an act of it is under way.
    fn owner(&self, a: i64, b: i64) -> (What, bool) {
        if b <= self.cause {
            return (What::Before, false);
        }
        if a >= self.last {
            return (What::After, false);
        }
        let acting = |leg: &&Placed<'_>| leg.acts.iter().any(|(from, to)| *from <= a && *to >= b);
        let covering = |leg: &&Placed<'_>| leg.began <= a && leg.ended >= b;
        if let Some(leg) = self.legs.iter().filter(acting).max_by_key(|leg| leg.began) {
            return (leg.what.clone(), true);
        }
        let under_way = self.legs.iter().filter(covering).max_by_key(|leg| leg.began);
        // between two steps svcops prepares the next one
        let next = || self.legs.iter().filter(|leg| leg.began >= b).min_by_key(|leg| leg.began);
        let owner = under_way.or_else(next).or_else(|| self.legs.iter().max_by_key(|leg| leg.ended));
        (owner.map_or(What::After, |leg| leg.what.clone()), false)
    }
}

#[cfg(test)]
mod tests;
