//! What a client has seen so far: counts, and the stretches without a good answer. No clock and no I/O: each answer comes
//! with its moment.

use crate::base::{ClientFacts, ClientOutage, SETTLED};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// A moment by two clocks: people read the wall's, and the other one runs evenly whatever is done to that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moment {
    pub(super) wall: Timestamp,
    /// Since the probe began.
    pub(super) passed: Duration,
}

/// More outages than these are not kept: what is over, the shortest of the early ones first, is forgotten.
const KEPT: usize = 20;

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Log {
    watched: bool,
    up: bool,
    tries: u64,
    failed: u64,
    in_a_row: u32,
    first: Option<Timestamp>,
    good: Option<Moment>,
    over: Vec<ClientOutage>,
    open: Option<Open>,
    why: Option<String>,
}

/// An outage that is not known to be over.
#[derive(Clone, Copy, Debug)]
struct Open {
    since: Moment,
    /// A good answer came at that moment; else the first one that was not good.
    known: bool,
    /// A good answer has come, and too few after it.
    until: Option<Moment>,
    failed: u64,
}

impl Log {
    /// Whether there is anything to tell.
    pub(super) const fn knows(&self) -> bool {
        self.up || self.open.is_some()
    }
    /// A good answer came.
    pub(super) fn good(&mut self, at: Moment) {
        self.count(at);
        self.up = true;
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.good = Some(at);
        if let Some(open) = &mut self.open {
            open.until.get_or_insert(at);
        }
        if self.in_a_row >= SETTLED
            && let Some(open) = self.open.take()
        {
            self.keep(open.told(at));
        }
    }
    /// An answer came that is not good, or none within its time.
    pub(super) fn bad(&mut self, at: Moment, why: &str) {
        self.count(at);
        self.failed += 1;
        self.down(at, why).failed += 1;
    }
    /// An answer does not come, and may come yet.
    pub(super) fn hangs(&mut self, at: Moment, why: &str) {
        self.first.get_or_insert(at.wall);
        self.down(at, why);
    }
    /// The watch begins here: what is over is forgotten. That it is down is not.
    pub(super) fn forget(&mut self) {
        self.watched = true;
        self.over.clear();
        self.first = None;
        self.open = self.open.filter(|_| !self.up);
        self.failed = self.open.map_or(0, |open| open.failed);
        self.tries = self.failed;
        if self.up {
            self.why = None;
        }
    }
    /// All of it.
    pub(super) fn facts(&self, now: Moment) -> ClientFacts {
        ClientFacts {
            up: self.up,
            watched: self.watched,
            tries: self.tries,
            failed: self.failed,
            in_a_row: self.in_a_row,
            first: self.first,
            last_up: self.good.map(|good| good.wall),
            outages: self.over.iter().cloned().chain(self.open.map(|open| open.told(now))).collect(),
            why: self.why.clone(),
        }
    }

    fn count(&mut self, at: Moment) {
        self.tries += 1;
        self.first.get_or_insert(at.wall);
    }
    fn down(&mut self, at: Moment, why: &str) -> &mut Open {
        self.up = false;
        self.in_a_row = 0;
        self.why = Some(why.to_owned());
        let since = self.good.unwrap_or(at);
        let open = self.open.get_or_insert(Open { since, known: self.good.is_some(), until: None, failed: 0 });
        open.until = None;
        open
    }
    fn keep(&mut self, outage: ClientOutage) {
        self.over.push(outage);
        if self.over.len() > KEPT {
            let early = self.over.len() - KEPT / 2;
            let shortest = self.over.iter().take(early).enumerate().min_by_key(|(_, outage)| outage.micros);
            if let Some(at) = shortest.map(|(at, _)| at) {
                self.over.remove(at);
            }
        }
    }
}

