//! `svcops cert ca`: the own authorities that `svcops.yaml` declares as issuers.

use crate::{
    base::{Clock as _, Redactor, Secret, WallClock, words::count},
    cert::pem,
    cli::{Face, args::Output, exit::ExitCode, words::Failure},
    inventory::{Issuer, IssuerKind},
    issue::ca::{Algorithm, Ca as House, CaError, Issued, Reason, Wish},
    runbook::Project,
    transport::{orders::below, vault::Vault},
    ui::{
        message::{Kind, Message},
        prompt::{self, NoAnswer},
        table::table,
    },
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// `cert ca …`.
#[derive(Debug, clap::Subcommand)]
pub enum Ca {
    /// Make the authority of an issuer: its root, whose key lies encrypted in its folder
    #[command(after_help = "Examples:
  svcops cert ca create house
  svcops cert ca create house --name 'Example House CA' --intermediate
  svcops cert ca create house --algorithm rsa4096 --days 7300

The issuer is one of `issuers:` in svcops.yaml with `ca:`; the secret that it names encrypts the key.")]
    Create(Create),
    /// Whom to trust, what was given, and until when the lists of what was revoked count
    #[command(after_help = "Examples:
  svcops cert ca show house
  svcops cert ca show house -o json")]
    Show {
        /// The issuer, by its name in svcops.yaml
        issuer: String,
    },
    /// Make a new root, which the present one signs too: both are trusted until `retire`
    #[command(after_help = "Examples:
  svcops cert ca rotate house
  svcops cert ca rotate house --algorithm p384 --days 7300

Give its trust.pem to whoever trusts the authority, renew its certificates, then `svcops cert ca retire`.")]
    Rotate(Rotate),
    /// End the trust in the older roots, and take their keys away for ever
    #[command(after_help = "Examples:
  svcops cert ca retire house

Refused while a certificate of theirs is valid that nothing newer replaces, unless `--force` says so.")]
    Retire {
        /// The issuer, by its name in svcops.yaml
        issuer: String,
        /// Though certificates of the older roots are still valid
        #[arg(long)]
        force: bool,
    },
    /// Take a certificate back, and write the lists that tell it
    #[command(after_help = "Examples:
  svcops cert ca revoke house 4f1c…
  svcops cert ca revoke house old.pem --because key-compromise")]
    Revoke(Revoke),
    /// Write the lists of what was revoked anew, before they are out of date
    #[command(after_help = "Examples:
  svcops cert ca crl house
  svcops cert ca crl house --days 7        from cron, every day")]
    Crl {
        /// The issuer, by its name in svcops.yaml
        issuer: String,
        /// How long they count
        #[arg(long, value_name = "N", default_value = "30", value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
    },
}

/// `cert ca create`.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// The issuer, by its name in svcops.yaml
    pub issuer: String,
    /// The root's common name; the project's and the issuer's unless given
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
    /// What keys: p256, p384, rsa3072, rsa4096 or ed25519
    #[arg(long, value_name = "KIND", default_value = "p384")]
    pub algorithm: Algorithm,
    /// How long the root lasts
    #[arg(long, value_name = "N", default_value = "3650", value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub days: u32,
    /// An intermediate signs, so that the root's key can be kept elsewhere
    #[arg(long)]
    pub intermediate: bool,
}

/// `cert ca rotate`.
#[derive(Debug, clap::Args)]
pub struct Rotate {
    /// The issuer, by its name in svcops.yaml
    pub issuer: String,
    /// What keys: p256, p384, rsa3072, rsa4096 or ed25519
    #[arg(long, value_name = "KIND", default_value = "p384")]
    pub algorithm: Algorithm,
    /// How long the new root lasts
    #[arg(long, value_name = "N", default_value = "3650", value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub days: u32,
}

/// `cert ca revoke`.
#[derive(Debug, clap::Args)]
pub struct Revoke {
    /// The issuer, by its name in svcops.yaml
    pub issuer: String,
    /// The certificate: its serial number, or a file with it
    #[arg(value_name = "SERIAL|FILE")]
    pub certificate: String,
    /// Why, as lists tell it: key-compromise, superseded, affiliation-changed, cessation-of-operation
    #[arg(long, value_name = "WORD", default_value = "unspecified")]
    pub because: Reason,
}

