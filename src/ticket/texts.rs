//! The texts of tickets: templates in the binary, in English and Russian, each of which a file of the project can replace.

use super::{
    facts,
    settings::{Language, Settings},
};
use crate::{
    base::{bounds, words},
    yaml::sources,
};
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value as Mini, syntax::SyntaxConfig, value::Serde,
};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path};

/// What a text is for; its word is the name of its file: `phase.txt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// The ticket's subject, in one line.
    Subject,
    /// A run began.
    Opened,
    /// A step of the runbook, or one batch of a rolling group, is over.
    Phase,
    /// The run goes back.
    Back,
    /// Somebody goes on with it.
    Resumed,
    /// Somebody saw what became of a task.
    Resolved,
    /// Somebody left a task out.
    Waived,
    /// The run was refused; nothing was touched.
    Refused,
    /// The run is over.
    Ended,
    /// It failed as other runs have before.
    Alike,
    /// A later run paid a debt.
    Paid,
}

impl Name {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Subject,
        Self::Opened,
        Self::Phase,
        Self::Back,
        Self::Resumed,
        Self::Resolved,
        Self::Waived,
        Self::Refused,
        Self::Ended,
        Self::Alike,
        Self::Paid,
    ];
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Opened => "opened",
            Self::Phase => "phase",
            Self::Back => "back",
            Self::Resumed => "resumed",
            Self::Resolved => "resolved",
            Self::Waived => "waived",
            Self::Refused => "refused",
            Self::Ended => "ended",
            Self::Alike => "alike",
            Self::Paid => "paid",
        }
    }
    /// Its file in a project's folder of texts.
    pub fn file(self) -> String {
        format!("{}.txt", self.word())
    }
    /// The text of that file.
    pub fn of_file(file: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.file() == file)
    }
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Wrong {
    /// In words.
    pub what: String,
    /// What may be meant.
    pub hint: Option<String>,
    /// The byte that it begins at, where known.
    pub at: Option<usize>,
}

/// The texts of a project.
pub struct Texts {
    env: Environment<'static>,
    /// The project's own; those that are not here are the binary's.
    own: BTreeMap<Name, String>,
    language: Language,
    /// What was wrong with the project's own.
    pub notes: Vec<String>,
}

impl Texts {
    /// The texts that a project's settings ask for; `root` is its folder. What cannot be read of its own is noted, and
    /// the binary's text stands for it.
    pub fn of(settings: &Settings, root: &Path) -> Self {
        let mut texts = Self {
            env: environment(settings.language),
            own: BTreeMap::new(),
            language: settings.language,
            notes: Vec::new(),
        };
        let Some(folder) = &settings.templates else { return texts };
        for name in Name::ALL {
            let path = root.join(folder).join(name.file());
            match sources::read_text(&path) {
                Ok(text) => drop(texts.own.insert(name, text)),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound && root.join(folder).is_dir() => {}
                Err(e) => {
                    texts.notes.push(format!("could not read the ticket text `{}`: {e}", path.display()));
                }
            }
        }
        texts
    }

    /// Writes a text. Where the project's own fails, the binary's stands for it, and the note says so.
    pub fn write(&self, name: Name, facts: &Value) -> (String, Option<String>) {
        let Some(own) = self.own.get(&name) else { return (self.standard(name, facts), None) };
        match render(&self.env, own, facts) {
            Ok(text) => (tidy(name, &text), None),
            Err(wrong) => {
                let note = format!("the project's ticket text `{}` failed: {wrong}", name.file());
                (self.standard(name, facts), Some(note))
            }
        }
    }

    fn standard(&self, name: Name, facts: &Value) -> String {
        match render(&self.env, standard(self.language, name), facts) {
            Ok(text) => tidy(name, &text),
            // a test renders each of them; what is left is a value of a shape that nobody has thought of
            Err(wrong) => format!("{}: {wrong}", name.word()),
        }
    }
}

/// Checks a project's own text: it parses, knows its names, and says something about an example.
///
/// # Errors
/// What is wrong with it.
pub fn check(name: Name, language: Language, text: &str) -> Result<(), Wrong> {
    let env = environment(language);
    let example = facts::example(name);
    bounded(text)?;
    let template = env.template_from_str(text).map_err(|e| worded(&e))?;
    let mut used: Vec<String> = template.undeclared_variables(true).into_iter().collect();
    used.sort();
    for path in used {
        unknown(&example, &path).map_or(Ok(()), |(what, hint)| Err(Wrong { what, hint, at: text.find(&path) }))?;
    }
    template.render(Mini::from(Serde(&example))).map(drop).map_err(|e| worded(&e))
}

/// Why a dotted path is not in the example, if it is not.
fn unknown(example: &Value, path: &str) -> Option<(String, Option<String>)> {
    let (mut here, mut way) = (example, String::new());
    for part in path.split('.') {
        let Value::Object(map) = here else { return None };
        let known = map.keys().map(String::as_str);
        let full = |name: &str| if way.is_empty() { name.to_owned() } else { format!("{way}.{name}") };
        let Some(next) = map.get(part) else {
            // params are the run's own
            if way == "run.params" || FUNCTIONS.contains(&part) {
                return None;
            }
            let hint = words::nearest(part, known.clone()).map(|near| format!("did you mean `{}`?", full(near)));
            let all = || {
                let names: Vec<String> = known.map(full).collect();
                format!("known here: {}", words::list(&names, 24))
            };
            return Some((format!("unknown name `{}`", full(part)), Some(hint.unwrap_or_else(all))));
        };
        way = full(part);
        here = next;
    }
    None
}

