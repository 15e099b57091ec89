//! The command line as types. It mirrors what is written; what it means is found out in the files of the verbs.

use super::{demo, env, exit::ExitCode, init, report};
use crate::base::{RunId, TaskId};
use clap::{Args, Parser, Subcommand, ValueEnum, builder::FalseyValueParser};
use std::path::PathBuf;

/// Runbooks for scheduled maintenance: planned, carried out, undone if they fail, proven afterwards.
#[derive(Debug, Parser)]
#[command(
    name = "svcops",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "`svcops --help` has examples and the exit codes; `svcops VERB --help` has them of a verb.",
    after_long_help = format!("{EXAMPLES}\n\n{}", ExitCode::table()),
)]
pub struct Cli {
    /// Options of every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  svcops lint                              every fault of every file at once
  svcops plan billing-restart -p site=dc1  what a run would change
  svcops run billing-restart -p site=dc1   show that, ask, carry it out
  svcops app restart billing --site dc1    the same, without a runbook
  svcops history show last                 what happened
  svcops resume last                       go on after an interruption";

const HOSTS: &str = "Which hosts";
const CHANGE: &str = "For a change";

/// Options of every verb.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every verb")]
pub struct Global {
    /// The project's folder, where svcops.yaml is; else this one
    #[arg(short = 'C', long = "dir", global = true, value_name = "DIR", env = env::DIR, default_value = ".", hide_default_value = true)]
    pub dir: PathBuf,
    /// Where the journal and the locks are
    ///
    /// Without it they are in /var/lib/svcops, where `svcops doctor --prepare` has made that; else below ~/.local/state,
    /// and then nobody else sees them.
    #[arg(long, global = true, value_name = "DIR", env = env::STATE)]
    pub state: Option<PathBuf>,
    /// The form of the answer
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORM", env = env::OUTPUT)]
    pub output: Output,
    /// Only the end, and what is wrong
    #[arg(short, long, global = true, env = env::QUIET, value_parser = FalseyValueParser::new(), conflicts_with = "verbose")]
    pub quiet: bool,
    /// More: every event, also of a large fleet
    #[arg(short, long, global = true, env = env::VERBOSE, value_parser = FalseyValueParser::new())]
    pub verbose: bool,
    /// When to colour
    ///
    /// NO_COLOR and TERM=dumb are obeyed, unless this says always. Colour says nothing that the words lack.
    #[arg(long, global = true, value_enum, value_name = "WHEN", env = env::COLOR)]
    pub color: Option<When>,
    /// Only these of the hosts: NAME, web[1-9], k=v, has:k
    ///
    /// A name, a range as in web[1-9], a label: k=v, k!=v, k in (a,b), has:k. A comma means and. It narrows what a runbook's
    /// `targets:` say, and never adds a host.
    #[arg(short = 'l', long = "selector", global = true, help_heading = HOSTS, value_name = "SELECTOR", env = env::SELECTOR)]
    pub selector: Option<String>,
    /// Only the first N of those hosts
    #[arg(long, global = true, help_heading = HOSTS, value_name = "N", env = env::LIMIT, value_parser = at_least_one)]
    pub limit: Option<usize>,
    /// Only the hosts that this run did not bring to its end
    ///
    /// Those on which something failed or is unknown, those that were taken back, and those that it never reached.
    #[arg(long, global = true, help_heading = HOSTS, value_name = "RUN", env = env::FAILED_FROM, value_parser = run_name)]
    pub failed_from: Option<RunName>,
    /// At most so many hosts side by side
    #[arg(long, global = true, help_heading = HOSTS, value_name = "N", env = env::PARALLEL, default_value = "32", value_parser = at_least_one)]
    pub parallel: usize,
    /// Answer yes to the question before a change
    ///
    /// For cron and CI. It is said each time, so it has no variable; it does not answer a `pause` of a runbook.
    #[arg(long, global = true, help_heading = CHANGE)]
    pub yes: bool,
    /// The ticket that this belongs to; recorded with the run
    #[arg(long, global = true, help_heading = CHANGE, value_name = "ID", env = env::TICKET)]
    pub ticket: Option<String>,
    /// Why; recorded with the run
    #[arg(long, global = true, help_heading = CHANGE, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Table,
    /// One JSON value
    Json,
    /// One JSON value a line: the events of a run
    Jsonl,
    /// A page; only of `report` and `cert check`
    #[value(hide = true)]
    Html,
    /// A note for a ticket; only of `report`
    #[value(hide = true)]
    Markdown,
    /// JUnit's XML; only of `report`
    #[value(hide = true)]
    Junit,
    /// Lines for Nagios and its kin; only of `cert check`
    #[value(hide = true)]
    Nagios,
    /// For a textfile collector; only of `cert check`
    #[value(hide = true)]
    Prometheus,
    /// For a spreadsheet; only of `cert check`
    #[value(hide = true)]
    Csv,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show the whole product in half a minute, on this machine
    #[command(after_help = "Examples:
  svcops demo
  svcops demo --clean    remove what demos have left

It makes a project in the folder for temporary files (TMPDIR) and starts three servers on 127.0.0.1 to act on; no real host, project or journal is touched. At its end the servers are stopped; the folder stays, to be looked at.

Exit code: 0; 1 where an act did not end as it should; 130 on Ctrl-C.")]
    Demo(demo::Demo),
    /// Make a project: a commented svcops.yaml and example runbooks
    #[command(after_help = "Examples:
  svcops init                                  here; asks on a terminal
  svcops init crm --host web1 --app billing    by `ssh web1`; billing.service
  svcops init crm --app billing --control /opt/billing/ctl

Nothing that is there is written over. Nothing is asked with an option or --yes, or where there is no terminal.")]
    Init(init::Init),
    /// A node of the demo's shop
    #[command(hide = true)]
    DemoApp(demo::node::DemoApp),
    /// Find every fault of the project's files, without a connection
    #[command(after_help = "Examples:
  svcops lint                         svcops.yaml and runbooks/**/*.yaml
  svcops lint runbooks/failover.yaml  one file
  svcops lint --strict                in CI: a warning counts too

Exit code: 0, or 2 for any fault (with --strict for a warning too).")]
    Lint(Lint),
    /// Show what a run would change; changes nothing
    #[command(after_help = "Examples:
  svcops plan billing-restart -p site=dc1
  svcops plan billing-restart --save plan.json     for `svcops run --plan`
  svcops plan billing-restart --detailed-exitcode  exit 10 for changes
  svcops plan billing-restart -l dc1-app1          for one of its hosts

Exit code: 0; 1 where something could not be observed; 10 with --detailed-exitcode for changes.")]
    Plan(PlanArgs),
    /// Fail every step of a runbook on a simulated copy: where does it end?
    #[command(after_help = super::rehearse::EXAMPLES)]
    Rehearse(super::rehearse::RehearseArgs),
    /// Plan a runbook, ask, carry it out
    #[command(after_help = "Examples:
  svcops run billing-restart -p site=dc1
  svcops run billing-restart -p site=dc1 --yes   from cron: nobody is asked
  svcops run --plan plan.json                    only if the plan still holds
  svcops run billing-restart --failed-from last  where it failed, once more
  svcops run billing-restart -o jsonl --yes      its events, as they happen

Ctrl-C once: finish what is under way, run `always` steps, stop. Twice: end it on the hosts too.

Exit code: 0 done; 1 failed, all is as before; 2 wrong usage or file; 3 failed, something stands or is owed; 4 unknown; 75 not now; 77 not allowed; 130 interrupted.")]
    Run(RunArgs),
    /// Go on with an interrupted, stopped or unknown run
    #[command(after_help = "Examples:
  svcops resume last
  svcops resume 01J9ZK3V7Q
  svcops resume 01J9ZK3V7Q --skip 2.1@web-3 --reason 'host is gone'

The runbook as it was recorded is used; nothing that was done is done again.")]
    Resume(Resume),
    /// Bring back what a run changed, last first
    #[command(after_help = "Examples:
  svcops rollback last
  svcops rollback 01J9ZK3V7Q --reason 'the new version is slow'

What is as it was before is left alone.")]
    Rollback(OneRun),
    /// Ask a run to stop, or end what a dead one left running
    #[command(after_help = "Examples:
  svcops cancel 01J9ZK3V7Q
  svcops cancel last

As Ctrl-C there: finish what is under way, run `always` steps, stop. Twice: end it on the hosts too.")]
    Cancel(OneRun),
    /// Record what a person saw of an unknown outcome, or did about a debt
    ///
    /// A debt is settled with `done` once it was put right by hand: the undo of a task that could not be made in a run that
    /// is over. `svcops owed` lists the debts.
    #[command(after_help = "Examples:
  svcops resolve 01J9ZK3V7Q 2.2@web-3 done --reason 'service is up'
  svcops resolve 01J9ZK3V7Q 2.2@web-3 not-done --reason 'reinstalled'")]
    Resolve(Resolve),
    /// Show what failed runs left to be done
    #[command(after_help = "Examples:
  svcops owed
  svcops owed -o json")]
    Owed(Owed),
    /// One look at all of it: apps, runs, debts, tickets, locks
    #[command(after_help = super::status::EXAMPLES)]
    Status(super::status::Args),
    /// Look at past runs, and check that nobody rewrote them
    #[command(
        subcommand,
        disable_help_subcommand = true,
        after_help = "Examples:
  svcops history list
  svcops history show last
  svcops history verify"
    )]
    History(History),
    /// Write a run's report: a page, a note for a ticket, JUnit for CI
    #[command(after_help = report::EXAMPLES)]
    Report(report::ReportArgs),
    /// Look at tickets, open one, say something in one
    #[command(
        subcommand,
        disable_help_subcommand = true,
        after_help = "Examples:
  svcops ticket list
  svcops ticket show last  the ticket of the newest run
  svcops ticket new 'Kernel update'"
    )]
    Ticket(super::ticket::Ticket),
    /// Stop, start, restart or reload an app, in batches; look at it
    #[command(
        subcommand,
        disable_help_subcommand = true,
        after_help = "Examples:
  svcops app restart billing --site dc1
  svcops app stop billing -l dc1-app1
  svcops app restart billing --show > runbooks/billing-restart.yaml
  svcops app status billing"
    )]
    App(App),
    /// Look at certificates: what is wrong with them, and until when; renew them
    #[command(
        subcommand,
        disable_help_subcommand = true,
        after_help = "Examples:
  svcops cert check crm.example.org
  svcops cert check /etc/ssl/crm/
  svcops cert renew billing-tls"
    )]
    Cert(super::cert::Cert),
    /// Move a service from one site to the other, and never make two primaries
    #[command(disable_help_subcommand = true, after_help = super::failover::EXAMPLES)]
    Failover(super::failover::Args),
    /// Show what svcops.yaml declares
    #[command(
        subcommand,
        disable_help_subcommand = true,
        after_help = "Examples:
  svcops inventory hosts -l role=app,site=dc1
  svcops inventory apps -o json
  svcops inventory services"
    )]
    Inventory(super::inventory::Kind),
    /// Say what is missing here and on the hosts
    #[command(after_help = "Examples:
  svcops doctor
  svcops doctor -l dc1-app1                one host, the way there step by step
  svcops doctor -l role=db                 also: what a failover needs there
  svcops doctor --prepare                  make the shared state directory
  svcops doctor --sudoers billing-restart  the lines for its sudoers

