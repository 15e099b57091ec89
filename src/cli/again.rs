//! `svcops resume`, `rollback`, `cancel`, `resolve`: what is done with a run that has begun.

use super::{
    Face,
    args::{OneRun, Output, Resolve, Resume, RunName, Saw},
    exit::ExitCode,
    owed,
    stage::Set,
    words::Failure,
};
use crate::{
    base::{Hash, RunId, words},
    engine::{
        self, Ended,
        run::{Cancelled, Recorded, may_resume, may_roll_back, recorded},
    },
    journal::event::{End, Operator, Summary},
    runbook::Project,
    ui::message::Message,
};
use std::path::PathBuf;

/// Goes on with a run.
///
/// # Errors
/// What is wrong before anything was touched.
pub fn resume(face: &Face, args: &Resume) -> Result<ExitCode, Failure> {
    if !args.skip.is_empty() && face.global.reason.is_none() {
        return Err(no_reason("--skip"));
    }
    with(face, &args.run, async |set, run, recorded| {
        may_resume(run, &recorded.state)?;
        let (name, state) = (&recorded.header.runbook, &recorded.state);
        let open = state.tasks.iter().filter(|t| t.forward.how.is_none()).count();
        let began = words::count("task", state.tasks.len());
        let what = if state.goes_back() { "Finish taking back" } else { "Go on with" };
        face.confirm(set, &format!("{what} run {run} of `{name}` ({began} begun, {open} of them under way)?")).await?;
        set.begins();
        let reason = face.global.reason.clone().unwrap_or_default();
        let skip: Vec<_> = args.skip.iter().map(|task| (task.clone(), reason.clone())).collect();
        let ended = engine::resume(&set.stage, run, &Operator::here(), &skip, set.stop.clone()).await?;
        face.ended(set, &ended)
    })
}

/// Brings back what a run changed.
///
/// # Errors
/// What is wrong before anything was touched.
pub fn rollback(face: &Face, args: &OneRun) -> Result<ExitCode, Failure> {
    with(face, &args.run, async |set, run, recorded| {
        let name = &recorded.header.runbook;
        let over = recorded.state.end.as_ref().is_some_and(|e| !e.outcome.resumable());
        if over && recorded.state.tasks.is_empty() {
            let message = Message::error(format!("run {run} of `{name}` cannot be rolled back: it began nothing"));
            return Err(Failure::wrong(message.hint(format!("`svcops history show {run}` says why"))));
        }
        may_roll_back(run, &recorded.state)?;
        let stands = recorded.state.tasks.iter().filter(|t| t.stands()).count();
        face.confirm(set, &format!("Bring back {} of run {run} of `{name}`?", words::count("task", stands))).await?;
        set.begins();
        let reason = face.global.reason.clone().unwrap_or_else(|| "`svcops rollback`".to_owned());
        let ended = engine::rollback(&set.stage, run, &Operator::here(), &reason, set.stop.clone()).await?;
        if ended.summary.outcome != End::RolledBack {
            // why the run failed is an old story by now
            let why = Some(format!("run {run} of `{name}` could not be undone in full"));
            return face.ended(set, &Ended { summary: Summary { why, ..ended.summary }, ..ended });
        }
        // What was asked for is done: the run has failed, this command has not.
        let summary = Summary { exit_code: 0, why: Some(format!("run {run} of `{name}` is undone")), ..ended.summary };
        face.ended(set, &Ended { summary, ..ended })?;
        Ok(ExitCode::Done)
    })
}

/// Asks a run to stop.
///
/// # Errors
/// It is over, or runs elsewhere.
pub fn cancel(face: &Face, args: &OneRun) -> Result<ExitCode, Failure> {
    face.no_stream()?;
    with(face, &args.run, async |set, run, _| {
        set.begins();
        let said = match engine::cancel(&set.stage, run).await? {
            Cancelled::Told => format!("run {run} was told to stop; it finishes what is under way"),
            Cancelled::Ended(0) => format!("run {run} has no process, and nothing of it is under way"),
            Cancelled::Ended(n) => format!("run {run} has no process; {} of it ended on hosts", words::count("act", n)),
        };
        face.said(run, &said);
        Ok(ExitCode::Done)
    })
}

/// Records what a person saw.
///
/// # Errors
/// There is nothing to resolve, or no reason.
pub fn resolve(face: &Face, args: &Resolve) -> Result<ExitCode, Failure> {
    face.no_stream()?;
    let Some(reason) = face.global.reason.as_deref() else { return Err(no_reason("resolve")) };
    with(face, &args.run, async |set, run, _| {
        set.begins();
        let by = Operator::here();
        engine::resolve(&set.stage, run, &args.task, args.saw == Saw::Done, (&by, reason)).await?;
        // what a person saw may be the run's new head
        face.seal(set, run);
        let saw = if args.saw == Saw::Done { "was done" } else { "was not done" };
        face.said(run, &format!("recorded: `{}` {saw}; {}", args.task, what_is_left(set, run)?));
        Ok(ExitCode::Done)
    })
}

/// Sets the stage as the run itself recorded it: neither its runbook nor `svcops.yaml` need be as they were.
fn with(
    face: &Face,
    name: &RunName,
    work: impl AsyncFnOnce(&Set, &RunId, &Recorded) -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    let (opened, project) = face.open_past()?;
    let run = opened.own_run(name)?;
    let recorded = recorded(&opened.journal, &run)?;
    face.runtime()?.block_on(async {
        let root = PathBuf::from(&recorded.header.root);
        let mut set = face.set(root, recorded.inventory.clone(), opened)?;
        set.audit(Some(&run))?;
        set.progress.recall(recorded.state.clone());
        if let (Some(project), Some(file)) = (&project, &recorded.header.file) {
            differs(face, project, file, &recorded);
        }
        set.deliver();
        let done = work(&set, &run, &recorded).await;
        set.progress.rest();
        face.tell_tickets(face.delivered(&set, Some(&run)));
        set.end().await;
        done
    })
}

/// Says so where the runbook's file is no longer what was recorded: the recorded one counts.
fn differs(face: &Face, project: &Project, file: &str, recorded: &Recorded) {
    let now = project.runbook(file).ok().and_then(|r| serde_json::to_vec(&r).ok()).map(|bytes| Hash::of(&bytes));
    if now.is_none_or(|now| now != recorded.header.runbook_hash) && !face.global.quiet {
        face.screen.tell(&Message::warning(format!(
            "`{file}` is no longer what it was; the run goes by the recorded runbook"
        )));
    }
}

/// What there is to do after a person's word: to go on, or, where the run is over, what it still owes.
fn what_is_left(set: &Set, run: &RunId) -> Result<String, Failure> {
    let state = set.stage.journal.state(run)?;
    if state.end.as_ref().is_none_or(|end| end.outcome.resumable()) {
        return Ok(format!("`svcops resume {run}` goes on"));
    }
    Ok(match owed::left(&*set.stage.journal, run)?.len() {
        0 => format!("run {run} owes nothing any more"),
        left => format!("run {run} still owes {left}: `svcops owed`"),
    })
}

fn no_reason(what: &str) -> Failure {
    Failure::wrong(Message::error(format!("`{what}` needs `--reason TEXT`: the journal keeps why")))
}

impl Face {
    /// One sentence as an answer.
    fn said(&self, run: &RunId, text: &str) {
        match self.global.output {
            Output::Table => self.screen.data(&format!("{text}\n")),
            _ => {
                self.screen.json(&serde_json::json!({"schema_version": 1, "run": run, "said": text, "exit_code": 0}));
            }
        }
    }
}
