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

mod damaged;
mod script;

use damaged::{
    Found, Original, cut_everywhere, files_of, flip_every_bit, in_threads, remove_each_file, swap_all_files,
};
use rejoin_store::journal::{Journal, inspect};
use rejoin_store::simulated::{Outcome, SimDisk};
use rejoin_store::{Failure, Log, NewRecord, OpenError, Version};
use script::{open, payload, stream};
use std::sync::Arc;

const STREAMS: usize = 7;

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

/// Four segments of 4, 8, 16 and 16 kB and a spare of 16 kB, closed as a process closes it.
fn original() -> Original {
    let disk = SimDisk::new();
    drop(filled(&disk, 38_000));
    let original = Original::of(files_of(&disk), (0..STREAMS).map(stream).collect());
    let size: usize = original.files.values().map(|content| content.len()).sum();
    assert!(original.report.segments == 4 && size > 60_000, "{size} bytes");
    original
}

#[test]
fn inv_s7_every_flipped_bit_shows_or_does_no_harm() {
    flip_every_bit(&original());
}

#[test]
fn inv_s7_every_cut_shows_or_does_no_harm() {
    cut_everywhere(&original());
}

#[test]
fn inv_s7_a_missing_file_shows() {
    remove_each_file(&original());
}

#[test]
fn inv_s7_segments_that_are_swapped_or_copied_show() {
    swap_all_files(&original());
}

#[test]
fn inv_s7_a_segment_that_the_manifest_does_not_know_shows() {
    let original = original();
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
        assert_eq!(disk.changes(), Vec::<String>::new());
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
    assert_eq!(disk.changes(), Vec::<String>::new());
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
                assert_eq!(disk.changes(), Vec::<String>::new(), "bit {bit}: the refused store was changed");
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
    let original = original();
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
