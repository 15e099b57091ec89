//! A PostgreSQL cluster on a host: the scripts that look at it and change it, and what the looks say.

use super::super::shell::{Frames, bare, quote, words};
use super::act::Ready;
use crate::base::{
    At, Lsn, PgAsk, PgBranch, PgChange, PgControl, PgDepth, PgFacts, PgPeer, PgReplicator, PgSlot, PgSpot, PgSql,
    PgStandby, PgState, PgTail, PgUpstream, Read, Span,
};
use jiff::Timestamp;
use serde::Deserialize;
use std::{fmt::Write as _, str::FromStr, time::Duration};
use zeroize::Zeroizing;

/// What both share.
const SHARED: &str = include_str!("shared.sh");
/// Looks.
const LOOK: &str = include_str!("look.sh");
/// Has a shell look.
const ASK: &str = include_str!("ask.sh");
/// Changes.
const ACT: &str = include_str!("act.sh");

/// What its server is asked for at [`PgDepth::Log`]: one row of one column.
const LOG: &str = include_str!("log.sql");
/// And at [`PgDepth::Whole`].
const WHOLE: &str = include_str!("whole.sql");

/// What a probe calls: `s_pg NAME USER DATA BIN UNIT PORT USER DEPTH PASSFILE PEER PEERPORT`. As the login user if that
/// will do.
pub(crate) fn lesson() -> String {
    let look = format!(
        "P_data=$1 P_bin=$2 P_unit=$3 P_port=$4 P_user=$5 P_depth=$6 P_passfile=$7 P_peer=$8 P_peerport=$9\n\
         case $P_depth in whole) P_query={};; *) P_query={};; esac\n{SHARED}\n{LOOK}\np_look\n",
        quote(&one_line(WHOLE)),
        quote(&one_line(LOG)),
    );
    format!("S_pg={}\n{}", quote(&bare(&look)), bare(ASK))
}

