//! The parts of `svcops status`: each a pure function from what was seen to how it stands. A new thing to look at is one
//! field of [`Seen`], one function here, and its line in [`SECTIONS`].

use super::{
    super::app,
    certs::{self, Certs},
    services::{self, Services},
};
use crate::{
    base::{HostName, TaskId, words},
    journal::{
        RunRow,
        event::{Batch, End},
        locks::Holding,
        outbox::Undelivered,
    },
    survey::app::{AppStatus, HostStatus, Level},
    ui::{
        history::Listed,
        lines,
        owed::{self, Unpaid},
    },
};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

/// All that was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// How each app stands.
    pub apps: Apps,
    /// Where each service is.
    pub(super) services: Services,
    /// How each declared certificate stands.
    pub certs: Certs,
    /// The runs that a living process drives.
    pub under_way: Vec<UnderWay>,
    /// The runs that nobody drives and that are not at their end.
    pub left: Vec<Left>,
    /// What runs have left to be done.
    pub owed: Vec<Unpaid>,
    /// What ticket systems were not told yet.
    pub undelivered: Undelivered,
    /// What is locked.
    pub held: Vec<Holding>,
    /// The newest runs that are over.
    pub last: Vec<Listed>,
    /// When this was.
    pub now: Timestamp,
    /// In which times are shown.
    pub zone: TimeZone,
}

/// How apps stand.
#[derive(Clone, Debug)]
pub enum Apps {
    /// As seen on their hosts, apps without a chosen host left out.
    Seen(Vec<AppStatus>),
    /// So many are declared, and no host was asked.
    NotAsked(usize),
}

/// A run in progress.
#[derive(Clone, Debug)]
pub struct UnderWay {
    /// What the journal says.
    pub row: RunRow,
    /// Who drives it now: who began it, or resumed it.
    pub operator: String,
    /// Where it is: the step's number path and name, and the batch.
    pub step: Option<(String, String, Option<Batch>)>,
    /// Why it goes back or stops, if it does.
    pub turned: Option<String>,
}

/// A run that waits for a person.
#[derive(Clone, Debug)]
pub struct Left {
    /// What the journal says.
    pub row: RunRow,
    /// Tasks that began and did not end, or of which nobody knows what they did.
    pub doubts: Vec<TaskId>,
}

/// One part of the answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// Its name, for JSON too.
    pub name: &'static str,
    /// How it stands.
    pub level: Level,
    /// That in half a sentence: `2 debts are owed`.
    pub says: String,
    /// What there is to say of single things.
    pub items: Vec<Item>,
    /// A command that shows more.
    pub hint: Option<String>,
    /// The same for programs, in full.
    pub json: Value,
}

/// A single thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is and how it stands.
    pub text: String,
    /// What it is made of, where that matters.
    pub under: Vec<String>,
    /// The command that goes on.
    pub hint: Option<String>,
}

/// All parts, in their order.
const SECTIONS: &[fn(&Seen) -> Section] =
    &[apps, services::services, certs::certificates, under_way, left, owed, tickets, locks, last];

/// What each part says; one that is about nothing of this project says nothing.
pub fn sections(seen: &Seen) -> Vec<Section> {
    SECTIONS.iter().map(|section| section(seen)).filter(|section| !section.says.is_empty()).collect()
}

/// So many single things are shown; the rest is counted.
pub(super) const MOST: usize = 5;
/// So many apps that are well are named; more are counted.
const MOST_APPS: usize = 8;

fn apps(seen: &Seen) -> Section {
    let part = Section::new("apps", Level::Ok);
    let apps = match &seen.apps {
        Apps::NotAsked(n) => return part.says(format!("{}, no host was asked", words::count("app", *n))),
        Apps::Seen(apps) => apps,
    };
    let well = |app: &&AppStatus| app.level() == Level::Ok;
    let (good, bad): (Vec<&AppStatus>, Vec<&AppStatus>) = apps.iter().partition(well);
    let mut items: Vec<Item> = bad.iter().map(|app| in_trouble(app)).collect();
    let mut says = match (apps.len(), bad.as_slice()) {
        (0, _) => "no app is declared".to_owned(),
        (_, [one]) => format!("app `{}` is in service on {}", one.app, able(one)),
        (all, []) => format!("{} in service", words::count("app", all)),
        (all, bad) => format!("{} of {} not in service as they should be", bad.len(), words::count("app", all)),
    };
    if good.len() <= MOST_APPS {
        items.extend(good.iter().map(|app| Item::of(format!("`{}` is in service on {}", app.app, able(app)))));
    } else if !bad.is_empty() {
        items.push(Item::of(format!("{} in service on all of their hosts", words::count("other app", good.len()))));
    }
    if let [one] = bad.as_slice() {
        items = in_trouble(one).under.into_iter().map(Item::of).chain(items.into_iter().skip(1)).collect();
    }
    if let [one] = apps.as_slice()
        && bad.is_empty()
    {
        says = format!("app `{}` is in service on {}", one.app, able(one));
        items.clear();
    }
    let hint = bad.first().map(|app| format!("`svcops app status {}` has every host", app.app));
    let json = apps.iter().map(app::json).collect();
    Section { level: Level::worst(apps.iter().map(AppStatus::level)), items, hint, json, ..part.says(says) }
}

