//! Colour, where it is wanted. It adds nothing that the words lack.

/// Colours texts, or leaves them alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// With colour or without.
    pub const fn new(on: bool) -> Self {
        Self { on }
    }
    /// Whether it colours.
    pub const fn on(self) -> bool {
        self.on
    }
    /// For failures, and for what a diff takes away.
    pub fn red(self, text: &str) -> String {
        self.with("31", text)
    }
    /// For what went well, and for what a diff adds.
    pub fn green(self, text: &str) -> String {
        self.with("32", text)
    }
    /// For warnings.
    pub fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }
    /// For hints and places.
    pub fn cyan(self, text: &str) -> String {
        self.with("36", text)
    }
    /// For what the eye should find first.
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }
    /// For what it may pass over.
    pub fn dim(self, text: &str) -> String {
        self.with("2", text)
    }
    fn with(self, code: &str, text: &str) -> String {
        if self.on && !text.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// A text without the codes of colours that [`Paint`] put there.
pub fn uncoloured(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, rest)| rest))
}

/// The same on one line: a newline cannot pretend to be another line of ours.
pub fn plain_line(text: &str) -> String {
    let text = text.replace('\n', "\\n").replace('\r', "\\r");
    plain(&text).replace(['\u{2028}', '\u{2029}'], " ")
}

/// A text from outside (a host's output, a file) made harmless for a terminal: a control character is shown, never sent.
pub fn plain(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => clean.push(c),
            '\t' => clean.push_str("    "),
            '\r' => {}
            c if c.is_control() || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}') => {
                clean.extend(c.escape_default());
            }
            c => clean.push(c),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_sequence_from_a_host_is_shown_and_not_sent() {
        assert_eq!(plain("a\u{1b}[2Jb\r\nв\tг"), "a\\u{1b}[2Jb\nв    г");
    }

    #[test]
    fn without_colour_a_text_stays_itself() {
        assert_eq!(Paint::new(false).red("x"), "x");
        assert_eq!(Paint::new(true).red("x"), "\u{1b}[31mx\u{1b}[0m");
        assert_eq!(uncoloured(&format!("a {} b", Paint::new(true).red("mm"))), "a mm b");
    }
}