/// An issuer with its authority's folder.
struct Found {
    project: Project,
    issuer: Issuer,
    folder: PathBuf,
    password: String,
}

impl Face {
    pub(super) fn cert_ca(&self, of: &Ca) -> Result<ExitCode, Failure> {
        self.no_stream()?;
        let now = WallClock.now();
        match of {
            Ca::Create(args) => self.ca_create(args, now),
            Ca::Show { issuer } => self.ca_show(issuer, now),
            Ca::Rotate(args) => self.ca_rotate(args, now),
            Ca::Retire { issuer, force } => self.ca_retire(issuer, *force, now),
            Ca::Revoke(args) => self.ca_revoke(args, now),
            Ca::Crl { issuer, days } => {
                let found = self.authority(issuer)?;
                let file = found.open()?.crl(*days, &found.password()?, now).map_err(failure)?;
                let until = now.saturating_add(jiff::SignedDuration::from_hours(i64::from(*days) * 24)).unwrap_or(now);
                Ok(self.did(
                    &format!("the lists of `{issuer}` count until {}: {}", day(until), file.display()),
                    &json!({"crl": file, "next_update": until}),
                ))
            }
        }
    }

    fn ca_create(&self, args: &Create, now: Timestamp) -> Result<ExitCode, Failure> {
        let found = self.authority(&args.issuer)?;
        let name = args.name.clone().unwrap_or_else(|| format!("{} {}", found.project.inventory.project, args.issuer));
        let wish = Wish { name, algorithm: args.algorithm, days: args.days, intermediate: args.intermediate };
        let password = found.password()?;
        self.patience(args.algorithm);
        let ca = House::create(&found.folder, &wish, &password, now).map_err(failure)?;
        self.made(&ca, &format!("`{}` is an authority now", args.issuer))
    }

    fn ca_rotate(&self, args: &Rotate, now: Timestamp) -> Result<ExitCode, Failure> {
        let found = self.authority(&args.issuer)?;
        let mut ca = found.open()?;
        let intermediate = ca.generations().last().is_some_and(|of| of.intermediate);
        let wish = Wish { name: ca.name().to_owned(), algorithm: args.algorithm, days: args.days, intermediate };
        let question = format!("Make a new root for `{}`, which signs all certificates from now on?", args.issuer);
        self.agreed(&question, "this makes a new root")?;
        let password = found.password()?;
        self.patience(args.algorithm);
        ca.rotate(&wish, &password, now).map_err(failure)?;
        self.made(&ca, &format!("`{}` has a new root, and both are trusted", args.issuer))
    }

    fn made(&self, ca: &House, what: &str) -> Result<ExitCode, Failure> {
        let number = ca.generations().last().map_or(1, |of| of.number);
        let root = ca.certificate("root", number).map_err(failure)?;
        self.did(
            &format!("{what}: {} until {}", root.subject, day(root.not_after)),
            &json!({
                "root": root.subject,
                "fingerprint": root.fingerprint,
                "not_after": root.not_after,
                "trust": ca.trust_file(),
            }),
        );
        if self.global.output == Output::Table {
            self.screen.note(&format!("  whom to trust: {}\n", ca.trust_file().display()));
        }
        Ok(ExitCode::Done)
    }

    fn ca_retire(&self, issuer: &str, force: bool, now: Timestamp) -> Result<ExitCode, Failure> {
        let found = self.authority(issuer)?;
        let mut ca = found.open()?;
        let question = format!("End the trust in the older roots of `{issuer}`, and destroy their keys?");
        self.agreed(&question, "this ends the trust in roots")?;
        let retired = ca.retire(force, &found.password()?, now).map_err(failure)?;
        let what = format!(
            "{} of `{issuer}` retired; give the new {} to who trusts it",
            count("root", retired.len()),
            ca.trust_file().display()
        );
        Ok(self.did(&what, &json!({"retired": retired, "trust": ca.trust_file()})))
    }

