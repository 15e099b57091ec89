//! ACME (RFC 8555): an account that is made once, orders for requests that were made elsewhere, and what proves a name.
//! Every step can be taken twice, and a look tells how far an order is: whoever comes later goes on with the same one.

mod account;
mod client;
#[cfg(test)]
mod tests;
mod told;

use super::safe;
use crate::base::Secret;
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
    /// There is none for this request.
    None,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The name, without `*.`.
    pub name: String,
    /// The file's name for http-01.
    pub token: Option<String>,
    /// What the file must hold.
    pub answer: Option<String>,
    /// What a TXT record of `_acme-challenge.NAME` must hold for dns-01.
    pub record: Option<String>,
    /// The server is looking, or has looked.
    pub told: bool,
}

/// An order as its server shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How far it is.
    pub status: Status,
    /// What is still to be proven.
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
    /// Seconds since 1970.
    made: i64,
}

/// Orders older than this are forgotten: no server keeps one open so long.
const OLD: i64 = 30 * 24 * 3600;

impl Server {
    /// How far the order for a request is. `request` is the hash of its public key, in hexadecimal digits.
    ///
    /// # Errors
    /// The server could not be asked.
    pub async fn look(&self, request: &str) -> Result<Progress, AcmeError> {
        let nothing = Progress { status: Status::None, proofs: vec![], chain: None, wait: None };
        let Some((mut order, open)) = self.order(request).await? else { return Ok(nothing) };
        let said = |e: &instant_acme::Error| told::words(self, e, &open.patience);
        let wait = open.patience.asked().and_then(|wait| wait.parse().ok()).map(Duration::from_secs);
        let status = status(order.state());
        let (mut proofs, mut why) = (Vec::new(), None);
        if matches!(status, Status::Pending | Status::Invalid(_)) {
            let mut names = order.authorizations();
            while let Some(name) = names.next().await {
                let name = name.map_err(|e| said(&e))?;
                let failed = name.challenges.iter().find_map(|challenge| challenge.error.as_ref());
                if let Some(problem) = failed {
                    why = Some(format!("`{}`: it {}", name.identifier(), told::refusal(problem, &open.patience)));
                } else if !matches!(name.status, AuthorizationStatus::Pending | AuthorizationStatus::Valid) {
                    why = Some(format!("`{}`: its proof is {:?}", name.identifier(), name.status).to_lowercase());
                }
                if name.status == AuthorizationStatus::Pending {
                    proofs.push(proof(&name, open.account.key_thumbprint()));
                }
            }
        }
        let status = match (status, why) {
            (Status::Invalid(_) | Status::Pending, Some(why)) => Status::Invalid(why),
            (status, _) => status,
        };
        let chain = match status {
            Status::Valid => order.certificate().await.map_err(|e| said(&e))?,
            _ => None,
        };
        Ok(Progress { status, proofs, chain, wait })
    }

    /// Makes an order for a request, and keeps its address. An order for it that can still come to something stays.
    /// `replaces` is the certificate in DER that it comes after: a server may favour that (RFC 9773, 5).
    ///
    /// # Errors
    /// As the server says.
    pub async fn begin(&self, request: &str, names: &[String], replaces: Option<&[u8]>) -> Result<(), AcmeError> {
        if let Some((mut order, _)) = self.order(request).await?
            && !matches!(status(order.state()), Status::Invalid(_))
        {
            return Ok(());
        }
        let open = account::open_or_make(self).await?;
        let identifiers: Vec<Identifier> = names.iter().map(|name| identifier(name)).collect();
        let replaced = replaces.and_then(identity);
        let made = match replaced {
            Some(id) => match open.account.new_order(&NewOrder::new(&identifiers).replaces(id)).await {
                // what it replaces is a courtesy: a server that does not know the old one, or no courtesies, takes the order as it is
                Err(_) => open.account.new_order(&NewOrder::new(&identifiers)).await,
                made => made,
            },
            None => open.account.new_order(&NewOrder::new(&identifiers)).await,
        };
        let order = made.map_err(|e| told::words(self, &e, &open.patience))?;
        self.keep(request, order.url())
    }

