//! `svcops history`: runs that were, and whether the journal is what was written.

pub mod export;
pub mod list;
pub mod prune;
pub mod told;

use super::{args::Output, exit::ExitCode, owed, words::Failure};
use crate::{
    base::{Clock, RunId, words},
    evidence::{
        ssh::{self, Signers},
        syslog::Syslog,
    },
    inventory::Evidence,
    journal::{
        Journal, JournalError, RunRow, SqliteJournal,
        chain::{Fault, NotAnAnchor},
        event::{End, Event, Record},
        locks::Locks,
        outbox::Outbox as _,
        outside::Outside,
        prune::Pruning,
        seal::{Seal, Signatures},
        state::RunState,
    },
    runbook::Project,
    transport::vault,
    ui::{
        history::{self, Listed, Signed, Timeline},
        looking::Looking,
        message::Message,
        screen::Screen,
    },
};
use jiff::tz::TimeZone;
use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

/// What the verbs of history work with.
pub struct Past<'a> {
    /// The journal.
    pub journal: &'a SqliteJournal,
    /// Who is alive.
    pub locks: &'a Locks,
    /// In which times are shown.
    pub zone: TimeZone,
    /// Where text goes.
    pub screen: &'a Screen,
    /// As what.
    pub output: Output,
    /// What time it is.
    pub clock: &'a dyn Clock,
}

/// The time zone of that name, else the machine's.
pub fn zone(name: Option<&str>) -> TimeZone {
    name.and_then(|name| TimeZone::get(name).ok()).unwrap_or_else(TimeZone::system)
}

/// One run as far as it is recorded.
///
/// # Errors
/// No such run, or the journal cannot be read.
pub fn show(past: &Past<'_>, run: &RunId) -> Result<String, Failure> {
    let records = past.journal.records(run).map_err(|why| gone(past.journal, run, why))?;
    if past.output == Output::Jsonl {
        return Ok(records.iter().map(jsonl).collect());
    }
    let listed = past.as_of_now(past.journal.row(run)?)?;
    let (mut state, now) = (RunState::fold(&records), past.clock.now());
    if let (Some(header), Some(known)) = (&mut state.header, past.journal.ticket_of(run)?) {
        // where it is recorded says more than what was asked for
        header.ticket = Some(known.ticket.into());
    }
    if past.output == Output::Json {
        return Ok(pretty(&history::show_json(&listed, &state, now)));
    }
    let mut text = history::head(&listed, &state, &past.zone, now, past.screen.width);
    let mut timeline = past.timeline();
    text.extend(records.iter().map(|record| timeline.draw(record)));
    if listed.outcome() == "interrupted" {
        text += &format!("\nits owner is gone; `svcops resume {run}` goes on, `svcops rollback {run}` goes back\n");
    }
    Ok(text)
}

/// Shows a run and what comes, until it ends or its owner is gone. Each piece is handed to `emit`.
///
/// # Errors
/// No such run, or the journal cannot be read.
pub async fn follow(past: &Past<'_>, run: &RunId, mut emit: impl FnMut(&str)) -> Result<Option<End>, Failure> {
    past.journal.row(run)?;
    let (mut timeline, mut seen, mut end) = (past.timeline(), 0, None);
    loop {
        // Asked before the look: what an owner wrote before it went is then seen for certain.
        let alive = past.locks.alive(run);
        let records = past.journal.records_after(run, seen)?;
        for record in &records {
            seen = record.seq;
            match &record.event {
                Event::Finished(summary) => end = Some(summary.outcome),
                Event::Resumed { .. } => end = None,
                _ => {}
            }
            emit(&if past.output == Output::Table { timeline.draw(record) } else { jsonl(record) });
        }
        if end.is_some() || !alive {
            return Ok(end);
        }
        past.clock.sleep(POLL).await;
    }
}

