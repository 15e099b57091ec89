//! The runbooks that come with svcops, each of them as it stands, forward and in a variant that goes back.

use crate::{
    client::Client,
    hosts::{APP_HOSTS, Lab, all_ready},
    mail::parsed,
    support::Project,
};
use std::collections::BTreeMap;

const ALL: &str = "dc1-app[1-2]";

/// A sick page is found by `check.app` before anything is touched.
fn sick(lab: &Lab, host: &str) {
    lab.on(host, "sudo touch /etc/billing/sick");
}

/// What the page of a host says that it runs.
fn version(lab: &Lab, host: &str) -> String {
    lab.on(host, "curl -s http://127.0.0.1:8080/health | grep -o '\"version\": \"[^\"]*\"'").trim().to_owned()
}

/// A runbook of the examples with a word changed, so that it fails on its way.
fn variant(examples: &Project, name: &str, from: &str, to: &str) {
    let path = examples.root().join(format!("runbooks/{name}.yaml"));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{name}: {from}");
    std::fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn an_app_is_stopped_on_one_host_and_started_again() {
    let Some(lab) = Lab::take("an_app_is_stopped_on_one_host_and_started_again") else { return };
    let examples = lab.examples();
    let client = Client::start();

    let ended = examples.svcops(&["run", "app-stop", "--yes"]).exits(0);
    assert_eq!(Lab::balanced(), but("dc1-app1", "drain"), "{ended}");
    assert_eq!(lab.on("dc1-app1", "systemctl is-active billing || true"), "inactive\n", "{ended}");

    // It does not come up: it is left stopped, and out of the balancer.
    lab.on("dc1-app1", "sudo touch /etc/billing/fail-start");
    let ended = examples.svcops(&["run", "app-start", "--yes"]).exits(1).says("dc1-app1");
    assert_eq!(Lab::balanced(), but("dc1-app1", "drain"), "{ended}");
    lab.on("dc1-app1", "sudo rm /etc/billing/fail-start; sudo systemctl reset-failed billing");

    let ended = examples.svcops(&["run", "app-start", "--yes"]).exits(0);
    assert_eq!(Lab::balanced(), all_ready(), "{ended}");
    examples.svcops(&["run", "app-start", "--yes"]).exits(0).says("nothing to do");

    // Both at once would leave nobody at the site: refused before anything is touched.
    let before = lab.seen();
    examples.svcops(&["run", "app-stop", "-p", &format!("hosts={ALL}"), "--yes"]).exits(1);
    assert_eq!(lab.seen(), before);
    client.stop().none_failed();
}

#[test]
fn restarts_go_node_by_node_and_do_not_begin_beside_a_sick_one() {
    let Some(lab) = Lab::take("restarts_go_node_by_node_and_do_not_begin_beside_a_sick_one") else { return };
    let examples = lab.examples();
    for (name, restarted) in [("rolling-restart", &APP_HOSTS[..2]), ("quorum-restart", &APP_HOSTS[..])] {
        let before = lab.seen();
        let client = Client::start();
        let ended = examples.svcops(&["run", name, "--yes"]).exits(0);
        client.stop().none_failed();
        let after = lab.seen();
        for host in APP_HOSTS {
            assert_eq!(before[host].unit != after[host].unit, restarted.contains(&host), "{host}\n{ended}");
        }
        assert_eq!(Lab::balanced(), all_ready());

        sick(&lab, "dc1-app2");
        examples.svcops(&["run", name, "--yes"]).exits(1);
        assert_eq!(lab.seen_on("dc1-app1"), after["dc1-app1"], "{name}");
        assert_eq!(Lab::balanced(), all_ready());
        lab.reset();
    }
}

#[test]
fn a_configuration_reaches_every_node_or_none() {
    let Some(lab) = Lab::take("a_configuration_reaches_every_node_or_none") else { return };
    let examples = lab.examples();
    let client = Client::start();
    examples.svcops(&["run", "configuration", "-p", "workers=8", "--yes"]).exits(0);
    for host in ["dc1-app1", "dc1-app2"] {
        let shown = lab.on(host, "sudo cat /etc/billing/billing.conf; sudo stat -c '%a %U' /etc/billing/billing.conf");
        assert!(shown.contains(&format!("host = {host}\nworkers = 8\n")) && shown.ends_with("640 root\n"), "{shown}");
    }
    let before = lab.seen();
    examples.svcops(&["run", "configuration", "-p", "workers=8", "--yes"]).exits(0);
    assert_eq!(lab.seen(), before, "a second time there is nothing to write, so nothing is restarted");
    examples.svcops(&["run", "configuration", "-p", "workers=65", "--yes"]).says("params.workers");

    // The second node does not start with it: both have the earlier file again, and run with it.
    let at_fault = "dest: \"/etc/billing/{{ 'fail-start' if host.name == 'dc1-app2' else 'billing.conf' }}\"";
    variant(&examples, "configuration", "dest: /etc/billing/billing.conf", at_fault);
    let before = lab.seen();
    let ended = examples.svcops(&["run", "configuration", "-p", "workers=16", "--yes"]).exits(1).says("dc1-app2");
    client.stop().none_failed();
    for host in APP_HOSTS {
        let hashes =
            |seen: &str| seen.lines().filter_map(|l| l.rsplit(' ').nth(2).map(str::to_owned)).collect::<Vec<_>>();
        let after = lab.seen_on(host);
        assert_eq!(hashes(&before[host].files), hashes(&after.files), "{host}\n{ended}");
        assert_eq!(after.unit.matches("ActiveState=active").count(), 2, "{host}: {}\n{ended}", after.unit);
    }
    assert_eq!(Lab::balanced(), all_ready());
    assert_eq!(examples.newest()["outcome"], "rolled_back");
    examples.svcops(&["owed"]).exits(0).says("nothing");
}

#[test]
fn a_script_and_its_restart_go_back_together() {
    let Some(lab) = Lab::take("a_script_and_its_restart_go_back_together") else { return };
    let examples = lab.examples();
    let earlier = version(&lab, "dc1-app1");
    let client = Client::start();
    examples.svcops(&["run", "script", "-p", "version=2.0", "--yes"]).exits(0);
    let now = |wanted: &str| {
        for host in ["dc1-app1", "dc1-app2"] {
            assert_eq!(version(&lab, host), wanted, "{host}");
        }
    };
    now("\"version\": \"2.0\"");
    examples.svcops(&["rollback", "last", "--yes"]).exits(0);
    now(&earlier);

    // The release is another one than it says: the nodes go back to the earlier one, on the disk and in memory.
    variant(&examples, "script", "body: '\"version\": \"{{ params.version }}\"'", "body: '\"version\": \"3.0\"'");
    let ended = examples.svcops(&["run", "script", "-p", "version=2.0", "--yes"]).exits(1).says("without");
    client.stop().none_failed();
    now(&earlier);
    assert_eq!(Lab::balanced(), all_ready(), "{ended}");
    lab.on("dc1-app1", "test ! -e /opt/billing/VERSION.before");
}

#[test]
fn readiness_names_who_is_not_ready_and_touches_nothing() {
    let Some(lab) = Lab::take("readiness_names_who_is_not_ready_and_touches_nothing") else { return };
    let examples = lab.examples();
    let before = lab.seen();
    examples.svcops(&["run", "readiness"]).exits(0);
    assert_eq!(lab.seen(), before);

    sick(&lab, "dc2-app1");
    let before = lab.seen();
    let ended = examples.svcops(&["run", "readiness"]).exits(1).says("`dc2-app1`");
    assert!(!ended.stderr.contains("failed  `dc1"), "{ended}");
    assert_eq!(lab.seen(), before);
}

#[test]
fn a_site_goes_out_of_service_and_comes_back_with_mails_to_duty() {
    let Some(lab) = Lab::take("a_site_goes_out_of_service_and_comes_back_with_mails_to_duty") else { return };
    let examples = lab.examples();
    lab.mails_with("");
    let told = || {
        let run = examples.newest()["run"].as_str().unwrap().to_owned();
        let mut subjects: Vec<String> = lab.mails_with(&run).iter().map(|m| parsed(m)["subject"].to_string()).collect();
        subjects.sort();
        subjects
    };

    let client = Client::start();
    let ended = examples.svcops(&["run", "site-stop", "--yes", "--reason", "CHG-1042: замена ИБП"]).exits(0);
    let answers = client.stop();
    answers.none_failed();
    assert!(answers.hosts.last().is_some_and(|host| host.starts_with("dc2")), "{answers:?}");
    assert_eq!(Lab::balanced()["dc1-app1"], "drain", "{ended}");
    assert_eq!(lab.on("dc1-app2", "systemctl is-active billing || true"), "inactive\n", "{ended}");
    assert_eq!(told(), ["\"Биллинг: вывод площадки dc1: done\"", "\"Биллинг: начинаем вывод площадки dc1\""]);

    // One node does not come up: the site stays out of service as a whole, and duty is told.
    lab.on("dc1-app2", "sudo touch /etc/billing/fail-start");
    let ended = examples.svcops(&["run", "site-start", "--yes"]).exits(1).says("dc1-app2");
    assert_eq!(Lab::balanced()["dc1-app1"], "drain", "{ended}");
    assert_eq!(lab.on("dc1-app1", "systemctl is-active billing || true"), "inactive\n", "{ended}");
    assert_eq!(told(), ["\"Биллинг: возврат площадки dc1: rolled_back\""]);
    lab.on("dc1-app2", "sudo rm /etc/billing/fail-start; sudo systemctl reset-failed billing");

    let ended = examples.svcops(&["run", "site-start", "--yes"]).exits(0);
    assert_eq!(Lab::balanced(), all_ready(), "{ended}");
    assert_eq!(told(), ["\"Биллинг: возврат площадки dc1: done\""]);

    // Nothing is stopped while the other site cannot carry it; the last mail is sent all the same.
    sick(&lab, "dc2-app1");
    let before = lab.seen();
    examples.svcops(&["run", "site-stop", "--yes"]).exits(1).says("dc2-app1");
    assert_eq!(lab.seen(), before);
    assert_eq!(told(), ["\"Биллинг: вывод площадки dc1: rolled_back\""]);
}

/// All of the backend's servers take traffic but this one.
fn but(host: &str, state: &'static str) -> BTreeMap<String, &'static str> {
    let mut all = all_ready();
    all.insert(host.to_owned(), state);
    all
}
