//! One task: observe, decide, announce, carry out, observe again. One loop for both ways; all its state is in the journal.

use super::walk::{Engine, Halt};
use crate::{
    actions::{Entry, Next, Task, Turn, holds},
    base::{Act, Answer, At, Change, HostName, Outcome, Packed, Place, TaskId, Way},
    journal::{
        event::{Began, Event, How, Notice},
        state::{Leg, TaskState},
    },
    resources::ReadError,
    runbook::Retry,
    transport::{Fut, Lost, LostKind, Settled, Terms},
};
use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// How a leg ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Drove {
    /// Done, or (in a plan) not to be known yet.
    Well,
    /// Refused or failed.
    Bad(String),
    /// Nobody knows.
    Doubt(String),
    /// The run is to stop now: nothing is under way, and a resume goes on from here.
    Halted,
}

/// A host that is silent is tried again for so long, or for the task's deadline where that is shorter.
const PATIENCE: Duration = Duration::from_secs(60);
/// One that refuses connections and has not answered in this process yet most likely has no sshd; one that boots has it
/// soon.
const PATIENCE_REFUSED: Duration = Duration::from_secs(10);
const BREATH: Duration = Duration::from_secs(1);
/// What was cancelled has so long to be seen gone.
const GRACE: Duration = Duration::from_secs(15);
/// An action that has not come to an end after so many decisions never will.
const ROUNDS: usize = 10_000;

