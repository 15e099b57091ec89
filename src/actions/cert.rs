//! `cert.*` on hosts: a key and a request, the switch to what came of them, and the proof that it is served. What is
//! staged on a host and what its endpoints show is all the state there is.

use super::{Action, Next, Refusal, Target, Turn, app, args};
use crate::{
    base::{
        Algorithm, At, Change, Content, FileFacts, Hash, PairChange, PairFacts, PairSpot, ServedAsk, Source, Span, Text,
    },
    inventory::{
        Host,
        certs::{By, CertPlace, Certificate},
    },
    resources::{AppFacts, Consumer, ConsumerFacts, Pair, Staging, StagingFacts, pair::date},
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// What all of them take.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CertArgs {
    /// The certificate, by its name in svcops.yaml
    certificate: String,
    /// Which of its places, counted from 1, where a host has several of them
    place: Option<usize>,
}

/// What `cert.request` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestArgs {
    /// The certificate, by its name in svcops.yaml
    certificate: String,
    /// Which of its places, counted from 1, where a host has several of them
    place: Option<usize>,
    /// Also where nothing is due
    #[serde(default)]
    force: bool,
}

/// How often an endpoint is asked.
const EVERY: Duration = Duration::from_millis(500);
/// How long a handshake may take.
const HANDSHAKE: Span = Span::secs(5);
/// How long a reload may take to show where no health says otherwise.
const WITHIN: Duration = Duration::from_secs(30);

/// `cert.request`.
#[derive(Serialize, Deserialize)]
pub(super) struct Request {
    on: Staging,
    algorithm: Algorithm,
    #[serde(default)]
    force: bool,
}

impl Action for Request {
    const NAME: &'static str = "cert.request";
    const ABOUT: &'static str = "Makes a key and a request on the host, where a certificate is due";
    const EXAMPLE: &'static str = "- name: Keys and requests
  cert.request: {certificate: billing-tls}";
    type Args = RequestArgs;
    type On = Staging;
    fn bind(args: RequestArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        let found = find(&args.certificate, args.place, target)?;
        let certificate = found.certificate;
        if certificate.issuer.is_none() {
            let why = format!("nobody issues certificate `{}`: it is only watched", certificate.name);
            return Err(Refusal::of("certificate", why));
        }
        let names =
            certificate.names_on(target.host).map_err(|e| Refusal::of("certificate", format!("{e}: {}", e.why)))?;
        let on = Staging {
            pair: found.pair(target),
            names,
            renew: certificate.renew,
            now: target.now,
            origin: if certificate.shared { found.origin(target) } else { None },
        };
        Ok(Self { on, algorithm: certificate.algorithm, force: args.force })
    }
    fn on(&self) -> &Staging {
        &self.on
    }
    fn next(&self, turn: &Turn<StagingFacts>) -> Next {
        let seen = &turn.seen.pair;
        if seen.staged.complete().is_some() || seen.staged.asked().is_some() {
            return Next::Done { outputs: json!({"changed": !turn.did.is_empty()}) };
        }
        let next = match (&self.on.origin, &turn.seen.origin) {
            (Some(origin), Some(facts)) => self.share(origin, facts, turn),
            _ => self.make(seen),
        };
        match next {
            Ok(None) => Next::Done { outputs: json!({"changed": !turn.did.is_empty()}) },
            Ok(Some(_)) if !turn.did.is_empty() => {
                Next::GiveUp(format!("no key and request are staged beside {}", self.on.pair.title()))
            }
            Ok(Some(next)) => next,
            Err(why) => Next::GiveUp(format!("{}: {why}", self.on.pair.title())),
        }
    }
    fn undo(&self, turn: &Turn<StagingFacts>) -> Next {
        if turn.seen.pair.staged == turn.before.pair.staged {
            return Next::done();
        }
        if !turn.did.is_empty() {
            return Next::GiveUp(format!("something is staged beside {} again", self.on.pair.title()));
        }
        Next::act(self.pair(PairChange::Drop), Value::Null)
    }
}

