//! What goes along from one incarnation to the next, and from a run to the one that does it again.

use crate::failure::Failure;
use crate::human::Verdict;
use crate::id::{CallKey, Payload, RunId, SignalId};
use crate::signal::Buffered;
use crate::time::Timestamp;
use crate::trigger::Trigger;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// How an operation was answered before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recollection {
    /// With a value, or none that matters.
    Value(Payload),
    /// A child was started that nobody waits for.
    Spawned(RunId),
    /// By people.
    Verdict(Verdict),
    /// Nothing came in time.
    Nothing,
    /// With a failure that the handler went on from.
    Failed(Failure),
}

/// What a run takes along when it continues as new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boundary {
    /// The incarnation that begins.
    pub incarnation: u32,
    /// As it was triggered, with the new input.
    pub trigger: Trigger,
    /// When the run was triggered.
    pub triggered_at: Timestamp,
    /// Children that are alive, or whose result nobody has asked for.
    pub children: Vec<Carried>,
    /// Signals that nobody has asked for.
    pub signals: Vec<Buffered>,
    /// Signals that came before.
    pub signals_seen: Vec<SignalId>,
}

/// A child of an earlier incarnation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// The child.
    pub child: RunId,
    /// The call's key, by which it can be called again.
    pub key: CallKey,
    /// Whether the caller waited for it, so that its end ends the child.
    pub awaited: bool,
    /// How it ended.
    pub result: Option<Result<Payload, Failure>>,
}
