//! Tickets for people.

use crate::{
    base::words::count,
    journal::outbox::Undelivered,
    ticket::{Entry, Row, Ticket, What},
    transport::shell::quote,
    ui::{message::Message, paint::plain, screen::Screen, table::table, wrap},
};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// Tickets as a table.
pub(super) fn list(screen: &Screen, rows: &[Row], zone: &TimeZone) -> String {
    let cells = |row: &Row| {
        let run = row.run.as_ref().map(ToString::to_string).unwrap_or_default();
        let changed = row.changed.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
        vec![row.id.to_string(), row.state.word().to_owned(), row.subject.clone(), run, changed]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    table(screen, &["ticket", "state", "subject", "run", "updated"], &rows)
}

/// One ticket, with all that was said in it.
pub(super) fn show(ticket: &Ticket, zone: &TimeZone, width: usize) -> String {
    let row = &ticket.row;
    let at = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
    let mut facts = vec![
        ("ticket", row.id.to_string()),
        ("subject", row.subject.clone()),
        ("state", row.state.word().to_owned()),
        ("opened", format!("{} {} by {}", at(row.opened), zone.iana_name().unwrap_or(""), row.author)),
    ];
    facts.extend(row.run.as_ref().map(|run| ("run", run.to_string())));
    facts.extend(row.kind.clone().map(|kind| ("kind", kind)));
    facts.extend(row.queue.clone().map(|queue| ("queue", queue)));
    if !ticket.links.is_empty() {
        let links: Vec<String> = ticket.links.iter().map(ToString::to_string).collect();
        facts.push(("links", links.join(", ")));
    }
    facts.extend(ticket.attachments.iter().map(|file| ("file", format!("{}, {}", file.name, size(file.bytes)))));
    let mut text = String::new();
    for (label, fact) in facts {
        text += &(wrap::hanging(&format!("{label:<9}"), &plain(&fact).replace('\n', " "), width) + "\n");
    }
    let mut day: Option<Date> = None;
    for entry in &ticket.entries {
        let when = entry.at.to_zoned(zone.clone());
        if day != Some(when.date()) {
            day = Some(when.date());
            text += &format!("\n{}\n", when.date());
        }
        text += &said(entry, &when.strftime("%H:%M:%S").to_string(), width);
    }
    if let Some(file) = ticket.attachments.last() {
        text += &format!("\n`svcops ticket attachment {} {}` saves that file here\n", row.id, quote(&file.name));
    }
    text
}

fn said(entry: &Entry, time: &str, width: usize) -> String {
    let (author, words) = (plain(&entry.author), plain(&entry.text));
    let line = |what: String| wrap::hanging(&format!("{time}  "), &what, width) + "\n";
    match entry.what {
        What::State => line(format!("{author}: now {words}")),
        What::Attached => line(format!("{author}: attached {words}")),
        What::Linked => line(format!("{author}: linked with {words}")),
        What::Comment => {
            let mut text = line(author);
            for source in words.lines() {
                let bare = source.trim_start();
                let point = if bare.starts_with("- ") || bare.starts_with("* ") { 2 } else { 0 };
                let (mark, rest) = bare.split_at_checked(point).unwrap_or(("", bare));
                let indent = " ".repeat(10 + source.len() - bare.len());
                text += wrap::hanging(&(indent + mark), rest, width).trim_end();
                text.push('\n');
            }
            text
        }
    }
}

/// What tickets do not have yet.
pub(super) fn lag(waits: &Undelivered) -> Message {
    let (events, runs) = (count("event", waits.rows), count("run", waits.runs));
    let message = Message::warning(format!("tickets lag behind: {events} of {runs} not delivered yet"));
    let message = match &waits.why {
        Some(why) => message.because(why.clone()),
        None => message,
    };
    message.hint("`svcops ticket sync` delivers")
}

/// A size for people.
fn size(bytes: usize) -> String {
    let tenths = |unit: usize| format!("{}.{}", bytes / unit, bytes % unit * 10 / unit);
    match bytes {
        0..1024 => count("byte", bytes),
        1024..1_048_576 => format!("{} KiB", tenths(1024)),
        _ => format!("{} MiB", tenths(1_048_576)),
    }
}
