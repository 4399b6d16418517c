//! Why a measurement came to nothing.

use rejoin::{RunError, StartError, TriggerError};
use rejoin_store::{Conflict, Failure, OpenError};
use std::io;
use thiserror::Error;

/// The tool's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error of the tool.
#[derive(Debug, Error)]
pub enum Error {
    /// The engine did not start.
    #[error("the engine did not start: {0}")]
    Start(#[from] StartError),
    /// A run was not triggered.
    #[error("a run was not triggered: {0}")]
    Trigger(#[from] TriggerError),
    /// A run did not do what it is for.
    #[error("a run failed: {0}")]
    Run(#[from] RunError),
    /// A journal could not be opened.
    #[error("a journal could not be opened: {0}")]
    Open(#[from] OpenError),
    /// A journal failed.
    #[error("a journal failed: {0}")]
    Store(#[from] Failure),
    /// A journal was not as the recording has it.
    #[error("a journal refused a record: {0}")]
    Conflict(#[from] Conflict),
    /// A task of the client panicked.
    #[error("a client ended early: {0}")]
    Client(#[from] tokio::task::JoinError),
    /// A process said something else than figures.
    #[error("figures cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// The engine gave a wrong answer.
    #[error("WRONG: {0}")]
    Wrong(String),
    /// A process that was started ended or fell silent.
    #[error("{0}")]
    Process(String),
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] io::Error),
}
