//! Consequences: a debt is paid once a host, right after the last step (or undo) that can owe it, before what follows.

use super::{
    drive::Drove,
    script::{Station, deed},
    task::{TIMEOUT, Turned, refusal},
    walk::{Engine, Halt},
};
use crate::{
    actions::Entry,
    base::{HostName, TaskId, Way},
    journal::{
        event::{Began, Debt, Event, How},
        state::Owed,
    },
};
use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
};

/// The group that a step stands in: its number path without the last number. A step of `undo:` stands where its step does.
pub(super) fn group(step: &str) -> &str {
    let step = step.split_once(".undo").map_or(step, |(of, _)| of);
    step.rsplit_once('.').map_or("", |(group, _)| group)
}

impl Engine<'_> {
    /// Pays what the host owes now that `station` is done there, but for what a later step of its group can still owe.
    pub(super) async fn pay_due(&self, station: &Station, host: &HostName) -> Result<Turned, Halt> {
        // a sibling may be paying the same debt: two that drive one task carry its act twice
        let turn = {
            let mut paying = self.paying.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(paying.entry(host.clone()).or_default())
        };
        let _turn = turn.lock().await;
        loop {
            let owed: Vec<Owed> = self.with(|s| s.owes(host).into_iter().cloned().collect());
            let due = owed.into_iter().find(|o| self.is_due(o, station));
            let Some(due) = due else { return Ok(Turned::Well) };
            let id = TaskId::new(&due.debt.step, host);
            match self.pay(&id, &due.debt, station, None).await? {
                Turned::Well if self.still_owes(&due.debt) => return Ok(Turned::Well),
                Turned::Well => {}
                other => return Ok(other),
            }
        }
    }

    /// A payment that went well once does not settle what came to be owed after it: the way back sees to that.
    pub(super) fn still_owes(&self, debt: &Debt) -> bool {
        self.with(|s| s.owes(&debt.host).iter().any(|o| o.debt.key == debt.key))
    }

    /// A debt that a later step of the same group can owe again on this host can wait for it.
    fn is_due(&self, owed: &Owed, station: &Station) -> bool {
        let Some(step) = self.with(|s| s.task(&owed.by).map(|t| t.began.step.clone())) else { return true };
        if !self.is_ripe(owed, station) {
            return false;
        }
        let stations = self.script.stations();
        if group(&step) != group(&station.number) {
            return true;
        }
        let Some(by) = stations.into_iter().find(|s| s.number == step) else { return true };
        let number = owed.debt.step.rsplit_once(".then").and_then(|(_, n)| n.parse::<usize>().ok()).unwrap_or(1);
        let spec = by.step.then.get(number.saturating_sub(1)).and_then(deed);
        spec.is_none_or(|spec| !station.later.iter().any(|l| l.deed == spec && l.concerns(&owed.debt.host)))
    }

    /// What owes it has ended, and stands not after `station`: a resume comes past the earlier steps once more.
    fn is_ripe(&self, owed: &Owed, station: &Station) -> bool {
        let by = self.with(|s| s.task(&owed.by).map(|t| (t.began.step.clone(), t.forward.how.is_some())));
        let Some((step, ended)) = by else { return true };
        let stations = self.script.stations();
        let place = |number: &str| stations.iter().position(|s| s.number == number);
        ended && place(&step) <= place(&station.number)
    }

    /// Pays what is left at the end of steps that ran side by side, and at the end of the way there.
    pub(super) async fn sweep(&self, station: &Station) -> Result<Vec<(HostName, Turned)>, Halt> {
        let hosts: BTreeSet<HostName> = self.with(|s| s.debts.iter().map(|o| o.debt.host.clone()).collect());
        let mut turns = Vec::new();
        for host in hosts {
            if self.gone().contains_key(&host) {
                continue;
            }
            loop {
                let owed: Vec<Owed> = self.with(|s| s.owes(&host).into_iter().cloned().collect());
                let Some(Owed { debt, .. }) = owed.into_iter().find(|o| self.is_ripe(o, station)) else { break };
                let turned = if self.must_stop() {
                    Turned::NotBegun
                } else {
                    self.pay(&TaskId::new(&debt.step, &host), &debt, station, None).await?
                };
                if turned != Turned::Well {
                    turns.push((host.clone(), turned));
                    break;
                }
                if self.still_owes(&debt) {
                    break;
                }
            }
        }
        Ok(turns)
    }

    /// What could not even be looked at is a failure that the journal names.
    async fn refuse_payment(&self, began: Began, why: String) -> Result<Turned, Halt> {
        let (id, why) = (began.task.clone(), self.stage.redactor.clean(&why).0);
        let value = serde_json::json!({ "refused": why }).into();
        self.say(Event::Began(Box::new(Began { value, ..began.clone() }))).await?;
        self.end(&id, Way::Forward, How::Refused(why.clone()), None, false).await?;
        Ok(Turned::Bad(format!("`{}`: {why}", began.name)))
    }

    /// Carries a consequence (or a step of `undo:`) out as a task of its own; on the way back with what its change owes.
    pub(super) async fn pay(
        &self,
        id: &TaskId,
        debt: &Debt,
        station: &Station,
        back: Option<&[Debt]>,
    ) -> Result<Turned, Halt> {
        if self.snapshot(id).is_none() {
            let began = Began {
                task: id.clone(),
                step: debt.step.clone(),
                id: None,
                name: debt.name.clone(),
                host: debt.host.clone(),
                action: debt.action.clone(),
                value: debt.value.clone().into(),
                before: None,
                then: back.unwrap_or_default().to_vec(),
                undo: Vec::new(),
                inherits: Vec::new(),
                pays: Some(debt.key.clone()),
                within: debt.within.or(station.step.timeout).unwrap_or(TIMEOUT),
                patience: station.step.patience,
                in_rollback: back.is_some(),
                leaves_nothing: true,
                place: station.place(),
                opaque: Entry::find(self.stage.catalog, &debt.action).is_some_and(|e| e.traits.opaque),
                always: false,
            };
            let task = match self.recall(&began) {
                Ok(task) => task,
                Err(why) => return Ok(Turned::Bad(why)),
            };
            let before = match self.first_look(&*task, self.patience(&began)).await {
                Ok(Ok(facts)) => Some(facts.into()),
                Ok(Err(crate::resources::ReadError::Open)) if self.supposes() => None,
                Ok(Err(e)) => return self.refuse_payment(began, e.to_string()).await,
                Err(lost) => return self.refuse_payment(began, lost).await,
            };
            self.say(Event::Began(Box::new(Began { before, ..began }))).await?;
        }
        let Some(state) = self.snapshot(id) else { return Ok(Turned::Bad(format!("no task `{id}`"))) };
        if let Some(why) = refusal(&state.began) {
            if state.forward.how.is_none() {
                self.end(id, Way::Forward, How::Refused(why.clone()), None, false).await?;
            }
            return Ok(Turned::Bad(format!("`{}`: {why}", debt.name)));
        }
        if state.began.before.is_none() {
            if state.forward.how.is_none() {
                self.end(id, Way::Forward, How::Conditional, None, true).await?;
            }
            return Ok(Turned::Well);
        }
        let task = match self.recall(&state.began) {
            Ok(task) => task,
            Err(why) => return Ok(Turned::Bad(why)),
        };
        let inherited: Vec<_> = self.with(|s| {
            let mine = s.debts.iter().filter(|o| o.debt.key == debt.key);
            mine.filter_map(|o| o.from.clone()).collect()
        });
        Ok(match self.drive(id, &*task, Way::Forward, None, None).await? {
            Drove::Well => {
                for run_owing in inherited {
                    self.say(Event::Paid { run_owing, debt: debt.key.clone() }).await?;
                }
                Turned::Well
            }
            Drove::Bad(why) => Turned::Bad(format!("`{}`: {why}", debt.name)),
            Drove::Doubt(why) => Turned::Doubt(why),
            Drove::Halted => Turned::Halted,
        })
    }
}
