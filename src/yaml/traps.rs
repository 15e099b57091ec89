//! What a plain (unquoted) scalar means in YAML 1.2, and where other readers, or people, would take it for something else.

use serde_json::Number;

/// What a plain scalar is by the core schema of YAML 1.2.
#[derive(Clone, Debug, PartialEq)]
pub enum Plain {
    /// Empty, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Anything else.
    Text,
}

/// A spelling that is read differently elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// `yes no on off`: texts here, booleans in YAML 1.1.
    Word(bool),
    /// `0644`: the number 644 by YAML 1.2, 420 by YAML 1.1.
    Zero,
    /// `12:30:00`: a text here, a number to base 60 in YAML 1.1.
    Sixty,
    /// `1_000`: a text here, a number in YAML 1.1.
    Underscore,
}

/// The meaning of a plain scalar.
pub fn plain(text: &str) -> (Plain, Option<Trap>) {
    let meaning = match text {
        "" | "~" | "null" | "Null" | "NULL" => Plain::Null,
        "true" | "True" | "TRUE" => Plain::Bool(true),
        "false" | "False" | "FALSE" => Plain::Bool(false),
        _ => {
            return match text.as_bytes().first() {
                Some(b'0'..=b'9' | b'-' | b'+' | b'.') => number(text),
                Some(b'y' | b'Y' | b'n' | b'N' | b'o' | b'O') => (Plain::Text, word(text)),
                _ => (Plain::Text, None),
            };
        }
    };
    (meaning, None)
}

fn word(text: &str) -> Option<Trap> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" => Some(Trap::Word(true)),
        "no" | "off" => Some(Trap::Word(false)),
        _ => None,
    }
}

fn number(text: &str) -> (Plain, Option<Trap>) {
    let digits = text.trim_start_matches(['-', '+']);
    let all = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if text.len() - digits.len() > 1 {
        return (Plain::Text, None);
    }
    if all(digits) {
        if digits.len() > 1 && digits.starts_with('0') {
            return (Plain::Text, Some(Trap::Zero));
        }
        let text = text.trim_start_matches('+');
        let whole = text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from));
        return whole.map_or((Plain::Text, None), |n| (Plain::Number(n), None));
    }
    for (prefix, base) in [("0o", 8), ("0x", 16)] {
        if let Some(n) = text.strip_prefix(prefix).and_then(|d| u64::from_str_radix(d, base).ok()) {
            return (Plain::Number(n.into()), None);
        }
    }
    if let Some((head, tail)) = digits.split_once(':')
        && all(head)
        && tail.split(':').all(|p| p.len() <= 2 && all(p) && p.parse::<u8>().is_ok_and(|n| n < 60))
    {
        return (Plain::Text, Some(Trap::Sixty));
    }
    if digits.contains('_') && all(&digits.replace('_', "")) && digits.starts_with(|c: char| c.is_ascii_digit()) {
        return (Plain::Text, Some(Trap::Underscore));
    }
    let float = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
    match text.parse::<f64>().ok().filter(|_| float).and_then(Number::from_f64) {
        Some(n) => (Plain::Number(n), None),
        None => (Plain::Text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_yaml_1_2_says() {
        for text in ["~", "null", ""] {
            assert_eq!(plain(text), (Plain::Null, None));
        }
        assert_eq!(plain("true"), (Plain::Bool(true), None));
        for (text, n) in [("0", 0), ("-12", -12), ("+7", 7), ("0o644", 420), ("0xff", 255)] {
            assert_eq!(plain(text), (Plain::Number(n.into()), None), "{text}");
        }
        assert_eq!(plain("1.5e3"), (Plain::Number(Number::from_f64(1500.0).unwrap()), None));
        for text in
            ["10.77.0.5", "10.77.0.5:9999", "30s", "-", "1h30m", ".hidden", "2026-11-30", "node", "--x", "8080:80"]
        {
            assert_eq!(plain(text), (Plain::Text, None), "{text}");
        }
    }

    #[test]
    fn spellings_that_mean_two_things_are_traps() {
        for (text, trap) in [
            ("yes", Trap::Word(true)),
            ("Off", Trap::Word(false)),
            ("0644", Trap::Zero),
            ("007", Trap::Zero),
            ("12:30:00", Trap::Sixty),
            ("1_000", Trap::Underscore),
        ] {
            assert_eq!(plain(text), (Plain::Text, Some(trap)), "{text}");
        }
    }
}
