//! What proves a run to somebody who does not trust who holds the journal: signatures of its heads, lines of syslog.

pub mod ssh;
pub mod stream;
pub mod syslog;
