//! The log in memory: the reference that every other backend is compared with.
//!
//! It keeps the promises of [`Log`] as plainly as they can be kept, except the one about crashes: it is
//! gone with the process.

use crate::index::{Change, Fold, KeyRange, Listed, MemoryMap, Row, Rows, Table};
use crate::record::{GENESIS, Head, Lsn, NewRecord, Record, Shard, StreamId, StreamMap, TOMBSTONE, Version, link};
use crate::{Conflict, Failure, Feed, Log, Space, journal};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The log in memory.
pub struct Memory {
    shards: u16,
    batch_limit: usize,
    fold: Arc<dyn Fold>,
    rows: Rows,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In log order: the record at place n stands at n - 1.
    records: Vec<Record>,
    /// How many of them are committed.
    durable: usize,
    /// The places of each stream's records, in all its lives.
    streams: HashMap<StreamId, Vec<Lsn>>,
}

impl Memory {
    /// An empty log of `shards` shards (0 counts as 1), with the batch limit of [`journal::Options`]'s default.
    pub fn new(shards: u16, fold: Arc<dyn Fold>) -> Memory {
        let batch_limit = journal::Options::default().batch_limit;
        let rows = Rows::empty(Box::new(MemoryMap::default()), fold.clone(), [0; 16]);
        Memory { shards: shards.max(1), batch_limit, fold, rows, state: Mutex::default() }
    }

    /// The same log with another limit for batches, in bytes, measured as the journal measures.
    #[must_use]
    pub fn with_batch_limit(self, batch_limit: usize) -> Memory {
        Memory { batch_limit, ..self }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The row that a stream has when the log ends at `end`.
    fn row_at(&self, state: &State, stream: StreamId, end: usize) -> Option<Row> {
        let life: Vec<Record> = state.life(stream, end).cloned().collect();
        if life.is_empty() { None } else { self.fold.fold(None, &life) }
    }
}

impl State {
    fn record(&self, lsn: Lsn) -> &Record {
        // Places are given to records only, from 1 on and densely.
        &self.records[lsn.0 as usize - 1]
    }

    /// The records that a stream has when the log ends at `end`: those behind its last tombstone.
    fn life(&self, stream: StreamId, end: usize) -> impl Iterator<Item = &Record> {
        let places = self.streams.get(&stream).map(Vec::as_slice).unwrap_or_default();
        let places = &places[..places.partition_point(|lsn| lsn.0 <= end as u64)];
        let tombstone = places.iter().rposition(|lsn| self.record(*lsn).format == TOMBSTONE);
        places[tombstone.map_or(0, |at| at + 1)..].iter().map(|lsn| self.record(*lsn))
    }

    fn tip(&self, stream: StreamId) -> Option<&Record> {
        self.life(stream, self.records.len()).last()
    }

    fn push(&mut self, new: &NewRecord) {
        let lsn = Lsn(self.records.len() as u64 + 1);
        let previous = self.tip(new.stream).map_or(GENESIS, |record| record.chain);
        let NewRecord { stream, time, format, ref payload, .. } = *new;
        let version = new.expected.next();
        let chain = link(&previous, stream, version, time, format, payload);
        self.records.push(Record { lsn, stream, version, time, format, chain, payload: payload.clone() });
        self.streams.entry(stream).or_default().push(lsn);
    }
}

impl Log for Memory {
    fn append(&self, batch: &[NewRecord]) -> Result<Result<Lsn, Conflict>, Failure> {
        journal::check_batch(batch, self.shards, self.batch_limit)?;
        let mut state = self.state();
        // All expectations are checked before the first record is added.
        let mut versions: HashMap<StreamId, Version> = HashMap::new();
        for record in batch {
            let (stream, expected) = (record.stream, record.expected);
            let tip = || state.tip(stream).map_or(Version::NONE, |record| record.version);
            let actual = versions.entry(stream).or_insert_with(tip);
            if *actual != expected {
                return Ok(Err(Conflict { stream, expected, actual: *actual }));
            }
            *actual = if record.format == TOMBSTONE { Version::NONE } else { actual.next() };
        }
        batch.iter().for_each(|record| state.push(record));
        Ok(Ok(Lsn(state.records.len() as u64)))
    }

    fn commit(&self) -> Result<Lsn, Failure> {
        let mut state = self.state();
        let (from, to) = (state.durable, state.records.len());
        let change = |record: &Record| {
            let row = |end| self.row_at(&state, record.stream, end);
            (record.stream, Change { before: row(from), after: row(to), lsn: record.lsn })
        };
        let changes: StreamMap<Change> = state.records[from..].iter().map(change).collect();
        let durable = Lsn(to as u64);
        self.rows.apply(&changes, durable)?;
        state.durable = state.records.len();
        Ok(durable)
    }

    fn durable(&self) -> Lsn {
        Lsn(self.state().durable as u64)
    }

    fn head(&self, stream: StreamId) -> Option<Head> {
        self.state().tip(stream).map(|record| Head { version: record.version, lsn: record.lsn })
    }

    fn read(&self, stream: StreamId, from: Version, limit: usize) -> Result<Vec<Record>, Failure> {
        let state = self.state();
        let skipped = usize::try_from(from.0.saturating_sub(1)).unwrap_or(usize::MAX);
        Ok(state.life(stream, state.durable).skip(skipped).take(limit).cloned().collect())
    }

    fn follow(&self, shard: Shard, after: Lsn, limit: usize) -> Result<Feed, Failure> {
        let state = self.state();
        let mut feed = Feed { records: Vec::new(), cursor: after };
        let skipped = usize::try_from(after.0).unwrap_or(usize::MAX);
        for record in state.records[..state.durable].iter().skip(skipped) {
            if feed.records.len() == limit {
                break;
            }
            feed.cursor = record.lsn;
            if record.stream.shard(self.shards) == shard {
                feed.records.push(record.clone());
            }
        }
        Ok(feed)
    }

    fn row(&self, stream: StreamId) -> Result<Option<Row>, Failure> {
        let state = self.state();
        Ok(self.row_at(&state, stream, state.durable))
    }

    fn list(&self, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<Listed>, Failure> {
        Ok(self.rows.scan(table, range, limit)?)
    }

    fn space(&self) -> Space {
        Space::Ample
    }

    fn seal(&self) -> Result<(), Failure> {
        // Nothing outlives the process, so there is nothing to note; but what was appended is committed, as
        // everywhere.
        self.commit().map(|_| ())
    }

    fn shards(&self) -> u16 {
        self.shards
    }
}
