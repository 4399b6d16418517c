//! The journal: the log on disk, in segment files. `FORMAT.md` draws the bytes.
//!
//! [`Journal::append`] checks and sequences in memory; [`Journal::commit`] writes everything sequenced with one
//! write and one sync, whoever appended it. There is no other way into the log.

mod append;
mod create;
mod footer;
mod frame;
mod manifest;
mod recovery;
mod scan;
mod spare;
mod verify;
mod view;

pub(crate) use append::check_batch;
pub use manifest::FORMAT_VERSION;
pub use recovery::Cut;
pub use spare::Prepare;
pub use verify::{Report, inspect};

use crate::disk::Disk;
use crate::index::{Change, Fold, Index, IndexError, Key, KeyRange, MemoryIndex, NoFold, Row, Table};
use crate::record::{Head, Lsn, NewRecord, Record, Shard, StreamId, Version};
use crate::{Conflict, Failure, Feed, Log, OpenError, Space};
use append::{Appender, Written, segment_for};
use footer::Stand;
use spare::Spare;
use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockWriteGuard};
use view::{Reader, View};

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
    /// Who makes the next segment's file.
    pub prepare: Prepare,
    /// A new store's identity; drawn from the operating system where none is given.
    pub store_id: Option<[u8; 16]>,
    /// How records become index rows.
    pub fold: Arc<dyn Fold>,
    /// Where index rows are kept. What is in it when the store is opened is forgotten.
    pub index: Arc<dyn Index>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            shards: 1,
            first_segment: 4 << 20,
            largest_segment: 64 << 20,
            batch_limit: 64 << 20,
            prepare: Prepare::Background,
            store_id: None,
            fold: Arc::new(NoFold),
            index: Arc::new(MemoryIndex::default()),
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
    disk: Arc<dyn Disk>,
    fold: Arc<dyn Fold>,
    index: Arc<dyn Index>,
    /// An index that failed is not asked again.
    index_failed: OnceLock<IndexError>,
    shards: u16,
    batch_limit: usize,
    largest_segment: u64,
    /// Held from taking the buffer until it is durable: one commit at a time, the next takes all that came meanwhile.
    turn: Mutex<()>,
    appender: Mutex<Appender>,
    view: RwLock<View>,
    spare: Spare,
    cut: Option<Cut>,
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

    fn appender(&self) -> MutexGuard<'_, Appender> {
        self.appender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&self) -> Reader<'_> {
        Reader(&self.view)
    }

    fn view_mut(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes and syncs what was appended. The caller holds the turn.
    fn flush(&self) -> Result<Lsn, Failure> {
        let taken = self.appender().take()?;
        let Some(writing) = taken else { return Ok(self.reader().durable()) };
        let written = writing.write().and_then(|()| writing.into_frames());
        match written {
            Ok(written) => Ok(self.publish(&written)),
            Err(failure) => {
                self.appender().poison(&failure);
                Err(failure)
            }
        }
    }

    /// Makes written frames visible: rows, directory, marks. The caller holds the turn.
    fn publish(&self, written: &Written) -> Lsn {
        let mut appender = self.appender();
        let changes = self.fold_records(&mut appender, &written.records);
        for (first, offset) in &written.batches {
            appender.footer.mark(*first, *offset);
        }
        let mut view = self.view_mut();
        let heads =
            written.records.iter().map(|record| (record.stream, Head { version: record.version, lsn: record.lsn }));
        view.directory.extend(heads);
        if let Some(last) = written.records.last() {
            view.durable = last.lsn;
        }
        let durable = view.durable;
        if let Some(segment) = view.segments.last_mut() {
            segment.end = written.end;
            let known = segment.marks.len();
            segment.marks.extend_from_slice(&appender.footer.marks[known..]);
        }
        drop(view);
        appender.settle(&written.records, written.end);
        // Appends need not wait for the index; the next commit does, by the turn.
        drop(appender);
        if self.index_failed.get().is_none()
            && !changes.is_empty()
            && let Err(error) = self.index.apply(changes, durable)
        {
            // The log goes on without it; readers of the index are told.
            let _ = self.index_failed.set(error);
        }
        durable
    }

    fn fold_records(&self, appender: &mut Appender, records: &[Record]) -> Vec<Change> {
        if self.index_failed.get().is_none() {
            match self.try_fold(appender, records) {
                Ok(changes) => return changes,
                Err(error) => {
                    let _ = self.index_failed.set(error);
                }
            }
        }
        appender.stand_without_rows(records);
        Vec::new()
    }

    fn try_fold(&self, appender: &mut Appender, records: &[Record]) -> Result<Vec<Change>, IndexError> {
        let mut rows: HashMap<StreamId, (Option<Row>, Row)> = HashMap::new();
        for record in records {
            let before = match rows.get(&record.stream) {
                Some((_, row)) => Some(row.clone()),
                None => match appender.row(record.stream) {
                    Some(row) => Some(row),
                    None => self.index.row(record.stream)?,
                },
            };
            let row = self.fold.fold(before.as_deref(), record);
            rows.entry(record.stream).and_modify(|rows| rows.1 = row.clone()).or_insert((before, row.clone()));
            let head = Head { version: record.version, lsn: record.lsn };
            appender.footer.stands.insert(record.stream, Stand { head, row });
        }
        let change = |(stream, (before, row)): (StreamId, (Option<Row>, Row))| {
            Change::between(&*self.fold, stream, before.as_deref(), row)
        };
        Ok(rows.into_iter().map(change).collect())
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
        let segment = match appender.roll(&*self.disk, bytes) {
            Err(failure) if failure.is_disk_full() => Err(Failure::Full { needed: wanted }),
            result => result,
        }?;
        self.view_mut().segments.push(segment);
        self.spare.used(appender.next_segment_bytes(self.largest_segment));
        Ok(())
    }

    fn check_index(&self) -> Result<(), Failure> {
        self.index_failed.get().map_or(Ok(()), |error| Err(error.clone().into()))
    }
}

impl Log for Journal {
    fn append(&self, batch: &[NewRecord]) -> Result<Result<Lsn, Conflict>, Failure> {
        let length = check_batch(batch, self.shards, self.batch_limit)?;
        loop {
            let mut appender = self.appender();
            appender.check()?;
            if appender.fits(length) {
                return appender.sequence(batch, self.reader());
            }
            drop(appender);
            self.roll(length)?;
        }
    }

    fn commit(&self) -> Result<Lsn, Failure> {
        let _turn = self.take_turn();
        self.flush()
    }

    fn durable(&self) -> Lsn {
        self.reader().durable()
    }

    fn head(&self, stream: StreamId) -> Option<Head> {
        let appender = self.appender();
        appender.tip(stream).or_else(|| self.reader().head(stream))
    }

    fn read(&self, stream: StreamId, from: Version, limit: usize) -> Result<Vec<Record>, Failure> {
        self.reader().read(stream, from, limit)
    }

    fn follow(&self, shard: Shard, after: Lsn, limit: usize) -> Result<Feed, Failure> {
        self.reader().follow(shard, self.shards, after, limit)
    }

    fn row(&self, stream: StreamId) -> Result<Option<Row>, Failure> {
        self.check_index()?;
        Ok(self.index.row(stream)?)
    }

    fn scan(&self, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<(Key, StreamId)>, Failure> {
        self.check_index()?;
        Ok(self.index.scan(table, range, limit)?)
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
