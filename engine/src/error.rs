//! What callers of the engine can be told.

use crate::failure::Failure;
use rejoin_machine::{Rejection, RunId};
use rejoin_store::{Failure as StoreFailure, OpenError};
use thiserror::Error;

/// The engine did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The data folder could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store failed while its runs were being taken over.
    #[error(transparent)]
    Store(#[from] StoreFailure),
    /// Two handlers were registered under one name and version.
    #[error("workflow {name:?} version {version} is registered twice; give one of them another name or version")]
    RegisteredTwice {
        /// The name.
        name: String,
        /// The version.
        version: u32,
    },
    /// There is no async runtime around.
    #[error(
        "the engine needs a tokio runtime to execute steps: call start() inside one, for example under #[tokio::main]"
    )]
    NoRuntime,
    /// A thread could not be started.
    #[error("failed to start the engine's thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// A run was not triggered.
#[derive(Clone, Debug, Error)]
pub enum TriggerError {
    /// No handler has this name.
    #[error("{0}")]
    UnknownWorkflow(String),
    /// The input is not of the workflow's type.
    #[error("workflow {workflow:?} does not take this input: {reason}")]
    BadInput {
        /// The workflow.
        workflow: String,
        /// What does not fit.
        reason: String,
    },
    /// Names or input are over the limits.
    #[error(transparent)]
    Limit(Rejection),
    /// The key belongs to a run with another input.
    #[error(
        "key {key:?} belongs to run {run}, which was triggered with another input; use another key, or the same input"
    )]
    KeyConflict {
        /// The key.
        key: String,
        /// The run that has it.
        run: RunId,
    },
    /// The project does not know the person.
    #[error("there is no person {person:?} in the project; declare them with Builder::person")]
    UnknownPerson {
        /// The person.
        person: String,
    },
    /// The disk is full. Runs that exist go on as long as there is room.
    #[error("the disk is full, so nothing new is started; free some space, runs that exist go on and nothing was lost")]
    DiskFull,
    /// More requests are waiting than the engine queues.
    #[error("the engine is overloaded: {0} requests are waiting; try again in a moment")]
    Overloaded(usize),
    /// The engine has been shut down.
    #[error("the engine has been shut down")]
    Stopped,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreFailure),
}

/// Something asked of a run did not happen.
#[derive(Clone, Debug, Error)]
pub enum RunError {
    /// There is no such run.
    #[error("there is no run {0}")]
    NotFound(RunId),
    /// It cannot be deleted.
    #[error("run {run} cannot be deleted: {reason}")]
    Kept {
        /// The run.
        run: RunId,
        /// Why.
        reason: String,
    },
    /// It cannot be done again.
    #[error("run {run} cannot be done again: {reason}")]
    NotRetried {
        /// The run.
        run: RunId,
        /// Why.
        reason: String,
    },
    /// The run token is not one of this store, or not one at all.
    #[error("this is no run token of this store; it begins with run_ and is handed to whoever does a job")]
    BadToken,
    /// The project does not know the person.
    #[error("there is no person {person:?} in the project; declare them with Builder::person")]
    UnknownPerson {
        /// The person.
        person: String,
    },
    /// It has its answer already.
    #[error("job {0} was answered already; a second answer changes nothing")]
    Answered(RunId),
    /// It means nothing in the run's present state.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The run's history cannot be read by this version.
    #[error("the history of run {run} cannot be used: {reason}")]
    History {
        /// The run.
        run: RunId,
        /// Why.
        reason: String,
    },
    /// The run ended with a failure, or its output is not of the expected type.
    #[error("the run did not complete: {0}")]
    Failed(Failure),
    /// A value could not be encoded.
    #[error("{0}")]
    Payload(String),
    /// More requests are waiting than the engine queues.
    #[error("the engine is overloaded: {0} requests are waiting; try again in a moment")]
    Overloaded(usize),
    /// The engine has been shut down.
    #[error("the engine has been shut down")]
    Stopped,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreFailure),
}

/// What a worker is told.
#[derive(Clone, Debug, Error)]
pub enum WorkerError {
    /// No agent of this name is declared, or it is served by handlers of this process.
    #[error("no agent {0:?} is declared that workers serve")]
    UnknownAgent(String),
    /// The attempt is not the worker's any more. What it says of it changes nothing.
    #[error(
        "attempt {attempt} of job {run} is not yours any more: it has ended, or another worker has it; \
         what you say of it changes nothing"
    )]
    NotHeld {
        /// The job's run.
        run: RunId,
        /// The attempt.
        attempt: u32,
    },
    /// The worker takes no more jobs.
    #[error("the worker has been told to take no more jobs")]
    Draining,
    /// The job's run could not take it.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A value could not be encoded or decoded.
    #[error("{0}")]
    Payload(String),
    /// More requests are waiting than the engine queues.
    #[error("the engine is overloaded: {0} requests are waiting; try again in a moment")]
    Overloaded(usize),
    /// The engine has been shut down.
    #[error("the engine has been shut down")]
    Stopped,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreFailure),
}

/// Any error of the library.
#[derive(Debug, Error)]
pub enum Error {
    /// The engine did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A run was not triggered.
    #[error(transparent)]
    Trigger(#[from] TriggerError),
    /// Something asked of a run did not happen.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A worker is told no.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// Reading or writing elsewhere failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
