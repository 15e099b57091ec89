//! An outage in words and as a bar: at the end of a run on the screen, in its report, in a note for a ticket.

pub use crate::journal::outage::{Outage, Phase, What};

use super::lines;
use crate::base::words;
use std::time::Duration;

/// How long it was, held against what was promised, and what clients felt of it: `143 ms (RTO 30s: met), 14 of 700 requests
/// failed`.
pub fn headline(outage: &Outage) -> String {
    let count = |n: u64| words::count("request", usize::try_from(n).unwrap_or(usize::MAX));
    if outage.ms == 0 && outage.over && outage.whole {
        return format!("none, {} answered", count(outage.tries));
    }
    if outage.ms == 0 && !outage.whole {
        let since = format!("{} of {} failed since then", outage.failed, count(outage.tries));
        return format!("not measured, for nobody watched as it began; {since}");
    }
    let long = time(outage.ms);
    let long = match (outage.over, outage.whole) {
        (false, _) => format!("{long}, and not over"),
        (true, false) => format!("at least {long} (nobody watched as it began)"),
        (true, true) => long,
    };
    let judged: Vec<String> = [rto(outage), rpo(outage)].into_iter().flatten().collect();
    let judged = if judged.is_empty() { String::new() } else { format!(" ({})", judged.join("; ")) };
    let more = match outage.count {
        0 | 1 => String::new(),
        n => format!(", the longest of {n}"),
    };
    format!("{long}{judged}{more}, {} of {} failed", outage.failed, count(outage.tries))
}

/// `RTO 30s: met`; none: nothing was promised.
fn rto(outage: &Outage) -> Option<String> {
    let met = match outage.rto_met() {
        Some(true) => "met",
        Some(false) => "missed",
        None => "not known",
    };
    outage.rto.map(|rto| format!("RTO {rto}: {met}"))
}

/// `RPO 0B: met`; none: no step has found out what was lost.
fn rpo(outage: &Outage) -> Option<String> {
    let lost = outage.lost_bytes?;
    let met = match outage.rpo_met() {
        Some(true) if lost == 0 => "met, nothing lost".to_owned(),
        Some(true) => format!("met, at most {lost} bytes of the log lost"),
        Some(false) => format!("missed, at most {lost} bytes of the log lost"),
        None => format!("at most {lost} bytes of the log lost"),
    };
    outage.rpo.as_ref().map(|rpo| format!("RPO {rpo}: {met}"))
}

/// Milliseconds as long as they are few.
pub fn time(ms: u64) -> String {
    if ms < 10_000 { format!("{ms} ms") } else { lines::span(Duration::from_millis(ms)) }
}

/// What went on in a phase: its step by number and name.
pub fn what(phase: &Phase) -> String {
    match &phase.what {
        What::Before => "before the first act".to_owned(),
        What::Step { step, name, back: false, .. } => format!("{step} {name}"),
        What::Step { step, name, back: true, .. } => format!("{step} {name}, taken back"),
        What::After => "until clients were back".to_owned(),
    }
}

/// Whose time it was; none where it is no step's.
pub fn shares(phase: &Phase) -> Option<String> {
    let own = phase.own_ms();
    match (&phase.what, phase.acts_ms) {
        (What::Before | What::After, _) => None,
        (_, 0) => Some("svcops".to_owned()),
        (_, acts) if own == 0 => Some(format!("act {acts} ms")),
        (_, acts) => Some(format!("act {acts} ms, svcops {own} ms")),
    }
}

/// A line a phase: its time, a bar of it, what it was.
pub fn table(outage: &Outage) -> Vec<String> {
    let times: Vec<String> = outage.phases.iter().map(|phase| time(phase.ms)).collect();
    let wide = times.iter().map(String::len).max().unwrap_or(0);
    let most = outage.phases.iter().map(|phase| phase.ms).max().unwrap_or(0);
    let line = |(phase, time): (&Phase, &String)| {
        let shares = shares(phase).map_or_else(String::new, |shares| format!(": {shares}"));
        format!("{time:<wide$}  {}  {}{shares}", bar(phase.ms, most), what(phase))
    };
    outage.phases.iter().zip(&times).map(line).collect()
}

/// So many cells are the longest phase.
const CELLS: u64 = 12;

