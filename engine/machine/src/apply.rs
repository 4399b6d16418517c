//! The one door through which a run's state changes.

use crate::brief::{Brief, Kind};
use crate::call::{Link, Wait};
use crate::cancel::{Cancel, Cause};
use crate::error::IllegalEvent;
use crate::event::Event;
use crate::id::OpNo;
use crate::op::Op;
use crate::run::{Due, Outcome, Run, Status};
use crate::signal::Buffered;
use crate::time::Timestamp;
use crate::transition::Transition;
use crate::turn::INTERRUPTED;

impl Run {
    /// Applies an event that happened at `time`. Checks that it fits the state and reconsiders nothing.
    ///
    /// # Errors
    ///
    /// [`IllegalEvent`] if it does not fit; the state is then unchanged or, within one event, of no further use.
    pub fn apply(&mut self, event: &Event, time: Timestamp) -> Result<(), IllegalEvent> {
        if !self.fits(event) || time < self.time || !self.change(event, time) {
            return Err(IllegalEvent { event: event.name(), state: self.state_name() });
        }
        self.time = time;
        self.history = self.history.saturating_add(1);
        Ok(())
    }

    /// Applies all events of a transition.
    ///
    /// # Errors
    ///
    /// [`IllegalEvent`] if one does not fit.
    pub fn apply_all(&mut self, transition: &Transition, time: Timestamp) -> Result<(), IllegalEvent> {
        transition.events.iter().try_for_each(|event| self.apply(event, time))
    }

    /// Whether this kind of event can happen in this state; what it speaks of is for [`Run::change`] to check.
    #[expect(clippy::too_many_lines, reason = "a line for each event, so that none is forgotten")]
    fn fits(&self, event: &Event) -> bool {
        let wedged = self.is_held();
        match event {
            Event::Triggered(_) => false,
            Event::Started => matches!(self.status, Status::Created) && !wedged && !self.awaits_turn(),
            // The first thing that is said of a run, or never.
            Event::Briefed(_) => matches!(self.status, Status::Created) && self.history == 1 && !wedged,
            Event::Paused { .. } => matches!(self.status, Status::Created | Status::Running),
            // What the handler says, while nobody has asked it to end.
            Event::Completed { .. } | Event::Failed { .. } | Event::ContinuedAsNew(_) => {
                matches!(self.status, Status::Running) && !wedged
            }
            // What it asks for, as long as it is heard.
            Event::StepScheduled { .. }
            | Event::ChildTriggered { .. }
            | Event::ChildRefused { .. }
            | Event::TimerSet { .. }
            | Event::SignalAwaited { .. }
            | Event::ApprovalRequested { .. }
            | Event::ApprovalRefused { .. }
            | Event::CallCancelled { .. }
            | Event::GroupFormed { .. }
            | Event::Said { .. }
            | Event::PersonTold { .. }
            | Event::PersonNotTold { .. }
            | Event::HandoffStarted { .. }
            | Event::HandoffRefused { .. }
            | Event::CallShielded { .. }
            | Event::UsageRecorded(_)
            | Event::Recalled { .. }
            | Event::RecallAwaited { .. }
            | Event::OperationDropped { .. }
            | Event::PatchMarked { .. } => self.is_active() && !wedged,
            // What it is handed, as long as it is told.
            Event::StepCompleted { .. }
            | Event::StepAttemptFailed { .. }
            | Event::StepFailed { .. }
            | Event::AttemptTaken { .. }
            | Event::AttemptReturned { .. }
            | Event::ParticipantCalled { .. }
            | Event::ParticipantRefused { .. }
            | Event::Streamed { .. }
            | Event::ApprovalEscalated { .. }
            | Event::ApprovalDecided { .. }
            | Event::ApprovalExpired { .. }
            | Event::ChildTimedOut { ended: false, .. }
            | Event::TimerFired { .. }
            | Event::SignalDelivered { .. }
            | Event::SignalTimedOut { .. }
            | Event::HandoffEnded { .. }
            | Event::RecallDelivered { .. }
            | Event::CallInterrupted { .. } => self.is_active(),
            Event::Admitted { .. } => self.awaits_turn(),
            Event::Retries { .. } => matches!(self.status, Status::Created) && self.history <= 2 && !wedged,
            Event::Conversation(_) => {
                self.brief.kind == Kind::Conversation && !matches!(self.status, Status::Closed(_))
            }
            // What the world may say to a run that never started, or that waits for its children to end.
            Event::TimedOut { .. }
            | Event::Cancelled { .. }
            | Event::ChildCompleted { .. }
            | Event::ChildFailed { .. }
            | Event::ChildTimedOut { ended: true, .. }
            | Event::ChildCancelled { .. }
            | Event::ResultIgnored { .. }
            | Event::CarriedChildEnded { .. }
            | Event::SignalReceived { .. }
            | Event::CancelRequested { .. }
            | Event::CancelDelivered { .. }
            | Event::Wedged { .. }
            | Event::Unwedged
            | Event::Unpaused { .. } => !matches!(self.status, Status::Closed(_)),
        }
    }

