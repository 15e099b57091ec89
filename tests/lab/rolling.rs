//! The node by node restart of a real service behind a real balancer.

use crate::{
    client::Client,
    hosts::{APP_HOSTS, Lab, all_ready},
    support::is,
};
use serde_json::Value;

#[test]
fn a_site_is_restarted_node_by_node_and_no_request_fails() {
    let Some(lab) = Lab::take("a_site_is_restarted_node_by_node_and_no_request_fails") else { return };
    let crm = lab.crm();
    let before = lab.seen();

    let client = Client::start();
    let ended = crm.svcops(&["app", "restart", "billing", "--site", "dc1", "--yes"]).exits(0);
    let answers = client.stop();

    answers.none_failed();
    let after = lab.seen();
    for host in APP_HOSTS {
        let restarted = before[host].unit != after[host].unit;
        assert_eq!(restarted, host.starts_with("dc1"), "{host}\n{ended}");
        assert_eq!(before[host].files, after[host].files, "{host}: no file was touched");
    }
    assert_eq!(Lab::balanced(), all_ready());

    // One by one: all that was done to the first node comes before anything that was done to the second.
    let run = crm.newest();
    assert_eq!((&run["outcome"], &run["runbook"]), (&Value::from("done"), &Value::from("app restart billing")));
    let told = acts(&crm.events(run["run"].as_str().unwrap()));
    let first = told.iter().rposition(|(host, _)| host == "dc1-app1").unwrap();
    let second = told.iter().position(|(host, _)| host == "dc1-app2").unwrap();
    assert!(first < second, "{told:?}");
    for host in ["dc1-app1", "dc1-app2"] {
        let words: Vec<&str> = told.iter().filter(|(of, _)| of == host).map(|(_, what)| what.as_str()).collect();
        assert_eq!(words, ["set_server", "restart_unit", "set_server"], "drained, restarted, enabled");
    }

    // It runs: starting it is nothing to do, and svcops says so.
    let before = lab.seen();
    let ended = crm.svcops(&["app", "start", "billing", "--yes"]).exits(0).says("nothing to do");
    assert_eq!(lab.seen(), before, "{ended}");
    assert_eq!(Lab::balanced(), all_ready());
}

#[test]
fn the_languages_own_example_is_carried_out_once() {
    let Some(lab) = Lab::take("the_languages_own_example_is_carried_out_once") else { return };
    let crm = lab.crm();
    crm.svcops(&["lint"]).exits(0);
    lab.mails_with("");

    let client = Client::start();
    crm.svcops(&["run", "runbooks/billing-restart.yaml", "-p", "site=dc2", "--yes"]).exits(0);
    client.stop().none_failed();
    let run = crm.newest()["run"].as_str().unwrap().to_owned();
    let mails = lab.mails_with(&format!("X-Svcops-Run: {run}"));
    assert_eq!(mails.len(), 1, "{mails:?}");
    assert!(mails[0].contains("Subject: billing: ") && mails[0].contains("To: duty@lab.test"), "{mails:?}");

    for host in ["dc2-app1", "dc2-app2"] {
        let copied = lab.on(host, "cat /etc/billing/billing.conf; stat -c '%a %U' /etc/billing/billing.conf");
        assert_eq!(copied, format!("{}644 root\n", include_str!("../data/crm/files/billing.conf")));
    }
    // A second time there is nothing to copy, so nothing is restarted.
    let before = lab.seen();
    crm.svcops(&["run", "runbooks/billing-restart.yaml", "-p", "site=dc2", "--yes"]).exits(0);
    assert_eq!(lab.seen(), before);
    assert_eq!(Lab::balanced(), all_ready());
}

/// The acts of a run in order: the host that a task is for, and the kind of the change.
fn acts(events: &[Value]) -> Vec<(String, String)> {
    let announced = events.iter().filter(|e| is(e, "announced"));
    announced
        .flat_map(|event| {
            let host = event["task"].as_str().unwrap().rsplit('@').next().unwrap().to_owned();
            let kind = |change: &Value| change["what"].as_object().unwrap().keys().next().unwrap().clone();
            event["changes"].as_array().unwrap().iter().map(move |c| (host.clone(), kind(c))).collect::<Vec<_>>()
        })
        .collect()
}