Exit code: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (also wrong usage).")]
    Doctor(Doctor),
    /// Print what makes a shell complete svcops
    #[command(after_help = super::completions::EXAMPLES)]
    Completions(super::completions::Args),
    /// Print the manual, or write its pages into a folder
    #[command(after_help = super::man::EXAMPLES)]
    Man(super::man::Args),
    /// Print the JSON Schema of a file, for editors and scripts
    #[command(after_help = "Examples:
  svcops schema project > project.schema.json
  svcops schema runbook > runbook.schema.json
  svcops schema events")]
    Schema(Schema),
}

/// `lint`.
#[derive(Debug, Args)]
pub struct Lint {
    /// Files or folders; svcops.yaml and runbooks/**/*.yaml unless given
    pub paths: Vec<PathBuf>,
    /// A warning counts as a fault
    #[arg(long)]
    pub strict: bool,
}

/// `-p`.
#[derive(Debug, Default, Args)]
pub struct Params {
    /// A parameter of the runbook; may be repeated
    #[arg(short = 'p', long = "param", value_name = "K=V", value_parser = param)]
    pub params: Vec<(String, String)>,
}

/// `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// A runbook: its name, or its file
    pub runbook: String,
    /// Its parameters.
    #[command(flatten)]
    pub params: Params,
    /// Pin the plan in this file, for `svcops run --plan`
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Refuse a plan in which something is conditional or opaque
    #[arg(long)]
    pub require_exact: bool,
    /// Exit 10 where something would change
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A runbook: its name, or its file
    #[arg(required_unless_present = "plan")]
    pub runbook: Option<String>,
    /// Its parameters.
    #[command(flatten)]
    pub params: Params,
    /// Carry out this saved plan, if it still holds
    #[arg(long, value_name = "FILE", conflicts_with = "params")]
    pub plan: Option<PathBuf>,
    /// Refuse a plan in which something is conditional or opaque
    #[arg(long)]
    pub require_exact: bool,
}

