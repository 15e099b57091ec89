//! ACME (RFC 8555): an account that is made once, orders for requests that were made elsewhere, and what proves a name.
//! Every step can be taken twice, and a look tells how far an order is: whoever comes later goes on with the same one.

mod account;
mod client;
mod given;
#[cfg(test)]
mod tests;
mod told;

pub use given::Window;

use super::safe;
use crate::base::{Hash, Secret};
use instant_acme::{
    AuthorizationState, AuthorizationStatus, CertificateIdentifier, ChallengeStatus, ChallengeType, Identifier,
    NewOrder, Order, OrderState, OrderStatus,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fs, net::IpAddr, path::PathBuf, time::Duration};

/// An ACME server as an issuer, and where what svcops keeps of it lies.
#[derive(Clone, Debug)]
pub struct Server {
    /// The issuer's name in `svcops.yaml`.
    pub name: String,
    /// The URL of its directory.
    pub directory: String,
    /// A PEM file with whom to trust when speaking to it; none: the system's store.
    pub ca: Option<PathBuf>,
    /// `mailto:` addresses.
    pub contact: Vec<String>,
    /// The identifier and the MAC key (base64url) of an account that exists elsewhere.
    pub eab: Option<(String, Secret)>,
    /// Account and orders: made 0700, its files 0600.
    pub folder: PathBuf,
}

/// Why a step was not taken, in words that say what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcmeError {
    /// Somebody said no.
    #[error("{0}")]
    Refused(String),
    /// There was no answer, or none that can be understood.
    #[error("{0}")]
    Silent(String),
}

/// How far an order is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// The server does not answer now, and why; the rest is what is remembered.
    Silent(String),
    /// Names are still to be proven.
    Pending,
    /// All names are proven.
    Ready,
    /// The certificate is being made.
    Processing,
    /// The certificate can be had.
    Valid,
    /// Nothing will come of it, and why.
    Invalid(String),
}

/// What proves a name to the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The name, without `*.`.
    pub name: String,
    /// The file's name for http-01.
    pub token: Option<String>,
    /// What the file must hold.
    pub answer: Option<String>,
    /// What a TXT record of `_acme-challenge.NAME` must hold for dns-01.
    pub record: Option<String>,
    /// It was proven before this order was made.
    pub met: bool,
}

/// An order as its server shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The public key of the request that it was made for.
    pub spki: String,
    /// How far it is.
    pub status: Status,
    /// What proves its names: all there ever was, for who has to take it away again.
    pub proofs: Vec<Proof>,
    /// The chain in PEM, the leaf first, once it can be had.
    pub chain: Option<String>,
    /// The server wants to be left alone for so long.
    pub wait: Option<Duration>,
}

/// How a name is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A TXT record.
    Dns,
    /// A file of a web server.
    Http,
}

/// What is kept of an order.
#[derive(Serialize, Deserialize)]
struct Kept {
    url: String,
    directory: String,
    spki: String,
    proofs: Vec<Proof>,
    /// Seconds since 1970.
    made: i64,
}

/// Orders older than this are forgotten: no server keeps one open so long.
const OLD: i64 = 30 * 24 * 3600;

impl Server {
    /// How far the order for a subject is; none: there is none. A server that does not answer is told in the status.
    ///
    /// # Errors
    /// What is kept of it cannot be used.
    pub async fn look(&self, subject: &str) -> Result<Option<Progress>, AcmeError> {
        let Some(kept) = self.kept(subject)? else { return Ok(None) };
        let (spki, proofs) = (kept.spki.clone(), kept.proofs.clone());
        let of = |status, chain, wait| Some(Progress { spki, status, proofs, chain, wait });
        match self.progress(kept).await {
            Ok(Some((status, chain, wait))) => {
                if let Some(chain) = &chain {
                    self.remember(subject, chain, Timestamp::now());
                }
                Ok(of(status, chain, wait))
            }
            Ok(None) => Ok(of(Status::Invalid(format!("`{}` knows the order no more", self.name)), None, None)),
            Err(AcmeError::Silent(why)) => Ok(of(Status::Silent(why), None, None)),
            Err(refused) => Err(refused),
        }
    }

