use crate::Site;

#[test]
fn a_verb_of_a_later_version_is_refused_with_a_sentence() {
    let site = Site::new();
    insta::assert_snapshot!(site.svcops("scale set billing 3"), @r"
    exit: 2
    --- stderr
    error: `svcops scale` is not in version 0.1.0: it comes later, and scales an app on Kubernetes
    hint: `svcops --help` lists the verbs of this version
    ");
    for verb in ["scale set x 3", "access grant a b --for 4h", "schedule next"] {
        let output = site.svcops(verb).exits(2);
        assert!(output.stderr.contains("comes later"), "{output}");
    }
    for verb in ["approve x", "store migrate"] {
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
    error: `svcops` has no verb `rnu`
    hint: did you mean `svcops run`?
    ");
    insta::assert_snapshot!(site.svcops("run x -p site"), @r"
    exit: 2
    --- stderr
    error: `--param <K=V>` cannot be `site`: a parameter is written NAME=VALUE
    hint: `svcops run --help` has its options and examples
    ");
    insta::assert_snapshot!(site.svcops("resume nonsense"), @r"
    exit: 2
    --- stderr
    error: `<RUN>` cannot be `nonsense`: `nonsense` is not a run id: ten digits or letters such as
           [RUN] expected
    hint: `svcops resume --help` has its options and examples
    ");
    insta::assert_snapshot!(site.svcops("resolve 01J9ZK3V7Q 2.1 done"), @r"
    exit: 2
    --- stderr
    error: `<TASK>` cannot be `2.1`: a task is written STEP@HOST, as `svcops history show RUN` prints it
    hint: `svcops resolve --help` has its options and examples
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
    site.svcops("demo --state x").exits(2);
}

#[test]
fn colour_comes_only_when_it_is_asked_for() {
    let site = Site::new();
    assert!(!site.svcops("rnu").stderr.contains('\u{1b}'));
    assert!(site.svcops("store --color always").stderr.contains("it comes later"));
    assert!(site.svcops("history list --yes --color always").stderr.contains('\u{1b}'));
    assert!(!site.svcops("history list --yes --color never").stderr.contains('\u{1b}'));
}

#[test]
fn a_slip_of_the_hand_is_answered_with_the_word_that_was_meant() {
    let site = Site::new();
    for (typed, meant) in [
        ("rnu x", "`svcops run`"),
        ("app resatrt billing", "`svcops app restart`"),
        ("run x --paralel 3", "`--parallel`"),
        ("run x -o jsn", "`json`"),
        ("histroy list", "`svcops history`"),
    ] {
        let output = site.svcops(typed).exits(2);
        assert!(output.stderr.contains(&format!("hint: did you mean {meant}?")), "{output}");
    }
    // an option that would be refused is no answer
    assert!(!site.svcops("lint --resaon x").exits(2).stderr.contains("did you mean"));
}

#[test]
fn a_machine_that_asked_for_json_gets_the_error_as_json_too() {
    let site = Site::new().host("web-1");
    for (words, code, message) in [
        ("lint --nonsense -o json", 2, "`svcops lint` has no option `--nonsense`"),
        ("run nothing --yes -o json", 2, "there is no runbook `nothing`: no file `runbooks/nothing.yaml`"),
        ("history list --yes -o json", 2, "`svcops history list` has no use for `--yes`"),
        ("app status billing -o json", 3, "svcops.yaml has no app `billing`"),
        ("history show 01J9ZK3V7Q -o jsonl", 2, "no run `01J9ZK3V7Q` in this state directory"),
    ] {
        let output = site.svcops(words).exits(code);
        let json = output.json();
        assert_eq!(json["schema_version"], 1, "{output}");
        assert_eq!(json["error"]["message"], message, "{output}");
        assert_eq!(json["exit_code"], code, "{output}");
        assert!(output.stderr.contains("error: "), "{output}");
        assert_eq!(output.stdout.lines().count() == 1, words.ends_with("jsonl"), "{output}");
    }
    assert_eq!(site.svcops("run nothing --yes").exits(2).stdout, "");
}

#[test]
fn without_a_verb_the_short_help_is_on_stderr() {
    let site = Site::new();
    for (words, help) in [("", "-h"), ("-q", "-h"), ("app", "app -h"), ("history -q", "history -h")] {
        let short = site.svcops(help).exits(0).stdout;
        let bare = site.svcops(words).exits(2);
        assert_eq!((bare.stderr.as_str(), bare.stdout.as_str()), (short.as_str(), ""), "{words}");
        assert!(!bare.stderr.contains("demo-app") && !bare.stderr.contains("approve"), "{bare}");
    }
    let json = site.svcops("-o json").exits(2).json();
    assert_eq!(json["error"]["message"], "`svcops` needs a verb");
}
