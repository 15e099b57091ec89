//! `svcops doctor`: what is missing here and on the hosts. It looks, and changes nothing unless `--prepare` is given.

mod databases;

pub(crate) use databases::databases;

use super::{args::Output, exit::ExitCode, history::pretty, words::Failure};
use crate::{
    base::{Answer, Clock, Invocation, Place, Program, Read, Span, Tls, words},
    inventory::{Client, Host, Mail},
    journal::{JournalError, SqliteJournal, place},
    transport::{
        LostKind, Transport,
        mail::{Pen, knock},
    },
    ui::{message::Message, screen::Screen, wrap},
};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use serde_json::json;
use std::{path::Path, process::Command};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Could be better; nothing is wrong.
    Hint,
    /// Works, and should not stay so.
    Warning,
    /// Could not be found out.
    Unknown,
    /// Runs will fail.
    Critical,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad.
    pub level: Level,
    /// What was looked at: `ssh`, `state directory`, a host's name.
    pub what: String,
    /// What was seen.
    pub says: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Finding {
    fn new(level: Level, what: &str, says: impl Into<String>) -> Self {
        Self { level, what: what.to_owned(), says: says.into(), hint: None }
    }
    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// The findings as text, and the exit code of a verb that checks.
pub fn report(findings: &[Finding], screen: &Screen, output: Output) -> (String, ExitCode) {
    let worst = findings.iter().map(|f| f.level).max().unwrap_or(Level::Ok);
    let (word, code) = match worst {
        Level::Ok | Level::Hint => ("ok", ExitCode::Done),
        Level::Warning => ("warning", ExitCode::AsBefore),
        Level::Critical => ("critical", ExitCode::Wrong),
        Level::Unknown => ("unknown", ExitCode::Stands),
    };
    if output != Output::Table {
        let value = json!({ "schema_version": 1, "outcome": word, "exit_code": code.number(), "findings": findings });
        return (pretty(&value), code);
    }
    let mut text = String::new();
    for finding in findings {
        let level = match finding.level {
            Level::Ok => "ok",
            Level::Hint => "hint",
            Level::Warning => "WARNING",
            Level::Unknown => "UNKNOWN",
            Level::Critical => "CRITICAL",
        };
        let line = crate::ui::paint::plain(&format!("{}: {}", finding.what, finding.says));
        text += &(wrap::hanging(&format!("{level:<10}"), &line, screen.width) + "\n");
        if let Some(hint) = &finding.hint {
            text += &(wrap::hanging("          → ", hint, screen.width) + "\n");
        }
    }
    (text, code)
}

/// Looks at this machine: the ssh client, the state, the clock.
pub fn here(state: &Result<place::State, JournalError>, hosts: &[&Host]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if hosts.iter().any(|h| !h.local) {
        findings.push(ssh_client(said("ssh", &["-V"])));
        findings.extend(key_exchange(hosts));
    }
    if hosts.iter().any(|h| h.local && h.ssh.become_user.is_some()) {
        findings.push(match said("sudo", &["-n", "-l"]) {
            Some((true, _)) => Finding::new(Level::Ok, "sudo", "lets this user in without a password"),
            Some((false, text)) => Finding::new(Level::Critical, "sudo", last_line(&text))
                .hint("`svcops doctor --sudoers RUNBOOK` prints the lines that a runbook needs"),
            None => Finding::new(Level::Critical, "sudo", "is not installed here"),
        });
    }
    findings.extend(state_directory(state));
    findings.push(clock_here(said("timedatectl", &["show", "-p", "NTPSynchronized", "--value"])));
    findings
}

/// Whether the mail server takes mail from here, as a run would send it; nothing is sent.
pub(crate) async fn mail(declared: Option<&Mail>, pen: &Pen) -> Vec<Finding> {
    let Some(mail) = declared else { return vec![] };
    let mut findings = vec![match knock(&mail.smtp, pen).await {
        Ok(says) => Finding::new(Level::Ok, "mail", says),
        Err(why) => Finding::new(Level::Critical, "mail", why).hint("`mail:` in svcops.yaml says where mail goes out"),
    }];
    if mail.smtp.tls == Tls::None && !mail.smtp.is_here() {
        let says = format!("what is sent to {} can be read on the way", mail.smtp.server);
        findings.push(Finding::new(Level::Warning, "mail", says).hint("`tls: starttls` below `mail:` encrypts it"));
    }
    findings
}

/// Looks at hosts, so many side by side.
pub async fn hosts(transport: &dyn Transport, hosts: &[&Host], parallel: usize, clock: &dyn Clock) -> Vec<Finding> {
    let looks = stream::iter(hosts.iter().map(|host| one_host(transport, host, clock)));
    looks.buffered(parallel.max(1)).collect::<Vec<_>>().await.concat()
}

async fn one_host(transport: &dyn Transport, host: &Host, clock: &dyn Clock) -> Vec<Finding> {
    let name = host.name.as_str();
    let before = clock.now().as_second();
    let script = if host.ssh.become_user.is_some() { format!("{TOOLS}{SUDO}") } else { TOOLS.to_owned() };
    let read = Place::on(&host.name).at(Read::Run(Invocation::of(Program::Shell(script), Span::secs(20))));
    let look = match transport.look(Some(&host.name), &[read]).await {
        Ok(look) => look,
        Err(lost) => {
            let finding = Finding::new(Level::Critical, name, format!("could not be reached: {}", lost.why));
            return vec![match lost.kind {
                LostKind::HostKey => finding.hint(format!(
                    "compare its key with what the host itself shows; then `ssh {name}` once by hand records a new one"
                )),
                LostKind::Denied => finding.hint(format!("`ssh -v {name}` shows which keys were offered")),
                LostKind::Unreachable | LostKind::Cancelled => {
                    finding.hint(format!("`ssh -v {name}` shows how far it comes"))
                }
            }];
        }
    };
    match look.answers.into_iter().next() {
        Some(Answer::Run(run)) if run.code == Some(0) => on_host(name, &run.stdout, before, clock.now().as_second()),
        Some(Answer::Run(run)) => {
            vec![Finding::new(Level::Unknown, name, format!("its shell said: {}", last_line(&run.stderr)))]
        }
        Some(Answer::Bad(why)) => vec![Finding::new(Level::Unknown, name, why)],
        _ => vec![Finding::new(Level::Unknown, name, "gave no answer")],
    }
}

/// What the script's lines say: `missing TOOL`, `now SECONDS`, `sudo WORDS`.
fn on_host(name: &str, text: &str, before: i64, after: i64) -> Vec<Finding> {
    let mut findings = Vec::new();
    let missing: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("missing ")).collect();
    if !missing.is_empty() {
        let says = format!(
            "{} not found in the PATH of its login: {}",
            words::count("tool", missing.len()),
            words::list(&missing, 9)
        );
        findings.push(Finding::new(Level::Critical, name, says));
    }
    if let Some(why) = text.lines().find_map(|l| l.strip_prefix("sudo ")) {
        let finding = Finding::new(Level::Critical, name, format!("sudo wants a password or refuses: {why}"));
        findings.push(finding.hint("`svcops doctor --sudoers RUNBOOK` prints the lines that a runbook needs"));
    }
    let now: Option<i64> = text.lines().find_map(|l| l.strip_prefix("now ")?.trim().parse().ok());
    let off = now.map(|now| if now < before { before - now } else { (now - after).max(0) });
    if let Some(off) = off.filter(|off| *off > 2) {
        let finding =
            Finding::new(Level::Warning, name, format!("its clock is off by {}", Span::secs(off.unsigned_abs())));
        findings.push(
            finding.hint("records of hosts are compared by their times: let chrony or systemd-timesyncd run there"),
        );
    }
    if findings.is_empty() {
        findings.push(Finding::new(Level::Ok, name, "reachable, has what is needed"));
    }
    findings
}

