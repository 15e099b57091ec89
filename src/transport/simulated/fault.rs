//! What goes wrong with an act, and what then becomes of it.

use super::{Terms, links::Key, standing::undone, world::World};
use crate::base::{Act, At, Change, Outcome, PgChange, Receipt, Span, TaskId, Way};

/// What goes wrong with an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It is refused; nothing happens.
    Refused,
    /// It fails before it has an effect.
    FailedBefore,
    /// It fails after its effect.
    FailedAfter,
    /// Contact is lost before it begins.
    LostBefore,
    /// Contact is lost after it was done.
    LostAfter,
    /// It says that it went well, and had no effect. Where nobody could see an effect, it has it.
    NoEffect,
    /// What it starts never becomes healthy.
    Sick,
    /// It has its effect and does not end: it is ended at its deadline.
    TimedOut,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Refused,
        Self::FailedBefore,
        Self::FailedAfter,
        Self::LostBefore,
        Self::LostAfter,
        Self::NoEffect,
        Self::Sick,
        Self::TimedOut,
    ];
}

/// Which act goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// The one of that number, from 0.
    Act(usize),
    /// The next one that takes this task back.
    UndoOf(TaskId),
}

impl World {
    /// What goes wrong with the act that begins now.
    pub(super) fn fault_of(&mut self, act: &Act) -> Option<Fault> {
        let concerns = |when: &When| match when {
            When::Act(number) => *number == self.acts,
            When::UndoOf(task) => {
                (act.way == Way::Undo && act.task == *task) || undone(&act.task).as_ref() == Some(task)
            }
        };
        let at = self.faults.iter().position(|(when, _)| concerns(when))?;
        Some(self.faults.swap_remove(at).1)
    }

    /// Has the effect, as far as the fault lets it.
    pub(super) fn carried(&mut self, act: &Act, change: &At<Change>, fault: Option<Fault>, terms: Terms) -> Receipt {
        let here = change.at.host.is_none();
        match fault {
            Some(Fault::Refused) => {
                self.bitten += 1;
                let why = match change.what {
                    Change::Mail(_) => "the mail server: 550 not allowed",
                    Change::UpdateRecord(_) => "the name server refuses updates (REFUSED)",
                    _ if here => "not allowed",
                    _ => "sudo: not allowed",
                };
                return Receipt::of(Outcome::Refused(why.into()));
            }
            Some(Fault::FailedBefore) => {
                self.bitten += 1;
                return failed("exit 1");
            }
            // from here nothing was sent
            Some(Fault::LostBefore) => return failed("connection refused"),
            Some(Fault::NoEffect) if self.shows(change) => {
                self.bitten += 1;
                return Receipt { code: Some(0), ..Receipt::of(Outcome::Ok) };
            }
            _ => {}
        }
        let running: Vec<Key> = self.young().cloned().collect();
        let code = match self.effect(change) {
            Ok(code) => code,
            Err(why) => return failed(&why),
        };
        *self.effects.entry((act.task.clone(), act.way, act.number)).or_default() += 1;
        self.mark(act, change);
        match fault {
            Some(Fault::FailedAfter) => {
                self.bitten += 1;
                failed("exit 1")
            }
            Some(Fault::LostAfter) => {
                self.bitten += 1;
                let lost = || Receipt::of(Outcome::Unknown("the connection broke before an answer came".into()));
                match here {
                    true if change.what.is_told_by_a_look() => failed("no answer came"),
                    true => lost(),
                    false => Receipt { code, ..Receipt::of(Outcome::Ok) },
                }
            }
            Some(Fault::TimedOut) => {
                self.bitten += 1;
                let within = Span(terms.within);
                Receipt::of(if here && !change.what.is_told_by_a_look() {
                    Outcome::Unknown(format!("no answer within {within}"))
                } else {
                    Outcome::Failed(format!("it ran out of time after {within} and was ended"))
                })
            }
            Some(Fault::Sick) => {
                let new: Vec<Key> = self.young().filter(|k| !running.contains(k)).cloned().collect();
                let silent = match (&change.what, &change.at.host) {
                    (Change::Postgres { spot, change }, Some(host)) => self.sicken_cluster(host, spot, change),
                    _ => false,
                };
                self.bitten += usize::from(!new.is_empty() || silent);
                for key in new {
                    if let Some(process) = self.processes.get_mut(&key) {
                        process.sick = true;
                    }
                }
                Receipt { code, ..Receipt::of(Outcome::Ok) }
            }
            _ => Receipt { code, ..Receipt::of(Outcome::Ok) },
        }
    }

    /// Whether a look could tell that it had its effect.
    fn shows(&self, change: &At<Change>) -> bool {
        match &change.what {
            Change::Tell(_) | Change::Mail(_) | Change::Ask { .. } => false,
            Change::Postgres { change, .. } => *change != PgChange::Checkpoint,
            Change::Run(run) => self.links.command(change.at.host.as_ref(), run).is_some(),
            _ => true,
        }
    }
}

fn failed(why: &str) -> Receipt {
    Receipt { code: Some(1), ..Receipt::of(Outcome::Failed(why.into())) }
}
