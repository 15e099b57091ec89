//! Outages as bars in the terminal: an axis in milliseconds, the newest to the right. Pure.

use crate::ui::{screen::Screen, wrap};

/// An outage.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    /// How long.
    pub ms: u64,
    /// What stands below it.
    pub mark: char,
    /// What that means.
    pub word: &'static str,
    /// Longer than was promised.
    pub bad: bool,
    /// When it was.
    pub when: String,
}

/// So many lines are the highest.
const ROWS: u64 = 8;
/// Eighths of a cell, from below.
const EIGHTHS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// The newest of them that have room, oldest first; none: there is nothing to draw.
pub(super) fn draw(screen: &Screen, bars: &[Bar]) -> Option<String> {
    let unicode = screen.unicode || !screen.data_live;
    let top = nice(bars.iter().map(|bar| bar.ms).max()?);
    let wide = top.to_string().len();
    let width = screen.width.min(100);
    let room = width.saturating_sub(wide + 3);
    // a bar has two cells and a gap where there is room for all, else one
    let (cells, gap) = if bars.len() * 3 <= room { (2, 1) } else { (1, 0) };
    let bars = bars.get(bars.len().saturating_sub(room / (cells + gap))..)?;
    let (rod, floor, corner) = if unicode { ("│", "─", "└") } else { ("|", "-", "+") };
    let mut text = String::new();
    for row in (0..ROWS).rev() {
        let label = match row {
            row if row == ROWS - 1 => top.to_string(),
            row if row == ROWS / 2 - 1 => (top / 2).to_string(),
            _ => String::new(),
        };
        let mut line = format!("{label:>wide$} {rod}");
        for bar in bars {
            let cell = cell(bar.ms, top, row, unicode).repeat(cells);
            let cell = if bar.bad { screen.data_paint.red(&cell) } else { cell };
            line += &(" ".repeat(gap) + &cell);
        }
        text += line.trim_end();
        text.push('\n');
    }
    let long = bars.len() * (cells + gap);
    text += &format!("{:>wide$} {corner}{}\n", 0, floor.repeat(long));
    let marks: String = bars.iter().map(|bar| format!("{}{:cells$}", " ".repeat(gap), bar.mark)).collect();
    text += &format!("{:wide$}  {}\n", "", marks.trim_end());
    let (first, last) = (bars.first()?, bars.last()?);
    let span = if bars.len() > 1 { format!("{} … {}", first.when, last.when) } else { last.when.clone() };
    let mut known: Vec<(char, &str)> = bars.iter().map(|bar| (bar.mark, bar.word)).collect();
    known.sort_unstable();
    known.dedup();
    let legend: Vec<String> = known.iter().map(|(mark, word)| format!("{mark} {word}")).collect();
    let below = format!("{span}; {}", legend.join(", "));
    let indent = " ".repeat(wide + 2);
    for line in wrap::words(&below, width.saturating_sub(indent.len())) {
        text += &format!("{indent}{line}\n");
    }
    Some(text)
}

/// A cell of a bar.
fn cell(ms: u64, top: u64, row: u64, unicode: bool) -> &'static str {
    // what was out at all is seen
    let eighths = (ms.saturating_mul(ROWS * 8)).checked_div(top).unwrap_or(0).max(u64::from(ms > 0));
    let here = eighths.saturating_sub(row * 8).min(8);
    match usize::try_from(here) {
        Ok(here) if unicode => EIGHTHS.get(here).copied().unwrap_or(" "),
        Ok(0) => " ",
        Ok(here) if here < 4 && row > 0 => " ",
        Ok(here) if here < 4 => "_",
        _ => "#",
    }
}

/// The next of 1, 2, 5, 10, 20 … from ten on.
fn nice(ms: u64) -> u64 {
    let mut unit: u64 = 10;
    loop {
        for step in [1, 2, 5] {
            let top = unit.saturating_mul(step);
            if top >= ms {
                return top;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(ms: u64, mark: char, day: u8) -> Bar {
        let word = if mark == 's' { "switch" } else { "drill" };
        Bar { ms, mark, word, bad: ms > 400, when: format!("2026-11-{day:02} 10:00") }
    }

    #[test]
    fn outages_are_bars_over_an_axis_and_the_newest_is_to_the_right() {
        let bars = [bar(480, 's', 1), bar(143, 'd', 2), bar(250, 's', 9), bar(2, 'd', 23)];
        let screen = Screen::plain(80);
        insta::assert_snapshot!(draw(&screen, &bars).unwrap(), @r"
        500 │ ▅▅
            │ ██
            │ ██
            │ ██
        250 │ ██    ██
            │ ██ ▂▂ ██
            │ ██ ██ ██
            │ ██ ██ ██ ▁▁
          0 └────────────
              s  d  s  d
             2026-11-01 10:00 … 2026-11-23 10:00; d drill, s switch
        ");
        let ascii = Screen { unicode: false, data_live: true, ..screen };
        let drawn = draw(&ascii, &bars).unwrap();
        assert!(drawn.lines().take(10).all(str::is_ascii), "{drawn}");
        assert!(draw(&screen, &[]).is_none());
    }

    #[test]
    fn where_there_is_no_room_for_all_the_newest_are_drawn() {
        let bars: Vec<Bar> = (0..200).map(|n| bar(n, 's', u8::try_from(n % 28 + 1).unwrap())).collect();
        let drawn = draw(&Screen::plain(40), &bars).unwrap();
        assert!(drawn.lines().all(|line| line.chars().count() <= 40), "{drawn}");
        assert!(drawn.starts_with("200 │"), "{drawn}");
        // an axis of u64 has its end
        assert!(draw(&Screen::plain(40), &[bar(u64::MAX, 's', 1)]).is_some());
    }

    #[test]
    fn an_axis_ends_at_a_round_number() {
        for (ms, top) in [(0, 10), (10, 10), (11, 20), (143, 200), (480, 500), (1001, 2000)] {
            assert_eq!(nice(ms), top, "{ms}");
        }
    }
}
