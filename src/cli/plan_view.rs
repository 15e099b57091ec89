//! A plan for people: one block a step, hosts folded where the same would happen to them, what is not sure named as such.

use crate::{
    actions::{CATALOG, Entry},
    base::words,
    engine::plan::{Certainty, Plan, PlannedChange, PlannedTask},
    ui::{
        facts::masked,
        paint::{Paint, plain},
        wrap,
    },
};
use std::collections::BTreeSet;

/// How much of it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// All of it, with diffs: `svcops plan`.
    Full,
    /// A line a step: what `svcops run` shows before it asks.
    Short,
}

/// The plan as text, in lines of at most `width` columns (but for words that are longer by themselves).
pub fn text(plan: &Plan, depth: Depth, paint: Paint, width: usize) -> String {
    let view = View { paint, width };
    let mut text = view.head(plan);
    let mut left_out = Vec::new();
    for step in steps(plan, depth) {
        let drawn = match depth {
            Depth::Full => view.step(&step),
            Depth::Short => view.short(&step),
        };
        if drawn.is_empty() && !step.turns_back() {
            left_out.push(step.number);
        }
        if step.crosses() {
            text += &view.turn("point of no return: from here on the run only goes forward", depth);
        }
        text += &drawn;
        if step.turns_back() {
            text += &view.turn("a drill: all of it goes back from here", depth);
        }
    }
    text + &view.foot(plan, depth, &left_out)
}

/// Whether a run of it would change anything, as far as can be known.
pub fn changes(plan: &Plan) -> bool {
    plan.tasks.iter().any(|t| !t.changes.is_empty() || (t.certainty != Certainty::Exact && t.trouble.is_none()))
}

/// Whether something could not be observed, or would be refused.
pub fn unseen(plan: &Plan) -> bool {
    plan.tasks.iter().any(|t| t.trouble.is_some())
}

/// The tasks of one step, in whatever batches.
struct Step<'a> {
    number: &'a str,
    name: &'a str,
    action: &'a str,
    batches: BTreeSet<usize>,
    groups: Vec<Group<'a>>,
}

impl Step<'_> {
    /// The run would cross its point of no return with it.
    fn crosses(&self) -> bool {
        let acts = |task: &PlannedTask| !task.changes.is_empty() || task.certainty != Certainty::Exact;
        self.groups.iter().any(|group| group.first.no_return && acts(group.first))
    }
    /// The run would turn back after it.
    fn turns_back(&self) -> bool {
        let applies = |group: &Group<'_>| group.first.note.is_none() && group.first.trouble.is_none();
        Entry::find(CATALOG, self.action).is_some_and(|entry| entry.traits.turns_back)
            && self.groups.iter().any(applies)
    }
}

/// Hosts to which the same would happen.
struct Group<'a> {
    first: &'a PlannedTask,
    hosts: Vec<&'a str>,
}

fn steps(plan: &Plan, depth: Depth) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    for task in &plan.tasks {
        let known =
            steps.iter().position(|s| s.number == task.number && s.name == task.step && s.action == task.action);
        let index = known.unwrap_or(steps.len());
        if known.is_none() {
            let (number, name, action) = (task.number.as_str(), task.step.as_str(), task.action.as_str());
            steps.push(Step { number, name, action, batches: BTreeSet::new(), groups: Vec::new() });
        }
        let Some(step) = steps.get_mut(index) else { continue };
        step.batches.extend(task.batch.map(|b| b.number));
        match step.groups.iter_mut().find(|g| same(g.first, task, depth)) {
            Some(group) => group.hosts.push(task.host.as_str()),
            None => step.groups.push(Group { first: task, hosts: vec![task.host.as_str()] }),
        }
    }
    steps
}

