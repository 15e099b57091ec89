//! The measuring itself: what is held of every switch can fail, and how fast a hand is.

use crate::{
    byhand::ByHand,
    pair::Pair,
    sampler::Watch,
    writer::{DATABASES, FRONT, Writer, sql},
};
use std::time::{Duration, Instant};

#[test]
fn two_primaries_are_seen_and_so_are_the_rows_that_they_cost() {
    let Some(pair) = Pair::take("two_primaries_are_seen_and_so_are_the_rows_that_they_cost") else { return };
    let watch = Watch::start();
    wait(200);
    sql(DATABASES[1].1, "SELECT pg_promote()");
    wait(300);
    let seen = watch.stop();
    assert!(seen.changes() > 5, "{} changes", seen.changes());
    let lost = seen.written[1].lost(DATABASES[0].1);
    assert!(lost.len() > 5, "rows of one are not in the other: {lost:?}");
    drop(pair);
}

#[test]
fn a_switch_by_hand_loses_nothing_and_is_the_floor() {
    let Some(pair) = Pair::take("a_switch_by_hand_loses_nothing_and_is_the_floor") else { return };
    pair.crm().svcops(&["lint"]).exits(0);
    let mut hand = ByHand::ready(&pair);
    let (writer, watch) = (Writer::start("client", FRONT), Watch::start());
    wait(200);
    let mut outages = Vec::new();
    for from in [0, 1] {
        let began = Instant::now();
        hand.switch(from);
        wait(100);
        outages.push((began, Instant::now()));
    }
    let (written, seen) = (writer.stop(), watch.stop());
    seen.never_two(2);
    assert_eq!(written.lost(DATABASES[0].1), Vec::<u64>::new());
    for by in &seen.written {
        assert_eq!(by.lost(DATABASES[0].1), Vec::<u64>::new(), "{}", by.name);
    }
    for (from, until) in outages {
        println!("by hand: {:?}, {} attempts failed", written.outage(from, until), written.failed(from, until));
    }
    pair.serves_from(DATABASES[0].0);
}

fn wait(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}
