//! Behind the commits: durable frames become rows, rows become entries of the index, and closed segments get their footers.
//!
//! What came last waits in a queue, is folded into an overlay, and is applied to the index a moment later, so that what
//! changes often is written once. Readers fold what is queued before they look, so they see everything durable. A full
//! queue holds up the commits.

use super::append::Writing;
use super::files::Files;
use super::folding::{Folding, OpenFooter};
use super::manifest::segment_file;
use crate::error::{Damage, Failure};
use crate::index::{Change, Fold, Home, IndexError, KeyRange, Listed, Row, Rows, Table, guarded};
use crate::record::{Lsn, Record, StreamId, Version};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long changes are collected before they are applied.
const WINDOW: Duration = Duration::from_millis(20);
/// How often what was applied is handed to the operating system, where more keeps coming.
const FLUSH: Duration = Duration::from_secs(1);
/// How many bytes may be queued before the window is cut short.
const BUSY: usize = 1 << 20;
/// How many buffers are kept for the next commits, and how large they may be.
const BUFFERS: usize = 64;
const LARGEST_BUFFER: usize = 256 << 10;
/// How many bytes may be queued before commits wait.
const FULL: usize = 8 << 20;
/// How many rows may be folded before they are applied.
const FULL_ROWS: usize = 50_000;

/// One thing that happened to the log, in order.
pub(super) enum Happened {
    Written(Writing),
    /// A segment was closed; everything before was written to it.
    Closed(u64),
}

pub(super) struct Indexer {
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
    // Dropped last: then nobody uses the index any more.
    closing: Closing,
}

pub(super) struct Shared {
    pub(super) files: Arc<Files>,
    home: Home,
    pub(super) fold: Arc<dyn Fold>,
    pub(super) rows: Rows,
    /// An index that failed is not asked again; the log goes on without it.
    pub(super) failed: OnceLock<IndexError>,
    queue: Mutex<Queue>,
    /// Something was queued, or made room.
    changed: Condvar,
    folding: Mutex<Folding>,
    /// Held while the index is written to: one at a time, in order.
    applying: Mutex<()>,
}

#[derive(Default)]
struct Queue {
    happened: Vec<Happened>,
    bytes: usize,
    /// Footers are ready that a reader has left to the worker.
    ready: bool,
    /// Buffers that were folded.
    empty: Vec<Vec<u8>>,
    /// The worker sleeps until it is woken.
    idle: bool,
    stopped: bool,
}

impl Indexer {
    /// Over rows that were left by an earlier process, or none.
    pub(super) fn new(files: Arc<Files>, fold: Arc<dyn Fold>, rows: Rows, home: Home) -> Indexer {
        let closing = Closing { home: home.clone(), store: files.store, vouched: false, complete: None };
        let folded = rows.watermark();
        let shared = Shared {
            files,
            home,
            fold,
            rows,
            failed: OnceLock::new(),
            queue: Mutex::default(),
            changed: Condvar::new(),
            folding: Mutex::new(Folding { folded, catching_up: true, ..Folding::default() }),
            applying: Mutex::new(()),
        };
        Indexer { shared: Arc::new(shared), worker: None, closing }
    }

    /// From here on a thread of its own does the work; without, it is done by whoever commits.
    pub(super) fn start(&mut self) -> std::io::Result<()> {
        let shared = self.shared.clone();
        self.worker = Some(thread::Builder::new().name("rejoin-index".into()).spawn(move || shared.work())?);
        Ok(())
    }

    pub(super) fn push(&self, happened: Happened) {
        let mut queue = self.shared.queue();
        if let Happened::Written(written) = &happened {
            queue.bytes += written.bytes.len();
        }
        queue.happened.push(happened);
        if self.worker.is_none() {
            drop(queue);
            self.shared.catch_up();
        } else if std::mem::take(&mut queue.idle) || queue.bytes >= BUSY {
            drop(queue);
            self.shared.changed.notify_all();
        }
    }

    /// A buffer of frames that were folded, to be used again.
    pub(super) fn empty_buffer(&self) -> Vec<u8> {
        self.shared.queue().empty.pop().unwrap_or_default()
    }

