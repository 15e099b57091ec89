//! What is wrong with a command line, in the words and the form of every other error.

use super::{
    args::Output,
    exit::ExitCode,
    map::{self, path},
};
use crate::{base::words::nearest, ui::message::Message};
use clap::{
    ArgMatches, Command,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};
use std::ffi::OsString;

/// The words of the verb, as far as a command line that could not be taken in says them.
pub fn words(tree: &Command, args: &[OsString]) -> Vec<String> {
    let matches = tree.clone().ignore_errors(true).try_get_matches_from(args);
    matches.map(|matches| path(&matches).0).unwrap_or_default()
}

/// The value of an option in a command line that is not parsed, or could not be.
pub fn written(args: &[OsString], long: &str, short: Option<&str>) -> Option<String> {
    let mut words = args.iter().filter_map(|arg| arg.to_str()).take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        let value = if word == long || Some(word) == short {
            words.next()
        } else {
            let joined = word.strip_prefix(long).and_then(|rest| rest.strip_prefix('='));
            joined.or_else(|| short.and_then(|short| word.strip_prefix(short)).map(|v| v.trim_start_matches('=')))
        };
        if value.is_some() {
            return value.map(ToOwned::to_owned);
        }
    }
    None
}

/// What `-h` says there.
pub fn short_help(tree: &Command, words: &[String], colour: bool) -> String {
    let line = ["svcops"].into_iter().chain(words.iter().map(String::as_str)).chain(["-h"]);
    let Err(help) = tree.clone().try_get_matches_from(line) else { return String::new() };
    let text = help.render();
    if colour { text.ansi().to_string() } else { text.to_string() }
}

/// The error in words.
pub fn message(tree: &Command, words: &[String], error: &clap::Error) -> Message {
    let mut built = tree.clone();
    built.build();
    let verb = words.iter().try_fold(&built, |at, word| at.find_subcommand(word)).unwrap_or(&built);
    let name = ["svcops"].into_iter().chain(words.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    let more = format!("`{name} --help` has its options and examples");
    let text = |kind| text(error, kind);
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let word = text(ContextKind::InvalidSubcommand);
            let known = verb.get_subcommands().filter(|deeper| !deeper.is_hide_set()).map(Command::get_name);
            let near = nearest(&word, known).map(|near| format!("did you mean `{name} {near}`?"));
            let more = format!("`{name} --help` lists its verbs");
            Message::error(format!("`{name}` has no verb `{word}`")).hint(near.unwrap_or(more))
        }
        ErrorKind::UnknownArgument => {
            let word = text(ContextKind::InvalidArg);
            let known = verb.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(|arg| arg.get_long());
            let known: Vec<&str> = known.collect();
            let long = word.strip_prefix("--");
            let near = long.and_then(|long| nearest(long, known.iter().copied()));
            let title = if word.starts_with('-') {
                format!("`{name}` has no option `{word}`")
            } else {
                format!("`{name}` has no use for one more word: `{word}`")
            };
            Message::error(title).hint(near.map_or(more, |near| format!("did you mean `--{near}`?")))
        }
        ErrorKind::InvalidValue => {
            let (option, value) = (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue));
            if value.is_empty() {
                return Message::error(format!("`{option}` needs a value")).hint(more);
            }
            let valid = match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(valid)) => valid.clone(),
                _ => Vec::new(),
            };
            let list = valid.iter().map(|v| format!("`{v}`")).collect::<Vec<_>>().join(", ");
            let message = Message::error(format!("`{option}` cannot be `{value}`: expected one of {list}"));
            match nearest(&value, valid.iter().map(String::as_str)) {
                Some(near) => message.hint(format!("did you mean `{near}`?")),
                None => message,
            }
        }
        ErrorKind::ValueValidation => {
            let (option, value) = (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue));
            let why = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            Message::error(format!("`{option}` cannot be `{value}`: {why}")).hint(more)
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = text(ContextKind::InvalidArg);
            Message::error(format!("`{name}` needs {missing}")).hint(more)
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Message::error(format!("`{name}` needs a verb")).hint(format!("`{name} --help` lists its verbs"))
        }
        _ => {
            // clap's own sentence: up to its first empty line, as one
            let said = error.render().to_string();
            let said = said.strip_prefix("error: ").unwrap_or(&said);
            let said = said.split("\n\n").next().unwrap_or(said).replace('\'', "`");
            Message::error(said.split_whitespace().collect::<Vec<_>>().join(" ")).hint(more)
        }
    }
}

/// What clap knows of it, as text.
fn text(error: &clap::Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.iter().map(|t| format!("`{t}`")).collect::<Vec<_>>().join(" "),
        _ => String::new(),
    }
}

/// For a verb that checks, 2 is CRITICAL: its wrong usage is 3, UNKNOWN.
pub fn wrong(words: &[String]) -> ExitCode {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["app" | "failover", "status", ..]
        | ["status" | "doctor", ..]
        | ["history", "verify", ..]
        | ["cert", "check" | "list", ..] => ExitCode::Stands,
        _ => ExitCode::Wrong,
    }
}

/// An option of every verb that means nothing to this one is refused, never ignored. A variable may mean nothing.
pub fn foreign_option(words: &[String], matches: &ArgMatches) -> Option<Message> {
    let verb: Vec<&str> = words.iter().map(String::as_str).collect();
    let known = map::known(&verb);
    let given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let partial = map::PARTIAL.iter().filter(|id| !known.contains(id));
    let foreign = partial.chain(map::elsewhere(&verb)).find(|id| given(id))?;
    let (name, option) = (words.join(" "), foreign.replace('_', "-"));
    Some(
        Message::error(format!("`svcops {name}` has no use for `--{option}`"))
            .hint(format!("`svcops {name} --help` lists its options")),
    )
}

/// A form of a report is refused where there is none.
pub fn foreign_form(words: &[String], output: Output) -> Option<Message> {
    let (form, verbs) = match output {
        Output::Table | Output::Json | Output::Jsonl => return None,
        Output::Html => ("html", &["report", "cert check"][..]),
        Output::Markdown => ("markdown", &["report"][..]),
        Output::Junit => ("junit", &["report"][..]),
        Output::Nagios => ("nagios", &["cert check"][..]),
        Output::Prometheus => ("prometheus", &["cert check"][..]),
        Output::Csv => ("csv", &["cert check", "failover history"][..]),
    };
    let verb = words.join(" ");
    (!verbs.contains(&verb.as_str())).then(|| {
        let verb = verbs.join("` and `svcops ");
        Message::error(format!("`-o {form}` belongs to `svcops {verb}`"))
            .hint("`-o table`, `-o json` and, where there are events, `-o jsonl` are for the others")
    })
}
