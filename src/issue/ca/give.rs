//! Gives a certificate for a request: for the names that are wanted, whatever else the request asks for.

use super::{
    Ca, CaError, ISSUED, armour, read_given,
    rotate::{EARLIER, days, moment, serial},
    signer,
};
use crate::{
    base::{Hash, Secret},
    cert::{Certificate, KeyKind, Name, Request, Severity, Terms, Wanted, Wrong, judge, pem},
    issue::safe,
};
use jiff::Timestamp;
use rcgen::{
    CertificateParams, CrlDistributionPoint, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
    SubjectPublicKeyInfo,
};
use std::{fmt, str::FromStr};

/// What a certificate is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// A server shows it.
    #[default]
    Server,
    /// A client shows it.
    Client,
    /// Either.
    Both,
}

impl FromStr for Profile {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "server" => Ok(Self::Server),
            "client" => Ok(Self::Client),
            "both" => Ok(Self::Both),
            _ => Err(format!("unknown profile `{word}`, expected `server`, `client` or `both`")),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Both => "both",
        })
    }
}

impl Profile {
    fn purposes(self) -> Vec<ExtendedKeyUsagePurpose> {
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        match self {
            Self::Server => vec![ServerAuth],
            Self::Client => vec![ClientAuth],
            Self::Both => vec![ServerAuth, ClientAuth],
        }
    }
}

/// What is wanted of a CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The request (PKCS#10) as PEM.
    pub request: String,
    /// The names and addresses it is to be for; the first name is the common name. `*.example.org` may be one.
    pub names: Vec<String>,
    /// What it is for.
    pub profile: Profile,
    /// How long it is valid.
    pub days: u32,
    /// Where the list of what was taken back can be fetched; none: nowhere.
    pub crl: Option<String>,
}

/// A certificate that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The certificate.
    pub cert: Certificate,
    /// It, and what links it to every root that is trusted, as PEM.
    pub chain: String,
}

/// A request that was read and found sound.
pub(super) struct Asked {
    spki: Vec<u8>,
    key: KeyKind,
    names: Vec<Name>,
}

impl Ca {
    /// What was given for this very order, if it was: the same key, names and profile, by the newest root, not taken back,
    /// and with two thirds of its life before it. Needs no password.
    ///
    /// # Errors
    /// The request or something in the folder does not read, or the request is refused.
    pub fn given(&self, order: &Order, at: Timestamp) -> Result<Option<Given>, CaError> {
        self.given_to(&asked(order)?, order.profile, at)
    }

    /// Gives a certificate, or the one that was given for the same order before.
    ///
    /// # Errors
    /// The request is refused, the password is wrong, the CA ends too soon, or something cannot be written: nothing was given.
    pub fn give(&mut self, order: &Order, password: &Secret, at: Timestamp) -> Result<Given, CaError> {
        let asked = asked(order)?;
        if let Some(given) = self.given_to(&asked, order.profile, at)? {
            return Ok(given);
        }
        self.locked(|ca| match ca.given_to(&asked, order.profile, at)? {
            Some(given) => Ok(given),
            None => ca.sign(&asked, order, password, at),
        })
    }

    fn given_to(&self, asked: &Asked, profile: Profile, at: Timestamp) -> Result<Option<Given>, CaError> {
        let of = self.newest()?;
        let by = self.certificate(signer(of), of.number)?;
        let prefix = format!("{}-", Hash::of(&asked.spki));
        for path in self.given_files()? {
            if !path.file_name().unwrap_or_default().to_string_lossy().starts_with(&prefix) {
                continue;
            }
            let cert = read_given(&path)?;
            let fits = cert.issuer_key_id == by.key_id
                && same(&cert.names, &asked.names)
                && purposes(&cert) == profile
                && cert.life_used(at) < 1.0 / 3.0
                && self.register.revoked.iter().all(|r| r.serial != cert.serial);
            if fits {
                return self.chained(cert).map(Some);
            }
        }
        Ok(None)
    }

