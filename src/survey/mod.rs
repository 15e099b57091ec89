//! Read-only looks across hosts.

pub mod app;
pub mod cert;
pub mod pair;
pub mod reach;
pub mod service;
pub mod window;
