//! Certificate signing requests (RFC 2986).

use super::{
    facts::{Name, Signature, hex, name, signature_of, words},
    key::KeyKind,
    verify::{self, Checked},
};
use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;
use x509_parser::{
    certification_request::X509CertificationRequest, extensions::ParsedExtension, prelude::FromDer as _,
};

/// What somebody asks to be certified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Request {
    /// Whom it is to be for.
    pub subject: String,
    /// The names it is to be for.
    pub names: Vec<Name>,
    /// Its public key.
    pub key: KeyKind,
    /// How it was signed.
    pub signature: Signature,
    /// Whether who asks holds the key: the request is signed with it. None: signed in a way that is not known here.
    pub proven: Option<bool>,
    /// Whether it asks to become a CA.
    pub ca: bool,
    /// Its public key in DER: `SubjectPublicKeyInfo`.
    #[serde(skip)]
    pub spki: Vec<u8>,
    /// SHA-256 of its public key (`SubjectPublicKeyInfo`), hexadecimal.
    pub key_fingerprint: String,
}

/// Why bytes are no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a certificate signing request: {0}")]
pub struct BadRequest(String);

impl Request {
    /// Reads DER.
    ///
    /// # Errors
    /// The bytes are none, or more than one.
    pub fn from_der(der: &[u8]) -> Result<Self, BadRequest> {
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|e| BadRequest(e.to_string()))?;
        if !rest.is_empty() {
            return Err(BadRequest(format!("{} bytes follow it", rest.len())));
        }
        let asked = &request.certification_request_info;
        let checked = verify::check(
            &request.signature_algorithm,
            &asked.subject_pki,
            asked.raw,
            request.signature_value.data.as_ref(),
        );
        let (mut names, mut ca) = (Vec::new(), false);
        for extension in request.requested_extensions().into_iter().flatten() {
            match extension {
                ParsedExtension::SubjectAlternativeName(said) => names = said.general_names.iter().map(name).collect(),
                ParsedExtension::BasicConstraints(basic) => ca = basic.ca,
                _ => {}
            }
        }
        Ok(Self {
            subject: words(&asked.subject),
            names,
            key: KeyKind::of(&asked.subject_pki),
            signature: signature_of(&request.signature_algorithm),
            proven: match checked {
                Checked::Right => Some(true),
                Checked::Wrong => Some(false),
                Checked::Unknown => None,
            },
            ca,
            spki: asked.subject_pki.raw.to_vec(),
            key_fingerprint: hex(digest(&SHA256, asked.subject_pki.raw).as_ref()),
        })
    }
}
