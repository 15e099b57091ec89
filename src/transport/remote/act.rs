//! A change as the script of an act, and what is known of the act as a receipt.

use super::super::{
    Terms, haproxy,
    shell::{Frames, quote, words},
    vault::{Bytes, Vault},
};
use crate::base::{Act, Change, HaproxyApi, Hash, Invocation, Outcome, Output, Program, Receipt, Source, Way};
use crate::base::{Redactor, Secret};
use std::io::{Read, Seek};
use zeroize::Zeroizing;

/// Puts files at their places, on the host.
pub(crate) const PLACE: &str = include_str!("place.sh");
/// Talks to a socket with whatever is there for it: the socket is `$1`, the command `$2`.
pub(crate) const SOCKET: &str = include_str!("socket.sh");

/// An act made ready: what runs, and what must be sent first.
pub(crate) struct Ready {
    /// The program and its arguments, for `sh`.
    pub(crate) argv: String,
    /// Standard input.
    pub(crate) input: Option<Bytes>,
    /// A script that is sent and put in the place of [`SCRIPT`] in `argv`.
    pub(crate) script: Option<Bytes>,
    /// `export …` for each variable.
    pub(crate) env: Zeroizing<String>,
    /// The folder to run in.
    pub(crate) cwd: String,
}

/// Stands in `argv` for the file that a script was sent as.
pub(crate) const SCRIPT: &str = "\"$S_script\"";

/// How the end of an act is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading<'a> {
    /// Exit code 0 is success.
    Code,
    /// A command: success is what it was told to expect, in [`Invocation::accepts`].
    Command(&'a Invocation),
    /// As [`Reading::Code`], and 10 is a refusal with its reason in the last line that begins with `svcops: `.
    Place,
    /// As [`Reading::Place`], and 11 is a failure with its reason so; 12 is that nobody knows, with its reason so.
    Cluster,
    /// systemctl's: 4 and 5 say that there is no such unit, which is a refusal as its want of rights is.
    Unit,
    /// As [`Reading::Code`], and whatever it writes is a complaint.
    Haproxy,
}

impl Ready {
    /// Makes a change ready; why it cannot be, in words.
    pub(crate) fn new(act: &Act, change: &Change, terms: Terms, vault: &Vault) -> Result<Self, String> {
        let plain =
            |argv: String| Self { argv, input: None, script: None, env: Zeroizing::default(), cwd: String::new() };
        let unit = |verb: &str, name: &str| {
            if name.is_empty() || name.starts_with('-') {
                return Err(format!("`{name}` cannot be the name of a unit"));
            }
            // the words that sudoers would name, and the whole path as there
            Ok(plain(format!("\"$(command -v systemctl || echo systemctl)\" {verb} {}", quote(name))))
        };
        match change {
            Change::StartUnit(name) => unit("start", name),
            Change::StopUnit(name) => unit("stop", name),
            Change::RestartUnit(name) => unit("restart", name),
            Change::ReloadUnit(name) => unit("reload", name),
            Change::EnableUnit(name) => unit("enable --now", name),
            Change::DisableUnit(name) => unit("disable --now", name),
            Change::MoveFile { from, to } => Ok(plain(place(&[("P_path", from), ("P_to", to)], "p_move"))),
            Change::Run(invocation) => Self::run(invocation, vault),
            Change::WriteFile { path, content, mode, owner, group, validate } => {
                let undo = content.from == Source::Undo;
                let facts = [
                    ("P_run", act.run.as_str()),
                    ("P_path", path),
                    ("P_hash", &content.hash.0),
                    ("P_undo", if undo { "1" } else { "" }),
                    ("P_mode", &mode.map(|m| format!("{m:o}")).unwrap_or_default()),
                    ("P_owner", owner.as_deref().unwrap_or_default()),
                    ("P_group", group.as_deref().unwrap_or_default()),
                    ("P_check", validate.as_deref().unwrap_or_default()),
                ];
                let input = if undo { None } else { Some(vault.open(content).map_err(said)?) };
                Ok(Self { input, ..plain(place(&facts, "p_write")) })
            }
            Change::RemoveFile(path) => {
                let facts = [("P_run", act.run.as_str()), ("P_path", path)];
                Ok(plain(place(&facts, "p_remove")))
            }
            Change::Pair { spot, change } => super::pair::ready(act, spot, change, vault),
            Change::Proof { spot, change } => super::proof::ready(spot, change),
            Change::Postgres { spot, change } => {
                super::pg::ready(spot, change, terms.interruptible.then_some(terms.within))
            }
            Change::SetServer { api: HaproxyApi::Socket(socket), backend, server, state } => {
                haproxy::named(backend, server)?;
                let argv = words(["sh", "-c", SOCKET, "svcops", socket, &haproxy::set(backend, server, *state)]);
                Ok(plain(argv))
            }
            Change::EndSessions { api: HaproxyApi::Socket(socket), backend, server } => {
                haproxy::named(backend, server)?;
                let argv = words(["sh", "-c", SOCKET, "svcops", socket, &haproxy::end_sessions(backend, server)]);
                Ok(plain(argv))
            }
            Change::SetServer { api: HaproxyApi::Tcp(_), .. }
            | Change::EndSessions { api: HaproxyApi::Tcp(_), .. }
            | Change::UpdateRecord(_)
            | Change::Switchover(_)
            | Change::Tell(_)
            | Change::Mail(_)
            | Change::Order(_)
            | Change::Ask { .. } => Err("this change is carried out from here, and not on a host".to_owned()),
        }
    }

