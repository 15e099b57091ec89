use crate::Site;

#[test]
fn a_verb_of_a_later_version_is_refused_with_a_sentence() {
    let site = Site::new();
    insta::assert_snapshot!(site.svcops("failover switch crm --to dc2"), @r"
    exit: 2
    --- stderr
    error: `svcops failover` is not in version 0.1.0: it comes later, and switches a service between
           sites
    hint: `svcops --help` lists the verbs of this version
    ");
    for verb in
        ["demo", "init", "cert check", "scale set x 3", "access grant a b --for 4h", "schedule next", "ticket list"]
    {
        let output = site.svcops(verb).exits(2);
        assert!(output.stderr.contains("comes later"), "{output}");
    }
    for verb in ["report 01J9ZK3V7Q --html x", "rehearse x", "approve x", "store migrate"] {
        let output = site.svcops(verb).exits(2);
        assert!(output.stderr.contains("comes later"), "{output}");
    }
}

#[test]
fn wrong_usage_exits_2_and_names_the_word() {
    let site = Site::new();
    insta::assert_snapshot!(site.svcops("rnu x"), @r"
    exit: 2
    --- stderr
    error: unrecognized subcommand 'rnu'

    Usage: svcops [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(site.svcops("run x -p site"), @r"
    exit: 2
    --- stderr
    error: invalid value 'site' for '--param <K=V>': a parameter is written NAME=VALUE

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(site.svcops("resume nonsense"), @r"
    exit: 2
    --- stderr
    error: invalid value 'nonsense' for '<RUN>': `nonsense` is not a run id: ten digits or letters such as [RUN] expected

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(site.svcops("resolve 01J9ZK3V7Q 2.1 done"), @r"
    exit: 2
    --- stderr
    error: invalid value '2.1' for '<TASK>': a task is written STEP@HOST, as `svcops history show RUN` prints it

    For more information, try '--help'.
    ");
    site.svcops("").exits(2);
    site.svcops("run").exits(2);
    site.svcops("run x --parallel 0").exits(2);
    site.svcops("run x -o yaml").exits(2);
}

#[test]
fn wrong_usage_of_a_verb_that_checks_exits_3() {
    let site = Site::new();
    for words in ["doctor --nonsense", "app status", "app status billing --nonsense", "history verify --nonsense"] {
        site.svcops(words).exits(3);
    }
    site.svcops("app stop").exits(2);
    site.svcops("history list --nonsense").exits(2);
    site.svcops("-C doctor run").exits(2);
}

#[test]
fn an_option_that_means_nothing_to_a_verb_is_refused() {
    let site = Site::new();
    insta::assert_snapshot!(site.svcops("history list --yes"), @r"
    exit: 2
    --- stderr
    error: `svcops history list` has no use for `--yes`
    hint: `svcops history list --help` lists its options
    ");
    site.svcops("lint --limit 3").exits(2);
    site.svcops("plan x --ticket OPS-1").exits(2);
}

#[test]
fn colour_comes_only_when_it_is_asked_for() {
    let site = Site::new();
    assert!(!site.svcops("rnu").stderr.contains('\u{1b}'));
    assert!(site.svcops("demo --color always").stderr.contains("it comes later"));
    assert!(site.svcops("history list --yes --color always").stderr.contains('\u{1b}'));
    assert!(!site.svcops("history list --yes --color never").stderr.contains('\u{1b}'));
}