    pub(super) fn sign(
        &self,
        asked: &Asked,
        order: &Order,
        password: &Secret,
        at: Timestamp,
    ) -> Result<Given, CaError> {
        let of = self.newest()?;
        let above = self.certificate(signer(of), of.number)?;
        let until = at.saturating_add(days(order.days)).unwrap_or(at);
        if above.not_after < until {
            // a shorter life than was asked for would be found out when it is over
            return Err(CaError::Ending { subject: above.subject.clone(), until: above.not_after });
        }
        let by = self.issuer(of, signer(of), password)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let common = asked.names.iter().find_map(|name| match name {
            Name::Dns(name) if name.len() <= LONGEST_CN => Some(name.clone()),
            Name::Ip(ip) => Some(ip.to_string()),
            _ => None,
        });
        if let Some(common) = common {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        params.subject_alt_names = asked.names.iter().map(alternative).collect::<Result<_, _>>()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if matches!(asked.key, KeyKind::Rsa { .. }) {
            // clients of TLS 1.2 and older send their secret under it
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        params.extended_key_usages = order.profile.purposes();
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial()?);
        params.not_before = moment(at.saturating_sub(EARLIER).unwrap_or(at).max(above.not_before));
        params.not_after = moment(until);
        params.crl_distribution_points =
            order.crl.iter().map(|url| CrlDistributionPoint { uris: vec![url.clone()] }).collect();
        let public = SubjectPublicKeyInfo::from_der(&asked.spki)
            .map_err(|_| CaError::Request(format!("its key, {}, is of a kind that is not signed here", asked.key)))?;
        let made = params.signed_by(&public, &by)?;
        let cert = Certificate::from_der(made.der()).map_err(|e| CaError::Unsound(e.to_string()))?;
        let given = self.chained(cert)?;
        self.hold(&given, asked, order.profile, at)?;
        let folder = self.folder.join(ISSUED);
        safe::private_folder(&folder).map_err(|why| CaError::io("make", &folder, why))?;
        let path = folder.join(file_of(&given.cert));
        let text = armour(given.cert.der(), "CERTIFICATE");
        safe::write(&path, text.as_bytes(), safe::PUBLIC).map_err(|why| CaError::io("write", &path, why))?;
        Ok(given)
    }

    /// With what links it to each root that is trusted: the old one's word for the new one is sent along until it is retired.
    pub(super) fn chained(&self, cert: Certificate) -> Result<Given, CaError> {
        let of = self.newest()?;
        let mut chain = armour(cert.der(), "CERTIFICATE");
        if of.intermediate {
            chain += &armour(self.certificate("intermediate", of.number)?.der(), "CERTIFICATE");
        }
        let mut trusted: Vec<u32> = self.trusted().map(|of| of.number).collect();
        trusted.sort_unstable_by_key(|number| std::cmp::Reverse(*number));
        for number in trusted.iter().zip(trusted.iter().skip(1)).map(|(newer, _)| newer) {
            chain += &armour(self.certificate("cross", *number)?.der(), "CERTIFICATE");
        }
        Ok(Given { cert, chain })
    }

    /// Nothing leaves that a client would not take.
    fn hold(&self, given: &Given, asked: &Asked, profile: Profile, at: Timestamp) -> Result<(), CaError> {
        let shown = pem::Pieces::read(given.chain.as_bytes()).map_err(|e| CaError::Unsound(e.to_string()))?;
        // what a pattern is for is no question that one can ask
        let names = asked.names.iter().filter_map(|name| match name {
            Name::Dns(name) => Wanted::from_str(&name.replacen('*', "any", 1)).ok(),
            Name::Ip(ip) => Some(Wanted::Ip(*ip)),
            Name::Other(_) => None,
        });
        for root in self.trust()?.anchors() {
            let trust = crate::cert::Trust::of(root.subject.clone(), vec![root.clone()]);
            let terms = Terms {
                at,
                names: names.clone().collect(),
                warn: i64::MIN,
                crit: i64::MIN,
                share: None,
                trust: &trust,
                crls: &[],
                key: None,
                stapled: None,
                unstapled: false,
                chain: true,
            };
            let wrong = judge(&shown.certificates, &terms).faults.into_iter().find(|fault| {
                let of_clients = profile == Profile::Client
                    && matches!(fault.what, Wrong::NotForServers { .. } | Wrong::Refused { .. });
                fault.severity >= Severity::Critical && !of_clients
            });
            if let Some(fault) = wrong {
                return Err(CaError::Unsound(format!("{} (trusting `{}`)", fault.what, root.subject)));
            }
        }
        Ok(())
    }
}

/// What a certificate's file is called.
pub(super) fn file_of(cert: &Certificate) -> String {
    format!("{}-{}.pem", cert.key_fingerprint(), cert.serial)
}

/// Reads a request, and refuses what nobody should sign.
pub(super) fn asked(order: &Order) -> Result<Asked, CaError> {
    let refused = |why: String| CaError::Request(why);
    let pieces = pem::Pieces::read(order.request.as_bytes()).map_err(|e| refused(e.to_string()))?;
    let [der] = pieces.requests.as_slice() else {
        return Err(refused(format!("there are {} requests in it, and not one", pieces.requests.len())));
    };
    let request = Request::from_der(der).map_err(|e| refused(e.to_string()))?;
    match request.proven {
        Some(true) => {}
        Some(false) => return Err(refused("its signature is not by its key".to_owned())),
        None => return Err(refused(format!("its signature cannot be checked here: {}", request.signature.name))),
    }
    if let Some(why) = request.key.weakness() {
        return Err(refused(format!("its key is weak: {why}")));
    }
    if request.ca {
        return Err(refused("it asks to become a CA".to_owned()));
    }
    let names = order.names.iter().map(|text| wanted(text)).collect::<Result<Vec<_>, _>>()?;
    if names.is_empty() {
        return Err(refused("no name is wanted".to_owned()));
    }
    if let Some(more) = request.names.iter().find(|name| !names.iter().any(|wanted| alike(wanted, name))) {
        return Err(refused(format!("it asks for `{more}`, which is not wanted")));
    }
    Ok(Asked { spki: request.spki, key: request.key, names })
}

/// A name as it is written: a host's, with `*` as its first label or not, or an address.
fn wanted(text: &str) -> Result<Name, CaError> {
    let bad = || CaError::Request(format!("`{text}` is neither a host name nor an address"));
    let (star, rest) = text.strip_prefix("*.").map_or(("", text), |rest| ("*.", rest));
    match Wanted::from_str(rest).map_err(|_| bad())? {
        Wanted::Dns(name) => Ok(Name::Dns(format!("{star}{name}"))),
        Wanted::Ip(ip) if star.is_empty() => Ok(Name::Ip(ip)),
        Wanted::Ip(_) => Err(bad()),
    }
}

fn alike(one: &Name, other: &Name) -> bool {
    match (one, other) {
        (Name::Dns(a), Name::Dns(b)) => a.eq_ignore_ascii_case(b.strip_suffix('.').unwrap_or(b)),
        (one, other) => one == other,
    }
}

fn same(some: &[Name], others: &[Name]) -> bool {
    let within = |some: &[Name], others: &[Name]| some.iter().all(|a| others.iter().any(|b| alike(a, b)));
    within(some, others) && within(others, some)
}

fn purposes(cert: &Certificate) -> Profile {
    let client = cert.purposes.iter().any(|p| p.contains("client"));
    match (cert.for_servers == Some(true), client) {
        (true, true) => Profile::Both,
        (false, true) => Profile::Client,
        _ => Profile::Server,
    }
}

fn alternative(name: &Name) -> Result<SanType, CaError> {
    match name {
        Name::Dns(name) => Ok(SanType::DnsName(name.as_str().try_into()?)),
        Name::Ip(ip) => Ok(SanType::IpAddress(*ip)),
        Name::Other(name) => Err(CaError::Request(format!("`{name}` is neither a host name nor an address"))),
    }
}

/// RFC 5280, appendix A: `ub-common-name`.
const LONGEST_CN: usize = 64;
