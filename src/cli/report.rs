//! `svcops report`: a run as a page, as a note for a ticket, as JUnit's XML.

use super::{
    Face,
    args::{Output, ReportArgs},
    exit::ExitCode,
    history::{self, pretty},
    owed,
    words::Failure,
};
use crate::{
    base::{Clock as _, RunId, WallClock},
    journal::{Journal as _, JournalError, SqliteJournal, shown::Shown},
    ui::{
        history::Listed,
        message::{Kind, Message},
        report::{Chain, Report, Source},
    },
};
use jiff::tz::TimeZone;
use std::{
    collections::BTreeSet,
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
    let header = state.header.as_ref();
    let shown = header.and_then(|h| h.shown.as_ref()).map(|hash| journal.get(hash)).transpose()?;
    let shown: Option<Shown> = shown.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let runbook = header.and_then(|h| journal.get(&h.runbook_hash).ok());
    let title = runbook.and_then(|bytes| {
        let runbook: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
        Some(runbook.get("title")?.as_str()?.to_owned())
    });
    let paid: BTreeSet<String> = journal.paid_of(id)?.into_iter().collect();
    let owed = owed::of(&state).into_iter().map(|owed| (paid.contains(&owed.debt.key), owed));
    let verdict = journal.verify(Some(id), None)?;
    let chain = Chain { head: journal.head(id)?, faults: verdict.faults.iter().map(ToString::to_string).collect() };
    Ok(Report::of(&Source {
        run,
        records: &records,
        shown: shown.as_ref(),
        title,
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
        let (opened, project) = self.open_past()?;
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
        Output::Table | Output::Jsonl => wanted.is_empty().then_some(Form::Markdown),
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
