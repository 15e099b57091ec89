//! `svcops failover history SERVICE`: what moved it, how long clients were without it, and where that is going.

use super::{
    moves::{Kind, Move, moves},
    plot,
};
use crate::{
    base::words,
    cli::{
        Face,
        args::{Output, at_least_one},
        csv,
        exit::ExitCode,
        words::Failure,
    },
    inventory::Service,
    ui::{message::Message, outage, screen::Screen, table::table, wrap},
    verbs::failover::{find, forced::Stated},
};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

/// `failover history`.
#[derive(Debug, clap::Args)]
pub struct History {
    /// The service
    pub service: String,
    /// At most so many
    #[arg(short = 'n', long, value_name = "N", default_value = "50", value_parser = at_least_one)]
    pub most: usize,
}

/// For its help.
pub(super) const EXAMPLES: &str = "Examples:
  svcops failover history crm
  svcops failover history crm -n 12 -o csv > crm.csv
  svcops failover history crm -o json

Its switches, drills and rejoins, newest first, and their outages as clients
saw them, drawn oldest first. What a forced switch lost is known once its old
primary is a standby again.";

impl Face {
    pub(super) fn failover_history(&self, args: &History) -> Result<ExitCode, Failure> {
        self.no_stream()?;
        let project = self.project()?;
        let service = find(&project.inventory, &args.service).map_err(|e| Failure::wrong(Message::of(&e)))?;
        let opened = self.open_to_read(&project.inventory.project)?;
        let past = self.past(&opened, Some(&project));
        let moves = moves(&past, &project.inventory, service, args.most)?;
        match self.global.output {
            Output::Table => self.screen.data(&draw(&self.screen, service, &moves, &past.zone)),
            Output::Csv => self.screen.data(&sheet(&moves)),
            _ => self.screen.json(&json(service, &moves)),
        }
        Ok(ExitCode::Done)
    }
}

/// In the zone of the project, to the minute.
pub(super) fn when(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
}

fn draw(screen: &Screen, service: &Service, moves: &[Move], zone: &TimeZone) -> String {
    let name = &service.name;
    if moves.is_empty() {
        return format!(
            "`{name}` has never been moved by svcops, not even in a drill\n\
             `svcops failover drill {name}` goes as far as can be undone, and measures it\n"
        );
    }
    let rows: Vec<Vec<String>> = moves.iter().map(|one| row(one, zone)).collect();
    let mut text = table(screen, &HEAD, &rows);
    text += &losses(screen, service, moves, zone);
    let measured: Vec<plot::Bar> = moves.iter().rev().filter_map(|one| bar(one, zone)).collect();
    if let Some(drawn) = plot::draw(screen, &measured) {
        let promised = service.rto.map(|rto| format!(", RTO {rto}")).unwrap_or_default();
        text += &format!("\noutages in milliseconds, newest right{promised}\n{drawn}");
    } else if service.probe.is_none() {
        text += &format!("\nno outage was measured: `probe:` of service `{name}` says how a client sees it\n");
    }
    text
}

const HEAD: [&str; 10] = ["when", "what", "way", "outcome", "outage", "failed", "rto", "lost", "by", "run"];

fn row(one: &Move, zone: &TimeZone) -> Vec<String> {
    let nothing = || "–".to_owned();
    let of = |f: &dyn Fn(&outage::Outage) -> String| one.outage.as_ref().map_or_else(nothing, f);
    let long = |outage: &outage::Outage| match (outage.over, outage.whole) {
        (false, _) => format!("{}, not over", outage::time(outage.ms)),
        (true, false) if outage.ms > 0 => format!("at least {}", outage::time(outage.ms)),
        (true, false) => "not measured".to_owned(),
        (true, true) => outage::time(outage.ms),
    };
    let met = |outage: &outage::Outage| match outage.rto_met() {
        Some(true) => "met".to_owned(),
        Some(false) => "missed".to_owned(),
        None => nothing(),
    };
    vec![
        when(one.run.row.began, zone),
        one.kind.word().to_owned(),
        one.route(),
        one.outcome(),
        of(&long),
        of(&|outage| outage.failed.to_string()),
        of(&met),
        lost(one),
        one.run.row.operator.clone(),
        one.run.row.run.to_string(),
    ]
}

/// What was lost of the log.
fn lost(one: &Move) -> String {
    match (one.lost, one.kind == Kind::Forced && one.through, &one.found) {
        (Some(bytes), ..) => words::bytes(bytes),
        (None, true, None) => "not known yet".to_owned(),
        (None, true, Some(_)) => "not known".to_owned(),
        (None, false, _) => "–".to_owned(),
    }
}

