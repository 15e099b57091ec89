//! Whether a chain, as it was shown, holds: for whom, until when, and by whose word.
//!
//! It fails closed: what was found is told by its name, and a chain in which nothing was found is still read a second time by
//! the verifier that TLS clients use; its refusal is a fault too.

use super::{
    crl::Crl,
    dial,
    facts::Certificate,
    fault::{Fault, Severity, Wrong},
    names::Wanted,
    ocsp::{self, Standing},
    path::{self, Link},
    trust::Trust,
};
use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::time::Duration;

/// What a chain is held against.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    /// When.
    pub at: Timestamp,
    /// The names a client asks for; none where nobody connects, a file's.
    pub names: Vec<Wanted>,
    /// Days at or below which it is told as a warning.
    pub warn: i64,
    /// Days at or below which it is critical.
    pub crit: i64,
    /// Percent of its life left at or below which it is a warning, if that is asked.
    pub share: Option<u8>,
    /// Whom to trust.
    pub trust: &'a Trust,
    /// Lists of what was revoked.
    pub crls: &'a [Crl],
    /// The public key of the private key that lies beside it, the bits of its `subjectPublicKey`.
    pub key: Option<&'a [u8]>,
    /// Whether a server showed it, who could have stapled an answer and did not.
    pub unstapled: bool,
    /// The answer of its CA's responder that the server stapled (RFC 6066, 8), DER.
    pub stapled: Option<&'a [u8]>,
    /// Whether it is a whole chain. Not so of a file that holds one certificate: what links it may lie in another.
    pub chain: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// All that is wrong, the worst first.
    pub faults: Vec<Fault>,
    /// The way from the first certificate up, the anchor included where it is whole.
    pub path: Vec<Certificate>,
    /// Whether it ends at somebody trusted.
    pub whole: bool,
}

impl Judgement {
    /// The worst of its faults.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.faults.iter().map(|f| f.severity).max().unwrap_or(Severity::Ok)
    }
}

/// Judges certificates in the order in which they were shown.
#[must_use]
pub fn judge(shown: &[Certificate], terms: &Terms<'_>) -> Judgement {
    let Some((leaf, rest)) = shown.split_first() else {
        let what = Wrong::Unreadable { why: "no certificate was shown".to_owned() };
        let faults = vec![Fault { what, element: None, severity: Severity::Critical }];
        return Judgement { faults, path: Vec::new(), whole: false };
    };
    let path = path::best(leaf, rest, terms.trust, terms.at);
    let mut judge = Judge { terms, faults: Vec::new() };
    judge.leaf(leaf);
    for (element, cert) in path.certs.iter().enumerate() {
        let anchor = path.whole && element + 1 == path.certs.len();
        judge.element(element, cert, anchor);
        if element > 0 && !anchor_of_its_own(cert, anchor) {
            judge.issuer(element, &path.certs);
        }
        if let Some(issuer) = path.certs.get(element + 1) {
            judge.revocation(element, cert, issuer);
            if element == 0 {
                judge.stapled(cert, issuer);
            }
        }
    }
    if !terms.chain {
        // what else lies in the file has its days too
        for (element, cert) in rest.iter().enumerate().filter(|(_, cert)| !path.certs.contains(cert)) {
            judge.element(element + 1, cert, false);
        }
    } else if path.whole {
        judge.order(shown, &path.certs);
    } else {
        judge.broken(shown, &path.certs);
    }
    if terms.chain && path.whole && !judge.faults.iter().any(|f| f.severity >= Severity::Critical) {
        judge.second_reading(leaf, rest, &path.certs);
    }
    let mut faults = judge.faults;
    faults.sort_by_key(|f| (std::cmp::Reverse(f.severity), f.element));
    Judgement { faults, path: path.certs, whole: path.whole }
}

/// A root of version 1 says nothing of itself: it is trusted for lying in the store.
fn anchor_of_its_own(cert: &Certificate, anchor: bool) -> bool {
    anchor && cert.version < 3
}

struct Judge<'a> {
    terms: &'a Terms<'a>,
    faults: Vec<Fault>,
}