    /// Makes a command ready; why it cannot be, in words.
    pub(crate) fn run(invocation: &Invocation, vault: &Vault) -> Result<Self, String> {
        let mut script = None;
        let argv = match &invocation.program {
            Program::Shell(text) => words(["/bin/sh", "-c", text]),
            Program::Argv(argv) if argv.is_empty() => return Err("there is no program to run".to_owned()),
            Program::Argv(argv) => words(argv.iter().map(String::as_str)),
            Program::Script { content, interpreter, args } => {
                let bytes = vault.bytes(content).map_err(said)?;
                let by = match interpreter {
                    Some(interpreter) => quote(interpreter),
                    None => words(interpreter_of(&bytes).iter().map(String::as_str)),
                };
                script = Some(Bytes::Held(bytes));
                format!("{by} {SCRIPT} {}", words(args.iter().map(String::as_str)))
            }
        };
        let mut env = Zeroizing::new(String::new());
        for (name, value) in &invocation.env {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(plain) {
                return Err(format!("`{name}` cannot be the name of an environment variable"));
            }
            let value = vault.fill(value).map_err(said)?;
            env.push_str(&format!("export {name}={}\n", &*Zeroizing::new(quote(value.reveal()))));
        }
        let input = match &invocation.stdin {
            None => None,
            Some(text) => {
                let filled: Secret = vault.fill(text).map_err(said)?;
                Some(Bytes::Held(Zeroizing::new(filled.reveal().as_bytes().to_vec())))
            }
        };
        let cwd = invocation.cwd.clone().unwrap_or_default();
        Ok(Self { argv, input, script, env, cwd })
    }
}

/// The words of a script's first line, `/bin/sh` if it names no interpreter. At most one argument follows it, as in the
/// kernel (execve(2)).
fn interpreter_of(script: &[u8]) -> Vec<String> {
    let line = script.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let Some(rest) = line.trim_end().strip_prefix("#!").map(str::trim).filter(|r| !r.is_empty()) else {
        return vec!["/bin/sh".to_owned()];
    };
    rest.splitn(2, char::is_whitespace).map(|w| w.trim().to_owned()).collect()
}

fn place(facts: &[(&str, &str)], deed: &str) -> String {
    let mut script = String::new();
    for (name, value) in facts {
        script.push_str(&format!("{name}={}\n", quote(value)));
    }
    words(["sh", "-c", &format!("{script}{PLACE}\n{deed}\n"), "svcops-file"])
}

