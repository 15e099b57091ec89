//! The figures of svcops, each beside its floor from the same run: `cargo bench`, or `cargo bench -- start ssh`.
//!
//! A floor is what the machine itself needs for the least that must happen (a process, a file read, a durable write, a
//! handshake). Figures are ratios to it, so they can be compared between machines; nothing here passes or fails.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a bench that cannot go on says so")]
#![expect(unreachable_pub, reason = "the modules of a bench say what is theirs as a library does")]

mod history;
mod lint;
#[path = "../shared/mod.rs"]
mod shared;
mod ssh;
mod start;
mod tasks;

fn main() {
    if shared::cost::between() {
        return;
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let benches: [(&str, fn()); 5] = [
        ("start", start::bench),
        ("lint", lint::bench),
        ("tasks", tasks::bench),
        ("ssh", ssh::bench),
        ("history", history::bench),
    ];
    shared::figure::head();
    for (name, bench) in benches {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            bench();
        }
    }
}
