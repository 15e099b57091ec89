//! The README is tried, word for word: each ```` ```console ```` block in order, in one shell, in a home that holds nothing,
//! with the svcops that was built. A command must end with exit code 0 (unless the next one is `echo $?`) and say what
//! the block shows, where `…` stands for any text, and alone on a line for any lines.
//!
//! What a reader need not see stands in a comment before a block:
//!
//! | comment | meaning |
//! | --- | --- |
//! | `<!-- readme: clone -->` | the shell stands in a clone of the sources |
//! | `<!-- readme: home -->` | the shell stands in the home folder |
//! | `<!-- readme: lab -->` | it needs the lab; `web1` is one of its hosts, and runs nginx |
//! | `<!-- readme: file=NAME -->` | what the block holds is written to that file first |
//!
//! `README_SHOW=1 cargo test --test readme -- --nocapture` prints what each command said.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![expect(clippy::indexing_slicing, reason = "HAProxy's table is read by its columns, and what was said by its lines")]
#![expect(unreachable_pub, dead_code, reason = "the lab's hosts and a test's project are shared with other tests")]

#[path = "../lab/hosts.rs"]
mod hosts;
#[path = "../support/mod.rs"]
mod support;

mod blocks;
mod matching;
mod shell;

use blocks::{Block, Command, blocks};
use hosts::Lab;
use shell::Shell;
use std::{fs, io::Write as _, path::Path};

#[test]
fn every_console_block_of_the_readme_does_what_it_shows() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = blocks(&text).unwrap_or_else(|fault| panic!("README.md:{fault}"));
    assert!(blocks.iter().map(|b| b.commands.len()).sum::<usize>() > 5, "README.md shows too little");

    let mut shell = Shell::start();
    let mut lab = None;
    let mut faults = Vec::new();
    for block in &blocks {
        if block.marks.lab && lab.is_none() {
            lab = Web::take(&shell);
            if lab.is_none() {
                let line = format!("skipped: README.md:{}: no lab, so no host `web1`\n", block.line);
                std::io::stderr().write_all(line.as_bytes()).unwrap();
            }
        }
        if !block.marks.lab || lab.is_some() {
            faults.extend(try_block(block, &mut shell));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What is wrong with a block, if anything is. A command that fails ends its block.
fn try_block(block: &Block, shell: &mut Shell) -> Option<String> {
    if block.marks.clone {
        shell.say(&format!("cd {}", root().display()));
    }
    if block.marks.home {
        shell.say("cd");
    }
    if let Some(file) = &block.marks.file {
        fs::write(shell.folder().join(file), &block.text).unwrap();
    }
    let mut commands = block.commands.iter().peekable();
    while let Some(Command { line, text, shows }) = commands.next() {
        let (code, said) = shell.say(text);
        if std::env::var("README_SHOW").is_ok() {
            std::io::stdout().write_all(format!("{line}: $ {text}\n{said}[{code}]\n").as_bytes()).unwrap();
        }
        let asked_for = commands.peek().is_some_and(|next| next.text == "echo $?");
        let wrong = if code != 0 && !asked_for {
            Some(format!("ended with exit code {code}"))
        } else {
            matching::differs(shows, &said)
        };
        if let Some(wrong) = wrong {
            return Some(format!("README.md:{line}: `{text}` {wrong}\n--- it said\n{said}---"));
        }
    }
    None
}

/// The lab, with nginx on the host that the README calls `web1`.
struct Web(Lab);

impl Web {
    fn take(shell: &Shell) -> Option<Self> {
        let lab = Lab::take("every_console_block_of_the_readme_does_what_it_shows")?;
        lab.on(HOST, "sudo mkdir -p /var/log/nginx && sudo systemctl start nginx && sudo rm -f /tmp/notice");
        clean_here();
        // The reader has set up ssh to their own host; this is that, for a host of the lab.
        let config = fs::read_to_string(lab.ssh_config()).unwrap();
        let named = config.replacen(&format!("Host {HOST}\n"), &format!("Host web1 {HOST}\n"), 1);
        assert!(named != config, "the lab has no `{HOST}`");
        let folder = shell.home().join(".ssh");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config"), named).unwrap();
        Some(Self(lab))
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.0.on(HOST, "sudo systemctl stop nginx; sudo rm -rf /var/log/nginx /tmp/notice");
        clean_here();
    }
}

/// What the README's project leaves on this machine where its last block was not reached.
fn clean_here() {
    let text = "test ! -e /tmp/ticker.pid || kill \"$(cat /tmp/ticker.pid)\"; rm -f /tmp/notice /tmp/ticker.pid /tmp/ticker.log";
    assert!(std::process::Command::new("sh").args(["-c", text]).status().is_ok(), "no shell");
}

const HOST: &str = "dc1-app1";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