impl Engine<'_> {
    /// The action that began a task, from the journal's word.
    pub(super) fn recall(&self, began: &Began) -> Result<Box<dyn Task>, String> {
        Entry::find(self.stage.catalog, &began.action)
            .ok_or_else(|| format!("this version knows no action `{}`", began.action))?
            .recall(began.value.open())
            .map_err(|e| e.to_string())
    }

    /// Drives one leg of a task to its end. `fresh` was seen a moment ago: the first decision needs no look of its own.
    pub(super) async fn drive(
        &self,
        id: &TaskId,
        task: &dyn Task,
        way: Way,
        retry: Option<Retry>,
        mut fresh: Option<Value>,
    ) -> Result<Drove, Halt> {
        let mut decisions = 0;
        let mut watch = Watch::default();
        loop {
            let Some(state) = self.snapshot(id) else { return Ok(Drove::Bad(format!("no task `{id}`"))) };
            let Some(leg) = state.leg(way).cloned() else {
                self.say(Event::UndoBegan { task: id.clone() }).await?;
                continue;
            };
            watch.follow(&leg, self.stage.clock.passed());
            match &leg.how {
                Some(How::Done { .. } | How::Conditional) => return Ok(Drove::Well),
                Some(How::Refused(why) | How::Failed(why)) => return Ok(Drove::Bad(why.clone())),
                None => {}
            }
            if let Some(change) = leg.queue.front() {
                match self.carry(&state, &leg, way, change).await? {
                    Ok(()) => continue,
                    Err(lost) => return self.doubt(id, way, lost.to_string()).await,
                }
            }
            decisions += 1;
            let (how, seen) = match self.decide(&state, &leg, way, task, (&watch, decisions, fresh.take())).await? {
                Decided::Goes => continue,
                Decided::Doubt(why) => return self.doubt(id, way, why).await,
                Decided::Halts => return Ok(Drove::Halted),
                Decided::Ends(how, seen) => (how, seen),
            };
            if let (How::Failed(why) | How::Refused(why), Way::Forward, Some(retry)) = (&how, way, retry)
                && leg.attempt < retry.attempts
                && !self.must_stop()
            {
                let factor = retry.backoff.powi(i32::try_from(leg.attempt).unwrap_or(1) - 1).clamp(1.0, 1e6);
                self.pause(id, why, retry.delay.0.mul_f64(factor)).await;
                let again = Event::Retried { task: id.clone(), attempt: leg.attempt + 1, why: why.clone() };
                self.say(again).await?;
                continue;
            }
            let bad = matches!(how, How::Failed(_)) && way == Way::Forward;
            let changed = changed(&state, task, seen.as_ref(), way) || (bad && wants_back(&state, task, seen.as_ref()));
            self.end(id, way, how, seen, changed).await?;
        }
    }

    /// Looks, and asks the action what comes next.
    async fn decide(
        &self,
        state: &TaskState,
        leg: &Leg,
        way: Way,
        task: &dyn Task,
        (watch, decisions, fresh): (&Watch, usize, Option<Value>),
    ) -> Result<Decided, Halt> {
        let id = &state.began.task;
        // of the point of no return what is seen decides, whatever is known of the act
        let seen_decides = way == Way::Forward && !state.began.opaque && self.crosses(state);
        if let Some((_, receipt)) = leg.did.last()
            && let Outcome::Unknown(why) = &receipt.outcome
            && !seen_decides
        {
            return Ok(Decided::Doubt(why.clone()));
        }
        let acted = leg.announced > 0;
        let looked = match fresh {
            Some(seen) => Ok(Ok(seen)),
            None => self.look(task, self.patience(&state.began)).await,
        };
        let seen = match looked {
            Ok(Ok(seen)) => seen,
            Ok(Err(ReadError::Open)) if self.supposes() => return Ok(Decided::Ends(How::Conditional, None)),
            Ok(Err(e)) if leg.did.is_empty() || decisions > 5 => {
                return Ok(Decided::Ends(failed(acted, e.to_string()), None));
            }
            Ok(Err(e)) => {
                self.pause(id, &e.to_string(), BREATH).await;
                return Ok(Decided::Goes);
            }
            // what was carried out has its receipt; whether it took effect can be looked at later
            Err(lost) if acted => return Ok(Decided::Doubt(format!("its effect could not be looked at: {lost}"))),
            // an undo is still to be done when the host answers again
            Err(lost) if way == Way::Undo => return Ok(Decided::Doubt(lost.to_string())),
            Err(lost) => return Ok(Decided::Ends(How::Failed(format!("no contact: {lost}")), None)),
        };
        let said = leg.did.last().and_then(|(_, receipt)| match &receipt.outcome {
            Outcome::Ok => None,
            Outcome::Refused(why) | Outcome::Failed(why) => Some((why.clone(), false)),
            Outcome::Unknown(why) => Some((why.clone(), true)),
        });
        if let Some((why, false)) = &said
            && !seen_decides
        {
            return Ok(Decided::Ends(How::Failed(why.clone()), Some(seen)));
        }
        let Some(before) = &state.began.before.as_ref().map(Packed::open) else {
            return Ok(Decided::Ends(failed(acted, "the journal holds nothing of what was before".into()), Some(seen)));
        };
        let after = state.after.as_ref().map(Packed::open);
        let now = self.stage.clock.passed();
        let elapsed = now.saturating_sub(watch.since);
        let late = elapsed > state.began.within.0;
        let turn = Turn {
            before,
            seen: &seen,
            after: after.as_ref(),
            did: leg.did.iter().map(|(_, r)| r.clone()).collect(),
            last: leg.did.last().map(|(change, _)| change.clone()),
            elapsed,
            rested: now.saturating_sub(watch.rested),
            late,
        };
        let next = task.next(way, turn).unwrap_or_else(|e| Next::GiveUp(e.to_string()));
        if let Some((why, unknown)) = said {
            let expected = leg.expect.as_ref().is_none_or(|e| e.is_null() || holds(e, &seen));
            return Ok(match next {
                Next::Done { outputs } if expected => {
                    let (why, _) = self.stage.redactor.clean(&why);
                    let note = format!("`{id}` is seen done, though its act did not say so: {why}");
                    self.stage.watcher.notice(&Notice::Warning(note));
                    Decided::Ends(How::Done { outputs: beside(outputs, &why) }, Some(seen))
                }
                _ if unknown => Decided::Doubt(why),
                _ => Decided::Ends(How::Failed(why), Some(seen)),
            });
        }
        if matches!(next, Next::Do { .. } | Next::Wait { .. }) && self.stop_level() > 1 {
            return Ok(Decided::Halts);
        }
        let expected = leg.expect.as_ref().filter(|e| !e.is_null());
        let how = match next {
            // neither outputs nor an effect can be known of what has no model
            Next::Done { .. } | Next::GiveUp(_) if self.supposes() && acted && state.began.opaque => How::Conditional,
            Next::Do { changes, .. } if changes.iter().any(|c| leg.did.iter().any(|(d, _)| d == c)) => {
                How::Failed("it had no effect, and the same again would have none".into())
            }
            Next::Do { .. } if late => How::Failed(format!("ran out of time after {}", state.began.within)),
            Next::Do { .. } if decisions > ROUNDS => How::Failed("it comes to no end".into()),
            Next::Do { changes, expect } => return self.announce(state, leg, way, (changes, expect)).await,
            Next::Wait { why, .. } if late => {
                failed(acted, format!("ran out of time after {}: {why}", state.began.within))
            }
            Next::Wait { why, every } => {
                self.stage.watcher.notice(&Notice::Waiting { task: id.clone(), why, elapsed });
                self.sleep(every).await;
                return Ok(Decided::Goes);
            }
            Next::GiveUp(why) => failed(acted, why),
            Next::Done { .. } if expected.is_some_and(|e| !holds(e, &seen)) => How::Failed(format!(
                "it says done, but {} was expected and {seen} seen",
                expected.unwrap_or(&Value::Null)
            )),
            Next::Done { .. } if way == Way::Undo && !task.same(before, &seen).unwrap_or(false) => {
                How::Failed(format!("it says undone, but {before} was before and {seen} is seen"))
            }
            Next::Done { outputs } => How::Done { outputs },
        };
        Ok(Decided::Ends(how, Some(seen)))
    }

    async fn announce(
        &self,
        state: &TaskState,
        leg: &Leg,
        way: Way,
        (changes, expect): (Vec<At<Change>>, Value),
    ) -> Result<Decided, Halt> {
        let id = &state.began.task;
        let place = changes.first().map_or(Place::HERE, |c| c.at.clone());
        let opened = self.patiently(self.patience(&state.began), || self.stage.transport.open(&self.run, &place)).await;
        let boot = match opened {
            Ok(boot) => {
                self.met().extend(place.host.clone());
                boot
            }
            Err(lost) if leg.announced > 0 || way == Way::Undo => return Ok(Decided::Doubt(lost.to_string())),
            Err(lost) => return Ok(Decided::Ends(How::Failed(format!("no contact: {lost}")), None)),
        };
        let no_return = way == Way::Forward && self.crosses(state);
        let task = id.clone();
        self.say(Event::Announced { task, way, number: leg.announced, changes, expect, boot, no_return }).await?;
        Ok(Decided::Goes)
    }

    async fn carry(
        &self,
        state: &TaskState,
        leg: &Leg,
        way: Way,
        change: &At<Change>,
    ) -> Result<Result<(), Lost>, Halt> {
        let (act, terms) = self.act(state, leg, way, change);
        let (transport, act, mut stop) = (&self.stage.transport, &act, self.stop.clone());
        let begun = self.stage.clock.passed();
        let mut carrying =
            std::pin::pin!(self.patiently(self.patience(&state.began), || transport.carry(act, change, terms)));
        let carried = tokio::select! {
            carried = &mut carrying => carried,
            () = super::walk::urgent(&mut stop), if terms.interruptible => {
                // ended on the host, too; what became of it is in its receipt
                drop(transport.cancel(act, &change.at).await);
                tokio::select! {
                    carried = &mut carrying => carried,
                    () = self.stage.clock.sleep(GRACE) => Err(Lost {
                        host: change.at.host.clone(),
                        why: "it was not seen to end after it was cancelled".into(),
                        kind: LostKind::Cancelled,
                    }),
                }
            }
        };
        match carried {
            Ok(mut receipt) => {
                let took = self.stage.clock.passed().saturating_sub(begun);
                receipt.micros = u64::try_from(took.as_micros()).ok();
                let task = state.began.task.clone();
                self.say(Event::Carried { task, way, number: leg.number, receipt }).await?;
                Ok(Ok(()))
            }
            Err(lost) => Ok(Err(lost)),
        }
    }

    /// Learns what became of a leg that a rollback finds unfinished, and ends it. Acts that never began never will.
    /// An error: nobody knows.
    pub(super) async fn settle(&self, id: &TaskId, task: &dyn Task) -> Result<Result<(), String>, Halt> {
        let way = Way::Forward;
        while let Some((state, change)) = self
            .snapshot(id)
            .filter(|s| s.forward.how.is_none())
            .and_then(|s| s.forward.queue.front().cloned().map(|c| (s, c)))
        {
            let (act, terms) = self.act(&state, &state.forward, way, &change);
            let found =
                self.patiently(self.patience(&state.began), || self.stage.transport.settle(&act, &change, terms)).await;
            let receipt = match found {
                Ok(Settled::Was(receipt)) => receipt,
                Ok(Settled::Never) => {
                    crate::base::Receipt::of(Outcome::Refused("it was called back before it began".into()))
                }
                Err(lost) => return self.doubt(id, way, lost.to_string()).await.map(|_| Err(lost.to_string())),
            };
            let unknown = matches!(receipt.outcome, Outcome::Unknown(_));
            self.say(Event::Carried { task: id.clone(), way, number: state.forward.number, receipt }).await?;
            if unknown {
                break;
            }
        }
        let Some(state) = self.snapshot(id) else { return Ok(Ok(())) };
        if state.forward.how.is_some() {
            return Ok(Ok(()));
        }
        if let Some((_, receipt)) = state.forward.did.last()
            && let Outcome::Unknown(why) = &receipt.outcome
        {
            let why = why.clone();
            return self.doubt(id, way, why.clone()).await.map(|_| Err(why));
        }
        match self.look(task, self.patience(&state.began)).await {
            Ok(Ok(seen)) => {
                let changed = changed(&state, task, Some(&seen), way);
                let how = failed(state.acted(), "the run turned back before it was done".into());
                self.end(id, way, how, Some(seen), changed).await?;
                Ok(Ok(()))
            }
            Ok(Err(e)) => {
                let how = failed(state.acted(), e.to_string());
                self.end(id, way, how, None, state.acted()).await?;
                Ok(Ok(()))
            }
            Err(lost) if state.acted() => self.doubt(id, way, lost.to_string()).await.map(|_| Err(lost.to_string())),
            Err(lost) => {
                self.end(id, way, How::Failed(lost.to_string()), None, false).await?;
                Ok(Ok(()))
            }
        }
    }

    fn act(&self, state: &TaskState, leg: &Leg, way: Way, change: &At<Change>) -> (Act, Terms) {
        let act = Act {
            run: self.run.clone(),
            task: state.began.task.clone(),
            way,
            number: leg.number,
            boot: leg.boot.clone(),
        };
        (act, Terms { within: state.began.within.0, interruptible: !change.what.is_left_to_end() })
    }

    /// Looks at what a task is about.
    pub(super) async fn look(&self, task: &dyn Task, patience: Duration) -> Result<Result<Value, ReadError>, Lost> {
        let reads = task.reads();
        let mut answers = vec![None; reads.len()];
        let mut hosts: Vec<_> = reads.iter().map(|r| r.at.host.as_ref()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        let probes = hosts.into_iter().map(|host| {
            let mine: Vec<usize> =
                (0..reads.len()).filter(|i| reads.get(*i).is_some_and(|r| r.at.host.as_ref() == host)).collect();
            let batch: Vec<_> = mine.iter().filter_map(|i| reads.get(*i).cloned()).collect();
            async move {
                let asked = || self.stage.transport.look(host, &batch);
                if host.is_some() && task.spares() == host {
                    let why = tokio::select! {
                        looked = asked() => match looked {
                            Ok(look) => return Ok((mine, look.answers)),
                            Err(lost) => lost.to_string(),
                        },
                        () = self.stage.clock.sleep(BREATH) => lost_sight(host),
                    };
                    return Ok((mine, vec![Answer::Bad(why); batch.len()]));
                }
                let look = self.patiently(patience, asked).await?;
                self.met().extend(host.cloned());
                Ok::<_, Lost>((mine, look.answers))
            }
        });
        for probe in join_all(probes).await {
            let (mine, found) = probe?;
            for (slot, answer) in mine.into_iter().zip(found) {
                if let Some(place) = answers.get_mut(slot) {
                    *place = Some(answer);
                }
            }
        }
        Ok(match task.facts(answers.into_iter().flatten().collect()) {
            // whatever would spare a command its work is taken not to hold
            Err(ReadError::Open) if task.is_opaque() && self.stage.transport.supposes() => Ok(serde_json::json!({})),
            facts => facts,
        })
    }

    /// How long a host that is silent is tried again for a task. Past the point of no return there is nothing to turn back
    /// for, whatever its step says.
    pub(super) fn patience(&self, began: &Began) -> Duration {
        let most = PATIENCE.min(began.within.0);
        let own = began.patience.filter(|_| self.with(|s| s.no_return().is_none()));
        own.map_or(most, |own| most.min(own.0))
    }

    /// Tries again while a host is silent.
    pub(super) async fn patiently<'f, T>(
        &self,
        patience: Duration,
        mut ask: impl FnMut() -> Fut<'f, Result<T, Lost>>,
    ) -> Result<T, Lost> {
        let patience = if self.planning { Duration::ZERO } else { patience };
        let begun = self.stage.clock.passed();
        loop {
            let lost = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(lost) => lost,
            };
            let spent = self.stage.clock.passed().saturating_sub(begun);
            let unmet = lost.host.as_ref().is_some_and(|host| !self.met().contains(host));
            let patience = if unmet && lost.is_refused() { patience.min(PATIENCE_REFUSED) } else { patience };
            if lost.kind != LostKind::Unreachable || spent >= patience || self.stop_level() > 1 {
                return Err(lost);
            }
            if let Some(host) = &lost.host {
                self.stage.watcher.notice(&Notice::Silent { host: host.clone(), why: lost.why.clone() });
            }
            self.sleep(BREATH).await;
        }
    }

    async fn doubt(&self, id: &TaskId, way: Way, why: String) -> Result<Drove, Halt> {
        let (why, _) = self.stage.redactor.clean(&why);
        if self.snapshot(id).and_then(|s| s.leg(way).and_then(|l| l.doubt.clone())).as_deref() != Some(&why) {
            self.say(Event::InDoubt { task: id.clone(), way, why: why.clone() }).await?;
        }
        Ok(Drove::Doubt(why))
    }

    async fn pause(&self, id: &TaskId, why: &str, time: Duration) {
        self.stage.watcher.notice(&Notice::Waiting { task: id.clone(), why: why.to_owned(), elapsed: Duration::ZERO });
        self.sleep(time).await;
    }

    /// Sleeps, but not through the second call to stop.
    async fn sleep(&self, time: Duration) {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = self.stage.clock.sleep(time) => {}
            () = super::walk::urgent(&mut stop) => {}
        }
    }
}

