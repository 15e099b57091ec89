//! Tables that fit the terminal: as they are where there is room, else folded between words, else a block a row. No word is
//! ever broken: it may be an id that somebody wants to copy. In a pipe a row is one line, however long.

use super::{
    paint::{Paint, plain},
    screen::Screen,
    wrap,
};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use unicode_width::UnicodeWidthStr;

/// A table of texts with a newline at its end. Nothing in a cell can move the cursor.
pub fn table(screen: &Screen, head: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let widest = |measure: fn(&str) -> usize| -> Vec<usize> {
        let column = |(index, head): (usize, &&str)| {
            let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| measure(cell));
            cells.chain([measure(head)]).max().unwrap_or_default()
        };
        head.iter().enumerate().map(column).collect()
    };
    let gaps = GAP * head.len().saturating_sub(1);
    // the last column of padding is cut from every line
    let room = screen.width + 1;
    let words = widest(longest_word);
    if screen.endless || widest(longest_line).iter().sum::<usize>() + gaps <= screen.width {
        return columns(screen, head, &rows, None);
    }
    if words.iter().sum::<usize>() + gaps < room {
        return columns(screen, head, &rows, Some(&words));
    }
    rows.iter().map(|row| block(screen, head, row)).collect()
}

/// Between two columns.
const GAP: usize = 2;

/// Rows below a head; `least`: folded, but no column is narrower than this.
fn columns(screen: &Screen, head: &[&str], rows: &[Vec<String>], least: Option<&[usize]>) -> String {
    let paint = screen.data_paint;
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(if least.is_some() {
        ContentArrangement::Dynamic
    } else {
        ContentArrangement::Disabled
    });
    table.set_width(u16::try_from(screen.width + 1).unwrap_or(u16::MAX));
    table.set_header(head.iter().map(|h| paint.bold(&h.to_uppercase())));
    for row in rows {
        table.add_row(row.iter().map(|cell| by_meaning(paint, cell)));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((u16::from(index > 0), 1));
        if let Some(least) = least.and_then(|least| least.get(index)) {
            let least = u16::try_from(least + 1 + usize::from(index > 0)).unwrap_or(u16::MAX);
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

/// A row as a block: its first cell, and below it the others with their names.
fn block(screen: &Screen, head: &[&str], row: &[String]) -> String {
    let paint = screen.data_paint;
    let longest = head.iter().skip(1).map(|h| h.width()).max().unwrap_or_default();
    let mut text = paint.bold(&row.first().cloned().unwrap_or_default()) + "\n";
    for (name, cell) in head.iter().zip(row).skip(1).filter(|(_, cell)| !cell.trim().is_empty()) {
        let label = format!("  {name:longest$}  ");
        let lines = wrap::hanging(&label, cell, screen.width);
        let painted = by_meaning(paint, cell);
        text += &if painted == *cell { lines } else { label + &painted };
        text.push('\n');
    }
    text
}

/// A word that says how something is gets the colour of what it says.
fn by_meaning(paint: Paint, cell: &str) -> String {
    match cell.to_lowercase().as_str() {
        "done" | "ok" | "healthy" | "running" | "ready" | "up" => paint.green(cell),
        "failed" | "unknown" | "critical" | "sick" | "not healthy" | "down" => paint.red(cell),
        "rolled back" | "stopped" | "interrupted" | "warning" | "not now" | "not allowed" | "drain" | "maint" => {
            paint.yellow(cell)
        }
        "–" => paint.dim(cell),
        _ => cell.to_owned(),
    }
}

fn longest_word(cell: &str) -> usize {
    cell.split_whitespace().map(UnicodeWidthStr::width).max().unwrap_or_default()
}

fn longest_line(cell: &str) -> usize {
    cell.lines().map(UnicodeWidthStr::width).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: [&str; 4] = ["run", "started", "runbook", "outcome"];

    fn rows() -> Vec<Vec<String>> {
        let row = |id: &str, name: &str| vec![id.into(), "2026-11-23 04:52:52".into(), name.into(), "done".into()];
        vec![row("01M83BZWD1", "Перезапуск биллинга и расчётов по узлам"), row("01M83BZWD2", "計画停止 計画停止")]
    }

    fn shown(width: usize) -> String {
        let text = table(&Screen::plain(width), &HEAD, &rows());
        for line in text.lines() {
            assert!(line.width() <= width, "wider than {width}: {text}");
        }
        for whole in ["01M83BZWD1", "01M83BZWD2", "2026-11-23", "Перезапуск", "計画停止"] {
            assert!(text.contains(whole), "`{whole}` is broken at {width}: {text}");
        }
        text
    }

    #[test]
    fn a_table_is_folded_between_words_in_any_alphabet() {
        insta::assert_snapshot!(shown(60), @r"
        RUN         STARTED     RUNBOOK                OUTCOME
        01M83BZWD1  2026-11-23  Перезапуск биллинга и  done
                    04:52:52    расчётов по узлам
        01M83BZWD2  2026-11-23  計画停止 計画停止      done
                    04:52:52
        ");
        assert_eq!(shown(90), shown(200));
        assert_eq!(shown(200).lines().count(), 3);
    }

    #[test]
    fn where_even_words_have_no_room_a_row_is_a_block() {
        insta::assert_snapshot!(shown(40), @r"
        01M83BZWD1
          started  2026-11-23 04:52:52
          runbook  Перезапуск биллинга и
                   расчётов по узлам
          outcome  done
        01M83BZWD2
          started  2026-11-23 04:52:52
          runbook  計画停止 計画停止
          outcome  done
        ");
    }

    #[test]
    fn in_a_pipe_a_row_is_one_line() {
        let screen = Screen { endless: true, ..Screen::plain(40) };
        assert_eq!(table(&screen, &HEAD, &rows()).lines().count(), 3);
    }

    #[test]
    fn colour_moves_no_column() {
        let screen = Screen { data_paint: Paint::new(true), ..Screen::plain(100) };
        let text = table(&screen, &HEAD, &rows());
        assert!(text.contains("\u{1b}[32mdone\u{1b}[0m"), "{text}");
        let bare = super::super::paint::uncoloured(&text);
        let bare: Vec<&str> = bare.lines().map(str::trim_end).collect();
        assert_eq!(bare.join("\n") + "\n", shown(100));
    }
}
