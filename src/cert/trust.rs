//! Whom to trust: the system's store, or a file of one's own.

use super::{facts::Certificate, pem};
use crate::base::words;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use std::{path::Path, sync::Arc};

/// A set of trusted roots and the name it is told by.
#[derive(Clone, Debug)]
pub struct Trust {
    /// As it is shown: `the system's store`, `ca.crt`.
    pub name: String,
    anchors: Arc<Vec<Certificate>>,
    /// The same for the verifier of rustls: thousands of chains are held against one store.
    for_rustls: Arc<Vec<TrustAnchor<'static>>>,
}

/// Why a trust store cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BadTrust {
    /// The file cannot be read.
    #[error("{0}: {1}")]
    Io(String, String),
    /// There is no certificate in it.
    #[error("{0}: no certificate in it")]
    Empty(String),
    /// What is in it does not read.
    #[error("{0}: {1}")]
    Bad(String, pem::BadPem),
}

impl Trust {
    /// What this system trusts, by the rules of OpenSSL (`SSL_CERT_FILE`, `SSL_CERT_DIR`, the distribution's places). It may
    /// be nobody, which its name says then.
    #[must_use]
    pub fn system() -> Self {
        let found = rustls_native_certs::load_native_certs();
        // a store of hundreds may hold one that is odd: it is not trusted, the others are
        let anchors: Vec<Certificate> = found.certs.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
        let name = if anchors.is_empty() { "the system's store, which is empty" } else { "the system's store" };
        Self::of(name.to_owned(), anchors)
    }

    /// The certificates of one file, PEM or DER. All are trusted, roots or not.
    ///
    /// # Errors
    /// It cannot be read, or has none.
    pub fn file(path: &Path) -> Result<Self, BadTrust> {
        let name = path.display().to_string();
        let bytes = pem::read(path).map_err(|e| BadTrust::Io(name.clone(), words::io(&e)))?;
        let pieces = pem::Pieces::read(&bytes).map_err(|e| BadTrust::Bad(name.clone(), e))?;
        if pieces.certificates.is_empty() {
            return Err(BadTrust::Empty(name));
        }
        Ok(Self::of(name, pieces.certificates))
    }

    /// These.
    #[must_use]
    pub fn of(name: String, anchors: Vec<Certificate>) -> Self {
        let read = |cert: &Certificate| {
            let der = CertificateDer::from(cert.der());
            webpki::anchor_from_trusted_cert(&der).ok().map(|anchor| anchor.to_owned())
        };
        let for_rustls = Arc::new(anchors.iter().filter_map(read).collect());
        Self { name, anchors: Arc::new(anchors), for_rustls }
    }

    /// All of them.
    #[must_use]
    pub fn anchors(&self) -> &[Certificate] {
        &self.anchors
    }

    /// All of them that the verifier of rustls can read.
    pub(super) fn for_rustls(&self) -> &[TrustAnchor<'static>] {
        &self.for_rustls
    }

    /// Whether this very certificate is trusted.
    #[must_use]
    pub fn holds(&self, cert: &Certificate) -> bool {
        self.anchors.contains(cert)
    }
}