impl Judge<'_> {
    fn add(&mut self, element: impl Into<Option<usize>>, severity: Severity, what: Wrong) {
        let fault = Fault { what, element: element.into(), severity };
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    /// What is asked of the server's own certificate alone.
    fn leaf(&mut self, leaf: &Certificate) {
        if leaf.names.is_empty() && !self.terms.names.is_empty() {
            self.add(0, Severity::Critical, Wrong::NoNames);
        } else {
            for wanted in self.terms.names.iter().filter(|wanted| !wanted.is_named_by(leaf)) {
                let names = leaf.names.iter().map(ToString::to_string).collect();
                let common_name = wanted.only_in_common_name(leaf);
                let what = Wrong::NameMismatch { wanted: wanted.to_string(), names, common_name };
                self.faults.push(Fault { what, element: Some(0), severity: Severity::Critical });
            }
        }
        if leaf.for_servers == Some(false) && !leaf.ca {
            self.add(0, Severity::Critical, Wrong::NotForServers { purposes: leaf.purposes.clone() });
        }
        if let Some(key) = self.terms.key
            && leaf.parsed().is_none_or(|c| c.public_key().subject_public_key.data.as_ref() != key)
        {
            self.add(0, Severity::Critical, Wrong::KeyMismatch);
        }
        if self.terms.unstapled && leaf.must_staple {
            self.add(0, Severity::Critical, Wrong::NotStapled);
        }
    }

    /// What is asked of every element.
    fn element(&mut self, element: usize, cert: &Certificate, anchor: bool) {
        let at = self.terms.at;
        let days = cert.days_left(at);
        if at > cert.not_after {
            self.add(element, Severity::Critical, Wrong::Expired { at: cert.not_after });
        } else if at < cert.not_before {
            self.add(element, Severity::Critical, Wrong::NotYetValid { at: cert.not_before });
        } else if days <= self.terms.crit {
            self.add(element, Severity::Critical, Wrong::NearExpiry { days, limit: self.terms.crit });
        } else if days <= self.terms.warn {
            self.add(element, Severity::Warning, Wrong::NearExpiry { days, limit: self.terms.warn });
        }
        if let Some(limit) = self.terms.share
            && !anchor
        {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=100")]
            let left = ((1.0 - cert.life_used(at)) * 100.0).clamp(0.0, 100.0).floor() as u8;
            if left <= limit && at <= cert.not_after {
                self.add(element, Severity::Warning, Wrong::LifeUsed { left, limit });
            }
        }
        if let Some(why) = cert.key.weakness() {
            self.add(element, Severity::Critical, Wrong::WeakKey { why });
        }
        // nobody checks the signature of what is trusted for itself
        if cert.signature.weak && !anchor {
            self.add(element, Severity::Critical, Wrong::WeakSignature { algorithm: cert.signature.name.clone() });
        }
        if !cert.unknown_critical.is_empty() && !anchor {
            self.add(element, Severity::Critical, Wrong::UnknownCritical { extensions: cert.unknown_critical.clone() });
        }
    }

    /// What is asked of one that gave the element below it.
    fn issuer(&mut self, element: usize, path: &[Certificate]) {
        let Some(cert) = path.get(element) else { return };
        let who = &cert.subject;
        let mut not = |why: String| self.add(element, Severity::Critical, Wrong::NotAnIssuer { why });
        if !cert.ca {
            not(format!("`{who}` is no CA, but gave the one below it"));
        } else if cert.may_sign == Some(false) {
            not(format!("`{who}` may not sign certificates, but gave the one below it"));
        }
        // between it and the server's certificate; one that changed its key only does not count (RFC 5280, 4.2.1.9)
        let below = path.get(1..element).unwrap_or_default().iter().filter(|c| !c.names_itself()).count();
        if let Some(most) = cert.path_len
            && below > usize::try_from(most).unwrap_or(usize::MAX)
        {
            not(format!("`{who}` allows {most} CAs below it, and there are {below}"));
        }
        if cert.for_servers == Some(false) {
            not(format!("`{who}` is not for what servers show, but for {}", cert.purposes.join(", ")));
        }
    }

    /// What was sent, beside what is needed.
    fn order(&mut self, shown: &[Certificate], path: &[Certificate]) {
        let place = |cert: &Certificate| shown.iter().position(|s| s == cert);
        let mut places = path.iter().enumerate().filter_map(|(i, c)| place(c).map(|p| (i, p)));
        if places.any(|(i, p)| i != p) {
            self.add(None, Severity::Warning, Wrong::WrongOrder);
        }
        // one that only the store has, though the store has who gave it too
        for (element, cert) in path.iter().enumerate().skip(1) {
            let store_only = self.terms.trust.holds(cert) && place(cert).is_none() && !cert.names_itself();
            let could_go_on = self.terms.trust.anchors().iter().any(|a| a.subject == cert.issuer && a != cert);
            if store_only && could_go_on {
                let what = Wrong::MissingIntermediate { issuer: cert.subject.clone(), filled: true };
                self.add(element.saturating_sub(1), Severity::Warning, what);
            }
        }
        for (i, cert) in shown.iter().enumerate().skip(1) {
            let again = shown.iter().take(i).any(|earlier| earlier == cert);
            let same_key = |c: &Certificate| c.subject == cert.subject && c.key_id == cert.key_id;
            let needed = path.iter().any(|c| c == cert || same_key(c))
                || shown.iter().any(|child| child != cert && path::link(child, cert) == Link::Signed);
            if again || !needed {
                self.add(None, Severity::Warning, Wrong::Superfluous { subject: cert.subject.clone() });
            }
        }
    }

    /// Why the way ends before anybody trusted.
    fn broken(&mut self, shown: &[Certificate], path: &[Certificate]) {
        let Some(top) = path.last() else { return };
        let element = path.len() - 1;
        let store = self.terms.trust.name.clone();
        let anchors = self.terms.trust.anchors();
        let critical = Severity::Critical;
        if top.names_itself() && path::link(top, top) != Link::Namesake {
            let what = Wrong::Untrusted { root: top.subject.clone(), self_signed: true, store };
            return self.add(element, critical, what);
        }
        let issuer = top.issuer.clone();
        let namesake = |c: &&Certificate| c.subject == top.issuer && *c != top;
        if shown.iter().any(|c| namesake(&c)) {
            self.add(element, critical, Wrong::WrongIntermediate { issuer });
        } else if anchors.iter().any(|c| namesake(&c)) || element > 0 {
            self.add(element, critical, Wrong::Untrusted { root: issuer, self_signed: false, store });
        } else {
            self.add(element, critical, Wrong::MissingIntermediate { issuer, filled: false });
        }
    }

    /// What the server had to show of its CA's responder.
    fn stapled(&mut self, leaf: &Certificate, issuer: &Certificate) {
        let Some(der) = self.terms.stapled else { return };
        match ocsp::read(der, leaf, issuer, self.terms.at) {
            Ok(Standing::Good) => {}
            Ok(Standing::Revoked { at, reason }) => {
                let by = "the answer of its CA that the server stapled".to_owned();
                self.add(0, Severity::Critical, Wrong::Revoked { at: Some(at), reason, by });
            }
            Err(why) => self.add(0, Severity::Unknown, Wrong::RevocationUnknown { why }),
        }
    }

    fn revocation(&mut self, element: usize, cert: &Certificate, issuer: &Certificate) {
        let of_its_name: Vec<&Crl> = self.terms.crls.iter().filter(|crl| crl.issuer == cert.issuer).collect();
        // a CA that changed its key has two lists: the one that this key signed counts
        let (signed, forged): (Vec<&Crl>, Vec<&Crl>) = of_its_name.iter().partition(|crl| crl.forged(issuer).is_none());
        if signed.is_empty()
            && let Some(why) = forged.first().and_then(|crl| crl.forged(issuer))
        {
            self.add(element, Severity::Unknown, Wrong::RevocationUnknown { why });
        }
        for crl in signed {
            if let Some(why) = crl.doubt(self.terms.at) {
                self.add(element, Severity::Unknown, Wrong::RevocationUnknown { why });
            }
            if let Some(revoked) = crl.revoked(cert) {
                let (at, reason) = (Some(revoked.at), revoked.reason.clone());
                self.add(element, Severity::Critical, Wrong::Revoked { at, reason, by: crl.name.clone() });
            }
        }
    }

    /// The verifier of rustls: names constrained, purposes nested, all that a client minds.
    fn second_reading(&mut self, leaf: &Certificate, rest: &[Certificate], path: &[Certificate]) {
        if self.terms.trust.holds(leaf) {
            return;
        }
        let refused = |why: String| Wrong::Refused { why };
        let sent: Vec<CertificateDer<'_>> = rest.iter().chain(path).map(|c| c.der().into()).collect();
        let seconds = u64::try_from(self.terms.at.as_second()).unwrap_or_default();
        let der = CertificateDer::from(leaf.der());
        let read = webpki::EndEntityCert::try_from(&der).and_then(|end| {
            end.verify_for_usage(
                dial::provider().signature_verification_algorithms.all,
                self.terms.trust.for_rustls(),
                &sent,
                UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
                webpki::KeyUsage::server_auth(),
                None,
                None,
            )
            .map(drop)
        });
        match read {
            Ok(()) => {}
            Err(webpki::Error::CaUsedAsEndEntity) => {
                let why = "it is a CA's own certificate, which many clients take from no server".to_owned();
                self.add(0, Severity::Warning, refused(why));
            }
            Err(webpki::Error::NameConstraintViolation) => {
                let why = "its names are not among those that its CA may give".to_owned();
                self.add(0, Severity::Critical, refused(why));
            }
            Err(other) => self.add(None, Severity::Critical, refused(other.to_string())),
        }
    }
}
