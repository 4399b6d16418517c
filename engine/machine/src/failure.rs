//! Why something did not succeed, as the log keeps it.

use crate::error::Rejection;
use crate::id::Payload;
use crate::limits::Limits;
use alloc::string::{String, ToString};
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
    /// It was handed over to a person, for good: an end, but without a value.
    HandedOff,
}

impl Failure {
    /// A failure that another attempt would not mend.
    pub fn new(kind: FailureKind, code: &str, message: impl Into<String>) -> Failure {
        Failure { kind, code: code.into(), message: message.into(), details: None, retryable: false }
    }

    /// Something was over a limit.
    pub(crate) fn over_limit(rejection: &Rejection) -> Failure {
        Failure::new(FailureKind::Limit, rejection.code(), rejection.to_string())
    }

    /// The same within the limits: a failure is reported, so it is cut and not refused.
    pub(crate) fn within(mut self, limits: &Limits) -> Failure {
        let cut = |text: &mut String, most: usize| text.truncate(text.floor_char_boundary(most));
        cut(&mut self.code, limits.name_bytes);
        cut(&mut self.message, limits.payload_bytes);
        self.details = self.details.filter(|details| details.len() <= limits.payload_bytes);
        self
    }
}
