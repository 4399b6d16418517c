//! What is the journal's own: openings, folds and indexes that fail, formats, settings.

mod script;

use rejoin_store::disk::{Disk, Folder};
use rejoin_store::index::{Backend, Entry, Fold, Home, IndexError, Key, KeyRange, Map, MemoryMap, Row, Table};
use rejoin_store::journal::{Cut, FORMAT_VERSION, Journal, Options, Upkeep, inspect};
use rejoin_store::simulated::{Outcome, SimDisk};
use rejoin_store::{Failure, Log, Lsn, NewRecord, OpenError, Record, StreamId, Version};
use script::{everything, goes_on, open, options, payload, stream};
use std::ops::Bound::Unbounded;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn record(n: usize, expected: u64, payload: &[u8]) -> NewRecord {
    NewRecord { stream: stream(n), expected: Version(expected), time: 0, format: 0, payload: payload.to_vec() }
}

fn put(log: &Journal, record: NewRecord) {
    log.append(&[record]).unwrap().unwrap();
    log.commit().unwrap();
}

#[test]
fn a_store_has_one_owner() {
    let disk = SimDisk::new();
    let log = open(&disk).unwrap();
    assert!(matches!(open(&disk), Err(OpenError::Locked { .. })));
    assert!(matches!(inspect(&disk, |_| {}), Err(OpenError::Locked { .. })));
    drop(log);
    open(&disk).unwrap();
}

#[test]
fn a_folder_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Folder::create(folder.path()).unwrap();
    let log = Journal::open(disk.clone(), options()).unwrap();
    assert!(matches!(Journal::open(disk.clone(), options()), Err(OpenError::Locked { .. })));
    assert!(matches!(inspect(&disk, |_| {}), Err(OpenError::Locked { .. })));
    drop(log);
    let _reader = disk.lock_read().unwrap().expect("readers share it");
    inspect(&disk, |_| {}).unwrap();
}

#[test]
fn inspect_changes_nothing_and_needs_no_right_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Folder::create(folder.path()).unwrap();
    assert!(matches!(inspect(&disk, |_| {}), Err(OpenError::Missing { .. })));
    assert_eq!(disk.list().unwrap(), [""; 0], "no lock file in a folder without a store");
    let log = Journal::open(disk.clone(), options()).unwrap();
    put(&log, record(0, 0, b"x"));
    drop(log);
    std::fs::remove_file(folder.path().join("LOCK")).unwrap();
    /// A folder that cannot be opened for writing, whoever asks.
    struct ReadOnly(Folder);
    impl Disk for ReadOnly {
        fn create(&self, name: &str) -> std::io::Result<Box<dyn rejoin_store::disk::DiskFile>> {
            panic!("{name} is created")
        }
        fn open(&self, name: &str) -> std::io::Result<Box<dyn rejoin_store::disk::DiskFile>> {
            panic!("{name} is opened for writing")
        }
        fn open_read(&self, name: &str) -> std::io::Result<Box<dyn rejoin_store::disk::DiskFile>> {
            self.0.open_read(name)
        }
        fn rename(&self, from: &str, _: &str) -> std::io::Result<()> {
            panic!("{from} is renamed")
        }
        fn remove(&self, name: &str) -> std::io::Result<()> {
            panic!("{name} is removed")
        }
        fn list(&self) -> std::io::Result<Vec<String>> {
            self.0.list()
        }
        fn sync_folder(&self) -> std::io::Result<()> {
            panic!("the folder is synced")
        }
        fn lock(&self) -> std::io::Result<Option<Box<dyn std::any::Any + Send + Sync>>> {
            panic!("the folder is locked for writing")
        }
        fn lock_read(&self) -> std::io::Result<Option<Box<dyn std::any::Any + Send + Sync>>> {
            self.0.lock_read()
        }
        fn name(&self) -> String {
            self.0.name()
        }
    }
    let report = inspect(&ReadOnly(disk.clone()), |_| {}).unwrap();
    assert_eq!((report.records, report.streams, report.segments), (1, 1, 1));
    assert!(!disk.list().unwrap().contains(&"LOCK".to_owned()));
}

