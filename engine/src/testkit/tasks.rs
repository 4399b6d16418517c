//! Steps that are ready, on one thread.

use super::trace::{Seen, Trace};
use super::world::VirtualClock;
use crate::context::Attempt;
use crate::runtime::{Running, Spawn};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Wake, Waker};

thread_local! {
    /// The attempt that is being executed on this thread.
    static EXECUTING: RefCell<Option<Attempt>> = const { RefCell::new(None) };
}

/// The attempt of a step that is being executed, if one is.
pub(super) fn executing() -> Option<Attempt> {
    EXECUTING.with_borrow(Clone::clone)
}

/// Tasks that are ready.
#[derive(Default)]
pub(super) struct Queue {
    ready: Mutex<VecDeque<Arc<Spawned>>>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Spawned>>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All tasks that are ready, in the order in which they became so.
    pub(super) fn take(&self) -> Vec<Arc<Spawned>> {
        self.lock().drain(..).collect()
    }
}

/// A task, and whose it is.
pub(super) struct Spawned {
    pub(super) attempt: Option<Attempt>,
    task: Mutex<Option<Running>>,
    queue: Arc<Queue>,
}

impl Spawned {
    pub(super) fn run(self: Arc<Self>) {
        let waker = Waker::from(self.clone());
        let mut slot = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        let outer = EXECUTING.replace(self.attempt.clone());
        if let Some(mut task) = slot.take()
            && task.as_mut().poll(&mut TaskContext::from_waker(&waker)).is_pending()
        {
            *slot = Some(task);
        }
        EXECUTING.set(outer);
    }
}

impl Wake for Spawned {
    fn wake(self: Arc<Self>) {
        let queue = self.queue.clone();
        queue.lock().push_back(self);
    }
}

/// Puts steps into the queue.
pub(super) struct QueueSpawn {
    pub(super) queue: Arc<Queue>,
    pub(super) trace: Arc<Trace>,
    pub(super) clock: Arc<VirtualClock>,
}

impl QueueSpawn {
    fn put(&self, attempt: Option<Attempt>, task: Running) {
        Arc::new(Spawned { attempt, task: Mutex::new(Some(task)), queue: self.queue.clone() }).wake();
    }
}

impl Spawn for QueueSpawn {
    fn spawn(&self, attempt: &Attempt, task: Running) {
        self.trace.see(Seen::Dispatched { attempt: attempt.clone(), at: self.clock.latest() });
        self.put(Some(attempt.clone()), task);
    }
    fn spawn_blocking(&self, task: Box<dyn FnOnce() + Send>) {
        self.put(executing(), Box::pin(async move { task() }));
    }
}
