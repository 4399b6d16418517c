//! A small store whose files are damaged or forged: its readers never panic, agree, and show no shorter log without a word.

use super::Draw;
use super::forge::{Files, Means, change};
use super::original::{ORIGINALS, Original, open, put, stream};
use crate::layout::{FRAME_HEADER, Kind, SEGMENT_HEADER};
use rejoin_store::journal::{Journal, Report, inspect};
use rejoin_store::simulated::SimDisk;
use rejoin_store::{Log, Lsn, OpenError, Record, Shard, Version};

/// What a changed store does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// Opening is refused.
    Refused,
    /// Nothing is left that tells of a store, so that a new one is made.
    Nothing,
    /// It opens, and `inspect` reports a place.
    Unreadable,
    /// Opening says what it cut off.
    Cut,
    /// All of it is in order.
    Sound,
}

/// What `inspect` says.
struct Inspected {
    report: Report,
    records: Vec<Record>,
}

/// Changes a store as the bytes say, and reads it.
///
/// # Panics
///
/// If a reader keeps a secret, or an open store does not go on.
pub fn check(data: &[u8]) -> Found {
    let mut draw = Draw(data);
    let mode = draw.byte();
    let original = &ORIGINALS[usize::from(mode & 1)];
    let means = [Means::Damage, Means::Checksums, Means::Chains, Means::Damage][usize::from(mode >> 1) % 4];
    let mut files = original.files.clone();
    change(&mut files, means, &mut draw);
    let disk = SimDisk::with_files(files.clone());
    let mut records = Vec::new();
    let report = inspect(&disk, |record| records.push(record.clone()));
    let inspected = report.map(|report| Inspected { report, records });
    let log = match open(&disk) {
        Ok(log) => log,
        Err(error) => {
            assert_eq!(disk.changes(), Vec::<String>::new(), "the refused store was changed: {error}");
            assert!(inspected.is_err(), "opening refuses what inspect finds in order: {error}");
            return Found::Refused;
        }
    };
    if let Err(OpenError::Missing { .. }) = inspected {
        let frames = |content: &[u8]| content.iter().skip(SEGMENT_HEADER).any(|byte| *byte != 0);
        let lost = files.iter().any(|(name, content)| name.ends_with(".seg") && frames(content));
        assert!(!lost, "a new store beside segments of an old one");
        return Found::Nothing;
    }
    if means == Means::Damage {
        original.compare(&log, &files);
    }
    match inspected {
        Ok(inspected) => {
            agree(&log, &inspected);
            let found = if log.cut().is_some() { Found::Cut } else { Found::Sound };
            go_on(&disk, log, inspected.report);
            found
        }
        Err(_) => {
            // What cannot be read is an error and no panic.
            let _ = (log.follow(Shard(0), Lsn(0), usize::MAX), log.read(stream(5), Version(1), 9), log.clean());
            Found::Unreadable
        }
    }
}

impl Original {
    /// Of a damaged store: what can be read is as it was written, and all of it is there that anything vouches for.
    fn compare(&self, log: &Journal, files: &Files) {
        let durable = log.durable();
        let kept = self.records.partition_point(|record| record.lsn <= durable);
        assert!(durable <= self.durable, "records of nobody");
        if let Ok(feed) = log.follow(Shard(0), Lsn(0), usize::MAX) {
            assert!(feed.records == self.records[..kept], "the feed shows other records");
        }
        if durable < self.durable {
            self.check_loss(durable, log.cut().is_some(), files);
            return;
        }
        for (stream, head) in &self.heads {
            assert_eq!(log.head(*stream), *head, "the head of {stream}");
        }
    }

    /// The end of the open segment may be lost where everything is hit that says of it that it was durable; and unless
    /// nothing but zeros is left of it, that is reported.
    fn check_loss(&self, durable: Lsn, cut: bool, files: &Files) {
        let (name, frames) = &self.open;
        let find = |files: &Files| files.iter().find(|(file, _)| file == name).map(|(_, content)| content.clone());
        let (before, after) = (find(&self.files).expect("the segment"), find(files).expect("the segment"));
        let lost = frames.iter().find(|frame| frame.kind == Kind::Batch && frame.first > durable.0);
        let lost = lost.expect("only the open segment can be cut").at;
        for frame in frames.iter().filter(|frame| frame.at >= lost && frame.synced > lost as u64) {
            let header = frame.at..frame.at + FRAME_HEADER;
            assert_ne!(before[header.clone()], after[header], "byte {} says that {lost} was durable", frame.at);
        }
        assert!(cut || after[lost..].iter().all(|byte| *byte == 0), "a shorter log from byte {lost} on, silently");
    }
}

/// The log that was opened is the one that was inspected.
fn agree(log: &Journal, inspected: &Inspected) {
    let Inspected { report, records } = inspected;
    assert_eq!(log.cut(), report.torn.as_ref(), "inspect and opening disagree");
    if log.shards() != 1 {
        return;
    }
    let feed = log.follow(Shard(0), Lsn(0), usize::MAX).expect("inspect finds in order what cannot be read").records;
    assert_eq!(feed.len() as u64, report.records + report.dead, "records that inspect did not see");
    let mut live = feed.iter().filter(|record| log.head(record.stream).is_some());
    assert!(
        records.iter().all(|record| live.any(|other| other == record)),
        "inspect shows records that the feed does not"
    );
}

/// A store that opens takes records, and is in order with them.
fn go_on(disk: &SimDisk, log: Journal, before: Report) {
    put(&log, 9, 1, 3);
    put(&log, 5, 1, 3);
    log.clean().expect("a cleaning");
    drop(log);
    let report = inspect(disk, |_| {}).expect("an opened store is in order after an append");
    assert_eq!((report.records, report.torn), (before.records + 2, None), "two records more");
    assert!(report.dead <= before.dead, "fewer that are dead");
}
