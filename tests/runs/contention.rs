//! Two users and cron on one machine want one host: one of them has it, the others are told who and why.

use crate::support::{Ended, Project, is};
use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown},
    process::Command,
};

const SLOW: &str = "svcops: 1
name: slow
title: Медленная работа
targets: here
steps:
  - {name: Работа, command: 'while [ ! -e go ]; do sleep 0.05; done', timeout: 60s}
";

#[test]
fn one_run_has_the_host_and_the_others_are_told_who_and_why() {
    let world = world();
    let mut first = world.stream(&["run", "runbooks/slow.yaml", "--yes", "--reason", "Плановая работа"]);
    let run = first.until(|e| is(e, "announced")).expect("it begins")["run"].as_str().unwrap().to_owned();

    for (who, mut command) in
        [("the same user", Some(plain(&world))), ("cron", Some(cron(&world))), ("another user", other_user(&world))]
    {
        let Some(command) = command.as_mut() else {
            eprintln!("skipped: only root can become another user");
            continue;
        };
        let refused = ended(who, command).exits(75);
        assert!(refused.stderr.contains(&run), "{who} is not told which run holds it\n{refused}");
        assert!(refused.stderr.contains("slow"), "{who} is not told what it does\n{refused}");
    }
    fs::write(world.root().join("go"), "").unwrap();
    first.finish().exits(0);
    world.svcops(&["run", "runbooks/slow.yaml", "--yes"]).exits(0);
}

#[test]
fn what_a_killed_run_held_is_nobodys_until_it_is_seen_to() {
    let world = world();
    let mut first = world.stream(&["run", "runbooks/slow.yaml", "--yes", "--reason", "Плановая работа"]);
    let run = first.until(|e| is(e, "announced")).expect("it begins")["run"].as_str().unwrap().to_owned();
    first.kill();

    for (who, mut command) in
        [("the same user", Some(plain(&world))), ("cron", Some(cron(&world))), ("another user", other_user(&world))]
    {
        let Some(command) = command.as_mut() else { continue };
        ended(who, command).exits(75).says(&run).says("svcops resume");
    }
    fs::write(world.root().join("go"), "").unwrap();
    world.svcops(&["resume", &run, "--yes"]).exits(0);
    world.svcops(&["run", "runbooks/slow.yaml", "--yes"]).exits(0);
    world.svcops(&["history", "verify"]).exits(0);
}

/// Locks are the state directory's (who has one of their own is told so): this is all that is to be had without them.
#[test]
fn two_with_states_of_their_own_lock_nobody_out_and_mix_nothing_up() {
    let worlds = [world(), world()];
    let marks = worlds[0].root().join("marks");
    for world in &worlds {
        let text = SLOW.replace("while [ ! -e go ]; do sleep 0.05; done", &format!("echo x >> {}", marks.display()));
        world.file("runbooks/slow.yaml", &text);
    }
    let both: Vec<_> = worlds.iter().map(|world| world.stream(&["run", "runbooks/slow.yaml", "--yes"])).collect();
    for running in both {
        running.finish().exits(0);
    }
    assert_eq!(fs::read_to_string(marks).unwrap(), "x\nx\n", "each did its own, once");
    for world in &worlds {
        world.svcops(&["history", "verify"]).exits(0);
    }
}

fn ended(who: &str, command: &mut Command) -> Ended {
    Ended::of(&[who], command)
}

/// A project that a second user can reach, with its state directory shared by a group.
fn world() -> Project {
    let world = Project::new("project: shared\nhosts:\n  here: {local: true}\n");
    world.file("runbooks/slow.yaml", &SLOW.replace("go ]", &format!("{}/go ]", world.root().display())));
    let open = |path: &std::path::Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    fs::create_dir_all(world.state()).unwrap();
    if is_root() {
        chown(world.state(), None, Some(NOBODY)).unwrap();
        open(&world.state(), 0o2770);
        open(world.root().parent().unwrap(), 0o755);
        fs::copy(env!("CARGO_BIN_EXE_svcops"), world.root().join("svcops")).unwrap();
    }
    world
}

fn plain(world: &Project) -> Command {
    world.command(&["run", "runbooks/slow.yaml", "--yes"])
}

/// As cron starts a job: `sh -c` with next to no environment and no terminal.
fn cron(world: &Project) -> Command {
    let mut command = Command::new("/bin/sh");
    let job = format!(
        "cd '{}' && '{}' --state '{}' run runbooks/slow.yaml --yes",
        world.root().display(),
        env!("CARGO_BIN_EXE_svcops"),
        world.state().display()
    );
    command.args(["-c", &job]).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", world.home());
    command
}

fn other_user(world: &Project) -> Option<Command> {
    let nobody = NOBODY.to_string();
    let mut command = Command::new("/usr/bin/setpriv");
    command
        .args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"])
        .arg(world.root().join("svcops"))
        .args(["run", "runbooks/slow.yaml", "--yes"])
        .current_dir(world.root())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", "/nonexistent")
        .env("SVCOPS_STATE", world.state());
    is_root().then_some(command)
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Debian's `nobody` and `nogroup`.
const NOBODY: u32 = 65534;
