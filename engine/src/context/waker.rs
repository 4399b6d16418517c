//! The waker of a handler: nobody but the engine may wake one.

use rejoin_machine::RunId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;
use std::thread::{self, ThreadId};

/// Is told of runs that were woken from outside.
pub(crate) trait ForeignWake: Send + Sync {
    fn woken(&self, run: RunId);
}

/// Wakes that come while the engine feeds or polls the handler, on its thread, are the handler's own affair: it is polled
/// again. All others mean that it waits for something that the log does not know.
pub(crate) struct RootWaker {
    run: RunId,
    thread: ThreadId,
    busy: AtomicBool,
    again: AtomicBool,
    foreign: Arc<dyn ForeignWake>,
}

impl RootWaker {
    pub(crate) fn new(run: RunId, foreign: Arc<dyn ForeignWake>) -> Arc<RootWaker> {
        let (busy, again) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(RootWaker { run, thread: thread::current().id(), busy, again, foreign })
    }

    /// Runs `work` as the engine's own doing.
    pub(crate) fn busy<T>(&self, work: impl FnOnce() -> T) -> T {
        self.busy.store(true, Ordering::Relaxed);
        let result = work();
        self.busy.store(false, Ordering::Relaxed);
        result
    }

    /// Whether the handler was woken since this was asked last.
    pub(crate) fn woken(&self) -> bool {
        self.again.swap(false, Ordering::Relaxed)
    }
}

impl Wake for RootWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.busy.load(Ordering::Relaxed) && thread::current().id() == self.thread {
            self.again.store(true, Ordering::Relaxed);
        } else {
            self.foreign.woken(self.run);
        }
    }
}