/// An app with the hosts that are not in service, those with the same trouble together.
fn in_trouble(app: &AppStatus) -> Item {
    let mut troubles: Vec<(String, Vec<&HostName>)> = Vec::new();
    for HostStatus { host, .. } in app.hosts.iter().filter(|h| !h.in_service()) {
        let why = app.hosts.iter().find(|h| h.host == *host).map(app::trouble).unwrap_or_default();
        match troubles.iter_mut().find(|(known, _)| *known == why) {
            Some((_, hosts)) => hosts.push(host),
            None => troubles.push((why, vec![host])),
        }
    }
    let mut under: Vec<String> =
        troubles.iter().take(MOST).map(|(why, hosts)| format!("{}: {why}", words::list(hosts, 3))).collect();
    if troubles.len() > MOST {
        under.push(format!(
            "and {} with other troubles",
            words::count("host", troubles.iter().skip(MOST).map(|(_, h)| h.len()).sum())
        ));
    }
    let text = format!("{} `{}` is in service on {}", app::word(app.level()), app.app, able(app));
    Item { text, under, hint: None }
}

fn able(app: &AppStatus) -> String {
    let able = app.hosts.iter().filter(|h| h.in_service()).count();
    format!("{able} of {}", words::count("host", app.hosts.len()))
}

fn under_way(seen: &Seen) -> Section {
    let part = Section::new("runs", Level::Ok);
    let Some(first) = seen.under_way.first() else { return part.says("no run is in progress") };
    let item = |run: &UnderWay| {
        let row = &run.row;
        let step = run.step.as_ref().map_or_else(String::new, |(step, name, batch)| {
            let batch = batch.map_or_else(String::new, |b| format!(", batch {} of {}", b.number, b.of));
            format!(", at step {step} {name}{batch}")
        });
        let turned = run.turned.as_ref().map_or_else(String::new, |why| format!("; {why}"));
        let since = lines::span(lines::between(row.began, seen.now));
        Item::of(format!(
            "{} `{}` by {} on {}, for {since}{step}{turned}",
            row.run, row.runbook, run.operator, row.machine
        ))
    };
    let json = |run: &UnderWay| {
        let step = run.step.as_ref();
        json!({
            "run": run.row.run, "runbook": run.row.runbook, "operator": run.operator, "machine": run.row.machine,
            "started": run.row.began, "step": step.map(|s| &s.0), "name": step.map(|s| &s.1),
            "batch": step.and_then(|s| s.2).map(|b| b.number), "batches": step.and_then(|s| s.2).map(|b| b.of),
            "turned": run.turned,
        })
    };
    let n = seen.under_way.len();
    Section {
        items: few(seen.under_way.iter().map(item).collect(), "run"),
        hint: Some(format!("`svcops history show {} --follow` shows it as it goes", first.row.run)),
        json: seen.under_way.iter().map(json).collect(),
        ..part.says(if n == 1 { "1 run is in progress".to_owned() } else { format!("{n} runs are in progress") })
    }
}

fn left(seen: &Seen) -> Section {
    let part = Section::new("unfinished", Level::Ok);
    if seen.left.is_empty() {
        return part.says("no run was left unfinished");
    }
    let word = |left: &Left| match left.row.outcome {
        None => "was interrupted",
        Some(End::Stopped) => "was stopped",
        Some(_) => "does not know what became of an act",
    };
    let item = |left: &Left| {
        let (row, run) = (&left.row, &left.row.run);
        let doubts = match left.doubts.as_slice() {
            [] => String::new(),
            tasks => format!("; open: {}", words::list(tasks, 3)),
        };
        let who = format!("{} by {}", seen.when(row.began), row.operator);
        let hint = match (row.outcome.filter(|end| *end != End::Stopped), left.doubts.first()) {
            (Some(_), Some(task)) => format!(
                "`svcops resume {run}` asks the host again; `svcops resolve {run} {task} done|not-done --reason …` records what a person saw"
            ),
            _ => format!("`svcops resume {run}` goes on; `svcops rollback {run}` brings all back"),
        };
        Item { hint: Some(hint), ..Item::of(format!("{run} `{}` {}, begun {who}{doubts}", row.runbook, word(left))) }
    };
    let json = |left: &Left| {
        let outcome = left.row.outcome.map_or("interrupted", End::word);
        json!({
            "run": left.row.run, "runbook": left.row.runbook, "operator": left.row.operator, "machine": left.row.machine,
            "started": left.row.began, "outcome": outcome, "open": left.doubts,
        })
    };
    // one that was stopped was left so by a person; the others by a mishap, and others are refused there meanwhile
    let stopped = |left: &Left| left.row.outcome == Some(End::Stopped);
    let n = seen.left.len();
    Section {
        level: if seen.left.iter().all(stopped) { Level::Warning } else { Level::Critical },
        items: few(seen.left.iter().map(item).collect(), "run"),
        hint: (n > MOST).then(|| "`svcops history list` has them all".to_owned()),
        json: seen.left.iter().map(json).collect(),
        ..part.says(if n == 1 {
            "1 run was left unfinished".to_owned()
        } else {
            format!("{n} runs were left unfinished")
        })
    }
}