impl Request {
    fn pair(&self, change: PairChange) -> At<Change> {
        self.on.pair.at.at(Change::Pair { spot: self.on.pair.spot.clone(), change })
    }
    /// A key of its own, where one is due.
    fn make(&self, seen: &PairFacts) -> Result<Option<Next>, String> {
        if !self.force && self.on.due(seen).is_none() {
            return Ok(None);
        }
        if let Some(why) = &seen.obstacle {
            return Err(why.clone());
        }
        let change = PairChange::MakeKey { algorithm: self.algorithm, names: self.on.names.clone() };
        Ok(Some(Next::act(self.pair(change), Value::Null)))
    }
    /// The key that another host has made, with the request for it; or that it has installed.
    fn share(&self, origin: &Pair, theirs: &PairFacts, turn: &Turn<StagingFacts>) -> Result<Option<Next>, String> {
        let seen = &turn.seen.pair;
        let ready = |changes: Vec<At<Change>>| {
            seen.obstacle.clone().map_or(Ok(Some(Next::Do { changes, expect: Value::Null })), Err)
        };
        let from = |path: &str| Source::Host { at: origin.at.clone(), path: path.to_owned() };
        let at = &self.on.pair.spot;
        let key = |path: &str, hash: &Hash, size: u64| {
            self.write(at.staged_key(), Content { hash: hash.clone(), size, from: from(path) }, 0o600)
        };
        if let (Some(staged), Some(asked)) = (&theirs.staged.key, theirs.staged.asked()) {
            let (text, bytes) = (Text(asked.pem.clone()), asked.pem.as_bytes());
            let request = Content { hash: Hash::of(bytes), size: bytes.len() as u64, from: Source::Text(text) };
            let key = key(&origin.spot.staged_key(), &staged.hash, staged.size);
            return ready(vec![self.pair(PairChange::Drop), key, self.write(at.staged_request(), request, 0o644)]);
        }
        if self.force || self.on.due(theirs).is_some() {
            return Ok(Some(Next::wait(
                format!("`{}` makes the key that they share", origin.at),
                Duration::from_secs(1),
            )));
        }
        if theirs.key == seen.key && seen.key_fits && self.on.due(seen).is_none() {
            return Ok(None);
        }
        // the other host's pair is in order, and this one is another
        let file = |path: &str| -> Option<FileFacts> { theirs.files.get(path)?.clone() };
        let crate::base::Keystore::Files { cert, key: key_file } = &origin.spot.store else {
            return Err(format!(
                "it has another key than `{}`, whose it shares: `--force` makes one for all",
                origin.at
            ));
        };
        let (Some(own), Some(chain)) = (file(key_file), file(cert)) else {
            return Err(format!("`{}`, whose key it shares, has none", origin.at));
        };
        let chain = Content { hash: chain.hash, size: chain.size, from: from(cert) };
        let key = key(key_file, &own.hash, own.size);
        ready(vec![self.pair(PairChange::Drop), key, self.write(at.staged_chain(), chain, 0o644)])
    }
    fn write(&self, path: String, content: Content, mode: u32) -> At<Change> {
        let (owner, group, validate) = (None, None, None);
        self.on.pair.at.at(Change::WriteFile { path, content, mode: Some(mode), owner, group, validate })
    }
}

/// `cert.install`.
#[derive(Serialize, Deserialize)]
pub(super) struct Install {
    pair: Pair,
    now: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
}

impl Action for Install {
    const NAME: &'static str = "cert.install";
    const ABOUT: &'static str = "Puts the staged key and certificate in the place of the earlier ones, all at once";
    const EXAMPLE: &'static str = "- name: The new certificate, node by node
  rolling: {batch: 1}
  steps:
    - cert.install: {certificate: billing-tls}
      then: [{cert.serve: {certificate: billing-tls}}]";
    type Args = CertArgs;
    type On = Pair;
    fn bind(args: CertArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        let found = find(&args.certificate, args.place, target)?;
        let CertPlace { mode, owner, group, .. } = found.place;
        Ok(Self { pair: found.pair(target), now: target.now, mode: *mode, owner: owner.clone(), group: group.clone() })
    }
    fn on(&self) -> &Pair {
        &self.pair
    }
    fn next(&self, turn: &Turn<PairFacts>) -> Next {
        let (seen, title) = (&turn.seen, self.pair.title());
        if let Some(leaf) = seen.staged.complete() {
            if !turn.did.is_empty() {
                return Next::GiveUp(format!("{title} is not as it was put there"));
            }
            if let Some(why) = &seen.obstacle {
                return Next::GiveUp(format!("{title}: {why}"));
            }
            if leaf.not_after <= self.now {
                let end = date(leaf.not_after);
                return Next::GiveUp(format!("the certificate that is staged for {title} expired on {end}"));
            }
            let change = PairChange::Switch {
                spki: leaf.spki.clone(),
                pem: leaf.pem.clone(),
                mode: self.mode,
                owner: self.owner.clone(),
                group: self.group.clone(),
            };
            let expect = json!({"key_fits": true, "installed": {"serial": leaf.serial}});
            return Next::act(self.change(change), expect);
        }
        if let Some(leaf) = seen.installed.as_ref().filter(|_| !seen.key_fits) {
            return Next::GiveUp(format!("the key of {title} is not that of its certificate, serial {}", leaf.serial));
        }
        Next::Done {
            outputs: json!({
                "changed": !turn.did.is_empty(),
                "serial": seen.installed.as_ref().map(|leaf| &leaf.serial),
                "not_after": seen.installed.as_ref().map(|leaf| leaf.not_after),
            }),
        }
    }
    fn undo(&self, turn: &Turn<PairFacts>) -> Next {
        let (before, seen) = (&turn.before, &turn.seen);
        if seen.files == before.files && seen.key == before.key {
            return Next::done();
        }
        if !turn.did.is_empty() {
            return Next::GiveUp(format!("{} is not as it was before", self.pair.title()));
        }
        let Some(new) = before.staged.complete().map(|leaf| &leaf.spki) else {
            return Next::GiveUp(format!("nothing was staged for {}: it is left as it is", self.pair.title()));
        };
        // also half of the new pair is this run's doing
        let known = |key: Option<&String>, earlier: Option<&String>| key.is_none_or(|k| k == new || Some(k) == earlier);
        let leaf = |facts: &PairFacts| facts.installed.as_ref().map(|leaf| leaf.spki.clone());
        if !known(seen.key.as_ref(), before.key.as_ref()) || !known(leaf(seen).as_ref(), leaf(before).as_ref()) {
            let title = self.pair.title();
            return Next::GiveUp(format!("somebody has changed {title} since: it is left as it is"));
        }
        let change = PairChange::Restore { files: before.files.clone(), spki: new.clone() };
        Next::act(self.change(change), Value::Null)
    }
}

