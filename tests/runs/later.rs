//! What comes with a later version is refused with its place, never ignored.

use crate::support::Project;

#[test]
fn what_comes_later_is_refused_with_its_place() {
    let inventory = "project: crm\nhosts:\n  here: {local: true}\n";
    let runbook = "svcops: 1\nname: r\ntargets: here\nsteps:\n  - {name: s, command: 'true'}\n";
    for (later, in_runbook) in [
        ("windows: {night: {from: '01:00'}}\n", false),
        ("freezes: []\n", false),
        ("people: {}\n", false),
        ("schedule: {every: day}\n", true),
        ("approvals: 2\n", true),
        ("window: night\n", true),
    ] {
        let (project, file, line) = if in_runbook {
            (Project::new(inventory), "runbooks/r.yaml", 6)
        } else {
            (Project::new(&format!("{inventory}{later}")), "svcops.yaml", 4)
        };
        project.file("runbooks/r.yaml", &format!("{runbook}{}", if in_runbook { later } else { "" }));
        for words in [&["lint"][..], &["run", "runbooks/r.yaml", "--yes"], &["plan", "runbooks/r.yaml"]] {
            project.svcops(words).exits(2).says(&format!("{file}:{line}:1"));
        }
    }
}
