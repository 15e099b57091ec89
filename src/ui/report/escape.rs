//! The one way of a text into a page or into XML: nothing that a host, a file or a person wrote is ever markup.

use crate::{base::Text, ui::paint::plain};

/// A text that may stand anywhere in HTML and XML, in an attribute too. What XML cannot hold is shown by its number; names
/// of secrets become `***`.
pub(crate) fn text(text: &str) -> String {
    let shown = Text(text.to_owned()).shown();
    let mut safe = String::with_capacity(shown.len() + shown.len() / 8);
    for c in plain(&shown).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\u{FFFE}' | '\u{FFFF}' => safe.push('\u{FFFD}'),
            c => safe.push(c),
        }
    }
    safe
}

/// The same for a sentence: what stands in backticks becomes code.
pub(crate) fn sentence(sentence: &str) -> String {
    let safe = text(sentence);
    let parts: Vec<&str> = safe.split('`').collect();
    let last = parts.len() - 1;
    let mut marked = String::with_capacity(safe.len() + 16);
    for (index, part) in parts.into_iter().enumerate() {
        match (index % 2 == 1, index == last) {
            (true, false) => marked += &format!("<code>{part}</code>"),
            // an odd one out is only a backtick
            (true, true) => marked += &format!("`{part}"),
            (false, _) => marked += part,
        }
    }
    marked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_written_becomes_markup() {
        assert_eq!(
            text("<script>\"a\" & 'b'</script>"),
            "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/script&gt;"
        );
        assert_eq!(text("a\u{1b}[2J\u{0}\u{FFFE}б"), "a\\u{1b}[2J\\u{0}\u{FFFD}б");
        assert_eq!(text(&format!("key={}", Text::mark("pw"))), "key=***");
    }

    #[test]
    fn backticks_mark_code_and_an_odd_one_stays() {
        assert_eq!(sentence("run `a<b` now"), "run <code>a&lt;b</code> now");
        assert_eq!(sentence("a ` b"), "a ` b");
    }
}
