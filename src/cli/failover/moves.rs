//! What was done to move a service, as the journal has it: its switches, drills and rejoins, newest first.

use crate::{
    base::RunId,
    cli::{history::Past, words::Failure},
    inventory::{Inventory, Service},
    journal::{
        Journal as _, RunRow,
        event::{End, Event, How, Record},
        outage::Outage,
        search::Filter,
        state::{RunState, TaskState},
    },
    ui::history::Listed,
    verbs::failover::forced::{Found, Stated},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A run that moved a service, or tried to.
#[derive(Clone, Debug)]
pub(super) struct Move {
    /// The run.
    pub run: Listed,
    /// What it was.
    pub kind: Kind,
    /// The site that it left.
    pub from: Option<String>,
    /// The site that it went to.
    pub to: Option<String>,
    /// The longest outage that it measured.
    pub outage: Option<Outage>,
    /// Of a forced one: what was said instead of a look at the source.
    pub accepted: Option<String>,
    /// How many bytes of the log were lost; of a forced one it is found by the rejoin.
    pub lost: Option<u64>,
    /// Of a forced one: what it said before that it may lose.
    pub stated: Option<Stated>,
    /// Of a rejoin, and of the forced one before it: what was lost in truth.
    pub found: Option<FoundBy>,
    /// Whether it may have made a primary: a promotion began, and was not refused.
    pub through: bool,
    /// It changed something, if only for a while; else it was refused before that.
    pub touched: bool,
    /// Since it the service is at another site.
    pub moved: bool,
}

/// What a rejoin has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundBy {
    /// The rejoin.
    pub run: RunId,
    /// What it found.
    pub found: Found,
    /// The forced one that it belongs to, by its own word.
    pub of: Option<RunId>,
}

/// What a run did with a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It moved.
    Switch,
    /// It moved without its source.
    Forced,
    /// It went as far as can be undone.
    Drill,
    /// It moved, for practice.
    RoundTrip,
    /// The old primary became a standby.
    Rejoin,
}

impl Kind {
    /// In a word.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Switch => "switch",
            Self::Forced => "forced",
            Self::Drill => "drill",
            Self::RoundTrip => "round trip",
            Self::Rejoin => "rejoin",
        }
    }
    /// In a letter.
    pub(super) const fn letter(self) -> char {
        match self {
            Self::Switch => 's',
            Self::Forced => 'f',
            Self::Drill => 'd',
            Self::RoundTrip => 't',
            Self::Rejoin => 'r',
        }
    }
    /// For practice.
    pub(super) const fn is_drill(self) -> bool {
        matches!(self, Self::Drill | Self::RoundTrip)
    }
}

/// What the runs of a service are called: those that move it, or try to.
pub(super) fn names(service: &Service) -> Vec<String> {
    let name = &service.name;
    let mut names = vec![format!("failover-drill-{name}"), format!("failover-rejoin-{name}")];
    names.extend(service.sites.iter().map(|site| format!("failover-{name}-to-{site}")));
    names
}

/// So many runs of each name, the newest first.
fn rows(past: &Past<'_>, inventory: &Inventory, service: &Service, most: usize) -> Result<Vec<RunRow>, Failure> {
    let mut rows = Vec::new();
    for name in names(service) {
        let filter = Filter { project: Some(inventory.project.clone()), runbook: Some(name), ..Filter::default() };
        rows.extend(past.journal.list(&filter, None, most)?);
    }
    rows.sort_by(|a, b| (b.began, &b.run).cmp(&(a.began, &a.run)));
    Ok(rows)
}

/// The newest of them, as far back as to the last one that moved the service and to the last drill.
///
/// # Errors
/// The journal cannot be read.
pub(super) fn recent(past: &Past<'_>, inventory: &Inventory, service: &Service) -> Result<Vec<Move>, Failure> {
    let (mut moves, mut switch, mut drill) = (Vec::new(), false, false);
    for row in rows(past, inventory, service, FAR)? {
        if switch && drill {
            break;
        }
        let records = past.journal.records(&row.run)?;
        let one = one(past, row, &records, (inventory, service));
        switch |= one.moved;
        drill |= one.is_drill();
        moves.push(one);
    }
    found_later(&mut moves);
    Ok(moves)
}

