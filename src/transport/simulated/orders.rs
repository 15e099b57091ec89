//! Orders for certificates in the simulated world: its issuers give what they are asked for.

use super::{certs::chain_text, world::World};
use crate::base::{
    Answer, ChallengeKind, Hash, Leaf, OrderAsk, OrderChain, OrderChallenge, OrderFacts, OrderMove, OrderState,
    OrderStep,
};
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
                    chain: Some(made(step)),
                    ..OrderFacts::default()
                };
            }
            OrderMove::New => {
                let live = !matches!(known.state, OrderState::None | OrderState::Invalid(_));
                if known.spki.as_ref() == Some(&step.spki) && live {
                    return Ok(());
                }
                self.count += 1;
                let challenges = step.proof.map(|kind| challenges(step, kind, self.count)).unwrap_or_default();
                let (spki, state) = (Some(step.spki.clone()), OrderState::Pending);
                *known = OrderFacts { spki, state, challenges, ..OrderFacts::default() };
            }
            OrderMove::Answer if known.state == OrderState::Pending => {
                let asked = known.challenges.clone();
                let missed = asked.into_iter().find(|challenge| !self.is_met(challenge));
                let state = missed.map_or(OrderState::Ready, |challenge| {
                    OrderState::Invalid(format!("nothing proves `{}`", challenge.name))
                });
                self.orders.entry(step.order.clone()).or_default().state = state;
            }
            OrderMove::Finalize if known.state == OrderState::Ready => {
                known.state = OrderState::Valid;
                known.chain = Some(made(step));
            }
            OrderMove::Answer | OrderMove::Finalize => {
                if matches!(known.state, OrderState::None | OrderState::Invalid(_) | OrderState::Pending) {
                    return Err("the order does not take this step now".to_owned());
                }
            }
        }
        Ok(())
    }

    /// What the issuer looks for is there.
    fn is_met(&self, challenge: &OrderChallenge) -> bool {
        let OrderChallenge { place, value, kind, .. } = challenge;
        match kind {
            ChallengeKind::Dns => self.has_text(place, value),
            ChallengeKind::Http => self.proves(place, value),
        }
    }
}

/// What a server of ACME would want to see: another thing for each order.
fn challenges(step: &OrderStep, kind: ChallengeKind, count: u32) -> Vec<OrderChallenge> {
    let of = |name: &String| {
        let name = name.strip_prefix("*.").unwrap_or(name).to_owned();
        let word = Hash::of(format!("{} {name} {count}", step.spki).as_bytes()).0;
        // a plan shows it, and must not pass for what the server will say
        let token = format!("known-with-the-order-{}", word.get(..6).unwrap_or(&word));
        let (place, value) = match kind {
            ChallengeKind::Dns => (format!("_acme-challenge.{name}"), token),
            ChallengeKind::Http => (token.clone(), format!("{token}.account")),
        };
        OrderChallenge { name, kind, place, value, met: false }
    };
    step.names.iter().map(of).collect()
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