#[test]
fn a_newer_format_is_refused_and_untouched() {
    let disk = SimDisk::new();
    drop(open(&disk).unwrap());
    let mut files = disk.files();
    let manifest = &mut files.iter_mut().find(|(name, _)| name == "MANIFEST").unwrap().1;
    manifest[8] = FORMAT_VERSION as u8 + 1;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&manifest[..12]), &manifest[16..]);
    manifest[12..16].copy_from_slice(&crc.to_le_bytes());
    let disk = SimDisk::with_files(files.clone());
    assert!(matches!(open(&disk), Err(OpenError::NewerFormat { .. })));
    assert!(matches!(inspect(&disk, |_| {}), Err(OpenError::NewerFormat { .. })));
    assert_eq!((disk.operations(), disk.files()), (0, files));
}

#[test]
fn settings_that_make_no_store_are_refused() {
    for wrong in [
        Options { shards: 0, ..options() },
        Options { first_segment: 100, ..options() },
        Options { first_segment: 8_192, largest_segment: 4_096, ..options() },
    ] {
        let disk = SimDisk::new();
        assert!(matches!(Journal::open(disk.clone(), wrong), Err(OpenError::Settings(_))));
        assert!(disk.files().is_empty());
    }
}

#[test]
fn a_new_store_draws_its_own_identity() {
    let manifest = || {
        let disk = SimDisk::new();
        drop(Journal::open(disk.clone(), Options { store_id: None, ..options() }).unwrap());
        disk.files().into_iter().find(|(name, _)| name == "MANIFEST").unwrap().1
    };
    assert_ne!(manifest()[16..32], manifest()[16..32]);
}

#[test]
fn a_cut_says_where_and_how_much() {
    let disk = SimDisk::new();
    let log = open(&disk).unwrap();
    put(&log, record(0, 0, b"acknowledged"));
    log.seal().unwrap();
    drop(log);
    let mut files = disk.files();
    let segment = &mut files.iter_mut().find(|(name, _)| name == "000000000001.seg").unwrap().1;
    let end = segment.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let end = end.next_multiple_of(8);
    segment[end..end + 20].fill(7);
    segment[3_000] = 1;
    let disk = SimDisk::with_files(files);
    let expected = Cut { file: "000000000001.seg".to_owned(), offset: end as u64, bytes: 21 };
    assert_eq!(inspect(&disk, |_| {}).unwrap().torn.as_ref(), Some(&expected));
    let log = open(&disk).unwrap();
    assert_eq!(log.cut(), Some(&expected));
    assert_eq!(everything(&log, "behind the cut").len(), 1);
    goes_on(&disk, log, "behind the cut");
    assert_eq!(inspect(&disk, |_| {}).unwrap().torn, None, "it is cut once");
}

#[test]
fn a_frame_that_an_earlier_opening_gave_up_does_not_come_back() {
    // Two histories of one store. In the first, opening 2 writes two commits that are lost with a failing disk; in the
    // second, opening 3 writes over the first of them, and the disk brings back the rest.
    let disk = SimDisk::new();
    put(&open(&disk).unwrap(), record(0, 0, b"before"));
    let first = disk.crash(Outcome::Lost, 0);
    let log = open(&first).unwrap();
    put(&log, record(1, 0, b"one"));
    put(&log, record(1, 1, b"two"));
    let given_up = first.crash(Outcome::Lost, 0).files();
    let second = disk.crash(Outcome::Lost, 0);
    drop(open(&second).unwrap());
    let log = open(&second).unwrap();
    put(&log, record(2, 0, b"new"));
    let mut files = second.crash(Outcome::Lost, 0).files();
    let segment = |files: &[(String, Vec<u8>)]| files.iter().position(|(name, _)| name.ends_with("1.seg")).unwrap();
    let (index, old) = (segment(&files), &given_up[segment(&given_up)].1);
    let content = &mut files[index].1;
    let end = (content.iter().rposition(|byte| *byte != 0).unwrap() + 1).next_multiple_of(8);
    content[end..].copy_from_slice(&old[end..]);
    assert!(content[end..].starts_with(b"RJB1"), "the old frame follows at once");
    let disk = SimDisk::with_files(files);
    let log = open(&disk).unwrap();
    assert!(log.cut().is_some());
    assert_eq!(everything(&log, "spliced").len(), 2);
    assert_eq!((log.head(stream(1)), log.head(stream(2)).unwrap().version), (None, Version(1)));
    goes_on(&disk, log, "spliced");
}

