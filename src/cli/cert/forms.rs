//! The answer of `cert check` in forms that other programs read, or that are kept.

use super::draw::{faults, left, name, rows, verdict, word, worst};
use crate::{
    cert::{Certificate, Severity},
    cli::csv,
    survey::cert::{Found, Wish},
    ui::{
        paint::plain_line,
        report::{
            self,
            escape::{sentence, text},
        },
    },
};
use serde::ser::{Serialize, SerializeSeq as _, Serializer};
use serde_json::{Value, json};

/// The exit code of a severity.
const fn code(severity: Severity) -> u8 {
    match severity {
        Severity::Ok => 0,
        Severity::Warning => 1,
        Severity::Critical => 2,
        Severity::Unknown => 3,
    }
}

/// For Nagios and its kin: the verdict with figures, then a line a fault.
pub(super) fn nagios(found: &[Found], wish: &Wish) -> String {
    let rows = rows(found, wish);
    let least = found.iter().filter_map(|f| f.days(wish.at)).min();
    let figures = least.map(|days| format!(" | days={days};{};{}", wish.warn, wish.crit)).unwrap_or_default();
    // a bar would begin the figures
    let clean = |text: String| text.replace('|', "/");
    let mut text = format!("CERT {}{figures}\n", clean(verdict(found, &rows, wish)));
    for row in rows.iter().filter(|row| row.severity != Severity::Ok) {
        let line = format!("{} {}: {}", word(row.severity), row.places.join(", "), row.faults.join("; "));
        text += &(clean(plain_line(&line)) + "\n");
    }
    text
}

/// For a textfile collector (Prometheus' text format 0.0.4).
pub(super) fn prometheus(found: &[Found], wish: &Wish) -> String {
    let mut text = String::new();
    let head = |name: &str, help: &str| format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
    let label = |value: &str| plain_line(value).replace('\\', "\\\\").replace('"', "\\\"");
    text += &head("svcops_cert_status", "0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.");
    for one in found {
        let code = code(one.severity());
        text += &format!("svcops_cert_status{{target=\"{}\"}} {code}\n", label(&one.target.to_string()));
    }
    text += &head("svcops_cert_not_after_seconds", "When the first of the chain expires, in Unix time.");
    for one in found {
        let ends = one.judgement.path.iter().map(|c| c.not_after.as_second()).min();
        if let (Some(ends), Some(cert)) = (ends, &one.cert) {
            let (target, serial) = (label(&one.target.to_string()), &cert.serial);
            text += &format!(
                "svcops_cert_not_after_seconds{{target=\"{target}\",name=\"{}\",serial=\"{serial}\"}} {ends}\n",
                label(&name(cert))
            );
        }
    }
    text += &head("svcops_cert_checked_seconds", "When it was looked at, in Unix time.");
    text + &format!("svcops_cert_checked_seconds {}\n", wish.at.as_second())
}

/// For a spreadsheet (RFC 4180): a place a row.
pub(super) fn csv(found: &[Found], wish: &Wish) -> String {
    let mut text = "status,target,days_left,not_after,name,issuer,serial,faults\r\n".to_owned();
    for one in found {
        let of = |f: fn(&Certificate) -> String| one.cert.as_ref().map(f).unwrap_or_default();
        let cells = [
            word(one.severity()).to_owned(),
            one.target.to_string(),
            one.days(wish.at).map(|d| d.to_string()).unwrap_or_default(),
            of(|c| c.not_after.to_string()),
            of(name),
            of(|c| c.issuer.clone()),
            of(|c| c.serial.clone()),
            faults(one).join("; "),
        ];
        text += &csv::row(cells.iter().map(String::as_str));
    }
    text
}

