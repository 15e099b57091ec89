use crate::Site;

/// An app of commands: it runs on the hosts whose mark is there.
const SHOP: &str = "apps:\n  shop:\n    hosts: all\n    manager: {command: {start: 'touch SITE/up-{{ host.name }}', stop: 'rm SITE/up-{{ host.name }}', status: 'test -e SITE/up-{{ host.name }}'}}";

fn shop() -> Site {
    let site = Site::new().host("web-1").host("web-2");
    let yaml = site.fill(SHOP);
    site.yaml(&yaml)
}

#[test]
fn before_the_first_run_and_without_apps_all_is_well() {
    let site = Site::new();
    insta::assert_snapshot!(site.svcops("status"), @r"
    exit: 0
    --- stdout
    OK: test: all is as it should be

    OK        no app is declared
    OK        no run is in progress
    OK        no run was left unfinished
    OK        nothing is owed
    OK        tickets were told of all runs
    OK        nothing is locked
    OK        no run has ended yet
    ");
    let json = site.svcops("status -o json").exits(0).json();
    assert_eq!((&json["schema_version"], &json["status"], &json["exit_code"]), (&1.into(), &"OK".into(), &0.into()));
    let names: Vec<&str> =
        json["sections"].as_array().unwrap().iter().map(|s| s["section"].as_str().unwrap()).collect();
    assert_eq!(names, ["apps", "runs", "unfinished", "owed", "tickets", "locks", "last"]);
}

#[test]
fn the_worst_of_it_is_the_exit_code() {
    let site = shop();
    insta::assert_snapshot!(site.svcops("status").exits(2), @r"
    exit: 2
    --- stdout
    CRITICAL: test: app `shop` is in service on 0 of 2 hosts

    CRITICAL  app `shop` is in service on 0 of 2 hosts
              `web-1`, `web-2`: inactive
              → `svcops app status shop` has every host
    OK        no run is in progress
    OK        no run was left unfinished
    OK        nothing is owed
    OK        tickets were told of all runs
    OK        nothing is locked
    OK        no run has ended yet
    ");
    std::fs::write(site.path("up-web-1"), "").unwrap();
    let output = site.svcops("status -q").exits(1);
    insta::assert_snapshot!(output, @r"
    exit: 1
    --- stdout
    WARNING: test: app `shop` is in service on 1 of 2 hosts

    WARNING   app `shop` is in service on 1 of 2 hosts
              `web-2`: inactive
              → `svcops app status shop` has every host
    ");
    site.svcops("status -l web-1").exits(0);
    site.svcops("status -l web-2").exits(2);
    let output = site.svcops("status --no-hosts").exits(0);
    assert!(output.stdout.contains("1 app, no host was asked"), "{output}");
}

#[test]
fn a_run_that_failed_is_among_the_last_and_what_it_owes_is_told() {
    let site = Site::new().host("web-1").runbook(
        "
        svcops: 1
        name: owing
        targets: all
        on_failure: stop
        steps:
          - steps:
              - {name: change, command: 'true', then: [{name: Перезапуск, command: 'false'}]}",
    );
    site.svcops("run owing --yes").exits(3);
    insta::assert_snapshot!(site.svcops("status").exits(1), @r"
    exit: 1
    --- stdout
    WARNING: test: 1 debt is owed

    OK        no app is declared
    OK        no run is in progress
    OK        no run was left unfinished
    WARNING   1 debt is owed
              `web-1`: Перезапуск (command), from run [RUN] `owing` of [WHEN]
              → `svcops owed` lists what is still to be done
    OK        tickets were told of all runs
    OK        nothing is locked
    OK        the last run began [WHEN]: failed
              [RUN] failed       [WHEN] `owing` by [USER]
    ");
}

#[test]
fn a_host_that_is_silent_is_unknown_and_named_once_for_each_app() {
    // nobody listens on port 1: the connection is refused at once
    let site = Site::new().yaml("hosts: {far: {address: 127.0.0.1, ssh: {port: 1}}}\napps:\n  a: {hosts: far, manager: {systemd: a.service}}\n  b: {hosts: far, manager: {systemd: b.service}}");
    let output = site.svcops("status").exits(3);
    assert!(output.stdout.starts_with("UNKNOWN: test: 2 of 2 apps not in service"), "{output}");
    assert_eq!(output.stdout.matches("could not reach `far`").count(), 2, "{output}");
}

#[test]
fn a_service_is_told_of_where_all_of_its_hosts_are_looked_at() {
    let site = Site::new().yaml(
        "sites: {dc1: {}, dc2: {}}
hosts: {a: {local: true, site: dc1}, b: {local: true, site: dc2}}
services:
  crm:
    sites: [dc1, dc2]
    rpo: 0B
    parts: [{command: {name: licence, hosts: all, stop: 'false', start: 'false', status: '[ {{ host.name }} = a ]'}}]",
    );
    let output = site.svcops("status").exits(0);
    assert!(output.stdout.contains("OK        service `crm` is active at `dc1`\n"), "{output}");
    let json = site.svcops("status -o json").exits(0).json();
    let services = json["sections"].as_array().unwrap().iter().find(|s| s["section"] == "services").unwrap();
    assert_eq!(services["items"][0]["active"], serde_json::json!({"at": "dc1"}));
    let output = site.svcops("status --no-hosts").exits(0);
    assert!(output.stdout.contains("1 service, none was looked at"), "{output}");
    let refused = site.svcops("status -l a").exits(3);
    assert!(refused.stderr.contains("no service has all of its hosts selected"), "{refused}");
}

#[test]
fn what_status_cannot_use_is_refused_with_3() {
    let site = Site::new();
    for words in ["status --nonsense", "status -o jsonl", "status --yes", "status -l nothing", "-C /nonexistent status"]
    {
        site.svcops(words).exits(3);
    }
}

#[test]
fn only_selected_hosts_are_looked_at_and_a_selection_of_none_is_no_ok() {
    let site = Site::new().host("web-1").host("web-2").host("db-1");
    let yaml = site.fill(SHOP).replace("hosts: all", "hosts: web-[1-2]");
    let site = site.yaml(&yaml);
    std::fs::write(site.path("up-web-1"), "").unwrap();
    let well = site.svcops("app status shop -l web-1").exits(0);
    assert!(well.stdout.contains("on 1 of 1 host") && !well.stdout.contains("web-2"), "{well}");
    site.svcops("app status shop").exits(1);
    site.svcops("app status shop -l web-2").exits(2);
    for (words, says) in [
        ("app status shop -l nope", "`nope` matches no host"),
        ("app status shop -l db-1", "no selected host is one of the hosts of app `shop`"),
        ("app status shop --site nowhere", "no site `nowhere`"),
        ("app status shop --limit 1", "no use for `--limit`"),
        ("doctor --failed-from last", "no use for `--failed-from`"),
        ("status -l nope", "`nope` matches no host"),
        ("status -l db-1", "no app is on a selected host"),
    ] {
        let refused = site.svcops(words).exits(3);
        assert!(refused.stderr.contains(says), "{refused}");
    }
}
