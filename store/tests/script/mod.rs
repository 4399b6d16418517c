//! A script of appends, commits, seals and reopenings, and what must be left of it after anything.
#![allow(dead_code, reason = "each test file uses its own part")]

use rejoin_store::index::{Fold, Key, Row, Table};
use rejoin_store::journal::{Journal, Options, Upkeep};
use rejoin_store::simulated::SimDisk;
use rejoin_store::{GENESIS, Log, Lsn, NewRecord, OpenError, Record, Shard, StreamId, Version, link};
use std::collections::HashMap;
use std::sync::Arc;

pub enum Step {
    /// Appends the batch of this number.
    Append(usize),
    Commit,
    Seal,
    Reopen,
}

pub struct Script {
    pub steps: Vec<Step>,
    pub batches: Vec<Vec<NewRecord>>,
}

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

pub fn options() -> Options {
    let store_id = Some([0x5e; 16]);
    let sizes = Options { first_segment: 4096, largest_segment: 16_384, ..Options::default() };
    Options { upkeep: Upkeep::Inline, store_id, fold: Arc::new(Count), ..sizes }
}

pub fn open(disk: &SimDisk) -> Result<Journal, OpenError> {
    Journal::open(disk.clone(), options())
}

pub fn stream(n: usize) -> StreamId {
    StreamId([n as u8 + 1; 16])
}

/// Bytes that are not zero, so that none of them is on the disk by chance.
pub fn payload(length: usize, salt: usize) -> Vec<u8> {
    (0..length).map(|at| ((at * 31 + salt * 17 + at / 7) % 255) as u8 + 1).collect()
}

impl Script {
    /// Some 40 steps: batches of one to four records over five streams, alone and several to a commit, of nothing
    /// and of more than a segment, with seals and reopenings between.
    pub fn new() -> Script {
        let mut script = Script { steps: Vec::new(), batches: Vec::new() };
        let lengths = [40, 700, 0, 1500, 9, 333, 1, 2100, 64, 512, 5, 260];
        let mut versions = [0; 5];
        for n in 0..22 {
            let batch = (0..=n % 4).map(|part| {
                let to = (n * 3 + part * (1 + n % 3)) % 5;
                let length = if n == 13 { 9_000 } else { lengths[(n + part * 5) % lengths.len()] };
                versions[to] += 1;
                let (expected, time) = (Version(versions[to] - 1), n as i64);
                NewRecord {
                    stream: stream(to),
                    expected,
                    time,
                    format: part as u16,
                    payload: payload(length, n + part),
                }
            });
            let batch = batch.collect();
            script.batches.push(batch);
            script.steps.push(Step::Append(n));
            if n % 3 != 1 {
                script.steps.push(Step::Commit);
            }
            match n {
                4 | 12 | 17 => script.steps.push(Step::Seal),
                8 | 15 => script.steps.push(Step::Reopen),
                _ => {}
            }
        }
        script.steps.push(Step::Commit);
        script
    }

    /// Runs the script until something fails.
    pub fn run(&self, disk: &SimDisk) -> Progress {
        let mut progress = Progress::default();
        let Ok(mut journal) = open(disk) else { return progress };
        for step in &self.steps {
            let worked = match step {
                Step::Append(batch) => {
                    let appended = journal.append(&self.batches[*batch]).map(|place| place.expect("no conflict"));
                    progress.appended += usize::from(appended.is_ok());
                    appended.is_ok()
                }
                Step::Commit => journal.commit().is_ok(),
                Step::Seal => journal.seal().is_ok(),
                Step::Reopen => {
                    drop(journal);
                    let Ok(again) = open(disk) else { return progress };
                    journal = again;
                    continue;
                }
            };
            if !worked {
                return progress;
            }
            if matches!(step, Step::Commit | Step::Seal) {
                progress.acked = progress.appended;
            }
        }
        progress
    }

