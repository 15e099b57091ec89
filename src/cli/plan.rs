//! `svcops plan`: what a run would change, and nothing is changed.

use super::{
    Face,
    args::{Output, Params, PlanArgs},
    exit::ExitCode,
    plan_view::{self, Depth},
    words::Failure,
};
use crate::{
    base::HostName,
    engine::{
        self,
        plan::{Certainty, Plan},
    },
    runbook::Project,
    ui::message::Message,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// Plans, shows, and saves where that was asked for.
///
/// # Errors
/// A file or a parameter is wrong, or the plan is not as sure as it was asked to be.
pub fn plan(face: &Face, args: &PlanArgs) -> Result<ExitCode, Failure> {
    face.no_stream()?;
    let Made { plan, within, file } = made(face, &face.project()?, &args.runbook, &args.params)?;
    let json = face.global.output != Output::Table;
    if !json {
        face.screen.data(&plan_view::text(&plan, Depth::Full, face.screen.data_paint, face.screen.width));
    }
    if args.require_exact {
        require_exact(&plan)?;
    }
    if let Some(path) = &args.save {
        save(&Saved { plan: plan.clone(), within, file }, path)?;
    }
    if json {
        // one value: the plan, or why there is none
        face.screen.json(&plan);
    }
    Ok(match (plan_view::unseen(&plan), args.detailed_exitcode && plan_view::changes(&plan)) {
        (true, _) => ExitCode::AsBefore,
        (false, true) => ExitCode::Changes,
        (false, false) => ExitCode::Done,
    })
}

/// A plan as `--save` writes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Saved {
    /// The plan.
    #[serde(flatten)]
    pub plan: Plan,
    /// The hosts that options left; none: all of the runbook's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Vec<HostName>>,
    /// The runbook's file, which need not be called as the runbook is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// A plan as it was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// The plan.
    pub plan: Plan,
    /// The hosts that options left; none: all of the runbook's.
    pub within: Option<Vec<HostName>>,
    /// The runbook's file.
    pub file: Option<String>,
}

/// The plan of a runbook, and the hosts that options left; nothing is shown but that hosts are looked at.
///
/// # Errors
/// A file or a parameter is wrong.
pub fn made(face: &Face, project: &Project, name: &str, params: &Params) -> Result<Made, Failure> {
    let runbook = face.runbook(project, name)?;
    let opened = face.open(&project.inventory.project)?;
    let order = face.order(&project.inventory, runbook, params, &opened)?;
    face.runtime()?.block_on(async {
        let set = face.set(project.root.clone(), project.inventory.clone(), opened)?;
        set.progress.doing("planning");
        let planned = set.unless_stopped(engine::plan(&set.stage, &order)).await;
        set.end().await;
        Ok(Made { plan: planned??.plan, within: order.limit.clone(), file: order.runbook.file.clone() })
    })
}

/// Refuses a plan that is not sure of everything.
///
/// # Errors
/// It is not.
pub fn require_exact(plan: &Plan) -> Result<(), Failure> {
    let open: Vec<String> = plan
        .tasks
        .iter()
        .filter(|t| t.certainty != Certainty::Exact)
        .map(|t| format!("{} ({}) on {}: {}", t.step, t.number, t.host, plan_view::sure(t)))
        .collect();
    if open.is_empty() {
        return Ok(());
    }
    let more = open.len().saturating_sub(SHOWN);
    let mut message = Message::error("`--require-exact` refuses this plan: it is not sure of everything");
    for line in open.into_iter().take(SHOWN) {
        message = message.row("", line);
    }
    if more > 0 {
        message = message.row("", format!("and {more} more"));
    }
    Err(Failure::new(ExitCode::NotAllowed, message))
}

/// Reads a saved plan.
///
/// # Errors
/// It cannot be read, or is none.
pub fn load(path: &Path) -> Result<Saved, Failure> {
    let text = fs::read(path).map_err(|e| Failure::file("read", path, &e))?;
    serde_json::from_slice(&text).map_err(|e| {
        let message = Message::error(format!("`{}` is no saved plan", path.display())).because(e.to_string());
        Failure::wrong(message.hint("`svcops plan RUNBOOK --save FILE` writes one"))
    })
}

fn save(plan: &Saved, path: &Path) -> Result<(), Failure> {
    let text = serde_json::to_vec_pretty(plan).map_err(|e| Failure::file("write", path, &e.into()))?;
    keep(path, &text).map_err(|e| Failure::file("write", path, &e))
}

/// Written beside it and renamed: it is there whole or not at all. Only its owner reads it: it holds pieces of files.
///
/// # Errors
/// It cannot be written there.
pub(super) fn keep(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

const SHOWN: usize = 10;
