//! What a forced failover may lose, as it is stated before, and what it has lost, as it is found after.

use crate::{
    base::{Lsn, PgFacts, PgTail, RunId, Span},
    inventory::Rpo,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// The parameters that a run keeps it in.
const LEAST: &str = "lost_at_least_bytes";
const MOST: &str = "lost_at_most_bytes";
const SECONDS: &str = "lost_at_most_seconds";
const UNTIL: &str = "kept_until";
/// The parameter that a rejoin keeps the run in whose loss it finds.
const FORCED: &str = "forced_run";

/// In whole seconds, and never less.
fn up(time: Duration) -> Span {
    Span(Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0)))
}

/// How fast a log grew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The most that was written in a while, in bytes a second.
    pub fastest: u64,
    /// The size of a segment of the log: what the pace cannot tell is at least so large.
    pub segment: u64,
}

impl Pace {
    /// By the segments of a log, a line each: when it was written last, in seconds of the epoch, its size and its name. None:
    /// too few of them tell. Segments that are kept to be used again have the names of what comes, and are left out.
    pub fn of(lines: &str) -> Option<Self> {
        let mut segments: Vec<(u64, u64, u64)> = lines.lines().filter_map(segment).collect();
        segments.sort_unstable();
        let newest = segments.iter().map(|(_, written, _)| *written).max()?;
        let present = segments.iter().rposition(|(_, written, _)| *written == newest)?;
        // the present one is not full
        let full = segments.get(..present)?;
        let size = full.first()?.2;
        let pace = |(from, to): (&(u64, u64, u64), &(u64, u64, u64))| {
            let seconds = to.1.checked_sub(from.1)?.max(1);
            Some(to.0.saturating_sub(from.0).saturating_mul(size) / seconds)
        };
        let pairs = full.iter().enumerate().flat_map(|(n, from)| full.iter().skip(n + 1).map(move |to| (from, to)));
        Some(Self { fastest: pairs.filter_map(pace).max()?, segment: size })
    }
    /// By what a standby has received since its latest checkpoint: bytes, seconds, and the size of a segment, with blanks
    /// between them. None: one of them is not known.
    pub fn since_checkpoint(said: &str) -> Option<Self> {
        let mut words = said.trim().split(' ').map(|word| word.parse::<u64>().ok());
        let (bytes, seconds, segment) = (words.next()??, words.next()??, words.next()??);
        Some(Self { fastest: bytes.div_ceil(seconds.max(1)), segment })
    }
}

/// Its number, when it was written, its size.
fn segment(line: &str) -> Option<(u64, u64, u64)> {
    let mut words = line.split_ascii_whitespace();
    let (written, size, name) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?);
    if name.len() != 24 || size == 0 {
        return None;
    }
    let half = |range| u64::from_str_radix(name.get(range)?, 16).ok();
    let (log, part) = (half(8..16)?, half(16..24)?);
    Some(((log << 32) / size + part, written, size))
}

/// What may be lost with a primary that cannot be asked, as far as its standby tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// When it was judged.
    pub at: Timestamp,
    /// The standby has the log up to there, and a promotion keeps all of it.
    pub received: Option<Lsn>,
    /// All whole records up to there: of what was received last, the half of a record may be thrown away.
    pub replayed: Option<Lsn>,
    /// The last commit that the standby has replayed; earlier ones are kept. By the old primary's clock.
    pub last: Option<Timestamp>,
    /// How fast the log grew until then; none: nobody knows.
    pub pace: Option<Pace>,
    /// Where the log of the old primary ends, and its last commit, where its host showed both.
    pub end: Option<PgTail>,
}

