//! A closed store of some 64 kB, damaged in every way that one change can: each bit of each file flipped, each file
//! cut off at each length, removed, replaced by another, put in another's place.
//!
//! Each time the damage must show (opening refuses and touches nothing, or says what it cut, or reading fails) or do
//! no harm: every record reads back as it was written, by feed and by stream, and `inspect` finds the same.
//! A shorter log without a word, or a panic, is what must never be.
//!
//! What is run is said on stdout. By default each bit of the manifest and of the segments is flipped, and each 16th
//! of the spare, into which nobody looks; `REJOIN_DAMAGE=all` flips each bit of the spare too, and reads all streams
//! after each flip instead of after each 64th.

mod script;

use rejoin_store::journal::{Journal, Report, inspect};
use rejoin_store::simulated::{Outcome, SimDisk};
use rejoin_store::{Failure, Log, Lsn, NewRecord, OpenError, Record, Shard, Version};
use script::{open, payload, stream};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

/// Shared, since each change is to one of them.
type Files = BTreeMap<String, Arc<Vec<u8>>>;

fn files_of(disk: &SimDisk) -> Files {
    disk.files().into_iter().map(|(name, content)| (name, Arc::new(content))).collect()
}

const STREAMS: usize = 7;

/// A store as it lies on the disk, and what is in it.
struct Original {
    files: Files,
    records: Vec<Record>,
    report: Report,
}

/// What a damaged store does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    /// Opening was refused.
    Refused,
    /// Opening said what it cut off.
    Cut,
    /// It opens, and `inspect` or a reader reports the place.
    Unreadable,
    /// Everything is as it was.
    Harmless,
}

/// Appends until some `bytes` are written, one to three records to a commit, in one batch or one each. Returns the log
/// and the number of records of the last commit.
fn filled(disk: &SimDisk, bytes: usize) -> (Journal, u64) {
    let log = open(disk).expect("a new store");
    let mut versions = [0; 5];
    let (mut written, mut n) = (0, 0);
    // Streams that end in the first segment: only its footer says how they stand.
    for to in 5..STREAMS {
        let payload = payload(20, to);
        let batch = [NewRecord { stream: stream(to), expected: Version::NONE, time: 0, format: 0, payload }];
        log.append(&batch).expect("room").expect("no conflict");
    }
    while written < bytes {
        let records = (0..=n % 3).map(|part| {
            let to = (n + part * 2) % 5;
            versions[to] += 1;
            let (expected, payload) =
                (Version(versions[to] - 1), payload([900, 350, 1_700, 5, 620][(n + part) % 5], n));
            NewRecord { stream: stream(to), expected, time: n as i64, format: 1, payload }
        });
        let records: Vec<NewRecord> = records.collect();
        written += records.iter().map(|record| record.payload.len() + 110).sum::<usize>();
        for batch in records.chunks(if n % 2 == 0 { 3 } else { 1 }) {
            log.append(batch).expect("room").expect("no conflict");
        }
        log.commit().expect("a commit");
        n += 1;
    }
    (log, (n as u64 - 1) % 3 + 1)
}

impl Original {
    /// Four segments of 4, 8, 16 and 16 kB and a spare of 16 kB, closed as a process closes it.
    fn new() -> Original {
        let disk = SimDisk::new();
        drop(filled(&disk, 38_000));
        let original = Original::of(files_of(&disk));
        let size: usize = original.files.values().map(|content| content.len()).sum();
        assert!(original.report.segments == 4 && size > 60_000, "{size} bytes");
        original
    }

    fn of(files: Files) -> Original {
        let mut records = Vec::new();
        let disk = SimDisk::with_files(files.clone());
        let report = inspect(&disk, |record| records.push(record.clone())).expect("a store in order");
        assert_eq!((report.records, &report.torn), (records.len() as u64, &None));
        Original { files, records, report }
    }

    fn with(&self, change: impl FnOnce(&mut Files)) -> Files {
        let mut files = self.files.clone();
        change(&mut files);
        files
    }

