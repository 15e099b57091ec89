use crate::{Output, Site};
use std::{
    io::Write as _,
    process::{Command, Stdio},
};

/// `svcops init WORDS` in a folder of its own; what it wrote lints without a warning and its first example can be planned.
fn made(words: &str) -> Site {
    let site = bare();
    site.svcops(&format!("init {words}")).exits(0);
    works(&site, "");
    site
}

/// A world without a project.
fn bare() -> Site {
    let site = Site::new();
    std::fs::remove_file(site.root().join("svcops.yaml")).unwrap();
    site
}

fn works(site: &Site, at: &str) -> Output {
    site.svcops(&format!("{at} lint --strict")).exits(0);
    site.svcops(&format!("{at} plan first")).exits(0)
}

fn text(site: &Site, file: &str) -> String {
    std::fs::read_to_string(site.root().join(file)).unwrap()
}

#[test]
fn a_project_for_this_machine_says_what_to_do_next() {
    let site = bare();
    insta::assert_snapshot!(site.svcops("init 'Новая CRM'"), @r"
    exit: 0
    --- stdout
    project `Новая-CRM`
      files/note.txt
      runbooks/first.yaml
      svcops.yaml

    Next:
      cd 'Новая CRM'
      svcops lint        # find every fault of the files
      svcops plan first  # what the example would change
      svcops run first   # show that, ask, carry it out
    ");
    let plan = works(&site, "-C 'Новая CRM'");
    assert!(plan.stdout.contains("+here belongs to project Новая-CRM."), "{plan}");
    site.svcops("-C 'Новая CRM' app status billing").exits(3);
}

#[test]
fn an_app_of_systemd_has_a_runbook_of_its_own() {
    let site = made("--app billing");
    assert!(text(&site, "svcops.yaml").contains("{systemd: billing.service}"));
    let site = made("--app биллинг --unit billing@1.service --name crm");
    assert!(text(&site, "svcops.yaml").contains("billing@1.service"));
    assert!(text(&site, "runbooks/restart-биллинг.yaml").contains("app.restart: {app: биллинг}"));
}

#[test]
fn an_app_of_a_control_script_can_be_planned_and_restarted() {
    let site = Site::new();
    std::fs::remove_file(site.root().join("svcops.yaml")).unwrap();
    let script = site.path("my ctl");
    let said = site.path("said");
    std::fs::write(
        &script,
        format!(
            "echo $1 >> '{}'; case $1 in status) test -e '{0}.up';; start) touch '{0}.up';; stop) rm '{0}.up';; esac\n",
            said.display()
        ),
    )
    .unwrap();
    let control = format!("sh '{}'", script.display());
    site.svcops(&format!("init --app shop --control \"{control}\"")).exits(0);
    works(&site, "");
    site.svcops("plan restart-shop").exits(0);
    site.svcops("app start shop --yes").exits(0);
    site.svcops("run restart-shop --yes").exits(0);
    let acts = std::fs::read_to_string(said).unwrap();
    let acts: Vec<&str> = acts.lines().filter(|act| *act != "status").collect();
    assert_eq!(acts, ["start", "stop", "start"]);
}

#[test]
fn a_host_behind_ssh_is_named_as_ssh_knows_it() {
    let site = bare();
    let said = site.svcops("init --host web1").exits(0);
    assert!(said.stdout.contains("svcops doctor"), "{said}");
    site.svcops("lint --strict").exits(0);
    assert!(text(&site, "svcops.yaml").contains("  web1: {labels: {role: app}}"));
}

#[test]
fn nothing_is_written_over_and_nothing_is_left_of_what_was_refused() {
    let site = bare().file("runbooks/first.yaml", "mine\n");
    insta::assert_snapshot!(site.svcops("init"), @r"
    exit: 2
    --- stderr
    error: `runbooks/first.yaml` would be written over; nothing was written
    hint: `svcops init DIR` makes a project in another folder
    ");
    assert_eq!(text(&site, "runbooks/first.yaml"), "mine\n");
    for words in ["--app run", "--host ops@web1", "--name 'a b'", "--app ../x", "--host all", "--unit x", "-o jsonl"] {
        site.svcops(&format!("init sub {words}")).exits(2);
        assert!(!site.root().join("sub").exists(), "{words}");
    }
    assert!(!site.root().join("svcops.yaml").exists() && !site.root().join("files").exists());
    site.svcops("init sub").exits(0);
    site.svcops("init sub").exits(2);
}

#[test]
fn a_script_is_told_what_was_made() {
    let made = bare().svcops("init --name crm -o json").exits(0).json();
    assert_eq!(made["project"], "crm");
    assert_eq!(made["made"][2], "svcops.yaml");
}

#[test]
fn on_a_terminal_it_asks_and_empty_answers_are_the_defaults() {
    let site = bare();
    let svcops = site.command("init 'моя crm'");
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &format!("{} init 'моя crm'", svcops.get_program().to_str().unwrap()), "/dev/null"]);
    terminal.current_dir(site.root()).env_clear();
    terminal.envs(svcops.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let Ok(mut child) = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
        eprintln!("skipped: there is no `script` to make a terminal");
        return;
    };
    child.stdin.as_mut().unwrap().write_all("\nlocal\nбиллинг\n/opt/ctl\n".as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(said.contains("Project name [моя-crm]:") && said.contains("[биллинг.service]:"), "{said}");
    let inventory = text(&site, "моя crm/svcops.yaml");
    assert!(inventory.contains("project: моя-crm") && inventory.contains("start: /opt/ctl start"), "{inventory}");
    works(&site, "-C 'моя crm'");
}
