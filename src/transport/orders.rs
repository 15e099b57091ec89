//! Orders for certificates, from here: what the seam says of them, said to the issuers that `svcops.yaml` declares.

use super::{Settled, vault::Vault};
use crate::{
    base::{
        Answer, ChallengeKind, Clock as _, OrderAsk, OrderChain, OrderChallenge, OrderFacts, OrderMove, OrderState,
        OrderStep, Outcome, Receipt, Secret, WallClock,
    },
    cert::{self, Certificate, Severity, Terms, Trust, pem},
    inventory::{Acme, Challenge, Inventory, Issuer, IssuerKind},
    issue::{
        acme,
        ca::{self, Ca, CaError},
    },
};
use jiff::Timestamp;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where files of issuers are.
#[derive(Clone, Debug, Default)]
pub struct Grounds {
    /// The project's folder: relative paths are below it.
    pub project: PathBuf,
    /// The state directory; none: nothing that is kept there is known.
    pub state: Option<PathBuf>,
}

/// The issuers.
pub(super) struct Orders {
    issuers: std::collections::BTreeMap<String, Issuer>,
    grounds: Grounds,
    vault: Arc<Vault>,
}

impl Orders {
    pub(super) fn new(inventory: &Inventory, grounds: Grounds, vault: Arc<Vault>) -> Self {
        Self { issuers: inventory.issuers.clone(), grounds, vault }
    }

    /// How far an order is.
    pub(super) async fn look(&self, ask: &OrderAsk) -> Answer {
        match self.facts(ask).await {
            Ok(facts) => Answer::Order(Box::new(facts)),
            Err(why) => Answer::Bad(why),
        }
    }

    /// Makes a move. Made again, it finds what is there.
    pub(super) async fn act(&self, step: &OrderStep) -> Receipt {
        match self.step(step).await {
            Ok(()) => Receipt { code: Some(0), ..Receipt::of(Outcome::Ok) },
            Err(why) => Receipt { code: Some(1), ..Receipt::of(Outcome::Failed(why)) },
        }
    }

    /// What became of a move that another process announced, which is gone: what the issuer knows says it.
    pub(super) async fn settle(&self, step: &OrderStep) -> Settled {
        match self.facts(&step.order).await {
            Ok(facts) if facts.spki.as_ref() != Some(&step.spki) => Settled::Never,
            Ok(facts) if step.kind == OrderMove::Sign && facts.chain.is_none() => Settled::Never,
            Ok(_) => Settled::Was(Receipt { code: Some(0), ..Receipt::of(Outcome::Ok) }),
            Err(why) => Settled::Was(Receipt::of(Outcome::Unknown(why))),
        }
    }

    async fn facts(&self, ask: &OrderAsk) -> Result<OrderFacts, String> {
        let issuer = self.issuer(&ask.issuer)?;
        match &issuer.kind {
            IssuerKind::Ca { folder, .. } => {
                let (folder, subject) = (self.path(folder), ask.subject.clone());
                let given = apart(move || {
                    let ca = Ca::open(&folder)?;
                    let given = ca.ordered(&subject)?;
                    given.map(|given| Ok((given, ca.trust()?))).transpose()
                });
                let Some((given, own)) = given.await? else { return Ok(OrderFacts::default()) };
                let trust = self.trust(issuer)?.unwrap_or(own);
                let chain = chain(given.chain, &trust, WallClock.now())?;
                Ok(OrderFacts {
                    spki: Some(chain.spki.clone()),
                    state: OrderState::Valid,
                    chain: Some(chain),
                    ..OrderFacts::default()
                })
            }
            IssuerKind::Acme(settings) => self.acme_facts(issuer, settings, ask).await,
            IssuerKind::Csr { .. } => Ok(OrderFacts::default()),
        }
    }

