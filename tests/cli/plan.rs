use crate::Site;

fn site() -> Site {
    let site = Site::new().host("web-1").host("web-2").file("files/motd", "Добро пожаловать\nна узел\n");
    let text = site.fill(
        "
        svcops: 1
        name: motd
        targets: role=web
        steps:
          - name: Приветствие
            file.copy: {src: files/motd, dest: \"SITE/motd\"}
        ",
    );
    std::fs::write(site.path("motd"), "Добро пожаловать\nна сервер\n").unwrap();
    site.runbook(&text)
}

#[test]
fn a_plan_shows_what_would_change_and_changes_nothing() {
    let site = site();
    insta::assert_snapshot!(site.svcops("plan motd -l web-1"), @r"
    exit: 0
    --- stdout
    plan of `motd` in project `test`, only `-l web-1`

    1 Приветствие: file.copy
      web-1: exact
        - write `[SITE]/motd`
          hash 8645fc26fbed → hash 65351fcb3bc4
            --- [SITE]/motd
            +++ [SITE]/motd
            @@ -1,2 +1,2 @@
             Добро пожаловать
            -на сервер
            +на узел

    1 change on 1 of 2 hosts
    plan [HASH]
    ");
    assert_eq!(std::fs::read_to_string(site.path("motd")).unwrap(), "Добро пожаловать\nна сервер\n");
    site.svcops("plan motd --detailed-exitcode").exits(10);
    std::fs::write(site.path("motd"), "Добро пожаловать\nна узел\n").unwrap();
    site.svcops("plan motd --detailed-exitcode").exits(0);
}

#[test]
fn the_host_that_answers_last_does_not_change_the_plan() {
    let site = Site::new().host("web-1").host("web-2").file("slow", "web-1");
    // the first host's status takes its time, then the second's
    let app = site.fill(
        "apps:\n  shop:\n    hosts: role=web\n    manager:\n      command:\n        start: 'true'\n        stop: 'true'\n        status: 'if grep -q {{ host.name }} SITE/slow; then sleep 0.2; fi; exit 3'\n",
    );
    let site =
        site.yaml(&app).runbook("svcops: 1\nname: begin\ntargets: role=web\nsteps: [{app.start: {app: shop}}]\n");
    let plan = |slow: &str| {
        std::fs::write(site.path("slow"), slow).unwrap();
        let plan = site.svcops("plan begin -o json").json();
        let hosts: Vec<String> =
            plan["tasks"].as_array().unwrap().iter().map(|t| t["host"].as_str().unwrap().to_owned()).collect();
        (plan["hash"].clone(), hosts)
    };
    let (first, second) = (plan("web-1"), plan("web-2"));
    assert_eq!(first, second);
    assert_eq!(first.1, ["web-1", "web-2"]);
}

#[test]
fn a_plan_as_json_has_its_tasks_and_their_changes() {
    let plan = site().svcops("plan motd -o json").exits(0).json();
    assert_eq!(plan["schema_version"], 1);
    assert!(plan["hash"].as_str().unwrap().len() == 64);
    let tasks = plan["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 2);
    for task in tasks {
        assert_eq!((&task["step"], &task["certainty"]), (&"Приветствие".into(), &"exact".into()));
        assert_eq!(task["changes"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn a_saved_plan_is_carried_out_only_while_it_holds() {
    let site = site();
    site.svcops("plan motd -l web-1 --save plan.json").exits(0);
    std::fs::write(site.path("motd"), "Добро пожаловать\nна узел\n").unwrap();
    let refused = site.svcops("run --plan plan.json -l web-1 --yes -q").exits(77);
    assert!(refused.stderr.contains("the saved plan no longer holds"), "{refused}");
    std::fs::write(site.path("motd"), "Добро пожаловать\nна сервер\n").unwrap();
    site.svcops("run --plan plan.json -l web-1 --yes -q").exits(0);
    site.svcops("run --plan svcops.yaml --yes").exits(2);
    site.svcops("run --plan nowhere.json --yes").exits(2);
}

#[test]
fn a_plan_that_must_be_exact_refuses_a_command_without_a_model() {
    let site = Site::new().host("web-1").runbook(
        "
        svcops: 1
        name: opaque
        targets: all
        steps:
          - {name: Что-то, command: \"true\", undo: [{command: \"true\"}]}
        ",
    );
    insta::assert_snapshot!(site.svcops("run opaque --require-exact --yes"), @r"
    exit: 77
    --- stderr
    error: `--require-exact` refuses this plan: it is not sure of everything
              Что-то (1) on web-1: opaque, what it changes has no model
    ");
    site.svcops("plan opaque --require-exact").exits(77);
    site.svcops("plan opaque").exits(0);
}