const TOOLS: &str = "for t in systemctl sha256sum setsid stat mktemp mkfifo; do command -v \"$t\" >/dev/null 2>&1 || echo \"missing $t\"; done; echo \"now $(date +%s)\"; ";
const SUDO: &str = "if command -v sudo >/dev/null 2>&1; then S=$(sudo -n -l 2>&1 </dev/null) || echo \"sudo $(echo \"$S\" | tail -n 1)\"; else echo 'missing sudo'; fi; true";

fn ssh_client(version: Option<(bool, String)>) -> Finding {
    match version {
        Some((true, text)) => Finding::new(Level::Ok, "ssh", last_line(&text)),
        Some((false, text)) => Finding::new(Level::Critical, "ssh", last_line(&text)),
        None => Finding::new(Level::Critical, "ssh", "no ssh client is installed here").hint("install openssh-client"),
    }
}

/// OpenSSH's hybrid key exchange costs tens of milliseconds of CPU a connection; a fleet feels that.
fn key_exchange(hosts: &[&Host]) -> Option<Finding> {
    let host = hosts.iter().find(|h| !h.local && h.ssh.client == Client::OpenSsh)?;
    let config = host.ssh.config.as_deref().filter(|c| !c.starts_with('~'));
    let arguments: Vec<&str> =
        config.map(|c| ["-F", c]).into_iter().flatten().chain(["-G", host.name.as_str()]).collect();
    let (_, text) = said("ssh", &arguments)?;
    let first = text.lines().find_map(|l| l.strip_prefix("kexalgorithms "))?.split(',').next()?.to_owned();
    first.starts_with("sntrup761").then(|| {
        Finding::new(Level::Hint, "ssh", format!("`{first}` comes first: about 70 ms of CPU a connection"))
            .hint("with hundreds of hosts, `KexAlgorithms curve25519-sha256` in ssh_config makes connecting faster, for less protection against recordings that a later quantum computer reads")
    })
}