pub(crate) fn said(error: impl std::error::Error) -> String {
    use std::fmt::Write;
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        // writing into a string cannot fail
        if write!(text, ": {next}").is_err() {
            break;
        }
        cause = next.source();
    }
    text
}

/// The folder of an act below the receipts of its run: one word of hexadecimal digits.
pub(crate) fn folder(act: &Act) -> String {
    let way = match act.way {
        Way::Forward => "forward",
        Way::Undo => "undo",
    };
    let name = Hash::of(format!("{}\n{way}\n{}", act.task, act.number).as_bytes());
    format!("{}/{}", act.run, name.0.get(..32).unwrap_or(&name.0))
}

/// What became of an act; none: it never began.
pub(crate) fn receipt(frames: &Frames, reading: Reading<'_>, within: u64, redactor: &Redactor) -> Option<Receipt> {
    let mut receipt = Receipt::of(Outcome::Ok);
    receipt.stdout = output(frames, "out", redactor);
    receipt.stderr = output(frames, "err", redactor);
    let unknown = |why: &str| Outcome::Unknown(why.to_owned());
    receipt.outcome = match frames.text("state").as_str() {
        "never" => return None,
        "ended" => ended(frames, reading, within, &mut receipt),
        "unborn" => Outcome::Refused("it did not begin on the host within 10 s".to_owned()),
        "reboot" => unknown("its host was rebooted in between"),
        "lost" => unknown("its receipt is gone from the host"),
        "gone" => unknown("its processes are gone and left no exit code"),
        "running" => unknown("it is past its deadline and still running"),
        "stuck" => unknown("it is past its deadline and could not be ended"),
        "mute" => unknown("it left no sign of its beginning, and none can be written: its disk may be full"),
        "wrong" => Outcome::Refused(frames.text("why")),
        other => Outcome::Unknown(format!("the host answered `{other}`")),
    };
    Some(receipt)
}

fn ended(frames: &Frames, reading: Reading<'_>, within: u64, receipt: &mut Receipt) -> Outcome {
    let end = frames.text("end");
    let Ok(code) = end.parse::<i32>() else {
        return Outcome::Failed(match end.as_str() {
            "late" => format!("it ran out of time after {within} s and was ended"),
            "cancelled" => "it was cancelled and ended".to_owned(),
            other => format!("its end says `{other}`"),
        });
    };
    if let Some(why) = frames.bytes("refused") {
        let why = String::from_utf8_lossy(why);
        let first = receipt.stderr.text.lines().map(str::trim).find(|l| !l.is_empty());
        let why = [why.trim(), first.unwrap_or_default()].into_iter().find(|w| !w.is_empty());
        return Outcome::Refused(why.unwrap_or("the host did not let it begin").trim_end_matches('.').to_owned());
    }
    receipt.code = Some(code);
    match (reading, code) {
        (Reading::Place | Reading::Cluster, 10) | (Reading::Cluster, 11 | 12) => {
            let text = std::mem::take(&mut receipt.stderr.text);
            let (why, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("svcops: "));
            receipt.stderr.text = rest.iter().map(|line| format!("{line}\n")).collect();
            let why = why.last().and_then(|w| w.strip_prefix("svcops: ")).unwrap_or("nothing was changed");
            match code {
                11 => return Outcome::Failed(why.to_owned()),
                12 => return Outcome::Unknown(why.to_owned()),
                _ => {}
            }
            receipt.code = None;
            Outcome::Refused(why.to_owned())
        }
        (Reading::Unit, 1..) => {
            let text = &receipt.stderr.text;
            let first = text.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or("systemctl said nothing");
            let rights = ["Interactive authentication required", "Access denied"].iter().any(|w| text.contains(w));
            let why = first.trim_end_matches('.').to_owned();
            if rights || matches!(code, 4 | 5) { Outcome::Refused(why) } else { Outcome::Failed(why) }
        }
        (Reading::Haproxy, 0) => haproxy::complaint(&receipt.stdout.text).map_or(Outcome::Ok, Outcome::Refused),
        (Reading::Command(run), code) if run.accepts(code) => Outcome::Ok,
        (Reading::Command(_), 0) => Outcome::Failed("exit code 0, which was not expected".to_owned()),
        (_, 0) => Outcome::Ok,
        (_, code) => {
            let last = receipt.stderr.text.lines().map(str::trim).rfind(|l| !l.is_empty()).unwrap_or_default();
            let colon = if last.is_empty() { "" } else { ": " };
            let short: String = last.chars().take(200).collect();
            Outcome::Failed(format!("exit code {code}{colon}{short}"))
        }
    }
}

