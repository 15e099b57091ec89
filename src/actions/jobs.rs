//! `jobs.*`: what runs by the clock at one site only. A boot does not bring back what was stopped; nothing that runs at
//! this moment is killed.

use super::{Action, Next, Refusal, Target, Turn};
use crate::{
    base::{At, Change, Span},
    resources::{
        Jobs, JobsFacts,
        jobs::{CronFacts, TimerFacts, cron_path, cron_path_off, service_of},
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// What `jobs.stop` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StopArgs {
    /// systemd timers with their suffix, such as `settle.timer`
    #[serde(default)]
    timers: Vec<String>,
    /// Files of /etc/cron.d, by their names
    #[serde(default)]
    cron: Vec<String>,
    /// How long what a timer has started may take to end, where it runs at this moment; 60s unless given
    #[schemars(extend("default" = "60s"))]
    within: Option<Span>,
}

/// What `jobs.start` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StartArgs {
    /// systemd timers with their suffix, such as `settle.timer`
    #[serde(default)]
    timers: Vec<String>,
    /// Files of /etc/cron.d, by their names
    #[serde(default)]
    cron: Vec<String>,
}

const WITHIN: Span = Span::secs(60);
const EVERY: Duration = Duration::from_millis(200);

/// `jobs.stop`.
#[derive(Serialize, Deserialize)]
pub(super) struct Stop {
    jobs: Jobs,
    within: Span,
}

impl Action for Stop {
    const NAME: &'static str = "jobs.stop";
    const ABOUT: &'static str =
        "Stops systemd timers and cron files so that no boot brings them back, and waits for what a timer has started";
    const EXAMPLE: &'static str = "- name: Nothing begins by the clock
  jobs.stop: {timers: [settle.timer], cron: [settle]}";
    type Args = StopArgs;
    type On = Jobs;
    fn bind(args: StopArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        Ok(Self { jobs: find(args.timers, args.cron, target)?, within: args.within.unwrap_or(WITHIN) })
    }
    fn on(&self) -> &Jobs {
        &self.jobs
    }
    fn next(&self, turn: &Turn<JobsFacts>) -> Next {
        match towards(&self.jobs, turn, |_| OFF, |_| false) {
            Next::Done { outputs } => match turn.seen.timers.iter().find(|(_, timer)| timer.busy) {
                None => Next::Done { outputs },
                Some((timer, _)) if turn.rested >= self.within.0 || turn.late => Next::GiveUp(format!(
                    "`{}` on `{}` still runs after {}, and is not killed",
                    service_of(timer),
                    self.jobs.at,
                    self.within
                )),
                Some((timer, _)) => Next::wait(format!("`{}` still runs", service_of(timer)), EVERY),
            },
            other => other,
        }
    }
    fn undo(&self, turn: &Turn<JobsFacts>) -> Next {
        back(&self.jobs, turn)
    }
}

/// `jobs.start`.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Start {
    jobs: Jobs,
}

impl Action for Start {
    const NAME: &'static str = "jobs.start";
    const ABOUT: &'static str = "Starts systemd timers and cron files, and has a boot start them";
    const EXAMPLE: &'static str = "- name: The jobs run here
  jobs.start: {timers: [settle.timer], cron: [settle]}";
    type Args = StartArgs;
    type On = Jobs;
    fn bind(args: StartArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        Ok(Self { jobs: find(args.timers, args.cron, target)? })
    }
    fn on(&self) -> &Jobs {
        &self.jobs
    }
    fn next(&self, turn: &Turn<JobsFacts>) -> Next {
        towards(&self.jobs, turn, |_| (true, true), |_| true)
    }
    fn undo(&self, turn: &Turn<JobsFacts>) -> Next {
        back(&self.jobs, turn)
    }
}

const OFF: (bool, bool) = (false, false);