/// A bar of eighths of cells; always as wide as the longest.
fn bar(part: u64, most: u64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (part * CELLS * 8).checked_div(most).unwrap_or(0).max(u64::from(part > 0));
    let full = usize::try_from(eighths / 8).unwrap_or(0);
    let rest = usize::try_from(eighths % 8).ok().and_then(|at| EIGHTHS.get(at)).copied().unwrap_or_default();
    let bar = "█".repeat(full) + rest;
    let used = full + usize::from(!rest.is_empty());
    bar + &" ".repeat(usize::try_from(CELLS).unwrap_or(0).saturating_sub(used))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::Span;

    fn step(step: &str, name: &str, action: &str, ms: u64, acts_ms: u64) -> Phase {
        let what = What::Step { step: step.into(), name: name.into(), action: action.into(), back: false };
        Phase { what, ms, acts_ms }
    }

    /// As the lab's would be.
    pub(in crate::ui) fn sample() -> Outage {
        let at = |ms: i64| jiff::Timestamp::from_millisecond(1_795_000_000_000 + ms).ok();
        Outage {
            service: "crm".into(),
            whole: true,
            over: true,
            from: at(0),
            until: at(143),
            ms: 143,
            tries: 700,
            failed: 14,
            why: Some("connection refused".into()),
            count: 1,
            rto: Some(Span::secs(30)),
            rpo: Some("0B".into()),
            rpo_bytes: Some(0),
            lost_bytes: Some(0),
            phases: vec![
                Phase { what: What::Before, ms: 4, acts_ms: 0 },
                step("5", "Drain dc1-db1", "haproxy.drain", 8, 5),
                step("6", "Остановить основную базу", "postgres.stop", 53, 43),
                step("7", "Promote", "postgres.promote", 50, 30),
                step("8", "Check", "check.tcp", 7, 0),
                Phase { what: What::After, ms: 21, acts_ms: 0 },
            ],
        }
    }

    #[test]
    fn an_outage_is_told_with_what_was_promised_and_where_its_time_went() {
        let outage = sample();
        let told = format!("{}\n{}", headline(&outage), table(&outage).join("\n"));
        insta::assert_snapshot!(told, @r"
        143 ms (RTO 30s: met; RPO 0B: met, nothing lost), 14 of 700 requests failed
        4 ms   ▉             before the first act
        8 ms   █▊            5 Drain dc1-db1: act 5 ms, svcops 3 ms
        53 ms  ████████████  6 Остановить основную базу: act 43 ms, svcops 10 ms
        50 ms  ███████████▎  7 Promote: act 30 ms, svcops 20 ms
        7 ms   █▌            8 Check: svcops
        21 ms  ████▊         until clients were back
        ");
    }

    #[test]
    fn what_is_not_known_is_not_called_met() {
        let told = |change: &dyn Fn(&mut Outage)| {
            let mut outage = Outage { rpo_bytes: None, lost_bytes: None, ..sample() };
            change(&mut outage);
            headline(&outage)
        };
        let all = [
            told(&|o| o.whole = false),
            told(&|o| (o.over, o.ms) = (false, 60_000)),
            told(&|o| (o.ms, o.failed, o.count) = (0, 0, 0)),
            told(&|o| (o.ms, o.failed, o.whole) = (0, 0, false)),
            told(&|o| (o.rto, o.count) = (None, 3)),
            told(&|o| (o.lost_bytes, o.rpo_bytes) = (Some(8192), Some(16))),
            told(&|o| (o.lost_bytes, o.rpo) = (Some(8192), Some("5s".into()))),
        ];
        insta::assert_snapshot!(all.join("\n"), @r"
        at least 143 ms (nobody watched as it began) (RTO 30s: not known), 14 of 700 requests failed
        1m, and not over (RTO 30s: missed), 14 of 700 requests failed
        none, 700 requests answered
        not measured, for nobody watched as it began; 0 of 700 requests failed since then
        143 ms, the longest of 3, 14 of 700 requests failed
        143 ms (RTO 30s: met; RPO 0B: missed, at most 8192 bytes of the log lost), 14 of 700 requests failed
        143 ms (RTO 30s: met; RPO 5s: at most 8192 bytes of the log lost), 14 of 700 requests failed
        ");
    }
}
