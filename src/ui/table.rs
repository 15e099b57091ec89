//! Tables that fit the terminal; in a pipe plain columns without frames.

use super::{paint::plain, screen::Screen};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use unicode_width::UnicodeWidthStr;

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
        // the first column names the row, often by an id: broken, it can be neither read nor copied
        if index == 0 {
            let cells = rows.iter().filter_map(|r| r.first()).map(|c| UnicodeWidthStr::width(c.as_str()));
            let widest = cells.chain(head.first().map(|h| h.len())).max().unwrap_or_default();
            let least = u16::try_from(widest.min(NAME) + 1).unwrap_or(u16::MAX);
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
        }
    }
    let mut text = String::new();
    for line in table.lines() {
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// How much of the first column is never broken.
const NAME: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::screen::Screen;

    #[test]
    fn a_table_fits_its_width_in_any_alphabet() {
        let screen = Screen::plain(40);
        let rows = vec![vec!["billing".into(), "Биллинг и расчёты с абонентами по всей стране".into()]];
        let text = table(&screen, &["app", "title"], &rows);
        assert!(text.lines().all(|l| UnicodeWidthStr::width(l) <= 40), "{text}");
        assert!(text.starts_with("APP"), "{text}");
        let run = |n: usize| [format!("01M83BZWD{n}"), "2026-11-23 04:52:52".into(), "configure".into(), "done".into()];
        let head = ["run", "started", "runbook", "outcome"];
        let text = table(&Screen { width: 24, ..screen }, &head, &[run(1).into(), run(2).into()]);
        assert!(text.contains("01M83BZWD1") && text.contains("01M83BZWD2"), "{text}");
    }
}
