//! The matrix of a rehearsal: a row an act, a column a fault, and below it what needs a person.

use crate::{
    base::words::{self, count as count_of},
    engine::rehearse::{Deed, Ending, Point, Rehearsal, Trouble, Verdict},
    ui::{facts::masked, paint::plain, screen::Screen, wrap},
};
use serde_json::{Map, Value, json};
use unicode_width::UnicodeWidthStr as _;

/// As text, fitted to the terminal.
pub(super) fn text(screen: &Screen, name: &str, rehearsal: &Rehearsal) -> String {
    let width = if screen.endless { 120 } else { screen.width };
    let mut text = String::new();
    if rehearsal.deeds.is_empty() && rehearsal.unbroken.why.is_empty() {
        text += &format!("`{name}` would do nothing here: there is no act that could fail\n");
    } else if !rehearsal.deeds.is_empty() {
        text += &matrix(screen, rehearsal, width);
        text += &legend(width);
    }
    text += &findings(screen, rehearsal, width);
    text += &totals(screen, rehearsal, width);
    text
}

/// A sign a verdict: letters, for they are the same without colour and in any font.
const fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Nothing => ".",
        Verdict::Done => "d",
        Verdict::Before => "b",
        Verdict::Forward => "f",
        Verdict::Person => "P",
        Verdict::Wrong => "X",
    }
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Nothing => "nothing",
        Verdict::Done => "done",
        Verdict::Before => "before",
        Verdict::Forward => "forward",
        Verdict::Person => "person",
        Verdict::Wrong => "wrong",
    }
}

fn cell(screen: &Screen, verdict: Verdict) -> String {
    let (paint, sign) = (screen.data_paint, sign(verdict));
    match verdict {
        Verdict::Nothing => paint.dim(sign),
        Verdict::Done | Verdict::Before | Verdict::Forward => paint.green(sign),
        Verdict::Person => paint.yellow(sign),
        Verdict::Wrong => paint.red(sign),
    }
}

/// A row: acts of one step that do the same on several hosts, and end alike.
struct Row {
    label: String,
    what: String,
    /// As [`what`](Self::what), without the name of its host.
    general: String,
    hosts: Vec<String>,
    verdicts: Vec<Verdict>,
}

fn rows(rehearsal: &Rehearsal) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (at, deed) in rehearsal.deeds.iter().enumerate().filter(|(_, deed)| deed.tried) {
        let verdicts: Vec<Verdict> =
            rehearsal.points.iter().filter(|p| p.deed == at).map(|p| p.ending.verdict).collect();
        let (label, general) = (label(deed).to_owned(), masked(&deed.what, deed.host.as_str()));
        let host = deed.host.as_str().to_owned();
        match rows.iter_mut().find(|r| r.label == label && r.general == general && r.verdicts == verdicts) {
            Some(row) => {
                row.hosts.push(host);
                row.what.clone_from(&row.general);
            }
            None => rows.push(Row { label, what: deed.what.clone(), general, hosts: vec![host], verdicts }),
        }
    }
    rows
}

/// The step's part of a task's name.
fn label(deed: &Deed) -> &str {
    deed.task.as_str().rsplit_once('@').map_or(deed.task.as_str(), |(label, _)| label)
}

fn matrix(screen: &Screen, rehearsal: &Rehearsal, width: usize) -> String {
    let rows = rows(rehearsal);
    let columns = Trouble::ALL.len();
    let titles: Vec<String> = rows.iter().map(title).collect();
    let room = width.saturating_sub(2 * columns + 1).max(20);
    let widest = titles.iter().map(|t| t.width()).max().unwrap_or(0).min(room);
    let letters: Vec<String> = (0..columns).map(|at| letter(at).to_string()).collect();
    let head = format!("{}  {}", pad("ACT", widest), letters.join(" "));
    let mut text = screen.data_paint.bold(&head) + "\n";
    for (row, title) in rows.iter().zip(&titles) {
        let cells: Vec<String> = row.verdicts.iter().map(|v| cell(screen, *v)).collect();
        text += &format!("{}  {}\n", pad(&wrap::cut(title, widest), widest), cells.join(" "));
    }
    text
}

fn title(row: &Row) -> String {
    let hosts = match &row.hosts[..] {
        [one] => one.clone(),
        [one, two] => format!("{one}, {two}"),
        many => format!("{} hosts", many.len()),
    };
    plain(&format!("{}@{hosts}  {}", row.label, row.what))
}

fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

fn letter(at: usize) -> char {
    u8::try_from(at).ok().and_then(|at| char::from_digit(u32::from(at) + 10, 36)).unwrap_or('?').to_ascii_uppercase()
}

fn legend(width: usize) -> String {
    let columns = Trouble::ALL.iter().enumerate().map(|(at, trouble)| format!("{} {}", letter(at), trouble.words()));
    let columns = columns.collect::<Vec<_>>().join(" · ");
    let cells = "b ends as before · d is overcome: done as planned · f goes forward after the point of no return · \
                 P needs a person, and names what for · X does harm, or leaves what nothing names · . cannot come to pass";
    format!(
        "\n{}\n{}\n",
        wrap::hanging("faults  ", &columns, width).trim_end(),
        wrap::hanging("cells   ", cells, width).trim_end()
    )
}

/// What needs a person or is wrong: the worst first, what need only be named last, and in the order of the acts.
fn findings(screen: &Screen, rehearsal: &Rehearsal, width: usize) -> String {
    let mut text = String::new();
    let paint = screen.data_paint;
    if !rehearsal.unbroken.why.is_empty() {
        text += &format!("\n{}\n", paint.red("without a fault"));
        text += &reasons(&rehearsal.unbroken, width);
    }
    let groups = alike(rehearsal);
    let more = groups.len().saturating_sub(SHOWN);
    for points in groups.into_iter().take(SHOWN) {
        let Some((first, deed)) = points.first().and_then(|p| Some((*p, rehearsal.deeds.get(p.deed)?))) else {
            continue;
        };
        let mut troubles: Vec<String> = Vec::new();
        for point in &points {
            let words = in_words(point);
            if !troubles.contains(&words) {
                troubles.push(words);
            }
        }
        let kind = match first.ending.verdict {
            Verdict::Wrong => paint.red("X wrong "),
            _ if rehearsal.is_fine(first) => paint.dim("P named "),
            _ => paint.yellow("P person"),
        };
        let alike = if points.len() > 1 { format!(", {} points alike", points.len()) } else { String::new() };
        let head = format!("{} {}: {}{alike}", deed.task, deed.what, troubles.join("; "));
        text += &format!(
            "\n{kind}  {}",
            wrap::hanging("", &plain(&head), width.saturating_sub(10)).replace('\n', "\n          ").trim_end()
        );
        text += "\n";
        text += &reasons(&first.ending, width);
    }
    if more > 0 {
        text += &format!("\nand {more} more kinds: `-o json` has all\n");
    }
    text
}

/// Points that a person would treat alike: the same act on whatever host, and the same said of that host. Where all that
/// is asked is that what is left is named, that it is counts, and not what stands on other hosts by then.
fn alike(rehearsal: &Rehearsal) -> Vec<Vec<&Point>> {
    let mut groups: Vec<((Verdict, bool, String, Vec<String>), Vec<&Point>)> = Vec::new();
    let pairs = rehearsal.pairs.iter().filter(|p| p.ending.verdict == Verdict::Wrong);
    for point in rehearsal.points.iter().chain(pairs).filter(|p| p.ending.verdict >= Verdict::Person) {
        let Some(deed) = rehearsal.deeds.get(point.deed) else { continue };
        let verdict = point.ending.verdict;
        let lines = if verdict == Verdict::Person && point.trouble.need_only_be_named() {
            vec![point.trouble.word().to_owned()]
        } else {
            let own = |line: &String| Some(masked(line, deed.host.as_str())).filter(|general| general != line);
            point.ending.why.iter().chain(&point.ending.stands).filter_map(own).collect()
        };
        let key = (
            verdict,
            rehearsal.is_fine(point),
            format!("{} {}", label(deed), masked(&deed.what, deed.host.as_str())),
            lines,
        );
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, points)) => points.push(point),
            None => groups.push((key, vec![point])),
        }
    }
    groups.sort_by_key(|((verdict, fine, ..), _)| (std::cmp::Reverse(*verdict), *fine));
    groups.into_iter().map(|(_, points)| points).collect()
}

