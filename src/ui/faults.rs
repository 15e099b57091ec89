//! Faults of files, drawn: with the line and a caret for people, one line each for tools, JSON for programs.

use crate::yaml::{Fault, Faults, Severity, Sources};
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Faults with the lines that they stand in, as people read them; ends with how many there are.
pub fn pretty(faults: &Faults, sources: &dyn Sources, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut texts: BTreeMap<&str, Option<String>> = BTreeMap::new();
    let mut drawn = String::new();
    for fault in &faults.0 {
        let file = fault.spot.file.as_str();
        let text = texts.entry(file).or_insert_with(|| {
            let text = if file.is_empty() { None } else { sources.read(file).ok() };
            text.map(|t| t.strip_prefix('\u{feff}').map_or(t.clone(), str::to_owned))
        });
        let level = match fault.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = level.primary_title(fault.message.as_str()).elements(text.iter().map(|text| {
            let (start, end) = range(text, fault);
            let line = text.get(..start).map_or(0, |t| t.rfind('\n').map_or(0, |i| i + 1));
            let until = text.get(start..).and_then(|t| t.find('\n')).map_or(text.len(), |i| start + i);
            let excerpt = text.get(line..until).unwrap_or_default().trim_end_matches('\r');
            let mark = (start - line).min(excerpt.len())..(end.max(start) - line).min(excerpt.len());
            Snippet::source(excerpt.to_owned())
                .line_start(fault.spot.line)
                .path(file.to_owned())
                .annotation(AnnotationKind::Primary.span(mark))
        }));
        if let Some(hint) = &fault.hint {
            group = group.element(Level::HELP.with_name("hint").message(hint.as_str()));
        }
        drawn += &renderer.render(&[group]);
        drawn += "\n\n";
    }
    drawn + &summary(faults)
}

/// `file:line:column: error: message` a line, with the hint in brackets.
pub fn plain(faults: &Faults) -> String {
    let line = |fault: &Fault| {
        let place = if fault.spot.file.is_empty() { String::new() } else { format!("{}: ", fault.spot) };
        let hint = fault.hint.as_ref().map_or_else(String::new, |h| format!(" ({h})"));
        format!("{place}{}: {}{hint}\n", word(fault.severity), fault.message)
    };
    faults.0.iter().map(line).collect()
}

/// The faults as JSON: `{schema_version, errors, warnings, faults: [{file, line, column, length, severity, message, hint}]}`.
pub fn json(faults: &Faults) -> Value {
    let one = |fault: &Fault| {
        json!({
            "file": fault.spot.file,
            "line": fault.spot.line,
            "column": fault.spot.column,
            "length": fault.length,
            "severity": word(fault.severity),
            "message": fault.message,
            "hint": fault.hint,
        })
    };
    json!({
        "schema_version": 1,
        "errors": faults.errors(),
        "warnings": faults.warnings(),
        "faults": faults.0.iter().map(one).collect::<Vec<_>>(),
    })
}

/// `2 errors, 1 warning`.
pub fn summary(faults: &Faults) -> String {
    use crate::base::words::count;
    match (faults.errors(), faults.warnings()) {
        (0, 0) => "no faults".to_owned(),
        (0, w) => count("warning", w),
        (e, 0) => count("error", e),
        (e, w) => format!("{}, {}", count("error", e), count("warning", w)),
    }
}

const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// The bytes of a text that a fault means; without a length the word that stands there, quotes and all.
fn range(text: &str, fault: &Fault) -> (usize, usize) {
    let start_of_line: usize = text.split_inclusive('\n').take(fault.spot.line.saturating_sub(1)).map(str::len).sum();
    let line = text.get(start_of_line..).and_then(|t| t.lines().next()).unwrap_or_default();
    let byte = |column: usize| line.char_indices().nth(column).map_or(line.len(), |(i, _)| i);
    let from = fault.spot.column.saturating_sub(1);
    let start = byte(from);
    let rest = line.get(start..).unwrap_or_default();
    let length = match (fault.length, rest.chars().next()) {
        (0, Some(quote @ ('"' | '\''))) => rest.chars().skip(1).take_while(|c| *c != quote).count() + 2,
        (0, _) => rest.chars().take_while(|c| !c.is_whitespace() && !",]}".contains(*c)).count().max(1),
        (length, _) => length,
    };
    (start_of_line + start, start_of_line + byte(from + length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Spot;

    fn faults() -> (Faults, BTreeMap<String, String>) {
        let text = "svcops: 1\r\nname: \"Имя\"  # что\r\n".to_owned();
        let spot = Spot { file: "r.yaml".into(), line: 2, column: 7 };
        let fault = Fault::error(spot, "`Имя` is taken").hint("choose another");
        (
            Faults(vec![fault, Fault::warning(Spot::default(), "nothing in particular")]),
            [("r.yaml".to_owned(), text)].into(),
        )
    }

    #[test]
    fn a_fault_shows_its_line_and_a_caret_below_the_word() {
        let (faults, files) = faults();
        insta::assert_snapshot!(pretty(&faults, &files, false), @r#"
        error: `Имя` is taken
         --> r.yaml:2:7
          |
        2 | name: "Имя"  # что
          |       ^^^^^
          |
          = hint: choose another

        warning: nothing in particular

        1 error, 1 warning
        "#);
    }

    #[test]
    fn a_fault_of_an_empty_file_says_its_place_once() {
        let (mut faults, mut files) = faults();
        faults.0.truncate(1);
        faults.0[0].spot = Spot { line: 1, column: 1, ..faults.0[0].spot.clone() };
        faults.0[0].length = 0;
        files.insert("r.yaml".to_owned(), String::new());
        let drawn = pretty(&faults, &files, false);
        assert!(drawn.contains("--> r.yaml:1:1\n"), "{drawn}");
    }

    #[test]
    fn a_fault_is_one_line_for_tools() {
        let (faults, _) = faults();
        assert_eq!(
            plain(&faults),
            "r.yaml:2:7: error: `Имя` is taken (choose another)\nwarning: nothing in particular\n"
        );
        assert_eq!(json(&faults)["faults"][0]["column"], 7);
    }
}
