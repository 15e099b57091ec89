//! What people see. It draws what it is handed, and decides nothing.

pub mod faults;
