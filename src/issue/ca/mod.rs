//! An own certificate authority.
