//! What a command means, and what the world owes a run.

use crate::boundary::Boundary;
use crate::brief::{Brief, Kind};
use crate::call::{NewCall, OnTimeout};
use crate::cancel::Cause;
use crate::command::{Command, Issue};
use crate::effect::Effect;
use crate::error::Rejection;
use crate::event::Event;
use crate::failure::{Failure, FailureKind};
use crate::id::{OpNo, Payload, RunId};
use crate::limits::Limits;
use crate::op::Op;
use crate::run::{Decision, Due, Run, Status};
use crate::time::{Span, Timestamp};
use crate::trigger::Trigger;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

impl Run {
    /// What `command` means at `now`. Changes nothing; apply the events, in order, to make it happen.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] says why it means nothing.
    pub fn decide(&self, command: Command, now: Timestamp, limits: &Limits) -> Decision {
        match command {
            Command::Start => self.start(),
            Command::EndAttempt { op, attempt, result, jitter } => {
                self.end_attempt(op, attempt, result, jitter, now, limits)
            }
            Command::TakeAttempt { op, attempt, worker } => self.take_attempt(op, attempt, worker, limits),
            Command::ReturnAttempt { op, attempt, worker } => self.return_attempt(op, attempt, &worker),
            Command::ResolveCall { child, outcome } => self.resolve_call(child, outcome, now),
            Command::Signal { id, name, payload } => self.receive_signal(id, name, payload, limits),
            Command::Cancel { cause, by, reason, grace } => self.request_cancel(cause, by, reason, grace, now, limits),
            Command::Stream { op, attempt, chunk } => self.stream(op, attempt, chunk, limits),
            Command::Participate(call) => self.participate(*call, now, limits),
            Command::Decide { op, token, verdict } => self.decide_approval(op, token, verdict, limits),
            Command::Pause { by, reason } => self.pause(by, reason),
            Command::Unpause { by } => self.unpause(by),
            Command::Wake { jitter } => self.wake(jitter, now, limits),
            Command::Wedge { reason } => self.wedge(reason),
            Command::Unwedge => self.unwedge(),
            Command::Conversation(command) => self.decide_conversation(*command, limits, now),
            Command::Admit { messages, start } => self.admit(messages, start),
            Command::Interrupt => self.interrupt(now, limits),
            Command::EndHandoff { op, by, note } => self.end_handoff(op, by, note),
            Command::Recall { op, what, answer } => {
                self.check_new_operation(op, limits)?;
                Ok(vec![Event::Recalled { op, what, answer }])
            }
            Command::AwaitRecall { op, what, input } => {
                self.check_new_operation(op, limits)?;
                Ok(vec![Event::RecallAwaited { op, what, input }])
            }
            Command::DeliverRecall { op, .. } if !self.is_active() || !self.awaits_recall(op) => Err(Rejection::Stale),
            Command::DeliverRecall { op, answer } => Ok(vec![Event::RecallDelivered { op, answer }]),
            Command::Issue(issue) => self.issue(issue, now, limits),
        }
    }

    fn issue(&self, issue: Issue, now: Timestamp, limits: &Limits) -> Decision {
        match issue {
            Issue::Step { op, name, policy, timeout } => self.schedule_step(op, name, policy, timeout, limits),
            Issue::Call { op, target, name, terms, key, input, mode, timeout, on_timeout } => {
                self.open_call(NewCall { op, target, name, terms, key, input, mode, timeout, on_timeout }, now, limits)
            }
            Issue::Emit { chunk } => self.emit(chunk, limits),
            Issue::Say { content } => self.say(content, limits),
            Issue::Tell { op, notice } => self.tell(op, notice, limits),
            Issue::HandOff { op, handoff } => self.hand_off(op, handoff, limits),
            Issue::Use(usage) => {
                self.check_active()?;
                Ok(vec![Event::UsageRecorded(usage)])
            }
            Issue::Ask { op, ask } => self.ask(op, *ask, now, limits),
            Issue::CancelCall { op, reason } => self.cancel_call(op, reason, limits),
            Issue::Group { op, name, mode, members } => self.form_group(op, name, mode, members, limits),
            Issue::Sleep { op, until } => self.set_timer(op, until, limits),
            Issue::Await { op, name, timeout } => self.await_signal(op, name, timeout, now, limits),
            Issue::Drop { op } => self.drop_operation(op),
            Issue::Patch { id } => self.mark_patch(id, limits),
            Issue::Return(result) => self.end(result, limits),
            Issue::ContinueAsNew { input, seed } => self.continue_as_new(input, seed, limits),
        }
    }