    fn with_content(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Files {
        self.with(|files| change(Arc::make_mut(files.get_mut(name).expect("a file of the store"))))
    }

    /// Opens and reads a damaged store, and checks that it keeps no secret.
    fn judge(&self, files: &Files, read_all: bool, context: &dyn Fn() -> String) -> Found {
        let disk = SimDisk::with_files(files.clone());
        let mut inspected = Vec::new();
        let report = inspect(&disk, |record| inspected.push(record.lsn));
        let log = match open(&disk) {
            Ok(log) => log,
            Err(OpenError::Failure(_) | OpenError::NewerFormat { .. }) => {
                assert_eq!(disk.operations(), 0, "{}: the refused store was changed", context());
                assert!(!read_all || files_of(&disk) == *files, "{}: the refused store was changed", context());
                assert!(report.is_err(), "{}: opening refuses what inspect finds in order", context());
                return Found::Refused;
            }
            Err(error) => panic!("{}: not an answer to damage: {error}", context()),
        };
        let torn = report.as_ref().ok().and_then(|report| report.torn.as_ref());
        assert_eq!(log.cut().is_some(), torn.is_some(), "{}: inspect and opening disagree", context());
        let readable = self.compare(&log, read_all, context);
        if log.cut().is_some() {
            // What was sealed is never cut; what is, is no record.
            assert!(readable, "{}", context());
            return Found::Cut;
        }
        match report {
            Ok(report) if readable => {
                assert_eq!((&report, inspected.len()), (&self.report, self.records.len()), "{}", context());
                assert!(read_all || self.compare(&log, true, context), "{}", context());
                Found::Harmless
            }
            Ok(_) => panic!("{}: inspect finds in order what cannot be read", context()),
            Err(_) => Found::Unreadable,
        }
    }

    /// Whether the whole log can be read; what can be read must be as it was written.
    fn compare(&self, log: &Journal, all_streams: bool, context: &dyn Fn() -> String) -> bool {
        assert_eq!(log.durable(), Lsn(self.records.len() as u64), "{}: a shorter log, silently", context());
        let mut readable = match log.follow(Shard(0), Lsn(0), usize::MAX) {
            Ok(feed) => {
                assert!(feed.records == self.records, "{}: the feed shows other records", context());
                true
            }
            Err(_) => false,
        };
        for n in 0..if all_streams { STREAMS } else { 0 } {
            let count = self.records.iter().filter(|record| record.stream == stream(n)).count() as u64;
            assert_eq!(log.head(stream(n)).map(|head| head.version), Some(Version(count)), "{}: head {n}", context());
            assert_eq!(
                log.row(stream(n)).unwrap().as_deref(),
                Some(&count.to_be_bytes()[..]),
                "{}: row {n}",
                context()
            );
            match log.read(stream(n), Version(1), usize::MAX) {
                Ok(found) => {
                    let expected = self.records.iter().filter(|record| record.stream == stream(n));
                    assert!(found.iter().eq(expected), "{}: stream {n} shows other records", context());
                }
                Err(_) => readable = false,
            }
        }
        readable
    }
}

/// Judges the numbers below `count` in several threads, and counts what was found.
fn in_threads(count: usize, judge: impl Fn(usize) -> Option<Found> + Sync) -> BTreeMap<Found, u64> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut counts = BTreeMap::new();
    thread::scope(|scope| {
        let judge = &judge;
        let work = |first: usize| move || (first..count).step_by(threads).filter_map(judge).collect::<Vec<Found>>();
        let workers: Vec<_> = (0..threads).map(|first| scope.spawn(work(first))).collect();
        for found in workers.into_iter().flat_map(|worker| worker.join().expect("no panic")) {
            *counts.entry(found).or_default() += 1;
        }
    });
    counts
}

#[test]
fn inv_s7_every_flipped_bit_shows_or_does_no_harm() {
    let original = Original::new();
    let all = std::env::var("REJOIN_DAMAGE").is_ok_and(|value| value == "all");
    let (mut flips, mut skipped) = (0, 0);
    for (name, content) in &original.files {
        let step = if name == "spare" && !all { 16 } else { 1 };
        let counts = in_threads(content.len() * 8, |bit| {
            // A step of 16 would hit the same bit of each second byte only.
            if (bit / 16 + bit) % step != 0 {
                return None;
            }
            let flipped = original.with_content(name, |content| content[bit / 8] ^= 1 << (bit % 8));
            Some(original.judge(&flipped, all || bit % 64 == 0, &|| format!("bit {bit} of {name}")))
        });
        let run: u64 = counts.values().sum();
        println!("{name}: {run} of {} bits flipped: {counts:?}", content.len() * 8);
        flips += run;
        skipped += content.len() as u64 * 8 - run;
        let found = |found| counts.get(&found).copied().unwrap_or(0);
        match name.as_str() {
            "MANIFEST" => assert_eq!(found(Found::Refused), run, "every bit of the manifest counts"),
            "spare" => assert_eq!(found(Found::Harmless), run, "nobody reads the spare"),
            // The first 64 bytes at least.
            _ => assert!(found(Found::Refused) >= 512, "{name}: {counts:?}"),
        }
    }
    println!("{flips} flips run under inspect and open, {skipped} NOT RUN (bits of the spare)");
}

