//! How long until svcops has said anything at all. Aim: 5 ms.

use super::shared::figure::{self, SVCOPS, line, median};
use std::process::Command;

pub fn bench() {
    let bare = median(TRIES, || figure::run(&mut Command::new("/bin/true"), 0));
    for flag in ["--version", "--help"] {
        let took = median(TRIES, || figure::run(Command::new(SVCOPS).arg(flag), 0));
        line(&format!("svcops {flag}"), took, bare, "/bin/true");
    }
}

const TRIES: usize = 200;
