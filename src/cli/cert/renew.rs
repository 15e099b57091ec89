//! `svcops cert renew` and `cert import`: a look at what is due, and a runbook that is composed of it and run like any other.

use crate::{
    base::{Clock as _, WallClock},
    cert::{Certificate, Severity, Terms as Against, Trust, Wanted, judge, pem},
    cli::{
        Face,
        args::{Output, Params},
        exit::ExitCode,
        run::{self, Terms},
        stage,
        words::{self, Failure},
    },
    inventory::{self, IssuerKind},
    issue::ca::Ca,
    resources::pair::date,
    runbook::Project,
    survey::{
        pair::{Standing, look, places},
        window::{Early, early},
    },
    transport::orders::below,
    ui::message::Message,
    verbs::cert::{Renewal, compose, find, issued},
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// `cert renew`.
#[derive(Debug, clap::Args)]
pub struct Renew {
    /// The certificates; all that somebody issues unless given
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Also those that are not due
    #[arg(long)]
    pub force: bool,
    /// Only on the hosts at this site
    #[arg(long, value_name = "S")]
    pub site: Option<String>,
    /// Print the runbook instead of running it
    #[arg(long)]
    pub show: bool,
}

/// `cert import`.
#[derive(Debug, clap::Args)]
pub struct Import {
    /// The certificate
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What the issuer answered: certificates in PEM or DER, with what links them to a root
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: PathBuf,
    /// Print the runbook instead of running it
    #[arg(long)]
    pub show: bool,
}

/// So long a server may take to say when it would like a certificate to be renewed.
const COURTESY: std::time::Duration = std::time::Duration::from_secs(5);

/// For its help.
pub(super) const RENEW: &str = "Examples:
  svcops cert renew                        all that is due
  svcops cert renew billing-tls --site dc1
  svcops cert renew billing-tls --force    also what is not due
  svcops cert renew --show > runbooks/certificates.yaml

What is due: `renew:` of each certificate in svcops.yaml. Where nothing is due
nothing is done, and the next one is named.";

/// For its help.
pub(super) const IMPORT: &str = "Examples:
  svcops cert import corp-tls answer.pem
  svcops cert import corp-tls answer.pem --yes --ticket OPS-4412

The answer must fit the request that waits on a host: `svcops cert renew` makes it.";

impl Face {
    pub(super) fn cert_renew(&self, args: &Renew) -> Result<ExitCode, Failure> {
        let project = self.project()?;
        let inventory = &project.inventory;
        let site = args.site.as_deref();
        let found = issued(inventory, &args.names, site).map_err(|e| Failure::wrong(Message::of(&e)))?;
        if found.is_empty() {
            let message =
                Message::error("svcops.yaml declares no certificate that somebody issues and that lies there");
            return Err(Failure::wrong(message.hint("`certificates:` and `issuers:` in svcops.yaml declare them")));
        }
        let mut renewal = Renewal { site, force: args.force, ..Renewal::default() };
        if args.show {
            renewal.names = found.iter().map(|certificate| certificate.name.as_str()).collect();
            return self.show_runbook(&project, &renewal);
        }
        if args.force {
            renewal.names = found.iter().map(|certificate| certificate.name.as_str()).collect();
            return self.renew_and_tell(&project, &found, &renewal);
        }
        let standings = self.standings(&project, &found, site)?;
        let waits = |one: &Standing| is_answer_awaited(inventory, one);
        let opened = self.open_to_read(&inventory.project)?;
        let ways = (project.root.as_path(), opened.state.as_path());
        let soon = (self.global.parallel, COURTESY);
        let asked = self.runtime()?.block_on(stage::unless_interrupted(early(inventory, ways, &standings, soon)))?;
        drop(opened);
        renewal.early = asked.iter().map(|one| (one.certificate.clone(), one.place, one.host.clone())).collect();
        self.tell_early(&asked);
        let sooner = |one: &Standing| renewal.early.contains(&(one.certificate.clone(), one.place, one.host.clone()));
        let concerned = |one: &&Standing| {
            sooner(one)
                || one.facts.as_ref().map_or(true, |facts| {
                    !waits(one) && (facts.staged.key.is_some() || facts.staged.chain.is_some() || one.due().is_some())
                })
        };
        let concerned: Vec<&Standing> = standings.iter().filter(concerned).collect();
        let of = |name: &str| concerned.iter().any(|one| one.certificate == name);
        renewal.names = found.iter().map(|certificate| certificate.name.as_str()).filter(|name| of(name)).collect();
        self.tell_waiting(inventory, standings.iter().filter(|one| waits(one)));
        if renewal.names.is_empty() {
            let waiting = standings.iter().any(waits);
            let rest: Vec<&Standing> = standings.iter().filter(|one| !waits(one)).collect();
            return Ok(self.nothing_due(&rest, waiting));
        }
        self.renew_and_tell(&project, &found, &renewal)
    }

    pub(super) fn cert_import(&self, args: &Import) -> Result<ExitCode, Failure> {
        let project = self.project()?;
        let inventory = &project.inventory;
        let found = find(inventory, &args.name).map_err(|e| Failure::wrong(Message::of(&e)))?;
        let issuer = found.issuer.as_ref().and_then(|name| inventory.issuers.get(name));
        let Some(issuer) = issuer.filter(|issuer| matches!(issuer.kind, IssuerKind::Csr { .. })) else {
            let by = found.issuer.as_ref().map_or("nobody".to_owned(), |name| format!("`{name}`"));
            let message = format!("certificate `{}` is issued by {by}, and by no people who would answer", args.name);
            return Err(Failure::wrong(Message::error(message).hint("`csr:` of an issuer says that people answer")));
        };
        let bytes = pem::read(&args.file).map_err(|e| Failure::file("read", &args.file, &e))?;
        let file = args.file.display().to_string();
        let pieces = pem::Pieces::read(&bytes)
            .map_err(|e| Failure::wrong(Message::error(e.to_string()).row("file", file.clone())))?;
        let trust = trust_of(&project.root, issuer)?;
        let standings = self.standings(&project, &[found], None)?;
        if let Some((one, why)) = standings.iter().find_map(|one| Some((one, one.facts.as_ref().err()?))) {
            let message = Message::error(format!("`{}` on `{}` could not be looked at", args.name, one.host));
            return Err(Failure::wrong(message.because(why.clone())));
        }
        let mut chains = BTreeMap::new();
        for one in &standings {
            if let Some(chain) = answer(one, &pieces.certificates, &trust).map_err(|why| {
                let message = Message::error(format!("the answer for `{}` on `{}` does not hold", args.name, one.host));
                Failure::wrong(message.because(why).row("file", file.clone()).row("trust", trust.name.clone()))
            })? {
                chains.insert((one.certificate.clone(), one.place, one.host.clone()), chain);
            }
        }
        if chains.is_empty() {
            let asked = standings.iter().filter(|one| is_answer_awaited(inventory, one)).count();
            let message = if asked == 0 {
                format!("no request for `{}` waits on any host", args.name)
            } else {
                format!("no certificate in `{file}` answers a request for `{}` that waits on a host", args.name)
            };
            return Err(Failure::wrong(Message::error(message).hint("`svcops cert renew` makes requests")));
        }
        let answered = |one: &&Standing| !chains.contains_key(&(one.certificate.clone(), one.place, one.host.clone()));
        let waiting = standings.iter().filter(|one| is_answer_awaited(inventory, one));
        self.tell_waiting(inventory, waiting.filter(answered));
        let renewal = Renewal { names: vec![found.name.as_str()], chains, ..Renewal::default() };
        if args.show {
            return self.show_runbook(&project, &renewal);
        }
        self.compose_and_run(&project, &renewal, "cert import")
    }

    fn show_runbook(&self, project: &Project, renewal: &Renewal<'_>) -> Result<ExitCode, Failure> {
        self.no_stream()?;
        let text = compose(&project.inventory, renewal).map_err(|e| Failure::wrong(Message::of(&e)))?;
        self.screen.data(&text);
        Ok(ExitCode::Done)
    }

    fn compose_and_run(&self, project: &Project, renewal: &Renewal<'_>, verb: &str) -> Result<ExitCode, Failure> {
        authorities_are_there(project, renewal)?;
        let text = compose(&project.inventory, renewal).map_err(|e| Failure::wrong(Message::of(&e)))?;
        let mut runbook = project
            .runbook_text("", &text)
            .map_err(|found| words::faults(&project.root, &found, self.screen.paint.on()))?;
        runbook.name = match renewal.names.as_slice() {
            [one] => format!("{verb} {one}"),
            _ => verb.to_owned(),
        };
        runbook.file = None;
        let opened = self.open(&project.inventory.project)?;
        let order = self.order(&project.inventory, runbook, &Params::default(), &opened)?;
        run::carry_out(self, project, opened, &order, &Terms::default())
    }

    /// Renews, and says which of the requests that were made people are to answer now.
    fn renew_and_tell(
        &self,
        project: &Project,
        found: &[&inventory::Certificate],
        renewal: &Renewal<'_>,
    ) -> Result<ExitCode, Failure> {
        let code = self.compose_and_run(project, renewal, "cert renew")?;
        let inventory = &project.inventory;
        let people = |c: &&&inventory::Certificate| renewal.names.contains(&c.name.as_str()) && by_people(inventory, c);
        let asked: Vec<&inventory::Certificate> = found.iter().filter(people).copied().collect();
        if code == ExitCode::Done && !asked.is_empty() && !self.global.quiet {
            // the run is over: what cannot be seen now is seen by the next renewal
            let standings = self.standings(project, &asked, renewal.site).unwrap_or_default();
            self.tell_waiting(inventory, standings.iter().filter(|one| is_answer_awaited(inventory, one)));
        }
        Ok(code)
    }

    /// Looks at where they lie.
    fn standings(
        &self,
        project: &Project,
        found: &[&inventory::Certificate],
        site: Option<&str>,
    ) -> Result<Vec<Standing>, Failure> {
        let hosts = self.hosts(&project.inventory)?;
        let mut standings = places(&project.inventory, found, (site, hosts.as_deref()), WallClock.now());
        self.runtime()?.block_on(async {
            let ways = self.fleet(&project.root, &project.inventory, None);
            ways.progress.doing("looking at certificates");
            let seen = stage::unless_interrupted(look(&*ways.transport, &mut standings, self.global.parallel)).await;
            ways.progress.rest();
            ways.transport.close().await;
            seen
        })?;
        Ok(standings)
    }

    /// Nothing is due: what will be next.
    fn nothing_due(&self, standings: &[&Standing], waiting: bool) -> ExitCode {
        let next = standings.iter().filter_map(|one| Some((one.from()?, *one))).min_by_key(|(from, _)| *from);
        let end = |one: &Standing| one.facts.as_ref().ok()?.installed.as_ref().map(|leaf| leaf.not_after);
        if matches!(self.global.output, Output::Json | Output::Jsonl) {
            let next = next.map(|(from, one)| {
                json!({"certificate": one.certificate, "host": one.host, "due": from, "not_after": end(one)})
            });
            self.screen.json(&json!({"schema_version": 1, "due": [], "next": next}));
            return ExitCode::Done;
        }
        let nothing = if waiting { "nothing else is due" } else { "nothing is due" };
        let text = match next {
            Some((from, one)) => format!(
                "{nothing}; next is `{}` on `{}`, from {} on{}\n",
                one.certificate,
                one.host,
                date(from),
                end(one).map(|end| format!(" (it expires on {})", date(end))).unwrap_or_default()
            ),
            None => format!("{nothing}\n"),
        };
        if !self.global.quiet {
            self.screen.data(&text);
        }
        ExitCode::Done
    }

    /// What is not due by itself, and is renewed nevertheless.
    fn tell_early(&self, asked: &[Early]) {
        if self.global.quiet {
            return;
        }
        for one in asked {
            let (from, to) = (date(one.window.from), date(one.window.to));
            let text = format!("`{}` asks for `{}` on `{}` to be renewed now", one.issuer, one.certificate, one.host);
            self.screen.tell(&Message::warning(text).because(format!("its window is from {from} to {to}")));
        }
    }

    /// Requests that nobody has answered yet.
    fn tell_waiting<'a>(&self, inventory: &inventory::Inventory, waiting: impl Iterator<Item = &'a Standing>) {
        if self.global.quiet {
            return;
        }
        for one in waiting {
            let text = format!("the request for `{}` on `{}` waits for people to answer it", one.certificate, one.host);
            let note = match issuer_of(inventory, &one.certificate).map(|issuer| &issuer.kind) {
                Some(IssuerKind::Csr { note }) => note.clone(),
                _ => None,
            };
            let message = note.into_iter().fold(Message::warning(text), |message, note| message.row("note", note));
            let hint = format!("its ticket has it; `svcops cert import {} FILE` takes the answer", one.certificate);
            self.screen.tell(&message.hint(hint));
        }
    }
}