fn one_line(query: &str) -> String {
    query.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The part of a probe's script for one cluster; none: it lies where none can.
pub(crate) fn script(number: usize, read: &At<Read>) -> Option<String> {
    let Read::Postgres(PgAsk { spot, depth, peer }) = &read.what else { return None };
    possible(spot).ok()?;
    let depth = match depth {
        PgDepth::Files => "files",
        PgDepth::Log => "log",
        PgDepth::Whole => "whole",
    };
    let (address, peer_port) = peer.as_ref().map(|(a, p)| (a.as_str(), p.to_string())).unwrap_or_default();
    if odd(address) {
        return None;
    }
    let user = quote(read.at.become_user.as_deref().unwrap_or_default());
    let (port, passfile) = (spot.port.to_string(), spot.passfile());
    let spot = [&spot.data, &spot.bin, &spot.unit, &port, &spot.user].map(String::as_str);
    let asked = words(spot.into_iter().chain([depth, passfile.as_str(), address, peer_port.as_str()]));
    Some(format!("s_pg r{number} {user} {asked}\n"))
}

fn odd(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// Why a cluster cannot lie there, in words.
fn possible(spot: &PgSpot) -> Result<(), String> {
    let paths = [Some(&spot.data), Some(&spot.bin), spot.config.as_ref()];
    if let Some(path) = paths.into_iter().flatten().find(|path| !path.starts_with('/') || odd(path)) {
        return Err(format!("`{}` is not an absolute path", path.escape_debug()));
    }
    for (what, name) in [("unit", &spot.unit), ("user", &spot.user), ("database", &spot.database)] {
        if name.is_empty() || name.starts_with(['-', '.']) || name.contains('/') || odd(name) {
            return Err(format!("`{}` cannot be the name of a {what}", name.escape_debug()));
        }
    }
    Ok(())
}

/// An act on a cluster, made ready; why it cannot be, in words. `within`: none where it takes as long as it does.
pub(crate) fn ready(spot: &PgSpot, change: &PgChange, within: Option<Duration>) -> Result<Ready, String> {
    possible(spot)?;
    let mut facts = vec![
        ("P_name", spot.database.clone()),
        ("P_unit", spot.unit.clone()),
        ("P_data", spot.data.clone()),
        ("P_config", spot.config.clone().unwrap_or_default()),
        ("P_bin", spot.bin.clone()),
        ("P_port", spot.port.to_string()),
        ("P_user", spot.user.clone()),
        ("P_within", within.map_or(0, |within| within.as_secs().max(1)).to_string()),
    ];
    let deed = match change {
        PgChange::Checkpoint => "p_checkpoint",
        PgChange::Mask => "p_systemctl mask -- \"$P_unit\"",
        PgChange::Unmask => "p_systemctl unmask -- \"$P_unit\"",
        PgChange::Stop => "p_stop",
        PgChange::Start => "p_start",
        PgChange::Promote { past } => {
            facts.push(("P_past", past.map(|past| past.to_string()).unwrap_or_default()));
            "p_promote"
        }
        PgChange::Follow(upstream) => {
            facts.extend(streaming(upstream)?);
            facts.push(("P_slot", upstream.slot.as_deref().map_or(Ok(""), slot_name)?.to_owned()));
            "p_follow"
        }
        PgChange::Rewind(upstream) => {
            facts.extend(streaming(upstream)?);
            "p_rewind"
        }
        PgChange::MakeSlot(slot) => {
            facts.push(("P_slot", slot_name(slot)?.to_owned()));
            "p_make_slot"
        }
        PgChange::DropSlot(slot) => {
            facts.push(("P_slot", slot_name(slot)?.to_owned()));
            "p_drop_slot"
        }
    };
    let mut script = String::new();
    for (name, value) in &facts {
        writeln!(script, "{name}={}", quote(value)).map_err(|e| e.to_string())?;
    }
    let argv = words(["sh", "-c", &bare(&format!("{script}{SHARED}\n{ACT}\n{deed}\n")), "svcops-postgres"]);
    Ok(Ready { argv, input: None, script: None, env: Zeroizing::default(), cwd: String::new() })
}

/// A slot's name, which needs no quoting in a query then (PostgreSQL manual, 27.2.6).
fn slot_name(name: &str) -> Result<&str, String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let good = (1..=63).contains(&name.len()) && name.bytes().all(plain);
    if good { Ok(name) } else { Err(format!("`{}` cannot be the name of a slot", name.escape_debug())) }
}

/// A value in libpq's `KEYWORD = VALUE` (PostgreSQL manual, 34.1.1).
fn for_libpq(value: &str) -> String {
    format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'"))
}

/// Where a standby streams from, as libpq reads it. A password never stands in it.
fn conninfo(upstream: &PgUpstream) -> Result<String, String> {
    let PgUpstream { host, port, user, passfile, slot } = upstream;
    let texts = [Some(host), Some(user), passfile.as_ref()];
    if let Some(text) = texts.into_iter().flatten().find(|text| text.is_empty() || odd(text)) {
        return Err(format!("`{}` cannot stand in a connection's settings", text.escape_debug()));
    }
    // libpq would take it for several
    if host.contains(',') {
        return Err(format!("`{host}` is not one host"));
    }
    let mut all = format!("host={} port={port} user={}", for_libpq(host), for_libpq(user));
    let more = [("passfile", passfile), ("application_name", slot)];
    for (key, value) in more.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?))) {
        write!(all, " {key}={}", for_libpq(value)).map_err(|e| e.to_string())?;
    }
    Ok(all)
}

