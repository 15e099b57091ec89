//! The way from a certificate to somebody trusted.
//!
//! A server sends its certificate and, in any order, what links it to a root; the root itself is in the store. All ways
//! are tried, those of a cross-signed CA among them, and the best is kept: one that is whole before one that is not, one
//! that is in time before one that has expired. A hostile chain costs a bounded number of signature checks.

use super::{
    facts::Certificate,
    trust::Trust,
    verify::{self, Checked},
};

/// A way upwards, as far as it goes.
#[derive(Clone, Debug)]
pub(super) struct Path {
    /// From the certificate itself up; the last is the anchor where it is whole.
    pub(super) certs: Vec<Certificate>,
    /// Whether it ends at an anchor.
    pub(super) whole: bool,
}

/// Signature checks that one chain may cost: a sound one needs three or four.
const MOST_CHECKS: usize = 64;
/// Certificates in a way, the two ends included.
const DEEPEST: usize = 10;

/// What a candidate has been found to be to a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// It signed it.
    Signed,
    /// It has the issuer's name, but did not sign it.
    Namesake,
    /// It has the name, and nobody here can check the signature.
    Unproven,
    /// Another one.
    Stranger,
}

/// Whether one certificate was given by another.
pub(super) fn link(child: &Certificate, parent: &Certificate) -> Link {
    let (Some(c), Some(p)) = (child.parsed(), parent.parsed()) else { return Link::Stranger };
    if c.issuer().as_raw() != p.subject().as_raw() {
        return Link::Stranger;
    }
    match verify::check(
        &c.signature_algorithm,
        p.public_key(),
        c.tbs_certificate.as_ref(),
        c.signature_value.data.as_ref(),
    ) {
        Checked::Right => Link::Signed,
        Checked::Wrong => Link::Namesake,
        Checked::Unknown => Link::Unproven,
    }
}

/// The best way from `leaf` through `pool` to the store.
pub(super) fn best(leaf: &Certificate, pool: &[Certificate], trust: &Trust, at: jiff::Timestamp) -> Path {
    let mut search = Search { pool, trust, at, checks: 0, best: None };
    search.walk(vec![leaf.clone()]);
    search.best.unwrap_or(Path { certs: vec![leaf.clone()], whole: false })
}

struct Search<'a> {
    pool: &'a [Certificate],
    trust: &'a Trust,
    at: jiff::Timestamp,
    checks: usize,
    best: Option<Path>,
}

impl Search<'_> {
    fn walk(&mut self, way: Vec<Certificate>) {
        let Some(top) = way.last().cloned() else { return };
        let whole = self.trust.holds(&top);
        self.offer(Path { certs: way.clone(), whole });
        if whole || way.len() >= DEEPEST || self.checks >= MOST_CHECKS {
            return;
        }
        // anchors first: a root that was sent along too is no detour
        let candidates: Vec<Certificate> =
            self.trust.anchors().iter().chain(self.pool).filter(|c| may_be(&top, c)).cloned().collect();
        for candidate in candidates {
            if way.contains(&candidate) || self.checks >= MOST_CHECKS {
                continue;
            }
            self.checks += 1;
            if matches!(link(&top, &candidate), Link::Signed | Link::Unproven) {
                let mut further = way.clone();
                further.push(candidate);
                self.walk(further);
            }
        }
    }

    fn offer(&mut self, path: Path) {
        let rank = |p: &Path| {
            let timely = p.certs.iter().all(|c| c.not_before <= self.at && self.at <= c.not_after);
            // of two that are whole the shorter, of two that are not the longer
            let length = if p.whole { DEEPEST.saturating_sub(p.certs.len()) } else { p.certs.len() };
            (p.whole, timely && p.whole, length)
        };
        if self.best.as_ref().is_none_or(|best| rank(&path) > rank(best)) {
            self.best = Some(path);
        }
    }
}

/// By name alone, before anything is computed.
fn may_be(child: &Certificate, parent: &Certificate) -> bool {
    child.issuer == parent.subject
        && match (&child.issuer_key_id, &parent.key_id) {
            (Some(wanted), Some(is)) => wanted == is,
            _ => true,
        }
}
