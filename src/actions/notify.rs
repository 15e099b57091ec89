//! `notify.*`: tell somebody. Said once a run, from here; it cannot be unsaid.

use super::{Action, Next, Refusal, Target, Traits, Turn, args};
use crate::{
    base::{Change, HttpAsk, Letter, Place, Text, letter},
    resources::{NoFacts, Nothing},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What `notify.webhook` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookArgs {
    /// Where to
    url: String,
    /// What to send: a text, or a map or list that is sent as JSON
    body: Option<Value>,
    /// Headers to send; secrets are allowed
    #[serde(default, deserialize_with = "args::named")]
    #[schemars(with = "BTreeMap<String, String>")]
    headers: BTreeMap<String, String>,
}

/// `notify.webhook`.
#[derive(Serialize, Deserialize)]
pub(super) struct Webhook {
    ask: HttpAsk,
    nothing: Nothing,
}

impl Action for Webhook {
    const NAME: &'static str = "notify.webhook";
    const ABOUT: &'static str = "Sends a message to a web address";
    const TRAITS: Traits = Traits::TELLS;
    type Args = WebhookArgs;
    type On = Nothing;
    fn bind(args: WebhookArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        let mut headers = args::texts(args.headers);
        let (body, kind) = match args.body {
            None | Some(Value::Null) => (None, None),
            Some(Value::String(text)) => (Some(text), Some("text/plain; charset=utf-8")),
            Some(json) => (Some(json.to_string()), Some("application/json")),
        };
        if let Some(kind) = kind
            && !headers.keys().any(|name| name.eq_ignore_ascii_case("content-type"))
        {
            headers.insert("content-type".into(), Text(kind.into()));
        }
        let ask = HttpAsk {
            url: args::url(args.url)?,
            method: "POST".into(),
            headers,
            body: body.map(|b| args::plain("body", b)).transpose()?.map(Text),
            ca: None,
            within: args::one_try(target),
        };
        Ok(Self { ask, nothing: Nothing {} })
    }
    fn on(&self) -> &Nothing {
        &self.nothing
    }
    fn next(&self, turn: &Turn<NoFacts>) -> Next {
        if !turn.did.is_empty() {
            return Next::done();
        }
        Next::act(Place::HERE.at(Change::Tell(self.ask.clone())), Value::Null)
    }
    fn undo(&self, _: &Turn<NoFacts>) -> Next {
        Next::done()
    }
}

/// What `notify.email` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EmailArgs {
    /// To whom: an address, or a list of them
    to: Addresses,
    /// The subject
    subject: String,
    /// The text
    #[serde(default)]
    body: String,
}

/// An address, or a list of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Addresses {
    /// One
    One(String),
    /// Several
    Many(Vec<String>),
}

/// `notify.email`.
#[derive(Serialize, Deserialize)]
pub(super) struct Email {
    letter: Letter,
    nothing: Nothing,
}

impl Action for Email {
    const NAME: &'static str = "notify.email";
    const ABOUT: &'static str = "Sends a mail";
    const TRAITS: Traits = Traits::TELLS;
    type Args = EmailArgs;
    type On = Nothing;
    fn bind(args: EmailArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        let Some(mail) = &target.inventory.mail else {
            return Err(Refusal::new("svcops.yaml has no `mail:`, so there is no way to send one"));
        };
        let to = match args.to {
            Addresses::One(one) => vec![one],
            Addresses::Many(many) => many,
        };
        if to.is_empty() {
            return Err(Refusal::of("to", "an address expected"));
        }
        let subject = args::plain("subject", args.subject)?;
        if subject.contains(['\n', '\r']) {
            return Err(Refusal::of("subject", "one line expected"));
        }
        let letter = Letter {
            via: mail.smtp.clone(),
            from: mail.from.clone(),
            to: to.into_iter().map(address).collect::<Result<_, _>>()?,
            subject,
            body: args::plain("body", args.body)?,
        };
        Ok(Self { letter, nothing: Nothing {} })
    }
    fn on(&self) -> &Nothing {
        &self.nothing
    }
    fn next(&self, turn: &Turn<NoFacts>) -> Next {
        if !turn.did.is_empty() {
            return Next::done();
        }
        Next::act(Place::HERE.at(Change::Mail(self.letter.clone())), Value::Null)
    }
    fn undo(&self, _: &Turn<NoFacts>) -> Next {
        Next::done()
    }
}

fn address(text: String) -> Result<String, Refusal> {
    let text = args::plain("to", text)?;
    if letter::is_address(&text) {
        Ok(text)
    } else {
        Err(Refusal::of("to", format!("an address such as duty@example.org expected, got `{text}`")))
    }
}
