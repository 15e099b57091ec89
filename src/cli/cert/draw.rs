//! What `cert check` and `cert inspect` show. Pure: who prints it, and where, is said elsewhere.

use super::inspect::Shown;
use crate::{
    base::words::{count, list},
    cert::{Certificate, Judgement, KeyKind, Severity, Trust},
    survey::cert::{Found, Wish},
    ui::{paint::plain_line, screen::Screen, table::table, wrap},
};
use jiff::Timestamp;

/// The worst of several: critical before unknown before a warning.
pub(super) fn worst(found: &[Found]) -> Severity {
    found.iter().map(Found::severity).max().unwrap_or(Severity::Ok)
}

pub(super) const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok => "OK",
        Severity::Warning => "WARNING",
        Severity::Unknown => "UNKNOWN",
        Severity::Critical => "CRITICAL",
    }
}

/// The same certificate with the same faults, wherever it is.
pub(super) struct Row<'a> {
    pub(super) severity: Severity,
    pub(super) days: Option<i64>,
    pub(super) cert: Option<&'a Certificate>,
    pub(super) places: Vec<String>,
    pub(super) faults: Vec<String>,
}

/// The most urgent first.
pub(super) fn rows<'a>(found: &'a [Found], wish: &Wish) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'a>> = Vec::new();
    let mut known = std::collections::HashMap::new();
    for one in found {
        let (faults, cert) = (faults(one), one.cert.as_ref());
        let place = one.target.to_string();
        let key = (cert.map(|c| c.fingerprint.clone()).unwrap_or_default(), faults.clone());
        if let Some(row) = known.get(&key).and_then(|at: &usize| rows.get_mut(*at)) {
            row.places.push(place);
            continue;
        }
        known.insert(key, rows.len());
        rows.push(Row { severity: one.severity(), days: one.days(wish.at), cert, places: vec![place], faults });
    }
    rows.sort_by(|a, b| {
        b.severity.cmp(&a.severity).then_with(|| a.days.cmp(&b.days)).then_with(|| a.places.cmp(&b.places))
    });
    rows
}

/// What is wrong at one place, in words: of which element of the chain, where it is not the first.
pub(super) fn faults(found: &Found) -> Vec<String> {
    let said = found.judgement.faults.iter().map(|fault| {
        let element = fault.element.filter(|element| *element > 0).and_then(|at| found.judgement.path.get(at));
        match element {
            Some(cert) => format!("`{}`: {}", name(cert), fault.what),
            None => fault.what.to_string(),
        }
    });
    found
        .failed
        .iter()
        .cloned()
        .chain(said)
        .chain(found.outdated.iter().cloned())
        .map(|line| plain_line(&line))
        .collect()
}

/// By what people call it.
pub(super) fn name(cert: &Certificate) -> String {
    let first = cert.names.first().map(ToString::to_string);
    first.or_else(|| cert.common_name.clone()).unwrap_or_else(|| cert.subject.clone())
}

pub(super) fn left(days: Option<i64>) -> String {
    match days {
        None => "?".into(),
        Some(days) if days < 0 => "over".into(),
        Some(days) => format!("{days} d"),
    }
}

/// For people.
pub(super) fn text(screen: &Screen, quiet: bool, found: &[Found], wish: &Wish) -> String {
    let rows = rows(found, wish);
    let shown: Vec<&Row<'_>> = rows.iter().filter(|row| !quiet || row.severity != Severity::Ok).collect();
    let cells: Vec<Vec<String>> = shown
        .iter()
        .map(|row| {
            let what = if row.faults.is_empty() {
                row.cert.map(|c| format!("until {}", c.not_after.strftime("%Y-%m-%d"))).unwrap_or_default()
            } else {
                row.faults.join("; ")
            };
            let places = match row.places.as_slice() {
                [one] => one.clone(),
                many => format!("{} places", many.len()),
            };
            vec![word(row.severity).to_owned(), left(row.days), row.cert.map(name).unwrap_or_default(), places, what]
        })
        .collect();
    let mut text = if cells.is_empty() {
        String::new()
    } else {
        table(screen, &["STATUS", "LEFT", "CERTIFICATE", "WHERE", "WHAT"], &cells)
    };
    for row in shown.iter().filter(|row| row.places.len() > 1) {
        let line = format!("{}: {}", row.cert.map_or_else(|| "the same".into(), name), list(&row.places, 10));
        text += &(wrap::hanging("  ", &plain_line(&line), screen.width.max(40)) + "\n");
    }
    text + &verdict(found, &rows, wish) + "\n"
}

