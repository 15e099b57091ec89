//! `svcops app`: a verb composes a runbook, which is then planned, guarded, run and recorded like any other.

use super::{
    Face, app,
    args::{App, AppActs, AppLooks, Output, Params},
    exit::ExitCode,
    run::{self, Terms},
    stage,
    words::{self, Failure},
};
use crate::{
    runbook::Project,
    survey::{self, app::Level},
    ui::{message::Message, table::table},
    verbs::app::{Verb, compose, find, some_hosts},
};

/// Acts on an app, or looks at it.
///
/// # Errors
/// What is wrong before anything was touched.
pub fn app(face: &Face, of: &App) -> Result<ExitCode, Failure> {
    match of {
        App::Stop(args) => act(face, Verb::Stop, args),
        App::Start(args) => act(face, Verb::Start, args),
        App::Restart(args) => act(face, Verb::Restart, args),
        App::Reload(args) => act(face, Verb::Reload, args),
        App::Status(args) => status(face, args),
    }
}

fn act(face: &Face, verb: Verb, args: &AppActs) -> Result<ExitCode, Failure> {
    let project = face.project()?;
    let composed = compose(&project.inventory, verb, &args.app, args.site.as_deref());
    let text = composed.map_err(|e| Failure::wrong(Message::of(&e)))?;
    if args.show {
        face.no_stream()?;
        face.screen.data(&text);
        return Ok(ExitCode::Done);
    }
    let mut runbook = project
        .runbook_text("", &text)
        .map_err(|found| words::faults(&project.root, &found, face.screen.paint.on()))?;
    runbook.name = format!("app {} {}", verb.word(), args.app);
    runbook.file = None;
    let opened = face.open(&project.inventory.project)?;
    let order = face.order(&project.inventory, runbook, &Params::default(), &opened)?;
    run::carry_out(face, &project, opened, &order, &Terms::default())
}

fn status(face: &Face, args: &AppLooks) -> Result<ExitCode, Failure> {
    face.no_stream()?;
    let project: Project = face.project()?;
    let found = find(&project.inventory, &args.app).map_err(|e| Failure::wrong(Message::of(&e)))?;
    let wrong = |e| Failure::wrong(Message::of(&e));
    let mut hosts = some_hosts(&project.inventory, found, args.site.as_deref()).map_err(wrong)?;
    if let Some(chosen) = face.hosts(&project.inventory)? {
        hosts.retain(|host| chosen.contains(&host.name));
    }
    if hosts.is_empty() {
        // of nothing that was looked at a monitor must not hear that it is well
        let message = format!("no selected host is one of the hosts of app `{}`", args.app);
        return Err(Failure::wrong(Message::error(message).hint("`svcops inventory apps` lists the apps")));
    }
    let seen = face.runtime()?.block_on(async {
        let ways = face.fleet(&project.root, &project.inventory, None);
        ways.progress.doing(&format!("looking at `{}`", args.app));
        let parallel = face.global.parallel;
        let look = survey::app::look(&project.inventory, found, hosts, &*ways.transport, parallel);
        let seen = stage::unless_interrupted(look).await;
        ways.progress.rest();
        ways.transport.close().await;
        seen
    })?;
    if face.global.output == Output::Table {
        let mut text = table(&face.screen, &app::HEAD, &app::rows(&seen));
        for line in app::lines(&seen) {
            text += &(line + "\n");
        }
        face.screen.data(&text);
    } else {
        face.screen.json(&app::json(&seen));
    }
    Ok(match seen.level() {
        Level::Ok => ExitCode::Done,
        Level::Warning => ExitCode::AsBefore,
        Level::Critical => ExitCode::Wrong,
        Level::Unknown => ExitCode::Stands,
    })
}
