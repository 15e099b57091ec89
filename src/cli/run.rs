//! `svcops run`: plan, show, ask, carry out, say how it ended. The verbs of apps end here too.

use super::{
    Face,
    args::{Output, RunArgs},
    confirm::Word,
    exit::ExitCode,
    opened::Opened,
    plan::{self, Saved},
    plan_view::{self, Depth},
    stage::Set,
    words::Failure,
};
use crate::{
    base::{Change, RunId, words},
    engine::{
        self, Ended, Order,
        plan::{Plan, PlannedTask},
    },
    evidence::ssh,
    journal::{
        event::{End, Summary},
        state::RunState,
    },
    runbook::Project,
    transport::vault,
    ui::{
        message::{Kind, Message},
        prompt, summary,
    },
};
use tokio::sync::watch;

/// Runs a runbook, or a saved plan.
///
/// # Errors
/// What is wrong before anything was touched.
pub fn run(face: &Face, args: &RunArgs) -> Result<ExitCode, Failure> {
    let project = face.project()?;
    let pinned = args.plan.as_deref().map(plan::load).transpose()?;
    let planned =
        pinned.as_ref().map(|p| p.file.as_deref().map_or_else(|| p.plan.runbook.clone(), |f| in_project(&project, f)));
    let name = args.runbook.clone().or(planned).unwrap_or_default();
    let runbook = face.runbook(&project, &name)?;
    let opened = face.open(&project.inventory.project)?;
    let order = match &pinned {
        Some(Saved { plan, within, .. }) => {
            let order = face.order_with(&project.inventory, runbook, plan.params.clone(), &opened)?;
            match order.limit {
                Some(_) => order,
                None => Order { limit: within.clone(), limited_by: plan.limited_by.clone(), ..order },
            }
        }
        None => face.order(&project.inventory, runbook, &args.params, &opened)?,
    };
    let terms = Terms { pinned: pinned.map(|p| p.plan), exact: args.require_exact, ..Terms::default() };
    carry_out(face, &project, opened, &order, &terms)
}

/// A file of the project, from wherever svcops was called.
fn in_project(project: &Project, file: &str) -> String {
    project.root.join(file).to_string_lossy().into_owned()
}

/// What a plan must be to be carried out, and what is special about the run.
#[derive(Debug, Default)]
pub struct Terms {
    /// The same as this one.
    pub pinned: Option<Plan>,
    /// Sure of everything.
    pub exact: bool,
    /// A word is asked for, and no yes.
    pub word: Option<Word>,
    /// What is said where nothing would change; there is no run then.
    pub idle: Option<String>,
    /// Asked to stop before its point of no return, it goes back at once: to be stopped halfway is an outage.
    pub goes_back: bool,
}

/// Plans, shows, asks, carries out.
///
/// # Errors
/// What is wrong before anything was touched.
pub fn carry_out(
    face: &Face,
    project: &Project,
    opened: Opened,
    order: &Order,
    terms: &Terms,
) -> Result<ExitCode, Failure> {
    face.runtime()?.block_on(async {
        let mut set = face.set(project.root.clone(), project.inventory.clone(), opened)?;
        set.audit(None)?;
        set.deliver();
        let done = match face.ticketed(&set, order.clone()).await {
            Ok(order) => carry(face, &set, &order, terms).await,
            Err(failure) => Err(failure),
        };
        set.progress.rest();
        face.tell_tickets(face.delivered(&set, None));
        set.end().await;
        done
    })
}

async fn carry(face: &Face, set: &Set, order: &Order, terms: &Terms) -> Result<ExitCode, Failure> {
    set.progress.doing("planning");
    let planned = set.unless_stopped(engine::plan(&set.stage, order)).await??;
    set.progress.rest();
    if terms.exact {
        plan::require_exact(&planned.plan)?;
    }
    let (changes, unseen) = (plan_view::changes(&planned.plan), plan_view::unseen(&planned.plan));
    if let Some(idle) = terms.idle.as_ref().filter(|_| !changes && !unseen) {
        return Ok(face.idle(&order.runbook.name, idle));
    }
    if changes {
        let screen = &face.screen;
        if !face.global.quiet && face.global.output == Output::Table {
            screen.note(&plan_view::text(&planned.plan, Depth::Short, screen.paint, screen.width));
        }
        let on = match planned.plan.hosts.len() {
            0 => String::new(),
            hosts => format!(" on {}", words::count("host", hosts)),
        };
        let question = format!("Carry out `{}`{on}?", order.runbook.name);
        match &terms.word {
            Some(word) => face.confirm_by(set, &question, word).await?,
            None => face.confirm(set, &question).await?,
        }
    }
    somebody_answers(&planned.plan)?;
    set.begins();
    let mut ended = engine::run(&set.stage, order, &planned, terms.pinned.as_ref(), set.stop.clone()).await?;
    if terms.goes_back && ended.summary.outcome == End::Stopped {
        ended = taken_back(set, order, ended).await?;
    }
    face.ended(set, &ended)
}