/// Equal but for the hosts' own names, as far as it is shown.
fn same(one: &PlannedTask, other: &PlannedTask, depth: Depth) -> bool {
    let line = |task: &PlannedTask, text: &str| masked(text, task.host.as_str());
    let change = |a: &PlannedChange, b: &PlannedChange| {
        let shown = |change: &PlannedChange, of: &PlannedTask| {
            (line(of, &change.before), line(of, &change.after), change.diff.clone())
        };
        line(one, &a.what) == line(other, &b.what) && (depth == Depth::Short || shown(a, one) == shown(b, other))
    };
    let words = |task: &PlannedTask, text: &Option<String>| text.as_ref().map(|t| line(task, t));
    one.certainty == other.certainty
        && one.known_after == other.known_after
        && words(one, &one.note) == words(other, &other.note)
        && words(one, &one.trouble) == words(other, &other.trouble)
        && one.changes.len() == other.changes.len()
        && one.changes.iter().zip(&other.changes).all(|(a, b)| change(a, b))
}

struct View {
    paint: Paint,
    width: usize,
}

impl View {
    fn head(&self, plan: &Plan) -> String {
        let mut line = format!("plan of `{}` in project `{}`", plan.runbook, plan.project);
        if !plan.params.is_empty() {
            let params: Vec<String> = plan.params.iter().map(|(k, v)| format!("{k}={}", bare(v))).collect();
            line += &format!(", with {}", params.join(", "));
        }
        if let Some(options) = &plan.limited_by {
            line += &format!(", only `{options}`");
        }
        self.paint.bold(&wrap::hanging("", &plain(&line), self.width)) + "\n"
    }

    fn step(&self, step: &Step<'_>) -> String {
        let mut head = format!("{} {}", step.number, plain(step.name));
        if step.name != step.action {
            head += &format!(": {}", step.action);
        }
        if step.batches.len() > 1 {
            head += &format!(", in {} batches", step.batches.len());
        }
        let mut text = format!("\n{}\n", self.paint.bold(&wrap::hanging("", &head, self.width)));
        for group in &step.groups {
            text += &self.group(group);
        }
        text
    }

    fn group(&self, group: &Group<'_>) -> String {
        let task = group.first;
        let shared = group.hosts.len() > 1;
        let word = |text: &str| plain(&if shared { masked(text, task.host.as_str()) } else { text.to_owned() });
        let head = format!("{}: {}", group.hosts.join(", "), sure(task));
        let mut text = wrap::hanging("  ", &head, self.width) + "\n";
        if let Some(trouble) = &task.trouble {
            text += &self.paint.red(&wrap::hanging("    trouble: ", &word(trouble), self.width));
            text.push('\n');
        }
        if let Some(note) = &task.note {
            text += &(wrap::hanging("    note: ", &word(note), self.width) + "\n");
        }
        for change in &task.changes {
            let what = word(&change.what);
            let (before, after) = (word(&change.before), word(&change.after));
            text += &(wrap::hanging("    - ", &what, self.width) + "\n");
            if !(before.is_empty() && after.is_empty()) {
                text += &(wrap::hanging("      ", &format!("{before} → {after}"), self.width) + "\n");
            }
            if let Some(diff) = &change.diff {
                text += &self.diff(diff);
            }
        }
        text
    }

    /// A line of its own where the run turns, between steps.
    fn turn(&self, words: &str, depth: Depth) -> String {
        let (before, first) = if depth == Depth::Full { ("\n", "") } else { ("", "  ") };
        format!("{before}{}\n", self.paint.bold(&wrap::hanging(&format!("{first}---- "), words, self.width)))
    }

    /// A diff is kept to the letter: a line that is too long goes on in the next one.
    fn diff(&self, diff: &str) -> String {
        let mut text = String::new();
        for line in plain(diff).lines() {
            for part in wrap::hard(line, self.width.saturating_sub(8)) {
                let painted = match line.chars().next() {
                    Some('+') => self.paint.green(&part),
                    Some('-') => self.paint.red(&part),
                    Some('@') => self.paint.cyan(&part),
                    _ => part,
                };
                text += format!("        {painted}").trim_end();
                text.push('\n');
            }
        }
        text
    }

