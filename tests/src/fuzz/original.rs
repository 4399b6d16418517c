//! The small store that the fuzzer changes, and what is in it.

use super::forge::Files;
use crate::layout::{self, Frame, MANIFEST};
use rejoin_store::index::{Fold, Key, Row, Table};
use rejoin_store::journal::{Journal, Options, Upkeep};
use rejoin_store::simulated::SimDisk;
use rejoin_store::{Head, Log, Lsn, NewRecord, OpenError, Record, Shard, StreamId, TOMBSTONE, Version};
use std::sync::{Arc, LazyLock};

/// A store in order.
pub struct Original {
    pub files: Files,
    /// What the feed shows: places may be missing.
    pub records: Vec<Record>,
    pub heads: Vec<(StreamId, Option<Head>)>,
    pub durable: Lsn,
    /// The name of the open segment, and the frames in it.
    pub open: (String, Vec<Frame>),
}

/// As a closed store lies on the disk, and as a killed process leaves one: its last commit has nothing behind it.
pub static ORIGINALS: LazyLock<[Original; 2]> = LazyLock::new(|| [Original::make(true), Original::make(false)]);

/// Rows that count a stream's records.
struct Count;

impl Fold for Count {
    fn version(&self) -> u32 {
        1
    }
    fn fold(&self, previous: Option<&[u8]>, records: &[Record]) -> Option<Row> {
        let before = previous.and_then(|row| row.try_into().ok()).map_or(0, u64::from_be_bytes);
        Some(Row::from((before + records.len() as u64).to_be_bytes()))
    }
    fn keys(&self, stream: StreamId, row: &[u8]) -> Vec<(Table, Key)> {
        vec![(Table(0), [row, &stream.0].concat())]
    }
}

/// Opens a store of the smallest segments that there are.
pub fn open(disk: &SimDisk) -> Result<Journal, OpenError> {
    let sizes = Options { first_segment: 1_024, largest_segment: 1_024, ..Options::default() };
    let store_id = Some([0x5e; 16]);
    Journal::open(disk.clone(), Options { upkeep: Upkeep::Inline, store_id, fold: Arc::new(Count), ..sizes })
}

pub fn stream(n: u8) -> StreamId {
    StreamId([n + 1; 16])
}

pub fn put(log: &Journal, to: u8, format: u16, length: usize) {
    let expected = log.head(stream(to)).map_or(Version::NONE, |head| head.version);
    let payload = (0..length).map(|at| (at * 7 + usize::from(to)) as u8 | 1).collect();
    let record = NewRecord { stream: stream(to), expected, time: 5, format, payload };
    log.append(&[record]).expect("room").expect("the head is true");
    log.commit().expect("a commit");
}

impl Original {
    fn make(closed: bool) -> Original {
        let disk = SimDisk::new();
        let log = open(&disk).expect("a new store");
        // The first segment will be gone, the second rewritten.
        [0, 1, 0, 1, 0, 1, 2, 0, 3, 1, 2, 4].into_iter().for_each(|to| put(&log, to, 1, 40 + usize::from(to) * 3));
        [0, 1].into_iter().for_each(|to| put(&log, to, TOMBSTONE, 0));
        [2, 3, 4, 5].into_iter().for_each(|to| put(&log, to, 1, 30));
        log.seal().expect("a seal");
        log.clean().expect("a cleaning");
        [0, 3].into_iter().for_each(|to| put(&log, to, 2, 9));
        drop(log);
        let log = open(&disk).expect("a store in order");
        put(&log, 4, TOMBSTONE, 0);
        [5, 0].into_iter().for_each(|to| put(&log, to, 3, 20));
        let left = if closed { None } else { Some(disk.kill()) };
        drop(log);
        Original::of(left.unwrap_or(disk).files())
    }

    fn of(files: Vec<(String, Vec<u8>)>) -> Original {
        let files = files.into_iter().filter(|(name, _)| name != "spare");
        let files: Files = files.map(|(name, content)| (name, Arc::new(content))).collect();
        let file = |name: &str| files.iter().find(|(file, _)| file == name).map(|(_, content)| content.clone());
        let entries = layout::entries(&file(MANIFEST).expect("a manifest"));
        let open_segment = entries.last().expect("an open segment").file();
        let frames = layout::frames(&file(&open_segment).expect("its file")).collect();
        let log = open(&SimDisk::with_files(files.clone())).expect("a store in order");
        let records = log.follow(Shard(0), Lsn(0), usize::MAX).expect("a readable log").records;
        let heads = (0..6).map(stream).map(|stream| (stream, log.head(stream))).collect();
        Original { records, heads, durable: log.durable(), open: (open_segment, frames), files: files.clone() }
    }
}
