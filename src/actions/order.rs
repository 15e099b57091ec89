//! `cert.order`: the certificate for a request that waits on a host. What is staged there and what the issuer knows is all the
//! state there is, so whoever was killed goes on where it was.

use super::{Action, Next, Refusal, Target, Turn, cert, prove};
use crate::{
    base::{
        At, Change, Content, Hash, Lock, OrderAsk, OrderChain, OrderFacts, OrderMove, OrderStep, PairFacts, Place,
        Read, Source, Staged, StagedRequest, Text,
    },
    inventory::IssuerKind,
    resources::{Answers, Pair, Proof, Proving, ProvingFacts, ReadError, Resource},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What `cert.order` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderArgs {
    /// The certificate, by its name in svcops.yaml
    certificate: String,
    /// Which of its places, counted from 1; the only one on this host unless given
    place: Option<usize>,
}

/// What is staged for a pair, and what its issuer knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ordered {
    pair: Pair,
    /// None: people issue it.
    order: Option<OrderAsk>,
    /// How its names are proven; none: its issuer believes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) proving: Option<Proving>,
}

/// What is seen of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct OrderedFacts {
    pair: PairFacts,
    #[serde(default)]
    pub(super) order: OrderFacts,
    /// Where names are proven.
    #[serde(default)]
    pub(super) proving: ProvingFacts,
    /// What is there of this order.
    #[serde(default)]
    pub(super) ours: BTreeSet<Proof>,
}

impl Resource for Ordered {
    type Facts = OrderedFacts;
    fn lock(&self) -> Lock {
        self.pair.lock()
    }
    fn parents(&self) -> Vec<Lock> {
        self.pair.parents()
    }
    fn reads(&self) -> Vec<At<Read>> {
        let order = self.order.iter().map(|ask| Place::HERE.at(Read::Order(ask.clone())));
        let proving = self.proving.iter().flat_map(Proving::reads);
        self.pair.reads().into_iter().chain(order).chain(proving).collect()
    }
    fn facts(&self, answers: &mut Answers) -> Result<OrderedFacts, ReadError> {
        let pair = self.pair.facts(answers)?;
        let order = match &self.order {
            Some(_) => answers.take(|a| if let crate::base::Answer::Order(facts) = a { Some(*facts) } else { None })?,
            None => OrderFacts::default(),
        };
        let proving = self.proving.as_ref().map(|proving| proving.facts(answers)).transpose()?.unwrap_or_default();
        let ours = prove::ours(self.proving.as_ref(), &order, &proving);
        Ok(OrderedFacts { pair, order, proving, ours })
    }
    /// What was staged, and what proves names: an issuer forgets nothing, and what it gave harms nobody.
    fn lasting(facts: OrderedFacts) -> OrderedFacts {
        let chain = facts.pair.staged.complete().cloned();
        let pair = PairFacts { staged: Staged { chain, ..Staged::default() }, ..PairFacts::default() };
        OrderedFacts { pair, ours: facts.ours, ..OrderedFacts::default() }
    }
}

