//! svcops runs declarative runbooks for scheduled maintenance: planned, approved, carried out, undone if they fail, and
//! proven afterwards. ARCHITECTURE.md is the map; a room imports only rooms below it.

pub mod actions;
pub mod base;
pub mod cert;
pub mod cli;
pub mod engine;
pub mod evidence;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod inventory;
pub mod issue;
pub mod journal;
pub mod resources;
pub mod runbook;
pub mod survey;
pub mod ticket;
pub mod transport;
pub mod ui;
pub mod verbs;
pub mod yaml;
