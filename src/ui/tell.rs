//! What is told of a large step instead of a line a host: how far it is every so often, and how it ended. So a fleet of
//! five hundred does not flood a log, and what is wrong or slow is named in it all the same.

use super::{
    board::{Board, MANY, Step, Tally},
    lines::{self, Weight, span},
};
use crate::base::{TaskId, Way};
use crate::journal::event::Event;
use jiff::Timestamp;
use std::{collections::BTreeMap, time::Duration};

/// What was told when.
#[derive(Debug, Default)]
pub struct Told {
    /// By step: when its batch under way was told of last, and whether its end was.
    steps: BTreeMap<String, Last>,
    back: Option<Timestamp>,
    looked: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    since: Timestamp,
    at: Timestamp,
    end: bool,
}

/// A large step is told of again after this long.
pub const EVERY: Duration = Duration::from_secs(15);

impl Told {
    /// The lines that are due now.
    pub fn due(&mut self, board: &Board, now: Timestamp) -> Vec<(Weight, String)> {
        let mut lines = Vec::new();
        for step in board.steps.iter().filter(|s| large(board, s)) {
            let fresh = Last { since: step.since, at: step.since, end: false };
            let last = self.steps.entry(step.number.clone()).or_insert(fresh);
            if last.since != step.since {
                *last = fresh;
            }
            let follows = step.number.contains(".then");
            if !last.end && (step.closed || (!follows && step.over())) {
                last.end = true;
                lines.push((Weight::Ends, format!("{} after {}", counted(board, step), took(step.since, now))));
            } else if !last.end && !follows && lines::between(last.at, now) >= EVERY {
                last.at = now;
                lines.push((Weight::Begins, format!("{}{}", counted(board, step), slowest(board, step, now))));
            }
        }
        if let Some(back) = board.back.as_ref().filter(|b| b.of.len() > MANY) {
            let last = self.back.get_or_insert(back.since);
            if lines::between(*last, now) >= EVERY {
                *last = now;
                lines.push((Weight::Begins, format!("rolling back: {} of {} undone", back.done, back.of.len())));
            }
        }
        if let (Some((done, of)), Some((what, since))) = (board.looked, &board.doing) {
            let last = self.looked.get_or_insert(*since);
            if lines::between(*last, now) >= EVERY {
                *last = now;
                lines.push((Weight::Begins, format!("{what}: {done} of {of}, after {}", took(*since, now))));
            }
        }
        lines
    }
}

/// The task that an event is about.
pub fn task_of(event: &Event) -> Option<(&TaskId, Way)> {
    match event {
        Event::Began(began) => Some((&began.task, Way::Forward)),
        Event::Skipped { task, .. } => Some((task, Way::Forward)),
        Event::UndoBegan { task } => Some((task, Way::Undo)),
        Event::Announced { task, way, .. } | Event::Carried { task, way, .. } | Event::Ended { task, way, .. } => {
            Some((task, *way))
        }
        _ => None,
    }
}

/// A consequence is as large as the step that it follows from.
fn large(board: &Board, step: &Step) -> bool {
    let root = step.number.split(".then").next().unwrap_or_default();
    step.hosts > MANY || (root != step.number && board.step(root).is_some_and(|s| s.hosts > MANY))
}

fn counted(board: &Board, step: &Step) -> String {
    let batch = step.batch.map_or_else(String::new, |b| format!(", batch {} of {}", b.number, b.of));
    let under_way = if step.closed { 0 } else { board.under_way(&step.number).count() };
    let mut words: Vec<String> =
        step.words(step.now, under_way).into_iter().map(|(n, word)| format!("{n} {word}")).collect();
    let to_come = step.hosts.saturating_sub(step.now.over() + under_way);
    if to_come > 0 {
        words.push(format!("{to_come} {}", if step.closed { "not begun" } else { "to come" }));
    }
    if step.now == Tally::default() && words.is_empty() {
        words.push("nothing".to_owned());
    }
    format!("step {} {}{batch}: {}", step.number, super::paint::plain(&step.name), words.join(" · "))
}

/// The host that is at it for the longest time, where that is long.
fn slowest(board: &Board, step: &Step, now: Timestamp) -> String {
    let slow = board.under_way(&step.number).min_by_key(|turn| turn.since);
    let slow = slow.filter(|turn| lines::between(turn.since, now) >= EVERY);
    slow.map_or_else(String::new, |turn| format!("; longest: {}, {}: {}", turn.host, took(turn.since, now), turn.what))
}

fn took(from: Timestamp, to: Timestamp) -> String {
    span(lines::between(from, to))
}
