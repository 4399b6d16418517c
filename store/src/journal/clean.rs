//! Cleaning: giving back the disk that deleted streams took.
//!
//! A record is dead once a tombstone of its stream stands behind it. A segment of which half is dead is rewritten without
//! what is dead, under the same places; one of which nothing is left goes. A tombstone goes last, when no older segment can
//! hold a record that it ended: each segment says in the manifest up to where the tombstones are that it has been cleaned of.

use super::files::Files;
use super::footer::{Footer, Grave, With};
use super::frame::Stored;
use super::manifest::{Closed, Segment};
use super::rewrite::{Rewritten, rewrite};
use crate::error::Failure;
use crate::record::{Lsn, Record, StreamMap, TOMBSTONE};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Where tombstones come to an eighth of the log, everything dead is cleaned away, so that they can go.
const TOMBSTONES_AT_MOST: u64 = 8;
/// About what a tombstone takes with its frame.
const TOMBSTONE_BYTES: u64 = 128;
/// The pause after each piece of work: how a round leaves the disk to others.
const PAUSE: Duration = Duration::from_millis(4);
/// How much longer than it took a round of cleaning is waited for the next, at least.
const REST: u32 = 4;

/// What a round of cleaning has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// How many segments were rewritten.
    pub rewritten: usize,
    /// How many segments are gone.
    pub gone: usize,
    /// How many bytes of disk that gave back.
    pub bytes: u64,
    /// Whether there are tombstones that did not count yet: the log's last commit, as long as nothing stands behind it.
    pub waiting: bool,
}

/// What is dead now, and which tombstones are needed no more.
struct Dead {
    graves: StreamMap<Lsn>,
    /// Up to here all tombstones are among them.
    now: Lsn,
    /// Whether there are more.
    more: bool,
}

impl Dead {
    fn of(files: &Files) -> Dead {
        let view = files.view();
        let now = view.vouched;
        // A tombstone that might yet be cut off as a torn write must find what it ended as it was.
        let mut graves: StreamMap<Lsn> =
            view.graves.iter().filter(|(_, grave)| **grave <= now).map(|(stream, grave)| (*stream, *grave)).collect();
        let more = graves.len() < view.graves.len();
        graves.extend(view.replaced.iter().copied());
        Dead { graves, now, more }
    }

    /// Whether a record is to go, in a segment before which everything is cleaned of the tombstones up to `before`.
    fn takes(&self, record: &Record, before: Lsn) -> bool {
        let Some(grave) = self.graves.get(&record.stream) else { return false };
        // The tombstone itself stays until nothing that it ended can be left.
        record.lsn < *grave || (record.lsn == *grave && *grave <= before)
    }

    /// How much of a segment is dead, before which everything is cleaned of the tombstones up to `before`.
    fn share(&self, footer: &Footer, before: Lsn) -> Share {
        let graves: StreamMap<&Grave> = footer.graves.iter().map(|(stream, grave)| (*stream, grave)).collect();
        let mut share = Share::default();
        for (stream, stand) in &footer.stands {
            let Some(lsn) = self.graves.get(stream) else { continue };
            match graves.get(stream).filter(|grave| grave.lsn == *lsn) {
                Some(grave) => {
                    share.ended += grave.before;
                    share.tombstones += if *lsn <= before { grave.own } else { 0 };
                }
                None => share.ended += if stand.head.lsn < *lsn { stand.bytes } else { 0 },
            }
        }
        share
    }
}

/// How many bytes of a segment can go.
#[derive(Clone, Copy, Default)]
struct Share {
    /// Those of records that a tombstone has ended.
    ended: u64,
    /// Those of tombstones that are needed no more.
    tombstones: u64,
}

impl Files {
    /// Cleans every segment that is worth it, one after the other. `pace` is called between pieces of work; where it says
    /// `false`, the round ends.
    pub(super) fn clean(&self, pace: &dyn Fn() -> bool) -> Result<Cleaned, Failure> {
        self.settle()?;
        let dead = Dead::of(self);
        let mut cleaned = Cleaned { waiting: dead.more, ..Cleaned::default() };
        if dead.graves.is_empty() {
            return Ok(cleaned);
        }
        let segments = self.segments();
        let total: u64 = segments.iter().map(|segment| segment.bytes).sum();
        let eager = dead.graves.len() as u64 * TOMBSTONE_BYTES * TOMBSTONES_AT_MOST > total;
        // Everything in front of the segment is cleaned of the tombstones up to here.
        let mut before = dead.now;
        for segment in segments {
            let Some(closed) = segment.closed.filter(|_| !segment.is_gone()) else { continue };
            if !pace() {
                break;
            }
            // Without a footer: it gets one soon, or at the next opening.
            let footer = self.read_footer(&segment, With::Heads)?;
            let Some(footer) = footer else {
                before = before.min(closed.cleaned);
                continue;
            };
            let Share { ended, tombstones } = dead.share(&footer, before);
            let bytes = ended + tombstones;
            if bytes > 0 && (eager || bytes * 2 >= closed.end) {
                if !self.clean_segment(&segment, &footer, &dead, before, pace, &mut cleaned)? {
                    break;
                }
            } else if ended > 0 {
                before = before.min(closed.cleaned);
            }
        }
        Ok(cleaned)
    }

