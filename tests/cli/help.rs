use crate::Site;
use std::process::Command;

/// Every verb of the tree, as the binary's own help lists them.
fn verbs(site: &Site, words: &str) -> Vec<String> {
    let help = site.svcops(&format!("{words} --help")).exits(0).stdout;
    let Some((_, rest)) = help.split_once("Commands:\n") else { return vec![words.to_owned()] };
    let names = rest.lines().take_while(|l| l.starts_with("  "));
    let names = names.filter(|l| !l.starts_with("   ")).filter_map(|l| l.split_whitespace().next());
    let deeper = names.flat_map(|name| verbs(site, &format!("{words} {name}"))).collect::<Vec<_>>();
    [vec![words.to_owned()], deeper].concat()
}

#[test]
fn every_verb_has_help_with_an_example() {
    let site = Site::new();
    let verbs = verbs(&site, "");
    assert!(verbs.len() > 20, "{verbs:?}");
    for verb in verbs {
        let help = site.svcops(&format!("{verb} --help")).exits(0).stdout;
        assert!(help.contains("Examples:\n"), "`svcops {verb} --help` shows no example: {help}");
        assert!(
            help.lines().all(|l| l.chars().count() <= 100),
            "`svcops {verb} --help` is wider than the terminal: {help}"
        );
    }
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

    Commands:
      lint       Find every fault of svcops.yaml and of the runbooks, without a connection
      plan       Show what a run would change; changes nothing
      run        Plan a runbook, ask, carry it out
      resume     Go on with an interrupted, stopped or unknown run
      rollback   Bring back what a run changed, last first
      cancel     Ask a run to stop, from another terminal; end what a dead one left running
      resolve    Record what a person saw of an unknown outcome, or put right by hand
      owed       Show what failed runs left to be done
      history    Look at past runs, and check that nobody rewrote them
      app        Stop, start, restart or reload an app on its hosts, in batches; or look at it
      inventory  Show what svcops.yaml declares
      doctor     Say what is missing here and on the hosts
      schema     Print the JSON Schema of a file, for editors and scripts

    Options:
      -h, --help     Print help (see more with '--help')
      -V, --version  Print version

    Global options:
      -C, --dir <DIR>            The project's folder, where svcops.yaml is [env: SVCOPS_DIR]
          --state <DIR>          Where the journal and the locks are, instead of the project's own place
                                 [env: SVCOPS_STATE]
      -o, --output <OUTPUT>      The form of the answer: for people, as one JSON value, or as a stream
                                 of events (verbs that run something) [env: SVCOPS_OUTPUT] [default:
                                 table] [possible values: table, json, jsonl]
      -q, --quiet                Only the end, and what is wrong [env: SVCOPS_QUIET]
      -v, --verbose              More: what was skipped, what every act answered [env: SVCOPS_VERBOSE]
          --color <WHEN>         When to colour; NO_COLOR is obeyed too [env: SVCOPS_COLOR] [possible
                                 values: auto, always, never]
          --yes                  Answer yes to the question before a change; said each time, so it has
                                 no variable
          --parallel <N>         At most so many hosts side by side [env: SVCOPS_PARALLEL] [default: 32]
      -l, --selector <SELECTOR>  Only those of the runbook's hosts: a name, web[1-9], k=v, k!=v, k in
                                 (a,b), has:k; a comma means and [env: SVCOPS_SELECTOR]
          --limit <N>            Only the first N of those hosts [env: SVCOPS_LIMIT]
          --failed-from <RUN>    Only the hosts that failed in that run [env: SVCOPS_FAILED_FROM]
          --ticket <ID>          The ticket that this belongs to; recorded with the run [env:
                                 SVCOPS_TICKET]
          --reason <TEXT>        Why; recorded with the run

    `svcops --help` has examples and the exit codes; `svcops VERB --help` says more about a verb.
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
