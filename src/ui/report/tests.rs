use super::*;
use crate::{
    base::{Change, Content, Hash, Outcome, Output, Place, Receipt, Source as From, Span, Way},
    journal::{
        RunRow,
        chain::Anchor,
        event::{Batch, Began, Debt, End, How, Scope, Summary},
        shown::{Outlook, ShownDiff},
    },
};
use std::fmt::Write as _;

/// A run told event by event, a second apart unless said otherwise.
struct Story {
    records: Vec<Record>,
    at: Timestamp,
    step: Duration,
    shown: Option<Shown>,
    title: Option<String>,
    owed: Vec<(Owed, bool)>,
}

const START: i64 = 1_795_000_000;

impl Story {
    fn new() -> Self {
        let header = Header {
            project: "crm".into(),
            runbook: "billing-config".into(),
            file: Some("runbooks/billing-config.yaml".into()),
            runbook_hash: Hash::of(b"runbook"),
            inventory_hash: Hash::of(b"inventory"),
            params: [("site".to_owned(), "dc1".into())].into(),
            limit: None,
            limited_by: None,
            parallel: 32,
            plan: Some(Hash::of(b"plan")),
            shown: None,
            operator: who(),
            reason: Some("плановые работы".into()),
            ticket: Some("OPS-4412".into()),
            root: "/srv/crm".into(),
            version: "0.1.0".into(),
        };
        let at = Timestamp::from_second(START).unwrap();
        let mut story =
            Self { records: Vec::new(), at, step: Duration::from_secs(1), shown: None, title: None, owed: Vec::new() };
        story.say(Event::Started(Box::new(header)));
        story
    }
    fn say(&mut self, event: Event) -> &mut Self {
        let seq = self.records.len() as u64 + 1;
        self.records.push(Record { run: run(), seq, at: self.at, event });
        self.at = self.at.checked_add(self.step).unwrap();
        self
    }
    fn batch(&mut self, number: usize, of: usize, hosts: &[&str]) -> &mut Self {
        let hosts = hosts.iter().map(|host| HostName::new(*host)).collect();
        self.say(Event::Phase { step: "1".into(), name: "Copy".into(), batch: Some(Batch { number, of }), hosts })
    }
    /// A file is written; the task begins, acts and ends so.
    fn copy(&mut self, step: &str, host: &str, how: How) -> &mut Self {
        self.copy_of(step, host, how, ("old", "new"), Output::default())
    }
    fn copy_of(&mut self, step: &str, host: &str, how: How, (old, new): (&str, &str), stdout: Output) -> &mut Self {
        let task = TaskId::new(step, &host.into());
        let facts = |content: &str| json!({"hash": Hash::of(content.as_bytes()), "size": content.len(), "mode": 420});
        self.say(Event::Began(Box::new(Began {
            before: Some(facts(old).into()),
            ..began(step, "Copy", host, "file.copy")
        })));
        self.say(Event::Announced {
            task: task.clone(),
            way: Way::Forward,
            number: 0,
            changes: vec![Place::on(&host.into()).at(write(new))],
            expect: Value::Null,
            boot: "b".into(),
            no_return: false,
        });
        let outcome = if matches!(how, How::Failed(_)) { Outcome::Failed("exit code 7".into()) } else { Outcome::Ok };
        let code = Some(if outcome == Outcome::Ok { 0 } else { 7 });
        let receipt = Receipt { code, stdout, ..Receipt::of(outcome) };
        self.say(Event::Carried { task: task.clone(), way: Way::Forward, number: 0, receipt });
        self.say(Event::Ended { task, way: Way::Forward, how, seen: Some(facts(new)), changed: true })
    }
    fn undo(&mut self, step: &str, host: &str, how: How) -> &mut Self {
        let task = TaskId::new(step, &host.into());
        let changed = !matches!(how, How::Done { .. });
        self.say(Event::UndoBegan { task: task.clone() });
        self.say(Event::Ended { task, way: Way::Undo, how, seen: None, changed })
    }
    fn end(&mut self, outcome: End, why: &str) -> &mut Self {
        let why = (!why.is_empty()).then(|| why.to_owned());
        let code = outcome.code();
        self.say(Event::Finished(Summary { outcome, exit_code: code, why, changed: 2, owed: 0, stands: Vec::new() }))
    }
    fn report(&self) -> Report {
        let end = self.records.iter().rev().find_map(|record| match &record.event {
            Event::Finished(end) => Some((record.at, end.outcome)),
            _ => None,
        });
        let row = RunRow {
            run: run(),
            project: "crm".into(),
            runbook: "billing-config".into(),
            operator: "мария".into(),
            machine: "ops-1".into(),
            began: self.records[0].at,
            ended: end.map(|end| end.0),
            outcome: end.map(|end| end.1),
            exit_code: end.map(|end| end.1.code()),
            changed: 2,
            owed: 0,
            head: self.records.len() as u64,
        };
        let entry = Some(Anchor { seq: 7, hash: Hash::of(b"entry") });
        let head = Head { seq: self.records.len() as u64, hash: Hash::of(b"head"), entry };
        Report::of(&Source {
            run: &Listed { row, alive: false },
            records: &self.records,
            shown: self.shown.as_ref(),
            title: self.title.clone(),
            ticket: None,
            owed: self.owed.clone(),
            chain: Some(Chain { head, faults: Vec::new() }),
            zone: TimeZone::get("Europe/Moscow").unwrap(),
            made: Timestamp::from_second(START + 86_400).unwrap(),
        })
    }
}

