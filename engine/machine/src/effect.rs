//! What the world owes a run.

use crate::cancel::Cause;
use crate::command::Command;
use crate::conversation::Opening;
use crate::id::{OpNo, RunId};
use crate::time::{Span, Timestamp};
use crate::trigger::Trigger;
use alloc::boxed::Box;
use alloc::string::String;

/// What the world owes a run. Derived from its state, so that nothing is forgotten in a crash; may be done twice, so
/// each bears what tells it from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Call its handler.
    Start,
    /// Execute a step.
    RunStep(StepTask),
    /// Cancel a child.
    CancelChild {
        /// The child.
        child: RunId,
        /// What asks for it.
        cause: Cause,
        /// Why.
        reason: String,
        /// How long it may compensate; `None`: as the limits say.
        grace: Option<Span>,
    },
    /// Open a conversation, unless it is there.
    Open {
        /// Its id.
        conversation: RunId,
        /// Its trigger.
        trigger: Box<Trigger>,
        /// How it begins.
        opening: Opening,
    },
    /// Ask something of another run, or of a conversation, in the same batch.
    Tell {
        /// Of whom.
        to: RunId,
        /// What.
        command: Box<Command>,
    },
}

/// An attempt of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepTask {
    /// The operation. With run and incarnation it makes the idempotency key, the same for all attempts.
    pub op: OpNo,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Not before.
    pub at: Timestamp,
    /// When it must have ended.
    pub deadline: Option<Timestamp>,
}

impl StepTask {
    /// Whether the attempt may begin. The first one need not wait: the clock may have been put back since it was scheduled.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.attempt == 1 || self.at <= now
    }
}