/// `resume`.
#[derive(Debug, Args)]
pub struct Resume {
    /// The run, or `last`
    #[arg(value_parser = run_name)]
    pub run: RunName,
    /// Leave this task out (STEP@HOST, as `history show` prints it); needs --reason; may be repeated
    #[arg(long, value_name = "TASK", value_parser = task)]
    pub skip: Vec<TaskId>,
}

/// A verb that takes one run.
#[derive(Debug, Args)]
pub struct OneRun {
    /// The run, or `last`
    #[arg(value_parser = run_name)]
    pub run: RunName,
}

/// A run's id, or `last` for the newest one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunName(pub String);

/// `resolve`.
#[derive(Debug, Args)]
pub struct Resolve {
    /// The run, or `last`
    #[arg(value_parser = run_name)]
    pub run: RunName,
    /// The task: STEP@HOST, as `history show` prints it
    #[arg(value_parser = task)]
    pub task: TaskId,
    /// What was seen
    #[arg(value_enum)]
    pub saw: Saw,
}

/// What a person saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Saw {
    /// The act was carried out
    Done,
    /// It was not
    NotDone,
}

/// `owed`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Owed {
    /// Of every project in this state directory, not only of the one here
    #[arg(long)]
    pub all_projects: bool,
}

/// `history`.
#[derive(Debug, Subcommand)]
pub enum History {
    /// The runs, newest first
    #[command(after_help = super::history::list::EXAMPLES)]
    List(super::history::list::List),
    /// One run: its tasks, what they changed, what they said
    #[command(after_help = "Examples:
  svcops history show last
  svcops history show 01J9ZK3V7Q --follow  until it ends
  svcops history show last -o jsonl        its events as they were recorded")]
    Show {
        /// The run, or `last`
        #[arg(value_parser = run_name)]
        run: RunName,
        /// Go on until it ends
        #[arg(long, short)]
        follow: bool,
    },
    /// One run as a file that proves itself: events, plan, report
    #[command(after_help = super::history::export::EXAMPLES)]
    Export(super::history::export::Export),
    /// Take old runs out of the journal; what is left stays provable
    #[command(after_help = super::history::prune::EXAMPLES)]
    Prune(super::history::prune::Prune),
    /// Recompute the chain of hashes: was an event changed, added or taken away?
    #[command(after_help = "Examples:
  svcops history verify
  svcops history verify --against anchor.json  sees a cut tail, too
  svcops history verify --against ticket.txt --allowed-signers signers
  svcops history verify --against -  what journalctl -t svcops prints
  svcops history verify svcops-01J9ZK3V7Q.tar  a bundle, on any machine

Exit code: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (also wrong usage).")]
    Verify {
        /// A bundle of `history export`, instead of the journal; needs no project
        #[arg(value_name = "BUNDLE", value_hint = clap::ValueHint::FilePath)]
        bundle: Option<PathBuf>,
        /// An anchor kept elsewhere, or a file (- is stdin): a ticket, a log; else a cut tail goes unseen
        #[arg(long, value_name = "ANCHOR")]
        against: Option<String>,
        /// Check signatures by this file of ssh-keygen(1), not by the one that the project names
        #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        allowed_signers: Option<PathBuf>,
        /// Keys whose signatures count no more: public keys, or a KRL
        #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        revoked_keys: Option<PathBuf>,
    },
}

