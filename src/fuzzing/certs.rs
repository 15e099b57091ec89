//! What servers show and files hold: certificates, their armour, lists of what was revoked.

use super::sentence;
use crate::cert::{Certificate, Crl, Severity, Terms, Trust, judge, pem::Pieces, public_half};
use jiff::Timestamp;
use std::sync::LazyLock;

/// Whatever the bytes are: they are read or refused with a sentence, the same bytes give the same facts, and nothing that
/// nobody trusts is ever called sound.
pub fn check_certificates(bytes: &[u8]) {
    check_answer(bytes);
    let certificates = match Pieces::read(bytes) {
        Err(why) => return sentence(&why.to_string(), 1000),
        Ok(pieces) => {
            for key in &pieces.keys {
                if let Err(why) = public_half(key) {
                    sentence(&why.to_string(), 1000);
                }
            }
            for der in &pieces.crls {
                if let Err(why) = Crl::from_der("a list".into(), der) {
                    sentence(&why.to_string(), 1000);
                }
            }
            pieces.certificates
        }
    };
    for cert in &certificates {
        let again = Certificate::from_der(cert.der());
        assert!(again.as_ref() == Ok(cert), "the same bytes say something else: {again:?}");
        assert!(!cert.serial.is_empty() && cert.fingerprint.len() == 64, "{cert:?}");
    }
    let trust = Trust::of("nobody".into(), Vec::new());
    let terms = Terms {
        at: Timestamp::UNIX_EPOCH,
        names: Vec::new(),
        warn: 30,
        crit: 7,
        share: Some(33),
        trust: &trust,
        crls: &[],
        key: None,
        unstapled: false,
        stapled: None,
        chain: true,
    };
    let judgement = judge(&certificates, &terms);
    assert!(judgement.severity() >= Severity::Critical, "nobody is trusted, and all is well: {certificates:?}");
    for fault in &judgement.faults {
        sentence(&fault.what.to_string(), 1024 * 1024);
    }
}

/// Bytes that a server staples to a sound chain.
fn check_answer(bytes: &[u8]) {
    static SOUND: LazyLock<(Vec<Certificate>, Trust)> = LazyLock::new(|| {
        let read = |pem: &[u8]| Pieces::read(pem).map(|pieces| pieces.certificates).unwrap_or_default();
        let trust = Trust::of("store".into(), read(include_bytes!("../../tests/data/chains/store.pem")));
        (read(include_bytes!("../../tests/data/chains/sound.pem")), trust)
    });
    let (chain, trust) = &*SOUND;
    let terms = Terms {
        at: Timestamp::UNIX_EPOCH,
        names: Vec::new(),
        warn: 30,
        crit: 7,
        share: None,
        trust,
        crls: &[],
        key: None,
        unstapled: false,
        stapled: Some(bytes),
        chain: true,
    };
    let judgement = judge(chain, &terms);
    assert!(judgement.severity() >= Severity::Critical, "of 1970 nothing is good yet");
    for fault in &judgement.faults {
        sentence(&fault.what.to_string(), 1000);
    }
}
