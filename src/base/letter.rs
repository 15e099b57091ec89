//! A mail, and the server that takes it.

use super::Span;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// One mail: plain text for one or several people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Who takes it.
    pub via: Smtp,
    /// The sender: `svcops@example.org`, or `Duty <svcops@example.org>`.
    pub from: String,
    /// To whom: all of them, or nobody.
    pub to: Vec<String>,
    /// One line.
    pub subject: String,
    /// The text.
    pub body: String,
}

/// A server that takes mail (RFC 5321, RFC 6409), and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Smtp {
    /// `HOST:PORT`.
    pub server: String,
    /// How the connection is encrypted.
    pub tls: Tls,
    /// Whom it lets in; none: whoever connects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
    /// A PEM file on this machine to trust instead of the system's roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// How long a mail may take, from the first packet to the server's last word.
    pub within: Span,
}

/// How a connection is encrypted. There is no *if the server can*: who stands between could say that it cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// Not at all.
    None,
    /// From the STARTTLS command on (RFC 3207), or nothing is said.
    Starttls,
    /// From the first byte on (RFC 8314).
    Tls,
}

/// A user, and the name of the secret that lets them in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The user.
    pub user: String,
    /// A name in `secrets:`.
    pub password: String,
}

impl Smtp {
    /// The host of the server.
    pub fn host(&self) -> &str {
        let host = self.server.rsplit_once(':').map_or(self.server.as_str(), |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }
    /// Whether the server is this machine, by its name or address alone.
    pub fn is_here(&self) -> bool {
        self.host() == "localhost" || self.host().parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
    /// What applies where nobody says: from the first byte on port 465, nothing on the way to this machine, else STARTTLS.
    pub fn usual(&self) -> Tls {
        if self.server.ends_with(":465") {
            Tls::Tls
        } else if self.is_here() {
            Tls::None
        } else {
            Tls::Starttls
        }
    }
}

/// The name that may stand before an address, and the address: `Duty <duty@example.org>`, or the address alone.
pub fn named_address(text: &str) -> (Option<&str>, &str) {
    match text.trim().strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
        Some((name, address)) => {
            let name = name.trim().trim_matches('"').trim();
            (Some(name).filter(|n| !n.is_empty()), address.trim())
        }
        None => (None, text.trim()),
    }
}

/// Whether a text can be the address of a mail: somebody, `@`, a domain, and nothing that ends a line or begins another
/// address.
pub fn is_address(text: &str) -> bool {
    text.parse::<lettre::Address>().is_ok() && !text.contains(|c: char| c.is_control() || "<>,; ".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smtp(server: &str) -> Smtp {
        Smtp { server: server.into(), tls: Tls::None, login: None, ca: None, within: Span::secs(1) }
    }

    #[test]
    fn a_mail_is_encrypted_unless_its_server_is_this_machine() {
        for (server, tls) in [
            ("mail.example.org:25", Tls::Starttls),
            ("mail.example.org:587", Tls::Starttls),
            ("mail.example.org:465", Tls::Tls),
            ("10.0.0.5:1025", Tls::Starttls),
            ("127.0.0.1:1025", Tls::None),
            ("127.0.0.1:465", Tls::Tls),
            ("[::1]:25", Tls::None),
            ("localhost:25", Tls::None),
        ] {
            assert_eq!(smtp(server).usual(), tls, "{server}");
        }
        assert_eq!(smtp("[2001:db8::1]:25").host(), "2001:db8::1");
    }

    #[test]
    fn an_address_is_told_from_what_is_none() {
        for good in ["duty@lab.test", "дежурный@пример.рф", "a.b+c@[10.0.0.1]"] {
            assert!(is_address(good), "{good}");
        }
        for bad in ["duty", "@lab.test", "duty@", "a b@lab.test", "a@b,c@d", "a@b\r\nBcc: c@d", "<a@b>", ""] {
            assert!(!is_address(bad), "{bad}");
        }
        assert_eq!(named_address("\"Дежурный, ЦОД\" <duty@lab.test>"), (Some("Дежурный, ЦОД"), "duty@lab.test"));
        assert_eq!(named_address(" duty@lab.test"), (None, "duty@lab.test"));
        assert_eq!(named_address("<duty@lab.test>"), (None, "duty@lab.test"));
    }
}
