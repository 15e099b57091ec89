//! Connects to where a certificate is served and looks at what is shown there. Judges nothing: `judge` does.

mod before;
mod endpoint;
mod legacy;

pub use endpoint::{BadEndpoint, Before, Endpoint};

use crate::cert::facts::Certificate;
use futures_util::FutureExt as _;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::CertifiedKey,
};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// What an endpoint showed.
#[derive(Clone, Debug)]
pub struct Seen {
    /// In the order in which they came; the first is the server's.
    pub chain: Vec<Certificate>,
    /// Certificates that do not read, with why.
    pub unreadable: Vec<(usize, String)>,
    /// A stapled OCSP answer, DER.
    pub stapled: Option<Vec<u8>>,
    /// `TLS 1.3`.
    pub version: String,
    /// The cipher suite, by IANA's name.
    pub suite: String,
    /// Whom it was.
    pub address: SocketAddr,
    /// Whether it asked for a certificate of the client.
    pub asks_client: bool,
    /// What it said when it refused the certificate that it was shown.
    pub refused: Option<String>,
    /// What clients of today do not speak, if the server speaks nothing else.
    pub outdated: Option<String>,
}

/// Why nothing was shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// The name leads nowhere.
    #[error("the name `{0}` is not known here: {1}")]
    Name(String, String),
    /// No connection.
    #[error("no connection to {0}: {1}")]
    Connect(String, String),
    /// Not in time; what it was at.
    #[error("no answer within {0} s, while {1}")]
    Late(u64, &'static str),
    /// The protocol before TLS did not get there.
    #[error("{0}")]
    NoStartTls(String),
    /// It is not TLS, or TLS failed.
    #[error("TLS: {0}")]
    Tls(String),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broke(String),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Broke("the other end closed it".to_owned()),
            _ => Self::Broke(crate::base::words::io(&error)),
        }
    }
}

/// How to look.
#[derive(Clone)]
pub struct Dial {
    /// For all of one endpoint, the connection included.
    pub within: Duration,
    /// What to show where a client's certificate is asked for.
    pub client: Option<Arc<CertifiedKey>>,
}

impl Dial {
    /// Looks at one endpoint. Of several addresses of its name each is tried until one answers.
    ///
    /// # Errors
    /// No certificate was shown, and why.
    pub async fn look(&self, at: &Endpoint) -> Result<Seen, Failed> {
        let end = time::Instant::now() + self.within;
        let late = |at| Failed::Late(self.within.as_secs(), at);
        let named = format!("{}:{}", at.host, at.port);
        let addresses: Vec<SocketAddr> = time::timeout_at(end, tokio::net::lookup_host((at.host.as_str(), at.port)))
            .await
            .map_err(|_| late("asking for its address"))?
            .map_err(|e| Failed::Name(at.host.clone(), e.to_string()))?
            .collect();
        let mut last = Failed::Name(at.host.clone(), "it has no address".to_owned());
        for (i, address) in addresses.iter().enumerate() {
            // each of several gets its share: one that is silent must not cost the others
            let left = end.saturating_duration_since(time::Instant::now());
            let share = left / u32::try_from(addresses.len() - i).unwrap_or(1);
            let connected = time::timeout(share, TcpStream::connect(address)).await;
            match connected {
                Ok(Ok(io)) => {
                    return time::timeout_at(end, self.shown(at, *address, io))
                        .await
                        .map_err(|_| late("it was to show its certificate"))?;
                }
                Ok(Err(e)) => last = Failed::Connect(named.clone(), words(&e)),
                Err(_) => last = late("connecting"),
            }
        }
        Err(last)
    }

    async fn shown(&self, at: &Endpoint, address: SocketAddr, mut io: TcpStream) -> Result<Seen, Failed> {
        let _quick = io.set_nodelay(true).is_ok();
        before::ask(at.before, &mut io).await?;
        match self.modern(at, address, io).await {
            Err(Modern::Outdated(why)) => {
                let mut io =
                    TcpStream::connect(address).await.map_err(|e| Failed::Connect(address.to_string(), words(&e)))?;
                before::ask(at.before, &mut io).await?;
                // what the first said is nearer to what other clients hear
                legacy::look(at, address, io).await.map_err(|_| Failed::Tls(why))
            }
            Err(Modern::Failed(failed)) => Err(failed),
            Ok(seen) => Ok(seen),
        }
    }

