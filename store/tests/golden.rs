//! Small stores of every format version that was ever written, kept for ever in `golden`, and read by this program.

mod script;

use rejoin_store::journal::{Journal, Options, inspect};
use rejoin_store::simulated::SimDisk;
use rejoin_store::{Head, Log, Lsn, NewRecord, TOMBSTONE, Version};
use script::{open, options, payload, stream};
use std::path::{Path, PathBuf};

fn folder(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version)
}

/// The files of a golden store. Never change them: a new format gets a new folder, and all are read for ever.
fn golden(version: &str) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder(version)).unwrap().map(|entry| entry.unwrap());
    let files = entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()));
    let mut files: Vec<_> = files.collect();
    files.sort();
    files
}

fn record(n: usize, expected: u64, payload: Vec<u8>) -> NewRecord {
    NewRecord { stream: stream(n), expected: Version(expected), time: -1, format: 7, payload }
}

fn put(log: &Journal, batch: &[NewRecord]) {
    log.append(batch).unwrap().unwrap();
    log.commit().unwrap();
}

#[test]
fn format_version_1_is_read_as_ever() {
    let disk = SimDisk::with_files(golden("v1"));
    let report = inspect(&disk, |_| {}).unwrap();
    assert_eq!((report.segments, report.records, report.streams, report.torn), (2, 7, 2, None));
    // The first opening makes version 2 of it.
    for _ in 0..2 {
        let log = open(&disk).unwrap();
        assert_eq!((log.shards(), log.cut()), (2, None));
        assert_eq!(log.read(stream(0), Version(1), 9).unwrap()[0].payload, b"first");
        let last = log.read(stream(1), Version(5), 9).unwrap().remove(0);
        assert_eq!((last.lsn, last.time, last.format, last.payload), (Lsn(7), -1, 7, payload(100, 4)));
        drop(log);
        assert_eq!(inspect(&disk, |_| {}).unwrap().records, 7);
    }
}

/// A closed store of format version 2, in two openings: its first segment is gone, its second was rewritten, its third has a
/// footer and a tombstone, its fourth is open and has another.
fn store_of_version_2() -> Vec<(String, Vec<u8>)> {
    let disk = SimDisk::new();
    let options = Options { first_segment: 1_024, largest_segment: 1_024, shards: 2, ..options() };
    let log = Journal::open(disk.clone(), options.clone()).unwrap();
    put(&log, &[record(0, 0, payload(300, 0))]);
    put(&log, &[record(0, 1, payload(300, 1))]);
    put(&log, &[record(2, 0, payload(90, 2)), record(0, 2, payload(500, 3)), record(2, 1, Vec::new())]);
    put(&log, &[NewRecord { format: TOMBSTONE, ..record(0, 3, Vec::new()) }, record(4, 0, payload(400, 4))]);
    log.seal().unwrap();
    log.clean().unwrap();
    drop(log);
    let log = Journal::open(disk.clone(), options).unwrap();
    put(&log, &[record(0, 0, payload(400, 5))]);
    put(&log, &[NewRecord { format: TOMBSTONE, ..record(4, 1, Vec::new()) }, record(0, 1, b"again".to_vec())]);
    drop(log);
    disk.files().into_iter().filter(|(name, _)| name != "spare").collect()
}

#[test]
fn format_version_2_is_written_as_ever() {
    let written = store_of_version_2();
    if std::env::var_os("REJOIN_WRITE_GOLDEN").is_some() {
        std::fs::create_dir_all(folder("v2")).unwrap();
        written.iter().for_each(|(name, content)| std::fs::write(folder("v2").join(name), content).unwrap());
    }
    let kept = golden("v2");
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&kept), ["000000000002-1.seg", "000000000003.seg", "000000000004.seg", "MANIFEST"]);
    assert_eq!(names(&kept), names(&written));
    for ((name, kept), (_, written)) in kept.iter().zip(&written) {
        let differs = kept.iter().zip(written).position(|(kept, written)| kept != written);
        assert_eq!((differs, kept.len()), (None, written.len()), "{name} is written in another way, at this byte");
    }
}

#[test]
fn format_version_2_is_read_as_ever() {
    let disk = SimDisk::with_files(golden("v2"));
    let report = inspect(&disk, |_| {}).unwrap();
    assert_eq!((report.segments, report.records, report.streams, report.torn), (3, 4, 2, None));
    assert_eq!(report.dead, 3, "two tombstones, and what the second one ended");
    for _ in 0..2 {
        let log = open(&disk).unwrap();
        assert_eq!((log.shards(), log.cut(), log.durable()), (2, None, Lsn(10)));
        let head = |n| log.head(stream(n)).map(|Head { version, lsn }| (version.0, lsn.0));
        assert_eq!((head(0), head(2), head(4)), (Some((2, 10)), Some((2, 5)), None));
        let again = log.read(stream(0), Version(1), 9).unwrap();
        assert_eq!((&again[0].payload, &again[1].payload[..]), (&payload(400, 5), &b"again"[..]));
        let kept = log.read(stream(2), Version(1), 9).unwrap();
        assert_eq!((kept[0].lsn, &kept[0].payload, &kept[1].payload), (Lsn(3), &payload(90, 2), &Vec::new()));
        assert_eq!(log.row(stream(2)).unwrap().as_deref(), Some(&2u64.to_be_bytes()[..]));
        let feed = log.follow(stream(0).shard(2), Lsn(0), 99).unwrap().records;
        assert!(feed.iter().all(|record| record.lsn > Lsn(2)), "what is gone is gone");
        drop(log);
        assert_eq!(inspect(&disk, |_| {}).unwrap().records, 4);
    }
}
