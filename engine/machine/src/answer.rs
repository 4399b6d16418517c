//! What a handler is told of what happened.

use crate::boundary::Recollection;
use crate::call::Mode;
use crate::event::Event;
use crate::failure::Failure;
use crate::human::Verdict;
use crate::id::{OpNo, Payload, RunId, SignalId};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// What the handler is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Begin.
    Start,
    /// An operation has ended.
    Resolved {
        /// The operation.
        op: OpNo,
        /// How.
        result: Result<Payload, Failure>,
    },
    /// A signal for an operation.
    Signal {
        /// The operation.
        op: OpNo,
        /// Which.
        id: SignalId,
    },
    /// No signal or answer came in time.
    NoSignal {
        /// The operation.
        op: OpNo,
    },
    /// A child that is not awaited was started.
    Spawned {
        /// The operation.
        op: OpNo,
        /// The child.
        child: RunId,
    },
    /// People have answered.
    Decided {
        /// The operation.
        op: OpNo,
        /// The answer.
        verdict: Box<Verdict>,
    },
    /// Everything pending is cancelled.
    Cancel,
}

impl Answer {
    /// The operation that it is for.
    pub fn op(&self) -> Option<OpNo> {
        match self {
            Answer::Resolved { op, .. }
            | Answer::Signal { op, .. }
            | Answer::NoSignal { op }
            | Answer::Spawned { op, .. }
            | Answer::Decided { op, .. } => Some(*op),
            Answer::Start | Answer::Cancel => None,
        }
    }
}

impl Event {
    /// What the handler is told of it, if anything.
    #[expect(clippy::too_many_lines, reason = "a line for each event, so that none is forgotten")]
    pub fn answer(&self) -> Option<Answer> {
        let failed = |op: &OpNo, failure: &Failure| Answer::Resolved { op: *op, result: Err(failure.clone()) };
        match self {
            Event::Started => Some(Answer::Start),
            Event::StepCompleted { op, output } | Event::ChildCompleted { op, output } => {
                Some(Answer::Resolved { op: *op, result: Ok(output.clone()) })
            }
            Event::StepFailed { op, failure }
            | Event::ChildRefused { op, failure, .. }
            | Event::ApprovalRefused { op, failure }
            | Event::PersonNotTold { op, failure }
            | Event::HandoffRefused { op, failure }
            | Event::ChildFailed { op, failure }
            | Event::ChildTimedOut { op, failure, .. }
            | Event::ChildCancelled { op, failure } => Some(failed(op, failure)),
            Event::ChildTriggered { op, child, mode: Mode::Detach, .. } => {
                Some(Answer::Spawned { op: *op, child: *child })
            }
            Event::TimerFired { op } => Some(Answer::Resolved { op: *op, result: Ok(Payload::from(Vec::new())) }),
            Event::SignalDelivered { op, id } => Some(Answer::Signal { op: *op, id: *id }),
            Event::ApprovalDecided { op, verdict } => Some(Answer::Decided { op: *op, verdict: verdict.clone() }),
            Event::PersonTold { op, notice } => Some(Answer::Spawned { op: *op, child: notice.conversation }),
            Event::HandoffEnded { op, by, note } => {
                let comment = note.as_ref().and_then(|note| String::from_utf8(note.bytes().to_vec()).ok());
                let verdict = Verdict { answer: String::new(), by: by.clone(), comment };
                Some(Answer::Decided { op: *op, verdict: Box::new(verdict) })
            }
            Event::Recalled { op, answer, .. } | Event::RecallDelivered { op, answer } => Some(match answer {
                Recollection::Value(value) => Answer::Resolved { op: *op, result: Ok(value.clone()) },
                Recollection::Spawned(child) => Answer::Spawned { op: *op, child: *child },
                Recollection::Verdict(verdict) => Answer::Decided { op: *op, verdict: Box::new(verdict.clone()) },
                Recollection::Nothing => Answer::NoSignal { op: *op },
                Recollection::Failed(failure) => failed(op, failure),
            }),
            Event::ApprovalExpired { op } | Event::SignalTimedOut { op } => Some(Answer::NoSignal { op: *op }),
            Event::CancelDelivered { .. } => Some(Answer::Cancel),
            Event::Triggered(_)
            | Event::Completed { .. }
            | Event::Failed { .. }
            | Event::TimedOut { .. }
            | Event::Cancelled { .. }
            | Event::ContinuedAsNew(_)
            | Event::StepScheduled { .. }
            | Event::StepAttemptFailed { .. }
            | Event::ChildTriggered { mode: Mode::Wait, .. }
            | Event::ResultIgnored { .. }
            | Event::CarriedChildEnded { .. }
            | Event::TimerSet { .. }
            | Event::SignalAwaited { .. }
            | Event::SignalReceived { .. }
            | Event::OperationDropped { .. }
            | Event::PatchMarked { .. }
            | Event::CancelRequested { .. }
            | Event::Wedged { .. }
            | Event::Unwedged
            | Event::Briefed(_)
            | Event::CallCancelled { .. }
            | Event::GroupFormed { .. }
            | Event::AttemptTaken { .. }
            | Event::AttemptReturned { .. }
            | Event::ApprovalRequested { .. }
            | Event::ApprovalEscalated { .. }
            | Event::Paused { .. }
            | Event::Unpaused { .. }
            | Event::ParticipantCalled { .. }
            | Event::ParticipantRefused { .. }
            | Event::Streamed { .. }
            | Event::Conversation(_)
            | Event::Admitted { .. }
            | Event::Said { .. }
            | Event::HandoffStarted { .. }
            | Event::CallShielded { .. }
            | Event::CallInterrupted { .. }
            | Event::UsageRecorded(_)
            | Event::RecallAwaited { .. }
            | Event::Retries { .. } => None,
        }
    }
}
