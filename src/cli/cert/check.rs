//! `svcops cert check`: no project is needed.

use super::draw;
use crate::{
    base::{Clock as _, Span, WallClock},
    cert::{
        Crl, Severity, Trust, Wanted,
        dial::{Dial, Endpoint},
        pem,
    },
    cli::{
        Face,
        args::{Output, at_least_one},
        exit::ExitCode,
        stage,
        words::Failure,
    },
    survey::cert::{self, Ask, Pace, Target, Wish},
    ui::{looking::Looking, message::Message},
};
use clap::Args;
use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

/// `cert check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Endpoints (HOST:PORT, smtp://HOST …), files or folders; `-` reads a list of them from stdin
    #[arg(value_name = "TARGET", required = true)]
    pub targets: Vec<String>,
    /// Trust the certificates of this file, and not the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Ask for this name, and want the certificate to be for it
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub name: Option<Wanted>,
    /// A list of what was revoked, PEM or DER; as often as needed
    #[arg(long, value_name = "FILE")]
    pub crl: Vec<PathBuf>,
    /// WARNING from so many days before its end
    #[arg(long, value_name = "TIME", default_value = "30d")]
    pub warn: Span,
    /// CRITICAL from so many days before its end
    #[arg(long, value_name = "TIME", default_value = "7d")]
    pub crit: Span,
    /// WARNING when so much of its life is left, too: 33%
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub share: Option<u8>,
    /// For all of one endpoint
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub timeout: Span,
    /// At most so many endpoints at once
    ///
    /// Without it 64 that are at work, and a thousand that have not answered yet
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub at_once: Option<usize>,
}

/// For its help.
pub(super) const EXAMPLES: &str = "Examples:
  svcops cert check crm.example.org
  svcops cert check crm.example.org:8443 smtp://mail.example.org postgres://db1
  svcops cert check 10.0.0.7:443 --name crm.example.org --ca ca.crt
  svcops cert check /etc/ssl/crm/ --warn 21d --crit 3d
  svcops cert check - -o prometheus < endpoints.txt

STARTTLS is spoken for smtp, imap, pop3, ldap and postgres, by the scheme or the
usual port. A private key in the same file must be that of the certificate.
`-o` also takes nagios, prometheus and csv.

Exit code: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (also wrong usage).";

pub(super) fn name(text: &str) -> Result<Wanted, String> {
    text.parse().map_err(|e: crate::cert::BadName| e.to_string())
}

fn percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse().ok().filter(|n| (1..=99).contains(n));
    number.ok_or_else(|| "not a share of 1% to 99%".to_owned())
}

impl Face {
    pub(super) fn cert_check(&self, args: &Check) -> Result<ExitCode, Failure> {
        self.no_stream()?;
        let targets = targets(&args.targets)?;
        let wrong = |e: crate::cert::BadTrust| {
            Failure::wrong(Message::error("there is nobody to trust").because(e.to_string()))
        };
        let trust = match &args.ca {
            Some(file) => Trust::file(file).map_err(wrong)?,
            None => Trust::system(),
        };
        let days = |span: Span| i64::try_from(span.0.as_secs() / (24 * 60 * 60)).unwrap_or(i64::MAX);
        let wish = Wish {
            at: WallClock.now(),
            name: args.name.clone(),
            warn: days(args.warn),
            crit: days(args.crit),
            share: args.share,
            own_trust: args.ca.is_some(),
            trust,
            crls: crls(&args.crl)?,
            dial: Dial { within: args.timeout.0, client: None },
            own: BTreeMap::new(),
            pace: args.at_once.map_or(Pace::USUAL, Pace::strict),
            password: None,
            hosts: None,
        };
        let wish = Arc::new(wish);
        let targets = targets.into_iter().map(Ask::from).collect();
        let looking = Looking::new(&self.screen, self.global.quiet, "certificates");
        let found = self.runtime()?.block_on(async {
            let tell = |done, of| looking.told(done, of);
            stage::unless_interrupted(looking.during(cert::look(targets, &wish, &tell))).await
        })?;
        match self.global.output {
            Output::Nagios => self.screen.data(&draw::nagios(&found, &wish)),
            Output::Prometheus => self.screen.data(&draw::prometheus(&found, &wish)),
            Output::Csv => self.screen.data(&draw::csv(&found, &wish)),
            Output::Json => self.screen.json(&draw::json(&found, &wish)),
            _ => self.screen.data(&draw::text(&self.screen, self.global.quiet, &found, &wish)),
        }
        Ok(match draw::worst(&found) {
            Severity::Ok => ExitCode::Done,
            Severity::Warning => ExitCode::AsBefore,
            Severity::Critical => ExitCode::Wrong,
            Severity::Unknown => ExitCode::Stands,
        })
    }
}