    fn ca_revoke(&self, args: &Revoke, now: Timestamp) -> Result<ExitCode, Failure> {
        let found = self.authority(&args.issuer)?;
        let mut ca = found.open()?;
        let serial = serial(&args.certificate)?;
        let all = ca.issued().map_err(failure)?;
        let plain: String = serial.chars().filter(char::is_ascii_hexdigit).collect::<String>().to_lowercase();
        let whose = all.iter().find(|one| one.cert.serial == plain).map(|one| one.cert.subject.clone());
        let question = format!("Revoke the certificate of {}?", whose.unwrap_or_else(|| format!("`{serial}`")));
        self.agreed(&question, "this revokes a certificate")?;
        ca.revoke(&serial, args.because, &found.password()?, now).map_err(failure)?;
        let file = ca.crl_file();
        Ok(self.did(
            &format!("revoked; serve the new list to who asks for it: {}", file.display()),
            &json!({"serial": plain, "reason": args.because, "crl": file}),
        ))
    }

    fn ca_show(&self, issuer: &str, now: Timestamp) -> Result<ExitCode, Failure> {
        let found = self.authority(issuer)?;
        let ca = found.open()?;
        let issued = ca.issued().map_err(failure)?;
        let lists = lists(&ca.crl_file());
        if self.global.output == Output::Json {
            let mut roots = Vec::new();
            for of in ca.generations() {
                let root = ca.certificate("root", of.number).map_err(failure)?;
                roots.push(json!({
                    "root": of.number,
                    "subject": root.subject,
                    "fingerprint": root.fingerprint,
                    "not_before": root.not_before,
                    "not_after": root.not_after,
                    "intermediate": of.intermediate,
                    "retired": of.retired,
                }));
            }
            self.screen.json(&json!({
                "schema_version": 1,
                "issuer": issuer,
                "folder": ca.folder(),
                "trust": ca.trust_file(),
                "crl": ca.crl_file(),
                "crl_until": lists,
                "roots": roots,
                "issued": issued.iter().map(|one| told(one, now)).collect::<Vec<_>>(),
            }));
            return Ok(ExitCode::Done);
        }
        let mut rows = Vec::new();
        for of in ca.generations() {
            let root = ca.certificate("root", of.number).map_err(failure)?;
            let stands = match of.retired {
                Some(at) => format!("retired {}", day(at)),
                None if ca.generations().last() == Some(of) => "signs".to_owned(),
                None => "trusted".to_owned(),
            };
            rows.push(vec![
                of.number.to_string(),
                root.subject.clone(),
                day(root.not_after),
                root.key.to_string(),
                stands,
            ]);
        }
        let mut text = table(&self.screen, &["root", "subject", "until", "key", "stands"], &rows);
        text += &format!("\ntrust  {}\n", ca.trust_file().display());
        let until = lists.map_or_else(
            || "which nobody can read".to_owned(),
            |until| {
                if until < now { format!("out of date since {}", day(until)) } else { format!("until {}", day(until)) }
            },
        );
        text += &format!("lists  {}, {until}\n", ca.crl_file().display());
        let rows: Vec<Vec<String>> = issued.iter().filter(|one| one.cert.not_after > now).map(row).collect();
        if rows.is_empty() {
            text += "\nno certificate of it is valid now\n";
        } else {
            text += &format!("\n{}", table(&self.screen, &["certificate", "until", "root", "stands", "serial"], &rows));
        }
        self.screen.data(&text);
        Ok(ExitCode::Done)
    }

    fn authority(&self, name: &str) -> Result<Found, Failure> {
        let project = self.project()?;
        let issuers = &project.inventory.issuers;
        let is_ca = |issuer: &&Issuer| matches!(issuer.kind, IssuerKind::Ca { .. });
        let known: Vec<String> = issuers.values().filter(is_ca).map(|issuer| format!("`{}`", issuer.name)).collect();
        let others =
            || if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
        let Some(issuer) = issuers.get(name).filter(is_ca).cloned() else {
            let message = Message::error(format!("svcops.yaml has no own authority `{name}`: {}", others()));
            return Err(Failure::wrong(
                message.hint("`issuers: {NAME: {ca: {folder: …, password: SECRET}}}` declares one"),
            ));
        };
        let IssuerKind::Ca { folder, password, .. } = &issuer.kind else {
            return Err(Failure::wrong(Message::error(format!("`{name}` is no own authority"))));
        };
        let (folder, password) = (below(&project.root, folder), password.clone());
        Ok(Found { project, issuer, folder, password })
    }

