//! Who does what, in which order: a runbook spread out over the hosts of an inventory. The same runbook, inventory and
//! params give the same script, so a resume needs no record of it.

use crate::{
    actions::{Entry, Traits},
    base::{HostName, Span},
    inventory::{Inventory, select},
    journal::event::Batch,
    runbook::{
        Expr, FailureAct, OnFailure, Rolling, Runbook, Step, What,
        template::{self, Scope},
    },
};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, sync::Arc};

/// A runbook spread out.
#[derive(Clone, Debug)]
pub struct Script {
    /// What happens in order.
    pub nodes: Vec<Node>,
    /// What happens at the end, whatever happened before.
    pub always: Vec<Node>,
    /// Conditions for the run as a whole.
    pub require: Vec<Expr>,
    /// The params of the runbook itself.
    pub params: Arc<BTreeMap<String, Value>>,
}

/// A part of a script.
#[derive(Clone, Debug)]
pub enum Node {
    /// One step on some hosts.
    Station(Arc<Station>),
    /// One after the other.
    Seq(Vec<Self>),
    /// Side by side.
    Par(Vec<Self>),
    /// Batch after batch.
    Rolling(Vec<Vec<Self>>, Rolling),
}

/// One step on the hosts of one batch.
#[derive(Clone, Debug)]
pub struct Station {
    /// Its number path, with those of the includes it stands in.
    pub number: String,
    /// The step.
    pub step: Step,
    /// Its action.
    pub action: String,
    /// The action's traits.
    pub traits: Traits,
    /// The arguments as written.
    pub args: Value,
    /// Its hosts, in order; for what runs once, none of them matters but [`here`].
    pub hosts: Vec<HostName>,
    /// The batch, in a rolling group.
    pub batch: Option<Batch>,
    /// The number path of the rolling group that it stands in.
    pub rolling: Option<String>,
    /// The hosts of the batch (all hosts of the step outside of one).
    pub under_way: Vec<HostName>,
    /// What a failure does.
    pub on_failure: OnFailure,
    /// Consequences that later steps of the same group can still owe.
    pub later: Vec<Later>,
    /// The params that its expressions see.
    pub params: Arc<BTreeMap<String, Value>>,
    /// What the groups and includes that it stands in say for all their steps, from the outside in.
    pub around: Vec<Arc<Around>>,
}

/// What a group or an include says for all its steps.
#[derive(Clone, Debug)]
pub struct Around {
    /// They apply where this holds.
    pub when: Option<Expr>,
    /// Conditions at their turn.
    pub require: Vec<Expr>,
    /// The params that these expressions see.
    pub params: Arc<BTreeMap<String, Value>>,
}

/// A consequence that a later step can owe.
#[derive(Clone, Debug)]
pub struct Later {
    /// The action and its arguments as written.
    pub deed: (String, Value),
    /// Only on these hosts; none: on all.
    only: Option<Vec<HostName>>,
}

impl Later {
    /// It can be owed on that host.
    pub fn concerns(&self, host: &HostName) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(host))
    }
}

impl Station {
    /// Where the step stands, for people; empty for what no file holds.
    pub fn place(&self) -> String {
        let spot = &self.step.spot;
        if spot.file.is_empty() { String::new() } else { format!("{}:{}", spot.file, spot.line) }
    }
    /// What tasks of this step are called: its id, else its number path.
    pub fn label(&self) -> &str {
        self.step.id.as_deref().unwrap_or(&self.number)
    }
}

/// The host of what runs once, from here. No host of `svcops.yaml` can have that name; `here` is a good name for one.
pub fn here() -> HostName {
    HostName::new("(here)")
}

/// Why a runbook cannot be spread out.
#[derive(Debug, thiserror::Error)]
#[error("{spot}: {why}")]
pub struct ScriptError {
    /// The step's place.
    pub spot: String,
    /// What is wrong.
    pub why: String,
}

/// Spreads a runbook out over the hosts that it selects, or those of them that `limit` leaves.
///
/// # Errors
/// A selector that does not parse or selects nothing, a template that does not render, an unknown action.
pub fn spread(
    runbook: &Runbook,
    params: &BTreeMap<String, Value>,
    inventory: &Inventory,
    limit: Option<&[HostName]>,
    catalog: &[Entry],
) -> Result<Script, ScriptError> {
    let spreader = Spreader { inventory, limit, catalog };
    let (params, always) = (Arc::new(params.clone()), std::cell::RefCell::new(Vec::new()));
    let hosts = spreader.select(&runbook.targets, runbook.allow_empty, &params, &runbook_spot(runbook))?;
    let field = Field {
        hosts: &hosts,
        batch: None,
        rolling: None,
        on_failure: runbook.on_failure,
        params: &params,
        always: &always,
        in_always: false,
        around: &[],
        timeout: None,
        patience: None,
        become_user: None,
    };
    let nodes = spreader.steps(&runbook.steps, &field)?;
    Ok(Script { nodes, always: always.into_inner(), require: runbook.require.clone(), params })
}

