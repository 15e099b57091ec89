//! `svcops doctor --sudoers`: the lines that a planned runbook needs where it acts as another user.

use crate::{
    base::{At, Change, HaproxyApi, Program},
    engine::plan::Plan,
    inventory::Inventory,
};
use std::collections::{BTreeMap, BTreeSet};

/// One line a distinct command, with what it is for; `login` is the login user where the inventory names none.
pub fn sudoers(plan: &Plan, inventory: &Inventory, login: &str) -> String {
    let mut lines: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for planned in plan.tasks.iter().flat_map(|task| &task.changes) {
        let At { at, what } = &planned.change;
        let (Some(host), Some(user)) = (&at.host, &at.become_user) else { continue };
        let from = inventory.host(host.as_str()).and_then(|h| h.ssh.user.as_deref()).unwrap_or(login);
        for command in commands(what) {
            let line = format!("{from} ALL=({user}) NOPASSWD: {command}");
            lines.entry(line).or_default().insert(planned.what.clone());
        }
    }
    let mut text = format!("# {}, plan {}: check with `visudo -cf`\n", plan.runbook, plan.hash.short());
    if lines.is_empty() {
        text += "# nothing in it acts as another user\n";
    }
    for (line, what) in lines {
        let what: Vec<&str> = what.iter().map(String::as_str).collect();
        text += &format!("# {}\n", what.join("; ").replace('\n', " "));
        if line.ends_with(SHELL) {
            text += "# WIDE: permits every command as that user, because files, sockets and environments are a script's work\n";
        }
        text += &format!("{line}\n");
    }
    text
}

/// The commands of a change, and of its undo, as sudoers writes them.
fn commands(change: &Change) -> Vec<String> {
    let unit = |verbs: &[&str], name: &str| {
        verbs.iter().map(|v| format!("/usr/bin/systemctl {v} {}", escaped(name))).collect()
    };
    match change {
        Change::StartUnit(name) | Change::StopUnit(name) => unit(&["start", "stop"], name),
        Change::RestartUnit(name) => unit(&["restart", "start", "stop"], name),
        Change::ReloadUnit(name) => unit(&["reload"], name),
        Change::EnableUnit(name) | Change::DisableUnit(name) => unit(&["enable --now", "disable --now"], name),
        Change::Run(invocation) => match &invocation.program {
            // What has an environment or a folder is started by a shell that sets them.
            _ if !invocation.env.is_empty() || invocation.cwd.is_some() => vec![SHELL.to_owned()],
            Program::Shell(text) if !text.contains('\n') => vec![format!("/bin/sh -c {}", escaped(text))],
            Program::Argv(argv) if argv.first().is_some_and(|p| p.starts_with('/')) => {
                vec![argv.iter().map(|word| escaped(word)).collect::<Vec<_>>().join(" ")]
            }
            Program::Argv(argv) if !argv.is_empty() => {
                vec![format!("/usr/bin/{}", argv.iter().map(|word| escaped(word)).collect::<Vec<_>>().join(" "))]
            }
            _ => vec![SHELL.to_owned()],
        },
        Change::WriteFile { .. }
        | Change::RemoveFile(_)
        | Change::MoveFile { .. }
        | Change::Postgres { .. }
        | Change::SetServer { api: HaproxyApi::Socket(_), .. }
        | Change::EndSessions { api: HaproxyApi::Socket(_), .. } => {
            vec![SHELL.to_owned()]
        }
        _ => Vec::new(),
    }
}

/// Files and sockets are changed by a small script of svcops: no line can name it, so it takes the shell.
const SHELL: &str = "/usr/bin/sh";

/// An argument as sudoers(5) reads it: no wildcard, no separator. A backslash is read twice, once by sudoers and once as
/// a pattern.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\\' {
            safe.push_str(r"\\\"); // three, and itself below
        } else if matches!(c, ',' | ':' | '=' | '*' | '?' | '[' | ']' | '#' | '!' | '^') {
            safe.push('\\');
        }
        safe.push(c);
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{Hash, Invocation, Place, Span, TaskId},
        engine::plan::{Certainty, PlannedChange, PlannedTask},
    };

    fn plan(changes: Vec<(Option<&str>, Change)>) -> Plan {
        let host: crate::base::HostName = "web1".into();
        let place = |user: Option<&str>| Place::on(&host).becoming(user.map(str::to_owned));
        let change = |(user, what): (Option<&str>, Change)| PlannedChange {
            what: format!("{what:?}").chars().take(20).collect(),
            change: place(user).at(what),
            before: String::new(),
            after: String::new(),
            diff: None,
            from: None,
        };
        let task = PlannedTask {
            step: "s".into(),
            number: "1".into(),
            task: TaskId::new("1", &host),
            host: host.clone(),
            action: "command".into(),
            batch: None,
            certainty: Certainty::Exact,
            known_after: None,
            no_return: false,
            changes: changes.into_iter().map(change).collect(),
            note: None,
            trouble: None,
        };
        Plan {
            schema_version: 1,
            hash: Hash::of(b"plan"),
            project: "crm".into(),
            runbook: "restart".into(),
            limited_by: None,
            params: BTreeMap::new(),
            hosts: vec![host.clone()],
            sites: vec![],
            of_hosts: 1,
            tasks: vec![task.clone(), task],
            pinned: BTreeMap::new(),
        }
    }

    fn nothing() -> Inventory {
        Inventory { project: "crm".into(), ..Inventory::default() }
    }

    fn run(program: Program) -> Change {
        Change::Run(Invocation::of(program, Span::secs(1)))
    }

    #[test]
    fn each_command_has_one_line_and_its_undo_too() {
        let argv = |words: &[&str]| run(Program::Argv(words.iter().map(|w| (*w).to_owned()).collect()));
        let text = sudoers(
            &plan(vec![
                (Some("root"), Change::StopUnit("a.service".into())),
                (Some("app"), argv(&["/opt/app/bin/check", "--level=1,2", "*", r"%s\n"])),
                (None, Change::StartUnit("mine.service".into())),
            ]),
            &nothing(),
            "ops",
        );
        let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
        assert_eq!(
            lines,
            [
                r"ops ALL=(app) NOPASSWD: /opt/app/bin/check --level\=1\,2 \* %s\\\\n",
                "ops ALL=(root) NOPASSWD: /usr/bin/systemctl start a.service",
                "ops ALL=(root) NOPASSWD: /usr/bin/systemctl stop a.service",
            ]
        );
    }

    #[test]
    fn visudo_takes_the_lines_where_it_is_installed() {
        let shell =
            run(Program::Shell(r#"echo "день: $(date +%d)" > /tmp/x; [ -f /a=b ] && true, 100% # yes!"#.into()));
        let text = sudoers(&plan(vec![(Some("root"), shell)]), &nothing(), "ops");
        assert!(text.contains("/bin/sh -c "), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("svcops");
        std::fs::write(&file, &text).unwrap();
        let Ok(said) = std::process::Command::new("/usr/sbin/visudo").arg("-cf").arg(&file).output() else { return };
        assert!(said.status.success(), "{text}{}", String::from_utf8_lossy(&said.stderr));
    }
}
