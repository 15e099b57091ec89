//! May it run? Limits, drift, locks, doubt. Each refusal says the rule and the fact, and is an event too.

use super::{EngineError, Order, Stage, plan::Plan, project::Planned};
use crate::{
    base::{Change, HostName, RunId, words::count},
    inventory::Share,
    journal::{
        doubt::in_doubt,
        locks::{Held, LockError},
    },
    runbook::{FailureAct, FailureScope},
};
use std::path::Path;

/// Why a run may not begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// 75: not now. 77: not allowed.
    pub code: u8,
    /// The rule and the fact.
    pub why: String,
}

impl Refused {
    const fn not_now(why: String) -> Self {
        Self { code: 75, why }
    }
    const fn not_allowed(why: String) -> Self {
        Self { code: 77, why }
    }
}

/// The blast radius: hosts that the plan would change, of all that there are.
pub fn limits(stage: &Stage, order: &Order, plan: &Plan) -> Result<(), Refused> {
    let (limits, all) = (order.runbook.limits, stage.inventory.hosts.len());
    if let Some(share) = limits.hosts {
        let (most, would) = (share.of(all), plan.hosts.len());
        if would > most {
            let rule = match share {
                Share::Number(n) => count("host", n),
                Share::Percent(p) => format!("{p} % of {} ({most})", count("host", all)),
            };
            let why = format!("the plan would touch {}, `limits.hosts` allows {rule}", count("host", would));
            return Err(Refused::not_allowed(why));
        }
    }
    if let Some(most) = limits.sites
        && plan.sites.len() > most
    {
        let sites = crate::base::words::list(&plan.sites, 5);
        let why =
            format!("the plan would touch {} ({sites}), `limits.sites` allows {most}", count("site", plan.sites.len()));
        return Err(Refused::not_allowed(why));
    }
    Ok(())
}

/// A run that changes the store of its own journal would saw off the branch it sits on.
pub fn own_store(stage: &Stage, plan: &Plan) -> Result<(), Refused> {
    let Some(dir) = stage.locks.as_ref().map(|l| l.dir()) else { return Ok(()) };
    let local = |host: &HostName| stage.inventory.host(host.as_str()).is_some_and(|h| h.local);
    for change in plan.tasks.iter().flat_map(|t| &t.changes) {
        let (Change::WriteFile { path, .. } | Change::RemoveFile(path)) = &change.change.what else { continue };
        if change.change.at.host.as_ref().is_some_and(local) && Path::new(path).starts_with(dir) {
            let why = format!("the plan would change `{path}`, which belongs to the journal of this very run");
            return Err(Refused::not_allowed(why));
        }
    }
    Ok(())
}

/// A pinned plan holds only while everything that its hash covers is as it was.
pub fn drift(pinned: &Plan, now: &Plan) -> Result<(), Refused> {
    if pinned.hash == now.hash {
        return Ok(());
    }
    let mut parts: Vec<&str> = Vec::new();
    for (part, hash) in &pinned.pinned {
        if now.pinned.get(part) != Some(hash) {
            parts.push(part);
        }
    }
    parts.extend(now.pinned.keys().filter(|k| !pinned.pinned.contains_key(*k)).map(String::as_str));
    let parts = if parts.is_empty() { "something".to_owned() } else { crate::base::words::list(&parts, 6) };
    Err(Refused::not_allowed(format!(
        "the saved plan no longer holds: it was made with other {parts}; `svcops plan … --save` makes a new one"
    )))
}

/// Takes all locks, then asks whether another run left something in doubt there.
pub fn locks(
    stage: &Stage,
    run: &RunId,
    order: &Order,
    planned: &Planned,
) -> Result<Result<Option<Held>, Refused>, EngineError> {
    let Some(locks) = &stage.locks else { return Ok(Ok(None)) };
    let what = order.reason.clone().unwrap_or_else(|| format!("`{}`", order.runbook.name));
    let held = match locks.take(run, &order.operator, &what, &planned.exclusive, &planned.shared) {
        Ok(held) => held,
        Err(LockError::Files(e)) => return Err(e.into()),
        Err(busy) => return Ok(Err(Refused::not_now(busy.to_string()))),
    };
    match in_doubt(&*stage.journal, locks, run, &planned.exclusive, &planned.shared)? {
        None => Ok(Ok(Some(held))),
        Some(doubt) => Ok(Err(Refused::not_now(doubt.to_string()))),
    }
}

/// Why a run that would go back at the first failure need not begin: a host that a step needs did not answer the plan.
pub fn silent(planned: &Planned) -> Option<String> {
    let stations = planned.script.stations();
    planned.plan.tasks.iter().find_map(|task| {
        let why = task.trouble.as_deref().filter(|why| why.starts_with("no contact"))?;
        let policy = stations.iter().find(|s| s.number == task.number)?.on_failure;
        let all = policy.act == FailureAct::Rollback && policy.scope == FailureScope::Run;
        all.then(|| format!("`{}` on `{}`: {why}; nothing was touched", task.step, task.host))
    })
}
