use crate::Site;

#[test]
fn faults_of_a_file_are_shown_with_their_place() {
    let site = Site::new().host("web-1").file("runbooks/x.yaml", "svcops: 1\nname: x\ntargets: all\nstpes: []\n");
    let found = site.svcops("lint").exits(2);
    assert!(found.stdout.contains("runbooks/x.yaml:4") && found.stdout.contains("steps"), "{found}");
    let run = site.svcops("run x --yes").exits(2);
    assert!(run.stderr.contains("runbooks/x.yaml:4") && run.stderr.contains("nothing was touched"), "{run}");
    assert_eq!(site.svcops("lint -o json").exits(2).json()["schema_version"], 1);
    Site::new().host("web-1").svcops("lint").exits(0);
}

#[test]
fn a_folder_without_a_project_is_refused() {
    let site = Site::new();
    std::fs::remove_file(site.root().join("svcops.yaml")).unwrap();
    site.svcops("plan x").exits(2);
    site.svcops("doctor").exits(3);
}

#[test]
fn the_inventory_is_a_table_or_json() {
    let site =
        Site::new().host("web-2").host("web-10").yaml("apps: {api: {hosts: all, manager: {systemd: api.service}}}");
    insta::assert_snapshot!(site.svcops("inventory hosts"), @r"
    exit: 0
    --- stdout
    HOST    SITE  ADDRESS  LABELS    APPS  WAY
    web-2   –     –        role=web  api   local
    web-10  –     –        role=web  api   local
    ");
    insta::assert_snapshot!(site.svcops("inventory apps"), @r"
    exit: 0
    --- stdout
    APP  TITLE  MANAGER      HOSTS         REQUIRES
    api  –      api.service  web-2 web-10
    ");
    insta::assert_snapshot!(site.svcops("inventory services"), @r"
    exit: 0
    --- stdout
    svcops.yaml declares no services
    ");
    assert_eq!(site.svcops("inventory databases -o json").json()["databases"], serde_json::json!([]));
    assert_eq!(site.svcops("inventory services -o json").json()["schema_version"], 1);
    assert_eq!(site.svcops("inventory hosts -l web-2 -o json").json()["hosts"].as_array().unwrap().len(), 1);
    site.svcops("inventory hosts -l nobody").exits(2);
    site.svcops("inventory hosts -o jsonl").exits(2);
}

#[test]
fn an_app_verb_shows_its_runbook_and_it_lints() {
    let site = Site::new().host("web-1").yaml("apps: {api: {hosts: all, manager: {systemd: api.service}}}");
    let shown = site.svcops("app restart api --show").exits(0).stdout;
    let site = site.file("runbooks/restart.yaml", &shown);
    site.svcops("lint").exits(0);
    insta::assert_snapshot!(site.svcops("app stop apo --yes"), @r"
    exit: 2
    --- stderr
    error: svcops.yaml has no app `apo`; did you mean `api`?
    ");
    site.svcops("app stop api --site nowhere --yes").exits(2);
    site.svcops("app status apo").exits(3);
}

#[test]
fn every_schema_is_json() {
    let site = Site::new();
    for of in ["project", "runbook", "events"] {
        assert!(site.svcops(&format!("schema {of}")).exits(0).json().is_object());
    }
    site.svcops("schema nonsense").exits(2);
}

#[test]
fn an_empty_history_and_no_debts_say_so() {
    let site = Site::new();
    site.svcops("history list").exits(0);
    assert_eq!(site.svcops("history list -o json").exits(0).json()["runs"], serde_json::json!([]));
    assert!(site.svcops("owed").exits(0).stdout.contains("nothing"));
    site.svcops("history verify").exits(1);
    site.svcops("history show 01J9ZK3V7Q").exits(2);
}
