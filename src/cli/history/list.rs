//! `svcops history list`: the runs that are asked for, newest first.

use super::{MOST_PRUNINGS, Past, pretty};
use crate::{
    base::Span,
    cli::{
        args::{Output, at_least_one},
        words::Failure,
    },
    journal::{
        event::End,
        search::{Filter, Stand},
    },
    ui::{
        history::{self, Listed},
        message::Message,
    },
};
use clap::ValueEnum;
use jiff::{Timestamp, ToSpan as _, civil, tz::TimeZone};

/// `history list`.
#[derive(Clone, Debug, clap::Args)]
pub struct List {
    /// At most so many
    #[arg(short = 'n', long, value_name = "N", default_value = "50", value_parser = at_least_one)]
    pub most: usize,
    /// Begun then or later: 2d, 12h, 2026-11-01, '2026-11-01 14:30'
    ///
    /// How long ago, a day (from its midnight in the project's time zone), a time of that zone, or an RFC 3339 time.
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// Begun before then; of a day, until its end
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
    /// Of this runbook, or these words of a verb: 'app restart billing'
    #[arg(long, value_name = "RUNBOOK")]
    pub runbook: Option<String>,
    /// That acted on this app
    #[arg(long, value_name = "APP")]
    pub app: Option<String>,
    /// That came to this host
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Begun by this user
    #[arg(long, value_name = "USER")]
    pub operator: Option<String>,
    /// That stand so; may be repeated, or a list with commas
    #[arg(long, value_enum, value_name = "OUTCOME", value_delimiter = ',')]
    pub outcome: Vec<Outcome>,
    /// Told of in this ticket
    #[arg(long, value_name = "ID")]
    pub of_ticket: Option<String>,
    /// Of every project in this state directory, not only of the one here
    #[arg(long)]
    pub all_projects: bool,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Outcome {
    /// Done and verified, or nothing to do
    Done,
    /// Failed; every target is as before
    RolledBack,
    /// Failed; something stands or is owed
    Failed,
    /// Nobody knows what became of an act
    Unknown,
    /// Stopped by a signal or `svcops cancel`
    Stopped,
    /// Refused: not now (exit code 75)
    NotNow,
    /// Refused: not allowed (exit code 77)
    NotAllowed,
    /// Under way
    Running,
    /// Its process is gone before its end
    Interrupted,
    /// It owes something, however it ended
    Owing,
}

/// For its help.
pub const EXAMPLES: &str = "Examples:
  svcops history list
  svcops history list --since 7d --outcome failed,unknown,interrupted
  svcops history list --host dc1-app1 --app billing -n 5 -o json
  svcops history list --since 2026-11-01 --until 2026-11-30 --operator maria";

/// The runs that are asked for. `here` is the project of this folder, if it has one.
///
/// # Errors
/// A time that is none, or the journal cannot be read.
pub fn list(past: &Past<'_>, args: &List, here: Option<&str>) -> Result<String, Failure> {
    let now = past.clock.now();
    let when = |text: &Option<String>, edge| text.as_deref().map(|t| moment(t, edge, &past.zone, now)).transpose();
    let filter = Filter {
        project: here.filter(|_| !args.all_projects).map(str::to_owned),
        since: when(&args.since, Edge::From)?,
        until: when(&args.until, Edge::To)?,
        runbook: args.runbook.clone(),
        app: args.app.clone(),
        host: args.host.clone(),
        operator: args.operator.clone(),
        ticket: args.of_ticket.clone(),
        stands: args.outcome.iter().map(|outcome| outcome.stand()).collect(),
    };
    let runs = found(past, &filter, args)?;
    let all = Filter { project: filter.project.clone(), ..Filter::default() } == filter;
    let prunings = past.journal.prunings(MOST_PRUNINGS)?;
    Ok(match past.output {
        Output::Table => {
            let text = history::list(past.screen, &runs, &past.zone, now, all);
            // where the list comes to its end, it says what would have stood there
            let ends = runs.len() < args.most;
            text + &history::prunings(if ends { &prunings } else { &[] }, &past.zone, past.screen.width)
        }
        _ => pretty(&history::list_json(&runs, &prunings, now)),
    })
}

/// The database knows which runs have no end; whether such a run lives, and what it owes by now, is asked one by one.
fn found(past: &Past<'_>, filter: &Filter, args: &List) -> Result<Vec<Listed>, Failure> {
    let wanted = |run: &Listed| args.outcome.is_empty() || args.outcome.iter().any(|outcome| outcome.fits(run));
    let (mut runs, mut before) = (Vec::new(), None);
    loop {
        let most = args.most - runs.len();
        let page = past.journal.list(filter, before.as_ref(), most)?;
        before = page.last().map(|row| row.run.clone());
        let last = page.len() < most;
        for row in page {
            let run = past.as_of_now(row)?;
            runs.extend(wanted(&run).then_some(run));
        }
        if last || runs.len() >= args.most {
            return Ok(runs);
        }
    }
}

impl Outcome {
    const fn end(self) -> Option<End> {
        match self {
            Self::Done => Some(End::Done),
            Self::RolledBack => Some(End::RolledBack),
            Self::Failed => Some(End::Failed),
            Self::Unknown => Some(End::Unknown),
            Self::Stopped => Some(End::Stopped),
            Self::NotNow => Some(End::NotNow),
            Self::NotAllowed => Some(End::NotAllowed),
            Self::Running | Self::Interrupted | Self::Owing => None,
        }
    }
    fn stand(self) -> Stand {
        match (self, self.end()) {
            (_, Some(end)) => Stand::Ended(end),
            (Self::Owing, None) => Stand::Owing,
            (_, None) => Stand::Open,
        }
    }
    fn fits(self, run: &Listed) -> bool {
        match self {
            Self::Running => run.row.outcome.is_none() && run.alive,
            Self::Interrupted => run.row.outcome.is_none() && !run.alive,
            Self::Owing => run.row.owed > 0,
            _ => run.row.outcome == self.end(),
        }
    }
}

/// Which edge of a time a text names: a day is all of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    From,
    To,
}