/// Lines that say the same of several hosts, as one: ``` `Drain` on `web1`, `web2` and 3 more stands```.
fn folded(lines: &[String]) -> Vec<String> {
    let mut folds: Vec<(&str, Vec<&str>, &str)> = Vec::new();
    for line in lines {
        let cut = line.split_once("` on `").and_then(|(step, rest)| Some((step, rest.split_once('`')?)));
        let Some((step, (host, rest))) = cut else {
            folds.push((line, Vec::new(), ""));
            continue;
        };
        match folds.iter_mut().find(|(s, hosts, r)| (*s, *r) == (step, rest) && !hosts.is_empty()) {
            Some((_, hosts, _)) => hosts.push(host),
            None => folds.push((step, vec![host], rest)),
        }
    }
    let line = |(step, hosts, rest): (&str, Vec<&str>, &str)| {
        if hosts.is_empty() { step.to_owned() } else { format!("{step}` on {}{rest}", words::list(&hosts, 3)) }
    };
    folds.into_iter().map(line).collect()
}

/// So many kinds of findings are shown.
const SHOWN: usize = 25;

fn in_words(point: &Point) -> String {
    match point.second {
        None => point.trouble.words().to_owned(),
        Some((gap, fault)) => {
            let s = if gap == 1 { "" } else { "s" };
            format!("{}, and {gap} act{s} later one {}", point.trouble.words(), Trouble::Act(fault).words())
        }
    }
}

