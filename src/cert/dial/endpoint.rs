//! Where a certificate is served, as people write it.

use crate::cert::names::Wanted;
use serde::Serialize;
use std::{fmt, str::FromStr};

/// A place to connect to: `crm.example.org:443`, `smtp://mail:587`, `10.0.0.1:636`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// A host's name or an address.
    pub host: String,
    /// Of TCP.
    pub port: u16,
    /// The name to ask for, in SNI and of the certificate; the host where there is none.
    pub name: Option<Wanted>,
    /// What is said in the clear before TLS begins.
    pub before: Before,
}

/// What is said in the clear before TLS begins: STARTTLS of a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Before {
    /// Nothing: TLS at once.
    Nothing,
    /// RFC 3207.
    Smtp,
    /// RFC 9051, 6.2.1.
    Imap,
    /// RFC 2595, 4.
    Pop3,
    /// RFC 4511, 4.14.
    Ldap,
    /// `SSLRequest` of PostgreSQL's protocol, 55.2.11.
    Postgres,
}

/// Why a text is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEndpoint {
    /// No host in it.
    #[error("`{0}` names no host")]
    NoHost(String),
    /// The port is none.
    #[error("`{0}` is not a port: 1 to 65535")]
    Port(String),
    /// The scheme is none.
    #[error("`{0}://` is not known: https, tls, smtp, smtps, imap, imaps, pop3, pop3s, ldap, ldaps, postgres")]
    Scheme(String),
    /// An address of IPv6 without brackets, or worse.
    #[error("`{0}`: write an IPv6 address in brackets: [2001:db8::1]:443")]
    Colons(String),
    /// The host is neither name nor address.
    #[error("`{0}` is neither a host name nor an address")]
    Host(String),
}

/// Schemes, what they say before TLS, and their ports (IANA).
const SCHEMES: [(&str, Before, u16); 13] = [
    ("tls", Before::Nothing, 443),
    ("https", Before::Nothing, 443),
    ("smtp", Before::Smtp, 587),
    ("smtps", Before::Nothing, 465),
    ("submission", Before::Smtp, 587),
    ("imap", Before::Imap, 143),
    ("imaps", Before::Nothing, 993),
    ("pop3", Before::Pop3, 110),
    ("pop3s", Before::Nothing, 995),
    ("ldap", Before::Ldap, 389),
    ("ldaps", Before::Nothing, 636),
    ("postgres", Before::Postgres, 5432),
    ("postgresql", Before::Postgres, 5432),
];

/// Ports whose protocol nobody would write out.
const USUAL: [(u16, Before); 7] = [
    (25, Before::Smtp),
    (587, Before::Smtp),
    (143, Before::Imap),
    (110, Before::Pop3),
    (389, Before::Ldap),
    (5432, Before::Postgres),
    (6432, Before::Postgres),
];

impl FromStr for Endpoint {
    type Err = BadEndpoint;

    fn from_str(text: &str) -> Result<Self, BadEndpoint> {
        let (scheme, rest) = text.split_once("://").map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
        let known = match scheme {
            Some(scheme) => Some(
                SCHEMES
                    .iter()
                    .find(|(name, ..)| name.eq_ignore_ascii_case(scheme))
                    .ok_or_else(|| BadEndpoint::Scheme(scheme.to_owned()))?,
            ),
            None => None,
        };
        // of a URL only who it is at
        let rest = if scheme.is_some() { rest.split(['/', '?', '#']).next().unwrap_or(rest) } else { rest };
        let rest = if scheme.is_some() { rest.rsplit_once('@').map_or(rest, |(_, host)| host) } else { rest };
        let (host, port) = if let Some(bracketed) = rest.strip_prefix('[') {
            let (host, tail) = bracketed.split_once(']').ok_or_else(|| BadEndpoint::Colons(text.to_owned()))?;
            match tail.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if tail.is_empty() => (host, None),
                None => return Err(BadEndpoint::Colons(text.to_owned())),
            }
        } else {
            match rest.split_once(':') {
                Some((_, port)) if port.contains(':') => return Err(BadEndpoint::Colons(text.to_owned())),
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            }
        };
        if host.is_empty() {
            return Err(BadEndpoint::NoHost(text.to_owned()));
        }
        let host = host.parse::<Wanted>().map_err(|_| BadEndpoint::Host(host.to_owned()))?.to_string();
        let port = match port {
            Some(port) => port.parse().ok().filter(|p| *p != 0).ok_or_else(|| BadEndpoint::Port(port.to_owned()))?,
            None => known.map_or(443, |(_, _, port)| *port),
        };
        let usual = || USUAL.iter().find(|(p, _)| *p == port).map_or(Before::Nothing, |(_, before)| *before);
        let before = known.map_or_else(usual, |(_, before, _)| *before);
        Ok(Self { host, port, name: None, before })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usual = USUAL.iter().find(|(p, _)| *p == self.port).map_or(Before::Nothing, |(_, before)| *before);
        if self.before != usual {
            let scheme = SCHEMES.iter().find(|(_, before, _)| *before == self.before).map_or("tls", |(name, ..)| name);
            write!(f, "{scheme}://")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Endpoint {
    /// The name that its certificate is asked to be for.
    #[must_use]
    pub fn wanted(&self) -> Option<Wanted> {
        self.name.clone().or_else(|| self.host.parse().ok())
    }
}
