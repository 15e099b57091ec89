//! Lines that fit: folding at spaces by the width that a terminal shows (Cyrillic 1, CJK 2).

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Folds `text` at spaces into lines of at most `width` columns. A word that is longer stays whole: it is a path, a URL
/// or an id, and someone will want to copy it.
pub fn words(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for source in text.lines() {
        let mut line = String::new();
        for word in source.split(' ') {
            if !line.is_empty() && line.width() + 1 + word.width() > width {
                lines.push(std::mem::take(&mut line));
                line.push_str(word);
            } else {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
        }
        lines.push(line);
    }
    if lines.is_empty() {
        lines.push(String::new());
    }
    lines
}

/// Folds one line anywhere, for text that must be kept to the letter, such as a diff.
pub fn hard(line: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for c in line.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide > width.max(2) {
            lines.push(String::new());
            used = 0;
        }
        if let Some(last) = lines.last_mut() {
            last.push(c);
        }
        used += wide;
    }
    lines
}

/// Cuts at `width` columns, with `…` for what is missing.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    if width < 3 {
        return "…".repeat(width.min(1));
    }
    let mut short = hard(text, width.saturating_sub(1)).into_iter().next().unwrap_or_default();
    short.push('…');
    short
}

/// A block under a label: the first line follows `first`, the others are indented to the same column.
pub fn hanging(first: &str, text: &str, width: usize) -> String {
    let indent = first.width();
    let mut block = String::new();
    for (number, line) in words(text, width.saturating_sub(indent).max(20)).iter().enumerate() {
        if number == 0 {
            block += first;
        } else {
            block.push('\n');
            block += &" ".repeat(indent);
        }
        block += line;
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_folded_by_what_a_terminal_shows() {
        assert_eq!(words("Перезапуск узла за узлом", 16), ["Перезапуск узла", "за узлом"]);
        assert_eq!(words("a /very/long/path/name b", 8), ["a", "/very/long/path/name", "b"]);
        assert_eq!(hard("abcdef", 4), ["abcd", "ef"]);
        assert_eq!(cut("Перезапуск", 5), "Пере…");
        assert_eq!((cut("узел", 1), cut("узел", 0), cut("計画計画", 4)), ("…".into(), String::new(), "計…".into()));
        assert_eq!(hanging("  run   ", "one two three four five", 28), "  run   one two three four\n        five");
    }
}
