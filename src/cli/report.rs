//! `svcops report`: a run as a page, as a note for a ticket, as JUnit's XML.

use super::{
    Face,
    args::{Output, RunName, run_name},
    exit::ExitCode,
    history::{self, pretty},
    owed,
    words::Failure,
};
use crate::{
    base::{Clock as _, RunId, WallClock},
    engine::owing::is_paid,
    journal::{Journal as _, JournalError, SqliteJournal, outbox::Outbox as _, outside::Outside, shown::Shown},
    ui::{
        history::Listed,
        message::{Kind, Message},
        report::{Chain, Report, Source},
    },
};
use clap::Args;
use jiff::tz::TimeZone;
use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

/// The page of a run as its journal has it by now: one file of HTML that needs nothing else.
///
/// # Errors
/// No such run, or the journal cannot be read.
pub fn page(journal: &SqliteJournal, run: &RunId, zone: &TimeZone) -> Result<String, JournalError> {
    let row = journal.row(run)?;
    // who asks for the page of a run without an end drives it
    Ok(report(journal, &Listed { alive: row.outcome.is_none(), row }, zone)?.html())
}

/// The report of a run.
///
/// # Errors
/// The journal cannot be read.
pub fn report(journal: &SqliteJournal, run: &Listed, zone: &TimeZone) -> Result<Report, JournalError> {
    let id = &run.row.run;
    let records = journal.records(id)?;
    let state = crate::journal::state::RunState::fold(&records);
    let owed = owed::of(&state).into_iter().map(|owed| Ok((is_paid(journal, id, &owed)?, owed)));
    let owed = owed.collect::<Result<Vec<_>, JournalError>>()?.into_iter();
    let header = state.header;
    let shown = header.as_ref().and_then(|h| h.shown.as_ref()).map(|hash| journal.get(hash)).transpose()?;
    let shown: Option<Shown> = shown.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let runbook = header.and_then(|h| journal.get(&h.runbook_hash).ok());
    let title = runbook.and_then(|bytes| {
        let runbook: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
        Some(runbook.get("title")?.as_str()?.to_owned())
    });
    let verdict = journal.verify(Some(id), &Outside::default())?;
    let chain = Chain { head: journal.head(id)?, faults: verdict.faults.iter().map(ToString::to_string).collect() };
    Ok(Report::of(&Source {
        run,
        records: &records,
        shown: shown.as_ref(),
        title,
        ticket: journal.ticket_of(id)?.map(|known| known.ticket),
        // what is owed while a run is under way, it may still pay itself
        owed: if run.alive { Vec::new() } else { owed.map(|(paid, owed)| (owed, paid)).collect() },
        chain: Some(chain),
        zone: zone.clone(),
        made: WallClock.now(),
    }))
}

/// A form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Html,
    Markdown,
    Junit,
    Json,
}

impl Face {
    pub(super) fn report(&self, args: &ReportArgs) -> Result<ExitCode, Failure> {
        self.no_stream()?;
        let wanted = wanted(args, self.global.output)?;
        let (opened, project) = self.read_past()?;
        let run = opened.run(&args.run)?;
        let row = opened.journal.row(&run)?;
        let alive = row.outcome.is_none() && opened.locks.alive(&run);
        let zone = history::zone(project.as_ref().and_then(|p| p.inventory.timezone.as_deref()));
        let report = report(&opened.journal, &Listed { row, alive }, &zone)?;
        for (form, file) in wanted {
            let text = match form {
                Form::Html => report.html(),
                Form::Markdown => report.markdown(),
                Form::Junit => report.junit(),
                Form::Json => pretty(&report.json()),
            };
            let Some(file) = file else {
                self.screen.data(&text);
                continue;
            };
            write(&file, text.as_bytes()).map_err(|why| Failure::file("write", &file, &why))?;
            if !self.global.quiet {
                let done = format!("report of run {run} in `{}`", file.display());
                self.screen.tell(&Message::new(Kind::Done, done));
            }
        }
        Ok(ExitCode::Done)
    }
}

