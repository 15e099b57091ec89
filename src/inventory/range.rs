//! Ranges in names, `web[001-250]` or `web[1,3-5]`, and the values that advance with them.

use std::cmp::Ordering;

/// No pattern stands for more names than this.
const MOST: usize = 10_000;

/// A text with ranges in it, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The text before each range, and after the last.
    texts: Vec<String>,
    /// The words of each range.
    ranges: Vec<Vec<String>>,
}

impl Pattern {
    /// Takes a text apart. Brackets that hold anything but numbers are part of the text (`[fe80::1]`).
    ///
    /// # Errors
    /// A range that runs backwards or is too long.
    pub fn of(text: &str) -> Result<Self, String> {
        let (mut texts, mut ranges, mut rest) = (vec![String::new()], Vec::new(), text);
        while let Some((head, tail)) = rest.split_once('[') {
            let inner = tail.split_once(']').filter(|(inner, _)| looks_like_range(inner));
            let last = texts.last_mut();
            match (inner, last) {
                (Some((inner, after)), Some(last)) => {
                    last.push_str(head);
                    ranges.push(words(inner)?);
                    if ranges.iter().fold(1, |n: usize, r: &Vec<String>| n.saturating_mul(r.len())) > MOST {
                        return Err(format!("`{text}` stands for more than {MOST} names"));
                    }
                    texts.push(String::new());
                    rest = after;
                }
                (_, Some(last)) => {
                    last.push_str(head);
                    last.push('[');
                    rest = tail;
                }
                (_, None) => break,
            }
        }
        if let Some(last) = texts.last_mut() {
            last.push_str(rest);
        }
        Ok(Self { texts, ranges })
    }
    /// How many texts it stands for.
    pub fn len(&self) -> usize {
        self.ranges.iter().fold(1, |n, r| n.saturating_mul(r.len()))
    }
    /// It stands for itself alone.
    pub fn is_plain(&self) -> bool {
        self.ranges.is_empty()
    }
    /// It stands for nothing; never so.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// All texts in order; the last range runs fastest.
    pub fn all(&self) -> Vec<String> {
        (0..self.len()).map(|index| self.text(&self.turns(index))).collect()
    }
    /// The text that belongs to the name of that index in `name`: its ranges advance with those of the name, one by one,
    /// or a single one with all names.
    ///
    /// # Errors
    /// The ranges do not fit the name's.
    pub fn beside(&self, name: &Self, index: usize) -> Result<String, String> {
        if self.is_plain() {
            return Ok(self.texts.concat());
        }
        let lens = |p: &Self| p.ranges.iter().map(Vec::len).collect::<Vec<_>>();
        if lens(self) == lens(name) {
            return Ok(self.text(&name.turns(index)));
        }
        if self.ranges.len() == 1 && self.len() == name.len() {
            return Ok(self.text(&[index]));
        }
        Err(format!("the range stands for {} texts, the name for {}: they advance together", self.len(), name.len()))
    }
    fn turns(&self, mut index: usize) -> Vec<usize> {
        let mut turns: Vec<usize> = Vec::with_capacity(self.ranges.len());
        for range in self.ranges.iter().rev() {
            turns.push(index % range.len().max(1));
            index /= range.len().max(1);
        }
        turns.reverse();
        turns
    }
    fn text(&self, turns: &[usize]) -> String {
        let mut text = self.texts.first().cloned().unwrap_or_default();
        for ((range, turn), after) in self.ranges.iter().zip(turns).zip(self.texts.iter().skip(1)) {
            text.push_str(range.get(*turn).map_or("", String::as_str));
            text.push_str(after);
        }
        text
    }
}

fn looks_like_range(inner: &str) -> bool {
    let number = |s: &str| !s.is_empty() && s.len() <= 9 && s.bytes().all(|b| b.is_ascii_digit());
    !inner.is_empty()
        && inner
            .split(',')
            .all(|part| part.trim().split_once('-').map_or(number(part.trim()), |(a, b)| number(a) && number(b)))
}