/// A fold that panics when it is told to.
struct Brittle(AtomicBool);

impl Fold for Brittle {
    fn version(&self) -> u32 {
        1
    }
    fn fold(&self, _: Option<&[u8]>, records: &[Record]) -> Option<Row> {
        let bad = records.iter().any(|record| record.payload == b"bad");
        assert!(!self.0.load(Ordering::SeqCst) || !bad, "a panic that the test asks for");
        records.last().map(|record| Row::from(&record.payload[..]))
    }
    fn keys(&self, _: StreamId, _: &[u8]) -> Vec<(Table, Key)> {
        Vec::new()
    }
}

#[test]
fn inv_s10_a_fold_that_panics_costs_the_index_and_not_the_log() {
    let disk = SimDisk::new();
    let fold = Arc::new(Brittle(AtomicBool::new(true)));
    let options = Options { fold: fold.clone(), ..options() };
    let log = Journal::open(disk.clone(), options.clone()).unwrap();
    put(&log, record(0, 0, b"good"));
    put(&log, record(0, 1, b"bad"));
    put(&log, record(1, 0, b"more"));
    assert_eq!(log.read(stream(0), Version(1), 9).unwrap().len(), 2);
    let told = log.row(stream(0)).unwrap_err().to_string();
    assert!(told.contains("a panic that the test asks for"), "{told}");
    drop(log);
    fold.0.store(false, Ordering::SeqCst);
    let log = Journal::open(disk, options).unwrap();
    assert_eq!(log.row(stream(0)).unwrap(), Some(Row::from(*b"bad")));
}

#[test]
fn a_panic_with_uncommitted_records_does_not_commit_them() {
    let disk = SimDisk::new();
    let options = Options { fold: Arc::new(Brittle(AtomicBool::new(true))), ..options() };
    let fails = AssertUnwindSafe(|| {
        let log = Journal::open(disk.clone(), options.clone()).unwrap();
        put(&log, record(0, 0, b"good"));
        // Committed by nobody, nor by the log's end while its thread panics.
        log.append(&[record(0, 1, b"bad")]).unwrap().unwrap();
        panic!("elsewhere");
    });
    assert!(catch_unwind(fails).is_err());
    let log = Journal::open(disk, options).unwrap();
    assert_eq!(log.read(stream(0), Version(1), 9).unwrap().len(), 1);
}

/// An index that fails when it is told to.
#[derive(Default)]
struct Failing {
    map: MemoryMap,
    reads: AtomicBool,
    writes: AtomicBool,
}

/// Gives the same one at each opening.
struct FailingLibrary(Arc<Failing>);

struct FailingMap(Arc<Failing>);

impl Backend for FailingLibrary {
    fn name(&self) -> &'static str {
        "failing"
    }
    fn open(&self, _: &Path) -> Result<Box<dyn Map>, IndexError> {
        Ok(Box::new(FailingMap(self.0.clone())))
    }
}

fn answer(fails: &AtomicBool) -> Result<(), IndexError> {
    if fails.load(Ordering::SeqCst) { Err(IndexError("broken".to_owned())) } else { Ok(()) }
}

impl Map for FailingMap {
    fn get(&self, key: &[u8]) -> Result<Option<Row>, IndexError> {
        answer(&self.0.reads)?;
        self.0.map.get(key)
    }
    fn write(&self, entries: Vec<Entry>) -> Result<(), IndexError> {
        answer(&self.0.writes)?;
        self.0.map.write(entries)
    }
    fn range(&self, range: KeyRange<'_>, limit: usize) -> Result<Vec<(Key, Row)>, IndexError> {
        answer(&self.0.reads)?;
        self.0.map.range(range, limit)
    }
    fn flush(&self) -> Result<(), IndexError> {
        Ok(())
    }
}

