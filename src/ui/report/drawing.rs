//! The timeline as a drawing: rows are hosts, bars are steps. A few hosts have a row each; of many, those that went the
//! same way share one, and only the troubled ones stand alone.

use super::{
    Report,
    course::{Course, Fate, Stretch},
    escape,
    scale::{Scale, float},
};
use crate::{base::words, ui::lines};
use jiff::Timestamp;
use std::{collections::BTreeMap, time::Duration};

/// The width of the drawing in its own units.
const WIDTH: f64 = 1000.0;
/// Where time begins, right of the names.
const LEFT: f64 = 176.0;
/// Where it ends, left of the batches.
const RIGHT: f64 = 934.0;
/// A row's bar.
const BAR: f64 = 15.0;
/// Between two lanes of bars.
const LANE: f64 = 18.0;
/// So many hosts have a row each.
const SINGLE: usize = 40;
/// So many rows are made of many hosts, and so many of the troubled ones stand alone.
const ROWS: usize = 28;
/// No drawing is larger, in bytes.
const ROOM: usize = 400 * 1024;

/// The drawing as SVG, and how it was folded in words; none where nothing was begun.
pub(super) fn timeline(report: &Report) -> Option<(String, Option<String>)> {
    // what would be too much to draw is folded further
    [ROWS, 12, 5, 2]
        .into_iter()
        .map(|most| drawn(report, most))
        .find(|drawn| drawn.as_ref().is_none_or(|(svg, _)| svg.len() < ROOM))
        .flatten()
}

fn drawn(report: &Report, most: usize) -> Option<(String, Option<String>)> {
    let (rows, folded) = rows(&report.courses, most);
    if rows.is_empty() {
        return None;
    }
    let millis = |at: Timestamp| at.as_millisecond();
    let mut busy: Vec<(i64, i64)> = rows
        .iter()
        .flat_map(|row| &row.bars)
        .flat_map(|bar| &bar.spans)
        .map(|(from, to)| (millis(*from), millis(*to)))
        .collect();
    busy.push((millis(report.began), millis(report.began)));
    busy.push((millis(report.until), millis(report.until)));
    let scale = Scale::new(busy, LEFT, RIGHT);
    let drawing = Drawing { scale, report, text: String::new(), y: 44.0 };
    Some((drawing.draw(&rows), folded))
}

/// A row of the drawing.
struct Row {
    label: String,
    under: String,
    batch: Option<(usize, usize, usize)>,
    bars: Vec<Bar>,
    troubled: bool,
}

/// A bar: a step on one host, or on all hosts of its row.
struct Bar {
    step: String,
    name: String,
    back: bool,
    fate: Fate,
    spans: Vec<(Timestamp, Timestamp)>,
    hosts: usize,
    why: Option<String>,
}

fn rows(courses: &[Course], most: usize) -> (Vec<Row>, Option<String>) {
    if courses.len() <= SINGLE && most == ROWS {
        return (courses.iter().map(single).collect(), None);
    }
    let mut troubled: Vec<&Course> = courses.iter().filter(|course| course.fate().troubled()).collect();
    let alone = troubled.len() <= most;
    if !alone {
        troubled.clear();
    }
    let rest = courses.iter().filter(|course| !alone || !course.fate().troubled());
    let mut groups: Vec<Vec<&Course>> = Vec::new();
    let mut places: BTreeMap<(Option<usize>, String), usize> = BTreeMap::new();
    for course in rest {
        let key = (course.batch.map(|b| b.number), course.pattern());
        let at = *places.entry(key).or_insert(groups.len());
        match groups.get_mut(at) {
            Some(group) => group.push(course),
            None => groups.push(vec![course]),
        }
    }
    let groups = fewer(groups, most);
    let mut rows: Vec<Row> = troubled.iter().map(|course| single(course)).collect();
    rows.extend(groups.iter().map(|group| shared(group)));
    let alone = match troubled.len() {
        0 => String::new(),
        n => format!(
            "{} in trouble on {} own, at the top; ",
            words::count("host", n),
            if n == 1 { "its" } else { "their" }
        ),
    };
    let folded =
        format!("{} folded: {alone}hosts that went the same way share a row", words::count("host", courses.len()));
    (rows, Some(folded))
}