/// What a connection to it is made of: ours, and the keywords of what a cluster was set to before that are not kept then.
/// Settings of TLS, of keepalives and the like stay as they are on the host; so does a password, where there is no file of
/// passwords.
fn streaming(upstream: &PgUpstream) -> Result<[(&'static str, String); 3], String> {
    let mut ours = "host hostaddr port user replication".to_owned();
    let more = [("passfile password", upstream.passfile.is_some()), ("application_name", upstream.slot.is_some())];
    for (words, _) in more.iter().filter(|(_, set)| *set) {
        write!(ours, " {words}").map_err(|e| e.to_string())?;
    }
    let passfile = upstream.passfile.clone().unwrap_or_default();
    Ok([("P_passfile", passfile), ("P_conninfo", conninfo(upstream)?), ("P_ours", ours)])
}

/// The answer to [`script`].
pub(crate) fn answer(number: usize, ask: &PgAsk, frames: &Frames) -> Result<PgFacts, String> {
    let text = String::from_utf8_lossy(frames.bytes(&format!("r{number}")).unwrap_or_default()).into_owned();
    facts(ask, &text).map_err(|why| format!("could not look at `{}`: {why}", ask.spot.database))
}

/// What one answer of `look.sh` says.
fn facts(ask: &PgAsk, text: &str) -> Result<PgFacts, String> {
    let mut facts = PgFacts::default();
    let mut tail = None;
    let mut segment = 0;
    // sudo may warn of something before anything is said
    let begin = text.lines().position(|line| line.starts_with('@')).unwrap_or(0);
    let text = text.split_inclusive('\n').skip(begin).collect::<String>();
    for part in super::pair::parts(&text)? {
        match part.what {
            "bad" => return Err(part.words.to_owned()),
            "version" => facts.version = major(part.words),
            "running" => facts.running = part.words == "1",
            "masked" => facts.masked = true,
            "fence" => facts.boot_fence = true,
            "standby" => facts.standby = true,
            "passfile" => facts.passfile = true,
            "peer" => facts.peer = Some(peer(part.words)?),
            "control" if part.words == "0" => {
                facts.control = Some(control(&part.body)?);
                segment = entry(&part.body, "Bytes per WAL segment").and_then(|v| v.parse().ok()).unwrap_or(0);
            }
            "control" => return Err(format!("its control file does not read: {}", complaint(&part.body))),
            "sql" if part.words == "0" => match said(&part.body) {
                Ok(said) => (facts.sql, facts.upstream) = (Some(said.sql), said.upstream),
                Err(why) => facts.silent = Some(why),
            },
            "sql" => facts.silent = Some(complaint(&part.body)),
            "settings" => facts.upstream = upstream_of_lines(&part.body),
            "free" => facts.free = free(&part.body),
            "history" => facts.history = history(&part.body)?,
            "tail" => tail = Some(part.body),
            other => return Err(format!("the host answered `@{other}`")),
        }
    }
    if !facts.running && facts.control.is_some() {
        facts.tail = tail.and_then(|tail| end_of_log(&tail, segment));
    }
    if ask.depth != PgDepth::Files && facts.running && facts.sql.is_none() && facts.silent.is_none() {
        facts.silent = Some("it was not asked".to_owned());
    }
    Ok(facts)
}

fn major(version: &str) -> u32 {
    version.split('.').next().and_then(|major| major.trim().parse().ok()).unwrap_or(0)
}

/// The exit code of pg_isready(1).
fn peer(code: &str) -> Result<PgPeer, String> {
    match code {
        "0" => Ok(PgPeer::Accepts),
        "1" => Ok(PgPeer::Rejects),
        "2" => Ok(PgPeer::Silent),
        other => Err(format!("pg_isready could not be asked: exit code {other}")),
    }
}

/// The last line of a complaint, without who complains.
fn complaint(text: &str) -> String {
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it does not say why");
    let last = last.rsplit(" failed: ").next().unwrap_or(last);
    let last = ["psql: error: ", "pg_controldata: error: ", "FATAL:  ", "ERROR:  "]
        .into_iter()
        .fold(last, |last, who| last.strip_prefix(who).unwrap_or(last));
    super::super::shell::brief(last).into_owned()
}

fn entry<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
}

fn control(text: &str) -> Result<PgControl, String> {
    let entry = |key: &str| entry(text, key).ok_or_else(|| format!("its control file has no `{key}`"));
    let number = |key: &str| {
        let value = entry(key)?;
        Lsn::from_str(value).map_err(|e| e.to_string())
    };
    let system = entry("Database system identifier")?;
    if system.is_empty() || system.len() > 20 || !system.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("`{}` is no system identifier", system.escape_debug()));
    }
    let state = match entry("Database cluster state")? {
        "starting up" => PgState::StartingUp,
        "shut down" => PgState::ShutDown,
        "shut down in recovery" => PgState::ShutDownInRecovery,
        "shutting down" => PgState::ShuttingDown,
        "in crash recovery" => PgState::InCrashRecovery,
        "in archive recovery" => PgState::InArchiveRecovery,
        "in production" => PgState::InProduction,
        other => return Err(format!("its control file says `{}`", other.escape_debug())),
    };
    let timeline = entry("Latest checkpoint's TimeLineID")?;
    Ok(PgControl {
        system: system.to_owned(),
        state,
        timeline: timeline.parse().map_err(|_| format!("`{}` is no timeline", timeline.escape_debug()))?,
        checkpoint: number("Latest checkpoint location")?,
        recovered: number("Minimum recovery ending location")?,
    })
}

