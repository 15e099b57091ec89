//! Lines at the foot of a terminal that are drawn over and over. The cursor rests below them and is never hidden, so
//! whatever ends this process leaves a usable terminal.
//!
//! Written by hand, after a look at what a library did: it fills every line up to the terminal's edge, so an echoed `^C` or
//! a window made narrower left pieces of old frames behind.

use super::{paint::uncoloured, screen::Screen};
use unicode_width::UnicodeWidthStr as _;

/// What stands at the foot of the terminal.
#[derive(Debug, Default)]
pub struct Canvas {
    lines: Vec<String>,
}

impl Canvas {
    /// Nothing is drawn.
    pub fn is_clear(&self) -> bool {
        self.lines.is_empty()
    }
    /// Draws these lines instead; none may be as wide as the terminal, nor all be as high.
    pub fn show(&mut self, screen: &Screen, width: usize, lines: Vec<String>) {
        let text = self.over(width) + &drawn(&lines);
        self.lines = lines;
        screen.raw(&text);
    }
    /// A text above the lines.
    pub fn above(&mut self, screen: &Screen, width: usize, text: &str) {
        if !self.is_clear() {
            screen.raw(&(self.over(width) + CLEAR));
        }
        screen.note(text);
        if !self.is_clear() {
            screen.raw(&drawn(&self.lines));
        }
    }
    /// Takes the lines away.
    pub fn clear(&mut self, screen: &Screen, width: usize) {
        if !self.is_clear() {
            screen.raw(&(self.over(width) + CLEAR));
            self.lines.clear();
        }
    }

    /// Moves the cursor to the first line. A terminal that became narrower has folded the lines into more rows.
    fn over(&self, width: usize) -> String {
        let rows: usize = self.lines.iter().map(|line| columns(line).div_ceil(width.max(1)).max(1)).sum();
        if rows == 0 { "\r".to_owned() } else { format!("\r\u{1b}[{rows}A") }
    }
}

/// From the cursor to the end of the screen.
const CLEAR: &str = "\u{1b}[J";

/// Each line over what stood there, and nothing below them.
fn drawn(lines: &[String]) -> String {
    let mut text = String::new();
    for line in lines {
        text += line;
        text += "\u{1b}[K\n";
    }
    text + CLEAR
}

fn columns(line: &str) -> usize {
    uncoloured(line).width()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrower_terminal_has_folded_the_lines_into_more_rows() {
        let canvas = Canvas { lines: vec!["x".repeat(70), "計".repeat(30), String::new()] };
        assert_eq!(canvas.over(80), "\r\u{1b}[3A");
        assert_eq!(canvas.over(50), "\r\u{1b}[5A");
        assert_eq!(Canvas::default().over(80), "\r");
    }
}