    fn start(&self) -> Decision {
        self.check_alive()?;
        match self.status {
            Status::Created if self.awaits_turn() || self.brief.kind == Kind::Document => Err(Rejection::Stale),
            Status::Created if self.wedged.is_some() => Err(Rejection::Wedged("")),
            Status::Created if self.paused.is_some() => Err(Rejection::Paused("")),
            Status::Created => Ok(vec![Event::Started]),
            Status::Cancelling(_) if !self.started() => Err(Rejection::AlreadyCancelling),
            Status::Running | Status::Cancelling(_) | Status::Closed(_) => Err(Rejection::AlreadyStarted),
        }
    }

    fn drop_operation(&self, op: OpNo) -> Decision {
        self.check_active()?;
        if op < self.next_op { Ok(vec![Event::OperationDropped { op }]) } else { Err(Rejection::Stale) }
    }

    fn mark_patch(&self, id: String, limits: &Limits) -> Decision {
        self.check_active()?;
        Rejection::check_size("a patch's name", id.len(), limits.name_bytes)?;
        Ok(vec![Event::PatchMarked { id }])
    }

    /// The handler has ended.
    fn end(&self, result: Result<Payload, Failure>, limits: &Limits) -> Decision {
        self.check_active()?;
        Ok(vec![match (self.cancel(), limits.bound(result)) {
            (None, Ok(output)) => Event::Completed { output },
            (None, Err(failure)) => Event::Failed { failure },
            (Some(cancel), Ok(_)) => cancel.end(cancel.failure()),
            (Some(cancel), Err(failure)) if failure.kind == FailureKind::Cancelled => cancel.end(cancel.failure()),
            (Some(cancel), Err(failure)) => cancel.end(failure),
        }])
    }

    fn continue_as_new(&self, input: Payload, seed: u64, limits: &Limits) -> Decision {
        self.check_active()?;
        if self.cancel().is_some() {
            return self.end(Err(Failure::new(FailureKind::Cancelled, "cancelled", "cancelled")), limits);
        }
        let fits = Rejection::check_size("the input", input.len(), limits.payload_bytes);
        let fits = fits.and(Rejection::check_count("incarnations", self.incarnation as usize, u32::MAX as usize));
        if let Err(error) = fits {
            return Ok(vec![Event::Failed { failure: Failure::over_limit(&error) }]);
        }
        let mut events = vec![Event::ContinuedAsNew(Box::new(Boundary {
            incarnation: self.incarnation.saturating_add(1),
            trigger: Trigger { input, seed, deadline: self.deadline(), ..self.trigger.clone() },
            triggered_at: self.triggered_at,
            children: self.carried_children(),
            signals: self.signals.iter().cloned().collect(),
            signals_seen: self.signals_seen.iter().copied().collect(),
        }))];
        if self.brief != Brief::default() {
            // It has begun, and how long it may take is part of its deadline by now.
            let brief = Brief { begin_by: None, work_limit: None, thread: self.thread(), ..self.brief.clone() };
            events.push(Event::Briefed(Box::new(brief)));
        }
        Ok(events)
    }

    fn wedge(&self, reason: String) -> Decision {
        self.check_alive()?;
        if self.wedged.is_some() { Err(Rejection::Wedged("")) } else { Ok(vec![Event::Wedged { reason }]) }
    }

    fn unwedge(&self) -> Decision {
        self.check_alive()?;
        if self.wedged.is_some() { Ok(vec![Event::Unwedged]) } else { Err(Rejection::Wedged("not ")) }
    }

    /// The earliest thing that is due.
    fn wake(&self, jitter: u32, now: Timestamp, limits: &Limits) -> Decision {
        self.check_alive()?;
        if self.holds_answers() {
            return Err(Rejection::NothingDue);
        }
        let mut passed = self.due.iter().take_while(|(at, _)| *at <= now).map(|(_, due)| *due);
        let due = passed.find(|due| self.brings_an_event(*due)).ok_or(Rejection::NothingDue)?;
        let op = match due {
            Due::Run => {
                let reason = "its deadline passed".to_string();
                return self.request_cancel(Cause::Deadline, "the engine".to_string(), reason, None, now, limits);
            }
            Due::Begin => return Ok(self.too_late_to_begin()),
            Due::Grace => return self.grace_ended(),
            Due::Escalate(op) => return self.escalate(op),
            Due::Op(op) | Due::Retry(op) => op,
        };
        match self.ops.get(&op).ok_or(Rejection::NothingDue)? {
            Op::Step(step) => self.step_timed_out(op, step, jitter, now),
            Op::Call { .. } => self.call_timed_out(op),
            Op::Timer { .. } => Ok(vec![Event::TimerFired { op }]),
            Op::Signal { .. } => Ok(vec![Event::SignalTimedOut { op }]),
            Op::Approval(_) => Ok(vec![Event::ApprovalExpired { op }]),
            Op::Handoff { .. } | Op::Recalled => Err(Rejection::NothingDue),
        }
    }

