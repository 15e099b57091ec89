//! The part of `cert.order` that deals with a server of ACME: an order is made, its names are proven, the request is handed
//! in. What was put somewhere for that goes as soon as nobody asks for it any more, and by the undo.

use super::{
    Next, Refusal, Target, Turn,
    order::{Order, OrderedFacts},
};
use crate::{
    base::{
        AddressAsk, At, Change, OrderAsk, OrderFacts, OrderMove, OrderState, OrderStep, Place, ProofBy, RecordType,
        StagedRequest, Zone,
    },
    inventory::{Acme, Challenge, Inventory},
    issue::dns::{PATIENCE, values},
    resources::{Proof, Proving, ProvingFacts, Record, proving::Server},
};
use serde_json::Value;
use std::{collections::BTreeSet, net::IpAddr, time::Duration};

/// How long until the next look at a server that is at it.
const EVERY: Duration = Duration::from_millis(700);
/// And at one that does not answer.
const SILENT: Duration = Duration::from_secs(3);

/// Where the names are proven, as the issuer is declared.
pub(super) fn proving(acme: &Acme, names: &[String], target: &Target<'_>) -> Result<Proving, Refusal> {
    let refused = |why: String| Refusal::of("certificate", why);
    let plain = |name: &String| name.strip_prefix("*.").unwrap_or(name).to_lowercase();
    let distinct: BTreeSet<String> = names.iter().map(plain).collect();
    let (by, hosts) = match &acme.challenge {
        Challenge::Dns => {
            let record = |name: &String| {
                let zone = zone_of(target.inventory, name).filter(|_| name.parse::<IpAddr>().is_err());
                let at = zone.cloned().ok_or_else(|| {
                    refused(format!("`{name}` cannot be proven by the DNS: no zone under `zones:` has it"))
                })?;
                let name = format!("_acme-challenge.{name}");
                Ok(Record { at, name, kind: RecordType::Txt, only: None, within: PATIENCE })
            };
            return distinct.iter().map(record).collect::<Result<_, _>>().map(Proving::Dns);
        }
        Challenge::Webroot { hosts, root } => (ProofBy::Webroot(root.clone()), hosts),
        Challenge::Responder { hosts, port } => (ProofBy::Responder(*port), hosts),
    };
    if let Some(wild) = names.iter().find(|name| name.starts_with("*.")) {
        return Err(refused(format!("`{wild}` can be proven by the DNS only: `challenge: {{dns: true}}`")));
    }
    let hosts = target.inventory.select(hosts).into_iter().map(|host| Server {
        at: target.place_on(&host.name),
        address: host.address.clone().unwrap_or_else(|| host.name.as_str().to_owned()),
    });
    let lead = |name: String| AddressAsk { zone: zone_of(target.inventory, &name).cloned(), name };
    Ok(Proving::Http { by, hosts: hosts.collect(), names: distinct.into_iter().map(lead).collect() })
}

/// The innermost zone that a name is in.
fn zone_of<'a>(inventory: &'a Inventory, name: &str) -> Option<&'a Zone> {
    let holds = inventory.zones.values().filter(|zone| values::lies_in(name, &zone.name));
    holds.max_by_key(|zone| zone.name.len())
}