    fn short(&self, step: &Step<'_>) -> String {
        let mut text = String::new();
        for group in &step.groups {
            let task = group.first;
            if task.certainty == Certainty::Exact && task.changes.is_empty() && task.trouble.is_none() {
                continue;
            }
            let hosts: Vec<&str> = group.hosts.clone();
            let what = if let Some(trouble) = &task.trouble {
                format!("trouble: {trouble}")
            } else if task.changes.is_empty() {
                sure(task)
            } else {
                let unsure =
                    if task.certainty == Certainty::Exact { String::new() } else { format!(" ({})", sure(task)) };
                task.changes.iter().map(|c| c.what.as_str()).collect::<Vec<_>>().join(", ") + &unsure
            };
            let what = if hosts.len() > 1 { masked(&what, task.host.as_str()) } else { what };
            let line = format!("{}: {}: {}", plain(step.name), words::list(&hosts, 6), plain(&what));
            text += &(wrap::hanging(&format!("  {:<4} ", step.number), &line, self.width) + "\n");
        }
        text
    }

    fn foot(&self, plan: &Plan, depth: Depth, left_out: &[&str]) -> String {
        let acting: Vec<&PlannedTask> = plan.tasks.iter().filter(|t| !t.changes.is_empty()).collect();
        // what is sent or asked from here touches no host
        let once = |task: &PlannedTask| Entry::find(CATALOG, &task.action).is_some_and(|entry| entry.traits.once);
        let hosts = acting.iter().filter(|t| !once(t)).map(|t| &t.host).collect::<BTreeSet<_>>().len();
        let open = plan.tasks.iter().filter(|t| t.certainty != Certainty::Exact).count();
        let mut lines = Vec::new();
        let sum: usize = acting.iter().map(|t| t.changes.len()).sum();
        let troubles = plan.tasks.iter().filter(|t| t.trouble.is_some()).count();
        if sum == 0 && open == 0 && troubles == 0 {
            lines.push("nothing to change: everything is as the runbook wants it".to_owned());
        } else {
            let mut line =
                format!("{} on {} of {}", words::count("change", sum), hosts, words::count("host", plan.of_hosts));
            if !plan.sites.is_empty() {
                line +=
                    &format!(" ({}: {})", if plan.sites.len() == 1 { "site" } else { "sites" }, plan.sites.join(", "));
            }
            if open > 0 {
                line += &format!("; {} not known before the run", words::count("task", open));
            }
            lines.push(line);
        }
        if let (Some(_), false) = (left_out.first(), sum == 0 && open == 0 && troubles == 0) {
            let (steps, look) =
                if left_out.len() == 1 { ("step", "looks or finds") } else { ("steps", "look or find") };
            lines.push(format!("not listed: {steps} {}, which only {look} nothing to do", listed(left_out)));
        }
        if troubles > 0 {
            lines.push(self.paint.red(&format!(
                "{} in trouble: it would fail or could not be observed",
                words::count("task", troubles)
            )));
        }
        if depth == Depth::Full {
            lines.push(format!("plan {}", plan.hash.short()));
        }
        let mut text = String::from("\n");
        for line in lines {
            text += &(wrap::hanging("", &line, self.width) + "\n");
        }
        text
    }
}

/// How sure a task is, in words.
pub fn sure(task: &PlannedTask) -> String {
    match task.certainty {
        Certainty::Exact if task.changes.is_empty() && task.trouble.is_some() => "in trouble".to_owned(),
        Certainty::Exact if task.changes.is_empty() => "exact, nothing to do".to_owned(),
        Certainty::Exact => "exact".to_owned(),
        Certainty::Conditional => match &task.known_after {
            Some(step) => format!("conditional, known after step {step}"),
            None => "conditional, known only during the run".to_owned(),
        },
        Certainty::Opaque => "opaque, what it changes has no model".to_owned(),
    }
}

/// The numbers of steps: `1, 2, 8`; many are only counted.
fn listed(numbers: &[&str]) -> String {
    match numbers.split_at_checked(12) {
        Some((first, rest)) if !rest.is_empty() => format!("{} and {} more", first.join(", "), rest.len()),
        _ => numbers.join(", "),
    }
}