fn run() -> RunId {
    RunId::at_millis(1_795_000_000_000)
}

fn who() -> Operator {
    Operator { name: "мария".into(), uid: 1000, login: true, machine: "ops-1".into(), pid: 4242 }
}

fn began(step: &str, name: &str, host: &str, action: &str) -> Began {
    Began {
        task: TaskId::new(step, &host.into()),
        step: step.into(),
        place: String::new(),
        id: None,
        name: name.into(),
        host: host.into(),
        action: action.into(),
        value: Value::Null.into(),
        before: None,
        then: Vec::new(),
        undo: Vec::new(),
        inherits: Vec::new(),
        pays: None,
        within: Span::secs(300),
        patience: None,
        in_rollback: false,
        leaves_nothing: false,
        opaque: false,
        always: false,
    }
}

fn write(content: &str) -> Change {
    let hash = Hash::of(content.as_bytes());
    Change::WriteFile {
        path: "/etc/billing.conf".into(),
        content: Content { hash, size: content.len() as u64, from: From::File("/x".into()) },
        mode: None,
        owner: None,
        group: None,
        validate: None,
    }
}

fn done() -> How {
    How::Done { outputs: Value::Null }
}

fn failed(why: &str) -> How {
    How::Failed(why.into())
}

fn output(text: &str) -> Output {
    Output { text: text.into(), bytes: text.len() as u64, redacted: false }
}

/// Two hosts in two batches; the second fails and both go back. The plan had a third.
fn taken_back() -> Story {
    let mut story = Story::new();
    let outlook = Outlook {
        number: "1".into(),
        name: "Copy".into(),
        action: "file.copy".into(),
        certainty: "exact".into(),
        note: None,
        trouble: None,
        changes: Vec::new(),
        tasks: vec!["1@web-1".into(), "1@web-2".into(), "1@web-3".into()],
    };
    let diff = ShownDiff {
        from: Some(Hash::of(b"old")),
        to: Some(Hash::of(b"new")),
        diff: "@@ -1 +1,2 @@\n-workers = 4\n+workers = 8\n+<b>\n".into(),
    };
    story.shown = Some(Shown { schema_version: 1, steps: vec![outlook], diffs: vec![diff] });
    story.title = Some("Новая конфигурация <биллинга>".into());
    story.batch(1, 3, &["web-1"]).copy("1", "web-1", done());
    story.batch(2, 3, &["web-2"]);
    story.copy_of("1", "web-2", failed("exit code 7: no | room"), ("old", "new"), output("df: 100 %\n"));
    story.say(Event::RollingBack { scope: Scope::Run, why: "a step failed".into(), drill: false });
    story.undo("1", "web-2", done()).undo("1", "web-1", done());
    story
        .say(Event::RolledBack { scope: Scope::Run })
        .end(End::RolledBack, "`Copy` on `web-2`: exit code 7: no | room");
    story
}

