//! Runs on this machine, through the binary: killed, contended for, with secrets. No host of the lab is needed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![expect(clippy::indexing_slicing, reason = "JSON is indexed by its keys")]
#![expect(unreachable_pub, reason = "the modules of a test say what is theirs as a library does")]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod audit;
mod authority;
mod bundle;
mod certs;
mod contention;
mod demo;
mod evidence;
mod kills;
mod later;
mod mail;
mod moves;
mod outage;
mod prune;
mod refusing;
mod renewal;
mod resources;
mod secrets;
mod terminal;
mod tickets;