    /// Whether the handler is under way: called, and not kept in the dark while its children are being cancelled.
    pub(crate) fn is_active(&self) -> bool {
        matches!(self.status, Status::Running | Status::Cancelling(Cancel { until: Some(_), .. }))
    }

    /// Changes the state; `false` if the event does not fit it.
    fn change(&mut self, event: &Event, time: Timestamp) -> bool {
        match event {
            Event::Triggered(_) => false,
            Event::Started => {
                self.begin_work(time);
                self.become_status(Status::Running)
            }
            Event::Completed { output } => self.close_run(self.outcome_of(output)),
            Event::Failed { failure } => self.close_run(Outcome::Failed(failure.clone())),
            Event::TimedOut { failure } => {
                self.is_cancelled_by(Cause::Deadline) && self.close_run(Outcome::TimedOut(failure.clone()))
            }
            Event::Cancelled { failure } => {
                self.cancel().is_some()
                    && !self.is_cancelled_by(Cause::Deadline)
                    && self.close_run(Outcome::Cancelled(failure.clone()))
            }
            Event::ContinuedAsNew(_) => self.begin_anew(event, time),
            Event::CancelRequested { cause, by, reason, grace } => {
                let (by, reason) = (by.clone(), reason.clone());
                let cancel = Cancel { cause: *cause, by, reason, grace: *grace, until: None };
                self.cancel().is_none() && self.become_status(Status::Cancelling(cancel))
            }
            Event::CancelDelivered { until } => self.started() && self.holds_answers() && self.deliver_cancel(*until),
            Event::Wedged { reason } => self.wedged.replace(reason.clone()).is_none(),
            Event::Unwedged => self.wedged.take().is_some(),
            Event::Paused { by, reason } => self.paused.replace((by.clone(), reason.clone())).is_none(),
            Event::Unpaused { .. } => self.paused.take().is_some(),
            Event::PatchMarked { .. } => true,
            Event::Briefed(brief) => self.take_brief(brief),
            Event::Streamed { chunk, .. } => {
                self.streamed = (self.streamed.0 + 1, self.streamed.1 + chunk.len());
                true
            }
            Event::Conversation(change) => self.change_conversation(change, time),
            Event::Admitted { messages } => self.admitted.replace(*messages).is_none(),
            Event::Said { .. } => true,
            Event::Retries { run, incarnation } => self.retries.replace((*run, *incarnation)).is_none(),
            Event::UsageRecorded(usage) => {
                self.usage = self.usage.plus(*usage);
                true
            }
            Event::ParticipantCalled { child, key, .. } => self.add_participants_child(*child, key),
            Event::ParticipantRefused { key, failure, .. } => {
                self.refusal = Some((key.clone(), failure.clone()));
                true
            }
            Event::ResultIgnored { child } => {
                matches!(self.children.get(child), Some(known) if known.link == Link::Loose)
                    && self.forget_child(*child)
            }
            Event::CarriedChildEnded { child, result } => self.carried_child_ended(*child, result),
            Event::SignalReceived { id, name, payload } => {
                self.add_signal(Buffered { id: *id, name: name.clone(), payload: payload.clone() })
            }
            operation => self.change_operation(operation, time),
        }
    }

