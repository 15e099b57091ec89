//! The exit codes: an interface that scripts and schedulers read. They stand in `svcops --help`.

use crate::journal::event::End;

/// How a command that acts ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExitCode {
    /// Done and verified, or nothing to do.
    Done,
    /// Failed; every target is as before.
    AsBefore,
    /// The command line or a file is wrong; nothing was touched.
    Wrong,
    /// Failed; something stands or is owed, and the journal says what.
    Stands,
    /// The outcome is unknown: a person must look.
    Unknown,
    /// `plan --detailed-exitcode`: there are changes.
    Changes,
    /// Not now: a lock is held, or a resource is in doubt; nothing was touched.
    NotNow,
    /// Not allowed; nothing was touched.
    NotAllowed,
    /// Interrupted; `svcops resume` goes on.
    Interrupted,
}

impl ExitCode {
    /// All of them, in the order of their numbers.
    pub const ALL: &[Self] = &[
        Self::Done,
        Self::AsBefore,
        Self::Wrong,
        Self::Stands,
        Self::Unknown,
        Self::Changes,
        Self::NotNow,
        Self::NotAllowed,
        Self::Interrupted,
    ];

    /// The number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::AsBefore => 1,
            Self::Wrong => 2,
            Self::Stands => 3,
            Self::Unknown => 4,
            Self::Changes => 10,
            Self::NotNow => 75,
            Self::NotAllowed => 77,
            Self::Interrupted => 130,
        }
    }

    /// What it means for verbs that act.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done and verified, or nothing to do",
            Self::AsBefore => "failed; every target is as before",
            Self::Wrong => "the command line or a file is wrong; nothing was touched",
            Self::Stands => "failed; something stands or is owed, and the journal says what",
            Self::Unknown => "outcome unknown: a person must look; never retried by itself",
            Self::Changes => "`plan --detailed-exitcode`: there are changes",
            Self::NotNow => "not now: lock held, or resource in doubt; nothing was touched",
            Self::NotAllowed => "not allowed: limit, or the plan drifted; nothing was touched",
            Self::Interrupted => "interrupted; `svcops resume` goes on",
        }
    }

    /// What it means for verbs that check, where that is something else.
    pub const fn checked(self) -> &'static str {
        match self {
            Self::Done => "OK",
            Self::AsBefore => "WARNING",
            Self::Wrong => "CRITICAL",
            Self::Stands => "UNKNOWN",
            _ => "",
        }
    }

    /// The table, for `--help`.
    pub fn table() -> String {
        let mut text = String::from("Exit codes of verbs that act:\n");
        for code in Self::ALL {
            text += &format!("  {:>3}  {}\n", code.number(), code.meaning());
        }
        text += "Where several hold: 4 before 3 before 130 before 1.\n\n";
        text += "Exit codes of verbs that check (status, app status, cert check, doctor, failover status,\nhistory verify):\n ";
        let mut checks = Self::ALL.iter().filter(|c| !c.checked().is_empty()).peekable();
        while let Some(code) = checks.next() {
            text += &format!(" {} {}{}", code.number(), code.checked(), if checks.peek().is_some() { "," } else { "" });
        }
        text + " (also wrong usage)"
    }
}

impl From<End> for ExitCode {
    fn from(end: End) -> Self {
        match end {
            End::Done => Self::Done,
            End::RolledBack => Self::AsBefore,
            End::Failed => Self::Stands,
            End::Unknown => Self::Unknown,
            End::NotNow => Self::NotNow,
            End::NotAllowed => Self::NotAllowed,
            End::Stopped => Self::Interrupted,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_journal_agree() {
        for end in [End::Done, End::RolledBack, End::Failed, End::Unknown, End::Stopped, End::NotNow, End::NotAllowed] {
            assert_eq!(ExitCode::from(end).number(), end.code(), "{end:?}");
        }
        let numbers: Vec<u8> = ExitCode::ALL.iter().map(|c| c.number()).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
}
