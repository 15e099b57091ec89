//! The lines that a terminal shows of a run under way: the whole, its steps, the hosts that matter now. Drawn anew several
//! times a second, from the board, for the size that the terminal has at that moment.

use super::{
    board::{Board, Left, MANY, Step, Turn},
    lines::span,
    paint::Paint,
    signs::Signs,
    wrap,
};
use jiff::Timestamp;
use std::time::Duration;
use unicode_width::UnicodeWidthStr;

/// Who draws for whom.
#[derive(Clone, Copy, Debug)]
pub struct Easel {
    /// Columns of the terminal.
    pub width: usize,
    /// Rows of the terminal.
    pub rows: usize,
    /// Its colours.
    pub paint: Paint,
    /// Its signs.
    pub signs: Signs,
    /// Counts on from frame to frame.
    pub beat: usize,
}

/// What a part of a line means: it gets a colour, and never only that.
#[derive(Clone, Copy)]
enum Tone {
    Plain,
    Dim,
    Bold,
    Good,
    Doubtful,
    Bad,
    Busy,
}

/// A line in parts; it is cut as a whole.
type Line = Vec<(Tone, String)>;

/// The lines, each shorter than the terminal is wide, fewer than it has rows.
pub fn frame(board: &Board, now: Timestamp, easel: &Easel) -> Vec<String> {
    let mut lines: Vec<Line> = Vec::new();
    if let Some((what, since)) = &board.doing {
        let spent = between(*since, now);
        if spent < SOON && board.began.is_none() {
            return Vec::new();
        }
        lines.push(doing(board, what, spent, easel));
    }
    if board.began.is_some() && board.doing.is_none() {
        lines.push(head(board, now, easel));
    }
    let steps = steps(board, easel);
    let room = easel.rows.saturating_sub(2).max(1);
    lines.extend(steps.into_iter().take(room.saturating_sub(1)));
    let room = room.saturating_sub(lines.len());
    lines.extend(hosts(board, now, room, easel));
    lines.iter().map(|line| fit(line, easel)).collect()
}

/// What is over before anyone could read it is not shown.
const SOON: Duration = Duration::from_millis(400);
/// A host is slow that takes so many times as long as others, and at least the shortest.
const SLOW: u32 = 3;
const SHORTEST: Duration = Duration::from_secs(10);
/// Steps that are shown: the one under way and those just before it.
const STEPS: usize = 3;
/// Hosts that are named one by one where there are many.
const NAMED: usize = 5;

fn doing(board: &Board, what: &str, spent: Duration, easel: &Easel) -> Line {
    let mut line = vec![(Tone::Busy, turning(easel)), (Tone::Plain, format!(" {what}"))];
    if let Some((done, of)) = board.looked {
        line.push((Tone::Plain, format!("{}{done} of {of}", easel.signs.dot)));
    }
    line.push((Tone::Dim, format!("{}{}", easel.signs.dot, span(spent))));
    line.extend(silent(board, easel));
    line
}

/// The whole: a bar, how many of how many, what is special, the time so far and the time that is left.
fn head(board: &Board, now: Timestamp, easel: &Easel) -> Line {
    let dot = easel.signs.dot;
    let mut line = Line::new();
    let over = board.over;
    if let Some(total) = board.total.filter(|total| *total > 0) {
        let total = total.max(over);
        let long = (easel.width.saturating_sub(24) / 4).clamp(4, 30);
        let done = long * over / total;
        line.push((Tone::Good, easel.signs.done.repeat(done)));
        line.push((Tone::Dim, easel.signs.ahead.repeat(long - done)));
        line.push((Tone::Bold, format!(" {over}/{total} tasks")));
    } else {
        line.push((Tone::Busy, turning(easel)));
        line.push((Tone::Bold, format!(" {over} tasks done")));
    }
    if let Some(began) = board.began {
        line.push((Tone::Plain, format!("{dot}{}", span(between(began, now)))));
    }
    if let Some(now) = board.stopping {
        let text = if now { "ending what runs on hosts" } else { "stopping after what is under way" };
        line.push((Tone::Doubtful, format!("{dot}{text}")));
    }
    if let Some(back) = &board.back {
        let text = format!("{dot}rolling back: {} of {} undone", back.done.min(back.of.len()), back.of.len());
        line.push((Tone::Doubtful, text));
    } else if let Some(batch) = board.steps.iter().rev().find(|s| !s.closed).and_then(|s| s.batch) {
        line.push((Tone::Plain, format!("{dot}batch {} of {}", batch.number, batch.of)));
    }
    match board.left(now) {
        Some((left, Left::Batches)) => line.push((Tone::Dim, format!(", about {} left", rounded(left)))),
        Some((left, Left::Step)) => line.push((Tone::Dim, format!("{dot}about {} left in this step", rounded(left)))),
        None => {}
    }
    line
}

fn steps(board: &Board, easel: &Easel) -> Vec<Line> {
    let shown: Vec<&Step> = board.steps.iter().skip(board.steps.len().saturating_sub(STEPS)).collect();
    let widest = shown.iter().map(|s| label(s).width()).max().unwrap_or_default().min(easel.width / 2);
    let draw = |step: &&Step| {
        let name = wrap::cut(&label(step), widest);
        let pad = " ".repeat(widest.saturating_sub(name.width()));
        let tone = if step.closed { Tone::Dim } else { Tone::Plain };
        let mut line = vec![(tone, format!("  {name}{pad}  "))];
        for (index, (n, word)) in step.words(step.tally, board.under_way(&step.number).count()).into_iter().enumerate()
        {
            let tone = match word {
                "ok" | "done" => Tone::Good,
                "failed" => Tone::Bad,
                "undone" => Tone::Doubtful,
                "under way" => Tone::Busy,
                _ => Tone::Dim,
            };
            let dot = if index == 0 { "" } else { easel.signs.dot };
            line.push((Tone::Dim, dot.to_owned()));
            line.push((tone, format!("{n} {word}")));
        }
        let ahead = step.of.saturating_sub(step.tally.over() + board.under_way(&step.number).count());
        if ahead > 0 && !step.closed && board.back.is_none() {
            line.push((Tone::Dim, format!("{}{ahead} to come", easel.signs.dot)));
        }
        line
    };
    shown.iter().map(draw).collect()
}