/// Neighbours of one course are joined until the groups are few enough; what differs stays apart as long as there is room.
fn fewer(mut groups: Vec<Vec<&Course>>, most: usize) -> Vec<Vec<&Course>> {
    if groups.len() > most {
        let first = |group: &[&Course]| group.first().map(|c| c.pattern()).unwrap_or_default();
        let mut kinds: Vec<(String, Vec<Vec<&Course>>)> = Vec::new();
        for group in groups {
            let pattern = first(&group);
            match kinds.iter_mut().find(|(known, _)| *known == pattern) {
                Some((_, same)) => same.push(group),
                None => kinds.push((pattern, vec![group])),
            }
        }
        let all: usize = kinds.iter().map(|(_, same)| same.len()).sum();
        groups = Vec::new();
        for (_, same) in kinds {
            let share = (same.len() * most / all).clamp(1, most);
            let size = same.len().div_ceil(share);
            groups.extend(same.chunks(size).map(<[Vec<&Course>]>::concat));
        }
        groups.sort_by_key(|group| group.iter().filter_map(|c| c.since()).min());
    }
    groups
}

fn single(course: &Course) -> Row {
    let bar = |leg: &Stretch| Bar {
        step: leg.step.clone(),
        name: leg.name.clone(),
        back: leg.is_back(),
        fate: leg.fate,
        spans: leg.spans.clone(),
        hosts: 1,
        why: leg.why.clone(),
    };
    Row {
        label: course.host.to_string(),
        under: String::new(),
        batch: course.batch.map(|b| (b.number, b.number, b.of)),
        bars: course.legs.iter().map(bar).collect(),
        troubled: course.fate().troubled(),
    }
}

/// One row for several hosts: each step from its first begin to its last end.
fn shared(group: &[&Course]) -> Row {
    let mut bars: Vec<Bar> = Vec::new();
    let mut places: BTreeMap<(&str, bool, Fate), usize> = BTreeMap::new();
    for leg in group.iter().flat_map(|course| &course.legs) {
        let (Some(from), Some(to)) = (leg.from(), leg.to()) else { continue };
        let at = *places.entry((leg.step.as_str(), leg.is_back(), leg.fate)).or_insert(bars.len());
        match bars.get_mut(at) {
            Some(bar) => {
                bar.hosts += 1;
                if let Some(span) = bar.spans.first_mut() {
                    *span = (span.0.min(from), span.1.max(to));
                }
            }
            None => bars.push(Bar {
                step: leg.step.clone(),
                name: leg.name.clone(),
                back: leg.is_back(),
                fate: leg.fate,
                spans: vec![(from, to)],
                hosts: 1,
                why: None,
            }),
        }
    }
    let names: Vec<&str> = group.iter().map(|course| course.host.as_str()).collect();
    let numbers = group.iter().filter_map(|course| course.batch.map(|b| (b.number, b.of)));
    let (low, high, of) = numbers.fold((usize::MAX, 0, 0), |(low, high, _), (n, of)| (low.min(n), high.max(n), of));
    Row {
        label: match names.as_slice() {
            [only] => (*only).to_owned(),
            names => words::count("host", names.len()),
        },
        under: match names.as_slice() {
            [first, .., last] => format!("{first} … {last}"),
            _ => String::new(),
        },
        batch: (high > 0).then_some((low, high, of)),
        troubled: group.iter().any(|course| course.fate().troubled()),
        bars,
    }
}

struct Drawing<'a> {
    scale: Scale,
    report: &'a Report,
    text: String,
    y: f64,
}

