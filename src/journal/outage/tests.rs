//! Outages, as events tell them.

use super::*;
use crate::{
    base::{Change, Outcome, Place, Receipt, RunId},
    journal::state::RunState,
};
use proptest::prelude::*;

/// Microseconds after some moment.
fn at(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(1_795_000_000_000_000 + micros).unwrap()
}

#[derive(Default)]
struct Story(Vec<Record>);

impl Story {
    fn say(&mut self, millis: i64, event: Event) -> &mut Self {
        let seq = self.0.len() as u64 + 1;
        self.0.push(Record { run: RunId::at_millis(1), seq, at: at(millis * 1000), event });
        self
    }
    fn begin(&mut self, millis: i64, number: &str, action: &str, value: Value) -> &mut Self {
        let began = json!({
            "task": format!("{number}@lb"), "step": number, "name": format!("step {number}"), "host": "lb",
            "action": action, "value": value, "within": "5m",
        });
        self.say(millis, Event::Began(serde_json::from_value(began).unwrap()))
    }
    fn end(&mut self, millis: i64, number: &str, seen: Value) -> &mut Self {
        let how = How::Done { outputs: Value::Null };
        let task = TaskId::from(format!("{number}@lb").as_str());
        self.say(millis, Event::Ended { task, way: Way::Forward, how, seen: Some(seen), changed: false })
    }
    fn announce(&mut self, millis: i64, number: &str) -> &mut Self {
        let task = TaskId::from(format!("{number}@lb").as_str());
        let changes = vec![Place::HERE.at(Change::StartUnit("x.service".into()))];
        let (expect, boot) = (Value::Null, String::new());
        self.say(
            millis,
            Event::Announced { task, way: Way::Forward, number: 0, changes, expect, boot, no_return: false },
        )
    }
    fn carry(&mut self, millis: i64, number: &str, took: Option<u64>) -> &mut Self {
        let task = TaskId::from(format!("{number}@lb").as_str());
        let receipt = Receipt { micros: took.map(|ms| ms * 1000), ..Receipt::of(Outcome::Ok) };
        self.say(millis, Event::Carried { task, way: Way::Forward, number: 0, receipt })
    }
    /// A step from one moment to another that acts between two others; told in the order of time.
    fn act(&mut self, number: &str, action: &str, moments: [i64; 4]) -> &mut Self {
        let [began, announced, carried, ended] = moments;
        self.begin(began, number, action, Value::Null).announce(announced, number);
        self.carry(carried, number, Some((carried - announced).unsigned_abs())).end(ended, number, Value::Null)
    }
    fn watch(&mut self, millis: i64, number: &str) -> &mut Self {
        let value = json!({"sight": {"service": "crm"}, "down": false});
        self.begin(millis, number, "service.watch", value).end(millis + 1, number, json!({}))
    }
    fn verify(&mut self, from: i64, to: i64, number: &str, seen: &ClientFacts) -> &mut Self {
        let value = json!({
            "sight": {"service": "crm"}, "promise": {"rto": "30s", "rpo": "0B", "rpo_bytes": 0}, "within": "1m",
        });
        self.begin(from, number, "service.verify", value).end(to, number, json!(seen))
    }
    fn outages(&self) -> Vec<Outage> {
        RunState::fold(&self.0).outages()
    }
}

fn seen(from: i64, until: i64, failed: u64) -> ClientFacts {
    let micros = u64::try_from((until - from) * 1000).unwrap();
    let outage = ClientOutage { from: Some(at(from * 1000)), until: Some(at(until * 1000)), micros, failed };
    ClientFacts { failed, tries: 700, outages: vec![outage], ..ClientFacts::steadily(true) }
}

fn told(outage: &Outage) -> Vec<(String, u64, u64)> {
    let name = |what: &What| match what {
        What::Before => "before".to_owned(),
        What::Step { name, back, .. } => format!("{name}{}", if *back { " back" } else { "" }),
        What::After => "after".to_owned(),
    };
    outage.phases.iter().map(|phase| (name(&phase.what), phase.ms, phase.acts_ms)).collect()
}

fn switch() -> Story {
    let mut story = Story::default();
    story.watch(0, "1");
    story.act("2", "postgres.mask", [20, 21, 90, 95]);
    // the last good answer at 100, while the first step of the outage is prepared
    story.act("3", "haproxy.drain", [104, 105, 110, 112]);
    story.act("4", "postgres.stop", [115, 117, 160, 165]);
    story.act("5", "postgres.promote", [170, 180, 210, 215]);
    story.act("6", "haproxy.enable", [216, 218, 220, 222]);
    story.verify(224, 330, "7", &seen(100, 243, 14));
    story
}

#[test]
fn the_phases_of_an_outage_are_the_steps_that_lie_in_it_and_their_sum_is_all_of_it() {
    let outages = switch().outages();
    let [outage] = &outages[..] else { panic!("{outages:?}") };
    let phases = [
        ("before", 4, 0),
        ("step 3", 8, 5),
        ("step 4", 53, 43),
        ("step 5", 50, 30),
        ("step 6", 7, 2),
        ("after", 21, 0),
    ];
    let phases: Vec<_> = phases.into_iter().map(|(name, ms, acts)| (name.to_owned(), ms, acts)).collect();
    assert_eq!(told(outage), phases);
    assert_eq!((outage.ms, outage.failed, outage.tries, outage.whole, outage.over), (143, 14, 700, true, true));
    assert_eq!(outage.rto_met(), Some(true));
    assert_eq!(outage.phases[2].own_ms(), 10);
}