    async fn progress(&self, kept: Kept) -> Result<Option<(Status, Option<String>, Option<Duration>)>, AcmeError> {
        let Some((mut order, open)) = self.order(kept).await? else { return Ok(None) };
        let said = |e: &instant_acme::Error| told::words(self, e, &open.patience);
        let wait = open.patience.asked().and_then(|wait| wait.parse().ok()).map(Duration::from_secs);
        let mut status = status(order.state());
        if matches!(status, Status::Pending | Status::Invalid(_)) {
            let mut names = order.authorizations();
            while let Some(name) = names.next().await {
                let name = name.map_err(|e| said(&e))?;
                let failed = name.challenges.iter().find_map(|challenge| challenge.error.as_ref());
                if let Some(problem) = failed {
                    let why = told::refusal(problem, &open.patience);
                    status = Status::Invalid(format!("of `{}` `{}` {why}", name.identifier(), self.name));
                } else if !matches!(name.status, AuthorizationStatus::Pending | AuthorizationStatus::Valid) {
                    let is = format!("{:?}", name.status).to_lowercase();
                    status = Status::Invalid(format!("the proof of `{}` is {is}", name.identifier()));
                }
            }
        }
        let chain = match status {
            Status::Valid => order.certificate().await.map_err(|e| said(&e))?,
            _ => None,
        };
        Ok(Some((status, chain, wait)))
    }

    /// Makes an order for a subject and the public key of its request, and keeps it. One that can still come to something
    /// stays. A server is told which certificate it comes after: it may favour that (RFC 9773, 5).
    ///
    /// # Errors
    /// As the server says.
    pub async fn begin(&self, subject: &str, spki: &str, names: &[String]) -> Result<(), AcmeError> {
        if let Some(kept) = self.kept(subject)?.filter(|kept| kept.spki == spki)
            && let Some((status, ..)) = self.progress(kept).await?
            && !matches!(status, Status::Invalid(_))
        {
            return Ok(());
        }
        let open = account::open_or_make(self).await?;
        let said = |e: &instant_acme::Error| told::words(self, e, &open.patience);
        let identifiers: Vec<Identifier> = names.iter().map(|name| identifier(name)).collect();
        let replaced = match self.replaced(subject) {
            // a courtesy: a server that does not know the old one, or no courtesies, takes the order as it is
            Some(id) => open.account.new_order(&NewOrder::new(&identifiers).replaces(id)).await.ok(),
            None => None,
        };
        let mut order = match replaced {
            Some(order) => order,
            None => open.account.new_order(&NewOrder::new(&identifiers)).await.map_err(|e| said(&e))?,
        };
        let mut proofs = Vec::new();
        let mut asked = order.authorizations();
        while let Some(name) = asked.next().await {
            let name = name.map_err(|e| said(&e))?;
            proofs.push(proof(&name, open.account.key_thumbprint()));
        }
        let (url, directory) = (order.url().to_owned(), self.directory.clone());
        let made = Timestamp::now().as_second();
        self.keep(subject, &Kept { url, directory, spki: spki.to_owned(), proofs, made })
    }

    /// Tells the server that all names can be looked at.
    ///
    /// # Errors
    /// As the server says.
    pub async fn answer(&self, subject: &str, kind: Kind) -> Result<(), AcmeError> {
        let (mut order, open) = self.known(subject).await?;
        let said = |e: &instant_acme::Error| told::words(self, e, &open.patience);
        let mut names = order.authorizations();
        while let Some(name) = names.next().await {
            let mut name = name.map_err(|e| said(&e))?;
            if name.status != AuthorizationStatus::Pending {
                continue;
            }
            let whose = name.identifier().to_string();
            let Some(mut challenge) = name.challenge(wire_kind(kind)) else {
                return Err(AcmeError::Refused(format!(
                    "`{}` does not let `{whose}` be proven by {}",
                    self.name,
                    match kind {
                        Kind::Dns => "a record of the DNS",
                        Kind::Http => "a file of a web server",
                    }
                )));
            };
            if challenge.status == ChallengeStatus::Pending {
                challenge.set_ready().await.map_err(|e| said(&e))?;
            }
        }
        Ok(())
    }

    /// Hands the request in (DER): all names are proven.
    ///
    /// # Errors
    /// As the server says.
    pub async fn finalize(&self, subject: &str, csr: &[u8]) -> Result<(), AcmeError> {
        let (mut order, open) = self.known(subject).await?;
        // handed in before, by a process that did not live to hear it
        if matches!(status(order.state()), Status::Processing | Status::Valid) {
            return Ok(());
        }
        order.finalize_csr(csr).await.map_err(|e| told::words(self, &e, &open.patience))
    }

