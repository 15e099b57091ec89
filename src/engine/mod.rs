//! Plans, guards, carries out, rolls back. It appends events and looks at the world through a transport; what it decides
//! follows from the fold of those events, so a kill between any two of them changes nothing.

pub mod lint;
pub mod plan;
