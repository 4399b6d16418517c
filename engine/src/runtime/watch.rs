//! Who is told when something became durable, and who holds the shard's thread.

use super::RunMap;
use futures_channel::oneshot;
use rejoin_machine::{RunId, Timestamp};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Readers that follow a run, or everything, and sleep until something new is durable.
#[derive(Default)]
pub(crate) struct Watchers {
    any: AtomicBool,
    sleeping: Mutex<Sleeping>,
}

#[derive(Default)]
struct Sleeping {
    of_run: RunMap<Vec<oneshot::Sender<()>>>,
    of_all: Vec<oneshot::Sender<()>>,
    /// How many runs were followed when those that went away were last looked for.
    pruned: usize,
    closed: bool,
}

impl Watchers {
    /// Resolves at the next commit that touches the run, or any run. Ask before reading, so that nothing falls between.
    pub(crate) fn next(&self, run: Option<RunId>) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut sleeping = self.lock();
        if sleeping.closed {
            return receiver;
        }
        match run {
            Some(run) => sleeping.of_run.entry(run).or_default().push(sender),
            None => sleeping.of_all.push(sender),
        }
        self.any.store(true, Ordering::Release);
        receiver
    }

    /// These runs have new durable records.
    pub(crate) fn committed(&self, runs: impl Iterator<Item = RunId>) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        let mut sleeping = self.lock();
        let mut awake = std::mem::take(&mut sleeping.of_all);
        for run in runs {
            awake.extend(sleeping.of_run.remove(&run).into_iter().flatten());
        }
        // Followers that went away must not pile up behind runs that never change again.
        if sleeping.of_run.len() > sleeping.pruned * 2 + 64 {
            sleeping.of_run.retain(|_, followers| {
                followers.retain(|follower| !follower.is_canceled());
                !followers.is_empty()
            });
            sleeping.pruned = sleeping.of_run.len();
        }
        self.any.store(!sleeping.of_run.is_empty(), Ordering::Release);
        drop(sleeping);
        for follower in awake {
            // A follower that went away needs no waking.
            let _ = follower.send(());
        }
    }

    /// Nothing will come any more.
    pub(crate) fn close(&self) {
        *self.lock() = Sleeping { closed: true, ..Sleeping::default() };
    }

    fn lock(&self) -> MutexGuard<'_, Sleeping> {
        self.sleeping.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The run whose handler has the shard's thread, for the watchdog.
#[derive(Default)]
pub(crate) struct Busy {
    holder: Mutex<Option<Holder>>,
}

/// Who holds the thread, and since when.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) run: RunId,
    pub(crate) workflow: Arc<str>,
    pub(crate) since: Timestamp,
}

impl Busy {
    /// The thread goes to a run, or to nobody.
    pub(crate) fn set(&self, holder: Option<Holder>) {
        *self.holder.lock().unwrap_or_else(PoisonError::into_inner) = holder;
    }

    pub(crate) fn get(&self) -> Option<Holder> {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
