//! The log under Rejoin: streams of opaque records, appended in atomic batches and made durable by commits.
//!
//! This crate knows streams, bytes, versions and index rows. It knows nothing of workflows, clocks or
//! threads of the engine; what a record means is the caller's business.
//!
//! - [`Log`] is the one trait. [`journal::Journal`] keeps it on disk, [`memory::Memory`] in memory.
//! - [`disk::Disk`] is what the journal writes to: a real folder, or [`simulated::SimDisk`] with faults.
//! - [`index`] holds rows that can be rebuilt from the log at any time.
//!
//! `FORMAT.md` beside this crate draws the bytes on disk and says what is undecidable after a crash.

mod bytes;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod disk;
mod error;
pub mod index;
pub mod journal;
pub mod memory;
mod record;
pub mod simulated;

pub use error::{Conflict, Damage, Failure, OpenError};
pub use record::{Chain, GENESIS, Head, Lsn, NewRecord, Record, Shard, StreamId, TOMBSTONE, Version, link};

use index::{Key, KeyRange, Listed, Row, Table};

/// How much room is left for appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// The next segment is ready or can be made.
    Ample,
    /// The next segment could not be made. What is left is kept for runs that are under way: start nothing new.
    Reserve,
}

/// A page of a shard's records in commit order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feed {
    /// The records, oldest first.
    pub records: Vec<Record>,
    /// Where to go on: pass it as `after` of the next call. It passes over records of other shards too.
    pub cursor: Lsn,
}

/// An append-only log of streams.
///
/// # Guarantees
///
/// - A batch is in the log whole or not at all, in every future of a crash.
/// - At most one record ever gets a given (stream, version); versions are dense from 1.
/// - After [`Log::commit`] returned, everything that was appended before it was called survives any crash.
/// - Reads, feeds and index rows show durable records only.
/// - Damage is reported with its place; it is never read as a shorter log.
///
/// All calls may block on the disk, and may come from many threads.
pub trait Log: Send + Sync {
    /// Checks the batch's expected versions and gives its records their places, in memory. Returns the
    /// place of the last one. Nothing of it is durable or visible before the next commit: this caller's, another's, or
    /// the store's own, when it begins a new segment.
    ///
    /// # Errors
    ///
    /// The inner result is a [`Conflict`] when a stream is not at its expected version; then nothing was
    /// appended. The outer one is a [`Failure`]: a batch that is empty, too large or over two shards, a full
    /// disk, a poisoned store.
    fn append(&self, batch: &[NewRecord]) -> Result<Result<Lsn, Conflict>, Failure>;

    /// Makes everything appended so far durable and visible, for all callers at once. Returns the place
    /// up to which the log is durable.
    ///
    /// # Errors
    ///
    /// A failed write or sync poisons the store: nothing appended since the last successful commit may be
    /// relied on until the store was opened again.
    fn commit(&self) -> Result<Lsn, Failure>;

    /// The place up to which the log is durable.
    fn durable(&self) -> Lsn;

    /// Where a stream stands, counting records that are appended but not durable yet; `None` if it does
    /// not exist. Answered from memory.
    fn head(&self, stream: StreamId) -> Option<Head>;

    /// Reads durable records of a stream, oldest first, from version `from` on, at most `limit`.
    ///
    /// # Errors
    ///
    /// Damage, or a disk that cannot be read.
    fn read(&self, stream: StreamId, from: Version, limit: usize) -> Result<Vec<Record>, Failure>;

    /// Reads a shard's durable records in commit order, from behind `after`, at most `limit`.
    ///
    /// # Errors
    ///
    /// Damage, or a disk that cannot be read.
    fn follow(&self, shard: Shard, after: Lsn, limit: usize) -> Result<Feed, Failure>;

    /// The index row of a stream, as the fold made it from the stream's durable records.
    fn row(&self, stream: StreamId) -> Result<Option<Row>, Failure>;

    /// Index entries of a table by key range, in key order, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`Failure::Index`]: the index cannot be read.
    fn list(&self, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<Listed>, Failure>;

    /// As [`Log::list`]: keys and streams only.
    ///
    /// # Errors
    ///
    /// As [`Log::list`].
    fn scan(&self, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<(Key, StreamId)>, Failure> {
        Ok(self.list(table, range, limit)?.into_iter().map(|listed| (listed.key, listed.stream)).collect())
    }

    /// How much room is left.
    fn space(&self) -> Space;

    /// Commits, and notes in the log what is durable, so that a later loss of its tail shows. Call it when the log rests
    /// for a moment; does nothing where nothing came since the last one.
    ///
    /// # Errors
    ///
    /// As [`Log::commit`].
    fn seal(&self) -> Result<(), Failure>;

    /// How many shards the store has.
    fn shards(&self) -> u16;
}