    /// Rewrites a segment without what is dead; `false`: it was asked to stop.
    fn clean_segment(
        &self,
        segment: &Segment,
        footer: &Footer,
        dead: &Dead,
        before: Lsn,
        pace: &dyn Fn() -> bool,
        cleaned: &mut Cleaned,
    ) -> Result<bool, Failure> {
        let Some(closed) = segment.closed else { return Ok(true) };
        let mut lifted = Vec::new();
        let mut last = Lsn(0);
        let keeps = |stored: &Stored| {
            let record = &stored.record;
            let goes = dead.takes(record, before);
            if goes {
                last = record.lsn;
            }
            if goes && record.format == TOMBSTONE {
                lifted.push((record.stream, record.lsn));
            }
            !goes
        };
        let (segment_now, view) = match rewrite(self, segment, footer, dead.now, keeps, pace)? {
            Rewritten::File(segment, view) => (segment, Some(view)),
            Rewritten::Nothing => {
                let closed = Closed { end: 0, footer: false, cleaned: dead.now, ..closed };
                (Segment { bytes: 0, closed: Some(closed), ..*segment }, None)
            }
            Rewritten::Stopped => return Ok(false),
        };
        cleaned.bytes += segment.bytes.saturating_sub(segment_now.bytes);
        *(if view.is_some() { &mut cleaned.rewritten } else { &mut cleaned.gone }) += 1;
        self.change_manifest(|manifest| {
            manifest.segments.iter_mut().filter(|old| old.id == segment.id).for_each(|old| *old = segment_now);
            manifest.join_gone();
            manifest.forgotten = manifest.forgotten.max(last);
        })?;
        let mut shown = self.view_mut();
        shown.replace(segment.id, view);
        for (stream, lsn) in lifted {
            // There may be a newer one.
            if shown.graves.get(&stream) == Some(&lsn) {
                shown.graves.remove(&stream);
            }
        }
        drop(shown);
        // Nothing names it any more; if it cannot be removed, the next opening does it.
        let _ = self.disk.remove(&segment.file());
        Ok(true)
    }
}

/// Cleans in a thread of its own, a while after tombstones came.
pub(super) struct Cleaner {
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

struct Shared {
    files: Arc<Files>,
    after: Duration,
    /// Held for a round: one at a time.
    round: Mutex<()>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    wanted: bool,
    stopped: bool,
}

impl Cleaner {
    /// Cleans when it is told to, and not by itself.
    pub(super) fn new(files: Arc<Files>, after: Duration) -> Cleaner {
        // What an earlier process left may be worth it.
        let wanted = !files.view().graves.is_empty();
        let state = Mutex::new(State { wanted, stopped: false });
        let shared = Shared { files, after, round: Mutex::default(), state, changed: Condvar::new() };
        Cleaner { shared: Arc::new(shared), worker: None }
    }

    /// A round, now and without pauses.
    pub(super) fn clean(&self) -> Result<Cleaned, Failure> {
        self.shared.clean(&|| true)
    }

    /// From here on a thread of its own cleans, some time after tombstones came.
    pub(super) fn start(&mut self) -> std::io::Result<()> {
        let shared = self.shared.clone();
        self.worker = Some(thread::Builder::new().name("rejoin-clean".into()).spawn(move || shared.work())?);
        Ok(())
    }

    /// There are more tombstones, or another segment that can be cleaned.
    pub(super) fn wake(&self) {
        let mut state = self.shared.lock();
        if !std::mem::replace(&mut state.wanted, true) {
            self.shared.changed.notify_all();
        }
    }
}

impl Drop for Cleaner {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
        if let Some(worker) = self.worker.take() {
            // A panic of the worker was printed by its own thread; what it left is mended at the next opening.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clean(&self, pace: &dyn Fn() -> bool) -> Result<Cleaned, Failure> {
        let _one = self.round.lock().unwrap_or_else(PoisonError::into_inner);
        self.files.clean(pace)
    }

    fn work(&self) {
        let mut rest = self.after;
        loop {
            let mut state = self.lock();
            while !state.wanted && !state.stopped {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            drop(state);
            if !self.sleep(rest) {
                return;
            }
            self.lock().wanted = false;
            let began = Instant::now();
            // What fails is tried again with the next tombstone: a full disk, a segment that cannot be read.
            if self.clean(&|| self.sleep(PAUSE)).is_ok_and(|cleaned| cleaned.waiting) {
                self.lock().wanted = true;
            }
            rest = self.after.max(began.elapsed() * REST);
        }
    }

    /// Sleeps; `false`: it is to stop.
    fn sleep(&self, length: Duration) -> bool {
        let until = Instant::now() + length;
        let mut state = self.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if state.stopped || left.is_zero() {
                return !state.stopped;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Journal, Options, Upkeep};
    use crate::simulated::SimDisk;
    use crate::{Log, NewRecord, StreamId, TOMBSTONE, Version};

    #[test]
    fn a_grave_is_forgotten_with_its_tombstone() {
        let sizes = Options { first_segment: 1_024, largest_segment: 1_024, ..Options::default() };
        let log = Journal::open(SimDisk::new(), Options { upkeep: Upkeep::Inline, ..sizes }).unwrap();
        let record = |n: u8, expected, format| {
            let expected = Version(expected);
            NewRecord { stream: StreamId([n; 16]), expected, time: 0, format, payload: Vec::new() }
        };
        for n in 0..40 {
            log.append(&[record(n, 0, 0)]).unwrap().unwrap();
            log.append(&[record(n, 1, TOMBSTONE)]).unwrap().unwrap();
        }
        log.seal().unwrap();
        assert_eq!(log.files.view().graves.len(), 40);
        assert!(log.clean().unwrap().gone > 5);
        let left = log.files.view().graves.len();
        assert!(left < 10, "{left} graves, and only those of the open segment are needed");
    }
}
