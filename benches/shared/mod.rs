//! What the benches share: how a figure is taken and printed, what processes cost, an sshd with many addresses.

pub mod cost;
pub mod figure;
pub mod memory;
pub mod server;
