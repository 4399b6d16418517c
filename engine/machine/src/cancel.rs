//! Cancellation, in two phases.
//!
//! ```text
//!   running ──CancelRequested──> children end ──CancelDelivered──> handler compensates ──> cancelled | timed out
//! ```
//!
//! Leaves first: a handler hears of its cancellation when every child that it waits for has ended. Until then nothing
//! is handed to it and no step of it is executed. Then everything pending is cancelled at once, and what it issues from
//! there on (compensation) runs until the grace ends.

use crate::effect::Effect;
use crate::error::Rejection;
use crate::event::Event;
use crate::failure::{Failure, FailureKind};
use crate::id::RunId;
use crate::limits::Limits;
use crate::run::{Decision, Due, Run, Status};
use crate::time::{Span, Timestamp};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What asks for the end of a run. New causes are added at the end: numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// Somebody, for this run and the children that it waits for.
    Request,
    /// The run's deadline.
    Deadline,
    /// The caller has ended, is being cancelled, or stopped waiting.
    Parent,
    /// Somebody, for the whole tree, fire-and-forget children too.
    Tree,
}

/// A cancellation under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// What asks for it.
    pub cause: Cause,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// How long the handler may compensate.
    pub grace: Span,
    /// When that ends; `None` while children are being cancelled.
    pub until: Option<Timestamp>,
}

impl Cancel {
    /// The failure that a cancelled operation, and a run that said nothing else, ends with.
    pub fn failure(&self) -> Failure {
        match self.cause {
            Cause::Deadline => Failure::new(FailureKind::TimedOut, "deadline", "the run's deadline passed"),
            Cause::Request | Cause::Parent | Cause::Tree => {
                let message = format!("cancelled by {}: {}", self.by, self.reason);
                Failure::new(FailureKind::Cancelled, "cancelled", message)
            }
        }
    }

    /// The terminal event that it leads to.
    pub(crate) fn end(&self, failure: Failure) -> Event {
        match self.cause {
            Cause::Deadline => Event::TimedOut { failure },
            Cause::Request | Cause::Parent | Cause::Tree => Event::Cancelled { failure },
        }
    }
}

impl Run {
    pub(crate) fn request_cancel(
        &self,
        cause: Cause,
        by: String,
        reason: String,
        grace: Option<Span>,
        now: Timestamp,
        limits: &Limits,
    ) -> Decision {
        self.check_alive()?;
        if self.brief.protected && cause == Cause::Request {
            return Err(Rejection::Protected);
        }
        let grace = grace.unwrap_or(limits.cancel_grace);
        if let Some(cancel) = self.cancel() {
            // A second request changes nothing, except that one without grace ends the run now.
            let failure = cancel.failure();
            return if grace == Span(0) { Ok(vec![cancel.end(failure)]) } else { Err(Rejection::AlreadyCancelling) };
        }
        let cut = |text: String| text.chars().take(1024).collect::<String>();
        let cancel = Cancel { cause, by: cut(by), reason: cut(reason), grace, until: None };
        let (by, reason) = (cancel.by.clone(), cancel.reason.clone());
        // One that stands still goes on, so that it can end.
        let mut events: Vec<Event> = self.paused.iter().map(|_| Event::Unpaused { by: by.clone() }).collect();
        events.push(Event::CancelRequested { cause, by, reason, grace });
        if grace == Span(0) {
            events.push(cancel.end(cancel.failure()));
        } else if self.awaited_children().next().is_none() {
            events.push(self.delivery(&cancel, now));
        }
        Ok(events)
    }

    /// What follows when no child is waited for any more. A handler that was not called cannot be told, nor has it done
    /// anything that it would have to undo.
    fn delivery(&self, cancel: &Cancel, now: Timestamp) -> Event {
        if self.started() {
            Event::CancelDelivered { until: now.after(cancel.grace) }
        } else {
            cancel.end(cancel.failure())
        }
    }

    /// The handler's turn, when `closing` is the last child that a cancelled run waits for.
    pub(crate) fn deliver_after_last(&self, closing: RunId, now: Timestamp) -> Option<Event> {
        let cancel = self.cancel().filter(|cancel| cancel.until.is_none())?;
        let others = self.awaited_children().any(|child| child != closing);
        (!others).then(|| self.delivery(cancel, now))
    }

    /// It waited to begin for longer than it may.
    pub(crate) fn too_late_to_begin(&self) -> Vec<Event> {
        let message = "it waited longer than it may before it began";
        let failure = Failure::new(FailureKind::TimedOut, "queue-timeout", message);
        let (by, reason) = (String::from("the engine"), String::from(message));
        let asked = Event::CancelRequested { cause: Cause::Deadline, by, reason, grace: Span(0) };
        let going_on = self.paused.iter().map(|_| Event::Unpaused { by: String::from("the engine") });
        going_on.chain([asked, Event::TimedOut { failure }]).collect()
    }

    pub(crate) fn grace_ended(&self) -> Decision {
        let cancel = self.cancel().ok_or(Rejection::NothingDue)?;
        Ok(vec![cancel.end(cancel.failure())])
    }

    pub(crate) fn deliver_cancel(&mut self, until: Timestamp) -> bool {
        if self.awaited_children().next().is_some() {
            return false;
        }
        let Status::Cancelling(cancel) = &mut self.status else { return false };
        cancel.until = Some(until);
        self.forget_operations();
        self.due.insert((until, Due::Grace));
        true
    }

    /// What a cancelled run tells the children that it waits for; of a whole tree, all children.
    pub(crate) fn cancel_children(&self, cause: Cause, reason: &str, grace: Span) -> Vec<Effect> {
        let effect = |child| Effect::CancelChild {
            child,
            cause: if cause == Cause::Tree { Cause::Tree } else { Cause::Parent },
            reason: reason.into(),
            grace: Some(grace),
        };
        match cause {
            Cause::Tree => self.live_children().map(effect).collect(),
            Cause::Request | Cause::Deadline | Cause::Parent => self.awaited_children().map(effect).collect(),
        }
    }
}
