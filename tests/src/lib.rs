//! What the tests across crates share.
pub mod campaign;
pub mod chance;
pub mod checks;
pub mod client;
pub mod definitions;
pub mod flips;
pub mod fuzz;
pub mod hooked;
pub mod layout;
pub mod life;
pub mod lives;
pub mod process;
pub mod programs;