    async fn modern(&self, at: &Endpoint, address: SocketAddr, io: TcpStream) -> Result<Seen, Modern> {
        let recorder = Arc::new(Recorder::default());
        let asked = Arc::new(Asked { client: self.client.clone(), by_server: Mutex::default() });
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| Modern::Failed(Failed::Tls(e.to_string())))?;
        let verifier = Arc::clone(&recorder);
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::clone(&asked) as Arc<dyn ResolvesClientCert>);
        config.resumption = rustls::client::Resumption::disabled();
        let name = at.wanted().map_or_else(|| at.host.clone(), |wanted| wanted.to_string());
        let name = ServerName::try_from(name).map_err(|e| Modern::Failed(Failed::Tls(e.to_string())))?;
        let mut ended = TlsConnector::from(Arc::new(config)).connect(name, io).await;
        let asks_client = *asked.by_server.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = if asks_client && self.client.is_some() { no_to_client(&mut ended).await } else { None };
        if let Ok(tls) = &mut ended {
            // said goodbye to, no server logs that its client broke off; it is not waited for
            let _polite = tls.shutdown().now_or_never();
        }
        let record = recorder.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (version, suite) = match &ended {
            Ok(tls) => {
                let (_, session) = tls.get_ref();
                (
                    session.protocol_version().map(version_name),
                    session.negotiated_cipher_suite().map(|s| format!("{:?}", s.suite())),
                )
            }
            Err(_) => (None, None),
        };
        let Some((ders, stapled)) = record else {
            return Err(match ended {
                Ok(_) => Modern::Failed(Failed::Tls("it showed no certificate".into())),
                Err(e) => refusal(&e),
            });
        };
        // a server that wants a certificate of us may end it there: it has shown its own by then
        let (chain, unreadable) = read(&ders);
        Ok(Seen {
            chain,
            unreadable,
            stapled,
            version: version.unwrap_or_else(|| "TLS".to_owned()),
            suite: suite.unwrap_or_default().replace("TLS13_", "TLS_"),
            address,
            asks_client,
            refused,
            outdated: None,
        })
    }
}

/// What a server said that refused the certificate of its client. In TLS 1.3 that comes after the handshake has ended well
/// (RFC 8446, 4.4.2.4), so it is waited for a moment.
async fn no_to_client(ended: &mut io::Result<TlsStream<TcpStream>>) -> Option<String> {
    let alert = |error: &io::Error| match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => Some(format!("alert {alert:?}")),
        _ => None,
    };
    match ended {
        Err(error) => alert(error),
        Ok(tls) => {
            let said = time::timeout(AFTERWARDS, tls.read(&mut [0; 1])).await;
            said.ok().and_then(Result::err).and_then(|error| alert(&error))
        }
    }
}

/// So long a refusal may be on its way.
const AFTERWARDS: Duration = Duration::from_millis(500);

/// What all handshakes and all judgements are made with.
pub fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    &PROVIDER
}

enum Modern {
    /// It speaks nothing that is spoken today.
    Outdated(String),
    Failed(Failed),
}

fn refusal(error: &io::Error) -> Modern {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let text = tls.map_or_else(|| error.to_string(), ToString::to_string);
    match tls {
        Some(
            rustls::Error::AlertReceived(
                rustls::AlertDescription::ProtocolVersion
                | rustls::AlertDescription::HandshakeFailure
                | rustls::AlertDescription::InsufficientSecurity,
            )
            | rustls::Error::PeerIncompatible(_),
        ) => Modern::Outdated(text),
        Some(rustls::Error::InvalidMessage(_)) => {
            Modern::Failed(Failed::Tls(format!("it speaks no TLS there: {text}")))
        }
        Some(_) => Modern::Failed(Failed::Tls(text)),
        // some old ones just hang up
        None if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            Modern::Outdated("it hung up during the handshake".to_owned())
        }
        None => Modern::Failed(Failed::Broke(text)),
    }
}

/// Certificates of one chain, each by itself: one that does not read must not hide the others.
fn read(ders: &[Vec<u8>]) -> (Vec<Certificate>, Vec<(usize, String)>) {
    let (mut chain, mut unreadable) = (Vec::new(), Vec::new());
    for (at, der) in ders.iter().enumerate() {
        match Certificate::from_der(der) {
            Ok(cert) => chain.push(cert),
            Err(why) => unreadable.push((at, why.to_string())),
        }
    }
    (chain, unreadable)
}

fn version_name(version: rustls::ProtocolVersion) -> String {
    match version {
        rustls::ProtocolVersion::TLSv1_3 => "TLS 1.3".to_owned(),
        rustls::ProtocolVersion::TLSv1_2 => "TLS 1.2".to_owned(),
        other => format!("{other:?}"),
    }
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
        _ => crate::base::words::io(error),
    }
}

type Shown = (Vec<Vec<u8>>, Option<Vec<u8>>);

/// Takes every chain and writes it down. A scan reads what is served, with keys and signatures that no client would take.
#[derive(Debug, Default)]
struct Recorder(Mutex<Option<Shown>>);

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(end).chain(others).map(|der| der.to_vec()).collect();
        let stapled = (!ocsp.is_empty()).then(|| ocsp.to_vec());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((chain, stapled));
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ECDSA_NISTP384_SHA384,
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::ED25519,
            SignatureScheme::ED448,
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PSS_SHA384,
            SignatureScheme::RSA_PSS_SHA512,
            SignatureScheme::RSA_PKCS1_SHA256,
            SignatureScheme::RSA_PKCS1_SHA384,
            SignatureScheme::RSA_PKCS1_SHA512,
            SignatureScheme::RSA_PKCS1_SHA1,
            SignatureScheme::ECDSA_SHA1_Legacy,
        ]
    }
}

/// Shows the client's certificate, and writes down that it was asked for.
#[derive(Debug)]
struct Asked {
    client: Option<Arc<CertifiedKey>>,
    by_server: Mutex<bool>,
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        *self.by_server.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.client.clone()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