    /// Whether time alone brings it about. A wedged run executes no steps, so none of its attempts runs out of time.
    fn brings_an_event(&self, due: Due) -> bool {
        match due {
            Due::Retry(_) => false,
            Due::Op(op) => self.executes_steps() || !matches!(self.ops.get(&op), Some(Op::Step(_))),
            Due::Escalate(_) | Due::Begin | Due::Run | Due::Grace => true,
        }
    }

    /// What an event makes the run do to its children at once, in the same batch. To be asked before it is applied.
    #[expect(clippy::too_many_lines, reason = "a line for each event, so that none is forgotten")]
    pub fn consequences(&self, event: &Event) -> Vec<Effect> {
        let let_go = |op: &OpNo| match self.ops.get(op) {
            Some(Op::Call { child, on_timeout, .. }) => Some((*child, *on_timeout)),
            _ => None,
        };
        match event {
            Event::ChildTimedOut { op, ended: false, .. } => match let_go(op) {
                Some((child, OnTimeout::Cancel)) => vec![end_child(child, "its caller stopped waiting", None)],
                Some((_, OnTimeout::Detach)) | None => Vec::new(),
            },
            Event::OperationDropped { op } => {
                let ended = let_go(op).map(|(child, _)| end_child(child, "its caller dropped the call", None));
                ended.into_iter().chain(self.told(event)).collect()
            }
            Event::CallCancelled { op, reason } => {
                let_go(op).map(|(child, _)| end_child(child, reason, None)).into_iter().collect()
            }
            Event::CancelRequested { cause, reason, grace, .. } => {
                self.cancel_children(*cause, reason, *grace).into_iter().chain(self.asks_no_more()).collect()
            }
            Event::ContinuedAsNew(_) => self.asks_no_more(),
            Event::Completed { .. } | Event::Failed { .. } | Event::TimedOut { .. } | Event::Cancelled { .. } => {
                // Ended while its children were given time: that is over for them too.
                let grace = self.holds_answers().then_some(Span(0));
                let children = self.awaited_children().map(|child| end_child(child, "its caller has ended", grace));
                children.chain(self.dismiss_turns()).chain(self.told(event)).collect()
            }
            Event::Conversation(change) => self.conversation_consequences(change),
            Event::CallInterrupted { op } => self.end_interrupted(*op),
            Event::Said { .. }
            | Event::SignalAwaited { .. }
            | Event::SignalTimedOut { .. }
            | Event::PersonTold { .. }
            | Event::HandoffStarted { .. }
            | Event::HandoffEnded { .. } => self.told(event),
            Event::Triggered(_)
            | Event::Started
            | Event::StepScheduled { .. }
            | Event::StepCompleted { .. }
            | Event::StepAttemptFailed { .. }
            | Event::StepFailed { .. }
            | Event::ChildTriggered { .. }
            | Event::ChildRefused { .. }
            | Event::ChildCompleted { .. }
            | Event::ChildFailed { .. }
            | Event::ChildTimedOut { ended: true, .. }
            | Event::ChildCancelled { .. }
            | Event::ResultIgnored { .. }
            | Event::CarriedChildEnded { .. }
            | Event::TimerSet { .. }
            | Event::TimerFired { .. }
            | Event::SignalReceived { .. }
            | Event::SignalDelivered { .. }
            | Event::PatchMarked { .. }
            | Event::CancelDelivered { .. }
            | Event::Wedged { .. }
            | Event::Unwedged
            | Event::Briefed(_)
            | Event::GroupFormed { .. }
            | Event::AttemptTaken { .. }
            | Event::AttemptReturned { .. }
            | Event::ApprovalRequested { .. }
            | Event::ApprovalEscalated { .. }
            | Event::ApprovalDecided { .. }
            | Event::ApprovalExpired { .. }
            | Event::Paused { .. }
            | Event::Unpaused { .. }
            | Event::ParticipantCalled { .. }
            | Event::ParticipantRefused { .. }
            | Event::Streamed { .. }
            | Event::ApprovalRefused { .. }
            | Event::Admitted { .. }
            | Event::PersonNotTold { .. }
            | Event::HandoffRefused { .. }
            | Event::CallShielded { .. }
            | Event::UsageRecorded(_)
            | Event::Recalled { .. }
            | Event::RecallAwaited { .. }
            | Event::RecallDelivered { .. }
            | Event::Retries { .. } => Vec::new(),
        }
    }

