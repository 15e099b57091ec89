//! One certificate: its bytes, and what they say.

use super::key::KeyKind;
use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use serde::Serialize;
use std::{fmt, net::IpAddr, sync::Arc};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{DistributionPointName, GeneralName, ParsedExtension},
    prelude::FromDer as _,
    time::ASN1Time,
    x509::{AlgorithmIdentifier, RelativeDistinguishedName, X509Name},
};

/// A certificate (RFC 5280), read whole. Cheap to clone.
#[derive(Clone)]
pub struct Certificate {
    der: Arc<[u8]>,
    facts: Arc<Facts>,
}

/// What a certificate says of itself. Nothing of it is believed for being said: `judge` holds it against others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Whom it is for: `CN=crm.example.org, O=Example`.
    pub subject: String,
    /// Who gave it.
    pub issuer: String,
    /// Hexadecimal, lower case, as `openssl x509 -serial` writes it.
    pub serial: String,
    /// The names it is for, in its order: `subjectAltName`.
    pub names: Vec<Name>,
    /// The common name, which no client has looked at for years where there are names.
    pub common_name: Option<String>,
    /// First second of its life.
    pub not_before: Timestamp,
    /// Last second of its life.
    pub not_after: Timestamp,
    /// Its public key.
    pub key: KeyKind,
    /// How it was signed.
    pub signature: Signature,
    /// Whether it may sign others: `basicConstraints`.
    pub ca: bool,
    /// How many CAs may follow below it.
    pub path_len: Option<u32>,
    /// Whether its key may sign certificates, where it says what the key is for: `keyUsage`.
    pub may_sign: Option<bool>,
    /// Whether it may be shown by a server, where it says what it is for: `extKeyUsage`.
    pub for_servers: Option<bool>,
    /// What it is for, in words: `server authentication`, or an object identifier.
    pub purposes: Vec<String>,
    /// The name of its key.
    pub key_id: Option<String>,
    /// The name of the key it was signed with.
    pub issuer_key_id: Option<String>,
    /// Where its issuer lists what it revoked.
    pub crls: Vec<String>,
    /// Whom one may ask whether it is revoked.
    pub ocsp: Vec<String>,
    /// Whether it demands a stapled answer of each server (RFC 7633).
    pub must_staple: bool,
    /// Extensions that must be understood and are not known here.
    pub unknown_critical: Vec<String>,
    /// X.509's version: 1 to 3.
    pub version: u32,
    /// SHA-256 of the whole, hexadecimal.
    pub fingerprint: String,
}

/// A name that a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Name {
    /// A host's, maybe with `*` as its first label.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// Anything else: mail addresses, URIs.
    Other(String),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) | Self::Other(name) => f.write_str(name),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

/// How a certificate was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Signature {
    /// In words: `RSA with SHA-256`, or an object identifier.
    pub name: String,
    /// Whether nobody should trust it any more: MD5, SHA-1 and older.
    pub weak: bool,
}

/// Why bytes are no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCertificate {
    /// The bytes do not read as one.
    #[error("not a certificate: {0}")]
    Unreadable(String),
    /// Something follows it.
    #[error("{0} bytes follow the certificate")]
    Trailing(usize),
    /// A date that no calendar here has.
    #[error("the date {0} cannot be read")]
    Date(String),
    /// More bytes than any certificate has.
    #[error("longer than {MOST_BYTES} bytes")]
    TooLong,
}

/// A certificate with a thousand names has some 30 kB; what is larger is there to cost time.
const MOST_BYTES: usize = 256 * 1024;

impl Certificate {
    /// Reads DER.
    ///
    /// # Errors
    /// The bytes are no certificate, or more than one.
    pub fn from_der(der: &[u8]) -> Result<Self, BadCertificate> {
        if der.len() > MOST_BYTES {
            return Err(BadCertificate::TooLong);
        }
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|e| BadCertificate::Unreadable(e.to_string()))?;
        if !rest.is_empty() {
            return Err(BadCertificate::Trailing(rest.len()));
        }
        let facts = facts(der, &parsed)?;
        Ok(Self { der: der.into(), facts: Arc::new(facts) })
    }

    /// Its bytes.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Reads its structure again, for what the facts do not keep.
    pub(super) fn parsed(&self) -> Option<X509Certificate<'_>> {
        X509Certificate::from_der(&self.der).ok().map(|(_, parsed)| parsed)
    }

    /// Whether it is of a key: the bits of its `subjectPublicKey`.
    #[must_use]
    pub fn is_of_key(&self, half: &[u8]) -> bool {
        self.parsed().is_some_and(|cert| cert.public_key().subject_public_key.data.as_ref() == half)
    }

    /// Whether it names itself as who gave it.
    #[must_use]
    pub fn names_itself(&self) -> bool {
        self.parsed().is_some_and(|c| c.issuer().as_raw() == c.subject().as_raw())
    }

    /// How much of its life is over at a time, 0 to 1 and beyond.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share of years in seconds, shown in percent")]
    pub fn life_used(&self, at: Timestamp) -> f64 {
        let (from, until) = (self.not_before.as_second(), self.not_after.as_second());
        let (whole, used) = ((until - from) as f64, (at.as_second() - from) as f64);
        if whole <= 0.0 { 1.0 } else { used / whole }
    }

    /// Whole days until it expires at a time, rounded down; negative after it.
    #[must_use]
    pub fn days_left(&self, at: Timestamp) -> i64 {
        (self.not_after.as_second() - at.as_second()).div_euclid(24 * 60 * 60)
    }
}