impl Script {
    /// All stations in the order of the way there, without those of `always`.
    pub fn stations(&self) -> Vec<&Arc<Station>> {
        let mut all = Vec::new();
        collect(&self.nodes, &mut all);
        all
    }
    /// The stations of `always` steps.
    pub fn last_stations(&self) -> Vec<&Arc<Station>> {
        let mut all = Vec::new();
        collect(&self.always, &mut all);
        all
    }
    /// Every host that a step can touch, in order, each once.
    pub fn hosts(&self) -> Vec<HostName> {
        let mut seen = Vec::new();
        let mut known = std::collections::BTreeSet::new();
        for station in self.stations().into_iter().chain(self.last_stations()) {
            for host in &station.hosts {
                if *host != here() && known.insert(host.clone()) {
                    seen.push(host.clone());
                }
            }
        }
        seen
    }
}

pub(super) fn collect<'a>(nodes: &'a [Node], into: &mut Vec<&'a Arc<Station>>) {
    for node in nodes {
        match node {
            Node::Station(station) => into.push(station),
            Node::Seq(nodes) | Node::Par(nodes) => collect(nodes, into),
            Node::Rolling(batches, _) => batches.iter().for_each(|b| collect(b, into)),
        }
    }
}

/// What the steps of a group share.
struct Field<'a> {
    hosts: &'a [HostName],
    batch: Option<Batch>,
    rolling: Option<&'a str>,
    on_failure: OnFailure,
    params: &'a Arc<BTreeMap<String, Value>>,
    always: &'a std::cell::RefCell<Vec<Node>>,
    in_always: bool,
    around: &'a [Arc<Around>],
    timeout: Option<Span>,
    patience: Option<Span>,
    become_user: Option<&'a Option<String>>,
}

struct Spreader<'a> {
    inventory: &'a Inventory,
    limit: Option<&'a [HostName]>,
    catalog: &'a [Entry],
}

