//! Proving who one is: certificates, keys of the agent, keys in files; nothing is ever asked for.

use super::{
    line::{Broken, Guard},
    settings::Settings,
};
use crate::transport::{LostKind, shell::quote};
use russh::{
    AgentAuthError, MethodKind, MethodSet,
    client::{AuthResult, Handle},
    keys::{
        Algorithm, Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey,
        agent::{AgentIdentity, client::AgentClient},
    },
};
use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::net::UnixStream;

/// A way to prove it.
enum Offer {
    /// A key or a certificate that the agent signs for.
    Agent(AgentIdentity),
    /// A key file.
    File(Arc<PrivateKey>),
    /// A key file, and a certificate for it.
    Certified(Arc<PrivateKey>, Certificate),
    /// A certificate in a file, for a key of the agent.
    Lent(Certificate),
}

impl Offer {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Agent(AgentIdentity::PublicKey { key, .. }) => key.algorithm(),
            Self::Agent(AgentIdentity::Certificate { certificate, .. })
            | Self::Certified(_, certificate)
            | Self::Lent(certificate) => certificate.public_key().algorithm(),
            Self::File(key) => key.algorithm(),
        }
    }
    fn certified(&self) -> bool {
        !matches!(self, Self::File(_) | Self::Agent(AgentIdentity::PublicKey { .. }))
    }
}

/// Proves it, or says in ssh's words that it did not help.
pub(super) async fn login(handle: &mut Handle<Guard>, settings: &Settings) -> Result<(), (String, LostKind)> {
    let lost = |error: String| (error, LostKind::Unreachable);
    let mut notes = Vec::new();
    let mut agent = match &settings.agent {
        Some(path) => match AgentClient::connect_uds(path).await {
            Ok(mut agent) => {
                // so that keys for certain hosts only can be used; old agents know nothing of it
                if let Some(binding) = handle.agent_session_binding() {
                    let _bound = agent.bind_session(binding, false).await.is_ok();
                }
                Some(agent)
            }
            Err(error) => {
                notes.push(format!("the agent at {} does not answer: {error}", path.display()));
                None
            }
        },
        None => None,
    };
    let held = match &mut agent {
        Some(agent) => agent.request_identities().await.unwrap_or_else(|error| {
            notes.push(format!("the agent tells no keys: {error}"));
            Vec::new()
        }),
        None => Vec::new(),
    };
    let offers = offers(settings, held, &mut notes);
    let mut left = MethodSet::from(&[MethodKind::PublicKey][..]);
    if offers.is_empty() {
        // only to hear what would be asked for
        left = match handle.authenticate_none(settings.user.clone()).await {
            Ok(AuthResult::Success) => return Ok(()),
            Ok(AuthResult::Failure { remaining_methods, .. }) => remaining_methods,
            Err(error) => return Err(lost(error.to_string())),
        };
    }
    for offer in offers {
        if !left.contains(&MethodKind::PublicKey) {
            break;
        }
        let Some(hash) = hash(handle, settings, &offer).await.map_err(|e| lost(e.to_string()))? else { continue };
        match attempt(handle, &settings.user, offer, hash, agent.as_mut()).await {
            Ok(AuthResult::Success) => return Ok(()),
            Ok(AuthResult::Failure { partial_success: true, remaining_methods }) => {
                left = remaining_methods;
                notes.push(format!("the key is accepted, but {} is asked for, too", names(&left)));
                break;
            }
            // the server has hung up
            Ok(AuthResult::Failure { remaining_methods, .. }) if remaining_methods.is_empty() => break,
            Ok(AuthResult::Failure { remaining_methods, .. }) => left = remaining_methods,
            Err(Attempt::Signing(why)) => notes.push(why),
            Err(Attempt::Lost(why)) => return Err(lost(why)),
        }
    }
    if settings.gssapi && left.contains(&MethodKind::GssapiWithMic) {
        notes.push("GSSAPI is not supported by `client: native`; `client: openssh` is".to_owned());
    }
    let mut said = format!("{}: Permission denied ({})", settings.login(), names(&left));
    for note in notes {
        said += &format!("; {note}");
    }
    Err((said, LostKind::Denied))
}

fn names(methods: &MethodSet) -> String {
    methods.iter().map(<&str>::from).collect::<Vec<_>>().join(",")
}

enum Attempt {
    Signing(String),
    Lost(String),
}

