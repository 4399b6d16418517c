//! The store whose bits are flipped: some megabytes of log in several segments.

use super::Regions;
use crate::layout::{Entry, MANIFEST, entries};
use rejoin_store::index::{Fold, Key, Row, Table};
use rejoin_store::journal::{Journal, Options, Report, Upkeep, inspect};
use rejoin_store::simulated::SimDisk;
use rejoin_store::{Head, Log, Lsn, NewRecord, OpenError, Record, Shard, StreamId, TOMBSTONE, Version};
use std::sync::Arc;

/// A store in order, and all that it shows.
pub struct Original {
    /// Manifest and segments.
    pub files: Vec<(String, Arc<Vec<u8>>)>,
    /// What each byte of them is.
    pub regions: Regions,
    /// What the feed shows.
    pub records: Vec<Record>,
    /// How each stream stands that ever was, and its row.
    pub streams: Vec<(StreamId, Option<Head>, Option<Row>)>,
    /// Where the log ends.
    pub durable: Lsn,
    /// What reading all of it byte by byte says.
    pub report: Report,
    /// The segments.
    pub entries: Vec<Entry>,
    size: u64,
}

/// Rows that name a stream's last format.
struct Last;

impl Fold for Last {
    fn version(&self) -> u32 {
        1
    }
    fn fold(&self, _: Option<&[u8]>, records: &[Record]) -> Option<Row> {
        records.last().map(|record| Row::from(record.format.to_be_bytes()))
    }
    fn keys(&self, stream: StreamId, row: &[u8]) -> Vec<(Table, Key)> {
        vec![(Table(0), [row, &stream.0].concat())]
    }
}

/// Opens a store that is to have `size` bytes.
///
/// # Errors
///
/// As [`Journal::open`].
pub fn open(disk: &SimDisk, size: u64) -> Result<Journal, OpenError> {
    let largest_segment = size / 12;
    let sizes = Options { first_segment: largest_segment / 4, largest_segment, ..Options::default() };
    Journal::open(disk.clone(), Options { upkeep: Upkeep::Inline, fold: Arc::new(Last), ..sizes })
}

/// A run as far as the log knows it: a stream, how many records it has, and how many it will have.
struct Life {
    stream: StreamId,
    has: u64,
    will: u64,
}

/// What appends.
struct Writer {
    log: Journal,
    alive: Vec<Life>,
    ended: Vec<Life>,
    made: u64,
}

impl Writer {
    /// One commit: a record more for each of some runs. Runs that have all of theirs end, and others begin.
    fn commit(&mut self) {
        let mut batch = Vec::new();
        for at in 0..8 {
            self.made += 1;
            let n = self.made;
            let index = (n * 7 + at) as usize % 64;
            if self.alive.len() <= index {
                let mut stream = [0; 16];
                stream[..8].copy_from_slice(&n.to_be_bytes());
                self.alive.push(Life { stream: StreamId(stream), has: 0, will: 2 + n % 11 });
                continue;
            }
            if self.alive[index].has == self.alive[index].will {
                self.ended.push(self.alive.swap_remove(index));
                continue;
            }
            let life = &mut self.alive[index];
            let payload = (0..20 + n * 37 % 900).map(|byte| (byte * 31 + n) as u8).collect();
            let (stream, expected, format) = (life.stream, Version(life.has), 1 + (n % 3) as u16);
            let same = |record: &NewRecord| record.stream == stream;
            if !batch.iter().any(same) {
                life.has += 1;
                batch.push(NewRecord { stream, expected, time: n as i64, format, payload });
            }
        }
        if !batch.is_empty() {
            self.append(&batch);
        }
    }

    fn append(&self, batch: &[NewRecord]) {
        self.log.append(batch).expect("room").expect("nobody else appends");
        self.log.commit().expect("a commit");
    }

    /// Deletes runs that have ended, of which it may keep each fifth, and gives back what they took.
    fn clean(&mut self, keep: bool) {
        for (n, life) in std::mem::take(&mut self.ended).into_iter().enumerate() {
            if !keep || n % 5 != 0 {
                let Life { stream, has, .. } = life;
                let expected = Version(has);
                self.append(&[NewRecord { stream, expected, time: 0, format: TOMBSTONE, payload: Vec::new() }]);
            }
        }
        self.log.seal().expect("a seal");
        self.log.clean().expect("a cleaning");
    }
}

fn length(disk: &SimDisk) -> u64 {
    let manifest = disk.files().into_iter().find(|(name, _)| name == MANIFEST).expect("a manifest").1;
    entries(&manifest).iter().map(|entry| entry.bytes).sum()
}

impl Original {
    /// A store of about `size` bytes, closed as a process closes it: runs that live and that have ended, and such as were
    /// deleted, whose segments are gone, rewritten, or not cleaned yet.
    pub fn make(size: u64) -> Original {
        let disk = SimDisk::new();
        let log = open(&disk, size).expect("a new store");
        let mut writer = Writer { log, alive: Vec::new(), ended: Vec::new(), made: 0 };
        for part in 1..=4 {
            while length(&disk) < size * part / 4 {
                (0..size / 25_000).for_each(|_| writer.commit());
            }
            if part < 4 {
                // Of the first quarter nothing is kept, so that segments go.
                writer.clean(part > 1);
            }
        }
        let all: Vec<Record> = writer.log.follow(Shard(0), Lsn(0), usize::MAX).expect("a readable log").records;
        drop(writer);
        Original::of(&disk, &all, size)
    }

    fn of(disk: &SimDisk, all: &[Record], size: u64) -> Original {
        let files = disk.files().into_iter().filter(|(name, _)| name == MANIFEST || name.ends_with(".seg"));
        let files: Vec<_> = files.map(|(name, content)| (name, Arc::new(content))).collect();
        let disk = SimDisk::with_files(files.clone());
        let report = inspect(&disk, |_| {}).expect("a store in order");
        let log = open(&disk, size).expect("a store in order");
        let mut streams: Vec<StreamId> = all.iter().map(|record| record.stream).collect();
        streams.sort_unstable();
        streams.dedup();
        let stand = |stream| (stream, log.head(stream), log.row(stream).expect("a row"));
        let streams = streams.into_iter().map(stand).collect();
        let records = log.follow(Shard(0), Lsn(0), usize::MAX).expect("a readable log").records;
        let manifest = files.iter().find(|(name, _)| name == MANIFEST).expect("a manifest");
        let entries = entries(&manifest.1);
        let regions = Regions::of(files.iter().map(|(name, content)| (name.as_str(), &content[..])));
        Original { regions, records, streams, durable: log.durable(), report, entries, size, files }
    }

    /// Opens a disk with the store's files.
    ///
    /// # Errors
    ///
    /// As [`Journal::open`].
    pub fn open(&self, disk: &SimDisk) -> Result<Journal, OpenError> {
        open(disk, self.size)
    }

    /// The name of a file.
    pub fn name(&self, file: usize) -> &str {
        &self.files[file].0
    }

    /// The segment of a file; `None` of the manifest.
    pub fn entry(&self, file: usize) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.bytes > 0 && entry.file() == self.name(file))
    }
}