impl std::ops::Deref for Certificate {
    type Target = Facts;
    fn deref(&self) -> &Facts {
        &self.facts
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}
impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({}, {})", self.subject, self.serial)
    }
}

fn facts(der: &[u8], cert: &X509Certificate<'_>) -> Result<Facts, BadCertificate> {
    let mut facts = Facts {
        subject: words(cert.subject()),
        issuer: words(cert.issuer()),
        serial: serial(cert.raw_serial()),
        names: Vec::new(),
        common_name: cert.subject().iter_common_name().next().and_then(|cn| cn.as_str().ok()).map(str::to_owned),
        not_before: moment(cert.validity().not_before)?,
        not_after: moment(cert.validity().not_after)?,
        key: KeyKind::of(cert.public_key()),
        signature: signature_of(&cert.signature_algorithm),
        ca: false,
        path_len: None,
        may_sign: None,
        for_servers: None,
        purposes: Vec::new(),
        key_id: None,
        issuer_key_id: None,
        crls: Vec::new(),
        ocsp: Vec::new(),
        must_staple: false,
        unknown_critical: Vec::new(),
        version: cert.version().0.saturating_add(1),
        fingerprint: hex(digest(&SHA256, der).as_ref()),
    };
    for extension in cert.extensions() {
        let known = facts.extension(&extension.oid.to_id_string(), extension.parsed_extension());
        if extension.critical && !known {
            facts.unknown_critical.push(extension.oid.to_id_string());
        }
    }
    Ok(facts)
}

impl Facts {
    /// Takes in one extension; false if its meaning is not known here.
    fn extension(&mut self, oid: &str, parsed: &ParsedExtension<'_>) -> bool {
        match parsed {
            ParsedExtension::SubjectAlternativeName(names) => {
                self.names = names.general_names.iter().map(name).collect();
            }
            ParsedExtension::BasicConstraints(basic) => {
                (self.ca, self.path_len) = (basic.ca, basic.path_len_constraint);
            }
            ParsedExtension::KeyUsage(usage) => self.may_sign = Some(usage.key_cert_sign()),
            ParsedExtension::ExtendedKeyUsage(usage) => {
                self.for_servers = Some(usage.server_auth || usage.any);
                let said = [
                    (usage.server_auth, "server authentication"),
                    (usage.client_auth, "client authentication"),
                    (usage.code_signing, "code signing"),
                    (usage.email_protection, "mail"),
                    (usage.time_stamping, "time stamping"),
                    (usage.ocsp_signing, "OCSP answers"),
                    (usage.any, "anything"),
                ];
                self.purposes = said.into_iter().filter(|(is, _)| *is).map(|(_, word)| word.to_owned()).collect();
                self.purposes.extend(usage.other.iter().map(x509_parser::der_parser::Oid::to_id_string));
            }
            ParsedExtension::SubjectKeyIdentifier(id) => self.key_id = Some(hex(id.0)),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                self.issuer_key_id = id.key_identifier.as_ref().map(|id| hex(id.0));
            }
            ParsedExtension::CRLDistributionPoints(points) => {
                let full = points.points.iter().filter_map(|point| match &point.distribution_point {
                    Some(DistributionPointName::FullName(names)) => Some(names),
                    _ => None,
                });
                self.crls = full.flatten().filter_map(uri).collect();
            }
            ParsedExtension::AuthorityInfoAccess(access) => {
                let ocsp = access.iter().filter(|a| a.access_method.to_id_string() == AD_OCSP);
                self.ocsp = ocsp.filter_map(|a| uri(&a.access_location)).collect();
            }
            ParsedExtension::NameConstraints(_)
            | ParsedExtension::CertificatePolicies(_)
            | ParsedExtension::PolicyConstraints(_)
            | ParsedExtension::PolicyMappings(_)
            | ParsedExtension::InhibitAnyPolicy(_)
            | ParsedExtension::SCT(_) => {}
            _ if oid == TLS_FEATURE => self.must_staple = true,
            _ => return false,
        }
        true
    }
}

/// `id-ad-ocsp`, RFC 5280, 4.2.2.1.
const AD_OCSP: &str = "1.3.6.1.5.5.7.48.1";
/// `id-pe-tlsfeature`, RFC 7633.
const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";

