//! What a block shows against what was said.

/// How they differ, in words; none where `shows` holds. `…` in a line stands for any text, alone on a line for any lines; how
/// wide a gap is does not matter; where nothing is shown, anything may be said.
pub fn differs(shows: &[String], said: &str) -> Option<String> {
    let shows = trimmed(shows.iter().map(String::as_str));
    let said = trimmed(said.lines());
    if shows.is_empty() || holds(&shows, &said) {
        return None;
    }
    let mut missing = shows.iter().filter(|show| !said.iter().any(|line| like(show, line)));
    Some(match missing.find(|show| *show != "…") {
        Some(line) => format!("does not say `{line}`"),
        None => "says it in another order, or more than is shown".to_owned(),
    })
}

/// Lines with one blank where there are more, without empty lines at both ends.
fn trimmed<'t>(lines: impl Iterator<Item = &'t str>) -> Vec<String> {
    let lines = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let mut lines: Vec<String> = lines.skip_while(String::is_empty).collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// Where a line does not fit, the nearest `…` above it takes one line more.
fn holds(shows: &[String], said: &[String]) -> bool {
    let (mut show, mut line, mut dots) = (0, 0, None);
    while line < said.len() {
        if shows.get(show).is_some_and(|s| s == "…") {
            dots = Some((show, line));
            show += 1;
        } else if shows.get(show).is_some_and(|s| like(s, &said[line])) {
            (show, line) = (show + 1, line + 1);
        } else if let Some((at, taken)) = dots {
            dots = Some((at, taken + 1));
            (show, line) = (at + 1, taken + 1);
        } else {
            return false;
        }
    }
    shows[show..].iter().all(|s| s == "…")
}

/// Whether a line is as it is shown.
fn like(show: &str, line: &str) -> bool {
    let mut parts = show.split('…');
    let Some(mut left) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return left.is_empty() };
    for part in parts {
        let Some((_, after)) = left.split_once(part) else { return false };
        left = after;
    }
    left.ends_with(last)
}

#[test]
fn dots_stand_for_any_text_and_any_lines_and_nothing_else_is_forgiven() {
    let shows = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let holds = |show: &str, said: &str| differs(&shows(show), said).is_none();
    assert!(holds("run …: done in …s", "run 01M: done in 0.4s\n"));
    assert!(holds("a\n…\nd", "a\nb\nc\nd\n") && holds("a\n…\nd", "a\nd") && holds("…\nd\n…", "d"));
    assert!(holds("", "whatever"));
    assert!(holds("A  B", "A       B\n"));
    assert!(!holds("a", "a\nb") && !holds("a\nb", "a") && !holds("b\n…\na", "a\nb"));
    assert!(!holds("run …: done", "run 01M: failed") && !holds("done", "done in 3s") && !holds("a…a", "a"));
    assert!(differs(&shows("a\nx"), "a\nb").unwrap().contains("`x`"));
}
