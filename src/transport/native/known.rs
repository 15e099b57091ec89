//! The known_hosts files: whether a host's key is the one that stands there (sshd(8), «SSH_KNOWN_HOSTS FILE FORMAT»).

use aws_lc_rs::hmac;
use russh::keys::{Algorithm, HashAlg, PublicKey};
use std::path::{Path, PathBuf};

/// What stands about a host.
pub(super) struct Known {
    lines: Vec<Line>,
    /// Some lines name an authority for it: those are passed over.
    authority: bool,
    /// How the host is called in the files.
    name: String,
}

struct Line {
    key: PublicKey,
    revoked: bool,
    place: String,
}

/// What a key is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The known one.
    Known,
    /// Refused, in the words of ssh.
    Refused(String),
}

impl Known {
    /// Reads what stands about a host. A file that is not there knows nothing.
    pub(super) fn read(files: &[PathBuf], host: &str, port: u16) -> Self {
        let host = host.to_lowercase();
        let name = if port == 22 { host } else { format!("[{host}]:{port}") };
        let mut known = Self { lines: Vec::new(), authority: false, name };
        for file in files {
            if let Ok(bytes) = std::fs::read(file) {
                known.take(file, &String::from_utf8_lossy(&bytes));
            }
        }
        known
    }

    fn take(&mut self, file: &Path, text: &str) {
        for (number, line) in text.lines().enumerate() {
            let mut words = line.split_ascii_whitespace().peekable();
            let marker = words.next_if(|word| word.starts_with('@'));
            let (Some(hosts), Some(kind), Some(blob)) = (words.next(), words.next(), words.next()) else { continue };
            if hosts.starts_with('#') || !matches(hosts, &self.name) {
                continue;
            }
            if marker == Some("@cert-authority") {
                self.authority = true;
            } else if let Ok(key) = PublicKey::from_openssh(&format!("{kind} {blob}"))
                && matches!(marker, None | Some("@revoked"))
            {
                let place = format!("{}:{}", file.display(), number + 1);
                self.lines.push(Line { key, revoked: marker.is_some(), place });
            }
        }
    }

    /// Whether nothing is known of it.
    pub(super) fn is_empty(&self) -> bool {
        !self.lines.iter().any(|line| !line.revoked)
    }

    /// Whether a key of this kind is known: such are asked for first, so that a host with several shows that one.
    pub(super) fn knows(&self, algorithm: &Algorithm) -> bool {
        self.lines.iter().any(|line| !line.revoked && kind(&line.key.algorithm()) == kind(algorithm))
    }

    /// Whether another key of the same kind is the known one.
    pub(super) fn contradicts(&self, key: &PublicKey) -> bool {
        !self.same(key, false) && self.knows(&key.algorithm())
    }

    pub(super) fn judge(&self, key: &PublicKey) -> Verdict {
        let name = shown(&key.algorithm());
        let failed = "Host key verification failed";
        if let Some(line) = self.lines.iter().find(|line| line.revoked && line.key.key_data() == key.key_data()) {
            return Verdict::Refused(format!("its {name} host key is marked as revoked in {}; {failed}", line.place));
        }
        if self.same(key, false) {
            return Verdict::Known;
        }
        let other = self.lines.iter().find(|l| !l.revoked && kind(&l.key.algorithm()) == kind(&key.algorithm()));
        if let Some(line) = other {
            let print = key.fingerprint(HashAlg::Sha256);
            let changed = crate::transport::ssh::CHANGED;
            return Verdict::Refused(format!("{changed}; it shows {print}, the known one stands in {}", line.place));
        }
        let mut said = format!("No {name} host key is known for {} and you have requested strict checking", self.name);
        if self.authority {
            said += "; an authority stands there for it (@cert-authority), which `client: native` does not support";
        }
        Verdict::Refused(format!("{said}; {failed}"))
    }

    fn same(&self, key: &PublicKey, revoked: bool) -> bool {
        self.lines.iter().any(|line| line.revoked == revoked && line.key.key_data() == key.key_data())
    }
}

/// The kind of a key, whatever hash it signs with.
pub(super) fn kind(algorithm: &Algorithm) -> Algorithm {
    match algorithm {
        Algorithm::Rsa { .. } => Algorithm::Rsa { hash: None },
        other => other.clone(),
    }
}

fn shown(algorithm: &Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Ed25519 => "ED25519",
        Algorithm::Ecdsa { .. } => "ECDSA",
        Algorithm::Rsa { .. } => "RSA",
        _ => "such",
    }
}

