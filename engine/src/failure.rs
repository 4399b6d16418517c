//! Why a handler or step did not succeed.

use rejoin_machine as machine;
use rejoin_machine::{FailureKind, Payload};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;

/// Why a handler or step did not succeed. Every [`std::error::Error`] becomes one with `?`.
///
/// A failure that comes from an error is **transient**: a step that returns it is tried again, as its retry policy
/// says. One made with [`Failure::business`] or [`Failure::permanent`] is final.
///
/// ```
/// use rejoin::Failure;
/// fn parse(text: &str) -> Result<u32, Failure> {
///     text.parse().map_err(|_| Failure::business("not-a-number", text))
/// }
/// assert_eq!(parse("x").unwrap_err().code(), "not-a-number");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Failure(pub(crate) Box<Inner>);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Inner {
    kind: FailureKind,
    code: String,
    message: String,
    details: Value,
    transient: bool,
    /// Not a failure at all: the handler wants to begin anew with this input.
    pub(crate) anew: Option<Payload>,
    /// Not a failure either: the run ends, since it was handed over to a person.
    pub(crate) handed_off: bool,
}

impl Failure {
    /// A failure of the matter itself, with a word that programs can tell it by. Final.
    pub fn business(code: impl Into<String>, details: impl Serialize) -> Failure {
        let code = code.into();
        let details = serde_json::to_value(details).unwrap_or_default();
        let message = match &details {
            Value::Null => code.clone(),
            Value::String(text) => format!("{code}: {text}"),
            other => format!("{code}: {other}"),
        };
        Failure::make(FailureKind::Application, code, message, details, false)
    }

    /// A failure that another attempt would not mend.
    pub fn permanent(message: impl fmt::Display) -> Failure {
        Failure::make(FailureKind::Application, "failed".into(), message.to_string(), Value::Null, false)
    }

    /// A failure that another attempt may mend.
    pub fn transient(message: impl fmt::Display) -> Failure {
        Failure::make(FailureKind::Application, "error".into(), message.to_string(), Value::Null, true)
    }

    /// The worker that had an attempt vanished; another one may help.
    pub(crate) fn lost_worker(message: String) -> Failure {
        Failure::make(FailureKind::Application, "worker-lost".into(), message, Value::Null, true)
    }

    pub(crate) fn make(kind: FailureKind, code: String, message: String, details: Value, transient: bool) -> Failure {
        Failure(Box::new(Inner { kind, code, message, details, transient, anew: None, handed_off: false }))
    }

    pub(crate) fn payload(what: &str, error: &serde_json::Error) -> Failure {
        let message = format!("{what} does not fit its type: {error}");
        Failure::make(FailureKind::Payload, "payload".into(), message, Value::Null, false)
    }

    pub(crate) fn panic(message: String) -> Failure {
        Failure::make(FailureKind::Panic, "panic".into(), format!("panicked: {message}"), Value::Null, true)
    }

    pub(crate) fn continue_as_new(input: Payload) -> Failure {
        let message = "the run continues as new".to_owned();
        let mut failure =
            Failure::make(FailureKind::Application, "continue-as-new".into(), message, Value::Null, false);
        failure.0.anew = Some(input);
        failure
    }

    pub(crate) fn handed_off() -> Failure {
        let mut failure = Failure::from_stored(machine::handed_off());
        failure.0.handed_off = true;
        failure
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> FailureKind {
        self.0.kind
    }

    /// A word for programs.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// A sentence for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The sentence without the code, where it begins with that; the code where there is nothing else.
    ///
    /// ```
    /// use rejoin::Failure;
    /// assert_eq!(Failure::business("too-late", "the shop has closed").reason(), "the shop has closed");
    /// assert_eq!(Failure::business("too-late", ()).reason(), "too-late");
    /// ```
    pub fn reason(&self) -> &str {
        let rest = self.message().strip_prefix(self.code()).and_then(|rest| rest.strip_prefix(": "));
        rest.unwrap_or(self.message())
    }

    /// What else was given, as JSON.
    pub fn details(&self) -> &Value {
        &self.0.details
    }

    /// Whether another attempt may help.
    pub fn is_transient(&self) -> bool {
        self.0.transient
    }

    /// Whether somebody cancelled it.
    pub fn is_cancelled(&self) -> bool {
        self.0.kind == FailureKind::Cancelled
    }

    /// Whether the run was handed over to a person, and ended with that.
    pub fn is_handed_off(&self) -> bool {
        self.0.kind == FailureKind::HandedOff
    }

    /// Whether time ran out.
    pub fn is_timeout(&self) -> bool {
        self.0.kind == FailureKind::TimedOut
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

// `Failure` is no `Error` itself; that is what makes `?` work on everything that is one.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Some errors repeat their cause in their own message.
            if !message.contains(&cause_text) {
                message = format!("{message}: {cause_text}");
            }
            source = cause.source();
        }
        Failure::transient(message)
    }
}

/// How long a message may be in the log.
const MESSAGE_BYTES: usize = 64 * 1024;

impl Failure {
    /// From what the log kept.
    pub(crate) fn from_stored(failure: machine::Failure) -> Failure {
        let details = failure.details.and_then(|details| serde_json::from_slice(details.bytes()).ok());
        Failure::make(failure.kind, failure.code, failure.message, details.unwrap_or_default(), failure.retryable)
    }

    /// As the log keeps it.
    pub(crate) fn to_stored(&self) -> machine::Failure {
        let Inner { kind, code, message, details, transient, .. } = &*self.0;
        let details = match details {
            Value::Null => None,
            some => serde_json::to_vec(some).ok().filter(|bytes| bytes.len() <= MESSAGE_BYTES).map(Payload::from),
        };
        let mut message = message.clone();
        if message.len() > MESSAGE_BYTES {
            message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
        }
        machine::Failure {
            kind: *kind,
            code: code.chars().take(256).collect(),
            message,
            details,
            retryable: *transient,
        }
    }
}

pub(crate) fn encode<T: Serialize + ?Sized>(what: &str, value: &T) -> Result<Payload, Failure> {
    serde_json::to_vec(value).map(Payload::from).map_err(|error| Failure::payload(what, &error))
}

pub(crate) fn decode<T: DeserializeOwned>(what: &str, payload: &Payload) -> Result<T, Failure> {
    serde_json::from_slice(payload.bytes()).map_err(|error| Failure::payload(what, &error))
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}
