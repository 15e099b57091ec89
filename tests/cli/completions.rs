//! Completion as the shells themselves do it: each with the script that `svcops completions` prints.

use crate::Site;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

fn site() -> Site {
    Site::new()
        .host("web-1")
        .host("web-2")
        .yaml("sites: {dc1: {title: Основной ЦОД}}\napps: {billing: {title: Биллинг, hosts: all, manager: {systemd: b.service}}}\n\
             certificates: {shop-tls: {title: Магазин, places: [{served: \"shop.example.org:443\"}]}}\nsecrets: {store: {env: STORE}}")
        .runbook(
            "
            svcops: 1
            name: renew
            title: Обновление узлов
            targets: all
            params:
              site: {type: string, enum: [dc1, dc2], default: dc1, help: Which site}
              node: {type: host}
            steps:
              - command: 'true'",
        )
}

/// The shell, with svcops before all else in its PATH; none, and a word about it: it is not installed.
fn shell(site: &Site, name: &str) -> Option<Command> {
    let found =
        ["/bin", "/usr/bin", "/usr/local/bin"].iter().map(|dir| Path::new(dir).join(name)).find(|p| p.is_file());
    let Some(path) = found else {
        say(&format!("skipped: {name} is not installed"));
        return None;
    };
    let svcops = PathBuf::from(env!("CARGO_BIN_EXE_svcops"));
    let like = site.command("");
    let mut command = Command::new(path);
    command.current_dir(site.root()).env_clear();
    for (name, value) in like.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command.env("PATH", format!("{}:/usr/bin:/bin", svcops.parent().unwrap().display())).env("TERM", "dumb");
    Some(command)
}

#[expect(clippy::print_stderr, reason = "who reads the test's output should know that it proved nothing")]
fn say(text: &str) {
    eprintln!("{text}");
}

