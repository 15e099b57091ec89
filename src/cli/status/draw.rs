//! The answer of `svcops status` as text and as JSON. Pure.

use super::{super::app::word, sections::Section};
use crate::{
    survey::app::Level,
    ui::{
        paint::{Paint, plain},
        wrap,
    },
};
use jiff::Timestamp;
use serde_json::{Value, json};

/// How all of it stands.
pub fn level(sections: &[Section]) -> Level {
    Level::worst(sections.iter().map(|s| s.level))
}

/// The verdict in the first line, where a monitor looks for it, then the parts; `quiet`: only those that are not well.
pub fn text(project: &str, sections: &[Section], quiet: bool, paint: Paint, width: usize) -> String {
    let worst = level(sections);
    let told: Vec<&str> = sections.iter().filter(|s| s.level != Level::Ok).map(|s| s.says.as_str()).collect();
    let told = if told.is_empty() { "all is as it should be".to_owned() } else { told.join("; ") };
    let mut text =
        coloured(worst, paint, &wrap::hanging(&format!("{}: ", word(worst)), &format!("{project}: {told}"), width));
    text.push('\n');
    for (n, section) in sections.iter().filter(|s| !quiet || s.level != Level::Ok).enumerate() {
        if n == 0 {
            text.push('\n');
        }
        text += &coloured(
            section.level,
            paint,
            &wrap::hanging(&format!("{:<10}", word(section.level)), &plain(&section.says), width),
        );
        text.push('\n');
        for item in &section.items {
            text += &(wrap::hanging(INDENT, &plain(&item.text), width) + "\n");
            for line in &item.under {
                text += &(wrap::hanging(&format!("{INDENT}  "), &plain(line), width) + "\n");
            }
            text += &hint(item.hint.as_ref(), paint, width);
        }
        text += &hint(section.hint.as_ref(), paint, width);
    }
    text
}

/// The same for programs: an interface.
pub fn json(project: &str, at: Timestamp, sections: &[Section]) -> Value {
    let worst = level(sections);
    let part = |s: &Section| json!({ "section": s.name, "status": s.level, "says": s.says, "items": s.json });
    json!({
        "schema_version": 1,
        "project": project,
        "at": at,
        "status": worst,
        "exit_code": worst.code(),
        "sections": sections.iter().map(part).collect::<Vec<_>>(),
    })
}

const INDENT: &str = "          ";

fn hint(hint: Option<&String>, paint: Paint, width: usize) -> String {
    let block = hint.map(|hint| wrap::hanging(&format!("{INDENT}→ "), hint, width));
    block.map_or_else(String::new, |block| block.lines().map(|line| paint.cyan(line) + "\n").collect())
}

/// The word of the level coloured, wherever the block begins with it.
fn coloured(level: Level, paint: Paint, block: &str) -> String {
    let word = word(level);
    let rest = block.strip_prefix(word).unwrap_or(block);
    let word = match level {
        Level::Ok => paint.green(word),
        Level::Warning => paint.yellow(word),
        Level::Critical | Level::Unknown => paint.red(word),
    };
    word + rest
}
