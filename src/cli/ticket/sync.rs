//! `svcops ticket sync`: delivers what the ticket system has not been told yet.

use crate::{
    base::words::count,
    cli::{Face, args::Output, exit::ExitCode, opened::Opened, tickets, words::Failure},
    ticket::courier::{self, Delivery},
    ui::message::Message,
};
use jiff::tz::TimeZone;
use serde_json::json;
use std::sync::Arc;

/// Delivers all that waits, and says what is left and why.
pub(super) fn sync(face: &Face, opened: Opened, zone: TimeZone) -> Result<ExitCode, Failure> {
    let (journal, locks) = (Arc::new(opened.journal), Arc::new(opened.locks));
    let report = tickets::report_of(&journal, zone);
    let post = tickets::post(&journal, &locks, &opened.state, report);
    let delivery = face.runtime()?.block_on(courier::sync(&post))?;
    let code = if delivery.left == 0 { ExitCode::Done } else { ExitCode::NotNow };
    if face.global.output != Output::Table {
        let outcome = if delivery.left == 0 { "done" } else { "not_now" };
        face.screen.json(&json!({
            "schema_version": 1,
            "outcome": outcome,
            "exit_code": code.number(),
            "delivered": delivery.delivered,
            "left": delivery.left,
            "why": delivery.why,
            "busy": delivery.busy,
            "notes": delivery.notes,
        }));
        return Ok(code);
    }
    for note in &delivery.notes {
        face.screen.tell(&Message::warning(note).hint("the text of svcops itself stands for it"));
    }
    if delivery.left > 0 {
        return Err(Failure::new(code, left(delivery)));
    }
    let said = match delivery.delivered {
        0 => "nothing is left to be delivered".to_owned(),
        n => format!("delivered {}", count("event", n)),
    };
    face.screen.data(&format!("{said}\n"));
    Ok(code)
}

fn left(delivery: Delivery) -> Message {
    let sent = match delivery.delivered {
        0 => String::new(),
        n => format!("; {} delivered", count("event", n)),
    };
    let message = Message::error(format!("{} for tickets not delivered{sent}", count("event", delivery.left)));
    if delivery.busy {
        return message.because("another svcops delivers at this moment").hint("`svcops ticket sync` once more, later");
    }
    let message = delivery.why.into_iter().fold(message, Message::because);
    message.hint("they wait in the journal: `svcops ticket sync` tries again")
}
