//! `svcops init`: a project to begin with. It asks little, writes commented files that lint, and never over what is there.

mod texts;

use super::{Face, args::Output, words::Failure};
use crate::{
    base::words::list,
    cli::exit::ExitCode,
    inventory,
    runbook::FILE,
    transport::shell::quote,
    ui::{message::Message, prompt},
    yaml::Fault,
};
use clap::Args;
use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

/// `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// Its folder, made where it is not there; this one unless given
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// The project's name; the folder's unless given
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The first host: a name that ssh knows, or `local` for this machine
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// An app on that host
    #[arg(long, value_name = "APP")]
    pub app: Option<String>,
    /// The systemd unit that manages the app; APP.service unless given
    #[arg(long, value_name = "UNIT", requires = "app", conflicts_with = "control")]
    pub unit: Option<String>,
    /// The control script that manages the app instead, called with start, stop and status
    #[arg(long, value_name = "COMMAND", requires = "app")]
    pub control: Option<String>,
}

/// What the files are written from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answers {
    name: String,
    /// None: this machine.
    host: Option<String>,
    app: Option<App>,
}

/// An app, and what manages it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct App {
    name: String,
    manager: Manager,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Manager {
    Unit(String),
    /// A command that takes start, stop and status.
    Control(String),
}

/// Writes a project.
///
/// # Errors
/// Something is there already, an answer cannot be used, or a file cannot be written. Nothing is half-written then.
pub fn init(face: &Face, args: &Init) -> Result<ExitCode, Failure> {
    face.no_stream()?;
    let folder = match &args.folder {
        Some(below) if face.global.dir == Path::new(HERE) => below.clone(),
        Some(below) => face.global.dir.join(below),
        None => face.global.dir.clone(),
    };
    nothing_there(&folder, &[FILE.to_owned()])?;
    let said = args.name.is_some() || args.host.is_some() || args.app.is_some();
    let ask = !said && !face.global.yes && io::stdin().is_terminal() && prompt::possible();
    let answers = if ask { asked(&folder)? } else { given(args, &folder) };
    let files = texts::files(&answers);
    usable(&files)?;
    let names: Vec<String> = files.keys().cloned().collect();
    nothing_there(&folder, &names)?;
    write(&folder, &files)?;
    match face.global.output {
        Output::Json | Output::Jsonl => {
            let value = serde_json::json!({ "schema_version": 1, "project": answers.name, "made": names });
            face.screen.json(&value);
        }
        _ if face.global.quiet => {}
        _ => face.screen.data(&next(&answers, &names, &folder)),
    }
    Ok(ExitCode::Done)
}

fn given(args: &Init, folder: &Path) -> Answers {
    let manager = |name: &str| match (&args.control, &args.unit) {
        (Some(control), _) => Manager::Control(control.clone()),
        (None, Some(unit)) => Manager::Unit(unit.clone()),
        (None, None) => Manager::Unit(format!("{name}.service")),
    };
    Answers {
        name: args.name.clone().unwrap_or_else(|| name_of(folder)),
        host: args.host.clone().filter(|host| host != LOCAL),
        app: args.app.clone().map(|name| App { manager: manager(&name), name }),
    }
}

/// The folder that svcops is called in.
const HERE: &str = ".";
/// What stands for this machine.
const LOCAL: &str = "local";

fn asked(folder: &Path) -> Result<Answers, Failure> {
    let ask = |question: &str, default: &str| {
        prompt::with_default(question, default).map_err(|e| Failure::wrong(Message::error(e.to_string())))
    };
    let name = ask("Project name", &name_of(folder))?;
    let host = ask("First host: a name that ssh knows, or `local` for this machine", LOCAL)?;
    let app = ask("An app on it; empty for none", "")?;
    let app = if app.is_empty() {
        None
    } else {
        let manager =
            ask("What manages it: a systemd unit, or the path of a control script", &format!("{app}.service"))?;
        let manager = if manager.contains('/') { Manager::Control(manager) } else { Manager::Unit(manager) };
        Some(App { name: app, manager })
    };
    Ok(Answers { name, host: Some(host).filter(|host| host != LOCAL), app })
}