/// `app`.
#[derive(Debug, Subcommand)]
pub enum App {
    /// Stop it, the apps that require it first
    #[command(after_help = "Examples:
  svcops app stop billing --site dc1 --reason 'disk replacement'")]
    Stop(AppActs),
    /// Start it, the apps that it requires first
    #[command(after_help = "Examples:
  svcops app start billing
  svcops app start billing --site dc2")]
    Start(AppActs),
    /// Restart it, batch by batch, drained on its balancer meanwhile
    #[command(after_help = "Examples:
  svcops app restart billing --site dc1
  svcops app restart billing --show        print the runbook, run nothing
  svcops app restart billing -l dc1-app1   on one of its hosts")]
    Restart(AppActs),
    /// Make it read its configuration again, batch by batch
    #[command(after_help = "Examples:
  svcops app reload billing
  svcops app reload billing --yes --ticket OPS-4412")]
    Reload(AppActs),
    /// Show whether it runs, and how healthy it is
    #[command(after_help = "Examples:
  svcops app status billing
  svcops app status billing --site dc1 -o json

Exit code: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (also wrong usage).")]
    Status(AppLooks),
}

/// A verb that acts on an app.
#[derive(Debug, Args)]
pub struct AppActs {
    /// The app
    pub app: String,
    /// Only its hosts at this site
    #[arg(long, value_name = "S")]
    pub site: Option<String>,
    /// Print the runbook instead of running it
    #[arg(long)]
    pub show: bool,
}