#[test]
fn inv_s10_an_index_that_fails_stops_no_commit_and_leaves_no_wrong_row() {
    for in_reads in [true, false] {
        let disk = SimDisk::new();
        let index = Arc::new(Failing::default());
        let folder = tempfile::tempdir().unwrap();
        let home = Home::Folder { backend: Arc::new(FailingLibrary(index.clone())), path: folder.path().join("index") };
        let log = Journal::open(disk.clone(), Options { index: home, ..options() }).unwrap();
        // The rows of these streams end up in footers of several segments.
        for version in 0..10 {
            for n in 0..4 {
                put(&log, record(n, version, &payload(400, n)));
            }
        }
        if in_reads { &index.reads } else { &index.writes }.store(true, Ordering::SeqCst);
        for version in 10..40 {
            for n in 0..4 {
                put(&log, record(n, version, &payload(400, n)));
            }
        }
        assert!(matches!(log.row(stream(0)), Err(Failure::Index(_))), "whoever asks is told");
        assert!(matches!(log.scan(Table(0), (Unbounded, Unbounded), 9), Err(Failure::Index(_))));
        drop(log);
        // Which compares each row with the number of the stream's records.
        let log = open(&disk).unwrap();
        assert_eq!(everything(&log, "a new index").len(), 160);
        goes_on(&disk, log, "a new index");
        inspect(&disk, |_| {}).unwrap();
    }
}

/// The longest payload of each stream, in another version than the script's fold.
struct Longest;

impl Fold for Longest {
    fn version(&self) -> u32 {
        2
    }
    fn fold(&self, previous: Option<&[u8]>, records: &[Record]) -> Option<Row> {
        let longest = previous.and_then(|row| row.try_into().ok()).map_or(0, u64::from_le_bytes);
        let longest = records.iter().map(|record| record.payload.len() as u64).fold(longest, u64::max);
        Some(Row::from(longest.to_le_bytes()))
    }
    fn keys(&self, stream: StreamId, row: &[u8]) -> Vec<(Table, Key)> {
        vec![(Table(7), [row, &stream.0].concat())]
    }
}

#[test]
fn rows_of_another_fold_are_made_anew() {
    let disk = SimDisk::new();
    let log = open(&disk).unwrap();
    for version in 0..30 {
        put(&log, record(0, version, &payload(if version == 3 { 900 } else { 500 }, 0)));
        put(&log, record(1, version, &payload(100, 1)));
    }
    drop(log);
    for _ in 0..2 {
        let log = Journal::open(disk.clone(), Options { fold: Arc::new(Longest), ..options() }).unwrap();
        assert_eq!(*log.row(stream(0)).unwrap().unwrap(), 900u64.to_le_bytes());
        assert_eq!(log.scan(Table(7), (Unbounded, Unbounded), 9).unwrap().len(), 2);
        let version = log.head(stream(1)).unwrap().version;
        for more in 0..20 {
            put(&log, record(1, version.0 + more, &payload(500, 1)));
        }
        assert_eq!(*log.row(stream(1)).unwrap().unwrap(), 500u64.to_le_bytes());
    }
    // And back: footers of both folds are in the log now.
    let log = open(&disk).unwrap();
    assert_eq!(everything(&log, "the first fold again").len(), 100);
}

#[test]
fn a_background_spare_is_taken_over_and_given_up_at_once() {
    let folder = tempfile::tempdir().unwrap();
    // Large enough that it is not done when the store is closed.
    let options = Options { largest_segment: 256 << 20, first_segment: 4 << 20, ..Options::default() };
    assert_eq!(options.upkeep, Upkeep::Background);
    for version in 0..5 {
        let log = Journal::open(Folder::create(folder.path()).unwrap(), options.clone()).unwrap();
        put(&log, record(0, version, &payload(2_000_000, 0)));
        put(&log, record(1, version, b"small"));
    }
    let log = Journal::open(Folder::create(folder.path()).unwrap(), options).unwrap();
    assert_eq!(log.cut(), None);
    assert_eq!(log.read(stream(0), Version(1), 9).unwrap().len(), 5);
    assert_eq!(log.durable(), Lsn(10));
}
