//! The events of a run in words, as an appendix: all of them while there is room, else those that tell of trouble.

use super::escape;
use crate::{
    base::{HostName, TaskId},
    journal::event::{Event, Record},
    ui::history::Timeline,
};
use jiff::tz::TimeZone;
use std::collections::BTreeSet;

/// The events as far as they are shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Events {
    /// As `history show` draws them.
    pub text: String,
    /// So many of them are drawn.
    pub drawn: usize,
    /// Of so many.
    pub of: usize,
}

/// Columns of a line.
const WIDTH: usize = 110;

/// The events in at most `room` bytes as a page has them. Where they are more, those of hosts without trouble are left out; where that is not
/// enough, the last ones.
pub(super) fn events(records: &[Record], zone: &TimeZone, troubled: &BTreeSet<&HostName>, room: usize) -> Events {
    let draw = |wanted: &dyn Fn(&Record) -> bool| {
        let mut timeline = Timeline::new(zone.clone(), WIDTH);
        let mut events = Events { of: records.len(), ..Events::default() };
        let (mut complete, mut size) = (true, 0);
        for record in records.iter().filter(|record| wanted(record)) {
            let drawn = timeline.draw(record);
            size += escape::text(&drawn).len();
            if size > room {
                complete = false;
                break;
            }
            events.text += &drawn;
            events.drawn += 1;
        }
        (events, complete)
    };
    let (all, complete) = draw(&|_| true);
    if complete {
        return all;
    }
    let host = |task: &TaskId| task.as_str().rsplit_once('@').map(|(_, host)| HostName::new(host));
    draw(&|record| task(&record.event).and_then(host).is_none_or(|host| troubled.contains(&host))).0
}

/// The task that an event is about; none: it is about the run.
fn task(event: &Event) -> Option<&TaskId> {
    match event {
        Event::Began(began) => Some(&began.task),
        Event::Skipped { task, .. }
        | Event::UndoBegan { task }
        | Event::Announced { task, .. }
        | Event::Carried { task, .. }
        | Event::Retried { task, .. }
        | Event::InDoubt { task, .. }
        | Event::Resolved { task, .. }
        | Event::Waived { task, .. }
        | Event::Ended { task, .. } => Some(task),
        Event::Started(_)
        | Event::Refused { .. }
        | Event::Locked { .. }
        | Event::Resumed { .. }
        | Event::Phase { .. }
        | Event::RollingBack { .. }
        | Event::RolledBack { .. }
        | Event::Stopping { .. }
        | Event::Paid { .. }
        | Event::Finished(_) => None,
    }
}
