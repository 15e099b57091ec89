//! Small helps for sentences that people read.

/// So many bytes, for people: `12 KiB`.
pub fn bytes(n: u64) -> String {
    const KIB: u64 = 1024;
    match n {
        0..KIB => format!("{n} bytes"),
        KIB..1_048_576 => format!("{} KiB", n / KIB),
        _ => format!("{}.{} MiB", n / 1_048_576, n % 1_048_576 * 10 / 1_048_576),
    }
}

/// `1 host`, `3 hosts`; a word in -y becomes -ies.
pub fn count(word: &str, n: usize) -> String {
    match word.strip_suffix('y') {
        _ if n == 1 => format!("1 {word}"),
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{n} {stem}ies"),
        _ => format!("{n} {word}s"),
    }
}

/// The known word nearest to `word`, if one is near enough to be a slip of the hand.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let limit = (length / 3).max(1);
    // a word of that length is no slip
    let near = |k: &&str| length <= 64 && k.chars().count().abs_diff(length) <= limit;
    let known = known.into_iter().filter(near);
    known.map(|k| (distance(word, k), k)).filter(|(d, _)| *d <= limit).min().map(|(_, k)| k)
}

/// What the system says of a failed read or write, in its own words, without its numbers.
pub fn io(error: &std::io::Error) -> String {
    let said = error.to_string();
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "this user may not".to_owned(),
        _ => said.split(" (os error").next().unwrap_or(&said).to_lowercase(),
    }
}

/// Names in backticks, joined by commas; more than `most` are counted.
pub fn list<T: std::fmt::Display>(names: &[T], most: usize) -> String {
    let mut text = names.iter().take(most).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if names.len() > most {
        text += &format!(" and {} more", names.len() - most);
    }
    text
}

/// Damerau-Levenshtein (restricted): insertions, deletions, substitutions and swaps of neighbours.
fn distance(one: &str, other: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for (i, ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let at = |r: usize, c: usize| rows.get(r).and_then(|row| row.get(c)).copied().unwrap_or(usize::MAX / 2);
            let left = row.get(j).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(i, j) + usize::from(ca != cb)).min(at(i, j + 1) + 1).min(left + 1);
            if i > 0 && j > 0 && a.get(i - 1) == Some(cb) && b.get(j - 1) == Some(ca) {
                best = best.min(at(i - 1, j - 1) + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows.last().and_then(|row| row.last()).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let known = ["retry", "rolling", "require", "name"];
        assert_eq!(nearest("retires", known), None);
        assert_eq!(nearest("rolilng", known), Some("rolling"));
        assert_eq!(nearest("nmae", known), Some("name"));
        assert_eq!(nearest("kubernetes", known), None);
    }

    #[test]
    fn things_are_counted_in_words() {
        assert_eq!(
            (count("host", 1), count("host", 2), count("retry", 2)),
            ("1 host".into(), "2 hosts".into(), "2 retries".into())
        );
    }
}
