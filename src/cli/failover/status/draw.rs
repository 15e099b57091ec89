//! What `svcops failover status` shows of a service. Pure.

use super::{Fence, Told};
use crate::{
    base::words,
    cli::{
        app::word,
        failover::{history::when, moves::Move},
    },
    survey::{
        app::Level,
        service::{Active, Node, Role, Seen},
    },
    ui::{outage, paint::plain_line, screen::Screen, table::table, wrap},
};
use jiff::tz::TimeZone;

/// What is wrong, first; the parts at each site; and what a switch would meet.
pub(super) fn draw(screen: &Screen, told: &Told, zone: &TimeZone) -> String {
    let mut text = headline(screen, told);
    for problem in &told.now.seen.problems {
        let label = format!("{}  ", word(problem.level));
        let block = wrap::hanging(&label, &plain_line(&problem.says), screen.width);
        text += &colour(screen, problem.level, &block);
        text.push('\n');
        if let Some(hint) = &problem.hint {
            text += &wrap::hanging(&" ".repeat(label.len()), hint, screen.width);
            text.push('\n');
        }
    }
    text.push('\n');
    text += &parts(screen, told);
    text.push('\n');
    for (label, line) in lines(told, zone) {
        text += &wrap::hanging(&format!("{label:<13}"), &plain_line(&line), screen.width);
        text.push('\n');
    }
    text
}

