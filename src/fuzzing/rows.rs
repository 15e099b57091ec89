//! What a journal gives back.

use super::sentence;
use crate::{
    base::{RunId, Way},
    journal::{
        event::{Event, Record},
        state::RunState,
    },
};
use jiff::Timestamp;

/// Rows of a run, one a line: what is read is written as it was read, and any list of events has a state.
pub fn check_events(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let (mut state, mut records) = (RunState::default(), Vec::new());
    for line in text.lines() {
        let event = match serde_json::from_str::<Event>(line) {
            Ok(event) => event,
            Err(why) => {
                sentence(&why.to_string(), 4096 + line.len());
                continue;
            }
        };
        let written = serde_json::to_string(&event).unwrap_or_else(|why| panic!("it cannot be written: {why}"));
        let read = serde_json::from_str::<Event>(&written).unwrap_or_else(|why| panic!("{why}: {written}"));
        assert_eq!(read, event, "written, it is another one");
        let record = Record {
            run: RunId::at_millis(1),
            seq: records.len() as u64 + 1,
            at: Timestamp::from_millisecond(1_760_000_000_000 + i64::try_from(records.len()).unwrap_or(0))
                .unwrap_or(Timestamp::UNIX_EPOCH),
            event,
        };
        state.apply(&record);
        records.push(record);
    }
    assert_eq!(RunState::fold(&records), state, "a state is the fold of its events");
    // what everybody asks a state must have an answer, however odd its events are
    let _any = (state.goes_back(), state.no_return(), state.doubts().count(), state.troubled().count());
    for task in &state.tasks {
        assert_eq!(state.task(&task.began.task).map(|t| &t.began.task), Some(&task.began.task), "a task is not found");
        let _any = (task.acted(), task.stands(), task.doubt(), task.leg(Way::Forward).is_some());
        let _owed = state.owes(&task.began.host);
    }
}