/// `app status`.
#[derive(Debug, Args)]
pub struct AppLooks {
    /// The app
    pub app: String,
    /// Only its hosts at this site
    #[arg(long, value_name = "S")]
    pub site: Option<String>,
}

/// `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Make the shared state directory /var/lib/svcops and its group (as root)
    #[arg(long)]
    pub prepare: bool,
    /// Print the sudoers lines that this runbook needs
    #[arg(long, value_name = "RUNBOOK")]
    pub sudoers: Option<String>,
}

/// `schema`.
#[derive(Debug, Args)]
pub struct Schema {
    /// Of what
    #[arg(value_enum)]
    pub of: SchemaOf,
}

/// What has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// svcops.yaml
    Project,
    /// A runbook
    Runbook,
    /// The lines of `-o jsonl`
    Events,
}

pub(super) fn run_name(text: &str) -> Result<RunName, String> {
    if text == "last" {
        return Ok(RunName(text.to_owned()));
    }
    text.parse::<RunId>().map(|id| RunName(id.to_string())).map_err(|e| e.to_string())
}

fn param(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a parameter is written NAME=VALUE".into()),
    }
}

fn task(text: &str) -> Result<TaskId, String> {
    match text.split_once('@') {
        Some((step, host)) if !step.is_empty() && !host.is_empty() => Ok(TaskId::from(text)),
        _ => Err("a task is written STEP@HOST, as `svcops history show RUN` prints it".into()),
    }
}

pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse::<usize>().ok().filter(|n| *n > 0).ok_or_else(|| "a number from 1 expected".into())
}