/// An output of an act: its beginning, its end, how much there was of it.
pub(crate) fn output(frames: &Frames, name: &str, redactor: &Redactor) -> Output {
    let head = frames.bytes(name).unwrap_or_default();
    let tail = frames.bytes(&format!("{name}.tail")).unwrap_or_default();
    let more = frames.text(&format!("{name}.more")).parse::<u64>().unwrap_or(0);
    let bytes = head.len() as u64 + more;
    let half = Output::CAP / 2 - 64;
    if more == 0 && tail.is_empty() && head.len() <= Output::CAP {
        let (text, redacted) = redactor.clean(&String::from_utf8_lossy(head));
        return Output { text, bytes, redacted };
    }
    let tail = if tail.is_empty() { head.get(half..).unwrap_or_default() } else { tail };
    let tail = tail.get(tail.len().saturating_sub(half)..).unwrap_or_default();
    let head = head.get(..half).unwrap_or(head);
    // what stands at the cut may be half a secret, which no redactor knows
    let cut = redactor.longest();
    let (head, in_head) = redactor.clean(&String::from_utf8_lossy(head));
    let (tail, in_tail) = redactor.clean(&String::from_utf8_lossy(tail));
    let (head_end, tail_start) = (floor(&head, head.len().saturating_sub(cut)), floor(&tail, cut.min(tail.len())));
    let (head, tail) = (head.get(..head_end).unwrap_or_default(), tail.get(tail_start..).unwrap_or_default());
    let text = format!("{head}\n[… {bytes} bytes in all, cut by svcops …]\n{tail}");
    Output { text, bytes, redacted: in_head || in_tail }
}

/// The place of a character that is not behind `at`.
pub(crate) fn floor(text: &str, mut at: usize) -> usize {
    while at > 0 && !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// No longer a text is told within a script: a few shells read theirs byte by byte.
const TOLD: u64 = 16 * 1024;

/// A content as a text for a script, if it is a short one. What is none is left as it was.
pub(crate) fn short(bytes: &mut Bytes) -> Option<Zeroizing<String>> {
    if let Bytes::File(file) = bytes {
        if file.metadata().ok()?.len() > TOLD {
            return None;
        }
        let mut held = Zeroizing::new(Vec::new());
        let all = file.take(TOLD + 1).read_to_end(&mut held);
        if all.is_err() || held.len() as u64 > TOLD {
            file.rewind().ok()?;
            return None;
        }
        *bytes = Bytes::Held(held);
    }
    let Bytes::Held(held) = bytes else { return None };
    let text = std::str::from_utf8(held).ok().filter(|text| text.len() as u64 <= TOLD)?;
    // shells differ in what they make of other signs
    let plain = text.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control());
    plain.then(|| Zeroizing::new(text.to_owned()))
}

