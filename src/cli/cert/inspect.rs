//! `svcops cert inspect`: all that a certificate, a chain, a request or a revocation list says.

use super::draw;
use crate::{
    base::{Clock as _, Span, WallClock},
    cert::{
        Crl, Request, Terms, Trust, Wanted,
        dial::{Dial, Endpoint},
        judge, pem,
    },
    cli::{Face, args::Output, exit::ExitCode, stage, words::Failure},
    ui::message::Message,
};
use serde_json::json;
use std::path::{Path, PathBuf};

/// `cert inspect`.
#[derive(Debug, clap::Args)]
pub struct Inspect {
    /// An endpoint (HOST:PORT, smtp://HOST …) or a file
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// Trust the certificates of this file, and not the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Ask for this name
    #[arg(long, value_name = "NAME", value_parser = super::check::name)]
    pub name: Option<Wanted>,
    /// For all of it
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub timeout: Span,
}

/// For its help.
pub(super) const EXAMPLES: &str = "Examples:
  svcops cert inspect crm.example.org
  svcops cert inspect /etc/ssl/crm.pem
  svcops cert inspect request.csr
  svcops cert inspect revoked.crl -o json

It tells, and judges nothing: `svcops cert check` does.";

impl Face {
    pub(super) fn cert_inspect(&self, args: &Inspect) -> Result<ExitCode, Failure> {
        self.no_stream()?;
        let wrong = |e: crate::cert::BadTrust| {
            Failure::wrong(Message::error("there is nobody to trust").because(e.to_string()))
        };
        let trust = args.ca.as_deref().map_or_else(|| Ok(Trust::system()), Trust::file).map_err(wrong)?;
        let path = Path::new(&args.target);
        let shown =
            if path.is_file() || args.target.starts_with(['/', '.']) { lying(path)? } else { self.served(args)? };
        let now = WallClock.now();
        let terms = Terms {
            at: now,
            names: Vec::new(),
            warn: 0,
            crit: 0,
            share: None,
            trust: &trust,
            crls: &[],
            key: None,
            unstapled: false,
            stapled: None,
            chain: true,
        };
        let way = judge(&shown.certificates, &terms);
        if self.global.output == Output::Json {
            let facts: Vec<_> = shown.certificates.iter().map(|cert| &**cert).collect();
            self.screen.json(&json!({
                "schema_version": 1,
                "target": args.target,
                "tls": shown.tls,
                "certificates": facts,
                "trusted": way.whole.then_some(&trust.name),
                "path": way.path.iter().map(|cert| &cert.fingerprint).collect::<Vec<_>>(),
                "requests": shown.requests,
                "revoked": shown.crls.iter().map(|crl| json!({
                    "issuer": crl.issuer,
                    "this_update": crl.this_update,
                    "next_update": crl.next_update,
                    "count": crl.count(),
                })).collect::<Vec<_>>(),
                "keys": shown.keys,
            }));
        } else {
            self.screen.data(&draw::inspected(&self.screen, &shown, &way, &trust, now));
        }
        Ok(ExitCode::Done)
    }

    fn served(&self, args: &Inspect) -> Result<Shown, Failure> {
        let mut at = args.target.parse::<Endpoint>().map_err(|e| Failure::wrong(Message::error(e.to_string())))?;
        at.name.clone_from(&args.name);
        let dial = Dial { within: args.timeout.0, client: None };
        let seen = self.runtime()?.block_on(stage::unless_interrupted(async { dial.look(&at).await }))?;
        let seen = seen.map_err(|e| {
            let message = Message::error(format!("`{at}` showed no certificate")).because(e.to_string());
            Failure::new(ExitCode::AsBefore, message)
        })?;
        let tls = format!("{} {} from {}", seen.version, seen.suite, seen.address);
        Ok(Shown { certificates: seen.chain, tls: Some(tls), ..Shown::default() })
    }
}

/// What there is to tell of.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) certificates: Vec<crate::cert::Certificate>,
    pub(super) requests: Vec<Request>,
    pub(super) crls: Vec<Crl>,
    /// Kinds of private keys that lie there.
    pub(super) keys: Vec<String>,
    pub(super) tls: Option<String>,
}

fn lying(path: &Path) -> Result<Shown, Failure> {
    let bytes = pem::read(path).map_err(|e| Failure::file("read", path, &e))?;
    let bad = |why: String| Failure::wrong(Message::error(why).row("file", path.display().to_string()));
    let pieces = pem::Pieces::read(&bytes).map_err(|e| bad(e.to_string()))?;
    let requests = pieces.requests.iter().map(|der| Request::from_der(der).map_err(|e| bad(e.to_string())));
    let name = path.display().to_string();
    let crls = pieces.crls.iter().map(|der| Crl::from_der(name.clone(), der).map_err(|e| bad(e.to_string())));
    let shown = Shown {
        certificates: pieces.certificates,
        requests: requests.collect::<Result<_, _>>()?,
        crls: crls.collect::<Result<_, _>>()?,
        keys: pieces.keys.iter().map(|key| key.label.to_lowercase()).collect(),
        tls: None,
    };
    if shown.certificates.is_empty() && shown.requests.is_empty() && shown.crls.is_empty() && shown.keys.is_empty() {
        return Err(bad("there is neither certificate, request, revocation list nor key in it".into()));
    }
    Ok(shown)
}