/// The moment that a text names: a span ago, a day, a time of the zone, or an RFC 3339 time.
pub(super) fn moment(text: &str, edge: Edge, zone: &TimeZone, now: Timestamp) -> Result<Timestamp, Failure> {
    let text = text.trim();
    let wrong = || {
        let said =
            format!("`{text}` names no time: 2d, 12h, 2026-11-01, '2026-11-01 14:30' or an RFC 3339 time expected");
        Failure::wrong(Message::error(said))
    };
    if let Ok(Span(ago)) = text.parse() {
        return now.checked_sub(jiff::SignedDuration::try_from(ago).map_err(|_| wrong())?).map_err(|_| wrong());
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    if !text.contains([':', 'T']) {
        let day: civil::Date = text.parse().map_err(|_| wrong())?;
        let day = if edge == Edge::To { day.checked_add(1.day()).map_err(|_| wrong())? } else { day };
        return day.to_zoned(zone.clone()).map(|at| at.timestamp()).map_err(|_| wrong());
    }
    let at: civil::DateTime = text.parse().map_err(|_| wrong())?;
    at.to_zoned(zone.clone()).map(|at| at.timestamp()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{Clock as _, Lock, RunId, WallClock},
        cli::history::tests::{Stored, listed},
        journal::{
            Journal as _,
            event::{Event, Header, Summary},
            outbox::{Outbox as _, TicketOf},
        },
    };

    fn runs(stored: &Stored, words: &str) -> Vec<String> {
        let json: serde_json::Value = serde_json::from_str(&listed(stored, Output::Json, words, Some("crm"))).unwrap();
        json["runs"].as_array().unwrap().iter().map(|r| r["run"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_stored_journal_is_found_by_what_its_events_say() {
        let stored = Stored::new();
        let (done, failed) = ("01M7Q5CQG0", "01M7Q5FS50");
        for (words, found) in [
            ("--host dc1-app1", &[failed, done][..]),
            ("--host dc1-app2", &[]),
            ("--outcome done", &[done]),
            ("--outcome owing,rolled_back", &[failed]),
            ("--outcome interrupted --outcome running", &[]),
            ("--operator мария --runbook billing-restart -n 1", &[failed]),
            ("--operator maria", &[]),
            ("--since 2026-11-18T14:08", &[failed]),
            ("--until 2026-11-18T14:08", &[done]),
            ("--since 2026-11-18 --until 2026-11-18", &[failed, done]),
            ("--until 2026-11-17", &[]),
            ("--since 2026-11-18T11:06:40Z --until 2026-11-18T11:06:41Z", &[done]),
            ("--app billing", &[]),
        ] {
            assert_eq!(runs(&stored, words), found, "{words}");
        }
        assert!(listed(&stored, Output::Table, "--app billing", None).contains("no run is as asked for"));
    }

    #[tokio::test]
    async fn runs_are_found_by_project_app_ticket_and_whether_their_process_lives() {
        let stored = Stored::new();
        let journal = &stored.journal;
        let Event::Started(header) = journal.records(&stored.newest()).unwrap().remove(0).event else { panic!() };
        let begin = |project: &str| {
            let header = Header { project: project.into(), ..*header.clone() };
            journal.begin(WallClock.now(), header).unwrap().run
        };
        let (here, other) = (begin("crm"), begin("другой"));
        let locks = ["app/billing", "dc1-app2/app/billing", "dc1-app2/file//srv/app/x"].map(|l| Lock(l.into()));
        let locked = Event::Locked { exclusive: vec![], shared: locks.into() };
        journal.append(&here, WallClock.now(), locked).await.unwrap();
        journal.set_ticket(&here, &TicketOf { system: "desk".into(), ticket: "SV-000007".into() }).unwrap();
        let owned = stored.locks.own(&here).unwrap();
        let only: &[&str] = &[here.as_str()];
        for words in ["--app billing", "--of-ticket SV-000007", "--outcome running", "-n 1", "--since 1h --app billing"]
        {
            assert_eq!(runs(&stored, words), only, "{words}");
        }
        for words in ["--outcome interrupted", "--app x", "--app /srv/app/x", "--of-ticket SV-000008"] {
            assert_eq!(runs(&stored, words), [""; 0], "{words}");
        }
        assert_eq!(runs(&stored, "--all-projects -n 2"), [other.as_str(), here.as_str()]);
        assert_eq!(runs(&stored, "--all-projects --outcome interrupted"), [other.as_str()]);
        drop(owned);
        assert_eq!(runs(&stored, "--outcome interrupted"), only);
        let table = listed(&stored, Output::Table, "--all-projects -n 3", Some("crm"));
        assert!(table.contains("PROJECT") && table.contains("другой"), "{table}");
        assert!(!listed(&stored, Output::Table, "", Some("crm")).contains("PROJECT"));
    }

    #[tokio::test]
    async fn runs_that_do_not_fit_are_passed_over_until_there_are_enough() {
        let stored = Stored::new();
        let journal = &stored.journal;
        let Event::Started(header) = journal.records(&stored.newest()).unwrap().remove(0).event else { panic!() };
        let runs_open: Vec<RunId> =
            (0..7).map(|_| journal.begin(WallClock.now(), *header.clone()).unwrap().run).collect();
        // only the oldest two were interrupted, five newer ones live
        let _owned: Vec<_> = runs_open.iter().skip(2).map(|run| stored.locks.own(run).unwrap()).collect();
        assert_eq!(runs(&stored, "--outcome interrupted -n 1"), [runs_open[1].as_str()]);
        assert_eq!(runs(&stored, "--outcome interrupted -n 9"), [runs_open[1].as_str(), runs_open[0].as_str()]);
        // what says that it owed and owes no longer is not owing
        let end = Summary { outcome: End::Failed, exit_code: 3, why: None, changed: 0, owed: 1, stands: vec![] };
        journal.append(&runs_open[0], WallClock.now(), Event::Finished(end)).await.unwrap();
        assert_eq!(runs(&stored, "--outcome owing"), ["01M7Q5FS50"]);
    }

    #[test]
    fn a_time_is_a_span_ago_a_day_of_the_zone_or_a_moment() {
        let zone = TimeZone::get("Europe/Moscow").unwrap();
        let now: Timestamp = "2026-11-23T09:00:00Z".parse().unwrap();
        for (text, from, to) in [
            ("2d", "2026-11-21T09:00:00Z", "2026-11-21T09:00:00Z"),
            ("1h30m", "2026-11-23T07:30:00Z", "2026-11-23T07:30:00Z"),
            ("2026-11-01", "2026-10-31T21:00:00Z", "2026-11-01T21:00:00Z"),
            ("2026-11-01 14:30", "2026-11-01T11:30:00Z", "2026-11-01T11:30:00Z"),
            ("2026-11-01T14:30:00+05:00", "2026-11-01T09:30:00Z", "2026-11-01T09:30:00Z"),
        ] {
            let is = |edge| moment(text, edge, &zone, now).unwrap().to_string();
            assert_eq!((is(Edge::From).as_str(), is(Edge::To).as_str()), (from, to), "{text}");
        }
        for text in ["", "yesterday", "2026-13-01", "2026-02-30", "99999999999d", "12", "14:30"] {
            assert!(moment(text, Edge::From, &zone, now).is_err(), "{text}");
        }
    }
}
