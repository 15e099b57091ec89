//! Blocks of the page: a change with its diffs, what an act wrote, hosts in a line.

use super::{
    changed::Changed,
    course::{Course, Fate, Stretch},
    escape::{sentence, text},
    outputs::Written,
};
use crate::{
    base::{HostName, words},
    ui::facts::HOST,
};
use serde_json::Value;

/// The legs of a host, each by its sign and number; many are counted, the troubled ones named.
pub(super) fn legs(course: &Course) -> String {
    let name = |leg: &Stretch| {
        let tries = if leg.attempt > 1 { format!("×{}", leg.attempt) } else { String::new() };
        format!("{}{}{tries}", leg.fate.sign(), text(&short(&leg.step)))
    };
    let troubled = |leg: &&Stretch| leg.fate.troubled();
    if course.legs.len() <= MOST_LEGS {
        let leg = |leg: &Stretch| if troubled(&leg) { format!("<em>{}</em>", name(leg)) } else { name(leg) };
        return course.legs.iter().map(leg).collect::<Vec<_>>().join(" ");
    }
    let counted = Fate::ALL.into_iter().filter(|fate| !fate.troubled()).filter_map(|fate| {
        let count = course.legs.iter().filter(|leg| leg.fate == fate).count();
        (count > 0).then(|| format!("{}×{count}", fate.sign()))
    });
    let named = course.legs.iter().filter(troubled).take(MOST_LEGS).map(|leg| format!("<em>{}</em>", name(leg)));
    counted.chain(named).collect::<Vec<_>>().join(" ")
}

pub(super) fn change(changed: &Changed, room: &mut usize) -> String {
    let action =
        if changed.name == changed.action { String::new() } else { format!("<code>{}</code>", text(&changed.action)) };
    let back = if changed.back { " <span class=\"mute\">on the way back</span>" } else { "" };
    let mut body = format!(
        "<article>\n<header><h3><span class=\"num\">{}</span> {}</h3>{action}{back}<span class=\"badge {}\">{} {}</span></header>\n<p>{}</p>\n",
        text(&changed.step),
        text(&changed.name),
        changed.now.class(),
        changed.now.sign(),
        changed.now.words(),
        hosts_inline(&changed.hosts)
    );
    for what in &changed.what {
        // a command that the words had to cut is shown whole instead
        let command = what.command.as_ref().map(|command| text(&cut(command, 4_000)));
        let command = command.filter(|command| take(room, command.len()));
        let (words, _) = what.words.split_once(" `").filter(|_| command.is_some()).unwrap_or((&what.words, ""));
        let colon = if command.is_some() { ":" } else { "" };
        body += &format!("<p>{}{colon}</p>\n", sentence(&upper(words)));
        body += &command.map_or_else(String::new, |command| format!("<pre>{command}</pre>\n"));
    }
    if !(changed.before.is_empty() && changed.after.is_empty()) {
        body += &format!(
            "<div class=\"turn\"><span>before</span><span class=\"mono\">{}</span><span>after</span><span class=\"mono\">→ {}</span></div>\n",
            text(&changed.before),
            text(&changed.after)
        );
    }
    for (path, diff) in &changed.diffs {
        body += &diff_of(path, diff, room);
    }
    body + "</article>\n"
}

/// Takes so much of the room, if there is so much.
fn take(room: &mut usize, size: usize) -> bool {
    let left = room.checked_sub(size);
    *room = left.unwrap_or(*room);
    left.is_some()
}

