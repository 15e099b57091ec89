use super::*;
use crate::{
    base::{HostName, RunId, Span, TaskId, Way},
    journal::{
        event::{Batch, Began, Event, How, Notice, Record, Scope},
        state::RunState,
    },
    ui::{
        lines::Weight,
        tell::{EVERY, Told},
    },
};
use serde_json::Value;

/// A run that is told event by event, at seconds of its own.
struct Run {
    board: Board,
    state: RunState,
    told: Told,
    lines: Vec<(Weight, String)>,
    seq: u64,
}

impl Run {
    fn new() -> Self {
        let mut run = Self {
            board: Board::default(),
            state: RunState::default(),
            told: Told::default(),
            lines: Vec::new(),
            seq: 0,
        };
        run.board.began = Some(second(0));
        run
    }
    fn event(&mut self, at: i64, event: Event) -> &mut Self {
        self.seq += 1;
        let record = Record { run: RunId::at_millis(1_795_000_000_000), seq: self.seq, at: second(at), event };
        self.state.apply(&record);
        self.board.record(&record, &self.state);
        let due = self.told.due(&self.board, second(at));
        self.lines.extend(due);
        self
    }
    fn notice(&mut self, at: i64, notice: &Notice) -> &mut Self {
        self.board.notice(notice, &self.state, second(at));
        self
    }
    fn phase(&mut self, at: i64, step: &str, name: &str, batch: Option<(usize, usize)>, hosts: &[String]) -> &mut Self {
        let hosts = hosts.iter().map(|h| HostName::from(h.as_str())).collect();
        let batch = batch.map(|(number, of)| Batch { number, of });
        self.event(at, Event::Phase { step: step.into(), name: name.into(), batch, hosts })
    }
    fn began(&mut self, at: i64, step: &str, name: &str, host: &str) -> &mut Self {
        self.event(
            at,
            Event::Began(Box::new(Began {
                task: TaskId::new(step, &host.into()),
                step: step.into(),
                id: None,
                name: name.into(),
                host: host.into(),
                action: "app.restart".into(),
                value: Value::Null.into(),
                before: None,
                then: Vec::new(),
                undo: Vec::new(),
                inherits: Vec::new(),
                within: Span::secs(300),
                patience: None,
                pays: None,
                in_rollback: false,
                leaves_nothing: false,
                place: String::new(),
                opaque: false,
                always: false,
            })),
        )
    }
    fn ended(&mut self, at: i64, step: &str, host: &str, how: How, changed: bool) -> &mut Self {
        let task = TaskId::new(step, &host.into());
        self.event(at, Event::Ended { task, way: Way::Forward, how, seen: None, changed })
    }
    fn waits(&mut self, at: i64, step: &str, host: &str, why: &str, secs: u64) -> &mut Self {
        let (task, elapsed) = (TaskId::new(step, &host.into()), Duration::from_secs(secs));
        self.notice(at, &Notice::Waiting { task, why: why.into(), elapsed })
    }
    fn shown(&self, at: i64, width: usize, rows: usize) -> String {
        let easel = Easel { width, rows, paint: Paint::default(), signs: Signs::of(true), beat: 0 };
        let lines = frame(&self.board, second(at), &easel);
        assert!(lines.len() < rows, "{} of {rows} rows", lines.len());
        assert!(lines.iter().all(|line| line.width() + 2 < width), "wider than {width}: {lines:#?}");
        lines.join("\n")
    }
}

fn second(n: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + n).unwrap()
}

fn done() -> How {
    How::Done { outputs: Value::Null }
}

fn names(prefix: &str, from: usize, to: usize) -> Vec<String> {
    (from..=to).map(|n| format!("{prefix}{n:03}")).collect()
}

/// A rolling group in its second batch: one node waits for its health, one is silent.
fn rolling() -> Run {
    let mut run = Run::new();
    run.notice(0, &Notice::Ahead { tasks: 9 });
    for (batch, from) in [(1, 0), (2, 60)] {
        let hosts = names("узел-", batch * 2 - 1, batch * 2);
        run.phase(from, "2.1", "Новая настройка", Some((batch, 3)), &hosts);
        for host in &hosts {
            run.began(from, "2.1", "Новая настройка", host).ended(from + 2, "2.1", host, done(), batch == 1);
        }
        run.phase(from + 2, "2.2", "Restart billing", Some((batch, 3)), &hosts);
        for host in &hosts {
            run.began(from + 2, "2.2", "Restart billing", host);
            if batch == 1 {
                run.ended(from + 60, "2.2", host, done(), true);
            }
        }
    }
    run.waits(90, "2.2", "узел-003", "HTTP 503 from http://10.77.0.12:8080/health", 28);
    let host = HostName::from("узел-004");
    run.notice(80, &Notice::Silent { host, why: "connection timed out after 5s".into() });
    run
}

