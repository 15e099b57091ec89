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
    fn written(self, form: SecretForm) -> Self {
        match form {
            SecretForm::Plain => self,
            SecretForm::Pgpass => Self::new(pgpass(&self.0)),
        }
    }
}

/// How the value of a secret is written into a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecretForm {
    /// As it is.
    #[default]
    Plain,
    /// As a field of libpq's password file: a backslash stands before `:` and before itself.
    Pgpass,
}

impl SecretForm {
    /// By the word that templates have for it.
    pub fn of(word: &str) -> Option<Self> {
        (word == PGPASS).then_some(Self::Pgpass)
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
    /// What `secret('NAME', 'FORM')` renders to: its value is written as that form wants it.
    pub fn mark_as(name: &str, form: SecretForm) -> String {
        match form {
            SecretForm::Plain => Self::mark(name),
            SecretForm::Pgpass => format!("{OPEN}{name}{FORM}{PGPASS}{CLOSE}"),
        }
    }
    /// The names of the secrets in it, each once, in order.
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for part in self.0.split(OPEN).skip(1) {
            if let Some((name, _)) = part.split_once(CLOSE) {
                let (name, _) = form_of(name);
                if !names.contains(&name) {
                    names.push(name);
                }
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
            let (name, form) = form_of(name);
            text.push_str(value(name)?.written(form).reveal());
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
pub struct Redactor(Arc<RwLock<Known>>);

#[derive(Default)]
struct Known {
    /// All forms that are looked for as they are, longest first.
    forms: Vec<Zeroizing<String>>,
    /// The values and their lines: looked for behind percent signs as well.
    plain: Vec<Zeroizing<String>>,
}

impl Redactor {
    /// From now on this value is hidden, also in base64 (at each of its three alignments), in URL form (whatever is written
    /// with a percent sign, in either case), in hexadecimal digits, as a JSON string and as HTML. Values under 4 bytes are not: hiding them would tell more than it hides.
    pub fn hide(&self, secret: &Secret) {
        let value = secret.reveal();
        let (mut forms, mut plain): (Vec<String>, Vec<&str>) = (Vec::new(), Vec::new());
        for line in std::iter::once(value).chain(value.lines()) {
            if line.len() < 4 {
                continue;
            }
            let bytes = line.as_bytes();
            plain.push(line);
            forms.push(line.to_owned());
            forms.extend(base64_cores(bytes));
            forms.extend(["&#39;", "&#x27;", "'"].map(|quote| html_form(line, quote)));
            forms.push(bytes.iter().map(|b| format!("{b:02x}")).collect());
            forms.push(pgpass(line));
            forms.push(serde_json::to_string(line).unwrap_or_default().trim_matches('"').to_owned());
        }
        let Ok(mut known) = self.0.write() else { return };
        for form in forms.into_iter().filter(|f| f.len() >= 4) {
            if !known.forms.iter().any(|k| **k == form) {
                known.forms.push(Zeroizing::new(form));
            }
        }
        for value in plain {
            if !known.plain.iter().any(|k| **k == value) {
                known.plain.push(Zeroizing::new(value.to_owned()));
            }
        }
        let longest_first = |a: &Zeroizing<String>, b: &Zeroizing<String>| b.len().cmp(&a.len()).then(a.cmp(b));
        known.forms.sort_by(longest_first);
        known.plain.sort_by(longest_first);
    }
    /// The text with `***` for every secret, and whether there was one.
    pub fn clean(&self, text: &str) -> (String, bool) {
        let Ok(known) = self.0.read() else { return (MASK.to_owned(), true) };
        let mut clean = text.to_owned();
        let mut found = false;
        for form in &known.forms {
            if clean.contains(form.as_str()) {
                found = true;
                clean = clean.replace(form.as_str(), MASK);
            }
        }
        // which characters a program writes with a percent sign, and in which case, is its own choice
        if clean.contains(['%', '+']) {
            for value in &known.plain {
                while let Some((from, to)) = behind_percents(&clean, value) {
                    found = true;
                    clean.replace_range(from..to, MASK);
                }
            }
        }
        (clean, found)
    }
    /// The longest form known, in bytes: who cuts a text before cleaning it must leave so much over.
    pub fn longest(&self) -> usize {
        let of = |list: &[Zeroizing<String>]| list.first().map_or(0, |k| k.len());
        self.0.read().map_or(0, |known| of(&known.forms).max(of(&known.plain) * 3))
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor")
    }
}

const OPEN: char = '\u{E000}';
const CLOSE: char = '\u{E001}';
/// Between a name and the form that its value is written in.
const FORM: char = '\u{E002}';
const PGPASS: &str = "pgpass";
const MASK: &str = "***";

fn form_of(mark: &str) -> (&str, SecretForm) {
    mark.split_once(FORM)
        .map_or((mark, SecretForm::Plain), |(name, form)| (name, SecretForm::of(form).unwrap_or_default()))
}

fn pgpass(value: &str) -> String {
    // room for all of it: a growing text leaves copies behind that nobody wipes
    let mut text = String::with_capacity(value.len() * 2);
    for c in value.chars() {
        if matches!(c, ':' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

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

/// Where a value stands in a text of which any byte may be written as `%2F` or `%2f`, and a blank as `+` (RFC 3986; HTML
/// forms). The place is one of whole characters.
fn behind_percents(text: &str, value: &str) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    // each byte that is meant, and where it begins and ends in the text
    let mut meant: Vec<(u8, usize, usize)> = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if let (b'%', Some(high), Some(low)) = (byte, hex(at + 1), hex(at + 2)) {
            meant.push((high << 4 | low, at, at + 3));
            at += 3;
        } else {
            meant.push((*byte, at, at + 1));
            at += 1;
        }
    }
    let same = |(meant, from, to): &(u8, usize, usize), wanted: &u8| {
        meant == wanted || (*wanted == b' ' && *meant == b'+' && to - from == 1)
    };
    let found =
        meant.windows(value.len().max(1)).find(|part| part.iter().zip(value.as_bytes()).all(|(m, w)| same(m, w)));
    let (from, to) = found.and_then(|part| Some((part.first()?.1, part.last()?.2)))?;
    text.get(from..to).map(|_| (from, to))
}

/// As text in HTML (or XML), where a program writes an apostrophe as `quote`.
fn html_form(text: &str, quote: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    text.replace('\'', quote)
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
    fn which_characters_stand_behind_percent_signs_makes_no_difference() {
        let redactor = Redactor::default();
        redactor.hide(&Secret::new("abcd/efgh+ijkl 'x'".into()));
        for form in [
            "abcd%2Fefgh%2Bijkl%20%27x%27",
            "abcd/efgh%2Bijkl%20%27x%27",
            "abcd%2fefgh%2bijkl+%27x'",
            "%61%62%63%64%2f%65%66%67%68%2b%69%6a%6b%6c%20%27%78%27",
            "abcd/efgh+ijkl &#39;x&#39;",
            "abcd/efgh+ijkl &#x27;x&#x27;",
        ] {
            assert_eq!(redactor.clean(&format!("k=50%&t={form}&я=1 {form}")), ("k=50%&t=***&я=1 ***".into(), true));
        }
        assert_eq!(redactor.clean("100 % of a+b, 50%2"), ("100 % of a+b, 50%2".into(), false));
        assert!(redactor.longest() >= "abcd/efgh+ijkl 'x'".len() * 3);
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

    #[test]
    fn a_value_is_escaped_as_a_password_file_wants_it_and_hidden_in_that_form_too() {
        let text = Text(format!("*:5432:*:replicator:{}", Text::mark_as("pw", SecretForm::Pgpass)));
        assert_eq!((text.names(), text.shown()), (vec!["pw"], "*:5432:*:replicator:***".to_owned()));
        let value = Secret::new(r"pa:ss\word".into());
        let filled = text.fill(|_| Ok::<_, ()>(value.clone())).unwrap();
        assert_eq!(filled.reveal(), r"*:5432:*:replicator:pa\:ss\\word");
        let redactor = Redactor::default();
        redactor.hide(&value);
        assert_eq!(redactor.clean(filled.reveal()), ("*:5432:*:replicator:***".into(), true));
    }
}
