//! The command line: one file a subcommand. No business logic.

pub mod app;