#[test]
fn a_run_that_went_back_is_told_by_its_counts_and_by_what_is_as_before() {
    let report = taken_back().report();
    let counts = Counts { hosts: 2, failed: 1, undone: 1, not_begun: 1, ..Counts::default() };
    assert_eq!((report.counts, report.hosts(), report.outcome), (counts, 3, "rolled_back"));
    let [one] = report.changed.as_slice() else { panic!("{:?}", report.changed) };
    assert_eq!((one.hosts.len(), one.now), (2, Now::AsBefore));
    assert!(one.before.starts_with("hash ") && one.after.starts_with("hash ") && one.before != one.after);
    assert_eq!(one.diffs.len(), 1, "the diff of the plan that was shown");
    assert_eq!(report.not_begun, [("1".to_owned(), "Copy".to_owned(), vec!["web-3".to_owned()])]);
    assert_eq!(report.courses[1].words(), "failed, taken back");
    assert_eq!(report.marks.iter().map(|mark| mark.words).collect::<Vec<_>>(), ["rolls back"]);
    assert!(report.outputs.written[0].troubled);
}

#[test]
fn what_has_not_ended_or_has_failed_is_never_called_as_before() {
    let mut story = Story::new();
    story.copy("1", "web-1", failed("no"));
    story.copy("2", "web-1", done());
    story.records.pop();
    // a consequence leaves nothing that a rollback sees to, and may have stopped its app all the same
    for record in &mut story.records {
        if let Event::Began(began) = &mut record.event {
            began.pays = Some("k".into());
        }
    }
    let report = story.report();
    assert_eq!(report.changed.iter().map(|c| c.now).collect::<Vec<_>>(), [Now::Failed, Now::Open]);
    assert_eq!((report.outcome, report.counts.open, report.counts.failed), ("interrupted", 1, 1));
}

#[test]
fn what_a_check_read_is_its_output_however_it_ended_and_an_empty_line_is_none() {
    let mut story = Story::new();
    story.copy_of("1", "web-1", done(), ("old", "new"), output("\n"));
    story.say(Event::Began(Box::new(began("2", "Smoke", "web-1", "check.command"))));
    let seen = Some(json!({"code": 3, "stdout": "latency 812 ms\n", "stderr": ""}));
    let (task, how) = (TaskId::new("2", &"web-1".into()), failed("exit 3"));
    story.say(Event::Ended { task, way: Way::Forward, how, seen, changed: false }).end(End::RolledBack, "exit 3");
    let report = story.report();
    let [one] = report.outputs.written.as_slice() else { panic!("{:?}", report.outputs) };
    assert_eq!((one.step.as_str(), one.code, one.streams[0].text.as_str()), ("2", Some(3), "latency 812 ms\n"));
    assert!(report.junit().contains("<system-out>latency 812 ms\n</system-out>"));
}

