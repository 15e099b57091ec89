use crate::{Output, Site};

/// One host, one file, one command.
fn site() -> Site {
    let site = Site::new().host("web-1");
    let text = site.fill(
        "
        svcops: 1
        name: marks
        title: Отметки
        targets: role=web
        params:
          text: {type: string, default: привет}
        steps:
          - name: Записать
            file.copy: {content: \"{{ params.text }}\\n\", dest: \"SITE/out\"}
          - name: Leave a mark
            command: {run: \"echo mark >> SITE/marks\"}
            undo: [{command: \"echo unmark >> SITE/marks\"}]
        ",
    );
    site.runbook(&text)
}

fn failing(site: Site, last: &str) -> Site {
    let text = site.fill(&format!(
        "
        svcops: 1
        name: failing
        targets: role=web
        steps:
          - name: Записать
            file.copy: {{content: \"new\\n\", dest: \"SITE/out\"}}
          - {last}
        ",
    ));
    site.runbook(&text)
}

#[test]
fn what_lint_refuses_is_refused_before_anything_is_touched() {
    let site = failing(site(), "check.command: {runn: \"true\"}");
    for (words, code) in [("run failing --yes", 2), ("plan failing", 2), ("doctor --sudoers failing", 3)] {
        let text = site.svcops(words).exits(code).to_string();
        for part in ["runbooks/failing.yaml:8:", "runn", "did you mean `run`"] {
            assert!(text.contains(part), "`{part}` is not said by `{words}`:\n{text}");
        }
        assert!(!site.path("out").exists(), "{words}");
    }
    let listed = site.svcops("history list").to_string();
    assert!(!listed.contains("failing"), "nothing was begun: {listed}");
}

#[test]
fn a_run_shows_its_plan_carries_it_out_and_says_how_it_ended() {
    let site = site();
    insta::assert_snapshot!(site.svcops("run marks --yes"), @r"
    exit: 0
    --- stderr
    plan of `marks` in project `test`, with text=привет
      1    Записать: `web-1`: write `[SITE]/out`
      2    Leave a mark: `web-1`: run `echo mark >> [SITE]/marks` (opaque, what it
           changes has no model)

    2 changes on 1 of 1 host; 1 task not known before the run
    [TIME] run [RUN]: marks, by [USER]
    [TIME] step 1 Записать: `web-1`
    [TIME] web-1: Записать: write `[SITE]/out`
    [TIME] web-1: Записать: done in [SECS]
    [TIME] step 2 Leave a mark: `web-1`
    [TIME] web-1: Leave a mark: run `echo mark >> [SITE]/marks`
    [TIME] web-1: Leave a mark: done in [SECS]
    done: `marks`: 2 tasks changed on 1 host in [SECS]
      run     [RUN]
      ticket  SV-000001
    ");
    assert_eq!(std::fs::read_to_string(site.path("out")).unwrap(), "привет\n");
    assert_eq!(std::fs::read_to_string(site.path("marks")).unwrap(), "mark\n");
    let list = site.svcops("history list").exits(0);
    assert!(list.stdout.contains("marks") && list.stdout.contains("done"), "{list}");
}

#[test]
fn a_run_with_nothing_to_do_says_so_and_asks_nobody() {
    let site = Site::new().host("web-1");
    let text = site.fill(
        "
        svcops: 1
        name: same
        targets: all
        steps:
          - file.copy: {content: \"a\\n\", dest: \"SITE/out\"}
        ",
    );
    let site = site.runbook(&text);
    std::fs::write(site.path("out"), "a\n").unwrap();
    insta::assert_snapshot!(site.svcops("run same"), @r"
    exit: 0
    --- stderr
    [TIME] run [RUN]: same, by [USER]
    [TIME] step 1 file.copy: `web-1`
    [TIME] web-1: file.copy: ok, nothing changed
    done: `same`: nothing to do, everything is as it should be
      run     [RUN]
      ticket  SV-000001
    ");
}

#[test]
fn without_a_terminal_and_without_yes_nothing_is_touched() {
    let site = site();
    insta::assert_snapshot!(site.svcops("run marks -q"), @r"
    exit: 2
    --- stderr
    error: this changes things and nobody can be asked: there is no terminal
    hint: `--yes` answers for cron and CI
    ");
    assert!(!site.path("out").exists());
    assert_eq!(site.svcops("history list -o json").json()["runs"].as_array().unwrap().len(), 0);
}

#[test]
fn a_run_that_fails_goes_back_and_says_what_was_undone() {
    let site = failing(site(), "{name: Break, command: \"echo kaputt >&2; exit 3\", undo: [{command: \"true\"}]}");
    std::fs::write(site.path("out"), "old\n").unwrap();
    insta::assert_snapshot!(site.svcops("run failing --yes -q"), @r"
    exit: 1
    --- stderr
    [TIME] web-1: Break: failed: exit code 3: kaputt
    [TIME] rolling back the run: `Break` on `web-1`: exit code 3: kaputt
    error: `Break` on `web-1`: exit code 3: kaputt
      step    Break (2), command on web-1, runbooks/failing.yaml:8
      undone  web-1: Записать, Break
      stands  nothing
      run     [RUN]
      ticket  SV-000001
    hint: `svcops history show [RUN]` has the output
    hint: `svcops run … --failed-from [RUN]` tries the failed hosts again
    ");
    assert_eq!(std::fs::read_to_string(site.path("out")).unwrap(), "old\n");
}

#[test]
fn a_run_as_json_is_one_value_and_as_jsonl_its_events() {
    let site = site();
    let end = site.svcops("run marks --yes -o json").exits(0).json();
    assert_eq!(end["schema_version"], 1);
    assert_eq!((&end["outcome"], &end["exit_code"], &end["changed"]), (&"done".into(), &0.into(), &2.into()));
    let output: Output = site.svcops("run marks -p text=новый --yes -o jsonl").exits(0);
    let events = output.lines();
    assert_eq!(events[0]["event"], "started");
    assert_eq!(events[0]["params"]["text"], "новый");
    assert_eq!(events[events.len() - 1]["event"], "finished");
    assert_eq!(output.stderr, "");
    let run = end["run"].as_str().unwrap();
    let shown = site.svcops(&format!("history show {run} -o jsonl")).exits(0).lines();
    assert_eq!(shown[0]["run"], run);
}

#[test]
fn a_wrong_parameter_or_runbook_is_refused_before_anything_is_touched() {
    let site = site();
    insta::assert_snapshot!(site.svcops("run marks -p txt=a --yes"), @r"
    exit: 2
    --- stderr
    error: the parameters do not fit runbook `marks`
      caused by: there is no param `txt`; did you mean `text`?
    ");
    insta::assert_snapshot!(site.svcops("run mraks --yes"), @r"
    exit: 2
    --- stderr
    error: there is no runbook `mraks`: no file `runbooks/mraks.yaml`; did you mean `marks`?
    ");
    insta::assert_snapshot!(site.svcops("run marks -l role=db --yes"), @r"
    exit: 2
    --- stderr
    error: `role=db` matches no host
    hint: `svcops inventory hosts` lists the hosts with their labels
    ");
    site.svcops("run marks -p text=a -p text=b --yes").exits(2);
}

#[test]
fn what_is_over_is_not_resumed_and_what_is_not_there_is_not_found() {
    let site = site();
    insta::assert_snapshot!(site.svcops("resume last --yes"), @r"
    exit: 2
    --- stderr
    error: no run is recorded in this state directory
    hint: `svcops history list` lists the runs
    ");
    insta::assert_snapshot!(site.svcops("rollback 01J9ZK3V7Q --yes"), @r"
    exit: 2
    --- stderr
    error: no run `[RUN]` in this state directory
    hint: `svcops history list` lists the runs; `--state` or `SVCOPS_STATE` names another state
          directory
    ");
    site.svcops("run marks --yes -q").exits(0);
    insta::assert_snapshot!(site.svcops("resume last --yes"), @r"
    exit: 2
    --- stderr
    error: run [RUN] cannot be resumed: it is over, with the outcome `done`
    hint: `svcops history show [RUN]` says how it stands
    ");
    insta::assert_snapshot!(site.svcops("resolve last 1@web-1 done --reason seen"), @r"
    exit: 2
    --- stderr
    error: run [RUN] cannot be resolved: what became of `1@web-1` is known
    hint: `svcops history show [RUN]` says how it stands
    ");
    insta::assert_snapshot!(site.svcops("resolve last 1@web-1 done"), @r"
    exit: 2
    --- stderr
    error: `resolve` needs `--reason TEXT`: the journal keeps why
    ");
    let asked = site.svcops("resume last").exits(2).to_string();
    assert!(
        asked.contains("it is over") && !asked.contains("nobody can be asked"),
        "refused before a question: {asked}"
    );
    site.svcops("cancel last").exits(2);
    site.svcops("resume last --skip 1@web-1 --yes").exits(2);
}

#[test]
fn a_rollback_brings_back_what_a_run_changed() {
    let site = site();
    std::fs::write(site.path("out"), "old\n").unwrap();
    site.svcops("run marks --yes -q").exits(0);
    insta::assert_snapshot!(site.svcops("rollback last --yes -q"), @r"
    exit: 0
    --- stderr
    [TIME] rolling back the run: `svcops rollback`
    done: run [RUN] of `marks` is undone
      undone  web-1: Записать, Leave a mark
      stands  nothing
      run     [RUN]
      ticket  SV-000001
    ");
    assert_eq!(std::fs::read_to_string(site.path("out")).unwrap(), "old\n");
    assert_eq!(std::fs::read_to_string(site.path("marks")).unwrap(), "mark\nunmark\n");
}

#[test]
fn a_rollback_takes_away_a_file_that_was_not_there_before() {
    let site = site();
    site.svcops("run marks --yes -q").exits(0);
    assert!(site.path("out").exists());
    site.svcops("rollback last --yes -q").exits(0);
    assert!(!site.path("out").exists());
}

#[test]
fn a_command_may_expect_another_exit_code_than_0() {
    let site = failing(Site::new().host("web-1"), "{name: Odd, command: {run: exit 3, expect: {code: 3}}}");
    site.svcops("run failing --yes -q").exits(0);
}

#[test]
fn only_the_first_hosts_of_a_selection_are_touched() {
    let site = site().host("web-2").host("web-3");
    let events = site.svcops("run marks -l web-[2-3] --limit 1 --yes -o jsonl").exits(0).lines();
    let hosts: Vec<_> = events.iter().filter(|e| e["event"] == "began").map(|e| e["host"].as_str().unwrap()).collect();
    assert_eq!(hosts, ["web-2", "web-2"]);
    insta::assert_snapshot!(site.svcops("run marks --failed-from last --yes"), @r"
    exit: 2
    --- stderr
    error: there is no host to try again: nothing failed, was taken back or left out in run [RUN]
    ");
}

fn from_here(steps: &str) -> Site {
    let site = Site::new().host("web-1").host("web-2");
    let text = site.fill(&format!(
        "
        svcops: 1
        name: from-here
        targets: role=web
        params: {{port: {{type: int, default: 8080}}}}
        steps:
          - {{name: Wait, pause: {{for: 1ms}}}}
          - {steps}
        ",
    ));
    site.runbook(&text)
}

#[test]
fn what_runs_once_from_here_is_not_the_first_host_of_a_limit() {
    let site = from_here("{name: Mark, command: \"echo mark >> SITE/marks\"}");
    site.svcops("run from-here --limit 1 --yes -q").exits(0);
    assert_eq!(std::fs::read_to_string(site.path("marks")).unwrap(), "mark\n");
}

#[test]
fn a_saved_plan_keeps_the_hosts_that_it_was_made_for() {
    let site = from_here("{name: Mark, command: \"echo mark >> SITE/marks\"}");
    let file = site.path("plan.json");
    let file = file.display();
    site.svcops(&format!("plan from-here -l web-2 --save {file}")).exits(0);
    site.svcops(&format!("run --plan {file} --yes -q")).exits(0);
    assert_eq!(std::fs::read_to_string(site.path("marks")).unwrap(), "mark\n");
}

#[test]
fn a_selection_beside_the_targets_is_an_error_and_no_empty_success() {
    let site = Site::new().host("web-1").host("web-2");
    let site = site.runbook(
        "
        svcops: 1
        name: one
        targets: web-1
        steps: [{check.command: {run: id}}]
        ",
    );
    insta::assert_snapshot!(site.svcops("run one -l web-2 --yes"), @r"
    exit: 2
    --- stderr
    error: no selected host is one of the hosts of runbook `one`
    hint: options only narrow what its `targets:` say
    ");
}

#[test]
fn nobody_is_asked_after_half_of_the_work_is_done() {
    let site =
        from_here("{name: Mark, command: \"echo mark >> SITE/marks\"}\n          - {name: Ask, pause: {ask: Go on?}}");
    insta::assert_snapshot!(site.svcops("run from-here --yes -q"), @r"
    exit: 2
    --- stderr
    error: step `Ask` (3) asks a person, and there is no terminal; nothing was touched
    hint: run it on a terminal; `--yes` does not answer for a `pause`
    ");
    assert!(!site.path("marks").exists());
}

#[test]
fn a_number_from_an_expression_is_a_text_where_one_belongs() {
    let site = from_here(
        "{name: Port, command: {run: 'echo $PORT > SITE/port', env: {PORT: \"{{ params.port }}\"}, stdin: \"{{ params.port }}\"}}",
    );
    site.svcops("run from-here --yes -q -l web-1").exits(0);
    assert_eq!(std::fs::read_to_string(site.path("port")).unwrap(), "8080\n");
}

#[test]
fn where_there_is_no_project_the_way_to_one_is_named() {
    let site = Site::new().host("web-1");
    let empty = site.path("empty");
    std::fs::create_dir(&empty).unwrap();
    let said = site.svcops(&format!("plan x -C {}", empty.display())).exits(2).to_string();
    assert!(said.contains("-C DIR") && said.contains("svcops init"), "{said}");
}

#[test]
fn a_run_that_would_change_its_own_journal_is_refused() {
    let site = Site::new().host("web-1");
    let text = site.fill(
        "
        svcops: 1
        name: saw
        targets: role=web
        steps:
          - file.absent: {dest: \"SITE/state/journal.db\"}
        ",
    );
    let site = site.runbook(&text);
    // the journal is there before the plan looks at it
    site.svcops("history list");
    let refused = site.svcops("run saw --yes");
    assert_eq!(refused.code, Some(77), "{refused}");
    assert!(refused.stderr.contains("belongs to the journal of this very run"), "{refused}");
}

#[test]
fn a_run_of_another_project_that_shares_the_journal_is_looked_at_and_left_alone() {
    let site = site().file("../other/svcops.yaml", "project: other\nhosts:\n  web-1: {local: true}\n");
    let other = |words: &str| site.svcops(&site.fill(&format!("-C SITE/other {words}")));
    site.svcops("run marks --yes -q").exits(0);
    insta::assert_snapshot!(other("rollback last --yes"), @r"
    exit: 2
    --- stderr
    error: no run of project `other` is recorded in this state directory
    hint: `svcops history list` lists the runs
    ");
    let list = site.svcops("history list -o json").json();
    let run = list["runs"][0]["run"].as_str().unwrap();
    insta::assert_snapshot!(other(&format!("rollback {run} --yes")), @r"
    exit: 2
    --- stderr
    error: run [RUN] belongs to project `test`, this is `other`
    hint: `-C [SITE]/project` works in that one
    ");
    for words in ["resume RUN --yes", "cancel RUN", "resolve RUN 1@web-1 done --reason seen"] {
        let refused = other(&words.replace("RUN", run)).exits(2);
        assert!(refused.stderr.contains("belongs to project `test`"), "{refused}");
        assert!(!refused.stderr.contains("no longer what it was"), "{refused}");
    }
    other(&format!("history show {run}")).exits(0);
    assert_eq!(std::fs::read_to_string(site.path("marks")).unwrap(), "mark\n");

    std::fs::create_dir(site.path("other/runbooks")).unwrap();
    let text = "svcops: 1\nname: idle\ntargets: all\nsteps:\n  - name: Nothing\n    command: {run: 'true'}\n";
    std::fs::write(site.path("other/runbooks/idle.yaml"), text).unwrap();
    other("run idle --yes -q").exits(0);
    site.svcops("rollback last --yes -q").exits(0);
    assert_eq!(std::fs::read_to_string(site.path("marks")).unwrap(), "mark\nunmark\n");
}

#[test]
fn a_debt_is_listed_with_what_settles_it_and_no_longer_once_it_was_put_right_by_hand() {
    let text = "
        svcops: 1
        name: owing
        targets: role=web
        steps:
          - name: Mark
            command: {run: 'true'}
            undo: [{command: 'exit 4'}]
          - name: Break
            command: {run: 'exit 3'}
            undo: [{command: 'true'}]
        ";
    let site = site().runbook(text);
    site.svcops("run owing --yes -q").exits(3);
    let owes = || site.svcops("history list -o json").json()["runs"][0]["owed"].as_u64().unwrap();
    assert_eq!(owes(), 1);
    insta::assert_snapshot!(site.svcops("owed"), @r"
    exit: 0
    --- stdout
    HOST   OWES          ACTION   BECAUSE OF  RUN         RUNBOOK  STARTED
    web-1  undo of Mark  command  1@web-1     [RUN]  owing    [WHEN]
    note   settled by a later run that does the same there, or by `svcops rollback [RUN]`, which
           tries again; where it was put right by hand, `svcops resolve [RUN] 1@web-1 done --reason
           …`
    ");
    insta::assert_snapshot!(site.svcops("resolve last 1@web-1 done --reason 'by hand'").exits(0).stdout, @"recorded: `1@web-1` was done; run [RUN] owes nothing any more");
    assert!(site.svcops("owed").exits(0).stdout.contains("nothing is owed"));
    assert_eq!(owes(), 0);
    assert!(site.svcops("history list").stdout.lines().nth(1).unwrap().ends_with(" 0"));
}