    async fn step(&self, step: &OrderStep) -> Result<(), String> {
        let issuer = self.issuer(&step.order.issuer)?;
        match (&issuer.kind, step.kind) {
            (IssuerKind::Ca { folder, password, days, profile, crl }, OrderMove::Sign) => {
                let (folder, subject) = (self.path(folder), step.order.subject.clone());
                let password = self.secret(password)?;
                let order = ca::Order {
                    request: step.request.clone(),
                    names: step.names.clone(),
                    profile: profile_of(*profile),
                    days: u32::from(*days),
                    crl: crl.clone(),
                };
                let now = WallClock.now();
                apart(move || Ca::open(&folder)?.give_for(&subject, &order, &password, now)).await.map(drop)
            }
            (IssuerKind::Acme(settings), kind) => self.acme_step(issuer, settings, step, kind).await,
            (kind, _) => Err(format!("`{}` {} and takes no such step", issuer.name, what(kind))),
        }
    }

    async fn acme_facts(&self, issuer: &Issuer, settings: &Acme, ask: &OrderAsk) -> Result<OrderFacts, String> {
        let Some(seen) = self.acme(issuer, settings, false)?.look(&ask.subject).await.map_err(|e| e.to_string())?
        else {
            return Ok(OrderFacts::default());
        };
        let kind = kind_of(settings);
        let mut facts = OrderFacts {
            spki: Some(seen.spki),
            challenges: seen.proofs.iter().filter_map(|proof| challenge(proof, kind)).collect(),
            wait: seen.wait.map(|wait| wait.as_secs()),
            ..OrderFacts::default()
        };
        facts.state = match seen.status {
            acme::Status::Silent(why) => {
                facts.silent = Some(why);
                OrderState::Pending
            }
            acme::Status::Pending => OrderState::Pending,
            acme::Status::Ready => OrderState::Ready,
            acme::Status::Processing => OrderState::Processing,
            acme::Status::Valid => OrderState::Valid,
            acme::Status::Invalid(why) => OrderState::Invalid(why),
        };
        if let Some(text) = seen.chain {
            let trust = match self.trust(issuer)? {
                Some(trust) => trust,
                None => Trust::system(),
            };
            facts.chain = Some(chain(text, &trust, WallClock.now())?);
        }
        Ok(facts)
    }

    async fn acme_step(
        &self,
        issuer: &Issuer,
        settings: &Acme,
        step: &OrderStep,
        kind: OrderMove,
    ) -> Result<(), String> {
        let (server, subject) = (self.acme(issuer, settings, true)?, &step.order.subject);
        let done = match kind {
            OrderMove::New => server.begin(subject, &step.spki, &step.names).await,
            OrderMove::Answer => server.answer(subject, kind_of(settings)).await,
            OrderMove::Finalize => {
                let pieces = pem::Pieces::read(step.request.as_bytes()).map_err(|e| e.to_string())?;
                let request = pieces.requests.first().ok_or("there is no request to hand in")?;
                server.finalize(subject, request).await
            }
            OrderMove::Sign => return Err(format!("`{}` {} and takes no such step", issuer.name, what(&issuer.kind))),
        };
        done.map_err(|e| e.to_string())
    }

    /// A server of ACME as it is declared. Its secrets are read where it is spoken to for a change.
    fn acme(&self, issuer: &Issuer, settings: &Acme, acts: bool) -> Result<acme::Server, String> {
        let state = self.grounds.state.as_ref().ok_or("there is no state directory to keep an account in")?;
        let eab = settings.eab.as_ref().filter(|_| acts);
        let eab = eab.map(|eab| Ok::<_, String>((eab.kid.clone(), self.secret(&eab.key)?))).transpose()?;
        Ok(acme::Server { eab, ..server(&issuer.name, settings, &self.grounds.project, state) })
    }

    fn issuer(&self, name: &str) -> Result<&Issuer, String> {
        let found = self.issuers.get(name);
        found.ok_or_else(|| format!("`svcops.yaml` declares no issuer `{name}`"))
    }

    /// Whom an issuer's certificates are trusted by, where the project says.
    fn trust(&self, issuer: &Issuer) -> Result<Option<Trust>, String> {
        let file = issuer.trust.as_ref().map(|file| Trust::file(&self.path(file)));
        file.transpose().map_err(|e| e.to_string())
    }

