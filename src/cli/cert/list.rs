//! `svcops cert list`: what is declared, where it is, until when it lasts, and when it was renewed last.

use super::{
    check,
    draw::{faults, left, word},
    renewals::{Renewal, Renewals},
    targets::Targets,
};
use crate::{
    base::{Clock as _, Span, WallClock, words},
    cert::{Severity, Trust, dial::Dial},
    cli::{Face, args::Output, exit::ExitCode, words::Failure},
    survey::cert::{Standing, Target, Wish, standings},
    ui::{message::Message, paint::plain_line, screen::Screen, table::table, wrap},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

/// `cert list`.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only these, by their names in `svcops.yaml`
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// WARNING from so many days before its end, where it has no threshold of its own
    #[arg(long, value_name = "TIME", default_value = "30d")]
    pub warn: Span,
    /// CRITICAL from so many days before its end, where it has no threshold of its own
    #[arg(long, value_name = "TIME", default_value = "7d")]
    pub crit: Span,
    /// For all of one endpoint
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub timeout: Span,
}

/// For its help.
pub(super) const EXAMPLES: &str = "Examples:
  svcops cert list
  svcops cert list billing-tls -o json
  svcops cert list -l site=dc1

It looks at each place, as `svcops cert check` does, and into the journal for the
run that renewed it last.

Exit code: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (also wrong usage).";

/// A certificate with what the journal knows of it.
struct Line {
    standing: Standing,
    renewed: Option<Renewal>,
}