/// `cert.order`.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) on: Ordered,
    /// The names and addresses it is to be for.
    pub(super) names: Vec<String>,
    /// What to do with the request where people issue it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Action for Order {
    const NAME: &'static str = "cert.order";
    const ABOUT: &'static str =
        "Gets the certificate for the request that is staged on the host, checks it, and stages it there";
    const EXAMPLE: &'static str = r"- name: The new certificate
  cert.order: {certificate: billing-tls}";
    type Args = OrderArgs;
    type On = Ordered;
    fn bind(args: OrderArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        let found = cert::find(&args.certificate, args.place, target)?;
        let certificate = found.certificate;
        let issuers = &target.inventory.issuers;
        let issuer = certificate.issuer.as_ref().and_then(|name| issuers.get(name)).ok_or_else(|| {
            let why = format!("nobody issues certificate `{}`: it is only watched", certificate.name);
            Refusal::of("certificate", why)
        })?;
        let names =
            certificate.names_on(target.host).map_err(|e| Refusal::of("certificate", format!("{e}: {}", e.why)))?;
        let pair = found.pair(target);
        let subject = pair.spot.subject(&target.host.name);
        let ask = OrderAsk { issuer: issuer.name.clone(), subject };
        let (order, note, proving) = match &issuer.kind {
            IssuerKind::Csr { note } => (None, note.clone(), None),
            IssuerKind::Ca { .. } => (Some(ask), None, None),
            IssuerKind::Acme(acme) => (Some(ask), None, Some(prove::proving(acme, &names, target)?)),
        };
        Ok(Self { on: Ordered { pair, order, proving }, names, note })
    }
    fn on(&self) -> &Ordered {
        &self.on
    }
    fn next(&self, turn: &Turn<OrderedFacts>) -> Next {
        let staged = &turn.seen.pair.staged;
        if (staged.complete().is_some() || staged.asked().is_none())
            && let Some(away) = self.away(turn)
        {
            return away;
        }
        if let Some(leaf) = staged.complete() {
            let changed = turn.before.pair.staged.chain != turn.seen.pair.staged.chain;
            return Next::Done { outputs: json!({"changed": changed, "serial": leaf.serial}) };
        }
        let Some(request) = staged.asked() else {
            // nothing waits for a certificate
            return Next::Done { outputs: json!({"changed": false}) };
        };
        let Some(order) = &self.on.order else {
            let certificate = &self.on.pair.spot.name;
            let mut outputs =
                json!({"changed": false, "request": request.pem, "certificate": certificate, "names": self.names});
            if let (Some(outputs), Some(note)) = (outputs.as_object_mut(), &self.note) {
                outputs.insert("note".into(), json!(note));
            }
            return Next::Done { outputs };
        };
        match turn.seen.order.chain.as_ref().filter(|chain| chain.answers(&request.spki, &self.names)) {
            Some(chain) => self.stage(chain, turn),
            None => match &self.on.proving {
                Some(proving) => self.prove((order, proving), request, turn),
                None => self.sign(order, request, turn),
            },
        }
    }
    fn undo(&self, turn: &Turn<OrderedFacts>) -> Next {
        let (before, seen) = (&turn.before.pair.staged, &turn.seen.pair.staged);
        let changes = self.unprove(turn);
        if !changes.is_empty() {
            return Next::Do { changes, expect: Value::Null };
        }
        if seen.complete() == before.complete() {
            return Next::done();
        }
        let change = self.on.pair.at.at(Change::RemoveFile(self.on.pair.spot.staged_chain()));
        let tried = turn.last.as_ref() == Some(&change) || (self.on.proving.is_none() && !turn.did.is_empty());
        if seen.complete().is_none() || tried {
            return Next::GiveUp(format!("what is staged for {} is not as it was before", self.on.pair.title()));
        }
        Next::act(change, json!({"pair": {"staged": {}}}))
    }
}

impl Order {
    fn sign(&self, order: &OrderAsk, request: &StagedRequest, turn: &Turn<OrderedFacts>) -> Next {
        if !turn.did.is_empty() {
            return Next::GiveUp(format!("`{}` gave no certificate for {}", order.issuer, self.names.join(", ")));
        }
        let step = OrderStep {
            order: order.clone(),
            request: request.pem.clone(),
            spki: request.spki.clone(),
            names: self.names.clone(),
            kind: OrderMove::Sign,
            proof: None,
        };
        Next::act(Place::HERE.at(Change::Order(step)), json!({"order": {"spki": request.spki}}))
    }

    /// What was given goes beside the request, if it holds.
    fn stage(&self, chain: &OrderChain, turn: &Turn<OrderedFacts>) -> Next {
        let issuer = self.on.order.as_ref().map_or("", |order| order.issuer.as_str());
        if let Some(why) = &chain.wrong {
            return Next::GiveUp(format!("what `{issuer}` gave does not hold: {why}"));
        }
        let path = self.on.pair.spot.staged_chain();
        let wrote = |last: &At<Change>| matches!(&last.what, Change::WriteFile { path: at, .. } if *at == path);
        if turn.last.as_ref().is_some_and(wrote) {
            return Next::GiveUp(format!("`{path}` on `{}` is not as it was written", self.on.pair.at));
        }
        let content = Content {
            hash: Hash::of(chain.pem.as_bytes()),
            size: chain.pem.len() as u64,
            from: Source::Text(Text(chain.pem.clone())),
        };
        let expect: Value = json!({"pair": {"staged": {"chain": {"spki": chain.spki, "pem": content.hash}}}});
        let change = Change::WriteFile { path, content, mode: Some(0o644), owner: None, group: None, validate: None };
        Next::act(self.on.pair.at.at(change), expect)
    }
}