#[test]
fn inv_s7_every_cut_shows_or_does_no_harm() {
    let original = Original::new();
    for (name, content) in &original.files {
        let counts = in_threads(content.len(), |length| {
            let cut = original.with_content(name, |content| content.truncate(length));
            Some(original.judge(&cut, length % 64 == 0, &|| format!("{name} cut to {length} bytes")))
        });
        println!("{name}: cut to each of {} lengths: {counts:?}", content.len());
        let expected = if name == "spare" { Found::Harmless } else { Found::Refused };
        assert_eq!(counts, BTreeMap::from([(expected, content.len() as u64)]), "{name}");
    }
}

#[test]
fn inv_s7_a_missing_file_shows() {
    let original = Original::new();
    for name in original.files.keys() {
        let left = original.with(|files| drop(files.remove(name)));
        let found = original.judge(&left, true, &|| format!("{name} removed"));
        assert_eq!(found, if name == "spare" { Found::Harmless } else { Found::Refused }, "{name} removed");
    }
}

#[test]
fn inv_s7_segments_that_are_swapped_or_copied_show() {
    let original = Original::new();
    let pairs = original.files.iter().flat_map(|a| original.files.iter().map(move |b| (a, b)));
    for ((a, content), (b, other)) in pairs.filter(|(a, b)| a.0 != b.0) {
        let copied = original.with(|files| drop(files.insert(a.clone(), other.clone())));
        let found = original.judge(&copied, true, &|| format!("{a} is a copy of {b}"));
        assert_eq!(found, if a == "spare" { Found::Harmless } else { Found::Refused }, "{a} is a copy of {b}");
        let mut swapped = copied;
        swapped.insert(b.clone(), content.clone());
        let found = original.judge(&swapped, true, &|| format!("{a} and {b} are swapped"));
        assert_eq!(found, Found::Refused, "{a} and {b} are swapped");
    }
}

#[test]
fn inv_s7_a_segment_that_the_manifest_does_not_know_shows() {
    let original = Original::new();
    for (name, content) in original.files.iter().filter(|(name, _)| name.ends_with(".seg")) {
        let more = original.with(|files| drop(files.insert("000000000005.seg".to_owned(), content.clone())));
        let found = original.judge(&more, true, &|| format!("{name} copied to the end"));
        assert_eq!(found, Found::Refused, "{name} copied to the end");
    }
}

#[test]
fn inv_s7_a_manifest_from_an_old_copy_shows() {
    // Each manifest that the store ever had, with the segments of the last: of earlier openings, and of the last
    // opening before it began more segments.
    let disk = SimDisk::new();
    let mut manifests = Vec::new();
    for opening in 0..3 {
        let log = open(&disk).expect("a store in order");
        for n in 0..8 {
            let expected = Version(opening * 8 + n);
            let batch = [NewRecord { stream: stream(0), expected, time: 0, format: 0, payload: payload(1_500, 0) }];
            log.append(&batch).expect("room").expect("no conflict");
            log.commit().expect("a commit");
            manifests.push(files_of(&disk)["MANIFEST"].clone());
        }
    }
    manifests.dedup();
    let last = manifests.pop().expect("the manifest");
    assert!(manifests.len() > 4, "three openings and some segments, but {} manifests", manifests.len());
    let mut files = files_of(&disk);
    for (age, manifest) in manifests.into_iter().enumerate() {
        assert_ne!(manifest, last);
        files.insert("MANIFEST".to_owned(), manifest);
        let disk = SimDisk::with_files(files.clone());
        assert!(matches!(open(&disk), Err(OpenError::Failure(Failure::Damaged(_)))), "manifest {age} of its life");
        assert!(inspect(&disk, |_| {}).is_err(), "manifest {age} of its life");
        assert_eq!(disk.operations(), 0);
    }
}

