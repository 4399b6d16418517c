//! The spare: the next segment's file, made ahead of need.
//!
//! A synced write into bytes that are there already costs half of one that makes a file grow, so segments are
//! filled with zeros before they are used. Doing that in one go would stall the disk for everyone; it is done in pieces.

use crate::disk::Disk;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub(crate) const SPARE: &str = "spare";
const SPARE_NEW: &str = "spare.new";
const PIECE: usize = 256 << 10;
const PAUSE: Duration = Duration::from_micros(500);
/// How long to leave a full disk alone before the next try.
const RETRY: Duration = Duration::from_secs(1);

/// Who looks after a store behind the commits: makes the next segment's file, folds rows, writes footers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upkeep {
    /// Threads of its own, gently.
    Background,
    /// Whoever needs it, at once: the order of the disk's operations is then always the same.
    Inline,
}

enum State {
    Wanted(u64),
    Ready(u64),
    Failed(u64),
    Stopped,
}

struct Shared {
    disk: Arc<dyn Disk>,
    state: Mutex<State>,
    changed: Condvar,
    /// Held while the file is made, so that two threads never fill it at once.
    making: Mutex<()>,
}

pub(crate) struct Spare {
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

impl Spare {
    /// Begins to look after the spare, which is to have `bytes`; uses the one that an earlier opening left.
    pub(crate) fn start(disk: Arc<dyn Disk>, bytes: u64, upkeep: Upkeep) -> Spare {
        let left = left_over(&*disk).filter(|left| *left >= bytes);
        let state = Mutex::new(left.map_or(State::Wanted(bytes), State::Ready));
        let shared = Arc::new(Shared { disk, state, changed: Condvar::new(), making: Mutex::new(()) });
        let worker = match upkeep {
            Upkeep::Background => {
                let shared = shared.clone();
                thread::Builder::new().name("rejoin-spare".into()).spawn(move || shared.work()).ok()
            }
            Upkeep::Inline => None,
        };
        let spare = Spare { shared, worker };
        if spare.worker.is_none() {
            spare.shared.make_if_wanted();
        }
        spare
    }

    /// Whether the last try to make one failed. Without a thread of its own, tries again now.
    pub(crate) fn is_missing(&self) -> bool {
        if self.worker.is_none() {
            self.shared.make_if_wanted();
        }
        matches!(*self.shared.lock(), State::Failed(_))
    }

    /// Waits for a spare of `wanted` bytes, makes do with one of at least `least`, and returns its size; the caller
    /// renames the file [`SPARE`] and calls [`Spare::used`]. `None`: it cannot be made.
    pub(crate) fn ready(&self, wanted: u64, least: u64) -> Option<u64> {
        let mut state = self.shared.lock();
        match *state {
            State::Ready(bytes) if bytes < least => *state = State::Wanted(wanted),
            // A size that nobody wants any more may have been too large; this one may not be.
            State::Failed(bytes) | State::Wanted(bytes) if bytes != wanted => *state = State::Wanted(wanted),
            State::Ready(_) | State::Failed(_) | State::Wanted(_) | State::Stopped => {}
        }
        self.shared.changed.notify_all();
        drop(state);
        if self.worker.is_none() {
            self.shared.make_if_wanted();
        }
        let mut state = self.shared.lock();
        loop {
            match *state {
                State::Ready(bytes) => return (bytes >= least).then_some(bytes),
                State::Wanted(_) => {
                    state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                State::Failed(_) | State::Stopped => return None,
            }
        }
    }

    /// The spare was used; the next is to have `bytes`.
    pub(crate) fn used(&self, bytes: u64) {
        *self.shared.lock() = State::Wanted(bytes);
        self.shared.changed.notify_all();
        if self.worker.is_none() {
            self.shared.make_if_wanted();
        }
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        *self.shared.lock() = State::Stopped;
        self.shared.changed.notify_all();
        if let Some(worker) = self.worker.take() {
            // A panic of the worker was printed by its own thread; there is nothing to add here.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        loop {
            let state = self.lock();
            match *state {
                State::Wanted(bytes) => {
                    drop(state);
                    self.make(bytes, Pace::Gently(&|| self.stopped()));
                }
                State::Failed(bytes) => {
                    let waited = self.changed.wait_timeout(state, RETRY).unwrap_or_else(PoisonError::into_inner);
                    drop(waited);
                    if matches!(*self.lock(), State::Failed(_)) {
                        self.make(bytes, Pace::Gently(&|| self.stopped()));
                    }
                }
                State::Ready(_) => drop(self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)),
                State::Stopped => return,
            }
        }
    }

    fn make_if_wanted(&self) {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = match *self.lock() {
            State::Wanted(bytes) | State::Failed(bytes) => bytes,
            State::Ready(_) | State::Stopped => return,
        };
        self.make(wanted, Pace::AtOnce);
    }

    fn stopped(&self) -> bool {
        matches!(*self.lock(), State::Stopped)
    }

    fn make(&self, bytes: u64, pace: Pace<'_>) {
        let result = fill(&*self.disk, bytes, pace);
        // What an earlier try left is better than nothing.
        let made = result.map_or_else(|_| left_over(&*self.disk), |()| Some(bytes));
        let mut state = self.lock();
        match *state {
            State::Stopped => {}
            // Another size came to be wanted meanwhile.
            State::Wanted(wanted) if wanted != bytes => {}
            State::Wanted(_) | State::Ready(_) | State::Failed(_) => {
                *state = made.map_or(State::Failed(bytes), State::Ready);
            }
        }
        self.changed.notify_all();
    }
}

/// How large the spare is that lies in the folder, if one does. It bears its name only if it is whole.
fn left_over(disk: &dyn Disk) -> Option<u64> {
    disk.open_read(SPARE).and_then(|file| file.len()).ok()
}

/// How fast a spare is filled.
#[derive(Clone, Copy)]
pub(crate) enum Pace<'a> {
    AtOnce,
    /// In pieces, each synced, with pauses, until the function says to stop.
    Gently(&'a dyn Fn() -> bool),
}

/// Makes the spare file: zeros, synced, under its name only when whole.
pub(crate) fn fill(disk: &dyn Disk, bytes: u64, pace: Pace<'_>) -> io::Result<()> {
    let result = try_fill(disk, bytes, pace);
    if result.is_err() {
        // A half-made spare would only keep the disk full.
        let _ = disk.remove(SPARE_NEW);
    }
    result
}

fn try_fill(disk: &dyn Disk, bytes: u64, pace: Pace<'_>) -> io::Result<()> {
    let file = disk.create(SPARE_NEW)?;
    let zeros = vec![0; PIECE.min(bytes as usize)];
    let mut at = 0;
    while at < bytes {
        let piece = zeros.len().min((bytes - at) as usize);
        file.write_at(&zeros[..piece], at)?;
        at += piece as u64;
        if let Pace::Gently(stop) = pace {
            if stop() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            file.sync_data()?;
            thread::sleep(PAUSE);
        }
    }
    file.sync_all()?;
    disk.rename(SPARE_NEW, SPARE)?;
    disk.sync_folder()
}
