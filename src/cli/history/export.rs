//! `svcops history export`: a run as one file that proves itself; and `history verify BUNDLE`, which checks it anywhere.

use super::{Outside, gone, outside, pretty, signed, zone};
use crate::{
    base::{Hash, RunId},
    cli::{
        Face,
        args::{Output, RunName, run_name},
        exit::ExitCode,
        owed,
        words::Failure,
    },
    engine::owing::is_paid,
    evidence::ssh::Signers,
    journal::{
        Journal as _, JournalError, SqliteJournal,
        bundle::{self, Checked, Extra, Flaw, Manifest, OfReport, WriteError},
        chain::Head,
        event::Record,
        outbox::Outbox as _,
        shown::Shown,
        state::{Owed, RunState},
    },
    ui::{
        bundle as drawn,
        history::{Listed, Signed},
        message::{Kind, Message},
        report::{Chain, Report, Source},
    },
};
use jiff::tz::TimeZone;
use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// `history export`.
#[derive(Clone, Debug, clap::Args)]
pub struct Export {
    /// The run, or `last`
    #[arg(value_parser = run_name)]
    pub run: RunName,
    /// The bundle's file (svcops-RUN.tar unless given; `-` is stdout)
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub to: Option<PathBuf>,
}

/// For its help.
pub const EXAMPLES: &str = "Examples:
  svcops history export last
  svcops history export 01J9ZK3V7Q --to /srv/evidence/ops-4412.tar

`svcops history verify FILE` checks it on any machine. A bundle is a tar archive: the run's events with their chain, its part of the ledger, its signatures, the runbook, the inventory and the plan as they were recorded, the report. It holds no secrets, but names hosts and commands: its file is readable by its owner alone.";

impl Face {
    pub(in crate::cli) fn export(&self, args: &Export) -> Result<ExitCode, Failure> {
        self.no_stream()?;
        let (opened, project) = self.read_past()?;
        let run = opened.run(&args.run)?;
        let row = opened.journal.row(&run).map_err(|why| gone(&opened.journal, &run, why))?;
        if row.outcome.is_none() && opened.locks.alive(&run) {
            let message = Message::error(format!("run {run} is under way: what it comes to is not recorded yet"));
            let follow = format!("`svcops history show {run} --follow` waits for its end");
            return Err(Failure::new(ExitCode::NotNow, message.hint(follow)));
        }
        let zone = zone(project.as_ref().and_then(|p| p.inventory.timezone.as_deref()));
        let extra = extra(&opened.journal, &run, &zone)?;
        let path = args.to.clone().unwrap_or_else(|| format!("svcops-{run}.tar").into());
        if path.as_os_str() == "-" {
            bundle::write(&opened.journal, &run, &extra, io::stdout().lock()).map_err(|why| failed(&path, why))?;
            return Ok(ExitCode::Done);
        }
        let (hash, flaws) = kept(&path, |file| bundle::write(&opened.journal, &run, &extra, file))?;
        let bytes = std::fs::metadata(&path).map_or(0, |found| found.len());
        match self.global.output {
            Output::Table => {
                let done = format!("run {run} in `{}`, sha256 {hash}", path.display());
                self.screen.tell(
                    &Message::new(Kind::Done, done).hint("`svcops history verify FILE` checks it on any machine"),
                );
            }
            _ => self.screen.json(&serde_json::json!({
                "schema_version": 1, "run": run, "file": path, "bytes": bytes, "sha256": hash,
                "faults": flaws.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "exit_code": if flaws.is_empty() { 0 } else { 2 },
            })),
        }
        let Some(first) = flaws.first() else { return Ok(ExitCode::Done) };
        let warning = format!("the bundle does not prove run {run}: {first}");
        self.screen.tell(&Message::warning(warning).hint("`svcops history verify` checks the whole journal"));
        Ok(ExitCode::Wrong)
    }

