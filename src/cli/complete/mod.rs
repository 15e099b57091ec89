//! What may come next on a command line: hosts, apps, runbooks, params, runs. The scripts in `completions/` ask for it
//! with `svcops complete`, whose answer is of the same version as its asker needs: the first line says what else the shell
//! should offer (`files`, `folders`, `words`: nothing), each other line is a value, a tab and what it is.
//!
//! It connects to no host, makes nothing, and is silent about whatever is wrong.

mod known;
pub mod line;

use super::{args::Cli, env, map};
use clap::{Arg, ArgAction, Command, CommandFactory as _, ValueHint};
use known::Known;
use line::{At, Line};
use std::{ffi::OsString, path::PathBuf};

/// Something that may come next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The word.
    pub value: String,
    /// What it is, in a few words; may be empty.
    pub about: String,
}

/// What else a shell may offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Also {
    /// Nothing.
    Words,
    /// Files.
    Files,
    /// Folders.
    Folders,
}

/// The answer to `svcops complete …`; none: something else was asked. It is no verb of the tree: a shell asks it, not a
/// person, and what follows is any unfinished line.
pub fn asked(args: &[OsString]) -> Option<String> {
    let (_, rest) = args.split_first()?;
    let said: Vec<String> = rest.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let (verb, said) = said.split_first()?;
    let (words, word): (Vec<String>, String) = match (verb.as_str(), said) {
        ("complete", [way, line]) if way == "--line" => {
            let (words, word) = line::split(line);
            (words.into_iter().skip(1).collect(), word)
        }
        ("complete", [dashes, words @ .., word]) if dashes == "--" => (words.to_vec(), word.clone()),
        _ => return None,
    };
    let (offers, also) = offers(&words, &word);
    let also = match also {
        Also::Words => "words",
        Also::Files => "files",
        Also::Folders => "folders",
    };
    let one_line = |text: &str| crate::ui::paint::plain(text).replace('\n', " ");
    let lines = offers.iter().map(|o| format!("{}\t{}\n", o.value, one_line(&o.about)));
    Some(format!("{also}\n{}", lines.collect::<String>()))
}

/// What may come next after these words, where `word` is being written.
pub fn offers(words: &[String], word: &str) -> (Vec<Offer>, Also) {
    let mut tree = map::tree(Cli::command(), 100);
    tree.build();
    let line = line::read(&tree, words, word);
    let Some(verb) = line.verb.iter().try_fold(&tree, |at, word| at.find_subcommand(word)) else {
        return (Vec::new(), Also::Words);
    };
    let (all, also) = match &line.at {
        At::Verb => (verbs(verb), Also::Words),
        At::Option | At::End => (options(verb, &line), Also::Words),
        At::Value(id) => match verb.get_arguments().find(|arg| arg.get_id() == id.as_str()) {
            Some(arg) => values(arg, &line),
            None => (Vec::new(), Also::Words),
        },
    };
    let fits = |offer: &Offer| offer.value.starts_with(&line.word);
    let kept = |offer: Offer| Offer { value: format!("{}{}", line.kept, offer.value), ..offer };
    (all.into_iter().filter(fits).map(kept).collect(), also)
}

impl Offer {
    fn new(value: impl Into<String>, about: impl Into<String>) -> Self {
        Self { value: value.into(), about: about.into() }
    }
}

fn verbs(at: &Command) -> Vec<Offer> {
    let about = |verb: &Command| verb.get_about().map(ToString::to_string).unwrap_or_default();
    let shown = at.get_subcommands().filter(|verb| !verb.is_hide_set());
    shown.map(|verb| Offer::new(verb.get_name(), about(verb))).collect()
}

/// Options that mean something here and were not given yet.
fn options(verb: &Command, line: &Line) -> Vec<Offer> {
    let again = |arg: &Arg| matches!(arg.get_action(), ArgAction::Append | ArgAction::Count);
    let useful = |arg: &&Arg| {
        let given = line.given.contains_key(arg.get_id().as_str()) && !again(arg);
        !arg.is_hide_set() && !arg.is_hide_short_help_set() && !given
    };
    let offer = |arg: &Arg| {
        let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
        Some(Offer::new(format!("--{}", arg.get_long()?), about.lines().next().unwrap_or_default()))
    };
    let (own, general): (Vec<&Arg>, Vec<&Arg>) =
        verb.get_arguments().filter(useful).partition(|arg| arg.get_help_heading().is_none());
    own.into_iter().chain(general).filter_map(offer).collect()
}

/// What an argument may be. The ids are those of the types in `args.rs` and in the verbs' own files.
fn values(arg: &Arg, line: &Line) -> (Vec<Offer>, Also) {
    let known = Known::new(line);
    let words = |offers| (offers, Also::Words);
    match arg.get_id().as_str() {
        "runbook" | "sudoers" => {
            let (offers, path) = (known.runbooks(), line.word.contains(['/', '.']));
            (offers, if path { Also::Files } else { Also::Words })
        }
        "run" | "failed_from" => words(known.runs(&line.verb)),
        "app" => words(known.apps()),
        "service" => words(known.services()),
        "site" | "to" | "confirm" => words(known.sites()),
        "names" => words(known.certificates()),
        "targets" => (known.certificates(), Also::Files),
        "issuer" => words(known.issuers()),
        "password" => words(known.secrets()),
        "selector" => words(known.selectors(&line.word)),
        "params" => words(known.params(line)),
        "task" | "skip" => words(known.tasks(line)),
        "ticket" | "id" => words(known.tickets(&line.verb)),
        _ => {
            let offer = |value: &clap::builder::PossibleValue| {
                Offer::new(value.get_name(), value.get_help().map(ToString::to_string).unwrap_or_default())
            };
            let possible = arg.get_possible_values().iter().filter(|v| !v.is_hide_set()).map(offer).collect();
            let folder = matches!(arg.get_id().as_str(), "dir" | "state" | "folder");
            match arg.get_value_hint() {
                ValueHint::DirPath => (possible, Also::Folders),
                ValueHint::AnyPath if folder => (possible, Also::Folders),
                ValueHint::AnyPath | ValueHint::FilePath => (possible, Also::Files),
                _ => words(possible),
            }
        }
    }
}

/// What `-C` and `--state` say, else their variables.
fn folder(line: &Line, id: &str, variable: &str) -> Option<PathBuf> {
    let given = line.given.get(id).and_then(|all| all.last()).cloned();
    given.or_else(|| env::value(variable)).map(PathBuf::from)
}
