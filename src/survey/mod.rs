//! Read-only looks across hosts.

pub mod app;
