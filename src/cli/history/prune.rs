//! `svcops history prune`: old runs are taken out of the journal, and it is recorded that they were.

use super::{
    list::{Edge, moment},
    told, zone,
};
use crate::{
    base::{
        Clock as _, WallClock,
        words::{bytes, count},
    },
    cli::{Face, args::Output, exit::ExitCode, owed, words::Failure},
    journal::{
        event::Operator,
        prune::{Done, Preview, Wish},
    },
    ui::{
        looking::Looking,
        message::{Kind, Message},
        prompt::{self, NoAnswer},
    },
};
use serde_json::json;

/// `history prune`.
#[derive(Clone, Debug, clap::Args)]
pub struct Prune {
    /// Runs that ended before then: 400d ago, or 2025-11-01
    #[arg(long, value_name = "WHEN")]
    pub before: String,
    /// But for the newest N runs
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true)]
    pub keep: usize,
    /// Of every project in this state directory, not only of the one here
    #[arg(long)]
    pub all_projects: bool,
    /// Show what would be taken out, and take nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// For its help.
pub const EXAMPLES: &str = "Examples:
  svcops history prune --before 400d --dry-run
  svcops history prune --before 2025-11-01 --keep 100 --reason 'kept 1 year'

What is open, in doubt, owes something, or is not told to its ticket yet stays. Who took which runs out, when and why is recorded, and `svcops history verify` holds it against the ledger. Bundles (`svcops history export`) are not touched.";

impl Face {
    pub(in crate::cli) fn prune(&self, args: &Prune) -> Result<ExitCode, Failure> {
        self.no_stream()?;
        let (opened, project) = self.open_past()?;
        let zone = zone(project.as_ref().and_then(|p| p.inventory.timezone.as_deref()));
        let now = WallClock.now();
        let before = moment(&args.before, Edge::From, &zone, now)?;
        if before > now {
            return Err(Failure::wrong(Message::error(format!("`--before {}` is not in the past", args.before))));
        }
        let log = told::log(project.as_ref(), &opened.state);
        if let Some(log) = &log {
            opened.journal.audit();
            if !args.dry_run {
                // what the log does not have yet must not be taken out
                told::catch_up(&opened.journal, &opened.locks, log, &self.screen);
            }
        }
        let project = opened.project.clone().filter(|_| !args.all_projects);
        let wish = Wish { before, keep: args.keep, project };
        let settled = |run: &_| Ok(owed::left(&opened.journal, run)?.is_empty());
        let preview = opened.journal.prunable(&wish, settled)?;
        if preview.runs.is_empty() || args.dry_run {
            self.pruned(&preview, None, None);
            return Ok(ExitCode::Done);
        }
        let Some(reason) = self.global.reason.as_deref() else {
            let message = Message::error("`history prune` needs `--reason TEXT`: the journal keeps why");
            return Err(Failure::wrong(message.hint("`--dry-run` shows what would be taken out")));
        };
        if !self.global.yes {
            self.screen.note(&(words(&preview) + "\n"));
            let question = format!("Take {} out of the journal for good?", count("run", preview.runs.len()));
            match prompt::yes(&question) {
                Ok(true) => {}
                Ok(false) => return Err(Failure::wrong(Message::error("not confirmed; nothing was touched"))),
                Err(NoAnswer::NoTerminal(_)) => {
                    let message = Message::error(
                        "this takes runs out of the journal and nobody can be asked: there is no terminal",
                    );
                    return Err(Failure::wrong(message.hint("`--yes` answers for cron and CI")));
                }
                Err(ended @ NoAnswer::Ended) => return Err(Failure::wrong(Message::error(ended.to_string()))),
            }
        }
        let (was, _) = opened.journal.size()?;
        let looking = Looking::new(&self.screen, self.global.quiet, "runs taken out");
        let by = (&Operator::here(), reason, now);
        let done = opened.journal.prune(&preview.runs, &wish, by, |n| looking.step(n, preview.runs.len()))?;
        looking.end();
        if let Some(log) = &log {
            told::catch_up(&opened.journal, &opened.locks, log, &self.screen);
        }
        // another process that writes would have to wait for all of it
        let busy = !opened.locks.held().is_empty();
        let shrunk = if busy {
            Err("runs are under way".to_owned())
        } else {
            opened.journal.shrink().map_err(|e| e.to_string())
        };
        let (is, free) = opened.journal.size()?;
        self.pruned(&preview, Some(&done), Some((was, is)));
        if let Err(why) = shrunk {
            let warning = format!("the journal keeps its size, {} of it free for what comes: {why}", bytes(free));
            self.screen.tell(&Message::warning(warning));
        }
        if done.unsound.is_empty() {
            return Ok(ExitCode::Done);
        }
        let left = count("run", done.unsound.len());
        let warning = format!("{left} stayed: what is recorded of them was changed after it was written");
        self.screen.tell(&Message::warning(warning).hint("`svcops history verify` names it"));
        Ok(ExitCode::Stands)
    }

    fn pruned(&self, preview: &Preview, done: Option<&Done>, size: Option<(u64, u64)>) {
        if self.global.output != Output::Table {
            self.screen.json(&json!({
                "schema_version": 1,
                "runs": preview.runs,
                "events": preview.events,
                "stay": {"open": preview.open, "owing": preview.owing, "untold": preview.untold, "newest": preview.kept},
                "taken_out": done.map(|d| json!({"runs": d.runs, "events": d.events, "contents": d.contents, "changed": d.unsound})),
                "bytes": size.map(|(was, is)| json!({"before": was, "after": is})),
                "exit_code": if done.is_some_and(|d| !d.unsound.is_empty()) { 3 } else { 0 },
            }));
            return;
        }
        let (Some(done), Some((was, is))) = (done, size) else { return self.screen.data(&(words(preview) + "\n")) };
        let what = format!("{} and {} taken out", count("run", done.runs), count("event", done.events));
        let size =
            if is < was { format!(", the journal went from {} to {}", bytes(was), bytes(is)) } else { String::new() };
        self.screen.tell(&Message::new(Kind::Done, what + &size));
    }
}

/// What would go, and what would stay though it is as old.
fn words(preview: &Preview) -> String {
    let mut text = match (preview.runs.first(), preview.runs.last()) {
        (Some(first), Some(last)) => {
            let n = count("run", preview.runs.len());
            format!(
                "{n} of {} would be taken out: {first} to {last}",
                count("event", usize::try_from(preview.events).unwrap_or(usize::MAX))
            )
        }
        _ => "nothing would be taken out".to_owned(),
    };
    for (n, why) in [
        (preview.open, "without an end, or in doubt"),
        (preview.owing, "with something owed"),
        (preview.untold, "not told to a ticket or the machine's log yet"),
        (preview.kept, "among the newest"),
    ] {
        if n > 0 {
            text += &format!("\nstays: {} {why}", count("run", n));
        }
    }
    text
}
