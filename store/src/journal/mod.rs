//! The journal: the log on disk, in segment files. `FORMAT.md` draws the bytes.
//!
//! [`Journal::append`] checks and sequences in memory; [`Journal::commit`] writes everything sequenced with one
//! write and one sync, whoever appended it. There is no other way into the log.

mod append;
mod check;
mod clean;
mod create;
mod files;
mod folding;
mod footer;
mod frame;
mod indexer;
mod manifest;
mod rebuild;
mod recovery;
mod rewrite;
mod scan;
mod spare;
mod verify;
mod view;

pub(crate) use append::check_batch;
pub use clean::Cleaned;
pub use frame::Seen;
pub use manifest::FORMAT_VERSION;
pub use rebuild::Progress;
pub use recovery::Cut;
pub use spare::Upkeep;
pub use verify::{Report, Visit, audit, inspect, inspect_with};

use crate::disk::Disk;
use crate::index::{Fold, Home, KeyRange, Listed, NoFold, Row, Table};
use crate::record::{Head, Lsn, NewRecord, Record, Shard, StreamId, Version};
use crate::{Conflict, Failure, Feed, Log, OpenError, Space};
use append::{Appender, LARGEST_BATCH, segment_for};
use clean::Cleaner;
use files::Files;
use indexer::{Happened, Indexer};
use spare::Spare;
use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How a journal is opened.
#[derive(Clone)]
pub struct Options {
    /// How many shards a new store has; an existing one keeps its number.
    pub shards: u16,
    /// The size of the first segment in bytes; each next one is twice as large as the one before.
    pub first_segment: u64,
    /// The size at which segments stop growing, in bytes.
    pub largest_segment: u64,
    /// The largest batch in bytes; more than a GiB counts as one.
    pub batch_limit: usize,
    /// Who looks after the store behind the commits.
    pub upkeep: Upkeep,
    /// A new store's identity; drawn from the operating system where none is given.
    pub store_id: Option<[u8; 16]>,
    /// How long after a tombstone the log is cleaned, where threads do it.
    pub clean_after: Duration,
    /// How records become index rows.
    pub fold: Arc<dyn Fold>,
    /// Where index rows are kept.
    pub index: Home,
    /// Is told how far an index is that is made again from the log, now and then.
    pub progress: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            shards: 1,
            first_segment: 4 << 20,
            largest_segment: 64 << 20,
            batch_limit: 64 << 20,
            upkeep: Upkeep::Background,
            store_id: None,
            clean_after: Duration::from_secs(5),
            fold: Arc::new(NoFold),
            index: Home::Memory,
            progress: None,
        }
    }
}

/// The log on disk.
///
/// ```
/// use rejoin_store::{Log, NewRecord, StreamId, Version, disk::Folder, journal::{Journal, Options}};
/// # let folder = std::env::temp_dir().join(format!("journal-example-{}", std::process::id()));
/// let journal = Journal::open(Folder::create(&folder)?, Options::default())?;
/// let record = NewRecord { stream: StreamId([1; 16]), expected: Version::NONE, time: 0, format: 1, payload: b"hello".to_vec() };
/// journal.append(&[record])??;
/// journal.commit()?;
/// assert_eq!(journal.read(StreamId([1; 16]), Version(1), 10)?[0].payload, b"hello");
/// # drop(journal); std::fs::remove_dir_all(folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Journal {
    files: Arc<Files>,
    cleaner: Cleaner,
    indexer: Indexer,
    shards: u16,
    batch_limit: usize,
    largest_segment: u64,
    /// Held from taking the buffer until it is durable: one commit at a time, the next takes all that came meanwhile.
    turn: Mutex<()>,
    appender: Mutex<Appender>,
    spare: Spare,
    cut: Option<Cut>,
    rebuilt: Option<String>,
    // Dropped last: the folder stays ours until everything above is gone.
    _lock: Box<dyn Any + Send + Sync>,
}

impl Journal {
    /// Opens the store on `disk`, or makes a new one where there is none.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]: in use, newer, not writable, damaged. What an earlier process left unfinished is no error:
    /// see [`Journal::cut`].
    pub fn open(disk: impl Disk + 'static, options: Options) -> Result<Journal, OpenError> {
        Journal::open_on(Arc::new(disk), options)
    }

    /// As [`Journal::open`], on a disk that is shared or whose type is not known.
    ///
    /// # Errors
    ///
    /// As [`Journal::open`].
    pub fn open_on(disk: Arc<dyn Disk>, options: Options) -> Result<Journal, OpenError> {
        recovery::open(disk, options)
    }

    /// What recovery cut off at this opening: the torn end of a write that was never acknowledged.
    pub fn cut(&self) -> Option<&Cut> {
        self.cut.as_ref()
    }

    /// Why the index was made again from the log at this opening, if it was.
    pub fn index_rebuilt(&self) -> Option<&str> {
        self.rebuilt.as_deref()
    }

    /// Gives back the disk that streams with tombstones took, where it is worth it. With [`Upkeep::Background`] a thread does
    /// that by itself.
    ///
    /// # Errors
    ///
    /// A disk that is full or refuses, or damage. The log is as it was.
    pub fn clean(&self) -> Result<Cleaned, Failure> {
        self.cleaner.clean()
    }