fn back(jobs: &Jobs, turn: &Turn<JobsFacts>) -> Next {
    let timer = |name: &str| turn.before.timers.get(name).map_or(OFF, state);
    towards(jobs, turn, timer, |name| turn.before.cron.get(name).is_some_and(|file| file.on))
}

/// Whether a boot starts it, and whether it waits for its time.
const fn state(timer: &TimerFacts) -> (bool, bool) {
    (timer.enabled, timer.active)
}

/// One move to where they should be: each timer's state, and whether each cron file runs.
fn towards(
    jobs: &Jobs,
    turn: &Turn<JobsFacts>,
    timers: impl Fn(&str) -> (bool, bool),
    cron: impl Fn(&str) -> bool,
) -> Next {
    let (mut changes, mut names) = (Vec::new(), Vec::new());
    for (name, facts) in &turn.seen.timers {
        if !facts.loaded {
            return Next::GiveUp(format!("`{}` knows no timer `{name}`", jobs.at));
        }
        let moves = timer_moves(name, state(facts), timers(name));
        if !moves.is_empty() {
            names.push(name.as_str());
        }
        changes.extend(moves);
    }
    for (name, facts) in &turn.seen.cron {
        let (on, off) = (cron_path(name), cron_path_off(name));
        match facts {
            CronFacts { on: true, off: true } => {
                return Next::GiveUp(format!("both `{on}` and `{off}` are on `{}`: which of them is right?", jobs.at));
            }
            CronFacts { on: false, off: false } => {
                return Next::GiveUp(format!("there is no `{on}` on `{}`", jobs.at));
            }
            facts if facts.on == cron(name) => {}
            facts => {
                names.push(name.as_str());
                let (from, to) = if facts.on { (on, off) } else { (off, on) };
                changes.push(Change::MoveFile { from, to });
            }
        }
    }
    if changes.is_empty() {
        return Next::Done { outputs: json!({"changed": !turn.did.is_empty()}) };
    }
    if !turn.did.is_empty() {
        let names = crate::base::words::list(&names, 5);
        return Next::GiveUp(format!("on `{}` this is not as it was told to be: {names}", jobs.at));
    }
    let changes: Vec<At<Change>> = changes.into_iter().map(|change| jobs.at.at(change)).collect();
    Next::Do { changes, expect: Value::Null }
}

/// From one state of a timer to another: enabled, active.
fn timer_moves(name: &str, is: (bool, bool), want: (bool, bool)) -> Vec<Change> {
    let unit = || name.to_owned();
    match (is, want) {
        _ if is == want => vec![],
        (_, (true, true)) => vec![Change::EnableUnit(unit())],
        (_, (true, false)) => vec![Change::EnableUnit(unit()), Change::StopUnit(unit())],
        ((true, _), (false, false)) => vec![Change::DisableUnit(unit())],
        ((false, _), (false, false)) => vec![Change::StopUnit(unit())],
        ((true, _), (false, true)) => vec![Change::DisableUnit(unit()), Change::StartUnit(unit())],
        ((false, _), (false, true)) => vec![Change::StartUnit(unit())],
    }
}

fn find(timers: Vec<String>, cron: Vec<String>, target: &Target<'_>) -> Result<Jobs, Refusal> {
    if timers.is_empty() && cron.is_empty() {
        return Err(Refusal::new("`timers` or `cron` expected"));
    }
    let fits = |name: &str, more: &str| {
        !name.is_empty()
            && !name.starts_with('-')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    for name in &timers {
        if !fits(name, "-_.@:\\") || name.strip_suffix(".timer").is_none() {
            return Err(Refusal::of(
                "timers",
                format!("a timer with its suffix expected, such as `settle.timer`, got `{name}`"),
            ));
        }
    }
    for name in &cron {
        // what cron itself reads: run-parts(8)
        if !fits(name, "-_") {
            let why = format!("the name of a file of /etc/cron.d expected: letters, digits, `-` and `_`, got `{name}`");
            return Err(Refusal::of("cron", why));
        }
    }
    Ok(Jobs { at: target.place(), timers, cron })
}