/// Whether a list of hosts names this one: patterns with `*` and `?`, `!` before one that it must not be, or a hash.
fn matches(hosts: &str, name: &str) -> bool {
    if let Some(hash) = hosts.strip_prefix("|1|") {
        return hashed(hash, name).unwrap_or(false);
    }
    let hosts = hosts.to_lowercase();
    let mut found = false;
    for pattern in hosts.split(',') {
        match pattern.strip_prefix('!') {
            Some(not) if like(not, name) => return false,
            Some(_) => {}
            None => found |= like(pattern, name),
        }
    }
    found
}

fn hashed(hash: &str, name: &str) -> Option<bool> {
    let (salt, sum) = hash.split_once('|')?;
    // what ssh writes; it hides names from a reader, no more
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &base64(salt)?);
    Some(hmac::verify(&key, name.as_bytes(), &base64(sum)?).is_ok())
}

fn base64(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0u32, 0u32);
    for digit in text.trim_end_matches('=').bytes() {
        let value = u32::try_from(DIGITS.iter().position(|d| *d == digit)?).ok()?;
        held = (held << 6 | value) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).ok()?);
        }
    }
    Some(bytes)
}

/// `*` is any text, `?` any sign.
pub(super) fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(sign) = text.get(t) {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(wanted) if *wanted == '?' || wanted == sign => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|sign| *sign == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA6rWI3G1sz07DnfFlrouTcysQlj2P+jpNSOEWD9OJ3X";

    fn judge(lines: &str, host: &str, port: u16) -> Verdict {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known");
        std::fs::write(&file, lines).unwrap();
        let known = Known::read(&[dir.path().join("none"), file], host, port);
        let key = PublicKey::from_openssh(ONE).unwrap();
        match known.judge(&key) {
            Verdict::Refused(said) => Verdict::Refused(said.replace(&*dir.path().to_string_lossy(), "DIR")),
            known @ Verdict::Known => known,
        }
    }

    #[test]
    fn a_key_is_known_by_name_pattern_port_and_hash() {
        // ssh-keygen -H made the last one of `[web1]:2222`
        for (hosts, host, port) in [
            ("web1", "web1", 22),
            ("db1,WEB1", "Web1", 22),
            ("web?", "web1", 22),
            ("*.example.org,web*", "web1", 22),
            ("[web1]:2222", "web1", 2222),
            ("[*]:2222", "web1", 2222),
        ] {
            assert_eq!(judge(&format!("# text\n\n{hosts} {ONE} comment\n"), host, port), Verdict::Known, "{hosts}");
        }
        for (hosts, host, port) in [("web10", "web1", 22), ("web1", "web1", 2222), ("web*,!web1", "web1", 22)] {
            assert_ne!(judge(&format!("{hosts} {ONE}\n"), host, port), Verdict::Known, "{hosts}");
        }
    }

    #[test]
    fn a_hashed_name_is_found_as_ssh_keygen_writes_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known");
        std::fs::write(&file, format!("[web1]:2222 {ONE}\nweb2 {OTHER}\n")).unwrap();
        let hashed = std::process::Command::new("ssh-keygen").arg("-Hf").arg(&file).output();
        if hashed.is_ok_and(|out| out.status.success()) {
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.starts_with("|1|") && !text.contains("web1"));
            assert_eq!(judge(&text, "web1", 2222), Verdict::Known);
            assert_ne!(judge(&text, "web1", 22), Verdict::Known);
            assert_ne!(judge(&text, "web2", 22), Verdict::Known);
        }
    }

    #[test]
    fn a_key_that_is_not_the_known_one_is_refused_in_words() {
        let refused = |lines: &str| match judge(lines, "web1", 22) {
            Verdict::Refused(said) => said,
            Verdict::Known => panic!("known by {lines}"),
        };
        insta::assert_snapshot!(refused(""), @"No ED25519 host key is known for web1 and you have requested strict checking; Host key verification failed");
        insta::assert_snapshot!(refused(&format!("web1 {OTHER}")), @"its host key is another than the known one; it shows SHA256:T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0IE, the known one stands in DIR/known:1");
        insta::assert_snapshot!(refused(&format!("web1 {ONE}\n@revoked * {ONE}")), @"its ED25519 host key is marked as revoked in DIR/known:2; Host key verification failed");
        insta::assert_snapshot!(refused(&format!("@cert-authority * {ONE}")), @"No ED25519 host key is known for web1 and you have requested strict checking; an authority stands there for it (@cert-authority), which `client: native` does not support; Host key verification failed");
    }

    proptest! {
        #[test]
        fn a_line_of_any_signs_is_read_without_harm_and_knows_no_key(line in "[ -~а-я|@*!,\\[\\]]{0,80}") {
            prop_assert_ne!(judge(&line, "web1", 22), Verdict::Known);
        }

        #[test]
        fn a_pattern_of_stars_alone_is_like_everything(stars in "\\*{1,6}", text in ".{0,20}") {
            prop_assert!(like(&stars, &text));
        }
    }
}
