//! What lies on hosts. One script a host reads the public parts there; no byte of a private key comes here.

use super::{
    Ask, Found, OnHost, Target, Wish,
    judged::{self, Beside, Lying},
};
use crate::{
    base::{Answer, HostName, Invocation, Place, Program, Read, Span, Text},
    cert::pem,
};
use std::collections::{BTreeMap, VecDeque};

/// Reads the public parts of the files that its arguments name.
const SCRIPT: &str = include_str!("hosts.sh");
/// So many files in one go: an argument list has its bounds.
const AT_ONCE: usize = 200;

/// What one file, or one of a folder, is asked for.
struct Errand {
    at: usize,
    ask: Ask,
    on: OnHost,
    /// It was asked for alone, and its answer was cut off all the same.
    alone: bool,
}

/// Looks at files of one host.
pub(super) async fn look(host: &HostName, asks: Vec<(usize, Ask)>, wish: &Wish) -> Vec<(usize, Found)> {
    let mut found = Vec::with_capacity(asks.len());
    let mut open: VecDeque<Errand> = VecDeque::new();
    for (at, ask) in asks {
        if let Target::OnHost(on) = ask.target.clone() {
            open.push_back(Errand { at, ask, on, alone: false });
        }
    }
    while let Some(first) = open.front() {
        // one user at a time, and what was cut off by itself
        let (user, alone) = (first.on.become_user.clone(), first.alone);
        let most = if alone { 1 } else { AT_ONCE };
        let fit = open.iter().take(most).take_while(|e| e.on.become_user == user && e.alone == alone).count();
        let errands: Vec<Errand> = open.drain(..fit).collect();
        let mut answers = match run(host, user, &errands, wish).await {
            Ok(text) => read(&text),
            Err(why) => {
                let all = errands.into_iter();
                found.extend(all.map(|e| (e.at, Found::failed(&e.ask, Target::OnHost(e.on), why.clone()))));
                continue;
            }
        };
        for (number, errand) in errands.into_iter().enumerate() {
            let target = Target::OnHost(errand.on.clone());
            match answers.remove(&number) {
                Some(Said::Lying(lying)) => {
                    found.push((errand.at, judged::lying(&errand.ask, target, wish, lying)));
                }
                Some(Said::Folder(entries)) if entries.is_empty() => {
                    let why = "there is no file of certificates in the folder".to_owned();
                    found.push((errand.at, Found::failed(&errand.ask, target, why)));
                }
                Some(Said::Folder(entries)) => {
                    let each = entries.into_iter().map(|path| OnHost { path, ..errand.on.clone() });
                    open.extend(each.map(|on| Errand { at: errand.at, ask: errand.ask.clone(), on, alone: false }));
                }
                Some(Said::Bad(why)) => found.push((errand.at, Found::failed(&errand.ask, target, why))),
                None if errand.alone => {
                    let why = "the host's answer was cut off: more than 64 KiB".to_owned();
                    found.push((errand.at, Found::failed(&errand.ask, target, why)));
                }
                // a host's answer has its bounds; what did not fit is asked for by itself
                None => open.push_back(Errand { alone: true, ..errand }),
            }
        }
    }
    found
}

async fn run(host: &HostName, user: Option<String>, errands: &[Errand], wish: &Wish) -> Result<String, String> {
    let Some(transport) = &wish.hosts else { return Err("there is no way to hosts without a project".to_owned()) };
    let (mut argv, mut passwords) = (["sh", "-c", SCRIPT, "sh"].map(str::to_owned).to_vec(), String::new());
    for errand in errands {
        let kind = if errand.pkcs12() { "pkcs12" } else { "" };
        argv.extend([errand.on.path.clone(), errand.ask.key.clone().unwrap_or_default(), kind.to_owned()]);
        match (&errand.ask.password, &wish.password) {
            (Some(name), _) => passwords += &Text::mark(name),
            (None, Some(password)) => passwords += &password.text.0,
            (None, None) => {}
        }
        passwords.push('\n');
    }
    let mut invocation = Invocation::of(Program::Argv(argv), Span(wish.dial.within.max(LEAST)));
    invocation.stdin = Some(Text(passwords));
    let place = Place::on(host).becoming(user);
    let look = transport.look(Some(host), &[place.at(Read::Run(invocation))]).await.map_err(|lost| lost.to_string())?;
    match look.answers.into_iter().next() {
        Some(Answer::Run(run)) if run.code == Some(0) => Ok(run.stdout),
        Some(Answer::Run(run)) if run.code.is_none() => Err("the host did not read it in time".to_owned()),
        Some(Answer::Run(run)) => {
            let line = run.stderr.lines().map(str::trim).find(|line| !line.is_empty());
            Err(line.map_or_else(|| "the host could not read it".to_owned(), str::to_owned))
        }
        Some(Answer::Bad(why)) => Err(why),
        _ => Err("the host gave no answer".to_owned()),
    }
}

/// Some hundred files take their time, whatever an endpoint may take.
const LEAST: std::time::Duration = std::time::Duration::from_secs(20);

/// What a host said of one path.
enum Said {
    Lying(Lying),
    Folder(Vec<String>),
    Bad(String),
}

/// What is whole of an answer, by its number.
fn read(text: &str) -> BTreeMap<usize, Said> {
    let (mut answers, mut lines) = (BTreeMap::new(), text.lines());
    while let Some(line) = lines.next() {
        let Some(number) = line.strip_prefix("file ").and_then(|n| n.parse().ok()) else { continue };
        let end = format!("done {number}");
        let mut part = Vec::new();
        for line in lines.by_ref() {
            if line == end {
                answers.insert(number, said(&part));
                break;
            }
            part.push(line);
        }
    }
    answers
}

fn said(lines: &[&str]) -> Said {
    let rest = |word: &str| lines.iter().find_map(|line| line.strip_prefix(word));
    if lines.contains(&"missing") {
        return Said::Bad("there is no such file".to_owned());
    }
    if let Some(why) = rest("bad ") {
        return Said::Bad(why.to_owned());
    }
    if lines.contains(&"folder") {
        let entries = lines.iter().filter_map(|line| line.strip_prefix("entry ")).map(str::to_owned);
        let mut entries: Vec<String> = entries.collect();
        entries.sort();
        return Said::Folder(entries);
    }
    let key = match rest("key ") {
        None => Beside::None,
        Some("fits") => Beside::Fits(true),
        Some("other") => Beside::Fits(false),
        Some("encrypted") => Beside::Encrypted,
        Some("missing") => Beside::Unread("there is no such file".to_owned()),
        Some("unreadable") => Beside::Unread("this user may not read it".to_owned()),
        Some("no-openssl") => Beside::Unread("there is no program openssl on the host".to_owned()),
        Some(_) => Beside::Unread("`openssl` does not read it".to_owned()),
    };
    let text = lines.join("\n");
    if !text.contains("-----BEGIN ") {
        return Said::Lying(Lying { certificates: Vec::new(), key });
    }
    match pem::Pieces::read(text.as_bytes()) {
        Ok(pieces) => Said::Lying(Lying { certificates: pieces.certificates, key }),
        Err(why) => Said::Bad(why.to_string()),
    }
}

impl Errand {
    /// Whether it is known to be PKCS#12, by its name or because it has a password.
    fn pkcs12(&self) -> bool {
        let path = self.on.path.to_ascii_lowercase();
        self.ask.password.is_some() || [".p12", ".pfx"].iter().any(|end| path.ends_with(end))
    }
}
