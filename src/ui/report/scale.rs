//! Time along the axis of a drawing: where an instant stands, which marks the axis bears, and where hours in which nothing
//! happened are left out.

use jiff::{Timestamp, tz::TimeZone};

/// A map of time onto a stretch of the drawing.
#[derive(Debug)]
pub(super) struct Scale {
    pieces: Vec<Piece>,
}

/// A stretch in which time runs evenly. Instants in milliseconds, places in the drawing's units.
#[derive(Clone, Copy, Debug)]
struct Piece {
    from: i64,
    to: i64,
    left: f64,
    right: f64,
    /// Nothing happened: it is drawn as a gap.
    gap: bool,
}

/// A gap takes so much of the drawing.
const GAP: f64 = 44.0;
/// Marks of the axis stand at least so far apart.
const APART: f64 = 86.0;
/// Distances of the axis' marks that people read easily, in milliseconds.
const STEPS: [i64; 22] = [
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    15_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    900_000,
    1_800_000,
    3_600_000,
    7_200_000,
    10_800_000,
    21_600_000,
    43_200_000,
    86_400_000,
    604_800_000,
];

impl Scale {
    /// A scale from `left` to `right` for what happened in `busy` (from, to; milliseconds). A pause of at least a minute that
    /// is longer than half of all the rest is left out.
    pub(super) fn new(mut busy: Vec<(i64, i64)>, left: f64, right: f64) -> Self {
        busy.sort_unstable();
        let mut joined: Vec<(i64, i64)> = Vec::new();
        for (from, to) in busy {
            match joined.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => joined.push((from, to.max(from))),
            }
        }
        let whole: i64 = joined.iter().map(|(from, to)| to - from).sum();
        let least = (whole / 2).max(60_000);
        let mut runs: Vec<(i64, i64)> = Vec::new();
        for (from, to) in joined {
            match runs.last_mut() {
                Some(last) if from - last.1 < least => last.1 = to,
                _ => runs.push((from, to)),
            }
        }
        let gaps = runs.len().saturating_sub(1);
        let sum = runs.iter().map(|(from, to)| to - from).sum::<i64>().max(1);
        let room = float(i64::try_from(gaps).unwrap_or(0)).mul_add(-GAP, right - left).max(100.0);
        let mut pieces: Vec<Piece> = Vec::new();
        let mut at = left;
        for (from, to) in runs {
            if let Some(last) = pieces.last().copied() {
                pieces.push(Piece { from: last.to, to: from, left: at, right: at + GAP, gap: true });
                at += GAP;
            }
            let wide = room * float(to - from) / float(sum);
            pieces.push(Piece { from, to, left: at, right: at + wide, gap: false });
            at += wide;
        }
        Self { pieces }
    }

    /// Where an instant stands.
    pub(super) fn at(&self, instant: Timestamp) -> f64 {
        let millis = instant.as_millisecond();
        let piece = self.pieces.iter().find(|p| millis <= p.to).or_else(|| self.pieces.last());
        piece.map_or(0.0, |p| {
            let part = float(millis.clamp(p.from, p.to) - p.from) / float((p.to - p.from).max(1));
            part.mul_add(p.right - p.left, p.left)
        })
    }

    /// The pauses that are left out: where they stand, and how long they were in milliseconds.
    pub(super) fn gaps(&self) -> impl Iterator<Item = (f64, f64, i64)> {
        self.pieces.iter().filter(|p| p.gap).map(|p| (p.left, p.right, p.to - p.from))
    }

    /// The marks of the axis: where, and the time of day there.
    pub(super) fn ticks(&self, zone: &TimeZone) -> Vec<(f64, String)> {
        let per_unit = self
            .pieces
            .iter()
            .filter(|p| !p.gap)
            .map(|p| float(p.to - p.from) / (p.right - p.left).max(1.0))
            .fold(0.0, f64::max);
        let step = STEPS.into_iter().find(|step| float(*step) >= per_unit * APART).unwrap_or(604_800_000);
        let mut ticks: Vec<(f64, String)> = Vec::new();
        for piece in self.pieces.iter().filter(|p| !p.gap) {
            let offset =
                Timestamp::from_millisecond(piece.from).map_or(0, |at| i64::from(zone.to_offset(at).seconds()) * 1000);
            let mut mark = (piece.from + offset).div_euclid(step) * step - offset;
            while mark <= piece.to {
                if mark >= piece.from
                    && let Ok(at) = Timestamp::from_millisecond(mark)
                {
                    let local = at.to_zoned(zone.clone());
                    let form = match step {
                        ..1_000 => "%H:%M:%S%.1f",
                        1_000..60_000 => "%H:%M:%S",
                        60_000..43_200_000 => "%H:%M",
                        _ => "%m-%d",
                    };
                    let place = self.at(at);
                    if ticks.last().is_none_or(|(last, _)| place - last > APART / 2.0) {
                        ticks.push((place, local.strftime(form).to_string()));
                    }
                }
                mark += step;
            }
        }
        ticks
    }
}

/// A count of milliseconds as a number of the drawing: exact up to 2⁵³, and a run is shorter.
#[expect(clippy::cast_precision_loss, reason = "285,000 years of milliseconds are exact")]
pub(super) const fn float(n: i64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_795_000_000_000 + millis).unwrap()
    }

    fn scale(busy: &[(i64, i64)]) -> Scale {
        Scale::new(busy.iter().map(|(a, b)| (a + 1_795_000_000_000, b + 1_795_000_000_000)).collect(), 0.0, 800.0)
    }

    #[test]
    fn time_runs_evenly_and_a_night_between_two_shifts_is_left_out() {
        let even = scale(&[(0, 4_000), (6_000, 8_000)]);
        assert!((even.at(at(4_000)) - 400.0).abs() < 1e-6 && even.gaps().next().is_none());
        let night = scale(&[(0, 60_000), (36_000_000, 36_060_000)]);
        let (left, right, millis) = night.gaps().next().unwrap();
        assert!((right - left - GAP).abs() < 1e-6 && millis == 35_940_000, "{left} {right} {millis}");
        assert!((night.at(at(36_060_000)) - 800.0).abs() < 1e-6);
        assert!((night.at(at(30_000)) - (800.0 - GAP) / 4.0).abs() < 1e-6);
    }

    #[test]
    fn the_axis_bears_few_round_times_in_the_zone() {
        let zone = TimeZone::get("Asia/Kolkata").unwrap();
        let ticks = scale(&[(0, 7_300_000)]).ticks(&zone);
        assert!((3..=9).contains(&ticks.len()), "{ticks:?}");
        assert!(
            ticks.iter().all(|(_, text)| [":00", ":15", ":30", ":45"].iter().any(|m| text.ends_with(m))),
            "{ticks:?}"
        );
        let short = scale(&[(0, 2_900)]).ticks(&TimeZone::UTC);
        assert!((3..=9).contains(&short.len()), "{short:?}");
        assert!(!scale(&[(0, 0)]).ticks(&TimeZone::UTC).is_empty());
    }
}