    pub(in crate::cli) fn verify_bundle(
        &self,
        path: &Path,
        against: Option<&str>,
        signers: Option<&Signers>,
    ) -> Result<ExitCode, Failure> {
        self.no_stream()?;
        let outside = against.map(|text| outside(text, "")).transpose()?.unwrap_or_default();
        let file = File::open(path).map_err(|why| {
            let hint = "`svcops history export RUN` makes a bundle; without a file, the journal is checked";
            Failure::file("read", path, &why).hint(hint)
        })?;
        let mut checked = checked(file, &outside).map_err(|why| Failure::file("read", path, &why))?;
        let signed = match signers {
            Some(signers) => {
                let (found, faults) = signed(&checked.seals, signers, &mut |_, _| {})?;
                checked.flaws.extend(faults.iter().map(|fault| Flaw::Chain(fault.to_string())));
                Signed::Checked(found)
            }
            None => Signed::Unchecked(checked.seals.len()),
        };
        let code = match () {
            () if !checked.flaws.is_empty() => ExitCode::Wrong,
            () if checked.unsigned.is_some() || checked.report != OfReport::Same => ExitCode::AsBefore,
            // what was asked for could not be said
            () if checked.beyond > 0 && checked.against == 0 => ExitCode::AsBefore,
            () => ExitCode::Done,
        };
        let text = match self.global.output {
            Output::Table => drawn::verdict(&checked, &signed, self.screen.width),
            _ => pretty(&drawn::verdict_json(&checked, &signed, code.number())),
        };
        self.screen.data(&text);
        Ok(code)
    }
}

/// Checks a bundle, and that its report says what its events say.
fn checked(from: impl io::Read, outside: &Outside) -> io::Result<Checked> {
    let mut checked = bundle::check(from, outside)?;
    let Some(manifest) = checked.manifest.clone().filter(|_| checked.flaws.is_empty()) else { return Ok(checked) };
    let Some(part) = manifest.parts.iter().find(|part| part.name == bundle::REPORT) else { return Ok(checked) };
    let Ok(zone) = TimeZone::get(&manifest.zone) else {
        let why = format!("`{}` is in a time zone that there is not: `{}`", bundle::REPORT, manifest.zone);
        checked.flaws.push(Flaw::Chain(why));
        return Ok(checked);
    };
    // who made it is the manifest's own word, so it is drawn again in any case
    let again = again(&manifest, &zone, &checked).map(|html| Hash::of(html.as_bytes()));
    checked.report = match &again {
        Some(hash) if *hash == part.sha256 => OfReport::Same,
        _ => OfReport::Unchecked,
    };
    if again.is_some() && checked.report != OfReport::Same && manifest.made_by == env!("CARGO_PKG_VERSION") {
        checked.flaws.push(Flaw::Chain(format!("`{}` does not say what the run's events say", bundle::REPORT)));
    }
    Ok(checked)
}

/// The report that this svcops makes of these events.
fn again(manifest: &Manifest, zone: &TimeZone, checked: &Checked) -> Option<String> {
    let head = Head { seq: manifest.head, hash: manifest.hash.clone(), entry: checked.entry.clone() };
    let owed = |owed: &Owed| manifest.paid.contains(&owed.debt.key);
    let kept = Kept {
        records: checked.records.as_ref()?,
        shown: checked.shown.as_deref(),
        runbook: checked.runbook.as_deref(),
        ticket: manifest.ticket.clone(),
    };
    kept.report(head, zone, owed)
}

/// What the bundle of a run needs beside its rows.
fn extra(journal: &SqliteJournal, run: &RunId, zone: &TimeZone) -> Result<Extra, Failure> {
    let records = journal.records(run)?;
    let header = journal.header(run)?;
    let shown = header.shown.as_ref().map(|hash| journal.get(hash)).transpose()?;
    let runbook = journal.get(&header.runbook_hash)?;
    let ticket = journal.ticket_of(run)?.map(|known| known.ticket);
    // by a name that every machine knows
    let name = zone.iana_name().unwrap_or("UTC").to_owned();
    let zone = TimeZone::get(&name).unwrap_or(TimeZone::UTC);
    let mut paid = Vec::new();
    for owed in owed::of(&RunState::fold(&records)) {
        if is_paid(journal, run, &owed)? {
            paid.push(owed.debt.key);
        }
    }
    let (head, known) = (journal.head(run)?, |owed: &Owed| paid.contains(&owed.debt.key));
    let seq = head.seq;
    let kept = Kept { records: &records, shown: shown.as_deref(), runbook: Some(&runbook), ticket: ticket.clone() };
    let html = kept.report(head, &zone, known).ok_or_else(|| JournalError::NoRun(run.clone()))?;
    Ok(Extra { zone: name, ticket, paid, report: (html.into_bytes(), seq) })
}