/// What the forced ones said before that they may lose, and what was found after.
fn losses(screen: &Screen, service: &Service, moves: &[Move], zone: &TimeZone) -> String {
    let mut text = String::new();
    for one in moves {
        let Some(stated) = one.stated.as_ref().filter(|_| one.through) else { continue };
        if text.is_empty() {
            text += "\nwhat forced ones said that they may lose, and what was lost\n";
        }
        let found = if let Some(by) = &one.found {
            format!("{}; found by rejoin {}", by.found.against(stated), by.run)
        } else {
            let site = one.from.as_deref().unwrap_or("its old primary");
            format!("not known yet: `svcops failover rejoin {}` finds it, once `{site}` is back", service.name)
        };
        let began = when(one.run.row.began, zone);
        let blank = " ".repeat(began.len());
        for (first, says) in [(format!("{began}  stated  "), stated.words()), (format!("{blank}  lost    "), found)] {
            text += &(wrap::hanging(&first, &says, screen.width) + "\n");
        }
    }
    text
}

fn bar(one: &Move, zone: &TimeZone) -> Option<plot::Bar> {
    // one that was refused has cost nobody anything: it is no part of the trend
    let outage = one.outage.as_ref().filter(|outage| one.touched && (outage.whole || outage.ms > 0))?;
    Some(plot::Bar {
        ms: outage.ms,
        mark: one.kind.letter(),
        word: one.kind.word(),
        bad: outage.rto_met() == Some(false),
        when: when(one.run.row.began, zone),
    })
}

fn json(service: &Service, moves: &[Move]) -> Value {
    json!({
        "schema_version": 1,
        "service": service.name,
        "rto_ms": service.rto.and_then(|rto| u64::try_from(rto.0.as_millis()).ok()),
        "rpo": service.rpo.to_string(),
        "moves": moves.iter().map(Move::json).collect::<Vec<_>>(),
    })
}

