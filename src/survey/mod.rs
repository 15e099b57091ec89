//! Read-only looks across hosts.

pub mod app;
pub mod reach;