/// What a report is made of: a bundle's own parts.
struct Kept<'a> {
    records: &'a [Record],
    shown: Option<&'a [u8]>,
    runbook: Option<&'a [u8]>,
    ticket: Option<String>,
}

impl Kept<'_> {
    /// The report as of the run's last event, so that whoever has the parts can draw it again.
    fn report(self, head: Head, zone: &TimeZone, paid: impl Fn(&Owed) -> bool) -> Option<String> {
        let Self { records, shown, runbook, ticket } = self;
        let row = bundle::row_of(records)?;
        let shown: Option<Shown> = shown.and_then(|bytes| serde_json::from_slice(bytes).ok());
        let title = runbook.and_then(|bytes| {
            let runbook: serde_json::Value = serde_json::from_slice(bytes).ok()?;
            Some(runbook.get("title")?.as_str()?.to_owned())
        });
        let owed = owed::of(&RunState::fold(records)).into_iter().map(|owed| (owed.clone(), paid(&owed)));
        let report = Report::of(&Source {
            run: &Listed { row, alive: false },
            records,
            shown: shown.as_ref(),
            title,
            ticket,
            owed: owed.collect(),
            chain: Some(Chain { head, faults: Vec::new() }),
            zone: zone.clone(),
            made: records.last()?.at,
        });
        Some(report.html())
    }
}

/// Writes a file beside its place, its owner's alone from the first byte, reads it back, and gives it its name.
fn kept(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<Hash, WriteError>,
) -> Result<(Hash, Vec<Flaw>), Failure> {
    let place = |why: io::Error| Failure::file("write", path, &why);
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(place(io::Error::other("it is no plain file")));
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&beside).map_err(place)?;
    let done = (|| {
        let mut file = BufWriter::new(file);
        let hash = write(&mut file).map_err(|why| failed(path, why))?;
        let file = file.into_inner().map_err(|why| place(why.into_error()))?;
        file.sync_all().map_err(place)?;
        let found = checked(File::open(&beside).map_err(place)?, &Outside::default()).map_err(place)?;
        std::fs::rename(&beside, path).map_err(place)?;
        Ok((hash, found.flaws))
    })();
    if done.is_err() {
        drop(std::fs::remove_file(&beside));
    }
    done
}

