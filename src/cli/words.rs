//! The library's errors in words for people: what did not happen, why, what to do next, and with which exit code. Worded
//! here and nowhere else.

use super::exit::ExitCode;
use crate::{
    journal::JournalError,
    transport::{Lost, LostKind},
    ui::message::Message,
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
        Self::wrong(Message::error(format!("could not {act} `{}`", path.display())).because(why.to_string()))
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