fn reasons(ending: &Ending, width: usize) -> String {
    let why = ending.why.iter().map(|line| wrap::hanging("    why     ", &plain(line), width));
    let folded = folded(&ending.stands);
    let stands = folded.iter().map(|line| wrap::hanging("    stands  ", &plain(line), width));
    why.chain(stands).map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// How many of the points came to this.
fn count(points: &[Point], verdict: Verdict) -> usize {
    points.iter().filter(|p| p.ending.verdict == verdict).count()
}

fn totals(screen: &Screen, rehearsal: &Rehearsal, width: usize) -> String {
    let mut text = String::from("\n");
    let line = |points: &[Point], of: &str| {
        let possible = points.len() - count(points, Verdict::Nothing);
        let n = |verdict| count(points, verdict);
        format!(
            "{possible} {of}: {} end as before, {} are overcome, {} go forward after the point of no return, {} need a \
             person, {} are wrong",
            n(Verdict::Before),
            n(Verdict::Done),
            n(Verdict::Forward),
            n(Verdict::Person),
            n(Verdict::Wrong),
        )
    };
    text += &wrap::hanging("", &line(&rehearsal.points, "fault points"), width);
    text = text.trim_end().to_owned() + "\n";
    if !rehearsal.pairs.is_empty() {
        text += wrap::hanging("", &line(&rehearsal.pairs, "pairs of faults"), width).trim_end();
        text += "\n";
    }
    for (steps, one, what) in [
        (&rehearsal.opaque, "step", "without a model, taken to leave all else as it is"),
        (&rehearsal.supposed, "check", "taken to hold, for nobody knows what would be seen"),
        (&rehearsal.untried, "step", "not rehearsed, for nobody knows what there would be to do"),
    ] {
        if !steps.is_empty() {
            let line = format!("{} {what}: {}", count_of(one, steps.len()), steps.join(", "));
            text += wrap::hanging("", &plain(&line), width).trim_end();
            text += "\n";
        }
    }
    let paint = screen.data_paint;
    if !rehearsal.rough.is_empty() {
        let first: Vec<&str> = rehearsal.rough.iter().take(3).map(String::as_str).collect();
        let more = rehearsal.rough.len().saturating_sub(first.len());
        let more = if more > 0 { format!(" and {more} more like it") } else { String::new() };
        let line = format!("even without a fault: {}{more}", first.join("; "));
        text += wrap::hanging("", &plain(&line), width).trim_end();
        text += "\n";
    }
    let untried = rehearsal.deeds.iter().filter(|deed| !deed.tried).count();
    if untried > 0 {
        let acts = count_of("act", rehearsal.deeds.len());
        let line = format!("{untried} of {acts} not tried, for other hosts do the same: `--all` tries every one");
        text += wrap::hanging("", &line, width).trim_end();
        text += "\n";
    }
    let named = rehearsal.points.iter().filter(|p| p.ending.verdict == Verdict::Person).count();
    text += &if rehearsal.is_clean() && rehearsal.deeds.is_empty() {
        paint.green("clean") + ": there was nothing to rehearse\n"
    } else if rehearsal.is_clean() && named > 0 {
        let line = format!(
            "clean: no fault does harm or leaves what a runbook could put right; {named} need a person, who is told what for"
        );
        wrap::hanging("", &line, width).trim_end().replacen("clean", &paint.green("clean"), 1) + "\n"
    } else if rehearsal.is_clean() {
        paint.green("clean") + ": every single fault ends as before, as planned or forward\n"
    } else {
        let (n, untried) = (rehearsal.unclean().len(), rehearsal.untried.len());
        let whole = rehearsal.unbroken.verdict != Verdict::Done;
        let why = [
            whole.then(|| "it is wrong even without a fault".to_owned()),
            (n > 0).then(|| format!("{} must not end so", count_of("fault point", n))),
            (untried > 0).then(|| format!("{} could not be rehearsed", count_of("step", untried))),
        ];
        let why: Vec<String> = why.into_iter().flatten().collect();
        paint.red("not clean") + &format!(": {}\n", why.join(", "))
    };
    text
}

/// As JSON.
pub(super) fn json(name: &str, assumed: Option<&str>, rehearsal: &Rehearsal) -> Value {
    let acts: Vec<Value> = rehearsal
        .deeds
        .iter()
        .enumerate()
        .filter(|(_, deed)| deed.tried)
        .map(|(at, deed)| {
            let own = rehearsal.points.iter().filter(|p| p.deed == at);
            let endings: Map<String, Value> = own.map(|p| (p.trouble.word().to_owned(), ending(&p.ending))).collect();
            json!({ "task": deed.task, "step": deed.step, "host": deed.host, "what": deed.what, "endings": endings })
        })
        .collect();
    let pairs: Vec<Value> = rehearsal
        .pairs
        .iter()
        .filter_map(|p| {
            let (gap, second) = p.second?;
            let task = &rehearsal.deeds.get(p.deed)?.task;
            let (first, second) = (p.trouble.word(), Trouble::Act(second).word());
            Some(json!({ "task": task, "first": first, "acts_later": gap, "second": second, "ending": ending(&p.ending) }))
        })
        .collect();
    let of = |points: &[Point]| {
        let counted =
            [Verdict::Before, Verdict::Done, Verdict::Forward, Verdict::Person, Verdict::Wrong, Verdict::Nothing];
        counted.into_iter().map(|v| (word(v).to_owned(), json!(count(points, v)))).collect::<Map<String, Value>>()
    };
    let mut value = json!({
        "schema_version": 1,
        "runbook": name,
        "assumed": assumed,
        "clean": rehearsal.is_clean(),
        "unclean": rehearsal.unclean().len(),
        "unbroken": ending(&rehearsal.unbroken),
        "no_return": rehearsal.no_return,
        "opaque": rehearsal.opaque,
        "supposed": rehearsal.supposed,
        "untried": rehearsal.untried,
        "rough": rehearsal.rough,
        "acts_alike_not_tried": rehearsal.deeds.iter().filter(|deed| !deed.tried).count(),
        "points": of(&rehearsal.points),
        "acts": acts,
    });
    if let Some(map) = value.as_object_mut().filter(|_| !rehearsal.pairs.is_empty()) {
        map.insert("pairs_of_faults".into(), Value::Object(of(&rehearsal.pairs)));
        map.insert("pairs".into(), Value::Array(pairs));
    }
    value
}

fn ending(ending: &Ending) -> Value {
    let outcome = ending.outcome.map(crate::journal::event::End::word);
    json!({ "verdict": word(ending.verdict), "outcome": outcome, "why": ending.why, "stands": ending.stands })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_on_many_hosts_is_one_line_and_what_is_said_of_no_host_stays() {
        let stands = |n: usize| format!("`Слив` on `web{n}` stands");
        let lines: Vec<String> = (1..=5)
            .map(stands)
            .chain(["nothing is known".to_owned(), "`Start` on `web1` is owed".to_owned()])
            .collect();
        assert_eq!(
            folded(&lines),
            ["`Слив` on `web1`, `web2`, `web3` and 2 more stands", "nothing is known", "`Start` on `web1` is owed"]
        );
        assert_eq!(folded(&lines[..1]), lines[..1]);
    }
}
