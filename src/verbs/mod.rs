//! Each verb composes a runbook: a pure function of the inventory and its arguments. What it composes is text, so that
//! `--show` prints what is run, ready to be saved and changed.

pub mod app;
pub mod cert;
pub mod failover;
pub mod prepare;