    fn secret(&self, name: &str) -> Result<Secret, String> {
        self.vault.secret(name).map_err(|e| said(&e))
    }

    fn path(&self, path: &str) -> PathBuf {
        below(&self.grounds.project, path)
    }
}

/// A server of ACME as it is declared, without the secret of an account that exists elsewhere.
pub fn server(issuer: &str, settings: &Acme, project: &Path, state: &Path) -> acme::Server {
    acme::Server {
        name: issuer.to_owned(),
        directory: settings.directory.clone(),
        ca: settings.ca.as_ref().map(|ca| below(project, ca)),
        contact: settings.contact.clone(),
        eab: None,
        folder: state.join("issuers").join(issuer),
    }
}

/// A path of `svcops.yaml`: below the project's folder unless it is absolute, `~` is the home of who runs svcops.
pub fn below(project: &Path, path: &str) -> PathBuf {
    project.join(super::vault::home(path))
}

/// What signs for hours of a fleet's renewals must not stop the others.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T, CaError> + Send + 'static) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|e| said(&e)),
        Err(e) => Err(e.to_string()),
    }
}

/// What was given, held against whom to trust.
fn chain(text: String, trust: &Trust, at: Timestamp) -> Result<OrderChain, String> {
    let shown = pem::Pieces::read(text.as_bytes()).map_err(|e| e.to_string())?.certificates;
    let leaf: &Certificate = shown.first().ok_or("there is no certificate in what was given")?;
    let terms = Terms {
        at,
        names: vec![],
        warn: i64::MIN,
        crit: i64::MIN,
        share: None,
        trust,
        crls: &[],
        key: None,
        stapled: None,
        unstapled: false,
        chain: true,
    };
    // that it is for clients is what was asked for
    let of_clients = leaf.for_servers == Some(false);
    let wrong = cert::judge(&shown, &terms).faults.into_iter().find(|fault| {
        let meant = matches!(fault.what, cert::Wrong::NotForServers { .. } | cert::Wrong::Refused { .. });
        fault.severity >= Severity::Critical && !(of_clients && meant)
    });
    Ok(OrderChain {
        serial: leaf.serial.clone(),
        spki: leaf.key_fingerprint(),
        names: leaf.names.iter().map(ToString::to_string).collect(),
        not_after: leaf.not_after,
        wrong: wrong.map(|fault| fault.what.to_string()),
        pem: text,
    })
}

const fn kind_of(settings: &Acme) -> acme::Kind {
    match settings.challenge {
        Challenge::Dns => acme::Kind::Dns,
        Challenge::Webroot { .. } | Challenge::Responder { .. } => acme::Kind::Http,
    }
}

/// What is to stand where; none: the name cannot be proven so.
fn challenge(proof: &acme::Proof, kind: acme::Kind) -> Option<OrderChallenge> {
    let (name, met) = (proof.name.clone(), proof.met);
    Some(match kind {
        acme::Kind::Dns => {
            let (place, value) = (format!("_acme-challenge.{name}"), proof.record.clone()?);
            OrderChallenge { name, kind: ChallengeKind::Dns, place, value, met }
        }
        acme::Kind::Http => {
            let (place, value) = (proof.token.clone()?, proof.answer.clone()?);
            OrderChallenge { name, kind: ChallengeKind::Http, place, value, met }
        }
    })
}

fn profile_of(profile: crate::inventory::Profile) -> ca::Profile {
    match profile {
        crate::inventory::Profile::Server => ca::Profile::Server,
        crate::inventory::Profile::Client => ca::Profile::Client,
        crate::inventory::Profile::Both => ca::Profile::Both,
    }
}

fn what(kind: &IssuerKind) -> &'static str {
    match kind {
        IssuerKind::Ca { .. } => "is an own CA",
        IssuerKind::Acme(_) => "is a server of ACME",
        IssuerKind::Csr { .. } => "is people",
    }
}

fn said(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