#[test]
fn what_is_still_under_way_when_the_outage_ends_has_its_part_of_it() {
    let mut story = Story::default();
    story.watch(0, "1").act("2", "haproxy.drain", [90, 95, 105, 106]);
    story.begin(107, "3", "dns.update", Value::Null).announce(110, "3").carry(150, "3", None).end(
        160,
        "3",
        Value::Null,
    );
    story.verify(170, 230, "4", &seen(100, 130, 2));
    let drawn = told(&story.outages()[0]);
    assert_eq!(drawn, [("step 2".into(), 6, 5), ("step 3".into(), 24, 20)]);
}

#[test]
fn what_runs_at_the_same_time_is_told_once() {
    let mut story = Story::default();
    story.watch(0, "1");
    story.begin(100, "2", "jobs.stop", Value::Null).begin(101, "3", "app.stop", Value::Null);
    story.announce(105, "2").announce(110, "3").carry(130, "3", None).end(131, "3", Value::Null);
    story.carry(140, "2", None).end(141, "2", Value::Null);
    story.verify(150, 200, "4", &seen(90, 160, 6));
    let outage = &story.outages()[0];
    assert_eq!(outage.phases.iter().map(|p| p.ms).sum::<u64>(), 70);
    assert_eq!(told(outage).len(), 4, "{:?}", told(outage));
}

#[test]
fn each_watch_has_an_outage_of_its_own_and_the_last_word_of_its_verifies() {
    let mut story = switch();
    story.watch(400, "8").act("9", "postgres.promote", [500, 510, 520, 530]);
    let mut later = seen(505, 525, 1);
    story.verify(540, 600, "10", &later);
    later.outages.push(ClientOutage { micros: 90_000, from: Some(at(700_000)), until: Some(at(790_000)), failed: 8 });
    story.verify(900, 950, "11", &later);
    let outages = story.outages();
    assert_eq!(outages.iter().map(|outage| (outage.ms, outage.count)).collect::<Vec<_>>(), [(143, 1), (90, 2)]);
    // a process that goes on with the run has not seen what was before it
    story.verify(1900, 1950, "12", &ClientFacts { watched: false, ..ClientFacts::steadily(true) });
    assert_eq!(story.outages(), outages);
}

#[test]
fn what_is_out_still_or_was_seen_in_part_is_called_so() {
    let mut story = Story::default();
    story.watch(0, "1").act("2", "haproxy.drain", [90, 95, 105, 106]);
    let open = ClientOutage { from: Some(at(100_000)), until: None, micros: 60_000_000, failed: 900 };
    let down = ClientFacts { outages: vec![open], ..ClientFacts::steadily(false) };
    story.verify(110, 60_100, "3", &down);
    let outage = &story.outages()[0];
    assert_eq!((outage.over, outage.ms, outage.rto_met()), (false, 60_000, Some(false)));
    assert_eq!(outage.phases.iter().map(|p| p.ms).sum::<u64>(), 60_000);

    let mut story = Story::default();
    let part = ClientOutage { from: None, until: Some(at(90_000)), micros: 50_000, failed: 5 };
    let facts = ClientFacts { watched: false, outages: vec![part], ..ClientFacts::steadily(true) };
    story.verify(110, 120, "3", &facts);
    let outage = &story.outages()[0];
    assert_eq!((outage.whole, outage.ms, outage.rto_met()), (false, 50, None));
}

#[test]
fn a_run_that_watches_nothing_keeps_nothing() {
    let mut story = Story::default();
    story.act("2", "haproxy.drain", [90, 95, 105, 106]);
    let state = RunState::fold(&story.0);
    assert!(state.outages().is_empty());
    let mut watches = Watches::default();
    story.0.iter().for_each(|record| watches.take(record));
    assert_eq!(watches, Watches::default());
}

proptest! {
    #[test]
    fn the_sum_is_the_outage_whatever_lies_in_it(
        steps in proptest::collection::vec((0i64..400, 0i64..60, 0i64..60, 0i64..60), 0..12),
        from in 0i64..400,
        long in 1i64..400_000,
    ) {
        let mut events: Vec<(i64, usize, Event)> = Vec::new();
        for (number, (began, one, two, three)) in steps.iter().enumerate() {
            let mut story = Story::default();
            let moments = [*began, began + one, began + one + two, began + one + two + three];
            story.act(&number.to_string(), "x.y", moments);
            events.extend(story.0.into_iter().map(|r| (r.at.as_microsecond(), number, r.event)));
        }
        events.sort_by_key(|(when, number, _)| (*when, *number));
        let mut story = Story::default();
        story.watch(-10, "w");
        for (when, _, event) in events {
            story.say((when - 1_795_000_000_000_000) / 1000, event);
        }
        let micros = u64::try_from(long).unwrap();
        let outage = ClientOutage { from: Some(at(from * 1000 + 7)), until: Some(at(from * 1000 + 7 + long)), micros, failed: 1 };
        let facts = ClientFacts { outages: vec![outage], ..ClientFacts::steadily(true) };
        story.verify(2000, 2001, "v", &facts);
        let outage = &story.outages()[0];
        prop_assert_eq!(outage.phases.iter().map(|p| p.ms).sum::<u64>(), outage.ms);
        prop_assert!(outage.phases.iter().all(|p| p.acts_ms <= p.ms));
    }
}