/// A page that needs nothing else, for whoever has no shell: the most urgent first.
pub(super) fn html(found: &[Found], wish: &Wish) -> String {
    let rows = rows(found, wish);
    let tone = |severity| match severity {
        Severity::Ok => ("good", "done"),
        Severity::Warning => ("care", "undone"),
        Severity::Unknown => ("doubt", "unknown"),
        Severity::Critical => ("bad", "failed"),
    };
    let at = wish.at.strftime("%Y-%m-%d %H:%M UTC");
    let said = verdict(found, &rows, wish);
    let mut body = format!(
        "<header><p class=\"eyebrow\">svcops cert check, {at}</p><h1>Certificates</h1>\n\
         <div class=\"verdict {}\"><p class=\"word\">{}</p></div></header>\n<main>\n",
        tone(worst(found)).0,
        sentence(&said),
    );
    body += "<table><thead><tr><th>Status</th><th>Left</th><th>Certificate</th><th>Where</th><th>What</th></tr></thead>\n<tbody>\n";
    for row in &rows {
        let until = row.cert.map(|c| format!("until {}", c.not_after.strftime("%Y-%m-%d"))).unwrap_or_default();
        let what = if row.faults.is_empty() { until } else { row.faults.join("; ") };
        let places: Vec<String> = row.places.iter().map(|place| format!("<code>{}</code>", text(place))).collect();
        body += &format!(
            "<tr><td><span class=\"badge {}\">{}</span></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            tone(row.severity).1,
            word(row.severity),
            left(row.days),
            text(&row.cert.map(name).unwrap_or_default()),
            places.join(" "),
            sentence(&what),
        );
    }
    body += "</tbody></table>\n</main>\n";
    report::sheet(&said, &body)
}

/// `-o json`: made place by place, while it is written.
#[derive(serde::Serialize)]
pub(super) struct Answer<'a> {
    schema_version: u8,
    status: &'static str,
    exit_code: u8,
    checked_at: jiff::Timestamp,
    trust: &'a str,
    warn_days: i64,
    crit_days: i64,
    places: Places<'a>,
}

/// `-o json`.
pub(super) fn json<'a>(found: &'a [Found], wish: &'a Wish) -> Answer<'a> {
    let worst = worst(found);
    Answer {
        schema_version: 1,
        status: word(worst),
        exit_code: code(worst),
        checked_at: wish.at,
        trust: &wish.trust.name,
        warn_days: wish.warn,
        crit_days: wish.crit,
        places: Places(found, wish),
    }
}

struct Places<'a>(&'a [Found], &'a Wish);

impl Serialize for Places<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut places = serializer.serialize_seq(Some(self.0.len()))?;
        for one in self.0 {
            places.serialize_element(&place(one, self.1))?;
        }
        places.end()
    }
}

fn place(one: &Found, wish: &Wish) -> Value {
    let chain: Vec<Value> = one
        .judgement
        .path
        .iter()
        .map(|cert| {
            json!({
                "subject": cert.subject,
                "issuer": cert.issuer,
                "names": cert.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "serial": cert.serial,
                "not_before": cert.not_before,
                "not_after": cert.not_after,
                "days_left": cert.days_left(wish.at),
                "life_used": (cert.life_used(wish.at) * 1000.0).round() / 1000.0,
                "key": cert.key.to_string(),
                "signature": cert.signature.name,
                "sha256": cert.fingerprint,
            })
        })
        .collect();
    json!({
        "target": one.target.to_string(),
        "certificate": one.of,
        "status": word(one.severity()),
        "days_left": one.days(wish.at),
        "failed": one.failed,
        "tls": one.version,
        "outdated": one.outdated,
        "trusted": one.judgement.whole,
        "trust": one.trust,
        "faults": one.judgement.faults.iter().map(|f| {
            let mut value = serde_json::to_value(f).unwrap_or(Value::Null);
            if let Some(map) = value.as_object_mut() {
                map.insert("words".into(), json!(f.what.to_string()));
            }
            value
        }).collect::<Vec<_>>(),
        "chain": chain,
    })
}