impl Open {
    fn told(&self, now: Moment) -> ClientOutage {
        let lasted = self.until.unwrap_or(now).passed.saturating_sub(self.since.passed);
        let micros = u64::try_from(lasted.as_micros()).unwrap_or(u64::MAX);
        let signed = SignedDuration::from_micros(i64::try_from(micros).unwrap_or(i64::MAX));
        let until = self.until.and_then(|_| self.since.wall.checked_add(signed).ok());
        ClientOutage { from: self.known.then_some(self.since.wall), until, micros, failed: self.failed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        let wall = Timestamp::from_millisecond(1_795_000_000_000 + i64::try_from(millis).unwrap()).unwrap();
        Moment { wall, passed: Duration::from_millis(millis) }
    }
    fn good(log: &mut Log, from: u64, count: u64) {
        (0..count).for_each(|n| log.good(at(from + 10 * n)));
    }
    fn outages(log: &Log, now: u64) -> Vec<(u64, bool, u64)> {
        log.facts(at(now)).outages.iter().map(|o| (o.micros / 1000, o.until.is_some(), o.failed)).collect()
    }

    #[test]
    fn an_outage_lasts_from_the_last_good_answer_to_the_first_of_a_row_of_good_ones() {
        let mut log = Log::default();
        good(&mut log, 0, 10);
        assert_eq!(outages(&log, 100), []);
        log.bad(at(100), "connection refused");
        log.bad(at(110), "connection refused");
        assert_eq!(outages(&log, 115), [(25, false, 2)]);
        // half of a switch answers once, and not again: that is no end
        good(&mut log, 120, 2);
        log.bad(at(140), "it may not write");
        assert_eq!(outages(&log, 150), [(60, false, 3)]);
        good(&mut log, 150, 4);
        let facts = log.facts(at(185));
        assert!(facts.up && !facts.steady(SETTLED) && facts.outages[0].until == Some(at(150).wall), "{facts:?}");
        log.good(at(190));
        let facts = log.facts(at(500));
        assert_eq!((facts.outages[0].from, facts.outages[0].micros), (Some(at(90).wall), 60_000));
        assert_eq!((facts.tries, facts.failed, facts.why.as_deref()), (20, 3, Some("it may not write")));
        assert!(facts.steady(SETTLED));
    }

    #[test]
    fn an_answer_that_hangs_is_an_outage_though_none_fails() {
        let mut log = Log::default();
        good(&mut log, 0, 5);
        log.hangs(at(100), "no answer");
        good(&mut log, 840, 5);
        assert_eq!(outages(&log, 900), [(800, true, 0)]);
    }

    #[test]
    fn a_service_that_never_answered_is_out_since_an_unknown_moment() {
        let mut log = Log::default();
        log.bad(at(30), "connection refused");
        log.bad(at(40), "connection refused");
        good(&mut log, 50, 5);
        let facts = log.facts(at(100));
        assert_eq!((facts.outages[0].from, facts.outages[0].micros), (None, 20_000));
        assert_eq!(facts.outages[0].until, Some(at(50).wall));
    }

    #[test]
    fn a_watch_forgets_what_was_before_it_but_not_that_it_is_down() {
        let mut log = Log::default();
        log.bad(at(0), "x");
        good(&mut log, 10, 5);
        log.bad(at(60), "x");
        good(&mut log, 70, 2);
        log.forget();
        let facts = log.facts(at(90));
        assert_eq!((facts.tries, facts.failed, facts.in_a_row, facts.outages.len()), (0, 0, 2, 0));
        assert!(facts.watched && facts.up);
        log.bad(at(100), "x");
        log.forget();
        log.good(at(110));
        assert_eq!(outages(&log, 111), [(30, true, 1)], "{log:?}");
        assert_eq!((log.facts(at(111)).tries, log.facts(at(111)).failed), (2, 1));
    }

    #[test]
    fn of_many_outages_the_longest_and_the_latest_are_kept() {
        let mut log = Log::default();
        let mut now = 0;
        for n in 0..500 {
            good(&mut log, now, 5);
            now += 50;
            log.bad(at(now), "x");
            now += if n == 7 { 5_000 } else { 10 + n % 3 };
        }
        good(&mut log, now, 5);
        let seen = outages(&log, now + 50);
        assert_eq!(seen.len(), KEPT);
        assert!(seen.iter().any(|(millis, ..)| *millis > 5_000), "{seen:?}");
        let last = log.facts(at(now + 50)).outages.pop().unwrap();
        assert_eq!(last.until, Some(at(now).wall));
        assert_eq!(log.facts(at(now)).failed, 500);
    }

    #[test]
    fn a_wall_clock_that_somebody_sets_does_not_lengthen_an_outage() {
        let mut log = Log::default();
        good(&mut log, 0, 5);
        let set = |n: u64| Moment { passed: at(n).passed, ..at(n + 3_600_000) };
        log.bad(set(60), "x");
        (7..12).for_each(|n| log.good(set(n * 10)));
        let facts = log.facts(set(200));
        assert_eq!((facts.outages[0].micros, facts.outages[0].until), (30_000, Some(at(70).wall)));
    }
}
