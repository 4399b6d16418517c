//! What a command may have to say instead of an answer. Each message says what to do.

use crate::heads::Missing;
use crate::history::Fault;
use crate::output::counted;
use rejoin::RunId;
use rejoin::export::BadLine;
use rejoin_store::{Damage, Failure, Lsn, OpenError};
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
    #[error("run {run} has no record {at}; its last one is {last}")]
    NoRecord { run: RunId, at: u64, last: u64 },
    #[error("run {run}, event {version}.{index}: {reason}; `rejoin verify` says where that stands")]
    Impossible { run: RunId, version: u64, index: usize, reason: String },
    #[error("{path} is no file of heads ({}{reason}); give one that `rejoin head` wrote", at_line(*.line))]
    Heads { path: String, line: usize, reason: String },
    #[error(transparent)]
    Missing(#[from] Missing),
    #[error("the index {path} cannot be examined: {reason}")]
    IndexUnread { path: String, reason: String },
    #[error("the index holds what the log does not give: {}{what}; `rejoin reindex` makes it again", of_run(*.run))]
    IndexDiffers { run: Option<RunId>, what: String },
    #[error(
        "the index has seen the log up to record {index}, and the log ends at {log}: records that were acknowledged are \
         missing; restore the log from a copy"
    )]
    IndexAhead { index: Lsn, log: Lsn },
    #[error("{0}; nothing was imported")]
    Import(#[from] BadLine),
    #[error(
        "line {line}, run {run}, version {version}: the folder has another history of this run up to here; nothing was \
         imported"
    )]
    Conflict { line: u64, run: RunId, version: u64 },
    #[error("{0}; give a folder with rejoin.yaml and workflows, or one file")]
    NoProject(String),
    #[error("{path} holds several workflows ({}); name one with --workflow, or main: NAME in rejoin.yaml", .names.join(", "))]
    WhichWorkflow { path: String, names: Vec<String> },
    #[error("there is no workflow {name:?}; there is {}", .names.join(", "))]
    NoWorkflow { name: String, names: Vec<String> },
    #[error("there is no agent {name:?}; {}", there(.names, "agents"))]
    NoAgent { name: String, names: Vec<String> },
    #[error("there is no person {name:?}; {}", there(.names, "persons"))]
    NoPerson { name: String, names: Vec<String> },
    #[error("{given:?} is no input; write NAME=VALUE")]
    BadInput { given: String },
    #[error("the input {name:?} is given twice; write a list as one value of JSON, as in {name}='[1, 2]'")]
    GivenTwice { name: String },
    #[error("{path} cannot be used as input: {reason}")]
    InputFile { path: String, reason: String },
    #[error("the engine cannot start: {0}")]
    Start(String),
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    RunFailed(String),
    #[error("the definitions have {}; mend them first", [counted(*.errors, "error"), counted(*.warnings, "warning")].join(", "))]
    Definitions { errors: usize, warnings: usize },
    #[error("{path} cannot be played: {reason}")]
    Script { path: String, reason: String },
    #[error("there is no such test in {folder}; a test is a YAML file there, see rejoin test --help")]
    NoTests { folder: String },
    #[error("{failed} of {of} tests go another way")]
    Tests { failed: usize, of: usize },
    #[error("failed to keep the lines in a temporary file ({0}); nothing was imported")]
    Spool(io::Error),
    #[error("failed to import after {written} records: {reason}; give the same file again to go on")]
    Interrupted { written: u64, reason: String },
    /// The index is in the way of a new one.
    #[error("{path} cannot be removed ({reason}); do so as a user who may, and start again")]
    Index { path: String, reason: String },
    #[error("{folder} is not empty; give a folder that is, or that is not there yet")]
    NotEmpty { folder: String },
    #[error("{path} cannot be written: {reason}")]
    Write { path: String, reason: String },
    #[error("failed to write to stdout: {0}")]
    Output(io::Error),
}

fn at_line(line: usize) -> String {
    if line == 0 { String::new() } else { format!("line {line}: ") }
}

/// Which of something there are, to choose from.
fn there(names: &[String], what: &str) -> String {
    if names.is_empty() { format!("rejoin.yaml declares no {what}") } else { format!("there is {}", names.join(", ")) }
}

fn of_run(run: Option<RunId>) -> String {
    run.map(|run| format!("run {run}: ")).unwrap_or_default()
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