fn label(step: &Step) -> String {
    format!("{} {}", step.number, super::paint::plain(&step.name).replace('\n', " "))
}

/// A line a host while there are few; of many only those that are slow, and how many more.
fn hosts(board: &Board, now: Timestamp, room: usize, easel: &Easel) -> Vec<Line> {
    let mut turns: Vec<&Turn> = board.at.values().collect();
    let many = turns.len() > room.min(MANY) || board.steps.last().is_some_and(|s| s.hosts > MANY);
    if many {
        turns.retain(|turn| {
            let each = board.step(&turn.step).and_then(Step::each).unwrap_or_default();
            between(turn.since, now) >= (each * SLOW).max(SHORTEST)
        });
    }
    let mut silent = board.silent.iter().filter(|_| board.doing.is_none()).collect::<Vec<_>>();
    turns.retain(|turn| !board.silent.contains_key(&turn.host));
    // where not all can be named: who waits, then who is at it for the longest time
    let by_need = |turn: &&Turn| (!turn.waits, turn.since, turn.host.clone());
    turns.sort_by(|a, b| if many { by_need(a).cmp(&by_need(b)) } else { a.host.cmp(&b.host) });
    let most = if many { NAMED.min(room) } else { room };
    let more = (turns.len() + silent.len()).saturating_sub(most);
    let most = if more > 0 { most.saturating_sub(1) } else { most };
    silent.truncate(most);
    turns.truncate(most - silent.len());
    let names = silent.iter().map(|(h, _)| h.as_str()).chain(turns.iter().map(|t| t.host.as_str()));
    let widest = names.map(UnicodeWidthStr::width).max().unwrap_or_default().min(easel.width / 3);
    let line = |sign: (Tone, &str), host: &str, since: Timestamp, what: (Tone, String)| {
        let name = wrap::cut(host, widest);
        let pad = " ".repeat(widest.saturating_sub(name.width()));
        let time = format!("  {:>6}  ", span(between(since, now)));
        vec![(sign.0, format!("  {} ", sign.1)), (Tone::Bold, name + &pad), (Tone::Dim, time), what]
    };
    // the step's own line has its name, unless there are several
    let several = turns.iter().any(|turn| turns.first().is_some_and(|first| first.step != turn.step));
    let words = |turn: &Turn| match (several || turn.what == "back", turn.what.is_empty()) {
        (_, true) => turn.name.clone(),
        (true, false) => format!("{}: {}", turn.name, turn.what),
        (false, false) => turn.what.clone(),
    };
    let turning = turning(easel);
    let mut lines: Vec<Line> = silent
        .into_iter()
        .map(|(host, (why, since))| {
            let what = (Tone::Bad, format!("silent, tried again: {}", super::paint::plain(why).replace('\n', " ")));
            line((Tone::Bad, easel.signs.wrong), host.as_str(), *since, what)
        })
        .collect();
    lines.extend(turns.into_iter().map(|turn| {
        let tone = if turn.waits { Tone::Doubtful } else { Tone::Plain };
        let sign = if turn.waits { (Tone::Doubtful, easel.signs.waits) } else { (Tone::Busy, turning.as_str()) };
        line(sign, turn.host.as_str(), turn.since, (tone, words(turn)))
    }));
    if more > 0 {
        let what = if many { "more that are slow or silent" } else { "more hosts" };
        lines.push(vec![(Tone::Dim, format!("    and {} {what}", more + 1))]);
    }
    lines
}

fn silent(board: &Board, easel: &Easel) -> Option<(Tone, String)> {
    let (host, _) = board.silent.first_key_value()?;
    let more = board.silent.len() - 1;
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    Some((Tone::Bad, format!("{}{} `{host}`{more} silent", easel.signs.dot, easel.signs.wrong)))
}

fn turning(easel: &Easel) -> String {
    let signs = easel.signs.turning;
    signs.get(easel.beat % signs.len().max(1)).copied().unwrap_or_default().to_owned()
}

/// Cut to what the terminal shows in one line; three columns stay free, so that an echoed `^C` breaks no line.
fn fit(line: &Line, easel: &Easel) -> String {
    let mut room = easel.width.saturating_sub(3);
    let mut text = String::new();
    for (tone, part) in line {
        let part = wrap::cut(part, room);
        room = room.saturating_sub(part.width());
        let paint = easel.paint;
        text += &match tone {
            Tone::Plain => part,
            Tone::Dim => paint.dim(&part),
            Tone::Bold => paint.bold(&part),
            Tone::Good => paint.green(&part),
            Tone::Doubtful => paint.yellow(&part),
            Tone::Bad => paint.red(&part),
            Tone::Busy => paint.cyan(&part),
        };
        if room == 0 {
            break;
        }
    }
    text
}

/// A guess is no finer than five seconds.
fn rounded(time: Duration) -> String {
    let secs = time.as_secs();
    let secs = if secs < 60 { secs.div_ceil(5).max(1) * 5 } else { secs.div_ceil(30) * 30 };
    crate::base::Span::secs(secs).to_string()
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    super::lines::between(from, to)
}

#[cfg(test)]
mod tests;