pub(super) fn name(name: &GeneralName<'_>) -> Name {
    match name {
        GeneralName::DNSName(dns) => Name::Dns((*dns).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map_or_else(|| Name::Other(hex(bytes)), Name::Ip),
        GeneralName::RFC822Name(text) | GeneralName::URI(text) => Name::Other((*text).to_owned()),
        GeneralName::DirectoryName(other) => Name::Other(words(other)),
        other => Name::Other(format!("{other:?}")),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn uri(name: &GeneralName<'_>) -> Option<String> {
    if let GeneralName::URI(uri) = name { Some((*uri).to_owned()) } else { None }
}

/// A distinguished name as people write it, in its own order.
pub(super) fn words(name: &X509Name<'_>) -> String {
    let parts = name.iter().flat_map(RelativeDistinguishedName::iter).map(|attribute| {
        let oid = attribute.attr_type().to_id_string();
        let short = SHORT.iter().find(|(id, _)| *id == oid).map_or(oid.as_str(), |(_, short)| short);
        let value = attribute.as_str().map_or_else(|_| text_of(attribute.as_slice()), str::to_owned);
        format!("{short}={value}")
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// Strings that are not UTF-8: BMPString is UTF-16, the rest is shown as hexadecimal.
fn text_of(bytes: &[u8]) -> String {
    let wide = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes(pair.try_into().unwrap_or_default()));
    let text: Option<String> =
        bytes.len().is_multiple_of(2).then(|| char::decode_utf16(wide).collect::<Result<String, _>>().ok()).flatten();
    text.filter(|t| t.chars().all(|c| !c.is_control())).unwrap_or_else(|| hex(bytes))
}

/// Attribute types and the short names that everybody uses (RFC 4514, and OpenSSL's).
const SHORT: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.5", "serialNumber"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

fn moment(time: ASN1Time) -> Result<Timestamp, BadCertificate> {
    Timestamp::from_second(time.timestamp()).map_err(|_| BadCertificate::Date(time.to_string()))
}

/// A serial number without the sign's zero byte that DER puts before it.
pub(super) fn serial(raw: &[u8]) -> String {
    let bytes = if let [0, rest @ ..] = raw
        && !rest.is_empty()
    {
        rest
    } else {
        raw
    };
    hex(bytes)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _written = write!(text, "{byte:02x}").is_ok();
        text
    })
}

pub(super) fn signature_of(algorithm: &AlgorithmIdentifier<'_>) -> Signature {
    let oid = algorithm.algorithm.to_id_string();
    let found = SIGNATURES.iter().find(|(id, ..)| *id == oid);
    let (name, weak) = match found {
        Some((_, "RSA-PSS", _)) => {
            let hash = super::verify::pss_hash(algorithm);
            (format!("RSA-PSS with {}", hash.unwrap_or("an unknown hash")), hash.is_none_or(|h| h == "SHA-1"))
        }
        Some((_, name, weak)) => ((*name).to_owned(), *weak),
        None => (oid, false),
    };
    Signature { name, weak }
}

/// Signature algorithms: object identifier, name, and whether it is too weak (RFC 3279, 4055, 5758, 8410).
const SIGNATURES: [(&str, &str, bool); 20] = [
    ("1.2.840.113549.1.1.2", "RSA with MD2", true),
    ("1.2.840.113549.1.1.3", "RSA with MD4", true),
    ("1.2.840.113549.1.1.4", "RSA with MD5", true),
    ("1.2.840.113549.1.1.5", "RSA with SHA-1", true),
    ("1.3.14.3.2.29", "RSA with SHA-1", true),
    ("1.2.840.113549.1.1.10", "RSA-PSS", false),
    ("1.2.840.113549.1.1.11", "RSA with SHA-256", false),
    ("1.2.840.113549.1.1.12", "RSA with SHA-384", false),
    ("1.2.840.113549.1.1.13", "RSA with SHA-512", false),
    ("1.2.840.113549.1.1.14", "RSA with SHA-224", false),
    ("1.2.840.10040.4.3", "DSA with SHA-1", true),
    ("2.16.840.1.101.3.4.3.2", "DSA with SHA-256", false),
    ("1.2.840.10045.4.1", "ECDSA with SHA-1", true),
    ("1.2.840.10045.4.3.1", "ECDSA with SHA-224", false),
    ("1.2.840.10045.4.3.2", "ECDSA with SHA-256", false),
    ("1.2.840.10045.4.3.3", "ECDSA with SHA-384", false),
    ("1.2.840.10045.4.3.4", "ECDSA with SHA-512", false),
    ("1.3.101.112", "Ed25519", false),
    ("1.3.101.113", "Ed448", false),
    ("1.2.643.7.1.1.3.2", "GOST R 34.10-2012", false),
];
