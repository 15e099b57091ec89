//! `svcops run`: plan, show, ask, carry out, say how it ended. The verbs of apps end here too.

use super::{
    Face,
    args::{Output, RunArgs},
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
    journal::{event::Summary, state::RunState},
    runbook::Project,
    transport::vault,
    ui::{
        message::Message,
        prompt::{self, NoAnswer},
        summary,
    },
};
use tokio::sync::oneshot;

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
    carry_out(face, &project, opened, &order, &Terms { pinned: pinned.map(|p| p.plan), exact: args.require_exact })
}

/// A file of the project, from wherever svcops was called.
fn in_project(project: &Project, file: &str) -> String {
    project.root.join(file).to_string_lossy().into_owned()
}

/// What a plan must be to be carried out.
#[derive(Debug, Default)]
pub struct Terms {
    /// The same as this one.
    pub pinned: Option<Plan>,
    /// Sure of everything.
    pub exact: bool,
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
    if plan_view::changes(&planned.plan) {
        let screen = &face.screen;
        if !face.global.quiet && face.global.output == Output::Table {
            screen.note(&plan_view::text(&planned.plan, Depth::Short, screen.paint, screen.width));
        }
        let on = match planned.plan.hosts.len() {
            0 => String::new(),
            hosts => format!(" on {}", words::count("host", hosts)),
        };
        face.confirm(set, &format!("Carry out `{}`{on}?", order.runbook.name)).await?;
    }
    somebody_answers(&planned.plan)?;
    set.begins();
    let ended = engine::run(&set.stage, order, &planned, terms.pinned.as_ref(), set.stop.clone()).await?;
    face.ended(set, &ended)
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

impl Face {
    /// Asks before a change, unless `--yes` has answered. A signal is an answer too.
    ///
    /// # Errors
    /// The answer is no, a signal came, or there is nobody to ask.
    pub async fn confirm(&self, set: &Set, question: &str) -> Result<(), Failure> {
        if self.global.yes {
            return Ok(());
        }
        let (tell, told) = oneshot::channel();
        let words = question.to_owned();
        // A thread of its own: the runtime would wait for one of its threads to come back from the terminal.
        let asked = std::thread::Builder::new().name("question".to_owned()).spawn(move || {
            // after a signal nobody waits for the answer
            drop(tell.send(prompt::yes(&words)));
        });
        let answer = match asked {
            Ok(_) => set.unless_stopped(told).await.inspect_err(|_| {
                // the question's line is not ended yet
                self.screen.note("\n");
            })?,
            Err(_) => Ok(prompt::yes(question)),
        };
        match answer.unwrap_or(Err(NoAnswer::Ended)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::wrong(Message::error("not confirmed; nothing was touched"))),
            Err(NoAnswer::NoTerminal(_)) => Err(Failure::wrong(
                Message::error("this changes things and nobody can be asked: there is no terminal")
                    .hint("`--yes` answers for cron and CI"),
            )),
            Err(ended @ NoAnswer::Ended) => Err(Failure::wrong(Message::error(ended.to_string()))),
        }
    }

    /// Tells how a run ended.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn ended(&self, set: &Set, ended: &Ended) -> Result<ExitCode, Failure> {
        set.progress.rest();
        let state = RunState::fold(&set.stage.journal.records(&ended.run)?);
        self.seal(set, &ended.run);
        let delivery = self.delivered(set, Some(&ended.run));
        let ticket = self.ticket_of(set, &ended.run);
        self.tell_end(&ended.run, &state, &ended.summary, ticket.as_deref());
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

    fn tell_end(&self, run: &RunId, state: &RunState, end: &Summary, ticket: Option<&str>) {
        match self.global.output {
            Output::Table => {
                let message = summary::message(run, state, end);
                self.screen.tell(&ticket.into_iter().fold(message, |m, id| m.row("ticket", id)));
            }
            Output::Json => {
                let mut value = summary::json(run, state, end);
                if let Some(map) = value.as_object_mut() {
                    map.insert("ticket".to_owned(), serde_json::json!(ticket));
                }
                self.screen.json(&value);
            }
            _ => {}
        }
    }
}
