//! Secrets: values that cannot be printed, texts that only name them, and the redactor before every sink.

use serde::{Deserialize, Serialize};
use std::{
    fmt,
    sync::{Arc, RwLock},
};
use zeroize::Zeroizing;

/// A secret's value. It has no `Display`, its `Debug` says `***`, and its memory is wiped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a value in.
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }
    /// The value, for the one who sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A text in which secrets stand by their name, between U+E000 and U+E001. This is what is journaled; values are filled
/// in when it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(pub String);

impl Text {
    /// What a template's `secret('NAME')` renders to.
    pub fn mark(name: &str) -> String {
        format!("{OPEN}{name}{CLOSE}")
    }
    /// The names of the secrets in it, each once, in order.
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for part in self.0.split(OPEN).skip(1) {
            if let Some((name, _)) = part.split_once(CLOSE)
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        names
    }
    /// The text with values for names.
    ///
    /// # Errors
    /// Whatever `value` answers for a name that it cannot give.
    pub fn fill<E>(&self, mut value: impl FnMut(&str) -> Result<Secret, E>) -> Result<Secret, E> {
        let mut parts = self.0.split(OPEN);
        let mut text = Zeroizing::new(parts.next().unwrap_or_default().to_owned());
        for part in parts {
            let (name, rest) = part.split_once(CLOSE).unwrap_or(("", part));
            text.push_str(value(name)?.reveal());
            text.push_str(rest);
        }
        Ok(Secret(text))
    }
    /// The text as people may see it.
    pub fn shown(&self) -> String {
        let mut parts = self.0.split(OPEN);
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            text.push_str(MASK);
            text.push_str(part.split_once(CLOSE).map_or(part, |(_, rest)| rest));
        }
        text
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Knows every secret that was read so far, and puts `***` for it wherever a text leaves svcops. Clones share what they
/// know.
#[derive(Clone, Default)]
pub struct Redactor(Arc<RwLock<Vec<Zeroizing<String>>>>);

impl Redactor {
    /// From now on this value is hidden, also in base64 (at each of its three alignments), in URL form, in hexadecimal
    /// digits and as a JSON string. Values under 4 bytes are not: hiding them would tell more than it hides.
    pub fn hide(&self, secret: &Secret) {
        let value = secret.reveal();
        let mut forms: Vec<String> = Vec::new();
        for line in std::iter::once(value).chain(value.lines()) {
            if line.len() < 4 {
                continue;
            }
            let bytes = line.as_bytes();
            forms.push(line.to_owned());
            forms.extend(base64_cores(bytes));
            forms.push(url_form(bytes, false));
            forms.push(url_form(bytes, true));
            forms.push(bytes.iter().map(|b| format!("{b:02x}")).collect());
            forms.push(serde_json::to_string(line).unwrap_or_default().trim_matches('"').to_owned());
        }
        let Ok(mut known) = self.0.write() else { return };
        for form in forms.into_iter().filter(|f| f.len() >= 4) {
            if !known.iter().any(|k| **k == form) {
                known.push(Zeroizing::new(form));
            }
        }
        known.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
    }
    /// The text with `***` for every secret, and whether there was one.
    pub fn clean(&self, text: &str) -> (String, bool) {
        let Ok(known) = self.0.read() else { return (MASK.to_owned(), true) };
        let mut clean = text.to_owned();
        let mut found = false;
        for form in known.iter() {
            if clean.contains(form.as_str()) {
                found = true;
                clean = clean.replace(form.as_str(), MASK);
            }
        }
        (clean, found)
    }
    /// The longest form known, in bytes: who cuts a text before cleaning it must leave so much over.
    pub fn longest(&self) -> usize {
        self.0.read().map_or(0, |known| known.first().map_or(0, |k| k.len()))
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor")
    }
}

const OPEN: char = '\u{E000}';
const CLOSE: char = '\u{E001}';
const MASK: &str = "***";

/// The digits of the base64 that do not depend on what stands before or after the bytes, for each alignment, in the
/// standard alphabet and the one for URLs (RFC 4648).
fn base64_cores(bytes: &[u8]) -> Vec<String> {
    let mut cores = Vec::new();
    for skip in 0..3 {
        let mut padded = vec![0u8; skip];
        padded.extend_from_slice(bytes);
        let from = [0, 2, 3].get(skip).copied().unwrap_or(0);
        let until = padded.len() * 8 / 6;
        for alphabet in [STANDARD, URL_SAFE] {
            let digits: String = (from..until).filter_map(|i| base64_digit(&padded, i, alphabet)).collect();
            cores.push(digits);
        }
    }
    cores
}

fn base64_digit(bytes: &[u8], index: usize, alphabet: &[u8; 64]) -> Option<char> {
    let bit = index * 6;
    let pair = u16::from(*bytes.get(bit / 8)?) << 8 | u16::from(bytes.get(bit / 8 + 1).copied().unwrap_or(0));
    alphabet.get(usize::from(pair >> (10 - bit % 8) & 63)).map(|c| char::from(*c))
}

fn url_form(bytes: &[u8], plus: bool) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => text.push(char::from(*byte)),
            b' ' if plus => text.push('+'),
            other => text += &format!("%{other:02X}"),
        }
    }
    text
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_every_form() {
        let redactor = Redactor::default();
        redactor.hide(&Secret::new("s3cr&t päss".into()));
        for form in ["s3cr&t päss", "czNjciZ0IHDDpHNz", "s3cr%26t%20p%C3%A4ss", "s3cr%26t+p%C3%A4ss"] {
            assert_eq!(redactor.clean(&format!("<{form}>")), ("<***>".into(), true), "{form}");
        }
        // inside a longer base64: `xs3cr&t pässy` and `xxs3cr&t pässy`
        for longer in ["eHMzY3ImdCBww6Rzc3k=", "eHhzM2NyJnQgcMOkc3N5"] {
            assert!(redactor.clean(longer).1, "{longer}");
        }
        assert_eq!(redactor.clean("nothing here"), ("nothing here".into(), false));
    }

    #[test]
    fn a_text_names_its_secrets_and_shows_none() {
        let text = Text(format!("user:{}@{}", Text::mark("pw"), Text::mark("host")));
        assert_eq!(text.names(), ["pw", "host"]);
        assert_eq!(text.shown(), "user:***@***");
        let filled = text.fill(|n| Ok::<_, ()>(Secret::new(n.to_uppercase()))).unwrap();
        assert_eq!(filled.reveal(), "user:PW@HOST");
        assert_eq!(format!("{filled:?}"), "***");
    }
}
