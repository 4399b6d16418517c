//! What the tests across crates share.
pub mod checks;
pub mod process;
