//! What people see: progress, messages, tables, questions. It draws journal events and texts, and decides nothing.

pub mod board;
pub mod bundle;
pub mod canvas;
pub mod changes;
pub mod facts;
pub mod faults;
pub mod frame;
pub mod history;
pub mod lines;
pub mod looking;
pub mod message;
pub mod outage;
pub mod owed;
pub mod paint;
pub mod progress;
pub mod prompt;
pub mod report;
pub mod screen;
pub mod signs;
pub mod summary;
pub mod table;
pub mod tell;
pub mod wrap;
