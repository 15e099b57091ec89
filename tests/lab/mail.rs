//! Mails to a real server.

use crate::{hosts::Lab, support::is};
use serde_json::Value;

const RUNBOOK: &str = "svcops: 1
name: tell
targets: dc1-app1
params: {nodes: {type: int, default: 4}}
steps:
  - name: Tell everybody
    notify.email:
      to: [duty@lab.test, boss@lab.test]
      subject: 'Биллинг на {{ params.nodes }} узлах перезапущен, всё в порядке: подробности — в журнале'
      body: |
        Здравствуйте.
        .
        Перезапуск закончен.
";

#[test]
fn a_mail_in_russian_reaches_everybody_as_it_was_written_and_once() {
    let Some(lab) = Lab::take("a_mail_in_russian_reaches_everybody_as_it_was_written_and_once") else { return };
    let before = lab.mails_with("").len();
    let crm = lab.crm();
    crm.file("runbooks/tell.yaml", RUNBOOK);
    crm.svcops(&["doctor", "-l", "dc1-app1"]).says("mail: 127.0.0.1:1025 answers as");
    crm.svcops(&["run", "runbooks/tell.yaml", "--yes"]).exits(0);

    let run = crm.newest()["run"].as_str().unwrap().to_owned();
    let mails = lab.mails_with(&format!("X-Svcops-Run: {run}"));
    assert_eq!(lab.mails_with("").len(), before + 1);
    let headers = parsed(&mails[0]);
    assert_eq!(headers["subject"], "Биллинг на 4 узлах перезапущен, всё в порядке: подробности — в журнале");
    assert_eq!(headers["text"], "Здравствуйте.\n.\nПерезапуск закончен.");
    assert_eq!(headers["from"], "svcops@lab.test");
    assert_eq!(headers["to"], "duty@lab.test, boss@lab.test");
    assert_eq!(headers["auto-submitted"], "auto-generated");
    assert!(headers["message-id"].as_str().unwrap().starts_with(&format!("<{run}.")), "{headers}");
    let receipt = crm.events(&run).into_iter().find(|event| is(event, "carried")).unwrap();
    assert_eq!(receipt["receipt"]["outcome"], "ok", "{receipt}");
}

/// A mail as a mail program reads it: its headers in small letters, and its `text`.
pub fn parsed(mail: &str) -> Value {
    const READ: &str = "
import email, email.policy, json, sys
mail = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
print(json.dumps({**{k.lower(): str(v) for k, v in mail.items()}, 'text': '\\n'.join(mail.get_content().splitlines())}))";
    let mut python = std::process::Command::new("/usr/bin/python3")
        .args(["-c", READ])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut python.stdin.take().unwrap(), mail.as_bytes()).unwrap();
    serde_json::from_slice(&python.wait_with_output().unwrap().stdout).unwrap()
}