#[test]
fn the_note_for_a_ticket_is_short_and_says_what_matters() {
    insta::assert_snapshot!(taken_back().report().markdown(), @r"
    ## ↩ Failed and taken back: Новая конфигурация &lt;биллинга&gt;

    `Copy` on `web-2`: exit code 7: no \| room. Every target is as it was before the run.

    - **Run:** `01M7Q5CQG0`
    - **Runbook:** `billing-config` with `site=dc1`
    - **Who:** мария on ops-1
    - **Why:** плановые работы
    - **Ticket:** OPS-4412
    - **When:** 2026-11-18 14:06:40 Europe/Moscow (11:06:40 UTC), 17s
    - **What:** 3 tasks on 3 hosts: 1 failed, 1 taken back, 1 not begun

    | Step | Hosts | Change | Before → after | Now |
    | --- | --- | --- | --- | --- |
    | 1 Copy | 2 hosts | write `/etc/billing.conf` | hash cba06b5736fa → hash 11507a0e2f5e | ↩ as before |

    `HOST` stands for the name of each host.

    ### Not begun

    - 1 Copy: `web-3`

    ### Next

    - `svcops history show 01M7Q5CQG0` has the output
    - `svcops run … --failed-from 01M7Q5CQG0` tries the failed hosts again

    Proof: event 18 has the hash `9f2e6d33a3717ee826353a404ba4618d1aeeb6879ad7936bce8ed5f46814924d`, ledger entry `7:923fe53966c6cd9343e11af776cd4b05be315ea4b200b02e4d5dfb0f929b73bf`.
    ");
}

#[test]
fn junit_has_a_case_a_task_and_fails_the_build() {
    let xml = taken_back().report().junit();
    well_formed(&xml);
    insta::assert_snapshot!(xml, @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="svcops" tests="3" failures="1" errors="0" time="17.000">
      <testsuite name="billing-config" tests="3" failures="1" errors="0" skipped="1" time="17.000" timestamp="2026-11-18T11:06:40" hostname="ops-1">
        <properties>
          <property name="run" value="01M7Q5CQG0"/>
          <property name="outcome" value="rolled_back"/>
          <property name="exit_code" value="1"/>
          <property name="project" value="crm"/>
          <property name="operator" value="мария"/>
          <property name="reason" value="плановые работы"/>
          <property name="plan" value="64879f7d6b960a01909762d911a32d4582c20010c5641ee90278b644a9e3b525"/>
          <property name="head" value="9f2e6d33a3717ee826353a404ba4618d1aeeb6879ad7936bce8ed5f46814924d"/>
        </properties>
        <testcase classname="billing-config" name="Copy@web-1" time="4.000"/>
        <testcase classname="billing-config" name="Copy@web-2" time="4.000">
          <failure message="exit code 7: no | room; taken back" type="failed">step 1, file.copy: exit code 7: no | room; taken back</failure>
          <system-out>df: 100 %
    </system-out>
        </testcase>
        <testcase classname="billing-config" name="Copy@web-3" time="0.000">
          <skipped message="planned and not begun"/>
        </testcase>
      </testsuite>
    </testsuites>
    "#);
}

#[test]
fn a_refused_run_fails_the_build_with_a_case_of_its_own_and_a_good_one_does_not() {
    let mut story = Story::new();
    story.say(Event::Refused { code: 75, why: "`web-1` is held".into() }).end(End::NotNow, "`web-1` is held");
    let xml = story.report().junit();
    well_formed(&xml);
    assert!(xml.contains("errors=\"1\"") && xml.contains("the run as a whole"), "{xml}");
    let mut story = Story::new();
    story.copy("1", "web-1", done()).end(End::Done, "");
    let xml = story.report().junit();
    assert!(xml.contains("tests=\"1\" failures=\"0\" errors=\"0\"") && !xml.contains("the run as a whole"), "{xml}");
}

#[test]
fn a_good_drill_is_told_as_one_and_one_that_failed_is_not() {
    for (drill, end, words) in [
        (true, End::Done, "A good drill, and all of it taken back"),
        (true, End::Failed, "Failed, and something is left"),
        (false, End::RolledBack, "Failed and taken back"),
    ] {
        let mut story = Story::new();
        story.copy("1", "web-1", done());
        story.say(Event::RollingBack { scope: Scope::Run, why: "the drill has come to its end".into(), drill });
        story.undo("1", "web-1", done()).say(Event::RolledBack { scope: Scope::Run }).end(end, "");
        let report = story.report();
        assert_eq!((report.headline, &report.json()["drill"]), (words, &drill.into()));
        let junit = report.junit();
        assert_eq!(junit.contains("errors=\"0\""), end == End::Done, "{junit}");
        let page = report.html();
        assert_eq!(page.contains("nothing of it stands"), end != End::Failed, "{words}");
    }
}

#[test]
fn the_page_of_every_outcome_is_whole_and_asks_nobody_for_anything() {
    for (end, words) in [
        (Some(End::Done), "Done"),
        (Some(End::RolledBack), "Failed and taken back"),
        (Some(End::Failed), "Failed, and something is left"),
        (Some(End::Unknown), "Outcome unknown"),
        (Some(End::Stopped), "Stopped before its end"),
        (Some(End::NotNow), "Not carried out: not now"),
        (Some(End::NotAllowed), "Not carried out: not allowed"),
        (None, "Interrupted"),
    ] {
        let mut story = Story::new();
        story.copy("1", "web-1", done());
        story.say(Event::Began(Box::new(began("2", "Restart", "web-1", "app.restart"))));
        if end == Some(End::Unknown) {
            let task = TaskId::new("2", &"web-1".into());
            story.say(Event::InDoubt { task, way: Way::Forward, why: "contact lost".into() });
        }
        if let Some(end) = end {
            story.end(end, "`Restart` on `web-1`: see http://example.org/");
        }
        let page = story.report().html();
        assert!(page.contains(&format!("</b>{words}</p>")), "{words}");
        alone(&page);
        well_formed(&page);
        well_formed(&story.report().junit());
    }
}

#[test]
fn what_a_host_or_a_person_wrote_is_never_markup_and_a_secret_stays_a_name() {
    let evil = "\"'><script>alert(1)</script>&amp;\u{1b}[2J";
    let mut story = taken_back();
    story.title = Some(evil.into());
    let Event::Started(header) = &mut story.records[0].event else { panic!() };
    header.reason = Some(evil.into());
    header.runbook = evil.into();
    header.params = [(evil.to_owned(), format!("token={}", crate::base::Text::mark("pw")).into())].into();
    header.ticket = Some(evil.into());
    header.operator.name = evil.into();
    story.records.pop();
    story.copy_of("2", evil, failed(evil), ("a", "b"), output(evil)).end(End::Failed, evil);
    let report = story.report();
    let (page, xml, note) = (report.html(), report.junit(), report.markdown());
    alone(&page);
    well_formed(&page);
    well_formed(&xml);
    for text in [&page, &xml, &note] {
        assert!(
            !text.contains('\u{1b}') && !text.contains('\u{E000}'),
            "a control character or a mark was let through"
        );
    }
    assert!(page.contains("token=***") && note.contains("token=***"));
    let outside_code: String = note.split('`').step_by(2).collect();
    assert!(!outside_code.contains("<script"), "{note}");
}

#[test]
fn what_failed_on_both_ways_is_named_with_what_it_leaves() {
    let mut story = Story::new();
    story.copy("1", "web-1", done()).copy("2", "web-1", failed("no"));
    story.say(Event::RollingBack { scope: Scope::Run, why: "a step failed".into(), drill: false });
    story.undo("1", "web-1", failed("disk full"));
    let debt = Debt {
        key: "k".into(),
        step: "1.then1".into(),
        name: "Restart".into(),
        host: "web-1".into(),
        action: "app.restart".into(),
        value: Value::Null,
        within: None,
    };
    let owed = |paid| (Owed { debt: debt.clone(), by: "1@web-1".into(), way: Way::Forward, from: None }, paid);
    story.owed = vec![owed(false), owed(true)];
    let lines = [3, 10, 2].map(|n| format!("`Copy` on `web-{n}` was not undone: disk full")).to_vec();
    let (why, exit_code) = (Some("`Copy` on `web-1`: no".to_owned()), 3);
    story.say(Event::Finished(Summary { outcome: End::Failed, exit_code, why, changed: 2, owed: 1, stands: lines }));
    let report = story.report();
    assert_eq!(report.stands, ["`Copy` on `web-2`, `web-3`, `web-10` was not undone: disk full"]);
    assert_eq!(report.counts.stuck, 1);
    let page = report.html();
    for words in ["What stands, and was not taken back", "Owed: still to be done", "done by a later run", "‼"] {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn hours_between_a_stop_and_its_resume_do_not_flatten_the_drawing() {
    let mut story = Story::new();
    story.copy("1", "web-1", done());
    story.say(Event::Began(Box::new(began("2", "Restart", "web-1", "app.restart"))));
    story.at = story.at.checked_add(Duration::from_secs(36_000)).unwrap();
    story.say(Event::Resumed { operator: who() });
    let task = TaskId::new("2", &"web-1".into());
    story.say(Event::Ended { task, way: Way::Forward, how: done(), seen: None, changed: false }).end(End::Done, "");
    let report = story.report();
    let leg = &report.courses[0].legs[1];
    assert_eq!((leg.spans.len(), leg.fate, leg.millis()), (2, Fate::Same, 1_000));
    let page = report.html();
    assert!(page.contains("nothing happened for 10h") && page.contains("went on with the run"), "{page}");
}

#[test]
fn a_run_of_five_hundred_hosts_folds_and_stays_small_even_where_all_differ() {
    let mut story = Story::new();
    story.step = Duration::from_millis(3);
    let mut shown = Shown { schema_version: 1, ..Shown::default() };
    for host in 1..=500_usize {
        let name = format!("web-{host:03}");
        story.batch(host.div_ceil(10), 50, &[&name]);
        for step in 1..=8 {
            let (old, new) = (format!("old {host} {step}"), format!("new {host} {step}"));
            let lines: String = (0..400).map(|n| format!("{n} <\"{host}-{step}\">\n")).collect();
            let how = if host % 100 == 7 && step == 8 { failed("exit code 7") } else { done() };
            let mut diff = String::from("@@ -1 +1,400 @@\n");
            lines.lines().take(50).for_each(|line| writeln!(diff, "+{line}").unwrap());
            let [from, to] = [&old, &new].map(|content| Some(Hash::of(content.as_bytes())));
            shown.diffs.push(ShownDiff { from, to, diff });
            story.copy_of(&step.to_string(), &name, how, (&old, &new), output(&lines));
        }
    }
    story.shown = Some(shown);
    story.end(End::Failed, "`Copy` on `web-007`: exit code 7");
    let report = story.report();
    assert_eq!((report.hosts(), report.counts.failed, report.counts.done), (500, 5, 3995));
    let page = report.html();
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    alone(&page);
    well_formed(&page);
    let svg = page.split_once("class=\"chart\"").unwrap().1.split_once("</svg>").unwrap().0;
    let rows = svg.matches("class=\"host").count();
    assert!((10..=60).contains(&rows), "{rows} rows");
    let alone: Vec<bool> = [7, 107, 407].map(|n| svg.contains(&format!("! web-{n:03}<"))).to_vec();
    assert_eq!(alone, [true; 3], "the troubled hosts have rows of their own");
    assert!(report.outputs.left_out > 0 && report.events.drawn < report.events.of && report.more_changed > 0);
    assert!(report.markdown().len() < 20_000);
}

#[test]
fn an_outage_is_drawn_as_a_bar_of_its_phases_and_told_in_a_table() {
    let mut story = Story::new();
    story.copy("1", "web-1", done()).end(End::Done, "");
    let mut report = story.report();
    assert!(!report.html().contains("id=\"outage\""), "nothing was watched");
    report.outages = vec![crate::ui::outage::tests::sample()];
    let page = report.html();
    alone(&page);
    well_formed(&page);
    let section = page.split_once("<h2 id=\"outage\">").unwrap().1.split_once("</section>").unwrap().0;
    let (words, table) = section.split_once("<div class=\"chart\"").unwrap();
    let rows: String = table.split("<tbody>").skip(1).map(|rest| rest.split("</tbody>").next().unwrap()).collect();
    insta::assert_snapshot!(format!("{words}{}", rows.replace("</td>", "").replace("<td class=\"r\">", " | ")), @r#"
    Outage</h2>
    <div class="note good"><p><code>crm</code>: 143 ms (RTO 30s: met; RPO 0B: met, nothing lost), 14 of 700 requests failed</p></div>
    <p class="mute">From the last good answer at <time datetime="2026-11-18T11:06:40Z">2026-11-18 14:06:40.000</time> Europe/Moscow to the first one after it at <time datetime="2026-11-18T11:06:40.143Z">2026-11-18 14:06:40.143</time>, as a client on the machine of svcops saw it.</p>
    <p class="mute">Its last error: connection refused</p>

    <tr><th scope="row">before the first act</th> | 4 ms |  | </tr>
    <tr><th scope="row">5 Drain dc1-db1</th> | 8 ms | 5 ms | 3 ms</tr>
    <tr><th scope="row">6 Остановить основную базу</th> | 53 ms | 43 ms | 10 ms</tr>
    <tr><th scope="row">7 Promote</th> | 50 ms | 30 ms | 20 ms</tr>
    <tr><th scope="row">8 Check</th> | 7 ms | 0 ms | 7 ms</tr>
    <tr><th scope="row">until clients were back</th> | 21 ms |  | </tr>
    "#);
    let svg = table.split_once("</svg>").unwrap().0;
    assert_eq!(svg.matches("<title>").count(), 6, "{svg}");
    assert!(svg.contains("<title>6 Остановить основную базу: 53 ms (act 43 ms, svcops 10 ms)</title>"), "{svg}");
    insta::assert_snapshot!(report.markdown().split_once("### Outage").unwrap().1.split_once("| Step").unwrap().0, @r"
     of crm: 143 ms (RTO 30s: met; RPO 0B: met, nothing lost), 14 of 700 requests failed

    | Phase | Time | Of it |
    | --- | ---: | --- |
    | before the first act | 4 ms |  |
    | 5 Drain dc1-db1 | 8 ms | act 5 ms, svcops 3 ms |
    | 6 Остановить основную базу | 53 ms | act 43 ms, svcops 10 ms |
    | 7 Promote | 50 ms | act 30 ms, svcops 20 ms |
    | 8 Check | 7 ms | svcops |
    | until clients were back | 21 ms |  |
    ");
    assert_eq!(report.json()["outages"][0]["phases"][2]["own_ms"], 10);

    let evil = "\"'><script>alert(1)</script>|`x`";
    report.outages[0].why = Some(evil.into());
    report.outages[0].service = evil.into();
    report.outages[0].over = false;
    let crate::ui::outage::What::Step { name, .. } = &mut report.outages[0].phases[1].what else { panic!() };
    *name = evil.into();
    alone(&report.html());
    well_formed(&report.html());
    assert!(!report.markdown().split('`').step_by(2).any(|text| text.contains("<script")));
}

/// Nothing in the page makes a browser ask anybody for anything, or run something.
fn alone(page: &str) {
    for tag in page.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag) {
        let name = tag.split([' ', '/']).next().unwrap();
        assert!(!["script", "iframe", "object", "embed", "img", "base", "form"].contains(&name), "<{tag}>");
        assert!(!tag.contains("http:") && !tag.contains("https:") && !tag.contains(" on"), "<{tag}>");
        for (attribute, rest) in [" src=\"", " href=\""].iter().filter_map(|a| tag.split_once(a)) {
            let inside = attribute.starts_with("link") && rest.starts_with("data:,") || rest.starts_with('#');
            assert!(inside, "<{tag}>");
        }
    }
    let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    assert!(style.split("url(").skip(1).all(|rest| rest.starts_with('#')), "{style}");
    assert!(!style.contains("@import"));
}

/// Every element ends where it should, every attribute is quoted, every `&` begins a reference.
fn well_formed(text: &str) {
    let mut open: Vec<&str> = Vec::new();
    for (index, piece) in text.split('<').enumerate() {
        let Some((tag, after)) = (if index == 0 { Some(("", piece)) } else { piece.split_once('>') }) else {
            panic!("a tag has no end: <{piece}")
        };
        let style = piece.starts_with("style>");
        for rest in piece.split('&').skip(1).filter(|_| !style) {
            let reference = rest.split_once(';').map(|(name, _)| name).unwrap_or_default();
            assert!(["amp", "lt", "gt", "quot", "#39"].contains(&reference), "`&{reference}` in <{piece}");
        }
        assert!(style || !after.contains('>') || index == 0, "a bare > in {after}");
        let name = tag.split([' ', '\n', '/']).next().unwrap_or_default();
        if let Some(ended) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(ended), "</{ended}> ends another element");
        } else if !(name.is_empty() || name.starts_with(['!', '?']) || tag.ends_with('/')) {
            assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
            if !["meta", "link", "br"].contains(&name) {
                open.push(name);
            }
        }
    }
    assert_eq!(open, Vec::<&str>::new());
}
