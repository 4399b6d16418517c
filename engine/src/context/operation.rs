//! The futures that a context gives out.

use super::{Inner, Reply, operation_of, take};
use crate::failure::Failure;
use rejoin_machine::brief::Given;
use rejoin_machine::{Issue, OpNo};
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

/// An operation that was called for: resolved once.
pub(super) struct Operation {
    inner: Rc<Inner>,
    op: OpNo,
}

impl Operation {
    pub(super) fn new(inner: Rc<Inner>, op: OpNo) -> Operation {
        Operation { inner, op }
    }

    pub(super) fn amend(&self, amend: impl FnOnce(&mut Issue)) {
        self.inner.amend(self.op, amend);
    }

    /// Changes what a call gives beside the input; where that fails, the call is refused.
    pub(super) fn give(&self, change: impl FnOnce(&mut Given) -> Result<(), Failure>) {
        self.amend(|issue| {
            if let Issue::Call { terms, target, .. } = issue
                && let Err(failure) = change(&mut terms.given)
            {
                *target = Err(failure.to_stored());
            }
        });
    }

    /// What is needed to end the child of a call before its time.
    pub(super) fn handle(&self) -> Handle {
        Handle { inner: self.inner.clone(), op: self.op }
    }

    pub(super) fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<Reply> {
        let mut state = self.inner.state.borrow_mut();
        let Some(slot) = state.slots.get_mut(&self.op) else { return Poll::Pending };
        match slot.answer.take() {
            Some(reply) => {
                state.slots.remove(&self.op);
                state.polls.last.remove(&self.op);
                Poll::Ready(reply)
            }
            None => {
                slot.waker = Some(task.waker().clone());
                let op = self.op;
                state.polls.pending.push(op);
                Poll::Pending
            }
        }
    }
}

/// A call, for whoever wants its child to end but waits for that all the same.
pub(super) struct Handle {
    inner: Rc<Inner>,
    pub(super) op: OpNo,
}

impl Handle {
    pub(super) fn cancel(&self, reason: &str) {
        self.inner.push_issue(Issue::CancelCall { op: self.op, reason: reason.to_owned() });
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let mut state = self.inner.state.borrow_mut();
        let Some(slot) = state.slots.remove(&self.op) else { return };
        if state.discarding || slot.answer.is_some() {
            return;
        }
        let body = state.bodies.remove(&self.op);
        // What was never sequenced leaves no trace; what was is dropped by a numbered command.
        match state.outbox.iter().position(|issue| operation_of(issue) == Some(self.op)) {
            Some(at) => drop(state.outbox.remove(at)),
            None => state.outbox.push_back(Issue::Drop { op: self.op }),
        }
        drop(state);
        drop((slot, body));
    }
}

/// A sleep. Fails only if the run is cancelled meanwhile.
#[must_use = "a sleep that is dropped at once does not happen"]
pub struct Sleep {
    operation: Operation,
}

impl Sleep {
    pub(super) fn new(operation: Operation) -> Self {
        Sleep { operation }
    }
}

impl Future for Sleep {
    type Output = Result<(), Failure>;
    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.operation.poll(task).map(|reply| match reply {
            Reply::Resolved(result) => result.map(drop),
            Reply::NoSignal | Reply::Spawned(_) | Reply::Decided(_) => {
                Err(Failure::permanent("an answer of another kind"))
            }
        })
    }
}

/// A wait for a signal; the output is its content.
#[must_use = "a wait that is dropped at once does not happen"]
pub struct Signal<T> {
    operation: Operation,
    output: PhantomData<fn() -> T>,
}

impl<T> Signal<T> {
    pub(super) fn new(operation: Operation) -> Self {
        Signal { operation, output: PhantomData }
    }

    /// Waits that long at most; the output is then `None`.
    pub fn within(self, wait: Duration) -> SignalWithin<T> {
        self.operation.amend(|issue| {
            if let Issue::Await { timeout, .. } = issue {
                *timeout = Some(wait.into());
            }
        });
        SignalWithin { signal: self }
    }
}

impl<T: DeserializeOwned> Future for Signal<T> {
    type Output = Result<T, Failure>;
    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.operation.poll(task).map(|reply| take("the signal", reply))
    }
}

/// A wait for a signal that ends; the output is its content, or `None` if none came in time.
#[must_use = "a wait that is dropped at once does not happen"]
pub struct SignalWithin<T> {
    signal: Signal<T>,
}

impl<T: DeserializeOwned> Future for SignalWithin<T> {
    type Output = Result<Option<T>, Failure>;
    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.signal.operation.poll(task).map(|reply| match reply {
            Reply::NoSignal => Ok(None),
            reply => take("the signal", reply).map(Some),
        })
    }
}
