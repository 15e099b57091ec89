use super::*;
use crate::inventory::sample_services::moving;

fn text(inventory: &Inventory, to: &str, way: Way) -> String {
    compose(inventory, &Switch { service: &inventory.services["crm"], to, way }).unwrap()
}

/// Each step: its action, where it runs, and what is special about it.
fn outline(text: &str) -> Vec<String> {
    let value: Value = serde_yaml::from_str(text).unwrap();
    let line = |step: &Value| {
        let step = step.as_object().unwrap();
        let (action, args) = step.iter().find(|(key, _)| key.contains('.') || *key == "command").unwrap();
        let on = step.get("targets").and_then(Value::as_str).map(|on| format!(" on {on}")).unwrap_or_default();
        let special = ["no_return", "always"].into_iter().filter(|key| step.contains_key(*key));
        let backend = args.get("backend").and_then(Value::as_str).map(|b| format!(" {b}")).unwrap_or_default();
        special.fold(format!("{action}{backend}{on}"), |line, key| format!("{line}, {key}"))
    };
    value["steps"].as_array().unwrap().iter().map(line).collect()
}

#[test]
fn a_switch_knows_all_before_it_begins_and_promotes_only_what_has_ended() {
    insta::assert_snapshot!(text(&moving(), "dc2", Way::Whole), @r#"
    svcops: 1
    name: failover-crm-to-dc2
    title: Move CRM from dc1 to dc2
    targets: site in (dc1,dc2)
    steps:
    - name: A client looks at crm
      service.watch:
        service: crm
    - name: Is crm-db on dc2-db1 able to take over?
      postgres.ready:
        database: crm-db
        from: dc1-db1
        rpo: 0B
      targets: dc2-db1
    - name: "Jobs leave dc1: settle.timer, settle"
      jobs.stop:
        timers:
        - settle.timer
        cron:
        - settle
      targets: role=app, site=dc1
    - name: crm-db on dc2-db1 writes out what it holds in memory
      postgres.checkpoint:
        database: crm-db
      targets: dc2-db1
    - name: crm-db on dc1-db1 writes out what it holds in memory
      postgres.checkpoint:
        database: crm-db
      targets: dc1-db1
    - name: Nothing starts crm-db on dc1-db1 again
      postgres.mask:
        database: crm-db
        peer: dc2-db1
      targets: dc1-db1
    - name: Take crm-db at dc1 out of front
      haproxy.drain:
        balancer: front
        backend: crm-db
        within: 0s
        then: kill
      targets: role=db, site=dc1
      patience: 15s
    - name: Take billing at dc1 out of its balancer
      haproxy.drain:
        balancer: front
        backend: billing
        server: "{{ host.name }}"
        within: 5s
        then: kill
      targets: role=app, site=dc1
      patience: 15s
    - name: Stop billing at dc1
      app.stop:
        app: billing
      targets: role=app, site=dc1
      patience: 15s
    - name: licence leaves dc1
      command:
        run: licence release
        unless: licence status; test $? -eq 1
      undo:
      - command: licence take
      targets: role=app, site=dc1
      patience: 15s
    - name: crm-db on dc1-db1 writes out what came meanwhile
      postgres.checkpoint:
        database: crm-db
      targets: dc1-db1
      patience: 15s
    - name: Stop crm-db on dc1-db1
      postgres.stop:
        database: crm-db
        peer: dc2-db1
      targets: dc1-db1
      patience: 15s
    - name: Promote crm-db on dc2-db1
      postgres.promote:
        database: crm-db
        from: dc1-db1
      targets: dc2-db1
      no_return: true
      patience: 15s
    - name: Bring crm-db at dc2 into front
      haproxy.enable:
        balancer: front
        backend: crm-db
      targets: role=db, site=dc2
      retry:
        attempts: 3
        delay: 1s
    - name: Start billing at dc2
      app.start:
        app: billing
      targets: role=app, site=dc2
      retry:
        attempts: 3
        delay: 1s
    - name: Bring billing at dc2 into its balancer
      haproxy.enable:
        balancer: front
        backend: billing
        server: "{{ host.name }}"
      targets: role=app, site=dc2
      retry:
        attempts: 3
        delay: 1s
    - name: Point crm.lab.test to dc2
      dns.update:
        zone: lab.test
        name: crm
        type: A
        values:
        - "10.77.0.23"
        state: only
        ttl: 5s
      targets: lb
      retry:
        attempts: 3
        delay: 1s
    - name: licence arrives at dc2
      command:
        run: licence take
        unless: licence status
      undo:
      - command: licence release
      targets: role=app, site=dc2
    - name: "Jobs arrive at dc2: settle.timer, settle"
      jobs.start:
        timers:
        - settle.timer
        cron:
        - settle
      targets: role=app, site=dc2
      retry:
        attempts: 3
        delay: 1s
    - name: A client sees it
      service.verify:
        service: crm
    - name: crm-db on dc1-db1 follows dc2-db1
      postgres.follow:
        database: crm-db
        primary: dc2-db1
      targets: dc1-db1
      retry:
        attempts: 3
        delay: 1s
    - name: What a client saw in the end
      service.verify:
        service: crm
        within: "{{ '1s' if run.outcome == 'stopped' else '1m' if run.touched and run.outcome not in ['unknown', 'failed'] else '5s' }}"
      always: true
    "#);
}

#[test]
fn what_is_left_of_a_switch_comes_after_its_promotion() {
    insta::assert_snapshot!(outline(&text(&moving(), "dc2", Way::Rest)).join("\n"), @r"
    service.watch
    jobs.stop on role=app, site=dc1
    haproxy.drain crm-db on role=db, site=dc1
    haproxy.drain billing on role=app, site=dc1
    app.stop on role=app, site=dc1
    command on role=app, site=dc1
    haproxy.enable crm-db on role=db, site=dc2
    app.start on role=app, site=dc2
    haproxy.enable billing on role=app, site=dc2
    dns.update on lb
    command on role=app, site=dc2
    jobs.start on role=app, site=dc2
    service.verify
    postgres.follow on dc1-db1
    service.verify, always
    ");
}

#[test]
fn a_drill_does_all_that_can_be_undone_and_turns_back() {
    let steps = outline(&text(&moving(), "dc2", Way::Drill));
    assert_eq!(steps[steps.len() - 3..], ["postgres.stop on dc1-db1", "drill.end", "service.verify, always"]);
    assert!(!steps.iter().any(|step| step.contains("promote") || step.contains("no_return")), "{steps:?}");
}

#[test]
fn a_service_without_a_database_has_no_point_of_no_return() {
    let mut inventory = moving();
    let service = inventory.services.get_mut("crm").unwrap();
    service.parts.retain(|part| !matches!(part, crate::inventory::Part::Database(_)));
    service.probe = None;
    insta::assert_snapshot!(outline(&text(&inventory, "dc1", Way::Whole)).join("\n"), @r"
    jobs.stop on role=app, site=dc2
    haproxy.drain crm-db on role=db, site=dc2
    haproxy.drain billing on role=app, site=dc2
    app.stop on role=app, site=dc2
    command on role=app, site=dc2
    haproxy.enable crm-db on role=db, site=dc1
    app.start on role=app, site=dc1
    haproxy.enable billing on role=app, site=dc1
    dns.update on lb
    command on role=app, site=dc1
    jobs.start on role=app, site=dc1
    ");
    let drill = outline(&text(&inventory, "dc1", Way::Drill));
    assert_eq!(drill.last().unwrap(), "drill.end", "there and back, for all of it can be undone");
    assert!(drill.iter().any(|step| step.starts_with("dns.update")), "{drill:?}");
}

#[test]
fn patroni_hands_over_by_itself_and_nothing_is_masked_before() {
    let mut inventory = moving();
    let led = inventory.databases["led-db"].clone();
    inventory.databases.insert("crm-db".into(), Database { name: "crm-db".into(), ..led });
    let steps = outline(&text(&inventory, "dc2", Way::Whole));
    let own: Vec<&String> = steps.iter().filter(|s| s.starts_with("postgres") || s.starts_with("patroni")).collect();
    assert_eq!(
        own,
        [
            "postgres.ready on dc2-db1",
            "postgres.checkpoint on dc2-db1",
            "postgres.checkpoint on dc1-db1",
            "postgres.checkpoint on dc1-db1",
            "patroni.switchover on dc2-db1, no_return",
            "patroni.switchover on dc2-db1",
        ]
    );
}

#[test]
fn traffic_of_an_app_that_moves_comes_after_it_and_is_declared_where_one_likes() {
    let mut inventory = moving();
    let servers = crate::inventory::Selector {
        text: "role=app".into(),
        terms: vec![crate::inventory::Term::In("role".into(), vec!["app".into()])],
    };
    let traffic = crate::inventory::Part::Balancer { name: "front".into(), backend: "billing".into(), servers };
    inventory.services.get_mut("crm").unwrap().parts.insert(0, traffic);
    let steps = outline(&text(&inventory, "dc2", Way::Whole));
    let of_app: Vec<&String> = steps.iter().filter(|s| s.contains("billing") || s.starts_with("app.")).collect();
    assert_eq!(
        of_app,
        [
            "haproxy.drain billing on role=app, site=dc1",
            "app.stop on role=app, site=dc1",
            "app.start on role=app, site=dc2",
            "haproxy.enable billing on role=app, site=dc2",
        ]
    );
}

#[test]
fn an_app_that_runs_at_both_sites_is_only_seen_to_be_well_before_anything_moves() {
    let mut inventory = moving();
    for part in &mut inventory.services.get_mut("crm").unwrap().parts {
        if let crate::inventory::Part::App { both, .. } = part {
            *both = true;
        }
    }
    let steps = outline(&text(&inventory, "dc2", Way::Whole));
    let app: Vec<usize> = (0..steps.len()).filter(|n| steps[*n].starts_with("app.")).collect();
    assert_eq!(app.iter().map(|n| steps[*n].as_str()).collect::<Vec<_>>(), ["app.start on role=app, site=dc2"]);
    assert!(app[0] < steps.iter().position(|s| s.starts_with("haproxy.drain")).unwrap());
}

#[test]
fn what_is_not_there_is_said() {
    let inventory = moving();
    let said = |name: &str| find(&inventory, name).unwrap_err().to_string();
    assert_eq!(said("crn"), "svcops.yaml has no service `crn`; did you mean `crm`?");
    let why = from(&inventory.services["crm"], "dc3").unwrap_err().to_string();
    assert_eq!(why, "service `crm` does not run at `dc3`: its sites are `dc1`, `dc2`");
}