fn issuer_of<'a>(inventory: &'a inventory::Inventory, certificate: &str) -> Option<&'a inventory::Issuer> {
    inventory.issuers.get(inventory.certificates.get(certificate)?.issuer.as_ref()?)
}

/// People issue it.
fn by_people(inventory: &inventory::Inventory, certificate: &inventory::Certificate) -> bool {
    issuer_of(inventory, &certificate.name).is_some_and(|issuer| matches!(issuer.kind, IssuerKind::Csr { .. }))
}

/// Own authorities that have not been made yet are found missing before a key is made for them.
fn authorities_are_there(project: &Project, renewal: &Renewal<'_>) -> Result<(), Failure> {
    let inventory = &project.inventory;
    for name in &renewal.names {
        let issuer = inventory.certificates.get(*name).and_then(|one| inventory.issuers.get(one.issuer.as_ref()?));
        let Some((issuer, IssuerKind::Ca { folder, .. })) = issuer.map(|issuer| (issuer, &issuer.kind)) else {
            continue;
        };
        Ca::open(&below(&project.root, folder)).map_err(|e| {
            let message = Message::error(format!("`{}` cannot issue `{name}`", issuer.name)).because(e.to_string());
            Failure::wrong(message.hint(format!("`svcops cert ca create {}` makes the authority", issuer.name)))
        })?;
    }
    Ok(())
}