impl Spreader<'_> {
    fn steps(&self, steps: &[Step], field: &Field<'_>) -> Result<Vec<Node>, ScriptError> {
        let mut nodes = Vec::new();
        for (at, step) in steps.iter().enumerate() {
            // hoisted once, by the first batch: it runs at the end of the run
            let hoisted = step.always && !field.in_always;
            if hoisted && field.batch.is_some_and(|b| b.number > 1) {
                continue;
            }
            let later = steps.get(at + 1..).unwrap_or_default();
            let node = self.step(step, later, &Field { in_always: field.in_always || step.always, ..*field })?;
            if hoisted {
                field.always.borrow_mut().extend(node);
            } else {
                nodes.extend(node);
            }
        }
        Ok(nodes)
    }

    fn step(&self, step: &Step, later: &[Step], field: &Field<'_>) -> Result<Option<Node>, ScriptError> {
        let number = step.number.clone();
        let hosts = match &step.targets {
            Some(targets) => {
                let empty = step.allow_empty || field.batch.is_some();
                let chosen = self.select(targets, empty, field.params, &step.spot.to_string())?;
                if field.batch.is_some() {
                    chosen.into_iter().filter(|h| field.hosts.contains(h)).collect()
                } else {
                    chosen
                }
            }
            None => field.hosts.to_vec(),
        };
        let on_failure = step.on_failure.unwrap_or(field.on_failure);
        let mut around = field.around.to_vec();
        if step.when.is_some() || !step.require.is_empty() {
            let (when, require) = (step.when.clone(), step.require.clone());
            around.push(Arc::new(Around { when, require, params: Arc::clone(field.params) }));
        }
        let inner = Field {
            hosts: &hosts,
            on_failure,
            around: &around,
            timeout: step.timeout.or(field.timeout),
            patience: step.patience.or(field.patience),
            become_user: step.become_user.as_ref().or(field.become_user),
            ..*field
        };
        match &step.what {
            What::Action { action, args, .. } => {
                let entry = Entry::find(self.catalog, action)
                    .ok_or_else(|| wrong(step, format!("unknown action `{action}`")))?;
                let once = entry.traits.once;
                if once && field.batch.is_some_and(|b| b.number > 1) {
                    return Ok(None);
                }
                let hosts = if once { vec![here()] } else { hosts };
                Ok(Some(Node::Station(Arc::new(Station {
                    number,
                    action: action.clone(),
                    traits: entry.traits,
                    args: args.clone(),
                    under_way: if field.batch.is_some() { field.hosts.to_vec() } else { hosts.clone() },
                    hosts,
                    batch: field.batch,
                    rolling: field.rolling.map(str::to_owned),
                    on_failure,
                    later: later.iter().flat_map(|l| self.later(l, field)).collect(),
                    params: Arc::clone(field.params),
                    around: field.around.to_vec(),
                    step: Step {
                        timeout: step.timeout.or(field.timeout),
                        patience: step.patience.or(field.patience),
                        become_user: step.become_user.clone().or_else(|| field.become_user.cloned()),
                        ..step.clone()
                    },
                }))))
            }
            What::Group { steps, rolling: Some(rolling), .. } => {
                let size = rolling.batch.of(hosts.len()).max(1);
                let of = hosts.len().div_ceil(size);
                let batch = |(at, hosts): (usize, &[HostName])| {
                    let batch = Some(Batch { number: at + 1, of });
                    self.steps(steps, &Field { hosts, batch, rolling: field.rolling.or(Some(&number)), ..inner })
                };
                let batches = hosts.chunks(size).enumerate().map(batch).collect::<Result<_, _>>()?;
                Ok(Some(Node::Rolling(batches, *rolling)))
            }
            What::Group { steps, parallel, .. } => {
                let nodes = self.steps(steps, &inner)?;
                Ok(Some(if *parallel { Node::Par(nodes) } else { Node::Seq(nodes) }))
            }
            What::Include { runbook, with } => self.include(step, runbook, with, &inner).map(Some),
        }
    }

    /// What a later step's consequences do, and those of the steps in it.
    fn later(&self, step: &Step, field: &Field<'_>) -> Vec<Later> {
        let only = step.targets.as_ref().map(|t| self.select(t, true, field.params, "").unwrap_or_default());
        let mut all: Vec<_> =
            step.then.iter().filter_map(deed).map(|deed| Later { deed, only: only.clone() }).collect();
        if let What::Group { steps, .. } = &step.what {
            all.extend(steps.iter().flat_map(|s| self.later(s, field)));
        }
        all
    }

    fn include(
        &self,
        step: &Step,
        runbook: &Runbook,
        with: &BTreeMap<String, Value>,
        field: &Field<'_>,
    ) -> Result<Node, ScriptError> {
        let scope = scope_of(field.params);
        let mut params = BTreeMap::new();
        for param in &runbook.params {
            let value = match with.get(&param.name) {
                Some(value) => template::fill(value, &scope).map_err(|e| wrong(step, e.to_string()))?,
                None => param.default.clone().ok_or_else(|| {
                    wrong(step, format!("`{}` needs the param `{}`: name it in `with:`", runbook.name, param.name))
                })?,
            };
            params.insert(param.name.clone(), value);
        }
        let params = Arc::new(params);
        let mut hosts = self.select(
            &runbook.targets,
            runbook.allow_empty || field.batch.is_some(),
            &params,
            &step.spot.to_string(),
        )?;
        if field.batch.is_some() {
            hosts.retain(|h| field.hosts.contains(h));
        }
        let on_failure = step.on_failure.unwrap_or(runbook.on_failure);
        let mut around = field.around.to_vec();
        if !runbook.require.is_empty() {
            let require = runbook.require.clone();
            around.push(Arc::new(Around { when: None, require, params: Arc::clone(&params) }));
        }
        let inner = Field { hosts: &hosts, params: &params, on_failure, around: &around, ..*field };
        Ok(Node::Seq(self.steps(&runbook.steps, &inner)?))
    }

    fn select(
        &self,
        targets: &str,
        empty: bool,
        params: &Arc<BTreeMap<String, Value>>,
        spot: &str,
    ) -> Result<Vec<HostName>, ScriptError> {
        let fail = |why: String| ScriptError { spot: spot.to_owned(), why };
        let text = template::text(targets, &scope_of(params)).map_err(|e| fail(e.to_string()))?;
        let selector = select::parse(&text).map_err(|e| fail(e.to_string()))?;
        let mut hosts: Vec<HostName> = self.inventory.select(&selector).iter().map(|h| h.name.clone()).collect();
        if hosts.is_empty() && !empty {
            return Err(fail(format!("`{text}` selects no host; `allow_empty: true` permits that")));
        }
        if let Some(limit) = self.limit {
            hosts.retain(|h| limit.contains(h));
        }
        Ok(hosts)
    }
}

/// A step's action and arguments, if it is one.
pub(super) fn deed(step: &Step) -> Option<(String, Value)> {
    match &step.what {
        What::Action { action, args, .. } => Some((action.clone(), args.clone())),
        What::Group { .. } | What::Include { .. } => None,
    }
}

fn scope_of(params: &Arc<BTreeMap<String, Value>>) -> Scope {
    let values: Map<String, Value> = params.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut scope = Scope::new([]);
    scope.set("params", &Value::Object(values));
    scope
}

fn wrong(step: &Step, why: String) -> ScriptError {
    ScriptError { spot: step.spot.to_string(), why }
}

fn runbook_spot(runbook: &Runbook) -> String {
    runbook.file.clone().unwrap_or_else(|| runbook.name.clone())
}

impl OnFailure {
    /// Nobody knows whether the point of no return is crossed: nothing more begins, and nothing goes back.
    pub(super) const UNKNOWN: Self = Self { act: FailureAct::Stop, scope: crate::runbook::FailureScope::Run };
    /// A failure past the point of no return: the host leaves the run, the others go on.
    pub(super) const FORWARD: Self = Self { act: FailureAct::Continue, scope: crate::runbook::FailureScope::Host };
}