/// Checks the journal. `against` is an anchor, or a file that holds one (as text, or as what `-o json` printed).
///
/// # Errors
/// No such run, no anchor, or the journal cannot be read.
pub fn verify(past: &Past<'_>, run: Option<&RunId>, known: &Known<'_>) -> Result<(String, ExitCode), Failure> {
    let outside = known.against.map(|text| outside(text, known.label)).transpose()?.unwrap_or_default();
    let looking = Looking::new(past.screen, false, "runs checked");
    let verdict = past.journal.verify_slowly(run, &outside, &mut |done, of| looking.step(done, of));
    looking.end();
    let mut verdict = verdict?;
    let seals = past.journal.seals(run)?;
    let signatures = match known.signers {
        Some(signers) => {
            let looking = Looking::new(past.screen, false, "signatures checked");
            let found = signed(&seals, signers, &mut |done, of| looking.step(done, of));
            looking.end();
            let (found, faults) = found?;
            verdict.faults.extend(faults);
            Signed::Checked(found)
        }
        None => Signed::Unchecked(seals.len()),
    };
    let prunings = past.journal.prunings(MOST_PRUNINGS)?;
    let code = match () {
        () if !verdict.faults.is_empty() => ExitCode::Wrong,
        () if !verdict.unsigned.is_empty() || verdict.is_empty() => ExitCode::AsBefore,
        () => ExitCode::Done,
    };
    if let (Some(log), true) = (known.log, code != ExitCode::Done) {
        told::not_sound(past, log, &verdict);
    }
    let text = match past.output {
        Output::Table => history::verdict(&verdict, &prunings, &signatures, &past.zone, past.screen.width),
        _ => pretty(&history::verdict_json(&verdict, &prunings, &signatures, code.number())),
    };
    Ok((text, code))
}

/// What a journal is held against.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// `--against`.
    pub against: Option<&'a str>,
    /// Whose signatures count.
    pub signers: Option<&'a Signers>,
    /// What the journal is called in the audit stream.
    pub label: &'a str,
    /// What is told if something is wrong.
    pub log: Option<&'a Syslog>,
}

/// Whose signatures count: as the project has it, where nothing else was said.
pub fn signers(project: Option<&Project>, allowed: Option<&PathBuf>, revoked: Option<&PathBuf>) -> Option<Signers> {
    let (root, named) = match project {
        Some(project) => (project.root.as_path(), project.inventory.evidence.clone().unwrap_or_default()),
        None => (Path::new(""), Evidence::default()),
    };
    let file = |path: String| root.join(vault::home(&path));
    Some(Signers {
        allowed: allowed.cloned().or_else(|| named.signers.map(file))?,
        revoked: revoked.cloned().or_else(|| named.revoked.map(file)),
    })
}

/// Whose signatures seals bear, and what is wrong with them.
pub(super) fn signed(
    seals: &[Seal],
    signers: &Signers,
    told: &mut dyn FnMut(usize, usize),
) -> Result<(Signatures, Vec<Fault>), Failure> {
    ssh::check(seals, signers, told).map_err(|(file, why)| Failure::file("read", &file, &why))
}

impl Past<'_> {
    /// A row with whether its owner lives.
    pub fn listed(&self, row: RunRow) -> Listed {
        let alive = row.outcome.is_none() && self.locks.alive(&row.run);
        Listed { row, alive }
    }
    /// As [`listed`](Self::listed), with what the run owes by now: the row has what it owed at its end.
    fn as_of_now(&self, row: RunRow) -> Result<Listed, JournalError> {
        let mut listed = self.listed(row);
        if !listed.alive && (listed.row.owed > 0 || listed.row.outcome.is_none()) {
            listed.row.owed = owed::left(self.journal, &listed.row.run)?.len();
        }
        Ok(listed)
    }
    fn timeline(&self) -> Timeline {
        Timeline::new(self.zone.clone(), self.screen.width)
    }
}

/// A run that was pruned is not just unknown.
pub(super) fn gone(journal: &SqliteJournal, run: &RunId, why: JournalError) -> Failure {
    match journal.pruned(run) {
        Ok(Some(Pruning { at, operator, machine, reason, .. })) if matches!(why, JournalError::NoRun(_)) => {
            let message =
                Message::error(format!("run {run} was taken out of the journal by {operator} on {machine}, {at}"));
            Failure::wrong(message.because(format!("`svcops history prune`: {reason}")))
        }
        _ => why.into(),
    }
}

/// So many of the newest prunings are told of.
const MOST_PRUNINGS: usize = 20;
/// How often a followed run is looked at.
const POLL: Duration = Duration::from_millis(300);