    /// Tells the server that all names can be looked at.
    ///
    /// # Errors
    /// As the server says.
    pub async fn answer(&self, request: &str, kind: Kind) -> Result<(), AcmeError> {
        let Some((mut order, open)) = self.order(request).await? else { return Err(self.gone()) };
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
                        Kind::Http => "a file of a web server, as with names that begin with `*`",
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
    pub async fn finalize(&self, request: &str, csr: &[u8]) -> Result<(), AcmeError> {
        let Some((mut order, open)) = self.order(request).await? else { return Err(self.gone()) };
        // handed in before, by a process that did not live to hear it
        if matches!(status(order.state()), Status::Processing | Status::Valid) {
            return Ok(());
        }
        order.finalize_csr(csr).await.map_err(|e| told::words(self, &e, &open.patience))
    }

    /// Gives the order up: what is still to be proven is called off there, and nothing is kept of it here.
    ///
    /// # Errors
    /// What is kept cannot be taken away. A server that does not answer is no error: an order ends by itself.
    pub async fn forget(&self, request: &str) -> Result<(), AcmeError> {
        if let Ok(Some((mut order, _))) = self.order(request).await
            && matches!(status(order.state()), Status::Pending | Status::Ready)
        {
            let mut names = order.authorizations();
            while let Some(Ok(mut name)) = names.next().await {
                if name.status == AuthorizationStatus::Pending {
                    // a courtesy: open ones count against the account's limits
                    drop(name.deactivate().await.map(|_| ()));
                }
            }
        }
        let path = self.path(request);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(AcmeError::Refused(format!("could not remove `{}`: {e}", path.display())))
            }
            _ => Ok(()),
        }
    }

    /// When the server would like a certificate (DER) to be renewed (ARI, RFC 9773); none: it does not say.
    ///
    /// # Errors
    /// The server could not be asked.
    pub async fn window(&self, certificate: &[u8]) -> Result<Option<(Timestamp, Timestamp)>, AcmeError> {
        let Some(id) = identity(certificate) else { return Ok(None) };
        let Some(open) = account::open(self).await? else { return Ok(None) };
        match open.account.renewal_info(&id).await {
            Ok((info, _)) => {
                let window = info.suggested_window;
                let at = |time: i64| Timestamp::from_second(time).ok();
                Ok(at(window.start.unix_timestamp()).zip(at(window.end.unix_timestamp())))
            }
            Err(instant_acme::Error::Unsupported(_) | instant_acme::Error::Api(_)) => Ok(None),
            Err(e) => Err(told::words(self, &e, &open.patience)),
        }
    }

    /// The order that is kept for a request, as its server shows it now.
    async fn order(&self, request: &str) -> Result<Option<(Order, account::Open)>, AcmeError> {
        let path = self.path(request);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(AcmeError::Refused(format!("could not read `{}`: {e}", path.display()))),
        };
        // half a line is no order: it is made anew
        let Ok(kept) = serde_json::from_slice::<Kept>(&text) else { return Ok(None) };
        if kept.directory != self.directory {
            return Ok(None);
        }
        let Some(open) = account::open(self).await? else { return Ok(None) };
        match open.account.order(kept.url).await {
            Ok(order) => Ok(Some((order, open))),
            // it was so long ago that the server has forgotten it
            Err(instant_acme::Error::Api(problem)) if problem.status == Some(404) => Ok(None),
            Err(e) => Err(told::words(self, &e, &open.patience)),
        }
    }

    fn keep(&self, request: &str, url: &str) -> Result<(), AcmeError> {
        let path = self.path(request);
        let failed = |e: std::io::Error| AcmeError::Refused(format!("could not write `{}`: {e}", path.display()));
        let folder = self.folder.join("orders");
        safe::private_folder(&folder).map_err(failed)?;
        let made = Timestamp::now().as_second();
        for old in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let kept = fs::read(old.path()).ok().and_then(|text| serde_json::from_slice::<Kept>(&text).ok());
            if kept.is_some_and(|kept| kept.made < made - OLD) {
                drop(fs::remove_file(old.path()));
            }
        }
        let kept = Kept { url: url.to_owned(), directory: self.directory.clone(), made };
        let text = serde_json::to_vec(&kept).map_err(|e| failed(e.into()))?;
        safe::write(&path, &text, safe::PRIVATE).map_err(failed)
    }

    fn path(&self, request: &str) -> PathBuf {
        let name: String = request.chars().filter(char::is_ascii_hexdigit).collect();
        self.folder.join("orders").join(format!("{name}.json"))
    }

    fn gone(&self) -> AcmeError {
        AcmeError::Refused(format!("`{}` has no order for this request any more", self.name))
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
    let told = name.challenges.iter().any(|challenge| challenge.status != ChallengeStatus::Pending);
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
    Proof { name: plain, token: token.filter(|token| is_plain(token)), answer, record, told }
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