/// What every template can call.
const FUNCTIONS: &[&str] = &["range", "dict", "namespace", "debug"];

fn render(env: &Environment<'_>, text: &str, facts: &Value) -> Result<String, Wrong> {
    bounded(text)?;
    env.render_str(text, Mini::from(Serde(facts))).map_err(|e| worded(&e))
}

fn bounded(text: &str) -> Result<(), Wrong> {
    bounds::template(text).map_err(|what| Wrong { what, hint: None, at: None })
}

/// One line for a subject; else no empty lines at either end, and never two in a row.
fn tidy(name: Name, text: &str) -> String {
    if name == Name::Subject {
        return text.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    let mut tidy = String::new();
    let mut gap = false;
    for line in text.lines().map(str::trim_end) {
        if line.is_empty() {
            gap = !tidy.is_empty();
            continue;
        }
        if gap {
            tidy.push('\n');
        }
        gap = false;
        tidy += line;
        tidy.push('\n');
    }
    tidy.truncate(tidy.trim_end().len());
    tidy
}

fn environment(language: Language) -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_fuel(Some(500_000));
    env.set_recursion_limit(64);
    if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
        env.set_syntax(syntax);
    }
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.add_filter("count", count);
    env.add_filter("span", move |millis: u64| span(language, millis));
    env.add_filter("fine", move |millis: u64| fine(language, millis));
    env.add_filter("names", move |names: Vec<String>, most: Option<usize>| list(language, &names, most.unwrap_or(10)));
    env
}

/// `3 | count("host", "hosts")`, `3 | count("хост", "хоста", "хостов")`: two forms count as English does, three as
/// Russian.
fn count(n: u64, one: String, few: String, many: Option<String>) -> String {
    let word = match many {
        None if n == 1 => one,
        None => few,
        Some(many) => match (n % 10, n % 100) {
            (_, 11..=14) => many,
            (1, _) => one,
            (2..=4, _) => few,
            _ => many,
        },
    };
    format!("{n} {word}")
}

/// Whole seconds from ten on, tenths below.
fn span(language: Language, millis: u64) -> String {
    let words = match language {
        Language::En => ["h", "min", "s"],
        Language::Ru => ["ч", "мин", "с"],
    };
    if millis < 10_000 {
        let (whole, tenth) = (millis / 1000, millis % 1000 / 100);
        let point = if language == Language::Ru { ',' } else { '.' };
        return format!("{whole}{point}{tenth} {}", words[2]);
    }
    let seconds = millis / 1000;
    let parts = [(seconds / 3600, words[0]), (seconds / 60 % 60, words[1]), (seconds % 60, words[2])];
    let said: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    said.join(" ")
}

/// Milliseconds as long as they are few, else as [`span`].
fn fine(language: Language, millis: u64) -> String {
    let word = match language {
        Language::En => "ms",
        Language::Ru => "мс",
    };
    if millis < 10_000 { format!("{millis} {word}") } else { span(language, millis) }
}

/// Names in backticks; more than `most` are counted.
fn list(language: Language, names: &[String], most: usize) -> String {
    let shown: Vec<String> = names.iter().take(most).map(|n| format!("`{n}`")).collect();
    let rest = names.len().saturating_sub(most);
    let and = match language {
        Language::En => "and",
        Language::Ru => "и ещё",
    };
    match (rest, language) {
        (0, _) => shown.join(", "),
        (_, Language::En) => format!("{} {and} {rest} more", shown.join(", ")),
        (_, Language::Ru) => format!("{} {and} {rest}", shown.join(", ")),
    }
}

fn worded(error: &Error) -> Wrong {
    let what = match error.kind() {
        ErrorKind::OutOfFuel => "it takes too long".to_owned(),
        ErrorKind::UndefinedError => "a name in it means nothing here".to_owned(),
        ErrorKind::SyntaxError => format!("it cannot be read: {}", error.detail().unwrap_or("syntax error")),
        kind => error.detail().map_or_else(|| kind.to_string(), str::to_owned),
    };
    Wrong { what, hint: None, at: error.range().map(|range| range.start) }
}

macro_rules! standard {
    ($language:literal, $name:expr) => {
        match $name {
            Name::Subject => include_str!(concat!("texts/", $language, "/subject.txt")),
            Name::Opened => include_str!(concat!("texts/", $language, "/opened.txt")),
            Name::Phase => include_str!(concat!("texts/", $language, "/phase.txt")),
            Name::Back => include_str!(concat!("texts/", $language, "/back.txt")),
            Name::Resumed => include_str!(concat!("texts/", $language, "/resumed.txt")),
            Name::Resolved => include_str!(concat!("texts/", $language, "/resolved.txt")),
            Name::Waived => include_str!(concat!("texts/", $language, "/waived.txt")),
            Name::Refused => include_str!(concat!("texts/", $language, "/refused.txt")),
            Name::Ended => include_str!(concat!("texts/", $language, "/ended.txt")),
            Name::Alike => include_str!(concat!("texts/", $language, "/alike.txt")),
            Name::Paid => include_str!(concat!("texts/", $language, "/paid.txt")),
        }
    };
}

/// The binary's own text.
pub const fn standard(language: Language, name: Name) -> &'static str {
    match language {
        Language::En => standard!("en", name),
        Language::Ru => standard!("ru", name),
    }
}