/// The row of `log.sql` and `whole.sql`.
#[derive(Deserialize)]
struct Row {
    recovery: bool,
    written: Option<Lsn>,
    received: Option<Lsn>,
    replayed: Option<Lsn>,
    /// In milliseconds.
    delay: Option<f64>,
    /// In microseconds since 1970.
    last: Option<i64>,
    paused: Option<bool>,
    streams_from: Option<String>,
    #[serde(default)]
    standbys: Option<Vec<PgStandby>>,
    #[serde(default)]
    slots: Option<Vec<PgSlot>>,
    #[serde(default)]
    replicators: Option<Vec<PgReplicator>>,
    hints: Option<bool>,
    conninfo: Option<String>,
    slot: Option<String>,
}

struct Said {
    sql: PgSql,
    upstream: Option<PgUpstream>,
}

fn said(text: &str) -> Result<Said, String> {
    // what a server warns of comes before its answer
    let line = text.lines().rfind(|line| line.starts_with('{')).ok_or("it answered nothing")?;
    // its words may hold anything, a password among it
    let row: Row =
        serde_json::from_str(line).map_err(|e| format!("its answer does not read, at column {}", e.column()))?;
    let delay = row.delay.filter(|ms| ms.is_finite() && *ms >= 0.0 && *ms < 1e15);
    let sql = PgSql {
        recovery: row.recovery,
        written: row.written,
        received: row.received,
        replayed: row.replayed,
        delay: delay.and_then(|ms| Duration::try_from_secs_f64((ms / 1000.0 * 1000.0).round() / 1000.0).ok()).map(Span),
        last: row.last.and_then(|micros| Timestamp::from_microsecond(micros).ok()),
        paused: row.paused.unwrap_or_default(),
        streams_from: row.streams_from.filter(|host| !host.is_empty()),
        standbys: row.standbys.unwrap_or_default(),
        slots: row.slots.unwrap_or_default(),
        replicators: row.replicators.unwrap_or_default(),
        hints: row.hints,
    };
    let upstream = row.conninfo.as_deref().and_then(|conninfo| upstream(conninfo, row.slot.as_deref()));
    Ok(Said { sql, upstream })
}

/// `primary_conninfo` and `primary_slot_name`; none: it is set to nothing.
fn upstream(conninfo: &str, slot: Option<&str>) -> Option<PgUpstream> {
    let pairs = keywords(conninfo)?;
    let value = |key: &str| pairs.iter().rfind(|(k, _)| k == key).map(|(_, v)| v.clone()).filter(|v| !v.is_empty());
    Some(PgUpstream {
        host: value("host").or_else(|| value("hostaddr"))?,
        port: value("port").and_then(|port| port.parse().ok()).unwrap_or(5432),
        user: value("user").unwrap_or_default(),
        passfile: value("passfile"),
        slot: slot.filter(|slot| !slot.is_empty()).map(str::to_owned),
    })
}

/// libpq's `KEYWORD = VALUE …`; none where it does not read so.
fn keywords(conninfo: &str) -> Option<Vec<(String, String)>> {
    let mut rest = conninfo.trim_start();
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let key = key.trim_end();
        if key.is_empty() || key.contains(char::is_whitespace) {
            return None;
        }
        let after = after.trim_start();
        let (quoted, body) = after.strip_prefix('\'').map_or((false, after), |body| (true, body));
        let mut value = String::new();
        let mut chars = body.char_indices();
        let mut end = body.len();
        let mut closed = !quoted;
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => value.extend(chars.next().map(|(_, c)| c)),
                '\'' if quoted => {
                    (end, closed) = (at + 1, true);
                    break;
                }
                c if !quoted && c.is_whitespace() => {
                    end = at;
                    break;
                }
                c => value.push(c),
            }
        }
        if !closed {
            return None;
        }
        pairs.push((key.to_owned(), value));
        rest = body.get(end..)?.trim_start();
    }
    Some(pairs)
}

