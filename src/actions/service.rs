//! `service.watch` and `service.verify`: a service as its client sees it, from before the first act to after the last.

use super::{Action, Next, Refusal, Target, Traits, Turn, args};
use crate::{
    base::{ClientAsk, ClientFacts, SETTLED, Span, words},
    inventory::Rpo,
    resources::Sight,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// Both look once, from here.
const TRAITS: Traits = Traits { once: true, ..Traits::LOOKS };
/// A watch begins with so many good answers in a row.
const GOOD: u32 = 3;
/// A service that was up is seen to be so within this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks: what is waited for is the tail of an outage.
const EVERY: Duration = Duration::from_millis(20);

/// What is asked of a service that has a probe.
fn ask(service: &str, anew: bool, target: &Target<'_>) -> Result<(ClientAsk, Promise), Refusal> {
    let services = &target.inventory.services;
    let found = services.get(service);
    let found =
        found.ok_or_else(|| args::unknown("service", "service", service, services.keys().map(String::as_str)))?;
    let probe = found.probe.as_ref().ok_or_else(|| {
        Refusal::of("service", format!("service `{service}` has no `probe:`, so nobody knows how a client sees it"))
    })?;
    let ask = ClientAsk {
        service: service.to_owned(),
        ask: probe.ask.clone(),
        every: probe.every,
        within: probe.within,
        anew,
    };
    let rpo_bytes = if let Rpo::Bytes(bytes) = found.rpo { Some(bytes) } else { None };
    Ok((ask, Promise { rto: found.rto, rpo: found.rpo.to_string(), rpo_bytes }))
}

/// What was promised of a service; it goes with what was measured, so that both are judged together later.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Promise {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rto: Option<Span>,
    rpo: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rpo_bytes: Option<u64>,
}

/// What `service.watch` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WatchArgs {
    /// The service, by its name in svcops.yaml
    service: String,
    /// It is known to be down: nothing is waited for
    #[serde(default)]
    down: bool,
}

/// `service.watch`.
#[derive(Serialize, Deserialize)]
pub(super) struct Watch {
    sight: Sight,
    down: bool,
}

impl Action for Watch {
    const NAME: &'static str = "service.watch";
    const ABOUT: &'static str = "Begins to measure how a client sees a service, and sees that it is up";
    const EXAMPLE: &'static str = "- name: As a client sees it
  service.watch: {service: crm}";
    const TRAITS: Traits = TRAITS;
    type Args = WatchArgs;
    type On = Sight;
    fn bind(args: WatchArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        let (ask, _) = ask(&args.service, true, target)?;
        Ok(Self { sight: Sight(ask), down: args.down })
    }
    fn on(&self) -> &Sight {
        &self.sight
    }
    fn next(&self, turn: &Turn<ClientFacts>) -> Next {
        let (seen, service) = (&turn.seen, &self.sight.0.service);
        if self.down || seen.steady(GOOD) {
            return Next::Done { outputs: json!({"service": service, "up": seen.up, "tries": seen.tries}) };
        }
        if turn.elapsed >= PATIENCE || turn.late {
            return Next::GiveUp(format!("a client does not see `{service}`: {}", why(seen)));
        }
        Next::wait(format!("a client does not see `{service}`: {}", why(seen)), EVERY)
    }
    fn undo(&self, _: &Turn<ClientFacts>) -> Next {
        Next::done()
    }
}

/// What `service.verify` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyArgs {
    /// The service, by its name in svcops.yaml
    service: String,
    /// How long to wait until a client sees it again; 1m unless given
    #[schemars(extend("default" = "1m"))]
    within: Option<Span>,
}

/// `service.verify`.
#[derive(Serialize, Deserialize)]
pub(super) struct Verify {
    sight: Sight,
    promise: Promise,
    within: Span,
}

impl Action for Verify {
    const NAME: &'static str = "service.verify";
    const ABOUT: &'static str = "Waits until a client sees a service again, and tells how long it did not";
    const EXAMPLE: &'static str = "- name: As a client sees it
  service.verify: {service: crm, within: 1m}";
    const TRAITS: Traits = TRAITS;
    type Args = VerifyArgs;
    type On = Sight;
    fn bind(args: VerifyArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        let (ask, promise) = ask(&args.service, false, target)?;
        Ok(Self { sight: Sight(ask), promise, within: args.within.unwrap_or(Span::secs(60)) })
    }
    fn on(&self) -> &Sight {
        &self.sight
    }
    fn next(&self, turn: &Turn<ClientFacts>) -> Next {
        let (seen, service) = (&turn.seen, &self.sight.0.service);
        if seen.steady(SETTLED) {
            return Next::Done { outputs: self.outputs(seen) };
        }
        if turn.elapsed >= self.within.0 || turn.late {
            let row = match seen.in_a_row {
                0 => String::new(),
                n => format!(", after {} in a row", words::count("good answer", usize::try_from(n).unwrap_or(0))),
            };
            return Next::GiveUp(format!(
                "a client does not see `{service}` again after {}: {}{row}",
                self.within,
                why(seen)
            ));
        }
        Next::wait(format!("a client does not see `{service}` yet: {}", why(seen)), EVERY)
    }
    fn undo(&self, _: &Turn<ClientFacts>) -> Next {
        Next::done()
    }
}

impl Verify {
    fn outputs(&self, seen: &ClientFacts) -> Value {
        let longest = seen.longest();
        // of an outage that had begun before it was watched for, nobody knows the begin
        let whole = seen.watched && longest.is_none_or(|outage| outage.from.is_some());
        json!({
            "service": self.sight.0.service,
            "outage_ms": longest.map_or(0, |outage| (outage.micros + 500) / 1000),
            "measured": if whole { "whole" } else { "part" },
            "from": longest.and_then(|outage| outage.from),
            "until": longest.and_then(|outage| outage.until),
            "failed": seen.failed,
            "tries": seen.tries,
            "outages": seen.outages,
            "rto": self.promise.rto,
            "rpo": self.promise.rpo,
        })
    }
}

fn why(seen: &ClientFacts) -> &str {
    seen.why.as_deref().unwrap_or(if seen.up { "its last answers were good" } else { "there is no answer yet" })
}
