//! What outlives the process: everything committed, exactly as it was.

use super::*;
use std::ops::Bound::Unbounded;

/// A store of three streams, some 60 records and 15 kB: more than one small segment.
fn filled(backend: &mut dyn Backend) -> Box<dyn Log> {
    let log = backend.open(Setup::default());
    for version in 0..20 {
        put(&*log, &[record(stream(1), version, vec![1; 200]), record(stream(2), version, format!("{version}"))]);
        put(&*log, &[record(stream(3), version, vec![version as u8; 300])]);
    }
    log
}

pub(super) fn inv_s1_everything_committed_is_there(backend: &mut dyn Backend) {
    let log = filled(backend);
    let before = everything(&*log);
    let log = reopen(backend, log);
    assert_eq!(everything(&*log), before);
    assert_eq!(log.durable(), Lsn(60));
    for n in 1..=3 {
        assert_eq!(read(&*log, stream(n)).len(), 20);
    }
}

pub(super) fn inv_s1_payloads_of_all_lengths_are_there(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    for (version, length) in [0, 1, 7, 8, 9, 511, 512, 513, 4_096, 100_000, 3].into_iter().enumerate() {
        put(&*log, &[record(stream(1), version as u64, vec![0xab; length])]);
    }
    let before = everything(&*log);
    let log = reopen(backend, log);
    assert_eq!(everything(&*log), before);
}

pub(super) fn inv_s2_an_uncommitted_batch_is_whole_or_absent(backend: &mut dyn Backend) {
    let log = filled(backend);
    append(&*log, &[record(stream(1), 20, "a"), record(stream(4), 0, "b"), record(stream(2), 20, "c")]);
    let log = reopen(backend, log);
    let found = everything(&*log).len();
    assert!(found == 60 || found == 63, "{found} records are neither without nor with the batch");
    let version = |n| log.head(stream(n)).map_or(0, |head| head.version.0);
    assert!([(20, 20, 0), (21, 21, 1)].contains(&(version(1), version(2), version(4))));
}

pub(super) fn inv_s3_versions_and_places_go_on(backend: &mut dyn Backend) {
    let log = filled(backend);
    let log = reopen(backend, log);
    assert_eq!(put(&*log, &[record(stream(2), 20, "x"), record(stream(4), 0, "y")]), Lsn(62));
    assert_eq!(everything(&*log).len(), 62);
}

pub(super) fn inv_s4_versions_that_were_given_stay_given(backend: &mut dyn Backend) {
    let log = filled(backend);
    let log = reopen(backend, log);
    for old in 0..20 {
        assert_eq!(conflict(&*log, &[record(stream(3), old, "late")]).actual, Version(20));
    }
    conflict(&*log, &[record(stream(3), 21, "early")]);
}

pub(super) fn inv_s6_chains_go_on(backend: &mut dyn Backend) {
    let log = filled(backend);
    let log = reopen(backend, log);
    put(&*log, &[record(stream(1), 20, "x"), record(stream(3), 20, "y"), record(stream(3), 21, "z")]);
    // Which checks the chains over the reopening.
    everything(&*log);
}

pub(super) fn a_new_store_reopens_empty(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    let log = reopen(backend, log);
    assert!(everything(&*log).is_empty());
    fill(&*log, stream(1), 2);
    assert_eq!(everything(&*log).len(), 2);
}

pub(super) fn heads_are_as_before(backend: &mut dyn Backend) {
    let log = filled(backend);
    let before: Vec<_> = (0..5).map(|n| log.head(stream(n))).collect();
    let log = reopen(backend, log);
    assert_eq!((0..5).map(|n| log.head(stream(n))).collect::<Vec<_>>(), before);
}

pub(super) fn a_cursor_of_before_goes_on(backend: &mut dyn Backend) {
    let log = filled(backend);
    let feed = log.follow(Shard(0), Lsn(0), 25).unwrap();
    let log = reopen(backend, log);
    put(&*log, &[record(stream(9), 0, "new")]);
    let rest = log.follow(Shard(0), feed.cursor, 100).unwrap();
    assert!(places(&rest.records).into_iter().eq(26..=61));
}

