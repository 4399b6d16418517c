//! The futures that a context gives out.

use super::{Inner, Reply, operation_of, take};
use crate::failure::Failure;
use rejoin_machine::call::OnTimeout;
use rejoin_machine::{Issue, OpNo, RunId};
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

/// A call of a child that is being waited for; its output is the child's.
#[must_use = "a call that is dropped at once is never made"]
pub struct Call<T> {
    operation: Operation,
    output: PhantomData<fn() -> T>,
}

impl<T> Call<T> {
    pub(super) fn new(operation: Operation) -> Self {
        Call { operation, output: PhantomData }
    }

    /// A key of your own for the child: a later incarnation of the run that calls with the same key finds the same child.
    pub fn key(self, new: impl Into<String>) -> Self {
        self.amend(|_, key, _| *key = Some(new.into()))
    }

    /// How long to wait. The child is then cancelled, or lives on as [`Call::on_timeout`] says.
    pub fn timeout(self, wait: Duration) -> Self {
        self.amend(|timeout, _, _| *timeout = Some(wait.into()))
    }

    /// What becomes of the child when the wait times out.
    pub fn on_timeout(self, then: OnTimeout) -> Self {
        self.amend(|_, _, on_timeout| *on_timeout = then)
    }

    fn amend(self, amend: impl FnOnce(&mut Option<rejoin_machine::Span>, &mut Option<String>, &mut OnTimeout)) -> Self {
        self.operation.amend(|issue| {
            if let Issue::Call { timeout, key, on_timeout, .. } = issue {
                amend(timeout, key, on_timeout);
            }
        });
        self
    }
}

impl<T: DeserializeOwned> Future for Call<T> {
    type Output = Result<T, Failure>;
    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.operation.poll(task).map(|reply| take("the child's output", reply))
    }
}

/// A child that lives on its own; the output is its id.
#[must_use = "a child whose future is dropped at once is never started"]
pub struct Spawned {
    operation: Operation,
}

impl Spawned {
    pub(super) fn new(operation: Operation) -> Self {
        Spawned { operation }
    }

    /// A key of your own for the child.
    pub fn key(self, new: impl Into<String>) -> Self {
        self.operation.amend(|issue| {
            if let Issue::Call { key, .. } = issue {
                *key = Some(new.into());
            }
        });
        self
    }
}

impl Future for Spawned {
    type Output = Result<RunId, Failure>;
    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.operation.poll(task).map(|reply| match reply {
            Reply::Spawned(child) => Ok(child),
            Reply::Resolved(Err(failure)) => Err(failure),
            Reply::Resolved(Ok(_)) | Reply::NoSignal => Err(Failure::permanent("an answer of another kind")),
        })
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
            Reply::NoSignal | Reply::Spawned(_) => Err(Failure::permanent("an answer of another kind")),
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