/// `001-003` is `001 002 003`: as many digits as its start has.
fn words(inner: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    for part in inner.split(',').map(str::trim) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (Ok(a), Ok(b)) = (from.parse::<usize>(), to.parse::<usize>()) else {
            return Err(format!("`[{inner}]` is no range"));
        };
        if a > b {
            return Err(format!("the range `[{inner}]` runs backwards"));
        }
        if b - a >= MOST || words.len() > MOST {
            return Err(format!("the range `[{inner}]` stands for more than {MOST} names"));
        }
        words.extend((a..=b).map(|n| format!("{n:0width$}", width = from.len())));
    }
    Ok(words)
}

/// The order of people: numbers within names count as numbers, so `web9` comes before `web10`.
pub fn natural(one: &str, other: &str) -> Ordering {
    let (mut a, mut b) = (one, other);
    loop {
        let (Some(ca), Some(cb)) = (a.chars().next(), b.chars().next()) else {
            return a.len().cmp(&b.len()).then_with(|| one.cmp(other));
        };
        if ca.is_ascii_digit() && cb.is_ascii_digit() {
            let ((na, ra), (nb, rb)) = (digits(a), digits(b));
            let (ta, tb) = (na.trim_start_matches('0'), nb.trim_start_matches('0'));
            match ta.len().cmp(&tb.len()).then_with(|| ta.cmp(tb)) {
                Ordering::Equal => (a, b) = (ra, rb),
                order => return order,
            }
        } else if ca == cb {
            let skip = ca.len_utf8();
            (a, b) = (a.get(skip..).unwrap_or(""), b.get(skip..).unwrap_or(""));
        } else {
            return ca.cmp(&cb);
        }
    }
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_short_text_cannot_ask_for_much() {
        assert!(Pattern::of(&"[1-9999]".repeat(5000)).is_err());
    }

    #[test]
    fn values_advance_with_the_name() {
        let name = Pattern::of("dc[1-2]-web[08-10]").unwrap();
        assert_eq!(name.all(), ["dc1-web08", "dc1-web09", "dc1-web10", "dc2-web08", "dc2-web09", "dc2-web10"]);
        let address = Pattern::of("10.[1-2].0.[8-10]").unwrap();
        assert_eq!(address.beside(&name, 4).unwrap(), "10.2.0.9");
        assert_eq!(Pattern::of("10.0.0.[11-16]").unwrap().beside(&name, 5).unwrap(), "10.0.0.16");
        assert!(Pattern::of("10.0.0.[1-2]").unwrap().beside(&name, 0).is_err());
        assert_eq!(Pattern::of("[fe80::1]").unwrap().beside(&name, 3).unwrap(), "[fe80::1]");
    }

    #[test]
    fn a_range_that_is_none_or_too_long_is_refused() {
        assert!(Pattern::of("web[9-1]").unwrap_err().contains("backwards"));
        assert!(Pattern::of("web[1-99999]").is_err());
        assert!(Pattern::of("a[1-999]b[1-999]").is_err());
        assert_eq!(Pattern::of("web[a-c]").unwrap().all(), ["web[a-c]"]);
    }

    #[test]
    fn names_are_ordered_as_people_do() {
        let mut names = ["web10", "web9", "web", "хост2", "хост10", "web09", "a"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["a", "web", "web09", "web9", "web10", "хост2", "хост10"]);
    }

    proptest! {
        #[test]
        fn a_range_unfolds_to_its_numbers_in_order(from in 0usize..500, many in 0usize..40, width in 1usize..5) {
            let text = format!("h[{from:0width$}-{}]x", from + many);
            let names = Pattern::of(&text).unwrap().all();
            prop_assert_eq!(names.len(), many + 1);
            for (i, name) in names.iter().enumerate() {
                prop_assert_eq!(name, &format!("h{:0width$}x", from + i));
            }
            let mut sorted = names.clone();
            sorted.sort_by(|a, b| natural(a, b));
            prop_assert_eq!(sorted, names);
        }
        #[test]
        fn natural_order_is_an_order(a in "[a0-3]{0,5}", b in "[a0-3]{0,5}", c in "[a0-3]{0,5}") {
            prop_assert_eq!(natural(&a, &b), natural(&b, &a).reverse());
            if natural(&a, &b).is_le() && natural(&b, &c).is_le() {
                prop_assert!(natural(&a, &c).is_le());
            }
        }
    }
}