    fn patience(&self, algorithm: Algorithm) {
        if matches!(algorithm, Algorithm::Rsa3072 | Algorithm::Rsa4096) && !self.global.quiet {
            self.screen.note("making a key of RSA, which takes seconds\n");
        }
    }

    fn did(&self, what: &str, facts: &Value) -> ExitCode {
        if self.global.output == Output::Json {
            let mut answer = json!({"schema_version": 1});
            if let (Some(answer), Some(facts)) = (answer.as_object_mut(), facts.as_object()) {
                answer.extend(facts.clone());
            }
            self.screen.json(&answer);
        } else {
            self.screen.tell(&Message::new(Kind::Done, what));
        }
        ExitCode::Done
    }

    /// Asks, unless `--yes` has answered.
    fn agreed(&self, question: &str, what: &str) -> Result<(), Failure> {
        if self.global.yes {
            return Ok(());
        }
        match prompt::yes(question) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::wrong(Message::error("not confirmed; nothing was touched"))),
            Err(NoAnswer::NoTerminal(_)) => {
                let message = Message::error(format!("{what} and nobody can be asked: there is no terminal"));
                Err(Failure::wrong(message.hint("`--yes` answers for cron and CI")))
            }
            Err(ended @ NoAnswer::Ended) => Err(Failure::wrong(Message::error(ended.to_string()))),
        }
    }
}

impl Found {
    fn open(&self) -> Result<House, Failure> {
        House::open(&self.folder).map_err(|e| {
            let missing = matches!(e, CaError::Missing(_));
            let failure = failure(e);
            if missing {
                failure.hint(format!("`svcops cert ca create {}` makes it", self.issuer.name))
            } else {
                failure
            }
        })
    }

    fn password(&self) -> Result<Secret, Failure> {
        let secrets = self.project.inventory.secrets.clone();
        let vault = Vault::new(secrets, self.project.root.clone(), Redactor::default());
        vault.secret(&self.password).map_err(|e| Failure::wrong(Message::of(&e)))
    }
}

/// The serial number that is meant: a file's, where one is there.
fn serial(text: &str) -> Result<String, Failure> {
    let path = Path::new(text);
    if !path.is_file() {
        return Ok(text.to_owned());
    }
    let bytes = pem::read(path).map_err(|e| Failure::file("read", path, &e))?;
    let wrong = |why: String| Failure::wrong(Message::error(why).row("file", path.display().to_string()));
    let pieces = pem::Pieces::read(&bytes).map_err(|e| wrong(e.to_string()))?;
    let first = pieces.certificates.first().ok_or_else(|| wrong("there is no certificate in it".to_owned()))?;
    Ok(first.serial.clone())
}

/// When the first of the lists is out of date.
fn lists(file: &Path) -> Option<Timestamp> {
    let pieces = pem::Pieces::read(&pem::read(file).ok()?).ok()?;
    let read = |der: &Vec<u8>| crate::cert::Crl::from_der(String::new(), der).ok()?.next_update;
    pieces.crls.iter().map(read).min().flatten()
}

fn row(one: &Issued) -> Vec<String> {
    let name = one.cert.names.first().map_or_else(|| one.cert.subject.clone(), ToString::to_string);
    let stands = one.revoked.map_or_else(String::new, |(at, reason)| match reason {
        Reason::Unspecified => format!("revoked {}", day(at)),
        reason => format!("revoked {}: {reason}", day(at)),
    });
    let root = one.generation.map_or_else(|| "–".to_owned(), |number| number.to_string());
    vec![name, day(one.cert.not_after), root, stands, one.cert.serial.clone()]
}

fn told(one: &Issued, now: Timestamp) -> Value {
    json!({
        "serial": one.cert.serial,
        "names": one.cert.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "not_before": one.cert.not_before,
        "not_after": one.cert.not_after,
        "days_left": one.cert.days_left(now),
        "root": one.generation,
        "revoked": one.revoked.map(|(at, reason)| json!({"at": at, "reason": reason})),
    })
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

fn failure(error: CaError) -> Failure {
    let message = Message::of(&error);
    match error {
        CaError::Busy(_) => Failure::new(ExitCode::NotNow, message),
        CaError::Needed(_) => {
            Failure::new(ExitCode::NotAllowed, message.hint("renew them first; `--force` retires nevertheless"))
        }
        _ => Failure::wrong(message),
    }
}