    /// Waits while too much is queued. The caller holds no lock.
    pub(super) fn wait_for_room(&self) {
        if self.worker.is_none() {
            return;
        }
        let mut queue = self.shared.queue();
        while queue.bytes >= FULL && !queue.stopped {
            queue = self.shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn row(&self, stream: StreamId) -> Result<Option<Row>, Failure> {
        if let Some(row) = self.shared.row(stream)? {
            return Ok(row);
        }
        // It has ended, or does not exist.
        let records = self.shared.files.reader().read(stream, Version(1), usize::MAX)?;
        if records.is_empty() {
            return Ok(None);
        }
        Ok(guarded(|| Ok(self.shared.fold.fold(None, &records)))?)
    }

    pub(super) fn list(&self, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<Listed>, Failure> {
        self.shared.refresh();
        self.shared.check()?;
        Ok(guarded(|| self.shared.rows.scan(table, range, limit))?)
    }

    /// Takes a segment's records again that are in the log at opening.
    pub(super) fn take(&self, records: Vec<Record>) {
        let mut folding = self.shared.folding();
        self.shared.fold(&mut folding, records);
        if folding.overlay.len() >= FULL_ROWS {
            drop(folding);
            self.shared.apply();
        }
    }

    /// Puts rows in that a footer says, or that were folded elsewhere; with them the log is folded up to `folded`.
    pub(super) fn restore(&self, rows: Vec<(StreamId, Row)>, folded: Lsn) {
        let mut folding = self.shared.folding();
        folding.folded = folded;
        let reader = self.shared.files.reader();
        let last = |stream| reader.head(stream).map_or(folded, |head| head.lsn);
        let change = |(stream, row)| (stream, Change { before: None, after: Some(row), lsn: last(stream) });
        folding.overlay.extend(rows.into_iter().map(change));
        if folding.overlay.len() >= FULL_ROWS {
            drop(folding);
            self.shared.apply();
        }
    }

    /// The index holds what its watermark says, and may be closed as it is. One that is being made again does so only
    /// at the end: rows of streams that go on in later segments come with those.
    pub(super) fn vouch(&mut self) {
        self.closing.vouched = true;
    }

    /// The next record to be taken begins a segment.
    pub(super) fn begin_segment(&self) {
        self.shared.folding().open = OpenFooter::default();
    }

    /// Ends the catching up.
    pub(super) fn caught_up(&self) -> Result<(), IndexError> {
        self.shared.apply();
        self.shared.folding().catching_up = false;
        self.shared.check()
    }
}

impl Queue {
    fn has_more(&self) -> bool {
        self.ready || !self.happened.is_empty()
    }
}

impl Drop for Indexer {
    fn drop(&mut self) {
        self.shared.queue().stopped = true;
        self.shared.changed.notify_all();
        if let Some(worker) = self.worker.take() {
            // A panic of the worker was printed by its own thread.
            let panicked = worker.join().is_err();
            if panicked {
                self.shared.fail(IndexError("the thread that writes it panicked".to_owned()));
            }
        }
        if !thread::panicking() {
            self.shared.catch_up();
            // Libraries do that by themselves when they are dropped, and tell nobody if it fails.
            if let Err(error) = guarded(|| self.shared.rows.flush()) {
                self.shared.fail(error);
            }
            let complete = self.closing.vouched && self.shared.failed.get().is_none();
            self.closing.complete = complete.then(|| self.shared.rows.watermark());
        }
    }
}

/// Notes that the index was closed, when it has been.
struct Closing {
    home: Home,
    store: [u8; 16],
    vouched: bool,
    complete: Option<Lsn>,
}

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some(watermark) = self.complete {
            // Without the note the index is as good as after a kill.
            let _ = self.home.closed(self.store, watermark);
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folding(&self) -> MutexGuard<'_, Folding> {
        self.folding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self) -> Result<(), IndexError> {
        self.failed.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    pub(super) fn fail(&self, error: IndexError) {
        // The first reason is the one to tell. A write that failed may have been done in part, and not all of that would
        // be seen at the next opening.
        if self.failed.set(error).is_ok() {
            self.home.failed(self.files.store);
        }
    }

    fn work(&self) {
        let mut flushed = Instant::now();
        let mut dirty = false;
        while self.wait(dirty) {
            let has_more = self.queue().has_more();
            if has_more {
                self.catch_up();
                dirty = true;
            }
            // In the hands of the operating system it outlives the process.
            if dirty && (!has_more || flushed.elapsed() >= FLUSH) {
                if let Err(error) = guarded(|| self.rows.flush()) {
                    self.fail(error);
                }
                flushed = Instant::now();
                dirty = false;
            }
        }
    }

    /// Waits for something to do and then, unless there is much of it, for more; `false`: it is to stop.
    fn wait(&self, dirty: bool) -> bool {
        let mut queue = self.queue();
        while !queue.has_more() && !dirty && !queue.stopped {
            queue.idle = true;
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.idle = false;
        if queue.bytes < BUSY && !queue.stopped {
            queue = self.changed.wait_timeout(queue, WINDOW).unwrap_or_else(PoisonError::into_inner).0;
        }
        !queue.stopped
    }

    /// Folds and applies everything queued, for a reader. Footers are the worker's: it is told if there are any.
    fn refresh(&self) {
        let ready = {
            let mut folding = self.folding();
            self.drain(&mut folding);
            !folding.ready.is_empty()
        };
        self.apply();
        if ready {
            self.queue().ready = true;
            self.changed.notify_all();
        }
    }

    /// Folds and applies everything queued, and writes the footers that are ready.
    fn catch_up(&self) {
        self.queue().ready = false;
        let ready = {
            let mut folding = self.folding();
            self.drain(&mut folding);
            std::mem::take(&mut folding.ready)
        };
        self.apply();
        for (segment, footer) in ready {
            // Without a footer the segment is read as a whole at the next opening, and gets one then.
            let _ = self.files.write_footer(segment, &footer);
        }
    }

    /// Folds everything queued. The queue is taken under the lock, so that order is kept.
    fn drain(&self, folding: &mut Folding) {
        let happened = {
            let mut queue = self.queue();
            queue.bytes = 0;
            std::mem::take(&mut queue.happened)
        };
        if happened.is_empty() {
            return;
        }
        self.changed.notify_all();
        for happened in happened {
            match happened {
                Happened::Written(written) => {
                    let taken = guarded(|| {
                        let records = written.records().ok_or_else(|| unreadable(&written))?;
                        self.fold(folding, records);
                        Ok(())
                    });
                    if let Err(error) = taken {
                        folding.open.incomplete = true;
                        self.fail(error);
                    }
                    self.keep(written.bytes);
                }
                Happened::Closed(segment) => self.close(folding, segment),
            }
        }
    }

    /// Keeps a buffer for a commit to come.
    fn keep(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut queue = self.queue();
        if queue.empty.len() < BUFFERS && buffer.capacity() <= LARGEST_BUFFER {
            queue.empty.push(buffer);
        }
    }

    /// A stream's row; the outer `None`: it has ended, and stands in its entry, or it does not exist.
    fn row(&self, stream: StreamId) -> Result<Option<Option<Row>>, IndexError> {
        let mut folding = self.folding();
        self.drain(&mut folding);
        if folding.overlay.len() >= FULL_ROWS {
            drop(folding);
            self.apply();
            folding = self.folding();
        }
        self.check()?;
        match folding.known(stream) {
            Some(row) => Ok(Some(row)),
            None => Ok(self.stored(stream)?.map(|(_, row)| Some(row))),
        }
    }

    /// Applies the overlay to the index.
    fn apply(&self) {
        let _turn = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let (changes, watermark) = {
            let mut folding = self.folding();
            if folding.overlay.is_empty() && folding.folded == self.rows.watermark() {
                return;
            }
            folding.applying = Arc::new(std::mem::take(&mut folding.overlay));
            (folding.applying.clone(), folding.folded)
        };
        if self.failed.get().is_none()
            && let Err(error) = guarded(|| self.rows.apply(&changes, watermark))
        {
            self.fail(error);
        }
        self.folding().applying = Arc::default();
    }
}

fn unreadable(written: &Writing) -> IndexError {
    let file = segment_file(written.place.segment, written.place.generation);
    let what = "what was just written cannot be read".to_owned();
    IndexError(Damage { file, offset: written.offset, what }.to_string())
}
