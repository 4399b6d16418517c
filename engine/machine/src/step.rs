//! A step: a side effect that is recorded once it succeeded.
//!
//! ```text
//!   scheduled ──> attempt 1 ──failed──> pause ──> attempt 2 ── ... ──> completed | failed
//! ```
//!
//! That an attempt began is no event, unless a worker took it: it follows from the schedule. Its number and its deadline
//! follow from the failures.

use crate::effect::StepTask;
use crate::error::Rejection;
use crate::event::Event;
use crate::failure::{Failure, FailureKind};
use crate::id::{OpNo, Payload};
use crate::limits::Limits;
use crate::op::Op;
use crate::retry::Policy;
use crate::run::{Decision, Due, Run};
use crate::time::{Span, Timestamp};
use alloc::format;
use alloc::string::String;
use alloc::vec;

/// A pending step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Which attempt is under way or comes next, from 1.
    pub attempt: u32,
    /// When that attempt begins, or began.
    pub at: Timestamp,
    /// Why the attempt before it failed.
    pub last_failure: Option<Failure>,
    /// The worker that has the attempt, where one took it.
    pub worker: Option<String>,
    pub(crate) policy: Policy,
    pub(crate) timeout: Option<Span>,
}

impl Step {
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.timeout.map(|timeout| self.at.after(timeout))
    }

    pub(crate) fn task(&self, op: OpNo) -> StepTask {
        StepTask { op, attempt: self.attempt, at: self.at, deadline: self.deadline() }
    }
}

impl Run {
    pub(crate) fn schedule_step(
        &self,
        op: OpNo,
        name: String,
        policy: Policy,
        timeout: Option<Span>,
        limits: &Limits,
    ) -> Decision {
        self.check_new_operation(op, limits)?;
        Rejection::check_size("a step's name", name.len(), limits.name_bytes)?;
        Ok(vec![Event::StepScheduled { op, name, policy, timeout }])
    }

    pub(crate) fn end_attempt(
        &self,
        op: OpNo,
        attempt: u32,
        result: Result<Payload, Failure>,
        jitter: u32,
        now: Timestamp,
        limits: &Limits,
    ) -> Decision {
        self.check_alive()?;
        let Some(Op::Step(step)) = self.ops.get(&op) else { return Err(Rejection::Stale) };
        if step.attempt != attempt || self.holds_answers() {
            return Err(Rejection::Stale);
        }
        Ok(vec![match limits.bound(result) {
            Ok(output) => Event::StepCompleted { op, output },
            Err(failure) => step.failed(op, failure, jitter, now),
        }])
    }

    /// A step whose attempt is past its deadline.
    pub(crate) fn step_timed_out(&self, op: OpNo, step: &Step, jitter: u32, now: Timestamp) -> Decision {
        let seconds = step.timeout.unwrap_or_default().duration();
        let message = format!("step {:?}: attempt {} took longer than {seconds:?}", step.name, step.attempt);
        let failure = Failure { retryable: true, ..Failure::new(FailureKind::TimedOut, "step-timeout", message) };
        Ok(vec![step.failed(op, failure, jitter, now)])
    }

    /// A piece of what an attempt will result in.
    pub(crate) fn stream(&self, op: OpNo, attempt: u32, chunk: Payload, limits: &Limits) -> Decision {
        self.check_alive()?;
        self.step(op).filter(|step| step.attempt == attempt && !self.holds_answers()).ok_or(Rejection::Stale)?;
        self.check_stream(&chunk, limits)?;
        Ok(vec![Event::Streamed { attempt, chunk }])
    }

    /// A piece of what the handler will return.
    pub(crate) fn emit(&self, chunk: Payload, limits: &Limits) -> Decision {
        self.check_active()?;
        self.check_stream(&chunk, limits)?;
        Ok(vec![Event::Streamed { attempt: 0, chunk }])
    }

    fn check_stream(&self, chunk: &Payload, limits: &Limits) -> Result<(), Rejection> {
        Rejection::check_size("a piece of a stream", chunk.len(), limits.payload_bytes)?;
        Rejection::check_count("pieces of its stream", self.streamed.0, limits.stream_chunks)?;
        Rejection::check_size("the stream", self.streamed.1 + chunk.len(), limits.stream_bytes)
    }

    pub(crate) fn take_attempt(&self, op: OpNo, attempt: u32, worker: String, limits: &Limits) -> Decision {
        self.check_alive()?;
        Rejection::check_size("a worker's name", worker.len(), limits.name_bytes)?;
        let wanted = |step: &&Step| step.attempt == attempt && step.worker.is_none() && self.executes_steps();
        self.step(op).filter(wanted).ok_or(Rejection::Stale)?;
        Ok(vec![Event::AttemptTaken { op, attempt, worker }])
    }

    pub(crate) fn return_attempt(&self, op: OpNo, attempt: u32, worker: &str) -> Decision {
        self.check_alive()?;
        let has = |step: &&Step| step.attempt == attempt && step.worker.as_deref() == Some(worker);
        self.step(op).filter(has).filter(|_| !self.holds_answers()).ok_or(Rejection::Stale)?;
        Ok(vec![Event::AttemptReturned { op, attempt }])
    }

    pub(crate) fn attempt_taken(&mut self, op: OpNo, attempt: u32, worker: Option<&str>) -> bool {
        let Some(Op::Step(step)) = self.ops.get_mut(&op) else { return false };
        // Taken if nobody has it, given back if somebody has.
        let fits = step.attempt == attempt && step.worker.is_none() == worker.is_some();
        if fits {
            step.worker = worker.map(Into::into);
        }
        fits
    }

    pub(crate) fn add_step(
        &mut self,
        op: OpNo,
        name: &str,
        policy: &Policy,
        timeout: Option<Span>,
        time: Timestamp,
    ) -> bool {
        let (name, policy) = (name.into(), policy.clone());
        let step = Step { name, attempt: 1, at: time, last_failure: None, worker: None, policy, timeout };
        if let Some(deadline) = step.deadline() {
            self.due.insert((deadline, Due::Op(op)));
        }
        self.steps += 1;
        self.open(op, Op::Step(step))
    }

    pub(crate) fn step_retries(&mut self, op: OpNo, failure: &Failure, retry_at: Timestamp) -> bool {
        let Some(Op::Step(step)) = self.ops.get_mut(&op) else { return false };
        let Some(attempt) = step.attempt.checked_add(1) else { return false };
        let (began, timed_out) = (step.at, step.deadline());
        step.attempt = attempt;
        step.at = retry_at;
        step.last_failure = Some(failure.clone());
        step.worker = None;
        self.due.remove(&(began, Due::Retry(op)));
        if let Some(deadline) = timed_out {
            self.due.remove(&(deadline, Due::Op(op)));
        }
        if let Some(deadline) = step.deadline() {
            self.due.insert((deadline, Due::Op(op)));
        }
        self.due.insert((retry_at, Due::Retry(op)));
        true
    }
}

impl Step {
    fn failed(&self, op: OpNo, failure: Failure, jitter: u32, now: Timestamp) -> Event {
        match self.policy.pause(self.attempt, &failure, jitter) {
            Some(pause) => Event::StepAttemptFailed { op, failure, retry_at: now.after(pause) },
            None => Event::StepFailed { op, failure },
        }
    }
}