impl Loss {
    /// What the standby's facts tell.
    pub fn of(standby: &PgFacts, at: Timestamp, pace: Option<Pace>) -> Self {
        let sql = standby.sql.as_ref();
        let (received, replayed) = (sql.and_then(|sql| sql.received), sql.and_then(|sql| sql.replayed));
        Self { at, received, replayed, last: sql.and_then(|sql| sql.last), pace, end: None }
    }
    /// So many bytes are lost, at least and at the most: the old primary's own log shows it.
    pub fn known(&self) -> Option<(u64, u64)> {
        let (end, received) = (self.end.as_ref()?.end, self.received?);
        Some((end.past(received), end.past(self.replayed.unwrap_or(received).min(received))))
    }
    /// At least so many bytes are lost.
    pub fn least_bytes(&self) -> u64 {
        self.known().map_or(0, |(least, _)| least)
    }
    /// Commits of at most so long are lost: all that came after the last one that is here. None: nobody knows.
    pub fn most_time(&self) -> Option<Span> {
        if self.known().is_some_and(|(_, most)| most == 0) {
            return Some(Span(Duration::ZERO));
        }
        let until = self.end.as_ref().and_then(|end| end.last).unwrap_or(self.at);
        let since = self.last.map(|last| until.duration_since(last).unsigned_abs())?;
        Some(up(since))
    }
    /// So many bytes of the log at the most, where it grew no faster than before; it is no proof. None: nobody knows.
    pub fn most_bytes(&self) -> Option<u64> {
        if let Some((_, most)) = self.known() {
            return Some(most);
        }
        let time = self.most_time()?;
        let pace = self.pace?;
        Some(pace.fastest.saturating_mul(time.0.as_secs()).max(pace.segment))
    }
    /// It may be more than is allowed.
    pub fn may_exceed(&self, rpo: Rpo) -> bool {
        match rpo {
            Rpo::Bytes(_) => self.most_bytes().is_none_or(|bytes| !rpo.allows(bytes, None)),
            Rpo::Time(_) => self.most_time().is_none_or(|time| !rpo.allows(1, Some(time))),
        }
    }
    /// In a line: `at least 0 B and 0s, at most about 1.2 MB and 42s`.
    pub fn words(&self) -> String {
        let time = self.most_time().map_or("an unknown time".to_owned(), |most| most.to_string());
        match self.known() {
            Some((least, most)) if least == most => return format!("{} and at most {time}", size(most)),
            Some((least, most)) => return format!("at least {}, at most {} and {time}", size(least), size(most)),
            None => {}
        }
        let bytes = self.most_bytes().map_or("unknown bytes".to_owned(), |most| format!("about {}", size(most)));
        format!("at least 0 B and 0s, at most {bytes} and {time}")
    }
    /// How sure that is, line by line.
    pub fn grounds(&self, source: &str) -> Vec<String> {
        if let (Some(end), Some(received)) = (&self.end, self.received) {
            return vec![format!(
                "the log on `{source}` ends at {}, and {received} has arrived: that is sure",
                end.end
            )];
        }
        let time = match (self.last, self.most_time()) {
            (Some(last), Some(most)) => format!(
                "at most {most}: all that was committed until {last} has arrived; sure, where the clock of `{source}` is right, and it serves nobody any more"
            ),
            _ => "for how long: no commit has been replayed since the standby started, so nobody knows".to_owned(),
        };
        let bytes = match (self.most_bytes(), self.pace) {
            (Some(most), Some(pace)) => format!(
                "at most about {}: at the fastest pace that the log here shows, {} a second; an estimate, for nothing here bounds what was written there",
                size(most),
                size(pace.fastest)
            ),
            _ => "how much: nothing here tells how fast the log grew, and no number is made up".to_owned(),
        };
        vec!["at least nothing: nothing here shows that more was written than has arrived".to_owned(), time, bytes]
    }
    /// As parameters of the run: they are kept with it.
    pub(super) fn stated(&self) -> Value {
        let number = |value: Option<u64>| value.map(|value| json!({"type": "int", "default": value}));
        let text = |value: Option<String>| value.map(|value| json!({"type": "string", "default": value}));
        let known = [
            (LEAST, number(Some(self.least_bytes()))),
            (MOST, number(self.most_bytes())),
            (SECONDS, number(self.most_time().map(|most| most.0.as_secs()))),
            (UNTIL, text(self.last.map(|last| last.to_string()))),
            ("kept_to", text(self.received.map(|received| received.to_string()))),
        ];
        let known = known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(known.collect())
    }
}

/// As people read it: two digits are enough for an estimate.
pub(super) fn size(bytes: u64) -> String {
    let units = [("GB", 1_u64 << 30), ("MB", 1 << 20), ("kB", 1 << 10)];
    let Some((unit, one)) = units.into_iter().find(|(_, one)| bytes >= *one) else { return format!("{bytes} B") };
    let tenths = bytes.saturating_mul(10).div_ceil(one);
    if tenths < 100 {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    } else {
        format!("{} {unit}", tenths.div_ceil(10))
    }
}

/// What a forced failover stated, as its run keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stated {
    /// The run.
    pub run: RunId,
    /// So many bytes of the log at least.
    pub least_bytes: u64,
    /// So many at the most; none: nobody knew.
    pub most_bytes: Option<u64>,
    /// Commits of so long at the most; none: nobody knew.
    pub most_time: Option<Span>,
    /// The last commit that was kept.
    pub kept_until: Option<Timestamp>,
}