fn state_directory(state: &Result<place::State, JournalError>) -> Vec<Finding> {
    let what = "state directory";
    let state = match state {
        Ok(state) => state,
        Err(e) => return vec![Finding::new(Level::Critical, what, with_causes(e))],
    };
    let mut findings: Vec<Finding> = state.warnings.iter().map(|w| Finding::new(Level::Warning, what, w)).collect();
    if findings.is_empty() {
        let whose = if state.shared { "shared by its group" } else { "one's own" };
        findings.push(Finding::new(Level::Ok, what, format!("{}, {whose}", state.dir.display())));
    }
    if state.shared && group(place::GROUP).is_none() {
        let finding = Finding::new(Level::Warning, what, format!("there is no group `{}`", place::GROUP));
        findings.push(finding.hint("`svcops doctor --prepare` as root makes it"));
    }
    findings.push(match SqliteJournal::open(&state.dir).and_then(|journal| journal.check()) {
        Ok(()) => Finding::new(Level::Ok, "journal", "can be written, and its pages are sound"),
        Err(e) => Finding::new(Level::Critical, "journal", with_causes(&e)),
    });
    findings
}

fn clock_here(answer: Option<(bool, String)>) -> Finding {
    match answer.as_ref().map(|(_, text)| text.trim()) {
        Some("yes") => Finding::new(Level::Ok, "clock", "synchronised"),
        Some("no") => Finding::new(Level::Warning, "clock", "nothing synchronises it")
            .hint("the journal's times are this machine's: let chrony or systemd-timesyncd run"),
        _ => Finding::new(Level::Hint, "clock", "nobody here says whether it is synchronised"),
    }
}

/// Makes the shared state directory. Says what it did, a line each.
///
/// # Errors
/// Not root, or something could not be made.
pub fn prepare() -> Result<String, Failure> {
    if !rustix::process::geteuid().is_root() {
        let message = Message::error(format!("could not prepare {}: only root can", place::SHARED));
        return Err(Failure::wrong(message.hint("`sudo svcops doctor --prepare`")));
    }
    let mut did = String::new();
    let gid = if let Some(gid) = group(place::GROUP) {
        gid
    } else {
        let made = said("groupadd", &["--system", place::GROUP]);
        let Some(gid) = group(place::GROUP) else {
            let why = made.map_or_else(|| "groupadd was not found".to_owned(), |(_, text)| last_line(&text));
            let message = Message::error(format!("could not make the group `{}`", place::GROUP));
            return Err(Failure::wrong(message.because(why)));
        };
        did += &format!("made the group {}\n", place::GROUP);
        gid
    };
    did += &place::prepare(Path::new(place::SHARED), gid)?;
    if did.is_empty() {
        did = format!("{} is prepared already\n", place::SHARED);
    }
    Ok(did + &format!("who is in the group {} shares it: `usermod -aG {} USER`\n", place::GROUP, place::GROUP))
}

/// The number of a group by its name.
fn group(name: &str) -> Option<u32> {
    let (_, text) = said("getent", &["group", name])?;
    text.split(':').nth(2)?.trim().parse().ok()
}

