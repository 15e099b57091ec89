//! The command line: one file a verb, with its arguments, what it calls and how its answer is shown. No business logic.

pub mod again;
pub mod answers;
pub mod app;
pub mod apps;
pub mod args;
pub mod complete;
pub mod completions;
pub mod doctor;
pub mod env;
pub mod exit;
pub mod history;
pub mod inventory;
pub mod later;
pub mod lint;
pub mod map;
pub mod opened;
pub mod order;
pub mod owed;
pub mod plan;
pub mod plan_view;
pub mod run;
pub mod schema;
pub mod signals;
pub mod stage;
pub mod status;
pub mod sudoers;
pub mod words;

use crate::ui::{
    message::Message,
    screen::{Colour, Screen},
};
use args::{Cli, Global, Output, Verb, When};
use clap::{ArgMatches, Command, CommandFactory as _, FromArgMatches as _, error::ErrorKind, parser::ValueSource};
use exit::ExitCode;
use std::ffi::OsString;
use words::Failure;

/// Does what the command line says.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(answer) = complete::asked(&args) {
        Screen::ask(Colour::Never, None).data(&answer);
        return ExitCode::Done;
    }
    let wide = Screen::ask(Colour::Never, columns()).width;
    let tree = map::tree(Cli::command().color(clap_colour(&args)), wide);
    let matches = match tree.clone().try_get_matches_from(&args) {
        Ok(matches) => matches,
        Err(error) => return unparsed(tree, &args, &error),
    };
    let (words, last) = path(&matches);
    let screen = Screen::ask(colour(None), columns());
    if let Some(refusal) = words.first().and_then(|verb| later::refusal(verb)) {
        screen.tell(&refusal);
        return ExitCode::Wrong;
    }
    let wrong = wrong_usage(&words);
    let Cli { global, verb } = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return unparsed(tree, &args, &error),
    };
    let face = Face { screen: Screen::ask(colour(global.color), columns()), global };
    let done = foreign_option(&words, last).map_or_else(|| face.go(verb), Err);
    done.unwrap_or_else(|failure| {
        face.screen.tell(&failure.message);
        if failure.code == ExitCode::Wrong { wrong } else { failure.code }
    })
}

/// What every verb is called with.
#[derive(Debug)]
pub struct Face {
    /// Options of every verb.
    pub global: Global,
    /// Where text goes.
    pub screen: Screen,
}

impl Face {
    fn go(&self, verb: Verb) -> Result<ExitCode, Failure> {
        log();
        match verb {
            Verb::Lint(args) => self.lint(&args),
            Verb::Completions(args) => self.completions(args),
            Verb::Schema(args) => self.schema(&args),
            Verb::Inventory(of) => self.inventory(of),
            Verb::History(of) => self.history(&of),
            Verb::Owed => self.owed(),
            Verb::Status(args) => self.status(args),
            Verb::Doctor(args) => self.doctor(&args),
            Verb::App(of) => apps::app(self, &of),
            Verb::Plan(args) => plan::plan(self, &args),
            Verb::Run(args) => run::run(self, &args),
            Verb::Resume(args) => again::resume(self, &args),
            Verb::Rollback(args) => again::rollback(self, &args),
            Verb::Cancel(args) => again::cancel(self, &args),
            Verb::Resolve(args) => again::resolve(self, &args),
        }
    }
    /// `-o jsonl` belongs to verbs that stream events.
    pub fn no_stream(&self) -> Result<(), Failure> {
        if self.global.output == Output::Jsonl {
            return Err(Failure::wrong(
                Message::error(
                    "`-o jsonl` belongs to verbs that have events: `run`, `resume`, `rollback`, `app`, `history show`",
                )
                .hint("`-o json` gives one value"),
            ));
        }
        Ok(())
    }
    /// A runtime for verbs that talk to hosts. Built only where one is needed: `--help` must not wait for it.
    pub fn runtime(&self) -> Result<tokio::runtime::Runtime, Failure> {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|e| Failure::wrong(Message::error("could not start worker threads").because(e.to_string())))
    }
}

/// What svcops itself does, for whoever looks for a fault in it: `SVCOPS_LOG=svcops=debug`.
fn log() {
    if let Some(filter) = env::value(env::LOG) {
        let filter = tracing_subscriber::EnvFilter::new(filter);
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
        drop(log.try_init());
    }
}

fn colour(asked: Option<When>) -> Colour {
    let dumb = env::value(env::TERM).as_deref() == Some("dumb");
    match asked {
        Some(When::Always) => Colour::Always,
        Some(When::Never) => Colour::Never,
        None if env::value(env::NO_COLOR).is_some() || dumb => Colour::Never,
        Some(When::Auto) | None => Colour::Auto,
    }
}

fn columns() -> Option<usize> {
    env::value(env::COLUMNS).and_then(|c| c.parse().ok())
}

/// Clap words its errors before the line is parsed, so `--color` is looked for by hand.
fn clap_colour(args: &[OsString]) -> clap::ColorChoice {
    let mut words = args.iter().filter_map(|a| a.to_str());
    while let Some(word) = words.next() {
        let value = if word == "--color" { words.next() } else { word.strip_prefix("--color=") };
        match value {
            Some("always") => return clap::ColorChoice::Always,
            Some("never") => return clap::ColorChoice::Never,
            _ => {}
        }
    }
    clap::ColorChoice::Auto
}

/// Help and the version are data; anything else is wrong usage.
fn unparsed(tree: Command, args: &[OsString], error: &clap::Error) -> ExitCode {
    // Who asked for help has gone if this fails: nobody is left to tell.
    drop(error.print());
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::Done,
        _ => {
            let words = tree.ignore_errors(true).try_get_matches_from(args).map(|m| path(&m).0);
            words.map_or(ExitCode::Wrong, |words| wrong_usage(&words))
        }
    }
}

/// The words of the verb, and the matches of the last of them.
fn path(matches: &ArgMatches) -> (Vec<String>, &ArgMatches) {
    let (mut words, mut last) = (Vec::new(), matches);
    while let Some((word, next)) = last.subcommand() {
        words.push(word.to_owned());
        last = next;
    }
    (words, last)
}

/// For a verb that checks, 2 is CRITICAL: its wrong usage is 3, UNKNOWN.
fn wrong_usage(words: &[String]) -> ExitCode {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["app", "status", ..] | ["status" | "doctor", ..] | ["history", "verify", ..] => ExitCode::Stands,
        _ => ExitCode::Wrong,
    }
}

/// An option of every verb that means nothing to this one is refused, never ignored. A variable may mean nothing.
fn foreign_option(words: &[String], matches: &ArgMatches) -> Option<Failure> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let known = map::known(&words);
    let given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let foreign = map::PARTIAL.iter().find(|id| given(id) && !known.contains(id))?;
    let option = foreign.replace('_', "-");
    Some(Failure::wrong(
        Message::error(format!("`svcops {}` has no use for `--{option}`", words.join(" ")))
            .hint(format!("`svcops {} --help` lists its options", words.join(" "))),
    ))
}