impl Order {
    /// The next move with a server of ACME.
    pub(super) fn prove(
        &self,
        (order, proving): (&OrderAsk, &Proving),
        request: &StagedRequest,
        turn: &Turn<OrderedFacts>,
    ) -> Next {
        let (seen, before) = (&turn.seen.order, &turn.before.order);
        let issuer = &order.issuer;
        if let Some(why) = &seen.silent {
            return waits(turn, why.clone(), SILENT);
        }
        let every = seen.wait.map_or(EVERY, |wait| Duration::from_secs(wait.clamp(1, 60)));
        let step = |kind: OrderMove| {
            Place::HERE.at(Change::Order(OrderStep {
                order: order.clone(),
                request: request.pem.clone(),
                spki: request.spki.clone(),
                names: self.names.clone(),
                kind,
                proof: Some(proving.kind()),
            }))
        };
        let just = |kind: OrderMove| turn.last.as_ref() == Some(&step(kind));
        let is_ours = seen.spki.as_ref() == Some(&request.spki);
        let state = if is_ours { &seen.state } else { &OrderState::None };
        if !matches!(state, OrderState::Pending)
            && let Some(away) = self.away(turn)
        {
            return away;
        }
        match state {
            OrderState::None | OrderState::Invalid(_) => {
                if let OrderState::Invalid(why) = state
                    && (before.challenges != seen.challenges || !matches!(before.state, OrderState::Invalid(_)))
                {
                    return Next::GiveUp(why.clone());
                }
                if just(OrderMove::New) {
                    return Next::GiveUp(format!("`{issuer}` has made no order for {}", self.names.join(", ")));
                }
                Next::act(step(OrderMove::New), Value::Null)
            }
            OrderState::Pending => match proving.wanted(&seen.challenges, &turn.seen.proving) {
                Err(why) => Next::GiveUp(why),
                Ok(wanted) => {
                    let missing: BTreeSet<Proof> = wanted.difference(&turn.seen.ours).cloned().collect();
                    if !missing.is_empty() {
                        let views = (&turn.before.proving, &turn.seen.proving);
                        let changes = proving.changes(&missing, &BTreeSet::new(), views);
                        return Next::Do { changes, expect: Value::Null };
                    }
                    match proving.behind(&turn.seen.proving) {
                        Some(why) => waits(turn, why, EVERY),
                        None if just(OrderMove::Answer) => {
                            waits(turn, format!("`{issuer}` is looking at what proves the names"), every)
                        }
                        None => Next::act(step(OrderMove::Answer), Value::Null),
                    }
                }
            },
            OrderState::Ready if !just(OrderMove::Finalize) => Next::act(step(OrderMove::Finalize), Value::Null),
            OrderState::Ready | OrderState::Processing => {
                waits(turn, format!("`{issuer}` is making the certificate"), every)
            }
            OrderState::Valid if seen.chain.is_none() => {
                waits(turn, format!("`{issuer}` has it not at hand yet"), every)
            }
            OrderState::Valid => {
                let names = self.names.join(", ");
                Next::GiveUp(format!("what `{issuer}` gave is not for this request and {names}"))
            }
        }
    }

    /// Takes away what proved names of an order that nobody asks for any more; none: nothing of it is there.
    pub(super) fn away(&self, turn: &Turn<OrderedFacts>) -> Option<Next> {
        let proving = self.on.proving.as_ref()?;
        let ours = &turn.seen.ours;
        let views = (&turn.before.proving, &turn.seen.proving);
        let changes = proving.changes(&BTreeSet::new(), ours, views);
        (!changes.is_empty()).then_some(Next::Do { changes, expect: Value::Null })
    }

    /// The changes that make what proves names as it was before.
    pub(super) fn unprove(&self, turn: &Turn<OrderedFacts>) -> Vec<At<Change>> {
        let Some(proving) = &self.on.proving else { return vec![] };
        let (before, seen) = (&turn.before, &turn.seen);
        let put = before.ours.difference(&seen.ours).cloned().collect();
        let drop = seen.ours.difference(&before.ours).cloned().collect();
        proving.changes(&put, &drop, (&before.proving, &seen.proving))
    }
}

fn waits(turn: &Turn<OrderedFacts>, why: String, every: Duration) -> Next {
    if turn.late { Next::GiveUp(why) } else { Next::wait(why, every) }
}

/// What is there of an order that proves its names.
pub(super) fn ours(proving: Option<&Proving>, order: &OrderFacts, facts: &ProvingFacts) -> BTreeSet<Proof> {
    proving.map(|proving| proving.ours(&order.challenges, facts)).unwrap_or_default()
}