pub(super) fn rows_and_keys_are_as_before(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    // Streams of the first segment, of the last, and of both.
    put(&*log, &[record(stream(1), 0, "early"), record(stream(2), 0, "both")]);
    for version in 0..40 {
        put(&*log, &[record(stream(3), version, vec![version as u8; 300])]);
    }
    put(&*log, &[record(stream(2), 1, "late")]);
    let rows = |log: &dyn Log| (0..5).map(|n| log.row(stream(n)).unwrap()).collect::<Vec<_>>();
    let keys =
        |log: &dyn Log| [BY_PAYLOAD, BY_COUNT].map(|table| log.scan(table, (Unbounded, Unbounded), 100).unwrap());
    let before = (rows(&*log), keys(&*log));
    let log = reopen(backend, log);
    assert_eq!((rows(&*log), keys(&*log)), before);
    put(&*log, &[record(stream(1), 1, "on"), record(stream(2), 2, "on")]);
    assert_eq!(&*log.row(stream(1)).unwrap().unwrap(), b"\0\0\0\x02on", "the fold goes on where it was");
    assert_eq!(&*log.row(stream(2)).unwrap().unwrap(), b"\0\0\0\x03on");
}

pub(super) fn a_key_that_a_stream_left_is_not_back(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    put(&*log, &[record(stream(1), 0, "old")]);
    // Far enough apart for a small segment to end between them.
    fill(&*log, stream(2), 100);
    put(&*log, &[record(stream(1), 1, "young")]);
    let log = reopen(backend, log);
    put(&*log, &[record(stream(1), 2, "new")]);
    let keys = log.scan(BY_PAYLOAD, (Unbounded, Unbounded), 10).unwrap();
    assert_eq!(keys.iter().map(|(key, _)| &key[..2]).collect::<Vec<_>>(), [b"99", b"ne"]);
}

pub(super) fn the_number_of_shards_stays(backend: &mut dyn Backend) {
    let log = backend.open(Setup { shards: 5, ..Setup::default() });
    fill(&*log, in_slot(1, 3), 2);
    let log = reopen(backend, log);
    assert_eq!(log.shards(), 5);
    assert_eq!(pages(&*log, Shard(3), 10).len(), 2);
}

pub(super) fn a_sealed_store_reopens(backend: &mut dyn Backend) {
    let log = filled(backend);
    log.seal().unwrap();
    let before = everything(&*log);
    let log = reopen(backend, log);
    assert_eq!(everything(&*log), before);
    log.seal().unwrap();
    assert_eq!(put(&*log, &[record(stream(1), 20, "x")]), Lsn(61));
}

pub(super) fn many_reopenings_change_nothing(backend: &mut dyn Backend) {
    let mut log = filled(backend);
    let before = everything(&*log);
    for _ in 0..30 {
        let again = reopen(backend, log);
        log = again;
        assert_eq!(everything(&*log), before);
    }
}

pub(super) fn each_reopening_can_append(backend: &mut dyn Backend) {
    let mut log = backend.open(Setup::default());
    for version in 0..40 {
        put(&*log, &[record(stream(1), version, vec![version as u8; 250])]);
        if version % 3 == 0 {
            append(&*log, &[record(stream(2), version / 3, "left to the closing")]);
            log.commit().unwrap();
        }
        let again = reopen(backend, log);
        log = again;
    }
    assert_eq!((read(&*log, stream(1)).len(), read(&*log, stream(2)).len()), (40, 14));
    everything(&*log);
}

pub(super) fn inv_s1_a_deleted_stream_stays_deleted(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    for n in 1..=30 {
        put(&*log, &[record(stream(n), 0, [n; 300])]);
    }
    for n in 1..=20 {
        put(&*log, &[tombstone(stream(n), 1)]);
    }
    let mut log = reopen(backend, log);
    for n in 1..=30 {
        let there = u64::from(n > 20);
        assert_eq!(log.head(stream(n)).map_or(0, |head| head.version.0), there);
        assert_eq!(read(&*log, stream(n)).len() as u64, there);
        assert_eq!(log.row(stream(n)).unwrap().is_some(), n > 20);
    }
    put(&*log, &[record(stream(1), 0, "new")]);
    log = reopen(backend, log);
    assert_eq!(payloads(&read(&*log, stream(1))), [b"new"]);
    assert_eq!(log.scan(BY_COUNT, (Unbounded, Unbounded), 100).unwrap().len(), 11);
}

pub(super) fn inv_s6_a_stream_that_was_born_again_goes_on(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 5);
    put(&*log, &[tombstone(stream(1), 5), record(stream(1), 0, "new")]);
    let log = reopen(backend, log);
    put(&*log, &[record(stream(1), 1, "more")]);
    let records = read(&*log, stream(1));
    assert_eq!(payloads(&records), [&b"new"[..], b"more"]);
    check_chains(&records);
    assert_eq!(&*log.row(stream(1)).unwrap().unwrap(), b"\0\0\0\x02more");
}
