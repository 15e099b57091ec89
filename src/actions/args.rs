//! What many actions' arguments have in common: texts without secrets, modes, commands, where a question comes from.

use super::{Refusal, Target};
use crate::base::{Invocation, Place, Program, Span, Text};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
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
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub(super) enum Words {
    /// A text for `/bin/sh -c`.
    Shell(String),
    /// A program and its arguments, without a shell.
    Argv(Vec<String>),
}

impl<'de> Deserialize<'de> for Words {
    /// By hand: an untagged enum would say nothing of what is wrong.
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match Value::deserialize(d)? {
            Value::String(text) => Ok(Self::Shell(text)),
            Value::Array(words) => words.into_iter().map(word).collect::<Result<_, _>>().map(Self::Argv),
            other => Err(de::Error::custom(format!("a text or a list of texts expected, got {other}"))),
        }
    }
}

/// A text, or what an expression made of one: `{{ params.port }}` keeps its type, and is a text where one belongs.
fn word<E: de::Error>(value: Value) -> Result<String, E> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        other => Err(E::custom(format!("a text expected, got {other}"))),
    }
}

/// As [`word`], where it may be left out.
pub(super) fn said<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    Option::<Value>::deserialize(d)?.map(word).transpose()
}

/// A list of what [`word`] reads.
pub(super) fn list<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    Vec::<Value>::deserialize(d)?.into_iter().map(word).collect()
}

/// Names and what [`word`] reads.
pub(super) fn named<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<String, String>, D::Error> {
    let values = BTreeMap::<String, Value>::deserialize(d)?;
    values.into_iter().map(|(name, value)| Ok((name, word(value)?))).collect()
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
    #[schemars(extend("default" = 0))]
    pub(super) code: Option<i32>,
    /// A text that stands in its output.
    #[serde(default, deserialize_with = "said")]
    #[schemars(with = "Option<String>")]
    pub(super) stdout: Option<String>,
}

/// What serde says of a value of the wrong type, in the words of this project; anything else as it is.
pub(super) fn wrong_type(said: &str) -> String {
    let Some((_, rest)) = said.split_once("invalid type: ").or_else(|| said.split_once("invalid value: ")) else {
        return said.to_owned();
    };
    let Some((got, expected)) = rest.split_once(", expected ") else { return said.to_owned() };
    let expected = match expected {
        "a string" => "a text",
        "a boolean" => "true or false",
        "a map" => "a mapping",
        "a sequence" => "a list",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "usize" => "a whole number from 0 on",
        "i32" | "i64" => "a whole number",
        other => other.strip_prefix("struct ").map_or(other, |_| "a mapping"),
    };
    let kind = ["string ", "integer ", "floating point ", "boolean "].iter().find_map(|kind| got.strip_prefix(kind));
    let got = match (kind, got) {
        (Some(value), _) => value.replace('"', "`"),
        (None, "map") => "a mapping".to_owned(),
        (None, "sequence") => "a list".to_owned(),
        (None, "null") => "nothing".to_owned(),
        (None, other) => other.to_owned(),
    };
    let got = if got.starts_with(['`', 'a', 'n']) { got } else { format!("`{got}`") };
    format!("{expected} expected, got {got}")
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
