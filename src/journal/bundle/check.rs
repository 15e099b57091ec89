//! Checks a bundle in one pass, as it comes: nothing is unpacked, nothing is believed of its sizes, and no more of it is held
//! than a line. What is not of the one form that svcops writes is refused at once.

use super::{
    EVENTS, EventRow, Flaw, INVENTORY, LEDGER, LedgerRow, MANIFEST, MOST_LINE, MOST_MANIFEST, Manifest, PARTS, Part,
    RUNBOOK, SEALS, SHOWN, SUMS, SealRow, VERSION, tar::Unpacked,
};
use crate::{
    base::{Hash, hash::Hasher},
    journal::{
        chain::{Anchor, Entry, Fault, Link},
        event::{Event, Header, Record},
        outside::{Mark, Outside},
        seal::{self, Seal, Unsigned},
    },
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read},
};

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// What the bundle says of itself; none: it is no bundle.
    pub manifest: Option<Manifest>,
    /// Events that were checked.
    pub events: usize,
    /// Entries of the ledger that were checked.
    pub entries: usize,
    /// What is wrong; empty: the events, their chain and the parts that they name are what was written.
    pub flaws: Vec<Flaw>,
    /// How many of the anchors and events known elsewhere it was held against.
    pub against: usize,
    /// Those that are of a time or a run that the bundle does not have.
    pub beyond: usize,
    /// The last entry of its ledger.
    pub anchor: Option<Anchor>,
    /// The seals; whose signatures they are is another question.
    pub seals: Vec<Seal>,
    /// The run, if it should be signed and is not.
    pub unsigned: Option<Unsigned>,
    /// The events, for the report to be made again; none where they are too many, or of a later svcops.
    pub records: Option<Vec<Record>>,
    /// The plan that was shown.
    pub shown: Option<Vec<u8>>,
    /// The runbook as it was resolved.
    pub runbook: Option<Vec<u8>>,
    /// The ledger's last entry for the run.
    pub entry: Option<Anchor>,
    /// Whether the report says what the events say, as far as that can be told.
    pub report: OfReport,
    /// It begins as a bundle does.
    begun: bool,
    /// The hash of the whole bundle up to its sums.
    pub hash: Option<Hash>,
}

/// What is known of a bundle's report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OfReport {
    /// There is none: svcops puts one into each bundle.
    #[default]
    Missing,
    /// It could not be held against the events: it is of another svcops, or they are too many.
    Unchecked,
    /// It was drawn again of the events, and is the same.
    Same,
}

impl Checked {
    fn refuse(mut self, why: impl Into<String>) -> Self {
        self.flaws.push(Flaw::NoBundle(why.into()));
        self
    }
    fn flaw(&mut self, flaw: Flaw) {
        // a hostile file may have a flaw a line
        if self.flaws.len() < MOST_FLAWS && !self.flaws.contains(&flaw) {
            self.flaws.push(flaw);
        }
    }
    fn chain(&mut self, fault: Fault) {
        self.flaw(Flaw::Chain(fault.to_string()));
    }
}

/// Checks what `from` gives; against what is known of the run elsewhere.
///
/// # Errors
/// It cannot be read.
pub fn check(from: impl Read, against: &Outside) -> io::Result<Checked> {
    let mut reading = MANIFEST;
    match through(from, against, &mut reading) {
        Ok(checked) => Ok(checked),
        Err((mut checked, why)) if why.kind() == io::ErrorKind::UnexpectedEof => {
            if checked.begun {
                checked.flaw(Flaw::Short(reading.to_owned()));
                return Ok(*checked);
            }
            Ok(checked.refuse("it does not begin as one"))
        }
        Err((_, why)) => Err(why),
    }
}

/// More is not told.
const MOST_FLAWS: usize = 50;
/// Larger runs have no report made again.
const MOST_RECORDS: u64 = 32 << 20;
/// A plan or a runbook is not kept in memory beyond this.
const MOST_KEPT: u64 = 8 << 20;
/// A run has no more entries of its own.
const MOST_ENTRIES: usize = 100_000;

type Cut = (Box<Checked>, io::Error);