/// The newest `most` of them.
///
/// # Errors
/// The journal cannot be read.
pub(super) fn moves(
    past: &Past<'_>,
    inventory: &Inventory,
    service: &Service,
    most: usize,
) -> Result<Vec<Move>, Failure> {
    let mut rows = rows(past, inventory, service, most)?;
    rows.truncate(most);
    let mut moves = Vec::new();
    for row in rows {
        let records = past.journal.records(&row.run)?;
        moves.push(one(past, row, &records, (inventory, service)));
    }
    found_later(&mut moves);
    Ok(moves)
}

fn one(past: &Past<'_>, row: RunRow, records: &[Record], (inventory, service): (&Inventory, &Service)) -> Move {
    let run = past.listed(row);
    let state = &RunState::fold(records);
    let none = BTreeMap::new();
    let params = records.iter().find_map(|record| match &record.event {
        Event::Started(header) => Some(&header.params),
        _ => None,
    });
    let params = params.unwrap_or(&none);
    let site = |task: &TaskState| inventory.host(task.began.host.as_str()).and_then(|host| host.site.clone());
    let of = |actions: &'static [&'static str]| move |task: &&TaskState| actions.contains(&task.began.action.as_str());
    let promoted = || state.tasks.iter().filter(of(&["postgres.promote", "patroni.switchover"]));
    let prefix = format!("failover-{}-to-", service.name);
    let accepted = promoted().find_map(|task| task.began.value.open().get("unfenced")?.as_str().map(str::to_owned));
    let through = promoted().any(|task| !matches!(task.forward.how, Some(How::Refused(_))));
    let stated = Stated::of(&run.row.run, params);
    let (kind, to) = match run.row.runbook.strip_prefix(&prefix) {
        Some(to) if service.sites.iter().any(|site| site == to) => {
            (if accepted.is_some() || stated.is_some() { Kind::Forced } else { Kind::Switch }, Some(to.to_owned()))
        }
        _ if run.row.runbook.starts_with("failover-rejoin-") => {
            let followed = state.tasks.iter().find(of(&["postgres.follow"]));
            (Kind::Rejoin, followed.and_then(site))
        }
        _ => {
            // without a database nothing is promoted: what did not turn back has moved
            let turned = state.tasks.iter().any(|task| task.began.action == "drill.end") || state.goes_back();
            let whole = !turned && run.row.outcome == Some(End::Done);
            let through = promoted().any(has_moved) || (whole && service.database(inventory).is_none());
            let target = state.tasks.iter().find(of(&["postgres.ready", "postgres.promote", "patroni.switchover"]));
            let to = target.and_then(site).or_else(|| aimed_at(past, state));
            (if through { Kind::RoundTrip } else { Kind::Drill }, to)
        }
    };
    let moved = match kind {
        Kind::Drill | Kind::Rejoin => false,
        _ if service.database(inventory).is_some() => promoted().any(has_moved),
        _ => run.row.outcome == Some(End::Done),
    };
    let touched = state.tasks.iter().any(|task| task.acted() && !task.began.leaves_nothing);
    let from = to.as_deref().filter(|_| kind != Kind::Rejoin).and_then(|to| service.other(to)).map(str::to_owned);
    let lost = state.tasks.iter().rev().find_map(|task| match &task.forward.how {
        Some(How::Done { outputs }) => outputs.get("lost_bytes").and_then(Value::as_u64),
        _ => None,
    });
    let mine = state.outages().into_iter().filter(|outage| outage.service == service.name);
    let outage = mine.max_by_key(|outage| outage.ms);
    let stated = stated.filter(|_| kind == Kind::Forced);
    let followed = state.tasks.iter().filter(of(&["postgres.follow"])).find_map(|task| match &task.forward.how {
        Some(How::Done { outputs }) if kind == Kind::Rejoin => Some(Found::of(outputs)),
        _ => None,
    });
    let rejoin = &run.row.run;
    let found = followed.map(|found| FoundBy { run: rejoin.clone(), found, of: Stated::found_by(params) });
    Move { run, kind, from, to, outage, accepted, lost, stated, found, through, touched, moved }
}

/// The site that a drill goes to, as its runbook has it: without a database no task says so.
fn aimed_at(past: &Past<'_>, state: &RunState) -> Option<String> {
    let runbook = past.journal.get(&state.header.as_ref()?.runbook_hash).ok()?;
    let runbook: Value = serde_json::from_slice(&runbook).ok()?;
    let sites = runbook.get("targets")?.as_str()?.strip_prefix("site in (")?.strip_suffix(')')?;
    sites.split_once(',').map(|(_, to)| to.trim().to_owned())
}

