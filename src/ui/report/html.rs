//! The page: one file that needs nothing else, without a script, for screens light and dark and for paper.

use super::{
    Report,
    blocks::{bare, change, cut, hosts_list, legs, most, note, short, size, upper, written},
    course::{Course, Fate, Stretch},
    drawing,
    escape::{sentence, text},
    outage,
};
use crate::{base::words, ui::lines};

/// So many hosts are listed without a fold.
const OPEN: usize = 40;
/// So many bytes of diffs and commands are shown.
const DIFFS: usize = 320 * 1024;

/// The page.
pub(super) fn page(report: &Report) -> String {
    let page = Page { report };
    let sections = [
        ("run", "Who, why, when", Some(page.facts())),
        ("next", "What is left, and what to do", page.left()),
        ("outage", "Outage", page.outages()),
        ("changes", "What changed", Some(page.changes())),
        ("timeline", "Timeline", page.timeline()),
        ("hosts", "Hosts", page.hosts()),
        ("outputs", "What commands wrote", page.outputs()),
        ("events", "Events", Some(page.events())),
        ("proof", "Proof", page.proof()),
    ];
    let (mut links, mut main) = (String::new(), String::new());
    for (id, title, body) in sections {
        let Some(body) = body else { continue };
        links += &format!("<li><a href=\"#{id}\">{title}</a></li>");
        main += &format!("<section aria-labelledby=\"{id}\"><h2 id=\"{id}\">{title}</h2>\n{body}</section>\n");
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n{POLICY}\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"generator\" content=\"svcops {version}\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <title>{outcome}: {title}, run {run}</title>\n<style>\n{CSS}</style>\n</head>\n<body>\n<div class=\"wrap\">\n\
         {head}<nav aria-label=\"Contents\"><ul>{links}</ul></nav>\n<main>\n{main}</main>\n{foot}</div>\n</body>\n</html>\n",
        version = env!("CARGO_PKG_VERSION"),
        outcome = text(report.headline),
        title = text(&report.title),
        run = report.run,
        head = page.head(),
        foot = page.foot(),
    )
}

/// A page of the same looks, with nothing but a title and its body.
pub(crate) fn sheet(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n{POLICY}\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"generator\" content=\"svcops {version}\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <title>{title}</title>\n<style>\n{CSS}</style>\n</head>\n<body>\n<div class=\"wrap\">\n{body}</div>\n</body>\n</html>\n",
        version = env!("CARGO_PKG_VERSION"),
        title = text(title),
    )
}

/// Nothing is loaded, and no script runs.
const POLICY: &str = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'\">\n";

struct Page<'a> {
    report: &'a Report,
}

