//! What many actions' arguments have in common: texts without secrets, modes, commands, where a question comes from.

use super::{Refusal, Target};
use crate::base::{Invocation, Place, Program, Span, Text};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum From {
    /// This machine.
    #[default]
    Here,
    /// The host itself, through the connection to it.
    Host,
}

impl From {
    pub(super) fn place(self, target: &Target<'_>) -> Place {
        match self {
            Self::Here => Place::HERE,
            Self::Host => target.place(),
        }
    }
}

/// A command: a text for `/bin/sh -c`, or a program with its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Words {
    /// A text for `/bin/sh -c`.
    Shell(String),
    /// A program and its arguments, without a shell.
    Argv(Vec<String>),
}

impl Words {
    /// The program, its texts checked.
    pub(super) fn program(self, key: &str) -> Result<Program, Refusal> {
        Ok(match self {
            Self::Shell(text) if text.trim().is_empty() => return Err(Refusal::of(key, "the command is empty")),
            Self::Shell(text) => Program::Shell(plain(key, text)?),
            Self::Argv(argv) if argv.first().is_none_or(String::is_empty) => {
                return Err(Refusal::of(key, "the first element names the program, it cannot be empty"));
            }
            Self::Argv(argv) => Program::Argv(argv.into_iter().map(|word| plain(key, word)).collect::<Result<_, _>>()?),
        })
    }
    /// As a read that takes no longer than the step allows.
    pub(super) fn read(self, key: &str, target: &Target<'_>) -> Result<Invocation, Refusal> {
        Ok(Invocation::of(self.program(key)?, target.span()))
    }
}

/// What a command must say to have gone well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    /// The exit code; 0 unless said.
    pub(super) code: Option<i32>,
    /// A text that stands in its output.
    pub(super) stdout: Option<String>,
}

/// Secrets are not allowed here: the text would be seen in a process list, a log, a plan.
pub(super) fn plain(key: &str, text: String) -> Result<String, Refusal> {
    match Text(text.clone()).names().first() {
        None => Ok(text),
        Some(name) => Err(Refusal::of(
            key,
            format!("secret `{name}` is not allowed here: secrets go into `env`, `stdin`, templates and headers only"),
        )),
    }
}

/// A path that starts at the root.
pub(super) fn absolute(key: &str, path: String) -> Result<String, Refusal> {
    let path = plain(key, path)?;
    if !path.starts_with('/') {
        return Err(Refusal::of(key, format!("an absolute path expected, got `{path}`")));
    }
    if path.ends_with('/') || path.split('/').any(|part| part == "..") {
        return Err(Refusal::of(key, format!("the path of a file expected, without `..`, got `{path}`")));
    }
    Ok(path)
}

/// Permission bits in octal digits.
pub(super) fn mode(text: &str) -> Result<u32, Refusal> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777 && text.len() >= 3)
        .ok_or_else(|| Refusal::of("mode", format!("octal digits such as \"0644\" expected, got `{text}`")))
}

/// Texts that may name secrets, by name.
pub(super) fn texts(map: BTreeMap<String, String>) -> BTreeMap<String, Text> {
    map.into_iter().map(|(name, text)| (name, Text(text))).collect()
}

/// A URL for HTTP.
pub(super) fn url(text: String) -> Result<String, Refusal> {
    let text = plain("url", text)?;
    if text.starts_with("http://") || text.starts_with("https://") {
        return Ok(text);
    }
    Err(Refusal::of("url", format!("a URL with http:// or https:// expected, got `{text}`")))
}

/// An unknown word, and the known one that it may have been meant for.
pub(super) fn unknown<'a>(key: &str, what: &str, word: &str, known: impl IntoIterator<Item = &'a str>) -> Refusal {
    let near = crate::base::words::nearest(word, known).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
    Refusal::of(key, format!("svcops.yaml has no {what} `{word}`{near}"))
}

/// A check's try may take this long, unless the step's deadline is shorter.
pub(super) fn one_try(target: &Target<'_>) -> Span {
    Span(target.timeout.min(std::time::Duration::from_secs(10)))
}
