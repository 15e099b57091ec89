//! The certificates of `svcops status`: those that are near their end, or wrong.

use super::sections::{Item, MOST, Section, Seen};
use crate::{
    base::words,
    cert::Severity,
    survey::{app::Level, cert::Standing},
};
use jiff::Timestamp;
use serde_json::{Value, json};

/// How declared certificates stand.
#[derive(Clone, Debug)]
pub enum Certs {
    /// As seen in their places.
    Seen(Vec<Standing>),
    /// So many are declared, and none was looked at.
    NotAsked(usize),
}

const fn level(severity: Severity) -> Level {
    match severity {
        Severity::Ok => Level::Ok,
        Severity::Warning => Level::Warning,
        Severity::Unknown => Level::Unknown,
        Severity::Critical => Level::Critical,
    }
}

/// Certificates; without one it says nothing.
pub(super) fn certificates(seen: &Seen) -> Section {
    let part = Section::new("certificates", Level::Ok);
    let standings = match &seen.certs {
        Certs::NotAsked(0) => return part,
        Certs::NotAsked(n) => return part.says(format!("{}, none was looked at", words::count("certificate", *n))),
        Certs::Seen(standings) if standings.is_empty() => return part,
        Certs::Seen(standings) => standings,
    };
    let wrong: Vec<&Standing> = standings.iter().filter(|s| s.severity != Severity::Ok).collect();
    let next = standings.iter().filter_map(|s| s.days.map(|days| (days, &s.name))).min();
    let all = words::count("certificate", standings.len());
    let says = match (wrong.as_slice(), next) {
        ([], Some((days, name))) => {
            let left = words::count("day", usize::try_from(days).unwrap_or(0));
            format!("{all} in order, `{name}` is the next to end, in {left}")
        }
        ([], None) => format!("{all} in order"),
        ([one], _) => format!("certificate `{}` {}", one.name, trouble(one)),
        (many, _) => format!("{} of {all} not as they should be", many.len()),
    };
    let items = match wrong.as_slice() {
        [] | [_] => Vec::new(),
        many => many.iter().take(MOST).map(|one| Item::of(format!("`{}` {}", one.name, trouble(one)))).collect(),
    };
    let hint = (!wrong.is_empty()).then(|| "`svcops cert list` has every place".to_owned());
    let json: Vec<Value> = standings.iter().map(|standing| in_json(standing, seen.now)).collect();
    let level = Level::worst(standings.iter().map(|s| level(s.severity)));
    Section { level, items, hint, json: json.into(), ..part.says(says) }
}

/// The worst that is said of one, and at how many places more there is something.
fn trouble(standing: &Standing) -> String {
    let mut places: Vec<_> = standing.places.iter().filter(|place| place.severity() != Severity::Ok).collect();
    places.sort_by_key(|place| std::cmp::Reverse(place.severity()));
    let Some(first) = places.first() else { return "is in order".to_owned() };
    let fault = first.judgement.faults.first().map(|fault| fault.what.to_string());
    let said = first.failed.clone().or(fault).or_else(|| first.outdated.clone()).unwrap_or_default();
    let more = match places.len() - 1 {
        0 => String::new(),
        n => format!(", and {} more", words::count("place", n)),
    };
    format!("at `{}`: {said}{more}", first.target)
}

fn in_json(standing: &Standing, now: Timestamp) -> Value {
    json!({
        "name": standing.name,
        "level": level(standing.severity),
        "days_left": standing.days,
        "due": standing.due,
        "is_due": standing.due.map(|due| due <= now),
        "says": (standing.severity != Severity::Ok).then(|| trouble(standing)),
    })
}