#[test]
fn a_few_hosts_have_a_line_each() {
    insta::assert_snapshot!(rolling().shown(90, 80, 24), @r"
    ━━━━━━━━━───── 6/9 tasks · 1m30s · batch 2 of 3, about 1m30s left
      2.1 Новая настройка  2 ok · 2 done
      2.2 Restart billing  2 done · 2 under way
      ✗ узел-004     10s  silent, tried again: connection timed out after 5s
      ◦ узел-003     28s  waits: HTTP 503 from http://10.77.0.12:8080/health
    ");
    insta::assert_snapshot!(rolling().shown(90, 40, 24), @r"
    ━━── 6/9 tasks · 1m30s · batch 2 of 3
      2.1 Новая настройка  2 ok · 2 done
      2.2 Restart billing  2 done · 2 un…
      ✗ узел-004     10s  silent, tried …
      ◦ узел-003     28s  waits: HTTP 50…
    ");
}

#[test]
fn a_low_terminal_counts_the_hosts_that_have_no_line() {
    let mut run = Run::new();
    let hosts = names("web-", 1, 12);
    run.phase(0, "1", "Restart", None, &hosts);
    for host in &hosts {
        run.began(0, "1", "Restart", host);
    }
    let shown = run.shown(30, 80, 8);
    assert!(shown.contains("and 10 more") || shown.contains("and 9 more"), "{shown}");
}

#[test]
fn of_many_hosts_those_are_named_that_are_slow_or_silent_and_the_rest_is_counted() {
    let mut run = Run::new();
    let hosts = names("web-", 1, 500);
    run.notice(0, &Notice::Ahead { tasks: 1000 });
    run.phase(0, "1", "New configuration", None, &hosts);
    for (index, host) in hosts.iter().enumerate().take(320) {
        run.began(0, "1", "New configuration", host);
        match index {
            0..300 => run.ended(10, "1", host, done(), index % 3 == 0),
            300..302 => run.ended(10, "1", host, How::Failed("no".into()), false),
            _ => &mut run,
        };
    }
    run.waits(40, "1", "web-310", "sessions: 12 left", 40);
    insta::assert_snapshot!(run.shown(40, 80, 24), @r"
    ━━━━────────── 302/1000 tasks · 40s · about 30s left in this step
      1 New configuration  200 ok · 100 done · 2 failed · 18 under way · 180 to …
      ◦ web-310     40s  waits: sessions: 12 left
      ⠋ web-303     40s  New configuration
      ⠋ web-304     40s  New configuration
      ⠋ web-305     40s  New configuration
        and 14 more that are slow or silent
    ");
    assert!(run.shown(40, 80, 24).lines().count() <= 8);
}

#[test]
fn what_goes_back_is_counted_and_no_time_is_promised() {
    let mut run = rolling();
    run.event(91, Event::RollingBack { scope: Scope::Run, why: "a step failed".into(), drill: false });
    let shown = run.shown(95, 100, 24);
    assert!(shown.contains("rolling back: 0 of "), "{shown}");
    assert!(!shown.contains("left"), "{shown}");
}

#[test]
fn planning_is_shown_once_it_takes_a_moment() {
    let mut run = Run::new();
    run.board = Board::default();
    run.board.doing = Some(("planning".into(), second(0)));
    assert_eq!(run.shown(0, 80, 24), "");
    run.notice(1, &Notice::Observed { done: 120, of: 500 });
    assert_eq!(run.shown(3, 80, 24), "⠋ planning · 120 of 500 · 3.0s");
}

#[test]
fn a_log_gets_the_counts_of_a_large_step_every_so_often_and_at_its_end() {
    let mut run = Run::new();
    let hosts = names("web-", 1, 500);
    run.phase(0, "1", "Restart", None, &hosts);
    for (at, host) in (0..).zip(&hosts) {
        run.began(at / 10, "1", "Restart", host).ended(at / 10 + 1, "1", host, done(), at % 2 == 0);
    }
    let lines: Vec<&str> = run.lines.iter().map(|(_, line)| line.as_str()).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    step 1 Restart: 70 ok · 71 done · 359 to come
    step 1 Restart: 145 ok · 146 done · 209 to come
    step 1 Restart: 220 ok · 221 done · 59 to come
    step 1 Restart: 250 ok · 250 done after 50s
    ");
    assert!(EVERY >= Duration::from_secs(10));
}

#[test]
fn every_size_of_a_terminal_is_kept() {
    for width in [20, 40, 80, 200] {
        for rows in [5, 24, 60] {
            rolling().shown(90, width, rows);
        }
    }
}
