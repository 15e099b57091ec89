//! The files of a new project. What cannot be known yet stands in comments, ready to be filled in.

use super::{Answers, App, Manager};
use crate::{runbook::FILE, transport::shell::quote};
use std::collections::BTreeMap;

/// The files by their paths in the project's folder.
pub(super) fn files(answers: &Answers) -> BTreeMap<String, String> {
    let mut files = BTreeMap::from([
        (FILE.to_owned(), project(answers)),
        ("runbooks/first.yaml".to_owned(), first(answers)),
        ("files/note.txt".to_owned(), "{{ host.name }} belongs to project {{ params.project }}.\n".to_owned()),
    ]);
    if let Some(app) = &answers.app {
        files.insert(format!("runbooks/restart-{}.yaml", app.name), restart(app));
    }
    files
}

fn project(answers: &Answers) -> String {
    let name = word(&answers.name);
    let host = match &answers.host {
        None => format!("{:<46} # this machine, without ssh", "  here: {local: true, labels: {role: app}}"),
        Some(host) => format!(
            "{:<46} # reached as `ssh {}`; ~/.ssh/config applies",
            format!("  {}: {{labels: {{role: app}}}}", word(host)),
            quote(host)
        ),
    };
    let apps = answers.app.as_ref().map_or_else(no_app, app);
    format!(
        "\
# What exists: the hosts, and the apps on them. `svcops lint` finds every mistake here; with
# `svcops schema project > project.schema.json` an editor completes the keys.
project: {name}
# timezone: Europe/Moscow                      # of reports; the machine's unless given

# ssh: {{user: ops, become: sudo}}               # who logs in, and that acts are carried out as root

# sites:
#   dc1: {{title: Main data centre}}

hosts:
{host}
# web[1-4]: {{site: dc1, labels: {{role: app}}}}   # four hosts in one line
# db1: {{address: 10.0.0.5, labels: {{role: db}}}} # `address` where the name alone leads nowhere

{apps}"
    )
}

fn app(app: &App) -> String {
    let manager = match &app.manager {
        Manager::Unit(unit) => format!("    manager: {{systemd: {}}}\n", word(unit)),
        Manager::Control(control) => {
            let verb = |verb: &str| format!("        {verb}: {}\n", word(&format!("{control} {verb}")));
            let note = "        # `status` exits 0 while the app runs, with another code while it does not\n";
            let verbs = ["start", "stop", "status"].map(verb).concat();
            format!("    manager:\n      command:\n{verbs}{note}")
        }
    };
    format!(
        "\
apps:
  {name}:
    hosts: role=app
{manager}    # A start is done once the app is healthy; so many hosts at a time, so many others must serve meanwhile.
    # health: {{http: \"http://{{{{ host.address }}}}:8080/health\", within: 30s}}
    # rolling: {{batch: 1, min_healthy: 1}}
",
        name = word(&app.name)
    )
}

fn no_app() -> String {
    "\
# apps:
#   billing:
#     hosts: role=app
#     manager: {systemd: billing.service}      # or command: {start: …, stop: …, status: …}
#     health: {http: \"http://{{ host.address }}:8080/health\", within: 30s}
#     rolling: {batch: 1, min_healthy: 1}      # one host at a time; another one must serve meanwhile
"
    .to_owned()
}

fn first(answers: &Answers) -> String {
    format!(
        "\
# A first runbook: asks every host who it is, and leaves a note there.
#   svcops plan first        what would it change?
#   svcops run first         show that, ask, carry it out
#   svcops rollback last     take it back
svcops: 1
name: first
title: A note on every host
params:
  project: {{type: string, default: {name}, help: What the note says}}
targets: all                          # or: role=app, site=dc1
steps:
  - name: Does the host answer?
    check.command: {{run: uname}}
  - name: A note
    file.template: {{src: files/note.txt, dest: {note}, mode: \"0644\"}}
",
        name = word(&answers.name),
        note = word(&format!("/tmp/{}-note.txt", answers.name)),
    )
}

fn restart(app: &App) -> String {
    let name = &app.name;
    format!(
        "\
# Restarts the app host by host; a failure takes back what was done. `svcops app restart {say}` does this
# without a runbook; one of your own can do more between a stop and a start.
svcops: 1
name: {runbook}
title: {title}
targets: role=app
steps:
  - name: Host by host
    rolling: {{batch: 1}}
    steps:
      # - name: New configuration     # put it into files/, and let the restart be its consequence: `then`
      #   file.copy: {{src: files/app.conf, dest: /etc/app/app.conf}}
      - name: Restart
        app.restart: {{app: {app}}}
",
        say = quote(name),
        runbook = word(&format!("restart-{name}")),
        title = word(&format!("Restart {name} host by host")),
        app = word(name),
    )
}

/// A text as a YAML scalar, quoted where YAML would take it for something else.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./ ".contains(c);
    let letter = text.starts_with(|c: char| c.is_alphabetic() || c == '/');
    let other =
        matches!(text.to_lowercase().as_str(), "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n");
    if letter && !other && text.chars().all(plain) && !text.ends_with(' ') {
        return text.to_owned();
    }
    // JSON's strings are YAML's too
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_yaml_would_take_for_something_else_is_quoted() {
        for (text, yaml) in [
            ("crm", "crm"),
            ("Новая-CRM", "Новая-CRM"),
            ("/opt/app/ctl start", "/opt/app/ctl start"),
            ("no", "\"no\""),
            ("2026", "\"2026\""),
            ("10.0.0.5", "\"10.0.0.5\""),
            ("a: b # c", "\"a: b # c\""),
            ("say \"x\"", "\"say \\\"x\\\"\""),
        ] {
            assert_eq!(word(text), yaml);
        }
    }
}