/// The forms that were asked for, each with its file; none: stdout. One of them at most goes there.
fn wanted(args: &ReportArgs, output: Output) -> Result<Vec<(Form, Option<PathBuf>)>, Failure> {
    let file = |path: &PathBuf| (path.as_os_str() != "-").then(|| path.clone());
    let asked = [(Form::Html, &args.html), (Form::Markdown, &args.markdown), (Form::Junit, &args.junit)];
    let mut wanted: Vec<(Form, Option<PathBuf>)> =
        asked.into_iter().filter_map(|(form, path)| path.as_ref().map(|path| (form, file(path)))).collect();
    let by_output = match output {
        Output::Html => Some(Form::Html),
        Output::Markdown => Some(Form::Markdown),
        Output::Junit => Some(Form::Junit),
        Output::Json => Some(Form::Json),
        Output::Table | Output::Jsonl | Output::Nagios | Output::Prometheus | Output::Csv => {
            wanted.is_empty().then_some(Form::Markdown)
        }
    };
    wanted.extend(by_output.filter(|form| !wanted.iter().any(|(known, _)| known == form)).map(|form| (form, None)));
    if wanted.iter().filter(|(_, file)| file.is_none()).count() > 1 {
        return Err(Failure::wrong(
            Message::error("two forms of the report cannot share stdout")
                .hint("name a file for each: `svcops report RUN --html run.html --junit run.xml`"),
        ));
    }
    Ok(wanted)
}

/// `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The run, or `last`
    #[arg(value_parser = run_name)]
    pub run: RunName,
    /// A page for people, into FILE (stdout without one, or with `-`)
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub html: Option<PathBuf>,
    /// A note for a ticket; what is written where no form is asked for
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub markdown: Option<PathBuf>,
    /// JUnit's XML for CI: a test case a task
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub junit: Option<PathBuf>,
}

/// What its help shows beside the options.
pub const EXAMPLES: &str = "\
Examples:
  svcops report last --html run.html            one page that needs nothing else
  svcops report 01J9ZK3V7Q                      Markdown, to paste into a ticket
  svcops report 01J9ZK3V7Q --junit report.xml   for CI: a test case a task
  svcops report last -o html                    also markdown, junit and json

Exit code: 0 whatever the run came to, or 2 where there is no such run.";

/// Writes a file beside its place and renames it: who reads it never sees half of it. What is no plain file is written to.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return std::fs::OpenOptions::new().write(true).open(path)?.write_all(bytes);
    }
    // through a symbolic link, the file behind it
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&beside)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| std::fs::rename(&beside, &path));
    if written.is_err() {
        drop(std::fs::remove_file(&beside));
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::history::{tests::Stored, zone},
        journal::event::{Event, Operator},
    };

    #[tokio::test]
    async fn a_journal_of_an_earlier_version_has_its_report_and_a_run_under_way_too() {
        let stored = Stored::new();
        let run = stored.newest();
        let old = page(&stored.journal, &run, &zone(Some("Europe/Moscow"))).unwrap();
        for words in ["Failed, and something is left", "14:08:20", "11:08:20 UTC", "Смотри журнал", "плановые работы"]
        {
            assert!(old.contains(words), "{words}");
        }
        assert!(old.contains("nothing was changed, moved or taken out"));
        stored.journal.append(&run, WallClock.now(), Event::Resumed { operator: Operator::here() }).await.unwrap();
        let now = page(&stored.journal, &run, &zone(None)).unwrap();
        assert!(now.contains("Under way") && !now.contains("Owed"), "{now}");
        rusqlite::Connection::open(stored.journal.path())
            .unwrap()
            .execute("UPDATE events SET json = replace(json, 'dc1-app1', 'dc1-app2') WHERE seq = 4", [])
            .unwrap();
        let forged = page(&stored.journal, &run, &zone(None)).unwrap();
        assert!(forged.contains("The journal was tampered with: event 4 of run"), "{forged}");
    }
}
