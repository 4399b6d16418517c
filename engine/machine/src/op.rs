//! Operations that a handler waits for, and how they are opened and closed, whatever they are.

use crate::call::OnTimeout;
use crate::conversation::MESSAGE;
use crate::human::{Handoff, Pending};
use crate::id::{OpNo, RunId};
use crate::run::{Due, Run};
use crate::step::Step;
use crate::time::Timestamp;
use alloc::boxed::Box;
use alloc::string::String;

/// An operation that the handler waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A step.
    Step(Step),
    /// A call.
    Call {
        /// The child.
        child: RunId,
        /// Until when the caller waits.
        deadline: Option<Timestamp>,
        /// What follows.
        on_timeout: OnTimeout,
        /// Why the child is to end, where the caller said so.
        cancelled: Option<String>,
    },
    /// A timer.
    Timer {
        /// When it fires.
        at: Timestamp,
    },
    /// A question to people.
    Approval(Box<Pending>),
    /// A person has the conversation.
    Handoff {
        /// What is shown.
        handoff: Box<Handoff>,
        /// Since when.
        since: Timestamp,
    },
    /// The run that this one does again knows the answer, which comes in its turn.
    Recalled,
    /// A wait for a signal.
    Signal {
        /// Its name.
        name: String,
        /// Until when.
        deadline: Option<Timestamp>,
    },
}

impl Op {
    /// When its time is up.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        match self {
            Op::Step(step) => step.deadline(),
            Op::Call { deadline, .. } | Op::Signal { deadline, .. } => *deadline,
            Op::Timer { at } => Some(*at),
            Op::Approval(pending) => pending.approval.expires_at,
            Op::Handoff { .. } | Op::Recalled => None,
        }
    }

    /// Whether it waits for what is said next in the run's conversation.
    pub(crate) fn awaits_message(&self) -> bool {
        matches!(self, Op::Signal { name, .. } if name == MESSAGE)
    }
}

impl Run {
    pub(crate) fn number(&mut self, op: OpNo) -> bool {
        self.next_op = op.next();
        true
    }

    pub(crate) fn open(&mut self, op: OpNo, pending: Op) -> bool {
        self.number(op);
        self.ops.insert(op, pending).is_none()
    }

    pub(crate) fn close(&mut self, op: OpNo) -> Option<Op> {
        let closed = self.ops.remove(&op)?;
        match &closed {
            Op::Step(step) => {
                self.steps -= 1;
                self.due.remove(&(step.at, Due::Retry(op)));
            }
            Op::Signal { name, .. } => {
                if let Some(waits) = self.waits.get_mut(name) {
                    waits.remove(&op);
                    if waits.is_empty() {
                        self.waits.remove(name);
                    }
                }
            }
            Op::Approval(pending) => {
                if let Some(next) = pending.approval.escalations.get(pending.escalated) {
                    self.due.remove(&(next.at, Due::Escalate(op)));
                }
            }
            Op::Call { .. } => drop(self.shielded.remove(&op)),
            Op::Timer { .. } | Op::Handoff { .. } | Op::Recalled => {}
        }
        if let Some(deadline) = closed.deadline() {
            self.due.remove(&(deadline, Due::Op(op)));
        }
        Some(closed)
    }

    pub(crate) fn forget_operations(&mut self) {
        self.ops.clear();
        self.shielded.clear();
        self.waits.clear();
        self.due.clear();
        self.steps = 0;
    }
}
