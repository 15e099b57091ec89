//! What most verbs begin with: the project, its state directory, the journal and the locks.

use super::{
    Face,
    args::RunName,
    env,
    words::{self, Failure},
};
use crate::{
    actions::CATALOG,
    base::RunId,
    engine,
    journal::{
        SqliteJournal,
        locks::Locks,
        place::{State, Wish},
        sqlite::FILE,
    },
    runbook::{Project, Runbook},
    ui::message::Message,
    yaml::{Faults, Severity},
};
use std::path::PathBuf;

/// The journal and the locks of a project.
pub struct Opened {
    /// Where they are.
    pub state: PathBuf,
    /// The journal.
    pub journal: SqliteJournal,
    /// The locks.
    pub locks: Locks,
    /// The project of this folder; the state directory may hold runs of others too.
    pub project: Option<String>,
}

impl Opened {
    /// The run of that name, to be looked at.
    ///
    /// # Errors
    /// There is none.
    pub fn run(&self, name: &RunName) -> Result<RunId, Failure> {
        Ok(engine::find_run(&self.journal, self.project.as_deref(), &name.0)?)
    }
    /// The run of that name, to do something with it.
    ///
    /// # Errors
    /// There is none, or it is another project's.
    pub fn own_run(&self, name: &RunName) -> Result<RunId, Failure> {
        let run = self.run(name)?;
        if let Some(here) = &self.project {
            engine::belongs(&self.journal, here, &run)?;
        }
        Ok(run)
    }
}

impl Face {
    /// Reads `svcops.yaml`; its warnings are `lint`'s to tell.
    ///
    /// # Errors
    /// There is none, or what is wrong with it.
    pub fn project(&self) -> Result<Project, Failure> {
        let actions: Vec<&'static str> = CATALOG.iter().map(|e| e.name).collect();
        Project::open(&self.global.dir, &actions).map_err(|found| {
            let root = Project::find(&self.global.dir).unwrap_or_else(|| self.global.dir.clone());
            words::faults(&root, &found, self.screen.paint.on())
        })
    }

    /// The runbook of a name or a path, with every step bound to its hosts: a typo in the last step must not be found when
    /// the first ones are done. Its warnings are `lint`'s to tell.
    ///
    /// # Errors
    /// There is none, or what is wrong with it.
    pub fn runbook(&self, project: &Project, name: &str) -> Result<Runbook, Failure> {
        let wrong = |found: Faults| words::faults(&project.root, &found, self.screen.paint.on());
        let runbook = project.runbook(name).map_err(wrong)?;
        let mut found = engine::lint::lint_runbook(project, &runbook, CATALOG);
        found.0.retain(|fault| fault.severity == Severity::Error);
        if found.is_empty() { Ok(runbook) } else { Err(wrong(found)) }
    }

    /// Opens the journal and the locks of this project.
    ///
    /// # Errors
    /// They cannot be opened or made.
    pub fn open(&self, project: &str) -> Result<Opened, Failure> {
        let state = State::of(project, &self.wish())?;
        for warning in &state.warnings {
            if !self.global.quiet {
                self.screen.tell(&Message::warning(warning));
            }
        }
        let journal = SqliteJournal::open(&state.dir)?;
        let project = (!project.is_empty()).then(|| project.to_owned());
        Ok(Opened { locks: Locks::open(&state.dir)?, journal, state: state.dir, project })
    }

    /// As [`Face::open`], for who writes nothing: a journal that is there and may only be read will do.
    ///
    /// # Errors
    /// As there.
    pub fn open_to_read(&self, project: &str) -> Result<Opened, Failure> {
        let there = State::there(project, &self.wish()).filter(|dir| SqliteJournal::is_only_read(dir));
        let Some(state) = there else { return self.open(project) };
        let journal = SqliteJournal::read(&state)?;
        let project = (!project.is_empty()).then(|| project.to_owned());
        Ok(Opened { locks: Locks::asked(&state), journal, state, project })
    }

    /// What decides where the state is.
    pub fn wish(&self) -> Wish {
        let path = |name| env::value(name).map(PathBuf::from);
        Wish { given: self.global.state.clone(), xdg_state_home: path(env::XDG_STATE_HOME), home: path(env::HOME) }
    }

    /// As [`Face::open`]; where `--state` names the directory, no project is needed to find it.
    ///
    /// # Errors
    /// As there, and what is wrong with the project.
    pub fn open_past(&self) -> Result<(Opened, Option<Project>), Failure> {
        self.past_by(Self::open)
    }

    /// As [`Face::open_past`], for who writes nothing.
    ///
    /// # Errors
    /// As there.
    pub fn read_past(&self) -> Result<(Opened, Option<Project>), Failure> {
        self.past_by(Self::open_to_read)
    }

    /// Whether there is a journal, for who must not make one.
    ///
    /// # Errors
    /// There is none, and where it would be.
    pub fn journal_is_there(&self) -> Result<(), Failure> {
        let project = match self.project() {
            Ok(project) => project.inventory.project,
            Err(_) if self.global.state.is_some() => String::new(),
            Err(failure) => return Err(failure),
        };
        let places = State::places(&project, &self.wish());
        // what must not be looked at is told of by who opens it
        let missing = |dir: &PathBuf| {
            std::fs::metadata(dir.join(FILE)).is_err_and(|why| {
                matches!(why.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
            })
        };
        let Some(last) = places.last().filter(|_| places.iter().all(missing)) else { return Ok(()) };
        let message = Message::error(format!("there is no journal in `{}`", last.display()));
        Err(Failure::wrong(message.hint("`--state DIR` names another place; a run makes a journal")))
    }

    fn past_by(
        &self,
        open: impl Fn(&Self, &str) -> Result<Opened, Failure>,
    ) -> Result<(Opened, Option<Project>), Failure> {
        match self.project() {
            Ok(project) => Ok((open(self, &project.inventory.project)?, Some(project))),
            Err(_) if self.global.state.is_some() => Ok((open(self, "")?, None)),
            Err(failure) => Err(failure),
        }
    }
}