impl Stated {
    /// By the parameters of a run; none: it was not forced.
    pub fn of(run: &RunId, params: &BTreeMap<String, Value>) -> Option<Self> {
        let number = |name: &str| params.get(name).and_then(Value::as_u64);
        Some(Self {
            run: run.clone(),
            least_bytes: number(LEAST)?,
            most_bytes: number(MOST),
            most_time: number(SECONDS).map(|seconds| Span(Duration::from_secs(seconds))),
            kept_until: params.get(UNTIL).and_then(Value::as_str).and_then(|at| at.parse().ok()),
        })
    }
    /// The forced failover whose loss a rejoin has found, by the parameters of the rejoin; none: it was after none.
    pub fn found_by(params: &BTreeMap<String, Value>) -> Option<RunId> {
        params.get(FORCED)?.as_str()?.parse().ok()
    }
    /// In a line.
    pub fn words(&self) -> String {
        let bytes = self.most_bytes.map_or("unknown bytes".to_owned(), size);
        let time = self.most_time.map_or("an unknown time".to_owned(), |most| most.to_string());
        format!("at least {}, at most {bytes} and {time}", size(self.least_bytes))
    }
    /// As parameters of the run that finds out.
    pub(super) fn params(&self) -> Value {
        let number = |value: u64| json!({"type": "int", "default": value});
        let known = [
            (FORCED, Some(json!({"type": "string", "default": self.run.as_str()}))),
            (LEAST, Some(number(self.least_bytes))),
            (MOST, self.most_bytes.map(number)),
            (SECONDS, self.most_time.map(|most| number(most.0.as_secs()))),
            (UNTIL, self.kept_until.map(|until| json!({"type": "string", "default": until.to_string()}))),
        ];
        known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// What was found when the former primary was back: the outputs of `postgres.follow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// So many bytes of its log were thrown away; none: its log does not tell.
    pub lost: Option<u64>,
    /// The last commit in them.
    pub last: Option<Timestamp>,
}

impl Found {
    /// By the outputs.
    pub fn of(outputs: &Value) -> Self {
        let last = outputs.get("last").and_then(Value::as_str).and_then(|last| last.parse().ok());
        Self { lost: outputs.get("lost_bytes").and_then(Value::as_u64), last }
    }
    /// Commits of so long were lost.
    pub fn time(&self, kept_until: Option<Timestamp>) -> Option<Span> {
        if self.lost == Some(0) {
            return Some(Span(Duration::ZERO));
        }
        let span = self.last?.duration_since(kept_until?);
        // a clock that was set back has no word in it
        Some(up(span.try_into().unwrap_or(Duration::ZERO)))
    }
    /// In a line.
    pub fn words(&self, database: &str) -> String {
        let last = self.last.map(|last| format!(", with commits until {last}")).unwrap_or_default();
        match self.lost {
            Some(0) => format!("nothing of `{database}` was lost: all that was written has arrived"),
            Some(bytes) => format!("{} of the log of `{database}` were lost{last}", size(bytes)),
            None => format!("what was lost of `{database}` is not known: its log does not tell{last}"),
        }
    }
    /// Whether it lies within what was stated, bound by bound; none: it is not known, or was not stated.
    pub fn within(&self, stated: &Stated) -> (Option<bool>, Option<bool>) {
        let bytes = self.lost.map(|lost| {
            let most = stated.most_bytes.map(|most| lost <= most);
            if lost < stated.least_bytes { Some(false) } else { most }
        });
        let time = self.time(stated.kept_until).zip(stated.most_time).map(|(time, most)| time <= most);
        (bytes.flatten(), time)
    }
    /// That, in words.
    pub fn against(&self, stated: &Stated) -> String {
        let word = |within: Option<bool>, known: bool| match within {
            Some(true) => "within what was stated",
            Some(false) => "OUTSIDE what was stated",
            None if known => "no bound was stated",
            None => "nobody can tell",
        };
        let (bytes, time) = self.within(stated);
        let lost = self.lost.map_or("an unknown number of bytes".to_owned(), size);
        let time_lost = self.time(stated.kept_until);
        let took = time_lost.map_or("commits of unknown time".to_owned(), |time| time.to_string());
        let (bytes, time) = (word(bytes, self.lost.is_some()), word(time, time_lost.is_some()));
        if bytes == time {
            return format!("{lost} and {took}: {bytes}");
        }
        format!("{lost}: {bytes}; {took}: {time}")
    }
}
