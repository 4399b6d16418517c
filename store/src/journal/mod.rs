//! The journal: the log on disk, in segment files. `FORMAT.md` draws the bytes.
//!
//! [`Journal::append`] checks and sequences in memory; [`Journal::commit`] writes everything sequenced with one
//! write and one sync, whoever appended it. There is no other way into the log.

mod append;
mod footer;
mod frame;
mod manifest;
mod recovery;
mod spare;
mod verify;
mod view;

pub use manifest::FORMAT_VERSION;
pub use recovery::Cut;
pub use spare::Prepare;
pub use verify::{Report, inspect};

use crate::disk::Disk;
use crate::index::{Change, Fold, Index, IndexError, Key, KeyRange, MemoryIndex, NoFold, Row, Table};
use crate::record::{Head, Lsn, NewRecord, Record, Shard, StreamId, Version};
use crate::{Conflict, Failure, Feed, Log, OpenError, Space};
use append::{Appender, Written};
use footer::Stand;
use spare::Spare;
use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use view::View;

/// How a journal is opened.
#[derive(Clone)]
pub struct Options {
    /// How many shards a new store has; an existing one keeps its number.
    pub shards: u16,
    /// The size of the first segment in bytes; each next one is twice as large as the one before.
    pub first_segment: u64,
    /// The size at which segments stop growing, in bytes.
    pub largest_segment: u64,
    /// The largest batch in bytes.
    pub batch_limit: usize,
    /// Who makes the next segment's file.
    pub prepare: Prepare,
    /// A new store's identity; drawn from the operating system where none is given.
    pub store_id: Option<[u8; 16]>,
    /// How records become index rows.
    pub fold: Arc<dyn Fold>,
    /// Where index rows are kept.
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
        recovery::open(Arc::new(disk), options)
    }

    /// What recovery cut off at this opening: the torn end of a write that was never acknowledged.
    pub fn cut(&self) -> Option<&Cut> {
        self.cut.as_ref()
    }

    fn appender(&self) -> MutexGuard<'_, Appender> {
        self.appender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes and syncs what was appended. The caller holds the turn.
    fn flush(&self) -> Result<Lsn, Failure> {
        let mut appender = self.appender();
        appender.check()?;
        let Some(writing) = appender.take() else { return Ok(self.view().durable) };
        drop(appender);
        let result = writing.file.write_at(&writing.bytes, writing.offset).and_then(|()| writing.file.sync_data());
        if let Err(error) = result {
            let failure = Failure::io("write", &writing.name, error);
            self.appender().poison(&failure);
            return Err(failure);
        }
        Ok(self.publish(writing.into_frames()?))
    }

    /// Makes written frames visible: directory, marks, rows.
    fn publish(&self, written: Written) -> Lsn {
        let mut appender = self.appender();
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        for record in &written.records {
            view.directory.insert(record.stream, Head { version: record.version, lsn: record.lsn });
        }
        let changes = self.fold_records(&mut appender, &written.records);
        if let Some(last) = written.records.last() {
            view.durable = last.lsn;
        }
        let durable = view.durable;
        if let Some(segment) = view.segments.last_mut() {
            segment.end = written.end;
            for (first, offset) in written.batches {
                appender.footer.mark(first, offset);
            }
            let known = segment.marks.len();
            segment.marks.extend_from_slice(&appender.footer.marks[known..]);
        }
        appender.settle(&written.records, written.end);
        drop(view);
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
        let mut rows: HashMap<StreamId, (Option<Row>, Row)> = HashMap::new();
        for record in records {
            let before = match rows.get(&record.stream) {
                Some((_, row)) => Some(row.clone()),
                None => appender.row(record.stream).or_else(|| self.index.row(record.stream).ok().flatten()),
            };
            let row = self.fold.fold(before.as_deref(), record);
            rows.entry(record.stream).and_modify(|rows| rows.1 = row.clone()).or_insert((before, row.clone()));
            let head = Head { version: record.version, lsn: record.lsn };
            appender.footer.stands.insert(record.stream, Stand { head, row });
        }
        let change = |(stream, (before, row)): (StreamId, (Option<Row>, Row))| {
            Change::between(&*self.fold, stream, before.as_deref(), row)
        };
        rows.into_iter().map(change).collect()
    }

    /// Closes the open segment and begins the next one, which must take a frame of `length` bytes.
    fn roll(&self, length: usize) -> Result<(), Failure> {
        let _turn = self.take_turn();
        self.flush()?;
        let mut appender = self.appender();
        if appender.fits(length) {
            return Ok(());
        }
        let needed = appender.next_segment_bytes(self.largest_segment);
        let bytes = self.spare.ready(needed).ok_or(Failure::Full { needed })?;
        let segment = appender.roll(&*self.disk, bytes)?;
        self.view.write().unwrap_or_else(PoisonError::into_inner).segments.push(segment);
        self.spare.used(appender.next_segment_bytes(self.largest_segment));
        Ok(())
    }

    fn check_batch(&self, batch: &[NewRecord]) -> Result<usize, Failure> {
        let first = batch.first().ok_or(Failure::Empty)?.stream;
        let shard = first.shard(self.shards);
        if let Some(other) = batch.iter().find(|record| record.stream.shard(self.shards) != shard) {
            return Err(Failure::TwoShards { first, second: other.stream });
        }
        let size = frame::batch_length(batch);
        if size > self.batch_limit {
            return Err(Failure::TooLarge { size, limit: self.batch_limit });
        }
        Ok(size)
    }

    fn check_index(&self) -> Result<(), Failure> {
        self.index_failed.get().map_or(Ok(()), |error| Err(error.clone().into()))
    }
}

impl Log for Journal {
    fn append(&self, batch: &[NewRecord]) -> Result<Result<Lsn, Conflict>, Failure> {
        let length = self.check_batch(batch)?;
        loop {
            let mut appender = self.appender();
            appender.check()?;
            if appender.fits(length) {
                return appender.sequence(batch, &self.view());
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
        self.view().durable
    }

    fn head(&self, stream: StreamId) -> Option<Head> {
        self.appender().tip(stream).or_else(|| self.view().directory.get(&stream).copied())
    }

    fn read(&self, stream: StreamId, from: Version, limit: usize) -> Result<Vec<Record>, Failure> {
        self.view().read(stream, from, limit)
    }

    fn follow(&self, shard: Shard, after: Lsn, limit: usize) -> Result<Feed, Failure> {
        self.view().follow(shard, self.shards, after, limit)
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
        if self.spare.is_missing() { Space::Reserve } else { Space::Ample }
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
        // Best effort: without the seal the next opening only knows a little less.
        let _ = self.seal();
    }
}
