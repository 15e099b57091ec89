//! The command line: one file a verb, with its arguments, what it calls and how its answer is shown. No business logic.

pub mod again;
pub mod answers;
pub mod app;
pub mod apps;
pub mod args;
mod cert;
pub mod complete;
pub mod completions;
pub mod confirm;
mod csv;
pub mod demo;
pub mod doctor;
pub mod env;
pub mod exit;
mod failover;
pub mod history;
pub mod init;
pub mod inventory;
pub mod later;
pub mod lint;
pub mod man;
pub mod map;
pub mod opened;
pub mod order;
pub mod owed;
pub mod plan;
pub mod plan_view;
pub mod rehearse;
pub mod report;
pub mod run;
pub mod schema;
pub mod signals;
pub mod stage;
pub mod status;
pub mod sudoers;
pub mod ticket;
pub mod tickets;
pub mod usage;
pub mod words;

use crate::ui::{
    message::Message,
    screen::{Colour, Screen},
};
use args::{Cli, Global, Output, Verb, When};
use clap::{Command, CommandFactory as _, FromArgMatches as _, ValueEnum as _, error::ErrorKind};
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
    let wide = screen(None).width;
    let tree = map::tree(Cli::command().color(clap_colour(&args)), wide);
    let matches = match tree.clone().try_get_matches_from(&args) {
        Ok(matches) => matches,
        Err(error) => return unread(&tree, &args, &error),
    };
    let (words, last) = map::path(&matches);
    if let Some(refusal) = words.first().and_then(|verb| later::refusal(verb)) {
        return told(&screen(None), Output::Table, &refusal, ExitCode::Wrong);
    }
    let Cli { global, verb } = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return unread(&tree, &args, &error),
    };
    let face = Face { screen: screen(global.color), global };
    let foreign = usage::foreign_option(&words, last).or_else(|| usage::foreign_form(&words, face.global.output));
    let foreign = foreign.map(Failure::wrong);
    let done = foreign.map_or_else(|| face.go(verb), Err);
    done.unwrap_or_else(|failure| {
        let code = if failure.code == ExitCode::Wrong { usage::wrong(&words) } else { failure.code };
        told(&face.screen, face.global.output, &failure.message, code)
    })
}

/// Help and the version are data; anything else is wrong usage.
fn unread(tree: &Command, args: &[OsString], error: &clap::Error) -> ExitCode {
    use ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand as NoVerb, DisplayVersion};
    let words = usage::words(tree, args);
    if let DisplayHelp | DisplayVersion = error.kind() {
        let screen = screen(usage::written(args, "--color", None).and_then(|when| When::from_str(&when, false).ok()));
        let text = error.render();
        screen.data(&if screen.data_paint.on() { text.ansi().to_string() } else { text.to_string() });
        return ExitCode::Done;
    }
    let output = usage::written(args, "--output", Some("-o")).or_else(|| env::value(env::OUTPUT));
    let output = output.and_then(|form| Output::from_str(&form, false).ok()).unwrap_or_default();
    let when = usage::written(args, "--color", None).and_then(|when| When::from_str(&when, false).ok());
    let screen = screen(when);
    if let (NoVerb | ErrorKind::MissingSubcommand, Output::Table) = (error.kind(), output) {
        screen.note(&usage::short_help(tree, &words, screen.paint.on()));
        return usage::wrong(&words);
    }
    told(&screen, output, &usage::message(tree, &words, error), usage::wrong(&words))
}

/// Tells why a command ended: people on stderr, and a machine that asked for JSON on stdout as well.
fn told(screen: &Screen, output: Output, message: &Message, code: ExitCode) -> ExitCode {
    screen.tell(message);
    match output {
        Output::Table
        | Output::Html
        | Output::Markdown
        | Output::Junit
        | Output::Nagios
        | Output::Prometheus
        | Output::Csv => {}
        Output::Json => screen.json(&message.json(code.number())),
        Output::Jsonl => screen.data(&format!("{}\n", message.json(code.number()))),
    }
    code
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
            Verb::Man(args) => self.man(&args),
            Verb::Completions(args) => self.completions(args),
            Verb::Schema(args) => self.schema(&args),
            Verb::Cert(of) => self.cert(&of),
            Verb::Failover(args) => self.failover(&args),
            Verb::Inventory(of) => self.inventory(of),
            Verb::History(of) => self.history(&of),
            Verb::Owed(args) => self.owed(args),
            Verb::Report(args) => self.report(&args),
            Verb::Status(args) => self.status(args),
            Verb::Doctor(args) => self.doctor(&args),
            Verb::App(of) => apps::app(self, &of),
            Verb::Plan(args) => plan::plan(self, &args),
            Verb::Rehearse(args) => self.rehearse(&args),
            Verb::Run(args) => run::run(self, &args),
            Verb::Resume(args) => again::resume(self, &args),
            Verb::Rollback(args) => again::rollback(self, &args),
            Verb::Cancel(args) => again::cancel(self, &args),
            Verb::Resolve(args) => again::resolve(self, &args),
            Verb::Ticket(of) => ticket::ticket(self, &of),
            Verb::Demo(args) => demo::demo(self, &args),
            Verb::Init(args) => init::init(self, &args),
            Verb::DemoApp(args) => demo::node::act(&args),
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

/// The streams, as the command line, the environment and the terminal say.
fn screen(asked: Option<When>) -> Screen {
    let columns = env::value(env::COLUMNS).and_then(|c| c.parse().ok());
    let locale = env::LOCALE.into_iter().find_map(env::value).unwrap_or_default();
    Screen::ask(colour(asked), columns).with(&locale, dumb())
}

fn dumb() -> bool {
    env::value(env::TERM).as_deref() == Some("dumb")
}

fn colour(asked: Option<When>) -> Colour {
    match asked {
        Some(When::Always) => Colour::Always,
        Some(When::Never) => Colour::Never,
        None if env::value(env::NO_COLOR).is_some() || dumb() => Colour::Never,
        Some(When::Auto) | None => Colour::Auto,
    }
}

/// Clap draws its help before the line is parsed, so `--color` is looked for by hand.
fn clap_colour(args: &[OsString]) -> clap::ColorChoice {
    match usage::written(args, "--color", None).as_deref() {
        Some("always") => clap::ColorChoice::Always,
        Some("never") => clap::ColorChoice::Never,
        _ => clap::ColorChoice::Auto,
    }
}