impl Page<'_> {
    fn head(&self) -> String {
        let report = self.report;
        let (tone, sign) = tone(report.outcome);
        let project = report.header.as_ref().map_or("", |h| h.project.as_str());
        let name = report.header.as_ref().map(|h| h.runbook.as_str()).filter(|name| *name != report.title);
        let name = name.map_or_else(String::new, |name| format!("<p class=\"mono mute\">{}</p>", text(name)));
        let causes: String =
            report.causes.iter().map(|cause| format!("<p class=\"mute\">caused by: {}</p>", sentence(cause))).collect();
        let code = report.exit_code.map_or_else(String::new, |code| format!(" · exit code {code}"));
        format!(
            "<header>\n<p class=\"eyebrow\">Run report · project {} · run <span class=\"mono\">{}</span>{code}</p>\n\
             <h1>{}</h1>{name}\n<div class=\"verdict {tone}\"><p class=\"word\"><b aria-hidden=\"true\">{sign}</b>{}</p>\n\
             <p>{}</p>{causes}<p class=\"mute\">{}</p></div>\n{}</header>\n",
            text(project),
            report.run,
            text(&report.title),
            text(report.headline),
            sentence(&upper(&report.sentence)),
            text(report.meaning),
            self.tiles(),
        )
    }

    fn tiles(&self) -> String {
        let counts = &self.report.counts;
        let took = lines::span(self.report.took());
        let mut tiles = vec![
            (self.report.hosts().to_string(), if self.report.hosts() == 1 { "host" } else { "hosts" }, false),
            (took, "took", false),
            (counts.tasks().to_string(), if counts.tasks() == 1 { "task" } else { "tasks" }, false),
            (counts.done.to_string(), "✓ done", false),
        ];
        let rest = [
            (counts.same, "= nothing changed", false),
            (counts.failed, "✕ failed", true),
            (counts.undone, "↩ taken back", false),
            (counts.stuck, "‼ not taken back", true),
            (counts.unknown, "? unknown", true),
            (counts.open, "… not ended", true),
            (counts.skipped, "– left out", false),
            (counts.not_begun, "not begun", false),
        ];
        tiles.extend(rest.into_iter().filter(|(n, ..)| *n > 0).map(|(n, what, loud)| (n.to_string(), what, loud)));
        let tiles: String = tiles
            .into_iter()
            .map(|(n, what, loud)| {
                let loud = if loud { " class=\"loud\"" } else { "" };
                format!("<li{loud}><strong>{n}</strong><span>{what}</span></li>")
            })
            .collect();
        format!("<ul class=\"tiles\" aria-label=\"In numbers\">{tiles}</ul>\n")
    }

    fn facts(&self) -> String {
        let report = self.report;
        let mut rows: Vec<(&str, String)> = Vec::new();
        let time = |at| {
            format!(
                "<time datetime=\"{at}\">{}</time> {} <span class=\"mute\">({})</span>",
                report.when(at),
                text(&report.zone_name()),
                report.utc(at)
            )
        };
        if let Some(header) = &report.header {
            let who = &header.operator;
            let real = if who.login { "" } else { ", by the real uid: no login is recorded" };
            rows.push(("Who", format!("{} (uid {}{real})", text(&who.name), who.uid)));
            let none = || "<span class=\"mute\">no reason was given</span>".to_owned();
            rows.push(("Why", header.reason.as_deref().map_or_else(none, text)));
            let machine = format!("{} <span class=\"mute\">(process {})</span>", text(&who.machine), who.pid);
            rows.push(("From machine", machine));
            rows.extend(report.ticket().map(|ticket| ("Ticket", text(&ticket))));
        }
        rows.push(("Began", time(report.began)));
        let ended = match report.outcome {
            "running" => "As of",
            "interrupted" => "Last event",
            _ => "Ended",
        };
        rows.push((ended, format!("{}, after {}", time(report.until), lines::span(report.took()))));
        if let Some(header) = &report.header {
            let file = header.file.as_ref().map_or_else(String::new, |file| format!(", <code>{}</code>", text(file)));
            let hash = format!(" <span class=\"mute mono\">content {}</span>", header.runbook_hash.short());
            rows.push(("Runbook", format!("{}{file}{hash}", text(&header.runbook))));
            if !header.params.is_empty() {
                let params: Vec<String> =
                    header.params.iter().map(|(k, v)| format!("<code>{}={}</code>", text(k), text(&bare(v)))).collect();
                rows.push(("Parameters", params.join(" ")));
            }
            if let Some(limit) = &header.limit {
                let by = header.limited_by.as_ref().map(|by| format!(" by <code>{}</code>", text(by)));
                rows.push(("Limited to", hosts_list(limit) + &by.unwrap_or_default()));
            }
            let plan = header.plan.as_ref().map(|plan| format!("<span class=\"mono\">{}</span>", plan.short()));
            rows.extend(plan.map(|plan| ("Plan", plan)));
            rows.push(("At once", format!("at most {}", words::count("host", header.parallel))));
            rows.push(("Project folder", format!("<code>{}</code>", text(&header.root))));
            rows.push(("svcops", text(&header.version)));
        }
        let rows: String = rows.iter().map(|(label, value)| format!("<dt>{label}</dt><dd>{value}</dd>\n")).collect();
        format!("<dl>\n{rows}</dl>\n{}", self.people())
    }

    fn people(&self) -> String {
        if self.report.people.is_empty() {
            return String::new();
        }
        let rows: String = self
            .report
            .people
            .iter()
            .map(|(at, who, what)| {
                format!(
                    "<tr><td>{}</td><td>{} on {}</td><td>{}</td></tr>",
                    self.report.when(*at),
                    text(&who.name),
                    text(&who.machine),
                    sentence(what)
                )
            })
            .collect();
        format!(
            "<h3>And later</h3><div class=\"scroll\"><table><thead><tr><th>When</th><th>Who</th><th>What</th></tr></thead><tbody>{rows}</tbody></table></div>\n"
        )
    }

    fn left(&self) -> Option<String> {
        let report = self.report;
        let mut body = String::new();
        let list =
            |items: &[String]| items.iter().map(|item| format!("<li>{}</li>", sentence(item))).collect::<String>();
        if !report.stands.is_empty() {
            body += &note("bad", "What stands, and was not taken back", &list(&most(&report.stands)));
        }
        let (paid, open): (Vec<_>, Vec<_>) = report.owed.iter().partition(|(_, paid)| *paid);
        let names = |owed: Vec<&(String, bool)>| owed.into_iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        if !open.is_empty() {
            body += &note("care", "Owed: still to be done", &list(&names(open)));
        }
        if !paid.is_empty() {
            body += &note("good", "Owed then, done by a later run", &list(&names(paid)));
        }
        if !report.not_begun.is_empty() {
            let steps = report.not_begun.iter();
            let steps: Vec<String> =
                steps.map(|(number, name, hosts)| format!("{number} {name}: {}", words::list(hosts, 12))).collect();
            body += &note("", "Planned and not begun", &list(&steps));
        }
        if !report.next.is_empty() {
            body += &note("info", "Next", &list(&report.next));
        } else if body.is_empty() {
            return None;
        }
        Some(body)
    }

    fn outages(&self) -> Option<String> {
        let drawn: String =
            self.report.outages.iter().enumerate().map(|(at, one)| outage::drawn(self.report, one, at)).collect();
        (!drawn.is_empty()).then_some(drawn)
    }

    fn changes(&self) -> String {
        let report = self.report;
        let mut body = match report.changed.is_empty() {
            true => "<p>Nothing: no change was carried out.</p>\n".to_owned(),
            false if report.outcome == "rolled_back" || (report.drill && report.outcome == "done") => {
                "<p>All of this was done and is as before again; nothing of it stands.</p>\n".to_owned()
            }
            false => String::new(),
        };
        let mut room = DIFFS;
        for changed in &report.changed {
            body += &change(changed, &mut room);
        }
        if report.more_changed > 0 {
            body += &format!(
                "<p class=\"note\">{} more are not listed here: <code>svcops history show {}</code> has them.</p>\n",
                words::count("kind of change", report.more_changed).replace("kind of changes", "kinds of changes"),
                report.run
            );
        }
        body
    }

    fn timeline(&self) -> Option<String> {
        let (drawing, folded) = drawing::timeline(self.report)?;
        let seen = |fate: &Fate| self.report.courses.iter().flat_map(|c| &c.legs).any(|leg| leg.fate == *fate);
        let key: String = Fate::ALL
            .into_iter()
            .filter(seen)
            .map(|fate| {
                let shape = if matches!(fate, Fate::Undone | Fate::NotUndone) {
                    "<path d=\"M1 7.5l7 -6.5h25v13h-25z\"/>"
                } else {
                    "<rect x=\"1\" y=\"1\" width=\"32\" height=\"13\" rx=\"2\"/>"
                };
                format!(
                    "<li><svg viewBox=\"0 0 34 15\" aria-hidden=\"true\"><g class=\"{}\">{shape}<text x=\"17\" y=\"11.5\" text-anchor=\"middle\">{}</text></g></svg>{}</li>",
                    fate.class(),
                    fate.sign(),
                    fate.words()
                )
            })
            .collect();
        let back = self.report.courses.iter().flat_map(|c| &c.legs).any(Stretch::is_back);
        let back = if back { "<li>◁ pointing left: on the way back</li>" } else { "" };
        let folded = folded.map_or_else(String::new, |how| format!("<p class=\"mute\">{}.</p>\n", text(&how)));
        Some(format!(
            "{folded}<ul class=\"key\" aria-label=\"Key\">{key}{back}</ul>\n<div class=\"chart\" tabindex=\"0\" role=\"group\" aria-label=\"Timeline\">{drawing}</div>\n{}",
            self.steps()
        ))
    }

    /// What the numbers in the bars mean.
    fn steps(&self) -> String {
        let mut steps: Vec<(&str, &str, &str)> = Vec::new();
        for leg in self.report.courses.iter().flat_map(|course| &course.legs) {
            if !steps.iter().any(|(number, ..)| *number == leg.step) {
                steps.push((&leg.step, &leg.name, &leg.action));
            }
        }
        let name = |(number, name, action): &(&str, &str, &str)| {
            let action =
                if name == action { String::new() } else { format!(" <span class=\"mute\">{}</span>", text(action)) };
            format!("<li><span class=\"num\">{}</span> {}{action}</li>", text(&short(number)), text(name))
        };
        format!("<ul class=\"key\" aria-label=\"Steps\">{}</ul>\n", steps.iter().map(name).collect::<String>())
    }

    fn hosts(&self) -> Option<String> {
        let courses = &self.report.courses;
        if courses.is_empty() {
            return None;
        }
        let table = |courses: &[&Course], whys: bool| {
            let rows: String = courses.iter().map(|course| self.host(course, whys)).collect();
            format!(
                "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">Host</th><th scope=\"col\">Outcome</th><th scope=\"col\">Batch</th><th scope=\"col\" class=\"r\">Began</th>\
                 <th scope=\"col\" class=\"r\">Took</th><th scope=\"col\">Steps</th></tr></thead><tbody>\n{rows}</tbody></table></div>\n"
            )
        };
        let all: Vec<&Course> = courses.iter().collect();
        if courses.len() <= OPEN {
            return Some(table(&all, true));
        }
        let troubled: Vec<&Course> = courses.iter().filter(|course| course.fate().troubled()).collect();
        let mut body = String::new();
        if !troubled.is_empty() {
            let most: Vec<&Course> = troubled.iter().copied().take(100).collect();
            let more = if troubled.len() > 100 { ", the first 100" } else { "" };
            body +=
                &format!("<h3>In trouble: {}{more}</h3>\n{}", words::count("host", troubled.len()), table(&most, true));
        }
        body += &format!(
            "<details class=\"fold\"><summary>All {}</summary>\n{}</details>\n",
            words::count("host", courses.len()),
            table(&all, troubled.len() > 100)
        );
        Some(body)
    }

    fn host(&self, course: &Course, whys: bool) -> String {
        let fate = course.fate();
        let why = course.legs.iter().rev().find_map(|leg| leg.why.as_ref().filter(|_| leg.fate.troubled() && whys));
        let why =
            why.map_or_else(String::new, |why| format!("<br><span class=\"mute\">{}</span>", sentence(&cut(why, 600))));
        let outcome = if fate.troubled() || fate == Fate::Undone {
            format!("<span class=\"badge {}\">{} {}</span>", fate.class(), fate.sign(), course.words())
        } else {
            format!("{} {}", fate.sign(), course.words())
        };
        let began = course.since().map(|at| self.report.when(at)).unwrap_or_default();
        let began = began.split_once(' ').map_or("", |(_, time)| time);
        let took = course.since().zip(course.until()).map(|(from, to)| lines::span(lines::between(from, to)));
        format!(
            "<tr><th scope=\"row\">{}</th><td>{outcome}{why}</td><td>{}</td><td class=\"r\">{began}</td><td class=\"r\">{}</td><td class=\"legs\">{}</td></tr>\n",
            text(course.host.as_str()),
            course.batch.map_or_else(String::new, |b| format!("{}/{}", b.number, b.of)),
            took.unwrap_or_default(),
            legs(course)
        )
    }

    fn outputs(&self) -> Option<String> {
        let outputs = &self.report.outputs;
        if outputs.written.is_empty() && outputs.left_out == 0 {
            return None;
        }
        let mut body: String = outputs.written.iter().map(written).collect();
        if outputs.left_out > 0 {
            body += &format!(
                "<p class=\"note\">{} more ({}) are not shown here: <code>svcops history show {} -o jsonl</code> has what was kept of them.</p>\n",
                words::count("output", outputs.left_out),
                size(outputs.left_bytes),
                self.report.run
            );
        }
        Some(body)
    }

    fn events(&self) -> String {
        let events = &self.report.events;
        let left = if events.drawn < events.of {
            format!(
                "<p>{} of {} events: those of the run and of the hosts in trouble, as far as there is room. \
                 <code>svcops history show {}</code> has all of them.</p>\n",
                events.drawn, events.of, self.report.run
            )
        } else {
            String::new()
        };
        format!(
            "<details class=\"fold\"><summary>{} as recorded, times in {}</summary>\n{left}<pre>{}</pre></details>\n",
            words::count("event", events.of),
            text(&self.report.zone_name()),
            text(events.text.trim_start_matches('\n'))
        )
    }

    fn proof(&self) -> Option<String> {
        let chain = self.report.chain.as_ref()?;
        let head = &chain.head;
        let mut rows = format!(
            "<dt>Last event</dt><dd>{}, hash <span class=\"mono\">{}</span></dd>\n",
            head.seq,
            text(&head.hash.0)
        );
        if let Some(entry) = &head.entry {
            rows += &format!("<dt>Ledger entry</dt><dd class=\"mono\">{}</dd>\n", text(&entry.to_string()));
        }
        let checked = if chain.faults.is_empty() {
            format!(
                "{} checked when this was made: nothing was changed, moved or taken out",
                words::count("event", usize::try_from(head.seq).unwrap_or(0))
            )
        } else {
            format!("<strong>The journal was tampered with: {}</strong>", text(&chain.faults.join("; ")))
        };
        rows += &format!("<dt>Check</dt><dd>{checked}</dd>\n");
        let again = head.entry.as_ref().map_or_else(
            || "svcops history verify".to_owned(),
            |entry| format!("svcops history verify --against {entry}"),
        );
        Some(format!(
            "<p>Each event carries the hash of the one before it, and a ledger chains the runs. This page is a copy; the journal is the record.</p>\n\
             <dl>\n{rows}<dt>Check again</dt><dd><code>{}</code></dd>\n</dl>\n",
            text(&again)
        ))
    }

    fn foot(&self) -> String {
        format!(
            "<footer>Made by svcops {} on {} {} ({}) from the journal of run {}. Secrets are shown as ***.</footer>\n",
            env!("CARGO_PKG_VERSION"),
            self.report.when(self.report.made),
            text(&self.report.zone_name()),
            self.report.utc(self.report.made),
            self.report.run
        )
    }
}

/// The tone of an outcome, and a sign that says it without colour.
pub(super) fn tone(outcome: &str) -> (&'static str, &'static str) {
    match outcome {
        "done" => ("good", "✓"),
        "failed" => ("bad", "✕"),
        "rolled_back" => ("care", "↩"),
        "unknown" => ("doubt", "?"),
        "stopped" | "interrupted" => ("care", "‖"),
        "running" => ("info", "…"),
        _ => ("", "–"),
    }
}

const CSS: &str = include_str!("page.css");