/// A promotion that is done, or that nobody saw fail once it had begun.
fn has_moved(task: &TaskState) -> bool {
    task.forward.done() || task.forward.changed || (task.acted() && task.forward.why().is_none())
}

/// So many runs of each name are gone through for the last one that moved a service.
const FAR: usize = 200;

/// What a forced switch has lost is known once the old primary is back: by the rejoin that names it, or else by the first
/// one after it.
fn found_later(moves: &mut [Move]) {
    let all: Vec<FoundBy> = moves.iter().filter_map(|one| one.found.clone()).collect();
    let mut found = None;
    for one in moves {
        match one.kind {
            Kind::Rejoin => found = one.found.clone().filter(|found| found.of.is_none()).or(found),
            // one that was refused has lost nothing
            Kind::Forced if !one.through => {}
            Kind::Forced => {
                let after = found.take();
                // the earliest that found it: a later one has nothing left to find
                let named = all.iter().rfind(|found| found.of.as_ref() == Some(&one.run.row.run));
                one.found = named.cloned().or(after);
                one.lost = one.lost.or_else(|| one.found.as_ref()?.found.lost);
            }
            Kind::Switch | Kind::RoundTrip => found = None,
            Kind::Drill => {}
        }
    }
}

impl Move {
    /// A rejoin that is done.
    pub(super) fn came_back(&self) -> bool {
        self.kind == Kind::Rejoin && self.run.row.outcome == Some(End::Done)
    }
    /// A drill that went far enough to count as one.
    pub(super) fn is_drill(&self) -> bool {
        self.kind.is_drill() && (self.touched || self.moved)
    }
    /// How it ended, in words.
    pub(super) fn outcome(&self) -> String {
        match self.run.outcome() {
            "rolled_back" if !self.touched => "refused".to_owned(),
            word => word.replace('_', " "),
        }
    }
    /// `dc1 → dc2`; of a rejoin the site that came back.
    pub(super) fn route(&self) -> String {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => format!("{from} → {to}"),
            (None, Some(to)) => to.clone(),
            _ => "–".to_owned(),
        }
    }
    /// For so long commits were lost, in seconds; none: nobody can tell.
    pub(super) fn lost_seconds(&self) -> Option<u64> {
        let found = &self.found.as_ref()?.found;
        Some(found.time(self.stated.as_ref().and_then(|stated| stated.kept_until))?.0.as_secs())
    }
    fn found_json(&self, by: &FoundBy) -> Value {
        let (bytes, time) = self.stated.as_ref().map_or((None, None), |stated| by.found.within(stated));
        json!({
            "lost_bytes": by.found.lost,
            "last_commit": by.found.last,
            "seconds": self.lost_seconds(),
            "within_stated_bytes": bytes,
            "within_stated_time": time,
            "by": by.run,
        })
    }
    /// As JSON: an interface.
    pub(super) fn json(&self) -> Value {
        let row = &self.run.row;
        json!({
            "run": row.run,
            "what": self.kind.word().replace(' ', "_"),
            "from": self.from,
            "to": self.to,
            "started": row.began,
            "ended": row.ended,
            "outcome": self.run.outcome(),
            "exit_code": row.exit_code,
            "touched": self.touched,
            "moved": self.moved,
            "outage_ms": self.outage.as_ref().map(|outage| outage.ms),
            "outage": self.outage.as_ref().map(Outage::json),
            "accepted": self.accepted,
            "lost_bytes": self.lost,
            "stated": self.stated.as_ref().map(|stated| json!({
                "least_bytes": stated.least_bytes,
                "most_bytes": stated.most_bytes,
                "most_seconds": stated.most_time.map(|most| most.0.as_secs()),
                "kept_until": stated.kept_until,
            })),
            "found": self.found.as_ref().map(|by| self.found_json(by)),
            "operator": row.operator,
            "machine": row.machine,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        base::{ClientFacts, ClientOutage, RunId},
        cli::{args::Output, history::tests::Stored},
        inventory::sample_services,
        journal::event::{Event, Header, Record, Summary},
    };
    use jiff::Timestamp;

    /// A story of a service: there, back without its source, what came of that, and a drill.
    pub(in crate::cli::failover) fn moved() -> Vec<Move> {
        let stored = stored();
        let inventory = sample_services::moving();
        moves(&stored.past(Output::Table), &inventory, &inventory.services["crm"], 50).unwrap()
    }

    fn at(second: i64, micros: i64) -> Timestamp {
        Timestamp::from_microsecond((1_795_000_000 + second) * 1_000_000 + micros).unwrap()
    }

    struct Run<'a> {
        stored: &'a Stored,
        id: RunId,
        second: i64,
    }

    impl Run<'_> {
        fn say(&self, event: Event) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(self.stored.journal.append(&self.id, at(self.second, 500_000), event)).unwrap();
        }
        fn task(&self, at: (u8, &str), action: &str, value: Value, outputs: Value, seen: Option<Value>) {
            self.ended(at, action, value, How::Done { outputs }, seen);
        }
        fn ended(&self, (number, host): (u8, &str), action: &str, value: Value, how: How, seen: Option<Value>) {
            let task = format!("{number}@{host}");
            let began = json!({
                "task": task, "step": number.to_string(), "name": action, "host": host, "action": action,
                "value": value, "within": "5m",
            });
            self.say(Event::Began(serde_json::from_value(began).unwrap()));
            self.say(Event::Ended {
                task: task.as_str().into(),
                way: crate::base::Way::Forward,
                how,
                seen,
                changed: false,
            });
        }
        /// It took what the service runs on from where it was, and may have brought it back.
        fn touches(&self, at: (u8, &str)) {
            let (number, host) = at;
            let task: crate::base::TaskId = format!("{number}@{host}").as_str().into();
            let began = json!({
                "task": task, "step": number.to_string(), "name": "Stop", "host": host, "action": "postgres.stop",
                "value": {}, "within": "5m",
            });
            self.say(Event::Began(serde_json::from_value(began).unwrap()));
            let change = crate::base::Place::on(&host.into()).at(crate::base::Change::StopUnit("db".into()));
            self.say(Event::Announced {
                task: task.clone(),
                way: crate::base::Way::Forward,
                number: 0,
                changes: vec![change],
                expect: Value::Null,
                boot: "b".into(),
                no_return: false,
            });
            let how = How::Done { outputs: Value::Null };
            self.say(Event::Ended { task, way: crate::base::Way::Forward, how, seen: None, changed: true });
        }
        fn refused(&self, at: (u8, &str), action: &str, value: Value) {
            self.ended(at, action, value, How::Refused("no".into()), None);
        }
        /// What clients did not see, in milliseconds.
        fn out(&self, millis: i64) {
            let sight = json!({"sight": {"service": "crm"}, "down": false});
            self.task((1, "lb"), "service.watch", sight, Value::Null, Some(json!({})));
            let outage = ClientOutage {
                from: Some(at(self.second, 0)),
                until: Some(at(self.second, millis * 1000)),
                micros: u64::try_from(millis * 1000).unwrap(),
                failed: 14,
            };
            let seen = ClientFacts { failed: 14, tries: 700, outages: vec![outage], ..ClientFacts::steadily(true) };
            let value = json!({
                "sight": {"service": "crm"}, "promise": {"rto": "30s", "rpo": "0B", "rpo_bytes": 0}, "within": "1m",
            });
            self.task((9, "lb"), "service.verify", value, Value::Null, Some(json!(seen)));
        }
        fn end(&self, outcome: End) {
            let end = Summary { outcome, exit_code: outcome.code(), why: None, changed: 0, owed: 0, stands: vec![] };
            self.say(Event::Finished(end));
        }
    }

    fn stored() -> Stored {
        let stored = Stored::new();
        let Event::Started(header) = stored.journal.records(&stored.newest()).unwrap().remove(0).event else {
            panic!()
        };
        let project = sample_services::moving().project;
        let begin_with = |second: i64, runbook: &str, params: Value| {
            let params = serde_json::from_value(params).unwrap();
            let header = Header { project: project.clone(), runbook: runbook.into(), params, ..*header.clone() };
            let record: Record = stored.journal.begin(at(second, 0), header).unwrap();
            Run { stored: &stored, id: record.run, second }
        };
        let begin = |second: i64, runbook: &str| begin_with(second, runbook, json!({}));
        let run = begin(0, "failover-crm-to-dc2");
        run.touches((3, "dc1-db1"));
        run.out(480);
        run.task((5, "dc2-db1"), "postgres.promote", json!({}), json!({"lost_bytes": 0}), None);
        run.end(End::Done);
        let stated = json!({
            "lost_at_least_bytes": 0, "lost_at_most_bytes": 1 << 20, "lost_at_most_seconds": 42,
            "kept_until": at(86_390, 0).to_string(),
        });
        let run = begin_with(86_400, "failover-crm-to-dc1", stated.clone());
        let forced = run.id.clone();
        run.touches((3, "dc2-app1"));
        run.out(40_000);
        let value = json!({"unfenced": "the power is off, says Maria"});
        run.task((5, "dc1-db1"), "postgres.promote", value, json!({"lost_bytes": null}), None);
        run.end(End::Done);
        let run = begin(90_000, "failover-drill-crm");
        run.task((2, "dc2-db1"), "postgres.ready", json!({}), Value::Null, None);
        run.touches((3, "dc1-db1"));
        run.out(143);
        run.end(End::Done);
        // refused before anything was touched, though a client was watched
        let run = begin(89_000, "failover-crm-to-dc2");
        run.out(0);
        run.refused((2, "dc2-db1"), "postgres.ready", json!({}));
        run.end(End::RolledBack);
        // forced once more before its promotion, and refused there: it has lost nothing
        let run = begin_with(86_300, "failover-crm-to-dc1", stated.clone());
        run.refused((5, "dc1-db1"), "postgres.promote", json!({"unfenced": "says Maria"}));
        run.end(End::Failed);
        let mut named = stated;
        named["forced_run"] = json!(forced);
        let run = begin_with(172_800, "failover-rejoin-crm", named);
        let found = json!({"lost_bytes": 8192, "last": at(86_396, 0).to_string()});
        run.task((2, "dc2-db1"), "postgres.follow", json!({}), found, None);
        run.end(End::Done);
        // once more, and nothing was left to do: what was found stays
        let run = begin(172_850, "failover-rejoin-crm");
        run.task((2, "dc2-db1"), "postgres.follow", json!({}), json!({"lost_bytes": 0}), None);
        run.end(End::Done);
        // others are not its own
        begin(172_900, "failover-drill-crm-to-dc1").end(End::Done);
        begin(172_901, "failover-silent-to-dc1").end(End::Done);
        stored
    }

    #[test]
    fn its_runs_are_found_newest_first_and_what_a_forced_one_lost_by_its_rejoin() {
        let told = |one: &Move| {
            let outage = one.outage.as_ref().map(|outage| outage.ms);
            (one.kind, one.route(), outage, one.lost, one.accepted.is_some())
        };
        let all: Vec<_> = moved().iter().map(told).collect();
        assert_eq!(
            all,
            [
                (Kind::Rejoin, "dc2".to_owned(), None, Some(0), false),
                (Kind::Rejoin, "dc2".to_owned(), None, Some(8192), false),
                (Kind::Drill, "dc1 → dc2".to_owned(), Some(143), None, false),
                (Kind::Switch, "dc1 → dc2".to_owned(), Some(0), None, false),
                (Kind::Forced, "dc2 → dc1".to_owned(), Some(40_000), Some(8192), true),
                (Kind::Forced, "dc2 → dc1".to_owned(), None, None, true),
                (Kind::Switch, "dc1 → dc2".to_owned(), Some(480), Some(0), false),
            ]
        );
    }

    #[test]
    fn what_has_moved_a_service_is_told_from_what_was_only_tried() {
        let told: Vec<_> =
            moved().iter().map(|one| (one.kind.letter(), one.touched, one.moved, one.outcome())).collect();
        let of = |letter, touched, moved, outcome: &str| (letter, touched, moved, outcome.to_owned());
        assert_eq!(
            told,
            [
                of('r', false, false, "done"),
                of('r', false, false, "done"),
                of('d', true, false, "done"),
                of('s', false, false, "refused"),
                of('f', true, true, "done"),
                of('f', false, false, "failed"),
                of('s', true, true, "done"),
            ]
        );
    }

    #[test]
    fn the_last_switch_is_found_behind_many_attempts() {
        let stored = stored();
        let inventory = sample_services::moving();
        let service = &inventory.services["crm"];
        let Event::Started(header) = stored.journal.records(&stored.newest()).unwrap().remove(0).event else {
            panic!()
        };
        for second in 0..60 {
            let header = Header { runbook: "failover-crm-to-dc2".into(), ..*header.clone() };
            let record = stored.journal.begin(at(200_000 + second, 0), header).unwrap();
            Run { stored: &stored, id: record.run, second: 200_000 + second }.end(End::NotNow);
        }
        let recent = recent(&stored.past(Output::Table), &inventory, service).unwrap();
        assert!(recent.len() > 60 && recent.last().unwrap().moved, "{}", recent.len());
    }
}
