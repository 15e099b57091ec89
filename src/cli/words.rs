//! The library's errors in words for people: what did not happen, why, what to do next, and with which exit code. Worded
//! here and nowhere else.

use super::exit::ExitCode;
use crate::{
    base::words::count,
    engine::EngineError,
    journal::JournalError,
    transport::{Lost, LostKind, shell::quote},
    ui::{faults, message::Message},
    yaml::{Faults, Folder},
};

/// Why a command ends before its work is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The words.
    pub message: Box<Message>,
    /// The code.
    pub code: ExitCode,
}

impl Failure {
    /// The command line or a file is wrong.
    pub fn wrong(message: Message) -> Self {
        Self::new(ExitCode::Wrong, message)
    }
    /// A failure with its code.
    pub fn new(code: ExitCode, message: Message) -> Self {
        Self { message: Box::new(message), code }
    }
    /// With a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.message.hints.push(hint.into());
        self
    }
    /// A file that could not be written or read.
    pub fn file(act: &str, path: &std::path::Path, why: &std::io::Error) -> Self {
        Self::wrong(
            Message::error(format!("could not {act} `{}`", path.display())).because(crate::base::words::io(why)),
        )
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        let message = Message::of(&error);
        Self::wrong(match error {
            JournalError::NoRun(_) => message.hint(
                "`svcops history list` lists the runs; `--state` or `SVCOPS_STATE` names another state directory",
            ),
            JournalError::BadRow { .. } | JournalError::NoContent(_) | JournalError::BadContent(_) => {
                message.hint("`svcops history verify` says whether the journal was changed")
            }
            JournalError::TooNew { .. } => message.hint("a newer svcops has written it: use that one"),
            JournalError::Store { .. } | JournalError::File { .. } | JournalError::Closed(_) => {
                message.hint("`svcops doctor` looks at the state directory")
            }
        })
    }
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Self {
        let host = lost.host.as_ref().map_or_else(|| "this machine".to_owned(), |h| format!("`{h}`"));
        let message = Message::error(format!("could not reach {host}")).because(lost.why.clone());
        let hint = match (lost.kind, &lost.host) {
            (LostKind::HostKey, Some(h)) => {
                format!("`ssh-keygen -R {h}` forgets the old key, once it is certain that it changed")
            }
            (LostKind::Denied, Some(h)) => format!("`ssh {h}` shows whether the login works by hand"),
            (_, Some(h)) => format!("`svcops doctor -l {h}` tries the way there step by step"),
            (_, None) => "`svcops doctor` looks at this machine".to_owned(),
        };
        Self::new(ExitCode::AsBefore, message.hint(hint))
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let message = Message::of(&error);
        match error {
            EngineError::Journal(JournalError::Store { .. } | JournalError::File { .. } | JournalError::Closed(_)) => {
                let message = message.hint("`svcops history list` names the run; `svcops resume RUN` goes on with it");
                Self::new(ExitCode::Stands, message.hint("`svcops doctor` looks at the state directory"))
            }
            EngineError::Journal(error) => error.into(),
            EngineError::Locks(_) => {
                Self::new(ExitCode::NotNow, message.hint("`svcops history list` shows what is under way"))
            }
            EngineError::NoReturn { run, .. } => {
                Self::new(ExitCode::NotAllowed, message.hint(format!("`svcops resume {run}` goes forward")))
            }
            EngineError::NotSo { run, .. } => {
                Self::wrong(message.hint(format!("`svcops history show {run}` says how it stands")))
            }
            EngineError::Recorded { .. } => Self::wrong(
                message.hint("the svcops that recorded it reads it; `svcops history show` names its version"),
            ),
            EngineError::Foreign { root, .. } => {
                Self::wrong(message.hint(format!("`-C {}` works in that one", quote(&root))))
            }
            EngineError::NoRuns | EngineError::NoRunsOf(_) | EngineError::NotARunId(_) => {
                Self::wrong(message.hint("`svcops history list` lists the runs"))
            }
            EngineError::Script(_) | EngineError::Plan(_) => {
                Self::wrong(message.hint("`svcops lint` finds every fault at once"))
            }
        }
    }
}

/// What is wrong with the files of a project, with the lines it stands in.
pub fn faults(root: &std::path::Path, faults: &Faults, colour: bool) -> Failure {
    if let [only] = faults.0.as_slice()
        && only.spot.file.is_empty()
    {
        let message = Message::error(only.message.clone());
        return Failure::wrong(match &only.hint {
            Some(hint) => message.hint(hint),
            None => message,
        });
    }
    let mut message =
        Message::error(format!("{} in the project's files; nothing was touched", count("fault", faults.0.len())));
    message.block = Some(faults::pretty(faults, &Folder(root.to_owned()), colour));
    Failure::wrong(message)
}