/// Takes a run back that was asked to stop once, where that can be: asked twice, it is left as it is.
async fn taken_back(set: &Set, order: &Order, ended: Ended) -> Result<Ended, Failure> {
    let state = set.stage.journal.state(&ended.run)?;
    if *set.stop.borrow() > 1 || state.no_return().is_some() || state.tasks.is_empty() {
        return Ok(ended);
    }
    let (again, stop) = watch::channel(0);
    let mut asked = set.stop.clone();
    let heard = async move {
        // the call that brought it here is obeyed by going back; the next one is for now
        if asked.wait_for(|level| *level > 1).await.is_ok() {
            again.send_replace(2);
        }
        std::future::pending::<()>().await;
    };
    set.progress.tell(&Message::warning("it goes back: stopped here, the service would stay out"));
    let why = "it was asked to stop before its point of no return";
    let back = engine::rollback(&set.stage, &ended.run, &order.operator, why, stop);
    tokio::select! {
        back = back => Ok(back?),
        () = heard => Ok(ended),
    }
}

/// Refuses a run that will ask a person where there is none: what comes before the question would be done in vain.
fn somebody_answers(plan: &Plan) -> Result<(), Failure> {
    let asks = |task: &&PlannedTask| task.changes.iter().any(|c| matches!(c.change.what, Change::Ask { .. }));
    let Some(task) = plan.tasks.iter().find(asks) else { return Ok(()) };
    if prompt::possible() {
        return Ok(());
    }
    let message =
        format!("step `{}` ({}) asks a person, and there is no terminal; nothing was touched", task.step, task.number);
    Err(Failure::wrong(Message::error(message).hint("run it on a terminal; `--yes` does not answer for a `pause`")))
}

/// What is told of an end.
enum Said {
    Words(Message),
    Json(serde_json::Value),
}

impl Face {
    /// Tells how a run ended.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn ended(&self, set: &Set, ended: &Ended) -> Result<ExitCode, Failure> {
        set.progress.rest();
        let end = self.end(&ended.run, &set.stage.journal.state(&ended.run)?, &ended.summary);
        self.seal(set, &ended.run);
        let delivery = self.delivered(set, Some(&ended.run));
        self.tell_end(end, self.ticket_of(set, &ended.run));
        self.tell_tickets(delivery);
        Ok(ExitCode::from(ended.summary.outcome))
    }

    /// Signs the run's end, where the project asks for it. A signature that cannot be made is missing, and no run fails for it.
    pub fn seal(&self, set: &Set, run: &RunId) {
        let key = set.stage.inventory.evidence.as_ref().and_then(|evidence| evidence.sign.as_ref());
        let Some(key) = key else { return };
        let key = set.stage.root.join(vault::home(key));
        if ssh::is_touched(&key) {
            self.screen
                .note(&format!("touch the hardware key of `{}`: it signs the end of run {run}\n", key.display()));
        }
        if let Err(why) = ssh::seal(&set.journal, run, &key, set.stage.clock.now()) {
            let message = Message::warning(format!("the end of run {run} is not signed")).because(why);
            self.screen.tell(&message.hint("`evidence: {sign: …}` in svcops.yaml names the key"));
        }
    }

    /// There is nothing to do, and no run.
    fn idle(&self, name: &str, why: &str) -> ExitCode {
        match self.global.output {
            Output::Table => self.screen.tell(&Message::new(Kind::Done, why)),
            _ => self.screen.json(&serde_json::json!({
                "schema_version": 1, "run": null, "runbook": name, "outcome": End::Done, "exit_code": 0, "changed": 0, "owed": 0, "why": why,
            })),
        }
        ExitCode::Done
    }

    /// What is told of an end, in the form that was asked for; all but its ticket.
    fn end(&self, run: &RunId, state: &RunState, end: &Summary) -> Option<Said> {
        match self.global.output {
            Output::Table => Some(Said::Words(summary::message(run, state, end))),
            Output::Json => Some(Said::Json(summary::json(run, state, end))),
            _ => None,
        }
    }

    fn tell_end(&self, end: Option<Said>, ticket: Option<String>) {
        match end {
            Some(Said::Words(message)) => {
                self.screen.tell(&ticket.into_iter().fold(message, |m, id| m.row("ticket", id)));
            }
            Some(Said::Json(mut value)) => {
                if let Some(map) = value.as_object_mut() {
                    map.insert("ticket".to_owned(), serde_json::json!(ticket));
                }
                self.screen.json(&value);
            }
            None => {}
        }
    }
}
