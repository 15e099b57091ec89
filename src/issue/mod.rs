//! Who gives certificates: an own CA, and others as they come. Acts from here; settings and secrets are handed to it.

pub mod ca;
mod safe;