    #[expect(clippy::too_many_arguments, reason = "it only puts together what opening has found")]
    fn assemble(
        files: Arc<Files>,
        mut indexer: Indexer,
        appender: Appender,
        spare: Spare,
        options: Options,
        cut: Option<Cut>,
        rebuilt: Option<String>,
        lock: Box<dyn Any + Send + Sync>,
    ) -> Result<Journal, OpenError> {
        let mut cleaner = Cleaner::new(files.clone(), options.clean_after);
        if options.upkeep == Upkeep::Background {
            let started = indexer.start().and_then(|()| cleaner.start());
            started.map_err(|error| Failure::io("start the threads of", "the store", error))?;
        }
        Ok(Journal {
            shards: files.shards(),
            files,
            cleaner,
            indexer,
            batch_limit: options.batch_limit.min(LARGEST_BATCH),
            largest_segment: options.largest_segment,
            turn: Mutex::new(()),
            appender: Mutex::new(appender),
            spare,
            cut,
            rebuilt,
            _lock: lock,
        })
    }

    fn appender(&self) -> MutexGuard<'_, Appender> {
        self.appender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes and syncs what was appended, and makes it visible. The caller holds the turn.
    fn flush(&self) -> Result<Lsn, Failure> {
        let taken = self.appender().take(self.indexer.empty_buffer())?;
        let Some(writing) = taken else { return Ok(self.durable()) };
        if let Err(failure) = writing.write() {
            self.appender().poison(&failure);
            return Err(failure);
        }
        let mut appender = self.appender();
        let mut view = self.files.view_mut();
        view.publish(&writing);
        let durable = view.durable;
        drop(view);
        appender.settle(&writing);
        drop(appender);
        if writing.heads.iter().any(|(_, head)| head.version == Version::NONE) {
            self.cleaner.wake();
        }
        self.indexer.push(Happened::Written(writing));
        Ok(durable)
    }

    /// Closes the open segment and begins the next one, which takes a frame of `length` bytes.
    fn roll(&self, length: usize) -> Result<(), Failure> {
        let _turn = self.take_turn();
        let mut appender = loop {
            self.flush()?;
            let appender = self.appender();
            if appender.fits(length) {
                return Ok(());
            }
            // Others may have appended since the flush; their frames belong into the segment that they were made for.
            if appender.buffer.is_empty() {
                break appender;
            }
        };
        let least = segment_for(length);
        let wanted = appender.next_segment_bytes(self.largest_segment).max(least);
        let bytes = self.spare.ready(wanted, least).ok_or(Failure::Full { needed: wanted })?;
        let closed = appender.place.segment;
        let segment = match appender.roll(&self.files, bytes) {
            Err(failure) if failure.is_disk_full() => Err(Failure::Full { needed: wanted }),
            result => result,
        }?;
        self.files.view_mut().begin(segment);
        self.spare.used(appender.next_segment_bytes(self.largest_segment));
        drop(appender);
        if !self.files.view().graves.is_empty() {
            self.cleaner.wake();
        }
        self.indexer.push(Happened::Closed(closed));
        Ok(())
    }
}

impl Log for Journal {
    fn append(&self, batch: &[NewRecord]) -> Result<Result<Lsn, Conflict>, Failure> {
        let length = check_batch(batch, self.shards, self.batch_limit)?;
        loop {
            let mut appender = self.appender();
            appender.check()?;
            if appender.fits(length) {
                return appender.sequence(batch, self.files.reader());
            }
            drop(appender);
            self.roll(length)?;
        }
    }

    fn commit(&self) -> Result<Lsn, Failure> {
        let turn = self.take_turn();
        let durable = self.flush()?;
        drop(turn);
        self.indexer.wait_for_room();
        Ok(durable)
    }

    fn durable(&self) -> Lsn {
        self.files.reader().durable()
    }

    fn head(&self, stream: StreamId) -> Option<Head> {
        let appender = self.appender();
        appender.tip(stream).unwrap_or_else(|| self.files.reader().head(stream))
    }

    fn read(&self, stream: StreamId, from: Version, limit: usize) -> Result<Vec<Record>, Failure> {
        self.files.reader().read(stream, from, limit)
    }

    fn follow(&self, shard: Shard, after: Lsn, limit: usize) -> Result<Feed, Failure> {
        self.files.reader().follow(shard, self.shards, after, limit)
    }

    fn row(&self, stream: StreamId) -> Result<Option<Row>, Failure> {
        self.indexer.row(stream)
    }

    fn list(&self, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<Listed>, Failure> {
        self.indexer.list(table, range, limit)
    }

    fn space(&self) -> Space {
        // A segment that was closed without a next one: that is tried again, since nobody else might come to do it.
        let stuck = self.appender().closing;
        if (stuck && self.roll(0).is_err()) || self.spare.is_missing() { Space::Reserve } else { Space::Ample }
    }

    fn seal(&self) -> Result<(), Failure> {
        let _turn = self.take_turn();
        self.flush()?;
        let needed = self.appender().seal();
        if needed { self.flush().map(|_| ()) } else { Ok(()) }
    }

    fn shards(&self) -> u16 {
        self.shards
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Best effort: without the seal the next opening only knows a little less. A thread that panics has no business
        // committing, and a second panic, in the fold, would end the process.
        if !std::thread::panicking() {
            let _ = self.seal();
        }
    }
}
