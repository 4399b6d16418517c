//! Random programs over three layers of workflows that call, spawn, wait, sleep, race, fail, are cancelled and count; and a model
//! that says what every counter must be in the end.

mod chat;
mod interpreter;
mod language;
mod ledger;
mod model;
mod subject;

pub use chat::Chat;
pub use interpreter::{Deploy, LEVELS, app};
pub use language::{Do, Program, Root, generate};
pub use ledger::Ledger;
pub use model::{Counts, Forecast, forecast};
pub use subject::Programs;
