//! `drill.end`: the end of a drill, from where all goes back. That it is reached is what the drill is for: it is done well,
//! and the engine turns the run back by its trait.

use super::{Action, Next, Refusal, Target, Traits, Turn, args};
use crate::resources::{NoFacts, Nothing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What `drill.end` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EndArgs {
    /// The service that was drilled, by its name in svcops.yaml
    service: String,
}

/// `drill.end`.
#[derive(Serialize, Deserialize)]
pub(super) struct End {
    service: String,
    nothing: Nothing,
}

impl Action for End {
    const NAME: &'static str = "drill.end";
    const ABOUT: &'static str = "Ends a drill: from here all that the run has done goes back, and that is well";
    const EXAMPLE: &'static str = "- name: All goes back
  drill.end: {service: crm}";
    const TRAITS: Traits = Traits { once: true, turns_back: true, ..Traits::LOOKS };
    type Args = EndArgs;
    type On = Nothing;
    fn bind(args: EndArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        let services = &target.inventory.services;
        if !services.contains_key(&args.service) {
            let known = services.keys().map(String::as_str);
            return Err(args::unknown("service", "service", &args.service, known));
        }
        Ok(Self { service: args.service, nothing: Nothing {} })
    }
    fn on(&self) -> &Nothing {
        &self.nothing
    }
    fn next(&self, _: &Turn<NoFacts>) -> Next {
        Next::done()
    }
    fn undo(&self, _: &Turn<NoFacts>) -> Next {
        Next::done()
    }
}
