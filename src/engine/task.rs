//! How a task begins: its expressions are rendered, its action bound, its consequences resolved, its first look taken.

use super::{
    Store,
    drive::Drove,
    script::{Station, deed, here},
    walk::{Engine, Halt},
};
use crate::{
    actions::{Contents, Entry, Refusal, Target, Task},
    base::{Content, HostName, Packed, Span, TaskId, Text, Way},
    inventory::{Host, Ssh},
    journal::event::{Began, Debt, Event, Header, How, Inherited},
    resources::ReadError,
    runbook::{
        Expr, Step, What,
        template::{self, Scope},
    },
    transport::{Lost, LostKind},
};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How long an act may take where the step says nothing.
pub(super) const TIMEOUT: Span = Span::secs(300);

/// How a step ended on a host.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Turned {
    /// Done, skipped, or (in a plan) not to be known yet.
    Well,
    /// Refused or failed.
    Bad(String),
    /// Nobody knows.
    Doubt(String),
    /// The run is to stop; it was not begun.
    NotBegun,
    /// The run is to stop now; it is under way, and a resume goes on with it.
    Halted,
}

impl Engine<'_> {
    /// A step's turn on one host: all turns of its `for_each`, one after the other.
    pub(super) async fn turn(&self, station: &Station, host: &HostName) -> Result<Turned, Halt> {
        for (suffix, item) in match self.items(station, host) {
            Ok(items) => items,
            Err(why) => return self.refuse(&TaskId::new(station.label(), host), station, host, why).await,
        } {
            let id = TaskId::new(&format!("{}{suffix}", station.label()), host);
            match self.task(&id, station, host, item.as_ref()).await? {
                Turned::Well => {}
                other => return Ok(other),
            }
        }
        Ok(Turned::Well)
    }

    /// The ids of a step's turns on a host.
    pub(super) fn turns(&self, station: &Station, host: &HostName) -> Vec<TaskId> {
        let named = |suffix: String| TaskId::new(&format!("{}{suffix}", station.label()), host);
        let items = self.items(station, host);
        items.map_or_else(|_| vec![named(String::new())], |all| all.into_iter().map(|(s, _)| named(s)).collect())
    }

    fn items(&self, station: &Station, host: &HostName) -> Result<Vec<(String, Option<Value>)>, String> {
        let Some(each) = &station.step.for_each else { return Ok(vec![(String::new(), None)]) };
        match template::fill(each, &self.scope(station, host, None)).map_err(|e| e.to_string())? {
            Value::Array(items) => {
                Ok(items.into_iter().enumerate().map(|(at, item)| (format!("[{at}]"), Some(item))).collect())
            }
            other => Err(format!("`for_each` needs a list, got {other}")),
        }
    }

    async fn task(
        &self,
        id: &TaskId,
        station: &Station,
        host: &HostName,
        item: Option<&Value>,
    ) -> Result<Turned, Halt> {
        let known = self.with(|s| {
            let ended = s.task(id).map(|t| (t.began.clone(), t.waived.is_some(), t.forward.how.clone()));
            (ended, s.skipped.contains_key(id))
        });
        let fresh = known.0.is_none();
        let began = match known {
            (_, true) | (Some((_, true, _)), _) => return Ok(Turned::Well),
            (Some((_, _, Some(how))), _) => {
                return Ok(match how {
                    How::Done { .. } | How::Conditional => Turned::Well,
                    How::Refused(why) | How::Failed(why) => Turned::Bad(why),
                });
            }
            (Some((began, _, None)), _) => began,
            (None, false) => {
                if self.must_stop() {
                    return Ok(Turned::NotBegun);
                }
                if self.is_gone(host) {
                    // a sibling in a parallel group has failed there meanwhile
                    return Ok(Turned::Well);
                }
                match self.begin(id, station, host, item).await? {
                    Ok(began) => began,
                    Err(turned) => return Ok(turned),
                }
            }
        };
        if let Some(why) = refusal(&began) {
            self.end(id, Way::Forward, How::Refused(why.clone()), None, false).await?;
            return Ok(Turned::Bad(why));
        }
        if began.before.is_none() {
            // a plan cannot look behind what is opaque
            self.end(id, Way::Forward, How::Conditional, None, true).await?;
            return Ok(Turned::Well);
        }
        self.drive_with_retry(id, station, &began, fresh).await
    }

    async fn drive_with_retry(
        &self,
        id: &TaskId,
        station: &Station,
        began: &Began,
        fresh: bool,
    ) -> Result<Turned, Halt> {
        let task = match self.recall(began) {
            Ok(task) => task,
            Err(why) => return Ok(Turned::Bad(why)),
        };
        Ok(
            match self
                .drive(
                    id,
                    &*task,
                    Way::Forward,
                    station.step.retry,
                    began.before.as_ref().filter(|_| fresh).map(Packed::open),
                )
                .await?
            {
                Drove::Well => Turned::Well,
                Drove::Bad(why) => Turned::Bad(why),
                Drove::Doubt(why) => Turned::Doubt(why),
                Drove::Halted => Turned::Halted,
            },
        )
    }

    /// Renders, binds, looks, and records that the task begins. The outer error is the engine's; the inner one says how
    /// the turn ended instead.
    async fn begin(
        &self,
        id: &TaskId,
        station: &Station,
        host: &HostName,
        item: Option<&Value>,
    ) -> Result<Result<Began, Turned>, Halt> {
        if station.traits.turns_back
            && let Some(crossed) = self.with(|s| s.no_return().cloned())
        {
            let why = format!("the run is past its point of no return (`{crossed}`): nothing goes back from here");
            return self.refuse(id, station, host, why).await.map(Err);
        }
        let scope = self.scope(station, host, item);
        if self.supposes()
            && let Some(step) = self.behind(station)
        {
            let mut began = self.blank(id, station, host);
            began.name = station.step.name.clone();
            began.value = json!({ "known_after": step }).into();
            self.say(Event::Began(Box::new(began.clone()))).await?;
            return Ok(Ok(began));
        }
        match self.applies(station, host, &scope) {
            Ok(None) => {}
            Ok(Some(why)) => {
                self.say(Event::Skipped { task: id.clone(), why }).await?;
                return Ok(Err(Turned::Well));
            }
            Err(why) => return self.refuse(id, station, host, why).await.map(Err),
        }
        let bound = match self.bind(&station.step, station, host, &scope) {
            Ok(bound) => bound,
            Err(refusal) => return self.refuse(id, station, host, refusal.to_string()).await.map(Err),
        };
        let (then, undo) = match self.consequences(id, station, host, &scope) {
            Ok(both) => both,
            Err(refusal) => return self.refuse(id, station, host, refusal.to_string()).await.map(Err),
        };
        if self.planning && station.traits.opaque && *host != here() {
            // what has no model looks at nothing: whether its host is there at all is asked for here
            if let Err(lost) = self.stage.transport.look(Some(host), &[]).await {
                return self.refuse(id, station, host, lost_words(&lost)).await.map(Err);
            }
        }
        let blank = self.blank(id, station, host);
        let before = match self.first_look(&*bound, self.patience(&blank)).await {
            Ok(Ok(facts)) => Some(facts.into()),
            Ok(Err(ReadError::Open)) if self.supposes() => None,
            Ok(Err(e)) => return self.refuse(id, station, host, e.to_string()).await.map(Err),
            Err(lost) => return self.refuse(id, station, host, lost).await.map(Err),
        };
        let inherits = self.inherited(&then);
        let began = Began { value: bound.value().into(), before, then, undo, inherits, ..blank };
        self.say(Event::Began(Box::new(began.clone()))).await?;
        Ok(Ok(began))
    }

    /// Why a step does not apply, if it does not: by its own `when`, or by that of a group around it. An error: what is
    /// required does not hold.
    fn applies(&self, station: &Station, host: &HostName, own: &Scope) -> Result<Option<String>, String> {
        let test = |expr: &Expr, scope: &Scope| template::test(&expr.text, scope).map_err(|e| e.to_string());
        let judge = |when: Option<&Expr>, require: &[Expr], scope: &Scope| {
            if let Some(when) = when
                && !test(when, scope)?
            {
                return Ok(Some(format!("`when: {}` is false", when.text)));
            }
            for require in require {
                if !test(require, scope)? {
                    return Err(format!("`require: {}` does not hold", require.text));
                }
            }
            Ok(None)
        };
        for around in &station.around {
            let scope = self.scope_with(&around.params, host, None);
            if let Some(why) = judge(around.when.as_ref(), &around.require, &scope)? {
                return Ok(Some(why));
            }
        }
        judge(station.step.when.as_ref(), &station.step.require, own)
    }

    fn blank(&self, id: &TaskId, station: &Station, host: &HostName) -> Began {
        Began {
            task: id.clone(),
            step: station.number.clone(),
            id: station.step.id.clone(),
            name: station.step.name.clone(),
            host: host.clone(),
            action: station.action.clone(),
            value: Packed::default(),
            before: None,
            then: Vec::new(),
            undo: Vec::new(),
            inherits: Vec::new(),
            pays: None,
            within: station.step.timeout.unwrap_or(TIMEOUT),
            patience: station.step.patience,
            in_rollback: false,
            leaves_nothing: station.traits.leaves_nothing,
            place: station.place(),
            opaque: station.traits.opaque,
            always: station.step.always || self.script.last_stations().iter().any(|s| s.number == station.number),
        }
    }

    /// Gives what was refused before it could be bound a task of its own, so that the journal names it.
    async fn refuse(&self, id: &TaskId, station: &Station, host: &HostName, why: String) -> Result<Turned, Halt> {
        let (why, _) = self.stage.redactor.clean(&why);
        let began = Began { value: json!({ "refused": why }).into(), ..self.blank(id, station, host) };
        self.say(Event::Began(Box::new(began))).await?;
        self.end(id, Way::Forward, How::Refused(why.clone()), None, false).await?;
        Ok(Turned::Bad(why))
    }

    fn bind(&self, step: &Step, station: &Station, host: &HostName, scope: &Scope) -> Result<Box<dyn Task>, Refusal> {
        let What::Action { action, args, .. } = &step.what else {
            return Err(Refusal::new("a consequence is one action"));
        };
        let entry = Entry::find(self.stage.catalog, action)
            .ok_or_else(|| Refusal::new(format!("unknown action `{action}`")))?;
        let args = template::fill(args, scope).map_err(|e| Refusal::new(e.to_string()))?;
        let from_here =
            Host { name: here(), site: None, address: None, labels: BTreeMap::new(), local: true, ssh: Ssh::default() };
        let host = if *host == here() {
            &from_here
        } else {
            self.stage
                .inventory
                .host(host.as_str())
                .ok_or_else(|| Refusal::new(format!("`{host}` is not in the inventory of this run")))?
        };
        let become_user = step
            .become_user
            .clone()
            .or_else(|| station.step.become_user.clone())
            .unwrap_or_else(|| host.ssh.become_user.clone());
        entry.bind(
            args,
            &Target {
                host,
                inventory: &self.stage.inventory,
                contents: &Shelf { store: &*self.stage.store, scope },
                become_user,
                under_way: &station.under_way,
                timeout: step.timeout.unwrap_or(TIMEOUT).0,
                touches: &step.touches,
                now: self.stage.clock.now(),
            },
        )
    }

    /// The consequences of a step on a host, and what undoes it, resolved while the scope is at hand.
    fn consequences(
        &self,
        id: &TaskId,
        station: &Station,
        host: &HostName,
        scope: &Scope,
    ) -> Result<(Vec<Debt>, Vec<Debt>), Refusal> {
        let label = id.as_str().rsplit_once('@').map_or(id.as_str(), |(label, _)| label);
        let resolve = |step: &Step, kind: &str, at: usize| {
            let value = self.bind(step, station, host, scope)?.value();
            let action = deed(step).map(|(action, _)| action).unwrap_or_default();
            Ok(Debt {
                key: format!("{host} {action} {value}"),
                step: format!("{label}.{kind}{}", at + 1),
                name: step.name.clone(),
                host: host.clone(),
                action,
                value,
                within: step.timeout,
            })
        };
        let applies = |step: &Step| match &step.when {
            Some(when) => template::test(&when.text, scope).map_err(|e| Refusal::new(e.to_string())),
            None => Ok(true),
        };
        let all = |steps: &[Step], kind: &str| {
            let mut debts = Vec::new();
            for (at, step) in steps.iter().enumerate() {
                if applies(step)? {
                    debts.push(resolve(step, kind, at)?);
                }
            }
            Ok::<_, Refusal>(debts)
        };
        Ok((all(&station.step.then, "then")?, all(&station.step.undo, "undo")?))
    }

    /// Debts of earlier runs that this task would owe as well: it takes them over, changed or not.
    fn inherited(&self, then: &[Debt]) -> Vec<Inherited> {
        // under this run's own number: the earlier run's may be another step's here
        let own = |debt: &Debt| {
            let earlier = self.earlier.get(&debt.key).into_iter().flatten();
            earlier.map(|i| Inherited { run: i.run.clone(), debt: debt.clone() }).collect::<Vec<_>>()
        };
        then.iter().flat_map(own).collect()
    }

    /// In a plan or a rehearsal: the step whose outputs this one needs and that cannot be known yet.
    fn behind(&self, station: &Station) -> Option<String> {
        let mut names = template::names(&station.args);
        let around = station.around.iter().flat_map(|a| a.when.iter().chain(&a.require));
        for text in around.chain(&station.step.when).chain(&station.step.require) {
            names.extend(template::names_of_expression(&text.text));
        }
        if let Some(each) = &station.step.for_each {
            names.extend(template::names(each));
        }
        let ids = names.iter().filter_map(|n| n.strip_prefix("steps.")?.split(['.', '[']).next());
        let known = self.with(|s| s.outputs.keys().cloned().collect::<Vec<_>>());
        ids.filter(|id| !known.iter().any(|k| k == id)).map(str::to_owned).next()
    }

    /// What a step's expressions see.
    fn scope(&self, station: &Station, host: &HostName, item: Option<&Value>) -> Scope {
        self.scope_with(&station.params, host, item)
    }

    pub(super) fn scope_with(&self, params: &BTreeMap<String, Value>, host: &HostName, item: Option<&Value>) -> Scope {
        let params: Map<String, Value> = params.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let steps = self.with(|s| {
            let mut steps = Map::new();
            for (id, hosts) in &s.outputs {
                let at: Map<String, Value> = hosts.iter().map(|(h, v)| (h.as_str().to_owned(), v.clone())).collect();
                let mut both = json!({ "at": at });
                if let (1, Some(one), Some(both)) = (hosts.len(), hosts.values().next(), both.as_object_mut()) {
                    both.insert("one".into(), one.clone());
                }
                steps.insert(id.clone(), both);
            }
            steps
        });
        let mut scope = Scope::new(self.stage.inventory.secrets.keys().map(String::as_str));
        scope.set("params", &Value::Object(params));
        scope.set("steps", &Value::Object(steps));
        scope.set("run", &self.run_value());
        if let Some(host) = self.stage.inventory.host(host.as_str()) {
            scope.set_host(&self.stage.inventory, host);
        }
        if let Some(item) = item {
            scope.set("item", item);
        }
        scope
    }

    /// What `run` is to an expression: [`template::RUN`].
    fn run_value(&self) -> Value {
        let failed: BTreeSet<HostName> = self.with(|s| {
            let bad = s.troubled().filter(|t| t.waived.is_none() && t.began.host != here());
            bad.map(|t| t.began.host.clone()).collect()
        });
        let header = self.with(|s| s.header.clone());
        let of = |pick: fn(&Header) -> Value| header.as_ref().map_or(Value::Null, pick);
        json!({
            "id": self.run,
            "runbook": of(|h| json!(h.runbook)),
            "project": of(|h| json!(h.project)),
            "operator": of(|h| json!(h.operator.name)),
            "reason": of(|h| json!(h.reason.as_deref().unwrap_or_default())),
            "ticket": of(|h| h.ticket.clone().unwrap_or_else(|| json!(""))),
            "outcome": self.outcome(),
            "failed": failed,
            "touched": self.with(|s| s.tasks.iter().any(crate::journal::state::TaskState::acted)),
        })
    }

    /// The first look at what a task is about: patient with a host that is silent for a while.
    pub(super) async fn first_look(
        &self,
        task: &dyn Task,
        patience: Duration,
    ) -> Result<Result<Value, ReadError>, String> {
        let mut tries = 0;
        loop {
            let looked = self.look(task, patience).await.map_err(|lost| lost_words(&lost))?;
            match looked {
                Err(ReadError::Bad(_)) if tries < 2 && !self.planning => {
                    tries += 1;
                    self.stage.clock.sleep(Duration::from_millis(500)).await;
                }
                other => return Ok(other),
            }
        }
    }
}

fn lost_words(lost: &Lost) -> String {
    let what = if lost.kind == LostKind::Cancelled { "stopped" } else { "no contact" };
    format!("{what}: {lost}")
}

/// Why a task was refused before it could be bound, if it was.
pub(super) fn refusal(began: &Began) -> Option<String> {
    began.before.is_none().then(|| began.value.open().get("refused")?.as_str().map(str::to_owned)).flatten()
}

/// The store, with what the step's expressions see.
struct Shelf<'a> {
    store: &'a dyn Store,
    scope: &'a Scope,
}

impl Contents for Shelf<'_> {
    fn file(&self, path: &str) -> Result<Content, Refusal> {
        self.store.file(path)
    }
    fn template(&self, path: &str) -> Result<String, Refusal> {
        self.store.read(path)
    }
    fn text(&self, text: &Text) -> Result<Content, Refusal> {
        self.store.text(text)
    }
    fn render(&self, template: &str) -> Result<Text, Refusal> {
        template::text(template, self.scope).map(Text).map_err(|e| Refusal::new(e.to_string()))
    }
}
