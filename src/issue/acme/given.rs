//! What a server gave, by the name that the server has for it: so that it can be asked when it wants it renewed, and told
//! what an order comes after (ARI, RFC 9773). Kept apart from orders, which are forgotten earlier.

use super::{AcmeError, Server, account, identity, told};
use crate::{
    base::Hash,
    cert::{Certificate, pem},
    issue::safe,
};
use instant_acme::CertificateIdentifier;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fs, path::PathBuf};

/// When a server would like a certificate to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first second.
    pub from: Timestamp,
    /// Its last one.
    pub to: Timestamp,
    /// The second in it that is this certificate's: the same whenever it is asked for, and another one for another
    /// certificate, so that not all come at once (RFC 9773, 4.2).
    pub at: Timestamp,
}

/// A certificate that was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Given {
    /// Hexadecimal, lower case.
    serial: String,
    /// `AKI.SERIAL` (RFC 9773, 4.1).
    id: String,
    directory: String,
    until: Timestamp,
}

/// So many of a subject are remembered: the one that is installed, and those that came to nothing since.
const MOST: usize = 4;

impl Window {
    /// Of the certificate with that name.
    pub(super) fn new(from: Timestamp, to: Timestamp, id: &str) -> Option<Self> {
        let length = to.duration_since(from).as_secs();
        // RFC 9773, 4.2: a window that ends before it begins is none
        let length = u64::try_from(length).ok().filter(|length| *length > 0)?;
        let share = Hash::of(id.as_bytes()).0;
        let share = u64::from_str_radix(share.get(..8)?, 16).ok()?;
        let after = u64::try_from((u128::from(length) * u128::from(share)) >> 32).ok()?;
        let at = from.checked_add(SignedDuration::from_secs(i64::try_from(after).ok()?)).ok()?;
        Some(Self { from, to, at })
    }
}

impl Server {
    /// When the server would like the certificate with that serial number (hexadecimal), which it gave for the subject, to be
    /// renewed; none: it does not say, or never gave it.
    ///
    /// # Errors
    /// The server could not be asked.
    pub async fn window(&self, subject: &str, serial: &str) -> Result<Option<Window>, AcmeError> {
        let Some(given) = self.given(subject).into_iter().find(|given| given.serial == serial) else {
            return Ok(None);
        };
        let Some(id) = named(&given.id) else { return Ok(None) };
        let Some(open) = account::open(self).await? else { return Ok(None) };
        match open.account.renewal_info(&id).await {
            Ok((info, _)) => {
                let at = |time: i64| Timestamp::from_second(time).ok();
                let window = info.suggested_window;
                let (from, to) = (at(window.start.unix_timestamp()), at(window.end.unix_timestamp()));
                Ok(from.zip(to).and_then(|(from, to)| Window::new(from, to, &given.id)))
            }
            Err(instant_acme::Error::Unsupported(_) | instant_acme::Error::Api(_)) => Ok(None),
            Err(e) => Err(told::words(self, &e, &open.patience)),
        }
    }

    /// What the next order for a subject comes after.
    pub(super) fn replaced(&self, subject: &str) -> Option<CertificateIdentifier<'static>> {
        self.given(subject).last().and_then(|given| named(&given.id))
    }

    /// Remembers what was given. Where that cannot be done nothing is lost but a courtesy.
    pub(super) fn remember(&self, subject: &str, chain: &str, now: Timestamp) {
        let Some(given) = given(chain, &self.directory) else { return };
        let mut all = self.given(subject);
        if all.contains(&given) {
            return;
        }
        all.retain(|old| old.until > now);
        all.push(given);
        let surplus = all.len().saturating_sub(MOST);
        all.drain(..surplus);
        let path = self.given_file(subject);
        if let (Some(folder), Ok(text)) = (path.parent(), serde_json::to_vec(&all)) {
            drop(safe::private_folder(folder).and_then(|()| safe::write(&path, &text, safe::PRIVATE)));
        }
    }

    /// Those of this directory, the newest last.
    fn given(&self, subject: &str) -> Vec<Given> {
        let text = fs::read(self.given_file(subject)).unwrap_or_default();
        let mut all: Vec<Given> = serde_json::from_slice(&text).unwrap_or_default();
        all.retain(|given| given.directory == self.directory);
        all
    }

    fn given_file(&self, subject: &str) -> PathBuf {
        self.folder.join("given").join(format!("{}.json", Hash::of(subject.as_bytes()).0))
    }
}

/// What is remembered of a chain; none: a server has no name for its leaf.
fn given(chain: &str, directory: &str) -> Option<Given> {
    let leaf: Certificate = pem::Pieces::read(chain.as_bytes()).ok()?.certificates.into_iter().next()?;
    let (id, directory) = (identity(leaf.der())?.to_string(), directory.to_owned());
    Some(Given { serial: leaf.serial.clone(), id, directory, until: leaf.not_after })
}

/// A name as it was written down.
fn named(id: &str) -> Option<CertificateIdentifier<'static>> {
    let (key, serial) = id.split_once('.')?;
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'='))
    };
    (plain(key) && plain(serial)).then(|| CertificateIdentifier {
        authority_key_identifier: Cow::Owned(key.to_owned()),
        serial: Cow::Owned(serial.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn each_certificate_has_an_instant_of_its_own_in_the_window_and_always_the_same() {
        let of = |id: &str| Window::new(at(1000), at(2000), id).unwrap().at;
        let instants: Vec<Timestamp> = (0..64).map(|n| of(&format!("a.{n}"))).collect();
        assert!(instants.iter().all(|one| at(1000) <= *one && *one < at(2000)), "{instants:?}");
        assert!(instants.iter().any(|one| *one < at(1300)) && instants.iter().any(|one| *one > at(1700)));
        assert_eq!(of("a.1"), of("a.1"));
        assert_eq!(Window::new(at(2000), at(1000), "a.1"), None);
        assert_eq!(Window::new(at(2000), at(2000), "a.1"), None);
        assert!(Window::new(Timestamp::MIN, Timestamp::MAX, "a.1").is_some());
    }

    #[test]
    fn a_name_is_read_as_the_standard_has_it() {
        // RFC 9773, 4.1
        assert_eq!(
            named("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE").unwrap().to_string(),
            "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
        );
        for bad in ["", ".", "a.", ".b", "a.b.c", "a/../.b", "ab"] {
            assert!(named(bad).is_none(), "{bad}");
        }
    }
}
