//! Why something did not succeed, as the log keeps it.

use crate::id::Payload;
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// Why something did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What sort of failure it is.
    pub kind: FailureKind,
    /// A word for programs.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// More, for programs.
    pub details: Option<Payload>,
    /// Whether another attempt may help.
    pub retryable: bool,
}

/// What sort of failure it is. New kinds are added at the end: numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FailureKind {
    /// The handler or step said so.
    Application,
    /// The handler or step panicked.
    Panic,
    /// Time ran out.
    TimedOut,
    /// Somebody cancelled it.
    Cancelled,
    /// It was refused before it began.
    Refused,
    /// A limit was reached.
    Limit,
    /// A value could not be encoded or decoded.
    Payload,
}

impl Failure {
    /// A failure that another attempt would not mend.
    pub fn new(kind: FailureKind, code: &str, message: impl Into<String>) -> Failure {
        Failure { kind, code: code.into(), message: message.into(), details: None, retryable: false }
    }
}
