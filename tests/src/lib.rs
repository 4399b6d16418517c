//! What the tests across crates share.
pub mod chance;
pub mod checks;
pub mod client;
pub mod hooked;
pub mod life;
pub mod lives;
pub mod process;