impl From<russh::Error> for Attempt {
    fn from(error: russh::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

impl From<AgentAuthError> for Attempt {
    fn from(error: AgentAuthError) -> Self {
        match error {
            AgentAuthError::Send(error) => Self::Lost(error.to_string()),
            AgentAuthError::Key(error) => Self::Signing(format!("the agent did not sign: {error}")),
        }
    }
}

async fn attempt(
    handle: &mut Handle<Guard>,
    user: &str,
    offer: Offer,
    hash: Option<HashAlg>,
    agent: Option<&mut AgentClient<UnixStream>>,
) -> Result<AuthResult, Attempt> {
    let nobody = || Attempt::Signing("there is no agent to sign".to_owned());
    Ok(match offer {
        Offer::File(key) => handle.authenticate_publickey(user, PrivateKeyWithHashAlg::new(key, hash)).await?,
        Offer::Certified(key, certificate) => handle.authenticate_openssh_cert(user, key, certificate).await?,
        Offer::Agent(AgentIdentity::PublicKey { key, .. }) => {
            handle.authenticate_publickey_with(user, key, hash, agent.ok_or_else(nobody)?).await?
        }
        Offer::Agent(AgentIdentity::Certificate { certificate, .. }) | Offer::Lent(certificate) => {
            handle.authenticate_certificate_with(user, certificate, hash, agent.ok_or_else(nobody)?).await?
        }
    })
}

/// The hash to sign with, for RSA; none at all where this kind of key is not to be offered.
async fn hash(
    handle: &Handle<Guard>,
    settings: &Settings,
    offer: &Offer,
) -> Result<Option<Option<HashAlg>>, russh::Error> {
    let accepted = |name: &str| {
        let name = if offer.certified() { format!("{name}-cert-v01@openssh.com") } else { name.to_owned() };
        settings.user_keys.is_empty() || settings.user_keys.contains(&name)
    };
    match offer.algorithm() {
        Algorithm::Rsa { .. } => {
            let best = handle.best_supported_rsa_hash().await?;
            let wanted = [(Some(HashAlg::Sha512), "rsa-sha2-512"), (Some(HashAlg::Sha256), "rsa-sha2-256")];
            let fits = |hash: &Option<HashAlg>| best.is_none_or(|best| best == *hash || best == Some(HashAlg::Sha512));
            Ok(wanted.into_iter().find(|(hash, name)| accepted(name) && fits(hash)).map(|(hash, _)| hash))
        }
        // what such a key signs holds more than a signature
        Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => Ok(None),
        other => Ok(accepted(other.as_str()).then_some(None)),
    }
}

/// What is offered, in ssh's order: certificates, the agent's keys that are named, its others, files.
fn offers(settings: &Settings, held: Vec<AgentIdentity>, notes: &mut Vec<String>) -> Vec<Offer> {
    let (mut offers, mut files) = (Vec::new(), Vec::new());
    let in_agent = |key: &PublicKey| {
        held.iter().any(|i| matches!(i, AgentIdentity::PublicKey { key: k, .. } if k.key_data() == key.key_data()))
    };
    let mut named: Vec<PublicKey> = Vec::new();
    for path in &settings.identities {
        let public = beside(path, ".pub");
        let public = PublicKey::read_openssh_file(&public).or_else(|_| PublicKey::read_openssh_file(path)).ok();
        if let Some(public) = public.filter(in_agent) {
            named.push(public);
            continue;
        }
        match key(path) {
            Ok(Some(key)) if in_agent(key.public_key()) => named.push(key.public_key().clone()),
            Ok(Some(key)) => files.push(Arc::new(key)),
            Ok(None) => {}
            Err(why) => notes.push(why),
        }
    }
    if held.iter().any(|i| matches!(i, AgentIdentity::PublicKey { key, .. } if security(key))) {
        notes.push("keys of security tokens (sk-…) are not supported by `client: native`".to_owned());
    }
    let implied = settings.identities.iter().map(|path| beside(path, "-cert.pub"));
    for path in settings.certificates.iter().cloned().chain(implied) {
        let Ok(certificate) = russh::keys::load_openssh_certificate(&path) else { continue };
        let of = |key: &PublicKey| key.key_data() == certificate.public_key();
        if let Some(key) = files.iter().find(|key| of(key.public_key())) {
            offers.push(Offer::Certified(Arc::clone(key), certificate));
        } else if held.iter().any(|i| matches!(i, AgentIdentity::PublicKey { key, .. } if of(key))) {
            offers.push(Offer::Lent(certificate));
        }
    }
    let is_named = |identity: &AgentIdentity| match identity {
        AgentIdentity::PublicKey { key, .. } => named.iter().position(|n| n.key_data() == key.key_data()),
        AgentIdentity::Certificate { certificate, .. } => {
            named.iter().position(|n| n.key_data() == certificate.public_key())
        }
    };
    let (mut first, rest): (Vec<_>, Vec<_>) = held.into_iter().partition(|i| is_named(i).is_some());
    first.sort_by_key(|identity| is_named(identity));
    offers.extend(first.into_iter().map(Offer::Agent));
    if !settings.only {
        offers.extend(rest.into_iter().map(Offer::Agent));
    }
    offers.extend(files.into_iter().map(Offer::File));
    offers
}

fn security(key: &PublicKey) -> bool {
    matches!(key.algorithm(), Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A key in a file; none where there is no file. What is in it never stands in the reason why it cannot be used.
fn key(path: &Path) -> Result<Option<PrivateKey>, String> {
    let Ok(facts) = std::fs::metadata(path) else { return Ok(None) };
    let shown = path.display();
    if !facts.is_file() {
        return Ok(None);
    }
    if facts.uid() == rustix::process::getuid().as_raw() && facts.mode() & 0o077 != 0 {
        return Err(format!("the key {shown} is open to others, so it is ignored: chmod 600 it"));
    }
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(path).map_err(|e| format!("the key {shown}: {e}"))?);
    // the public half of a key that is kept elsewhere
    if PublicKey::from_openssh(text.trim()).is_ok() {
        return Ok(None);
    }
    match russh::keys::decode_secret_key(&text, None) {
        Ok(key) if key.is_encrypted() => Err(encrypted(path)),
        Ok(key) => Ok(Some(key)),
        Err(russh::keys::Error::KeyIsEncrypted) => Err(encrypted(path)),
        Err(_) => Err(format!("the key {shown} could not be read: no form that `client: native` knows")),
    }
}

fn encrypted(path: &Path) -> String {
    let word = quote(&path.to_string_lossy());
    format!("the key {} is encrypted: give it to the agent (ssh-add {word})", path.display())
}

impl From<russh::Error> for Broken {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}
