//! Cleaning: giving back the disk that deleted streams took.
//!
//! A record is dead once a tombstone of its stream stands behind it. A segment of which half is dead is rewritten without
//! what is dead, under the same places; one of which nothing is left goes. A tombstone goes last, when by their footers no older
//! segment holds a record that it ended. What the manifest says of a segment's last cleaning is no help: the end of the log may
//! have been lost since, and other tombstones stand in the places that counted then.

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
        let mut share = Share { ended: 0, tombstones: 0, clean: self.now };
        for (stream, stand) in &footer.stands {
            let Some(lsn) = self.graves.get(stream) else { continue };
            let grave = graves.get(stream).filter(|grave| grave.lsn == *lsn);
            let behind = if stand.head.lsn < *lsn { stand.bytes } else { 0 };
            let ended = grave.map_or(behind, |grave| grave.before);
            if ended > 0 {
                share.ended += ended;
                share.clean = share.clean.min(Lsn(lsn.0.saturating_sub(1)));
            }
            share.tombstones += grave.filter(|grave| grave.lsn <= before).map_or(0, |grave| grave.own);
        }
        share
    }
}

/// How many bytes of a segment can go.
#[derive(Clone, Copy)]
struct Share {
    /// Those of records that a tombstone has ended.
    ended: u64,
    /// Those of tombstones that are needed no more.
    tombstones: u64,
    /// Nothing is left in it of what the tombstones up to here have ended.
    clean: Lsn,
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
            // Without a footer anything may be in it; it gets one soon, or at the next opening.
            let footer = self.read_footer(&segment, With::Heads)?;
            let Some(footer) = footer else {
                before = Lsn(0);
                continue;
            };
            let Share { ended, tombstones, clean } = dead.share(&footer, before);
            let bytes = ended + tombstones;
            if bytes > 0 && (eager || bytes * 2 >= closed.end) {
                if !self.clean_segment(&segment, &footer, &dead, before, pace, &mut cleaned)? {
                    break;
                }
            } else {
                before = before.min(clean);
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
    use super::super::footer::SEGMENT_HEADER;
    use super::super::{Journal, Options, Upkeep};
    use crate::simulated::SimDisk;
    use crate::{Log, NewRecord, StreamId, TOMBSTONE, Version};
    use std::collections::BTreeSet;

    /// An empty log of segments that are as small as that.
    fn log(disk: &SimDisk, segment: u64) -> Journal {
        let sizes = Options { first_segment: segment, largest_segment: segment, ..Options::default() };
        Journal::open(disk.clone(), Options { upkeep: Upkeep::Inline, ..sizes }).unwrap()
    }

    fn put(log: &Journal, n: u8, expected: u64, format: u16, length: usize) {
        let (stream, expected, payload) = (StreamId([n; 16]), Version(expected), vec![n; length]);
        log.append(&[NewRecord { stream, expected, time: 0, format, payload }]).unwrap().unwrap();
    }

    /// The first records of streams, which are that long.
    fn begin(log: &Journal, streams: &[(u8, usize)]) {
        streams.iter().for_each(|(n, length)| put(log, *n, 0, 0, *length));
    }

    #[test]
    fn a_grave_is_forgotten_with_its_tombstone() {
        let log = log(&SimDisk::new(), 1_024);
        for n in 0..40 {
            put(&log, n, 0, 0, 0);
            put(&log, n, 1, TOMBSTONE, 0);
        }
        log.seal().unwrap();
        assert_eq!(log.files.view().graves.len(), 40);
        assert!(log.clean().unwrap().gone > 5);
        let left = log.files.view().graves.len();
        assert!(left < 10, "{left} graves, and only those of the open segment are needed");
    }

    #[test]
    fn inv_s10_a_tombstone_stays_while_it_is_needed_whatever_was_cleaned_before_the_end_of_the_log_was_lost() {
        let disk = SimDisk::new();
        let before = log(&disk, 4_096);
        begin(&before, &[(0, 0), (1, 1_500), (2, 2_000), (3, 3_000), (4, 3_000)]);
        put(&before, 2, 1, TOMBSTONE, 0);
        begin(&before, &[(5, 3_000), (6, 0), (7, 0), (8, 0)]);
        before.seal().unwrap();
        assert_eq!(before.clean().unwrap().rewritten, 1, "the first segment, without stream 2");
        drop(before);
        // All of the open segment is lost, and its places are given again.
        let mut files = disk.files();
        let (_, open) = files.iter_mut().rfind(|(name, _)| name.ends_with(".seg")).unwrap();
        open[SEGMENT_HEADER..].fill(0);
        let disk = SimDisk::with_files(files);
        let after = log(&disk, 4_096);
        begin(&after, &[(9, 3_000)]);
        [9, 0].into_iter().for_each(|n| put(&after, n, 1, TOMBSTONE, 0));
        begin(&after, &[(10, 3_000)]);
        after.seal().unwrap();
        let cleaned = after.clean().unwrap();
        assert_eq!(cleaned.rewritten + cleaned.gone, 1, "the segment of stream 9");
        drop(after);
        let after = log(&disk, 4_096);
        assert_eq!(after.head(StreamId([0; 16])), None, "its record is still there, and its tombstone too");
        let graves: BTreeSet<u8> = after.files.view().graves.keys().map(|stream| stream.0[0]).collect();
        assert_eq!(graves, BTreeSet::from([0, 2]), "that of stream 9 is needed no more");
    }
}
