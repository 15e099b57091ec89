//! Runs on real hosts (README.md beside this file). Without `SVCOPS_LAB` each test says that it was skipped.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]
#![expect(clippy::indexing_slicing, reason = "JSON is indexed by its keys")]
#![expect(unreachable_pub, reason = "the modules of a test say what is theirs as a library does")]

#[path = "../support/mod.rs"]
mod support;

mod aftermath;
mod audit;
mod byhand;
mod client;
mod hosts;
mod pair;
mod sampler;
mod writer;

mod acme;
mod asking;
mod bundle;
mod certs;
mod cut;
mod examples;
mod failing;
mod failover;
mod failover_faults;
mod failover_killed;
mod floor;
mod forced;
mod killed;
mod looks;
mod mail;
mod planned;
mod power;
mod resources;
mod rolling;
mod secret;
mod session;
mod slow;
mod sshd;
