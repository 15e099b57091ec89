//! One file a subcommand: what it calls and how its answer is shown. No business logic.

pub mod inventory;
pub mod lint;
pub mod schema;
