//! `svcops cert check`: no project is needed.

use super::{draw, forms, secrets, targets::Targets};
use crate::{
    base::{Clock as _, Span, WallClock},
    cert::{Crl, Severity, Trust, Wanted, dial::Dial, pem},
    cli::{
        Face,
        args::{Output, at_least_one},
        exit::ExitCode,
        stage,
        words::Failure,
    },
    survey::cert::{self, Ask, Found, Own, Pace, Wish},
    ui::{looking::Looking, message::Message},
};
use clap::Args;
use std::{path::PathBuf, sync::Arc};

/// `cert check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Endpoints (HOST:PORT, smtp://HOST …), files or folders, here or on a host (HOST:/PATH), declared certificates; `-` reads
    /// a list of them from stdin. Without one: all that `svcops.yaml` declares
    #[arg(value_name = "TARGET")]
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
    /// Show this certificate, with its chain, to servers that ask for one
    #[arg(long, value_name = "FILE")]
    pub client_cert: Option<PathBuf>,
    /// Its key, if not in the same file
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub client_key: Option<PathBuf>,
    /// The secret of `svcops.yaml` that opens PKCS#12 files
    #[arg(long, value_name = "SECRET")]
    pub password: Option<String>,
    /// Ask for the password of PKCS#12 files
    #[arg(long, conflicts_with = "password")]
    pub ask_password: bool,
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
  svcops cert check                                  all that is declared
  svcops cert check crm.example.org:8443 smtp://mail.example.org postgres://db1
  svcops cert check 10.0.0.7:443 --name crm.example.org --ca ca.crt
  svcops cert check /etc/ssl/crm/ dc1-app1:/etc/billing/tls.crt --warn 21d
  svcops cert check - -o prometheus < endpoints.txt

STARTTLS is spoken for smtp, imap, pop3, ldap and postgres, by the scheme or the
usual port. A private key in the same file must be that of the certificate; of a
host only public parts come here. The program openssl reads PKCS#12.
`-o` also takes nagios, prometheus, csv and html.

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
        let mut wanted = Targets::new(self);
        for word in &args.targets {
            wanted.word(word)?;
        }
        if args.targets.is_empty() {
            wanted.declared(None)?;
        }
        let wrong = |e: crate::cert::BadTrust| {
            Failure::wrong(Message::error("there is nobody to trust").because(e.to_string()))
        };
        let trust = match &args.ca {
            Some(file) => Trust::file(file).map_err(wrong)?,
            None => Trust::system(),
        };
        let client = args.client_cert.as_deref().map(|cert| secrets::client(cert, args.client_key.as_deref()));
        let password = secrets::password(&wanted, args.password.as_deref(), args.ask_password)?;
        let (asks, own, project) = wanted.done()?;
        let named = crls(&args.crl)?;
        let own = own.into_iter().map(|(name, mut own)| {
            // who names another trust means it
            let trust = if args.ca.is_some() { None } else { own.trust.take() };
            if !own.crls.is_empty() {
                own.crls.extend(named.iter().cloned());
            }
            (name, Own { trust, ..own })
        });
        let ways = project.map(|project| self.fleet(&project.root, &project.inventory, None));
        let wish = Wish {
            at: WallClock.now(),
            name: args.name.clone(),
            warn: days(args.warn),
            crit: days(args.crit),
            share: args.share,
            own_trust: args.ca.is_some(),
            trust,
            own: own.collect(),
            crls: named,
            dial: Dial { within: args.timeout.0, client: client.transpose()? },
            pace: args.at_once.map_or(Pace::USUAL, Pace::strict),
            password,
            hosts: ways.as_ref().map(|ways| Arc::clone(&ways.transport)),
        };
        let found = self.looked(asks, &Arc::new(wish.clone()))?;
        match self.global.output {
            Output::Nagios => self.screen.data(&forms::nagios(&found, &wish)),
            Output::Prometheus => self.screen.data(&forms::prometheus(&found, &wish)),
            Output::Html => self.screen.data(&forms::html(&found, &wish)),
            Output::Csv => self.screen.data(&forms::csv(&found, &wish)),
            Output::Json => self.screen.json(&forms::json(&found, &wish)),
            _ => self.screen.data(&draw::text(&self.screen, self.global.quiet, &found, &wish)),
        }
        Ok(exit(draw::worst(&found)))
    }

    /// Looks at them, with a bar where that takes long.
    pub(super) fn looked(&self, asks: Vec<Ask>, wish: &Arc<Wish>) -> Result<Vec<Found>, Failure> {
        let looking = Looking::new(&self.screen, self.global.quiet, "certificates");
        self.runtime()?.block_on(async {
            let tell = |done, of| looking.told(done, of);
            let found = stage::unless_interrupted(looking.during(cert::look(asks, wish, &tell))).await;
            if let Some(hosts) = &wish.hosts {
                hosts.close().await;
            }
            found
        })
    }
}

/// As of all verbs that check.
pub(super) const fn exit(severity: Severity) -> ExitCode {
    match severity {
        Severity::Ok => ExitCode::Done,
        Severity::Warning => ExitCode::AsBefore,
        Severity::Critical => ExitCode::Wrong,
        Severity::Unknown => ExitCode::Stands,
    }
}

/// Whole days.
pub(super) fn days(span: Span) -> i64 {
    i64::try_from(span.0.as_secs() / (24 * 60 * 60)).unwrap_or(i64::MAX)
}

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