/// Whether a command went well, and what it said; none: it could not be run.
fn said(program: &str, arguments: &[&str]) -> Option<(bool, String)> {
    let output = Command::new(program).args(arguments).stdin(std::process::Stdio::null()).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

fn last_line(text: &str) -> String {
    text.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("nothing").trim().to_owned()
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let message = Message::of(error);
    std::iter::once(message.title).chain(message.causes).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::Smtp, transport::vault::Vault};
    use std::{collections::BTreeMap, sync::Arc};

    fn screen() -> Screen {
        Screen::plain(60)
    }

    #[test]
    fn a_host_that_lacks_something_is_named_with_what_it_lacks() {
        let says =
            |text: &str| on_host("web1", text, 100, 101).into_iter().map(|f| (f.level, f.says)).collect::<Vec<_>>();
        assert_eq!(says("now 101\n"), [(Level::Ok, "reachable, has what is needed".into())]);
        let found = says("missing setsid\nmissing stat\nnow 160\nsudo sudo: требуется пароль\n");
        assert_eq!(found[0], (Level::Critical, "2 tools not found in the PATH of its login: `setsid`, `stat`".into()));
        assert_eq!(found[1], (Level::Critical, "sudo wants a password or refuses: sudo: требуется пароль".into()));
        assert_eq!(found[2], (Level::Warning, "its clock is off by 59s".into()));
    }

    #[tokio::test]
    async fn a_mail_server_is_tried_and_one_that_can_be_listened_to_on_the_way_is_warned_of() {
        let redactor = crate::base::Redactor::default();
        let vault = Vault::new(BTreeMap::new(), std::env::temp_dir(), redactor.clone());
        let pen = Pen { vault: Arc::new(vault), redactor };
        assert_eq!(mail(None, &pen).await, []);
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let smtp =
            Smtp { server: format!("127.0.0.1:{port}"), tls: Tls::None, login: None, ca: None, within: Span::secs(10) };
        let at = |server: String| Mail { smtp: Smtp { server, ..smtp.clone() }, from: "a@b.test".into() };
        let found = mail(Some(&at(smtp.server.clone())), &pen).await;
        let [Finding { level: Level::Critical, says, .. }] = &found[..] else { panic!("{found:?}") };
        assert_eq!(*says, format!("could not reach the mail server `127.0.0.1:{port}`: connection refused"));
        // not this machine by its name, so whoever is between could listen
        let found = mail(Some(&at(format!("0.0.0.0:{port}"))), &pen).await;
        assert_eq!(found.iter().map(|f| f.level).collect::<Vec<_>>(), [Level::Critical, Level::Warning]);
    }

    #[test]
    fn the_worst_finding_is_the_exit_code() {
        let code = |levels: &[Level]| {
            let findings: Vec<Finding> = levels.iter().map(|l| Finding::new(*l, "x", "y")).collect();
            report(&findings, &screen(), Output::Table).1.number()
        };
        assert_eq!(code(&[Level::Ok, Level::Hint]), 0);
        assert_eq!(code(&[Level::Ok, Level::Warning]), 1);
        assert_eq!(code(&[Level::Unknown, Level::Warning]), 3);
        assert_eq!(code(&[Level::Unknown, Level::Critical, Level::Ok]), 2);
        let findings = [Finding::new(Level::Warning, "clock", "off").hint("set it")];
        let (json, _) = report(&findings, &screen(), Output::Json);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["outcome"], &json["findings"][0]["level"]), (&"warning".into(), &"warning".into()));
        assert_eq!(report(&findings, &screen(), Output::Table).0, "WARNING   clock: off\n          → set it\n");
    }

    #[test]
    fn this_machine_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let wish = place::Wish { given: Some(folder.path().into()), ..place::Wish::default() };
        let findings = here(&place::State::of("crm", &wish), &[]);
        let journal = findings.iter().find(|f| f.what == "journal").unwrap();
        assert_eq!(journal.level, Level::Ok, "{journal:?}");
        std::fs::write(folder.path().join("journal.db"), "this is no database, and long enough to be read as one")
            .unwrap();
        let findings = here(&place::State::of("crm", &wish), &[]);
        let journal = findings.iter().find(|f| f.what == "journal").unwrap();
        assert_eq!(journal.level, Level::Critical, "{journal:?}");
    }
}
