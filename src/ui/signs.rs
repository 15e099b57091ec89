//! The signs that are no letters, for terminals that show them and for those that do not.

/// Signs for drawing. A word stands beside each: none says anything alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signs {
    /// The part of a bar that is done.
    pub done: &'static str,
    /// The part of a bar that is ahead.
    pub ahead: &'static str,
    /// Between facts of one line.
    pub dot: &'static str,
    /// Something is under way: one after the other.
    pub turning: &'static [&'static str],
    /// It waits.
    pub waits: &'static str,
    /// It is wrong.
    pub wrong: &'static str,
}

impl Signs {
    /// Those of Unicode, or ASCII only.
    pub const fn of(unicode: bool) -> Self {
        if unicode {
            Self {
                done: "━",
                ahead: "─",
                dot: " · ",
                turning: &["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"],
                waits: "◦",
                wrong: "✗",
            }
        } else {
            Self { done: "#", ahead: "-", dot: ", ", turning: &["|", "/", "-", "\\"], waits: "o", wrong: "!" }
        }
    }
}

/// A text for a terminal without Unicode: the signs of svcops itself become ASCII; the letters of others are left alone.
pub fn ascii(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '→' => plain.push_str("->"),
            '…' => plain.push_str("..."),
            '·' | '–' | '—' | '─' | '━' => plain.push('-'),
            '│' | '┃' => plain.push('|'),
            '✓' => plain.push('+'),
            '✗' | '×' => plain.push('x'),
            c => plain.push(c),
        }
    }
    plain
}

/// Whether a locale's name says UTF-8.
pub fn unicode(locale: &str) -> bool {
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_without_unicode_gets_ascii_and_keeps_the_letters_of_others() {
        assert_eq!(ascii("ready → drain · Перезапуск …"), "ready -> drain - Перезапуск ...");
        let signs = Signs::of(false);
        for sign in [signs.done, signs.ahead, signs.dot, signs.waits, signs.wrong].iter().chain(signs.turning) {
            assert!(sign.is_ascii(), "{sign}");
        }
        assert!(unicode("C.UTF-8") && unicode("ru_RU.utf8") && !unicode("C") && !unicode("ru_RU.KOI8-R"));
    }
}