    /// Checks that the log is a whole number of the script's batches, at least those that were acknowledged, at most
    /// those that were appended, and that all ways of reading agree. Returns the number of batches.
    pub fn check(&self, log: &dyn Log, progress: Progress, context: &str) -> usize {
        let records = everything(log, context);
        let mut rest = &records[..];
        let mut found = 0;
        while !rest.is_empty() {
            let batch = self.batches.get(found).unwrap_or_else(|| panic!("{context}: records of nobody"));
            assert!(rest.len() >= batch.len(), "{context}: batch {found} is there in part");
            for (new, record) in batch.iter().zip(rest) {
                assert_eq!((record.stream, record.version), (new.stream, new.expected.next()), "{context}");
                assert_eq!((record.time, record.format), (new.time, new.format), "{context}");
                assert!(record.payload == new.payload, "{context}: another payload at {}", record.lsn);
            }
            rest = &rest[batch.len()..];
            found += 1;
        }
        assert!(found >= progress.acked, "{context}: {found} batches, but {} were acknowledged", progress.acked);
        assert!(found <= progress.appended, "{context}: {found} batches, but only {} appended", progress.appended);
        found
    }
}

/// How far a script came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Batches that were appended.
    pub appended: usize,
    /// Batches whose commit came back.
    pub acked: usize,
}

/// All records of a log, after checking that feed, streams, heads, rows and chains agree.
pub fn everything(log: &dyn Log, context: &str) -> Vec<Record> {
    let mut records = Vec::new();
    let mut after = Lsn(0);
    loop {
        let feed = log.follow(Shard(0), after, 7).unwrap_or_else(|error| panic!("{context}: {error}"));
        if feed.cursor == after {
            break;
        }
        after = feed.cursor;
        records.extend(feed.records);
    }
    assert_eq!(after, log.durable(), "{context}");
    let mut streams: HashMap<StreamId, Vec<&Record>> = HashMap::new();
    for (index, record) in records.iter().enumerate() {
        assert_eq!(record.lsn, Lsn(index as u64 + 1), "{context}: places are dense");
        let stream = streams.entry(record.stream).or_default();
        let previous = stream.last().map_or(GENESIS, |record| record.chain);
        stream.push(record);
        let Record { stream: id, version, time, format, chain, ref payload, .. } = *record;
        assert_eq!(version.0, stream.len() as u64, "{context}: versions of {id} are dense");
        assert_eq!(chain, link(&previous, id, version, time, format, payload), "{context}: the chain of {id}");
    }
    for (id, expected) in streams {
        let read = log.read(id, Version(1), usize::MAX).unwrap_or_else(|error| panic!("{context}: {error}"));
        assert!(read.iter().eq(expected.iter().copied()), "{context}: feed and stream {id} agree");
        let head = log.head(id).expect("a stream with records has a head");
        assert!(head.version.0 >= expected.len() as u64, "{context}: the head of {id}");
        let row = log.row(id).unwrap().expect("a stream with records has a row");
        assert_eq!(*row, (expected.len() as u64).to_be_bytes(), "{context}: the row of {id}");
    }
    records
}

/// Checks that a log takes new records, and still has them and everything else after a reopening.
pub fn goes_on(disk: &SimDisk, log: Journal, context: &str) {
    let before = everything(&log, context);
    let batch: Vec<NewRecord> = (0..6)
        .map(|n| {
            let expected = log.head(stream(n)).map_or(Version::NONE, |head| head.version);
            NewRecord { stream: stream(n), expected, time: -1, format: 9, payload: payload(50, n) }
        })
        .collect();
    log.append(&batch).unwrap_or_else(|error| panic!("{context}: {error}")).expect("the heads are true");
    log.commit().unwrap_or_else(|error| panic!("{context}: {error}"));
    let after = everything(&log, context);
    assert_eq!(after[..before.len()], before[..], "{context}: what was there stays");
    assert_eq!(after.len(), before.len() + 6, "{context}");
    drop(log);
    let log = open(disk).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(log.cut(), None, "{context}: a closed store is not torn");
    assert_eq!(everything(&log, context), after, "{context}");
}
