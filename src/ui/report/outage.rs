//! The outage of a service as a drawing: one bar, cut at the steps that lie in it, over an axis of milliseconds.

use super::{Report, escape::text, scale::float};
use crate::ui::outage::{Outage, Phase, What, headline, shares, time, what};

/// The width of the drawing in its own units, and where the bar lies in it.
const WIDTH: f64 = 1000.0;
const LEFT: f64 = 8.0;
const RIGHT: f64 = 992.0;
const TOP: f64 = 26.0;
const BAR: f64 = 30.0;
/// Marks of the axis, in milliseconds: the first of them that makes few marks.
const STEPS: [u64; 16] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 15_000, 60_000, 300_000, 3_600_000];

/// An outage: in words, drawn, and as a table.
pub(super) fn drawn(report: &Report, outage: &Outage, number: usize) -> String {
    let title = format!("`{}`: {}", outage.service, headline(outage));
    let tone = match (outage.over, outage.rto_met()) {
        (false, _) | (_, Some(false)) => "bad",
        (true, Some(true)) => "good",
        (true, None) => "info",
    };
    let mut body = format!("<div class=\"note {tone}\"><p>{}</p></div>\n", super::escape::sentence(&title));
    if let (Some(from), Some(until)) = (outage.from, outage.until) {
        let clock =
            |at: jiff::Timestamp| at.to_zoned(report.zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string();
        let zone = report.zone_name();
        body += &format!(
            "<p class=\"mute\">From the last good answer at <time datetime=\"{from}\">{}</time> {} to the first one after it \
             at <time datetime=\"{until}\">{}</time>, as a client on the machine of svcops saw it.</p>\n",
            clock(from),
            text(&zone),
            clock(until),
        );
    }
    if let Some(why) = outage.why.as_ref().filter(|_| outage.failed > 0) {
        body += &format!("<p class=\"mute\">Its last error: {}</p>\n", text(why));
    }
    if outage.phases.is_empty() {
        return body;
    }
    let rows: String = outage.phases.iter().map(row).collect();
    body + &format!(
        "<div class=\"chart\" tabindex=\"0\" role=\"group\" aria-label=\"Phases of the outage\">{}</div>\n{KEY}\
         <div class=\"scroll\"><table><thead><tr><th scope=\"col\">Phase</th><th scope=\"col\" class=\"r\">Time</th>\
         <th scope=\"col\" class=\"r\">Acts</th><th scope=\"col\" class=\"r\">svcops itself</th></tr></thead>\
         <tbody>\n{rows}</tbody></table></div>\n",
        bar(outage, number)
    )
}

/// What the colours mean.
const KEY: &str = "<ul class=\"key\" aria-label=\"Key\">\
<li><svg viewBox=\"0 0 34 15\" aria-hidden=\"true\"><g class=\"done\"><rect x=\"1\" y=\"1\" width=\"32\" height=\"13\" rx=\"2\"/></g></svg>an act is under way</li>\
<li><svg viewBox=\"0 0 34 15\" aria-hidden=\"true\"><g class=\"same\"><rect x=\"1\" y=\"1\" width=\"32\" height=\"13\" rx=\"2\"/></g></svg>svcops looks, decides, records</li>\
<li><svg viewBox=\"0 0 34 15\" aria-hidden=\"true\"><g class=\"open\"><rect x=\"1\" y=\"1\" width=\"32\" height=\"13\" rx=\"2\"/></g></svg>before the first act, and until clients were back</li></ul>\n";

fn row(phase: &Phase) -> String {
    let (acts, own) = match phase.what {
        What::Before | What::After => (String::new(), String::new()),
        What::Step { .. } => (format!("{} ms", phase.acts_ms), format!("{} ms", phase.own_ms())),
    };
    format!(
        "<tr><th scope=\"row\">{}</th><td class=\"r\">{}</td><td class=\"r\">{acts}</td><td class=\"r\">{own}</td></tr>\n",
        text(&what(phase)),
        time(phase.ms)
    )
}

/// The bar: of each step what its acts took is dark, what svcops itself took is light.
fn bar(outage: &Outage, number: usize) -> String {
    let whole = outage.phases.iter().map(|phase| phase.ms).sum::<u64>().max(1);
    let place = |ms: u64| (RIGHT - LEFT).mul_add(units(ms) / units(whole), LEFT);
    let mut svg = String::new();
    let step = STEPS.into_iter().find(|step| whole / step <= 12).unwrap_or(86_400_000);
    let mut mark = 0;
    while mark <= whole {
        let x = place(mark);
        svg += &format!(
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
            TOP - 5.0,
            TOP + BAR + 5.0
        );
        // the last one would stand over the edge
        if x < RIGHT - 24.0 {
            let anchor = if mark == 0 { "start" } else { "middle" };
            svg += &format!(
                "<text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
                TOP - 9.0,
                time(mark)
            );
        }
        mark += step;
    }
    let mut at = 0;
    for phase in &outage.phases {
        let (left, middle, right) = (place(at), place(at + phase.acts_ms), place(at + phase.ms));
        at += phase.ms;
        let shares = shares(phase).map_or_else(String::new, |shares| format!(" ({shares})"));
        let class = match phase.what {
            What::Before | What::After => "open",
            What::Step { back: true, .. } => "undone",
            What::Step { .. } => "done",
        };
        let mut part = String::new();
        if middle - left > 0.05 {
            part += &rect(class, left, middle);
        }
        if right - middle > 0.05 {
            part += &rect(if class == "open" { "open" } else { "same" }, middle, right);
        }
        let label = match &phase.what {
            What::Before | What::After => String::new(),
            What::Step { step, .. } => step.clone(),
        };
        let wide = float(i64::try_from(label.chars().count()).unwrap_or(0)).mul_add(6.2, 6.0);
        if !label.is_empty() && right - left >= wide {
            let (tone, from, to) = if middle - left >= wide { (class, left, middle) } else { ("same", left, right) };
            part += &format!(
                "<g class=\"{tone}\"><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text></g>",
                f64::midpoint(from, to),
                TOP + BAR / 2.0 + 4.0,
                text(&label)
            );
        }
        let title = format!("{}: {}{shares}", what(phase), time(phase.ms));
        svg += &format!("<g><title>{}</title>{part}</g>", text(&title));
    }
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" aria-labelledby=\"ou-{number}\"><title id=\"ou-{number}\">Phases of the outage of {}; \
         the table below says the same in words</title>{svg}</svg>",
        TOP + BAR + 12.0,
        text(&outage.service)
    )
}

fn rect(class: &str, left: f64, right: f64) -> String {
    format!(
        "<g class=\"{class}\"><rect x=\"{left:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{BAR}\"/></g>",
        (right - left).max(0.5)
    )
}

fn units(ms: u64) -> f64 {
    float(i64::try_from(ms).unwrap_or(i64::MAX))
}
