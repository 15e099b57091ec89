//! Orders for certificates in the simulated world: its issuers give what they are asked for.

use super::{certs::chain_text, world::World};
use crate::base::{Answer, Hash, Leaf, OrderAsk, OrderChain, OrderFacts, OrderMove, OrderState, OrderStep};
use jiff::Timestamp;

impl World {
    pub(super) fn order(&self, ask: &OrderAsk) -> Answer {
        self.orders.get(ask).map_or(Answer::Open, |facts| Answer::Order(Box::new(facts.clone())))
    }

    pub(super) fn step_order(&mut self, step: &OrderStep) -> Result<(), String> {
        let known = self.orders.entry(step.order.clone()).or_default();
        match step.kind {
            OrderMove::Sign => {
                if known.chain.as_ref().is_some_and(|chain| chain.answers(&step.spki, &step.names)) {
                    return Ok(());
                }
                *known = OrderFacts {
                    spki: Some(step.spki.clone()),
                    state: OrderState::Valid,
                    challenges: vec![],
                    chain: Some(made(step)),
                };
            }
            OrderMove::New | OrderMove::Answer | OrderMove::Finalize => {
                return Err("this issuer takes no such step".to_owned());
            }
        }
        Ok(())
    }
}

/// What an issuer of the simulated world gives: no text in it holds a time, so that two plans of one thing are one.
fn made(step: &OrderStep) -> OrderChain {
    let fingerprint = Hash::of(step.spki.as_bytes()).0;
    let leaf = Leaf {
        serial: fingerprint.chars().take(40).collect(),
        fingerprint,
        spki: step.spki.clone(),
        issuer: step.order.issuer.clone(),
        names: step.names.clone(),
        not_before: Timestamp::UNIX_EPOCH,
        not_after: Timestamp::MAX,
        pem: Hash(String::new()),
    };
    OrderChain {
        pem: chain_text(&leaf),
        serial: leaf.serial,
        spki: leaf.spki,
        names: leaf.names,
        not_after: leaf.not_after,
        wrong: None,
    }
}
