//! The way to an ACME server: HTTPS with a deadline a request, a bound a response, and roots of its own where it is a
//! private one's. What `instant-acme` brings itself has neither.

use super::AcmeError;
use bytes::Bytes;
use http::{Request, Response, header::RETRY_AFTER};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use reqwest::{Body, Certificate, Client, redirect::Policy};
use std::{
    error::Error as StdError,
    future::Future,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(30);
/// A chain has some kilobytes; what is larger is there to cost memory.
const MOST_BYTES: usize = 1 << 20;

/// What the last answer wants to be waited for; shared with the client that hears it.
#[derive(Clone, Default)]
pub(super) struct Patience(Arc<Mutex<Option<String>>>);

impl Patience {
    /// As the server wrote it: seconds, or a date.
    pub(super) fn asked(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    fn hear(&self, said: Option<&http::HeaderValue>) {
        let said = said.and_then(|value| value.to_str().ok()).map(str::to_owned);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = said;
    }
}

/// One connection pool.
pub(super) struct Way {
    client: Client,
    patience: Patience,
}

impl Way {
    /// Trusts the roots of a PEM file alone, else the system's.
    pub(super) fn new(ca: Option<&Path>, patience: Patience) -> Result<Self, AcmeError> {
        let mut builder = Client::builder()
            .https_only(true)
            .redirect(Policy::none())
            .timeout(REQUEST)
            .connect_timeout(Duration::from_secs(10));
        if let Some(path) = ca {
            let shown = path.display();
            let pem = std::fs::read(path).map_err(|e| {
                AcmeError::Refused(format!("could not read `{shown}`, which `ca` of the issuer names: {e}"))
            })?;
            let roots = Certificate::from_pem_bundle(&pem).ok().filter(|roots| !roots.is_empty());
            let roots = roots.ok_or_else(|| AcmeError::Refused(format!("`{shown}` holds no certificate")))?;
            builder = builder.tls_certs_only(roots);
        }
        let client = builder.build().map_err(|e| AcmeError::Refused(format!("no HTTPS request can be made: {e}")))?;
        Ok(Self { client, patience })
    }
}

impl HttpClient for Way {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (client, patience) = (self.client.clone(), self.patience.clone());
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let request = reqwest::Request::try_from(Request::from_parts(parts, Body::wrap(body))).map_err(other)?;
            let mut answer = client.execute(request).await.map_err(other)?;
            patience.hear(answer.headers().get(RETRY_AFTER));
            let mut bytes = Vec::new();
            while let Some(part) = answer.chunk().await.map_err(other)? {
                bytes.extend_from_slice(&part);
                if bytes.len() > MOST_BYTES {
                    return Err(Error::Str("an answer of at most 1 MiB"));
                }
            }
            let (parts, ()) = {
                let mut response = Response::new(());
                *response.status_mut() = answer.status();
                *response.headers_mut() = std::mem::take(answer.headers_mut());
                response.into_parts()
            };
            Ok(BytesResponse { parts, body: Box::new(Bytes::from(bytes)) })
        })
    }
}

/// The deepest reason: what lies above it says only that a request failed.
fn other(error: reqwest::Error) -> Error {
    if error.is_timeout() {
        return Error::Other(format!("no answer within {}", crate::base::Span(REQUEST)).into());
    }
    let mut deepest: &dyn StdError = &error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let text = deepest.to_string();
    Error::Other(text.split(" (os error").next().unwrap_or(&text).to_lowercase().into())
}
