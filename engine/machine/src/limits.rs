//! How large things may become.

use crate::error::Rejection;
use crate::failure::Failure;
use crate::id::Payload;
use crate::time::Span;

/// How large things may become. Settings, not part of any history: a run that was allowed stays allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest input, output or signal, in bytes.
    pub payload_bytes: usize,
    /// The most events of one incarnation; a run that needs more continues as new.
    pub history: u32,
    /// The most operations that one run waits for at the same time.
    pub open_operations: usize,
    /// The most children that one incarnation starts.
    pub children: u32,
    /// The most signals that wait for a run to ask for them.
    pub buffered_signals: usize,
    /// How many triggers deep calls may go: runs exist at depth 0 to `depth - 1`.
    pub depth: u32,
    /// The most pieces that one incarnation streams.
    pub stream_chunks: usize,
    /// The most bytes that one incarnation streams.
    pub stream_bytes: usize,
    /// The most turns of a conversation that wait for each other.
    pub waiting_turns: usize,
    /// The longest name or key, in bytes.
    pub name_bytes: usize,
    /// How long a cancelled run may compensate, where the request does not say.
    pub cancel_grace: Span,
}

impl Limits {
    /// A result within the limits: an output that is too large becomes a failure, and a failure is cut.
    pub(crate) fn bound(&self, result: Result<Payload, Failure>) -> Result<Payload, Failure> {
        let output = result.map_err(|failure| failure.within(self))?;
        Rejection::check_size("the output", output.len(), self.payload_bytes)
            .map(|()| output)
            .map_err(|rejection| Failure::over_limit(&rejection))
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            payload_bytes: 2 << 20,
            history: 50_000,
            open_operations: 20_000,
            children: 20_000,
            buffered_signals: 10_000,
            depth: 3,
            stream_chunks: 10_000,
            stream_bytes: 16 << 20,
            waiting_turns: 1_000,
            name_bytes: 256,
            cancel_grace: Span(30_000_000),
        }
    }
}
