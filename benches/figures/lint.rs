//! `svcops lint` of 1,000 runbooks of 50 lines over 100 hosts. Aim: 1 s.

use super::shared::figure::{self, SVCOPS, line, median};
use std::{fmt::Write as _, fs, path::Path, process::Command};

pub fn bench() {
    let folder = tempfile::tempdir().unwrap();
    let runbooks = folder.path().join("runbooks");
    fs::create_dir(&runbooks).unwrap();
    fs::write(folder.path().join("svcops.yaml"), INVENTORY).unwrap();
    let texts: Vec<String> = (1..=RUNBOOKS).map(runbook).collect();
    for (number, text) in texts.iter().enumerate() {
        fs::write(runbooks.join(format!("r{number}.yaml")), text).unwrap();
    }
    let lines = texts.first().map_or(0, |text| text.lines().count());

    let took = median(3, || figure::run(Command::new(SVCOPS).arg("lint").current_dir(folder.path()), 0));
    let floor = median(3, || read_all(&runbooks));
    line(&format!("lint: {RUNBOOKS} runbooks of {lines} lines, 100 hosts"), took, floor, "reading these files");
}

fn read_all(folder: &Path) {
    let sum: usize = fs::read_dir(folder).unwrap().flatten().map(|file| fs::read(file.path()).unwrap().len()).sum();
    assert!(sum > 0);
}

fn runbook(number: usize) -> String {
    let mut text = format!(
        "svcops: 1\nname: work-{number}\ntitle: Регламентная работа {number}\nowner: ops\n\
         params:\n  site: {{type: string, enum: [dc1, dc2], default: dc1}}\n\
         targets: role=app, site={{{{ params.site }}}}\nsteps:\n"
    );
    for step in 1..=14 {
        write!(
            text,
            "  - name: Шаг {step}\n    command: {{run: 'echo {{{{ host.name }}}} {step}', env: {{N: '{step}'}}}}\n    when: params.site == 'dc1'\n"
        )
        .unwrap();
    }
    text
}

const RUNBOOKS: usize = 1000;
const INVENTORY: &str = "project: lint
sites: {dc1: {}, dc2: {}}
hosts:
  a[01-50]: {site: dc1, labels: {role: app}}
  b[01-50]: {site: dc2, labels: {role: app}}
";