/// A list of a million endpoints has some 30 MB.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// What is to be looked at: each once, in the order in which it was named.
fn targets(words: &[String]) -> Result<Vec<Target>, Failure> {
    let mut targets = Vec::new();
    for word in words {
        if word == "-" {
            let mut text = String::new();
            let read = std::io::stdin().take(MOST_BYTES).read_to_string(&mut text);
            read.map_err(|e| Failure::wrong(Message::error("could not read stdin").because(e.to_string())))?;
            for line in text.lines().map(|line| line.split('#').next().unwrap_or("").trim()).filter(|l| !l.is_empty()) {
                one(line, &mut targets)?;
            }
        } else {
            one(word, &mut targets)?;
        }
    }
    let mut seen = std::collections::HashSet::new();
    targets.retain(|target| seen.insert(target.clone()));
    if targets.is_empty() {
        // of nothing that was looked at a monitor must not hear that it is well
        return Err(Failure::wrong(Message::error("there is no target to look at")));
    }
    Ok(targets)
}

fn one(word: &str, targets: &mut Vec<Target>) -> Result<(), Failure> {
    let path = Path::new(word);
    if path.is_dir() {
        let before = targets.len();
        folder(path, targets, 0)?;
        if targets.len() == before {
            let message = format!("there is no file of certificates in the folder `{word}`");
            return Err(Failure::wrong(Message::error(message).hint("it looks for .pem, .crt, .cer and .der")));
        }
        return Ok(());
    }
    if path.is_file() || word.starts_with(['/', '.']) {
        targets.push(Target::File(path.to_owned()));
        return Ok(());
    }
    match word.parse::<Endpoint>() {
        Ok(endpoint) => targets.push(Target::Endpoint(endpoint)),
        Err(e) => {
            let hint = "a target is HOST:PORT, SCHEME://HOST, a file or a folder";
            return Err(Failure::wrong(Message::error(e.to_string()).hint(hint)));
        }
    }
    Ok(())
}

/// Files that are named like certificates, at most so many folders deep.
fn folder(path: &Path, targets: &mut Vec<Target>, depth: usize) -> Result<(), Failure> {
    let listed = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries: Vec<PathBuf> =
        listed.map_err(|e| Failure::file("read", path, &e))?.into_iter().map(|entry| entry.path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() && depth < 8 && !entry.is_symlink() {
            folder(&entry, targets, depth + 1)?;
        } else if entry.is_file() && entry.extension().is_some_and(|e| ENDINGS.iter().any(|known| e == *known)) {
            targets.push(Target::File(entry));
        }
    }
    Ok(())
}

const ENDINGS: [&str; 4] = ["pem", "crt", "cer", "der"];

fn crls(files: &[PathBuf]) -> Result<Vec<Crl>, Failure> {
    let mut crls = Vec::new();
    for file in files {
        let bytes = pem::read(file).map_err(|e| Failure::file("read", file, &e))?;
        let bad = |why: String| Failure::wrong(Message::error(why).row("file", file.display().to_string()));
        let pieces = pem::Pieces::read(&bytes).map_err(|e| bad(e.to_string()))?;
        if pieces.crls.is_empty() {
            return Err(bad("there is no revocation list in it".into()));
        }
        for der in &pieces.crls {
            crls.push(Crl::from_der(file.display().to_string(), der).map_err(|e| bad(e.to_string()))?);
        }
    }
    Ok(crls)
}