/// People were asked, and have not answered.
fn is_answer_awaited(inventory: &inventory::Inventory, one: &Standing) -> bool {
    let people = inventory.certificates.get(&one.certificate).is_some_and(|c| by_people(inventory, c));
    people && one.facts.as_ref().is_ok_and(|f| f.staged.asked().is_some() && f.staged.complete().is_none())
}

fn trust_of(root: &Path, issuer: &inventory::Issuer) -> Result<Trust, Failure> {
    let Some(file) = &issuer.trust else { return Ok(Trust::system()) };
    Trust::file(&below(root, file))
        .map_err(|e| Failure::wrong(Message::error("there is nobody to trust").because(e.to_string())))
}

/// The chain that answers the request that waits there, as PEM without its root; none: it is not in the answer. An error:
/// why it does not hold.
fn answer(one: &Standing, certificates: &[Certificate], trust: &Trust) -> Result<Option<String>, String> {
    let Some(asked) = one.facts.as_ref().ok().and_then(|facts| facts.staged.asked()) else { return Ok(None) };
    let Some(leaf) = certificates.iter().find(|cert| cert.key_fingerprint() == asked.spki) else { return Ok(None) };
    let mut shown = vec![leaf.clone()];
    shown.extend(certificates.iter().filter(|cert| cert.ca && *cert != leaf).cloned());
    let mut names = Vec::new();
    for name in &one.wanted.names {
        // a client asks for a name, not for a pattern
        let name = name.strip_prefix("*.").map_or_else(|| name.clone(), |rest| format!("any.{rest}"));
        names.push(name.parse::<Wanted>().map_err(|e| e.to_string())?);
    }
    let against = Against {
        at: one.wanted.now,
        names,
        warn: 0,
        crit: 0,
        share: None,
        trust,
        crls: &[],
        key: None,
        unstapled: false,
        stapled: None,
        chain: true,
    };
    let judgement = judge(&shown, &against);
    if let Some(fault) = judgement.faults.iter().find(|fault| fault.severity == Severity::Critical) {
        return Err(fault.what.to_string());
    }
    if !judgement.whole {
        return Err(format!("it does not end at anybody whom {} trusts", trust.name));
    }
    // every client has the root
    let links = judgement.path.len().saturating_sub(1).max(1);
    Ok(Some(judgement.path.iter().take(links).map(|cert| pem::armour("CERTIFICATE", cert.der())).collect()))
}