fn failed(path: &Path, why: WriteError) -> Failure {
    match why {
        WriteError::Journal(why) => why.into(),
        WriteError::Place(why) => Failure::file("write", path, &why),
        WriteError::WentOn(_) => Failure::new(ExitCode::NotNow, Message::of(&why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::history::tests::Stored;

    /// The bundle of the newest run of the stored journal.
    fn bundle() -> Vec<u8> {
        let stored = Stored::new();
        made(&stored, &stored.newest())
    }

    fn made(stored: &Stored, run: &RunId) -> Vec<u8> {
        let zone = TimeZone::get("Europe/Moscow").unwrap();
        let extra = extra(&stored.journal, run, &zone).unwrap();
        let mut bytes = Vec::new();
        bundle::write(&stored.journal, run, &extra, &mut bytes).unwrap();
        bytes
    }

    fn flaws(bytes: &[u8]) -> Vec<String> {
        checked(bytes, &Outside::default()).unwrap().flaws.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_bundle_is_the_same_bytes_whenever_it_is_made_and_proves_itself() {
        let bytes = bundle();
        assert_eq!(bytes, bundle());
        let found = checked(&bytes[..], &Outside::default()).unwrap();
        assert_eq!(found.flaws, []);
        assert!(found.report == OfReport::Same && found.events > 5 && found.entries > 0, "{found:#?}");
        let json = drawn::verdict_json(&found, &Signed::Unchecked(0), 0);
        assert_eq!((&json["run"], &json["project"]), (&"01M7Q5FS50".into(), &"crm".into()));
        insta::assert_snapshot!(drawn::verdict(&found, &Signed::Unchecked(0), 90), @r"
        run    01M7Q5FS50 of project `crm`
        check  6 parts, 9 events and 2 entries of the ledger: the events, and all that they name,
               are whole
        note   without an anchor or a signature, a bundle that was written anew as a whole goes
               unseen; `--against ANCHOR` sees that too
        report `report.html` says what the events say
        ");
    }

    #[test]
    fn an_edit_of_any_byte_is_found_and_what_it_is_in_is_named() {
        let bytes = bundle();
        let manifest = checked(&bytes[..], &Outside::default()).unwrap().manifest.unwrap();
        let mut parts = std::collections::BTreeSet::new();
        // every byte of the first and the last blocks, and a sample of all between
        let all = (0..bytes.len()).filter(|at| *at < 2048 || *at % 61 == 0 || *at + 2560 > bytes.len());
        for at in all {
            let mut edited = bytes.clone();
            edited[at] ^= 1 << (at % 8);
            let found = flaws(&edited);
            assert!(!found.is_empty(), "byte {at}");
            parts.extend(manifest.parts.iter().map(|part| &part.name).filter(|name| found[0].contains(name.as_str())));
        }
        assert_eq!(parts.len(), manifest.parts.len(), "each part is named: {parts:?}");
        for cut in [0, 1, 511, 512, 5000, bytes.len() - 1, bytes.len() - 512, bytes.len() - 1024] {
            assert!(!flaws(&bytes[..cut]).is_empty(), "cut after {cut} bytes");
        }
        for more in [&b"x"[..], &[0; 512], &bytes] {
            assert!(!flaws(&[&bytes, more].concat()).is_empty(), "something after its end");
        }
    }

    #[test]
    fn the_report_says_what_the_events_say_even_if_all_sums_were_made_again() {
        let stored = Stored::new();
        let run = stored.newest();
        let zone = TimeZone::get("Europe/Moscow").unwrap();
        let mut extra = extra(&stored.journal, &run, &zone).unwrap();
        let nicer = String::from_utf8(extra.report.0).unwrap().replace("did not start", "did start");
        extra.report.0 = nicer.into_bytes();
        let mut bytes = Vec::new();
        bundle::write(&stored.journal, &run, &extra, &mut bytes).unwrap();
        assert_eq!(flaws(&bytes), ["`report.html` does not say what the run's events say"]);
    }

    #[test]
    fn a_bundle_is_held_against_what_is_known_elsewhere() {
        let stored = Stored::new();
        let run = stored.newest();
        let bytes = made(&stored, &run);
        let tip = stored.journal.verify(None, &Outside::default()).unwrap().anchor.unwrap();
        let head = stored.journal.head(&run).unwrap();
        let hold = |text: &str| {
            let found = checked(&bytes[..], &Outside::scan(text, "")).unwrap();
            (found.flaws.len(), found.against, found.beyond)
        };
        let zeros = "0".repeat(64);
        for (text, found) in [
            (tip.to_string(), (0, 1, 0)),
            (format!("{}:{zeros}", tip.seq), (1, 0, 0)),
            (format!("1:{zeros}"), (0, 0, 1)),
            (format!("{}:{zeros}", tip.seq + 1), (0, 0, 1)),
            (format!("{run}/{}:{}", head.seq, head.hash), (0, 1, 0)),
            (format!("{run}/{}:{}", head.seq - 1, head.hash), (1, 0, 0)),
            (format!("{run}/{}:{}", head.seq + 1, head.hash), (1, 0, 0)),
            (format!("01M7Q5CQG0/1:{}", head.hash), (0, 0, 1)),
        ] {
            assert_eq!(hold(&text), found, "{text}");
        }
    }

    #[test]
    fn a_run_of_a_journal_that_was_changed_makes_a_bundle_that_says_so() {
        let stored = Stored::new();
        let write = rusqlite::Connection::open(stored.journal.path()).unwrap();
        write.execute("UPDATE events SET json = replace(json, 'dc1-app1', 'dc1-app2') WHERE seq = 4", []).unwrap();
        let found = flaws(&made(&stored, &stored.newest()));
        assert_eq!(found, ["event 4 of run 01M7Q5FS50 was changed after it was written"]);
    }
}