/// The outputs, with what the act said of itself.
fn beside(outputs: Value, said: &str) -> Value {
    let mut all = match outputs {
        Value::Object(all) => all,
        _ => serde_json::Map::new(),
    };
    all.insert("said".to_owned(), said.into());
    Value::Object(all)
}

/// A host that nobody waits for did not answer at once.
fn lost_sight(host: Option<&HostName>) -> String {
    format!("`{}` did not answer within {} s", host.map_or("", HostName::as_str), BREATH.as_secs())
}

/// When a leg began and when it last did something, by the time that has passed. Its events say so too, but by the wall
/// clock, which somebody may set while the leg is under way.
#[derive(Default)]
struct Watch {
    told: Option<(Timestamp, Timestamp)>,
    since: Duration,
    rested: Duration,
}

impl Watch {
    fn follow(&mut self, leg: &Leg, now: Duration) {
        let (since, rested) = self.told.unzip();
        if since != Some(leg.since) {
            self.since = now;
        }
        if rested != Some(leg.rested) {
            self.rested = now;
        }
        self.told = Some((leg.since, leg.rested));
    }
}

/// What one decision came to.
enum Decided {
    /// Something was done or waited for: look again.
    Goes,
    Ends(How, Option<Value>),
    Doubt(String),
    /// The run is to stop now.
    Halts,
}

fn failed(acted: bool, why: String) -> How {
    if acted { How::Failed(why) } else { How::Refused(why) }
}

/// Whether what lasts is another than before; what has no model and ran counts as changed.
fn changed(state: &TaskState, task: &dyn Task, seen: Option<&Value>, way: Way) -> bool {
    match (&state.began.before, seen) {
        _ if state.began.opaque && way == Way::Forward => state.forward.ran(),
        (Some(before), Some(seen)) => !task.same(&before.open(), seen).unwrap_or(false),
        _ => state.leg(way).is_some_and(|l| l.announced > 0),
    }
}

/// Whether an undo would have something to do: what lasts may be as before, and the app not healthy as it was.
fn wants_back(state: &TaskState, task: &dyn Task, seen: Option<&Value>) -> bool {
    let (Some(before), Some(seen), false) = (&state.began.before, seen, state.began.opaque) else { return false };
    let turn = Turn {
        before: &before.open(),
        seen,
        after: Some(seen),
        did: Vec::new(),
        last: None,
        elapsed: Duration::ZERO,
        rested: Duration::ZERO,
        late: false,
    };
    !matches!(task.next(Way::Undo, turn), Ok(Next::Done { .. }))
}