impl Install {
    fn change(&self, change: PairChange) -> At<Change> {
        self.pair.at.at(Change::Pair { spot: self.pair.spot.clone(), change })
    }
}

/// `cert.serve`.
#[derive(Serialize, Deserialize)]
pub(super) struct Serve {
    on: Consumer,
    #[serde(default)]
    by: By,
}

impl Action for Serve {
    const NAME: &'static str = "cert.serve";
    const ABOUT: &'static str = "Has the installed certificate served, and looks whether it is";
    const EXAMPLE: &'static str = "- name: Is it served?
  cert.serve: {certificate: billing-tls}";
    type Args = CertArgs;
    type On = Consumer;
    fn bind(args: CertArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        let found = find(&args.certificate, args.place, target)?;
        let endpoints = found
            .certificate
            .served_on(found.place, target.host)
            .map_err(|e| Refusal::of("certificate", format!("{e}: {}", e.why)))?;
        let served =
            endpoints.into_iter().map(|endpoint| ServedAsk { endpoint, name: None, within: HANDSHAKE }).collect();
        let app = found.place.app.as_ref().map(|name| app::find(name, target)).transpose()?;
        if let Some(app) = app.as_ref().filter(|app| found.place.by == By::Reload && app.reload().is_none()) {
            let why = format!("the manager of app `{}` has no `reload` command: `by: restart` restarts it", app.name);
            return Err(Refusal::of("certificate", why));
        }
        Ok(Self { on: Consumer { pair: found.pair(target), app, served }, by: found.place.by })
    }
    fn on(&self) -> &Consumer {
        &self.on
    }
    fn next(&self, turn: &Turn<ConsumerFacts>) -> Next {
        let seen = &turn.seen;
        let Some(leaf) = &seen.installed else {
            // on the way back to before there was any
            return Next::Done { outputs: json!({"served": []}) };
        };
        if !seen.key_fits {
            let title = self.on.pair.title();
            return Next::GiveUp(format!("the key of {title} is not that of its certificate, serial {}", leaf.serial));
        }
        let stopped = seen.app.as_ref().is_some_and(|app| !app.running);
        if stopped && turn.did.is_empty() {
            // it reads the certificate when it is started, which is not for this step to decide
            return Next::Done { outputs: json!({"served": [], "stopped": true}) };
        }
        let other = seen.other();
        let proven = other.is_none() && (!self.on.served.is_empty() || !turn.did.is_empty() || self.on.app.is_none());
        match (&self.on.app, app_turn(turn)) {
            (Some(app), Some(apps)) if !proven || !turn.did.is_empty() => {
                if turn.did.is_empty() {
                    let change = match self.by {
                        By::Reload => app.reload(),
                        By::Restart => app.restart().or_else(|| app.reload()),
                    };
                    let expect = json!({"app": {"running": true, "health": {"healthy": true}}});
                    return change.map_or_else(
                        || Next::GiveUp(format!("nothing makes {} read it again", app.title())),
                        |change| Next::act(change, expect),
                    );
                }
                match app::settled(app, self.by == By::Reload, &apps) {
                    Next::Done { .. } => {}
                    next => return next,
                }
            }
            _ => {}
        }
        match other {
            None => Next::Done {
                outputs: json!({
                    "served": self.on.served.iter().map(|ask| &ask.endpoint).collect::<Vec<_>>(),
                    "serial": leaf.serial,
                }),
            },
            Some((at, why)) => {
                let endpoint = self.on.served.get(at).map_or("", |ask| &ask.endpoint);
                let within = self.on.app.as_ref().map_or(WITHIN, |app| app.within.0);
                if turn.late || turn.rested >= within {
                    return Next::GiveUp(format!("`{endpoint}` {why}"));
                }
                Next::wait(format!("`{endpoint}` {why}"), EVERY)
            }
        }
    }
    fn undo(&self, turn: &Turn<ConsumerFacts>) -> Next {
        match (&self.on.app, app_turn(turn)) {
            (Some(app), Some(apps)) => app::back(app, &apps),
            _ => Next::done(),
        }
    }
}

