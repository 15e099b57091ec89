use crate::Site;
use clap::CommandFactory as _;
use std::process::Command;

/// The tree of verbs as its users meet it.
fn tree() -> clap::Command {
    svcops::cli::map::tree(svcops::cli::args::Cli::command(), 100)
}

/// Every verb that is not kept for a later version, with its words.
fn verbs(at: &clap::Command, above: &[String]) -> Vec<(Vec<String>, clap::Command)> {
    let deeper = at.get_subcommands().filter(|verb| !verb.is_hide_set()).flat_map(|verb| {
        let words = [above, &[verb.get_name().to_owned()]].concat();
        verbs(verb, &words)
    });
    [(above.to_vec(), at.clone())].into_iter().chain(deeper).collect()
}

/// The lines below `Examples:`, without what they say of themselves and without what only a shell reads.
fn examples(verb: &clap::Command) -> Vec<String> {
    let long = verb.get_after_long_help().or_else(|| verb.get_after_help());
    let text = long.map(ToString::to_string).unwrap_or_default();
    let Some((_, rest)) = text.split_once("Examples:\n") else { return Vec::new() };
    let lines = rest.lines().take_while(|line| line.starts_with("  ")).map(str::trim);
    lines.map(|line| line.split("  ").next().unwrap().split(['<', '>']).next().unwrap().trim_end().to_owned()).collect()
}

#[test]
fn every_verb_has_an_example_of_its_own_that_parses() {
    let tree = tree();
    let verbs = verbs(&tree, &[]);
    assert!(verbs.len() > 20, "{}", verbs.len());
    for (words, verb) in verbs {
        let name = format!("svcops {}", words.join(" "));
        let examples = examples(&verb);
        assert!(!examples.is_empty(), "`{name} --help` shows no example");
        for example in examples {
            assert!(example.starts_with(name.trim()), "an example of `{name}` is one of another verb: {example}");
            if let Err(error) = tree.clone().try_get_matches_from(crate::split(&example)) {
                panic!("an example of `{name}` does not parse: {example}\n{error}");
            }
        }
    }
}

#[test]
fn the_help_of_every_verb_fits_its_terminal() {
    let site = Site::new();
    for (words, _) in verbs(&tree(), &[]) {
        for (form, columns) in [("-h", 80), ("--help", 80), ("--help", 200)] {
            let verb = words.join(" ");
            let mut command = site.command(&format!("{verb} {form}"));
            let output = command.env("COLUMNS", columns.to_string()).output().unwrap();
            let help = String::from_utf8(output.stdout).unwrap();
            assert_eq!(output.status.code(), Some(0), "{help}");
            let wide = help.lines().find(|line| line.chars().count() > columns.min(100));
            assert_eq!(wide, None, "`svcops {verb} {form}` is wider than {columns} columns");
            // a comment that is folded under its command is no longer beside it
            for line in examples_of(&help) {
                assert!(line.trim_start().starts_with("svcops "), "`svcops {verb} {form}` folds an example: {line}");
            }
        }
    }
}

fn examples_of(help: &str) -> Vec<&str> {
    let Some((_, rest)) = help.split_once("Examples:\n") else { return Vec::new() };
    rest.lines().take_while(|line| line.starts_with("  ")).collect()
}

#[test]
fn help_is_asked_for_in_either_way() {
    let site = Site::new();
    let long = site.svcops("app restart --help").exits(0).stdout;
    assert_eq!(site.svcops("help app restart").exits(0).stdout, long);
    assert!(site.svcops("help").exits(0).stdout.contains("Run things:"));
}

#[test]
fn every_exit_code_stands_in_the_help() {
    let help = Site::new().svcops("--help").exits(0).stdout;
    for code in svcops::cli::exit::ExitCode::ALL {
        let line = format!("{:>3}  {}", code.number(), code.meaning());
        assert!(help.contains(&line), "{line}");
    }
    for word in ["OK", "WARNING", "CRITICAL", "UNKNOWN"] {
        assert!(help.contains(word), "{word}");
    }
}

#[test]
fn the_short_help_lists_the_verbs() {
    insta::assert_snapshot!(Site::new().svcops("-h"), @r"
    exit: 0
    --- stdout
    Runbooks for scheduled maintenance: planned, carried out, undone if they fail, proven afterwards

    Usage: svcops [OPTIONS] <COMMAND>

    Run things:
      run          Plan a runbook, ask, carry it out
      app          Stop, start, restart or reload an app, in batches; look at it
      cert         Look at certificates: what is wrong with them, and until when; renew them
      failover     Move a service from one site to the other, and never make two primaries
      resume       Go on with an interrupted, stopped or unknown run
      rollback     Bring back what a run changed, last first
      cancel       Ask a run to stop, or end what a dead one left running
      resolve      Record what a person saw of an unknown outcome, or did about a debt

    Look:
      status       One look at all of it: apps, runs, debts, tickets, locks
      plan         Show what a run would change; changes nothing
      rehearse     Fail every step of a runbook on a simulated copy: where does it end?
      inventory    Show what svcops.yaml declares
      owed         Show what failed runs left to be done

    Prove:
      history      Look at past runs, and check that nobody rewrote them
      report       Write a run's report: a page, a note for a ticket, JUnit for CI
      ticket       Look at tickets, open one, say something in one

    Set up:
      demo         Show the whole product in half a minute, on this machine
      init         Make a project: a commented svcops.yaml and example runbooks
      lint         Find every fault of the project's files, without a connection
      doctor       Say what is missing here and on the hosts
      schema       Print the JSON Schema of a file, for editors and scripts
      completions  Print what makes a shell complete svcops
      man          Print the manual, or write its pages into a folder

    Options of every verb:
      -C, --dir <DIR>      The project's folder, where svcops.yaml is; else this one
          --state <DIR>    Where the journal and the locks are
      -o, --output <FORM>  The form of the answer [default: table] [possible values: table, json, jsonl]
      -q, --quiet          Only the end, and what is wrong
      -v, --verbose        More: every event, also of a large fleet
          --color <WHEN>   When to colour [possible values: auto, always, never]
      -h, --help           Print help (see more with '--help')
      -V, --version        Print version

    `svcops --help` has examples and the exit codes; `svcops VERB --help` has them of a verb.
    ");
}

#[test]
fn the_version_is_one_line_on_stdout() {
    let output = Site::new().svcops("--version").exits(0);
    assert_eq!(output.stdout, concat!("svcops ", env!("CARGO_PKG_VERSION"), "\n"));
    assert_eq!(output.stderr, "");
}

#[test]
fn help_into_a_closed_pipe_is_no_panic() {
    let site = Site::new();
    let mut shell = Command::new("sh");
    shell.arg("-c").arg("\"$0\" --help | true").arg(env!("CARGO_BIN_EXE_svcops")).current_dir(site.root());
    let output = shell.output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