    #[expect(clippy::too_many_lines, reason = "a line for each event, so that none is forgotten")]
    fn change_operation(&mut self, event: &Event, time: Timestamp) -> bool {
        match event {
            Event::StepScheduled { op, name, policy, timeout } => {
                self.opens(*op) && self.add_step(*op, name, policy, *timeout, time)
            }
            Event::ChildTriggered { op, child, key, mode, deadline, on_timeout, .. } => {
                let wait = Wait { deadline: *deadline, on_timeout: *on_timeout };
                self.opens(*op) && self.add_call(*op, *child, key, *mode, wait)
            }
            Event::ChildRefused { op, .. } => self.opens(*op) && self.number(*op),
            Event::TimerSet { op, at } => self.opens(*op) && self.add_timer(*op, *at),
            Event::SignalAwaited { op, name, deadline } => self.opens(*op) && self.add_wait(*op, name, *deadline),
            Event::StepAttemptFailed { op, failure, retry_at } => self.step_retries(*op, failure, *retry_at),
            Event::AttemptTaken { op, attempt, worker } => self.attempt_taken(*op, *attempt, Some(worker)),
            Event::AttemptReturned { op, attempt } => self.attempt_taken(*op, *attempt, None),
            Event::StepCompleted { op, .. } | Event::StepFailed { op, .. } => {
                matches!(self.ops.get(op), Some(Op::Step(_))) && self.close(*op).is_some()
            }
            Event::ChildCompleted { op, .. } | Event::ChildFailed { op, .. } | Event::ChildCancelled { op, .. } => {
                self.close_call(*op, true)
            }
            Event::ChildTimedOut { op, ended, .. } => {
                (*ended || self.time_is_up(*op, time)) && self.close_call(*op, *ended)
            }
            Event::TimerFired { op } => {
                matches!(self.ops.get(op), Some(Op::Timer { .. }))
                    && self.time_is_up(*op, time)
                    && self.close(*op).is_some()
            }
            Event::SignalDelivered { op, id } => self.deliver_signal(*op, *id),
            Event::SignalTimedOut { op } => self.signal_timed_out(*op, time),
            Event::CallCancelled { op, reason } => self.mark_cancelled(*op, reason),
            Event::GroupFormed { op, .. }
            | Event::ApprovalRefused { op, .. }
            | Event::PersonTold { op, .. }
            | Event::PersonNotTold { op, .. }
            | Event::HandoffRefused { op, .. }
            | Event::Recalled { op, .. } => self.opens(*op) && self.number(*op),
            Event::RecallAwaited { op, .. } => self.opens(*op) && self.open(*op, Op::Recalled),
            Event::RecallDelivered { op, .. } => {
                matches!(self.ops.get(op), Some(Op::Recalled)) && self.close(*op).is_some()
            }
            Event::HandoffStarted { op, handoff } => self.opens(*op) && self.add_handoff(*op, handoff, time),
            Event::HandoffEnded { op, .. } => {
                matches!(self.ops.get(op), Some(Op::Handoff { .. })) && self.close(*op).is_some()
            }
            Event::CallShielded { op } => {
                matches!(self.ops.get(op), Some(Op::Call { .. })) && self.shielded.insert(*op)
            }
            Event::CallInterrupted { op } => {
                matches!(self.ops.get(op), Some(Op::Call { .. })) && self.mark_cancelled(*op, INTERRUPTED)
            }
            Event::ApprovalRequested { op, approval } => self.opens(*op) && self.add_approval(*op, approval),
            Event::ApprovalEscalated { op } => self.approval_escalated(*op, time),
            Event::ApprovalDecided { op, verdict } => self.approval_decided(*op, verdict, time),
            Event::ApprovalExpired { op } => self.approval_expired(*op, time),
            Event::OperationDropped { op } => self.drop_pending(*op),
            Event::Triggered(_)
            | Event::Started
            | Event::Completed { .. }
            | Event::Failed { .. }
            | Event::TimedOut { .. }
            | Event::Cancelled { .. }
            | Event::ContinuedAsNew(_)
            | Event::ResultIgnored { .. }
            | Event::CarriedChildEnded { .. }
            | Event::SignalReceived { .. }
            | Event::PatchMarked { .. }
            | Event::CancelRequested { .. }
            | Event::CancelDelivered { .. }
            | Event::Wedged { .. }
            | Event::Unwedged
            | Event::Paused { .. }
            | Event::Unpaused { .. }
            | Event::Briefed(_)
            | Event::ParticipantCalled { .. }
            | Event::ParticipantRefused { .. }
            | Event::Streamed { .. }
            | Event::Conversation(_)
            | Event::Admitted { .. }
            | Event::Said { .. }
            | Event::UsageRecorded(_)
            | Event::Retries { .. } => false,
        }
    }

    /// Whether a new operation may have this number.
    fn opens(&self, op: OpNo) -> bool {
        (self.next_op..OpNo::END).contains(&op)
    }

    /// Whether an operation is past its deadline. Nothing happens early, whatever a clock said.
    pub(crate) fn time_is_up(&self, op: OpNo, time: Timestamp) -> bool {
        self.ops.get(&op).and_then(Op::deadline).is_some_and(|deadline| deadline <= time)
    }

    /// An operation that was resolved already, but whose answer the handler had not seen, is dropped without effect.
    fn drop_pending(&mut self, op: OpNo) -> bool {
        match self.ops.get(&op) {
            Some(Op::Call { .. }) => self.close_call(op, false),
            Some(_) => self.close(op).is_some(),
            None => op < self.next_op,
        }
    }

    fn is_cancelled_by(&self, cause: Cause) -> bool {
        self.cancel().is_some_and(|cancel| cancel.cause == cause)
    }

    fn become_status(&mut self, status: Status) -> bool {
        self.status = status;
        true
    }

    fn close_run(&mut self, outcome: Outcome) -> bool {
        self.forget_operations();
        self.signals.clear();
        (self.wedged, self.paused) = (None, None);
        self.become_status(Status::Closed(outcome))
    }

    fn take_brief(&mut self, brief: &Brief) -> bool {
        self.due.extend(brief.begin_by.map(|by| (by, Due::Begin)));
        self.brief = brief.clone();
        true
    }

    /// What was limited before it began is not any more, and what is from then on is.
    fn begin_work(&mut self, time: Timestamp) {
        self.started_at = Some(time);
        self.due.extend(self.brief.work_limit.map(|limit| (time.after(limit), Due::Run)));
        if let Some(by) = self.brief.begin_by {
            self.due.remove(&(by, Due::Begin));
        }
    }

    fn begin_anew(&mut self, event: &Event, time: Timestamp) -> bool {
        let Ok(next) = Run::begin(self.id, event, time) else { return false };
        if Some(next.incarnation) != self.incarnation.checked_add(1) {
            return false;
        }
        *self = next;
        // `apply` counts the event that begins the incarnation.
        self.history = 0;
        true
    }
}