    /// What is kept of the order for a subject.
    fn kept(&self, subject: &str) -> Result<Option<Kept>, AcmeError> {
        let path = self.path(subject);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(AcmeError::Refused(format!("could not read `{}`: {e}", path.display()))),
        };
        // half a line is no order: it is made anew
        let kept = serde_json::from_slice::<Kept>(&text).ok();
        Ok(kept.filter(|kept| kept.directory == self.directory))
    }

    /// That order as its server shows it now; none: it was so long ago that the server has forgotten it.
    async fn order(&self, kept: Kept) -> Result<Option<(Order, account::Open)>, AcmeError> {
        let Some(open) = account::open(self).await? else { return Ok(None) };
        match open.account.order(kept.url).await {
            Ok(order) => Ok(Some((order, open))),
            Err(instant_acme::Error::Api(problem)) if problem.status == Some(404) => Ok(None),
            Err(e) => Err(told::words(self, &e, &open.patience)),
        }
    }

    async fn known(&self, subject: &str) -> Result<(Order, account::Open), AcmeError> {
        let order = match self.kept(subject)? {
            Some(kept) => self.order(kept).await?,
            None => None,
        };
        order.ok_or_else(|| AcmeError::Refused(format!("`{}` has no order for this request any more", self.name)))
    }

    fn keep(&self, subject: &str, kept: &Kept) -> Result<(), AcmeError> {
        let path = self.path(subject);
        let failed = |e: std::io::Error| AcmeError::Refused(format!("could not write `{}`: {e}", path.display()));
        let folder = self.folder.join("orders");
        safe::private_folder(&folder).map_err(failed)?;
        for old in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let other = fs::read(old.path()).ok().and_then(|text| serde_json::from_slice::<Kept>(&text).ok());
            if other.is_some_and(|other| other.made < kept.made - OLD) {
                drop(fs::remove_file(old.path()));
            }
        }
        let text = serde_json::to_vec(kept).map_err(|e| failed(e.into()))?;
        safe::write(&path, &text, safe::PRIVATE).map_err(failed)
    }

    fn path(&self, subject: &str) -> PathBuf {
        self.folder.join("orders").join(format!("{}.json", Hash::of(subject.as_bytes()).0))
    }
}

fn status(state: &OrderState) -> Status {
    let problem = state.error.as_ref().map(|problem| told::refusal(problem, &client::Patience::default()));
    match state.status {
        OrderStatus::Pending => Status::Pending,
        OrderStatus::Ready => Status::Ready,
        OrderStatus::Processing => Status::Processing,
        OrderStatus::Valid => Status::Valid,
        OrderStatus::Invalid => Status::Invalid(problem.unwrap_or_else(|| "the order is no longer valid".to_owned())),
    }
}

/// What both ways of proving take: both say the token and the account's key (RFC 8555, 8.1).
fn proof(name: &AuthorizationState, thumbprint: &str) -> Proof {
    let met = name.status == AuthorizationStatus::Valid;
    let plain = match name.identifier().identifier {
        Identifier::Dns(name) => name.clone(),
        Identifier::Ip(address) => address.to_string(),
        other => other.authorized(false).to_string(),
    };
    let of = |kind: &ChallengeType| {
        let challenge = name.challenges.iter().find(|challenge| challenge.r#type == *kind)?;
        Some((challenge.token.clone(), format!("{}.{thumbprint}", challenge.token)))
    };
    let (token, answer) = of(&ChallengeType::Http01).unzip();
    let record = of(&ChallengeType::Dns01).map(|(_, answer)| {
        super::base64url(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, answer.as_bytes()).as_ref())
    });
    Proof { name: plain, token: token.filter(|token| is_plain(token)), answer, record, met }
}

/// A token names a file on a host: whoever makes one up cannot name another file (RFC 8555, 8.3: base64url).
fn is_plain(token: &str) -> bool {
    (16..=256).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

const fn wire_kind(kind: Kind) -> ChallengeType {
    match kind {
        Kind::Dns => ChallengeType::Dns01,
        Kind::Http => ChallengeType::Http01,
    }
}

fn identifier(name: &str) -> Identifier {
    name.parse::<IpAddr>().map_or_else(|_| Identifier::Dns(name.to_owned()), Identifier::Ip)
}

/// How a server names a certificate of its own (RFC 9773, 4.1); none: it names no key of its issuer.
fn identity(der: &[u8]) -> Option<CertificateIdentifier<'static>> {
    use x509_parser::{extensions::ParsedExtension, prelude::FromDer as _};
    let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(der).ok()?;
    let key = certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(key) => key.key_identifier.as_ref().map(|key| key.0),
        _ => None,
    })?;
    Some(CertificateIdentifier::new(key.into(), certificate.tbs_certificate.raw_serial().into()).into_owned())
}