impl Drawing<'_> {
    fn draw(mut self, rows: &[Row]) -> String {
        let mut body = String::new();
        std::mem::swap(&mut body, &mut self.text);
        let top = self.y;
        let mut last: Option<Option<(usize, usize, usize)>> = None;
        for row in rows {
            if last.is_some_and(|last| last != row.batch) || row.batch.is_some() && last.is_none() {
                self.line("batch", 0.0, WIDTH);
            }
            if let Some((low, high, of)) = row.batch
                && last != Some(row.batch)
            {
                let batch = if low == high { format!("batch {low}/{of}") } else { format!("{low}–{high} of {of}") };
                self.text += &format!(
                    "<text class=\"bn\" x=\"994\" y=\"{:.1}\" text-anchor=\"end\">{batch}</text>",
                    self.y + 14.0
                );
            }
            last = Some(row.batch);
            self.row(row);
        }
        let bottom = self.y + 2.0;
        let rows = std::mem::take(&mut self.text);
        self.axis(top, bottom);
        let axis = std::mem::take(&mut self.text);
        self.marks(top, bottom);
        let marks = std::mem::take(&mut self.text);
        let title = format!(
            "{} from {} to {}",
            words::count("host", self.report.courses.len()),
            self.report.when(self.report.began),
            self.report.when(self.report.until)
        );
        format!(
            "<svg viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" aria-labelledby=\"tl-t tl-d\">\
             <title id=\"tl-t\">Timeline: {}</title><desc id=\"tl-d\">Rows are hosts, bars are steps by their numbers. \
             The table of hosts below says the same in words.</desc>{PATTERNS}{axis}{rows}{marks}</svg>",
            bottom + 8.0,
            escape::text(&title),
        )
    }

    fn line(&mut self, class: &str, from: f64, to: f64) {
        self.text +=
            &format!("<line class=\"{class}\" x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{0:.1}\" y2=\"{0:.1}\"/>", self.y);
    }

    fn axis(&mut self, top: f64, bottom: f64) {
        for (x, label) in self.scale.ticks(&self.report.zone) {
            self.text += &format!(
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{bottom:.1}\"/>\
                 <text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
                top - 6.0,
                top - 11.0
            );
        }
        let gaps: Vec<(f64, f64, i64)> = self.scale.gaps().collect();
        for (left, right, millis) in gaps {
            let pause = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
            self.text += &format!(
                "<rect class=\"gap\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>nothing happened for {}</title></rect>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">⋯ {}</text>",
                top - 6.0,
                right - left,
                bottom - top + 6.0,
                lines::span(pause),
                f64::midpoint(left, right),
                top - 11.0,
                coarse(pause),
            );
        }
    }

    fn marks(&mut self, top: f64, bottom: f64) {
        let mut free = [f64::MIN; 2];
        for mark in &self.report.marks {
            let x = self.scale.at(mark.at);
            self.text += &format!(
                "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{bottom:.1}\"><title>{} {}</title></line>",
                top - 24.0,
                escape::text(&self.report.when(mark.at)),
                mark.words
            );
            let (anchor, wide) = if x > RIGHT - 80.0 { ("end", 0.0) } else { ("start", 80.0) };
            if free.iter().all(|taken| x > *taken) {
                let (dx, sign) = if anchor == "end" { (-4.0, "↓ ") } else { (4.0, "↓ ") };
                self.text += &format!(
                    "<text class=\"mark\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{sign}{}</text>",
                    x + dx,
                    top - 28.0,
                    mark.words
                );
                free = [x + wide, x];
            }
        }
    }

    fn row(&mut self, row: &Row) {
        let lanes = lanes(&row.bars, &self.scale);
        let count = lanes.iter().max().map_or(1, |most| most + 1);
        let two = !row.under.is_empty();
        let high = (float(i64::try_from(count).unwrap_or(1)) * LANE + 6.0).max(if two { 34.0 } else { 24.0 });
        let trouble = if row.troubled { " bad" } else { "" };
        self.text += &format!(
            "<text class=\"host{trouble}\" x=\"4\" y=\"{:.1}\">{}{}</text>",
            self.y + 16.0,
            if row.troubled { "! " } else { "" },
            escape::text(&cut(&row.label, 25))
        );
        if two {
            self.text += &format!(
                "<text class=\"under\" x=\"4\" y=\"{:.1}\">{}</text>",
                self.y + 28.0,
                escape::text(&cut(&row.under, 31))
            );
        }
        for (bar, lane) in row.bars.iter().zip(lanes) {
            let y = self.y + 4.0 + float(i64::try_from(lane).unwrap_or(0)) * LANE;
            self.bar(bar, y);
        }
        self.y += high;
        self.line("row", 0.0, WIDTH);
    }

    fn bar(&mut self, bar: &Bar, y: f64) {
        let (from, to) = (bar.spans.first().map(|s| s.0), bar.spans.last().map(|s| s.1));
        let took = from.zip(to).map(|(from, to)| lines::span(lines::between(from, to))).unwrap_or_default();
        let hosts = if bar.hosts > 1 { format!(" on {} hosts", bar.hosts) } else { String::new() };
        let why = bar.why.as_ref().map_or_else(String::new, |why| format!(": {}", cut(why, 300)));
        let title = format!(
            "{} {}{}{hosts}: {} in {took}{why}",
            bar.step,
            bar.name,
            if bar.back { ", way back" } else { "" },
            bar.fate.words()
        );
        self.text += &format!("<g class=\"{}\"><title>{}</title>", bar.fate.class(), escape::text(&title));
        let (sign, label) =
            (bar.fate.sign(), bar.step.strip_suffix(".then1").map_or(bar.step.clone(), |s| format!("{s}›")));
        for (index, (from, to)) in bar.spans.iter().enumerate() {
            let (x, end) = (self.scale.at(*from), self.scale.at(*to));
            let wide = (end - x).max(3.0);
            if bar.back {
                let tip = (wide / 2.0).min(7.0);
                self.text += &format!(
                    "<path d=\"M{:.1} {:.1}l{tip:.1} -{h:.1}h{body:.1}v{:.1}h-{body:.1}z\"/>",
                    x,
                    y + BAR / 2.0,
                    BAR,
                    h = BAR / 2.0,
                    body = wide - tip,
                );
            } else {
                self.text +=
                    &format!("<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{BAR}\" rx=\"2\"/>");
            }
            if index == 0 {
                let long = format!("{sign} {label}");
                let room = |text: &str| float(i64::try_from(text.chars().count()).unwrap_or(0)).mul_add(6.2, 6.0);
                let shown = [long.as_str(), sign].into_iter().find(|text| wide >= room(text));
                if let Some(shown) = shown {
                    self.text += &format!(
                        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                        x + wide / 2.0,
                        y + 11.0,
                        escape::text(shown)
                    );
                }
            }
        }
        self.text += "</g>";
    }
}

