//! What the tests across crates share.
pub mod checks;
pub mod hooked;
pub mod lives;
pub mod process;