fn bare(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Change, Hash, HostName, Place, TaskId};

    fn task(number: &str, step: &str, host: &str, certainty: Certainty, changes: Vec<PlannedChange>) -> PlannedTask {
        let host = HostName::from(host);
        PlannedTask {
            step: step.into(),
            number: number.into(),
            task: TaskId::new(number, &host),
            host,
            action: "file.copy".into(),
            batch: None,
            certainty,
            known_after: None,
            no_return: false,
            changes,
            note: None,
            trouble: None,
        }
    }

    fn change(what: &str, before: &str, after: &str, diff: Option<&str>) -> PlannedChange {
        PlannedChange {
            what: what.into(),
            change: Place::HERE.at(Change::RemoveFile("/x".into())),
            before: before.into(),
            after: after.into(),
            diff: diff.map(Into::into),
            from: None,
        }
    }

    fn plan(tasks: Vec<PlannedTask>) -> Plan {
        Plan {
            schema_version: 1,
            hash: Hash::of(b"plan"),
            project: "crm".into(),
            runbook: "billing-restart".into(),
            limited_by: None,
            params: [("site".to_owned(), serde_json::json!("dc1"))].into(),
            hosts: vec!["dc1-app1".into(), "dc1-app2".into()],
            sites: vec!["dc1".into()],
            of_hosts: 7,
            tasks,
            pinned: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn a_fleet_whose_files_differ_by_the_hosts_name_is_one_line_before_a_run() {
        let tasks = ["web001", "web002", "web003"].map(|host| {
            let change = change(&format!("write `/etc/{host}.conf`"), "absent", &format!("{} bytes", host.len()), None);
            task(
                "1",
                "Settings",
                host,
                Certainty::Exact,
                vec![PlannedChange { after: Hash::of(host.as_bytes()).0, ..change }],
            )
        });
        insta::assert_snapshot!(text(&plan(tasks.to_vec()), Depth::Short, Paint::default(), 80), @r"
        plan of `billing-restart` in project `crm`, with site=dc1
          1    Settings: `web001`, `web002`, `web003`: write `/etc/HOST.conf`

        3 changes on 3 of 7 hosts (site: dc1)
        ");
    }

    #[test]
    fn hosts_to_which_the_same_would_happen_are_folded() {
        let diff = "@@ -1 +1 @@\n-порт: 80\n+порт: 8080";
        let copy = |host: &str| {
            let change = change("write `/etc/billing.conf`", "18 bytes", "20 bytes", Some(diff));
            task("2.2", "New configuration", host, Certainty::Exact, vec![change])
        };
        let drain = |host: &str| {
            let change = change(&format!("set `billing/{host}` to drain"), "ready", "drain", None);
            task("2.1", "Drain", host, Certainty::Exact, vec![change])
        };
        let mut last = task("3", "Migrate", "dc1-app2", Certainty::Conditional, Vec::new());
        last.known_after = Some("2.2".into());
        let opaque = task("4", "Say", "dc1-app2", Certainty::Opaque, vec![change("run `true`", "", "", None)]);
        let tasks = vec![drain("dc1-app1"), copy("dc1-app1"), drain("dc1-app2"), copy("dc1-app2"), last, opaque];
        insta::assert_snapshot!(text(&plan(tasks), Depth::Full, Paint::default(), 80), @r"
        plan of `billing-restart` in project `crm`, with site=dc1

        2.1 Drain: file.copy
          dc1-app1, dc1-app2: exact
            - set `billing/HOST` to drain
              ready → drain

        2.2 New configuration: file.copy
          dc1-app1, dc1-app2: exact
            - write `/etc/billing.conf`
              18 bytes → 20 bytes
                @@ -1 +1 @@
                -порт: 80
                +порт: 8080

        3 Migrate: file.copy
          dc1-app2: conditional, known after step 2.2

        4 Say: file.copy
          dc1-app2: opaque, what it changes has no model
            - run `true`

        5 changes on 2 of 7 hosts (site: dc1); 2 tasks not known before the run
        plan 64879f7d6b96
        ");
    }

    #[test]
    fn only_a_whole_name_is_masked() {
        assert_eq!(
            masked("set `billing/lb` on lb, not lb2 or club", "lb"),
            "set `billing/HOST` on HOST, not lb2 or club"
        );
    }

    #[test]
    fn every_line_fits_eighty_columns() {
        let long = "слово ".repeat(60);
        let tasks = vec![task(
            "1",
            &long,
            "web-1",
            Certainty::Exact,
            vec![change(&long, &long, &long, Some(&format!("+{}", "x".repeat(300))))],
        )];
        for depth in [Depth::Full, Depth::Short] {
            let text = text(&plan(tasks.clone()), depth, Paint::default(), 80);
            for line in text.lines() {
                assert!(unicode_width::UnicodeWidthStr::width(line) <= 80, "{line}");
            }
        }
    }

    #[test]
    fn a_plan_in_trouble_is_neither_exact_nor_as_it_should_be() {
        let lost = task("1", "Start", "web-1", Certainty::Exact, Vec::new());
        let lost = PlannedTask { trouble: Some("could not reach `web-1`".into()), ..lost };
        let drawn = text(&plan(vec![lost]), Depth::Full, Paint::default(), 80);
        assert!(!drawn.contains("nothing to change") && !drawn.contains("exact"), "{drawn}");
        assert!(drawn.contains("web-1: in trouble") && drawn.contains("0 changes on 0 of 7 hosts"), "{drawn}");
    }

    #[test]
    fn a_plan_without_changes_says_so() {
        let plan = plan(vec![task("1", "Start", "web-1", Certainty::Exact, Vec::new())]);
        assert!(!changes(&plan));
        insta::assert_snapshot!(text(&plan, Depth::Short, Paint::default(), 80), @r"
        plan of `billing-restart` in project `crm`, with site=dc1

        nothing to change: everything is as the runbook wants it
        ");
    }

    #[test]
    fn a_plan_shows_where_it_cannot_go_back_any_more_and_why_numbers_are_missing() {
        let act = |number: &str, step: &str, host: &str| {
            task(
                number,
                step,
                host,
                Certainty::Exact,
                vec![change(&format!("stop `{step}`"), "active", "inactive", None)],
            )
        };
        let idle = |number: &str| task(number, "Look", "dc1-db1", Certainty::Exact, Vec::new());
        let promote = PlannedTask { no_return: true, ..act("4", "Promote", "dc2-db1") };
        let tasks =
            vec![idle("1"), idle("2"), act("3", "Stop", "dc1-db1"), promote, idle("5"), act("6", "Start", "dc2-db1")];
        insta::assert_snapshot!(text(&plan(tasks.clone()), Depth::Short, Paint::default(), 80), @r"
        plan of `billing-restart` in project `crm`, with site=dc1
          3    Stop: `dc1-db1`: stop `Stop`
          ---- point of no return: from here on the run only goes forward
          4    Promote: `dc2-db1`: stop `Promote`
          6    Start: `dc2-db1`: stop `Start`

        3 changes on 2 of 7 hosts (site: dc1)
        not listed: steps 1, 2, 5, which only look or find nothing to do
        ");
        let full = text(&plan(tasks), Depth::Full, Paint::default(), 80);
        assert!(
            full.contains("\n---- point of no return: from here on the run only goes forward\n\n4 Promote"),
            "{full}"
        );
        assert!(!full.contains("not listed"), "{full}");
        // it is behind it already
        let promoted =
            PlannedTask { changes: Vec::new(), ..task("4", "Promote", "dc2-db1", Certainty::Exact, Vec::new()) };
        let promoted = PlannedTask { no_return: true, ..promoted };
        let text = text(&plan(vec![promoted, act("6", "Start", "dc2-db1")]), Depth::Short, Paint::default(), 80);
        assert!(
            !text.contains("point of no return") && text.contains("not listed: step 4, which only looks"),
            "{text}"
        );
    }

    #[test]
    fn a_drills_plan_says_where_it_turns_back() {
        let end =
            PlannedTask { action: "drill.end".into(), ..task("2", "Back", "(here)", Certainty::Exact, Vec::new()) };
        let stop = task("1", "Stop", "dc1-db1", Certainty::Exact, vec![change("stop it", "active", "inactive", None)]);
        insta::assert_snapshot!(text(&plan(vec![stop, end]), Depth::Short, Paint::default(), 80), @r"
        plan of `billing-restart` in project `crm`, with site=dc1
          1    Stop: `dc1-db1`: stop it
          ---- a drill: all of it goes back from here

        1 change on 1 of 7 hosts (site: dc1)
        ");
    }
}