fn outside(text: &str, label: &str) -> Result<Outside, Failure> {
    let path = Path::new(text);
    let mut bytes = Vec::new();
    // a log may have bytes of anybody's, and come by a pipe
    let kept = if text == "-" {
        io::stdin().read_to_end(&mut bytes).map_err(|why| Failure::file("read", path, &why))?;
        String::from_utf8_lossy(&bytes).into_owned()
    } else if std::fs::metadata(path).is_ok_and(|found| !found.is_dir()) {
        bytes = std::fs::read(path).map_err(|why| Failure::file("read", path, &why))?;
        String::from_utf8_lossy(&bytes).into_owned()
    } else {
        text.to_owned()
    };
    let found = Outside::scan(&kept, label);
    if !found.is_empty() {
        return Ok(found);
    }
    if kept == text {
        return Err(Failure::wrong(Message::of(&NotAnAnchor(text.to_owned()))));
    }
    let of = if label.is_empty() { String::new() } else { format!(" of this journal, `{label}`") };
    let message = Message::error(format!("`{text}` holds no anchor and no event{of}"));
    Err(Failure::wrong(match found.others.first_key_value() {
        Some((other, lines)) => message.because(format!("it has {} of `{other}`", words::count("line", *lines))),
        None => message.hint("a ticket's text, lines of the machine's log, or what `svcops history verify` printed"),
    }))
}

fn jsonl(record: &Record) -> String {
    serde_json::to_string(record).map(|line| line + "\n").unwrap_or_default()
}

/// A value as text with a newline at its end.
pub(crate) fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
pub(in crate::cli) mod tests {
    use super::*;
    use crate::{base::WallClock, journal::sqlite::FILE};
    use serde_json::Value;

    /// The stored journal of version 1, and what the verbs say of it.
    pub(in crate::cli) struct Stored {
        folder: tempfile::TempDir,
        pub(in crate::cli) journal: SqliteJournal,
        pub(in crate::cli) locks: Locks,
        screen: Screen,
    }