#[test]
fn inv_s7_an_old_manifest_is_not_taken_for_a_torn_commit() {
    let disk = SimDisk::new();
    drop(open(&disk).expect("a new store"));
    let manifest = files_of(&disk)["MANIFEST"].clone();
    let log = open(&disk).expect("a store in order");
    let batch = [NewRecord { stream: stream(0), expected: Version(0), time: 0, format: 0, payload: payload(9, 0) }];
    log.append(&batch).expect("room").expect("no conflict");
    log.commit().expect("a commit");
    // One commit, no seal: nothing vouches for it but the opening in which it was written.
    let mut files = files_of(&disk.crash(Outcome::Lost, 0));
    files.insert("MANIFEST".to_owned(), manifest);
    let disk = SimDisk::with_files(files);
    match open(&disk) {
        Err(OpenError::Failure(Failure::Damaged(damage))) => assert_eq!(damage.file, "MANIFEST"),
        Err(error) => panic!("not an answer to damage: {error}"),
        Ok(log) => panic!("it opens, with {:?}", log.cut()),
    }
    assert_eq!(disk.operations(), 0);
}

#[test]
fn inv_s7_of_an_unsealed_log_only_the_last_commit_can_be_cut() {
    let disk = SimDisk::new();
    let (log, last) = filled(&disk, 9_000);
    let whole = log.durable();
    let crashed = files_of(&disk.crash(Outcome::Lost, 0));
    let (tail, content) = crashed.iter().rfind(|(name, _)| name.ends_with(".seg")).expect("a segment");
    let end = content.iter().rposition(|byte| *byte != 0).expect("it is not empty") + 1;
    let counts = in_threads(end * 8, |bit| {
        let mut files = crashed.clone();
        Arc::make_mut(files.get_mut(tail).expect("the segment"))[bit / 8] ^= 1 << (bit % 8);
        let disk = SimDisk::with_files(files);
        match open(&disk) {
            Err(OpenError::Failure(_)) => {
                assert_eq!(disk.operations(), 0, "bit {bit}: the refused store was changed");
                Some(Found::Refused)
            }
            Err(error) => panic!("bit {bit}: not an answer to damage: {error}"),
            Ok(log) => {
                let lost = whole.0 - log.durable().0;
                assert!(lost == 0 || log.cut().is_some(), "bit {bit}: {lost} records are gone silently");
                assert!(lost <= last, "bit {bit}: {lost} records are gone, and the last commit had {last}");
                Some(if log.cut().is_some() { Found::Cut } else { Found::Harmless })
            }
        }
    });
    println!("{tail}: {} bits flipped: {counts:?}", end * 8);
    assert!(counts[&Found::Refused] > 1_000 && counts[&Found::Cut] > 1_000);
}

#[test]
fn inv_s7_a_full_segment_is_sealed_like_any_other() {
    // Last records of all lengths, so that the segment has room left for a batch, for a seal only, and for neither.
    for length in (2_000..2_600).step_by(8) {
        let disk = SimDisk::new();
        let log = open(&disk).expect("a new store");
        for (version, length) in [700, 700, length].into_iter().enumerate() {
            let expected = Version(version as u64);
            let batch = [NewRecord { stream: stream(0), expected, time: 0, format: 0, payload: payload(length, 1) }];
            log.append(&batch).expect("room").expect("no conflict");
            log.commit().expect("a commit");
        }
        drop(log);
        let mut files = disk.files();
        let segment = files.iter_mut().rfind(|(name, _)| name.ends_with(".seg")).expect("a segment");
        let content = payload(length, 1);
        let at = segment.1.windows(length).position(|window| window == content).expect("the last record");
        segment.1[at + length / 2] ^= 1;
        assert!(open(&SimDisk::with_files(files)).is_err(), "the last record, of {length} bytes, can be cut");
    }
}

#[test]
fn a_damaged_spare_does_no_harm_when_it_becomes_a_segment() {
    let original = Original::new();
    for at in [0, 63, 64, 100, 5_000, 16_383] {
        let files = original.with_content("spare", |content| content[at] = 0xff);
        let disk = SimDisk::with_files(files);
        let log = open(&disk).expect("a store in order");
        let mut before = original.records.len();
        for _ in 0..20 {
            let head = log.head(stream(0)).expect("a stream").version;
            let record = NewRecord { stream: stream(0), expected: head, time: 0, format: 0, payload: payload(999, at) };
            log.append(&[record]).unwrap().unwrap();
            log.commit().unwrap();
            before += 1;
        }
        let disk = disk.crash(Outcome::Lost, 0);
        let log = open(&disk).unwrap_or_else(|error| panic!("byte {at} of the spare: {error}"));
        assert_eq!(script::everything(&log, "after the spare").len(), before);
    }
}