/// A project's name from its folder's: what no name may hold becomes `-`.
fn name_of(folder: &Path) -> String {
    let real = std::path::absolute(folder).ok();
    let last = real.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let good = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = last.unwrap_or_default().chars().map(good).collect();
    let name = name.trim_matches(|c: char| !c.is_alphanumeric());
    if name.is_empty() { "project".to_owned() } else { name.to_owned() }
}

/// Refuses to write over what is there.
fn nothing_there(folder: &Path, names: &[String]) -> Result<(), Failure> {
    let there = |name: &&String| fs::symlink_metadata(folder.join(name)).is_ok();
    let there: Vec<&String> = names.iter().filter(there).collect();
    if there.is_empty() {
        return Ok(());
    }
    let place = if folder == Path::new(HERE) { String::new() } else { format!(" in `{}`", folder.display()) };
    let message = Message::error(format!("{}{place} would be written over; nothing was written", list(&there, 5)));
    let elsewhere = "`svcops init DIR` makes a project in another folder";
    Err(Failure::wrong(message.hint(elsewhere)))
}

/// Reads the files as every other verb will, before one is written: a name may be none, or a verb's.
fn usable(files: &BTreeMap<String, String>) -> Result<(), Failure> {
    let (_, faults) = inventory::parse(FILE, files);
    let Some(Fault { message, hint, .. }) = faults.0.first() else { return Ok(()) };
    let message = Message::error(format!("{message}; nothing was written"));
    Err(Failure::wrong(match hint {
        Some(hint) => message.hint(hint),
        None => message,
    }))
}

/// Writes all of them, or none.
fn write(folder: &Path, files: &BTreeMap<String, String>) -> Result<(), Failure> {
    let mut made: Vec<PathBuf> = Vec::new();
    for (name, text) in files {
        let path = folder.join(name);
        let written = path.parent().map_or(Ok(()), |parent| make_all(parent, &mut made)).and_then(|()| {
            let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
            made.push(path.clone());
            file.write_all(text.as_bytes())
        });
        if let Err(why) = written {
            for path in made.iter().rev() {
                // Only what is empty or was written here goes; what fails to go is still named below.
                drop(if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) });
            }
            return Err(Failure::file("write", &path, &why));
        }
    }
    Ok(())
}

/// Makes a folder and those above it, and remembers which were made.
fn make_all(folder: &Path, made: &mut Vec<PathBuf>) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_all(parent, made)?;
    }
    fs::create_dir(folder)?;
    made.push(folder.to_owned());
    Ok(())
}

/// What was made, and what to do next.
fn next(answers: &Answers, names: &[String], folder: &Path) -> String {
    let mut steps = Vec::new();
    if folder != Path::new(HERE) {
        steps.push((format!("cd {}", quote(&folder.to_string_lossy())), ""));
    }
    steps.push(("svcops lint".to_owned(), "find every fault of the files"));
    if answers.host.is_some() {
        steps.push(("svcops doctor".to_owned(), "is the way to the host open?"));
    }
    steps.push(("svcops plan first".to_owned(), "what the example would change"));
    steps.push(("svcops run first".to_owned(), "show that, ask, carry it out"));
    if let Some(app) = &answers.app {
        steps.push((format!("svcops app status {}", quote(&app.name)), "does the app run?"));
    }
    let width = steps.iter().map(|(step, _)| step.chars().count()).max().unwrap_or_default();
    let mut text = format!("project `{}`\n", answers.name);
    for name in names {
        text += &format!("  {name}\n");
    }
    text += "\nNext:\n";
    for (step, why) in steps {
        text += if why.is_empty() { format!("  {step}\n") } else { format!("  {step:<width$}  # {why}\n") }.as_str();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folders_name_becomes_a_projects() {
        for (folder, name) in [
            ("/srv/Новая CRM", "Новая-CRM"),
            ("/srv/.hidden project", "hidden-project"),
            ("/", "project"),
            ("/srv/...", "project"),
            ("/srv/crm_2.0", "crm_2.0"),
        ] {
            assert_eq!(name_of(Path::new(folder)), name);
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_takes_the_others_back() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("runbooks"), "a file where a folder should be").unwrap();
        let files = ["files/note.txt", "runbooks/first.yaml"].map(|name| (name.to_owned(), String::new()));
        assert!(write(folder.path(), &files.into()).is_err());
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["runbooks"]);
    }
}