/// The last of each setting in lines of `postgresql.auto.conf`.
fn upstream_of_lines(text: &str) -> Option<PgUpstream> {
    let of = |name: &str| {
        text.lines().rev().find_map(|line| {
            let line = line.trim_start();
            let rest = line.get(name.len()..).filter(|_| line.to_ascii_lowercase().starts_with(name))?;
            let value = rest.trim_start().trim_start_matches('=').trim();
            Some(value.strip_prefix('\'').map_or_else(|| value.to_owned(), plain))
        })
    };
    upstream(&of("primary_conninfo")?, of("primary_slot_name").as_deref())
}

/// A value of `postgresql.conf` behind its first quote, up to its last.
fn plain(quoted: &str) -> String {
    let mut value = String::new();
    let mut chars = quoted.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => value.extend(chars.next()),
            '\'' if chars.peek() == Some(&'\'') => value.extend(chars.next()),
            '\'' => break,
            c => value.push(c),
        }
    }
    value
}

/// The last line of `df -kP`, in bytes.
fn free(text: &str) -> Option<u64> {
    let line = text.lines().rfind(|line| !line.trim().is_empty())?;
    // a file system's own name may have spaces, a number and a percentage have none
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let share = words.iter().rposition(|word| word.strip_suffix('%').is_some_and(|n| n.parse::<u32>().is_ok()))?;
    words.get(share.checked_sub(1)?)?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The lines of a timeline's history file: `TIMELINE LSN REASON`.
fn history(text: &str) -> Result<Vec<PgBranch>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let branch = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        Some(PgBranch { timeline: words.next()?.parse().ok()?, left: words.next()?.parse().ok()? })
    };
    let wrong = |line: &str| format!("the history of its timeline has `{}`", line.escape_debug());
    lines.map(|line| branch(line).ok_or_else(|| wrong(line))).collect()
}

/// The last record of pg_waldump(1), and the last of a commit. `segment`: the bytes of a file of the log.
fn end_of_log(text: &str, segment: u64) -> Option<PgTail> {
    let line = |what: &str| text.lines().find_map(|line| line.strip_prefix(what));
    let last = line("last ")?;
    let (at, length) = (lsn_of(last)?, length_of(last)?);
    let commit = line("commit ").and_then(|line| line.split(" desc: ").nth(1)).and_then(time_of);
    Some(PgTail { end: past(at, length, segment)?, last: commit })
}

/// `…, lsn: 0/00600768, prev …`
fn lsn_of(line: &str) -> Option<Lsn> {
    line.split("lsn: ").nth(1)?.split([',', ' ']).next()?.parse().ok()
}

/// `… len (rec/tot):    114/   114, tx: …`
fn length_of(line: &str) -> Option<u64> {
    line.split("len (rec/tot):").nth(1)?.split(',').next()?.split('/').nth(1)?.trim().parse().ok()
}

/// `COMMIT 2026-11-23 19:43:26.123456 UTC; …`
fn time_of(desc: &str) -> Option<Timestamp> {
    let mut words = desc.split([' ', ';']).skip_while(|word| !word.contains('-'));
    format!("{}T{}Z", words.next()?, words.next()?).parse().ok()
}

/// Where a record ends, the headers of the pages that it goes over included, rounded up as the next one begins
/// (`src/include/access/xlog_internal.h`).
fn past(at: Lsn, length: u64, segment: u64) -> Option<Lsn> {
    const PAGE: u64 = 8192;
    let (mut at, mut length) = (at.0, length);
    // no record is longer (XLogRecordMaxSize)
    if length > 1 << 30 {
        return None;
    }
    loop {
        let room = PAGE - at % PAGE;
        if length <= room {
            return at.checked_add(length)?.checked_next_multiple_of(8).map(Lsn);
        }
        length -= room;
        at = at.checked_add(room)?;
        at = at.checked_add(if segment > 0 && at.is_multiple_of(segment) { 40 } else { 24 })?;
    }
}

#[cfg(test)]
mod tests;
