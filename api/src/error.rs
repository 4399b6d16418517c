//! What a command may have to say instead of an answer. Each message says what to do.

use crate::history::Fault;
use rejoin::RunId;
use rejoin_store::{Damage, Failure, OpenError};
use std::io;
use thiserror::Error;

/// Why a command could not answer.
#[derive(Debug, Error)]
pub(crate) enum Trouble {
    /// The folder cannot be listed: it is not there, is no folder, or belongs to somebody else.
    #[error("{folder} cannot be read ({reason}); give the data folder of an engine, as a user who may read it")]
    Folder { folder: String, reason: String },
    /// The folder is there and holds something else.
    #[error("{folder} holds no store; give the folder that an engine was opened on")]
    NoStore { folder: String },
    #[error(transparent)]
    Damaged(Damage),
    /// In use, of a newer format, or a disk that cannot be read.
    #[error(transparent)]
    Store(OpenError),
    #[error("no run in {folder} has an id that begins with {given}; `rejoin runs {folder}` lists all of them")]
    UnknownRun { given: String, folder: String },
    #[error("{given} is the beginning of {count} run ids; give more digits of one: {}", listed(.examples, *.count))]
    AmbiguousRun { given: String, examples: Vec<RunId>, count: usize },
    #[error(transparent)]
    History(#[from] Fault),
    /// The index is in the way of a new one.
    #[error("{path} cannot be removed ({reason}); do so as a user who may, and start again")]
    Index { path: String, reason: String },
    #[error("failed to write to stdout: {0}")]
    Output(io::Error),
}

fn listed(examples: &[RunId], count: usize) -> String {
    let ids: Vec<_> = examples.iter().map(RunId::to_string).collect();
    let more = if count > examples.len() { ", ..." } else { "" };
    ids.join(", ") + more
}

impl From<OpenError> for Trouble {
    fn from(error: OpenError) -> Trouble {
        let refused = |file: &str, source: &io::Error| format!("{file}: {source}");
        match error {
            OpenError::Missing { folder } => Trouble::NoStore { folder },
            OpenError::Failure(Failure::Damaged(damage)) => Trouble::Damaged(damage),
            // Nothing is written here, so what the store could not do is read.
            OpenError::NotWritable { folder, source } => Trouble::Folder { folder, reason: source.to_string() },
            OpenError::Failure(Failure::Io { file, source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Trouble::Folder { reason: refused(&file, &source), folder: "the store".to_owned() }
            }
            other @ (OpenError::Locked { .. }
            | OpenError::NewerFormat { .. }
            | OpenError::IndexAhead { .. }
            | OpenError::Settings(_)
            | OpenError::Failure(_)) => Trouble::Store(other),
        }
    }
}