fn through(from: impl Read, against: &Outside, reading: &mut &'static str) -> Result<Checked, Cut> {
    let mut checked = Checked::default();
    let mut from = Unpacked::new(BufReader::new(from));
    macro_rules! tried {
        ($what:expr) => {
            match $what {
                Ok(done) => done,
                Err(why) => return Err((Box::new(checked), why)),
            }
        };
    }
    let Some(first) = tried!(from.member()) else { return Ok(checked.refuse("it does not begin as one")) };
    if first.name != MANIFEST {
        return Ok(checked.refuse(format!("it begins with `{}`, not with `{MANIFEST}`", shown(&first.name))));
    }
    if first.size > MOST_MANIFEST {
        return Ok(checked.refuse(format!("its `{MANIFEST}` is larger than one is")));
    }
    checked.begun = true;
    let mut text = Vec::new();
    tried!(from.part(first.size).read_to_end(&mut text));
    if (text.len() as u64) < first.size {
        tried!(Err(io::ErrorKind::UnexpectedEof.into()));
    }
    if !tried!(from.after(first.size)) {
        checked.flaw(Flaw::Around(MANIFEST.to_owned()));
    }
    let manifest: Manifest = match serde_json::from_slice(&text) {
        Ok(manifest) => manifest,
        Err(why) => return Ok(checked.refuse(format!("`{MANIFEST}` cannot be read: {why}"))),
    };
    if let Err(why) = fits(&manifest) {
        return Ok(checked.refuse(why));
    }
    if serde_json::to_vec_pretty(&manifest).ok().as_deref() != Some(&text) {
        checked.flaw(Flaw::Manifest);
    }
    checked.manifest = Some(manifest.clone());
    let mut seen = Seen::new(against, &manifest);
    for part in &manifest.parts {
        *reading = PARTS.iter().find(|(name, _)| *name == part.name).map_or(MANIFEST, |(name, _)| name);
        let whole = tried!(from.is_next(reading, part.bytes));
        let mut body = Body { from: from.part(part.bytes), all: Hasher::new() };
        let done = seen.part(reading, part, &mut body, &mut checked);
        tried!(done);
        tried!(io::copy(&mut body, &mut io::sink()));
        let (left, hash) = (body.from.limit(), body.all.hash());
        if left > 0 {
            tried!(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        if hash != part.sha256 {
            checked.flaw(Flaw::Part(part.name.clone()));
        }
        if !tried!(from.after(part.bytes)) || !whole {
            checked.flaw(Flaw::Around(part.name.clone()));
        }
    }
    seen.end(&mut checked);
    *reading = SUMS;
    let before = from.hash();
    let sums = super::sums(&Hash::of(&text), &before);
    let size = sums.len() as u64;
    let whole = tried!(from.is_next(SUMS, size));
    let mut said = Vec::new();
    tried!(from.part(size).read_to_end(&mut said));
    let filled = tried!(from.after(size));
    let said = String::from_utf8_lossy(&said).into_owned();
    if said.lines().next() != sums.lines().next() {
        checked.flaw(Flaw::Manifest);
    }
    checked.hash = Some(from.hash());
    if !whole || !filled || !tried!(from.ends()) || (said != sums && checked.flaws.is_empty()) {
        checked.flaw(Flaw::Sum);
    }
    Ok(checked)
}

/// Whether a manifest names the parts of a bundle, each once and in their order.
fn fits(manifest: &Manifest) -> Result<(), String> {
    if manifest.svcops_bundle != VERSION {
        return Err(format!("it has version {}, this svcops knows {VERSION}", manifest.svcops_bundle));
    }
    let mut parts = manifest.parts.iter().peekable();
    for (name, needed) in PARTS {
        let there = parts.next_if(|part| part.name == name).is_some();
        if needed && !there {
            return Err(format!("it has no `{name}` where one belongs"));
        }
    }
    parts
        .next()
        .map_or(Ok(()), |part| Err(format!("`{}` is no part of a bundle, or out of its place", shown(&part.name))))
}

/// A name as far as it can be shown.
fn shown(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).take(80).collect()
}

/// A part that is read, and its hash.
struct Body<R> {
    from: R,
    all: Hasher,
}

impl<R: Read> Read for Body<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        self.all.update(into.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// What the parts so far have said.
struct Seen<'a> {
    outside: &'a Outside,
    manifest: &'a Manifest,
    /// The run's entries of the ledger: by event its hash, by entry its hash.
    heads: BTreeMap<i64, String>,
    entries: BTreeMap<u64, String>,
    first_entry: Option<i64>,
    header: Option<Header>,
    last: (i64, String),
    /// It is to be signed.
    asked: bool,
}

impl<'a> Seen<'a> {
    fn new(outside: &'a Outside, manifest: &'a Manifest) -> Self {
        Self {
            outside,
            manifest,
            heads: BTreeMap::new(),
            entries: BTreeMap::new(),
            first_entry: None,
            header: None,
            last: (0, String::new()),
            asked: false,
        }
    }

    fn part(&mut self, name: &str, part: &Part, body: &mut impl Read, checked: &mut Checked) -> io::Result<()> {
        match name {
            LEDGER => self.ledger(body, checked),
            EVENTS => self.events(part.bytes, body, checked),
            SEALS => self.seals(body, checked),
            RUNBOOK | INVENTORY | SHOWN => {
                let header = self.header.as_ref();
                let meant = match name {
                    RUNBOOK => header.map(|h| &h.runbook_hash),
                    INVENTORY => header.map(|h| &h.inventory_hash),
                    _ => header.and_then(|h| h.shown.as_ref()),
                };
                if meant != Some(&part.sha256) {
                    checked.flaw(Flaw::Chain(format!("`{name}` is not the one that the run went by")));
                }
                if part.bytes <= MOST_KEPT {
                    let mut kept = Vec::new();
                    body.read_to_end(&mut kept)?;
                    match name {
                        RUNBOOK => checked.runbook = Some(kept),
                        INVENTORY => self.asked = seal::asked(&kept),
                        _ => checked.shown = Some(kept),
                    }
                }
                Ok(())
            }
            // the report is made again by who can draw it
            _ => Ok(()),
        }
    }

    fn ledger(&mut self, body: &mut impl Read, checked: &mut Checked) -> io::Result<()> {
        let run = self.manifest.run.to_string();
        let mut before: Option<(i64, String)> = None;
        let mut off: Vec<&Anchor> = self.outside.anchors.iter().collect();
        lines(body, LEDGER, checked, |row: LedgerRow, checked| {
            let LedgerRow { seq, run: of, head, hash_of_head, prev, hash } = row;
            if (Entry { seq, run: &of, head, hash_of_head: &hash_of_head, prev: &prev }).hash().0 != hash {
                checked.chain(Fault::EntryEdited { seq });
            }
            match &before {
                Some((last, known)) if *last + 1 != seq || *known != prev => {
                    checked.chain(Fault::EntryUnlinked { seq });
                }
                // the ledger has an entry of each run's first event
                None if of != run || head != 1 => checked.chain(Fault::EntryUnlinked { seq }),
                _ => {}
            }
            self.first_entry.get_or_insert(seq);
            let number = u64::try_from(seq).unwrap_or(0);
            let met = off.len();
            off.retain(|anchor| anchor.seq != number || anchor.hash.0 != hash);
            checked.against += met - off.len();
            if of == run && self.heads.len() < MOST_ENTRIES {
                self.heads.insert(head, hash_of_head);
                self.entries.insert(number, hash.clone());
            }
            checked.entries += 1;
            before = Some((seq, hash));
        })?;
        let last = before.as_ref().map_or(0, |(seq, _)| *seq);
        for anchor in off {
            let seq = i64::try_from(anchor.seq).unwrap_or(i64::MAX);
            if self.first_entry.is_some_and(|first| (first..=last).contains(&seq)) {
                checked.chain(Fault::OffAnchor { seq: anchor.seq });
            } else {
                checked.beyond += 1;
            }
        }
        let own = self.entries.last_key_value();
        checked.entry = own.map(|(seq, hash)| Anchor { seq: *seq, hash: Hash(hash.clone()) });
        checked.anchor = before.map(|(seq, hash)| Anchor { seq: u64::try_from(seq).unwrap_or(0), hash: Hash(hash) });
        Ok(())
    }

    fn events(&mut self, size: u64, body: &mut impl Read, checked: &mut Checked) -> io::Result<()> {
        let run = self.manifest.run.clone();
        let id = run.to_string();
        let mut records = (size <= MOST_RECORDS).then(Vec::new);
        let of_run: Vec<&Mark> = self.outside.marks.iter().filter(|mark| mark.run == run).collect();
        checked.beyond += self.outside.marks.len() - of_run.len();
        let mut marks = of_run.clone();
        let (mut last, mut heads) = ((0, String::new()), std::mem::take(&mut self.heads));
        lines(body, EVENTS, checked, |row: EventRow, checked| {
            let EventRow { seq, at, json, prev, hash } = row;
            if seq != last.0 + 1 {
                checked.chain(Fault::Missing { run: id.clone(), from: last.0 + 1, to: seq - 1 });
            }
            if (Link { run: &id, seq, at: &at, json: &json, prev: &prev }).hash().0 != hash {
                checked.chain(Fault::Edited { run: id.clone(), seq });
            } else if prev != last.1 {
                checked.chain(Fault::Unlinked { run: id.clone(), seq });
            }
            if heads.remove(&seq).is_some_and(|known| known != hash) {
                checked.chain(Fault::OtherHead { run: id.clone(), seq });
            }
            marks.retain(|mark| i64::try_from(mark.seq) != Ok(seq) || mark.hash.0 != hash);
            let number = u64::try_from(seq).unwrap_or(0);
            let event: Option<Event> = serde_json::from_str(&json).ok();
            if let (1, Some(Event::Started(header))) = (seq, &event) {
                self.header = Some(*header.clone());
            }
            let record = event.zip(at.parse().ok());
            let record = record.map(|(event, at)| Record { run: run.clone(), seq: number, at, event });
            records = records.take().zip(record).map(|(mut all, record)| {
                all.push(record);
                all
            });
            checked.events += 1;
            last = (seq, hash);
        })?;
        if let Some(missing) = heads.keys().max() {
            let from = (last.0 + 1).min(*missing);
            checked.chain(Fault::Missing { run: id.clone(), from, to: *missing });
        }
        checked.against += of_run.len() - marks.len();
        for mark in marks {
            checked.chain(Fault::OffMark { run: id.clone(), seq: mark.seq });
        }
        self.last = last;
        checked.records = records.filter(|all| !all.is_empty());
        Ok(())
    }

    fn seals(&mut self, body: &mut impl Read, checked: &mut Checked) -> io::Result<()> {
        let run = self.manifest.run.clone();
        lines(body, SEALS, checked, |row: SealRow, checked| {
            let stated = Seal::stated(&row.statement);
            let entry: Option<Anchor> = row.entry.parse().ok();
            let seq = entry.as_ref().map_or(0, |entry| entry.seq);
            let Some((of, stated, at)) = stated
                .filter(|(of, stated, at)| *of == run && Some(stated) == entry.as_ref() && row.at == at.to_string())
            else {
                return checked.chain(Fault::SealEdited { run: run.to_string(), seq });
            };
            if self.entries.get(&stated.seq) != Some(&stated.hash.0) {
                checked.chain(Fault::OffSeal { run: run.to_string(), seq });
            }
            let signature = row.signature.ok_or_else(|| row.why.unwrap_or_default());
            let seal = Seal { run: of, entry: stated, at, statement: row.statement, signature };
            if checked.seals.contains(&seal) {
                checked.flaw(Flaw::Part(SEALS.to_owned()));
            } else if checked.seals.len() < MOST_FLAWS {
                checked.seals.push(seal);
            }
        })
    }

    /// What only all parts together say.
    fn end(&self, checked: &mut Checked) {
        let run = self.manifest.run.to_string();
        if self.first_entry.is_none() {
            checked.chain(Fault::Stranger { run: run.clone() });
        }
        let (seq, hash) = &self.last;
        let told = (i64::try_from(self.manifest.head).ok(), &self.manifest.hash.0) == (Some(*seq), hash);
        let project = self.header.as_ref().map(|h| &h.project) == Some(&self.manifest.project);
        if !told || !project {
            checked.chain(Fault::OtherRow { run });
        }
        let over = |records: &Vec<Record>| {
            let turns = |r: &&Record| matches!(r.event, Event::Resumed { .. } | Event::Finished(_));
            records.iter().rfind(turns).is_some_and(|last| matches!(last.event, Event::Finished(_)))
        };
        let signed = |seal: &Seal| seal.signature.is_ok() && Some(&seal.entry) == checked.entry.as_ref();
        if self.asked && checked.records.as_ref().is_none_or(over) && !checked.seals.iter().any(signed) {
            let why = checked.seals.last().and_then(|seal| seal.signature.clone().err());
            checked.unsigned = Some(Unsigned { run: self.manifest.run.clone(), why });
        }
        if self.header.as_ref().is_some_and(|h| h.shown.is_some()) && checked.shown.is_none() {
            checked.flaw(Flaw::Chain(format!("`{SHOWN}` is missing: the run has shown a plan")));
        }
    }
}

/// Hands each line on, as what it should be; a line that is nothing of the kind, or not in the one form that svcops writes, is
/// a flaw of its part.
fn lines<T: DeserializeOwned + Serialize>(
    body: &mut impl Read,
    name: &str,
    checked: &mut Checked,
    mut each: impl FnMut(T, &mut Checked),
) -> io::Result<()> {
    let mut body = BufReader::new(body);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut body).take(MOST_LINE).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        match serde_json::from_slice(&line) {
            Ok(row) if line.strip_suffix(b"\n").is_some_and(|line| is_written_so(&row, line)) => each(row, checked),
            _ => {
                checked.flaw(Flaw::Part(name.to_owned()));
                return io::copy(&mut body, &mut io::sink()).map(drop);
            }
        }
    }
}

/// Whether a row is written in these bytes and no others: no space, no key twice.
fn is_written_so(row: &impl Serialize, line: &[u8]) -> bool {
    serde_json::to_vec(row).is_ok_and(|written| written == line)
}
