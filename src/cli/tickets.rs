//! Tickets of runs: who delivers, where to, and what is said about it at the end of a command.

use super::{Face, exit::ExitCode, history, report, stage::Set, words::Failure};
use crate::{
    base::{RunId, words::count},
    engine::Order,
    journal::{SqliteJournal, locks::Locks, outbox::Outbox as _},
    ticket::{
        Attachment, Desk, TicketError, TicketSystem as _,
        beside::Beside,
        courier::{Delivery, Post, ReportOf},
        settings::Settings,
    },
    ui::message::Message,
};
use jiff::tz::TimeZone;
use serde_json::Value;
use std::{
    path::Path,
    sync::{Arc, PoisonError},
};

/// What delivers from this journal to the desk beside it.
pub fn post(journal: &Arc<SqliteJournal>, locks: &Arc<Locks>, state: &Path, report: ReportOf) -> Post {
    Post { outbox: journal.clone(), system: Arc::new(Desk::of(state)), locks: Some(locks.clone()), report }
}

/// The report that goes with the end of a run, as its journal has it then.
pub fn report_of(journal: &Arc<SqliteJournal>, zone: TimeZone) -> ReportOf {
    let journal = journal.clone();
    Arc::new(move |run| {
        let page = report::page(&journal, run, &zone);
        let page = page.map_err(|why| tracing::warn!("could not make the report of run {run}: {why}")).ok()?;
        let media = "text/html; charset=utf-8".to_owned();
        Some(Attachment { name: format!("report-{run}.html"), media, bytes: page.into_bytes() })
    })
}

impl From<TicketError> for Failure {
    fn from(error: TicketError) -> Self {
        let message = Message::of(&error);
        match error {
            TicketError::Gone(_) | TicketError::NotAnId { .. } => {
                Self::wrong(message.hint("`svcops ticket list --all` lists the tickets"))
            }
            TicketError::NoAttachment { ticket, .. } => {
                Self::wrong(message.hint(format!("`svcops ticket show {ticket}` lists its files")))
            }
            TicketError::Refused { .. } => Self::wrong(message),
            TicketError::Unavailable { .. } => {
                let hint =
                    "runs go on without it; once it can be used, `svcops ticket sync` delivers what they had to tell";
                Self::new(ExitCode::NotNow, message.hint(hint))
            }
        }
    }
}

impl Set {
    /// Begins to deliver, beside whatever happens on the stage.
    pub fn deliver(&self) {
        let report = report_of(&self.journal, history::zone(self.stage.inventory.timezone.as_deref()));
        let Some(locks) = &self.stage.locks else { return };
        let courier = Beside::start(post(&self.journal, locks, &self.state, report));
        *self.courier.lock().unwrap_or_else(PoisonError::into_inner) = courier;
    }

    /// Delivers what is left, once: nothing to tell where that was done, or where all of it is delivered.
    fn delivered(&self, run: Option<&RunId>, slow: impl FnOnce()) -> Option<Delivery> {
        let courier = self.courier.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(courier.finish(run, slow).unwrap_or_else(|| Delivery {
            left: self.journal.undelivered().map_or(0, |u| u.rows),
            why: vec!["the ticket system did not answer in time".to_owned()],
            ..Delivery::default()
        }))
    }
}

impl Face {
    /// Takes `--ticket` in its ticket system's own form. A ticket that is not there is refused; where nobody can be asked,
    /// the run goes on, unless the project says that it must not.
    ///
    /// # Errors
    /// There is no such ticket, or the ticket system cannot be used and the project requires it.
    pub async fn ticketed(&self, set: &Set, order: Order) -> Result<Order, Failure> {
        let desk = Desk::of(&set.state);
        let id = match order.ticket.as_ref().and_then(Value::as_str) {
            Some(text) => Some(desk.id(text)?),
            None => None,
        };
        let required = Settings::of(set.stage.inventory.tickets.as_ref()).required;
        let able = if required { desk.ready().await } else { Ok(()) };
        let asked = match &id {
            Some(id) if able.is_ok() => desk.show(id).await.map(drop),
            _ => able,
        };
        match asked {
            Err(error @ TicketError::Unavailable { .. }) if !required => {
                set.progress.aside(|| {
                    let message = Message { kind: crate::ui::message::Kind::Warning, ..Message::of(&error) };
                    self.screen.tell(&message.hint("the run goes on; its ticket is told later"));
                });
            }
            Err(error @ TicketError::Unavailable { .. }) => {
                let message = Message::of(&error);
                let message =
                    message.hint("`tickets: {required: true}` lets no run begin without; nothing was touched");
                return Err(Failure::new(ExitCode::NotNow, message));
            }
            asked => asked?,
        }
        Ok(Order { ticket: id.map(|id| Value::String(id.0)).or(order.ticket), ..order })
    }

    /// Waits for what is left to be delivered; nothing is answered the second time.
    pub fn delivered(&self, set: &Set, run: Option<&RunId>) -> Option<Delivery> {
        let quiet = self.global.quiet;
        set.delivered(run, || {
            if !quiet {
                self.screen.note("telling the ticket system …\n");
            }
        })
    }

    /// Says what could not be delivered, and why.
    pub fn tell_tickets(&self, delivery: Option<Delivery>) {
        let Some(delivery) = delivery else { return };
        for note in delivery.notes {
            let hint = "the text of svcops itself stands for it; `svcops lint` finds such faults";
            self.screen.tell(&Message::warning(note).hint(hint));
        }
        if delivery.left == 0 {
            return;
        }
        let wait = if delivery.left == 1 { "waits" } else { "wait" };
        let message = Message::warning(format!("{} for tickets {wait} to be delivered", count("event", delivery.left)));
        let message = delivery.why.into_iter().fold(message, Message::because);
        let message = if delivery.busy { message.because("another svcops delivers now") } else { message };
        self.screen.tell(&message.hint("`svcops ticket sync` delivers them"));
    }

    /// The run's ticket, as far as it is known.
    pub fn ticket_of(&self, set: &Set, run: &RunId) -> Option<String> {
        set.journal.ticket_of(run).ok().flatten().map(|t| t.ticket)
    }
}