fn colour(screen: &Screen, level: Level, text: &str) -> String {
    let paint = screen.data_paint;
    // a line at a time, for a pager that forgets colours at an end of line
    let line = |line: &str| match level {
        Level::Critical => paint.red(line),
        Level::Warning | Level::Unknown => paint.yellow(line),
        Level::Ok => paint.green(line),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn headline(screen: &Screen, told: &Told) -> String {
    let seen = &told.now.seen;
    let title = seen.title.as_ref().map(|title| format!(" ({title})")).unwrap_or_default();
    let level = told.level();
    let says = plain_line(&format!("{}{title}", told.now.place()));
    colour(screen, level, &wrap::hanging(&format!("{}: ", word(level)), &says, screen.width)) + "\n"
}

/// Where it is, in words.
pub(super) fn place(seen: &Seen) -> String {
    let name = &seen.service;
    let nodes = seen.database.iter().flat_map(|database| &database.nodes);
    let primaries = nodes.filter(|node| node.role == Role::Primary).count();
    match &seen.active {
        Active::At(site) => format!("`{name}` is active at `{site}`"),
        Active::Split { at, .. } => format!("`{name}` is SPLIT: active at `{at}`, and parts of it are elsewhere"),
        Active::Both if primaries > 1 => format!("`{name}` has TWO PRIMARIES"),
        Active::Both => format!("`{name}` is active at BOTH sites"),
        Active::Nowhere => format!("`{name}` is active NOWHERE"),
        Active::Unknown(_) => format!("nobody can say where `{name}` is active"),
    }
}

fn parts(screen: &Screen, told: &Told) -> String {
    let sites: Vec<&str> = told.now.seen.sites.iter().map(|site| site.site.as_str()).collect();
    let mut head = vec!["part"];
    head.extend(&sites);
    let rows: Vec<Vec<String>> = told
        .now
        .seen
        .parts
        .iter()
        .map(|part| {
            let at = |site: &&str| part.at.get(*site).map_or_else(|| "–".to_owned(), |standing| standing.says.clone());
            let mut row = vec![format!("{} {}", part.kind, part.name)];
            row.extend(sites.iter().map(at));
            row
        })
        .collect();
    table(screen, &head, &rows)
}

fn lines(told: &Told, zone: &TimeZone) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if told.now.seen.database.is_some() {
        lines.push(("replication", replication(told)));
        lines.push(("switch", switch(told)));
    }
    match &told.now.fence {
        Fence::NoDatabase => {}
        Fence::Patroni => lines.push(("--forced", "Patroni decides who starts as primary".to_owned())),
        Fence::Boot(_) => lines.push(("--forced", forced(told))),
    }
    if let Err(why) = &told.past {
        lines.push(("last switch", format!("not known: {why}")));
    } else {
        let name = &told.now.seen.service;
        let never = "never".to_owned();
        lines.push(("last switch", told.last_switch().map_or(never, |one| last(one, zone))));
        lines.extend(told.tried_since().map(|one| ("tried since", last(one, zone))));
        let never = format!("never: `svcops failover drill {name}` goes as far as can be undone");
        lines.push(("last drill", told.last_drill().map_or(never, |one| last(one, zone))));
    }
    lines
}

fn replication(told: &Told) -> String {
    let nodes = || told.now.seen.database.iter().flat_map(|database| &database.nodes);
    let standby = nodes().find(|node| matches!(node.role, Role::Standby | Role::Cut));
    let rpo = format!("RPO {}", told.now.rpo);
    let (Some(primary), Some(standby)) = (told.now.seen.primary(), standby) else {
        let role = |node: &Node| format!("`{}` {}", node.host, node.role);
        return format!("{}; {rpo}", nodes().map(role).collect::<Vec<_>>().join(", "));
    };
    let way = format!("`{}` → `{}`", primary.host, standby.host);
    let cut = if standby.role == Role::Cut { ", cut off" } else { "" };
    let Some(lag) = &told.now.seen.database.as_ref().and_then(|database| database.lag.clone()) else {
        return format!("{way}{cut}, how far behind is not known; {rpo}");
    };
    let time = lag.time.filter(|time| time.0.as_millis() > 0).map(|time| format!(" ({time})")).unwrap_or_default();
    let bytes = words::bytes(lag.bytes);
    let far = match lag.bytes {
        0 if time.is_empty() => "in step".to_owned(),
        0 => format!("has all of the log, and has yet to replay{time}"),
        _ if lag.in_flight => format!("in step, {bytes} under way"),
        _ => format!("{bytes}{time} behind"),
    };
    let held = if lag.within(told.now.rpo) { "met" } else { "not met" };
    format!("{way}{cut}: {far}; {rpo}: {held}")
}

fn switch(told: &Told) -> String {
    let checks = &told.now.checks;
    let to = checks.to.as_ref().map(|to| format!("to `{to}`: ")).unwrap_or_default();
    match checks.pass {
        Some(true) => format!("{to}its checks would pass now"),
        Some(false) => match checks.against.as_slice() {
            [one] => format!("{to}would be refused now: {one}"),
            many => format!("{to}would be refused now, for {} reasons above", many.len()),
        },
        None => format!("{to}not known: {}", checks.against.join("; ")),
    }
}

fn forced(told: &Told) -> String {
    let Fence::Boot(hosts) = &told.now.fence else { return String::new() };
    let of = |is: Option<bool>| -> Vec<String> {
        hosts.iter().filter(|(_, fence)| **fence == is).map(|(host, _)| format!("`{host}`")).collect()
    };
    let (without, unseen) = (of(Some(false)), of(None));
    match told.now.fence.ready() {
        Some(true) => format!("ready: boot fence on {}", of(Some(true)).join(", ")),
        Some(false) => format!(
            "not ready: no boot fence on {}; `svcops failover prepare {}` puts it there",
            without.join(", "),
            told.now.seen.service
        ),
        None => format!("not known: {} was not seen", unseen.join(", ")),
    }
}

/// When, how long clients were without it, how it ended, by whom.
fn last(one: &Move, zone: &TimeZone) -> String {
    let row = &one.run.row;
    let outage = match &one.outage {
        _ if !one.touched && !one.moved => "nothing was touched".to_owned(),
        Some(outage) => format!("outage {}", outage::headline(outage)),
        None => "outage not measured".to_owned(),
    };
    let outcome = one.outcome();
    format!(
        "{} {} {}, {outcome}; {outage}; by {}, run {}",
        when(row.began, zone),
        one.kind.word(),
        one.route(),
        row.operator,
        row.run
    )
}