/// The lane of each bar: those that overlap stand below each other, five at most.
fn lanes(bars: &[Bar], scale: &Scale) -> Vec<usize> {
    let mut ends: Vec<f64> = Vec::new();
    let mut order: Vec<usize> = (0..bars.len()).collect();
    order.sort_by_key(|index| bars.get(*index).and_then(|bar| bar.spans.first()).map(|span| span.0));
    let mut lanes = vec![0; bars.len()];
    for index in order {
        let Some(bar) = bars.get(index) else { continue };
        let (Some((from, _)), Some((_, to))) = (bar.spans.first(), bar.spans.last()) else { continue };
        let (from, to) = (scale.at(*from), scale.at(*to).max(scale.at(*from) + 3.0));
        let free = ends.iter().position(|end| *end <= from + 0.5);
        let lane = free.unwrap_or_else(|| ends.len().min(4));
        match ends.get_mut(lane) {
            Some(end) => *end = end.max(to),
            None => ends.push(to),
        }
        if let Some(place) = lanes.get_mut(index) {
            *place = lane;
        }
    }
    lanes
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// A pause in its largest unit.
fn coarse(time: Duration) -> String {
    let secs = time.as_secs();
    match secs {
        0..120 => format!("{secs} s"),
        120..7_200 => format!("{} min", secs / 60),
        7_200..172_800 => format!("{} h", secs / 3600),
        _ => format!("{} d", secs / 86_400),
    }
}

/// Each outcome has a pattern of its own beside its colour.
const PATTERNS: &str = "<defs>\
<pattern id=\"p-failed\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><rect class=\"pf\" width=\"6\" height=\"6\"/><path class=\"ps\" d=\"M0 0l6 6M6 0l-6 6\"/></pattern>\
<pattern id=\"p-undone\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\"><rect class=\"pu\" width=\"7\" height=\"7\"/><path class=\"ps\" d=\"M-1 8L8 -1M-1 1l2 -2M6 8l2 -2\"/></pattern>\
<pattern id=\"p-unknown\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><rect class=\"pq\" width=\"6\" height=\"6\"/><circle class=\"pd\" cx=\"3\" cy=\"3\" r=\"1\"/></pattern>\
</defs>";