/// The turn as the app alone sees it.
fn app_turn(turn: &Turn<ConsumerFacts>) -> Option<Turn<AppFacts>> {
    Some(Turn {
        before: turn.before.app.clone()?,
        seen: turn.seen.app.clone()?,
        after: turn.after.as_ref().and_then(|after| after.app.clone()),
        did: turn.did.clone(),
        last: turn.last.clone(),
        elapsed: turn.elapsed,
        rested: turn.rested,
        late: turn.late,
    })
}

/// A certificate at one of its places on a host.
pub(super) struct Found<'a> {
    pub(super) certificate: &'a Certificate,
    place: &'a CertPlace,
    spot: PairSpot,
}

impl Found<'_> {
    pub(super) fn pair(&self, target: &Target<'_>) -> Pair {
        Pair { at: target.place(), spot: self.spot.clone() }
    }
    /// The pair of the first host of all, where that is another one.
    fn origin(&self, target: &Target<'_>) -> Option<Pair> {
        let (place, host) = origin(self.certificate, target.inventory)?;
        let spot = PairSpot { name: self.certificate.name.clone(), store: place.store.clone()? };
        let at = target.place_on(&host.name);
        (host.name != target.host.name || spot != self.spot).then_some(Pair { at, spot })
    }
}

/// The place and the host whose key all others share.
fn origin<'a>(
    certificate: &'a Certificate,
    inventory: &'a crate::inventory::Inventory,
) -> Option<(&'a CertPlace, &'a Host)> {
    let stored = certificate.places.iter().filter(|place| place.store.is_some());
    stored.into_iter().find_map(|place| Some((place, inventory.hosts_at(place).into_iter().next()?)))
}

/// The certificate of that name at a place on the target's host.
pub(super) fn find<'a>(name: &str, number: Option<usize>, target: &Target<'a>) -> Result<Found<'a>, Refusal> {
    let known = &target.inventory.certificates;
    let certificate = known
        .get(name)
        .ok_or_else(|| args::unknown("certificate", "certificate", name, known.keys().map(String::as_str)))?;
    let here = |place: &CertPlace| {
        place.store.is_some() && target.inventory.hosts_at(place).iter().any(|host| host.name == target.host.name)
    };
    let places: Vec<(usize, &CertPlace)> = certificate
        .places
        .iter()
        .enumerate()
        .map(|(at, place)| (at + 1, place))
        .filter(|(_, place)| here(place))
        .collect();
    let found = match (number, places.as_slice()) {
        (Some(number), places) => places.iter().find(|(at, _)| *at == number).ok_or_else(|| {
            Refusal::of("place", format!("certificate `{name}` has no place {number} on `{}`", target.host.name))
        })?,
        (None, [one]) => one,
        (None, []) => {
            let why = format!("certificate `{name}` lies nowhere on `{}`", target.host.name);
            return Err(Refusal::of("certificate", why));
        }
        (None, many) => {
            let numbers: Vec<String> = many.iter().map(|(at, _)| at.to_string()).collect();
            let why = format!(
                "certificate `{name}` lies at several places on `{}`: {} expected",
                target.host.name,
                numbers.join(" or ")
            );
            return Err(Refusal::of("place", why));
        }
    };
    let place = found.1;
    let store = place.store.clone().ok_or_else(|| Refusal::new("a place that only serves has no files"))?;
    Ok(Found { certificate, place, spot: PairSpot { name: name.to_owned(), store } })
}