fn owed(seen: &Seen) -> Section {
    let part = Section::new("owed", Level::Ok);
    if seen.owed.is_empty() {
        return part.says("nothing is owed");
    }
    let mut groups: Vec<(&Unpaid, Vec<&HostName>)> = Vec::new();
    for unpaid in &seen.owed {
        let same = |(first, _): &&mut (&Unpaid, _)| {
            first.run.run == unpaid.run.run && first.owed.debt.step == unpaid.owed.debt.step
        };
        match groups.iter_mut().find(same) {
            Some((_, hosts)) => hosts.push(&unpaid.owed.debt.host),
            None => groups.push((unpaid, vec![&unpaid.owed.debt.host])),
        }
    }
    let item = |(first, hosts): &(&Unpaid, Vec<&HostName>)| {
        let (debt, row) = (&first.owed.debt, &first.run);
        let run = format!("run {} `{}` of {}", row.run, row.runbook, seen.when(row.began));
        Item::of(format!("{}: {} ({}), from {run}", words::list(hosts, 3), debt.name, debt.action))
    };
    let n = seen.owed.len();
    Section {
        level: Level::Warning,
        items: few(groups.iter().map(item).collect(), "step"),
        hint: Some("`svcops owed` lists what is still to be done".to_owned()),
        json: owed::json(&seen.owed).get("owed").cloned().unwrap_or_default(),
        ..part.says(if n == 1 { "1 debt is owed".to_owned() } else { format!("{n} debts are owed") })
    }
}

fn tickets(seen: &Seen) -> Section {
    let part = Section::new("tickets", Level::Ok);
    let Undelivered { rows, runs, why } = &seen.undelivered;
    if *rows == 0 {
        return part.says("tickets were told of all runs");
    }
    // a run that is under way delivers by itself
    let level = if why.is_none() && !seen.under_way.is_empty() { Level::Ok } else { Level::Warning };
    let waits = format!("{} of {} not told to tickets yet", words::count("event", *rows), words::count("run", *runs));
    Section {
        level,
        items: why.iter().map(|why| Item::of(format!("the last try: {why}"))).collect(),
        hint: (level == Level::Warning).then(|| "`svcops ticket sync` delivers what waits".to_owned()),
        json: json!([{ "events": rows, "runs": runs, "why": why }]),
        ..part.says(waits)
    }
}

fn locks(seen: &Seen) -> Section {
    let part = Section::new("locks", Level::Ok);
    if seen.held.is_empty() {
        return part.says("nothing is locked");
    }
    let item = |held: &Holding| {
        let shared = if held.shared.is_empty() { String::new() } else { format!(", {} shared", held.shared.len()) };
        Item::of(format!("run {} holds {}{shared}, by {}", held.run, words::list(&held.exclusive, 4), held.operator))
    };
    let n: usize = seen.held.iter().map(|held| held.exclusive.len()).sum();
    Section {
        items: few(seen.held.iter().map(item).collect(), "run"),
        json: seen.held.iter().map(|held| json!(held)).collect(),
        ..part.says(format!("{} held by {}", words::count("lock", n), words::count("run", seen.held.len())))
    }
}

fn last(seen: &Seen) -> Section {
    let part = Section::new("last", Level::Ok);
    let Some(newest) = seen.last.first() else { return part.says("no run has ended yet") };
    let item = |run: &Listed| {
        let row = &run.row;
        let outcome = run.outcome().replace('_', " ");
        Item::of(format!("{} {outcome:<12} {} `{}` by {}", row.run, seen.when(row.began), row.runbook, row.operator))
    };
    let json = |run: &Listed| {
        let row = &run.row;
        json!({
            "run": row.run, "runbook": row.runbook, "operator": row.operator, "started": row.began, "ended": row.ended,
            "outcome": run.outcome(), "exit_code": row.exit_code,
        })
    };
    Section {
        items: seen.last.iter().map(item).collect(),
        json: seen.last.iter().map(json).collect(),
        ..part.says(format!(
            "the last run began {}: {}",
            seen.when(newest.row.began),
            newest.outcome().replace('_', " ")
        ))
    }
}

impl Seen {
    fn when(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
    }
}

impl Section {
    /// Nothing said yet.
    pub fn new(name: &'static str, level: Level) -> Self {
        Self { name, level, says: String::new(), items: Vec::new(), hint: None, json: json!([]) }
    }
    /// With its half sentence.
    #[must_use]
    pub fn says(self, says: impl Into<String>) -> Self {
        Self { says: says.into(), ..self }
    }
}

impl Item {
    /// A line.
    pub fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), under: Vec::new(), hint: None }
    }
}

/// The first of them, and a count of the rest.
fn few(mut items: Vec<Item>, what: &str) -> Vec<Item> {
    let more = items.len().saturating_sub(MOST);
    items.truncate(MOST);
    if more > 0 {
        items.push(Item::of(format!("and {}", words::count(&format!("more {what}"), more))));
    }
    items
}
