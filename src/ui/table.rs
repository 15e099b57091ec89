//! Tables that fit the terminal; in a pipe plain columns without frames.

use super::{paint::plain, screen::Screen};
use comfy_table::{ContentArrangement, Table, presets};

/// A table of texts with a newline at its end. Nothing in a cell can move the cursor.
pub fn table(screen: &Screen, head: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(screen.width).unwrap_or(u16::MAX));
    table.set_header(head.iter().map(|h| h.to_uppercase()));
    for row in rows {
        table.add_row(row.iter().map(|cell| plain(cell)));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((u16::from(index > 0), 1));
    }
    let mut text = String::new();
    for line in table.lines() {
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::{paint::Paint, screen::Screen};

    #[test]
    fn a_table_fits_its_width_in_any_alphabet() {
        let screen = Screen {
            width: 40,
            rows: 24,
            live: false,
            data_live: false,
            paint: Paint::default(),
            data_paint: Paint::default(),
        };
        let rows = vec![vec!["billing".into(), "Биллинг и расчёты с абонентами по всей стране".into()]];
        let text = table(&screen, &["app", "title"], &rows);
        assert!(text.lines().all(|l| unicode_width::UnicodeWidthStr::width(l) <= 40), "{text}");
        assert!(text.starts_with("APP"), "{text}");
    }
}