    impl Stored {
        pub(in crate::cli) fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let old = rusqlite::Connection::open(folder.path().join(FILE)).unwrap();
            old.execute_batch(include_str!("../../../tests/data/journal-v1.sql")).unwrap();
            let (journal, locks) = (SqliteJournal::open(folder.path()).unwrap(), Locks::open(folder.path()).unwrap());
            Self { folder, journal, locks, screen: Screen::plain(100) }
        }
        pub(in crate::cli) fn past(&self, output: Output) -> Past<'_> {
            let zone = zone(Some("Europe/Moscow"));
            Past { journal: &self.journal, locks: &self.locks, zone, screen: &self.screen, output, clock: &WallClock }
        }
        pub(in crate::cli) fn newest(&self) -> RunId {
            self.journal.runs(1).unwrap().remove(0)
        }
    }

    /// What a line of `history list` shows.
    pub(super) fn listed(stored: &Stored, output: Output, words: &str, here: Option<&str>) -> String {
        use clap::Parser as _;
        let words = ["svcops", "history", "list"].into_iter().chain(words.split_whitespace());
        let cli = crate::cli::args::Cli::try_parse_from(words).unwrap();
        let crate::cli::args::Verb::History(crate::cli::args::History::List(args)) = cli.verb else { panic!() };
        list::list(&stored.past(output), &args, here).unwrap()
    }

    #[test]
    fn the_list_is_newest_first_in_the_zone_of_the_project() {
        let stored = Stored::new();
        insta::assert_snapshot!(listed(&stored, Output::Table, "", None), @r"
        RUN         STARTED              RUNBOOK          OPERATOR  OUTCOME  TOOK  CHANGED  OWED
        01M7Q5FS50  2026-11-18 14:08:20  billing-restart  мария     failed   8.0s  1        1
        01M7Q5CQG0  2026-11-18 14:06:40  billing-restart  мария     done     8.0s  1        0
        ");
        let json: Value = serde_json::from_str(&listed(&stored, Output::Json, "-n 1", None)).unwrap();
        assert_eq!((json["schema_version"].as_u64(), json["runs"].as_array().unwrap().len()), (Some(1), 1));
        assert_eq!(json["runs"][0]["outcome"], "failed");
        assert_eq!(json["runs"][0]["started"], "2026-11-18T11:08:20Z");
    }

    #[test]
    fn a_run_is_shown_with_its_tasks_and_what_they_wrote() {
        let stored = Stored::new();
        let run = stored.newest();
        insta::assert_snapshot!(show(&stored.past(Output::Table), &run).unwrap(), @r"
        run       01M7Q5FS50
        runbook   billing-restart
        params    site=dc1
        operator  мария on ops-1
        reason    плановые работы
        started   2026-11-18 14:08:20 Europe/Moscow, took 8.0s
        outcome   failed (exit code 3)
        why       `billing.service` on `dc1-app1` did not start

        2026-11-18
        14:08:20  begins, svcops 0.1.0
        14:08:21  holds 1 lock, 1 shared
        14:08:22  step 2.1 Перезапуск, batch 1 of 2: `dc1-app1`
        14:08:23  1@dc1-app1  skipped: `when` is false
        14:08:24  2.1@dc1-app1  app.restart begins: Перезапуск
        14:08:25  2.1@dc1-app1  restart `billing.service`
        14:08:26  2.1@dc1-app1  ended badly: exit code 1
                  stderr  | Job for billing.service failed.
                          | Смотри журнал
        14:08:27  2.1@dc1-app1  failed in 3.0s: `billing.service` did not start
        14:08:28  failed (exit code 3), 1 changed, 1 owed: `billing.service` on `dc1-app1` did not start
                  stands  | dc1-app1: billing.service is failed
        ");
        let json: Value = serde_json::from_str(&show(&stored.past(Output::Json), &run).unwrap()).unwrap();
        assert_eq!(json["tasks"][0]["task"], "2.1@dc1-app1");
        assert_eq!(json["tasks"][0]["outcome"], "failed");
        assert_eq!(json["tasks"][0]["acts"][0]["receipt"]["code"], 1);
        let lines = show(&stored.past(Output::Jsonl), &run).unwrap();
        let records: Vec<Record> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(records, stored.journal.records(&run).unwrap());
    }

    #[test]
    fn a_run_names_the_ticket_that_was_opened_for_it() {
        let stored = Stored::new();
        let run = stored.newest();
        assert!(!show(&stored.past(Output::Table), &run).unwrap().contains("\nticket "));
        let ticket = crate::journal::outbox::TicketOf { system: "desk".into(), ticket: "T-7".into() };
        stored.journal.set_ticket(&run, &ticket).unwrap();
        assert!(show(&stored.past(Output::Table), &run).unwrap().contains("\nticket    T-7\n"));
        let json: Value = serde_json::from_str(&show(&stored.past(Output::Json), &run).unwrap()).unwrap();
        assert_eq!(json["ticket"], "T-7");
    }

    #[tokio::test]
    async fn a_run_without_its_owner_is_interrupted_and_with_it_running() {
        let stored = Stored::new();
        let run = stored.newest();
        let operator = crate::journal::event::Operator::here();
        stored.journal.append(&run, WallClock.now(), Event::Resumed { operator }).await.unwrap();
        let outcome = || listed(&stored, Output::Table, "-n 1", None);
        assert!(outcome().contains("interrupted"), "{}", outcome());
        assert!(show(&stored.past(Output::Table), &run).unwrap().contains(&format!("svcops resume {run}")));
        let owned = stored.locks.own(&run).unwrap();
        assert!(outcome().contains("running"), "{}", outcome());
        drop(owned);
        let mut text = String::new();
        let end = follow(&stored.past(Output::Table), &run, |piece| text += piece).await.unwrap();
        assert_eq!(end, None);
        assert!(text.contains("goes on, by"), "{text}");
    }

    fn against(against: Option<&str>) -> Known<'_> {
        Known { against, ..Known::default() }
    }

    #[test]
    fn verify_says_what_it_cannot_see_and_finds_what_it_can() {
        let stored = Stored::new();
        let (text, code) = verify(&stored.past(Output::Table), None, &Known::default()).unwrap();
        assert_eq!(code, ExitCode::Done);
        assert!(text.contains("a tail that was cut off"), "{text}");
        let (json, _) = verify(&stored.past(Output::Json), None, &Known::default()).unwrap();
        let kept = stored.folder.path().join("anchor.json");
        std::fs::write(&kept, json).unwrap();
        let (text, code) = verify(&stored.past(Output::Table), None, &against(kept.to_str())).unwrap();
        assert!(code == ExitCode::Done && !text.contains("cut off"), "{text}");
        rusqlite::Connection::open(stored.journal.path())
            .unwrap()
            .execute("UPDATE events SET json = replace(json, 'dc1-app1', 'dc1-app2') WHERE seq = 4", [])
            .unwrap();
        let (text, code) = verify(&stored.past(Output::Table), Some(&stored.newest()), &Known::default()).unwrap();
        assert_eq!(code, ExitCode::Wrong);
        assert!(text.contains("FAULT  event 4 of run") && text.contains("1 fault"), "{text}");
        assert!(verify(&stored.past(Output::Table), None, &against(Some("nonsense"))).is_err());
    }
}