fn sheet(moves: &[Move]) -> String {
    const HEAD: [&str; 19] = [
        "started",
        "what",
        "from",
        "to",
        "outcome",
        "outage_ms",
        "tries",
        "failed",
        "rto_met",
        "lost_bytes",
        "operator",
        "machine",
        "run",
        "stated_least_bytes",
        "stated_most_bytes",
        "stated_most_seconds",
        "lost_seconds",
        "touched",
        "moved",
    ];
    let line = |one: &Move| {
        let row = &one.run.row;
        let of = |f: &dyn Fn(&outage::Outage) -> String| one.outage.as_ref().map(f).unwrap_or_default();
        let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        let of_stated = |f: &dyn Fn(&Stated) -> Option<u64>| number(one.stated.as_ref().and_then(f));
        let cells = [
            row.began.to_string(),
            one.kind.word().to_owned(),
            one.from.clone().unwrap_or_default(),
            one.to.clone().unwrap_or_default(),
            one.run.outcome().to_owned(),
            of(&|outage| outage.ms.to_string()),
            of(&|outage| outage.tries.to_string()),
            of(&|outage| outage.failed.to_string()),
            of(&|outage| outage.rto_met().map(|met| met.to_string()).unwrap_or_default()),
            number(one.lost),
            row.operator.clone(),
            row.machine.clone(),
            row.run.to_string(),
            of_stated(&|stated| Some(stated.least_bytes)),
            of_stated(&|stated| stated.most_bytes),
            of_stated(&|stated| stated.most_time.map(|most| most.0.as_secs())),
            number(one.lost_seconds()),
            one.touched.to_string(),
            one.moved.to_string(),
        ];
        csv::row(cells.iter().map(String::as_str))
    };
    csv::row(HEAD) + &moves.iter().map(line).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::{super::moves::tests::moved, *};
    use crate::inventory::sample_services;

    fn drawn(width: usize) -> String {
        let inventory = sample_services::moving();
        draw(&Screen::plain(width), &inventory.services["crm"], &moved(), &TimeZone::UTC)
    }

    #[test]
    fn a_history_is_a_table_and_its_outages_drawn() {
        insta::assert_snapshot!(drawn(110), @r"
        WHEN              WHAT    WAY        OUTCOME  OUTAGE  FAILED  RTO     LOST     BY     RUN
        2026-11-20 11:07  rejoin  dc2        done     –       –       –       0 bytes  мария  01M7WA7PAG
        2026-11-20 11:06  rejoin  dc2        done     –       –       –       8 KiB    мария  01M7WA65G0
        2026-11-19 12:06  drill   dc1 → dc2  done     143 ms  14      met     –        мария  01M7SV7A40
        2026-11-19 11:50  switch  dc1 → dc2  refused  0 ms    14      met     –        мария  01M7ST8SJ0
        2026-11-19 11:06  forced  dc2 → dc1  done     40s     14      missed  8 KiB    мария  01M7SQSEG0
        2026-11-19 11:05  forced  dc2 → dc1  failed   –       –       –       –        мария  01M7SQPCV0
        2026-11-18 11:06  switch  dc1 → dc2  done     480 ms  14      met     0 bytes  мария  01M7Q5CQG1

        what forced ones said that they may lose, and what was lost
        2026-11-19 11:06  stated  at least 0 B, at most 1.0 MB and 42s
                          lost    8.0 kB and 6s: within what was stated; found by rejoin 01M7WA65G0

        outages in milliseconds, newest right, RTO 30s
        50000 │
              │    ▃▃
              │    ██
              │    ██
        25000 │    ██
              │    ██
              │    ██
              │ ▁▁ ██ ▁▁
            0 └─────────
                s  f  d
               2026-11-18 11:06 … 2026-11-19 12:06; d drill, f forced, s switch
        ");
        for width in [60, 80] {
            let text = drawn(width);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        }
    }

    #[test]
    fn what_was_stated_stands_beside_what_was_found_or_how_to_find_it() {
        let inventory = sample_services::moving();
        let said = |moves: &[Move]| losses(&Screen::plain(90), &inventory.services["crm"], moves, &TimeZone::UTC);
        let mut moves = moved();
        let json = moves[4].json();
        let of = |key: &str, what: &str| json[key][what].clone();
        assert_eq!(
            (of("stated", "most_seconds"), of("found", "lost_bytes"), of("found", "seconds")),
            (42.into(), 8192.into(), 6.into())
        );
        assert_eq!((of("found", "within_stated_bytes"), of("found", "within_stated_time")), (true.into(), true.into()));
        insta::assert_snapshot!(said(&moves), @r"
        what forced ones said that they may lose, and what was lost
        2026-11-19 11:06  stated  at least 0 B, at most 1.0 MB and 42s
                          lost    8.0 kB and 6s: within what was stated; found by rejoin
                                  01M7WA65G0
        ");
        for one in &mut moves {
            one.found = None;
        }
        insta::assert_snapshot!(said(&moves), @r"
        what forced ones said that they may lose, and what was lost
        2026-11-19 11:06  stated  at least 0 B, at most 1.0 MB and 42s
                          lost    not known yet: `svcops failover rejoin crm` finds it, once `dc2`
                                  is back
        ");
        moves.retain(|one| one.kind != Kind::Forced);
        assert_eq!(said(&moves), "");
    }

    #[test]
    fn where_nothing_was_moved_yet_it_says_so_and_what_to_do() {
        let inventory = sample_services::moving();
        let text = draw(&Screen::plain(80), &inventory.services["crm"], &[], &TimeZone::UTC);
        assert!(text.starts_with("`crm` has never been moved") && text.contains("svcops failover drill crm"), "{text}");
    }

    #[test]
    fn programs_read_it_too() {
        let inventory = sample_services::moving();
        let json = json(&inventory.services["crm"], &moved());
        assert_eq!((&json["schema_version"], &json["moves"][0]["what"]), (&1.into(), &"rejoin".into()));
        insta::assert_snapshot!(sheet(&moved()).replace("\r\n", "\n"), @r"
        started,what,from,to,outcome,outage_ms,tries,failed,rto_met,lost_bytes,operator,machine,run,stated_least_bytes,stated_most_bytes,stated_most_seconds,lost_seconds,touched,moved
        2026-11-20T11:07:30Z,rejoin,,dc2,done,,,,,0,мария,ops-1,01M7WA7PAG,,,,0,false,false
        2026-11-20T11:06:40Z,rejoin,,dc2,done,,,,,8192,мария,ops-1,01M7WA65G0,,,,,false,false
        2026-11-19T12:06:40Z,drill,dc1,dc2,done,143,700,14,true,,мария,ops-1,01M7SV7A40,,,,,true,false
        2026-11-19T11:50:00Z,switch,dc1,dc2,rolled_back,0,700,14,true,,мария,ops-1,01M7ST8SJ0,,,,,false,false
        2026-11-19T11:06:40Z,forced,dc2,dc1,done,40000,700,14,false,8192,мария,ops-1,01M7SQSEG0,0,1048576,42,6,true,true
        2026-11-19T11:05:00Z,forced,dc2,dc1,failed,,,,,,мария,ops-1,01M7SQPCV0,0,1048576,42,,false,false
        2026-11-18T11:06:40Z,switch,dc1,dc2,done,480,700,14,true,0,мария,ops-1,01M7Q5CQG1,,,,,true,true
        ");
    }
}
