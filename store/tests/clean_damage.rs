//! A store of some 60 kB of which parts were deleted and cleaned away, damaged as `damage.rs` does it; and files of earlier
//! times put back.

mod damaged;
mod lives;
mod script;

use damaged::{Files, Found, Original, cut_everywhere, files_of, flip_every_bit, remove_each_file, swap_all_files};
use lives::{new, tombstone};
use rejoin_store::journal::Journal;
use rejoin_store::simulated::SimDisk;
use rejoin_store::{Log, NewRecord, StreamId};
use script::{open, payload, stream};
use std::sync::Arc;

const STREAMS: usize = 12;

fn put(log: &Journal, batch: &[NewRecord]) {
    log.append(batch).expect("room").expect("no conflict");
    log.commit().expect("a commit");
}

/// A store, and all that its folder held at some time: the folder before the cleaning, and each manifest.
struct Past {
    original: Original,
    before: Files,
    manifests: Vec<Arc<Vec<u8>>>,
}

/// Segments of 4, 8, 16, 16 and 16 kB: one is gone, one rewritten, one rewritten twice; tombstones in a cleaned one, in one
/// that is not, and in the open one.
fn past() -> Past {
    let disk = SimDisk::new();
    let mut manifests = Vec::new();
    let mut keep = |disk: &SimDisk| manifests.push(files_of(disk)["MANIFEST"].clone());
    let log = open(&disk).expect("a new store");
    let mut versions = [0; STREAMS];
    let mut more = |log: &Journal, to: usize, length: usize| {
        put(log, &[new(stream(to), versions[to], payload(length, to + versions[to] as usize))]);
        versions[to] += 1;
    };
    // The first segment: streams 0 and 1. Then 2 to 6, in turn, over three segments. Then 7 to 11.
    (0..8).for_each(|n| more(&log, n % 2, 400));
    (0..25).for_each(|n| more(&log, 2 + n % 5, 500 + n * 7));
    keep(&disk);
    let before = {
        let ends: Vec<NewRecord> = [0, 1, 2, 3, 4].map(|n| tombstone(stream(n), if n < 2 { 4 } else { 5 })).into();
        put(&log, &ends);
        (0..10).for_each(|n| more(&log, 7 + n % 5, 600));
        keep(&disk);
        log.seal().expect("a seal");
        files_of(&disk)
    };
    log.clean().expect("a cleaning");
    keep(&disk);
    put(&log, &[tombstone(stream(5), 5), new(stream(5), 0, payload(300, 5))]);
    log.seal().expect("a seal");
    log.clean().expect("a cleaning");
    keep(&disk);
    (0..6).for_each(|n| more(&log, 7 + n % 5, 600));
    put(&log, &[tombstone(stream(11), versions[11])]);
    drop(log);
    drop(open(&disk).expect("a store in order"));
    let last = files_of(&disk)["MANIFEST"].clone();
    manifests.retain(|manifest| *manifest != last);
    let streams: Vec<StreamId> = (0..STREAMS).map(stream).collect();
    Past { original: Original::of(files_of(&disk), streams), before, manifests }
}

#[test]
fn the_store_has_what_is_to_be_damaged() {
    let Original { files, report, .. } = past().original;
    let sizes: Vec<_> = files.iter().map(|(name, content)| (name.clone(), content.len())).collect();
    println!("{sizes:?} {report:?}");
    assert!(sizes.iter().map(|(_, size)| size).sum::<usize>() <= 64 << 10, "{sizes:?}");
    assert!(!sizes.iter().any(|(name, _)| name.starts_with("000000000001")), "one is gone: {sizes:?}");
    assert!(sizes.iter().any(|(name, _)| name.ends_with("-1.seg")), "{sizes:?}");
    assert!(report.dead > 1, "{report:?}");
}

#[test]
fn inv_s7_every_flipped_bit_of_a_cleaned_store_shows_or_does_no_harm() {
    flip_every_bit(&past().original);
}

#[test]
fn inv_s7_every_cut_of_a_cleaned_store_shows_or_does_no_harm() {
    cut_everywhere(&past().original);
}

#[test]
fn inv_s7_a_missing_file_of_a_cleaned_store_shows() {
    remove_each_file(&past().original);
}

#[test]
fn inv_s7_files_of_a_cleaned_store_that_are_swapped_or_copied_show() {
    swap_all_files(&past().original);
}

#[test]
fn inv_s7_files_of_before_the_cleaning_do_no_harm_beside_those_of_after_it() {
    let Past { original, before, .. } = past();
    let mut put_back = 0;
    for (name, content) in before.iter().filter(|(name, _)| !original.files.contains_key(*name)) {
        let files = original.with(|files| drop(files.insert(name.clone(), content.clone())));
        let found = original.judge(&files, true, &|| format!("{name} put back"));
        assert_eq!(found, Found::Harmless, "{name} put back");
        let disk = SimDisk::with_files(files);
        drop(open(&disk).expect("a store in order"));
        assert!(!files_of(&disk).contains_key(name), "{name} goes again");
        put_back += 1;
    }
    assert!(put_back > 1, "a segment that is gone, and one that was rewritten");
}

#[test]
fn inv_s7_a_file_of_before_the_cleaning_in_the_place_of_the_one_of_after_it_shows() {
    let Past { original, before, .. } = past();
    let mut swapped = 0;
    for name in original.files.keys().filter(|name| name.contains('-')) {
        for (old, content) in before.iter().filter(|(old, _)| old.get(..12) == name.get(..12) && old.ends_with(".seg"))
        {
            let files = original.with(|files| drop(files.insert(name.clone(), content.clone())));
            let found = original.judge(&files, true, &|| format!("{old} in the place of {name}"));
            assert_eq!(found, Found::Refused, "{old} in the place of {name}");
            swapped += 1;
        }
    }
    assert!(swapped > 1);
}

#[test]
fn inv_s7_a_manifest_of_before_a_cleaning_shows() {
    let Past { original, manifests, before } = past();
    let judged = manifests.iter().enumerate().map(|(age, manifest)| {
        let files = original.with(|files| drop(files.insert("MANIFEST".to_owned(), manifest.clone())));
        original.judge(&files, true, &|| format!("manifest {age} of its life"))
    });
    let judged: Vec<Found> = judged.collect();
    // The last one differs by the number of openings only, and nothing was written in the last of them.
    assert_eq!(judged, [Found::Refused, Found::Refused, Found::Refused, Found::Harmless]);
    // With all the files of its time it is a copy of the folder, and in order.
    assert!(open(&SimDisk::with_files(before)).is_ok());
}