    /// Everything that the world still owes the run: what a process that has just read its history must do.
    pub fn outstanding(&self) -> impl Iterator<Item = Effect> + '_ {
        let starts = matches!(self.status, Status::Created) && !self.is_held() && !self.waits_to_begin();
        let start = starts.then_some(Effect::Start);
        let cancels = match self.cancel() {
            Some(cancel) if cancel.until.is_none() => self.cancel_children(cancel.cause, &cancel.reason, cancel.grace),
            Some(_) | None => Vec::new(),
        };
        let steps = self.ops.iter().filter(|_| self.executes_steps()).filter_map(|(op, pending)| match pending {
            Op::Step(step) => Some(Effect::RunStep(step.task(*op))),
            Op::Call { .. }
            | Op::Timer { .. }
            | Op::Signal { .. }
            | Op::Approval(_)
            | Op::Handoff { .. }
            | Op::Recalled => None,
        });
        let calls = self.ops.values().filter(|_| !self.holds_answers()).filter_map(|pending| match pending {
            Op::Call { child, cancelled: Some(reason), .. } => {
                Some(Effect::CancelChild { child: *child, cause: Cause::Parent, reason: reason.clone(), grace: None })
            }
            Op::Call { .. }
            | Op::Step(_)
            | Op::Timer { .. }
            | Op::Signal { .. }
            | Op::Approval(_)
            | Op::Handoff { .. }
            | Op::Recalled => None,
        });
        start.into_iter().chain(cancels).chain(calls).chain(steps)
    }

    pub(crate) fn executes_steps(&self) -> bool {
        !matches!(self.status, Status::Closed(_)) && !self.is_held() && !self.holds_answers()
    }

    /// When something will be due that has not come by `now`, or is due already.
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        if matches!(self.status, Status::Closed(_)) || self.holds_answers() {
            return None;
        }
        let counts = |(at, due): &&(Timestamp, Due)| match due {
            Due::Retry(_) => *at > now && self.executes_steps(),
            Due::Op(_) | Due::Escalate(_) | Due::Begin | Due::Run | Due::Grace => self.brings_an_event(*due),
        };
        self.due.iter().find(counts).map(|(at, _)| *at)
    }

    pub(crate) fn check_alive(&self) -> Result<(), Rejection> {
        match self.status {
            Status::Closed(_) => Err(Rejection::Closed(self.state_name())),
            Status::Created | Status::Running | Status::Cancelling(_) => Ok(()),
        }
    }

    /// Whether the handler may act.
    pub(crate) fn check_active(&self) -> Result<(), Rejection> {
        self.check_alive()?;
        match self.status {
            _ if self.wedged.is_some() => Err(Rejection::Wedged("")),
            _ if self.paused.is_some() => Err(Rejection::Paused("")),
            Status::Created => Err(Rejection::NotStarted),
            _ if self.holds_answers() => Err(Rejection::AlreadyCancelling),
            Status::Running | Status::Cancelling(_) | Status::Closed(_) => Ok(()),
        }
    }

    pub(crate) fn check_new_operation(&self, op: OpNo, limits: &Limits) -> Result<(), Rejection> {
        self.check_active()?;
        if op < self.next_op {
            return Err(Rejection::DuplicateOperation(op));
        }
        Rejection::check_count("operations", op.0 as usize, OpNo::END.0 as usize)?;
        Rejection::check_count("pending operations", self.ops.len(), limits.open_operations)?;
        Rejection::check_count(
            "events of history; continue as new before that",
            self.history as usize,
            limits.history as usize,
        )
    }
}

/// What a run tells a child whose end it no longer waits for, or hastens.
pub(crate) fn end_child(child: RunId, reason: &str, grace: Option<Span>) -> Effect {
    Effect::CancelChild { child, cause: Cause::Parent, reason: reason.to_string(), grace }
}
