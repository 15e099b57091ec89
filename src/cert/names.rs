//! Whether a certificate is for a name, by the rules that clients go by (RFC 9525).

use super::facts::{Facts, Name};
use std::{fmt, net::IpAddr, str::FromStr};

/// What a client asked for: a host's name or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Wanted {
    /// A name, lower case, without the root's dot.
    Dns(String),
    /// An address: only an `iPAddress` fits it, never a name that looks like one.
    Ip(IpAddr),
}

/// Why a text is no name of a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a host name nor an address")]
pub struct BadName(String);

impl FromStr for Wanted {
    type Err = BadName;

    /// Reads a host name or an address, `[…]` around the latter allowed. Names of other scripts come as `xn--…`.
    fn from_str(text: &str) -> Result<Self, BadName> {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse() {
            return Ok(Self::Ip(ip));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        // `_` is in names of hosts that live, whatever RFC 952 says
        let label = |l: &str| {
            (1..=63).contains(&l.len())
                && !l.starts_with('-')
                && !l.ends_with('-')
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        let good = name.len() <= 253 && name.split('.').all(label) && !numeric;
        if good { Ok(Self::Dns(name)) } else { Err(BadName(text.to_owned())) }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

impl Wanted {
    /// Whether a certificate is for this name. The common name counts for nothing.
    #[must_use]
    pub fn is_named_by(&self, facts: &Facts) -> bool {
        facts.names.iter().any(|name| match (self, name) {
            (Self::Dns(wanted), Name::Dns(pattern)) => fits(pattern, wanted),
            (Self::Ip(wanted), Name::Ip(ip)) => wanted == ip,
            _ => false,
        })
    }

    /// Whether only the common name fits: it did for clients of twenty years ago.
    #[must_use]
    pub fn only_in_common_name(&self, facts: &Facts) -> bool {
        let Self::Dns(wanted) = self else { return false };
        !self.is_named_by(facts) && facts.common_name.as_deref().is_some_and(|cn| fits(cn, wanted))
    }
}

/// `*` stands for one whole label, the first, of at least three.
fn fits(pattern: &str, wanted: &str) -> bool {
    let pattern = pattern.strip_suffix('.').unwrap_or(pattern);
    if let Some(rest) = pattern.strip_prefix("*.") {
        let Some((first, tail)) = wanted.split_once('.') else { return false };
        return rest.contains('.') && !rest.contains('*') && !first.is_empty() && rest.eq_ignore_ascii_case(tail);
    }
    !pattern.contains('*') && pattern.eq_ignore_ascii_case(wanted)
}