fn diff_of(path: &str, diff: &str, room: &mut usize) -> String {
    if !diff.contains("\n@@") {
        return format!("<p class=\"mute\"><code>{}</code>: {}</p>\n", text(path), text(diff));
    }
    let mut body = String::new();
    let (mut shown, mut left) = (0, 0);
    for line in diff.lines().filter(|line| !line.starts_with("--- ") && !line.starts_with("+++ ")) {
        let safe = text(line);
        if shown >= DIFF_LINES || !take(room, safe.len() + 14) {
            left += 1;
            continue;
        }
        shown += 1;
        body += &match line.chars().next() {
            Some('+') => format!("<ins>{safe}</ins>"),
            Some('-') => format!("<del>{safe}</del>"),
            Some('@') => format!("<b>{safe}</b>"),
            _ => format!("<span>{safe}</span>"),
        };
    }
    if left > 0 {
        body += &format!("<b>… {} more are not shown</b>", words::count("line", left));
    }
    let open = if shown <= 80 { " open" } else { "" };
    let path = text(path);
    format!("<details{open}><summary><code>{path}</code></summary><pre class=\"diff\">{body}</pre></details>\n")
}

pub(super) fn written(one: &Written) -> String {
    let back = if one.back { ", on the way back" } else { "" };
    let code = one.code.map_or_else(String::new, |code| format!(" <span class=\"mute\">· exit code {code}</span>"));
    let trouble = if one.troubled { "<span class=\"badge failed\">✕ failed</span> " } else { "" };
    let total: u64 = one.streams.iter().map(|s| s.bytes).sum();
    let mut body = format!(
        "<details{}><summary>{trouble}<span class=\"num\">{}</span> {}{back}: {}{code} <span class=\"mute\">· {}</span></summary>\n",
        if one.troubled { " open" } else { " class=\"fold\"" },
        text(&one.step),
        text(&one.name),
        match one.hosts.as_slice() {
            [only] => text(only.as_str()),
            hosts => words::count("host", hosts.len()),
        },
        size(total)
    );
    if one.hosts.len() > 1 {
        body += &format!("<p>{}</p>\n", hosts_inline(&one.hosts));
    }
    for stream in &one.streams {
        let cut = if stream.cut > 0 {
            format!(", {} of {} are not shown", size(stream.cut), size(stream.bytes))
        } else {
            String::new()
        };
        let redacted = if stream.redacted { ", a secret in it is shown as ***" } else { "" };
        body += &format!(
            "<p class=\"mute\">{}{cut}{redacted}</p><pre>{}</pre>\n",
            stream.name,
            text(one.text(stream, HOST).trim_end_matches('\n'))
        );
    }
    body + "</details>\n"
}

pub(super) fn hosts_list(hosts: &[HostName]) -> String {
    hosts.iter().map(|host| text(host.as_str())).collect::<Vec<_>>().join(", ")
}

/// The first hundred lines, and how many more there are.
pub(super) fn most(lines: &[String]) -> Vec<String> {
    let more = lines.len().saturating_sub(100);
    let more = (more > 0).then(|| format!("and {more} more"));
    lines.iter().take(100).cloned().chain(more).collect()
}

/// Hosts in a line; more than a line's worth are folded.
pub(super) fn hosts_inline(hosts: &[HostName]) -> String {
    match hosts {
        [only] => format!("on {}", text(only.as_str())),
        hosts if hosts.len() <= 8 => format!(
            "on {}: {} <span class=\"mute\">(each is HOST below)</span>",
            words::count("host", hosts.len()),
            hosts_list(hosts)
        ),
        hosts => format!(
            "<details class=\"fold\"><summary>on {} <span class=\"mute\">(each is HOST below)</span></summary>{}</details>",
            words::count("host", hosts.len()),
            hosts_list(hosts)
        ),
    }
}

pub(super) fn note(tone: &str, title: &str, items: &str) -> String {
    format!("<div class=\"note {tone}\"><h3>{title}</h3><ul>{items}</ul></div>\n")
}

/// `2.1.then1` as the drawing has it.
pub(super) fn short(step: &str) -> String {
    step.strip_suffix(".then1").map_or_else(|| step.to_owned(), |step| format!("{step}›"))
}

pub(super) fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn upper(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most).chain(['…']).collect()
}

/// Bytes for people.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => words::count("byte", usize::try_from(bytes).unwrap_or(0)),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes / 1_048_576),
    }
}

/// So many legs of a host are named one by one.
const MOST_LEGS: usize = 14;

/// So many lines of a diff are shown.
const DIFF_LINES: usize = 300;
