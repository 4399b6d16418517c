//! Rows are the fold of what is durable, and scans find streams by their rows' keys.

use super::*;
use crate::index::{KeyRange, prefix};
use std::ops::Bound::{Excluded, Included, Unbounded};

const ALL: KeyRange<'static> = (Unbounded, Unbounded);

/// The streams that a scan by payload finds.
fn found(log: &dyn Log, range: KeyRange<'_>, limit: usize) -> Vec<StreamId> {
    log.scan(BY_PAYLOAD, range, limit).unwrap().into_iter().map(|(_, stream)| stream).collect()
}

/// Streams 1 to 5 whose payloads are "a" to "e", in another order than they were appended.
fn listed(backend: &mut dyn Backend) -> Box<dyn Log> {
    let log = backend.open(Setup::default());
    for n in [4, 2, 5, 1, 3] {
        put(&*log, &[record(stream(n), 0, [b'a' + n - 1])]);
    }
    log
}

pub(super) fn a_row_is_the_fold_of_its_stream(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 3);
    fill(&*log, stream(2), 40);
    assert_eq!(&*log.row(stream(1)).unwrap().unwrap(), b"\0\0\0\x032");
    assert_eq!(&*log.row(stream(2)).unwrap().unwrap(), b"\0\0\0\x2839");
    put(&*log, &[record(stream(1), 3, "again")]);
    assert_eq!(&*log.row(stream(1)).unwrap().unwrap(), b"\0\0\0\x04again");
}

pub(super) fn a_stream_without_records_has_no_row(backend: &mut dyn Backend) {
    let log = listed(backend);
    assert_eq!(log.row(stream(9)).unwrap(), None);
    conflict(&*log, &[record(stream(9), 0, "x"), record(stream(9), 0, "y")]);
    log.commit().unwrap();
    assert_eq!(log.row(stream(9)).unwrap(), None);
}

pub(super) fn records_of_one_commit_fold_in_order(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    append(&*log, &[record(stream(1), 0, "a"), record(stream(2), 0, "x"), record(stream(1), 1, "b")]);
    append(&*log, &[record(stream(1), 2, "c")]);
    log.commit().unwrap();
    assert_eq!(&*log.row(stream(1)).unwrap().unwrap(), b"\0\0\0\x03c");
    assert_eq!(found(&*log, ALL, 10), [stream(1), stream(2)], "keys of rows in between are not left behind");
}

pub(super) fn a_scan_is_in_key_order(backend: &mut dyn Backend) {
    let log = listed(backend);
    assert_eq!(found(&*log, ALL, 10), [1, 2, 3, 4, 5].map(stream));
    let keys: Vec<Key> = log.scan(BY_PAYLOAD, ALL, 10).unwrap().into_iter().map(|(key, _)| key).collect();
    assert!(keys.is_sorted());
    assert_eq!(keys[0], [&b"a"[..], &stream(1).0].concat());
}

pub(super) fn a_scan_ends_at_its_limit(backend: &mut dyn Backend) {
    let log = listed(backend);
    for limit in 0..7 {
        assert_eq!(found(&*log, ALL, limit).len(), limit.min(5));
    }
    assert_eq!(found(&*log, ALL, 2), [1, 2].map(stream));
}

pub(super) fn a_scan_keeps_to_its_range(backend: &mut dyn Backend) {
    let log = listed(backend);
    assert_eq!(found(&*log, (Included(b"b"), Excluded(b"d")), 10), [2, 3].map(stream));
    assert_eq!(found(&*log, (Included(b"d"), Unbounded), 10), [4, 5].map(stream));
    assert_eq!(found(&*log, (Unbounded, Excluded(b"c")), 10), [1, 2].map(stream));
    let exact = [&b"c"[..], &stream(3).0].concat();
    assert_eq!(found(&*log, (Included(&exact), Included(&exact)), 10), [stream(3)]);
    assert_eq!(found(&*log, (Excluded(&exact), Unbounded), 10), [4, 5].map(stream), "the way to page on");
}

pub(super) fn a_scan_by_prefix(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    for (n, payload) in [(1, &b"ab"[..]), (2, b"abc"), (3, b"b"), (4, b"\xff\xff"), (5, b"a")] {
        put(&*log, &[record(stream(n), 0, payload)]);
    }
    let by = |start: &[u8]| found(&*log, prefix(start, &mut Vec::new()), 10);
    assert_eq!(by(b"ab"), [1, 2].map(stream));
    assert_eq!(by(b"\xff"), [stream(4)]);
    assert_eq!(by(b"").len(), 5);
    assert!(by(b"c").is_empty());
}

pub(super) fn a_range_that_ends_before_it_begins_is_empty(backend: &mut dyn Backend) {
    let log = listed(backend);
    for range in [
        (Included(&b"d"[..]), Included(&b"b"[..])),
        (Excluded(b"c"), Excluded(b"c")),
        (Included(b"c"), Excluded(b"c")),
        (Excluded(b"c"), Included(b"c")),
    ] {
        assert!(found(&*log, range, 10).is_empty(), "{range:?}");
    }
}

pub(super) fn a_changed_row_moves_its_keys(backend: &mut dyn Backend) {
    let log = listed(backend);
    put(&*log, &[record(stream(1), 1, "z")]);
    assert_eq!(found(&*log, ALL, 10), [2, 3, 4, 5, 1].map(stream));
    put(&*log, &[record(stream(1), 2, "z")]);
    assert_eq!(found(&*log, ALL, 10).len(), 5);
    let end = log.scan(BY_COUNT, (Included(&[0, 0, 0, 2]), Unbounded), 10).unwrap();
    assert_eq!(end, [([&[0, 0, 0, 3][..], &stream(1).0].concat(), stream(1))]);
}

pub(super) fn tables_are_apart(backend: &mut dyn Backend) {
    let log = listed(backend);
    assert_eq!(log.scan(BY_COUNT, ALL, 10).unwrap().len(), 5);
    assert!(log.scan(BY_COUNT, (Included(b"a"), Unbounded), 10).unwrap().is_empty());
    assert!(log.scan(Table(9), ALL, 10).unwrap().is_empty(), "a table that nothing is listed in");
}