/// All of a content that is held, or the beginning of a file: for streaming.
pub(crate) fn part(bytes: &mut Bytes, size: usize) -> std::io::Result<Zeroizing<Vec<u8>>> {
    match bytes {
        Bytes::Held(held) => Ok(std::mem::take(held)),
        Bytes::File(file) => {
            let mut part = Zeroizing::new(Vec::with_capacity(size));
            file.take(size as u64).read_to_end(&mut part)?;
            Ok(part)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_output_says_how_much_there_was_and_holds_no_half_of_a_secret() {
        let redactor = Redactor::default();
        redactor.hide(&Secret::new("hunter2-hunter2".into()));
        let mut head = vec![b'a'; Output::CAP / 2 - 7];
        head.extend(b"hunter2-hunter2");
        head.resize(Output::CAP, b'b');
        let frames = Frames::default().with("out", &head).with("out.tail", b"end\n").with("out.more", b"1000000\n");
        let output = output(&frames, "out", &redactor);
        assert_eq!(output.bytes, 65536 + 1_000_000);
        assert!(!output.text.contains("hunter"));
        assert!(output.text.len() <= Output::CAP + 100);
    }

    #[test]
    fn what_the_host_says_becomes_an_outcome() {
        let redactor = Redactor::default();
        let of = |state: &str, end: &str, refused: Option<&str>, err: &str, reading| {
            let mut frames = Frames::default().with("state", state.as_bytes()).with("end", end.as_bytes());
            if let Some(refused) = refused {
                frames = frames.with("refused", refused.as_bytes());
            }
            receipt(&frames.with("err", err.as_bytes()), reading, 5, &redactor).map(|r| r.outcome)
        };
        assert_eq!(of("ended", "0     \n", None, "", Reading::Code), Some(Outcome::Ok));
        assert_eq!(of("never", "", None, "", Reading::Code), None);
        assert_eq!(of("ended", "3", None, "x\nno\n", Reading::Code), Some(Outcome::Failed("exit code 3: no".into())));
        let unit = of("ended", "5", None, "Failed to start x.service: Unit x.service not found.\n", Reading::Unit);
        assert_eq!(unit, Some(Outcome::Refused("Failed to start x.service: Unit x.service not found".into())));
        let failed = of("ended", "1", None, "Job for x failed.\nSee logs.\n", Reading::Unit);
        assert_eq!(failed, Some(Outcome::Failed("Job for x failed".into())));
        let sudo = of("ended", "1", Some(""), "sudo: a password is required\n", Reading::Code);
        assert_eq!(sudo, Some(Outcome::Refused("sudo: a password is required".into())));
        let place = of("ended", "10", None, "nginx: [emerg]\nsvcops: not valid\n", Reading::Place);
        assert_eq!(place, Some(Outcome::Refused("not valid".into())));
        let told = of("ended", "12", None, "svcops: told, and not done yet\n", Reading::Cluster);
        assert_eq!(told, Some(Outcome::Unknown("told, and not done yet".into())));
        assert!(matches!(of("reboot", "", None, "", Reading::Code), Some(Outcome::Unknown(_))));
        assert!(matches!(of("ended", "late", None, "", Reading::Code), Some(Outcome::Failed(_))));
    }

    #[test]
    fn what_is_short_and_plain_is_told_and_all_else_is_left_as_it_was() {
        let held = |bytes: &[u8]| Bytes::Held(Zeroizing::new(bytes.to_vec()));
        let file = |bytes: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            std::io::Write::write_all(&mut file, bytes).unwrap();
            file.rewind().unwrap();
            Bytes::File(file)
        };
        let text = "it's\ta $TEXT \\\nпривет";
        for mut bytes in [held(text.as_bytes()), file(text.as_bytes())] {
            assert_eq!(short(&mut bytes).unwrap().as_str(), text);
        }
        for odd in [&b"a\0b"[..], b"\xff", b"a\rb", &vec![b'x'; 16 * 1024 + 1]] {
            for mut bytes in [held(odd), file(odd)] {
                assert!(short(&mut bytes).is_none());
                assert_eq!(*part(&mut bytes, odd.len()).unwrap(), odd);
            }
        }
    }

    #[test]
    fn a_script_is_run_by_what_its_first_line_names() {
        assert_eq!(interpreter_of(b"#!/usr/bin/env python3\nprint()"), ["/usr/bin/env", "python3"]);
        assert_eq!(interpreter_of(b"#! /bin/bash -eu -o x\r\n"), ["/bin/bash", "-eu -o x"]);
        assert_eq!(interpreter_of(b"echo hi\n"), ["/bin/sh"]);
    }
}
