//! What events are called, and what can be told of any.

use crate::conversation::Change;
use crate::event::Event;
use crate::id::RunId;

impl Event {
    /// The run that is started with it, if one is: a child, or a turn of a conversation.
    pub fn child(&self) -> Option<RunId> {
        match self {
            Event::ChildTriggered { child, .. } | Event::ParticipantCalled { child, .. } => Some(*child),
            Event::Conversation(change) => match &**change {
                Change::Joined { run, begins: Some(_) } => Some(*run),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether the run has ended with it.
    pub fn is_terminal(&self) -> bool {
        matches!(
            self,
            Event::Completed { .. } | Event::Failed { .. } | Event::TimedOut { .. } | Event::Cancelled { .. }
        )
    }

    /// Its name.
    #[expect(clippy::too_many_lines, reason = "a line for each event, so that none is forgotten")]
    pub fn name(&self) -> &'static str {
        match self {
            Event::Triggered(_) => "Triggered",
            Event::Started => "Started",
            Event::Completed { .. } => "Completed",
            Event::Failed { .. } => "Failed",
            Event::TimedOut { .. } => "TimedOut",
            Event::Cancelled { .. } => "Cancelled",
            Event::ContinuedAsNew(_) => "ContinuedAsNew",
            Event::StepScheduled { .. } => "StepScheduled",
            Event::StepCompleted { .. } => "StepCompleted",
            Event::StepAttemptFailed { .. } => "StepAttemptFailed",
            Event::StepFailed { .. } => "StepFailed",
            Event::ChildTriggered { .. } => "ChildTriggered",
            Event::ChildRefused { .. } => "ChildRefused",
            Event::ChildCompleted { .. } => "ChildCompleted",
            Event::ChildFailed { .. } => "ChildFailed",
            Event::ChildTimedOut { .. } => "ChildTimedOut",
            Event::ChildCancelled { .. } => "ChildCancelled",
            Event::ResultIgnored { .. } => "ResultIgnored",
            Event::CarriedChildEnded { .. } => "CarriedChildEnded",
            Event::TimerSet { .. } => "TimerSet",
            Event::TimerFired { .. } => "TimerFired",
            Event::SignalAwaited { .. } => "SignalAwaited",
            Event::SignalReceived { .. } => "SignalReceived",
            Event::SignalDelivered { .. } => "SignalDelivered",
            Event::SignalTimedOut { .. } => "SignalTimedOut",
            Event::OperationDropped { .. } => "OperationDropped",
            Event::PatchMarked { .. } => "PatchMarked",
            Event::CancelRequested { .. } => "CancelRequested",
            Event::CancelDelivered { .. } => "CancelDelivered",
            Event::Wedged { .. } => "Wedged",
            Event::Unwedged => "Unwedged",
            Event::Briefed(_) => "Briefed",
            Event::CallCancelled { .. } => "CallCancelled",
            Event::GroupFormed { .. } => "GroupFormed",
            Event::AttemptTaken { .. } => "AttemptTaken",
            Event::AttemptReturned { .. } => "AttemptReturned",
            Event::ApprovalRequested { .. } => "ApprovalRequested",
            Event::ApprovalEscalated { .. } => "ApprovalEscalated",
            Event::ApprovalDecided { .. } => "ApprovalDecided",
            Event::ApprovalExpired { .. } => "ApprovalExpired",
            Event::Paused { .. } => "Paused",
            Event::Unpaused { .. } => "Unpaused",
            Event::ParticipantCalled { .. } => "ParticipantCalled",
            Event::ParticipantRefused { .. } => "ParticipantRefused",
            Event::Streamed { .. } => "Streamed",
            Event::ApprovalRefused { .. } => "ApprovalRefused",
            Event::Conversation(change) => change.name(),
            Event::Admitted { .. } => "Admitted",
            Event::Said { .. } => "Said",
            Event::PersonTold { .. } => "PersonTold",
            Event::PersonNotTold { .. } => "PersonNotTold",
            Event::HandoffStarted { .. } => "HandoffStarted",
            Event::HandoffRefused { .. } => "HandoffRefused",
            Event::HandoffEnded { .. } => "HandoffEnded",
            Event::CallShielded { .. } => "CallShielded",
            Event::CallInterrupted { .. } => "CallInterrupted",
            Event::UsageRecorded(_) => "UsageRecorded",
            Event::Recalled { .. } => "Recalled",
            Event::RecallAwaited { .. } => "RecallAwaited",
            Event::RecallDelivered { .. } => "RecallDelivered",
            Event::Retries { .. } => "Retries",
        }
    }
}