fn lines(command: &mut Command) -> Vec<String> {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "", "a completion is silent");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// What bash makes of a line: its function is called as readline calls it, with the words broken as readline breaks them.
fn bash(site: &Site, line: &str) -> Option<Vec<String>> {
    let mut command = shell(site, "bash")?;
    let word = line.rsplit([' ', '=', ':']).next().unwrap();
    let script = "source <(svcops completions bash)
        COMP_LINE=$1 COMP_POINT=${#1}
        _svcops svcops \"$2\" x
        ((${#COMPREPLY[@]})) && printf '%s\\n' \"${COMPREPLY[@]}\"
        true";
    Some(lines(command.args(["--norc", "-c", script, "bash", line, word])))
}

fn fish(site: &Site, line: &str) -> Option<Vec<String>> {
    let mut command = shell(site, "fish")?;
    let script = format!("svcops completions fish | source; complete -C '{line}'");
    Some(lines(command.args(["--no-config", "-c", &script])))
}

/// The line that zsh has after a tab, on a terminal of its own.
fn zsh(site: &Site, line: &str) -> Option<String> {
    let mut command = shell(site, "zsh")?;
    let script = r#"
        zmodload zsh/zpty
        zpty shell "zsh -f -i"
        zpty -w shell "PS1=; unsetopt zle_bracketed_paste 2> /dev/null; autoload -Uz compinit; compinit -D -u; source <(svcops completions zsh); bindkey '^I' complete-word; bindkey -s '^X' '^Aecho \"<<^E>>\"^M'; echo READY"
        zpty -r shell out '*READY?*READY*' || zpty -r shell out '*READY*'
        zpty -w -n shell "$1"$'\t\x18'
        zpty -r shell out '*<<*<<*>>*'
        print -r -- "$out"
        zpty -d shell"#;
    let mut whole = Command::new("timeout");
    whole
        .arg("20")
        .arg(command.get_program())
        .args(["-f", "-c", script, "zsh", line])
        .current_dir(site.root())
        .env_clear();
    for (name, value) in command.get_envs() {
        whole.env(name, value.unwrap_or_default());
    }
    command = whole;
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = text.rsplit("<<").next().unwrap().split(">>").next().unwrap().to_owned();
    Some(said)
}

#[test]
fn bash_completes_what_the_project_has() {
    let site = site();
    for (line, offers) in [
        ("svcops sta", &["status"][..]),
        ("svcops run ", &["renew"]),
        ("svcops run renew -p ", &["site=", "node="]),
        ("svcops run renew -p site=", &["dc1", "dc2"]),
        ("svcops run renew -p site=dc1 -p node=w", &["web-1", "web-2"]),
        ("svcops app restart ", &["billing"]),
        ("svcops app restart billing --site=d", &["dc1"]),
        ("svcops cert list ", &["shop-tls"]),
        ("svcops cert check --password ", &["store"]),
        ("svcops inventory hosts -l site=dc1,web", &["site=dc1,web-1", "site=dc1,web-2"]),
        ("svcops schema p", &["project"]),
        ("svcops -C /nonexistent run ", &[]),
        ("svcops run runb", &["runbooks"]),
    ] {
        let Some(found) = bash(&site, line) else { return };
        // of `site=dc1,web` readline replaces what follows the `=`
        let after = |offer: &str| {
            offer.split_once('=').filter(|_| line.contains("-l site=")).map(|(_, after)| after.to_owned())
        };
        let offers: Vec<String> = offers.iter().map(|o| after(o).unwrap_or_else(|| (*o).to_owned())).collect();
        if line.ends_with("runb") {
            assert!(found.is_empty(), "a name that begins so is no file: {found:?}");
            continue;
        }
        assert_eq!(found, offers, "{line}");
    }
    let Some(found) = bash(&site, "svcops run ./runb") else { return };
    assert_eq!(found, ["./runbooks"]);
    assert_eq!(bash(&site, "svcops -C ").unwrap(), ["runbooks"], "folders only");
}

#[test]
fn fish_completes_what_the_project_has_and_says_what_it_is() {
    let site = site();
    for (line, offers) in [
        ("svcops run ", &["renew\tОбновление узлов"][..]),
        ("svcops run renew -p site=", &["site=dc1\tdefault", "site=dc2"]),
        ("svcops app restart ", &["billing\tБиллинг"]),
        ("svcops app restart billing --site=d", &["--site=dc1\tОсновной ЦОД"]),
    ] {
        let Some(found) = fish(&site, line) else { return };
        assert_eq!(found, offers, "{line}");
    }
}

#[test]
fn zsh_completes_what_the_project_has() {
    let site = site();
    for (line, whole) in [
        ("svcops app restart bil", "svcops app restart billing"),
        ("svcops run ren", "svcops run renew"),
        ("svcops app restart billing --site=", "svcops app restart billing --site=dc1"),
        ("svcops run renew -p nod", "svcops run renew -p node="),
    ] {
        let Some(found) = zsh(&site, line) else { return };
        assert_eq!(found.trim_end(), whole);
    }
}

#[test]
fn runs_are_offered_to_the_verbs_that_can_do_something_with_them() {
    let site = site().runbook("\nsvcops: 1\nname: ok\ntargets: web-1\nsteps:\n  - command: 'true'\n");
    let offers = |line: &str| site.svcops(&format!("complete --line '{line}'")).exits(0).stdout;
    assert_eq!(offers("svcops history show "), "words\n", "no run was ever made");
    assert!(!site.path("state").join("journal.db").exists(), "a completion makes no journal");
    site.svcops("run ok --yes").exits(0);
    let found = offers("svcops history show ");
    let runs: Vec<&str> = found.lines().skip(1).collect();
    assert_eq!(runs.len(), 2, "{found}");
    assert!(runs[0].starts_with("last\tok, done, ") && runs[1].starts_with("01"), "{found}");
    assert_eq!(offers("svcops rollback "), found);
    assert_eq!(offers("svcops resume "), "words\n");
    assert!(offers("svcops ticket show ").starts_with("words\nSV-000001\t"), "{}", offers("svcops ticket show "));
    assert_eq!(offers("svcops ticket comment "), "words\n", "the run's ticket is done");
    assert_eq!(offers("svcops cancel "), "words\n");
}

#[test]
fn a_completion_is_silent_and_makes_nothing_whatever_is_wrong() {
    let site = Site::new().file("svcops.yaml", "project: [\n");
    for line in [
        "svcops run ",
        "svcops app stop ",
        "svcops history show ",
        "svcops run x -p ",
        "svcops nonsense ",
        "",
        "svcops run 'x",
    ] {
        let output = site.command("complete --line").arg(line).env_remove("SVCOPS_STATE").output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{line}: {output:?}");
        assert!(output.stdout.starts_with(b"words\n"), "{line}: {output:?}");
    }
    assert_eq!(std::fs::read_dir(site.home()).unwrap().count(), 0);
}

#[test]
fn completions_name_the_shells_that_they_know() {
    let site = Site::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(site.svcops(&format!("completions {shell}")).exits(0).stdout.contains(" complete --"), "{shell}");
    }
    site.svcops("completions").exits(2);
    site.svcops("completions tcsh").exits(2);
}

#[test]
fn without_a_folder_the_page_of_svcops_is_printed_and_no_file_is_written() {
    let site = Site::new();
    let there = || std::fs::read_dir(site.root()).unwrap().count();
    let before = there();
    for words in ["man", "-C SITE/project man"] {
        let page = site.svcops(&site.fill(words)).exits(0).stdout;
        assert!(page.contains(".TH SVCOPS 1"), "{page}");
        assert_eq!(there(), before);
    }
    site.svcops(&site.fill("man SITE/state")).exits(0);
    assert!(site.path("state").join("svcops-run.1").is_file());
}