pub(super) fn verdict(found: &[Found], rows: &[Row<'_>], wish: &Wish) -> String {
    let n = |severity| found.iter().filter(|f| f.severity() == severity).count();
    let wrong = [Severity::Critical, Severity::Unknown, Severity::Warning]
        .into_iter()
        .filter(|s| n(*s) > 0)
        .map(|s| format!("{} {}", n(s), word(s)))
        .collect::<Vec<_>>();
    let certs =
        rows.iter().filter_map(|r| r.cert.map(|c| &c.fingerprint)).collect::<std::collections::HashSet<_>>().len();
    let said = if wrong.is_empty() { "nothing is wrong".to_owned() } else { wrong.join(", ") };
    let (of, at) = (count("certificate", certs), count("place", found.len()));
    format!("{}: {of} at {at}, {said}; trusted is {}", word(worst(found)), trusted(found, wish))
}

/// Whom places were held against, by the names of the stores.
fn trusted(found: &[Found], wish: &Wish) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in found.iter().map(|found| found.trust.as_str()).filter(|name| !name.is_empty()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    match names.as_slice() {
        [] => wish.trust.name.clone(),
        few if few.len() <= 3 => few.join(", "),
        many => format!("each issuer's own, {} in all", many.len()),
    }
}

/// All that is said, in words: a chain as a tree from whom it hangs on.
pub(super) fn inspected(screen: &Screen, shown: &Shown, way: &Judgement, trust: &Trust, now: Timestamp) -> String {
    let paint = screen.data_paint;
    let width = screen.width.max(40);
    let mut text = shown.tls.as_ref().map(|tls| plain_line(tls) + "\n\n").unwrap_or_default();
    let rest = shown.certificates.iter().filter(|cert| !way.path.contains(cert));
    let mut depth = 0;
    let block = |title: &str, lines: Vec<(&str, String)>, depth: usize| {
        let (branch, indent) = match depth {
            0 => (String::new(), String::new()),
            n => (format!("{}└─ ", "   ".repeat(n - 1)), "   ".repeat(n)),
        };
        let mut part = format!("{branch}{}\n", paint.bold(&plain_line(title)));
        for (label, value) in lines.into_iter().filter(|(_, value)| !value.is_empty()) {
            part += &(wrap::hanging(&format!("{indent}   {label:12}"), &plain_line(&value), width) + "\n");
        }
        part
    };
    for (at, cert) in way.path.iter().enumerate().rev() {
        let sent = if shown.certificates.contains(cert) { "" } else { ", from the store" };
        let trusted = if way.whole && at + 1 == way.path.len() {
            format!("  trusted by {}{sent}", trust.name)
        } else {
            String::new()
        };
        text += &block(&format!("{}{trusted}", name(cert)), lines(cert, now), depth);
        depth += 1;
    }
    if !way.path.is_empty() && !way.whole {
        text += &format!("\n{} does not hold who gave the first of them\n", trust.name);
    }
    for cert in rest {
        text += "\n";
        text += &block(&name(cert), lines(cert, now), 0);
    }
    for request in &shown.requests {
        let names = request.names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let proven = match request.proven {
            Some(true) => "with its own key, so who asks has it",
            Some(false) => "not with its own key: somebody changed it",
            None => "in a way that is not known here",
        };
        let mut told = vec![
            ("subject", request.subject.clone()),
            ("for", names),
            ("key", key(&request.key)),
            ("signed", format!("{}, {proven}", request.signature.name)),
        ];
        told.push(("asks", if request.ca { "to become a CA".to_owned() } else { String::new() }));
        text += &block("Request", told, 0);
    }
    for crl in &shown.crls {
        let next = crl.next_update.map(|t| format!("; the next is due {}", minute(t))).unwrap_or_default();
        let told = vec![
            ("issuer", crl.issuer.clone()),
            ("made", minute(crl.this_update) + &next),
            ("takes back", count("certificate", crl.count())),
        ];
        text += &block("Revocation list", told, 0);
    }
    if !shown.keys.is_empty() {
        text += &format!("{}, not shown\n", count("private key", shown.keys.len()));
    }
    text
}

fn lines(cert: &Certificate, now: Timestamp) -> Vec<(&'static str, String)> {
    let names: Vec<String> = cert.names.iter().map(ToString::to_string).collect();
    let more = names.len().saturating_sub(20);
    let mut listed = names.into_iter().take(20).collect::<Vec<_>>().join(", ");
    if more > 0 {
        listed += &format!(" and {more} more");
    }
    let days = cert.days_left(now);
    let left = match days {
        _ if now > cert.not_after => "over".to_owned(),
        _ if now < cert.not_before => "not yet".to_owned(),
        days => format!(
            "{} left, {:.0} % of its life used",
            count("day", usize::try_from(days).unwrap_or(0)),
            cert.life_used(now) * 100.0
        ),
    };
    let what = match (cert.ca, cert.path_len) {
        (true, Some(0)) => "a CA of servers' certificates only".to_owned(),
        (true, Some(n)) => format!("a CA, with at most {n} CAs below it"),
        (true, None) => "a CA".to_owned(),
        (false, _) => String::new(),
    };
    let weak = |is: bool| if is { ", weak" } else { "" };
    vec![
        ("subject", cert.subject.clone()),
        ("issuer", if cert.subject == cert.issuer { "itself".to_owned() } else { cert.issuer.clone() }),
        ("for", listed),
        ("is", what),
        ("purposes", cert.purposes.join(", ")),
        ("valid", format!("{} to {}: {left}", minute(cert.not_before), minute(cert.not_after))),
        ("key", key(&cert.key)),
        ("signed", format!("{}{}", cert.signature.name, weak(cert.signature.weak))),
        ("serial", cert.serial.clone()),
        ("sha256", cert.fingerprint.clone()),
        ("revoked at", cert.crls.iter().chain(&cert.ocsp).cloned().collect::<Vec<_>>().join(", ")),
        ("unknown", cert.unknown_critical.join(", ")),
    ]
}

fn key(key: &KeyKind) -> String {
    key.weakness().map_or_else(|| key.to_string(), |why| format!("{key}, weak: {why}"))
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
