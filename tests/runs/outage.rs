//! The outage of a service in a run: watched from before its first act, measured, and told with its phases.

use crate::support::Project;
use std::{net::TcpListener, path::PathBuf, thread};

/// A service that answers as long as no file says that it is down.
fn service(flag: PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut held = std::collections::VecDeque::new();
        for stream in listener.incoming().map_while(Result::ok) {
            if !flag.exists() {
                held.push_back(stream);
                held.truncate(64);
            }
        }
    });
    port
}

fn world(steps: &str) -> Project {
    let world = Project::new("");
    let down = world.root().join("down");
    let port = service(down.clone());
    let services = format!(
        "project: crm\nsites: {{dc1: {{}}, dc2: {{}}}}\nhosts:\n  here: {{local: true, site: dc1, labels: {{role: x}}}}\n  there: {{address: 192.0.2.1, site: dc2, labels: {{role: x}}}}\n\
         services:\n  crm: {{sites: [dc1, dc2], rpo: 0B, rto: 30s, probe: {{tcp: \"127.0.0.1:{port}\"}}, parts: [{{command: {{name: x, hosts: role=x, stop: \"true\", start: \"true\", status: \"true\"}}}}]}}\n"
    );
    world.file("svcops.yaml", &services);
    let steps = steps.replace("DOWN", &down.display().to_string());
    world.file("runbooks/switch.yaml", &format!("svcops: 1\nname: switch\ntargets: here\nsteps:\n{steps}"));
    world
}

const SWITCH: &str = r#"
  - {name: Watch, service.watch: {service: crm}}
  - {name: Away, command: "touch 'DOWN'; sleep 0.1", undo: [{command: "rm 'DOWN'"}]}
  - {name: Прочь, command: "sleep 0.1", undo: [{command: "true"}]}
  - {name: Back, command: "rm 'DOWN'", undo: [{command: "touch 'DOWN'"}]}
  - {name: Seen, service.verify: {service: crm}}
"#;

/// The outage of the only run's JSON; checks what holds of each.
fn outage(answer: &serde_json::Value) -> serde_json::Value {
    let outages = answer["outages"].as_array().unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(outages.len(), 1, "{answer}");
    let outage = outages[0].clone();
    let phases = outage["phases"].as_array().unwrap();
    let sum: u64 = phases.iter().map(|phase| phase["ms"].as_u64().unwrap()).sum();
    assert_eq!(Some(sum), outage["outage_ms"].as_u64(), "{outage}");
    outage
}

#[test]
fn a_run_measures_the_outage_that_it_makes_and_tells_whose_time_it_was() {
    let world = world(SWITCH);
    let ended = world.svcops(&["run", "switch", "--yes", "--reason", "test", "-o", "json"]).exits(0);
    let outage = outage(&ended.json());
    let (over, whole, met) = (&outage["over"], &outage["measured"], &outage["rto_met"]);
    assert_eq!((over, whole, met), (&true.into(), &"whole".into(), &true.into()), "{outage}");
    assert!(outage["outage_ms"].as_u64() >= Some(190) && outage["failed"].as_u64() >= Some(3), "{outage}");
    let names: Vec<&str> = outage["phases"].as_array().unwrap().iter().filter_map(|p| p["name"].as_str()).collect();
    assert!(names.starts_with(&["Away", "Прочь"]), "{outage}");
    let run = world.newest()["run"].as_str().unwrap().to_owned();
    world.svcops(&["report", &run, "--markdown"]).exits(0).says("### Outage of crm: ").says("3 Прочь | ");
    assert!(!world.root().join("down").exists());
}

#[test]
fn a_run_that_goes_back_tells_its_outage_by_a_last_step_that_always_comes() {
    let steps = SWITCH.replace("name: Back, command: \"rm 'DOWN'\"", "name: Back, command: \"false\"")
        + "  - {name: In the end, always: true, service.verify: {service: crm}}\n";
    let world = world(&steps);
    let ended = world.svcops(&["run", "switch", "--yes", "--reason", "test", "-o", "json"]);
    let outage = outage(&ended.json());
    assert!(outage["over"] == true && outage["failed"].as_u64() >= Some(3), "{outage}");
}

#[test]
fn a_service_that_no_client_sees_is_not_touched() {
    let steps = SWITCH.replace("service.watch: {service: crm}", "service.watch: {service: crm}, timeout: 1s");
    let world = world(&steps);
    world.file("down", "");
    world.svcops(&["run", "switch", "--yes", "--reason", "test"]).says("a client does not see `crm`: ");
}