impl Face {
    pub(super) fn cert_list(&self, args: &List) -> Result<ExitCode, Failure> {
        self.no_stream()?;
        let mut wanted = Targets::new(self);
        for name in &args.names {
            let declared = &wanted.project()?.inventory.certificates;
            if !declared.contains_key(name) {
                let message = Message::error(format!("`svcops.yaml` declares no certificate `{name}`"));
                let near = words::nearest(name, declared.keys().map(String::as_str));
                let near = near.map(|near| format!("did you mean `{near}`?"));
                return Err(Failure::wrong(message.hint(near.unwrap_or("`svcops cert list` lists them".into()))));
            }
            wanted.declared(Some(name))?;
        }
        if args.names.is_empty() {
            wanted.declared(None)?;
        }
        let (asks, own, project) = wanted.done()?;
        let Some(project) = project else { return Err(Failure::wrong(Message::error("there is no project"))) };
        let ways = self.fleet(&project.root, &project.inventory, None);
        let now = WallClock.now();
        let wish = Wish {
            warn: check::days(args.warn),
            crit: check::days(args.crit),
            own,
            dial: Dial { within: args.timeout.0, client: None },
            hosts: Some(Arc::clone(&ways.transport)),
            ..Wish::plain(now, Trust::system())
        };
        let found = self.looked(asks, &Arc::new(wish))?;
        let opened = self.open_to_read(&project.inventory.project)?;
        let mut renewals = Renewals::new(&opened.journal, &project.inventory.project);
        let mut lines = Vec::new();
        for standing in standings(&project.inventory, found, now) {
            let declared = project.inventory.certificates.get(&standing.name);
            let renewed = declared.map(|c| renewals.last(&project.inventory, c)).transpose()?.flatten();
            lines.push(Line { standing, renewed });
        }
        lines.sort_by(|a, b| {
            let urgency = |line: &Line| (std::cmp::Reverse(line.standing.severity), line.standing.days);
            urgency(a).cmp(&urgency(b))
        });
        let worst = lines.iter().map(|line| line.standing.severity).max().unwrap_or(Severity::Ok);
        if self.global.output == Output::Json {
            self.screen.json(&answer(&lines, worst, now));
        } else {
            self.screen.data(&text(&self.screen, self.global.quiet, &lines, worst, now));
        }
        Ok(check::exit(worst))
    }
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

fn text(screen: &Screen, quiet: bool, lines: &[Line], worst: Severity, now: Timestamp) -> String {
    let shown: Vec<&Line> = lines.iter().filter(|line| !quiet || line.standing.severity != Severity::Ok).collect();
    let rows: Vec<Vec<String>> = shown.iter().map(|line| row(line, now)).collect();
    let head = ["STATUS", "CERTIFICATE", "LEFT", "DUE", "ISSUER", "WHERE", "RENEWED"];
    let mut text = if rows.is_empty() { String::new() } else { table(screen, &head, &rows) };
    for line in &shown {
        let troubled = line.standing.places.iter().filter(|place| place.severity() != Severity::Ok);
        let told: Vec<String> =
            troubled.map(|place| format!("`{}`: {}", place.target, faults(place).join("; "))).collect();
        for trouble in told.iter().take(MOST) {
            let said = plain_line(&format!("{}: {trouble}", line.standing.name));
            text += &(wrap::hanging("  ", &said, screen.width.max(40)) + "\n");
        }
        if told.len() > MOST {
            text += &format!("  {}: and {} more\n", line.standing.name, words::count("place", told.len() - MOST));
        }
    }
    let due = lines.iter().filter(|line| line.standing.due.is_some_and(|due| due <= now)).count();
    let wrong = lines.iter().filter(|line| line.standing.severity != Severity::Ok).count();
    let says = match (wrong, due) {
        (0, 0) => "nothing is wrong, and none is due".to_owned(),
        (0, due) => format!("nothing is wrong, {due} due"),
        (wrong, due) => format!("{wrong} not as it should be, {due} due"),
    };
    text + &format!("{}: {}, {says}\n", word(worst), words::count("certificate", lines.len()))
}

/// So many places of one are told.
const MOST: usize = 5;

fn row(line: &Line, now: Timestamp) -> Vec<String> {
    let standing = &line.standing;
    let due = match (standing.due, &standing.issuer) {
        (Some(due), _) if due <= now => format!("since {}", day(due)),
        (Some(due), _) => day(due),
        (None, Some(_)) => "?".to_owned(),
        (None, None) => "not by svcops".to_owned(),
    };
    let served = standing.places.iter().filter(|place| matches!(place.target, Target::Endpoint(_))).count();
    let lies = standing.places.len() - served;
    let places = match standing.places.as_slice() {
        [one] => one.target.to_string(),
        _ => [(lies, "file"), (served, "endpoint")]
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, what)| words::count(what, *n))
            .collect::<Vec<_>>()
            .join(", "),
    };
    let renewed = line.renewed.as_ref().map(|renewal| {
        let ticket = renewal.ticket.as_ref().map(|ticket| format!(", {ticket}")).unwrap_or_default();
        format!("{}{ticket}, {}", day(renewal.at), renewal.run)
    });
    vec![
        word(standing.severity).to_owned(),
        standing.name.clone(),
        left(standing.days),
        due,
        standing.issuer.clone().unwrap_or_default(),
        places,
        renewed.unwrap_or_default(),
    ]
}

fn answer(lines: &[Line], worst: Severity, now: Timestamp) -> Value {
    let certificates: Vec<Value> = lines
        .iter()
        .map(|Line { standing, renewed }| {
            let places: Vec<Value> = standing
                .places
                .iter()
                .map(|place| {
                    json!({
                        "target": place.target.to_string(),
                        "status": word(place.severity()),
                        "serial": place.cert.as_ref().map(|cert| &cert.serial),
                        "not_after": place.cert.as_ref().map(|cert| cert.not_after),
                        "issuer": place.cert.as_ref().map(|cert| &cert.issuer),
                        "faults": faults(place),
                    })
                })
                .collect();
            json!({
                "name": standing.name,
                "title": standing.title,
                "status": word(standing.severity),
                "issuer": standing.issuer,
                "days_left": standing.days,
                "due": standing.due,
                "is_due": standing.due.map(|due| due <= now),
                "renewed": renewed.as_ref().map(|renewal| json!({
                    "run": renewal.run,
                    "at": renewal.at,
                    "ticket": renewal.ticket,
                })),
                "places": places,
            })
        })
        .collect();
    let exit_code = check::exit(worst).number();
    json!({
        "schema_version": 1,
        "status": word(worst),
        "exit_code": exit_code,
        "checked_at": now,
        "certificates": certificates,
    })
}
